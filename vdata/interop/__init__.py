"""Bridges to other libraries: `torchdata` nodes, `webdataset` pipelines, `torchvision` tv_tensors, Ray datasets; and transforms of
torchvision, albumentations and kornia as steps of a pipe (`vdata.interop.torchvision.Step` and so on).

A `DataPipe` needs none for torch: it is an `IterableDataset`, and plain `DataLoader` and `StatefulDataLoader` take it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_BRIDGES = ("albumentations", "kornia", "ray", "torchdata", "torchvision", "webdataset")


def __getattr__(name: str) -> Any:
    if name in _BRIDGES:  # each needs its library, so each is loaded when it is named
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; bridges are {', '.join(_BRIDGES)}")
