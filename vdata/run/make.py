"""Compile the indexed part of a plan to one function of positions: their items, None for holes.

Positions come in chunks, so that what is arithmetic (orders, keys, draws) is done for many samples in a few calls.

A stage that only says which position of its source stands where (shuffle, skip, deal) is `vdata.run.place.below`; what a
position will need of which sources is `vdata.run.place.needs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vdata import plan
from vdata.batch import At, Batch, collate
from vdata.errors import DataError, PlanError
from vdata.meter import spent
from vdata.order import substitutes
from vdata.rewrite import BatchApply, DecodeApply
from vdata.run.columns import columns
from vdata.run.each import (
    Item,
    all_applied,
    all_mapped,
    all_opened,
    applied,
    each,
    keeps,
    noted,
    only_together,
    substitution,
)
from vdata.run.mixed import mixed, mixes
from vdata.run.place import Down, below, dealt, part_of, preparing, turn_of
from vdata.run.together import fits, transformed
from vdata.slabs import Slabs

# make(epoch, positions int64 [n]) -> n items, None for holes
Make = Callable[[int, np.ndarray], list[Item | None]]

CHUNK = 16  # samples that are made together
WINDOWS = 256  # samples whose windows are drawn together


@dataclass
class Node:
    """A compiled plan with an index."""

    make: Make
    length: int | float
    batched: bool  # whether an item is a batch: worth a hand-off of its own
    prepare: Callable[[int, int, int], int] | None  # where sources are far: tell them which samples a span of an epoch will need

    def one(self, epoch: int, position: int) -> Item | None:
        """The item at one position."""
        return _one(self.make)(epoch, position)


def compile(stage: plan.Stage) -> Node:
    """The node of a plan whose access is "dense" or "holes"."""
    return Node(_make(stage), stage.extent, any(isinstance(s, plan.Batch) for s in plan.chain(stage)), preparing(stage))


def _one(make: Make) -> Callable[[int, int], Item | None]:
    return lambda e, p: make(e, np.array([p], np.int64))[0]


def _each(one: Callable[[int, int], Item | None]) -> Make:
    return lambda e, ps: [one(e, p) for p in ps.tolist()]


def _make(stage: plan.Stage) -> Make:
    make, name = _unmeasured(stage), stage.name

    def measured(epoch: int, positions: np.ndarray) -> list[Item | None]:
        with spent(name):
            return make(epoch, positions)

    return measured


def _unmeasured(stage: plan.Stage) -> Make:
    match stage:
        case plan.Read():
            read = stage.indexed().read
            return lambda e, ps: [tuple.__new__(Item, ((e, p), read(p), 1, ())) for p in ps.tolist()]  # two thirds of what Item(...) takes
        case plan.Concat(sources):
            return _concat(sources)
        case plan.Mix():
            return _mix(stage)
        case plan.Zip(sources):
            makes = [_make(s) for s in sources]
            return lambda e, ps: [merge((e, p), list(i)) for p, *i in zip(ps.tolist(), *(m(e, ps) for m in makes), strict=True)]
        case plan.Decode():
            return _decode(stage, _make(stage.source))
        case DecodeApply():
            return _decode_apply(stage, _make(stage.source))
        case plan.Cache(source):
            return stage.store.over(_make(source), tuple(s for s in plan.chain(source) if isinstance(s, plan.Deal)))
        case plan.Batch():
            return _batch(stage)
    inner = _make(stage.source)
    if isinstance(stage, plan.Apply):
        if mixes(stage) and not any(isinstance(s, plan.Batch) for s in plan.chain(stage)):
            return _each(mixed(stage, _one(inner)))
        return lambda e, ps: all_applied(stage, inner(e, ps))
    if isinstance(stage, plan.Filter):
        keep = stage.fn
        return lambda e, ps: [i if i is not None and keeps(stage, keep, i) else None for i in inner(e, ps)]
    if isinstance(stage, plan.Map):
        return lambda e, ps: all_mapped(stage, inner(e, ps))
    if (change := each(stage)) is not None:
        return lambda e, ps: [None if i is None else change(i, p) for i, p in zip(inner(e, ps), ps.tolist(), strict=True)]
    if (down := below(stage)) is not None:
        moved = _through(down, inner)
        if isinstance(stage, plan.Pick | plan.Deal):  # a sample keeps the place it had
            return moved
        return lambda e, ps: [_moved(i, e, p) for i, p in zip(moved(e, ps), ps.tolist(), strict=True)]
    if isinstance(stage, plan.Take):
        return inner
    raise PlanError(f"{stage.name} has no index")  # unreachable for a plan whose access is not "stream"


def _through(down: Down, inner: Make) -> Make:
    """The items of the source's positions that `down` gives."""

    def make(epoch: int, positions: np.ndarray) -> list[Item | None]:
        epochs, places = down(epoch, positions)
        return inner(epochs, places) if isinstance(epochs, int) else _gathered_from([inner] * len(places), epochs, places)

    return make


def _gathered_from(makes: Sequence[Make], epochs: np.ndarray, places: np.ndarray) -> list[Item | None]:
    """Item n from makes[n](epochs[n], places[n]); what one function makes of one epoch is made together."""
    groups: dict[tuple[int, int], list[int]] = {}
    for n, (make, epoch) in enumerate(zip(makes, epochs.tolist(), strict=True)):
        groups.setdefault((id(make), epoch), []).append(n)
    out: list[Item | None] = [None] * len(places)
    for (_, epoch), rows in groups.items():
        for n, item in zip(rows, makes[rows[0]](epoch, places[rows]), strict=True):
            out[n] = item
    return out


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
    part = part_of(sources)
    return _routed([_make(s) for s in sources], lambda e, p: (part(p)[0], e, part(p)[1]))


