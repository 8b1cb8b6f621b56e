"""COCO's JSON and a folder of pictures as a `Source`; and the typed fields that COCO's objects become."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from vdata import codecs
from vdata.annotations import boxes
from vdata.annotations.coco import Coco, Object, by_picture, columns_of, has_mask, listed, mirrored, named, read_coco
from vdata.encoded import Encoded
from vdata.errors import DataError, DecodeError
from vdata.field import Field
from vdata.files import Tree
from vdata.own.checks import IMAGE, check_size, keys_of, near, numbered, objection, picture, pictures_in
from vdata.source import Listed, Sample, digest_of
from vdata.table import File, Table
from vdata.tensors import BoundingBoxes, KeyPoints, Label

MASKS = Field(
    "Mask", "bool", ("N", "H", "W"), "coco", {"kind": "instance"}, doc="pixels of each object, decoded when needed"
)


def object_fields(categories: Sequence[str], points: Sequence[str] = ()) -> dict[str, Field]:
    """The declarations of everything that `objects_of` may give."""
    swap = mirrored(points) if points else None
    meta = {"categories": tuple(categories)}
    return {
        "boxes": Field("BoundingBoxes", "float32", ("N", 4), meta={"format": "XYXY"}),
        "labels": Field("Label", "int64", ("N",), meta=meta, doc="classes without gaps, from 0"),
        "category_ids": Field("Label", "int64", ("N",), doc="the same as the file numbers them"),
        "iscrowd": Field("tensor", "bool", ("N",), doc="a group of objects under one box"),
        "area": Field("tensor", "float32", ("N",), doc="pixels of the object, as the file says"),
        "ids": Field("tensor", "int64", ("N",), doc="the annotations' ids"),
        "masks": MASKS,
        "keypoints": Field("KeyPoints", "float32", ("N", len(points), 2), meta={"swap": swap},
                           doc=f"centres of pixels: {', '.join(points)}; visibility 0, 1 (hidden) or 2"),
    }  # fmt: skip


def objects_of(record: Mapping[str, Any], fields: Mapping[str, Field], canvas: tuple[int, int]) -> Sample:
    """The columns that a record has, of `columns_of`, as typed values on a canvas of (height, width)."""
    sample: Sample = {
        "boxes": _boxes(record, canvas),
        "labels": Label(
            torch.tensor(listed(record, "labels"), dtype=torch.int64), categories=fields["labels"].meta["categories"]
        ),
        "category_ids": Label(torch.tensor(listed(record, "category_ids"), dtype=torch.int64)),
        "iscrowd": torch.tensor(listed(record, "iscrowd"), dtype=torch.bool),
    }
    for name, dtype in (("area", torch.float32), ("ids", torch.int64)):
        if name in record:
            sample[name] = torch.tensor(listed(record, name), dtype=dtype)
    if "masks" in record:
        data = f'{{"size": [{canvas[0]}, {canvas[1]}], "objects": {record["masks"]}}}'.encode()
        where = {"key": record["__key__"], "field": "masks"}
        sample["masks"] = Encoded(data, "Mask", "json", "coco", dict(MASKS.meta), where, orient=False)
    if "keypoints" in record:
        sample["keypoints"] = _points(listed(record, "keypoints"), fields["keypoints"], canvas)
    return sample


def _boxes(record: Mapping[str, Any], canvas: tuple[int, int]) -> BoundingBoxes:
    try:
        found = [boxes.corners(x, y, x + width, y + height) for x, y, width, height in listed(record, "boxes")]
    except DecodeError as error:
        raise error.at(key=record["__key__"], field="boxes") from None
    return BoundingBoxes(torch.tensor(found, dtype=torch.float32).reshape(-1, 4), format="XYXY", canvas_size=canvas)


def corners(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """float64 [N, 4]: corners of boxes given by a corner and sides."""
    array = np.array(boxes, np.float64).reshape(-1, 4)
    array[:, 2:] += array[:, :2]
    return array


def _points(values: Sequence[Sequence[float]], field: Field, canvas: tuple[int, int]) -> KeyPoints:
    """COCO counts pixels from 0, so a point is in the middle of its pixel. Objects without points have none labelled."""
    count = field.shape[1]
    assert isinstance(count, int)
    array = np.array([v or [0] * (3 * count) for v in values], np.float64).reshape(-1, count, 3)
    visibility = array[..., 2].astype(np.int64)
    where = array[..., :2] + 0.5 * (visibility > 0)[..., None]
    data = torch.from_numpy(where).float()
    return KeyPoints(data, canvas_size=canvas, visibility=torch.from_numpy(visibility), swap=field.meta["swap"])


# -- people's own files ----------------------------------------------------------------------------------------------------


def coco_source(
    json: str | os.PathLike[str], images: str | os.PathLike[str], *,
    categories: Sequence[str] | None = None, masks: bool = True, orient: bool = False,
) -> Listed:  # fmt: skip
    """The pictures that a COCO JSON lists, sorted by their ids; see `vdata.from_coco`."""
    path = os.path.abspath(os.fspath(json))
    coco = read_coco(Tree(os.path.dirname(path)), os.path.basename(path))
    if not coco.images:
        raise DataError("the file lists no pictures", url=path)
    coco.images.sort(key=lambda p: (isinstance(p.id, str), p.id))
    tree, files = pictures_in(os.fspath(images), [p.file_name for p in coco.images], os.path.basename(path))
    try:
        table = Table.of(_records(coco, files, categories, masks))
    except DataError as error:
        raise error.at(url=path) from None
    named = _categories(coco, categories)
    fields = {"image": IMAGE, "image_id": Field("str" if isinstance(coco.images[0].id, str) else "int")}
    possible = object_fields(tuple(named), _point_names(coco))
    fields |= {name: field for name, field in possible.items() if name in table.columns}
    reader = CocoPictures(tree, fields, orient)
    return Listed(
        os.path.basename(path),
        table,
        reader,
        fields=fields,
        digest=digest_of("coco", table.digest, sorted(named), orient),
    )


@dataclass(frozen=True)
class CocoPictures:
    """A record to a sample."""

    files: Tree
    fields: Mapping[str, Field]
    orient: bool

    def __call__(self, record: Mapping[str, Any]) -> Sample:
        path, key = record["image"], record["__key__"]
        image = picture(partial(self.files.read, path), f"{self.files.url}/{path}", key, self.orient)
        canvas = codecs.size(image)
        if record["height"] and record["width"]:
            check_size(image, (record["height"], record["width"]), "its annotation says")
        elif "boxes" in record and (found := objection(corners(listed(record, "boxes")), canvas)):
            raise DataError(f"its box {found[0]} {found[1]}", url=f"{self.files.url}/{path}", key=key, field="boxes")
        objects = objects_of(record, self.fields, canvas) if "boxes" in record else {}
        return {"__key__": key, "image": image, "image_id": record["image_id"], **objects}


def _records(
    coco: Coco, files: Sequence[str], categories: Sequence[str] | None, masks: bool
) -> Iterator[dict[str, Any]]:
    names = _categories(coco, categories)
    of_id = {c.id: c.name for c in coco.categories}
    found = coco.annotations or []
    strange = next(((n, o) for n, o in enumerate(found) if of_id[o.category_id] not in names), None)
    if strange is not None:
        name = of_id[strange[1].category_id]
        raise DataError(
            f"{named(strange[1], strange[0])} is of {name!r}, which is none of the categories{near(name, names)}"
        )
    numbers = {number: names[name] for number, name in of_id.items() if name in names}
    wanted = _wanted(coco, found, masks)
    _check_boxes(coco)
    groups = by_picture(found)
    for one, file, key in zip(coco.images, files, keys_of(files), strict=True):
        record: dict[str, Any] = {
            "__key__": key,
            "image": File(file),
            "image_id": one.id,
            "height": one.height,
            "width": one.width,
        }
        if coco.annotations is not None:
            record |= columns_of(groups.get(one.id, []), numbers, wanted)
        yield record


def _categories(coco: Coco, categories: Sequence[str] | None) -> dict[str, int]:
    """Name -> class number: in the order given, else that of the file's ids."""
    names = [c.name for c in sorted(coco.categories, key=lambda c: c.id)]
    return numbered(names, names if categories is None else categories)


