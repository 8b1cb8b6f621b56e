"""One progress bar for long work; silent where the output is no terminal, or `VDATA_PROGRESS=0`."""

from __future__ import annotations

import os
import sys
from typing import Any

from tqdm import tqdm


def progress(what: str, total: float | None, *, unit: str = "samples", quiet: bool | None = None) -> Any:
    """A tqdm bar (a context manager with `.update(n)`). `quiet=None`: shown on a terminal only. `unit="B"`: kB, MB, GB."""
    hidden = not sys.stderr.isatty() or os.environ.get("VDATA_PROGRESS") == "0" if quiet is None else quiet
    size = unit == "B"
    return tqdm(
        total=total,
        desc=what,
        unit=unit if size else f" {unit}",
        unit_scale=size,
        disable=hidden,
        dynamic_ncols=True,
        smoothing=0.1,
    )
