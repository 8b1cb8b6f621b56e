"""Downloads against servers and networks that do wrong: the file is right, or an error says why and what to do."""

import email.utils
import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faultserver import ALWAYS, Fault, serve
from vdata.card import Archive
from vdata.errors import ChecksumError, DataError, PlanError
from vdata.fetching import Patience, download, verify
from vdata.fetching import fetch as fetch_module
from vdata.fetching.origin import parsed, recorded

ROOT = Path(__file__).parents[2]
OBJECT = b"".join(i.to_bytes(4, "big") for i in range(50_000))  # no two places alike
OTHER = bytes(reversed(OBJECT))
SIZE = len(OBJECT)
PAGE = b"<!DOCTYPE html>\n<html><title>Please log in</title></html>" * 20
QUICK = Patience(sleep=lambda seconds: None)  # tries again at once
HURRIED = Patience(sleep=lambda seconds: None, timeout=0.3, window=0.3, slowest=10_000)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def archive(*urls, name="a.zip", data=OBJECT, size=True, digest=True, **more):
    """The card's entry of a file of this content."""
    return Archive(
        name,
        urls[0] if urls else "",
        mirrors=urls[1:],
        bytes=len(data) if size else 0,
        sha256=sha(data) if digest else "",
        **more,
    )


@pytest.fixture
def served(tmp_path):
    """A folder with the object, last changed long ago."""
    folder = tmp_path / "served"
    folder.mkdir()
    put(folder / "a.zip", OBJECT)
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def put(path, data, age=3600.0):
    path.write_bytes(data)
    then = time.time() - age
    os.utime(path, (then, then))


