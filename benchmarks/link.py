"""A distant file server on this machine: `python benchmarks/link.py FOLDER --latency 0.05 --rate 100e6` prints its port, and serves until it is ended.

Every answer waits `latency` seconds, and all connections share one link of `rate` bytes a second. A distant server would cost its reader
nothing, and this one shares the reader's cores: bytes go from file to socket in the kernel, and of HTTP it knows what ranges need.
"""

from __future__ import annotations

import argparse
import os
import re
import threading
import time
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

_PIECE = 1 << 19  # bytes that one connection sends before the next has its turn
_REQUEST = re.compile(r"(GET|HEAD) /([^ ?]*)\S* HTTP/1\.1\r\n")
_RANGE = re.compile(r"(?i)\nrange: *bytes=(\d+)-(\d*)\r\n")
_CLOSE = re.compile(r"(?i)\nconnection: *close\r\n")


class Link:
    def __init__(self, folder: Path, latency: float, rate: float):
        self.folder, self.latency, self.rate = folder.resolve(), latency, rate
        self.opened = lru_cache(None)(self._opened)
        self._guard, self._free = threading.Lock(), 0.0

    def _opened(self, name: str) -> tuple[int, int, str]:
        """(descriptor, bytes, header fields) of a file; its descriptor is kept until the server ends."""
        path = (self.folder / name).resolve(strict=True)
        if not path.is_relative_to(self.folder) or not path.is_file():
            raise FileNotFoundError(name)
        facts = path.stat()
        changed = formatdate(facts.st_mtime, usegmt=True)
        fields = f'Accept-Ranges: bytes\r\nETag: "{facts.st_mtime_ns:x}-{facts.st_size:x}"\r\nLast-Modified: {changed}\r\n'
        return os.open(path, os.O_RDONLY), facts.st_size, fields

    def wait(self, count: int) -> None:
        """Until the link has carried so many bytes more."""
        with self._guard:
            self._free = max(self._free, time.monotonic()) + count / self.rate
            until = self._free
        time.sleep(max(0.0, until - time.monotonic()))


class _Handler(StreamRequestHandler):
    disable_nagle_algorithm = True
    link: Link

    def handle(self) -> None:
        while request := self._request():
            asked = _REQUEST.match(request)
            if not asked:
                return
            time.sleep(self.link.latency)
            self._answer(asked[1], asked[2], _RANGE.search(request))
            if _CLOSE.search(request):
                return

    def _request(self) -> str:
        lines = []
        while (line := self.rfile.readline(1 << 16)) and line != b"\r\n":
            lines.append(line)
        return b"".join(lines).decode("latin-1")

    def _answer(self, method: str, name: str, asked: re.Match[str] | None) -> None:
        try:
            file, size, fields = self.link.opened(name)
        except OSError:
            self.connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        start, end = (int(asked[1]), min(size, int(asked[2] or size) + 1)) if asked else (0, size)
        status = f"206 Partial Content\r\nContent-Range: bytes {start}-{end - 1}/{size}" if asked else "200 OK"
        head = f"HTTP/1.1 {status}\r\n{fields}Content-Length: {end - start}\r\n\r\n".encode()
        self.connection.sendall(head)
        while method == "GET" and start < end:
            count = min(_PIECE, end - start)
            self.link.wait(count)
            start += os.sendfile(self.connection.fileno(), file, start, count)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=100e6)
    given = parser.parse_args()
    handler = type("Handler", (_Handler,), {"link": Link(given.folder, given.latency, given.rate)})
    with _Server(("127.0.0.1", 0), handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
