"""s3, gs, az and abfs through obstore.

Its texts hold URLs and servers' answers; of them only a status and a provider's name for what is wrong (`NoSuchBucket`) are shown.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import obstore
from obstore.exceptions import BaseError

from vdata.errors import AccessError, ChangedError, MissingFileError, RemoteError
from vdata.remote import access, anything
from vdata.remote.engine import Version
from vdata.remote.patience import Again, Patience, Tries
from vdata.urls import scheme

PATIENCE = Patience()
BLOCK = 8 << 20  # bytes a request of `read_all`
READERS = 4  # at the same time, of one `read_all`

_P = ParamSpec("_P")
_T = TypeVar("_T")
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = _forked or access.store.cache_info().currsize > 0


os.register_at_fork(after_in_child=_after_fork)


def _unless_forked(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """obstore's threads do not come along into a forked process: any call there would wait for ever. fsspec does it then."""

    @functools.wraps(function)
    def call(*arguments: _P.args, **named: _P.kwargs) -> _T:
        if not _forked:
            return function(*arguments, **named)
        return getattr(anything.after_fork(cast("str", arguments[0])), function.__name__)(*arguments, **named)

    return call


@_unless_forked
def stat(url: str) -> Version:
    """The object's version. A byte is asked for: the refusal of a HEAD would not say why."""
    return read(url, 0, 1)[1]


@_unless_forked
def read(url: str, start: int, length: int, pin: Version | None = None) -> tuple[bytearray, Version]:
    """`length` bytes from `start` (fewer only at the end), all of one version; cut answers are gone on with, not begun anew."""
    kind, bucket, key = _parts(url)
    store = access.store(kind, bucket, PATIENCE.quiet)
    body, version, end = bytearray(), pin, start + length

    def on() -> Version:
        nonlocal version
        if not (version and version.etag):
            body.clear()  # nothing would tell the rest from another version's
        answer = _get(store, key, start + len(body), end, version)
        meta = answer.meta if answer else obstore.head(store, key)
        version = _same(_version(meta), version, url)
        if answer:
            _pour(answer, body)
        if len(body) < min(length, max(0, version.size - start)):
            raise Again("the answer was cut")
        return version

    if length == 0:
        return body, pin or stat(url)
    found = _tried(url, "read", on, lambda: len(body))
    return body, found


def _get(store: Any, key: str, start: int, end: int, version: Version | None) -> Any:
    """The answer to a ranged request, None where the object has no byte `start`."""
    if_match = {"if_match": version.etag} if version and version.etag else {}
    try:
        return obstore.get(store, key, options=cast("Any", {"range": (start, end), **if_match}))
    except BaseError as error:
        if re.search(_BEYOND, str(error)):
            return None
        raise


def _pour(answer: Any, body: bytearray) -> None:
    """An answer's bytes into `body`, as long as they come faster than the slowest that is borne."""
    since, before = PATIENCE.clock(), len(body)
    for part in answer.stream(min_chunk_size=1):
        body += part
        spent = PATIENCE.clock() - since
        if spent > PATIENCE.window:
            if len(body) - before < PATIENCE.slowest * spent:
                raise Again(f"slower than {PATIENCE.slowest:g} bytes a second")
            since, before = PATIENCE.clock(), len(body)


@_unless_forked
def read_all(url: str, limit: int | None = None) -> bytearray:
    """The whole object. Its first block says how large it is; the others are read at the same time, all of the same version."""
    first, version = read(url, 0, BLOCK if limit is None else min(BLOCK, max(1, limit)))
    if limit is not None and version.size > limit:
        raise RemoteError(f"larger than {limit} bytes", url=url, do="check that the URL names what you mean")
    if len(first) >= version.size:
        return first
    whole = bytearray(version.size)
    whole[: len(first)] = first

    def fill(start: int) -> None:
        whole[start : start + BLOCK] = read(url, start, min(BLOCK, version.size - start), version)[0]

    with ThreadPoolExecutor(READERS, "vdata-read") as readers:
        futures = [readers.submit(fill, start) for start in range(len(first), version.size, BLOCK)]
        try:
            for future in futures:
                future.result()
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
    return whole


