"""Law 2: stop after any step, load into anything else, any number of times: the rest is what it would have been."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchdata.nodes import Loader as NodeLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import vdata
from vdata import transforms as T
from vdata.errors import StateError
from vdata.interop.torchdata import to_node
from vdata.source import Computed
from vdata.start import read

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def sample_of(index):
    return {"__key__": f"{index:06d}", "x": index}


def numbers(count):
    return read(Computed("numbers", count, sample_of))


def stream(count):
    return vdata.from_iterable(functools.partial(samples_up_to, count))


def samples_up_to(count):
    return [sample_of(i) for i in range(count)]


def not_third(sample):
    return sample["x"] % 3 != 0


def twins(sample):
    return [{**sample, "twin": k} for k in range(sample["x"] % 3)]


def through_json(state):
    return json.loads(json.dumps(state))


def play(pipe, world, state, steps, uneven="exact"):
    """`steps` steps (None: all that are left) of every rank from `state`: the samples in global order, the state after."""
    start = 0 if state is None else state["position"]
    # The rank that holds the first position comes first, and has most samples.
    ranks = sorted(range(world), key=lambda r: (r - start) % world)
    loaders = [pipe.loader(mode="inline", rank=r, world_size=world, uneven=uneven) for r in ranks]
    if state is not None:
        for loader in loaders:
            loader.load_state_dict(through_json(state))
    running = [iter(loader) for loader in loaders]
    seen, done = [], 0
    while steps is None or done < steps:
        rows = [row for it in running if (row := next(it, None)) is not None]
        if not rows:
            break
        values = [row["x"].tolist() if isinstance(row["x"], torch.Tensor) else [row["x"]] for row in rows]
        seen += [v[k] for k in range(max(map(len, values))) for v in values if k < len(v)]
        done += 1
    return seen, loaders[0].state_dict()


ELASTIC = {
    "plain": lambda: numbers(24),
    "shuffled": lambda: numbers(24).shuffle(seed=3),
    "windows": lambda: read(Computed("numbers", 150, sample_of)).shuffle(seed=1, window=16).take(24),
    "scanned": lambda: numbers(36).filter(not_third, scan=True).shuffle(seed=2),
    "repeated": lambda: numbers(8).shuffle().repeat(3),
    "zipped": lambda: vdata.zip(numbers(24), numbers(24).shuffle(seed=5).rename(y="x")),
    "concatenated": lambda: vdata.concat(numbers(10).shuffle(seed=1), numbers(14)).shuffle(seed=2),
}


@pytest.mark.parametrize("name", ELASTIC)
@pytest.mark.parametrize("epoch", [0, 3])
def test_elastic_pipes_stop_after_every_step_and_go_on_in_another_world(name, epoch):
    pipe = ELASTIC[name]()
    whole = pipe.loader(mode="inline")
    whole.set_epoch(epoch)
    start = whole.state_dict()
    sequence = [s["x"] for s in whole]
    assert len(sequence) == 24
    for stop in range(0, 13):
        first, state = play(pipe.batch(2), 1, start, stop)
        assert (state["epoch"], state["position"]) == (epoch, 2 * stop)
        for again in range(0, 3):
            seen, between = list(first), state
            for leg, world, steps in ((pipe.batch(3), 2, again), (pipe, 3, 1), (pipe.batch(5), 2, None)):
                if between["epoch"] == epoch:
                    part, between = play(leg, world, between, steps)
                    seen += part
            assert seen == sequence
            assert (between["epoch"], between["position"]) == (epoch + 1, 0)


@settings(max_examples=60)
@given(
    st.integers(1, 60), st.integers(0, 3),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(0, 4)), min_size=1, max_size=5),
)  # fmt: skip
def test_any_chain_of_worlds_and_batch_sizes_delivers_each_sample_once_in_order(count, seed, legs):
    pipe = numbers(count).shuffle(seed=seed)
    sequence = [s["x"] for s in pipe.loader(mode="inline")]
    state, seen = None, []
    for world, size, steps in legs:
        if world > count:
            continue
        part, state = play(pipe.batch(size), world, state, steps)
        seen += part
        if state["epoch"] == 1:
            break
    if state is None or state["epoch"] == 0:
        seen += play(pipe.batch(4), 1, state, None)[0]
    assert seen == sequence


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("uneven", ["drop", "pad", "exact"])
@pytest.mark.parametrize("world", [2, 3])
def test_all_ranks_have_one_state_after_each_common_step(world, uneven, drop_last):
    """Whichever rank writes the checkpoint, nothing that another rank has still to deliver is lost."""
    for count in range(world, 30):
        pipe = numbers(count).batch(3, drop_last=drop_last)
        loaders = [pipe.loader(mode="inline", rank=r, world_size=world, uneven=uneven) for r in range(world)]
        running = [iter(loader) for loader in loaders]
        for _ in range(min(map(len, loaders))):
            for it in running:
                next(it)
            states = [loader.state_dict()["position"] for loader in loaders]
            assert len(set(states)) == 1, (count, states)


@pytest.mark.parametrize("uneven", ["drop", "pad", "exact"])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_end_of_an_epoch_is_n_until_it_was_seen_and_then_the_next_epoch(world, drop_last, uneven):
    pipe = numbers(23).shuffle().batch(4, drop_last=drop_last)
    most = len(pipe.loader(mode="inline", rank=0, world_size=world, uneven=uneven))
    for rank in range(world):
        loader = pipe.loader(mode="inline", rank=rank, world_size=world, uneven=uneven)
        items, steps = iter(loader), len(loader)
        if steps < most:
            continue  # "exact": others have a batch to come, and the state says so
        for _ in range(steps):
            next(items)
        last = loader.state_dict()
        assert (last["epoch"], last["position"]) == (0, 23)
        for other in (1, 2):
            fresh = pipe.loader(mode="inline", rank=0, world_size=other, uneven=uneven)
            fresh.load_state_dict(through_json(last))
            assert list(fresh) == []
            assert (fresh.state_dict()["epoch"], fresh.state_dict()["position"]) == (1, 0)
        assert next(items, None) is None
        assert (loader.state_dict()["epoch"], loader.state_dict()["position"]) == (1, 0)
        fresh = pipe.loader(mode="inline", rank=rank, world_size=world, uneven=uneven)
        fresh.load_state_dict(through_json(loader.state_dict()))
        second = [b["x"].tolist() for b in loader]
        assert [b["x"].tolist() for b in fresh] == second and len(second) == steps


def test_epochs_advance_and_set_epoch_overrides():
    pipe = numbers(10).shuffle()
    loader = pipe.loader(workers=2)
    epochs = [[s["x"] for s in loader] for _ in range(3)]
    assert len({tuple(e) for e in epochs}) == 3 and loader.epoch == 3
    loader.set_epoch(1)
    assert [s["x"] for s in loader] == epochs[1] and loader.epoch == 2
    # The pipe itself counts too, and a pass that was left begins again.
    assert [[s["x"] for s in pipe] for _ in range(2)] == epochs[:2]
    for sample in pipe:
        assert sample["x"] == epochs[2][0]
        break
    assert [s["x"] for s in pipe] == epochs[2]
    pipe.set_epoch(0)
    assert [s["x"] for s in pipe] == epochs[0]


def test_a_loader_left_in_the_middle_begins_its_epoch_again_unless_a_state_is_loaded():
    loader = numbers(10).shuffle().loader(workers=2)
    first = [s["x"] for s in loader]
    loader.set_epoch(0)
    for k, _ in enumerate(loader):
        if k == 4:
            break
    state = loader.state_dict()
    assert [s["x"] for s in loader] == first
    loader.load_state_dict(state)
    assert [s["x"] for s in loader] == first[5:]


def test_a_state_counts_what_was_delivered_not_what_was_fetched_ahead():
    loader = numbers(64).loader(workers=4, prefetch=8)
    items = iter(loader)
    for k in range(1, 5):
        next(items)
        assert loader.state_dict()["position"] == k
    loader.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_resume_like_inline(workers):
    pipe = numbers(40).shuffle().map(not_third_or_none).batch(3)
    loader = pipe.loader(mode="inline")
    items, states = [], []
    for batch in loader:
        items.append(batch["x"].tolist())
        states.append(loader.state_dict())
    for stop, state in enumerate(states):
        fresh = pipe.loader(workers=workers)
        fresh.load_state_dict(through_json(state))
        assert [b["x"].tolist() for b in fresh] == items[stop + 1 :]


def not_third_or_none(sample):
    return {**sample, "keep": not_third(sample)}


# -- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "names"),
    [
        (lambda: numbers(10).shuffle(seed=1), "seed=0"),
        (lambda: numbers(10), "shuffle"),
        (lambda: numbers(10).shuffle().take(3), "take"),
        (lambda: numbers(11).shuffle(), "numbers"),
        (lambda: read(Computed("others", 10, sample_of)).shuffle(), "others"),
        (lambda: numbers(10).shuffle().seed(7), "seed 0"),
        (lambda: numbers(10).shuffle(window=8), "window"),
        (lambda: numbers(10).filter(not_third, scan=True).shuffle(), "filter"),
        (lambda: vdata.concat(numbers(10).shuffle(), numbers(3)), "read"),
    ],
)  # fmt: skip
def test_a_state_of_another_pipe_is_refused_naming_the_first_difference(here, names):
    loader = numbers(10).shuffle().loader(mode="inline")
    next(iter(loader))
    state = loader.state_dict()
    with pytest.raises(StateError, match=names):
        here().loader(mode="inline").load_state_dict(state)
    with pytest.raises(StateError, match=names):
        here().load_state_dict(state)


def test_a_state_loads_into_the_same_pipe_with_other_maps_transforms_and_batches():
    loader = numbers(10).shuffle().loader(mode="inline")
    rest = iter(loader)
    next(rest)
    other = numbers(10).shuffle().map(not_third_or_none).batch(3).loader(workers=2)
    other.load_state_dict(loader.state_dict())
    assert [x for b in other for x in b["x"].tolist()] == [s["x"] for s in rest]


@pytest.mark.parametrize("state", [None, {}, [], {"digest": "x"}, {"version": 1, "position": 0}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(StateError, match="state_dict"):
        numbers(3).loader(mode="inline").load_state_dict(state)


@pytest.mark.parametrize("wrong", [{"position": -1}, {"position": 2.5}, {"position": "2"}, {"position": 11}, {"epoch": None}, {"version": 99}])
def test_a_state_with_impossible_numbers_is_refused(wrong):
    pipe = numbers(10)
    with pytest.raises(StateError):
        pipe.loader(mode="inline").load_state_dict({**pipe.state_dict(), **wrong})


def test_another_decoder_warns():
    pipe = numbers(4)
    with pytest.warns(UserWarning, match="pixels may differ"):
        pipe.loader(mode="inline").load_state_dict({**pipe.state_dict(), "decoder": "another 1.0"})


def test_a_state_of_the_seed_of_a_child_is_refused_elsewhere():
    pair = lambda seed: vdata.concat(numbers(4).seed(seed), numbers(4))
    with pytest.raises(StateError):
        pair(2).loader(mode="inline").load_state_dict(pair(1).state_dict())


# -- pipes without an index --------------------------------------------------------------------------------------------------


STREAMS = {
    "filter": lambda: numbers(12).filter(not_third),
    "filter, shuffled": lambda: numbers(12).filter(not_third).shuffle(seed=1).batch(2),
    "filter, take": lambda: numbers(12).filter(not_third).take(5),
    "filter, skip": lambda: numbers(12).filter(not_third).skip(3),
    "filter, shard": lambda: numbers(12).filter(not_third).shard(2, 1),
    "filter, repeat": lambda: numbers(6).shuffle().filter(not_third).repeat(2),
    "filter, enumerate": lambda: numbers(12).filter(not_third).enumerate().to_dict_of_pair(),
    "filter, concat": lambda: vdata.concat(numbers(6).filter(not_third), numbers(3), numbers(6).filter(not_third)),
    "filter, filter": lambda: numbers(14).filter(not_third).filter(even),
    "flat_map": lambda: numbers(9).shuffle(seed=2).flat_map(twins),
    "flat_map, batch": lambda: numbers(9).shuffle(seed=2).flat_map(twins).batch(2),
    "flat_map, flat_map": lambda: numbers(7).flat_map(twins).flat_map(twins),
    "unbatch": lambda: numbers(8).shuffle().batch(3).unbatch(),
    "batch, take": lambda: numbers(11).batch(2).take(3),
    "batch, skip": lambda: numbers(11).shuffle().batch(2).skip(2),
    "batch, shuffle": lambda: numbers(16).batch(2).shuffle(seed=1),
    "batch, repeat": lambda: numbers(5).shuffle().batch(2).repeat(2),
    "batch, enumerate": lambda: numbers(7).batch(2).enumerate().to_dict_of_pair(),
    "batch, batch": lambda: numbers(9).batch(2).batch(2),
    "concat of batches": lambda: vdata.concat(numbers(5).batch(2), numbers(5).batch(3)),
    "stream": lambda: stream(7),
    "stream, enumerate": lambda: stream(7).enumerate(5).to_dict_of_pair(),
    "stream, buffer": lambda: stream(11).shuffle(seed=1, buffer_size=4),
    "stream, buffer, batch": lambda: stream(11).shuffle(seed=1, buffer_size=4).batch(3),
    "stream, take": lambda: stream(7).take(4),
    "stream, skip, repeat": lambda: stream(5).skip(2).repeat(2),
    "stream, buffer, repeat": lambda: stream(5).shuffle(buffer_size=3).repeat(2),
    "stream, batch, drop_last": lambda: stream(8).batch(3, drop_last=True),
    "zip of streams": lambda: vdata.zip(stream(6), stream(6).rename(y="x")),
    "zip of an index and a stream": lambda: vdata.zip(numbers(6).shuffle(), stream(6).rename(y="x")),
    "concat of streams": lambda: vdata.concat(stream(3), stream(0), stream(4)).batch(2),
}  # fmt: skip


def even(sample):
    return sample["x"] % 2 == 0


def pair_to_dict(pair):
    return {"number": pair[0], **pair[1]}


@vdata.register_verb
def to_dict_of_pair(pipe):
    return pipe.map(pair_to_dict)


def shown(value):
    """A sample or batch as plain data."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {n: shown(v) for n, v in value.items()}
    return [shown(v) for v in value] if isinstance(value, (list, tuple)) else value


