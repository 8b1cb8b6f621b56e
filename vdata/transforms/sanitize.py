"""Drop what has no place: boxes without extent or outside of their canvas, objects whose key points have all left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, KeyPoints, Label
from vdata.transforms._base import Leaves, Params, value
from vdata.transforms._check import put
from vdata.transforms._corners import UPRIGHT, corners
from vdata.transforms._dropping import Dropping
from vdata.transforms._instances import instances
from vdata.transforms.boxes import box_format
from vdata.transforms.clamp import xyxy

_SLACK = 1e-3  # of a pixel: what float32 may add to a corner that lies on the canvas's edge


def sanitize_bounding_boxes(
    bounding_boxes: Tensor, format: Any = None, canvas_size: tuple[int, int] | None = None,
    min_size: float = 1.0, min_area: float = 1.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The boxes [N, n] that have a place, and which of all they are: bool [N].

    A box stays if both of its sides are at least `min_size`, its area is at least `min_area`, and all of its corners lie on
    the canvas (to a thousandth of a pixel). So one that reaches out goes: `clamp_bounding_boxes` before; rotated ones by
    clamping_mode "hard", for "soft" leaves corners outside. NaN goes. A plain tensor needs `format` and `canvas_size`.

    Sides of rotated boxes are their own lengths; torchvision takes coordinates of two different axes for one of them.

    >>> boxes = BoundingBoxes([[1, 1, 5, 5], [3, 3, 3, 9]], format="XYXY", canvas_size=(9, 9))
    >>> sanitize_bounding_boxes(boxes)[1].tolist()
    [True, False]
    """
    if isinstance(bounding_boxes, BoundingBoxes):
        if format is not None or canvas_size is not None:
            raise ValueError("format and canvas_size are for a plain tensor; BoundingBoxes know their own")
        data, format, canvas_size = bounding_boxes.plain(), bounding_boxes.format, bounding_boxes.canvas_size
    elif format is None or canvas_size is None:
        raise ValueError("a plain tensor of boxes needs format and canvas_size")
    else:
        data, format = bounding_boxes, box_format(format).value
    if data.ndim != 2:
        raise ValueError(f"sanitize_bounding_boxes takes boxes [N, n], got shape {list(data.shape)}")
    stay = _in_place(data, format, canvas_size, min_size, min_area)
    return bounding_boxes[stay], stay


def _in_place(boxes: Tensor, format: str, canvas: tuple[int, int], min_size: float, min_area: float) -> Tensor:
    if format == "XYXY" and boxes.device.type == "cpu":
        return torch.from_numpy(_edges_in_place(boxes.detach().double().numpy(), canvas, min_size, min_area))
    if format in UPRIGHT:
        sides = xyxy(boxes, format)
        points = sides.reshape(-1, 2, 2)
        size = sides[:, 2:] - sides[:, :2]
    else:
        points = corners(boxes, format)
        size = boxes[:, 2:4].double() if format != "XYXYXYXY" else _edges(points)
    area = size.prod(-1) if format != "XYXYXYXY" else _area(points)
    limit = torch.tensor([canvas[1], canvas[0]], dtype=torch.float64, device=boxes.device) + _SLACK
    on_canvas = ((points >= -_SLACK) & (points <= limit)).flatten(1).all(1)
    return (size >= min_size).all(-1) & (area >= min_area) & on_canvas


def _edges_in_place(sides: np.ndarray, canvas: tuple[int, int], min_size: float, min_area: float) -> np.ndarray:
    """`_in_place` of (x1, y1, x2, y2): of ten boxes numpy computes in a tenth of torch's time."""
    size = sides[:, 2:] - sides[:, :2]
    limit = np.array([canvas[1], canvas[0]] * 2) + _SLACK
    on_canvas = ((sides >= -_SLACK) & (sides <= limit)).all(1)
    return (size >= min_size).all(1) & (size[:, 0] * size[:, 1] >= min_area) & on_canvas


def _edges(points: Tensor) -> Tensor:
    """[N, 2]: the shorter of the first and the third edge, and of the second and the fourth, of corners [N, 4, 2]."""
    lengths = (points - points.roll(-1, 1)).norm(dim=-1)
    return torch.minimum(lengths[:, :2], lengths[:, 2:])


