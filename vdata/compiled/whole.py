"""Pixels that change places and keep their value."""

from __future__ import annotations

import numpy as np

from vdata.compiled import loop

U = np.uintp  # an index that may be negative is looked at twice, and stops the compiler from taking many at a time


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
        count = U(end - left)
        x0 += x_step * left
        for p in range(planes):
            value = fill[p]
            for i in range(new_height):
                at = U(((r * planes + p) * new_height + i) * new_width)
                if i < top or i >= bottom:
                    for j in range(U(new_width)):
                        out[at + U(j)] = value
                    continue
                start = U(((r * planes + p) * height + y + y_step * i) * width + x0)
                for j in range(U(left)):
                    out[at + U(j)] = value
                at += U(left)
                if x_step > 0:
                    for j in range(count):
                        out[at + U(j)] = x[start + U(j)]
                else:
                    for j in range(count):
                        out[at + U(j)] = x[start - U(j)]
                at += count
                for j in range(U(new_width - end)):
                    out[at + U(j)] = value
