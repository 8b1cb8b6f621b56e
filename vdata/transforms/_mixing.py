"""Transforms that make one sample of several: who the others are is a matter of keys and positions, never of timing.

In a pipe, before `.batch`, the others are samples at positions of the same epoch that the sample's key chooses, as they
are at that point of the pipe: the same for any number of ranks and workers. In a `Batch` they are other samples of it,
chosen among them in the order of their positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vdata.batch import Batch, collate
from vdata.errors import NoKernelError, PlanError
from vdata.key import Key
from vdata.transforms._base import Leaves, Transform
from vdata.transforms._info import Info, flatten, unflatten
from vdata.transforms._params import Params, row


class Mixing(Transform):
    """One sample of several. `mix(params, sample, others)` does one row; `others` are the partners' leaves.

    `partners` says how many others each sample needs. Params never hold them: a replay mixes whatever it is given.
    """

    needs = ("size", "partners")
    partners: ClassVar[int] = 1

    def mix(self, params: Params, sample: Leaves, others: Sequence[Leaves]) -> Leaves:
        """One sample made of `sample` and `others`, under one row of params."""
        raise NoKernelError(f"{type(self).__name__} has no mix")  # abstract: every public class defines it

    def mix_rows(self, params: Params, batch: Batch, others: np.ndarray, pool: Batch | None = None) -> Batch:
        """Every sample b of a batch mixed with the samples others[b] (int64 [B, partners]) of `pool`, or of itself."""
        opened = [flatten(s) for s in batch.samples()]
        partners = opened if pool is None or pool is batch else [flatten(s) for s in pool.samples()]
        outs = []
        for b, (leaves, shape) in enumerate(opened):
            mixed = self.mix(row(params, b), leaves, [partners[int(o)][0] for o in others[b]]) if row(self.choice(params), b) else leaves
            outs.append(unflatten(mixed, shape))
        return collate(outs, at=batch.at)

    def choice(self, params: Params) -> Any:
        """`chosen`, as bool [B]."""
        count = next((len(v) for v in params.values() if isinstance(v, np.ndarray)), 1)
        return np.broadcast_to(np.asarray(self.chosen(params), bool), count)

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        if not self.chosen(params):
            return sample
        raise PlanError(
            f"{self} makes one sample of {self.partners + 1}: use it in a pipe (.apply), on a Batch, or call .mix(params, sample, others)"
        )

    def draw(self, key: Key, info: Info) -> Params:
        return {"partners": key.fold("partners").bits, **self.draw_own(key, info)}

    def draw_own(self, key: Key, info: Info) -> Params:
        """`draw` of all but who the partners are."""
        return {}

    def apply_rows(self, params: Params, batch: Batch) -> Batch:
        """A batch: each sample mixed with others of the batch that its key chooses."""
        return self.apply_among(params, batch, np.arange(batch.size), batch)

    def apply_among(self, params: Params, batch: Batch, rows: np.ndarray, whole: Batch) -> Batch:
        """Samples that are `rows` of a whole batch, mixed with others of the whole."""
        return self.mix_rows(params, batch, self.within(Key(params["partners"]), whole, rows), whole)

    def within(self, key: Key, whole: Batch, rows: np.ndarray | None = None) -> np.ndarray:
        """The partners of rows of a batch (of all) among all others of it, int64 [R, partners]; by positions, not places in it.

        A batch of one sample, the last of an epoch, is its own partner.
        """
        rows = np.arange(whole.size) if rows is None else rows
        if whole.size == 1:
            return np.zeros((len(rows), self.partners), np.int64)
        order = np.array(sorted(range(whole.size), key=lambda b: whole.at[b]))
        rank = np.argsort(order)[rows]
        steps = key.integers(1, whole.size, self.partners)
        return order[(rank[:, None] + steps) % whole.size]


def partner_positions(bits: int, position: int, count: int, partners: int) -> list[int]:
    """Which of `count` places in an epoch the partners of one sample stand at, given its params' "partners"."""
    if count < 2:
        raise PlanError("a pipe of one sample has no partners to mix it with")
    steps = Key(np.array([bits], np.uint64)).integers(1, count, partners)[0]
    return [int(s) for s in (position + steps) % count]
