"""Where one can enter a compressed stream: gzip and bzip2, written once from start to end, read from the middle.

A point is a bit of the archive at which a block of the compressor begins, the byte of the plain stream that
this is, and, for gzip, the 32 KiB of plain bytes before it that the block may refer to (its window). Finding the points is
one pass over the archive, for gzip with the package `rapidgzip`. Reading from a point needs Python's `zlib` and
`bz2` only: every read has its own decoder, so threads and forked processes have nothing to share.
"""

from __future__ import annotations

import bz2
import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple, Protocol

from vdata.errors import ChecksumError, MissingPackageError, ShardError, TruncatedShardError
from vdata.files.base import AGAIN

Kind = Literal["gz", "bz2"]
WINDOW = 1 << 15
_SPACING = 1 << 19  # compressed bytes between two points of a gzip: decoding half of it costs about a millisecond
_STEP = 1 << 16
_DECODER_ERRORS = (ValueError, RuntimeError, OSError, IndexError, ArithmeticError)


class Point(NamedTuple):
    """plain: bytes of the plain stream before it; bit: where it is in the archive; window: compressed by zlib, or empty."""

    plain: int
    bit: int
    window: bytes


class Pass(Protocol):
    """One pass over an archive. `points` and the verification of the archive's end come after the last byte."""

    def read(self, size: int) -> bytes: ...
    def packed(self) -> int: ...
    def points(self) -> list[Point]: ...
    def close(self) -> None: ...


def kind_of(path: str) -> Kind:
    """ "gz" or "bz2", by the first bytes."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ShardError(f"cannot open the archive: {error.strerror}", url=path) from error
    if magic[:2] == b"\x1f\x8b":
        return "gz"
    if magic[:3] == b"BZh":
        return "bz2"
    raise ShardError(
        "neither gzip nor bzip2",
        url=path,
        do="check that this is the archive and not, say, a page that reports an error",
    )


def first_pass(path: str, kind: Kind) -> Pass:
    return _GzipPass(path) if kind == "gz" else _Bzip2Pass(path)


def plain_from(file: BinaryIO, kind: Kind, bit: int, window: bytes) -> Iterator[bytes]:
    """Plain bytes from a point to the end of the archive, in pieces; ShardError where they cannot be had."""
    pieces = _inflated(file, bit, window) if kind == "gz" else (data for _, data in _blocks(file, bit))
    try:
        yield from pieces
    except zlib.error as error:
        raise ShardError(f"a damaged gzip stream: {error}", byte=bit // 8, do=AGAIN) from error
    except ShardError as error:
        raise error.at(byte=bit // 8) from None


# -- gzip --------------------------------------------------------------------------------------------------------------


class _GzipPass:
    """rapidgzip compares sizes and CRC32s as it goes, but ends without a word where an archive is cut: `points` tells."""

    def __init__(self, path: str):
        try:
            import rapidgzip
        except ImportError as error:
            raise MissingPackageError(
                "an index of a gzip needs rapidgzip: pip install 'vdata-vision[datasets]'"
            ) from error
        self._path, self._read = path, 0
        self._format = rapidgzip.IndexFormat.GZTOOL
        self._file = rapidgzip.RapidgzipFile(path, parallelization=os.cpu_count() or 1, chunk_size=_SPACING)

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except _DECODER_ERRORS as error:
            raise _damaged(error, self._read) from error
        self._read += len(data)
        return data

    def packed(self) -> int:
        return self._file.tell_compressed() // 8

    def points(self) -> list[Point]:
        exported = io.BytesIO()
        try:
            self._file.export_index(exported, self._format)
        except _DECODER_ERRORS as error:
            raise _damaged(error, self._read) from error
        found = _gztool_points(exported.getvalue())
        self._expect_end(found[-1] if found else Point(0, 0, b""))
        return found

    def _expect_end(self, last: Point) -> None:
        """From the last point, Python's decoder reaches the end of a whole stream, and the same end."""
        with open(self._path, "rb") as file:
            rest = sum(len(piece) for piece in plain_from(file, "gz", last.bit, unpacked_window(last.window)))
        if last.plain + rest != self._read:
            raise TruncatedShardError(
                f"cut: {last.plain + rest} bytes to be had, but {self._read} came in one pass",
                byte=last.bit // 8,
                do=AGAIN,
            )

    def close(self) -> None:
        self._file.close()


