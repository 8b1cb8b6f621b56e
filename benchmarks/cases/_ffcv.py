"""FFCV, written from the documentation of its release 1.0: it reads a file of its own, in which photographs are encoded anew with quality 90.

It is compiled where it is installed, and needs OpenCV and libturbojpeg of the system for that.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import numpy as np
from cases import _crops as crops
from cases import _small as small


class Photos:
    """What FFCV's writer takes: numbered tuples."""

    def __init__(self, pictures: Any):
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        from PIL import Image

        picture = self.pictures[index]
        return (picture if isinstance(picture, np.ndarray) else np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")),)


def write(place: Path, pictures: Any, **field: Any) -> None:
    """Arrays [H, W, 3], or paths, as a .beton, if FFCV is there."""
    if importlib.util.find_spec("ffcv") is None:
        return
    from ffcv.fields import RGBImageField
    from ffcv.writer import DatasetWriter

    def make(unfinished: Path) -> None:
        DatasetWriter(str(unfinished), {"image": RGBImageField(**field)}, num_workers=crops.WORKERS).from_indexed_dataset(Photos(pictures))

    data.once(place, make)


def photographs(place: Path) -> Iterator[Any]:
    """Window and resize are one operator. Batches are [N, 3, H, W] by their shape, channels last in memory."""
    from ffcv.fields.decoders import RandomResizedCropRGBImageDecoder
    from ffcv.transforms import RandomHorizontalFlip, ToTensor, ToTorchImage

    return _batches(place, data.BATCH, [RandomResizedCropRGBImageDecoder((224, 224)), RandomHorizontalFlip(), ToTensor(), ToTorchImage()])


def small_pictures(place: Path) -> Iterator[Any]:
    """Normalised by a table, contiguous."""
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, RandomTranslate, ToTensor, ToTorchImage

    mean, std = 255 * np.array(small.MEAN), 255 * np.array(small.STD)
    steps = [RandomTranslate(padding=small.PADDING), RandomHorizontalFlip(), NormalizeImage(mean, std, np.float32), ToTensor(), ToTorchImage(channels_last=False)]
    return _batches(place, small.BATCH, [SimpleRGBImageDecoder(), *steps], epochs=10_000)


def _batches(place: Path, size: int, steps: list[Any], epochs: int = 1) -> Iterator[Any]:
    from ffcv.loader import Loader, OrderOption

    loader = Loader(str(place), batch_size=size, num_workers=crops.WORKERS, order=OrderOption.SEQUENTIAL, drop_last=True, pipelines={"image": steps})
    return (images for _ in range(epochs) for (images,) in loader)
