"""Food-101: photographs of dishes, 101 of them, a thousand each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vdata.annotations import expect_names, json_of
from vdata.card import Archive, Card
from vdata.encoded import read_encoded
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Label
from vdata.testing import jpeg, photo, tar_file

# In the order of meta/classes.txt, where "cheesecake" comes before "cheese_plate".
LISTED = (
    "apple_pie", "baby_back_ribs", "baklava", "beef_carpaccio", "beef_tartare", "beet_salad", "beignets", "bibimbap",
    "bread_pudding", "breakfast_burrito", "bruschetta", "caesar_salad", "cannoli", "caprese_salad", "carrot_cake",
    "ceviche", "cheesecake", "cheese_plate", "chicken_curry", "chicken_quesadilla", "chicken_wings", "chocolate_cake",
    "chocolate_mousse", "churros", "clam_chowder", "club_sandwich", "crab_cakes", "creme_brulee", "croque_madame",
    "cup_cakes", "deviled_eggs", "donuts", "dumplings", "edamame", "eggs_benedict", "escargots", "falafel",
    "filet_mignon", "fish_and_chips", "foie_gras", "french_fries", "french_onion_soup", "french_toast",
    "fried_calamari", "fried_rice", "frozen_yogurt", "garlic_bread", "gnocchi", "greek_salad",
    "grilled_cheese_sandwich", "grilled_salmon", "guacamole", "gyoza", "hamburger", "hot_and_sour_soup", "hot_dog",
    "huevos_rancheros", "hummus", "ice_cream", "lasagna", "lobster_bisque", "lobster_roll_sandwich",
    "macaroni_and_cheese", "macarons", "miso_soup", "mussels", "nachos", "omelette", "onion_rings", "oysters",
    "pad_thai", "paella", "pancakes", "panna_cotta", "peking_duck", "pho", "pizza", "pork_chop", "poutine", "prime_rib",
    "pulled_pork_sandwich", "ramen", "ravioli", "red_velvet_cake", "risotto", "samosa", "sashimi", "scallops",
    "seaweed_salad", "shrimp_and_grits", "spaghetti_bolognese", "spaghetti_carbonara", "spring_rolls", "steak",
    "strawberry_shortcake", "sushi", "tacos", "takoyaki", "tiramisu", "tuna_tartare", "waffles",
)  # fmt: skip
CLASSES = tuple(sorted(LISTED))

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W"), doc="the longer side has 512 pixels"),
    "label": Field(
        "Label", "int64", (), meta={"categories": CLASSES}, doc="classes sorted, as torchvision numbers them"
    ),
    "listed_label": Field(
        "Label", "int64", (), meta={"categories": LISTED}, doc="the same class, numbered as in meta/classes.txt"
    ),
}

card = Card(
    name="food101",
    title="Food-101",
    task="classification",
    home="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    licence="no clear one: the pictures come from Foodspotting, for scientific fair use (not verified)",
    citation="Bossard, Guillaumin and Van Gool, Food-101: Mining Discriminative Components with Random Forests, ECCV 2014",
    splits={"train": 75_750, "test": 25_250},
    fields=_FIELDS,
    archives=(
        Archive(
            "food-101.tar.gz",
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            bytes=4_996_278_331,
            md5="85eeb15f3717b99a5da872d97d918f87",
            sha256="d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
            tree="food-101/images",
            held=("food-101/meta/*",),
        ),
    ),
    notes=(
        "two classes have two numbers: cheese_plate is 16 and cheesecake 17 in `label`, as in torchvision; it is the other way "
        "round in `listed_label`, as in meta/classes.txt and the models that follow it; the other 99 agree",
        "the labels of the training part were left noisy on purpose",
    ),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "apple_pie/1005649"; the order is that of meta/<split>.json."""
    expect_names(files, "food-101/meta/classes.txt", LISTED)
    numbers = {name: number for number, name in enumerate(CLASSES)}
    listed = {name: number for number, name in enumerate(LISTED)}
    for name, keys in json_of(files, f"food-101/meta/{split}.json", dict[str, list[str]]).items():
        if name not in numbers:
            raise DataError(f"{split}.json has the class {name!r}, which is none of the {len(CLASSES)}", url=files.url)
        for key in keys:
            path = File(f"food-101/images/{key}.jpg")
            yield {"__key__": key, "image": path, "label": numbers[name], "listed_label": listed[name]}


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return {
        "image": read_encoded(files, record, "image", _FIELDS["image"]),
        "label": Label(record["label"], categories=CLASSES),
        "listed_label": Label(record["listed_label"], categories=LISTED),
    }


def fake(root: Path) -> None:
    """`food-101.tar.gz` with four classes, among them the two that are numbered in two ways."""
    classes = ("waffles", "cheesecake", "cheese_plate", "apple_pie")
    lists = {
        "train": {c: [f"{c}/{1000 * number + n}" for n in (3, 1, 20)] for number, c in enumerate(classes)},
        "test": {c: [f"{c}/{1000 * number + n}" for n in (2, 11)] for number, c in enumerate(classes)},
    }
    pretty = (name.replace("_", " ").capitalize() for name in LISTED)
    members = {
        "food-101/meta/classes.txt": "\n".join(LISTED).encode(),
        "food-101/meta/labels.txt": "\n".join(pretty).encode(),
    }
    for split, keys in lists.items():
        members[f"food-101/meta/{split}.json"] = json.dumps(keys).encode()
        members[f"food-101/meta/{split}.txt"] = "\n".join(key for some in keys.values() for key in some).encode()
    every = [key for keys in lists.values() for some in keys.values() for key in some]
    for seed, key in enumerate(every):
        members[f"food-101/images/{key}.jpg"] = jpeg(photo(24 + seed % 5, 32 - seed % 3, seed))
    tar_file(root / "food-101.tar.gz", members)
