"""What a one-to-one stage does to one item: the same under an index and over a stream."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vdata import codecs, plan
from vdata.batch import At, Batch
from vdata.encoded import Encoded
from vdata.errors import DataError, PlanError
from vdata.key import Key
from vdata.rewrite import DecodeApply
from vdata.run.window import decode_and_apply
from vdata.slabs import Slabs
from vdata.tensors import Flow, TypedTensor


class Item(NamedTuple):
    """What travels through a plan.

    at      its place: what its random draws are keyed by
    value   a sample, a batch, or what a function made of one
    count   how many samples went into it
    broken  which of them are substitutes, and for what (see `substitution`)
    """

    at: At
    value: Any
    count: int = 1
    broken: tuple[dict[str, Any], ...] = ()

    def to(self, value: Any) -> Item:
        """The same item with another value."""
        return tuple.__new__(Item, (self.at, value, self.count, self.broken))  # half of what Item(...) takes


def substitution(error: DataError, epoch: int, position: int, by: int | None) -> dict[str, Any]:
    """The record of a broken sample, and of the position that stands in for it (None: a stream goes on without it)."""
    return {"epoch": epoch, "position": position, "by": by, **error.where, "error": str(error)}


def each(stage: plan.Stage) -> Callable[[Item, int], Item] | None:
    """What a one-to-one stage does to an item at a position; None for other stages."""
    match stage:
        case plan.Map(_, fn):
            return lambda item, p: item.to(_mapped(stage, fn, item))
        case DecodeApply():
            return lambda item, p: item.to(windowed(stage, item))
        case plan.Apply():
            return lambda item, p: item.to(applied(stage, item))
        case plan.Decode():
            return lambda item, p: item.to(opened(stage, item))
        case plan.Select(_, keys):
            return lambda item, p: item.to(_selected(item.value, keys))
        case plan.Rename(_, names):
            return lambda item, p: item.to(renamed(item.value, dict(names)))
        case plan.ToTuple(_, keys):
            return lambda item, p: item.to(tuple(_field(item.value, k) for k in keys))
        case plan.Enumerate(_, start):
            return lambda item, p: item.to((start + p, item.value))
        case plan.Seed():
            return lambda item, p: item
    return None


class noted:  # in small letters as contextlib's own; not one of its generators, for one is made for every sample
    """Say on any error in whose hands, and on which sample, it happened."""

    __slots__ = ("item", "stage")

    def __init__(self, stage: plan.Stage, item: Item):
        self.stage, self.item = stage, item

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        stage, item = self.stage, self.item
        if isinstance(error, DataError):
            error.at(key=key_of(item.value))
        elif isinstance(error, Exception):
            error.add_note(f"in .{stage.name}({stage.arguments()}), sample {key_of(item.value)!r}, epoch {item.at[0]}, position {item.at[1]}")


def key_of(value: Any) -> Any:
    """The stable id of a sample, or of the first of a batch."""
    key = value.get("__key__") if isinstance(value, Mapping) else None
    return key[0] if isinstance(key, list) and key else key


def _mapped(stage: plan.Stage, fn: Callable[[Any], Any], item: Item) -> Any:
    with noted(stage, item):
        out = fn(item.value)
    if isinstance(item.value, Batch) and isinstance(out, dict) and not isinstance(out, Batch):
        return item.value.replace(out)  # still these samples: transforms after it find their keys
    return out


def all_mapped(stage: plan.Map, items: Sequence[Item | None]) -> list[Item | None]:
    """`fn` of many samples: the loop that tiny ones spend their time in."""
    fn, out, item = stage.fn, list[Item | None](), None
    try:
        for item in items:
            if item is None or isinstance(item.value, Batch):
                out.append(item if item is None else item.to(_mapped(stage, fn, item)))
            else:
                out.append(tuple.__new__(Item, (item.at, fn(item.value), item.count, item.broken)))
    except Exception as error:
        assert item is not None
        with noted(stage, item):
            raise error from error.__cause__
    return out


_CLOSED = {Encoded, dict, tuple}  # the types of what may have to be opened


def all_opened(stage: plan.Decode, items: Sequence[Item | None]) -> list[Item | None]:
    """Many samples with every leaf decoded; those that have nothing to decode as they are."""
    nothing_in = _CLOSED.isdisjoint
    return [i if i is None or (type(v := i.value) is dict and nothing_in(map(type, v.values()))) else i.to(opened(stage, i)) for i in items]


def keeps(stage: plan.Stage, keep: Any, item: Item) -> bool:
    with noted(stage, item):
        return bool(keep(item.value))


def applied(stage: plan.Apply, item: Item) -> Any:
    """A sample or batch under the stage's transforms, drawn for by its place."""
    if item.count > 1 and not isinstance(item.value, Batch):
        raise PlanError(
            f".apply over {item.count} samples that are no vdata.Batch would move them all by one draw: put .apply(...) before "
            ".to_tuple(), .enumerate() or .batch(..., collate_fn=...)"
        )
    if "partners" in stage.transform.needs and not isinstance(item.value, Batch):
        raise PlanError(
            f".apply({stage.arguments()}) takes partners by their positions, and a pipe without an index has none: put it after .batch(n), "
            "or make the filter before it an index with .filter(..., scan=True)"
        )
    with noted(stage, item):
        return stage.transform(item.value, key=stage_key(stage, item))


def windowed(stage: DecodeApply, item: Item) -> Any:
    """A sample decoded and transformed in one step."""
    if not _has_windows(item.value):
        return applied(stage, item.to(opened(stage.decode, item)))
    with noted(stage, item):
        return decode_and_apply(stage.transform, [item.value], stage_key(stage, item), stage.decode, stage.collated)[0]


