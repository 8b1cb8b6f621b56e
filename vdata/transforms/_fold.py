"""Several moves of the canvas as one resample: every pixel is read once, through all maps.

The canvases stay those of the chain: what leaves one of them is new, with the fill of the first step that left it.
Flips, quarter turns and crops alone are done by slicing, bit for bit. Pictures are averaged over what a new pixel covers
where a step says antialias; masks and flows are read as always; a box is the hull of its corners once, within what each
canvas of the chain would have left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vdata.batch import Batch
from vdata.tensors import BoundingBoxes, Flow, KeyPoints, Mask, TypedTensor
from vdata.transforms._base import Leaves
from vdata.transforms._corners import UPRIGHT, corners, from_corners, move_boxes
from vdata.transforms._follow import new_pixels, pushed_points
from vdata.transforms._geometric import Geometric, by_rows
from vdata.transforms._info import Info, second_frame
from vdata.transforms._map import Map, Move, pixel_centres, push_flow
from vdata.transforms._params import Params, collapsed, rows_of
from vdata.transforms._pixels import colour
from vdata.transforms._planes import by_bits, has_bits, where
from vdata.transforms._rows import alike, joined_again, rejoin, take
from vdata.transforms._run import InTurn
from vdata.transforms._warp import (
    NEAREST,
    How,
    axes,
    between,
    over,
    permutes,
    read_flow,
    read_nearest,
    rows_in,
    sources,
    warped,
)
from vdata.transforms.interpolation import InterpolationMode


@dataclass(frozen=True)
class Step:
    """One move of a frame: from a canvas of `size`, read so, new pixels filled so; whether it cuts boxes to the canvas."""

    move: Move
    size: tuple[int, int]
    how: How = field(default_factory=How)
    fill: Any = None
    clamps: bool = False


@dataclass(frozen=True)
class Fold(InTurn):
    """A run of geometric transforms, one after the other, as one."""

    def leaf(self, children: Sequence[Geometric], leaf: TypedTensor, placed: Any, moves: Any, sizes: Any, frame: str) -> TypedTensor:
        return _folded(children, leaf, placed, sizes, frame)

    def apply_rows(self, params: Sequence[Params], batch: Batch) -> Batch:
        """A batch; samples of one size that take the same steps, to the same sizes, in one call for each leaf."""
        info = Info.of_batch(batch)
        chosen = [np.broadcast_to(np.asarray(c.chosen(p), bool), batch.size) for c, p in zip(self.children, params, strict=True)]
        columns = [c.astype(np.int64) for c in chosen] + list(info.sizes.values())
        after = info
        for child, own in zip(self.children, params, strict=True):
            after = child.after(own, after)
            columns += list(after.sizes.values())
        groups = alike(columns, batch.size)
        return rejoin([self._group(params, chosen, info, batch, rows) for rows in groups], groups, batch)

    def _group(self, params: Sequence[Params], chosen: list[np.ndarray], info: Info, batch: Batch, rows: np.ndarray) -> Leaves:
        leaves = take(batch, rows)
        sizes = {f: (int(s[rows[0], 0]), int(s[rows[0], 1])) for f, s in info.sizes.items()}
        second = second_frame({n: v[0] for n, v in leaves.items()})
        run = [(c, rows_of(p, rows)) for c, p, taken in zip(self.children, params, chosen, strict=True) if taken[rows[0]]]
        if not run:
            return leaves
        placed: dict[str, list[Any]] = {frame: [] for frame in sizes}
        now = dict(sizes)
        for child, own in run:
            for frame, arguments in child.placements(own, now, second).items():
                placed[frame].append(None if arguments is None else collapsed(arguments))
                now[frame] = now[frame] if arguments is None else child.op.where(now[frame], **placed[frame][-1]).size
        children = [c for c, _ in run]
        return by_rows(leaves, placed, lambda leaf, own, frame: _folded(children, leaf, own, sizes, frame))


def _folded(children: Sequence[Geometric], leaf: TypedTensor, placed: Any, sizes: Any, frame: str) -> TypedTensor:
    """A leaf through all children; where two cannot be read as one, through those before and then those after."""
    first = _steps(children, placed[frame], sizes[frame])
    second = _steps(children, placed[leaf.views[1]], sizes[leaf.views[1]]) if isinstance(leaf, Flow) else first
    start = 0
    for end in range(1, len(first) + 1):
        if end == len(first) or not (joins(first[start:end], first[end]) and joins(second[start:end], second[end])):
            leaf = _run(children[start:end], leaf, first[start:end], second[start:end], placed, frame, start)
            start = end
    return leaf


def _run(
    children: Sequence[Geometric], leaf: TypedTensor, first: list[Step], second: list[Step], placed: Any, frame: str, start: int
) -> TypedTensor:  # fmt: skip
    """Steps read as one; one alone, and those that only move whole pixels, by their own kernels."""
    if len(first) > 1 and any(_mode(s) is not None for s in (*first, *second)):
        return through(leaf, first, second)
    for number, child in enumerate(children, start):
        leaf = child.moved(leaf, {f: steps[number] for f, steps in placed.items()}, frame)
    return leaf


def _steps(children: Sequence[Geometric], arguments: Sequence[Any], size: tuple[int, int]) -> list[Step]:
    steps = []
    for child, own in zip(children, arguments, strict=True):
        if own is None:
            steps.append(Step(Map((1, 0, 0, 0, 1, 0), size), size))
        else:
            how, fill = child.op.how(**own), child.op.arguments(**own).get("fill")
            steps.append(Step(child.op.where(size, **own), size, how, fill, child.op.cuts))
        size = steps[-1].move.size
    return steps


def joins(before: Sequence[Step], after: Step) -> bool:
    """Whether a step can be read together with those before it: pictures by one mode, new pixels by a fill."""
    modes = {_mode(s) for s in (*before, after)} - {None}
    return len(modes) < 2 and all(s.how.border == "constant" and not s.how.corner for s in (*before, after))


def _mode(step: Step) -> InterpolationMode | None:
    """How pictures are read; None where no value changes."""
    if isinstance(step.move, Map) and permutes(step.move):
        return None
    return InterpolationMode(step.how.mode)


def composed(steps: Sequence[Step]) -> Move:
    """The steps' maps as one."""
    move = steps[0].move
    for step in steps[1:]:
        move = move.then(step.move)
    return move


