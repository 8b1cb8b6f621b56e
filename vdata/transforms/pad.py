"""Add a border to the canvas."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.tensors import Flow
from vdata.transforms._base import Params, value
from vdata.transforms._check import ByType, fill_value, padding_mode, padding_sides, put
from vdata.transforms._geometric import Geometric
from vdata.transforms._map import Map
from vdata.transforms._op import spatial
from vdata.transforms._pixels import Fill, cut, extended, gather


@spatial
def pad(inpt: Any, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    """Add a border: `padding` is one number, (left and right, top and bottom), or (left, top, right, bottom).

    fill          new pixels under "constant": a number, one a channel, or a dict by type; None is 0 for pictures and a
                  mask's ignore_index (0 where it has none)
    padding_mode  "constant", "edge" (the border pixel again), "reflect" (mirrored, the border pixel once) or
                  "symmetric" (mirrored, the border pixel twice)

    Boxes and key points are translated under every mode (mirrored pixels bring no copies of them); a flow's new
    pixels are NaN under every mode.

    >>> pad(Image(torch.ones(1, 1, 1)), (1, 0), fill=7).tolist()
    [[[7.0, 1.0, 7.0]]]
    """


@pad.map
def _(size: tuple[int, int], padding: Any, fill: Any, padding_mode: str) -> Map:
    left, top, right, bottom = padding_sides(padding)
    return Map((1, 0, left, 0, 1, top), (size[0] + top + bottom, size[1] + left + right))


@pad.pixels
def pad_pixels(x: Tensor, fill: Fill, padding: Any, padding_mode: str) -> Tensor:
    """A plain raster of any dtype with a border."""
    left, top, right, bottom = padding_sides(padding)
    height, width = x.shape[-2:]
    if padding_mode == "constant":
        return cut(x, -top, -left, height + top + bottom, width + left + right, fill)
    if padding_mode not in ("edge", "reflect", "symmetric"):
        raise ValueError(f"padding_mode must be constant, edge, reflect or symmetric, got {padding_mode!r}")
    rows = extended(height, top, bottom, padding_mode, x.device)
    return gather(x, rows, extended(width, left, right, padding_mode, x.device))


@pad.flow
def _(x: Flow, padding: Any, fill: Any, padding_mode: str) -> Tensor:
    return pad_pixels(x.plain(), torch.nan, padding, "constant")


@lru_cache(maxsize=256)
def fill_by_type(fill: Any) -> Any:
    """A transform's `fill`: a number is for pictures and clips alone; masks keep their own unless a dict says so."""
    return fill if fill is None or isinstance(fill, ByType) else ByType({"Image": fill, "Video": fill})


@value
class Pad(Geometric):
    """Add a border to every leaf.

    `padding`, `fill` and `padding_mode` as in `functional.pad`. A `fill` that is a number is for pictures; masks get
    their ignore_index (0 where it is None) unless a dict by type says otherwise: `fill={Image: 127, Mask: 255}`.

    >>> Pad(2)(Image(torch.zeros(3, 4, 4))).shape
    torch.Size([3, 8, 8])
    """

    padding: Any
    fill: Any = 0
    padding_mode: str = "constant"
    op = pad
    exact = True

    def __post_init__(self) -> None:
        sides = self.padding if isinstance(self.padding, int) else tuple(self.padding)
        padding_sides(sides)
        put(self, padding=sides, fill=fill_value(self.fill), padding_mode=padding_mode(self.padding_mode))

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {"padding": self.padding, "fill": fill_by_type(self.fill), "padding_mode": self.padding_mode}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        left, top, right, bottom = padding_sides(self.padding)
        return sizes + np.array([top + bottom, left + right], np.int64)
