"""Optical flow at rest: Middlebury's .flo, PFM, and KITTI's 16-bit PNGs of flow and of disparity.

Flows are float32 [2, h, w], (u right, v down) in pixels, NaN in both channels where the flow is unknown.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdata.codecs import header, image, png16
from vdata.codecs.header import Window, check_window
from vdata.errors import DecodeError

UNKNOWN_ABOVE = 1e9  # Middlebury's own mark: a component beyond this is "no value"
MAX_SIDE = 2**15
_FLO_START = 12
_PFM_HEAD = re.compile(
    rb"P([Ff])[ \t\r]*\n[ \t]*(\d{1,6})\s+(\d{1,6})[ \t\r]*\n[ \t]*([-+]?[0-9.]{1,20}(?:[eE][-+]?\d{1,3})?)[ \t\r]*\n"
)


def flo_size(data: bytes | memoryview) -> tuple[int, int]:
    """(height, width) of a .flo. DecodeError where magic, sides or length are wrong.

    Source: D. Scharstein's flowIO, https://vision.middlebury.edu/flow/code/flow-code/README.txt
    """
    if len(data) < _FLO_START or bytes(data[:4]) != b"PIEH":
        raise DecodeError(f"not a .flo: it begins with {bytes(data[:4])!r}, not b'PIEH'", byte=0)
    width, height = struct.unpack_from("<ii", data, 4)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise DecodeError(f"the .flo says it is {width} x {height} pixels", byte=4)
    needed = _FLO_START + 8 * width * height
    if len(data) != needed:
        told = f"a .flo of {width} x {height} pixels has {needed} bytes, and this has {len(data)}"
        raise DecodeError(told, byte=min(needed, len(data)))
    return height, width


def flo(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """A .flo, or a window of it: only the window's floats are touched."""
    height, width = flo_size(data)
    return _flow(np.frombuffer(data, "<f4", 2 * height * width, _FLO_START).reshape(height, width, 2), window)


@dataclass(frozen=True)
class PfmHead:
    channels: int
    height: int
    width: int
    dtype: str
    start: int


def pfm_head(data: bytes | memoryview) -> PfmHead:
    """The header of a PFM: three text lines (blanks at their ends do no harm); the last's sign is the byte order.

    Source: http://www.pauldebevec.com/Research/HDR/PFM/. The scale's magnitude is not applied, as nobody does.
    """
    match = _PFM_HEAD.match(bytes(data[:256]))
    if match is None:
        raise DecodeError("the header of the PFM is not three lines of magic, size and scale", byte=0)
    channels, width, height, scale = 3 if match[1] == b"F" else 1, int(match[2]), int(match[3]), match[4]
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise DecodeError(f"the PFM says it is {width} x {height} pixels", byte=match.start(2))
    if not re.search(rb"[1-9]", re.split(rb"[eE]", scale)[0]) or scale.count(b".") > 1:
        raise DecodeError(f"the PFM has the scale {scale!r}, which gives no byte order", byte=match.start(4))
    needed = match.end() + 4 * channels * width * height
    if len(data) != needed:
        raise DecodeError(f"the PFM needs {needed} bytes and has {len(data)}", byte=min(needed, len(data)))
    return PfmHead(channels, height, width, "<f4" if scale.startswith(b"-") else ">f4", match.end())


