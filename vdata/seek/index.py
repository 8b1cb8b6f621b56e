"""The index as a file: which archive it is of, then its arrays, the windows last.

first_page, plain, bit, window_end   one row a point: the first page that it serves, and its `Point`
checksum                             CRC32 of each page of the plain stream
members/...                          the `Table` of a tar's members
windows                              one after the other; not read before one is needed
"""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from vdata.errors import ShardError
from vdata.files import cache_folder
from vdata.seek.points import Kind, Point
from vdata.table import Table

PAGE = 1 << 16  # what one checksum is for
MAX_STRETCH = 1 << 27  # what lies between two points is decoded into memory
_MAGIC = b"vdata seek 1\n"
_ENDS = 1 << 16
_POINTS = {"first_page": "<i8", "plain": "<i8", "bit": "<i8", "window_end": "<i8", "checksum": "<u4"}
_DTYPES = ("<i8", "<u4", "|u1", "|b1")


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """What the first lines of an index say: of which archive it is, and which arrays follow, the windows last."""

    kind: Kind
    tar: bool
    size: int
    mtime_ns: int
    ends: str
    plain: int
    arrays: list[tuple[str, str, int]] = []
    checksum: int = 0


def index_of(path: str | os.PathLike[str]) -> Path | None:
    """The index of this archive: beside it, or in the cache folder. One of another or a changed archive is none."""
    return next((place for place in _places(Path(path)) if _belongs(place, Path(path))), None)


