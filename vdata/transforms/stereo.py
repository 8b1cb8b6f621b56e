"""Stereo pairs: disparity as the flow that it is, and the one mirror that leaves its sign right."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.tensors import Flow, TypedTensor
from vdata.transforms._base import Leaves, value
from vdata.transforms._info import Info
from vdata.transforms._params import Params, row
from vdata.transforms.flip import RandomHorizontalFlip
from vdata.transforms.swap_frames import RandomSwapFrames

_LEVEL = 1e-3  # pixels: a rectified pair's vectors are level to this


def disparity_to_flow(
    disparity: Any,
    valid: Any = None,
    *,
    right: bool = False,
    views: tuple[str, str] | None = None,
    sparse: bool = False,
) -> Flow:
    """The flow (-d, 0) from the left picture to the right one; so disparities move with every transform.

    disparity  [..., H, W] in pixels, at least 0: the content at x of the left picture is at x - d of the right; unknown
               where it is not finite
    valid      [..., H, W], optional: False or 0 where it is unknown (files of KITTI have 0 there)
    right      it is the right picture's disparity, and the flow (d, 0) leads from the right to the left
    views      the frames' names; None: ("image1", "image2"), left and right, reversed with `right`
    sparse     as in Flow

    Raises ValueError for disparities below 0.

    >>> disparity_to_flow(torch.tensor([[3.0, torch.inf]])).tolist()
    [[[-3.0, nan]], [[0.0, nan]]]
    """
    d = torch.as_tensor(disparity.plain() if isinstance(disparity, TypedTensor) else disparity)
    d = d if d.dtype == torch.float64 else d.float()
    known = d.isfinite()
    if valid is not None:
        known = known & torch.as_tensor(valid.plain() if isinstance(valid, TypedTensor) else valid).bool()
    if bool((d[known] < 0).any()):
        raise ValueError(
            f"disparities are at least 0, got {d[known].min().item():g}: pass valid=... where it is unknown, or the other sign"
        )
    across = torch.where(known, d if right else 0 - d, torch.nan)
    if views is None:
        views = ("image2", "image1") if right else ("image1", "image2")
    return Flow(torch.stack([across, torch.where(known, 0, across)], -3), views=views, sparse=sparse, dtype=d.dtype)


def flow_to_disparity(flow: Flow, *, right: bool = False) -> Tensor:
    """The disparity [..., H, W] that a flow between rectified pictures is; NaN where unknown. The inverse of the above.

    Raises ValueError where vectors are not level or point the wrong way, as after a mirror that did not exchange the
    pictures (`RandomStereoFlip` does).

    >>> flow_to_disparity(disparity_to_flow(torch.tensor([[3.0, 0.5]]))).tolist()
    [[3.0, 0.5]]
    """
    u, v = flow.plain().unbind(-3)
    if bool((v.abs() > _LEVEL).any()):
        raise ValueError(
            f"vectors rise by up to {v[v.isfinite()].abs().max().item():g} pixels: the pictures are not rectified (any more)"
        )
    d = u if right else 0 - u
    if bool((d < -_LEVEL).any()):
        raise ValueError(
            f"disparities of {d[d.isfinite()].min().item():g}, and they are at least 0: "
            f"was the pair mirrored without exchanging its pictures (use RandomStereoFlip), or is right={not right} meant?"
        )
    return torch.where(v.isfinite(), d, torch.nan)


@value
class RandomStereoFlip(RandomSwapFrames):
    """With probability `p` a stereo pair seen in a mirror: left and right mirrored, and the two pictures exchanged.

    A mirror alone would make the left picture a right one and turn disparities negative. Exchanging the pictures, and the
    flow with that of the right view, leaves a pair as any other: rectified, of disparities of at least 0. Arguments and what
    becomes of other leaves as in `RandomSwapFrames`. Raises PlanError where the right view's disparity is missing.

    >>> d = torch.ones(4, 4)
    >>> sample = {"image1": Image(torch.zeros(3, 4, 4)), "image2": Image(torch.ones(3, 4, 4)),
    ...           "flow": disparity_to_flow(d), "right": disparity_to_flow(2 * d, right=True)}
    >>> flow_to_disparity(RandomStereoFlip(p=1.0)(sample)["flow"]).unique().tolist()
    [2.0]
    """

    lacking = (
        "the mirrored pair's disparity is the other view's: give the sample both, disparity_to_flow(d) and "
        "disparity_to_flow(d_right, right=True), or leave {owner} out"
    )

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return _mirror(super().apply(params, sample)) if self.chosen(params) else sample

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        swapped = super().apply_chosen(params, batch)
        return RandomHorizontalFlip().apply_rows({"flip": np.ones(batch.size, bool)}, swapped)

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return super().inverse(params, _mirror(sample), info) if self.chosen(row(params, 0)) else sample


def _mirror(sample: Leaves) -> Leaves:
    return RandomHorizontalFlip().apply({"flip": True}, sample)
