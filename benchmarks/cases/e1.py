"""JPEG shards over HTTP with 50 ms a request and 100 MB/s, to uint8 batches: how near to a local disk."""

# webdataset's module does not say what it holds.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
from cases import _far as far
from cases._crops import WORKERS

TITLE = "JPEG shards over HTTP, 50 ms a request, 100 MB/s -> decode, RandomResizedCrop 224 -> uint8, batches of 64, linear without antialias"
UNIT = "images"
MUST = {"vdata local": 0.97}
STRETCH = {"vdata local": 0.99}
NOTES = {
    "vdata": "shards that it packed, with their manifest, and without its cache (cache=False): nothing is kept. The server shares the cores, and its CPU time is in the column",
    "vdata local": "the same shards from the local disk, without a server beside it",
    "webdataset": "the same tars through pipe:curl, WebLoader with two processes",
}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    import vdata

    data.jpeg_tars(folder, photos, quick)

    def make(place: Path) -> None:
        vdata.open(data.tars(folder)).rename(image="jpg").pack(str(place), samples_per_shard=data.count(quick) // 8, quiet=True)

    data.once(folder / "far", make)


def batches(url: str) -> Iterator[Any]:
    import vdata
    from vdata import transforms as T

    pipe = vdata.open(url, cache=False).select("image").apply(T.RandomResizedCrop(224, antialias=False), T.RandomHorizontalFlip()).batch(data.BATCH // 2)
    yield from pipe.loader(workers=WORKERS)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    with far.served(folder / "far") as url:
        for batch in batches(url):
            yield batch.size


def local(folder: Path, quick: bool) -> Iterator[int]:
    return (batch.size for batch in batches(str(folder / "far")))


def webdataset(folder: Path, quick: bool) -> Iterator[int]:
    with far.served(folder / "far") as url:
        yield from _webdataset([f"{url}/{name}" for name in far.shards(folder / "far")])


def _webdataset(urls: list[str]) -> Iterator[int]:
    """With torchvision's decoder and transforms, which are faster than its own through Pillow."""
    import numpy as np
    import torch
    import webdataset as wds
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    augment = v2.Compose([v2.RandomResizedCrop(224, antialias=False), v2.RandomHorizontalFlip()])

    def decoded(file: bytes) -> Any:
        return augment(decode_jpeg(torch.from_numpy(np.frombuffer(bytearray(file), np.uint8)), ImageReadMode.RGB))

    dataset = far.webdataset(urls).to_tuple("image.jpg").map_tuple(decoded).batched(data.BATCH // 2)
    for (images,) in wds.WebLoader(dataset, batch_size=None, num_workers=WORKERS):
        yield len(images)


def FIGURES(folder: Path, quick: bool) -> dict[str, str]:
    """Whole runs, from `vdata.open` on to the last batch, everything imported."""
    _whole(str(folder / "far"))
    with far.served(folder / "far") as url:
        took = [(_whole(url), _whole(str(folder / "far"))) for _ in range(1 if quick else 3)]
    ratios = [over / disk for over, disk in took]
    over, disk = (statistics.median(rates) for rates in zip(*took))
    spread = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}-{max(ratios):.2f}]"
    carried = far.RATE * data.count(quick) / sum((folder / "far" / name).stat().st_size for name in far.shards(folder / "far"))
    return {
        "whole run, first batch included": f"{over:.0f} images/s over HTTP, {disk:.0f} local: {spread}, must be 0.85, stretch 0.93",
        "all that the link carries": f"{carried:.0f} images/s, of which the whole run took {over / carried:.2f}; no reader can come nearer to a local disk than {min(1, carried / disk):.2f}",
    }  # fmt: skip


def _whole(url: str) -> float:
    """Images a second."""
    began = time.perf_counter()
    return sum(batch.size for batch in batches(url)) / (time.perf_counter() - began)


PEERS = {"vdata": ours, "vdata local": local, "webdataset": webdataset}
