"""Plan -> plan, before anything runs. Each rule gives what the plain plan gives, bit for bit.

    fill_in_filters    an indexed filter becomes the list of positions it keeps
    place_decode       bytes are decoded beneath the first stage that reads pixels, or at the end
    sink_deal          a rank's share is taken before its samples are made, not after
    fuse_decode_crop   a decode under a transform that needs only a window decodes only that window
    hold_floats_back   pictures stay bytes until they are in the batch, where they become floats once
    hand_to_batch      pictures lie in memory as it is best for the batch that they are written into
    batch_first        small pictures of one size are transformed as a batch, with a key each
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vdata.errors import PlanError
from vdata.plan import (
    Apply,
    Batch,
    Cache,
    Concat,
    Deal,
    Decode,
    Filter,
    Map,
    Pick,
    Read,
    Rename,
    Seed,
    Select,
    Several,
    Shard,
    Skip,
    Stage,
    Take,
    Zip,
    chain,
    children,
)  # fmt: skip
from vdata.survey import bind, rebuild, transform
from vdata.transforms._floats import split_floats


@dataclass(frozen=True, eq=False)
class DecodeApply(Apply):
    """A decode and the transforms over it, run as one: the first transform's window is all that is decoded."""

    decode: Any = None  # the Decode
    collated: bool = False  # its pictures go into a batch at once: they may lie as the decoder left them, or where the batch will
    decoded = False

    @property
    def on_error(self) -> str:
        return self.decode.on_error

    def arguments(self) -> str:
        options = self.decode.arguments()
        return (f"{options}; " if options else "") + super().arguments()

    name = "decode+apply"  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class ToFloats(Map):
    """The end of the transforms beneath a batch, done to the batch: `fn` is a Floats."""

    name = "floats"  # type: ignore[assignment]

    def arguments(self) -> str:
        return ", ".join(repr(step) for step in (self.fn.to_dtype, self.fn.normalize) if step is not None)  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class BatchApply(Batch):
    """A batch of what `apply` makes of samples: where these are small and alike it is applied to the batch."""

    apply: Any = None  # the Apply, over the same source
    name = "apply+batch"  # type: ignore[assignment]

    def arguments(self) -> str:
        return f"{self.apply.arguments()}; {super().arguments()}"


# scan(filter as written, its source as it runs) -> positions that it keeps
Scan = Callable[[Filter, Stage], np.ndarray]


def optimise(plan: Stage, scan: Scan, *, decode: bool = True, fuse: bool = True) -> Stage:
    """The plan as it will run. With `decode=False` what no stage needs decoded stays as bytes."""
    placed, pending = place_decode(bind(fill_in_filters(plan, scan)))
    if pending is not None and (decode or pending.on_error == "skip"):
        placed = replace(pending, source=placed, keep=not decode)
    for rule in (sink_deal, hold_floats_back, fuse_decode_crop, hand_to_batch, batch_first) if fuse else ():
        placed = transform(placed, rule)
    return placed


def fill_in_filters(stage: Stage, scan: Scan) -> Stage:
    """An indexed filter becomes a Pick."""
    new = rebuild(stage, {id(kid): fill_in_filters(kid, scan) for kid in children(stage)})
    if not isinstance(new, Filter) or not isinstance(stage, Filter) or new.access != "dense":
        return new
    return Pick(new.source, scan(stage, new.source) if new.where is None else np.flatnonzero(_satisfied(new)))


def _satisfied(stage: Filter) -> np.ndarray:
    columns = columns_of(stage.source)
    if callable(stage.where):
        keep = np.asarray(stage.where(_Asked(columns)))
    elif isinstance(stage.where, Mapping):
        unknown = sorted(set(stage.where) - set(columns))
        if unknown:
            raise PlanError(f"filter(where=...): no column {unknown}; the index has {sorted(columns) or 'none'}")
        keep = np.ones(int(stage.source.length or 0), bool)
        for name, wanted in stage.where.items():
            values = list(wanted) if isinstance(wanted, (list, tuple, set, frozenset, range)) else [wanted]
            words = [v for v in values if isinstance(v, str)]
            if words and columns[name].dtype.kind != "U":
                raise PlanError(f"filter(where=...): the column {name!r} holds numbers, got {words[0]!r}; of a Label write the class's number")
            keep &= np.isin(columns[name], values)
    else:
        raise PlanError(f"filter(where=...) is a dict of column values or a function of the columns, got {type(stage.where).__name__}")
    if keep.dtype != bool or keep.shape != (stage.source.length,):
        raise PlanError(f"filter(where=fn) must return {stage.source.length} booleans, got {keep.dtype} of shape {list(keep.shape)}")
    return keep


class _Asked(Mapping[str, np.ndarray]):
    """Columns as a function of the user's gets them: one that is not there is named, with those that are."""

    def __init__(self, columns: Mapping[str, np.ndarray]):
        self._columns = columns

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._columns:
            raise PlanError(f"filter(where=fn): no column {name!r}; the index has {', '.join(sorted(self)) or 'none'}")
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def columns_of(stage: Stage) -> Mapping[str, np.ndarray]:
    """The scalar columns of the index under a stage, in the order of its positions."""
    match stage:
        case Read(source):
            return getattr(source, "columns", {})
        case Map() | Apply() | Decode() | Select() | Seed() | Cache():
            return columns_of(stage.source)
        case Rename(source, names):
            new = dict(names)
            return {new.get(n, n): c for n, c in columns_of(source).items()}
        case Skip(source, n):
            return {name: c[n:] for name, c in columns_of(source).items()}
        case Take(source, n):
            return {name: c[:n] for name, c in columns_of(source).items()}
        case Shard(source, num_shards, index):
            return {name: c[index::num_shards] for name, c in columns_of(source).items()}
        case Concat(sources):
            parts = [columns_of(s) for s in sources]
            return {n: np.concatenate([p[n] for p in parts]) for n in parts[0] if all(n in p for p in parts)}
        case Zip(sources):
            return {n: c for s in sources for n, c in columns_of(s).items()}
        case Pick(source, positions):
            return {name: c[positions] for name, c in columns_of(source).items()}
    return {}


