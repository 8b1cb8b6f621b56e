"""http and https: vdata's own reader of ranges.

A range is asked for on the condition that the object is still the pinned one, what comes is compared with what was asked for, and a cut
answer goes on where it stopped. An object whose server gives no strong ETag is known by its size alone; of such a one a cut range is fetched
anew from its start, never continued. No words of a server are in an error, and no address that it redirects to.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from importlib import util
from typing import NoReturn, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from vdata.errors import AccessError, ChangedError, MissingFileError, RemoteError
from vdata.remote.answer import Answer, ask
from vdata.remote.connection import Site, login
from vdata.remote.engine import Version
from vdata.remote.patience import Again, Patience, Tries
from vdata.remote.rooms import Rooms

PATIENCE = Patience()
UNSAID = 4 << 30  # the most that is taken of an object whose length nobody says

_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_NO_HEAD = (403, 405, 501)  # a URL may be signed for GET alone
_TRANSIENT = (408, 425, 429)
_FIELDS = "User-Agent: vdata\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_BEYOND = re.compile(r"bytes \*/(\d{1,18})")
_STRONG = re.compile(r'"[!#-~]{0,500}"')
_HOST = re.compile(r"[\w.:~-]{1,255}")
_rooms = Rooms()
_Result = TypeVar("_Result")


def stat(url: str) -> Version:
    """The object's version: of a HEAD, or where that is refused or says no length, of a GET of its first byte."""
    return _tried(url, lambda: _head(url) or _first_byte(url))


def read(url: str, start: int, length: int, pin: Version | None = None) -> tuple[bytes | bytearray | memoryview, Version]:
    """`length` bytes from `start` (fewer only at the object's end), and their version; of a pin without an ETag, the size alone is compared."""
    if not length:
        return b"", pin or stat(url)  # a range of no bytes cannot be asked for
    part = _Part(start, start + length, pin)
    _tried(url, lambda: part.take(url), part)
    return part.data, part.version or Version("", -1)


def read_all(url: str, limit: int | None = None) -> bytearray | memoryview:
    """The whole object. RemoteError, before its bytes are fetched, where it is larger than `limit` or nobody says where it ends."""
    part = _Part(0, None, None, limit)
    _tried(url, lambda: part.take(url), part)
    return part.data


def listing(pattern: str) -> list[str]:
    """The links of a folder's page that a pattern with * or [ means, through fsspec and aiohttp."""
    if not util.find_spec("aiohttp"):
        raise RemoteError("http has no listing", url=pattern, do="name the tars ('shard-{000..146}.tar') or the manifest; or pip install 'vdata-vision[http]'")
    import fsspec

    try:
        return sorted(map(str, fsspec.filesystem("http", use_listings_cache=False).glob(pattern)))
    except FileNotFoundError:
        return []
    except Exception as error:  # aiohttp's own kinds too; their texts hold the URL
        do = "name the tars ('shard-{000..146}.tar') or the manifest"
        raise RemoteError(f"the server shows no folder that could be listed ({type(error).__name__})", url=pattern, do=do) from None


def write(url: str, data: bytes) -> None:
    _only_read(url)


def put(url: str, path: str) -> None:
    _only_read(url)


def remove(url: str) -> None:
    _only_read(url)


def _only_read(url: str) -> NoReturn:
    raise RemoteError("http is only read from", url=url, do="write to a folder or a bucket that this server shows")


# -- one object ---------------------------------------------------------------------------------------------------------


