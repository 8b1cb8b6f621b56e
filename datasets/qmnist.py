"""QMNIST: MNIST's digits made again from NIST's, with their writers, and the 50,000 test digits that MNIST left out."""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import vdata.datasets._idx as _idx
import vdata.datasets._mnist as _mnist
import vdata.datasets.mnist as mnist
from vdata.card import Archive, Card
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.testing import gzip_file

CLASSES = mnist.CLASSES

_COLUMNS = ("label", "series", "writer", "place", "nist_class", "nist_index", "duplicate_of")  # the eighth is not used
_FILES = {
    "train": ("qmnist-train-images-idx3-ubyte.gz", "qmnist-train-labels-idx2-int.gz"),
    "test": ("qmnist-test-images-idx3-ubyte.gz", "qmnist-test-labels-idx2-int.gz"),
    "nist": ("xnist-images-idx3-ubyte.xz", "xnist-labels-idx2-int.xz"),
}
_MD5 = {
    "train": ("ed72d4157d28c017586c42bc6afe6370", "0058f8dd561b90ffdd0f734c6a30e5e4"),
    "test": ("1394631089c404de565df7b7aeaf9412", "5b5b05890a5e13444e108efe57b788aa"),
    "nist": ("7f124b3b8ab81486c9d8c2749c17f834", "5ed0e788978e45d4a8bd4b7caec3d79d"),
}
_SERVER = "https://raw.githubusercontent.com/facebookresearch/qmnist/master/"

card = Card(
    name="qmnist",
    title="QMNIST handwritten digits",
    task="classification",
    home="https://github.com/facebookresearch/qmnist",
    licence="BSD",
    citation="Yadav and Bottou, Cold Case: The Lost MNIST Digits, NeurIPS 2019",
    splits={"train": 60_000, "test": 60_000, "nist": 402_953},
    fields=_mnist.fields_of(CLASSES)
    | {
        "series": Field("int", doc="NIST's series of forms: 0 and 1 were written by employees, 4 by pupils"),
        "writer": Field("int", doc="split by it: nobody should be in both parts"),
        "place": Field("int", doc="which of the writer's digits"),
        "nist_class": Field("int", doc="NIST's code of the class, 30 to 39"),
        "nist_index": Field("int", doc="the digit's place in NIST's collection, which is the split nist"),
        "duplicate_of": Field("int", doc="nist only: the place of a digit that is the same picture; 0 for none"),
    },
    archives=tuple(
        Archive(name, _SERVER + name, md5=md5, when={"split": (split,)}, tree=name.rpartition(".")[0], held=("**",))
        for split, names in _FILES.items()
        for name, md5 in zip(names, _MD5[split], strict=True)
    ),
    folder="QMNIST/raw",
    notes=(
        "train and the first 10,000 of test are MNIST's, in its order: torchvision's test10k is .take(10_000) of test, "
        "its test50k .skip(10_000)",
        "xnist-images-idx3-ubyte.xz unpacks to 316 MB, in the memory of every process; unpacked with unxz it takes none",
    ),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/000042"; torchvision's order."""
    images, labels = (name.rpartition(".")[0] for name in _FILES[split])
    rows = _idx.array(files, labels)
    if rows.ndim != 2 or rows.shape[1] != 8 or rows.dtype != np.int32:
        raise DataError(
            f"{labels} holds {rows.dtype} {list(rows.shape)}, and should hold eight int32 a picture", url=files.url
        )
    for record, row in zip(_mnist.pictures(files, images, split, len(rows)), rows.tolist(), strict=True):
        _mnist.checked(row[0], CLASSES, labels, files.url)
        yield record | dict(zip(_COLUMNS, row))


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return _mnist.sample_of(files, record, CLASSES) | {name: record[name] for name in _COLUMNS[1:]}


def fake(root: Path) -> None:
    """The six files, two of them xz: nine, seven and eleven digits, by writers of both series."""
    for (images, labels), total in zip(_FILES.values(), (9, 7, 11), strict=True):
        numbers = np.arange(total)
        digits, writers = numbers * 3 % 10, np.where(numbers % 2, 2100 + numbers, numbers)
        columns = (
            digits,
            np.where(numbers % 2, 4, 0),
            writers,
            numbers * 5,
            30 + digits,
            30_000 + numbers,
            0 * numbers,
            0 * numbers,
        )
        rows = np.stack(columns, 1).astype(np.int32)
        for name, values in ((images, _mnist.fake_pictures(total, total)), (labels, rows)):
            if name.endswith(".gz"):
                gzip_file(root / name, _idx.write(values))
            else:
                (root / name).write_bytes(lzma.compress(_idx.write(values)))
