"""A pipe as a Ray dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vdata.errors import MissingPackageError, NoIndexError, PlanError
from vdata.pipe import DataPipe
from vdata.plan import Stage
from vdata.rewrite import optimise
from vdata.run.make import Node, compile
from vdata.run.walk import scan


def to_ray_dataset(pipe: DataPipe, epoch: int = 0) -> Any:
    """A `ray.data.Dataset`: a row a sample of one epoch, tensors as numpy arrays; Ray's tasks read, decode and augment.

    Rows carry `__position__`, for Ray keeps no order unless its `preserve_order` is set. Fields that are no tensor,
    number, text or bytes raise a PlanError. Back: `vdata.from_iterable(dataset.iter_rows)`.
    """
    try:
        import ray.data
    except ImportError:
        raise MissingPackageError("to_ray_dataset needs Ray Data: pip install 'ray[data]'") from None
    stage = optimise(pipe.plan, scan)
    if stage.access != "dense" or not isinstance(stage.length, int):
        raise NoIndexError("to_ray_dataset needs a pipe with an index and an end: .pack(url) it first, or .take(n)")
    rows = _Rows(stage, epoch)
    if stage.length:
        rows({"id": 0})  # what can be no row is refused here, not somewhere on the cluster
    return ray.data.range(stage.length).map(rows)


class _Rows:
    """In a task of Ray: the row of a position."""

    def __init__(self, stage: Stage, epoch: int):
        self.stage, self.epoch = stage, epoch
        self._node: Node | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_node": None}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._node is None:
            self._node = compile(self.stage)
        position = int(row["id"])
        item = self._node.one(self.epoch, position)
        if item is None or not isinstance(item.value, dict):
            raise PlanError("to_ray_dataset takes dict samples: before .to_tuple(), .enumerate() and .batch()")
        return {"__position__": position, **{name: _plain(name, value) for name, value in item.value.items()}}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, (bool, int, float, str, bytes, np.ndarray)):
        return value
    raise PlanError(f"to_ray_dataset: field {name!r} is {type(value).__name__}: turn it into a tensor, number, text or bytes with .map(fn), or leave it out with .select(...)")
