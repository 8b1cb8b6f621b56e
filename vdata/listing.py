"""From a dataset's file (`samples`, `sample`) and its files on disk to a `Source` or `Stream`.

    samples(files, split, **options)     what should be there: one record a sample, its files named, none opened
    sample(files, record, **options)     one record to a sample: bytes not yet decoded

The records are checked here, for all datasets alike: every file that a record names must be there, and a split must
have the samples that its card says. They are kept on disk as a table, so that the second `load` lists nothing.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vdata.card import Card
from vdata.errors import DataError, DataWarning, NoIndexError, ShardError
from vdata.field import Field
from vdata.files import Files, Layers, Moved, Scanned, kept, tar_members
from vdata.files.base import in_memory, part
from vdata.find import unindexed
from vdata.source import Listed, Sample, Source, Stream, digest_of
from vdata.table import Table

MAX_WAITING = 1 << 30  # bytes of samples of which some files have come and others not
_LACKS = "__lacks__"


@dataclass(frozen=True)
class Dataset:
    """A dataset's file as the catalogue uses it. `module` gives it anew: workers find it by themselves."""

    module: Callable[[], Any]

    @property
    def card(self) -> Card:
        return self.module().card

    @property
    def version(self) -> str:
        """Changes with the file and those beside it that it may share: what another version listed is listed again."""
        own = Path(inspect.getfile(self.module()))
        files = [own, *sorted(own.parent.glob("_*.py"))]
        return hashlib.blake2b(b"".join(path.read_bytes() for path in files), digest_size=8).hexdigest()

    def count(self, split: str, options: Mapping[str, Any]) -> int | None:
        """How many samples were published: the card's number, unless the file has a `count` of its own."""
        own = getattr(self.module(), "count", None)
        return self.card.splits[split] if own is None else own(split, **options)


def source_of(
    dataset: Dataset, files: Layers, split: str, options: Mapping[str, Any], *, strict: bool = True, counted: bool = True
) -> Source | Stream:
    """The samples of a split.

    strict   a record without one of its files, or too few records, raises; else both are left out with a DataWarning
    counted  whether the number of samples is compared with the card's
    """
    check = _Check(dataset, split, options, strict, counted, files.url)
    read = Reader(dataset, files, dict(options))
    if list(unindexed(files)):
        return ArchiveStream(check, read)
    name = f"{dataset.card.name} {dataset.version} {split} {sorted(options.items())} {files.url}"
    table, _ = kept(name, lambda: _listed(dataset, files, split, options))
    table = check(table)
    fields = present(dataset.card, split, table)
    return Listed(dataset.card.name, table, read, fields=fields, digest=check.digest(table))


def present(card: Card, split: str, table: Table) -> dict[str, Field]:
    """The fields of a split: those that are optional only where their column is there."""
    there = {n: f for n, f in card.fields_of(split).items() if not f.optional or n in table.columns}
    return {n: replace(f, optional=False) for n, f in there.items()}


@dataclass(frozen=True)
class Reader:
    """A record to a sample. Pickles by the dataset's name and the files' places."""

    dataset: Dataset
    files: Files
    options: dict[str, Any]

    def __call__(self, record: Mapping[str, Any]) -> Sample:
        return {"__key__": record["__key__"]} | self.dataset.module().sample(self.files, record, **self.options)


# -- what should be there, and what is -----------------------------------------------------------------------------------


