"""EuroSAT: land use in ten classes, Sentinel-2 pictures of 64 x 64 pixels."""

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
from vdata.testing import jpeg, photo, zip_file

CLASSES = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential",
    "River", "SeaLake",
)  # fmt: skip

_FIELDS = {
    "image": Field("Image", "uint8", (3, 64, 64)),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
}
_HASHES = {
    "bytes": 94_280_567,
    "sha256": "8ebea626349354c5328b142b96d0430e647051f26efc2dc974c843f25ecf70bd",
    "md5": "c8fa014336c82ac7804f0398fcb19387",
}

card = Card(
    name="eurosat",
    title="EuroSAT (RGB)",
    task="classification",
    home="https://github.com/phelber/eurosat",
    licence="MIT (not verified); Sentinel-2 data are free and open under EU law",
    citation="Helber, Bischke, Dengel and Borth, EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and "
    "Land Cover Classification, IEEE JSTARS 2019",
    splits={"all": 27_000},
    fields=_FIELDS,
    archives=(
        Archive(
            "EuroSAT.zip",
            "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
            tree="2750",
            **_HASHES,
        ),
    ),
    folder="eurosat",
    notes=(
        "there is no official split; the original server's certificate has been broken since January 2023",
        "all thirteen bands are in EuroSATallBands.zip (2,067,725,275 bytes), which is not read",
    ),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "Forest/Forest_1"; the class is the folder."""
    return class_folders(files, "2750", CLASSES, ".jpg")


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return {
        "image": read_encoded(files, record, "image", _FIELDS["image"]),
        "label": Label(record["label"], categories=CLASSES),
    }


def fake(root: Path) -> None:
    """`EuroSAT.zip` with three pictures of each class."""
    names = [f"2750/{c}/{c}_{n}.jpg" for c in CLASSES for n in (1, 2, 10)]
    zip_file(root / "EuroSAT.zip", {name: jpeg(photo(64, 64, seed)) for seed, name in enumerate(names)})
