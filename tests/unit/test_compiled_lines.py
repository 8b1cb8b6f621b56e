"""The compiled loop that reads along lines gives what torch's `lerp` gives, bit for bit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from vdata import compiled
from vdata import transforms as T
from vdata.batch import Batch
from vdata.compiled._fused import torch_fuses
from vdata.compiled.lines import read_between
from vdata.tensors import Flow, Image, Video
from vdata.transforms.resize_and_crop import _along_lines, resize_and_crop

pytestmark = pytest.mark.skipif(compiled.numba() is None or not torch_fuses(), reason="needs numba, and a torch that fuses")


@pytest.fixture
def both(monkeypatch):
    """What the loop reads, and what is read without; the loop must have been used."""
    monkeypatch.setattr(compiled, "FEW", -1)

    def read(x, **window):
        calls = []
        with monkeypatch.context() as m:
            loop = lambda *arguments: (calls.append(1), read_between(*arguments))
            loop.pays = read_between.pays
            m.setattr(sys.modules[_along_lines.__module__], "read_between", loop)
            one = _along_lines(x, **window)
        assert len(calls) == 1
        with monkeypatch.context() as m:
            m.setattr(compiled, "numba", lambda: None)
            return one, _along_lines(x, **window)

    return read


def drawn(rng, old, rows=None):
    """A window of a resized canvas; one, or one a row."""
    crop = tuple(int(v) for v in rng.integers(1, 60, 2))
    count = 1 if rows is None else rows
    size = np.stack([np.maximum(rng.integers(1, 4 * o + 2, count), c) for o, c in zip(old, crop, strict=True)])
    first = [rng.integers(0, s - c + 1) for s, c in zip(size, crop, strict=True)]
    numbers = {"height": size[0], "width": size[1], "top": first[0], "left": first[1], "horizontal": rng.random(count) < 0.5, "vertical": rng.random(count) < 0.5}
    return {**{n: v if rows is not None else v[0].item() for n, v in numbers.items()}, "size": crop}


@pytest.mark.parametrize("seed", range(120))
def test_any_window_of_bytes_and_of_vectors(seed, both):
    rng = np.random.default_rng(seed)
    old = tuple(int(rng.choice([1, 2, rng.integers(3, 70)])) for _ in "hw")
    rows = int(rng.integers(1, 4)) if rng.random() < 0.4 else None
    lead = () if rows is None else (rows,)
    kind = rng.integers(4)
    if kind == 0:
        x = Image(torch.from_numpy(rng.integers(0, 256, (*lead, int(rng.choice([1, 3, 4])), *old), np.uint8)))
    elif kind == 1:
        x = Video(torch.from_numpy(rng.integers(0, 256, (*lead, 2, *old, 3), np.uint8)).movedim(-1, -3))
    elif kind == 2:
        x = Image(torch.from_numpy(rng.random((*lead, 3, *old), np.float32)))
    else:
        vectors = rng.normal(0, 9, (*lead, *old, 2)).astype(np.float32)
        vectors[rng.random(vectors.shape[:-1]) < 0.1] = np.nan
        vectors[rng.random(vectors.shape[:-1]) < 0.02] = np.inf
        x = Flow(torch.from_numpy(vectors).movedim(-1, -3))
    one, other = both(x, **drawn(rng, old, rows))
    assert torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(7e7), other.nan_to_num(7e7))


@pytest.mark.parametrize("scale", [25.0, 31.0, 50.0, 63.0, 1e3])
def test_a_canvas_too_large_to_count_in_is_an_error(scale, monkeypatch):
    monkeypatch.setattr(compiled, "FEW", -1)
    batch = Batch({"image": Image(torch.zeros(3, 3, 64, 64, dtype=torch.uint8))}, 3)
    transform = T.RandomResizeAndCrop((16, 16), min_scale=scale, max_scale=scale, resize_prob=1.0)
    with pytest.raises(ValueError, match="at most 1,073,741,824 pixels a side"):
        transform(batch)


def test_gradients_pass(monkeypatch):
    monkeypatch.setattr(compiled, "FEW", -1)
    pixels = torch.rand(3, 50, 50, requires_grad=True)
    resize_and_crop(Image(pixels), 70, 70, 0, 0, (32, 32)).plain().sum().backward()
    assert pixels.grad is not None and pixels.grad.sum() > 0
