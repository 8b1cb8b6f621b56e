"""All other schemes through fsspec (memory, hf), and s3, gs, az where obstore is not installed or cannot run.

fsspec has no conditional reads. An object's version is looked at beside them, at most every `FRESH` seconds: one that is replaced under
a reader is noticed after that time at the latest, and the bytes of so long may be of the new one. Nothing is cached on disk, and what
a file system remembers of its folders is forgotten before it is asked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

import fsspec

from vdata.errors import AccessError, ChangedError, MissingFileError, MissingPackageError, RemoteError, redact
from vdata.remote.engine import Version
from vdata.remote.patience import Again, Patience, Tries
from vdata.urls import scheme

PATIENCE = Patience()
FRESH = 3.0  # seconds

_T = TypeVar("_T")
_seen: dict[str, tuple[float, Version]] = {}  # URL -> when its version was looked at, and what it was
# What file systems call the thing that changes with the bytes; the first that is there is taken.
_MARKS = ("ETag", "etag", "blob_id", "sha256", "generation", "md5Hash", "md5", "mtime", "created")
_PACKAGES = {"s3": "s3fs", "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub", "gs": "gcsfs"}
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure", "abfs": "azure", "hf": "hf", "http": "http", "https": "http"}
_NETWORK = {"aiohttp", "botocore", "httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
_LOGIN = {"hf": "set HF_TOKEN or run `hf auth login`, and ask for access on the repository's page if it is gated"}
_RIGHTS = "check the credentials, the right to read (and write) there, and this machine's clock"


def after_fork(url: str) -> ModuleType:
    """The engine for a forked process whose parent used obstore; RemoteError where there is none."""
    kind = scheme(url)
    # gcsfs names versions otherwise than obstore does: what the parent has pinned would look changed.
    if kind == "gs" or not find_spec(_PACKAGES[kind]):
        installed = f"pip install {_PACKAGES[kind]}, or " if kind != "gs" else ""
        do = f"{installed}use DataLoader(multiprocessing_context='forkserver'), or pipe.loader()"
        raise RemoteError(f"{kind}:// was read before this process was forked, and cannot be in it", url=url, do=do)
    import vdata.remote.anything

    return vdata.remote.anything


def stat(url: str) -> Version:
    """The object's version, as far as its file system has marks of it.

    >>> write("memory://doc/stat", b"1234")
    >>> stat("memory://doc/stat").size
    4
    """
    return _tried(url, "read", lambda: _look(url))


def read(url: str, start: int, length: int, pin: Version | None = None) -> tuple[bytes, Version]:
    """`length` bytes from `start` (fewer only at the end); with a pin, of an object that had this version `FRESH` seconds ago."""
    seen = _seen.get(url)
    fresh = pin is not None and seen is not None and time.monotonic() - seen[0] < FRESH
    version = seen[1] if fresh and seen else stat(url)
    if pin and (_mark(pin) != _mark(version) or version.size != pin.size >= 0):
        _seen.pop(url, None)
        do = "let nobody rewrite shards that are read; index them anew if they were replaced"
        raise ChangedError("another object is there now", url=url, do=do)
    expected = length if version.size < 0 else max(0, min(length, version.size - start))
    if not expected:
        return b"", version

    def once() -> bytes:
        system, path = _system(url)
        # One read of just this range: buffered files read ahead.
        named = {"cache_type": "none", "size": version.size} if scheme(url) == "hf" else {}
        data = system.cat_file(path, start=start, end=start + expected, **named)
        if version.size >= 0 and len(data) != expected:
            raise Again(f"{len(data)} bytes came where {expected} were asked for")
        return data

    return _tried(url, "read", once), version


def read_all(url: str, limit: int | None = None) -> bytes:
    """The whole object, where it is not larger than `limit`."""
    version = stat(url)
    if limit is not None and version.size > limit:
        raise RemoteError(f"larger than {limit} bytes", url=url, do="check that the URL names what you mean")
    return read(url, 0, version.size, version)[0]


def listing(pattern: str) -> list[str]:
    """The URLs of all objects that a pattern means, sorted."""

    def once() -> list[str]:
        system, path = _system(pattern)
        system.invalidate_cache()
        try:
            found = system.glob(path, detail=True)
        except FileNotFoundError as error:
            if error.__cause__:  # a server said so: of a repository or a bucket
                raise
            return []
        names = [name for name, info in found.items() if info["type"] == "file"]
        return sorted(f"{pattern.partition('://')[0]}://{name.lstrip('/')}" for name in names)

    return _tried(pattern, "list", once)


def write(url: str, data: bytes) -> None:
    """Put an object there."""
    _changing(url, lambda system, path: system.pipe_file(path, data))


def put(url: str, path: str) -> None:
    """Put a local file there."""
    _changing(url, lambda system, target: system.put_file(path, target))


def remove(url: str) -> None:
    """Remove an object if it is there."""
    try:
        _changing(url, lambda system, path: system.rm_file(path), "remove")
    except MissingFileError:
        return


def _changing(url: str, act: Callable[[Any, str], object], doing: str = "write") -> None:
    _seen.pop(url, None)
    _tried(url, doing, lambda: act(*_system(url)))
    _seen.pop(url, None)


def _system(url: str) -> tuple[Any, str]:
    kind = scheme(url)
    try:
        return fsspec.core.url_to_fs(url, **({"anon": True} if kind == "s3" and not _signed() else {}))
    except ImportError as error:
        extra = _EXTRAS.get(kind)
        how = f"pip install 'vdata-vision[{extra}]'" if extra else f"install the fsspec package for {kind}://"
        raise MissingPackageError(f"{kind}:// needs a package that is not installed: {redact(error)}. {how}") from None


@cache
def _signed() -> bool:
    """Whether there are credentials for s3; public buckets need none."""
    from botocore.session import get_session  # which s3fs brings

    return get_session().get_credentials() is not None


def _look(url: str) -> Version:
    system, path = _system(url)
    if scheme(url) == "hf":  # of this file alone; its folder may be long
        info = system.info(path, refresh=True, expand_info=True)
    else:
        system.invalidate_cache()
        info = system.info(path)
    if info["type"] != "file":
        raise FileNotFoundError(path)
    size = info.get("size")
    mark = next((str(info[name]) for name in _MARKS if info.get(name)), "")
    if len(_seen) > 10_000:
        _seen.clear()
    version = Version(mark, -1 if size is None else size)
    _seen[url] = time.monotonic(), version
    return version


def _mark(version: Version) -> str:
    return version.etag.strip('"')  # some file systems take the quotes off


def _tried(url: str, doing: str, act: Callable[[], _T]) -> _T:
    tries = Tries(url.partition("://")[2].partition("/")[0], PATIENCE)
    while True:
        tries.wait()
        try:
            return act()
        except (Again, RemoteError, MissingPackageError) as error:
            trouble = error
        except Exception as error:  # a file system raises what it likes, and its text may hold the URL with its secrets
            trouble = judged(error, url, doing)
        if not isinstance(trouble, Again):
            raise trouble
        try:
            tries.failed(trouble)
        except RemoteError as error:
            error.at(url=url)
            raise


def judged(error: Exception, url: str, doing: str) -> Again | RemoteError:
    """What an error of a file system means: `Again` if it may pass, else a RemoteError; its own text is not shown."""
    kinds = {base.__name__ for one in (error, error.__cause__) for base in type(one).__mro__}
    status, code = _answer(error)
    said = f" ({code})" if code else f" ({status})" if status else ""
    login = _LOGIN.get(scheme(url), _RIGHTS)
    if "GatedRepoError" in kinds:
        return AccessError("the repository is gated", url=url, do=login)
    if "RepositoryNotFoundError" in kinds:
        return MissingFileError("no such repository, or a private one", url=url, do=f"check its name; {login}")
    if kinds & {"PermissionError", "NoCredentialsError", "PartialCredentialsError"} or status in (401, 403):
        return AccessError(f"the server refuses to {doing}{said}", url=url, do=login)
    if kinds & {"FileNotFoundError", "IsADirectoryError", "EntryNotFoundError", "RevisionNotFoundError"} or status == 404:
        return MissingFileError("no such object", url=url, do="check the URL")
    lasting = 400 <= status < 500 and status not in (408, 429)
    if not lasting and (status or isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _NETWORK):
        return Again(f"cannot {doing}: {type(error).__name__}{said}", after=1.0 if status in (429, 503) else 0.0)
    return RemoteError(f"cannot {doing}: {type(error).__name__}{said}", url=url, do="check the URL and the versions of the packages that read it")


def _answer(error: Exception) -> tuple[int, str]:
    """(HTTP status, the provider's name for what is wrong), as far as an error has them."""
    status, code = 0, ""
    for one in (error, error.__cause__):
        answer = getattr(one, "response", None)
        if isinstance(answer, dict):  # botocore's
            code = code or str(answer.get("Error", {}).get("Code", ""))
            found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            found = getattr(answer, "status_code", getattr(one, "status", getattr(one, "code", None)))
        status = status or (found if isinstance(found, int) else 0)
    return status, code if re.fullmatch(r"\w{1,60}", code) else ""
