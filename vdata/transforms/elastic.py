"""Move every pixel by a displacement of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import fill_value, put
from vdata.transforms._field import field_of
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Bent
from vdata.transforms._op import spatial
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode, tensor_mode
from vdata.transforms.pad import fill_by_type

BILINEAR = InterpolationMode.BILINEAR


@spatial
def elastic(inpt: Any, displacement: Any, interpolation: Any = BILINEAR, fill: Any = None) -> Any:
    """Each new pixel is read at its place plus its displacement.

    displacement  float [1, H, W, 2] in half canvases, (right, down), as torchvision: 2 / W is one pixel to the right

    Boxes, key points and flow vectors go the opposite way by the true inverse (fixed-point iteration), where torchvision takes the
    first step of it; where the displacement bends by 1 a pixel or more there is none, and for these types it raises ValueError.

    >>> still = torch.zeros(1, 8, 8, 2)
    >>> elastic(KeyPoints([[2.7, 3.4]], canvas_size=(8, 8)), still).tolist()
    [[2.7..., 3.4...]]
    """


@elastic.map
def _(size: tuple[int, int], displacement: Any, **_: Any) -> Bent:
    given = torch.as_tensor(displacement)
    if given.ndim != 4 or tuple(given.shape) != (1, *size, 2):
        raise ValueError(f"displacement is [1, {size[0]}, {size[1]}, 2] for this canvas, got {list(given.shape)}")
    field = given[0].movedim(-1, 0) * torch.tensor([size[1] / 2, size[0] / 2], device=given.device).reshape(2, 1, 1)
    return Bent(field, size)


@elastic.reads
def _(interpolation: Any, **_: Any) -> How:
    return How(interpolation)


elastic.clamps()


@spatial
def bend(inpt: Any, noise: Any, alpha: Any, sigma: Any, interpolation: Any = BILINEAR, fill: Any = None) -> Any:
    """`elastic` by the smooth random field that 64 bits `noise` stand for: what ElasticTransform does.

    >>> bend(Image(torch.zeros(1, 8, 8)), 7, (50.0, 50.0), (5.0, 5.0)).shape
    torch.Size([1, 8, 8])
    """


@bend.map
def _(size: tuple[int, int], noise: Any, alpha: Any, sigma: Any, **_: Any) -> Bent:
    field: Tensor = field_of(noise, size, tuple(alpha), tuple(sigma))
    return Bent(field, size)


@bend.reads
def _(interpolation: Any, **_: Any) -> How:
    return How(interpolation)


bend.clamps()


@value
class ElasticTransform(Geometric):
    """See the canvas through water: a smooth random displacement.

    alpha  its strength, one number or (along x, along y): even noise in [-1, 1] is smoothed, then multiplied by alpha / 2 pixels
           (on square canvases torchvision's strength)
    sigma  the Gaussian's standard deviation in pixels, one number or two; larger is smoother

    The field is made from a key, not drawn from a generator, so params stay a few numbers. A field that would fold the canvas is
    weakened until it does not. Works on canvases of any size.

    >>> ElasticTransform()(Image(torch.zeros(3, 16, 16))).shape
    torch.Size([3, 16, 16])
    """

    alpha: Any = 50.0
    sigma: Any = 5.0
    interpolation: Any = BILINEAR
    fill: Any = 0
    op = bend

    def __post_init__(self) -> None:
        put(self, alpha=_two(self.alpha, "alpha"), sigma=_two(self.sigma, "sigma"))
        put(self, interpolation=tensor_mode(self.interpolation), fill=fill_value(self.fill))

    def draw(self, key: Key, info: Info) -> Params:
        return {"noise": key.fold("noise").bits}

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        how = {"interpolation": self.interpolation, "fill": fill_by_type(self.fill)}
        return {"noise": params["noise"], "alpha": self.alpha, "sigma": self.sigma, **how}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return sizes


def _two(given: Any, name: str) -> tuple[float, float]:
    pair = (given, given) if isinstance(given, (int, float)) else tuple(given) * (2 if len(given) == 1 else 1)
    if len(pair) != 2 or not all(isinstance(v, (int, float)) and v >= 0 for v in pair):
        raise ValueError(f"{name} is one number of at least 0 or two, (along x, along y), got {given!r}")
    return float(pair[0]), float(pair[1])
