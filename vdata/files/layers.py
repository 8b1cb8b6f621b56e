"""Several kinds of files as one, and files under other names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from vdata.errors import DataError
from vdata.files.base import Files, matcher


class Layers:
    """Files of several places under one roof. Where two have one path, the first counts."""

    def __init__(self, layers: Iterable[Files], passed_over: Iterable[str] = ()):
        self.layers = list(layers)
        self.passed_over = tuple(passed_over)  # archives that are there and not read
        self.url = ", ".join(layer.url for layer in self.layers)

    def __contains__(self, path: str) -> bool:
        return any(path in layer for layer in self.layers)

    def holds(self, path: str) -> bool:
        return any(layer.holds(path) for layer in self.layers)

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        return self._holder(path).read(path, start, size)

    def open(self, path: str) -> BinaryIO:
        return self._holder(path).open(path)

    def glob(self, pattern: str) -> list[str]:
        return _merged(layer.glob(pattern) for layer in self.layers)

    def below(self, folder: str) -> list[str]:
        return _merged(layer.below(folder) for layer in self.layers)

    def place(self, path: str) -> str:
        return self._holder(path).place(path)

    def note(self, path: str) -> None:
        for layer in self.layers:
            if path in layer:
                return layer.note(path)

    def stamps(self) -> dict[str, str]:
        return {place: stamp for layer in self.layers for place, stamp in layer.stamps().items()}

    def _holder(self, path: str) -> Files:
        for layer in self.layers:
            if layer.holds(path):
                return layer
        raise DataError(f"there is no {path}", url=self.url, do="extract or download the files again")


def _merged(lists: Iterable[list[str]]) -> list[str]:
    lists = [found for found in lists if found]
    return lists[0] if len(lists) == 1 else sorted({path for found in lists for path in found})


class Moved:
    """Files without the leading part `strip` of their paths, and below the folder `into`. Those without it are not reached.

    >>> files = Moved(Layers([]), strip="release/", into="")
    >>> files.inner("data/1.png")
    'release/data/1.png'
    """

    def __init__(self, files: Files, *, strip: str = "", into: str = ""):
        self.files, self.strip, self.into = files, strip, into
        self.url = files.url

    def inner(self, path: str) -> str:
        """What the path is called inside."""
        return self.strip + path.removeprefix(self.into)

    def outer(self, path: str) -> str:
        return self.into + path.removeprefix(self.strip)

    def __contains__(self, path: str) -> bool:
        return path.startswith(self.into) and self.inner(path) in self.files

    def holds(self, path: str) -> bool:
        return path.startswith(self.into) and self.files.holds(self.inner(path))

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        return self.files.read(self.inner(path), start, size)

    def open(self, path: str) -> BinaryIO:
        return self.files.open(self.inner(path))

    def glob(self, pattern: str) -> list[str]:
        if self.into and not pattern.startswith(self.into):
            matches = matcher(pattern)
            return sorted(p for p in map(self.outer, self.files.below(self.strip)) if matches(p))
        return sorted(self.outer(p) for p in self.files.glob(self.inner(pattern)))

    def below(self, folder: str) -> list[str]:
        folder = folder.rstrip("/") + "/" if folder else ""
        if self.into.startswith(folder):
            return sorted(map(self.outer, self.files.below(self.strip)))
        return sorted(map(self.outer, self.files.below(self.inner(folder)))) if folder.startswith(self.into) else []

    def place(self, path: str) -> str:
        return self.files.place(self.inner(path))

    def note(self, path: str) -> None:
        self.files.note(self.inner(path))

    def stamps(self) -> dict[str, str]:
        return self.files.stamps()
