"""Noise, as of a sensor: other numbers for every pixel, every frame of a clip and every picture of a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import Leaves, fresh_key, value
from vdata.transforms._colour import clipped, factor, over, precise
from vdata.transforms._info import Info
from vdata.transforms._lift import is_rows
from vdata.transforms._noise import normal
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric
from vdata.transforms._pixels import cast_rounded
from vdata.transforms._sometimes import strength
from vdata.transforms.dtype import greatest


@op
def gaussian_noise(inpt: Any, mean: Any = 0.0, sigma: Any = 0.1, clip: bool = True, noise: Any = None) -> Any:
    """Every value plus a normal number of its own; an alpha (the last of four channels) stays as it is.

    mean, sigma  as shares of white: 0.1 is 25.5 levels of uint8. Arrays have one a row of a stacked batch.
    clip         keep values between black and white. Without it floats may leave 0..1; integers stay in their dtype's
                 range in any case (torchvision's wrap round).
    noise        64 bits that say which numbers, the same on every device; uint64 [B] has one a row. None takes them
                 from torch's default generator.

    Integers are rounded (torchvision cuts the noise off towards 0, which makes less of it).

    >>> gaussian_noise(Image(torch.full((1, 1, 3), 100, dtype=torch.uint8)), sigma=0.02, noise=7).tolist()
    [[[101, 100, 97]]]
    """


@gaussian_noise.on(Image, Video)
def _(x: Image | Video, mean: Any, sigma: Any, clip: bool, noise: Any) -> Tensor:
    spread, middle = factor(sigma, "sigma", x), factor(mean, "mean", x, -np.inf)
    plain = x.plain()
    colour = plain[..., :3, :, :] if plain.shape[-3] == 4 else plain
    keys = int(fresh_key(1).bits[0]) if noise is None else noise
    noisy = _noisy(colour, drawn(normal, keys, colour), middle, spread, clip)
    return noisy if colour is plain else torch.cat([noisy, plain[..., 3:, :, :]], -3)


def _noisy(x: Tensor, unit: Tensor, mean: Any, sigma: Any, clip: bool) -> Tensor:
    unit = unit.to(precise(x.dtype))
    out = unit.mul_(over(sigma, unit)).add_(over(mean, unit)).mul_(greatest(x.dtype)).add_(x)
    if x.is_floating_point():
        return (out.clamp_(0, 1) if clip else out).to(x.dtype)
    return clipped(out.round_(), x.dtype) if clip else cast_rounded(out, x.dtype)


def drawn(how: Any, keys: Any, x: Tensor) -> Tensor:
    """A number for each of x: `how` (normal or uniform) for one key, or for uint64 [B], one a row of x."""
    if not is_rows(keys):
        return how(keys, x.shape, x.device)
    if len(keys) != len(x):
        raise ValueError(f"noise has {len(keys)} keys, but the batch has {len(x)} rows")
    return how(keys, x.shape[1:], x.device)


def for_leaf(params: Params, name: str) -> Params:
    """Params whose noise, if any, is one leaf's own: two frames with the same would show noise that stands still."""
    if "noise" not in params:
        return params
    bits = params["noise"]
    own = Key(bits).fold(name).bits
    return {**params, "noise": own if isinstance(bits, np.ndarray) else int(own[0])}


@value
class GaussianNoise(Photometric):
    """Add normal noise of standard deviation `sigma` around `mean`, both as shares of white; see `gaussian_noise`.

    Every picture, and every frame of a clip, gets numbers of its own. Params hold the 64 bits that they are made from.

    >>> GaussianNoise(sigma=0.05)(Image(torch.rand(3, 4, 4))).shape
    torch.Size([3, 4, 4])
    """

    mean: float = 0.0
    sigma: float = 0.1
    clip: bool = True
    rowwise = True

    def __post_init__(self) -> None:
        strength(self.sigma, "sigma")
        if isinstance(self.mean, bool) or not isinstance(self.mean, (int, float)):
            raise ValueError(f"mean must be a number, got {self.mean!r}")

    def draw(self, key: Key, info: Info) -> Params:
        return {"noise": key.fold("noise").bits}

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        changed = {n: self.change(for_leaf(params, n), v) for n, v in self.read_by(sample).items()}
        return {**sample, **changed}

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        changed = {n: self._changed(for_leaf(params, n), v) for n, v in self.read_by(batch).items()}
        return batch.replace({**batch, **changed})

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return gaussian_noise(image, self.mean, self.sigma, self.clip, params["noise"])
