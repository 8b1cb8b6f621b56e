"""The idx format of MNIST and its relatives: a magic number, the sizes, then the numbers, all big-endian."""

from __future__ import annotations

import io
import math
import os
import struct
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from gzip import BadGzipFile, GzipFile
from typing import BinaryIO

import numpy as np

from vdata.errors import DecodeError, TruncatedShardError
from vdata.files import MAX_MEMBER, Files

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_locks: dict[int, threading.Lock] = {}  # of each process: another thread may hold it while this one is forked
_unpacked: OrderedDict[tuple[int, str, str], bytes] = OrderedDict()  # of this process; the latest two


@dataclass(frozen=True)
class Idx:
    """What the head of the file says."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int  # byte of the first number


def head(files: Files, path: str) -> Idx:
    """DecodeError unless the file is exactly as long as its head says. One that ends in ".gz" is unpacked in memory."""
    with _opened(files, path) as file:
        magic = file.read(4)
        code = _DTYPES.get(magic[2]) if len(magic) == 4 and magic[:2] == b"\0\0" else None
        if code is None or not 1 <= magic[3] <= 3:
            raise DecodeError(f"{path} is no idx file: it begins with {magic.hex(' ')}", url=files.url, byte=0)
        sizes = file.read(4 * magic[3])
        length = file.seek(0, os.SEEK_END)
    start = 4 + 4 * magic[3]
    shape = struct.unpack(f">{len(sizes) // 4}I", sizes[: len(sizes) // 4 * 4])
    dtype = np.dtype(code)
    if len(shape) != magic[3] or start + math.prod(shape) * dtype.itemsize != length:
        raise DecodeError(
            f"{path} has {length} bytes, which does not fit its head: {dtype.name} {list(shape)}", url=files.url, byte=4
        )
    return Idx(dtype, shape, start)


def array(files: Files, path: str) -> np.ndarray:
    """All numbers of the file, in the machine's byte order."""
    found = head(files, path)
    data = part(files, path, found.start, math.prod(found.shape) * found.dtype.itemsize)
    return np.frombuffer(data, found.dtype).astype(found.dtype.newbyteorder("=")).reshape(found.shape)


def part(files: Files, path: str, start: int, size: int) -> bytes:
    """Some bytes of the file; of a ".gz", of what it unpacks to."""
    if not path.endswith(".gz"):
        return files.read(path, start, size)
    data = _content(files, path)[start : start + size]
    if len(data) < size:
        raise DecodeError(f"{path} ends before byte {start + size}", url=files.url)
    return data


def write(values: np.ndarray) -> bytes:
    """The file's bytes.

    >>> write(np.array([7, 8], np.uint8)).hex(" ")
    '00 00 08 01 00 00 00 02 07 08'
    """
    code = next(c for c, name in _DTYPES.items() if np.dtype(name).newbyteorder("=") == values.dtype)
    shape = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, code, values.ndim]) + shape + values.astype(_DTYPES[code]).tobytes()


def _opened(files: Files, path: str) -> BinaryIO:
    return io.BytesIO(_content(files, path)) if path.endswith(".gz") else files.open(path)


def _content(files: Files, path: str) -> bytes:
    """What a gzipped file unpacks to. There is no way to its middle but from its beginning, so the latest are kept."""
    key = (os.getpid(), files.url, path)
    with _locks.setdefault(os.getpid(), threading.Lock()):
        if key not in _unpacked:
            while len(_unpacked) >= 2:
                _unpacked.popitem(last=False)
            _unpacked[key] = _gunzipped(files, path)
        _unpacked.move_to_end(key)
        return _unpacked[key]


def _gunzipped(files: Files, path: str) -> bytes:
    try:
        with files.open(path) as file:
            data = GzipFile(fileobj=file).read(MAX_MEMBER + 1)
    except (EOFError, BadGzipFile, zlib.error) as error:
        raise TruncatedShardError(
            f"{path} is cut or damaged: {error}", url=files.url, do="download it again"
        ) from error
    if len(data) > MAX_MEMBER:
        raise DecodeError(f"{path} unpacks to more than {MAX_MEMBER >> 20} MiB", url=files.url)
    return data
