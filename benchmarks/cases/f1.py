"""The engine alone: tiny samples, nothing done to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cases import _engine as engine
from cases._counted import counted

TITLE = "engine: tiny samples {'x': i}, identity, in order, two threads (DataLoader: two processes, batches of 32)"
UNIT = "items"
MUST = {"grain": 8.0, "nodes": 8.8, "dataloader": 4.4}
STRETCH = {"grain": 20.0, "nodes": 22.0, "dataloader": 11.0}
AT_MOST = {"us": (5.0, 2.0)}
NOTES = {
    "grain": "ReadOptions with two threads and 16 items ahead: its default of 500 is twenty times slower",
    "nodes": "torchdata.nodes: ParallelMapper with two threads, one item at a time",
    "nodes in 32s": "the same with prebatch=32, documented as for small items; no ratio was asked for",
    "dataloader": "torch's; it delivers batches of 32 stacked by its workers, all others single items",
}
STEP = 1000


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    """Nothing: items are made as they are read."""


def make(index: int) -> dict[str, int]:
    return {"x": index}


def _items(quick: bool) -> engine.Items:
    return engine.Items(make, 10 * STEP if quick else 100 * STEP)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return counted(engine.vdata(_items(quick)), STEP)


def grain(folder: Path, quick: bool) -> Iterator[int]:
    return counted(engine.grain(_items(quick)), STEP)


def nodes(folder: Path, quick: bool) -> Iterator[int]:
    return counted(engine.nodes(_items(quick), None), STEP)


def nodes_in_32s(folder: Path, quick: bool) -> Iterator[int]:
    return counted(engine.nodes(_items(quick), 32), STEP)


def dataloader(folder: Path, quick: bool) -> Iterator[int]:
    return engine.dataloader(_items(quick), 32)


def CHECK(folder: Path) -> None:
    """All in order, and all of them."""
    items = engine.Items(make, 100)
    for loader in (engine.vdata(items), engine.grain(items), engine.nodes(items, None), engine.nodes(items, 32)):
        assert [item["x"] for item in loader] == list(range(100))


PEERS = {"vdata": ours, "grain": grain, "nodes": nodes, "nodes in 32s": nodes_in_32s, "dataloader": dataloader}
