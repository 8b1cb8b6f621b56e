"""The leaves of a batch: some of its samples, those of one canvas, and all of them put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch, Ragged, collate, rows_of
from vdata.errors import PlanError
from vdata.tensors import Flow, Image, Label, Mask, TypedTensor, Video
from vdata.transforms._lift import SIGNED
from vdata.transforms._params import row, varies

RASTERS = (Image, Video, Flow, Mask)


def is_aside(name: str) -> bool:
    """Whether a leaf is none of the sample's own, as `__key__`: no transform looks at it."""
    return name.startswith("__") and name.endswith("__")


def flat(leaves: Mapping[str, Any]) -> bool:
    """Whether every leaf has one entry a sample and no containers in it."""
    return not any(isinstance(v, list) and not is_aside(n) and _any_of(v, (Mapping, list, tuple)) for n, v in leaves.items())


def stacked(leaves: Mapping[str, Any]) -> bool:
    """Whether every leaf has one row a sample: no lists of objects, no unequal sizes, no nested containers."""
    return all(_stacks(v) for v in leaves.values())


def _any_of(values: list[Any], kinds: tuple[type, ...]) -> bool:
    return any(issubclass(kind, kinds) for kind in set(map(type, values)))


def _stacks(value: Any) -> bool:
    if isinstance(value, list):
        return not _any_of(value, (Mapping, list, tuple, Tensor))
    if isinstance(value, Mask):
        return value.kind == "semantic"
    if isinstance(value, Label):
        return value.ndim == 1
    return isinstance(value, (Image, Video, Flow)) or type(value) is Tensor


def grouped(params: Any, count: int) -> list[np.ndarray]:
    """The rows 0 .. count - 1 in groups of equal parameters."""
    if not varies(params):
        return [np.arange(count)]
    groups: dict[str, list[int]] = {}
    for b in range(count):
        groups.setdefault(repr(row(params, b)), []).append(b)
    return [np.array(g) for g in groups.values()]


