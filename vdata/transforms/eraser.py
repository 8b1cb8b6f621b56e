"""Rectangles of the second frame hidden: what was there has to be found by all the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.errors import PlanError
from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._check import interval, probability, put
from vdata.transforms._colour import floating, on_colour
from vdata.transforms._info import Info, frame_of, second_frame
from vdata.transforms._pairs import by_shape, firsts, flow_to_mark, frames_differ, landing, marked
from vdata.transforms._params import Params, rows_of
from vdata.transforms._pixels import cast_rounded
from vdata.transforms._rows import flat


@value
class RandomFlowErasing(Transform):
    """With probability `p`, rectangles of the flow's second frame get its mean colour.

    p          how often
    count      (least, greatest) number of rectangles
    sides      (least, greatest) length of a side in pixels; a rectangle's corner is anywhere, and what leaves the frame
               is cut
    frame      the frame to erase from; None: that to which the sample's first flow leads
    occlusion  the name of a mask; where the sample has it, pixels of it that the flow takes into a rectangle become 1
               (True): their content is hidden now. None: no mask changes

    Flows stay as they are, bit for bit, known where they were known: the rectangles simulate occlusion, whose flow a
    network must infer. So does a backward flow, though in a rectangle nothing is left to see it by. Alpha stays.

    Source: RAFT (Teed and Deng, arXiv 2003.12039), after HSM-Net (Yang et al., CVPR 2019). torchvision's references have
    RandomErasing instead, with its areas and mid-grey.

    >>> sample = {"image1": Image(torch.ones(3, 64, 64)), "image2": Image(torch.rand(3, 64, 64)), "flow": Flow(torch.zeros(2, 64, 64))}
    >>> torch.equal(RandomFlowErasing(p=1.0)(sample)["image1"], sample["image1"])
    True
    """

    p: float = 0.5
    count: tuple[int, int] = (1, 2)
    sides: tuple[int, int] = (50, 100)
    frame: str | None = None
    occlusion: str | None = "occlusion"

    def __post_init__(self) -> None:
        probability(self.p)
        for name in ("count", "sides"):
            least, greatest = interval(getattr(self, name), name, 1)
            if least != int(least) or greatest != int(greatest):
                raise ValueError(f"{name} must be (least, greatest) whole numbers, got {getattr(self, name)!r}")
            put(self, **{name: (int(least), int(greatest))})

    def draw(self, key: Key, info: Info) -> Params:
        most = self.count[1]
        return {
            "apply": key.fold("apply").bernoulli(self.p),
            "count": key.fold("count").integers(self.count[0], most + 1),
            "corner": key.fold("corner").uniform(0, 1, most, 2),  # (down, across), as parts of the frame
            "sides": key.fold("sides").integers(self.sides[0], self.sides[1] + 1, most, 2),
        }

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        if self.p == 0:
            return sample
        read = self._read(sample)  # what it cannot do it says of every sample, not of those that are chosen
        return {**sample, **self._erased(params, read, sample)} if self.chosen(params) else sample

    def apply_rows(self, params: Params, batch: Batch) -> Any:
        """Samples of equal shapes at once."""
        chosen = np.asarray(params["apply"])
        if not chosen.any() or not flat(batch):
            return super().apply_rows(params, batch)
        if frames_differ(batch.values()):
            return self._one_by_one(params, batch)
        read = self._read(firsts(batch))

        def change(rows: np.ndarray, part: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**part, **self._erased(rows_of(params, rows), read, part)} if chosen[rows[0]] else part

        return by_shape(batch, filter(None, read.values()), [chosen.astype(np.int64)], change)

    def _read(self, sample: Mapping[str, Any]) -> dict[str, str | None]:
        """The names of the picture to erase from, of the mask to mark and of the flow that tells where."""
        frame = self.frame if self.frame is not None else second_frame(sample)
        if frame is None:
            raise PlanError(
                f"{self} erases from the frame to which a flow leads, and the sample has no flow: say which with frame=..."
            )
        if not isinstance(sample.get(frame), (Image, Video)):
            raise PlanError(
                f"{self} erases from {frame!r}, and the sample has no picture of that name, only {sorted(sample)}"
            )
        name = self.occlusion
        if name is None or name not in sample:
            return {"picture": frame, "mask": None, "flow": None}
        mask = sample[name]
        on = frame_of(name, mask, sample)
        flow = flow_to_mark(type(self).__name__, name, mask, sample, on, frame)
        return {"picture": frame, "mask": name, "flow": flow}

    def _erased(self, params: Params, read: Mapping[str, str | None], leaves: Mapping[str, Any]) -> Leaves:
        """The leaves that change, of a sample or of stacked ones."""
        name, mask, flow = read["picture"], read["mask"], read["flow"]
        assert name is not None
        picture = leaves[name]
        erased = rectangles(params, picture.canvas)
        out = {name: picture.like(on_colour(picture.plain(), lambda x: _mean_in(x, erased)))}
        if mask is not None and flow is not None:
            out[mask] = marked(leaves[mask], covered(landing(leaves[flow]), erased))
        return out


def rectangles(params: Params, size: tuple[int, int]) -> np.ndarray:
    """(top, left, bottom, right) of the rectangles on a frame: int64 [most, 4], or [B, most, 4] for the params of B samples.

    Those that are not used are empty.
    """
    corner, sides, count = (np.asarray(params[n]) for n in ("corner", "sides", "count"))
    first = np.floor(corner * size).astype(np.int64)
    used = np.arange(corner.shape[-2]) < count[..., None]
    return np.concatenate([first, np.where(used[..., None], np.minimum(first + sides, size), first)], -1)


def covered(at: Tensor, erased: np.ndarray) -> Tensor:
    """Which points [..., H, W, 2] lie in any of the rectangles; [B, H, W] where these are [B, most, 4]. NaN does not."""
    x, y = at.unbind(-1)
    hit = torch.zeros((), dtype=torch.bool, device=at.device)
    for top, left, bottom, right in torch.from_numpy(erased).to(at.device)[..., None, None].movedim((-4, -3), (0, 1)):
        hit = hit | ((y >= top) & (y < bottom) & (x >= left) & (x < right))
    return hit


def _mean_in(x: Tensor, erased: np.ndarray) -> Tensor:
    """x with its mean colour in the rectangles [most, 4], or each row of it in its own of [B, most, 4]."""
    mean = cast_rounded(floating(x).mean((-2, -1), keepdim=True), x.dtype)
    out = x.clone()
    rows = zip(out, mean, erased, strict=True) if erased.ndim == 3 else [(out, mean, erased)]
    for picture, colour, rectangles in rows:
        for top, left, bottom, right in rectangles.tolist():
            picture[..., top:bottom, left:right] = colour
    return out
