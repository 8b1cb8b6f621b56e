"""Compile the indexed part of a plan to one function: make(epoch, position) -> Item, or None for a hole."""

from __future__ import annotations

import bisect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vdata import plan
from vdata.batch import collate
from vdata.errors import DataError, PlanError
from vdata.order import substitutes
from vdata.rewrite import DecodeApply
from vdata.run.each import Item, applied, decoded, each, keeps, noted, windowed
from vdata.tensors import TypedTensor

Make = Callable[[int, int], Item | None]


@dataclass
class Ledger:
    """What a run has to confess: every sample that was replaced because it was broken."""

    substituted: list[dict[str, Any]] = field(default_factory=list)

    def replaced(self, error: DataError, epoch: int, position: int, by: int | None) -> None:
        """Name a broken sample, and the position that stands in for it (None: a stream goes on without it)."""
        entry = {"epoch": epoch, "position": position, "by": by, **error.where, "error": str(error)}
        self.substituted.append(entry)


@dataclass
class Node:
    """A compiled plan with an index."""

    make: Make
    length: int | float
    batched: bool  # whether an item is a batch: worth a hand-off of its own


def compile(stage: plan.Stage, ledger: Ledger) -> Node:
    """The node of a plan whose access is "dense" or "holes"."""
    return Node(_make(stage, ledger), stage.extent, any(isinstance(s, plan.Batch) for s in plan.chain(stage)))


