"""examples/detection.py: every model learns, judging counts each picture once, training goes on where it was stopped."""

from __future__ import annotations

import argparse
import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models.detection.fcos import FCOSHead

import vdata

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

import coco_score  # noqa: E402
import detection  # noqa: E402
import detectors  # noqa: E402

SMALL = {"size": 64, "width": 64, "backbone": "resnet18", "regions": 16}
FLAGS = ["--size", "64", "--width", "64", "--regions", "16", "--batch-size", "2", "--workers", "1", "--device", "cpu"]
SCORE = re.compile(r"precision of boxes: ([\d.]+) over (\d+) pictures")


def new(model: str, box_loss: str = "") -> tuple[torch.nn.Module, int]:
    kind = detectors.MODELS[model]
    torch.manual_seed(0)
    return kind.build(1, argparse.Namespace(**SMALL, box_loss=box_loss or kind.box_losses[0])), kind.first_class


def losses(model: torch.nn.Module, batch: vdata.Batch, first_class: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return model(list(batch["image"].plain()), detection.targets(batch, first_class))


@pytest.fixture(scope="module")
def batch() -> vdata.Batch:
    data = detection.load(argparse.Namespace(data=None), held_out=False)
    augment = detection.recipes(64)["copy_paste"]
    return data.apply(*augment, detection.T.SanitizeBoundingBoxes(), detection.T.ToDtype(torch.float32, scale=True)).batch(2)[0]


@pytest.mark.parametrize("model", detectors.MODELS)
def test_every_model_learns_a_batch(model, batch):
    learner, first_class = new(model)
    optimizer = torch.optim.AdamW(learner.parameters(), 3e-4)
    seen = []
    for _ in range(5):
        loss = torch.stack(list(losses(learner, batch, first_class).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.parameters())  # none is frozen, and DDP waits for none
        optimizer.step()
        seen.append(loss.item())
    assert min(seen[3:]) < seen[0]  # regions are other ones at each step, so the loss does not fall evenly


@pytest.mark.parametrize("model", ["fcos", "retinanet"])
def test_losses_of_boxes_differ_and_nothing_else_does(model, batch):
    found = {name: losses(*new_with(model, name, batch)) for name in detectors.MODELS[model].box_losses}
    for (_, a), (_, b) in itertools.combinations(found.items(), 2):
        assert a["bbox_regression"] > 0 and not torch.isclose(a["bbox_regression"], b["bbox_regression"], rtol=1e-5)
        assert a["classification"] == b["classification"]


def new_with(model: str, box_loss: str, batch: vdata.Batch) -> tuple[torch.nn.Module, vdata.Batch, int]:
    learner, first_class = new(model, box_loss)
    return learner, batch, first_class


def test_the_giou_of_fcos_is_that_of_torchvision(batch):
    ours, first_class = new("fcos")
    mine = losses(ours, batch, first_class)
    ours.head.__class__ = FCOSHead
    theirs = losses(ours, batch, first_class)
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value)


@pytest.mark.parametrize(("model", "box_loss"), [("faster_rcnn", "ciou"), ("fcos", "l1"), ("detr", "l2")])
def test_a_loss_that_a_model_has_not_is_refused_with_those_that_it_has(model, box_loss, capsys):
    with pytest.raises(SystemExit):
        detection.main(["--model", model, "--box-loss", box_loss])
    assert f"--box-loss {box_loss} is none of {model}'s" in capsys.readouterr().err


def test_average_precision_of_the_truth_is_one_and_falls_with_every_mistake():
    boxes = torch.tensor([[2.0, 2.0, 20.0, 30.0], [30.0, 5.0, 60.0, 25.0], [5.0, 40.0, 30.0, 60.0]])
    objects = {"boxes": boxes, "labels": torch.tensor([1, 2, 1])}
    truth = coco_score.as_coco(objects, iscrowd=torch.zeros(3).int())

    def score(found, scores, truth=truth):
        return coco_score.average_precision([([], []), (truth, coco_score.as_coco(found, score=torch.tensor(scores)))], "bbox")

    assert score(objects, [0.9, 0.8, 0.7]) == pytest.approx(1)
    assert 0 < score({**objects, "boxes": boxes + 2}, [0.9, 0.8, 0.7]) < 0.9
    assert score({**objects, "labels": torch.tensor([2, 1, 2])}, [0.9, 0.8, 0.7]) == 0
    missed = {"boxes": boxes[:2], "labels": objects["labels"][:2]}
    assert 0.5 < score(missed, [0.9, 0.8]) < 0.8
    crowd = [*truth[:2], {**truth[2], "iscrowd": 1}]
    assert score(missed, [0.9, 0.8], crowd) == pytest.approx(1)  # nobody has to find one of a crowd
    assert coco_score.average_precision([(truth, [])], "bbox") == 0


def test_training_learns_and_a_stopped_one_goes_on_bit_for_bit(tmp_path):
    learnt = detection.main([*FLAGS, "--steps", "16", "--stop", "16", "--recipe", "ssd", "--lr", "1e-3"]).recent
    assert len(learnt) == 16 and sum(learnt[-5:]) < sum(learnt[:5])

    drawn = [*FLAGS, "--model", "faster_rcnn", "--recipe", "copy_paste", "--steps", "4", "--checkpoint"]
    for more in (["whole.pt", "--stop", "4"], ["parts.pt", "--stop", "2"], ["parts.pt", "--resume", "--stop", "4"]):
        detection.main([*drawn, str(tmp_path / more[0]), *more[1:]])
    whole, parts = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt"))
    assert whole["step"] == parts["step"] == 4 and whole["loader"] == parts["loader"]
    assert all(torch.equal(value, parts["model"][name]) for name, value in whole["model"].items())


def test_shards_with_crowds_and_pictures_without_objects(tmp_path, capsys):
    shards = [str(tmp_path / split) for split in ("train", "val")]
    for split, url in zip(("train", "val"), shards, strict=True):
        vdata.load("coco", split, fake=True).pack(url)
    crowded = vdata.load(shards[0])[2]
    single = detection.without_crowds(crowded)
    assert crowded["iscrowd"].tolist() == [False, True] and {name: len(single[name]) for name in ("boxes", "labels", "masks")} == {"boxes": 1, "labels": 1, "masks": 1}
    for model in ("mask_rcnn", "detr"):  # one picture a batch: there is one without any object
        done = detection.main([*FLAGS, "--model", model, "--data", shards[0], "--val", shards[1], "--steps", "3", "--batch-size", "1"])
        assert all(map(math.isfinite, done.recent)) and len(done.recent) == 3
    assert [count for _, count in SCORE.findall(capsys.readouterr().out)] == ["2", "2"]


def test_two_processes_judge_every_picture_once(tmp_path, capsys):
    run = [*FLAGS, "--model", "faster_rcnn", "--steps", "3", "--checkpoint", str(tmp_path / "both.pt")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(ROOT / "examples/detection.py"), *run]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    both = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert both.returncode == 0, both.stdout + both.stderr
    assert detection.main([*run, "--resume"]).done == 3  # nothing is left to do but to judge
    (score, count), (other, other_count) = (SCORE.search(said).groups() for said in (both.stdout, capsys.readouterr().out))
    assert both.stdout.count("pictures") == 1 and count == other_count == "15"
    assert float(score) == pytest.approx(float(other), abs=2e-4)
