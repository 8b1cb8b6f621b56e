"""Where the time of workers goes: seconds by the name of a stage, each without those beneath it.

    meter = Meter()
    work = meter.watch(work)          # in whatever thread it runs
    def work(): ...
        with spent("decode"): ...     # deep inside, which need not know of any meter
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _Under(threading.local):
    """What this thread is measuring."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self.within: list[float] = []  # of each measurement under way, the seconds that others inside it took


_under = _Under()


class Meter:
    """Seconds by name, of all threads together.

    >>> meter = Meter()
    >>> def work():
    ...     with spent("sleep"):
    ...         time.sleep(0.001)
    >>> meter.watch(work)()
    >>> meter.seconds["sleep"] >= 0.001
    True
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._guard = threading.Lock()

    def watch(self, work: Callable[..., T]) -> Callable[..., T]:
        """`work`, in which what is `spent` counts here."""

        def watched(*arguments: Any) -> T:
            before, _under.meter = _under.meter, self
            try:
                return work(*arguments)
            finally:
                _under.meter = before

        return watched

    def add(self, name: str, seconds: float) -> None:
        """Count some seconds more."""
        with self._guard:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


class spent:  # in small letters as contextlib's own; not one of its generators, for one is made at every stage
    """What is done within counts under a name, where a meter watches this thread."""

    __slots__ = ("began", "meter", "name")

    def __init__(self, name: str):
        self.name = name

    def __enter__(self) -> None:
        self.meter = _under.meter
        if self.meter is not None:
            _under.within.append(0.0)
            self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        if self.meter is not None:
            took = time.perf_counter() - self.began
            others = _under.within.pop()
            if _under.within:
                _under.within[-1] += took
            self.meter.add(self.name, took - others)
