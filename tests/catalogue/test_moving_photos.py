"""moving_photos: flow, occlusion, boxes and masks agree with the pixels and with each other."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

import vdata
from vdata.datasets import _scene, moving_photos
from vdata.errors import DataError, PlanError
from vdata.key import Key
from vdata.tensors import BoundingBoxes, Flow, Image, Mask
from vdata.viz import warp

_SIZE = (128, 160)


@pytest.fixture(scope="module")
def pipe():
    return vdata.load("moving_photos", size=_SIZE, length=24)


def grown(mask, by):
    return F.max_pool2d(mask.float()[None, None], 2 * by + 1, 1, by)[0, 0] > 0


def nearest(sample):
    """The number of the object that each pixel of the first frame shows, 0 for the background."""
    masks = sample["masks"].plain()
    return (masks.long() * torch.arange(1, len(masks) + 1)[:, None, None]).sum(0)


def edges(top):
    top = top.float()[None, None]
    return (F.max_pool2d(top, 3, 1, 1) != -F.max_pool2d(-top, 3, 1, 1))[0, 0]


def test_the_flow_explains_the_pair(pipe):
    for sample in pipe:
        warped = warp(sample["image2"].float(), sample["flow"]).plain()
        error = (warped - sample["image1"].float().plain()).abs().mean(0)
        inside = ~grown(edges(nearest(sample)) | sample["occlusion"].plain(), 2)
        assert error[inside].mean() < 3
        assert inside.float().mean() > 0.6


def test_without_the_flow_the_pair_is_not_explained(pipe):
    worse = 0
    for sample in pipe:
        inside = ~grown(edges(nearest(sample)) | sample["occlusion"].plain(), 2)
        still = (sample["image2"].float().plain() - sample["image1"].float().plain()).abs().mean(0)[inside].mean()
        warped = warp(sample["image2"].float(), sample["flow"]).plain()
        moved = (warped - sample["image1"].float().plain()).abs().mean(0)[inside].mean()
        worse += still > 2 * moved
    assert worse >= 22


def test_types_and_shapes(pipe):
    sample = pipe[3]
    expected = {
        "image1": Image,
        "image2": Image,
        "flow": Flow,
        "occlusion": Mask,
        "boxes": BoundingBoxes,
        "masks": Mask,
    }
    assert {n: type(v) for n, v in sample.items() if n != "__key__"} == expected
    assert sample["__key__"] == "train-000003"
    assert sample["image1"].shape == sample["image2"].shape == (3, *_SIZE) and sample["image1"].dtype == torch.uint8
    assert (
        sample["flow"].shape == (2, *_SIZE)
        and sample["flow"].dtype == torch.float32
        and sample["flow"].isfinite().all()
    )
    assert sample["occlusion"].dtype == sample["masks"].dtype == torch.bool
    assert sample["masks"].kind == "instance" and sample["masks"].frame == sample["boxes"].frame == "image1"


def test_boxes_are_tight_and_masks_do_not_overlap(pipe):
    for sample in pipe:
        masks, boxes = sample["masks"].plain(), sample["boxes"].plain()
        assert 1 <= len(masks) == len(boxes) <= 4
        assert masks.sum(0).max() == 1
        for mask, box in zip(masks, boxes):
            rows, columns = mask.nonzero().T
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_no_pixel_moves_further_than_allowed():
    for most in (0.0, 3.0, 32.0):
        for sample in vdata.load("moving_photos", size=_SIZE, length=6, max_motion=most):
            length = sample["flow"].plain().norm(dim=0).max()
            assert length <= most + 1e-4
            if not most:
                assert torch.equal(sample["image1"].plain(), sample["image2"].plain()) and not sample["occlusion"].any()
    assert max(s["flow"].plain().norm(dim=0).max() for s in vdata.load("moving_photos", size=_SIZE, length=10)) > 3


def test_each_object_moves_by_an_affine_map(pipe):
    for sample in (pipe[i] for i in range(6)):
        for mask in sample["masks"].plain():
            rows, columns = mask.nonzero().T
            points = torch.stack([columns + 0.5, rows + 0.5, torch.ones(len(rows))], 1).double()
            vectors = sample["flow"].plain()[:, mask].T.double()
            fit = points @ torch.linalg.lstsq(points, vectors, driver="gelsd").solution
            assert (fit - vectors).abs().max() < 1e-3


def brute_force(layers, size, samples):
    """What hides each pixel of frame 1, by painting frame 2's points from the front to the back, one at a time."""
    hidden = {}
    for i, j in samples:
        x, y = np.array([j + 0.5]), np.array([i + 0.5])
        own = max(k for k, layer in enumerate(layers) if layer.depth(x, y)[0] > 0)
        x2, y2 = layers[own].forward(x, y)
        seen = max(k for k, layer in enumerate(layers) if layer.depth(*layer.backward(x2, y2))[0] > 0)
        outside = not (0 <= x2[0] <= size[1] and 0 <= y2[0] <= size[0])
        hidden[i, j] = outside or seen != own
    return hidden


