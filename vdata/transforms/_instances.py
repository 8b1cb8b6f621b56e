"""Which leaves describe the same objects, row by row: boxes, labels, masks and key points are dropped together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vdata.errors import PlanError

# The sample keys of DESIGN's contract that have one row an object, and COCO's usual companions.
DEFAULT = (
    "boxes", "labels", "masks", "keypoints", "weights", "area", "iscrowd", "ids", "track_ids", "category_ids", "difficult",
    "truncated", "occluded", "poses",
)  # fmt: skip


class Instances(tuple[str, ...]):
    """The names of leaves whose row i is object i: what a transform that drops objects drops together.

    By name, never by equal length. Without names the usual ones: boxes, labels, masks, keypoints, weights, area,
    iscrowd, ids, track_ids, category_ids, difficult, truncated, occluded, poses. In nested samples ("target.boxes") those beside each other are one group.

    >>> T.Instances("boxes", "labels", "weights")
    Instances('boxes', 'labels', 'weights')
    """

    def __new__(cls, *names: str) -> Instances:
        if not all(isinstance(n, str) for n in names):
            raise ValueError(f"Instances takes names of leaves, got {names!r}")
        return super().__new__(cls, names or DEFAULT)

    def __repr__(self) -> str:
        return f"Instances({', '.join(map(repr, self))})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def of(self, sample: Mapping[str, Any], anchor: str | None = None) -> dict[str, Any]:
        """The leaves of this group that a sample has (those beside `anchor`, if given), checked to be of one length.

        Raises PlanError naming two leaves of different lengths.
        """
        home = "" if anchor is None or "." not in anchor else anchor.rsplit(".", 1)[0] + "."
        found = {home + n: sample[home + n] for n in self if home + n in sample}
        lengths = {n: len(v) for n, v in found.items() if isinstance(v, (Tensor, list, tuple)) and _has_rows(v)}
        if len(set(lengths.values())) > 1:
            raise PlanError(
                f"these leaves should have one row an object, but have {lengths}: rename those that are something else, or say which belong "
                "together with instances=T.Instances(...)"
            )
        return {n: found[n] for n in lengths}


def _has_rows(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.ndim > 0


def instances(given: Any) -> Instances:
    """An argument: None for the usual names, names, or Instances."""
    if given is None:
        return Instances()
    if isinstance(given, Instances):
        return given
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ValueError(f"instances is T.Instances(...) or a sequence of names, got {given!r}")
    return Instances(*given)


def kept(sample: Mapping[str, Any], group: Mapping[str, Any], keep: Tensor) -> dict[str, Any]:
    """The sample with only some objects: `keep` is bool [N] or indices, applied to every leaf of the group alike."""
    keep = keep.nonzero().flatten() if keep.dtype == torch.bool else keep  # once, not for each leaf
    return {n: _rows(v, keep) if n in group else v for n, v in sample.items()}


def _rows(value: Any, keep: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value[keep.to(value.device)]
    return type(value)(value[i] for i in keep.tolist())
