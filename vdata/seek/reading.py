"""Reading with an index: what is handed out has been compared with the checksums that were taken when it was made."""

from __future__ import annotations

import io
import os
import threading
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vdata.errors import ChecksumError, NoIndexError, ShardError, TruncatedShardError
from vdata.files import Members, stamp
from vdata.seek.index import PAGE, Index, index_of, read_header
from vdata.seek.points import plain_from, unpacked_window
from vdata.table import Table

_REMEMBERED = 1 << 24  # bytes of plain content that one thread keeps: h5py reads a little here and there
_REBUILD = "if it was downloaded anew, index it again with vdata.seek.build(path)"


class _Recent(threading.local):
    """What this thread decoded last: (point, plain bytes from its first page on), the newest last."""

    def __init__(self) -> None:
        self.held: list[tuple[int, bytes]] = []

    def take(self, row: int) -> bytes | None:
        return next((data for r, data in self.held if r == row), None)

    def keep(self, row: int, data: bytes) -> None:
        self.held = [(r, d) for r, d in self.held if r != row] + [(row, data)]
        while len(self.held) > 1 and sum(len(d) for _, d in self.held) > _REMEMBERED:
            del self.held[0]


class _Indexed(Members):
    """What both kinds have in common: plain bytes by their place in the stream."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = self.url = os.fspath(path)
        index = index_of(path)
        if index is None:
            raise NoIndexError(f"{self.url} has no seek index: vdata.seek.build({self.url!r}) makes one in one pass")
        self._index = Index(index)
        self._recent = _Recent()

    @property
    def names(self) -> list[str]:
        """All members, in the archive's order."""
        return list(self._rows)[::-1]

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        offset, length = self._place(path)
        size = length - start if size is None else size
        if start < 0 or size < 0 or start + size > length:
            raise TruncatedShardError(f"{path} ends before byte {start + size}: it has {length}", url=self.url)
        try:
            return self._plain(offset + start, size)
        except ShardError as error:
            raise error.at(url=self.url, key=path) from None
        except OSError as error:
            raise ShardError(f"cannot read {path}: {error.strerror}", url=self.url, key=path) from error

    def open(self, path: str) -> BinaryIO:
        """A file object over one member: h5py and others read in it what they need."""
        return io.BufferedReader(_Part(self, path, self._place(path)[1]), PAGE)

    def stamps(self) -> dict[str, str]:
        return {os.path.abspath(self.path): stamp(self.path)}

    def _place(self, path: str) -> tuple[int, int]:
        member = self.members[self._row(path)]
        return member["offset"], member["size"]

    def _plain(self, start: int, size: int) -> bytes:
        pieces, end = [], start + size
        while start < end:
            row = int(np.searchsorted(self._index.first_pages, start // PAGE, side="right")) - 1
            first = int(self._index.first_pages[row]) * PAGE
            data = self._stretch(row, first, end)[start - first : end - first]
            pieces.append(data)
            start += len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _stretch(self, row: int, first: int, end: int) -> bytes:
        """Plain bytes from the first page of a point to `end`, or to the first page of the next point.

        Who comes back for more gets all there is until then: files are mostly read forward.
        """
        pages, plain = self._index.first_pages, self._index.header.plain
        last = min(int(pages[row + 1]) * PAGE if row + 1 < len(pages) else plain, plain)
        held = self._recent.take(row)
        if held is not None and first + len(held) >= min(end, last):
            return held
        stop = last if held is not None else min(-(-end // PAGE) * PAGE, last)
        data = self._decoded(row, first, stop)
        self._recent.keep(row, data)
        return data

    def _decoded(self, row: int, first: int, stop: int) -> bytes:
        """Plain bytes [first, stop), whole pages, entered at a point and compared with their checksums."""
        point = self._index.point(row)
        skip, wanted = first - point.plain, stop - point.plain
        content = bytearray()
        try:
            with open(self.path, "rb") as file:
                for piece in plain_from(file, self._index.header.kind, point.bit, unpacked_window(point.window)):
                    content += piece
                    if len(content) >= wanted:
                        break
        except zlib.error as error:
            raise ShardError(f"a damaged index: {error}", byte=point.bit // 8, do=_REBUILD) from error
        if len(content) < wanted:
            raise TruncatedShardError(
                "the archive ends too early: it has changed since it was indexed", byte=point.bit // 8, do=_REBUILD
            )
        data = bytes(memoryview(content)[skip:wanted])
        checksums = self._index.checksums[first // PAGE :]
        for at in range(0, len(data), PAGE):
            if zlib.crc32(memoryview(data)[at : at + PAGE]) != checksums[at // PAGE]:
                raise ChecksumError(
                    "the archive is damaged, or has changed since it was indexed", byte=point.bit // 8, do=_REBUILD
                )
        return data

    def __reduce__(self):
        return type(self), (self.path,)


class SeekTar(_Indexed):
    """Members of a compressed tar that has an index."""

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__(path)
        if not self._index.header.tar:
            raise ShardError("one compressed file, not a tar", url=self.url, do="open it with SeekFile")
        self.members = self._index.members()


class SeekFile(_Indexed):
    """One compressed file that has an index, as a member: "x.h5.gz" has "x.h5"."""

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__(path)
        self.members = Table.of([{"name": Path(self.path).stem, "offset": 0, "size": self._index.header.plain}])


def opened(path: str | os.PathLike[str]) -> SeekTar | SeekFile:
    """The archive, by what its index says it is."""
    with open(index_of(path) or os.devnull, "rb") as file:
        header = read_header(file)
    return SeekFile(path) if header is not None and not header.tar else SeekTar(path)


class _Part(io.RawIOBase):
    """A member as a file."""

    def __init__(self, files: _Indexed, path: str, size: int):
        self._files, self._path, self._size, self._at = files, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"a seek to byte {at}")
        self._at = at
        return at

    def readinto(self, buffer: Any, /) -> int:
        count = max(min(len(buffer), self._size - self._at), 0)
        buffer[:count] = self._files.read(self._path, self._at, count) if count else b""
        self._at += count
        return count
