"""Transforms that change colours and leave the canvas as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.batch import Batch, Ragged
from vdata.errors import NoKernelError
from vdata.tensors import Image, Video
from vdata.transforms._base import Leaves, Transform
from vdata.transforms._params import Params, row, rows_of
from vdata.transforms._rows import alike, grouped, joined_again, taken

_CACHED = 1 << 20  # numbers of a picture's dtype that are worked on at once: more leave the cache (measured, 2 to 4 times)


class Photometric(Transform):
    """Changes colours of pictures and clips; every other type is left as it is, by declaration.

    `change(params, image)` does one picture; all pictures of a sample get the same params. A class with `rowwise` says
    that its `change` also takes params of B samples, arrays, with B stacked pictures.
    """

    def change(self, params: Params, image: Any) -> Any:
        """One Image or Video changed under one row of params."""
        raise NoKernelError(f"{type(self).__name__} has no change")  # abstract: every public class defines it

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        if not self.chosen(params):
            return sample
        return {n: self.change(params, v) if isinstance(v, (Image, Video)) else v for n, v in sample.items()}

    def read_by(self, leaves: Leaves) -> Leaves:
        return {n: v for n, v in leaves.items() if _is_picture(v)}

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        return batch.replace({n: self._changed(params, v) if _is_picture(v) else v for n, v in batch.items()})

    def _changed(self, params: Params, pictures: Any) -> Any:
        """The pictures of B samples; those of one shape at once."""
        if isinstance(pictures, Ragged):
            shapes = np.array([[len(s), *s, *[0] * (5 - len(s))] for s in pictures.shapes], np.int64)
            groups = alike([shapes], len(pictures))
            parts = [{"": self._changed(rows_of(params, rows), taken(pictures, rows))} for rows in groups]
            return joined_again(parts, groups)[""]
        groups = _parts(pictures) if self.rowwise else grouped(params, len(pictures))
        if len(groups) == 1:
            return self.change(params if self.rowwise else row(params, 0), pictures)
        parts = []
        for rows in groups:
            own = rows_of(params, rows) if self.rowwise else row(params, int(rows[0]))
            parts.append({"": self.change(own, taken(pictures, rows))})
        return joined_again(parts, groups)[""]


def _parts(pictures: Any) -> list[np.ndarray]:
    """The rows of a batch, on a CPU in parts that stay in its cache."""
    each = max(1, _CACHED // max(1, pictures[:1].numel()))
    if pictures.device.type != "cpu" or each >= len(pictures):
        return [np.arange(len(pictures))]
    return [np.arange(at, min(at + each, len(pictures))) for at in range(0, len(pictures), each)]


def _is_picture(leaf: Any) -> bool:
    return isinstance(leaf, (Image, Video)) or (isinstance(leaf, Ragged) and issubclass(leaf.type, (Image, Video)))