def alike(columns: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """The rows 0 .. count - 1 in groups of equal rows of integer columns [count] or [count, n]."""
    if not columns:
        return [np.arange(count)]
    table = np.concatenate([c.reshape(count, -1) for c in columns], 1)
    if (table == table[:1]).all():
        return [np.arange(count)]
    _, which = np.unique(table, axis=0, return_inverse=True)
    which = which.reshape(-1)
    return [np.flatnonzero(which == g) for g in range(int(which.max()) + 1)]


def take(leaves: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Some samples of a batch's leaves; pictures of unequal sizes are stacked where those taken agree."""
    return {n: taken(v, rows) for n, v in leaves.items()}


def part_of(batch: Batch, rows: np.ndarray) -> Batch:
    """Some samples of a batch, as a batch."""
    return Batch(take(batch, rows), len(rows), [batch.at[int(b)] for b in rows])


def taken(value: Any, rows: np.ndarray) -> Any:
    """Some entries of one leaf."""
    if isinstance(value, Ragged):
        items = [value[int(b)] for b in rows]
        uniform = issubclass(value.type, RASTERS) and len({t.shape for t in items}) == 1
        return _one_leaf(items) if uniform else Ragged.of(items)
    if not isinstance(value, Tensor):
        return [value[b] for b in rows]
    if len(rows) == 1:
        return value[int(rows[0]) : int(rows[0]) + 1]  # a view
    if len(rows) == len(value) and (rows[1:] > rows[:-1]).all():
        return value
    return rows_of(value, rows)


def _one_leaf(items: list[Any], name: str = "") -> Any:
    return collate([{name: item} for item in items])[name]


def rejoin(parts: Sequence[Mapping[str, Any]], groups: Sequence[np.ndarray], batch: Batch) -> Batch:
    """The batch again, from its moved groups."""
    return batch.replace(joined_again(parts, groups))


def joined_again(parts: Sequence[Mapping[str, Any]], groups: Sequence[np.ndarray]) -> Mapping[str, Any]:
    """Leaves again, from their groups of rows."""
    if len(groups) == 1:
        return parts[0]
    for part in parts[1:]:
        same_leaves(parts[0], part)
    back = np.argsort(np.concatenate(groups))
    return {name: _rejoined([p[name] for p in parts], back, name) for name in parts[0]}


def same_leaves(some: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Raise where some samples of a batch have leaves that the others lack."""
    if odd := sorted(set(some) ^ set(others)):
        raise PlanError(
            f"after a transform some samples of a batch have {odd} and others do not, so that they form no batch: give it to all "
            "samples, or apply the transform to all of them"
        )


def _rejoined(values: list[Any], back: np.ndarray, name: str = "") -> Any:
    first = values[0]
    if isinstance(first, Tensor) and all(isinstance(v, Tensor) and _alike(v, first) for v in values):
        joined = torch.cat([v.plain() if isinstance(v, TypedTensor) else v for v in values])
        joined = joined[torch.from_numpy(back).to(joined.device)] if (back[1:] < back[:-1]).any() else joined
        return first.like(joined) if isinstance(first, TypedTensor) else joined
    rows = [value[b] for value in values for b in range(len(value))]  # by index, which keeps the type
    if isinstance(first, (Tensor, Ragged)):  # sizes or metadata differ: what `collate` makes of the rows
        return _one_leaf([rows[b] for b in back], name)
    return [rows[b] for b in back]


def put_back(whole: Any, rows: np.ndarray, part: Any, name: str = "") -> Any:
    """A leaf, called `name` in errors, with the entries `rows` replaced by `part`."""
    index = torch.from_numpy(rows)
    if isinstance(whole, Tensor) and isinstance(part, Tensor) and _alike(part, whole):
        plain = whole.plain() if isinstance(whole, TypedTensor) else whole
        moved = part.plain() if isinstance(part, TypedTensor) else part
        if len(rows) == len(plain):
            return part
        bits = SIGNED.get(plain.dtype, plain.dtype)
        if plain.device.type == "cpu" and not (plain.requires_grad or moved.requires_grad):
            out = plain.clone(memory_format=torch.contiguous_format)
            out.view(bits).numpy()[rows] = moved.view(bits).numpy()  # several times as fast as index_copy
            return whole.like(out) if isinstance(whole, TypedTensor) else out
        out = plain.view(bits).index_copy(0, index.to(plain.device), moved.view(bits)).view(plain.dtype)
        return whole.like(out) if isinstance(whole, TypedTensor) else out
    rest = np.setdiff1d(np.arange(len(whole)), rows)
    if not len(rest):
        return part
    return _rejoined([part, taken(whole, rest)], np.argsort(np.concatenate([rows, rest])), name)


def _alike(value: Tensor, other: Tensor) -> bool:
    if type(value) is not type(other) or value.dtype != other.dtype or value.shape[1:] != other.shape[1:]:
        return False
    return _meta(value) == _meta(other)


def _meta(value: Tensor) -> dict[str, Any]:
    return value.meta() if isinstance(value, TypedTensor) else {}


def end_to_end(leaf: Any) -> tuple[TypedTensor, np.ndarray] | None:
    """Objects of all samples as one leaf of R rows, and how many rows each sample has; None where they do not join."""
    if not isinstance(leaf, Ragged) or not issubclass(leaf.type, TypedTensor) or leaf.values.ndim != len(leaf.shapes[0]):
        return None
    fixed = [{n: v for n, v in m.items() if n not in leaf.type._rows} for m in leaf.metas]
    if any(m != fixed[0] for m in fixed):
        return None
    meta: dict[str, Any] = dict(fixed[0])
    for name in leaf.type._rows:
        values = [m[name] for m in leaf.metas]
        if any((v is None) != (values[0] is None) for v in values):
            return None
        meta[name] = None if values[0] is None else torch.cat(values)
    return leaf.type.make(leaf.values, meta), np.array([s[0] for s in leaf.shapes], np.int64)


def split_again(leaf: TypedTensor, counts: np.ndarray) -> Ragged:
    """The inverse of `end_to_end`: sample b has the next counts[b] rows."""
    ends = np.cumsum(counts)
    offsets = torch.tensor([0, *ends.tolist()], dtype=torch.int64, device=leaf.device)
    fixed = {n: v for n, v in leaf.meta().items() if n not in leaf._rows}
    metas = []
    for end, count in zip(ends.tolist(), counts.tolist(), strict=True):
        rows = {n: None if (v := getattr(leaf, n)) is None else v[end - count : end] for n in leaf._rows}
        metas.append({**fixed, **rows})
    shapes = [(c, *leaf.shape[1:]) for c in counts.tolist()]
    return Ragged(leaf.plain(), offsets, shapes, type(leaf), metas)


def each(outs: Sequence[Any], join: Callable[[Sequence[Any]], Any]) -> Any:
    """`join(outs)`; where every out is a tuple of samples (FiveCrop), a tuple with one joined value a place."""
    if not any(isinstance(out, tuple) for out in outs):
        return join(outs)
    if len({len(out) if isinstance(out, tuple) else 0 for out in outs}) > 1:
        raise PlanError(
            "a transform made one sample of some samples of a batch and several of others: they do not form batches"
        )
    return tuple(join(place) for place in zip(*outs, strict=True))
