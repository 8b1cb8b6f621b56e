"""CutMix (Yun et al., arXiv 1905.04899): a rectangle of another sample pasted over a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.errors import PlanError
from vdata.key import Key
from vdata.tensors import Flow, TypedTensor
from vdata.transforms._base import Leaves, same_size, value
from vdata.transforms._blending import Blending
from vdata.transforms._check import probability, put
from vdata.transforms._cover import Window, covered, inside
from vdata.transforms._info import Info
from vdata.transforms._lift import is_rows
from vdata.transforms._misled import with_occlusion
from vdata.transforms._objects import Group, groups, is_raster, joined, whole_numbers_off
from vdata.transforms._params import Params
from vdata.transforms._partners import one_canvas

Size = tuple[int, int]


@value
class CutMix(Blending):
    """A rectangle of another sample pasted over a sample, in the same place of every raster; labels mixed by area.

    alpha          the rectangle takes 1 - Beta(alpha, alpha) of the canvas, before the part that falls outside is cut off
    num_classes, labels_getter, p, instances
                   as in `MixUp`
    min_visible    an object stays when at least this share of it is left: in pixels of its mask, else of its box, else
                   of its labelled points; objects that vanish are dropped with all that belongs to them
    occlusion      the name of a Mask, if the sample has one, that becomes 1 where a flow's vector ends on the other
                   sample's content: from the rectangle out of it, or from outside into it

    Each sample has a rectangle of its own and another for a partner, chosen by its key. All frames of a sample must be of
    one size, and the partner's too. Params: "box" int64 [B, 4] (left, top, right, bottom),
    "lam" the share of the canvas that
    stays the sample's. Pictures, clips, semantic masks and flows (both frames and the vectors) take the rectangle.

    Objects: the other's are cut to the rectangle, the sample's to what it leaves of them. Boxes become the hull of the
    object's mask where that was cut; without masks, of what is left of the box (turned ones, and those with
    clamping_mode None, stay whole); integer boxes and points become float32. Covered key points are labelled, but not
    visible (visibility 1), covered loose points are dropped.

    By hand also on stacked pictures and labels, as in torchvision: `CutMix(num_classes=10)(images, labels)`.

    >>> images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 1])
    >>> [list(out.shape) for out in CutMix(num_classes=3)(images, labels)]
    [[4, 3, 8, 8], [4, 3]]
    """

    _: KW_ONLY
    alpha: float = 1.0
    num_classes: int | None = None
    labels_getter: Any = "default"
    p: float = 1.0
    min_visible: float = 0.1
    occlusion: str = "occlusion"
    instances: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        put(self, min_visible=probability(self.min_visible, "min_visible"))

    def draw_own(self, key: Key, info: Info) -> Params:
        sizes = same_size(self, info)[:, ::-1]  # (width, height), as boxes are written
        half = (0.5 * np.sqrt(1 - self.shares(key))[:, None] * sizes).astype(np.int64)
        centre = np.stack([key.fold(axis).integers(0, sizes[:, i]) for i, axis in enumerate(("x", "y"))], 1)
        low, high = np.maximum(centre - half, 0), np.minimum(centre + half, sizes)
        return {"box": np.concatenate([low, high], 1), "lam": 1 - (high - low).prod(1) / sizes.prod(1)}

    def blended(self, params: Params, sample: Leaves, other: Leaves) -> Leaves:
        size = one_canvas(self, sample)
        if one_canvas(self, other) != size:
            raise PlanError(
                f"{self} needs samples of one size, got {size} and {one_canvas(self, other)} (height, width): Resize or RandomResizedCrop first"
            )
        box = params["box"]
        mixed = {n: _pasted(v, other[n], box) if is_raster(v) else v for n, v in sample.items()}
        for group in groups([sample, other], self.objects):
            mixed.update(self._objects(sample, other, group, box, size))
        return with_occlusion(mixed, self.occlusion, lambda flow, ends: _astray(flow, ends, box))

    def _objects(self, sample: Leaves, other: Leaves, group: Group, box: Sequence[int], size: Size) -> Leaves:
        """What the rectangle leaves of the sample's own objects, and what is in it of the other's."""
        device = sample[group[0]].device
        parts = [
            covered(
                whole_numbers_off({n: leaves[n] for n in group}),
                group,
                Window(box, size, device, outside=adopted),
                self.min_visible,
                adopted=adopted,
            )
            for leaves, adopted in ((sample, False), (other, True))
        ]
        return joined(parts, group)


def _pasted(x: TypedTensor, other: TypedTensor, box: Any) -> TypedTensor:
    """A raster of one sample, or of B stacked ones, with the rectangle of another's."""
    if not is_rows(box):
        left, top, right, bottom = box
        out = x.plain().clone()
        out[..., top:bottom, left:right] = other.plain()[..., top:bottom, left:right]
        return x.like(out)
    taken = _rectangle(box, x)
    return x.like(torch.where(taken.reshape(len(x), *[1] * (x.ndim - 3), *taken.shape[1:]), other.plain(), x.plain()))


def _rectangle(box: Any, x: TypedTensor) -> Tensor:
    """The pixels of a raster that lie in a box: bool [H, W], or [B, H, W]."""
    left, top, right, bottom = _sides(box, x.device)
    row, column = (torch.arange(side, device=x.device) for side in x.shape[-2:])
    return ((row >= top) & (row < bottom))[..., None] & ((column >= left) & (column < right))[..., None, :]


def _sides(box: Any, device: torch.device, dims: int = 1) -> list[Any]:
    """left, top, right, bottom: numbers, or of B boxes tensors [B, 1, ...]."""
    return (
        [torch.as_tensor(side, device=device).reshape(-1, *[1] * dims) for side in box.T] if is_rows(box) else list(box)
    )


def _astray(flow: Flow, ends: Tensor, box: Any) -> Tensor:
    """Where vectors lead out of the rectangle, or into it: bool [..., H, W]."""
    return _rectangle(box, flow) != inside(ends, _sides(box, flow.device, 2))
