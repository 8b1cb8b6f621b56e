"""Whole files behind URLs: this machine's through the file system, all others through an engine of `vdata.remote`.

A file is written whole or not at all. A message never shows a URL before it is redacted.
"""

from __future__ import annotations

import glob
import mmap
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from vdata.errors import AccessError, DataError, MissingFileError, RemoteError, ShardError, UnknownDatasetError, redact
from vdata.remote.engine import engine_of
from vdata.urls import braces, join, local_path, scheme


def exists(url: str) -> bool:
    """Whether there is a file at `url` (or a folder of this machine)."""
    path = local_path(url)
    if path is not None:
        return os.path.exists(path)
    with _about(url):
        try:
            engine_of(url).stat(url)
        except MissingFileError:
            return False
        return True


def read_file(url: str, limit: int | None = None) -> bytes:
    """All bytes of a file; an error if there is none, or more than `limit` of them."""
    path = local_path(url)
    if path is None:
        with _about(url):
            return bytes(engine_of(url).read_all(url, limit))
    try:
        with open(path, "rb", opener=_never_waiting) as file:
            data = file.read(-1 if limit is None else limit + 1)
    except OSError as error:
        raise _failed("cannot read", url, error) from None
    if limit is not None and len(data) > limit:
        raise ShardError(f"larger than {limit} bytes", url=url, do="check that the URL names what you mean")
    return data


def read_if_there(url: str, limit: int | None = None) -> bytes | None:
    """All bytes of a file that may as well be missing: None then. Far away that is one round trip; to look first would be two."""
    if local_path(url) is not None and not exists(url):
        return None
    try:
        return read_file(url, limit)
    except (MissingFileError, AccessError):  # a bucket refuses what is not there, if it may not be listed
        return None


def open_file(url: str) -> memoryview:
    """All bytes of a file: mapped if it is local, read if it is not."""
    path = local_path(url)
    if path is None:
        with _about(url):
            return memoryview(engine_of(url).read_all(url))
    try:
        with open(path, "rb", opener=_never_waiting) as file:
            if os.fstat(file.fileno()).st_size == 0:  # which mmap refuses
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise _failed("cannot read", url, error) from None


def write_file(url: str, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    path = local_path(url)
    if path is None:
        with _about(url):
            return engine_of(url).write(url, data)
    try:
        temporary = temporary_beside(path)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            _publish(temporary, path)
        finally:
            remove(temporary)
    except OSError as error:
        raise _failed("cannot write", url, error) from None


def put_file(temporary: str, url: str) -> None:
    """Move a finished local file to `url`: on disk first, then under its name (local), or uploaded (remote)."""
    path = local_path(url)
    try:
        if path is None:
            with _about(url):
                engine_of(url).put(url, temporary)
            os.unlink(temporary)
        else:
            _publish(temporary, path)
    except OSError as error:
        raise _failed("cannot write", url, error) from None


def remove(url: str) -> None:
    """Remove a file if it is there."""
    path = local_path(url)
    if path is None:
        with _about(url):
            return engine_of(url).remove(url)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failed("cannot remove", url, error) from None


def temporary_beside(path: str) -> str:
    """A name that nobody else uses, in the folder of `path` (made if need be), that no listing of shards matches."""
    folder, name = os.path.split(path)
    os.makedirs(folder or ".", exist_ok=True)
    return os.path.join(folder, f".{name}.{uuid.uuid4().hex[:12]}.tmp")


def expand(url: str | os.PathLike[str]) -> list[str]:
    """The tars that `url` means: braces `{000000..000146}` and `{a,b}`, globs, a folder, or one tar.

    PlanError for braces that mean nothing or more than a million names, UnknownDatasetError where there is none.

    >>> expand("s3://bucket/{train,val}-{08..10}.tar")[:4]
    ['s3://bucket/train-08.tar', 's3://bucket/train-09.tar', 's3://bucket/train-10.tar', 's3://bucket/val-08.tar']
    """
    url = os.fspath(url)
    path = local_path(url)
    if path is not None and os.path.exists(path):
        return _listed(url)
    return [tar for one in braces(url) for tar in _listed(one)]


def tars_in(folder: str) -> list[str]:
    """The URLs of all `*.tar` in a folder, sorted; none if there is no such folder."""
    path = local_path(folder)
    return _glob(join(folder, "*.tar") if path is None else os.path.join(glob.escape(path), "*.tar"))


def _listed(url: str) -> list[str]:
    """One URL without braces: a tar, a glob or a folder."""
    path = local_path(url)
    if path is not None and os.path.isfile(path):
        found = [path]
    elif has_magic(url) and not (path is not None and os.path.isdir(path)):
        found = _glob(url if path is None else path)
    else:
        found = [url] if path is None and urlsplit(url).path.endswith(".tar") else tars_in(url)
    if not found:
        raise UnknownDatasetError(f"no .tar at {redact(url)}: check the URL, or name the shards as in 'shard-{{000000..000146}}.tar'")
    return found


def has_magic(url: str) -> bool:
    """Whether a URL is a pattern. A question mark begins the query of an http URL."""
    return any(c in url for c in ("*[" if scheme(url) in ("http", "https") else "*?["))


def _glob(pattern: str) -> list[str]:
    path = local_path(pattern)
    if path is not None:
        return sorted(glob.glob(path))
    with _about(pattern):
        return engine_of(pattern).listing(pattern)


@contextmanager
def _about(url: str) -> Iterator[None]:
    """Errors of an engine say which URL they are about."""
    try:
        yield
    except (RemoteError, DataError) as error:
        error.at(url=url)
        raise


def _failed(what: str, url: str, error: OSError) -> ShardError:
    # The original text may hold the URL with its secrets; it is shown redacted, and not chained.
    missing = isinstance(error, FileNotFoundError)
    do = "check the URL" if missing else "check access rights and the disk, then try again"
    return ShardError(f"{what}: {'no such file' if missing else redact(f'{type(error).__name__}: {error}')}", url=url, do=do)


def _publish(temporary: str, path: str) -> None:
    _sync(temporary)
    os.replace(temporary, path)
    _sync(os.path.dirname(path) or ".")


def _never_waiting(path: str, flags: int) -> int:
    # Opening a fifo that somebody left under a shard's name would otherwise wait for ever.
    return os.open(path, flags | os.O_NONBLOCK)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