def _damaged(error: Exception, plain: int) -> TruncatedShardError:
    return TruncatedShardError(f"cut or damaged after {plain} plain bytes: {error}", do=AGAIN)


def _gztool_points(exported: bytes) -> list[Point]:
    """The format of gztool: counts, then for each point its place and its window, big-endian."""
    count, at, found = struct.unpack_from(">Q", exported, 16)[0], 32, []
    for _ in range(count):
        plain, byte, bits, size = struct.unpack_from(">QQII", exported, at)
        at += 24
        found.append(Point(plain, byte * 8 - bits, exported[at : at + size]))
        at += size
    return found


def unpacked_window(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, WINDOW) if packed else b""


def _inflated(file: BinaryIO, bit: int, window: bytes) -> Iterator[bytes]:
    """Through all members of the file. The first is entered in its middle, unless `bit` is 0."""
    raw, bare = _aligned(file, bit), bit > 0
    decoder = zlib.decompressobj(-zlib.MAX_WBITS, zdict=window) if bare else zlib.decompressobj(16 + zlib.MAX_WBITS)
    while True:
        while not decoder.eof:
            raw = raw or _more(file)
            piece = decoder.decompress(raw, 16 * _STEP)
            raw = decoder.unconsumed_tail
            yield piece
        raw = decoder.unused_data
        while bare and len(raw) < 8:  # the checksum and size of a member that was entered in its middle
            raw += _more(file)
        raw = (raw[8:] if bare else raw) or file.read(_STEP)
        if not raw:
            return
        decoder, bare = zlib.decompressobj(16 + zlib.MAX_WBITS), False


def _more(file: BinaryIO) -> bytes:
    data = file.read(_STEP)
    if not data:
        raise TruncatedShardError("the gzip stream is cut", do=AGAIN)
    return data


