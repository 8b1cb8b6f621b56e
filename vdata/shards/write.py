"""Samples to shards: tars that webdataset reads, and the manifest that makes them a data set.

A shard is written under a name that nobody looks for, read back by the strict reader, compared with what was
given, forced to disk, and only then renamed. The manifest comes last: without one there is no data set, and a
writer that was killed leaves none.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from crc32c import crc32c
from webdataset.writer import TarWriter

from vdata.errors import ChecksumError, PlanError, ShardError
from vdata.field import Field
from vdata.shards import files
from vdata.shards.fetch import exists, local_path, open_file, put_file, remove, tars_in, temporary_beside, write_file
from vdata.shards.manifest import Manifest
from vdata.shards.rows import Part, Rows
from vdata.shards.tar import BLOCK, members, samples
from vdata.shards.urls import check_name, join

_SUFFIX = re.compile(r"[a-z0-9_+-]+(\.[a-z0-9_+-]+)*")
_END_MARK = 2 * BLOCK


class _Written(NamedTuple):
    """A sample as it was given: what the shard must hold when it is read back."""

    key: str
    parts: dict[str, tuple[str, int, int]]  # field -> suffix, size, crc32c
    columns: Mapping[str, int | float]


class _Shard:
    """The shard being written: its file under a temporary name, and what went into it."""

    def __init__(self, name: str, temporary: str):
        self.name, self.temporary = name, temporary
        self.samples: list[_Written] = []
        self.size = _END_MARK
        self.file = open(temporary, "xb")  # noqa: SIM115  `close` closes it
        # Owner and time are fixed, so that equal samples give equal bytes.
        self.tar = TarWriter(self.file, user="", group="", mode=0o644, mtime=0, compress=False, encoder=False)

    def close(self) -> None:
        try:
            self.tar.close()
        finally:
            self.file.close()


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
        if "/" in check_name(prefix) or prefix.startswith("."):
            raise PlanError(f"prefix={prefix!r} is not the beginning of a file's name")
        self.url, self.prefix, self.overwrite = os.fspath(url), prefix, overwrite
        self.samples_per_shard, self.bytes_per_shard = samples_per_shard, bytes_per_shard
        for name in fields or {}:
            _check_field(name)
        self.fields = fields
        self.manifest: Manifest | None = None
        self._rows = Rows(fields, checksums=True)
        self._keys: set[str] = set()
        self._columns: tuple[str, ...] | None = None
        self._shard: _Shard | None = None
        self._published: list[str] = []
        self._folder = ""  # where shards grow: the target, or a workroom if that is remote
        self._workroom: tempfile.TemporaryDirectory[str] | None = None
        self._open = False

    def __enter__(self) -> ShardWriter:
        self._make_room()
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

    def write(
        self,
        key: str,
        members: Mapping[str, tuple[str, bytes | memoryview]],
        columns: Mapping[str, int | float] | None = None,
    ) -> None:
        """Add a sample: {field: (suffix, bytes)}, and the scalars of the manifest's columns.

        ShardError for a key that cannot be or was there before, or a field that is missing; PlanError for what no
        sample may have. Nothing of the sample is written then, and the next one may follow.
        """
        if not self._open:
            raise PlanError("a ShardWriter writes inside its `with` block")
        columns = dict(columns or {})
        name = self._checked_key(key)
        parts = self._checked_parts(key, members)
        self._check_columns(key, columns)
        size = sum(2 * BLOCK + len(data) for _, data in parts.values())
        if self._shard is not None and self._is_full(self._shard, size):
            self._end_shard()
        shard = self._shard = self._shard or self._begin_shard()
        shard.tar.write({"__key__": name, **{f"{field}.{suffix}": data for field, (suffix, data) in parts.items()}})
        summary = {field: (suffix, len(data), crc32c(data)) for field, (suffix, data) in parts.items()}
        shard.samples.append(_Written(key, summary, columns))
        shard.size += size
        self._keys.add(key)

    def _is_full(self, shard: _Shard, more: int) -> bool:
        return len(shard.samples) >= self.samples_per_shard or shard.size + more > self.bytes_per_shard

    def _checked_key(self, key: str) -> str:
        if key in self._keys:
            raise ShardError(
                "a second sample with this key", url=self.url, key=key, do="give every sample a key of its own"
            )
        return quote_key(key)

    def _checked_parts(
        self, key: str, members: Mapping[str, tuple[str, bytes | memoryview]]
    ) -> dict[str, tuple[str, memoryview]]:
        if not members:
            raise ShardError("a sample without fields", url=self.url, key=key, do="leave it out, or give it a field")
        for field, (suffix, _) in members.items():
            _check_field(field)
            if not _SUFFIX.fullmatch(suffix):
                what = f"field {field!r} of sample {key!r} has the suffix {suffix!r}"
                raise PlanError(f"{what}: a suffix is lower case, as in 'png' or 'json'")
        if self.fields is not None:
            if unknown := members.keys() - self.fields.keys():
                raise PlanError(f"sample {key!r} has the fields {sorted(unknown)}, which the schema does not name")
            for field, declared in self.fields.items():
                if field not in members and not declared.optional:
                    raise ShardError(
                        "the sample lacks a field",
                        url=self.url,
                        key=key,
                        field=field,
                        do="declare the field optional=True if it may be missing",
                    )
        return {field: (suffix, memoryview(data).cast("B")) for field, (suffix, data) in members.items()}

    def _check_columns(self, key: str, columns: Mapping[str, int | float]) -> None:
        if self._columns is None:
            self._columns = tuple(columns)
        if columns.keys() != set(self._columns):
            what = f"sample {key!r} has the columns {sorted(columns)}, the samples before it {sorted(self._columns)}"
            raise PlanError(f"{what}: every sample has all of them")
        for name, value in columns.items():
            whole = isinstance(value, (int, np.integer)) and -(2**63) <= value < 2**63
            if not whole and not isinstance(value, (float, np.floating)):
                raise PlanError(
                    f"column {name!r} of sample {key!r} is {value!r}: a column holds integers of 64 bits, or floats"
                )

    def _begin_shard(self) -> _Shard:
        name = f"{self.prefix}-{len(self._published):06d}.tar"
        return _Shard(name, temporary_beside(os.path.join(self._folder, name)))

    def _end_shard(self) -> None:
        """Close the shard under way, read it back, and give it its name."""
        shard = self._shard
        if shard is None:
            return
        shard.close()
        self._read_back(shard)
        self._published.append(shard.name)  # before it is there: what fails half-way is removed too
        put_file(shard.temporary, join(self.url, shard.name))
        self._shard = None

    def _read_back(self, shard: _Shard) -> None:
        """Compare the file with what was given, and take the offsets from the file."""
        data = open_file(shard.temporary)
        found = list(samples(members(data)))
        if len(found) != len(shard.samples):
            raise self._altered(shard)
        for (name, parts), given in zip(found, shard.samples, strict=True):
            expected = {f"{field}.{suffix}": rest for field, (suffix, *rest) in given.parts.items()}
            actual = {extension: [m.size, crc32c(data[m.offset : m.offset + m.size])] for extension, m in parts.items()}
            if name != quote_key(given.key) or actual != expected:
                raise self._altered(shard, given.key)
            placed = {
                field: Part(suffix, parts[f"{field}.{suffix}"], crc) for field, (suffix, _, crc) in given.parts.items()
            }
            self._rows.add(given.key, placed, given.columns)
        self._rows.end_shard(shard.name, len(data))

    def _altered(self, shard: _Shard, key: str | None = None) -> ChecksumError:
        return ChecksumError(
            "what was read back is not what was written", url=self.url, shard=shard.name, key=key, do="check the disk"
        )

    def _make_room(self) -> None:
        """See that nothing is at `url`, or remove what is to be overwritten, its manifest first."""
        manifest = join(self.url, files.NAME)
        ours = re.compile(re.escape(self.prefix) + r"-\d{6,}\.tar")
        there = [url for url in tars_in(self.url) if ours.fullmatch(url.rpartition("/")[2])]
        if not self.overwrite and exists(manifest):
            raise ShardError(
                "there is a data set already", url=self.url, do="write elsewhere, or pass overwrite=True to replace it"
            )
        if not self.overwrite and there:
            raise ShardError(
                "there are shards of this name but no manifest: what a broken writer left, or somebody's data", url=self.url,
                do="write elsewhere, or pass overwrite=True to replace them",
            )  # fmt: skip
        mark = join(self.url, files.UNFINISHED)
        try:
            write_file(mark, b"a writer is at work, or was killed: these shards are not a data set\n")
        except ShardError:
            remove(mark)
            raise
        for url in (manifest, join(self.url, files.SIDECAR), *there):
            remove(url)

    def _discard(self) -> None:
        """Leave nothing behind."""
        if self._shard is not None:
            with suppress(OSError):  # a full disk is no reason to keep the file
                self._shard.close()
            remove(self._shard.temporary)
        for name in (files.NAME, files.SIDECAR, *self._published, files.UNFINISHED):
            remove(join(self.url, name))


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
