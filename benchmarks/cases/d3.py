"""Files of four optical flow datasets, in their own formats and sizes, to augmented batches: each set with the stage of training that RAFT has for it."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import data
import numpy as np
from cases._scenes import pair, photographs, picture

TITLE = "KITTI, Sintel, FlyingChairs, FlyingThings3D: files -> augmented batches of 6, as many pairs of each; uint8 frames, float32 flow, 2 workers"
UNIT = "pairs"
MUST = {"torchvision": 3.0}
STRETCH = {"torchvision": 5.0}
NOTES = {
    "vdata": "vdata.load(...).shuffle().apply(RAFTAugment.preset(stage)).batch(6).loader(workers=2); unknown vectors are NaN",
    "torchvision": "its dataset classes on the same files, its references' transforms (cases/_reference.py: without antialias, float and Normalize), DataLoader with "
    "two processes; vectors with a valid mask; KITTI's rules differ from RAFT's: asymmetric colours and stretched sides too",
}
BATCH, PAIRS = 6, 12
WORKERS = len(os.sched_getaffinity(0))
NAMES = ("image1", "image2", "flow")


class Stage(NamedTuple):
    """crop, least and greatest scale (as powers of two), mirrored or not: as in RAFT's training."""

    crop: tuple[int, int]
    min_scale: float
    max_scale: float
    flip: bool


SETS = {
    "kitti_flow": Stage((288, 960), -0.2, 0.4, False),
    "sintel": Stage((368, 768), -0.2, 0.6, True),
    "flying_chairs": Stage((368, 496), -0.1, 1.0, True),
    "flying_things3d": Stage((400, 720), -0.4, 0.8, True),
}
PRESETS = {"kitti_flow": "kitti", "sintel": "sintel", "flying_chairs": "chairs", "flying_things3d": "things"}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    def make(place: Path) -> None:
        rng, sources = np.random.default_rng(0), photographs(photos)
        _kitti(place / "KittiFlow/training", rng, sources)
        _sintel(place / "Sintel/training", rng, sources)
        _chairs(place / "FlyingChairs", rng, sources)
        _things(place / "FlyingThings3D", rng, sources)

    data.once(folder / "d3", make)


def _kitti(root: Path, rng: np.random.Generator, sources: list[np.ndarray]) -> None:
    """16 bit PNG: vectors as 64 u + 2**15, known in the lower part of the picture at every fourth pixel or so, as a laser scanner has them."""
    for n in range(PAIRS):
        one, two, flow = pair(375, 1242, rng, sources)
        valid = (rng.random(flow.shape[:2]) < 0.3) & (np.arange(375)[:, None] > 130)
        _picture(root / f"image_2/{n:06d}_10.png", one)
        _picture(root / f"image_2/{n:06d}_11.png", two)
        coded = np.concatenate([np.rint(flow * 64 + 2**15), np.ones_like(flow[..., :1])], 2) * valid[..., None]
        _picture(root / f"flow_occ/{n:06d}_10.png", coded.astype(np.uint16))


def _sintel(root: Path, rng: np.random.Generator, sources: list[np.ndarray]) -> None:
    for n in range(1, PAIRS + 2):
        one, _, flow = pair(436, 1024, rng, sources)
        _picture(root / f"clean/alley_1/frame_{n:04d}.png", one)
        if n <= PAIRS:
            _flo(root / f"flow/alley_1/frame_{n:04d}.flo", flow)


def _chairs(root: Path, rng: np.random.Generator, sources: list[np.ndarray]) -> None:
    for n in range(1, PAIRS + 1):
        one, two, flow = pair(384, 512, rng, sources)
        _picture(root / f"data/{n:05d}_img1.ppm", one)
        _picture(root / f"data/{n:05d}_img2.ppm", two)
        _flo(root / f"data/{n:05d}_flow.flo", flow)
    (root / "FlyingChairs_train_val.txt").write_text("1\n" * PAIRS)


