"""How soon the first batch of A1 is there, and how much memory the first batches take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import data
from cases import _crops as crops

TITLE = "as A1, the first batches: seconds to the first, greatest memory"
UNIT = "images"
MUST: dict[str, float] = {}
STRETCH: dict[str, float] = {}
AT_MOST = {"first": (2.5, 1.0), "memory": (1000.0, 700.0)}
NOTES = {
    "memory": "MB resident, over all processes; pages that several share, or that lie in the page cache and are mapped, count in each",
    "torchvision": "reads files, not tars",
}
_BATCHES = 6


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    data.jpeg_tars(folder, photos, quick)
    data.jpeg_files(folder, photos, quick)
    data.index_for_dali(folder)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(itertools.islice(crops.vdata(data.tars(folder), antialias=False), _BATCHES))


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(itertools.islice(crops.dali(folder, quick, antialias=False), _BATCHES))


def torchvision(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(itertools.islice(crops.torchvision(folder, antialias=False), _BATCHES))


PEERS = {"vdata": ours, "dali": dali, "torchvision": torchvision}
