"""Compile the indexed part of a plan to one function: make(epoch, position) -> Item, or None for a hole.

A stage that only says which position of its source stands where (shuffle, skip, deal) is `vdata.run.place.below`; what a
position will need of which sources is `vdata.run.place.needs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vdata import plan
from vdata.batch import At, collate
from vdata.errors import DataError, PlanError
from vdata.order import substitutes
from vdata.rewrite import DecodeApply
from vdata.run.each import Item, applied, each, keeps, noted, opened, substitution, windowed
from vdata.run.mixed import mixed, mixes
from vdata.run.place import below, dealt, part_of, preparing, turn_of

Make = Callable[[int, int], Item | None]


@dataclass
class Node:
    """A compiled plan with an index."""

    make: Make
    length: int | float
    batched: bool  # whether an item is a batch: worth a hand-off of its own
    prepare: Callable[[int, int, int], int] | None  # where sources are far: tell them which samples a span of an epoch will need


def compile(stage: plan.Stage) -> Node:
    """The node of a plan whose access is "dense" or "holes"."""
    return Node(_make(stage), stage.extent, any(isinstance(s, plan.Batch) for s in plan.chain(stage)), preparing(stage))


def _make(stage: plan.Stage) -> Make:
    match stage:
        case plan.Read():
            read = stage.indexed().read
            return lambda e, p: Item((e, p), read(p))
        case plan.Concat(sources):
            return _concat(sources)
        case plan.Mix():
            return _mix(stage)
        case plan.Zip(sources):
            makes = [_make(s) for s in sources]
            return lambda e, p: merge((e, p), [m(e, p) for m in makes])
        case plan.Decode():
            return _decode(stage, _make(stage.source))
        case DecodeApply():
            return _decode_apply(stage, _make(stage.source))
        case plan.Cache(source):
            return stage.store.over(_make(source))
    inner = _make(stage.source)
    if isinstance(stage, plan.Apply) and mixes(stage) and not any(isinstance(s, plan.Batch) for s in plan.chain(stage)):
        return mixed(stage, inner)
    if isinstance(stage, plan.Filter):
        keep, where = stage.fn, stage
        return lambda e, p: item if (item := inner(e, p)) is not None and keeps(where, keep, item) else None
    if (change := each(stage)) is not None:
        return lambda e, p: change(item, p) if (item := inner(e, p)) is not None else None
    if (down := below(stage)) is not None:
        if isinstance(stage, plan.Pick | plan.Deal):  # a sample keeps the place it had
            return lambda e, p: inner(*down(e, p))
        return lambda e, p: _moved(inner(*down(e, p)), e, p)
    match stage:
        case plan.Take():
            return inner
        case plan.Batch():
            return _batch(stage, inner)
    raise PlanError(f"{stage.name} has no index")  # unreachable for a plan whose access is not "stream"


def _moved(item: Item | None, epoch: int, position: int) -> Item | None:
    return None if item is None else item._replace(at=(epoch, position))


def merge(at: At, items: list[Item | None]) -> Item:
    """The fields of several samples in one dict; the key is the first's. A name in two of them raises."""
    out: dict[str, Any] = {}
    for item in items:
        if item is None or not isinstance(item.value, dict):
            raise PlanError("zip pairs dict samples: zip before .to_tuple() or .batch()")
        for name, value in item.value.items():
            if name in out and name != "__key__":
                raise PlanError(f"zip: two pipes have a field {name!r}: .rename() one of them, or .select() it away")
            out.setdefault(name, value)
    return Item(at, out, broken=sum((i.broken for i in items if i is not None), ()))


def _concat(sources: tuple[plan.Stage, ...]) -> Make:
    makes, part = [_make(s) for s in sources], part_of(sources)

    def make(epoch: int, position: int) -> Item | None:
        child, place = part(position)
        return _moved(makes[child](epoch, place), epoch, position)

    return make


def _mix(stage: plan.Mix) -> Make:
    makes, turn = [_make(s) for s in stage.sources], turn_of(stage)

    def make(epoch: int, position: int) -> Item | None:
        child, *place = turn(epoch, position)
        return _moved(makes[child](*place), epoch, position)

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
        value = _collated(stage, items)
    return Item(items[0].at, value, sum(i.count for i in items), sum((i.broken for i in items), ()))


def _collated(stage: plan.Batch, items: list[Item]) -> Any:
    values = [i.value for i in items]
    if stage.collate_fn is not None:
        return stage.collate_fn(values)
    if all(isinstance(v, tuple) for v in values):
        parts = collate([{str(n): part for n, part in enumerate(v)} for v in values])
        return tuple(parts.values())
    if not all(isinstance(v, Mapping) for v in values):
        raise PlanError(f"batch collates dict samples or tuples, got {type(values[0]).__name__}: give batch(..., collate_fn=...)")
    return collate(values, at=[i.at for i in items])


def _decode(stage: plan.Decode, inner: Make) -> Make:
    def make(epoch: int, position: int) -> Item | None:
        item = inner(epoch, position)
        return None if item is None else item.to(opened(stage, item))

    return _skipping(make, stage) if stage.on_error == "skip" else make


def _decode_apply(stage: DecodeApply, inner: Make) -> Make:
    if stage.on_error == "skip":
        # A substitute is keyed at the broken sample's own place, so it is decoded first and drawn for afterwards.
        whole = _decode(stage.decode, inner)
        return lambda e, p: item.to(applied(stage, item)) if (item := whole(e, p)) is not None else None
    return lambda e, p: item.to(windowed(stage, item)) if (item := inner(e, p)) is not None else None


def _skipping(make: Make, stage: plan.Stage) -> Make:
    """Replace a broken sample by the next good one of its lane, keyed at its own place; the item says so."""
    length = stage.extent

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
                return Item(_place(stage, epoch, position), found.value, broken=(substitution(broken, epoch, position, other),))
        raise broken

    return safe


def _place(stage: plan.Stage, epoch: int, position: int) -> At:
    """The place of the item at a position, without making it: where it is broken it cannot say so itself."""
    while True:
        match stage:
            case plan.Pick(source, positions):
                stage, position = source, int(positions[position])
            case plan.Deal():
                stage, position = stage.source, dealt(stage, position)
            case plan.Map() | plan.Apply() | plan.Decode() | plan.Select() | plan.Rename() | plan.ToTuple() | plan.Seed():
                stage = stage.source
            case plan.Cache() | plan.Filter() | plan.Enumerate():
                stage = stage.source
            case plan.Take() if not isinstance(stage, plan.Skip):
                stage = stage.source
            case _:
                return epoch, position

