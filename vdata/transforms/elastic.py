"""Move every pixel by a displacement of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._bent import Bent
from vdata.transforms._check import fill_value, put
from vdata.transforms._field import Ripples, in_pixels
from vdata.transforms._geometric import Geometric, Placed
from vdata.transforms._info import Info
from vdata.transforms._lift import is_rows
from vdata.transforms._op import spatial
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.pad import fill_by_type
from vdata.transforms.rotate import reading

BILINEAR = InterpolationMode.BILINEAR


@spatial
def elastic(inpt: Any, displacement: Any, interpolation: Any = BILINEAR, fill: Any = None, row: Any = None) -> Any:
    """Each new pixel is read at its place plus its displacement.

    displacement  float [1, H, W, 2] in half canvases, (right, down), as torchvision: 2 / W is one pixel to the right; or [F, H, W, 2]
    row           of several displacements, the number of the one to take, or int [R] for the rows of the input; None for
                  one a row

    Boxes, key points and flow vectors go the opposite way by the true inverse (found by iteration), where torchvision takes the
    first step of it; where the displacement bends by 1 a pixel or more there may be none, and for these types it raises ValueError.

    >>> still = torch.zeros(1, 8, 8, 2)
    >>> elastic(KeyPoints([[2.75, 3.5]], canvas_size=(8, 8)), still).tolist()
    [[2.75, 3.5]]
    """


@elastic.map
def _(size: tuple[int, int], displacement: Any, row: Any, **_: Any) -> Bent:
    if isinstance(displacement, Ripples):
        fields = lambda device: displacement.on(size, device)
        return Bent(fields, size, row) if is_rows(row) else Bent(lambda device: fields(device)[row], size)
    field = in_pixels(displacement, size)
    if row is None:
        return Bent(field[0] if len(field) == 1 else field, size)
    return Bent(field, size, row) if is_rows(row) else Bent(field[row], size)


@elastic.reads
def _(interpolation: Any, **_: Any) -> How:
    return reading(interpolation)


elastic.clamps()


@value
class ElasticTransform(Geometric):
    """See the canvas through water: a smooth random displacement.

    alpha  its strength, one number or (along x, along y): even noise in [-1, 1] is smoothed, then multiplied by alpha / 2 pixels
           (torchvision's strength)
    sigma  the Gaussian's standard deviation in pixels, one number or (along x, along y); larger is smoother

    The field is made from a key, not drawn from a generator, so params stay a few numbers. A field that would fold the canvas
    over, so that points had no one place, is weakened until it does not: at sigma 5 it hardly ever happens for alpha 50, and
    nearly always for 80. Works on canvases of any size.

    >>> ElasticTransform()(Image(torch.zeros(3, 16, 16))).shape
    torch.Size([3, 16, 16])
    """

    alpha: Any = 50.0
    sigma: Any = 5.0
    interpolation: Any = BILINEAR
    fill: Any = 0
    op = elastic

    def __post_init__(self) -> None:
        put(self, alpha=_two(self.alpha, "alpha"), sigma=_two(self.sigma, "sigma"))
        put(self, interpolation=reading(self.interpolation).mode, fill=fill_value(self.fill))

    def draw(self, key: Key, info: Info) -> Params:
        return {"noise": key.fold("noise").bits}

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return self._arguments(params, Ripples(params["noise"], self.alpha, self.sigma))

    def placements(self, params: Params, sizes: Mapping[str, tuple[int, int]], second: str | None) -> Placed:
        fields = Ripples(params["noise"], self.alpha, self.sigma)  # one for all frames and leaves, so that they are made once
        return {frame: self._arguments(params, fields) for frame in sizes}

    def _arguments(self, params: Params, fields: Ripples) -> dict[str, Any]:
        row = np.arange(len(fields.keys)) if is_rows(params["noise"]) else 0
        return {"displacement": fields, "row": row, "interpolation": self.interpolation, "fill": fill_by_type(self.fill)}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return sizes


def _two(given: Any, name: str) -> tuple[float, float]:
    pair = (given, given) if isinstance(given, (int, float)) else tuple(given) * (2 if len(given) == 1 else 1)
    if len(pair) != 2 or not all(isinstance(v, (int, float)) and v >= 0 for v in pair):
        raise ValueError(f"{name} is one number of at least 0 or two, (along x, along y), got {given!r}")
    return float(pair[0]), float(pair[1])