def looped(pipe, **how):
    """A loader at epoch 1 (an epoch like any other)."""
    loader = pipe.loader(mode="inline", **how)
    loader.set_epoch(1)
    return loader


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("name", STREAMS)
def test_pipes_without_an_index_resume_after_every_step(name, world):
    pipe = STREAMS[name]()
    assert "elastic" not in str(pipe).splitlines()[0].split(" · ")
    for rank in range(world):
        how = {"rank": rank, "world_size": world}
        whole, states, loader = [], [], looped(pipe, **how)
        for item in loader:
            whole.append(shown(item))
            states.append(through_json(loader.state_dict()))
        assert whole or world == 2
        for stop, state in enumerate(states):
            fresh = pipe.loader(mode="inline", **how)
            fresh.load_state_dict(state)
            assert [shown(item) for item in fresh] == whole[stop + 1 :]
            assert fresh.epoch == 2
        # Again and again: a fresh loader for every single step.
        state, steps = through_json(looped(pipe, **how).state_dict()), []
        for _ in range(len(whole)):
            fresh = pipe.loader(mode="inline", **how)
            fresh.load_state_dict(state)
            steps.append(shown(next(iter(fresh))))
            state = through_json(fresh.state_dict())
        assert steps == whole


def test_a_stream_pipe_resumes_with_threads_too():
    pipe = numbers(40).shuffle().filter(not_third).flat_map(twins).batch(3)
    loader = pipe.loader(mode="inline")
    whole, states = [], []
    for batch in loader:
        whole.append(shown(batch))
        states.append(loader.state_dict())
    for stop in range(0, len(states), 2):
        fresh = pipe.loader(workers=3)
        fresh.load_state_dict(states[stop])
        assert [shown(b) for b in fresh] == whole[stop + 1 :]


