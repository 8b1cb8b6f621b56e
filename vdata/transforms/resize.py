"""Change the canvas's resolution."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vdata.compiled import Beside
from vdata.compiled import resize as compiled
from vdata.planes import mirrored
from vdata.tensors import Flow, Image, Mask, Video
from vdata.transforms._base import Params, value
from vdata.transforms._check import put, size_pair, whole
from vdata.transforms._geometric import Geometric, Reduction
from vdata.transforms._map import Map
from vdata.transforms._op import spatial
from vdata.transforms._pixels import bilinear, cast_rounded, nearest
from vdata.transforms._planes import by_bits, has_bits
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode, tensor_mode

BILINEAR = InterpolationMode.BILINEAR
_NEAREST = (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT)


@spatial
def resize(
    inpt: Any, size: Any, interpolation: Any = BILINEAR, max_size: int | None = None, antialias: bool | None = True
) -> Any:
    """Resize to `size`: (height, width), or one number for the shorter side, the longer following its ratio.

    max_size  the longer side's limit, with one number; with size=None the longer side itself
    antialias average over what a new pixel covers when making smaller (bilinear, bicubic and lanczos)

    Pictures as torchvision's tensors, bit for bit; integers round and stay in their range. Masks take the old pixel
    that holds each new centre, whatever `interpolation` says, exactly for any integer. A flow is read at the new centres:
    between known pixels, or the nearest one where it is sparse; its vectors, like boxes and points, take the ratios of
    the canvases. Sides are at least 1.

    >>> resize(Mask(torch.tensor([[1, 2**40]])), (1, 4)).tolist()
    [[1, 1, 1099511627776, 1099511627776]]
    """


def resized_size(old: tuple[int, int], size: Any, max_size: int | None = None) -> tuple[int, int]:
    """The (height, width) that `resize` gives a canvas of size `old`."""
    if type(size) is tuple and len(size) == 2 and max_size is None:
        return size_pair(size)
    high, wide = resized_sizes(np.array([old], np.int64), size, max_size)[0].tolist()
    return high, wide


def resized_sizes(old: np.ndarray, size: Any, max_size: int | None = None) -> np.ndarray:
    """`resized_size` of many canvases: int64 [B, 2] to int64 [B, 2]."""
    size, max_size = checked_size(size, max_size)
    if isinstance(size, tuple):
        return np.broadcast_to(np.array(size, np.int64), old.shape)
    if (old < 1).any():
        raise ValueError(f"a canvas without pixels cannot be resized, got {old.tolist()}")
    short, long = old.min(1), old.max(1)
    if size is None:
        new_short, new_long = (max_size * short / long).astype(np.int64), np.full(len(old), max_size)
    else:
        new_short, new_long = np.full(len(old), size), (size * long / short).astype(np.int64)
        if max_size is not None:
            over = new_long > max_size
            new_short = np.where(over, (max_size * new_short / new_long).astype(np.int64), new_short)
            new_long = np.where(over, max_size, new_long)
    upright = old[:, 1] <= old[:, 0]
    new = np.where(upright[:, None], np.stack([new_long, new_short], 1), np.stack([new_short, new_long], 1))
    return np.maximum(new, 1)


def checked_size(size: Any, max_size: int | None = None) -> tuple[int | tuple[int, int] | None, int | None]:
    """`size` as (height, width), the shorter side or None, and `max_size`; ValueError where they contradict each other."""
    if isinstance(size, Sequence) and len(size) == 1:
        size = size[0]
    if max_size is not None:
        max_size = whole(max_size, "max_size")
    if size is None:
        if max_size is None:
            raise ValueError("size=None needs max_size, the length of the longer side")
        return None, max_size
    if isinstance(size, Sequence):
        if max_size is not None:
            raise ValueError("max_size goes with one number for the shorter side (or None), not with (height, width)")
        return size_pair(size), None
    size = whole(size, "size")
    if max_size is not None and max_size <= size:
        raise ValueError(f"max_size ({max_size}) must be greater than the shorter side ({size})")
    return size, max_size


@resize.map
def _(size: tuple[int, int], /, **how: Any) -> Map:
    new = resized_size(size, how["size"], how["max_size"])
    return Map((new[1] / size[1], 0, 0, 0, new[0] / size[0], 0), new)


@resize.on(Image, Video)
def _(x: Image | Video, size: Any, interpolation: Any, max_size: int | None, antialias: bool | None) -> Tensor:
    return resize_pixels(x.plain(), resized_size(x.canvas, size, max_size), interpolation, antialias)


@resize.on(Mask)
def _(x: Mask, size: Any, interpolation: Any, max_size: int | None, antialias: bool | None) -> Tensor:
    new = resized_size(x.canvas, size, max_size)
    return by_bits(x.plain(), lambda bits: nearest(bits, new)) if has_bits(x.plain()) else nearest(x.plain(), new)


@resize.flow
def _(x: Flow, size: Any, interpolation: Any, max_size: int | None, antialias: bool | None) -> Tensor:
    return resize_vectors(x, resized_size(x.canvas, size, max_size))


@resize.reads
def _(interpolation: Any, antialias: bool | None, **_: Any) -> How:
    mode = InterpolationMode(interpolation)
    return How(mode, bool(antialias), corner=mode is InterpolationMode.NEAREST)


def resize_vectors(x: Flow, new: tuple[int, int]) -> Tensor:
    """A flow's raster at another resolution, its vectors as they were."""
    return nearest(x.plain(), new) if x.sparse else bilinear(x.plain(), new)


