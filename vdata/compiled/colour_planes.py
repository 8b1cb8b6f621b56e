"""Planes of luma and chroma to red, green and blue, as libjpeg has them: chroma between its samples by a triangle ("fancy upsampling")."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.compiled import loop
from vdata.compiled._instructions import Instruction

U, U8, INT, SHORT = np.uintp, np.uint8, np.int64, np.int16
AT_ONCE = 16  # pixels at once: so much is read beyond the last
_0, _1, _2, _3, _AT_ONCE = U(0), U(1), U(2), U(3), U(AT_ONCE)


def _write(b: Any, luma: Any, at: Any, blue: Any, blue_at: Any, red: Any, red_at: Any, out: Any, place: Any, apart: Any) -> None:
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
    for pixels in colours:
        b.store(pixels, b.bitcast(b.gep(out, [place]), bytes_.as_pointer()), align=1)
        place = b.add(place, apart)


coloured: Any = Instruction(_write)  # 16 pixels of luma[at], blue[blue_at], red[red_at]: red at out[place], green `apart` behind it, blue twice


@loop
def colour(planes, starts, strides, finer, window, chroma, line, blue, red, last, out):
    """A window of pixels: out uint8 [3 * height * width], planes of red, green and blue.

    planes   uint8: luma, blue and red from `starts` int64 [3] on, `strides` int64 [3] from row to row, AT_ONCE more bytes behind them
    finer    int64 [2]: how many rows, and columns, of pixels a sample of chroma has: 1 1, 1 2 or 2 2
    window   int64 [6]: row and column of its first pixel in `planes`; its height and width; its row and column in the picture
    chroma   int64 [4]: the row and column, in the picture's chroma, of the first sample in `planes`; how many rows and columns it has
    line     int16 [samples in a row of `planes` + 2], blue and red uint8, twice as many + AT_ONCE, last uint8 [3 * (width + AT_ONCE)]: written over
    """
    high, wide, left = window[_2], U(window[_3]), window[U(5)]
    begin, end = left, left
    if finer[_1] == 2:
        begin, end = max((left >> 1) - 1, 0), min(((left + window[_3] - 1) >> 1) + 1, chroma[_3] - 1)
    count, skipped = U(end - begin + 1), U(left - 2 * begin)
    for i in range(high):
        at, to, place, apart = U(starts[_0] + (window[_0] + i) * strides[_0] + window[_1]), out, U(i) * wide, U(high) * wide
        ends = U(i) * wide + (wide + _AT_ONCE - _1) // _AT_ONCE * _AT_ONCE > apart
        if ends:  # what is written beyond other rows is written over by the next
            to, place, apart = last, _0, wide + _AT_ONCE
        if finer[_1] == 1:
            blue_at, red_at = U(starts[_1] + (window[_0] + i) * strides[_1] + window[_1]), U(starts[_2] + (window[_0] + i) * strides[_2] + window[_1])
            for j in range(_0, wide, _AT_ONCE):
                coloured(planes, at + j, planes, blue_at + j, planes, red_at + j, to, place + j, apart)
            if ends:
                copied(last, out, U(i), U(high), wide)
            continue
        row = window[U(4)] + i
        near, far = row, row
        if finer[_0] == 2:
            near = row >> 1
            far = max(near - 1, 0) if row & 1 == 0 else min(near + 1, chroma[_2] - 1)
        for c in (_1, _2):
            wider = blue if c == _1 else red
            start = starts[c] + begin - chroma[_1]
            a, b = U(start + (near - chroma[_0]) * strides[c]), U(start + (far - chroma[_0]) * strides[c])
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
            coloured(planes, at + j, blue, skipped + j, red, skipped + j, to, place + j, apart)
        if ends:
            copied(last, out, U(i), U(high), wide)


@loop
def copied(last, out, i, high, wide):
    """A row of each plane from `last` to its place."""
    for c in range(_3):
        for j in range(wide):
            out[(c * high + i) * wide + j] = last[c * (wide + _AT_ONCE) + j]