class _Noted:
    """Files that note what is read while samples are listed: the list depends on it."""

    def __init__(self, files: Files):
        self._files, self.url = files, files.url

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        self._files.note(path)
        return self._files.read(path, start, size)

    def open(self, path: str):
        self._files.note(path)
        return self._files.open(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


def _listed(dataset: Dataset, files: Files, split: str, options: Mapping[str, Any]) -> tuple[Table, Mapping[str, str]]:
    """The records, those that lack files marked; and the stamps of all that they were made from."""
    table = Table.of(_distinct(dataset.module().samples(_Noted(files), split, **options), files.url))
    lacks: dict[int, list[tuple[str, str]]] = {}
    last, there = "", False
    for row, column, path in table.files():
        if path != last:  # many records may lie in one file
            last, there = path, path in files
        if not there:
            lacks.setdefault(row, []).append((column, path))
    if lacks:
        table = Table.of(r | ({_LACKS: lacks[i]} if i in lacks else {}) for i, r in enumerate(table))
    return table, files.stamps()


def _distinct(records: Iterable[Mapping[str, Any]], url: str) -> Iterator[Mapping[str, Any]]:
    seen: set[str] = set()
    for record in records:
        key = record["__key__"]
        if key in seen:
            raise DataError("two samples of one name", url=url, key=key, do="the list of the split names it twice")
        seen.add(key)
        yield record


@dataclass(frozen=True)
class _Check:
    """Complete records, or an error that names what is missing."""

    dataset: Dataset
    split: str
    options: Mapping[str, Any]
    strict: bool
    counted: bool
    url: str

    def __call__(self, table: Table) -> Table:
        card = self.dataset.card
        if _LACKS in table.columns:
            lacking = np.array([_LACKS in row for row in table])
            named = [(table[int(i)]["__key__"], *table[int(i)][_LACKS][0]) for i in np.flatnonzero(lacking)[:5]]
            some = "; ".join(f"{path} ({field} of {key})" for key, field, path in named)
            self._object(f"{int(lacking.sum())} of {len(table)} samples lack a file: {some}" + ("; ..." if lacking.sum() > 5 else ""))
            table = table.take(np.flatnonzero(~lacking))
            table.columns.pop(_LACKS)
        wanted = self.dataset.count(self.split, self.options) if self.counted else None
        if not len(table) or (wanted is not None and len(table) < wanted):
            whole = f"{wanted:,}" if wanted is not None else "at least one"
            text = f"the split {self.split!r} of {card.name} has {len(table):,} samples here and should have {whole}"
            self._object(text, sure=self.split not in card.unsure or not len(table))
        return table

    def _object(self, text: str, sure: bool = True) -> None:
        do = "extract or download the files again, or say strict=False to go on with what is there"
        if self.strict and sure:
            raise DataError(text, url=self.url, do=do)
        warnings.warn(f"{text} [{self.url}]", DataWarning, stacklevel=5)

    def digest(self, table: Table) -> str:
        return digest_of(self.dataset.card.name, self.split, sorted(self.options.items()), table.digest)


# -- a compressed archive in its own order -------------------------------------------------------------------------------


class ArchiveStream(Stream):
    """Samples in the order in which their files lie in a compressed archive that has no seek index.

    Its first pass reads the names and the annotations, so that everything missing is known beforehand; the second
    hands out samples, each when the last of its files has come.
    """

    def __init__(self, check: _Check, reader: Reader):
        self.check, self.reader = check, reader
        self.name = check.dataset.card.name
        self.fields = check.dataset.card.fields_of(check.split)
        loose = list(unindexed(reader.files))  # type: ignore[arg-type]
        self.why = f"{', '.join(s.url.rpartition('/')[2] for s in loose)} is compressed as a whole: `vdata index {self.name}` makes an index"
        self.digest = digest_of(self.name, check.split, sorted(check.options.items()), [sorted(s.stamps().values()) for s in loose])

    def read_from(self, start: int) -> Iterator[Sample]:
        table, _ = _listed(self.check.dataset, self.reader.files, self.check.split, self.check.options)
        table = self.check(table)
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
        if owners:
            some = ", ".join(sorted(owners)[:5])
            raise ShardError(f"the archive changed while it was read: {some} did not come", url=archive.url)


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

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        return part(self._came[path], start, size, path, self.url) if path in self._came else super().read(path, start, size)

    def open(self, path: str):
        return in_memory(self._came[path]) if path in self._came else super().open(path)
