"""How a raster [..., H, W] of any dtype follows by index: no arithmetic, so every value survives exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.transforms._lift import SIGNED

Fill = float | Sequence[float]  # one number, or one a channel


def cut(x: Tensor, top: int, left: int, height: int, width: int, fill: Fill = 0) -> Tensor:
    """The window [top, top + height) x [left, left + width); what lies outside of the raster is `fill`.

    Wholly inside, the result is a view of `x`.
    """
    old_height, old_width = x.shape[-2:]
    if top >= 0 and left >= 0 and top + height <= old_height and left + width <= old_width:
        return x[..., top : top + height, left : left + width]
    out = blank(x, height, width, fill)
    first, last = max(top, 0), min(top + height, old_height)
    start, stop = max(left, 0), min(left + width, old_width)
    if first < last and start < stop:
        out[..., first - top : last - top, start - left : stop - left] = x[..., first:last, start:stop]
    return out


def cut_rows(x: Tensor, top: Any, left: Any, height: int, width: int, fill: Fill = 0) -> Tensor:
    """`cut` of x [R, ..., H, W] at one place a row (numbers or int [R]): row r is cut at (top[r], left[r])."""
    rows = x.shape[0]
    top, left = (np.broadcast_to(np.asarray(v, np.int64), rows) for v in (top, left))
    above, before = max(0, -int(top.min())), max(0, -int(left.min()))
    below = max(0, int(top.max()) + height - x.shape[-2])
    after = max(0, int(left.max()) + width - x.shape[-1])
    if above or before or below or after:
        x = cut(x, -above, -before, above + x.shape[-2] + below, before + x.shape[-1] + after, fill)
    if x.device.type == "cpu" and not x.requires_grad:  # numpy copies a window's lines, torch its numbers one by one
        last: Any = (-2, -1)  # numpy's stubs know of one axis alone
        view = np.lib.stride_tricks.sliding_window_view(x.view(SIGNED.get(x.dtype, x.dtype)).numpy(), (height, width), last)
        at = np.arange(rows), *[slice(None)] * (x.ndim - 3), top + above, left + before
        return torch.from_numpy(view[at]).view(x.dtype)
    windows = x.unfold(-2, height, 1).unfold(-2, width, 1)  # [R, ..., tops, lefts, height, width], a view
    index = [torch.as_tensor(v, device=x.device) for v in (np.arange(rows), top + above, left + before)]
    if x.ndim == 3:
        return windows[index[0], index[1], index[2]]
    return windows.movedim((-4, -3), (1, 2))[index[0], index[1], index[2]]


def blank(x: Tensor, height: int, width: int, fill: Fill = 0) -> Tensor:
    """A raster like `x`, of another size, all `fill` (a sequence has one number a channel)."""
    shape = (*x.shape[:-2], height, width)
    return colour(x, fill).expand(shape).clone()


def colour(x: Tensor, fill: Fill) -> Tensor:
    """A fill as a tensor of x's dtype that broadcasts over x [..., C, H, W]: [] or [C, 1, 1]."""
    if not all(_holds(x.dtype, f) for f in ((fill,) if isinstance(fill, (int, float)) else fill)):
        raise ValueError(
            f"new pixels would be {fill}, which {str(x.dtype).removeprefix('torch.')} cannot hold: cast first, or set fill"
        )
    if isinstance(fill, (int, float)):
        return torch.tensor(fill, device=x.device).to(x.dtype)
    if len(fill) not in (1, x.shape[-3]):
        raise ValueError(f"fill has {len(fill)} numbers, but the picture has {x.shape[-3]} channels")
    return torch.tensor(fill, device=x.device).to(x.dtype).reshape(-1, 1, 1)


def can_be(x: Tensor, fill: Fill) -> bool:
    """Whether pixels of x can be that colour."""
    try:
        colour(x, fill)
    except ValueError:
        return False
    return True


def _holds(dtype: torch.dtype, number: float) -> bool:
    if dtype.is_floating_point:
        return True
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    return low <= int(number) <= high


def gather(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The raster whose pixel (i, j) is x[rows[i], columns[j]]."""
    if x.dtype in SIGNED:
        return gather(x.view(SIGNED[x.dtype]), rows, columns).view(x.dtype)
    lines = x.index_select(-2, rows)
    return lines.gather(-1, columns.expand(*lines.shape[:-1], len(columns)))  # several times as fast as index_select


def extended(length: int, before: int, after: int, mode: str, device: torch.device) -> Tensor:
    """Which of `length` pixels stands at each place of a line continued on both sides by "edge", "reflect" or "symmetric"."""
    return extend(torch.arange(-before, length + after, device=device), length, mode)


def extend(at: Tensor, length: int, mode: str) -> Tensor:
    """Indices beyond a line of `length` pixels brought back into it by "edge", "reflect" or "symmetric"."""
    if mode == "edge" or length == 1:
        return at.clamp(0, length - 1)
    period = 2 * (length - 1) if mode == "reflect" else 2 * length
    at = at.remainder(period)
    return torch.minimum(at, period - at - (1 if mode == "symmetric" else 0))


def nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resized: each new pixel takes the old one that holds its centre (in whole numbers, so a tie never depends on rounding)."""
    return gather(x, holder(x.shape[-2], size[0], x.device), holder(x.shape[-1], size[1], x.device))


def holder(old: int, new: int, device: torch.device) -> Tensor:
    """Of `new` pixels over a line of `old`: the old pixel that holds each centre, floor((i + 1/2) old / new)."""
    return (2 * torch.arange(new, device=device) + 1) * old // (2 * new)


def bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resized by value at the new pixel centres, no antialias; NaN where a tap with a weight above zero is NaN."""
    return _lerp(_lerp(x, -2, size[0]), -1, size[1])


def _lerp(x: Tensor, dim: int, new: int) -> Tensor:
    old = x.shape[dim]
    if old == new:
        return x
    # The centre (i + 1/2) old / new - 1/2 in units of 1 / (2 new), whole, so that a weight of zero is exactly zero.
    at = ((2 * torch.arange(new, device=x.device) + 1) * old - new).clamp(0, 2 * new * (old - 1))
    below = at // (2 * new)
    weight = ((at % (2 * new)).double() / (2 * new)).to(x.dtype)
    weight = weight if dim == -1 else weight[:, None]
    low, high = x.index_select(dim, below), x.index_select(dim, (below + 1).clamp(max=old - 1))
    return torch.where(weight == 0, low, low + (high - low) * weight)


def cast_rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Back to a dtype: integers round and are clamped to their range (bicubic and lanczos leave it)."""
    if x.dtype == dtype or dtype.is_floating_point or dtype == torch.bool:
        return x.to(dtype)
    info = torch.iinfo(dtype)
    # No float is 2**63 - 1: the bound for int64 is the float64 below (float32 has that of 2**63 - 2**39 at least).
    most = min(info.max, 2**63 - (1024 if x.dtype == torch.float64 else 1 << 39))
    return x.round().clamp(info.min, most).to(dtype)
