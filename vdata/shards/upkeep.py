"""All entries of a cache's folder: which folder, what is in it, what goes."""

from __future__ import annotations

import fcntl
import fnmatch
import json
import os
import re
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import platformdirs

from vdata.errors import PlanError
from vdata.progress import progress
from vdata.shards.blocks import HEADER, Identity, flock, open_blocks, open_own

_TEXT = 1 << 16  # no header's text is longer
_STALE = 3600.0  # seconds after which a temporary file's writer is dead
_OURS = re.compile(r"([0-9a-f]{64})\.(data|have|have\.[0-9a-f]{8}\.tmp)")
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def default_root() -> str:
    """VDATA_CACHE, or "shards" in the user's folder for caches."""
    return os.environ.get("VDATA_CACHE") or os.path.join(platformdirs.user_cache_dir("vdata"), "shards")


def parse_size(size: int | str) -> int:
    """A number of bytes.

    >>> parse_size("1.5 GB"), parse_size("1GiB"), parse_size(10)
    (1500000000, 1073741824, 10)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgtp]?)(i?)b)?\s*", str(size), re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise PlanError(f"{size!r} is no number of bytes: write it like 50GB, 500 MB or 1GiB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[(match[2] or "").lower()])


def folder_of(root: str | os.PathLike[str]) -> str:
    """The absolute path of a cache's folder, which nobody else may own or write to. It need not be there yet."""
    root = os.path.abspath(os.path.expanduser(root))
    for found in (os.lstat, os.stat) if os.path.exists(root) else ():
        mode, owner = found(root).st_mode, found(root).st_uid
        if owner != os.geteuid():
            raise PlanError(f"the cache {root} belongs to user {owner}, not to you: name a folder of your own in VDATA_CACHE")
        if stat.S_ISDIR(mode) and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise PlanError(f"anybody can write to the cache {root}: say chmod 700, or name another folder in VDATA_CACHE")
    return root


class Found(NamedTuple):
    """An entry on the disk: its path without suffix, the bytes it takes there, when it was last used (seconds since 1970)."""

    stem: str
    bytes: int
    used: float

    @property
    def in_use(self) -> bool:
        file = open_own(self.stem + ".data")
        try:
            return file >= 0 and not flock(file, fcntl.LOCK_EX)
        finally:
            if file >= 0:
                os.close(file)

    def identity(self) -> Identity | None:
        """What its header says; None where it says nothing that can be read."""
        file = open_own(self.stem + ".have")
        try:
            head = os.pread(file, HEADER.size + _TEXT, 0)
            _, _, _, size, length = HEADER.unpack_from(head)
            url, etag = json.loads(head[HEADER.size : HEADER.size + length])
            what = Identity(os.path.basename(self.stem), str(url), str(etag), size)
            return what if head.startswith(what.header) else None
        except (OSError, struct.error, ValueError, TypeError):
            return None
        finally:
            if file >= 0:
                os.close(file)

    def remove(self) -> bool:
        """Remove it, unless somebody reads it. It is emptied first: who holds it open without reading keeps no space."""
        file = open_own(self.stem + ".data")
        try:
            if file >= 0:
                if not flock(file, fcntl.LOCK_EX) or not os.fstat(file).st_nlink:
                    return False
                os.ftruncate(file, 0)
            for suffix in (".have", ".data"):
                with suppress(FileNotFoundError):
                    os.unlink(self.stem + suffix)
            return True
        except OSError:
            return False
        finally:
            if file >= 0:
                os.close(file)


def entries(root: str) -> list[Found]:
    """All entries, the least recently used first. Temporary files that a dead process left are removed on the way."""
    sizes: dict[str, int] = {}
    used: dict[str, float] = {}
    for stem, kind, found in _own_files(root):
        if kind.endswith("tmp"):
            if time.time() > found.st_mtime + _STALE:
                with suppress(OSError):
                    os.unlink(f"{stem}.{kind}")
            continue
        sizes[stem] = sizes.get(stem, 0) + found.st_blocks * 512
        if kind == "have" or stem not in used:
            used[stem] = found.st_mtime
    return sorted((Found(stem, sizes[stem], used[stem]) for stem in sizes), key=lambda entry: entry.used)


