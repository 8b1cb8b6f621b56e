"""Chains of geometric transforms read as one: law 4 for `Compose(..., fuse=True)`."""

import numpy as np
import pytest
import torch

from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask

SIZE = (72, 96)


def centres(size):
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return x, y


def sample(size=SIZE):
    """A picture of long waves, so that reading it several times costs little; all else lies on it."""
    x, y = centres(size)
    wave = 0.5 + 0.25 * torch.sin(x / 7 + y / 19) + 0.25 * torch.sin(y / 9 - x / 23)
    flow = torch.stack([3 + x / 20, y / 30 - 2])
    return {
        "image1": Image((wave * 255).to(torch.uint8).expand(3, *size).clone()), "image2": Image((wave * 255).to(torch.uint8).expand(3, *size).clone()),
        "flow": Flow(flow), "mask": Mask((wave > 0.5).long(), ignore_index=255, frame="image1"),
        "boxes": BoundingBoxes([[5.0, 6, 40, 30], [50, 10, 95, 70], [0, 0, 96, 72]], format="XYXY", canvas_size=size, frame="image1"),
        "points": KeyPoints(torch.tensor([[3.0, 4.0], [90.0, 60.0]]), canvas_size=size, frame="image1"),
    }  # fmt: skip


UPRIGHT = [
    [T.RandomResizedCrop((40, 48), scale=(0.3, 1)), T.RandomHorizontalFlip(0.5), T.Pad(5), T.RandomCrop(36)],
    [T.Resize((50, 60)), T.RandomCrop((40, 40)), T.RandomVerticalFlip(0.5), T.Resize((64, 50))],
    [T.Pad((9, 0, 3, 7), fill=200), T.Resize((60, 90)), T.RandomHorizontalFlip(1)],
    [T.Resize((90, 80)), T.CenterCrop(100), T.RandomResizedCrop((40, 40), scale=(0.5, 1))],
]
EXACT = [
    [T.RandomHorizontalFlip(0.5), T.RandomCrop((40, 50)), T.RandomVerticalFlip(0.5), T.Pad(3)],
    [T.Pad(4, fill=9), T.RandomCrop(60), T.RandomHorizontalFlip(0.5)],
]


@pytest.mark.parametrize("ts", EXACT, ids=repr)
def test_whole_moves_stay_exact(ts):
    for position in range(6):
        key = Key.of(0, 0, position)
        one, chain = T.Compose(ts, fuse=True)(sample(), key=key), T.Compose(ts)(sample(), key=key)
        for name in chain:
            assert torch.equal(one[name].plain().nan_to_num(1e9), chain[name].plain().nan_to_num(1e9)), name
            assert one[name].meta() == chain[name].meta()


def real(flow):
    return flow.plain().isfinite().all(0)


def inner(known):
    """Without a border of two pixels."""
    return -torch.nn.functional.max_pool2d(-known.float()[None], 5, stride=1, padding=2)[0] > 0.5


@pytest.mark.parametrize("ts", UPRIGHT, ids=repr)
def test_upright_chains_read_what_the_chain_reads(ts):
    for position in range(6):
        key = Key.of(0, 0, position)
        one, chain = T.Compose(ts, fuse=True)(sample(), key=key), T.Compose(ts)(sample(), key=key)
        known = inner(real(one["flow"]) & real(chain["flow"]))  # what is new begins up to a pixel elsewhere
        error = (one["image1"].plain().int() - chain["image1"].plain().int()).abs().float()[:, known]
        assert known.float().mean() > 0.2 and error.mean() < 1.5 and (error > 6).float().mean() < 0.02
        assert (one["mask"].plain() != chain["mask"].plain()).float().mean() < 0.05
        assert torch.allclose(one["points"].plain(), chain["points"].plain(), atol=1e-4)
        assert torch.allclose(one["boxes"].plain(), chain["boxes"].plain(), atol=1e-3)
        both = real(one["flow"]) & real(chain["flow"])
        assert both.float().mean() > 0.3
        assert (one["flow"].plain() - chain["flow"].plain())[:, both].abs().max() < 2e-2
        assert (real(one["flow"]) != real(chain["flow"])).float().mean() < 0.06
        assert one["flow"].target_size == chain["flow"].target_size


