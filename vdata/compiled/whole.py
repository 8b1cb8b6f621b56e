"""Pixels that change places and keep their value: sixteen at once, for lines of small pictures are too short for what the compiler makes of a loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.compiled import loop
from vdata.compiled._instructions import Instruction

U = np.uintp  # an index that may be negative is looked at twice, and stops the compiler from taking many at a time
AT_ONCE = 16
_0, _MANY = U(0), U(AT_ONCE)


def _move(b: Any, x: Any, at: Any, out: Any, place: Any) -> None:
    _moved(b, x, at, out, place, list(range(AT_ONCE)))


def _turn(b: Any, x: Any, at: Any, out: Any, place: Any) -> None:
    _moved(b, x, at, out, place, list(reversed(range(AT_ONCE))))


def _moved(b: Any, x: Any, at: Any, out: Any, place: Any, order: list[int]) -> None:
    from llvmlite import ir

    numbers = b.load(_there(b, x, at), align=1)
    b.store(b.shuffle_vector(numbers, numbers, ir.Constant(ir.VectorType(ir.IntType(32), AT_ONCE), order)), _there(b, out, place), align=1)


def _fill(b: Any, value: Any, out: Any, place: Any) -> None:
    from llvmlite import ir

    one = b.insert_element(ir.Constant(ir.VectorType(value.type, AT_ONCE), ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    b.store(b.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), AT_ONCE), [0] * AT_ONCE)), _there(b, out, place), align=1)


def _there(b: Any, x: Any, at: Any) -> Any:
    from llvmlite import ir

    first = b.gep(x, [at])
    return b.bitcast(first, ir.VectorType(first.type.pointee, AT_ONCE).as_pointer())


moved: Any = Instruction(_move)  # out[place + j] = x[at + j], 16 of them
turned: Any = Instruction(_turn)  # out[place + j] = x[at + 15 - j]
filled: Any = Instruction(_fill)  # out[place + j] = value


@loop
def fill_line(out, at, count, value):
    """out[at : at + count] = value, of out's kind."""
    if count < _MANY:
        for j in range(count):
            out[at + j] = value
        return
    for j in range(_0, count - _MANY, _MANY):
        filled(value, out, at + j)
    filled(value, out, at + count - _MANY)


@loop
def move_line(x, start, out, at, count):
    """out[at : at + count] = x[start : start + count]."""
    if count < _MANY:
        for j in range(count):
            out[at + j] = x[start + j]
        return
    for j in range(_0, count - _MANY, _MANY):
        moved(x, start + j, out, at + j)
    moved(x, start + count - _MANY, out, at + count - _MANY)


@loop
def turn_line(x, start, out, at, count):
    """out[at + j] = x[start - j] of j < count."""
    if count < _MANY:
        for j in range(count):
            out[at + j] = x[start - j]
        return
    for j in range(_0, count - _MANY, _MANY):
        turned(x, start - j - (_MANY - U(1)), out, at + j)
    turned(x, start - count + U(1), out, at + count - _MANY)


@loop
def moved_whole(x, out, fill, rows, planes, height, width, down, tall, right, wide):
    """out [rows, planes, new height, new width] of x [rows, planes, height, width], both flat, under steps that go one after the other.

    down, right  int64 [steps, 2, rows]: step s of row r takes place i of the canvas to sign i + shift, in continuous coordinates;
                 sign is 1 or -1
    tall, wide   int64 [steps]: the canvas after each step; what comes to lie outside is lost
    fill         [planes]: what new pixels are
    """
    new_height, new_width = tall[-1], wide[-1]
    for r in range(rows):
        # Of each axis: new pixel i of [low, high) is old pixel base + step i.
        y, y_step, top, bottom = 0, 1, 0, height
        x0, x_step, left, end = 0, 1, 0, width
        for s in range(len(tall)):
            shift = down[s, 1, r]
            if down[s, 0, r] > 0:
                y, top, bottom = y - y_step * shift, top + shift, bottom + shift
            else:
                y, y_step, top, bottom = y + y_step * (shift - 1), -y_step, shift - bottom, shift - top
            top = min(max(top, 0), tall[s])
            bottom = max(min(bottom, tall[s]), top)
            shift = right[s, 1, r]
            if right[s, 0, r] > 0:
                x0, left, end = x0 - x_step * shift, left + shift, end + shift
            else:
                x0, x_step, left, end = x0 + x_step * (shift - 1), -x_step, shift - end, shift - left
            left = min(max(left, 0), wide[s])
            end = max(min(end, wide[s]), left)
        count, across = U(end - left), U(new_width)
        x0 += x_step * left
        for p in range(planes):
            value = fill[p]
            for i in range(new_height):
                at = U(((r * planes + p) * new_height + i) * new_width)
                if count < across or i < top or i >= bottom:
                    fill_line(out, at, across, value)
                if count and top <= i < bottom:
                    start = U(((r * planes + p) * height + y + y_step * i) * width + x0)
                    if x_step > 0:
                        move_line(x, start, out, at + U(left), count)
                    else:
                        turn_line(x, start, out, at + U(left), count)
