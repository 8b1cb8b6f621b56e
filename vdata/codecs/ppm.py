"""PPM and PGM (P6 and P5): raw rows, so that a window is a seek and no decoding.

The format: https://netpbm.sourceforge.net/doc/ppm.html. FlyingChairs ships its frames so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdata.codecs.header import Window, check_pixels, check_window
from vdata.errors import DecodeError

_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_HEAD = re.compile(_GAP.join([rb"P([56])", rb"(\d{1,9})", rb"(\d{1,9})", rb"(\d{1,5})(?:#[^\n\r]*[\n\r])*\s"]))
_MAX_HEAD = 4096  # room for comments


@dataclass(frozen=True)
class Head:
    channels: int
    height: int
    width: int
    top: int  # the value that means full brightness
    start: int  # the first byte of the pixels


def head(data: bytes | memoryview) -> Head:
    """The header. DecodeError where it is broken or the file is not as long as it says."""
    match = _HEAD.match(bytes(data[:_MAX_HEAD]))
    if match is None:
        raise DecodeError("the header of the PPM or PGM is not magic, width, height and maximum", byte=0)
    channels = 3 if match[1] == b"6" else 1
    width, height, top = int(match[2]), int(match[3]), int(match[4])
    if min(width, height) < 1 or not 1 <= top <= 65535:
        raise DecodeError(f"a PPM of {width} x {height} pixels with the maximum {top}", byte=0)
    check_pixels(height, width)
    needed = match.end() + channels * height * width * (1 if top < 256 else 2)
    if len(data) < needed:
        raise DecodeError(f"the PPM needs {needed} bytes and ends at {len(data)}", byte=len(data))
    return Head(channels, height, width, top, match.end())


def pixels(data: bytes | memoryview, window: Window | None = None, *, raw: bool = False) -> Tensor:
    """uint8 [C, h, w] (uint16 where the maximum passes 255), scaled to the full range unless `raw`."""
    found = head(data)
    top, left, high, wide = check_window(window, found.height, found.width)
    dtype = np.dtype(np.uint8 if found.top < 256 else ">u2")
    shape = (found.height, found.width, found.channels)
    rows = np.frombuffer(data, dtype, int(np.prod(shape)), found.start).reshape(shape)
    part = rows[top : top + high, left : left + wide].transpose(2, 0, 1)
    full = 255 if found.top < 256 else 65535
    out = torch.empty(part.shape, dtype=torch.uint8 if full == 255 else torch.uint16, device="cpu")
    if raw or found.top == full:
        out.numpy()[...] = part
    else:
        out.numpy()[...] = np.minimum(np.rint(part / found.top * full), full)
    return out
