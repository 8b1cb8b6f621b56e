"""How RAFT is trained: its stages, as data, and its loss. Teed and Deng, "RAFT", ECCV 2020, and train_standard.sh of its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Part(NamedTuple):
    """A dataset of the catalogue in a stage, and the preset of `T.RAFTAugment` for it."""

    dataset: str
    preset: str
    share: float = 1.0
    options: Mapping[str, Any] = {}


class Stage(NamedTuple):
    """What a stage trains on, and how."""

    parts: Sequence[Part]
    crop: tuple[int, int]
    lr: float
    steps: int
    batch: int  # of all processes together
    decay: float
    gamma: float  # how much less an estimate counts than the next one
    frozen: bool = True  # batch norms keep the statistics of the stage before


_PASSES = {"pass_name": "both"}
_MIX = [  # the shares that RAFT's code makes by repeating Sintel 100 times, KITTI 200 times and HD1K 5 times
    Part("sintel", "sintel", 0.71, _PASSES),
    Part("flying_things3d", "sintel", 0.135),
    Part("kitti_flow", "sintel/kitti", 0.135),
    Part("hd1k", "sintel/hd1k", 0.02),
]
STAGES = {
    "chairs": Stage([Part("flying_chairs", "chairs")], (368, 496), 4e-4, 100_000, 10, 1e-4, 0.8, frozen=False),
    "things": Stage([Part("flying_things3d", "things", 1.0, _PASSES)], (400, 720), 1.25e-4, 100_000, 6, 1e-4, 0.8),
    "sintel": Stage(_MIX, (368, 768), 1.25e-4, 100_000, 6, 1e-5, 0.85),
    "kitti": Stage([Part("kitti_flow", "kitti")], (288, 960), 1e-4, 50_000, 6, 1e-5, 0.85),
}


def sequence_loss(estimates: Sequence[Tensor], truth: Tensor, gamma: float, most: float = 400) -> Tensor:
    """The L1 distance of every estimate, the later the heavier, without pixels whose flow is unknown or longer than `most`."""
    known = torch.linalg.vector_norm(truth, dim=1, keepdim=True) < most  # false where the truth is NaN
    distances = [torch.where(known, estimate - truth.nan_to_num(), 0).abs().mean() for estimate in estimates]
    return torch.stack([gamma**k * distance for k, distance in enumerate(reversed(distances))]).sum()
