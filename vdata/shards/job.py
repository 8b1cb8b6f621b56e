"""What a pack in pieces keeps beside its shards until the manifest is there, so that a second run can finish it.

`UNFINISHED` says that these shards are no data set. In `.unfinished/`, `plan.json` says which pack is at work (hashes and
options, never a URL), and one file for each piece of work what came of it: the rows that the manifest will have,
and the hash of the tar. A tar is taken over only if it still has that hash. Local tars grow in that folder too.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xxhash

from vdata.errors import ShardError, VdataError
from vdata.field import Field
from vdata.shards import files
from vdata.shards.fetch import Fetcher
from vdata.shards.rows import Part
from vdata.shards.storage import exists, read_file, remove, tars_in, write_file
from vdata.urls import join, local_path

FOLDER = ".unfinished"
_PLAN = f"{FOLDER}/plan.json"
_PIECE = 8 << 20
_SEAL = 16
_TAR_END, _TAR_RECORD = 1024, 10_240  # two zero blocks, and zeros to a whole record, end a tar


class Task(NamedTuple):
    """Positions start .. stop - 1 of a pipe, for the shard of this number."""

    number: int
    start: int
    stop: int

    def __str__(self) -> str:
        return f"shard {self.number} (positions {self.start} to {self.stop - 1})"


class Row(NamedTuple):
    """A sample as it lies in a finished shard."""

    key: str
    parts: dict[str, Part]
    columns: dict[str, int | float]


class Finished(msgspec.Struct, frozen=True):
    """What came of a task: a shard with its rows (none if all samples were left out), or where to cut it.

    name, bytes, xxh3   of the tar
    fields              the schema of its samples
    left_out            the errors of broken samples
    cuts                positions: the samples do not fit into one shard, and nothing was written
    """

    plan: str
    name: str = ""
    bytes: int = 0
    xxh3: str = ""
    fields: dict[str, Field] = {}
    rows: list[Row] = []
    left_out: list[str] = []
    cuts: list[int] = []


class Plan(msgspec.Struct, frozen=True):
    """Which pack is at work: what a rerun is compared with."""

    pipe: str
    options: dict[str, Any]
    count: int
    shards: int

    @property
    def digest(self) -> str:
        return xxhash.xxh3_128_hexdigest(msgspec.json.encode(self, order="sorted"))

    def tasks(self) -> list[Task]:
        """All positions, dealt to the shards in equal shares.

        >>> [task.stop - task.start for task in Plan("", {}, 10, 4).tasks()]
        [3, 2, 3, 2]
        """
        edges = [-(-i * self.count // self.shards) for i in range(self.shards + 1)]
        return [Task(number, start, stop) for number, (start, stop) in enumerate(pairwise(edges))]


def parts(task: Task, cuts: Sequence[int], numbers: Iterator[int]) -> list[Task]:
    """A task cut into several. The first keeps its shard's number; names that are taken already do not move.

    >>> parts(Task(3, 30, 40), [35], iter([9]))
    [Task(number=3, start=30, stop=35), Task(number=9, start=35, stop=40)]
    """
    ranges = list(pairwise([task.start, *cuts, task.stop]))
    return [Task(task.number if i == 0 else next(numbers), *ends) for i, ends in enumerate(ranges)]


def capacity(size: int) -> int:
    """How many bytes the members of a tar file of at most `size` bytes may take."""
    return size // _TAR_RECORD * _TAR_RECORD - _TAR_END


def cut(sizes: Sequence[int], room: int) -> list[int]:
    """Where to cut samples of these sizes, so that no part passes `room` (but for a sample that does so alone).

    As few parts as can be of nearly equal size; up to twice as many where large samples stand between small ones.

    >>> cut([10] * 9, 45)
    [3, 6]
    """
    greedy, begun = [], 0
    for i, size in enumerate(sizes):
        if begun and begun + size > room:
            greedy.append(i)
            begun = 0
        begun += size
    ends = np.cumsum(sizes, dtype=np.int64)
    for few in range(len(greedy) + 1, 2 * len(greedy) + 2):
        targets = ends[-1] * np.arange(1, few) / few
        above = np.searchsorted(ends, targets)
        nearest = above + (targets - np.where(above > 0, ends[above - 1], 0) > ends[above] - targets)
        edges = [0, *sorted({int(edge) for edge in nearest} - {0, len(sizes)}), len(sizes)]
        if all(b - a == 1 or sum(sizes[a:b]) <= room for a, b in pairwise(edges)):
            return edges[1:-1]
    return greedy


@dataclass(frozen=True, repr=False)
class Unfinished:
    """The pack at work in the folder `url`. Cheap to pickle: every job carries it."""

    url: str
    prefix: str
    plan: Plan

    def name(self, task: Task) -> str:
        """The name of the task's shard."""
        return f"{self.prefix}-{task.number:06d}.tar"

    def begin(self, overwrite: bool) -> None:
        """Go on with what a killed run of this same pack left, or make room for a new one."""
        if not overwrite and (left := _plan_at(self.url)) is not None:
            if left == self.plan:
                return
            differing = [n for n in self.plan.options if left.options.get(n) != self.plan.options[n]]
            other = f"with other options ({', '.join(differing)})" if differing else "of another pipe, or one whose samples have changed"
            raise ShardError(
                f"what an interrupted pack {other} left is here", url=self.url,
                do="pack as then to finish it, write elsewhere, or pass overwrite=True to start over",
            )  # fmt: skip
        make_room(self.url, self.prefix, overwrite)
        write_file(join(self.url, _PLAN), msgspec.json.encode(self.plan))

    def save(self, task: Task, finished: Finished) -> None:
        """Remember what came of a task. Its tar, if any, is there already."""
        body = msgspec.msgpack.encode(finished, enc_hook=_unknown)
        write_file(join(self.url, _result(task)), xxhash.xxh3_128_digest(body) + body)

    def load(self, task: Task) -> Finished | None:
        """What came of a task; None if it is still to do."""
        return _load(self.url, task, self.plan.digest)

    def load_whole(self, task: Task) -> Finished | None:
        """As `load`, and the tar is what it was: every byte of it is read again."""
        finished = self.load(task)
        if finished is None or not finished.name:
            return finished
        shards, found = Fetcher(self.url), xxhash.xxh3_128()
        try:
            if shards.size(finished.name) != finished.bytes:
                return None
            for at in range(0, finished.bytes, _PIECE):
                found.update(shards.read(finished.name, at, min(_PIECE, finished.bytes - at)))
        except VdataError:
            return None
        return finished if found.hexdigest() == finished.xxh3 else None

    def end(self) -> None:
        """The manifest is there: leave nothing beside it."""
        _forget(self.url, self.prefix)
        remove(join(self.url, files.UNFINISHED))

    def discard(self) -> None:
        """Leave nothing at all."""
        clear(self.url, self.prefix)
        remove(join(self.url, files.UNFINISHED))


