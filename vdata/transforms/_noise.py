"""Noise in bulk: a hash of (key, element) in integer torch ops, so that CPU and CUDA make the same numbers.

The hash is `vdata.key`'s (SplitMix64's finaliser); int64 arithmetic wraps as uint64 does, only shifts must be told not to
carry the sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import _A, _B, _G

_UNIT = 2.0**-24


def _signed(x: int) -> int:
    return x - (1 << 64) if x >= 1 << 63 else x


def _shifted(x: Tensor, by: int) -> Tensor:
    return (x >> by) & ((1 << (64 - by)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _signed(_A)
    x = (x ^ _shifted(x, 27)) * _signed(_B)
    return x ^ _shifted(x, 31)


def words(keys: Any, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """int64 [*shape] for one key (an int of 64 bits), [B, *shape] for an array of B; element j is a hash of (key, j).

    >>> torch.equal(words(7, (2, 3)), words(np.array([7, 8], np.uint64), (2, 3))[0])
    True
    """
    rows = isinstance(keys, (np.ndarray, Tensor))
    if rows:
        bits = torch.as_tensor(np.asarray(keys).astype(np.uint64).view(np.int64)).to(device)
    else:
        bits = torch.tensor([_signed(int(keys))], device=device)
    left = _mix(bits + _signed(_G)).reshape(-1, 1)
    counter = torch.arange(1, math.prod(shape) + 1, device=device)
    out = _mix(left ^ counter)
    return out.reshape(len(bits), *shape) if rows else out.reshape(*shape)


def uniform(keys: Any, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """float32 in [0, 1), 24 random bits each; shapes as `words`."""
    return _shifted(words(keys, shape, device), 40).to(torch.float32) * _UNIT


def normal(keys: Any, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Standard normal float32 (Box and Muller, 1958), two numbers of each word; shapes as `words`."""
    count = math.prod(shape)
    drawn = words(keys, ((count + 1) // 2,), device)
    radius = torch.sqrt(-2 * torch.log1p(-(_shifted(drawn, 40).to(torch.float32) * _UNIT)))
    angle = (drawn & 0xFFFFFF).to(torch.float32) * (_UNIT * 2 * math.pi)
    out = torch.stack([radius * angle.cos(), radius * angle.sin()], -1).flatten(-2)[..., :count]
    return out.reshape(*drawn.shape[:-1], *shape)
