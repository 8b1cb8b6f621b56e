"""Plan -> plan, before anything runs. Each rule gives what the plain plan gives, bit for bit.

    fill_in_filters    an indexed filter becomes the list of positions it keeps
    place_decode       bytes are decoded beneath the first stage that reads pixels, or at the end
    fuse_decode_crop   a decode under a transform that needs only a window decodes only that window
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from vdata.errors import PlanError
from vdata.plan import (
    Apply,
    Cache,
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
    chain,
    children,
)  # fmt: skip
from vdata.survey import bind, rebuild, transform


@dataclass(frozen=True, eq=False)
class DecodeApply(Apply):
    """A decode and the transforms over it, run as one: the first transform's window is all that is decoded."""

    decode: Decode | None = None
    decoded = False
    name = "decode+apply"  # type: ignore[assignment]


def optimise(plan: Stage, scan: Callable[[Filter], np.ndarray], *, decode: bool = True, fuse: bool = True) -> Stage:
    """The plan as it will run. `scan(filter)` finds the positions that a scanning filter keeps."""
    plan = transform(bind(plan), lambda s: fill_in(s, scan))
    plan = place_decode(plan) if decode else plan
    return transform(plan, fuse_decode_crop) if fuse else plan


def fill_in(stage: Stage, scan: Callable[[Filter], np.ndarray]) -> Stage:
    """An indexed filter becomes a Pick."""
    if not isinstance(stage, Filter) or stage.access != "dense":
        return stage
    positions = scan(stage) if stage.where is None else np.flatnonzero(_satisfied(stage))
    return Pick(stage.source, positions)


def _satisfied(stage: Filter) -> np.ndarray:
    columns = columns_of(stage.source)
    if callable(stage.where):
        keep = np.asarray(stage.where(columns))
    elif isinstance(stage.where, Mapping):
        unknown = sorted(set(stage.where) - set(columns))
        if unknown:
            raise PlanError(f"filter(where=...): no column {unknown}; the index has {sorted(columns) or 'none'}")
        keep = np.ones(int(stage.source.length or 0), bool)
        for name, wanted in stage.where.items():
            keep &= np.isin(columns[name], list(wanted) if isinstance(wanted, (list, tuple, set, frozenset, range)) else [wanted])
    else:
        raise PlanError(f"filter(where=...) is a dict of column values or a function of the columns, got {type(stage.where).__name__}")
    if keep.dtype != bool or keep.shape != (stage.source.length,):
        raise PlanError(f"filter(where=fn) must return {stage.source.length} booleans, got {keep.dtype} of shape {list(keep.shape)}")
    return keep


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
        case Pick(source, positions):
            return {name: c[positions] for name, c in columns_of(source).items()}
    return {}


def place_decode(plan: Stage) -> Stage:
    """Move decoding to where it is first needed, with the options that the user wrote."""
    placed, pending = _place(plan)
    return replace(pending, source=placed) if pending is not None else placed


def _place(stage: Stage) -> tuple[Stage, Decode | None]:
    """The stage over a plan with decoding placed, and the decode still to be placed above it (None: it was)."""
    if isinstance(stage, Several):
        # Each pipe keeps its own options, so a decode that was written or needed inside is placed inside.
        sources = []
        for source in stage.sources:
            placed, pending = _place(source)
            wrote = pending is not None and any(isinstance(s, Decode) for s in chain(source))
            sources.append(replace(pending, source=placed) if wrote and pending is not None else placed)
        return replace(stage, sources=tuple(sources)), Decode(None)
    if not children(stage):
        return stage, Decode(None)
    below, pending = _place(stage.source)
    if isinstance(stage, Decode):
        return (below, stage) if pending is not None else (replace(stage, source=below), None)
    if stage.decoded and pending is not None:
        below, pending = replace(pending, source=below), None
    return rebuild(stage, {id(stage.source): below}), pending


def fuse_decode_crop(stage: Stage) -> Stage:
    """Decode, then a transform that reads only a window of the canvas: one step that decodes only the window."""
    if type(stage) is not Apply or not isinstance(stage.source, Decode):
        return stage
    if not stage.transform.windowed:
        return stage
    decode = stage.source
    return DecodeApply(decode.source, stage.transform, stage.path, stage.seed, replace(decode))
