"""What is wrong with one sample, as far as it can be seen by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.viz.draw import corners
from vdata.viz.picture import plain

_SLACK = 1.0  # pixels that a box or point may lie outside: rounding of annotations


class Fault(NamedTuple):
    """One thing that is wrong: its kind, as the page counts it, and what exactly, with the field."""

    kind: str
    reason: str


def faults_of(sample: Mapping[str, Any]) -> list[Fault]:
    """Empty and one-coloured pictures, numbers that are none, boxes and points outside their canvas or without area, empty masks,
    labels that have no category, leaves that do not fit their picture, flow that is known nowhere."""
    found: list[Fault] = []
    for name, value in sample.items():
        for fault in _of(value):
            found.append(Fault(fault.kind, f"{name}: {fault.reason}"))
    return [*found, *_together(sample)]


def _of(value: Any) -> Iterator[Fault]:
    match value:
        case Image() | Video():
            yield from _picture(value)
        case BoundingBoxes():
            yield from _boxes(value)
        case KeyPoints():
            yield from _points(value)
        case Mask() if value.kind == "instance":
            yield from _masks(value)
        case Flow():
            yield from _flow(value)
        case Label():
            yield from _label(value)
        case Tensor() if value.is_floating_point() and not bool(value.isfinite().all()):
            yield Fault("not finite", f"{int((~value.isfinite()).sum()):,} of {value.numel():,} numbers are NaN or infinite")


def _picture(value: Tensor) -> Iterator[Fault]:
    data = plain(value)
    if not data.numel():
        yield Fault("empty picture", f"has no pixels (shape {list(data.shape)})")
    elif data.is_floating_point() and not bool(data.isfinite().all()):
        yield Fault("not finite", f"{int((~data.isfinite()).sum()):,} of {data.numel():,} values are NaN or infinite")
    elif data[..., :1, :1].expand_as(data).equal(data) and data.shape[-1] * data.shape[-2] > 1:
        yield Fault("one colour", f"every pixel is {data[..., 0, 0].flatten()[:3].tolist()}")


def _boxes(boxes: BoundingBoxes) -> Iterator[Fault]:
    if not len(boxes):
        return
    places = corners(boxes).numpy()
    finite = np.isfinite(places).all((1, 2))
    for i in np.flatnonzero(~finite):
        yield Fault("not finite", f"box {i} is {_numbers(boxes[int(i)])}")
    height, width = boxes.canvas_size
    sides = _sides(boxes, places)
    for i in np.flatnonzero(finite & (sides.min(1) <= 0)):
        yield Fault("box without area", f"box {i} is {sides[i, 0]:g} by {sides[i, 1]:g} pixels: {_numbers(boxes[int(i)])}")
    low, high = places.min(1), places.max(1)
    beyond = np.stack([-low[:, 0], -low[:, 1], high[:, 0] - width, high[:, 1] - height], 1).max(1)
    for i in np.flatnonzero(finite & (beyond > _SLACK)):
        far = f"reaches {beyond[i]:.1f} pixels outside of the canvas of {width} x {height}"
        yield Fault("box outside", f"box {i} {far}: {_numbers(boxes[int(i)])}")


def _sides(boxes: BoundingBoxes, places: np.ndarray) -> np.ndarray:
    """[N, 2] widths and heights; of an upright box whose corners are the wrong way round, negative."""
    across, down = places[:, 1] - places[:, 0], places[:, 3] - places[:, 0]
    if boxes.format in ("XYXY", "XYWH", "CXCYWH"):
        return np.stack([across[:, 0], down[:, 1]], 1)
    return np.stack([np.hypot(*across.T), np.hypot(*down.T)], 1)


def _numbers(row: Tensor) -> str:
    return f"[{', '.join(f'{v:.6g}' for v in plain(row).tolist())}]"


def _points(points: KeyPoints) -> Iterator[Fault]:
    data = plain(points).double()
    seen = torch.ones(data.shape[:-1], dtype=torch.bool) if points.visibility is None else plain(points.visibility) > 0
    if broken := int((seen & ~data.isfinite().all(-1)).sum()):
        yield Fault("not finite", f"{broken} labelled points are NaN or infinite")
    height, width = points.canvas_size
    x, y = data.unbind(-1)
    outside = seen & ((x < -_SLACK) | (y < -_SLACK) | (x > width + _SLACK) | (y > height + _SLACK))
    if many := int(outside.sum()):
        first = [round(v, 1) for v in data[outside][0].tolist()]
        yield Fault("point outside", f"{many} labelled points lie outside of the canvas of {width} x {height}, the first at {first}")


def _masks(masks: Mask) -> Iterator[Fault]:
    empty = np.flatnonzero(~plain(masks).flatten(1).numpy().any(1)).tolist() if len(masks) else []
    if empty:
        yield Fault("empty mask", f"object {', '.join(map(str, empty[:5]))}{', ...' if len(empty) > 5 else ''} has no pixel")


def _flow(flow: Flow) -> Iterator[Fault]:
    data = plain(flow)
    if not bool(data.isfinite().all(0).any()):
        yield Fault("unknown flow", "no pixel is known")
    if infinite := int(data.isinf().sum()):
        yield Fault("not finite", f"{infinite:,} values are infinite (unknown flow is NaN)")


def _label(label: Label) -> Iterator[Fault]:
    if label.categories is not None and label.numel():
        values = plain(label)
        wrong = values[(values < 0) | (values >= len(label.categories))]
        if len(wrong):
            yield Fault("label without category", f"class {int(wrong[0])} of {len(label.categories)}")


def _together(sample: Mapping[str, Any]) -> Iterator[Fault]:
    """What does not go together."""
    boxes, labels = sample.get("boxes"), sample.get("labels")
    if isinstance(boxes, BoundingBoxes) and isinstance(labels, Tensor) and labels.ndim == 1 and len(labels) != len(boxes):
        yield Fault("labels and boxes differ", f"{len(boxes)} boxes and {len(labels)} labels")
    images = {n: v for n, v in sample.items() if isinstance(v, Image) and v.numel()}
    home = next((v.views[0] for v in sample.values() if isinstance(v, Flow)), next(iter(images), ""))
    for name, value in sample.items():
        if isinstance(value, TypedTensor) and not isinstance(value, (Image, Video, Label)):
            frame = value.views[0] if isinstance(value, Flow) else getattr(value, "frame", None) or home
            if frame in images and value.canvas != images[frame].canvas and math.prod(value.canvas or ()):
                yield Fault("another canvas", f"{name} lies on {value.canvas}, {frame} has {images[frame].canvas} (height, width)")
