"""Everything else by fsspec: memory, and the hub of Hugging Face as its own client sees it."""

import json
import os
import random
import subprocess
import sys
import traceback

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.servers import Hub, serving
from vdata.errors import AccessError, ChangedError, MissingFileError, MissingPackageError, RemoteError
from vdata.remote import anything
from vdata.remote.engine import engine_of
from vdata.remote.patience import Patience

DATA = random.Random(3).randbytes(100_003)


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(anything, "PATIENCE", Patience(attempts=3, sleep=lambda seconds: None))
    anything._seen.clear()
    yield
    MemoryFileSystem.store.clear()


def test_memory_keeps_the_promises(tmp_path, monkeypatch):
    monkeypatch.setattr(anything, "FRESH", 0.0)
    engine = engine_of("memory://set/a.tar")
    assert engine is anything
    engine.write("memory://set/a.tar", DATA)
    pin = engine.stat("memory://set/a.tar")
    for start, length in ((0, 10), (5, 0), (len(DATA) - 3, 10), (len(DATA), 1), (len(DATA) + 9, 5), (77, 50_000)):
        assert engine.read("memory://set/a.tar", start, length, pin) == (DATA[start : start + length], pin)
    (tmp_path / "b").write_bytes(b"bb")
    engine.put("memory://set/deep/b.tar", str(tmp_path / "b"))
    assert engine.listing("memory://set/*") == ["memory://set/a.tar"]
    assert engine.listing("memory://set/**/*.tar") == ["memory://set/a.tar", "memory://set/deep/b.tar"]
    assert engine.listing("memory://no/*.tar") == []
    assert engine.read_all("memory://set/deep/b.tar", 2) == b"bb"
    with pytest.raises(RemoteError, match="larger than 1 bytes"):
        engine.read_all("memory://set/deep/b.tar", 1)
    engine.write("memory://set/a.tar", DATA[::-1])
    with pytest.raises(ChangedError):
        engine.read("memory://set/a.tar", 0, 10, pin)
    engine.remove("memory://set/a.tar")
    engine.remove("memory://set/a.tar")
    for gone in ("memory://set/a.tar", "memory://set/deep"):  # a folder is no object
        with pytest.raises(MissingFileError, match=gone):
            engine.read(gone, 0, 1)


class Shaky(MemoryFileSystem):
    """A file system that fails, and sends too little, before it works."""

    protocol = "hf"  # a scheme that vdata opens
    left: list = []

    def cat_file(self, path, start=None, end=None, **named):
        if self.left:
            trouble = self.left.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return super().cat_file(path, start, end)[:trouble]
        return super().cat_file(path, start, end)


class Strange(Exception):
    status = 0


def strange(status):
    error = Strange("https://me:canary@host/x?X-Amz-Signature=canary")
    error.status = status
    return error


@pytest.mark.parametrize(
    "troubles, kind, words",
    [
        ([OSError("canary"), TimeoutError()], None, ""),
        ([3, 0], None, ""),
        ([strange(503), strange(429)], None, ""),
        ([OSError("canary")] * 9, RemoteError, r"cannot read: OSError \(3 attempts"),
        ([3] * 9, RemoteError, "3 bytes came where 10 were asked for"),
        ([strange(503)] * 9, RemoteError, r"Strange \(503\) \(3 attempts"),
        ([strange(403)], AccessError, "refuses to read"),
        ([PermissionError("canary")], AccessError, "refuses to read"),
        ([strange(404)], MissingFileError, "no such object"),
        ([strange(400)], RemoteError, r"Strange \(400\)"),
        ([ValueError("canary")], RemoteError, "cannot read: ValueError"),
    ],
    ids=str,
)
def test_troubles(monkeypatch, troubles, kind, words):
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **named: (Shaky(), "/data"))
    monkeypatch.setattr(Shaky, "left", list(troubles))
    MemoryFileSystem().pipe_file("/data", DATA)
    if kind is None:
        assert anything.read("hf://data", 5, 10)[0] == DATA[5:15]
        return
    with pytest.raises(RemoteError, match=words) as caught:
        anything.read("hf://data", 5, 10)
    assert type(caught.value) is kind
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_an_absent_package_is_named(monkeypatch):
    def absent(url, **named):
        raise ImportError("Install gcsfs to access Google")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(MissingPackageError, match=r"Install gcsfs.*pip install 'vdata-vision\[gcs\]'"):
        anything.stat("gs://bucket/a")


HF = """
import json, sys, traceback
from vdata.errors import VdataError
from vdata.remote import anything
from vdata.remote.patience import Patience
anything.PATIENCE = Patience(attempts=2, sleep=lambda seconds: None)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        result = getattr(anything, name)(*arguments)
        said = result[0].hex() if name == "read" else result.hex() if name == "read_all" else result
    except VdataError as error:
        said = f"{type(error).__name__}: {error}"
        assert "canary" not in "".join(traceback.format_exception(error))
    print(json.dumps(said), flush=True)
"""


def test_the_hub(tmp_path):
    files = {f"train/{number}.tar": DATA + bytes([number]) for number in range(3)} | {"README.md": b"# photos"}
    repositories = {"me/photos": files, "me/gated": dict(files), "me/private": dict(files)}
    with serving(Hub(repositories, gated=frozenset({"me/gated"}), private=frozenset({"me/private"}))) as hub:
        for token in ("", hub.token):
            names = ("PATH", "HOME", "LANG", "PYTHONPATH")
            environment = {name: os.environ[name] for name in names if name in os.environ}
            environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.port}", "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
            environment |= {"HF_TOKEN": token} if token else {}
            url = "hf://datasets/me/photos"
            calls = {
                ("listing", f"{url}/train/*.tar"): [f"{url}/train/{number}.tar" for number in range(3)],
                ("read", f"{url}/train/1.tar", 100_000, 50): (DATA + b"\1")[100_000:].hex(),
                ("read", f"{url}/train/2.tar", 10, 20): DATA[10:30].hex(),
                ("read_all", f"{url}/README.md", 10): b"# photos".hex(),
                ("read", f"{url}/train/9.tar", 0, 1): "MissingFileError: no such object",
                ("listing", f"{url}/test/*.tar"): [],
                ("listing", "hf://datasets/me/none/*.tar"): "MissingFileError: no such repository, or a private one",
                ("read", "hf://datasets/me/none/a.tar", 0, 1): "MissingFileError: no such repository, or a private one",
                ("read", "hf://datasets/me/gated/train/1.tar", 1, 9): DATA[1:10].hex() if token else "AccessError: the repository is gated",
                ("read", "hf://datasets/me/private/train/1.tar", 1, 9): DATA[1:10].hex() if token else "MissingFileError: no such repository",
            }
            done = subprocess.run(
                [sys.executable, "-c", HF], input="\n".join(map(json.dumps, calls)), env=environment, capture_output=True, text=True, timeout=60
            )
            said = [json.loads(line) for line in done.stdout.splitlines()]
            assert len(said) == len(calls), done.stderr[-2000:]
            for (call, expected), found in zip(calls.items(), said, strict=True):
                assert found == expected or (isinstance(expected, str) and "Error: " in expected and found.startswith(expected)), (call, found)
            if not token:
                assert all("HF_TOKEN" in text and "hf auth login" in text for text in said[6:])
        assert 0 < hub.sent < 500  # ranges, and nothing read ahead
