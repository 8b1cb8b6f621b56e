"""A disk cache of remote objects, shared by all processes of a machine.

What is read is kept in blocks of 16 KiB and checked on every read (blocks.py); one process fetches what many want; the entry
that was used least recently makes room. A cache that cannot be written is no error: it says so once, and reads go on
over the network.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from vdata.errors import ShardError, TruncatedShardError
from vdata.shards.blocks import BLOCK, LARGEST, Blocks, Identity, identify, open_blocks
from vdata.shards.upkeep import default_root, entries, evict, folder_of, parse_size

PATIENCE = 60.0  # seconds to wait for bytes that somebody else fetches
_OPEN = 64  # entries held open by a process
_RUN = 512 * BLOCK  # what is fetched at once
_LOOK = 5.0  # seconds after which the folder is looked at again: others write to it too
_MOST = 200 * 10**9  # of a disk, unless more is asked for
_CACHES: weakref.WeakSet[Cache] = weakref.WeakSet()

Fetch = Callable[[int, int], Any]
T = TypeVar("T")


class Cache:
    """The cache in the folder `root`, of at most `limit` bytes on the disk (a number, or "50GB").

    `root` is by default that of `default_root()`; `limit` is VDATA_CACHE_LIMIT or half of what is free, at most 200 GB.
    PlanError if others could write to the folder.

    >>> import tempfile
    >>> entry = Cache(tempfile.mkdtemp(), "1GB").entry("https://host/a.tar", '"v1"', 10)
    >>> entry.read(2, 3, lambda start, length: b"0123456789"[start : start + length])
    b'234'
    >>> entry.missing(0, 10)
    False
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, limit: int | str | None = None):
        self.root = folder_of(default_root() if root is None else root)
        limit = os.environ.get("VDATA_CACHE_LIMIT") if limit is None else limit
        self.limit = self._asked = None if limit is None else parse_size(limit)
        self._stopped = False
        self._open: dict[str, Blocks] = {}
        self._distrusted: set[str] = set()
        self._forget()
        _CACHES.add(self)

    def __reduce__(self):
        return shared, (self.root, self._asked)

    def __repr__(self) -> str:
        return f"Cache({self.root!r}, {self.limit})"

    def _forget(self) -> None:
        """A forked child begins anew: it shares no open file with its parent, and no lock that another thread held."""
        for files in self._open.values():
            files.close()
        self._open.clear()
        self._guard, self._space = threading.Lock(), threading.Lock()
        self._used = self._looked = self._look_above = self._full_until = 0.0

    def close(self) -> None:
        """Close all files. The cache can be used again."""
        with self._guard:
            self._open.clear()  # who reads from one still holds it

    def entry(self, url: str, etag: str, size: int) -> Entry:
        """One version of one object of `size` bytes."""
        return Entry(self, identify(url, etag, size))

    def files(self, what: Identity) -> Blocks | None:
        """The open files of an entry; None where it cannot be kept."""
        with self._guard:
            files = self._open.pop(what.name, None)
            if what.name in self._distrusted:
                return None
            if files is None or files.gone:
                files = self._opened(what)
            if files is not None:
                files.touch()
                self._open[what.name] = files  # now the last one
            if len(self._open) > _OPEN:
                del self._open[next(iter(self._open))]  # who reads from it still holds it
            return files

    def _opened(self, what: Identity) -> Blocks | None:
        def may_make() -> bool:
            return what.size <= LARGEST and self.room(8192 + 4 * what.blocks)

        return self.tried(lambda: open_blocks(self.root, what, may_make))

    # -- room ----------------------------------------------------------------------------------------------------------

    @property
    def storing(self) -> bool:
        return not self._stopped and time.monotonic() >= self._full_until

    def room(self, size: int) -> bool:
        """Whether `size` more bytes may be stored, once what was used least recently has made room. They count as stored."""
        with self._space:
            if not self.storing:
                return False
            if time.monotonic() > self._looked + _LOOK or self._used + size > self._look_above:
                self._look()
            limit = self._most()
            if size > 0.9 * limit:
                return False
            if self._used + size > limit:
                self._used -= evict(entries(self.root), self._used + size - 0.9 * limit)
            if self._used + size > limit:
                self._full_until = time.monotonic() + _LOOK
                return False
            self._used += size
            return True

    def _look(self) -> None:
        """Count what is there, and say when to count again: the less room there is, the sooner, as others fill it too."""
        self._used = sum(entry.bytes for entry in entries(self.root))
        limit = self._most()
        self._looked = time.monotonic()
        self._look_above = min(limit, self._used + max((limit - self._used) / 16, limit / 1000))

    def _most(self) -> int:
        if self.limit is None:
            self.limit = min(_MOST, int(self._used + shutil.disk_usage(_there(self.root)).free) // 2)
        return self.limit

    def tried(self, write: Callable[[], T]) -> T | None:
        """What `write` gives, if the disk lets it. A full disk gets a tenth of the cache back, once."""
        for again in (True, False):
            try:
                return write()
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not (again and full and evict(entries(self.root), max(self._used / 10, _RUN))):
                    self._stop(error)
                    break
        return None

    def distrust(self, what: Identity, error: OSError) -> None:
        """Blocks that are wrong cannot be marked so: read none of this entry any more."""
        self._distrusted.add(what.name)
        self._stop(error)

    def _stop(self, error: OSError) -> None:
        with self._space:
            stopped, self._stopped = self._stopped, True
        if not stopped:
            why = f"the cache {self.root} cannot be written ({error.strerror}): this process stores nothing more in it and reads over the network"
            warnings.warn(f"{why}. Make room, or name another folder in VDATA_CACHE", UserWarning, stacklevel=2)


@lru_cache(maxsize=16)
def shared(root: str | None, limit: int | str | None) -> Cache:
    """The one cache of a folder and limit in this process: two would not see each other's locks."""
    return Cache(root, limit)


class Entry:
    """One version of one remote object. Threads and processes may read the same one; each byte is fetched once."""

    def __init__(self, cache: Cache, what: Identity):
        self._cache, self._what = cache, what
        self.size = what.size

    def __repr__(self) -> str:
        return f"Entry({self._what.url!r}, {self._what.etag!r}, {self._what.size})"

    def read(self, start: int, length: int, fetch: Fetch) -> bytes:
        """The bytes of a range. `fetch(start, length)` brings those that are not here: exactly so many, or it raises."""
        return b"".join(self._window(a, b, fetch) for a, b in self._windows(start, length))

    def missing(self, start: int, length: int) -> bool:
        """Whether a read of the range would fetch anything."""
        files = self._cache.files(self._what)
        return any(files is None or files.load(a // BLOCK, -(-b // BLOCK))[1] for a, b in self._windows(start, length))

    def marked(self, start: int, length: int) -> bool:
        """Whether the range seems to be here: a quick look, which a read may find to be wrong."""
        files = self._cache.files(self._what)
        return files is not None and all(all(files.marks(a // BLOCK, -(-b // BLOCK))) for a, b in self._windows(start, length))

    def drop(self, start: int, length: int) -> None:
        """Forget the blocks of a range: they hold what was fetched, and that was wrong."""
        files = self._cache.files(self._what)
        for a, b in self._windows(start, length):
            try:
                if files is not None:
                    files.forget(a // BLOCK, -(-b // BLOCK))
            except OSError as error:
                self._cache.distrust(self._what, error)

    def _windows(self, start: int, length: int) -> list[tuple[int, int]]:
        """The range in pieces of what is fetched at once."""
        start, end = int(start), int(start) + int(length)
        if not 0 <= start <= end <= self._what.size:
            raise ShardError(f"no such range: {length} bytes from byte {start}, of {self._what.size}", url=self._what.url)
        return [(max(at, start), min(at + _RUN, end)) for at in range(start - start % BLOCK, end, _RUN)]

    def _window(self, start: int, end: int, fetch: Fetch) -> bytes:
        files = self._cache.files(self._what)
        if files is None:
            return bytes(self._fetched(start, end, fetch))
        with files.reading():
            first = start // BLOCK
            data, missing = files.load(first, -(-end // BLOCK))
            if missing:
                data = self._completed(files, data, missing, start, end, fetch)
            return bytes(data[start - first * BLOCK : end - first * BLOCK])

    def _completed(self, files: Blocks, here: bytes, missing: list[int], start: int, end: int, fetch: Fetch) -> bytearray:
        """The blocks around start..end, all of them: `here` has those that are not missing."""
        first = start // BLOCK
        data = bytearray(min(-(-end // BLOCK) * BLOCK, self._what.size) - first * BLOCK)
        data[: len(here)] = here
        until, pause = time.monotonic() + PATIENCE, 0.002
        while True:
            before = len(missing)
            alone = not self._cache.storing or time.monotonic() > until
            with files.claimed(() if alone else missing) as mine:
                # Look again: others let go of a block after they have stored it.
                missing = [number for run in _runs(missing) for number in self._arrived(files, data, first, run)]
                for a, b in _runs(number for number in missing if alone or number in mine):
                    self._bring(files, data, (a, b), (start, end), fetch)
                    missing = [number for number in missing if not a <= number < b]
            if not missing:
                return data
            if len(missing) < before:
                until, pause = time.monotonic() + PATIENCE, 0.002
            files.wait(pause)
            pause = min(2 * pause, 0.05)

    def _arrived(self, files: Blocks, data: bytearray, first: int, run: tuple[int, int]) -> list[int]:
        """Take the blocks of a run that have come; those that have not."""
        found, missing = files.load(*run)
        for number in set(range(*run)).difference(missing):
            here, there, length = (number - run[0]) * BLOCK, (number - first) * BLOCK, files.length(number)
            data[there : there + length] = found[here : here + length]
        return missing

    def _bring(self, files: Blocks, data: bytearray, run: tuple[int, int], wanted: tuple[int, int], fetch: Fetch) -> None:
        """Fetch a run of blocks and keep it; where it cannot be kept, no more than is wanted."""
        start, end, offset = run[0] * BLOCK, min(run[1] * BLOCK, self._what.size), wanted[0] - wanted[0] % BLOCK
        kept = self._cache.room(end - start)
        if not kept:
            start, end = max(start, wanted[0]), min(end, wanted[1])
        got = self._fetched(start, end, fetch)
        data[start - offset : end - offset] = got
        if kept:
            self._cache.tried(lambda: files.put(run[0], got))

    def _fetched(self, start: int, end: int, fetch: Fetch) -> memoryview:
        got = memoryview(fetch(start, end - start)).cast("B")
        if len(got) != end - start:
            numbers = f"expected {end - start} bytes from byte {start}, got {len(got)}"
            raise TruncatedShardError(f"the server sent another number of bytes than it was asked for: {numbers}", url=self._what.url, byte=start)
        return got


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges (first, last + 1)."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def _after_fork() -> None:
    for cache in list(_CACHES):
        cache._forget()


os.register_at_fork(after_in_child=_after_fork)


def _there(path: str) -> str:
    """The deepest folder on the way to `path` that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
