"""A server of ranges on the loopback, as good as a bucket's: and, where a test says so, as bad as networks are.

    with serve(folder, {"a.tar": [Fault(cut=100), Fault(status=503)]}) as server:
        read(server.url("a.tar"), 0, 1000)
        server.of("a.tar")[0].sent

Keep-alive, HEAD, Range, If-Match, If-Range, strong ETags. The faults of a path are used up, one a request (`Fault(..., times=n)` stands for
n of them); then it is served as it should be. Files are read at each request, so a test changes one by writing it. With `latency` and
`rate` it is a distant server behind one link, for measurements:

    python tests/faultserver.py FOLDER --latency 0.05 --rate 100e6      # prints its port, and serves until it is ended
"""

from __future__ import annotations

import argparse
import email.utils
import functools
import http.server
import os
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import xxhash

ALWAYS = 1 << 30
_PIECE = 1 << 16


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request (or with `times` of them).

    status, headers, body   another answer; a header of None is left out
    ranges, checks, head    False: Range, If-Match and If-Range, HEAD (405) are not understood
    cut                     the connection ends after so many bytes of the body: with FIN,
    reset, stall            or with RST, or nothing more comes
    piece, pause            the body comes in pieces of so many bytes, with so many seconds after each
    wait                    seconds before the answer begins
    flip                    this byte of the file is another one
    becomes                 with `cut`: the file's content from then on
    length                  "chunked", or "none": the end of the connection is the end of the body
    endless                 the body is repeated for ever
    raw                     instead of an answer: bytes sent once, then bytes sent for ever (with `piece` and `pause`)
    hang_up                 the connection is closed once the answer is sent, without a word before
    """

    status: int = 0
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    ranges: bool = True
    checks: bool = True
    head: bool = True
    cut: int | None = None
    reset: bool = False
    stall: bool = False
    piece: int = _PIECE
    pause: float = 0.0
    wait: float = 0.0
    flip: int | None = None
    becomes: bytes | None = None
    length: str = ""
    endless: bool = False
    raw: tuple[bytes, bytes] | None = None
    hang_up: bool = False
    times: int = 1


@dataclass
class Request:
    """What came, over which connection, what was answered, how much of a body was sent, and when."""

    method: str
    path: str
    headers: Message
    at: float
    connection: int
    status: int = 0
    sent: int = 0

    @property
    def range(self) -> str:
        return self.headers.get("Range", "")


class Server:
    """What a test sees of it."""

    def __init__(self, folder: Path, faults: Mapping[str, Fault | Sequence[Fault]], latency: float, rate: float):
        self.folder, self.latency, self.rate = folder, latency, rate
        self.log: list[Request] = []
        self.port = self.connections = 0
        self.kind, self.closing = "http", threading.Event()
        self._lock, self._free = threading.Lock(), 0.0
        self._faults: dict[str, list[Fault]] = {}
        for path, given in faults.items():
            self.fault(path, *([given] if isinstance(given, Fault) else given))

    def url(self, path: str, user: str = "") -> str:
        return f"{self.kind}://{user}{'@' if user else ''}127.0.0.1:{self.port}/{path}"

    def fault(self, path: str, *faults: Fault) -> None:
        """From now on these, before any that are left."""
        with self._lock:
            self._faults[path] = [*faults, *self._faults.get(path, [])]

    def of(self, path: str) -> list[Request]:
        return [request for request in self.log if request.path == path]

    def sent(self, path: str) -> int:
        return sum(request.sent for request in self.of(path))

    def next_fault(self, path: str, method: str) -> Fault:
        with self._lock:
            left = self._faults.get(path, [])
            if not left:
                return Fault()
            fault = left[0]
            if method == "HEAD" and (fault.cut is not None or fault.flip is not None or fault.endless):
                return Fault()  # it is in a body, and this answer has none
            left[:1] = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
            return fault

    def new_connection(self) -> int:
        with self._lock:
            self.connections += 1
            return self.connections

    def wait_for_the_link(self, count: int) -> None:
        """All connections share one link of `rate` bytes a second."""
        if self.rate:
            with self._lock:
                self._free = max(self._free, time.monotonic()) + count / self.rate
                until = self._free
            self.closing.wait(until - time.monotonic())


@contextmanager
def serve(
    folder: str | os.PathLike[str],
    faults: Mapping[str, Fault | Sequence[Fault]] | None = None,
    *,
    latency: float = 0.0,
    rate: float = 0.0,
    certificate: tuple[str, str] | None = None,
) -> Iterator[Server]:
    """Serve the files of a folder until the block ends; over TLS with a `certificate` (file, file of its key)."""
    server = Server(Path(folder), faults or {}, latency, rate)
    with _Http(("127.0.0.1", 0), _Handler) as listening:
        listening.about, server.port = server, listening.server_port
        if certificate:
            server.kind, listening.context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            listening.context.load_cert_chain(*certificate)
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            listening.shutdown()
            listening.end_connections()
            thread.join(10)


class _Http(http.server.ThreadingHTTPServer):
    """`server_close` waits for the threads; each ends with its connection."""

    daemon_threads = False
    request_queue_size = 256
    about: Server
    context: ssl.SSLContext | None = None

    def __init__(self, *given: Any):
        self.open: set[socket.socket] = set()
        super().__init__(*given)

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # no FIN before an RST

    def end_connections(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):  # it has ended meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    wbufsize = _PIECE
    disable_nagle_algorithm = True
    server: _Http

    def setup(self) -> None:
        if self.server.context:
            self.request.settimeout(self.timeout)
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.server.open.add(self.request)
        super().setup()
        self.number = self.server.about.new_connection()

    def finish(self) -> None:
        self.server.open.discard(self.request)
        super().finish()
        if self.server.context:
            self.request.close()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        about = self.server.about
        path = unquote(urlsplit(self.path).path).lstrip("/")
        request = Request(self.command, path, self.headers, time.monotonic(), self.number)
        about.log.append(request)
        fault = about.next_fault(path, self.command)
        about.closing.wait(about.latency + fault.wait)
        if fault.raw:
            self._repeat(*fault.raw, fault)
            return self._end(fault)
        request.status, headers, body = self._answer(about.folder / path, fault)
        self.send_response(request.status)
        for name, value in {**headers, **fault.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self._send(body, fault, request)
        self.wfile.flush()
        if fault.becomes is not None:
            (about.folder / path).write_bytes(fault.becomes)
        self._end(fault)

    do_HEAD = do_GET

    def _repeat(self, once: bytes, again: bytes, fault: Fault) -> None:
        self.close_connection = True
        self.wfile.write(once)
        self.wfile.flush()
        while again and not self.server.about.closing.is_set():
            for start in range(0, len(again), fault.piece):
                self.wfile.write(again[start : start + fault.piece])
                self.wfile.flush()
                if self.server.about.closing.wait(fault.pause):
                    break

    def _answer(self, file: Path, fault: Fault) -> tuple[int, dict[str, str], memoryview]:
        nothing = memoryview(b"")
        if not fault.head and self.command == "HEAD":
            return 405, {"Content-Length": "0"}, nothing
        if fault.body is None and (fault.status not in (0, 200, 206) or not file.is_file()):
            return fault.status or 404, {"Content-Length": "0"}, nothing
        if fault.body is not None:
            return fault.status or 200, _framed({}, len(fault.body), fault), memoryview(fault.body)
        # Two writes may have one time: only what has lain for a while is known by it.
        settled = time.time() - file.stat().st_mtime > 1
        tag, data = _kept(str(file), file.stat().st_mtime_ns) if settled else _content(str(file))
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": tag,
            "Last-Modified": email.utils.formatdate(file.stat().st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if fault.checks and self.headers.get("If-Match", tag) != tag:
            return 412, {"Content-Length": "0"}, nothing
        first, end = self._asked(len(data), fault, headers)
        if first is None:
            return fault.status or 200, _framed(headers, len(data), fault), _flipped(data, 0, fault)
        if first >= end:
            return 416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"}, nothing
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
        return 206, _framed(headers, end - first, fault), _flipped(data[first:end], first, fault)

    def _asked(self, size: int, fault: Fault, headers: Mapping[str, str]) -> tuple[int | None, int]:
        """The range [first, end) that is asked for; None for all of it."""
        said = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        stale = fault.checks and self.headers.get("If-Range") not in (None, headers["ETag"], headers["Last-Modified"])
        if not said or said[0] == "bytes=-" or stale or not fault.ranges or self.command == "HEAD":
            return None, size
        if not said[1]:
            return max(0, size - int(said[2])), size
        return int(said[1]), min(size, int(said[2]) + 1 if said[2] else size)

    def _send(self, body: memoryview, fault: Fault, request: Request) -> None:
        chunked = fault.length == "chunked"
        end = len(body) if fault.cut is None else min(fault.cut, len(body))
        while request.sent < end or fault.endless:
            start = request.sent % max(1, len(body))
            piece = body[start : start + fault.piece]
            if fault.cut is not None:
                piece = piece[: end - request.sent]
            if self.server.about.closing.is_set() or not piece:
                break
            self.server.about.wait_for_the_link(len(piece))
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            request.sent += len(piece)
            if fault.pause:
                self.wfile.flush()
                self.server.about.closing.wait(fault.pause)
        if chunked and end == len(body):
            self.wfile.write(b"0\r\n\r\n")

    def _end(self, fault: Fault) -> None:
        if fault.stall:
            self.server.about.closing.wait(60)
        if fault.reset:
            time.sleep(0.02)  # else the reset overtakes what was sent
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault.hang_up or fault.cut is not None or fault.length == "none":
            self.close_connection = True


def _framed(headers: dict[str, str], length: int, fault: Fault) -> dict[str, str]:
    if fault.length == "chunked":
        return {**headers, "Transfer-Encoding": "chunked"}
    return headers if fault.length == "none" else {**headers, "Content-Length": str(length)}


def _flipped(data: memoryview, first: int, fault: Fault) -> memoryview:
    if fault.flip is None or not 0 <= fault.flip - first < len(data):
        return data
    other = bytearray(data)
    other[fault.flip - first] ^= 255
    return memoryview(other)


@functools.lru_cache(64)
def _kept(path: str, changed: int) -> tuple[str, memoryview]:
    return _content(path)


def _content(path: str) -> tuple[str, memoryview]:
    """(strong ETag, bytes) of a file."""
    data = Path(path).read_bytes()
    return f'"{xxhash.xxh3_64_hexdigest(data)}"', memoryview(data)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the files of a folder on the loopback, over a slow link.")
    parser.add_argument("folder")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second over all connections; 0: no limit")
    given = parser.parse_args()
    with serve(given.folder, latency=given.latency, rate=given.rate) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
