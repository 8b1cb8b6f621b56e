"""How boxes are written."""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch
from torch import Tensor

from vdata.tensors import BoundingBoxes, BoundingBoxFormat
from vdata.transforms._base import Params, Transform, value
from vdata.transforms._check import put
from vdata.transforms._corners import corners, from_corners


def convert_bounding_box_format(
    inpt: Tensor, old_format: Any = None, new_format: Any = None, inplace: bool = False
) -> Tensor:
    """The same boxes in another format. `old_format` is for a plain tensor, and must not be given with BoundingBoxes.

    Rotated boxes become their upright hull in an unrotated format. Integers become float32 where CXCYWH is one of the
    formats, for half a pixel has no integer. `inplace` writes over the input, where number and dtype allow it.

    >>> convert_bounding_box_format(BoundingBoxes([[1, 2, 4, 6]], format="XYXY", canvas_size=(9, 9)), new_format="XYWH").tolist()
    [[1, 2, 3, 4]]
    """
    typed = isinstance(inpt, BoundingBoxes)
    if new_format is None:
        raise TypeError("convert_bounding_box_format needs new_format")
    if typed == (old_format is not None):
        raise ValueError("old_format is for a plain tensor, which needs it; BoundingBoxes know their own")
    data, old = (inpt.plain(), inpt.format) if isinstance(inpt, BoundingBoxes) else (inpt, box_format(old_format).value)
    new = box_format(new_format).value
    out = data if old == new else _converted(data, old, new)
    if inplace and out is not data:
        if out.shape != data.shape or out.dtype != data.dtype:
            raise ValueError(f"{old} {data.dtype} cannot become {new} {out.dtype} in place")
        out = data.copy_(out)
    return inpt.like(out, format=new) if isinstance(inpt, BoundingBoxes) else out


def box_format(format: Any) -> BoundingBoxFormat:
    """A format from its name, in any case, or from an enum's member."""
    return BoundingBoxFormat((format.name if isinstance(format, Enum) else str(format)).upper())


def _converted(boxes: Tensor, old: str, new: str) -> Tensor:
    out = from_corners(corners(boxes, old), new)
    keeps = boxes.is_floating_point() or {old, new} == {"XYXY", "XYWH"}
    return out.to(boxes.dtype if keeps else torch.float32)


@value
class ConvertBoundingBoxFormat(Transform):
    """Write all boxes in `format`; other leaves stay as they are.

    >>> ConvertBoundingBoxFormat("XYWH")({"boxes": BoundingBoxes([[1, 2, 4, 6]], format="XYXY", canvas_size=(9, 9))})["boxes"].format
    'XYWH'
    """

    format: Any

    def __post_init__(self) -> None:
        put(self, format=box_format(self.format))

    def apply(self, params: Params, sample: dict[str, Any]) -> dict[str, Any]:
        change = lambda v: convert_bounding_box_format(v, new_format=self.format)
        return {n: change(v) if isinstance(v, BoundingBoxes) else v for n, v in sample.items()}
