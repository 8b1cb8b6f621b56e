"""The Ray cluster that was asked for: the one that `ray.init` was called for, else this machine, until the work is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vdata.errors import MissingPackageError


@contextmanager
def ray_cluster(workers: int | None = None) -> Iterator[Any]:
    """The module `ray`, initialised. What is started here, with so many CPUs, ends with the block."""
    try:
        import ray
    except ImportError:
        raise MissingPackageError("""executor="ray" needs Ray: pip install 'vdata-vision[ray]'""") from None
    ours = not ray.is_initialized()
    if ours:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
