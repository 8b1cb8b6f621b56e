"""A file on its way: `name.<token>.part`, and `name.part.json`, which says what it is a part of.

Only a whole part gets the final name, so nothing half-written is ever seen under it. The control file `name.part.json`
is locked by the process that works on the file; others wait, which saves work. Where locks do nothing (some network
file systems) the bytes are right all the same: a part holds bytes of one version of one object, starting over is a
new part under a new name, and a process gives the final name only to the part that it has written or continued.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vdata.errors import DataError
from vdata.fetching.origin import Origin, parsed, recorded
from vdata.fetching.regular import NO_LINK, NO_WAIT, expect_regular, is_regular, read_regular

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OPEN = os.O_RDWR | os.O_CREAT | NO_LINK | NO_WAIT
_RECORD = 1 << 16  # no record is longer


class Part:
    """The bytes of `path` that are there so far; a context manager. Call `claim` first."""

    def __init__(self, path: Path, algorithm: str):
        self.path = path
        self.origin = Origin()
        self.size = 0
        self.furthest = 0  # the most that `size` has been; whoever starts with another server sets it back
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._control = path.with_name(f"{path.name}.part.json")
        self._lock = self._file = -1
        self._name = path
        self._saved = 0.0

    @property
    def whole(self) -> bool:
        return self._file >= 0 and self.size == self.origin.total

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *failed: object) -> None:
        """What can be continued stays, for the next one who wants the file."""
        if self._file >= 0 and self._lock >= 0 and self.size and self.origin.stable:
            with suppress(DataError):  # then an earlier record holds
                self.save()
            self._close()
        self.forget()
        self._release()

    # -- one process at a time -----------------------------------------------------------------------------------------

    def claim(self, pause: Callable[[float], None], seen: Callable[[int], None], patience: float) -> bool:
        """Take over what was left here. False: another process has brought the file meanwhile.

        A process that works on it is waited for, unless it gets nothing done for `patience` seconds.
        """
        with self._disk():
            before, since = None, time.monotonic()
            while not self._locked():
                record = self._record()
                if record != before:
                    before, since = record, time.monotonic()
                elif time.monotonic() - since > patience:
                    return True  # a part of our own, that nobody continues
                pause(0.1)
                if os.path.lexists(self.path):
                    return False
            if os.path.lexists(self.path):
                return False
            if self._lock >= 0:
                self._take_over(seen)
            return True

    def _locked(self) -> bool:
        """Whether nobody else works on it, or nobody can tell: then the control file is not used."""
        while True:
            expect_regular(self._control, links=False)
            lock = os.open(self._control, _OPEN, 0o666)
            try:
                if fcntl is None:
                    raise OSError(errno.ENOTSUP, "no locks")
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):  # its owner removed it when the work was done
                    if is_regular(lock) and os.path.samestat(os.fstat(lock), os.lstat(self._control)):
                        self._lock, lock = lock, -1
                        return True
            except BlockingIOError:
                return False
            except OSError:
                with suppress(OSError):
                    os.unlink(self._control)
                return True
            finally:
                if lock >= 0:
                    os.close(lock)

    def _release(self) -> None:
        if self._lock >= 0:
            if not self._record():
                with suppress(OSError):
                    os.unlink(self._control)
            if fcntl is not None:
                fcntl.flock(self._lock, fcntl.LOCK_UN)  # a forked child may hold it open
            os.close(self._lock)
            self._lock = -1

    # -- what an earlier process left ----------------------------------------------------------------------------------

    def _take_over(self, seen: Callable[[int], None]) -> None:
        ours = re.compile(re.escape(self.path.name) + r"\.[0-9a-f]{8}\.part")
        left = {n for n in os.listdir(self.path.parent) if ours.fullmatch(n)}
        record = parsed(self._record())
        if record and record[0] in left and self._continue(*record, seen):
            left.remove(record[0])
        for name in left:
            with suppress(OSError):
                os.unlink(self.path.with_name(name))

    def _continue(self, name: str, origin: Origin, written: int, seen: Callable[[int], None]) -> bool:
        """Go on with a part, if it holds what its record says. Bytes after those that surely reached the disk are not used."""
        path, done = self.path.with_name(name), 0
        try:
            file = os.open(path, _OPEN & ~os.O_CREAT)
        except OSError:
            return False
        try:
            if not is_regular(file) or not origin.stable or not 0 < written <= os.fstat(file).st_size:
                return False
            while done < written and (data := os.read(file, min(_CHUNK, written - done))):
                self._hash.update(data)
                done += len(data)
                seen(len(data))
            self._file, self._name, self.origin, self.size, file = file, path, origin, done, -1
            return True
        finally:
            if file >= 0:
                os.close(file)

    def _record(self) -> bytes:
        return read_regular(self._control, _RECORD).strip()

    # -- writing -------------------------------------------------------------------------------------------------------

    def begin(self, origin: Origin) -> None:
        """Start over with a new, empty part."""
        self.forget()
        with self._disk():
            name = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.part")
            self._file, self._name = os.open(name, _OPEN | os.O_EXCL, 0o666), name
        self.origin = origin
        self.save()

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        with self._disk():
            rest = memoryview(data)
            while rest:
                done = os.write(self._file, rest)
                self.size, rest = self.size + done, rest[done:]
        self.furthest = max(self.furthest, self.size)

    def save(self, every: float = 0.0) -> None:
        """Make the bytes last and say so in the control file, unless that was done less than `every` seconds ago."""
        if self._lock < 0 or time.monotonic() - self._saved < every:
            return
        text = recorded(self._name.name, self.origin, self.size)
        with self._disk():
            os.fsync(self._file)
            os.pwrite(self._lock, text, 0)  # in place: the lock is on this file
            os.ftruncate(self._lock, len(text))
        self._saved = time.monotonic()

    def head(self, size: int) -> bytes:
        """The first bytes."""
        with self._disk():
            os.lseek(self._file, 0, os.SEEK_SET)
            start = os.read(self._file, size)
            os.lseek(self._file, self.size, os.SEEK_SET)
            return start

    def finish(self) -> None:
        """All of it is there, of a length that nobody said."""
        self.origin = self.origin._replace(total=self.size)

    def forget(self) -> int:
        """Remove what is there: it is not what it should be. Returns how many bytes that were."""
        dropped = self.size
        if self._file >= 0:
            name = self._close()
            with suppress(OSError):
                os.unlink(name)
            self._clear()
        self.origin, self.size, self._hash = Origin(), 0, hashlib.new(self._algorithm, usedforsecurity=False)
        return dropped

    def publish(self) -> bool:
        """Give it its final name. False: another process has done so, or has removed the part."""
        with self._disk():
            os.fsync(self._file)
            if os.path.lexists(self.path):
                self.forget()
                return False
            try:
                os.replace(self._close(), self.path)
            except FileNotFoundError:
                return False
            finally:
                self._clear()
            _sync_folder(self.path.parent)
            return True

    def _close(self) -> Path:
        os.close(self._file)
        self._file = -1
        return self._name

    def _clear(self) -> None:
        if self._lock >= 0:
            os.ftruncate(self._lock, 0)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """What the disk says, said clearly."""
        try:
            yield
        except OSError as error:
            do = "see to it that this folder can be written"
            if error.errno in _FULL:
                do = f"make room, and start again: {'it goes on from here' if self.origin.stable else 'nothing is left behind'}"
            why = f"cannot write {self.path.name} beyond byte {self.size}: {error.strerror}"
            raise DataError(why, url=str(self.path), do=do) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name last. Not every system can open a folder."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
