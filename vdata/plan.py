"""Every stage of a pipe, as frozen data. A plan is its last stage; each stage holds the one it draws from.

A stage knows, before anything runs: its length, its fields, whether it has an index, how it prints, and whether
it counts in the digest. How it runs is one `case` in `vdata.run`; its method is one in `vdata.pipe`.

Access is one of three:
    "dense"   an index: every position 0 .. length - 1 holds a sample
    "holes"   an index with holes (an unscanned filter): positions are known, survivors are not
    "stream"  an order of reading only
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np

from vdata.blend import Blend
from vdata.errors import PlanError
from vdata.field import Field
from vdata.order import Order
from vdata.source import Source, Stream, qualified_name

Fields = Mapping[str, Field] | None  # None: only a function knows
Length = int | float | None  # math.inf: endless; None: not known


@dataclass(frozen=True, eq=False)
class Stage:
    """One step. The defaults say "the same as my source": a stage overrides what it changes."""

    source: Any
    each: ClassVar[bool] = False  # one item in, one item out, whatever the item: a sample or a batch
    decoded: ClassVar[bool] = False  # reads pixels, so that decoding must happen beneath
    orders: ClassVar[bool] = True  # counts in the digest: changes which samples come, or in which order

    @property
    def name(self) -> str:
        """The verb: what `print` shows and paths count."""
        return type(self).__name__.lower()

    @property
    def access(self) -> str:
        return self.source.access

    @property
    def length(self) -> Length:
        return self.source.length

    @property
    def extent(self) -> int | float:
        """How many positions the index has: the length, or where there are holes, with the holes."""
        return self.source.extent if self.length is None else self.length

    @property
    def fields(self) -> Fields:
        return self.source.fields

    def blocks(self) -> np.ndarray:
        """int64 sizes of the contiguous blocks of positions that are cheap to read together."""
        return self.source.blocks() if self.each else np.array([self.extent], np.int64)

    def arguments(self) -> str:
        """What stands behind the verb in `print`, and in the digest."""
        return ""

    def loses_order(self) -> str:
        """Why the pipe is no longer elastic from here on, or ""."""
        return ""


# -- sources ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Read(Stage):
    """Samples of a `Source` (an index) or a `Stream` (an order of reading)."""

    source: Source | Stream
    each = True

    @property
    def access(self) -> str:
        return "dense" if isinstance(self.source, Source) else "stream"

    @property
    def length(self) -> Length:
        return len(self.source) if isinstance(self.source, Source) else None

    @property
    def fields(self) -> Fields:
        return self.source.fields or None

    def blocks(self) -> np.ndarray:
        return self.indexed().sizes

    def indexed(self) -> Source:
        """The source, which has an index here."""
        return cast(Source, self.source)

    def arguments(self) -> str:
        return self.source.name

    def loses_order(self) -> str:
        return "" if isinstance(self.source, Source) else f"{self.source.name} is a stream ({self.source.why})"


@dataclass(frozen=True, eq=False)
class Several(Stage):
    """A stage that draws from several pipes."""

    source: Any = field(default=None, init=False)
    sources: tuple[Stage, ...]

    @property
    def access(self) -> str:
        kinds = {s.access for s in self.sources}
        return "stream" if "stream" in kinds else "holes" if "holes" in kinds else "dense"

    def arguments(self) -> str:
        return f"{len(self.sources)} pipes"


def _common(fields: list[Field], parts: int) -> Field:
    """What holds of a field in all pipes: what they agree in; optional where some lack it."""
    first = fields[0]
    alike = {n: all(getattr(f, n) == getattr(first, n) for f in fields) for n in ("type", "dtype", "shape", "meta")}
    return Field(
        type=first.type if alike["type"] else "",
        dtype=first.dtype if alike["dtype"] else "",
        shape=first.shape if alike["shape"] else (),
        meta=first.meta if alike["meta"] else {},
        optional=len(fields) < parts or any(f.optional for f in fields),
    )


def _of_all(sources: tuple[Stage, ...]) -> Fields:
    """The fields of samples that come from any of these pipes."""
    known = [s.fields for s in sources]
    if None in known:
        return None
    parts = cast(list[Mapping[str, Field]], known)
    return {n: _common([p[n] for p in parts if n in p], len(parts)) for part in parts for n in part}


@dataclass(frozen=True, eq=False)
class Concat(Several):
    """One pipe after the other."""

    def __post_init__(self) -> None:
        if any(s.length == math.inf for s in self.sources[:-1]):
            raise PlanError("concat: what stands after an endless pipe is never reached: put .repeat() last, or .take(n) it")

    @property
    def length(self) -> Length:
        lengths = [s.length for s in self.sources]
        return None if None in lengths else sum(cast(list[int], lengths))

    @property
    def extent(self) -> int | float:
        return sum(s.extent for s in self.sources)

    @property
    def fields(self) -> Fields:
        return _of_all(self.sources)

    def blocks(self) -> np.ndarray:
        return np.concatenate([s.blocks() for s in self.sources])


@dataclass(frozen=True, eq=False)
class Mix(Several):
    """Samples of several pipes in turns that are as frequent as their weights. `weights`: (position, one weight a pipe), from 0 on."""

    weights: tuple[tuple[int, tuple[float, ...]], ...]
    stop: str = "first"
    seed: int = 0

    def __post_init__(self) -> None:
        _ = self.blend

    @property
    def access(self) -> str:
        return "dense" if all(s.access == "dense" for s in self.sources) else "stream"

    @cached_property
    def blend(self) -> Blend:
        """The arithmetic of this mix. Where a pipe's length is not known, the mix ends where the reader finds it does."""
        known = self.access == "dense"
        lengths = [cast(int, s.extent) if known else math.inf for s in self.sources]
        return Blend(lengths, dict(self.weights), self.stop if known else "never", self.seed)

    @property
    def length(self) -> Length:
        known = self.access == "dense" and all(s.length is not None for s in self.sources)
        return self.blend.length if known or self.stop == "never" else None

    @property
    def extent(self) -> int | float:
        return math.inf if self.length is None else self.length

    @property
    def fields(self) -> Fields:
        return _of_all(self.sources)

    def blocks(self) -> np.ndarray:
        return np.array([self.extent])

    def arguments(self) -> str:
        schedule = dict(self.weights)
        weights = list(schedule[0]) if len(schedule) == 1 else {p: list(w) for p, w in schedule.items()}
        return f"{len(self.sources)} pipes, weights={weights}, stop={self.stop!r}" + (f", seed={self.seed}" if self.seed else "")

    def loses_order(self) -> str:
        if self.access == "dense":
            return ""
        number = next(i for i, s in enumerate(self.sources) if s.access != "dense")
        return f"pipe {number} of the mix has no index with a sample at every position"


