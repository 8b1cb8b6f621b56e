"""Mosaic (Bochkovskiy et al., arXiv 2004.10934): four samples as the tiles of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.tensors import BoundingBoxes, Flow, Image, Label, Mask, TypedTensor, Video
from vdata.transforms._base import Leaves, same_size, value
from vdata.transforms._check import ByType, fill_value, interval, probability, put, size_pair
from vdata.transforms._cover import Window, hull, inside, left_of
from vdata.transforms._follow import new_pixels
from vdata.transforms._info import Info
from vdata.transforms._instances import instances, kept
from vdata.transforms._misled import with_occlusion
from vdata.transforms._mixing import Mixing
from vdata.transforms._objects import Group, first_of, groups, is_raster, object_names, whole_numbers_off
from vdata.transforms._params import Params, row
from vdata.transforms._partners import aligned, one_canvas
from vdata.transforms._pixels import Fill, blank
from vdata.transforms.crop import crop
from vdata.transforms.dtype import greatest
from vdata.transforms.interpolation import tensor_mode
from vdata.transforms.pad import pad
from vdata.transforms.resize import BILINEAR, resize

Size = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """Where a sample goes: resized to `size`, cut to `window` (top, left, height, width), put at `at` (top, left)."""

    size: Size
    window: tuple[int, int, int, int]
    at: tuple[int, int]

    @property
    def place(self) -> tuple[int, int, int, int]:
        """left, top, right, bottom on the canvas."""
        return self.at[1], self.at[0], self.at[1] + self.window[3], self.at[0] + self.window[2]


def tiles(sizes: Sequence[Size], centre: tuple[int, int], tile: Size) -> list[Tile]:
    """The four tiles of a canvas of twice `tile`: each is as large as fits into `tile`, keeps its ratio and touches the centre.

    In the order of top left, top right, bottom left, bottom right, as (height, width) and (y, x).
    """
    out = []
    for i, size in enumerate(sizes):
        new = fitted(size, tile)
        start = [c if after else c - side for c, side, after in zip(centre, new, (i >= 2, i % 2 == 1), strict=True)]
        first = [max(s, 0) for s in start]
        last = [min(s + side, 2 * t) for s, side, t in zip(start, new, tile, strict=True)]
        window = first[0] - start[0], first[1] - start[1], last[0] - first[0], last[1] - first[1]
        out.append(Tile(new, window, (first[0], first[1])))
    return out


def fitted(size: Size, into: Size) -> Size:
    """The largest (height, width) of a picture's ratio that fits; the shorter side is cut off to whole pixels.

    >>> fitted((480, 640), (320, 320))
    (240, 320)
    """
    (height, width), (high, wide) = size, into
    if high * width <= wide * height:
        return high, max(1, high * width // height)
    return max(1, wide * height // width), wide


@value
class Mosaic(Mixing):
    """A sample and three others as four tiles that meet in a random point: the geometry of YOLOX and mmdet.

    size                a tile's (height, width), or the side of a square; the new canvas is twice that. None: each sample's own
    center_ratio_range  the point, drawn evenly for each axis, in sizes of a tile: least and greatest, within (0, 2)
    fill                new pixels of pictures, a number or one a channel, or a dict by type; None is a grey of 114 of 255 in
                        the picture's own range. Masks and flows as in `functional.pad`
    p                   how likely a sample is made one; others stay as they are, on their own canvas
    min_size            objects whose box is narrower or lower than this, in pixels, are dropped (YOLOv5's 2)
    min_visible         objects of which less than this share is on the canvas are dropped (YOLOv5's 0.1): in pixels of the
                        mask, else of the box, else of its labelled points
    interpolation, antialias
                        how pictures are resized, as in `functional.resize`
    occlusion           the name of a Mask, if the sample has one, that becomes 1 where a flow's vector leaves its tile
    instances           the leaves with one row an object (`T.Instances`); None for the usual names

    The sample is the tile at the top left. Every tile is resized keeping its ratio to fit a tile's size, put so that it
    touches the point, and cut by the canvas; all leaves of all frames follow, vectors of a flow by the exact ratio.
    Frames of one sample must be of one size. Objects of all four are joined, their integer boxes and points become float32;
    loose points outside are dropped. Labels of whole samples, strings and other leaves stay the sample's. Params: "apply", and
    "center" int64 [B, 2] (y, x).

    >>> batch = vdata.batch.collate([{"image": Image(torch.rand(3, 8, 8))}] * 4)
    >>> Mosaic(16)(batch)["image"].shape
    torch.Size([4, 3, 32, 32])
    """

    size: Any = None
    center_ratio_range: Any = (0.5, 1.5)
    fill: Any = None
    p: float = 1.0
    min_size: float = 2.0
    min_visible: float = 0.1
    interpolation: Any = BILINEAR
    antialias: bool | None = True
    occlusion: str = "occlusion"
    instances: Any = None
    partners = 3

    def __post_init__(self) -> None:
        if not isinstance(self.min_size, (int, float)) or self.min_size < 0:
            raise ValueError(f"min_size must be a number of at least 0, got {self.min_size!r}")
        put(
            self,
            size=None if self.size is None else size_pair(self.size),
            center_ratio_range=interval(self.center_ratio_range, "center_ratio_range", 0, 2),
            fill=fill_value(self.fill),
            p=probability(self.p),
            min_visible=probability(self.min_visible, "min_visible"),
            interpolation=tensor_mode(self.interpolation, self.antialias),
            instances=None if self.instances is None else instances(self.instances),
        )

    def draw_own(self, key: Key, info: Info) -> Params:
        tile = self._tile(same_size(self, info))
        centre = (key.fold("center").uniform(*self.center_ratio_range, 2) * tile).astype(np.int64)
        return {"apply": key.fold("apply").bernoulli(self.p), "center": np.clip(centre, 1, 2 * tile - 1)}

    def _tile(self, sizes: np.ndarray) -> np.ndarray:
        return sizes if self.size is None else np.broadcast_to(np.array(self.size, np.int64), sizes.shape)

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def after(self, params: Params, info: Info) -> Info:
        made = np.asarray(params["apply"])[:, None]
        return info.dropped().resized({f: np.where(made, 2 * self._tile(s), s) for f, s in info.sizes.items()})

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return super().inverse(params, sample, info) if self.chosen(row(params, 0)) else sample

    def mix(self, params: Params, sample: Leaves, others: Sequence[Leaves]) -> Leaves:
        parts = [whole_numbers_off(p) for p in aligned(self, [sample, *others])]
        sizes = [one_canvas(self, p) for p in parts]
        tile = self.size or sizes[0]
        placed = tiles(sizes, params["center"], tile)
        canvas = 2 * tile[0], 2 * tile[1]
        named = groups(parts, object_names(self.instances))
        resized = [{n: self._resized(v, t.size) for n, v in p.items()} for p, t in zip(parts, placed, strict=True)]
        out = {
            n: self._assembled([r[n] for r in resized], placed, canvas) if is_raster(v) else v
            for n, v in sample.items()
        }
        for group in named:
            stay = [self._staying(r, group, t) for r, t in zip(resized, placed, strict=True)]
            out.update({n: _joined([s[n] for s in stay], placed, canvas) for n in group})
        return with_occlusion(out, self.occlusion, lambda flow, ends: _astray(ends, placed))

    def _resized(self, leaf: Any, size: Size) -> Any:
        if not isinstance(leaf, TypedTensor) or isinstance(leaf, Label):
            return leaf
        return resize(leaf, size, self.interpolation, antialias=self.antialias)

    def _assembled(self, rasters: Sequence[Any], placed: Sequence[Tile], canvas: Size) -> Any:
        first = rasters[0]
        whole = blank(first.plain(), *canvas, self._new_pixels(first))
        for raster, tile in zip(rasters, placed, strict=True):
            left, top, right, bottom = tile.place
            whole[..., top:bottom, left:right] = crop(raster, *tile.window).plain()
        return first.like(whole, target_size=canvas) if isinstance(first, Flow) else first.like(whole)

    def _new_pixels(self, raster: TypedTensor) -> Fill:
        if not isinstance(raster, (Image, Video)):
            return new_pixels(raster, self.fill if isinstance(self.fill, ByType) else None)
        given = self.fill.find(type(raster)) if isinstance(self.fill, ByType) else self.fill
        if given is not None:
            return given
        grey = 114 / 255 * greatest(raster.dtype)
        return grey if raster.is_floating_point() else round(grey)

    def _staying(self, leaves: Leaves, group: Group, tile: Tile) -> Leaves:
        """The objects of one tile, without those that vanish."""
        top, left, height, width = tile.window
        window = Window((left, top, left + width, top + height), tile.size, leaves[group[0]].device, outside=True)
        part, whole = left_of(leaves, group, window)
        keep = (part > 0) & (part >= self.min_visible * whole)
        boxes = first_of(leaves, group, BoundingBoxes)
        if boxes is not None:
            x1, y1, x2, y2 = window.rest(hull(boxes))[0].unbind(1)
            keep = keep & (x2 - x1 >= self.min_size) & (y2 - y1 >= self.min_size)
        rows = {n: leaves[n] for n in group}
        return kept(rows, rows, keep)


def _joined(leaves: Sequence[Any], placed: Sequence[Tile], canvas: Size) -> Any:
    """The objects of all tiles, end to end, on the whole canvas."""
    first = leaves[0]
    if not isinstance(first, Mask):
        return torch.cat([_placed(leaf, tile, canvas) for leaf, tile in zip(leaves, placed, strict=True)])
    whole, behind = first.plain().new_zeros(sum(map(len, leaves)), *canvas), 0
    for leaf, tile in zip(leaves, placed, strict=True):
        left, top, right, bottom = tile.place
        whole[behind : behind + len(leaf), top:bottom, left:right] = crop(leaf, *tile.window).plain()
        behind += len(leaf)
    return first.like(whole)


def _placed(leaf: Any, tile: Tile, canvas: Size) -> Any:
    """A tile's boxes or points on the whole canvas."""
    if not isinstance(leaf, TypedTensor) or isinstance(leaf, Label):
        return leaf
    left, top, right, bottom = tile.place
    return pad(crop(leaf, *tile.window), (left, top, canvas[1] - right, canvas[0] - bottom))


def _astray(ends: Tensor, placed: Sequence[Tile]) -> Tensor:
    """Where vectors lead out of their tile: bool [H, W]."""
    out = torch.ones(ends.shape[:-1], dtype=torch.bool, device=ends.device)
    for tile in placed:
        left, top, right, bottom = tile.place
        out[top:bottom, left:right] = ~inside(ends[top:bottom, left:right], tile.place)
    return out
