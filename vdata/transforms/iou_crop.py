"""A random window that overlaps some box by at least so much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.tensors import BoundingBoxes
from vdata.transforms._base import Leaves, Params, Transform, same_size, value
from vdata.transforms._check import put, whole
from vdata.transforms._corners import UPRIGHT, corners
from vdata.transforms._dropping import bound
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._instances import instances, kept
from vdata.transforms._params import row
from vdata.transforms.clamp import xyxy
from vdata.transforms.crop import Window, crop

OPTIONS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_ROUNDS = 50  # torchvision goes on for ever


@value
class _Cut(Geometric):
    """A crop to the window that its params name."""

    op = crop

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        return params


@value
class RandomIoUCrop(Transform):
    """Keep a random window whose overlap with some box, as intersection over union, is at least a number drawn from a list.

    min_scale, max_scale                the window's sides as shares of the canvas's, each drawn for itself
    min_aspect_ratio, max_aspect_ratio  its width over its height; others are not tried
    sampler_options                     the list; at 1 and above the sample stays as it is. None is 0, .1, .3, .5, .7, .9, 1
    trials                              how many windows are tried for one number, before another number is drawn
    instances                           the names of all leaves that have a row an object (`T.Instances`)

    A window is tried if the centre of some box lies in it; objects whose box has its centre elsewhere are dropped with all
    that describes them (torchvision sets their boxes to 0 and leaves the rest). Of rotated boxes the upright hull overlaps.
    Without a box, or where 50 numbers have found no window, the sample stays as it is. Pictures, clips, masks, points and
    flows all follow; frames must be of one size. In a batch samples are done one by one.

    Which window it is depends on boxes, so its params hold the key to all trials, not the window (`window` gives it). For a
    transform after it in the same Compose that draws by the canvas's size, no other may move boxes before it. Source: Liu
    et al., "SSD: Single Shot MultiBox Detector", ECCV 2016.

    >>> sample = {"image": Image(torch.zeros(3, 20, 20)), "boxes": BoundingBoxes([[2, 2, 18, 18]], format="XYXY", canvas_size=(20, 20))}
    >>> RandomIoUCrop(sampler_options=[0.5])(sample, key=Key.of(1))["boxes"].tolist()
    [[0, 0, 12, 16]]
    """

    min_scale: float = 0.3
    max_scale: float = 1.0
    min_aspect_ratio: float = 0.5
    max_aspect_ratio: float = 2.0
    sampler_options: Any = None
    trials: int = 40
    instances: Any = None
    needs = ("size", "boxes")
    stacks = False
    moves = True

    def __post_init__(self) -> None:
        options = OPTIONS if self.sampler_options is None else tuple(float(o) for o in self.sampler_options)
        if not options:
            raise ValueError("sampler_options must have at least one number")
        if not 0 < self.min_scale <= self.max_scale <= 1:
            raise ValueError(
                f"min_scale and max_scale must be in order and within (0, 1], got {self.min_scale}, {self.max_scale}"
            )
        if not 0 < self.min_aspect_ratio <= self.max_aspect_ratio:
            raise ValueError(
                f"aspect ratios must be in order and above 0, got {self.min_aspect_ratio}, {self.max_aspect_ratio}"
            )
        put(self, sampler_options=options, trials=whole(self.trials, "trials"))
        put(self, instances=None if self.instances is None else instances(self.instances))

    def draw(self, key: Key, info: Info) -> Params:
        return {"trials": key.fold("trials").bits}

    def window(self, params: Params, boxes: BoundingBoxes) -> Window | None:
        """(top, left, height, width) that one row of params keeps of a canvas with these boxes; None for all of it."""
        if not len(boxes):
            return None
        hull, centre = _hull(boxes)
        key = Key(np.array([params["trials"]], np.uint64))
        options = np.array(self.sampler_options)[key.fold("options").integers(0, len(self.sampler_options), _ROUNDS)[0]]
        for number, option in enumerate(options):
            if option >= 1:
                return None
            windows = self._windows(key.fold(number), boxes.canvas_size)
            inside = _inside(windows, centre)
            found = inside.any(1) & (np.where(inside, _overlap(windows, hull), 0).max(1) >= option)
            if found.any():
                top, left, height, width = windows[found.argmax()].tolist()
                return top, left, height, width
        return None

    def _windows(self, key: Key, canvas: tuple[int, int]) -> np.ndarray:
        """The windows of one round that have an allowed ratio: int64 [trials or fewer, 4]."""
        shares = key.fold("scale").uniform(self.min_scale, self.max_scale, self.trials, 2)[0]
        size = np.maximum((np.array(canvas) * shares).astype(np.int64), 1)
        place = ((np.array(canvas) - size) * key.fold("place").uniform(0, 1, self.trials, 2)[0]).astype(np.int64)
        ratio = size[:, 1] / size[:, 0]
        return np.concatenate([place, size], 1)[(ratio >= self.min_aspect_ratio) & (ratio <= self.max_aspect_ratio)]

    def _anchor(self, boxes: Mapping[str, Any]) -> str:
        """The boxes by which the window is chosen: the only ones, else the only ones that the instances name."""
        named = [n for n in boxes if n.rsplit(".", 1)[-1] in instances(self.instances)]
        for names in (list(boxes), named):
            if len(names) == 1:
                return names[0]
        if not boxes:
            raise PlanError(f"{self} needs boxes: a sample without any has empty BoundingBoxes, never none")
        raise PlanError(
            f"{self} found {', '.join(boxes)}: say which boxes choose the window with instances=T.Instances(...)"
        )

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        same_size(self, Info.of([sample]))
        anchor = self._anchor({n: v for n, v in sample.items() if isinstance(v, BoundingBoxes)})
        names = bound(sample, anchor, self.instances)
        boxes = sample[anchor]
        window = self.window(params, boxes)
        if window is None:
            return sample
        stay = torch.from_numpy(_inside(np.array([window]), _hull(boxes)[1])[0])
        return _Cut().apply(_arguments(window), kept(sample, dict.fromkeys(names), stay))

    def after(self, params: Params, info: Info) -> Info:
        if not info.boxes:
            return info.resized({}).dropped()  # no canvas is better than a wrong one: whoever needs it says so
        windows = self._all_windows(params, info)
        sizes = {
            f: np.array([s if w is None else w[2:] for s, w in zip(v, windows, strict=True)])
            for f, v in info.sizes.items()
        }
        return info.resized(sizes).dropped()

    def _all_windows(self, params: Params, info: Info) -> list[Window | None]:
        boxes: Sequence[BoundingBoxes] = info.boxes[self._anchor(info.boxes)]
        return [self.window(row(params, b), boxes[b]) for b in range(len(info))]

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        if not info.boxes:
            raise NoKernelError(
                f"{self} has a way back where `info` knows the boxes: no transform may have moved them before"
            )
        window = self._all_windows(params, info)[0]
        if window is None:
            return sample
        return _Cut().inverse({n: np.array([v]) for n, v in _arguments(window).items()}, sample, info)


def _arguments(window: Window) -> dict[str, int]:
    return dict(zip(("top", "left", "height", "width"), window, strict=True))


def _hull(boxes: BoundingBoxes) -> tuple[np.ndarray, np.ndarray]:
    """Upright hulls (x1, y1, x2, y2) and centres (x, y) of boxes: float64 [N, 4] and [N, 2]."""
    if boxes.format in UPRIGHT:
        hull = xyxy(boxes.plain(), boxes.format)
        return hull.cpu().numpy(), ((hull[:, :2] + hull[:, 2:]) / 2).cpu().numpy()
    points = corners(boxes.plain(), boxes.format)
    return torch.cat([points.amin(1), points.amax(1)], 1).cpu().numpy(), points.mean(1).cpu().numpy()


def _inside(windows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Whether each centre lies strictly inside of each window: bool [T, N]."""
    low, size = windows[:, None, 1::-1], windows[:, None, :1:-1]
    return np.all((centre > low) & (centre < low + size), -1)


def _overlap(windows: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """Intersection over union of windows and hulls: [T, N]."""
    low, size = windows[:, None, 1::-1], windows[:, None, :1:-1]
    shared = np.minimum(hull[:, 2:], low + size) - np.maximum(hull[:, :2], low)
    shared = np.maximum(shared, 0).prod(-1)
    area = np.maximum(hull[:, 2:] - hull[:, :2], 0).prod(-1)
    return shared / (size.prod(-1) + area - shared)