def _places(path: Path) -> tuple[Path, Path]:
    name = hashlib.blake2b(os.path.abspath(path).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return path.with_name(path.name + ".seek"), cache_folder("seek") / f"{name}.seek"


def _belongs(index: Path, path: Path) -> bool:
    """Size and time are the archive's; or its size and what its first and last bytes are, if only the time has changed."""
    try:
        if not (index.is_file() and path.is_file()):
            return False  # to open a pipe is to wait for who writes to it
        with open(index, "rb") as file:
            header = read_header(file)
        found = os.stat(path)
        if header is None or header.size != found.st_size:
            return False
        return header.mtime_ns == found.st_mtime_ns or header.ends == ends_of(path)
    except OSError:
        return False


def ends_of(path: Path) -> str:
    """A hash of the first and the last 64 KiB: of a gzip, they hold its time and a checksum of its content."""
    with open(path, "rb") as file:
        first = file.read(_ENDS)
        file.seek(max(os.fstat(file.fileno()).st_size - _ENDS, 0))
        return hashlib.blake2b(first + file.read(_ENDS), digest_size=16).hexdigest()


def read_header(file: BinaryIO) -> Header | None:
    """None where this is no whole index of this version. The file is left where its arrays begin."""
    if file.read(len(_MAGIC)) != _MAGIC:
        return None
    try:
        header = msgspec.json.decode(file.readline(1 << 16), type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if any(dtype not in _DTYPES or count < 0 for _, dtype, count in header.arrays):
        return None
    length = file.tell() + sum(np.dtype(dtype).itemsize * count for _, dtype, count in header.arrays)
    return header if length == os.fstat(file.fileno()).st_size else None


class Index:
    """An index in memory, but for its windows: those are mapped, which outlives that a newer index takes its place."""

    def __init__(self, path: Path):
        self.url, self.arrays = str(path), {}
        try:
            with open(path, "rb") as file:
                header = read_header(file)
                for name, dtype, count in header.arrays[:-1] if header else ():
                    self.arrays[name] = np.fromfile(file, dtype, count)
                size = os.fstat(file.fileno()).st_size - file.tell()
                self._windows = np.memmap(file, "|u1", "r", file.tell()) if size else np.empty(0, "|u1")
        except OSError as error:
            raise ShardError(f"cannot read the index: {error.strerror}", url=self.url) from error
        if header is None or header.checksum != _checksum(header, self.arrays) or not _sound(self.arrays, header.plain):
            raise self._damaged()
        self.header = header
        self.first_pages, self.checksums = self.arrays["first_page"], self.arrays["checksum"]

    def members(self) -> Table:
        arrays = {n.removeprefix("members/"): a for n, a in self.arrays.items() if n.startswith("members/")}
        try:
            table = Table.from_arrays(arrays)
        except ValueError as error:
            raise self._damaged() from error
        if not _are_members(table, self.header.plain):
            raise self._damaged()
        return table

    def point(self, row: int) -> Point:
        ends = self.arrays["window_end"]
        start, end = int(ends[row - 1]) if row else 0, int(ends[row])
        return Point(int(self.arrays["plain"][row]), int(self.arrays["bit"][row]), bytes(self._windows[start:end]))

    def _damaged(self) -> ShardError:
        return ShardError("a damaged index", url=self.url, do="delete it and make it again with vdata.seek.build")


def _checksum(header: Header, arrays: dict[str, np.ndarray]) -> int:
    """Of all but the windows, which zlib and the pages' checksums check when they are used."""
    value = zlib.crc32(msgspec.json.encode(msgspec.structs.replace(header, checksum=0)))
    for array in arrays.values():
        value = zlib.crc32(np.ascontiguousarray(array).data, value)
    return value


def _sound(arrays: dict[str, np.ndarray], plain: int) -> bool:
    """Whether the numbers can be true: an index may come from anywhere."""
    if any(name not in arrays or arrays[name].dtype.str != dtype for name, dtype in _POINTS.items()):
        return False
    starts, pages = arrays["first_page"], len(arrays["checksum"])
    if plain < 0 or ((starts < 0) | (starts > pages)).any():
        return False
    steps = np.diff(np.append(starts, pages))
    return bool(
        pages == -(-plain // PAGE)
        and len(starts) == len(arrays["plain"]) == len(arrays["bit"]) == len(arrays["window_end"])
        and (not pages or (len(starts) and starts[0] == 0 and steps.min() > 0 and steps.max() * PAGE <= MAX_STRETCH))
        and ((arrays["plain"] >= 0) & (arrays["plain"] <= starts * PAGE)).all()
        and (starts * PAGE - arrays["plain"]).max(initial=0) <= MAX_STRETCH
        and (np.diff(arrays["window_end"], prepend=0) >= 0).all()
        and (arrays["bit"] >= 0).all()
    )


def _are_members(table: Table, plain: int) -> bool:
    """Whether these are the members of a tar of so many bytes."""
    if not len(table):
        return not table.columns
    if sorted(table.scalars) != ["name", "offset", "size"] or len(table.columns) != 3:
        return False
    offset, size = table.columns["offset"].values, table.columns["size"].values
    if table.columns["name"].kind != "text" or offset.dtype.str != "<i8" or size.dtype.str != "<i8":
        return False
    return bool(((offset >= 0) & (size >= 0) & (size <= plain) & (offset <= plain - size)).all())


@contextmanager
def reserved(path: Path) -> Iterator[tuple[Path, Path]]:
    """(a file to write the index to, where `write` puts it then): nothing is left of the first if that fails."""
    temporary, place = _created(path)
    try:
        yield temporary, place
    finally:
        temporary.unlink(missing_ok=True)


def _created(path: Path) -> tuple[Path, Path]:
    """An empty file in the first of the places that takes one, before an hour has been spent on its content."""
    beside, cached = _places(path)
    try:
        return _empty_file(beside), beside
    except OSError:
        pass  # a folder that others own, or a name that gets too long
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        return _empty_file(cached), cached
    except OSError as error:
        raise ShardError(
            f"no place for its index, neither beside it nor at {cached}: {error.strerror}",
            do="set VDATA_HOME to a folder that can be written",
        ) from error


def _empty_file(place: Path) -> Path:
    path = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    path.open("xb").close()
    return path


def write(temporary: Path, place: Path, header: Header, arrays: dict[str, np.ndarray], windows: np.ndarray) -> None:
    """The index under its final name when all has been written, and not before."""
    listed = [(n, a.dtype.str, len(a)) for n, a in (arrays | {"windows": windows}).items()]
    header = msgspec.structs.replace(header, arrays=listed)
    header = msgspec.structs.replace(header, checksum=_checksum(header, arrays))
    size = sum(a.nbytes for a in (*arrays.values(), windows))
    try:
        with open(temporary, "wb") as file:
            file.write(_MAGIC + msgspec.json.encode(header) + b"\n")
            for array in (*arrays.values(), windows):
                file.write(np.ascontiguousarray(array).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except OSError as error:
        raise ShardError(
            f"cannot write its index of {size} bytes to {place}: {error.strerror}",
            do="make room there and see to it that it can be written, then index it again: nothing is left behind",
        ) from error
