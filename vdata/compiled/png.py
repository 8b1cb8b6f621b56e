"""Rows of a PNG as its stream holds them, to planes."""

from __future__ import annotations

import numpy as np

from vdata.compiled import loop

U, INT, U8 = np.uintp, np.int64, np.uint8
_0, _1, _2 = U(0), U(1), U(2)


@loop
def nearest(left, above, corner):
    """Paeth's choice: of three neighbours the one nearest to left + above - corner, in this order (PNG specification, 9.4).

    That is the greater of left and above where the corner is at most as much below the lesser as they are apart, and so on: what can be
    asked without a branch that nobody can foresee.
    """
    low, high, between = min(left, above), max(left, above), 3 * corner - above - left
    chosen = low if high <= between else corner
    return high if between <= low else chosen


@loop
def read_rows(raw, lines, out, width, step, size, top, left, high, wide):
    """A window of a picture that is not interlaced: out [step / size, high, wide], the bytes of a sample from low to high, flat.

    raw    its stream down to the window's last row, uint8: of each row the kind of its filter, 0 to 4, and `width` pixels of `step` bytes
    lines  uint8 [2 * step * width], written over
    size   bytes a sample, 1 or 2; in the stream the high one comes first
    """
    across, wide_, apart = U(width), U(wide), U(step)
    over, here = _0, across * apart
    for j in range(across * apart):
        lines[j] = 0
    for i in range(top + high):
        at = U(i) * (_1 + across * apart)
        kind = raw[at]
        at += _1
        if kind >= 3:
            for b in range(0, step, 3):  # a byte waits for its neighbour on the left: three at once wait as long as one
                one, two, three = U(b), U(min(b + 1, step - 1)), U(min(b + 2, step - 1))
                to1, to2, to3 = here + one * across, here + two * across, here + three * across
                over1, over2, over3 = over + one * across, over + two * across, over + three * across
                a1, a2, a3, c1, c2, c3 = 0, 0, 0, 0, 0, 0
                one, two, three = at + one, at + two, at + three
                if kind == 4:
                    for x in range(across):
                        b1, b2, b3 = INT(lines[over1 + x]), INT(lines[over2 + x]), INT(lines[over3 + x])
                        a1 = (raw[one + x * apart] + nearest(a1, b1, c1)) & 255
                        a2 = (raw[two + x * apart] + nearest(a2, b2, c2)) & 255
                        a3 = (raw[three + x * apart] + nearest(a3, b3, c3)) & 255
                        lines[to1 + x], lines[to2 + x], lines[to3 + x] = a1, a2, a3
                        c1, c2, c3 = b1, b2, b3
                else:
                    for x in range(across):
                        a1 = (raw[one + x * apart] + (a1 + INT(lines[over1 + x]) >> 1)) & 255
                        a2 = (raw[two + x * apart] + (a2 + INT(lines[over2 + x]) >> 1)) & 255
                        a3 = (raw[three + x * apart] + (a3 + INT(lines[over3 + x]) >> 1)) & 255
                        lines[to1 + x], lines[to2 + x], lines[to3 + x] = a1, a2, a3
        else:
            for b in range(apart):
                to, from_, before = here + b * across, at + b, over + b * across
                if kind == 0:
                    for x in range(across):
                        lines[to + x] = raw[from_ + x * apart]
                elif kind == 1:
                    a = U8(0)
                    for x in range(across):
                        a = U8(a + raw[from_ + x * apart])
                        lines[to + x] = a
                else:
                    for x in range(across):
                        lines[to + x] = lines[before + x] + raw[from_ + x * apart]
        for c in range(step // size if i >= top else 0):
            from_, to = here + U(c * size * width + left), (U(c) * U(high) + U(i - top)) * wide_
            if size == 1:
                for x in range(wide_):
                    out[to + x] = lines[from_ + x]
            else:
                for x in range(wide_):
                    out[_2 * (to + x)], out[_2 * (to + x) + _1] = lines[from_ + across + x], lines[from_ + x]
        over, here = here, over
