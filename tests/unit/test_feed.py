"""What feeds a device: conversion behind the copy, one batch ahead, memory formats; and who is said to wait for whom."""

import time

import pytest
import torch

import vdata
from tests import faultserver
from vdata import transforms as T
from vdata.errors import PlanError
from vdata.run.device import fed
from vdata.run.each import Item, each
from vdata.run.ring import Inline
from vdata.run.stats import Times, summary
from vdata.run.walk import Walk
from vdata.tensors import Image

FLOATS = [T.ToDtype(torch.float32, scale=True), T.Normalize([0.5] * 3, [0.2, 0.3, 0.4])]


def pictures(count: int = 12, size: int = 40):
    generator = torch.Generator().manual_seed(0)
    held = [Image(torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator)) for _ in range(count)]
    return vdata.from_torch([{"image": picture, "label": n} for n, picture in enumerate(held)])


PIPES = {
    "floats, before the batch": (pictures().apply(T.RandomCrop(32), *FLOATS).batch(4), "floats", 1),
    "floats, after it": (pictures().batch(4).apply(T.RandomHorizontalFlip(), *FLOATS), "floats", 1),
    "all after it": (pictures().apply(T.RandomCrop(32)).batch(4).apply(T.RandomHorizontalFlip(), T.ColorJitter(0.5), *FLOATS), "batch", 2),
    "nothing asked": (pictures().batch(4).apply(*FLOATS), "none", 0),
    "nothing there": (pictures().apply(T.RandomCrop(32)).batch(4), "floats", 0),
}


@pytest.mark.parametrize("name", PIPES)
def test_what_is_done_behind_the_copy_gives_what_workers_give(name):
    pipe, which, stages = PIPES[name]
    walk = Walk(pipe.plan, behind=which)
    assert len(walk.after_copy(0)) == stages
    expected = list(pipe.loader(mode="inline"))
    for (item, _), whole in zip(walk.run(walk.start(), Inline()), expected, strict=True):
        assert not stages or item.value["image"].dtype == torch.uint8  # bytes go over the bus
        assert torch.equal(_finished(walk, 0, item).value["image"], whole["image"])


def test_another_device_gets_bytes_and_makes_the_floats():
    for batch in PIPES["floats, before the batch"][0].loader(workers=1, device="meta"):
        assert batch["image"].device.type == "meta" and batch["image"].dtype == torch.float32 and batch["label"].device.type == "meta"


@pytest.mark.parametrize("mode", ["inline", "thread"])
@pytest.mark.parametrize("floats", [[], FLOATS])
def test_channels_last_is_another_layout_of_the_same_numbers(mode, floats):
    pipe = pictures().apply(T.RandomCrop(32), *floats).batch(4)
    for plain, laid in zip(pipe.loader(mode="inline"), pipe.loader(mode=mode, memory_format=torch.channels_last), strict=True):
        assert type(laid["image"]) is Image and laid["image"].is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(plain["image"], laid["image"]) and plain["image"].is_contiguous()


class Direct:
    """A lane that copies at once: what is asked for when does not depend on a GPU."""

    def send(self, work):
        return work(), None

    def received(self, sent):
        return sent[0]


@pytest.mark.parametrize(("lane", "ready", "ahead"), [(None, True, 0), (Direct(), True, 1), (Direct(), False, 0)])
def test_items_come_in_order_and_one_ahead_where_it_is_ready(lane, ready, ahead):
    asked: list[int] = []

    def pairs():
        for n in range(5):
            asked.append(n)
            yield Item((0, n), n), n

    seen = [(item.value, after, len(asked)) for item, after in fed(pairs(), lambda item: item.to(item.value * 10), lane, lambda: ready)]
    assert seen == [(10 * n, n, min(5, n + 1 + ahead)) for n in range(5)]


