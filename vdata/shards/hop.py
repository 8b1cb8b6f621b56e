"""Tars that lie elsewhere: their headers are read, their data is stepped over.

How far the next header is, only the last one says, so a tar is a chain of small reads, and each costs a round trip. `Ranged` makes
them fewer where files are small, `in_order` and `hop` do several at a time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from vdata.shards.tar import BLOCK, Member, members

WORKERS = 16  # reads under way at a time
WASTE = 64 << 10  # what may be read in vain to save a round trip: about what a slow line carries in that time
_FIRST, _MOST = 2048, 1 << 20  # how far a read goes at first, before it is doubled, and at most

Bytes = bytes | bytearray | memoryview
Read = Callable[[int, int], Bytes]  # (start, length): exactly so many bytes
GoOn = Callable[[], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Ranged:
    """`size` bytes behind `read(start, length)`, read where they are looked at: for `tar.members`, by `len` and slices.

    Looks that are close together are a run. A read goes as far as the last run did, and twice as far each time that this was too short;
    but what was read in vain never passes `WASTE` bytes a look.

    >>> tar = Ranged(lambda start, length: bytes(length), size=10_000)
    >>> len(tar), tar[100:104].tobytes()
    (10000, b'\\x00\\x00\\x00\\x00')
    """

    def __init__(self, read: Read, size: int):
        self._read, self._size = read, size
        self._start, self._held = 0, memoryview(b"")
        self._run, self._looked = 0, 0  # where the run under way began, where the last look ended
        self._ahead, self._allowed = _FIRST, 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> memoryview:
        start, stop, _ = part.indices(self._size)
        close = 0 <= start - self._looked <= WASTE
        if not close:
            self._ahead, self._run = min(max(self._looked - self._run, BLOCK), _MOST), start
        self._allowed += WASTE
        if start < stop and not self._start <= start < stop <= self._start + len(self._held):
            self._ahead = min(2 * self._ahead, _MOST) if close else self._ahead
            self._hold(start, stop)
        self._looked = stop
        return self._held[start - self._start : stop - self._start]

    def _hold(self, start: int, stop: int) -> None:
        length = max(stop - start, min(self._ahead, self._allowed, self._size - start))
        self._allowed -= length - (stop - start)
        self._start, self._held = start, memoryview(self._read(start, length))


def hop(read: Read, size: int, *, cuts: Sequence[int] = (), url: str = "") -> list[Member]:
    """The regular files of a tar of `size` bytes behind `read`, in order; errors are those of `tar.members`.

    `cuts` are bytes at which a header is known to begin: what lies between them is walked at the same time.
    """
    if not cuts:
        return list(members(Ranged(read, size), url=url))

    def walk(span: tuple[int, int | None], go_on: GoOn) -> list[Member]:
        start, stop = span
        return list(members(Ranged(while_wanted(read, go_on), size), url=url, start=start, stop=stop))

    spans = zip((0, *cuts), (*cuts, None), strict=True)
    return list(chain.from_iterable(in_order(walk, spans, len(cuts) + 1)))


def while_wanted(read: Read, go_on: GoOn) -> Read:
    """`read`, but it raises instead once `go_on` does."""

    def steady(start: int, length: int) -> Bytes:
        go_on()
        return read(start, length)

    return steady


def in_order(work: Callable[[Item, GoOn], Result], items: Iterable[Item], workers: int = WORKERS) -> Iterator[Result]:
    """`work(item, go_on)` of each item by a few threads, in the items' order; so is the first error.

    `go_on()` raises once nobody waits for the result any more (an error, ctrl-C): work that calls it now and then ends soon.
    """
    over = threading.Event()

    def go_on() -> None:
        if over.is_set():
            raise CancelledError

    with ThreadPoolExecutor(workers, "vdata-index") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item, go_on))
                if len(waiting) == 2 * workers:  # results wait too, if an early one is late
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
