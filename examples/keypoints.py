"""Train Keypoint R-CNN on people's key points, turned, scaled and mirrored, and judge it by COCO's mean average precision of key points.

    python examples/keypoints.py                                                # learns one made-up person by heart, on a CPU
    torchrun --nproc-per-node 8 examples/keypoints.py --data coco --root /data/coco \\
        --backbone resnet50 --width 256 --head 512 --size 800 --regions 512 --batch-size 2 --steps 90000

In a mirror a left hand becomes a right one: KeyPoints know their partners (`swap`), and RandomHorizontalFlip lets them change places. Points that
are not labelled have visibility 0; they move with nothing and are not learnt. Needs torchvision and pycocotools. All weights are random at the start.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from coco_score import as_coco, average_precision, gathered
from detection import GREY, without_crowds
from detectors import rcnn
from torch import Tensor, nn
from torchvision.models.detection import KeypointRCNN
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from training import Training, begin, is_first, parser, warm_and_cosine

import vdata
from vdata import transforms as T

FLOATS = T.ToDtype(torch.float32, scale=True)


def load(args: argparse.Namespace, held_out: bool) -> vdata.DataPipe:
    """Samples with image, boxes, keypoints and iscrowd. Of COCO the pictures with people, which its index knows without reading one."""
    if args.data not in (None, "coco"):
        return vdata.load(args.val if held_out else args.data)
    pipe = vdata.load("coco", "val" if held_out else "train", task="keypoints", root=args.root, fake=args.data is None)
    people = pipe.filter(where={"objects": range(1, 1000)})
    return people if held_out or args.data else people.repeat(16)  # fakes are few


def augmentation(size: int) -> list[T.Transform]:
    return [
        T.Letterbox(size, fill=GREY),
        T.RandomAffine(20, translate=(0.1, 0.1), scale=(0.75, 1.25), interpolation="bilinear", fill=GREY),
        T.RandomHorizontalFlip(),
        T.ColorJitter(0.3, 0.3, 0.3),
        T.SanitizeKeyPoints(),  # who has left the picture; points outside are not labelled any more
        T.SanitizeBoundingBoxes(labels_getter=None),
        FLOATS,
    ]


def targets(batch: vdata.Batch) -> list[dict[str, Tensor]]:
    """One dict a picture, as torchvision wants it: a point is (x, y, visibility), and 1 is a person."""
    out = []
    for sample in batch.samples():
        boxes, points = sample["boxes"].plain(), sample["keypoints"]
        labels = torch.ones(len(boxes), dtype=torch.int64, device=boxes.device)
        out.append({"boxes": boxes, "labels": labels, "keypoints": torch.cat([points.plain(), points.visibility[..., None].to(points.dtype)], -1)})
    return out


def loss(model: nn.Module, batch: vdata.Batch) -> dict[str, Tensor]:
    return model(list(batch["image"].plain()), targets(batch))


@torch.inference_mode()
def evaluate(model: nn.Module, loader: vdata.Loader) -> tuple[float, int]:
    """The mean average precision of key points, and over how many pictures: each once, whatever the number of processes."""
    model.eval()
    seen = []
    for batch in loader:
        for sample, true, found in zip(batch.samples(), targets(batch), model(list(batch["image"].plain())), strict=True):
            about = {"iscrowd": sample["iscrowd"].int(), "area": sample["masks"].plain().sum((1, 2))}  # COCO's limits grow with a person's pixels
            points = true["keypoints"]
            truth = as_coco(true, keypoints=points.flatten(1), num_keypoints=(points[..., 2] > 0).sum(1), **about)
            seen.append((truth, as_coco(found, score=found["scores"], keypoints=found["keypoints"].flatten(1))))
    seen = gathered(seen)
    return average_precision(seen, "keypoints"), len(seen)


def new_model(args: argparse.Namespace, points: int) -> nn.Module:
    parts = {"keypoint_head": KeypointRCNNHeads(args.width, (args.head,) * 8), "keypoint_predictor": KeypointRCNNPredictor(args.head, points)}
    return rcnn(KeypointRCNN, 1, args, **parts)


def main(arguments: Sequence[str] | None = None) -> Training:
    options = parser(__doc__ or "", steps=100, batch_size=2, lr=5e-4)
    options.add_argument("--val", help="shards to judge by, where --data is a URL of some")
    options.add_argument("--size", type=int, default=96, help="height and width of what the model sees")
    options.add_argument("--backbone", default="resnet18", choices=("resnet18", "resnet50"))
    options.add_argument("--width", type=int, default=64, help="channels; 256 in the paper")
    options.add_argument("--head", type=int, default=64, help="channels where points are looked for; 512 in the paper")
    options.add_argument("--regions", type=int, default=32, help="of a picture, from which the model learns; 512 in the paper")
    args = options.parse_args(arguments)
    device = begin(args)

    data = load(args, held_out=False)
    fields = ("image", "boxes", "keypoints", "iscrowd")
    pipe = data.select(*fields).map(without_crowds).shuffle(seed=0).apply(*augmentation(args.size)).batch(args.batch_size, drop_last=True)
    model = new_model(args, data[0]["keypoints"].shape[1]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=1e-4)

    loader = pipe.loader(args.workers, device=device)
    def judge() -> None:
        if args.val or args.data in (None, "coco"):
            held_out = load(args, held_out=True).select(*fields, "masks").apply(T.Letterbox(args.size, fill=GREY), FLOATS)
            score, pictures = evaluate(model, held_out.batch(args.batch_size).loader(args.workers, device=device, uneven="exact"))
            if is_first():
                print(f"   mean average precision of key points: {score:.4f} over {pictures} pictures")

    training = Training(model, optimizer, loader, loss, schedule=warm_and_cosine(optimizer, args.steps), clip=1.0)
    training.fit(args)
    if training.done == args.steps:
        judge()
    return training


if __name__ == "__main__":
    main()
