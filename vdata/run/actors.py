"""Actors of a Ray cluster that feed one trainer, in order.

A position comes out alike whoever computes it, so an actor has nothing that could be lost: what a dead one had not delivered is computed
again, by the actor that Ray starts in its place, on any node that sees the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from vdata.cluster import ray_cluster
from vdata.errors import StageTimeoutError, WorkerError, redact
from vdata.executors import travelling
from vdata.plan import Stage
from vdata.run.make import compile
from vdata.run.ring import Inline, Part, chunks, compute, require_picklable
from vdata.run.store import copied

DEATHS = 3  # of the actors that compute one chunk, before it is the chunk's fault


class Actors(Inline):
    """`workers` actors for one pass at a time; `ahead` chunks under way."""

    def __init__(self, workers: int, ahead: int, timeout: float):
        super().__init__()
        self.workers, self.ahead, self.timeout = workers, ahead, timeout

    def parts(self, stage: Stage, epoch: int, start: int) -> Iterator[Part]:
        require_picklable(stage)
        with ray_cluster(self.workers) as ray:
            # Each is placed where a CPU is free but holds none: a second loader, for validation say, must not wait for the first to end.
            actor = ray.remote(max_restarts=-1, max_task_retries=DEATHS, scheduling_strategy="SPREAD")(_Actor)
            crew = [actor.remote(stage) for _ in range(self.workers)]
            waiting: deque[tuple[int, Any]] = deque()
            try:
                for number, (first, last) in enumerate(chunks(self.node(stage), start, self.workers)):
                    waiting.append((first, crew[number % len(crew)].part.remote(epoch, first, last)))
                    if len(waiting) >= self.ahead:
                        yield self._result(ray, *waiting.popleft())
                while waiting:
                    yield self._result(ray, *waiting.popleft())
            finally:
                for one in crew if ray.is_initialized() else ():  # else they are gone, and Ray would start anew to be told
                    ray.kill(one)

    def _result(self, ray: Any, first: int, reference: Any) -> Part:
        try:
            part = ray.get(reference, timeout=self.timeout)
        except ray.exceptions.GetTimeoutError:
            what = f"no result for the positions from {first} on after {self.timeout:g} s"
            raise StageTimeoutError(f"{what}: a stage hangs, or no CPU of the cluster is free; raise loader(timeout=...) if it is only slow") from None
        except ray.exceptions.RayActorError as error:
            if error.actor_init_failed:
                raise WorkerError(f"actors cannot start: {_last_line(error)}. Every node needs the packages and modules of the pipe") from None
            raise WorkerError(f"actors died {DEATHS + 1} times at positions from {first} on: out of memory, or a crash in native code?") from None
        if isinstance(part, Exception):
            raise part
        return first, [i if i is None else i.to(copied(i.value)) for i in part[1]]  # Ray's arrays are read-only, and fill its store while they live


class _Actor:
    """On the cluster: computes chunks. Errors travel as values, so that they keep what they know."""

    def __init__(self, stage: Stage):
        self.node = compile(stage)

    def part(self, epoch: int, first: int, last: int) -> Part | Exception:
        try:
            if self.node.prepare is not None:
                self.node.prepare(epoch, first, last)
            return compute(self.node, epoch, first, last)
        except Exception as error:
            return travelling(error)


def _last_line(error: Exception) -> str:
    return redact(str(error).strip().rpartition("\n")[2])
