"""Tables that took long to make, kept on disk until what they were made from changes."""

from __future__ import annotations

import hashlib
import os
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from vdata.table import Table

# What numpy and zipfile raise on files that are no tables of ours, or not whole.
_BROKEN = (
    OSError, ValueError, LookupError, EOFError, TypeError, MemoryError, RuntimeError, SyntaxError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_VERSION = "3"  # of the tables' content: a new one makes all anew


def cache_folder(kind: str) -> Path:
    """Where vdata keeps what it can make again: in `$VDATA_HOME/.<kind>` if that is set, else in the user's cache folder."""
    if "VDATA_HOME" in os.environ:
        return Path(os.environ["VDATA_HOME"]) / f".{kind}"
    import platformdirs

    return Path(platformdirs.user_cache_dir("vdata")) / kind


def stamp(path: str | Path) -> str:
    """What tells that a file, or the list of names in a folder, is as it was; "" where there is none.

    Its size, the time of its content, and that of its inode: a copy that restores the first time has another.
    """
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def kept(
    name: str, make: Callable[[], tuple[Table, Mapping[str, str]]], *, least: int = 20_000
) -> tuple[Table, Mapping[str, str]]:
    """The table that `make` gives, with the stamps of what it was made from; from disk where no stamp has changed.

    name    stands for the table: all that decides what `make` gives, but for the content of files
    least   tables of fewer rows are not worth a file
    """
    path = cache_folder("tables") / f"{hashlib.blake2b(f'{_VERSION} {name}'.encode('utf-8', 'surrogateescape'), digest_size=16).hexdigest()}.npz"
    found = _read(path)
    if found is not None and unchanged(found[1]):
        return found
    table, stamps = make()
    if len(table) >= least and unchanged(stamps):  # else something came while it was made: made again next time
        _write(path, table, stamps)
    return table, stamps


def unchanged(stamps: Mapping[str, str]) -> bool:
    """Whether all that a table was made from, and it was made from something, is as it was."""
    return bool(stamps) and all(stamp(path) == told for path, told in stamps.items())


def _read(path: Path) -> tuple[Table, dict[str, str]] | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            tables = {part: {} for part in ("rows", "stamps")}
            for full in arrays.files:
                part, _, name = full.partition("/")
                tables[part][name] = arrays[full]
        stamps = Table.from_arrays(tables["stamps"])
        return Table.from_arrays(tables["rows"]), {row["path"]: row["stamp"] for row in stamps}
    except _BROKEN:
        return None  # not there, or broken: it is made anew


def _write(path: Path, table: Table, stamps: Mapping[str, str]) -> None:
    """A cache that cannot be written is no error: the next run makes the table again."""
    rows = {f"rows/{n}": a for n, a in table.arrays().items()}
    seen = Table.of({"path": p, "stamp": s} for p, s in stamps.items())
    rows |= {f"stamps/{n}": a for n, a in seen.arrays().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.savez(file, **rows)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError:
        return
