"""The catalogue: what is known of each dataset (`Card`), and `load`, which finds it by name.

A dataset is one file of `vdata.datasets` with three names:

    card                                    a `Card`: everything that can be said without reading data
    source(root, split, **options)          a `Source` or `Stream` of samples over the files in `root`
    fake(root)                              tiny data in the real on-disk format, for tests and first steps
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import pkgutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from vdata.errors import PlanError, UnknownDatasetError
from vdata.field import Field
from vdata.files import Files, Tars, Tree, Zips
from vdata.pipe import DataPipe
from vdata.start import from_folder, open, read


@dataclass(frozen=True)
class Archive:
    """One file to download. `sha256` or `md5` is "" where no trusted one is known."""

    name: str
    url: str
    bytes: int = 0
    sha256: str = ""
    md5: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Option:
    """A keyword of `load` for one dataset: its default, the values it takes (empty: any), and what it does."""

    default: Any
    choices: tuple[Any, ...] = ()
    doc: str = ""


@dataclass(frozen=True)
class Card:
    """What is known of a dataset without reading it.

    splits  name -> number of samples as published; None where it depends on options
    folder  the folder below `root` in which torchvision keeps the extracted files ("" for none)
    notes   what a user should know: unverified facts, traps, how to get it where no server helps
    """

    name: str
    title: str
    task: str
    home: str
    licence: str
    citation: str
    splits: Mapping[str, int | None]
    fields: Mapping[str, Field]
    archives: tuple[Archive, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    folder: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [
            f"{self.name}: {self.title}",
            f"  task      {self.task}",
            f"  home      {self.home}",
            f"  licence   {self.licence}",
            f"  splits    {', '.join(n if c is None else f'{n} ({c:,})' for n, c in self.splits.items())}",
        ]
        rows += [f"  field     {n}: {f}" + (f"  {f.doc}" if f.doc else "") for n, f in self.fields.items()]
        rows += [f"  option    {n}={o.default!r}" + (f" of {list(o.choices)}" if o.choices else "") + (f"  {o.doc}" if o.doc else "") for n, o in self.options.items()]
        rows += [f"  file      {a.name}" + (f"  {a.bytes:,} bytes" if a.bytes else "") + f"  {a.url}" for a in self.archives]
        return "\n".join([*rows, f"  cite      {self.citation}", *(f"  note      {n}" for n in self.notes)])


def list_datasets(task: str | None = None) -> list[str]:
    """Names that `load` takes, sorted; those of one task ("optical flow", "classification") if given.

    >>> "kitti_flow" in vdata.list_datasets()
    True
    """
    names = sorted(m.name for m in pkgutil.iter_modules(_folder()) if not m.name.startswith("_"))
    return names if task is None else [n for n in names if task.lower().replace("_", " ") in info(n).task]


def info(name: str) -> Card:
    """The card of a dataset.

    >>> vdata.info("kitti_flow").splits["train"]
    200
    """
    return _module(name).card


def load(
    name_or_url: str | os.PathLike[str], split: str | None = None, *, root: str | os.PathLike[str] | None = None, download: bool = False,
    fake: bool = False, **options: Any,
) -> DataPipe:  # fmt: skip
    """A dataset by its name; or shards at a URL; or a folder of pictures.

    split    "train" where there is one, else the only one
    root     the folder that holds the archives as downloaded, or the extracted tree in torchvision's layout;
             by default `$VDATA_HOME/<name>`, else the user's cache folder
    download not yet: raises, and says which files to put where
    fake     tiny made-up data in the real on-disk format instead
    options  see the card: `print(vdata.info(name))`

    >>> vdata.load("kitti_flow", fake=True)[0]["flow"].views
    ('image1', 'image2')
    """
    name_or_url = os.fspath(name_or_url)
    if name_or_url not in list_datasets():
        return _from_url(name_or_url, split, root, fake, options)
    module = _module(name_or_url)
    card: Card = module.card
    split = _split(card, split)
    for option, value in options.items():
        _check_option(card, option, value)
    if download:
        raise PlanError(f"vdata cannot download {card.name} yet. {how_to_get(card)}")
    settings = {n: o.default for n, o in card.options.items()} | options
    return read(module.source(_fake_root(card.name) if fake else _root(card, root), split, **settings))


def how_to_get(card: Card) -> str:
    """Which files to put where."""
    if not card.archives:
        return f"{card.name} needs no files"
    wanted = "; ".join(f"{a.name} from {a.url}" for a in card.archives if not a.optional)
    return f"Put into root (by default {home() / card.name}) the files as downloaded, without extracting: {wanted}; or the extracted tree in torchvision's layout"


def home() -> Path:
    """Where datasets lie by default: `$VDATA_HOME`, else the user's cache folder."""
    if "VDATA_HOME" in os.environ:
        return Path(os.environ["VDATA_HOME"])
    import platformdirs

    return Path(platformdirs.user_cache_dir("vdata")) / "datasets"


