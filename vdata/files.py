"""Files of a dataset by their relative path, wherever they lie: in a folder, or in archives as downloaded.

    Tree          files under a folder
    Zips, Tars    members of zip archives and of plain tars: any member at once
    Held          members of a small tar of any compression, held in memory
    tar_members   a large compressed tar has no cheap random member: read once, in its own order

Nothing is extracted. What the archives say of themselves is not believed: sizes are bounded, checksums are compared.
All of them pickle, and none holds a file open: threads and forked processes share no file position.
"""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import importlib.util
import lzma
import mmap
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from vdata.errors import ChecksumError, DataError, MissingPackageError, ShardError, TruncatedShardError
from vdata.shards import tar

MAX_MEMBER = 1 << 30  # no file of one sample is larger; a header that says so lies
MAX_HELD = 256 << 20  # what a tar of annotations may hold in memory
_MAX_EXTENSION = 1 << 20  # a long name or a pax header
_AGAIN = "download it again"
_LOCAL_HEADER = 30


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
        return self._at(path).is_file()

    def read(self, path: str) -> bytes:
        try:
            return self._at(path).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}", url=self.url) from error

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted; `*` does not cross a slash."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(pattern) if p.is_file())

    def _at(self, path: str) -> Path:
        if path.startswith("/") or "\\" in path or ".." in path.split("/"):
            raise DataError(f"the path {path!r} leads out of the folder", url=self.url)
        return self.root / path


class _Members:
    """What archives have in common: a table of what lies where, by name."""

    url: str
    _members: dict[str, Any]

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def glob(self, pattern: str) -> list[str]:
        """Names that match, sorted; `*` does not cross a slash."""
        parts = pattern.split("/")
        return sorted(n for n in self._members if _matches(n.split("/"), parts))

    def _find(self, path: str) -> Any:
        if path not in self._members:
            raise DataError(f"the archive has no {path}", url=self.url)
        return self._members[path]


def _matches(names: list[str], patterns: list[str]) -> bool:
    return len(names) == len(patterns) and all(fnmatch.fnmatchcase(n, p) for n, p in zip(names, patterns, strict=True))


class _Packed(NamedTuple):
    """A zip member: which archive, where its local header is, and what it should become."""

    path: str
    header: int
    packed: int
    size: int
    crc: int
    method: int


class Zips(_Members):
    """Members of zip archives, stored or deflated. Where two archives have one name, the first counts."""

    def __init__(self, paths: Iterable[str | Path]):
        self.paths = [str(p) for p in paths]
        self.url = ", ".join(self.paths)
        self._members = {}
        for path in self.paths:
            for name, member in _zip_table(path):
                self._members.setdefault(name, member)

    def read(self, path: str) -> bytes:
        member: _Packed = self._find(path)
        try:
            return _unzipped(member)
        except (OSError, zlib.error) as error:
            raise ShardError(f"cannot read {path}: {error}", url=member.path, byte=member.header, do=_AGAIN) from error
        except ShardError as error:
            raise error.at(url=member.path, key=path, byte=member.header) from None

    def __reduce__(self):
        return Zips, (self.paths,)


def _zip_table(path: str) -> Iterator[tuple[str, _Packed]]:
    """(name, where) of the files that the archive's directory lists."""
    try:
        end = os.path.getsize(path)
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ShardError(f"not a readable zip: {error}", url=path, do=_AGAIN) from error
    for info in listed:
        if info.is_dir():
            continue
        if info.header_offset < 0 or info.header_offset + _LOCAL_HEADER + info.compress_size > end:
            raise TruncatedShardError(
                f"{info.filename} lies beyond the end of the archive", url=path, byte=end, do=_AGAIN
            )
        if info.file_size > MAX_MEMBER:
            raise ShardError(f"{info.filename} says it has {info.file_size} bytes", url=path, byte=info.header_offset)
        if info.flag_bits & 1:
            raise ShardError(f"{info.filename} is encrypted", url=path, do="unpack the archive and give its folder")
        yield (
            info.filename,
            _Packed(path, info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type),
        )


def _unzipped(member: _Packed) -> bytes:
    """The member's bytes, of the size and with the checksum that the directory gives."""
    with open(member.path, "rb") as file:
        file.seek(member.header)
        head = file.read(_LOCAL_HEADER)
        if len(head) < _LOCAL_HEADER or head[:4] != b"PK\3\4":
            raise ShardError("a damaged zip: no member where the directory says", do=_AGAIN)
        file.seek(sum(struct.unpack_from("<HH", head, 26)), os.SEEK_CUR)  # past its name and extra field
        data = file.read(member.packed)
    if member.method == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
    elif member.method != zipfile.ZIP_STORED:
        raise ShardError(
            f"zip compression method {member.method} is not read", do="unpack the archive and give its folder"
        )
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise ChecksumError("a damaged zip: a member's bytes are not those that were packed", do=_AGAIN)
    return data


