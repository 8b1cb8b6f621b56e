"""Where a dataset's files are: the archives as downloaded, the extracted tree, or some of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vdata import seek
from vdata.card import Archive, Card
from vdata.errors import UnknownDatasetError
from vdata.files import Files, Layers, Moved, Scanned, Tars, Tree, Unpacked, Zips, is_compressed

_PACKINGS = (".gz", ".bz2", ".xz")


def files_of(card: Card, root: Path, settings: Mapping[str, Any]) -> Layers:
    """All files of the dataset that are in `root`, under the names of the extracted layout.

    Archives and folders are looked for in `root/<card.folder>` and in `root` itself. What is extracted is not read
    from its archive. UnknownDatasetError where a file is missing that these settings need, with how to get it.
    """
    places = places_of(card, root)
    trees = [Tree(place) for place in places if place.is_dir()]
    layers: list[Files] = []
    for archive in card.wanted(settings):
        if not extracted(archive, places) and (path := found(archive, places)) is not None:
            if (opened := _opened(card, archive, path)) is not None:
                layers.append(opened)
    lost = missing(card, root, settings)
    if lost:
        raise UnknownDatasetError(f"{card.name} is not in {root}, or not all of it. {how_to_get(card, root, lost)}")
    return Layers([*layers, *trees])


def places_of(card: Card, root: Path) -> list[Path]:
    """Where a file of the dataset may lie, the likelier place first."""
    return [root / card.folder, root] if card.folder else [root]


def found(archive: Archive, places: list[Path]) -> Path | None:
    """The archive as a file; a compressed one may be there unpacked: "images.tar" for "images.tar.gz"."""
    names = [archive.name, *(archive.name.removesuffix(p) for p in _PACKINGS if archive.name.endswith(p))]
    if archive.name.endswith(".tgz"):
        names.append(archive.name.removesuffix(".tgz") + ".tar")
    return next((place / name for place in places for name in names if (place / name).is_file()), None)


def extracted(archive: Archive, places: list[Path]) -> bool:
    """Whether the extracted tree has what the archive brings."""
    trees = (archive.tree,) if isinstance(archive.tree, str) else archive.tree
    return any((place / tree).exists() for place in places for tree in trees if tree)


def missing(card: Card, root: Path, settings: Mapping[str, Any]) -> list[Archive]:
    """The files that these settings need and that are not there; of a group, those to choose from."""
    places = places_of(card, root)
    needed = [a for a in card.wanted(settings) if not a.optional]
    there = {a.name for a in card.wanted(settings) if found(a, places) or extracted(a, places)}
    groups = {a.group for a in card.archives if a.name in there}
    return [a for a in needed if a.name not in there and (not a.group or a.group not in groups)]


def how_to_get(card: Card, root: Path, archives: list[Archive] | None = None) -> str:
    """Which files to put where, and the command that does it."""
    wanted = [a for a in card.archives if not a.optional] if archives is None else archives
    if not wanted:
        return f"{card.name} needs no files"
    lines = [f"Put into {root}, as downloaded, without extracting:"]
    shown: set[str] = set()
    for archive in wanted:
        if archive.group in shown:
            continue
        shown |= {archive.group} - {""}
        any_of = [a for a in wanted if a.group == archive.group] if archive.group else [archive]
        lines.append("  " + ", or ".join(f"{a.name} ({a.manual or a.url})" for a in any_of))
    if any(a.urls for a in wanted):
        lines.append(f"`vdata download {card.name}`, or load(..., download=True), gets what has an address")
    lines.append("An extracted tree in torchvision's layout will do as well")
    return "\n".join(lines)


def _opened(card: Card, archive: Archive, path: Path) -> Files | None:
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic[:2] == b"PK":
        files: Files = Zips([path], archive.nested)
    elif not is_compressed(path):
        if ".tar" not in path.name:
            return None  # a plain file: the folder that it lies in has it
        files = Tars([path], archive.nested)
    elif (indexed := _seekable(path)) is not None:
        files = indexed
    else:
        why = f"`vdata index {card.name}` makes any of its samples readable at once"
        if magic == b"\xfd7zX":
            why = f"unpack it with `xz -dk {path.name}`, there is no seek index for xz"
        files = (Scanned if _is_tar(path) else Unpacked)(path, archive.held, why)
    return Moved(files, strip=archive.strip, into=archive.into) if archive.strip or archive.into else files


def without_index(card: Card, root: Path) -> list[Path]:
    """The compressed archives of the dataset that are there, are not held in memory as a whole, and have no seek index."""
    places = places_of(card, root)
    there = [(a, path) for a in card.archives if not extracted(a, places) and (path := found(a, places))]
    return [path for a, path in there if "**" not in a.held and is_compressed(path) and _seekable(path) is None]


def _seekable(path: Path) -> Files | None:
    return seek.opened(path) if seek.index_of(path) is not None else None


def _is_tar(path: Path) -> bool:
    return ".tar" in path.name or ".tgz" in path.name


def unindexed(files: Layers) -> Iterator[Scanned]:
    """The compressed tars among the files that can be read in their own order only."""
    for layer in files.layers:
        inner = layer.files if isinstance(layer, Moved) else layer
        if isinstance(inner, Scanned) and not inner.whole:
            yield inner
