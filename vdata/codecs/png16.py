"""PNG with 16 bits a sample, without loss.

Pillow 13 keeps 16 bits for grey, but reads colour down to 8. The alternatives weigh more than they bring:
opencv and imagecodecs are tens of megabytes for one format, pypng had its last release in 2022 and unfilters
in Python. Yet Pillow's own decoder does hold all 16 bits until its last step, where the raw mode "RGB;16B" takes
the first byte of each big-endian sample. The raw mode "RGB;16L" takes the second. So the file is decoded twice by
Pillow's C code, filters, interlace and all, once for the high bytes and once for the low ones: about 25 ms for
KITTI's 1242 x 375. No filter is written here in Python. (`png` does it once, in a quarter of that time, where numba is installed.)
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from vdata.codecs.header import PNG_SIGNATURE

# By PNG colour type, the raw modes of Pillow that give, band after band, the bytes of every sample; beside it, which of
# those bands are the high bytes and which the low ones. Grey with alpha is four bytes a pixel, as 8-bit RGBA is.
RAW_MODES: dict[int, tuple[str, ...]] = {2: ("RGB;16B", "RGB;16L"), 4: ("RGBA",), 6: ("RGBA;16B", "RGBA;16L")}
HIGH = {2: slice(0, 3), 4: slice(0, 4, 2), 6: slice(0, 4)}
LOW = {2: slice(3, 6), 4: slice(1, 4, 2), 6: slice(4, 8)}


def write(samples: np.ndarray) -> bytes:
    """A PNG of uint16 [H, W] (grey) or [H, W, 3] (RGB). The same array gives the same bytes."""
    height, width = samples.shape[:2]
    colour, channels = (0, 1) if samples.ndim == 2 else (2, 3)
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = zlib.compress(_filtered(rows, 2 * channels).tobytes(), 6)
    return PNG_SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _filtered(rows: np.ndarray, step: int) -> np.ndarray:
    """Each row behind its filter byte: of None, Sub and Up the one with the least sum of absolute values.

    The heuristic of the PNG specification, section 12.8. Sparse flow wants None, dense flow Sub.
    """
    sub, up = rows.copy(), rows.copy()
    sub[:, step:] -= rows[:, :-step]
    up[1:] -= rows[:-1]
    candidates = np.stack([rows, sub, up])
    # A byte is a signed difference: 255 is -1. Taken as unsigned after negation, the smaller is the absolute value.
    best = np.minimum(candidates, -candidates).sum(axis=2, dtype=np.int64).argmin(axis=0)
    return np.concatenate([best.astype(np.uint8)[:, None], candidates[best, np.arange(len(rows))]], axis=1)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
