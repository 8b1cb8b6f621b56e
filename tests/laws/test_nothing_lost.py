"""Laws 7, 8 and 12: every sample is accounted for, nothing half-written counts, what the user holds never changes."""

from __future__ import annotations

import copy
import io
import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import PIL.Image
import pytest
import torch

import vdata
from vdata import transforms as T
from vdata.encoded import Encoded
from vdata.errors import ChecksumError, DataError, DecodeError
from vdata.shards.manifest import Manifest
from vdata.source import Computed
from vdata.start import read

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COUNT = 40
BROKEN = (3, 4, 17, 28, 39)  # two neighbours, and the last


def picture(index):
    pixels = np.random.default_rng(index).integers(0, 256, (10, 12, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return Encoded(file.getvalue(), "Image", "png")


def sample_of(index):
    return {"__key__": f"{index:03d}", "image": picture(index), "label": index % 4}


def pictures(count=COUNT):
    return read(Computed("pictures", count, sample_of))


def members_of(folder):
    """(tar, member) of every picture."""
    for name in sorted(os.listdir(folder)):
        if name.endswith(".tar"):
            with tarfile.open(os.path.join(folder, name)) as tar:
                yield from ((os.path.join(folder, name), m) for m in tar if ".image." in m.name)


def break_member(path, member):
    """Flip one bit in the middle of a member's data."""
    with open(path, "r+b") as file:
        file.seek(member.offset_data + member.size // 2)
        byte = file.read(1)[0]
        file.seek(member.offset_data + member.size // 2)
        file.write(bytes([byte ^ 0x10]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A packed data set of 40 pictures in six shards, five of them broken: {key: (shard, byte)} and the folder."""
    folder = os.fspath(tmp_path_factory.mktemp("broken") / "set")
    pictures().pack(folder, samples_per_shard=7, quiet=True)
    places = {}
    for path, member in members_of(folder):
        key = member.name.split(".")[0]
        if int(key) in BROKEN:
            break_member(path, member)
            places[key] = (os.path.basename(path), member.offset_data)
    assert len(places) == len(BROKEN)
    return folder, places


HOW = {"inline": {"mode": "inline"}, "thread": {"workers": 3}, "process": {"workers": 2, "mode": "process"}}


@pytest.mark.parametrize("mode", HOW)
def test_a_broken_sample_raises_by_default_and_says_where(folder, mode):
    url, places = folder
    with pytest.raises(ChecksumError) as caught:
        list(vdata.open(url).loader(**HOW[mode]))
    where = caught.value.where
    assert where["key"] == "003" and where["field"] == "image"
    assert (where["shard"], where["byte"]) == places["003"]
    assert where["url"] == os.path.join(url, where["shard"])
    assert all(str(v) in str(caught.value) for v in where.values()) and "on_error" in str(caught.value)


def keys(items):
    return [k for item in items for k in (item["__key__"] if isinstance(item["__key__"], list) else [item["__key__"]])]


def skipping(url):
    return vdata.open(url).decode(on_error="skip")


PIPES = {
    "plain": lambda p: p,
    "shuffled": lambda p: p.shuffle(seed=2),
    "cropped": lambda p: p.shuffle(seed=2).apply(T.RandomCrop(6), T.RandomHorizontalFlip()),
    "mapped": lambda p: p.map(dict).shuffle(seed=1),
}


@pytest.mark.parametrize("name", PIPES)
@pytest.mark.parametrize("mode", HOW)
def test_skip_delivers_as_many_samples_and_names_every_broken_one(folder, name, mode):
    if mode == "process" and name != "cropped":
        return
    url, places = folder
    pipe = PIPES[name](skipping(url))
    loader = pipe.loader(**HOW[mode])
    order = keys(PIPES[name](pictures()))
    got = list(loader)
    assert len(got) == COUNT == loader.stats()["delivered"]
    said = loader.stats()["substituted"]
    assert sorted(entry["key"] for entry in said) == sorted(places)
    assert {e["key"]: (e["shard"], e["byte"]) for e in said} == places
    assert all(e["field"] == "image" and "not those that were written" in e["error"] for e in said)
    for place, (want, have) in enumerate(zip(order, keys(got), strict=True)):
        assert (want == have) == (want not in places), place
        assert have not in places
    assert {e["position"] for e in said} == {order.index(k) for k in places} or name == "mapped"


@pytest.mark.parametrize("name", PIPES)
@pytest.mark.parametrize("batch", [None, 3])
def test_substitutes_are_the_same_on_every_rank_worker_and_after_a_resume(folder, name, batch):
    url, _ = folder
    pipe = PIPES[name](skipping(url))
    one = list(pipe.loader(mode="inline"))
    batched = pipe if batch is None else pipe.batch(batch)
    for world in (2, 3):
        ranks = [keys(batched.loader(mode="inline", rank=r, world_size=world)) for r in range(world)]
        count = COUNT // world * world
        assert [ranks[p % world][p // world] for p in range(count)] == keys(one)[:count]
    assert keys(batched.loader(workers=3)) == keys(one)
    for start in (1, 7, 20):
        fresh = batched.loader(mode="inline")
        fresh.load_state_dict({**fresh.state_dict(), "position": start})
        rest = list(fresh)
        assert keys(rest) == keys(one)[start:]
        if batch is None:
            assert all(torch.equal(a["image"].plain(), b["image"].plain()) for a, b in zip(rest, one[start:], strict=True))


def test_a_substitute_is_augmented_as_the_sample_whose_place_it_takes(folder):
    url, _ = folder
    crop = T.RandomCrop(6)
    loader = skipping(url).apply(crop).loader(mode="inline")
    got = list(loader)
    by = {e["position"]: e["by"] for e in loader.stats()["substituted"]}
    assert set(by) == set(BROKEN)
    whole = [s["image"] for s in pictures()]
    whole_cropped = list(pictures().apply(crop))
    for position, other in by.items():
        assert got[position]["__key__"] == f"{other:03d}"
        # Its window is the broken one's: found by cropping every picture of the set with the same draws.
        again = read(Computed("pictures", COUNT, sample_of)).map(swap(position, whole[other])).apply(crop)[position]
        assert torch.equal(got[position]["image"].plain(), again["image"].plain())
        assert not torch.equal(got[position]["image"].plain(), whole_cropped[other]["image"].plain())


def swap(position, image):
    return lambda s: {**s, "image": image} if int(s["__key__"]) == position else s


def test_two_epochs_name_each_broken_sample_twice(folder):
    url, places = folder
    loader = skipping(url).shuffle().loader(workers=2)
    list(loader), list(loader)
    said = [(e["epoch"], e["key"]) for e in loader.stats()["substituted"]]
    assert sorted(said) == sorted((epoch, key) for epoch in (0, 1) for key in places)


def test_only_what_was_delivered_is_counted_as_substituted(folder):
    url, _ = folder
    loader = skipping(url).batch(2).loader(workers=4, prefetch=4)
    for _ in loader:
        break
    loader.close()
    assert loader.stats()["delivered"] == 2
    assert [e["key"] for e in loader.stats()["substituted"]] == []


def test_all_broken_raises_the_first_one(tmp_path):
    url = os.fspath(tmp_path / "set")
    pictures(5).pack(url, quiet=True)
    for path, member in members_of(url):
        break_member(path, member)
    with pytest.raises(ChecksumError, match="'000'"):
        list(skipping(url))


def garbled(index):
    image = picture(index)
    return {**sample_of(index), "image": Encoded(bytes(image.data)[:60], "Image", "png") if index in BROKEN else image}


def test_pictures_that_do_not_decode_are_replaced_too():
    pipe = read(Computed("garbled", COUNT, garbled))
    with pytest.raises(DecodeError, match="'003'"):
        list(pipe)
    for tail in (lambda p: p, lambda p: p.apply(T.RandomCrop(5)), lambda p: p.batch(4)):
        loader = tail(pipe.decode(on_error="skip")).loader(mode="inline")
        assert len(keys(loader)) == COUNT
        assert sorted(e["key"] for e in loader.stats()["substituted"]) == [f"{i:03d}" for i in BROKEN]


def broken_function(sample):
    raise ValueError("mine")


def test_only_bytes_at_rest_may_be_skipped():
    with pytest.raises(ValueError, match="mine"):
        list(pictures(4).decode(on_error="skip").map(broken_function))


def test_a_stream_goes_on_without_its_broken_samples_and_names_them():
    pipe = vdata.from_iterable([garbled(i) for i in range(COUNT)]).decode(on_error="skip").apply(T.RandomCrop(5))
    loader = pipe.loader(mode="inline")
    assert keys(loader) == [f"{i:03d}" for i in range(COUNT) if i not in BROKEN]
    said = loader.stats()["substituted"]
    assert [e["key"] for e in said] == [f"{i:03d}" for i in BROKEN] and all(e["by"] is None for e in said)


@pytest.mark.parametrize("uneven", ["drop", "pad", "exact"])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_delivered_and_dropped_make_the_total(world, drop_last, uneven):
    pipe = pictures(41).select("label").shuffle()
    batched = pipe.batch(4, drop_last=drop_last)
    delivered = []
    for rank in range(world):
        loader = batched.loader(mode="inline", rank=rank, world_size=world, uneven=uneven)
        mine = keys(loader)
        assert loader.stats()["delivered"] == len(mine) and loader.stats()["samples"] == 41
        share = {"drop": 41 // world, "pad": -(-41 // world), "exact": len(range(rank, 41, world))}[uneven]
        assert len(mine) == (share // 4 * 4 if drop_last else share)
        delivered += mine
    repeated = len(delivered) - len(set(delivered))
    dropped = 41 - len(set(delivered))
    assert len(delivered) - repeated + dropped == 41
    if not drop_last:
        assert (repeated, dropped) == {"drop": (0, 41 % world), "pad": (-41 % world, 0), "exact": (0, 0)}[uneven]


@pytest.mark.parametrize("tail", [lambda p: p.batch(4).to_tuple("label"), lambda p: p.to_tuple("label").batch(4), lambda p: p.batch(4, collate_fn=len)])
def test_stats_count_samples_whatever_the_batches_look_like(tail):
    loader = tail(pictures(10).select("label")).loader(mode="inline")
    list(loader)
    assert loader.stats()["delivered"] == 10


# -- law 12 ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", HOW)
def test_a_list_of_batches_equals_copies_taken_one_by_one(mode):
    pipe = pictures(24).shuffle().apply(T.RandomCrop(6)).batch(4)
    held, copies = [], []
    for batch in pipe.loader(**HOW[mode]):
        held.append(batch)
        copies.append(copy.deepcopy(batch))
    assert len(held) == 6
    for a, b in zip(held, copies, strict=True):
        assert a["__key__"] == b["__key__"] and a.at == b.at
        assert torch.equal(a["image"].plain(), b["image"].plain()) and torch.equal(a["label"], b["label"])


@pytest.mark.parametrize("leaf", [torch.zeros(2), np.zeros(2), [0.0, 0.0]])
def test_a_write_into_a_sample_does_not_reach_the_cache(leaf):
    pipe = vdata.from_torch([{"x": leaf}]).map(fresh_copy).cache()
    loader = pipe.loader(mode="inline")
    for _ in range(3):
        for sample in loader:
            assert float(sample["x"][0]) == 0
            sample["x"][0] += 1


def fresh_copy(sample):
    return copy.deepcopy(sample)


def test_the_cache_keeps_to_its_limit():
    calls = []
    big = vdata.from_torch([{"x": i} for i in range(8)]).map(lambda s: calls.append(s["x"]) or {"x": torch.zeros(1000)})
    loader = big.cache(limit=3 * 4200).loader(mode="inline")
    list(loader), list(loader)
    assert len(calls) == 8 + 5, "three of 4,000 bytes fit"


# -- law 8 ----------------------------------------------------------------------------------------------------------------------


PACK = """
import sys
sys.path.insert(0, {root!r})
import time, vdata
from tests.laws.test_nothing_lost import sample_of

def slow(index):
    if index == 110:
        print("ready", flush=True)
        time.sleep(60)
    return sample_of(index)

vdata.start.read(vdata.source.Computed("slow", 120, slow)).pack({url!r}, samples_per_shard=7, quiet=True)
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_pack_that_was_ended_leaves_no_data_set(tmp_path, sign):
    url = os.fspath(tmp_path / "set")
    process = subprocess.Popen(
        [sys.executable, "-c", "import vdata.start, vdata.source\n" + PACK.format(root=ROOT, url=url)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(sign)
    process.communicate(timeout=60)
    left = sorted(os.listdir(url))
    assert "shard-000000.tar" in left, "it had begun to write"
    assert not any("manifest" in name for name in left)
    with pytest.raises(DataError):
        Manifest.load(url)
    with pytest.raises(vdata.errors.VdataError, match="the same pack again finishes it"):
        vdata.open(url)  # some whole shards lie there: they are no data set


def test_a_pack_that_failed_leaves_nothing(tmp_path):
    url = os.fspath(tmp_path / "set")
    with pytest.raises(ValueError, match="mine"):
        pictures(120).map(fails_at_110).pack(url, samples_per_shard=7, quiet=True)
    assert os.listdir(url) == []
    assert len(pictures().pack(url, samples_per_shard=7, quiet=True)) == COUNT


def fails_at_110(sample):
    if sample["__key__"] == "110":
        raise ValueError("mine")
    return sample


def test_a_pack_of_a_broken_set_raises_or_leaves_out_and_says_so(folder, tmp_path):
    """A copy holds no substitutes: what is broken is left out and named, or the pack raises and leaves nothing."""
    url, broken = folder
    with pytest.raises(DataError):
        vdata.open(url).pack(os.fspath(tmp_path / "a"), quiet=True)
    assert not os.path.exists(tmp_path / "a" / "manifest.json")
    with pytest.warns(UserWarning, match=f"left out {len(broken)} broken samples"):
        packed = skipping(url).pack(os.fspath(tmp_path / "b"), quiet=True)
    keys = [s["__key__"] for s in packed]
    assert len(set(keys)) == len(keys) == len(vdata.open(url)) - len(broken)
