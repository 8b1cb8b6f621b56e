"""JPEGs that can be begun at any row of blocks: a restart marker after each, and where each begins written in the file.

`with_rows` makes a baseline JPEG such a file without loss: coefficients, tables and colours stay, only the first DC of each component in a row
is written anew, since a restart forgets the one before (ITU-T T.81, F.1.1.5.1). What it needs of the Huffman code it reads with
tables over 16 bits; nothing is dequantised. `sliced` makes of such a file one that has only the rows of a window, so that a
decoder reads neither what is above nor what is below. A JPEG of which this cannot be made keeps its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from vdata.codecs.header import ROWS, Header, Window

_MOST_ROWS = 16_000  # of blocks: what a segment of 64 KiB can list


def sliced(data: bytes | memoryview, head: Header, window: Window) -> tuple[bytes | memoryview, Header, Window]:
    """The file, its header and the window in the stored frame; of a file that lists its rows only those that the window needs.

    One row more on each side, since pixels at a border are made with those beyond.
    """
    if not head.listed:
        return data, head, window
    starts = _starts(data, head)
    top, left, height, width = window
    first, last = max(0, top // head.rows - 1), min(len(starts), -(-(top + height) // head.rows) + 1)
    if not starts or last - first == len(starts) or not _marked(data, starts, first, last):
        return data, head, window
    end = starts[last] - 2 if last < len(starts) else len(data)
    rows = min(head.height, last * head.rows) - first * head.rows
    out = bytearray(data[: starts[0]])
    out[head.frame + 5 : head.frame + 7] = rows.to_bytes(2, "big")
    move = len(out) - starts[first]
    out += data[starts[first] : end]
    for number, start in enumerate(starts[first + 1 : last]):  # markers are numbered from the first row on
        out[start + move - 1] = 0xD0 + number % 8
    out += b"\xff\xd9"
    return bytes(out), replace(head, height=rows, listed=0), (top - first * head.rows, left, height, width)


def _starts(data: bytes | memoryview, head: Header) -> list[int]:
    """The byte at which each row of blocks begins; none if the list is not that of this file."""
    (length,) = struct.unpack_from(">H", data, head.listed - 2)
    count = (length - 2 - len(ROWS)) // 4
    rows = -(-head.height // head.rows) if head.rows else 0
    if count != rows or (length - 2 - len(ROWS)) % 4:
        return []
    starts = list(struct.unpack_from(f">{count}I", data, head.listed + len(ROWS)))
    return starts if starts and all(a < b for a, b in zip(starts, [*starts[1:], len(data)])) else []


def _marked(data: bytes | memoryview, starts: list[int], first: int, last: int) -> bool:
    """Whether the markers are where the list says: a tool that rewrote the file may have moved them."""
    return all(bytes(data[starts[r] - 2 : starts[r]]) == bytes((0xFF, 0xD0 + (r - 1) % 8)) for r in range(max(1, first), min(last, len(starts) - 1) + 1))


def with_rows(data: bytes | memoryview) -> bytes:
    """The JPEG with a restart marker after every row of blocks and a list of them; as it is where that cannot be done without loss
    (progressive, several scans, markers already, a Huffman code without the symbol that is needed, damage)."""
    data = bytes(data)
    try:
        scan = _Scan(data)
        return _written(data, scan, scan.rows())
    except (_Other, struct.error, IndexError, KeyError):
        return data


class _Other(Exception):
    """Not a file that this is done to."""


@dataclass(frozen=True)
class _Component:
    blocks: int  # in an MCU
    dc: list[int]  # 16 bits ahead -> bits of the code << 8 | bits of the number
    ac: list[int]  # 16 bits ahead -> bits of both << 8 | coefficients that are passed
    codes: dict[int, tuple[int, int]]  # bits of a number -> DC code, its length


@dataclass(frozen=True)
class _First:
    """The first DC of a component in a row: where it is written, and its value."""

    start: int
    stop: int
    value: int
    codes: dict[int, tuple[int, int]]


class _Scan:
    """The entropy coded part of a baseline JPEG of one interleaved scan."""

    def __init__(self, data: bytes):
        tables: dict[int, tuple[bytes, bytes]] = {}
        frame = b""
        for marker, at, length in _segments(data):
            if marker == 0xC4:
                _huffman(data[at : at + length], tables)
            elif marker == 0xC0:
                frame, self.frame = data[at : at + length], at - 4
            elif marker == 0xDD or 0xC1 <= marker <= 0xCF:
                raise _Other
            elif marker == 0xDA:
                self.sos, self.begin = at - 4, at + length
                break
        else:
            raise _Other
        height, width, count = struct.unpack_from(">HHB", frame, 1)
        picks = data[self.sos + 5 : self.sos + 5 + 2 * count]
        if not count or data[self.sos + 4] != count or height < 1:
            raise _Other
        parts = [frame[6 + 3 * i : 9 + 3 * i] for i in range(count)]
        if bytes(p[0] for p in parts) != picks[::2]:
            raise _Other
        across, down = max(p[1] >> 4 for p in parts), max(p[1] & 15 for p in parts)
        if count == 1:
            across = down = 1  # a lone component has one block in an MCU, whatever its sampling says
        self.mcus, self.count = -(-width // (8 * across)), -(-height // (8 * down))
        self.components = []
        for part, pick in zip(parts, picks[1::2], strict=True):
            dc, ac = tables[pick >> 4], tables[0x10 | (pick & 15)]
            blocks = (part[1] >> 4) * (part[1] & 15) if count > 1 else 1
            self.components.append(_Component(blocks, _dc_table(*dc), _ac_table(*ac), _codes(*dc)))
        self.end = data.rfind(b"\xff\xd9")
        coded = data[self.begin : self.end]
        raw = coded.replace(b"\xff\x00", b"\xff")
        if self.end < self.begin or coded.count(b"\xff") != coded.count(b"\xff\x00") or self.count > _MOST_ROWS:
            raise _Other
        self.bits = 8 * len(raw)
        self.raw = np.frombuffer(raw, np.uint8)
        padded = np.concatenate([self.raw, np.full(4, 255, np.uint8)]).astype(np.int64)
        self._ahead = (padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]).tolist()  # 24 bits from every byte on

    def rows(self) -> list[tuple[list[_First], int]]:
        """Of every row of MCUs the first DC of each component, and the bit behind the row."""
        ahead, at, out = self._ahead, 0, []
        before = [0] * len(self.components)
        for _ in range(self.count):
            firsts: list[_First] = []
            for mcu in range(self.mcus):
                for c, part in enumerate(self.components):
                    dc, ac = part.dc, part.ac
                    for block in range(part.blocks):
                        start = at
                        entry = dc[(ahead[at >> 3] >> (8 - (at & 7))) & 0xFFFF]
                        if not entry:
                            raise _Other
                        size = entry & 255
                        at += entry >> 8
                        if size:
                            value = (ahead[at >> 3] >> (8 - (at & 7)) & 0xFFFF) >> (16 - size)
                            before[c] += value if value >> (size - 1) else value - (1 << size) + 1
                            at += size
                        if not mcu and not block:
                            firsts.append(_First(start, at, before[c], part.codes))
                        k = 1
                        while k < 64:
                            entry = ac[(ahead[at >> 3] >> (8 - (at & 7))) & 0xFFFF]
                            if not entry:
                                raise _Other
                            at += entry >> 8
                            k += entry & 255
            out.append((firsts, at))
        if not self.bits - 8 < at <= self.bits:  # more, or less, than the frame says
            raise _Other
        return out


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, first byte, length) of the contents of each segment up to the first scan's."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise _Other
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, at + 4, length - 2
        at += 2 + length


def _huffman(content: bytes, tables: dict[int, tuple[bytes, bytes]]) -> None:
    while content:
        counts = content[1:17]
        stop = 17 + sum(counts)
        tables[content[0]] = counts, content[17:stop]
        content = content[stop:]


def _codes(counts: bytes, symbols: bytes) -> dict[int, tuple[int, int]]:
    """Symbol -> (code, its length): ITU-T T.81, annex C."""
    out, code, at = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for symbol in symbols[at : at + count]:
            out[symbol] = code, length
            code += 1
        at += count
        code <<= 1
    return out


def _table(entries: Iterator[tuple[tuple[int, int], int]]) -> list[int]:
    table = np.zeros(1 << 16, np.int64)
    for (code, length), entry in entries:
        table[code << (16 - length) : (code + 1) << (16 - length)] = entry
    return table.tolist()


@lru_cache(16)  # nearly all files have the tables of the standard's annex K
def _dc_table(counts: bytes, symbols: bytes) -> list[int]:
    return _table((code, code[1] << 8 | size) for size, code in _codes(counts, symbols).items() if size < 16)


@lru_cache(16)
def _ac_table(counts: bytes, symbols: bytes) -> list[int]:
    # Size 0 ends the block (64 passes it whatever stood before), but for a run of 15: sixteen zeros.
    codes = _codes(counts, symbols).items()
    return _table((code, (code[1] + (s & 15)) << 8 | (64 if not s & 15 and s != 0xF0 else (s >> 4) + 1)) for s, code in codes)


def _written(data: bytes, scan: _Scan, rows: list[tuple[list[_First], int]]) -> bytes:
    bits = np.unpackbits(scan.raw)
    coded, begin = [], 0
    for number, (firsts, stop) in enumerate(rows):
        parts = [bits[begin:stop]] if not number else []
        for first, following in zip(firsts, [*firsts[1:], None], strict=True) if number else ():
            parts += [_number(first), bits[first.stop : stop if following is None else following.start]]
        row = np.concatenate(parts)
        padding = np.ones(-len(row) % 8, np.uint8)
        coded.append(np.packbits(np.concatenate([row, padding])).tobytes().replace(b"\xff", b"\xff\x00"))
        begin = stop
    listed = b"\xff\xe9" + struct.pack(">H", 2 + len(ROWS) + 4 * len(coded))
    interval = b"\xff\xdd" + struct.pack(">HH", 4, scan.mcus)
    before, after = data[: scan.frame], data[scan.frame : scan.sos] + interval + data[scan.sos : scan.begin]
    start = len(before) + len(listed) + len(ROWS) + 4 * len(coded) + len(after)
    starts = start + np.cumsum([0, *(len(row) + 2 for row in coded[:-1])])
    body = b"".join(row + bytes((0xFF, 0xD0 + i % 8)) for i, row in enumerate(coded[:-1])) + coded[-1]
    return before + listed + ROWS + struct.pack(f">{len(coded)}I", *starts.tolist()) + after + body + data[scan.end :]


def _number(first: _First) -> np.ndarray:
    """A DC and its code as bits."""
    value = first.value
    size = abs(value).bit_length()
    if size not in first.codes:
        raise _Other
    code, length = first.codes[size]
    number = value if value >= 0 else value + (1 << size) - 1
    return np.array([*(code >> i & 1 for i in range(length - 1, -1, -1)), *(number >> i & 1 for i in range(size - 1, -1, -1))], np.uint8)
