"""Colour to grey, and grey to colour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._colour import colour_of, on_colour
from vdata.transforms._info import Info
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric
from vdata.transforms._sometimes import Sometimes
from vdata.transforms.color import rgb_to_grayscale


@op
def grayscale_to_rgb(inpt: Any) -> Any:
    """Three channels: grey repeated, RGB as it is, an alpha left out (as Pillow does; torchvision keeps it).

    >>> grayscale_to_rgb(Image(torch.ones(1, 4, 4))).shape
    torch.Size([3, 4, 4])
    """


@grayscale_to_rgb.on(Image, Video)
def _(x: Image | Video) -> Tensor:
    colour = colour_of(x.plain())
    return colour if colour.shape[-3] == 3 else colour.repeat_interleave(3, -3)


@value
class Grayscale(Photometric):
    """Pictures and clips in grey, with 1 or 3 equal channels; an alpha is left out.

    >>> Grayscale()(Video(torch.ones(2, 3, 4, 4))).shape
    torch.Size([2, 1, 4, 4])
    """

    num_output_channels: int = 1
    rowwise = True

    def __post_init__(self) -> None:
        if self.num_output_channels not in (1, 3):
            raise ValueError(f"num_output_channels must be 1 or 3, got {self.num_output_channels!r}")

    def after(self, params: Params, info: Info) -> Info:
        return replace(info, channels=dict.fromkeys(info.channels, self.num_output_channels))

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return rgb_to_grayscale(image, self.num_output_channels)


@value
class RandomGrayscale(Sometimes):
    """Pictures and clips in grey with probability `p`, with as many channels as they had; an alpha stays as it is.

    >>> RandomGrayscale(1.0)(Image(torch.rand(3, 4, 4))).shape
    torch.Size([3, 4, 4])
    """

    p: float = 0.1

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return image.like(on_colour(image.plain(), lambda rgb: rgb_to_grayscale(rgb, rgb.shape[-3])))


@value
class RGB(Photometric):
    """Pictures and clips with three channels: grey repeated, RGB as it is, an alpha left out.

    >>> RGB()(Video(torch.ones(2, 1, 4, 4))).shape
    torch.Size([2, 3, 4, 4])
    """

    rowwise = True

    def after(self, params: Params, info: Info) -> Info:
        return replace(info, channels=dict.fromkeys(info.channels, 3))

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return grayscale_to_rgb(image)
