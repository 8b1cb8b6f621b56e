"""Objects of several samples in one picture: which leaves describe them, and how they join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms._base import Leaves
from vdata.transforms._instances import Instances, instances
from vdata.transforms._partners import called

Group = tuple[str, ...]
WEIGHTS = "weights"


def object_names(given: Any) -> Instances:
    """The names that a class's `instances` argument stands for; weights of objects are always among them."""
    names = instances(given)
    return names if WEIGHTS in names else Instances(*names, WEIGHTS)


def groups(samples: Sequence[Leaves], names: Instances) -> list[Group]:
    """The leaves that have one row an object, a tuple for each group; loose points are groups of their own.

    Raises PlanError for boxes, instance masks and points of objects that `names` does not bind to what belongs to them, and
    for samples that describe their objects by other leaves than the first.
    """
    sample, *others = samples
    found: list[Group] = []
    for name, leaf in sample.items():
        if not lists_objects(leaf) or any(name in group for group in found):
            continue
        group = tuple(names.of(sample, name))
        if name in group:
            _refuse_lists(sample, name, names)
            for other in others:
                _compare(sample, other, group, tuple(names.of(other, name)))
            found.append(group)
        elif is_loose(leaf):
            found.append((name,))
        else:
            raise PlanError(
                f"{name!r} lists objects of {called(sample)}, but which leaves go with it is not known: say so with "
                f"instances=T.Instances({name!r}, ...)"
            )
    return found


def lists_objects(leaf: Any) -> bool:
    """Whether a leaf has one row an object, or a loose point."""
    return isinstance(leaf, (BoundingBoxes, KeyPoints)) or (isinstance(leaf, Mask) and leaf.kind == "instance")


def is_raster(leaf: Any) -> bool:
    """Whether a leaf has a value for each pixel of a canvas, and is no list of objects."""
    return isinstance(leaf, (Image, Video, Flow)) or (isinstance(leaf, Mask) and leaf.kind == "semantic")


def is_loose(leaf: Any) -> bool:
    """Whether a leaf holds points that belong to no object."""
    return isinstance(leaf, KeyPoints) and leaf.ndim == 2


def _compare(sample: Leaves, other: Leaves, group: Group, theirs: Group) -> None:
    if set(group) != set(theirs):
        raise PlanError(
            f"objects of {called(sample)} have {sorted(group)}, those of {called(other)} {sorted(theirs)}: they cannot be joined. "
            "Give all samples the same leaves (.map, .select), empty ones where there are no objects"
        )


def _refuse_lists(sample: Leaves, member: str, names: Instances) -> None:
    """A list of Python values lies in a sample's leaves item by item, where nothing says that it is one row an object."""
    for name in names:
        path = beside(member, name)
        if any(n.startswith(f"{path}.") for n in sample):
            raise PlanError(
                f"{path!r} has one entry an object, but as a list, which cannot be mixed: make it a tensor in a .map(fn)"
            )


def beside(name: str, other: str) -> str:
    """The path of `other` in the part of a sample where `name` is: ("target.boxes", "weights") is "target.weights"."""
    home = name.rpartition(".")[0]
    return f"{home}.{other}" if home else other


def first_of(leaves: Leaves, group: Group, kind: type) -> Any:
    """The group's first leaf of a type; None where it has none."""
    return next((leaves[n] for n in group if isinstance(leaves[n], kind)), None)


def whole_numbers_off(leaves: Leaves) -> Leaves:
    """The leaves with integer boxes and points as float32: a dtype must not depend on what is cut or resized."""
    soft = lambda v: v.float() if isinstance(v, (BoundingBoxes, KeyPoints)) and not v.is_floating_point() else v
    return {n: soft(v) for n, v in leaves.items()}


def joined(parts: Sequence[Leaves], group: Group) -> Leaves:
    """The objects of several samples, end to end."""
    return {n: torch.cat([p[n] for p in parts]) for n in group}
