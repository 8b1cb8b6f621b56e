"""vdata: any vision dataset as a chainable pipe of typed samples.

    import vdata
    pipe = vdata.load("kitti_flow").shuffle(seed=0).batch(8)

Names load when first used, so `import vdata` costs nothing and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> the module that holds it
_HOME = {
    "load": "vdata.loading",
    "info": "vdata.catalog",
    "list_datasets": "vdata.catalog",
    "download": "vdata.catalog",
    "build_index": "vdata.catalog",
    "verify": "vdata.checking",
    "bench": "vdata.measuring",
    "report": "vdata.reporting",
    "Card": "vdata.catalog",
    "open": "vdata.start",
    "from_folder": "vdata.start",
    "from_csv": "vdata.start",
    "from_coco": "vdata.start",
    "from_iterable": "vdata.start",
    "from_torch": "vdata.start",
    "concat": "vdata.start",
    "mix": "vdata.start",
    "zip": "vdata.start",
    "DataPipe": "vdata.pipe",
    "register_verb": "vdata.pipe",
    "Loader": "vdata.run.loader",
    "Batch": "vdata.batch",
    "Ragged": "vdata.batch",
    "Key": "vdata.key",
}
_MODULES = ("catalog", "codecs", "datasets", "errors", "interop", "metrics", "tensors", "testing", "transforms", "viz")

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"vdata.{name}")
    raise AttributeError(f"module 'vdata' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from vdata import catalog, codecs, datasets, errors, interop, metrics, tensors, testing, transforms, viz
    from vdata.batch import Batch, Ragged
    from vdata.catalog import Card, build_index, download, info, list_datasets
    from vdata.checking import verify
    from vdata.key import Key
    from vdata.loading import load
    from vdata.measuring import bench
    from vdata.pipe import DataPipe, register_verb
    from vdata.reporting import report
    from vdata.run.loader import Loader
    from vdata.start import concat, from_coco, from_csv, from_folder, from_iterable, from_torch, mix, open, zip
