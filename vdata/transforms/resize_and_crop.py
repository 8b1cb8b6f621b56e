"""Resize by a random scale, mirror, and keep a window: one map, and only what the window shows is read.

The spatial part of optical flow training since FlowNet, as RAFT has it (Teed and Deng, arXiv 2003.12039).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.compiled._fused import torch_fuses
from vdata.compiled.lines import read_between
from vdata.key import Key
from vdata.tensors import Flow, Image, Mask, TypedTensor, Video
from vdata.transforms._base import Params, same_size, value
from vdata.transforms._check import interval, padding_sides, probability, put, size_pair, whole
from vdata.transforms._colour import cut_off
from vdata.transforms._geometric import Geometric, Placed
from vdata.transforms._info import Info
from vdata.transforms._lift import SIGNED, has_rows, is_rows
from vdata.transforms._map import Map, push_flow
from vdata.transforms._op import spatial
from vdata.transforms._pixels import cast_rounded
from vdata.transforms._sometimes import strength
from vdata.transforms._tiles import Window
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode

_MOST = 1 << 30  # of a resized side: places between pixels are counted in whole parts of them, with 64 bits
_ENDS = torch.uint32, torch.uint32, torch.float32  # of a line's `ends`


@spatial
def resize_and_crop(
    inpt: Any, height: int, width: int, top: int, left: int, size: Any, horizontal: bool = False, vertical: bool = False
) -> Any:
    """`resize` to (height, width), mirror left and right (`horizontal`), top and bottom (`vertical`), keep the window of
    `size` at (top, left): one reading.

    Pictures are read between four pixels, without antialias (OpenCV's INTER_LINEAR), whatever the scale; masks and
    sparse flows by nearest pixel centre, dense flows between known pixels. The scale of vectors, boxes and points is
    that of the pixels, height / H and width / W. Boxes are cut to the window. Raises ValueError for a window that leaves
    the resized canvas.

    >>> resize_and_crop(KeyPoints([[4.0, 3.0]], canvas_size=(8, 8)), 16, 8, 2, 1, (4, 5), horizontal=True).tolist()
    [[3.0, 4.0]]
    """


@resize_and_crop.map
def _(
    canvas: tuple[int, int], height: Any, width: Any, top: Any, left: Any, size: Any, horizontal: Any, vertical: Any
) -> Map:
    high, wide = _checked(height, width, top, left, size)
    across, down = width / canvas[1], height / canvas[0]
    return Map(
        (
            (1 - 2 * horizontal) * across, 0, horizontal * width - left,
            0, (1 - 2 * vertical) * down, vertical * height - top,
        ),
        (high, wide),
    )  # fmt: skip


def _checked(height: Any, width: Any, top: Any, left: Any, size: Any) -> tuple[int, int]:
    """The window's (height, width), when it lies on the resized canvas."""
    high, wide = size_pair(size)
    if np.any((np.asarray(height) > _MOST) | (np.asarray(width) > _MOST)):
        raise ValueError(f"a canvas is resized to at most {_MOST:,} pixels a side, got {height}, {width} (height, width)")
    if np.any((top < 0) | (left < 0) | (top + high > height) | (left + wide > width)):
        raise ValueError(
            f"a window of {(high, wide)} at {top}, {left} (top, left) leaves the canvas resized to {height}, {width} (height, width)"
        )
    return high, wide


@resize_and_crop.reads
def _(**_: Any) -> How:
    return How(InterpolationMode.BILINEAR)


@resize_and_crop.on(Image, Video, Mask)
def _(x: Image | Video | Mask, **window: Any) -> Tensor:
    return _along_lines(x, **window)


@resize_and_crop.flow
def _(x: Flow, **window: Any) -> Tensor:
    return _along_lines(x, **window)


resize_and_crop.clamps()


def _along_lines(x: Image | Video | Mask | Flow, **w: Any) -> Tensor:
    """A raster read row by row, then column by column: what any map would give, in a fifth of the time.

    Arguments with one entry a row are for x [R, ..., H, W].
    """
    down, across = _lines(x.canvas, x.device, w)
    plain = x.plain()
    if isinstance(x, Mask) or (isinstance(x, Flow) and x.sparse):
        return across.nearest(down.nearest(plain))
    if _flat(plain) and read_between.pays(plain.numel()) and torch_fuses():
        return _in_loops(plain, down, across)
    if has_rows(w) or plain.device.type != "cpu" or plain.requires_grad:
        return _between(plain, down, across)
    out = plain.new_empty((*plain.shape[:-2], len(down.places), len(across.places)))
    for old, new in zip(plain.flatten(0, -3), out.flatten(0, -3), strict=True):  # planes that stay in the cache
        new.copy_(_between(old, down, across))
    return out


def _flat(x: Tensor) -> bool:
    return x.dtype in (torch.uint8, torch.float32) and x.device.type == "cpu" and x.numel() > 0 and not x.requires_grad


def _in_loops(x: Tensor, down: _Line, across: _Line) -> Tensor:
    """`_between` in one compiled pass."""
    tables = [[v.reshape(-1, v.shape[-1]).to(kind).numpy() for v, kind in zip(line.ends, _ENDS, strict=True)] for line in (down, across)]
    rows = max(len(v) for table in tables for v in table)
    tables = [[v.repeat(rows // len(v), 0) for v in table] for table in tables]
    out = torch.empty((*x.shape[:-2], down.places.shape[-1], across.places.shape[-1]), dtype=x.dtype)
    lines = [np.empty(n, np.float32) for n in (x.shape[-1], out.shape[-1], out.shape[-1])]
    planes = x.shape[:-2].numel() // rows
    read_between(x.contiguous().reshape(-1).numpy(), out.reshape(-1).numpy(), *lines, rows, planes, *x.shape[-2:], *tables[0], *tables[1], *across.span, x.dtype == torch.uint8)
    return out


def _between(x: Tensor, down: _Line, across: _Line) -> Tensor:
    left, right = across.span  # all that is read of a row
    read = across.between(down.between(x[..., left:right]), left)
    if x.dtype == torch.uint8:  # between bytes nothing leaves their range
        return cut_off(read.round_(), x.dtype)
    return cast_rounded(read, x.dtype)


def _lines(canvas: tuple[int, int], device: torch.device, w: Mapping[str, Any]) -> tuple[_Line, _Line]:
    """The lines that a window is read along, down and across."""
    high, wide = _checked(w["height"], w["width"], w["top"], w["left"], w["size"])
    down = _Line(canvas[0], device, w["height"], w["top"], high, w["vertical"], -2)
    return down, _Line(canvas[1], device, w["width"], w["left"], wide, w["horizontal"], -1)


class _Line:
    """Where the centres of `count` pixels of a line of `old` pixels that was resized to `new` lie on the old line.

    In units of 1 / (2 new) of an old pixel, which are whole numbers: a centre on a border of pixels, or on a centre, is
    there whatever the rounding. Tensors are [count], or [R, count].
    """

    def __init__(self, old: int, device: torch.device, new: Any, first: Any, count: int, mirrored: Any, dim: int):
        new, first, mirrored = (torch.as_tensor(v, device=device)[:, None] if is_rows(v) else int(v) for v in (new, first, mirrored))
        at = torch.arange(count, device=device) + first
        at = at + mirrored * (new - 1 - 2 * at)
        self.dim, self.old, self.new = dim, old, new
        self.places = (2 * at + 1) * old

    def nearest(self, x: Tensor) -> Tensor:
        """x read at the pixels that hold the places, exactly."""
        return self._read(x, self.places // (2 * self.new))

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """The pixels before and behind each place, and how far behind the first it lies: float64, below 1.

        The border is continued. What weighs nothing is not looked at, so that it may be NaN.
        """
        unit, places = 2 * self.new, (self.places - self.new).clamp(min=0)
        last = unit * (self.old - 1)
        places = torch.minimum(places, last) if isinstance(last, Tensor) else places.clamp(max=last)
        low, rest = places // unit, places % unit
        return low, low + (rest > 0), rest.double() / unit

    @property
    def span(self) -> tuple[int, int]:
        """The first pixel that `between` reads, and the one behind the last."""
        low, high, _ = self.ends
        return (int(low.min()), int(high.max()) + 1) if low.numel() else (0, 0)

    def between(self, x: Tensor, since: int = 0) -> Tensor:
        """x, which begins at the pixel `since`, as floats, read between the two pixels beside each place."""
        low, high, weight = self.ends
        ends = (self._read(x, at - since) for at in (low, high))
        below, above = (end if end.dtype in (torch.float32, torch.float64) else end.float() for end in ends)
        return below.lerp_(above, self._facing(weight, x).to(below.dtype))

    def _read(self, x: Tensor, at: Tensor) -> Tensor:
        if x.dtype in SIGNED:
            return self._read(x.view(SIGNED[x.dtype]), at).view(x.dtype)
        if at.ndim == 1 and self.dim == -2:  # of columns, gather is four times as fast
            return x.index_select(self.dim, at)
        shape = list(x.shape)
        shape[self.dim] = at.shape[-1]
        return x.gather(self.dim, self._facing(at, x).expand(shape))

    def _facing(self, line: Tensor, x: Tensor) -> Tensor:
        """A line's numbers as a tensor that broadcasts over x."""
        rows, after = line.shape[:-1], -1 - self.dim
        return line.reshape(*rows, *[1] * (x.ndim - len(rows) - 1 - after), line.shape[-1], *[1] * after)


@value
class RandomResizeAndCrop(Geometric):
    """Resize by a random scale, mirror, and keep a window of `crop_size` at a random place; all frames alike, so they must
    be of one size.

    crop_size      (height, width), or the side of a square
    min_scale      the scale is 2^u, u drawn evenly between this
    max_scale      and this
    stretch_prob   how often each side is stretched by a 2^u of its own
    max_stretch    with u between minus this and this
    resize_prob    how often the frame is resized at all
    h_flip_prob    how often it is mirrored left and right
    v_flip_prob    how often it is mirrored top and bottom
    room           a resized frame is at least so many pixels larger than the crop: smaller scales are raised
    overhang       (left, top, right, bottom): windows are drawn as if the frame were so much larger, and those beyond it
                   moved back, so that its borders are seen more often

    A frame that is smaller than the crop is resized to hold it, whether it would be resized or not: there are never new
    pixels, and no size fails. torchvision's references have the first four arguments.

    >>> RandomResizeAndCrop((4, 6))(Image(torch.zeros(3, 32, 32))).shape
    torch.Size([3, 4, 6])
    """

    crop_size: Any
    min_scale: float = -0.2
    max_scale: float = 0.5
    stretch_prob: float = 0.8
    max_stretch: float = 0.2
    resize_prob: float = 0.8
    h_flip_prob: float = 0.0
    v_flip_prob: float = 0.0
    room: int = 8
    overhang: Any = (0, 0, 0, 0)
    op = resize_and_crop

    def __post_init__(self) -> None:
        put(self, crop_size=size_pair(self.crop_size, "crop_size"), overhang=padding_sides(self.overhang))
        interval((self.min_scale, self.max_scale), "(min_scale, max_scale)")
        for name in ("stretch_prob", "resize_prob", "h_flip_prob", "v_flip_prob"):
            probability(getattr(self, name), name)
        strength(self.max_stretch, "max_stretch")
        whole(self.room, "room", 0)

    def draw(self, key: Key, info: Info) -> Params:
        size = self._sizes(key, same_size(self, info))
        room = size - self.crop_size
        left, top, right, bottom = self.overhang
        down = key.fold("top").integers(-top, room[:, 0] + bottom + 1)
        across = key.fold("left").integers(-left, room[:, 1] + right + 1)
        return {
            "height": size[:, 0], "width": size[:, 1], "top": down.clip(0, room[:, 0]), "left": across.clip(0, room[:, 1]),
            "horizontal": key.fold("horizontal").bernoulli(self.h_flip_prob),
            "vertical": key.fold("vertical").bernoulli(self.v_flip_prob),
        }  # fmt: skip

    def _sizes(self, key: Key, sizes: np.ndarray) -> np.ndarray:
        """The resized canvases, int64 [B, 2]."""
        scale = np.exp2(key.fold("scale").uniform(self.min_scale, self.max_scale))[:, None]
        stretch = np.exp2(key.fold("stretch").uniform(-self.max_stretch, self.max_stretch, 2))
        stretched = key.fold("stretched").bernoulli(self.stretch_prob)[:, None]
        resized = key.fold("resized").bernoulli(self.resize_prob)[:, None]
        crop = np.array(self.crop_size)
        drawn = np.maximum(scale * np.where(stretched, stretch, 1), ((crop + self.room) / sizes).max(1, keepdims=True))
        kept = np.maximum((crop / sizes).max(1, keepdims=True), 1)
        new = np.minimum(np.rint(sizes * np.where(resized, drawn, kept)), _MOST + 1)  # one too many, which is said when it is done
        return np.maximum(new.astype(np.int64), crop)

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {**params, "size": self.crop_size}

    def seen(self, params: Params, size: tuple[int, int]) -> Window:
        """The part of a picture of (height, width) that is read."""
        down, across = _lines(size, torch.device("cpu"), self.op.arguments(**self.place(params, size)))
        return Window(*down.span, *across.span)

    def moved(self, value: TypedTensor, placed: Placed, frame: str) -> Any:
        """Rasters of a batch go along lines too, each row along its own."""
        first = placed[frame]
        if first is None or not has_rows(first) or not isinstance(value, (Image, Video, Mask, Flow)):
            return super().moved(value, placed, frame)
        raster = _along_lines(value, **first)
        if not isinstance(value, Flow):
            return value.like(raster)
        here, there = (
            self.op.where(value.canvas, **first),
            self.op.where(value.target_size, **(placed[value.views[1]] or {})),
        )
        return value.like(push_flow(raster, here, there), target_size=there.size)

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.crop_size, np.int64), sizes.shape)
