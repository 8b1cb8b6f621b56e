"""Pictures of 96 x 96 in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cases import _small as small

TITLE = "96 x 96 in memory -> pad 4, random crop, flip, normalise -> float32 contiguous [512, 3, 96, 96]"
UNIT = "samples"
MUST = {"dali": 1.3, "torchvision": 5.0}
STRETCH = {"dali": 1.55, "torchvision": 6.0}
NOTES = {
    "dali": "is given pictures that were padded beforehand, in batches that it need not copy",
    "torchvision": "v2 on uint8 tensors in a DataLoader, two processes",
}
_SIDE, _COUNT = 96, 5_000


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    small.prepare(folder, photos, quick, _SIDE, _COUNT)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return small.lasting(small.vdata(folder, _SIDE), quick)


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return small.lasting(small.dali(folder, _SIDE), quick)


def torchvision(folder: Path, quick: bool) -> Iterator[int]:
    return small.lasting(small.torchvision(folder, _SIDE), quick)


PEERS = {"vdata": ours, "dali": dali, "torchvision": torchvision}


def CHECK(folder: Path) -> None:
    small.alike(_SIDE, vdata=small.vdata(folder, _SIDE), dali=small.dali(folder, _SIDE), torchvision=small.torchvision(folder, _SIDE, workers=0))
