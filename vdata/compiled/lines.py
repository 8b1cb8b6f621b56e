"""Rasters read between pixels, along rows and columns that were chosen one by one."""

from __future__ import annotations

import numpy as np

from vdata.compiled import loop
from vdata.compiled._fused import fma

U, HALF, ONE = np.uintp, np.float32(0.5), np.float32(1)


@loop
def read_between(x, out, line, near, far, rows, planes, height, width, above, below, down, before, behind, across, first, last, whole):
    """out [rows, planes, new height, new width] of x [rows, planes, height, width], both flat, uint8 or float32, as torch's `lerp` has it.

    above, below, down     of each new row of each of the rows: the two old ones, and the second's part; uint32, uint32, float32 [rows, new height]
    before, behind, across  of each new column
    line, near, far        float32 [width], and twice [new width], written over; only columns from `first` to before `last` are read
    whole                  whether numbers are rounded
    """
    high, wide = down.shape[1], U(across.shape[1])
    for r in range(rows):
        for p in range(planes):
            for i in range(high):
                part, start = down[r, i], (r * planes + p) * height
                factor = part if part < HALF else part - ONE
                one, two = U((start + above[r, i]) * width), U((start + below[r, i]) * width)
                kept = one if part < HALF else two
                for j in range(U(first), U(last)):
                    line[j] = fma(factor, np.float32(x[two + j]) - np.float32(x[one + j]), np.float32(x[kept + j]))
                # A look-up that may follow a store cannot be done eight at a time: so all of them first, and then what can.
                for j in range(wide):
                    near[j], far[j] = line[before[r, j]], line[behind[r, j]]
                at = U((r * planes + p) * high + i) * wide
                for j in range(wide):
                    part = across[r, j]
                    v = fma(part if part < HALF else part - ONE, far[j] - near[j], near[j] if part < HALF else far[j])
                    out[at + j] = np.rint(v) if whole else v
