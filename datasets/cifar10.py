"""CIFAR-10: 32 x 32 photographs in ten classes. Its pickles are read, but never unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import vdata.datasets._cifar as _cifar
from vdata.card import Card
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.tensors import Label

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_LAYOUT = _cifar.Layout(
    folder="cifar-10-batches-py",
    binary="cifar-10-batches-bin",
    meta="batches.meta",
    batches={"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)},
    labels=(_cifar.Labels("label", "labels", "label_names", "batches.meta.txt", CLASSES),),
)

card = Card(
    name="cifar10",
    title="CIFAR-10",
    task="classification",
    home="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none given; the authors ask to be cited",
    citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, Toronto 2009",
    splits={"train": 50_000, "test": 10_000},
    fields={
        "image": Field("Image", "uint8", _cifar.SHAPE),
        "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
        "filename": Field("str", doc="the picture's name in the collection that it was chosen from", optional=True),
    },
    archives=_cifar.archives_of(
        "cifar-10",
        _LAYOUT,
        python={
            "bytes": 170_498_071,
            "md5": "c58f30108f718f92721af3b95e74349a",
            "sha256": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        },
        binary={
            "bytes": 170_052_171,
            "md5": "c32a1d4ab5d03f1284b67883e8d87530",
            "sha256": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        },
    ),
    notes=("the binary form has no file names",),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "data_batch_1/00042"; torchvision's order."""
    return _cifar.samples_of(files, _LAYOUT, split)


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    names = {"filename": record["filename"]} if "filename" in record else {}
    return {"image": _cifar.picture(files, record), "label": Label(record["label"], categories=CLASSES)} | names


def fake(root: Path) -> None:
    """Both archives: 25 pictures for training, 4 for testing."""
    _cifar.fake(root, "cifar-10", _LAYOUT)
