"""`Loader` runs a pipe: with which workers, on which rank, to which device. The pipe says what, the loader how."""

from __future__ import annotations

import atexit
import copy
import math
import operator
import os
import time
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from inspect import GEN_RUNNING, getgeneratorstate
from typing import Any

import torch

from vdata import plan
from vdata.batch import Batch
from vdata.errors import NoIndexError, PlanError
from vdata.run.actors import Actors
from vdata.run.device import Lane, fed, laid_out, lane_to, to_device
from vdata.run.each import Item, each
from vdata.run.processes import Processes
from vdata.run.ring import Inline, Threads
from vdata.run.stats import Times, summary
from vdata.run.walk import State, Walk
from vdata.source import Source, Stream


class Loader:
    """Iterate a pipe, epoch after epoch. Made by `pipe.loader(...)`, whose arguments are described there.

    >>> loader = vdata.from_iterable([{"x": 1}, {"x": 2}]).loader(mode="inline")
    >>> [sample["x"] for sample in loader]
    [1, 2]
    """

    def __init__(
        self, written: plan.Stage, *, workers: int | None = None, mode: str = "thread", device: Any = None, prefetch: int = 2,
        pin_memory: bool | None = None, rank: int | None = None, world_size: int | None = None, uneven: str = "drop",
        timeout: float = 300.0, multiprocessing_context: str = "forkserver", executor: str | None = None, optimize: bool = True,
        on_device: str = "floats", memory_format: torch.memory_format | None = None,
    ):  # fmt: skip
        if mode not in ("thread", "process", "inline"):
            raise PlanError(f'mode is "thread", "process" or "inline", got {mode!r}')
        if executor not in (None, "ray"):
            raise PlanError(f'executor is None (workers of this process, see mode) or "ray", got {executor!r}')
        if executor and mode != "thread":
            raise PlanError(f'executor="ray" and mode={mode!r} both say who computes: give one of them')
        if prefetch < 1 or not timeout or timeout < 0 or (workers is not None and workers < 0):
            raise PlanError(f"prefetch and timeout must be positive and workers not negative, got {prefetch}, {timeout}, {workers}")
        if not all(isinstance(n, int) for n in (prefetch, *(() if workers is None else (workers,)))):
            raise PlanError(f"workers and prefetch are whole numbers, got {workers!r}, {prefetch!r}")
        if mode == "inline" and workers:
            raise PlanError(f'mode="inline" has no workers, got workers={workers}: leave it out, or use mode="thread"')
        if on_device not in ("floats", "batch", "none"):
            raise PlanError(f'on_device is "floats", "batch" or "none", got {on_device!r}')
        if memory_format not in (None, torch.contiguous_format, torch.channels_last):
            raise PlanError(f"memory_format is torch.channels_last, or None for [N, C, H, W] as it is, got {memory_format!r}")
        if mode == "process" or executor:
            _fit_for_processes(written, 'mode="process"' if mode == "process" else 'executor="ray"')
        self._told = rank is not None
        rank, world_size = _world(rank, world_size)
        self.device = None if device is None else torch.device(device)
        away = self.device is not None and self.device.type != "cpu"
        self.walk = Walk(written, rank=rank, world=world_size, uneven=uneven, optimize=optimize, behind=on_device if away and optimize else "none")
        self.mode = executor or ("inline" if workers == 0 else mode)
        self.workers = _cores() if workers is None else workers
        self.pin_memory = (away and self.device.type == "cuda") if pin_memory is None else pin_memory  # type: ignore[union-attr]
        self.memory_format = torch.channels_last if memory_format is torch.channels_last else None
        self.timeout, self.prefetch, self.context = timeout, prefetch, multiprocessing_context
        self._engine = self._make_engine()
        self._stand(self.walk.start())
        self._live: weakref.ref[_Pass] | None = None
        self._delivered = 0
        self._substituted: list[dict[str, Any]] = []
        self._behind: tuple[plan.Stage, ...] = ()  # what is done to a batch on the device
        self._lane: Lane | None = None
        self._times = Times()
        sources = {id(stage.source): stage.source for stage in plan.chain(written) if isinstance(stage, plan.Read)}.values()
        self._far = [source.traffic for source in sources if isinstance(source, Source) and source.traffic is not None]
        self._brought = self._traffic()

    def _make_engine(self) -> Inline:
        ahead = self.prefetch * max(1, self.workers)
        if self.mode == "thread":
            return Threads(self.workers, ahead, self.timeout, self._prepared if self.pin_memory or self.memory_format else None)
        if self.mode == "ray":
            return Actors(max(1, self.workers), ahead, self.timeout)
        if self.mode == "process":
            return Processes(self.workers, ahead, self.timeout, self.context)
        return Inline()

    def _stand(self, state: State, resume: bool = False) -> None:
        """Be where a state says, from which nothing was delivered yet."""
        self._at: tuple[State, Any] = state, None  # where a pass began, and the place it came to: a state once somebody asks
        self._resume = resume  # the next pass begins here, and not at the epoch's start
        self._given, self._left = 0, None  # items that the pass delivered; how many its epoch had for it, where that is known

    @property
    def _state(self) -> State:
        began, place = self._at  # read at once: another thread may ask
        return began if place is None else self.walk.at(began, place)

    def __iter__(self) -> Iterator[Any]:
        """One epoch: from its start, or from where a loaded state stands. An iteration under way ends, and says so.

        After the last item of an epoch comes the next one, also where nobody asked for the end (Lightning counts to `len`).
        """
        self.close()
        self._check_rank()
        if not self._resume:
            over = self._left is not None and self._given == self._left
            self._stand(self.walk.start(self.epoch + over))
        one = _Pass(self._engine)
        items = self._iterate(one)
        _passes.add(one)
        self._live = weakref.ref(one)  # nobody but the caller holds it: it ends when he lets go
        return items

    def _iterate(self, one: _Pass) -> Generator[Any]:
        """The items of a pass. Of a tiny one most of the time goes here: what can wait is done once a chunk, or when it is asked for."""
        one.check()
        state = self._state
        self._behind = self.walk.after_copy(state["position"] if self.walk.elastic else 0)
        self._lane = self._lane or lane_to(self.device)
        parts = one.parts = self.walk.parts(state, self._engine)
        if self.device is not None or self.pin_memory or self.memory_format:
            pairs = (pair for part in parts for pair in part)
            parts = ((pair,) for pair in fed(pairs, self._moved, self._lane, self._engine.ready))
        times, clock = self._times, time.perf_counter
        came, item = None, None
        try:
            self._left = self.walk.left(state)
            asked = clock()
            for part in parts:
                one.check()
                came = clock()
                before = self._delivered
                times.came(came - asked)
                self._resume = False
                for item, place in part:
                    if one.ended:  # by another thread, or within what made the item: the loader may stand elsewhere by now
                        one.check()
                    self._at = state, place
                    self._given += 1
                    self._delivered += item.count
                    if item.broken:
                        self._substituted += item.broken
                    yield item.value
                    asked = clock()
                one.check()
                times.went(asked - came, self._delivered - before)
                came = None
            one.check()
            self._stand(self.walk.next_epoch(state))
        finally:
            if came is not None and item is not None and asked > came and not one.ended:  # a loop that stopped within a chunk
                times.went(asked - came, self._delivered - before - item.count)
            one.release()

    def _check_rank(self) -> None:
        """Raise where the loader was made before its process joined others: all of them would read the same."""
        here = (self.walk.rank, self.walk.world)
        if not self._told and torch.distributed.is_available() and torch.distributed.is_initialized() and here != (now := _world(None, None)):
            raise PlanError(
                f"this loader was made for rank {here[0]} of {here[1]}, and torch.distributed says that this is rank {now[0]} of {now[1]} by now: make it after "
                "init_process_group (in Lightning, in train_dataloader()), or pass rank= and world_size="
            )

    def _prepared(self, value: Any) -> Any:
        """What a worker still does to a batch that it has made: a thread's work that the loop need not do."""
        if not isinstance(value, Batch):
            return value
        value = value if self._behind else laid_out(value, self.memory_format)
        return to_device(value, None, True) if self.pin_memory else value

    def _moved(self, item: Item) -> Item:
        """An item on the device, and finished there."""
        if self.device is not None or self.pin_memory:
            item = item.to(to_device(item.value, self.device, self.pin_memory))
        for stage in self._behind:
            change = each(stage)
            assert change is not None
            item = change(item, -1)
        return item.to(laid_out(item.value, self.memory_format))

    def __len__(self) -> int:
        """Items (batches) of an epoch on this rank."""
        length = self.walk.length
        if length == math.inf:
            raise NoIndexError("an endless pipe has no length")
        return int(length)

    @property
    def epoch(self) -> int:
        """The epoch under way, or the next one."""
        return self._at[0]["epoch"]

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration at the beginning of this epoch."""
        self.close()
        if isinstance(epoch, bool) or operator.index(epoch) < 0:
            raise PlanError(f"set_epoch takes a whole number, at least 0, got {epoch!r}")
        self._stand(self.walk.start(operator.index(epoch)))

    def state_dict(self) -> State:
        """Where the loader stands, as JSON: what was delivered, not what was fetched ahead."""
        return copy.deepcopy(self._state)

    def load_state_dict(self, state: State) -> None:
        """Go on from `state` at the next iteration. Another pipe's state raises StateError, another decoder warns."""
        adopted = self.walk.adopt(state)
        self.close()
        self._stand(adopted, resume=True)

    def stats(self) -> dict[str, Any]:
        """What was delivered since the loader was made, every broken sample that was replaced, and who waited for whom.

        first_s          seconds until the first item, which waits for the workers to start; it counts in nothing else here
        waited_s, used_s the loop's seconds until an item was there, and between items; waiting is the first's share of both. Tiny samples
                         come in chunks of up to 64, whose times are counted once the loop is through with one, the first one's not
        rate, headspace   samples a second as it went, and as it would go if data cost no time
        stages           seconds of all workers by stage, the most expensive first ({} where workers are processes); "decode" is
                         what "decode+apply" spends on decoding, "compile" on a compiled loop's first call
        busy             the share of the workers' time that was work
        traffic          of sources far away: requests, bytes that came, bytes of reads that the cache answered, for whatever loader of
                         this process; 0 where workers are processes
        bottleneck       who holds up whom, in words
        """
        total = self.walk.total if self.walk.elastic else None
        brought = {n: count - self._brought[n] for n, count in self._traffic().items()}
        return {
            "delivered": self._delivered,
            "substituted": [*self._substituted, *self._engine.left_out],
            "epoch": self.epoch,
            "position": self._state["position"],
            "samples": None if total == math.inf else total,
            "traffic": brought,
            **summary(self._times, self._engine.meter.seconds, 1 if self.mode == "inline" else max(1, self.workers)),
        }

    def _traffic(self) -> dict[str, int]:
        sums = {"requests": 0, "bytes": 0, "cached": 0}
        for counts in (traffic() for traffic in self._far):
            sums = {n: sums[n] + counts[n] for n in sums}
        return sums

    def close(self) -> None:
        """End the iteration under way and its workers. The loader can be iterated again."""
        if self._live is not None and (one := self._live()) is not None:
            one.end()
        self._live = None
        self._engine.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        how = self.mode if self.mode == "inline" else f"{self.workers} {self.mode} workers"
        world = f", rank {self.walk.rank} of {self.walk.world}" if self.walk.world > 1 else ""
        windowed = [s for s in plan.chain(self.walk.local(0)) if isinstance(s, plan.Shuffle) and not s.order().whole]
        if any(s.order().lanes % self.walk.world for s in windowed):
            world += ", which reads the shards of all lanes, since ranks do not divide them"
        return f"Loader({how}{world}, epoch {self.epoch}, position {self._state['position']})"


