"""Keep a window and resize it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from vdata.key import Key
from vdata.tensors import Flow, Image, Mask, TypedTensor, Video
from vdata.transforms._base import Params, same_size, value
from vdata.transforms._check import interval, put, size_pair
from vdata.transforms._follow import new_pixels
from vdata.transforms._geometric import Geometric, Reduction
from vdata.transforms._info import Info
from vdata.transforms._map import Map
from vdata.transforms._op import spatial
from vdata.transforms._pixels import cut, nearest
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode, tensor_mode
from vdata.transforms.resize import BILINEAR, resize, resize_each, resize_pixels, resize_vectors, resized_size

_TRIES = 10  # torchvision's


@spatial
def resized_crop(
    inpt: Any, top: int, left: int, height: int, width: int, size: Any,
    interpolation: Any = BILINEAR, antialias: bool | None = True,
) -> Any:  # fmt: skip
    """`crop` to a window, then `resize` to `size`; boxes are cut to the window.

    >>> resized_crop(KeyPoints([[4.0, 3.0]], canvas_size=(8, 8)), 2, 2, 2, 4, (4, 8)).tolist()
    [[4.0, 2.0]]
    """


@resized_crop.map
def _(canvas: tuple[int, int], /, **how: Any) -> Map:
    top, left, height, width = how["top"], how["left"], how["height"], how["width"]
    size = how["size"]
    new = size if isinstance(size, tuple) else resized_size((height, width), size)
    across, down = new[1] / width, new[0] / height
    return Map((across, 0, -left * across, 0, down, -top * down), (new[0], new[1]))


@resized_crop.on(Image, Video)
def _(
    x: Image | Video, top: int, left: int, height: int, width: int, size: Any, interpolation: Any, antialias: Any
) -> Tensor:
    window = cut(x.plain(), top, left, height, width)
    return resize_pixels(window, resized_size((height, width), size), interpolation, antialias)


@resized_crop.on(Mask)
def _(x: Mask, top: int, left: int, height: int, width: int, size: Any, interpolation: Any, antialias: Any) -> Tensor:
    return nearest(cut(x.plain(), top, left, height, width, new_pixels(x)), resized_size((height, width), size))


@resized_crop.flow
def _(x: Flow, top: int, left: int, height: int, width: int, size: Any, interpolation: Any, antialias: Any) -> Tensor:
    window = x.like(cut(x.plain(), top, left, height, width, new_pixels(x)))
    return resize_vectors(window, resized_size((height, width), size))


@resized_crop.reads
def _(
    top: Any, left: Any, height: Any, width: Any, size: Any, interpolation: Any, antialias: Any, **_: Any
) -> How:
    corner = InterpolationMode(interpolation) is InterpolationMode.NEAREST
    return How(interpolation, bool(antialias), corner=corner, window=(top, left, height, width))


resized_crop.clamps()


@value
class RandomResizedCrop(Geometric):
    """Keep a random window and resize it to `size`; one window for all frames, which must be of one size.

    size   (height, width), or the side of a square
    scale  the window's area, least and greatest share of the canvas
    ratio  the window's width over its height, least and greatest, drawn evenly in its logarithm

    Ten draws are made; where none fits, the largest window in the middle with an allowed ratio is taken (as torchvision).

    >>> RandomResizedCrop((4, 6))(Image(torch.zeros(3, 32, 32))).shape
    torch.Size([3, 4, 6])
    """

    size: Any
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Any = BILINEAR
    antialias: bool | None = True
    op = resized_crop

    def __post_init__(self) -> None:
        if interval(self.ratio, "ratio", 0)[0] == 0:
            raise ValueError(f"ratio must be above 0, got {self.ratio!r}")
        put(
            self,
            size=size_pair(self.size),
            scale=interval(self.scale, "scale", 0),
            ratio=interval(self.ratio, "ratio", 0),
        )
        put(self, interpolation=tensor_mode(self.interpolation, self.antialias))

    def draw(self, key: Key, info: Info) -> Params:
        sizes = same_size(self, info)
        height, width = self._window_sizes(key, sizes)
        fits = (height > 0) & (height <= sizes[:, :1]) & (width > 0) & (width <= sizes[:, 1:])
        first = np.arange(len(sizes)), fits.argmax(1)
        middle_height, middle_width = self._middle(sizes)
        height = np.where(fits.any(1), height[first], middle_height)
        width = np.where(fits.any(1), width[first], middle_width)
        room_y, room_x = sizes[:, 0] - height, sizes[:, 1] - width
        top = np.where(fits.any(1), key.fold("top").integers(0, room_y + 1), room_y // 2)
        left = np.where(fits.any(1), key.fold("left").integers(0, room_x + 1), room_x // 2)
        return {"top": top, "left": left, "height": height, "width": width}

    def _window_sizes(self, key: Key, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heights and widths of all tries, int64 [B, tries] each."""
        area = sizes.prod(1, keepdims=True) * key.fold("scale").uniform(*self.scale, _TRIES)
        ratio = np.exp(key.fold("ratio").uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), _TRIES))
        return np.rint(np.sqrt(area / ratio)).astype(np.int64), np.rint(np.sqrt(area * ratio)).astype(np.int64)

    def _middle(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The largest window with an allowed ratio: heights and widths int64 [B]."""
        height, width = sizes[:, 0], sizes[:, 1]
        high = np.where(width < height * self.ratio[0], np.rint(width / self.ratio[0]), height)
        wide = np.where(width > height * self.ratio[1], np.rint(height * self.ratio[1]), width)
        return np.maximum(high, 1).astype(np.int64), np.maximum(wide, 1).astype(np.int64)

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {**params, "size": self.size, "interpolation": self.interpolation, "antialias": self.antialias}

    @property
    def made(self) -> tuple[int, int]:
        return self.size

    def window(self, params: Params, size: tuple[int, int]) -> tuple[int, int, int, int]:
        return params["top"], params["left"], params["height"], params["width"]

    def after_window(self, leaf: TypedTensor, params: Params) -> TypedTensor:
        return resize(leaf, self.size, self.interpolation, antialias=self.antialias)

    def after_windows(
        self, leaves: Sequence[TypedTensor], params: Sequence[Params], turned: Sequence[bool], rows: Sequence[Tensor | None]
    ) -> list[TypedTensor]:  # fmt: skip
        own_way = type(self).after_window is not RandomResizedCrop.after_window
        if own_way or not all(isinstance(leaf, Image) for leaf in leaves):
            return super().after_windows(leaves, params, turned, rows)
        news = resize_each([leaf.plain() for leaf in leaves], self.size, self.interpolation, self.antialias, turned, rows)
        return [leaf.like(new) for leaf, new in zip(leaves, news, strict=True)]

    def reduction(self, params: Params, size: tuple[int, int]) -> Reduction | None:
        return Reduction(self.window(params, size), self.size, self.interpolation) if self.antialias else None

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.size, np.int64), sizes.shape)
