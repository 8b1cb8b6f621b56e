"""FGVC-Aircraft: aircraft by variant, family and manufacturer, each with its box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from vdata import codecs
from vdata.annotations import expect_names, lines
from vdata.annotations.boxes import corners, whole
from vdata.card import Archive, Card, Option
from vdata.encoded import Encoded, read_encoded
from vdata.errors import DataError, DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import BoundingBoxes, Image, Label
from vdata.testing import jpeg, photo, tar_file

VARIANTS = (
    "707-320", "727-200", "737-200", "737-300", "737-400", "737-500", "737-600", "737-700", "737-800", "737-900",
    "747-100", "747-200", "747-300", "747-400", "757-200", "757-300", "767-200", "767-300", "767-400", "777-200",
    "777-300", "A300B4", "A310", "A318", "A319", "A320", "A321", "A330-200", "A330-300", "A340-200", "A340-300",
    "A340-500", "A340-600", "A380", "ATR-42", "ATR-72", "An-12", "BAE 146-200", "BAE 146-300", "BAE-125",
    "Beechcraft 1900", "Boeing 717", "C-130", "C-47", "CRJ-200", "CRJ-700", "CRJ-900", "Cessna 172", "Cessna 208",
    "Cessna 525", "Cessna 560", "Challenger 600", "DC-10", "DC-3", "DC-6", "DC-8", "DC-9-30", "DH-82", "DHC-1",
    "DHC-6", "DHC-8-100", "DHC-8-300", "DR-400", "Dornier 328", "E-170", "E-190", "E-195", "EMB-120", "ERJ 135",
    "ERJ 145", "Embraer Legacy 600", "Eurofighter Typhoon", "F-16A/B", "F/A-18", "Falcon 2000", "Falcon 900",
    "Fokker 100", "Fokker 50", "Fokker 70", "Global Express", "Gulfstream IV", "Gulfstream V", "Hawk T1", "Il-76",
    "L-1011", "MD-11", "MD-80", "MD-87", "MD-90", "Metroliner", "Model B200", "PA-28", "SR-20", "Saab 2000",
    "Saab 340", "Spitfire", "Tornado", "Tu-134", "Tu-154", "Yak-42",
)  # fmt: skip
FAMILIES = (
    "A300", "A310", "A320", "A330", "A340", "A380", "ATR-42", "ATR-72", "An-12", "BAE 146", "BAE-125",
    "Beechcraft 1900", "Boeing 707", "Boeing 717", "Boeing 727", "Boeing 737", "Boeing 747", "Boeing 757",
    "Boeing 767", "Boeing 777", "C-130", "C-47", "CRJ-200", "CRJ-700", "Cessna 172", "Cessna 208", "Cessna Citation",
    "Challenger 600", "DC-10", "DC-3", "DC-6", "DC-8", "DC-9", "DH-82", "DHC-1", "DHC-6", "DR-400", "Dash 8",
    "Dornier 328", "EMB-120", "Embraer E-Jet", "Embraer ERJ 145", "Embraer Legacy 600", "Eurofighter Typhoon", "F-16",
    "F/A-18", "Falcon 2000", "Falcon 900", "Fokker 100", "Fokker 50", "Fokker 70", "Global Express", "Gulfstream",
    "Hawk T1", "Il-76", "King Air", "L-1011", "MD-11", "MD-80", "MD-90", "Metroliner", "PA-28", "SR-20", "Saab 2000",
    "Saab 340", "Spitfire", "Tornado", "Tu-134", "Tu-154", "Yak-42",
)  # fmt: skip
MANUFACTURERS = (
    "ATR", "Airbus", "Antonov", "Beechcraft", "Boeing", "Bombardier Aerospace", "British Aerospace", "Canadair",
    "Cessna", "Cirrus Aircraft", "Dassault Aviation", "Dornier", "Douglas Aircraft Company", "Embraer", "Eurofighter",
    "Fairchild", "Fokker", "Gulfstream Aerospace", "Ilyushin", "Lockheed Corporation", "Lockheed Martin",
    "McDonnell Douglas", "Panavia", "Piper", "Robin", "Saab", "Supermarine", "Tupolev", "Yakovlev", "de Havilland",
)  # fmt: skip

LEVELS = {"variant": VARIANTS, "family": FAMILIES, "manufacturer": MANUFACTURERS}
_LISTS = {
    "variant": "variants",
    "family": "families",
    "manufacturer": "manufacturers",
}  # where the archive names the classes
BANNER = 20  # rows at the bottom of every picture that name the photographer
_DATA = "fgvc-aircraft-2013b/data/"

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), doc="the class of `annotation_level`, with the names of that level"),
    **{level: Field("Label", "int64", (), meta={"categories": names}) for level, names in LEVELS.items()},
    "boxes": Field("BoundingBoxes", "float32", (1, 4), meta={"format": "XYXY"}),
    "labels": Field("Label", "int64", (1,), doc="`label`, for the box"),
}

card = Card(
    name="fgvc_aircraft",
    title="FGVC-Aircraft 2013b",
    task="fine-grained classification, detection",
    home="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
    licence="non-commercial research only; the photographers keep their copyright",
    citation="Maji, Kannala, Rahtu, Blaschko and Vedaldi, Fine-Grained Visual Classification of Aircraft, "
    "arXiv:1306.5151, 2013",
    splits={"train": 3_334, "val": 3_333, "trainval": 6_667, "test": 3_333},
    unsure=("train", "val"),
    fields=_FIELDS,
    options={
        "annotation_level": Option(
            "variant", tuple(LEVELS), "what `label` says; all three levels are fields in any case"
        ),
        "remove_banner": Option(
            False, (False, True), f"without the {BANNER} rows at the bottom that name the photographer"
        ),
    },
    archives=(
        Archive(
            "fgvc-aircraft-2013b.tar.gz",
            "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
            tree=_DATA + "images",
            held=(_DATA + "*.txt",),
        ),
    ),
    notes=(
        "the archive's README speaks of 102 variants, 41 manufacturers and 10,200 pictures; it has 100, 30 and 10,000",
        "no trustworthy checksum of the archive is known",
        "the authors ask to cut off the banner before training: remove_banner=True",
    ),
)


def samples(files: Files, split: str, annotation_level: str, remove_banner: bool) -> Iterator[dict[str, Any]]:
    """`__key__` is the picture's number, "0034309"; the order is that of the level's list of the split.

    Lists are joined by that number. A picture without a class on one of the levels, or without a box, is a DataError.
    """
    for level, names in LEVELS.items():
        expect_names(files, f"{_DATA}{_LISTS[level]}.txt", names)
    numbers = {level: _labels(files, level, split) for level in LEVELS}
    listed = numbers[annotation_level]
    for level, found in numbers.items():
        if odd := found.keys() ^ listed.keys():
            what = f"images_{level}_{split}.txt and images_{annotation_level}_{split}.txt do not list the same pictures"
            raise DataError(what, url=files.url, key=min(odd))
    boxes = _boxes(files)
    for key in listed:
        labels = {level: found[key] for level, found in numbers.items()}
        image = File(f"{_DATA}images/{key}.jpg")
        yield {"__key__": key, "image": image, **labels, "boxes": _box(files, key, boxes)}


def _boxes(files: Files) -> dict[str, str]:
    """Picture -> the four numbers of its box, as text."""
    boxes: dict[str, str] = {}
    for line in lines(files, _DATA + "images_box.txt"):
        key, text = _entry(files, "images_box.txt", line)
        if key in boxes:
            raise DataError(f"{_DATA}images_box.txt has two boxes of the picture", url=files.url, key=key)
        boxes[key] = text
    return boxes


def _labels(files: Files, level: str, split: str) -> dict[str, int]:
    """Picture -> class, in the list's order."""
    name = f"images_{level}_{split}.txt"
    classes = {c: n for n, c in enumerate(LEVELS[level])}
    out: dict[str, int] = {}
    for line in lines(files, _DATA + name):
        key, text = _entry(files, name, line)
        if text not in classes:
            raise DataError(
                f"{_DATA}{name} speaks of the {level} {text!r}, which is none of {len(classes)}", url=files.url, key=key
            )
        if key in out:
            raise DataError(f"{_DATA}{name} lists the picture twice", url=files.url, key=key)
        out[key] = classes[text]
    return out


