"""Mirror left and right, or top and bottom."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from vdata.key import Key
from vdata.planes import mirrored
from vdata.transforms._base import Params, value
from vdata.transforms._check import probability
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Map
from vdata.transforms._op import spatial


@spatial
def horizontal_flip(inpt: Any) -> Any:
    """Mirror left and right: x becomes W - x.

    Points follow the continuous convention (torchvision's key points take W - 1 - x: half of its own rotation's).

    >>> horizontal_flip(KeyPoints([[1.0, 2.0]], canvas_size=(4, 10))).tolist()
    [[9.0, 2.0]]
    """


@horizontal_flip.map
def _(size: tuple[int, int]) -> Map:
    return Map((-1, 0, size[1], 0, 1, 0), size)


@horizontal_flip.pixels
def _(x: Tensor, fill: float) -> Tensor:
    return mirrored(x)


@spatial
def vertical_flip(inpt: Any) -> Any:
    """Mirror top and bottom: y becomes H - y.

    >>> vertical_flip(KeyPoints([[1.0, 2.0]], canvas_size=(4, 10))).tolist()
    [[1.0, 2.0]]
    """


@vertical_flip.map
def _(size: tuple[int, int]) -> Map:
    return Map((1, 0, 0, 0, -1, size[0]), size)


@vertical_flip.pixels
def _(x: Tensor, fill: float) -> Tensor:
    return x.flip(-2)


@value
class RandomHorizontalFlip(Geometric):
    """Mirror left and right with probability `p`, all leaves together.

    >>> RandomHorizontalFlip(1.0)({"image": Image(torch.arange(3.0).reshape(1, 1, 3))})["image"].tolist()
    [[[2.0, 1.0, 0.0]]]
    """

    p: float = 0.5
    op = horizontal_flip
    exact = True

    def __post_init__(self) -> None:
        probability(self.p)

    def draw(self, key: Key, info: Info) -> Params:
        return {"flip": key.bernoulli(self.p)}

    def chosen(self, params: Params) -> Any:
        return params["flip"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return sizes


@value
class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirror top and bottom with probability `p`, all leaves together.

    >>> RandomVerticalFlip(1.0)({"image": Image(torch.arange(3.0).reshape(1, 3, 1))})["image"].flatten().tolist()
    [2.0, 1.0, 0.0]
    """

    op = vertical_flip
