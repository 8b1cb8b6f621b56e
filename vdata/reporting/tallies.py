"""What is counted: of each sample numbers are kept, never pixels. Memory does not grow with the samples, but for sizes and classes that differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.reporting.histogram import Histogram, octaves
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.viz.draw import corners
from vdata.viz.picture import plain

GRID = 24  # cells a side of the map of box centres
SECTORS = 36
SMALL, MEDIUM = 32**2, 96**2  # COCO's bounds of small, medium and large boxes, in pixels
_MOST_IDS = 1 << 12  # what has more values than that, without names, are ids (of segments, say), not classes
_MOVES = 0.5  # pixels: what is slower has no direction worth counting


@dataclass
class Channels:
    """Mean, deviation and distribution of each channel, in 0..1 (floats as they are)."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sums: np.ndarray = field(default_factory=lambda: np.zeros(0))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(0))
    low: float = np.inf
    high: float = -np.inf
    levels: list[Histogram] = field(default_factory=list)

    def add(self, image: Tensor) -> None:
        """A picture [C, H, W], or a clip [T, C, H, W]."""
        data = plain(image)
        data = data.movedim(-3, 0).reshape(data.shape[-3], -1)
        if not len(self.sums):
            self.counts, self.sums, self.squares = np.zeros((3, len(data)))
            self.levels = [Histogram(np.linspace(0, 1, 65)) for _ in data]
        for c, values in enumerate(data):
            values, weights = _levels(values)
            self.counts[c] += weights.sum()
            self.sums[c] += (values * weights).sum()
            self.squares[c] += (values * values * weights).sum()
            self.levels[c].add(values, weights)
            there = values[weights > 0]
            self.low, self.high = min(self.low, there.min(initial=np.inf)), max(self.high, there.max(initial=-np.inf))

    @property
    def mean(self) -> np.ndarray:
        return self.sums / np.maximum(1, self.counts)

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(np.maximum(0, self.squares / np.maximum(1, self.counts) - self.mean**2))


