"""What PASCAL VOC's annotation files say of each object, as fields with one row a box: of VOC, Pets and ImageNet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from vdata.annotations import VocObject
from vdata.errors import DecodeError
from vdata.field import Field
from vdata.tensors import BoundingBoxes, Label

POSES = ("Unspecified", "Frontal", "Left", "Rear", "Right")
NO_YES = ("no", "yes")
_FLAGS = {
    "difficult": "hard to recognise: evaluations pass over it",
    "truncated": "more of the object lies outside the box",
    "occluded": "covered in part",
}


def flag_fields(optional: bool = False) -> dict[str, Field]:
    """The declarations of what `flags_of` gives.

    They are Labels, so that transforms let them pass; to drop them with their boxes, say
    `instances=T.Instances("boxes", "labels", "difficult", "truncated", "occluded", "poses")`.
    """
    flags = {
        name: Field(
            "Label", "int64", ("N",), meta={"categories": NO_YES}, doc=f"{doc}; for each box", optional=optional
        )
        for name, doc in _FLAGS.items()
    }
    return flags | {
        "poses": Field(
            "Label", "int64", ("N",), meta={"categories": POSES}, doc="the side seen, for each box", optional=optional
        )
    }


def flags_of(objects: Sequence[VocObject]) -> dict[str, Label]:
    """What the file says of each object beside its class and box."""
    flags = {name: Label([int(o.flag(name)) for o in objects], categories=NO_YES, dtype=torch.int64) for name in _FLAGS}
    poses = [_pose(o.texts.get("pose", POSES[0])) for o in objects]
    return flags | {"poses": Label(poses, categories=POSES, dtype=torch.int64)}


def boxes_of(corners: Iterable[tuple[float, ...]], canvas_size: tuple[int, int]) -> BoundingBoxes:
    """Boxes [N, 4] float32 of their corners, [0, 4] where there are none."""
    data = torch.tensor(list(corners), dtype=torch.float32).reshape(-1, 4)
    return BoundingBoxes(data, format="XYXY", canvas_size=canvas_size)


def _pose(text: str) -> int:
    if text not in POSES:
        raise DecodeError(f"an object has the pose {text!r}, which is none of {', '.join(POSES)}")
    return POSES.index(text)
