"""Transforms that make one sample of several, in a pipe with an index: the others are made too, at positions that the key chooses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vdata import plan
from vdata.errors import PlanError
from vdata.key import Key
from vdata.run.each import Item, noted, stage_key
from vdata.transforms import Info, Transform
from vdata.transforms._base import Leaves, ordinal_path, row
from vdata.transforms._info import flatten, unflatten
from vdata.transforms._mixing import Mixing, partner_positions
from vdata.transforms.container import Container

Make = Callable[[int, int], Item | None]
Partners = Callable[[Mixing, Any], list[Leaves]]


def mixes(stage: plan.Stage) -> bool:
    """Whether a stage's samples need others."""
    return isinstance(stage, plan.Apply) and "partners" in stage.transform.needs


def mixed(stage: plan.Apply, inner: Make) -> Make:
    """The samples of `inner` under transforms of which some take partners, each partner as it is at that transform."""
    if stage.source.extent == math.inf:
        raise PlanError(f".apply({stage.arguments()}) takes partners from an epoch, and this pipe never ends: apply it before .repeat()")
    count = int(stage.source.extent)
    children = stage.transform.transforms

    def leaves_of(item: Item, position: int, steps: int) -> Leaves:
        """The leaves of one sample after the first `steps` transforms."""
        leaves = stage.transform.enter(flatten(item.value)[0])
        info, keys = Info.of([leaves]), _keys(stage, item)
        for i, (child, key) in enumerate(zip(children[:steps], keys, strict=False)):
            params = child.draw(key, info)

            def partners(mixing: Mixing, own: Any, before: int = i) -> list[Leaves]:
                places = partner_positions(own["partners"], position, count, mixing.partners)
                return [leaves_of(*found(item.at[0], q), before) for q in places]

            leaves = _moved(child, row(params, 0), leaves, partners)
            info = Info.of([leaves]) if "partners" in child.needs else child.after(params, info)
        return leaves

    def found(epoch: int, position: int) -> tuple[Item, int]:
        """The sample at a position, or at the next one that has one."""
        for step in range(count):
            at = (position + step) % count
            if (item := inner(epoch, at)) is not None:
                return item, at
        raise PlanError("the pipe has no sample to mix with")

    def make(epoch: int, position: int) -> Item | None:
        item = inner(epoch, position)
        if item is None:
            return None
        with noted(stage, item):
            return item.to(unflatten(leaves_of(item, position, len(children)), flatten(item.value)[1]))

    return make


def _keys(stage: plan.Apply, item: Item) -> list[Key]:
    return stage.transform.keys(stage_key(stage, item).fold(ordinal_path(stage.transform, 0)))


def _moved(child: Transform, params: Any, leaves: Leaves, partners: Partners) -> Leaves:
    if isinstance(child, Mixing):
        return child.mix(params, leaves, partners(child, params)) if child.chosen(params) else leaves
    if isinstance(child, Container) and "partners" in child.needs:
        for grandchild, own in child.steps(params):
            leaves = _moved(grandchild, own, leaves, partners)
        return leaves
    out = child.apply(params, leaves)
    if isinstance(out, tuple):
        raise PlanError(f"{child} makes several samples of one, which cannot stand in a list with a transform that takes partners")
    return out
