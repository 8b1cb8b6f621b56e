"""The classification example: every recipe of its table trains, stops, goes on exactly, and runs as several processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision import models

from vdata import transforms as T

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import classification  # noqa: E402
import classification_small as small  # noqa: E402

SHORT = ("--batch-size", 8, "--workers", 1)
FAMILIES = {
    "vit": "vit_b_16", "convnext": "convnext_tiny", "swin": "swin_t", "efficientnet_v2": "efficientnet_v2_s", "regnet": "regnet_y_400mf", "resnet": "resnet50",
}  # fmt: skip
# What each process of torchrun does: the example, and then it says where it stands.
RANK = """
import os, sys, torch
sys.path.insert(0, sys.argv[1])
import classification
done = classification.main(sys.argv[3:])
saved = {"model": done.model.state_dict(), "step": done.done, "loader": done.loader.state_dict(), "accuracy": done.score}
torch.save(saved, f"{sys.argv[2]}/{os.environ['RANK']}.pt")
"""


def train(*arguments: object) -> classification.Classification:
    return classification.main([str(a) for a in (*SHORT, *arguments)])


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("family", classification.RECIPES)
def test_every_recipe_trains_and_a_stopped_run_ends_as_one_that_was_not(family, tmp_path, capsys):
    common = ("--model", FAMILIES[family], "--steps", 3, "--every", 1)
    through = train(*common)
    after = through.model.state_dict()
    assert through.done == 3 and all(torch.isfinite(p).all() for p in through.model.parameters())
    train(*common, "--checkpoint", tmp_path / "x.pt", "--stop", 2)
    stopped = torch.load(tmp_path / "x.pt", weights_only=True)
    assert stopped["step"] == 2 and not same(stopped["model"], after)
    resumed = train(*common, "--checkpoint", tmp_path / "x.pt", "--resume")
    assert same(resumed.model.state_dict(), after) and same(resumed.ema.state_dict(), through.ema.state_dict())
    assert resumed.score == through.score and "held out are recognised" in capsys.readouterr().out


def test_the_loss_falls_and_what_was_held_out_is_recognised():
    training = train("--model", "convnext_tiny", "--steps", 80, "--batch-size", 16, "--lr", 5e-3, "--augment", "none")
    assert training.score > 0.5  # one of six
    first = train("--model", "convnext_tiny", "--steps", 2, "--batch-size", 16, "--lr", 1e-9, "--augment", "none")
    assert training.mean < first.mean - 0.2  # of labels that are mixed and smoothed, so that it stays far from 0


def test_two_processes_share_the_steps_and_any_number_goes_on(tmp_path):
    (tmp_path / "rank.py").write_text(RANK)
    checkpoint = tmp_path / "x.pt"
    common = ("--model", "efficientnet_v2_s", *SHORT, "--checkpoint", checkpoint)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", tmp_path / "rank.py", ROOT / "examples", tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([*map(str, command), *map(str, common), "--steps", "4"], env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    ranks = [torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in (0, 1)]
    assert ranks[0]["step"] == ranks[1]["step"] == 4
    parameters = [{n: v for n, v in r["model"].items() if "running" not in n and "tracked" not in n} for r in ranks]
    assert same(*parameters)
    assert ranks[0]["loader"]["position"] == ranks[1]["loader"]["position"] == 4 * 2 * 8
    # One process sees the same pictures, each once: the accuracy of the same average is the same share of 79.
    alone = train(*common, "--steps", 4, "--resume")
    assert alone.done == 4 and alone.score == ranks[0]["accuracy"] == ranks[1]["accuracy"]
    held_out = len(small.photographs(held_out=True))
    assert round(alone.score * held_out) == pytest.approx(alone.score * held_out)
    further = train(*common, "--steps", 5, "--resume")
    assert further.done == 5 and further.loader.state_dict()["position"] == 4 * 2 * 8 + 8


def test_the_preset_is_the_models_own_and_in_proportion_at_another_size():
    assert classification.evaluation_preset("swin_t", None) == T.from_weights(models.Swin_T_Weights.DEFAULT)
    resize, crop, *_ = classification.evaluation_preset("swin_t", 64).transforms
    assert (resize.size, resize.interpolation, crop.size) == (66, "bicubic", (64, 64))


@pytest.mark.parametrize("augment", classification.AUGMENT)
def test_every_augmentation_makes_batches(augment):
    recipe, preset = classification.RECIPES["resnet"], classification.evaluation_preset("resnet50", 64)
    pipe = classification.training_pipe(small.photographs(held_out=False), recipe, classification.AUGMENT[augment], preset, 8)
    assert "· elastic · exact resume ·" in str(pipe)
    batch = pipe[0]
    assert batch["image"].shape == (8, 3, 50, 50) and batch["image"].dtype == torch.float32


def test_as_a_newcomer_runs_it_on_shards_of_his_own(tmp_path):
    for split in ("train", "val"):
        small.photographs(held_out=split == "val").take(16).pack(str(tmp_path / split))
    command = [sys.executable, ROOT / "examples" / "classification.py", "--data", tmp_path / "train", "--val", tmp_path / "val"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = ("--small", "--model", "mobilenet_v3_small", "--steps", 2, *SHORT)
    ran = subprocess.run([str(c) for c in (*command, *arguments)], env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"step +2 of 2 .*\n.* samples a second, .*\n +\d+\.\d% of the pictures that were held out are recognised", ran.stdout)
