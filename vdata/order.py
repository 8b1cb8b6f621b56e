"""Order is arithmetic: which row of which shard stands at index i of an epoch, without an array of N entries.

    index i  ->  lane i % L, depth i // L  ->  a place on the line of shards  ->  row

The line is the shards in an order keyed by (seed, epoch). It is cut into L lanes of equal length (a shard may
straddle two), each lane is walked window by window, every second one backwards, each window shuffled by a keyed bijection. What is held per
epoch is a prefix sum over shards. Everything is a function of (sizes, seed, epoch): never of ranks, workers or
of where the data lies (docs/design/0002-order.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from vdata.key import Key, fold

LANES = 64
WINDOW = 65_536  # samples over all lanes; a set up to this size is shuffled whole
_ROUNDS = 4
_FEW = 12  # indices: below, plain integers are faster than arrays
_MASK = 0xFFFFFFFFFFFFFFFF


def lanes_of(count: int) -> int:
    """How many lanes a set of `count` samples has: 64, for small sets the largest power of two that gives each 64 samples.

    A power of two, so that the usual numbers of ranks divide it and each rank has lanes of its own.
    """
    return 1 << (max(1, min(LANES, count // LANES)).bit_length() - 1)


class Bijection:
    """A keyed permutation of range(n) in O(1) memory; called with an int or an int64 array.

    A generalised Feistel network on the mixed radix (a, b), a * b >= n, with cycle walking over the few values
    beyond n: Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.

    >>> sorted(Bijection(10, 7)(i) for i in range(10))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    __slots__ = ("a", "b", "keys", "n")

    def __init__(self, n: int, key: int):
        if n < 1:
            raise ValueError(f"a bijection needs at least one element, got {n}")
        self.n = n
        self.a = math.isqrt(n - 1) + 1
        self.b = -(-n // self.a)
        rounds = np.arange(2 * _ROUNDS, dtype=np.uint64)
        self.keys = fold(np.array([key & _MASK], np.uint64), rounds).tolist()

    def __call__(self, i: int | np.ndarray) -> int | np.ndarray:
        if isinstance(i, np.ndarray):
            return self._many(i)
        while True:
            i = self._one(int(i))
            if i < self.n:
                return i

    def _one(self, i: int) -> int:
        left, right = divmod(i, self.b)
        for r in range(0, 2 * _ROUNDS, 2):
            left = (left + _hash(self.keys[r], right)) % self.a
            right = (right + _hash(self.keys[r + 1], left)) % self.b
        return left * self.b + right

    def _many(self, i: np.ndarray) -> np.ndarray:
        out = np.array(i, np.int64)
        todo = np.arange(out.size)
        flat = out.reshape(-1)
        while todo.size:
            left, right = np.divmod(flat[todo].astype(np.uint64), np.uint64(self.b))
            for r in range(0, 2 * _ROUNDS, 2):
                left = (left + _hash_many(self.keys[r], right) % np.uint64(self.a)) % np.uint64(self.a)
                right = (right + _hash_many(self.keys[r + 1], left) % np.uint64(self.b)) % np.uint64(self.b)
            flat[todo] = (left * np.uint64(self.b) + right).astype(np.int64)
            todo = todo[flat[todo] >= self.n]
        return out


def _hash(key: int, x: int) -> int:
    x = ((x ^ key) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 29)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 32)


def _hash_many(key: int, x: np.ndarray) -> np.ndarray:
    x = (x ^ np.uint64(key)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(32))


class Order:
    """The shuffled orders of a set whose contiguous blocks (shards) have these sizes.

    sizes   samples in each block
    window  None: the default, a function of the sizes alone; "all": one bijection over everything;
            an int: windows of whole blocks in every lane, totalling at least that many samples over all lanes
    """

    def __init__(self, sizes: np.ndarray, seed: int, window: int | str | None = None):
        self.sizes = np.asarray(sizes, np.int64)
        self.seed = seed
        self.count = int(self.sizes.sum())
        self.lanes = lanes_of(self.count)
        self.asked = window
        target = WINDOW if window is None else window
        self.whole = target == "all" or self.count <= int(target)
        self.per_lane = 0 if self.whole else -(-int(target) // self.lanes)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self._epoch = lru_cache(maxsize=4)(self._make_epoch)

    def __reduce__(self):
        return Order, (self.sizes, self.seed, self.asked)

    def row(self, epoch: int, index: int) -> int:
        """The row that stands at `index` of `epoch`."""
        return int(self.rows(epoch, np.array([index], np.int64))[0])

    def rows(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """The rows that stand at int64 [n] indices of `epoch`: int64 [n]."""
        if len(indices) and not (indices.min() >= 0 and indices.max() < self.count):
            raise IndexError(f"an index of {indices.min()} .. {indices.max()} is outside an epoch of {self.count}")
        return self._epoch(epoch).rows(indices)

    def _make_epoch(self, epoch: int) -> _Epoch:
        return _Epoch(self, Key.of("order", self.seed, epoch))


class _Epoch:
    """One epoch's line of blocks."""

    def __init__(self, order: Order, key: Key):
        self.order, self.key = order, key
        if order.whole:
            self.all = Bijection(max(order.count, 1), int(key.bits[0]))
            return
        self.blocks = key.fold("blocks").permutation(len(order.sizes))[0]
        self.line = np.concatenate([[0], np.cumsum(order.sizes[self.blocks])])
        self.window = lru_cache(maxsize=4 * LANES)(self._make_window)
        self.cuts = lru_cache(maxsize=LANES)(self._make_cuts)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        if self.order.whole:
            few = len(indices) < _FEW
            return np.array([self.all(i) for i in indices.tolist()], np.int64) if few else np.asarray(self.all(indices))
        return np.array([self._row(i) for i in indices.tolist()], np.int64)

    def _row(self, index: int) -> int:
        order = self.order
        lane, depth = index % order.lanes, index // order.lanes
        cuts = self.cuts(lane)
        # Every second lane is walked backwards: two lanes that share a shard then need it at the same time.
        place = int(cuts[-1]) - 1 - depth if lane % 2 else int(cuts[0]) + depth
        number = int(np.searchsorted(cuts, place, side="right")) - 1
        start = int(cuts[number])
        place = start + int(self.window(lane, number)(place - start))
        k = int(np.searchsorted(self.line, place, side="right")) - 1
        return int(order.starts[self.blocks[k]]) + place - int(self.line[k])

    def _make_cuts(self, lane: int) -> np.ndarray:
        """Where the windows of a lane begin on the line, and where the last ends: at block boundaries inside it."""
        base, extra = divmod(self.order.count, self.order.lanes)
        start = lane * base + min(lane, extra)
        stop = start + base + (lane < extra)
        cuts = [start]
        inside = self.line[np.searchsorted(self.line, start, side="right") : np.searchsorted(self.line, stop)]
        for cut in inside.tolist():
            if cut - cuts[-1] >= self.order.per_lane:
                cuts.append(cut)
        return np.array([*cuts, stop], np.int64)

    def _make_window(self, lane: int, number: int) -> Bijection:
        cuts = self.cuts(lane)
        return Bijection(int(cuts[number + 1] - cuts[number]), int(self.key.fold(lane, number).bits[0]))


def substitutes(index: int, count: int) -> Iterator[int]:
    """Where to look for the replacement of a broken sample: onward in its lane, then from the lane's start.

    A function of the index and the set's size alone, so that every rank and worker finds the same one.
    """
    lanes = lanes_of(count)
    yield from range(index + lanes, count, lanes)
    yield from range(index % lanes, index, lanes)
