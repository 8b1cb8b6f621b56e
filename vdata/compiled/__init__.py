"""Loops over numbers, compiled where numba is installed (`pip install "vdata-vision[turbo]"`).

Each gives, bit for bit, what the plain way gives, holds no interpreter lock, and takes flat arrays: whoever calls it has looked at
shapes and bounds, for nothing in it does. The machine's code is kept beside the source, or in numba's own cache folder, so that
only the first process on a machine compiles.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, update_wrapper
from typing import Any

import numpy as np

from vdata.meter import spent

_building = threading.RLock()
_busy = 0  # how deep in it a thread is
_shut = False


@contextmanager
def _alone() -> Iterator[None]:
    """While numba is imported or compiles: one thread at a time, and known to a fork."""
    global _busy
    with _building:
        _busy += 1
        try:
            yield
        finally:
            _busy -= 1


def _forked() -> None:
    """In the child of a process in which another thread was compiling numba's own lock stays shut for ever: there the plain way is gone."""
    global _building, _busy, _shut
    _shut = _shut or _busy > 0
    _building, _busy = threading.RLock(), 0


os.register_at_fork(after_in_child=_forked)


@lru_cache(None)
def numba() -> Any:
    """The module; None where it is not installed, cannot be loaded, or is told not to compile."""
    try:
        with spent("compile"), _alone():
            import numba as module
    except Exception:  # one that does not fit numpy or Python raises what it likes
        return None
    return None if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") else module


FEW = 1 << 21  # numbers: the plain way with fewer takes less time than the compiler, or reading what it has kept


_all: list[Loop] = []
_keeps = True  # whether numba keeps what it compiles


class Loop:
    """A function of numbers and flat arrays, compiled at its first call."""

    def __init__(self, fn: Callable[..., None]):
        update_wrapper(self, fn)
        self.__qualname__ = fn.__qualname__
        self._fn, self._seen = fn, 0
        self._compiled: Any = None
        self._known: set[tuple[Any, ...]] = set()  # kinds of arguments that it is compiled for
        _all.append(self)

    def pays(self, numbers: int) -> bool:
        """Whether to call it for so many numbers: after a few were done the plain way, and where there is a compiler."""
        if self._compiled is None:
            self._seen += numbers
            if self._seen <= FEW:
                return False
        return not _shut and numba() is not None

    def __call__(self, *arguments: Any) -> None:
        kinds = tuple((a.dtype, _lies(a.flags.num), a.ndim) if isinstance(a, np.ndarray) else type(a) for a in arguments)
        if kinds in self._known:
            self._compiled(*arguments)
            return
        with spent("compile"), _alone():
            self._first(arguments)
            self._known.add(kinds)

    def _first(self, arguments: tuple[Any, ...]) -> None:
        """Compile, or read what was kept, and run."""
        global _keeps
        self._compiled = self._compiled or _compiled(self._fn)
        try:
            self._compiled(*arguments)
        except numba().core.errors.NumbaError:  # arguments of a kind that it is not for
            raise
        except Exception as error:  # before it ran: what was kept is damaged (a pickle raises what it likes), or cannot be kept
            told = f"numba cannot keep what it compiles, or read what it kept ({type(error).__name__}: {error}): every process compiles it anew"
            warnings.warn(f"{told}. Make room, or delete *.nbi and *.nbc in its cache folder", RuntimeWarning, stacklevel=4)
            _keeps = False
            for other in _all:  # it may have been one within this
                other._compiled = None
                other._known.clear()
            self._compiled = _compiled(self._fn)
            self._compiled(*arguments)

    @property
    def _numba_type_(self) -> Any:  # numba asks when it compiles a loop that calls this one
        self._compiled = self._compiled or _compiled(self._fn)
        return numba().typeof(self._compiled)

    def __reduce__(self) -> str:
        return self.__qualname__


def _lies(flags: int) -> int:
    """How an array lies in memory, as numba tells them apart: of one that is in C's order not whether it is in Fortran's too."""
    return flags & ~2 if flags & 1 else flags


def _compiled(fn: Callable[..., None]) -> Any:
    # Numbers divide as numpy's do: a division that may raise cannot be done eight at a time.
    how = {"nogil": True, "error_model": "numpy"}
    if _keeps:
        try:
            made = numba().njit(cache=True, **how)(fn)
            # A loop has others within it: what is kept is of no use when any of these files has changed, not its own alone.
            made._cache._cache_file._source_stamp = _stamp()
            return made
        except (RuntimeError, OSError, AttributeError):  # no folder to keep it in; files in an archive; a numba that does it in another way
            pass
    return numba().njit(**how)(fn)


@lru_cache(None)
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every file here."""
    files = sorted((file for file in os.scandir(os.path.dirname(__file__)) if file.name.endswith(".py")), key=lambda file: file.name)
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def loop(fn: Callable[..., None]) -> Loop:
    """Declare a loop: `if loop_of_mine.pays(x.size): loop_of_mine(...)`, else the plain way."""
    return Loop(fn)


MANY = 32 * FEW  # numbers: with fewer a thread that compiles would only be in the way of a first batch


class Beside:
    """Loops that take seconds to compile, or to read: done in a thread beside other work, which goes on the plain way until then."""

    def __init__(self, work: Callable[..., object]):
        self._work, self._seen, self._process, self._done = work, 0, 0, False

    def ready(self, numbers: int, given: Callable[[], Any]) -> bool:
        """Whether all is compiled; after some numbers a thread is begun, which calls `work(given())` once. It never waits."""
        if self._done:
            return not _shut
        self._seen += numbers
        if self._seen > MANY and self._process != os.getpid() and not _shut:  # a forked child has not its parent's thread
            self._process = os.getpid()
            with suppress(RuntimeError):  # no more threads, or the interpreter ends
                threading.Thread(target=self._run, args=(given(),), name="vdata-compile").start()
        return False

    def _run(self, given: Any) -> None:
        if numba() is not None:
            with _alone():
                self._work(given)
                self._done = True
