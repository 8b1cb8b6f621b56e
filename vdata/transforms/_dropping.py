"""Transforms that drop objects: all leaves that describe an object lose its row together, in a sample and in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch, Ragged, collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import KeyPoints, Mask, TypedTensor
from vdata.transforms._base import Leaves, Transform
from vdata.transforms._info import Info
from vdata.transforms._instances import Instances, kept
from vdata.transforms._objects import object_names
from vdata.transforms._params import Params
from vdata.transforms._rows import end_to_end, split_again


class Dropping(Transform):
    """Looks at every leaf of one type, and drops the objects of which `judge` says no with all that is bound to them."""

    kind: ClassVar[type[TypedTensor]]
    instances: Any

    def judge(self, leaf: Any) -> tuple[Any, Tensor]:
        """A leaf of N objects, itself or mended, and which of them stay: bool [N]."""
        raise NoKernelError(f"{type(self).__name__} has no judge")  # abstract: every public class defines it

    def also(self, sample: Leaves, anchor: str) -> Sequence[str]:
        """Names of more leaves that are bound to `anchor`."""
        return ()

    def after(self, params: Params, info: Info) -> Info:
        return info.dropped()

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample

    def left(self, sample: Leaves) -> Leaves:
        """A sample with the objects that stay."""
        for anchor in [n for n, v in sample.items() if isinstance(v, self.kind)]:
            names = bound(sample, anchor, self.instances, self.also(sample, anchor))
            leaf, stay = self.judge(sample[anchor])
            sample = {**sample, anchor: leaf}
            sample = sample if bool(stay.all()) else kept(sample, dict.fromkeys(names), stay)
        return sample

    def left_in(self, batch: Batch) -> Batch:
        """A batch with the objects that stay; those of all samples are judged at once where they join."""
        first = {n: v[0] for n, v in batch.items()}
        for anchor in [n for n, v in first.items() if isinstance(v, self.kind)]:
            names = bound(first, anchor, self.instances, self.also(first, anchor))
            lengths = {n: _lengths(batch[n]) for n in names}
            for b in np.flatnonzero(np.any([v != lengths[anchor] for v in lengths.values()], 0)):
                Instances(*names).of({n: batch[n][int(b)] for n in names})  # raises
            leaf, stay = _judged(batch[anchor], self.judge)
            batch = batch.replace({**batch, anchor: leaf})
            if not bool(stay.all()):
                stay = stay.cpu()
                batch = batch.replace({n: _rows(v, stay, lengths[n]) if n in names else v for n, v in batch.items()})
        return batch


def bound(sample: Leaves, anchor: str, given: Instances | None, also: Sequence[str] = ()) -> list[str]:
    """The names of the leaves that have one row for each object of `anchor`, which is one of them.

    By name, never by equal length; beside the anchor. A semantic mask and, unless `given` by hand, loose points have no
    objects. An anchor that the group does not name is of the group if there is no other of its type beside it that is named.
    """
    home, own = anchor[: anchor.rfind(".") + 1], anchor[anchor.rfind(".") + 1 :]
    members = object_names(given)
    if sample[anchor].ndim < 2:
        raise PlanError(f"{anchor!r} has shape {list(sample[anchor].shape)}, which has no row for each object")
    group = [home + n for n in members]
    others = [n for n in group if n != anchor and type(sample.get(n)) is type(sample[anchor])]
    if (own not in members and others) or not _objects(sample[anchor], given):
        group = []
    names = [
        n for n in dict.fromkeys([anchor, *group, *also]) if n == anchor or n in also or _objects(sample.get(n), given)
    ]
    flat = home + "masks"
    if given is None and _looks_bound(sample.get(flat), len(sample[anchor])):
        raise PlanError(
            f"{flat!r} is a semantic Mask of shape {list(sample[flat].shape)} beside {anchor!r} with as many rows: one mask an object is "
            'Mask(..., kind="instance"); a semantic mask is called "mask"'
        )
    for name in names:
        if f"{name}.0" in sample or (isinstance(sample.get(name), np.ndarray) and sample[name].ndim):
            raise PlanError(
                f"{name!r} is a list or an array, of which no row can be dropped: make it a Label (with categories=...) or a tensor, "
                "or say which leaves belong together with instances=T.Instances(...)"
            )
    found = Instances(*names).of(sample)
    return list(found)


def _looks_bound(masks: Any, count: int) -> bool:
    """Whether what is called "masks" has a plane for each object, and yet is said to be semantic."""
    return isinstance(masks, Mask) and masks.kind == "semantic" and masks.ndim == 3 and len(masks) == count > 1


def _objects(value: Any, given: Instances | None) -> bool:
    if isinstance(value, Mask):
        return value.kind == "instance"
    return not (given is None and isinstance(value, KeyPoints) and value.ndim == 2)


def _lengths(leaf: Any) -> np.ndarray:
    """How many rows each sample has."""
    if isinstance(leaf, Ragged):
        return np.array([s[0] for s in leaf.shapes], np.int64)
    return np.full(len(leaf), leaf.shape[1], np.int64)


def _judged(leaf: Any, judge: Callable[[Any], tuple[Any, Tensor]]) -> tuple[Any, Tensor]:
    """`judge` of a batch's leaf: the leaf, and which objects of all samples, end to end, stay."""
    joined = end_to_end(leaf)
    if joined is not None:
        mended, stay = judge(joined[0])
        return leaf if mended is joined[0] else split_again(mended, joined[1]), stay
    outs = [judge(leaf[b]) for b in range(len(leaf))]
    return collate([{"": mended} for mended, _ in outs])[""], torch.cat([stay for _, stay in outs])


def _rows(leaf: Any, stay: Tensor, lengths: np.ndarray) -> Any:
    """A batch's leaf with the objects that stay, a mask of them end to end."""
    ends = np.cumsum(lengths)
    joined = end_to_end(leaf)
    if joined is not None:
        before = np.concatenate([[0], np.cumsum(stay.numpy())])
        return split_again(joined[0][stay.to(leaf.values.device)], before[ends] - before[ends - lengths])
    parts = [
        leaf[b][stay[end - n : end].to(leaf[b].device)] for b, (end, n) in enumerate(zip(ends, lengths, strict=True))
    ]
    return collate([{"": part} for part in parts])[""]
