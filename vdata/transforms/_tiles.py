"""Colours of bytes on a CPU, changed a tile of pixels at a time, which stays in the cache from one step to the next.

What the steps are says color.py; these are its results, to the bit (tests/unit/test_tiles.py), in a fraction of the time.
A tile is uint8 [C, n], grey or RGB, and is written over. Of several pictures at once contrast turns about one mean grey.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_PIXELS = 1 << 16  # of a tile: larger ones leave the cache, smaller ones wait for calls (measured)
_FEW = 1 << 14  # pixels of a picture: of fewer, all pictures of a batch at once are quicker
_FEW_TURNED = 1 << 12  # with the hue
_TINY = np.float32(1e-20)  # takes the place of 0 as a divisor: what it divides is 0, or does not show

Step = tuple[str, float]  # the name of a verb, and its factor
Change = Callable[[np.ndarray], None]
At = tuple[slice, slice, slice]


class Window(NamedTuple):
    """Rows from `top` to before `bottom`, columns from `left` to before `right`."""

    top: int
    bottom: int
    left: int
    right: int


def tileable(x: Tensor, names: Container[str]) -> bool:
    """Whether these verbs can be done to pictures [..., C, H, W] in tiles, and sooner so."""
    if x.dtype != torch.uint8 or x.device.type != "cpu" or x.shape[-3] not in (1, 3, 4):
        return False
    return x.shape[-2] * x.shape[-1] >= (_FEW_TURNED if "hue" in names else _FEW)


def in_tiles(pictures: Sequence[Tensor], rows: Sequence[Sequence[Step]], seen: Sequence[Window | None] | None = None) -> list[Tensor]:
    """Pictures [..., C, H, W], alike in all but H and W, after the steps of `rows`: one for all, or one for each of their rows.

    seen  of each picture the window that will be looked at, or None: what lies outside of it may be anything
    """
    outs = [torch.empty(p.shape, dtype=p.dtype) for p in pictures]
    olds, news = ([x[None].flatten(0, -4) for x in some] for some in (pictures, outs))
    windows = seen or [None] * len(pictures)
    count = len(olds[0])
    for i in range(count):
        _change([x[i] for x in olds], [x[i] for x in news], rows[i * len(rows) // count], windows)
    return outs


def _change(pictures: Sequence[Tensor], outs: Sequence[Tensor], steps: Sequence[Step], windows: Sequence[Window | None]) -> None:
    olds, news = ([x[:3].numpy() for x in some] for some in (pictures, outs))
    changes: list[Change] = []
    for name, factor in steps:
        if name == "contrast":
            mean = _mean_grey(olds, news, changes)
            olds, changes = news, [_contrasted(factor, mean)]
        elif name == "brightness":
            changes.append(_brightened(factor))
        elif len(olds[0]) > 1:
            changes.append(_saturated(factor) if name == "saturation" else _turned(factor))
    for old, new, window in zip(olds, news, windows, strict=True):
        for _ in _changed(old, new, changes, window):
            pass
    for picture, out in zip(pictures, outs, strict=True):
        out[3:] = picture[3:]


def _changed(old: np.ndarray, new: np.ndarray, changes: Sequence[Change], window: Window | None) -> Iterator[tuple[np.ndarray, At]]:
    """`new` written from `old`, all or a window of it: each tile as it becomes, and where it stands."""
    top, bottom, left, right = window or Window(0, old.shape[-2], 0, old.shape[-1])
    across = min(max(right - left, 1), _PIXELS)
    down = _PIXELS // across
    for y in range(top, bottom, down):
        for x in range(left, right, across):
            at = slice(None), slice(y, min(y + down, bottom)), slice(x, min(x + across, right))
            block = old[at].copy()
            tile = block.reshape(len(block), -1)
            for change in changes:
                change(tile)
            new[at] = block
            yield tile, at


def _mean_grey(olds: Sequence[np.ndarray], news: Sequence[np.ndarray], changes: Sequence[Change]) -> Tensor:
    """The mean grey [1, 1] of all pictures after the changes, which are written to `news`."""
    greys = torch.empty(1, sum(x[0].size for x in olds))
    first = 0
    for old, new in zip(olds, news, strict=True):
        grey = greys[0, first : first + old[0].size].numpy().reshape(old[0].shape)
        first += old[0].size
        for tile, at in _changed(old, new, changes, None):
            into = grey[at[1:]]
            into[...] = (_grey(tile.astype(np.float32)) if len(tile) > 1 else tile).reshape(into.shape)
    return greys.mean(dim=(-2, -1), keepdim=True)


def _grey(rgb: np.ndarray) -> np.ndarray:
    """The grey of floats [3, n] in whole levels; sums in one rounding each, as torch's: numpy has no such."""
    red, green, blue = torch.from_numpy(rgb).unbind()
    grey = rgb[0] * np.float32(0.2989)
    torch.from_numpy(grey).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return np.floor(grey, out=grey)


def _brightened(ratio: float) -> Change:
    def change(tile: np.ndarray) -> None:
        _blend(tile, tile.astype(np.float32), None, ratio)

    return change


