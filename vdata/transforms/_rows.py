"""A stacked batch moved: samples that drew equal parameters go through one kernel together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch, collate
from vdata.errors import PlanError
from vdata.tensors import Flow, Image, Label, Mask, TypedTensor, Video
from vdata.transforms._params import row, varies


def stacked(leaves: Mapping[str, Any]) -> bool:
    """Whether every leaf has one row a sample: no lists of objects, no unequal sizes, no nested containers."""
    return all(_stacks(v) for v in leaves.values())


def _stacks(value: Any) -> bool:
    if isinstance(value, list):
        return not any(isinstance(v, (Mapping, list, tuple, Tensor)) for v in value)
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


def take(leaves: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Some rows of stacked leaves."""
    if len(rows) == 1:
        one = slice(int(rows[0]), int(rows[0]) + 1)  # a view
        return {n: v[one] for n, v in leaves.items()}
    index = torch.from_numpy(rows)
    return {n: v[index.to(v.device)] if isinstance(v, Tensor) else [v[b] for b in rows] for n, v in leaves.items()}


def rejoin(parts: Sequence[Mapping[str, Any]], groups: Sequence[np.ndarray], batch: Batch) -> Batch:
    """The batch again, from its moved groups."""
    back = np.argsort(np.concatenate(groups))
    return batch.replace({name: _rejoined([p[name] for p in parts], back) for name in parts[0]})


def _rejoined(values: list[Any], back: np.ndarray) -> Any:
    first = values[0]
    if isinstance(first, Tensor) and all(_alike(v, first) for v in values):
        joined = torch.cat([v.plain() if isinstance(v, TypedTensor) else v for v in values])
        joined = joined[torch.from_numpy(back).to(joined.device)]
        return first.like(joined) if isinstance(first, TypedTensor) else joined
    rows = [value[b] for value in values for b in range(len(value))]  # by index, which keeps the type
    if isinstance(first, Tensor):  # sizes or metadata differ: what `collate` makes of the rows
        return collate([{"": rows[b]} for b in back])[""]
    return [rows[b] for b in back]


def _alike(value: Tensor, other: Tensor) -> bool:
    if type(value) is not type(other) or value.dtype != other.dtype or value.shape[1:] != other.shape[1:]:
        return False
    return _meta(value) == _meta(other)


def _meta(value: Tensor) -> dict[str, Any]:
    return value.meta() if isinstance(value, TypedTensor) else {}


def each(outs: Sequence[Any], join: Callable[[Sequence[Any]], Any]) -> Any:
    """`join(outs)`; where every out is a tuple of samples (FiveCrop), a tuple with one joined value a place."""
    if not any(isinstance(out, tuple) for out in outs):
        return join(outs)
    if len({len(out) if isinstance(out, tuple) else 0 for out in outs}) > 1:
        raise PlanError(
            "a transform made one sample of some samples of a batch and several of others: they do not form batches"
        )
    return tuple(join(place) for place in zip(*outs, strict=True))
