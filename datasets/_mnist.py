"""What MNIST, Fashion-MNIST and KMNIST share: four gzipped idx files, of 28 x 28 grey pictures and of their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vdata.datasets._idx as _idx
from vdata.card import Archive
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Image, Label
from vdata.testing import gzip_file, photo

SHAPE = (1, 28, 28)
_PIXELS = 28 * 28
_NAMES = {
    split: (f"{word}-images-idx3-ubyte", f"{word}-labels-idx1-ubyte")
    for split, word in (("train", "train"), ("test", "t10k"))
}


def fields_of(classes: tuple[str, ...]) -> dict[str, Field]:
    return {"image": Field("Image", "uint8", SHAPE), "label": Field("Label", "int64", (), meta={"categories": classes})}


def archives_of(servers: Sequence[str], md5: Sequence[str], bytes: Sequence[int] = (0, 0, 0, 0)) -> tuple[Archive, ...]:
    """The four files, each small enough to be held in memory; hashes for train before test, images before labels."""
    names = [(split, name) for split in _NAMES for name in _NAMES[split]]
    return tuple(
        Archive(
            f"{name}.gz", servers[0] + f"{name}.gz", mirrors=tuple(s + f"{name}.gz" for s in servers[1:]),
            md5=hash, bytes=size, when={"split": (split,)}, tree=name, held=("**",),
        )
        for (split, name), hash, size in zip(names, md5, bytes, strict=True)
    )  # fmt: skip


def samples_of(files: Files, split: str, classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    return labelled(files, *_NAMES[split], split, classes)


def labelled(files: Files, images: str, labels: str, split: str, classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """A record for each picture of one file, its label from the other; `__key__` is "train/000042", the place in them."""
    numbers = _idx.array(files, labels)
    if numbers.ndim != 1 or numbers.dtype != np.uint8:
        raise DataError(
            f"{labels} holds {numbers.dtype} {list(numbers.shape)}, and should hold one byte a picture", url=files.url
        )
    for record, number in zip(pictures(files, images, split, len(numbers)), numbers.tolist(), strict=True):
        yield record | {"label": checked(number, classes, labels, files.url)}


def pictures(files: Files, path: str, split: str, count: int) -> Iterator[dict[str, Any]]:
    """Where each picture of the file is; DataError if there are not `count` of 28 x 28 bytes."""
    found = _idx.head(files, path)
    if found.dtype != np.uint8 or found.shape != (count, *SHAPE[1:]):
        holds = f"{path} holds {found.dtype.name} {list(found.shape)}"
        raise DataError(f"{holds}, and should hold {count} pictures of 28 x 28 bytes, one a label", url=files.url)
    for number in range(count):
        yield {"__key__": f"{split}/{number:06d}", "image": File(path), "byte": found.start + number * _PIXELS}


def checked(number: int, classes: tuple[str, ...], path: str, url: str) -> int:
    if not 0 <= number < len(classes):
        raise DataError(f"{path} has a label {number}, and there are {len(classes)} classes", url=url)
    return number


def picture(files: Files, record: Mapping[str, Any]) -> Image:
    data = bytearray(_idx.part(files, record["image"], record["byte"], _PIXELS))
    return Image(torch.frombuffer(data, dtype=torch.uint8).reshape(SHAPE))


def sample_of(files: Files, record: Mapping[str, Any], classes: tuple[str, ...]) -> Sample:
    return {"image": picture(files, record), "label": Label(record["label"], categories=classes)}


def fake(root: Path, *seed: int) -> None:
    """The four files: twelve pictures for training, seven for testing."""
    for (images, labels), count in zip(_NAMES.values(), (12, 7), strict=True):
        gzip_file(root / f"{images}.gz", _idx.write(fake_pictures(count, count, *seed)))
        gzip_file(root / f"{labels}.gz", _idx.write(np.arange(count, dtype=np.uint8) * 7 % 10))


def fake_pictures(count: int, *seed: int) -> np.ndarray:
    """uint8 [count, 28, 28], each with a dark left edge, so that a transposed one shows."""
    out = np.stack([photo(28, 28, n, *seed, channels=1).plain().numpy()[0] for n in range(count)])
    out[:, :, :3] = 0
    return out
