"""A value that is made when it is first asked for, once, however many threads ask."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """`Once(make)()` is what `make()` gave the first time.

    functools.cached_property makes it several times where threads come together. A lock alone is not enough either: a
    process that is forked while another thread makes the value inherits a lock that nobody will open; so each
    process has its own.

    >>> numbers = Once(lambda: print("made") or [1, 2])
    >>> numbers(), numbers()
    made
    ([1, 2], [1, 2])
    """

    def __init__(self, make: Callable[[], T]):
        self._make = make
        self._value: list[T] = []
        self._locks: dict[int, threading.Lock] = {}

    def __call__(self) -> T:
        if not self._value:
            with self._locks.setdefault(os.getpid(), threading.Lock()):
                if not self._value:
                    self._value.append(self._make())
        return self._value[0]
