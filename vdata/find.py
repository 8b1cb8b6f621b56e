"""Where a dataset's files are: the archives as downloaded, the extracted tree, or some of each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vdata import seek
from vdata.card import Archive, Card
from vdata.errors import ShardError, UnknownDatasetError, redact
from vdata.files import Files, Layers, Moved, Scanned, Tars, Tree, Unpacked, Zips, decompressed, is_compressed

_PACKINGS = (".gz", ".bz2", ".xz", ".tgz")
_XZ = b"\xfd7zXZ\0"
_SMALL = 64 << 20  # bytes of a compressed archive that every process may unpack into memory


def files_of(card: Card, root: Path, settings: Mapping[str, Any]) -> Layers:
    """All files of the dataset that are in `root`, under the names of the extracted layout.

    Archives and folders are looked for in `root/<card.folder>` and in `root` itself. Where an archive lies beside what
    was extracted of it, the archive is read, unless it is compressed as a whole and has no index.
    UnknownDatasetError where a file is missing that these settings need, with how to get it.
    """
    places = places_of(card, root)
    trees = [Tree(place) for place in places if place.is_dir()]
    layers: list[Files] = []
    passed_over: list[str] = []
    for archive in card.wanted(settings):
        path = found(archive, places)
        opened = None if path is None else _opened(card, archive, path)
        if opened is None:
            continue
        if extracted(archive, places, settings["split"]) and not _at_once(opened):
            passed_over.append(archive.name)  # the tree is read instead: any of its files at once
        else:
            layers.append(opened)
    lost = missing(card, root, settings)
    if lost:
        raise UnknownDatasetError(f"{_where(card, root, settings)}. {how_to_get(card, root, lost, settings)}")
    return Layers([*layers, *trees], passed_over)


def _where(card: Card, root: Path, settings: Mapping[str, Any]) -> str:
    """What is wrong with the root, as far as can be told."""
    if root.is_file():
        return f"{root} is a file: root is the folder that it lies in"
    if not root.exists():
        return f"{card.name} is not in {root}: there is no such folder"
    inside = sorted(p for p in root.iterdir() if p.is_dir())[:50]
    for other in (root.parent, *inside):
        if not missing(card, other, settings):
            return f"{card.name} is not in {root}, but it is in {other}: say root={str(other)!r}"
    return f"{card.name} is not in {root}, or not all of it"


def _at_once(files: Files) -> bool:
    """Whether any file can be read at once."""
    inner = files.files if isinstance(files, Moved) else files
    return not isinstance(inner, (Scanned, Unpacked))


def places_of(card: Card, root: Path) -> list[Path]:
    """Where a file of the dataset may lie, the likelier place first."""
    return [root / card.folder, root] if card.folder else [root]


def found(archive: Archive, places: list[Path]) -> Path | None:
    """The archive as a file; a compressed one may be there unpacked: "images.tar" for "images.tar.gz"."""
    names = [archive.name, *(archive.name.removesuffix(p) for p in _PACKINGS if archive.name.endswith(p))]
    names += [name + ".tar" for name in names[1:] if archive.name.endswith(".tgz")]
    return next((place / name for place in places for name in names if (place / name).is_file()), None)


def extracted(archive: Archive, places: list[Path], split: str | None = None) -> bool:
    """Whether the extracted tree has what the archive brings (for one split)."""
    return any((place / tree).exists() for place in places for tree in archive.trees(split))


def missing(card: Card, root: Path, settings: Mapping[str, Any]) -> list[Archive]:
    """The files that these settings need and that are not there. Where several bring the same, all of them: one will do."""
    brought = _brought(card, root, settings)
    return [a for a in card.wanted(settings) if not a.optional and not set(a.groups) <= brought]


def _brought(card: Card, root: Path, settings: Mapping[str, Any]) -> set[str]:
    """What the files bring that are there."""
    places = places_of(card, root)
    there = (a for a in card.wanted(settings) if found(a, places) or extracted(a, places, settings["split"]))
    return {group for a in there for group in a.groups}


def chosen(archives: list[Archive]) -> list[Archive]:
    """Enough of the archives to bring all that they bring together: those with an address first, then in their order."""
    out: list[Archive] = []
    brought: set[str] = set()
    for archive in sorted(archives, key=lambda a: not a.urls):
        if not set(archive.groups) <= brought:
            out.append(archive)
            brought |= set(archive.groups)
    return out


def how_to_get(card: Card, root: Path, archives: list[Archive], settings: Mapping[str, Any] | None = None) -> str:
    """Which files to put where, and the command that does it."""
    lines = [f"Put into {root}, as downloaded, without extracting:"]
    split = settings["split"] if settings else None
    there = _brought(card, root, settings) if settings else set()
    for group in dict.fromkeys(group for a in archives for group in a.groups if group not in there):
        any_of = [a for a in archives if group in a.groups]
        lines.append("  " + ", or ".join(f"{a.name} ({a.manual or redact(a.url)})" for a in any_of))
    if any(a.urls for a in archives):
        lines.append(f"`vdata download {card.name}`, or load(..., download=True), gets what has an address")
    trees = [tree for a in archives for tree in a.trees(split)]
    if trees:
        place = root / card.folder if card.folder else root
        lines.append(f"Or extract, so that there is {' and '.join(str(place / tree) for tree in trees)}")
    return "\n".join(dict.fromkeys(lines))


def _opened(card: Card, archive: Archive, path: Path) -> Files | None:
    magic = _magic(path)
    if magic[:2] == b"PK":
        files: Files = Zips([path], archive.nested)
    elif not is_compressed(path):
        if not _is_tar(path) or (path.suffix in _PACKINGS and not _is_plain_tar(path)):
            return _plain(path, magic)
        files = Tars([path], archive.nested)
    elif (indexed := _seekable(path)) is not None:
        files = indexed
    else:
        why = f"`vdata index {card.name}` makes any of its samples readable at once"
        if magic == _XZ:
            why = f"unpack it with `xz -dk {path.name}`, there is no seek index for xz"
        files = (Scanned if _is_tar(path) else Unpacked)(path, archive.held, why)
    return Moved(files, strip=archive.strip, into=archive.into) if archive.strip or archive.into else files


def _plain(path: Path, magic: bytes) -> None:
    """A file that is no archive: the folder that it lies in has it. One that only says that it is an archive raises."""
    if path.suffix in (".zip", *_PACKINGS):
        page = magic.lstrip()[:1] == b"<"
        what = "it is empty" if not magic else "it is a web page" if page else f"it begins with {magic!r}"
        again = "download it again" if page or not magic else f"if it was unpacked on its way, rename it to {path.stem}; else download it again"
        raise ShardError(f"{path.name} is no {path.suffix[1:]} file: {what}", url=str(path), do=again)


def without_index(card: Card, root: Path) -> list[Path]:
    """The compressed archives of the dataset that are there and have no seek index. Small ones that are held in memory
    as a whole need none, and of xz there is none."""
    places = places_of(card, root)
    paths = []
    for archive in card.archives:
        path = found(archive, places)
        if path is None or not is_compressed(path) or _seekable(path) is not None:
            continue
        small = "**" in archive.held and path.stat().st_size <= _SMALL
        if not small and _magic(path) != _XZ:
            paths.append(path)
    return paths


def unpack(path: Path) -> None:
    """A compressed file as a plain one, in its place: "images.tar" for "images.tar.gz"."""
    plain = path.with_suffix(".tar") if path.suffix == ".tgz" else path.with_suffix("")
    with open(path, "rb") as packed, decompressed(packed) as content, open(plain, "wb") as file:
        shutil.copyfileobj(content, file)
    path.unlink()


def _is_plain_tar(path: Path) -> bool:
    """A browser may unpack a .tgz on its way and keep its name."""
    with open(path, "rb") as file:
        return file.read(512)[257:262] == b"ustar"


def _seekable(path: Path) -> Files | None:
    return seek.opened(path) if seek.index_of(path) is not None else None


def _magic(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(6)


def _is_tar(path: Path) -> bool:
    return ".tar" in path.name or ".tgz" in path.name


def unindexed(files: Layers) -> Iterator[Scanned]:
    """The compressed tars among the files that can be read in their own order only."""
    for layer in files.layers:
        inner = layer.files if isinstance(layer, Moved) else layer
        if isinstance(inner, Scanned) and not inner.whole:
            yield inner
