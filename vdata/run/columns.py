"""Samples that their source holds as columns: a batch of them is a few lookups, not hundreds of samples to collate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vdata import plan
from vdata.batch import Batch
from vdata.run.place import below
from vdata.source import Source

Columns = Callable[[int, np.ndarray], Batch]


def columns(stage: plan.Stage) -> Columns | None:
    """The batch of the samples at positions of a stage; None where they must be made one by one."""
    steps: list[tuple[plan.Stage, Any]] = []
    while not isinstance(stage, plan.Read):
        if not isinstance(stage, plan.Decode | plan.Seed | plan.Take | plan.Shuffle | plan.Repeat | plan.Shard | plan.Pick | plan.Deal):
            return None
        if (down := below(stage)) is not None:
            steps.append((stage, down))
        stage = stage.source
    if not isinstance(stage.source, Source) or (take := stage.source.batch_of) is None:
        return None

    def make(epoch: int, positions: np.ndarray) -> Batch:
        epochs, at, placed = np.full(len(positions), epoch), None, positions
        for step, down in steps:
            if at is None and not isinstance(step, plan.Pick | plan.Deal):  # these leave a sample the place that it had
                at = epochs, placed
            if len(set(epochs.tolist())) == 1:
                moved, placed = down(int(epochs[0]), placed)
                epochs = np.broadcast_to(moved, len(placed))
            else:
                pairs = [down(e, placed[i : i + 1]) for i, e in enumerate(epochs.tolist())]
                epochs = np.array([np.ravel(e)[0] for e, _ in pairs])
                placed = np.concatenate([p for _, p in pairs])
        epochs, positions = (epochs, placed) if at is None else at
        return Batch(take(placed), len(placed), np.stack([epochs, positions], 1))

    return make
