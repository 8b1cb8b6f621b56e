"""The compiled loop that reads bytes under affine maps gives what torch's kernel gives, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vdata import compiled
from vdata.compiled import warp
from vdata.transforms import _warp
from vdata.transforms._map import Map
from vdata.transforms._warp import How, warped
from vdata.transforms.interpolation import InterpolationMode

pytestmark = pytest.mark.skipif(compiled.numba() is None or not _warp._loop_rounds_alike(), reason="needs numba, and a torch that fuses")
BILINEAR = How(InterpolationMode.BILINEAR, blends=True)


@pytest.fixture
def both(monkeypatch):
    """What is read by the loop and without; the loop must have been used."""
    monkeypatch.setattr(compiled, "FEW", -1)

    def read(x, move, fill, how=BILINEAR):
        calls = []
        with monkeypatch.context() as m:
            m.setattr(warp, "read_bilinear", counted := _Counted(warp.read_bilinear, calls))
            one = warped(x, move, how, fill)
            assert counted.pays(0) and len(calls) == 1
        with monkeypatch.context() as m:
            m.setattr(compiled, "numba", lambda: None)
            other = warped(x, move, how, fill)
        return one, other

    return read


class _Counted:
    def __init__(self, loop, calls):
        self.loop, self.pays, self.calls = loop, loop.pays, calls

    def __call__(self, *arguments):
        self.calls.append(1)
        self.loop(*arguments)


def turned(rng, size, new, rows=None):
    """A rotation, shear and scale about the middle; of the whole picture, or of a bit of it far away."""
    matrix = rng.normal(0, rng.choice([0.3, 3, 30]), (2, 2, *([] if rows is None else [rows])))
    shift = rng.uniform(-1, 1, (2, *matrix.shape[2:])) * max(size)
    numbers = (matrix[0, 0], matrix[0, 1], shift[0], matrix[1, 0], matrix[1, 1], shift[1])
    a, b, c, d, e, f = (float(v) if rows is None else v for v in numbers)
    return Map((a, b, c, d, e, f), new)


@pytest.mark.parametrize("seed", range(80))
def test_any_map_of_any_bytes(seed, both):
    rng = np.random.default_rng(seed)
    size, new = (tuple(int(rng.choice([1, 2, rng.integers(3, 80), rng.integers(200, 300)])) for _ in "hw") for _ in "on")
    rows = int(rng.integers(1, 4)) if rng.random() < 0.4 else None
    lead = [(), (2,), (3, 1)][rng.integers(3)] if rows is None else [(rows,), (rows, 2)][rng.integers(2)]
    channels = int(rng.integers(1, 10))
    x = torch.from_numpy(rng.integers(0, 256, (*lead, channels, size[0] + 1, size[1] + 2), np.uint8))[..., 1:, 1:-1]
    fill = [0, 17, 255, tuple(map(int, rng.integers(0, 256, channels)))][rng.integers(4)]
    move = turned(rng, size, new, rows)
    for how in (BILINEAR, replace(BILINEAR, border="edge")):
        one, other = both(x, move, fill, how)
        assert torch.equal(one, other)


@pytest.mark.parametrize("scale", [0.5, 2.0, 10 / 3, 8.0])
def test_where_halves_abound(scale, both):
    """Turned by nothing: places lie on borders and middles of pixels, so that many values are halves, which round to even."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 256, (3, 60, 70), np.uint8))
    for sheared in (0.0, 0.25):
        one, other = both(x, Map((scale, sheared, -3.5, sheared, scale, 2.25), (200, 300)), 5)
        assert torch.equal(one, other)


def test_places_that_are_no_numbers_read_what_exists(both):
    x = torch.full((3, 5, 6), 7, dtype=torch.uint8)
    one, other = both(x, Map((np.nan, 0.5, 1.0, 0.5, 1.0, 0.0), (40, 300)), 9)
    assert torch.equal(one, other)


def test_a_torch_that_rounds_otherwise_is_left_to_itself(monkeypatch):
    monkeypatch.setattr(warp, "read_bilinear", lambda x, out, *_: out.fill(0))
    _warp._loop_rounds_alike.cache_clear()
    assert not _warp._loop_rounds_alike()
    _warp._loop_rounds_alike.cache_clear()
