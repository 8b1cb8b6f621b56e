"""Colours of bytes on a CPU, changed a tile of pixels at a time, which stays in the cache from one step to the next.

What the steps are says color.py; these are its results, to the bit (tests/unit/test_tiles.py), in a fraction of the time; and
where loops are compiled, in a fraction of that. A tile is uint8 [C, n], grey or RGB, and is written over. Of several pictures
at once contrast turns about one mean grey.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdata.compiled import colours
from vdata.compiled._fused import torch_fuses
from vdata.planes import planes
from vdata.slabs import Slabs

_PIXELS = 1 << 16  # of a tile: larger ones leave the cache, smaller ones wait for calls (measured)
_FEW = 1 << 14  # pixels of a picture: of fewer, all pictures of a batch at once are quicker
_FEW_TURNED = 1 << 12  # with the hue

Step = tuple[str, float]  # the name of a verb, and its factor
Change = Callable[[np.ndarray], None]
_KINDS = {"brightness": colours.BRIGHTNESS, "contrast": colours.CONTRAST, "saturation": colours.SATURATION, "hue": colours.HUE}
_NONE = torch.empty(0)
_slabs = Slabs()


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
    return _compiles(x.numel()) or x.shape[-2] * x.shape[-1] >= (_FEW_TURNED if "hue" in names else _FEW)


def in_tiles(pictures: Sequence[Tensor], rows: Sequence[Sequence[Step]], seen: Sequence[Window | None] | None = None) -> list[Tensor]:
    """Pictures [..., C, H, W], alike in all but H and W, after the steps of `rows`: one for all, or one for each of their rows.

    seen  of each picture the window that will be looked at, or None: what lies outside of it may be anything
    """
    windows = seen or [None] * len(pictures)
    if _compiles():
        return _in_loops(pictures, rows, windows)
    outs = [torch.empty(p.shape, dtype=p.dtype) for p in pictures]
    olds, news = ([x[None].flatten(0, -4) for x in some] for some in (pictures, outs))
    count = len(olds[0])
    with np.errstate(invalid="ignore", over="ignore"):  # infinitely often black is NaN, which becomes black, as in torch
        for i in range(count):
            _change([x[i] for x in olds], [x[i] for x in news], rows[i * len(rows) // count], windows)
    return outs


def _compiles(numbers: int = 0) -> bool:
    return colours.coloured.pays(numbers) and torch_fuses()


def _in_loops(pictures: Sequence[Tensor], rows: Sequence[Sequence[Step]], seen: Sequence[Window | None]) -> list[Tensor]:
    """`in_tiles`, the tiles walked by a compiled loop: once for all steps, but for contrasts, before which it gathers the greys."""
    outs = [planes(p, torch.empty(p.shape, dtype=p.dtype)) for p in pictures]
    flat = [x[None].flatten(0, -4) for x in outs]
    count, channels = flat[0].shape[:2]
    if not count:
        return outs
    passes = list(zip_longest(*(_passes(rows[i * len(rows) // count], channels > 1) for i in range(count)), fillvalue=()))
    means = np.zeros(count, np.float32)
    with np.errstate(over="ignore"):  # a factor beyond float32 is infinite
        for todo in passes[:-1]:
            greys, since = _slabs.take((count, 1, sum(x[0, 0].numel() for x in flat)), torch.float32), 0
            for x in flat:
                _loop(x, greys, since, todo, means, None)
                since += x[0, 0].numel()
            means = greys.mean(dim=(-2, -1)).numpy()
        for x, window in zip(flat, seen, strict=True):
            _loop(x, _NONE, 0, passes[-1], means, window)
    return outs


def _passes(steps: Sequence[Step], coloured: bool) -> list[list[tuple[int, float, float]]]:
    """Numbers of the steps, split before every contrast."""
    out: list[list[tuple[int, float, float]]] = [[]]
    for name, ratio in steps:
        kind = _KINDS[name]
        if kind == colours.CONTRAST:
            out.append([])
        if coloured or kind <= colours.CONTRAST:
            out[-1].append((kind, ratio, 1.0 - ratio))
    return out


def _loop(x: Tensor, greys: Tensor, since: int, todo: Sequence[Sequence[tuple[int, float, float]]], means: np.ndarray, window: Window | None) -> None:
    """Change, in place, what is in a window of x, contiguous [B, C, H, W], each row by steps and a mean of its own."""
    height, width = x.shape[2:]
    if window is None:
        height, width, window = 1, height * width, Window(0, 1, 0, height * width)  # one line
    numbers = np.array(list(zip_longest(*todo, fillvalue=(colours.NOTHING, 0, 0)))).reshape(-1, len(x), 3)
    kinds, factors = numbers[..., 0].astype(np.uint8), numbers[..., 1:].astype(np.float32)
    colours.coloured(x.reshape(-1).numpy(), greys.reshape(-1).numpy(), since, *x.shape[:2], height, width, *window, kinds, factors, means)


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
        _run(old, new, changes, window)
    for picture, out in zip(pictures, outs, strict=True):
        out[3:] = picture[3:]  # an alpha


def _run(old: np.ndarray, new: np.ndarray, changes: Sequence[Change], window: Window | None) -> None:
    """Write the pixels of `old`, or of a window of it, changed to `new`: tile by tile, in their order."""
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


def _mean_grey(olds: Sequence[np.ndarray], news: Sequence[np.ndarray], changes: Sequence[Change]) -> Tensor:
    """The mean grey [1, 1] of all pictures after the changes, which are written to `news`."""
    greys, kept = np.empty((1, sum(x[0].size for x in olds)), np.float32), 0

    def keep(tile: np.ndarray) -> None:
        nonlocal kept
        first, kept = kept, kept + tile.shape[1]
        greys[0, first:kept] = _grey(tile.astype(np.float32)) if len(tile) > 1 else tile[0]

    for old, new in zip(olds, news, strict=True):
        _run(old, new, [*changes, keep], None)
    return torch.from_numpy(greys).mean(dim=(-2, -1), keepdim=True)


def _grey(rgb: np.ndarray) -> np.ndarray:
    """The grey of floats [3, n] in whole levels; sums in one rounding each, as torch's: numpy has no such."""
    grey = rgb[0] * np.float32(0.2989)
    _, green, blue = torch.from_numpy(rgb)
    torch.from_numpy(grey).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return np.floor(grey, out=grey)


