"""The manifest's per-sample columns while they grow: compact arrays, one entry a sample and field.

A field may turn up late (a folder where some pictures have a mask): the rows before it are filled as absent.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vdata.errors import ShardError
from vdata.field import Field
from vdata.shards.tar import BLOCK, Member

ABSENT = 0xFFFFFFFF  # the size of a field that this sample lacks
MAX_FIELDS = 256
MAX_SUFFIXES = 256


class Shard(NamedTuple):
    """One row of the manifest: a shard's name relative to the manifest, its samples, its bytes."""

    name: str
    samples: int
    bytes: int


class Part(NamedTuple):
    """One field of one sample as found in a shard."""

    suffix: str
    member: Member
    crc: int = 0


class _Column:
    """What is kept of one field: four numbers a sample."""

    def __init__(self) -> None:
        self.suffixes: list[str] = []
        self.start, self.size, self.crc, self.which = array("I"), array("I"), array("I"), array("B")

    def fill(self, rows: int) -> None:
        """Mark the field as absent up to row `rows`."""
        missing = rows - len(self.size)
        self.start.extend([0] * missing)
        self.size.extend([ABSENT] * missing)
        self.crc.extend([0] * missing)
        self.which.extend([0] * missing)

    def append(self, first: int, part: Part) -> None:
        if part.suffix not in self.suffixes:
            self.suffixes.append(part.suffix)
        self.start.append((part.member.offset - first) // BLOCK)
        self.size.append(part.member.size)
        self.crc.append(part.crc)
        self.which.append(self.suffixes.index(part.suffix))


class Rows:
    """Samples in the order of the shards; `finish` gives what a Manifest is made of."""

    def __init__(self, fields: Mapping[str, Field] | None = None, *, checksums: bool):
        self.given, self.checksums = fields, checksums
        self.found = {name: _Column() for name in fields or {}}
        self.shards: list[Shard] = []
        self.count = self._counted = 0
        self.offset, self.key_end, self.keys = array("Q"), array("Q", [0]), bytearray()
        self.columns: dict[str, list[int | float]] = {}

    def add(self, key: str, parts: Mapping[str, Part], columns: Mapping[str, int | float] | None = None) -> None:
        """The next sample of the shard under way. Every sample has the same `columns`."""
        first = min(part.member.header for part in parts.values())
        for name, part in parts.items():
            if part.member.size >= ABSENT:
                raise ShardError(
                    f"{part.member.size} bytes in one file",
                    key=key,
                    field=name,
                    do="split it: a file in a shard is below 4 GiB",
                )
            column = self.found.setdefault(name, _Column())
            column.fill(self.count)
            column.append(first, part)
            if len(self.found) > MAX_FIELDS or len(column.suffixes) > MAX_SUFFIXES:
                raise ShardError(
                    f"more than {MAX_FIELDS} different extensions", key=key, field=name,
                    do="the extension begins at the first dot of a file's name: take the dots out of the keys",
                )  # fmt: skip
        for name, value in (columns or {}).items():
            self.columns.setdefault(name, []).append(value)
        self.offset.append(first)
        self.keys += key.encode()
        self.key_end.append(len(self.keys))
        self.count += 1

    def end_shard(self, name: str, size: int) -> None:
        """The samples added since the last call are those of this shard."""
        self.shards.append(Shard(name, self.count - self._counted, size))
        self._counted = self.count

    def finish(self) -> dict[str, Any]:
        """The parts of a Manifest, by the names of its arguments."""
        for column in self.found.values():
            column.fill(self.count)
        sizes = self._matrix("size", "<u4")
        wide = len(self.keys) > 0xFFFFFFFF
        mixed = any(len(column.suffixes) > 1 for column in self.found.values())
        return {
            "shards": tuple(self.shards),
            "fields": {
                name: self._field(name, bool((sizes[:, i] == ABSENT).any())) for i, name in enumerate(self.found)
            },
            "suffixes": {name: tuple(column.suffixes) for name, column in self.found.items()},
            "offset": np.array(self.offset, "<u8"),
            "key_offset": np.array(self.key_end, "<u8" if wide else "<u4"),
            "start": self._matrix("start", "<u4"),
            "sizes": sizes,
            "crc": self._matrix("crc", "<u4") if self.checksums else None,
            "which": self._matrix("which", "|u1") if mixed else None,
            "key_blob": np.frombuffer(bytes(self.keys), np.uint8),
            "columns": {name: _scalars(values) for name, values in self.columns.items()},
        }

    def _matrix(self, what: str, dtype: str) -> np.ndarray:
        """One of the four numbers of all fields: [N, F]."""
        matrix = np.zeros((self.count, len(self.found)), dtype)
        for i, column in enumerate(self.found.values()):
            matrix[:, i] = {"start": column.start, "size": column.size, "crc": column.crc, "which": column.which}[what]
        return matrix

    def _field(self, name: str, missing: bool) -> Field:
        field = (self.given or {}).get(name, Field())
        suffixes = self.found[name].suffixes
        suffix = suffixes[0] if len(suffixes) == 1 else ""
        return dataclasses.replace(field, suffix=suffix, optional=field.optional or missing)


def _scalars(values: list[int | float]) -> np.ndarray:
    return np.array(values, "<i8" if all(isinstance(value, (int, np.integer)) for value in values) else "<f8")
