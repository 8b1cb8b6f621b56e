"""Two frames of a sample and what lies between them: which flow leads where, and where its vectors end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch, Ragged
from vdata.errors import PlanError
from vdata.tensors import Flow, Mask
from vdata.transforms._map import pixel_centres
from vdata.transforms._rows import alike, joined_again, take

Leaves = Mapping[str, Any]


def landing(flow: Flow) -> Tensor:
    """Where the content of each pixel's centre is in the second frame: float64 [..., H, W, 2], NaN where unknown."""
    return pixel_centres(flow.canvas, flow.device) + flow.plain().double().movedim(-3, -1)


def outside(at: Tensor, size: tuple[int, int]) -> Tensor:
    """Which points [..., 2] lie beyond a canvas of (height, width); NaN lies nowhere and gives False."""
    x, y = at.unbind(-1)
    return (x < 0) | (x > size[1]) | (y < 0) | (y > size[0])


def firsts(batch: Leaves) -> dict[str, Any]:
    """A batch's first sample, which tells the types and frames of all."""
    return {n: v[0] for n, v in batch.items()}


def frames_differ(leaves: Iterable[Any]) -> bool:
    """Whether a batch's leaf lies on different frames in different samples, as after a swap of some: the first does not tell."""
    return any(isinstance(v, Ragged) and len({(m.get("frame"), m.get("views")) for m in v.metas}) > 1 for v in leaves)


def flow_names(sample: Leaves, first: str | None = None, second: str | None = None) -> list[str]:
    """The flows of a sample, those from `first` and to `second` where these are named."""
    names = [n for n, v in sample.items() if isinstance(v, Flow)]
    return [n for n in names if first in (None, sample[n].views[0]) and second in (None, sample[n].views[1])]


def flow_to_mark(owner: str, name: str, mask: Any, sample: Leaves, first: str | None, second: str | None) -> str:
    """The name of the flow that says where a mask's pixels go; PlanError where there is none, or no mask of its frame."""
    found = flow_names(sample, first, second)
    if not found:
        raise PlanError(
            f"{owner} marks pixels of {name!r} by where a flow takes them, but no flow leads from {first!r} to {second!r}; "
            f"the sample's flows are {[(n, sample[n].views) for n in flow_names(sample)]}"
        )
    if mask is not None and not (isinstance(mask, Mask) and mask.kind == "semantic"):
        raise PlanError(f"{owner} marks pixels of {name!r}, which should be a semantic Mask, not {mask!r}")
    if mask is not None and mask.canvas != sample[found[0]].canvas:
        raise PlanError(
            f"{owner}: {name!r} has a canvas of {mask.canvas} (height, width), but the flow {found[0]!r} one of {sample[found[0]].canvas}"
        )
    return found[0]


def marked(mask: Mask, new: Tensor) -> Mask:
    """The mask, 1 (True) where `new` is."""
    plain = mask.plain()
    return mask.like(torch.where(new, torch.ones((), dtype=plain.dtype, device=plain.device), plain))


def remade(value: Any, **changed: Any) -> Any:
    """A leaf, of a sample or a batch, that says something else of itself."""
    if isinstance(value, Ragged):
        return Ragged(value.values, value.offsets, value.shapes, value.type, [{**m, **changed} for m in value.metas])
    return value.like(value.plain(), **changed)


def by_shape(
    batch: Batch, names: Iterable[str], columns: Sequence[np.ndarray], change: Callable[[np.ndarray, Leaves], Leaves]
) -> Batch:
    """A batch with the leaves `names` changed: `change(rows, leaves)` gets samples of equal shapes, stacked, that also have
    equal rows in the integer `columns`."""
    leaves = {n: batch[n] for n in names}
    groups = alike([*columns, *(_shapes(v, batch.size) for v in leaves.values())], batch.size)
    parts = [change(rows, take(leaves, rows)) for rows in groups]
    return batch.replace({**batch, **joined_again(parts, groups)})


def _shapes(leaf: Any, count: int) -> np.ndarray:
    """The shapes of a batch's leaf, int64 [B, 5]."""
    shapes = leaf.shapes if isinstance(leaf, Ragged) else [tuple(leaf.shape[1:])] * count
    return np.array([[*s, *[0] * (5 - len(s))] for s in shapes], np.int64)
