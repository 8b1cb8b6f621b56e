"""The engine: results in the order of positions, at most `ahead` chunks under way.

Inline, threads and processes differ only in who computes a chunk. Work is handed out in chunks of positions, so
that tiny samples do not drown in hand-off cost; a batch is a chunk by itself.
"""

from __future__ import annotations

import math
import os
import pickle
import time
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import Any

import numpy as np

from vdata.errors import PlanError, StageTimeoutError
from vdata.meter import Meter, spent
from vdata.plan import Stage, chain
from vdata.pool import Pool
from vdata.run.each import Item
from vdata.run.make import CHUNK, Make, Node, compile

LEAD = 256  # samples of far sources that are brought ahead of those that are computed
_MOST = 64  # samples a hand-off, however quick they are: what so many hold comes and goes without the garbage collector's notice
_SHORT = 5e-4  # seconds in which a chunk is quick
_NODES = 64  # compiled plans that an engine keeps: one a pipe, more where streams draw from several

Part = tuple[int, list[Item | None]]  # the first position of a chunk, and its items; None for holes
Feed = Iterator[tuple[Item, Any]]  # items of a stream, each with the cursor after it
Step = Callable[[Item], Item | None]


def chunks(node: Node, start: int, workers: int, pace: Pace | None = None) -> Iterator[tuple[int, int]]:
    """(start, stop) of the chunks from `start` to the node's end; small enough that every worker gets some."""
    share = _MOST if node.length == math.inf else int(node.length) // (4 * workers)
    at = start
    while at < node.length:
        size = 1 if node.batched else max(1, min(CHUNK if pace is None else pace.size, share))
        stop = at + size if node.length == math.inf else min(at + size, int(node.length))
        yield at, stop
        at = stop


class Pace:
    """How many samples a hand-off has: more where computing them takes no longer than handing them out."""

    def __init__(self) -> None:
        self.size = CHUNK

    def compute(self, node: Node, epoch: int, start: int, stop: int) -> Part:
        began = time.perf_counter()
        part = compute(node, epoch, start, stop)
        if stop - start == self.size < _MOST and time.perf_counter() - began < _SHORT:
            self.size *= 2
        return part


