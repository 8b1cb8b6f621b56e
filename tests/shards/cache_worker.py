"""Processes that share a cache, for tests/shards/test_cache.py. Each prints what the test looks at."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings

import numpy as np

from vdata.shards.blocks import BLOCK
from vdata.shards.cache import Cache

URL, ETAG, SIZE = "https://host/set/a.tar", '"v1"', 37 * 65536 + 123
BLOCKS = -(-SIZE // BLOCK)
PART = 300_000  # of it is what those read who are killed
DATA = np.random.default_rng(0).bytes(SIZE)


def fetch(start: int, length: int) -> bytes:
    return DATA[start : start + length]


def read_all(root: str, log: str, seed: str) -> None:
    """Read the object, its first piece and then the others in a random order; every fetch is a line of the log."""

    def logged(start: int, length: int) -> bytes:
        time.sleep(0.05)
        with open(log, "a") as file:
            file.write(f"{start} {length}\n")
        return fetch(start, length)

    entry, starts = Cache(root, "1GB").entry(URL, ETAG, SIZE), list(range(150_000, SIZE, 150_000))
    random.Random(int(seed)).shuffle(starts)
    print("ready", flush=True)
    sys.stdin.readline()
    for start in [0, *starts]:
        length = min(150_000, SIZE - start)
        assert entry.read(start, length, logged) == DATA[start : start + length]
    print("right")


def without_locks(root: str, log: str, seed: str) -> None:
    def none(*given: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    fcntl.lockf = fcntl.flock = none  # as some network file systems have it
    read_all(root, log, seed)


def hold(root: str) -> None:
    """Read until a line comes in."""

    def waiting(start: int, length: int) -> bytes:
        print("reading", flush=True)
        sys.stdin.readline()
        return fetch(start, length)

    assert Cache(root, "1GB").entry(URL, ETAG, SIZE).read(0, 100, waiting) == DATA[:100]
    print("right")


def die_at_every_write() -> None:
    """A reader is killed before, within and after its n-th write, for every n; then a fresh one reads."""
    number, ended = 0, False
    while not ended:
        for share in (0.0, 0.5, 1.0):
            root = tempfile.mkdtemp(dir=sys.argv[2])
            ended = _killed(root, lambda n=number, s=share: _kill_within_write(n, s)) == 0
            _check(root)
        number += 1
    assert number > 6, number
    print("right")


def _kill_within_write(number: int, share: float) -> None:
    true, left = os.pwrite, [number]

    def pwrite(file: int, data: memoryview, at: int) -> int:
        if left[0]:
            left[0] -= 1
            return true(file, data, at)
        true(file, data[: int(len(data) * share)], at)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    os.pwrite = pwrite


def die_at_any_moment(count: str) -> None:
    """Readers are killed at random moments, all in one cache, in which blocks rot meanwhile."""
    rng, killed = random.Random(1), 0
    root = tempfile.mkdtemp(dir=sys.argv[2])
    for number in range(int(count)):
        if number % 20 == 0:
            root = tempfile.mkdtemp(dir=sys.argv[2])
        killed += _killed(root, lambda: None, after=rng.random() * 0.008) != 0
        _check(root)
        Cache(root, "1GB").entry(URL, ETAG, SIZE).drop(0, SIZE)
    assert killed > int(count) // 4, killed
    print("right", killed)


def _killed(root: str, prepare, after: float | None = None) -> int:
    """A child that reads the object: the signal that ended it, 0 if it ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            prepare()
            entry = Cache(root, "1GB").entry(URL, ETAG, SIZE)
            for start in range(0, PART, 100_000):
                assert entry.read(start, 150_000, fetch) == DATA[start : start + 150_000]
            os._exit(0)
        finally:
            os._exit(99)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), status
    return os.WTERMSIG(status)


def _check(root: str) -> None:
    entry = Cache(root, "1GB").entry(URL, ETAG, SIZE)
    assert entry.read(0, 2 * PART, fetch) == DATA[: 2 * PART]
    assert not entry.missing(0, 2 * PART)


def full(root: str, mode: str) -> None:
    """More is read than the disk takes: a file may not get larger, or the file system is full."""
    if mode == "file":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cache = Cache(root, "1GB")
        for number in range(4):
            entry = cache.entry(f"{URL}-{number}", ETAG, SIZE)
            for _ in range(2):
                assert entry.read(0, SIZE, fetch) == DATA
                assert entry.read(1000, 70_000, fetch) == DATA[1000:71_000]
    print("right", len(caught), cache._stopped, *{str(w.message) for w in caught})


if __name__ == "__main__":
    dict(globals())[sys.argv[1]](*sys.argv[(3 if sys.argv[1].startswith("die") else 2) :])
