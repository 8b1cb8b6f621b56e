"""A ResNet-50 trained in bfloat16 on a GPU from JPEG shards: how long does it wait for data?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import data
from cases import _crops as crops

TITLE = "ResNet-50, bfloat16, SGD, batches of 128 from JPEG tars (RandomResizedCrop 224, flip, antialias) on one GPU"
UNIT = "images"
MUST = {"synthetic": 0.95, "dali": 1.0}
STRETCH = {"synthetic": 0.99, "dali": 1.4}
NOTES = {
    "vdata": "uint8 batches to the GPU by the loader (device=), normalised there",
    "synthetic": "the same model on one batch that lies on the GPU: vdata's share of its rate is what is left after waiting. The must holds as long as CPU cores suffice",
    "dali": "decodes on the CPU as in A1', uint8 [N, H, W, 3], normalised on the GPU",
}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    data.jpeg_tars(folder, photos, quick)
    data.index_for_dali(folder)


def _step() -> Callable[[Any], None]:
    """One training step on a batch [N, 3, H, W] uint8 on the GPU; it returns when the step is done, so that no queue hides a wait."""
    import torch
    from torchvision.models import resnet50

    if not torch.cuda.is_available():
        raise NotImplementedError("no CUDA device")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    model = resnet50().cuda().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    mean, std = (torch.tensor(values, device="cuda")[:, None, None] * 255 for values in (crops.MEAN, crops.STD))
    labels = torch.randint(1000, (data.BATCH,), device="cuda")

    def step(batch: Any) -> None:
        normal = ((batch - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(normal), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()

    return step


def _trained(batches: Callable[[], Iterator[Any]]) -> Iterator[int]:
    """A count a step. A few steps on zeros come first: cuDNN tries its algorithms, and no loader is to wait for that."""
    import torch

    step = _step()
    for _ in range(5):
        step(torch.zeros(data.BATCH, 3, 224, 224, dtype=torch.uint8, device="cuda"))
    for batch in batches():
        step(batch)
        yield data.BATCH


def _batches(folder: Path) -> Iterator[Any]:
    import vdata
    from vdata import transforms as T

    pipe = vdata.open(data.tars(folder)).select("jpg").apply(T.RandomResizedCrop(224), T.RandomHorizontalFlip()).batch(data.BATCH, drop_last=True)
    return (batch["jpg"].plain() for batch in pipe.loader(workers=crops.WORKERS, device="cuda"))


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return _trained(lambda: _batches(folder))


def dali(folder: Path, quick: bool) -> Iterator[int]:
    import torch

    def batches() -> Iterator[Any]:
        for batch in crops.dali(folder, quick, antialias=True):
            yield torch.as_tensor(batch).cuda().permute(0, 3, 1, 2)

    return _trained(batches)


def synthetic(folder: Path, quick: bool) -> Iterator[int]:
    import torch

    def batches() -> Iterator[Any]:
        batch = torch.randint(256, (data.BATCH, 3, 224, 224), dtype=torch.uint8, device="cuda")
        return (batch for _ in range(data.count(quick) // data.BATCH))

    return _trained(batches)


def FIGURES(folder: Path, quick: bool) -> dict[str, str]:
    """The share of the time in which the GPU has nothing to do because no batch is there."""
    try:
        step = _step()
    except NotImplementedError as error:
        return {"waiting for data": f"not measured: {error}"}
    batches = _batches(folder)
    step(next(batches))
    began, waited = time.perf_counter(), 0.0
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        if batch is None:
            break
        step(batch)
    return {"waiting for data": f"{waited / (time.perf_counter() - began):.1%} of the time, must be under 5 %, stretch 1 %"}


PEERS = {"vdata": ours, "dali": dali, "synthetic": synthetic}
