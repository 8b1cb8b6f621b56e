"""One request over HTTP, and what its answer means: an answer to read, `Again`, or `Refused`.

Only http and https, never down from https to http, no more than a few redirects, no words of a server in an error.
"""

from __future__ import annotations

import http.client
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_REDIRECTS = 5
_TRANSIENT = {408, 425, 429}


class Again(Exception):
    """It may work at another time; `after` seconds, if the server said so."""

    def __init__(self, why: str, after: float = 0.0):
        super().__init__(why)
        self.after = after


class Refused(Exception):
    """This mirror does not have the file."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *request: Any) -> None:
        """They are followed in `answer_of`."""


_OPENER = urllib.request.build_opener(_NoRedirects)


@contextmanager
def answer_of(url: str, headers: dict[str, str], timeout: float) -> Iterator[Any]:
    """The server's answer, behind redirects: 200, 206, 412 or 416; all others are Again or Refused."""
    for _ in range(_REDIRECTS + 1):
        _check(url)
        request = urllib.request.Request(url, headers={"User-Agent": "vdata", **headers})
        with _open(request, timeout) as answer:
            if answer.status in (301, 302, 303, 307, 308):
                url = _target(url, answer.headers.get("Location", ""))
                continue
            if answer.status not in (200, 206, 412, 416):
                raise _error(answer)
            yield answer
            return
    raise Refused(f"it redirects more than {_REDIRECTS} times")


def _open(request: urllib.request.Request, timeout: float) -> Any:
    try:
        return _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as answer:
        return answer
    except (http.client.InvalidURL, UnicodeError):
        raise Refused("no valid address") from None
    except (OSError, http.client.HTTPException) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Refused("its certificate is not valid") from None
        raise Again(f"no answer ({spoken(error)})") from None


def _target(url: str, location: str) -> str:
    """Where a redirect leads."""
    target = urllib.parse.urljoin(url, urllib.parse.quote(location, safe=string.punctuation, encoding="latin-1"))
    if url.lower().startswith("https:") and target.lower().startswith("http:"):
        raise Refused("it redirects from https to http, where anyone could change the bytes")
    return target


def _check(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        raise Refused("no valid address") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Refused(f"only http and https are fetched, not {parts.scheme or 'this'}")
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
    try:
        until = parsedate_to_datetime(said)
        return max(0.0, (until - (_date(headers.get("Date")) or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def settled(answer: Any) -> str:
    """Last-Modified, unless the file changed so recently that it may change again within that second."""
    said = plain(answer.headers.get("Last-Modified"))
    then, now = _date(said), _date(answer.headers.get("Date"))
    return said if then and now and (now - then).total_seconds() >= 1 else ""


def _date(said: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(said or "")
    except (ValueError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def length(answer: Any) -> int | None:
    """Content-Length, where that says how the answer ends."""
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isdecimal() and len(said) < 20 and "Transfer-Encoding" not in answer.headers else None


def status(number: int) -> str:
    return f"{number} {http.client.responses.get(number, '')}".strip()


def spoken(error: BaseException) -> str:
    """What an error of the network says, without addresses."""
    inner = error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError) else error
    return "timed out" if isinstance(inner, TimeoutError) else getattr(inner, "strerror", None) or type(inner).__name__


def plain(text: str | None) -> str:
    """A header's value, if it can be sent back as it is; else ""."""
    return text if text and text.isascii() and text.isprintable() else ""
