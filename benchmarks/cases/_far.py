"""Shards behind a link of 100 MB/s with 50 ms before each answer: a server in a process of its own, which shares the machine with its reader."""

# webdataset's module does not say what it holds.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LATENCY, RATE = 0.05, 100e6
_SERVER = Path(__file__).parents[1] / "link.py"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's URL until the block ends."""
    command = [sys.executable, str(_SERVER), str(folder), "--latency", str(LATENCY), "--rate", str(RATE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{server.stdout.readline().split()[-1]}"
        finally:
            server.kill()


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.tar"))


def webdataset(urls: list[str]) -> Any:
    """Its documented way to read over HTTP: a pipe of curl, a shard at a time in each worker."""
    import webdataset as wds

    return wds.WebDataset([f"pipe:curl -s {url}" if "://" in url else url for url in urls], shardshuffle=False)