def _make(stage: plan.Stage, ledger: Ledger) -> Make:
    match stage:
        case plan.Read():
            read = stage.indexed().read
            return lambda e, p: Item((e, p), read(p))
        case plan.Concat(sources):
            return _concat(sources, ledger)
        case plan.Zip(sources):
            makes = [_make(s, ledger) for s in sources]
            return lambda e, p: Item((e, p), merge([m(e, p) for m in makes]))
        case plan.Decode():
            return _decode(stage, _make(stage.source, ledger), stage.extent, ledger)
        case DecodeApply():
            return _decode_apply(stage, _make(stage.source, ledger), stage.extent, ledger)
        case plan.Cache(source, limit):
            return _cache(_make(source, ledger), limit)
    inner = _make(stage.source, ledger)
    if isinstance(stage, plan.Filter):
        keep, where = stage.fn, stage
        return lambda e, p: item if (item := inner(e, p)) is not None and keeps(where, keep, item) else None
    if (change := each(stage)) is not None:
        return lambda e, p: change(item, p) if (item := inner(e, p)) is not None else None
    match stage:
        case plan.Shuffle():
            row = stage.order().row
            return lambda e, p: _moved(inner(e, row(e, p)), e, p)
        case plan.Repeat(source):
            inner_length = source.extent
            return lambda e, p: _moved(inner(e + p // int(inner_length), p % int(inner_length)), e, p) if inner_length != math.inf else inner(e, p)
        case plan.Skip(_, n):
            return lambda e, p: _moved(inner(e, p + n), e, p)
        case plan.Take():
            return inner
        case plan.Shard(_, num_shards, index):
            return lambda e, p: _moved(inner(e, p * num_shards + index), e, p)
        case plan.Pick(_, positions):
            return lambda e, p: inner(e, int(positions[p]))
        case plan.Deal():
            first, world, total = stage.first, stage.world, stage.source.length
            wrap = total if stage.uneven == "pad" else None
            return lambda e, p: inner(e, (first + p * world) if wrap is None else (first + p * world) % int(wrap))
        case plan.Batch():
            return _batch(stage, inner)
    raise PlanError(f"{stage.name} has no index")  # unreachable for a plan whose access is not "stream"


def _moved(item: Item | None, epoch: int, position: int) -> Item | None:
    return None if item is None else Item((epoch, position), item.value)


def merge(items: list[Item | None]) -> dict[str, Any]:
    """The fields of several samples in one dict; the key is the first's. A name in two of them raises."""
    out: dict[str, Any] = {}
    for item in items:
        if item is None or not isinstance(item.value, dict):
            raise PlanError("zip pairs dict samples: zip before .to_tuple() or .batch()")
        for name, value in item.value.items():
            if name in out and name != "__key__":
                raise PlanError(f"zip: two pipes have a field {name!r}: .rename() one of them, or .select() it away")
            out.setdefault(name, value)
    return out


def _concat(sources: tuple[plan.Stage, ...], ledger: Ledger) -> Make:
    makes = [_make(s, ledger) for s in sources]
    starts = [0]
    for source in sources[:-1]:
        starts.append(starts[-1] + int(source.extent))

    def make(epoch: int, position: int) -> Item | None:
        child = bisect.bisect_right(starts, position) - 1
        return _moved(makes[child](epoch, position - starts[child]), epoch, position)

    return make


def _batch(stage: plan.Batch, inner: Make) -> Make:
    total = stage.source.length

    def make(epoch: int, index: int) -> Item:
        start = index * stage.size
        stop = start + stage.size if total == math.inf else min(start + stage.size, int(total))
        items = [inner(epoch, p) for p in range(start, stop)]
        return gathered(stage, [i for i in items if i is not None])

    return make


def gathered(stage: plan.Batch, items: list[Item]) -> Item:
    """Items as one batch; its place is its first sample's."""
    with noted(stage, items[0]):
        if stage.collate_fn is not None:
            return Item(items[0].at, stage.collate_fn([i.value for i in items]))
        if all(isinstance(i.value, tuple) for i in items):
            parts = collate([{str(n): v for n, v in enumerate(i.value)} for i in items])
            return Item(items[0].at, tuple(parts.values()))
        if not all(isinstance(i.value, Mapping) for i in items):
            raise PlanError(f"batch collates dict samples or tuples, got {type(items[0].value).__name__}: give batch(..., collate_fn=...)")
        return Item(items[0].at, collate([i.value for i in items], at=[i.at for i in items]))


def _decode(stage: plan.Decode, inner: Make, length: int | float, ledger: Ledger) -> Make:
    def make(epoch: int, position: int) -> Item | None:
        item = inner(epoch, position)
        return None if item is None else Item(item.at, decoded(item.value, stage.mode))

    return _skipping(make, length, ledger) if stage.on_error == "skip" else make


def _decode_apply(stage: DecodeApply, inner: Make, length: int | float, ledger: Ledger) -> Make:
    decode = stage.decode
    assert decode is not None

    def make(epoch: int, position: int) -> Item | None:
        item = inner(epoch, position)
        return None if item is None else Item(item.at, windowed(stage, item))

    if decode.on_error != "skip":
        return make
    # A substitute is keyed at the broken sample's own place, so it is decoded first and drawn for afterwards.
    whole = _decode(decode, inner, length, ledger)
    return lambda e, p: Item(item.at, applied(stage, item)) if (item := whole(e, p)) is not None else None


def _skipping(make: Make, length: int | float, ledger: Ledger) -> Make:
    """Replace a broken sample by the next good one of its lane, keyed at its own place; say so in the ledger."""

    def safe(epoch: int, position: int) -> Item | None:
        try:
            return make(epoch, position)
        except DataError as error:
            broken = error
        for other in substitutes(position, int(length)) if length != math.inf else ():
            try:
                found = make(epoch, other)
            except DataError:
                continue
            if found is not None:
                ledger.replaced(broken, epoch, position, other)
                return Item((epoch, position), found.value)
        raise broken

    return safe


def _cache(inner: Make, limit: int | None) -> Make:
    kept: dict[int, Item] = {}
    room = math.inf if limit is None else limit

    def make(epoch: int, position: int) -> Item | None:
        nonlocal room
        if (item := kept.get(position)) is None:
            item = inner(epoch, position)
            if item is not None and (size := _bytes(item.value)) <= room:
                room -= size
                kept[position] = item
        # A copy, so that nobody can write into what the next epoch will read.
        return None if item is None else Item((epoch, *item.at[1:]), _copied(item.value))

    return make


def _bytes(value: Any) -> int:
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,)
    return sum(v.numel() * v.element_size() if isinstance(v, TypedTensor) else sys.getsizeof(v) for v in values)


def _copied(value: Any) -> Any:
    return {n: v.clone() if isinstance(v, TypedTensor) else v for n, v in value.items()} if isinstance(value, dict) else value
