"""Shards that hold smaller pictures, as FFCV's files do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import data
from cases import _crops as crops
from cases import _ffcv

TITLE = "packed with a longest side of 500, JPEG quality 90 -> as A1"
UNIT = "images"
MUST = {"ffcv": 1.1}
STRETCH = {"ffcv": 1.3}
NOTES = {
    "vdata": "made smaller bilinearly, averaging what a new pixel covers; pictures that were small enough keep the bytes that they had",
    "ffcv": "made smaller by OpenCV's default (linear); every picture is encoded anew; resizes its windows by its own rule",
    "dali": "reads the tars that vdata packed; batches are [N, H, W, 3], vdata's [N, 3, H, W]; no aim was set",
}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    data.jpeg_tars(folder, photos, quick)
    data.jpeg_files(folder, photos, quick)
    data.packed(folder, "packed-500", longest=500, format="jpeg", quality=90)
    data.index_for_dali(folder, "packed-500")
    _ffcv.write(folder / "photos-500.beton", data.files(folder), write_mode="jpg", jpeg_quality=90, max_resolution=500)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.vdata(folder / "packed-500", antialias=False))


def ffcv(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(_ffcv.photographs(folder / "photos-500.beton"))


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.dali(folder, quick, antialias=False, tars="packed-500"))


PEERS = {"vdata": ours, "ffcv": ffcv, "dali": dali}


def CHECK(folder: Path) -> None:
    packed = crops.vdata(folder / "packed-500", antialias=False)
    crops.alike(dtype="uint8", contiguous=False, vdata=packed, dali=crops.dali(folder, True, antialias=False, tars="packed-500"))
