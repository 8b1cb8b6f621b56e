"""Bytes resized by OpenCV, where it is installed: half the time of torch's kernel, and within one grey level of it.

Only what decodes and transforms in one step uses it, so a transform by hand stays torchvision's to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vdata.optional import opencv
from vdata.planes import interleaved
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.resize import resize_pixels


def resize_quickly(x: Tensor, new: tuple[int, int], interpolation: Any, antialias: bool | None) -> Tensor:
    """`resize_pixels`, each pixel within one of its; linear, where nothing is averaged: without antialias, or making larger."""
    averages = antialias and (new[0] < x.shape[1] or new[1] < x.shape[2])
    if averages or interpolation is not InterpolationMode.BILINEAR or not interleaved(x) or (cv2 := opencv()) is None:
        return resize_pixels(x, new, interpolation, antialias)
    return torch.from_numpy(cv2.resize(x.permute(1, 2, 0).numpy(), new[::-1], interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1)
