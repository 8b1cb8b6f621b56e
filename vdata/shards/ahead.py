"""Ranges of far shards that will be asked for soon: brought by threads of their own, neighbours together, kept until they are asked for.

Without it every sample would cost a round trip in the thread that decodes it.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from vdata.errors import DataError, RemoteError

Range = tuple[str, int, int]  # shard, first byte, bytes
Bring = Callable[[str, int, int], memoryview]

THREADS = 64  # requests under way; at 50 ms each 1,280 a second
ROOM = 256 << 20  # bytes that are held or under way
_TOGETHER = 4 << 20  # the most that is asked for at once
_SOON = 512 << 10  # the same of the very first bytes: whoever waits for them need not wait for more
_FIRST = 8 << 20  # bytes that are under way at first
_GAP = 64 << 10  # bytes between two ranges that are rather read than asked around
_STALE = 60.0  # seconds after which nobody is expected to ask any more, if room is needed


@dataclass
class _Whole:
    """What is brought at once; all of it is held until its last piece is taken."""

    future: Future[memoryview]
    start: int
    bytes: int
    pieces: int
    since: float


class Ahead:
    """Brings ranges by `bring(shard, start, length)` before they are asked for."""

    def __init__(self, bring: Bring):
        self._bring = bring
        self._forget()

    def _forget(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[Range, _Whole] = {}
        self._bytes = self._begun = 0
        self._crew = _Crew(THREADS)
        self._process = os.getpid()  # last: another thread may look at it now

    def prepare(self, ranges: Iterable[Range]) -> None:
        """Begin to bring these, as far as there is room. Returns at once."""
        if self._process != os.getpid():
            self._forget()
        with self._guard:
            if not self._held:
                self._begun = 0
            for shard, start, length, parts in _together(sorted({r for r in ranges if not self._waits(r)}), self._begun):
                if not self._has_room(length):
                    return
                self._bytes += length
                self._begun += length
                whole = _Whole(self._crew.submit(self._bring, (shard, start, length)), start, length, len(parts), time.monotonic())
                self._held.update(dict.fromkeys(parts, whole))

    def take(self, shard: str, start: int, length: int) -> memoryview | None:
        """A range that was prepared, once it has come; None if it was not, or to be read by itself. RemoteError where storage did not give it."""
        if self._process != os.getpid():
            self._forget()
        with self._guard:
            whole = self._let_go((shard, start, length))
        if whole is None:
            return None
        try:
            return whole.future.result()[start - whole.start : start - whole.start + length]
        except RemoteError as error:
            raise copy.deepcopy(error) from None  # it has several takers, and each adds its own place
        except DataError:
            return None  # a neighbour may be the broken one

    def _waits(self, key: Range) -> bool:
        """Whether a range is held or under way; what did not come is asked for again."""
        whole = self._held.get(key)
        if whole is not None and whole.future.done() and whole.future.exception() is not None:
            self._let_go(key)
            whole = None
        return whole is not None

    def _let_go(self, key: Range) -> _Whole | None:
        whole = self._held.pop(key, None)
        if whole is not None:
            whole.pieces -= 1
            self._bytes -= 0 if whole.pieces else whole.bytes
        return whole

    def _has_room(self, more: int) -> bool:
        if self._bytes + more > ROOM:
            now = time.monotonic()
            for key in [k for k, whole in self._held.items() if now - whole.since > _STALE]:
                self._let_go(key)
        return self._bytes + more <= ROOM


def _together(ranges: list[Range], begun: int) -> Iterator[tuple[str, int, int, list[Range]]]:
    """(shard, start, length, the ranges in it) of sorted ranges, neighbours as one: the more of them, the more bytes are `begun` already."""
    at = 0
    while at < len(ranges):
        shard, start, length = ranges[at]
        end, parts, most = start + length, [ranges[at]], min(max(_SOON, begun // 8), _TOGETHER)
        at += 1
        while at < len(ranges) and ranges[at][0] == shard and ranges[at][1] - end <= _GAP and sum(ranges[at][1:]) - start <= most:
            parts.append(ranges[at])
            end = max(end, sum(ranges[at][1:]))
            at += 1
        begun += end - start
        yield shard, start, end - start, parts


_Task = tuple[Future[memoryview], Bring, Range]


class _Crew:
    """Daemon threads that come when there is work, `most` of them, and go when there has been none for a second.

    What is under way shares the link, so the first request alone would come sooner than as one of many: few bytes are asked for
    at first, and twice as many each time that these have come.
    """

    def __init__(self, most: int):
        self.most = most
        self._waiting, self._ready = deque[_Task](), deque[_Task]()  # for room in the window, for a thread
        self._changed = threading.Condition()
        self._threads = self._idle = self._under_way = 0
        self._window = _FIRST

    def submit(self, bring: Bring, what: Range) -> Future[memoryview]:
        future: Future[memoryview] = Future()
        with self._changed:
            self._waiting.append((future, bring, what))
            self._admit()
        return future

    def _admit(self) -> None:
        """What has room in the window, to as many threads: to wake one that has nothing to do costs as much as a range."""
        while self._waiting and (not self._under_way or self._under_way + self._waiting[0][2][2] <= self._window):
            task = self._waiting.popleft()
            self._under_way += task[2][2]
            self._ready.append(task)
            if len(self._ready) <= self._idle:
                self._changed.notify()
            elif self._threads < self.most:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True, name="vdata-ahead").start()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            future, bring, what = task
            del task
            try:
                future.set_result(bring(*what))
            except BaseException as error:
                future.set_exception(error)
            with self._changed:
                self._under_way -= what[2]
                self._window = min(self._window + what[2], ROOM)
                self._admit()
            del future, bring, what  # what was brought is not kept by who brought it

    def _next(self) -> _Task | None:
        """What to bring now; None for a thread that is not needed any more."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._ready, timeout=1.0)
            self._idle -= 1
            if self._ready:
                return self._ready.popleft()
            self._threads -= 1
            if not self._threads:
                self._window = _FIRST
            return None
