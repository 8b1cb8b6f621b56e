"""A raster under any map, by where each new pixel comes from; B rasters under B maps in one call.

What a verb says of its reading is a `How`. Whole maps (flips, quarter turns, whole shifts) gather by index and change no
value; upright ones average over what a new pixel covers, as `resize` does; the rest reads between pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vdata.compiled import warp as compiled
from vdata.transforms._filters import column, covered, weights
from vdata.transforms._lift import SIGNED, is_rows
from vdata.transforms._map import Map, Move, Projective, pixel_centres
from vdata.transforms._pixels import Fill, cast_rounded, colour, cut, extend
from vdata.transforms._planes import at_index, by_bits, has_bits, where
from vdata.transforms.interpolation import InterpolationMode

NEAREST = (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT)
# Far into the positive numbers the cast to integers, which cuts, is the floor, and ten times as fast; and a millionth of a
# pixel on, a place on a pixel's border belongs to the pixel after it, as `settled`.
FAR = 1 << 24
AHEAD = FAR + 2**-21


@dataclass(frozen=True)
class How:
    """How pictures are read: masks are always read by nearest pixel centre, flows by their own rule.

    mode       an InterpolationMode
    antialias  average over what a new pixel covers, where the map is upright and makes smaller
    border     what lies outside of the canvas: "constant" (the fill) or "edge"; where pixels are moved by index also "reflect"
               and "symmetric"
    corner     nearest pixels are those at the new pixels' corners, not their centres: what torchvision's NEAREST does in resize
    blends     upright maps too mix the border pixel with the fill beyond it, each by its share; else they continue the border pixel
    window     (top, left, height, width), numbers or one a row: all that is read; None for the whole canvas
    """

    mode: Any = InterpolationMode.NEAREST_EXACT
    antialias: bool = False
    border: str = "constant"
    corner: bool = False
    blends: bool = False
    window: tuple[Any, Any, Any, Any] | None = None


def warped(x: Tensor, move: Move, how: How, fill: Fill = 0) -> Tensor:
    """Plain [..., C, H, W] (or [..., H, W]) onto the canvas of `move`; with arrays in the map, x[r] by entry r.

    New pixels are `fill`, one number or one a channel. The dtype stays; integers round.
    """
    mode = InterpolationMode(how.mode)
    if x.numel() == 0:
        return x.new_empty((*x.shape[:-2], *move.size))
    if isinstance(move, Map) and permutes(move):
        return _moved_by_index(x, move, how.border, fill)
    if isinstance(move, Map) and move.upright and mode not in NEAREST and not how.blends:
        return _resampled(x, move, mode, how, fill)
    if mode in NEAREST and isinstance(move, (Map, Projective)):
        return _nearest_by_map(x, move, how, fill)
    if mode in NEAREST:
        return read_nearest(x, sources(move, x, corner=how.corner), fill, how.border)
    border = int(x.dtype == torch.uint8 and mode is InterpolationMode.BILINEAR and how.border != "edge")
    if x.dtype == torch.uint8 and mode is InterpolationMode.BILINEAR and isinstance(move, Map) and _loops(x):
        return _bytes_in_loop(x, move, border, fill)
    if how.border == "edge":  # nothing is new: the border goes on
        grid = _grid_of(move, x) if isinstance(move, (Map, Projective)) else _grid_at(sources(move, x), x)
        return _cast(_read(x, grid, mode, "border"), x, mode)
    grid = _grid_of(move, x, border) if isinstance(move, (Map, Projective)) else _grid_at(sources(move, x) + border, x, border)
    return _blended_bytes(x, grid, fill) if border else blended(x, grid, mode, fill)


def axes(move: Map | Projective, device: torch.device, corner: bool = False) -> list[tuple[Tensor, Tensor]]:
    """The old place of new pixel (i, j) as sums, one[j] + other[i], of x, of y (and of the depth); float64 [w] or [R, w]."""
    numbers = [column(v, device) for v in move.inverse(move.size).matrix]
    shift = 0.0 if corner else 0.5
    across = torch.arange(move.size[1], device=device, dtype=torch.float64) + shift
    down = torch.arange(move.size[0], device=device, dtype=torch.float64) + shift
    return [(numbers[n] * across + numbers[n + 2], numbers[n + 1] * down) for n in range(0, len(numbers), 3)]


def _nearest_by_map(x: Tensor, move: Map | Projective, how: How, fill: Fill) -> Tensor:
    """`read_nearest` under a map whose places are sums of one number a row and one a column (over such a depth)."""
    sums = axes(move, x.device, how.corner)
    if len(sums) == 2:
        j, i = (((one + AHEAD)[..., None, :] + other[..., :, None]).long().sub_(FAR) for one, other in sums)
        return _picked(x, i, j, how.border, fill)
    across, down, depth = (one[..., None, :] + other[..., :, None] for one, other in sums)
    most = max(x.shape[-2:])
    j, i = ((p.div_(depth).clamp_(-2, most + 1) + AHEAD).long().sub_(FAR) for p in (across, down))
    return _picked(x, i, j.masked_fill_(depth <= 0, -1), how.border, fill)


def _picked(x: Tensor, i: Tensor, j: Tensor, border: str, fill: Fill) -> Tensor:
    """x[..., i, j], beyond the border by its rule."""
    if has_bits(x) and i.ndim == 2:
        return by_bits(x, lambda bits: _picked(bits, i, j, border, 255 * bool(fill)))
    height, width = x.shape[-2:]
    if border != "constant":
        return gathered(x, extend(i, height, border), extend(j, width, border))
    inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
    if bool(inside.all()):
        return gathered(x, i, j)
    out = gathered(x, i.clamp_(0, height - 1), j.clamp_(0, width - 1))
    return where(over(~inside, out), colour(out, fill), out)


def _grid_of(move: Map | Projective, x: Tensor, border: int = 0) -> Tensor:
    """What `grid_sample` takes, [R or 1, h, w, 2], for x with such a border, where places are sums of one number a row and one a column."""
    if isinstance(move, Map):  # both coordinates of a place as one complex number: two sums in one pass, laid out as they are wanted
        across, down = (torch.complex(*line.unbind(1)) for line in _scaled_axes(move, x, border))
        return torch.view_as_real(across[:, None, :] + down[:, :, None])
    sums = axes(move, x.device)
    rows = next((len(t) for pair in sums for t in pair if t.ndim == 2), 1)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    sides = [side + 2 * border for side in (x.shape[-1], x.shape[-2])]
    summed = lambda one, other: one.to(dtype)[..., None, :] + other.to(dtype)[..., :, None]
    grid = torch.empty((rows, *move.size, 2), dtype=dtype, device=x.device)
    depth = summed(*sums[2])
    for place, (one, other), side in zip((0, 1), sums, sides, strict=False):
        grid[..., place] = summed(one * 2 / side, other * 2 / side) / depth + (2 * border / side - 1)
    return grid.masked_fill_((depth <= 0).expand(grid.shape[:-1])[..., None], -9.0)  # behind the camera there is nothing


def _scaled_axes(move: Map, x: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """`axes` as `grid_sample` counts for x with such a border, [R or 1, 2, w] and [R or 1, 2, h]: of x and of y."""
    sums = axes(move, x.device)
    rows = next((len(t) for pair in sums for t in pair if t.ndim == 2), 1)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    sides = (x.shape[-1] + 2 * border, x.shape[-2] + 2 * border)
    pairs = [(one * 2 / side + (2 * border / side - 1), other * 2 / side) for (one, other), side in zip(sums, sides, strict=True)]
    across, down = (torch.stack([v.to(dtype).expand(rows, -1) for v in line], 1) for line in zip(*pairs, strict=True))
    return across, down


def sources(move: Move, x: Tensor, corner: bool = False) -> Tensor:
    """Where each new pixel's centre (or corner) comes from: [h, w, 2], or [R, h, w, 2] where the map has rows."""
    rows = rows_in(move, x)
    if not corner:
        return move.origins(rows, x.device)
    corners = pixel_centres(move.size, x.device) - 0.5
    return move.back(corners if rows is None else corners.expand(rows, *corners.shape))


