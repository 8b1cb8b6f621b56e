"""Clips: what is learnt is their motion, every frame of a clip is augmented alike, training stops and goes on exactly."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vdata
from vdata.tensors import Label, Video

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import video as example  # noqa: E402
import video_small as small  # noqa: E402


def run(*arguments: object, processes: int = 1) -> str:
    torchrun = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *torchrun, str(ROOT / "examples" / "video.py"), "--device", "cpu", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(*arguments: object) -> example.Training:
    return example.main(["--device", "cpu", *map(str, arguments)])


def test_clips_move_to_where_their_class_says():
    seen = set()
    for sample in small.clips("train", 12):
        down, across = small.MOTIONS[sample["label"].name]
        frames = sample["video"].plain()
        assert frames.shape == (8, 3, 48, 48) and frames.dtype == torch.uint8
        for before, after in itertools.pairwise(frames):
            found = [pixels for pixels in (2, 3, 4) if torch.equal(visible(before, -pixels * down, -pixels * across), visible(after, pixels * down, pixels * across))]
            assert len(found) == 1, "each frame shows the one before, moved"
        seen.add(sample["label"].name)
    assert seen == set(small.MOTIONS)


def visible(frame: torch.Tensor, down: int, across: int) -> torch.Tensor:
    """The part of a frame that lies at least so far from its top (down > 0) or bottom, left (across > 0) or right."""
    height, width = frame.shape[1:]
    return frame[:, max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]


def test_all_frames_of_a_clip_are_augmented_alike_and_clips_are_not():
    picture = small.clips("train", 1)[0]["video"].plain()[0]
    still = {"video": Video(picture.expand(20, -1, -1, -1).contiguous()), "label": Label(0, categories=tuple(small.MOTIONS))}
    for data, mirror in ((None, False), ("shards", True)):
        args = argparse.Namespace(mirror=mirror, data=data, batch_size=4)
        video = next(iter(example.training_pipe(vdata.from_torch([still] * 4), example.KINDS["small_mvit"], args)))["video"].plain()
        assert video.shape == (4, 8, 3, 32, 32) and video.dtype == torch.float32
        assert all(torch.equal(frames, frames[:1].expand_as(frames)) for frames in video)
        assert not any(torch.equal(video[0], other) for other in video[1:])


def test_the_loss_falls_and_motions_are_recognised(tmp_path):
    said = run("--steps", 60, "--batch-size", 16, "--checkpoint", tmp_path / "video.pt")
    losses = [float(loss) for loss in re.findall(r"step +\d+ of 60   loss ([\d.]+)", said)]  # of the latest 25 steps, at 25, 50 and 60
    assert losses[2] < losses[1] < losses[0] and losses[2] < 0.8 * losses[0]
    assert float(re.search(r"held out: ([\d.]+)%", said)[1]) > 50  # one in four by chance
    assert torch.load(tmp_path / "video.pt", weights_only=True)["step"] == 60


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    common = ["--steps", 5, "--batch-size", 4]
    here(*common, "--checkpoint", tmp_path / "whole.pt")
    here(*common, "--checkpoint", tmp_path / "parts.pt", "--stop", 2)
    resumed = here(*common, "--checkpoint", tmp_path / "parts.pt", "--resume")
    whole, parts = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt"))
    assert resumed.done == whole["step"] == parts["step"] == 5 and whole["loader"] == parts["loader"]
    assert all(torch.equal(whole["model"][name], parts["model"][name]) for name in whole["model"])


@pytest.mark.parametrize("model", ["small_mvit", "small_swin"])
def test_both_families_train_on_shards_of_clips(tmp_path, model, capsys):
    folder = str(tmp_path / "clips")
    small.clips("train", 9).pack(folder, samples_per_shard=4, quiet=True)
    training = here("--model", model, "--data", folder, "--val", folder, "--steps", 2, "--batch-size", 4)
    assert training.done == 2
    assert round(float(re.search(r"held out: ([\d.]+)%", capsys.readouterr().out)[1]) * 9) % 100 == 0  # of nine clips
    assert training.model(torch.zeros(1, 3, 8, 32, 32)).shape == (1, 4)


def test_two_processes_share_the_clips_and_one_goes_on(tmp_path, capsys):
    checkpoint = tmp_path / "video.pt"
    said = run("--steps", 2, "--batch-size", 4, "--checkpoint", checkpoint, processes=2)
    state = torch.load(checkpoint, weights_only=True)
    assert (state["step"], state["loader"]["epoch"], state["loader"]["position"]) == (2, 0, 16)
    here("--steps", 2, "--batch-size", 4, "--checkpoint", checkpoint, "--resume")  # nothing is left to do but to look
    assert re.findall("held out: .*", said) == re.findall("held out: .*", capsys.readouterr().out) != []
    assert here("--steps", 3, "--batch-size", 4, "--checkpoint", checkpoint, "--resume").loader.state_dict()["position"] == 20
