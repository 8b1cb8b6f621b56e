"""Memory for batches that is used again once nothing refers to it.

A fresh batch of 128 float pictures takes 77 MB from the system, which costs more than filling it. A slab comes back when
the last tensor over it is gone, whoever held it: a batch that somebody keeps never changes (law 12).
"""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict, deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SMALL = 1 << 18  # bytes: below, the allocator of the process is as fast
_SPARE = 3  # slabs of one size that wait for use
_SIZES = 4  # different sizes of which there are spare ones


class Slabs:
    """A store of used memory. Safe between threads; empty in another process.

    >>> slabs = Slabs()
    >>> first = slabs.take((1024, 1024), torch.float32)
    >>> place = first.data_ptr()
    >>> del first
    >>> slabs.take((1024, 1024), torch.float32).data_ptr() == place
    True
    """

    def __init__(self) -> None:
        self._spare: OrderedDict[int, deque[np.ndarray]] = OrderedDict()

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor on the CPU."""
        size = math.prod(shape) * dtype.itemsize
        if size < SMALL:
            return torch.empty(tuple(shape), dtype=dtype, device="cpu")
        try:
            memory = self._spare[size].pop()
        except (KeyError, IndexError):
            memory = np.empty(size, np.uint8)
        lease = memory[:]  # all tensors over it refer to this array, which nobody else does
        weakref.finalize(lease, self._back, memory).atexit = False
        return torch.from_numpy(lease).view(dtype).view(tuple(shape))

    def _back(self, memory: np.ndarray) -> None:
        spare = self._spare.setdefault(len(memory), deque(maxlen=_SPARE))
        spare.append(memory)
        while len(self._spare) > _SIZES:
            self._spare.popitem(last=False)

    def __reduce__(self):
        return Slabs, ()
