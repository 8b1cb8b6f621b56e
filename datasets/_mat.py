"""Tiny MATLAB files for made-up data, as MATLAB writes them: version 5, each variable compressed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_NUMBERS = {"u1": (9, 2), "u2": (11, 4), "f8": (6, 9)}  # dtype -> class of the array, type of its element


def mat_file(path: Path, variables: Mapping[str, Any]) -> None:
    """Write arrays of uint8, uint16 or float64, text, lists (cell arrays) and lists of dicts (struct arrays)."""
    path.write_bytes(mat_bytes(variables))


def mat_bytes(variables: Mapping[str, Any]) -> bytes:
    head = b"MATLAB 5.0 MAT-file, made up by vdata".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return head + b"".join(_packed(_matrix(value, name)) for name, value in variables.items())


def _packed(matrix: bytes) -> bytes:
    data = zlib.compress(matrix)
    return struct.pack("<II", 15, len(data)) + data


def _element(kind: int, content: bytes) -> bytes:
    if 0 < len(content) <= 4 and kind != 14:
        return struct.pack("<HH", kind, len(content)) + content.ljust(4, b"\0")
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def _matrix(value: Any, name: str = "") -> bytes:
    if isinstance(value, str):
        kind, shape, inner = 4, (1, len(value)), _element(4, value.encode("utf-16-le"))
    elif isinstance(value, np.ndarray):
        kind, element = _NUMBERS[value.dtype.str[1:]]
        shape, inner = value.shape, _element(element, value.tobytes("F"))
    elif value and isinstance(value[0], dict):
        names = b"".join(field.encode().ljust(32, b"\0") for field in value[0])
        parts = [_matrix(part) for row in value for part in row.values()]
        fields = _element(5, struct.pack("<i", 32)) + _element(1, names)
        kind, shape, inner = 2, (1, len(value)), fields + b"".join(parts)
    else:
        kind, shape, inner = 1, (1, len(value)), b"".join(map(_matrix, value))
    flags = _element(6, struct.pack("<II", kind, 0))
    sizes = _element(5, struct.pack(f"<{len(shape)}i", *shape))
    return _element(14, flags + sizes + _element(1, name.encode()) + inner)
