"""COCO's JSON: pictures, categories, and objects with boxes, masks and key points; checked, and as columns of a table.

A file of half a gigabyte is read once, into typed structs; masks stay the text that they are, until a sample needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from vdata.annotations.text import json_of
from vdata.errors import DataError
from vdata.files import Files

_EMPTY = (b"[]", b"null", b'""')

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what a tensor of int64 holds
Area = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


class Picture(msgspec.Struct, gc=False):
    id: Id | str
    file_name: str
    height: Id = 0  # 0: the file does not say
    width: Id = 0


class Category(msgspec.Struct):
    id: Id
    name: str
    keypoints: list[str] = []


class Object(msgspec.Struct, gc=False):
    image_id: Id | str
    category_id: Id
    bbox: tuple[float, float, float, float]
    id: Id | None = None
    iscrowd: int | bool = 0
    area: Area | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b"[]")
    keypoints: list[float] = []


class Coco(msgspec.Struct):
    """What a file says. `annotations` is None where it has none at all, as in lists of test pictures."""

    images: list[Picture]
    categories: list[Category] = []
    annotations: list[Object] | None = None


def read_coco(files: Files, path: str) -> Coco:
    """The file, if it is whole: no id twice, and every object on a picture and of a category that the file has."""
    coco = json_of(files, path, Coco)
    where = f"{files.url}/{path}"
    pictures = _distinct((p.id for p in coco.images), "pictures", where)
    categories = _distinct((c.id for c in coco.categories), "categories", where)
    _distinct((p.file_name for p in coco.images), "pictures", where)
    _distinct((o.id for o in coco.annotations or () if o.id is not None), "annotations", where)
    for number, found in enumerate(coco.annotations or ()):
        if found.image_id not in pictures:
            raise DataError(
                f"{named(found, number)} is of picture {found.image_id!r}, which is not in images", url=where
            )
        if found.category_id not in categories:
            raise DataError(
                f"{named(found, number)} is of category {found.category_id}, which is not in categories", url=where
            )
    return coco


def named(found: Object, number: int) -> str:
    """What an error calls an annotation."""
    return f"annotation {number} (counted from 0)" if found.id is None else f"the annotation of id {found.id}"


def by_picture(found: Iterable[Any]) -> dict[int | str, list[Any]]:
    """Picture's id -> its annotations (anything with an `image_id`), in the file's order."""
    groups: dict[int | str, list[Any]] = {}
    for one in found:
        groups.setdefault(one.image_id, []).append(one)
    return groups


def columns_of(objects: Sequence[Object], numbers: Mapping[int, int], wanted: Iterable[str]) -> dict[str, Any]:
    """One picture's objects as columns of a record: lists are JSON text, which a table keeps as it is.

    numbers  category id -> class number
    wanted   of "area", "ids", "masks", "keypoints": the columns beside those that all objects have
    """
    wanted = set(wanted)
    lists: dict[str, list[Any]] = {
        "boxes": [o.bbox for o in objects],
        "labels": [numbers[o.category_id] for o in objects],
        "category_ids": [o.category_id for o in objects],
        "iscrowd": [int(o.iscrowd) for o in objects],
    }
    if "area" in wanted:
        lists["area"] = [o.area for o in objects]
    if "ids" in wanted:
        lists["ids"] = [o.id for o in objects]
    if "masks" in wanted:
        lists["masks"] = [o.segmentation for o in objects]
    if "keypoints" in wanted:
        lists["keypoints"] = [o.keypoints for o in objects]
    return {name: msgspec.json.encode(values).decode() for name, values in lists.items()} | {"objects": len(objects)}


def listed(record: Mapping[str, Any], name: str) -> list[Any]:
    """A column of `columns_of` as the list that it was."""
    return msgspec.json.decode(record[name])


def has_mask(found: Object) -> bool:
    return bytes(found.segmentation) not in _EMPTY


def mirrored(names: Sequence[str]) -> tuple[int, ...]:
    """For each key point the one that takes its place in a mirror: "left" and "right" in their names say so.

    >>> mirrored(("nose", "left_eye", "right_eye"))
    (0, 2, 1)
    """
    places = {name: place for place, name in enumerate(names)}
    return tuple(places.get(_other_side(name), place) for place, name in enumerate(names))


def _other_side(name: str) -> str:
    for one, other in (("left", "right"), ("right", "left"), ("Left", "Right"), ("Right", "Left")):
        if one in name:
            return name.replace(one, other)
    return name


def _distinct(ids: Iterable[Any], what: str, where: str) -> set[Any]:
    seen: set[Any] = set()
    for one in ids:
        if one in seen:
            raise DataError(f"two {what} have the id or name {one!r}", url=where)
        seen.add(one)
    return seen
