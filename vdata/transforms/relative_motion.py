"""A small motion more for the second frame of a flow."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.errors import PlanError
from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import fill_value, interval, put
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms.affine import affine
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.pad import fill_by_type
from vdata.transforms.rotate import angles, reading


@value
class RandomRelativeMotion(Geometric):
    """The second frame of the sample's flow is turned, shifted and scaled a little about its middle; the first stays.

    degrees    greatest turn either way, or (least, greatest); clockwise
    translate  greatest shift as shares of (width, height)
    scale      (least, greatest)

    The flow follows: what was at rest now moves by it. So does whatever lies on the second frame, and a backward flow.
    Source of the idea: FlowNet's augmentation (Dosovitskiy et al., ICCV 2015), which moves the second frame by a small transform more.

    >>> pair = {n: Image(torch.zeros(3, 8, 8)) for n in ("image1", "image2")}
    >>> still = {**pair, "flow": Flow(torch.zeros(2, 8, 8))}
    >>> RandomRelativeMotion(0, (0, 0), (2, 2))(still)["flow"][:, 4, 4].tolist()
    [0.5, 0.5]
    """

    degrees: Any = 5.0
    translate: Any = (0.03, 0.03)
    scale: Any = (0.95, 1.05)
    interpolation: Any = InterpolationMode.BILINEAR
    fill: Any = 0
    op = affine

    def __post_init__(self) -> None:
        shares = tuple(self.translate)
        if len(shares) != 2 or not all(0 <= s <= 1 for s in shares):
            raise ValueError(f"translate has a share in [0, 1] of the width and one of the height, got {self.translate!r}")
        put(self, degrees=angles(self.degrees, "degrees"), translate=shares, scale=interval(tuple(self.scale), "scale", 0))
        if self.scale[0] <= 0:
            raise ValueError(f"scale must be above 0, got {self.scale!r}")
        put(self, interpolation=reading(self.interpolation).mode, fill=fill_value(self.fill))

    def draw(self, key: Key, info: Info) -> Params:
        if info.second is None:
            raise PlanError(f"{self} moves the second frame of a flow, and the sample has no flow: give it one, or use RandomAffine")
        shift = key.fold("translate").uniform(-1.0, 1.0, 2) * np.array(self.translate)
        return {"angle": key.fold("angle").uniform(*self.degrees), "translate": shift, "scale": key.fold("scale").uniform(*self.scale)}

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {"angle": 0.0, "translate": (0.0, 0.0), "scale": 1.0, "shear": (0.0, 0.0), **self._reading()}

    def place_second(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        shift = np.asarray(params["translate"]) * np.array([size[1], size[0]])
        moved = {"angle": params["angle"], "translate": shift if shift.ndim == 2 else tuple(shift.tolist()), "scale": params["scale"]}
        return {**moved, "shear": (0.0, 0.0), **self._reading()}

    def _reading(self) -> dict[str, Any]:
        return {"interpolation": self.interpolation, "fill": fill_by_type(self.fill)}
