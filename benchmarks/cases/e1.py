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
MUST: dict[str, float] = {}  # below: no reader comes nearer to a local disk than the link lets it
STRETCH: dict[str, float] = {}
PASSES = 4  # over the shards, nothing of which is kept: what is under way at the start weighs the less
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


def batches(url: str, passes: int = PASSES) -> Iterator[Any]:
    import vdata
    from vdata import transforms as T

    pipe = vdata.open(url, cache=False).select("image").repeat(passes).apply(T.RandomResizedCrop(224, antialias=False), T.RandomHorizontalFlip()).batch(data.BATCH // 2)
    yield from pipe.loader(workers=WORKERS)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    with far.served(folder / "far") as url:
        for batch in batches(url):
            yield batch.size


def local(folder: Path, quick: bool) -> Iterator[int]:
    return (batch.size for batch in batches(str(folder / "far")))


def webdataset(folder: Path, quick: bool) -> Iterator[int]:
    with far.served(folder / "far") as url:
        yield from _webdataset([f"{url}/{name}" for name in far.shards(folder / "far")] * PASSES)


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
    """Against the lesser of what the link carries and what comes from a local disk, everything imported."""
    near = str(folder / "far")
    carried = far.RATE * data.count(quick) / sum((folder / "far" / name).stat().st_size for name in far.shards(folder / "far"))
    _rates(near, PASSES)
    with far.served(folder / "far") as url:
        took = [(_rates(url, PASSES), _rates(url, 1), _rates(near, PASSES), _rates(near, 1)) for _ in range(1 if quick else 3)]
    steady = [over[1] / min(disk[1], carried) for over, _, disk, _ in took]
    whole = [over[0] / min(disk[0], carried) for _, over, _, disk in took]
    disk, link = (statistics.median(rates) for rates in ([long[1] for _, _, long, _ in took], [long[1] for long, *_ in took]))
    return {
        "of the lesser of link and local disk": f"steady {_spread(steady)}, must be 0.97, stretch 0.99; whole run of one pass {_spread(whole)}, must be 0.85, stretch 0.93",
        "the link carries": f"{carried:.0f} images/s; steady over HTTP {link:.0f}, from the local disk {disk:.0f}",
    }


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f}-{max(ratios):.2f}]"


def _rates(url: str, passes: int) -> tuple[float, float]:
    """Images a second, from `vdata.open` on to the last batch, and from the second batch on."""
    began = time.perf_counter()
    first, count, total = began, 0, 0
    for batch in batches(url, passes):
        total += batch.size
        if not count:
            first, count = time.perf_counter(), batch.size
    ended = time.perf_counter()
    return total / (ended - began), (total - count) / (ended - first)


PEERS = {"vdata": ours, "vdata local": local, "webdataset": webdataset}
