"""Describable Textures Dataset: pictures of textures, one of 47 words for each, and all words that people found to fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from vdata.annotations import lines
from vdata.card import Archive, Card, Option
from vdata.encoded import read_encoded
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Label
from vdata.testing import jpeg, photo, tar_file

CLASSES = (
    "banded", "blotchy", "braided", "bubbly", "bumpy", "chequered", "cobwebbed", "cracked", "crosshatched",
    "crystalline", "dotted", "fibrous", "flecked", "freckled", "frilly", "gauzy", "grid", "grooved", "honeycombed",
    "interlaced", "knitted", "lacelike", "lined", "marbled", "matted", "meshed", "paisley", "perforated", "pitted",
    "pleated", "polka-dotted", "porous", "potholed", "scaly", "smeared", "spiralled", "sprinkled", "stained",
    "stratified", "striped", "studded", "swirly", "veined", "waffled", "woven", "wrinkled", "zigzagged",
)  # fmt: skip

_PARTITIONS = tuple(range(1, 11))
_JOINT = "dtd/labels/labels_joint_anno.txt"
_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
    "attributes": Field(
        "Label",
        "int64",
        ("K",),
        meta={"categories": CLASSES},
        doc="all classes that fit, ascending, `label` among them",
    ),
}

card = Card(
    name="dtd",
    title="Describable Textures Dataset (r1.0.1)",
    task="classification",
    home="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    licence="research use; no formal licence found",
    citation="Cimpoi, Maji, Kokkinos, Mohamed and Vedaldi, Describing Textures in the Wild, CVPR 2014",
    splits={"train": 1_880, "val": 1_880, "test": 1_880},
    fields=_FIELDS,
    archives=(
        Archive(
            "dtd-r1.0.1.tar.gz",
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            bytes=625_239_812,
            md5="fff73e5086ae6bdbea199a49dfb8a4c1",
            sha256="e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
            tree="dtd/images",  # not "dtd": the archive itself may lie in a folder of that name
            held=("dtd/labels/*",),
        ),
    ),
    options={
        "partition": Option(1, _PARTITIONS, "which of the ten ways to split the pictures into train, val and test")
    },
    folder="dtd",
    notes=("for a loss over all classes that fit: one_hot(attributes, 47).sum(0)",),
)


def samples(files: Files, split: str, partition: int) -> Iterator[dict[str, Any]]:
    """`__key__` is "banded/banded_0002"; the order is that of the split's list."""
    numbers = {name: number for number, name in enumerate(CLASSES)}
    joint = _joint(files, numbers)
    for path in lines(files, f"dtd/labels/{split}{partition}.txt"):
        name, _, _ = path.partition("/")
        if name not in numbers:
            raise DataError(
                f"{split}{partition}.txt lists {path}, which is of none of the {len(CLASSES)} classes", url=files.url
            )
        if path not in joint:
            raise DataError(f"{_JOINT} does not say which attributes {path} has", url=files.url)
        yield {
            "__key__": path.removesuffix(".jpg"),
            "image": File(f"dtd/images/{path}"),
            "label": numbers[name],
            "attributes": sorted(joint[path] | {numbers[name]}),
        }


def _joint(files: Files, numbers: Mapping[str, int]) -> dict[str, set[int]]:
    """Picture -> its attributes."""
    found: dict[str, set[int]] = {}
    for line in lines(files, _JOINT):
        path, *names = line.split()
        unknown = [name for name in names if name not in numbers]
        if unknown:
            raise DataError(
                f"{_JOINT} gives {path} the attribute {unknown[0]}, which is none of the {len(numbers)}", url=files.url
            )
        found[path] = {numbers[name] for name in names}
    return found


def sample(files: Files, record: Mapping[str, Any], partition: int) -> Sample:
    return {
        "image": read_encoded(files, record, "image", _FIELDS["image"]),
        "label": Label(record["label"], categories=CLASSES),
        "attributes": Label(torch.tensor(record["attributes"]), categories=CLASSES),
    }


def fake(root: Path) -> None:
    """`dtd-r1.0.1.tar.gz`: six pictures of each of three classes, and all thirty lists."""
    classes = ("banded", "polka-dotted", "zigzagged")
    names = {c: [f"{c}/{c}_{n:04}.jpg" for n in (2, 4, 5, 17, 101, 120)] for c in classes}
    joint = {path: {c, classes[seed % 3], classes[seed % 2]} for c in classes for seed, path in enumerate(names[c])}
    texts = {"labels_joint_anno": [f"{path} {' '.join(sorted(words))} " for path, words in sorted(joint.items())]}
    for partition in _PARTITIONS:
        turned = {c: paths[partition % 6 :] + paths[: partition % 6] for c, paths in names.items()}
        for split, part in (("train", slice(0, 3)), ("val", slice(3, 5)), ("test", slice(5, 6))):
            texts[f"{split}{partition}"] = [path for c in classes for path in sorted(turned[c][part])]
    members = {f"dtd/labels/{name}.txt": ("\n".join(rows) + "\n").encode() for name, rows in texts.items()}
    for seed, path in enumerate(joint):
        members[f"dtd/images/{path}"] = jpeg(photo(30 + seed % 4, 40 - seed % 3, seed))
    tar_file(root / "dtd-r1.0.1.tar.gz", members)
