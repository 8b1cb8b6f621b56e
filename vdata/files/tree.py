"""Files under a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from vdata.errors import DataError
from vdata.files.base import AGAIN, MAX_MEMBER, is_leaving, matcher
from vdata.files.kept import stamp

_WILD = re.compile(r"[*?]")


class Tree:
    """Files under a folder. Paths never leave it, links in it are followed. Each folder is listed once, when it is first asked about."""

    def __init__(self, root: str | Path):
        self.root = str(root)
        self.url = self.root
        self._listed: dict[str, tuple[set[str], list[str]]] = {}  # folder -> (its files, its folders)
        self._stamps: dict[str, str] = {}  # taken before what they stand for is looked at

    def __contains__(self, path: str) -> bool:
        self._at(path)
        folder, _, name = path.rpartition("/")
        return name in self._list(folder)[0]

    def holds(self, path: str) -> bool:
        return os.path.isfile(self._at(path))

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        with self.open(path) as file:
            try:
                if start:
                    file.seek(start)
                data = file.read(MAX_MEMBER + 1 if size is None else size)
            except OSError as error:
                raise DataError(f"cannot read {path}: {error.strerror}", url=self.url) from error
        if size is None and len(data) > MAX_MEMBER:
            raise DataError(f"{path} has more than {MAX_MEMBER} bytes", url=self.url)
        if size is not None and len(data) < size:
            raise DataError(f"{path} ends before byte {start + size}", url=self.url, do=AGAIN)
        return data

    def open(self, path: str) -> BinaryIO:
        try:
            full = self._at(path)
            if not os.path.isfile(full) and os.path.exists(full):  # a pipe or a device would wait, or never end
                raise DataError(f"{path} is no file", url=self.url)
            return open(full, "rb")
        except (OSError, ValueError) as error:  # the second: a name that no file can have
            why = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"cannot read {path}: {why}", url=self.url) from error

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

    def place(self, path: str) -> str:
        return self._at(path)

    def note(self, path: str) -> None:
        self._stamps.setdefault(self._at(path), stamp(self._at(path)))

    def stamps(self) -> dict[str, str]:
        return dict(self._stamps)

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
            self.note(folder)
            try:
                with os.scandir(self._at(folder)) as entries:
                    for entry in entries:
                        if is_leaving(entry.name):
                            continue
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
