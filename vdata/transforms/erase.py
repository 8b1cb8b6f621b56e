"""Rectangles without content.

Labels stay as they are: what they mark is still there, only hidden. A Flow says how the pixels of its first frame move,
so where those are erased it becomes unknown (NaN). Erasing its second frame leaves it: the motion is still true and has
to be inferred, a simulated occlusion (as in RAFT, Teed and Deng, arXiv 2003.12039).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch, Ragged
from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import Flow, Image, Video
from vdata.transforms._base import Leaves, same_size, value
from vdata.transforms._check import interval, probability, put
from vdata.transforms._colour import clipped
from vdata.transforms._info import Info
from vdata.transforms._lift import has_rows
from vdata.transforms._noise import normal, uniform
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric
from vdata.transforms._pixels import colour
from vdata.transforms.dtype import greatest
from vdata.transforms.noise import drawn, for_leaf

_TRIES = 10


@op
def erase(inpt: Any, i: Any, j: Any, h: Any, w: Any, v: Any, inplace: bool = False) -> Any:
    """The rectangle of h rows from i and w columns from j becomes `v`; of a Flow it becomes unknown (NaN).

    i, j, h, w  whole numbers, the rectangle within the picture; or arrays with one a row of a stacked batch
    v           a number, one a channel, or a tensor that broadcasts over the rectangle (with arrays: over the picture)
    inplace     write into the given tensor

    >>> erase(Image(torch.ones(1, 2, 3)), 0, 1, 2, 1, 0.5).tolist()
    [[[1.0, 0.5, 1.0], [1.0, 0.5, 1.0]]]
    """


@erase.on(Image, Video)
def _(x: Image | Video, v: Any, **where: Any) -> Tensor:
    return _filled(x, contents(v, x), **where)


@erase.on(Flow)
def _(x: Flow, v: Any, **where: Any) -> Tensor:
    return _filled(x, torch.tensor(torch.nan, device=x.device), **where)


def _filled(x: Image | Video | Flow, new: Tensor, inplace: bool, **window: Any) -> Tensor:
    numbers = [np.asarray(torch.as_tensor(window[n]).cpu()) for n in "ijhw"]
    i, j, h, w = numbers
    if any(n.dtype.kind not in "iu" for n in numbers) or any((n < 0).any() for n in numbers):
        raise ValueError(f"a rectangle is given by whole numbers of at least 0, got {window}")
    if (i + h > x.shape[-2]).any() or (j + w > x.shape[-1]).any():
        raise ValueError(f"the rectangle {window} leaves the canvas of {x.canvas} (height, width)")
    plain = x.plain()
    if has_rows(window):
        rows = np.stack(np.broadcast_arrays(*numbers), -1)
        if x.ndim == x._core or len(rows) != len(x):
            raise ValueError(
                f"{len(rows)} rectangles, one a row of a batch, for a {type(x).__name__} of shape {list(x.shape)}"
            )
        out = torch.where(covered(rows[:, None], plain), new, plain)
        return plain.copy_(out) if inplace else out
    out = plain if inplace else plain.clone()
    out[..., int(i) : int(i + h), int(j) : int(j + w)] = new
    return out


def covered(windows: Any, x: Tensor) -> Tensor:
    """Which pixels of x [B, ..., H, W] lie in any of their row's rectangles: bool [B, 1, .., H, W], which broadcasts over x.

    windows  whole numbers [B, R, 4]: (top, left, height, width)
    """
    top, left, height, width = torch.as_tensor(np.asarray(windows, np.int64)).to(x.device).unsqueeze(-1).unbind(-2)
    down, right = (torch.arange(side, device=x.device) for side in x.shape[-2:])
    rows, columns = (down >= top) & (down < top + height), (right >= left) & (right < left + width)
    inside = (rows.mT.float() @ columns.float()) > 0  # how many rectangles each pixel lies in
    return inside.reshape(len(inside), *[1] * (x.ndim - 3), *inside.shape[1:])


def contents(v: Any, x: Tensor) -> Tensor:
    """What erased pixels become, in x's dtype; ValueError where that cannot hold it."""
    if isinstance(v, (int, float)):
        return colour(x, v)
    if not isinstance(v, Tensor):
        if len(v) not in (1, x.shape[-3]):
            raise ValueError(f"{len(v)} numbers to erase with, but the picture has {x.shape[-3]} channels")
        return torch.stack([colour(x, number) for number in v]).reshape(-1, 1, 1)
    if v.numel():
        for bound in torch.aminmax(v.double()):
            colour(x, bound.item())
    return v.to(x.device, x.dtype)


