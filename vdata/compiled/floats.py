"""Bytes to normalised floats."""

from __future__ import annotations

import numpy as np

from vdata.compiled import loop

U = np.uintp


@loop
def normalised(x, out, rows, planes, size, scale, means, stds):
    """out float32 [rows, planes, size] = (x * scale - means[plane]) / stds[plane] of bytes x, both flat; each step rounded as torch's."""
    for r in range(rows):
        for p in range(planes):
            at, mean, std = U((r * planes + p) * size), means[p], stds[p]
            for i in range(U(size)):
                out[at + i] = (np.float32(x[at + i]) * scale - mean) / std


@loop
def scaled(x, out, scale):
    """out float32 = x * scale of bytes x, both flat."""
    for i in range(U(x.size)):
        out[i] = np.float32(x[i]) * scale
