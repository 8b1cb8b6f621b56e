"""A strict reader of tar archives: every byte is accounted for, or an error says where.

Python's `tarfile` ends early and silently where an archive is cut at a member's border or inside a header,
and where one bit of a later header is flipped. Training on such a shard loses samples without a word. This
reader raises instead. It knows what data sets hold, regular files in ustar, pax or GNU format, and refuses
all else: links, devices and sparse files have no place in a shard.

An archive is in memory, mapped, or a view of something remote (`hop.Ranged`): the files' data is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from vdata.errors import ShardError, TruncatedShardError

BLOCK = 512
_ZEROS = bytes(BLOCK)
_EXTENSION_LIMIT = 1 << 20  # a long name or a pax header is never larger than this
_REGULAR, _DIRECTORY = (b"0", b"\0", b"7"), b"5"
_PAX, _PAX_GLOBAL, _LONG_NAME = b"x", b"g", b"L"
_OTHERS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device", b"4": "a block device",
    b"6": "a fifo", b"S": "a sparse file", b"K": "a long link name", b"V": "a volume label", b"M": "part of a file",
}  # fmt: skip
_METADATA = re.compile(r"__[^/]*__($|/)")
_PLAIN = "rewrite the shard with plain files only"
_AGAIN = "fetch the shard again, or take it from a backup"


class View(Protocol):
    """What is read here: bytes, a map, or anything with `len` and slices of bytes."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes | bytearray | memoryview: ...


class Member(NamedTuple):
    """One regular file: its name, where its data begins, how long it is, where its first header begins."""

    name: str
    offset: int
    size: int
    header: int


class _Header(NamedTuple):
    kind: bytes
    name: bytes
    size: int


def members(data: View, *, url: str = "", start: int = 0, stop: int | None = None) -> Iterator[Member]:
    """The regular files of a whole tar, in order; or of the part whose first header is at `start`, up to the header at `stop`.

    Without `stop` the generator ends only if the archive does: two zero blocks and nothing but zeros after them.
    TruncatedShardError where it ends otherwise, ShardError where it is broken or holds what a shard may not.

    >>> list(members(bytes(1024)))     # two zero blocks: an empty archive
    []
    """
    at = start
    try:
        while (stop is None or at < stop) and (entry := _entry(data, at)) is not None:
            member, at = entry
            if member is not None:
                yield member
        if stop is not None and at != stop:
            raise ShardError(f"no header begins at byte {stop}", byte=at)
    except ShardError as error:
        error.at(url=url or None)
        raise


def samples(members: Iterable[Member], url: str = "") -> Iterator[tuple[str, dict[str, Member]]]:
    """Adjacent members grouped into samples by the webdataset rule: (key, {extension: member}).

    The key is the path up to the first dot of the basename, the extension is the rest in lower case. As in
    webdataset, members under `__name__` are notes about the shard and belong to no sample.
    A member without key or extension, an extension twice in a sample, or a sample in two pieces is a ShardError.

    >>> list(samples([Member("a/1.seg.PNG", 512, 9, 0)]))
    [('a/1', {'seg.png': Member(name='a/1.seg.PNG', offset=512, size=9, header=0)})]
    """
    began: dict[str, int] = {}
    current, parts = "", {}
    for member in members:
        if _METADATA.match(member.name):
            continue
        key, extension = _split(member, url)
        if key != current:
            if parts:
                yield current, parts
            if key in began:
                raise ShardError(
                    f"one sample in two pieces: it begins at byte {began[key]} and again at byte {member.header}",
                    url=url or None, key=key, byte=member.header, do="sort the tar by name, so that a sample's files are adjacent",
                )  # fmt: skip
            began[key], current, parts = member.header, key, {}
        if extension in parts:
            raise ShardError(
                f"{extension!r} twice in one sample: at byte {parts[extension].header} and at byte {member.header}",
                url=url or None, key=key, field=extension, byte=member.header, do="give each file of a sample its own extension",
            )  # fmt: skip
        parts[extension] = member
    if parts:
        yield current, parts


def _split(member: Member, url: str) -> tuple[str, str]:
    folder, slash, base = member.name.rpartition("/")
    stem, _, extension = base.partition(".")
    if not stem or not extension:
        raise ShardError(
            f"{member.name[:200]!r} is not <key>.<extension>, so it belongs to no sample", url=url or None, byte=member.header,
            do="name every file of the shard by its sample's key and an extension, and leave other files out",
        )  # fmt: skip
    return folder + slash + stem, extension.lower()


