"""Transforms that move the canvas, and all that lies on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from vdata.batch import Batch, Ragged, collate
from vdata.errors import NoKernelError
from vdata.planes import mirrored
from vdata.tensors import Flow, Image, Label, TypedTensor
from vdata.transforms._base import Leaves, Transform
from vdata.transforms._follow import moved_by
from vdata.transforms._info import Info, frame_of, second_frame, sizes_of
from vdata.transforms._lift import has_rows
from vdata.transforms._map import Move, reverse
from vdata.transforms._op import SpatialOp
from vdata.transforms._params import Params, collapsed, row, rows_of
from vdata.transforms._rows import alike, end_to_end, rejoin, split_again, take
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode

Size = tuple[int, int]
Placed = Mapping[str, dict[str, Any] | None]


class Reduction(NamedTuple):
    """A window (top, left, height, width) that is resized to `size` (height, width), with antialias."""

    window: tuple[int, int, int, int]
    size: Size
    interpolation: InterpolationMode


class Geometric(Transform):
    """Moves the canvas: every spatial leaf follows by its type. One op; `place` gives its arguments for a frame's size."""

    op: ClassVar[SpatialOp]
    moves = True

    @property
    def windowed(self) -> bool:
        return type(self).window is not Geometric.window and window_says_all(type(self))

    def place(self, params: Params, size: Size) -> dict[str, Any] | None:
        """The op's arguments for a frame of (height, width) under one row of params; None leaves the frame alone.

        Also called with the params of B samples, arrays, whose arguments then have one entry a row.
        """
        raise NoKernelError(f"{type(self).__name__} has no place")  # abstract: every public class defines it

    def place_second(self, params: Params, size: Size) -> dict[str, Any] | None:
        """`place` for the second frame of a flow, where it moves otherwise than the first."""
        return self.place(params, size)

    def window(self, params: Params, size: Size) -> tuple[int, int, int, int] | None:
        """(top, left, height, width): the only part of the canvas that pixels are read from; None where it is all.

        A transform with a window may be run as `crop(window)` then `after_window`, so that a decoder need only
        deliver the window.
        """
        return None

    def after_window(self, leaf: TypedTensor, params: Params) -> TypedTensor:
        """What is left to do to a raster leaf already cut to `window`."""
        return leaf

    @property
    def made(self) -> tuple[int, int] | None:
        """(height, width) of what `after_windows` makes, whatever it is given; None where that depends."""
        return None

    def after_windows(
        self, leaves: Sequence[TypedTensor], params: Sequence[Params], turned: Sequence[bool], rows: Sequence[Tensor | None]
    ) -> list[TypedTensor]:  # fmt: skip
        """`after_window` of leaves with a row of params each, and then some, `turned`, mirrored left for right. What takes fewer calls
        together overrides it, and may write into `rows`, memory of the size that it always `made`."""
        done = [self.after_window(leaf, own) for leaf, own in zip(leaves, params, strict=True)]
        return [leaf.like(mirrored(leaf.plain())) if turn else leaf for leaf, turn in zip(done, turned, strict=True)]

    def reduction(self, params: Params, size: Size) -> Reduction | None:
        """What it does to pictures, if that is resizing a window of them with antialias: so that a decoder may deliver it smaller."""
        return None

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        """The sizes int64 [B, 2] of a frame afterwards; the general way, canvases of one size at a time."""
        out = sizes.copy()
        chosen = np.broadcast_to(np.asarray(self.chosen(params), bool), len(sizes))
        for rows in alike([sizes], len(sizes)):
            rows = rows[chosen[rows]]
            if not len(rows):
                continue
            size = (int(sizes[rows[0], 0]), int(sizes[rows[0], 1]))
            arguments = self.place(rows_of(params, rows), size)
            if arguments is not None:
                out[rows] = self.op.sizes(size, len(rows), self.op.arguments(**arguments))
        return out

    def after(self, params: Params, info: Info) -> Info:
        new = info.resized({frame: self.canvas(params, sizes) for frame, sizes in info.sizes.items()})
        if not info.boxes:
            return new
        boxes = {n: [self._after_box(row(params, b), n, v, info.second) for b, v in enumerate(values)] for n, values in info.boxes.items()}
        return replace(new, boxes=boxes)

    def _after_box(self, params: Params, name: str, boxes: Any, second: str | None) -> Any:
        """A sample's boxes moved, which alone do not tell whether they lie on a flow's second frame."""
        leaves = {name: boxes}
        frame = frame_of(name, boxes, leaves)
        if frame != second or not self.chosen(params):
            return self.apply(params, leaves)[name]
        return self.move(boxes, name, self.placements(params, {frame: boxes.canvas}, second), leaves)

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        if not self.chosen(params):
            return sample
        if (alone := only_picture(sample)) is not None and type(self).placements is Geometric.placements:
            picture = sample[alone]
            arguments = self.place(params, picture.canvas)
            return sample if arguments is None else {**sample, alone: self.moved(picture, {alone: arguments}, alone)}
        placed = self.placements(params, sizes_of(sample), second_frame(sample))
        if all(arguments is None for arguments in placed.values()):
            return sample
        return {name: self.move(value, name, placed, sample) for name, value in sample.items()}

    def placements(self, params: Params, sizes: Mapping[str, Size], second: str | None) -> Placed:
        """The op's arguments for every frame of a sample."""
        return {f: self.place_second(params, s) if f == second else self.place(params, s) for f, s in sizes.items()}

    def move(self, value: Any, name: str, placed: Placed, sample: Mapping[str, Any]) -> Any:
        """One leaf moved by the arguments of its frame (both frames for a flow)."""
        if not isinstance(value, TypedTensor) or isinstance(value, Label):
            return value
        return self.moved(value, placed, frame_of(name, value, sample))

    def moved(self, value: TypedTensor, placed: Placed, frame: str) -> Any:
        """A spatial leaf on `frame` moved."""
        arguments = placed[frame]
        if isinstance(value, Flow):
            return self._moved_flow(value, arguments, placed[value.views[1]])
        return value if arguments is None else self.op(value, **arguments)

    def _moved_flow(self, flow: Flow, first: dict[str, Any] | None, second: dict[str, Any] | None) -> Any:
        if first is None and second is None:
            return flow
        if first is None or second is None:
            raise NoKernelError(f"{type(self).__name__} moves one frame of a flow and leaves the other: place both, one by the identity")
        alike = not has_rows(first) and not has_rows(second) and first == second
        return self.op(flow, **first) if alike else self.op(flow, **first, target=second)

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        one = row(params, 0)
        if not self.chosen(one):
            return sample
        sizes = {f: (int(s[0, 0]), int(s[0, 1])) for f, s in info.sizes.items()}
        if not sizes:
            raise NoKernelError(
                f"{self} has a way back where `info` knows the canvas before it: a transform before (RandomIoUCrop after others) chose one by boxes"
            )
        home = next(iter(sizes))
        second = next((v.views[1] for v in sample.values() if isinstance(v, Flow)), None) or info.second
        placed = self.placements(one, sizes, second)
        back = {f: None if a is None else reverse(self.op.where(sizes[f], **a), sizes[f]) for f, a in placed.items()}
        out = {}
        for name, leaf in sample.items():
            if isinstance(leaf, TypedTensor) and not isinstance(leaf, Label):
                frame = frame_of(name, leaf, sample)
                leaf = _returned(leaf, back, frame if frame in back else home)
            out[name] = leaf
        return out

    def read_by(self, leaves: Leaves) -> Leaves:
        return {n: v for n, v in leaves.items() if on_canvas(v)} if self.exact else leaves

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        """Samples whose frames are of one size, and stay so, in one call for each leaf."""
        sizes = Info.of_batch(batch).sizes
        if not sizes:
            return batch
        news = {frame: self.canvas(params, s) for frame, s in sizes.items()}
        groups = alike([*sizes.values(), *news.values()], batch.size)
        parts = []
        for rows in groups:
            here = {f: (int(s[rows[0], 0]), int(s[rows[0], 1])) for f, s in sizes.items()}
            part = take(batch, rows)
            parts.append(self._moved_together(rows_of(params, rows), part, here))
        return rejoin(parts, groups, batch)

    def _moved_together(self, params: Params, leaves: Leaves, sizes: Mapping[str, Size]) -> Leaves:
        placed = self.placements(params, sizes, second_frame({n: v[0] for n, v in leaves.items()}))
        placed = {f: None if a is None else collapsed(a) for f, a in placed.items()}
        return by_rows(leaves, placed, self.moved)


