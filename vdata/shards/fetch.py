"""Bytes behind URLs: local files are mapped, everything else goes through fsspec.

A file is written whole or not at all. A message never shows a URL before it is redacted, nor a storage system's
own error, which may hold one.
"""

from __future__ import annotations

import glob
import mmap
import os
import uuid
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

import fsspec
from fsspec.spec import AbstractFileSystem

from vdata.errors import MissingPackageError, ShardError, TruncatedShardError, UnknownDatasetError, VdataError, redact
from vdata.shards.urls import braces, join, local_path, scheme

OPEN_SHARDS = 64  # mapped at a time by one Fetcher


_ANY = Exception  # a storage system raises what it likes, and its text may hold the URL with its secrets


def exists(url: str) -> bool:
    """Whether there is a file (or folder) at `url`."""
    path = local_path(url)
    if path is not None:
        return os.path.exists(path)
    system, path = _remote(url)
    try:
        return system.exists(path)
    except _ANY as error:
        raise _failed("cannot look", url, error) from None


def read_file(url: str, limit: int | None = None) -> bytes:
    """All bytes of a file; a ShardError if there is none, or more than `limit` of them."""
    path = local_path(url)
    if path is None:
        data = _read_remote(url, limit)
    else:
        try:
            with open(path, "rb", opener=_never_waiting) as file:
                data = file.read(-1 if limit is None else limit + 1)
        except OSError as error:
            raise _failed("cannot read", url, error) from None
    if limit is not None and len(data) > limit:
        raise _too_large(url, limit)
    return data


def _read_remote(url: str, limit: int | None = None, start: int | None = None, end: int | None = None) -> bytes:
    system, path = _remote(url)
    try:
        if limit is not None and (system.size(path) or 0) > limit:
            raise _too_large(url, limit)
        return cast("bytes", system.cat_file(path, start=start, end=end))
    except _ANY as error:
        raise _failed("cannot read", url, error) from None


def open_file(url: str) -> memoryview:
    """All bytes of a file: mapped if it is local, read if it is not."""
    path = local_path(url)
    if path is None:
        return memoryview(read_file(url))
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
    try:
        if path is None:
            system, path = _remote(url)
            system.pipe_file(path, data)
        else:
            _write_local(path, data)
    except _ANY as error:
        raise _failed("cannot write", url, error) from None


def put_file(temporary: str, url: str) -> None:
    """Move a finished local file to `url`: on disk first, then under its name (local), or uploaded (remote)."""
    path = local_path(url)
    try:
        if path is None:
            system, path = _remote(url)
            system.put_file(temporary, path)
            os.unlink(temporary)
        else:
            _publish(temporary, path)
    except _ANY as error:
        raise _failed("cannot write", url, error) from None


