"""PASCAL VOC 2007 to 2012: objects of twenty classes with their boxes; some pictures with every pixel's class and object."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from vdata import codecs
from vdata.annotations import VocObject, lines, voc_objects
from vdata.card import Archive, Card, Option
from vdata.datasets._voc import boxes_of, flag_fields, flags_of
from vdata.encoded import read_encoded
from vdata.errors import DataError, DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Label
from vdata.testing import jpeg, photo, tar_file

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VOID = 255

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "boxes": Field("BoundingBoxes", "float32", ("N", 4), meta={"format": "XYXY"}, optional=True),
    "labels": Field("Label", "int64", ("N",), meta={"categories": CLASSES}, doc="1 to 20, as in mask", optional=True),
    **flag_fields(optional=True),
    "mask": Field("Mask", "uint8", ("H", "W"), meta={"kind": "semantic", "ignore_index": VOID, "categories": CLASSES},
                  doc='255: borders and what is too hard; with task="segmentation"', optional=True),
    "objects": Field("Mask", "uint8", ("H", "W"), meta={"kind": "semantic", "ignore_index": VOID},
                     doc='0 background, k the k-th object, in the order of boxes; with task="segmentation"', optional=True),
}  # fmt: skip
_PER_BOX = ("boxes", "labels", *flag_fields())
_YEARS = {
    "2007": ("VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
    "2008": ("VOCtrainval_14-Jul-2008.tar", "2629fa636546599198acfcfbfcf1904a"),
    "2009": ("VOCtrainval_11-May-2009.tar", "a3e00b113cfcfebf17e343f59da3caa1"),
    "2010": ("VOCtrainval_03-May-2010.tar", "da459979d0c395079b5c75ee67908abb"),
    "2011": ("VOCtrainval_25-May-2011.tar", "6c3384ef61512963050cb5d687e5bf1e"),
    "2012": ("VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),
}
_HOST = "https://thor.robots.ox.ac.uk/pascal/VOC"


def _base(year: str) -> str:
    """The folder of a year's files in its archive: that of 2011 has one more above it."""
    return f"TrainVal/VOCdevkit/VOC{year}" if year == "2011" else f"VOCdevkit/VOC{year}"


def _lists(year: str, *splits: str) -> tuple[str, ...]:
    """Each of them shows that the year's files are there: one that is lost is missed where it is needed only."""
    bases = dict.fromkeys((_base(year), f"VOCdevkit/VOC{year}"))
    return tuple(
        f"{b}/ImageSets/{subset}/{s}.txt" for b in bases for subset in ("Main", "Segmentation") for s in splits
    )


def _archives() -> Iterator[Archive]:
    for year, (name, md5) in _YEARS.items():
        yield Archive(name, f"{_HOST}/voc{year}/{name}", md5=md5, tree=_lists(year, "train", "val", "trainval"),
                      when={"year": (year,), "split": ("train", "val", "trainval")})  # fmt: skip
    when = {"split": ("test",)}
    name = "VOCtest_06-Nov-2007.tar"
    yield Archive(name, f"{_HOST}/voc2007/{name}", md5="b6e924de25625d8de591ea690078ad9f",
                  tree=_lists("2007", "test"), when=when | {"year": ("2007",)})  # fmt: skip
    for year in list(_YEARS)[1:]:
        manual = (
            f"register at http://host.robots.ox.ac.uk:8080/, log in, and download the test data of VOC{year} from there"
        )
        yield Archive(f"VOC{year}test.tar", manual=manual, tree=_lists(year, "test"),
                      when=when | {"year": (year,)})  # fmt: skip


