"""One walk through a plan: where it stands as a state, the rank's own plan, and the items from there on.

A state is JSON. For an elastic plan it is a position, good for any number of ranks and workers; for any other
it is a cursor, good for the same rank of the same world.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from vdata import codecs, plan, survey
from vdata.batch import Batch
from vdata.errors import NoIndexError, PlanError, StateError
from vdata.rewrite import optimise
from vdata.run.make import Ledger, compile
from vdata.run.ring import Inline
from vdata.run.stream import follow

VERSION = 1
State = dict[str, Any]


class Walk:
    """A plan as seen by one rank (and, in a foreign loader, one of its workers)."""

    def __init__(self, written: plan.Stage, *, rank: int = 0, world: int = 1, uneven: str = "drop", worker: int = 0, workers: int = 1, decode: bool = True):
        if uneven not in ("drop", "pad", "exact"):
            raise PlanError(f'uneven is "drop", "pad" or "exact", got {uneven!r}')
        if not 0 <= rank < world:
            raise PlanError(f"rank {rank} is not in a world of {world}")
        self.written = written
        self.rank, self.world, self.uneven = rank, world, uneven
        self.worker, self.workers, self.decode = worker, workers, decode
        self.elastic = not survey.not_elastic(written) and workers == 1
        self.seed = survey.seed_of(written)
        self.digest = survey.digest(written)
        self.local = lru_cache(maxsize=2)(self._local)

    # -- the plan of this rank ------------------------------------------------------------------------------------------

    def _local(self, start: int) -> plan.Stage:
        """The plan that this rank runs, from global position `start` on, as it will run."""
        dealt = deal(self.written, self.rank, self.world, self.uneven, start)
        if self.workers > 1:
            dealt = plan.Deal(dealt, self.worker, self.workers, "exact")
        return optimise(dealt, scan, decode=self.decode)

    @property
    def length(self) -> int | float:
        """How many items this rank gets in an epoch; NoIndexError where that is not known."""
        local = self.local(0)
        if local.length is None:
            why = survey.not_elastic(self.written) or "its length is not known"
            raise NoIndexError(f"this pipe has no length: {why}")
        return local.length

    @property
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

    def check(self, state: State) -> None:
        """Raise StateError where a state belongs to something else, naming the first difference."""
        if not isinstance(state, dict) or "digest" not in state or "position" not in state:
            raise StateError("this is not a state of a vdata pipe: give what state_dict() returned")
        if state.get("version") != VERSION:
            raise StateError(f"the state has version {state.get('version')}, this vdata reads version {VERSION}")
        if state["digest"] != self.digest:
            raise StateError(f"the state belongs to another pipe: {_difference(state.get('steps', []), survey.steps(self.written))}")
        if state["seed"] != self.seed:
            raise StateError(f"the state was saved with seed {state['seed']}, this pipe has seed {self.seed}: write .seed({state['seed']})")
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

    def run(self, state: State, engine: Inline) -> Iterator[tuple[Any, State]]:
        """(value, the state once it is delivered) from `state` to the end of its epoch."""
        return self._run_elastic(state, engine) if self.elastic else self._run_other(state, engine)

    def _run_elastic(self, state: State, engine: Inline) -> Iterator[tuple[Any, State]]:
        start, epoch = state["position"], state["epoch"]
        total = self.total
        local = self.local(start)
        batch = survey.first_batch(self.written)
        step = self.world * (batch.size if batch is not None else 1)  # type: ignore[attr-defined]
        items = local.length if local.length is not None else math.inf
        for number, item in engine.run(local, epoch, 0):
            # The last item leaves nothing to any other number of ranks: what it did not hold was dropped.
            position = total if number + 1 == items else start + step * (number + 1)
            yield item.value, {**state, "position": position}

    def _run_other(self, state: State, engine: Inline) -> Iterator[tuple[Any, State]]:
        position = state["position"]
        for item, cursor in follow(self.local(0), engine, state["epoch"], state["cursor"]):
            position += item.value.size if isinstance(item.value, Batch) else 1
            yield item.value, {**state, "position": position, "cursor": cursor}

    def next_epoch(self, state: State) -> State:
        """The state once the end of its epoch was seen."""
        return self.start(state["epoch"] + 1)


def deal(stage: plan.Stage, rank: int, world: int, uneven: str, start: int) -> plan.Stage:
    """The plan with a Deal beneath the first batch of every pipe, or at its end where there is none."""
    if world == 1 and start == 0:
        return stage
    if not any(isinstance(s, plan.Batch) for s in plan.chain(stage)):
        if uneven != "pad" and stage.length is not None and 0 < stage.length < world:
            raise PlanError(f"{stage.length} samples are not enough for {world} ranks: use fewer ranks, .repeat(), or uneven='pad'")
        return plan.Deal(stage, rank, world, uneven, start)
    if isinstance(stage, plan.Batch) and survey.first_batch(stage) is stage:
        return replace(stage, source=deal(stage.source, rank, world, uneven, start))
    return survey.rebuild(stage, {id(c): deal(c, rank, world, uneven, start) for c in plan.children(stage)})


_scanned: dict[str, np.ndarray] = {}


def scan(stage: plan.Filter) -> np.ndarray:
    """The positions that a scanning filter keeps: one pass, remembered for as long as the process lives."""
    name = survey.digest(stage)
    if name not in _scanned:
        assert stage.fn is not None
        node = compile(optimise(stage.source, scan), Ledger())
        kept = [p for p in range(int(node.length)) if (item := node.make(0, p)) is not None and stage.fn(item.value)]
        _scanned[name] = np.array(kept, np.int64)
    return _scanned[name]


def _difference(saved: list[str], here: list[str]) -> str:
    for number, (old, new) in enumerate(zip(saved, here, strict=False)):
        if old != new:
            return f"step {number} was {old}, here it is {new}"
    longer, what = (saved, "had") if len(saved) > len(here) else (here, "did not have")
    return f"it {what} {longer[min(len(saved), len(here))]}" if len(saved) != len(here) else "its content differs"
