"""What the threads of one download share: their patience, the bar, and the word to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from vdata.fetching.line import Line


class Patience(NamedTuple):
    """How long a download waits, and how often it tries again. There is no limit to a download that gets on.

    attempts  tries in a row that together bring little: less than `slowest * window` bytes
    seconds   time in which little is brought
    timeout   seconds until an answer has begun, redirects and all, and between two pieces of it
    slowest   bytes a second, over each `window` of seconds: below, the connection is given up and tried again
    longest   seconds that a server may ask to wait
    save      seconds of work that a killed process loses
    sleep     how to wait; None: until the time is over or the download stops
    """

    attempts: int = 5
    seconds: float = 600.0
    timeout: float = 30.0
    slowest: float = 1024.0
    window: float = 30.0
    longest: float = 300.0
    save: float = 1.0
    sleep: Callable[[float], Any] | None = None
    clock: Callable[[], float] = time.monotonic


class Stopped(Exception):
    """Another file of the same download failed, or the user interrupted it."""


class Work:
    """What the threads of one download share: the bar, and the word to stop."""

    def __init__(self, bar: Any, sleep: Callable[[float], Any] | None = None):
        self._bar, self._lock = bar, threading.Lock()
        self._stopped = threading.Event()
        self._sleep = self._stopped.wait if sleep is None else sleep
        self._lines: set[Line] = set()

    def seen(self, number: int) -> None:
        """So many bytes more (or less) are there."""
        with self._lock:
            self._bar.update(number)
        self.go_on()

    def expect(self, number: int) -> None:
        """So many bytes more are to come than the cards say."""
        with self._lock:
            self._bar.total = (self._bar.total or 0) + number

    def pause(self, seconds: float) -> None:
        self._sleep(seconds)
        self.go_on()

    def go_on(self) -> None:
        if self._stopped.is_set():
            raise Stopped

    def stop(self) -> None:
        """End waits and transfers: the threads see it at once."""
        self._stopped.set()
        with self._lock:
            for line in self._lines:
                line.cut()

    @contextmanager
    def line(self, seconds: float) -> Iterator[Line]:
        """A line for one request, from before it is connected, which `stop` cuts off."""
        with Line(seconds) as line:
            with self._lock:
                self._lines.add(line)
            try:
                self.go_on()
                yield line
            finally:
                with self._lock:
                    self._lines.discard(line)
