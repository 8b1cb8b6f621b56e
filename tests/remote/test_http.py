"""Ranges over HTTP from servers that do wrong: the right bytes, or an error that says which kind of wrong it is."""

import email.utils
import gzip
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faultserver import ALWAYS, Fault, serve
from vdata.errors import AccessError, ChangedError, MissingFileError, RemoteError
from vdata.remote import answer, connection, http, patience
from vdata.remote.engine import Version

OBJECT = b"".join(i.to_bytes(4, "big") for i in range(25_000))  # no two places alike
OTHER = bytes(reversed(OBJECT))
SIZE = len(OBJECT)
SHORT = patience.Patience(attempts=4, quiet=0.4, window=0.3, slowest=1000, longest=1, sleep=lambda seconds: time.sleep(min(seconds, 0.01)))
CANARY = "c4n4ry"
QUERY = f"?X-Amz-Signature={CANARY}&token={CANARY}"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Short patience, no proxy, no connection and no pause of another test."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(http, "PATIENCE", SHORT)
    patience._resting.clear()
    yield
    answer._idle.forget()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server of an object that no test changes."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "a.tar").write_bytes(OBJECT)
    with serve(folder) as server:
        yield server


@pytest.fixture
def server(tmp_path):
    (tmp_path / "a.tar").write_bytes(OBJECT)
    with serve(tmp_path) as server:
        yield server


def text_of(error):
    """All that a log could show of an error and of those behind it."""
    said = ""
    while error:
        said += f"{error!s} {error!r} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
    return said


# -- as it should be ----------------------------------------------------------------------------------------------------


def test_ranges_and_their_version(shared):
    url = shared.url("a.tar")
    version = http.stat(url)
    assert version.size == SIZE and version.etag.startswith('"')
    for start, length in [(0, 1), (0, SIZE), (0, SIZE + 9), (511, 513), (SIZE - 1, 1), (SIZE - 1, 50), (SIZE, 5), (SIZE + 7, 5), (3, 0)]:
        for pin in (None, version, Version("", SIZE), Version("", -1)):
            data, seen = http.read(url, start, length, pin)
            assert bytes(data) == OBJECT[start : start + length]
            assert seen.size in (SIZE, -1 if not length else SIZE)
    assert bytes(http.read_all(url)) == OBJECT
    assert bytes(http.read_all(url, SIZE)) == OBJECT


def test_one_connection_serves_many_requests(server):
    url = server.url("a.tar")
    http.stat(url)
    for start in range(20):
        http.read(url, start, 1000)
    with pytest.raises(MissingFileError):
        http.stat(server.url("none.tar"))
    http.read_all(url)
    assert server.connections == 1
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda n: bytes(http.read(url, n, 2000)[0]), range(200)))
    assert found == [OBJECT[n : n + 2000] for n in range(200)]
    assert server.connections <= 16


@pytest.mark.parametrize("end", ["closed while idle", "closed at the request", "reset at the request", "speaks unasked"])
def test_an_idle_connection_that_died_costs_no_try(server, end, monkeypatch):
    monkeypatch.setattr(http, "PATIENCE", replace(SHORT, attempts=1))
    url = server.url("a.tar")
    if end.endswith("at the request"):
        server.fault("a.tar", Fault(), Fault(raw=(b"", b""), reset=end.startswith("reset")))
        http.read(url, 0, 10)
    elif end == "speaks unasked":
        server.fault("a.tar", Fault(headers={"Content-Length": "10"}, body=b"0123456789HTTP/1.1 206 Partial Content\r\n\r\n", hang_up=True))
        assert bytes(http.read_all(url)) == b"0123456789"
    else:
        server.fault("a.tar", Fault(hang_up=True))
        http.read(url, 0, 10)
        time.sleep(0.05)
    assert bytes(http.read(url, 5, 10)[0]) == OBJECT[5:15]


