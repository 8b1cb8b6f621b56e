"""Boxes as four corners, and back: what every format becomes under a map."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.transforms._bent import Bent
from vdata.transforms._lift import is_rows
from vdata.transforms._map import Chain, Map, Move

UPRIGHT = ("XYXY", "XYWH", "CXCYWH")


def corners(boxes: Tensor, format: str) -> Tensor:
    """The four corners [..., 4, 2] of boxes, clockwise from the top left of the unturned box; float64."""
    b = boxes.double()
    if format == "XYXYXYXY":
        return b.reshape(*b.shape[:-1], 4, 2)
    if format in ("CXCYWH", "CXCYWHR"):
        centre, w, h = b[..., :2], b[..., 2], b[..., 3]
    elif format in ("XYWH", "XYWHR"):
        w, h = b[..., 2], b[..., 3]
        centre = b[..., :2] + torch.stack([w, h], -1) / 2
    else:
        w, h = b[..., 2] - b[..., 0], b[..., 3] - b[..., 1]
        centre = (b[..., :2] + b[..., 2:]) / 2
    if format == "XYWHR":  # x, y is the turned corner, not the corner of the unturned box
        turn = torch.deg2rad(b[..., 4])
        along, down = torch.stack([turn.cos(), -turn.sin()], -1), torch.stack([turn.sin(), turn.cos()], -1)
        centre = b[..., :2] + along * w[..., None] / 2 + down * h[..., None] / 2
    turn = torch.deg2rad(b[..., 4]) if format.endswith("R") else torch.zeros_like(w)
    along, down = torch.stack([turn.cos(), -turn.sin()], -1), torch.stack([turn.sin(), turn.cos()], -1)
    dx, dy = along * w[..., None] / 2, down * h[..., None] / 2
    return torch.stack([centre - dx - dy, centre + dx - dy, centre + dx + dy, centre - dx + dy], -2)


def from_corners(points: Tensor, format: str) -> Tensor:
    """Boxes in `format` from four corners [..., 4, 2]: the hull for unrotated formats, the fitted rectangle for rotated.

    A parallelogram (a turned box scaled unevenly) is fitted as torchvision does: its longer diagonal and the direction
    of its longer side are kept. XYXYXYXY keeps the four corners as they are.
    """
    if format == "XYXYXYXY":
        return points.reshape(*points.shape[:-2], 8)
    if not format.endswith("R"):
        low, high = points.amin(-2), points.amax(-2)
        if format == "XYXY":
            return torch.cat([low, high], -1)
        return torch.cat([low if format == "XYWH" else (low + high) / 2, high - low], -1)
    side, down = points[..., 1, :] - points[..., 0, :], points[..., 3, :] - points[..., 0, :]
    turned = torch.stack([down[..., 1], -down[..., 0]], -1)  # the first side's direction, as the second tells it
    along = torch.where((side.norm(dim=-1) < down.norm(dim=-1))[..., None], turned, side)
    angle = torch.atan2(0 - along[..., 1], along[..., 0])  # 0 - y, not -y: no angle of -0
    along = torch.stack([angle.cos(), -angle.sin()], -1)
    across = torch.stack([angle.sin(), angle.cos()], -1)
    one, other = points[..., 2, :] - points[..., 0, :], points[..., 3, :] - points[..., 1, :]
    diagonal = torch.where((one.norm(dim=-1) < other.norm(dim=-1))[..., None], other, one)
    width, height = (diagonal * along).sum(-1, keepdim=True).abs(), (diagonal * across).sum(-1, keepdim=True).abs()
    centre = points.mean(-2)
    anchor = centre - along * width / 2 - across * height / 2 if format == "XYWHR" else centre
    return torch.cat([anchor, width, height, torch.rad2deg(angle)[..., None]], -1)


def move_boxes(boxes: Tensor, format: str, move: Move, *, clamp: bool) -> Tensor:
    """Boxes [..., n] moved; with `clamp`, unrotated ones are cut to the new canvas. Empty in, empty out.

    Integers stay integers where map and format keep them whole, else become float32: never by the luck of the values.
    """
    keeps = boxes.is_floating_point() or (move.whole and not (format == "CXCYWH" and clamp))
    if format in UPRIGHT and isinstance(move, Map) and not move.rowed and boxes.device.type == "cpu" and not boxes.requires_grad:
        return torch.from_numpy(_moved_edges(boxes.double().numpy(), format, move, clamp)).to(boxes.dtype if keeps else torch.float32)
    points = _clockwise(move.of(corners(boxes, format)), move.mirrors)
    if isinstance(move, (Bent, Chain)) and format in UPRIGHT:  # edges bend: the hull is that of points along them
        points = move.of(_along_edges(corners(boxes, format)))
    if clamp and format in UPRIGHT:
        height, width = move.size
        points = torch.stack([points[..., 0].clamp(0, width), points[..., 1].clamp(0, height)], -1)
    out = from_corners(points, format)
    return out.to(boxes.dtype if keeps else torch.float32)


def _moved_edges(boxes: np.ndarray, format: str, move: Map, clamp: bool) -> np.ndarray:
    """Boxes float64 [..., 4] under one affine map, to the bit as by four corners. Of ten boxes numpy computes in a tenth of torch's time."""
    x, y, wide, high = numbers = np.moveaxis(boxes, -1, 0)
    if format == "XYXY":
        wide, high = wide - x, high - y
        x, y = (x + numbers[2]) / 2, (y + numbers[3]) / 2
    elif format == "XYWH":
        x, y = x + wide / 2, y + high / 2
    edges = x - wide / 2, x + wide / 2, y - high / 2, y + high / 2
    out = np.empty_like(boxes)
    for axis, (k, m, n) in enumerate((move.matrix[:3], move.matrix[3:])):
        left, right, top, bottom = k * edges[0], k * edges[1], m * edges[2], m * edges[3]  # rounding keeps order: least plus least is least
        low, most = np.minimum(left, right) + np.minimum(top, bottom) + n, np.maximum(left, right) + np.maximum(top, bottom) + n
        if clamp:
            low, most = (np.minimum(np.maximum(v, 0), move.size[1 - axis]) for v in (low, most))
        out[..., axis] = (low + most) / 2 if format == "CXCYWH" else low
        out[..., axis + 2] = most if format == "XYXY" else most - low
    return out


def _along_edges(points: Tensor, steps: int = 16) -> Tensor:
    """Points along the edges of boxes given by corners [..., 4, 2]: [..., 4 steps, 2]."""
    part = torch.arange(steps, device=points.device, dtype=points.dtype)[:, None] / steps
    following = points.roll(-1, -2)
    return (points[..., None, :] + (following - points)[..., None, :] * part).flatten(-3, -2)


def _clockwise(points: Tensor, mirrored: Any) -> Tensor:
    """Corners [..., 4, 2] in their order again after a mirror: a bool, or one a row."""
    if is_rows(mirrored):
        turned = torch.as_tensor(mirrored).to(points.device).reshape(-1, *[1] * (points.ndim - 1))
        return torch.where(turned, points[..., [1, 0, 3, 2], :], points)
    return points[..., [1, 0, 3, 2], :] if mirrored else points
