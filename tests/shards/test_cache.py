"""The disk cache: always the right bytes, whatever happens to its files, its processes and its disk; each byte is fetched once."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.shards.cache_worker import BLOCKS, DATA, ETAG, SIZE, URL
from vdata.errors import PlanError, ShardError, TruncatedShardError
from vdata.shards import cache as cache_module
from vdata.shards.blocks import BLOCK, identify
from vdata.shards.cache import Cache
from vdata.shards.upkeep import default_root, entries, listing, parse_size, prune, remove, verify

WORKER = Path(__file__).with_name("cache_worker.py")


class Server:
    """Fetches from DATA, and counts."""

    def __init__(self, data: bytes = DATA):
        self.data, self.calls = data, []

    def __call__(self, start: int, length: int) -> bytes:
        assert 0 <= start < start + length <= len(self.data)
        self.calls.append((start, length))
        return self.data[start : start + length]

    @property
    def bytes(self) -> int:
        return sum(length for _, length in self.calls)


def never(start: int, length: int) -> bytes:
    raise AssertionError(f"{length} bytes from {start} should be here")


def paths(root) -> tuple[Path, Path]:
    stem = identify(URL, ETAG, SIZE).stem(str(root))
    return Path(stem + ".data"), Path(stem + ".have")


def on_disk(root) -> int:
    return sum(found.bytes for found in entries(str(root)))


@contextmanager
def worker(*args) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, str(WORKER), *map(str, args)], stdin=-1, stdout=-1, stderr=-1, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen, text: str = "") -> str:
    out, error = process.communicate(text, timeout=60)
    assert process.returncode == 0, error
    return out


def answers(*args) -> str:
    with worker(*args) as process:
        return answer(process)


# -- right bytes -------------------------------------------------------------------------------------------------------

ranges = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda t: (min(t), max(t) - min(t)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(ranges, st.lists(st.tuples(st.booleans(), st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=6)), max_size=8))
def test_flipped_bits_are_never_read(steps):
    with tempfile.TemporaryDirectory() as root:
        server, cache = Server(), Cache(root, "1GB")
        for (start, length), flips in steps:
            assert cache.entry(URL, ETAG, SIZE).read(start, length, server) == DATA[start : start + length]
            for in_table, where, bit in flips:
                path = paths(root)[in_table]
                if path.exists():
                    flip(path, int(where * path.stat().st_size), bit)


def flip(path: Path, at: int, bit: int = 0) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


class Life(RuleBasedStateMachine):
    """Two cache objects over one folder, and somebody who breaks its files: reads are right, and raise nothing."""

    @initialize()
    def begin(self):
        self.root = tempfile.mkdtemp()
        self.caches = [Cache(self.root, "4MB"), Cache(self.root, "1GB")]

    @rule(which=st.integers(0, 1), version=st.integers(0, 2), at=ranges)
    def read(self, which, version, at):
        start, length = at
        data = bytes([version]) + DATA[1:]
        assert self.caches[which].entry(URL, f"v{version}", SIZE).read(start, length, Server(data)) == data[start : start + length]

    @rule(which=st.integers(0, 1), at=ranges)
    def drop(self, which, at):
        entry = self.caches[which].entry(URL, "v0", SIZE)
        entry.drop(*at)
        assert entry.missing(*at) == (at[1] > 0)

    @rule(choose=st.randoms(use_true_random=False), how=st.sampled_from(["flip", "cut", "longer", "empty", "unlink", "link", "folder", "swap"]))
    def break_file(self, choose, how):
        files = sorted(p for p in Path(self.root).glob("??/*") if p.suffix in (".data", ".have") and p.is_file() and not p.is_symlink())
        if not files:
            return
        path = choose.choice(files)
        if how == "flip" and path.stat().st_size:
            flip(path, choose.randrange(path.stat().st_size))
        elif how in ("cut", "longer", "empty"):
            os.truncate(path, {"cut": path.stat().st_size // 2, "longer": path.stat().st_size + 7, "empty": 0}[how])
        elif how == "swap":
            shutil.copy(choose.choice([f for f in files if f.suffix == path.suffix]), f"{path}.new")
            os.replace(f"{path}.new", path)
        else:
            path.unlink()
            if how == "link":
                path.symlink_to(__file__)
            elif how == "folder":
                path.mkdir()

    @rule(which=st.sampled_from(["evict", "prune", "verify", "list", "anew"]))
    def keep_house(self, which):
        if which == "evict":
            for found in entries(self.root)[:1]:
                found.remove()
        elif which == "prune":
            prune(self.root, "3MB")
            assert on_disk(self.root) <= 3e6
        elif which == "verify":
            verify(self.root)
            assert verify(self.root)[1] == 0
        elif which == "list":
            assert all(0 <= found.present <= 1 and not found.in_use for found in listing(self.root))
        else:
            self.caches[0] = pickle.loads(pickle.dumps(self.caches[0]))

    def teardown(self):
        if hasattr(self, "root"):
            shutil.rmtree(self.root)


Life.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
TestLife = Life.TestCase


def test_what_is_here_is_not_fetched_again(tmp_path):
    server, cache = Server(), Cache(tmp_path / "c", "1GB")
    entry = cache.entry(URL, ETAG, SIZE)
    assert entry.missing(0, 1)
    assert entry.read(BLOCK + 5, 10, server) == DATA[BLOCK + 5 : BLOCK + 15]
    assert server.calls == [(BLOCK, BLOCK)]
    entry.read(0, 4 * BLOCK, server)
    assert server.calls[1:] == [(0, BLOCK), (2 * BLOCK, 2 * BLOCK)]  # a call a run
    assert pickle.loads(pickle.dumps(cache)).entry(URL, ETAG, SIZE).read(0, 4 * BLOCK, never) == DATA[: 4 * BLOCK]
    assert entry.read(SIZE - 1, 1, server) == DATA[-1:]
    assert entry.read(SIZE, 0, never) == b""
    with pytest.raises(ShardError, match="no such range"):
        entry.read(SIZE - 1, 2, never)


def test_a_block_in_another_place_does_not_count(tmp_path):
    """Neither within an entry, nor in another version of the same object, though its mark comes with it."""
    cache = Cache(tmp_path, "1GB")
    for etag, data in ((ETAG, DATA), ("v2", DATA[::-1])):
        cache.entry(URL, etag, SIZE).read(0, SIZE, Server(data))
    data, have = paths(tmp_path)
    table = have.stat().st_size - 4 * BLOCKS
    for path, start, step in ((data, 0, BLOCK), (have, table, 4)):
        other = Path(identify(URL, "v2", SIZE).stem(str(tmp_path)) + path.suffix).read_bytes()
        true = path.read_bytes()
        with open(path, "r+b") as file:
            file.seek(start + 5 * step)
            file.write(true[start + 3 * step :][:step])
            file.write(other[start - len(true) + 6 * step :][:step])  # its header has another length
    server = Server()
    assert cache.entry(URL, ETAG, SIZE).read(0, SIZE, server) == DATA
    assert server.calls == [(5 * BLOCK, 2 * BLOCK)]


def test_an_object_larger_than_a_run(tmp_path):
    data = os.urandom(3) * (6 * 10**6)
    server, entry = Server(data), Cache(tmp_path, "1GB").entry(URL, ETAG, len(data))
    assert entry.read(1, len(data) - 1, server) == data[1:]
    assert max(length for _, length in server.calls) == 8 << 20 and server.bytes == len(data)
    assert entry.read(0, len(data), never) == data


@pytest.mark.parametrize("wrong", [b"", b"x" * 9, b"x" * (BLOCK + 1)])
def test_a_fetch_of_another_length_is_an_error_and_nothing_is_kept(tmp_path, wrong):
    entry = Cache(tmp_path, "1GB").entry("https://me:pw@host/a?sig=secret", ETAG, SIZE)
    with pytest.raises(TruncatedShardError, match=f"expected {BLOCK} bytes from byte 0, got {len(wrong)}") as caught:
        entry.read(0, 10, lambda start, length: wrong)
    assert "pw" not in str(caught.value) and "secret" not in str(caught.value)
    assert entry.read(0, 10, Server()) == DATA[:10]


def test_wrong_bytes_are_dropped(tmp_path):
    entry = Cache(tmp_path, "1GB").entry(URL, ETAG, SIZE)
    entry.read(0, SIZE, Server(bytes(SIZE)))
    entry.drop(BLOCK + 1, BLOCK)
    server = Server()
    assert entry.read(BLOCK + 1, BLOCK, server) == DATA[BLOCK + 1 : 2 * BLOCK + 1]
    assert server.calls == [(BLOCK, 2 * BLOCK)]


def test_who_asks_makes_no_other_entry_and_no_secret_is_kept(tmp_path):
    server, cache = Server(), Cache(tmp_path, "1GB")
    for secret in ("one", "two"):
        query = f"part=1&X-Amz-Signature={secret}&X-Amz-Date={secret}&Expires={secret}&token={secret}"
        cache.entry(f"https://{secret}:{secret}/{secret}@host/a.tar?{query}", ETAG, SIZE).read(0, 9, server)
    assert len(server.calls) == 1
    assert [found.url for found in listing(tmp_path)] == ["https://host/a.tar?part=1"]
    assert b"one" not in b"".join(path.read_bytes() for path in tmp_path.glob("*/*.have"))
    for other in (("https://host/a.tar?part=2", ETAG, SIZE), ("https://host/a.tar?part=1", "v2", SIZE), (URL, ETAG, SIZE)):
        assert cache.entry(*other).missing(0, 9)


# -- one download ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["read_all", "without_locks"])
def test_four_processes_read_one_cold_object(tmp_path, mode):
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(mode, tmp_path / "cache", tmp_path / "log", seed)) for seed in range(4)]
        for process in workers:
            assert process.stdout.readline() == "ready\n"
        for process in workers:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [answer(process) for process in workers] == ["right\n"] * 4
    fetched = sum(int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines())
    assert fetched == SIZE if mode == "read_all" else fetched >= SIZE
    assert Cache(tmp_path / "cache", "1GB").entry(URL, ETAG, SIZE).read(0, SIZE, never) == DATA
    assert not list((tmp_path / "cache").glob("*/*.tmp"))


def threads(*work) -> list[threading.Thread]:
    started = [threading.Thread(target=one) for one in work]
    for thread in started:
        thread.start()
    return started


def ended(started: list[threading.Thread], seconds: float = 20) -> None:
    for thread in started:
        thread.join(seconds)
        assert not thread.is_alive()


def test_eight_threads_read_one_cold_object(tmp_path):
    server, cache, right = Server(), Cache(tmp_path, "1GB"), []

    def read(seed: int) -> None:
        starts = list(range(0, SIZE, 90_000))
        random.Random(seed).shuffle(starts)
        entry = cache.entry(URL, ETAG, SIZE)
        right.append(all(entry.read(s, min(90_000, SIZE - s), slow) == DATA[s : s + 90_000] for s in starts))

    def slow(start: int, length: int) -> bytes:
        time.sleep(0.005)
        return server(start, length)

    ended(threads(*(lambda s=seed: read(s) for seed in range(8))))
    assert right == [True] * 8
    assert server.bytes == SIZE


def test_who_make_an_entry_at_once_share_its_files(tmp_path):
    """Else each would fetch for itself. Every thread has a cache of its own, as processes do."""
    for number in range(5):
        what, gate, made = identify(f"{URL}{number}", ETAG, SIZE), threading.Barrier(6), []

        def make(what=what, gate=gate, made=made) -> None:
            gate.wait(20)
            made.append(Cache(tmp_path, "1GB").files(what))

        ended(threads(*[make] * 6))
        assert len({os.fstat(files._have).st_ino for files in made}) == 1 and not any(files.gone for files in made)


@pytest.mark.parametrize("fate", ["raises", "stalls"])
def test_who_waits_for_a_download_that_fails_fetches_itself(tmp_path, fate, monkeypatch):
    monkeypatch.setattr(cache_module, "PATIENCE", 0.2)
    entry, begun, go, got = Cache(tmp_path, "1GB").entry(URL, ETAG, SIZE), threading.Event(), threading.Event(), []

    def broken(start: int, length: int) -> bytes:
        begun.set()
        assert go.wait(20)
        raise KeyError("mine")

    def first() -> None:
        with pytest.raises(KeyError, match="mine"):
            entry.read(0, 10, broken)
        got.append("failed")

    started = threads(first)
    assert begun.wait(20)
    others = threads(*[lambda: got.append(entry.read(0, 10, Server()))] * 3)
    if fate == "stalls":
        ended(others)
        go.set()
    time.sleep(0.02)
    go.set()
    ended(started + others)
    assert sorted(map(str, got)) == sorted(map(str, [DATA[:10]] * 3 + ["failed"]))


# -- killed processes --------------------------------------------------------------------------------------------------


def test_killed_at_every_write(tmp_path):
    assert answers("die_at_every_write", tmp_path).startswith("right")


def test_killed_at_any_moment(tmp_path):
    assert answers("die_at_any_moment", tmp_path, 200).startswith("right")


def test_a_forked_child_opens_its_own_files(tmp_path):
    cache = Cache(tmp_path, "1GB")
    entry = cache.entry(URL, ETAG, SIZE)
    entry.read(0, 2 * BLOCK, Server())
    before = descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: the test process may have threads
        child = os.fork()
    if child == 0:
        try:
            os._exit(not (descriptors() <= before - 2 and entry.read(5, BLOCK, never) == DATA[5 : BLOCK + 5]))
        finally:
            os._exit(9)
    assert os.waitpid(child, 0)[1] == 0
    assert entry.read(5, BLOCK, never) == DATA[5 : BLOCK + 5]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_files_and_threads_do_not_pile_up(tmp_path):
    def mine() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{n}").startswith(str(tmp_path)) for n in os.listdir("/proc/self/fd"))

    alive = threading.active_count()
    cache = Cache(tmp_path, "1GB")
    for number in range(100):
        cache.entry(f"{URL}/{number}", ETAG, 10).read(0, 10, lambda start, length: b"0123456789")
    assert 0 < mine() <= 2 * 64
    listing(tmp_path), verify(tmp_path), prune(tmp_path, 0)
    cache.entry(URL, ETAG, SIZE).read(0, SIZE, Server())
    cache.close()
    assert mine() == 0 and threading.active_count() <= alive
    assert cache.entry(URL, ETAG, SIZE).read(0, SIZE, never) == DATA
    del cache
    assert mine() == 0


# -- room --------------------------------------------------------------------------------------------------------------


def fill(cache: Cache, names: str) -> None:
    """Read objects of 1 MiB, each two seconds after the other."""
    for name in names:
        cache.entry(f"https://host/{name}", ETAG, 1 << 20).read(0, 1 << 20, Server(DATA[: 1 << 20]))
        for found in entries(cache.root):  # make all of them older instead of waiting
            os.utime(found.stem + ".have", (found.used - 2, found.used - 2))
        for files in cache._open.values():
            files._touched = 0.0


def names(root) -> str:
    return "".join(found.url[-1] for found in listing(root))


def test_the_least_recently_used_makes_room(tmp_path):
    cache = Cache(tmp_path, 4_600_000)
    fill(cache, "abcd")
    assert names(tmp_path) == "abcd"
    fill(cache, "a")
    assert names(tmp_path) == "bcda"
    fill(cache, "e")
    assert on_disk(tmp_path) <= 4_600_000
    assert names(tmp_path) == "dae" or names(tmp_path) == "cdae"
    for name in "fghbac":
        fill(cache, name)
        assert on_disk(tmp_path) <= 4_600_000
    assert names(tmp_path)[-3:] == "bac"


def test_what_is_removed_in_use_or_idle(tmp_path):
    """Another process reads: it stays. Nobody does, though files are open here: it goes, and its space at once."""
    with worker("hold", tmp_path) as process:
        assert process.stdout.readline() == "reading\n"
        assert [found.in_use for found in listing(tmp_path)] == [True]
        assert remove(tmp_path, "*") == (0, 0, 1)
        cache = Cache(tmp_path, 1_200_000)
        fill(cache, "ab")
        assert names(tmp_path).replace("r", "") == "b"  # a made room; a.tar did not
        assert answer(process, "go\n") == "right\n"
    assert not Cache(tmp_path, "1GB").entry(URL, ETAG, SIZE).missing(0, 100)
    assert remove(tmp_path, "host/b").count == 1
    fill(cache, "b")
    assert remove(tmp_path, "https://*/set/?.tar").count == 1
    idle = Cache(tmp_path, "1GB")
    fill(idle, "c")
    held = next(iter(idle._open.values()))._data
    assert os.fstat(held).st_blocks and remove(tmp_path, "host/c").count == 1 and not os.fstat(held).st_blocks
    assert idle.entry("https://host/c", ETAG, 1 << 20).missing(0, 1)
    assert cache.entry("https://host/b", ETAG, 1 << 20).read(0, 1 << 20, never) == DATA[: 1 << 20]


def test_where_nothing_can_make_room_reads_go_on(tmp_path):
    server, cache = Server(), Cache(tmp_path, 1_000_000)
    entry = cache.entry(URL, ETAG, SIZE)
    for start in range(0, SIZE, 50_000):
        assert entry.read(start, min(50_000, SIZE - start), server) == DATA[start : start + 50_000]
    assert on_disk(tmp_path) <= 1_000_000
    assert server.calls[-1] == (SIZE - SIZE % 50_000, SIZE % 50_000)  # no more than is wanted
    assert entry.read(0, 500_000, never) == DATA[:500_000]
    assert Cache(tmp_path / "none", 0).entry(URL, ETAG, SIZE).read(7, 9, server) == DATA[7:16]
    assert not (tmp_path / "none").exists()


def test_a_file_that_may_not_grow(tmp_path):
    out = answers("full", tmp_path, "file")
    assert out.startswith(f"right 1 True the cache {tmp_path} cannot be written (File too large)"), out
    assert "VDATA_CACHE" in out


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file", "1GB")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert cache.entry(URL, ETAG, SIZE).read(0, SIZE, Server()) == DATA
    assert cache.entry(URL, "v2", SIZE).read(0, SIZE, Server()) == DATA


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounts a file system")
@pytest.mark.parametrize("size, said", [("4m", "right 0 False"), ("1m", "right 1 True"), ("8k", "right 1 True"), ("0", "right 1 True")])
def test_a_full_disk(tmp_path, size, said):
    """Four objects of 2.4 MB: one fits at a time, or none, or not even its table; or nothing can be written at all."""
    mount = f"mount -t tmpfs -o {'ro' if size == '0' else f'size={size}'} none {tmp_path}"
    command = f"{mount} && exec {sys.executable} {WORKER} full {tmp_path} disk"
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=60)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout.startswith(said), (done.stdout, done.stderr)


# -- a hostile folder --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("what", ["symlink", "dangling", "hardlink", "fifo", "folder", "empty", "longer", "garbage", "older", "unreadable", "theirs"])
def test_what_lies_under_an_entrys_name_is_not_touched(tmp_path, what, which):
    root, target = tmp_path / "cache", tmp_path / "target"
    target.write_bytes(b"precious" * 100_000)
    Cache(root, "1GB").entry(URL, ETAG, SIZE).read(0, SIZE, Server())
    path, sizes = paths(root)[which], [p.stat().st_size for p in paths(root)]
    good = path.read_bytes()
    path.unlink()
    if what in ("symlink", "dangling"):
        path.symlink_to(target if what == "symlink" else tmp_path / "new")
    elif what == "hardlink":
        path.hardlink_to(target)
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
        (path / "mine").write_bytes(b"mine")
    else:
        path.write_bytes({"empty": b"", "longer": good + b"x", "garbage": os.urandom(len(good)), "older": good.replace(b"#\1", b"#\0")}.get(what, good))
        if what == "unreadable":
            path.chmod(0)
        elif what == "theirs" and os.geteuid() == 0:
            os.chown(path, 12345, 12345)
    cache = Cache(root, "1GB")
    assert cache.entry(URL, ETAG, SIZE).read(0, SIZE, Server()) == DATA
    assert cache.entry(URL, ETAG, SIZE).read(0, SIZE, never) == DATA
    assert {p.stat().st_uid for p in paths(root)} == {os.geteuid()} and [p.stat().st_size for p in paths(root)] == sizes
    assert target.read_bytes() == b"precious" * 100_000 and not (tmp_path / "new").exists()
    assert [p.read_bytes() for p in root.glob("*/*/mine")] == [b"mine"] * (what == "folder")
    assert remove(root, "*").count == 1 and target.read_bytes() == b"precious" * 100_000


def test_only_files_of_the_cache_are_removed(tmp_path):
    Cache(tmp_path, "1GB").entry(URL, ETAG, SIZE).read(0, 9, Server())
    data, have = paths(tmp_path)
    odd = [data.parent / "notes.data", data.parent / ("0" * 64 + ".data"), tmp_path / data.name, Path(f"{have}.12345678.tmp")]
    for path in odd:
        path.write_bytes(b"mine")
    (data.parent / ("f" * 64)).symlink_to(__file__)
    stale = Path(f"{have}.87654321.tmp")
    stale.write_bytes(b"")
    os.utime(stale, (time.time() - 4000,) * 2)
    assert prune(tmp_path, older_than=3600) == (0, 0, 0) and data.exists() and not stale.exists()
    assert prune(tmp_path, 0).count == 1
    assert not data.exists() and not have.exists() and all(path.exists() for path in odd)


def test_others_cannot_write_to_the_folder(tmp_path):
    cache = Cache(tmp_path / "a" / "b", "1GB")
    cache.entry(URL, ETAG, SIZE).read(0, 9, Server())
    modes = {stat.S_IMODE(p.stat().st_mode) for p in [tmp_path / "a" / "b", *(tmp_path / "a" / "b").rglob("*")]}
    assert modes == {0o700, 0o600}
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PlanError, match="anybody can write to the cache"):
        Cache(tmp_path / "open")
    if os.geteuid() == 0:
        (tmp_path / "theirs").mkdir()
        os.chown(tmp_path / "theirs", 12345, 12345)
        for use in (Cache, listing, verify, prune):
            with pytest.raises(PlanError, match="belongs to user 12345, not to you"):
                use(tmp_path / "theirs")


# -- upkeep and settings -----------------------------------------------------------------------------------------------


def test_upkeep(tmp_path):
    cache = Cache(tmp_path, "1GB")
    assert listing(tmp_path / "none") == [] and verify(tmp_path) == (0, 0)
    cache.entry(URL, ETAG, SIZE).read(0, 19 * BLOCK, Server())
    (found,) = listing(tmp_path)
    assert (found.url, found.size, found.in_use) == (URL, SIZE, False)
    assert found.present == 19 / BLOCKS and 19 * BLOCK <= found.on_disk < 20 * BLOCK and abs(found.used - time.time()) < 60
    for number in (3, 7):
        flip(paths(tmp_path)[0], number * BLOCK + 17)
    assert verify(tmp_path) == (19, 2)
    assert verify(tmp_path) == (17, 0)
    server = Server()
    assert cache.entry(URL, ETAG, SIZE).read(0, 19 * BLOCK, server) == DATA[: 19 * BLOCK]
    assert server.calls == [(3 * BLOCK, BLOCK), (7 * BLOCK, BLOCK)]
    with pytest.raises(PlanError, match="empty pattern"):
        remove(tmp_path, "")
    assert remove(tmp_path, "other") == (0, 0, 0)
    assert remove(tmp_path, found.name) == (1, found.on_disk, 0)


def test_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("VDATA_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("VDATA_CACHE_LIMIT", "2 MB")
    assert default_root() == Cache().root == str(tmp_path / "here") and Cache().limit == 2_000_000
    monkeypatch.delenv("VDATA_CACHE_LIMIT")
    cache = Cache()
    cache.entry(URL, ETAG, SIZE).read(0, 9, Server())
    assert cache.limit == pytest.approx(min(200e9, shutil.disk_usage(tmp_path).free / 2), rel=0.1)
    sizes = {"10GB": 10**10, "500 MB": 5 * 10**8, "1GiB": 2**30, "1.5TB": 1500 * 10**9, "7": 7, "3b": 3, 12: 12}
    assert {text: parse_size(text) for text in sizes} == sizes
    for wrong in ("", "GB", "1 XB", "-1", "1e9", "1iB", -1, "nan", "10 G B"):
        with pytest.raises(PlanError, match="no number of bytes"):
            parse_size(wrong)