card = Card(
    name="voc",
    title="PASCAL VOC 2007 to 2012",
    task="detection, segmentation",
    home="http://host.robots.ox.ac.uk/pascal/VOC/",
    licence="none stated; the photographs are from flickr, whose terms of use hold",
    citation="Everingham, Van Gool, Williams, Winn and Zisserman, The PASCAL Visual Object Classes (VOC) Challenge, IJCV 2010",
    splits={"train": 5717, "val": 5823, "trainval": 11_540, "test": None},
    fields=_FIELDS,
    archives=tuple(_archives()),
    options={
        "year": Option("2012", tuple(_YEARS), "of the challenge; the numbers of samples are those of 2012"),
        "task": Option(
            "detection", ("detection", "segmentation"), "the pictures of ImageSets/Main, or of ImageSets/Segmentation"
        ),
    },
    notes=(
        "labels count from 1 as the masks do: 0 is the background, which no box has",
        "the test pictures of 2008 to 2012 need a login and come without annotations: such samples have an image only; their "
        "archives' names and layout were not checked",
        "boxes are in continuous coordinates: the file's 1-based inclusive corners, the upper left one less 1",
        "2007 has no mark for what is occluded: all its objects say no",
        "parts of persons (layout) and actions are in the archives and are not read",
        "the numbers of samples of 2008, and of single splits of 2009 to 2011, were not found: they are not checked",
    ),
)

# (year, task) -> split -> samples, where they are published
_COUNTS: dict[tuple[str, str], dict[str, int]] = {
    ("2007", "detection"): {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952},
    ("2007", "segmentation"): {"train": 209, "val": 213, "trainval": 422, "test": 210},
    ("2009", "detection"): {"trainval": 7054},
    ("2010", "detection"): {"trainval": 10_103},
    ("2012", "detection"): {"train": 5717, "val": 5823, "trainval": 11_540},
    ("2012", "segmentation"): {"train": 1464, "val": 1449, "trainval": 2913},
}


def count(split: str, year: str, task: str) -> int | None:
    return _COUNTS.get((year, task), {}).get(split)


def samples(files: Files, split: str, *, year: str, task: str) -> Iterator[dict[str, Any]]:
    """In the order of the split's list; `__key__` is the picture's name, "2008_000008"."""
    subset = {"detection": "Main", "segmentation": "Segmentation"}[task]
    bases = [_base(year), f"VOCdevkit/VOC{year}"]
    base = next((b for b in bases if f"{b}/ImageSets/{subset}/{split}.txt" in files), bases[0])
    for name in lines(files, f"{base}/ImageSets/{subset}/{split}.txt"):
        record = {"__key__": name, "image": File(f"{base}/JPEGImages/{name}.jpg")}
        if split != "test" or year == "2007":
            record |= dict.fromkeys(_PER_BOX, File(f"{base}/Annotations/{name}.xml"))
            if task == "segmentation":
                record["mask"] = File(f"{base}/SegmentationClass/{name}.png")
                record["objects"] = File(f"{base}/SegmentationObject/{name}.png")
        yield record


def sample(files: Files, record: Mapping[str, Any], **_: Any) -> Sample:
    image = read_encoded(files, record, "image", _FIELDS["image"])
    out: Sample = {"image": image}
    if "boxes" in record:
        try:
            objects = voc_objects(files.read(record["boxes"]))
            out["boxes"] = boxes_of((o.box for o in objects), codecs.size(image))
            out["labels"] = Label([_class(o) for o in objects], categories=CLASSES, dtype=torch.int64)
            out |= flags_of(objects)
        except DataError as error:
            raise error.at(url=files.url, key=record["__key__"], field="boxes") from None
    return out | {n: read_encoded(files, record, n, _FIELDS[n]) for n in ("mask", "objects") if n in record}


def _class(found: VocObject) -> int:
    if found.name not in CLASSES[1:]:
        raise DecodeError(f"an object is a {found.name!r}, which is none of VOC's twenty classes")
    return CLASSES.index(found.name)


# -- fake --------------------------------------------------------------------------------------------------------------

