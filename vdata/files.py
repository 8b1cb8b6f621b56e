"""Files of a dataset by their relative path, the same whether they lie in a folder or in zip archives as downloaded.

A compressed tar has no cheap random member: `tar_members` reads it in its own order, nothing is extracted.
"""

from __future__ import annotations

import fnmatch
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from vdata.errors import DataError, ShardError, TruncatedShardError

MAX_MEMBER = 1 << 32  # no member of a vision archive is larger; a header that says so lies


class Files(Protocol):
    """Bytes by relative path, with forward slashes."""

    url: str

    def __contains__(self, path: str) -> bool: ...
    def read(self, path: str) -> bytes: ...
    def glob(self, pattern: str) -> list[str]: ...


class Tree:
    """Files under a folder. Paths never leave it."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.url = str(root)

    def __contains__(self, path: str) -> bool:
        return (self.root / path).is_file()

    def read(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}", url=self.url) from error

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted; `*` does not cross a slash."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(pattern) if p.is_file())


class Zips:
    """Members of zip archives, read at random without extracting. Pickles and forks: each process opens its own."""

    def __init__(self, paths: list[Path]):
        self.paths = [Path(p) for p in paths]
        self.url = ", ".join(str(p) for p in self.paths)
        self._lock = threading.Lock()
        self._pid = 0
        self._names: dict[str, int] = {}
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._archives = []
        for number, path in enumerate(self.paths):
            try:
                archive = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise ShardError(f"not a readable zip: {error}", url=str(path), do="download it again") from error
            self._archives.append(archive)
            for name in archive.namelist():
                if not name.endswith("/"):
                    self._names.setdefault(name, number)

    def __contains__(self, path: str) -> bool:
        return path in self._names

    def read(self, path: str) -> bytes:
        if path not in self._names:
            raise DataError(f"the archive has no {path}", url=self.url)
        number = self._names[path]
        with self._lock:  # a ZipFile shares one file position
            if self._pid != os.getpid():
                self._open()
            try:
                return self._archives[number].read(path)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise ShardError(f"cannot read {path}: {error}", url=str(self.paths[number]), do="download the archive again") from error

    def glob(self, pattern: str) -> list[str]:
        parts = pattern.split("/")
        return sorted(n for n in self._names if _matches(n.split("/"), parts))

    def __reduce__(self):
        return Zips, (self.paths,)


def _matches(names: list[str], patterns: list[str]) -> bool:
    return len(names) == len(patterns) and all(fnmatch.fnmatchcase(n, p) for n, p in zip(names, patterns, strict=True))


def tar_members(path: str | Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the regular members that are wanted, in the archive's own order; any compression.

    A compressed tar carries a checksum of its own (gzip, xz) or of its blocks (bzip2), which is read to its end, so a
    cut archive raises instead of ending early.
    """
    url = str(path)
    try:
        with tarfile.open(path, mode="r|*") as archive:
            for member in archive:
                if not member.isfile() or not wanted(member.name):
                    continue
                if member.size > MAX_MEMBER:
                    raise ShardError(f"member {member.name!r} says it has {member.size} bytes", url=url, byte=member.offset)
                stream = archive.extractfile(member)
                assert stream is not None
                yield member.name, stream.read()
            _expect_end(archive, url)
    except (EOFError, zlib.error) as error:
        raise TruncatedShardError(f"the archive is cut or damaged: {error}", url=url, do="download it again") from error
    except (OSError, tarfile.TarError) as error:
        raise ShardError(f"not a readable tar: {error}", url=url, do="download it again") from error


def _expect_end(archive: tarfile.TarFile, url: str) -> None:
    """Python's tarfile ends early and silently on a damaged header; a whole archive has only zeros left."""
    rest = archive.fileobj
    assert rest is not None
    while block := rest.read(1 << 16):
        if any(block):
            raise TruncatedShardError("a header in the middle of the archive is damaged", url=url, do="download it again")