def _levels(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values in 0..1 and how often each comes; floats as they are, once each."""
    if values.dtype == torch.uint8:
        return np.arange(256) / 255, np.bincount(values.numpy(), minlength=256)
    data = values.double().numpy()
    data = data[np.isfinite(data)]
    whole = 65535 if values.dtype == torch.uint16 else 1
    return data / whole, np.ones(len(data))


@dataclass
class Classes:
    """How often each class comes, and in how many samples."""

    categories: tuple[str, ...] = ()
    counts: Counter[int] = field(default_factory=Counter)
    samples: Counter[int] = field(default_factory=Counter)
    ids: bool = False  # too many different values to be classes: they are no longer counted

    def add(self, label: Label) -> None:
        values = plain(label).reshape(-1).tolist()
        self.categories = self.categories or label.categories or ()
        self.ids = self.ids or (not self.categories and len(self.counts) > _MOST_IDS)
        if self.ids:
            self.counts.clear()
            self.samples.clear()
            return
        self.counts.update(values)
        self.samples.update(set(values))


@dataclass
class Boxes:
    """Sizes, shapes and places of boxes."""

    images: int = 0
    per_image: Counter[int] = field(default_factory=Counter)
    by_size: Counter[str] = field(default_factory=Counter)
    sides: Histogram = field(default_factory=lambda: Histogram(octaves(0, 14, 2)))  # the root of the area, pixels
    shares: Histogram = field(default_factory=lambda: Histogram(np.linspace(0, 1, 21)))  # the same, of the canvas's
    aspects: Histogram = field(default_factory=lambda: Histogram(octaves(-5, 5, 3)))  # width over height
    centres: np.ndarray = field(default_factory=lambda: np.zeros((GRID, GRID), np.int64))

    @property
    def count(self) -> int:
        return sum(n * images for n, images in self.per_image.items())

    def add(self, boxes: BoundingBoxes) -> None:
        self.images += 1
        self.per_image[len(boxes)] += 1
        places = corners(boxes).numpy()
        places = places[np.isfinite(places).all((1, 2))]
        if not len(places):
            return
        canvas = np.array(boxes.canvas_size[::-1], float)
        wide = np.linalg.norm(places[:, 1] - places[:, 0], axis=1)
        high = np.linalg.norm(places[:, 3] - places[:, 0], axis=1)
        area = wide * high
        self.sides.add(np.sqrt(area[area > 0]))
        self.shares.add(np.sqrt(area / canvas.prod()))
        self.aspects.add((wide / np.maximum(high, 1e-12))[area > 0])
        self.by_size.update(np.array(["small", "medium", "large"])[np.digitize(area, [SMALL, MEDIUM])].tolist())
        x, y = np.clip((places.mean(1) / canvas * GRID).astype(np.int64), 0, GRID - 1).T
        np.add.at(self.centres, (y, x), 1)


@dataclass
class Masks:
    """Of semantic masks the pixels of each class; of instances how many there are and how large."""

    images: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    samples: Counter[int] = field(default_factory=Counter)
    categories: tuple[str, ...] = ()
    ignored: int | None = None
    ids: bool = False  # values are ids of segments: only their number is counted
    per_image: Counter[int] = field(default_factory=Counter)
    shares: Histogram = field(default_factory=lambda: Histogram(np.linspace(0, 1, 21)))  # the root of the share of the canvas

    def add(self, mask: Mask) -> None:
        self.images += 1
        data = plain(mask)
        if mask.kind == "instance":
            self.per_image[len(data)] += 1
            if data.numel():
                inside = np.count_nonzero(data.flatten(1).numpy(), axis=1)
                self.shares.add(np.sqrt(inside / math.prod(mask.canvas)))
            return
        told = mask.categories or (("no", "yes") if mask.dtype == torch.bool else ())
        self.categories, self.ignored = self.categories or told, mask.ignore_index
        values, counts = _values(data)
        self.per_image[len(values)] += 1
        self.ids = self.ids or (not self.categories and max(values, default=0) >= _MOST_IDS)
        if self.ids:
            self.pixels.clear()
            return
        self.pixels.update(dict(zip(values, counts, strict=True)))
        self.samples.update(values)


def _values(data: Tensor) -> tuple[list[int], list[int]]:
    """The values of a mask, and how many pixels have each."""
    flat = data.flatten().numpy()
    if not flat.size or flat.dtype.itemsize > 2 or flat.dtype.kind == "i":
        values, counts = np.unique(flat, return_counts=True)
        return values.tolist(), counts.tolist()
    counts = np.bincount(flat)  # several times faster than sorting
    values = np.flatnonzero(counts)
    return values.tolist(), counts[values].tolist()


@dataclass
class Points:
    """How many points are visible, hidden and not labelled: of each of K points, where objects have K."""

    objects: int = 0
    states: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))  # [K, 3]: not labelled, hidden, visible

    def add(self, points: KeyPoints) -> None:
        data = plain(points)
        one = data.ndim == 2  # loose points: all of one kind
        seen = torch.full(data.shape[:-1], 2) if points.visibility is None else plain(points.visibility).long().clamp(0, 2)
        seen = seen[:, None] if one else seen.reshape(-1, data.shape[-2])
        self.objects += len(seen)
        kinds = seen.shape[1]
        if len(self.states) < kinds:
            self.states = np.concatenate([self.states, np.zeros((kinds - len(self.states), 3), np.int64)])
        self.states[:kinds] += np.stack([(seen == state).sum(0).numpy() for state in range(3)], 1)


@dataclass
class Flows:
    """Lengths and directions of vectors, and how much is unknown."""

    samples: int = 0
    pixels: int = 0
    known: int = 0
    total: float = 0.0
    longest: float = 0.0
    lengths: Histogram = field(default_factory=lambda: Histogram(octaves(-5, 10, 2)))
    directions: np.ndarray = field(default_factory=lambda: np.zeros(SECTORS, np.int64))  # from right, clockwise as seen
    unknown: Histogram = field(default_factory=lambda: Histogram(np.linspace(0, 1, 21)))

    def add(self, flow: Flow) -> None:
        u, v = plain(flow).reshape(-1, 2, flow.shape[-2] * flow.shape[-1]).movedim(1, 0).reshape(2, -1).numpy()
        there = np.isfinite(u) & np.isfinite(v)
        self.samples += 1
        self.pixels += there.size
        self.known += int(there.sum())
        self.unknown.add(np.array([1 - there.mean()] if there.size else []))
        u, v = u[there], v[there]
        length = np.hypot(u, v)
        self.total += float(length.sum(dtype=np.float64))
        self.longest = max(self.longest, float(length.max(initial=0)))
        self.lengths.add(length)
        moving = length >= _MOVES
        turn = np.arctan2(v[moving], u[moving]) / (2 * np.pi) * SECTORS
        self.directions += np.bincount(np.round(turn).astype(np.int64) % SECTORS, minlength=SECTORS)


@dataclass
class Seen:
    """What a field was in the samples that have it."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    shapes: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)  # dimensions -> least and greatest sizes
    low: float = np.inf
    high: float = -np.inf
    example: str = ""

    def add(self, value: Any) -> None:
        self.count += 1
        kind = type(value).__name__
        if isinstance(value, (Tensor, np.ndarray)):
            kind += " " + str(value.dtype).removeprefix("torch.")
            low, high = self.shapes.setdefault(value.ndim, (list(value.shape), list(value.shape)))
            low[:], high[:] = map(min, low, value.shape), map(max, high, value.shape)
        elif isinstance(value, (int, float)):
            self.low, self.high = min(self.low, value), max(self.high, value)
        self.example = self.example or (str(value)[:80] if isinstance(value, (str, int, float)) else "")
        self.kinds[kind] += 1


@dataclass
class Tally:
    """Everything that is counted, by the fields' names."""

    samples: int = 0
    fields: dict[str, Seen] = field(default_factory=dict)
    sizes: dict[str, Counter[tuple[int, int]]] = field(default_factory=dict)  # (width, height)
    channels: dict[str, Channels] = field(default_factory=dict)
    lengths: dict[str, Counter[int]] = field(default_factory=dict)  # frames of clips
    classes: dict[str, Classes] = field(default_factory=dict)
    boxes: dict[str, Boxes] = field(default_factory=dict)
    masks: dict[str, Masks] = field(default_factory=dict)
    points: dict[str, Points] = field(default_factory=dict)
    flows: dict[str, Flows] = field(default_factory=dict)

    def add(self, sample: Mapping[str, Any]) -> None:
        self.samples += 1
        for name, value in sample.items():
            if name.startswith("__"):
                continue
            self.fields.setdefault(name, Seen()).add(value)
            match value:
                case Image() | Video() if value.numel():
                    height, width = value.canvas
                    self.sizes.setdefault(name, Counter())[width, height] += 1
                    many = value.shape[-3]
                    self.channels.setdefault(f"{name}, {many} channel{'' if many == 1 else 's'}", Channels()).add(value)
                    if isinstance(value, Video):
                        self.lengths.setdefault(name, Counter())[value.shape[-4]] += 1
                case BoundingBoxes():
                    self.boxes.setdefault(name, Boxes()).add(value)
                case Mask():
                    self.masks.setdefault(name, Masks()).add(value)
                case KeyPoints():
                    self.points.setdefault(name, Points()).add(value)
                case Flow():
                    self.flows.setdefault(name, Flows()).add(value)
                case Label() if value.ndim < 2:
                    self.classes.setdefault(name, Classes()).add(value)