def _entry(files: Files, name: str, line: str) -> tuple[str, str]:
    """A picture and what is said of it: names have blanks too."""
    key, _, text = line.partition(" ")
    if not (key.isascii() and key.isdecimal()) or not text.strip():
        raise DataError(
            f"{_DATA}{name} has a line {line[:200]!r} that is not a picture's number and what is said of it",
            url=files.url,
        )
    return key, text.strip()


def _box(files: Files, key: str, boxes: Mapping[str, str]) -> tuple[float, ...]:
    """The file counts pixels from 1 and includes both corners."""
    try:
        x1, y1, x2, y2 = map(whole, boxes[key].split())
        return corners(x1, y1, x2, y2, one_based=True)
    except DecodeError as error:
        raise error.at(url=f"{files.url}/{_DATA}images_box.txt", key=key) from None
    except KeyError:
        raise DataError(f"{_DATA}images_box.txt has no box of this picture", url=files.url, key=key) from None
    except ValueError:
        raise DataError(
            f"{_DATA}images_box.txt has {boxes[key]!r} where four whole numbers should be", url=files.url, key=key
        ) from None


def sample(files: Files, record: Mapping[str, Any], annotation_level: str, remove_banner: bool) -> Sample:
    image: Encoded | Image = read_encoded(files, record, "image", _FIELDS["image"])
    height, width = codecs.size(image)
    box = torch.tensor([record["boxes"]], dtype=torch.float32)
    if remove_banner:
        height = max(height - BANNER, 1)
        image = codecs.decode(image, window=(0, 0, height, width))
        box[:, 1::2] = box[:, 1::2].clamp(max=height)
    labels = {level: Label(record[level], categories=names) for level, names in LEVELS.items()}
    boxes = BoundingBoxes(box, format="XYXY", canvas_size=(height, width))
    label = labels[annotation_level]
    return {
        "image": image,
        "label": label,
        **labels,
        "boxes": boxes,
        "labels": Label(label[None], categories=label.categories),
    }


