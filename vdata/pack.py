"""Write a pipe to shards: webdataset tars that anybody reads, and the manifest that brings every tensor back as it was.

A shard is made by a job: a pure function of the plan and a range of positions, so it does not matter who runs it, in which
order, or how often. The driver deals the positions beforehand, and at the end reads what came of the jobs in the order of
the pipe: the manifest is the commit.
"""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import xxhash

from vdata import codecs, survey
from vdata.encoding import Encoder, agree
from vdata.errors import PlanError, ShardError, VdataError
from vdata.executors import Executor, Processes, Ray, Serial, named
from vdata.field import Field
from vdata.pipe import DataPipe
from vdata.plan import Read, Stage, chain
from vdata.progress import progress
from vdata.reencode import Reencode
from vdata.run.each import Item
from vdata.run.make import compile
from vdata.run.ring import Inline, require_picklable, walk_span
from vdata.run.walk import Walk
from vdata.sharded import Sharded
from vdata.shards.job import Finished, Plan, Task, Unfinished, capacity, cut, parts
from vdata.shards.manifest import Manifest
from vdata.shards.rows import Rows
from vdata.shards.tar import BLOCK
from vdata.shards.upkeep import parse_size
from vdata.shards.write import Rules, ShardWriter, check_prefix, checked, growing
from vdata.source import digest_of
from vdata.start import open
from vdata.urls import local_path, scheme

_PROBES = 32  # samples that are encoded beforehand, to learn how large samples are
_MARGIN = 1.15  # how much larger than its probes a shard may be without being cut


def pack(
    pipe: DataPipe, url: str | os.PathLike[str], *, executor: str | Executor = "serial", workers: int | None = None,
    samples_per_shard: int = 10_000, bytes_per_shard: int | str = 256 << 20, prefix: str = "shard", overwrite: bool = False,
    longest: int | None = None, format: str | None = None, quality: int = 90, restart_markers: bool = False, quiet: bool | None = None,
) -> DataPipe:  # fmt: skip
    """Write one epoch of `pipe` to shards in the folder `url`, and open them.

    What no stage needs decoded is written as the bytes it came as; typed tensors are written without loss. Equal input gives
    equal bytes, whoever writes them. The manifest is written last: a pack that was interrupted leaves no data set. After a kill
    or a failure of storage the same call finishes it: shards that are whole are read once more, not made again.

    executor    "serial"; "process" (a script needs `if __name__ == "__main__":`); "ray", on the cluster of `ray.init` if there is
                one, where a local `url` must be a folder that all nodes share; or any object with `map_unordered(fn, items)`
    workers     how many at once; by default as many as there are cores, or what the cluster has
    samples_per_shard, bytes_per_shard   what no shard passes (bytes also as in "1GB"); within that, shards are of nearly equal size
    prefix      what the shards' names begin with
    overwrite   replace a data set, or the rest of an interrupted pack, that is already there
    longest     the longer side of a picture at most: larger ones are made smaller by `T.ResizeLongest` (bilinear, averaging what a
                new pixel covers), and boxes, masks, points and flow with them. Everything but pictures is then written as tensors
    format      "jpeg" (4:2:0, grey stays grey), "webp" (which has no grey) or "png": pictures of other formats are encoded anew, as
                are those that `longest` makes smaller (by default in the format that they had)
    quality     of JPEG and WebP, 1 to 100; 100 is lossless for WebP
    restart_markers   put a marker after every row of blocks of JPEGs, without loss (about 0.3 % more bytes, 50 ms each), and a list of
                where each begins: vdata then decodes a window without what lies above and below it. Those of which this cannot be made
                (progressive ones, say) keep their bytes
    quiet       no progress bar (default: one where the output is a terminal)

    Broken samples of a pipe with `.decode(on_error="skip")` are left out, and a warning says how many. A shard with too large
    samples is cut, and what is cut off gets a number at the end; the manifest has the pipe's order.

    Raises PlanError for samples that are no dicts, whose fields change their type, or with a key that cannot be, and for a pipe
    without an index where others than "serial" would have to share it. ShardError where there is something at `url` already.

    >>> len(pack(vdata.from_torch([{"x": 1}, {"x": 2}]), "memory://doc/pack", quiet=True))
    2
    """
    url = os.fspath(url)
    crew, bytes_per_shard = named(executor, workers), parse_size(bytes_per_shard)
    if samples_per_shard < 1 or bytes_per_shard < 1:
        raise PlanError(f"a shard holds at least one sample and one byte, not {samples_per_shard} and {bytes_per_shard}")
    check_prefix(prefix)
    pictures = Reencode(longest, format, quality, restart_markers)
    if overwrite and any(_one_in_the_other(url, base) for base in _read_from(pipe)):
        raise PlanError(f"pack: the pipe reads from {url}, which would be removed first: write to another folder")
    limits = {"samples_per_shard": samples_per_shard, "bytes_per_shard": bytes_per_shard, "prefix": prefix}
    walk = Walk(pipe.plan, decode=False)
    encoder = Encoder(pictures.fields(pipe.plan.fields or {}), pictures)
    if walk.elastic:
        left_out = _pack_in_jobs(walk, encoder, url, crew, limits, overwrite, quiet)
    elif isinstance(crew, Serial):
        left_out = _pack_stream(walk, encoder, url, limits, overwrite, quiet)
    else:
        raise PlanError(f'pack: only executor="serial" can write this pipe, which cannot be shared out by position: {survey.not_elastic(pipe.plan)}')
    if left_out:
        warnings.warn(f"pack left out {len(left_out)} broken samples, the first: {left_out[0]}", UserWarning, stacklevel=2)
    return open(url)


