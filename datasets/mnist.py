"""MNIST: handwritten digits, 28 x 28 grey pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import vdata.datasets._mnist as _mnist
from vdata.card import Card
from vdata.files import Files
from vdata.source import Sample

CLASSES = (
    "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
)  # fmt: skip

card = Card(
    name="mnist",
    title="MNIST handwritten digits",
    task="classification",
    home="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0 (not verified)",
    citation="LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, "
    "Proceedings of the IEEE 86, 1998",
    splits={"train": 60_000, "test": 10_000},
    fields=_mnist.fields_of(CLASSES),
    archives=_mnist.archives_of(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        bytes=(9_912_422, 28_881, 1_648_877, 4_542),
    ),
    folder="MNIST/raw",
    notes=("the authors' own server asks for a login now and then; the first address is PyTorch's copy",),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/000042"; torchvision's order."""
    return _mnist.samples_of(files, split, CLASSES)


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return _mnist.sample_of(files, record, CLASSES)


def fake(root: Path) -> None:
    """The four files: twelve pictures for training, seven for testing."""
    _mnist.fake(root, 1)
