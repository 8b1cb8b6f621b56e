"""The epoch of a pipe in a foreign loader, shared by the parent and its workers.

Each worker has a slot, which it advances when its share of an epoch is done; the epoch is the least of the slots.
So a worker that starts late, while another has finished, still joins the epoch that the others were in.
"""

from __future__ import annotations

import mmap
import struct
from multiprocessing.context import get_spawning_popen
from typing import Any

import torch

from vdata.errors import PlanError

SLOTS = 512
_ALL = struct.Struct(f"{SLOTS}q")
_ONE = struct.Struct("q")


class SharedEpoch:
    """An epoch a worker. Forked workers share the memory as it is; for spawned ones it moves into a shared tensor.

    It begins as an anonymous map, which needs no file descriptor: a program may hold thousands of pipes.
    """

    __slots__ = ("_memory", "_tensor")

    def __init__(self, epoch: int = 0):
        self._memory = mmap.mmap(-1, _ALL.size)
        self._tensor: torch.Tensor | None = None
        self.set(epoch)

    def get(self, workers: int = 1) -> int:
        """The epoch that this many workers are in together."""
        if workers > SLOTS:
            raise PlanError(f"a foreign loader may have at most {SLOTS} workers, got {workers}")
        slots = self._tensor.tolist() if self._tensor is not None else _ALL.unpack_from(self._memory)
        return min(slots[:workers])

    def set(self, epoch: int) -> None:
        """The epoch of all workers."""
        if self._tensor is not None:
            self._tensor.fill_(epoch)
        else:
            _ALL.pack_into(self._memory, 0, *[epoch] * SLOTS)

    def finish(self, worker: int, epoch: int) -> None:
        """One worker's next epoch."""
        if self._tensor is not None:
            self._tensor[worker] = epoch
        else:
            _ONE.pack_into(self._memory, worker * _ONE.size, epoch)

    def __getstate__(self) -> Any:
        if get_spawning_popen() is None:  # a copy in a file, say: it shares nothing
            return self.get()
        if self._tensor is None:
            self._tensor = torch.tensor(_ALL.unpack_from(self._memory)).share_memory_()
        return self._tensor

    def __setstate__(self, state: Any) -> None:
        self._memory, self._tensor = mmap.mmap(-1, _ALL.size), None
        if isinstance(state, torch.Tensor):
            self._tensor = state
        else:
            self.set(state)
