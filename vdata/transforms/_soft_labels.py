"""Labels as shares of classes, so that two of them have a mean; and which leaf is the label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, KeyPoints, Label, Mask, TypedTensor
from vdata.transforms._colour import clipped, precise
from vdata.transforms._instances import Instances
from vdata.transforms._lift import lifted

Getter = str | Callable[[Any], Any] | None


def checked_getter(getter: Any) -> Getter:
    """A `labels_getter`: "default", a leaf's name, a function or None."""
    if getter is None or callable(getter) or (isinstance(getter, str) and getter):
        return getter
    raise ValueError(f'labels_getter is "default", a leaf\'s name, a function of the sample or None, got {getter!r}')


def label_name(getter: Getter, sample: Any, leaves: Mapping[str, Any], objects: Instances) -> str | None:
    """The name of the leaf that holds the classes of whole samples; None where there is none."""
    if getter is None:
        return None
    if callable(getter):
        return _same_leaf(getter(sample), leaves)
    if getter != "default":
        if getter not in leaves:
            raise PlanError(f"labels_getter names {getter!r}, but the sample has {sorted(leaves)}")
        return getter
    for found in _guesses(leaves, objects):
        if len(found) > 1:
            raise PlanError(
                f"any of {found} may be the label: say which with labels_getter={found[0]!r}, or labels_getter=None for none"
            )
        if found:
            return found[0]
    return None


def _same_leaf(label: Any, leaves: Mapping[str, Any]) -> str:
    found = [n for n, v in leaves.items() if v is label]
    if len(found) != 1:
        what = "no leaf" if not found else f"the same value as {found}"
        raise PlanError(
            f"labels_getter returned {what} of the sample, which has {sorted(leaves)}: return the leaf itself, or give its name"
        )
    return found[0]


def _guesses(leaves: Mapping[str, Any], objects: Instances) -> Sequence[list[str]]:
    """Candidates, the likeliest first: "label", "labels", a Label of another name, the second of a tuple."""
    homes = {
        n.rpartition(".")[0] for n, v in leaves.items() if isinstance(v, (BoundingBoxes, KeyPoints)) or _instance(v)
    }
    of_objects = {n for n in leaves if n.rpartition(".")[2] in objects and n.rpartition(".")[0] in homes}
    free = [
        n for n, v in leaves.items() if n not in of_objects and (isinstance(v, Label) or not isinstance(v, TypedTensor))
    ]
    last = {n: n.rpartition(".")[2] for n in free}
    second = [n for n in free if n == "1" and "0" in leaves and isinstance(leaves[n], (int, np.integer, Tensor))]
    return [
        [n for n in free if last[n] == "label"], [n for n in free if last[n] == "labels"],
        [n for n in free if isinstance(leaves[n], Label)], second,
    ]  # fmt: skip


def _instance(leaf: Any) -> bool:
    return isinstance(leaf, Mask) and leaf.kind == "instance"


def has_other_targets(leaves: Mapping[str, Any]) -> bool:
    """Whether a sample has targets beside a label."""
    return any(isinstance(v, (Mask, Flow, BoundingBoxes, KeyPoints)) for v in leaves.values())


def soft(label: Any, classes: int | None, lead: int, name: str) -> Tensor:
    """A label as shares of classes: float [classes], or [B, classes] with lead = 1.

    Class numbers ([] or [B]) become float32; what has one dimension more is taken as shares already.
    """
    if isinstance(label, float) or not isinstance(label, (int, np.integer, np.ndarray, Tensor)):
        raise PlanError(
            f"{name!r} is a {type(label).__name__}, which has no share of classes: it should be a class's number, or shares of classes"
        )
    known = len(label.categories) if isinstance(label, Label) and label.categories else None
    data = torch.as_tensor(label.plain() if isinstance(label, TypedTensor) else label)
    if data.ndim == lead + 1:
        if classes is not None and data.shape[-1] != classes:
            raise ValueError(f"{name!r} has shares of {data.shape[-1]} classes, but num_classes is {classes}")
        return data if data.is_floating_point() else data.float()
    if data.ndim != lead or data.is_floating_point():
        raise ValueError(
            f"{name!r} should be a class's number or its shares of classes, got {data.dtype} of shape {list(data.shape)}"
        )
    count = classes if classes is not None else known
    if count is None:
        raise PlanError(
            f"{name!r} holds numbers of classes, but how many there are is not known: give num_classes, or categories to the Label"
        )
    if data.numel() and not 0 <= int(data.min()) <= int(data.max()) < count:
        raise ValueError(
            f"{name!r} has class numbers from {int(data.min())} to {int(data.max())}, but there are {count} classes, counted from 0"
        )
    return one_hot(data.long(), count).float()


def mean(x: Tensor, other: Tensor, share: Any) -> Tensor:
    """share x + (1 - share) other, as x is; `share` is a number or one a row. Integers round."""
    work = precise(x.dtype)
    own = torch.as_tensor(lifted(share, x, work), dtype=work, device=x.device)
    out = torch.lerp(other.to(work), x.to(work), own)  # at a share of 1 exactly x
    return out.to(x.dtype) if x.is_floating_point() else clipped(out.round_(), x.dtype)
