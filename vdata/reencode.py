"""Pictures written anew while packing: not larger than need be, in one format; JPEGs with restart markers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image as pillow

from vdata import codecs
from vdata.codecs.rows import with_rows
from vdata.encoded import Encoded
from vdata.errors import PlanError
from vdata.field import Field
from vdata.key import Key
from vdata.tensors import Image
from vdata.transforms import Compose, ResizeLongest
from vdata.transforms._base import value

_SUFFIX = {"jpeg": "jpg", "webp": "webp", "png": "png"}
_CHANNELS = {"jpeg": (1, 3), "webp": (1, 3, 4)}


@value
class _NotLonger(ResizeLongest):
    """`ResizeLongest` that leaves smaller frames as they are."""

    def place(self, params: Any, size: tuple[int, int]) -> dict[str, Any]:
        return {**super().place(params, size), "max_size": min(self.max_size, max(size))}

    def canvas(self, params: Any, sizes: np.ndarray) -> np.ndarray:
        return np.where(sizes.max(1, keepdims=True) > self.max_size, super().canvas(params, sizes), sizes)


@dataclass(frozen=True)
class Reencode:
    """A sample with its pictures written anew; without options it stays as it is.

    A picture that neither is too large nor has to change its format keeps its bytes: nothing is compressed twice in vain.

    longest   see `vdata.pack.pack`; so are the others
    """

    longest: int | None = None
    format: str | None = None
    quality: int = 90
    restart_markers: bool = False

    def __post_init__(self) -> None:
        if self.longest is not None and not (type(self.longest) is int and self.longest >= 1):
            raise PlanError(f"longest is a number of pixels, at least 1, got {self.longest!r}")
        if self.format is not None and self.format not in _SUFFIX:
            raise PlanError(f"format is one of {', '.join(map(repr, _SUFFIX))}, or None, got {self.format!r}")
        if not (type(self.quality) is int and 1 <= self.quality <= 100):
            raise PlanError(f"quality is a whole number from 1 to 100, got {self.quality!r}")

    def fields(self, known: Mapping[str, Field]) -> dict[str, Field]:
        """What is known of the fields afterwards."""
        return dict(known) if self.longest is None else {name: replace(field, shape=()) for name, field in known.items()}

    def __call__(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.longest is None and self.format is None and not self.restart_markers:
            return sample
        new = dict(sample) if self.longest is None else self._not_longer(sample, self.longest)
        for name, given in sample.items():
            if _is_picture(given):
                try:
                    new[name] = self._with_rows(self._written(given, new[name]))
                except PlanError as error:
                    raise PlanError(f"pack: field {name!r} of sample {sample.get('__key__')!r}: {error}") from None
        return new

    def _not_longer(self, sample: Mapping[str, Any], longest: int) -> dict[str, Any]:
        """The whole sample, decoded, so that boxes, masks, points and flow move with their pictures."""
        decoded = {n: codecs.decode(v, mode="unchanged") if isinstance(v, Encoded) else v for n, v in sample.items()}
        return dict(Compose([_NotLonger(longest)])(decoded, key=Key.of(0)))  # draws nothing: any key will do

    def _with_rows(self, picture: Encoded | Image) -> Encoded | Image:
        if not self.restart_markers or not isinstance(picture, Encoded) or codecs.kind(picture.data) != "jpeg":
            return picture
        return replace(picture, data=with_rows(picture.data))

    def _written(self, given: Encoded | Image, new: Encoded | Image) -> Encoded | Image:
        kind = codecs.kind(given.data) if isinstance(given, Encoded) else ""
        format = self.format or (kind if kind in _SUFFIX else "png")
        same_size = new is given or _size(new) == _size(given)
        if isinstance(given, Encoded) and same_size and self.format in (None, kind):
            return given
        if isinstance(given, Image) and self.format is None:
            return new  # written without loss, as tensors are
        image = codecs.decode(new, mode="unchanged") if isinstance(new, Encoded) else new
        if format == "png":
            suffix, data = codecs.encode(image)
        else:
            suffix, data = _SUFFIX[format], _compressed(image, format, self.quality)
        if isinstance(given, Encoded):
            return replace(given, data=data, suffix=suffix)
        field = codecs.field_of(image, suffix)
        return Encoded(data, "Image", suffix, field.codec, field.meta)


def _is_picture(value: Any) -> bool:
    if isinstance(value, Encoded):
        return value.type == "Image" or (not value.type and codecs.kind(value.data) in (*_SUFFIX, "ppm", "gif", "bmp", "tiff"))
    return isinstance(value, Image)


def _size(picture: Encoded | Image) -> tuple[int, int]:
    return codecs.size(picture) if isinstance(picture, Encoded) else picture.canvas


def _compressed(image: Image, format: str, quality: int) -> bytes:
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] not in _CHANNELS[format]:
        raise PlanError(
            f"format={format!r} holds uint8 pictures of {' or '.join(map(str, _CHANNELS[format]))} channels, this is {image.dtype} {list(image.shape)}: "
            "put .apply(T.ToDtype(torch.uint8, scale=True)) or .apply(T.RGB()) before .pack"
        )
    pixels = image.plain().cpu().movedim(0, -1).contiguous().numpy()
    picture = pillow.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    how = {"lossless": quality == 100} if format == "webp" else {}
    file = io.BytesIO()
    try:
        picture.save(file, format.upper(), quality=quality, **how)
    except (OSError, ValueError) as error:
        raise PlanError(f"a picture of {list(image.shape)} cannot be written as {format}: {error}") from None
    return file.getvalue()
