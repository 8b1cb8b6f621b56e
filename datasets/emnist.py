"""EMNIST: handwritten digits and letters in the format of MNIST, in six selections."""

from __future__ import annotations

import gzip
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import vdata.datasets._idx as _idx
import vdata.datasets._mnist as _mnist
from vdata.card import Archive, Card, Option
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.tensors import Image, Label
from vdata.testing import zip_file

_ALL = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)
_MERGED = tuple(c for c in _ALL if c not in "cijklmopsuvwxyz")  # these look like their capitals

SUBSETS = {  # subset -> its classes
    "byclass": _ALL,
    "bymerge": _MERGED,
    "balanced": _MERGED,
    "letters": ("N/A", *string.ascii_lowercase),  # labels begin at 1
    "digits": tuple(string.digits),
    "mnist": tuple(string.digits),
}
_COUNTS = {
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "balanced": (112_800, 18_800),
    "letters": (None, None),  # there are two releases
    "digits": (240_000, 40_000),
    "mnist": (60_000, 10_000),
}

card = Card(
    name="emnist",
    title="EMNIST: an extension of MNIST to handwritten letters",
    task="classification",
    home="https://www.nist.gov/itl/products-and-services/emnist-dataset",
    licence="none given; derived from NIST Special Database 19, which is in the public domain (not verified)",
    citation="Cohen, Afshar, Tapson and van Schaik, EMNIST: an extension of MNIST to handwritten letters, "
    "arXiv:1702.05373, 2017",
    splits=dict(zip(("train", "test"), _COUNTS["balanced"])),
    fields={
        "image": Field("Image", "uint8", _mnist.SHAPE),
        "label": Field("Label", "int64", (), doc="with the names of the subset's classes"),
    },
    options={
        "subset": Option("balanced", tuple(SUBSETS), "which selection; torchvision calls it `split`, and asks for one"),
        "upright": Option(
            True, (True, False), "False: as stored and as torchvision gives them, with rows and columns exchanged"
        ),
    },
    archives=(
        Archive(
            "gzip.zip",
            "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
            md5="58c8d27c78d21e728a6bc7b3cc06412e",
            strip="gzip/",
            tree=tuple(
                f"emnist-{subset}-{split}-images-idx3-ubyte" for subset in SUBSETS for split in ("train", "test")
            ),
        ),
    ),
    folder="EMNIST/raw",
    notes=(
        "pictures are stored with rows and columns exchanged; here they are upright unless upright=False",
        "read from gzip.zip, a subset is in the memory of every process: 550 MB for byclass and bymerge; extracted "
        "files take none",
        "the letters exist in two releases, of 124,800 and 20,800 and, the older one, of 88,800 and 14,800 pictures: their "
        "number is not checked",
    ),
)


def count(split: str, subset: str, upright: bool) -> int | None:
    return _COUNTS[subset][split == "test"]


def samples(files: Files, split: str, subset: str, upright: bool) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/000042"; torchvision's order."""
    images, labels = (
        _path(files, f"emnist-{subset}-{split}-{what}") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    return _mnist.labelled(files, images, labels, split, SUBSETS[subset])


def _path(files: Files, name: str) -> str:
    """The archive holds the files gzipped; torchvision leaves them unpacked."""
    return f"{name}.gz" if name not in files and f"{name}.gz" in files else name


def sample(files: Files, record: Mapping[str, Any], subset: str, upright: bool) -> Sample:
    image = _mnist.picture(files, record)
    if upright:
        image = Image(image.plain().transpose(-1, -2).contiguous())
    return {"image": image, "label": Label(record["label"], categories=SUBSETS[subset])}


def fake(root: Path) -> None:
    """`gzip.zip` with all six selections, of a different size each."""
    members: dict[str, bytes] = {}
    for place, (subset, classes) in enumerate(SUBSETS.items()):
        first = int(subset == "letters")
        members[f"gzip/emnist-{subset}-mapping.txt"] = b"".join(
            b"%d %d\n" % (n, ord(c[0])) for n, c in enumerate(classes[first:])
        )
        for split, total in (("train", 6 + place), ("test", 4 + place)):
            labels = first + np.arange(total) * 11 % (len(classes) - first)
            arrays = {
                "images-idx3-ubyte": _mnist.fake_pictures(total, place, total).swapaxes(1, 2),
                "labels-idx1-ubyte": labels.astype(np.uint8),
            }
            for what, values in arrays.items():
                members[f"gzip/emnist-{subset}-{split}-{what}.gz"] = gzip.compress(_idx.write(values), mtime=0)
    zip_file(root / "gzip.zip", members)
