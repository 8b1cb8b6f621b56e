"""Pixels of ordinary PNGs by a loop of our own, where numba is installed; and the check that a PNG's bytes are those that were written.

Inflating and undoing the filters is all that a PNG of 8 or 16 bits a sample asks for. A library does the first: ISA-L where it is
installed (in two fifths of zlib's time), zlib else; `compiled.png` does the second, straight to planes. Only the rows down to the end of
a window are inflated. Palettes, fewer bits, interlaced pictures and whatever is not sound are left to Pillow (None), which says what
is wrong with them.
"""

from __future__ import annotations

import struct
import sys
import zlib

import numpy as np

from vdata.codecs.header import Header, Window, png_chunks
from vdata.compiled.png import read_rows
from vdata.errors import DecodeError
from vdata.optional import inflater

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG colour type; of a palette its indices
_MOVES = {b"acTL", b"fcTL", b"fdAT"}  # chunks of animations


def check(data: bytes | memoryview) -> None:
    """DecodeError where a chunk that pixels need does not have its checksum: Pillow skips that of IDAT."""
    view, crc32 = memoryview(data), inflater().crc32
    for name, at, length in png_chunks(view):
        (told,) = struct.unpack_from(">I", view, at + length)
        ancillary = name[0] & 0x20
        if not ancillary and crc32(view[at - 4 : at + length]) != told:
            raise DecodeError(f"the PNG's chunk {name.decode('latin-1')} has a wrong checksum", byte=at - 8)


def pixels(data: bytes | memoryview, head: Header, window: Window) -> np.ndarray | None:
    """uint8 or uint16 [channels, h, w] of a window (top, left, height, width) of a checked PNG, as its samples lie; None: it is not for this loop."""
    top, left, high, wide = window
    view = memoryview(data)
    ordinary = head.depth in (8, 16) and head.colour in _CHANNELS and not any(view[26:29]) and sys.byteorder == "little"
    size, channels = head.depth // 8, _CHANNELS.get(head.colour, 0)
    row = 1 + channels * size * head.width
    if not ordinary or not read_rows.pays(row * (top + high)):
        return None
    stream = _inflated(view, row * (top + high), top + high == head.height)
    if stream is None or (raw := np.frombuffer(stream, np.uint8))[::row].max() > 4:  # filters are 0 to 4
        return None
    out = np.empty((channels, high, wide), np.dtype(f"u{size}"))
    lines = np.empty(2 * channels * size * head.width, np.uint8)
    read_rows(raw, lines, out.reshape(-1).view(np.uint8), head.width, channels * size, size, top, left, high, wide)
    return out


def _inflated(view: memoryview, needed: int, whole: bool) -> bytes | None:
    """The first bytes that a PNG's stream holds, and no more of it where it should end with them; None where it does not."""
    inflate, parts, behind = inflater(), [], False
    for name, at, length in png_chunks(view):
        if name in _MOVES or (name == b"IDAT" and behind) or not name.isalpha():
            return None
        behind = behind or (bool(parts) and name != b"IDAT")
        if name == b"IDAT":
            parts.append(view[at : at + length])
    stream = inflate.decompressobj()
    try:
        out = stream.decompress(b"".join(parts), needed + whole)  # one byte more: it ends, and its checksum is looked at, or it is too long
    except (zlib.error, inflate.error):
        return None
    return out if len(out) == needed and (stream.eof or not whole) else None