def _own_files(root: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """(stem, what follows it, stat) of the files of names and kinds that only the cache makes; all others are not ours."""
    for folder in _listed(root):
        if re.fullmatch("[0-9a-f]{2}", folder.name) and folder.is_dir(follow_symlinks=False):
            for file in _listed(folder.path):
                match = _OURS.fullmatch(file.name)
                if match and match[1].startswith(folder.name):
                    with suppress(FileNotFoundError):
                        found = file.stat(follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode):
                            yield os.path.join(folder.path, match[1]), match[2], found


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


class Listed(NamedTuple):
    """An entry: bytes of the object, bytes on the disk, the share of it that is here, when it was last used (seconds since 1970)."""

    name: str
    url: str
    size: int
    on_disk: int
    present: float
    used: float
    in_use: bool


class Removed(NamedTuple):
    """How many entries were removed, how many bytes that freed, and how many stay because somebody reads them."""

    count: int
    bytes: int
    in_use: int


def listing(root: str | os.PathLike[str]) -> list[Listed]:
    """All entries that can be read, the least recently used first."""
    out = []
    for found, what in _described(folder_of(root)):
        blocks = open_blocks(folder_of(root), what, lambda: False)
        present = len(blocks.marked()) / max(1, what.blocks) if blocks else 0.0
        out.append(Listed(what.name, what.url, what.size, found.bytes, present, found.used, found.in_use))
    return out


def remove(root: str | os.PathLike[str], pattern: str) -> Removed:
    """Remove the entries whose name, URL or a part of it is `pattern`, which may have * and ?."""
    if not pattern:
        raise PlanError("an empty pattern: write '*' for all entries")
    chosen = []
    for found in entries(folder_of(root)):
        what = found.identity()
        url = what.url if what else ""
        if pattern in url or fnmatch.fnmatchcase(url, pattern) or pattern == os.path.basename(found.stem):
            chosen.append(found)
    return _remove(chosen)


def prune(root: str | os.PathLike[str], limit: int | str | None = None, older_than: float | None = None) -> Removed:
    """Remove what was not used for `older_than` seconds; then the least recently used until `limit` bytes are left."""
    found, most = entries(folder_of(root)), None if limit is None else parse_size(limit)
    since = float("-inf") if older_than is None else time.time() - older_than
    left, chosen = sum(entry.bytes for entry in found), []
    for entry in found:
        if entry.used < since or (most is not None and left > most):
            chosen.append(entry)
            left -= entry.bytes
    return _remove(chosen)


def verify(root: str | os.PathLike[str]) -> tuple[int, int]:
    """Read every block that is here: how many there are, and how many of them were rotten and are now dropped."""
    checked = rotten = 0
    found = list(_described(folder_of(root)))
    with progress("verify", len(found), unit="files") as bar:
        for _, what in found:
            bar.update(1)
            blocks = open_blocks(folder_of(root), what, lambda: False)
            if blocks is None:
                continue
            with blocks.reading():
                for number in map(int, blocks.marked()):
                    checked += 1
                    if blocks.load(number, number + 1)[1] and not blocks.gone:
                        blocks.forget(number, number + 1)
                        rotten += 1
    return checked, rotten


def _described(root: str) -> Iterator[tuple[Found, Identity]]:
    for found in entries(root):
        what = found.identity()
        if what is not None:
            yield found, what


def _remove(chosen: Iterable[Found]) -> Removed:
    done = [(entry.remove(), entry.bytes) for entry in chosen]
    gone = [size for removed, size in done if removed]
    return Removed(len(gone), sum(gone), len(done) - len(gone))


def evict(found: list[Found], size: float) -> int:
    """Remove entries, the least recently used first, until `size` bytes are free. How many that freed."""
    freed = 0
    for entry in found:
        if freed >= size:
            break
        freed += entry.bytes if entry.remove() else 0
    return freed
