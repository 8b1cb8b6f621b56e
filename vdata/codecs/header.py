"""What a file is and how large its picture is, from its first bytes: no pixel is decoded.

A transform draws its window from the size alone, so this runs once a sample on the hot path. The parsers
read bounded fields by hand; whatever they cannot follow is a `DecodeError` that names the byte.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vdata.errors import DecodeError

# Pillow warns above this and raises above twice this. Warning filters are global and not safe in threads,
# so the limit is checked on the header, before Pillow sees the file.
MAX_PIXELS = 178_956_970 // 2

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Start of frame: every C0..CF but the tables DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ROWS = b"vdata rows\0"  # what begins the segment APP9 of JPEGs that list them
_JPEG_ALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})  # markers without a length

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Header:
    """A picture's stored size, before its EXIF orientation (1 to 8) is applied; `depth`, `colour` as PNG has them.

    Of a JPEG: `frame`, the byte of its frame header; `rows`, how many rows of pixels a row of its blocks has; `usual`, whether
    it is as nearly all are (8 bits, Huffman, YCbCr), so that decoders agree on its pixels; `listed`, the byte at which it lists where
    its rows of blocks begin, 0 if it does not (see rows.py).
    """

    kind: str
    height: int
    width: int
    orientation: int = 1
    depth: int = 8
    colour: int = 2
    frame: int = 0
    rows: int = 0
    usual: bool = False
    listed: int = 0

    def size(self, orient: bool = True) -> tuple[int, int]:
        """(height, width) as delivered: orientations 5 to 8 swap the sides."""
        swap = orient and self.orientation >= 5
        return (self.width, self.height) if swap else (self.height, self.width)


def kind(data: bytes | memoryview) -> str:
    """What a file really is: "jpeg", "png", "webp", "ppm" (P5 or P6), "flo", "pfm", "npy", "gif", "bmp", "tiff", or "".

    >>> kind(b"P6 2 1 255 abcdef")
    'ppm'
    """
    start = bytes(data[:12])
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(PNG_SIGNATURE):
        return "png"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[:2] in (b"P5", b"P6") and start[2:3].isspace():
        return "ppm"
    if start[:2] in (b"PF", b"Pf") and start[2:3].isspace():
        return "pfm"
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if start[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    return {b"PIEH": "flo", b"\x93NUM": "npy"}.get(start[:4], "bmp" if start[:2] == b"BM" else "")


def of(holder: Any, data: bytes | memoryview) -> Header:
    """`read` of an object's data, done once and kept with it: sizes are asked before a window is decoded."""
    kept = vars(holder)
    if "_head" not in kept:
        kept["_head"] = read(data)
    return kept["_head"]


def read(data: bytes | memoryview) -> Header:
    """The header of a JPEG, PNG, WebP, GIF, BMP or TIFF. Raises DecodeError where there is none."""
    form = kind(data)
    if form not in _READERS:
        raise DecodeError(
            f"not a picture: it begins with {bytes(data[:8])!r}", byte=0,
            do="vdata reads JPEG, PNG, WebP, PPM, PGM, GIF, BMP and TIFF",
        )  # fmt: skip
    try:
        found = _READERS[form](memoryview(data))
    except (struct.error, IndexError) as err:
        raise DecodeError(f"the {form.upper()} ends within its header", byte=len(data)) from err
    if found.height < 1 or found.width < 1:
        raise DecodeError(f"the {form.upper()} says it is {found.width} x {found.height} pixels", byte=0)
    return found


def check_pixels(height: int, width: int) -> None:
    """Refuse a picture whose header asks for more memory than MAX_PIXELS pixels."""
    if height * width > MAX_PIXELS:
        raise DecodeError(f"a picture of {width} x {height} pixels is above the limit of {MAX_PIXELS}", byte=0)


def check_window(window: Window | None, height: int, width: int) -> Window:
    """The window as Python's own numbers, or the whole canvas where it is None. ValueError where it leaves the canvas."""
    if window is None:
        return 0, 0, height, width
    try:
        top, left, high, wide = map(operator.index, window)  # numpy's small ones would overflow in what is reckoned from them
    except (TypeError, ValueError) as err:
        raise TypeError(f"a window is four whole numbers, (top, left, height, width), not {window!r}") from err
    if min(top, left) < 0 or min(high, wide) < 1 or top + high > height or left + wide > width:
        told = f"the window (top, left, height, width) = {(top, left, high, wide)}"
        raise ValueError(f"{told} leaves the {height} x {width} picture")
    return top, left, high, wide


