"""Which pipe stands at a position of a mix, and how far in it: arithmetic, without a count of what came before.

The positions are cut into cycles of some thousand. After n positions pipe i has had c_i(n) of them, the weights' share rounded:
C_i(n) - C_(i-1)(n), where C_i(n) = floor(n (w_1 + ... + w_i) + 1/2), so it is never off by more than one at the end of a
cycle. Within a cycle the pipes' turns are permuted by a keyed bijection. A schedule is several such stretches.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from vdata.errors import PlanError
from vdata.key import Key
from vdata.order import Bijection

STOPS = ("first", "all", "never")
_CYCLE = 1024
_LEAST = Fraction(1, 1 << 19)  # a smaller share would need cycles of more than a million
_MANY = 1 << 20  # passes: what an endless mix that is cut by .take(n), or an endless pipe, is thought never to reach in an epoch

Length = int | float


class _Stretch(NamedTuple):
    """Positions from `start` on under one set of weights: a pipe has had `before[i]` samples when it begins."""

    start: int
    bounds: tuple[Fraction, ...]  # 0, w_1, w_1 + w_2, ..., 1
    cycle: int
    before: tuple[int, ...]

    def counts(self, n: int) -> list[int]:
        """How many samples each pipe has given after n positions of this stretch."""
        ends = [math.floor(n * bound + Fraction(1, 2)) for bound in self.bounds]
        return [b - a for a, b in pairwise(ends)]

    def totals(self, n: int) -> list[int]:
        return [a + b for a, b in zip(self.before, self.counts(n), strict=True)]


class Blend:
    """A mix of pipes of these lengths (math.inf: endless).

    weights  one number a pipe, or {position: numbers}: the weights from that position of an epoch on
    stop     the mix ends when the "first" pipe is used up, when "all" have been used up once, or "never"

    >>> blend = Blend([10, 30], [1, 3], "first")
    >>> blend.length, [blend.pick(0, p)[0] for p in range(8)]
    (40, [0, 1, 1, 1, 1, 0, 0, 1])
    """

    def __init__(self, lengths: Sequence[Length], weights: Sequence[float] | Mapping[int, Sequence[float]], stop: str = "first", seed: int = 0):
        if stop not in STOPS:
            raise PlanError(f'mix: stop is "first", "all" or "never", got {stop!r}')
        if not all(lengths):
            raise PlanError(f"mix: pipe {list(lengths).index(0)} is empty")
        self.lengths, self.seed = tuple(lengths), seed
        schedule = weights if isinstance(weights, Mapping) else {0: weights}
        self._stretches = _stretches(schedule, len(lengths))
        used = [any(s.bounds[i] < s.bounds[i + 1] for s in self._stretches) for i in range(len(lengths))]
        if not all(used):
            raise PlanError(f"mix: pipe {used.index(False)} has no weight at any time: leave it out")
        self.length = self._length(stop)
        self.passes = [_MANY if math.inf in (self.length, n) else max(1, -(-had // int(n))) for had, n in zip(self._had(), lengths, strict=True)]
        self._written = (lengths, weights, stop, seed)
        self._table = lru_cache(maxsize=8)(self._make_table)

    def __reduce__(self):
        return Blend, self._written

    def pick(self, epoch: int, position: int) -> tuple[int, int]:
        """(number of the pipe, how many samples it has given before) at a position."""
        number = bisect_right([s.start for s in self._stretches], position) - 1
        stretch = self._stretches[number]
        place = position - stretch.start
        cycle = min(place // stretch.cycle, self._cycles(number) - 1)
        first, pipes, turns = self._table(epoch, number, cycle)
        return int(pipes[place - first]), int(turns[place - first])

    def _extent(self, number: int) -> Length:
        """How many positions a stretch has."""
        end = self._stretches[number + 1].start if number + 1 < len(self._stretches) else self.length
        return min(end, self.length) - self._stretches[number].start

    def _cycles(self, number: int) -> Length:
        """A stretch's cycles; what is left over belongs to the last, for in a short one a share could round below nothing."""
        extent = self._extent(number)
        return extent if extent == math.inf else max(1, int(extent) // self._stretches[number].cycle)

    def _make_table(self, epoch: int, number: int, cycle: int) -> tuple[int, np.ndarray, np.ndarray]:
        """(first position of the cycle in its stretch, the pipe at each of its positions, that pipe's turn)."""
        stretch = self._stretches[number]
        first = cycle * stretch.cycle
        last = int(self._extent(number)) if cycle + 1 == self._cycles(number) else first + stretch.cycle
        before, after = stretch.totals(first), stretch.totals(last)
        counts = [b - a for a, b in zip(before, after, strict=True)]
        order = Bijection(last - first, int(Key.of("mix", self.seed, epoch, number, cycle).bits[0]))
        pipes = np.repeat(np.arange(len(counts)), counts)[order(np.arange(last - first))]
        turns = np.empty_like(pipes)
        for i, start in enumerate(before):
            mine = pipes == i
            turns[mine] = start + np.arange(counts[i])
        return first, pipes, turns

    def _had(self) -> list[int]:
        """How many samples each pipe gives in an epoch that ends."""
        if self.length == math.inf:
            return [0] * len(self.lengths)
        number = bisect_right([s.start for s in self._stretches], max(0, int(self.length) - 1)) - 1
        return self._stretches[number].totals(int(self.length) - self._stretches[number].start)

    def _length(self, stop: str) -> Length:
        endless = [n == math.inf for n in self.lengths]
        if stop == "never" or all(endless):
            return math.inf
        if stop == "all" and any(endless):
            raise PlanError(f'mix: stop="all" never comes, for pipe {endless.index(True)} is endless: use "first" or "never"')
        for number, stretch in enumerate(self._stretches):
            end = self._stretches[number + 1].start - stretch.start if number + 1 < len(self._stretches) else math.inf
            at = _first_end(stretch, self.lengths, end) if stop == "first" else _all_end(stretch, self.lengths, end)
            if at is not None:
                return stretch.start + at
        raise PlanError(f"mix: with the last weights of the schedule the pipes that are not used up yet are never drawn from, so stop={stop!r} never comes")


def _stretches(schedule: Mapping[int, Sequence[float]], pipes: int) -> list[_Stretch]:
    starts = sorted(schedule)
    if not starts or starts[0] != 0 or not all(isinstance(s, int) for s in starts):
        raise PlanError(f"mix: a schedule is {{0: weights, position: weights, ...}}, whole numbers from 0 on, got {list(schedule)}")
    out: list[_Stretch] = []
    before = (0,) * pipes
    for start in starts:
        if out:
            before = tuple(out[-1].totals(start - out[-1].start))
        shares = _shares(schedule[start], pipes)
        cycle = max(_CYCLE, *(math.ceil(2 / share) for share in shares if share))
        out.append(_Stretch(start, tuple(accumulate(shares, initial=Fraction(0))), cycle, before))
    return out


def _shares(weights: Sequence[float], pipes: int) -> list[Fraction]:
    """Weights as exact shares of one."""
    try:
        exact = [Fraction(w) for w in weights]
    except (TypeError, ValueError, OverflowError):
        raise PlanError(f"mix: weights are {pipes} finite numbers, got {weights!r}") from None
    if len(exact) != pipes or min(exact, default=Fraction(-1)) < 0 or not sum(exact):
        raise PlanError(f"mix: {pipes} pipes need {pipes} weights, none negative and not all 0, got {weights!r}")
    shares = [w / sum(exact) for w in exact]
    if any(0 < share < _LEAST for share in shares):
        raise PlanError(f"mix: a weight in {weights!r} is less than 1 in {_LEAST.denominator} of their sum: use 0, or more")
    return shares


def _first_end(stretch: _Stretch, lengths: Sequence[Length], end: Length) -> int | None:
    """The most positions of a stretch for which no pipe is asked for more than it has; None where that is the whole stretch."""
    shares = [b - a for a, b in pairwise(stretch.bounds)]
    most = [(int(n) - had + 2) / share for n, had, share in zip(lengths, stretch.before, shares, strict=True) if share and n != math.inf]
    if not most:
        return None
    n = int(min(max(0, math.floor(min(most))), end))
    while any(had > have for had, have in zip(stretch.totals(n), lengths, strict=True)):
        n -= 1
    used_up = any(had >= have for had, have in zip(stretch.totals(n), lengths, strict=True))
    return None if n == end and not used_up else n


def _all_end(stretch: _Stretch, lengths: Sequence[Length], end: Length) -> int | None:
    """The fewest positions of a stretch after which every pipe has given all that it has; None where it never has."""
    shares = [b - a for a, b in pairwise(stretch.bounds)]
    lacking = [(int(n) - had, share) for n, had, share in zip(lengths, stretch.before, shares, strict=True)]
    if any(not share and lack > 0 for lack, share in lacking):
        return None
    n = max([0, *(math.ceil((lack - 2) / share) for lack, share in lacking if share)])
    while any(had < have for had, have in zip(stretch.totals(n), lengths, strict=True)):
        n += 1
    return n if n <= end else None