def _brightened(ratio: float) -> Change:
    def change(tile: np.ndarray) -> None:
        _blend(tile, tile.astype(np.float32), None, ratio)

    return change


def _contrasted(ratio: float, mean: Tensor) -> Change:
    def change(tile: np.ndarray) -> None:
        # As many numbers as pixels: of a single one torch adds the multiple to a tile's last few values in two roundings.
        _blend(tile, tile.astype(np.float32), mean.repeat(tile.shape), ratio)

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
        _above_zero(unit[0])
        hue, saturation = _hue(tile, unit)
        hue += np.float32(turn)
        if turn < 0:
            hue -= np.floor(hue)  # in [0, 1]: a tiny negative number rounds up to 1
        else:
            _fraction(hue)
        hue *= np.float32(6)
        sector = hue.astype(np.uint8)
        np.copyto(middle, _between(_fraction(hue), sector, saturation, unit[0]), casting="unsafe")
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

    Pillow's formula is b - g where red is the greatest, 2 + r - b for green, 4 + g - r for blue: r, g and b are here the channels'
    distances from the greatest, which are 1 for the least and 0 for the greatest itself. So only the middle one's needs a division.
    """
    red, green, blue = rgb
    most, middle, least = unit
    distance, spread = most - middle, most - least
    saturation = spread / most
    distance /= _above_zero(spread)
    redder, greener, bluer = green > red, blue > green, blue > red  # what red and green are less than
    backward = (redder ^ greener ^ bluer).view(np.uint8)  # whether the hue falls short of the greatest's own: an odd order
    second = (redder | bluer).view(np.uint8) + (greener & bluer).view(np.uint8)  # the greatest is red 0, green 1, blue 2
    second += second
    short = backward.astype(np.float32)
    hue = (second + np.uint8(1) - backward).astype(np.float32)
    hue = torch.from_numpy(hue).addcmul_(torch.from_numpy(_sign(backward)), torch.from_numpy(distance), value=-1).numpy()
    hue -= short
    hue *= np.float32(1 / 6)
    hue += np.float32(1)
    return _fraction(hue), saturation


def _above_zero(x: np.ndarray) -> np.ndarray:
    torch.from_numpy(x).clamp_min_(1e-20)  # where a divisor is 0, what it divides is 0 too, or does not show
    return x


def _fraction(x: np.ndarray) -> np.ndarray:
    torch.from_numpy(x).frac_()
    return x


def _sign(odd: np.ndarray) -> np.ndarray:
    """1 for 0 and -1 for 1, as floats."""
    return (1 - 2 * odd.view(np.int8)).astype(np.float32)


def _between(part: np.ndarray, sector: np.ndarray, saturation: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The middle level, 0 to 255 and a fraction: in odd sectors it falls, level (1 - s part), in even ones it rises,
    level (s part + (1 - s))."""
    odd = sector & 1
    part *= saturation
    base = np.float32(1) - saturation
    np.maximum(base, odd.astype(np.float32), out=base)
    torch.from_numpy(base).addcmul_(torch.from_numpy(_sign(odd)), torch.from_numpy(part))
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
