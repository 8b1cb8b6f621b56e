"""Fashion-MNIST: clothes and shoes in the format of MNIST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import vdata.datasets._mnist as _mnist
from vdata.card import Card
from vdata.files import Files
from vdata.source import Sample

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

card = Card(
    name="fashion_mnist",
    title="Fashion-MNIST",
    task="classification",
    home="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    citation="Xiao, Rasul and Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, "
    "arXiv:1708.07747, 2017",
    splits={"train": 60_000, "test": 10_000},
    fields=_mnist.fields_of(CLASSES),
    archives=_mnist.archives_of(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    folder="FashionMNIST/raw",
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/000042"; torchvision's order."""
    return _mnist.samples_of(files, split, CLASSES)


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return _mnist.sample_of(files, record, CLASSES)


def fake(root: Path) -> None:
    """The four files: twelve pictures for training, seven for testing."""
    _mnist.fake(root, 2)
