"""JPEG tars as anyone wrote them to uint8 batches, antialiased."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import data
from cases import _crops as crops

TITLE = "JPEG tars as anyone wrote them -> RandomResizedCrop 224, flip -> uint8, batches of 128, antialias"
UNIT = "images"
MUST = {"dali": 1.3, "torchvision": 1.45, "webdataset": 2.0}
STRETCH = {"dali": 1.5, "torchvision": 2.0, "webdataset": 2.7}
NOTES = {
    "dali": "batches are [N, H, W, 3], vdata's [N, 3, H, W]",
    "torchvision": "reads files, not tars; decode_jpeg and v2 on uint8 tensors, its fastest way; two processes",
    "webdataset": "torchvision's decode_jpeg and v2, which are faster than its own decoding by Pillow; two processes",
}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    data.jpeg_tars(folder, photos, quick)
    data.jpeg_files(folder, photos, quick)
    data.index_for_dali(folder)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.vdata(data.tars(folder), antialias=True))


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.dali(folder, quick, antialias=True))


def torchvision(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.torchvision(folder, antialias=True))


def webdataset(folder: Path, quick: bool) -> Iterator[int]:
    return crops.sizes(crops.webdataset(folder, antialias=True))


PEERS = {"vdata": ours, "dali": dali, "torchvision": torchvision, "webdataset": webdataset}


def CHECK(folder: Path) -> None:
    crops.alike(
        dtype="uint8",
        contiguous=False,
        vdata=crops.vdata(data.tars(folder), antialias=True),
        dali=crops.dali(folder, True, antialias=True),
        torchvision=crops.torchvision(folder, antialias=True, workers=0),
        webdataset=crops.webdataset(folder, antialias=True, workers=0),
    )
