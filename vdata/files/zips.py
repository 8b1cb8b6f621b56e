"""Members of zip archives."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from vdata.errors import ChecksumError, ShardError, TruncatedShardError
from vdata.files.base import AGAIN, MAX_MEMBER, Members, in_memory, part
from vdata.files.kept import kept, stamp
from vdata.table import Table

_LOCAL_HEADER = 30


class Zips(Members):
    """Members of zip archives, stored or deflated. Where two archives have one name, the first counts.

    With `nested`, members of the zips that are stored inside, too: "a.zip" with "b.jpg" gives "a/b.jpg".
    """

    def __init__(self, paths: Iterable[str | Path], nested: bool = False):
        self.paths, self.nested = [str(p) for p in paths], nested
        self.url = ", ".join(self.paths)
        self._stamps = {os.path.abspath(p): stamp(p) for p in self.paths}  # before they are looked at
        self.members, _ = kept(f"zips {nested} {[os.path.abspath(p) for p in self.paths]}", self._listed)

    def _listed(self):
        rows = (row for number, path in enumerate(self.paths) for row in _members(path, number, self.nested))
        table = Table.of(rows)
        return table, self.stamps()

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        member = self.members[self._row(path)]
        archive = self.paths[member["archive"]]
        try:
            if member["method"] == zipfile.ZIP_DEFLATED and (start or size is not None):
                data = _unzipped_lately(archive, tuple(member.items()), stamp(archive))
            else:
                data = _unzipped(archive, member)
        except (OSError, zlib.error) as error:
            raise ShardError(f"cannot read {path}: {error}", url=archive, byte=member["header"], do=AGAIN) from error
        except ShardError as error:
            raise error.at(url=archive, key=path, byte=member["header"]) from None
        return part(data, start, size, path, archive)

    def open(self, path: str) -> BinaryIO:
        return in_memory(self.read(path))

    def stamps(self) -> dict[str, str]:
        return self._stamps

    def __reduce__(self):
        return Zips, (self.paths, self.nested)


def _members(path: str, number: int, nested: bool) -> Iterator[dict[str, Any]]:
    """The files that the archive's directory lists: where each is, and what it should become."""
    try:
        end = os.path.getsize(path)
        with zipfile.ZipFile(path) as archive:
            listed = list(_entries(archive, path, nested))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, struct.error, zlib.error) as error:
        raise ShardError(f"not a readable zip: {error}", url=path, do=AGAIN) from error
    for name, header, info in listed:
        if header < 0 or header + _LOCAL_HEADER + info.compress_size > end:
            raise TruncatedShardError(f"{name} lies beyond the end of the archive", url=path, byte=end, do=AGAIN)
        if info.flag_bits & 1:
            raise ShardError(f"{name} is encrypted", url=path, do="unpack the archive and give its folder")
        yield {
            "name": name, "archive": number, "header": header, "packed": info.compress_size,
            "size": info.file_size, "crc": info.CRC, "method": info.compress_type,
        }  # fmt: skip


def _entries(archive: zipfile.ZipFile, path: str, nested: bool) -> Iterator[tuple[str, int, zipfile.ZipInfo]]:
    """(name, byte of its header, entry) of every file; a zip that is stored as it is has its members in its place."""
    for info in archive.infolist():
        if info.is_dir():
            continue
        if not (nested and info.filename.endswith(".zip") and info.compress_type == zipfile.ZIP_STORED):
            yield info.filename, info.header_offset, info
            continue
        with open(path, "rb") as file:
            start, _ = _local(file, info.header_offset)
        with archive.open(info) as content, zipfile.ZipFile(content) as inner:
            for name, header, entry in _entries(inner, path, nested=False):
                yield f"{info.filename[:-4]}/{name}", start + header, entry


def _local(file: BinaryIO, header: int) -> tuple[int, bytes]:
    """Where a member's bytes begin, after its header, its name and an extra field; and the name that stands there."""
    file.seek(header)
    head = file.read(_LOCAL_HEADER)
    if len(head) < _LOCAL_HEADER or head[:4] != b"PK\3\4":
        raise ShardError("a damaged zip: no member where the directory says", do=AGAIN)
    name, extra = struct.unpack_from("<HH", head, 26)
    return header + _LOCAL_HEADER + name + extra, file.read(name)


def _unzipped(archive: str, member: dict[str, Any]) -> bytes:
    """The member's bytes, of the size and with the checksum that the directory gives."""
    if member["size"] > MAX_MEMBER:
        raise ShardError(f"{member['name']} says it has {member['size']} bytes")
    with open(archive, "rb") as file:
        start, name = _local(file, member["header"])
        if not any(member["name"].endswith(name.decode(e, "replace").rpartition("/")[2]) for e in ("utf-8", "cp437")):
            raise ShardError(f"the directory names {member['name']!r}, and the member {name!r}", do=AGAIN)
        file.seek(start)
        data = file.read(member["packed"])
    if member["method"] == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member["size"] + 1)
    elif member["method"] != zipfile.ZIP_STORED:
        raise ShardError(f"zip compression method {member['method']} is not read", do="unpack the archive and give its folder")
    if len(data) != member["size"] or zlib.crc32(data) != member["crc"]:
        raise ChecksumError("a damaged zip: a member's bytes are not those that were packed", do=AGAIN)
    return data


@lru_cache(2)
def _unzipped_lately(archive: str, member: tuple[tuple[str, Any], ...], _: str) -> bytes:
    """A deflated member of which parts are read, such as a CSV: there is no way to a part but from its beginning."""
    return _unzipped(archive, dict(member))
