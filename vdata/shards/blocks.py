"""One remote object as far as it is on this machine: a file of blocks, and a table that says which of them are here.

    <root>/ab/ab12….data    the object's bytes, each at its place: a sparse file of the object's size
    <root>/ab/ab12….have    a header that says which object it is, then four bytes a block: 0, or the block's mark

A mark is the checksum of the entry's name, the block's number and its bytes, and **a block counts only if its mark
verifies, on every read**. Torn, half-written, rotten and misplaced blocks are simply not here: any process may be
killed, and the machine lose power, at any moment; correctness needs neither lock nor fsync. Files are read with pread,
never mapped: somebody may cut them, and a map would end the process (SIGBUS).

Locks save work, nothing else. A POSIX lock at `_LOCKS + block` of the table's file is held by the process that fetches
the block; it ends with the process. All of a process's are lost when it closes any descriptor of that file, so it opens an
entry once. A flock on the data file is shared while somebody reads, exclusive while the entry is made or removed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np
from crc32c import crc32c

from vdata.errors import redact

BLOCK = 1 << 14
LARGEST = 1 << 38  # a larger object is not kept: its table alone, made at a server's word, would take more than 64 MiB
HEADER = struct.Struct("<6sHIQI")  # magic, version, bytes a block, bytes of the object, bytes of the text that follows
_MAGIC, _VERSION = b"vdata#", 1
_LOCKS = 1 << 40  # far beyond the end of every table
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a link leads elsewhere, a pipe would be waited for
_ODD = {errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO, errno.EACCES}
_SIGNING = re.compile(
    r"(?i)x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|key-pair-id|policy|expires|.*signature|sig|s[eprtv]|spr|sip|"
    r"sk(oid|tid|t|e|s|v)|.*(token|secret|password|passwd|pwd)|credentials?|auth|authorization"
)


class Identity(NamedTuple):
    """Which object, in which version. `url` can be shown."""

    name: str
    url: str
    etag: str
    size: int

    @property
    def header(self) -> bytes:
        text = json.dumps([self.url, self.etag]).encode()
        text += b" " * (-len(text) % 8)
        return HEADER.pack(_MAGIC, _VERSION, BLOCK, self.size, len(text)) + text

    @property
    def blocks(self) -> int:
        return -(-self.size // BLOCK)

    def stem(self, root: str) -> str:
        return os.path.join(root, self.name[:2], self.name)


def identify(url: str, etag: str, size: int) -> Identity:
    """The entry of an object. URLs that differ only in who asks, and until when, name one object.

    >>> a, b = (identify(f"https://{who}host/a.tar?part=1&X-Amz-Signature={n}", '"v1"', 10) for n, who in enumerate(["", "me:pw@"]))
    >>> a == b, a.url
    (True, 'https://host/a.tar?part=1')
    """
    named = url
    if url.lower().startswith(("http://", "https://")):
        base, _, query = url.partition("#")[0].partition("?")
        asked = "&".join(part for part in query.split("&") if not _SIGNING.fullmatch(part.partition("=")[0]))
        named = redact(base).replace("://***@", "://") + (f"?{asked}" if asked else "")
    name = hashlib.sha256("\0".join((named, etag, str(size))).encode("utf-8", "surrogatepass")).hexdigest()
    return Identity(name, redact(named)[:4000], etag[:1000], size)


class Blocks:
    """The two open files of an entry. Threads may share it; closed when nobody holds it any more."""

    def __init__(self, stem: str, what: Identity):
        self.size, self.count = what.size, what.blocks
        self._data = self._have = -1
        self._header, self._table = what.header, len(what.header)
        self._seed = crc32c(bytes.fromhex(what.name))
        self._touched = 0.0
        self._readers = 0
        self._fetching: set[int] = set()
        self._changed = threading.Condition()
        self._data = open_own(stem + ".data")
        self._have = open_own(stem + ".have")

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        files, self._data, self._have = (self._data, self._have), -1, -1
        for file in files:
            if file >= 0:
                os.close(file)

    @property
    def fits(self) -> bool:
        """Whether both files are what they should be."""
        if self._data < 0 or self._have < 0 or os.fstat(self._data).st_size != self.size:
            return False
        return os.fstat(self._have).st_size == self._table + 4 * self.count and os.pread(self._have, self._table, 0) == self._header

    @property
    def gone(self) -> bool:
        """Whether somebody has removed or replaced it."""
        try:
            return not (os.fstat(self._data).st_nlink and os.fstat(self._have).st_nlink)
        except OSError:
            return True

    def touch(self) -> None:
        """Say that it is used: the time of the table's file. Once a second is often enough."""
        if time.monotonic() > self._touched + 1.0:
            self._touched = time.monotonic()
            with suppress(OSError):
                os.utime(self._have)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Nobody removes it meanwhile."""
        with self._changed:
            self._readers += 1
            if self._readers == 1:
                flock(self._data, fcntl.LOCK_SH, 1.0)
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if not self._readers:
                    flock(self._data, fcntl.LOCK_UN)

    # -- blocks --------------------------------------------------------------------------------------------------------

    def load(self, first: int, last: int) -> tuple[bytes, list[int]]:
        """The bytes of blocks first..last-1 as they lie here, and the numbers of the blocks that do not count."""
        data = b""
        try:
            marks = struct.unpack(f"<{last - first}I", self.marks(first, last))
            if any(marks):
                data = os.pread(self._data, min(last * BLOCK, self.size) - first * BLOCK, first * BLOCK)
        except OSError:  # a bad sector: to be fetched, like all that is not here
            return b"", list(range(first, last))
        view, missing = memoryview(data), []
        for number, mark in zip(range(first, last), marks):
            start = (number - first) * BLOCK
            end = start + self.length(number)
            if not mark or end > len(data) or mark != self._mark(number, view[start:end]):
                missing.append(number)
        return data, missing

    def put(self, first: int, data: bytes | bytearray | memoryview) -> None:
        """Store whole blocks from `first` on. The marks come last: what has none is not here."""
        view = memoryview(data)
        starts = range(0, len(view), BLOCK)
        marks = [self._mark(first + i, view[start : start + BLOCK]) for i, start in enumerate(starts)]
        _write(self._data, view, first * BLOCK)
        _write(self._have, struct.pack(f"<{len(marks)}I", *marks), self._table + 4 * first)
        with self._changed:
            self._changed.notify_all()

    def forget(self, first: int, last: int) -> None:
        _write(self._have, bytes(4 * (last - first)), self._table + 4 * first)

    def marked(self) -> np.ndarray:
        """The numbers of the blocks that say they are here."""
        return np.flatnonzero(np.frombuffer(self.marks(0, self.count), "<u4"))

    def length(self, number: int) -> int:
        return min(BLOCK, self.size - number * BLOCK)

    def marks(self, first: int, last: int) -> bytes:
        return os.pread(self._have, 4 * (last - first), self._table + 4 * first).ljust(4 * (last - first), b"\0")

    def _mark(self, number: int, data: memoryview) -> int:
        # Name and number come before the bytes: the same bytes in another place have another checksum.
        return crc32c(data, crc32c(number.to_bytes(8, "little"), self._seed)) or 1

    # -- one download a machine ----------------------------------------------------------------------------------------

    @contextmanager
    def claimed(self, wanted: Iterable[int]) -> Iterator[set[int]]:
        """Those of the blocks that nobody else fetches, in this process or another: they are the caller's to fetch."""
        mine: set[int] = set()
        try:
            with self._changed:
                mine.update(number for number in wanted if number not in self._fetching and self._locked(number))
                self._fetching |= mine
            yield mine
        finally:
            with self._changed:
                self._fetching -= mine
                for number in mine:
                    with suppress(OSError):
                        fcntl.lockf(self._have, fcntl.LOCK_UN, 1, _LOCKS + number)
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until something is stored or let go of in this process, or the time is over: other processes tell nothing."""
        with self._changed:
            self._changed.wait(seconds)

    def _locked(self, number: int) -> bool:
        try:
            fcntl.lockf(self._have, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCKS + number)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # no locks here
            return True
        return True


def open_blocks(root: str, what: Identity, may_make: Callable[[], bool]) -> Blocks | None:
    """Open an entry, or make it; None where it is not here and may not be made. OSError: what the disk says.

    Whatever else lies under its names is moved out of the way, never followed, written or waited for.
    """
    for _ in range(4):  # what was in the way is gone the second time; another process may remove what was made
        files = Blocks(what.stem(root), what)
        if files.fits:
            return files
        files.close()
        if not may_make():
            return None
        _make(root, what)
    raise OSError(errno.EBUSY, "its files are removed by others as often as they are made")


def open_own(path: str, make: int = 0) -> int:
    """A regular file that is ours alone (no other name may lead to it), or -1. `make` is O_CREAT, or 0."""
    file = -1
    try:
        file = os.open(path, os.O_RDWR | make | _SAFE, 0o600)
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid():
            return file
    except OSError as error:
        if error.errno != errno.ENOENT and error.errno not in _ODD:
            raise
    if file >= 0:
        os.close(file)
    return -1


def _make(root: str, what: Identity) -> None:
    """Make the files under an exclusive lock, so that of many processes one does. Without locks, the last one's stay."""
    stem = what.stem(root)
    os.makedirs(root, 0o700, exist_ok=True)
    os.makedirs(os.path.dirname(stem), 0o700, exist_ok=True)
    data = open_own(stem + ".data", os.O_CREAT)
    if data < 0:
        _clear(stem + ".data")
        return
    temporary = f"{stem}.have.{secrets.token_hex(4)}.tmp"
    try:
        flock(data, fcntl.LOCK_EX, 1.0)
        if Blocks(stem, what).fits or not os.fstat(data).st_nlink:
            return
        os.ftruncate(data, 0)
        os.ftruncate(data, what.size)
        have = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o600)
        try:
            # Zeros are written, not left out: then marks always have a place on a disk that is full.
            _write(have, what.header + bytes(4 * what.blocks), 0)
            os.fsync(have)
        finally:
            os.close(have)
        _clear(stem + ".have")
        os.replace(temporary, stem + ".have")
    finally:
        os.close(data)
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _clear(path: str) -> None:
    """Nothing is at `path` any more. A folder may hold somebody's files: it only gets another name."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        os.rename(path, f"{path}.{secrets.token_hex(4)}.odd")


def _write(file: int, data: bytes | memoryview, at: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(file, rest, at)
        rest, at = rest[done:], at + done


def flock(file: int, kind: int, patience: float = 0.0) -> bool:
    """Whether we have the lock, or there are none here. False: somebody else has it, for `patience` seconds now."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.002)
        except OSError:
            return True
