"""Rendered SST2: sentences of film reviews as pictures of text; is the review a good one? From the CLIP paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vdata.card import Archive, Card
from vdata.datasets._class_folders import class_folders
from vdata.encoded import read_encoded
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.tensors import Label
from vdata.testing import photo, png, tar_file

CLASSES = ("negative", "positive")

_FOLDERS = {"train": "train", "val": "valid", "test": "test"}
_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W"), doc="black text on white"),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
}

card = Card(
    name="rendered_sst2",
    title="Rendered SST2",
    task="classification",
    home="https://github.com/openai/CLIP/blob/main/data/rendered-sst2.md",
    licence="none stated; made from the Stanford Sentiment Treebank",
    citation="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021; "
    "Socher et al., Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank, EMNLP 2013",
    splits={"train": 6_920, "val": 872, "test": 1_821},
    fields=_FIELDS,
    archives=(
        Archive(
            "rendered-sst2.tgz",
            "https://openaipublic.azureedge.net/clip/data/rendered-sst2.tgz",
            md5="2384d08e9dcfa4bd55b324e610496ee5",
            tree={"train": "rendered-sst2/train", "val": "rendered-sst2/valid", "test": "rendered-sst2/test"},
        ),
    ),
    notes=(
        'the split "val" is the folder "valid"',
        "the archive has about 131 MB; the sentences are not part of it as text",
        "the pictures are said to have 448 x 448 pixels (not verified)",
    ),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/negative/0"; the class is the folder."""
    return class_folders(files, f"rendered-sst2/{_FOLDERS[split]}", CLASSES, ".png")


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return {
        "image": read_encoded(files, record, "image", _FIELDS["image"]),
        "label": Label(record["label"], categories=CLASSES),
    }


def fake(root: Path) -> None:
    """`rendered-sst2.tgz` with a few pictures, grey ones and colour ones; the numbers go on from class to class."""
    counts = {("train", 0): 3, ("train", 1): 4, ("valid", 0): 2, ("valid", 1): 1, ("test", 0): 2, ("test", 1): 3}
    members: dict[str, bytes] = {}
    for (folder, label), count in counts.items():
        for _ in range(count):
            number = len(members)
            picture = photo(56, 56, number, channels=1 if number % 4 == 3 else 3)
            members[f"rendered-sst2/{folder}/{CLASSES[label]}/{number}.png"] = png(picture)
    tar_file(root / "rendered-sst2.tgz", members)