def _area(points: Tensor) -> Tensor:
    x, y = points.unbind(-1)
    return (x * y.roll(-1, 1) - y * x.roll(-1, 1)).sum(1).abs() / 2


def sanitize_keypoints(key_points: Tensor, canvas_size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """The points that have a place, and which rows of all they are: bool [N].

    Loose points [N, 2] stay where they lie on the canvas, [0, W] x [0, H], or are not labelled. Of objects [N, K, 2] those go
    that have labelled points and none on the canvas; of one that stays, points outside are not labelled any more (visibility
    0, at (0, 0)), where there is a visibility. NaN is outside. A plain tensor needs `canvas_size`.

    torchvision drops an object if any of its points is outside, so that a person half in the picture is lost; and it takes
    points at W and H for outside, where its own boxes may end.

    >>> people = KeyPoints([[[2.0, 2.0], [9.0, 9.0]], [[7.0, 9.0], [9.0, 9.0]]], canvas_size=(5, 5))
    >>> sanitize_keypoints(people)[1].tolist()
    [True, False]
    """
    if isinstance(key_points, KeyPoints) == (canvas_size is not None):
        raise ValueError("canvas_size is for a plain tensor, which needs it; KeyPoints know their own")
    if key_points.ndim < 2:
        raise ValueError(f"sanitize_keypoints takes points [N, 2] or [N, K, 2], got shape {list(key_points.shape)}")
    mended, stay = _seen(key_points, canvas_size)
    return mended[stay], stay


def _seen(x: Tensor, canvas_size: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
    """All points, those outside without a label, and which rows stay."""
    points = x.plain() if isinstance(x, KeyPoints) else x
    height, width = x.canvas_size if isinstance(x, KeyPoints) else canvas_size or (0, 0)
    inside = ((points >= 0) & (points <= torch.tensor([width, height], device=points.device))).all(-1)
    visibility = x.visibility if isinstance(x, KeyPoints) else None
    labelled = torch.ones_like(inside) if visibility is None else visibility > 0
    deep = inside.flatten(1) if inside.ndim > 1 else inside[:, None]
    known = labelled.reshape(deep.shape)
    stay = (deep & known).any(1) | ~known.any(1)
    if visibility is None or not isinstance(x, KeyPoints):
        return x, stay
    lost = labelled & ~inside
    return x.like(torch.where(lost[..., None], 0, points), visibility=torch.where(lost, 0, visibility)), stay


class Sanitizing(Dropping):
    """What both share: further leaves found by `labels_getter`, and an error where there is nothing to look at."""

    labels_getter: Callable[[Leaves], Any] | str | None

    def _check(self) -> None:
        if not (self.labels_getter is None or isinstance(self.labels_getter, str) or callable(self.labels_getter)):
            raise ValueError(f'labels_getter is "default", a name, a function or None, got {self.labels_getter!r}')
        put(self, instances=None if self.instances is None else instances(self.instances))

    def also(self, sample: Leaves, anchor: str) -> Sequence[str]:
        home = anchor[: anchor.rfind(".") + 1]
        heads = {n[len(home) :].partition(".")[0] for n in sample if n.startswith(home) and n != anchor}
        beside = {n: home + n for n in sorted(heads) if home + n in sample or f"{home}{n}.0" in sample}
        if self.labels_getter is None:
            return ()
        if callable(self.labels_getter):
            return _names_of(self.labels_getter(_Nested(sample)), sample)
        if self.labels_getter != "default":
            if self.labels_getter not in beside:
                raise PlanError(
                    f"there is no {self.labels_getter!r} beside {anchor!r}: it has {', '.join(beside) or 'nothing'} beside it"
                )
            return (beside[self.labels_getter],)
        alike = [n for n in beside if n.lower() == "labels"] or [n for n in beside if "label" in n.lower()]
        if not alike:
            unbound = {n: sample.get(at) for n, at in beside.items() if n not in instances(self.instances)}
            _check_no_labels(unbound, anchor)
        return tuple(beside[n] for n in alike[:1])

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        self._find(sample)
        return self.left(sample)

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        self._find({n: v[0] for n, v in batch.items()})
        return self.left_in(batch)

    def _find(self, sample: Leaves) -> None:
        if not any(isinstance(v, self.kind) for v in sample.values()):
            raise PlanError(
                f"{self} found no {self.kind.__name__} among {list(sample)}: a sample without any has an empty one, never none"
            )


class _Nested(dict[Any, Any]):
    """Leaves by dotted name and, as the caller's sample has them, by one name after the other: s["1.labels"] is s[1]["labels"]."""

    def __missing__(self, name: Any) -> Any:
        if not isinstance(name, str) and str(name) in self:
            return self[str(name)]
        below = {n.removeprefix(f"{name}."): v for n, v in self.items() if n.startswith(f"{name}.")}
        if not below:
            raise PlanError(f"labels_getter looks for {name!r}, but the sample has {', '.join(map(repr, self))}")
        return _Nested(below)


def _names_of(leaves: Any, sample: Leaves) -> list[str]:
    """The names of leaves that a function has picked from a sample."""
    picked = leaves if isinstance(leaves, (list, tuple)) else () if leaves is None else (leaves,)
    names = [[n for n, v in sample.items() if v is leaf] for leaf in picked]
    if not all(names):
        raise PlanError(
            "labels_getter must return leaves of the sample that it is given, as they are: one, a tuple of them, or None"
        )
    return [n for found in names for n in found]


def _check_no_labels(others: Leaves, anchor: str) -> None:
    for name, leaf in others.items():
        if isinstance(leaf, Label) and leaf.ndim:
            raise PlanError(
                f"{name!r} is a Label with rows beside {anchor!r}: say labels_getter={name!r} if it has one for each object, or "
                "labels_getter=None if not"
            )


@value
class SanitizeBoundingBoxes(Sanitizing):
    """Drop boxes as `functional.sanitize_bounding_boxes` does, and all that describes the same objects.

    min_size, min_area  at least 1, as in the function
    labels_getter       which leaf beside the boxes has their labels: "default" is "labels" in any case, else the first whose
                        name contains "label"; another name; a function of the sample (whose leaves it also finds by
                        dotted name) that returns one or several of them; None for none
    instances           the names of all leaves that have a row an object (`T.Instances`); None for the usual ones

    What is bound to the boxes goes by names alone: labels, instance masks, key points of objects, areas, ids. A semantic mask
    is never touched, though it may have as many rows as there are boxes; leaves of another length raise PlanError. To drop
    boxes alone: labels_getter=None, instances=("boxes",).

    >>> boxes = BoundingBoxes([[1, 1, 5, 5], [3, 3, 3, 9]], format="XYXY", canvas_size=(9, 9))
    >>> SanitizeBoundingBoxes()({"boxes": boxes, "labels": Label([7, 8])})["labels"].tolist()
    [7]
    """

    min_size: float = 1.0
    min_area: float = 1.0
    labels_getter: Any = "default"
    instances: Any = None
    kind = BoundingBoxes

    def __post_init__(self) -> None:
        for name in ("min_size", "min_area"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        self._check()

    def judge(self, leaf: BoundingBoxes) -> tuple[Any, Tensor]:
        return leaf, sanitize_bounding_boxes(leaf, min_size=self.min_size, min_area=self.min_area)[1]


@value
class SanitizeKeyPoints(Sanitizing):
    """Drop key points as `functional.sanitize_keypoints` does, and of objects all that describes them.

    labels_getter, instances  as in `SanitizeBoundingBoxes`; nothing is bound to loose points [N, 2] that these do not name

    An object without any labelled point stays: it has none that could be outside.

    >>> people = KeyPoints([[[2.0, 2.0], [9.0, 9.0]], [[7.0, 9.0], [9.0, 9.0]]], canvas_size=(5, 5))
    >>> SanitizeKeyPoints()({"keypoints": people, "labels": Label([7, 8])})["labels"].tolist()
    [7]
    """

    labels_getter: Any = None
    instances: Any = None
    kind = KeyPoints

    def __post_init__(self) -> None:
        self._check()

    def judge(self, leaf: KeyPoints) -> tuple[Any, Tensor]:
        return _seen(leaf, None)
