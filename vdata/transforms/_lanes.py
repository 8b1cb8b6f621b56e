"""uint8 pictures read between pixels under an affine map: three channels at once, as lanes of one whole number.

A pixel's channels stand 21 bits apart in an int64, so that one look-up finds a pixel and one product weighs it: 8 bits of value and
13 of weight fill a lane. Weights are exact to 2^-14, so a value is that of float32 arithmetic but where that lies within a twentieth
of a grey level of a half, and may then be the next one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_LANE, _WEIGHT, _PLACE = 21, 13, 16  # bits of a lane, of a weight, and behind the point of a place
_HALF = sum(1 << (_WEIGHT - 1 + _LANE * lane) for lane in range(3))
Axis = tuple[Tensor, Tensor]


def blended_bytes(planes: Tensor, across: Axis, down: Axis, beyond: list[int]) -> Tensor:
    """uint8 [P, h, w] of planes uint8 [P, H, W] on a CPU: new pixel (i, j) lies at one[j] + other[i] on each axis.

    across, down  (one, other), float64 [w] and [h], in pixels from the canvas's corner
    beyond        what lies outside of the canvas, a number a plane
    """
    height, width = planes.shape[-2:]
    x, y = _places(across, width), _places(down, height)
    wide = width + 3
    at = ((y >> _PLACE).mul_(wide).add_(x >> _PLACE)).reshape(-1)
    shares = _shares(x, y)
    out = planes.new_empty((len(planes), *x.shape))
    for first in range(0, len(planes), 3):
        source = _bordered(planes[first : first + 3], beyond[first : first + 3])
        blend = _blend(source, at, wide, shares).reshape(x.shape)
        for lane, plane in enumerate(out[first : first + 3]):
            plane.copy_(blend >> (_LANE * lane + _WEIGHT))  # the cast to bytes drops the lanes above
    return out


def _places(axis: Axis, old: int) -> Tensor:
    """Places [h, w] on a line with one new pixel before and two after the `old` ones, in 2^-16 of a pixel, rounded for weights."""
    one, other = axis
    scale = 1 << _PLACE
    far = float(one.abs().max() + other.abs().max()) > 1 << 13
    kind = torch.int64 if far else torch.int32
    first = ((one + 0.5) * scale).round_().to(kind).add_(1 << (_PLACE - _WEIGHT - 1))
    return (first + (other * scale).round_().to(kind)[:, None]).clamp_(0, (old + 1) * scale)


def _shares(x: Tensor, y: Tensor) -> list[np.ndarray]:
    """How much of the step to the right, of the step down and of their product each new pixel goes, int64 [h w], 2^13 for all."""
    right, low = ((v & ((1 << _PLACE) - 1)) >> (_PLACE - _WEIGHT) for v in (x, y))
    both = (right * low).add_(1 << (_WEIGHT - 1)) >> _WEIGHT
    return [v.reshape(-1).long().numpy() for v in (right, low, both)]


def _bordered(planes: Tensor, beyond: list[int]) -> Tensor:
    """Up to three planes as lanes, one new pixel before each line and two after it: int64 [(H + 3) (W + 3)]."""
    height, width = planes.shape[-2:]
    new = sum(value << (_LANE * lane) for lane, value in enumerate(beyond))
    out = torch.full((height + 3, width + 3), new, dtype=torch.int64)
    inner = out[1 : height + 1, 1 : width + 1]
    inner.copy_(planes[-1])
    for plane in planes[:-1].flip(0):
        inner.bitwise_left_shift_(_LANE).bitwise_or_(plane)
    return out.reshape(-1)


def _blend(source: Tensor, at: Tensor, wide: int, shares: list[np.ndarray]) -> Tensor:
    """Lanes between four pixels each, times 2^13, a half added."""
    here, right, low, across = (source[step:].index_select(0, at).numpy() for step in (0, 1, wide, wide + 1))
    # here + X (right - here) + Y (low - here) + XY (across - low - right + here); a lane below zero on the way borrows from the
    # next one, and gives it back in the sum.
    across -= low
    right -= here
    across -= right
    low -= here
    here *= 1 << _WEIGHT
    here += _HALF
    for step, share in zip((right, low, across), shares, strict=True):
        step *= share
        here += step
    return torch.from_numpy(here)
