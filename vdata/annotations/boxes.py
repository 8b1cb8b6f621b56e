"""Boxes as annotation files give them, and the numbers that they are written in: one check and one shift for all sets."""

from __future__ import annotations

import math
import re

from vdata.errors import DecodeError

_FAR = 1e6  # pixels: no picture has as many in a row
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")

Corners = tuple[float, float, float, float]


def corners(x1: float, y1: float, x2: float, y2: float, one_based: bool = False, *, odd: bool = False) -> Corners:
    """A box in continuous coordinates; DecodeError unless it can be one: finite, below a million, x1 <= x2, y1 <= y2.

    one_based  the file counts pixels from 1 and includes both corners: the upper left one is one less than in the file
    odd        it may be anything that is finite, for files that are known to have such boxes

    Boxes that lie outside of their picture, even far, are left as they are.

    >>> corners(1, 2, 4, 8, one_based=True)
    (0.0, 1.0, 4.0, 8.0)
    """
    box = float(x1), float(y1), float(x2), float(y2)
    place = "({:g}, {:g}) to ({:g}, {:g})".format(*box)
    if not all(map(math.isfinite, box)):
        raise DecodeError(f"a box with a corner that is not finite: {place}")
    if not odd and max(map(abs, box)) >= _FAR:
        raise DecodeError(f"a box with a corner a million pixels away: {place}")
    if not odd and (box[0] > box[2] or box[1] > box[3]):
        raise DecodeError(f"a box of negative size: {place}")
    return (box[0] - 1, box[1] - 1, *box[2:]) if one_based else box


def real(text: str) -> float:
    """A number as files write it; ValueError for what only Python takes for one ("1_0", digits of other scripts, "nan").

    >>> real("4.5e1")
    45.0
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text[:80]!r} is no number")
    return float(text)


def whole(text: str) -> int:
    """A whole number of 18 digits at most; ValueError for anything else.

    >>> whole("042")
    42
    """
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text[:80]!r} is no whole number")
    return int(text)