class _Part:
    """The bytes [start, stop) of one version of an object (stop None: to its end), and how many of them are here."""

    def __init__(self, start: int, stop: int | None, version: Version | None, limit: int | None = None):
        self.start, self.stop, self.version, self.limit = start, stop, version, limit
        self.data: bytearray | memoryview = bytearray()
        self.have = 0

    def take(self, url: str) -> None:
        """Ask for what is missing. After an Again, what came stays, if its version can be told from others."""
        etag = self.version.etag if self.version else ""
        if not etag:
            self.have = 0
        same = f"If-Match: {etag}\r\n" if _STRONG.fullmatch(etag) else ""
        begin, last = self.start + self.have, "" if self.stop is None else self.stop - 1
        ranged = f"Range: bytes={begin}-{last}\r\n" if begin or self.stop else ""
        with _answer("GET", url, ranged + same) as answer:
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._beyond(answer, begin)
            elif answer.status == HTTPStatus.PARTIAL_CONTENT and ranged:
                self._fill(answer, self._promised(answer, begin))
            elif answer.status == HTTPStatus.OK:
                self._begin_anew(answer, bool(ranged))
            else:
                raise _refusal(answer)

    def _promised(self, answer: Answer, begin: int) -> int:
        """How many bytes the part has, by an answer that has the rest of them from `begin` on."""
        said = _RANGE.fullmatch(answer.fields.get("content-range", ""))
        if not said:
            raise _confused("a part without saying which")
        total = -1 if said[3] == "*" else int(said[3])
        self._compare(_version(answer, total))
        total = self.version.size if self.version else total
        end = min((n for n in (self.stop, total) if n is not None and n >= 0), default=-1)
        if (int(said[1]), int(said[2]) + 1) != (begin, end) or answer.length not in (None, end - begin):
            raise _confused("another part than was asked for")
        return end - self.start

    def _begin_anew(self, answer: Answer, ranged: bool) -> None:
        """The whole object comes: as it was asked for, or from a server without ranges, which is well if the whole is wanted."""
        if ranged and answer.fields.get("content-type", "").lower().startswith("text/html"):
            raise RemoteError("a web page came instead", do="the server wants a login, or the link is dead: open it in a browser")
        size = answer.length
        if ranged and (self.start or size is None or (self.stop is not None and size > self.stop)):
            raise RemoteError("the server does not serve ranges", do="copy the shards to storage that does, or download them")
        if size is None and not answer.is_chunked:
            raise RemoteError("the server does not say how long it is: a cut object could not be told from a whole one", do="use another server")
        self._compare(_version(answer, -1 if size is None else size))
        self.have = 0
        self._fill(answer, size) if size is not None else self._follow(answer)

    def _compare(self, version: Version) -> None:
        """Is it what came before, or was pinned?"""
        known = self.version
        if known and known.etag not in ("", version.etag):
            raise _changed("it has another ETag than before")
        if known and known.size != version.size and -1 not in (known.size, version.size):
            raise _changed(f"it has {version.size} bytes, and had {known.size}")
        self.version = Version(version.etag, known.size) if known and version.size < 0 else version

    def _fill(self, answer: Answer, size: int) -> None:
        if self.limit is not None and size > self.limit:
            raise _too_large(self.limit)
        if not self.have:
            self.data = _room(size)
        if len(self.data) != size:
            raise _changed("its length is another one than before")
        view = memoryview(self.data)
        while self.have < size:
            count = answer.into(view[self.have :])
            if not count:
                raise Again("the answer ended too early")
            self.have += count

    def _follow(self, answer: Answer) -> None:
        """An answer in chunks says at its end how long it was."""
        limit, data, piece = UNSAID if self.limit is None else self.limit, bytearray(), memoryview(bytearray(1 << 18))
        while count := answer.into(piece):
            data += piece[:count]
            if len(data) > limit:
                raise _too_large(limit)
        self.data = data

    def _beyond(self, answer: Answer, begin: int) -> None:
        """416: the object ends at `begin` or before."""
        said = _BEYOND.fullmatch(answer.fields.get("content-range", ""))
        size = int(said[1]) if said else -1
        known = self.version.size if self.version else -1
        if known > begin or (known != size and -1 not in (known, size)):
            raise _changed(f"it ends before byte {begin}" if size < 0 else f"it has {size} bytes, and had {known}")
        if size > begin or self.have:
            raise _confused("nothing where it has bytes")
        self.version = Version(self.version.etag if self.version else _etag(answer), max(size, known))


def _room(size: int) -> memoryview:
    try:
        return _rooms.take(size)
    except MemoryError:
        raise RemoteError(f"the server says that it has {size} bytes, more than memory holds", do="check that the URL names what you mean") from None


def _head(url: str) -> Version | None:
    """The version; None where HEAD is refused, or says no length."""
    with _answer("HEAD", url, "") as answer:
        if answer.status in _NO_HEAD:
            return None
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer)
        return None if answer.length is None else _version(answer, answer.length)


def _first_byte(url: str) -> Version:
    part = _Part(0, 1, None)
    part.take(url)
    return part.version or Version("", -1)


