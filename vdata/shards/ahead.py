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
from typing import NamedTuple

from vdata.errors import DataError, RemoteError

Range = tuple[str, int, int]  # shard, first byte, bytes
Bring = Callable[[str, int, int], memoryview]

THREADS = 64  # requests under way; at 50 ms each 1,280 a second
ROOM = 256 << 20  # bytes that are held or under way
_TOGETHER = 4 << 20  # the most that is asked for at once
_FIRST = 8 << 20  # bytes that are under way at first
_GAP = 64 << 10  # bytes between two ranges that are rather read than asked around
_STALE = 60.0  # seconds after which nobody is expected to ask any more, if room is needed


@dataclass
class _Whole:
    """What is brought at once; all of it is held until its last piece is taken."""

    future: Future[memoryview]
    bytes: int
    pieces: int


class _Piece(NamedTuple):
    whole: _Whole
    offset: int
    since: float


class Ahead:
    """Brings ranges by `bring(shard, start, length)` before they are asked for."""

    def __init__(self, bring: Bring):
        self._bring = bring
        self._forget()

    def _forget(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[Range, _Piece] = {}
        self._bytes = 0
        self._crew = _Crew(THREADS)
        self._process = os.getpid()  # last: another thread may look at it now

    def prepare(self, ranges: Iterable[Range]) -> None:
        """Begin to bring these, as far as there is room. Returns at once."""
        if self._process != os.getpid():
            self._forget()
        with self._guard:
            for shard, start, length, parts in _together(sorted({r for r in ranges if not self._waits(r)})):
                if not self._has_room(length):
                    return
                self._bytes += length
                whole = _Whole(self._crew.submit(self._bring, (shard, start, length)), length, len(parts))
                for first, size in parts:
                    self._held[shard, first, size] = _Piece(whole, first - start, time.monotonic())

    def take(self, shard: str, start: int, length: int) -> memoryview | None:
        """A range that was prepared, once it has come; None if it was not, or to be read by itself. RemoteError where storage did not give it."""
        if self._process != os.getpid():
            self._forget()
        with self._guard:
            piece = self._let_go((shard, start, length))
        if piece is None:
            return None
        try:
            return piece.whole.future.result()[piece.offset : piece.offset + length]
        except RemoteError as error:
            raise copy.deepcopy(error) from None  # it has several takers, and each adds its own place
        except DataError:
            return None  # a neighbour may be the broken one

    def _waits(self, key: Range) -> bool:
        """Whether a range is held or under way; what did not come is asked for again."""
        piece = self._held.get(key)
        if piece is not None and piece.whole.future.done() and piece.whole.future.exception() is not None:
            self._let_go(key)
            piece = None
        return piece is not None

    def _let_go(self, key: Range) -> _Piece | None:
        piece = self._held.pop(key, None)
        if piece is not None:
            piece.whole.pieces -= 1
            self._bytes -= 0 if piece.whole.pieces else piece.whole.bytes
        return piece

    def _has_room(self, more: int) -> bool:
        if self._bytes + more > ROOM:
            now = time.monotonic()
            for key in [k for k, piece in self._held.items() if now - piece.since > _STALE]:
                self._let_go(key)
        return self._bytes + more <= ROOM


def _together(ranges: list[Range]) -> Iterator[tuple[str, int, int, list[tuple[int, int]]]]:
    """(shard, start, length, [(start, length) of the ranges in it]) of sorted ranges, neighbours as one."""
    at = 0
    while at < len(ranges):
        shard, start, length = ranges[at]
        end, parts = start + length, [(start, length)]
        at += 1
        while at < len(ranges) and ranges[at][0] == shard and ranges[at][1] - end <= _GAP and sum(ranges[at][1:]) - start <= _TOGETHER:
            _, first, size = ranges[at]
            end = max(end, first + size)
            parts.append((first, size))
            at += 1
        yield shard, start, end - start, parts


class _Crew:
    """Daemon threads that come when there is work, `most` of them, and go when there has been none for a second.

    What is under way shares the link, so the first request alone would come sooner than as one of many: few bytes are asked for
    at first, and twice as many each time that these have come.
    """

    def __init__(self, most: int):
        self.most = most
        self._tasks = deque[tuple[Future[memoryview], Bring, Range]]()
        self._changed = threading.Condition()
        self._threads = self._idle = self._under_way = 0
        self._window = _FIRST

    def submit(self, bring: Bring, what: Range) -> Future[memoryview]:
        future: Future[memoryview] = Future()
        with self._changed:
            self._tasks.append((future, bring, what))
            if self._idle < len(self._tasks) and self._threads < self.most:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True, name="vdata-ahead").start()
            self._changed.notify()
        return future

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
                self._changed.notify_all()
            del future, bring, what  # what was brought is not kept by who brought it

    def _next(self) -> tuple[Future[memoryview], Bring, Range] | None:
        """What to bring now; None for a thread that is not needed any more."""
        with self._changed:
            self._idle += 1
            found = self._changed.wait_for(self._may_start, timeout=1.0)
            while not found and self._tasks:  # it waits for others, not for work
                found = self._changed.wait_for(self._may_start, timeout=1.0)
            self._idle -= 1
            if not found:
                self._threads -= 1
                if not self._threads:
                    self._window = _FIRST
                return None
            task = self._tasks.popleft()
            self._under_way += task[2][2]
            return task

    def _may_start(self) -> bool:
        return bool(self._tasks) and (not self._under_way or self._under_way + self._tasks[0][2][2] <= self._window)
