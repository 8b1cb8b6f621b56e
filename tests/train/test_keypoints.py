"""examples/keypoints.py: left and right change places in a mirror, unlabelled points are not learnt, training goes on where it was stopped."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import vdata
from vdata import transforms as T
from vdata.batch import collate

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

import coco_score  # noqa: E402
import keypoints  # noqa: E402

FLAGS = ["--size", "64", "--regions", "16", "--workers", "1", "--device", "cpu"]
SCORE = re.compile(r"precision of key points: ([\d.]+) over (\d+) pictures")
LEFT_EYE, RIGHT_EYE = 1, 2


def person() -> dict[str, Any]:
    data = keypoints.load(argparse.Namespace(data=None, root=None), held_out=False)
    return keypoints.without_crowds(data.select("image", "boxes", "keypoints", "iscrowd")[0])


def test_targets_of_a_mirrored_person_have_left_and_right_changed_places():
    sample = person()
    width = sample["image"].shape[-1]
    mirrored = T.RandomHorizontalFlip(1.0)(sample)
    before, after = (keypoints.targets(collate([s]))[0]["keypoints"][0] for s in (sample, mirrored))
    assert before.shape == (17, 3) and set(before[:, 2].tolist()) == {0.0, 1.0, 2.0}
    for one, other in ((0, 0), (LEFT_EYE, RIGHT_EYE), (RIGHT_EYE, LEFT_EYE)):
        x, y, seen = before[one].tolist()
        assert after[other].tolist() == ([width - x, y, seen] if seen else [0.0, 0.0, 0.0])


def test_what_a_person_has_not_labelled_is_not_learnt():
    sample = person()
    torch.manual_seed(0)
    model = keypoints.new_model(argparse.Namespace(size=64, width=64, head=64, regions=16, backbone="resnet18"), 17)
    moved = sample["keypoints"].clone()
    hidden = moved.visibility == 0
    moved[hidden] = 20.0
    seen = moved.like(moved.plain(), visibility=torch.full_like(moved.visibility, 2))
    losses = []
    for points in (sample["keypoints"], moved, seen):
        batch = collate([T.ToDtype(torch.float32, scale=True)({**sample, "keypoints": points})])
        torch.manual_seed(0)
        losses.append(keypoints.loss(model, batch)["loss_keypoint"])
    assert hidden.any() and losses[0] == losses[1] != losses[2]


def test_average_precision_of_the_truth_is_one_and_falls_where_left_and_right_are_mixed_up():
    sample = person()
    (true,) = keypoints.targets(collate([sample]))
    points = true["keypoints"]
    truth = coco_score.as_coco(true, iscrowd=torch.zeros(1).int(), keypoints=points.flatten(1), num_keypoints=(points[..., 2] > 0).sum(1))

    def score(points):
        found = coco_score.as_coco(true, score=torch.ones(1), keypoints=points.flatten(1))
        return coco_score.average_precision([(truth, found)], "keypoints")

    assert score(points) == pytest.approx(1)
    assert score(points[:, list(sample["keypoints"].swap)]) < 0.9


def test_training_learns_and_a_stopped_one_goes_on_bit_for_bit(tmp_path, capsys):
    learnt = keypoints.main([*FLAGS, "--steps", "16", "--stop", "16", "--lr", "1e-3"]).recent
    assert len(learnt) == 16 and sum(learnt[-5:]) < 0.97 * sum(learnt[:5])
    for more in (["whole.pt"], ["parts.pt", "--stop", "2"], ["parts.pt", "--resume"]):
        keypoints.main([*FLAGS, "--steps", "4", "--checkpoint", str(tmp_path / more[0]), *more[1:]])
    whole, parts = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt"))
    assert whole["step"] == parts["step"] == 4 and whole["loader"] == parts["loader"]
    assert all(torch.equal(value, parts["model"][name]) for name, value in whole["model"].items())
    scores = SCORE.findall(capsys.readouterr().out)
    assert len(scores) == 3 and scores[1] == scores[2] and scores[1][1] == "1"  # the first learnt longer


def test_packed_people_are_read_from_shards(tmp_path, capsys):
    for split in ("train", "val"):
        vdata.load("coco", split, task="keypoints", fake=True).pack(str(tmp_path / split))
    done = keypoints.main([*FLAGS, "--data", str(tmp_path / "train"), "--val", str(tmp_path / "val"), "--steps", "2", "--batch-size", "1"])
    assert len(done.recent) == 2 and SCORE.search(capsys.readouterr().out)[2] == "2"