def names(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


@contextmanager
def with_part(served, root, written=100_000, name="a.zip", **faults):
    """A server, and a download of it that an earlier process left after `written` bytes."""
    with serve(served) as server:
        server.fault(name, Fault(cut=written, **faults))
        stingy = QUICK._replace(attempts=1)
        with pytest.raises(DataError, match=f"cut at byte {written} of {SIZE} .attempt 1 of 1."):
            download([archive(server.url(name), name=name)], root, patience=stingy)
        server.log.clear()
        yield server


# -- what should be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize("length", ["", "chunked"])
def test_a_file_comes_whole_under_its_name_and_nothing_else(served, root, size, digest, length):
    with serve(served, {"a.zip": Fault(length=length)}) as server:
        paths = download([archive(server.url("a.zip"), size=size, digest=digest)], root)
    assert paths == [root / "a.zip"]
    assert paths[0].read_bytes() == OBJECT
    assert names(root) == ["a.zip"]
    assert [r.status for r in server.log] == [200]


def test_md5_is_used_where_no_sha256_is_known(served, root):
    with serve(served) as server:
        good = Archive("a.zip", server.url("a.zip"), md5=hashlib.md5(OBJECT).hexdigest().upper())
        assert download([good], root)[0].read_bytes() == OBJECT
        bad = Archive("a.zip", server.url("a.zip"), md5=hashlib.md5(OTHER).hexdigest())
        with pytest.raises(ChecksumError, match="their md5 is"):
            download([bad], root / "b", patience=QUICK)


def test_what_is_there_is_kept_and_not_fetched(served, root):
    with serve(served) as server:
        both = [archive(server.url("a.zip")), archive(server.url("a.zip"), name="deep/er/b.zip", digest=False)]
        first = download(both, root)
        assert len(server.log) == 2
        assert download(both, root) == first == [root / "a.zip", root / "deep/er/b.zip"]
        assert len(server.log) == 2


@pytest.mark.parametrize(
    "present, digest, error, words",
    [
        (OTHER, True, ChecksumError, f"sha256 is {sha(OTHER)}, and should be {sha(OBJECT)}"),
        (OBJECT[:-1], True, DataError, f"has {SIZE - 1} bytes, and should have {SIZE}"),
        (OBJECT[:-1], False, DataError, f"has {SIZE - 1} bytes, and should have {SIZE}"),
        (b"", False, DataError, "has 0 bytes"),
    ],
)
def test_a_wrong_file_that_is_there_is_never_overwritten(served, root, present, digest, error, words):
    root.mkdir()
    (root / "a.zip").write_bytes(present)
    with serve(served) as server:
        with pytest.raises(error, match=words) as caught:
            download([archive(server.url("a.zip"), digest=digest)], root)
        assert "move it away and download it again" in str(caught.value)
        assert str(root / "a.zip") in str(caught.value)
        assert not server.log
    assert (root / "a.zip").read_bytes() == present


def test_verify(tmp_path):
    path = tmp_path / "a.zip"
    with pytest.raises(DataError, match="is not there"):
        verify(archive(), path)
    path.write_bytes(OBJECT)
    verify(archive(), path)
    verify(archive(size=False, digest=False), path)
    with pytest.raises(ChecksumError, match="holds other bytes"):
        verify(archive(data=OTHER), path)
    path.write_bytes(PAGE)
    with pytest.raises(DataError, match="is a web page instead of the file"):
        verify(archive(size=False, digest=False), path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        verify(archive(size=False, digest=False), path)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(DataError, match="cannot read"):
        verify(archive(size=False, digest=False), path)


def test_a_dangling_link_under_the_name_is_not_overwritten(served, root):
    root.mkdir()
    (root / "a.zip").symlink_to(root / "elsewhere")
    with (
        serve(served) as server,
        pytest.raises(DataError, match=r"is a symbolic link to .*elsewhere, and nothing is") as e,
    ):
        download([archive(server.url("a.zip"))], root)
    assert "bring back what it leads to, or remove the link and download the file again" in str(e.value)
    assert (root / "a.zip").is_symlink()
    (root / "elsewhere").write_bytes(OBJECT)
    assert download([archive("http://127.0.0.1:9/a.zip")], root)[0].read_bytes() == OBJECT


def test_quiet_where_the_output_is_no_terminal(served, root, capfd):
    with serve(served) as server:
        download([archive(server.url("a.zip"))], root)
        download([archive(server.url("a.zip"))], root)
    assert capfd.readouterr() == ("", "")


def test_one_bar_counts_bytes(served, root, capfd):
    with serve(served, {"a.zip": Fault(cut=100_000)}) as server:
        two = [archive(server.url("a.zip")), archive(server.url("a.zip"), name="b.zip", size=False)]
        download(two, root, quiet=False, patience=QUICK)
        shown = capfd.readouterr().err
        assert "download 2 files: 100%" in shown
        assert "400k/400k" in shown
        assert "B/s" in shown
        download(two, root, quiet=False)
        assert "check what is there: 100%" in capfd.readouterr().err


# -- connections that break --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("length", ["", "chunked"])
@pytest.mark.parametrize("cut", [0, 1, 511, 512, 65_536, SIZE - 1])
def test_it_goes_on_where_the_connection_broke(served, root, cut, reset, length):
    with serve(served, {"a.zip": Fault(cut=cut, reset=reset, length=length)}) as server:
        path = download([archive(server.url("a.zip"), digest=False)], root, patience=QUICK)[0]
    assert path.read_bytes() == OBJECT
    first, second = server.log
    assert second.range == (f"bytes={cut}-" if cut else "") or reset  # a reset may overtake bytes
    assert server.sent("a.zip") <= SIZE + (cut if reset else 0)
    assert first.sent == cut


@settings(max_examples=12)
@given(cuts=st.lists(st.integers(0, SIZE), min_size=1, max_size=4), resets=st.booleans())
def test_any_cuts_give_the_same_bytes(tmp_path_factory, cuts, resets):
    folder, root = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("root")
    put(folder / "a.zip", OBJECT)
    with serve(folder, {"a.zip": [Fault(cut=c, reset=resets) for c in cuts]}) as server:
        path = download([archive(server.url("a.zip"), digest=False)], root, patience=QUICK)[0]
    assert path.read_bytes() == OBJECT
    assert resets or server.sent("a.zip") == SIZE
    assert names(root) == ["a.zip"]


def test_progress_buys_new_tries(served, root):
    cuts = [Fault(cut=20_000, times=9)]
    with serve(served, {"a.zip": cuts}) as server:
        path = download([archive(server.url("a.zip"))], root, patience=QUICK._replace(slowest=100, window=100))[0]
        assert path.read_bytes() == OBJECT
        assert len(server.log) == 10
        server.fault("a.zip", *cuts)
        with pytest.raises(DataError, match=r"cut at byte 100000 of 200000 .attempt 5 of 5."):
            download([archive(server.url("a.zip"))], root / "b", patience=QUICK._replace(slowest=1001, window=100))


def test_the_same_bytes_again_are_no_progress(served, root):
    with serve(served, {"a.zip": Fault(ranges=False, cut=150_000, times=ALWAYS)}) as server:
        with pytest.raises(DataError, match="cut at byte 150000 of 200000"):
            download([archive(server.url("a.zip"))], root, patience=QUICK)
        assert len(server.log) == 5


def test_a_server_that_does_not_answer_is_left_and_tried_again(served, root):
    with serve(served, {"a.zip": [Fault(wait=1.5), Fault(cut=1000, length="none", pause=1.5, piece=100)]}) as server:
        began = time.monotonic()
        assert download([archive(server.url("a.zip"))], root, patience=HURRIED)[0].read_bytes() == OBJECT
    assert time.monotonic() - began < 3
    assert len(server.log) == 3


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
LAST = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
NEVER = {
    "continue": Fault(raw=(b"", CONTINUE), times=ALWAYS),
    "continue slowly": Fault(raw=(b"", CONTINUE), pause=0.05, times=ALWAYS),
    "a header": Fault(raw=(OK, b"X: " + b"x" * 60_000), piece=1, pause=0.05, times=ALWAYS),
    "a chunk": Fault(
        raw=(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 60_000), piece=1, pause=0.05, times=ALWAYS
    ),
    "a trailer": Fault(raw=(LAST, b"X: y\r\n"), pause=0.05, times=ALWAYS),
    "a redirect": Fault(status=302, headers={"Location": "/a.zip"}, wait=0.2, times=ALWAYS),
}


@pytest.mark.parametrize("never", NEVER.values(), ids=NEVER)
def test_what_goes_on_without_end_is_left(served, root, never):
    with serve(served, {"a.zip": never}) as server, serve(served) as other:
        began = time.monotonic()
        with pytest.raises(DataError, match=r"timed out\) .attempt 2 of 2."):
            download([archive(server.url("a.zip"))], root, patience=HURRIED._replace(timeout=0.4, attempts=2))
        assert time.monotonic() - began < 2
        both = archive(server.url("a.zip"), other.url("a.zip"))
        assert download([both], root, patience=HURRIED._replace(attempts=1))[0].read_bytes() == OBJECT
    assert not [t for t in threading.enumerate() if t.name.startswith("vdata-download")]


@pytest.mark.parametrize("never", NEVER.values(), ids=NEVER)
def test_the_word_to_stop_reaches_a_server_that_never_answers(served, root, never):
    with serve(served, {"a.zip": never, "late.zip": Fault(status=404, wait=0.3)}) as server:
        began = time.monotonic()
        with pytest.raises(DataError, match=r"cannot download late.zip"):
            download([archive(server.url(n), name=n) for n in ("a.zip", "late.zip")], root)
        assert time.monotonic() - began < 2
    assert not [t for t in threading.enumerate() if t.name.startswith("vdata-download")]


def test_a_handshake_without_end_is_left(root):
    def drip():
        with suppress(OSError):
            while True:
                line = listener.accept()[0]
                with line, suppress(OSError):
                    line.sendall(b"\x16\x03\x03\x40\x00")
                    while not line.send(b"x") or not over.wait(0.05):
                        pass

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        server = threading.Thread(target=drip)
        server.start()
        began = time.monotonic()
        with pytest.raises(DataError, match=r"no answer .timed out. .attempt 2 of 2."):
            url = f"https://127.0.0.1:{listener.getsockname()[1]}/a.zip"
            download([archive(url)], root, patience=HURRIED._replace(attempts=2))
        assert time.monotonic() - began < 2
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        server.join(10)


def test_a_port_where_nobody_listens(root):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/a.zip"
        with pytest.raises(DataError, match=r"no answer .Connection refused. .attempt 5 of 5."):
            download([archive(url)], root, patience=QUICK)


def test_a_drip_is_given_up_and_continued_elsewhere(served, root):
    with serve(served, {"a.zip": Fault(piece=10, pause=0.02, times=ALWAYS)}) as slow, serve(served) as fast:
        path = download([archive(slow.url("a.zip"), fast.url("a.zip"))], root, patience=HURRIED._replace(attempts=2))[0]
    assert path.read_bytes() == OBJECT
    assert len(slow.log) == 2
    assert [r.range for r in fast.log] == [""]  # its bytes may be others


def test_a_slow_but_steady_server_is_not_given_up(served, root):
    steady = Fault(piece=20_000, pause=0.1)  # for a second: three windows
    with serve(served, {"a.zip": steady}) as server:
        download([archive(server.url("a.zip"))], root, patience=HURRIED)
    assert len(server.log) == 1


# -- answers that ask for patience, and answers that are final ---------------------------------------------------------


class Sleeps(list):
    """A sleep that only notes how long it should have been, and the clock that goes with it."""

    def __call__(self, seconds):
        self.append(seconds)

    def clock(self):
        return time.monotonic() + sum(self)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_busy_servers_are_tried_again_with_growing_random_pauses(served, root, status):
    sleeps = Sleeps()
    with serve(served, {"a.zip": Fault(status=status, times=4)}) as server:
        path = download([archive(server.url("a.zip"))], root, patience=Patience(sleep=sleeps, clock=sleeps.clock))[0]
    assert path.read_bytes() == OBJECT
    assert len(server.log) == 5
    assert len(sleeps) == 4
    assert len(set(sleeps)) == 4
    assert all(0 <= s <= 2**n for n, s in enumerate(sleeps))


@pytest.mark.parametrize(
    "said, least, most",
    [
        ("7", 7, 7),
        ("date", 118, 120),
        ("5000", 300, 300),
        ("-3", 0, 1),
        ("soon", 0, 1),
        (f"Mon, 01 Jan {'9' * 30} 00:00:00 GMT", 0, 1),
    ],
)
def test_retry_after(served, root, said, least, most):
    if said == "date":
        said = email.utils.formatdate(time.time() + 120, usegmt=True)
    sleeps = Sleeps()
    with serve(served, {"a.zip": Fault(status=429, headers={"Retry-After": said})}) as server:
        download([archive(server.url("a.zip"))], root, patience=Patience(sleep=sleeps, clock=sleeps.clock))
    assert len(sleeps) == 1
    assert least <= sleeps[0] <= most


def test_waiting_has_an_end(served, root):
    sleeps = Sleeps()
    busy = Fault(status=503, headers={"Retry-After": "250"}, times=ALWAYS)
    with (
        serve(served, {"a.zip": busy}) as server,
        pytest.raises(DataError, match=r"503 Service Unavailable .attempt 3 of 5."),
    ):
        download([archive(server.url("a.zip"))], root, patience=Patience(sleep=sleeps, clock=sleeps.clock))
    assert sleeps == [250, 250]
    assert names(root) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_refusals_are_final_and_the_next_mirror_is_asked(served, root, status):
    faults = {"a.zip": Fault(status=status, times=ALWAYS)}
    with serve(served, faults) as dead, serve(served) as alive:
        assert download([archive(dead.url("a.zip"), alive.url("a.zip"))], root)[0].read_bytes() == OBJECT
        assert len(dead.log) == len(alive.log) == 1


def test_all_mirrors_dead_names_each_with_its_reason_and_no_secret(served, root):
    with serve(served, {"a.zip": [Fault(status=403), Fault(status=404)]}) as server:
        urls = [
            server.url("a.zip?X-Amz-Signature=TOPSECRET"),
            server.url("a.zip?token=TOPSECRET"),
            "ftp://host/a.zip",
            "file:///etc/hosts",
        ]
        urls.append("http://me:TOPSECRET@127.0.0.1/a.zip")
        with pytest.raises(DataError) as caught:
            download([archive(*urls, manual="ask the authors, https://me:TOPSECRET@host/?sig=TOPSECRET")], root)
    said = str(caught.value)
    assert "a.zip?X-Amz-Signature=***: the server says 403 Forbidden" in said
    assert "a.zip?token=***: the server says 404 Not Found" in said
    assert "ftp://host/a.zip: only http and https are fetched, not ftp" in said
    assert "file:///etc/hosts: only http" in said
    assert "the address holds a password" in said
    assert f"get the file by hand (ask the authors, https://***@host/?sig=***) and put it at {root / 'a.zip'}" in said
    assert "TOPSECRET" not in said
    assert caught.value.__cause__ is None
    assert names(root) == []


def test_no_secret_in_what_is_left_on_disk(served, root):
    with serve(served, {"a.zip": Fault(cut=1000)}) as server:
        signed = archive(server.url("a.zip?X-Amz-Signature=TOPSECRET"))
        with pytest.raises(DataError):
            download([signed], root, patience=QUICK._replace(attempts=1))
        assert "TOPSECRET" not in (root / "a.zip.part.json").read_text()
        again = archive(server.url("a.zip?X-Amz-Signature=ANOTHER"))
        assert download([again], root)[0].read_bytes() == OBJECT
        assert server.log[-1].range == "bytes=1000-"


def test_files_without_an_address_are_named_before_anything_is_fetched(served, root):
    with serve(served) as server:
        wanted = [
            archive(server.url("a.zip")),
            archive(name="b.zip", manual="sign the form at example.org"),
            archive(name="c.zip"),
            archive(name="d.zip", manual="from https://me:TOPSECRET@example.org/d.zip?token=TOPSECRET"),
        ]
        with pytest.raises(DataError, match=r"no server gives b.zip, c.zip, d.zip to a program") as caught:
            download(wanted, root)
        assert f"put b.zip at {root / 'b.zip'} (sign the form at example.org)" in str(caught.value)
        assert f"put c.zip at {root / 'c.zip'}" in str(caught.value)
        assert "(from https://***@example.org/d.zip?token=***)" in str(caught.value)
        assert not server.log


# -- other bytes than those that were wanted ---------------------------------------------------------------------------


def test_wrong_bytes_once(served, root):
    with serve(served, {"a.zip": Fault(body=OTHER)}) as server:
        assert download([archive(server.url("a.zip"))], root)[0].read_bytes() == OBJECT
        assert [r.range for r in server.log] == ["", ""]


def test_wrong_bytes_always_then_another_mirror(served, root):
    with serve(served, {"a.zip": Fault(body=OTHER, times=ALWAYS)}) as wrong, serve(served) as right:
        assert download([archive(wrong.url("a.zip"), right.url("a.zip"))], root)[0].read_bytes() == OBJECT
        assert len(wrong.log) == 2


def test_wrong_bytes_everywhere_never_get_the_name(served, root):
    always = Fault(body=OTHER, times=ALWAYS)
    with serve(served, {"a.zip": always}) as server, pytest.raises(ChecksumError) as caught:
        download([archive(server.url("a.zip"))], root)
    assert f"their sha256 is {sha(OTHER)}, and should be {sha(OBJECT)}" in str(caught.value)
    assert f"put it at {root / 'a.zip'}" in str(caught.value)
    assert names(root) == []


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("said", ["text/html; charset=utf-8", "application/zip"])
def test_a_web_page_is_no_archive(served, root, said, known):
    page = Fault(body=PAGE, headers={"Content-Type": said}, times=ALWAYS)
    with serve(served, {"a.zip": page}) as server, serve(served) as other:
        with pytest.raises(
            DataError, match="a web page instead of the file: the server wants a login, or the link is dead"
        ):
            download([archive(server.url("a.zip"), size=known, digest=known)], root)
        assert len(server.log) == 1
        assert names(root) == []
        assert download([archive(server.url("a.zip"), other.url("a.zip"))], root)[0].read_bytes() == OBJECT


def test_a_web_page_that_drips_is_no_archive_either(served, root):
    page = Fault(body=PAGE[:200], headers={"Content-Type": None}, piece=5, pause=0.002)
    with serve(served, {"a.zip": page}) as server, pytest.raises(DataError, match="a web page instead of the file"):
        download([archive(server.url("a.zip"), size=False, digest=False)], root)


XHTML = b'<?xml version="1.0"?>\n<!-- a -->\n<html xmlns="http://www.w3.org/1999/xhtml"><title>Log in</title></html>'
WRONG = [
    ("a.txt", XHTML, "a web page"),
    ("a.zip", XHTML, "a web page"),
    ("a.zip", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
    ("a.tar.gz", b'{"error": "quota exceeded"}', "JSON"),
    ("a.tgz", b'\xef\xbb\xbf [{"error": 1}]' + b" " * 600, "JSON"),
    ("a.tar", b'{"error": "quota exceeded"}' + b" " * 600, "JSON"),
    ("a.TAR", b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 5\n", "plain text"),
    ("a.bz2", b"Too many requests", "plain text"),
    ("a.xz", b"{}", "JSON"),
    ("a.mat", b"<html>", "a web page"),
    ("a.mat", b"{}", "JSON"),
    ("a.h5", b"<e/>", "XML"),
]


@pytest.mark.parametrize("name, body, what", WRONG)
@pytest.mark.parametrize("length", ["", "chunked"])
def test_a_message_is_no_file(served, root, name, body, what, length):
    with serve(served, {name: Fault(body=body, length=length)}) as server:
        with pytest.raises(DataError, match=f"{what} instead of the file: the server wants a login"):
            download([Archive(name, server.url(name))], root)
        assert names(root) == []
        root.mkdir(exist_ok=True)
        (root / name).write_bytes(body)
        with pytest.raises(DataError, match=f"{name} is {what} instead of the file"):
            download([Archive(name, server.url(name))], root)


@pytest.mark.parametrize(
    "said", ["application/json", "application/problem+json; charset=utf-8", "application/xhtml+xml"]
)
def test_what_the_server_calls_a_message_is_no_table(served, root, said):
    with serve(served, {"a.csv": Fault(body=b"[1, 2]", headers={"Content-Type": said}, times=2)}) as server:
        with pytest.raises(DataError, match=r"(JSON|a web page) instead of the file"):
            download([Archive("a.csv", server.url("a.csv"))], root)
        [kept] = download([Archive("a.csv", server.url("a.csv"), bytes=6)], root)  # the card knows better
        assert kept.read_bytes() == b"[1, 2]"


@pytest.mark.parametrize(
    "name, body",
    [
        ("a.zip", b"PK\x05\x06" + bytes(18)),
        ("a.tar", b"a/name" + bytes(251) + b"ustar" + bytes(250)),
        ("a.tar", b"an/old/tar" + bytes(502)),
        ("a.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + b" " * 600),
        ("a.mat", bytes(4) + b"{}"),
        ("a.json", b'{"images": []}'),
        ("a.xml", b"<annotation/>"),
        ("a.html", PAGE),
        ("a.csv", b"[1] of 2, {x}"),
        ("a", b"<a>"),
    ],
)
def test_what_may_be_a_file_is_taken(served, root, name, body):
    with serve(served, {name: Fault(body=body, piece=3)}) as server:
        assert download([Archive(name, server.url(name))], root)[0].read_bytes() == body


@pytest.mark.parametrize("said", ["gzip", "x-gzip", "br", "deflate, gzip"])
@pytest.mark.parametrize("name", ["a.csv", "a.gz"])
def test_bytes_packed_on_the_way_are_not_the_file(served, root, name, said):
    packed = gzip.compress(OBJECT)
    with serve(served, {name: Fault(body=packed, headers={"Content-Encoding": said}, times=ALWAYS)}) as server:
        with pytest.raises(DataError, match="packs the bytes on the way"):
            download([Archive(name, server.url(name))], root)
        assert names(root) == []
        assert server.log[0].headers["Accept-Encoding"] == "identity"
        if name == "a.gz" and "gzip" in said and "," not in said:  # a server that calls it so, and sends it as it is
            known = archive(server.url(name), name=name, data=packed)
            assert download([known], root)[0].read_bytes() == packed


def test_the_rest_of_packed_bytes_is_no_rest(served, root):
    with with_part(served, root) as server:
        server.fault("a.zip", Fault(headers={"Content-Encoding": "gzip"}))
        with pytest.raises(DataError, match="packs the bytes on the way"):
            download([archive(server.url("a.zip"), digest=False)], root)
        assert download([archive(server.url("a.zip"), digest=False)], root)[0].read_bytes() == OBJECT


def test_an_error_may_be_packed(served, root):
    with with_part(served, root) as server:
        put(served / "a.zip", OTHER, age=60)
        server.fault("a.zip", Fault(status=412, body=gzip.compress(PAGE), headers={"Content-Encoding": "gzip"}))
        path = download([archive(server.url("a.zip"), digest=False)], root, patience=QUICK)[0]
        assert path.read_bytes() == OTHER


def test_a_file_that_is_called_a_page_by_mistake_is_taken(served, root):
    with serve(served, {"a.zip": Fault(headers={"Content-Type": "text/html"})}) as server:
        assert download([archive(server.url("a.zip"), digest=False)], root)[0].read_bytes() == OBJECT


def test_another_length_than_the_card_says(served, root):
    why = f"the server has {SIZE - 1} bytes, the file should have {SIZE}"
    with serve(served, {"a.zip": Fault(body=OBJECT[:-1])}) as server, pytest.raises(DataError, match=why):
        download([archive(server.url("a.zip"))], root)
    assert names(root) == []


@pytest.mark.parametrize("length", ["chunked", "none"])
@pytest.mark.parametrize("known", [True, False])
def test_a_body_without_end_is_left(served, root, length, known, monkeypatch):
    monkeypatch.setattr(fetch_module, "UNSAID", 300_000)
    endless = Fault(endless=True, length=length, times=ALWAYS)
    with serve(served, {"a.zip": endless}) as server:
        with pytest.raises(DataError, match=f"sends more than {SIZE if known else 300_000} bytes"):
            download([archive(server.url("a.zip"), size=known)], root, patience=QUICK)
        assert names(root) == []


def test_where_nobody_says_the_length_a_cut_could_not_be_seen(served, root):
    with serve(served, {"a.zip": Fault(length="none", times=3)}) as server:
        with pytest.raises(DataError, match="nobody says how long the file is"):
            download([archive(server.url("a.zip"), size=False, digest=False)], root)
        for size, digest in ((True, False), (False, True)):
            path = download([archive(server.url("a.zip"), size=size, digest=digest)], root / str(size))[0]
            assert path.read_bytes() == OBJECT


def test_an_empty_file(served, root):
    put(served / "empty.zip", b"")
    with serve(served) as server, pytest.raises(DataError, match="the server has an empty file"):
        download([Archive("empty.zip", server.url("empty.zip"))], root)


def test_redirects(served, root):
    with serve(served) as server:
        for n in range(5):
            server.fault(
                f"hop{n}", Fault(status=302, headers={"Location": server.url(f"hop{n + 1}") if n < 4 else "/a.zip"})
            )
        assert download([archive(server.url("hop0"))], root)[0].read_bytes() == OBJECT
        assert len(server.log) == 6
        server.fault("loop", Fault(status=301, headers={"Location": "/loop"}, times=ALWAYS))
        with pytest.raises(DataError, match="it redirects more than 5 times"):
            download([archive(server.url("loop"), name="b")], root)
        assert len(server.of("loop")) == 6
        server.fault("leave", Fault(status=302, headers={"Location": "file:///etc/hosts"}))
        with pytest.raises(DataError, match="only http and https are fetched, not file"):
            download([archive(server.url("leave"), name="c")], root)
        for n, nowhere in enumerate(("http://[::1", "//[", "http://h:99999/", "http://h:port/", "http://h\0/")):
            server.fault(f"bad{n}", Fault(status=302, headers={"Location": nowhere}))
            with pytest.raises(DataError, match=f"bad{n}: (it redirects to )?no valid address"):
                download([archive(server.url(f"bad{n}"), name="d")], root)


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://h:99999/", "http://h:port/a", "http:///a", "http://a\0b/", "http://127.0.0.1/\0"]
)
def test_an_address_that_is_none(root, url):
    with pytest.raises(DataError, match="no valid address"):
        download([archive(url)], root)


# -- going on with what an earlier process left ------------------------------------------------------------------------


def test_another_process_goes_on(served, root):
    with with_part(served, root) as server:
        kept = names(root)
        assert len(kept) == 2
        assert kept[1] == "a.zip.part.json"
        path = download([archive(server.url("a.zip"))], root)[0]
        assert path.read_bytes() == OBJECT
        assert [(r.range, r.status, r.sent) for r in server.log] == [("bytes=100000-", 206, 100_000)]
        assert server.log[0].headers["If-Match"].startswith('"')
    assert names(root) == ["a.zip"]


@pytest.mark.parametrize("checks", [True, False], ids=["conditions kept", "conditions ignored"])
@pytest.mark.parametrize("etag", [True, False])
def test_two_versions_are_never_spliced(served, root, etag, checks):
    tags = {} if etag else {"ETag": None}
    with with_part(served, root, headers=tags) as server:
        put(served / "a.zip", OTHER, age=60)
        server.fault("a.zip", Fault(checks=checks, headers=tags), Fault(headers=tags))
        path = download([archive(server.url("a.zip"), digest=False)], root, patience=QUICK)[0]
        assert path.read_bytes() == OTHER
        assert server.log[0].range == "bytes=100000-"
        assert ("If-Match" in server.log[0].headers) == etag
        assert ("If-Range" in server.log[0].headers) == (not etag)
    assert names(root) == ["a.zip"]


def test_last_modified_is_enough_where_there_is_no_strong_etag(served, root):
    for n, tag in enumerate((None, 'W/"weak"')):
        with with_part(served, root / str(n), headers={"ETag": tag}) as server:
            download([archive(server.url("a.zip"), digest=False)], root / str(n))
            assert [(r.range, r.status) for r in server.log] == [("bytes=100000-", 206)]
            assert "If-Range" in server.log[0].headers
        assert (root / str(n) / "a.zip").read_bytes() == OBJECT


@pytest.mark.parametrize("age", [3600, 0], ids=["no Last-Modified", "changed within this second"])
def test_what_cannot_be_told_apart_starts_over(served, root, age):
    now = email.utils.formatdate(time.time() + 5, usegmt=True)
    headers = {"ETag": None, "Last-Modified": None if age else now}
    with with_part(served, root, headers=headers) as server:
        assert names(root) == []
        download([archive(server.url("a.zip"), digest=False)], root)
        assert [r.range for r in server.log] == [""]
    with serve(served, {"b.zip": [Fault(body=OBJECT, cut=100_000), Fault(body=OTHER)]}) as server:
        download([archive(server.url("b.zip"), name="b.zip", digest=False)], root, patience=QUICK)
        assert (root / "b.zip").read_bytes() == OTHER
        assert [r.range for r in server.log] == ["", ""]


def test_a_server_that_ignores_range(served, root):
    with with_part(served, root) as server:
        server.fault("a.zip", Fault(ranges=False))
        assert download([archive(server.url("a.zip"), digest=False)], root)[0].read_bytes() == OBJECT
        assert [(r.range, r.status) for r in server.log] == [("bytes=100000-", 200)]


@pytest.mark.parametrize(
    "said",
    [
        f"bytes 99999-{SIZE - 1}/{SIZE}",
        f"bytes 99998-{SIZE - 3}/{SIZE}",
        f"bytes 0-{SIZE - 1}/{SIZE}",
        f"bytes 100000-{SIZE - 1}/{SIZE + 1}",
        f"bytes 100000-{SIZE - 2}/{SIZE}",
        f"bytes 100000-{SIZE - 1}/*",
        "octets 100000-199999/200000",
        None,
    ],
)
def test_another_range_than_was_asked_for(served, root, said):
    with with_part(served, root) as server:
        server.fault("a.zip", Fault(headers={"Content-Range": said}))
        assert download([archive(server.url("a.zip"), digest=False)], root, patience=QUICK)[0].read_bytes() == OBJECT
        assert [r.range for r in server.log] == ["bytes=100000-", ""]


def test_a_range_that_was_not_asked_for(served, root):
    with serve(served, {"a.zip": Fault(status=206, headers={"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}"})}) as server:
        assert download([archive(server.url("a.zip"))], root, patience=QUICK)[0].read_bytes() == OBJECT
        assert len(server.log) == 2


def test_a_range_shorter_than_was_asked_for_is_gone_on_from(served, root):
    with with_part(served, root) as server:
        short = {"Content-Range": f"bytes 100000-149999/{SIZE}", "Content-Length": "50000"}
        server.fault("a.zip", Fault(cut=50_000, headers=short))
        assert download([archive(server.url("a.zip"), digest=False)], root, patience=QUICK)[0].read_bytes() == OBJECT
        assert [r.range for r in server.log] == ["bytes=100000-", "bytes=150000-"]


def edit_record(root, **changes):
    path = root / "a.zip.part.json"
    record = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(record))
    return record


def test_a_part_that_is_whole_only_gets_its_name(served, root):
    with with_part(served, root, written=SIZE - 1) as server:
        part = root / edit_record(root, written=SIZE)["part"]
        with open(part, "ab") as file:
            file.write(OBJECT[-1:])
        assert download([archive(server.url("a.zip"))], root)[0].read_bytes() == OBJECT
        assert not server.log


def test_416_where_nothing_is_left_of_a_file_of_unknown_length(served, root):
    with with_part(served, root, written=SIZE - 1) as server:
        part = root / edit_record(root, written=SIZE, total=None)["part"]
        with open(part, "ab") as file:
            file.write(OBJECT[-1:])
        assert download([archive(server.url("a.zip"), size=False)], root)[0].read_bytes() == OBJECT
        assert [r.status for r in server.log] == [416]


def test_416_where_the_file_has_become_shorter(served, root):
    with with_part(served, root) as server:
        put(served / "a.zip", OTHER[:5000])
        server.fault("a.zip", Fault(checks=False))
        short = archive(server.url("a.zip"), data=OTHER[:5000], size=False)
        assert download([short], root, patience=QUICK)[0].read_bytes() == OTHER[:5000]
        assert [r.status for r in server.log] == [416, 200]


@pytest.mark.parametrize(
    "plant",
    [
        lambda root, part: (root / "a.zip.part.json").write_bytes(b"\xff{broken"),
        lambda root, part: (root / "a.zip.part.json").write_text("[]"),
        lambda root, part: (root / "a.zip.part.json").unlink(),
        lambda root, part: edit_record(root, written=SIZE * 2),
        lambda root, part: edit_record(root, written=-1),
        lambda root, part: edit_record(root, etag="", modified=""),
        lambda root, part: edit_record(root, etag='"x"\r\nEvil: 1', modified=""),
        lambda root, part: edit_record(root, part="../served/a.zip"),
        lambda root, part: edit_record(root, url="http://elsewhere/a.zip"),
        lambda root, part: part.write_bytes(b""),
        lambda root, part: part.unlink(),
        lambda root, part: part.write_bytes(OTHER),
        lambda root, part: (part.unlink(), part.symlink_to(root.parent / "served" / "a.zip")),
    ],
)
def test_leftovers_that_are_not_what_they_should_be(served, root, plant):
    with with_part(served, root) as server:
        [part] = root.glob("*.part")
        plant(root, part)
        assert download([archive(server.url("a.zip"))], root, patience=QUICK)[0].read_bytes() == OBJECT
        assert (served / "a.zip").read_bytes() == OBJECT
        assert server.log[-1].range == ""
    assert names(root) == ["a.zip"]
    assert not (root / "a.zip").is_symlink()


@pytest.mark.parametrize(
    "record",
    [
        '{"part": "%s", "url": "%s", "etag": "\\"x\\"", "modified": "", "total": 1e999, "written": 1000}',
        '{"part": "%s", "url": "%s", "etag": "\\"x\\"", "modified": "", "total": null, "written": 1e999}',
        '{"part": "%s", "url": "%s", "etag": "\\"x\\"", "modified": "", "total": null, "written": NaN}',
        '{"part": "%s", "url": "%s", "etag": ["x"], "modified": "", "total": null, "written": 1000}',
        '{"part": "%s", "url": "%s", "etag": "\\"'
        + "x" * 50_000
        + '\\"", "modified": "", "total": null, "written": 1000}',
        '{"part": "%s", "url": "%s", "etag": "", "modified": "yesterday", "total": null, "written": 1000}',
        '{"part": "%s", "url": "%s", "etag": "\\"x\\"", "modified": "", "total": null, "written": ' + "9" * 5000 + "}",
        '{"part": "%s\\ud800", "url": "%s", "etag": "\\"x\\"", "modified": "", "total": null, "written": 1000}',
        "[" * 60_000,
        "[" * 3_000_000,
        "null",
        '"part"',
    ],
    ids=range(12),
)
def test_no_record_stops_a_download(served, root, record):
    with with_part(served, root) as server:
        said = json.loads((root / "a.zip.part.json").read_text())
        (root / "a.zip.part.json").write_text(record % (said["part"], said["url"]) if "%" in record else record)
        assert download([archive(server.url("a.zip"))], root)[0].read_bytes() == OBJECT
        assert [r.range for r in server.log] == [""]
    assert names(root) == ["a.zip"]


@given(
    record=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["part", "url", "etag", "modified", "total", "written"]), inner)
        ),
    )
)
def test_any_record_is_read_or_not_understood(record):
    said = parsed(json.dumps(record).encode())
    assert said is None or recorded(*said)


