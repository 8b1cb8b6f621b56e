"""NumPy's npy and npz files, read without numpy.load: no pickle, no eval, no more memory than the file says it has.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. An npy is read in place, so a
window copies only what lies in it.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdata.codecs.header import Window, check_window
from vdata.errors import DecodeError, UnsafeFormatError

MAX_NPZ_BYTES = 1 << 30  # of all members of one npz, unpacked
_MAX_HEAD = 10_000  # numpy's own limit for a header that it does not trust
_HEAD = re.compile(
    r"\{'descr': *(?:'([<>|=]?)([a-zA-Z])(\d*)'|(\[.*\])), *'fortran_order': *(True|False), *'shape': *"
    r"\(((?:\d{1,18},? *)*)\),? *\} *\n?"
)
_ITEM_BYTES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
# What zipfile raises on broken archives; it promises BadZipFile only.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
    OverflowError, LookupError,
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    start: int


def head(data: bytes | memoryview) -> Head:
    """The header, checked against the length of the file. DecodeError where broken, UnsafeFormatError for objects."""
    match, start = _header_text(data)
    if match is None or match[4]:
        raise DecodeError("the npy header is not that of one array of numbers", byte=10)
    order, letter, width, fortran, sizes = match[1], match[2], match[3], match[5] == "True", match[6]
    if letter == "O":
        raise UnsafeFormatError("an npy of Python objects is a pickle, which can run code", byte=10,
                                do="write the array again as numbers")  # fmt: skip
    if letter not in _ITEM_BYTES or not width or int(width) not in _ITEM_BYTES[letter]:
        raise DecodeError(f"an npy of dtype {letter + width} does not become a tensor", byte=10)
    shape = tuple(int(n) for n in re.findall(r"\d+", sizes))
    if len(shape) > 32:
        raise DecodeError(f"an npy of {len(shape)} dimensions", byte=10)
    needed = start + math.prod(shape) * int(width)
    if needed != len(data):
        told = f"the npy of shape {shape} needs {needed} bytes and has {len(data)}"
        raise DecodeError(told, byte=min(needed, len(data)))
    return Head(np.dtype((order if order in "<>" else "") + letter + width), shape, fortran, start)


def _header_text(data: bytes | memoryview) -> tuple[re.Match[str] | None, int]:
    start = bytes(data[:12])
    if start[:6] != b"\x93NUMPY":
        raise DecodeError(f"not an npy: it begins with {start[:6]!r}", byte=0)
    if len(start) < 12 or start[6] not in (1, 2, 3):
        raise DecodeError("the npy ends within its header or is of an unknown version", byte=6)
    begin = 10 if start[6] == 1 else 12
    length = int.from_bytes(start[8:begin], "little")
    if length > _MAX_HEAD or begin + length > len(data):
        raise DecodeError(f"the npy says that its header has {length} bytes", byte=8)
    return _HEAD.fullmatch(bytes(data[begin : begin + length]).decode("latin-1")), begin + length


def tensor(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """The array as a tensor of its own memory; of a window, the last two dimensions are (height, width)."""
    found = head(data)
    flat = np.frombuffer(data, found.dtype, math.prod(found.shape), found.start)
    try:
        array = flat.reshape(found.shape[::-1]).T if found.fortran else flat.reshape(found.shape)
    except ValueError as err:
        raise DecodeError(f"no array has the shape {found.shape} ({err})", byte=8) from err
    if window is not None:
        if array.ndim < 2:
            raise ValueError(f"an array of shape {found.shape} has no window")
        top, left, high, wide = check_window(window, *array.shape[-2:])
        array = array[..., top : top + high, left : left + wide]
    return torch.from_numpy(np.array(array, dtype=found.dtype.newbyteorder("="), order="C"))


def tensors(data: bytes | memoryview) -> dict[str, Tensor]:
    """The arrays of an npz by name. At most MAX_NPZ_BYTES are unpacked, whatever the archive says."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
            return {info.filename.removesuffix(".npy"): tensor(_unpacked(archive, info)) for info in members}
    except _BROKEN as err:
        raise DecodeError(f"the npz is broken ({err})") from err


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    total = sum(info.file_size for info in members)
    if total > MAX_NPZ_BYTES:
        raise DecodeError(f"the npz unpacks to {total} bytes, above the limit of {MAX_NPZ_BYTES}")
    if len({info.filename for info in members}) < len(members):
        raise DecodeError("the npz has two arrays of one name")
    for info in members:
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DecodeError(f"the npz member {info.filename!r} is encrypted or packed as numpy never packs")
    return members


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise DecodeError(f"the npz member {info.filename!r} does not have the {info.file_size} bytes that it should")
    return data


def write(array: np.ndarray) -> bytes:
    """The npy of an array, version 1.0 as numpy writes it."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    return out.getvalue()
