"""Colours of bytes changed step by step, a block of pixels at a time; transforms/color.py says what the steps are."""

from __future__ import annotations

import numpy as np

from vdata.compiled import loop
from vdata.compiled._fused import fma

U, F = np.uintp, np.float32
BRIGHTNESS, CONTRAST, SATURATION, HUE, NOTHING = range(5)  # what a step does
_BLOCK = 2048  # pixels: three channels of them stay in the first cache from one step to the next
_RED, _GREEN, _BLUE = F(0.2989), F(0.587), F(0.114)
_PART, _SIXTH, _TINY, _SCALE = F(1 / 255), F(1 / 6), F(1e-20), F(256 - 1e-3)
_0, _HALF, _1, _2, _4, _6, _WHITE = F(0), F(0.5), F(1), F(2), F(4), F(6), F(255)


@loop
def coloured(x, greys, since, rows, channels, height, width, top, bottom, left, right, kinds, numbers, means):
    """x uint8 [rows, channels, height, width], flat, changed within a window; greys float32 gets the grey of each pixel of it, unless empty.

    since    where in each row of greys
    kinds    uint8 [steps, rows]: what each does to each row. Saturation and hue are for 3 channels or more; a fourth is left alone
    numbers  float32 [steps, rows, 2]: the factor or turn; the part that a mean, or the pixel's grey, has in it
    means    float32 [rows]: what a contrast turns about
    """
    size = U(height * width)
    for row in range(rows):
        kept = U(greys.size // rows * row + since)
        for y in range(top, bottom):
            for start in range(left, right, _BLOCK):
                first, count = U((row * channels * height + y) * width + start), U(min(_BLOCK, right - start))
                red, green, blue = first, first + size, first + size + size
                for k in range(len(kinds)):
                    kind, ratio, rest = kinds[k, row], numbers[k, row, 0], numbers[k, row, 1]
                    if kind <= CONTRAST:
                        mean, rest = (means[row], rest) if kind == CONTRAST else (_0, _0)
                        for c in range(U(min(channels, 3))):
                            at = c * size + first
                            for i in range(count):
                                v = fma(mean, rest, F(x[at + i]) * ratio)
                                v = v if v > _0 else _0  # NaN, too
                                x[at + i] = np.uint8(np.int32(v if v < _WHITE else _WHITE))
                    elif kind == SATURATION:
                        for i in range(count):
                            r, g, b = F(x[red + i]), F(x[green + i]), F(x[blue + i])
                            grey = np.floor(fma(b, _BLUE, fma(g, _GREEN, r * _RED)))
                            r, g, b = fma(grey, rest, r * ratio), fma(grey, rest, g * ratio), fma(grey, rest, b * ratio)
                            r, g, b = r if r > _0 else _0, g if g > _0 else _0, b if b > _0 else _0
                            x[red + i] = np.uint8(np.int32(r if r < _WHITE else _WHITE))
                            x[green + i] = np.uint8(np.int32(g if g < _WHITE else _WHITE))
                            x[blue + i] = np.uint8(np.int32(b if b < _WHITE else _WHITE))
                    elif kind == HUE:
                        for i in range(count):
                            r, g, b = F(x[red + i]), F(x[green + i]), F(x[blue + i])
                            low, high = min(r, g), max(r, g)
                            most, least = max(high, b), min(low, b)
                            level, between = max(most * _PART, _TINY), max(low, min(high, b)) * _PART
                            spread = level - least * _PART
                            distance, saturation = (level - between) / max(spread, _TINY), spread / level
                            short = (g > r) ^ (b > g) ^ (b > r)  # whether the hue falls short of that of the greatest channel
                            hue = _4 if b > high else (_2 if g > r else _0)
                            hue = (hue + distance) - _1 if short else (hue + _1) - distance
                            hue = hue * _SIXTH + _1
                            hue = hue - np.floor(hue) + ratio
                            hue = (hue - np.floor(hue)) * _6
                            sector = np.floor(hue)
                            part = (hue - sector) * saturation
                            sector = sector if sector < _6 else _0
                            half = sector * _HALF
                            middle = (_1 - saturation) + part if half == np.floor(half) else _1 - part
                            middle = np.floor(middle * level * _SCALE)
                            # Round the wheel red is the greatest, middle, least, least, middle, greatest; and green two sectors later.
                            far = abs(sector - F(2.5))
                            r = most if far > _2 else (middle if far > _1 else least)
                            far = abs(sector - F(1.5))
                            g = most if far < _1 else (middle if far < _2 else least)
                            x[blue + i] = np.uint8(np.int32(most + middle + least - r - g))
                            x[red + i], x[green + i] = np.uint8(np.int32(r)), np.uint8(np.int32(g))
                if greys.size and channels == 1:
                    for i in range(count):
                        greys[kept + i] = F(x[red + i])
                elif greys.size:
                    for i in range(count):
                        greys[kept + i] = np.floor(fma(F(x[blue + i]), _BLUE, fma(F(x[green + i]), _GREEN, F(x[red + i]) * _RED)))
                kept += count
