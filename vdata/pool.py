"""A pool of daemon threads: one that hangs keeps neither the loader nor the interpreter from ending.

`concurrent.futures.ThreadPoolExecutor` joins its threads when the interpreter exits, without a deadline.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

_AT_EXIT = 5.0  # seconds that threads have to finish what they do when the interpreter ends


class Pool:
    """`workers` threads that run what is submitted, first come, first served."""

    def __init__(self, workers: int):
        self._tasks: SimpleQueue[Any] = SimpleQueue()
        self._threads = [threading.Thread(target=_work, args=(self._tasks,), daemon=True, name=f"vdata-{n}") for n in range(workers)]
        for thread in self._threads:
            thread.start()
        _live.add(self)

    def submit(self, fn: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """fn(*arguments) in some thread, as a Future."""
        future: Future[Any] = Future()
        self._tasks.put((future, fn, arguments))
        return future

    def close(self, seconds: float) -> bool:
        """End the threads after what they are doing; False if one is still busy after that many seconds."""
        _live.discard(self)
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def _work(tasks: SimpleQueue[Any]) -> None:
    while (task := tasks.get()) is not None:
        future, fn, arguments = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(fn(*arguments))
        except BaseException as error:
            future.set_exception(error)
        del task, future, fn, arguments


_live: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(_live):
        pool.close(_AT_EXIT)
