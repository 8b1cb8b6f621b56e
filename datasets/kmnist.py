"""Kuzushiji-MNIST: ten characters of old Japanese handwriting in the format of MNIST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import vdata.datasets._mnist as _mnist
from vdata.card import Card
from vdata.files import Files
from vdata.source import Sample

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

card = Card(
    name="kmnist",
    title="Kuzushiji-MNIST",
    task="classification",
    home="https://github.com/rois-codh/kmnist",
    licence="CC BY-SA 4.0",
    citation="Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto and Ha, Deep Learning for Classical Japanese Literature, "
    "arXiv:1812.01718, 2018",
    splits={"train": 60_000, "test": 10_000},
    fields=_mnist.fields_of(CLASSES),
    archives=_mnist.archives_of(
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        md5=(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
    folder="KMNIST/raw",
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/000042"; torchvision's order."""
    return _mnist.samples_of(files, split, CLASSES)


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return _mnist.sample_of(files, record, CLASSES)


def fake(root: Path) -> None:
    """The four files: twelve pictures for training, seven for testing."""
    _mnist.fake(root, 3)