@_unless_forked
def listing(pattern: str) -> list[str]:
    """The URLs of all objects that a pattern with * ? [ and ** (any folders) means, sorted."""
    kind, bucket, key = _parts(pattern)
    parts = key.split("/")
    fixed = list(itertools.takewhile(lambda part: not any(sign in part for sign in "*?["), parts[:-1]))
    store = access.store(kind, bucket, PATIENCE.quiet)
    found = _tried(pattern, "list", lambda: list(_below(store, "/".join(fixed), parts[len(fixed) :])))
    return sorted(f"{pattern.partition('://')[0]}://{bucket}/{key}" for key in found)


def _below(store: Any, folder: str, parts: list[str]) -> Iterator[str]:
    """The keys below a folder that a pattern's `parts` mean; folder by folder, so that nothing else is listed."""
    if "**" in parts:
        depth = len(folder.split("/")) if folder else 0
        for page in obstore.list(store, folder or None):
            yield from (item["path"] for item in page if _means(parts, item["path"].split("/")[depth:]))
    elif len(parts) > 1 and not any(sign in parts[0] for sign in "*?["):
        yield from _below(store, f"{folder}/{parts[0]}" if folder else parts[0], parts[1:])
    else:
        here = obstore.list_with_delimiter(store, folder or None)
        names = here["common_prefixes"] if len(parts) > 1 else [item["path"] for item in here["objects"]]
        for path in names:
            if fnmatchcase(path.rpartition("/")[2], parts[0]):
                yield from _below(store, path, parts[1:]) if len(parts) > 1 else (path,)


def _means(pattern: list[str], parts: list[str]) -> bool:
    if not pattern or not parts:
        return pattern == parts
    if pattern[0] == "**":
        return len(pattern) == 1 or _means(pattern[1:], parts) or _means(pattern, parts[1:])
    return fnmatchcase(parts[0], pattern[0]) and _means(pattern[1:], parts[1:])


@_unless_forked
def write(url: str, data: bytes) -> None:
    """Put an object there; a store shows it whole or not at all."""
    _put(url, data)


@_unless_forked
def put(url: str, path: str) -> None:
    """Put a local file there, a large one in parts."""
    _put(url, Path(path))


def _put(url: str, what: bytes | Path) -> None:
    kind, bucket, key = _parts(url)
    store = access.store(kind, bucket, None)
    _tried(url, "write", lambda: obstore.put(store, key, what, max_concurrency=4))


@_unless_forked
def remove(url: str) -> None:
    """Remove an object if it is there."""
    kind, bucket, key = _parts(url)
    store = access.store(kind, bucket, PATIENCE.quiet)
    try:
        _tried(url, "remove", lambda: obstore.delete(store, key))
    except MissingFileError:
        return


def _parts(url: str) -> tuple[str, str, str]:
    kind = scheme(url)
    bucket, _, key = url.partition("://")[2].partition("/")
    return kind, bucket, key


def _version(meta: Any) -> Version:
    etag = meta["e_tag"] or ""
    return Version("" if etag.startswith("W/") else etag, meta["size"])


def _same(found: Version, pin: Version | None, url: str) -> Version:
    # Not every server honours If-Match, and some have no ETags.
    if pin and ((pin.etag and found.etag != pin.etag) or found.size != pin.size >= 0):
        raise _changed(url)
    return found


def _changed(url: str) -> ChangedError:
    return ChangedError("another object is there now", url=url, do="let nobody rewrite shards that are read; index them anew if they were replaced")


def _tried(url: str, doing: str, act: Callable[[], _T], grown: Callable[[], int] = lambda: 0) -> _T:
    """What `act` gives, tried again as long as that may help; what has `grown` since the last try is progress."""
    tries = Tries(url.partition("://")[2].partition("/")[0], PATIENCE)
    while True:
        tries.wait()
        before = grown()
        try:
            return act()
        except Again as again:
            trouble = again
        except (BaseError, OSError, ValueError) as error:
            trouble = judged(error, url, doing)
        if not isinstance(trouble, Again):
            raise trouble
        try:
            tries.failed(trouble, progress=grown() > before)
        except RemoteError as error:
            error.at(url=url)
            raise


def _status(error: Exception) -> int:
    """The HTTP status in an error of obstore, 0 where there was no answer."""
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else 0


