"""Colours of bytes in tiles are, to the bit, those of the whole picture at once; and what a crop does not show need not be coloured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vdata import compiled
from vdata import transforms as T
from vdata.key import Key
from vdata.tensors import Flow, Image, Mask, Video
from vdata.transforms import _tiles, functional
from vdata.transforms._info import Info
from vdata.transforms._params import row

VERBS = {"brightness": functional.adjust_brightness, "contrast": functional.adjust_contrast, "saturation": functional.adjust_saturation, "hue": functional.adjust_hue}
FACTORS = [0.0, 1e-9, 0.3, 1.0, 1.0000001, 1.7, 300.0, np.inf]
TURNS = [-0.5, -1 / 3, -1e-9, 0.0, 1e-9, 1 / 6, 0.5]


@pytest.fixture(autouse=True, params=["tiles", pytest.param("loops", marks=pytest.mark.skipif(compiled.numba() is None, reason="needs numba"))])
def way(request, monkeypatch):
    """Every law holds for tiles, and for the compiled loop from the first pixel on."""
    monkeypatch.setattr(compiled, "FEW", -1)
    if request.param == "tiles":
        monkeypatch.setattr(compiled, "numba", lambda: None)


@pytest.fixture
def whole(monkeypatch):
    """What a function gives where nothing is done in tiles."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            for module in ("color", "asymmetric"):
                patch.setattr(f"vdata.transforms.{module}.tileable", lambda *_: False)
            return function(*arguments)

    return call


