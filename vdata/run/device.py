"""Put a batch on a device."""

from __future__ import annotations

from typing import Any

import torch

from vdata.batch import each_tensor, pinned


def to_device(value: Any, device: torch.device | None, pin: bool) -> Any:
    """`value` with every tensor pinned and moved; containers keep their type. No device and no pin: as it is."""
    if pin:
        value = each_tensor(value, pinned)
    return value if device is None else each_tensor(value, lambda t: t.to(device, non_blocking=pin))
