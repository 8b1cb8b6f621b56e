"""Planes of luma and chroma to red, green and blue, as libjpeg has them: chroma between its samples by a triangle ("fancy upsampling")."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.compiled import loop
from vdata.compiled._instructions import Instruction

U, U8, INT, SHORT = np.uintp, np.uint8, np.int64, np.int16
AT_ONCE = 16  # pixels at once: so much is read, and written, beyond the last
_0, _1, _2, _3, _AT_ONCE = U(0), U(1), U(2), U(3), U(AT_ONCE)


def _nothing(luma: Any, at: Any, blue: Any, blue_at: Any, red: Any, red_at: Any, out: Any, place: Any) -> Any:
    from numba.core import types

    return types.void


def _write(b: Any, luma: Any, at: Any, blue: Any, blue_at: Any, red: Any, red_at: Any, out: Any, place: Any) -> None:
    from llvmlite import ir

    byte, long = ir.IntType(8), ir.IntType(32)
    bytes_, longs = ir.VectorType(byte, AT_ONCE), ir.VectorType(long, AT_ONCE)

    def every(number: int) -> Any:
        return ir.Constant(longs, [number] * AT_ONCE)

    def load(pointer: Any, index: Any) -> Any:
        return b.zext(b.load(b.bitcast(b.gep(pointer, [index]), bytes_.as_pointer()), align=1), longs)

    def times(x: Any, factor: float, whole: int) -> Any:
        return b.mul(x, every(round(factor * 65536) - (whole << 16)))

    def plus(x: Any, part: Any) -> Any:
        """x + part / 65536, rounded, as a byte."""
        x = b.add(x, b.ashr(b.add(part, every(32768)), every(16)))
        for sign, bound in (("<", 0), (">", 255)):
            x = b.select(b.icmp_signed(sign, x, every(bound)), every(bound), x)
        return b.trunc(x, bytes_)

    y, cb, cr = load(luma, at), b.sub(load(blue, blue_at), every(128)), b.sub(load(red, red_at), every(128))
    # A whole part of each factor stands apart, so that what is multiplied has 16 bits: two at once, on most processors.
    colours = [
        plus(b.add(y, cr), times(cr, 1.40200, 1)),
        plus(b.sub(y, cr), b.sub(b.mul(cr, every(65536 - 46802)), b.mul(cb, every(22554)))),
        plus(b.add(y, b.add(cb, cb)), times(cb, 1.77200, 2)),
    ]
    mask = [ir.Constant(ir.VectorType(long, 2 * AT_ONCE), list(range(2 * AT_ONCE)))]
    two, third = b.shuffle_vector(colours[0], colours[1], mask[0]), b.shuffle_vector(colours[2], colours[2], mask[0])
    woven = [(i % 3) * AT_ONCE + i // 3 for i in range(3 * AT_ONCE)]
    pixels = b.shuffle_vector(two, third, ir.Constant(ir.VectorType(long, 3 * AT_ONCE), woven))
    b.store(pixels, b.bitcast(b.gep(out, [place]), pixels.type.as_pointer()), align=1)


coloured: Any = Instruction(_nothing, _write)  # 16 pixels of luma[at], blue[blue_at], red[red_at] at out[place]


@loop
def colour(planes, starts, strides, finer, window, chroma, line, blue, red, out):
    """A window of pixels: out uint8 [height * width * 3 + 3 * AT_ONCE].

    planes   uint8: luma, blue and red from `starts` int64 [3] on, `strides` int64 [3] from row to row, AT_ONCE more bytes behind them
    finer    int64 [2]: how many rows, and columns, of pixels a sample of chroma has: 1 1, 1 2 or 2 2
    window   int64 [6]: row and column of its first pixel in `planes`; its height and width; its row and column in the picture
    chroma   int64 [4]: the row and column, in the picture's chroma, of the first sample in `planes`; how many rows and columns it has
    line     int16 [samples in a row of `planes` + 2], blue and red uint8, twice as many + AT_ONCE: written over
    """
    high, wide, left = window[_2], U(window[_3]), window[U(5)]
    first, last = left, left
    if finer[_1] == 2:
        first, last = max((left >> 1) - 1, 0), min(((left + window[_3] - 1) >> 1) + 1, chroma[_3] - 1)
    count, skipped = U(last - first + 1), U(left - 2 * first)
    for i in range(high):
        at, place = U(starts[_0] + (window[_0] + i) * strides[_0] + window[_1]), U(i) * wide * _3
        if finer[_1] == 1:
            blue_at, red_at = U(starts[_1] + (window[_0] + i) * strides[_1] + window[_1]), U(starts[_2] + (window[_0] + i) * strides[_2] + window[_1])
            for j in range(_0, wide, _AT_ONCE):
                coloured(planes, at + j, planes, blue_at + j, planes, red_at + j, out, place + _3 * j)
            continue
        row = window[U(4)] + i
        near, far = row, row
        if finer[_0] == 2:
            near = row >> 1
            far = max(near - 1, 0) if row & 1 == 0 else min(near + 1, chroma[_2] - 1)
        for c in (_1, _2):
            wider = blue if c == _1 else red
            begin = starts[c] + first - chroma[_1]
            a, b = U(begin + (near - chroma[_0]) * strides[c]), U(begin + (far - chroma[_0]) * strides[c])
            if finer[_0] == 2:
                for j in range(count):
                    line[_1 + j] = 3 * SHORT(planes[a + j]) + SHORT(planes[b + j])
            else:
                for j in range(count):
                    line[_1 + j] = planes[a + j]
            line[_0], line[count + _1] = line[_1], line[count]
            if finer[_0] == 2:
                for j in range(count):
                    wider[_2 * j] = U8((3 * line[_1 + j] + line[j] + 8) >> 4)
                    wider[_2 * j + _1] = U8((3 * line[_1 + j] + line[_2 + j] + 7) >> 4)
            else:
                for j in range(count):
                    wider[_2 * j] = U8((3 * line[_1 + j] + line[j] + 1) >> 2)
                    wider[_2 * j + _1] = U8((3 * line[_1 + j] + line[_2 + j] + 2) >> 2)
        for j in range(_0, wide, _AT_ONCE):
            coloured(planes, at + j, blue, skipped + j, red, skipped + j, out, place + _3 * j)
