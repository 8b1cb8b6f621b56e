"""What MixUp and CutMix share: one partner, a share of each, labels mixed by it, and torchvision's calls by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from vdata.batch import Batch
from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import Image, TypedTensor, Video
from vdata.transforms._base import Leaves, _bare_picture, check_leaves
from vdata.transforms._check import probability, put, whole
from vdata.transforms._draws import beta
from vdata.transforms._info import Info, flatten, unflatten
from vdata.transforms._instances import Instances, instances
from vdata.transforms._mixing import Mixing
from vdata.transforms._objects import object_names
from vdata.transforms._params import Params
from vdata.transforms._partners import aligned, called
from vdata.transforms._rows import stacked, take
from vdata.transforms._soft_labels import checked_getter, has_other_targets, label_name, mean, soft


class Blending(Mixing):
    """A sample and one other. `blended` does all leaves but the label, of one sample or of B stacked ones."""

    alpha: float
    num_classes: int | None
    labels_getter: Any
    p: float
    instances: Any

    def __post_init__(self) -> None:
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)) or not self.alpha > 0:
            raise ValueError(f"alpha must be a number above 0, got {self.alpha!r}")
        put(
            self,
            num_classes=None if self.num_classes is None else whole(self.num_classes, "num_classes"),
            labels_getter=checked_getter(self.labels_getter),
            p=probability(self.p),
            instances=None if self.instances is None else instances(self.instances),
        )

    @property
    def objects(self) -> Instances:
        """The names of leaves that describe objects."""
        return object_names(self.instances)

    def shares(self, key: Key) -> np.ndarray:
        """Each sample's own share, Beta(alpha, alpha), float64 [B]; 1 for samples that are not mixed."""
        return np.where(key.fold("apply").bernoulli(self.p), beta(key.fold("lam"), self.alpha, self.alpha), 1.0)

    def blended(self, params: Params, sample: Leaves, other: Leaves) -> Leaves:
        """The leaves mixed; `params` of one row, or of B with B stacked samples. Labels stay the sample's."""
        raise NoKernelError(f"{type(self).__name__} has no blended")  # abstract: MixUp and CutMix define it

    def after(self, params: Params, info: Info) -> Info:
        return info.dropped()

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample

    def mix(self, params: Params, sample: Leaves, others: Sequence[Leaves]) -> Leaves:
        label = self._label(sample, sample)
        own, other = aligned(self, [sample, *others])
        return self._labelled(params, self.blended(params, own, other), own, other, label, lead=0)

    def mix_rows(self, params: Params, batch: Batch, others: np.ndarray, pool: Batch | None = None) -> Batch:
        pool = batch if pool is None else pool
        if not stacked(batch) or not stacked(pool):
            return super().mix_rows(params, batch, others, pool)
        first = {n: v[0] for n, v in batch.items()}
        own, other, label = dict(batch), take(pool, others[:, 0]), self._label(first, first)
        return batch.replace(self._labelled(params, self.blended(params, own, other), own, other, label, lead=1))

    def _label(self, sample: Any, leaves: Leaves) -> str | None:
        name = label_name(self.labels_getter, sample, leaves, self.objects)
        if name is None and self.labels_getter is not None and not has_other_targets(leaves):
            raise PlanError(
                f"{self} found no label among {sorted(leaves)}: name it with labels_getter=..., or say labels_getter=None to mix pictures alone"
            )
        return name

    def _labelled(
        self, params: Params, mixed: Leaves, own: Leaves, other: Leaves, name: str | None, lead: int
    ) -> Leaves:
        if name is None:
            return mixed
        if name not in other:
            raise PlanError(
                f"{self} found the label {name!r} in {called(own)}, but not in its partner, {called(other)}"
            )
        here, there = (soft(leaves[name], self.num_classes, lead, name) for leaves in (own, other))
        if here.shape != there.shape:
            raise PlanError(
                f"{name!r} has shares of {here.shape[-1]} classes in {called(own)}, of {there.shape[-1]} in {called(other)}"
            )
        return {**mixed, name: mean(here, there, params["lam"])}

    def enter(self, leaves: Leaves) -> Leaves:
        """The label is known to be one, whatever its name and shape."""
        name = label_name(self.labels_getter, leaves, leaves, self.objects)
        rest = {n: v for n, v in leaves.items() if n != name}
        entered = super().enter(rest)
        return leaves if entered is rest else {**leaves, **entered}

    def __call__(self, *inputs: Any, key: Key | None = None) -> Any:
        """A `Batch`; or, as in torchvision, stacked pictures and labels: (images, labels), or a dict of them."""
        sample = inputs[0] if len(inputs) == 1 else inputs
        if isinstance(sample, Batch):
            return super().__call__(sample, key=key)
        leaves, shape = flatten(sample)
        bare = _bare_picture(sample, leaves)
        typed = leaves if bare is None else {**leaves, bare: _as_pictures(leaves[bare])}
        pictures = {n: v for n, v in typed.items() if isinstance(v, (Image, Video)) and v.ndim > v._core}
        if not pictures:
            return super().__call__(*inputs, key=key)
        given = label_name(self.labels_getter, sample, leaves, self.objects)
        size = _batch_size({**pictures, **({} if given is None else {given: leaves[given]})})
        rows = {n: v for n, v in typed.items() if isinstance(v, Tensor) and v.ndim and len(v) == size}
        check_leaves(self, {n: v for n, v in leaves.items() if n not in rows})
        rowwise = replace(self, labels_getter=given) if callable(self.labels_getter) else self  # type: ignore[type-var]
        mixed = rowwise.on_batch(Batch(rows, size), key)
        plain = {n: v.plain() if n == bare and isinstance(v, TypedTensor) else v for n, v in mixed.items()}
        return unflatten({**leaves, **plain}, shape)


def _as_pictures(x: Tensor) -> Tensor:
    return Image(x) if x.ndim < 5 else Video(x)


def _batch_size(leaves: Leaves) -> int:
    """How many rows pictures and labels have; ValueError where they differ."""
    odd = {n: v for n, v in leaves.items() if not isinstance(v, Tensor) or v.ndim == 0}
    if odd:
        raise ValueError(f"labels of a stacked batch must be a tensor with one row a sample, got {odd}")
    sizes = {n or "the picture": len(v) for n, v in leaves.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"pictures and labels must have one row a sample, but have {sizes}")
    return next(iter(sizes.values()))