# -- an index: jobs ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class _Job:
    """Makes the shard of a task, unless it is there already; or says where to cut its samples."""

    stage: Stage
    encoder: Encoder
    work: Unfinished

    def __call__(self, task: Task) -> list[int]:
        finished = self.work.load_whole(task)
        if finished is None:
            finished = self._make(task)
            self.work.save(task, finished)
        return finished.cuts

    def _make(self, task: Task) -> Finished:
        work, plan = self.work, self.work.plan.digest
        schema: dict[str, Field] = {}
        left_out: list[str] = []
        sizes: list[int] = []
        rules, room, measuring = Rules(work.url, schema), capacity(work.plan.options["bytes_per_shard"]), False
        with growing(work.url, work.name(task)) as shard:
            for sample in self.encoder.encoded(walk_span(compile(self.stage), 0, task.start, task.stop), left_out):
                sizes.extend([0] * (sample.position - task.start - len(sizes)))  # what was left out
                agree(schema, sample.fields, sample.key)
                rules.admit(sample.key, sample.members, sample.columns)
                before = shard.content
                shard.add(sample.key, checked(work.url, sample.key, sample.members, sample.columns), sample.columns)
                sizes.append(shard.content - before)
                measuring = measuring or (len(shard.samples) > 1 and shard.content > room)
                if measuring:
                    shard.forget()  # too large already: the rest only tells where to cut
            if measuring:
                return Finished(plan, cuts=[task.start + at for at in cut(sizes, room)])
            if not shard.samples:
                return Finished(plan, left_out=left_out)
            rows, size, digest = shard.publish(work.url)
        return Finished(plan, shard.name, size, digest, schema, rows, left_out)


def _items(stage: Stage, positions: Iterable[int]) -> Iterator[tuple[int, Item]]:
    make = compile(stage).one
    return ((position, item) for position in positions if (item := make(0, position)) is not None)


def _pack_in_jobs(
    walk: Walk, encoder: Encoder, url: str, crew: Executor, limits: dict[str, Any], overwrite: bool, quiet: bool | None
) -> list[str]:  # fmt: skip
    """Write a pipe with an index; the errors of what was left out."""
    stage = walk.local(0)
    if isinstance(crew, (Processes, Ray)):
        require_picklable(stage)
        if scheme(url) == "memory":
            raise PlanError('pack: memory:// is the memory of one process, which workers do not share: use executor="serial"')
    if stage.extent == 0:
        raise PlanError("pack: the pipe is empty")
    if stage.extent == math.inf:
        raise PlanError("pack: the pipe is endless: .take(n) of it, or leave out .repeat()")
    work = Unfinished(url, limits["prefix"], _plan(walk, stage, encoder, crew, limits))
    work.begin(overwrite)
    try:
        return _commit(work, _shards(crew, _Job(stage, encoder, work), quiet))
    except BaseException as error:
        if isinstance(error, (VdataError, OSError)) and not isinstance(error, PlanError):
            error.add_note("shards that are finished stay where they are: the same pack again makes only the others")
        elif isinstance(error, Exception):
            work.discard()  # a mistake in a program
        raise


