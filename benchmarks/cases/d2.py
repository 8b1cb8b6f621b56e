"""RAFT's augmentation of 1024 x 436 pairs to 368 x 496: two frames and their flow, on one core, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import numpy as np
from cases._counted import counted
from cases._scenes import pair, photographs

TITLE = "RAFT augmentation, pairs of 1024 x 436 with flow -> 368 x 496; uint8 frames, float32 flow, linear without antialias, one core"
UNIT = "pairs"
MUST = {"raft": 3.0, "torchvision": 5.0}
STRETCH = {"raft": 9.0, "torchvision": 14.0}
NOTES = {
    "vdata": "RAFTAugment with the stage Sintel's scales, in a pipe, draws keyed by position; reads frames [3, H, W] as its decoders give them",
    "raft": "its recipe for OpenCV and Pillow (core/utils/augmentor.py, written anew), cut before .float(): frames stay uint8, no valid mask is made",
    "torchvision": "references/optical_flow with v2's functions on uint8 tensors, written anew (cases/_reference.py): without antialias (as here, and faster), "
    "without the conversion to float and Normalize; erases 0 or 1 rectangles of its own sizes; each frame has its own mean grey",
}
SIZE, CROP = (436, 1024), (368, 496)
NAMES = ("image1", "image2", "flow")
PARTS = 12
MIN_SCALE, MAX_SCALE = -0.2, 0.6
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.5 / 3.14}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    def make(place: Path) -> None:
        rng, sources = np.random.default_rng(0), photographs(photos)
        first, second, flow = zip(*(pair(*SIZE, rng, sources) for _ in range(8)))
        with place.open("wb") as file:
            np.savez(file, image1=first, image2=second, flow=flow)

    data.once(folder / "d2.npz", make)


def _pairs(folder: Path) -> tuple[np.ndarray, ...]:
    """Frames [N, H, W, 3] twice, and flows [N, H, W, 2]."""
    with np.load(folder / "d2.npz") as kept:
        return kept["image1"], kept["image2"], kept["flow"]


def _channels_first(folder: Path) -> Iterator[tuple[Any, ...]]:
    """Tensors: frames uint8 [3, H, W] twice, and a flow float32 [2, H, W]."""
    import torch

    for arrays in zip(*_pairs(folder)):
        yield tuple(torch.from_numpy(a).permute(2, 0, 1).contiguous() for a in arrays)


def _count(quick: bool) -> int:
    return PARTS if quick else 16 * PARTS


def delivered(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """vdata's samples."""
    import torch

    import vdata
    from vdata import transforms as T
    from vdata.tensors import Flow, Image

    torch.set_num_threads(1)
    samples = [{"image1": Image(one), "image2": Image(two), "flow": Flow(flow)} for one, two, flow in _channels_first(folder)]
    yield from vdata.from_torch(samples).repeat().take(count).apply(T.RAFTAugment(CROP, MIN_SCALE, MAX_SCALE))


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return counted(delivered(folder, _count(quick)), _count(quick) // PARTS)


def raft(folder: Path, quick: bool) -> Iterator[int]:
    return counted(_raft(folder, _count(quick)), _count(quick) // PARTS)


def _raft(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    import cv2
    import torch
    from torchvision.transforms import ColorJitter

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng, jitter = np.random.default_rng(0), ColorJitter(**JITTER)
    one, two, flow = _pairs(folder)
    for n in range(count):
        at = n % len(one)
        augmented = _raft_augmented(one[at], two[at], flow[at], jitter, rng)
        yield {name: torch.from_numpy(array).permute(2, 0, 1) for name, array in zip(NAMES, augmented)}


def _raft_augmented(one: np.ndarray, two: np.ndarray, flow: np.ndarray, jitter: Any, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Colours, eraser, then scale, mirror and crop. Source of rules and numbers: RAFT (Teed and Deng, arXiv 2003.12039) and its release."""
    from PIL import Image

    if rng.random() < 0.2:
        one, two = (np.array(jitter(Image.fromarray(frame))) for frame in (one, two))
    else:
        one, two = np.split(np.array(jitter(Image.fromarray(np.concatenate([one, two])))), 2)
    return _raft_spatial(one, _raft_erased(two, rng), flow, rng)


def _raft_erased(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        mean = frame.reshape(-1, 3).mean(0)
        for _ in range(rng.integers(1, 3)):
            top, left = rng.integers(0, frame.shape[0]), rng.integers(0, frame.shape[1])
            down, right = rng.integers(50, 100, 2)
            frame[top : top + down, left : left + right] = mean
    return frame


def _raft_spatial(one: np.ndarray, two: np.ndarray, flow: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    import cv2

    fx, fy = _factors(rng)
    if rng.random() < 0.8:
        one, two, flow = (cv2.resize(a, None, fx=fx, fy=fy, interpolation=cv2.INTER_LINEAR) for a in (one, two, flow))
        flow = flow * [fx, fy]
    if rng.random() < 0.5:
        one, two, flow = one[:, ::-1], two[:, ::-1], flow[:, ::-1] * [-1.0, 1.0]
    if rng.random() < 0.1:
        one, two, flow = one[::-1], two[::-1], flow[::-1] * [1.0, -1.0]
    top, left = (rng.integers(0, side - crop) for side, crop in zip(one.shape, CROP))
    one, two, flow = (a[top : top + CROP[0], left : left + CROP[1]] for a in (one, two, flow))
    return np.ascontiguousarray(one), np.ascontiguousarray(two), np.ascontiguousarray(flow, dtype=np.float32)


def _factors(rng: np.random.Generator) -> tuple[float, float]:
    """Along x and y, so that the crop and 8 pixels more fit."""
    least = max((crop + 8) / side for crop, side in zip(CROP, SIZE))
    scale = 2 ** rng.uniform(MIN_SCALE, MAX_SCALE)
    stretch = 2 ** rng.uniform(-0.2, 0.2, 2) if rng.random() < 0.8 else (1.0, 1.0)
    return max(float(scale * stretch[0]), least), max(float(scale * stretch[1]), least)


def torchvision(folder: Path, quick: bool) -> Iterator[int]:
    return counted(_torchvision(folder, _count(quick)), _count(quick) // PARTS)


def _torchvision(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    import torch
    from cases._reference import Reference

    torch.set_num_threads(1)
    torch.manual_seed(0)
    augment, pairs = Reference(CROP, MIN_SCALE, MAX_SCALE), list(_channels_first(folder))
    for n in range(count):
        yield dict(zip(NAMES, augment(*pairs[n % len(pairs)])))


def CHECK(folder: Path) -> None:
    """All deliver the same kinds of tensors; frames as bright as each other, flows as long, to two fifths: pictures and scales differ."""
    import torch

    seen = {}
    for peer, sample in (("vdata", delivered), ("raft", _raft), ("torchvision", _torchvision)):
        outs = [[out[name].as_subclass(torch.Tensor) for name in NAMES] for out in sample(folder, 16)]
        for one, two, flow in outs:
            assert one.shape == two.shape == (3, *CROP) and one.dtype == two.dtype == torch.uint8, (peer, one.shape, one.dtype)
            assert flow.shape == (2, *CROP) and flow.dtype == torch.float32, (peer, flow.shape, flow.dtype)
        seen[peer] = sum(one.double().mean() for one, _, _ in outs) / 16, sum(flow.double().norm(dim=0).mean() for _, _, flow in outs) / 16
    for bright, long in seen.values():
        assert abs(bright / seen["vdata"][0] - 1) < 0.4 and abs(long / seen["vdata"][1] - 1) < 0.4, seen


PEERS = {"vdata": ours, "raft": raft, "torchvision": torchvision}
