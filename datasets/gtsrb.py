"""GTSRB: German traffic signs in 43 classes, with the sign's box; frames of one drive past a sign share a track."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from vdata import codecs
from vdata.annotations import csv_rows
from vdata.annotations.boxes import corners
from vdata.card import Archive, Card, Option
from vdata.encoded import read_encoded
from vdata.errors import DataError, DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import BoundingBoxes, Label
from vdata.testing import photo, ppm, zip_file

CLASSES = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70", "speed limit 80",
    "end of speed limit 80", "speed limit 100", "speed limit 120", "no overtaking", "no overtaking by trucks",
    "right of way at next intersection", "priority road", "yield", "stop", "no vehicles", "no trucks", "no entry",
    "general caution", "dangerous curve left", "dangerous curve right", "double curve", "bumpy road", "slippery road",
    "road narrows on the right", "road work", "traffic signals", "pedestrians", "children crossing",
    "bicycles crossing", "beware of ice or snow", "wild animals crossing", "end of all limits", "turn right ahead",
    "turn left ahead", "ahead only", "go straight or right", "go straight or left", "keep right", "keep left",
    "roundabout mandatory", "end of no overtaking", "end of no overtaking by trucks",
)  # fmt: skip

_DIGITS = re.compile("[0-9]{1,9}")
_TRAIN = {"online": "GTSRB/Training", "final": "GTSRB/Final_Training/Images"}
_TEST = "GTSRB/Final_Test/Images"
_TRUTH = "GT-final_test.csv"
_HEADER = ("Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
_COUNTS = {"online": 26_640, "final": 39_209}
_SERVER = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
    "boxes": Field("BoundingBoxes", "float32", (1, 4), meta={"format": "XYXY"}, doc="the sign, as the file gives it"),
    "labels": Field("Label", "int64", (1,), meta={"categories": CLASSES}, doc="`label`, for the box"),
    "track": Field("int", doc="frames of one sign; numbered within a class"),
    "frame": Field("int", doc="0 is the farthest from the sign"),
}

card = Card(
    name="gtsrb",
    title="German Traffic Sign Recognition Benchmark",
    task="classification, detection",
    home="https://benchmark.ini.rub.de/gtsrb_dataset.html",
    licence="free for research with citation (the formal licence is not confirmed)",
    citation="Stallkamp, Schlipsing, Salmen and Igel, Man vs. computer: Benchmarking machine learning algorithms for "
    "traffic sign recognition, Neural Networks 32, 2012",
    splits={"train": _COUNTS["online"], "test": 12_630},
    fields=_FIELDS,
    absent={"test": ("track", "frame")},
    options={
        "train_set": Option(
            "online",
            tuple(_TRAIN),
            "online: the 26,640 pictures of the competition's first stage; final: the 39,209 of most papers",
        ),
    },
    archives=(
        Archive(
            "GTSRB-Training_fixed.zip",
            _SERVER + "GTSRB-Training_fixed.zip",
            tree=_TRAIN["online"],
            when={"split": ("train",), "train_set": ("online",)},
            bytes=187_490_228,
            sha256="df4144942083645bd60b594de348aa6930126c3e0e5de09e39611630abf8455a",
            md5="513f3c79a4c5141765e10e952eaa2478",
        ),
        Archive(
            "GTSRB_Final_Training_Images.zip",
            _SERVER + "GTSRB_Final_Training_Images.zip",
            tree=_TRAIN["final"],
            when={"split": ("train",), "train_set": ("final",)},
        ),
        Archive(
            "GTSRB_Final_Test_Images.zip",
            _SERVER + "GTSRB_Final_Test_Images.zip",
            tree=_TEST,
            when={"split": ("test",)},
            bytes=88_978_620,
            sha256="48ba6fab7e877eb64eaf8de99035b0aaecfbc279bee23e35deca4ac1d0a837fa",
            md5="c7e4e6327067d32654124b0fe9e82185",
        ),
        Archive(
            "GTSRB_Final_Test_GT.zip",
            _SERVER + "GTSRB_Final_Test_GT.zip",
            tree=_TRUTH,
            when={"split": ("test",)},
            bytes=99_620,
            sha256="f94e5a7614d75845c74c04ddb26b8796b9e483f43541dd95dd5b726504e16d6d",
            md5="fe31e9c9270bbcd7b84b7f21a9d9d9e5",
        ),
    ),
    folder="gtsrb",
    notes=(
        "split by track, not by picture, to validate: a track has up to 30 pictures of one sign",
        "the archives number the classes; their names here are common knowledge",
        "boxes are the file's numbers; nobody confirmed whether X2 and Y2 are the last pixel of the sign",
        "no checksum of GTSRB_Final_Training_Images.zip is known",
    ),
)


def count(split: str, train_set: str) -> int | None:
    return _COUNTS[train_set] if split == "train" else card.splits["test"]


def samples(files: Files, split: str, train_set: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "00012/00003_00029" (class, track, frame) in train, "00042" in test; both in torchvision's order.

    The label is the class number itself. GT-final_test.test.csv, a list of the test pictures without classes, is not read.
    """
    if split == "test":
        for row in _rows(files, _TRUTH):
            yield _record(files, _TRUTH, _TEST, row, row["Filename"].removesuffix(".ppm"))
        return
    top = _TRAIN[train_set]
    pictures = files.glob(f"{top}/*/*.ppm")
    tables = files.glob(f"{top}/*/GT-*.csv")
    for folder in sorted({path.rpartition("/")[0] for path in pictures + tables}):
        yield from _class(files, folder, {p for p in pictures if p.startswith(folder + "/")})


