"""What all pictures share: pixels fit to be shown, colours, type, smooth drawing, saving."""

from __future__ import annotations

import io
import math
import os
import unicodedata
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from PIL import ImageDraw, ImageFont
from torch import Tensor

from vdata.tensors import Image, TypedTensor

Colour = tuple[int, int, int]

PAPER: Colour = (250, 250, 248)
INK: Colour = (32, 33, 36)
GREY: Colour = (116, 120, 126)
HAIRLINE: Colour = (214, 215, 216)
UNKNOWN: Colour = (58, 60, 64)

_SMOOTH = 3  # overlays are painted this many times larger and shrunk,
_SMOOTH_UP_TO = 2_000_000  # up to this many pixels: beyond, lines are fine as they are and memory is not


def plain(value: Tensor) -> Tensor:
    """An ordinary tensor on the CPU, without gradient."""
    return (value.plain() if isinstance(value, TypedTensor) else value).detach().cpu()


def picture(image: Tensor) -> Image:
    """Any image as one that a screen shows: uint8 [3, H, W].

    uint8 stays; uint16 is scaled by 1/257; bool is black and white; float 0..1 is scaled by 255, and a float image with
    values outside 0..1 (normalised, say) is stretched from its least to its greatest first. One channel becomes three,
    a fourth (alpha) is left out. Other shapes and dtypes raise ValueError.

    >>> picture(torch.tensor([[[0.0, 0.5, 1.0]]]))[0].tolist()
    [[0, 128, 255]]
    """
    data = plain(image)
    data = data[None] if data.ndim == 2 else data
    if data.ndim != 3 or data.shape[0] not in (1, 3, 4) or 0 in data.shape:
        raise ValueError(f"a picture is one image, [C, H, W] with 1, 3 or 4 channels, got shape {list(image.shape)}")
    data = _eight_bit(data[:3])
    return Image(data.expand(3, -1, -1).contiguous())


def _eight_bit(data: Tensor) -> Tensor:
    if data.dtype == torch.uint8:
        return data
    if data.dtype == torch.bool:
        return data.to(torch.uint8) * 255
    if data.dtype == torch.uint16:
        return data.to(torch.float32).div(257).round().to(torch.uint8)
    if not data.is_floating_point():
        raise ValueError(f"a picture is uint8, uint16, bool or float, got {data.dtype}: draw_masks shows ids")
    data = data.float().nan_to_num(0.0, 0.0, 0.0)
    low, high = data.min().item(), data.max().item()
    slack = 1 / 255  # an interpolation that overshoots by a level is no reason to stretch
    if low < -slack or high > 1 + slack:
        data = (data - low) / max(high - low, torch.finfo(torch.float32).tiny)
    return data.clamp(0, 1).mul(255).round().to(torch.uint8)


def to_pil(image: Tensor) -> PIL.Image.Image:
    """Any image, as `picture` shows it, for Pillow."""
    return PIL.Image.fromarray(picture(image).plain().permute(1, 2, 0).numpy().copy())


def from_pil(image: PIL.Image.Image) -> Image:
    """A Pillow image as uint8 [3, H, W]."""
    return Image(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous())


_WIDEST, _NARROWEST, _TALLEST = 6.0, 0.25, 2.0  # of pictures beside others, in heights of the line


def beside(canvas: tuple[int, int], height: int) -> tuple[int, int]:
    """(height, width) of a picture in a line of pictures: their common height, but for one that would be so wide that it fills
    the line, which is lower, or so narrow that nothing is seen on it, which is up to twice as high.

    >>> beside((100, 150), 50), beside((100, 2000), 50), beside((1000, 10), 50)
    ((50, 75), (15, 300), (100, 1))
    """
    high, wide = canvas
    scale = height / high
    if wide * scale > _WIDEST * height:
        scale = _WIDEST * height / wide
    elif wide * scale < _NARROWEST * height:
        scale = min(_NARROWEST * height / wide, _TALLEST * height / high)
    return max(1, round(high * scale)), max(1, round(wide * scale))


def scaled(image: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    """The image at (height, width): shrunk smoothly, enlarged with its pixels showing."""
    shrunk = size[0] < image.height
    return image.resize((size[1], size[0]), PIL.Image.Resampling.LANCZOS if shrunk else PIL.Image.Resampling.NEAREST)


def overlay(image: PIL.Image.Image, paint: Callable[[ImageDraw.ImageDraw, int], None]) -> PIL.Image.Image:
    """The image under what `paint(draw, scale)` draws, with smooth edges: coordinates and widths are times `scale`."""
    scale = _SMOOTH if image.width * image.height <= _SMOOTH_UP_TO else 1
    layer = PIL.Image.new("RGBA", (image.width * scale, image.height * scale))
    paint(ImageDraw.Draw(layer), scale)
    return PIL.Image.alpha_composite(image.convert("RGBA"), layer.reduce(scale)).convert("RGB")


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font."""
    return ImageFont.load_default(size=size)


def text(value: object) -> str:
    """A string in the letters that the built-in font has: accents are taken off, others become "?".

    >>> text("café 世")
    'cafe ?'
    """
    letters = [c for c in unicodedata.normalize("NFKD", str(value)) if not unicodedata.combining(c)]
    return "".join(c if " " <= c <= "~" or c in "·…" else "?" for c in letters)


def fitted(value: object, size: int, width: float) -> str:
    """`text(value)`, cut to a width in pixels and then ending in an ellipsis."""
    line, type_ = text(value), font(size)
    if type_.getlength(line) <= width:
        return line
    while line and type_.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"


def colour(index: int) -> Colour:
    """The colour of class, instance or row `index`: any number of them, neighbours far apart, all of similar weight.

    Hues advance by the golden angle in OKLCH (Ottosson, "A perceptual color space for image processing", 2020), so
    that every run of consecutive indices is spread over the circle; lightness takes turns.

    >>> colour(0), colour(1)
    ((255, 99, 103), (0, 166, 91))
    """
    angle = math.radians(22 + 137.50776 * index)
    lightness, chroma = (0.70, 0.62, 0.80)[index % 3], 0.19
    a, b = chroma * math.cos(angle), chroma * math.sin(angle)
    long, medium, short = (
        (lightness + x * a + y * b) ** 3
        for x, y in ((0.3963377774, 0.2158037573), (-0.1055613458, -0.0638541728), (-0.0894841775, -1.2914855480))
    )
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (_srgb(v) for v in linear)
    return red, green, blue


def _srgb(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    return round(255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055))


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever is read more easily on a colour."""
    return INK if 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2] > 140 else (255, 255, 255)


_FORMATS = {".png": ("PNG", {}), ".jpg": ("JPEG", {"quality": 92}), ".jpeg": ("JPEG", {"quality": 92})}


def save(image: Tensor, path: str | os.PathLike[str]) -> None:
    """Write an image as PNG or JPEG, by the path's suffix. The file appears whole or not at all."""
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"a picture is saved as {', '.join(_FORMATS)}, got {path.name!r}")
    kind, options = _FORMATS[path.suffix.lower()]
    encoded = io.BytesIO()
    to_pil(image).save(encoded, kind, **options)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # not tempfile's, which only its owner may read
    try:
        part.write_bytes(encoded.getbuffer())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
