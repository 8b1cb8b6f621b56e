"""Arguments are checked and brought to one form when a transform is made, so that a wrong one fails where it was written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vdata.tensors import TYPES

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


class ByType(Mapping[str, Any]):
    """A frozen, hashable dict from type names (or "others") to values; made from one with classes or names as keys.

    >>> ByType({Image: 127, "others": 0}).find(Image), ByType({"Mask": 255}).find(Image, 0)
    (127, 0)
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[Any, Any]):
        named = {
            k if isinstance(k, str) else k.__name__: tuple(v) if isinstance(v, list) else v for k, v in entries.items()
        }
        unknown = sorted(set(named) - {*TYPES, "others"})
        if unknown:
            raise ValueError(f'a dict by type has keys among {", ".join(TYPES)} and "others", got {unknown}')
        self._entries = named

    def find(self, kind: type, default: Any = None) -> Any:
        """The value for a type, else the one for "others", else `default`."""
        return self._entries.get(kind.__name__, self._entries.get("others", default))

    def __getitem__(self, name: str) -> Any:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)

    def __reduce__(self):
        return ByType, (self._entries,)


def put(transform: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(transform, name, value)


def whole(value: Any, name: str, least: int = 1) -> int:
    """An integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def size_pair(size: Any, name: str = "size") -> tuple[int, int]:
    """(height, width) from an int (a square), a sequence of one (a square) or of two."""
    if isinstance(size, Sequence) and not isinstance(size, str):
        if len(size) not in (1, 2):
            raise ValueError(f"{name} must be an int or (height, width), got {size!r}")
        return whole(size[0], name), whole(size[-1], name)
    side = whole(size, name)
    return side, side


def padding_sides(padding: Any) -> tuple[Any, Any, Any, Any]:
    """(left, top, right, bottom) from one number, (left and right, top and bottom), or all four; of [R, 4], one a row."""
    if isinstance(padding, np.ndarray):  # one a row
        return padding[:, 0], padding[:, 1], padding[:, 2], padding[:, 3]
    sides = tuple(padding) if isinstance(padding, Sequence) and not isinstance(padding, str) else (padding,)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"padding must be an int or a sequence of 1, 2 or 4 ints, got {padding!r}")
    sides = tuple(whole(s, "padding", 0) for s in sides) * (4 // len(sides))
    return sides[0], sides[1], sides[2], sides[3]


def padding_mode(mode: str) -> str:
    """One of the four ways to make new pixels."""
    if mode not in PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {mode!r}")
    return mode


def fill_value(fill: Any) -> Any:
    """A fill as a value: a number, a tuple of them (one a channel), "grey", or `ByType`."""
    if isinstance(fill, Mapping):
        return ByType({k: fill_value(v) for k, v in fill.items()})
    if fill is None or isinstance(fill, (int, float)) or fill == "grey":
        return fill
    if isinstance(fill, Sequence) and not isinstance(fill, str) and all(isinstance(f, (int, float)) for f in fill):
        return tuple(fill)
    raise ValueError(f"fill must be a number, a sequence of numbers, 'grey' (114 of 255, in each picture's range) or a dict by type, got {fill!r}")


def probability(p: Any, name: str = "p") -> float:
    """A number in [0, 1], kept as it was written."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"{name} must be a number in [0, 1], got {p!r}")
    return p


def interval(values: Any, name: str, low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
    """(least, greatest), in order and within [low, high]."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise ValueError(f"{name} must be (least, greatest), got {values!r}")
    least, greatest = float(values[0]), float(values[1])
    if not low <= least <= greatest <= high:
        raise ValueError(f"{name} must be (least, greatest) within [{low}, {high}], got {values!r}")
    return least, greatest