def _contrasted(ratio: float, mean: Tensor) -> Change:
    def change(tile: np.ndarray) -> None:
        _blend(tile, tile.astype(np.float32), mean, ratio)

    return change


def _saturated(ratio: float) -> Change:
    def change(tile: np.ndarray) -> None:
        wide = tile.astype(np.float32)
        _blend(tile, wide, torch.from_numpy(_grey(wide)), ratio)

    return change


def _blend(tile: np.ndarray, wide: np.ndarray, other: Tensor | None, ratio: float) -> None:
    """`ratio` parts of a tile, `wide` as floats, and the rest of `other` (None is black)."""
    wide *= np.float32(ratio)
    if other is not None:
        torch.from_numpy(wide).add_(other, alpha=1.0 - ratio)
    if ratio > 1:  # else nothing leaves the levels
        torch.from_numpy(wide).clamp_(0, 255)
    np.copyto(tile, wide, casting="unsafe")  # cuts off


def _turned(turn: float) -> Change:
    """The hue turned. A pixel keeps the greatest and the least of its three levels: only which channels have them, and the
    level between them, change. So all that is chosen is chosen among bytes, and arithmetic is done for one level of three."""

    def change(tile: np.ndarray) -> None:
        most, middle, least = levels = _sorted(tile)
        unit = levels.astype(np.float32)
        unit *= np.float32(1 / 255)
        np.maximum(unit[0], _TINY, out=unit[0])
        hue, saturation = _hue(tile, unit)
        hue += np.float32(turn)
        scratch = np.floor(hue)
        hue -= scratch  # in [0, 1]: a tiny negative number rounds up to 1
        hue *= np.float32(6)
        np.floor(hue, out=scratch)
        sector = scratch.astype(np.uint8)
        hue -= scratch
        np.copyto(middle, _between(hue, sector, saturation, unit[0]), casting="unsafe")
        _arrange(tile, sector, most, middle, least)

    return change


def _sorted(rgb: np.ndarray) -> np.ndarray:
    """The greatest, the middle and the least level of every pixel."""
    red, green, blue = rgb
    low, high = np.minimum(red, green), np.maximum(red, green)
    out = np.empty_like(rgb)
    np.maximum(high, blue, out=out[0])
    np.minimum(high, blue, out=high)
    np.maximum(low, high, out=out[1])
    np.minimum(low, blue, out=out[2])
    return out


def _hue(rgb: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hue and saturation in [0, 1]; `unit` has the sorted levels as parts of white, the greatest above 0.

    Pillow's formula has for a greatest red b - g, for green 2 + r - b and for blue 4 + g - r, where each letter is a
    channel's distance from the greatest, the least one's being 1 and the greatest's 0. So one distance is to be divided for, the middle one's.
    """
    red, green, blue = rgb
    most, middle, least = unit
    distance, spread = most - middle, most - least
    saturation = spread / most
    np.maximum(spread, _TINY, out=spread)
    distance /= spread
    redder, greener, bluer = green > red, blue > green, blue > red  # what red and green are less than
    backward = redder ^ greener ^ bluer  # whether the hue falls short of the greatest's own: the order is odd
    second = ((redder | bluer).view(np.uint8) + (greener & bluer).view(np.uint8)).astype(np.float32)  # 0 red, 1 green, 2 blue
    second += second
    short = backward.astype(np.float32)
    second += np.maximum(distance, np.float32(1) - short)
    second -= np.maximum(distance, short, out=short)
    second *= np.float32(1 / 6)
    second += np.float32(1)
    torch.from_numpy(second).frac_()
    return second, saturation


def _between(part: np.ndarray, sector: np.ndarray, saturation: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The middle level, 0 to 255 and a fraction: in odd sectors it falls, level (1 - s part), in even ones it rises,
    level (s part + (1 - s))."""
    odd = sector & 1
    part *= saturation
    base = np.float32(1) - saturation
    np.maximum(base, odd.astype(np.float32), out=base)
    sign = (1 - 2 * odd.view(np.int8)).astype(np.float32)
    torch.from_numpy(base).addcmul_(torch.from_numpy(sign), torch.from_numpy(part))
    base *= level
    base *= np.float32(256 - 1e-3)
    return base


def _arrange(tile: np.ndarray, sector: np.ndarray, most: np.ndarray, middle: np.ndarray, least: np.ndarray) -> None:
    """Write the three levels to the channels that have them in each sector of the wheel; the seventh is the first.

    Unsigned numbers wrap round below 0, so that one comparison tells a span of sectors, also across the wheel's start.
    """
    red, green, blue = tile
    back = sector - np.uint8(1)
    np.add(most, middle, out=blue)
    blue += least
    np.multiply(most, (back >= 4).view(np.uint8), out=red)
    np.maximum(red, middle * (sector - np.uint8(2) >= 2).view(np.uint8), out=red)
    np.maximum(red, least, out=red)
    np.multiply(most, (back < 2).view(np.uint8), out=green)
    np.maximum(green, middle * (sector < 4).view(np.uint8), out=green)
    np.maximum(green, least, out=green)
    blue -= red  # each level is in one channel
    blue -= green
