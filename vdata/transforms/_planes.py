"""Whole pixels of many planes by one index, exactly: the masks of ten objects for little more than that of one.

On a CPU torch walks an index that is spread over planes number by number; plane by plane it reads three times as fast. And of bool
planes eight are the bits of one byte.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def has_bits(x: Tensor) -> bool:
    """Whether `by_bits` is worth it: below three planes, packing costs what reading does."""
    return x.dtype == torch.bool and x.device.type == "cpu" and x.shape[:-2].numel() > 2


def by_bits(x: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
    """`read(x)` for a bool raster [..., H, W] on a CPU, by `read` of uint8 [planes, H, W]: bit k of byte plane p is plane 8p + k.

    `read` moves whole pixels; what is new is 0 or 255 in it.

    >>> marks = torch.tensor([[[True, False]], [[True, True]], [[False, True]]])
    >>> torch.equal(by_bits(marks, lambda x: x.flip(-1)), marks.flip(-1))
    True
    """
    planes = x.reshape(-1, *x.shape[-2:]).view(torch.uint8)
    packed = planes[::8].clone()
    for bit in range(1, min(8, len(planes))):
        part = planes[bit::8]
        packed[: len(part)].add_(part, alpha=1 << bit)
    read_bits = read(packed).numpy()
    out = np.empty((len(planes), *read_bits.shape[-2:]), np.bool_)
    for number in range(len(out)):  # torch compares bytes one by one, numpy in vectors
        np.not_equal(read_bits[number // 8] & (1 << number % 8), 0, out=out[number, ...])
    return torch.from_numpy(out).reshape(*x.shape[:-2], *out.shape[-2:])


def at_index(x: Tensor, index: Tensor) -> Tensor:
    """[..., h, w]: of each plane of x [..., H, W] the pixels that `index` [h, w], row by row, says."""
    flat = index.reshape(-1)
    planes = x.reshape(-1, x.shape[-2] * x.shape[-1])
    return torch.stack([plane.index_select(0, flat) for plane in planes]).reshape(*x.shape[:-2], *index.shape)


def where(mask: Tensor, new: Tensor, x: Tensor) -> Tensor:
    """`torch.where`; for bytes on a CPU by their bits, in a quarter of the time."""
    if x.dtype != torch.uint8 or x.device.type != "cpu":
        return torch.where(mask, new, x)
    cover = mask.view(torch.uint8).neg()  # 0 or 255
    return (x & ~cover).bitwise_or_(cover & new)
