"""Some of the transforms, one of them, or all in a random order: each sample decides for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from vdata.batch import Batch
from vdata.errors import PlanError
from vdata.key import Key
from vdata.tensors import Image, TypedTensor, Video
from vdata.transforms._base import Leaves, Params, Transform, _bare_picture, fresh_key, ordinal_path, value
from vdata.transforms._blending import Blending
from vdata.transforms._check import probability, put
from vdata.transforms._info import Info, flatten, unflatten
from vdata.transforms._mixing import Mixing
from vdata.transforms._params import rows_of, scatter, sparse
from vdata.transforms._rows import each, part_of, rejoin
from vdata.transforms.container import Compose, Container


@value
class RandomApply(Container):
    """All of the transforms, or none: each sample decides, with probability `p`.

    >>> from vdata.transforms import Resize
    >>> RandomApply([Resize(4)], p=1.0)(Image(torch.zeros(3, 8, 8))).shape
    torch.Size([3, 4, 4])
    """

    transforms: Any
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        probability(self.p)

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def draw(self, key: Key, info: Info) -> Params:
        apply = key.fold("apply").bernoulli(self.p)
        rows = np.flatnonzero(apply)
        children = self.draw_all(key[rows], info.take(rows)) if len(rows) else None
        return {"apply": apply, "children": sparse(children, rows, len(apply))}

    def after(self, params: Params, info: Info) -> Info:
        rows = np.flatnonzero(params["apply"])
        if not len(rows):
            return info
        moved = info.take(rows)
        for child, own in zip(self.transforms, rows_of(params["children"], rows), strict=True):
            moved = child.after(own, moved)
        return info.choose([info, moved.spread(rows, len(params["apply"]))], params["apply"].astype(np.int64))

    def steps(self, params: Params) -> Iterator[tuple[Transform, Params]]:
        return super().steps(params) if params["apply"] else iter(())

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        if not params["apply"][0]:
            return sample
        return Compose(self.transforms).inverse({"children": rows_of(params["children"], np.arange(1))}, sample, info)

    def apply_rows(self, params: Params, batch: Batch) -> Any:
        rows = np.flatnonzero(params["apply"])
        if "partners" not in self.needs or not len(rows):
            return super().apply_rows(params, batch)
        part = part_of(batch, rows)
        for child, own in zip(self.transforms, rows_of(params["children"], rows), strict=True):
            part = _moved(child, own, part, rows, batch)
        rest = np.setdiff1d(np.arange(batch.size), rows)
        return rejoin([part, part_of(batch, rest)], [rows, rest], batch) if len(rest) else part

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        return self.rows_through(zip(self.transforms, rows_of(params["children"], np.arange(batch.size)), strict=True), batch)


def _moved(child: Transform, params: Params, part: Batch, rows: np.ndarray, whole: Batch) -> Any:
    """Some rows of a batch under a child; one that mixes samples finds partners in the whole batch."""
    if isinstance(child, Mixing):
        return child.apply_among(params, part, rows, whole)
    return child.apply_rows(params, part)


@value
class RandomChoice(Container):
    """One of the transforms: each sample chooses, evenly or by the weights `p`.

    >>> from vdata.transforms import Resize
    >>> RandomChoice([Resize(4), Resize(6)], p=[0, 1])(Image(torch.zeros(3, 8, 8))).shape
    torch.Size([3, 6, 6])
    """

    transforms: Any
    p: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p is None:
            return
        if len(self.p) != len(self.transforms) or min(self.p) < 0 or sum(self.p) <= 0:
            raise ValueError(
                f"p has a weight of at least 0 for each of {len(self.transforms)} transforms, and not all 0; got {self.p!r}"
            )
        put(self, p=tuple(self.p))

    def __call__(self, *inputs: Any, key: Key | None = None) -> Any:
        """As of every transform; where all mix two samples (CutMix, MixUp) also stacked pictures and labels, as in torchvision."""
        sample = inputs[0] if len(inputs) == 1 else inputs
        size = _stacked_by_hand(sample) if all(isinstance(c, Blending) for c in self.transforms) else None
        if size is None:
            return super().__call__(*inputs, key=key)
        key = (fresh_key(size) if key is None else key).fold(ordinal_path(self, 0))
        choice = self._choice(key)
        chosen = [i for i in range(len(self.transforms)) if (choice == i).any()]
        outs = [self.transforms[i](*inputs, key=key) for i in chosen]
        return _rows_of_each(outs, [torch.from_numpy(choice == i) for i in chosen])

    def _choice(self, key: Key) -> np.ndarray:
        """Which transform each sample chooses, int64 [B]."""
        weights = np.array(self.p if self.p is not None else [1.0] * len(self.transforms), np.float64)
        bounds = np.cumsum(weights) / weights.sum()
        return np.searchsorted(bounds[:-1], key.fold("choice").uniform(), side="right")

    def draw(self, key: Key, info: Info) -> Params:
        choice = self._choice(key)
        children = []
        for i, (child, own) in enumerate(zip(self.transforms, self.keys(key), strict=True)):
            rows = np.flatnonzero(choice == i)  # what is not chosen is not drawn for: it need not fit
            children.append(sparse(child.draw(own[rows], info.take(rows)) if len(rows) else None, rows, len(choice)))
        return {"choice": choice.astype(np.int64), "children": children}

    def after(self, params: Params, info: Info) -> Info:
        afters, place = [], np.zeros(len(params["choice"]), np.int64)
        for i, (child, own) in enumerate(zip(self.transforms, params["children"], strict=True)):
            rows = np.flatnonzero(params["choice"] == i)
            if len(rows):
                place[rows] = len(afters)
                afters.append(child.after(rows_of(own, rows), info.take(rows)).spread(rows, len(place)))
        return info.choose(afters, place)

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        choice = int(params["choice"][0])
        return self.transforms[choice].inverse(rows_of(params["children"][choice], np.arange(1)), sample, info)

    def steps(self, params: Params) -> Iterator[tuple[Transform, Params]]:
        return iter([(self.transforms[params["choice"]], params["children"][params["choice"]])])

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        groups = [np.flatnonzero(params["choice"] == i) for i in range(len(self.transforms))]
        parts = []
        for child, own, rows in zip(self.transforms, params["children"], groups, strict=True):
            if len(rows):
                parts.append(_moved(child, rows_of(own, rows), part_of(batch, rows), rows, batch))
        return each(parts, lambda outs: rejoin(outs, [rows for rows in groups if len(rows)], batch))


def _stacked_by_hand(sample: Any) -> int | None:
    """How many samples stacked pictures hold, with which torchvision calls CutMix and MixUp; None where there are none."""
    if isinstance(sample, Batch):
        return None
    leaves, _ = flatten(sample)
    bare = _bare_picture(sample, leaves)
    typed = [v for v in leaves.values() if isinstance(v, (Image, Video)) and v.ndim > v._core]
    pictures = typed or [leaves[n] for n in (bare,) if n is not None and leaves[n].ndim > 3]
    return len(pictures[0]) if pictures else None


def _rows_of_each(outs: list[Any], chosen: list[torch.Tensor]) -> Any:
    """Stacked samples, each row from the one of `outs` that has it among its chosen; what has no rows is the same in all."""
    opened = [flatten(out) for out in outs]
    leaves, shape = dict(opened[0][0]), opened[0][1]
    for (others, _), rows in zip(opened[1:], chosen[1:], strict=True):
        for name, leaf in leaves.items():
            if isinstance(leaf, torch.Tensor) and leaf.ndim and len(leaf) == len(rows):
                mine = rows.to(leaf.device).reshape(-1, *[1] * (leaf.ndim - 1))
                new, old = (v.plain() if isinstance(v, TypedTensor) else v for v in (others[name], leaf))
                if new.shape != old.shape:
                    raise PlanError(
                        f"the transforms to choose from make {name!r} of shapes {list(old.shape)} and {list(new.shape)}: give all the same num_classes"
                    )
                whole = torch.where(mine, new, old)
                leaves[name] = leaf.like(whole) if isinstance(leaf, TypedTensor) else whole
    return unflatten(leaves, shape)


@value
class RandomOrder(Container):
    """All of the transforms, each sample in an order of its own.

    >>> from vdata.transforms import RandomHorizontalFlip, Resize
    >>> RandomOrder([Resize(4), RandomHorizontalFlip()])(Image(torch.zeros(3, 8, 8))).shape
    torch.Size([3, 4, 4])
    """

    transforms: Any

    def draw(self, key: Key, info: Info) -> Params:
        params: Params = {
            "order": key.fold("order").permutation(len(self.transforms)),
            "children": [None] * len(self.transforms),
        }
        self._in_order(params, info, self.keys(key))
        return params

    def after(self, params: Params, info: Info) -> Info:
        return self._in_order(params, info, None)

    def _in_order(self, params: Params, info: Info, keys: list[Key] | None) -> Info:
        """Step by step, each child for the samples whose turn it is: with `keys`, draws its params; what is known afterwards."""
        order, children = params["order"], params["children"]
        for step in range(len(self.transforms)):
            info = self._step(order[:, step], children, info, keys)
        return info

    def _step(self, turn: np.ndarray, children: list[Any], info: Info, keys: list[Key] | None) -> Info:
        afters, place = [], np.zeros(len(turn), np.int64)
        for i, child in enumerate(self.transforms):
            rows = np.flatnonzero(turn == i)
            if not len(rows):
                continue
            here = info.take(rows)
            drawn = child.draw(keys[i][rows], here) if keys is not None else rows_of(children[i], rows)
            if keys is not None:
                children[i] = scatter(children[i], drawn, rows, len(turn))
            place[rows] = len(afters)
            afters.append(child.after(drawn, here).spread(rows, len(turn)))
        return info.choose(afters, place)

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        order = params["order"][0]
        inner = Compose([self.transforms[i] for i in order])
        return inner.inverse({"children": [params["children"][i] for i in order]}, sample, info)

    def steps(self, params: Params) -> Iterator[tuple[Transform, Params]]:
        return ((self.transforms[i], params["children"][i]) for i in params["order"])

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        """Step by step, each child the samples whose turn it is."""
        for step in range(len(self.transforms)):
            turn = params["order"][:, step]
            groups = [np.flatnonzero(turn == i) for i in range(len(self.transforms))]
            parts = []
            for child, own, rows in zip(self.transforms, params["children"], groups, strict=True):
                if len(rows):
                    parts.append(_moved(child, rows_of(own, rows), part_of(batch, rows), rows, batch))
            if any(isinstance(part, tuple) for part in parts):
                raise PlanError(f"{self} over a batch: a transform that makes several samples of one cannot stand in a random order")
            batch = rejoin(parts, [rows for rows in groups if len(rows)], batch)
        return batch
