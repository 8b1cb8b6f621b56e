"""How long and how often a request is tried again: with jitter, within a budget, and as slowly as the server asks.

Progress renews the budget: a request that gets on, however often it is cut, is not given up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from vdata.errors import RemoteError


@dataclass(frozen=True)
class Patience:
    """The limits of one request.

    attempts   tries without progress
    seconds    time without progress, pauses included
    quiet      the longest silence of a server that was asked, in seconds
    slowest    bytes a second, on the average of `window` seconds, below which a connection is given up for another one
    longest    the most that a server's Retry-After is obeyed, in seconds
    """

    attempts: int = 8
    seconds: float = 180.0
    quiet: float = 30.0
    slowest: float = 1000.0
    window: float = 30.0
    longest: float = 120.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Again(Exception):
    """It may work at another time; `after` seconds, if the server said so."""

    def __init__(self, why: str, after: float = 0.0):
        super().__init__(why)
        self.why, self.after = why, after


class Tries:
    """The tries of one request at one host.

    >>> tries = Tries("host", Patience(attempts=2, sleep=lambda seconds: None))
    >>> tries.failed(Again("503 Service Unavailable"))
    >>> tries.failed(Again("503 Service Unavailable"))
    Traceback (most recent call last):
    vdata.errors.RemoteError: 503 Service Unavailable (2 attempts in 0 s)...
    """

    def __init__(self, host: str, patience: Patience):
        self.host, self.patience = host, patience
        self._count = self._total = 0
        self._began = self._since = patience.clock()

    def wait(self) -> None:
        """Before a request: the pause that its host has asked of everybody."""
        left = _resting.get(self.host, 0.0) - self.patience.clock()
        if left > 0:
            self.patience.sleep(min(left, self.patience.longest))

    def failed(self, again: Again, *, progress: bool = False) -> None:
        """After a failed request: pause, or RemoteError where the budget is used up."""
        patience, now = self.patience, self.patience.clock()
        if progress:
            self._count, self._since = 0, now
        self._count += 1
        self._total += 1
        # Full jitter (AWS, "Exponential Backoff And Jitter"): readers that failed together do not come back together.
        pause = random.SystemRandom().uniform(0, min(20.0, 0.1 * 2**self._count))
        if again.after:
            asked = min(again.after, patience.longest)
            _resting[self.host] = max(_resting.get(self.host, 0.0), now + asked)
            pause = max(pause, asked)
        if self._count >= patience.attempts or now + pause - self._since > patience.seconds:
            spent = f"{self._total} attempts in {now - self._began:.0f} s"
            raise RemoteError(f"{again.why} ({spent})", do="check the network and the server, then go on from the last checkpoint")
        patience.sleep(pause)


_resting: dict[str, float] = {}  # host -> when it may be asked again; one for all readers of a process, so that none storms it