def pfm(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """The flow of a three-channel PFM (FlyingThings3D): its first two channels; the third is always 0."""
    rows = _pfm_rows(data)
    if rows.shape[2] != 3:
        raise DecodeError("a PFM of one channel is no flow", byte=0, do="decode it as a tensor [1, H, W]")
    return _flow(rows[..., :2], window)


def pfm_tensor(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """A PFM as it lies, float32 [1 or 3, h, w]: disparity, depth."""
    rows = _pfm_rows(data)
    top, left, high, wide = check_window(window, *rows.shape[:2])
    return _planes(rows[top : top + high, left : left + wide])


def pfm_disparity(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """A one-channel PFM of disparity (SceneFlow) as flow to the right picture, u = -disparity."""
    part = _grey_pfm(data, window)
    return _flow(np.stack([-part, np.zeros_like(part)], axis=-1), None)


def pfm_ids(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """Whole numbers that lie as floats in a one-channel PFM (SceneFlow's object ids), int32 [h, w]."""
    part = _grey_pfm(data, window)
    if not ((part == np.rint(part)) & (np.abs(part) <= 2**24)).all():
        raise DecodeError("ids are whole numbers, and this PFM has others", do="decode it as a tensor [1, H, W]")
    return torch.from_numpy(part.astype(np.int32))


def kitti_flow(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """KITTI 2015 and HD1K: a 16-bit RGB PNG of u, v and "known"; (value - 32768) / 64 pixels.

    Source: the development kit of http://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=flow
    """
    samples = _png16(data, window, 3, "kitti_flow")
    out = np.empty((2, *samples.shape[1:]), np.float32)
    zero = np.where(samples[2] == 0, np.float32(np.nan), np.float32(32768))
    for n in range(2):  # a plane at a time stays near the processor
        np.subtract(samples[n], zero, out=out[n], dtype=np.float32)
        out[n] *= 1 / 64
    return torch.from_numpy(out)


def kitti_disparity(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """KITTI's disparity as flow to the right picture, u = -disparity: 16-bit grey PNG, disparity x 256, 0 unknown."""
    disparity = _png16(data, window, 1, "kitti_disparity")[0]
    out = np.zeros((2, *disparity.shape), np.float32)
    out[0] = disparity / np.float32(-256)
    out[:, disparity == 0] = np.nan
    return torch.from_numpy(out)


def encode_flo(flow: Tensor) -> bytes:
    """A .flo of float32 [2, H, W]. A pixel that is not finite in either channel is NaN in both, as Flow means it.

    ValueError for a known pixel beyond UNKNOWN_ABOVE: readers of .flo take it for "no value".
    """
    height, width = flow.shape[-2:]
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"a .flo has sides of 1 to {MAX_SIDE} pixels, not {height} x {width}")
    rows = flow.numpy().transpose(1, 2, 0).astype("<f4")
    unknown = ~np.isfinite(rows).all(-1)
    if (np.abs(rows[~unknown]) > UNKNOWN_ABOVE).any():
        raise ValueError(f"a flow beyond {UNKNOWN_ABOVE:g} pixels means unknown in a .flo: set it to NaN if it is")
    rows[unknown] = np.nan
    return b"PIEH" + struct.pack("<ii", width, height) + rows.tobytes()


def encode_kitti_flow(flow: Tensor) -> bytes:
    """KITTI's PNG of [2, H, W], rounded to 1/64 pixel. ValueError for a known pixel outside -512 to 511.98."""
    values = flow.numpy().astype(np.float64)
    known = np.isfinite(values).all(0)
    coded = np.rint(np.where(known, values, 0) * 64 + 32768)
    if coded.min(initial=0) < 0 or coded.max(initial=0) > 65535:
        raise ValueError("KITTI's flow PNG holds -512 to 511.98 pixels, and this flow goes beyond: write it as .flo")
    return png16.write(np.stack([*(coded * known), known], axis=-1).astype(np.uint16))


def _pfm_rows(data: bytes | memoryview) -> np.ndarray:
    head = pfm_head(data)
    shape = (head.height, head.width, head.channels)
    rows = np.frombuffer(data, head.dtype, int(np.prod(shape)), head.start).reshape(shape)
    return rows[::-1]  # the file begins with the bottom row


def _grey_pfm(data: bytes | memoryview, window: Window | None) -> np.ndarray:
    rows = _pfm_rows(data)
    if rows.shape[2] != 1:
        raise DecodeError("the PFM has three channels, and one was expected", byte=0)
    top, left, high, wide = check_window(window, *rows.shape[:2])
    return rows[top : top + high, left : left + wide, 0]


def _flow(rows: np.ndarray, window: Window | None) -> Tensor:
    """[H, W, 2] as it lies in the file to [2, h, w], NaN in both channels where either is unknown."""
    top, left, high, wide = check_window(window, *rows.shape[:2])
    out = _planes(rows[top : top + high, left : left + wide])
    least, most = out.aminmax()  # NaN where there is any
    if least >= -UNKNOWN_ABOVE and most <= UNKNOWN_ABOVE:
        return out
    return torch.where((out.abs() <= UNKNOWN_ABOVE).all(0), out, torch.nan)


def _planes(rows: np.ndarray) -> Tensor:
    out = torch.empty(rows.shape[2], *rows.shape[:2], device="cpu")
    for channel, plane in enumerate(out.numpy()):  # half the time of all at once
        plane[...] = rows[..., channel]
    return out


def _png16(data: bytes | memoryview, window: Window | None, channels: int, codec: str) -> np.ndarray:
    kind = header.kind(data)
    head = header.read(data) if kind == "png" else None
    if head is None or (head.depth, head.colour) != (16, 2 if channels == 3 else 0):
        told = f"{head.depth} bits and colour type {head.colour}" if head else f"kind {kind or 'unknown'!r}"
        raise DecodeError(f"{codec} is a PNG of 16 bits and {channels} channels, and this file is of {told}", byte=0)
    return image.decode(data, window=window, mode="unchanged", orient=False).numpy()