@pytest.mark.parametrize("ts", UPRIGHT + EXACT, ids=repr)
def test_a_batch_is_the_loop(ts):
    t = T.Compose(ts, fuse=True)
    keys = Key.of(3, 0, np.arange(6))
    together = t(collate([sample()] * 6), key=keys)
    alone = collate([t(sample(), key=keys[b]) for b in range(6)])
    for name in together:
        for got, want in zip(together[name], alone[name], strict=True):
            assert got.meta() == want.meta() if name != "points" else got.canvas == want.canvas
            assert (got.plain().double().nan_to_num(1e6) - want.plain().double().nan_to_num(1e6)).abs().max() <= (1 if "image" in name else 1e-3)


def test_reading_once_is_closer_to_the_truth():
    """A picture known everywhere, shrunk and enlarged and shrunk again: the chain blurs it, one reading does not."""
    ts = [T.Resize((60, 80), antialias=False), T.Resize((90, 120), antialias=False), T.Resize((66, 88), antialias=False), T.Resize(SIZE, antialias=False)]
    x, y = centres(SIZE)
    image = Image((0.5 + 0.5 * torch.sin(x * 1.1) * torch.sin(y * 0.9))[None])
    error = lambda out: (out.plain() - image.plain())[:, 4:-4, 4:-4].square().mean().sqrt()
    assert error(T.Compose(ts, fuse=True)(image)) < 1e-5 < 0.1 < error(T.Compose(ts)(image))


def test_what_falls_out_stays_lost_and_each_step_fills_by_its_own_colour():
    ts = [T.CenterCrop((40, 40)), T.Pad(10, fill=50), T.Resize((120, 120)), T.Pad(6, fill=90)]
    white = {"image": Image(torch.full((1, 72, 96), 255, dtype=torch.uint8))}
    out = T.Compose(ts, fuse=True)(white)["image"].plain()[0]
    assert out[:6].eq(90).all() and out[8:24, 8:-8].eq(50).all() and out[28:-28, 28:-28].eq(255).all()
    assert (out.int() - T.Compose(ts)(white)["image"].plain()[0].int()).abs().float().mean() < 4


def test_runs_end_at_other_transforms_and_other_ways_of_reading():
    t = T.Compose([T.Resize((60, 80)), T.RandomHorizontalFlip(1), T.RandomInvert(1), T.Resize((30, 40), interpolation="nearest"), T.Resize((40, 50))], fuse=True)
    params = t.draw(Key.of(0), T.Info.of([sample()]))
    names = [type(step).__name__ for step, _ in t.steps(T.row(params, 0))]
    assert names == ["Fold", "RandomInvert", "Fold"]
    chain = T.Compose(t.transforms)
    one, two = t(sample(), key=Key.of(0)), chain(sample(), key=Key.of(0))
    assert (one["image1"].plain().int() - two["image1"].plain().int()).abs().max() <= 2
    mirrored = T.Compose([T.Pad(4, padding_mode="reflect"), T.Resize((60, 80)), T.RandomHorizontalFlip(1)], fuse=True)
    chained = T.Compose(mirrored.transforms)
    assert (mirrored(sample(), key=Key.of(0))["image1"].plain().int() - chained(sample(), key=Key.of(0))["image1"].plain().int()).abs().max() <= 1


def test_decoding_is_not_fused_with_a_fused_chain():
    assert T.Compose([T.RandomResizedCrop(8), T.RandomHorizontalFlip()]).windowed
    assert not T.Compose([T.RandomResizedCrop(8), T.RandomHorizontalFlip()], fuse=True).windowed