def resize_pixels(
    x: Tensor, new: tuple[int, int], interpolation: Any = BILINEAR, antialias: bool | None = True
) -> Tensor:
    """Pictures [..., C, H, W] resized to `new` (height, width); the same tensor where that changes nothing.

    Source: torchvision.transforms.v2.functional.resize_image, whose results these are to the bit.
    """
    mode = tensor_mode(interpolation, antialias)
    if _loop_can(x, new, new, mode, bool(antialias)):
        return _by_loop([x], new, new, bool(antialias))[0]
    return _by_torch(x, new, mode, bool(antialias))


def _by_torch(x: Tensor, new: tuple[int, int], mode: InterpolationMode, antialias: bool) -> Tensor:
    if tuple(x.shape[-2:]) == new:
        return x
    if x.numel() == 0:
        return x.new_empty((*x.shape[:-2], *new))
    flat = _channels_last_batch(x.reshape(-1, *x.shape[-3:]))
    native = x.dtype in (torch.float32, torch.float64) or (
        x.dtype == torch.uint8 and _resizes_bytes(x.device, mode, new)
    )
    out = _interpolated(flat if native else flat.float(), new, mode, antialias and mode not in _NEAREST)
    out = out if native else cast_rounded(out, x.dtype)
    return out.reshape(*x.shape[:-2], *new)


def resize_beginning(x: Tensor, new: tuple[int, int], shown: tuple[int, int], interpolation: Any, antialias: bool | None) -> Tensor:
    """The first rows and columns of `resize_pixels`, to the bit; at least as many as `shown`, where that saves work only these.

    Enlarging bytes alone: torch's byte kernel takes the precision of all its weights from the greatest, which is then the first
    pixel's, whatever follows.
    """
    high, wide = shown
    mode, grows = tensor_mode(interpolation, antialias), all(n >= o for n, o in zip(new, x.shape[-2:], strict=True))
    if _loop_can(x, new, shown, mode, bool(antialias)):
        return _by_loop([x], new, shown, bool(antialias))[0]
    if shown == new or not grows or x.dtype != torch.uint8 or mode is not BILINEAR or not _resizes_bytes(x.device, BILINEAR, new):
        return _by_torch(x, new, mode, bool(antialias))
    scales = [n / o for n, o in zip(new, x.shape[-2:], strict=True)]
    rows, columns = (min(o, math.ceil(s / k) + 2) for o, s, k in zip(x.shape[-2:], shown, scales, strict=True))  # what the last one reads
    # torch takes equal sizes for nothing to do; of many channels it makes a single column of the first row alone (seen in 2.14)
    if x.numel() == 0 or rows == high or columns == wide or wide == 1:
        return _by_torch(x, new, mode, bool(antialias))
    flat = _channels_last_batch(x.reshape(-1, *x.shape[-3:]))[..., :rows, :columns]
    verb = torch.ops.aten._upsample_bilinear2d_aa if antialias else torch.ops.aten.upsample_bilinear2d
    return verb(flat, shown, False, *scales).reshape(*x.shape[:-2], *shown)


def resize_each(
    pictures: Sequence[Tensor], new: tuple[int, int], interpolation: Any, antialias: bool | None,
    turned: Sequence[bool] | None = None, rows: Sequence[Tensor | None] | None = None,
) -> list[Tensor]:  # fmt: skip
    """`resize_pixels` of pictures, each of its own size: in one call where the loop can do it. Those that are `turned` are mirrored then,
    left for right: by the loop for nothing. Results of the kind of one of `rows`, contiguous and of the new size, are written into it."""
    mode, antialias = tensor_mode(interpolation, antialias), bool(antialias)
    turned = [False] * len(pictures) if turned is None else turned
    pairs = zip(pictures, [None] * len(pictures) if rows is None else rows, strict=True)
    rows = [None if row is None or row.dtype != x.dtype or row.shape[:-2] != x.shape[:-2] else row for x, row in pairs]
    quick = [i for i, x in enumerate(pictures) if _loop_can(x, new, new, mode, antialias)]
    free = [turned[i] and pictures[i].shape[-1] != new[1] for i in quick]
    outs = [None if turned[i] and not there else rows[i] for i, there in zip(quick, free, strict=True)]
    found = dict(zip(quick, _by_loop([pictures[i] for i in quick], new, new, antialias, free, outs), strict=True)) if quick else {}
    left = set(itertools.compress(range(len(pictures)), turned)).difference(itertools.compress(quick, free))
    made = []
    for i, (x, row) in enumerate(zip(pictures, rows, strict=True)):
        out = found[i] if i in found else _by_torch(x, new, mode, antialias)
        out = mirrored(out) if i in left else out
        made.append(out if row is None or out is row else row.copy_(out))
    return made


