"""What worker processes import for tests/shards/test_pack_at_scale.py: sources, and functions that end their process."""

import os
import signal
from pathlib import Path

import numpy as np
import torch

from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask

COUNT = 41


def sample(index):
    """A few kilobytes, but a block of samples in the middle is ten times as large."""
    noise = np.random.default_rng(index)
    size = 60 if 16 <= index < 24 else 12
    return {
        "__key__": f"a/{index:03d}",
        "image": Image(torch.from_numpy(noise.integers(0, 256, (3, size, size + index % 5), dtype=np.uint8))),
        "number": index,
        "caption": f"number {index}",
    }


def pictures(count=COUNT):
    return read(Computed("pictures", count, sample))


def annotated(index):
    """A picture of 40 x 60 and what lies on it; every third is of 12 x 10."""
    noise = torch.Generator().manual_seed(index)
    high, wide = (12, 10) if index % 3 == 2 else (40, 60)
    scale = torch.tensor([wide, high, wide, high])
    return {
        "image": Image(torch.randint(0, 256, (3, high, wide), generator=noise, dtype=torch.uint8)),
        "image2": Image(torch.randint(0, 256, (3, high, wide), generator=noise, dtype=torch.uint8)),
        "boxes": BoundingBoxes(torch.tensor([[0.25, 0.25, 0.5, 0.75]]) * scale, format="XYXY", canvas_size=(high, wide), frame="image"),
        "points": KeyPoints(torch.tensor([[[0.5, 0.25]]]) * scale[:2], canvas_size=(high, wide), frame="image"),
        "mask": Mask(torch.randint(0, 5, (high, wide), generator=noise, dtype=torch.uint8), frame="image"),
        "flow": Flow(torch.full((2, high, wide), 3.0), views=("image", "image2")),
    }


class Once:
    """Kills its own process at a position: once, if `mark` is a file to remember it by, else every time."""

    def __init__(self, position, mark=None):
        self.position, self.mark = position, mark

    def __call__(self, sample):
        if sample["number"] == self.position and (self.mark is None or not Path(self.mark).exists()):
            if self.mark is not None:
                Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return sample


class ValueErrorAt:
    """A mistake of the user's, at one position."""

    def __init__(self, position):
        self.position = position

    def __call__(self, sample):
        if sample["number"] == self.position:
            raise ValueError("mine")
        return sample
