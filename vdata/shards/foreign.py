"""Index files that others keep beside their tars: DALI's `x.idx` and Energon's `x.tar.idx`, for `x.tar`.

DALI (wds2idx)  text. "v1.2 <samples>", then a line a sample, "<extension> <offset> <size> <name>" for each of its files, offsets being
                those of the data; v1.1 has no names. GNU tar may have escaped the names; where the next file has a pax header, wds2idx
                gives an offset that is too high.
Energon         uint64, little-endian: where each sample's first header begins, and last where the end mark does.

They may come from anybody and be older than the tar. With names, places and sizes of all files there is no need to read the headers:
the files must follow each other inside the tar, and some headers, the last and what follows it are looked at. Without, an index file says
where headers begin, so that several parts of a tar are walked at the same time, and each must end where the next begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from vdata.errors import AccessError, ShardError
from vdata.shards.hop import Ranged, Read, hop
from vdata.shards.storage import exists, read_file
from vdata.shards.tar import BLOCK, Member, members, safe_name

_LOOKS = 8  # headers that are compared
_LIMIT = 1 << 30
_DALI = {b"v1.1": 3, b"v1.2": 4}  # words a file
_END_MARK = 2 * BLOCK


def kind_beside(tar: str) -> str | None:
    """Which kind of index file lies beside the tar at this URL: the suffix that takes the place of its `.tar`."""
    return next((kind for kind in (".idx", ".tar.idx") if is_there(_beside(tar, kind))), None)


def _beside(tar: str, kind: str) -> str:
    path, mark, query = tar.partition("?")
    return path.removesuffix(".tar") + kind + mark + query


def is_there(url: str) -> bool:
    """Whether there is a file that may as well be missing."""
    try:
        return exists(url)
    except AccessError:  # so a bucket answers for what is not there, if it may not be listed
        return False


def listed(tar: str, kind: str, read: Read, size: int, parts: int) -> list[Member] | None:
    """All files of a tar of `size` bytes, by the index file of this kind beside it; None where that is of no use.

    `parts` of it are walked at the same time where headers must be read. ShardError where file and tar do not fit.
    """
    url = _beside(tar, kind)
    if not is_there(url) or (kind == ".tar.idx" and parts < 2):
        return None
    try:
        raw = read_file(url, min(_LIMIT, 4 * size))  # a file's line is shorter than four headers
        if kind == ".tar.idx":
            return hop(read, size, cuts=_some(energon_starts(raw, size), parts), url=tar)
        if raw[:4] not in _DALI:
            return None
        files, starts = dali_files(raw, size)
        if files is None:
            return hop(read, size, cuts=_some(starts, parts), url=tar)
        _compare(files, Ranged(read, size))
        return files
    except ShardError as error:
        raise ShardError(
            f"not what the index file beside it says, {url.partition('?')[0].rpartition('/')[2]}: {error.what}", url=tar, byte=error.where.get("byte"),
            do="if the shard is whole, index its headers instead: use_index_files=False, or `vdata index --headers`",
        ) from None  # fmt: skip


def _some(starts: Sequence[int], parts: int) -> list[int]:
    """The bytes at which to cut a tar into about equal parts."""
    return sorted({int(starts[len(starts) * part // parts]) for part in range(1, parts)} - {0}) if len(starts) else []


def energon_starts(raw: bytes, size: int) -> Sequence[int]:
    """Where the samples begin that an Energon index lists: rising, at blocks, before the end mark; else ShardError."""
    if not raw or len(raw) % 8:
        raise ShardError(f"an index of {len(raw)} bytes is not a list of uint64")
    starts = np.frombuffer(raw, "<u8")
    if (starts % BLOCK).any() or (starts[1:] <= starts[:-1]).any() or starts[-1] > size - _END_MARK:
        raise ShardError(f"offsets that do not rise block by block inside {size} bytes")
    return starts[:-1].tolist()


def dali_files(raw: bytes, size: int) -> tuple[list[Member] | None, list[int]]:
    """(all files, where each sample begins) that a DALI index lists; None for the files if their names are not known for sure.

    ShardError for what is not of the format, and where a file is not behind the one before it and inside the tar.
    """
    lines = raw.split(b"\n")
    head = lines[0].split()
    if head[0] not in _DALI:
        raise ShardError(f"an index of the format {head[0][:20]!r} is not known")
    width = _DALI[head[0]]
    rows = [line.split() for line in lines[1:] if line.strip()]
    if len(head) != 2 or not head[1].isdigit() or int(head[1][:20]) != len(rows) or not rows:
        raise ShardError(f"{len(rows)} samples are listed, {head[1:]!r} are promised")
    named = width == 4 and b"\\" not in raw
    files, starts, end = [], [], 0
    for number, row in enumerate(rows, 2):
        starts.append(end)  # the sample's first header is behind the data before it, an extended one before the one at `offset`
        if len(row) % width:
            raise ShardError(f"line {number} is not <extension> <offset> <size>{' <name>' * (width == 4)} a file")
        for at in range(0, len(row), width):
            offset, length = _place(row[at + 1 : at + 3], number)
            if offset % BLOCK or not end + BLOCK <= offset <= offset + length <= size - _END_MARK:
                raise ShardError(f"line {number}: {length} bytes are not behind what comes before, and inside {size} bytes", byte=offset)
            end = offset + -(-length // BLOCK) * BLOCK
            if named:
                name = safe_name(row[at + 3], offset)
                if name.rpartition("/")[2].partition(".")[2].encode() != row[at]:
                    raise ShardError(f"line {number} gives {name[:200]!r} the extension {row[at][:200]!r}", byte=offset)
                files.append(Member(name, offset, length, offset - BLOCK))
    return (files if named else None), starts


def _place(words: list[bytes], number: int) -> tuple[int, int]:
    if not all(word.isdigit() and len(word) < 20 for word in words):
        raise ShardError(f"line {number} has {words!r} for an offset and a size")
    return int(words[0]), int(words[1])


def _compare(files: Sequence[Member], tar: Ranged) -> None:
    """The first, the last and some other files with their headers; nothing follows the last."""
    last = len(files) - 1
    for number in sorted({last * look // (_LOOKS - 1) for look in range(_LOOKS)}):
        before = files[number - 1] if number else Member("", 0, 0, 0)
        found = list(islice(members(tar, start=before.offset + -(-before.size // BLOCK) * BLOCK), 1 if number < last else 2))
        expected = files[number]
        if [(m.name, m.offset, m.size) for m in found] != [(expected.name, expected.offset, expected.size)]:
            raise ShardError(
                f"expected {expected.name[:200]!r} of {expected.size} bytes at byte {expected.offset}, "
                f"found {[(m.name[:200], m.size, m.offset) for m in found]}",
                byte=expected.header,
            )
