"""JPEG tars to normalised float32 batches in DALI's layout, antialiased."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import data
from cases import _crops as crops

TITLE = "JPEG tars -> RandomResizedCrop 224, flip, normalise -> float32 contiguous [128, 3, 224, 224], antialias"
UNIT = "images"
MUST = {"dali": 1.2}
STRETCH = {"dali": 1.35}
NOTES = {}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    data.jpeg_tars(folder, photos, quick)
    data.index_for_dali(folder)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.vdata(data.tars(folder), antialias=True, floats=True))


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.dali(folder, quick, antialias=True, floats=True))


PEERS = {"vdata": ours, "dali": dali}


def CHECK(folder: Path) -> None:
    first = crops.vdata(data.tars(folder), antialias=True, floats=True)
    crops.alike(dtype="float32", contiguous=True, vdata=first, dali=crops.dali(folder, True, antialias=True, floats=True))
