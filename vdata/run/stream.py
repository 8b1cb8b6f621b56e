"""The part of a plan without an index: an ordered fold over items.

`follow(stage, ...)` yields (item, cursor). A cursor is JSON (nested lists of integers): giving it back starts
just after that item, without reading what came before it. Beneath the first stage that is not one-to-one the
plan is compiled and run by the engine; here is only what must see the items one after the other.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

from vdata import plan
from vdata.batch import Batch
from vdata.errors import DataError, PlanError
from vdata.key import Key
from vdata.meter import spent
from vdata.rewrite import DecodeApply
from vdata.run.each import Item, each, keeps, noted, substitution
from vdata.run.make import gathered, merge
from vdata.run.ring import Feed, Inline, Step
from vdata.source import Stream

Cursor = Any  # None at the start; else nested lists of integers


def follow(stage: plan.Stage, engine: Inline, epoch: int, cursor: Cursor) -> Feed:
    """Items of one epoch after `cursor`."""
    if stage.access != "stream":
        return ((item, p + 1) for p, item in engine.run(stage, epoch, cursor or 0))
    if (step := _step(stage, engine)) is not None:
        steps = [step]
        while (below := _step(stage.source, engine)) is not None:
            steps.insert(0, below)
            stage = stage.source
        return engine.spread(_in_turn(steps), follow(stage.source, engine, epoch, cursor))
    match stage:
        case plan.Read(Stream() as source):
            start = cursor or 0
            return ((Item((epoch, n), s), n + 1) for n, s in enumerate(source.read_from(start), start))
        case plan.Filter(source):
            return _filter(stage, follow(source, engine, epoch, cursor))
        case plan.FlatMap() | plan.Unbatch():
            return _flat(stage, engine, epoch, cursor)
        case plan.Batch() if type(stage) is plan.Batch:  # one that does more than batch is for plans with an index
            return _batches(stage, follow(stage.source, engine, epoch, cursor))
        case plan.Enumerate(source, start):
            inner, count = cursor or (None, 0)
            feed = enumerate(follow(source, engine, epoch, inner), count)
            return ((item.to((start + n, item.value)), [after, n + 1]) for n, (item, after) in feed)
        case plan.Skip(source, n):
            return _skip(n, follow(source, engine, epoch, cursor), 0 if cursor is None else n)
        case plan.Take(source, n):
            inner, count = cursor or (None, 0)
            return _take(n, count, lambda: follow(source, engine, epoch, inner))
        case plan.Shard(source, num_shards, index):
            return _share(index, num_shards, cursor, lambda c: follow(source, engine, epoch, c))
        case plan.Deal(source, rank, world, uneven):
            deal = {"drop": _whole_rounds, "exact": _share}.get(uneven)
            if deal is None:
                raise PlanError(f'uneven={uneven!r} needs an index; over a stream ranks can only be dealt by "drop" or "exact"')
            return deal(rank, world, cursor, lambda c: follow(source, engine, epoch, c))
        case plan.Repeat(source, n):
            return _repeat(source, n, engine, epoch, cursor)
        case plan.Concat(sources):
            return _concat(sources, engine, epoch, cursor)
        case plan.Zip(sources):
            return _zip(sources, engine, epoch, cursor)
        case plan.Mix():
            return _mix(stage, engine, epoch, cursor)
        case plan.Shuffle():
            return _shuffle(stage, engine, epoch, cursor)
        case plan.Cache():
            raise PlanError("cache needs an index; this pipe is a stream: put .cache() before the stage that made it one" + plan.remedy(stage))
    raise PlanError(f".{stage.name}() does not run over a stream")  # a stage without a case here


def _step(stage: plan.Stage, engine: Inline) -> Step | None:
    """What a one-to-one stage does to an item of a stream; None for other stages, which must see the items in turn."""
    if stage.access != "stream" or isinstance(stage, plan.Enumerate) or (change := each(stage)) is None:
        return None
    name = stage.name

    def measured(item: Item) -> Item:
        with spent(name):
            return change(item, -1)

    if not isinstance(stage, plan.Decode | DecodeApply) or stage.on_error == "raise":
        return measured

    def without_broken(item: Item) -> Item | None:
        """A stream goes on without its broken samples; each is named in `stats`."""
        try:
            return measured(item)
        except DataError as error:
            engine.left_out.append(substitution(error, item.at[0], item.at[1], None))
            return None

    return without_broken


def _in_turn(steps: list[Step]) -> Step:
    def all_steps(item: Item) -> Item | None:
        result: Item | None = item
        for step in steps:
            result = None if result is None else step(result)
        return result

    return all_steps


def _filter(stage: plan.Filter, feed: Feed) -> Feed:
    if stage.fn is None or stage.scan:
        raise PlanError("filter(where=..., scan=True) needs an index; this pipe is a stream: filter before the stage that made it one")
    for item, after in feed:
        if keeps(stage, stage.fn, item):
            yield item, after


def _flat(stage: plan.Stage, engine: Inline, epoch: int, cursor: Cursor) -> Feed:
    before, done = cursor or (None, 0)
    for item, after in follow(stage.source, engine, epoch, before):
        for k, part in enumerate(_parts(stage, item)):
            if k >= done:
                yield Item((*item.at, k), part, broken=item.broken if k == 0 else ()), [before, k + 1]
        before, done = after, 0


def _parts(stage: plan.Stage, item: Item) -> Iterator[Any]:
    if isinstance(stage, plan.FlatMap):
        with noted(stage, item):
            parts = iter(stage.fn(item.value))
        while True:
            with noted(stage, item):
                part = next(parts, _END)
            if part is _END:
                return
            yield part
    if not isinstance(item.value, Batch):
        what = type(item.value).__name__
        raise PlanError(f"unbatch opens a Batch, got {what}: a map or collate_fn before it made something else")
    yield from item.value.samples()


_END = object()


def _batches(stage: plan.Batch, feed: Feed) -> Feed:
    held: list[Item] = []
    last: Cursor = None
    for item, last in feed:  # the cursor after the last one taken in is the batch's
        held.append(item)
        if len(held) == stage.size:
            yield gathered(stage, held), last
            held = []
    if held and not stage.drop_last:
        yield gathered(stage, held), last


def _skip(n: int, feed: Feed, done: int) -> Feed:
    for item, after in feed:
        if done < n:
            done += 1
        else:
            yield item, after


def _take(n: int, count: int, start: Any) -> Feed:
    if count >= n:
        return
    for item, after in start():
        count += 1
        yield item, [after, count]
        if count >= n:
            return


def _share(index: int, of: int, cursor: Cursor, start: Any) -> Feed:
    inner, number = cursor or (None, 0)
    for item, after in start(inner):
        number += 1
        if (number - 1) % of == index:
            yield item, [after, number]


def _whole_rounds(rank: int, world: int, cursor: Cursor, start: Any) -> Feed:
    """This rank's item of every round that all ranks have one of: the stream's last, incomplete round is dropped."""
    inner, number = cursor or (None, 0)
    own: Item | None = None
    for item, after in start(inner):
        if number % world == rank:
            own = item
        number += 1
        if number % world == 0 and own is not None:
            yield own, [after, number]


def _repeat(source: plan.Stage, n: int | None, engine: Inline, epoch: int, cursor: Cursor) -> Feed:
    turn, inner = cursor or (0, None)
    while turn < (math.inf if n is None else n):
        empty = inner is None
        for item, after in follow(source, engine, epoch + turn, inner):
            empty = False
            yield item, [turn, after]
        if empty and n is None:
            raise PlanError("repeat: the pipe beneath is empty, so this would never end")
        turn, inner = turn + 1, None


def _concat(sources: tuple[plan.Stage, ...], engine: Inline, epoch: int, cursor: Cursor) -> Feed:
    child, inner = cursor or (0, None)
    for number in range(child, len(sources)):
        for item, after in follow(sources[number], engine, epoch, inner):
            yield item._replace(at=(epoch, number, *item.at[1:])), [number, after]
        inner = None


def _zip(sources: tuple[plan.Stage, ...], engine: Inline, epoch: int, cursor: Cursor) -> Feed:
    feeds = [follow(s, engine, epoch, c) for s, c in zip(sources, cursor or [None] * len(sources), strict=True)]
    while True:
        row = [next(f, None) for f in feeds]
        if all(r is None for r in row):
            return
        if any(r is None for r in row):
            ended = [i for i, r in enumerate(row) if r is None]
            raise PlanError(f"zip: pipe {ended[0]} ended before the others: cut the longer ones with .take(n)")
        pairs = [r for r in row if r is not None]
        yield merge(pairs[0][0].at, [item for item, _ in pairs]), [after for _, after in pairs]


def _mix(stage: plan.Mix, engine: Inline, epoch: int, cursor: Cursor) -> Feed:
    """Turns by the weights; a pipe that ends begins anew, as its next epoch, until the mix stops.

    That a pipe has ended is seen when it is asked for more than it has.
    """
    blend = stage.blend
    first = [epoch * each for each in blend.passes]
    position, passes, inner = cursor or (0, [0] * len(stage.sources), [None] * len(stage.sources))
    passes, inner = list(passes), list(inner)
    feeds = [follow(s, engine, e + n, c) for s, e, n, c in zip(stage.sources, first, passes, inner, strict=True)]
    while True:
        child = blend.pick(epoch, position)[0]
        found = next(feeds[child], None)
        if found is None:
            if inner[child] is None:
                raise PlanError(f"mix: pipe {child} is empty")
            if stage.stop == "first":
                return
            passes[child], inner[child] = passes[child] + 1, None
            if stage.stop == "all" and all(passes):
                return
            feeds[child] = follow(stage.sources[child], engine, first[child] + passes[child], None)
            continue
        item, inner[child] = found
        position += 1
        yield item._replace(at=(epoch, child, *item.at)), [position, list(passes), copy.deepcopy(inner)]


def _shuffle(stage: plan.Shuffle, engine: Inline, epoch: int, cursor: Cursor) -> Feed:
    """A buffer, drawn from by key. Its cursor is how many were handed out: a resume fills the buffer again from the start."""
    assert stage.buffer_size is not None
    key = Key.of("shuffle", stage.seed, epoch)
    feed = follow(stage.source, engine, epoch, None)
    held: list[Item] = []
    number = 0
    for item, _ in feed:
        held.append(item)
        if len(held) > stage.buffer_size:
            pick = _pick(held, key, number)
            number += 1
            if number > (cursor or 0):
                yield pick, number
    while held:
        pick = _pick(held, key, number)
        number += 1
        if number > (cursor or 0):
            yield pick, number


def _pick(held: list[Item], key: Key, number: int) -> Item:
    i = int(key.fold(number).integers(0, len(held))[0])
    held[i], held[-1] = held[-1], held[i]
    return held.pop()
