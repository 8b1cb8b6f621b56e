"""Members of tar archives: plain ones at any place, compressed ones in one pass."""

from __future__ import annotations

import bz2
import gzip
import lzma
import mmap
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from vdata.errors import NoIndexError, ShardError, TruncatedShardError
from vdata.files.base import AGAIN, MAX_MEMBER, Members, in_memory, matcher, part
from vdata.files.kept import kept, stamp
from vdata.once import Once
from vdata.progress import progress
from vdata.shards import tar
from vdata.table import Table

MAX_HELD = 512 << 20  # what an archive may hold in memory
_MAX_EXTENSION = 1 << 20  # a long name or a pax header


class Tars(Members):
    """Members of plain tars. With `nested`, members of the tars inside: "a.tar" with "b.jpg" gives "a/b.jpg"."""

    def __init__(self, paths: Iterable[str | Path], nested: bool = False):
        self.paths, self.nested = [str(p) for p in paths], nested
        self.url = ", ".join(self.paths)
        self._stamps = {os.path.abspath(p): stamp(p) for p in self.paths}  # before they are looked at
        self.members, _ = kept(f"tars {nested} {[os.path.abspath(p) for p in self.paths]}", self._listed)

    def _listed(self):
        rows = (row for number, path in enumerate(self.paths) for row in self._walked(path, number))
        return Table.of(rows), self.stamps()

    def _walked(self, path: str, number: int) -> Iterator[dict[str, Any]]:
        data = _mapped(path)
        for member in tar.members(data, url=path):
            name = member.name.removeprefix("./")
            if not (self.nested and name.endswith(".tar")):
                yield {"name": name, "archive": number, "offset": member.offset, "size": member.size}
                continue
            inside = memoryview(data)[member.offset : member.offset + member.size]
            for inner in tar.members(inside, url=f"{path} ({name})"):
                at = member.offset + inner.offset
                yield {
                    "name": f"{name[:-4]}/{inner.name.removeprefix('./')}",
                    "archive": number,
                    "offset": at,
                    "size": inner.size,
                }

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        member = self.members[self._row(path)]
        archive, offset = self.paths[member["archive"]], member["offset"] + start
        wanted: int = member["size"] - start if size is None else size
        if start < 0 or start + wanted > member["size"]:
            raise TruncatedShardError(f"{path} ends before byte {start + wanted}: it has {member['size']}", url=archive)
        try:
            with open(archive, "rb") as file:
                file.seek(offset)
                data = file.read(wanted)
        except OSError as error:
            raise ShardError(f"cannot read {path}: {error.strerror}", url=archive, byte=offset) from error
        if len(data) != wanted:
            raise TruncatedShardError(
                f"{path} is cut: the archive has changed since it was opened", url=archive, byte=offset, do=AGAIN
            )
        return data

    def open(self, path: str) -> BinaryIO:
        return in_memory(self.read(path))

    def stamps(self) -> dict[str, str]:
        return self._stamps

    def __reduce__(self):
        return Tars, (self.paths, self.nested)


def _mapped(path: str) -> mmap.mmap | bytes:
    """The file in memory without reading it: walking a tar touches its headers only."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else b""
    except OSError as error:
        raise ShardError(f"cannot open the archive: {error.strerror}", url=path) from error


class Scanned(Members):
    """A compressed tar without a seek index: the names of all members, and the content of some, after one pass.

    The pass is made when something is first asked for. `held` are patterns of the members that are kept in memory,
    annotations that are needed in any order. Reading another raises NoIndexError: `why` says what to do about it.
    """

    def __init__(self, path: str | Path, held: Iterable[str] = (), why: str = ""):
        self.path = self.url = str(path)
        self.held, self.why = tuple(held), why
        self._stamps = {os.path.abspath(self.path): stamp(self.path)}  # before it is looked at
        self._content = Once(self._scanned)

    def _scanned(self) -> dict[str, bytes | None]:
        keep = [matcher(p) for p in self.held]
        content: dict[str, bytes | None] = {}
        room = MAX_HELD
        with progress(f"read {Path(self.path).name}", os.path.getsize(self.path), unit="B") as bar:
            for name, data in _walk(self.path, lambda n: any(k(n) for k in keep), bar.update):
                room -= len(data or b"")
                if room < 0:
                    raise ShardError(f"its annotations have more than {MAX_HELD >> 20} MiB", url=self.url, do=self.why)
                content.setdefault(name, data)
        return content

    @cached_property
    def members(self) -> Table:  # type: ignore[override]
        return Table.of({"name": name} for name in self._content())

    @property
    def whole(self) -> bool:
        """Whether every member is held: then there is nothing that has to be read in order."""
        return "**" in self.held

    def is_loose(self, path: str) -> bool:
        """Whether the member is not held: it can be had only when the archive is read in order."""
        return self._content().get(path, b"") is None

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        self._row(path)
        data = self._content()[path]
        if data is None:
            raise NoIndexError(f"{path} lies in {self.url}, which is compressed as a whole: {self.why}")
        return part(data, start, size, path, self.url)

    def open(self, path: str) -> BinaryIO:
        return in_memory(self.read(path))

    def stamps(self) -> dict[str, str]:
        return self._stamps

    def __reduce__(self):
        return type(self), (self.path, self.held, self.why)  # not what is held: it may be large, and is there anyway


def tar_members(path: str | Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the regular members that are wanted, in the archive's own order; plain, gzip, bzip2 or xz.

    The archive is read to its end: a cut or damaged one raises ShardError, wherever the damage is that its
    checksums (of gzip, bzip2 and xz; a plain tar has them for headers only) can tell.
    """
    for name, data in _walk(str(path), wanted):
        if data is not None:
            yield name, data


