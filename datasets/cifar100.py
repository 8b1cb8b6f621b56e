"""CIFAR-100: 32 x 32 photographs in a hundred classes of twenty kinds. Its pickles are read, but never unpickled."""

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

CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
SUPERCLASSES = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes", "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates",
    "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip

_LAYOUT = _cifar.Layout(
    folder="cifar-100-python",
    binary="cifar-100-binary",
    meta="meta",
    batches={"train": ("train",), "test": ("test",)},
    labels=(
        _cifar.Labels("superclass", "coarse_labels", "coarse_label_names", "coarse_label_names.txt", SUPERCLASSES),
        _cifar.Labels("label", "fine_labels", "fine_label_names", "fine_label_names.txt", CLASSES),
    ),
)

card = Card(
    name="cifar100",
    title="CIFAR-100",
    task="classification",
    home="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none given; the authors ask to be cited",
    citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, Toronto 2009",
    splits={"train": 50_000, "test": 10_000},
    fields={
        "image": Field("Image", "uint8", _cifar.SHAPE),
        "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
        "superclass": Field("Label", "int64", (), meta={"categories": SUPERCLASSES}, doc="the coarse label"),
        "filename": Field("str", doc="the picture's name in the collection that it was chosen from", optional=True),
    },
    archives=_cifar.archives_of(
        "cifar-100",
        _LAYOUT,
        python={
            "bytes": 169_001_437,
            "md5": "eb9058c3a382ffc7106e4002c42a8d85",
            "sha256": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        },
        binary={
            "bytes": 168_513_733,
            "md5": "03b5dce01913d631647c71ecec9e9cb8",
            "sha256": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        },
    ),
    notes=("the binary form has no file names",),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/00042"; torchvision's order."""
    return _cifar.samples_of(files, _LAYOUT, split)


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    names = {"filename": record["filename"]} if "filename" in record else {}
    return {
        "image": _cifar.picture(files, record),
        "label": Label(record["label"], categories=CLASSES),
        "superclass": Label(record["superclass"], categories=SUPERCLASSES),
    } | names


def fake(root: Path) -> None:
    """Both archives: five pictures for training, four for testing."""
    _cifar.fake(root, "cifar-100", _LAYOUT)
