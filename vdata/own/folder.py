"""A `Source` over a folder of pictures; its sub-folders are the classes, or another folder has masks of the same names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vdata import codecs
from vdata.encoded import Encoded
from vdata.errors import DataError, PlanError, UnknownDatasetError
from vdata.field import Field
from vdata.own.checks import check_size, keys_of, near, numbered, picture
from vdata.source import Sample, Source, digest_of
from vdata.tensors import Label

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".ppm", ".pgm", ".bmp", ".gif", ".tif", ".tiff")
_JUNK = ("__MACOSX",)  # and all that begins with a dot


class Folder(Source):
    """Pictures below `path`, sorted by path. With `labels`, the first folder of each path is its class.

    The digest is of paths and sizes: a picture that is edited to the same length is not noticed.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, labels: bool | None = None, categories: Sequence[str] | None = None,
        masks: str | os.PathLike[str] | None = None, ignore_index: int | None = None, orient: bool | None = None,
    ):  # fmt: skip
        self.path = _folder(path)
        self.name = os.path.basename(self.path)
        found = sorted(_pictures(self.path))
        if not found:
            raise UnknownDatasetError(f"there is no picture in {os.fspath(path)!r}; known are {', '.join(SUFFIXES)}")
        self.names = [name for name, _ in found]
        self.keys = keys_of(self.names)
        self.orient = masks is None if orient is None else orient
        self.fields: Mapping[str, Field] = {"image": Field("Image", "uint8", (3, "H", "W"))}
        self.sizes = np.array([len(found)], np.int64)
        self.columns: Mapping[str, np.ndarray] = {}
        labelled = masks is None if labels is None else labels
        self.classes = self._classes(categories) if labelled else ()
        if self.classes:
            self.columns = {"label": np.array([self.classes.index(_class(name)) for name in self.names])}
            self.fields |= {"label": Field("Label", "int64", meta={"categories": self.classes})}
        self.masks = self._masks(os.fspath(masks)) if masks is not None else []
        if masks is not None:
            meta: dict[str, Any] = {"kind": "semantic"} | (
                {} if ignore_index is None else {"ignore_index": ignore_index}
            )
            if categories is not None and not self.classes:
                meta["categories"] = tuple(categories)
            self.fields |= {"mask": Field("Mask", "", ("H", "W"), meta=meta)}
        elif ignore_index is not None:
            raise PlanError("ignore_index belongs to masks: say where they are, as in from_folder(path, masks=...)")
        elif categories is not None and not self.classes:
            raise PlanError(
                f"categories names classes, but no picture in {self.path!r} lies in a folder that could be one"
            )
        self.digest = digest_of(
            "folder", found, *([self.masks, sorted(self.fields.items(), key=str)] if masks is not None else [])
        )

    def _classes(self, categories: Sequence[str] | None) -> tuple[str, ...]:
        names = sorted({_class(name) for name in self.names} - {""})
        if not names:
            return ()
        loose = [name for name in self.names if "/" not in name]
        if loose:
            raise DataError(f"{len(loose)} pictures lie beside the class folders", url=self.path, key=loose[0],
                            do="move them into a class folder, or say labels=False")  # fmt: skip
        classes = tuple(numbered(names, categories))
        strange = [name for name in names if name not in classes]
        if strange:
            raise DataError(
                f"the folder {strange[0]!r} is none of the categories{near(strange[0], classes)}", url=self.path
            )
        with os.scandir(self.path) as entries:
            folders = {e.name for e in entries if e.is_dir() and not _is_junk(e.name)}
        empty = sorted(folders - set(names))
        if empty and categories is None:
            raise DataError(f"the class folder {empty[0]!r} has no picture", url=self.path,
                            do="remove it, or name all classes, as in categories=[...]")  # fmt: skip
        return classes

    def _masks(self, masks: str) -> list[str]:
        """The mask of each picture: of the same name in the folder, or of the name that the pattern makes."""
        stems = [name.rpartition(".")[0] for name in self.names]
        if "*" in masks:
            paths = [os.path.abspath(masks.replace("*", stem)) for stem in stems]
            lost = [path for path in paths if not os.path.isfile(path)]
        else:
            folder = _folder(masks)
            there: dict[str, str] = {}
            for name, _ in sorted(_pictures(folder)):
                stem = name.rpartition(".")[0]
                if stem in there:
                    raise DataError(f"two masks of one name, {os.path.basename(there[stem])} and {name}", url=folder)
                there[stem] = os.path.join(folder, name)
            paths = [there.get(stem, os.path.join(folder, stem + ".png")) for stem in stems]
            lost = [path for stem, path in zip(stems, paths, strict=True) if stem not in there]
        if lost:
            raise DataError(f"{len(lost)} of {len(paths)} pictures have no mask: there is no {', no '.join(lost[:5])}", url=self.path,
                            do='give the folder that has them, or a pattern: masks="masks/*_mask.png", * is the picture\'s name')  # fmt: skip
        return paths

    def read(self, index: int) -> Sample:
        full, key = os.path.join(self.path, self.names[index]), self.keys[index]
        image = picture(partial(_bytes, full, "picture", key), full, key, self.orient)
        sample: dict[str, Any] = {"__key__": key, "image": image}
        if self.classes:
            sample["label"] = Label(int(self.columns["label"][index]), categories=self.classes)
        if self.masks:
            path = self.masks[index]
            where = {"url": path, "key": key, "field": "mask"}
            meta = dict(self.fields["mask"].meta)
            mask = Encoded.later(
                partial(_bytes, path, "mask", key),
                "Mask",
                path.rpartition(".")[2].lower(),
                meta=meta,
                where=where,
                orient=self.orient,
            )
            check_size(image, codecs.size(mask), "its mask")
            sample["mask"] = mask
        return sample


def _class(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _folder(path: str | os.PathLike[str]) -> str:
    full = os.path.abspath(os.fspath(path))
    if not os.path.isdir(full):
        raise UnknownDatasetError(f"there is no folder {os.fspath(path)!r}")
    return full


def _pictures(top: str) -> Iterator[tuple[str, int]]:
    """(path, size) of the pictures below a folder; links that lead back are not followed, hidden folders not entered."""
    seen = set()
    for folder, inside, files in os.walk(top, followlinks=True):
        place = os.stat(folder)
        if (place.st_dev, place.st_ino) in seen:
            inside.clear()  # a link that leads to where we were
            continue
        seen.add((place.st_dev, place.st_ino))
        inside[:] = [name for name in inside if not _is_junk(name)]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                full = os.path.join(folder, name)
                yield os.path.relpath(full, top).replace(os.sep, "/"), _size(full)


def _size(path: str) -> int:
    """The size of a regular file; anything else under a picture's name raises."""
    if not os.path.isfile(path):
        raise DataError(
            "a picture's name that is no file (a broken link, a pipe or a device)", url=path, do="remove it"
        )
    return os.path.getsize(path)


def _bytes(path: str, what: str, key: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"cannot read the {what}: {error.strerror}", url=path, key=key) from error