def _things(root: Path, rng: np.random.Generator, sources: list[np.ndarray]) -> None:
    """Half as many pairs of frames, each in both directions."""
    for n in range(6, 6 + PAIRS // 2 + 1):
        _picture(root / f"frames_cleanpass/TRAIN/A/0000/left/{n:04d}.png", picture(540, 960, rng, sources))
        for course, name in (("into_future", "IntoFuture"), ("into_past", "IntoPast")):
            flow = pair(540, 960, rng, sources)[2]
            _pfm(root / f"optical_flow/TRAIN/A/0000/{course}/left/OpticalFlow{name}_{n:04d}_L.pfm", flow)


def _picture(path: Path, pixels: np.ndarray) -> None:
    """RGB, 8 or 16 bits; PNG and PPM as the suffix says."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1]), path


def _flo(path: Path, flow: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PIEH" + np.array(flow.shape[1::-1], "<i4").tobytes() + flow.astype("<f4").tobytes())


def _pfm(path: Path, flow: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.concatenate([flow, np.zeros_like(flow[..., :1])], 2)[::-1]
    path.write_bytes(b"PF\n%d %d\n-1.0\n" % flow.shape[1::-1] + rows.astype("<f4").tobytes())


def _pairs(quick: bool) -> int:
    """Of each set."""
    return BATCH if quick else 5 * PAIRS


def batches(folder: Path, name: str, pairs: int) -> Iterator[Any]:
    """vdata's, of one set."""
    import torch

    import vdata
    from vdata import transforms as T
    from vdata.errors import DataWarning

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # that there are fewer pairs than were published
        pipe = vdata.load(name, root=folder / "d3", strict=False)
    pipe = pipe.select(*NAMES).shuffle(seed=0).repeat().take(pairs).apply(T.RAFTAugment.preset(PRESETS[name])).batch(BATCH)
    yield from pipe.loader(workers=WORKERS)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    for name in SETS:
        for _ in batches(folder, name, _pairs(quick)):
            yield BATCH


def torchvision(folder: Path, quick: bool) -> Iterator[int]:
    for name in SETS:
        for _ in _torchvision(folder, name, _pairs(quick)):
            yield BATCH


def _torchvision(folder: Path, name: str, pairs: int) -> Iterator[Any]:
    import torch
    import torchvision.datasets as sets
    from cases._reference import Reference
    from torch.utils.data import DataLoader, RandomSampler

    warnings.filterwarnings("ignore", message="The image decoding and encoding capabilities of TorchVision")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind = {"kitti_flow": sets.KittiFlow, "sintel": sets.Sintel, "flying_chairs": sets.FlyingChairs, "flying_things3d": sets.FlyingThings3D}[name]
    more = {"flying_things3d": {"pass_name": "clean", "camera": "left"}, "sintel": {"pass_name": "clean"}}.get(name, {})
    dataset = kind(str(folder / "d3"), split="train", transforms=Reference(*SETS[name]), **more)
    yield from DataLoader(dataset, BATCH, sampler=RandomSampler(dataset, num_samples=pairs), num_workers=WORKERS)


def FIGURES(folder: Path, quick: bool) -> dict[str, str]:
    """Each set by itself, once, the start of its workers included."""
    return {} if quick else {name: f"{_rate(batches(folder, name, 36)):.1f} pairs/s, torchvision {_rate(_torchvision(folder, name, 36)):.1f}" for name in SETS}


def _rate(batches: Iterator[Any]) -> float:
    began = time.perf_counter()
    return BATCH * sum(1 for _ in batches) / (time.perf_counter() - began)


def CHECK(folder: Path) -> None:
    """Batches of one size and dtype of each set; frames as bright as each other, known vectors as long, to a half."""
    import torch

    for name, stage in SETS.items():
        (mine,), (theirs,) = batches(folder, name, BATCH), _torchvision(folder, name, BATCH)
        one, two, flow = (mine[n].as_subclass(torch.Tensor) for n in NAMES)
        for first, second, vectors in ((one, two, flow), theirs[:3]):
            assert first.shape == second.shape == (BATCH, 3, *stage.crop) and first.dtype == second.dtype == torch.uint8, name
            assert vectors.shape == (BATCH, 2, *stage.crop) and vectors.dtype == torch.float32, name
        lengths = flow.norm(dim=1).nanmean(), theirs[2].norm(dim=1)[theirs[3]].mean()
        bright = one.double().mean(), theirs[0].double().mean()
        assert all(0.5 < a / b < 2 for a, b in (lengths, bright)), (name, lengths, bright)


PEERS = {"vdata": ours, "torchvision": torchvision}
