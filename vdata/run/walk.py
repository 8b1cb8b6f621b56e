"""One walk through a plan: where it stands as a state, the rank's own plan, and the items from there on.

A state is JSON. For an elastic plan it is a position, good for any number of ranks and workers; for any other
it is a cursor, good for the same rank of the same world.
"""

from __future__ import annotations

import copy
import math
import warnings
import weakref
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from vdata import codecs, plan, survey
from vdata.errors import NoIndexError, PlanError, StateError
from vdata.rewrite import behind_copy, optimise
from vdata.run.each import Item, keeps
from vdata.run.ring import Inline
from vdata.run.stream import follow

VERSION = 2
State = dict[str, Any]
Place = Any  # where a walk stands: its position, beside the cursor of a plan that is not elastic


class Walk:
    """A plan as seen by one rank (and, in a foreign loader, one of its workers)."""

    def __init__(self, written: plan.Stage, *, rank: int = 0, world: int = 1, uneven: str = "drop", worker: int = 0, workers: int = 1, decode: bool = True, optimize: bool = True, behind: str = "none"):
        if uneven not in ("drop", "pad", "exact"):
            raise PlanError(f'uneven is "drop", "pad" or "exact", got {uneven!r}')
        if not 0 <= rank < world:
            raise PlanError(f"rank {rank} is not in a world of {world}")
        self.written = written
        self.rank, self.world, self.uneven = rank, world, uneven
        self.worker, self.workers, self.decode, self.optimize, self.behind = worker, workers, decode, optimize, behind
        self.elastic = not survey.not_elastic(written) and workers == 1
        self.seed = survey.seeds(written)
        self.digest = survey.digest(written)
        self._split = lru_cache(maxsize=2)(self._split_at)

    # -- the plan of this rank ------------------------------------------------------------------------------------------

    def local(self, start: int) -> plan.Stage:
        """The plan that this rank runs, from global position `start` on, as it will run."""
        return self._split(start)[0]

    def after_copy(self, start: int) -> tuple[plan.Stage, ...]:
        """What that plan leaves to be done to a batch once it is on its device."""
        return self._split(start)[1]

    def _split_at(self, start: int) -> tuple[plan.Stage, tuple[plan.Stage, ...]]:
        dealt = deal(self.written, self.rank, self.world, self.uneven, start)
        if self.workers > 1:
            dealt = plan.Deal(dealt, self.worker, self.workers, "exact")
        local = optimise(dealt, scan, decode=self.decode, fuse=self.optimize)
        if start == 0 and self.world > 1 and self.uneven != "pad" and local.access == "dense" and 0 < self.total < self.world:
            raise PlanError(f"{self.total} samples are not enough for {self.world} ranks: use fewer ranks, .repeat(), or uneven='pad'")
        return behind_copy(local, self.behind)

    @property
    def length(self) -> int | float:
        """How many items this rank gets in an epoch; NoIndexError where that is not known."""
        local = self.local(0)
        if local.length is None:
            why = survey.not_elastic(self.written) or "its length is not known"
            raise NoIndexError(f"this pipe has no length: {why}")
        return local.length

    @cached_property
    def total(self) -> int | float:
        """How many samples an epoch has before ranks and batches, for an elastic plan."""
        batch = survey.first_batch(self.written)
        stage = optimise(self.written if batch is None else batch.source, scan, decode=False)
        return math.inf if stage.length is None else stage.length

    # -- states ------------------------------------------------------------------------------------------------------------

    def start(self, epoch: int = 0) -> State:
        """The state at the beginning of an epoch."""
        state: State = {"version": VERSION, "digest": self.digest, "steps": survey.steps(self.written), "seed": self.seed, "epoch": epoch, "position": 0, "decoder": codecs.names()}
        if not self.elastic:
            state |= {"cursor": None, "share": [self.rank, self.world, self.worker, self.workers], "batches": self._batches()}
        return state

    def _batches(self) -> list[str]:
        return [f"batch({s.arguments()})" for s in plan.chain(self.written) if isinstance(s, plan.Batch)]

    def adopt(self, state: State) -> State:
        """A copy of a state that belongs here; another decoder than the one that it was saved with warns."""
        self.check(state)
        here = codecs.names()
        if state.get("decoder") != here:
            warnings.warn(f"the state was saved with {state.get('decoder')}, here is {here}: pixels may differ in their last bits", UserWarning, stacklevel=3)
        return {**copy.deepcopy(state), "decoder": here}

    def check(self, state: State) -> None:
        """Raise StateError where a state belongs to something else, naming the first difference."""
        if not isinstance(state, dict) or "digest" not in state or "position" not in state:
            raise StateError("this is not a state of a vdata pipe: give what state_dict() returned")
        if not all(_whole(state.get(n)) for n in ("epoch", "position")) or state["epoch"] < 0 or not state["position"] >= 0:
            raise StateError(f"no state has epoch {state.get('epoch')!r} and position {state.get('position')!r}")
        if state.get("version") != VERSION:
            raise StateError(f"the state has version {state.get('version')}, this vdata reads version {VERSION}")
        if state["digest"] != self.digest:
            raise StateError(f"the state belongs to another pipe: {_difference(state.get('steps', []), survey.steps(self.written))}")
        if state["seed"] != self.seed:
            raise StateError(f"the state was saved with seed {state['seed']}, this pipe has {self.seed}: write .seed(...) as it was")
        if self.elastic and state["position"] > self.total:
            raise StateError(f"the state stands at position {state['position']} of an epoch of {self.total} samples")
        if ("cursor" in state) == self.elastic:
            raise StateError("the state was saved inside a worker of another loader: load it there, with the same number of workers")
        if not self.elastic:
            here = [self.rank, self.world, self.worker, self.workers]
            if list(state["share"]) != here or list(state["batches"]) != self._batches():
                why = survey.not_elastic(self.written) or "it was saved inside a loader's worker"
                raise StateError(
                    f"the state is of [rank, world, worker, workers] {state['share']} with {state['batches']}, here are {here} with {self._batches()}; "
                    f"this pipe resumes only where it was saved, because {why}"
                )

    # -- items -------------------------------------------------------------------------------------------------------------

    def run(self, state: State, engine: Inline) -> Iterator[tuple[Item, State]]:
        """(item, the state once it is delivered) from `state` to the end of its epoch."""
        return ((item, self.at(state, place)) for part in self.parts(state, engine) for item, place in part)

    def parts(self, state: State, engine: Inline) -> Generator[Iterable[tuple[Item, Place]]]:
        """The same by chunks of the engine, with places instead of states: these are made when somebody asks."""
        return self._parts_elastic(state, engine) if self.elastic else self._parts_other(state, engine)

    def at(self, state: State, place: Place) -> State:
        """The state at a place of a walk that began at `state`."""
        return {**state, "position": place} if self.elastic else {**state, "position": place[0], "cursor": place[1]}

    def _parts_elastic(self, state: State, engine: Inline) -> Generator[Iterable[tuple[Item, int]]]:
        start, total = state["position"], self.total
        batch = survey.first_batch(self.written)
        step = self.world * (batch.size if batch is not None else 1)  # type: ignore[attr-defined]
        last = self._longest(start) - 1
        for first, items in engine.parts(self.local(start), state["epoch"], 0):  # without holes: these are in no elastic plan
            places = range(start + step * (first + 1), start + step * (first + len(items)) + 1, step)
            # The last item leaves nothing to any other number of ranks: what it did not hold was dropped.
            ends = first + len(items) > last or places[-1] > total
            yield zip(items, [total if p > total or n == last else p for n, p in enumerate(places, first)] if ends else places, strict=True)  # type: ignore[misc]

    def _longest(self, start: int) -> int | float:
        """How many items the rank with most of them has from `start` on: the one that holds position `start`."""
        most = self
        if self.uneven == "exact" and self.world > 1:
            most = Walk(self.written, rank=start % self.world, world=self.world, uneven=self.uneven)
        length = most.local(start).length
        return math.inf if length is None else length

    def _parts_other(self, state: State, engine: Inline) -> Generator[Iterable[tuple[Item, Any]]]:
        position = state["position"]
        for item, cursor in follow(self.local(0), engine, state["epoch"], state["cursor"]):
            position += item.count
            yield ((item, (position, cursor)),)

    def left(self, state: State) -> int | float | None:
        """How many items this rank has still to deliver of the state's epoch; None where only its end will tell."""
        if self.elastic:
            return self.local(state["position"]).length
        local = self.local(0)
        return local.length - (state["cursor"] or 0) if local.access == "dense" and local.length is not None else None

    def next_epoch(self, state: State) -> State:
        """The state once the end of its epoch was seen."""
        return self.start(state["epoch"] + 1)


