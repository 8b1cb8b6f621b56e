"""examples/segmentation.py: unknown pixels count for nothing, models learn, training goes on where it was stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch

import vdata
from vdata import transforms as T

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

import segmentation  # noqa: E402

FLAGS = ["--size", "48", "--workers", "1", "--device", "cpu"]


def pets(held_out: bool = False) -> vdata.DataPipe:
    return segmentation.load(argparse.Namespace(data=None, root=None), held_out)


def test_the_border_and_new_pixels_are_unknown():
    sample = pets()[0]
    trimap = vdata.load("oxford_iiit_pet", "trainval", fake=True)[0]["mask"].plain()
    mask = sample["mask"].plain()
    assert sample["mask"].categories == ("background", "pet")
    for number, name in ((1, 1), (2, 0), (3, segmentation.UNKNOWN)):
        assert (mask[trimap == number] == name).all()
    wide = T.RandomCrop(100, pad_if_needed=True)(sample)["mask"].plain()
    known = wide != segmentation.UNKNOWN
    assert known.sum() == (mask != segmentation.UNKNOWN).sum()


def test_the_loss_does_not_see_unknown_pixels():
    class Fixed(torch.nn.Module):
        def __init__(self, scores):
            super().__init__()
            self.scores = scores

        def forward(self, pixels):
            return {"out": self.scores}

    batch = pets().apply(T.Letterbox(48), *segmentation.TO_FLOATS).batch(3)[0]
    scores = torch.randn(3, 2, 48, 48)
    unknown = (batch["mask"].plain() == segmentation.UNKNOWN)[:, None].expand_as(scores)
    other = torch.where(unknown, torch.randn_like(scores), scores)
    assert unknown.any() and segmentation.loss(Fixed(scores), batch) == segmentation.loss(Fixed(other), batch)
    assert segmentation.loss(Fixed(scores), batch) != segmentation.loss(Fixed(-scores), batch)


def test_mean_iou_is_that_of_the_definition():
    class Threshold(torch.nn.Module):
        def forward(self, pixels):
            return {"out": torch.stack([-pixels[:, 0], pixels[:, 0]], 1)}

    held_out = pets(held_out=True).apply(T.Letterbox(48), *segmentation.TO_FLOATS)
    score, pixels = segmentation.mean_iou(Threshold(), held_out.batch(2).loader(workers=0), 2, torch.device("cpu"))
    pairs = torch.cat([torch.stack([s["mask"].plain().flatten().long(), (s["image"].plain()[0] > 0).flatten().long()]) for s in held_out], 1)
    true, found = pairs[:, pairs[0] != segmentation.UNKNOWN]
    by_class = [((true == c) & (found == c)).sum() / ((true == c) | (found == c)).sum() for c in (0, 1)]
    assert pixels == len(true) and score == pytest.approx(float(sum(by_class) / 2), abs=1e-6)
    shares = [held_out.batch(2).loader(workers=0, rank=r, world_size=2, uneven="exact") for r in (0, 1)]
    assert sum(segmentation.mean_iou(Threshold(), share, 2, torch.device("cpu"))[1] for share in shares) == pixels  # each once


def test_training_learns():
    learnt = segmentation.main([*FLAGS, "--steps", "20", "--batch-size", "5"]).recent
    assert len(learnt) == 20 and sum(learnt[-5:]) < 0.9 * sum(learnt[:5])


@pytest.mark.parametrize("model", segmentation.MODELS[2:])
def test_large_models_take_a_step(model):
    found = segmentation.main([*FLAGS, "--model", model, "--size", "32", "--steps", "2", "--batch-size", "2", "--stop", "2"]).recent
    assert len(found) == 2 and all(0.1 < value < 10 for value in found)


def test_stopped_training_goes_on_bit_for_bit(tmp_path):
    drawn = [*FLAGS, "--model", "deeplabv3_mobilenet_v3_large", "--steps", "4", "--batch-size", "2", "--checkpoint"]  # it has dropout
    for more in (["whole.pt"], ["parts.pt", "--stop", "2"], ["parts.pt", "--resume"]):
        segmentation.main([*drawn, str(tmp_path / more[0]), *more[1:]])
    whole, parts = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt"))
    assert whole["step"] == parts["step"] == 4 and whole["loader"] == parts["loader"]
    assert all(torch.equal(value, parts["model"][name]) for name, value in whole["model"].items())
