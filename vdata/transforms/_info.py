"""What a transform may know before any pixel is read, and which frame each leaf lies on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from vdata.batch import Batch, Ragged
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, TypedTensor, Video


@dataclass(frozen=True)
class Info:
    """B samples seen from outside.

    sizes     frame name -> int64 [B, 2], (height, width) of its canvas; the first is the main one
    types     leaf name -> its type's name
    dtypes    leaf name -> its dtype's name
    channels  picture name -> its number of channels
    counts    leaf name -> int64 [B], how many rows (boxes, objects, points) it has
    second    the frame that the first flow leads to; None without a flow
    boxes     leaf name -> the BoundingBoxes of each sample, as long as nothing has moved or dropped any of them
    """

    sizes: Mapping[str, np.ndarray]
    types: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, np.ndarray] = field(default_factory=dict)
    count: int = 1
    second: str | None = None
    boxes: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    @property
    def size(self) -> np.ndarray:
        """int64 [B, 2]: the canvases of the main frame."""
        if not self.sizes:
            raise PlanError(
                "no canvas is known to draw for: the sample has no spatial leaf, or a transform before (RandomIoUCrop) chose one by "
                "boxes that others had moved; then apply what follows it on its own"
            )
        return next(iter(self.sizes.values()))

    def resized(self, sizes: Mapping[str, np.ndarray]) -> Info:
        """The same with other canvases; where boxes lie on them is not known."""
        return replace(self, sizes=sizes, boxes={})

    def dropped(self) -> Info:
        """The same after objects may have been dropped: how many there are, and where, is not known."""
        counts = {n: c for n, c in self.counts.items() if self.types.get(n) in ("Image", "Video", "Flow")}
        return replace(self, counts=counts, boxes={})

    def take(self, rows: np.ndarray | Sequence[int]) -> Info:
        """What is known of some of the samples, or of each of them several times: `info.take([0] * 8)`."""
        rows = np.asarray(rows, np.int64)
        chosen = {n: v[rows] for n, v in self.sizes.items()}
        counts = {n: v[rows] for n, v in self.counts.items()}
        boxes = {n: [v[int(b)] for b in rows] for n, v in self.boxes.items()}
        return replace(self, sizes=chosen, counts=counts, boxes=boxes, count=len(rows))

    def spread(self, rows: np.ndarray, count: int) -> Info:
        """The inverse of `take`: these samples as `rows` of `count`, of whose others nothing is known (zeros)."""
        sizes = {n: _placed(v, rows, count) for n, v in self.sizes.items()}
        counts = {n: _placed(v, rows, count) for n, v in self.counts.items()}
        return replace(self, sizes=sizes, counts=counts, boxes={}, count=count)

    def choose(self, others: Sequence[Info], choice: np.ndarray) -> Info:
        """Of sample b what `others[choice[b]]` says; of what all have in common, only that on which they agree."""
        rows = np.arange(len(choice))
        return replace(
            self,
            sizes=_chosen([o.sizes for o in others], choice, rows),
            counts=_chosen([o.counts for o in others], choice, rows),
            boxes={},
            types=_agreed([o.types for o in others]),
            dtypes=_agreed([o.dtypes for o in others]),
            channels=_agreed([o.channels for o in others]),
        )

    @classmethod
    def of_batch(cls, batch: Batch) -> Info:
        """Of a batch whose leaves have one entry a sample."""
        if not all(_one_canvas(v) for v in batch.values()):
            return cls.of(batch.samples())
        info = cls.of([{n: v[0] for n, v in batch.items()}]).take(np.zeros(batch.size, np.int64))
        counts = {n: _count(batch[n]) for n in info.counts}
        return replace(info, counts=counts, boxes={n: batch[n] for n in info.boxes})

    @classmethod
    def of(cls, samples: Sequence[Mapping[str, Any]]) -> Info:
        """Of samples with the same leaves."""
        per_sample = [sizes_of(s) for s in samples]
        first = samples[0] if samples else {}
        frames = list(per_sample[0]) if samples else []
        for b, sizes in enumerate(per_sample):
            if set(sizes) != set(frames):
                raise PlanError(
                    f"samples of one batch must have the same frames: sample 0 has {sorted(frames)}, sample {b} has {sorted(sizes)}"
                )
        typed = {n: v for n, v in first.items() if isinstance(v, TypedTensor)}
        with (
            torch._C.DisableTorchFunctionSubclass()
        ):  # looks at shapes alone: three times as fast without the types' hook
            return cls(
                sizes={f: np.array([s[f] for s in per_sample], np.int64).reshape(-1, 2) for f in frames},
                types={n: type(v).__name__ for n, v in typed.items()},
                dtypes={n: str(v.dtype).removeprefix("torch.") for n, v in typed.items()},
                channels={n: v.shape[-3] for n, v in typed.items() if isinstance(v, (Image, Video))},
                counts={n: np.array([s[n].shape[0] for s in samples], np.int64) for n, v in typed.items() if v.ndim},
                count=len(samples),
                second=second_frame(first),
                boxes={n: [s[n] for s in samples] for n, v in typed.items() if isinstance(v, BoundingBoxes)},
            )


def alike(samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether samples have the same leaves, of the same types, dtypes and channels: whether one Info describes them all."""
    kinds = [_kinds(s) for s in samples]
    return all(k == kinds[0] for k in kinds)


