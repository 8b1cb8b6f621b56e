"""How a raster [..., H, W] of any dtype follows by index: no arithmetic, so every value survives exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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


def blank(x: Tensor, height: int, width: int, fill: Fill = 0) -> Tensor:
    """A raster like `x`, of another size, all `fill` (a sequence has one number a channel)."""
    shape = (*x.shape[:-2], height, width)
    if isinstance(fill, (int, float)):
        if not _holds(x.dtype, fill):
            raise ValueError(
                f"new pixels would be {fill}, which {str(x.dtype).removeprefix('torch.')} cannot hold: cast first, or set fill"
            )
        return x.new_full(shape, fill)
    if len(fill) not in (1, x.shape[-3]):
        raise ValueError(f"fill has {len(fill)} numbers, but the picture has {x.shape[-3]} channels")
    colour = torch.tensor(fill, device=x.device).to(x.dtype).reshape(-1, 1, 1)
    return colour.expand(shape).clone()


def _holds(dtype: torch.dtype, number: float) -> bool:
    if dtype.is_floating_point:
        return True
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    return low <= int(number) <= high


def gather(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The raster whose pixel (i, j) is x[rows[i], columns[j]]."""
    return x.index_select(-2, rows).index_select(-1, columns)


def extended(length: int, before: int, after: int, mode: str, device: torch.device) -> Tensor:
    """Which of `length` pixels stands at each place of a line continued on both sides by "edge", "reflect" or "symmetric"."""
    at = torch.arange(-before, length + after, device=device)
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