def _class(files: Files, folder: str, pictures: set[str]) -> Iterator[dict[str, Any]]:
    """The samples of one class folder: what its CSV lists."""
    name = folder.rpartition("/")[2]
    path = f"{folder}/GT-{name}.csv"
    for row in sorted(_rows(files, path), key=lambda row: row["Filename"]):
        stem = row["Filename"].removesuffix(".ppm")
        track, frame = map(_number, stem.partition("_")[::2])
        if row["ClassId"] != _number(name):
            raise DataError(f"{path} gives {row['Filename']} the class {row['ClassId']}", url=files.url)
        if track is None or frame is None:
            raise DataError(f"{path} lists {row['Filename']}, whose name has no track and frame", url=files.url)
        record = _record(files, path, folder, row, f"{name}/{stem}") | {"track": track, "frame": frame}
        pictures.discard(record["image"])
        yield record
    if pictures:
        raise DataError(f"{path} does not list {min(pictures)}", url=files.url)


def _rows(files: Files, path: str) -> Iterator[dict[str, Any]]:
    for name, *texts in csv_rows(files, path, _HEADER, delimiter=";"):
        numbers = [_number(text) for text in texts]
        if None in numbers or not 0 <= (numbers[-1] or 0) < len(CLASSES):
            raise DataError(f"{path} has no whole numbers, or no class below {len(CLASSES)}, for {name}", url=files.url)
        yield dict(zip(_HEADER, (name, *numbers), strict=True))


def _number(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _record(files: Files, path: str, folder: str, row: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        box = corners(row["Roi.X1"], row["Roi.Y1"], row["Roi.X2"], row["Roi.Y2"])
    except DecodeError as error:
        raise error.at(url=f"{files.url}/{path}", key=key, field="boxes") from None
    return {"__key__": key, "image": File(f"{folder}/{row['Filename']}"), "label": row["ClassId"], "boxes": box}


def sample(files: Files, record: Mapping[str, Any], train_set: str) -> Sample:
    image = read_encoded(files, record, "image", _FIELDS["image"])
    box = torch.tensor([record["boxes"]], dtype=torch.float32)
    return {
        "image": image,
        "label": Label(record["label"], categories=CLASSES),
        "boxes": BoundingBoxes(box, format="XYXY", canvas_size=codecs.size(image)),
        "labels": Label([record["label"]], categories=CLASSES),
    } | {name: record[name] for name in ("track", "frame") if name in record}


# -- made-up data ------------------------------------------------------------------------------------------------------


def fake(root: Path) -> None:
    """All four archives: three classes with a gap between their numbers, and six test pictures."""
    for train_set, archive, tracks in (
        ("online", "GTSRB-Training_fixed.zip", 2),
        ("final", "GTSRB_Final_Training_Images.zip", 3),
    ):
        zip_file(root / archive, _fake_train(_TRAIN[train_set], tracks) | {"GTSRB/Readme-Images.txt": b"about\n"})
    rows = [(f"{n:05d}.ppm", 16 + n, 20 + 2 * n, number) for n, number in enumerate((12, 0, 42, 12, 7, 0))]
    pictures = {f"{_TEST}/{name}": ppm(photo(h, w, 9, n)) for n, (name, h, w, _) in enumerate(rows)}
    bare = _csv([row[:3] for row in rows], _HEADER[:-1])
    zip_file(
        root / "GTSRB_Final_Test_Images.zip",
        {f"{_TEST}/GT-final_test.test.csv": bare, "GTSRB/Readme-Images-Final-test.txt": b"about\n"} | pictures,
    )
    zip_file(root / "GTSRB_Final_Test_GT.zip", {_TRUTH: _csv(rows, _HEADER)})


def _fake_train(top: str, tracks: int) -> dict[str, bytes]:
    out: dict[str, bytes] = {}
    for number in (0, 12, 42):
        folder = f"{top}/{number:05d}"
        rows = [(f"{t:05d}_{f:05d}.ppm", 15 + 3 * f + t, 17 + 2 * f, number) for t in range(tracks) for f in range(2)]
        out |= {f"{folder}/{name}": ppm(photo(h, w, number, n)) for n, (name, h, w, _) in enumerate(rows)}
        out[f"{folder}/GT-{number:05d}.csv"] = _csv(rows, _HEADER)
    return out


def _csv(rows: list[Any], header: tuple[str, ...]) -> bytes:
    """Rows of (file name, height, width and, if known, class); the sign is five or six pixels from the border."""
    lines = [f"{name};{w};{h};5;6;{w - 6};{h - 5}" + "".join(f";{c}" for c in rest) for name, h, w, *rest in rows]
    return "\n".join([";".join(header), *lines, ""]).encode()
