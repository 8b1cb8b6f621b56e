"""Train a video classifier, MViTv2 or Video Swin, on clips: one draw of every transform for all frames of a clip.

    python examples/video.py                                             # which way does the photograph move? clips made here, a small model
    python examples/video.py --model mvit_v2_s --data s3://bucket/train --val s3://bucket/val      # shards with the fields video and label
    torchrun --nproc-per-node 8 examples/video.py --model swin3d_t --data clips/train --val clips/val --batch-size 8

Files such as .mp4 are not decoded: pack clips as `Video` [T, 3, H, W], once, with `vdata.from_torch(clips).pack(url)`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import video_small as small
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models.video import mvit_v2_s, swin3d_t
from training import Training, begin, is_first, mean_over, parser, warm_and_cosine

import vdata
from vdata import transforms as T

FLOATS = (T.ToDtype(torch.float32, scale=True), T.Normalize([0.45], [0.225]))


class Kind(NamedTuple):
    """A model and what it looks at."""

    build: Callable[[int], nn.Module]  # of the number of classes
    frames: int
    side: int


KINDS = {
    "mvit_v2_s": Kind(lambda classes: mvit_v2_s(weights=None, num_classes=classes), 16, 224),
    "swin3d_t": Kind(lambda classes: swin3d_t(weights=None, num_classes=classes), 32, 224),
    "small_mvit": Kind(small.mvit, 8, 32),
    "small_swin": Kind(small.swin, 8, 32),
}


def training_pipe(data: vdata.DataPipe, kind: Kind, args: argparse.Namespace) -> vdata.DataPipe:
    """Fewer frames, and one window, one mirror and one policy for all frames of a clip."""
    steps = [T.UniformTemporalSubsample(kind.frames), T.RandomResizedCrop(kind.side, scale=(0.4, 1.0))]
    steps += [T.RandomHorizontalFlip()] if args.mirror else []
    steps += [T.RandAugment()] if args.data else [T.ColorJitter(0.3, 0.3, 0.3)]
    return data.select("video", "label").shuffle(seed=0).apply(*steps, *FLOATS).batch(args.batch_size, drop_last=True)


def held_out_pipe(data: vdata.DataPipe, kind: Kind, args: argparse.Namespace) -> vdata.DataPipe:
    steps = T.UniformTemporalSubsample(kind.frames), T.Resize(kind.side), T.CenterCrop(kind.side)
    return data.select("video", "label").apply(*steps, *FLOATS).batch(args.batch_size)


def scores(model: nn.Module, batch: vdata.Batch) -> Tensor:
    """Of clips [B, T, C, H, W]; torchvision's models take [B, C, T, H, W]."""
    return model(batch["video"].plain().transpose(1, 2))


def smoothed_loss(model: nn.Module, batch: vdata.Batch) -> Tensor:
    return cross_entropy(scores(model, batch), batch["label"].plain(), label_smoothing=0.1)


@torch.no_grad()
def accuracy(model: nn.Module, loader: vdata.Loader) -> float:
    """The share of clips that are recognised, over all processes."""
    model.eval()
    return mean_over([scores(model, batch).argmax(1) == batch["label"].plain() for batch in loader])


def datasets(args: argparse.Namespace) -> tuple[vdata.DataPipe, vdata.DataPipe | None, int]:
    """What to train on, what to evaluate on, and how many classes there are."""
    if args.data is None:
        return small.clips("train", 200).cache(), small.clips("val", 48), len(small.MOTIONS)
    train = vdata.load(args.data, root=args.root)
    categories = (train.plan.fields or {})["label"].meta.get("categories") or range(args.classes)
    return train, vdata.load(args.val) if args.val else None, len(categories)


def main(arguments: Sequence[str] | None = None) -> Training:
    options = parser(__doc__ or "", steps=300, batch_size=16, lr=4e-3)
    options.add_argument("--model", choices=KINDS, default="small_mvit")
    options.add_argument("--val", help="shards to evaluate on, with --data")
    options.add_argument("--classes", type=int, default=400, help="how many there are, where the data does not say")
    options.add_argument("--mirror", action=argparse.BooleanOptionalAction, help="mirror clips; not where left and right matter, as without --data")
    args = options.parse_args(arguments)
    args.mirror = bool(args.data) if args.mirror is None else args.mirror
    device = begin(args)
    kind, (train, held_out, classes) = KINDS[args.model], datasets(args)
    model = kind.build(classes).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=0.05)
    loader = training_pipe(train, kind, args).loader(args.workers, device=device)
    training = Training(model, optimizer, loader, smoothed_loss, schedule=warm_and_cosine(optimizer, args.steps, warm=20), clip=1.0)
    training.fit(args)
    if held_out is not None and training.done == args.steps:
        found = accuracy(model, held_out_pipe(held_out, kind, args).loader(args.workers, device=device, uneven="exact"))
        if is_first():
            print(f"   accuracy on clips that were held out: {found:.1%}")
    return training


if __name__ == "__main__":
    main()