class Tars(_Members):
    """Members of plain tars. Compressed ones have no random member: unpack them to plain tars or to a folder."""

    def __init__(self, paths: Iterable[str | Path]):
        self.paths = [str(p) for p in paths]
        self.url = ", ".join(self.paths)
        self._members = {}
        for path in self.paths:
            for member in tar.members(_mapped(path), url=path):
                self._members.setdefault(member.name.removeprefix("./"), (path, member.offset, member.size))

    def read(self, path: str) -> bytes:
        archive, offset, size = self._find(path)
        try:
            with open(archive, "rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise ShardError(f"cannot read {path}: {error.strerror}", url=archive, byte=offset) from error
        if len(data) != size:
            raise TruncatedShardError(
                f"{path} is cut: the archive has changed since it was opened", url=archive, byte=offset, do=_AGAIN
            )
        return data

    def __reduce__(self):
        return Tars, (self.paths,)


def _mapped(path: str) -> mmap.mmap | bytes:
    """The file in memory without reading it: walking a tar touches its headers only."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else b""
    except OSError as error:
        raise ShardError(f"cannot open the archive: {error.strerror}", url=path) from error


class Held(_Members):
    """The wanted members of a small tar, compressed or not, held in memory: annotations, needed in any order."""

    def __init__(self, path: str | Path, wanted: Callable[[str], bool]):
        self.url, self._wanted = str(path), wanted
        self._members: dict[str, bytes] = {}
        held = 0
        for name, data in tar_members(path, wanted):
            held += len(data)
            if held > MAX_HELD:
                raise ShardError(f"its members hold more than {MAX_HELD >> 20} MiB", url=self.url, do="this is no archive of annotations")
            self._members[name] = data

    def read(self, path: str) -> bytes:
        return self._find(path)

    def __reduce__(self):
        return Held, (self.url, self._wanted)


def package_data(package: str, folder: str, extra: str) -> Path:
    """A folder of data that an installed package brings along; the package itself is not imported.

    >>> package_data("no_such_package", "data", extra="examples")
    Traceback (most recent call last):
    ...
    vdata.errors.MissingPackageError: this data is part of no_such_package: pip install 'vdata-vision[examples]'
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingPackageError(f"this data is part of {package}: pip install 'vdata-vision[{extra}]'")
    return Path(found.origin).parent / folder


# -- tars in one pass --------------------------------------------------------------------------------------------------


def tar_members(path: str | Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the regular members that are wanted, in the archive's own order; plain, gzip, bzip2 or xz.

    The archive is read to its end: a cut or damaged one raises ShardError, wherever the damage is that its
    checksums (of gzip, bzip2 and xz; a plain tar has them for headers only) can tell.
    """
    url = str(path)
    try:
        with _plain_bytes(url) as inner:
            watched = _Watched(inner)
            with tarfile.open(fileobj=watched, mode="r|", tarinfo=_Entry) as archive:  # type: ignore[call-overload]
                while (member := archive.next()) is not None:
                    archive.members.clear()  # tarfile keeps every header otherwise
                    name = member.name.removeprefix("./")
                    if member.isreg() and wanted(name):
                        yield name, _content(archive, member)
                watched.expect_end(archive.offset)
    except (EOFError, tarfile.ReadError, zlib.error) as error:
        raise TruncatedShardError(f"the archive is cut or damaged: {error}", url=url, do=_AGAIN) from error
    except (OSError, tarfile.TarError, lzma.LZMAError) as error:
        raise ShardError(f"not a readable tar: {error}", url=url, do=_AGAIN) from error
    except ShardError as error:
        raise error.at(url=url) from None


def _plain_bytes(path: str) -> BinaryIO:
    """The tar inside its compression, which the first bytes tell. These readers verify their checksums at the end."""
    with open(path, "rb") as file:
        magic = file.read(6)
    for start, reader in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if magic.startswith(start):
            return reader(path)  # type: ignore[return-value]
    return open(path, "rb")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_MEMBER:
        raise ShardError(f"member {member.name!r} says it has {member.size} bytes", byte=member.offset)
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()


class _Entry(tarfile.TarInfo):
    """A member whose extended headers are not read into memory if they are absurdly large."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in tarfile.REGULAR_TYPES and self.type != tarfile.DIRTYPE and self.size > _MAX_EXTENSION:
            raise ShardError(f"an extended header of {self.size} bytes", byte=archive.offset)
        return super()._proc_member(archive)  # type: ignore[misc]


class _Watched:
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
            raise TruncatedShardError("a header in the middle of the archive is damaged", byte=at, do=_AGAIN)
        if self._end < at + tarfile.BLOCKSIZE:
            raise TruncatedShardError("the archive ends without its end mark: it is cut", byte=self._end, do=_AGAIN)