def _walk(
    url: str, wanted: Callable[[str], bool], tell: Callable[[int], Any] = int
) -> Iterator[tuple[str, bytes | None]]:
    """Every regular member with its bytes, or None where it is not wanted. `tell` hears of compressed bytes read."""
    try:
        with open(url, "rb") as raw, decompressed(raw) as inner:
            watched, before = Watched(inner), 0
            with tarfile.open(fileobj=watched, mode="r|", tarinfo=Entry) as archive:  # type: ignore[call-overload]
                for member in plain_files(archive):
                    name = member.name.removeprefix("./")
                    yield name, _content(archive, member) if wanted(name) else None
                    tell(raw.tell() - before)
                    before = raw.tell()
                watched.expect_end(archive.offset)
    except (EOFError, tarfile.ReadError, zlib.error) as error:
        raise TruncatedShardError(f"the archive is cut or damaged: {error}", url=url, do=AGAIN) from error
    except (OSError, tarfile.TarError, lzma.LZMAError) as error:
        raise ShardError(f"not a readable tar: {error}", url=url, do=AGAIN) from error
    except ShardError as error:
        raise error.at(url=url) from None


def plain_files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that are files, in order. Folders have no content; what else there is would be lost: ShardError.

    A link is the content of another member, maybe far back in a stream; a sparse file is of any size at no cost.
    """
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header otherwise
        if member.isdir():
            continue
        if member.islnk() or member.issym():
            raise _odd(member.name, f"a link to {member.linkname!r}", member.offset)
        if member.issparse():
            raise _odd(member.name, "a sparse file", member.offset)
        if not member.isreg():
            raise _odd(member.name, "a device, a pipe or of an unknown type", member.offset)
        if member.size < 0:
            raise ShardError(f"member {member.name!r} says it has {member.size} bytes", byte=member.offset, do=AGAIN)
        yield member


def _odd(name: str, what: str, byte: int) -> ShardError:
    return ShardError(f"{name!r} is {what}, no plain file", byte=byte, do="extract the archive and give its folder")


def decompressed(raw: BinaryIO) -> BinaryIO:
    """The tar inside its compression, which the first bytes tell. These readers verify their checksums at the end."""
    magic = raw.read(6)
    raw.seek(0)
    for start, reader in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if magic.startswith(start):
            return reader(raw)  # type: ignore[return-value]
    return raw


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_MEMBER:
        raise ShardError(f"member {member.name!r} says it has {member.size} bytes", byte=member.offset)
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()


class Entry(tarfile.TarInfo):
    """A member whose extended headers raise ShardError where they are absurdly large, or no headers at all."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in tarfile.REGULAR_TYPES and self.type != tarfile.DIRTYPE and self.size > _MAX_EXTENSION:
            raise ShardError(f"an extended header of {self.size} bytes", byte=archive.offset)
        try:
            return super()._proc_member(archive)  # type: ignore[misc]
        except ValueError as error:  # of `int`, for instance, over the map of a sparse file
            raise ShardError(f"a broken extended header: {error}", byte=self.offset, do=AGAIN) from error

    def _proc_sparse(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        raise _odd(self.name, "a sparse file", self.offset)  # before its map is read, which has no limit

    def _proc_gnusparse_10(self, next: tarfile.TarInfo, pax_headers: dict[str, str], archive: tarfile.TarFile) -> None:
        raise _odd(pax_headers.get("GNU.sparse.name", next.name), "a sparse file", self.offset)


class Watched:
    """A stream that remembers where its last byte that is not zero was.

    Python's `tarfile` ends silently at a damaged header, and where an archive is cut between two members. A whole
    archive has at least one block of zeros where it ends, and nothing but zeros after that.
    """

    def __init__(self, inner: BinaryIO):
        self._inner = inner
        self._end = self._last = 0

    def read(self, size: int) -> bytes:
        data = self._inner.read(size)
        content = len(data.rstrip(b"\0"))
        if content:
            self._last = self._end + content
        self._end += len(data)
        return data

    def expect_end(self, at: int) -> None:
        """Read the rest; TruncatedShardError unless zeros fill it from `at` on."""
        while self.read(1 << 16):
            pass
        if self._last > at:
            raise TruncatedShardError("a header in the middle of the archive is damaged", byte=at, do=AGAIN)
        if self._end < at + tarfile.BLOCKSIZE:
            raise TruncatedShardError("the archive ends without its end mark: it is cut", byte=self._end, do=AGAIN)
