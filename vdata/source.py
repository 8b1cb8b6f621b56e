"""Where samples come from, before anything is decoded.

`Source` has an index: any sample by its number. `Stream` has only an order of reading. Both hand out samples
whose pictures are still `Encoded`, and both pickle, so that worker processes open them again.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from vdata.errors import DataError, PlanError
from vdata.field import Field
from vdata.table import Table

Sample = dict[str, Any]


def digest_of(*parts: Any) -> str:
    """16 hex digits that stand for these values' text."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


class Source(ABC):
    """Samples with an index.

    name     what `print` and errors call it
    fields   what every sample holds, as far as known
    sizes    int64: samples in each contiguous block that is cheap to read together (a shard); their sum is the length
    columns  name -> array of N scalars known without reading a sample: what `.filter(where=...)` can ask
    digest   stands for the content: two sources with one digest hold the same samples in the same order
    far      whether reading takes a round trip, so that `prepare` is worth while
    traffic  where it does: {"requests", "bytes", "cached"} so far, for `Loader.stats`
    """

    name: str
    fields: Mapping[str, Field]
    sizes: np.ndarray
    columns: Mapping[str, np.ndarray]
    digest: str
    far: bool = False
    batch_of: Callable[[np.ndarray], dict[str, Any]] | None = None
    traffic: Callable[[], dict[str, int]] | None = None

    def __len__(self) -> int:
        return int(self.sizes.sum())

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Sample `index`, undecoded; a DataError names what is broken."""

    def prepare(self, indices: Iterable[int]) -> None:  # noqa: B027  most sources have nothing to bring
        """These will be read soon: begin to bring them, and return at once. Reading needs no preparation."""


class Stream(ABC):
    """Samples in one order of reading, without an index.

    why      in `print`: what is missing, and what to do to get an index
    """

    name: str
    fields: Mapping[str, Field]
    digest: str
    why: str

    @abstractmethod
    def read_from(self, start: int) -> Iterator[Sample]:
        """Samples from number `start` on."""


class Computed(Source):
    """`count` samples, each a function of its number (and picklable with it)."""

    def __init__(self, name: str, count: int, make: Callable[[int], Sample], *, fields: Mapping[str, Field] | None = None, digest: str = ""):
        self.name, self.make = name, make
        self.fields = fields or {}
        self.sizes = np.array([count], np.int64)
        self.columns = {}
        self.digest = digest or digest_of(name, count, qualified_name(make))

    def read(self, index: int) -> Sample:
        return self.make(index)


class Listed(Source):
    """Samples held as a table of records; `resolve` turns a record into a sample (opening files, say)."""

    def __init__(
        self, name: str, records: Table | Iterable[Mapping[str, Any]], resolve: Callable[[Mapping[str, Any]], Sample], *,
        fields: Mapping[str, Field] | None = None, digest: str = "",
    ):  # fmt: skip
        self.name, self.resolve = name, resolve
        self.records = records if isinstance(records, Table) else Table.of(records)
        self.fields = fields or {}
        self.sizes = np.array([len(self.records)], np.int64)
        self.columns = _Columns(self.records)
        self.digest = digest or digest_of(name, self.records.digest)

    def read(self, index: int) -> Sample:
        record = self.records[index]
        try:
            return self.resolve(record)
        except DataError as error:
            raise error.at(key=record.get("__key__")) from None


class _Columns(Mapping[str, np.ndarray]):
    """The columns of numbers and of text that every record has; text becomes an array when it is asked for."""

    def __init__(self, records: Table):
        self._records = records

    def __getitem__(self, name: str) -> np.ndarray:
        return self._records.column(name)

    def __contains__(self, name: object) -> bool:
        return name in self._records.scalars

    def __iter__(self) -> Iterator[str]:
        return iter(self._records.scalars)

    def __len__(self) -> int:
        return len(self._records.scalars)


class Iterated(Stream):
    """Any iterable of samples, or a function that returns a fresh one (needed for a second epoch)."""

    why = "from_iterable has no index: write the samples to shards once with .pack(url) and open those"

    def __init__(self, iterable: Any, name: str = ""):
        self.iterable = iterable
        self.name = name or (qualified_name(iterable) if callable(iterable) else type(iterable).__name__)
        self.fields = {}
        self.digest = digest_of("from_iterable", self.name)

    def read_from(self, start: int) -> Iterator[Sample]:
        items: Any = self.iterable() if callable(self.iterable) else self.iterable
        if iter(items) is items and not callable(self.iterable):
            if getattr(self, "_spent", False):
                raise PlanError(f"{self.name} is an iterator and was already read: give from_iterable a function that returns a new one")
            self._spent = True
        for number, value in enumerate(items):
            if number < start:
                continue
            sample = value if isinstance(value, dict) else {"value": value}
            yield sample if "__key__" in sample else {"__key__": f"{number:08d}", **sample}


def qualified_name(fn: Any) -> str:
    """How a function counts in a digest and is printed: module and qualified name; a partial with its arguments."""
    inner = getattr(fn, "func", None)
    if inner is not None and hasattr(fn, "keywords"):
        given = ", ".join([*map(repr, fn.args), *(f"{k}={v!r}" for k, v in sorted(fn.keywords.items()))])
        return f"partial({qualified_name(inner)}, {given})"
    name = getattr(fn, "__qualname__", None)
    return f"{fn.__module__}.{name}" if name else f"{type(fn).__module__}.{type(fn).__qualname__}"
