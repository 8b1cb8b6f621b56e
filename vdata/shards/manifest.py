"""The index of a set of shards: where each field of each sample lies, how long it is, and its checksum.

Two files. `manifest.json` is small and for people too: version, schema, one row a shard, and the size and hash
of the other. `manifest.bin` holds the per-sample columns one after another; it is mapped where it is local, so
a million samples cost nothing to open. A sample of F fields takes 12 + 12 F bytes and its key: with five fields
and a key of 12 bytes 84 bytes, 5 more where a field mixes suffixes. Named scalar columns take 8 bytes each.

Both files are hashed (XXH3, 128 bits) and every number is checked against the shards' sizes when a manifest is
made or loaded: it may come from anybody, and what it says is only ever a range inside a shard beside it.
"""

from __future__ import annotations

import dataclasses
import math
import os
from bisect import bisect_right
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xxhash

from vdata.errors import RemoteError, ShardError, redact
from vdata.field import Field
from vdata.progress import progress
from vdata.remote.engine import Version
from vdata.shards import files, foreign
from vdata.shards.cache import Cache
from vdata.shards.fetch import Fetcher
from vdata.shards.files import AGAIN
from vdata.shards.hop import WORKERS, GoOn, hop, in_order, while_wanted
from vdata.shards.rows import ABSENT, Part, Rows, Shard
from vdata.shards.storage import expand
from vdata.shards.tar import BLOCK, Member, members, samples
from vdata.urls import check_name, common_base, join, local_path


class Place(NamedTuple):
    """Where one field of one sample lies: shard number, byte of its data, size, crc32c (None: not known), suffix."""

    shard: int
    byte: int
    size: int
    crc: int | None
    suffix: str