def _entry(view: View, first: int) -> tuple[Member | None, int] | None:
    """The entry whose first header is at `first`: (member, or None for what is skipped; where the next begins). None at the end."""
    at, long_name, pax = first, None, {}
    while True:
        header = _header(view, at)
        if header is None and first != at:
            raise TruncatedShardError("an extended header without its member", byte=first, do=_AGAIN)
        if header is None:
            return _end(view, at)
        data = at + BLOCK
        if header.kind == _PAX_GLOBAL and first == at:
            return None, _after(view, data, header.size)
        if header.kind not in (_PAX, _LONG_NAME):
            break
        text = _extension(view, header, data)
        if header.kind == _PAX:
            pax = _records(text, at)
        else:
            long_name = text.rstrip(b"\0")
        at = _after(view, data, header.size)
    name = safe_name(pax.get(b"path", long_name if long_name is not None else header.name), first)
    if header.kind == _DIRECTORY or (header.kind == b"\0" and name.endswith("/")):
        return None, data  # a directory has no data, whatever its size field says
    if header.kind not in _REGULAR:
        what = _OTHERS.get(header.kind, f"an entry of type {header.kind!r}")
        raise ShardError(f"{name[:200]!r} is {what}", byte=first, do=_PLAIN)
    size = _pax_size(pax[b"size"], first) if b"size" in pax else header.size
    return Member(name, data, size, first), _after(view, data, size, name)


def _header(view: View, at: int) -> _Header | None:
    """The header block at `at`, its checksum verified; None for a zero block."""
    if at + BLOCK > len(view):
        raise TruncatedShardError(
            f"cut where a header should be: expected at least {at + BLOCK} bytes, got {len(view)}", byte=at, do=_AGAIN
        )
    block = bytes(view[at : at + BLOCK])
    if block == _ZEROS:
        return None
    if _octal(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        do = _AGAIN if at else "check that this is an uncompressed tar and not, say, a page that reports an error"
        raise ShardError("not a tar header, or a damaged one: its checksum is wrong", byte=at, do=do)
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0]
    if prefix and block[257:263] == b"ustar\0":  # GNU tar keeps other things there
        name = prefix + b"/" + name
    return _Header(block[156:157], name, _number(block[124:136], at))


def _number(field: bytes, at: int) -> int:
    """A header's number: octal or, for what does not fit, base 256 after a byte 0x80."""
    value = int.from_bytes(field[1:], "big") if field[0] == 0x80 else _octal(field)
    if value is None:
        raise ShardError(f"a header's number is {field!r}: negative, or not a number", byte=at, do=_AGAIN)
    return value


def _octal(field: bytes) -> int | None:
    """Octal digits between spaces and NULs, None for anything else (`int` alone takes signs and underscores)."""
    digits = field.split(b"\0", 1)[0].strip(b" ")
    return None if digits.strip(b"01234567") else int(digits or b"0", 8)


def _after(view: View, data: int, size: int, name: str = "an extended header") -> int:
    """Where the next header begins, after `size` bytes of data at `data` that must be there."""
    if data + size > len(view):
        raise TruncatedShardError(
            f"cut inside {name[:200]!r}: expected at least {data + size} bytes, got {len(view)}", byte=data, do=_AGAIN
        )
    return data + -(-size // BLOCK) * BLOCK


def _end(view: View, at: int) -> None:
    """The end mark at `at`: a second zero block follows, and then only zeros."""
    if at + 2 * BLOCK > len(view):
        raise TruncatedShardError(
            f"cut inside the end mark: expected at least {at + 2 * BLOCK} bytes, got {len(view)}", byte=at, do=_AGAIN
        )
    step = 1 << 20
    for start in range(at, len(view), step):
        rest = bytes(view[start : start + step])
        if rest.count(0) != len(rest):
            byte = start + len(rest) - len(rest.lstrip(b"\0"))
            raise TruncatedShardError(
                f"an end mark, but more data at byte {byte}: expected only zeros, got {len(view) - byte} more bytes",
                byte=at, do=_AGAIN,
            )  # fmt: skip


def _extension(view: View, header: _Header, data: int) -> bytes:
    if header.size > _EXTENSION_LIMIT:
        raise ShardError(
            f"an extended header of {header.size} bytes, more than {_EXTENSION_LIMIT}", byte=data - BLOCK, do=_PLAIN
        )
    _after(view, data, header.size)
    return bytes(view[data : data + header.size])


def _records(text: bytes, at: int) -> dict[bytes, bytes]:
    """The records `length key=value\\n` of a pax header (POSIX.1-2001)."""
    found: dict[bytes, bytes] = {}
    start = 0
    while start < len(text):
        digits, space, _ = text[start : start + 9].partition(b" ")
        end = start + int(digits) if space and digits.isdigit() else start
        key, equals, value = text[start + len(digits) + 1 : end].partition(b"=")
        if not equals or end > len(text) or value[-1:] != b"\n":
            raise ShardError("a broken record in a pax header", byte=at, do=_AGAIN)
        if key.startswith(b"GNU.sparse."):
            raise ShardError("a sparse file", byte=at, do=_PLAIN)
        found[key] = value[:-1]
        start = end
    return found


def _pax_size(digits: bytes, at: int) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise ShardError(f"a pax header gives the size {digits[:30]!r}", byte=at, do=_AGAIN)
    return int(digits)


def safe_name(raw: bytes, at: int) -> str:
    """A member's name, decoded, if it stays inside the folder that it would be unpacked into; `at` is for the error."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise ShardError(f"a name that is not UTF-8: {raw[:200]!r}", byte=at, do="rename the file") from None
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise ShardError(
            f"an unsafe name: {name[:200]!r}", byte=at, do="names in a shard are relative and have no '..'"
        )
    return name