def rows_in(move: Move, x: Tensor) -> int | None:
    """How many rows the map has; None where one map is for all."""
    return x.shape[0] if move.rowed else None


def permutes(move: Map) -> bool:
    """Whether pixels only change places: the axes are kept or swapped, mirrored or not, shifted by whole pixels."""
    a, b, _, d, e, _ = move.matrix
    kept = (b == 0) & (d == 0) & (abs(a) == 1) & (abs(e) == 1)
    swapped = (a == 0) & (e == 0) & (abs(b) == 1) & (abs(d) == 1)
    return bool(np.all(kept | swapped)) and move.whole


def _moved_by_index(x: Tensor, move: Map, border: str, fill: Fill) -> Tensor:
    """Pixels that only change places; one map by slicing, without looking at any of them."""
    if border != "constant" or any(is_rows(v) for v in move.matrix):
        return _nearest_by_map(x, move, How(border=border), fill)
    a, b, c, d, e, f = (round(float(v)) for v in move.matrix)
    if b:  # columns become rows: (x, y) -> (b y + c, d x + f)
        x, a, e = x.transpose(-1, -2), b, d
    flipped = [dim for dim, sign in ((-1, a), (-2, e)) if sign < 0]
    x = x.flip(flipped) if flipped else x
    left = c - x.shape[-1] if a < 0 else c
    top = f - x.shape[-2] if e < 0 else f
    return cut(x, -top, -left, *move.size, fill)


