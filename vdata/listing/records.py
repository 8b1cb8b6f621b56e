"""What should be there of a dataset, and what is: every file that a record names must be there, and a split must have the
samples that its card says. The same for all datasets."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vdata.card import Card
from vdata.errors import DataError, DataWarning
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample, digest_of
from vdata.table import Table

UNSURE = "a number that nobody has confirmed: "
_LACKS = "__lacks__"
_READERS = Path(__file__).parents[1] / "annotations"


@dataclass(frozen=True)
class Dataset:
    """A dataset's file as the catalogue uses it. `module` gives it anew: workers find it by themselves."""

    module: Callable[[], Any]

    @property
    def card(self) -> Card:
        return self.module().card

    @property
    def version(self) -> str:
        """Changes with the file, those beside it that it may share, and the readers of annotations: what another version
        listed is listed again."""
        own = Path(inspect.getfile(self.module()))
        files = [own, *sorted(own.parent.glob("_*.py")), *sorted(_READERS.glob("*.py"))]
        return hashlib.blake2b(b"".join(path.read_bytes() for path in files), digest_size=8).hexdigest()

    def count(self, split: str, options: Mapping[str, Any]) -> int | None:
        """How many samples were published: the card's number, unless the file has a `count` of its own."""
        own = getattr(self.module(), "count", None)
        return self.card.splits[split] if own is None else own(split, **options)


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
        return path in self._files  # lists its folder, which is stamped as a whole

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        self._files.note(path)
        return self._files.read(path, start, size)

    def open(self, path: str):
        self._files.note(path)
        return self._files.open(path)

    def holds(self, path: str) -> bool:
        return path in self

    def place(self, path: str) -> str:
        return self._files.place(path)

    def note(self, path: str) -> None:
        self._files.note(path)

    def stamps(self) -> dict[str, str]:
        return self._files.stamps()

    def glob(self, pattern: str) -> list[str]:
        return self._files.glob(pattern)

    def below(self, folder: str) -> list[str]:
        return self._files.below(folder)


def listed(dataset: Dataset, files: Files, split: str, options: Mapping[str, Any]) -> tuple[Table, Mapping[str, str]]:
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
class Check:
    """Complete records, or an error that names what is missing."""

    dataset: Dataset
    split: str
    options: Mapping[str, Any]
    strict: bool
    counted: bool
    url: str
    passed_over: tuple[str, ...] = ()

    def __call__(self, table: Table) -> Table:
        card = self.dataset.card
        lacking = table.given(_LACKS)
        if lacking.any():
            rows = (table[row] for row in np.flatnonzero(lacking).tolist())
            lost = [(row["__key__"], field, path) for row in rows for field, path in row[_LACKS]]
            named = "; ".join(f"{path} ({field} of {key})" for key, field, path in lost[:5])
            more = "; ... (a DataWarning's .missing has all)" if len(lost) > 5 else ""
            self._miss(f"{lacking.sum()} of {len(table)} samples lack a file: {named}{more}", lost)
            table = table.take(np.flatnonzero(~lacking))
            table.columns.pop(_LACKS)
        wanted = self.dataset.count(self.split, self.options) if self.counted else None
        if wanted is not None and len(table) > wanted:
            text = f"the split {self.split!r} of {card.name} has {len(table):,} samples here, and {wanted:,} were published"
            warnings.warn(DataWarning(f"{text} [{self.url}]"), stacklevel=4)
        if not len(table) or (wanted is not None and len(table) < wanted):
            whole = f"{wanted:,}" if wanted is not None else "at least one"
            text = f"the split {self.split!r} of {card.name} has {len(table):,} samples here and should have {whole}"
            self._miss(text if self.split not in card.unsure or not len(table) else UNSURE + text)
        return table

    def _miss(self, text: str, missing: Sequence[tuple[str, str, str]] = ()) -> None:
        """What is missing, as an error; as a warning if that was asked for, or if only the card says so."""
        do = "extract or download the files again, or say strict=False to go on with what is there"
        if self.passed_over:
            do = f"{', '.join(self.passed_over)} beside it is not read: `vdata index {self.dataset.card.name}`, or {do}"
        if self.strict and not text.startswith(UNSURE):
            raise DataError(text, url=self.url, do=do)
        warnings.warn(DataWarning(f"{text} [{self.url}]", missing), stacklevel=5)  # where `load` was written

    def digest(self, table: Table) -> str:
        return digest_of(self.dataset.card.name, self.split, sorted(self.options.items()), table.digest)
