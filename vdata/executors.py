"""Who does independent pieces of work: the caller, worker processes, or a Ray cluster.

An executor is anything with `map_unordered(fn, items)` that yields (number, fn(item)) as they are done. `fn` is pure, so a piece
whose worker was killed is done again; an error of `fn` itself comes back as it was raised. Closing the iterator ends what it started.
"""

from __future__ import annotations

import copy
import os
import signal
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol, runtime_checkable

from vdata.cluster import ray_cluster
from vdata.errors import PlanError, VdataError

_AGAIN = 3  # times that a piece is done again whose worker was killed
_PATIENCE = 5.0  # seconds that a worker has to clean up after itself


@runtime_checkable
class Executor(Protocol):
    """Any object of this shape may be given as `executor=`."""

    def map_unordered(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """(number, fn(item)) of all items, in any order."""
        ...


def named(name: str | Executor, workers: int | None = None) -> Executor:
    """The executor of a name: "serial", "process" or "ray"; one of the caller's own passes as it is.

    >>> list(named("serial").map_unordered(abs, [3, -4]))
    [(0, 3), (1, 4)]
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise PlanError(f"workers is a number of workers, at least 1, got {workers!r}")
    if name == "process":
        return Processes(workers or os.cpu_count() or 1)
    if name == "ray":
        return Ray(workers)
    if workers is not None:
        raise PlanError(f'workers={workers} goes with executor="process" or executor="ray"')
    if name == "serial":
        return Serial()
    if isinstance(name, str) or not isinstance(name, Executor):
        raise PlanError(f'executor is "serial", "process", "ray" or an object with map_unordered(fn, items), got {name!r}')
    return name


class Serial:
    """One piece after the other, in the caller's thread."""

    def map_unordered(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        return ((number, fn(item)) for number, item in enumerate(items))


# -- processes on this machine ------------------------------------------------------------------------------------------------


class Processes:
    """Worker processes of a forkserver. A script needs `if __name__ == "__main__":`."""

    def __init__(self, workers: int):
        self.workers = workers

    def map_unordered(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        waiting, lost = deque(enumerate(items)), Counter[int]()
        context = get_context("forkserver")
        context.set_forkserver_preload(["__main__", type(fn).__module__])  # torch is imported once, not by every worker
        crew: list[_Worker] = []
        try:
            while waiting or any(worker.piece for worker in crew):
                idle = [worker for worker in crew if worker.piece is None]
                while waiting and (idle or len(crew) < self.workers):
                    if not idle:
                        idle.append(_Worker(context, fn))
                        crew.append(idle[-1])
                    idle.pop().give(waiting.popleft())
                busy = {worker.answers: worker for worker in crew if worker.piece is not None}
                for ready in connection.wait(list(busy)):
                    worker = busy[ready]  # type: ignore[index]  # what was waited for
                    (number, item), answer = worker.take()
                    if answer is None:
                        crew.remove(worker)
                        how = worker.end()
                        lost[number] += 1
                        if lost[number] > _AGAIN:
                            raise _lost(item, f"its worker process {how} each of {lost[number]} times")
                        waiting.appendleft((number, item))
                    elif isinstance(answer, _Raised):
                        raise answer.error
                    else:
                        yield number, answer[0]
        finally:
            for worker in crew:
                worker.end()


class _Worker:
    """A process, what it is at work on, and the pipe to it."""

    def __init__(self, context: Any, fn: Callable[[Any], Any]):
        self.answers, theirs = context.Pipe()
        self.piece: tuple[int, Any] | None = None
        self.process = context.Process(target=_work, args=(theirs, fn), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends when the worker does

    def give(self, piece: tuple[int, Any]) -> None:
        self.piece = piece
        try:
            self.answers.send(piece[1])
        except OSError:
            return  # it is dead: `take` will find no answer

    def take(self) -> tuple[tuple[int, Any], Any]:
        """The piece, and the answer to it; None for the answer of a worker that died."""
        assert self.piece is not None
        piece, self.piece = self.piece, None
        try:
            return piece, self.answers.recv()
        except (EOFError, OSError):
            return piece, None

    def end(self) -> str:
        """End the process, which then has a moment to remove its files; how it ended."""
        self.answers.close()
        if self.piece is not None:
            self.process.terminate()
        self.process.join(_PATIENCE)
        self.process.kill()
        self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class _Raised:
    """An error of `fn` on its way to the caller."""

    def __init__(self, error: Exception):
        self.error = error


def _work(pipe: Any, fn: Callable[[Any], Any]) -> None:
    """In a worker: answer until the pipe ends. Ctrl-C is the caller's: it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # the workers are the parallelism
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: Any = (fn(item),)
        except Exception as error:
            answer = _Raised(travelling(error))
        with suppress(OSError):  # nobody waits for it any more
            pipe.send(answer)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_PATIENCE)
    os._exit(1)


def travelling(error: Exception) -> Exception:
    """The error if it survives the way to another process, else one that says the same; with a note of where it was raised."""
    try:
        copy.copy(error)  # is made anew, as on arrival
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, VdataError):
        error.add_note("in a worker process:\n" + traceback.format_exc())
    return error


def _lost(item: Any, how: str) -> VdataError:
    return VdataError(f"{item} could not be done: {how}. It may have run out of memory: use fewer workers, or smaller pieces")


# -- a Ray cluster --------------------------------------------------------------------------------------------------------------


class Ray:
    """Tasks of Ray: on the cluster that `ray.init` was called for, else on this machine, until the work is done."""

    def __init__(self, workers: int | None = None):
        self.workers = workers

    def map_unordered(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        with ray_cluster(self.workers) as ray:
            at_once = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            task = ray.remote(max_retries=_AGAIN)(_call)
            held, waiting = ray.put(fn), deque(enumerate(items))
            running: dict[Any, tuple[int, Any]] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < at_once:
                        piece = waiting.popleft()
                        running[task.remote(held, piece[1])] = piece
                    (done,), _ = ray.wait(list(running), num_returns=1)
                    number, item = running.pop(done)
                    try:
                        answer = ray.get(done)
                    except ray.exceptions.RayError as error:
                        raise _lost(item, f"{type(error).__name__} after {_AGAIN} more attempts") from None
                    if isinstance(answer, _Raised):
                        raise answer.error
                    yield number, answer
            finally:
                for left in running if ray.is_initialized() else ():  # else they are gone, and Ray would start anew to be told
                    ray.cancel(left, force=True)


def _call(fn: Callable[[Any], Any], item: Any) -> Any:
    try:
        return fn(item)
    except Exception as error:
        return _Raised(travelling(error))
