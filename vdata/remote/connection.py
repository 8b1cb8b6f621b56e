"""HTTP/1.1 over sockets: whom to connect to and how, what goes out, and the head of what comes back.

As much of RFC 9112 as reading objects needs, strict and bounded: `http.client` spends more time on the headers of a small range than
the range takes, and lets a server drip headers for ever.
"""

from __future__ import annotations

import base64
import re
import select
import socket
import ssl
import struct
import urllib.request
from functools import lru_cache
from time import monotonic
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from vdata.errors import AccessError, RemoteError
from vdata.remote.patience import Again

_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*)?((?:\r\n[\w!#$%&'*+.^`|~-]+:[^\r\n\0]*)*)")
_LONGEST_HEAD = 1 << 16
_LONGEST_LINE = 1 << 10  # of a chunk's length
_LONG = 86_400.0  # seconds: the longest silence that the system is asked to note
_INTERIM = 10  # answers "100 Continue" before the real one


class Site(NamedTuple):
    """Whom a connection leads to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


class Dead(Exception):
    """The connection ended before a byte of the answer: one that had waited was closed meanwhile."""


class Connection:
    """A socket to a site, and what was received of it but not yet read."""

    def __init__(self, site: Site, sock: socket.socket, prefix: str = "", extra: str = ""):
        self.site, self.socket = site, sock
        self._prefix, self._extra = prefix, extra  # what an http proxy wants before the path, and among the fields
        self.held, self.since = b"", 0.0

    def request(self, method: str, path: str, fields: str) -> bytes:
        return f"{method} {self._prefix}{path} HTTP/1.1\r\nHost: {self.site}\r\n{self._extra}{fields}\r\n".encode("ascii")

    def head(self, request: bytes, until: float) -> tuple[bytes, int, dict[str, str]]:
        """Send a request; (minor version, status, header fields) of the answer."""
        try:
            self._hurry(until)
            self.socket.sendall(request)
            for _ in range(_INTERIM):
                match = _HEAD.fullmatch(self._until(b"\r\n\r\n", _LONGEST_HEAD, until))
                if not match:
                    raise Again("the answer is not HTTP")
                if match[2] >= b"200":
                    return match[1], int(match[2]), _fields(match[3])
        except ConnectionError as error:
            raise (Again(spoken(error)) if self.held else Dead()) from None
        raise Again("the server announces an answer again and again")

    def line(self, until: float) -> bytes:
        return self._until(b"\r\n", _LONGEST_LINE, until)

    def receive(self, view: memoryview, quiet: float) -> int:
        """Some bytes, 0 at the end of the connection; as many as the view has room for, unless the end or `quiet` seconds come first. TimeoutError: none came."""
        if self.held:
            count = min(len(view), len(self.held))
            view[:count] = self.held[:count]
            self.held = self.held[count:]
            return count
        if isinstance(self.socket, ssl.SSLSocket):  # it gives a record at a time
            self.socket.settimeout(quiet)
            return self.socket.recv_into(view)
        # The system fills the view and wakes this thread once: to be woken for each piece, and to want the GIL, would cost more than the bytes do.
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        if not poll.poll(max(1, int(min(quiet, _LONG) * 1e3))):  # signals do not begin this anew, as they do the system's own time of silence
            raise TimeoutError
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(min(quiet, _LONG)), max(1, int(min(quiet, _LONG) % 1 * 1e6))))
        try:
            return self.socket.recv_into(view, 0, socket.MSG_WAITALL)
        except BlockingIOError:
            raise TimeoutError from None

    def _until(self, mark: bytes, most: int, until: float) -> bytes:
        """What comes before a mark; what comes behind it is held."""
        while (end := self.held.find(mark)) < 0:
            if len(self.held) > most:
                raise Again("the server sends a head without end")
            self._hurry(until)
            data = self.socket.recv(1 << 14)
            if not data:
                raise Again("the connection was cut") if self.held else Dead
            self.held += data
        before, self.held = self.held[:end], self.held[end + len(mark) :]
        return before

    def _hurry(self, until: float) -> None:
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)

    def speaks(self) -> bool:
        """An idle connection has nothing to say: what can be read is its end, or an answer to nobody."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(self.held or poll.poll(0))

    def close(self) -> None:
        self.socket.close()


def _fields(lines: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def spoken(error: BaseException) -> str:
    """What an error of the network says, without addresses."""
    return getattr(error, "strerror", None) or type(error).__name__


# -- new connections ----------------------------------------------------------------------------------------------------


def connected(site: Site, until: float) -> Connection:
    """A new connection: TLS with verified certificates, through the proxy of the environment if it names one."""
    proxy = _proxy(site)
    sock = _dialled(proxy.hostname or "", proxy.port or 80, until) if proxy else _dialled(site.host, site.port, until)
    try:
        if proxy and site.scheme == "https":
            _tunnel(Connection(site, sock), login("Proxy-Authorization", proxy), until)
        if site.scheme == "https":
            sock.settimeout(max(0.001, until - monotonic()))
            sock = _trust().wrap_socket(sock, server_hostname=site.host)
    except BaseException:
        sock.close()
        raise
    if proxy and site.scheme == "http":
        return Connection(site, sock, f"http://{site}", login("Proxy-Authorization", proxy))
    return Connection(site, sock)


def _dialled(host: str, port: int, until: float) -> socket.socket:
    failed = OSError("no address")
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, place) in enumerate(places):
        sock = socket.socket(family, kind, protocol)
        try:
            # An address that leads nowhere leaves time for the others.
            sock.settimeout(max(0.001, (until - monotonic()) / (len(places) - number)))
            sock.connect(place)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            failed = error
    raise failed


def _proxy(site: Site) -> SplitResult | None:
    said = urllib.request.getproxies().get(site.scheme)
    if not said or urllib.request.proxy_bypass(f"{site.host}:{site.port}"):
        return None
    try:
        proxy = urlsplit(said if "://" in said else f"http://{said}")
        usable = proxy.scheme == "http" and proxy.hostname and proxy.port != 0  # a port may be no number
    except ValueError:
        usable = False
    if not usable:
        raise RemoteError(f"{site.scheme}_proxy is not the address of an http proxy", do="set it to http://host:port, or unset it")
    return proxy


def _tunnel(connection: Connection, extra: str, until: float) -> None:
    host, port = connection.site.host, connection.site.port
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _, status, _ = connection.head(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{extra}\r\n".encode("ascii"), until)
    if status == 407:
        raise AccessError("the proxy refuses (407 Proxy Authentication Required)", do="check the user and password in https_proxy")
    if status >= 300 or connection.held:
        raise Again(f"the proxy does not connect (it says {status})")


def login(field: str, parts: SplitResult) -> str:
    """The header field for the user info of a URL; "" where it has none."""
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"{field}: Basic {base64.b64encode(pair.encode()).decode()}\r\n"


@lru_cache(1)
def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