def through(leaf: TypedTensor, first: Sequence[Step], second: Sequence[Step]) -> TypedTensor:
    """A spatial leaf moved by all steps of its frame; a flow by those of both of its frames."""
    if isinstance(leaf, KeyPoints):
        for step in first:
            leaf = pushed_points(leaf, step.move)
        return leaf
    if isinstance(leaf, BoundingBoxes):
        return _boxes(leaf, first)
    if isinstance(leaf, Flow):
        at, left = _walk(leaf.plain(), first)
        raster = torch.where(over(left == 0, leaf), read_flow(leaf.plain(), at, leaf.sparse), torch.nan)
        one, other = composed(first), composed(second)
        return leaf.like(push_flow(raster, one, other), target_size=other.size)
    return leaf.like(_raster(leaf, first))


def _boxes(boxes: BoundingBoxes, steps: Sequence[Step]) -> BoundingBoxes:
    tight = move_boxes(boxes.plain(), boxes.format, composed(steps), clamp=False)
    loose = boxes.plain()
    for step in steps:
        loose = move_boxes(loose, boxes.format, step.move, clamp=step.clamps and boxes.clamping_mode is not None)
    if boxes.format in UPRIGHT:
        a, b = (from_corners(corners(v, boxes.format), "XYXY") for v in (tight, loose))
        low, high = b[..., :2].repeat(*[1] * (b.ndim - 1), 2), b[..., 2:].repeat(*[1] * (b.ndim - 1), 2)
        both = torch.minimum(torch.maximum(a, low), high)
        tight = from_corners(corners(both, "XYXY"), boxes.format).to(loose.dtype)
    return boxes.like(tight, canvas_size=steps[-1].move.size)


