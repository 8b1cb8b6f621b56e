"""Keep a window of the canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.errors import PlanError
from vdata.key import Key
from vdata.tensors import Flow
from vdata.transforms._base import Params, same_size, value
from vdata.transforms._check import fill_value, padding_mode, padding_sides, put, size_pair
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Map, Move
from vdata.transforms._op import spatial
from vdata.transforms._pixels import Fill, cut, cut_rows
from vdata.transforms._warp import How, warped
from vdata.transforms.pad import fill_by_type, pad, pad_pixels

Window = tuple[int, int, int, int]


@spatial
def crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    """Keep the window [top, top + height) x [left, left + width).

    A window that leaves the canvas gets new pixels there: 0 in pictures, ignore_index (or 0) in masks, NaN in flows.
    Boxes are cut to the window (rotated ones are only moved); key points are moved and stay, inside or not.
    The result may share memory with the input.

    >>> crop(BoundingBoxes([[1, 1, 8, 8]], format="XYXY", canvas_size=(9, 9)), 2, 2, 4, 5).tolist()
    [[0, 0, 5, 4]]
    """


@crop.map
def _(size: tuple[int, int], top: int, left: int, height: int, width: int) -> Map:
    return Map((1, 0, -left, 0, 1, -top), (height, width))


@crop.pixels
def _(x: Tensor, fill: Fill, top: int, left: int, height: int, width: int) -> Tensor:
    return cut(x, top, left, height, width, fill)


@crop.rows
def _(x: Tensor, fill: Fill, top: Any, left: Any, height: int, width: int) -> Tensor:
    return cut_rows(x, top, left, height, width, fill)


crop.clamps()


def centre_window(size: tuple[int, int], output_size: Any) -> Window:
    """(top, left, height, width) of the window of `output_size` in the middle of a canvas; it may leave the canvas.

    An odd pixel goes where torchvision's picture kernel puts it (its boxes and key points differ by one there).
    """
    height, width = size_pair(output_size, "output_size")
    return _middle(size[0], height), _middle(size[1], width), height, width


def _middle(old: int, new: int) -> int:
    return round((old - new) / 2) if new <= old else -((new - old) // 2)


@spatial
def center_crop(inpt: Any, output_size: Any) -> Any:
    """Keep the window of `output_size` (a side, or (height, width)) in the middle; where it is larger, as in `crop`.

    >>> center_crop(KeyPoints([[4.0, 3.0]], canvas_size=(6, 8)), 2).tolist()
    [[1.0, 1.0]]
    """


@center_crop.map
def _(size: tuple[int, int], output_size: Any) -> Map:
    top, left, height, width = centre_window(size, output_size)
    return Map((1, 0, -left, 0, 1, -top), (height, width))


@center_crop.pixels
def _(x: Tensor, fill: Fill, output_size: Any) -> Tensor:
    return cut(x, *centre_window((x.shape[-2], x.shape[-1]), output_size), fill)


center_crop.clamps()


@spatial
def padded_crop(
    inpt: Any, top: int, left: int, height: int, width: int,
    padding: Any = 0, fill: Any = None, padding_mode: str = "constant",
) -> Any:  # fmt: skip
    """`pad`, then `crop` of the padded canvas: what RandomCrop does.

    >>> padded_crop(Image(torch.ones(1, 1, 1)), 0, 1, 1, 2, padding=(1, 0)).tolist()
    [[[1.0, 0.0]]]
    """


@padded_crop.map
def _(size: tuple[int, int], top: int, left: int, height: int, width: int, padding: Any, **how: Any) -> Move:
    padded = pad.where(size, padding)
    return padded.then(crop.where(padded.size, top, left, height, width))


@padded_crop.pixels
def _(x: Tensor, fill: Fill, top: int, left: int, height: int, width: int, padding: Any, padding_mode: str) -> Tensor:
    return cut(pad_pixels(x, fill, padding, padding_mode), top, left, height, width, fill)


@padded_crop.flow
def _(x: Flow, top: int, left: int, height: int, width: int, padding: Any, **how: Any) -> Tensor:
    before, above, _, _ = padding_sides(padding)
    return cut(x.plain(), top - above, left - before, height, width, torch.nan)


@padded_crop.rows
def _(x: Tensor, fill: Fill, top: Any, left: Any, height: int, width: int, padding: Any, padding_mode: str) -> Tensor:
    if isinstance(padding, np.ndarray):  # one a row: then the border is read by index
        how = How(border=padding_mode)
        canvas = (x.shape[-2], x.shape[-1])
        arguments = {"top": top, "left": left, "height": height, "width": width, "padding": padding}
        return warped(x, padded_crop.where(canvas, **arguments), how, fill)
    return cut_rows(pad_pixels(x, fill, padding, padding_mode), top, left, height, width, fill)


padded_crop.clamps()


@value
class RandomCrop(Geometric):
    """Keep a window of `size` at a random place, the same for all frames, which must be of one size.

    size           (height, width), or the side of a square
    padding        a border added first, as in `Pad`; None for none
    pad_if_needed  add a border on both sides where the canvas is smaller than `size`; else that raises PlanError
    fill           as in `Pad`
    padding_mode   as in `Pad`

    >>> RandomCrop((2, 3))(Image(torch.zeros(3, 8, 8))).shape
    torch.Size([3, 2, 3])
    """

    size: Any
    padding: Any = None
    pad_if_needed: bool = False
    fill: Any = 0
    padding_mode: str = "constant"
    op = padded_crop
    exact = True

    def __post_init__(self) -> None:
        padding = self.padding if self.padding is None or isinstance(self.padding, int) else tuple(self.padding)
        padding_sides(padding or 0)
        put(self, size=size_pair(self.size), padding=padding, fill=fill_value(self.fill))
        padding_mode(self.padding_mode)

    def draw(self, key: Key, info: Info) -> Params:
        sizes = same_size(self, info)
        padding = np.empty((len(sizes), 4), np.int64)
        padding[:] = padding_sides(self.padding or 0)  # left, top, right, bottom
        room = sizes + _both_sides(padding) - self.size
        if self.pad_if_needed:
            lacking = np.maximum(-room, 0)
            padding += lacking[:, [1, 0, 1, 0]]
            room += 2 * lacking
        if (room < 0).any():
            b = int(np.flatnonzero((room < 0).any(1))[0])
            raise PlanError(
                f"{self} does not fit a canvas of {tuple(sizes[b].tolist())} (height, width)"
                + (" with its padding" if self.padding else "") + ": resize first, or set pad_if_needed=True"
            )  # fmt: skip
        drawn = {
            "top": key.fold("top").integers(0, room[:, 0] + 1),
            "left": key.fold("left").integers(0, room[:, 1] + 1),
        }
        return drawn if self.padding is None and not self.pad_if_needed else {**drawn, "padding": padding}

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        window = {"top": params["top"], "left": params["left"], "height": self.size[0], "width": self.size[1]}
        if "padding" not in params:
            return window
        return {
            **window,
            "padding": params["padding"],
            "fill": fill_by_type(self.fill),
            "padding_mode": self.padding_mode,
        }

    def window(self, params: Params, size: tuple[int, int]) -> Window | None:
        return None if any(params.get("padding", ())) else (params["top"], params["left"], *self.size)

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.size, np.int64), sizes.shape)


def _both_sides(padding: np.ndarray) -> np.ndarray:
    """[B, 2]: how much higher and wider [B, 4] of padding makes a canvas."""
    return padding[:, [1, 0]] + padding[:, [3, 2]]


@value
class CenterCrop(Geometric):
    """Keep the window of `size` in the middle of each frame; a smaller frame gets a border, as in `functional.crop`.

    >>> CenterCrop(2)(Image(torch.arange(16.0).reshape(1, 4, 4))).tolist()
    [[[5.0, 6.0], [9.0, 10.0]]]
    """

    size: Any
    op = center_crop
    exact = True

    def __post_init__(self) -> None:
        put(self, size=size_pair(self.size))

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {"output_size": self.size}

    def window(self, params: Params, size: tuple[int, int]) -> Window | None:
        fits = self.size[0] <= size[0] and self.size[1] <= size[1]
        return centre_window(size, self.size) if fits else None

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.size, np.int64), sizes.shape)
