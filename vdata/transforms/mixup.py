"""MixUp (Zhang et al., arXiv 1710.09412): two samples laid over each other."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import torch
from torch import Tensor

from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, TypedTensor, Video
from vdata.transforms._base import Leaves, value
from vdata.transforms._blending import Blending
from vdata.transforms._info import Info
from vdata.transforms._objects import WEIGHTS, Group, beside, groups, is_loose, joined
from vdata.transforms._params import Params
from vdata.transforms._partners import one_canvas
from vdata.transforms._pixels import cut
from vdata.transforms._soft_labels import mean
from vdata.transforms.pad import pad

Size = tuple[int, int]


@value
class MixUp(Blending):
    """`lam` parts of a sample and the rest of another: pictures, clips and labels; objects of both.

    alpha          lam is Beta(alpha, alpha); any number above 0
    num_classes    how many classes there are; None where labels are shares of classes already, or a Label has categories
    labels_getter  which leaf is the label: "default" (label, labels, a Label, the second of a tuple), a leaf's name, a
                   function of the sample that returns it, or None
    p              how likely a sample is mixed; others are mixed with a share of 0 of the other, so that all leaves are of one form
    instances      the leaves with one row an object (`T.Instances`); None for the usual names

    Each sample has a lam of its own and another for a partner, chosen by its key: a lam for a whole batch would depend
    on who is in the batch. The label becomes float [num_classes]. Integer pictures are rounded.

    A sample with boxes, instance masks or key points gets the objects of both, and `weights`, float32, one an object: its own
    picture's share. Pictures of unequal canvases meet at the top left, new pixels black; without objects they raise
    PlanError. There is no mean of two semantic masks or flows: they raise NoKernelError. Other leaves stay the sample's.

    By hand also on stacked pictures and labels, as in torchvision: `MixUp(num_classes=10)(images, labels)`.

    >>> images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 1])
    >>> [list(out.shape) for out in MixUp(num_classes=3)(images, labels)]
    [[4, 3, 8, 8], [4, 3]]
    """

    _: KW_ONLY
    alpha: float = 1.0
    num_classes: int | None = None
    labels_getter: Any = "default"
    p: float = 1.0
    instances: Any = None

    def draw_own(self, key: Key, info: Info) -> Params:
        return {"lam": self.shares(key)}

    def blended(self, params: Params, sample: Leaves, other: Leaves) -> Leaves:
        for name, leaf in sample.items():
            if isinstance(leaf, Flow) or (isinstance(leaf, Mask) and leaf.kind == "semantic"):
                raise NoKernelError(
                    f"{self} cannot mix {name!r}, a {type(leaf).__name__}: two pictures laid over each other have no single "
                    f"{'flow' if isinstance(leaf, Flow) else 'mask'}. Use CutMix or Mosaic, or leave it out (.select)"
                )
        lam, named = params["lam"], groups([sample, other], self.objects)
        parts = [sample] if named and lam == 1 else [sample, other]
        parts = self._on_one_canvas(parts, bool(named))
        mixed = {
            n: self._mean(lam, *[p[n] for p in parts]) if isinstance(v, (Image, Video)) else v
            for n, v in sample.items()
        }
        for group in named:
            mixed.update(joined(parts, group))
            mixed.update(self._weights(parts, group, lam))
        return mixed

    def _mean(self, lam: Any, picture: Any, *other: Any) -> Any:
        return picture.like(mean(picture.plain(), other[0].plain(), lam)) if other else picture

    def _on_one_canvas(self, parts: list[Leaves], may_grow: bool) -> list[Leaves]:
        if all(v.canvas == parts[-1][n].canvas for n, v in parts[0].items() if isinstance(v, TypedTensor)):
            return parts
        sizes = [one_canvas(self, p) for p in parts]
        if not may_grow:
            raise PlanError(
                f"{self} mixes pictures of one size, got {sizes[0]} and {sizes[1]} (height, width): Resize or RandomResizedCrop first"
            )
        size = max(s[0] for s in sizes), max(s[1] for s in sizes)
        return [{n: _grown(v, size) for n, v in p.items()} for p in parts]

    def _weights(self, parts: list[Leaves], group: Group, lam: float) -> Leaves:
        """One number an object: its picture's share, times the weight that it had."""
        if len(group) == 1 and is_loose(parts[0][group[0]]):
            return {}
        name = beside(group[0], WEIGHTS)
        shares = []
        for part, share in zip(parts, (lam, 1 - lam), strict=False):
            rows = part[group[0]]
            old: Tensor = part[name] if name in group else torch.ones(len(rows), device=rows.device)
            shares.append(old * share)
        return {name: torch.cat(shares)}


def _grown(leaf: Any, size: Size) -> Any:
    """A leaf on a larger canvas, at the top left of it."""
    if isinstance(leaf, (Image, Video)):
        return leaf.like(cut(leaf.plain(), 0, 0, *size))
    if isinstance(leaf, (BoundingBoxes, KeyPoints, Mask)):
        assert leaf.canvas is not None
        return pad(leaf, (0, 0, size[1] - leaf.canvas[1], size[0] - leaf.canvas[0]))
    return leaf
