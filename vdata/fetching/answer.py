"""One request over HTTP, and what its answer means: an answer to read, `Again`, or `Refused`.

Only http and https, never down from https to http, no more than a few redirects, no words of a server in an error.
"""

from __future__ import annotations

import http.client
import re
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from vdata.fetching.line import Line

_REDIRECTS = 5
_TRANSIENT = {408, 425, 429}
_PLAIN = re.compile(r"[ -~]{1,80}")
_STRONG = re.compile(r'"[!#-~]{0,500}"')


class Again(Exception):
    """It may work at another time; `after` seconds, if the server said so."""

    def __init__(self, why: str, after: float = 0.0):
        super().__init__(why)
        self.after = after


class Refused(Exception):
    """This mirror does not have the file."""


class _AsItCame(urllib.request.HTTPErrorProcessor):
    """Redirects and errors are answers too, which `answer_of` reads."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


class _Over(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Connects over one line."""

    def __init__(self, line: Line):
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self._line.connections(http.client.HTTPConnection), req)

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self._line.connections(http.client.HTTPSConnection), req)


@contextmanager
def answer_of(url: str, headers: dict[str, str], line: Line) -> Iterator[Any]:
    """The server's answer, behind redirects: 200, 206, 412 or 416; all others are Again or Refused."""
    with line.hearing():
        answer = _behind_redirects(url, headers, line)
    with answer:
        line.check()
        yield answer


def _behind_redirects(url: str, headers: dict[str, str], line: Line) -> Any:
    for _ in range(_REDIRECTS + 1):
        _check(url)
        answer = _open(urllib.request.Request(url, headers={"User-Agent": "vdata", **headers}), line)
        if answer.status in (200, 206, 412, 416):
            return answer
        with answer:
            if answer.status not in (301, 302, 303, 307, 308):
                raise _error(answer)
            url = _target(url, answer.headers.get("Location", ""))
    raise Refused(f"it redirects more than {_REDIRECTS} times")


def _open(request: urllib.request.Request, line: Line) -> Any:
    try:
        return urllib.request.build_opener(_AsItCame, _Over(line)).open(request, timeout=line.seconds)
    except (http.client.InvalidURL, UnicodeError):
        raise Refused("no valid address") from None
    except (OSError, http.client.HTTPException) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Refused("its certificate is not valid") from None
        raise Again(f"no answer ({spoken(error, line)})") from None


def _target(url: str, location: str) -> str:
    """Where a redirect leads."""
    try:
        target = urllib.parse.urljoin(url, urllib.parse.quote(location, safe=string.punctuation, encoding="latin-1"))
    except ValueError:
        raise Refused("it redirects to no valid address") from None
    if url.lower().startswith("https:") and target.lower().startswith("http:"):
        raise Refused("it redirects from https to http, where anyone could change the bytes")
    return target


def _check(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        nowhere = not parts.hostname or parts.port == 0  # a port may be no number
    except ValueError:
        raise Refused("no valid address") from None
    if parts.scheme not in ("http", "https"):
        raise Refused(f"only http and https are fetched, not {parts.scheme or 'this'}")
    if nowhere:
        raise Refused("no valid address")
    if "@" in parts.netloc:
        raise Refused("the address holds a password, which is not sent")


def _error(answer: Any) -> Exception:
    why = f"the server says {status(answer.status)}"
    if answer.status in _TRANSIENT or answer.status >= 500:
        return Again(why, _retry_after(answer.headers))
    return Refused(why)


def _retry_after(headers: Any) -> float:
    """Seconds that the server asks to wait: it says a number, or a date."""
    said = headers.get("Retry-After", "").strip()
    if said.isdecimal() and len(said) < 10:
        return float(said)
    until = _date(said)
    return max(0.0, (until - (_date(headers.get("Date")) or datetime.now(UTC))).total_seconds()) if until else 0.0


def settled(answer: Any) -> str:
    """Last-Modified, unless the file changed so recently that it may change again within that second."""
    said = dated(answer.headers.get("Last-Modified"))
    then, now = _date(said), _date(answer.headers.get("Date"))
    return said if then and now and (now - then).total_seconds() >= 1 else ""


def _date(said: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(said or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def length(answer: Any) -> int | None:
    """Content-Length, where that says how the answer ends."""
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isdecimal() and len(said) < 20 and "Transfer-Encoding" not in answer.headers else None


def status(number: int) -> str:
    return f"{number} {http.client.responses.get(number, '')}".strip()


def spoken(error: BaseException, line: Line) -> str:
    """What an error of the network says, without addresses."""
    inner = error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError) else error
    late = line.is_cut or isinstance(inner, TimeoutError)
    return "timed out" if late else getattr(inner, "strerror", None) or type(inner).__name__


def strong(text: str | None) -> str:
    """A strong ETag that can be sent back; else ""."""
    return text if text and _STRONG.fullmatch(text) else ""


def dated(text: str | None) -> str:
    """A date that can be sent back as it is; else ""."""
    return text if text and _PLAIN.fullmatch(text) and _date(text) else ""
