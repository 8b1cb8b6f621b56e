"""The augmentation for optical flow of torchvision's references/optical_flow, written anew with v2's functions on uint8 tensors.

Its order: colours, scale and crop, mirror, eraser, valid mask. Left out: the conversion to float and Normalize. Without antialias, which is its
filter in RAFT, and faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


@dataclass
class Reference:
    """Called with two frames (uint8 [3, H, W] or Pillow's), a flow (float32 [2, H, W]) and where it is known (bool [H, W], None: where it is below 1000)."""

    crop: tuple[int, int]
    min_scale: float
    max_scale: float
    flip: bool = True
    jitter: Any = field(default_factory=lambda: v2.ColorJitter(0.4, 0.4, 0.4, 0.5 / 3.14))
    erase: Any = field(default_factory=v2.RandomErasing)

    def __call__(self, one: Any, two: Any, flow: Any, valid: Any = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        one, two = (frame if isinstance(frame, Tensor) else F.pil_to_tensor(frame) for frame in (one, two))
        flow, valid = torch.as_tensor(flow), None if valid is None else torch.as_tensor(valid)
        one, two = (self.jitter(one), self.jitter(two)) if chance(0.2) else self.jitter(torch.stack([one, two]))
        one, two, flow, valid = self._cropped(*self._resized(one, two, flow, valid))
        if self.flip and chance(0.5):
            one, two, flow, valid = mirrored((one, two, flow, valid), F.hflip, [-1.0, 1.0])
        if self.flip and chance(0.1):
            one, two, flow, valid = mirrored((one, two, flow, valid), F.vflip, [1.0, -1.0])
        for _ in range(int(torch.randint(2, ()))):
            two = self.erase(two)
        valid = valid if valid is not None else (flow.abs() < 1000).all(0)
        return one.contiguous(), two.contiguous(), flow.contiguous(), valid.contiguous()

    def _resized(self, one: Tensor, two: Tensor, flow: Tensor, valid: Tensor | None) -> tuple[Any, ...]:
        height, width = one.shape[-2:]
        least = max((crop + 8) / side for crop, side in zip(self.crop, (height, width)))
        scale = 2 ** uniform(self.min_scale, self.max_scale)
        fy, fx = (max(scale * 2 ** uniform(-0.2, 0.2), least) for _ in range(2)) if chance(0.8) else (max(scale, least),) * 2
        if not chance(0.8) and height > self.crop[0] and width > self.crop[1]:
            return one, two, flow, valid
        size = [round(height * fy), round(width * fx)]
        one, two = (F.resize(frame, size, antialias=False) for frame in (one, two))
        if valid is not None:
            return one, two, *scattered(flow, valid, fx, fy, size)
        return one, two, F.resize(flow, size, antialias=False) * torch.tensor([fx, fy])[:, None, None], None

    def _cropped(self, one: Tensor, two: Tensor, flow: Tensor, valid: Tensor | None) -> tuple[Any, ...]:
        top, left = (int(torch.randint(side - crop, ())) for side, crop in zip(one.shape[-2:], self.crop))
        return tuple(None if a is None else F.crop(a, top, left, *self.crop) for a in (one, two, flow, valid))


def scattered(flow: Tensor, valid: Tensor, fx: float, fy: float, size: list[int]) -> tuple[Tensor, Tensor]:
    """A sparse flow resized: each known vector goes to the pixel nearest to its place."""
    rows, columns = valid.nonzero(as_tuple=True)
    down, right = (rows * fy).round().long(), (columns * fx).round().long()
    inside = (down < size[0]) & (right < size[1])
    down, right = down[inside], right[inside]
    out, known = torch.zeros(2, *size), torch.zeros(size, dtype=torch.bool)
    out[:, down, right] = flow[:, rows[inside], columns[inside]] * torch.tensor([fx, fy])[:, None]
    known[down, right] = True
    return out, known


def mirrored(leaves: tuple[Any, ...], flip: Any, sign: list[float]) -> tuple[Any, ...]:
    one, two, flow, valid = leaves
    return flip(one), flip(two), flip(flow) * torch.tensor(sign)[:, None, None], None if valid is None else flip(valid)


def chance(p: float) -> bool:
    return bool(torch.rand(()) < p)


def uniform(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))
