"""Files under a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from vdata.errors import DataError
from vdata.files.base import AGAIN, matcher
from vdata.files.kept import stamp

_WILD = re.compile(r"[*?]")


class Tree:
    """Files under a folder. Paths never leave it. Each folder is listed once, when it is first asked about."""

    def __init__(self, root: str | Path):
        self.root = str(root)
        self.url = self.root
        self._listed: dict[str, tuple[set[str], list[str]]] = {}  # folder -> (its files, its folders)
        self._read: set[str] = set()

    def __contains__(self, path: str) -> bool:
        self._at(path)
        folder, _, name = path.rpartition("/")
        listed = self._listed.get(folder)
        return os.path.isfile(self._at(path)) if listed is None else name in listed[0]

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        try:
            with self.open(path) as file:
                if start:
                    file.seek(start)
                data = file.read() if size is None else file.read(size)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}", url=self.url) from error
        if size is not None and len(data) < size:
            raise DataError(f"{path} ends before byte {start + size}", url=self.url, do=AGAIN)
        return data

    def open(self, path: str) -> BinaryIO:
        try:
            return open(self._at(path), "rb")
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}", url=self.url) from error

    def glob(self, pattern: str) -> list[str]:
        folder, _, last = pattern.rpartition("/")
        fits = matcher(last)
        return sorted(f"{f}/{n}" if f else n for f in self._folders(folder) for n in self._list(f)[0] if fits(n))

    def below(self, folder: str) -> list[str]:
        out, left = [], [folder.rstrip("/")]
        while left:
            here = left.pop()
            files, folders = self._list(here)
            out += [f"{here}/{n}" if here else n for n in files]
            left += [f"{here}/{n}" if here else n for n in folders]
        return sorted(out)

    def note(self, path: str) -> None:
        """The file counts among what `stamps` is about."""
        self._read.add(path)

    def stamps(self) -> dict[str, str]:
        places = [self._at(path) for path in [*self._listed, *self._read]]
        return {place: stamp(place) for place in places}

    def _folders(self, pattern: str) -> list[str]:
        """Folders that match, part by part: only those are listed that lead there."""
        if not _WILD.search(pattern):
            return [pattern]
        above, _, last = pattern.rpartition("/")
        fits = matcher(last)
        return [f"{a}/{n}" if a else n for a in self._folders(above) for n in self._list(a)[1] if fits(n)]

    def _list(self, folder: str) -> tuple[set[str], list[str]]:
        if folder not in self._listed:
            files: set[str] = set()
            folders: list[str] = []
            try:
                with os.scandir(self._at(folder)) as entries:
                    for entry in entries:
                        folders.append(entry.name) if entry.is_dir() else files.add(entry.name)
            except (FileNotFoundError, NotADirectoryError):
                pass  # a folder that is not there holds nothing
            except OSError as error:
                raise DataError(f"cannot list {folder or 'the folder'}: {error.strerror}", url=self.url) from error
            self._listed[folder] = files, folders
        return self._listed[folder]

    def _at(self, path: str) -> str:
        if path.startswith("/") or "\\" in path or ".." in path.split("/"):
            raise DataError(f"the path {path!r} leads out of the folder", url=self.url)
        return f"{self.root}/{path}" if path else self.root

    def __reduce__(self):
        return Tree, (self.root,)
