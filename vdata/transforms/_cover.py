"""Objects of which something covers a part: masks and boxes of what is left, hidden points, and who vanishes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, KeyPoints, Mask
from vdata.transforms._base import Leaves
from vdata.transforms._corners import UPRIGHT, corners, from_corners
from vdata.transforms._instances import kept
from vdata.transforms._map import pixel_centres
from vdata.transforms._objects import Group, first_of


class Cover:
    """What lies over a part of a picture."""

    raster: Tensor  # bool [H, W]: the pixels that are covered

    @abstractmethod
    def over(self, points: Tensor) -> Tensor:
        """Whether points [..., 2] are covered."""

    @abstractmethod
    def rest(self, hulls: Tensor) -> tuple[Tensor, Tensor]:
        """What is left of rectangles [N, 4]: the hulls of it, and its areas [N]."""


@dataclass(frozen=True, eq=False)
class Pixels(Cover):
    """Some pixels, given by a raster."""

    raster: Tensor

    def over(self, points: Tensor) -> Tensor:
        height, width = self.raster.shape
        on = inside(points, (0, 0, width, height))
        x, y = torch.where(on[..., None], points, 0).long().unbind(-1)
        return on & self.raster[y, x]

    def rest(self, hulls: Tensor) -> tuple[Tensor, Tensor]:
        raise PlanError("which part of a box other objects cover can be told by masks alone")


class Window(Cover):
    """The inside of a rectangle (left, top, right, bottom: whole pixels), or all that lies outside of it."""

    def __init__(self, box: Sequence[int], size: tuple[int, int], device: torch.device, *, outside: bool = False):
        self.box, self.outside = box, outside
        self.raster = self.over(pixel_centres(size, device))

    def over(self, points: Tensor) -> Tensor:
        return inside(points, self.box) ^ self.outside

    def rest(self, hulls: Tensor) -> tuple[Tensor, Tensor]:
        common = _common(hulls, self.box)
        return (common, _area(common)) if self.outside else (_beside(hulls, self.box), _area(hulls) - _area(common))


def inside(points: Tensor, box: Sequence[Any]) -> Tensor:
    """Whether points [..., 2] lie in a box (left, top, right, bottom: numbers, or tensors that broadcast); NaN does not."""
    x, y = points.unbind(-1)
    left, top, right, bottom = box
    return (x >= left) & (x < right) & (y >= top) & (y < bottom)


def _common(hulls: Tensor, box: Sequence[int]) -> Tensor:
    """Rectangles cut to a box; those outside of it have no area."""
    left, top, right, bottom = box
    return torch.stack([hulls[:, i].clamp(*((left, right), (top, bottom))[i % 2]) for i in range(4)], 1)


def _beside(hulls: Tensor, box: Sequence[int]) -> Tensor:
    """The hulls of what a box leaves of rectangles: a side moves where all that lies at it is covered."""
    left, top, right, bottom = box
    x1, y1, x2, y2 = hulls.unbind(1)
    across, down = (left <= x1) & (right >= x2), (top <= y1) & (bottom >= y2)
    sides = [
        torch.where(down & (left <= x1), x1.clamp(min=right), x1),
        torch.where(across & (top <= y1), y1.clamp(min=bottom), y1),
        torch.where(down & (right >= x2), x2.clamp(max=left), x2),
        torch.where(across & (bottom >= y2), y2.clamp(max=top), y2),
    ]
    return torch.stack(sides, 1)


def _area(hulls: Tensor) -> Tensor:
    return (hulls[:, 2:] - hulls[:, :2]).clamp(min=0).prod(1)


def hull(boxes: BoundingBoxes) -> Tensor:
    """left, top, right, bottom of boxes in any format: float64 [N, 4]."""
    points = corners(boxes.plain(), boxes.format)
    return torch.cat([points.amin(-2), points.amax(-2)], -1)


def _on_canvas(boxes: BoundingBoxes) -> Tensor:
    height, width = boxes.canvas_size
    return _common(hull(boxes), (0, 0, width, height))


def mask_hulls(masks: Tensor) -> Tensor:
    """The smallest rectangles around masks [N, H, W]: float64 [N, 4]; [0, 0, 0, 0] around none."""
    low, high = [], []
    for line in (_bytes(masks).amax(-2), _bytes(masks).amax(-1)):
        low.append(line.argmax(-1))
        high.append(torch.where(line.amax(-1) > 0, line.shape[-1] - line.flip(-1).argmax(-1), 0))
    return torch.stack(low + high, -1).double()


def left_of(leaves: Leaves, group: Group, cover: Cover) -> tuple[Tensor, Tensor]:
    """How much of each object is left, and how much there was: float64 [N] each.

    In pixels where there are masks, else by the area of boxes (of turned ones their hull), else by labelled points; what lies
    beyond the canvas does not count.
    """
    masks, boxes = first_of(leaves, group, Mask), first_of(leaves, group, BoundingBoxes)
    if masks is not None:
        on = marks_of(masks)
        return _counted(on & ~cover.raster), _counted(on)
    if boxes is not None:
        hulls = _on_canvas(boxes)
        return cover.rest(hulls)[1], _area(hulls)
    points = first_of(leaves, group, KeyPoints)
    height, width = points.canvas_size
    on = inside(points.plain(), (0, 0, width, height))
    on = on if points.visibility is None else on & (points.visibility > 0)
    return _counted(on & ~cover.over(points.plain())), _counted(on)


def _counted(marks: Tensor) -> Tensor:
    return _bytes(marks).reshape(len(marks), math.prod(marks.shape[1:])).sum(1, dtype=torch.int32).double()


def marks_of(masks: Mask) -> Tensor:
    """Which pixels a mask marks, bool."""
    return masks.plain() if masks.dtype == torch.bool else masks.plain() != 0


def _bytes(marks: Tensor) -> Tensor:
    """Marks as 0 and 1: a CPU reduces bytes many times as fast as bools."""
    return marks.view(torch.uint8)


def covered(leaves: Leaves, group: Group, cover: Cover, least: float, *, adopted: bool = False) -> Leaves:
    """The objects of a group under a cover; those of which nothing is left, or less than the share `least`, are dropped.

    Those of which nothing is covered stay as they are, seen or not; of another picture's (`adopted`) only what is seen. Boxes become the hull of what is left: of the mask, where there are masks and the object's was cut. Turned boxes, and those
    with clamping_mode None, are never cut. Covered points are labelled, but not visible any more.
    """
    left, whole = left_of(leaves, group, cover)
    out = {n: _under(leaves[n], cover) for n in group}
    masks = first_of(out, group, Mask)
    for name in group:
        boxes = leaves[name]
        if isinstance(boxes, BoundingBoxes):
            hulls = cover.rest(_on_canvas(boxes))[0] if masks is None else mask_hulls(marks_of(masks))
            out[name] = _reshaped(boxes, hulls, left < whole)
    enough = (left > 0) & (left >= least * whole)
    return kept(out, out, enough if adopted else enough | (left == whole))


def _under(leaf: Any, cover: Cover) -> Any:
    if isinstance(leaf, Mask):
        left = ~cover.raster
        return leaf.like(
            leaf.plain() & left if leaf.dtype == torch.bool else torch.where(left, leaf.plain(), 0).to(leaf.dtype)
        )
    if isinstance(leaf, KeyPoints) and leaf.visibility is not None:
        seen = leaf.visibility
        hidden = cover.over(leaf.plain()) & (seen > 1)
        return leaf.like(leaf.plain(), visibility=torch.where(hidden, 1, seen).to(seen.dtype))
    return leaf


def _reshaped(boxes: BoundingBoxes, hulls: Tensor, changed: Tensor) -> BoundingBoxes:
    if boxes.format not in UPRIGHT or boxes.clamping_mode is None:
        return boxes
    points = hulls[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    new = from_corners(points, boxes.format).to(boxes.dtype)
    return boxes.like(torch.where(changed[:, None], new, boxes.plain()))