def test_a_fork_leaves_the_connections_of_its_parent_alone(server):
    url = server.url("a.tar")
    http.read(url, 0, 10)
    child = os.fork()
    if not child:
        os._exit(0 if bytes(http.read(url, 100, 50)[0]) == OBJECT[100:150] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bytes(http.read(url, 200, 50)[0]) == OBJECT[200:250]
    assert [r.connection for r in server.of("a.tar")] == [1, 2, 1]


def test_urls_of_any_letters(server):
    (server.folder / "ä b [1].tar").write_bytes(OBJECT)
    assert http.stat(server.url("ä b [1].tar")).size == SIZE
    assert http.stat(server.url("%C3%A4%20b%20[1].tar")).size == SIZE


# -- what passes: the right bytes ----------------------------------------------------------------------------------------

PASSING = {
    "cut": Fault(cut=700),
    "cut before the body": Fault(cut=0),
    "reset": Fault(cut=700, reset=True),
    "stall": Fault(cut=700, stall=True),
    "closed at once": Fault(raw=(b"", b"")),
    "no answer": Fault(wait=0.6),
    "drip": Fault(piece=1, pause=0.05),
    "head drip": Fault(raw=(b"HTTP/1.1 206 Partial Content\r\n", b"X: y\r\n" * 100), piece=1, pause=0.05),
    "head without end": Fault(raw=(b"HTTP/1.1 206 Partial Content\r\n", b"X: y\r\n" * 1000)),
    "head cut": Fault(raw=(b"HTTP/1.1 206 Partial Content\r\nContent-Ra", b"")),
    "100 Continue for ever": Fault(raw=(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "garbage": Fault(raw=(b"\x16\x03\x01 hello\r\n\r\n", b"")),
    "folded header": Fault(headers={"X-Odd": "a\r\n b"}),
    "two lengths": Fault(headers={"content-length": "5"}),
    "503": Fault(status=503),
    "429": Fault(status=429, headers={"Retry-After": "0"}),
    "408 with a page": Fault(status=408, body=b"<html>busy</html>"),
    "chunked": Fault(length="chunked", piece=999),
    "chunked and cut": Fault(length="chunked", cut=700),
    "chunked without end": Fault(length="chunked", endless=True),
    "to the end of the connection": Fault(length="none"),
    "to the end of the connection, cut": Fault(length="none", cut=700),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_gives_the_right_bytes(server, fault):
    url = server.url("a.tar")
    pin = http.stat(url)
    server.fault("a.tar", fault)
    data, version = http.read(url, 1000, 50_000, pin)
    assert bytes(data) == OBJECT[1000:51_000]
    assert version == pin
    assert bytes(http.read(url, 0, 10)[0]) == OBJECT[:10]


@pytest.mark.parametrize("name", ["cut", "reset", "stall", "503", "chunked", "chunked and cut", "head drip"])
def test_the_whole_object_comes_too(server, name):
    server.fault("a.tar", PASSING[name])
    assert bytes(http.read_all(server.url("a.tar"))) == OBJECT


@given(
    start=st.integers(0, SIZE - 1),
    length=st.integers(1, 30_000),
    cuts=st.lists(st.tuples(st.one_of(st.sampled_from([0, 1, 511, 512]), st.integers(0, 30_000)), st.booleans(), st.booleans()), max_size=4),
)
def test_wherever_it_is_cut(shared, start, length, cuts):
    """However often and however it is cut, bytes that have come are not fetched again."""
    want = OBJECT[start : start + length]
    http.PATIENCE = replace(SHORT, attempts=6)
    answer._idle.forget()
    shared.log.clear()
    shared.fault("a.tar", *(Fault(cut=min(at, len(want) - 1), reset=reset, length="chunked" if chunked else "") for at, reset, chunked in cuts))
    with_faults = shared.url("a.tar")
    try:
        data, version = http.read(with_faults, start, length)
    finally:
        shared._faults.clear()
    assert bytes(data) == want and version.size == SIZE
    # An RST may overtake bytes in flight: those of one cut are the most that may be lost with it.
    lost = sum(min(at, len(want)) for at, reset, _ in cuts if reset)
    assert len(want) <= shared.sent("a.tar") <= len(want) + lost
    assert all(r.headers.get("If-Match") for r in shared.of("a.tar")[1:] if r.range != shared.of("a.tar")[0].range)


def test_cut_again_and_again_but_getting_on_is_not_given_up(server):
    server.fault("a.tar", Fault(cut=2_000, times=40))
    assert bytes(http.read_all(server.url("a.tar"))) == OBJECT
    assert server.sent("a.tar") == SIZE


def test_without_a_version_a_cut_range_begins_anew(server):
    """Nobody could tell whether the rest is of the same object: here it is not."""
    server.fault("a.tar", Fault(cut=700, becomes=OTHER, headers={"ETag": None}), Fault(headers={"ETag": 'W/"1"'}))
    assert bytes(http.read(server.url("a.tar"), 0, 5000)[0]) == OTHER[:5000]
    server.fault("a.tar", Fault(cut=700, headers={"ETag": None}, times=ALWAYS))
    with pytest.raises(RemoteError, match="cut"):
        http.read(server.url("a.tar"), 0, 5000)
    assert len(server.of("a.tar")) == 2 + SHORT.attempts  # the same bytes again are no progress


def test_a_slow_steady_transfer_goes_on(server, monkeypatch):
    monkeypatch.setattr(http, "PATIENCE", replace(SHORT, attempts=1, quiet=0.3, window=0.2, slowest=1000))
    server.fault("a.tar", Fault(piece=500, pause=0.05))
    began = time.monotonic()
    assert bytes(http.read(server.url("a.tar"), 0, 10_000)[0]) == OBJECT[:10_000]
    assert time.monotonic() - began > 0.9  # longer than all of its limits


def test_a_silence_after_some_bytes_is_noticed_and_they_are_kept(server):
    server.fault("a.tar", Fault(cut=60_000, stall=True))
    began = time.monotonic()
    assert bytes(http.read(server.url("a.tar"), 0, SIZE)[0]) == OBJECT
    assert SHORT.quiet < time.monotonic() - began < 2 * SHORT.quiet + 1
    assert server.of("a.tar")[1].headers["Range"] == f"bytes=60000-{SIZE - 1}"


def test_signals_do_not_lengthen_a_silence(server):
    """Python asks the system again after every signal, whose own time of silence then begins anew."""
    server.fault("a.tar", Fault(cut=60_000, stall=True, times=2))
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    began = time.monotonic()
    try:
        assert bytes(http.read(server.url("a.tar"), 0, SIZE)[0]) == OBJECT
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", ["head without end", "100 Continue for ever", "to the end of the connection, cut"])
def test_what_can_be_told_by_its_size_is_not_waited_for(server, monkeypatch, name):
    monkeypatch.setattr(http, "PATIENCE", replace(SHORT, quiet=20, window=20))
    server.fault("a.tar", PASSING[name])
    began = time.monotonic()
    assert bytes(http.read(server.url("a.tar"), 0, 5000)[0]) == OBJECT[:5000]
    assert time.monotonic() - began < 10


def test_a_range_of_a_size_unsaid(server):
    url = server.url("a.tar")
    pin = http.stat(url)
    unsaid = Fault(headers={"Content-Range": f"bytes {SIZE - 10}-{SIZE - 1}/*"})
    for known, length in [(pin, 10), (pin, 99), (None, 10)]:
        server.fault("a.tar", unsaid)
        data, version = http.read(url, SIZE - 10, length, known)
        assert bytes(data) == OBJECT[-10:] and version == (known or Version(pin.etag, -1))
    server.fault("a.tar", unsaid)
    with pytest.raises(RemoteError, match="another part"):  # the object's end, or a part of what was asked for?
        http.read(url, SIZE - 10, 99)


# -- what does not pass: an error of the right kind ---------------------------------------------------------------------

FAILING = {
    "404": (Fault(status=404), MissingFileError, "404 Not Found"),
    "410": (Fault(status=410), MissingFileError, "410"),
    "401": (Fault(status=401), AccessError, "401"),
    "403": (Fault(status=403, body=b"<Error>" + CANARY.encode()), AccessError, "signed URL may have expired"),
    "400": (Fault(status=400), RemoteError, "400 Bad Request"),
    "412": (Fault(status=412), ChangedError, "has changed"),
    "204": (Fault(status=204, body=b""), RemoteError, "204"),
    "500 for ever": (Fault(status=500, body=CANARY.encode(), times=ALWAYS), RemoteError, "500 Internal Server Error .4 attempts"),
    "no answer for ever": (Fault(raw=(b"", b""), times=ALWAYS), RemoteError, "ended before an answer"),
    "no ranges": (Fault(body=bytes(64 << 20)), RemoteError, "does not serve ranges"),
    "no ranges, without end": (Fault(ranges=False, length="chunked", endless=True), RemoteError, "does not serve ranges"),
    "a page": (Fault(status=200, body=b"<html>login", headers={"Content-Type": "text/html; charset=utf-8"}), RemoteError, "web page"),
    "gzip": (Fault(headers={"Content-Encoding": "gzip"}), RemoteError, "compressed"),
    "another range": (Fault(headers={"Content-Range": f"bytes 0-99/{SIZE}"}), RemoteError, "another part"),
    "a shorter range": (Fault(headers={"Content-Range": f"bytes 1000-1998/{SIZE}", "Content-Length": "999"}), RemoteError, "another part"),
    "a longer range": (Fault(headers={"Content-Range": f"bytes 1000-2000/{SIZE}", "Content-Length": "1001"}), RemoteError, "another part"),
    "no range said": (Fault(headers={"Content-Range": None}), RemoteError, "without saying which"),
    "several ranges": (Fault(headers={"Content-Range": None, "Content-Type": "multipart/byteranges"}), RemoteError, "without saying"),
    "a lying length": (Fault(headers={"Content-Length": "999999"}), RemoteError, "another part"),
    "redirect to a file": (Fault(status=302, body=b"", headers={"Location": "file:///etc/hostname"}), RemoteError, "not followed"),
    "redirect to ftp": (Fault(status=301, body=b"", headers={"Location": f"ftp://u:{CANARY}@h/x"}), RemoteError, "not followed"),
    "redirect to nowhere": (Fault(status=302, body=b""), RemoteError, "not followed"),
    "redirect in a circle": (Fault(status=307, body=b"", headers={"Location": f"/a.tar{QUERY}"}, times=ALWAYS), RemoteError, "more than 5"),
    "redirect to an odd host": (Fault(status=308, body=b"", headers={"Location": "http://a b/x"}), RemoteError, "no valid address"),
}


@pytest.mark.parametrize("fault, kind, says", FAILING.values(), ids=FAILING)
def test_what_does_not_pass_says_what_and_where_and_no_secret(server, fault, kind, says):
    url = server.url("a.tar", f"me:{CANARY}") + QUERY
    server.fault("a.tar", fault)
    with pytest.raises(RemoteError, match=says) as caught:
        http.read(url, 1000, 1000)
    assert type(caught.value) is kind
    assert caught.value.where["byte"] == 1000
    assert f"http://***@127.0.0.1:{server.port}/a.tar" in str(caught.value)
    assert CANARY not in text_of(caught.value)
    assert server.sent("a.tar") < 32 << 20  # no more of a body than buffers hold
    server._faults.clear()
    assert bytes(http.read(url, 0, 100)[0]) == OBJECT[:100]  # whatever was kept of the connection is in step


def test_two_versions_are_never_spliced(server):
    url = server.url("a.tar")
    server.fault("a.tar", Fault(cut=700, becomes=OTHER))
    with pytest.raises(ChangedError):
        http.read(url, 0, 5000)
    for checks in (True, False):  # the server compares, or the client
        server.fault("a.tar", Fault(cut=700, becomes=OBJECT if checks else OTHER), Fault(checks=checks))
        with pytest.raises(ChangedError):
            http.read_all(url)


def test_another_version_than_the_pinned_one(server):
    url = server.url("a.tar")
    pin = http.stat(url)
    for checks in (True, False):
        (server.folder / "a.tar").write_bytes(OTHER)
        server.fault("a.tar", Fault(checks=checks))
        with pytest.raises(ChangedError):
            http.read(url, 0, 10, pin)
    server.fault("a.tar", Fault(checks=False, headers={"ETag": None}))
    with pytest.raises(ChangedError):
        http.read(url, 0, 10, pin)
    for size in (SIZE - 5000, SIZE + 5000):  # without an ETag its size tells
        (server.folder / "a.tar").write_bytes((OBJECT + OTHER)[:size])
        for start in (0, SIZE - 1, SIZE - 4000):
            with pytest.raises(ChangedError):
                http.read(url, start, 10, Version("", SIZE))
    assert bytes(http.read(url, SIZE + 4990, 100)[0]) == (OBJECT + OTHER)[SIZE + 4990 : SIZE + 5000]
    with pytest.raises(ChangedError):
        http.read(url, SIZE + 6000, 10, Version("", SIZE))


def test_a_server_without_ranges_serves_whole_objects_alone(server):
    server.fault("a.tar", Fault(ranges=False, times=3))
    for length in (SIZE, SIZE + 5):
        assert bytes(http.read(server.url("a.tar"), 0, length)[0]) == OBJECT
    with pytest.raises(RemoteError, match="does not serve ranges"):
        http.read(server.url("a.tar"), SIZE - 10, 100)


def test_an_odd_etag_is_compared_and_not_sent(server):
    with pytest.raises(ChangedError):
        http.read(server.url("a.tar"), 0, 10, Version('"a"\r\nX-Injected: 1', SIZE))
    assert "X-Injected" not in server.log[0].headers and "If-Match" not in server.log[0].headers


# -- patience -----------------------------------------------------------------------------------------------------------


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 0.0, []
        self._lock = threading.Lock()

    def clock(self):
        return self.now

    def sleep(self, seconds):
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds

    def patience(self, **limits):
        return patience.Patience(**{"quiet": 5, **limits}, clock=self.clock, sleep=self.sleep)


@pytest.mark.parametrize("said, least", [("7", 7), ("99999", 120), ("date", 60), ("soon", 0), ("", 0)])
def test_retry_after_is_obeyed(server, monkeypatch, said, least):
    moment = Time()
    monkeypatch.setattr(http, "PATIENCE", moment.patience())
    if said == "date":  # by the server's own clock
        headers = {"Retry-After": "Thu, 01 Jan 2015 00:01:00 GMT", "Date": "Thu, 01 Jan 2015 00:00:00 GMT"}
        server.fault("a.tar", Fault(raw=(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()).encode() + b"\r\n", b"")))
    else:
        server.fault("a.tar", Fault(status=503, headers={"Retry-After": said}))
    http.read(server.url("a.tar"), 0, 10)
    assert len(server.of("a.tar")) == 2
    assert least <= sum(moment.slept) <= least + 0.2


def test_the_budget_ends(server, monkeypatch):
    moment = Time()
    monkeypatch.setattr(http, "PATIENCE", moment.patience(attempts=100, seconds=50))
    server.fault("a.tar", Fault(status=503, headers={"Retry-After": "20"}, times=ALWAYS))
    with pytest.raises(RemoteError, match=r"503 Service Unavailable .3 attempts in 40 s"):
        http.read(server.url("a.tar"), 0, 10)
    assert len(server.of("a.tar")) == 3


def test_readers_do_not_storm_a_busy_server(server, monkeypatch):
    """One hears of the pause, all of them keep it."""
    monkeypatch.setattr(http, "PATIENCE", replace(SHORT, sleep=time.sleep))
    url = server.url("a.tar")
    server.fault("a.tar", Fault(status=503, headers={"Retry-After": "1"}))
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(http.read, url, 0, 10)
        while not patience._resting:
            time.sleep(0.005)
        began = time.monotonic()
        others = [threads.submit(http.read, url, n, 10) for n in range(1, 8)]
        assert [bytes(f.result(20)[0]) for f in [first, *others]] == [OBJECT[n : n + 10] for n in range(8)]
    assert len(server.of("a.tar")) == 9
    assert all(r.at - began > 0.8 for r in server.of("a.tar")[1:])


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RemoteError, match="Connection refused"):
        http.stat(f"http://127.0.0.1:{port}/a.tar")
    with pytest.raises(RemoteError, match="no valid address"):
        http.stat("http://127.0.0.1:x/a.tar")


# -- stat and read_all --------------------------------------------------------------------------------------------------


def test_stat_where_head_is_refused(server):
    """As with a URL that is signed for GET."""
    (server.folder / "empty.tar").write_bytes(b"")
    for name, size in [("a.tar", SIZE), ("empty.tar", 0)]:
        known = http.stat(server.url(name))
        server.fault(name, Fault(head=False))
        assert http.stat(server.url(name)) == known or size == 0
        assert http.stat(server.url(name)).size == size == known.size
    assert [(r.method, r.range) for r in server.of("a.tar")[1:3]] == [("HEAD", ""), ("GET", "bytes=0-0")]
    server.fault("a.tar", Fault(status=403, times=2))
    with pytest.raises(AccessError):
        http.stat(server.url("a.tar"))
    assert bytes(http.read_all(server.url("empty.tar"))) == b""
    assert bytes(http.read(server.url("empty.tar"), 0, 10)[0]) == b""


def test_read_all_has_limits(server):
    url = server.url("a.tar")
    with pytest.raises(RemoteError, match="larger than 99999 bytes"):
        http.read_all(url, SIZE - 1)
    assert server.sent("a.tar") <= SIZE  # what fits into buffers
    server.fault("a.tar", Fault(length="chunked", endless=True))
    with pytest.raises(RemoteError, match="larger than 200000 bytes"):
        http.read_all(url, 200_000)
    server.fault("a.tar", Fault(length="none"), Fault(headers={"Content-Length": str(10**17)}))
    for says in ("does not say how long", "more than memory"):
        with pytest.raises(RemoteError, match=says):
            http.read_all(url)


def test_read_all_goes_on_only_where_it_can(server):
    server.fault("a.tar", Fault(cut=60_000))
    assert bytes(http.read_all(server.url("a.tar"))) == OBJECT
    assert server.sent("a.tar") == SIZE
    server.fault("a.tar", Fault(cut=60_000), Fault(ranges=False))
    assert bytes(http.read_all(server.url("a.tar"))) == OBJECT


def test_http_is_only_read_from(server, tmp_path):
    for act in (lambda url: http.write(url, b""), lambda url: http.put(url, str(tmp_path)), http.remove):
        with pytest.raises(RemoteError, match="only read"):
            act(server.url("a.tar"))


def test_a_folder_page_is_a_listing(server):
    pytest.importorskip("aiohttp")
    page = "".join(f'<a href="{name}">{name}</a>' for name in ("b.tar", "a.tar", "c.txt"))
    server.fault("", Fault(body=page.encode(), headers={"Content-Type": "text/html"}, times=ALWAYS))
    assert http.listing(server.url("*.tar")) == [server.url("a.tar"), server.url("b.tar")]
    assert http.listing(server.url("none/*.tar")) == []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RemoteError, match="no folder") as caught:
        http.listing(f"http://me:{CANARY}@127.0.0.1:{port}/*.tar{QUERY}")
    assert CANARY not in str(caught.value)


# -- other hosts, TLS, proxies -------------------------------------------------------------------------------------------


def test_a_password_is_for_its_own_host(server, tmp_path):
    """It follows a redirect to its own server, and none to another."""
    with serve(tmp_path) as other:
        server.fault("moved", Fault(status=302, body=b"moved", headers={"Location": other.url("a.tar", "you:too")}))
        server.fault("here", Fault(status=307, body=b"moved", headers={"Location": "a.tar"}))
        assert bytes(http.read(server.url("moved", "me:pass%40word"), 5, 10)[0]) == OBJECT[5:15]
        assert bytes(http.read(server.url("here", "me:pass%40word"), 5, 10)[0]) == OBJECT[5:15]
        assert "Authorization" not in other.log[0].headers
        assert {r.headers["Authorization"] for r in server.log} == {"Basic bWU6cGFzc0B3b3Jk"}
        assert server.connections == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made, key = str(folder / "made.pem"), str(folder / "key.pem")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", made], check=True, capture_output=True, timeout=30)
    return made, key


@pytest.fixture
def secure(tmp_path, certificate, monkeypatch):
    (tmp_path / "a.tar").write_bytes(OBJECT)
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    connection._trust.cache_clear()
    with serve(tmp_path, certificate=certificate) as server:
        yield server
    connection._trust.cache_clear()


def test_tls(secure, server):
    url = secure.url("a.tar")
    secure.fault("a.tar", Fault(cut=700), Fault(cut=900, reset=True))
    assert bytes(http.read(url, 3, 50_000)[0]) == OBJECT[3:50_003]
    assert bytes(http.read(url, 9, 100)[0]) == OBJECT[9:109]
    assert secure.connections == 3
    secure.fault("a.tar", Fault(status=302, headers={"Location": server.url("a.tar")}))
    with pytest.raises(RemoteError, match="from https to http"):
        http.read(url, 0, 10)
    assert not server.log
    server.fault("up", Fault(status=302, headers={"Location": url}))
    assert bytes(http.read(server.url("up"), 0, 10)[0]) == OBJECT[:10]


def test_a_certificate_that_nobody_signed_is_refused_at_once(secure, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    connection._trust.cache_clear()
    with pytest.raises(RemoteError, match="certificate is not valid"):
        http.stat(secure.url("a.tar"))
    assert not secure.log


@contextmanager
def proxy(refuses=False):
    """A proxy for CONNECT and for http://; yields its port and the heads of the requests that came."""
    heads, listening = [], socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve_one(client):
        head = b""
        with client:
            client.settimeout(10)
            while b"\r\n\r\n" not in head:
                head += client.recv(1 << 16)
            heads.append(head.decode())
            method, target, _ = heads[-1].split("\r\n")[0].split()
            if refuses:
                return client.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            port = int((target if method == "CONNECT" else target.split("/")[2]).rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), 10) as there:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    there.sendall(head.replace(target.encode(), b"/" + target.split("/", 3)[3].encode(), 1))
                back = threading.Thread(target=pump, args=(there, client))
                back.start()
                pump(client, there)
                back.join(10)

    def accept():
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve_one, args=(client,)))
            threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield listening.getsockname()[1], heads
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        answer._idle.forget()
        for thread in threads:
            thread.join(10)


