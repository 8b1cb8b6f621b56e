"""Train LR-ASPP, DeepLabV3 or FCN on the trimaps of cats and dogs, and judge it by the mean intersection over union.

    python examples/segmentation.py                                             # on made-up trimaps, on a CPU
    python examples/segmentation.py --data oxford_iiit_pet --root /data/pets --model deeplabv3_resnet50 --size 480 --steps 10000
    torchrun --nproc-per-node 8 examples/segmentation.py --data voc --root /data/voc --model fcn_resnet50 --size 480

Pixels that nobody can name (a pet's border, what a crop lays around a picture) have the mask's `ignore_index`: they are neither learnt nor judged.
Needs torchvision. All weights are random at the start.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from training import Training, begin, is_first, parser, warm_and_cosine

import vdata
from vdata import transforms as T
from vdata.tensors import Mask

MODELS = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50")
UNKNOWN = 255
TO_FLOATS = (T.ToDtype(torch.float32, scale=True), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def load(args: argparse.Namespace, held_out: bool) -> vdata.DataPipe:
    """Samples with an image and a mask of classes."""
    if args.data in (None, "oxford_iiit_pet"):
        pets = vdata.load("oxford_iiit_pet", "test" if held_out else "trainval", root=args.root, fake=args.data is None)
        return pets.select("image", "mask").map(pet_or_not)
    if args.data == "voc":
        return vdata.load("voc", "val" if held_out else "train", root=args.root, task="segmentation").select("image", "mask")
    return vdata.load(args.val if held_out else args.data).select("image", "mask")


def pet_or_not(sample: dict[str, Any]) -> dict[str, Any]:
    """The trimap's 1 pet, 2 background, 3 border as 1, 0 and unknown."""
    classes = torch.tensor([UNKNOWN, 1, 0, UNKNOWN], dtype=torch.uint8)[sample["mask"].plain().long()]
    return {**sample, "mask": Mask(classes, ignore_index=UNKNOWN, categories=("background", "pet"))}


def loss(model: nn.Module, batch: vdata.Batch) -> dict[str, Tensor]:
    found = model(batch["image"].plain())
    mask = batch["mask"].plain().long()
    losses = {name: cross_entropy(scores, mask, ignore_index=UNKNOWN) for name, scores in found.items()}
    return {name: value if name == "out" else 0.5 * value for name, value in losses.items()}  # "aux" is of an earlier layer


@torch.inference_mode()
def mean_iou(model: nn.Module, loader: vdata.Loader, classes: int, device: torch.device) -> tuple[float, int]:
    """The mean over classes of intersection over union, and over how many known pixels: those of all processes, each once."""
    model.eval()
    pairs = torch.zeros(classes, classes, dtype=torch.int64, device=device)  # [true, found]
    for batch in loader:
        found = model(batch["image"].plain())["out"].argmax(1)
        true = batch["mask"].plain().long()
        known = true != UNKNOWN
        pairs += torch.bincount(classes * true[known] + found[known], minlength=classes**2).reshape(classes, classes)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(pairs)
    both = pairs.diagonal()
    either = pairs.sum(0) + pairs.sum(1) - both
    return float((both / either)[either > 0].mean()), int(pairs.sum())


def main(arguments: Sequence[str] | None = None) -> Training:
    options = parser(__doc__ or "", steps=100, batch_size=4, lr=1e-3)
    options.add_argument("--val", help="shards to judge by, where --data is a URL of some")
    options.add_argument("--model", default=MODELS[0], choices=MODELS)
    options.add_argument("--size", type=int, default=64, help="height and width of what the model sees")
    args = options.parse_args(arguments)
    device = begin(args)

    data = load(args, held_out=False)
    augment = (
        T.RandomResize(args.size // 2, 2 * args.size),
        T.RandomCrop(args.size, pad_if_needed=True),
        T.RandomHorizontalFlip(),
        T.ColorJitter(0.3, 0.3, 0.3),
    )
    loader = data.shuffle(seed=0).apply(*augment, *TO_FLOATS).batch(args.batch_size, drop_last=True).loader(args.workers, device=device)
    classes = len(data[0]["mask"].categories)
    auxiliary = {} if args.model.startswith("lraspp") else {"aux_loss": True}
    model = torchvision.models.get_model(args.model, weights=None, weights_backbone=None, num_classes=classes, **auxiliary).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=1e-2)

    def judge() -> None:
        if args.val or args.data in (None, "oxford_iiit_pet", "voc"):
            held_out = load(args, held_out=True).apply(T.Letterbox(args.size), *TO_FLOATS).batch(args.batch_size)
            score, pixels = mean_iou(model, held_out.loader(args.workers, device=device, uneven="exact"), classes, device)
            if is_first():
                print(f"   mean intersection over union: {score:.4f} over {pixels:,} pixels")

    training = Training(model, optimizer, loader, loss, schedule=warm_and_cosine(optimizer, args.steps))
    training.fit(args)
    if training.done == args.steps:
        judge()
    return training


if __name__ == "__main__":
    main()
