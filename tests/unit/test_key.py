"""`Key`: shapes, dtypes, bounds and folds. Its statistics are a law (tests/laws/test_randomness.py)."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdata.key import Key, fold, mix, tag


def test_known_values():
    """A key is a promise across versions and machines: these numbers never change."""
    assert repr(Key.of(0)) == repr(Key.of([0])) == f"Key([0x{int(Key.of(0).bits[0]):016x}])"
    # SplitMix64 of seed 0 begins with these (Vigna's reference implementation).
    state = np.uint64(0x9E3779B97F4A7C15)
    assert int(mix(np.array([state]))[0]) == 0xE220A8397B1DCDAF
    with np.errstate(over="ignore"):
        assert int(mix(np.array([state + state]))[0]) == 0x6E789E6AA1B965F4


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=50, unique=True))
def test_a_fold_is_a_bijection_of_its_right_side(left, rights):
    folded = fold(np.array([left], np.uint64), np.array(rights, np.uint64))
    assert len(set(folded.tolist())) == len(rights)


def test_folds_keep_order_and_parts_apart():
    paths = [(0, 1, 2), (2, 1, 0), (0, 12), (1, 2), ("a", "b"), ("ab",), ("b", "a"), (0,), (0, 0), ("0",), ()]
    keys = [Key.of(*p) for p in paths]
    assert len({int(k.bits[0]) for k in keys}) == len(paths)
    assert Key.of(1).fold(2, "x") == Key.of(1, 2, "x") == Key.of(1).fold(2).fold("x")
    assert tag("crop") != tag("Crop")


def test_negative_and_numpy_integers():
    assert Key.of(-1) == Key.of(2**64 - 1) == Key.of(np.int64(-1))
    assert Key.of(np.int32(5)) == Key.of(5) and Key.of([5]) == Key.of(5)
    assert Key.of(0, np.array([-1, 3])) == Key.concat([Key.of(0, -1), Key.of(0, 3)])


def test_shapes_dtypes_and_bounds():
    key = Key.of(0, [1, 2, 3])
    assert len(key) == 3 and len(key[1:]) == 2 and key[1] == Key.of(0, 2)
    assert key.uniform().shape == (3,) and key.uniform(0, 1, 2, 4).shape == (3, 2, 4) and key.uniform().dtype == np.float64
    assert key.words(0).shape == (3, 0) and key.permutation(5).shape == (3, 5)
    low, high = np.array([0, 10, -5]), np.array([1, 12, 5])
    drawn = key.integers(low, high, 1000)
    assert drawn.dtype == np.int64 and (drawn >= low[:, None]).all() and (drawn < high[:, None]).all()
    assert set(drawn[1]) == {10, 11} and set(drawn[2]) == set(range(-5, 5))
    assert (np.sort(key.permutation(9), axis=1) == np.arange(9)).all()
    assert key.bernoulli(0.5).dtype == bool and not key.bernoulli(0.0, 100).any() and key.bernoulli(1.0, 100).all()
    assert np.isfinite(key.normal(10_000)).all()
    wide = key.uniform(-7.0, 11.0, 1000)
    assert (wide >= -7).all() and (wide < 11).all()


def test_an_empty_range_raises():
    with pytest.raises(ValueError, match="empty range"):
        Key.of(0).integers(3, 3)
    with pytest.raises(ValueError, match="empty range"):
        Key.of(0, [1, 2]).integers(0, np.array([4, 0]))


def test_no_keys():
    none = Key.concat([])
    assert len(none) == 0 and none.uniform(0, 1, 2).shape == (0, 2) and Key.of(0, []).integers(0, 5).shape == (0,)


def test_a_key_is_a_value():
    key = Key.of(1, [2, 3])
    assert key == Key.of(1, [2, 3]) and hash(key) == hash(Key.of(1, [2, 3])) and key != Key.of(1, [3, 2]) and key != 3
    assert pickle.loads(pickle.dumps(key)) == key
    first = key.uniform()
    assert np.array_equal(first, key.uniform()), "drawing consumes nothing"


def test_a_draw_is_a_prefix_of_a_longer_draw():
    key = Key.of(4)
    assert np.array_equal(key.words(3), key.words(7)[:, :3])
