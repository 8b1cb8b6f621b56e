"""One request over a connection, its answer, and the connections that wait for their next request.

A connect with its request and the head of its answer has `quiet` seconds in all. A body has no end in time, but a pace: no silence of
`quiet` seconds, and no less than `slowest` bytes a second.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
from collections.abc import Iterator
from time import monotonic

from vdata.errors import RemoteError
from vdata.remote.connection import Connection, Dead, Site, connected, spoken
from vdata.remote.patience import Again, Patience

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_LITTLE = 1 << 14  # bytes of an error's page that are rather read than the connection closed
_IDLE = 20.0  # seconds
_MOST_IDLE = 64  # connections to one site


def ask(site: Site, method: str, path: str, fields: str, patience: Patience) -> Answer:
    """The answer to a request with these header fields, to be closed. Again: there was none."""
    until = monotonic() + patience.quiet
    try:
        kept = _idle.take(site)
        if kept:
            try:
                return _asked(kept, method, path, fields, until, patience)
            except Dead:
                pass
        return _asked(connected(site, until), method, path, fields, until, patience)
    except ssl.SSLCertVerificationError:
        do = "check its name and this machine's clock; SSL_CERT_FILE names the authorities to trust"
        raise RemoteError("the server's certificate is not valid", do=do) from None
    except ssl.SSLError:
        raise RemoteError("the server does not speak TLS as it should", do="check the scheme and the port: is it http://?") from None
    except TimeoutError:
        raise Again(f"no answer within {patience.quiet:g} s") from None
    except (OSError, UnicodeError) as error:
        raise Again(f"no answer ({spoken(error)})") from None
    except Dead:
        raise Again("the connection ended before an answer") from None


def _asked(connection: Connection, method: str, path: str, fields: str, until: float, patience: Patience) -> Answer:
    try:
        return Answer(connection, *connection.head(connection.request(method, path, fields), until), method, patience)
    except BaseException:
        connection.close()
        raise


class Answer:
    """Status, header fields (names in small letters) and body of an answer. Closing it keeps the connection, if it was read to its end."""

    def __init__(self, connection: Connection, minor: bytes, status: int, fields: dict[str, str], method: str, patience: Patience):
        self.status, self.fields = status, fields
        self._connection, self._patience = connection, patience
        said, coding = fields.get("content-length"), fields.get("transfer-encoding")
        if (coding or "chunked").lower() != "chunked" or (said is not None and not (said.isdecimal() and said.isascii() and len(said) < 19)):
            raise Again("the answer does not say how long it is")
        self.is_chunked = coding is not None
        self.length = int(said) if said is not None and not self.is_chunked else None
        bodiless = method == "HEAD" or status in (204, 304)
        self._left = 0 if bodiless or self.is_chunked else self.length  # of the chunk; None: to the end of the connection
        self._chunks = self.is_chunked and not bodiless
        self._keep = minor == b"1" and "close" not in fields.get("connection", "").lower() and not self._chunks
        self._since, self._came = monotonic(), 0

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *failed: object) -> None:
        consistent = self._keep and (kind is None or issubclass(kind, (Again, RemoteError)))  # after a KeyboardInterrupt nobody knows
        if consistent and self._left is not None and self._left <= _LITTLE and self._drained():
            _idle.keep(self._connection)
        else:
            self._connection.close()

    def into(self, view: memoryview) -> int:
        """Some bytes of the body: 0 at its end. Again: it is cut, silent or slow."""
        keep, self._keep = self._keep, False
        try:
            count = self._some(view)
        except TimeoutError:
            raise Again(f"nothing came for {self._patience.quiet:g} s") from None
        except OSError as error:
            raise Again(f"the connection broke ({spoken(error)})") from None
        except Dead:
            raise Again("the connection was cut") from None
        self._keep = keep
        self._pace(count)
        return count

    def _some(self, view: memoryview) -> int:
        if self._chunks and not self._left:
            self._begin_chunk()
        if self._left is not None:
            view = view[: self._left]
        if not view:
            return 0
        count = self._connection.receive(view, self._patience.quiet)
        if self._left is not None:
            if not count:
                raise Dead
            self._left -= count
            if self._chunks and not self._left and self._line():
                raise Again("a chunk of the answer is longer than it says")
        return count

    def _line(self) -> bytes:
        return self._connection.line(monotonic() + self._patience.quiet)

    def _begin_chunk(self) -> None:
        match = _CHUNK.fullmatch(self._line())
        if not match:
            raise Again("a chunk of the answer does not say how long it is")
        self._left = int(match[1], 16)
        self._chunks = self._left > 0

    def _pace(self, count: int) -> None:
        self._came += count
        now = monotonic()
        spent = now - self._since
        if spent >= self._patience.window:
            if self._came < self._patience.slowest * spent:
                raise Again(f"only {self._came} bytes came in {spent:.3g} s")
            self._since, self._came = now, 0

    def _drained(self) -> bool:
        view, until = memoryview(bytearray(self._left or 0)), monotonic() + 1.0
        try:
            while self._left and monotonic() < until:
                count = self._connection.receive(view[: self._left], 1.0)
                if not count:
                    return False
                self._left -= count
        except OSError:
            return False
        return not self._left


# -- idle connections ---------------------------------------------------------------------------------------------------


class _Idle:
    """The connections of a process that wait for their next request. Those of a parent are never spoken to."""

    def __init__(self):
        self._guard = threading.Lock()
        self._of: dict[Site, list[Connection]] = {}

    def take(self, site: Site) -> Connection | None:
        while True:
            with self._guard:
                waiting = self._of.get(site)
                if not waiting:
                    return None
                connection = waiting.pop()
            if monotonic() - connection.since < _IDLE and not connection.speaks():
                return connection
            connection.close()

    def keep(self, connection: Connection) -> None:
        connection.since = now = monotonic()
        with self._guard:
            self._of.setdefault(connection.site, []).append(connection)
            gone = [old for waiting in self._of.values() for old in _surplus(waiting, now - _IDLE)]
        for old in gone:
            old.close()

    def forget(self) -> None:
        """After a fork: closing here ends nothing there, as the parent holds the connection too."""
        for waiting in self._of.values():
            for connection in waiting:
                connection.close()
        self._guard, self._of = threading.Lock(), {}


def _surplus(waiting: list[Connection], since: float) -> Iterator[Connection]:
    """Taken from the front, where the oldest are: those idle for too long, and those that are too many."""
    while waiting and (waiting[0].since < since or len(waiting) > _MOST_IDLE):
        yield waiting.pop(0)


_idle = _Idle()
os.register_at_fork(after_in_child=_idle.forget)