def png_chunks(data: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte of the content, length) of each chunk up to IEND; DecodeError where the file ends first."""
    at = len(PNG_SIGNATURE)
    name = b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise DecodeError("the PNG ends before its IEND chunk", byte=at)
        length, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise DecodeError(f"the PNG ends within its chunk {name!r} of {length} bytes", byte=at)
        yield name, at + 8, length
        at += 12 + length


def _png(data: memoryview) -> Header:
    length, name, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if (length, name) != (13, b"IHDR"):
        raise DecodeError("the PNG does not begin with an IHDR chunk of 13 bytes", byte=8)
    # The orientation may lie behind the pixels, so the walk goes on to the end; it reads 12 bytes a chunk.
    exif = [bytes(data[at : at + size]) for name, at, size in png_chunks(data) if name == b"eXIf"]
    return Header("png", height, width, _orientation(exif[-1]) if exif else 1, depth, colour)


def _jpeg(data: memoryview) -> Header:
    at, orientation, adobe, listed = 2, 1, 1, 0
    while True:
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:  # stray bytes between segments and fill bytes: libjpeg passes over both
            at += 1
            continue
        if marker in _JPEG_ALONE:
            at += 2
            continue
        if marker in (0xD9, 0xDA):
            raise DecodeError("the JPEG has no frame header before its pixels", byte=at)
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2:
            raise DecodeError(f"a JPEG segment of {length} bytes", byte=at + 2)
        if marker in _JPEG_FRAMES:
            depth, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            parts = bytes(data[at + 10 : at + 10 + 3 * components])
            rows = 8 * max((v & 15 for v in parts[1::3]), default=1) if components > 1 else 8
            usual = depth == 8 and marker <= 0xC2 and components == 3 and adobe == 1 and parts[::3] != b"RGB"
            return Header("jpeg", height, width, orientation, frame=at, rows=rows, usual=usual, listed=listed)
        if marker == 0xE9 and bytes(data[at + 4 : at + 4 + len(ROWS)]) == ROWS:
            listed = at + 4
        if marker == 0xEE and length >= 14 and bytes(data[at + 4 : at + 9]) == b"Adobe":
            adobe = data[at + 15]  # the transform: 1 is YCbCr
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0" and orientation == 1:
            orientation = _orientation(bytes(data[at + 10 : at + 2 + length]))
        at += 2 + length


def _webp(data: memoryview) -> Header:
    length, first = struct.unpack_from("<I", data, 4)[0] + 8, bytes(data[12:16])
    if length > len(data):
        raise DecodeError(f"the WebP says it has {length} bytes, but ends at {len(data)}", byte=len(data))
    if first == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise DecodeError("the WebP has no VP8 key frame", byte=23)
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", height & 0x3FFF, width & 0x3FFF)
    if first == b"VP8L":
        if data[20] != 0x2F:
            raise DecodeError("the WebP has no VP8L signature", byte=20)
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("webp", (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if first == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Header("webp", height, width, _webp_orientation(data[:length]))
    raise DecodeError(f"the WebP begins with the chunk {first!r}", byte=12)


def _webp_orientation(data: memoryview) -> int:
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            return _orientation(bytes(data[at + 8 : at + 8 + size]).removeprefix(b"Exif\0\0"))
        at += 8 + size + size % 2
    return 1


def _gif(data: memoryview) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header("gif", height, width)


def _bmp(data: memoryview) -> Header:
    (length,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", data, 18)
    return Header("bmp", abs(height), width)  # a negative height means that the top row comes first


def _tiff(data: memoryview) -> Header:
    tags = _ifd(data, {256, 257, 258, 274})
    if not {256, 257} <= tags.keys():
        raise DecodeError("the TIFF's first directory does not give a width and a height", byte=4)
    orientation = tags.get(274, 1)
    return Header("tiff", tags[257], tags[256], orientation if 1 <= orientation <= 8 else 1, tags.get(258, 1))


def _orientation(exif: bytes) -> int:
    """The orientation in an EXIF block; 1 (upright) where it has none or is broken: the pixels are sound without it."""
    if exif[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    try:
        value = _ifd(memoryview(exif), {274}).get(274, 1)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def _ifd(data: memoryview, wanted: set[int]) -> dict[int, int]:
    """The first integer (BYTE, SHORT or LONG) of each wanted tag in a TIFF's first directory."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, form, many = struct.unpack_from(order + "HHI", data, entry)
        if tag in wanted and form in (1, 3, 4):
            letter = {1: "B", 3: "H", 4: "I"}[form]
            fits = many * struct.calcsize(letter) <= 4
            where = entry + 8 if fits else struct.unpack_from(order + "I", data, entry + 8)[0]
            (tags[tag],) = struct.unpack_from(order + letter, data, where)
    return tags


_READERS = {"jpeg": _jpeg, "png": _png, "webp": _webp, "gif": _gif, "bmp": _bmp, "tiff": _tiff}
