"""Bytes read between four pixels, at places that are sums of one number a row and one a column: affine maps."""

from __future__ import annotations

import numpy as np

from vdata.compiled import loop
from vdata.compiled._fused import fma

U, F, INT = np.uintp, np.float32, np.int32
BLOCK = 256  # pixels at once; a distance between arrays that is known when it is compiled need not be compared
_0, _HALF, _1 = F(0), F(0.5), F(1)
_B, _C, _D = U(BLOCK), U(2 * BLOCK), U(3 * BLOCK)


def read(x: np.ndarray, fills: np.ndarray, border: int, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """What `read_bilinear` reads, [rows, planes, new height, new width], of x [rows, planes, height, width]."""
    rows, planes, height, width = x.shape
    out = np.empty((rows, planes, down.shape[2], across.shape[2]), np.uint8)
    packed = np.empty((height + 2 * border + 1) * (width + 2 * border) + 1, np.uint32)
    taps, parts, places = np.empty(4 * BLOCK, np.uint32), np.empty(4 * BLOCK, F), np.empty(BLOCK, np.uint32)
    read_bilinear(np.ascontiguousarray(x).reshape(-1), out.reshape(-1), fills, packed, taps, parts, places, border, rows, planes, height, width, across, down)
    return out


@loop
def read_bilinear(x, out, fills, packed, taps, parts, places, border, rows, planes, height, width, across, down):
    """out [rows, planes, new height, new width] of bytes x [rows, planes, height, width] in a border of `border` pixels (1 or 0) of
    `fills` [planes]; what lies outermost goes on for ever, as torch's `grid_sample` reads it.

    across, down  float32 [rows, 2, new width] and [rows, 2, new height]: x and y of each place, from -1 to 1 with the border
    packed        uint32 [(height + 2 border + 1) (width + 2 border) + 1], 2**24 at most: four planes at once; written over
    taps          uint32 [4 BLOCK], parts float32 [4 BLOCK], places uint32 [BLOCK]: written over
    """
    wide, high, size = across.shape[2], down.shape[2], U(height * width)
    line, lines = width + 2 * border, height + 2 * border
    half_width, half_height, stride = F(line) * _HALF, F(lines) * _HALF, F(line)
    right, bottom, next_line = F(line - 1), F(lines - 1), U(line)
    for r in range(rows):
        for group in range(0, planes, 4):
            for c in range(min(4, planes - group)):
                shift, fill = U(8 * c), U(fills[group + c]) << U(8 * c)
                plane = U(r * planes + group + c) * size
                for j in range(U(packed.size)):
                    packed[j] = fill if c == 0 else packed[j] | fill
                for i in range(height):
                    at, start = U((i + border) * line + border), plane + U(i * width)
                    for j in range(U(width)):
                        packed[at + j] = (packed[at + j] ^ fill) | (U(x[start + j]) << shift)
            for i in range(high):
                x_down, y_down = down[r, 0, i], down[r, 1, i]
                for begin in range(0, wide, BLOCK):
                    first, count = U(begin), U(min(BLOCK, wide - begin))
                    for j in range(count):
                        px = fma(across[r, U(0), first + j] + x_down + _1, half_width, -_HALF)
                        py = fma(across[r, U(1), first + j] + y_down + _1, half_height, -_HALF)
                        px, py = px if px > _0 else _0, py if py > _0 else _0  # NaN, too
                        px, py = min(px, right), min(py, bottom)
                        left, top = np.floor(px), np.floor(py)
                        w, n = px - left, py - top
                        e, s = _1 - w, _1 - n
                        parts[j], parts[_B + j], parts[_C + j], parts[_D + j] = s * e, s * w, n * e, n * w
                        places[j] = INT(top * stride + left)
                    for j in range(count):
                        at = U(places[j])
                        taps[j], taps[_B + j] = packed[at], packed[at + U(1)]
                        taps[_C + j], taps[_D + j] = packed[at + next_line], packed[at + next_line + U(1)]
                    for c in range(min(4, planes - group)):
                        shift = U(c & 3) * U(8)
                        at = U(((r * planes + group + c) * high + i) * wide) + first
                        for j in range(count):
                            v = F(INT((taps[j] >> shift) & U(255))) * parts[j]
                            v = fma(F(INT((taps[_B + j] >> shift) & U(255))), parts[_B + j], v)
                            v = fma(F(INT((taps[_C + j] >> shift) & U(255))), parts[_C + j], v)
                            v = fma(F(INT((taps[_D + j] >> shift) & U(255))), parts[_D + j], v)
                            out[at + j] = np.uint8(INT(np.rint(v)))
