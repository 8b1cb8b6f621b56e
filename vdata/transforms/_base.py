"""Plan, then apply: a transform draws its parameters from a key and the canvas, then moves every leaf by its type.

    draw(key, info) -> params        B samples at once; params are plain values with B as first dimension
    apply(params, sample) -> sample  one row of them; pure

Calling a transform does both. By hand it draws its key from torch's default generator, so that
`torch.manual_seed` governs scripts; `t(sample, key=...)` is exact and touches no generator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, dataclass_transform

import numpy as np
import PIL.Image
import torch

from vdata.batch import Batch, collate
from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import Image, TypedTensor, Video
from vdata.transforms._info import Info, alike, flatten, unflatten
from vdata.transforms._instances import DEFAULT as OBJECTS
from vdata.transforms._params import Params, row, rows_of, unstacked
from vdata.transforms._rows import each, flat, grouped, put_back, rejoin, same_leaves, stacked, take

Leaves = dict[str, Any]
T = TypeVar("T")


class Transform:
    """One random decision applied alike to every leaf of a sample or, a decision each, of a `Batch`.

    Subclasses are frozen dataclasses, so a transform prints, compares, hashes and pickles as the value it is.
    """

    # What `draw` reads of Info: "size"; "meta" (types, dtypes, channels, counts), "boxes", "partners". Only what needs no
    # more than sizes can be drawn for before a picture is decoded.
    needs: ClassVar[Any] = ("size",)
    passthrough: ClassVar[Any] = ()  # names of extra leaves that pass untouched, by declaration
    stacks: ClassVar[Any] = True  # whether `apply` may get several samples at once, stacked in a leading dimension
    moves: ClassVar[Any] = False  # whether it may move what lies on a canvas, so that a way back must be given
    exact: ClassVar[Any] = False  # whether a sample in a batch gets, bit for bit, what it gets alone, whatever stands beside it
    rowwise: ClassVar[Any] = False  # whether it takes params of all samples of a stacked batch at once

    @property
    def random(self) -> bool:
        """Whether it draws at all: a pipe may cache or scan only after transforms that do not."""
        return type(self).draw is not Transform.draw

    @property
    def windowed(self) -> bool:
        """Whether it reads only a window of each picture, so that decoding can be fused with it."""
        return False

    def draw(self, key: Key, info: Info) -> Params:
        """Parameters for len(key) samples; every array in them has that first dimension."""
        return {}

    def chosen(self, params: Params) -> Any:
        """Which samples are changed at all: bool [B], of one row a bool."""
        return True

    def after(self, params: Params, info: Info) -> Info:
        """What `info` becomes once the transform with these params has been applied."""
        return info.resized(info.sizes) if self.moves and info.boxes else info  # boxes may have moved

    def apply(self, params: Params, sample: Leaves) -> Any:
        """The sample moved by one row of params (`row(params, b)`); a tuple of samples where it makes several."""
        raise NoKernelError(
            f"{type(self).__name__} has no apply: a transform of one's own defines draw(key, info) and apply(params, sample), not "
            "torchvision's make_params and transform; a function of one leaf is Lambda(fn)"
        )

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        """What lies on the transformed canvas, such as predictions, back on the original one.

        params  as `draw` gave them for one sample
        sample  leaves on the new canvas, under the names (and frames) that the transformed sample has
        info    of the sample before: `Info.of([sample])`

        Boxes, points and flow vectors come back by the inverse map, masks by nearest pixel, pictures between pixels;
        pixels that the transform had lost are new again. Colours are not undone. Raises NoKernelError where the canvas has
        changed and there is no way back.

        >>> flip, sample = T.RandomHorizontalFlip(1), {"image": Image(torch.zeros(1, 4, 10))}
        >>> params, info = flip.draw(Key.of(0), T.Info.of([sample])), T.Info.of([sample])
        >>> found = {"boxes": BoundingBoxes([[0, 0, 2, 4]], format="XYXY", canvas_size=(4, 10))}
        >>> flip.inverse(params, found, info)["boxes"].tolist()
        [[8, 0, 10, 4]]
        """
        if type(self).after is Transform.after and not self.moves:
            return sample
        raise NoKernelError(f"{self} has no inverse")

    def enter(self, leaves: Leaves) -> Leaves:
        """The leaves as they are taken in: PIL images as Images; what may be spatial and has no type raises."""
        if any(isinstance(v, PIL.Image.Image) for v in leaves.values()):
            leaves = {n: Image(v) if isinstance(v, PIL.Image.Image) else v for n, v in leaves.items()}
        check_leaves(self, leaves)
        return leaves

    def __call__(self, *inputs: Any, key: Key | None = None) -> Any:
        sample = inputs[0] if len(inputs) == 1 else inputs
        if isinstance(sample, Batch):
            return self.on_batch(sample, key)
        key = fresh_key(1) if key is None else key
        if len(key) != 1:
            raise ValueError(f"one sample takes one key, got {len(key)}")
        return self.on_samples([sample], key)[0]

    def on_samples(self, samples: Sequence[Any], key: Key) -> list[Any]:
        """Samples that form no batch, one draw each, made together: each gets what it would get alone."""
        opened = [flatten(s) for s in samples]
        bare = [_bare_picture(s, leaves) for s, (leaves, _) in zip(samples, opened, strict=True)]
        entered = [
            self.enter(leaves if name is None else {**leaves, name: Image(leaves[name])})
            for name, (leaves, _) in zip(bare, opened, strict=True)
        ]
        drawn = self.draw_each(key.fold(ordinal_path(self, 0)), entered)
        parts = zip(drawn, entered, opened, bare, strict=True)
        return [
            each([self.apply(params, leaves)], lambda outs, shape=shape, name=name: _closed(outs[0], shape, name))
            for params, leaves, (_, shape), name in parts
        ]

    def draw_each(self, key: Key, samples: Sequence[Leaves]) -> list[Params]:
        """The params of samples, a row each: in one draw where these are alike in all that a transform may ask."""
        if len(samples) == 1 or alike(samples):
            return unstacked(self.draw(key, Info.of(samples)), len(samples))
        return [row(self.draw(key[b], Info.of([s])), 0) for b, s in enumerate(samples)]

    def on_batch(self, batch: Batch, key: Key | None = None) -> Any:
        """A batch: one draw per sample, as if each were alone. The result may share memory with the batch."""
        key = fresh_key(batch.size) if key is None else key
        if len(key) != batch.size:
            raise ValueError(f"a batch of {batch.size} takes as many keys, got {len(key)}")
        batch, info = self._taken_in(batch)
        return self.apply_rows(self.draw(key.fold(ordinal_path(self, 0)), info), batch)

    def _taken_in(self, batch: Batch) -> tuple[Batch, Info]:
        if flat(batch):  # a leaf is of one type in all samples: the first tells what that is
            first = {n: v[0] for n, v in batch.items()}
            if self.enter(first) is first:
                return batch, Info.of_batch(batch)
        opened = [flatten(s) for s in batch.samples()]
        entered = [self.enter(leaves) for leaves, _ in opened]
        if any(new is not old for new, (old, _) in zip(entered, opened, strict=True)):
            whole = [unflatten(new, shape) for new, (_, shape) in zip(entered, opened, strict=True)]
            batch = collate(whole, at=batch.at)
        return batch, Info.of(entered)

    def apply_rows(self, params: Params, batch: Batch) -> Any:
        """Every sample of a batch moved by its row of params; those that are not chosen stay as they are."""
        if not flat(batch):
            return self._one_by_one(params, batch)
        chosen = np.broadcast_to(np.asarray(self.chosen(params), bool), batch.size)
        if chosen.all():
            return self.apply_chosen(params, batch)
        rows = np.flatnonzero(chosen)
        if not len(rows):
            return batch
        part = Batch(take(self.read_by(batch), rows), len(rows), [batch.at[int(b)] for b in rows])
        moved = self.apply_chosen(rows_of(params, rows), part)
        each([moved, part], lambda both: same_leaves(*both))  # raises
        return batch.replace({n: put_back(v, rows, moved[n], n) if n in moved else v for n, v in batch.items()})

    def read_by(self, leaves: Leaves) -> Leaves:
        """The leaves that `apply` reads or changes: all that need to be taken apart in a batch."""
        return leaves

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        """`apply_rows` where all are chosen: the general way, rows with equal params at once where leaves are stacked."""
        if not (self.stacks and stacked(batch)):
            return self._one_by_one(params, batch)
        groups = grouped(params, batch.size)
        if len(groups) == 1:
            return each([self.apply(row(params, 0), dict(batch))], lambda outs: batch.replace(outs[0]))
        parts = [self.apply(row(params, int(rows[0])), take(batch, rows)) for rows in groups]
        return each(parts, lambda outs: rejoin(outs, groups, batch))

    def _one_by_one(self, params: Params, batch: Batch) -> Any:
        outs = []
        for b, sample in enumerate(batch.samples()):
            leaves, shape = flatten(sample)
            outs.append(each([self.apply(row(params, b), leaves)], lambda one, shape=shape: unflatten(one[0], shape)))
        return each(outs, lambda samples: collate(samples, at=batch.at))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(_shown(self))})"


def _bare_picture(sample: Any, leaves: Leaves) -> str | None:
    """torchvision's habit: `t(tensor)` and `t(tensor, target)` take a first plain tensor as the picture, if there is none."""
    first = next(iter(leaves), None)
    if (
        isinstance(sample, Mapping)
        or first is None
        or type(leaves[first]) is not torch.Tensor
        or leaves[first].ndim < 2
    ):
        return None
    return first if first in ("", "0") and not any(isinstance(v, (Image, Video)) for v in leaves.values()) else None


