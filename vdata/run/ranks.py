"""A pipe in a foreign loader, in one of several ranks: who deals its samples to them.

Accelerate does (and with it the Trainer of transformers) for the loaders that it has prepared, and calls `set_epoch` before each pass. Others leave
an IterableDataset alone: every rank would read all of it, and each sample would be trained on as often as there are ranks.
"""

from __future__ import annotations

import warnings
from types import FrameType

import torch.distributed as dist

from vdata.errors import PlanError
from vdata.plan import Shard, Stage, chain

_LOADERS = ("torch.utils.data._utils.fetch", "lightning.", "pytorch_lightning.")  # whose code it is that asks a pipe for its next sample


def deals(caller: FrameType) -> bool:
    """Whether the code that calls a pipe belongs to a library that deals to ranks."""
    return _module(caller).startswith("accelerate.")


def check_ranks(written: Stage, caller: FrameType) -> None:
    """Raise where a DataLoader or Lightning would read all of a pipe on every rank; warn where another loop does."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1 or deals(caller):
        return
    if any(isinstance(s, Shard) for s in chain(written)):
        return
    rank, world = dist.get_rank(), dist.get_world_size()
    text = (
        f"all of this pipe would be read on each of {world} ranks: give pipe.loader(...) instead, which deals; or before .batch write "
        f".take(len(pipe) // {world} * {world}).shard({world}, {rank}); or .shard(1, 0) where every rank shall read all"
    )
    if _module(caller).startswith(_LOADERS):
        raise PlanError(text)
    warnings.warn(text, UserWarning, stacklevel=3)


def _module(frame: FrameType) -> str:
    return frame.f_globals.get("__name__", "")
