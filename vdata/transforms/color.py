"""Brightness, contrast, saturation and hue.

Source of the formulas: torchvision.transforms.v2.functional, whose results on tensors these are. A factor may be an array
with one entry a row of a stacked batch ([B, C, H, W], clips [B, T, C, H, W]).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import Params, value
from vdata.transforms._check import interval, put
from vdata.transforms._colour import (
    blend,
    clipped,
    colour_of,
    computable,
    cut_off,
    factor,
    floating,
    grey_of,
    luma,
    on_colour,
    over,
    redo,
)
from vdata.transforms._info import Info
from vdata.transforms._op import op
from vdata.transforms._photometric import Photometric
from vdata.transforms._tiles import in_tiles, tileable
from vdata.transforms.dtype import rescaled


@op
def adjust_brightness(inpt: Any, brightness_factor: Any) -> Any:
    """Every value times `brightness_factor` (0 is black, 1 changes nothing), within the dtype's range.

    >>> adjust_brightness(Image(torch.tensor([[[10, 200]]], dtype=torch.uint8)), 1.5).tolist()
    [[[15, 255]]]
    """


@op
def adjust_contrast(inpt: Any, contrast_factor: Any) -> Any:
    """Away from the mean of the picture's grey by `contrast_factor` (0 is grey, 1 changes nothing).

    >>> adjust_contrast(Image(torch.tensor([[[0.25, 0.75]]])), 0.5).tolist()
    [[[0.375, 0.625]]]
    """


@op
def adjust_saturation(inpt: Any, saturation_factor: Any) -> Any:
    """Away from each pixel's own grey by `saturation_factor` (0 is grey, 1 changes nothing); one channel stays as it is.

    >>> adjust_saturation(Image(torch.full((3, 1, 1), 0.5)), 2.0).shape
    torch.Size([3, 1, 1])
    """


@op
def adjust_hue(inpt: Any, hue_factor: Any) -> Any:
    """The hue turned by `hue_factor` of a whole turn, in [-0.5, 0.5]; one channel stays as it is.

    >>> adjust_hue(Image(torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)), 1 / 3).flatten().round().tolist()
    [0.0, 1.0, 0.0]
    """


@op
def rgb_to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """The grey 0.2989 R + 0.587 G + 0.114 B, in 1 or 3 equal channels; an alpha is left out.

    >>> rgb_to_grayscale(Image(torch.ones(3, 4, 4)), 3).shape
    torch.Size([3, 4, 4])
    """


@adjust_brightness.on(Image, Video)
def _(x: Image | Video, brightness_factor: Any) -> Tensor:
    ratio = _checked("brightness", brightness_factor, x)
    return _coloured(x, "brightness", ratio, lambda rgb: clipped((wide := floating(rgb)) * over(ratio, wide), rgb.dtype))


@adjust_contrast.on(Image, Video)
def _(x: Image | Video, contrast_factor: Any) -> Tensor:
    ratio = _checked("contrast", contrast_factor, x)
    mean = lambda rgb: grey_of(rgb).mean(dim=(-3, -2, -1), keepdim=True)
    return _coloured(x, "contrast", ratio, lambda rgb: blend(rgb, mean(rgb), ratio))


@adjust_saturation.on(Image, Video)
def _(x: Image | Video, saturation_factor: Any) -> Tensor:
    ratio = _checked("saturation", saturation_factor, x)
    return _coloured(x, "saturation", ratio, lambda rgb: rgb if rgb.shape[-3] == 1 else blend(rgb, grey_of(rgb), ratio))


@adjust_hue.on(Image, Video)
def _(x: Image | Video, hue_factor: Any) -> Tensor:
    turn = _checked("hue", hue_factor, x)
    return _coloured(x, "hue", turn, lambda rgb: rgb if rgb.shape[-3] == 1 or rgb.numel() == 0 else _turned(rgb, turn))


@rgb_to_grayscale.on(Image, Video)
def _(x: Image | Video, num_output_channels: int) -> Tensor:
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels must be 1 or 3, got {num_output_channels}")
    rgb = colour_of(x.plain())
    grey = rgb if rgb.shape[-3] == 1 else cut_off(luma(rgb), x.dtype)
    return grey.expand(*grey.shape[:-3], num_output_channels, *grey.shape[-2:]).clone()


def _checked(name: str, value: Any, x: Image | Video) -> Any:
    return factor(value, f"{name}_factor", x, *(-0.5, 0.5) if name == "hue" else ())


def _coloured(x: Image | Video, name: str, value: Any, change: Callable[[Tensor], Tensor]) -> Tensor:
    """A verb done in tiles where that is quicker, else to the whole."""
    plain = x.plain()
    if not tileable(plain, (name,)):
        return on_colour(plain, change)
    each = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    return in_tiles([plain], [[(name, number)] for number in each])[0]


def _turned(x: Tensor, turn: Any) -> Tensor:
    unit = rescaled(x, torch.float32 if x.is_floating_point() else computable(x.dtype))
    hue, saturation, level = _rgb_to_hsv(unit)
    return rescaled(_hsv_to_rgb(hue.add_(over(turn, hue)).remainder_(1.0), saturation, level), x.dtype)


def _rgb_to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and level, [..., H, W] each in [0, 1]; source: Pillow's Convert.c, by way of torchvision."""
    r, g, _ = x.unbind(-3)
    least, most = torch.aminmax(x, dim=-3)
    grey = most == least
    spread = most - least
    saturation = spread / torch.where(grey, 1, most)
    rc, gc, bc = ((most.unsqueeze(-3) - x) / torch.where(grey, 1, spread).unsqueeze(-3)).unbind(-3)
    red, green = most == r, (most == g) & (most != r)
    hue = torch.where(red, bc - gc, torch.where(green, rc + 2.0 - bc, gc + 4.0 - rc))
    return hue.mul_(1.0 / 6.0).add_(1.0).fmod_(1.0), saturation, most


