"""A block of 8 x 8 cosines made pixels, for the loop that reads JPEGs: eight numbers at once.

The algorithm is that of Loeffler, Ligtenberg and Moschytz ("Practical fast 1-D DCT algorithms with 11 multiplications", 1989) in
whole numbers, 13 bits behind the point, 2 of them kept between columns and rows, as libjpeg's accurate one ("islow") has it: its
pixels are the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdata.compiled import numba
from vdata.compiled._instructions import Instruction

_BITS, _KEPT = 13, 2


def _fixed(x: float) -> int:
    return round(x * (1 << _BITS))


class _Eight:
    """What is done to eight numbers at once."""

    def __init__(self, builder: Any):
        from llvmlite import ir

        self.ir, self.b = ir, builder
        self.bytes, self.words, self.longs = (ir.VectorType(ir.IntType(bits), 8) for bits in (8, 16, 32))

    def all(self, kind: Any, number: int) -> Any:
        return self.ir.Constant(kind, [number] * 8)

    def at(self, pointer: Any, index: Any) -> Any:
        index = self.ir.Constant(self.ir.IntType(64), index) if isinstance(index, int) else index
        return self.b.gep(pointer, [index])

    def load(self, pointer: Any, index: int) -> Any:
        return self.b.load(self.b.bitcast(self.at(pointer, index), self.words.as_pointer()), align=2)

    def store(self, value: Any, pointer: Any) -> None:
        self.b.store(value, self.b.bitcast(pointer, value.type.as_pointer()), align=1)

    def clamped(self, x: Any, low: int, high: int) -> Any:
        for sign, bound in (("<", low), (">", high)):
            x = self.b.select(self.b.icmp_signed(sign, x, self.all(x.type, bound)), self.all(x.type, bound), x)
        return x

    def times(self, x: Any, number: int) -> Any:
        return self.b.mul(self.b.sext(x, self.longs), self.all(self.longs, number))

    def turned(self, rows: list[Any]) -> list[Any]:
        """Rows made columns: three times, the first half shuffled into the second."""
        masks = [self.ir.Constant(self.longs, [first + i // 2 + 8 * (i % 2) for i in range(8)]) for first in (0, 4)]
        for _ in range(3):
            rows = [self.b.shuffle_vector(rows[i], rows[i + 4], mask) for i in range(4) for mask in masks]
        return rows

    def below(self, rows: list[Any], limit: int) -> Any:
        """Whether no number is `limit` (a power of two) or more, or less than -limit."""
        beyond = self.all(self.words, 0)
        for row in rows:
            beyond = self.b.or_(beyond, self.b.add(row, self.all(self.words, limit)))
        few = self.b.icmp_unsigned("==", self.b.lshr(beyond, self.all(self.words, limit.bit_length())), self.all(self.words, 0))
        every = self.b.bitcast(few, self.ir.IntType(8))
        return self.b.icmp_unsigned("==", every, self.ir.Constant(every.type, 255))

    def line(self, c: list[Any], shift: int) -> list[Any]:
        """One dimension of eight lines at once: 16 bits each, from 16 bits each."""
        add, sub, times = self.b.add, self.b.sub, self.times
        half = self.all(self.longs, 1 << (shift - 1))

        def doubled(x: Any) -> Any:
            return add(self.b.shl(self.b.sext(x, self.longs), self.all(self.longs, _BITS)), half)

        # Of each rotation the factors are summed before they are multiplied: whole numbers, so nothing is rounded otherwise.
        turn, plus, minus = _fixed(0.541196100), _fixed(0.765366865), _fixed(1.847759065)
        side, top = add(times(c[2], turn), times(c[6], turn - minus)), add(times(c[6], turn), times(c[2], turn + plus))
        sums, differences = doubled(add(c[0], c[4])), doubled(sub(c[0], c[4]))
        even = [add(sums, top), add(differences, side), sub(differences, side), sub(sums, top)]

        threes, fives, both = add(c[7], c[3]), add(c[5], c[1]), _fixed(1.175875602)
        left = add(times(threes, both - _fixed(1.961570560)), times(fives, both))
        right = add(times(fives, both - _fixed(0.390180644)), times(threes, both))
        outer, inner = _fixed(0.899976223), _fixed(2.562915447)
        odd = [
            add(add(times(c[1], _fixed(1.501321110) - outer), times(c[7], -outer)), right),
            add(add(times(c[3], _fixed(3.072711026) - inner), times(c[5], -inner)), left),
            add(add(times(c[5], _fixed(2.053119869) - inner), times(c[3], -inner)), right),
            add(add(times(c[7], _fixed(0.298631336) - outer), times(c[1], -outer)), left),
        ]
        ends: list[tuple[Callable[..., Any], Any, Any]] = [(add, e, o) for e, o in zip(even, odd, strict=True)]
        ends += [(sub, e, o) for e, o in zip(even[::-1], odd[::-1], strict=True)]
        return [self.b.trunc(self.clamped(self.b.ashr(f(e, o), self.all(self.longs, shift)), -32768, 32767), self.words) for f, e, o in ends]


def _write(builder: Any, block: Any, steps: Any, table: Any, out: Any, place: Any, stride: Any) -> Any:
    eight = _Eight(builder)
    steps = eight.at(steps, table)
    rows = [builder.mul(eight.load(block, 8 * i), eight.load(steps, 8 * i)) for i in range(8)]
    half = eight.line(rows, _BITS - _KEPT)
    for i, row in enumerate(eight.turned(eight.line(eight.turned(half), _BITS + _KEPT + 3))):
        pixels = builder.add(eight.clamped(row, -128, 127), eight.all(eight.words, 128))
        line = builder.mul(stride, eight.ir.Constant(stride.type, i))
        eight.store(builder.trunc(pixels, eight.bytes), eight.at(eight.at(out, place), line))
    for i in range(8):
        eight.store(eight.all(eight.words, 0), eight.at(block, 8 * i))
    return builder.and_(eight.below(rows, 1 << 13), eight.below(half, 1 << 14))


# int16 block [64], row by row, times int16 steps[table:table + 64]: uint8 [8, 8] at out[place], `stride` from row to row. The block is 0 then.
# False where numbers are far beyond what a picture of bytes can have: there libjpeg's 16 bits run over, on each processor in its own way.
pixels_of: Any = Instruction(_write, lambda *_: numba().types.boolean)
