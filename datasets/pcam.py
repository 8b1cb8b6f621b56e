"""PatchCamelyon: pieces of lymph node slides, 96 x 96 pixels, with or without tumour tissue in their centre."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata.annotations import csv_rows, h5_rows, h5_shape, lines
from vdata.annotations.boxes import whole
from vdata.card import Archive, Card
from vdata.errors import DataError, DecodeError, MissingPackageError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Image, Label, Mask
from vdata.testing import gzip_file, photo

CLASSES = ("no tumour", "tumour")

_ON_DISK = {"train": "train", "val": "valid", "test": "test"}
_SIDE = 96
_META = ("wsi", "coord_x", "coord_y", "tumor_patch")
_INDEX = ("", "index", "Unnamed: 0")  # what programs call the number of a row
_MASK = {"kind": "semantic", "categories": CLASSES}
_OF_META = "from the optional meta.csv"

_FIELDS = {
    "image": Field("Image", "uint8", (3, _SIDE, _SIDE)),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}, doc="of the 32 x 32 pixels in the centre"),
    "slide": Field("str", optional=True, doc=f"the slide that the patch was cut from, {_OF_META}: split by it"),
    "coord_x": Field("int", optional=True, doc=f"where on the slide, {_OF_META}"),
    "coord_y": Field("int", optional=True, doc=f"where on the slide, {_OF_META}"),
    "tumor_patch": Field("int", optional=True, doc=f"1: there is tumour tissue anywhere in the patch, {_OF_META}"),
    "mask": Field("Mask", "uint8", (_SIDE, _SIDE), meta=_MASK, optional=True, doc="from the optional train_mask.h5.gz"),
}  # fmt: skip
_ZENODO = "https://zenodo.org/record/2546921/files/"
_DRIVE = "https://drive.google.com/uc?export=download&id="

# split, part -> bytes, sha256, md5; the README exchanges the md5 of valid and test
_FILES = {
    ("train", "x"): (
        6_421_353_462, "d619e741468a7ab35c7e4a75e6821b7e7e6c9411705d45708f2a0efc8960656c",
        "1571f514728f59376b705fc836ff4b63",
    ),
    ("train", "y"): (
        21_378, "b74126d2c01b20d3661f9b46765d29cf4e4fba6faba29c8e0d09d406331ab75a",
        "35c2d7259d906cfc8143347bb8e05be7",
    ),
    ("valid", "x"): (
        805_965_320, "f82ee1670d027b4ec388048d9eabc2186b77c009655dae76d624c0ecb053ccb2",
        "d5b63470df7cfa627aeec8b9dc0c066e",
    ),
    ("valid", "y"): (
        3_038, "ce1ae30f08feb468447971cfd0472e7becd0ad96d877c64120c72571439ae48c",
        "2b85f58b927af9964a4c15b8f7e8f179",
    ),
    ("test", "x"): (
        800_875_929, "79174c2201ad521602a5888be8f36ee10875f37403dd3f2086caf2182ef87245",
        "d8c2d60d490dbd479f8199bdfa0cf6ec",
    ),
    ("test", "y"): (
        3_040, "0a522005fccc8bbd04c5a117bfaf81d8da2676f03a29d7499f71d0a0bd6068ef",
        "60a7035772fbdb7f34eb86d4420cf66a",
    ),
}  # fmt: skip
_META_AT = {
    "train": "1XoaGG3ek26YLFvGzmkKeOz54INW0fruR",
    "valid": "16hJfGFCZEcvR3lr38v3XCaD5iH1Bnclg",
    "test": "19tj7fBlQQrd4DapCjhZrom_fA4QlHqN4",
}


def _name(word: str, part: str) -> str:
    return f"camelyonpatch_level_2_split_{word}_{part}"


def _archives() -> Iterator[Archive]:
    for split, word in _ON_DISK.items():
        when = {"split": (split,)}
        for part in "xy":
            size, sha256, md5 = _FILES[word, part]
            name = _name(word, f"{part}.h5.gz")
            yield Archive(
                name, f"{_ZENODO}{name}", size, sha256, md5, when=when,
                tree=name.removesuffix(".gz"), held=("**",),
            )  # fmt: skip
        yield Archive(_name(word, "meta.csv"), manual=_DRIVE + _META_AT[word], optional=True, when=when)
    mask = _name("train", "mask.h5.gz")
    yield Archive(
        mask, manual=f"said to be at {_ZENODO}{mask} (not verified)", optional=True, when={"split": ("train",)},
        tree=mask.removesuffix(".gz"), held=("**",),
    )  # fmt: skip


card = Card(
    name="pcam",
    title="PatchCamelyon",
    task="classification",
    home="https://github.com/basveeling/pcam",
    licence="CC0 1.0",
    citation="Veeling, Linmans, Winkens, Cohen and Welling, Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018",
    splits={"train": 262_144, "val": 32_768, "test": 32_768},
    fields=_FIELDS,
    archives=tuple(_archives()),
    folder="pcam",
    absent={"val": ("mask",), "test": ("mask",)},
    notes=(
        "the pictures are in one compressed HDF5 file a split: unpack it, or `vdata index pcam`; train_x has 7.2 GB",
        "the md5 sums in the README are exchanged between valid and test; those of the card fit the files' sizes",
        "the columns of the meta.csv files and the mask file of the training set were not checked against real files",
    ),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/000017": the row in the files, in all of which row 17 is about the same patch."""
    word = _ON_DISK[split]
    pictures, labels, meta, mask = (_name(word, part) for part in ("x.h5", "y.h5", "meta.csv", "mask.h5"))
    count = _count(files, pictures, "x", (_SIDE, _SIDE, 3))
    _same_count(files, pictures, count, labels, _count(files, labels, "y", (1, 1, 1)))
    numbers = h5_rows(files, labels, "y", slice(None)).flatten().tolist()
    about = list(_about(files, meta)) if meta in files else [{}] * count
    _same_count(files, pictures, count, meta, len(about))
    if mask in files:
        _same_count(files, pictures, count, mask, _count(files, mask, "mask", (_SIDE, _SIDE), (_SIDE, _SIDE, 1)))
        about = [row | {"mask": File(mask)} for row in about]
    for row, (label, more) in enumerate(zip(numbers, about)):
        if label not in (0, 1):
            raise DecodeError(f"row {row} of {labels} has the label {label}, which is neither 0 nor 1", url=files.url)
        yield {"__key__": f"{split}/{row:06d}", "image": File(pictures), "row": row, "label": label} | more


