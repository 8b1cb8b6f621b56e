"""Resize by a random scale, mirror, and keep a window: one map, and only what the window shows is read.

The spatial part of optical flow training since FlowNet, as RAFT has it (Teed and Deng, arXiv 2003.12039).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.tensors import Flow, Image, Mask, Video
from vdata.transforms._base import Params, same_size, value
from vdata.transforms._check import interval, padding_sides, probability, put, size_pair, whole
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Map
from vdata.transforms._op import spatial
from vdata.transforms._pixels import cast_rounded, gather
from vdata.transforms._sometimes import strength
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode

Taps = tuple[Tensor, Tensor, Tensor]


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
    high, wide = size_pair(size)
    if np.any((top < 0) | (left < 0) | (top + high > height) | (left + wide > width)):
        raise ValueError(
            f"a window of {(high, wide)} at {top}, {left} (top, left) leaves the canvas resized to {height}, {width} (height, width)"
        )
    across, down = width / canvas[1], height / canvas[0]
    return Map(
        (
            (1 - 2 * horizontal) * across, 0, horizontal * width - left,
            0, (1 - 2 * vertical) * down, vertical * height - top,
        ),
        (high, wide),
    )  # fmt: skip


@resize_and_crop.reads
def _(**_: Any) -> How:
    return How(InterpolationMode.BILINEAR)


# One window is read line by line, B of them under a map each: the same numbers, and the first in a tenth of the time.
@resize_and_crop.on(Image, Video)
def _(x: Image | Video, **window: Any) -> Tensor:
    return cast_rounded(_between(x.plain(), **window), x.dtype)


@resize_and_crop.on(Mask)
def _(x: Mask, **window: Any) -> Tensor:
    return _nearest(x.plain(), **window)


@resize_and_crop.flow
def _(x: Flow, **window: Any) -> Tensor:
    return _nearest(x.plain(), **window) if x.sparse else _between(x.plain(), **window)


resize_and_crop.clamps()


def _places(new: int, first: int, count: int, mirrored: bool, old: int, x: Tensor) -> Tensor:
    """Where the centres of `count` pixels of a line resized to `new` lie on the old line, times 2 * new: in whole numbers,
    so that a centre on a border of pixels never depends on rounding."""
    at = torch.arange(first, first + count, device=x.device)
    return (2 * (new - 1 - at if mirrored else at) + 1) * old


def _lines(x: Tensor, w: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """`_places` of the window's rows and columns."""
    high, wide = size_pair(w["size"])
    down = _places(w["height"], w["top"], high, w["vertical"], x.shape[-2], x)
    return down, _places(w["width"], w["left"], wide, w["horizontal"], x.shape[-1], x)


def _nearest(x: Tensor, **window: Any) -> Tensor:
    down, across = _lines(x, window)
    return gather(x, down // (2 * window["height"]), across // (2 * window["width"]))


def _between(x: Tensor, **window: Any) -> Tensor:
    """Floats between pixels; the border continued. NaN where a pixel of a weight above zero is NaN."""
    down, across = _lines(x, window)
    rows, columns = _taps(down, window["height"], x.shape[-2]), _taps(across, window["width"], x.shape[-1])
    return _mixed(_mixed(x, -2, *rows), -1, *columns)


def _taps(places: Tensor, new: int, old: int) -> Taps:
    """The two pixels beside each place, and what the second weighs; one that weighs nothing is the first again."""
    places = (places - new).clamp(0, 2 * new * (old - 1))
    low, rest = places // (2 * new), places % (2 * new)
    return low, low + (rest > 0), rest.double() / (2 * new)


def _mixed(x: Tensor, dim: int, low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    ends = (x.index_select(dim, at) for at in (low, high))
    below, above = (end if end.dtype in (torch.float32, torch.float64) else end.float() for end in ends)
    return below.lerp(above, (weight if dim == -1 else weight[:, None]).to(below.dtype))


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
    overhang: Any = 0
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
        return np.maximum(np.rint(sizes * np.where(resized, drawn, kept)).astype(np.int64), crop)

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {**params, "size": self.crop_size}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.crop_size, np.int64), sizes.shape)