def erasing_value(v: Any, name: str) -> Any:
    """A number, a tuple of them, or "random"."""
    numbers = v if isinstance(v, Sequence) and not isinstance(v, str) else (v,)
    good = numbers and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    if v != "random" and not good:
        raise ValueError(f'{name} must be a number, a sequence with one a channel, or "random", got {v!r}')
    return tuple(v) if isinstance(v, list) else v


def frame_names(frames: Any) -> tuple[str, ...] | None:
    """Names of pictures, or None for all."""
    if isinstance(frames, str):
        raise ValueError(f"frames is a sequence of names, got {frames!r}")
    return None if frames is None else tuple(frames)


class Erasing(Photometric):
    """Rectangles erased from pictures, and from flows whose first frame they are: `windows` says which, `value` to what.

    A class draws "apply" (bool [B]) and, with `noise`, the sub-key of its random pixels.
    """

    p: float
    frames: Any
    rowwise = True
    inplace: ClassVar[Any] = False

    def windows(self, params: Params) -> Any:
        """The rectangles (top, left, height, width): [R, 4] of one row of params, int64 [B, R, 4] of B."""
        raise NoKernelError(f"{type(self).__name__} has no windows")  # abstract: every public class defines it

    @property
    def content(self) -> Any:
        """A number, a tuple with one a channel, or "random"."""
        raise NoKernelError(f"{type(self).__name__} has no content")  # abstract: every public class defines it

    def canvases(self, info: Info) -> np.ndarray:
        """int64 [B, 2]: the one size of the frames that are erased."""
        if self.frames is None:
            return same_size(self, info)
        unknown = [f for f in self.frames if f not in info.sizes]
        if unknown:
            raise PlanError(f"{self} erases from {unknown[0]!r}, but the sample's frames are {list(info.sizes)}")
        return same_size(self, info.resized({f: info.sizes[f] for f in self.frames}))

    def noise(self, key: Key) -> Params:
        """The sub-key of random pixels, where there are any."""
        return {"noise": key.fold("noise").bits} if self.content == "random" else {}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def read_by(self, leaves: Leaves) -> Leaves:
        pictures = super().read_by(leaves)
        hit = {n: v for n, v in pictures.items() if self.frames is None or n in self.frames}
        return {**hit, **{n: v for n, v in leaves.items() if not _first_frames(v).isdisjoint(hit)}}

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        if not self.chosen(params):
            return sample
        changed = {n: self._kept(v, self.change(for_leaf(params, n), v)) for n, v in self.read_by(sample).items()}
        return {**sample, **changed}

    def apply_rows(self, params: Params, batch: Batch) -> Any:
        if any(len(_first_frames(v)) > 1 for v in batch.values()):  # rows whose flows start from different frames
            return self._one_by_one(params, batch)
        return super().apply_rows(params, batch)

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        changed = {n: self._changed(for_leaf(params, n), v) for n, v in self.read_by(batch).items()}
        return batch.replace({**batch, **changed})

    def change(self, params: Params, image: Image | Video | Flow) -> Any:
        plain, new, windows = image.plain(), self._new(params, image), np.asarray(self.windows(params))
        if windows.ndim == 3:
            return image.like(torch.where(covered(windows, plain), new, plain))
        out, new = plain.clone(), new.expand(plain.shape)
        for top, left, height, width in windows.tolist():
            window = (..., slice(top, top + height), slice(left, left + width))
            out[window] = new[window]
        return image.like(out)

    def _kept(self, leaf: Any, changed: Any) -> Any:
        if not self.inplace or isinstance(leaf, Flow):
            return changed
        leaf.plain().copy_(changed.plain())
        return leaf

    def _new(self, params: Params, x: Image | Video | Flow) -> Tensor:
        if isinstance(x, Flow):
            return torch.tensor(torch.nan, dtype=x.dtype, device=x.device)
        plain = x.plain()
        if self.content != "random":
            return contents(self.content, plain)
        if plain.is_floating_point():
            return drawn(normal, params["noise"], plain).to(x.dtype)
        return clipped((drawn(uniform, params["noise"], plain).double() * (greatest(x.dtype) + 1.0)).floor_(), x.dtype)