def test_the_proxies_of_the_environment(server, secure, monkeypatch):
    with proxy() as (port, heads):
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://me:{CANARY}@127.0.0.1:{port}")
        for one in (server, secure):
            assert bytes(http.read(one.url("a.tar"), 7, 90)[0]) == OBJECT[7:97]
        assert [head.split(" HTTP")[0] for head in heads] == [f"GET {server.url('a.tar')}", f"CONNECT 127.0.0.1:{secure.port}"]
        assert all("Proxy-Authorization: Basic " in head for head in heads)
        assert "Proxy-Authorization" not in secure.log[0].headers
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        answer._idle.forget()
        http.read(server.url("a.tar"), 7, 90)
        assert len(heads) == 2
    monkeypatch.delenv("no_proxy")
    with proxy(refuses=True) as (port, _):
        monkeypatch.setenv("https_proxy", f"http://me:{CANARY}@127.0.0.1:{port}")
        with pytest.raises(AccessError, match="proxy") as caught:
            http.stat(secure.url("a.tar"))
        assert CANARY not in text_of(caught.value)
    monkeypatch.setenv("https_proxy", f"socks5://me:{CANARY}@127.0.0.1:1")
    with pytest.raises(RemoteError, match="https_proxy is not") as caught:
        http.stat(secure.url("a.tar"))
    assert CANARY not in text_of(caught.value)


