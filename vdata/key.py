"""Where randomness comes from: a `Key` is a fold of integers and names, never a generator's state.

A key is a value. `Key.of(seed, epoch, position)` folds three integers into 64 bits; `key.fold("crop")`
makes a sub-key; draws are functions of the key alone, so whoever computes position 4711, on whatever
rank, worker or device, draws the same numbers. A `Key` holds B keys at once (B = 1 for one sample) and
every draw has B as its first dimension: small images are drawn for by the batch.

The fold is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014) over wrapping 64-bit arithmetic; for a fixed left side it is a bijection of the
right one, so two positions of one stage never share a key.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

_MASK, _G, _A, _B = 0xFFFFFFFFFFFFFFFF, 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_GOLDEN, _M1, _M2 = np.uint64(_G), np.uint64(_A), np.uint64(_B)
_S30, _S27, _S31, _S11 = (np.uint64(s) for s in (30, 27, 31, 11))


def mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser, elementwise on uint64: a bijection that scatters its input."""
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


def fold(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Fold `right` into `left` (uint64, broadcast). Order matters: fold(a, b) != fold(b, a)."""
    return mix(mix(left + _GOLDEN) ^ right)


def _mix_one(x: int) -> int:
    x = ((x ^ (x >> 30)) * _A) & _MASK
    x = ((x ^ (x >> 27)) * _B) & _MASK
    return x ^ (x >> 31)


def fold_one(left: int, right: int) -> int:
    """`fold` of two numbers: for one key, plain integers are ten times faster than arrays of one element."""
    return _mix_one(_mix_one((left + _G) & _MASK) ^ right)


@lru_cache(maxsize=4096)
def tag(name: str) -> np.uint64:
    """64 bits that stand for a name."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))


def _bits(value: int | str | np.ndarray | Sequence[int]) -> np.ndarray:
    if isinstance(value, str):
        return np.array([tag(value)])
    if isinstance(value, (int, np.integer)):
        return np.array([int(value) & 0xFFFFFFFFFFFFFFFF], np.uint64)
    return np.atleast_1d(np.asarray(value)).astype(np.uint64)


class Key:
    """B independent 64-bit keys.

    >>> key = Key.of(0, 1, [4711, 4712])      # seed 0, epoch 1, two positions
    >>> key.fold("scale").uniform(0.5, 2.0).shape
    (2,)
    """

    __slots__ = ("bits",)

    def __init__(self, bits: np.ndarray):
        self.bits = np.atleast_1d(np.asarray(bits, np.uint64))

    @classmethod
    def of(cls, *parts: int | str | np.ndarray | Sequence[int]) -> Key:
        """The key of a path: each part (an integer, a name, or an array of B integers) folded in turn."""
        return cls(np.zeros(1, np.uint64)).fold(*parts)

    @classmethod
    def concat(cls, keys: Sequence[Key]) -> Key:
        """Keys of several samples, one after the other."""
        return cls(np.concatenate([k.bits for k in keys])) if keys else cls(np.zeros(0, np.uint64))

    def fold(self, *parts: int | str | np.ndarray | Sequence[int]) -> Key:
        """A sub-key for each of the B keys. Equal parts give equal sub-keys; nothing is consumed."""
        bits = self.bits
        for part in parts:
            if len(bits) == 1 and isinstance(part, (int, str)):
                number = int(tag(part)) if isinstance(part, str) else part & _MASK
                bits = np.array([fold_one(int(bits[0]), number)], np.uint64)
            else:
                bits = fold(bits, _bits(part))
        return Key(bits)

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, index: Any) -> Key:
        return Key(self.bits[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and np.array_equal(self.bits, other.bits)

    def __hash__(self) -> int:
        return hash(self.bits.tobytes())

    def __repr__(self) -> str:
        return f"Key([{', '.join(f'0x{int(b):016x}' for b in self.bits)}])"

    def words(self, *shape: int) -> np.ndarray:
        """Uniform uint64 of shape [B, *shape]: element j of key b is a hash of (b, j)."""
        if len(self) == 1 and not shape:
            return np.array([fold_one(int(self.bits[0]), 1)], np.uint64)
        count = math.prod(shape)
        counter = np.arange(1, count + 1, dtype=np.uint64)
        return fold(self.bits[:, None], counter).reshape(len(self), *shape)

    def uniform(self, low: float = 0.0, high: float = 1.0, *shape: int) -> np.ndarray:
        """float64 in [low, high), shape [B, *shape]; 53 random bits each."""
        unit = (self.words(*shape) >> _S11).astype(np.float64) * 2.0**-53
        return low + (high - low) * unit

    def integers(self, low: int | np.ndarray, high: int | np.ndarray, *shape: int) -> np.ndarray:
        """int64 in [low, high) (bounds may be arrays of B), shape [B, *shape].

        The product method without rejection: the bias is below (high - low) / 2**53.
        """
        lo, hi = (np.asarray(b, np.int64).reshape(-1, *[1] * len(shape)) for b in (low, high))
        if (hi <= lo).any():
            raise ValueError(f"integers: empty range [{low}, {high})")
        return lo + np.minimum((self.uniform(0, 1, *shape) * (hi - lo)).astype(np.int64), hi - lo - 1)

    def bernoulli(self, p: float, *shape: int) -> np.ndarray:
        """bool, True with probability p, shape [B, *shape]. p = 0 never, p = 1 always."""
        return self.uniform(0, 1, *shape) < p

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normal float64, shape [B, *shape] (Box and Muller, 1958)."""
        pair = self.uniform(0, 1, *shape, 2)
        return np.sqrt(-2 * np.log1p(-pair[..., 0])) * np.cos(2 * np.pi * pair[..., 1])

    def permutation(self, n: int) -> np.ndarray:
        """A permutation of range(n) for each key: int64 [B, n]. For small n; `order.Bijection` is for large."""
        return np.argsort(self.words(n), axis=1, kind="stable")
