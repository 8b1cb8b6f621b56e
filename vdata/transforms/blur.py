"""Softer by a Gaussian.

A blur is a weighted sum of the picture moved by a pixel this way and that: one multiply and add for each weight, which
on a CPU is ten times as fast as torch's grouped convolution and gives a row of a batch, to the bit, what it gets alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nn

from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._check import interval, put, whole
from vdata.transforms._colour import over, precise
from vdata.transforms._info import Info
from vdata.transforms._lift import is_rows
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric
from vdata.transforms._pixels import cast_rounded, extended, gather


@op
def gaussian_blur(inpt: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Each pixel the mean of its neighbours, weighted by a Gaussian; every channel, an alpha too.

    kernel_size  an odd number of pixels, or (width, height)
    sigma        the standard deviation in pixels, or (right, down); None is 0.15 kernel_size + 0.35. An array has one
                 number ([B]) or pair ([B, 2]) a row of a stacked batch.

    The picture goes on beyond its border by reflection, back and forth where the kernel is larger than the picture (and
    where that is one pixel, by that pixel). Integers are rounded.

    >>> gaussian_blur(Image(torch.tensor([[[0, 0, 90, 0, 0]]], dtype=torch.uint8)), (3, 1), 1.0).tolist()
    [[[0, 25, 41, 25, 0]]]
    """


@gaussian_blur.on(Image, Video)
def _(x: Image | Video, kernel_size: Any, sigma: Any) -> Tensor:
    sizes = odd_pair(kernel_size)
    right, down = _sigmas(sigma, sizes, x)
    kernels = gaussian(sizes[0], right)[..., None, :], gaussian(sizes[1], down)[..., :, None]
    return blurred(x.plain(), *kernels)


def odd_pair(kernel_size: Any) -> tuple[int, int]:
    """(width, height) of a kernel, both odd, from one number or two."""
    sides = tuple(kernel_size) if isinstance(kernel_size, Sequence) else (kernel_size,)
    if len(sides) not in (1, 2):
        raise ValueError(f"kernel_size must be an odd number or (width, height), got {kernel_size!r}")
    return odd(sides[0]), odd(sides[-1])


def odd(side: Any) -> int:
    """A side of a kernel that has a middle."""
    if whole(side, "kernel_size") % 2 == 0:
        raise ValueError(f"kernel_size must be odd, so that the kernel has a middle, got {side}")
    return int(side)


def _sigmas(sigma: Any, sizes: tuple[int, int], x: Image | Video) -> tuple[Any, Any]:
    """Standard deviations to the right and down: a number each, or float64 [B] each."""
    if sigma is None:
        return 0.15 * sizes[0] + 0.35, 0.15 * sizes[1] + 0.35
    rows = is_rows(sigma)
    numbers = np.asarray(torch.as_tensor(sigma).cpu() if rows else sigma, np.float64)
    if rows and (x.ndim == x._core or len(numbers) != len(x)):
        raise ValueError(
            f"sigma has {len(numbers)} entries, one a row of a batch, but the {type(x).__name__} has shape {list(x.shape)}"
        )
    pairs = numbers.reshape(len(numbers) if rows else 1, -1)
    if pairs.shape[1] not in (1, 2) or not (pairs > 0).all() or not np.isfinite(pairs).all():
        raise ValueError(f"sigma must be a number above 0, or two (right, down), got {sigma}")
    if rows:
        return pairs[:, 0], pairs[:, -1]
    return float(pairs[0, 0]), float(pairs[0, -1])


def gaussian(size: int, sigma: Any) -> np.ndarray:
    """A Gaussian's weights at the pixels of a line, float64 [size] or, for sigma [B], [B, size]; they add up to 1."""
    at = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.exp(-((at / torch.as_tensor(sigma, dtype=torch.float64).unsqueeze(-1)) ** 2) / 2)
    return (weights / weights.sum(-1, keepdim=True)).numpy()


def blurred(x: Tensor, *kernels: np.ndarray) -> Tensor:
    """x under one kernel after the other, in x's dtype; integers are rounded, half precision is computed in float32.

    kernels  float64 [h, w] (h and w odd), or [B, h, w]: one a row of x [B, ..., H, W]; weights that add up to 1
    """
    wide = x.to(precise(x.dtype))
    if x.numel() == 0:
        return x
    for kernel in kernels:
        wide = _spread(wide, kernel)
    return cast_rounded(wide, x.dtype)


def _spread(x: Tensor, kernel: np.ndarray) -> Tensor:
    height, width = x.shape[-2:]
    around = _reflected(x, kernel.shape[-2] // 2, kernel.shape[-1] // 2)
    out = torch.zeros_like(x)
    for i, j in np.ndindex(kernel.shape[-2:]):
        weight, moved = kernel[..., i, j], around[..., i : i + height, j : j + width]
        if not weight.any():
            continue
        if weight.ndim:
            out.addcmul_(moved, over(weight, x))
        else:
            out.add_(moved, alpha=float(weight))
    return out


def _reflected(x: Tensor, high: int, wide: int) -> Tensor:
    """x with a border mirrored at its outermost pixels."""
    height, width = x.shape[-2:]
    if high < height and wide < width:
        planes = nn.pad(x.reshape(-1, height, width), (wide, wide, high, high), "reflect")
        return planes.reshape(*x.shape[:-2], *planes.shape[-2:])
    rows = extended(height, high, high, "reflect", x.device)
    return gather(x, rows, extended(width, wide, wide, "reflect", x.device))


@value
class GaussianBlur(Photometric):
    """Blur by a Gaussian whose `sigma` is drawn from (least, greatest), or is one number.

    `kernel_size` is an odd number of pixels, or (width, height). Motion and labels stay: a blur moves nothing.

    >>> GaussianBlur(5)(Image(torch.rand(3, 8, 8))).shape
    torch.Size([3, 8, 8])
    """

    kernel_size: Any
    sigma: float | Sequence[float] = (0.1, 2.0)
    rowwise = True

    def __post_init__(self) -> None:
        given = tuple(self.sigma) if isinstance(self.sigma, Sequence) else (self.sigma,)
        sigma = interval(given * 2 if len(given) == 1 else given, "sigma", 0.0)
        if sigma[0] == 0:
            raise ValueError(f"sigma must be above 0, got {self.sigma!r}")
        put(self, kernel_size=odd_pair(self.kernel_size), sigma=sigma)

    def draw(self, key: Key, info: Info) -> Params:
        return {"sigma": key.fold("sigma").uniform(*interval(self.sigma, "sigma"))}

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return gaussian_blur(image, self.kernel_size, params["sigma"])