def prepared(node: Node, epoch: int, spans: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans, each once what it and the next LEAD samples will need of far sources is on its way."""
    if node.prepare is None:
        yield from spans
        return
    waiting, lead = deque[tuple[tuple[int, int], int]](), 0
    for span in spans:
        count = node.prepare(epoch, *span)
        waiting.append((span, count))
        lead += count
        while lead - waiting[0][1] > LEAD:
            span, count = waiting.popleft()
            lead -= count
            yield span
    yield from (span for span, _ in waiting)


def finished(make: Make, last: Callable[[Any], Any]) -> Make:
    """A make whose items' values go through `last`."""

    def made(epoch: int, positions: np.ndarray) -> list[Item | None]:
        items = make(epoch, positions)
        with spent("last"):
            return [i if i is None else i.to(last(i.value)) for i in items]

    return made


def compute(node: Node, epoch: int, start: int, stop: int) -> Part:
    """One chunk. Positions are counted where they are looked at: that may be on another core."""
    return start, node.make(epoch, np.arange(start, stop))


def one_by_one(parts: Iterator[Part]) -> Iterator[tuple[int, Item]]:
    """(position, item); holes are left out."""
    for first, items in parts:
        for position, item in enumerate(items, first):
            if item is not None:
                yield position, item


def walk_span(node: Node, epoch: int, start: int, stop: int) -> Iterator[tuple[int, Item]]:
    """The items of the positions from `start` to `stop`, in the caller's thread; far samples are brought ahead."""
    spans = ((at, min(at + CHUNK, stop)) for at in range(start, stop, CHUNK))
    return one_by_one(compute(node, epoch, first, last) for first, last in prepared(node, epoch, spans))


def _stepped(step: Step, item: Item, after: Any) -> tuple[Item | None, Any]:
    return step(item), after


class Inline:
    """In the caller's own thread: what a debugger can step through."""

    def __init__(self, last: Callable[[Any], Any] | None = None) -> None:
        self.last = last  # done by a worker to what it has made
        self.left_out: list[dict[str, Any]] = []  # broken samples that a stream went on without
        self.meter = Meter()
        self._nodes: OrderedDict[int, tuple[Stage, Node]] = OrderedDict()

    def node(self, stage: Stage) -> Node:
        """The stage compiled, once as long as it is in use."""
        if id(stage) not in self._nodes:
            node = compile(stage)
            make = node.make if self.last is None else finished(node.make, self.last)
            self._nodes[id(stage)] = stage, replace(node, make=self.meter.watch(make))
            while len(self._nodes) > _NODES:
                self._nodes.popitem(last=False)
        return self._nodes[id(stage)][1]

    def run(self, stage: Stage, epoch: int, start: int) -> Iterator[tuple[int, Item]]:
        """(position, item) from position `start` to the end of the epoch."""
        return one_by_one(self.parts(stage, epoch, start))

    def parts(self, stage: Stage, epoch: int, start: int) -> Iterator[Part]:
        """The same in chunks: who looks at each item of many tiny ones spends his time there."""
        node = self.node(stage)
        return (compute(node, epoch, first, last) for first, last in prepared(node, epoch, chunks(node, start, 1)))

    def spread(self, step: Step, feed: Feed) -> Feed:
        """`step` of every item of a stream, in order; items that it makes None of are left out."""
        step = self.meter.watch(step)
        return ((done, after) for item, after in feed if (done := step(item)) is not None)

    def ready(self) -> bool:
        """Whether the next item can be had without waiting, as far as is known."""
        return False

    def close(self) -> None:
        """Nothing to end."""


class Threads(Inline):
    """A pool of threads in this process: decoders and torch kernels release the GIL."""

    def __init__(self, workers: int, ahead: int, timeout: float, last: Callable[[Any], Any] | None = None):
        super().__init__(last)
        self.ahead, self.timeout, self.workers = ahead, timeout, workers
        self._pool: Pool | None = None
        self._waiting = deque[tuple[str, Future[Any]]]()

    def ready(self) -> bool:
        return bool(self._waiting) and self._waiting[0][1].done()

    def parts(self, stage: Stage, epoch: int, start: int) -> Iterator[Part]:
        node, pace = self.node(stage), Pace()
        spans = prepared(node, epoch, chunks(node, start, self.workers, pace))
        return self._ring(pace.compute, ((f"positions {a} to {b - 1}", (node, epoch, a, b)) for a, b in spans))

    def spread(self, step: Step, feed: Feed) -> Feed:
        # The stream itself is read by the caller's thread, in order; only the steps are spread.
        step = self.meter.watch(step)
        tasks = ((f"the sample at {item.at}", (step, item, after)) for item, after in feed)
        return (pair for pair in self._ring(_stepped, tasks) if pair[0] is not None)

    def _ring(self, work: Callable[..., Any], tasks: Iterator[tuple[str, tuple[Any, ...]]]) -> Iterator[Any]:
        """work(*arguments) of every task, in order, `ahead` of them under way."""
        self._pool = self._pool or Pool(self.workers)
        process = os.getpid()
        pool, waiting = self._pool, deque[tuple[str, Future[Any]]]()
        self._waiting = waiting
        failed: Exception | None = None
        try:
            while True:
                while failed is None and len(waiting) < self.ahead:
                    try:
                        what, arguments = next(tasks)
                    except StopIteration:
                        break
                    except Exception as error:
                        failed = error  # what was read before it is delivered first
                        break
                    waiting.append((what, pool.submit(work, *arguments)))
                if not waiting:
                    break
                if os.getpid() != process:
                    raise PlanError("this iteration belongs to the parent process, whose threads a forked child has not: iterate anew")
                yield self._wait(*waiting.popleft())
            if failed is not None:
                raise failed
        finally:
            for _, future in waiting:
                future.cancel()

    def _wait(self, what: str, future: Future[Any]) -> Any:
        try:
            return future.result(self.timeout)
        except FutureTimeout:
            if future.done():
                raise  # the stage's own TimeoutError
            raise StageTimeoutError(
                f"no result for {what} after {self.timeout:g} s: a stage hangs; raise loader(timeout=...) if it is only slow"
            ) from None

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None and not pool.close(min(self.timeout, 30.0)):
            warnings.warn("a worker thread still runs a stage that does not return", RuntimeWarning, stacklevel=2)


def require_picklable(stage: Stage) -> None:
    """Raise for a plan that cannot travel to another process, naming the stage."""
    for step in chain(stage):
        held = {n: v for n, v in vars(step).items() if n not in ("source", "sources") or not isinstance(v, (Stage, tuple))}
        try:
            pickle.dumps(held)
        except Exception as error:
            raise PlanError(
                f".{step.name}({step.arguments()}) cannot be sent to worker processes ({error}): use a function defined at the top of a "
                'module instead of a lambda or a local one, or mode="thread" (a loader), executor="serial" (pack)'
            ) from None
