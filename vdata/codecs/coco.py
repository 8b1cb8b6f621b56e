"""COCO's ways to write masks: polygons and run lengths as JSON, and segment ids as the colours of a PNG.

The codec "coco" is JSON: {"size": [height, width], "objects": [...]}, each object as COCO's annotation files have it: a list of
polygons, or {"size": ..., "counts": ...} with run lengths as a list or as COCO's compressed string. Polygons become pixels
by pycocotools and nothing else, so that a mask has the pixels that everybody evaluates with; run lengths are read here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.codecs import image, plain
from vdata.codecs.header import Window, check_pixels, check_window
from vdata.errors import DecodeError, MissingPackageError

MAX_BYTES = 1 << 32  # of one sample's masks
_FAR = 8  # polygons reach at most so many sides past the canvas: pycocotools takes memory for their length


def size(data: bytes | memoryview) -> tuple[int, int]:
    """(height, width) of the masks.

    >>> size(b'{"size": [2, 3], "objects": []}')
    (2, 3)
    """
    return _canvas(_parsed(data))


def masks(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """bool [N, H, W], one mask an object; [0, H, W] where there is none.

    >>> masks(b'{"size": [2, 3], "objects": [{"size": [2, 3], "counts": [1, 2, 3]}]}').int().tolist()
    [[[0, 1, 0], [1, 0, 0]]]
    """
    found = _parsed(data)
    height, width = _canvas(found)
    objects = found["objects"]
    top, left, high, wide = check_window(window, height, width)
    if len(objects) * high * wide > MAX_BYTES:
        raise DecodeError(f"{len(objects)} masks of {height} x {width} pixels take more than {MAX_BYTES >> 30} GiB")
    out = np.empty((len(objects), high, wide), bool)
    for number, (plane, shape) in enumerate(zip(out, objects, strict=True)):
        try:
            plane[...] = _mask(shape, height, width)[top : top + high, left : left + wide]
        except DecodeError as error:
            raise DecodeError(f"object {number} of {len(objects)}: {error.what}") from None
    return torch.from_numpy(out)


def segment_ids(data: bytes | memoryview, window: Window | None = None) -> Tensor:
    """int32 [H, W] of a panoptic PNG: red + 256 green + 65536 blue."""
    colours = image.decode(data, window=window, mode="unchanged", orient=False)
    if colours.dtype != torch.uint8 or len(colours) != 3:
        raise DecodeError(
            f"segment ids are RGB of 8 bits, and this picture has {len(colours)} channels of {colours.dtype}"
        )
    red, green, blue = colours.to(torch.int32)
    return red + (green << 8) + (blue << 16)


def counts_of(text: str) -> np.ndarray:
    """int64: the run lengths of COCO's compressed string: six bits a character, five of them a digit, the least first.

    From the fourth run on, what is written is the difference to the run before the last.

    >>> counts_of("1238").tolist()
    [1, 2, 3, 10]
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any() or (len(codes) and codes[-1] & 32):
        raise DecodeError("compressed run lengths that are cut, or have characters that nobody writes")
    lasts = np.flatnonzero(codes & 32 == 0)  # the other characters say that more follow
    firsts = np.concatenate([[0], lasts[:-1] + 1])[: len(lasts)]
    lengths = lasts - firsts + 1
    if len(lengths) and lengths.max() > 8:
        raise DecodeError("compressed run lengths with a number that no picture has")
    places = np.arange(len(codes)) - np.repeat(firsts, lengths)
    counts = np.add.reduceat((codes & 31) << 5 * places, firsts) if len(codes) else codes
    counts -= np.where(codes[lasts] & 16, 1 << 5 * lengths, 0)
    counts[1::2] = counts[1::2].cumsum()
    counts[2::2] = counts[2::2].cumsum()
    return counts


def _parsed(data: bytes | memoryview) -> dict[str, Any]:
    found = plain.parse(data)
    if not isinstance(found, dict) or not isinstance(found.get("objects"), list):
        raise DecodeError('masks in COCO\'s form are a JSON object with "size" and "objects"', byte=0)
    return found


def _canvas(found: dict[str, Any]) -> tuple[int, int]:
    sides = found.get("size")
    if not isinstance(sides, list) or len(sides) != 2 or any(type(s) is not int or s < 1 for s in sides):
        raise DecodeError(f"the size of masks is [height, width], got {sides!r}", byte=0)
    check_pixels(*sides)
    return sides[0], sides[1]


def _mask(shape: Any, height: int, width: int) -> np.ndarray:
    if isinstance(shape, dict):
        return _of_runs(shape, height, width)
    if isinstance(shape, list) and all(isinstance(polygon, list) for polygon in shape):
        return _of_polygons(shape, height, width)
    raise DecodeError("a mask is a list of polygons or an object with run lengths")


def _of_runs(shape: dict[str, Any], height: int, width: int) -> np.ndarray:
    """Runs go down the columns, the first of them outside of the object."""
    counts = shape.get("counts")
    if shape.get("size") != [height, width]:
        raise DecodeError(f"run lengths for a size of {shape.get('size')} in a picture of {height} x {width}")
    if isinstance(counts, str):
        counts = counts_of(counts).tolist()
    elif not isinstance(counts, list) or any(type(c) is not int for c in counts):
        raise DecodeError("run lengths are a list of whole numbers, or a string")
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise DecodeError(f"run lengths that do not add up to the {height} x {width} pixels of the picture")
    return _pixels(counts, height, width)


def _pixels(counts: Sequence[int] | np.ndarray, height: int, width: int) -> np.ndarray:
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


def _of_polygons(polygons: Sequence[list[Any]], height: int, width: int) -> np.ndarray:
    """The union of the polygons. One of fewer than three points covers nothing."""
    try:
        from pycocotools import mask as rle
    except ImportError as error:
        raise MissingPackageError(
            "polygons become masks by pycocotools: pip install 'vdata-vision[datasets]'"
        ) from error
    limit = _FAR * max(height, width, 100)
    for polygon in polygons:
        if len(polygon) % 2 or not all(type(c) in (int, float) and math.isfinite(c) for c in polygon):
            raise DecodeError("a polygon is x and y in turn, all finite numbers")
        if any(not -limit <= c <= limit for c in polygon):
            raise DecodeError(f"a polygon that reaches far out of the {height} x {width} picture")
    # Four numbers alone would be taken for a box, so they do not reach it.
    whole = [polygon for polygon in polygons if len(polygon) >= 6]
    if not whole:
        return np.zeros((height, width), bool)
    union = rle.merge(rle.frPyObjects(whole, height, width))
    counts: str | bytes = union["counts"]
    return _pixels(counts_of(counts if isinstance(counts, str) else counts.decode()), height, width)
