"""Where points go: one map per frame, and what boxes, key points and flow do under it.

Coordinates are continuous (pixel (i, j) has its centre at (j + 1/2, i + 1/2)), matrices float64. A number of a map may
be an array with one entry a row: then row r of the points [R, ..., 2] goes by entry r, and all rows in one call.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.transforms._lift import is_rows

Number = Any  # a float, or float64 [R]
Size = tuple[int, int]


class Move:
    """A map of the plane, onto a canvas of `size` (height, width)."""

    size: Size
    affine: bool = False

    @abstractmethod
    def of(self, points: Tensor) -> Tensor:
        """Where points [..., 2] go; NaN where they have no image."""

    @abstractmethod
    def back(self, points: Tensor) -> Tensor:
        """Where points [..., 2] of the new canvas came from; NaN where from nowhere."""

    @property
    def mirrors(self) -> Any:
        """Whether left and right change places: a bool, or bool [R]."""
        return False

    @property
    def whole(self) -> bool:
        """Whether whole numbers stay whole numbers."""
        return False

    @property
    def rowed(self) -> bool:
        """Whether it is a map for each row of the points [R, ..., 2]."""
        return False

    def origins(self, rows: int | None, device: torch.device) -> Tensor:
        """Where the new pixels' centres came from: float64 [h, w, 2], or [rows, h, w, 2]."""
        centres = pixel_centres(self.size, device)
        return self.back(centres if rows is None else centres.expand(rows, *centres.shape))

    def then(self, other: Move) -> Move:
        """First this, then `other`."""
        return Chain((self, other), other.size)


@dataclass(frozen=True)
class Map(Move):
    """(x, y) -> (a x + b y + c, d x + e y + f), onto a canvas of `size` (height, width).

    >>> Map((1, 0, -2, 0, 1, 0), (4, 4)).of(torch.tensor([[3.0, 1.0]]))
    tensor([[1., 1.]])
    >>> Map((1, 0, np.array([-2.0, 5.0]), 0, 1, 0), (4, 4)).of(torch.tensor([[3.0, 1.0], [3.0, 1.0]]))
    tensor([[1., 1.],
            [8., 1.]])
    """

    matrix: tuple[Number, Number, Number, Number, Number, Number]
    size: Size
    affine = True

    @property
    def rowed(self) -> bool:
        return any(is_rows(v) for v in self.matrix)

    @property
    def whole(self) -> bool:
        return all(bool(np.all(np.mod(v, 1) == 0)) if is_rows(v) else float(v).is_integer() for v in self.matrix)

    @property
    def mirrors(self) -> Any:
        a, b, _, d, e, _ = self.matrix
        return a * e - b * d < 0

    @property
    def upright(self) -> bool:
        """Whether rows stay rows and columns columns."""
        return not (np.any(self.matrix[1]) or np.any(self.matrix[3]))

    def of(self, points: Tensor) -> Tensor:
        a, b, c, d, e, f = spread(self.matrix, points)
        x, y = points.unbind(-1)
        return torch.stack([a * x + b * y + c, d * x + e * y + f], -1)

    def back(self, points: Tensor) -> Tensor:
        return self.inverse(self.size).of(points)

    def then(self, other: Move) -> Move:
        if not isinstance(other, Map):
            return super().then(other)
        a, b, c, d, e, f = self.matrix
        k, m, n, p, q, r = other.matrix
        rows = (k * a + m * d, k * b + m * e, k * c + m * f + n, p * a + q * d, p * b + q * e, p * c + q * f + r)
        return Map(rows, other.size)

    def inverse(self, size: Size) -> Map:
        """The way back, onto a canvas of `size`."""
        a, b, c, d, e, f = self.matrix
        det = a * e - b * d
        if np.any(det == 0):
            raise ValueError(f"the map {self.matrix} has no inverse")
        rows = (e / det, -b / det, (b * f - e * c) / det, -d / det, a / det, (d * c - a * f) / det)
        return Map(rows, size)


@dataclass(frozen=True)
class Projective(Move):
    """A homography: (x, y) -> (X / Z, Y / Z) with (X, Y, Z) = matrix (x, y, 1), the 9 numbers row by row.

    Points with Z <= 0 lie behind the camera and go to NaN. Z must be positive on the canvas.

    >>> Projective((1, 0, 0, 0, 1, 0, 0.5, 0, 1), (4, 4)).of(torch.tensor([[2.0, 2.0], [-4.0, 0.0]]))
    tensor([[1., 1.],
            [nan, nan]])
    """

    matrix: tuple[Number, ...]
    size: Size

    @property
    def rowed(self) -> bool:
        return any(is_rows(v) for v in self.matrix)

    @property
    def mirrors(self) -> Any:
        return self._adjugate()[1] < 0

    def of(self, points: Tensor) -> Tensor:
        return _projected(spread(self.matrix, points), points)

    def back(self, points: Tensor) -> Tensor:
        return _projected(spread(self._adjugate()[0], points), points)

    def inverse(self, size: Size) -> Projective:
        """The way back, onto a canvas of `size`."""
        return Projective(self._adjugate()[0], size)

    def _adjugate(self) -> tuple[tuple[Number, ...], Number]:
        """The inverse up to a positive factor, and the determinant."""
        a, b, c, d, e, f, g, h, i = self.matrix
        rows = (e * i - f * h, c * h - b * i, b * f - c * e, f * g - d * i, a * i - c * g, c * d - a * f,
                d * h - e * g, b * g - a * h, a * e - b * d)  # fmt: skip
        det = a * rows[0] + b * rows[3] + c * rows[6]
        if np.any(det == 0):
            raise ValueError(f"the map {self.matrix} has no inverse")
        return tuple(v * np.sign(det) for v in rows), det


