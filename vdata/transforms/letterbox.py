"""Fit the canvas into another without changing its ratio, and fill the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.errors import PlanError
from vdata.key import Key
from vdata.tensors import Flow, Image, Mask, Video
from vdata.transforms._base import Params, value
from vdata.transforms._check import ByType, fill_value, put, size_pair
from vdata.transforms._follow import new_pixels
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Map
from vdata.transforms._op import spatial
from vdata.transforms._pixels import nearest
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode, tensor_mode
from vdata.transforms.pad import fill_by_type, pad_pixels
from vdata.transforms.resize import BILINEAR, resize_pixels, resize_vectors

Size = tuple[int, int]
Sides = tuple[int, int, int, int]


@spatial
def letterbox(
    inpt: Any, size: Any, fill: Any = None, center: bool = True, upscale: bool = True,
    interpolation: Any = BILINEAR, antialias: bool | None = True,
) -> Any:  # fmt: skip
    """Resize to the largest canvas of the same ratio that fits into `size` (a side, or (height, width)), and pad to it.

    fill     new pixels, as in `pad`; None for 114 of 255 in pictures
    center   whether the border is on both sides, an odd pixel on the right and at the bottom; else it is there alone
    upscale  whether a smaller canvas is made larger; else it is only padded

    Sides round to the nearest whole number. Boxes, points and flows take the ratios of the rounded sides.

    >>> letterbox(BoundingBoxes([[0, 0, 4, 4]], format="XYXY", canvas_size=(4, 8)), 16).tolist()
    [[0, 4, 8, 12]]
    """


def fitted(old: Size, size: Any, center: bool, upscale: bool) -> tuple[Size, Sides]:
    """(height, width) that a canvas is resized to, and the border (left, top, right, bottom) around that."""
    target = size_pair(size)
    if 0 in old:
        raise ValueError(f"a canvas without pixels cannot be resized, got {old}")
    ratio = min(new / side for new, side in zip(target, old, strict=True))
    ratio = ratio if upscale else min(ratio, 1.0)
    height, width = (max(1, round(side * ratio)) for side in old)
    down, across = target[0] - height, target[1] - width
    top, left = (down // 2, across // 2) if center else (0, 0)
    return (height, width), (left, top, across - left, down - top)


@letterbox.map
def _(old: Size, /, size: Any, center: bool, upscale: bool, **how: Any) -> Map:
    (height, width), (left, top, _, _) = fitted(old, size, center, upscale)
    return Map((width / old[1], 0, left, 0, height / old[0], top), size_pair(size))


@letterbox.on(Image, Video)
def _(
    x: Image | Video, size: Any, fill: Any, center: bool, upscale: bool, interpolation: Any, antialias: bool | None
) -> Tensor:
    new, border = fitted(x.canvas, size, center, upscale)
    return pad_pixels(resize_pixels(x.plain(), new, interpolation, antialias), new_pixels(x, "grey" if fill is None else fill), border, "constant")


@letterbox.on(Mask)
def _(x: Mask, size: Any, fill: Any, center: bool, upscale: bool, **how: Any) -> Tensor:
    new, border = fitted(x.canvas, size, center, upscale)
    return pad_pixels(nearest(x.plain(), new), new_pixels(x, fill), border, "constant")


@letterbox.flow
def _(x: Flow, size: Any, center: bool, upscale: bool, **how: Any) -> Tensor:
    new, border = fitted(x.canvas, size, center, upscale)
    return pad_pixels(resize_vectors(x, new), torch.nan, border, "constant")


@letterbox.reads
def _(interpolation: Any, antialias: bool | None, **_: Any) -> How:
    mode = InterpolationMode(interpolation)
    return How(mode, bool(antialias), corner=mode is InterpolationMode.NEAREST)


@value
class Letterbox(Geometric):
    """Fit each frame into `size` keeping its ratio, and fill the rest; arguments as in `functional.letterbox`.

    The usual border is grey, 114 of 255; "grey" is that in every picture's own range (0.447 where white is 1). A number
    above 1 for float pictures raises PlanError. Source of size, place and grey: the letterbox of YOLOv5.

    >>> Letterbox(8)(Image(torch.zeros(1, 2, 4, dtype=torch.uint8)))[0, :, 0].tolist()
    [114, 114, 0, 0, 0, 0, 114, 114]
    """

    size: Any
    fill: Any = "grey"
    center: bool = True
    upscale: bool = True
    interpolation: Any = BILINEAR
    antialias: bool | None = True
    op = letterbox

    def __post_init__(self) -> None:
        put(self, size=size_pair(self.size), fill=fill_value(self.fill))
        put(self, interpolation=tensor_mode(self.interpolation, self.antialias))

    @property
    def random(self) -> bool:
        return False

    def draw(self, key: Key, info: Info) -> Params:
        """Nothing; but what would be filled with more than white is known here, before any pixel is."""
        fill = fill_by_type(self.fill)
        if isinstance(fill, ByType):
            for name, dtype in info.dtypes.items():
                kind = {"Image": Image, "Video": Video}.get(info.types[name])
                if kind is not None and "float" in dtype and _brightest(fill.find(kind)) > 1:
                    raise PlanError(
                        f"{self} would fill {name!r}, a {info.types[name]} of {dtype} in 0..1, with {fill.find(kind)}: write "
                        "fill=114 / 255 (or what you like in 0..1), or apply it before ToDtype"
                    )
        return {}

    def place(self, params: Params, size: Size) -> dict[str, Any]:
        return {
            "size": self.size,
            "fill": fill_by_type(self.fill),
            "center": self.center,
            "upscale": self.upscale,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
        }

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.size, np.int64), sizes.shape)


def _brightest(fill: Any) -> float:
    return 0 if fill is None or isinstance(fill, str) else max(fill) if isinstance(fill, tuple) else fill