@dataclass(frozen=True, eq=False, repr=False)
class _Probe:
    """Makes some samples, to learn how large samples are, and a hash that tells whether a rerun still packs the same."""

    stage: Stage
    encoder: Encoder

    def __call__(self, positions: list[int]) -> tuple[int, str]:
        """(the bytes that they take in a tar, the hash)."""
        size, seen = 0, xxhash.xxh3_128()
        for sample in self.encoder.encoded(_items(self.stage, positions), []):
            for name, (suffix, data) in sample.members.items():
                seen.update(f"{sample.key} {name}.{suffix} {len(data)} ".encode())
                seen.update(data)
                size += BLOCK + -(-len(data) // BLOCK) * BLOCK
        return size, seen.hexdigest()


def _plan(walk: Walk, stage: Stage, encoder: Encoder, crew: Executor, limits: dict[str, Any]) -> Plan:
    """What is to be done, and in how many shards."""
    count = int(stage.extent)
    probes = [i * count // min(_PROBES, count) for i in range(min(_PROBES, count))]
    ((size, seen),) = _all(crew, _Probe(stage, encoder), [probes])
    by_size = _MARGIN * size * count / len(probes) / max(1, capacity(limits["bytes_per_shard"]))
    shards = min(count, max(-(-count // limits["samples_per_shard"]), math.ceil(by_size)))
    written = [f"{s.name}({s.arguments()})" + (s.source.digest if isinstance(s, Read) else "") for s in chain(walk.written)]
    return Plan(digest_of(*written, walk.seed, codecs.names(), seen), limits | asdict(encoder.pictures), count, shards)


def _shards(crew: Executor, job: _Job, quiet: bool | None) -> list[Task]:
    """Make all shards; the tasks that they came of, in the order of the pipe."""
    plan = job.work.plan
    first, numbers = plan.tasks(), itertools.count(plan.shards)
    with progress("pack", plan.count, quiet=quiet) as bar:
        cuts = _all(crew, job, first, bar)
        tasks = [part for task, edges in zip(first, cuts, strict=True) for part in parts(task, edges, numbers)]
        _all(crew, job, [task for task in tasks if task not in first], bar)
    return tasks


def _all(crew: Executor, fn: Any, items: list[Any], bar: Any = None) -> list[Any]:
    """fn(item) of all items, in their order."""
    found: dict[int, Any] = {}
    results = crew.map_unordered(fn, items)
    try:
        for number, result in results:
            found[number] = result
            if bar is not None and not result:
                bar.update(items[number].stop - items[number].start)
    finally:
        if (close := getattr(results, "close", None)) is not None:
            close()  # ends the workers now, not when the garbage collector finds them
    if missing := [item for number, item in enumerate(items) if number not in found]:
        raise PlanError(f"pack: the executor gave no result for {missing[0]}: map_unordered yields (number, result) of every item")
    return [found[number] for number in range(len(items))]


def _commit(work: Unfinished, tasks: Iterable[Task]) -> list[str]:
    """Write the manifest, with what the samples of all shards have in common checked; the errors of what was left out."""
    schema: dict[str, Field] = {}
    left_out: list[str] = []
    rows, rules = Rows(schema, checksums=True), Rules(work.url, schema)
    for task in tasks:
        finished = work.load(task)
        if finished is None:
            raise ShardError(f"what came of {task} is gone", url=work.url, do="pack again; one pack at a time writes to a folder")
        left_out += finished.left_out
        if not finished.rows:
            continue
        for row in finished.rows:
            rules.admit(row.key, row.parts, row.columns)
            rows.add(*row)
        agree(schema, finished.fields, finished.rows[0].key)
        rows.end_shard(finished.name, finished.bytes)
    if not rows.count:
        raise PlanError(f"pack: all {len(left_out)} samples are broken, the first: {left_out[0]}")
    Manifest(**rows.finish(), base=work.url).save(work.url)
    work.end()
    return left_out


# -- no index: one sample after the other -------------------------------------------------------------------------------------------


def _pack_stream(walk: Walk, encoder: Encoder, url: str, limits: dict[str, Any], overwrite: bool, quiet: bool | None) -> list[str]:
    """Write a pipe without an index, whose shards end where they are full; the errors of what was left out."""
    schema: dict[str, Field] = {}
    left_out: list[str] = []
    engine, number = Inline(), 0
    with ShardWriter(url, schema, **limits, overwrite=overwrite) as writer, progress("pack", None, quiet=quiet) as bar:
        items = enumerate(item for item, _ in walk.run(walk.start(), engine))
        for sample in encoder.encoded(items, left_out):
            agree(schema, sample.fields, sample.key)
            writer.write(sample.key, sample.members, sample.columns)
            number += 1
            bar.update(1)
        if not number:
            raise PlanError("pack: the pipe is empty")
    return left_out + [entry["error"] for entry in engine.left_out]


# -- where a pipe reads from ----------------------------------------------------------------------------------------------------------


def _one_in_the_other(url: str, other: str) -> bool:
    """Whether two folders are one, however they are spelt, or one lies in the other."""
    here, there = (_spelling(u) + "/" for u in (url, other))
    return here.startswith(there) or there.startswith(here)


def _spelling(url: str) -> str:
    path = local_path(url)
    if path is not None:
        return os.path.realpath(path)
    return f"{scheme(url)}://" + url.split("://", 1)[1].split("?")[0].strip("/")


def _read_from(pipe: DataPipe) -> list[str]:
    """The folders of shards that a pipe reads."""
    sources = (s.source for s in chain(pipe.plan) if isinstance(s, Read))
    return [source.manifest.base for source in sources if isinstance(source, Sharded)]
