"""SUN397: photographs of 397 kinds of places, from abbey to youth hostel."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow

from vdata.annotations import expect_names, lines
from vdata.card import Archive, Card, Option
from vdata.datasets._sun397_classes import CLASSES
from vdata.encoded import read_encoded
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Label
from vdata.testing import jpeg, photo, png, tar_file, zip_file

_PARTITIONS = tuple(range(1, 11))
_LISTS = {"train": "Training", "test": "Testing"}
_NAMES = "SUN397/ClassName.txt"
_NUMBERS = {name: number for number, name in enumerate(CLASSES)}
_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W"), doc="named .jpg; some are PNG, GIF or BMP"),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
}

card = Card(
    name="sun397",
    title="SUN397",
    task="classification",
    home="https://vision.princeton.edu/projects/2010/SUN/",
    licence="none stated; research use",
    citation="Xiao, Hays, Ehinger, Oliva and Torralba, SUN Database: Large-scale Scene Recognition from Abbey to Zoo, CVPR 2010",
    splits={"all": 108_754, "train": 19_850, "test": 19_850},
    default="all",
    fields=_FIELDS,
    archives=(
        Archive(
            "SUN397.tar.gz",
            manual="39,077,296,924 bytes, which http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz no longer gives: "
            "a copy of somebody who has it",
            bytes=39_077_296_924,
            md5="8ca2778205c41d23104230ba66911c7a",
            sha256="f404130965a7ad77bed5ececc71e720ab50f3cc1e1bb257257610d38f3b928ec",
            tree=(_NAMES, "SUN397/a"),
            held=(_NAMES,),
        ),
        Archive(
            "Partitions.zip",
            "https://3dvision.princeton.edu/projects/2010/SUN/download/Partitions.zip",
            bytes=18_293_705,
            sha256="e3311ea5f812d4cc6faef194688343d1111f6cd6f70f2c62f393c2b8d6ba1ec9",
            when={"split": ("train", "test")},
            tree=tuple(f"{name}_{number:02}.txt" for name in _LISTS.values() for number in _PARTITIONS),
        ),
    ),
    options={
        "partition": Option(
            1, _PARTITIONS, 'which of the ten published ways to choose "train" and "test", 50 of each class'
        )
    },
    notes=(
        'the split "all" is every picture, as torchvision has it; "train" and "test" need Partitions.zip and are parts of it',
        "the first address of Partitions.zip is dead; that of the card is of another server of the university (not verified)",
        "two pictures were reported not to decode: c/church/outdoor/sun_bhenjvsvrtumjuri and "
        't/track/outdoor/sun_aophkoiosslinihb; on_error="skip" goes on without them and counts them',
    ),
)


def samples(files: Files, split: str, partition: int) -> Iterator[dict[str, Any]]:
    """`__key__` is "a/abbey/sun_aaalbzqrimafwbiv"; "all" is sorted by path, the parts are in the order of their lists."""
    expect_names(files, _NAMES, [f"/{name[0]}/{name}" for name in CLASSES])
    for path in _listed(files, split, partition):
        name = path.rpartition("/")[0].partition("/")[2]
        if name not in _NUMBERS:
            raise DataError(f"{path} is in none of the {len(CLASSES)} classes", url=files.url)
        yield {"__key__": path.removesuffix(".jpg"), "image": File(f"SUN397/{path}"), "label": _NUMBERS[name]}


def _listed(files: Files, split: str, partition: int) -> Iterator[str]:
    """Pictures as "a/abbey/sun_aaalbzqrimafwbiv.jpg"."""
    if split in _LISTS:
        yield from (line.lstrip("/") for line in lines(files, f"{_LISTS[split]}_{partition:02}.txt"))
        return
    for path in files.below("SUN397"):
        if path.rpartition("/")[2].startswith("sun_") and path.endswith(".jpg"):
            yield path.removeprefix("SUN397/")


def sample(files: Files, record: Mapping[str, Any], partition: int) -> Sample:
    return {
        "image": read_encoded(files, record, "image", _FIELDS["image"]),
        "label": Label(record["label"], categories=CLASSES),
    }


def fake(root: Path) -> None:
    """`SUN397.tar.gz` with six pictures of three classes, one of each format; `Partitions.zip` with its twenty lists."""
    classes = ("a/abbey", "a/apartment_building/outdoor", "y/youth_hostel")
    starts = [f"a{a}{b}" for a in "cbz" for b in "qf"]
    names = {c: [f"{c}/sun_{start + c[2:8].replace('_', 'x'):q<16}.jpg" for start in starts] for c in classes}
    members = {"SUN397/ClassName.txt": "".join(f"/{c[0]}/{c}\n" for c in CLASSES).encode()}
    for seed, path in enumerate(path for some in names.values() for path in some):
        members[f"SUN397/{path}"] = _picture(seed)
    tar_file(root / "SUN397.tar.gz", members)
    lists = {"ClassName.txt": members["SUN397/ClassName.txt"]}
    for partition in _PARTITIONS:
        turned = [some[partition % 6 :] + some[: partition % 6] for some in names.values()]
        for name, part in (("Training", slice(0, 3)), ("Testing", slice(3, 5))):
            rows = [f"/{path}\n" for some in turned for path in some[part]]
            lists[f"{name}_{partition:02}.txt"] = "".join(rows).encode()
    zip_file(root / "Partitions.zip", lists)


def _picture(seed: int) -> bytes:
    """Mostly JPEG; now and then a PNG (grey, or with alpha), a GIF or a BMP, as in the real archive."""
    height, width = 25 + seed % 4, 33 - seed % 5
    if seed in (2, 8):
        return png(photo(height, width, seed, channels=1 if seed == 2 else 4))
    picture = photo(height, width, seed)
    return _with_pillow(picture, "GIF" if seed == 4 else "BMP") if seed in (4, 13) else jpeg(picture)


def _with_pillow(picture: torch.Tensor, form: str) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(picture.movedim(0, -1).numpy()).save(out, form)
    return out.getvalue()
