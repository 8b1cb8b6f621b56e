"""The end of nearly every list of transforms, bytes to normalised floats, for a whole batch in one pass through its memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.compiled.floats import normalised, scaled
from vdata.slabs import Slabs
from vdata.tensors import Image, TypedTensor, Video
from vdata.transforms._rows import is_aside
from vdata.transforms.container import Compose
from vdata.transforms.dtype import Normalize, ToDtype, normalisers

_BLOCK = 1 << 17  # numbers: a block of them, as floats, stays in a core's cache from its first operation to its last


def split_floats(transform: Any) -> tuple[Compose, Floats] | None:
    """A list without the conversion to float32 at its end, and that; None for one that has none, or nothing else."""
    if type(transform) is not Compose or transform.fuse:
        return None
    steps = list(transform.transforms)
    last = steps.pop() if isinstance(steps[-1], Normalize) else None
    if last is not None and last.inplace:
        return None
    if len(steps) < 2 or type(steps[-1]) is not ToDtype or steps[-1].dtype is not torch.float32:
        return None
    return replace(transform, transforms=tuple(steps[:-1])), Floats(steps[-1], last)


@dataclass(frozen=True)
class Floats:
    """`ToDtype(torch.float32)` and `Normalize` of a batch's pictures, written into memory that is used again."""

    to_dtype: ToDtype
    normalize: Normalize | None
    slabs: Slabs = field(default_factory=Slabs, compare=False)
    levels: dict[int, list[np.ndarray]] = field(default_factory=dict, compare=False)  # of so many channels, the means and the stds

    def __call__(self, batch: Batch) -> Batch:
        leaves = {n: self._converted(v) if self._quick(v) else v for n, v in batch.items()}
        rest: Mapping[str, Any] = {n: v for n, v in leaves.items() if v is batch[n] and not _no_picture(n, v)}
        for step in (self.to_dtype, self.normalize) if rest else ():
            rest = step.apply_rows({}, batch.replace(rest)) if step is not None else rest
        return batch.replace({n: rest.get(n, v) for n, v in leaves.items()})

    def _quick(self, leaf: Any) -> bool:
        return isinstance(leaf, Image | Video) and leaf.device.type == "cpu" and leaf.dtype == torch.uint8

    def _converted(self, leaf: TypedTensor) -> TypedTensor:
        pictures, out = leaf.plain(), self.slabs.take(leaf.shape, torch.float32)
        if pictures.is_contiguous() and pictures.ndim > 3 and normalised.pays(out.numel()):
            self._in_one_loop(pictures, out)
            return leaf.like(out)
        offsets = [] if self.normalize is None else normalisers(out, self.normalize.mean, self.normalize.std)
        rows = max(1, _BLOCK // max(1, pictures[:1].numel()))
        for start in range(0, len(pictures), rows):
            block = out[start : start + rows].copy_(pictures[start : start + rows])
            # The very operations of the two transforms, in place.
            if self.to_dtype.scale:
                block.mul_(1.0 / 255)
            if offsets:
                block.sub_(offsets[0]).div_(offsets[1])
        return leaf.like(out)

    def _in_one_loop(self, pictures: Tensor, out: Tensor) -> None:
        flat, into, (*some, channels, height, width) = pictures.numpy().reshape(-1), out.numpy().reshape(-1), pictures.shape
        factor = np.float32(1.0 / 255 if self.to_dtype.scale else 1)
        if self.normalize is None:
            scaled(flat, into, factor)
            return
        if channels not in self.levels:
            pair = normalisers(torch.empty(channels, 1, 1), self.normalize.mean, self.normalize.std)
            self.levels[channels] = [v.expand(channels, 1, 1).numpy().reshape(-1) for v in pair]
        normalised(flat, into, math.prod(some), channels, height * width, factor, *self.levels[channels])


def _no_picture(name: str, leaf: Any) -> bool:
    """Whether a leaf is surely nothing that becomes floats."""
    return is_aside(name) or (isinstance(leaf, Tensor) and not isinstance(leaf, Image | Video))
