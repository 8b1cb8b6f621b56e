"""What each old pixel of a line gives to each new one, where pixels are averaged or read between along rows and columns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vdata.transforms._lift import is_rows
from vdata.transforms.interpolation import InterpolationMode


def _line(scale: Any, shift: Any, new: int, x: Tensor) -> Tensor:
    """Old places of new pixel centres on one axis: float64 [new], or [R, new]."""
    centre = torch.arange(new, device=x.device, dtype=torch.float64) + 0.5
    scale, shift = (column(v, x.device) for v in (scale, shift))
    return (centre - shift) / scale


def column(value: Any, device: torch.device) -> Any:
    """A number as a float; one a row as float64 [R, 1]."""
    return torch.as_tensor(value).to(device, torch.float64)[:, None] if is_rows(value) else float(value)


def covered(scale: Any, shift: Any, old: int, new: int, x: Tensor) -> Tensor:
    """Whether the centre of a new pixel lies on the old canvas: bool [new], or [R, new]."""
    at = _line(scale, shift, new, x)
    return (at >= 0) & (at < old)


def weights(
    scale: Any, shift: Any, old: int, new: int, first: Any, count: Any, mode: InterpolationMode, antialias: bool, x: Tensor
) -> Tensor:
    """[new, old] (or [R, new, old]): what each old pixel of [first, first + count) gives to each new one; rows sum to 1.

    Source of the filters: Pillow's Resample.c (triangle, Keys' cubic with a = -0.5 with antialias and -0.75 without, as
    torch has them, Lanczos with three lobes).
    """
    at = _line(scale, shift, new, x)[..., None]
    pixel = torch.arange(old, device=x.device, dtype=torch.float64) + 0.5
    stretch = 1 / abs(column(scale, x.device))
    stretch = stretch[..., None] if isinstance(stretch, Tensor) else stretch
    spread = (torch.clamp(stretch, min=1.0) if isinstance(stretch, Tensor) else max(stretch, 1.0)) if antialias else 1.0
    begin, size = (v[..., None] if isinstance(v, Tensor) else v for v in (column(first, x.device), column(count, x.device)))
    if antialias:
        taps = _filter((pixel - at) / spread, mode, antialias)
        taps = torch.where((pixel > begin) & (pixel < begin + size), taps, 0)
        return taps / taps.sum(-1, keepdim=True)
    # Without antialias taps beyond the border read the border pixel again.
    return _clamped_taps(at, old, begin, size, mode, x)


def _clamped_taps(at: Tensor, old: int, begin: Any, size: Any, mode: InterpolationMode, x: Tensor) -> Tensor:
    reach = 1 if mode is InterpolationMode.BILINEAR else 2
    base = (at - 0.5).floor()
    low, high = torch.as_tensor(begin, dtype=torch.float64), torch.as_tensor(begin + size - 1, dtype=torch.float64)
    out = x.new_zeros((*at.shape[:-1], old), dtype=torch.float64)
    for k in range(1 - reach, reach + 1):
        tap = base + k
        weight = _filter(tap + 0.5 - at, mode, False)
        place = torch.minimum(torch.maximum(tap, low.to(x.device)), high.to(x.device)).long()
        out.scatter_add_(-1, place, weight)
    return out


def _filter(t: Tensor, mode: InterpolationMode, antialias: bool) -> Tensor:
    t = t.abs()
    if mode is InterpolationMode.BILINEAR:
        return (1 - t).clamp(min=0)
    if mode is InterpolationMode.BICUBIC:
        a = -0.5 if antialias else -0.75
        near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        return torch.where(t < 1, near, torch.where(t < 2, far, 0))
    return torch.where(t < 3, torch.sinc(t) * torch.sinc(t / 3), 0)
