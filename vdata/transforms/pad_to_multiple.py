"""Sides that a network's strides divide."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.transforms._base import Params, value
from vdata.transforms._check import fill_value, padding_mode, put, size_pair
from vdata.transforms._geometric import Geometric
from vdata.transforms.pad import fill_by_type, pad

MODES = ("sintel", "kitti", "right_bottom")


@value
class PadToMultiple(Geometric):
    """Add a border so that each side becomes the next multiple of `multiple`.

    multiple      one number, or (height, width)
    mode          where the border goes: "sintel" on all sides, an odd pixel on the right and at the bottom; "kitti" on
                  the left, the right and the bottom (driving scenes have nothing to say at the bottom, and their horizon
                  stays); "right_bottom" there alone, so that coordinates stay. The first two are those of InputPadder in
                  the RAFT code (Teed and Deng, ECCV 2020)
    padding_mode  what the border holds, as in `Pad`; flows are unknown there under every mode
    fill          as in `Pad`, under "constant"

    Predictions on the padded canvas, flows too, come back exactly by `inverse`.

    >>> PadToMultiple(8)(Image(torch.zeros(3, 20, 33))).shape
    torch.Size([3, 24, 40])
    """

    multiple: Any
    mode: str = "sintel"
    padding_mode: str = "edge"
    fill: Any = 0
    op = pad

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        put(self, multiple=size_pair(self.multiple, "multiple"), fill=fill_value(self.fill))
        padding_mode(self.padding_mode)

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        down, across = (-side % multiple for side, multiple in zip(size, self.multiple, strict=True))
        left = 0 if self.mode == "right_bottom" else across // 2
        top = down // 2 if self.mode == "sintel" else 0
        padding = (left, top, across - left, down - top)
        return {"padding": padding, "fill": fill_by_type(self.fill), "padding_mode": self.padding_mode}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return sizes + -sizes % np.array(self.multiple)