@pytest.mark.parametrize("right", [True, False])
def test_a_file_that_somebody_else_puts_there_meanwhile(served, root, right):
    with serve(served, {"a.zip": Fault(piece=50_000, pause=0.1)}) as server:
        neighbour = threading.Timer(0.2, lambda: (root / "a.zip").write_bytes(OBJECT if right else OTHER))
        neighbour.start()
        if right:
            download([archive(server.url("a.zip"))], root)
        else:
            with pytest.raises(ChecksumError, match="holds other bytes"):
                download([archive(server.url("a.zip"))], root)
        neighbour.join(10)
    assert names(root) == ["a.zip"]
    assert (root / "a.zip").read_bytes() == (OBJECT if right else OTHER)


def test_parts_of_other_files_are_left_alone(served, root):
    root.mkdir()
    (root / "a.zip.b.01234567.part").write_bytes(b"of a.zip.b")
    (root / "a.zip.notes.part").write_bytes(b"a user's own")
    (root / "a.zip.01234567.part").write_bytes(b"an old one of a.zip")
    with serve(served) as server:
        download([archive(server.url("a.zip"))], root)
    assert names(root) == ["a.zip", "a.zip.b.01234567.part", "a.zip.notes.part"]


# -- processes ---------------------------------------------------------------------------------------------------------