def make_room(url: str, prefix: str, overwrite: bool) -> None:
    """See that nothing is at `url`, or remove what is to be overwritten, its manifest first; and set up the mark."""
    if not overwrite and exists(join(url, files.NAME)):
        raise ShardError("there is a data set already", url=url, do="write elsewhere, or pass overwrite=True to replace it")
    if not overwrite and _ours(url, prefix):
        raise ShardError(
            "there are shards of this name but no manifest: what a broken writer left, or somebody's data", url=url,
            do="write elsewhere, or pass overwrite=True to replace them",
        )  # fmt: skip
    mark = join(url, files.UNFINISHED)
    try:
        write_file(mark, b"a writer is at work, or was killed: these shards are not a data set\n")
    except VdataError:
        remove(mark)
        raise
    clear(url, prefix)


def clear(url: str, prefix: str) -> None:
    """Remove manifest, shards, and what was kept beside them; all but the mark."""
    shards = _ours(url, prefix)
    for one in (join(url, files.NAME), join(url, files.SIDECAR), *shards):
        remove(one)
    _forget(url, prefix)


def _ours(url: str, prefix: str) -> list[str]:
    """The shards at `url` that have names as this writer gives them."""
    ours = re.compile(re.escape(prefix) + r"-\d{6,}\.tar")
    return [tar for tar in tars_in(url) if ours.fullmatch(tar.rpartition("/")[2])]


def _forget(url: str, prefix: str) -> None:
    """Remove `.unfinished/` and what killed writers left under temporary names; the plan last, where it says what else there is."""
    folder = local_path(url)
    if folder is not None:
        shutil.rmtree(os.path.join(folder, FOLDER), ignore_errors=True)
        debris = re.compile(rf"\.(manifest\.json|manifest\.bin|UNFINISHED|{re.escape(prefix)}-\d{{6,}}\.tar)\.[0-9a-f]{{12}}\.tmp")
        for name in filter(debris.fullmatch, os.listdir(folder)):
            remove(join(url, name))
        return
    if (plan := _plan_at(url)) is not None:
        for task in plan.tasks():
            finished = _load(url, task, plan.digest)
            for part in parts(task, finished.cuts, count()) if finished is not None else ():
                remove(join(url, _result(part)))
            remove(join(url, _result(task)))
    remove(join(url, _PLAN))


def _result(task: Task) -> str:
    return f"{FOLDER}/{task.start}-{task.stop}"


def _load(url: str, task: Task, digest: str) -> Finished | None:
    if not exists(join(url, _result(task))):
        return None
    sealed = read_file(join(url, _result(task)))
    seal, body = sealed[:_SEAL], sealed[_SEAL:]
    if xxhash.xxh3_128_digest(body) != seal:
        return None
    finished = msgspec.msgpack.decode(body, type=Finished)
    return finished if finished.plan == digest else None


def _plan_at(url: str) -> Plan | None:
    """The plan that a pack at work here (or killed) wrote; None if there is none, or none of this version."""
    if not exists(join(url, _PLAN)):
        return None
    try:
        return msgspec.json.decode(read_file(join(url, _PLAN)), type=Plan)
    except msgspec.DecodeError:
        return None


def _unknown(value: Any) -> Any:
    raise ShardError(f"{value!r} in the declaration of a field", do="declare fields with numbers, strings, tuples, and dicts with strings as keys")