def _has_windows(value: Any) -> bool:
    """Whether a sample is flat: windows are looked up by the names of its leaves."""
    return isinstance(value, dict) and not isinstance(value, Batch) and not any(isinstance(v, (Mapping, list, tuple)) for v in value.values())


def all_applied(stage: plan.Apply, items: Sequence[Item | None], slabs: Slabs | None = None) -> list[Item | None]:
    """Samples under the stage's transforms, drawn for together; each gets what it would get alone. Pictures of one size, all of which go
    into one batch, may lie there already, in one of `slabs`."""
    here = [i for i in items if i is not None]
    one = windowed if isinstance(stage, DecodeApply) else applied
    flat = not isinstance(stage, DecodeApply) or all(_has_windows(i.value) for i in here)
    if len(here) > 1 and flat and all(i.count == 1 and not isinstance(i.value, Batch) for i in here):
        try:
            moved = iter(_together(stage, here, slabs))
            return [None if i is None else i.to(next(moved)) for i in items]
        except Exception as error:  # done again one by one, so that it is raised for the sample that it is of
            alone = [None if i is None else i.to(one(stage, i)) for i in items]  # type: ignore[arg-type]
            only_together(stage, error)
            return alone
    return [None if i is None else i.to(one(stage, i)) for i in items]  # type: ignore[arg-type]


def only_together(stage: plan.Apply, error: Exception) -> None:
    """Say that samples fail together and not alone: what they get is right, and takes twice the time."""
    what = f".{stage.name}({stage.arguments()}) fails for several samples at once ({type(error).__name__}: {error}), and not for each alone"
    warnings.warn(f"{what}: is its draw(key, info) for len(key) samples? They are done one by one, which is slow", RuntimeWarning, stacklevel=2)


def _together(stage: plan.Apply, items: Sequence[Item], slabs: Slabs | None) -> list[Any]:
    values, key = [i.value for i in items], stage_keys(stage, items)
    if isinstance(stage, DecodeApply):
        return decode_and_apply(stage.transform, values, key, stage.decode, stage.collated, slabs)
    return stage.transform.on_samples(values, key)


def stage_key(stage: plan.Apply, item: Item) -> Key:
    """fold(seed, place, path of the stage); a batch has one for each of its samples."""
    if not isinstance(item.value, Batch):
        return _key(stage, np.array([item.at], np.int64))
    places = item.value.places()
    return _key(stage, places) if places is not None else _key_of_each(stage, item.value.at)


def stage_keys(stage: plan.Apply, items: Sequence[Item]) -> Key:
    """The keys of several samples, one after the other."""
    places = [i.at for i in items]
    return _key(stage, np.array(places, np.int64)) if len(set(map(len, places))) == 1 else _key_of_each(stage, places)


def _key(stage: plan.Apply, places: np.ndarray) -> Key:
    """Of places with as many numbers each, int64 [B, n]."""
    return Key.of(stage.seed, *places.astype(np.uint64).T, stage.path)


def _key_of_each(stage: plan.Apply, places: Sequence[At]) -> Key:
    return Key.concat([Key.of(stage.seed, *at, stage.path) for at in places])


def _selected(value: Any, keys: tuple[str, ...]) -> Any:
    names = [k for k in ("__key__",) if k in value and k not in keys] + list(keys)
    out = {k: _field(value, k) for k in names}
    return value.replace(out) if isinstance(value, Batch) else out


def _field(sample: Mapping[str, Any], key: str) -> Any:
    if key not in sample:
        raise PlanError(f"sample {key_of(sample)!r} has no field {key!r}; it has {sorted(sample)}")
    return sample[key]


def renamed(sample: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    """The sample under new names; what refers to a picture by name follows."""
    for old in names:
        _field(sample, old)
    clash = sorted(set(names.values()) & (set(sample) - set(names)))
    if clash:
        raise PlanError(f"rename: {clash} is already a field of sample {key_of(sample)!r}: rename or leave out the old one first")
    out = {names.get(n, n): _follow(v, names) for n, v in sample.items()}
    return sample.replace(out) if isinstance(sample, Batch) else out


def _follow(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Flow):
        return value.like(value.plain(), views=tuple(names.get(v, v) for v in value.views))
    if isinstance(value, TypedTensor) and (frame := value.meta().get("frame", "")) in names:
        return value.like(value.plain(), frame=names[str(frame)])
    if isinstance(value, Encoded):
        meta = dict(value.meta)
        if value.type == "Flow" or "views" in meta:
            meta["views"] = tuple(names.get(v, v) for v in meta.get("views", ("image1", "image2")))
        if meta.get("frame") in names:
            meta["frame"] = names[meta["frame"]]
        return value.like(meta)
    return value


def opened(stage: plan.Decode, item: Item) -> Any:
    """A sample with every leaf decoded."""
    with noted(stage, item):
        return _decoded(item.value, stage.mode, stage.keep)


def _decoded(value: Any, mode: str, keep: bool, field: str | None = None) -> Any:
    """Every Encoded leaf decoded, also in the tuples that `to_tuple` and `enumerate` make."""
    if isinstance(value, Encoded):
        try:
            out = codecs.decode(value, mode=mode)
        except DataError as error:
            raise error.at(field=field) from error.__cause__
        return value if keep else out
    if isinstance(value, dict) and not isinstance(value, Batch):
        return {n: _decoded(v, mode, keep, n) for n, v in value.items()}
    return tuple(_decoded(v, mode, keep) for v in value) if type(value) is tuple else value
