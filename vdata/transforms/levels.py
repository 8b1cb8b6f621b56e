"""The levels of single pixels: turned round, fewer, or turned round above a threshold.

Source of the formulas: torchvision.transforms.v2.functional. An alpha stays as it is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._check import put, whole
from vdata.transforms._colour import factor, on_colour, over, precise
from vdata.transforms._lift import is_rows, lifted
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._sometimes import Sometimes, strength
from vdata.transforms.dtype import greatest, value_bits

MOST_BITS = 16


@op
def invert(inpt: Any) -> Any:
    """White minus every value: 255 - v for uint8, 1 - v for floats; an alpha stays as it is.

    >>> invert(Image(torch.tensor([[[0, 100, 255]]], dtype=torch.uint8))).tolist()
    [[[255, 155, 0]]]
    """


@op
def posterize(inpt: Any, bits: Any) -> Any:
    """Keep the upper `bits` bits of every value (0 leaves black), of floats 2**bits levels.

    bits  0 to 16, or an array with one a row of a stacked batch; as many as the dtype has or more change nothing

    >>> posterize(Image(torch.tensor([[[7, 100, 255]]], dtype=torch.uint8)), 2).tolist()
    [[[0, 64, 192]]]
    """


@op
def solarize(inpt: Any, threshold: Any) -> Any:
    """Invert the values of at least `threshold`, which lies between the dtype's black and white.

    threshold  in the picture's own levels, as 128 for uint8 and 0.5 for floats; or an array with one a row

    >>> solarize(Image(torch.tensor([[[7, 100, 255]]], dtype=torch.uint8)), 100).tolist()
    [[[7, 155, 0]]]
    """


@invert.on(Image, Video)
def _(x: Image | Video) -> Tensor:
    return on_colour(x.plain(), _inverted)


@posterize.on(Image, Video)
def _(x: Image | Video, bits: Any) -> Tensor:
    factor(bits, "bits", x, 0, MOST_BITS)
    kept = np.asarray(bits)
    if kept.dtype.kind not in "iu":
        raise ValueError(f"bits must be whole numbers, got {bits}")
    number = kept.astype(np.int64) if kept.ndim else int(kept)
    change = _levels if x.is_floating_point() else _upper_bits
    return on_colour(x.plain(), lambda rgb: change(rgb, number))


@solarize.on(Image, Video)
def _(x: Image | Video, threshold: Any) -> Tensor:
    return on_colour(x.plain(), lambda rgb: _solarized(rgb, factor(threshold, "threshold", x, 0, greatest(x.dtype))))


def _inverted(x: Tensor) -> Tensor:
    return 1.0 - x if x.is_floating_point() else x ^ _all_bits(x.dtype)


def _all_bits(dtype: torch.dtype) -> int:
    return 2 ** value_bits(dtype) - 1


def _levels(x: Tensor, bits: Any) -> Tensor:
    wide = x.to(precise(x.dtype))
    levels = over(2.0**bits, wide)
    return (wide * levels).floor_().clamp_(min=0).clamp_max(levels - 1).mul(1.0 / levels).to(x.dtype)


def _upper_bits(x: Tensor, bits: Any) -> Tensor:
    has = value_bits(x.dtype)
    kept = np.minimum(bits, has)
    mask = ((1 << kept) - 1) << (has - kept)
    return x & (lifted(mask, x, x.dtype) if is_rows(mask) else int(mask))


def _solarized(x: Tensor, threshold: Any) -> Tensor:
    reaches = _reaches(x, threshold)
    if x.is_floating_point():
        return torch.where(reaches, _inverted(x), x)
    return x ^ (reaches.to(x.dtype) * _all_bits(x.dtype))  # eight times as fast as `where` is for bytes


def _reaches(x: Tensor, threshold: Any) -> Tensor:
    if x.is_floating_point():
        return x >= lifted(threshold, x)
    # A whole number reaches a threshold where it reaches the next whole number: exact for integers of every width.
    least = lifted(np.ceil(np.asarray(threshold)), x, x.dtype) if is_rows(threshold) else math.ceil(threshold)
    if x.dtype == torch.uint16:  # which torch does not compare
        return x.int() >= (least.int() if isinstance(least, Tensor) else least)
    return x >= least


@value
class RandomInvert(Sometimes):
    """Invert all colours with probability `p`.

    >>> RandomInvert(1.0)(Image(torch.zeros(3, 1, 1))).flatten().tolist()
    [1.0, 1.0, 1.0]
    """

    p: float = 0.5

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return invert(image)


@value
class RandomPosterize(Sometimes):
    """Keep `bits` bits (0 to 16) of every value, with probability `p`.

    >>> RandomPosterize(1, 1.0)(Image(torch.full((3, 1, 1), 200, dtype=torch.uint8))).flatten().tolist()
    [128, 128, 128]
    """

    bits: int
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        put(self, bits=whole(self.bits, "bits", 0))
        if self.bits > MOST_BITS:
            raise ValueError(f"bits must be at most {MOST_BITS}, got {self.bits}")

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return posterize(image, self.bits)


@value
class RandomSolarize(Sometimes):
    """Invert the values of at least `threshold` (in the picture's own levels), with probability `p`.

    >>> RandomSolarize(0.5, 1.0)(Image(torch.tensor([[[0.25, 0.75]]]))).tolist()
    [[[0.25, 0.25]]]
    """

    threshold: float
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        strength(self.threshold, "threshold")

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return solarize(image, self.threshold)