def window_says_all(kind: type[Geometric]) -> bool:
    """Whether a user's class has not changed what happens to pictures without saying so in `window` or `after_window`."""
    for one in kind.__mro__:
        if "window" in vars(one) or "after_window" in vars(one) or one.__module__.startswith("vdata."):
            return True
        if vars(one).keys() & {"apply", "chosen", "move", "moved", "place", "placements"}:
            return False
    return True


def only_picture(sample: Leaves) -> str | None:
    """The name of a sample's picture, if nothing else lies on a canvas: no frames need to be told apart."""
    spatial = [n for n, v in sample.items() if isinstance(v, TypedTensor) and type(v) is not Label]
    return spatial[0] if len(spatial) == 1 and type(sample[spatial[0]]) is Image else None


def on_canvas(value: Any) -> bool:
    """Whether a batch's leaf lies on a canvas."""
    kind = value.type if isinstance(value, Ragged) else type(value)
    return issubclass(kind, TypedTensor) and kind is not Label


def _returned(leaf: TypedTensor, back: Mapping[str, Move | None], frame: str) -> TypedTensor:
    """A leaf under the way back of its frame; a flow under those of both of its frames."""
    first = back[frame]
    second = back.get(leaf.views[1], first) if isinstance(leaf, Flow) else first
    if first is None or second is None:
        return leaf
    return moved_by(leaf, first, second, How(InterpolationMode.BILINEAR, antialias=True))


