"""Which samples of a pipe are looked at, and how they come: read ahead in threads, a broken one as what it says of itself."""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vdata import plan, survey
from vdata.errors import DataError, PlanError, VdataError
from vdata.pipe import DataPipe
from vdata.pool import Pool
from vdata.run.ring import Inline
from vdata.run.walk import Walk
from vdata.sharded import Sharded
from vdata.source import Source

_MOST = 16  # threads: what is read ahead lies in memory
_STOP = 5.0  # seconds that threads have to end what they do


@dataclass(frozen=True)
class Looked:
    """One sample, or why there is none; its key, and the shard (or file) that it lies in, as far as known."""

    key: str
    place: str
    sample: dict[str, Any] | None
    error: str = ""
    last: bool = False  # a stream cannot be read past what is broken


def samples_of(pipe: DataPipe) -> DataPipe:
    """The pipe without its batches: the same samples."""
    stage = pipe.plan
    while isinstance(stage, plan.Batch):
        stage = stage.source
    pipe = pipe if stage is pipe.plan else DataPipe(stage)
    return pipe.unbatch() if any(isinstance(s, plan.Batch) for s in plan.line(stage)) else pipe


def chosen(count: int, samples: int | None) -> Sequence[int]:
    """Positions in equal steps over all of them, not only the first; None: all.

    >>> list(chosen(10, 3)), list(chosen(2, 3))
    ([1, 5, 8], [0, 1])
    """
    if samples is None or count <= samples:
        return range(count)
    return ((np.arange(samples) + 0.5) * count / samples).astype(np.int64).tolist()


def looked(pipe: DataPipe, samples: int | None) -> tuple[int | None, Iterator[Looked]]:
    """How many will come (None: not known) and the samples themselves: chosen evenly with an index, else the first ones."""
    length = pipe.plan.length
    if samples is None and length == math.inf:
        raise PlanError("an endless pipe has no last sample: say how many to look at")
    if pipe.plan.access == "dense":
        positions = range(samples or 0) if length == math.inf else chosen(len(pipe), samples)
        return len(positions), _by_position(pipe, positions)
    return samples, _in_order(pipe, samples)


def _by_position(pipe: DataPipe, positions: Sequence[int]) -> Iterator[Looked]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    far = any(isinstance(s, plan.Read) and isinstance(s.source, Source) and s.source.far for s in plan.chain(pipe.plan))
    workers = _MOST if far else min(cores, _MOST)  # round trips take no core
    pool, waiting, rest = Pool(workers), deque(), iter(positions)
    try:
        for position in itertools.islice(rest, 2 * workers):
            waiting.append(pool.submit(_one, pipe, position))
        while waiting:
            yield waiting.popleft().result()
            for position in itertools.islice(rest, 1):
                waiting.append(pool.submit(_one, pipe, position))
    finally:
        for future in waiting:
            future.cancel()
        pool.close(_STOP)


def _one(pipe: DataPipe, position: int) -> Looked:
    try:
        sample = pipe[position]
    except DataError as error:
        return _broken(error, str(position))
    except VdataError:
        raise  # a program or a network is at fault, not this sample
    except Exception as error:  # a dataset or function of the user's, which raises what it likes: the page names it
        key, place = _found(pipe, position)
        return Looked(key or str(position), place, None, f"{type(error).__name__}: {error}")
    _, place = _found(pipe, position)
    return _good(sample, str(position), place)


def _good(sample: Any, number: str, place: str) -> Looked:
    if not isinstance(sample, dict):
        raise PlanError(f"a report looks at samples that are dicts, and this pipe gives {type(sample).__name__}s: leave out .to_tuple() and .enumerate()")
    return Looked(str(sample.get("__key__", number)), place, sample)


def _broken(error: DataError, number: str) -> Looked:
    where = error.where
    inside = ", ".join(f"{name} {where[name]!r}" for name in ("field", "byte") if name in where)
    said = error.what + (f" [{inside}]" if inside else "")
    return Looked(str(where.get("key", number)), str(where.get("shard") or where.get("url") or ""), None, said)


def _found(pipe: DataPipe, position: int) -> tuple[str, str]:
    """(key, shard) of a position, where the pipe is nothing but shards."""
    source = pipe.plan.source if isinstance(pipe.plan, plan.Read) else None
    if not isinstance(source, Sharded):
        return "", ""
    places = list(source.manifest.members(position).values())
    return source.manifest.key(position), source.manifest.shards[places[0].shard].name if places else ""


def _in_order(pipe: DataPipe, samples: int | None) -> Iterator[Looked]:
    """The first samples of a pipe without an index, and those that it goes on without because they are broken."""
    walk, engine, number = Walk(_going_on(pipe.plan)), Inline(), 0
    items = walk.run(walk.start(), engine)
    while samples is None or number < samples:
        try:
            item, _ = next(items, (None, None))
        except DataError as error:
            yield replace(_broken(error, str(number)), last=True)
            return
        lost = [*engine.left_out, *(item.broken if item is not None else ())]
        engine.left_out.clear()
        for one in lost:
            yield Looked(str(one.get("key", number)), str(one.get("shard") or one.get("url") or ""), None, one["error"])
        if item is None:
            return
        if not item.broken:  # else another sample stands in, which comes by itself
            yield _good(item.value, str(number), "")
        number += 1


def _going_on(stage: plan.Stage) -> plan.Stage:
    """The plan so that a file which cannot be decoded does not end it. (Inside a zip it would pair others.)"""
    stages = list(plan.chain(stage))
    if any(isinstance(s, plan.Zip) for s in stages):
        return stage
    told = any(isinstance(s, plan.Decode) for s in stages)

    def change(s: plan.Stage) -> plan.Stage:
        if isinstance(s, plan.Decode):
            return replace(s, on_error="skip", scale=None)
        return plan.Decode(s, on_error="skip") if isinstance(s, plan.Read) and not told else s

    return survey.transform(stage, change)
