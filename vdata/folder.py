"""A `Source` over a folder of pictures; its sub-folders are the classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from vdata.encoded import Encoded
from vdata.errors import DataError, UnknownDatasetError
from vdata.field import Field
from vdata.source import Sample, Source, digest_of
from vdata.tensors import Label

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".ppm", ".pgm", ".bmp", ".gif", ".tif", ".tiff")


def _size(path: str) -> int:
    """The size of a regular file; anything else under a picture's name raises."""
    if not os.path.isfile(path):
        raise DataError("a picture's name that is no file (a broken link, a pipe or a device)", url=path, do="remove it")
    return os.path.getsize(path)


class Folder(Source):
    """Pictures below `path`, sorted by path. With `labels`, the first folder of each path is its class.

    The digest is of paths and sizes: a picture that is edited to the same length is not noticed.
    """

    def __init__(self, path: str | os.PathLike[str], *, labels: bool = True):
        self.path = os.path.abspath(os.fspath(path))
        if not os.path.isdir(self.path):
            raise UnknownDatasetError(f"there is no folder {os.fspath(path)!r}")
        self.name = os.path.basename(self.path)
        found = sorted(self._pictures())
        if not found:
            raise UnknownDatasetError(f"there is no picture in {os.fspath(path)!r}; known are {', '.join(SUFFIXES)}")
        self.names = [name for name, _ in found]
        self.classes = tuple(sorted({n.split("/")[0] for n in self.names if "/" in n})) if labels else ()
        loose = [n for n in self.names if "/" not in n]
        if self.classes and loose:
            raise DataError(f"{len(loose)} pictures lie beside the class folders", url=self.path, key=loose[0], do="move them into a class folder, or say labels=False")
        self.fields = {"image": Field("Image", shape=(3, "H", "W"), dtype="uint8"), **({"label": Field("Label")} if self.classes else {})}
        self.sizes = np.array([len(self.names)], np.int64)
        number = {c: i for i, c in enumerate(self.classes)}
        self.columns: Mapping[str, np.ndarray] = {"label": np.array([number[n.split("/")[0]] for n in self.names])} if self.classes else {}
        self.digest = digest_of("folder", found)

    def _pictures(self) -> list[tuple[str, int]]:
        out = []
        seen = set()
        for folder, inside, files in os.walk(self.path, followlinks=True):
            place = os.stat(folder)
            if (place.st_dev, place.st_ino) in seen:
                inside.clear()  # a link that leads to where we were
                continue
            seen.add((place.st_dev, place.st_ino))
            for name in files:
                if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                    full = os.path.join(folder, name)
                    out.append((os.path.relpath(full, self.path).replace(os.sep, "/"), _size(full)))
        return out

    def read(self, index: int) -> Sample:
        name = self.names[index]
        stem, _, suffix = name.rpartition(".")
        full = os.path.join(self.path, name)
        try:
            with open(full, "rb") as file:
                data = file.read()
        except OSError as error:
            raise DataError(f"cannot read the picture: {error.strerror}", url=full, key=stem) from error
        sample: dict[str, Any] = {"__key__": stem, "image": Encoded(data, "Image", suffix.lower(), where={"url": full, "key": stem, "field": "image"})}
        if self.classes:
            sample["label"] = Label(int(self.columns["label"][index]), categories=self.classes)
        return sample
