"""Sharper or softer."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._colour import clipped, factor, on_colour, plus, precise
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._sometimes import Sometimes, strength


@op
def adjust_sharpness(inpt: Any, sharpness_factor: Any) -> Any:
    """Away from a softened picture by `sharpness_factor` (0 is soft, 1 changes nothing, 2 is sharper).

    Soft is the mean of 3 x 3 pixels, the middle one counted five times (integers: rounded). The pixels of the border stay,
    and so does all of a picture of fewer than 3 rows or columns. The factor may be an array with one a row.

    >>> adjust_sharpness(Image(torch.eye(3)[None]), 0.0)[0, 1].tolist()
    [0.0, 0.5384615659713745, 0.0]
    """


@adjust_sharpness.on(Image, Video)
def _(x: Image | Video, sharpness_factor: Any) -> Tensor:
    ratio = factor(sharpness_factor, "sharpness_factor", x)
    return on_colour(x.plain(), lambda rgb: _sharpened(rgb, ratio))


def _sharpened(x: Tensor, ratio: Any) -> Tensor:
    if x.shape[-2] < 3 or x.shape[-1] < 3:
        return x
    wide = x.to(precise(x.dtype), copy=True)
    inner = wide[..., 1:-1, 1:-1]
    soft = _softened(wide, inner)
    if not x.is_floating_point():
        soft = soft.round_()
    inner.copy_(plus(inner, soft - inner, 1.0 - ratio))
    return clipped(wide, x.dtype)


def _softened(x: Tensor, inner: Tensor) -> Tensor:
    """By sums along columns and rows: exact for integers, and the same on every device."""
    column = (x[..., :-2, :] + x[..., 1:-1, :]).add_(x[..., 2:, :])
    box = (column[..., :-2] + column[..., 1:-1]).add_(column[..., 2:])
    return box.add_(inner, alpha=4).div_(13)


@value
class RandomAdjustSharpness(Sometimes):
    """Sharpen (a factor above 1) or soften (below 1), with probability `p`.

    >>> RandomAdjustSharpness(2.0, 1.0)(Image(torch.rand(3, 4, 4))).shape
    torch.Size([3, 4, 4])
    """

    sharpness_factor: float
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        strength(self.sharpness_factor, "sharpness_factor")

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return adjust_sharpness(image, self.sharpness_factor)
