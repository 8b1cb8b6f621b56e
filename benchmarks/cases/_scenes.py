"""What cases about flow and objects read: pictures of any size, pasted from photographs at their own resolution so that they compress like some."""

from __future__ import annotations

import io
from pathlib import Path

import data
import numpy as np


def photographs(photos: Path | None) -> list[np.ndarray]:
    """uint8 [H, W, 3]."""
    from PIL import Image

    return [np.array(Image.open(io.BytesIO(file)).convert("RGB")) for file in data.photographs(photos)]


def picture(height: int, width: int, rng: np.random.Generator, sources: list[np.ndarray]) -> np.ndarray:
    """uint8 [height, width, 3]: pieces of photographs, mirrored or not, until it is full."""
    out = np.empty((height, width, 3), np.uint8)
    top = 0
    while top < height:
        left, high = 0, min(height - top, 300)
        while left < width:
            source = sources[rng.integers(len(sources))][:, :: rng.choice((-1, 1))]
            high = min(high, source.shape[0])
            wide = min(width - left, source.shape[1])
            row, column = rng.integers(source.shape[0] - high + 1), rng.integers(source.shape[1] - wide + 1)
            out[top : top + high, left : left + wide] = source[row : row + high, column : column + wide]
            left += wide
        top += high
    return out


def pair(height: int, width: int, rng: np.random.Generator, sources: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two frames uint8 [height, width, 3], the second some pixels further, and a smooth flow float32 [height, width, 2] about that."""
    import cv2

    room = 16
    scene = picture(height + room, width + room, rng, sources)
    down, right = rng.integers(0, room + 1, 2)
    second = scene[down : down + height, right : right + width]
    coarse = rng.normal(0, 4, (5, 8, 2)).astype(np.float32)
    flow = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) - np.array([right, down], np.float32)
    return scene[:height, :width].copy(), second.copy(), flow