@dataclass(frozen=True, eq=False)
class Zip(Several):
    """Samples side by side: one dict with the fields of all."""

    def __post_init__(self) -> None:
        lengths = {s.length for s in self.sources if s.length is not None}
        if len(lengths) > 1:
            raise PlanError(f"zip needs pipes of one length, got {[s.length for s in self.sources]}: cut the longer ones with .take(n)")
        if any(isinstance(s, Decode) and s.on_error == "skip" for kid in self.sources for s in chain(kid)):
            raise PlanError(
                'zip: on_error="skip" inside one pipe would pair its substitute with another sample: write .decode(on_error="skip") after zip'
            )
        if any(s.access == "holes" for s in self.sources):
            raise PlanError("zip cannot pair a filtered pipe whose survivors are not known: use .filter(fn, scan=True) there")

    @property
    def length(self) -> Length:
        return self.sources[0].length

    @property
    def fields(self) -> Fields:
        parts = [s.fields for s in self.sources]
        return None if None in parts else {n: f for part in parts for n, f in cast(Mapping[str, Field], part).items()}

    def blocks(self) -> np.ndarray:
        return self.sources[0].blocks()


# -- one sample in, one sample out --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Map(Stage):
    """`fn` of each sample (or batch)."""

    fn: Callable[[Any], Any]
    each, decoded, orders = True, True, False

    @property
    def fields(self) -> Fields:
        return None

    def arguments(self) -> str:
        return qualified_name(self.fn)


