"""The examples as a newcomer runs them: in a process of their own, with little data and few steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(example: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[str, Path]:
    """What the quick demo printed, and the folder that it filled."""
    out = tmp_path_factory.mktemp("demo")
    done = run("demo.py", "--quick", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out


def test_demo_lowers_the_error_on_what_it_never_saw(demo):
    said, _ = demo
    for name in ("moving photographs", "motorcycle, right half"):
        still, untrained, trained = map(float, re.search(rf"{name} +([\d.]+) +([\d.]+) +([\d.]+)\n", said).groups())
        assert trained < untrained
        assert trained < 0.8 * still


def test_demo_asks_the_data_for_the_unknown_pixels(demo):
    assert "27,226 of 370,500 pixels" in demo[0]


def test_demo_stops_in_the_middle_of_an_epoch_and_resumes_exactly(demo):
    said, out = demo
    epoch, position = map(int, re.search(r"stopped after step \d+, .*epoch (\d+), position (\d+)\)", said).groups())
    assert epoch >= 0 and position > 0
    assert "same keys, same pixels, bit for bit" in said
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    assert set(saved) == {"model", "optimizer", "schedule", "loader", "step"}
    assert (saved["loader"]["epoch"], saved["loader"]["position"]) == (epoch, position)


def test_demo_draws_a_plausible_picture(demo):
    picture = np.asarray(PIL.Image.open(demo[1] / "preview.png").convert("RGB"), np.float32)
    height, width, _ = picture.shape
    assert width > 6 * 240 and height > 5 * 160  # a line a sample, of six pictures
    frame, second, warped = (picture[60:180, x : x + 220] for x in (34, 286, 538))
    assert frame.std() > 30 and not np.array_equal(frame, second)  # photographs, and two of them
    assert np.abs(frame - warped).mean() < np.abs(frame - second).mean()  # moved back, the second is nearer to the first


def test_demo_shows_a_line_a_phase_and_no_bars_without_a_terminal(demo):
    said, _ = demo
    assert [int(n) for n in re.findall(r"^(\d)\. ", said, re.M)] == [1, 2, 3, 4, 5, 6]
    assert "\r" not in said and "it/s" not in said


def test_training_that_was_stopped_ends_with_the_weights_of_one_that_was_not(demo, tmp_path):
    shards = demo[1] / "photos"
    for arguments in (["a.pt"], ["b.pt", "--stop", 3], ["b.pt", "--resume"]):
        done = run("train_flow.py", "--data", shards, "--steps", 5, "--checkpoint", tmp_path / arguments[0], *arguments[1:])
        assert done.returncode == 0, done.stderr
    a, b = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "b.pt"))
    assert a["step"] == b["step"] == 5 and a["loader"] == b["loader"] and a["schedule"] == b["schedule"]
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])


def test_training_says_what_is_wrong_with_a_name(tmp_path):
    done = run("train_flow.py", "--data", "moving_photographs", "--checkpoint", tmp_path / "never.pt")
    assert done.returncode == 1
    assert "there is no dataset 'moving_photographs' (did you mean 'moving_photos'?)" in done.stderr


def test_gallery_draws_transforms(tmp_path):
    done = run("gallery.py", "--out", tmp_path, "--only", "affine", "--height", 64)
    assert done.returncode == 0, done.stdout + done.stderr
    with PIL.Image.open(tmp_path / "geometry.png") as page:
        assert page.width >= 300 and page.height >= 80 and len(page.getcolors(1 << 20)) > 500
