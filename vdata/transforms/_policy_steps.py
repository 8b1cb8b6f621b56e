"""The ops of the automatic augmentations as small transforms: geometry moves all leaves together, colour the pictures.

An op's row of params is its magnitude bin and its sign; what that comes to in pixels depends on the size of each frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from vdata.batch import Batch
from vdata.key import Key
from vdata.tensors import Flow, Image, TypedTensor, Video
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._geometric import Geometric, Placed
from vdata.transforms._info import Info
from vdata.transforms._op import SpatialOp
from vdata.transforms._params import Params, row, rows_of
from vdata.transforms._photometric import Photometric
from vdata.transforms._policy import FACTORS, GEOMETRIC, IDENTITY, OPS, Space, reading, strengths
from vdata.transforms._rows import part_of, rejoin
from vdata.transforms.affine import affine
from vdata.transforms.color import adjust_brightness, adjust_contrast, adjust_saturation
from vdata.transforms.dtype import greatest, value_bits
from vdata.transforms.histogram import autocontrast, equalize
from vdata.transforms.levels import invert, posterize, solarize
from vdata.transforms.pad import fill_by_type
from vdata.transforms.rotate import rotate
from vdata.transforms.sharpness import adjust_sharpness

_BY_FACTOR = dict(zip(FACTORS, (adjust_brightness, adjust_saturation, adjust_contrast, adjust_sharpness), strict=True))
_PLAIN = {"AutoContrast": autocontrast, "Equalize": equalize, "Invert": invert}


def geometry(name: str, amount: Any) -> dict[str, Any]:
    """The arguments of a geometric op's verb (rotate or affine); the amount is signed, a number or one a row."""
    if name == "Rotate":
        return {"angle": amount}
    none = np.zeros_like(amount)
    pair = np.stack((amount, none) if name.endswith("X") else (none, amount), -1)
    if name.startswith("Translate"):
        return {"angle": 0.0, "translate": _argument(pair), "scale": 1.0, "shear": (0.0, 0.0)}
    # The first corner stays, and the amount is the tangent of affine's angle.
    shear = _argument(np.degrees(np.arctan(pair)))
    return {"angle": 0.0, "translate": (0, 0), "scale": 1.0, "shear": shear, "center": (0, 0)}


def _argument(pair: np.ndarray) -> Any:
    return pair if pair.ndim > 1 else tuple(pair.tolist())


def verb_of(name: str) -> SpatialOp:
    """The verb of a geometric op."""
    return rotate if name == "Rotate" else affine


def recoloured(name: str, image: Image | Video, amount: Any) -> Image | Video:
    """A picture under a photometric op; the amount is signed, a number or one a row."""
    if name in _BY_FACTOR:
        return _BY_FACTOR[name](image, 1.0 + amount)
    if name == "Posterize":
        return posterize(image, amount.astype(np.int64))
    if name == "Solarize":
        return solarize(image, _threshold(amount, image.dtype))
    return _PLAIN[name](image)


def _threshold(share: Any, dtype: torch.dtype) -> Any:
    """Where solarize begins: for few levels in float32, in which torch compares them (a third of 255 is then 85)."""
    threshold = share * float(greatest(dtype))
    few = not dtype.is_floating_point and value_bits(dtype) <= 16
    return np.float32(threshold) if few else threshold


@value
class Moved(Geometric):
    """A geometric op, done to every leaf; translation goes by the size of each frame."""

    name: str
    space: Space
    bins: int
    interpolation: Any
    fill: Any

    @property
    def op(self) -> SpatialOp:
        return verb_of(self.name)

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        amount = self.space.amounts(self.name, self.bins, size)[params["magnitude"]] * params["sign"]
        return {**geometry(self.name, amount), "interpolation": self.interpolation, "fill": fill_by_type(self.fill)}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return sizes

    def moved(self, value: TypedTensor, placed: Placed, frame: str) -> Any:
        if isinstance(value, Flow):  # always with both frames' arguments: they may be arrays, which do not compare
            return self.op(value, **(placed[frame] or {}), target=placed[value.views[1]])
        return super().moved(value, placed, frame)


@value
class Recoloured(Photometric):
    """A photometric op, done to pictures and clips."""

    name: str
    space: Space
    bins: int
    rowwise = True

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        amount = self.space.amounts(self.name, self.bins)[params["magnitude"]] * params["sign"]
        return recoloured(self.name, image, amount)


class Policy(Transform):
    """Ops one after the other, each sample's own: params "op", "magnitude" and "sign" are int64 [B, steps].

    An op is its place in `ops`, a magnitude its bin in `space`.
    """

    ops: ClassVar[tuple[str, ...]] = OPS
    space: ClassVar[Space]
    bins: int
    interpolation: Any
    fill: Any
    geometric: bool
    moves = True

    def __post_init__(self) -> None:
        reading(self)

    def plan(self, key: Key, op: np.ndarray, magnitude: np.ndarray) -> Params:
        """Params of the ops that were drawn; where geometry is left out it becomes Identity."""
        return strengths(key, op if self.geometric else np.where(GEOMETRIC[op], IDENTITY, op), magnitude)

    def chosen(self, params: Params) -> Any:
        return np.any(np.not_equal(params["op"], IDENTITY), axis=-1)

    def step(self, op: int) -> Transform:
        """The transform that does an op."""
        if GEOMETRIC[op]:
            return Moved(OPS[op], self.space, self.bins, self.interpolation, self.fill)
        return Recoloured(OPS[op], self.space, self.bins)

    def steps(self, params: Params) -> Iterator[tuple[Transform, Params]]:
        """What one row of params does, in turn."""
        for op, magnitude, sign in zip(params["op"], params["magnitude"], params["sign"], strict=True):
            if op != IDENTITY:
                yield self.step(op), {"magnitude": magnitude, "sign": sign}

    def after(self, params: Params, info: Info) -> Info:
        """Canvases stay; boxes move along."""
        boxes = {n: [self.apply(row(params, b), {n: v})[n] for b, v in enumerate(vs)] for n, vs in info.boxes.items()}
        return replace(info, boxes=boxes)

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        for step, own in self.steps(params):
            sample = step.apply(own, sample)
        return sample

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        for step, own in reversed(list(self.steps(row(params, 0)))):
            sample = step.inverse({n: np.array([v]) for n, v in own.items()}, sample, info)
        return sample

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        """Step by step, the samples of one op together."""
        for turn in range(params["op"].shape[1]):
            here = {n: v[:, turn] for n, v in params.items()}
            ops = np.unique(here["op"])
            groups = [np.flatnonzero(here["op"] == op) for op in ops]
            parts = [self._together(int(op), here, batch, rows) for op, rows in zip(ops, groups, strict=True)]
            batch = rejoin(parts, groups, batch)
        return batch

    def _together(self, op: int, params: Params, batch: Batch, rows: np.ndarray) -> Batch:
        part = part_of(batch, rows)
        return part if op == IDENTITY else self.step(op).apply_rows(rows_of(params, rows), part)
