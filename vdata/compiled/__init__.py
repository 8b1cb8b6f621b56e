"""Loops over numbers, compiled where numba is installed (`pip install "vdata-vision[turbo]"`).

Each gives, bit for bit, what the plain way gives, holds no interpreter lock, and takes flat arrays: whoever calls it has looked at
shapes and bounds, for nothing in it does. The machine's code is kept beside the source, or in numba's own cache folder, so that
only the first process on a machine compiles.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache, update_wrapper
from typing import Any

_building = threading.Lock()


@lru_cache(None)
def numba() -> Any:
    """The module; None where it is not installed, cannot be loaded, or is told not to compile."""
    try:
        import numba as module
    except Exception:  # one that does not fit numpy or Python raises what it likes
        return None
    return None if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") else module


FEW = 1 << 21  # numbers: the plain way with fewer takes less time than the compiler, or reading what it has kept


class Loop:
    """A function of numbers and flat arrays, compiled at its first call."""

    def __init__(self, fn: Callable[..., None]):
        update_wrapper(self, fn)
        self.__qualname__ = fn.__qualname__
        self._fn, self._compiled, self._seen = fn, None, 0

    def pays(self, numbers: int) -> bool:
        """Whether to call it for so many numbers: after a few were done the plain way, and where there is a compiler."""
        if self._compiled is None:
            self._seen += numbers
            if self._seen <= FEW:
                return False
        return numba() is not None

    def __call__(self, *arguments: Any) -> None:
        if self._compiled is None:
            with _building:
                self._compiled = self._compiled or _compiled(self._fn, keep=True)
        try:
            self._compiled(*arguments)
        except OSError:  # what was compiled, before it ran, could not be kept
            self._compiled = _compiled(self._fn, keep=False)
            self._compiled(*arguments)

    def __reduce__(self) -> str:
        return self.__qualname__


def _compiled(fn: Callable[..., None], keep: bool) -> Any:
    # Numbers divide as numpy's do: a division that may raise cannot be done eight at a time.
    try:
        return numba().njit(nogil=True, error_model="numpy", cache=keep)(fn)
    except RuntimeError:  # numba finds no folder to keep it in
        return numba().njit(nogil=True, error_model="numpy")(fn)


def loop(fn: Callable[..., None]) -> Loop:
    """Declare a loop: `if loop_of_mine.pays(x.size): loop_of_mine(...)`, else the plain way."""
    return Loop(fn)