def _aligned(file: BinaryIO, bit: int) -> bytes:
    """The stream from this bit on, for a decoder that starts at bytes only.

    Blocks that hold nothing are put before it, so many that its first bit comes to lie where it lay in its byte
    (stored blocks depend on that). A fixed Huffman block with nothing but its end has 10 bits, which serves even
    places; the shortest dynamic one here has 93.
    """
    byte, place = divmod(bit, 8)
    file.seek(byte)
    if place == 0:
        return _more(file)
    value, length = (_EMPTY_DYNAMIC, 93) if place % 2 else (0, 0)
    while length % 8 != place:
        value |= _EMPTY_FIXED << length
        length += 10
    data = _more(file)
    joined = value | (data[0] >> place << length)
    return joined.to_bytes(length // 8 + 1, "little") + data[1:]


_EMPTY_FIXED = 0b010
_EMPTY_DYNAMIC = 0x5AFFF90000000000901C004


# -- bzip2 -------------------------------------------------------------------------------------------------------------

_BLOCK, _END = 0x314159265359, 0x177245385090
_LONGEST = 1 << 21  # a block is 900 kB before its entropy code, which hardly ever lengthens it


class _Bzip2Pass:
    """Each block is a point and has a checksum, and each stream one of its blocks'; both are compared."""

    def __init__(self, path: str):
        self._file = open(path, "rb")  # noqa: SIM115
        self._blocks = _blocks(self._file, 0)
        self._points: list[Point] = []
        self._plain, self._rest = 0, memoryview(b"")

    def read(self, size: int) -> bytes:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            bit, data = block
            self._points.append(Point(self._plain, bit, b""))
            self._plain += len(data)
            self._rest = memoryview(data)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def packed(self) -> int:
        return self._points[-1].bit // 8 if self._points else 0

    def points(self) -> list[Point]:
        return self._points

    def close(self) -> None:
        self._file.close()


def _blocks(file: BinaryIO, bit: int) -> Iterator[tuple[int, bytes]]:
    """(bit, plain bytes) of every block from `bit` on, where a stream or a block begins, through all streams of the file."""
    checksum: int | None = None  # unknown where a stream is entered in its middle
    raw, began = _read_at(file, bit), bit % 8
    while raw:
        if bit % 8 == 0 and raw[:3] == b"BZh":
            bit, checksum = bit + 32, 0
        elif (magic := _bits(raw, began, 48)) == _BLOCK:
            own = _bits(raw, began + 48, 32)
            end = _next_magic(raw, began + 80)
            yield bit, _unpacked_block(_bits(raw, began, end - began), end - began, own)
            bit += end - began
            checksum = None if checksum is None else ((checksum << 1 | checksum >> 31) & 0xFFFFFFFF) ^ own
        elif magic == _END:
            if checksum not in (None, _bits(raw, began + 48, 32)):
                raise ChecksumError("a damaged bzip2 stream: its checksum differs", byte=bit // 8, do=AGAIN)
            bit = -(-(bit + 80) // 8) * 8
            header = _read_at(file, bit)[:4]
            if header and (header[:3] != b"BZh" or header[3] not in b"123456789"):
                raise ShardError("bytes after the end of the bzip2 stream", byte=bit // 8, do=AGAIN)
        else:
            raise ShardError("a damaged bzip2 stream: no block begins where one should", byte=bit // 8, do=AGAIN)
        raw, began = _read_at(file, bit), bit % 8


def _read_at(file: BinaryIO, bit: int) -> bytes:
    file.seek(bit // 8)
    return file.read(_LONGEST)


def _bits(raw: bytes, at: int, count: int) -> int:
    if at + count > 8 * len(raw):
        raise TruncatedShardError("the bzip2 stream is cut", do=AGAIN)
    first, last = at // 8, -(-(at + count) // 8)
    return int.from_bytes(raw[first:last], "big") >> (-(at + count) % 8) & ((1 << count) - 1)


def _inner(magic: int, place: int) -> bytes:
    """The five bytes of the magic that are whole if it begins at bit `place` of a byte."""
    return (magic << (8 - place)).to_bytes(7, "big")[1:6]


_INNER = [(magic, place, _inner(magic, place)) for magic in (_BLOCK, _END) for place in range(8)]


def _next_magic(raw: bytes, start: int) -> int:
    """The first bit from `start` on at which a block or the end of the stream begins."""
    nearest = 8 * len(raw)
    for magic, place, inner in _INNER:
        at = raw.find(inner, start // 8 + 1, nearest // 8 + 7)
        while at >= 0:
            bit = 8 * (at - 1) + place
            if start <= bit < nearest and bit + 48 <= 8 * len(raw) and _bits(raw, bit, 48) == magic:
                nearest = bit
                break
            at = raw.find(inner, at + 1, nearest // 8 + 7)
    if nearest == 8 * len(raw):
        raise TruncatedShardError("the bzip2 stream is cut or damaged: a block has no end", do=AGAIN)
    return nearest


def _unpacked_block(block: int, length: int, checksum: int) -> bytes:
    """One block, made a stream of its own: with one block, the stream's checksum is the block's."""
    whole = (block << 48 | _END) << 32 | checksum
    padding = -(length + 80) % 8
    try:
        return bz2.decompress(b"BZh9" + (whole << padding).to_bytes((length + 80 + padding) // 8, "big"))
    except (OSError, ValueError, EOFError) as error:
        raise ChecksumError(f"a damaged bzip2 block: {error}", do=AGAIN) from error
