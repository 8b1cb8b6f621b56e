"""Ranges that are brought ahead: all of them, few at a time at first, and again where they did not come."""

import threading
import time

import numpy as np
import pytest

from vdata.errors import RemoteError
from vdata.shards import ahead
from vdata.shards.ahead import Ahead

MB = 1 << 20


class Line:
    """Brings bytes, where `slow` only as often as it is let."""

    def __init__(self, slow=False):
        self.down, self.begun = False, []
        self.let = threading.Semaphore(0 if slow else 1 << 20)

    def __call__(self, shard, start, length):
        self.begun.append(start)
        assert self.let.acquire(timeout=60)
        if self.down:
            raise RemoteError("the line is down", url="http://far")
        return memoryview(bytes(length))

    def has_begun(self, count):
        """Whether exactly so many ranges are begun, and stay so."""
        deadline = time.monotonic() + 30
        while len(self.begun) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        return len(self.begun) == count


def ranges(count, size, gap=MB):
    return [("a.tar", n * (size + gap), size) for n in range(count)]


def test_the_first_come_first_and_more_at_a_time_later():
    line = Line(slow=True)
    early, asked = Ahead(line), ranges(24, 4 * MB)
    early.prepare(asked)
    assert line.has_begun(2) and sorted(line.begun) == [r[1] for r in asked[:2]]  # what fits into the first window
    line.let.release(2)
    assert line.has_begun(6)
    line.let.release(4)
    assert line.has_begun(14)
    line.let.release(1 << 10)
    assert all(len(early.take(*r)) == 4 * MB for r in asked)


def test_the_first_bytes_are_not_kept_waiting_for_their_neighbours():
    line = Line()
    early, asked = Ahead(line), ranges(800, MB // 10, gap=0)
    for at in range(0, 800, 64):
        early.prepare(asked[at : at + 64])
    assert [len(early.take(*r)) for r in asked] == [MB // 10] * 800
    asked_for = np.diff(np.append(np.sort(line.begun), 800 * (MB // 10)))
    assert asked_for[0] <= ahead._SOON and ahead._TOGETHER * 0.9 < asked_for.max() <= ahead._TOGETHER
    assert len(asked_for) < 50  # 80 MB


def test_no_thread_waits_for_what_has_no_room():
    line = Line(slow=True)
    early = Ahead(line)
    early.prepare(ranges(40, 4 * MB))
    assert line.has_begun(2) and early._crew._threads == 2
    line.let.release(1 << 10)
    assert all(early.take(*r) is not None for r in ranges(40, 4 * MB))


@pytest.mark.parametrize("size", [1, 9 * MB])
def test_nothing_is_forgotten_whatever_its_size(size):
    early, asked = Ahead(Line()), ranges(20, size)
    early.prepare(asked)
    assert [len(early.take(*r)) for r in asked] == [size] * 20


def test_threads_go_when_there_is_nothing_to_bring_and_come_again():
    early = Ahead(Line())
    for _ in range(2):
        early.prepare(ranges(4, 1))
        assert all(early.take(*r) is not None for r in ranges(4, 1))
        deadline = time.monotonic() + 10
        while early._crew._threads and time.monotonic() < deadline:
            time.sleep(0.05)
        assert early._crew._threads == 0 and early._crew._window == ahead._FIRST


def test_what_did_not_come_is_asked_for_again():
    line = Line()
    early, asked = Ahead(line), ranges(3, 4)
    line.down = True
    early.prepare(asked)
    with pytest.raises(RemoteError, match="down"):
        early.take(*asked[0])
    line.down = False
    early.prepare(asked)
    assert [len(early.take(*r)) for r in asked] == [4, 4, 4]
