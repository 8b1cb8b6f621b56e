"""The engine alone: tensors of 602 kB, filled where they are read, nothing else done to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cases import _engine as engine
from cases._counted import counted

TITLE = "engine: uint8 tensors [3, 448, 448] (602 kB), filled and handed through, in order, two threads (DataLoader: two processes, batches of 32)"
UNIT = "items"
MUST = {"grain": 1.5, "nodes": 1.2, "dataloader": 4.4}
STRETCH = {"grain": 1.9, "nodes": 1.5, "dataloader": 5.6}
AT_MOST = {"us": (90.0, 70.0)}
NOTES = {
    "grain": "ReadOptions with two threads and 16 items ahead",
    "nodes": "torchdata.nodes: ParallelMapper with two threads, one item at a time",
    "dataloader": "torch's; batches of 32 stacked by its workers, in shared memory",
}
STEP = 64


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    """Nothing: items are made as they are read."""


def make(index: int) -> dict[str, Any]:
    import torch

    return {"x": torch.full((3, 448, 448), index % 256, dtype=torch.uint8)}


def _items(quick: bool) -> engine.Items:
    import torch

    torch.set_num_threads(1)
    return engine.Items(make, 10 * STEP if quick else 60 * STEP)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return counted(engine.vdata(_items(quick)), STEP)


def grain(folder: Path, quick: bool) -> Iterator[int]:
    return counted(engine.grain(_items(quick)), STEP)


def nodes(folder: Path, quick: bool) -> Iterator[int]:
    return counted(engine.nodes(_items(quick), None), STEP)


def dataloader(folder: Path, quick: bool) -> Iterator[int]:
    return engine.dataloader(_items(quick), 32)


PEERS = {"vdata": ours, "grain": grain, "nodes": nodes, "dataloader": dataloader}
