"""Pixels of ordinary PNGs by a loop of our own, where numba is installed; and the check that a PNG's bytes are those that were written.

Inflating and undoing the filters is all that a PNG of 8 or 16 bits a sample asks for. A library does the first: ISA-L where it is
installed (in two fifths of zlib's time), zlib else; `compiled.png` does the second, straight to planes. Only the rows down to the end of
a window are inflated: what lies below has its checksums, but is not looked at. Palettes, fewer bits, interlaced pictures and whatever is
not sound, or not known to be, are left to Pillow (None), which says what is wrong with them.
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
_LEAST = {  # of chunks that change no pixel here and that Pillow takes if they are this long
    b"IHDR": 13, b"PLTE": 3, b"IDAT": 0, b"IEND": 0, b"tRNS": 6, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"iCCP": 3, b"eXIf": 0,
    b"tEXt": 0, b"tIME": 0, b"bKGD": 0, b"sBIT": 0, b"hIST": 0, b"iDOT": 0,
}  # fmt: skip
_MOST = {b"IHDR": 13, b"PLTE": 3 * 256}
_TEXTS = 1 << 26  # bytes of text that Pillow takes, all together
_PROFILE = 1 << 20  # bytes of a colour profile that it takes


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
    packed = _packed(view)
    stream = None if packed is None else _inflated(packed, row * (top + high), top + high == head.height)
    if stream is None or (raw := np.frombuffer(stream, np.uint8))[::row].max() > 4:  # filters are 0 to 4
        return None
    out = np.empty((channels, high, wide), np.dtype(f"u{size}"))
    lines = np.empty(2 * channels * size * head.width, np.uint8)
    read_rows(raw, lines, out.reshape(-1).view(np.uint8), head.width, channels * size, size, top, left, high, wide)
    return out


def _packed(view: memoryview) -> bytes | None:
    """A PNG's stream; None where anything lies beside it that is not known to be sound."""
    if len(view) > _TEXTS:
        return None
    parts: list[memoryview] = []
    behind = False
    for i, (name, at, length) in enumerate(png_chunks(view)):
        content = view[at : at + length]
        if (name == b"IHDR") != (i == 0) or not _is_sound(name, content, view[at - 4 : at + length + 4]):
            return None
        if name == b"IDAT":
            if behind:  # what comes behind another chunk is no part of the stream
                return None
            parts.append(content)
        behind = behind or (bool(parts) and name != b"IDAT")
    return b"".join(parts)


def _is_sound(name: bytes, content: memoryview, summed: memoryview) -> bool:
    """Whether a chunk is one of those known here, as Pillow takes it; the checksum of one that pixels need was looked at."""
    known, length = _LEAST.get(name), len(content)
    if known is None or not known <= length <= _MOST.get(name, length) or (name == b"PLTE" and length % 3):
        return False
    if not name[0] & 0x20:
        return True
    return inflater().crc32(summed[:-4]) == int.from_bytes(summed[-4:], "big") and (name != b"iCCP" or _is_profile(content))


def _is_profile(content: memoryview) -> bool:
    """Whether a colour profile is packed in the only way there is, and is no bomb."""
    _, _, packed = bytes(content).partition(b"\0")
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(packed[1:], _PROFILE)
    except zlib.error:
        return False
    return packed[:1] == b"\0" and not inflate.unconsumed_tail


def _inflated(packed: bytes, needed: int, whole: bool) -> bytes | None:
    """The first bytes that a stream holds, and no more of it where it should end with them; None where it does not."""
    if len(packed) < 2 or packed[0] >> 4 > 7 or packed[1] & 0x20:  # a window, or a dictionary, that zlib refuses and ISA-L passes over
        return None
    inflate = inflater()
    stream = inflate.decompressobj()
    try:
        out = stream.decompress(packed, needed + whole)  # one byte more: it ends, and its checksum is looked at, or it is too long
    except (zlib.error, inflate.error):
        return None
    return out if len(out) == needed and (stream.eof or not whole) else None
