"""Frames of sequences, known by the numbers in their names: what the sets of optical flow share. Not a dataset."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise


def numbers(paths: Iterable[str], name: str) -> dict[str, set[int]]:
    """Sequence -> the numbers of its frames, of the paths that `name` matches: its groups are sequence and number.

    >>> numbers(["clean/alley_1/frame_0007.png", "clean/alley_1/Thumbs.db"], r"clean/(.+)/frame_(\\d+)\\.png")
    {'alley_1': {7}}
    """
    frames: dict[str, set[int]] = defaultdict(set)
    fits = re.compile(name).fullmatch
    for path in paths:
        if match := fits(path):
            frames[match[1]].add(int(match[2]))
    return dict(frames)


def merged(*parts: dict[str, set[int]]) -> dict[str, set[int]]:
    """Every sequence and number that any of them has, sequences sorted.

    >>> merged({"b": {1}}, {"a": {3}, "b": {2}})
    {'a': {3}, 'b': {1, 2}}
    """
    return {name: set().union(*(p.get(name, ()) for p in parts)) for name in sorted(set().union(*parts))}


def pairs(frames: set[int]) -> Iterator[tuple[int, int]]:
    """(k, k + 1) from the lowest number to the highest. A frame that is missing between them is in two pairs.

    >>> list(pairs({6, 7, 9}))
    [(6, 7), (7, 8), (8, 9)]
    """
    return pairwise(range(min(frames), max(frames) + 1))