# -- made-up data ------------------------------------------------------------------------------------------------------

_FAKE = {  # split -> (variant, family, manufacturer) of its pictures
    "train": (
        ("707-320", "Boeing 707", "Boeing"), ("F/A-18", "F/A-18", "McDonnell Douglas"), ("Yak-42", "Yak-42", "Yakovlev"),
    ),
    "val": (("DHC-1", "DHC-1", "de Havilland"), ("BAE 146-200", "BAE 146", "British Aerospace")),
    "test": (
        ("A380", "A380", "Airbus"), ("737-700", "Boeing 737", "Boeing"), ("Spitfire", "Spitfire", "Supermarine"),
        ("C-47", "C-47", "Douglas Aircraft Company"),
    ),
}  # fmt: skip


def fake(root: Path) -> None:
    """The archive with two to four pictures a split; each one's box reaches into the banner."""
    files: dict[str, bytes] = {f"fgvc-aircraft-2013b/{n}": b"about\n" for n in ("README.md", "evaluation.m")}
    listed: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    boxes: list[str] = []
    for number, (split, about) in enumerate((s, a) for s, all_ in _FAKE.items() for a in all_):
        key, (height, width) = f"{(number * 7919 + 34309) % 2_300_000:07d}", (60 + 4 * number, 96 - 3 * number)
        files[f"{_DATA}images/{key}.jpg"] = jpeg(photo(height, width, number))
        boxes.append(f"{key} {3 + number} {5 + number} {width - 4} {height - 10}\n")
        for name in (split, *(("trainval",) if split != "test" else ())):
            listed.setdefault(name, []).append((key, about))
    for split, entries in listed.items():
        files[f"{_DATA}images_{split}.txt"] = "".join(f"{key}\n" for key, _ in entries).encode()
        for place, level in enumerate(LEVELS):
            files[f"{_DATA}images_{level}_{split}.txt"] = "".join(
                f"{k} {about[place]}\n" for k, about in entries
            ).encode()
    for level, names in LEVELS.items():
        files[f"{_DATA}{_LISTS[level]}.txt"] = "".join(f"{name}\n" for name in names).encode()
    files[f"{_DATA}images_box.txt"] = "".join(reversed(boxes)).encode()
    tar_file(root / "fgvc-aircraft-2013b.tar.gz", files)
