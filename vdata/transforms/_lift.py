"""An argument of a verb is one value, or one a row: numpy arrays and tensors have one entry for each row of a batch.

Kernels written in arithmetic that broadcasts then do B samples with B factors in one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

# torch indexes, gathers and copies by index few unsigned dtypes: viewed as these the bits are the same.
SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


def is_rows(value: Any) -> bool:
    """Whether an argument has one entry a row: an array, or a tensor of at most three dimensions (a displacement has four)."""
    return (isinstance(value, np.ndarray) and value.ndim > 0) or (type(value) is Tensor and 0 < value.ndim < 4)


def has_rows(arguments: Mapping[str, Any]) -> bool:
    """Whether any of a verb's arguments has one entry a row."""
    return any(is_rows(v) for v in arguments.values())


def lifted(value: Any, x: Tensor, dtype: torch.dtype | None = None) -> Any:
    """A number as it is; one a row as a tensor that broadcasts over x: [B, 1, 1, ...], floating as x is (else float32).

    >>> lifted(np.array([0.5, 2.0]), torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 1, 1, 1])
    """
    if not is_rows(value):
        return value
    rows = torch.as_tensor(value)
    if rows.shape[0] != x.shape[0]:
        raise ValueError(f"an argument has {rows.shape[0]} entries, but the batch has {x.shape[0]} rows")
    if dtype is None and rows.is_floating_point():
        dtype = x.dtype if x.is_floating_point() else torch.float32
    rows = rows.to(x.device, dtype or rows.dtype)
    return rows.reshape(*rows.shape, *[1] * (x.ndim - rows.ndim))