def test_occlusion_by_brute_force():
    source = moving_photos.source("train", size=_SIZE, max_motion=16)
    for index in range(4):
        layers = source._layers(Key.of(0, "train", index))
        occlusion = source.read(index)["occlusion"]
        points = [(i, j) for i in range(0, _SIZE[0], 5) for j in range(0, _SIZE[1], 5)]
        for (i, j), hidden in brute_force(layers, _SIZE, points).items():
            assert bool(occlusion[i, j]) == hidden


def test_what_is_not_occluded_lands_on_the_same_object(pipe):
    """A forward z-test on pixels: frame 2's nearest layer at the place where a pixel lands is the pixel's own."""
    source = moving_photos.source("train", size=_SIZE)
    for index in range(6):
        layers = source._layers(Key.of(0, "train", index))
        top1, _ = _scene.painted(layers, _SIZE, second=False)
        top2, _ = _scene.painted(layers, _SIZE, second=True)
        sample = pipe[index]
        x, y = _scene.grid(_SIZE)
        u, v = sample["flow"].numpy()
        columns, rows = np.floor(x + u).astype(int), np.floor(y + v).astype(int)
        inside = (columns >= 0) & (columns < _SIZE[1]) & (rows >= 0) & (rows < _SIZE[0])
        landed = top2[rows.clip(0, _SIZE[0] - 1), columns.clip(0, _SIZE[1] - 1)]
        boundary = edges(torch.from_numpy(top2)).numpy()
        clear = inside & ~boundary[rows.clip(0, _SIZE[0] - 1), columns.clip(0, _SIZE[1] - 1)]
        assert ((landed != top1) == sample["occlusion"].numpy())[clear].all()
        assert sample["occlusion"].numpy()[~inside].all()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), motion=st.floats(0, 1))
def test_the_background_can_be_inverted(seed, motion):
    size = (64, 80)
    photo = np.zeros((96, 112, 3), np.uint8)
    layer = _scene.Background.drawn(Key.of(seed), photo, size, motion * 16)
    x, y = _scene.grid(size)
    for there, back in ((layer.forward, layer.backward), (layer.backward, layer.forward)):
        x2, y2 = back(*there(x, y))
        assert max(np.abs(x2 - x).max(), np.abs(y2 - y).max()) < 1e-3


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_a_cutout_lies_in_its_region_in_both_frames(seed):
    size = (64, 80)
    layer = _scene.Cutout.drawn(Key.of(seed), np.zeros((96, 112, 3), np.uint8), size, 16.0)
    region = np.zeros(size, bool)
    region[layer.region(size)] = True
    x, y = _scene.grid(size)
    assert not (layer.depth(x, y) > -0.5)[~region].any()
    assert not (layer.depth(*layer.backward(x, y)) > -0.5)[~region].any()


def test_reading_between_texels():
    photo = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    x, y = np.random.default_rng(1).uniform(0.5, 6.5, (2, 200))
    places = torch.from_numpy(np.stack([2 * x / 9 - 1, 2 * y / 7 - 1], -1))[None, None]
    wanted = F.grid_sample(
        torch.from_numpy(photo).permute(2, 0, 1)[None].double(), places, align_corners=False, padding_mode="reflection"
    )
    assert np.allclose(_scene.sampled(photo, x, y), wanted[0, :, 0].T.numpy(), atol=1e-3)
    assert np.array_equal(_scene.sampled(photo, np.array([-0.5, 9.5]), np.array([0.5, 6.5])), photo[[0, 6], [0, 8]])


def fingerprint(samples):
    return hashlib.sha256(
        b"".join(v.numpy().tobytes() for s in samples for n, v in s.items() if n != "__key__")
    ).hexdigest()


