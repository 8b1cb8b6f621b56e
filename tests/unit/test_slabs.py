"""Memory that is used again: never while anything refers to it (law 12), and then really."""

from __future__ import annotations

import gc
import pickle
import threading

import pytest
import torch

import vdata
from vdata import transforms as T
from vdata.slabs import SMALL, Slabs
from vdata.tensors import Image

BIG = (4, 3, 256, 256)


def test_a_slab_comes_back_when_the_last_tensor_over_it_is_gone():
    slabs = Slabs()
    first = slabs.take(BIG, torch.uint8)
    place = first.data_ptr()
    held = {
        "row": first[1], "view": first.view(-1)[5:9], "numpy": first[0].numpy(), "typed": Image(first), "storage": first.untyped_storage(),
        "dlpack": torch.from_dlpack(first), "detached": first.detach(),
    }  # fmt: skip
    del first
    for name in list(held):
        assert slabs.take(BIG, torch.uint8).data_ptr() != place, name
        del held[name]
    gc.collect()
    assert slabs.take(BIG, torch.uint8).data_ptr() == place


def test_dtypes_shapes_and_small_ones():
    slabs = Slabs()
    for dtype in (torch.uint8, torch.uint16, torch.float32, torch.float64, torch.bool, torch.bfloat16):
        tensor = slabs.take((7, 3, 200, 100), dtype)
        assert tensor.shape == (7, 3, 200, 100) and tensor.dtype == dtype and tensor.is_contiguous()
        tensor.zero_()
    assert slabs.take((2, 2), torch.int64).shape == (2, 2)
    assert slabs.take((0, 3), torch.uint8).shape == (0, 3)
    assert SMALL > 4


def test_little_is_kept_that_nobody_uses():
    slabs = Slabs()
    taken = [slabs.take(BIG, torch.uint8) for _ in range(20)]
    del taken
    assert sum(len(spare) for spare in slabs._spare.values()) <= 3
    for size in range(20):
        slabs.take((SMALL + size,), torch.uint8)
    assert len(slabs._spare) <= 4


def test_threads_never_share_one():
    slabs, wrong = Slabs(), []

    def work(number):
        for _ in range(200):
            mine = slabs.take((SMALL,), torch.uint8).fill_(number)
            if not bool((mine == number).all()):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_pickled_they_are_empty():
    assert pickle.loads(pickle.dumps(Slabs()))._spare == {}


def floats():
    pictures = [{"image": Image(torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)), "label": i} for i in range(96)]
    chain = T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True), T.Normalize([0.5], [0.2])
    return vdata.from_torch(pictures).apply(*chain).batch(16)


@pytest.mark.parametrize("mode", ["inline", "thread"])
@pytest.mark.parametrize("pipe", [floats(), floats().map(lambda b: b)], ids=["floats", "mapped"])
def test_a_batch_that_is_held_never_changes(mode, pipe):
    """Law 12: list(loader) equals copies taken one by one."""
    loader = pipe.loader(mode=mode) if mode == "inline" else pipe.loader(workers=2)
    copies = [batch["image"].clone() for batch in loader]
    loader.set_epoch(0)
    assert all(torch.equal(kept["image"], copy) for kept, copy in zip(list(loader), copies, strict=True))


def test_a_slice_that_is_held_never_changes_either():
    rows, copies = [], []
    for batch in floats().loader(workers=2):
        rows.append(batch["image"][3])
        copies.append(rows[-1].clone())
        del batch
    assert all(torch.equal(row, copy) for row, copy in zip(rows, copies, strict=True))


def test_batches_that_are_let_go_are_used_again():
    places = [batch["image"].data_ptr() for batch in floats().loader(mode="inline")]
    assert len(set(places)) < len(places)
