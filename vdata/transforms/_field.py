"""Displacements of every pixel: given as a tensor, or smooth noise made from keys where it is needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.transforms._bent import steepest
from vdata.transforms._noise import uniform

STEEPEST = 0.9  # of the bend from which on a field may fold the canvas over: what remains keeps its inverse well behaved


def in_pixels(displacement: Any, size: tuple[int, int]) -> Tensor:
    """[F, 2, H, W] of [F, H, W, 2] in half canvases, as torchvision writes them."""
    given = torch.as_tensor(displacement)
    if given.ndim != 4 or tuple(given.shape[1:]) != (*size, 2):
        raise ValueError(f"displacement is [1, {size[0]}, {size[1]}, 2] for this canvas, got {list(given.shape)}")
    return given.movedim(-1, 1) * torch.tensor([size[1] / 2, size[0] / 2], device=given.device).reshape(2, 1, 1)


class Ripples:
    """F displacements, in pixels: even noise in [-1, 1], a field a key, smoothed by a Gaussian, times alpha / 2 pixels.

    A field is weakened, as a whole, where it bends by more than 0.9 pixels a pixel: a canvas that is folded over has no place
    for its points. A field is made once for each canvas and device, however many leaves ask for it.
    """

    def __init__(self, keys: Any, alpha: tuple[float, float], sigma: tuple[float, float]):
        self.keys = np.atleast_1d(np.asarray(keys, np.uint64))
        self.alpha, self.sigma = alpha, sigma
        self._made: dict[tuple[tuple[int, int], torch.device], Tensor] = {}

    def on(self, size: tuple[int, int], device: torch.device) -> Tensor:
        """[F, 2, H, W] (right, down) for a canvas of (height, width)."""
        if (size, device) not in self._made:
            self._made[size, device] = self._make(size, device)
        return self._made[size, device]

    def _make(self, size: tuple[int, int], device: torch.device) -> Tensor:
        across, down = (_blur(length, sigma).to(device) for length, sigma in ((size[1], self.sigma[0]), (size[0], self.sigma[1])))
        even = uniform(self.keys, (2, down.shape[1], across.shape[1]), device) * 2 - 1
        alpha = torch.tensor(self.alpha, device=device).reshape(2, 1, 1)
        field = down @ even @ across.T * (alpha / 2)
        return field * (STEEPEST / steepest(field).clamp(min=STEEPEST)).reshape(-1, 1, 1, 1)


def _blur(length: int, sigma: float) -> Tensor:
    """[length, length + 2 reach]: the matrix of a Gaussian along a line that goes on by its reach on both sides.

    Noise is made beyond the canvas too, so that it is as strong and as smooth at the border as in the middle.
    """
    reach = math.ceil(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-((at / sigma) ** 2) / 2) if sigma else torch.ones(1, dtype=torch.float64)
    out = torch.zeros(length, length + 2 * reach)
    band = torch.arange(length)[:, None] + torch.arange(len(kernel))
    return out.scatter_(1, band, (kernel / kernel.sum()).float().expand(length, -1))
