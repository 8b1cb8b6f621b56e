"""Flow in pictures made of several: a vector that ends on another sample's content leads to what is not seen any more."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from vdata.tensors import Flow, Mask
from vdata.transforms._base import Leaves
from vdata.transforms._info import frame_of
from vdata.transforms._pairs import landing, marked


def with_occlusion(leaves: Leaves, name: str, astray: Callable[[Flow, Tensor], Tensor]) -> Leaves:
    """The leaves, the semantic Mask `name` (if there is one) 1 where a vector of a flow on its frame leads elsewhere.

    astray  says of a flow, and of where its vectors end ([..., H, W, 2], NaN where unknown), which do: bool [..., H, W]
    """
    mask = leaves.get(name)
    if not isinstance(mask, Mask) or mask.kind != "semantic":
        return leaves
    for flow in leaves.values():
        if isinstance(flow, Flow) and flow.views[0] == frame_of(name, mask, leaves):
            ends = landing(flow)
            mask = marked(mask, astray(flow, ends) & ends.isfinite().all(-1))
    return {**leaves, name: mask}
