"""Five windows, or ten with their mirror images: several samples of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.transforms._base import Params, Transform, value
from vdata.transforms._check import put, size_pair
from vdata.transforms._info import Info, sizes_of
from vdata.transforms._op import op
from vdata.transforms.crop import Window, centre_window, crop
from vdata.transforms.flip import horizontal_flip, vertical_flip

_SPATIAL = (Image, Video, Mask, BoundingBoxes, KeyPoints, Flow)


@op
def five_crop(inpt: Any, size: Any) -> Any:
    """The windows of `size` in the four corners (top left, top right, bottom left, bottom right) and the middle: a tuple.

    >>> [k.tolist() for k in five_crop(KeyPoints([[4.0, 4.0]], canvas_size=(8, 8)), 4)][3:]
    [[[0.0, 0.0]], [[2.0, 2.0]]]
    """


@five_crop.on(*_SPATIAL)
def _(x: TypedTensor, size: Any) -> tuple[TypedTensor, ...]:
    windows = _windows(x.canvas, size_pair(size))
    if not isinstance(x, Flow):
        return tuple(crop(x, *w) for w in windows)
    targets = (crop.arguments(*w) for w in _windows(x.target_size, size_pair(size)))
    return tuple(crop(x, *w, target=t) for w, t in zip(windows, targets, strict=True))


def _windows(canvas: tuple[int, int] | None, size: tuple[int, int]) -> list[Window]:
    if canvas is None or size[0] > canvas[0] or size[1] > canvas[1]:
        raise PlanError(
            f"five windows of {size} do not fit a canvas of {canvas} (height, width): resize or pad it first"
        )
    bottom, right = canvas[0] - size[0], canvas[1] - size[1]
    return [*((top, left, *size) for top in (0, bottom) for left in (0, right)), centre_window(canvas, size)]


@op
def ten_crop(inpt: Any, size: Any, vertical_flip: bool = False) -> Any:
    """`five_crop`, then `five_crop` of the mirror image (left and right, or top and bottom): a tuple of ten.

    >>> len(ten_crop(Image(torch.zeros(3, 8, 8)), 4))
    10
    """


@ten_crop.on(*_SPATIAL)
def _(x: TypedTensor, size: Any, vertical_flip: bool) -> tuple[TypedTensor, ...]:
    return five_crop(x, size) + five_crop(_flipped(x, vertical_flip), size)


def _flipped(x: TypedTensor, upside_down: bool) -> TypedTensor:
    return vertical_flip(x) if upside_down else horizontal_flip(x)


@value
class FiveCrop(Transform):
    """A tuple of five samples, each cut to another window of `size`; what is not spatial is in all of them.

    >>> [s["image"].tolist() for s in FiveCrop(1)({"image": Image(torch.arange(9).reshape(1, 3, 3))})]
    [[[[0]]], [[[2]]], [[[6]]], [[[8]]], [[[4]]]]
    """

    size: Any

    def __post_init__(self) -> None:
        put(self, size=size_pair(self.size))

    def cut(self, leaf: TypedTensor) -> tuple[TypedTensor, ...]:
        """All windows of one leaf."""
        return five_crop(leaf, self.size)

    def after(self, params: Params, info: Info) -> Info:
        return info.resized({f: np.broadcast_to(np.array(self.size, np.int64), s.shape) for f, s in info.sizes.items()})

    def apply(self, params: Params, sample: dict[str, Any]) -> Any:
        sizes_of(sample)  # leaves of one frame that disagree raise
        cuts = {n: self.cut(v) for n, v in sample.items() if isinstance(v, TypedTensor) and not isinstance(v, Label)}
        count = len(next(iter(cuts.values()), ()))
        if not count:
            raise PlanError(f"{self} needs a spatial leaf: the sample has no image, mask, box, point or flow")
        return tuple({n: cuts[n][i] if n in cuts else v for n, v in sample.items()} for i in range(count))


@value
class TenCrop(FiveCrop):
    """A tuple of ten samples: `FiveCrop`, and the same of the mirror image.

    >>> len(TenCrop(1)({"image": Image(torch.zeros(1, 3, 3))}))
    10
    """

    vertical_flip: bool = False

    def cut(self, leaf: TypedTensor) -> tuple[TypedTensor, ...]:
        return ten_crop(leaf, self.size, self.vertical_flip)