def _version(answer: Answer, size: int) -> Version:
    if answer.fields.get("content-encoding", "identity").lower() != "identity":
        do = "have the server send the bytes as they are: compression switched off for these files"
        raise RemoteError("the server sends it compressed, where byte positions mean nothing", do=do)
    return Version(_etag(answer), size)


def _etag(answer: Answer) -> str:
    etag = answer.fields.get("etag", "")
    return etag if _STRONG.fullmatch(etag) else ""


# -- one request, behind redirects --------------------------------------------------------------------------------------


def _tried(url: str, once: Callable[[], _Result], part: _Part | None = None) -> _Result:
    """`once()`, until it gets through; only what brings the part further than ever counts as progress."""
    furthest = 0
    try:
        tries = Tries(str(_place(url)[0]), PATIENCE)
        while True:
            tries.wait()
            try:
                return once()
            except Again as again:
                here = part.have if part else 0
                tries.failed(again, progress=here > furthest)
                furthest = max(furthest, here)
    except RemoteError as error:
        raise error.at(url=url, byte=part.start if part and part.stop else None) from None


def _answer(method: str, url: str, fields: str) -> Answer:
    """The answer of the server that has the object, to be closed; the user info of the URL is for the server that it names alone."""
    site, path, secret = home = _place(url)
    for _ in range(_REDIRECTS + 1):
        answer = ask(site, method, path, f"{_FIELDS}{secret if site == home[0] else ''}{fields}", PATIENCE)
        if answer.status not in _MOVED:
            return answer
        with answer:
            site, path, _ = _target(site, path, answer.fields.get("location", ""))
    raise RemoteError(f"it redirects more than {_REDIRECTS} times", do="use the URL that it leads to in a browser")


def _target(site: Site, path: str, location: str) -> tuple[Site, str, str]:
    """Where a redirect leads."""
    try:
        target = urljoin(f"{site.scheme}://{site}{path}", quote(location, safe=string.punctuation, encoding="latin-1"))
    except ValueError:
        target = ""
    scheme = target.partition(":")[0].lower()
    if scheme not in ("http", "https") or not location:
        raise RemoteError("it redirects to no http or https address, which is not followed", do="check the URL")
    if site.scheme == "https" and scheme == "http":
        raise RemoteError("it redirects from https to http, where anyone could change the bytes", do="use another URL, or the http one if you trust the way")
    return _place(target)


@lru_cache(1024)
def _place(url: str) -> tuple[Site, str, str]:
    """(whom to ask, for which path, and the header field of its user info) of a URL."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").encode("idna").decode()
        port = parts.port if parts.port is not None else {"http": 80, "https": 443}[scheme]
    except ValueError:
        host = port = scheme = ""
    if not _HOST.fullmatch(host) or not port:
        raise RemoteError("it is no valid address", do="check the URL")
    path = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe=string.punctuation)
    return Site(scheme, host, port), path, login("Authorization", parts)


# -- what a status means ------------------------------------------------------------------------------------------------


def _refusal(answer: Answer) -> Exception:
    status = answer.status
    phrase = next((known.phrase for known in HTTPStatus if known == status), "")
    why = f"the server says {status} {phrase}".rstrip()
    if status in _TRANSIENT or status >= 500:
        return Again(why, _retry_after(answer.fields))
    if status in (404, 410):
        return MissingFileError(f"there is no such object: {why}", do="check the URL")
    if status in (401, 403, 407):
        return AccessError(why, do="check the user, the password and the rights; a signed URL may have expired")
    if status == 412:
        return _changed(why)
    return RemoteError(why, do="check the URL")


def _retry_after(fields: dict[str, str]) -> float:
    """Seconds that the server asks to wait: it says a number, or a date."""
    said = fields.get("retry-after", "")
    if said.isdecimal() and len(said) < 10:
        return float(said)
    until = _date(said)
    return max(0.0, (until - (_date(fields.get("date", "")) or datetime.now(UTC))).total_seconds()) if until else 0.0


def _date(said: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(said)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _changed(how: str) -> ChangedError:
    return ChangedError(f"the object has changed: {how}", do="index the shards anew if they were replaced; two versions are never mixed")


def _confused(what: str) -> RemoteError:
    return RemoteError(f"the server sends {what}", do="copy the shards to storage that honours ranges")


def _too_large(limit: int) -> RemoteError:
    return RemoteError(f"larger than {limit} bytes", do="check that the URL names what you mean")
