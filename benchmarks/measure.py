"""One peer of one case, in this process, measured: `python benchmarks/measure.py CASE PEER FOLDER [--quick]` prints one line of JSON.

    first      seconds from the start of the process to the first batch in the consumer's hands: imports and building included
    rate       samples a second from the second batch on to the last: two workers deliver in pairs, so two batches are let pass
    cpu        CPU seconds per 1,000 samples in that time, of this process and all that descend from it, their ends included
    missing    instead of all that: why this peer cannot run here
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

BEGAN = time.monotonic()
PASSED = 2  # batches before the clock of `rate` starts
OURS = ("vdata", "cases", "data")  # what of these cannot be imported is a failure, not a missing peer

# Workers are threads or processes: none of them gets threads of its own. Libraries read this when they load.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def cpu_seconds() -> float:
    """Of this process, its living descendants, and those that have ended and been waited for."""
    import psutil  # not at the top: its import is no part of a peer's first batch

    this = psutil.Process()
    spent = 0.0
    for process in (this, *this.children(recursive=True)):
        try:
            spent += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:  # its parent has waited for it in the meantime, and was asked before
            continue
    return spent


def measured(batches: Iterator[int], since: float) -> dict[str, float]:
    first = began = ended = spent = 0.0
    samples = number = 0
    for number, size in enumerate(batches, 1):
        ended = time.monotonic()
        if number == 1:
            first = ended - since
        if number > PASSED:
            samples += size
        elif number == PASSED:
            spent = cpu_seconds()
            began = time.monotonic()
    if not samples:
        raise ValueError(f"{number} batches came, at least {PASSED + 1} are needed to measure")
    seconds = ended - began
    return {"first": first, "samples": samples, "seconds": seconds, "rate": samples / seconds, "cpu": (cpu_seconds() - spent) / samples * 1000}


def one(case: str, peer: str, folder: Path, quick: bool, since: float) -> dict[str, float | str]:
    run = importlib.import_module(f"cases.{case}").PEERS[peer]
    try:
        return dict(measured(iter(run(folder, quick)), since))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in OURS:
            raise
        return {"missing": f"{error.name.split('.')[0]} is not installed"}
    except NotImplementedError as error:  # a peer's way to say what it needs that this machine has not
        return {"missing": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case")
    parser.add_argument("peer")
    parser.add_argument("folder", type=Path, help="where the case's prepare() has put its data")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--since", type=float, default=BEGAN, help="time.monotonic() when this process was started; default: when its first line ran")
    given = parser.parse_args()
    print(json.dumps(one(given.case, given.peer, given.folder, given.quick, given.since)), flush=True)


if __name__ == "__main__":
    main()
