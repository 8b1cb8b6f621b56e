"""Geometric transforms that follow each other, leaf by leaf: what step by step gives, bit for bit, with less read on the way.

A step reads whole pixels of a mask, so the steps' readings are put together first: each pixel is looked at once, and what a later step
cuts away never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vdata.tensors import BoundingBoxes, Image, Label, Mask, TypedTensor, Video
from vdata.transforms._base import Leaves
from vdata.transforms._follow import new_pixels
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import frame_of, second_frame, sizes_of
from vdata.transforms._map import Map, Move
from vdata.transforms._params import Params
from vdata.transforms._pixels import cut
from vdata.transforms._reading import Reading, read_in_turn
from vdata.transforms._warp import permutes
from vdata.transforms.crop import center_crop, crop, padded_crop
from vdata.transforms.resize import resize, resize_beginning

Size = tuple[int, int]
Placements = dict[str, list[Any]]  # of each frame, each child's arguments, None where it leaves the frame alone
Moves = Mapping[str, Sequence[Move | None]]


@dataclass(frozen=True)
class InTurn:
    """A run of geometric transforms."""

    children: tuple[Geometric, ...]

    def apply(self, params: Sequence[Params], sample: Leaves) -> Leaves:
        """A sample moved by its rows of the children's params."""
        pairs = [(c, p) for c, p in zip(self.children, params, strict=True) if c.chosen(p)]
        sizes, second = sizes_of(sample), second_frame(sample)
        placed: Placements = {frame: [] for frame in sizes}
        moves: dict[str, list[Move | None]] = {frame: [] for frame in sizes}
        now = dict(sizes)
        for child, own in pairs:
            for frame, arguments in child.placements(own, now, second).items():
                move = None if arguments is None else child.op.where(now[frame], **arguments)
                placed[frame].append(arguments)
                moves[frame].append(move)
                now[frame] = now[frame] if move is None else move.size
        chosen = [c for c, _ in pairs]
        frames = {n: frame_of(n, v, sample) for n, v in sample.items() if isinstance(v, TypedTensor) and not isinstance(v, Label)}
        return {n: self.leaf(chosen, v, placed, moves, sizes, frames[n]) if n in frames else v for n, v in sample.items()}

    def leaf(
        self, children: Sequence[Geometric], leaf: TypedTensor, placed: Placements, moves: Moves, sizes: Mapping[str, Size], frame: str
    ) -> TypedTensor:  # fmt: skip
        """A leaf on `frame` through children, by each one's arguments and map for every frame."""
        if isinstance(leaf, Mask):
            read = _read_at_once(children, leaf, placed[frame], moves[frame])
            if read is not None:
                return read
        steps = enumerate(zip(children, placed[frame], moves[frame], strict=True))
        for number, (child, own, move) in steps:
            following = slice(number + 1, number + 2)
            if isinstance(leaf, BoundingBoxes) and child.op.boxes_follow:
                leaf = leaf if move is None else child.op.pushed_boxes(leaf, move)
            elif isinstance(leaf, (Image, Video)) and own is not None and child.op is resize and _cuts(children[following], placed[frame][following]):
                leaf = _resized_and_cut(leaf, own, *placed[frame][following], *moves[frame][number : number + 2])
                next(steps)
            else:
                leaf = child.moved(leaf, {f: own[number] for f, own in placed.items()}, frame)
        return leaf


def _cuts(children: Sequence[Geometric], arguments: Sequence[Any]) -> bool:
    """Whether a step keeps a window of pictures as they are."""
    return any(c.op in (crop, center_crop, padded_crop) and a is not None and a.get("padding_mode", "constant") == "constant" for c, a in zip(children, arguments, strict=True))


def _resized_and_cut(leaf: Image | Video, how: dict[str, Any], cut_by: dict[str, Any], larger: Map, cutting: Map) -> Any:
    """Resized, then cut to a window; rows and columns after the window are never made. torch cannot begin elsewhere than at the first."""
    left, top = (-int(cutting.matrix[i]) for i in (2, 5))
    shown = [min(old, max(1, first + new)) for old, first, new in zip(larger.size, (top, left), cutting.size, strict=True)]
    begun = resize_beginning(leaf.plain(), larger.size, (shown[0], shown[1]), how["interpolation"], how["antialias"])
    return leaf.like(cut(begun, top, left, *cutting.size, new_pixels(leaf, cut_by.get("fill"))))


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


def _read_at_once(children: Sequence[Geometric], mask: Mask, arguments: Sequence[Any], moves: Sequence[Move | None]) -> Mask | None:
    """A mask through all children by one look-up; None where that is no gain, or where a step has its own way."""
    taken = [(c, a, m) for c, a, m in zip(children, arguments, moves, strict=True) if m is not None]
    maps = [m for _, _, m in taken if isinstance(m, Map) and not m.rowed]
    if len(taken) < 2 or len(maps) < len(taken) or mask.device.type != "cpu" or not mask.numel():
        return None
    if not all(c.op is resize or (c.op.masks_follow and c.op.how(**a).border == "constant") for c, a, _ in taken):
        return None
    fills = {new_pixels(mask, a.get("fill")) for c, a, _ in taken if c.op is not resize}
    if len(fills) > 1 or all(permutes(m) for m in maps):  # whole moves are slices
        return None
    sizes = [mask.canvas, *(m.size for m in maps)]
    steps = [Reading.resized(s, m.size) if c.op is resize else Reading.under(m, s) for (c, _, _), m, s in zip(taken, maps, sizes, strict=False)]
    return mask.like(read_in_turn(mask.plain(), steps, next(iter(fills), 0)))
