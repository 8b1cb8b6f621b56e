"""Put the canvas somewhere on a larger one."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import fill_value, interval, probability, put
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms.pad import fill_by_type, pad
from vdata.transforms.random_resize import plain, scaled


@value
class RandomZoomOut(Geometric):
    """With probability `p`, make the canvas larger by a factor from `side_range` and put the old one anywhere on it.

    fill        new pixels, as in `Pad`
    side_range  the factor, least and greatest, at least 1: drawn evenly, one for both sides
    p           the probability

    Frames of unequal sizes grow by one factor and lie at the same place, each in its own pixels. Source: Liu et al.,
    "SSD: Single Shot MultiBox Detector", ECCV 2016.

    >>> RandomZoomOut(side_range=(2, 2), p=1.0)(Image(torch.zeros(3, 4, 6))).shape
    torch.Size([3, 8, 12])
    """

    fill: Any = 0
    side_range: tuple[float, float] = (1.0, 4.0)
    p: float = 0.5
    op = pad

    def __post_init__(self) -> None:
        probability(self.p)
        put(self, fill=fill_value(self.fill), side_range=interval(self.side_range, "side_range", 1))

    def draw(self, key: Key, info: Info) -> Params:
        return {
            "apply": key.fold("apply").bernoulli(self.p),
            "scale": key.fold("scale").uniform(*self.side_range),
            "top": key.fold("top").uniform(),
            "left": key.fold("left").uniform(),
        }

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        room = scaled(np.array(size), params["scale"]) - size
        before = np.floor(room * np.stack([params["top"], params["left"]], -1)).astype(np.int64)
        after = room - before
        padding = np.stack([before[..., 1], before[..., 0], after[..., 1], after[..., 0]], -1)
        return {"padding": plain(padding), "fill": fill_by_type(self.fill)}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.where(np.asarray(params["apply"])[:, None], scaled(sizes, params["scale"]), sizes)