def place_decode(stage: Stage) -> tuple[Stage, Decode | None]:
    """Move decoding to where it is first needed, with the options that the user wrote.

    Returns the plan, and the decode that is still to be placed above it (None: it was placed).
    """
    if isinstance(stage, Several):
        # Each pipe keeps its own options, so a decode that was written or needed inside is placed inside.
        return replace(stage, sources=tuple(_with_own_decode(s) for s in stage.sources)), Decode(None)
    if not children(stage):
        return stage, Decode(None)
    below, pending = place_decode(stage.source)
    if isinstance(stage, Decode):
        return (below, stage) if pending is not None else (replace(stage, source=below), None)
    # Beneath a Deal too: a substitute is looked for among the positions of the whole set, not of one rank.
    if pending is not None and (stage.decoded or (isinstance(stage, Deal) and stage.access != "stream")):
        below, pending = replace(pending, source=below), None
    return rebuild(stage, {id(stage.source): below}), pending


def _with_own_decode(stage: Stage) -> Stage:
    placed, pending = place_decode(stage)
    written = pending is not None and any(isinstance(s, Decode) for s in chain(stage))
    return replace(pending, source=placed) if written and pending is not None else placed


def sink_deal(stage: Stage) -> Stage:
    """A rank's share is taken beneath what is done to each sample by its own place: the rules see a batch over that, as of one rank."""
    if not isinstance(stage, Deal) or stage.access != "dense":
        return stage
    above, below = list[Stage](), stage.source
    while _by_place(below):
        above.append(below)
        below = below.source
    while above and isinstance(below, Decode):  # "skip" looks among all positions, and is fused with what stands over it
        below = above.pop()
    below = replace(stage, source=below)
    for step in reversed(above):
        below = replace(step, source=below)
    return below


def _by_place(stage: Stage) -> bool:
    if isinstance(stage, Decode):
        return stage.on_error == "raise"
    return type(stage) in (Map, Select, Rename) or (type(stage) is Apply and "partners" not in stage.transform.needs)


def fuse_decode_crop(stage: Stage) -> Stage:
    """Decode, then a transform that reads only a window of the canvas, or resizes: one step that decodes only the window, and
    resizes pixels as the decoder left them."""
    if type(stage) is not Apply or not isinstance(stage.source, Decode):
        return stage
    decode = stage.source
    if not (stage.transform.windowed or stage.transform.reduced):
        return stage
    return DecodeApply(decode.source, stage.transform, stage.path, stage.seed, decode)


def hold_floats_back(stage: Stage) -> Stage:
    """[..., ToDtype(float32), Normalize] at the end of what is done to samples or to their batch: done to the batch, last."""
    if isinstance(stage, Batch) and type(stage.source) is Apply and stage.collate_fn is None:
        if (parts := split_floats(stage.source.transform)) is not None:
            return ToFloats(replace(stage, source=replace(stage.source, transform=parts[0])), parts[1])
    elif type(stage) is Apply and isinstance(stage.source, Batch) and stage.source.collate_fn is None:
        if (parts := split_floats(stage.transform)) is not None:
            return ToFloats(replace(stage, transform=parts[0]), parts[1])
    return stage


def hand_to_batch(stage: Stage) -> Stage:
    """A batch of pictures that are only moved about after their windows: how they lie until then is nobody's concern."""
    if type(stage) is not Batch or not isinstance(stage.source, DecodeApply) or stage.collate_fn is not None:
        return stage
    below = stage.source
    return replace(stage, source=replace(below, collated=True)) if all(t.exact for t in below.transform.transforms[1:]) else stage


def behind_copy(stage: Stage, which: str) -> tuple[Stage, tuple[Stage, ...]]:
    """What is done to whole batches at the end of a plan, taken off it to be done on a device, the lowest first.

    which  "floats": the conversion to floats and the normalisation; "batch": every transform after `.batch` too; "none"
    """
    moved: list[Stage] = []
    kinds = {"floats": (ToFloats,), "batch": (ToFloats, Apply), "none": ()}[which]
    while isinstance(stage, kinds) and any(isinstance(s, Batch) for s in chain(stage.source)):
        moved.insert(0, stage)
        stage = stage.source
    return stage, tuple(moved)


def batch_first(stage: Stage) -> Stage:
    """A batch of samples under transforms that give each sample in a batch exactly what it gets alone."""
    if type(stage) is not Batch or not isinstance(stage.source, Apply) or stage.collate_fn is not None or stage.access != "dense":
        return stage  # a stream's samples are made one by one
    below = stage.source
    if not below.transform.exact or below.transform.passthrough or (isinstance(below, DecodeApply) and below.on_error == "skip"):
        return stage
    return BatchApply(below.source, stage.size, stage.drop_last, apply=below)