@dataclass(frozen=True, eq=False, repr=False)
class Manifest:
    """N samples of F fields in S shards. Made by `load`, `index` or a ShardWriter.

    shards      one row a shard (name, samples, bytes)
    fields      the schema; a field's `suffix` is "" where its samples have several
    suffixes    all suffixes of each field
    offset      uint64 [N]: byte of a sample's first header in its shard
    key_offset  uint32 or uint64 [N + 1]: where keys begin in `key_blob`
    start       uint32 [N, F]: from there to the field's data, in blocks of 512 bytes
    sizes       uint32 [N, F]: bytes of the field's data, 0xFFFFFFFF where the sample lacks the field
    crc         uint32 [N, F]: its crc32c; None for indexed foreign shards
    which       uint8 [N, F]: number of the suffix; None where no field has several
    key_blob    uint8: all keys, UTF-8
    columns     named scalars [N], int64 or float64, known without reading a shard
    base        the folder that the shards' names are relative to; url: where the manifest was loaded from
    seen        which versions of far shards were indexed; not kept in files
    """

    shards: tuple[Shard, ...]
    fields: Mapping[str, Field]
    suffixes: Mapping[str, tuple[str, ...]]
    offset: np.ndarray
    key_offset: np.ndarray
    start: np.ndarray
    sizes: np.ndarray
    crc: np.ndarray | None
    which: np.ndarray | None
    key_blob: np.ndarray
    columns: Mapping[str, np.ndarray]
    base: str = ""
    url: str = ""
    seen: Mapping[str, Version] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", {name: _plain_field(name, field) for name, field in self.fields.items()})
        try:
            _check(self)
        except ShardError as error:
            error.at(url=self.url or self.base or None)
            raise

    def __len__(self) -> int:
        return len(self.offset)

    def __repr__(self) -> str:
        what = f"{len(self)} samples of {', '.join(self.fields)} in {len(self.shards)} shards"
        return f"Manifest({what} at {redact(self.url or self.base)!r})"

    def __reduce__(self):
        if self.url:  # other processes map the same file instead of carrying a copy
            return load_again, (self.url, self.base, self.digest)
        return Manifest, tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @cached_property
    def shard_sizes(self) -> np.ndarray:
        """Samples in each shard: int64 [S]."""
        return np.array([shard.samples for shard in self.shards], np.int64)

    @cached_property
    def _ends(self) -> list[int]:
        return self.shard_sizes.cumsum().tolist()

    @cached_property
    def digest(self) -> str:
        """32 hex digits that stand for the content: schema, keys, sizes, checksums, columns and samples per shard.

        Names of shards, URLs and documentation count for nothing, so a copy elsewhere has the same digest.
        """
        fields = {name: dataclasses.replace(field, doc="") for name, field in self.fields.items()}
        columns = {name: files.dtype_of(column) for name, column in self.columns.items()}
        schema = [list(fields), list(columns), fields, columns, self.suffixes, self.shard_sizes.tolist()]
        state = xxhash.xxh3_128(msgspec.json.encode(schema, order="sorted"))
        for array in (self.key_offset, self.key_blob, self.sizes, self.crc, self.which, *self.columns.values()):
            state.update(b"-" if array is None else np.ascontiguousarray(array).data.cast("B") if array.size else b"")
        return state.hexdigest()

    def locate(self, i: int) -> tuple[int, int]:
        """(number of the shard, row in it) of sample `i`."""
        self._check_index(i)
        shard = bisect_right(self._ends, i)
        return shard, int(i) - (self._ends[shard - 1] if shard else 0)

    def key(self, i: int) -> str:
        """The key of sample `i`, as it was given to the writer."""
        self._check_index(i)
        raw = self.key_blob[int(self.key_offset[i]) : int(self.key_offset[i + 1])].tobytes()
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ShardError(
                f"the key of sample {i} is not UTF-8: {raw[:200]!r}", url=self.url or self.base, do=AGAIN
            ) from None

    def _check_index(self, i: int) -> None:
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")

    def members(self, i: int) -> dict[str, Place]:
        """Where each field of sample `i` lies; a field that the sample lacks is not there."""
        shard, _ = self.locate(i)
        first, start, sizes = int(self.offset[i]), self.start[i].tolist(), self.sizes[i].tolist()
        crc = [None] * len(sizes) if self.crc is None else self.crc[i].tolist()
        which = [0] * len(sizes) if self.which is None else self.which[i].tolist()
        return {
            name: Place(shard, first + BLOCK * start[f], sizes[f], crc[f], self.suffixes[name][which[f]])
            for f, name in enumerate(self.fields)
            if sizes[f] != ABSENT
        }

    @classmethod
    def index(cls, urls: str | os.PathLike[str] | Sequence[str], *, use_index_files: bool = True) -> Manifest:
        """The manifest of anybody's webdataset tars, made by walking their headers; fields are the extensions.

        `urls` is what `expand` takes, or a list of tars under one folder. Data is not read, so there are no checksums. Remote tars are
        walked by ranged reads, several at a time, that skip files above some 64 kB: of smaller ones most is read on the way to the next
        header. Index files of DALI and Energon beside them make that shorter; one that does not fit is an error, unless
        `use_index_files=False`.
        """
        tars = expand(urls) if isinstance(urls, (str, os.PathLike)) else [os.fspath(url) for url in urls]
        base, names = common_base(tars) if tars else ("", [])
        if foreign.is_there(join(base, files.UNFINISHED)) and not foreign.is_there(join(base, files.NAME)):
            raise ShardError("a writer is at work here, or was killed: there is no manifest yet", url=base, do="the same pack again finishes it, with overwrite=True it starts over")
        fetcher, rows = Fetcher(base), Rows(checksums=False)
        found = _mapped(fetcher, names) if local_path(base) is not None else _hopped(fetcher, names, use_index_files)
        with closing(found), progress("index", len(names), unit="shards") as bar:
            for name, size, listed in found:
                url = join(base, name)
                try:
                    for key, parts in samples(listed, url):
                        rows.add(key, {extension: Part(extension, member) for extension, member in parts.items()})
                except ShardError as error:
                    error.at(url=url, shard=name)
                    raise
                rows.end_shard(name, size)
                bar.update()
        return cls(**rows.finish(), base=base, seen=fetcher.seen)

    def save(self, url: str | os.PathLike[str]) -> Manifest:
        """Write both files into the folder `url`, the one that makes it count last; return them loaded and checked.

        They say where the shards lie if that is elsewhere, but keep no user info and no query of that URL.
        """
        folder = os.fspath(url)
        files.write(folder, {field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        return Manifest.load(folder, base=self.base or None)

    @classmethod
    def load(cls, url: str | os.PathLike[str], *, base: str | None = None, cache: Cache | None = None) -> Manifest:
        """The manifest in the folder `url`. `base` is the folder of the shards where that is another one than it says.

        One from far away is kept in the `cache`, if there is one.

        ShardError if there is none or it is not one, ChecksumError if a single bit of it has changed.
        """
        folder = os.fspath(url).removesuffix(files.NAME)
        return cls._of(folder, files.read(folder, cache), base)

    @classmethod
    def load_if_there(cls, url: str | os.PathLike[str], *, cache: Cache | None = None) -> Manifest | None:
        """The same; None where there is no manifest, or none that may be seen."""
        folder = os.fspath(url).removesuffix(files.NAME)
        parts = files.read_if_there(folder, cache)
        return None if parts is None else cls._of(folder, parts, None)

    @classmethod
    def _of(cls, folder: str, parts: dict[str, Any], base: str | None) -> Manifest:
        kept = parts.pop("base")
        return cls(**parts, base=base or files.base_of(kept, folder), url=folder)


_Found = tuple[str, int, Iterable[Member]]  # a shard's name, its bytes, its files


def _mapped(fetcher: Fetcher, names: Sequence[str]) -> Generator[_Found]:
    for name in names:
        data, url = fetcher.read_all(name), join(fetcher.base_url, name)
        yield name, len(data), members(data, url=url)


def _hopped(fetcher: Fetcher, names: Sequence[str], use_index_files: bool) -> Generator[_Found]:
    kind = foreign.kind_beside(join(fetcher.base_url, names[0])) if use_index_files else None

    def walk(name: str, go_on: GoOn) -> _Found:
        url = join(fetcher.base_url, name)
        try:
            size, read = fetcher.size(name), while_wanted(partial(fetcher.read, name), go_on)
            listed = foreign.listed(url, kind, read, size, WORKERS // len(names)) if kind else None
            return name, size, hop(read, size, url=url) if listed is None else listed
        except (ShardError, RemoteError) as error:
            error.at(url=url, shard=name)
            raise

    yield from in_order(walk, names)


def load_again(url: str, base: str, digest: str, cache: Cache | None = None) -> Manifest:
    """The manifest that was loaded before, elsewhere; ShardError if it is another one now."""
    manifest = Manifest.load(url, base=base, cache=cache)
    if manifest.digest != digest:
        raise ShardError("the manifest was replaced while it was in use", url=url, do="open the data set again")
    return manifest


def _check(m: Manifest) -> None:
    """Every number of a manifest against the shards that it speaks of."""
    names = [check_name(shard.name) for shard in m.shards]
    n, f = len(m.offset), len(m.fields)
    if len(set(names)) != len(names) or any(shard.samples < 0 or shard.bytes < 0 for shard in m.shards):
        raise ShardError("the table of shards names one twice, or a negative size", do=AGAIN)
    if sum(shard.samples for shard in m.shards) != n or m.suffixes.keys() != m.fields.keys():
        raise ShardError(
            f"the shards' samples do not add up to {n}, or the suffixes are not those of the fields", do=AGAIN
        )
    matrices = [array for array in (m.start, m.sizes, m.crc, m.which) if array is not None]
    if any(array.shape != (n, f) for array in matrices) or any(column.shape != (n,) for column in m.columns.values()):
        raise ShardError("columns of unequal length", do=AGAIN)
    keys = m.key_offset
    if keys.shape != (n + 1,) or keys[0] != 0 or keys[-1] != len(m.key_blob) or (keys[1:] < keys[:-1]).any():
        raise ShardError("the keys' offsets do not rise from 0 to the end of the keys", do=AGAIN)
    _check_places(m)


def _check_places(m: Manifest) -> None:
    """Every field lies inside its shard, and has one of the suffixes."""
    count = np.array([len(suffixes) for suffixes in m.suffixes.values()], np.int64)
    row = 0
    for shard in m.shards:
        rows = slice(row, row := row + shard.samples)
        present = m.sizes[rows] != ABSENT
        # The offset is checked first: beyond it, 2**41 + 2**32 bytes cannot overflow.
        ends = m.offset[rows, None] + m.start[rows].astype(np.uint64) * np.uint64(BLOCK) + m.sizes[rows]
        if (m.offset[rows] > min(shard.bytes, 2**62)).any() or (ends[present] > shard.bytes).any():
            raise ShardError(f"a sample lies outside its shard of {shard.bytes} bytes", shard=shard.name, do=AGAIN)
        which = np.zeros(present.shape, np.uint8) if m.which is None else m.which[rows]
        if (present & (which >= count)).any():
            raise ShardError("a sample has a suffix that is not listed", shard=shard.name, do=AGAIN)


def _plain_field(name: str, field: Field) -> Field:
    """The field as JSON gives it back, so that a manifest and its saved copy are alike."""
    return dataclasses.replace(field, shape=_plain(field.shape, name), meta=_plain(field.meta, name))


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(inner, name) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_plain(inner, name) for inner in value)
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ShardError(
        f"{value!r} in the declaration of a field",
        field=name,
        do="declare fields with numbers, strings, tuples, and dicts with strings as keys",
    )
