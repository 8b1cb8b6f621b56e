"""Where points go: one affine map per frame, and what boxes, key points and flow do under it.

Coordinates are continuous (pixel (i, j) has its centre at (j + 1/2, i + 1/2)), matrices float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Map:
    """(x, y) -> (a x + b y + c, d x + e y + f), onto a canvas of `size` (height, width).

    >>> Map((1, 0, -2, 0, 1, 0), (4, 4)).of(torch.tensor([[3.0, 1.0]]))
    tensor([[1., 1.]])
    """

    matrix: tuple[float, float, float, float, float, float]
    size: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether whole numbers stay whole numbers."""
        return all(float(v).is_integer() for v in self.matrix)

    @property
    def mirrors(self) -> bool:
        """Whether left and right (or up and down) change places."""
        a, b, _, d, e, _ = self.matrix
        return a * e - b * d < 0

    def of(self, points: Tensor) -> Tensor:
        """Points [..., 2] moved."""
        a, b, c, d, e, f = self.matrix
        x, y = points.unbind(-1)
        return torch.stack([a * x + b * y + c, d * x + e * y + f], -1)

    def then(self, other: Map) -> Map:
        """First this, then `other`."""
        a, b, c, d, e, f = self.matrix
        k, m, n, p, q, r = other.matrix
        rows = (k * a + m * d, k * b + m * e, k * c + m * f + n, p * a + q * d, p * b + q * e, p * c + q * f + r)
        return Map(rows, other.size)

    def inverse(self, size: tuple[int, int]) -> Map:
        """The way back, onto a canvas of `size`."""
        a, b, c, d, e, f = self.matrix
        det = a * e - b * d
        if det == 0:
            raise ValueError(f"the map {self.matrix} has no inverse")
        rows = (e / det, -b / det, (b * f - e * c) / det, -d / det, a / det, (d * c - a * f) / det)
        return Map(rows, size)


def move_points(points: Tensor, move: Map) -> Tensor:
    """[..., 2] moved, in the points' dtype; integers become float32 where the map is not whole."""
    if points.is_floating_point():
        return move.of(points.double()).to(points.dtype)
    return move.of(points.double()).to(points.dtype if move.whole else torch.float32)


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


def move_boxes(boxes: Tensor, format: str, move: Map, *, clamp: bool) -> Tensor:
    """Boxes [..., n] moved; with `clamp`, unrotated ones are cut to the new canvas. Empty in, empty out.

    Integers stay integers where map and format keep them whole, else become float32: never by the luck of the values.
    """
    points = move.of(corners(boxes, format))
    if move.mirrors:  # keep the corners clockwise
        points = points[..., [1, 0, 3, 2], :]
    if clamp and format in ("XYXY", "XYWH", "CXCYWH"):
        height, width = move.size
        points = torch.stack([points[..., 0].clamp(0, width), points[..., 1].clamp(0, height)], -1)
    out = from_corners(points, format)
    keeps = boxes.is_floating_point() or (move.whole and not (format == "CXCYWH" and clamp))
    return out.to(boxes.dtype if keeps else torch.float32)


def pixel_centres(size: tuple[int, int], device: torch.device, dtype: torch.dtype = torch.float64) -> Tensor:
    """[H, W, 2]: (x, y) of every pixel's centre."""
    y = torch.arange(size[0], device=device, dtype=dtype) + 0.5
    x = torch.arange(size[1], device=device, dtype=dtype) + 0.5
    return torch.stack([x[None, :].expand(size), y[:, None].expand(size)], -1)


def push_flow(raster: Tensor, first: Map, second: Map) -> Tensor:
    """Vectors of a flow whose raster was moved by `first`, when its second frame was moved by `second`.

    f'(x') = T2(q + f(q)) - x' with q = T1^-1(x'); for affine maps A2 f(q) + (T2 T1^-1 - 1) x'.
    Source: the warping law of FlowNet's augmentation, written for two maps (docs/design/0004-transforms.md).
    """
    a, b, _, d, e, _ = second.matrix
    u, v = raster.unbind(-3)
    moved = (
        torch.stack([a * u + b * v if b else a * u, d * u + e * v if d else e * v], -3)
        if (a, b, d, e) != (1, 0, 0, 1)
        else raster
    )
    if first.matrix == second.matrix:
        return moved
    here = pixel_centres(first.size, raster.device)
    there = first.inverse(first.size).then(second).of(here)
    return (moved.double() + (there - here).movedim(-1, 0)).to(raster.dtype)
