"""Bring the longer side to a length."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.transforms._base import Params, value
from vdata.transforms._check import put, whole
from vdata.transforms._geometric import Geometric
from vdata.transforms.interpolation import tensor_mode
from vdata.transforms.resize import BILINEAR, resize, resized_sizes


@value
class ResizeLongest(Geometric):
    """Resize the longer side of each frame to `max_size`, the shorter by its ratio, cut to whole pixels.

    `Resize(None, max_size=...)` by another name; other libraries say LongestMaxSize.

    >>> ResizeLongest(8)(Image(torch.zeros(3, 8, 16))).shape
    torch.Size([3, 4, 8])
    """

    max_size: int
    interpolation: Any = BILINEAR
    antialias: bool | None = True
    op = resize

    def __post_init__(self) -> None:
        put(self, max_size=whole(self.max_size, "max_size"))
        put(self, interpolation=tensor_mode(self.interpolation, self.antialias))

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        how = {"interpolation": self.interpolation, "antialias": self.antialias}
        return {"size": None, "max_size": self.max_size, **how}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return resized_sizes(sizes, None, self.max_size)
