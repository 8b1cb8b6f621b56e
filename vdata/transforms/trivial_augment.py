"""TrivialAugment (Müller and Hutter, arXiv 2103.10158), its wide space."""

from __future__ import annotations

from typing import Any

from vdata.key import Key
from vdata.transforms._base import value
from vdata.transforms._check import whole
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms._policy import OPS, WIDE, named
from vdata.transforms._policy_steps import Policy

_CHOICE = named(*OPS[:-1])  # all but Invert


@value
class TrivialAugmentWide(Policy):
    """One of fourteen ops, of one of all strengths, both drawn evenly.

    num_magnitude_bins  how many even steps there are from weakest to strongest
    interpolation       how pictures are read under geometric ops
    fill                new pixels, as in `functional.pad`; None is 0 for pictures
    geometric           whether ops that move the canvas (shear, translate, rotate) are done; else they are Identity

    Geometry moves boxes, masks, key points and flows along; all pictures of a sample get the same op.

    >>> TrivialAugmentWide()(Image(torch.zeros(3, 8, 8, dtype=torch.uint8))).shape
    torch.Size([3, 8, 8])
    """

    num_magnitude_bins: int = 31
    interpolation: Any = "nearest"
    fill: Any = None
    geometric: bool = True
    space = WIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.num_magnitude_bins, "num_magnitude_bins")

    @property
    def bins(self) -> int:
        return self.num_magnitude_bins

    def draw(self, key: Key, info: Info) -> Params:
        op = _CHOICE[key.fold("op").integers(0, len(_CHOICE), 1)]
        return self.plan(key, op, key.fold("magnitude").integers(0, self.bins, 1))