@pytest.mark.parametrize("lane", [None, Direct()])
def test_what_cannot_be_moved_raises_after_what_could(lane):
    def move(item):
        if item.value == 2:
            raise RuntimeError("out of memory")
        return item

    seen = []
    with pytest.raises(RuntimeError, match="out of memory"):
        for item, _ in fed(iter([(Item((0, n), n), n) for n in range(5)]), move, lane, lambda: True):
            seen.append(item.value)
    assert seen == [0, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", PIPES)
def test_a_gpu_gets_the_same_batches(name):
    pipe, which, _ = PIPES[name]
    for here, there in zip(pipe.loader(mode="inline"), pipe.loader(workers=2, device="cuda", on_device=which), strict=True):
        assert there["image"].is_cuda
        torch.testing.assert_close(there["image"].cpu(), here["image"], atol=1e-5, rtol=0)


def slow(sample):
    time.sleep(0.01)
    return sample


def test_a_loop_that_waits_hears_for_what():
    loader = pictures().map(slow).batch(2).loader(workers=2)
    assert len(list(loader)) == 6
    said = loader.stats()
    assert said["waiting"] > 0.5 and next(iter(said["stages"])) == "map" and "most of all for map" in said["bottleneck"]
    assert said["stages"]["map"] > 0.1 and 0.5 < said["busy"] <= 1 and said["headspace"] > 2 * said["rate"]


def test_a_loop_that_is_slow_hears_that_it_is():
    loader = pictures().batch(2).loader(workers=1)
    for _ in loader:
        time.sleep(0.02)
    said = loader.stats()
    assert said["used_s"] > 0.09 and said["waiting"] < 0.5 and said["headspace"] >= said["rate"]


@pytest.mark.parametrize(("waited", "used", "words"), [(0.1, 9.9, "the training loop: it waits for data 1%"), (5, 5, "most of all for decode, which takes 75%"), (0, 0, "not known")])
def test_who_holds_up_whom(waited, used, words):
    times = Times()
    times.waited, times.used, times.samples = waited, used, 100
    said = summary(times, {"read": 1.0, "decode": 3.0}, 2)
    assert words in said["bottleneck"]
    assert not used or (said["headspace"], said["rate"]) == (100 / used, 10)


def test_decoding_is_told_apart_from_what_is_done_with_it(tmp_path):
    url = pictures(64, 400).pack(str(tmp_path / "shards"), quiet=True)
    loader = vdata.open(str(tmp_path / "shards")).apply(T.RandomResizedCrop(32)).batch(8).loader(workers=1)
    assert len(list(loader)) == len(url) // 8
    assert {"decode", "decode+apply", "read"} <= set(loader.stats()["stages"])


def test_streams_are_measured_too():
    loader = vdata.from_iterable({"x": n} for n in range(20)).map(slow).loader(workers=2)
    list(loader)
    assert loader.stats()["stages"]["map"] > 0.15


def test_traffic_is_counted(tmp_path):
    pictures(8, 64).pack(str(tmp_path / "shards"), quiet=True)
    with faultserver.serve(tmp_path / "shards") as server:
        url = server.url("")
        for cached in (False, True):
            loader = vdata.open(url, cache=str(tmp_path / "cache")).batch(4).loader(workers=1)
            list(loader)
            said = loader.stats()["traffic"]
            assert (said["bytes"] == 0 and said["cached"] > 8 * 64 * 64) if cached else said["bytes"] > 8 * 64 * 64


def test_bad_options_say_what_is_right():
    with pytest.raises(PlanError, match='"floats", "batch" or "none"'):
        pictures().loader(on_device="gpu")
    with pytest.raises(PlanError, match=r"torch\.channels_last"):
        pictures().loader(memory_format="nhwc")


@pytest.mark.parametrize("uneven", ["drop", "pad", "exact"])
@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 2), (1, 3)])
@pytest.mark.parametrize("start", [0, 4, 5])
@pytest.mark.parametrize("name", ["floats, before the batch", "all after it"])
def test_every_share_of_an_epoch_is_finished_once(name, start, rank, world, uneven):
    pipe, which, stages = PIPES[name]
    how = {"rank": rank, "world": world, "uneven": uneven}
    plain, walk = Walk(pipe.plan, optimize=False, **how), Walk(pipe.plan, behind=which, **how)
    state = {**walk.start(), "position": start}
    assert len(walk.after_copy(start)) == stages
    expected = [item.value["image"] for item, _ in plain.run(state, Inline())]
    found = [_finished(walk, start, item).value["image"] for item, _ in walk.run(state, Inline())]
    assert expected and len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def _finished(walk, start, item):
    for stage in walk.after_copy(start):
        item = each(stage)(item, -1)
    return item


def test_a_loop_that_counts_gets_new_epochs_though_partners_are_of_its_batches():
    loader = pictures(8).batch(4).apply(T.MixUp(num_classes=8)).loader(mode="inline")
    epochs = []
    for _ in range(3):
        items = iter(loader)
        epochs += [{at[0] for _ in range(len(loader)) for at in next(items).at}]
    assert epochs == [{0}, {1}, {2}]


def test_batches_joined_after_batching_are_moved_by_a_draw_a_sample():
    parts = [pictures(8).select("image").map(lambda s: {"image": s["image"]}).batch(4) for _ in range(2)]
    pipe = vdata.concat(*parts).apply(T.RandomCrop(6))
    for quick, plain in zip(pipe.loader(mode="inline"), pipe.loader(mode="inline", optimize=False), strict=True):
        assert type(quick) is type(plain) is vdata.Batch and torch.equal(quick["image"], plain["image"])


def test_what_is_no_named_tuple_goes_to_a_device_too():
    pipe = pictures(4).map(lambda s: {**s, "shape": s["image"].shape}).batch(2)
    assert all(batch["shape"] == [torch.Size([3, 40, 40])] * 2 for batch in pipe.loader(mode="inline", device="cpu"))


def test_letting_go_computes_no_more_than_what_is_under_way():
    def slowly(sample):
        time.sleep(0.1)
        return sample

    items = iter(loader := pictures(64).map(slowly).batch(1).loader(workers=2, prefetch=8))
    next(items)
    began = time.perf_counter()
    loader.close()
    assert time.perf_counter() - began < 0.6  # 16 were asked for, of which 2 are under way
