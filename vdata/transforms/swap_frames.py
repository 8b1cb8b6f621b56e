"""Time reversed: the second frame comes first, and the flow is the one that led back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from vdata.batch import Batch
from vdata.errors import PlanError
from vdata.key import Key
from vdata.tensors import Flow, Image, Label, TypedTensor, Video
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._check import probability, put
from vdata.transforms._info import Info, frame_of
from vdata.transforms._pairs import firsts, frames_differ, remade
from vdata.transforms._params import Params, row


@value
class RandomSwapFrames(Transform):
    """With probability `p` two frames change places: the pictures, the flow and the backward flow, and all else on them.

    p       how often
    frames  the names of the two frames
    pairs   names of leaves that take each other's place: (("occlusion", "occlusion_back"), ...)

    The two pictures, and the two flows between the frames, are found by their names and views. Of other leaves those
    in `pairs`, and two of one type and dtype of which one lies on each frame and no third, take each other's place: what is
    under "boxes1" still lies on "image1". A leaf without such a counterpart keeps its name, and its `frame` says that it
    now lies on the other one.

    The reversed flow is the backward flow, not minus the flow, which is known at other places. So a sample without it
    raises PlanError, as does one in which it is not clear what belongs to what.

    >>> sample = {"image1": Image(torch.zeros(3, 4, 4)), "image2": Image(torch.ones(3, 4, 4)), "flow": Flow(torch.ones(2, 4, 4)),
    ...           "backward": Flow(torch.full((2, 4, 4), -1.0), views=("image2", "image1"))}
    >>> out = RandomSwapFrames(p=1.0)(sample)
    >>> out["image1"].max().item(), out["flow"].max().item(), out["flow"].views
    (1.0, -1.0, ('image1', 'image2'))
    """

    p: float = 0.5
    frames: Any = ("image1", "image2")
    pairs: Any = ()
    moves = True
    lacking: ClassVar[Any] = (
        "the reversed flow is known only where a backward flow is: give the sample one, "
        "Flow(..., views=({second!r}, {first!r})), or leave {owner} out"
    )

    def __post_init__(self) -> None:
        probability(self.p)
        if len(self.frames) != 2 or len(set(self.frames)) != 2 or any(len(pair) != 2 for pair in self.pairs):
            raise ValueError(f"frames are two names, pairs are pairs of names, got {self.frames!r} and {self.pairs!r}")
        put(self, frames=tuple(self.frames), pairs=tuple(tuple(pair) for pair in self.pairs))

    def draw(self, key: Key, info: Info) -> Params:
        return {"swap": key.fold("swap").bernoulli(self.p)}

    def chosen(self, params: Params) -> Any:
        return params["swap"]

    def after(self, params: Params, info: Info) -> Info:
        first, second = (info.sizes.get(f) for f in self.frames)
        if first is None or second is None:
            return replace(info, boxes={})
        swap = np.asarray(params["swap"])[:, None]
        names = dict(zip(self.frames, (np.where(swap, second, first), np.where(swap, first, second))))
        return replace(info, sizes={**info.sizes, **names}, boxes={})  # which frame a box lies on is another

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return self.exchanged(sample, sample, strict=True) if self.chosen(params) else sample

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        if frames_differ(batch.values()):
            return self._one_by_one(params, batch)
        return batch.replace(self.exchanged(dict(batch), firsts(batch), strict=True))

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return self.exchanged(sample, sample, strict=False) if self.chosen(row(params, 0)) else sample

    def exchanged(self, leaves: Leaves, first: Leaves, *, strict: bool) -> Leaves:
        """The leaves of a sample, or of a batch whose first sample is given, on exchanged frames.

        `strict` says that a counterpart that is missing raises; else what is alone goes to the other frame alone.
        """
        other = dict(zip(self.frames, self.frames[::-1]))
        on = {
            n: frame_of(n, v, first)
            for n, v in first.items()
            if isinstance(v, TypedTensor) and not isinstance(v, Label)
        }
        partner = self._partners(first, {n: f for n, f in on.items() if f in other}, strict)
        out = {}
        for name, leaf in leaves.items():
            if name in partner and partner[name] in leaves:
                out[name] = _in_place_of(first[name], leaves[partner[name]])
            elif name in other and isinstance(first[name], (Image, Video)):
                out[other[name]] = leaf
            else:
                out[name] = _on_other(first[name], leaf, on.get(name), other)
        return out

    def _partners(self, sample: Leaves, on: Mapping[str, str], strict: bool) -> dict[str, str]:
        """Who takes whose place; `on` are the leaves of the two frames, each with its frame."""
        pairs = [pair for pair in self.pairs if strict or all(n in on for n in pair)]
        for pair in pairs:
            if {on.get(n) for n in pair} != set(self.frames):
                raise PlanError(
                    f"{self}: {pair} should lie one on each of {self.frames}, but are on {[on.get(n) for n in pair]}"
                )
        pictures = [f for f in self.frames if isinstance(sample.get(f), (Image, Video))]
        if strict and len(pictures) == 1:
            raise PlanError(f"{self} exchanges two pictures, but of {self.frames} the sample has {pictures[0]!r} alone")
        taken = {n for pair in pairs for n in pair} | set(self.frames)
        groups: dict[Any, tuple[list[str], list[str]]] = {}
        for name in on:
            if name not in taken and (kind := self._kind(sample[name])) is not None:
                groups.setdefault(kind, ([], []))[self.frames.index(on[name])].append(name)
        for kind, (here, there) in groups.items():
            if strict:
                self._check(kind, here, there)
            pairs += zip(here, there) if len(here) == len(there) == 1 else ()
        pairs += [tuple(pictures)] if len(pictures) == 2 else []
        return {a: b for pair in pairs for a, b in (pair, pair[::-1])}

    def _kind(self, leaf: TypedTensor) -> Any:
        """What two counterparts have in common; None for what has none, a flow to or from a third frame."""
        if isinstance(leaf, Flow):
            return "Flow" if set(leaf.views) == set(self.frames) else None
        return type(leaf).__name__, leaf.meta().get("kind"), str(leaf.dtype)

    def _check(self, kind: Any, here: list[str], there: list[str]) -> None:
        first, second = self.frames
        if kind == "Flow" and not (here and there):
            missing = (second, first) if here else (first, second)
            raise PlanError(
                f"{self} met {(here or there)[0]!r} without a flow from {missing[0]!r} to {missing[1]!r}: "
                + self.lacking.format(first=missing[1], second=missing[0], owner=type(self).__name__)
            )
        if here and there and len(here) + len(there) > 2:
            raise PlanError(
                f"{self}: which of {here} on {first!r} belong to which of {there} on {second!r}? Say it with pairs=((name, name), ...)"
            )


def _in_place_of(old: TypedTensor, new: Any) -> Any:
    """A leaf under the name of its counterpart, whose frame it takes."""
    if isinstance(old, Flow):
        return remade(new, views=old.views)
    return remade(new, frame=old.meta()["frame"]) if "frame" in old._meta else new


def _on_other(old: Any, leaf: Any, frame: str | None, other: Mapping[str, str]) -> Any:
    """A leaf without a counterpart, which says that it lies on the other frame."""
    if isinstance(old, Flow):
        views = tuple(other.get(v, v) for v in old.views)
        return leaf if views == old.views else remade(leaf, views=views)
    if frame is None or frame not in other or isinstance(old, (Image, Video)):
        return leaf
    return remade(leaf, frame=other[frame])
