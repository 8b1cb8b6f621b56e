"""Planes of bytes resized linearly, with or without antialias, as torch's byte kernel does it: 32 numbers at once.

First rows become shorter or longer, then columns, each result rounded to a byte. A new number is a sum of old ones times weights of
15 bits: whole numbers, so the order of adding is free, and results are torch's, to the bit, where weights are. These are worked out
in float64 in the order that torch has (`HelperInterpBase` in its UpSampleKernel.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from vdata.compiled import loop
from vdata.compiled._instructions import Instruction, carray, pointer

U, INT, U8, SHORT = np.uintp, np.int64, np.uint8, np.int16
AT_ONCE = 32  # numbers at once: no shorter rows or columns
_0, _1 = U(0), U(1)
_HALF = AT_ONCE // 2


class _Square:
    """16 x 32 bytes turned: in each half of a vector of 32 bytes its own 16 x 16."""

    def __init__(self, builder: Any):
        from llvmlite import ir

        self.ir, self.b = ir, builder
        self.few, self.many = (ir.VectorType(ir.IntType(8), n) for n in (_HALF, AT_ONCE))

    def lines(self, kind: Any, x: Any, at: Any, step: Any, count: int) -> list[Any]:
        """Where `count` lines begin."""
        out = [self.b.gep(x, [at])]
        for _ in range(count - 1):
            out.append(self.b.gep(out[-1], [step]))
        return [self.b.bitcast(line, kind.as_pointer()) for line in out]

    def shuffled(self, one: Any, two: Any, mask: list[int]) -> Any:
        return self.b.shuffle_vector(one, two, self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), len(mask)), mask))

    def turned(self, lines: list[Any]) -> list[Any]:
        places = [(i // _HALF) * _HALF + i % _HALF // 2 + AT_ONCE * (i % 2) for i in range(AT_ONCE)]
        masks = [[place + first for place in places] for first in (0, _HALF // 2)]
        for _ in range(_HALF.bit_length() - 1):  # the first half shuffled into the second
            lines = [self.shuffled(lines[i], lines[i + _HALF // 2], mask) for i in range(_HALF // 2) for mask in masks]
        return lines


def _turn_in(b: Any, x: Any, at: Any, step: Any, out: Any, place: Any, apart: Any) -> None:
    square = _Square(b)
    lines = [b.load(line, align=1) for line in square.lines(square.few, x, at, step, AT_ONCE)]
    lines = [square.shuffled(lines[i], lines[i + _HALF], list(range(AT_ONCE))) for i in range(_HALF)]
    for turned, line in zip(square.turned(lines), square.lines(square.many, out, place, apart, _HALF), strict=True):
        b.store(turned, line, align=1)


def _turn_out(b: Any, x: Any, at: Any, step: Any, out: Any, place: Any, apart: Any) -> None:
    square = _Square(b)
    lines = square.turned([b.load(line, align=1) for line in square.lines(square.many, x, at, step, _HALF)])
    halves = [square.shuffled(line, line, list(range(first, first + _HALF))) for first in (0, _HALF) for line in lines]
    for turned, line in zip(halves, square.lines(square.few, out, place, apart, AT_ONCE), strict=True):
        b.store(turned, line, align=1)


turned_in: Any = Instruction(_turn_in)  # 32 lines of 16 bytes, x[at + i * step + j]: 16 of 32, out[place + j * apart + i]
turned_out: Any = Instruction(_turn_out)  # 16 lines of 32 bytes likewise: 32 of 16


def _weigh(b: Any, x: Any, at: Any, step: Any, weights: Any, first: Any, pairs: Any, shift: Any, out: Any, place: Any) -> None:
    from llvmlite import ir
    from numba.core import cgutils

    byte, short, long, whole = (ir.IntType(bits) for bits in (8, 16, 32, 64))
    bytes_, longs, both = ir.VectorType(byte, AT_ONCE), ir.VectorType(long, AT_ONCE), ir.VectorType(long, 2 * AT_ONCE)

    def picked(numbers: list[int]) -> Any:
        return ir.Constant(ir.VectorType(long, len(numbers)), numbers)

    def every(number: Any) -> Any:
        one = b.insert_element(ir.Constant(ir.VectorType(number.type, AT_ONCE), ir.Undefined), number, ir.Constant(long, 0))
        return b.shuffle_vector(one, one, picked([0] * AT_ONCE))

    def line(number: Any) -> Any:
        return b.load(b.bitcast(b.gep(x, [b.add(at, b.mul(number, step))]), bytes_.as_pointer()), align=1)

    def plus(sums: Any, pair: Any) -> Any:
        """Two more lines times their weights."""
        two = b.shl(pair, ir.Constant(whole, 1))
        near, far = line(two), line(b.add(two, ir.Constant(whole, 1)))
        woven = b.zext(b.shuffle_vector(near, far, picked([i // 2 + AT_ONCE * (i % 2) for i in range(2 * AT_ONCE)])), ir.VectorType(short, 2 * AT_ONCE))
        # Two weights as one number, so that processors which multiply and add pairs can be told so.
        weight = b.load(b.bitcast(b.gep(weights, [b.add(first, two)]), long.as_pointer()), align=2)
        parts = b.mul(b.sext(woven, both), b.sext(b.bitcast(every(weight), woven.type), both))
        return b.add(sums, b.add(*(b.shuffle_vector(parts, parts, picked(list(range(odd, 2 * AT_ONCE, 2)))) for odd in (0, 1))))

    shift = b.trunc(shift, long)
    half = every(b.shl(ir.Constant(long, 1), b.sub(shift, ir.Constant(long, 1))))
    sums = cgutils.alloca_once(b, longs)
    b.store(plus(half, ir.Constant(whole, 0)), sums)
    with cgutils.for_range(b, pairs, ir.Constant(whole, 1)) as pair:
        b.store(plus(b.load(sums), pair.index), sums)
    out_of = b.ashr(b.load(sums), every(shift))
    for sign, bound in (("<", 0), (">", 255)):
        out_of = b.select(b.icmp_signed(sign, out_of, every(ir.Constant(long, bound))), every(ir.Constant(long, bound)), out_of)
    b.store(b.trunc(out_of, bytes_), b.bitcast(b.gep(out, [place]), bytes_.as_pointer()), align=1)


# 32 bytes out[place + j]: the sum over i < 2 * pairs of int16 weights[first + i] times x[at + i * step + j], over 2**shift, rounded and clamped.
weighed: Any = Instruction(_weigh)


def resized(
    pictures: Sequence[Tensor], new: tuple[int, int], shown: tuple[int, int], averages: bool,
    mirrored: Sequence[bool] | None = None, outs: Sequence[Tensor | None] | None = None,
) -> list[Tensor]:  # fmt: skip
    """uint8 [planes, *shown]: the first rows and columns of each of these pictures uint8 [planes, h, w] at another size, all of which
    `fit`, and whose pixels in a row lie side by side; in `outs`, contiguous, where there are any. Those that are `mirrored`, left for
    right, must have another width before."""
    made = [x.new_empty((x.shape[0], *shown)) if out is None else out for x, out in zip(pictures, outs or [None] * len(pictures), strict=True)]
    about = []
    for x, out, turned in zip(pictures, made, mirrored or [False] * len(made), strict=True):
        count, high, wide = x.shape
        apart, row, _ = x.stride()
        about.append((x.data_ptr(), apart, row, count, high, wide, _pairs(high, new[0], averages), _pairs(wide, new[1], averages), out.data_ptr(), turned))
    resize_planes(np.array(about, np.int64).reshape(-1, 10), *new, *shown, averages)
    return made


def fit(old: tuple[int, int], new: tuple[int, int], shown: tuple[int, int], averages: bool) -> bool:
    """Whether the loop can do it: not for a few rows or columns, nor for nearly none of very many."""
    if min(*old, shown[1]) < AT_ONCE or shown[0] < 1:
        return False
    (high, wide), (new_high, new_wide) = old, new
    return (high == new_high or high >= 2 * _pairs(high, new_high, averages)) and (wide == new_wide or wide >= 2 * _pairs(wide, new_wide, averages))


def _pairs(old: int, new: int, averages: bool) -> int:
    """How many pairs of weights each of `new` numbers has over `old` ones, at most."""
    return int(old / new + 1) if averages and old > new else 1


@loop
def weigh(old, new, averages, starts, weights, shift):
    """Where the weights of each of `new` numbers over `old` ones begin, `starts` int64 [new], and these, int16 [new, 2 * pairs], all within
    the old ones; shift int64 [1]: how many bits they are behind the point."""
    taps = weights.shape[1]
    parts = np.zeros((new, taps))
    scale, greatest = old / new, 0.0
    support, inverse = (scale, 1.0 / scale) if averages and scale >= 1.0 else (1.0, 1.0)
    for i in range(U(new)):
        if averages:
            centre = scale * (INT(i) + 0.5)
            start = max(INT(centre - support + 0.5), 0)
            count = min(min(INT(centre + support + 0.5), old) - start, taps)
            total = 0.0
            for j in range(count):
                part = max(1.0 - abs((j + start - centre + 0.5) * inverse), 0.0)
                parts[i, U(j)] = part
                total += part
            for j in range(count):
                parts[i, U(j)] /= total
        else:
            place = max(scale * (INT(i) + 0.5) - 0.5, 0.0)
            start = min(INT(np.float32(place)), old - 1)  # torch takes the floor of a float32 here
            part = min(max(place - start, 0.0), 1.0)
            parts[i, _0], parts[i, _1] = (1.0 - part, part) if start < old - 1 else (1.0, 0.0)
        starts[i] = start
        for j in range(U(taps)):
            greatest = max(greatest, parts[i, j])
    bits = 0
    while bits < 22 and INT(0.5 + greatest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    shift[_0] = bits
    for i in range(U(new)):
        moved = U(max(starts[i] - (old - taps), 0))  # so that none lies beyond the last
        starts[i] -= INT(moved)
        for j in range(U(taps)):
            weights[i, j] = 0
        for j in range(U(taps) - moved):
            weights[i, j + moved] = SHORT(INT(0.5 + parts[i, j] * (1 << bits)))


@loop
def resize_planes(pictures, high, wide, shown_high, shown_wide, averages):
    """The first `shown_high` rows and `shown_wide` columns of planes of bytes at another size, `high` x `wide`.

    pictures  int64 [n, 10]: the address of the first byte; how far from plane to plane, and from row to row; how many planes; height and
              width, AT_ONCE or more, as is `shown_wide`; how many pairs of weights a new row has, and a new column: a side that changes
              is no shorter than these; the address of planes * shown_high * shown_wide bytes for the result; whether it is mirrored, left
              for right, which one of the same width never is
    averages  whether there is antialias
    """
    shift, down, across = np.zeros(1, np.int64), np.empty(high, np.int64), np.empty(wide, np.int64)
    news = np.empty(AT_ONCE * shown_wide, np.uint8)
    for n in range(U(pictures.shape[0])):
        apart, step, planes, height, width = pictures[n, _1], pictures[n, U(2)], pictures[n, U(3)], pictures[n, U(4)], pictures[n, U(5)]
        pairs_down, pairs = pictures[n, U(6)], pictures[n, U(7)]
        x = carray(pointer(pictures[n, _0]), ((planes - 1) * apart + (height - 1) * step + width,), U8)
        out = carray(pointer(pictures[n, U(8)]), (planes * shown_high * shown_wide,), U8)
        needed, bits_down, bits = shown_high, 0, 0
        flat_down, flat = np.empty(0, np.int16), np.empty(0, np.int16)
        columns, lines = np.empty(0, np.uint8), np.empty(0, np.uint8)
        if height != high:
            weights = np.empty((high, 2 * pairs_down), np.int16)
            weigh(height, high, averages, down, weights, shift)
            flat_down, bits_down = weights.reshape(-1), shift[_0]
            needed = down[U(shown_high - 1)] + 2 * pairs_down
        if width != wide:
            weights = np.empty((wide, 2 * pairs), np.int16)
            weigh(width, wide, averages, across, weights, shift)
            flat, bits = weights.reshape(-1), shift[_0]
            columns, lines = np.empty(AT_ONCE * width, np.uint8), np.empty(max(needed, AT_ONCE) * shown_wide, np.uint8)
        for p in range(planes):
            first, place = p * apart, p * shown_high * shown_wide
            if width != wide:
                for top in range(0, needed, AT_ONCE):
                    top = max(min(top, needed - AT_ONCE), 0)  # the last ones twice, where they are fewer
                    for left in range(0, width, _HALF):
                        left = min(left, width - _HALF)
                        turned_in(x, first + top * step + left, step, columns, AT_ONCE * left, AT_ONCE)
                    for i in range(U(shown_wide)):
                        to = shown_wide - 1 - INT(i) if pictures[n, U(9)] else INT(i)
                        weighed(columns, AT_ONCE * across[i], AT_ONCE, flat, INT(i) * 2 * pairs, pairs, bits, news, AT_ONCE * to)
                    for left in range(0, shown_wide, _HALF):
                        left = min(left, shown_wide - _HALF)
                        turned_out(news, AT_ONCE * left, AT_ONCE, lines, top * shown_wide + left, shown_wide)
            rows, begin, between = (x, first, step) if width == wide else (lines, 0, shown_wide)
            for i in range(U(shown_high)):
                to = place + INT(i) * shown_wide
                if height == high:
                    for j in range(U(shown_wide)):
                        out[U(to) + j] = rows[U(begin + INT(i) * between) + j]
                    continue
                at = begin + down[i] * between
                for left in range(0, shown_wide, AT_ONCE):
                    left = min(left, shown_wide - AT_ONCE)
                    weighed(rows, at + left, between, flat_down, INT(i) * 2 * pairs_down, pairs_down, bits_down, out, to + left)