def pictures(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Noise; few levels, so that channels tie; or grey."""
    x = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
    kind = rng.integers(4)
    if kind == 1:
        x = x // 64 * 85
    elif kind == 2:
        x[..., 1:3, :, :] = x[..., :1, :, :]
    elif kind == 3:
        x = x.movedim(-3, -1).contiguous().movedim(-1, -3)  # interleaved
    return x


def drawn(rng: np.random.Generator) -> list[tuple[str, float]]:
    """Some of the verbs in any order, with factors at the edges or anywhere."""
    names = rng.permutation(list(VERBS))[: rng.integers(1, 5)]
    number = lambda name: rng.choice(TURNS + [rng.uniform(-0.5, 0.5)] * 4) if name == "hue" else rng.choice(FACTORS + [rng.uniform(0, 2)] * 4)
    return [(str(name), float(number(name))) for name in names]


def chained(image, steps):
    for name, number in steps:
        image = VERBS[name](image, number)
    return image


@pytest.mark.parametrize("seed", range(60))
def test_any_chain_in_tiles_of_any_size_is_that_of_the_whole(seed, monkeypatch, whole):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(_tiles, "_PIXELS", int(rng.choice([1 << 16, 1000, 97, 8])))
    x = pictures(rng, int(rng.choice([1, 3, 4])), *rng.integers(1, 60, 2))
    before, steps = x.clone(), drawn(rng)
    out = _tiles.in_tiles([x], [steps])[0]
    assert torch.equal(out, whole(chained, Image(x), steps).plain()), steps
    assert torch.equal(x, before)


@pytest.mark.parametrize("turn", [*TURNS, 0.123, -0.321])
def test_the_hue_of_all_greatest_and_least_levels(turn, whole):
    side = torch.arange(256, dtype=torch.uint8)
    one, two = side.repeat(256).reshape(256, 256), side.repeat_interleave(256).reshape(256, 256)
    between = (one.int() * 2 + two.int()).div(3, rounding_mode="floor").to(torch.uint8)
    for order in ([one, between, two], [between, one, two], [one, two, between], [one, one, two], [one, two, one], [two, one, one]):
        x = Image(torch.stack(order))
        assert torch.equal(functional.adjust_hue(x, turn), whole(functional.adjust_hue, x, turn))


def test_verbs_and_jitters_of_large_pictures_clips_and_batches(whole):
    rng = np.random.default_rng(0)
    jitter = T.ColorJitter(0.8, 0.8, 0.8, 0.5)
    for leaf in (Image(pictures(rng, 3, 140, 130)), Video(pictures(rng, 2, 3, 130, 140)), Image(pictures(rng, 3, 4, 150, 120))):
        for name, verb in VERBS.items():
            factor = 0.2 if name == "hue" else 1.4
            assert torch.equal(verb(leaf, factor), whole(verb, leaf, factor)), name
    batch, clips = Image(pictures(rng, 3, 4, 150, 120)), Video(pictures(rng, 3, 2, 3, 130, 140))
    for leaf in (batch, clips):
        for name, verb in VERBS.items():
            rows = rng.uniform(-0.5, 0.5, 3) if name == "hue" else rng.uniform(0, 2, 3)
            assert torch.equal(verb(leaf, rows), whole(verb, leaf, rows)), name
        params = jitter.draw(Key(np.arange(3, dtype=np.uint64)), Info({}))
        assert torch.equal(jitter.change(params, leaf), whole(jitter.change, params, leaf))
        assert torch.equal(jitter.change(params, leaf)[1], jitter.change(row(params, 1), leaf[1]))
    assert VERBS["contrast"](Image(torch.empty(0, 3, 200, 200, dtype=torch.uint8)), 1.2).shape == (0, 3, 200, 200)


def test_a_factor_out_of_range_is_refused_in_tiles_too():
    x = Image(torch.zeros(3, 200, 200, dtype=torch.uint8))
    with pytest.raises(ValueError, match="hue_factor must be in"):
        VERBS["hue"](x, 0.6)
    with pytest.raises(ValueError, match="contrast_factor must be at least 0"):
        T.ColorJitter(contrast=0.5).change({"order": [0, 1, 2, 3], "contrast": -1.0}, x)


@pytest.mark.parametrize("seed", range(12))
def test_pictures_of_unequal_sizes_share_one_mean_and_a_window_is_that_of_the_whole(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    two, steps = [pictures(rng, 3, 50, 60), pictures(rng, 3, 40, 70)], drawn(rng)
    together = _tiles.in_tiles([torch.cat([x.flatten(-2) for x in two], -1)[:, None]], [steps])[0].squeeze(-2)
    monkeypatch.setattr(_tiles, "_PIXELS", 333)
    outs = _tiles.in_tiles(two, [steps])
    assert torch.equal(torch.cat([x.flatten(-2) for x in outs], -1), together)
    window = _tiles.Window(7, 31, 5, 40)
    part = _tiles.in_tiles(two, [steps], [window, None])
    assert torch.equal(part[0][:, 7:31, 5:40], outs[0][:, 7:31, 5:40]) and torch.equal(part[1], outs[1])


def pair(rng: np.random.Generator, height: int, width: int) -> dict:
    frames = {n: Image(pictures(rng, 3, height, width)) for n in ("image1", "image2")}
    flow = torch.from_numpy(rng.normal(0, 5, (2, height, width)).astype(np.float32))
    flow[:, rng.random((height, width)) < 0.1] = torch.nan
    return {**frames, "flow": Flow(flow), "occlusion": Mask(torch.zeros(height, width, dtype=torch.uint8))}


@pytest.mark.parametrize("asymmetric", [0.0, 1.0])
@pytest.mark.parametrize("erase", [0.0, 1.0])
@pytest.mark.parametrize("sparse", [False, True])
def test_colouring_what_the_crop_shows_is_colouring_all(asymmetric, erase, sparse, whole):
    augment = T.RAFTAugment((40, 56), max_scale=1.0, sparse=sparse, asymmetric=asymmetric, erase=erase)
    for seed in range(8):
        sample = pair(np.random.default_rng(seed), 90, 120)
        params = row(augment.draw(Key.of(seed), Info.of([sample])), 0)
        one, other = augment.apply(params, sample), whole(augment.parts.apply, params, augment._told(sample))
        for name in sample:
            assert torch.equal(one[name].plain().nan_to_num(7e7), other[name].plain().nan_to_num(7e7)), (seed, name)


def test_the_crop_reads_its_window_and_nothing_else():
    crop = T.RandomResizeAndCrop((24, 30), -1.0, 1.5, h_flip_prob=0.5, v_flip_prob=0.5)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sample = {"image": Image(pictures(rng, 3, 50, 60))}
        params = row(crop.draw(Key.of(seed), Info.of([sample])), 0)
        top, bottom, left, right = crop.seen(params, (50, 60))
        spoilt = 255 - sample["image"].plain()
        spoilt[:, top:bottom, left:right] = sample["image"].plain()[:, top:bottom, left:right]
        out = crop.apply(params, sample)["image"]
        assert torch.equal(crop.apply(params, {"image": Image(spoilt)})["image"], out)
        edged = sample["image"].plain().clone()
        for line in (edged[:, top, left:right], edged[:, bottom - 1, left:right], edged[:, top:bottom, left], edged[:, top:bottom, right - 1]):
            kept = line.clone()
            line[:] = 255 - line
            assert not torch.equal(crop.apply(params, {"image": Image(edged)})["image"], out)
            line[:] = kept
