"""Many small records as columns: a million of them in a hundred bytes each, saved and loaded without parsing.

A list of a million dicts takes gigabytes and seconds to build. A `Table` holds each column as one array: numbers as
they are, text as one blob with the ends of its rows, everything else as JSON text. A row is a dict again when asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
_NUMBERS = {bool: "|b1", int: "<i8", float: "<f8"}
_TEXT = ("|u1",)
_VALUES = {"number": tuple(_NUMBERS.values()), "text": _TEXT, "file": _TEXT, "json": _TEXT}  # kind -> dtypes
_ANY = "surrogatepass"  # any str comes back: names of files that are not UTF-8, and what JSON and CSV files may hold


class File(str):
    """A text that is the path of one of the dataset's files. It stays one in a `Table`."""

    __slots__ = ()


class Table(Sequence[Any]):
    """Rows with the same columns; a row may lack some.

    >>> rows = Table.of([{"__key__": "a", "image": File("a.png"), "label": 1}, {"__key__": "b", "image": File("b.png")}])
    >>> rows[1]
    {'__key__': 'b', 'image': 'b.png'}
    >>> rows.scalars
    ['__key__']
    """

    def __init__(self, columns: Mapping[str, _Column], length: int):
        self.columns, self._length = dict(columns), length

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Table:
        """The rows as columns. Values are numbers, booleans, text, `File`s, or anything that JSON can say."""
        values: dict[str, list[Any]] = {}
        places: dict[str, list[int]] = {}
        count = 0
        for row in rows:
            for name, value in row.items():
                if name not in values:
                    values[name], places[name] = [], []
                values[name].append(value)
                places[name].append(count)
            count += 1
        columns = {name: _Column.of(values[name], places[name], count) for name in values}
        return cls(columns, count)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(f"row {index} of {self._length}")
        index = index % self._length
        return {name: column[index] for name, column in self.columns.items() if column.has(index)}

    def take(self, rows: np.ndarray) -> Table:
        """Some of the rows, in the order given."""
        return Table({n: c.take(rows) for n, c in self.columns.items()}, len(rows))

    @property
    def scalars(self) -> list[str]:
        """The names of the columns of numbers or text that every row has."""
        return [n for n, c in self.columns.items() if c.kind in ("number", "text") and c.given is None]

    def column(self, name: str) -> np.ndarray:
        """One of `scalars`, as an array [N]; KeyError for other names."""
        if name not in self.scalars:
            raise KeyError(name)
        column = self.columns[name]
        return column.values if column.kind == "number" else np.array(column.texts(), np.str_)

    def given(self, name: str) -> np.ndarray:
        """bool [N]: which rows have a value in a column."""
        if name not in self.columns:
            return np.zeros(self._length, bool)
        given = self.columns[name].given
        return np.ones(self._length, bool) if given is None else given

    def texts(self, name: str) -> list[str]:
        """A column of text that every row has, as a list."""
        return self.columns[name].texts()

    def files(self) -> Iterator[tuple[int, str, str]]:
        """(row, column, path) of every `File`, row by row within a column."""
        for name, column in self.columns.items():
            if column.kind == "file":
                rows = range(self._length) if column.given is None else np.flatnonzero(column.given).tolist()
                for row, path in zip(rows, column.texts(), strict=True):
                    yield row, name, path

    @property
    def digest(self) -> str:
        """16 hex digits that stand for the content."""
        sum_ = hashlib.blake2b(digest_size=8)
        for name, array in sorted(self.arrays().items()):
            sum_.update(f"{name} {array.dtype.str} {array.shape};".encode())
            sum_.update(np.ascontiguousarray(array).data)
        return sum_.hexdigest()

    def arrays(self) -> Arrays:
        """The table as named arrays, for a file; `from_arrays` is the inverse."""
        out: Arrays = {"length": np.array([self._length], "<i8")}
        for name, column in self.columns.items():
            out |= {f"{column.kind}.{part}.{name}": array for part, array in column.parts().items()}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Table:
        """The table that gave these arrays. They may come from any file: ValueError where no table can have given them.

        JSON is not parsed before a row is asked for.
        """
        found: dict[str, tuple[str, Arrays]] = {}
        for full, array in arrays.items():
            if full != "length":
                kind, part, name = full.split(".", 2)
                if found.setdefault(name, (kind, {}))[0] != kind:
                    raise ValueError(f"a column {name!r} of two kinds")
                found[name][1][part] = array
        length = _length(arrays)
        return cls({n: _Column.from_parts(kind, parts, length) for n, (kind, parts) in found.items()}, length)


def _length(arrays: Mapping[str, np.ndarray]) -> int:
    array = arrays.get("length")
    if array is None or array.dtype.str != "<i8" or array.shape != (1,) or array[0] < 0:
        raise ValueError("a table without its length")
    return int(array[0])


