"""RAFT's schedule: every stage is built and learns from a batch, stops and goes on exactly, and is measured rightly."""

from __future__ import annotations

import argparse
import collections
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models.optical_flow import raft_large, raft_small

import vdata
from vdata import transforms as T
from vdata.tensors import Flow, Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import optical_flow as example  # noqa: E402
from raft_recipe import STAGES  # noqa: E402

FAKE = argparse.Namespace(fake=True, data=None, root=None, crop=None, lr=None, steps=None, batch_size=None, workers=1, updates=1)
CPU = torch.device("cpu")


def run(*arguments: object, processes: int = 1) -> str:
    torchrun = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *torchrun, str(ROOT / "examples" / "optical_flow.py"), "--device", "cpu", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trained(path: Path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_the_crop_of_its_preset_and_gives_one_batch(name):
    assert STAGES[name].crop == T.RAFTAugment.preset(name).crop_size
    batch = next(iter(example.training_pipe(example.chosen(name, FAKE), FAKE)))
    assert {n: (type(batch[n]), tuple(batch[n].shape)) for n in example.FRAMES} == {
        "image1": (torch.Tensor, (2, 3, 128, 128)), "image2": (torch.Tensor, (2, 3, 128, 128)), "flow": (torch.Tensor, (2, 2, 128, 128)),
    }  # fmt: skip
    for image in (batch["image1"], batch["image2"]):
        assert -1 <= image.min() < -0.2 and 0.2 < image.max() <= 1


def test_the_mix_for_sintel_has_its_shares():
    stage = example.chosen("sintel", FAKE)._replace(crop=(16, 16))
    keys = [s["__key__"] for s in example.training_pipe(stage, FAKE).unbatch().take(200)]
    kinds = {r"(clean|final)/(?!A/|B/|C/).+/frame_\d+": "sintel", r"clean/[ABC]/.+": "flying_things3d", r"\d{6}": "kitti_flow", r"\d{6}_\d{4}": "hd1k"}
    counts = collections.Counter(next(kind for pattern, kind in kinds.items() if re.fullmatch(pattern, key)) for key in keys)
    for part in stage.parts:
        assert abs(counts[part.dataset] / len(keys) - part.share) < 0.05, counts
    assert sum(part.share for part in stage.parts) == pytest.approx(1)


def test_the_loss_counts_known_pixels_and_late_estimates_more():
    truth = torch.zeros(1, 2, 1, 4)
    truth[0, 0, 0] = torch.tensor([3.0, torch.nan, 401.0, 0.0])
    early, late = torch.zeros_like(truth).requires_grad_(), torch.ones_like(truth).requires_grad_()
    loss = example.sequence_loss([early, late], truth, gamma=0.8)
    # Known are the first and the last pixel, of 8 numbers: early is off by 3 + 0, late by 2 + 1 and 1 + 1.
    assert loss.item() == pytest.approx(0.8 * 3 / 8 + 5 / 8)
    loss.backward()
    assert late.grad.isfinite().all() and not late.grad[0, :, 0, 1:3].any() and late.grad[0, 0, 0, 0] == -1 / 8


class Written(torch.nn.Module):
    """Sees a flow that is written into the first frame, so that it tells whether its own lands on the right pixels."""

    def forward(self, image1, image2, num_flow_updates):
        assert image1.shape == image2.shape and image1.shape[-2] % 8 == 0 == image1.shape[-1] % 8
        return [torch.zeros_like(image1[:, :2]), (image1[:, :2] * 0.5 + 0.5) * 255]


def test_metrics_are_those_of_the_unpadded_pairs():
    pairs = []
    for height, width, wrong in ((19, 30, 0.0), (16, 41, 8.0)):
        picture = torch.randint(90, 100, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(width))
        flow = picture[:2].float()
        flow[:, :, : width // 2] = torch.nan
        flow[0, 3, -1] += wrong  # of 127 to 147 pixels: 8 are more than 5 % of them
        flow[1, 4, -1] += 3 * (wrong > 0)  # and 3 are not
        pairs.append({"image1": Image(picture), "image2": Image(picture), "flow": Flow(flow)})
    found = example.evaluate(Written(), vdata.from_torch(pairs), CPU, updates=1)
    known = 19 * 15 + 16 * 21
    assert found["end-point error"] == pytest.approx(11 / known, rel=1e-3)
    assert found["Fl"] == pytest.approx(100 / known)


def test_batch_norms_keep_still_after_the_first_stage():
    model = raft_large(weights=None)
    batch = next(iter(example.training_pipe(example.chosen("chairs", FAKE)._replace(batch=1), FAKE)))
    for name, moves in (("chairs", True), ("things", False)):
        before = {n: b.clone() for n, b in model.named_buffers() if n.endswith("running_mean")}
        training = example.StageTraining(model.train(), example.chosen(name, FAKE), FAKE, CPU)
        training.stage_loss(model, batch)
        assert before and any(not torch.equal(b, model.get_buffer(n)) for n, b in before.items()) == moves


@pytest.fixture(scope="module")
def motorcycle(tmp_path_factory) -> tuple[Path, list[object]]:
    """A folder with the checkpoint of a run that went through, and that run's arguments."""
    folder = tmp_path_factory.mktemp("raft")
    arguments = ["--stage", "kitti", "--data", "motorcycle", "--crop", 128, 128, "--batch-size", 1, "--updates", 2, "--lr", 4e-4, "--steps", 20]
    said = run(*arguments, "--checkpoint", folder / "whole.pt")
    assert said.startswith("kitti: 100.0% motorcycle\n0 of 20 steps done")
    return folder, arguments


def test_training_learns_the_motion_of_the_motorcycle(motorcycle):
    model = raft_small(weights=None)
    pair = vdata.load("motorcycle").apply(T.CenterCrop((256, 384)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = example.evaluate(raft_small(weights=None), pair, CPU, updates=2)
    model.load_state_dict(trained(motorcycle[0] / "whole-kitti.pt")["model"])
    found = example.evaluate(model, pair, CPU, updates=2)
    assert found["end-point error"] < 0.7 * untrained["end-point error"], (found, untrained)


def test_a_stopped_stage_goes_on_to_the_same_weights(motorcycle):
    folder, arguments = motorcycle
    for more in (["--stop", 17], ["--resume"]):
        example.main([*map(str, arguments), "--device", "cpu", "--checkpoint", str(folder / "parts.pt"), *map(str, more)])
    whole, parts = trained(folder / "whole-kitti.pt"), trained(folder / "parts-kitti.pt")
    assert whole["step"] == parts["step"] == 20 and whole["loader"] == parts["loader"] and whole["schedule"] == parts["schedule"]
    assert all(torch.equal(whole["model"][name], parts["model"][name]) for name in whole["model"])


def test_two_processes_go_through_all_stages_and_measure_together(tmp_path):
    said = run("--stage", "all", "--steps", 1, "--batch-size", 1, "--updates", 1, "--checkpoint", tmp_path / "raft.pt", processes=2)
    assert re.findall(r"^(\w+): ", said, re.M) == list(STAGES)
    assert said.count("0 of 1 steps done") == len(STAGES)  # one process speaks
    measured = re.findall(r"KITTI(.*): end-point error ([\d.]+), Fl ([\d.]+)", said)
    assert [bool(seen) for seen, _, _ in measured] == [False, False, True, True]
    model = raft_small(weights=None)
    for name, (_, error, outliers) in zip(STAGES, measured, strict=True):
        state = trained(tmp_path / f"raft-{name}.pt")
        assert (state["step"], state["loader"]["position"]) == (1, 3 if name == "kitti" else 2)  # each took one pair; of KITTI's three there is no other
        model.load_state_dict(state["model"])
        if name == "kitti":
            alone = example.evaluate(model, example.pairs(FAKE, "kitti_flow"), CPU, updates=2, multiple=128)
            assert alone == {"end-point error": pytest.approx(float(error), abs=0.006), "Fl": pytest.approx(float(outliers), abs=0.006)}


def test_a_stage_begins_with_the_weights_of_another(tmp_path):
    torch.manual_seed(7)
    given = raft_small(weights=None).state_dict()
    torch.save({"model": given}, tmp_path / "given.pt")
    common = ["--device", "cpu", "--batch-size", "1", "--updates", "1", "--steps", "1", "--stage", "things", "--checkpoint", str(tmp_path / "raft.pt")]
    example.main([*common, "--lr", "1e-9", "--from", str(tmp_path / "given.pt")])
    after = trained(tmp_path / "raft-things.pt")["model"]
    assert all(torch.allclose(after[name], given[name], atol=1e-6) for name in given)