# -- a real server ------------------------------------------------------------------------------------------------------

NGINX = """daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors; events {{}}
http {{ access_log off; client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t; uwsgi_temp_path {folder}/t;
scgi_temp_path {folder}/t; server {{ listen 127.0.0.1:{port}; root {folder}/files; autoindex on; }} }}"""


@contextmanager
def nginx(folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    running = subprocess.Popen(["nginx", "-p", str(folder), "-e", str(folder / "errors"), "-c", str(folder / "nginx.conf")])
    try:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert running.poll() is None and time.monotonic() < until, (folder / "errors").read_text()
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_nginx(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.tar").write_bytes(OBJECT)
    with nginx(tmp_path) as base:
        url = f"{base}/a.tar"
        pin = http.stat(url)
        assert pin.size == SIZE and pin.etag
        for start, length in [(0, 1), (511, 40_000), (SIZE - 1, 10), (SIZE, 10), (0, SIZE)]:
            assert bytes(http.read(url, start, length, pin)[0]) == OBJECT[start : start + length]
        assert bytes(http.read_all(url)) == OBJECT
        with pytest.raises(MissingFileError):
            http.stat(f"{base}/none.tar")
        (files / "b.tar").write_bytes(gzip.compress(OBJECT))
        (files / "b.tar").replace(files / "a.tar")
        with pytest.raises(ChangedError):
            http.read(url, 0, 10, pin)


def test_the_fault_server_as_a_distant_one(tmp_path):
    (tmp_path / "a.tar").write_bytes(OBJECT)
    program = [sys.executable, str(Path(__file__).parents[1] / "faultserver.py"), str(tmp_path), "--latency", "0.1", "--rate", "200e3"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            url = f"http://127.0.0.1:{int(running.stdout.readline())}/a.tar"
            began = time.monotonic()
            with ThreadPoolExecutor(4) as threads:
                found = list(threads.map(lambda n: bytes(http.read(url, n, 10_000)[0]), range(4)))
            assert found == [OBJECT[n : n + 10_000] for n in range(4)]
            assert 0.3 <= time.monotonic() - began < 3  # a latency, and 40 kB over one link
        finally:
            running.terminate()


def test_dates_are_read():
    now = email.utils.formatdate(usegmt=True)
    assert http._retry_after({"retry-after": now}) < 2
    assert http._retry_after({"retry-after": "Thu, 01 Jan 2015 00:00:05 GMT", "date": "Thu, 01 Jan 2015 00:00:00 GMT"}) == 5
