"""Train a small optical-flow network; stop it whenever you like, it goes on exactly where it last saved.

    python examples/train_flow.py --checkpoint flow.pt             # photographs set in motion, made as they are read
    python examples/train_flow.py --checkpoint flow.pt --resume    # goes on from flow.pt
    python examples/train_flow.py --data s3://bucket/my-shards     # any shards with image1, image2 and flow
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from flow_net import FlowNet
from torch import Tensor, nn
from training import Training, begin, parser

import vdata
from vdata import transforms as T
from vdata.metrics import endpoint_error

FRAMES = ("image1", "image2", "flow")
PHOTOS = {"size": (128, 192), "max_motion": 16}  # options of the data set moving_photos
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_pipe(data: vdata.DataPipe, batch_size: int = 8) -> vdata.DataPipe:
    """Both frames and the flow, cropped, scaled, mirrored together; pixels without a known flow stay unknown (NaN)."""
    return (
        data.select(*FRAMES)
        .shuffle(seed=0)
        .apply(
            T.RandomResizedCrop((96, 128), scale=(0.6, 1.0)),
            T.RandomHorizontalFlip(),
            T.RandomVerticalFlip(),
            T.ColorJitter(0.3, 0.3, 0.3),
            T.ToDtype(torch.float32, scale=True),
        )
        .batch(batch_size, drop_last=True)
    )


def flow_loss(model: nn.Module, batch: vdata.Batch) -> Tensor:
    """The end-point error in pixels. Unknown pixels count neither in the error nor in its gradient."""
    return endpoint_error(model(batch["image1"], batch["image2"]), batch["flow"])


def new_training(loader: vdata.Loader, steps: int, lr: float = 4e-3, device: torch.device = DEVICE) -> Training:
    torch.manual_seed(0)
    model = FlowNet().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr)
    rise_and_fall = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1 - step / steps))
    return Training(model, optimizer, loader, flow_loss, schedule=rise_and_fall)


def evaluate(predict: Callable[[Tensor, Tensor], Tensor], samples: Iterable[dict[str, Any]]) -> float:
    """The mean end-point error over all known pixels of samples with float images, in pixels."""
    with torch.no_grad():
        errors = [
            endpoint_error(predict(s["image1"][None], s["image2"][None])[0], s["flow"], reduction="none").flatten()
            for s in (vdata.Batch(s, 1).to(DEVICE) for s in samples)
        ]
    return float(torch.cat(errors).nanmean())


def no_motion(image1: Tensor, image2: Tensor) -> Tensor:
    """The simplest prediction, which a network has to beat."""
    return torch.zeros_like(image1[:, :2])


def main() -> None:
    args = parser(__doc__ or "", steps=300, batch_size=8, lr=4e-3).parse_args()
    device = begin(args)
    data = vdata.load(args.data, root=args.root) if args.data else vdata.load("moving_photos", length=240, **PHOTOS).select(*FRAMES).cache()
    pipe = training_pipe(data, args.batch_size)
    print(pipe)
    new_training(pipe.loader(args.workers, device=device), args.steps, args.lr, device).fit(args)


if __name__ == "__main__":
    main()