def deal(stage: plan.Stage, rank: int, world: int, uneven: str, start: int) -> plan.Stage:
    """The plan with a Deal beneath the first batch of every pipe, or at its end where there is none."""
    if world == 1 and start == 0:
        return stage
    if not any(isinstance(s, plan.Batch) for s in plan.chain(stage)):
        return plan.Deal(stage, rank, world, uneven, start)
    if isinstance(stage, plan.Batch) and survey.first_batch(stage) is stage:
        return replace(stage, source=deal(stage.source, rank, world, uneven, start))
    return survey.rebuild(stage, {id(c): deal(c, rank, world, uneven, start) for c in plan.children(stage)})


_scanned: weakref.WeakKeyDictionary[plan.Filter, np.ndarray] = weakref.WeakKeyDictionary()


def scan(written: plan.Filter, source: plan.Stage) -> np.ndarray:
    """The positions of `source` that a scanning filter keeps: one pass, remembered as long as the pipe that wrote it."""
    if written not in _scanned:
        kept = [p for p, item in Inline().run(optimise(source, scan), 0, 0) if keeps(written, written.fn, item)]
        _scanned[written] = np.array(kept, np.int64)
    return _scanned[written]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _difference(saved: list[str], here: list[str]) -> str:
    for number, (old, new) in enumerate(zip(saved, here, strict=False)):
        moved = old.startswith("read(") and new.startswith("read(") and old.split()[-1] == new.split()[-1]
        if old != new and not moved:
            return f"step {number} was {old}, here it is {new}"
    longer, what = (saved, "had") if len(saved) > len(here) else (here, "did not have")
    return f"it {what} {longer[min(len(saved), len(here))]}" if len(saved) != len(here) else "its content differs"
