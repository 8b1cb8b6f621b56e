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
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from vdata.card import Archive, Card, Option
from vdata.errors import DataWarning, PlanError, UnknownDatasetError
from vdata.find import chosen, found, how_to_get, missing, places_of, without_index

__all__ = ["Archive", "Card", "Option", "build_index", "download", "home", "info", "list_datasets"]

GROUP = "vdata.datasets"  # the entry point group of other packages' datasets


def list_datasets(task: str | None = None) -> list[str]:
    """Names that `load` takes, sorted; those of one task ("optical flow", "classification") if given.

    >>> "kitti_flow" in vdata.list_datasets()
    True
    """
    names = sorted(_places())
    if task is None:
        return names
    found = [n for n in names if task.lower().replace("_", " ") in info(n).task]
    if not found:
        tasks = sorted({part.strip() for n in names for part in info(n).task.split(",")})
        raise PlanError(f"no dataset is for {task!r}{near(task, tasks)}; there is {', '.join(tasks)}")
    return found


def info(name: str) -> Card:
    """The card of a dataset.

    >>> vdata.info("kitti_flow").splits["train"]
    200
    """
    return module_of(name).card


def download(
    name: str, split: str | None = None, *, root: str | os.PathLike[str] | None = None, optional: bool = False, **options: Any
) -> Path:
    """Get the files of a dataset that are missing; the folder that they are in.

    split      the files of one split; None: of all
    optional   those too without which the set works
    options    as for `load`: the files that these values need

    What has an address is fetched; of what people must get by hand a DataWarning says what to put where.

    >>> str(download("moving_photos", root="/tmp"))    # needs no files
    '/tmp'
    """
    card = info(name)
    folder = root_of(card, root)
    given = {option: check_option(card, option, value) for option, value in options.items()}
    settings = {n: o.default for n, o in card.options.items()} | given
    wanted: list[Archive] = []
    for one in card.splits if split is None else [split]:
        here = settings | {"split": one}
        lost = missing(card, folder, here)
        wanted += chosen(lost)
        if optional:
            wanted += [a for a in card.wanted(here) if a.optional and not found(a, places_of(card, folder))]
    fetch(card, _distinct(wanted), folder)
    return folder


def build_index(name: str, root: str | os.PathLike[str] | None = None) -> list[Path]:
    """Make the seek index of every compressed archive of the dataset that has none: any of its samples can then be read
    at once. One pass over each, with a progress bar. The paths of the indexes that were made."""
    from vdata import seek

    card = info(name)
    return [seek.build(path) for path in without_index(card, root_of(card, root))]


def check_option(card: Card, name: str, value: Any) -> Any:
    """The option's value as the card has it ("2" for the choice 2, 2012 for "2012"); PlanError unless it takes the value."""
    if name not in card.options:
        hint = _HINTS.get(name, "")
        known = ", ".join(card.options) or "none"
        raise PlanError(f"{card.name} has no option {name!r}{near(name, card.options)}{hint and ': ' + hint}; it has {known}")
    choices = card.options[name].choices
    if not choices or any(value == c and isinstance(value, bool) == isinstance(c, bool) for c in choices):
        return value
    spelled = [c for c in choices if not isinstance(value, bool) and not isinstance(c, bool) and str(c) == str(value)]
    if len(spelled) != 1:
        raise PlanError(f"{card.name}: {name} is one of {list(choices)}, got {value!r}{near(str(value), map(str, choices))}")
    return spelled[0]


# What people who come from torchvision write first.
_HINTS = {
    "train": 'say split="train" or split="test"', "image_set": "that is split=", "transform": "write load(...).apply(...)",
    "transforms": "write load(...).apply(...)", "target_transform": "write load(...).map(fn) with a function of the sample",
    "target_types": "all targets are fields of the sample", "target_type": "all targets are fields of the sample",
    "loader": "pictures are decoded when they are needed; .decode(mode=...) sets how",
}  # fmt: skip