def test_a_stream_state_of_another_world_or_batch_size_is_refused():
    pipe = numbers(12).filter(not_third).batch(2)
    loader = pipe.loader(mode="inline")
    next(iter(loader))
    state = loader.state_dict()
    with pytest.raises(StateError, match=r"scan=True"):
        pipe.loader(mode="inline", rank=0, world_size=2).load_state_dict(state)
    with pytest.raises(StateError, match=r"batch\(2\)"):
        numbers(12).filter(not_third).batch(3).loader(mode="inline").load_state_dict(state)


# -- elsewhere -----------------------------------------------------------------------------------------------------------------


PICTURES = os.path.join(os.path.dirname(skimage.__file__), "data")


def photographs():
    """Real pictures, really augmented."""
    names = ["astronaut.png", "coffee.png", "chelsea.png", "motorcycle_left.png", "rocket.jpg"]
    from vdata.encoded import Encoded

    records = []
    for name in names * 2:
        with open(os.path.join(PICTURES, name), "rb") as file:
            records.append({"image": Encoded(file.read(), "Image", name.rpartition(".")[2])})
    return (
        vdata.from_torch(records).shuffle(seed=1)
        .apply(T.RandomResizedCrop((48, 64)), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4, 0.4))
        .batch(2)
    )  # fmt: skip


