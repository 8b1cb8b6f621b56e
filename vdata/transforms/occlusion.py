"""What the first frame shows and the second does not: by two flows that disagree, or by content that leaves the frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.errors import PlanError
from vdata.tensors import Flow, Mask
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._info import Info, frame_of
from vdata.transforms._pairs import (
    by_shape,
    firsts,
    flow_names,
    flow_to_mark,
    frames_differ,
    landing,
    marked,
    outside,
)
from vdata.transforms._params import Params
from vdata.transforms._sometimes import strength
from vdata.transforms._warp import read_flow


def out_of_frame(flow: Flow) -> Mask:
    """Which pixels' content leaves the second frame: bool [..., H, W] on the first; False where the flow is unknown.

    >>> out_of_frame(Flow(torch.tensor([0.0, 1.0, 2.0]).expand(2, 1, 3), target_size=(9, 3))).tolist()
    [[False, False, True]]
    """
    return Mask(outside(landing(flow), flow.target_size), frame=flow.views[0])


def forward_backward_occlusion(flow: Flow, backward: Flow, alpha1: float = 0.01, alpha2: float = 0.5) -> Mask:
    """Which pixels of the first frame the second hides, by the two flows between them: bool [..., H, W].

    flow      Flow [..., 2, H, W], from the first frame to the second
    backward  Flow, from the second to the first
    alpha1    part of the squared lengths of both vectors that they may disagree by
    alpha2    and, in square pixels, how much more

    A pixel is hidden where |f(x) + b(x + f(x))|^2 >= alpha1 (|f(x)|^2 + |b(x + f(x))|^2) + alpha2, or where x + f(x) lies
    outside of the second frame. b is read between known pixels (by nearest, if sparse). Where either vector is unknown
    the result is False: nothing speaks for it.

    `alpha2` does not scale: after a resize the same scene gives another mask. So move the mask with the flow, as any
    transform does, rather than compute it again; or scale alpha2 by the square of the resize.

    Source: UnFlow (Meister et al., AAAI 2018, arXiv 1711.07837), section 3.2 and its two constants.

    Raises ValueError for flows that are not each other's way back.

    >>> there, back = Flow(torch.ones(2, 4, 4)), Flow(-torch.ones(2, 4, 4), views=("image2", "image1"))
    >>> forward_backward_occlusion(there, back).int()[0].tolist()
    [0, 0, 0, 1]
    """
    _alphas(alpha1, alpha2)
    _check(flow, backward)
    at = landing(flow)
    there = flow.plain()
    flat = lambda t, core: t.reshape(-1, *t.shape[-core:]) if t.ndim > core else t
    back = read_flow(flat(backward.plain(), 3), flat(at, 3), backward.sparse).reshape(there.shape)
    apart, long = _squared(there + back), _squared(there) + _squared(back)
    return Mask((apart >= alpha1 * long + alpha2) | outside(at, flow.target_size), frame=flow.views[0])


def _alphas(alpha1: float, alpha2: float) -> None:
    strength(alpha1, "alpha1")
    strength(alpha2, "alpha2")


def _squared(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-3)


def _check(flow: Flow, backward: Flow) -> None:
    if not isinstance(flow, Flow) or not isinstance(backward, Flow):
        raise TypeError(f"two Flows are compared, got {type(flow).__name__} and {type(backward).__name__}")
    if backward.views != flow.views[::-1]:
        raise ValueError(
            f"backward should lead from {flow.views[1]!r} to {flow.views[0]!r}, but its views are {backward.views}"
        )
    if (
        backward.canvas != flow.target_size
        or backward.target_size != flow.canvas
        or backward.shape[:-3] != flow.shape[:-3]
    ):
        raise ValueError(
            f"the flows do not lie on each other's frames: {list(flow.shape)} leads to {flow.target_size}, {list(backward.shape)} to "
            f"{backward.target_size} (height, width)"
        )


@value
class MarkOcclusion(Transform):
    """Adds to a mask, or makes it, the pixels of the first frame whose content the second does not show.

    name          the mask: bool, or integers where 1 is hidden
    out_of_frame  mark what leaves the second frame: after a crop, what the whole frame still had
    consistency   mark where the flow and its backward flow disagree, by `functional.forward_backward_occlusion`. It depends
                  on the scale: put it before a resize
    alpha1        as there
    alpha2        as there
    flow          the name of the flow; None: the sample's first

    Occluded is not unknown: the flow stays. What was marked stays so. Raises PlanError without a flow, or a backward flow
    where it is asked for.

    >>> flow = Flow(torch.full((2, 4, 4), 2.0))
    >>> out = T.Compose([T.CenterCrop(2), MarkOcclusion()])({"image1": Image(torch.zeros(3, 4, 4)), "flow": flow})
    >>> out["occlusion"].tolist()
    [[True, True], [True, True]]
    """

    name: str = "occlusion"
    out_of_frame: bool = True
    consistency: bool = False
    alpha1: float = 0.01
    alpha2: float = 0.5
    flow: str | None = None

    def __post_init__(self) -> None:
        if not self.out_of_frame and not self.consistency:
            raise ValueError("MarkOcclusion marks nothing: set out_of_frame or consistency")
        _alphas(self.alpha1, self.alpha2)

    def after(self, params: Params, info: Info) -> Info:
        known = {self.name: "bool", **info.dtypes}
        return replace(info, types={**info.types, self.name: "Mask"}, dtypes=known)

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return {**sample, **self._marked(self._read(sample), sample)}

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        if frames_differ(batch.values()):
            return self._one_by_one(params, batch)
        read = self._read(firsts(batch))
        present = [n for n in read if n in batch]
        return by_shape(batch, present, [], lambda rows, part: {**part, **self._marked(read, part)})

    def _read(self, sample: Any) -> list[str]:
        """The names of the mask, the flow and, where asked for, the backward flow."""
        mask = sample.get(self.name)
        flow = self.flow if self.flow is not None else next(iter(flow_names(sample)), None)
        if flow is None or not isinstance(sample.get(flow), Flow):
            raise PlanError(
                f"{self} needs a flow{'' if flow is None else f' {flow!r}'}, and the sample has {sorted(sample)}"
            )
        first, second = sample[flow].views
        if mask is not None and (on := frame_of(self.name, mask, sample)) != first:
            raise PlanError(
                f"{self}: {self.name!r} lies on {on!r}, but the flow {flow!r} on {first!r}: name another mask or flow"
            )
        flow_to_mark(type(self).__name__, self.name, mask, {flow: sample[flow]}, first, second)
        if not self.consistency:
            return [self.name, flow]
        back = flow_names(sample, second, first)
        if not back:
            raise PlanError(
                f"{self} compares {flow!r} with a flow from {second!r} to {first!r}, and the sample has none: set consistency=False"
            )
        return [self.name, flow, back[0]]

    def _marked(self, read: list[str], leaves: Any) -> Leaves:
        name, flow, *back = read
        forth = leaves[flow]
        hidden = out_of_frame(forth).plain() if self.out_of_frame else torch.tensor(False, device=forth.device)
        for other in back:
            hidden = hidden | forward_backward_occlusion(forth, leaves[other], self.alpha1, self.alpha2).plain()
        return {name: marked(leaves[name], hidden) if name in leaves else Mask(hidden, frame=forth.views[0])}
