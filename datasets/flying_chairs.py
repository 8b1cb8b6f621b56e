"""FlyingChairs: rendered chairs on photographs, dense flow. Files are joined by their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vdata import codecs
from vdata.annotations import lines
from vdata.card import Archive, Card
from vdata.datasets._frames import numbers
from vdata.encoded import read_encoded
from vdata.errors import DataError, DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.testing import flow, photo, ppm, zip_file

_LIST = "FlyingChairs_train_val.txt"
_CODES = {"train": "1", "val": "2"}
_PARTS = {"image1": "img1.ppm", "image2": "img2.ppm", "flow": "flow.flo"}
_PICTURE = Field("Image", "uint8", (3, "H", "W"), doc="384 x 512")
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field("Flow", "float32", (2, "H", "W"), meta={"views": ("image1", "image2")}, doc="known everywhere"),
}
_HOST = "https://lmb.informatik.uni-freiburg.de"

card = Card(
    name="flying_chairs",
    title="FlyingChairs",
    task="optical flow",
    home=f"{_HOST}/resources/datasets/FlyingChairs.en.html",
    licence="research only, no commercial use",
    citation="Dosovitskiy, Fischer, Ilg, Haeusser, Hazirbas, Golkov, van der Smagt, Cremers and Brox, FlowNet: Learning Optical "
    "Flow with Convolutional Networks, ICCV 2015",
    splits={"train": 22_232, "val": 640},
    fields=_FIELDS,
    archives=(
        Archive(
            "FlyingChairs.zip",
            f"{_HOST}/data/FlyingChairs/FlyingChairs.zip",
            32_892_488_308,
            "9d675f7d1a01efe43eda1e9ecb12f4d5fae10447d3e1953b2a435a573670f43e",
            tree="data",  # a folder called data may be anything
            strip="FlyingChairs_release/",
        ),
        Archive(
            _LIST,
            f"{_HOST}/resources/datasets/FlyingChairs/{_LIST}",
            45_744,
            "9ae5000eb2caba66b4eb7464a88874330d62105fc29eb94a95f66dff91ba581e",
        ),
    ),
    folder="FlyingChairs",
    notes=("22,872 pairs; that 22,232 of them are for training was not checked against the list itself",),
    unsure=("train", "val"),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is the number, "00001". Line n of the list belongs to number n: 1 is train, 2 is val."""
    codes = lines(files, _LIST)
    known = numbers(files.glob("data/*"), r"(data)/(\d+)_(?:img1\.ppm|img2\.ppm|flow\.flo)").get("data", set())
    strays = sorted(known - set(range(1, len(codes) + 1)))
    if strays:
        raise DataError(
            f"data has a sample {strays[0]:05d}, and {_LIST} has {len(codes)} lines: it gives it no split",
            url=files.url,
            key=f"{strays[0]:05d}",
            do=f"get {_LIST} of this release, or remove the sample",
        )
    for number, code in enumerate(codes, 1):
        if code not in _CODES.values():
            raise DecodeError(f"line {number} of {_LIST} is {code!r}, neither 1 nor 2", url=files.url)
        if code == _CODES[split]:
            yield {"__key__": f"{number:05d}"} | {n: File(f"data/{number:05d}_{end}") for n, end in _PARTS.items()}


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return {name: read_encoded(files, record, name, field) for name, field in _FIELDS.items()}


def fake(root: Path) -> None:
    """`FlyingChairs.zip` with eight pairs, of which the list gives five to train and three to val."""
    members = {"FlyingChairs_release/README.txt": b"made up\n"}
    for number in range(1, 9):
        height, width = 12 + number, 20
        moved = flow(height, width, number)
        contents = (*(ppm(photo(height, width, number, n)) for n in (1, 2)), codecs.encode(moved)[1])
        for end, data in zip(_PARTS.values(), contents, strict=True):
            members[f"FlyingChairs_release/data/{number:05d}_{end}"] = data
    zip_file(root / "FlyingChairs.zip", members)
    (root / _LIST).write_text("1\n2\n1\n1\n2\n1\n1\n2\n")