@dataclass(frozen=True, eq=False)
class Apply(Stage):
    """Transforms, moving all fields together. `path` and `seed` are filled in by `bind`."""

    transform: Any
    path: str = ""
    seed: int = 0
    each, decoded, orders = True, True, False

    @property
    def fields(self) -> Fields:
        known = self.source.fields  # types stay; sizes and dtypes are the transforms' to change
        return None if known is None else {n: replace(f, shape=(), dtype="") for n, f in known.items()}

    def arguments(self) -> str:
        steps = getattr(self.transform, "transforms", None)
        return ", ".join(map(repr, steps)) if steps is not None else repr(self.transform)


@dataclass(frozen=True, eq=False)
class Decode(Stage):
    """Bytes become typed tensors. Written by a user it only sets options; the rewrite decides where it runs.

    mode      "RGB": pictures have three channels; "unchanged": as they lie (grey, alpha, 16 bit)
    on_error  "raise", or "skip": a broken sample is replaced by the next good one of its lane, and named
    keep      decode only to see whether it can be done, and hand on the bytes (what packing does)
    scale     None, or "auto": of a JPEG that a first transform makes much smaller, only every second, fourth or eighth pixel
    """

    mode: str = "RGB"
    on_error: str = "raise"
    keep: bool = False
    scale: str | None = None
    each, orders = True, False

    def arguments(self) -> str:
        return ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self)[1:] if getattr(self, f.name) != f.default)


def _require(verb: str, known: Fields, names: list[str]) -> None:
    """Raise where a field is named that is known not to be there."""
    missing = [] if known is None else [n for n in names if n not in known]
    if missing:
        raise PlanError(f"{verb}: no field {', '.join(map(repr, missing))}; there are {', '.join(sorted(known or ()))}")


@dataclass(frozen=True, eq=False)
class Select(Stage):
    """Only these fields (and the key)."""

    keys: tuple[str, ...]
    each, orders = True, False

    def __post_init__(self) -> None:
        _require(self.name, self.source.fields, [k for k in self.keys if k != "__key__"])

    @property
    def fields(self) -> Fields:
        known = self.source.fields
        return None if known is None else {k: known[k] for k in self.keys if k in known}

    def arguments(self) -> str:
        return ", ".join(self.keys)


@dataclass(frozen=True, eq=False)
class Rename(Stage):
    """New names for fields; flows and frames follow."""

    names: tuple[tuple[str, str], ...]  # (old, new)
    each, orders = True, False

    def __post_init__(self) -> None:
        _require(self.name, self.source.fields, [old for old, _ in self.names])
        olds, known = [old for old, _ in self.names], self.source.fields or {}
        twice = sorted({old for old in olds if olds.count(old) > 1})
        if twice:
            raise PlanError(f"rename: {', '.join(twice)} gets two names; a copy is a .map(fn)")
        taken = [new for _, new in self.names if new in known and new not in olds]
        if taken:
            raise PlanError(f"rename: {', '.join(taken)} is already a field: rename it too, or .select() the others first")

    @property
    def fields(self) -> Fields:
        known: Fields = self.source.fields
        new = dict(self.names)
        return None if known is None else {new.get(n, n): f for n, f in known.items()}

    def arguments(self) -> str:
        return ", ".join(f"{new}={old}" for old, new in self.names)


@dataclass(frozen=True, eq=False)
class ToTuple(Stage):
    """A plain tuple of these fields."""

    keys: tuple[str, ...]
    each, orders = True, False
    name = "to_tuple"  # type: ignore[assignment]
    __post_init__ = Select.__post_init__
    fields = property(lambda self: None)
    arguments = Select.arguments