def files_of(card: Card, root: Path, *, zips: tuple[str, ...] = (), tars: tuple[str, ...] = (), tree: str = "") -> Files:
    """The dataset's files: archives of these names that lie in `root`, else the extracted tree.

    All are looked for in `root/<card.folder>` and in `root` itself. `tree` names a folder that the extracted tree
    must have; without it any folder will do.
    """
    places = [root / card.folder, root] if card.folder else [root]
    for names, reader in ((zips, Zips), (tars, Tars)):
        for place in places:
            archives = [place / n for n in names if (place / n).is_file()]
            if archives:
                return reader(archives)
    for place in places:
        if (place / tree).is_dir() if tree else place.is_dir() and any(p.is_dir() for p in place.iterdir()):
            return Tree(place)
    raise UnknownDatasetError(f"{card.name} is not in {root}. {how_to_get(card)}")


def _split(card: Card, split: str | None) -> str:
    if split is None:
        if "train" in card.splits:
            return "train"
        if len(card.splits) == 1:
            return next(iter(card.splits))
        raise PlanError(f"{card.name} has the splits {', '.join(card.splits)}: say which, as in load({card.name!r}, split={next(iter(card.splits))!r})")
    if split not in card.splits:
        raise PlanError(f"{card.name} has no split {split!r}{_near(split, card.splits)}; it has {', '.join(card.splits)}")
    return split


def _check_option(card: Card, name: str, value: Any) -> None:
    if name not in card.options:
        raise PlanError(f"{card.name} has no option {name!r}{_near(name, card.options)}; it has {', '.join(card.options) or 'none'}")
    choices = card.options[name].choices
    if choices and value not in choices:
        raise PlanError(f"{card.name}: {name} is one of {list(choices)}, got {value!r}")


def _root(card: Card, root: str | os.PathLike[str] | None) -> Path:
    return home() / card.name if root is None else Path(root)


@cache
def _fake_root(name: str) -> Path:
    """A folder with the dataset's fake data; it lives as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix=f"vdata-fake-{name}-")
    _module(name).fake(Path(folder.name))
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def _from_url(url: str, split: str | None, root: Any, fake: bool, options: Mapping[str, Any]) -> DataPipe:
    looks = "://" in url or "/" in url or "\\" in url or url.endswith(".tar") or os.path.exists(url)
    if not looks:
        raise UnknownDatasetError(f"there is no dataset {url!r}{_near(url, list_datasets())}; vdata.list_datasets() names them all")
    if split is not None or root is not None or fake:
        raise PlanError(f"split, root and fake belong to datasets of the catalogue; {url!r} is a URL")
    if url.endswith(".py"):
        raise PlanError(f"{url}: datasets of one's own in a file are not read yet; write vdata.from_folder, from_torch or from_iterable")
    folder = Path(url)
    if folder.is_dir() and not (folder / "manifest.json").exists() and not any(folder.glob("*.tar")):
        return from_folder(url, **options)
    return open(url, **options)


def _near(word: str, words: Any) -> str:
    near = difflib.get_close_matches(word, list(words), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _folder() -> list[str]:
    return list(importlib.import_module("vdata.datasets").__path__)


def _module(name: str) -> ModuleType:
    if importlib.util.find_spec(f"vdata.datasets.{name}") is None:
        raise UnknownDatasetError(f"there is no dataset {name!r}{_near(name, list_datasets())}; vdata.list_datasets() names them all")
    return importlib.import_module(f"vdata.datasets.{name}")
