"""JPEG tars as anyone wrote them to uint8 batches, linear filter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import data
from cases import _crops as crops
from cases import _ffcv

TITLE = "JPEG tars as anyone wrote them -> RandomResizedCrop 224, flip -> uint8, batches of 128, linear filter without antialias"
UNIT = "images"
MUST = {"dali": 1.5, "ffcv": 1.25}
STRETCH = {"dali": 1.65}
NOTES = {
    "dali": "batches are [N, H, W, 3], vdata's [N, 3, H, W]. The stretch is 0.95 of a C decoder that decodes the window alone, which was 1.74 times DALI",
    "ffcv": "reads its own file, encoded anew with quality 90, and resizes by its own rule",
}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    data.jpeg_tars(folder, photos, quick)
    data.jpeg_files(folder, photos, quick)
    data.index_for_dali(folder)
    _ffcv.write(folder / "photos.beton", data.files(folder), write_mode="jpg", jpeg_quality=90)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.vdata(data.tars(folder), antialias=False))


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.dali(folder, quick, antialias=False))


def ffcv(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(_ffcv.photographs(folder / "photos.beton"))


PEERS = {"vdata": ours, "dali": dali, "ffcv": ffcv}


def CHECK(folder: Path) -> None:
    crops.alike(dtype="uint8", contiguous=False, vdata=crops.vdata(data.tars(folder), antialias=False), dali=crops.dali(folder, True, antialias=False))
