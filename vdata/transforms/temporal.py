"""Fewer frames of a clip, and of all that has an entry a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch, Ragged
from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import Image, Label, TypedTensor, Video
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._check import put, whole
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms._rows import flat


def uniform_temporal_subsample(inpt: Any, num_samples: int) -> Any:
    """`num_samples` frames of a clip [..., T, C, H, W] at equal distances, from the first to the last.

    Frame k is the one at floor(k (T - 1) / (num_samples - 1)), in whole numbers; of more than T samples some repeat. A
    plain tensor is taken as a Video.

    >>> uniform_temporal_subsample(Video(torch.arange(10.0).reshape(10, 1, 1, 1)), 4).flatten().tolist()
    [0.0, 3.0, 6.0, 9.0]
    """
    if type(inpt) is Tensor:
        return uniform_temporal_subsample(Video(inpt), num_samples).plain()
    if not isinstance(inpt, Video):
        raise NoKernelError(
            f"uniform_temporal_subsample does not know the frames of a {type(inpt).__name__}, only of a Video: index others "
            "themselves, or name them in UniformTemporalSubsample(..., along=...)"
        )
    at = frames_at(inpt.shape[-4], num_samples).to(inpt.device)
    return inpt.like(inpt.plain().index_select(-4, at))


def frames_at(count: int, num_samples: int) -> Tensor:
    """Which of `count` frames are kept, int64 [num_samples]."""
    if count < 1:
        raise ValueError("a clip without frames has none to choose from")
    steps = torch.arange(whole(num_samples, "num_samples"))
    return steps * (count - 1) // max(num_samples - 1, 1)


@value
class UniformTemporalSubsample(Transform):
    """`num_samples` frames of every clip, at equal distances; see `uniform_temporal_subsample`.

    along  names of leaves that have an entry a frame in their first dimension (a Mask [T, H, W], BoundingBoxes [T, N, 4],
           KeyPoints [T, ...], a plain tensor [T, ...]): the same frames of them are kept
    still  names of leaves that hold for the clip as a whole: they stay

    Whether a leaf has an entry a frame cannot be told by its shape, so a spatial one that is named in neither raises
    (torchvision leaves its labels as they are, out of step with the clip). Labels and an Image [C, H, W] stay unless they
    are named.

    >>> sample = {"video": Video(torch.zeros(8, 3, 4, 4)), "mask": Mask(torch.zeros(8, 4, 4))}
    >>> UniformTemporalSubsample(2, along=("mask",))(sample)["mask"].shape
    torch.Size([2, 4, 4])
    """

    num_samples: int
    along: Any = ()
    still: Any = ()
    stacks = False

    def __post_init__(self) -> None:
        whole(self.num_samples, "num_samples")
        if isinstance(self.along, str) or isinstance(self.still, str):
            raise ValueError(f"along and still are sequences of names, got {self.along!r} and {self.still!r}")
        put(self, along=tuple(self.along), still=tuple(self.still))

    @property
    def passthrough(self) -> tuple[str, ...]:
        return self.along + self.still

    def __call__(self, *inputs: Any, key: Key | None = None) -> Any:
        if len(inputs) == 1 and type(inputs[0]) is Tensor:
            return super().__call__(Video(inputs[0]), key=key).plain()
        return super().__call__(*inputs, key=key)

    def after(self, params: Params, info: Info) -> Info:
        shorter = {n for n, kind in info.types.items() if kind == "Video" or _named(n, self.along)}
        shorter -= {n for n in shorter if _named(n, self.still)}
        counts = {n: np.full_like(c, self.num_samples) if n in shorter else c for n, c in info.counts.items()}
        return replace(info, counts=counts)

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return self._kept(sample, 0)

    def apply_rows(self, params: Params, batch: Batch) -> Any:
        if flat(batch) and not any(isinstance(v, Ragged) for v in batch.values()):
            return batch.replace(self._kept(batch, 1))
        return self._one_by_one(params, batch)

    def _kept(self, leaves: Mapping[str, Any], time: int) -> Leaves:
        """All leaves, where `time` is the dimension of those along the clip that has an entry a frame."""
        lengths = {v.shape[-4] for v in leaves.values() if isinstance(v, Video)}
        if not lengths:
            raise PlanError(
                f"{self} needs a Video, and the sample has only {list(leaves)}: wrap the clip in Video(...)"
            )
        return {n: self._part(n, v, lengths, time) for n, v in leaves.items()}

    def _part(self, name: str, leaf: Any, lengths: set[int], time: int) -> Any:
        if _named(name, self.still):
            return leaf
        if isinstance(leaf, Video):
            return uniform_temporal_subsample(leaf, self.num_samples)
        if _named(name, self.along):
            return self._along(name, leaf, lengths, time)
        if (
            not isinstance(leaf, TypedTensor)
            or isinstance(leaf, Label)
            or (isinstance(leaf, Image) and leaf.ndim == 3 + time)
        ):
            return leaf
        raise NoKernelError(
            f"{self} cannot tell by its shape {list(leaf.shape)} whether {name!r} ({type(leaf).__name__}) has an entry a frame: "
            f"name it in along=({name!r},) if it has, in still=({name!r},) if it holds for the clip as a whole"
        )

    def _along(self, name: str, leaf: Any, lengths: set[int], time: int) -> Any:
        if not isinstance(leaf, Tensor) or leaf.ndim <= time or leaf.shape[time] not in lengths:
            shape = list(leaf.shape[time:]) if isinstance(leaf, Tensor) else leaf
            raise ValueError(
                f"{self}: {name!r} should be a tensor with an entry a frame, {sorted(lengths)} of them, got {shape}"
            )
        at = frames_at(leaf.shape[time], self.num_samples).to(leaf.device)
        return leaf[at] if time == 0 else leaf[:, at]


def _named(name: str, names: tuple[str, ...]) -> bool:
    return name in names or name.rsplit(".", 1)[-1] in names