class _Column:
    """One column. `given` says which rows have a value (None: all do); `values` and `ends` have those rows only."""

    def __init__(self, kind: str, values: np.ndarray, ends: np.ndarray | None, given: np.ndarray | None):
        self.kind, self.values, self.ends, self.given = kind, values, ends, given
        self._rank = None if given is None else np.cumsum(given) - 1

    @classmethod
    def of(cls, values: list[Any], places: list[int], count: int) -> _Column:
        given = None
        if len(values) < count:
            given = np.zeros(count, bool)
            given[places] = True
        types = {type(v) for v in values}
        if (numbers := _numbers(values, types)) is not None:
            return cls("number", numbers, None, given)
        kind = "file" if types == {File} else "text" if types <= {str, File} else "json"
        texts = [json.dumps(v, ensure_ascii=False) for v in values] if kind == "json" else values
        blobs = [t.encode("utf-8", _ANY) for t in texts]
        ends = np.cumsum([len(b) for b in blobs], dtype="<i8")
        return cls(kind, np.frombuffer(b"".join(blobs), np.uint8), ends, given)

    def has(self, row: int) -> bool:
        return self.given is None or bool(self.given[row])

    def __getitem__(self, row: int) -> Any:
        at = row if self._rank is None else int(self._rank[row])
        if self.ends is None:
            return self.values[at].item()
        text = bytes(self.values[self.ends[at - 1] if at else 0 : self.ends[at]]).decode("utf-8", _ANY)
        return json.loads(text) if self.kind == "json" else File(text) if self.kind == "file" else text

    def texts(self) -> list[str]:
        """All texts that are given."""
        assert self.ends is not None
        blob, ends = self.values.tobytes(), self.ends.tolist()
        return [blob[a:b].decode("utf-8", _ANY) for a, b in zip([0, *ends], ends)]

    def take(self, rows: np.ndarray) -> _Column:
        given = None if self.given is None else self.given[rows]
        at = rows if self._rank is None else self._rank[rows][given]
        if self.ends is None:
            return _Column(self.kind, self.values[at], None, given)
        starts = np.concatenate([[0], self.ends[:-1]])[at]
        pieces = [self.values[a:b] for a, b in zip(starts.tolist(), self.ends[at].tolist())]
        ends = np.cumsum(self.ends[at] - starts, dtype="<i8")
        return _Column(self.kind, np.concatenate([np.empty(0, np.uint8), *pieces]), ends, given)

    def parts(self) -> Arrays:
        parts = {"values": self.values, "ends": self.ends, "given": self.given}
        return {n: a for n, a in parts.items() if a is not None}

    @classmethod
    def from_parts(cls, kind: str, parts: Arrays, rows: int) -> _Column:
        if not _fits(kind, parts, rows):
            raise ValueError(f"a broken column of the kind {kind!r}")
        return cls(kind, parts["values"], parts.get("ends"), parts.get("given"))


def _numbers(values: list[Any], types: set[type]) -> np.ndarray | None:
    """Values of one type of number as an array; None for others."""
    dtype = _NUMBERS.get(next(iter(types))) if len(types) == 1 else None
    try:
        return None if dtype is None else np.array(values, dtype)
    except OverflowError:
        return None  # an integer of more than 64 bits: JSON can say it


def _fits(kind: str, parts: Arrays, rows: int) -> bool:
    """Whether these are the arrays of a column of a table of so many rows."""
    dtypes = {"values": _VALUES.get(kind, ()), "ends": ("<i8",), "given": ("|b1",)}
    if parts.keys() - {"given"} != ({"values"} if kind == "number" else {"values", "ends"}):
        return False
    if any(array.ndim != 1 or array.dtype.str not in dtypes[part] for part, array in parts.items()):
        return False
    if (given := parts.get("given")) is not None:
        if len(given) != rows or given.view("|u1").max(initial=0) > 1:  # a byte of a file that says it is a boolean
            return False
        rows = int(np.count_nonzero(given))
    values, ends = parts["values"], parts.get("ends")
    if ends is None:
        return len(values) == rows
    return len(ends) == rows and _covers(ends, len(values)) and (kind == "json" or _is_text(values, ends))


def _covers(ends: np.ndarray, size: int) -> bool:
    """Whether texts with these ends lie one after the other, from the first byte to the last."""
    if not len(ends):
        return size == 0
    return bool(ends[0] >= 0 and ends[-1] == size and (ends[1:] >= ends[:-1]).all())


def _is_text(blob: np.ndarray, ends: np.ndarray) -> bool:
    """Whether each text is UTF-8: all of them together are, and none begins in the middle of a character."""
    try:
        blob.tobytes().decode("utf-8", _ANY)
    except UnicodeDecodeError:
        return False
    starts = ends[:-1][ends[:-1] < len(blob)]
    return bool((blob[starts] & 0xC0 != 0x80).all())
