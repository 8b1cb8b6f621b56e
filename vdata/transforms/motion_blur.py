"""Softer along a line, as by a camera that moved while its shutter was open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._check import interval, put
from vdata.transforms._info import Info
from vdata.transforms._lift import is_rows
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._sometimes import Sometimes
from vdata.transforms.blur import blurred, odd


@op
def motion_blur(inpt: Any, kernel_size: Any, angle: Any) -> Any:
    """Each pixel the mean of those on a line through it; every channel, an alpha too.

    kernel_size  the line's length, an odd number of pixels
    angle        in degrees, counter-clockwise from the right (of the line, so 0 and 180 are the same)

    Both may be arrays with one a row of a stacked batch. The line has its middle on the pixel, so nothing moves and
    flows and labels stay true. A pixel weighs 1 minus its distance from the line, at least 0; the border is reflected
    and integers are rounded, as in `gaussian_blur`.

    >>> motion_blur(Image(torch.tensor([[[0, 0, 90, 0, 0]]], dtype=torch.uint8)), 3, 0.0).tolist()
    [[[0, 30, 30, 30, 0]]]
    """


@motion_blur.on(Image, Video)
def _(x: Image | Video, kernel_size: Any, angle: Any) -> Tensor:
    size, degrees = (np.asarray(torch.as_tensor(v).cpu() if is_rows(v) else v) for v in (kernel_size, angle))
    for side in size.ravel().tolist():
        odd(side)
    if not np.isfinite(degrees).all():
        raise ValueError(f"angle must be finite, got {angle}")
    rows = {len(v) for v in (size, degrees) if v.ndim}
    if rows and (x.ndim == x._core or rows != {len(x)}):
        raise ValueError(
            f"kernel_size and angle have {sorted(rows)} entries, one a row of a batch, but the {type(x).__name__} has shape "
            f"{list(x.shape)}"
        )
    return blurred(x.plain(), line(size, degrees))


def line(size: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Weights of a line through the middle, float64 [k, k] (of B lines [B, k, k], k the longest); they add up to 1."""
    half = int(size.max()) // 2
    down, right = np.mgrid[-half : half + 1, -half : half + 1]
    radians, ends = np.deg2rad(degrees)[..., None, None], (size[..., None, None] - 1) / 2
    along = right * np.cos(radians) - down * np.sin(radians)
    across = right * np.sin(radians) + down * np.cos(radians)
    weight = np.maximum(1 - np.hypot(np.maximum(np.abs(along) - ends, 0), across), 0)
    # cos(90 degrees) is not quite 0: without rounding a line would have neighbours of no weight, which take time.
    weight = np.round(weight, 9)
    return weight / weight.sum((-2, -1), keepdims=True)


@value
class MotionBlur(Sometimes):
    """Blur along a line of random length and angle, with probability `p`; nothing moves.

    kernel_size  odd: the shortest and the longest line in pixels, or the one length
    angle        in degrees, (least, greatest) or the one angle

    >>> MotionBlur(p=1.0)(Image(torch.rand(3, 8, 8))).shape
    torch.Size([3, 8, 8])
    """

    kernel_size: int | Sequence[int] = (3, 7)
    angle: float | Sequence[float] = (0.0, 360.0)
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes, angles = (v if isinstance(v, Sequence) else (v, v) for v in (self.kernel_size, self.angle))
        if len(sizes) != 2 or odd(sizes[0]) > odd(sizes[1]):
            raise ValueError(f"kernel_size must be an odd number or (least, greatest), got {self.kernel_size!r}")
        put(self, kernel_size=tuple(sizes), angle=interval(angles, "angle"))

    def draw(self, key: Key, info: Info) -> Params:
        least, greatest = self.kernel_size  # type: ignore[misc]
        steps = key.fold("kernel_size").integers(0, (greatest - least) // 2 + 1)
        return {
            **super().draw(key, info),
            "kernel_size": least + 2 * steps,
            "angle": key.fold("angle").uniform(*interval(self.angle, "angle")),
        }

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return motion_blur(image, params["kernel_size"], params["angle"])
