"""How each type follows a map: what new pixels are, which points keep their label, who is left and who is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.tensors import BoundingBoxes, Flow, KeyPoints, Mask, TypedTensor
from vdata.transforms._check import ByType
from vdata.transforms._corners import move_boxes
from vdata.transforms._lift import is_rows
from vdata.transforms._map import Move, move_points, push_flow
from vdata.transforms._warp import How, read_flow, sources, warped


def moved_by(leaf: TypedTensor, first: Move, second: Move, how: How, fill: Any = None) -> Any:
    """A leaf under a map given as it is; a flow under the maps of both of its frames."""
    if isinstance(leaf, KeyPoints):
        return pushed_points(leaf, first)
    if isinstance(leaf, BoundingBoxes):
        return leaf.like(move_boxes(leaf.plain(), leaf.format, first, clamp=False), canvas_size=first.size)
    if isinstance(leaf, Flow):
        raster = read_flow(leaf.plain(), sources(first, leaf), leaf.sparse)
        return leaf.like(push_flow(raster, first, second), target_size=second.size)
    how = replace(how, mode=How.mode, antialias=False, corner=False) if isinstance(leaf, Mask) else how
    return leaf.like(warped(leaf.plain(), first, how, new_pixels(leaf, fill)))


def pushed_points(x: KeyPoints, move: Move) -> KeyPoints:
    """Key points moved: those without an image lose their label, left and right change names under a mirror."""
    points = _labelled(move_points(x.plain(), move), x)
    points, seen = swapped(points, _seen(points, x.visibility), x, move.mirrors)
    return x.like(points, canvas_size=move.size, visibility=seen)


def _labelled(points: Tensor, old: KeyPoints) -> Tensor:
    """Points that are not labelled (visibility 0) have no place, so they stay at the (0, 0) that says so."""
    if old.visibility is None:
        return points
    return torch.where((old.visibility == 0)[..., None], old.plain().to(points.dtype), points)


def _seen(points: Tensor, visibility: Tensor | None) -> Tensor | None:
    """Points without an image (NaN) are not labelled any more."""
    if visibility is None or not points.is_floating_point():
        return visibility
    return torch.where(points.isfinite().all(-1), visibility, 0)


def swapped(points: Tensor, seen: Tensor | None, x: KeyPoints, mirrored: Any) -> tuple[Tensor, Tensor | None]:
    """Left and right change names under a mirror: points [..., N, K, 2] take each other's places by the swap table."""
    if x.swap is None or not np.any(mirrored):
        return points, seen
    order = torch.tensor(x.swap, device=points.device)
    if not is_rows(mirrored):
        return points[..., order, :], None if seen is None else seen[..., order]
    rows = torch.as_tensor(mirrored).to(points.device)[:, None]
    points = torch.where(rows[..., None], points[..., order, :], points)
    return points, None if seen is None else torch.where(rows, seen[..., order], seen)


def _grey(dtype: torch.dtype) -> float:
    """The grey of letterboxes: 114 of 255, in a dtype's range."""
    return 114 / 255 if dtype.is_floating_point else round(114 / 255 * torch.iinfo(dtype).max)


def new_pixels(x: TypedTensor, fill: Any = None) -> Any:
    """What new pixels are: NaN in a flow; else `fill` (by type, where it is a mapping); else 0, or a mask's own.

    A mask's own is its ignore_index, or 0 (background; no object) where it has none.
    """
    if isinstance(x, Flow):
        return torch.nan
    if isinstance(fill, Mapping):
        fill = ByType(fill).find(type(x))
    if not isinstance(x, Mask):
        return 0 if fill is None else _grey(x.dtype) if fill == "grey" else fill
    if fill is None:
        fill = 0 if x.ignore_index is None or x.kind == "instance" else x.ignore_index
    if not isinstance(fill, (int, float)):
        raise TypeError(f"a Mask is filled with one number, got {fill!r}")
    return fill
