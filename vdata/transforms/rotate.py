"""Turn the canvas about a point, by any angle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import fill_value, interval, put
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Map
from vdata.transforms._op import spatial
from vdata.transforms._warp import NEAREST as ANY_NEAREST
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.pad import fill_by_type

NEAREST = InterpolationMode.NEAREST


@spatial
def rotate(
    inpt: Any, angle: float, interpolation: Any = NEAREST, expand: bool = False, center: Any = None, fill: Any = None
) -> Any:
    """Turn by `angle` degrees, counter-clockwise, about `center` (x, y), the canvas's middle where it is None.

    expand  the new canvas is as large as it must be to hold all of the old one; then `center` would have no effect, so it raises
    fill    what pictures and masks have where nothing was, as in `pad`

    Multiples of 90 degrees on squares, or with `expand`, move pixels by index and change no value. One canvas is computed for
    all types. Boxes become the hull of their turned corners, cut to the canvas; `angle` may have one entry a row.

    >>> rotate(KeyPoints([[1.0, 3.0]], canvas_size=(8, 10)), 180.0).tolist()
    [[9.0, 5.0]]
    """


def turn(angle: Any) -> tuple[Any, Any]:
    """Cosine and sine of degrees, exactly 0 and +-1 at multiples of 90; arrays go in and come out."""
    quarter = np.mod(angle, 90.0) == 0
    radians = np.deg2rad(angle)
    cosine, sine = (np.where(quarter, np.round(f(radians)), f(radians)) for f in (np.cos, np.sin))
    return (cosine, sine) if np.ndim(angle) else (float(cosine), float(sine))


@rotate.map
def _(size: tuple[int, int], angle: Any, expand: bool, center: Any, **_: Any) -> Map:
    height, width = size
    if expand and center is not None:
        raise ValueError("rotate with expand=True keeps the whole canvas, so center has no effect: leave it out")
    x, y = (width / 2, height / 2) if center is None else (center[0], center[1])
    cosine, sine = turn(angle)
    new = _grown(size, cosine, sine) if expand else size
    to_x, to_y = (new[1] / 2, new[0] / 2) if expand else (x, y)
    return Map((cosine, sine, to_x - cosine * x - sine * y, -sine, cosine, to_y + sine * x - cosine * y), new)


def _grown(size: tuple[int, int], cosine: Any, sine: Any) -> tuple[Any, Any]:
    """The canvas that holds a turned one: torchvision's rule for pictures, with its tolerance of a ten-thousandth of a pixel."""
    height, width = size
    sides = []
    for along, across in ((width / 2, height / 2), (height / 2, width / 2)):
        half = np.abs(cosine) * along + np.abs(sine) * across
        first, last = (np.trunc(np.round((along + h) * 1e4, 4)) * 1e-4 for h in (-half, half))
        side = np.ceil(np.round(last, 6)) - np.floor(np.round(first, 6))
        sides.append(np.where((cosine == 0) | (sine == 0), 2 * half, side))  # quarter turns need no more than the canvas
    wide, high = (s.astype(np.int64) if s.ndim else int(s) for s in sides)
    return high, wide


@rotate.reads
def _(interpolation: Any, **_: Any) -> How:
    return reading(interpolation)


rotate.clamps()


@value
class RandomRotation(Geometric):
    """Turn by a random angle in `degrees`: (least, greatest), or one number for (-degrees, degrees); counter-clockwise.

    The other arguments as in `functional.rotate`; `fill` as in `Pad`.

    >>> RandomRotation((90, 90))(Image(torch.tensor([[[1, 2], [3, 4]]]))).tolist()
    [[[2, 4], [1, 3]]]
    """

    degrees: Any
    interpolation: Any = NEAREST
    expand: bool = False
    center: Any = None
    fill: Any = 0
    op = rotate

    def __post_init__(self) -> None:
        put(self, degrees=angles(self.degrees, "degrees"), fill=fill_value(self.fill))
        put(self, interpolation=reading(self.interpolation).mode, center=None if self.center is None else point(self.center))
        if self.expand and self.center is not None:
            raise ValueError("expand=True keeps the whole canvas, so center has no effect: leave it out")

    def draw(self, key: Key, info: Info) -> Params:
        return {"angle": key.fold("angle").uniform(*self.degrees)}

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        how = {"interpolation": self.interpolation, "expand": self.expand, "center": self.center}
        return {"angle": params["angle"], **how, "fill": fill_by_type(self.fill)}


def reading(interpolation: Any) -> How:
    """How pictures are read under maps of any kind: by nearest pixel, or between pixels with the fill beyond the border."""
    mode = InterpolationMode(interpolation)
    if mode not in (*ANY_NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
        raise ValueError(f"{mode.value!r} is for resizing alone; take 'nearest', 'bilinear' or 'bicubic'")
    return How(mode, blends=True)


def angles(given: Any, name: str) -> tuple[float, float]:
    """(least, greatest) from both, or from one number of at least 0 for (-given, given)."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        if given < 0:
            raise ValueError(f"{name} as one number must be at least 0, got {given!r}")
        given = (-given, given)
    return interval(given, name)


def point(given: Any) -> tuple[float, float]:
    """(x, y) in pixels of the canvas, its top left corner at (0, 0)."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise ValueError(f"center is (x, y), got {given!r}")
    return float(given[0]), float(given[1])
