"""The catalogue: which datasets there are, where their files lie, and what is known of each (`info`).

A dataset is one file with four names:

    card                                 a `Card`: everything that can be said without reading data
    samples(files, split, **options)     what should be there: one record a sample, its files named, none opened
    sample(files, record, **options)     one record to a sample: bytes not yet decoded
    fake(root)                           tiny data in the real on-disk format, for tests and first steps

and, if need be, `count(split, **options)`: how many samples were published, where that depends on options. A set that
needs no files has `source(split, **options)`, a `Source`, in the place of `samples` and `sample`.

Datasets are the files of `vdata.datasets`, modules that installed packages name under the entry point group
"vdata.datasets", and Python files of one's own: `load("./mine.py")`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
import warnings
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from vdata.card import Archive, Card, Option
from vdata.errors import PlanError, UnknownDatasetError
from vdata.find import without_index

__all__ = ["Archive", "Card", "Option", "build_index", "download", "home", "info", "list_datasets"]

GROUP = "vdata.datasets"  # the entry point group of other packages' datasets


def list_datasets(task: str | None = None) -> list[str]:
    """Names that `load` takes, sorted; those of one task ("optical flow", "classification") if given.

    >>> "kitti_flow" in vdata.list_datasets()
    True
    """
    names = sorted(_places())
    return names if task is None else [n for n in names if task.lower().replace("_", " ") in info(n).task]


def info(name: str) -> Card:
    """The card of a dataset.

    >>> vdata.info("kitti_flow").splits["train"]
    200
    """
    return module_of(name).card


def download(name: str, root: str | os.PathLike[str] | None = None, *, optional: bool = False) -> Path:
    """Get all files of a dataset, those of every split and option; the folder that they are in.

    optional   those too without which the set works

    >>> str(download("moving_photos", "/tmp"))    # needs no files
    '/tmp'
    """
    card = info(name)
    folder = root_of(card, root)
    fetch([a for a in card.archives if optional or not a.optional], folder)
    return folder


def build_index(name: str, root: str | os.PathLike[str] | None = None) -> list[Path]:
    """Make the seek index of every compressed archive of the dataset that has none: any of its samples can then be read
    at once. One pass over each, with a progress bar. The paths of the indexes that were made."""
    from vdata import seek

    card = info(name)
    return [seek.build(path) for path in without_index(card, root_of(card, root))]


def home() -> Path:
    """Where datasets lie by default: `$VDATA_HOME`, else the user's cache folder."""
    if "VDATA_HOME" in os.environ:
        return Path(os.environ["VDATA_HOME"])
    import platformdirs

    return Path(platformdirs.user_cache_dir("vdata")) / "datasets"


def near(word: str, words: Any) -> str:
    near = difflib.get_close_matches(word, list(words), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def root_of(card: Card, root: str | os.PathLike[str] | None) -> Path:
    """The folder of a dataset's files."""
    return home() / card.name if root is None else Path(root)


def fetch(archives: list[Archive], folder: Path) -> None:
    """Of several files that stand for each other, the first that has an address, unless one of them is there."""
    from vdata.download import download as get

    chosen: dict[str, Archive] = {}
    for archive in archives:
        group = archive.group or archive.name
        if group not in chosen or (archive.urls and not chosen[group].urls) or (folder / archive.name).is_file():
            chosen[group] = archive
    if chosen:
        get(list(chosen.values()), folder)


# -- where datasets are --------------------------------------------------------------------------------------------------


@cache
def _places() -> dict[str, str]:
    """Name -> module, of vdata's own datasets and of those that other installed packages name."""
    folder = importlib.import_module("vdata.datasets").__path__
    places = {m.name: f"vdata.datasets.{m.name}" for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")}
    for entry in metadata.entry_points(group=GROUP):
        if places.setdefault(entry.name, entry.value) != entry.value:
            warnings.warn(f"the dataset {entry.name!r} of {entry.value} is hidden by that of {places[entry.name]}", stacklevel=2)
    return places


@cache
def module_of(name: str) -> ModuleType:
    """The dataset's file, by its name in the catalogue or by its path."""
    if name.endswith(".py"):
        return _from_file(os.path.abspath(name))
    if name not in _places():
        raise UnknownDatasetError(f"there is no dataset {name!r}{near(name, _places())}; vdata.list_datasets() names them all")
    return _whole(importlib.import_module(_places()[name]), name)


def _from_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise UnknownDatasetError(f"there is no file {path}")
    unique = hashlib.blake2b(path.encode(), digest_size=4).hexdigest()
    spec = importlib.util.spec_from_file_location(f"vdata_dataset_{Path(path).stem}_{unique}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses and pickling look there
    spec.loader.exec_module(module)
    return _whole(module, path)


def _whole(module: ModuleType, name: str) -> ModuleType:
    """The module, if it has what a dataset needs."""
    needed = ("card", "source") if hasattr(module, "source") else ("card", "samples", "sample")
    lacking = [n for n in needed if not hasattr(module, n)]
    if lacking:
        raise PlanError(f"{name} describes no dataset: it has no {' and no '.join(lacking)}; see the module vdata.catalog")
    return module
