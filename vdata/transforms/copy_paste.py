"""Simple copy and paste (Ghiasi et al., arXiv 2012.07177): another sample's objects pasted over a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import Flow, Image, Label, Mask, TypedTensor, Video
from vdata.transforms._base import Leaves, value
from vdata.transforms._check import probability, put
from vdata.transforms._colour import clipped, precise
from vdata.transforms._cover import Pixels, covered, marks_of
from vdata.transforms._info import Info, frame_of
from vdata.transforms._instances import instances, kept
from vdata.transforms._mixing import Mixing
from vdata.transforms._objects import Group, first_of, groups, is_loose, joined, object_names, whole_numbers_off
from vdata.transforms._params import Params
from vdata.transforms._partners import aligned, called, one_canvas
from vdata.transforms.blur import gaussian_blur
from vdata.transforms.interpolation import tensor_mode
from vdata.transforms.resize import BILINEAR, resize

_KERNEL, _SIGMA = 5, 2.0  # pixels, those of torchvision's prototype


@value
class SimpleCopyPaste(Mixing):
    """Some of another sample's objects pasted over a sample, by their masks.

    blending              whether the seams are soft: the pasted pixels' share is their mask blurred by a Gaussian (sigma 2, 5
                          pixels wide). Masks, boxes and points go by the mask itself
    resize_interpolation, antialias
                          how the other's picture is brought to the sample's size, where it is of another
    p                     how likely objects are pasted; other samples stay as they are
    min_visible           an object of the sample stays when at least this share of its mask is left
    instances             the leaves with one row an object (`T.Instances`); None for the usual names

    Of N objects, those are pasted that N draws with replacement hit: at least one, two thirds of many. The sample's masks
    lose what is pasted over them; where they did, boxes become the mask's hull (turned ones, and those with clamping_mode None,
    stay whole), and covered key points are labelled, but not visible (visibility 1). Objects that vanish are dropped with all
    that belongs to them, as are covered loose points. A semantic mask takes the pasted pixels' classes. Integer boxes and points
    become float32. Labels of whole samples and other leaves stay the sample's. Params: "apply" and "selection", a sub-key.

    Raises PlanError without instance masks, and NoKernelError for clips, flows and further frames, on which the objects have
    no masks. Samples should be jittered in scale and cropped to one size first (RandomResizedCrop, or the paper's ScaleJitter).

    >>> one = {"image": Image(torch.rand(3, 8, 8)), "masks": Mask(torch.ones(1, 8, 8, dtype=torch.bool), kind="instance")}
    >>> paste = SimpleCopyPaste()
    >>> mixed = paste.mix(T.row(paste.draw(Key.of(0), T.Info.of([one])), 0), one, [{**one, "image": Image(torch.zeros(3, 8, 8))}])
    >>> mixed["masks"].shape, mixed["image"].plain().max().item()    # the other's object hides the sample's
    (torch.Size([1, 8, 8]), 0.0)
    """

    blending: bool = True
    resize_interpolation: Any = BILINEAR
    antialias: bool | None = True
    p: float = 1.0
    min_visible: float = 0.1
    instances: Any = None

    def __post_init__(self) -> None:
        put(
            self,
            resize_interpolation=tensor_mode(self.resize_interpolation, self.antialias),
            p=probability(self.p),
            min_visible=probability(self.min_visible, "min_visible"),
            instances=None if self.instances is None else instances(self.instances),
        )

    def draw_own(self, key: Key, info: Info) -> Params:
        return {"apply": key.fold("apply").bernoulli(self.p), "selection": key.fold("selection").bits}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def after(self, params: Params, info: Info) -> Info:
        return info.dropped()

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample

    def mix(self, params: Params, sample: Leaves, others: Sequence[Leaves]) -> Leaves:
        own, other = (whole_numbers_off(s) for s in aligned(self, [sample, *others]))
        named = groups([own, other], object_names(self.instances))
        group = self._masked(own, named)
        size = one_canvas(self, own)
        if one_canvas(self, other) != size:
            other = {n: self._resized(v, size) for n, v in other.items()}
        pasted = _selected({n: other[n] for n in group}, group, params["selection"])
        alpha = marks_of(first_of(pasted, group, Mask)).any(0)
        out = {n: self._pasted(v, other[n], alpha) if _is_raster(v) else v for n, v in own.items()}
        for names in named:
            left = covered(own, names, Pixels(alpha), self.min_visible)
            out.update(joined([left, pasted], group) if names == group else left)
        return out

    def _masked(self, sample: Leaves, named: Sequence[Group]) -> Group:
        """The group of objects with masks, when all that is in the sample can follow them."""
        masked = [g for g in named if first_of(sample, g, Mask) is not None]
        objects = [g for g in named if not (len(g) == 1 and is_loose(sample[g[0]]))]
        if len(masked) != 1 or objects != masked:
            raise PlanError(
                f'{self} pastes objects by their masks: {called(sample)} needs one Mask(kind="instance") leaf with a row for each of its '
                f"objects, and has {sorted(n for g in objects for n in g)}"
            )
        mask = first_of(sample, masked[0], Mask)
        frame = frame_of(next(n for n in masked[0] if sample[n] is mask), mask, sample)
        for name, leaf in sample.items():
            if isinstance(leaf, (Video, Flow)) or (
                isinstance(leaf, TypedTensor) and not isinstance(leaf, Label) and frame_of(name, leaf, sample) != frame
            ):
                raise NoKernelError(
                    f"{self} cannot paste into {name!r}, a {type(leaf).__name__}: the objects' masks lie on {frame!r} alone"
                )
        return masked[0]

    def _resized(self, leaf: Any, size: tuple[int, int]) -> Any:
        if not isinstance(leaf, TypedTensor) or isinstance(leaf, Label):
            return leaf
        return resize(leaf, size, self.resize_interpolation, antialias=self.antialias)

    def _pasted(self, leaf: Any, other: Any, alpha: Tensor) -> Any:
        if isinstance(leaf, Image) and self.blending:
            return leaf.like(
                _laid_over(leaf.plain(), other.plain(), gaussian_blur(alpha.float()[None], _KERNEL, _SIGMA))
            )
        return leaf.like(torch.where(alpha, other.plain(), leaf.plain()))


def _is_raster(leaf: Any) -> bool:
    return isinstance(leaf, Image) or (isinstance(leaf, Mask) and leaf.kind == "semantic")


def _selected(leaves: Leaves, group: Group, selection: int) -> Leaves:
    """The objects to paste: those with a mask that as many draws as there are objects hit."""
    masks = marks_of(first_of(leaves, group, Mask))
    count = len(masks)
    hit = torch.zeros(count, dtype=torch.bool, device=masks.device)
    if count:
        hit[torch.from_numpy(Key(np.array([selection], np.uint64)).integers(0, count, count)[0]).to(hit.device)] = True
    return kept(leaves, leaves, hit & masks.flatten(1).any(1))


def _laid_over(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    work = precise(x.dtype)
    out = torch.lerp(x.to(work), other.to(work), share.to(work))
    return out.to(x.dtype) if x.is_floating_point() else clipped(out.round_(), x.dtype)