def home() -> Path:
    """Where datasets lie by default: `$VDATA_HOME`, else the user's cache folder."""
    if "VDATA_HOME" in os.environ:
        return Path(os.environ["VDATA_HOME"])
    import platformdirs

    return Path(platformdirs.user_cache_dir("vdata")) / "datasets"


def near(word: str, words: Iterable[str]) -> str:
    """A hint at the word that was meant, whatever its case and its separators: "OxfordIIITPet"."""
    plain = {"".join(filter(str.isalnum, w)).lower(): w for w in words}
    wanted = "".join(filter(str.isalnum, word)).lower()
    close = [wanted] if wanted in plain else difflib.get_close_matches(wanted, list(plain), 1)
    if not close:
        close = [p for p in sorted(plain, key=len, reverse=True) if len(p) > 2 and wanted.startswith(p)][:1]
    return f" (did you mean {plain[close[0]]!r}?)" if close else ""


def root_of(card: Card, root: str | os.PathLike[str] | None) -> Path:
    """The folder of a dataset's files."""
    return home() / card.name if root is None else Path(os.path.abspath(os.path.expanduser(root)))


def _distinct(archives: list[Archive]) -> list[Archive]:
    return list({a.name: a for a in archives}.values())


def fetch(card: Card, archives: list[Archive], folder: Path) -> None:
    """Those that have an address; of the others a warning says how to get them."""
    from vdata.fetching import download as get

    by_hand = [a for a in archives if not a.urls]
    if len(by_hand) < len(archives):
        get([a for a in archives if a.urls], folder)
    if by_hand:
        warnings.warn(f"{card.name}: some files must be got by hand. {how_to_get(card, folder, by_hand)}", DataWarning, stacklevel=3)


# -- where datasets are --------------------------------------------------------------------------------------------------


@cache
def _places() -> dict[str, str]:
    """Name -> module, of vdata's own datasets and of those that other installed packages name."""
    folder = importlib.import_module("vdata.datasets").__path__
    places = {m.name: f"vdata.datasets.{m.name}" for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")}
    for entry in metadata.entry_points(group=GROUP):
        if ":" in entry.value:
            warnings.warn(f"the dataset {entry.name!r} is named as {entry.value}: it should be a module, without a colon", stacklevel=2)
        elif places.setdefault(entry.name, entry.value) != entry.value:
            warnings.warn(f"the dataset {entry.name!r} of {entry.value} is hidden by that of {places[entry.name]}", stacklevel=2)
    return places


@cache
def module_of(name: str) -> ModuleType:
    """The dataset's file, by its name in the catalogue or by its path."""
    if name.endswith(".py"):
        return _from_file(os.path.abspath(name))
    if name not in _places():
        raise UnknownDatasetError(f"there is no dataset {name!r}{near(name, _places())}; vdata.list_datasets() names them all")
    place = _places()[name]
    try:
        module = importlib.import_module(place)
    except Exception as error:
        error.add_note(f"while the dataset {name!r} was imported from {place}")
        raise
    return _whole(module, name)


def _from_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise UnknownDatasetError(f"there is no file {path}")
    unique = hashlib.blake2b(path.encode(), digest_size=4).hexdigest()
    spec = importlib.util.spec_from_file_location(f"vdata_dataset_{Path(path).stem}_{unique}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses and pickling look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return _whole(module, path)


def _whole(module: ModuleType, name: str) -> ModuleType:
    """The module, if it has what a dataset needs."""
    has = vars(module)
    needed = ("card", "source") if "source" in has else ("card", "samples", "sample")
    lacking = [n for n in needed if n not in has]
    if lacking or not isinstance(has["card"], Card):
        lacking = lacking or ["vdata.card.Card named card"]
        raise PlanError(f"{name} describes no dataset: it has no {' and no '.join(lacking)}; see the module vdata.catalog")
    return module