def _kinds(sample: Mapping[str, Any]) -> dict[str, Any]:
    with torch._C.DisableTorchFunctionSubclass():
        return {n: _kind(v) for n, v in sample.items() if isinstance(v, TypedTensor)}


def _kind(value: TypedTensor) -> tuple[Any, ...]:
    if isinstance(value, (Image, Video)):
        return type(value), value.dtype, value.shape[-3]
    return type(value), value.dtype, value.views if isinstance(value, Flow) else value.meta().get("frame")


def _count(leaf: Any) -> np.ndarray:
    """How many rows a batch's leaf has in each sample."""
    if isinstance(leaf, Ragged):
        return np.array([s[0] if s else 0 for s in leaf.shapes], np.int64)
    return np.full(len(leaf), leaf.shape[1], np.int64)


def _one_canvas(leaf: Any) -> bool:
    """Whether a batch's leaf lies on canvases of one size."""
    if not isinstance(leaf, Ragged) or not issubclass(leaf.type, TypedTensor):
        return True
    if issubclass(leaf.type, (BoundingBoxes, KeyPoints)):
        return all(m["canvas_size"] == leaf.metas[0]["canvas_size"] and m["frame"] == leaf.metas[0]["frame"] for m in leaf.metas)
    return issubclass(leaf.type, Label) or (
        all(s[-2:] == leaf.shapes[0][-2:] for s in leaf.shapes) and all(m == leaf.metas[0] for m in leaf.metas)
    )


def _placed(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros((count, *values.shape[1:]), values.dtype)
    out[rows] = values
    return out


def _chosen(known: Sequence[Mapping[str, np.ndarray]], choice: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    names = [n for n in known[0] if all(n in k for k in known)]
    return {n: np.stack([k[n] for k in known])[choice, rows] for n in names}


def _agreed(known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in known[0].items() if all(k.get(name) == value for k in known)}


def frame_of(name: str, value: TypedTensor, sample: Mapping[str, Any]) -> str:
    """The frame that a leaf lies on: a picture its own; else what it says; else the only one; else the flow's first."""
    if isinstance(value, (Image, Video)):
        return name
    if isinstance(value, Flow):
        return value.views[0]
    said = value.meta().get("frame")
    if said is not None:
        return said
    pictures = [n for n, v in sample.items() if isinstance(v, (Image, Video))]
    if len(pictures) == 1:
        return pictures[0]
    flows = [v for v in sample.values() if isinstance(v, Flow)]
    if flows:
        return flows[0].views[0]
    if pictures:
        raise PlanError(
            f"{name!r} ({type(value).__name__}) could lie on any of {pictures}: say which with frame=..., as in "
            f"{type(value).__name__}(..., frame={pictures[0]!r})"
        )
    return ""


def second_frame(sample: Mapping[str, Any]) -> str | None:
    """The frame that the sample's first flow leads to; None without a flow."""
    return next((v.views[1] for v in sample.values() if isinstance(v, Flow)), None)


def sizes_of(sample: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Frame name -> (height, width), pictures first. Leaves of one frame that disagree raise, naming both."""
    sizes: dict[str, tuple[int, int]] = {}
    owner: dict[str, str] = {}
    ordered = sorted(sample.items(), key=lambda item: not isinstance(item[1], (Image, Video)))
    for name, value in ordered:
        canvas = value.canvas if isinstance(value, TypedTensor) and not isinstance(value, Label) else None
        if canvas is None:
            continue
        frames = [(frame_of(name, value, sample), canvas)]
        if isinstance(value, Flow):
            frames.append((value.views[1], value.target_size))
        for frame, size in frames:
            if sizes.setdefault(frame, size) != size:
                raise PlanError(
                    f"{name!r} has a canvas of {size} (height, width), but {owner[frame]!r} on the same frame has {sizes[frame]}: "
                    "leaves of one frame must agree before they can be moved together"
                )
            owner.setdefault(frame, name)
    return sizes


def flatten(sample: Any) -> tuple[dict[str, Any], Any]:
    """Leaves by dotted path, and what is needed to put them back: dicts, lists and tuples are opened."""
    leaves: dict[str, Any] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, Mapping):
            return dict, {k: walk(v, f"{path}.{k}" if path else str(k)) for k, v in node.items()}
        if isinstance(node, (list, tuple)):
            return type(node), [walk(v, f"{path}.{i}" if path else str(i)) for i, v in enumerate(node)]
        leaves[path] = node
        return None, path

    return leaves, walk(sample, "")


def unflatten(leaves: Mapping[str, Any], shape: Any, path: str = "") -> Any:
    """The inverse of `flatten`; dicts may have gained or lost leaves meanwhile."""
    kind, parts = shape
    if kind is dict and not path and all(part == (None, name) for name, part in parts.items()):
        return dict(leaves)
    if kind is None:
        return leaves[parts]
    if kind is dict:
        own = {k: unflatten(leaves, v, f"{path}{k}.") for k, v in parts.items() if v[0] is not None or v[1] in leaves}
        gained = {n[len(path) :]: v for n, v in leaves.items() if n.startswith(path) and "." not in n[len(path) :]}
        return {**own, **{n: v for n, v in gained.items() if n not in parts}}
    values = [unflatten(leaves, v, f"{path}{i}.") for i, v in enumerate(parts)]
    return kind(values) if kind in (list, tuple) else kind(*values)  # a named tuple takes its fields one by one