def _count(files: Files, path: str, name: str, *shapes: tuple[int, ...]) -> int:
    """How many rows an array has, if they are of one of these shapes and hold bytes."""
    found, dtype = h5_shape(files, path, name)
    if found[1:] not in shapes or dtype != "uint8":
        wanted = " or ".join(f"uint8 {['N', *shape]}" for shape in shapes)
        raise DecodeError(f"{name} of {path} is {dtype} {list(found)} and should be {wanted}", url=files.url)
    return found[0]


def _same_count(files: Files, first: str, count: int, second: str, other: int) -> None:
    if count != other:
        raise DataError(
            f"{first} has {count} rows and {second} has {other}: they are not of one download", url=files.url
        )


def _about(files: Files, path: str) -> Iterator[dict[str, Any]]:
    flags = {"0": 0, "False": 0, "1": 1, "True": 1}
    header = [name.strip(' "') for name in next(iter(lines(files, path)), "").split(",")]
    index = [name for name in header if name in _INDEX][:1]
    for row, (slide, x, y, tumour, *place) in enumerate(csv_rows(files, path, [*_META, *index])):
        if place and place != [str(row)]:
            what = f"row {row} of {path} calls itself {place[0]!r}: its rows are not in the order of the pictures"
            raise DataError(what, url=files.url)
        try:
            yield {"slide": slide, "coord_x": whole(x), "coord_y": whole(y), "tumor_patch": flags[tumour]}
        except (ValueError, KeyError) as error:
            raise DecodeError(f"row {row} of {path} is broken: {error}", url=files.url) from error


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    pixels = h5_rows(files, record["image"], "x", record["row"])
    made: Sample = {
        "image": Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous()),
        "label": Label(record["label"], categories=CLASSES),
    }
    if "mask" in record:
        tumour = h5_rows(files, record["mask"], "mask", record["row"]).reshape(_SIDE, _SIDE) > 0
        made["mask"] = Mask(torch.from_numpy(tumour.astype(np.uint8)), **_MASK)
    return made | {name: record[name] for name in ("slide", "coord_x", "coord_y", "tumor_patch") if name in record}


def fake(root: Path) -> None:
    """The six files as downloaded, the meta.csv files and the mask file; 13 patches."""
    for word, count in (("train", 6), ("valid", 4), ("test", 3)):
        patches = np.stack([photo(_SIDE, _SIDE, count, n).permute(1, 2, 0).numpy() for n in range(count)])
        labels = (np.arange(count, dtype=np.uint8) % 2).reshape(count, 1, 1, 1)
        gzip_file(root / _name(word, "x.h5.gz"), _hdf5("x", patches))
        gzip_file(root / _name(word, "y.h5.gz"), _hdf5("y", labels))
        rows = [f"{n},{100 * n},{7 * n},{n > 0},{n % 2 == 1},camelyon16_{word}_{n // 2:03d}\n" for n in range(count)]
        head = ",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi\n"
        (root / _name(word, "meta.csv")).write_text(head + "".join(rows))
        if word == "train":
            gzip_file(root / _name(word, "mask.h5.gz"), _hdf5("mask", (patches[..., :1] > 127).astype(np.uint8)))


def _hdf5(name: str, values: np.ndarray) -> bytes:
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError("HDF5 is written by h5py: pip install 'vdata-vision[datasets]'") from error
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file[name] = values
    return out.getvalue()