@dataclass(frozen=True, eq=False)
class Cache(Stage):
    """Decoded samples kept in memory after their first use, up to `limit` bytes. The store goes with the stage."""

    limit: int | None = None
    store: Any = None
    each, decoded, orders = True, True, False

    def __post_init__(self) -> None:
        for stage in chain(self.source):
            if isinstance(stage, Shuffle):
                raise PlanError("cache after shuffle would keep nothing for the next epoch: put .cache() before .shuffle()")
            if isinstance(stage, Apply) and stage.transform.random:
                raise PlanError(f"cache after {stage.arguments()} would freeze its random draws: put .cache() before it")

    def arguments(self) -> str:
        return "" if self.limit is None else f"limit={self.limit}"


@dataclass(frozen=True, eq=False)
class Seed(Stage):
    """The seed of this pipe's transforms: one for the whole chain, the last call wins."""

    seed: int
    each, orders = True, False

    def arguments(self) -> str:
        return str(self.seed)


@dataclass(frozen=True, eq=False)
class Enumerate(Stage):
    """(number, sample)."""

    start: int = 0

    @property
    def access(self) -> str:
        return "stream" if self.source.access == "holes" else self.source.access

    @property
    def fields(self) -> Fields:
        return None

    def arguments(self) -> str:
        return str(self.start) if self.start else ""


# -- which samples, in which order ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Shuffle(Stage):
    """Another order each epoch: a keyed bijection over an index, a buffer over a stream."""

    seed: int = 0
    window: int | str | None = None
    buffer_size: int | None = None

    def __post_init__(self) -> None:
        if (self.buffer_size is None or self.source.access != "stream") and any(isinstance(s, Mix) for s in line(self.source)):
            raise PlanError("shuffle: a mix is in an order of its own, by its weights: shuffle each of its pipes, as in vdata.mix([a.shuffle(), b.shuffle()])")
        if self.source.access == "stream" and self.buffer_size is None:
            why = next((w for s in chain(self.source) if (w := s.loses_order())), "the pipe is a stream")
            raise PlanError(f"shuffle: {why}, so it can only be shuffled through a buffer: .shuffle(seed={self.seed}, buffer_size=1000)")
        if self.source.access != "stream" and self.buffer_size is not None:
            raise PlanError(f"shuffle: this pipe has an index and is shuffled whole, without a buffer: write .shuffle(seed={self.seed})")
        if self.source.access != "stream" and self.source.length == math.inf:
            raise PlanError("shuffle after an endless repeat has no end to shuffle to: write .shuffle(...).repeat()")
        if self.window not in (None, "all") and not (isinstance(self.window, int) and self.window > 0):
            raise PlanError(f'shuffle: window is None, "all" or a number of samples, got {self.window!r}')

    def order(self) -> Order:
        """The arithmetic of this shuffle."""
        return Order(self.source.blocks(), self.seed, self.window)

    def arguments(self) -> str:
        extra = f", window={self.window!r}" if self.window is not None else ""
        return f"seed={self.seed}{extra}" + (f", buffer_size={self.buffer_size}" if self.buffer_size else "")


@dataclass(frozen=True, eq=False)
class Repeat(Stage):
    """The pipe n times over, or for ever; pass k of epoch e is the source's epoch e + k."""

    n: int | None = None

    @property
    def length(self) -> Length:
        inner = self.source.length
        return math.inf if self.n is None else None if inner is None else inner * self.n

    @property
    def extent(self) -> int | float:
        return math.inf if self.n is None else self.source.extent * self.n

    def blocks(self) -> np.ndarray:
        return np.tile(self.source.blocks(), cast(int, self.n))

    def arguments(self) -> str:
        return "" if self.n is None else str(self.n)


@dataclass(frozen=True, eq=False)
class Take(Stage):
    """The first n."""

    n: int

    @property
    def access(self) -> str:
        return "stream" if self.source.access == "holes" else self.source.access

    @property
    def length(self) -> Length:
        inner = self.source.length
        return None if inner is None else min(self.n, inner)

    def blocks(self) -> np.ndarray:
        if self.source.extent == math.inf:
            return np.array([self.extent], np.int64)
        return np.diff(np.unique(np.minimum(np.concatenate([[0], np.cumsum(self.source.blocks())]), self.n)))

    def arguments(self) -> str:
        return str(self.n)


