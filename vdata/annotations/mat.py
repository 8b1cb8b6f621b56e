"""MATLAB's .mat files, version 5: numbers, text, cells and structs.

Read here, and not by scipy, whose reader follows cells within cells down to a crash of the whole process.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from vdata.errors import DecodeError
from vdata.files import Files

_MAX_UNPACKED = 64 << 20  # of all compressed variables of a file together
_MAX_DEPTH = 8
_HEADER = 128
_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32 = 14, 15, 1, 5, 6
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_CELL, _STRUCT, _TEXT = 1, 2, 4
_COMPLEX = 0x0800
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}

Element = tuple[int, memoryview]  # its type, and its content without the tag


def mat(files: Files, path: str, *names: str) -> tuple[Any, ...]:
    """Some variables of a .mat file, in the order asked for.

    Numbers are an array of their shape, text is a str, a cell array a list, a struct array a list of dicts. Inside
    cells and structs a single number is an int or a float. DecodeError where it is no such file, or lacks one of them.
    """
    data = files.read(path)
    try:
        found = _wanted(data, set(names))
    except DecodeError as error:
        what = f"{path} is no readable MATLAB file: {error.what}"
        raise DecodeError(what, url=files.url, do=error.do) from error
    lacking = [name for name in names if name not in found]
    if lacking:
        raise DecodeError(f"{path} has no variable {', '.join(lacking)}", url=files.url)
    return tuple(found[name] for name in names)


def _wanted(data: bytes, names: set[str]) -> dict[str, Any]:
    order = _byte_order(data)
    found: dict[str, Any] = {}
    room = _MAX_UNPACKED
    for kind, content in _elements(memoryview(data)[_HEADER:], order):
        if kind == _COMPRESSED:
            content = _unpacked(content, room)
            room -= len(content)
            kind, content = next(_elements(content, order))
        if kind != _MATRIX:
            raise DecodeError(f"a variable of the unknown type {kind}")
        name = _name(content, order)
        if name in names:
            found.setdefault(name, _value(content, order, 0))
    return found


def _byte_order(data: bytes) -> str:
    if data.startswith(b"MATLAB 7.3"):
        raise DecodeError("it is of version 7.3", do="write it again with MATLAB's save(..., '-v7')")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None or not data.startswith(b"MATLAB 5.0"):
        raise DecodeError("it does not begin as one of version 5 does")
    return order


def _unpacked(content: memoryview, room: int) -> memoryview:
    unpack = zlib.decompressobj()
    try:
        data = unpack.decompress(content, room + 1)
    except zlib.error as error:
        raise DecodeError(f"a damaged variable: {error}") from error
    if len(data) > room:
        raise DecodeError(f"it unpacks to more than {_MAX_UNPACKED >> 20} MiB")
    if not unpack.eof or len(data) < 8:
        raise DecodeError("a variable is cut")
    return memoryview(data)


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """One element after another, until the data ends."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise DecodeError("it ends within a tag")
        kind, size = struct.unpack_from(order + "II", data, at)
        start = at + 8
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise DecodeError(f"a small element of {size} bytes")
        if start + size > len(data):
            raise DecodeError(f"it ends within an element of {size} bytes")
        yield kind, data[start : start + size]
        at = start + size if kind == _COMPRESSED else start + size + -(start + size) % 8


def _name(matrix: memoryview, order: str) -> str:
    *_, (_, name) = _head(matrix, order)
    return bytes(name).decode("latin-1")


def _head(matrix: memoryview, order: str) -> list[Element]:
    """What every array begins with: flags, sizes and name."""
    head = list(islice(_elements(matrix, order), 3))
    if [kind for kind, _ in head] != [_UINT32, _INT32, _INT8] or len(head[0][1]) != 8:
        raise DecodeError("an array without flags, sizes and name")
    return head


def _value(matrix: memoryview, order: str, depth: int) -> Any:
    if not len(matrix):
        return np.zeros((0, 0))
    if depth > _MAX_DEPTH:
        raise DecodeError(f"arrays nested more than {_MAX_DEPTH} deep")
    flags, sizes, _ = _head(matrix, order)
    flag = int(_numbers(flags, order)[0])
    shape = tuple(_numbers(sizes, order).tolist())
    if len(shape) < 2 or min(shape) < 0:
        raise DecodeError(f"an array of the sizes {shape}")
    kind, parts = flag & 0xFF, islice(_elements(matrix, order), 3, None)
    if kind in _NUMBERS and not flag & _COMPLEX:
        values = _numbers(_only(parts), order)
        if len(values) != math.prod(shape):
            raise DecodeError(f"an array of the sizes {shape} with {len(values)} numbers")
        return values.astype(_NUMBERS[kind]).reshape(shape, order="F")
    if kind == _TEXT:
        return _text(_only(parts), shape, order)
    if kind == _CELL:
        return _inside(parts, math.prod(shape), order, depth)
    if kind == _STRUCT:
        return _struct(parts, math.prod(shape), order, depth)
    raise DecodeError(f"an array of class {kind}{' of complex numbers' * bool(flag & _COMPLEX)}, which is not read")


def _only(parts: Iterator[Element]) -> Element:
    found = list(parts)
    if len(found) != 1:
        raise DecodeError(f"an array with {len(found)} lists of values")
    return found[0]


def _numbers(element: Element, order: str) -> np.ndarray:
    kind, content = element
    if kind not in _STORED:
        raise DecodeError(f"numbers of the unknown type {kind}")
    dtype = np.dtype(order + _STORED[kind])
    if len(content) % dtype.itemsize:
        raise DecodeError(f"{len(content)} bytes are no whole number of {dtype.name}")
    return np.frombuffer(content, dtype)


def _text(element: Element, shape: tuple[int, ...], order: str) -> str:
    kind, content = element
    if math.prod(shape[:1] + shape[2:]) > 1 or kind not in _ENCODINGS:
        raise DecodeError(f"text of the sizes {shape} and type {kind}, which is not read")
    encoding = _ENCODINGS[kind]
    if encoding == "utf-16":
        encoding += "-le" if order == "<" else "-be"
    try:
        return bytes(content).decode(encoding)
    except UnicodeDecodeError as error:
        raise DecodeError(f"text that is not {encoding}: {error.reason}") from error


def _struct(parts: Iterator[Element], count: int, order: str, depth: int) -> list[dict[str, Any]]:
    lengths, names = next(parts, (0, memoryview(b""))), next(parts, (0, memoryview(b"")))
    length = _numbers(lengths, order).tolist() if lengths[0] == _INT32 else []
    if len(length) != 1 or length[0] < 1 or names[0] != _INT8 or len(names[1]) % length[0]:
        raise DecodeError("a struct without the names of its fields")
    raw = bytes(names[1])
    fields = [raw[i : i + length[0]].partition(b"\0")[0].decode("latin-1") for i in range(0, len(raw), length[0])]
    values = _inside(parts, count * len(fields), order, depth)
    return [dict(zip(fields, values[i : i + len(fields)])) for i in range(0, len(values), len(fields) or 1)]


def _inside(parts: Iterator[Element], count: int, order: str, depth: int) -> list[Any]:
    """The arrays of which a cell array or struct array consists."""
    values = []
    for kind, content in parts:
        if kind != _MATRIX:
            raise DecodeError(f"an array that holds an element of type {kind}")
        value = _value(content, order, depth + 1)
        values.append(value.item() if isinstance(value, np.ndarray) and value.size == 1 else value)
    if len(values) != count:
        raise DecodeError(f"an array of {count} parts that holds {len(values)}")
    return values
