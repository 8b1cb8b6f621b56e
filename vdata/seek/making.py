"""One strict pass over an archive, which makes its index."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vdata.errors import ShardError, TruncatedShardError
from vdata.files.base import AGAIN
from vdata.files.tars import Entry, Watched, plain_files
from vdata.progress import progress
from vdata.seek.index import MAX_STRETCH, PAGE, Header, ends_of, reserved, write
from vdata.seek.points import Pass, Point, first_pass, kind_of
from vdata.table import Table


def build(path: str | os.PathLike[str], *, quiet: bool | None = None) -> Path:
    """Read the archive once, strictly, and write its index: beside it, or in the cache folder if that is not allowed.

    A cut or damaged archive raises ShardError and gets no index. A gzip needs the package `rapidgzip`.
    """
    path = Path(path)
    url, kind = str(path), kind_of(str(path))
    before = os.stat(path)
    try:
        with reserved(path) as (temporary, place):
            with progress(f"index {path.name}", before.st_size, unit="B", quiet=quiet) as bar:
                content = _Paged(first_pass(url, kind), bar)
                try:
                    members = _walk(content, path.name)
                    points = content.stream.points()
                finally:
                    content.stream.close()
            _expect_same(before, os.stat(path))
            useful = _useful(points, content)
            arrays = _arrays(useful, content, members)
            windows = np.frombuffer(b"".join(p.window for p in useful), "|u1")
            about = (kind, members is not None, before.st_size, before.st_mtime_ns, ends_of(path), content.length)
            write(temporary, place, Header(*about), arrays, windows)
    except ShardError as error:
        raise error.at(url=url) from None
    return place


def _expect_same(before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ShardError("the archive changed while it was read", do="wait until it is whole, then index it")


class _Paged:
    """The plain stream as it goes by: a checksum of each page is kept, and the bar moves on."""

    def __init__(self, stream: Pass, bar: Any):
        self.stream, self._bar = stream, bar
        self.length = 0
        self.checksums: list[int] = []
        self._ahead = b""

    def read(self, size: int) -> bytes:
        data, self._ahead = self._ahead, b""
        return data or self._next(size)

    def first(self, size: int) -> bytes:
        """What `read` will give first."""
        while len(self._ahead) < size and (data := self._next(size - len(self._ahead))):
            self._ahead += data
        return self._ahead

    def _next(self, size: int) -> bytes:
        data = self.stream.read(size)
        at = 0
        while at < len(data):
            inside = (self.length + at) % PAGE
            piece = memoryview(data)[at : at + PAGE - inside]
            if inside == 0:
                self.checksums.append(0)
            self.checksums[-1] = zlib.crc32(piece, self.checksums[-1])
            at += len(piece)
        self.length += len(data)
        self._bar.update(self.stream.packed() - self._bar.n)
        return data


def _walk(content: _Paged, name: str) -> Table | None:
    """The members of the tar; None, after reading to the end, where neither name nor content is that of a tar."""
    if not _is_tar(name, content.first(tarfile.BLOCKSIZE)):
        while content.read(1 << 20):
            pass
        return None
    try:
        return Table.of(_members(content))
    except tarfile.ReadError as error:
        raise TruncatedShardError(f"the archive is cut or damaged: {error}", do=AGAIN) from error
    except tarfile.TarError as error:
        raise ShardError(f"not a readable tar: {error}", do=AGAIN) from error


def _is_tar(name: str, first: bytes) -> bool:
    if ".tar" in name or name.endswith((".tgz", ".tbz", ".tbz2")):
        return True
    try:
        tarfile.TarInfo.frombuf(first, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _members(content: _Paged) -> Iterator[dict[str, Any]]:
    watched = Watched(content)  # type: ignore[arg-type]
    with tarfile.open(fileobj=watched, mode="r|", bufsize=1 << 20, tarinfo=Entry) as archive:  # type: ignore[call-overload]
        for member in plain_files(archive):
            yield {"name": member.name.removeprefix("./"), "offset": member.offset_data, "size": member.size}
        watched.expect_end(archive.offset)


def _useful(points: list[Point], content: _Paged) -> list[Point]:
    """The points that serve a page: of several before the same page, the nearest to it."""
    nearest = {-(-p.plain // PAGE): p for p in points}
    useful = [p for page, p in nearest.items() if page < len(content.checksums)]
    longest = np.diff([*(p.plain for p in useful), content.length]).max(initial=0)
    if longest + PAGE > MAX_STRETCH:
        raise ShardError(f"no place to enter it for {longest} bytes", do="unpack the archive and give its folder")
    return useful


def _arrays(useful: list[Point], content: _Paged, members: Table | None) -> dict[str, np.ndarray]:
    plain = np.array([p.plain for p in useful], "<i8")
    arrays = {
        "plain": plain,
        "bit": np.array([p.bit for p in useful], "<i8"),
        "window_end": np.cumsum([len(p.window) for p in useful], dtype="<i8"),
        "first_page": -(-plain // PAGE),
        "checksum": np.array(content.checksums, "<u4"),
    }
    return arrays | {f"members/{n}": a for n, a in (members.arrays() if members is not None else {}).items()}
