"""The compiled loop of colours gives what tiles of numpy and torch give, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vdata import compiled
from vdata.compiled import colours
from vdata.transforms import _tiles
from vdata.transforms._tiles import Window, in_tiles

pytestmark = pytest.mark.skipif(compiled.numba() is None, reason="needs numba")
FACTORS = [0.0, 1e-45, 1e-9, 0.5, 1.0, 1.0000001, 1.9999, 255.0, 3e38, np.inf]  # black infinitely often is NaN
NAMES = ["brightness", "contrast", "saturation", "hue"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(compiled, "FEW", -1)


@pytest.fixture
def same(monkeypatch):
    """That both ways agree on what they do to pictures."""

    def check(pictures, rows, windows=None):
        outs = in_tiles(pictures, rows, windows)
        with monkeypatch.context() as m:
            m.setattr(compiled, "numba", lambda: None)
            plain = in_tiles(pictures, rows, windows)
        for number, (out, other) in enumerate(zip(outs, plain, strict=True)):
            top, bottom, left, right = (windows and windows[number]) or Window(0, out.shape[-2], 0, out.shape[-1])
            assert torch.equal(out[..., top:bottom, left:right], other[..., top:bottom, left:right]), rows

    return check


def noise(rng, *shape):
    return torch.from_numpy(rng.integers(0, 256, shape, np.uint8))


def steps(rng):
    names = rng.choice(NAMES, rng.integers(0, 6))  # any of them more than once
    return [(str(n), float(rng.uniform(-0.5, 0.5) if n == "hue" else rng.choice([*FACTORS, *rng.uniform(0, 2, 6)]))) for n in names]


def test_the_hue_of_many_colours_and_turns(same):
    rng = np.random.default_rng(0)
    for turn in [*np.arange(-6, 7) / 12, *rng.uniform(-0.5, 0.5, 12), -1e-9, 1e-9]:
        colour = noise(rng, 3, 256, 256)
        colour[:, :64] = colour[:, :64] // 85 * 85  # ties
        colour[:, 64:96] = colour[:, 64:96] // 64  # nearly black
        same([colour], [[("hue", float(turn))]])


@pytest.mark.parametrize("factor", FACTORS)
def test_all_levels_times_any_factor(factor, same):
    levels = torch.arange(256, dtype=torch.uint8)
    every = torch.stack([levels.repeat(256), levels.repeat_interleave(256), levels.flip(0).repeat(256)]).reshape(3, 256, 256)
    for name in NAMES[:3]:
        same([every], [[(name, factor)]])
        same([every[:1]], [[(name, factor)]])
        same([torch.zeros_like(every)], [[(name, factor)]])


@pytest.mark.parametrize("seed", range(40))
def test_any_steps_of_any_pictures(seed, same):
    """Of 1, 3 or 4 channels, in any strides, alone, in batches whose rows have steps of their own, or several with one mean."""
    rng = np.random.default_rng(seed)
    channels, rows = int(rng.choice([1, 3, 4])), int(rng.choice([0, 1, 3]))
    lead = (rows,) if rows else ()
    pictures = []
    for _ in range(rng.integers(1, 3)):
        high, wide = (int(rng.choice([1, 2, rng.integers(3, 90)])) for _ in "hw")
        x = noise(rng, *lead, channels, high + 2, wide + 3)[..., 1:-1, 2:-1]
        pictures.append(x.movedim(-3, -1).contiguous().movedim(-1, -3) if rng.random() < 0.3 else x)
    before = [x.clone() for x in pictures]
    same(pictures, [steps(rng) for _ in range(max(rows, 1))])
    assert all(torch.equal(x, kept) for x, kept in zip(pictures, before, strict=True))
    height, width = pictures[0].shape[-2:]
    window = Window(height // 3, height, 0, width - width // 3)
    same(pictures, [steps(rng)], [window, *[None] * (len(pictures) - 1)])


def test_a_wide_window_of_a_wide_picture_has_more_than_one_block_a_line(same):
    rng = np.random.default_rng(0)
    same([noise(rng, 3, 5, 5000)], [[("saturation", 1.3), ("contrast", 1.2), ("hue", 0.1)]], [Window(1, 4, 17, 4800)])


def test_the_loop_is_taken_for_the_smallest_picture_too(monkeypatch):
    calls = []
    monkeypatch.setattr(_tiles, "_loop", lambda *arguments: calls.append(arguments))
    tiny = torch.zeros(3, 1, 1, dtype=torch.uint8)
    assert _tiles.tileable(tiny, ("hue",)) and colours.coloured.pays(0)
    in_tiles([tiny], [[("hue", 0.1)]])
    assert len(calls) == 1
