"""Several archives at once, below one folder; and whether an archive that is there is the right one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from vdata.card import Archive
from vdata.errors import ChecksumError, DataError, PlanError, redact
from vdata.fetching.content import HEAD, instead
from vdata.fetching.fetch import expect_room, fetch, wanted_digest
from vdata.fetching.regular import NO_WAIT, expect_regular
from vdata.fetching.work import Patience, Stopped, Work
from vdata.progress import progress

_CHUNK = 1 << 20
_LEAVE = 10.0  # seconds for a thread to put its part away
_AGAIN = "move it away and download it again"


def download(
    archives: Sequence[Archive],
    folder: str | Path,
    *,
    parallel: int = 4,
    patience: Patience | None = None,
    quiet: bool | None = None,
) -> list[Path]:
    """Bring the archives below `folder`; their paths, in order.

    Those that are there already are checked and kept. Others come with their final name only when they are whole and
    have the right size and hash; what a failed, interrupted or killed download leaves is continued by the next one.
    """
    if parallel < 1:
        raise PlanError(f"download: parallel={parallel}: at least one at a time")
    folder = Path(folder)
    paths = {a.name: _below(folder, a.name) for a in archives}
    there = {a.name: a for a in archives if os.path.lexists(paths[a.name])}
    missing = {a.name: a for a in archives if a.name not in there}
    _verify_all(list(there.values()), paths, quiet)
    _expect_addresses(list(missing.values()), paths)
    if missing:
        _fetch_all(list(missing.values()), paths, parallel, patience or Patience(), quiet)
    return [paths[a.name] for a in archives]


def verify(archive: Archive, path: str | Path) -> None:
    """Raise, unless the file is there with the size and the hash that are known of it.

    >>> verify(Archive("a.zip", bytes=3), "missing/a.zip")
    Traceback (most recent call last):
    ...
    vdata.errors.DataError: a.zip is not there [url 'missing/a.zip']
    """
    with progress(f"verify {archive.name}", archive.bytes or None, unit="B") as bar:
        _verify(archive, Path(path), bar.update)


def _verify(archive: Archive, path: Path, seen: Callable[[int], Any]) -> None:
    algorithm, digest = wanted_digest(archive)
    found, size, head = hashlib.new(algorithm, usedforsecurity=False), 0, b""
    try:
        expect_regular(path, links=True)
        size = path.stat().st_size
        if archive.bytes and size != archive.bytes:
            why = f"{archive.name} has {size} bytes, and should have {archive.bytes}"
            raise DataError(why, url=str(path), do=_AGAIN)
        with open(path, "rb", opener=_without_waiting) as file:
            while data := file.read(_CHUNK if digest else HEAD):
                head = head or data[:HEAD]
                if not digest:
                    break
                found.update(data)
                seen(len(data))
    except FileNotFoundError:
        raise DataError(f"{archive.name} is not there", url=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot read {archive.name}: {error.strerror}", url=str(path), do=_AGAIN) from error
    if not head:
        raise DataError(f"{archive.name} is empty", url=str(path), do=_AGAIN)
    if what := instead(archive.name, head):
        raise DataError(f"{archive.name} is {what} instead of the file", url=str(path), do=_AGAIN)
    if digest and found.hexdigest() != digest:
        why = f"{archive.name} holds other bytes: their {algorithm} is {found.hexdigest()}, and should be {digest}"
        raise ChecksumError(why, url=str(path), do=_AGAIN)


def _verify_all(there: list[Archive], paths: dict[str, Path], quiet: bool | None) -> None:
    if not there:
        return
    sizes = sum(os.path.getsize(paths[a.name]) for a in there if wanted_digest(a)[1] and paths[a.name].exists())
    with progress("check what is there", sizes, unit="B", quiet=quiet) as bar:
        for archive in there:
            _verify(archive, paths[archive.name], bar.update)


def _expect_addresses(missing: list[Archive], paths: dict[str, Path]) -> None:
    """Before anything is fetched: what must be got by hand?"""
    by_hand = [a for a in missing if not a.urls]
    if by_hand:
        names = ", ".join(a.name for a in by_hand)
        how = "; ".join(
            f"put {a.name} at {paths[a.name]}" + (f" ({redact(a.manual)})" if a.manual else "") for a in by_hand
        )
        raise DataError(f"no server gives {names} to a program", do=f"get by hand: {how}")


def _fetch_all(
    missing: list[Archive], paths: dict[str, Path], parallel: int, patience: Patience, quiet: bool | None
) -> None:
    for archive in missing:
        _make_folder(paths[archive.name].parent)
    for folder in {paths[a.name].parent for a in missing}:
        inside = [a for a in missing if paths[a.name].parent == folder]
        expect_room(folder, sum(max(0, a.bytes - _begun(paths[a.name])) for a in inside))
    what = f"download {missing[0].name}" if len(missing) == 1 else f"download {len(missing)} files"
    with progress(what, sum(a.bytes for a in missing) or None, unit="B", quiet=quiet) as bar:
        work = Work(bar, patience.sleep)
        threads = ThreadPoolExecutor(parallel, thread_name_prefix="vdata-download")
        jobs = [threads.submit(_one, a, paths[a.name], work, patience) for a in missing]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            work.stop()  # nothing, where all are done
            threads.shutdown(wait=False, cancel_futures=True)
            wait(jobs, timeout=_LEAVE)
        for job in jobs:
            if job.done() and not job.cancelled() and (error := job.exception()) and not isinstance(error, Stopped):
                raise error


def _one(archive: Archive, path: Path, work: Work, patience: Patience) -> None:
    work.go_on()
    if not fetch(archive, path, work, patience):
        _verify(archive, path, work.seen)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | NO_WAIT)


def _begun(path: Path) -> int:
    """Bytes of it that are on the disk already, in a part."""
    found = 0
    for part in path.parent.glob("*.part"):
        if part.name.startswith(f"{path.name}."):
            with suppress(FileNotFoundError):  # another process has finished it
                found = max(found, part.lstat().st_size)
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder: {error.strerror}", url=str(folder)) from error


def _below(folder: Path, name: str) -> Path:
    if name.startswith("/") or "\\" in name or not name or {"", ".", ".."} & set(name.split("/")):
        raise DataError(f"the file name {name!r} leads out of the folder", url=str(folder))
    if not name.isprintable():
        raise DataError(f"the file name {name!r} holds a character that no name of a file should have", url=str(folder))
    return folder / name
