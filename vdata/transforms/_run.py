"""Geometric transforms that follow each other, leaf by leaf: what step by step gives, bit for bit, with less read on the way.

A step reads whole pixels of a mask, so the steps' readings are put together first: each pixel is looked at once, and what a later step
cuts away never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vdata.tensors import Label, Mask, TypedTensor
from vdata.transforms._base import Leaves
from vdata.transforms._follow import new_pixels
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import frame_of, second_frame, sizes_of
from vdata.transforms._map import Map
from vdata.transforms._params import Params
from vdata.transforms._reading import Reading
from vdata.transforms._warp import permutes
from vdata.transforms.resize import resize

Size = tuple[int, int]


@dataclass(frozen=True)
class InTurn:
    """A run of geometric transforms."""

    children: tuple[Geometric, ...]

    def apply(self, params: Sequence[Params], sample: Leaves) -> Leaves:
        """A sample moved by its rows of the children's params."""
        pairs = [(c, p) for c, p in zip(self.children, params, strict=True) if c.chosen(p)]
        sizes, second = sizes_of(sample), second_frame(sample)
        placed: dict[str, list[Any]] = {frame: [] for frame in sizes}
        now = dict(sizes)
        for child, own in pairs:
            for frame, arguments in child.placements(own, now, second).items():
                placed[frame].append(arguments)
                now[frame] = now[frame] if arguments is None else child.op.where(now[frame], **arguments).size
        chosen = [c for c, _ in pairs]
        frames = {n: frame_of(n, v, sample) for n, v in sample.items() if isinstance(v, TypedTensor) and not isinstance(v, Label)}
        return {n: self.leaf(chosen, v, placed, sizes, frames[n]) if n in frames else v for n, v in sample.items()}

    def leaf(self, children: Sequence[Geometric], leaf: TypedTensor, placed: Any, sizes: Mapping[str, Size], frame: str) -> TypedTensor:
        """A leaf on `frame` through children, each with its arguments for every frame."""
        if isinstance(leaf, Mask) and leaf.device.type == "cpu" and leaf.numel():
            read = _read_at_once(children, leaf, placed[frame], sizes[frame])
            if read is not None:
                return read
        for number, child in enumerate(children):
            leaf = child.moved(leaf, {f: steps[number] for f, steps in placed.items()}, frame)
        return leaf


def in_turn(steps: Iterable[tuple[Any, Params]]) -> Iterator[tuple[Any, Any]]:
    """Transforms with their params; those geometric ones that follow each other, and move as these do, taken together."""
    run: list[tuple[Any, Params]] = []
    for child, own in steps:
        if not (isinstance(child, Geometric) and type(child).moved is Geometric.moved and type(child).apply is Geometric.apply):
            yield from _joined(run)
            yield child, own
            run = []
        else:
            run.append((child, own))
    yield from _joined(run)


def _joined(run: list[tuple[Any, Params]]) -> list[tuple[Any, Any]]:
    return run if len(run) < 2 else [(InTurn(tuple(child for child, _ in run)), [own for _, own in run])]


def _read_at_once(children: Sequence[Geometric], mask: Mask, arguments: Sequence[Any], size: Size) -> Mask | None:
    """A mask through all children by one look-up; None where that is no gain, or where a step has its own way."""
    whole: Reading | None = None
    steps, resamples, fills = 0, False, set()
    for child, own in zip(children, arguments, strict=True):
        if own is None:
            continue
        move = child.op.where(size, **own)
        if not isinstance(move, Map) or move.rowed:
            return None
        if child.op is resize:
            step = Reading.resized(size, move.size)
        elif child.op.follows_map and child.op.how(**own).border == "constant":
            step = Reading.under(move, size)
            fills.add(new_pixels(mask, own.get("fill")))
        else:
            return None
        whole = step if whole is None else whole.then(step)
        steps, resamples, size = steps + 1, resamples or not permutes(move), move.size
    if whole is None or steps < 2 or not resamples or len(fills) > 1:
        return None
    return mask.like(whole.of(mask.plain(), next(iter(fills), 0)))