_FAKE_SETS = {  # split -> numbers of its pictures, and of those with masks
    "train": ((1, 5), (5,)),
    "val": ((3,), (3,)),
    "trainval": ((1, 3, 5), (3, 5)),
    "test": ((2, 4), (4,)),
}
_FAKE_OBJECTS = (("dog", 5, 4, 22, 30, 0), ("person", 20, 10, 39, 31, 1), ("tvmonitor", 1, 1, 12, 9, 0))


def fake(root: Path) -> None:
    """All twelve archives: of each year three pictures, two of them with masks, and two test pictures."""
    for archive in card.archives:
        splits = archive.when["split"]
        tar_file(root / archive.name, _fake_members(archive.when["year"][0], splits))


def _fake_members(year: str, splits: tuple[str, ...]) -> dict[str, bytes]:
    base = _base(year) if "test" not in splits else f"VOCdevkit/VOC{year}"
    out: dict[str, bytes] = {f"{base}/ImageSets/Main/dog_trainval.txt": b"000001  1\n"}
    for split in splits:
        for subset, numbers in zip(("Main", "Segmentation"), _FAKE_SETS[split], strict=True):
            listed = "".join(f"{_fake_name(year, n)}\n" for n in numbers)
            out[f"{base}/ImageSets/{subset}/{split}.txt"] = listed.encode()
        for number in _FAKE_SETS[split][0]:
            name, height, width = _fake_name(year, number), 32 + number, 44 + 2 * number
            objects = _FAKE_OBJECTS[: 1 + number % 3]
            out[f"{base}/JPEGImages/{name}.jpg"] = jpeg(photo(height, width, number, int(year)))
            if "test" in splits and year != "2007":
                continue
            out[f"{base}/Annotations/{name}.xml"] = _fake_xml(year, name, height, width, objects)
            if number in _FAKE_SETS[split][1]:
                ids = [CLASSES.index(o[0]) for o in objects]
                for folder, values in (("SegmentationClass", ids), ("SegmentationObject", range(1, len(ids) + 1))):
                    out[f"{base}/{folder}/{name}.png"] = _fake_mask(height, width, objects, values)
    return out


def _fake_name(year: str, number: int) -> str:
    return f"{number:06d}" if year == "2007" else f"{year}_{number:06d}"


def _fake_xml(year: str, name: str, height: int, width: int, objects: Any) -> bytes:
    """As the archives have them: corners in any order, later years with fractions, persons with parts."""
    out = f"<annotation><folder>VOC{year}</folder><filename>{name}.jpg</filename><source><database>fake</database></source>"
    out += f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size><segmented>1</segmented>"
    for number, (kind, x1, y1, x2, y2, hard) in enumerate(objects):
        shift = 0.5 if year >= "2011" and number else 0
        out += f"<object><name>{kind}</name><pose>{'Left' if number else 'Unspecified'}</pose><truncated>{number % 2}</truncated>"
        out += f"<occluded>{hard}</occluded>" if year != "2007" else ""
        out += f"<bndbox><xmax>{x2}</xmax><xmin>{x1 + shift}</xmin><ymax>{y2}</ymax><ymin>{y1}</ymin></bndbox>"
        out += f"<difficult>{hard}</difficult>"
        if kind == "person":
            out += "<part><name>head</name><bndbox><xmin>24</xmin><ymin>11</ymin><xmax>30</xmax><ymax>18</ymax></bndbox></part>"
        out += "</object>"
    return f"{out}</annotation>".encode()


def _fake_mask(height: int, width: int, objects: Any, values: Any) -> bytes:
    """A PNG with a palette: each object filled with its value, inside a border of 255."""
    pixels = np.zeros((height, width), np.uint8)
    for (_, x1, y1, x2, y2, _), value in zip(objects, values, strict=True):
        pixels[y1 - 1 : y2, x1 - 1 : x2] = VOID
        pixels[y1 : y2 - 1, x1 : x2 - 1] = value
    picture = Pillow.fromarray(pixels)
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