def _projected(matrix: list[Any], points: Tensor) -> Tensor:
    a, b, c, d, e, f, g, h, i = matrix
    x, y = points.unbind(-1)
    z = g * x + h * y + i
    z = torch.where(z > 0, z, torch.nan)
    return torch.stack([(a * x + b * y + c) / z, (d * x + e * y + f) / z], -1)


@dataclass(frozen=True, eq=False)
class Reverse(Move):
    """The way back of a map that has no formula for it."""

    move: Move
    size: Size

    @property
    def rowed(self) -> bool:
        return self.move.rowed

    @property
    def mirrors(self) -> Any:
        return self.move.mirrors

    def of(self, points: Tensor) -> Tensor:
        return self.move.back(points)

    def back(self, points: Tensor) -> Tensor:
        return self.move.of(points)


def reverse(move: Move, size: Size) -> Move:
    """The inverse of a map, onto a canvas of `size`.

    >>> reverse(Map((2, 0, 4, 0, 1, 0), (8, 8)), (8, 4)).matrix[0]
    0.5
    """
    return move.inverse(size) if isinstance(move, (Map, Projective)) else Reverse(move, size)


@dataclass(frozen=True, eq=False)
class Chain(Move):
    """One after the other, what has no common formula."""

    parts: tuple[Move, ...]
    size: Size

    @property
    def rowed(self) -> bool:
        return any(part.rowed for part in self.parts)

    @property
    def mirrors(self) -> Any:
        odd: Any = False
        for part in self.parts:
            odd = odd ^ part.mirrors
        return odd

    def of(self, points: Tensor) -> Tensor:
        for part in self.parts:
            points = part.of(points)
        return points

    def back(self, points: Tensor) -> Tensor:
        for part in reversed(self.parts):
            points = part.back(points)
        return points


def spread(numbers: tuple[Number, ...], points: Tensor) -> list[Any]:
    """A map's numbers, those with one a row as tensors that broadcast over points [R, ..., 2]."""
    return [_over(n, points) if is_rows(n) else n for n in numbers]


def _over(rows: Any, points: Tensor) -> Tensor:
    rows = torch.as_tensor(rows).to(points.device).reshape(-1, *[1] * (points.ndim - 2))
    return rows.to(points.dtype) if points.is_floating_point() else rows


def move_points(points: Tensor, move: Move) -> Tensor:
    """[..., 2] moved, in the points' dtype; integers become float32 where the map is not whole."""
    if points.is_floating_point():
        return move.of(points.double()).to(points.dtype)
    return move.of(points.double()).to(points.dtype if move.whole else torch.float32)


def pixel_centres(size: tuple[int, int], device: torch.device, dtype: torch.dtype = torch.float64) -> Tensor:
    """[H, W, 2]: (x, y) of every pixel's centre."""
    y = torch.arange(size[0], device=device, dtype=dtype) + 0.5
    x = torch.arange(size[1], device=device, dtype=dtype) + 0.5
    return torch.stack([x[None, :].expand(size), y[:, None].expand(size)], -1)


def push_flow(raster: Tensor, first: Move, second: Move) -> Tensor:
    """Vectors of a flow whose raster was moved by `first`, when its second frame was moved by `second`.

    f'(x') = T2(q + f(q)) - x' with q = T1^-1(x'); for affine maps A2 f(q) + (T2 T1^-1 - 1) x'.
    Source: the warping law of FlowNet's augmentation, written for two maps (docs/design/0004-transforms.md).
    """
    if isinstance(first, Map) and isinstance(second, Map):
        return _pushed_affine(raster, first, second)
    here = pixel_centres(first.size, raster.device)
    start = first.origins(raster.shape[0] if first.rowed else None, raster.device)
    vectors = raster.double().movedim(-3, -1)
    return (second.of(start + vectors) - here).movedim(-1, -3).to(raster.dtype)


def _pushed_affine(raster: Tensor, first: Map, second: Map) -> Tensor:
    a, b, _, d, e, _ = second.matrix
    moved = raster
    if any(is_rows(v) for v in (a, b, d, e)) or (a, b, d, e) != (1, 0, 0, 1):
        a, b, d, e = spread((a, b, d, e), raster)  # [R, 1, 1], as the components are
        u, v = raster.unbind(-3)
        x = a * u if _is_zero(b) else a * u + b * v
        y = e * v if _is_zero(d) else d * u + e * v
        moved = torch.stack([x, y], -3)
    if first is second or _equal(first, second):
        return moved
    here = pixel_centres(first.size, raster.device)
    there = first.inverse(first.size).then(second).of(here if raster.ndim == 3 else here.expand(*raster.shape[:-3], *here.shape))
    return (moved.double() + (there - here).movedim(-1, -3)).to(raster.dtype)


def _is_zero(number: Any) -> bool:
    return not isinstance(number, Tensor) and number == 0


def _equal(first: Map, second: Map) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.matrix, second.matrix, strict=True))
