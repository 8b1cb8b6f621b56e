"""Memory that ranges are received into, and again and again: to get it from the system anew costs more than to receive into it."""

from __future__ import annotations

import mmap
import weakref
from collections import deque
from contextlib import suppress

import numpy as np

_SMALLEST, _LARGEST = 18, 22  # powers of two: below, the allocator of the process is as fast; above, memory would lie idle
_SPARE = 4  # rooms of one size that wait for use
_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # a forked process has its own


class Rooms:
    """A store of used memory; safe between threads. A room comes back when nothing refers to it any more.

    >>> rooms = Rooms()
    >>> first = rooms.take(300_000)
    >>> first[0] = 7
    >>> part = first[:1]
    >>> del first
    >>> rooms.take(300_000)[0], part[0]  # another one: a part of it is still in use
    (0, 7)
    >>> del part
    >>> rooms.take(400_000)[0]
    7
    """

    def __init__(self) -> None:
        self._spare = {power: deque[np.ndarray](maxlen=_SPARE) for power in range(_SMALLEST, _LARGEST + 1)}

    def take(self, size: int) -> memoryview:
        """`size` bytes, of which nobody knows what they hold."""
        power = max(_SMALLEST, (size - 1).bit_length())
        if size < 1 << _SMALLEST or power > _LARGEST:
            return memoryview(bytearray(size))
        spare = self._spare[power]
        try:
            memory = spare.pop()
        except IndexError:
            memory = _mapped(1 << power)
        lease = memory[:size]  # all views of it refer to this array, which nobody else does
        weakref.finalize(lease, spare.append, memory).atexit = False
        return lease.data


def _mapped(size: int) -> np.ndarray:
    try:
        pages = mmap.mmap(-1, size, flags=_FLAGS)
    except OSError as error:
        raise MemoryError(str(error)) from None
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them has others
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)