def _closed(leaves: Leaves, shape: Any, bare: str | None) -> Any:
    """A sample from its leaves, a bare picture plain again."""
    if bare is not None and isinstance(leaves[bare], Image):
        leaves = {**leaves, bare: leaves[bare].plain()}
    return unflatten(leaves, shape)


def ordinal_path(transform: Transform, ordinal: int) -> str:
    """A transform's place in its list: its name, and how many of the same name stand before it."""
    return f"{type(transform).__name__}#{ordinal}"


def fresh_key(count: int) -> Key:
    """Keys from torch's default generator: what a call by hand uses."""
    return Key(torch.randint(-(2**63), 2**63 - 1, (count,), dtype=torch.int64, device="cpu").numpy().astype(np.uint64))


def check_leaves(transform: Transform, leaves: Mapping[str, Any]) -> None:
    """Raise for leaves that may be spatial and that no type explains; labels, scalars and strings pass by declaration."""
    for name, value in leaves.items():
        if isinstance(value, (TypedTensor, int, float, str, bytes, type(None))):
            continue
        last = name.rsplit(".", 1)[-1]
        if (
            last in ("label", "labels")
            or (last in OBJECTS and getattr(value, "ndim", 2) < 2)
            or last in transform.passthrough
            or (last.startswith("__") and last.endswith("__"))
        ):
            continue
        if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and value.ndim == 0:
            continue
        package = type(value).__module__.split(".")[0]
        if package == "torchvision":
            raise NoKernelError(
                f"{type(transform).__name__} met {name or 'the input'!r}, a {type(value).__name__} of torchvision: turn the sample "
                "into vdata's types with vdata.interop.torchvision.from_tv"
            )
        what = f"a plain {package} {type(value).__name__}"
        if isinstance(value, (torch.Tensor, np.ndarray)):
            what += f" of shape {list(value.shape)}"
        raise NoKernelError(
            f"{type(transform).__name__} met {name or 'the input'!r}, {what}: it may be spatial, so it is not passed in silence. "
            f"Wrap it in one of vdata.tensors (Image, Mask, BoundingBoxes, KeyPoints, Flow, Video, Label)"
            + (f", or declare that it stays as it is: .apply(..., passthrough=({last!r},)), Compose([...], passthrough=({last!r},))" if name else "")
        )


