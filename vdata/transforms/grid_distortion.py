"""Stretch some stripes of the canvas and squeeze others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import probability, put, whole
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Bent
from vdata.transforms._op import spatial
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode, tensor_mode

BILINEAR = InterpolationMode.BILINEAR


@spatial
def grid_distortion(inpt: Any, across: Any, down: Any, interpolation: Any = BILINEAR) -> Any:
    """Columns and rows of a grid get new widths: `across` and `down` are the shares that each has of the old canvas.

    across, down  positive numbers that sum to 1, one a cell of a new grid of equal cells ([R, n] for rows): cell i shows that share

    The canvas keeps its size and its borders stay borders, so nothing is new. All types follow, flow vectors too.

    >>> grid_distortion(KeyPoints([[2.0, 2.0]], canvas_size=(8, 8)), (0.5, 0.5), (0.25, 0.75)).round().tolist()
    [[2.0, 4.0]]
    """


@grid_distortion.map
def _(size: tuple[int, int], across: Any, down: Any, **_: Any) -> Bent:
    right, below = (_shifts(np.asarray(s, np.float64), n) for s, n in ((across, size[1]), (down, size[0])))
    if right.ndim == 1:
        field = torch.stack([right.expand(size), below[:, None].expand(size)])
    else:
        shape = (len(right), *size)
        field = torch.stack([right[:, None, :].expand(shape), below[:, :, None].expand(shape)], 1)
    return Bent(field, size)


def _shifts(shares: np.ndarray, length: int) -> Tensor:
    """How far before or after its own place each new pixel's centre is read on one axis: float64 [n], or [R, n]."""
    edges = np.concatenate([np.zeros((*shares.shape[:-1], 1)), np.cumsum(shares, -1)], -1) * length
    cells = shares.shape[-1]
    place = (np.arange(length) + 0.5) * cells / length
    cell = np.minimum(place.astype(np.int64), cells - 1)
    old = edges[..., cell] + (place - cell) * shares[..., cell] * length
    return torch.from_numpy(old - (np.arange(length) + 0.5))


@grid_distortion.reads
def _(interpolation: Any, **_: Any) -> How:
    return How(interpolation, border="edge")


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
        put(self, distort_limit=limit, interpolation=tensor_mode(self.interpolation))

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