PROCESS = """
import sys
sys.path.insert(0, {root!r})
from vdata.card import Archive
from vdata.fetching import Patience, download
{before}
download([Archive("a.zip", {url!r}, bytes={size}, sha256={digest!r})], {folder!r}, patience=Patience(save=0.05))
print("done")
"""


def process(url, folder, before="", digest=True):
    code = PROCESS.format(
        root=str(ROOT), url=url, folder=str(folder), before=before, size=SIZE, digest=sha(OBJECT) if digest else ""
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def written(root):
    """What the record says is on the disk."""
    path = root / "a.zip.part.json"
    said = parsed(path.read_bytes()) if path.exists() else None
    return said[2] if said else 0


SLOW = Fault(piece=2000, pause=0.01, times=ALWAYS)  # about a second for the object


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_is_gone_on_with(served, root, how):
    with serve(served, {"a.zip": [Fault(piece=2000, pause=0.02)]}) as server:
        first = process(server.url("a.zip"), root)
        until(lambda: written(root) > 30_000)
        first.send_signal(how)
        _, said = first.communicate(timeout=20)
        assert first.returncode == (-how if how == signal.SIGKILL else first.returncode) != 0
        assert ("KeyboardInterrupt" in said) == (how == signal.SIGINT)
        assert "a.zip" not in names(root)
        server.log.clear()
        second = process(server.url("a.zip"), root)
        out, said = second.communicate(timeout=20)
        assert (out, said) == ("done\n", "")
        [request] = server.log
        start = int(request.range.removeprefix("bytes=").removesuffix("-"))
        assert start > 30_000
        assert request.sent == SIZE - start
    assert names(root) == ["a.zip"]
    assert (root / "a.zip").read_bytes() == OBJECT


NO_LOCKS = "import fcntl\nfcntl.flock = lambda file, how: None"
BROKEN_LOCKS = """
import fcntl
def flock(file, how):
    raise OSError(95, "not supported")
fcntl.flock = flock
"""


@pytest.mark.parametrize("locks", ["", NO_LOCKS, BROKEN_LOCKS], ids=["locks", "locks that do nothing", "no locks"])
def test_two_processes_at_once(served, root, locks):
    with serve(served, {"a.zip": SLOW}) as server:
        both = [process(server.url("a.zip"), root, locks, digest=False) for _ in range(2)]
        seen = set()
        while any(p.poll() is None for p in both):
            if "a.zip" in names(root):
                seen.add(sha((root / "a.zip").read_bytes()))
            time.sleep(0.02)
        for one in both:
            assert one.communicate(timeout=20) == ("done\n", "")
    assert seen <= {sha(OBJECT)}
    assert (root / "a.zip").read_bytes() == OBJECT
    assert names(root) == ["a.zip"]
    if not locks:
        assert len(server.log) == 1


# -- several at once ---------------------------------------------------------------------------------------------------


def test_archives_come_in_parallel(served, root):
    faults = {f"{n}.zip": Fault(body=OBJECT, piece=20_000, pause=0.05) for n in range(4)}
    with serve(served, faults) as server:
        wanted = [archive(server.url(name), name=name) for name in faults]
        paths = download(wanted, root, parallel=2)
        began = sorted(r.at for r in server.log)
    assert [p.read_bytes() for p in paths] == [OBJECT] * 4
    assert began[1] - began[0] < 0.4  # one takes 0.5 seconds
    assert began[2] - began[0] > 0.4
    with pytest.raises(PlanError, match="at least one"):
        download(wanted, root, parallel=0)


def test_the_first_failure_stops_the_others_and_leaves_their_parts(served, root):
    slow = Fault(piece=2000, pause=0.05, times=ALWAYS)
    with serve(
        served, {"a.zip": slow, "hung.zip": Fault(cut=2000, pause=60), "late.zip": Fault(status=404, wait=0.5)}
    ) as server:
        put(served / "hung.zip", OBJECT)
        wanted = [archive(server.url(n), name=n) for n in ("a.zip", "hung.zip", "late.zip")]
        began = time.monotonic()
        with pytest.raises(DataError, match=r"cannot download late.zip"):
            download(wanted, root)
        assert time.monotonic() - began < 2
        left = names(root)
        assert {"a.zip.part.json", "hung.zip.part.json"} <= set(left)
        assert len(left) == 4
        assert not [t for t in threading.enumerate() if t.name.startswith("vdata-download")]


# -- disks -------------------------------------------------------------------------------------------------------------


def test_room_is_looked_for_first(served, root):
    with serve(served) as server:
        huge = Archive("a.zip", server.url("a.zip"), bytes=1 << 60)
        with pytest.raises(DataError, match="no room for the download") as caught:
            download([huge], root)
        assert "make room" in str(caught.value)
        assert not server.log
        server.fault("a.zip", Fault(headers={"Content-Length": str(1 << 60)}))
        with pytest.raises(DataError, match="no room for the download"):
            download([archive(server.url("a.zip"), size=False)], root)
    assert names(root) == []


FULL = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))"


