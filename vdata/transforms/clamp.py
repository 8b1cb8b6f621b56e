"""Cut boxes and key points to the canvas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from vdata.batch import Batch, Ragged, collate
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, KeyPoints, TypedTensor
from vdata.transforms._base import Leaves, Params, Transform, value
from vdata.transforms._corners import UPRIGHT, corners, from_corners
from vdata.transforms._info import Info
from vdata.transforms._rows import end_to_end, split_again
from vdata.transforms._turned import around, left_of, within
from vdata.transforms.boxes import box_format

MODES = ("soft", "hard", None)


def clamp_bounding_boxes(
    inpt: Tensor, format: Any = None, canvas_size: tuple[int, int] | None = None, clamping_mode: str | None = "auto"
) -> Tensor:
    """Boxes [..., n] cut to their canvas. A plain tensor needs `format`, `canvas_size` and `clamping_mode`; boxes know them.

    clamping_mode  "auto" is what the boxes say; None cuts nothing. Unrotated boxes are cut side by side under both others.
                   For rotated ones, which keep their angle, "soft" is the smallest box around what the canvas leaves of a
                   box, so corners may still be outside; "hard" is the largest one within that, exactly. torchvision's
                   hard ones are smaller, and its soft ones are nothing where a box is a degree from upright

    A rotated box that is wholly outside gets no width and no height, at the place of the canvas nearest to its centre. An
    XYXYXYXY box that is not a rectangle is cut as the rectangle fitted to it. Boxes inside stay to the bit. Integer
    CXCYWH becomes float32, for half a pixel has no integer.

    >>> clamp_bounding_boxes(BoundingBoxes([[-2, 3, 5, 30]], format="XYXY", canvas_size=(20, 20))).tolist()
    [[0, 3, 5, 20]]
    """
    if isinstance(inpt, BoundingBoxes):
        if format is not None or canvas_size is not None:
            raise ValueError("format and canvas_size are for a plain tensor; BoundingBoxes know their own")
        mode = inpt.clamping_mode if clamping_mode == "auto" else _checked(clamping_mode)
        return inpt.like(_clamped(inpt.plain(), inpt.format, inpt.canvas_size, mode))
    if format is None or canvas_size is None or clamping_mode == "auto":
        raise ValueError("a plain tensor of boxes needs format, canvas_size and clamping_mode")
    return _clamped(inpt, box_format(format).value, canvas_size, _checked(clamping_mode))


def _checked(mode: str | None) -> str | None:
    if mode not in MODES:
        raise ValueError(f'clamping_mode is "soft", "hard" or None, got {mode!r}')
    return mode


def _clamped(boxes: Tensor, format: str, canvas: tuple[int, int], mode: str | None) -> Tensor:
    if mode is None or boxes.numel() == 0:
        return boxes.clone()
    if format not in UPRIGHT:
        return _turned_clamped(boxes.reshape(-1, boxes.shape[-1]), format, canvas, mode).reshape(boxes.shape)
    most = torch.tensor([canvas[1], canvas[0]] * 2, dtype=torch.float64, device=boxes.device)
    sides = xyxy(boxes, format)
    cut = sides.clamp(torch.zeros_like(most), most)
    out = cut if format == "XYXY" else _written(cut, format)
    out = out.to(boxes.dtype if boxes.is_floating_point() or format != "CXCYWH" else torch.float32)
    return torch.where((cut == sides).all(-1, keepdim=True), boxes.to(out.dtype), out)


def xyxy(boxes: Tensor, format: str) -> Tensor:
    """Unrotated boxes as (x1, y1, x2, y2), float64; one of a negative width stays one."""
    b = boxes.double()
    if format == "XYXY":
        return b
    low = b[..., :2] - b[..., 2:] / 2 if format == "CXCYWH" else b[..., :2]
    return torch.cat([low, low + b[..., 2:]], -1)


def _written(sides: Tensor, format: str) -> Tensor:
    low, size = sides[..., :2], sides[..., 2:] - sides[..., :2]
    return torch.cat([low + size / 2 if format == "CXCYWH" else low, size], -1)


def _turned_clamped(boxes: Tensor, format: str, canvas: tuple[int, int], mode: str) -> Tensor:
    points = corners(boxes, format)
    limit = torch.tensor([canvas[1], canvas[0]], dtype=points.dtype, device=points.device)
    inside = ((points >= 0) & (points <= limit)).all(-1).all(-1)
    if bool(inside.all()):
        return boxes.clone()
    rectangle = from_corners(points, "CXCYWHR") if format == "XYXYXYXY" else None
    size = boxes[:, 2:4].double() if rectangle is None else rectangle[:, 2:4]
    turn = torch.deg2rad(boxes[:, 4].double() if rectangle is None else rectangle[:, 4])
    origin = points[:, 0] if rectangle is None else corners(rectangle, "CXCYWHR")[:, 0]
    low, high, empty = left_over(size, origin, turn, canvas, mode)
    along, down = torch.stack([turn.cos(), -turn.sin()], -1), torch.stack([turn.sin(), turn.cos()], -1)
    place = lambda at: origin + along * at[:, :1] + down * at[:, 1:]
    nearest = torch.minimum(place(size / 2).clamp(min=0), limit)
    centre = torch.where(empty[:, None], nearest, place((low + high) / 2))
    anchor = torch.where(empty[:, None], nearest, place(low)) if format == "XYWHR" else centre
    angle = boxes[:, 4:].double() if rectangle is None else rectangle[:, 4:]
    out = torch.cat([anchor, high - low, angle], -1)
    out = corners(out, "CXCYWHR").flatten(-2) if format == "XYXYXYXY" else out
    return torch.where(inside[:, None], boxes, out.to(boxes.dtype))


def left_over(
    size: Tensor, origin: Tensor, turn: Tensor, canvas: tuple[int, int], mode: str = "soft"
) -> tuple[Tensor, Tensor, Tensor]:
    """What the canvas leaves of turned boxes, in their own coordinates: low and high (u, v) [N, 2], and whether it is nothing."""
    region = left_of(size, origin, turn, canvas)
    low, high = around(region)
    empty = (low > high).any(-1)
    if mode == "hard":
        low, high = within(region)
    zero = torch.zeros_like(low)
    return torch.where(empty[:, None], zero, low), torch.where(empty[:, None], zero, high), empty


def clamp_keypoints(inpt: Tensor, canvas_size: tuple[int, int] | None = None) -> Tensor:
    """Points [..., 2] moved to the nearest place of their canvas, [0, W] x [0, H]; a plain tensor needs `canvas_size`.

    torchvision moves them to W - 1 and H - 1, which is not where its boxes end. Points that are not labelled stay.

    >>> clamp_keypoints(KeyPoints([[-2.0, 30.0]], canvas_size=(20, 20))).tolist()
    [[0.0, 20.0]]
    """
    if isinstance(inpt, KeyPoints):
        if canvas_size is not None:
            raise ValueError("canvas_size is for a plain tensor; KeyPoints know their own")
        out = clamp_keypoints(inpt.plain(), inpt.canvas_size)
        nowhere = None if inpt.visibility is None else (inpt.visibility == 0)[..., None]
        return inpt.like(out if nowhere is None else torch.where(nowhere, inpt.plain(), out))
    if canvas_size is None:
        raise ValueError("a plain tensor of points needs canvas_size")
    most = torch.tensor([canvas_size[1], canvas_size[0]], device=inpt.device)
    return inpt.clamp(torch.zeros_like(most), most).to(inpt.dtype)


class _Each(Transform):
    """Changes every leaf of one type by itself; in a batch all objects at once where they join."""

    kind: ClassVar[type[TypedTensor]]

    def changed(self, leaf: Any) -> Any:
        """One leaf changed, row by row."""
        raise NoKernelError(f"{type(self).__name__} has no changed")  # abstract: every public class defines it

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return {n: self.changed(v) if isinstance(v, self.kind) else v for n, v in sample.items()}

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        return batch.replace({n: _over(v, self.kind, self.changed) for n, v in batch.items()})


def _over(leaf: Any, kind: type[TypedTensor], change: Callable[[Any], Any]) -> Any:
    if not isinstance(leaf, Ragged):
        return change(leaf) if isinstance(leaf, kind) else leaf
    if not issubclass(leaf.type, kind):
        return leaf
    joined = end_to_end(leaf)
    if joined is not None:
        return split_again(change(joined[0]), joined[1])
    return collate([{"": change(item)} for item in leaf])[""]


@value
class ClampBoundingBoxes(_Each):
    """Cut all boxes to their canvas, as `functional.clamp_bounding_boxes` does; other leaves stay as they are.

    >>> ClampBoundingBoxes()({"boxes": BoundingBoxes([[-2, 3, 5, 30]], format="XYXY", canvas_size=(20, 20))})["boxes"].tolist()
    [[0, 3, 5, 20]]
    """

    clamping_mode: str | None = "auto"
    kind = BoundingBoxes

    def __post_init__(self) -> None:
        if self.clamping_mode != "auto":
            _checked(self.clamping_mode)

    def changed(self, leaf: BoundingBoxes) -> Any:
        return clamp_bounding_boxes(leaf, clamping_mode=self.clamping_mode)

    def after(self, params: Params, info: Info) -> Info:
        return info.resized(info.sizes)  # forgets where boxes are

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample


@value
class ClampKeyPoints(_Each):
    """Move all labelled key points into their canvas, as `functional.clamp_keypoints` does; other leaves stay as they are.

    >>> ClampKeyPoints()({"points": KeyPoints([[-2.0, 30.0]], canvas_size=(20, 20))})["points"].tolist()
    [[0.0, 20.0]]
    """

    kind = KeyPoints

    def changed(self, leaf: KeyPoints) -> Any:
        return clamp_keypoints(leaf)


@value
class SetClampingMode(_Each):
    """Say how all boxes are to be cut from here on: "soft", "hard" or None, for not at all.

    >>> SetClampingMode(None)({"boxes": BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(9, 9))})["boxes"].clamping_mode is None
    True
    """

    clamping_mode: str | None
    kind = BoundingBoxes

    def __post_init__(self) -> None:
        _checked(self.clamping_mode)

    def after(self, params: Params, info: Info) -> Info:
        return replace(info, boxes={n: [self.changed(v) for v in values] for n, values in info.boxes.items()})

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample

    def changed(self, leaf: BoundingBoxes) -> Any:
        return leaf.like(leaf.plain(), clamping_mode=self.clamping_mode)
