"""Samples to shards: tars that webdataset reads, and the manifest that makes them a data set.

A shard is written under a name that nobody looks for, read back by the strict reader, compared with what was
given, forced to disk, and only then renamed. The manifest comes last: without one there is no data set, and a
writer that was killed leaves none.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import xxhash
from crc32c import crc32c
from webdataset.writer import TarWriter

from vdata.errors import ChecksumError, PlanError, ShardError
from vdata.field import Field
from vdata.shards import files
from vdata.shards.job import FOLDER, Row, make_room
from vdata.shards.manifest import Manifest
from vdata.shards.rows import Part, Rows
from vdata.shards.storage import open_file, put_file, remove, temporary_beside
from vdata.shards.tar import BLOCK, members, samples
from vdata.urls import check_name, join, local_path

_SUFFIX = re.compile(r"[a-z0-9_+-]+(\.[a-z0-9_+-]+)*")
_END_MARK = 2 * BLOCK

Members = Mapping[str, tuple[str, bytes | memoryview]]  # field -> suffix, data


class _Given(NamedTuple):
    """A sample as it was given: what the shard must hold when it is read back."""

    key: str
    parts: dict[str, tuple[str, int, int]]  # field -> suffix, size, crc32c
    columns: Mapping[str, int | float]


class GrowingShard:
    """The shard being written: its file under a temporary name, and what went into it."""

    def __init__(self, name: str, temporary: str):
        self.name, self.temporary = name, temporary
        self.samples: list[_Given] = []
        self.file = open(temporary, "xb")  # noqa: SIM115  `close` closes it
        # Owner and time are fixed, so that equal samples give equal bytes.
        self.tar = TarWriter(self.file, user="", group="", mode=0o644, mtime=0, compress=False, encoder=False)

    @property
    def content(self) -> int:
        """Bytes of all members with their headers, without the end of the tar."""
        return self.tar.tarstream.offset

    def add(self, key: str, parts: Members, columns: Mapping[str, int | float]) -> None:
        """Write a sample that was checked."""
        self.tar.write({"__key__": quote_key(key), **{extension(field, suffix): data for field, (suffix, data) in parts.items()}})
        summary = {field: (suffix, len(data), crc32c(data)) for field, (suffix, data) in parts.items()}
        self.samples.append(_Given(key, summary, columns))

    def forget(self) -> None:
        """Let go of what was written; `content` goes on counting."""
        self.samples.clear()
        self.file.seek(0)
        self.file.truncate()

    def close(self) -> None:
        try:
            self.tar.close()
        finally:
            self.file.close()

    def publish(self, url: str) -> tuple[list[Row], int, str]:
        """Close the shard, read it back, and give it its name in the folder `url`: (rows, bytes, XXH3)."""
        self.close()
        data = open_file(self.temporary)
        rows = self._read_back(url, data)
        size, digest = len(data), xxhash.xxh3_128_hexdigest(data)
        put_file(self.temporary, join(url, self.name))
        return rows, size, digest

    def _read_back(self, url: str, data: memoryview) -> list[Row]:
        """Compare the file with what was given, and take the offsets from the file."""
        found = list(samples(members(data)))
        if len(found) != len(self.samples):
            raise self._altered(url)
        rows = []
        for (name, parts), given in zip(found, self.samples, strict=True):
            expected = {extension(field, suffix): rest for field, (suffix, *rest) in given.parts.items()}
            actual = {extension: [m.size, crc32c(data[m.offset : m.offset + m.size])] for extension, m in parts.items()}
            if name != quote_key(given.key) or actual != expected:
                raise self._altered(url, given.key)
            placed = {field: Part(suffix, parts[extension(field, suffix)], crc) for field, (suffix, _, crc) in given.parts.items()}
            rows.append(Row(given.key, placed, dict(given.columns)))
        return rows

    def _altered(self, url: str, key: str | None = None) -> ChecksumError:
        return ChecksumError("what was read back is not what was written", url=url, shard=self.name, key=key, do="check the disk")


@contextmanager
def growing(url: str, name: str) -> Iterator[GrowingShard]:
    """A shard for the folder `url` that grows in its `.unfinished/`, or in a workroom where it is remote; published or not, no file stays."""
    folder = local_path(url)
    with ExitStack() as stack:
        room = os.path.join(folder, FOLDER) if folder is not None else stack.enter_context(tempfile.TemporaryDirectory(prefix="vdata-"))
        shard = GrowingShard(name, temporary_beside(os.path.join(room, name)))
        try:
            yield shard
        finally:
            with suppress(OSError):  # a full disk is no reason to keep the file
                shard.close()
            remove(shard.temporary)


class Rules:
    """What the samples of one data set have in common, whoever writes them: a key of its own each, their fields, their columns."""

    def __init__(self, url: str, fields: Mapping[str, Field] | None):
        self.url, self.fields = url, fields
        self._keys: set[str] = set()
        self._columns: tuple[str, ...] | None = None

    def admit(self, key: str, fields: Collection[str], columns: Mapping[str, int | float]) -> None:
        """The next sample; ShardError or PlanError if it cannot be one."""
        if key in self._keys:
            raise ShardError("a second sample with this key", url=self.url, key=key, do="give every sample a key of its own")
        for field, declared in (self.fields or {}).items():
            if field not in fields and not declared.optional:
                raise ShardError(
                    "the sample lacks a field", url=self.url, key=key, field=field, do="declare the field optional=True if it may be missing"
                )
        if self._columns is None:
            self._columns = tuple(columns)
        if columns.keys() != set(self._columns):
            what = f"sample {key!r} has the columns {sorted(columns)}, the samples before it {sorted(self._columns)}"
            raise PlanError(f"{what}: every sample has all of them")
        self._keys.add(key)


class ShardWriter:
    """Writes samples into shards in the folder `url`; the manifest is there after the `with` block, or nothing is.

    fields              the schema, if it is known; else what the samples have
    samples_per_shard   a shard is closed at this many samples,
    bytes_per_shard     or before it would pass this size
    overwrite           replace the data set at `url`; it is removed first, so a crash leaves none and never a mixture

    >>> with ShardWriter("memory://doc/digits") as writer:
    ...     writer.write("a.1", {"image": ("png", b"..."), "label": ("cls", b"7")}, {"label": 7})
    >>> writer.manifest
    Manifest(1 samples of image, label in 1 shards at 'memory://doc/digits')
    """

    def __init__(
        self, url: str | os.PathLike[str], fields: Mapping[str, Field] | None = None, *, samples_per_shard: int = 10_000,
        bytes_per_shard: int = 256 << 20, prefix: str = "shard", overwrite: bool = False,
    ):  # fmt: skip
        if samples_per_shard < 1 or bytes_per_shard < 1:
            raise PlanError(
                f"a shard holds at least one sample and one byte, not {samples_per_shard} and {bytes_per_shard}"
            )
        self.url, self.prefix, self.overwrite = os.fspath(url), check_prefix(prefix), overwrite
        self.samples_per_shard, self.bytes_per_shard = samples_per_shard, bytes_per_shard
        for name in fields or {}:
            _check_field(name)
        self.fields = fields
        self.manifest: Manifest | None = None
        self._rows, self._rules = Rows(fields, checksums=True), Rules(self.url, fields)
        self._shard: GrowingShard | None = None
        self._size = 0  # what the shard under way will have at most
        self._published: list[str] = []
        self._folder = ""  # where shards grow: the target, or a workroom if that is remote
        self._workroom: tempfile.TemporaryDirectory[str] | None = None
        self._open = False

    def __enter__(self) -> ShardWriter:
        make_room(self.url, self.prefix, self.overwrite)
        folder = local_path(self.url)
        if folder is None:
            self._workroom = tempfile.TemporaryDirectory(prefix="vdata-")
            folder = self._workroom.name
        self._folder = folder
        self._open = True
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._open = False
        try:
            if kind is None:
                self._end_shard()
                self.manifest = Manifest(**self._rows.finish(), base=self.url).save(self.url)
                remove(join(self.url, files.UNFINISHED))
        finally:
            if self.manifest is None:
                self._discard()
            if self._workroom is not None:
                self._workroom.cleanup()

    def write(self, key: str, members: Members, columns: Mapping[str, int | float] | None = None) -> None:
        """Add a sample: {field: (suffix, bytes)}, and the scalars of the manifest's columns.

        ShardError for a key that cannot be or was there before, or a field that is missing; PlanError for what no
        sample may have. Nothing of the sample is written then, and the next one may follow.
        """
        if not self._open:
            raise PlanError("a ShardWriter writes inside its `with` block")
        columns = dict(columns or {})
        parts = checked(self.url, key, members, columns)
        if self.fields is not None and (unknown := members.keys() - self.fields.keys()):
            raise PlanError(f"sample {key!r} has the fields {sorted(unknown)}, which the schema does not name")
        self._rules.admit(key, parts, columns)
        size = sum(2 * BLOCK + len(data) for _, data in parts.values())
        if self._shard is not None and self._is_full(self._shard, size):
            self._end_shard()
        shard = self._shard = self._shard or self._begin_shard()
        shard.add(key, parts, columns)
        self._size += size

    def _is_full(self, shard: GrowingShard, more: int) -> bool:
        return len(shard.samples) >= self.samples_per_shard or self._size + more > self.bytes_per_shard

    def _begin_shard(self) -> GrowingShard:
        name = f"{self.prefix}-{len(self._published):06d}.tar"
        self._size = _END_MARK
        return GrowingShard(name, temporary_beside(os.path.join(self._folder, name)))

    def _end_shard(self) -> None:
        """Close the shard under way, read it back, and give it its name."""
        shard = self._shard
        if shard is None:
            return
        self._published.append(shard.name)  # before it is there: what fails half-way is removed too
        rows, size, _ = shard.publish(self.url)
        for row in rows:
            self._rows.add(*row)
        self._rows.end_shard(shard.name, size)
        self._shard = None

    def _discard(self) -> None:
        """Leave nothing behind."""
        if self._shard is not None:
            with suppress(OSError):  # a full disk is no reason to keep the file
                self._shard.close()
            remove(self._shard.temporary)
        for name in (files.NAME, files.SIDECAR, *self._published, files.UNFINISHED):
            remove(join(self.url, name))


def check_prefix(prefix: str) -> str:
    """`prefix` if names of shards can begin with it."""
    if "/" in check_name(prefix) or prefix.startswith("."):
        raise PlanError(f"prefix={prefix!r} is not the beginning of a file's name")
    return prefix


def checked(url: str, key: str, members: Members, columns: Mapping[str, int | float]) -> dict[str, tuple[str, memoryview]]:
    """The parts of a sample as bytes; ShardError or PlanError for what no sample may have."""
    quote_key(key)
    if not members:
        raise ShardError("a sample without fields", url=url, key=key, do="leave it out, or give it a field")
    for field, (suffix, _) in members.items():
        _check_field(field)
        if not _SUFFIX.fullmatch(suffix):
            what = f"field {field!r} of sample {key!r} has the suffix {suffix!r}"
            raise PlanError(f"{what}: a suffix is lower case, as in 'png' or 'json'")
    for name, value in columns.items():
        whole = isinstance(value, (int, np.integer)) and -(2**63) <= value < 2**63
        if not whole and not isinstance(value, (float, np.floating)):
            raise PlanError(f"column {name!r} of sample {key!r} is {value!r}: a column holds integers of 64 bits, or floats")
    return {field: (suffix, memoryview(data).cast("B")) for field, (suffix, data) in members.items()}


def quote_key(key: str) -> str:
    """The key as it stands in member names: '%' and '.' percent-encoded, so that the first dot ends it.

    A leading '_' is encoded too where webdataset would take the file for a note about the shard.

    >>> quote_key("a/00.5%")
    'a/00%2E5%25'
    """
    if not key or "\0" in key or key.startswith("/") or key.endswith("/") or not _is_unicode(key):
        raise ShardError(
            f"{key[:200]!r} cannot be a key", key=key[:200], do="a key is a relative path in Unicode, without NUL"
        )
    quoted = key.replace("%", "%25").replace(".", "%2E")
    return "%5F" + quoted[1:] if quoted.startswith("__") else quoted


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _check_field(name: str) -> None:
    if not name.isidentifier() or name != name.lower() or name.startswith("_"):
        rule = "a lower-case identifier that does not begin with '_'"
        raise PlanError(f"{name!r} cannot name a field in a shard: rename it to {rule}")


def extension(field: str, suffix: str) -> str:
    """What a field's file is called behind its key: "image.png"; one that anybody's tar called "jpg" is that again."""
    return field if field == suffix else f"{field}.{suffix}"
