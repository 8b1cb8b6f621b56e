"""Change the canvas's resolution by a random amount."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vdata.errors import NoKernelError
from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import interval, put, size_pair, whole
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms.interpolation import tensor_mode
from vdata.transforms.resize import BILINEAR, resize, resized_sizes

_LOST = 1e-6  # of a pixel: less than any ratio of sizes means, more than rounding takes from it


def scaled(sizes: np.ndarray, ratio: Any) -> np.ndarray:
    """Sides [..., 2] times a ratio ([...], or one), cut to whole pixels as torchvision cuts them, of at least one.

    11 times 15 / 11 is 15 here: by floats alone it is a hair less, so that torchvision makes 14 of it.

    >>> scaled(np.array([[11, 22]]), np.array([15 / 11])).tolist()
    [[15, 30]]
    """
    exact = sizes * np.asarray(ratio, np.float64)[..., None]
    return np.maximum(np.floor(exact + _LOST), 1).astype(np.int64)


def plain(size: np.ndarray) -> Any:
    """The sides of one canvas as a tuple; of B canvases as they are."""
    return size if size.ndim > 1 else tuple(size.tolist())


class Scaled(Geometric):
    """Resizes each frame to sides that depend on what was drawn and on the frame's own: `sides` says which."""

    interpolation: Any
    antialias: bool | None
    op = resize

    def sides(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        """New (height, width), int64 [B, 2], of canvases [B, 2] under params with B rows; or [2] of [2] under one."""
        raise NoKernelError(f"{type(self).__name__} has no sides")  # abstract: every public class defines it

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        sides = plain(self.sides(params, np.array(size, np.int64)))
        return {"size": sides, "interpolation": self.interpolation, "antialias": self.antialias}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return self.sides(params, sizes)


@value
class RandomResize(Geometric):
    """Resize the shorter side to a whole number drawn evenly from min_size to max_size - 1, the longer by its ratio.

    Where both are equal that is the size (torchvision raises). One draw for all frames, of any sizes.

    >>> RandomResize(4, 4)(Image(torch.zeros(3, 8, 16))).shape
    torch.Size([3, 4, 8])
    """

    min_size: int
    max_size: int
    interpolation: Any = BILINEAR
    antialias: bool | None = True
    op = resize

    def __post_init__(self) -> None:
        put(self, min_size=whole(self.min_size, "min_size"), max_size=whole(self.max_size, "max_size"))
        if self.max_size < self.min_size:
            raise ValueError(f"max_size ({self.max_size}) must not be below min_size ({self.min_size})")
        put(self, interpolation=tensor_mode(self.interpolation, self.antialias))

    def draw(self, key: Key, info: Info) -> Params:
        return {"size": key.fold("size").integers(self.min_size, max(self.max_size, self.min_size + 1))}

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return {"size": params["size"], "interpolation": self.interpolation, "antialias": self.antialias}

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        out = np.empty_like(sizes)
        for short in np.unique(params["size"]):
            rows = params["size"] == short
            out[rows] = resized_sizes(sizes[rows], int(short))
        return out


@value
class RandomShortestSize(Scaled):
    """Resize the shorter side to one of `min_size`, drawn evenly; where the longer would pass `max_size`, that to it.

    Sides are cut to whole pixels as in torchvision, but the side that is asked for comes out as asked: torchvision's
    rounding takes a pixel from it at some sizes.

    >>> RandomShortestSize([4], max_size=6)(Image(torch.zeros(3, 8, 16))).shape
    torch.Size([3, 3, 6])
    """

    min_size: Any
    max_size: int | None = None
    interpolation: Any = BILINEAR
    antialias: bool | None = True

    def __post_init__(self) -> None:
        given = self.min_size if isinstance(self.min_size, Sequence) else (self.min_size,)
        if isinstance(given, str) or not given:
            raise ValueError(f"min_size is a whole number or several, got {self.min_size!r}")
        put(self, min_size=tuple(whole(s, "min_size") for s in given))
        put(self, max_size=None if self.max_size is None else whole(self.max_size, "max_size"))
        put(self, interpolation=tensor_mode(self.interpolation, self.antialias))

    def draw(self, key: Key, info: Info) -> Params:
        return {"min_size": np.array(self.min_size)[key.fold("min_size").integers(0, len(self.min_size))]}

    def sides(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        ratio = params["min_size"] / sizes.min(-1)
        if self.max_size is not None:
            ratio = np.minimum(ratio, self.max_size / sizes.max(-1))
        return scaled(sizes, ratio)


@value
class ScaleJitter(Scaled):
    """Resize to `target_size` times a number drawn evenly from `scale_range`, keeping the ratio of the sides.

    target_size  (height, width), or the side of a square: at scale 1 the canvas just fits into it. torchvision alone
                 among its transforms takes (width, height) here, which for squares is the same

    With `FixedSizeCrop(target_size)` after it this is large scale jitter. Source: Ghiasi et al., "Simple Copy-Paste is
    a Strong Data Augmentation Method for Instance Segmentation", CVPR 2021.

    >>> ScaleJitter((8, 12), (1.0, 1.0))(Image(torch.zeros(3, 16, 16))).shape
    torch.Size([3, 8, 8])
    """

    target_size: Any
    scale_range: tuple[float, float] = (0.1, 2.0)
    interpolation: Any = BILINEAR
    antialias: bool | None = True

    def __post_init__(self) -> None:
        put(self, target_size=size_pair(self.target_size, "target_size"))
        put(self, scale_range=interval(self.scale_range, "scale_range", 0))
        put(self, interpolation=tensor_mode(self.interpolation, self.antialias))

    def draw(self, key: Key, info: Info) -> Params:
        return {"scale": key.fold("scale").uniform(*self.scale_range)}

    def sides(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        fitting = (np.array(self.target_size) / sizes).min(-1)
        return scaled(sizes, fitting * params["scale"])
