"""Small pictures in memory -> pad 4, random crop, flip, normalise -> float32 batches of 512: by each library as its documentation says."""

# DALI's and webdataset's annotations do not know what they hold and take.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import io
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import numpy as np

BATCH = 512
PADDING = 4
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
WORKERS = len(os.sched_getaffinity(0))


def prepare(folder: Path, photos: Path | None, quick: bool, side: int, count: int) -> None:
    """uint8 [N, side, side, 3]: windows of photographs."""
    from PIL import Image

    def make(place: Path) -> None:
        rng = np.random.default_rng(0)
        every = (np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in data.photographs(photos))
        wholes = [whole for whole in every if min(whole.shape[:2]) >= side]
        out = np.empty((count if not quick else 2 * BATCH, side, side, 3), np.uint8)
        for picture, whole in zip(out, itertools.cycle(wholes)):
            top, left = (rng.integers(0, length - side + 1) for length in whole.shape[:2])
            picture[:] = whole[top : top + side, left : left + side]
        with open(place, "wb") as file:
            np.save(file, out)

    data.once(folder / f"small-{side}.npy", make)


def pictures(folder: Path, side: int) -> np.ndarray:
    return np.load(folder / f"small-{side}.npy")


def vdata(folder: Path, side: int) -> Iterator[Any]:
    import torch
    from torch.utils.data import TensorDataset

    import vdata
    from vdata import transforms as T
    from vdata.tensors import Image

    images = torch.from_numpy(pictures(folder, side)).permute(0, 3, 1, 2).contiguous()
    augment = T.RandomCrop(side, padding=PADDING), T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)
    pipe = vdata.from_torch(TensorDataset(Image(images)), keys=("image",)).repeat().batch(BATCH).apply(*augment)
    return (batch["image"] for batch in pipe.loader(workers=WORKERS))


def dali(folder: Path, side: int) -> Iterator[Any]:
    """Fed with views of pictures that are padded beforehand, so that one operator does all. Batches are views of DALI's buffers."""
    from nvidia.dali import fn, pipeline_def, types

    padded = np.pad(pictures(folder, side), ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    batches = itertools.cycle([padded[at : at + BATCH] for at in range(0, len(padded) - BATCH + 1, BATCH)])

    @pipeline_def(batch_size=BATCH, num_threads=WORKERS, device_id=None, prefetch_queue_depth=2)
    def pipeline():
        images = fn.external_source(source=lambda: next(batches), batch=True, no_copy=True, layout="HWC", dtype=types.UINT8, ndim=3)
        return fn.crop_mirror_normalize(
            images, crop=(side, side), crop_pos_x=fn.random.uniform(range=(0.0, 1.0)), crop_pos_y=fn.random.uniform(range=(0.0, 1.0)),
            mirror=fn.random.coin_flip(), mean=[255 * m for m in MEAN], std=[255 * s for s in STD], dtype=types.FLOAT, output_layout="CHW",
        )  # fmt: skip

    pipe = pipeline()
    pipe.build()
    while True:
        (images,) = pipe.run()
        yield np.asarray(images.as_tensor())


def torchvision(folder: Path, side: int, workers: int = WORKERS) -> Iterator[Any]:
    """v2 on uint8 tensors, which it does faster than Pillow's pictures."""
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    images = torch.from_numpy(pictures(folder, side)).permute(0, 3, 1, 2).contiguous()
    augment = v2.Compose([v2.RandomCrop(side, padding=PADDING), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    class Small(Dataset):
        def __getitem__(self, index: int) -> torch.Tensor:
            return augment(images[index])

    endless: Any = itertools.cycle(range(len(images)))  # an epoch's end would stop its workers
    return iter(DataLoader(Small(), BATCH, sampler=endless, num_workers=workers))


def lasting(batches: Iterator[Any], quick: bool) -> Iterator[int]:
    """Some seconds of batches, the libraries' speeds are too far apart for one number of them; as many from each of two workers, who deliver in pairs."""
    began, number = 0.0, 0
    for number, batch in enumerate(batches, 1):
        began = time.monotonic() if number <= 2 else began
        yield len(batch)
        if number > 2 and number % 2 == 0 and time.monotonic() - began > (0.3 if quick else 3.0):
            return


def alike(side: int, **peers: Iterator[Any]) -> None:
    """The first batches of all peers: shape, dtype, layout, and, as they are crops of the same pictures, nearly the same mean of each channel."""
    import torch

    means = {}
    for peer, batches in peers.items():
        batch = torch.as_tensor(next(batches)).as_subclass(torch.Tensor)
        assert batch.shape == (BATCH, 3, side, side) and batch.dtype == torch.float32 and batch.is_contiguous(), (peer, batch.shape, batch.dtype, batch.stride())
        means[peer] = batch.double().mean((0, 2, 3))
    for peer, mean in means.items():
        assert (mean - means["vdata"]).abs().max() < 0.1, (peer, mean, means["vdata"])
