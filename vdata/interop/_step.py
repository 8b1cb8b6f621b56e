"""A transform of another library as one of ours: what the steps of torchvision, albumentations and kornia have in common."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import BoundingBoxes, Image, KeyPoints, TypedTensor
from vdata.transforms import Info, Instances, Params, Transform
from vdata.transforms._base import Leaves
from vdata.transforms._check import put, size_pair
from vdata.transforms._dropping import bound
from vdata.transforms._follow import swapped
from vdata.transforms._info import sizes_of
from vdata.transforms._instances import kept

# Three points of the unit canvas, handed over with key points that know left from right: turned over, they tell a mirror.
_CORNER = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75))


class Foreign(Transform):
    """One transform of another library, drawn for by key and applied to one sample at a time.

    The key becomes the seed of what the library draws from. What the library knows nothing of is kept: key points that are
    not labelled stay where they are, left and right change places (`swap`) where it mirrors. All leaves of a frame must
    lie on one canvas afterwards. Labels and what has no tensor type pass; numpy pictures [H, W, C] with 1, 3 or 4
    channels are taken as Images, as PIL images are.
    """

    package: ClassVar[str]
    instances: ClassVar[Any] = None
    stacks = False  # draws are a sample's own, and the libraries draw for a whole batch
    moves = True
    transform: Any
    size: Any

    def __post_init__(self) -> None:
        if self.size is not None and self.size != "same":
            put(self, size=size_pair(self.size))

    def run(self, seed: int, leaves: Leaves) -> tuple[Leaves, dict[str, Tensor]]:
        """The typed leaves that the library has moved, by name; and of boxes that it dropped some of, which rows are left."""
        raise NoKernelError(f"{type(self).__name__} has no run")  # abstract: every step defines it

    def admit(self, name: str, leaf: TypedTensor) -> None:
        """Raise NoKernelError for a leaf that the library cannot move."""

    def draw(self, key: Key, info: Info) -> Params:
        return {"seed": key.fold("seed").bits}

    def after(self, params: Params, info: Info) -> Info:
        info = info.dropped()
        if self.size == "same":
            return info
        sizes = {} if self.size is None else {n: np.full_like(s, self.size) for n, s in info.sizes.items()}
        return info.resized(sizes)

    def enter(self, leaves: Leaves) -> Leaves:
        if any(isinstance(v, np.ndarray) for v in leaves.values()):
            leaves = {n: _picture(v) if isinstance(v, np.ndarray) else v for n, v in leaves.items()}
        return super().enter(leaves)

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        before = sizes_of(sample)
        given = {n: _handed(v) for n, v in sample.items() if isinstance(v, TypedTensor)}
        for name, leaf in given.items():
            self.admit(name, leaf)
        moved, left = self.run(params["seed"], given)
        out = {n: self._taken(n, v, moved[n]) if n in moved else v for n, v in sample.items()}
        out = self._dropped(sample, out, left)
        self._agree(before, out)
        return out

    def refuse(self, name: str, leaf: Any, why: str) -> NoKernelError:
        """The error for a leaf that cannot be moved."""
        return NoKernelError(f"{self} cannot move {name!r} ({type(leaf).__name__}): {why}")

    def _taken(self, name: str, old: Any, new: Any) -> Any:
        """A leaf as the library moved it; key points with all that they carry."""
        if not isinstance(old, KeyPoints) or not isinstance(new, KeyPoints):
            return new
        points, mirrored = new.plain(), False
        if old.swap is not None and len(points) >= len(_CORNER):
            points, turned = points[: -len(_CORNER)], points[-len(_CORNER) :]
            across, down = turned[1] - turned[0], turned[2] - turned[0]
            mirrored = bool(across[0] * down[1] < across[1] * down[0])
        if points.numel() != old.numel():
            if old.ndim > 2 or old.visibility is not None:
                why = f"it keeps {len(points)} of {old.numel() // 2} points, and does not say which"
                raise self.refuse(name, old, why)
            return old.like(points, canvas_size=new.canvas_size)
        points, seen = points.reshape(old.shape), old.visibility
        if seen is not None:
            points = torch.where((seen == 0)[..., None], old.plain().to(points.dtype), points)  # not labelled: nowhere
            seen = torch.where(points.isfinite().all(-1), seen, 0)
        points, seen = swapped(points, seen, old, mirrored)
        return old.like(points, canvas_size=new.canvas_size, visibility=seen)

    def _dropped(self, sample: Leaves, out: Leaves, left: Mapping[str, Tensor]) -> Leaves:
        """What describes boxes that are gone, gone too; PlanError where the library dropped boxes alone and does not say which."""
        for anchor, boxes in sample.items():
            if not isinstance(boxes, BoundingBoxes):
                continue
            rows = left.get(anchor)
            if len(out[anchor]) == len(boxes) and (rows is None or torch.equal(rows, torch.arange(len(boxes)))):
                continue
            names = bound(sample, anchor, self.instances)
            if rows is not None:
                out = kept(out, dict.fromkeys(n for n in names if n != anchor), rows)
            Instances(*names).of(out)
        return out

    def _agree(self, before: Mapping[str, tuple[int, int]], out: Leaves) -> None:
        """Raise PlanError where a leaf lies elsewhere than the others of its frame, or than `size` says."""
        try:
            sizes = sizes_of(out)
        except PlanError as error:
            raise PlanError(f"{self} tore leaves of one frame apart: {error}") from None
        for frame, size in sizes.items():
            wanted = before.get(frame, size) if self.size == "same" else self.size or size
            if size != wanted:
                raise PlanError(
                    f"{self} made the canvas of {frame!r} {size} (height, width), and what follows was drawn for {wanted}: say size=(height, "
                    "width) if it always makes that one, or size=None and put what draws by the canvas in an .apply of its own"
                )

    def __repr__(self) -> str:
        """On one line and without addresses: a pipe's state tells by what is printed whether it was saved by the same pipe."""
        return f"{self.package}." + re.sub(r" at 0x[0-9a-f]+", "", " ".join(super().__repr__().split()))


def made_of(transform: Any) -> dict[Any, Any]:
    """What this thread has made of a transform: copies of those that keep what they draw in themselves."""
    return vars(_THREAD).setdefault("made", weakref.WeakKeyDictionary()).setdefault(transform, {})


_THREAD = threading.local()


def _handed(leaf: TypedTensor) -> TypedTensor:
    """A leaf as libraries take it: coordinates floating, so that none are cut off; key points loose, with what tells a mirror."""
    if isinstance(leaf, BoundingBoxes) and not leaf.is_floating_point():
        return leaf.float()
    if not isinstance(leaf, KeyPoints):
        return leaf
    points = leaf.plain().reshape(-1, 2)
    points = points if points.is_floating_point() else points.float()
    if leaf.swap is not None:
        height, width = leaf.canvas_size
        points = torch.cat([points, points.new_tensor(_CORNER) * points.new_tensor([width, height])])
    return KeyPoints(points, canvas_size=leaf.canvas_size, frame=leaf.frame)


def _picture(array: np.ndarray) -> Any:
    """A numpy picture as an Image, where its shape leaves no doubt: [H, W, 1, 3 or 4]; over its memory, where torch can lie there."""
    channels = (1, 3, 4)
    clear = array.ndim == 3 and array.shape[-1] in channels and array.shape[0] not in channels
    if not clear or array.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        return array
    return Image(torch.from_numpy(np.require(array, requirements=["C", "W"])).permute(2, 0, 1))
