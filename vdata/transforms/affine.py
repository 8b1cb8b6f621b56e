"""Turn, shift, scale and shear the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import fill_value, interval, put
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._lift import is_rows
from vdata.transforms._map import Map
from vdata.transforms._op import spatial
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.pad import fill_by_type
from vdata.transforms.rotate import angles, point, reading, turn

NEAREST = InterpolationMode.NEAREST


@spatial
def affine(
    inpt: Any, angle: float, translate: Any, scale: float, shear: Any,
    interpolation: Any = NEAREST, fill: Any = None, center: Any = None,
) -> Any:  # fmt: skip
    """Shear, scale and turn about `center` (the canvas's middle where it is None), then shift; the canvas keeps its size.

    angle      degrees, clockwise (unlike `rotate`, as in torchvision)
    translate  (right, down) in pixels
    shear      degrees, one number (along x) or (along x, along y); a sequence of one is the same along both, as in torchvision

    Boxes become the hull of their moved corners, cut to the canvas. Each argument may have one entry a row (translate and shear
    [R, 2]).

    >>> affine(KeyPoints([[1.0, 3.0]], canvas_size=(8, 8)), 0.0, (2, 1), 1.0, 0.0).tolist()
    [[3.0, 4.0]]
    """


@affine.map
def _(size: tuple[int, int], angle: Any, translate: Any, scale: Any, shear: Any, center: Any, **_: Any) -> Map:
    if not is_rows(scale) and not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale!r}")
    x, y = (size[1] / 2, size[0] / 2) if center is None else (center[0], center[1])
    right, down = _pair(translate, "translate")
    shear_x, shear_y = _pair(_both(shear), "shear")
    along, across = np.tan(np.deg2rad(shear_x)), np.tan(np.deg2rad(shear_y))
    cosine, sine = turn(angle)
    # Sheared by (1, -along, 0, 1), then by (1, 0, -across, 1), then turned: the first column of the last two, then all.
    a, d = cosine + sine * across, sine - cosine * across
    b, e = -sine - a * along, cosine - d * along
    a, b, d, e = (scale * v for v in (a, b, d, e))
    rows = (a, b, x + right - a * x - b * y, d, e, y + down - d * x - e * y)
    return Map(tuple(v if np.ndim(v) else float(v) for v in rows), size)  # type: ignore[arg-type]


def _both(shear: Any) -> Any:
    """A number is along x alone, a sequence of one along both."""
    if isinstance(shear, (int, float)):
        return shear, 0.0
    return shear if len(shear) != 1 or is_rows(shear) else (shear[0], shear[0])


def _pair(given: Any, name: str) -> tuple[Any, Any]:
    if isinstance(given, np.ndarray):
        return given[:, 0], given[:, 1]
    if len(given) != 2:
        raise ValueError(f"{name} has two numbers, along x and along y, got {given!r}")
    return given[0], given[1]


@affine.reads
def _(interpolation: Any, **_: Any) -> How:
    return reading(interpolation)


affine.clamps()


@value
class RandomAffine(Geometric):
    """Turn, shift, scale and shear by random amounts, about `center` or the canvas's middle; the canvas keeps its size.

    degrees    (least, greatest), or one number for (-degrees, degrees); clockwise
    translate  greatest shift as shares of (width, height); None for none
    scale      (least, greatest); None for 1
    shear      one number for (-shear, shear) along x, (least, greatest) along x, or both for x and y; degrees

    >>> RandomAffine(20, translate=(0.1, 0.1), scale=(0.8, 1.2))(Image(torch.zeros(3, 8, 8))).shape
    torch.Size([3, 8, 8])
    """

    degrees: Any
    translate: Any = None
    scale: Any = None
    shear: Any = None
    interpolation: Any = NEAREST
    fill: Any = 0
    center: Any = None
    op = affine

    def __post_init__(self) -> None:
        put(self, degrees=angles(self.degrees, "degrees"), fill=fill_value(self.fill), shear=_shears(self.shear))
        if self.translate is not None:
            shares = tuple(self.translate)
            if len(shares) != 2 or not all(0 <= s <= 1 for s in shares):
                raise ValueError(f"translate has a share in [0, 1] of the width and one of the height, got {self.translate!r}")
            put(self, translate=shares)
        if self.scale is not None:
            put(self, scale=interval(tuple(self.scale), "scale", 0))
            if self.scale[0] <= 0:
                raise ValueError(f"scale must be above 0, got {self.scale!r}")
        put(self, interpolation=reading(self.interpolation).mode, center=None if self.center is None else point(self.center))

    def draw(self, key: Key, info: Info) -> Params:
        drawn: Params = {"angle": key.fold("angle").uniform(*self.degrees)}
        if self.translate is not None:
            drawn["translate"] = key.fold("translate").uniform(-1.0, 1.0, 2)
        if self.scale is not None:
            drawn["scale"] = key.fold("scale").uniform(*self.scale)
        if self.shear is not None:
            shear = key.fold("shear")
            drawn["shear"] = np.stack([shear.fold(i).uniform(*span) for i, span in enumerate(self.shear)], 1)
        return drawn

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        moved = {"translate": (0, 0), "scale": 1.0, "shear": (0.0, 0.0), **params}
        if self.translate is not None:
            most = np.array([self.translate[0] * size[1], self.translate[1] * size[0]])
            shift = np.round(np.asarray(params["translate"]) * most)  # whole pixels, as torchvision
            moved["translate"] = shift if shift.ndim == 2 else tuple(shift.tolist())
        return {**moved, "interpolation": self.interpolation, "fill": fill_by_type(self.fill), "center": self.center}


def _shears(given: Any) -> Any:
    """((least, greatest) along x, the same along y); None for none."""
    if given is None:
        return None
    if isinstance(given, Sequence) and given and isinstance(given[0], Sequence):
        given = [v for span in given for v in span]
    if isinstance(given, (int, float)) or len(given) == 2:
        return angles(given, "shear"), (0.0, 0.0)
    if len(given) != 4:
        raise ValueError(f"shear is one number, (least, greatest) along x, or four numbers for x and y, got {given!r}")
    return interval(given[:2], "shear"), interval(given[2:], "shear")
