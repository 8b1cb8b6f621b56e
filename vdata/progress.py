"""One progress bar for long work; silent where the output is no terminal, or `VDATA_PROGRESS=0`."""

from __future__ import annotations

import os
import sys
from typing import Any

from tqdm import tqdm


def progress(what: str, total: float | None, *, unit: str = "samples", quiet: bool | None = None) -> Any:
    """A tqdm bar (a context manager with `.update(n)`). `quiet=None`: shown on a terminal only."""
    hidden = not sys.stderr.isatty() or os.environ.get("VDATA_PROGRESS") == "0" if quiet is None else quiet
    return tqdm(total=total, desc=what, unit=f" {unit}", disable=hidden, dynamic_ncols=True, smoothing=0.1)
