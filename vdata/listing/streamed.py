"""A compressed archive in its own order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from vdata.errors import NoIndexError, ShardError
from vdata.files import Files, Layers, Moved, Scanned, tar_members, unchanged
from vdata.files.base import in_memory, part
from vdata.find import unindexed
from vdata.listing.records import Check, Reader, listed
from vdata.source import Sample, Stream, digest_of
from vdata.table import Table

_PIECE = 1 << 16
MAX_WAITING = 1 << 30  # bytes of samples of which some files have come and others not


class ArchiveStream(Stream):
    """Samples in the order in which their files lie in a compressed archive that has no seek index.

    Its first pass reads the names and the annotations, so that everything missing is known beforehand; the second
    hands out samples, each when the last of its files has come.
    """

    def __init__(self, check: Check, reader: Reader):
        self.check, self.reader = check, reader
        self.name = check.dataset.card.name
        self.fields = check.dataset.card.fields_of(check.split)
        loose = list(unindexed(reader.files))  # type: ignore[arg-type]
        names = ", ".join(s.url.rpartition("/")[2] for s in loose)
        self.why = f"{names} is compressed as a whole: {loose[0].why}"
        contents = [fingerprint(s.path) for s in loose]
        self.digest = digest_of(self.name, check.split, sorted(check.options.items()), contents)

    def records(self) -> Table:
        """All samples that there are, after the first pass."""
        table, _ = listed(self.check.dataset, self.reader.files, self.check.split, self.check.options)
        return self.check(table)

    def read_from(self, start: int) -> Iterator[Sample]:
        table = self.records()
        owners: dict[str, list[int]] = {}  # a file -> the samples that wait for it
        left = np.zeros(len(table), np.int64)
        sources: dict[str, tuple[Scanned, Moved | None]] = {}
        for row, _, path in table.files():
            archive, moved = _holder(self.reader.files, path)
            if archive is not None and archive.is_loose(moved.inner(path) if moved else path):
                sources[archive.url] = archive, moved
                owners.setdefault(path, []).append(row)
                left[row] += 1
        if len(sources) > 1:
            raise NoIndexError(f"{' and '.join(sources)} cannot be read side by side: `vdata index {self.name}` first")
        at_once = ((row, self.reader) for row in np.flatnonzero(left == 0).tolist())  # none of their files lies in it
        later = (self._came(*place, owners, left) for place in sources.values())
        for number, (row, reader) in enumerate(chain(at_once, *later)):
            if number >= start:
                yield reader(table[row])

    def _came(
        self, archive: Scanned, moved: Moved | None, owners: dict[str, list[int]], left: np.ndarray
    ) -> Iterator[tuple[int, Reader]]:
        """Rows whose last file has come out of the archive, each with a reader over what came."""
        inner = {(moved.inner(path) if moved else path): path for path in owners}
        waiting: dict[int, dict[str, bytes]] = {}
        held = 0
        changed = "the archive changed since it was listed"
        if not unchanged(archive.stamps()):
            raise ShardError(changed, url=archive.url, do="load the dataset again")
        for name, data in tar_members(archive.path, inner.__contains__):
            path = inner.pop(name, None)
            if path is None:
                continue  # a name twice in an archive: the first counts
            for row in owners.pop(path):
                waiting.setdefault(row, {})[path] = data
                held += len(data)
                left[row] -= 1
                if not left[row]:
                    came = waiting.pop(row)
                    held -= sum(map(len, came.values()))
                    yield row, replace(self.reader, files=_Come(came, self.reader.files))
            if held > MAX_WAITING:
                raise NoIndexError(f"files of one sample lie too far apart in {archive.url}: `vdata index {self.name}` first")
        if owners or not unchanged(archive.stamps()):
            raise ShardError(changed, url=archive.url, do="load the dataset again")


def fingerprint(path: str) -> str:
    """Stands for an archive's content without reading all of it: its size, its beginning and its end."""
    with open(path, "rb") as file:
        head = file.read(_PIECE)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _PIECE))
        return f"{size} {hashlib.blake2b(head + file.read(), digest_size=8).hexdigest()}"


def _holder(files: Files, path: str) -> tuple[Scanned | None, Moved | None]:
    """The compressed archive that holds the file, and under which names, if one does and no other place."""
    for layer in files.layers:  # type: ignore[attr-defined]
        if path in layer:
            moved = layer if isinstance(layer, Moved) else None
            inner = moved.files if moved else layer
            return (inner, moved) if isinstance(inner, Scanned) else (None, None)
    return None, None


class _Come(Layers):
    """Files of which some have come out of the archive already."""

    def __init__(self, came: Mapping[str, bytes], files: Files):
        super().__init__([files])
        self._came = came

    def __contains__(self, path: str) -> bool:
        return path in self._came or super().__contains__(path)

    def holds(self, path: str) -> bool:
        return path in self._came or super().holds(path)

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        return part(self._came[path], start, size, path, self.url) if path in self._came else super().read(path, start, size)

    def open(self, path: str):
        return in_memory(self._came[path]) if path in self._came else super().open(path)
