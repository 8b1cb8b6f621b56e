"""Ranges of the shards in one folder: local ones are mapped, far ones come from the cache or over the network, checked, ahead of time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from functools import lru_cache

from vdata.errors import ChangedError, DataError, RemoteError, ShardError, TruncatedShardError, redact
from vdata.remote.engine import Version, engine_of
from vdata.shards.ahead import Ahead
from vdata.shards.cache import Cache, Entry
from vdata.shards.storage import open_file
from vdata.urls import join, local_path, scheme

OPEN_SHARDS = 64  # mapped at a time by one Fetcher


class Fetcher:
    """Ranges of the files in one folder. Cheap to pickle; open files and connections are never carried to another process.

    sizes  how long each shard is, if that is known: another length is an error
    stamp  what stands for the shards' content in the cache, where a manifest vouches for it; else their ETags do, which
           costs one request a shard, and a server without strong ETags is not cached
    cache  where bytes from far away are kept; None: nowhere
    seen   the version of each far shard that was read from, here or before: bytes of another one are a ChangedError, in all processes

    >>> from vdata.shards.storage import write_file
    >>> write_file("memory://doc/a.tar", b"0123456789")
    >>> bytes(Fetcher("memory://doc").read("a.tar", 2, 3))
    b'234'
    """

    def __init__(
        self, base_url: str | os.PathLike[str], *, sizes: Mapping[str, int] | None = None, stamp: str = "", cache: Cache | None = None,
        seen: Mapping[str, Version] | None = None,
    ):  # fmt: skip
        self.base_url = os.fspath(base_url)
        scheme(self.base_url)
        self.far = local_path(self.base_url) is None  # whether a read takes a round trip
        self.sizes, self.stamp, self.cache, self.seen = sizes or {}, stamp, cache, dict(seen or {})
        self._forget()

    def __reduce__(self):
        return _fetcher, (self.base_url, self.sizes, self.stamp, self.cache, dict(self.seen))

    def __repr__(self) -> str:
        return f"Fetcher({redact(self.base_url)!r})"

    def _forget(self) -> None:
        self._guard = threading.Lock()
        # An evicted map is only let go of: views that users hold keep it, and their bytes, alive.
        self._mapped = lru_cache(OPEN_SHARDS)(lambda name: open_file(join(self.base_url, name)))
        self._url = lru_cache(None)(lambda shard: join(self.base_url, shard))
        self._entries: dict[str, Entry] = {}
        self._ahead = Ahead(self._far)
        self.traffic = Traffic()
        self._process = os.getpid()  # last: another thread may look at it now

    def read(self, shard: str, start: int, length: int) -> memoryview:
        """Exactly `length` bytes from byte `start` of a shard; TruncatedShardError where it has fewer."""
        start, length = int(start), int(length)
        if start < 0 or length < 0:
            raise ShardError(f"no such range: {length} bytes from byte {start}", url=self.base_url, shard=shard)
        self._here()
        if self.far:
            ready = self._ahead.take(shard, start, length)
            return self._far(shard, start, length) if ready is None else ready
        return self._exactly(shard, start, length, self._mapped(shard)[start : start + length])

    def read_again(self, shard: str, start: int, length: int) -> memoryview:
        """The same from where it comes: what the cache has of it was found to be wrong."""
        if entry := self._entry(shard):
            entry.drop(start, length)
        return self._far(shard, start, length)

    def prepare(self, ranges: Iterable[tuple[str, int, int]]) -> None:
        """Begin to bring ranges that will be read soon. Returns at once."""
        if self.far:
            self._here()
            self._ahead.prepare(r for r in ranges if not (r[0] in self._entries and self._entries[r[0]].marked(*r[1:])))

    def size(self, shard: str) -> int:
        """How many bytes a shard has."""
        self._here()
        if not self.far:
            return len(self._mapped(shard))
        size = self._version(shard).size
        if size < 0:
            raise RemoteError("the server does not say how long the shard is", url=join(self.base_url, shard), do="copy the shards to storage that does")
        return size

    def read_all(self, shard: str) -> memoryview:
        """A whole shard: mapped if it is local, read if it is not."""
        self._here()
        return self.read(shard, 0, self.size(shard)) if self.far else self._mapped(shard)

    def _here(self) -> None:
        if self._process != os.getpid():
            self._forget()

    # -- far away ------------------------------------------------------------------------------------------------------

    def _far(self, shard: str, start: int, length: int) -> memoryview:
        """A range from the cache, or over the network."""
        if length == 0:
            return memoryview(b"")  # a range of no bytes cannot be asked for over HTTP
        entry = self._entry(shard)
        if entry is None:
            return self._exactly(shard, start, length, self._asked(shard, start, length))
        if start + length > entry.size:
            raise self._unequal(shard, start, length, max(0, entry.size - start))
        brought: list[int] = []

        def bring(first: int, size: int) -> memoryview:
            brought.append(size)
            return self._exactly(shard, first, size, self._asked(shard, first, size))

        data = entry.read(start, length, bring)
        self.traffic.add(cached=0 if brought else length)
        return memoryview(data)

    def _asked(self, shard: str, start: int, length: int) -> memoryview:
        """A range over the network, of the version that was first seen."""
        url = self._url(shard)
        try:
            data, version = engine_of(url).read(url, start, length, self.seen.get(shard))
            self._pin(shard, version)
        except (RemoteError, DataError) as error:
            error.at(url=url, shard=shard, byte=start)
            raise
        self.traffic.add(requests=1, bytes=len(data))
        return memoryview(data)

    def _version(self, shard: str) -> Version:
        if shard not in self.seen:
            url = join(self.base_url, shard)
            try:
                self._pin(shard, engine_of(url).stat(url))
            except RemoteError as error:
                error.at(url=url, shard=shard)
                raise
        return self.seen[shard]

    def _pin(self, shard: str, version: Version) -> None:
        """What was first seen of a shard is what all further bytes must be of."""
        with self._guard:
            first = self.seen.setdefault(shard, version)
            if first.etag != version.etag and not first.etag:
                self.seen[shard] = version  # some servers give an ETag with the bytes alone
        known = self.sizes.get(shard, first.size)
        if known != version.size and -1 not in (known, version.size):
            raise ChangedError(f"the shard has {version.size} bytes, and should have {known}", do="was it replaced? open the data set again, or pack it anew")
        if first.etag not in ("", version.etag):
            raise ChangedError("the shard was replaced while it was read", do="open the data set again")

    def _entry(self, shard: str) -> Entry | None:
        """A shard in the cache; None where it is not kept."""
        if self.cache is None:
            return None
        if shard not in self._entries:
            version = self._cached_as(shard)
            if version is None:
                return None
            self._entries[shard] = self.cache.entry(self._url(shard), version.etag, version.size)
        return self._entries[shard]

    def _cached_as(self, shard: str) -> Version | None:
        """What a shard is called in the cache; None where nothing vouches for its content."""
        if self.stamp and shard in self.sizes:
            return Version(self.stamp, self.sizes[shard])
        version = self._version(shard)
        return version if version.etag and version.size >= 0 else None

    # -- lengths -------------------------------------------------------------------------------------------------------

    def _exactly(self, shard: str, start: int, length: int, data: memoryview) -> memoryview:
        if len(data) != length:
            raise self._unequal(shard, start, length, len(data))
        return data

    def _unequal(self, shard: str, start: int, length: int, got: int) -> ShardError:
        where = {"url": join(self.base_url, shard), "shard": shard, "byte": start}
        numbers = f"expected {length} bytes from byte {start}, got {got}"
        if got > length:
            do = "copy the shards to storage that honours ranges"
            return ShardError(f"the server sent more than it was asked for: {numbers}", **where, do=do)
        do = "fetch the shard again, or index it anew if it was replaced"
        return TruncatedShardError(f"the shard is too short: {numbers}", **where, do=do)


class Traffic:
    """What was brought from far away: requests, bytes of their answers, and bytes of reads that the cache answered alone."""

    def __init__(self) -> None:
        self._guard, self._counts = threading.Lock(), {"requests": 0, "bytes": 0, "cached": 0}

    def add(self, **more: int) -> None:
        with self._guard:
            for name, count in more.items():
                self._counts[name] += count

    def __call__(self) -> dict[str, int]:
        with self._guard:
            return dict(self._counts)


def _fetcher(base_url: str, sizes: Mapping[str, int], stamp: str, cache: Cache | None, seen: Mapping[str, Version]) -> Fetcher:
    return Fetcher(base_url, sizes=sizes, stamp=stamp, cache=cache, seen=seen)