def test_the_same_in_every_process(pipe):
    code = (
        "import sys, json, vdata; sys.path.insert(0, 'tests/catalogue'); import test_moving_photos as t\n"
        f"print(json.dumps(t.fingerprint([vdata.load('moving_photos', size={_SIZE}, length=24)[i] for i in (5, 2)])))"
    )
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(vdata.__file__).parents[1]),
        "PYTHONHASHSEED": "7",
        "OMP_NUM_THREADS": "2",
    }
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=env["PYTHONPATH"], check=True
    )
    assert json.loads(run.stdout) == fingerprint([pipe[5], pipe[2]])


def test_a_sample_is_a_function_of_its_number(pipe):
    torch.manual_seed(1)
    np.random.seed(1)
    first = fingerprint([pipe[7]])
    torch.manual_seed(2)
    np.random.seed(2)
    assert (
        fingerprint([pickle.loads(pickle.dumps(pipe))[7]])
        == first
        == fingerprint([vdata.load("moving_photos", size=_SIZE, length=9)[7]])
    )
    others = [
        pipe[8],
        vdata.load("moving_photos", size=_SIZE, seed=1)[7],
        vdata.load("moving_photos", "val", size=_SIZE)[7],
    ]
    assert len({first, *(fingerprint([o]) for o in others)}) == 4


def test_in_a_loader(pipe):
    batches = list(pipe.select("image1", "image2", "flow", "occlusion").batch(8).loader(workers=2))
    assert [b["flow"].shape for b in batches] == [(8, 2, *_SIZE)] * 3


def test_options():
    assert len(vdata.load("moving_photos", length=7)) == 7
    assert vdata.load("moving_photos", size=(64, 48))[0]["flow"].shape == (2, 64, 48)
    empty = vdata.load("moving_photos", size=(64, 48), objects=(0, 0))[0]
    assert empty["masks"].shape == (0, 64, 48) and empty["boxes"].shape == (0, 4)
    digests = {moving_photos.source(**{"split": "train", **o}).digest
               for o in ({}, {"split": "val"}, {"seed": 1}, {"size": (64, 64)}, {"max_motion": 3}, {"objects": (2, 2)}, {"length": 3})}  # fmt: skip
    assert len(digests) == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (8, 64)}, "at least 16"), ({"length": -1}, "not negative"), ({"max_motion": 65}, "quarter"), ({"max_motion": -1}, "quarter"),
        ({"max_motion": float("nan")}, "quarter"), ({"objects": (3, 2)}, "least"), ({"objects": (0, 99)}, "least"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(options, message):
    with pytest.raises(PlanError, match=message):
        vdata.load("moving_photos", **options)


def test_photographs_of_ones_own(tmp_path):
    with pytest.raises(DataError, match="no photograph"):
        vdata.load("moving_photos", photos=tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "notes.txt").write_text("not a photograph")
    for n, shape in enumerate([(40, 200), (300, 30)]):
        pillow.fromarray(np.random.default_rng(n).integers(0, 256, (*shape, 3)).astype(np.uint8)).save(
            tmp_path / "sub" / f"{n}.png"
        )
    pipe = vdata.load("moving_photos", photos=tmp_path, size=(64, 64), length=3)
    assert all(s["image1"].shape == (3, 64, 64) for s in pipe)
    (tmp_path / "sub" / "0.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"0\.png"):
        list(vdata.load("moving_photos", photos=tmp_path, size=(64, 80), length=3))


def test_photographs_are_chosen_without_repeats():
    for total in (1, 2, 5, 100):
        for seed in range(20):
            chosen = moving_photos._chosen(Key.of(seed), 5, total)
            assert all(0 <= c < total for c in chosen)
            assert total < 5 or len(set(chosen)) == 5
            assert total == 1 or all(a != b for a, b in pairwise(chosen))
    assert len({tuple(moving_photos._chosen(Key.of(s), 2, 5)) for s in range(300)}) == 20


def test_it_needs_no_files(tmp_path):
    moving_photos.fake(tmp_path)
    assert not any(tmp_path.iterdir())
    assert vdata.load("moving_photos", fake=True, length=2, size=(64, 64))[1]["__key__"] == "train-000001"
    assert "moving_photos" in vdata.list_datasets("optical flow") and "_scene" not in vdata.list_datasets()