def judged(error: Exception, url: str, doing: str) -> Again | RemoteError:
    """What an error of obstore means: `Again` if it may pass, else a RemoteError that says what to do, without the error's text."""
    text, status = str(error), _status(error)
    named = re.search(r"<Code>\s*(\w+)\s*</Code>|\(code: (\w+)\)", text)
    code = (named[1] or named[2]) if named else ""
    said = " ".join(filter(None, (str(status or ""), code or (HTTPStatus(status).phrase if status in _STATUSES else ""))))
    kind = scheme(url)
    if re.search(r"169\.254\.169\.254|TokenRequest|credential provider", text):
        do = f"log in anew (`aws sso login`, `gcloud auth login`, `az login`), or {access.advice(kind)}"
        return AccessError("the profile or the machine's role gives no credentials", url=url, do=do)
    if status in (408, 429) or status >= 500 or code in ("SlowDown", "InternalError", "RequestTimeout", "ServerBusy"):
        # How long it asks to wait is not handed on: a second, for all readers of the bucket.
        return Again(said, after=1.0 if status in (429, 503) or code in ("SlowDown", "ServerBusy") else 0.0)
    if status == 412:
        return _changed(url)
    if code in _NO_BUCKET:
        return MissingFileError(f"there is no such bucket ({said})", url=url, do="check the bucket's name and the endpoint")
    if isinstance(error, FileNotFoundError) or status == 404 or code == "404":
        return MissingFileError("no such object", url=url, do="check the URL")
    if code in _REFUSALS or status in (401, 403) or code in ("AccessDenied", "403"):  # obstore has no kind for a refused listing
        return _refusal(url, doing, said, code, text)
    if "region" in text and (300 <= status < 400 or "redirect" in text.lower()):
        return RemoteError("the bucket is in another region", url=url, do="set AWS_REGION to the bucket's region")
    for words, why in _NO_ANSWER.items():
        if re.search(words, text):
            return Again(why)
    if re.search("HTTP error|error sending request|error decoding", text) and not re.search(_HOPELESS, text):
        return Again("the connection broke")
    what = said or ("no secure connection" if re.search(_HOPELESS, text) else type(error).__name__)
    return RemoteError(f"cannot {doing}: {what}", url=url, do="check the URL, the endpoint and its certificates")


def _refusal(url: str, doing: str, said: str, code: str, text: str) -> AccessError:
    kind = scheme(url)
    if code in _REFUSALS:
        do = _REFUSALS[code]
    elif access.anonymous(kind):
        do = f"no credentials were found, so it was asked without: {access.advice(kind)}"
    else:
        do = f"these credentials may not {doing} there, or there is no such object: ask for the right to it"
    server = re.search(r"<ServerTime>([^<]+)<", text)
    if code == "RequestTimeTooSkewed" and server:
        do = f"{do}; the server says {server[1][:40]}"
    return AccessError(f"the server refuses to {doing} ({said})", url=url, do=do)


# A 416, or what Azurite says instead: a range of no bytes, which obstore sees through, and one that ends before it begins.
_BEYOND = r"status code: 416|Wanted range starting at|bytes 0--1/0"
_STATUSES = {status.value for status in HTTPStatus}
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted")
_REFUSALS = {
    "SignatureDoesNotMatch": "the secret key is wrong: check AWS_SECRET_ACCESS_KEY",
    "InvalidAccessKeyId": "the access key is not known there: check AWS_ACCESS_KEY_ID, and AWS_ENDPOINT_URL if you use another provider",
    "ExpiredToken": "the session has expired: get new credentials, then go on from the last checkpoint",
    "ExpiredTokenException": "the session has expired: get new credentials, then go on from the last checkpoint",
    "TokenRefreshRequired": "the session has expired: get new credentials, then go on from the last checkpoint",
    "InvalidToken": "the session token does not belong to these keys: check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it (`timedatectl set-ntp true`)",
    "RequestExpired": "the request was signed too long ago: set this machine's clock, or get a new signature",
    "AuthorizationHeaderMalformed": "the signature is for another region: set AWS_REGION to the bucket's region",
    "AuthenticationFailed": "the key, the signature or its time is wrong: check AZURE_STORAGE_ACCOUNT_KEY or the SAS token, and the clock",
}
_NO_ANSWER = {
    "TimedOut|timed out|Timeout": "no answer in time",
    "ConnectionRefused|Connection refused": "the connection was refused",
    "dns error|failed to lookup": "the host's name is not known",
    "ConnectionReset|reset by peer|IncompleteMessage|IncompleteBody|body error|UnexpectedEof|BrokenPipe": "the connection broke",
}
_HOPELESS = "BadScheme|builder error|InvalidCertificate|invalid peer certificate|InvalidMessage|UnknownIssuer|NotValidForName"
