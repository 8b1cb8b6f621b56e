"""torch's map-style datasets as a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import TensorDataset

from vdata.batch import holds_objects, rows_of
from vdata.errors import PlanError
from vdata.source import Sample, Source, digest_of


class MapStyle(Source):
    """A torch map-style dataset: `dataset[i]` for i in range(len(dataset)).

    Its digest knows its class and length alone: a state taken over other data of that class and length is not refused.
    A tuple (or list) (image, target) becomes {"image": ..., "label": ...}; `keys` names the parts of any other tuple.
    """

    def __init__(self, dataset: Any, keys: Sequence[str] | None = None, name: str = ""):
        self.dataset, self.keys = dataset, tuple(keys) if keys else None
        self.name = name or type(dataset).__name__
        self.fields, self.columns = {}, {}
        self.sizes = np.array([len(dataset)], np.int64)
        self.digest = digest_of("from_torch", self.name, len(dataset))
        if type(dataset) is TensorDataset and all(v.device.type == "cpu" and not holds_objects(v[0]) for v in dataset.tensors if len(dataset)):
            self.batch_of = self._rows

    def _rows(self, indices: np.ndarray) -> dict[str, Any]:
        parts = tuple(rows_of(v, indices) for v in self.dataset.tensors)
        keys = [str(i).zfill(8) for i in indices.tolist()]
        return {"__key__": keys, **self._named(parts, "")}

    def read(self, index: int) -> Sample:
        value = self.dataset[index]
        if type(value) is dict or isinstance(value, Mapping):  # an abstract class takes its time to answer
            return {"__key__": str(index).zfill(8), **value}  # as f"{index:08d}", in half the time
        parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        return {"__key__": str(index).zfill(8), **self._named(parts, index)}

    def _named(self, parts: tuple[Any, ...], index: Any) -> Sample:
        keys = self.keys or (("image", "label")[: len(parts)] if len(parts) <= 2 else None)
        if keys is None or len(keys) != len(parts):
            raise PlanError(f"{self.name}[{index}] is a tuple of {len(parts)}: name its parts, as in from_torch(dataset, keys=('image', 'mask', 'label'))")
        return dict(zip(keys, parts, strict=True))
