"""Shards that vdata packed without loss, against DALI on the files as they came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import data
from cases import _crops as crops

TITLE = "shards packed by vdata without loss (DALI: the tars they were made of) -> as A1"
UNIT = "images"
MUST = {"dali": 1.6}
STRETCH = {"dali": 1.9}
NOTES = {
    "vdata": "pack(restart_markers=True): the same coefficients, about 0.3 % more bytes",
    "dali": "batches are [N, H, W, 3], vdata's [N, 3, H, W]",
}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    data.jpeg_tars(folder, photos, quick)
    data.index_for_dali(folder)
    data.packed(folder, "packed-rows", restart_markers=True)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.vdata(folder / "packed-rows", antialias=False))


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.dali(folder, quick, antialias=False))


PEERS = {"vdata": ours, "dali": dali}


def CHECK(folder: Path) -> None:
    grown = data.size(folder / "packed-rows") / data.size(folder / "tars")
    assert grown <= 1.03, f"packed, the photographs take {grown:.3f} times the bytes"
    crops.alike(dtype="uint8", contiguous=False, vdata=crops.vdata(folder / "packed-rows", antialias=False), dali=crops.dali(folder, True, antialias=False))