def _loop_can(x: Tensor, new: tuple[int, int], shown: tuple[int, int], mode: InterpolationMode, antialias: bool) -> bool:
    """Whether the compiled loop does it, as torch's byte kernel would: of plain memory in which pixels lie side by side."""
    if type(x) is not Tensor or mode is not BILINEAR or x.dtype != torch.uint8 or not x.is_cpu or x.is_neg() or x.stride(-1) != 1:
        return False
    if torch._C._is_tracing() or _capability() not in ("AVX2", "AVX512"):
        return False
    old, count = (x.shape[-2], x.shape[-1]), x.numel()
    return count > 0 and old != new and compiled.fit(old, new, shown, antialias) and _loop.ready(count, _nothing)


def _nothing() -> None:
    """What the loop is compiled with."""


def _by_loop(
    pictures: Sequence[Tensor], new: tuple[int, int], shown: tuple[int, int], antialias: bool,
    turned: Sequence[bool] | None = None, rows: Sequence[Tensor | None] | None = None,
) -> list[Tensor]:  # fmt: skip
    planes = [x if x.ndim == 3 else x.reshape(-1, *x.shape[-2:]) for x in pictures]
    outs = compiled.resized(planes, new, shown, antialias, turned, rows)
    return [out if x.ndim == 3 else out.reshape(*x.shape[:-2], *shown) for out, x in zip(outs, pictures, strict=True)]


_capability = lru_cache(None)(torch.backends.cpu.get_cpu_capability)
_loop = Beside(lambda _: compiled.resized([torch.zeros(1, 64, 64, dtype=torch.uint8)], (48, 48), (48, 48), True))


def _interpolated(x: Tensor, new: tuple[int, int], mode: InterpolationMode, antialias: bool) -> Tensor:
    if mode in _NEAREST:
        return interpolate(x, size=new, mode=mode.value)
    if new[1] == 1 and antialias and x.is_floating_point():
        # To a width of 1 torch's antialiased float kernel reads the first row alone (seen in 2.14): height first, then width.
        x = x if x.shape[-1] > 1 else x.repeat(1, 1, 1, 2)
        x = interpolate(x, size=(new[0], x.shape[-1]), mode=mode.value, align_corners=False, antialias=True)
    return interpolate(x, size=new, mode=mode.value, align_corners=False, antialias=antialias)


def _resizes_bytes(device: torch.device, mode: InterpolationMode, new: tuple[int, int]) -> bool:
    """Whether torch resizes uint8 itself: torchvision's choice, so that results are its own."""
    if mode in _NEAREST:
        return True
    if device.type != "cpu" or new == (1, 1):  # to a single pixel torch's byte kernel raises (seen in 2.14)
        return False
    return mode is not BILINEAR or _capability() in ("AVX2", "AVX512", "SVE256")


def _channels_last_batch(x: Tensor) -> Tensor:
    """A single interleaved picture (as decoders give) with strides that torch takes for channels-last, not for planar."""
    if len(x) > 1 or not x.is_contiguous(memory_format=torch.channels_last) or x.is_contiguous():
        return x
    return x.as_strided(x.shape, (x.numel(), *x.stride()[1:]))


@value
class Resize(Geometric):
    """Resize every leaf; arguments as in `functional.resize`. One number is the shorter side of each frame.

    >>> Resize(4)(Image(torch.zeros(3, 8, 16))).shape
    torch.Size([3, 4, 8])
    """

    size: Any
    interpolation: Any = BILINEAR
    max_size: int | None = None
    antialias: bool | None = True
    op = resize

    def __post_init__(self) -> None:
        size, max_size = checked_size(self.size, self.max_size)
        put(self, size=size, max_size=max_size, interpolation=tensor_mode(self.interpolation, self.antialias))

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {
            "size": self.size,
            "interpolation": self.interpolation,
            "max_size": self.max_size,
            "antialias": self.antialias,
        }

    def reduction(self, params: Params, size: tuple[int, int]) -> Reduction | None:
        return Reduction((0, 0, *size), resized_size(size, self.size, self.max_size), self.interpolation) if self.antialias else None

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return resized_sizes(sizes, self.size, self.max_size)