def _first_frames(leaf: Any) -> set[str]:
    """The frames whose pixels move by this leaf, if it is a flow."""
    if isinstance(leaf, Flow):
        return {leaf.views[0]}
    ragged = isinstance(leaf, Ragged) and issubclass(leaf.type, Flow)
    return {m["views"][0] for m in leaf.metas} if ragged else set()


@value
class RandomErasing(Erasing):
    """With probability `p`, one rectangle erased from all frames, which must be of one size.

    scale    the rectangle's area, least and greatest share of the canvas
    ratio    its height over its width, least and greatest, drawn evenly in its logarithm
    value    what its pixels become: a number, one a channel, or "random": normal numbers in floating pictures, any level
             in integer ones; every picture gets its own
    inplace  write into the sample's own pictures (those of a batch, which others may hold, are copied all the same)
    frames   the names of the pictures to erase from, `frames=("image2",)`; None: all of them

    Ten draws are made; where none is smaller than the canvas both ways, nothing is erased (as torchvision). Labels stay;
    a flow becomes unknown where its first frame is erased, and stays where its second one is. `RandomFlowErasing` is
    RAFT's eraser.

    Source: Zhong et al., "Random Erasing Data Augmentation" (arXiv 1708.04896).

    >>> RandomErasing(1.0, value=0.5)(Image(torch.zeros(3, 32, 32))).unique().tolist()
    [0.0, 0.5]
    """

    p: float = 0.5
    scale: Sequence[float] = (0.02, 0.33)
    ratio: Sequence[float] = (0.3, 3.3)
    value: Any = 0.0
    inplace: bool = False
    frames: Any = None

    def __post_init__(self) -> None:
        probability(self.p)
        if interval(self.ratio, "ratio", 0)[0] == 0:
            raise ValueError(f"ratio must be above 0, got {self.ratio!r}")
        put(self, scale=interval(self.scale, "scale", 0, 1), ratio=interval(self.ratio, "ratio", 0))
        put(self, value=erasing_value(self.value, "value"), frames=frame_names(self.frames))

    @property
    def content(self) -> Any:
        return self.value

    def draw(self, key: Key, info: Info) -> Params:
        sizes = self.canvases(info)
        height, width = self._sides(key, sizes)
        fits = (height < sizes[:, :1]) & (width < sizes[:, 1:])
        first = np.arange(len(sizes)), fits.argmax(1)
        height, width = (np.where(fits.any(1), side[first], 0) for side in (height, width))
        return {
            "apply": key.fold("apply").bernoulli(self.p) & fits.any(1),
            "top": key.fold("top").integers(0, sizes[:, 0] - height + 1),
            "left": key.fold("left").integers(0, sizes[:, 1] - width + 1),
            "height": height,
            "width": width,
            **self.noise(key),
        }

    def _sides(self, key: Key, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heights and widths of all tries, int64 [B, tries] each."""
        area = sizes.prod(1, keepdims=True) * key.fold("scale").uniform(*interval(self.scale, "scale"), _TRIES)
        low, high = (math.log(r) for r in self.ratio)
        ratio = np.exp(key.fold("ratio").uniform(low, high, _TRIES))
        return np.rint(np.sqrt(area * ratio)).astype(np.int64), np.rint(np.sqrt(area / ratio)).astype(np.int64)

    def windows(self, params: Params) -> Any:
        return np.stack([np.asarray(params[n])[..., None] for n in ("top", "left", "height", "width")], -1)

    def apply_rows(self, params: Params, batch: Batch) -> Any:
        if self.inplace:
            return replace(self, inplace=False).apply_rows(params, batch)
        return super().apply_rows(params, batch)
