"""`load`: a dataset by its name, shards at a URL, a folder of pictures. Its types, one overload a dataset, are in loading.pyi."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from vdata.card import Card
from vdata.catalog import check_option, fetch, list_datasets, module_of, near, root_of
from vdata.errors import PlanError, UnknownDatasetError
from vdata.find import chosen, files_of, missing, unpack, without_index
from vdata.listing import Dataset, source_of
from vdata.pipe import DataPipe
from vdata.start import from_folder, open, read

_OWN = {
    "folder": "from_folder(path)", "imagefolder": "from_folder(path)", "image_folder": "from_folder(path)",
    "csv": "from_csv(path)", "coco_json": "from_coco(json, pictures)",
}  # fmt: skip


def load(
    name_or_url: str | os.PathLike[str], split: str | None = None, *, root: str | os.PathLike[str] | None = None, download: bool = False,
    fake: bool = False, strict: bool = True, **options: Any,
) -> DataPipe:  # fmt: skip
    """A dataset by its name, or by the path of a Python file that describes it; or shards at a URL; or a folder of pictures.

    split    by default the card's `default`, else "train" where there is one, else the only one
    root     the folder that holds the archives as downloaded, or the extracted tree in torchvision's layout;
             by default `$VDATA_HOME/<name>`, else the user's cache folder
    download get the files that are missing first, each checked before it gets its name
    fake     tiny made-up data in the real on-disk format instead (compressed tars unpacked, so that any sample can be read)
    strict   a missing file, or fewer samples than published, raises; False: go on with what is there and warn
    options  see the card: `print(vdata.info(name))`

    >>> vdata.load("kitti_flow", fake=True)[0]["flow"].views
    ('image1', 'image2')
    """
    name = os.fspath(name_or_url)
    if name.endswith(".py"):
        name = os.path.abspath(name)  # workers look for it too
    elif name not in list_datasets():
        return _from_url(name, split, root, fake or download or not strict, options)
    module = module_of(name)
    card: Card = module.card
    split = _split(card, split)
    given = {option: check_option(card, option, value) for option, value in options.items()}
    settings = {n: o.default for n, o in card.options.items()} | given
    if "source" in vars(module):
        return read(module.source(split, **settings))
    folder = _fake_root(name) if fake else root_of(card, root)
    places = settings | {"split": split}
    if download and not fake:
        fetch(card, chosen(missing(card, folder, places)), folder)
    files = files_of(card, folder, places)
    return read(source_of(Dataset(partial(module_of, name)), files, split, settings, strict=strict, counted=not fake))


def _split(card: Card, split: str | None) -> str:
    if split is None:
        if card.default:
            return card.default
        if "train" in card.splits:
            return "train"
        if len(card.splits) == 1:
            return next(iter(card.splits))
        raise PlanError(f"{card.name} has the splits {', '.join(card.splits)}: say which, as in load({card.name!r}, split={next(iter(card.splits))!r})")
    if not isinstance(split, str):
        raise PlanError(f"{card.name}: split is a name ({', '.join(card.splits)}), got {split!r}; for both write vdata.concat")
    if split not in card.splits:
        raise PlanError(f"{card.name} has no split {split!r}{near(split, card.splits)}; it has {', '.join(card.splits)}")
    return split


def _from_url(url: str, split: str | None, root: Any, given: bool, options: Mapping[str, Any]) -> DataPipe:
    looks = "://" in url or "/" in url or "\\" in url or url.endswith(".tar") or os.path.exists(url)
    if not looks:
        if (own := url.lower().replace("-", "_")) in _OWN:
            raise UnknownDatasetError(f"there is no dataset {url!r}: for data of your own write vdata.{_OWN[own]}")
        raise UnknownDatasetError(f"there is no dataset {url!r}{near(url, list_datasets())}; vdata.list_datasets() names them all")
    if split is not None or root is not None or given:
        raise PlanError(f"split, root, download, fake and strict belong to datasets of the catalogue; {url!r} is a URL")
    folder = Path(url)
    if folder.is_dir() and not (folder / "manifest.json").exists() and not any(folder.glob("*.tar")):
        return from_folder(url, **options)
    return open(url, **options)


@cache
def _fake_root(name: str) -> Path:
    """A folder with the dataset's fake data; it lives as long as the process.

    Compressed tars are unpacked to plain ones: nobody could make an index of files that are gone with the process, and
    pipelines that are tried on fakes shuffle.
    """
    folder = tempfile.TemporaryDirectory(prefix=f"vdata-fake-{Path(name).stem}-")
    module = module_of(name)
    module.fake(Path(folder.name))
    for path in without_index(module.card, Path(folder.name)):
        unpack(path)
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


