"""The benchmarks' distant server: whole files and ranges as they are, after its latency, at its rate."""

import http.client
import subprocess
import sys
import time
from pathlib import Path

import pytest

LINK = Path(__file__).parents[1] / "benchmarks" / "link.py"
DATA = bytes(range(256)) * 8000


@pytest.fixture
def ask(tmp_path):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "a.tar").write_bytes(DATA)
    (tmp_path / "hidden").write_bytes(DATA)
    command = [sys.executable, str(LINK), str(tmp_path / "shown"), "--latency", "0.05", "--rate", "20e6"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.stdout.readline()), timeout=30)

        def ask(method, path, **fields):
            connection.request(method, path, headers=fields)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

        yield ask
        connection.close()
        server.kill()


def test_files_and_ranges_on_one_connection(ask):
    assert ask("GET", "/a.tar?signed=1")[:2] == (200, DATA)
    status, part, fields = ask("GET", "/a.tar", Range="bytes=5-99")
    assert (status, part, fields["Content-Range"]) == (206, DATA[5:100], f"bytes 5-99/{len(DATA)}")
    assert ask("GET", "/a.tar", Range=f"bytes={len(DATA) - 3}-")[1] == DATA[-3:]
    status, nothing, said = ask("HEAD", "/a.tar")
    assert (status, nothing, said["Content-Length"], said["ETag"]) == (200, b"", str(len(DATA)), fields["ETag"])


@pytest.mark.parametrize("path", ["/none.tar", "/../hidden", "/"])
def test_nothing_else_is_shown(ask, path):
    assert ask("GET", path)[:2] == (404, b"")


def test_it_is_far_and_slow(ask):
    began = time.monotonic()
    ask("HEAD", "/a.tar")
    near = time.monotonic()
    ask("GET", "/a.tar")
    assert near - began >= 0.05 and time.monotonic() - near >= 0.05 + len(DATA) / 20e6
