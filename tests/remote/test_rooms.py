"""Memory that answers are received into is used again, and never while anything of it is in use."""

import gc
import os
import random
import threading

import numpy as np
import pytest
import torch

from vdata.remote.rooms import Rooms

SIZE = 300_000


def place(view):
    return np.frombuffer(view, np.uint8).ctypes.data


@pytest.mark.parametrize("size", [1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 22, (1 << 22) + 1])
def test_a_room_has_its_size_and_can_be_filled(size):
    view = Rooms().take(size)
    view[:] = b"\1" * size
    assert len(view) == view.nbytes == size and not view.readonly


def test_what_is_let_go_is_used_again_also_for_another_size():
    rooms = Rooms()
    first = rooms.take(SIZE)
    where = place(first)
    del first
    assert place(rooms.take(SIZE + 1)) == where


@pytest.mark.parametrize("keep", [lambda v: v[5:9], lambda v: np.frombuffer(v, np.uint8), lambda v: torch.frombuffer(v, dtype=torch.uint8)[2:]], ids=["slice", "array", "tensor"])
def test_what_is_held_never_changes(keep):
    rooms = Rooms()
    first = rooms.take(SIZE)
    first[:] = b"\7" * SIZE
    kept = keep(first)
    del first
    rooms.take(SIZE)[:] = b"\1" * SIZE
    assert set(bytes(np.asarray(kept))) == {7}


def test_few_wait_for_use():
    rooms = Rooms()
    held = [rooms.take(SIZE) for _ in range(20)]
    del held
    gc.collect()
    assert sum(map(len, rooms._spare.values())) == 4


def test_threads_do_not_get_the_same():
    rooms, wrong = Rooms(), []

    def work(number):
        draw = random.Random(number)
        for _ in range(200):
            mine = np.frombuffer(rooms.take(draw.randrange(1 << 18, 1 << 20)), np.uint8)
            mine[:] = number
            if not (mine == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_a_forked_process_has_its_own():
    rooms = Rooms()
    mine = rooms.take(SIZE)
    mine[:] = b"\7" * SIZE
    child = os.fork()
    if not child:
        mine[:] = b"\1" * SIZE
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert bytes(mine) == b"\7" * SIZE
