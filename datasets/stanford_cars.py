"""Stanford Cars: 196 makes, models and years of cars, each picture with the box of its car."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata import codecs
from vdata.annotations import expect_names, mat
from vdata.annotations.boxes import corners
from vdata.card import Archive, Card
from vdata.datasets._mat import mat_bytes
from vdata.datasets._stanford_cars_classes import CLASSES
from vdata.encoded import read_encoded
from vdata.errors import DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import BoundingBoxes, Label
from vdata.testing import jpeg, photo, tar_file

_META = "devkit/cars_meta.mat"
_ANNOTATIONS = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
_CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")  # by name: the README gives another order than the file has

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W"), doc="the few grey ones are given as RGB"),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
    "boxes": Field("BoundingBoxes", "float32", (1, 4), meta={"format": "XYXY"}, doc="around the car"),
    "labels": Field("Label", "int64", (1,), meta={"categories": CLASSES}, doc="of the box"),
}
_GONE = "the authors' site is gone (404 since April 2023)"
_COPIES = "Kaggle has a copy as jessicali9530/stanford-cars-dataset; pytorch/vision issue 7545 tells of others"


def _manual(what: str) -> str:
    return f"{_GONE}: put this file there, or {what}. {_COPIES}"


card = Card(
    name="stanford_cars",
    title="Stanford Cars (Cars196)",
    task="classification, detection",
    home="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
    licence="non-commercial research, as far as is known (not verified)",
    citation="Krause, Stark, Deng and Fei-Fei, 3D Object Representations for Fine-Grained Categorization, 3dRR at ICCV 2013",
    splits={"train": 8_144, "test": 8_041},
    fields=_FIELDS,
    archives=(
        Archive(
            "cars_train.tgz", bytes=979_269_282, tree="cars_train", when={"split": ("train",)},
            sha256="512b227b30e2f0a8aab9e09485786ab4479582073a144998da74d64b801fd288",
            md5="065e5b463ae28d29e77c1b4b166cfe61",
            manual=_manual("its pictures as stanford_cars/cars_train/00001.jpg to 08144.jpg"),
        ),
        Archive(
            "cars_test.tgz", bytes=977_350_468, tree="cars_test", when={"split": ("test",)},
            sha256="bffea656d6f425cba3c91c6d83336e4c5f86c6cffd8975b0f375d3a10da8e243",
            md5="4ce7ebf6a94d07f1952d94dd34c4d501",
            manual=_manual("its pictures as stanford_cars/cars_test/00001.jpg to 08041.jpg"),
        ),
        Archive(
            "car_devkit.tgz", bytes=330_960, tree=_ANNOTATIONS["train"], when={"split": ("train",)}, held=("**",),
            sha256="b97deb463af7d58b6bfaa18b2a4de9829f0f79e8ce663dfa9261bf7810e9accd",
            md5="c3b158d763b6e2245038c8ad08e45376",
            manual=_manual(f"from it stanford_cars/{_ANNOTATIONS['train']}"),
        ),
        Archive(
            _ANNOTATIONS["test"], bytes=185_758, when={"split": ("test",)},
            sha256="790f75be8ea34eeded134cc559332baf23e30e91367e9ddca97d26ed9b895f05",
            md5="b0a2b23655a3edd16d84508592a98d10",
            manual=f"{_GONE}: put this file there. {_COPIES}",
        ),
    ),
    folder="stanford_cars",
    notes=(
        f"{_GONE}; the files were at https://ai.stanford.edu/~jkrause/car196/ and /~jkrause/cars/",
        "the files' corners are taken to count pixels from 1 and to include both ends, as MATLAB does (not verified)",
        "the labels of the test set are in cars_test_annos_withlabels.mat only, and not in the devkit",
    ),
)  # fmt: skip


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "cars_train/00001", in the order of the annotations."""
    path = _ANNOTATIONS[split]
    if _META in files:
        expect_names(files, _META, CLASSES, [str(name) for name in mat(files, _META, "class_names")[0]])
    (annotations,) = mat(files, path, "annotations")
    for number, row in enumerate(annotations if isinstance(annotations, list) else [annotations], 1):
        try:
            yield _record(row, split)
        except (TypeError, ValueError, KeyError, DecodeError) as error:
            raise DecodeError(f"annotation {number} of {path} is broken: {error}", url=files.url) from error


def _record(row: Any, split: str) -> dict[str, Any]:
    lacking = [name for name in (*_CORNERS, "class", "fname") if name not in row]
    if lacking:
        raise ValueError(f"it has no {', '.join(lacking)}")
    x1, y1, x2, y2 = (float(row[name]) for name in _CORNERS)
    label, path = row["class"] - 1, f"cars_{split}/{row['fname']}"
    if label not in range(len(CLASSES)):
        raise ValueError(f"its class {row['class']} is none of 1 to {len(CLASSES)}")
    return {
        "__key__": path.removesuffix(".jpg"),
        "image": File(path),
        "label": int(label),
        "box": corners(x1, y1, x2, y2, one_based=True),
    }


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    image = read_encoded(files, record, "image", _FIELDS["image"])
    box = torch.tensor([record["box"]], dtype=torch.float32)
    return {
        "image": image,
        "label": Label(record["label"], categories=CLASSES),
        "boxes": BoundingBoxes(box, format="XYXY", canvas_size=codecs.size(image)),
        "labels": Label([record["label"]], categories=CLASSES),
    }


def fake(root: Path) -> None:
    """Five cars to train with, one of them grey, and three to test; the annotations begin with the last."""
    rows = {split: [_car(n, count) for n in range(count, 0, -1)] for split, count in (("train", 5), ("test", 3))}
    bare = [{name: value for name, value in row.items() if name != "class"} for row in rows["test"]]
    tar_file(
        root / "car_devkit.tgz",
        {
            "devkit/README.txt": b"bbox_x1, bbox_x2, bbox_y1, bbox_y2\n",
            _META: mat_bytes({"class_names": list(CLASSES)}),
            "devkit/cars_train_annos.mat": mat_bytes({"annotations": rows["train"]}),
            "devkit/cars_test_annos.mat": mat_bytes({"annotations": bare}),
        },
    )
    (root / _ANNOTATIONS["test"]).write_bytes(mat_bytes({"annotations": rows["test"]}))
    for split, cars in rows.items():
        pictures = {f"cars_{split}/{car['fname']}": _picture(n, grey=n == 1) for n, car in enumerate(cars)}
        tar_file(root / f"cars_{split}.tgz", pictures)


def _car(number: int, count: int) -> dict[str, Any]:
    """One row, its corners from 1 on, in the order of the real struct."""
    x1, y1 = (1, 1) if number == 1 else (2 + number, 4 + 2 * number)
    named = zip((*_CORNERS, "class"), (x1, y1, x1 + 30, y1 + 20, 196 if number == 2 else 7 * number + count))
    return {name: np.array([[value]], np.uint16 if name != "class" else np.uint8) for name, value in named} | {
        "fname": f"{number:05d}.jpg"
    }


def _picture(seed: int, grey: bool) -> bytes:
    return jpeg(photo(48 + seed, 72 - seed, seed, channels=1 if grey else 3))
