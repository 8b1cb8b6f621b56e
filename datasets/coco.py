"""COCO: common objects in context, with boxes, masks, key points of people, panoptic segments, or captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

import vdata.datasets._coco_fake as _coco_fake
from vdata.annotations import json_of
from vdata.annotations.coco import Category, Id, Object, Picture, by_picture, columns_of, named, read_coco
from vdata.card import Archive, Card, Option
from vdata.datasets._coco_classes import KEYPOINTS, STUFF, THINGS
from vdata.encoded import read_encoded
from vdata.errors import DataError, PlanError
from vdata.field import Field
from vdata.files import Files
from vdata.own.checks import check_size
from vdata.own.coco import object_fields, objects_of
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Label

CLASSES = tuple(THINGS.values())
PANOPTIC_CLASSES = (*CLASSES, *STUFF.values())
_CATEGORIES = THINGS | STUFF
_NUMBERS = {category: number for number, category in enumerate(_CATEGORIES)}
_COUNTS = {
    2017: {"train": 118_287, "val": 5_000, "test": 40_670},
    2014: {"train": 82_783, "val": 40_504, "test": 40_775},
}
_SERVER = "http://images.cocodataset.org"

_OF_TASKS = {
    **object_fields(CLASSES, KEYPOINTS),
    "mask": Field(
        "Mask", "int32", ("H", "W"), "coco_panoptic", {"kind": "semantic", "ignore_index": 0},
        doc='the segment of each pixel, one of "segment_ids"; 0 is unlabelled',
    ),
    "segment_ids": Field("Label", "int64", ("N",), doc="the segments of the mask"),
    "segment_labels": Field(
        "Label", "int64", ("N",), meta={"categories": PANOPTIC_CLASSES}, doc="80 things, then 53 kinds of stuff"
    ),
    "segments": Field("json", doc="what the file says of each segment: id, category_id, iscrowd, bbox (XYWH), area"),
    "captions": Field("json", doc="sentences by different people, five of most pictures"),
}  # fmt: skip
_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "image_id": Field("int"),
    **{name: replace(field, optional=True) for name, field in _OF_TASKS.items()},
}


def _archive(name: str, folder: str, size: int, sha256: str, tree: Any, **more: Any) -> Archive:
    return Archive(name, f"{_SERVER}/{folder}/{name}", size, sha256, tree=tree, **more)


def _pictures(year: int, split: str, size: int, sha256: str) -> Archive:
    when = {"year": (year,), "split": (split,)}
    return _archive(f"{split}{year}.zip", "zips", size, sha256, f"{split}{year}", when=when)


def _annotations(year: int, size: int, sha256: str) -> Archive:
    when = {"year": (year,), "split": ("train", "val"), "task": ("instances", "keypoints", "captions")}
    kinds = ("instances", "person_keypoints", "captions")
    tree = tuple(f"annotations/{kind}_{split}{year}.json" for kind in kinds for split in ("train", "val"))
    return _archive(f"annotations_trainval{year}.zip", "annotations", size, sha256, tree, when=when)


def _test_list(year: int, size: int, sha256: str) -> Archive:
    tree = f"annotations/image_info_test{year}.json"
    when = {"year": (year,), "split": ("test",)}
    return _archive(f"image_info_test{year}.zip", "annotations", size, sha256, tree, when=when)


def _inner(split: str) -> Archive:
    return Archive(
        f"annotations/panoptic_{split}2017.zip",
        manual="it is inside panoptic_annotations_trainval2017.zip, and needed by itself only if it is compressed there",
        optional=True,
        when={"year": (2017,), "split": (split,), "task": ("panoptic",)},
        tree=f"annotations/panoptic_{split}2017",
        into="annotations/",
    )


card = Card(
    name="coco",
    title="Microsoft COCO: Common Objects in Context",
    task="object detection, instance segmentation, panoptic segmentation, key points, captions",
    home="https://cocodataset.org",
    licence="annotations CC BY 4.0; pictures are of Flickr users, under the terms that each has there",
    citation="Lin, Maire, Belongie, Bourdev, Girshick, Hays, Perona, Ramanan, Zitnick and Dollar, Microsoft COCO: Common "
    "Objects in Context, ECCV 2014",
    splits=_COUNTS[2017],
    fields=_FIELDS,
    archives=(
        _pictures(2017, "train", 19_336_861_798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"),
        _pictures(2017, "val", 815_585_330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"),
        _pictures(2017, "test", 6_646_970_404, "c7908c3c9f94ba2f3340ebbeec58c25db6be8774f18d68c2f15d0e369d95baba"),
        _annotations(2017, 252_907_541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
        _test_list(2017, 1_144_034, "e52f412dd7195ac8f98d782b44c6dd30ea10241e9f42521f67610fbe055a74f8"),
        _archive(
            "panoptic_annotations_trainval2017.zip", "annotations", 860_725_834,
            "c05f76d2129b6b561eb70efe16e7006df62f73fb92889132d373b9d90e31a370",
            tree={split: f"annotations/panoptic_{split}2017.json" for split in ("train", "val")}, nested=True,
            when={"year": (2017,), "split": ("train", "val"), "task": ("panoptic",)},
        ),
        _inner("train"),
        _inner("val"),
        _pictures(2014, "train", 13_510_573_713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775"),
        _pictures(2014, "val", 6_645_013_297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0"),
        _pictures(2014, "test", 6_660_437_059, "ead40c62230cb2cf70ff4c8b4c70abdc260a7556e77b3282621d06d8e2e35bdf"),
        _annotations(2014, 252_872_794, "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009"),
        _test_list(2014, 763_464, "7cecc66f6b09c1671c1896a1bcc1f35eb09b7fcf00a5c18420a5f0f5983dc8c9"),
    ),
    options={
        "task": Option("instances", ("instances", "keypoints", "panoptic", "captions"), "what is known of each picture"),
        "year": Option(2017, (2017, 2014), "how the pictures are split; panoptic segments are of 2017 alone"),
        "masks": Option(True, (True, False), "the masks of objects: without them the list takes far less memory"),
    },
    absent={"test": tuple(_OF_TASKS)},
    notes=(
        "samples are sorted by image_id, and pictures without objects stay, with empty boxes: "
        '.filter(where={"objects": range(1, 1000)}) takes them out',
        "the pixels of masks are those of pycocotools: pip install 'vdata-vision[datasets]'",
        "whether the zips inside the panoptic one are compressed was not confirmed: if they are, extract it once",
    ),
)  # fmt: skip


class _Caption(msgspec.Struct, gc=False):
    image_id: Id
    id: Id
    caption: str


class _Captions(msgspec.Struct):
    images: list[Picture]
    annotations: list[_Caption]


class _Segment(msgspec.Struct, gc=False):
    id: Id
    category_id: Id
    iscrowd: Id
    bbox: list[float]
    area: float


class _Segments(msgspec.Struct):
    image_id: Id
    file_name: str
    segments_info: list[_Segment]


class _Panoptic(msgspec.Struct):
    images: list[Picture]
    categories: list[Category]
    annotations: list[_Segments]


class _Listed(msgspec.Struct):
    images: list[Picture]


def count(split: str, *, task: str, year: int, masks: bool) -> int | None:
    """Nobody has said how many pictures the key points of 2014 have."""
    return None if (task, year) == ("keypoints", 2014) and split != "test" else _COUNTS[year][split]


def samples(files: Files, split: str, *, task: str, year: int, masks: bool) -> Iterator[dict[str, Any]]:
    """`__key__` is the picture's name without its suffix. Everything is joined by the picture's id."""
    name = f"{split}{year}"
    if task == "panoptic" and year != 2017 and split != "test":
        raise PlanError('coco: there are panoptic segments for year=2017 alone, say so or take task="instances"')
    if split == "test":
        pictures, found = json_of(files, f"annotations/image_info_{name}.json", _Listed).images, None
    else:
        pictures, found = _READERS[task](files, name, masks)
    for one in sorted(pictures, key=lambda p: p.id):
        key = one.file_name.rpartition(".")[0]
        record = {"__key__": key, "image": File(f"{name}/{one.file_name}"), "image_id": one.id}
        yield record | {"height": one.height, "width": one.width} | (found(one) if found is not None else {})


def sample(files: Files, record: Mapping[str, Any], *, task: str, year: int, masks: bool) -> Sample:
    image = read_encoded(files, record, "image", _FIELDS["image"])
    canvas = record["height"], record["width"]
    check_size(image, canvas, "its annotation says")
    out: Sample = {"image": image, "image_id": record["image_id"]}
    if "boxes" in record:
        try:
            out |= objects_of(record, _FIELDS, canvas)
        except DataError as error:
            raise error.at(url=files.url) from None
    if "mask" in record:
        out["mask"] = read_encoded(files, record, "mask", _FIELDS["mask"])
        out["segment_ids"] = Label(record["segment_ids"])
        out["segment_labels"] = Label(record["segment_labels"], categories=PANOPTIC_CLASSES)
    return out | {name: record[name] for name in ("segments", "captions") if name in record}


def fake(root: Path) -> None:
    """All archives of both years, with three pictures or fewer each."""
    _coco_fake.archives(root)


# -- what each task's file says of a picture -------------------------------------------------------------------------------


def _instances(files: Files, name: str, masks: bool, path: str = "instances", wanted: Sequence[str] = ()):
    path = f"annotations/{path}_{name}.json"
    coco = read_coco(files, path)
    _check_categories(coco.categories, f"{files.url}/{path}")
    _check_objects(coco.annotations or (), "keypoints" in wanted, f"{files.url}/{path}")
    groups = by_picture(coco.annotations or ())
    columns = ["area", "ids", *(["masks"] if masks else []), *wanted]
    return coco.images, lambda one: columns_of(groups.get(one.id, []), _NUMBERS, columns)


def _check_objects(objects: Sequence[Object], points: bool, where: str) -> None:
    """Real files say of all objects what people's own may leave out."""
    for number, one in enumerate(objects):
        lacks = "id" if one.id is None else "area" if one.area is None else ""
        if lacks:
            raise DataError(f"{named(one, number)} has no {lacks}", url=where)
        if points and len(one.keypoints) != 3 * len(KEYPOINTS):
            count = len(one.keypoints)
            raise DataError(
                f"{named(one, number)} has {count} numbers as key points, not {3 * len(KEYPOINTS)}", url=where
            )