def _shown(transform: Any) -> Iterable[str]:
    """The arguments that differ from their defaults, the leading required ones without their names."""
    for field in dataclasses.fields(transform):
        value = getattr(transform, field.name)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            yield repr(value)
        elif field.default_factory is not dataclasses.MISSING or value != field.default:
            yield f"{field.name}={value!r}"


def same_size(transform: Transform, info: Info) -> np.ndarray:
    """The sizes int64 [B, 2] of the frames when they all agree; PlanError naming two that differ otherwise."""
    frames = list(info.sizes.items())
    if not frames:
        raise PlanError(
            f"{type(transform).__name__} draws by the canvas, and none is known: the sample has no image, mask, box, point or flow, or a "
            "step before whose size is not known (a foreign one: say size=...) stands in the same list: apply what follows on its own"
        )
    first, sizes = frames[0]
    for other, theirs in frames[1:]:
        if not np.array_equal(sizes, theirs):
            b = int(np.flatnonzero((sizes != theirs).any(1))[0])
            raise PlanError(
                f"{type(transform).__name__} draws one window for all frames, but {first!r} is {tuple(sizes[b].tolist())} and "
                f"{other!r} is {tuple(theirs[b].tolist())} (height, width): bring them to one size first (Resize, CenterCrop or Pad)"
            )
    return sizes


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make a transform class a value, a frozen dataclass: `@value class Crop(Geometric)`. It prints, compares, hashes, pickles."""
    return dataclasses.dataclass(frozen=True, repr=False)(cls)
