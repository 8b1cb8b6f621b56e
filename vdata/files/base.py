"""What all kinds of files have in common."""

from __future__ import annotations

import importlib.util
import io
import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

from vdata.errors import DataError, MissingPackageError
from vdata.table import Table

MAX_MEMBER = 1 << 30  # no file of one sample is larger; a header that says so lies
AGAIN = "download it again"
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")


class Files(Protocol):
    """Bytes by relative path, with forward slashes."""

    url: str

    def __contains__(self, path: str) -> bool: ...

    def holds(self, path: str) -> bool:
        """As `in`, for reading: a folder is not listed for it."""
        ...

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """The file's bytes, or `size` of them from `start` on: never fewer than asked for."""
        ...

    def open(self, path: str) -> BinaryIO:
        """A file object over it that reads no more than it is asked for."""
        ...

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted; `*` does not cross a slash."""
        ...

    def below(self, folder: str) -> list[str]:
        """All paths below a folder, sorted."""
        ...

    def place(self, path: str) -> str:
        """Where it lies, for errors: the path on disk; of a member the archive's, and its name."""
        ...

    def note(self, path: str) -> None:
        """The file counts among what `stamps` is about."""
        ...

    def stamps(self) -> dict[str, str]:
        """Paths on disk -> what tells that they are as they were, for all that was listed or noted."""
        ...


class Members:
    """What archives have in common: a table with one row a member, found by its name."""

    url: str
    members: Table

    @cached_property
    def _rows(self) -> dict[str, int]:
        names = self.members.texts("name") if len(self.members) else []
        rows = dict(zip(reversed(names), range(len(names) - 1, -1, -1)))  # of one name twice, the first counts
        for name in [n for n in rows if "._" in n or n.startswith("__MACOSX/")]:
            if is_leaving(name):
                del rows[name]
        return rows

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        """Folder -> the files in it, sorted."""
        folders: dict[str, list[str]] = {}
        for name in sorted(self._rows):
            folders.setdefault(name.rpartition("/")[0], []).append(name)
        return folders

    def __contains__(self, path: str) -> bool:
        return path in self._rows

    def holds(self, path: str) -> bool:
        return path in self._rows

    def glob(self, pattern: str) -> list[str]:
        folder, _, last = pattern.rpartition("/")
        matches, depth = matcher(folder), folder.count("/")
        inside = [n for f, names in self._folders.items() if f.count("/") == depth and matches(f) for n in names]
        fits = matcher(last)
        return sorted(n for n in inside if fits(n.rpartition("/")[2]))

    def below(self, folder: str) -> list[str]:
        start = folder.rstrip("/") + "/" if folder else ""
        return sorted(n for n in self._rows if n.startswith(start))

    def place(self, path: str) -> str:
        return f"{self.url}/{path}"

    def note(self, path: str) -> None:
        """Archives are stamped as a whole."""

    def _row(self, path: str) -> int:
        try:
            return self._rows[path]
        except KeyError:
            raise DataError(f"the archive has no {path}", url=self.url) from None


def is_leaving(path: str) -> bool:
    """What a Mac leaves beside every file that it copies or packs: "._name", as large as a file and no picture."""
    return path.rpartition("/")[2].startswith("._") or path.startswith("__MACOSX/")


@lru_cache(256)
def matcher(pattern: str):
    """A function that says whether a whole path matches; `*` and `?` do not cross a slash, `**` does."""
    parts = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    words = re.split(r"(\*\*|[*?])", pattern)
    return re.compile("".join(parts.get(w) or re.escape(w) for w in words), re.DOTALL).fullmatch


def part(data: bytes, start: int, size: int | None, path: str, url: str) -> bytes:
    """A part of bytes that are here as a whole."""
    if not start and size is None:
        return data
    out = data[start:] if size is None else data[start : start + size]
    if start > len(data) or (size is not None and len(out) < size):
        raise DataError(f"{path} ends before byte {start + (size or 0)}: it has {len(data)}", url=url)
    return out


def in_memory(data: bytes) -> BinaryIO:
    return io.BytesIO(data)


def is_compressed(path: str | Path) -> bool:
    """Whether the file's first bytes are those of gzip, bzip2 or xz, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(6).startswith(_COMPRESSED)


def package_data(package: str, folder: str, extra: str) -> Path:
    """A folder of data that an installed package brings along; the package itself is not imported.

    >>> package_data("no_such_package", "data", extra="examples")
    Traceback (most recent call last):
    ...
    vdata.errors.MissingPackageError: this data is part of no_such_package: pip install 'vdata-vision[examples]'
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingPackageError(f"this data is part of {package}: pip install 'vdata-vision[{extra}]'")
    return Path(found.origin).parent / folder