def _keypoints(files: Files, name: str, masks: bool):
    return _instances(files, name, masks, "person_keypoints", ("keypoints",))


def _captions(files: Files, name: str, masks: bool):
    told = json_of(files, f"annotations/captions_{name}.json", _Captions)
    groups = by_picture(told.annotations)
    return told.images, lambda one: {"captions": [c.caption for c in groups.get(one.id, ())]}


def _panoptic(files: Files, name: str, masks: bool):
    path = f"annotations/panoptic_{name}.json"
    told = json_of(files, path, _Panoptic)
    _check_categories(told.categories, f"{files.url}/{path}")
    folder = _segments_folder(files, name)
    segments = by_picture(told.annotations)

    def of(one: Picture) -> dict[str, Any]:
        if len(segments.get(one.id, ())) != 1:
            count = len(segments.get(one.id, ()))
            raise DataError(
                f"the picture {one.file_name} has {count} lists of segments, not one", url=f"{files.url}/{path}"
            )
        (about,) = segments[one.id]
        strange = next((s for s in about.segments_info if s.category_id not in _NUMBERS), None)
        if strange is not None:
            what = f"the segment {strange.id} of {one.file_name} is of category {strange.category_id}, which is none of COCO's"
            raise DataError(what, url=f"{files.url}/{path}")
        return {
            "mask": File(f"{folder}/{about.file_name}"),
            "segment_ids": [s.id for s in about.segments_info],
            "segment_labels": [_NUMBERS[s.category_id] for s in about.segments_info],
            "segments": [msgspec.structs.asdict(s) for s in about.segments_info],
        }

    return told.images, of


def _segments_folder(files: Files, name: str) -> str:
    """Where the PNGs are: people extract the zip inside the zip beside it, below it, or in the root."""
    inside = f"annotations/panoptic_{name}"
    places = (inside, f"{inside}/panoptic_{name}", f"panoptic_{name}")
    found = next((place for place in places if files.glob(f"{place}/*.png")), None)
    if found is None and f"{inside}.zip" in files:
        do = "extract panoptic_annotations_trainval2017.zip and keep the folder annotations, with the zips in it"
        raise DataError(
            f"{inside}.zip is compressed inside another zip, so its pictures cannot be read", url=files.url, do=do
        )
    return found or inside


def _check_categories(categories: Sequence[Category], where: str) -> None:
    strange = next((c for c in categories if _CATEGORIES.get(c.id) != c.name), None)
    if strange is not None:
        do = "read it by vdata.from_coco, which takes any categories"
        raise DataError(
            f"the category {strange.id} is {strange.name!r} here, which is none of COCO's", url=where, do=do
        )


_READERS = {"instances": _instances, "keypoints": _keypoints, "captions": _captions, "panoptic": _panoptic}