def read_nearest(x: Tensor, at: Tensor, fill: Fill = 0, border: str = "constant") -> Tensor:
    """The pixel that holds each point of `at` ([h, w, 2] or [R, h, w, 2]), exactly, of any dtype."""
    known = torch.nan_to_num(at.double(), nan=-2.0, posinf=-2.0, neginf=-2.0)
    j, i = ((known[..., axis] + AHEAD).long().sub_(FAR) for axis in (0, 1))
    return _picked(x, i, j, border, fill)


def settled(at: Tensor) -> Tensor:
    """Points to a millionth of a pixel, so that a centre on a pixel's border or centre stays there however it was computed."""
    return (at.double() * 2**20).round() / 2**20


def gathered(x: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """x[..., i, j]: [..., h, w] for indices [h, w]; x[r, ..., i[r], j[r]] for indices [R, h, w]."""
    if x.dtype in SIGNED:
        return gathered(x.view(SIGNED[x.dtype]), i, j).view(x.dtype)
    flat = i * x.shape[-1] + j
    if flat.ndim == 2 and x.device.type == "cpu" and x.numel():
        return at_index(x, flat)
    pixels = x.reshape(x.shape[0] if flat.ndim == 3 else 1, -1, x.shape[-2] * x.shape[-1])
    index = flat.reshape(len(pixels), 1, -1).expand(-1, pixels.shape[1], -1)  # gather is several times as fast as x[..., flat]
    return pixels.gather(2, index).reshape(*x.shape[:-2], *flat.shape[-2:])


def over(mask: Tensor, x: Tensor) -> Tensor:
    """A mask [h, w] or [R, h, w] that broadcasts over x [(R,) ..., h, w]."""
    return mask if mask.ndim == 2 else mask.reshape(mask.shape[0], *[1] * (x.ndim - 3), *mask.shape[-2:])


def between(x: Tensor, at: Tensor, mode: InterpolationMode, like: Tensor) -> Tensor:
    """Bilinear or bicubic values at points, the border continued; in the dtype of `like`."""
    return _cast(_read(x, _grid_at(at, x), mode, "border"), like, mode)


def blended(x: Tensor, grid: Tensor, mode: InterpolationMode, fill: Fill) -> Tensor:
    """Bilinear or bicubic values on a grid of `grid_sample`; where a tap lies outside, its share is the fill."""
    if not np.any(fill):
        return cast_rounded(_read(x, grid, mode, "zeros"), x.dtype)
    # What lies outside is read as 0: with the fill as the zero of the scale, each share of it comes out as it should.
    work = x if x.dtype == torch.float64 else x.float()
    beyond = colour(x, fill).to(work.dtype)
    return cast_rounded(_read(work - beyond, grid, mode, "zeros") + beyond, x.dtype)


def _blended_bytes(x: Tensor, grid: Tensor, fill: Fill) -> Tensor:
    """`blended` of uint8, bilinear: within a border of one new pixel that goes on for ever, taps need not be asked where they lie."""
    height, width = x.shape[-2:]
    return _cast(_read(cut(x, -1, -1, height + 2, width + 2, fill), grid, InterpolationMode.BILINEAR, "border"), x, InterpolationMode.BILINEAR)


def _loops(x: Tensor) -> bool:
    """Whether a compiled loop reads bytes as well, and sooner."""
    return x.device.type == "cpu" and (x.shape[-2] + 3) * (x.shape[-1] + 3) <= FAR and compiled.read_bilinear.pays(x.numel()) and _loop_rounds_alike()


@lru_cache(None)
def _loop_rounds_alike() -> bool:
    """Whether the loop rounds as this torch does, whose kernel may do without fused multiplications: seen in noise, enlarged, by a level or so."""
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 98, 98), np.uint8))
    move = Map((10 / 3, 0, -4.0, 0, 10 / 3, -4.0), (320, 320))
    return torch.equal(_bytes_in_loop(x, move, 1, 0), _blended_bytes(x, _grid_of(move, x, 1), 0))


def _bytes_in_loop(x: Tensor, move: Map, border: int, fill: Fill) -> Tensor:
    """`_blended_bytes` under a map, in one pass; without a border what is outermost goes on."""
    across, down = (line.numpy() for line in _scaled_axes(move, x, border))
    pixels = x.reshape(len(across), -1, *x.shape[-2:])
    fills = colour(x, fill if border else 0).expand(*x.shape[:-2], 1, 1).reshape(len(across), -1)[0].numpy()
    read = compiled.read(pixels.numpy(), fills, border, across, down)
    return torch.from_numpy(read).reshape(*x.shape[:-2], *move.size)