def _hsv_to_rgb(hue: Tensor, saturation: Tensor, level: Tensor) -> Tensor:
    sector = torch.floor(hue * 6)
    part = hue * 6 - sector
    q = ((1.0 - saturation * part) * level).clamp_(0.0, 1.0)
    t = ((saturation * part + (1.0 - saturation)) * level).clamp_(0.0, 1.0)
    p = ((1.0 - saturation) * level).clamp_(0.0, 1.0)
    sector = sector.to(torch.int64).remainder_(6)
    choices = torch.stack([level, p, q, t], -3)
    # Which of (level, p, q, t) red, green and blue are in each of the six sectors of the wheel.
    wheel = torch.tensor([[0, 2, 1, 1, 3, 0], [3, 0, 0, 2, 1, 1], [1, 1, 3, 0, 0, 2]], device=hue.device)
    return choices.gather(-3, wheel[:, sector].movedim(0, -3))


_VERBS = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}
_NAMES = list(_VERBS)


def _in_order(order: Sequence[int], factors: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, factors[name]) for name in map(_NAMES.__getitem__, order) if name in factors]


@value
class ColorJitter(Photometric):
    """Brightness, contrast, saturation and hue changed by random factors, in random order.

    Each is None or 0 (left alone), a number v (a factor in [max(0, 1 - v), 1 + v]; for hue a turn in [-v, v], v <= 0.5)
    or (least, greatest). All pictures of a sample get the same factors and order.

    >>> ColorJitter(0.4, hue=0.1)(Image(torch.rand(3, 4, 4))).shape
    torch.Size([3, 4, 4])
    """

    brightness: float | Sequence[float] | None = None
    contrast: float | Sequence[float] | None = None
    saturation: float | Sequence[float] | None = None
    hue: float | Sequence[float] | None = None
    rowwise = True

    def __post_init__(self) -> None:
        for name in _VERBS:
            given = getattr(self, name)
            put(self, **{name: tuple(given) if isinstance(given, Sequence) else given})
            self.span(name)

    def span(self, name: str) -> tuple[float, float] | None:
        """The least and greatest factor of one of the four; None where it is left alone."""
        given, centre = getattr(self, name), 0.0 if name == "hue" else 1.0
        if given is None:
            return None
        if isinstance(given, (int, float)):
            if given < 0:
                raise ValueError(f"{name} as one number must be at least 0, got {given}")
            given = (-given, given) if name == "hue" else (max(0.0, 1 - given), 1 + given)
        low, high = interval(given, name, -0.5, 0.5) if name == "hue" else interval(given, name, 0.0)
        return None if low == high == centre else (low, high)

    def draw(self, key: Key, info: Info) -> Params:
        spans = {name: self.span(name) for name in _VERBS}
        factors = {n: key.fold(n).uniform(*span) for n, span in spans.items() if span is not None}
        return {"order": key.fold("order").permutation(len(_VERBS)), **factors}

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        if tileable(image.plain(), params):
            return image.like(in_tiles([image.plain()], self.steps(params, image))[0])
        if isinstance(params["order"], np.ndarray):
            return self._change_rows(params, image)
        for name, number in self.steps(params, image)[0]:
            image = _VERBS[name](image, number)
        return image

    def steps(self, params: Params, image: Image | Video) -> list[list[tuple[str, Any]]]:
        """The verbs in their order and their factors: of all, or of each row of a stacked batch."""
        names = [name for name in _VERBS if name in params]
        for name in names:
            _checked(name, params[name], image)
        if not isinstance(params["order"], np.ndarray):
            return [_in_order(params["order"], params)]
        numbers = zip(*(np.broadcast_to(params[name], len(image)).tolist() for name in names)) if names else repeat(())
        return [_in_order(order, dict(zip(names, each))) for order, each in zip(params["order"].tolist(), numbers)]

    def _change_rows(self, params: Params, image: Image | Video) -> Image | Video:
        """B pictures at once: in each of the steps, each verb does the rows whose turn it has."""
        active = [i for i, name in enumerate(_VERBS) if name in params]
        order = params["order"]
        turns = order[np.isin(order, active)].reshape(len(order), len(active))
        image = image.clone()
        for turn in turns.T:
            for i in active:
                name = list(_VERBS)[i]
                redo(image, turn == i, _VERBS[name], params[name])
        return image
