"""What it costs to hand one item through: a dataset in memory, a function that changes nothing, order kept, two threads (or worker processes)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

WORKERS = len(os.sched_getaffinity(0))


class Items:
    """`count` items, number i made by make(i)."""

    def __init__(self, make: Any, count: int):
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def identity(item: Any) -> Any:
    return item


def vdata(items: Items) -> Iterable[Any]:
    import vdata

    return vdata.from_torch(items).map(identity).loader(workers=WORKERS)


def grain(items: Items) -> Iterable[Any]:
    """16 items ahead: at each item it counts how many are ready, which with its default of 500 takes twenty times as long."""
    import grain

    return grain.MapDataset.source(items).map(identity).to_iter_dataset(grain.ReadOptions(num_threads=WORKERS, prefetch_buffer_size=16))


def nodes(items: Items, together: int | None) -> Iterable[Any]:
    """Items are read by its threads too; `together`: how many are handed out at once (its prebatch)."""
    from torch.utils.data import SequentialSampler
    from torchdata import nodes

    numbers = nodes.SamplerWrapper(SequentialSampler(items))
    read = lambda number: identity(items[number])
    return nodes.Loader(nodes.ParallelMapper(numbers, read, num_workers=WORKERS, in_order=True, method="thread", prebatch=together))


def dataloader(items: Items, size: int) -> Iterator[int]:
    """A count a batch: worker processes, and batches that they have stacked."""
    from torch.utils.data import DataLoader

    for _ in DataLoader(items, size, num_workers=WORKERS):  # type: ignore[arg-type]
        yield size
