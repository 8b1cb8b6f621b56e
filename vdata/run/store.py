"""Samples kept in memory: what `.cache()` holds, for every loader of its pipe in this process."""

from __future__ import annotations

import copy
import math
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from vdata import plan
from vdata.batch import Batch, Ragged
from vdata.run.each import Item

Make = Callable[[int, np.ndarray], list[Item | None]]


class Store:
    """Items by position, up to `limit` bytes; what does not fit is made again each time. A pickled store is empty."""

    def __init__(self, limit: int | None):
        self.limit = limit
        self._room = math.inf if limit is None else limit
        self._kept: dict[tuple[Any, int], Item] = {}  # by who has which share of what lies beneath, and the position
        self._lock = threading.Lock()

    def over(self, make: Make, deals: tuple[plan.Deal, ...]) -> Make:
        """`make`, each position computed once. `deals` lie beneath it: batches are others for another rank, and in an epoch that goes on
        from where it was left, of which nothing is kept."""
        if any(deal.start for deal in deals):
            return make
        share = tuple((deal.rank, deal.world, deal.uneven) for deal in deals)

        def kept_or_made(epoch: int, positions: np.ndarray) -> list[Item | None]:
            items = [self._kept.get((share, p)) for p in positions.tolist()]
            absent = [n for n, item in enumerate(items) if item is None]
            if absent:
                for n, item in zip(absent, make(epoch, positions[absent]), strict=True):
                    items[n] = item
                    if item is not None:
                        self._keep((share, int(positions[n])), item)
            # A copy, so that nobody can write into what the next epoch will read.
            return [None if i is None else i._replace(at=(epoch, *i.at[1:]), value=copied(i.value)) for i in items]

        return kept_or_made

    def _keep(self, position: tuple[Any, int], item: Item) -> None:
        size = bytes_of(item.value)
        with self._lock:
            if position not in self._kept and size <= self._room:
                self._room -= size
                self._kept[position] = item._replace(broken=())  # a substitute is reported where it was found

    def __reduce__(self):
        return Store, (self.limit,)


def bytes_of(value: Any) -> int:
    """How much memory a sample holds, about."""
    if isinstance(value, Mapping):
        return sum(bytes_of(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return sum(bytes_of(v) for v in value)
    if isinstance(value, Ragged):
        return value.values.nbytes
    return value.nbytes if isinstance(value, (torch.Tensor, np.ndarray)) else sys.getsizeof(value)


def copied(value: Any) -> Any:
    """A sample or batch that shares nothing with the first that could be written into."""
    if isinstance(value, Batch):
        return value.replace({n: copied(v) for n, v in value.items()})
    if type(value) is dict:
        return {n: copied(v) for n, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copied(v) for v in value)
    return value.clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