def _walk(x: Tensor, steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
    """Where each new pixel comes from, and which step it is new by: 0 for none, else the step's number from 1."""
    centres = pixel_centres(steps[-1].move.size, x.device)
    counts = [n for n in (rows_in(s.move, x) for s in steps) if n is not None]
    at = centres.expand(counts[0], *centres.shape) if counts else centres
    left = torch.zeros(at.shape[:-1], dtype=torch.int64, device=x.device)
    for number in range(len(steps), 0, -1):
        step = steps[number - 1]
        at = step.move.back(at)
        height, width = step.size
        inside = (at[..., 0] >= 0) & (at[..., 0] < width) & (at[..., 1] >= 0) & (at[..., 1] < height)
        left = torch.where(~inside & (left == 0), number, left)
    return at, left


def _raster(leaf: TypedTensor, steps: Sequence[Step]) -> Tensor:
    x = leaf.plain()
    modes = [m for s in steps if (m := _mode(s)) is not None]
    fills = [new_pixels(leaf, s.fill) for s in steps]
    if not modes or x.numel() == 0:
        for step, fill in zip(steps, fills, strict=True):
            how = step.how if not isinstance(leaf, Mask) else How(border=step.how.border)
            x = warped(x, step.move, how, fill)
        return x
    mode = InterpolationMode.NEAREST_EXACT if isinstance(leaf, Mask) or modes[0] in NEAREST else modes[0]
    move = composed(steps)
    if not isinstance(move, Map):
        at, left = _walk(x, steps)
        outside = [left == number for number in range(1, len(steps) + 1)]
        out = _averaged(x, at, mode) if any(s.how.antialias for s in steps) and mode not in NEAREST else _read_at(x, at, mode)
        return _filled(out, outside, fills)
    outside = [_beyond(composed(steps[number:]), step.size, x) for number, step in enumerate(steps)]
    if has_bits(x) and not move.rowed:
        return by_bits(x, lambda bits: _filled(warped(bits, move, How(border="edge")), outside, [255 * bool(f) for f in fills]))
    return _filled(_by_map(x, move, mode, steps), outside, fills)


def _by_map(x: Tensor, move: Map, mode: InterpolationMode, steps: Sequence[Step]) -> Tensor:
    antialias = mode not in NEAREST and any(s.how.antialias for s in steps)
    if mode not in NEAREST and move.upright:
        return warped(x, move, How(mode, antialias, window=_seen_window(steps)))
    return _averaged(x, sources(move, x), mode) if antialias else warped(x, move, How(mode, border="edge", blends=True))


def _read_at(x: Tensor, at: Tensor, mode: InterpolationMode) -> Tensor:
    return read_nearest(x, at, border="edge") if mode in NEAREST else between(x, at, mode, x)


def _filled(out: Tensor, outside: Sequence[Tensor | None], fills: Sequence[Any]) -> Tensor:
    """Pixels beyond the canvas of a step are new by it; by the last of those that they left."""
    for new, fill in zip(outside, fills, strict=True):
        if new is not None and bool(new.any()):
            out = where(over(new, out), colour(out, fill), out)
    return out


def _beyond(move: Move, size: tuple[int, int], x: Tensor) -> Tensor | None:
    """Which new pixels come from beyond a canvas of `size`, bool [h, w] or [R, h, w]; None where the map's ends say none."""
    assert isinstance(move, Map)
    found: list[Tensor] = []
    for (one, other), side in zip(axes(move, x.device), reversed(size), strict=True):
        first, last = (float((one.amin(-1) + other.amin(-1)).min()), float((one.amax(-1) + other.amax(-1)).max()))
        place = one[..., None, :] + other[..., :, None] if first < 0 or last >= side else one
        found += [place < 0] * (first < 0) + [place >= side] * (last >= side)
    return reduce(torch.logical_or, found) if found else None


def _seen_window(steps: Sequence[Step]) -> tuple[Any, Any, Any, Any]:
    """(top, left, height, width) of the old canvas that all canvases of upright steps leave, in whole pixels; of at least one."""
    height, width = steps[0].size
    left, right, top, bottom = 0.0, float(width), 0.0, float(height)
    for number in range(1, len(steps)):
        move = composed(steps[:number])
        assert isinstance(move, Map)  # steps that are upright together are affine each; quarter turns among them swap axes
        a, b, c, d, e, f = move.inverse(steps[0].size).matrix
        high, wide = steps[number].size
        left = np.maximum(left, c + np.minimum(a * wide, 0) + np.minimum(b * high, 0))
        right = np.minimum(right, c + np.maximum(a * wide, 0) + np.maximum(b * high, 0))
        top = np.maximum(top, f + np.minimum(d * wide, 0) + np.minimum(e * high, 0))
        bottom = np.minimum(bottom, f + np.maximum(d * wide, 0) + np.maximum(e * high, 0))
    first_y, first_x = (np.clip(np.floor(v + 1e-6), 0, n - 1) for v, n in ((top, height), (left, width)))
    return first_y, first_x, np.maximum(np.ceil(bottom - 1e-6) - first_y, 1), np.maximum(np.ceil(right - 1e-6) - first_x, 1)


def _averaged(x: Tensor, at: Tensor, mode: InterpolationMode) -> Tensor:
    """Read with antialias: from the picture shrunk to about the resolution at which it is read.

    What a new pixel covers is its footprint along each old axis, the mean over the new canvas, down to a quarter of an
    octave: rows that shrink about alike are shrunk together.
    """
    if at.ndim == 3:
        return _shrunk(x, at, mode, _octaves(at[None])[0])
    shrinking = _octaves(at)
    groups = alike([shrinking], len(shrinking))
    parts = []
    for rows in groups:
        index = torch.from_numpy(rows).to(x.device)
        parts.append({"": _shrunk(x[index], at[index], mode, shrinking[rows[0]])})
    return joined_again(parts, groups)[""]


def _shrunk(x: Tensor, at: Tensor, mode: InterpolationMode, octaves: np.ndarray) -> Tensor:
    height, width = x.shape[-2:]
    high, wide = (max(1, round(old / 2 ** (int(o) / 4))) for old, o in zip((height, width), octaves, strict=True))
    if (high, wide) == (height, width):
        return between(x, at, mode, x)
    work = x if x.dtype in (torch.float32, torch.float64) else x.float()
    flat = work.reshape(1, -1, height, width)
    small = interpolate(flat, (high, wide), mode="bilinear", antialias=True).reshape(*x.shape[:-2], high, wide)
    ratio = torch.tensor([wide / width, high / height], dtype=at.dtype, device=at.device)
    return between(small, at * ratio, mode, x)


def _octaves(at: Tensor) -> np.ndarray:
    """By how many quarters of an octave rows [R, h, w, 2] are shrunk: int64 [R, 2] for (height, width), at least 0."""
    across, down = at.diff(dim=2)[:, :-1], at.diff(dim=1)[:, :, :-1]
    if not across.numel():
        return np.zeros((len(at), 2), np.int64)
    foot = torch.hypot(across, down).flatten(1, 2).nanmean(1).nan_to_num(1.0).clamp(min=1.0)
    return (4 * foot.log2() + 1e-3).floor().long().cpu().numpy()[:, ::-1].copy()
