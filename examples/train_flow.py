"""Train a small optical-flow network; stop it whenever you like, it goes on exactly where it last saved.

    python examples/train_flow.py                          # photographs set in motion, made as they are read
    python examples/train_flow.py s3://bucket/my-shards    # or any shards with image1, image2 and flow
    python examples/train_flow.py --checkpoint mine.pt     # again: goes on from mine.pt
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from flow_net import FlowNet
from torch import Tensor

import vdata
from vdata import transforms as T
from vdata.metrics import endpoint_error
from vdata.progress import progress

FRAMES = ("image1", "image2", "flow")
PHOTOS = {"size": (128, 192), "max_motion": 16}  # options of the data set moving_photos
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


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


def new_training(data: vdata.DataPipe) -> tuple[FlowNet, torch.optim.Optimizer, vdata.Loader]:
    torch.manual_seed(0)
    model = FlowNet().to(DEVICE)
    return model, torch.optim.AdamW(model.parameters()), training_pipe(data).loader(device=DEVICE)


def endless(loader: vdata.Loader) -> Iterator[vdata.Batch]:
    """Batches, epoch after epoch."""
    if not len(loader):
        raise ValueError("there are too few samples for a single batch")
    while True:
        yield from loader


def train(
    model: FlowNet, optimizer: torch.optim.Optimizer, batches: Iterable[vdata.Batch], done: int, total: int
) -> Iterator[int]:
    """Steps from `done` to `total`; yields the number of steps done after each. A bar on a terminal, and a line at times."""
    recent: list[float] = []
    with progress("train", total, unit="steps") as bar:
        bar.update(done)
        for step, batch in zip(range(done + 1, total + 1), batches):
            for group in optimizer.param_groups:
                group["lr"] = 4e-3 * min(step / 20, 1 - (step - 1) / total)
            # Unknown pixels count neither in the error nor in its gradient.
            error = endpoint_error(model(batch["image1"], batch["image2"]), batch["flow"])
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            recent = [*recent[-24:], error.item()]
            mean = f"{sum(recent) / len(recent):.2f} px"
            bar.set_postfix_str(f"EPE {mean}")
            bar.update(1)
            if step % 25 == 0:
                bar.write(f"   step {step:4} of {total}   end-point error {mean}")
            yield step


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


def save(path: Path, model: FlowNet, optimizer: torch.optim.Optimizer, loader: vdata.Loader, step: int) -> None:
    """A checkpoint, written beside its place and then moved there: a crash leaves the old one or the new one."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "loader": loader.state_dict()}
    part = path.with_suffix(".part")
    torch.save({**state, "step": step}, part)
    os.replace(part, path)


def restore(path: Path, model: FlowNet, optimizer: torch.optim.Optimizer, loader: vdata.Loader) -> int:
    """Everything as it was saved; returns the number of steps that were done."""
    state = torch.load(path, weights_only=True, map_location=DEVICE)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    loader.load_state_dict(state["loader"])
    return state["step"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", help="shards with image1, image2 and flow")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--stop", type=int, help="stop after this step, as if the machine had gone down")
    parser.add_argument("--checkpoint", type=Path, default=Path("flow.pt"))
    parser.add_argument("--every", type=int, default=50, help="steps between checkpoints")
    args = parser.parse_args()

    data = vdata.load(args.url) if args.url else vdata.load("moving_photos", length=240, **PHOTOS).select(*FRAMES).cache()
    model, optimizer, loader = new_training(data)
    print(training_pipe(data))
    done = restore(args.checkpoint, model, optimizer, loader) if args.checkpoint.exists() else 0
    print(f"{done} of {args.steps} steps done, {loader}")
    for step in train(model, optimizer, endless(loader), done, args.steps):
        if step % args.every == 0 or step in (args.stop, args.steps):
            save(args.checkpoint, model, optimizer, loader, step)
            print(f"   {args.checkpoint}: step {step}, {loader}")
        if step == args.stop:
            break


if __name__ == "__main__":
    main()