class _Pass:
    """One pass of a loader, which may be ended from outside: whoever iterates it is told then."""

    def __init__(self, engine: Inline):
        self.ended = False
        self.parts: Generator[Any] | None = None
        self._engine: Inline | None = engine

    def check(self) -> None:
        if self.ended:
            raise PlanError("this iteration was ended: its loader was closed or iterated again meanwhile; make a second loader for that")

    def end(self) -> None:
        """Stop, and give back what it holds. PlanError while it computes: that is in another thread, or this call comes from the pipe's own work."""
        if self.parts is not None and getgeneratorstate(self.parts) == GEN_RUNNING:
            raise PlanError("this loader is at work on its next item: close it, move it or iterate it again where it is iterated, between two items")
        self.ended = True
        self.release()

    def release(self) -> None:
        """Give back what it holds, once: the engine may be at work for another pass later."""
        if self._engine is not None:
            if self.parts is not None:
                self.parts.close()  # what it holds of the ring first, which then computes no more
            engine, self._engine = self._engine, None
            engine.close()


_passes: weakref.WeakSet[_Pass] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """A script that ends in the middle of an epoch: its workers end while there is still a Python to end them."""
    for one in list(_passes):
        with suppress(PlanError):  # a thread that is still at work on it dies with the process
            one.end()


