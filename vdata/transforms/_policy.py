"""What the automatic augmentations may do, as data: fifteen ops, and how strong each is in each of its magnitude bins.

Sources: AutoAugment (arXiv 1805.09501), RandAugment (1909.13719), TrivialAugment (2103.10158) and AugMix (1912.02781), with
the names and ranges that torchvision gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._check import fill_value, put
from vdata.transforms._params import Params
from vdata.transforms.interpolation import InterpolationMode

MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
FACTORS = ("Brightness", "Color", "Contrast", "Sharpness")
# In params an op is its place in this list.
OPS = ("Identity", *MOVES, *FACTORS, "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")

SIGNED = np.isin(OPS, (*MOVES, *FACTORS))  # bool [15]: whether an op goes both ways
GRADED = SIGNED | np.isin(OPS, ("Posterize", "Solarize"))  # whether it has a magnitude at all
GEOMETRIC = np.isin(OPS, MOVES)
IDENTITY = 0

_READ = ("nearest", "nearest-exact", "bilinear", "bicubic")


@dataclass(frozen=True)
class Space:
    """How far each op goes: its strongest magnitude; the weakest is no change (for posterize the first of two bits).

    shear      pixels to the side for each pixel down, or down for each to the side
    translate  a share of the side, or pixels where `relative` is False
    rotate     degrees
    factor     brightness, colour, contrast and sharpness are times 1 - factor .. 1 + factor
    bits       that posterize keeps, at its weakest and strongest
    """

    shear: float
    translate: float
    rotate: float
    factor: float
    bits: tuple[int, int]
    relative: bool = True

    def amounts(self, name: str, bins: int, size: tuple[int, int] = (0, 0)) -> np.ndarray:
        """What an op does in each of its bins on a canvas of (height, width): float64 [bins], without signs.

        >>> RAND.amounts("Rotate", 4).tolist()
        [0.0, 10.0, 20.0, 30.0]
        """
        side = size[1] if name == "TranslateX" else size[0] if name == "TranslateY" else 0
        return _amounts(self, name, bins, side).copy()


RAND = Space(shear=0.3, translate=150 / 331, rotate=30, factor=0.9, bits=(8, 4))
WIDE = Space(shear=0.99, translate=32, rotate=135, factor=0.99, bits=(8, 2), relative=False)
MIX = Space(shear=0.3, translate=1 / 3, rotate=30, factor=0.9, bits=(4, 0))


@lru_cache(maxsize=4096)
def _amounts(space: Space, name: str, bins: int, side: int) -> np.ndarray:
    if name in ("ShearX", "ShearY"):
        return _ramp(0, space.shear, bins)
    if name in ("TranslateX", "TranslateY"):
        return np.trunc(_ramp(0, space.translate * (side if space.relative else 1), bins))
    if name == "Rotate":
        return _ramp(0, space.rotate, bins)
    if name in FACTORS:
        return _ramp(0, space.factor, bins)
    if name == "Solarize":
        return _ramp(1, 0, bins)
    if name == "Posterize":
        first, last = space.bits
        return np.round(first - np.arange(bins) * (first - last) / max(bins - 1, 1))
    return np.zeros(bins)


def _ramp(first: float, last: float, bins: int) -> np.ndarray:
    """Even steps in float32, from both ends to the middle as torch.linspace makes them, to the bit on every machine."""
    start, end = np.float64(np.float32(first)), np.float64(np.float32(last))
    step = np.float64(np.float32((end - start) / max(bins - 1, 1)))
    place = np.arange(bins)
    steps = np.where(place < bins // 2 + (bins == 1), start + step * place, end - step * (bins - 1 - place))
    return steps.astype(np.float32).astype(np.float64)


def strengths(key: Key, op: np.ndarray, magnitude: np.ndarray) -> Params:
    """Params of drawn ops: signs drawn for those that go both ways, magnitudes kept for those that have one.

    op         int64 [B, ...]: places in OPS
    magnitude  int64 [B, ...]: bins, 0 is the weakest
    sign       int64 [B, ...]: -1 or 1
    """
    negative = key.fold("sign").bernoulli(0.5, *op.shape[1:]) & SIGNED[op]
    return {"op": op, "magnitude": np.where(GRADED[op], magnitude, 0), "sign": np.where(negative, -1, 1)}


def named(*names: str) -> np.ndarray:
    """The places of ops in OPS."""
    return np.array([OPS.index(name) for name in names], np.int64)


def reading(transform: Any) -> None:
    """Check `interpolation` and `fill`, which all of the automatic augmentations have, and bring them to one form."""
    mode = InterpolationMode(transform.interpolation)
    if mode.value not in _READ:
        raise ValueError(f"interpolation must be one of {', '.join(_READ)}, got {mode.value!r}")
    put(transform, interpolation=mode, fill=fill_value(transform.fill))