@dataclass(frozen=True, eq=False)
class Skip(Take):
    """All but the first n."""

    @property
    def length(self) -> Length:
        inner = self.source.length
        return None if inner is None else max(0, inner - self.n)

    def blocks(self) -> np.ndarray:
        return np.diff(np.unique(np.maximum(np.concatenate([[0], np.cumsum(self.source.blocks())]), self.n)))


@dataclass(frozen=True, eq=False)
class Shard(Stage):
    """Every num_shards-th sample, from `index` on."""

    num_shards: int
    index: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.num_shards:
            raise PlanError(f"shard({self.num_shards}, {self.index}): index must be in 0..{self.num_shards - 1}")

    @property
    def length(self) -> Length:
        inner = self.source.length
        return inner if inner is None or inner == math.inf else len(range(self.index, int(inner), self.num_shards))

    @property
    def extent(self) -> int | float:
        inner = self.source.extent
        return inner if inner == math.inf else len(range(self.index, int(inner), self.num_shards))

    def arguments(self) -> str:
        return f"{self.num_shards}, {self.index}"


def remedy(stage: Stage) -> str:
    """What gives the stream under a stage an index, as the end of a sentence; "" where there is no stream."""
    whys = [s.source.why for s in chain(stage) if isinstance(s, Read) and isinstance(s.source, Stream)]
    return f" ({whys[0]})" if whys else ""


@dataclass(frozen=True, eq=False)
class Filter(Stage):
    """Samples for which `fn` holds, or whose columns satisfy `where`."""

    fn: Callable[[Any], bool] | None = None
    where: Any = None
    scan: bool = False
    each = True

    def __post_init__(self) -> None:
        if (self.fn is None) == (self.where is None):
            raise PlanError("filter takes a function of the sample, or where=... on columns of the index: one of them")
        if (self.where is not None or self.scan) and self.source.access != "dense":
            raise PlanError(
                "filter(where=...) and filter(fn, scan=True) need an index with a sample at every position: put them before "
                "the plain filter (or give that one scan=True) and before any stage that makes a stream" + remedy(self.source)
            )
        if self.where is not None or self.scan:
            for stage in chain(self.source):
                if not isinstance(stage, (Read, Map, Apply, Decode, Select, Rename, Seed, Filter, Take, Skip, Shard, Concat, Zip, Pick)):
                    raise PlanError(f"an indexed filter stands before .{stage.name}(): move the filter up to the source")
                if isinstance(stage, Apply) and stage.transform.random and self.scan:
                    raise PlanError(f"a scan after {stage.arguments()} would judge one random draw for ever: filter before it")

    @property
    def decoded(self) -> bool:  # type: ignore[override]
        return self.fn is not None

    @property
    def access(self) -> str:
        inner = self.source.access
        return inner if inner != "dense" else "dense" if self.where is not None or self.scan else "holes"

    @property
    def length(self) -> Length:
        return None

    def arguments(self) -> str:
        what = qualified_name(self.fn) if self.fn is not None else f"where={self.where if isinstance(self.where, Mapping) else qualified_name(self.where)}"
        return what + (", scan=True" if self.scan else "")

    def loses_order(self) -> str:
        if self.access == "dense":
            return ""
        return f"filter({qualified_name(self.fn)}) keeps an unknown number of samples: .filter(fn, scan=True) looks once and keeps an index"


@dataclass(frozen=True, eq=False)
class Pick(Stage):
    """Positions of the source, by number: what an indexed filter becomes. Samples keep the place they had."""

    positions: np.ndarray
    orders = False

    @property
    def length(self) -> Length:
        return len(self.positions)

    def blocks(self) -> np.ndarray:
        edges = np.searchsorted(self.positions, np.cumsum(self.source.blocks()))
        return np.diff(np.concatenate([[0], edges]))

    def arguments(self) -> str:
        return f"{len(self.positions)} of {self.source.length}"


