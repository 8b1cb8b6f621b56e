"""Put a batch on a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vdata.batch import Batch, Ragged


def to_device(value: Any, device: torch.device | None, pin: bool) -> Any:
    """`value` with every tensor pinned and moved; containers keep their type. No device and no pin: as it is."""
    if device is None and not pin:
        return value
    if isinstance(value, (Batch, Ragged, torch.Tensor)):
        value = value.pin_memory() if pin else value
        return value if device is None else value.to(device, non_blocking=pin)
    if isinstance(value, Mapping):
        return {n: to_device(v, device, pin) for n, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_device(v, device, pin) for v in value)
    return value
