"""FER-2013: faces in seven moods, 48 x 48 grey pixels written as decimal numbers in a CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from vdata.card import Archive, Card
from vdata.errors import DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Image, Label
from vdata.testing import photo, zip_file

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_USAGES = {
    "train": ("Training",),
    "test": ("PublicTest", "PrivateTest"),
    "public_test": ("PublicTest",),
    "private_test": ("PrivateTest",),
}
_WHOLE = ("fer2013.csv", "icml_face_data.csv")
_SIDE, _PIXELS = 48, 48 * 48
_MAX_LINE = 1 << 16  # a row has at most 9,300 bytes

_FIELDS = {
    "image": Field("Image", "uint8", (1, _SIDE, _SIDE)),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}, optional=True, doc="test.csv has none"),
    "usage": Field("str", optional=True, doc="Training, PublicTest or PrivateTest, where the file says it"),
}
_KAGGLE = "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge"
_HOW = f"from the Data tab of {_KAGGLE}, after a login and with the competition's rules accepted"
_TOO = "from the same place"


def _file(
    name: str, *splits: str, how: str = _TOO, tree: str | tuple[()] = (), md5: str = "", sha256: str = ""
) -> Archive:
    when = {"split": splits} if splits else {}
    return Archive(name, manual=how, group="csv", tree=tree, when=when, md5=md5, sha256=sha256)


card = Card(
    name="fer2013",
    title="FER-2013, the facial expressions of ICML 2013",
    task="classification",
    home=_KAGGLE,
    licence="rules of the Kaggle competition; no open licence is known",
    citation="Goodfellow et al., Challenges in Representation Learning: A Report on Three Machine Learning Contests, "
    "ICONIP 2013",
    splits={"train": 28_709, "test": 7_178, "public_test": 3_589, "private_test": 3_589},
    fields=_FIELDS,
    archives=(
        _file("fer2013.csv", how=_HOW, md5="f8428a1edbd21e88f42c73edd2a14f95"),
        _file("icml_face_data.csv", md5="b114b9e04e6949e5fe8b6a98b3892b1d"),
        _file("train.csv", "train", md5="3f0dfb3d3fd99c811a1299cb947e3131"),
        _file("test.csv", "test", md5="b02c2298636a634e8c2faabbf3ea9a23"),
        _file(
            "train.csv.zip",
            "train",
            tree="train.csv",
            sha256="a2b7c9360cc0b38d21187e5eece01c2799fce5426cdeecf746889cc96cda2d10",
        ),
        _file(
            "test.csv.zip",
            "test",
            tree="test.csv",
            sha256="dec8dfe8021e30cd6704b85ec813042b4a5d99d81cb55e023291a94104f575c3",
        ),
    ),
    folder="fer2013",
    notes=(
        "fer2013.csv is read where it is there, else icml_face_data.csv, else the split's own file, as torchvision does",
        "only fer2013.csv and icml_face_data.csv have labels of the test set, and say which half of it is public",
        "whether test.csv has 7,178 rows was not checked against the real file",
    ),
    unsure=("test",),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/00017" or "test/00017": the row's number among those of the training or the test set.

    A record holds where the pixels lie in the file: no more than that is read for a sample.
    """
    name = next((name for name in _WHOLE if name in files), f"{split}.csv")
    if name not in files:
        name = _WHOLE[0]  # which says what is missing, when it is opened
    counted = "train" if split == "train" else "test"
    number = 0
    with files.open(name) as file:
        for row in _rows(file, name, files.url):
            usage = row.get("usage")
            if usage is None or usage in _USAGES[counted]:
                if usage is None or usage in _USAGES[split]:
                    yield {"__key__": f"{counted}/{number:05d}"} | row
                number += 1


def _rows(file: BinaryIO, name: str, url: str) -> Iterator[dict[str, Any]]:
    """Rows of the CSV as records. Python's reader does not say where a cell lies, so it gets the file line by line."""
    at = line = 0
    header: list[str] | None = None
    while raw := file.readline(_MAX_LINE):
        line += 1
        try:
            cells = next(csv.reader([raw.decode("utf-8-sig")], strict=True), [])
            if header is None:
                header = [cell.strip() for cell in cells]  # icml_face_data.csv has a blank after each comma
                if "pixels" not in header:
                    raise ValueError(f"there is no column pixels, but {', '.join(header)}")
            elif cells:
                if len(cells) != len(header):
                    raise ValueError(f"it has {len(cells)} columns, the header {len(header)}")
                row = dict(zip(header, cells))
                yield {"image": File(name), "offset": at + raw.index(row["pixels"].encode())} | _about(row)
        except (ValueError, csv.Error) as error:
            raise DecodeError(f"line {line} of {name}: {error}", url=url, byte=at) from error
        at += len(raw)


def _about(row: Mapping[str, str]) -> dict[str, Any]:
    """What a row says beside its pixels."""
    about: dict[str, Any] = {"size": len(row["pixels"])}
    if "emotion" in row:
        about["label"] = int(row["emotion"])
        if not 0 <= about["label"] < len(CLASSES):
            raise ValueError(f"the emotion {about['label']} is none of 0 to {len(CLASSES) - 1}")
    if "Usage" in row:
        about["usage"] = row["Usage"].strip()
        if about["usage"] not in (*_USAGES["train"], *_USAGES["test"]):
            raise ValueError(f"the usage {about['usage']!r} is none of Training, PublicTest and PrivateTest")
    return about


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    where = {"url": files.url, "field": "image", "byte": record["offset"]}
    made: Sample = {"image": _face(files.read(record["image"], record["offset"], record["size"]), where)}
    if "label" in record:
        made["label"] = Label(record["label"], categories=CLASSES)
    if "usage" in record:
        made["usage"] = record["usage"]
    return made


def _face(text: bytes, where: Mapping[str, Any]) -> Image:
    try:
        pixels = bytearray(map(int, text.split()))  # a number that no byte can hold is a ValueError too
    except ValueError as error:
        raise DecodeError(f"the pixels are not numbers from 0 to 255: {error}", **where) from error
    if len(pixels) != _PIXELS:
        raise DecodeError(f"{len(pixels)} pixels, and not {_PIXELS}", **where)
    return Image(torch.frombuffer(pixels, dtype=torch.uint8).reshape(1, _SIDE, _SIDE))


def fake(root: Path) -> None:
    """All files that Kaggle has, with the same 12 faces: seven to train with, three and two to test."""
    usages = ["Training"] * 7 + ["PublicTest"] * 3 + ["PrivateTest"] * 2
    rows = [(str(n % 7), _pixels(n), usage) for n, usage in enumerate(usages)]
    train, test = ([r for r in rows if (r[2] == "Training") == first] for first in (True, False))
    csvs = {
        "fer2013.csv": ["emotion,pixels,Usage", *(f"{e},{p},{u}" for e, p, u in rows)],
        "icml_face_data.csv": ["emotion, Usage, pixels", *(f"{e},{u},{p}" for e, p, u in rows)],
        "train.csv": ["emotion,pixels", *(f'{e},"{p}"' for e, p, _ in train)],
        "test.csv": ["pixels", *(f'"{p}"' for _, p, _ in test)],
    }
    for name, lines in csvs.items():
        data = "".join(f"{line}\n" for line in lines).encode()
        (root / name).write_bytes(data)
        if name in ("train.csv", "test.csv"):
            zip_file(root / f"{name}.zip", {name: data})


def _pixels(seed: int) -> str:
    return " ".join(map(str, photo(_SIDE, _SIDE, seed, channels=1).flatten().tolist()))
