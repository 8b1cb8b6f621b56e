"""Train a detector with large scale jitter and copy-paste, and judge it by COCO's mean average precision.

    python examples/detection.py                                                # FCOS finds cut-outs on photographs, on a CPU
    python examples/detection.py --model retinanet --box-loss ciou --recipe ssd
    python examples/detection.py --model detr --data voc --root /data/voc
    torchrun --nproc-per-node 8 examples/detection.py --model mask_rcnn --recipe copy_paste --data coco --root /data/coco \\
        --backbone resnet50 --width 256 --size 1024 --regions 512 --batch-size 4 --steps 270000

Needs torchvision and pycocotools, and transformers and scipy for DETR. All weights are random at the start.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from coco_score import as_coco, average_precision, gathered
from detectors import BOX_LOSSES, MODELS
from torch import Tensor, nn
from training import Training, begin, is_first, parser, warm_and_cosine

import vdata
from vdata import transforms as T
from vdata.tensors import Label

GREY = (124, 116, 104)  # ImageNet's mean


def recipes(size: int) -> dict[str, list[T.Transform]]:
    """What is done to a picture, its boxes and its masks."""
    jitter = [T.ScaleJitter(size), T.FixedSizeCrop(size, fill=GREY), T.RandomHorizontalFlip()]
    return {
        "lsj": jitter,  # large scale jitter
        "copy_paste": [*jitter, T.SimpleCopyPaste()],  # and objects of another sample, which needs masks
        "ssd": [T.RandomPhotometricDistort(), T.RandomZoomOut(fill=GREY), T.RandomIoUCrop(), T.RandomHorizontalFlip(), T.Resize((size, size))],
    }


# -- data -------------------------------------------------------------------------------------------------------------------


def load(args: argparse.Namespace, held_out: bool) -> vdata.DataPipe:
    """Samples with image, boxes and labels; masks and iscrowd where the data has them."""
    if args.data is None:
        photos = vdata.load("moving_photos", "val" if held_out else "train", length=15 if held_out else 96, size=(96, 128), objects=(1, 3))
        return photos.select("image1", "boxes", "masks").rename(image="image1").map(call_them_objects)
    if args.data not in vdata.list_datasets():
        return vdata.load(args.val if held_out else args.data)
    split = next(s for s in (("val", "test") if held_out else ("train", "trainval")) if s in vdata.info(args.data).splits)
    return vdata.load(args.data, split, root=args.root)


def call_them_objects(sample: dict[str, Any]) -> dict[str, Any]:
    return {**sample, "labels": Label(torch.zeros(len(sample["boxes"]), dtype=torch.int64), categories=("object",))}


def without_crowds(sample: dict[str, Any]) -> dict[str, Any]:
    """COCO's boxes around many objects teach nothing; judging knows of them."""
    single = ~sample.get("iscrowd", torch.zeros(len(sample["boxes"]), dtype=torch.bool))
    return {name: value[single] if name in T.Instances() else value for name, value in sample.items()}


def targets(batch: vdata.Batch, first_class: int) -> list[dict[str, Tensor]]:
    """One dict a picture. The batch holds all boxes in one buffer, and gives each sample a view of its own."""
    plain = [{name: value.plain() for name, value in s.items() if name in ("boxes", "labels", "masks")} for s in batch.samples()]
    return [{**one, "labels": one["labels"] + first_class} for one in plain]


# -- judging ----------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def evaluate(model: nn.Module, loader: vdata.Loader, first_class: int) -> tuple[float, int]:
    """The mean average precision of boxes, and over how many pictures: each once, whatever the number of processes."""
    model.eval()
    seen = []
    for batch in loader:
        for sample, true, found in zip(batch.samples(), targets(batch, first_class), model(list(batch["image"].plain())), strict=True):
            truth = as_coco(true, iscrowd=sample.get("iscrowd", torch.zeros(len(true["boxes"]))).int())
            seen.append((truth, as_coco(found, score=found["scores"])))
    seen = gathered(seen)
    return average_precision(seen, "bbox"), len(seen)


# -- training ---------------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> Training:
    options = parser(__doc__ or "", steps=200, batch_size=4, lr=5e-4)
    options.add_argument("--val", help="shards to judge by, where --data is a URL of some")
    options.add_argument("--model", default="fcos", choices=MODELS)
    options.add_argument("--recipe", default="lsj", choices=recipes(1), help="copy_paste needs masks")
    options.add_argument("--box-loss", help=f"{BOX_LOSSES}; the first without it")
    options.add_argument("--size", type=int, default=128, help="height and width of what the model sees")
    options.add_argument("--backbone", default="resnet18", choices=("resnet18", "resnet50"))
    options.add_argument("--width", type=int, default=64, help="channels; 256 in the papers")
    options.add_argument("--regions", type=int, default=64, help="of a picture, from which Faster and Mask R-CNN learn; 512 in the papers")
    args = options.parse_args(arguments)
    kind = MODELS[args.model]
    args.box_loss = args.box_loss or kind.box_losses[0]
    if args.box_loss not in kind.box_losses:
        options.error(f"--box-loss {args.box_loss} is none of {args.model}'s: the libraries' models have {BOX_LOSSES}")
    device = begin(args)

    data = load(args, held_out=False)
    crowds = ["iscrowd"] if "iscrowd" in data[0] else []
    masks = ["masks"] if args.model == "mask_rcnn" or args.recipe == "copy_paste" else []
    floats = T.ToDtype(torch.float32, scale=True)
    loader = (
        data.select("image", "boxes", "labels", *masks, *crowds).map(without_crowds).shuffle(seed=0)
        .apply(*recipes(args.size)[args.recipe], T.SanitizeBoundingBoxes(), floats)
        .batch(args.batch_size, drop_last=True)
        .loader(args.workers, device=device)
    )
    model = kind.build(len(data[0]["labels"].categories), args).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=1e-4)

    def loss(model: nn.Module, batch: vdata.Batch) -> Any:
        return model(list(batch["image"].plain()), targets(batch, kind.first_class))

    def judge() -> None:
        if args.val or args.data in (None, *vdata.list_datasets()):
            held_out = load(args, held_out=True).select("image", "boxes", "labels", *crowds).apply(T.Letterbox(args.size), floats)
            batches = held_out.batch(args.batch_size).loader(args.workers, device=device, uneven="exact")
            score, pictures = evaluate(model, batches, kind.first_class)
            if is_first():
                print(f"   mean average precision of boxes: {score:.4f} over {pictures} pictures")

    training = Training(model, optimizer, loader, loss, schedule=warm_and_cosine(optimizer, args.steps), clip=1.0)
    training.fit(args)
    if training.done == args.steps:
        judge()
    return training


if __name__ == "__main__":
    main()