def _cast(read: Tensor, like: Tensor, mode: InterpolationMode) -> Tensor:
    if like.dtype == torch.uint8 and mode is InterpolationMode.BILINEAR:  # stays in range; and torch casts floats to bytes slowly
        return read.round_().to(torch.int32).to(torch.uint8)
    return cast_rounded(read, like.dtype)


def _grid_at(at: Tensor, x: Tensor, border: int = 0) -> Tensor:
    """What `grid_sample` takes, [R or 1, h, w, 2], for points [h, w, 2] or [R, h, w, 2] of x with a border around."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    size = torch.tensor([x.shape[-1] + 2 * border, x.shape[-2] + 2 * border], device=x.device, dtype=dtype)
    return torch.nan_to_num(at.to(dtype) * 2 / size - 1, nan=-9.0).reshape(-1, *at.shape[-3:])


def _read(x: Tensor, grid: Tensor, mode: InterpolationMode, beyond: str) -> Tensor:
    work = x if x.dtype == torch.float64 else x.float()
    flat = work.reshape(len(grid), -1, *x.shape[-2:])
    out = grid_sample(flat, grid, mode=mode.value, padding_mode=beyond, align_corners=False)
    return out.reshape(*x.shape[:-2], *grid.shape[-3:-1])


def _resampled(x: Tensor, move: Map, mode: InterpolationMode, how: How, fill: Fill) -> Tensor:
    """Upright maps: rows and columns averaged one after the other by weights, as matrices."""
    a, _, c, _, e, f = move.matrix
    height, width = x.shape[-2:]
    top, left, high, wide = how.window if how.window is not None else (0, 0, height, width)
    work = x if x.dtype == torch.float64 else x.float()
    antialias = how.antialias
    down = weights(e, f, height, move.size[0], top, high, mode, antialias, x).to(work.dtype)
    across = weights(a, c, width, move.size[1], left, wide, mode, antialias, x).to(work.dtype)
    flat = work if down.ndim == 2 and across.ndim == 2 else work.reshape(x.shape[0], -1, *x.shape[-2:])
    lift = lambda w: w if w.ndim == 2 else w[:, None]
    out = flat @ lift(across).transpose(-1, -2)
    if x.dtype == torch.uint8:  # as torch's own byte kernel, which keeps bytes between its two passes, and rounds halves up
        out = (out + 0.5).floor_().clamp_(0, 255)
    out = lift(down) @ out
    out = (out + 0.5).floor_() if x.dtype == torch.uint8 else out
    out = out.reshape(*x.shape[:-2], *move.size)
    if how.window is None:  # what reads from outside of the canvas is new
        inside = covered(e, f, height, move.size[0], x)[..., :, None] & covered(a, c, width, move.size[1], x)[..., None, :]
        out = torch.where(over(inside, out), out, colour(x, fill).to(out.dtype)) if not bool(inside.all()) else out
    return cast_rounded(out, x.dtype)


def read_flow(x: Tensor, at: Tensor, sparse: bool, window: tuple[Any, Any, Any, Any] | None = None) -> Tensor:
    """Vectors [(R,) 2, H, W] at points [(R,) h, w, 2]: between known pixels, or of the pixel that holds the point.

    NaN outside of the canvas, and where a pixel with a weight above zero is unknown.
    """
    if sparse:
        return read_nearest(x, at, torch.nan)
    height, width = x.shape[-2:]
    at = settled(at)
    inside = ((at >= 0) & (at <= torch.tensor([width, height], device=at.device))).all(-1)
    at = torch.nan_to_num(at - 0.5, nan=0.0)
    first_y, first_x, high, wide = (_plane(v, at) for v in window or (0, 0, height, width))
    px, py = at[..., 0].clamp(first_x, first_x + wide - 1), at[..., 1].clamp(first_y, first_y + high - 1)
    left, top = px.floor(), py.floor()
    fx, fy = (px - left).to(x.dtype), (py - top).to(x.dtype)
    j, i = left.long(), top.long()
    right, low = (j + 1).clamp(max=width - 1), (i + 1).clamp(max=height - 1)  # beyond a window they weigh nothing
    fx, fy = over(fx, x), over(fy, x)
    above = _mixed(gathered(x, i, j), gathered(x, i, right), fx)
    below = _mixed(gathered(x, low, j), gathered(x, low, right), fx)
    return torch.where(over(inside, x), _mixed(above, below, fy), torch.nan)


def _plane(number: Any, at: Tensor) -> Tensor:
    """A number, or one a row, as a tensor that broadcasts over [(R,) h, w]."""
    plain = torch.as_tensor(number).to(at.device, at.dtype)
    return plain[:, None, None] if plain.ndim else plain


def _mixed(low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    """Between two values; one that weighs nothing is not looked at, so its NaN does not spread."""
    return torch.where(weight == 0, low, torch.where(weight == 1, high, low + (high - low) * weight))
