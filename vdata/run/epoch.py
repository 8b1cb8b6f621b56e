"""An integer that worker processes share with their parent: the epoch of a pipe in a foreign loader."""

from __future__ import annotations

import mmap
import struct
from multiprocessing.context import get_spawning_popen
from typing import Any

import torch

_INT = struct.Struct("q")


class SharedInt:
    """One 64-bit integer. Forked workers share its memory as it is; for spawned ones it moves into a shared tensor.

    It begins as an anonymous map, which needs no file descriptor: a program may hold thousands of pipes.
    """

    __slots__ = ("_memory", "_tensor")

    def __init__(self, value: int = 0):
        self._memory = mmap.mmap(-1, _INT.size)
        self._tensor: torch.Tensor | None = None
        self.value = value

    @property
    def value(self) -> int:
        return int(self._tensor) if self._tensor is not None else _INT.unpack_from(self._memory)[0]

    @value.setter
    def value(self, value: int) -> None:
        if self._tensor is not None:
            self._tensor.fill_(value)
        else:
            _INT.pack_into(self._memory, 0, value)

    def __getstate__(self) -> Any:
        if get_spawning_popen() is None:  # a copy in a file, say: it shares nothing
            return self.value
        if self._tensor is None:
            self._tensor = torch.tensor(self.value).share_memory_()
        return self._tensor

    def __setstate__(self, state: Any) -> None:
        self._memory, self._tensor = mmap.mmap(-1, _INT.size), None
        if isinstance(state, torch.Tensor):
            self._tensor = state
        else:
            self.value = state
