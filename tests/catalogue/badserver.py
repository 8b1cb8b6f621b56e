"""A file server on the loopback that does wrong what servers and networks do wrong, in the order that a test says.

    with serve(folder, {"a.zip": [Fault(cut=100), Fault(status=503)]}) as server:
        get(server.url("a.zip"))
        server.log[0].sent

The faults of a file are used up, one a request; then it is served as it should be: with a strong ETag,
Last-Modified, Range, If-Match and If-Range. `Fault(..., times=n)` stands for n of them. Files are read from disk at
each request, so a test changes one by writing it.
"""

from __future__ import annotations

import email.utils
import hashlib
import http.server
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ALWAYS = 1 << 30


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request (or with `times` of them).

    status, headers, body   another answer; a header of None is left out
    ranges                  False: Range is not understood
    checks                  False: If-Match and If-Range are not understood
    cut, reset              the connection ends after so many bytes of the body: with FIN, or with RST
    piece, pause            the body comes in pieces of so many bytes, with so many seconds after each
    wait                    seconds before the answer begins
    length                  "chunked", or "none": the end of the connection is the end of the body
    endless                 the body is repeated for ever (with `length`)
    raw                     instead of an answer: bytes sent once, then bytes sent for ever (with `piece` and `pause`)
    """

    status: int = 0
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    ranges: bool = True
    checks: bool = True
    cut: int | None = None
    reset: bool = False
    piece: int = 1 << 16
    pause: float = 0.0
    wait: float = 0.0
    length: str = ""
    endless: bool = False
    raw: tuple[bytes, bytes] | None = None
    times: int = 1


@dataclass
class Request:
    """What came, what was answered, how much of a body was sent, and when."""

    path: str
    headers: dict[str, str]
    at: float
    status: int = 0
    sent: int = 0

    @property
    def range(self) -> str:
        return self.headers.get("Range", "")


class Server:
    """What a test sees of it."""

    def __init__(self, folder: Path, faults: Mapping[str, Fault | Sequence[Fault]]):
        self.folder, self.log = folder, list[Request]()
        self.port, self.closing = 0, threading.Event()
        self._lock = threading.Lock()
        self._faults: dict[str, list[Fault]] = {}
        for path, given in faults.items():
            self.fault(path, *([given] if isinstance(given, Fault) else given))

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def fault(self, path: str, *faults: Fault) -> None:
        """From now on these, before any that are left."""
        with self._lock:
            self._faults[path] = [*faults, *self._faults.get(path, [])]

    def of(self, path: str) -> list[Request]:
        """The requests for one file."""
        return [r for r in self.log if r.path == path]

    def sent(self, path: str) -> int:
        return sum(r.sent for r in self.of(path))

    def next_fault(self, path: str) -> Fault:
        with self._lock:
            left = self._faults.get(path, [])
            if not left:
                return Fault()
            fault = left[0]
            left[:1] = [Fault(**{**vars(fault), "times": fault.times - 1})] if fault.times > 1 else []
            return fault


@contextmanager
def serve(folder: Path, faults: Mapping[str, Fault | Sequence[Fault]] | None = None) -> Iterator[Server]:
    """Serve the files of a folder, until the block ends."""
    server = Server(Path(folder), faults or {})
    http_server = _Http(("127.0.0.1", 0), _Handler)
    http_server.about = server
    server.port = http_server.server_port
    thread = threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http_server.shutdown()
        http_server.server_close()
        thread.join(10)


class _Http(http.server.ThreadingHTTPServer):
    about: Server

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # no FIN before an RST

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        about = self.server.about
        path = unquote(urlsplit(self.path).path).lstrip("/")
        request = Request(path, dict(self.headers.items()), time.monotonic())
        about.log.append(request)
        fault = about.next_fault(path)
        about.closing.wait(fault.wait)
        self.close_connection = True
        if fault.raw:
            return self._repeat(*fault.raw, fault)
        status, headers, body = self._answer(about.folder / path, fault)
        request.status = fault.status or status
        self.send_response(request.status)
        for name, value in {**headers, "Connection": "close", **fault.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self._send(body, fault, request)

    def _repeat(self, once: bytes, again: bytes, fault: Fault) -> None:
        self.wfile.write(once)
        while not self.server.about.closing.is_set():
            for start in range(0, len(again), fault.piece):
                self.wfile.write(again[start : start + fault.piece])
                self.server.about.closing.wait(fault.pause)

    def _answer(self, file: Path, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        if fault.body is None and (fault.status not in (0, 200, 206) or not file.is_file()):
            return 404, {"Content-Length": "0"}, b""
        data = file.read_bytes() if fault.body is None else fault.body
        headers = {"Content-Type": "application/octet-stream"}
        if fault.body is None:
            headers["ETag"] = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            headers["Last-Modified"] = email.utils.formatdate(file.stat().st_mtime, usegmt=True)
        status, first = 200, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if fault.checks and self.headers.get("If-Match", headers.get("ETag")) != headers.get("ETag"):
            return 412, {"Content-Length": "0"}, b""
        if fault.checks and self.headers.get("If-Range", "") not in (
            "",
            headers.get("ETag"),
            headers.get("Last-Modified"),
        ):
            asked = None
        if asked and fault.ranges and fault.body is None:
            first = int(asked[1])
            if first >= len(data):
                return 416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"}, b""
            status = 206
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        if fault.length == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        elif not fault.length:
            headers["Content-Length"] = str(len(data) - first)
        return status, headers, data[first:]

    def _send(self, body: bytes, fault: Fault, request: Request) -> None:
        chunked = fault.length == "chunked"
        end = len(body) if fault.cut is None else min(fault.cut, len(body))
        while request.sent < end or fault.endless:
            start = request.sent % max(1, len(body))
            piece = body[start : start + fault.piece]
            if fault.cut is not None:
                piece = piece[: end - request.sent]
            if self.server.about.closing.is_set() or not piece:
                break
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            request.sent += len(piece)
            if fault.pause:
                self.server.about.closing.wait(fault.pause)
        if fault.reset:
            time.sleep(0.02)  # else the reset overtakes what was sent
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif chunked and end == len(body):
            self.wfile.write(b"0\r\n\r\n")