def _fit_for_processes(written: plan.Stage, asked: str) -> None:
    """Raise for what worker processes would not help, or would do wrong."""
    for stage in plan.chain(written):
        if isinstance(stage, plan.Cache):
            raise PlanError(f'cache keeps nothing in {asked}, whose workers live for one epoch: use mode="thread"')
        if isinstance(stage, plan.Read) and isinstance(stage.source, Stream):
            raise PlanError(f'{stage.source.name} is a stream, which one process reads: use mode="thread". {stage.source.why}')


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _world(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and world size: as given, else torch.distributed's, else the launcher's environment, else one rank."""
    if (rank is None) != (world_size is None):
        raise PlanError("give rank and world_size together, or neither")
    if rank is not None and world_size is not None:
        return operator.index(rank), operator.index(world_size)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return _launched(os.environ)


def _launched(environment: Mapping[str, str]) -> tuple[int, int]:
    """RANK and WORLD_SIZE, as torchrun sets them. A launcher that says it otherwise raises: all would read the same."""
    said = {n: environment.get(n) for n in ("RANK", "WORLD_SIZE")}
    if not any(said.values()):
        for rank, size in (("SLURM_PROCID", "SLURM_NTASKS"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")):
            if rank in environment and environment.get(size, "1") != "1":
                raise PlanError(f"{rank} says that this is process {environment[rank]} of {environment[size]}: pass rank= and world_size=")
        return 0, 1
    try:
        rank, world_size = int(said["RANK"] or ""), int(said["WORLD_SIZE"] or "")
    except ValueError:
        rank, world_size = -1, 0
    if not 0 <= rank < world_size:
        raise PlanError(f"the environment says RANK={said['RANK']} and WORLD_SIZE={said['WORLD_SIZE']}: set both, or pass rank= and world_size=")
    return rank, world_size