def _write_local(path: str, data: bytes) -> None:
    temporary = temporary_beside(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        _publish(temporary, path)
    finally:
        remove(temporary)


def _publish(temporary: str, path: str) -> None:
    _sync(temporary)
    os.replace(temporary, path)
    _sync(os.path.dirname(path) or ".")


def temporary_beside(path: str) -> str:
    """A name that nobody else uses, in the folder of `path` (made if need be), that no listing of shards matches."""
    folder, name = os.path.split(path)
    os.makedirs(folder or ".", exist_ok=True)
    return os.path.join(folder, f".{name}.{uuid.uuid4().hex[:12]}.tmp")


def remove(url: str) -> None:
    """Remove a file if it is there."""
    try:
        path = local_path(url)
        if path is not None:
            os.unlink(path)
        else:
            system, path = _remote(url)
            system.rm_file(path)
    except FileNotFoundError:
        return
    except _ANY as error:
        raise _failed("cannot remove", url, error) from None


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
    pattern = join(folder, "*.tar") if path is None else os.path.join(glob.escape(path), "*.tar")
    return _glob(pattern)


def _listed(url: str) -> list[str]:
    """One URL without braces: a tar, a glob or a folder."""
    path = local_path(url)
    # A question mark begins the query of an http URL.
    magic = any(c in url for c in ("*[" if scheme(url) in ("http", "https") else "*?["))
    if path is not None and os.path.isfile(path):
        found = [path]
    elif magic and not (path is not None and os.path.isdir(path)):
        found = _glob(url if path is None else path)
    else:
        found = [url] if path is None and urlsplit(url).path.endswith(".tar") else tars_in(url)
    if not found:
        raise UnknownDatasetError(
            f"no .tar at {redact(url)}: check the URL, or name the shards as in 'shard-{{000000..000146}}.tar'"
        )
    return found


def _glob(pattern: str) -> list[str]:
    path = local_path(pattern)
    if path is not None:
        return sorted(glob.glob(path))
    system, path = _remote(pattern)
    try:
        return sorted(system.unstrip_protocol(str(found)) for found in system.glob(path))
    except _ANY as error:
        raise _failed("cannot list", pattern, error) from None


class Fetcher:
    """Ranges of the files in one folder. Cheap to pickle; open files are never carried to another process.

    >>> write_file("memory://doc/a.tar", b"0123456789")
    >>> bytes(Fetcher("memory://doc").read("a.tar", 2, 3))
    b'234'
    """

    def __init__(self, base_url: str | os.PathLike[str]):
        self.base_url = os.fspath(base_url)
        scheme(self.base_url)
        self._forget()

    def __reduce__(self):
        return Fetcher, (self.base_url,)

    def __repr__(self) -> str:
        return f"Fetcher({redact(self.base_url)!r})"

    def _forget(self) -> None:
        self._process = os.getpid()
        # An evicted map is only let go of: views that users hold keep it, and their bytes, alive.
        self._mapped = lru_cache(OPEN_SHARDS)(lambda name: open_file(join(self.base_url, name)))

    def read(self, shard: str, start: int, length: int) -> memoryview:
        """Exactly `length` bytes from byte `start` of a shard; TruncatedShardError where it has fewer."""
        start, length = int(start), int(length)
        if start < 0 or length < 0:
            raise ShardError(f"no such range: {length} bytes from byte {start}", url=self.base_url, shard=shard)
        if local_path(self.base_url) is not None:
            data = self._local(shard)[start : start + length]
        else:
            data = self._range(shard, start, length)
        if len(data) != length:
            raise self._unequal(shard, start, length, len(data))
        return data

    def read_all(self, shard: str) -> memoryview:
        """A whole shard: mapped if it is local, read if it is not."""
        return self._local(shard) if local_path(self.base_url) is not None else open_file(join(self.base_url, shard))

    def _unequal(self, shard: str, start: int, length: int, got: int) -> ShardError:
        where = {"url": join(self.base_url, shard), "shard": shard, "byte": start}
        numbers = f"expected {length} bytes from byte {start}, got {got}"
        if got > length:
            do = "copy the shards to storage that honours ranges"
            return ShardError(f"the server sent more than it was asked for: {numbers}", **where, do=do)
        do = "fetch the shard again, or index it anew if it was replaced"
        return TruncatedShardError(f"the shard is too short: {numbers}", **where, do=do)

    def _local(self, shard: str) -> memoryview:
        if self._process != os.getpid():
            self._forget()
        return self._mapped(shard)

    def _range(self, shard: str, start: int, length: int) -> memoryview:
        if length == 0:
            return memoryview(b"")  # a range of no bytes cannot be asked for over HTTP
        try:
            return memoryview(_read_remote(join(self.base_url, shard), start=start, end=start + length))
        except ShardError as error:
            error.at(shard=shard, byte=start)
            raise


def _remote(url: str) -> tuple[AbstractFileSystem, str]:
    scheme(url)
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        # fsspec's own text names the package to install.
        extra = {"http": "http", "https": "http"}.get(scheme(url))
        how = f"pip install 'vdata-vision[{extra}]'" if extra else f"install the fsspec package for {scheme(url)}://"
        raise MissingPackageError(f"{scheme(url)}:// needs a package that is not installed: {redact(error)}. {how}") from None


def _failed(what: str, url: str, error: Exception) -> VdataError:
    if isinstance(error, VdataError):
        return error
    # The original text may hold the URL with its secrets; it is shown redacted, and not chained.
    missing = isinstance(error, FileNotFoundError)
    do = "check the URL" if missing else "check access rights and the network, then try again"
    return ShardError(
        f"{what}: {'no such file' if missing else redact(f'{type(error).__name__}: {error}')}", url=url, do=do
    )


def _too_large(url: str, limit: int) -> ShardError:
    return ShardError(f"larger than {limit} bytes", url=url, do="check that the URL names what you mean")


def _never_waiting(path: str, flags: int) -> int:
    # Opening a fifo that somebody left under a shard's name would otherwise wait for ever.
    return os.open(path, flags | os.O_NONBLOCK)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
