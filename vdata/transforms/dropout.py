"""Several small rectangles without content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import value
from vdata.transforms._check import interval, probability, put, whole
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms.erase import Erasing, erasing_value, frame_names


@value
class CoarseDropout(Erasing):
    """With probability `p`, several holes in all frames, which must be of one size.

    num_holes  how many, least and greatest (both included), or one number
    hole_size  each hole's height and width, as shares of the canvas's, (least, greatest) or one share; at least a pixel
    fill       what the holes' pixels become, as `value` of `RandomErasing`
    frames     the names of the pictures that get holes; None: all of them

    The middle of a hole is anywhere on the canvas and what leaves the canvas is cut, so that a corner is hidden as often
    as the middle. Labels and flows as in `RandomErasing`.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (arXiv 1708.04552),
    whose 16 x 16 pixels of 32 x 32 are `CoarseDropout(1, 0.5, p=1)`.

    >>> CoarseDropout(3, 0.25, fill=0.5, p=1)(Image(torch.zeros(3, 32, 32))).unique().tolist()
    [0.0, 0.5]
    """

    num_holes: int | Sequence[int] = (1, 8)
    hole_size: float | Sequence[float] = (0.1, 0.2)
    fill: Any = 0
    p: float = 0.5
    frames: Any = None

    def __post_init__(self) -> None:
        probability(self.p)
        counts, sizes = (v if isinstance(v, Sequence) else (v, v) for v in (self.num_holes, self.hole_size))
        if len(counts) != 2 or whole(counts[0], "num_holes") > whole(counts[1], "num_holes"):
            raise ValueError(f"num_holes must be a whole number or (least, greatest), got {self.num_holes!r}")
        put(self, num_holes=tuple(counts), hole_size=interval(sizes, "hole_size", 0, 1))
        put(self, fill=erasing_value(self.fill, "fill"), frames=frame_names(self.frames))

    @property
    def content(self) -> Any:
        return self.fill

    def draw(self, key: Key, info: Info) -> Params:
        sizes = self.canvases(info)
        least, most = self.num_holes  # type: ignore[misc]
        count = key.fold("count").integers(least, most + 1)
        top, height = self._spans(key.fold("vertical"), sizes[:, :1], most)
        left, width = self._spans(key.fold("horizontal"), sizes[:, 1:], most)
        holes = np.stack([top, left, height, width], -1)
        holes[np.arange(most) >= count[:, None]] = 0  # a hole of no size is none
        return {"apply": key.fold("apply").bernoulli(self.p), "holes": holes, **self.noise(key)}

    def _spans(self, key: Key, length: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """First pixels and lengths, int64 [B, count] each, of parts of lines of `length` (int64 [B, 1])."""
        share = key.fold("size").uniform(*interval(self.hole_size, "hole_size"), count)
        size = np.maximum(np.rint(share * length), 1).astype(np.int64)
        first = (key.fold("place").uniform(0, 1, count) * length).astype(np.int64) - size // 2
        last = np.minimum(first + size, length)
        first = np.maximum(first, 0)
        return first, last - first

    def windows(self, params: Params) -> Any:
        return params["holes"]
