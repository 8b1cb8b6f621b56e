"""What JPEG compression does to a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._check import put, whole
from vdata.transforms._colour import factor, on_colour
from vdata.transforms._info import Info
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric


@op
def jpeg(image: Any, quality: Any) -> Any:
    """Compressed by JPEG and decompressed again, by Pillow on the CPU, one picture or frame after the other.

    quality  1 (small and coarse) to 100, or an array with one a row of a stacked batch

    uint8 of 1 (grey), 3 (RGB) or 4 channels, whose alpha stays as it is; TypeError for other dtypes.

    >>> jpeg(Image(torch.full((3, 8, 8), 200, dtype=torch.uint8)), 90).unique().tolist()
    [200]
    """


@jpeg.on(Image, Video)
def _(x: Image | Video, quality: Any) -> Tensor:
    if x.dtype != torch.uint8:
        raise TypeError(
            f"JPEG stores 8 bits a channel, and this {type(x).__name__} is {str(x.dtype).removeprefix('torch.')}: "
            "put ToDtype(torch.uint8, scale=True) before it"
        )
    factor(quality, "quality", x, 1, 100)
    levels = np.asarray(quality)
    if levels.dtype.kind not in "iu":
        raise ValueError(f"quality must be a whole number from 1 to 100, got {quality}")
    return on_colour(x.plain(), lambda rgb: _compressed(rgb, levels))


def _compressed(x: Tensor, quality: np.ndarray) -> Tensor:
    if x.numel() == 0:
        return x
    pictures = x.reshape(-1, *x.shape[-3:]).movedim(-3, -1).cpu().numpy()
    each = np.repeat(quality.reshape(-1), len(pictures) // quality.size)
    done = np.stack([_through_jpeg(p, int(q)) for p, q in zip(pictures, each, strict=True)])
    return torch.from_numpy(done).movedim(-1, -3).reshape(x.shape).contiguous().to(x.device)


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """[H, W, C] there and back."""
    file = io.BytesIO()
    PIL.Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(file, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(file, formats=("JPEG",))).reshape(picture.shape)


@value
class JPEG(Photometric):
    """JPEG artefacts of one quality from 1 to 100, or of one drawn from (least, greatest), both included.

    uint8 pictures only. Pillow does one picture after the other, so a batch costs what its samples cost, and pictures on
    a GPU travel to the CPU and back.

    >>> JPEG((5, 50))(Image(torch.zeros(3, 8, 8, dtype=torch.uint8))).shape
    torch.Size([3, 8, 8])
    """

    quality: int | Sequence[int]
    rowwise = True

    def __post_init__(self) -> None:
        given = self.quality if isinstance(self.quality, Sequence) else (self.quality, self.quality)
        if len(given) != 2 or not whole(given[0], "quality") <= whole(given[1], "quality") <= 100:
            raise ValueError(
                f"quality must be a whole number from 1 to 100, or (least, greatest), got {self.quality!r}"
            )
        put(self, quality=tuple(given))

    def draw(self, key: Key, info: Info) -> Params:
        least, greatest = self.quality  # type: ignore[misc]
        return {"quality": key.fold("quality").integers(least, greatest + 1)}

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return jpeg(image, params["quality"])
