"""Pictures of 32 x 32 in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cases import _ffcv
from cases import _small as small

TITLE = "32 x 32 in memory -> pad 4, random crop, flip, normalise -> float32 contiguous [512, 3, 32, 32]"
UNIT = "samples"
MUST = {"ffcv": 1.5, "dali": 2.5, "torchvision": 20.0}
STRETCH = {"ffcv": 2.0, "dali": 3.4, "torchvision": 26.0}
NOTES = {
    "ffcv": "reads a file of its own, which is mapped; shifts by RandomTranslate, its random crop of what was padded",
    "dali": "is given pictures that were padded beforehand, in batches that it need not copy",
    "torchvision": "v2 on uint8 tensors in a DataLoader, two processes",
}
_SIDE, _COUNT = 32, 50_000


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    small.prepare(folder, photos, quick, _SIDE, _COUNT)
    _ffcv.write(folder / "small.beton", small.pictures(folder, _SIDE))


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return small.lasting(small.vdata(folder, _SIDE), quick)


def dali(folder: Path, quick: bool) -> Iterator[int]:
    return small.lasting(small.dali(folder, _SIDE), quick)


def ffcv(folder: Path, quick: bool) -> Iterator[int]:
    return small.lasting(_ffcv.small_pictures(folder / "small.beton"), quick)


def torchvision(folder: Path, quick: bool) -> Iterator[int]:
    return small.lasting(small.torchvision(folder, _SIDE), quick)


PEERS = {"vdata": ours, "ffcv": ffcv, "dali": dali, "torchvision": torchvision}


def CHECK(folder: Path) -> None:
    small.alike(_SIDE, vdata=small.vdata(folder, _SIDE), dali=small.dali(folder, _SIDE), torchvision=small.torchvision(folder, _SIDE, workers=0))
