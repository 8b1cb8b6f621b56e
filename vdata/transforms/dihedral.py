"""The eight ways to lay a rectangle on itself: quarter turns, mirrors and transposes, moved by index on every type."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import probability
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Map, Move
from vdata.transforms._op import spatial
from vdata.transforms._warp import How

# Element g of the group as the linear part of its map (a, b, d, e): 0 to 3 are quarter turns, counter-clockwise; 4 to 7 are
# these after a mirror of left and right.
_TURNS = np.array([[1, 0, 0, 1], [0, 1, -1, 0], [-1, 0, 0, -1], [0, -1, 1, 0], [-1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, -1], [0, -1, -1, 0]])


@spatial
def dihedral(inpt: Any, element: int) -> Any:
    """One of the 8 elements of the dihedral group: `element % 4` quarter turns counter-clockwise, for 4 to 7 after a mirror.

    5 is the transpose, 7 the transpose along the other diagonal, 6 the mirror of top and bottom. Exact on all types.
    `element` may have one entry a row where the new canvases agree (all of squares).

    >>> dihedral(Image(torch.tensor([[[1, 2], [3, 4]]])), 1).tolist()
    [[[2, 4], [1, 3]]]
    """


@dihedral.map
def _element(size: tuple[int, int], element: Any) -> Map:
    a, b, d, e = np.moveaxis(_TURNS[np.asarray(element) % 8], -1, 0)
    height, width = size
    swapped = b != 0
    new = (np.where(swapped, width, height), np.where(swapped, height, width))
    # What goes negative comes back by the length of its old axis.
    c, f = width * (a < 0) + height * (b < 0), width * (d < 0) + height * (e < 0)
    if not np.ndim(element):
        return Map(tuple(int(v) for v in (a, b, c, d, e, f)), (int(new[0]), int(new[1])))  # type: ignore[arg-type]
    return Map((a, b, c, d, e, f), new)  # type: ignore[arg-type]


@dihedral.reads
def _(**_: Any) -> How:
    return How()


@spatial
def rot90(inpt: Any, k: int = 1) -> Any:
    """`k` quarter turns counter-clockwise, as `torch.rot90` over the last two dimensions.

    >>> rot90(Flow(torch.tensor([[[1.0]], [[0.0]]]))).flatten().tolist()
    [0.0, -1.0]
    """


@rot90.map
def _(size: tuple[int, int], k: Any) -> Move:
    return _element(size, np.mod(k, 4) if np.ndim(k) else int(k) % 4)


@rot90.reads
def _(**_: Any) -> How:
    return How()


@spatial
def transpose(inpt: Any) -> Any:
    """Rows become columns: (x, y) goes to (y, x).

    >>> transpose(KeyPoints([[1.0, 3.0]], canvas_size=(8, 10))).tolist()
    [[3.0, 1.0]]
    """


@transpose.map
def _(size: tuple[int, int]) -> Map:
    return Map((0, 1, 0, 1, 0, 0), (size[1], size[0]))


@transpose.reads
def _(**_: Any) -> How:
    return How()


@value
class RandomTranspose(Geometric):
    """Rows become columns with probability `p`.

    >>> RandomTranspose(1.0)(Image(torch.zeros(1, 2, 3))).shape
    torch.Size([1, 3, 2])
    """

    p: float = 0.5
    op = transpose

    def __post_init__(self) -> None:
        probability(self.p)

    def draw(self, key: Key, info: Info) -> Params:
        return {"apply": key.fold("apply").bernoulli(self.p)}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {}


@value
class RandomRotate90(Geometric):
    """With probability `p`, 0 to 3 quarter turns, evenly.

    >>> sorted({RandomRotate90(1.0)(Image(torch.zeros(1, 2, 3)), key=Key.of(i)).canvas for i in range(9)})
    [(2, 3), (3, 2)]
    """

    p: float = 0.5
    op = rot90

    def __post_init__(self) -> None:
        probability(self.p)

    def draw(self, key: Key, info: Info) -> Params:
        return {"apply": key.fold("apply").bernoulli(self.p), "k": key.fold("k").integers(0, 4)}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {"k": params["k"]}


@value
class RandomDihedral(Geometric):
    """With probability `p`, one of the 8 quarter turns and mirrors ("D4"), evenly.

    >>> RandomDihedral()(Image(torch.zeros(1, 4, 4))).shape
    torch.Size([1, 4, 4])
    """

    p: float = 1.0
    op = dihedral

    def __post_init__(self) -> None:
        probability(self.p)

    def draw(self, key: Key, info: Info) -> Params:
        return {"apply": key.fold("apply").bernoulli(self.p), "element": key.fold("element").integers(0, 8)}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {"element": params["element"]}
