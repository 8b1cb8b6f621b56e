"""RandAugment (Cubuk et al., arXiv 1909.13719)."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import value
from vdata.transforms._check import put, whole
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms._policy import OPS, RAND, named
from vdata.transforms._policy_steps import Policy

_CHOICE = named(*OPS[:-1])  # all but Invert


@value
class RandAugment(Policy):
    """`num_ops` of fourteen ops, drawn evenly with repetition, all of one strength; a sign each where an op has two.

    num_ops             how many, one after the other
    magnitude           the bin of all of them, 0 (nothing, for most) to num_magnitude_bins - 1
    num_magnitude_bins  how many even steps there are from weakest to strongest
    interpolation       how pictures are read under geometric ops
    fill                new pixels, as in `functional.pad`; None is 0 for pictures
    geometric           whether ops that move the canvas (shear, translate, rotate) are done; else they are Identity

    Geometry moves boxes, masks, key points and flows along; all pictures of a sample get the same ops.

    >>> RandAugment()(Image(torch.zeros(3, 8, 8, dtype=torch.uint8))).shape
    torch.Size([3, 8, 8])
    """

    num_ops: int = 2
    magnitude: int = 9
    num_magnitude_bins: int = 31
    interpolation: Any = "nearest"
    fill: Any = None
    geometric: bool = True
    space = RAND

    def __post_init__(self) -> None:
        super().__post_init__()
        put(self, num_ops=whole(self.num_ops, "num_ops", 0), magnitude=whole(self.magnitude, "magnitude", 0))
        if self.magnitude >= whole(self.num_magnitude_bins, "num_magnitude_bins"):
            raise ValueError(
                f"magnitude must be below num_magnitude_bins, {self.num_magnitude_bins}, got {self.magnitude}"
            )

    @property
    def bins(self) -> int:
        return self.num_magnitude_bins

    def draw(self, key: Key, info: Info) -> Params:
        op = _CHOICE[key.fold("op").integers(0, len(_CHOICE), self.num_ops)]
        return self.plan(key, op, np.full(op.shape, self.magnitude, np.int64))