def _mix(stage: plan.Mix) -> Make:
    return _routed([_make(s) for s in stage.sources], turn_of(stage))


def _routed(makes: list[Make], route: Callable[[int, int], tuple[int, int, int]]) -> Make:
    """The items of several pipes: route(epoch, position) -> (number of the pipe, epoch and position in it)."""

    def make(epoch: int, positions: np.ndarray) -> list[Item | None]:
        ways = np.array([route(epoch, p) for p in positions.tolist()], np.int64).reshape(-1, 3)
        items = _gathered_from([makes[c] for c in ways[:, 0].tolist()], ways[:, 1], ways[:, 2])
        return [_moved(i, epoch, p) for i, p in zip(items, positions.tolist(), strict=True)]

    return make


def _batch(stage: plan.Batch) -> Make:
    if stage.collate_fn is None and (held := columns(stage.source)) is not None:
        return _each(lambda e, n: _of_columns(stage, held(e, _span(stage, n))))
    if isinstance(stage, BatchApply):
        return _each(_batch_apply(stage))
    # What decodes and transforms at once holds no more than it must, however many it is given.
    inner, slabs, chunk = _make(stage.source), Slabs(), WINDOWS if isinstance(stage.source, DecodeApply) else CHUNK
    return _each(lambda e, n: gathered(stage, [i for part in _parts(_span(stage, n), chunk) for i in inner(e, part)], slabs))


def _span(stage: plan.Batch, index: int) -> np.ndarray:
    """The positions of a batch."""
    start, total = index * stage.size, stage.source.extent
    return np.arange(start, start + stage.size if total == math.inf else min(start + stage.size, int(total)))


def _parts(positions: np.ndarray, size: int) -> list[np.ndarray]:
    return [positions[at : at + size] for at in range(0, len(positions), size)]


def _batch_apply(stage: BatchApply) -> Callable[[int, int], Item]:
    inner, slabs, chunk = _make(stage.source), Slabs(), WINDOWS if isinstance(stage.apply, DecodeApply) else CHUNK

    def make(epoch: int, index: int) -> Item:
        positions = _span(stage, index)
        first = inner(epoch, positions[:chunk])
        if not fits(first):
            rest = (all_applied(stage.apply, inner(epoch, part)) for part in _parts(positions[chunk:], chunk))
            return gathered(stage, [*all_applied(stage.apply, first), *(i for part in rest for i in part)], slabs)
        items = [*first, *inner(epoch, positions[chunk:])]
        if fits(items):
            try:
                return transformed(stage, [i for i in items if i is not None], slabs)
            except Exception as error:  # done again sample by sample, so that it is raised for the one that it is of
                item = gathered(stage, all_applied(stage.apply, items), slabs)
                only_together(stage.apply, error)
                return item
        return gathered(stage, all_applied(stage.apply, items), slabs)

    return make


def _of_columns(stage: plan.Batch, batch: Batch) -> Item:
    places = batch.places()
    item = Item(batch.at[0] if places is None else tuple(places[0].tolist()), batch, batch.size)
    return item.to(applied(stage.apply, item)) if isinstance(stage, BatchApply) else item


def gathered(stage: plan.Batch, made: Sequence[Item | None], slabs: Slabs | None = None) -> Item:
    """Items as one batch; its place is its first sample's."""
    items = [i for i in made if i is not None]
    with noted(stage, items[0]):
        value = _collated(stage, items, slabs)
    return Item(items[0].at, value, sum(i.count for i in items), sum((i.broken for i in items), ()))


def _collated(stage: plan.Batch, items: list[Item], slabs: Slabs | None) -> Any:
    values = [i.value for i in items]
    if stage.collate_fn is not None:
        return stage.collate_fn(values)
    if all(isinstance(v, tuple) for v in values):
        parts = collate([{str(n): part for n, part in enumerate(v)} for v in values])
        return tuple(parts.values())
    if not all(isinstance(v, Mapping) for v in values):
        raise PlanError(f"batch collates dict samples or tuples, got {type(values[0]).__name__}: give batch(..., collate_fn=...)")
    return collate(values, [i.at for i in items], slabs)


def _decode(stage: plan.Decode, inner: Make) -> Make:
    def make(epoch: int, positions: np.ndarray) -> list[Item | None]:
        return all_opened(stage, inner(epoch, positions))

    return _skipping(make, stage) if stage.on_error == "skip" else make


def _decode_apply(stage: DecodeApply, inner: Make) -> Make:
    if stage.on_error == "skip":
        # A substitute is keyed at the broken sample's own place, so it is decoded first and drawn for afterwards.
        whole, after = _decode(stage.decode, inner), plan.Apply(stage.source, stage.transform, stage.path, stage.seed)
        return lambda e, ps: all_applied(after, whole(e, ps))
    own = all(type(t).__module__.startswith("vdata.") for t in stage.transform.transforms)  # a user's transform may keep what it is given
    slabs = Slabs() if stage.collated and own else None
    return lambda e, ps: all_applied(stage, inner(e, ps), slabs)


def _skipping(make: Make, stage: plan.Stage) -> Make:
    """Replace a broken sample by the next good one of its lane, keyed at its own place; the item says so."""
    length, one = stage.extent, _one(make)

    def safe(epoch: int, positions: np.ndarray) -> list[Item | None]:
        try:
            return make(epoch, positions)
        except DataError:
            return [safe_one(epoch, p) for p in positions.tolist()]

    def safe_one(epoch: int, position: int) -> Item | None:
        try:
            return one(epoch, position)
        except DataError as error:
            broken = error
        for other in substitutes(position, int(length)) if length != math.inf else ():
            try:
                found = one(epoch, other)
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