def by_rows(leaves: Leaves, placed: Mapping[str, Any], move: Callable[[TypedTensor, Any, str], Any]) -> Leaves:
    """Every spatial leaf of a batch moved: `move(leaf, placed, frame)` for a leaf of R rows and arguments with R entries.

    Objects of all samples go end to end, the arguments repeated for each of a sample's objects.
    """
    first = {n: v[0] for n, v in leaves.items()}
    frames = {n: frame_of(n, v, first) for n, v in first.items() if isinstance(v, TypedTensor) and not isinstance(v, Label)}
    return {n: _leaf(v, placed, frames[n], move) if n in frames else v for n, v in leaves.items()}


def _leaf(value: Any, placed: Mapping[str, Any], frame: str, move: Callable[[TypedTensor, Any, str], Any]) -> Any:
    if not isinstance(value, Ragged):
        return move(value, placed, frame)
    joined = end_to_end(value)
    # What the samples carry beside their numbers differs; or there are no objects, so that arguments with one entry for each
    # have none that says what a canvas becomes.
    if joined is None or not len(joined[0]):
        leaves: Any = value  # whose entries are typed
        outs = []
        for b in range(len(value)):
            own = leaves[b].meta().get("frame") or frame
            outs.append(move(leaves[b], {f: row(a, b) for f, a in placed.items()}, own))
        return collate([{"": out} for out in outs])[""]
    objects, counts = joined
    owner = np.repeat(np.arange(len(counts)), counts)
    return split_again(move(objects, {f: rows_of(a, owner) for f, a in placed.items()}, frame), counts)
