"""Levels by what a picture has of them: stretched to black and white, or equally many pixels to each.

Each channel of each picture (of each frame of a clip) has its own histogram; of an alpha none is taken.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._colour import clipped, floating, on_colour
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._sometimes import Sometimes
from vdata.transforms.dtype import greatest, rescaled, value_bits


@op
def autocontrast(inpt: Any) -> Any:
    """Each channel stretched so that its darkest value is black and its brightest white; a channel of one value stays.

    >>> autocontrast(Image(torch.tensor([[[0.25, 0.5, 0.75]]]))).tolist()
    [[[0.0, 0.5, 1.0]]]
    """


@op
def equalize(inpt: Any) -> Any:
    """Each channel with its levels moved so that all are about equally often, black and white among them.

    Floats and 8 bits are equalised in 256 levels by Pillow's rule, as torchvision does. Wider integers are equalised in
    65,536 levels, where Pillow's whole steps (pixels / levels) would be 0; torchvision leaves them 256.
    Source: Pillow's ImageOps.equalize, for wider integers with exact steps.

    >>> equalize(Image(torch.tensor([[[0, 10, 20, 30]]], dtype=torch.uint16))).tolist()
    [[[0, 21845, 43690, 65535]]]
    """


@autocontrast.on(Image, Video)
def _(x: Image | Video) -> Tensor:
    return x.plain() if x.numel() == 0 else on_colour(x.plain(), _stretched)


@equalize.on(Image, Video)
def _(x: Image | Video) -> Tensor:
    return x.plain() if x.numel() == 0 else on_colour(x.plain(), _equalized)


def _stretched(x: Tensor) -> Tensor:
    wide = floating(x)
    low, high = wide.amin((-2, -1), keepdim=True), wide.amax((-2, -1), keepdim=True)
    even = low == high
    scale = torch.where(even, 1, (high - low) * (1.0 / greatest(x.dtype)))
    return clipped((wide - torch.where(even, 0, low)) / scale, x.dtype)


def _equalized(x: Tensor) -> Tensor:
    fine = not x.is_floating_point() and value_bits(x.dtype) > 8
    coarse = rescaled(x, torch.uint16 if fine else torch.uint8)
    levels = coarse.flatten(-2).long()
    table = _table(levels, fine)
    return rescaled(table.int().gather(-1, levels).reshape(x.shape).to(coarse.dtype), x.dtype)


def _table(levels: Tensor, fine: bool) -> Tensor:
    """What each level becomes, [..., white + 1], for pixels [..., N]; source: Pillow's ImageOps.equalize."""
    white = 65535 if fine else 255
    counts = torch.zeros(*levels.shape[:-1], white + 1, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(-1, levels, levels.new_ones(1).expand_as(levels))
    darker = counts.cumsum(-1) - counts
    spread = darker.gather(-1, levels.amax(-1, keepdim=True))  # the pixels that are darker than the brightest
    parts, step = (darker * white, spread) if fine else (darker, spread // white)
    table = ((parts + step // 2) // step.clamp(min=1)).clamp_(max=white)
    return torch.where(step == 0, torch.arange(white + 1, device=levels.device), table)


@value
class RandomAutocontrast(Sometimes):
    """Stretch each channel to black and white, with probability `p`.

    >>> RandomAutocontrast(1.0)(Image(torch.tensor([[[0.25, 0.5, 0.75]]]))).tolist()
    [[[0.0, 0.5, 1.0]]]
    """

    p: float = 0.5

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return autocontrast(image)


@value
class RandomEqualize(Sometimes):
    """Equalise the histogram of each channel, with probability `p`.

    >>> RandomEqualize(1.0)(Image(torch.zeros(3, 4, 4))).shape
    torch.Size([3, 4, 4])
    """

    p: float = 0.5

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return equalize(image)