def test_a_full_disk_is_said_clearly_and_the_part_stays(served, root):
    with serve(served) as server:
        out, said = process(server.url("a.zip"), root, FULL).communicate(timeout=20)
        assert out == ""
        assert "cannot write a.zip beyond byte 120000: File too large" in said
        assert "make room, and start again: it goes on from here" in said
        server.log.clear()
        assert download([archive(server.url("a.zip"))], root)[0].read_bytes() == OBJECT
        assert [r.range for r in server.log] == ["bytes=120000-"]


def test_a_folder_that_cannot_be(served, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with serve(served) as server, pytest.raises(DataError, match="cannot make the folder"):
        download([archive(server.url("a.zip"))], tmp_path / "file" / "root")


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))  # such an address is short


NO_FILES = [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder"), (a_socket, "a socket")]


@pytest.mark.parametrize("make, what", NO_FILES, ids=[what for _, what in NO_FILES])
def test_only_regular_files_are_read(served, root, make, what, monkeypatch):
    root.mkdir()
    monkeypatch.chdir(root)
    began = time.monotonic()
    with serve(served) as server:
        for name, wanted in (
            ("a.zip", archive(server.url("a.zip"), size=False)),
            ("b.zip.part.json", archive(server.url("a.zip"), name="b.zip")),
        ):
            make(root / name)
            with pytest.raises(DataError, match=f"{name} is {what}, and should be a file") as caught:
                download([wanted], root)
            assert str(root / name) in str(caught.value)
            assert "move it away" in str(caught.value)
        assert not server.log
    assert names(root) == ["a.zip", "b.zip.part.json"]
    assert time.monotonic() - began < 5


def test_a_device_is_no_file(tmp_path):
    with pytest.raises(DataError, match="zero is a device, and should be a file"):
        verify(archive(name="zero", size=False), Path("/dev/zero"))


def test_a_control_file_that_leads_elsewhere_is_not_followed(served, root):
    root.mkdir()
    (root / "notes").write_text("mine")
    (root / "a.zip.part.json").symlink_to(root / "notes")
    with serve(served) as server, pytest.raises(DataError, match=r"a.zip.part.json is a symbolic link, and should be"):
        download([archive(server.url("a.zip"))], root)
    assert (root / "notes").read_text() == "mine"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_a_part_that_is_no_file_is_not_read(served, root, make):
    with with_part(served, root) as server:
        [part] = root.glob("*.part")
        part.unlink()
        make(part)
        assert download([archive(server.url("a.zip"))], root)[0].read_bytes() == OBJECT
        assert [r.range for r in server.log] == [""]


@pytest.mark.parametrize("name", ["../a.zip", "/a.zip", "x/../../a.zip", "x\\a.zip", "", "x//a.zip"])
def test_names_stay_in_the_folder(root, name):
    with pytest.raises(DataError, match="leads out of the folder"):
        download([archive("http://127.0.0.1:9/a.zip", name=name)], root)


@pytest.mark.parametrize("name", ["a\0.zip", "a\n.zip", "a\ud800.zip"])
def test_names_that_no_file_has(root, name):
    with pytest.raises(DataError, match="holds a character that no name of a file should have"):
        download([archive("http://127.0.0.1:9/a.zip", name=name)], root)
