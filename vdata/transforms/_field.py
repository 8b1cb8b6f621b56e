"""Smooth random displacements, made from keys."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from vdata.transforms._noise import uniform

# How much of the steepest bend that still has an inverse everywhere a field may take.
_STEEPEST = 0.9


def field_of(noise: int | np.ndarray, size: tuple[int, int], alpha: tuple[float, float], sigma: tuple[float, float]) -> Tensor:
    """float32 [2, H, W] (or [R, 2, H, W] for R keys): even noise in [-1, 1], smoothed by a Gaussian, times alpha / 2 pixels.

    A field is weakened, as a whole, where it would fold the plane (bend by 1 a pixel or more): a folded picture has
    no place for its points.
    """
    keys = tuple(int(n) for n in noise) if isinstance(noise, np.ndarray) else (int(noise),)
    field = _made(keys, size, alpha, sigma)
    return field if isinstance(noise, np.ndarray) else field[0]


@lru_cache(maxsize=4)  # every leaf of a sample asks for the same one
def _made(keys: tuple[int, ...], size: tuple[int, int], alpha: tuple[float, float], sigma: tuple[float, float]) -> Tensor:
    even = uniform(np.array(keys, np.uint64), (2, *size)) * 2 - 1
    smooth = torch.stack([_smoothed(even[:, 0], sigma[0]), _smoothed(even[:, 1], sigma[1])], 1)
    field = smooth * torch.tensor([alpha[0] / 2, alpha[1] / 2]).reshape(2, 1, 1)
    return weakened(field)


def weakened(field: Tensor) -> Tensor:
    """A field [R, 2, H, W] scaled down, row by row, until it bends by less than 1 a pixel."""
    steepest = torch.zeros(len(field))
    for dim in (-1, -2):
        bend = field.diff(dim=dim).abs().flatten(1)
        steepest = steepest + (bend.amax(1) if bend.shape[1] else 0)
    return field * (_STEEPEST / steepest.clamp(min=_STEEPEST)).reshape(-1, 1, 1, 1)


def _smoothed(x: Tensor, sigma: float) -> Tensor:
    """[R, H, W] under a Gaussian, the border mirrored as far as there is something to mirror."""
    if sigma == 0:
        return x
    reach = math.ceil(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, -1)
    for _ in range(2):  # along rows, then, transposed, along columns
        lines = x.reshape(-1, 1, x.shape[-1])
        x = conv1d(_extended(lines, reach), kernel).reshape(x.shape).transpose(-1, -2)
    return x.contiguous()


def _extended(lines: Tensor, reach: int) -> Tensor:
    while reach > 0:  # a short line is mirrored again and again
        step = min(reach, lines.shape[-1] - 1)
        if step < 1:
            return pad(lines, (reach, reach), "replicate")
        lines = pad(lines, (step, step), "reflect")
        reach -= step
    return lines
