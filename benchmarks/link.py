"""A distant file server on this machine: `python benchmarks/link.py FOLDER --latency 0.05 --rate 100e6` prints its port, and serves until it is ended.

Every answer waits `latency` seconds, and all connections share one link of `rate` bytes a second. Bytes go from file to socket in the
kernel, since whoever reads them shares the cores with this server.
"""

from __future__ import annotations

import argparse
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PIECE = 1 << 18  # bytes that one connection sends before the next has its turn


class Link:
    def __init__(self, folder: Path, latency: float, rate: float):
        self.folder, self.latency, self.rate = folder.resolve(), latency, rate
        self._guard, self._free = threading.Lock(), 0.0

    def wait(self, count: int) -> None:
        """Until the link has carried so many bytes more."""
        with self._guard:
            self._free = max(self._free, time.monotonic()) + count / self.rate
            until = self._free
        time.sleep(max(0.0, until - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    link: Link

    def do_GET(self) -> None:
        time.sleep(self.link.latency)
        path = (self.link.folder / self.path.split("?")[0].lstrip("/")).resolve()
        if not path.is_relative_to(self.link.folder) or not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        facts = path.stat()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(asked[1]), min(facts.st_size, int(asked[2] or facts.st_size) + 1)) if asked else (0, facts.st_size)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{facts.st_size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"')
        self.send_header("Last-Modified", self.date_time_string(facts.st_mtime))
        self.end_headers()
        if self.command == "GET":
            with open(path, "rb") as file:
                while start < end:
                    count = min(_PIECE, end - start)
                    self.link.wait(count)
                    start += os.sendfile(self.connection.fileno(), file.fileno(), start, count)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what is measured is the reader."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=100e6)
    given = parser.parse_args()
    handler = type("Handler", (_Handler,), {"link": Link(given.folder, given.latency, given.rate)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
