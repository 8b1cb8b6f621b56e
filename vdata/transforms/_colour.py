"""Arithmetic that the colour verbs share. Factors are numbers, or arrays with one a row of a stacked batch.

Integers are computed in float32, those of more than 16 bits in float64, and cut off on the way back, not rounded, as in
torchvision. Colour is a matter of red, green and blue: of four channels the last (alpha) stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.tensors import Image, Video
from vdata.transforms._lift import is_rows, lifted
from vdata.transforms.dtype import greatest, value_bits

_BELOW_2_63 = 2**63 - 1024  # float64 has no 2**63 - 1: int64's white would round up and wrap


def on_colour(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` done to grey or RGB; of four channels to the first three."""
    changed = change(colour_of(x))
    return changed if x.shape[-3] != 4 else torch.cat([changed, x[..., 3:, :, :]], -3)


def colour_of(x: Tensor) -> Tensor:
    """The channels that hold colour: all of 1 or 3, the first three of 4."""
    if x.shape[-3] not in (1, 3, 4):
        raise ValueError(f"colour is defined for 1 (grey), 3 (RGB) and 4 (RGB and alpha) channels, got {x.shape[-3]}")
    computable(x.dtype)  # raises where it is not
    return x[..., :3, :, :]


def factor(value: Any, name: str, x: Image | Video, low: float = 0.0, high: float = math.inf) -> Any:
    """A verb's factor, a number or one a row of x, when it lies within [low, high]."""
    if is_rows(value):
        if x.ndim == x._core:
            raise ValueError(
                f"{name} has {len(value)} entries, one a row of a batch, but this is one {type(x).__name__}"
            )
        if len(value) != len(x):
            raise ValueError(f"{name} has {len(value)} entries, but the batch has {len(x)} rows")
        rows = torch.as_tensor(value)
        good = bool(((rows >= low) & (rows <= high)).all())
    else:
        value = float(value)
        good = low <= value <= high
    if not good:
        bounds = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {bounds}, got {value}")
    return value


def over(value: Any, x: Tensor) -> Any:
    """A factor ready to meet x, which is floating: one a row as a tensor that broadcasts."""
    return lifted(value, x, precise(x.dtype))


def computable(dtype: torch.dtype) -> torch.dtype:
    """The floating dtype in which pictures of `dtype` are computed: one that can count their levels; TypeError without."""
    if dtype.is_floating_point:
        return dtype
    return torch.float64 if value_bits(dtype) > 16 else torch.float32


def precise(dtype: torch.dtype) -> torch.dtype:
    """`computable`, but at least float32: half precision loses bits of sums, and numbers are no less than that."""
    return torch.promote_types(computable(dtype), torch.float32)


def floating(x: Tensor) -> Tensor:
    """x as floats of the same values; of floats the same tensor."""
    return x.to(computable(x.dtype))


def clipped(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats (written over) as `dtype`: what is beyond black and white becomes black and white."""
    return cut_off(x.clamp_(0, min(greatest(dtype), _BELOW_2_63)), dtype)


def cut_off(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats that lie within the range of `dtype` as that; of integers without their fractions."""
    if dtype != torch.uint8 or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return x.to(dtype)
    out = torch.empty_like(x, dtype=dtype)
    with np.errstate(invalid="ignore"):  # NaN becomes black
        np.copyto(out.numpy(), x.numpy(), casting="unsafe")  # five times as fast as torch
    return out


def luma(x: Tensor) -> Tensor:
    """The grey of RGB, [..., 1, H, W] floating."""
    r, g, b = floating(x).unbind(-3)
    return r.mul(0.2989).add_(g, alpha=0.587).add_(b, alpha=0.114).unsqueeze(-3)


def grey_of(x: Tensor) -> Tensor:
    """The grey of grey or RGB, [..., 1, H, W] floating; of an integer picture in whole levels."""
    if x.shape[-3] == 1:
        return floating(x)
    return luma(x) if x.is_floating_point() else luma(x).floor_()


def plus(x: Tensor, other: Tensor, ratio: Any) -> Tensor:
    """x + ratio * other, in one rounding where the processor can: a row is then, to the bit, what it is alone."""
    if is_rows(ratio):
        return torch.addcmul(x, other, over(ratio, x))
    return torch.add(x, other, alpha=ratio)


def blend(x: Tensor, other: Tensor, ratio: Any) -> Tensor:
    """`ratio` parts of x and the rest of `other`, as x is."""
    wide = floating(x)
    return clipped(plus(wide * over(ratio, wide), other, 1.0 - ratio), x.dtype)


def redo(image: Any, chosen: np.ndarray, verb: Callable[..., Any], arguments: np.ndarray) -> None:
    """Do a verb, in place, to those rows of a stacked batch that are chosen (bool [B]), with an argument a row."""
    rows, into = np.flatnonzero(chosen), image.plain()
    if len(rows) == 0:
        return
    if len(rows) == len(chosen):
        into.copy_(verb(image, arguments).plain())
        return
    at = torch.from_numpy(rows).to(into.device)
    done = verb(image.like(into.index_select(0, at)), arguments[rows]).plain()
    if into.dtype == torch.uint16:  # which torch cannot write by index: the same bits under another name
        done, into = done.view(torch.int16), into.view(torch.int16)
    into.index_copy_(0, at, done)