def fingerprints(loader):
    return [hashlib.sha256(b["image"].numpy().tobytes()).hexdigest() for b in loader]


RESUME = """
import json, sys
sys.path.insert(0, {here!r})
from tests.laws.test_resume import fingerprints, photographs
loader = photographs().loader(workers=2)
loader.load_state_dict(json.load(sys.stdin))
print(json.dumps([fingerprints(loader), fingerprints(loader), loader.state_dict()]))
"""


def test_a_fresh_process_goes_on_with_the_same_pixels():
    loader = photographs().loader(mode="inline")
    items = iter(loader)
    next(items), next(items)
    state = json.dumps(loader.state_dict())
    want = [fingerprints(items), fingerprints(loader), loader.state_dict()]
    assert len(want[0]) == 3 and want[0][0] != want[1][0]
    run = subprocess.run(
        [sys.executable, "-c", RESUME.format(here=ROOT)], input=state, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == through_json(want)


def test_processes_resume_what_inline_left():
    pipe = numbers(30).filter(not_third, scan=True).shuffle().batch(3)
    loader = pipe.loader(mode="inline")
    items = iter(loader)
    next(items), next(items)
    fresh = pipe.loader(workers=2, mode="process")
    fresh.load_state_dict(through_json(loader.state_dict()))
    assert [shown(b) for b in fresh] == [shown(b) for b in items]
    assert fresh.state_dict() == loader.state_dict()


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
@pytest.mark.parametrize("make", [lambda: numbers(24).shuffle().batch(2), lambda: numbers(24).shuffle().filter(not_third).batch(2)])
def test_stateful_dataloader_resumes_in_the_middle(make):
    """torchdata's own loader over a pipe, with two workers that each keep the pipe's state."""
    loader = StatefulDataLoader(make(), batch_size=None, num_workers=2)
    whole = [shown(b) for b in loader]
    second = [shown(b) for b in loader]
    assert sorted(x for b in whole for x in b["x"]) == sorted(x for b in second for x in b["x"]) and whole != second
    for stop in (1, 4, len(whole) - 1):
        loader = StatefulDataLoader(make(), batch_size=None, num_workers=2)
        items = iter(loader)
        assert [shown(next(items)) for _ in range(stop)] == whole[:stop]
        state = loader.state_dict()
        del items
        fresh = StatefulDataLoader(make(), batch_size=None, num_workers=2)
        fresh.load_state_dict(state)
        assert [shown(b) for b in fresh] == whole[stop:]
        assert [shown(b) for b in fresh] == second


@pytest.mark.parametrize("make", [lambda: numbers(10).shuffle(), lambda: numbers(10).filter(not_third), lambda: numbers(10).shuffle().batch(2)])
def test_a_torchdata_node_resumes_after_every_step(make):
    loader = NodeLoader(to_node(make()))
    epochs = [[shown(s) for s in loader] for _ in range(2)]
    assert len(epochs[0]) == len(epochs[1])
    loader = NodeLoader(to_node(make()))
    states = []
    for _ in loader:
        states.append(loader.state_dict())
    for stop, state in enumerate(states):
        fresh = NodeLoader(to_node(make()))
        fresh.load_state_dict(state)
        if stop + 1 < len(states):  # torchdata's Loader begins the next epoch where nothing is left of one
            assert [shown(s) for s in fresh] == epochs[0][stop + 1 :]
        assert [shown(s) for s in fresh] == epochs[1]


def test_the_pipe_itself_resumes():
    pipe = numbers(9).shuffle()
    whole = [s["x"] for s in pipe]
    for stop in range(1, 10):
        pipe = numbers(9).shuffle()
        items = iter(pipe)
        assert [next(items)["x"] for _ in range(stop)] == whole[:stop]
        fresh = numbers(9).shuffle()
        fresh.load_state_dict(through_json(pipe.state_dict()))
        assert [s["x"] for s in fresh] == whole[stop:]
        assert fresh.state_dict()["epoch"] == 1


def test_positions_far_beyond_memory():
    pipe = numbers(10**12).shuffle(seed=1)
    loader = pipe.loader(mode="inline")
    loader.load_state_dict({**loader.state_dict(), "position": 10**12 - 3})
    rest = [s["x"] for s in loader]
    assert rest == [pipe[i]["x"] for i in range(10**12 - 3, 10**12)]
    assert np.unique(rest).size == 3
