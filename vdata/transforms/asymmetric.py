"""Colours of two frames changed alike, or now and then each in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from vdata.batch import Batch
from vdata.errors import PlanError
from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import Leaves, value
from vdata.transforms._check import probability
from vdata.transforms._info import Info
from vdata.transforms._pairs import by_shape
from vdata.transforms._params import Params, rows_of
from vdata.transforms._tiles import Window, in_tiles, tileable
from vdata.transforms.color import ColorJitter

Change = Callable[[Params, Any], Any]


@value
class AsymmetricColorJitter(ColorJitter):
    """`ColorJitter`; with probability `p` every picture of a sample gets factors and an order of its own, else all the same.

    What is the same for all is one function of colour: where pictures agree in channels and dtype, contrast turns about
    the mean grey of all of them together (as in RAFT, which joins the frames; torchvision's references take each
    frame's own mean, so that what was equally bright in both frames is not any more). A clip is one picture.

    >>> out = AsymmetricColorJitter(0.4, contrast=0.4, p=0.2)({"image1": Image(torch.rand(3, 4, 4)), "image2": Image(torch.rand(3, 4, 4))})
    >>> out["image2"].shape
    torch.Size([3, 4, 4])
    """

    p: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        probability(self.p)

    def draw(self, key: Key, info: Info) -> Params:
        alone = key.fold("asymmetric").bernoulli(self.p)
        shared = super().draw(key.fold("shared"), info)
        own = {f: ColorJitter.draw(self, key.fold("frame", f), info) for f in info.sizes}
        frames = {f: _either(alone, drawn, shared) for f, drawn in own.items()}
        return {"asymmetric": alone, "frames": frames}

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return self.apply_seen(params, sample, {})

    def apply_seen(self, params: Params, sample: Leaves, seen: Mapping[str, Window]) -> Leaves:
        """`apply` where of some pictures only a window will be looked at: what lies outside of it may be anything."""
        pictures = {n: v for n, v in sample.items() if isinstance(v, (Image, Video))}
        return {**sample, **self._jittered(params, pictures, params["asymmetric"], self.change, seen)}

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        asymmetric = np.asarray(params["asymmetric"], np.int64)
        change = lambda rows, part: self._jittered(rows_of(params, rows), part, asymmetric[rows[0]], self._changed, {})
        return by_shape(batch, self.read_by(batch), [asymmetric], change)

    def _jittered(self, params: Params, pictures: Leaves, asymmetric: Any, change: Change, seen: Mapping[str, Window]) -> Leaves:
        kinds: dict[Any, list[str]] = {}
        for name, picture in pictures.items():
            kind = name if asymmetric else (type(picture), picture.shape[:-2], picture.dtype)
            kinds.setdefault(kind, []).append(name)
        return {n: v for names in kinds.values() for n, v in self._as_one(params, names, pictures, change, seen).items()}

    def _as_one(self, params: Params, names: list[str], pictures: Leaves, change: Change, seen: Mapping[str, Window]) -> Leaves:
        """Pictures as one: every verb works pixel by pixel, but for the mean grey, which is then that of all."""
        first, own, plain = pictures[names[0]], _own(params, names[0]), [pictures[n].plain() for n in names]
        if all(tileable(p, own) for p in plain):
            outs = in_tiles(plain, self.steps(own, first), [seen.get(n) for n in names])
            return {n: pictures[n].like(out) for n, out in zip(names, outs)}
        if len(names) == 1:
            return {names[0]: change(own, first)}
        lines = [p.flatten(-2) for p in plain]
        changed = change(own, first.like(torch.cat(lines, -1).unsqueeze(-2))).plain()
        parts = changed.squeeze(-2).split([line.shape[-1] for line in lines], -1)
        return {n: pictures[n].like(part.reshape(pictures[n].shape)) for n, part in zip(names, parts)}


def _either(first: np.ndarray, one: Params, other: Params) -> Params:
    """Of each sample the one params or the other."""
    return {n: np.where(first.reshape(-1, *[1] * (v.ndim - 1)), v, other[n]) for n, v in one.items()}


def _own(params: Params, name: str) -> Params:
    if name not in params["frames"]:
        raise PlanError(
            f"AsymmetricColorJitter drew for the pictures {sorted(params['frames'])}, but the sample has {name!r}: draw for it"
        )
    return params["frames"][name]
