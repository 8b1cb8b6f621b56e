"""Stretch some stripes of the canvas and squeeze others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import probability, put, whole
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Move
from vdata.transforms._op import spatial
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.rotate import reading

BILINEAR = InterpolationMode.BILINEAR


@spatial
def grid_distortion(inpt: Any, across: Any, down: Any, interpolation: Any = BILINEAR) -> Any:
    """Columns and rows of a grid get new widths: `across` and `down` are the shares that each has of the old canvas.

    across, down  positive numbers that sum to 1, one a cell of a new grid of equal cells ([R, n] for rows): cell i shows that share

    The canvas keeps its size and its borders stay borders, so nothing is new. All types follow, flow vectors too.

    >>> grid_distortion(KeyPoints([[2.0, 2.0]], canvas_size=(8, 8)), (0.5, 0.5), (0.25, 0.75)).round().tolist()
    [[2.0, 4.0]]
    """


@dataclass(frozen=True, eq=False)
class Stretched(Move):
    """Old cells of unequal widths onto new ones of equal widths, evenly within each cell, on both axes: exact both ways.

    across, down  edges of the old cells, float64 [n + 1] or [R, n + 1], from 0 to the canvas's width and height
    """

    across: Tensor
    down: Tensor
    size: tuple[int, int]

    @property
    def rowed(self) -> bool:
        return self.across.ndim == 2

    def of(self, points: Tensor) -> Tensor:
        return self._moved(points, lambda old, new: (old, new))

    def back(self, points: Tensor) -> Tensor:
        return self._moved(points, lambda old, new: (new, old))

    def _moved(self, points: Tensor, order: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        moved = []
        for place, edges, length in zip(points.double().unbind(-1), (self.across, self.down), self.size[::-1], strict=True):
            old = edges.to(points.device)
            new = torch.linspace(0, length, old.shape[-1], dtype=torch.float64, device=points.device).expand_as(old)
            moved.append(_between(place, *order(old, new)))
        return torch.stack(moved, -1).to(points.dtype)


def _between(place: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Places [...] (or [R, ...]) on a line whose edges `before`, [n + 1] or [R, n + 1], went to `after`; evenly between them."""
    flat = place.reshape(len(before), -1) if before.ndim == 2 else place.reshape(-1)
    cell = torch.searchsorted(before.contiguous(), flat.contiguous(), right=True).clamp(1, before.shape[-1] - 1)
    low, high, start, end = (t.gather(-1, i) for t in (before, after.contiguous()) for i in (cell - 1, cell))
    return (start + (flat - low) * (end - start) / (high - low)).reshape(place.shape)


@grid_distortion.map
def _(size: tuple[int, int], across: Any, down: Any, **_: Any) -> Stretched:
    return Stretched(_edges(across, size[1], "across"), _edges(down, size[0], "down"), size)


def _edges(given: Any, length: int, name: str) -> Tensor:
    shares = np.asarray(given, np.float64)
    if shares.ndim not in (1, 2) or not (shares > 0).all() or not np.allclose(shares.sum(-1), 1, atol=1e-6, rtol=0):
        raise ValueError(f"{name} has a share above 0 for each cell, and they add up to 1; got {shares.tolist()}")
    ends = np.cumsum(shares, -1)[..., :-1] * length
    first, last = np.zeros((*shares.shape[:-1], 1)), np.full((*shares.shape[:-1], 1), float(length))
    return torch.from_numpy(np.concatenate([first, ends, last], -1))


@grid_distortion.reads
def _(interpolation: Any, **_: Any) -> How:
    return replace(reading(interpolation), border="edge")


grid_distortion.clamps()


@value
class GridDistortion(Geometric):
    """With probability `p`, a grid of `num_steps` x `num_steps` cells whose columns and rows are stretched and squeezed.

    distort_limit  how much more or less of the canvas a cell may show: each share is drawn from 1 +- distort_limit, then all are
                   brought to a sum of 1; (least, greatest) or one number, above -1

    >>> GridDistortion(p=1.0)(Image(torch.zeros(3, 16, 16))).shape
    torch.Size([3, 16, 16])
    """

    num_steps: int = 5
    distort_limit: Any = 0.3
    p: float = 0.5
    interpolation: Any = BILINEAR
    op = grid_distortion

    def __post_init__(self) -> None:
        probability(self.p)
        whole(self.num_steps, "num_steps")
        limit = (-self.distort_limit, self.distort_limit) if isinstance(self.distort_limit, (int, float)) else tuple(self.distort_limit)
        if len(limit) != 2 or not -1 < limit[0] <= limit[1] < 1:
            raise ValueError(f"distort_limit is (least, greatest) within (-1, 1), or one number, got {self.distort_limit!r}")
        put(self, distort_limit=limit, interpolation=reading(self.interpolation).mode)

    def draw(self, key: Key, info: Info) -> Params:
        shares = {}
        for axis in ("across", "down"):
            drawn = 1 + key.fold(axis).uniform(*self.distort_limit, self.num_steps)
            shares[axis] = drawn / drawn.sum(1, keepdims=True)
        return {"apply": key.fold("apply").bernoulli(self.p), **shares}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {"across": params["across"], "down": params["down"], "interpolation": self.interpolation}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return sizes
