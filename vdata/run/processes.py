"""Worker processes: under torchdata's StatefulDataLoader, whose own snapshots are off, since vdata counts.

Workers take whole chunks in turn, so the order is the positions' whatever their number. A worker that dies (killed for memory, say)
loses nothing: what was not delivered yet is computed again, by new workers from that position on.
"""

from __future__ import annotations

import itertools
import re
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from vdata.errors import StageTimeoutError, VdataError, WorkerError
from vdata.plan import Stage
from vdata.run.make import compile
from vdata.run.ring import Inline, Part, chunks, compute, prepared, require_picklable

DEATHS = 3  # at one place, before it is the place's fault
_LOOK = 1.0  # seconds
_DIED = re.compile(r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (is killed by|exited unexpectedly)")


class Processes(Inline):
    """Worker processes for one pass at a time."""

    def __init__(self, workers: int, ahead: int, timeout: float, context: str):
        super().__init__()
        self.workers, self.timeout, self.context = workers, timeout, context
        self.prefetch = max(1, -(-ahead // workers))

    def parts(self, stage: Stage, epoch: int, start: int) -> Iterator[Part]:
        require_picklable(stage)
        at, deaths = start, 0
        while True:
            try:
                for part in self._pass(stage, epoch, at):
                    yield part
                    at, deaths = part[0] + len(part[1]), 0
                return
            except _Died as died:
                deaths += 1
                if deaths == DEATHS:
                    what = f"a worker process died {deaths} times at positions from {at} on: {died}"
                    raise WorkerError(f"{what}. Out of memory, or a crash in native code? Try workers=1, smaller batches, or mode='inline' to see it") from None
                warnings.warn(f"{died}; going on at position {at} with new workers", RuntimeWarning, stacklevel=2)

    def _pass(self, stage: Stage, epoch: int, start: int) -> Iterator[Part]:
        """Every chunk, while all workers live."""
        parts: Any = None
        try:
            parts = self._workers(_Chunks(stage, epoch, start))
            while (part := _next(parts, self.timeout)) is not None:
                if isinstance(part, VdataError):
                    raise part
                yield part
        finally:
            _stop(parts)

    def _workers(self, work: _Chunks) -> Iterator[Any]:
        from torchdata.stateful_dataloader import StatefulDataLoader

        with warnings.catch_warnings():
            # torchdata's own calls of what torch has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*set_vital.*")
            loader = StatefulDataLoader(
                work, batch_size=None, num_workers=self.workers, prefetch_factor=self.prefetch, timeout=self.timeout,
                snapshot_every_n_steps=2**62, multiprocessing_context=self.context,
            )  # fmt: skip
            try:
                parts: Any = iter(loader)  # waits for the first answer of each worker
            except RuntimeError as error:
                raise _known(error, self.timeout) or error from None
        parts._timeout = min(_LOOK, self.timeout)  # that was for the start of the workers
        # torch would raise a worker's death in whatever the main thread does at that moment, be it the caller's own code.
        torch._C._remove_worker_pids(id(parts))
        parts._worker_pids_set = False
        return parts


class _Died(Exception):
    """A worker is gone."""


def _next(parts: Iterator[Any], timeout: float) -> Any:
    """The next part, None at the end. The loader looks whether its workers live when it has waited in vain, so it waits in short turns."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return next(parts, None)
        except (EOFError, OSError) as error:
            # Tensors that a dead worker had not handed over yet: their memory went with it. A worker's own errors say "Caught".
            if str(error).startswith("Caught") or not (code := _exit_code(parts)):
                raise
            raise _Died(f"a worker process exited with code {code}") from None
        except RuntimeError as error:
            found = _known(error, timeout)
            if found is None:
                raise
            if isinstance(found, _Died) or time.monotonic() >= deadline:
                raise found from None


def _known(error: RuntimeError, timeout: float) -> Exception | None:
    """What an error of torch's loader says; None for a worker's own."""
    if died := _DIED.search(str(error)):
        return _Died(died[0])
    if "DataLoader timed out after" in str(error):
        return StageTimeoutError(f"no result from a worker process after {timeout:g} s: a stage hangs; raise loader(timeout=...) if it is only slow")
    return None


def _exit_code(parts: Any) -> int:
    """Of a worker that died, 0 if none did. Its connections end a moment before it can be seen to be gone."""
    until = time.monotonic() + _LOOK
    while not (codes := [w.exitcode for w in getattr(parts, "_workers", ()) if w.exitcode]) and time.monotonic() < until:
        time.sleep(0.01)
    return codes[0] if codes else 0


def _stop(parts: Any) -> None:
    """End the workers now, not when the garbage collector finds them."""
    shutdown = getattr(parts, "_shutdown_workers", None)
    if shutdown is not None:
        shutdown()


class _Chunks(IterableDataset):
    """In a worker: every num_workers-th chunk. vdata's own errors travel as values, so that they keep what they know."""

    def __init__(self, stage: Stage, epoch: int, start: int):
        self.stage, self.epoch, self.start = stage, epoch, start

    def __iter__(self) -> Iterator[Part | VdataError]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        node = compile(self.stage)
        for first, last in prepared(node, self.epoch, itertools.islice(chunks(node, self.start, workers), worker, None, workers)):
            try:
                yield compute(node, self.epoch, first, last)
            except VdataError as error:
                yield error
                return
