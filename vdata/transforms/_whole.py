"""Transforms of a batch that move whole pixels and follow each other, crops, pads and flips: every pixel is moved once, by all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.compiled.whole import moved_whole
from vdata.slabs import Slabs
from vdata.tensors import Image, Mask, Video
from vdata.transforms._follow import new_pixels
from vdata.transforms._geometric import Geometric, on_canvas
from vdata.transforms._info import frame_of
from vdata.transforms._map import Map, Move
from vdata.transforms._params import Params
from vdata.transforms._pixels import can_be, colour
from vdata.transforms._warp import permutes

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_DTYPES = {torch.bool, *(getattr(torch, f"{kind}int{bits}") for kind in ("", "u") for bits in (8, 16, 32, 64)), torch.float16, torch.float32, torch.float64}
_slabs = Slabs()


class Step(NamedTuple):
    """(sign, shift) down and right, numbers or one a row; the canvas before and after; what new pixels are asked to be."""

    down: tuple[Any, Any]
    right: tuple[Any, Any]
    old: tuple[int, int]
    size: tuple[int, int]
    fill: Any = None

    def uncovers(self) -> bool:
        """Whether there are new pixels."""
        for (sign, shift), old, new in zip((self.down, self.right), self.old, self.size, strict=True):
            first = shift - old * (np.asarray(sign) < 0)
            if np.any(first > 0) or np.any(first + old < new):
                return True
        return False


@dataclass(frozen=True)
class Wholly:
    """A run of transforms that move whole pixels."""

    children: tuple[Geometric, ...]

    def apply_rows(self, params: list[Params], batch: Batch) -> Batch:
        """Every sample of a batch moved by its row of each child's params."""
        if (moved := self._at_once(params, batch)) is not None:
            return moved
        for child, own in zip(self.children, params, strict=True):
            batch = child.apply_rows(own, batch)
        return batch

    def _at_once(self, params: list[Params], batch: Batch) -> Batch | None:
        """None where anything but stacked pictures of one frame, on a CPU, lies on the canvas, or a step is not what it can do."""
        spatial = {n: v for n, v in batch.items() if on_canvas(v)}
        if not spatial or not all(_raster(v) for v in spatial.values()) or not moved_whole.pays(sum(v.numel() for v in spatial.values())):
            return None
        if len({frame_of(n, v, spatial) for n, v in spatial.items()}) > 1 or len({v.canvas for v in spatial.values()}) > 1:
            return None
        size = next(iter(spatial.values())).canvas
        steps: list[Step] = []
        for child, own in zip(self.children, params, strict=True):
            arguments = child.place(own, size)
            if arguments is not None:
                move = child.op.where(size, **arguments)
                step = _step(move, child.chosen(own), size) if child.op.how(**arguments).border == "constant" else None
                if step is None:
                    return None
                steps.append(step._replace(fill=arguments.get("fill")))
                size = move.size
        if not steps:
            return batch
        out = {}
        for name, leaf in spatial.items():
            news = [new_pixels(leaf, step.fill) for step in steps]
            if any(fill != 0 for fill in news):  # a flip says nothing of new pixels, and makes none
                if not all(can_be(leaf.plain(), fill) for fill in news):  # an error, unless nobody makes them: the plain way knows
                    return None
                news = [fill for fill, step in zip(news, steps, strict=True) if step.uncovers()] or [0]
            if any(fill != news[0] for fill in news):
                return None
            out[name] = leaf.like(_read(leaf.plain(), steps, news[0]))
        return batch.replace({n: out.get(n, v) for n, v in batch.items()})


def _raster(value: Any) -> bool:
    known = isinstance(value, Image | Video) or (isinstance(value, Mask) and value.kind == "semantic")
    return known and value.device.type == "cpu" and value.dtype in _DTYPES and not value.requires_grad


def _step(move: Move, chosen: Any, size: tuple[int, int]) -> Step | None:
    """A map as a step; None for one that does more than mirror, and shift by whole pixels."""
    if not isinstance(move, Map) or not move.upright or not permutes(move):
        return None
    a, _, c, _, e, f = move.matrix
    if np.all(chosen):
        return Step((e, f), (a, c), size, move.size)
    if move.size != size:
        return None  # those that are not chosen stay as they are
    return Step((np.where(chosen, e, 1), np.where(chosen, f, 0)), (np.where(chosen, a, 1), np.where(chosen, c, 0)), size, move.size)


def _read(x: Tensor, steps: list[Step], fill: Any) -> Tensor:
    down, right = np.empty((2, len(steps), 2, len(x)), np.int64)
    for step, *places in zip(steps, down, right, strict=True):
        for place, pair in zip(places, (step.down, step.right), strict=True):
            place[0], place[1] = pair
    # As arrays of one kind, whatever they come from: the compiler makes a loop for each.
    tall, wide = (np.array(sides, np.int64) for sides in zip(*(s.size for s in steps), strict=True))
    planes = x.shape[1:-2].numel()
    values = np.empty((*x.shape[1:-2], 1, 1), f"i{x.itemsize}")
    values[...] = colour(x, fill).numpy().view(values.dtype)
    out = _slabs.take((*x.shape[:-2], *steps[-1].size), x.dtype)
    bits = _BITS[x.itemsize]
    moved_whole(_flat(x, bits), _flat(out, bits), values.reshape(planes), len(x), planes, *x.shape[-2:], down, tall, right, wide)
    return out


def _flat(x: Tensor, bits: torch.dtype) -> np.ndarray:
    return x.contiguous().view(bits).numpy().reshape(-1)


def _ordinary(kind: type) -> bool:
    """Whether a transform does to a batch what all Geometric ones do."""
    return all(getattr(kind, name) is getattr(Geometric, name) for name in ("moved", "placements", "apply_rows", "apply_chosen"))


def in_rows(steps: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Transforms with their params; those that follow each other and move whole pixels taken together."""
    run: list[tuple[Any, Any]] = []
    for child, own in steps:
        if isinstance(child, Geometric) and child.exact and child.op.by_index and _ordinary(type(child)):
            run.append((child, own))
            continue
        yield from _joined(run)
        yield child, own
        run = []
    yield from _joined(run)


def _joined(run: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return [(Wholly(tuple(child for child, _ in run)), [own for _, own in run])] if run else []
