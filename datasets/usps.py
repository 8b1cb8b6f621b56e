"""USPS: digits of envelopes, 16 x 16 grey pixels, in LIBSVM's text format."""

from __future__ import annotations

import bz2
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata.card import Archive, Card, Option
from vdata.errors import DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Image, Label
from vdata.testing import photo

CLASSES = tuple(str(n) for n in range(10))

_SIDE = 16
_PIXELS = _SIDE * _SIDE
_FILES = {"train": "usps", "test": "usps.t"}
_SERVER = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
_MD5 = {"train": "ec16c51db3855ca6c91edd34d0e9b197", "test": "8ea070ee2aca1ac39742fdd1ef5ed118"}

card = Card(
    name="usps",
    title="USPS handwritten digits",
    task="classification",
    home="https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
    licence="none given",
    citation="Hull, A Database for Handwritten Text Recognition Research, IEEE TPAMI 16, 1994",
    splits={"train": 7_291, "test": 2_007},
    fields={
        "image": Field("Image", "", (1, _SIDE, _SIDE)),
        "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
    },
    options={
        "dtype": Option(
            "uint8",
            ("uint8", "float32"),
            "uint8: rounded down as in torchvision; float32: the file's numbers, moved to 0..1",
        ),
    },
    archives=tuple(
        Archive(
            f"{name}.bz2", f"{_SERVER}{name}.bz2", md5=_MD5[split], when={"split": (split,)}, tree=name, held=("**",)
        )
        for split, name in _FILES.items()
    ),
    notes=("the file's classes are 1 to 10, for the digits 0 to 9",),
)


def samples(files: Files, split: str, dtype: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/00042": the line, from 0; torchvision's order."""
    path, byte = _FILES[split], 0
    for number, line in enumerate(files.read(path).splitlines(keepends=True)):
        key = f"{split}/{number:05d}"
        first = line.split(maxsplit=1)[:1]
        if not first or not first[0].isdigit() or not 1 <= int(first[0]) <= len(CLASSES):
            raise DecodeError(
                f"line {number + 1} of {path} begins with no class between 1 and 10", url=files.url, key=key, byte=byte
            )
        yield {"__key__": key, "image": File(path), "byte": byte, "size": len(line), "label": int(first[0]) - 1}
        byte += len(line)


def sample(files: Files, record: Mapping[str, Any], dtype: str) -> Sample:
    values = _values(files.read(record["image"], record["byte"], record["size"]))
    if values is None:
        what = f"a line of {record['image']} is no class and {_PIXELS} numbers between -1 and 1"
        raise DecodeError(what, url=files.url, key=record["__key__"], field="image", byte=record["byte"])
    pixels = torch.from_numpy((values + 1) / 2)
    image = pixels if dtype == "float32" else (pixels * 255).to(torch.uint8)
    return {"image": Image(image.reshape(1, _SIDE, _SIDE)), "label": Label(record["label"], categories=CLASSES)}


def _values(line: bytes) -> np.ndarray | None:
    """The numbers of a line "7 1:-1 2:0.25 ...", float32; None where it is not all pixels in their order."""
    pairs = [pair.partition(b":") for pair in line.split()[1:]]
    if [index for index, _, _ in pairs] != [b"%d" % n for n in range(1, _PIXELS + 1)]:
        return None
    try:
        values = np.array([float(value) for _, _, value in pairs], np.float32)
    except ValueError:
        return None
    return values if bool((np.abs(values) <= 1).all()) else None


def fake(root: Path) -> None:
    """Both files: ten digits for training, six for testing."""
    for name, total in zip(_FILES.values(), (10, 6), strict=True):
        lines = []
        for n in range(total):
            pixels = photo(_SIDE, _SIDE, n, total, channels=1).plain().numpy().ravel() / 127.5 - 1
            pairs = " ".join(f"{i}:{value:.7g}" for i, value in enumerate(pixels, 1))
            lines.append(f"{n * 3 % 10 + 1} {pairs} \n")
        (root / f"{name}.bz2").write_bytes(bz2.compress("".join(lines).encode()))
