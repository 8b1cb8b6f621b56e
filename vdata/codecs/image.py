"""Pictures: bytes to [C, H, W] tensors through Pillow, and back as PNG.

A picture has one set of pixels everywhere: Pillow's. `baseline` and `turbo` decode JPEGs sooner, bit for bit as Pillow would;
`names` goes into checkpoints. A file is what its first bytes say: Oxford Pets and SUN397 have PNG, GIF and BMP data under names in .jpg.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL
import torch
from PIL import Image as pillow
from PIL import features
from torch import Tensor

from vdata.codecs import baseline, header, png, png16, ppm, rows, turbo
from vdata.codecs.header import Header, Window
from vdata.errors import DecodeError

MODES = ("RGB", "unchanged")
_PALETTE = 3  # PNG's colour type

_TURN = pillow.Transpose
# What brings a picture of EXIF orientation n upright.
_UPRIGHT = {
    2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_90,
}  # fmt: skip
_INVERSE = {_TURN.ROTATE_270: _TURN.ROTATE_90, _TURN.ROTATE_90: _TURN.ROTATE_270}
# The orientations whose delivered picture begins at the bottom (right) edge of the stored one.
_FROM_BOTTOM, _FROM_RIGHT = {3, 4, 6, 7}, {2, 3, 7, 8}

# What Pillow's readers raise on broken files. It promises no list; fuzzing each format found these.
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, OverflowError, ZeroDivisionError,
    AssertionError, struct.error, zlib.error, UserWarning, pillow.DecompressionBombError,
)  # fmt: skip


def names() -> str:
    """Name and version of what decides a picture's pixels: its decoder.

    >>> names().startswith("pillow ")
    True
    """
    turbo = features.version("libjpeg_turbo")
    return f"pillow {PIL.__version__}" + (f", libjpeg-turbo {turbo}" if turbo else "")


def size(data: bytes | memoryview, *, orient: bool = True, head: Header | None = None) -> tuple[int, int]:
    """(height, width) of the delivered picture, from the header alone (which may have been read already)."""
    if head is None and header.kind(data) == "ppm":
        found = ppm.head(data)
        return found.height, found.width
    return (head or header.read(data)).size(orient)


def decode(
    data: bytes | memoryview, *, window: Window | None = None, mode: str = "RGB", orient: bool = True
) -> Tensor:  # fmt: skip
    """A picture, or a window of it, as a contiguous tensor [C, H, W].

    mode "RGB": uint8 [3, H, W]. Grey is repeated, palettes are looked up, CMYK is converted, alpha is dropped
    (not composited: a transparent pixel shows the colour that it stores), 16 bits keep their high byte.
    mode "unchanged": grey stays [1, H, W], grey with alpha [2, H, W], RGBA [4, H, W]; 16 bits stay uint16. Palettes
    and other colour spaces still become RGB (RGBA where the palette has transparency).

    `window` is (top, left, height, width) in the delivered frame, after the EXIF orientation where `orient`:
    the result is `full[:, top:top+height, left:left+width]`, bit for bit. ValueError where it leaves the picture;
    DecodeError where the file is broken, cut short, of an unknown kind or above `header.MAX_PIXELS`. (Who sets Pillow's
    own `ImageFile.LOAD_TRUNCATED_IMAGES` gets what it says: grey for what is missing.)
    """
    if mode not in MODES:
        raise ValueError(f"a picture is decoded as {' or '.join(map(repr, MODES))}, not {mode!r}")
    if header.kind(data) == "ppm":
        samples = ppm.pixels(data, window)
    else:
        head = _checked(data)
        stored, turn = _stored(head, window, orient), head.orientation if orient else 1
        if head.kind == "png" and head.colour != _PALETTE and (found := png.pixels(data, head, stored)) is not None:
            samples = torch.from_numpy(_upright(found, turn))
        elif head.kind == "png" and head.depth == 16 and head.colour in png16.RAW_MODES:
            samples = _colour16(data, head, stored, turn)
        else:
            if head.usual and _ends(data) and (pixels := baseline.windows([(data, head, stored)])[0]) is not None:
                return torch.from_numpy(_upright(pixels, turn))
            needed = _needed(data, head, stored)
            samples = _samples(_converted(_part(_opened(*needed), needed[2], turn), mode))
            if mode == "unchanged" and head.depth > 8 and samples.dtype == torch.uint8:
                told = f"Pillow reads this {head.kind.upper()} of {head.depth} bits a sample only as 8 bits"
                raise DecodeError(told, do="write it as a 16-bit PNG or as npy")
    return _as_rgb(samples) if mode == "RGB" else samples


class Jpeg(NamedTuple):
    """A window of a JPEG that is asked for."""

    data: bytes | memoryview
    head: Header
    window: Window | None
    orient: bool


def decode_windows(asked: Sequence[Jpeg]) -> list[Tensor]:
    """`decode` of windows of JPEGs in mode "RGB", [3, H, W], as a decoder left them: planes, or a view of [H, W, 3]."""
    for _, head, _, _ in asked:
        header.check_pixels(head.height, head.width)
    stored = [_stored(head, window, orient) for _, head, window, orient in asked]
    quick = [i for i, (data, head, _, _) in enumerate(asked) if head.usual and _ends(data)]
    found = dict(zip(quick, baseline.windows([(*asked[i][:2], stored[i]) for i in quick]), strict=True))
    needed = {i: _needed(*asked[i][:2], stored[i]) for i in range(len(asked)) if found.get(i) is None}
    rest = [i for i in quick if i in needed]
    for i, pixels in zip(rest, turbo.windows([(needed[i][0], needed[i][2]) for i in rest]), strict=True):
        found[i] = None if pixels is None else pixels.transpose(2, 0, 1)
    out = []
    for i, jpeg in enumerate(asked):
        turn = jpeg.head.orientation if jpeg.orient else 1
        if (pixels := found.get(i)) is not None:
            pixels = _upright(pixels, turn)
        else:
            pixels = np.array(_converted(_part(_opened(*needed[i]), needed[i][2], turn), "RGB")).transpose(2, 0, 1)
        out.append(torch.from_numpy(pixels))
    return out


def _needed(data: bytes | memoryview, head: Header, stored: Window) -> tuple[bytes | memoryview, Header, Window]:
    """The file, its header and the window; of a JPEG that lists its rows only those that the window needs."""
    return rows.sliced(data, head, stored) if head.listed and _ends(data) else (data, head, stored)


def decode_reduced(jpeg: Jpeg, size: tuple[int, int], interpolation: str, by: int) -> Tensor:
    """A window of a JPEG at `size` (height, width), from every `by`-th pixel (2, 4 or 8) of it: uint8 [3, height, width].

    libjpeg leaves out the frequencies that so few pixels cannot show; Pillow resizes the rest, with antialias.
    """
    data, head, window, orient = jpeg
    header.check_pixels(head.height, head.width)
    top, left, height, width = _stored(head, window, orient)
    turned = orient and head.orientation >= 5
    high, wide = size[::-1] if turned else size
    try:
        picture = pillow.open(io.BytesIO(data), formats=("JPEG",))
        picture.draft("RGB", (-(-head.width // by), -(-head.height // by)))
        picture = _converted(picture, "RGB")
    except _BROKEN as err:
        raise DecodeError(f"Pillow cannot read this JPEG ({err})") from err
    scale = round(head.width / picture.width)  # what libjpeg made of the wish
    box = (left / scale, top / scale, min((left + width) / scale, picture.width), min((top + height) / scale, picture.height))
    picture = picture.resize((wide, high), pillow.Resampling[interpolation.upper()], box=box)
    if orient and head.orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[head.orientation])
    return _samples(picture)


def decode_mask(data: bytes | memoryview, *, window: Window | None = None, orient: bool = True) -> Tensor:
    """The numbers of a one-channel picture as they lie in the file, [H, W]: class ids, not brightness.

    A palette gives its indices, and 1, 2 and 4 bits are not scaled to 255. A picture with several channels is a
    DecodeError.
    """
    if header.kind(data) == "ppm":
        samples = ppm.pixels(data, window, raw=True)
        mode = "L" if len(samples) == 1 else "RGB"
    else:
        head = _checked(data)
        stored, turn = _stored(head, window, orient), head.orientation if orient else 1
        if head.kind == "png" and head.colour in (0, _PALETTE) and (found := png.pixels(data, head, stored)) is not None:
            return torch.from_numpy(_upright(found, turn))[0]
        part = _part(_opened(data, head), stored, turn)
        mode = part.mode
        samples = _samples(part)
        if head.kind == "png" and mode == "L" and head.depth < 8:
            samples //= 255 // (2**head.depth - 1)
    if len(samples) != 1:
        raise DecodeError(
            f"a mask has one channel, and this picture is {mode}", do="decode it as an Image and map its colours to ids"
        )
    return samples[0]


def encode(samples: Tensor) -> bytes:
    """A PNG of uint8 [1, 3 or 4, H, W] or uint16 [1 or 3, H, W]: without loss, equal pixels give equal bytes."""
    rows = samples.permute(1, 2, 0).contiguous().numpy()
    rows = rows[..., 0] if rows.shape[-1] == 1 else rows
    if rows.dtype == np.uint16:
        return png16.write(rows)
    out = io.BytesIO()
    pillow.fromarray(rows).save(out, "PNG")
    return out.getvalue()


def fits_png(samples: Tensor) -> bool:
    """Whether `encode` can write these samples and `decode` will read them."""
    channels = {torch.uint8: (1, 3, 4), torch.uint16: (1, 3)}.get(samples.dtype, ())
    if samples.ndim != 3 or samples.shape[0] not in channels:
        return False
    return min(samples.shape[1:]) > 0 and samples[0].numel() <= header.MAX_PIXELS


def _checked(data: bytes | memoryview) -> Header:
    head = header.read(data)
    header.check_pixels(head.height, head.width)
    if head.kind == "png":
        png.check(data)
    return head


def _opened(data: bytes | memoryview, head: Header, window: Window | None = None, raw_mode: str = "") -> pillow.Image:
    """The loaded picture in its stored frame; of a JPEG with a window there, nothing that lies well below it.

    One format is tried, so no other reader ever sees the bytes.
    """
    height = head.height
    if window is not None and head.kind == "jpeg" and _ends(data):
        # One row of blocks more than the window needs: pixels at the end of a block are made with those of the next.
        height = min(height, (-(-(window[0] + window[2]) // head.rows) + 1) * head.rows)
        if height < head.height:
            lower = bytearray(data)
            lower[head.frame + 5 : head.frame + 7] = height.to_bytes(2, "big")
            data = memoryview(lower)
    try:
        picture = pillow.open(io.BytesIO(data), formats=(head.kind.upper(),))
        if raw_mode:
            picture.tile = [tile._replace(args=raw_mode) for tile in picture.tile]
        picture.load()
    except _BROKEN as err:
        raise DecodeError(f"Pillow cannot read this {head.kind.upper()} ({err})") from err
    if head.kind == "tiff" and head.orientation in _UPRIGHT:  # Pillow turns these while it loads them
        turn = _UPRIGHT[head.orientation]
        picture = picture.transpose(_INVERSE.get(turn, turn))
    if picture.size != (head.width, height):
        raise DecodeError(f"the header says {head.width} x {height} pixels, the file has {picture.size}", byte=0)
    return picture


def _ends(data: bytes | memoryview) -> bool:
    """Whether a JPEG has its end: of one that was cut short, a window above the cut is no picture either."""
    return b"\xff\xd9" in bytes(data[-64:])


def _stored(head: Header, window: Window | None, orient: bool) -> Window:
    """A window of the delivered frame, where it is stored."""
    height, width = head.size(orient)
    top, left, high, wide = header.check_window(window, height, width)
    turn = head.orientation if orient else 1
    if turn >= 5:
        top, left, high, wide = left, top, wide, high
    if turn in _FROM_BOTTOM:
        top = head.height - top - high
    if turn in _FROM_RIGHT:
        left = head.width - left - wide
    return top, left, high, wide


def _part(picture: pillow.Image, window: Window, turn: int) -> pillow.Image:
    """The window, cropped where it is stored and then turned, so that little is moved."""
    top, left, high, wide = window
    if (wide, high) != picture.size:
        picture = picture.crop((left, top, left + wide, top + high))
    return picture.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else picture


def _upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """[C, H, W] of an EXIF orientation brought upright."""
    if turn in (2, 3, 7, 6):
        pixels = pixels[:, :, ::-1] if turn in (2, 3) else pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[:, ::-1] if turn in (3, 4) else pixels[:, :, ::-1]
    if turn >= 5:
        pixels = pixels.transpose(0, 2, 1)
    return pixels.copy() if turn > 1 else pixels


def _converted(picture: pillow.Image, mode: str) -> pillow.Image:
    """The picture in a mode whose bands are channels."""
    if picture.mode.startswith("I;16"):
        return picture
    if picture.mode in ("I", "F"):
        if mode == "unchanged":
            return picture
        told = "a picture of 32 bits a sample does not become one of 8 by itself"
        raise DecodeError(told, do='decode with mode="unchanged"')
    if mode == "unchanged" and picture.mode in ("L", "LA", "RGB", "RGBA"):
        return picture
    if mode == "unchanged" and picture.mode == "1":
        return picture.convert("L")
    if mode == "unchanged" and (picture.mode == "PA" or (picture.mode == "P" and "transparency" in picture.info)):
        return picture.convert("RGBA")
    picture.info.pop("transparency", None)  # dropped here; Pillow would convert it and warn
    return picture.convert("RGB")


def _samples(picture: pillow.Image) -> Tensor:
    """[bands, H, W], plane by plane: that is twice as fast as copying pixels and transposing them."""
    bands = picture.split()
    dtype = {"I": torch.int32, "F": torch.float32}.get(picture.mode, torch.uint8)
    dtype = torch.uint16 if picture.mode.startswith("I;16") else dtype
    out = torch.empty(len(bands), picture.height, picture.width, dtype=dtype, device="cpu")
    for plane, band in zip(out.numpy(), bands, strict=True):
        plane[...] = np.asarray(band)
    return out


def _colour16(data: bytes | memoryview, head: Header, stored: Window, turn: int) -> Tensor:
    """uint16 [2, 3 or 4, H, W]; see png16 for why Pillow reads the file twice."""
    readings = [_opened(data, head, raw_mode=raw_mode) for raw_mode in png16.RAW_MODES[head.colour]]
    bands = torch.cat([_samples(_part(reading, stored, turn)) for reading in readings]).numpy()
    high, low = bands[png16.HIGH[head.colour]], bands[png16.LOW[head.colour]]
    return torch.from_numpy(high.astype(np.uint16) << 8 | low)


def _as_rgb(samples: Tensor) -> Tensor:
    """uint8 [3, H, W]: high bytes, no alpha, grey three times."""
    if samples.dtype == torch.uint16:
        samples = torch.from_numpy((samples.numpy() >> 8).astype(np.uint8))
    colours = samples[:3] if len(samples) >= 3 else samples[:1]
    return colours.expand(3, -1, -1).contiguous()