def _wanted(coco: Coco, found: Sequence[Object], masks: bool) -> set[str]:
    """The columns that all objects of the file have; a file where only some have masks or right key points is refused."""
    wanted = {"area"} if all(o.area is not None for o in found) else set()
    if all(o.id is not None for o in found):
        wanted.add("ids")
    with_mask = sum(map(has_mask, found)) if masks else 0
    if with_mask:
        if with_mask < len(found):
            number, bare = next((n, o) for n, o in enumerate(found) if not has_mask(o))
            raise DataError(f"{len(found) - with_mask} of {len(found)} annotations have no mask: {named(bare, number)}",
                            do="say masks=False to read none")  # fmt: skip
        wanted.add("masks")
    points = _point_names(coco)
    if points:
        for number, one in enumerate(found):
            if len(one.keypoints) not in (0, 3 * len(points)):
                raise DataError(
                    f"{named(one, number)} has {len(one.keypoints)} numbers as key points, not {3 * len(points)}"
                )
        wanted.add("keypoints")
    return wanted


def _point_names(coco: Coco) -> tuple[str, ...]:
    named = {tuple(c.keypoints) for c in coco.categories if c.keypoints}
    if len(named) > 1:
        raise DataError(f"categories have different key points: {' and '.join(map(str, sorted(named)))}")
    return next(iter(named), ())


def _check_boxes(coco: Coco) -> None:
    sizes = {p.id: (p.height, p.width) for p in coco.images}
    groups: dict[tuple[int, int], list[int]] = {}
    found = coco.annotations or []
    for number, one in enumerate(found):
        groups.setdefault(sizes[one.image_id], []).append(number)
    for size, numbers in groups.items():
        if bad := objection(corners([found[n].bbox for n in numbers]), size if min(size) else None):
            number = numbers[bad[0]]
            raise DataError(f"the box of {named(found[number], number)} {bad[1]}", key=str(found[number].image_id))