@dataclass(frozen=True, eq=False)
class Deal(Stage):
    """Rank's share of the positions from `start` on: p with p % world == rank. Put in by the Loader."""

    rank: int
    world: int
    uneven: str = "drop"
    start: int = 0
    orders = False

    @property
    def length(self) -> Length:
        inner = self.source.length
        if inner is None or inner == math.inf:
            return inner
        left = max(0, int(inner) - self.start)
        if self.uneven == "exact":
            return len(range(self.first, int(inner), self.world))
        return left // self.world if self.uneven == "drop" else -(-left // self.world)

    @property
    def extent(self) -> int | float:
        inner = self.source.extent
        if self.length is not None or inner == math.inf:
            return inner if self.length is None else self.length
        return len(range(self.first, int(inner), self.world))

    @property
    def first(self) -> int:
        """This rank's first position at or after `start`."""
        return self.start + (self.rank - self.start) % self.world

    def arguments(self) -> str:
        return f"rank {self.rank} of {self.world}, {self.uneven}" + (f", from {self.start}" if self.start else "")


# -- other numbers of items out than in ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Batch(Stage):
    """`size` samples as one `vdata.Batch`."""

    size: int
    drop_last: bool = False
    collate_fn: Callable[[list[Any]], Any] | None = None
    decoded, orders = True, False

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise PlanError(f"batch: size must be a positive int, got {self.size!r}")

    @property
    def access(self) -> str:
        return "stream" if self.source.access == "holes" else self.source.access

    @property
    def length(self) -> Length:
        inner = self.source.length
        if inner is None or inner == math.inf:
            return inner
        return inner // self.size if self.drop_last else -(-inner // self.size)

    @property
    def fields(self) -> Fields:
        known = self.source.fields
        if known is None or self.collate_fn is not None:
            return None
        return {n: replace(f, shape=_stacked(f, self.size)) for n, f in known.items()}

    def arguments(self) -> str:
        more = ", drop_last" if self.drop_last else ""
        return f"{self.size}{more}" + (f", collate_fn={qualified_name(self.collate_fn)}" if self.collate_fn else "")


def _stacked(known: Field, size: int) -> tuple[int | str, ...]:
    """The shape of a field in a batch: not known where sizes vary, for then it may be Ragged, as lists of objects are."""
    objects = known.type in ("BoundingBoxes", "KeyPoints") or known.meta.get("kind") == "instance"
    varies = not known.shape or any(isinstance(side, str) for side in known.shape)
    return () if objects or varies else (size, *known.shape)


@dataclass(frozen=True, eq=False)
class FlatMap(Stage):
    """Any number of samples for each one: `fn` returns an iterable."""

    fn: Callable[[Any], Any]
    decoded = True
    name = "flat_map"  # type: ignore[assignment]
    access = property(lambda self: "stream")
    length = property(lambda self: None)
    fields = property(lambda self: None)

    def arguments(self) -> str:
        return qualified_name(self.fn)

    def loses_order(self) -> str:
        return f"{self.name}({self.arguments()}) makes an unknown number of samples"


@dataclass(frozen=True, eq=False)
class Unbatch(Stage):
    """The samples of each batch, one by one."""

    access = property(lambda self: "stream")
    length = property(lambda self: None)

    @property
    def fields(self) -> Fields:
        known = self.source.fields
        return None if known is None else {n: replace(f, shape=f.shape[1:]) for n, f in known.items()}

    def loses_order(self) -> str:
        return "unbatch makes samples of batches whose sizes are not known"


# -- walking -------------------------------------------------------------------------------------------------------------


def chain(stage: Stage) -> Iterator[Stage]:
    """Every stage of a plan, from its source up; the pipes of a `Several` before it."""
    for child in children(stage):
        yield from chain(child)
    yield stage


def children(stage: Stage) -> tuple[Stage, ...]:
    """The stages that this one draws from."""
    if isinstance(stage, Several):
        return stage.sources
    return (stage.source,) if isinstance(stage.source, Stage) else ()


def line(stage: Stage) -> Iterator[Stage]:
    """The stages of one pipe from the top down, not entering the pipes of a `Several`."""
    while isinstance(stage, Stage):
        yield stage
        stage = stage.source
