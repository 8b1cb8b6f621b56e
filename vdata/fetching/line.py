"""The connection of one request, which can be cut from outside: its time is over, or the download stops.

A socket's own timeout bounds one call. A server that sends a byte now and then, or answers "100 Continue" for ever,
keeps every call short and never comes to an end; so a thread watches how long it has been listened to.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Line:
    """Connects, one server after another (redirects); while the block runs, no `hearing` takes more than `seconds`."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._guard = threading.Condition()
        self._since: float | None = None
        self._twin: socket.socket | None = None  # of the connection, as TLS puts another object in its place
        self.is_cut = self._over = False
        self._watch = threading.Thread(target=self._cut_in_time, name="vdata-download-watch", daemon=True)

    def __enter__(self) -> Line:
        self._watch.start()
        return self

    def __exit__(self, *failed: object) -> None:
        with self._guard:
            self._over = True
            self._guard.notify()
            self._hold(None)
        self._watch.join()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Cut the connection if this block takes too long. What came of it may then be half of something: `check`."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def check(self) -> None:
        if self.is_cut:
            raise TimeoutError

    def cut(self) -> None:
        """End whatever waits for this connection, now and later."""
        with self._guard:
            self.is_cut = True
            if self._twin:
                with suppress(OSError):
                    self._twin.shutdown(socket.SHUT_RDWR)

    def connections(self, kind: Any) -> Any:
        """A maker of connections of a kind of `http.client` over this line: proxies and TLS begin when it holds them."""

        def make(host: str, **more: Any) -> Any:
            connection = kind(host, **more)
            connection._create_connection = self._connect
            return connection

        return make

    def _connect(self, address: tuple[str, int], *more: Any) -> socket.socket:
        failed = OSError("no address")
        for family, kind, protocol, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(self.seconds)
                with self._guard:
                    self._hold(made)
                self.check()
                made.connect(place)
                self.check()
                return made
            except OSError as error:
                made.close()
                failed = error
        raise failed

    def _hold(self, made: socket.socket | None) -> None:
        if self._twin:
            self._twin.close()
        self._twin = made.dup() if made else None

    def _cut_in_time(self) -> None:
        """Sleeps of `seconds` at most: no hearing that begins meanwhile can be over before."""
        with self._guard:
            while not self._over:
                since = self._since
                left = self.seconds if since is None else since + self.seconds - time.monotonic()
                if left <= 0:
                    break
                self._guard.wait(left)
            late = not self._over
        if late:
            self.cut()
