"""The gamma curve."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vdata.tensors import Image, Video
from vdata.transforms._colour import factor, on_colour, over, precise
from vdata.transforms._lift import is_rows
from vdata.transforms._op import op
from vdata.transforms.dtype import rescaled


@op
def adjust_gamma(inpt: Any, gamma: Any, gain: Any = 1) -> Any:
    """gain * value ** gamma, values between black = 0 and white = 1: above 1 shadows get darker, below 1 brighter.

    gamma, gain  at least 0; or arrays with one a row of a stacked batch

    >>> adjust_gamma(Image(torch.tensor([[[0.0, 0.5, 1.0]]])), 2.0).tolist()
    [[[0.0, 0.25, 1.0]]]
    """


@adjust_gamma.on(Image, Video)
def _(x: Image | Video, gamma: Any, gain: Any) -> Tensor:
    gamma, gain = factor(gamma, "gamma", x), factor(gain, "gain", x)
    return on_colour(x.plain(), lambda rgb: _curved(rgb, gamma, gain))


def _curved(x: Tensor, gamma: Any, gain: Any) -> Tensor:
    unit = rescaled(x, precise(x.dtype))
    curved = unit.pow(over(gamma, unit))
    if is_rows(gain):
        gain = over(gain, curved)
        curved = torch.where(gain == 1, curved, (curved * gain).clamp_(0, 1))  # as alone, where 1 cuts nothing off
    elif gain != 1:
        curved = curved.mul_(gain).clamp_(0, 1)
    return rescaled(curved, x.dtype)
