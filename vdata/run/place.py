"""Where things stand: which position of its source a stage delivers, and which samples of which sources a position will need."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vdata import plan
from vdata.errors import PlanError
from vdata.source import Source

# (epoch, positions) of a stage -> those of its source; positions are int64 [n], epochs become so where they differ
Down = Callable[[int, np.ndarray], tuple[Any, np.ndarray]]
Needs = Callable[[int, int], Iterator[tuple[Source, int]]]


def below(stage: plan.Stage) -> Down | None:
    """The arithmetic of a stage that moves positions; None for stages that leave them where they are, or do more."""
    match stage:
        case plan.Shuffle():
            rows = stage.order().rows
            return lambda e, p: (e, rows(e, p))
        case plan.Repeat(source):
            if stage.n is None and source.extent == 0:
                raise PlanError("repeat: the pipe beneath is empty, so this would never end")
            if source.extent in (0, math.inf):
                return lambda e, p: (e, p)
            length = int(source.extent)
            return lambda e, p: (e + p // length, p % length)
        case plan.Skip(_, n):
            return lambda e, p: (e, p + n)
        case plan.Shard(_, num_shards, index):
            return lambda e, p: (e, p * num_shards + index)
        case plan.Pick(_, positions):
            return lambda e, p: (e, positions[p])
        case plan.Deal():
            return lambda e, p: (e, dealt(stage, p))
    return None


def dealt(stage: plan.Deal, position: Any) -> Any:
    """The source's position that is this rank's number `position` (an int, or int64 [n])."""
    place = stage.first + position * stage.world
    return place % int(stage.source.length) if stage.uneven == "pad" else place


def part_of(sources: tuple[plan.Stage, ...]) -> Callable[[int], tuple[int, int]]:
    """Position of a concat -> (number of the pipe, position in it)."""
    starts = [0]
    for source in sources[:-1]:
        starts.append(starts[-1] + int(source.extent))

    def part(position: int) -> tuple[int, int]:
        child = bisect.bisect_right(starts, position) - 1
        return child, position - starts[child]

    return part


def turn_of(stage: plan.Mix) -> Callable[[int, int], tuple[int, int, int]]:
    """(epoch, position) of a mix -> (number of the pipe, epoch and position in it).

    A pipe that is used up begins anew as another epoch; the epochs of two epochs of the mix are never the same.
    """
    blend = stage.blend

    def turn(epoch: int, position: int) -> tuple[int, int, int]:
        child, had = blend.pick(epoch, position)
        length, first = blend.lengths[child], epoch * blend.passes[child]
        if length == math.inf:
            return child, first, had
        return child, first + had // int(length), had % int(length)

    return turn


def needs(stage: plan.Stage) -> Needs:
    """The samples that will be read for a position, as far as the plan alone tells (partners of a MixUp are left out)."""
    match stage:
        case plan.Read(source):
            return lambda e, p: iter(((source, p),)) if isinstance(source, Source) else iter(())
        case plan.Concat(sources):
            inner, part = [needs(s) for s in sources], part_of(sources)

            def of_part(epoch: int, position: int) -> Iterator[tuple[Source, int]]:
                child, place = part(position)
                return inner[child](epoch, place)

            return of_part
        case plan.Mix(sources):
            inner, turn = [needs(s) for s in sources], turn_of(stage)

            def of_turn(epoch: int, position: int) -> Iterator[tuple[Source, int]]:
                child, *place = turn(epoch, position)
                return inner[child](*place)

            return of_turn
        case plan.Zip(sources):
            inner = [needs(s) for s in sources]
            return lambda e, p: (need for each in inner for need in each(e, p))
        case plan.Batch(source, size):
            one, end = needs(source), source.extent
            return lambda e, p: (need for q in range(p * size, int(min(p * size + size, end))) for need in one(e, q))
    one, down = needs(stage.source), below(stage)
    if down is None:
        return one

    def moved(epoch: int, position: int) -> Iterator[tuple[Source, int]]:
        epochs, positions = down(epoch, np.array([position], np.int64))
        return one(int(np.max(epochs)), int(positions[0]))

    return moved


def preparing(stage: plan.Stage) -> Callable[[int, int, int], int] | None:
    """prepare(epoch, start, stop): tell far sources which samples the positions will need; returns how many. None: no source is far."""
    if not any(isinstance(s, plan.Read) and isinstance(s.source, Source) and s.source.far for s in plan.chain(stage)):
        return None
    needed = needs(stage)

    def prepare(epoch: int, start: int, stop: int) -> int:
        asked: dict[int, tuple[Source, list[int]]] = {}
        for position in range(start, stop):
            for source, index in needed(epoch, position):
                asked.setdefault(id(source), (source, []))[1].append(index)
        for source, indices in asked.values():
            if source.far:
                source.prepare(indices)
        return sum(len(indices) for _, indices in asked.values())

    return prepare
