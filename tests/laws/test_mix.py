"""A mix is arithmetic: which pipe stands where, that nothing of a pipe is lost or moved, how it ends, resumes and is refused."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import math
import pickle
import time
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import vdata
from vdata import transforms as T
from vdata.blend import Blend
from vdata.errors import PlanError, StateError
from vdata.key import Key
from vdata.order import Bijection
from vdata.run.place import turn_of
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import Image


def sample_of(name, index):
    return {"__key__": f"{name}{index:04d}", "pipe": name, "x": index}


def numbers(count, name="a"):
    return read(Computed(name, count, functools.partial(sample_of, name)))


def listed(count, name):
    return [sample_of(name, i) for i in range(count)]


def stream(count, name="a"):
    return vdata.from_iterable(functools.partial(listed, count, name))


class Tabled(Computed):
    """Numbers whose index knows a column."""

    def __init__(self, count, name):
        super().__init__(name, count, functools.partial(sample_of, name))
        self.columns = {"third": np.arange(count) % 3}


def not_third(sample):
    return sample["x"] % 3 != 0


def keys(items):
    return [k for item in items for k in (item["__key__"] if isinstance(item["__key__"], list) else [item["__key__"]])]


def epoch_of(pipe, epoch, **how):
    loader = pipe.loader(mode="inline", **how)
    loader.set_epoch(epoch)
    return keys(loader)


# -- the rule, one position after the other ---------------------------------------------------------------------------------


def rule(lengths, schedule, stop, seed, epoch):
    """The pipes' numbers at the positions of an epoch: as the rule reads, counting, where `Blend` computes."""
    starts = sorted(schedule)
    totals, begun = [0] * len(lengths), 0
    for number, start in enumerate(starts):
        exact = [Fraction(w) for w in schedule[start]]
        shares = [w / sum(exact) for w in exact]
        edges = list(itertools.accumulate(shares, initial=Fraction(0)))
        cycle = max(1024, *(math.ceil(2 / s) for s in shares if s))
        until = starts[number + 1] - start if number + 1 < len(starts) else math.inf

        def given_after(n, edges=edges, before=tuple(totals)):
            ends = [math.floor(n * edge + Fraction(1, 2)) for edge in edges]
            return [had + b - a for had, (a, b) in zip(before, itertools.pairwise(ends), strict=True)]

        extent, ended = until, False
        if stop != "never":
            extent, ended = ends_after(given_after, shares, lengths, stop, until)
        at = 0
        while at < extent:
            size = cycle if extent == math.inf or (extent - at) // cycle >= 2 else extent - at
            counts = [b - a for a, b in zip(given_after(at), given_after(at + size), strict=True)]
            turns = [pipe for pipe, n in enumerate(counts) for _ in range(n)]
            place = Bijection(size, int(Key.of("mix", seed, epoch, number, begun).bits[0]))
            yield from (turns[place(i)] for i in range(size))
            at, begun = at + size, begun + 1
        totals, begun = given_after(extent), 0
        if ended:
            return


def ends_after(given_after, shares, lengths, stop, until):
    """(positions of a stretch, whether the epoch ends there), by looking at every one of them."""
    n, bound = 0, max(math.ceil((length + 2) / share) for length, share in zip(lengths, shares, strict=True) if share)
    fits = 0
    while n <= min(until, bound):
        pairs = list(zip(given_after(n), lengths, strict=True))
        if stop == "all" and all(had >= length for had, length in pairs):
            return n, True
        if all(had <= length for had, length in pairs):
            fits = n
        n += 1
    if stop == "all":
        return until, False
    return fits, fits < until or any(had >= length for had, length in zip(given_after(fits), lengths, strict=True))


@st.composite
def mixes(draw):
    """Lengths, a schedule, a stop and a seed; small, but longer than a cycle now and then."""
    pipes = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 1500), min_size=pipes, max_size=pipes))
    weight = st.one_of(st.integers(0, 5), st.floats(0.05, 3), st.just(0))
    starts = [0, *sorted(draw(st.sets(st.integers(1, 3000), max_size=2)))]
    schedule = {at: draw(st.lists(weight, min_size=pipes, max_size=pipes)) for at in starts}
    stop = draw(st.sampled_from(["first", "all"]))
    seed = draw(st.integers(0, 2**64 - 1))
    assume(all(any(weights) for weights in schedule.values()))
    try:
        blend = Blend(lengths, schedule, stop, seed)
    except PlanError as error:
        assume("no weight" not in str(error) and "never comes" not in str(error))
        raise
    assume(blend.length <= 6000)
    return lengths, schedule, stop, seed, blend


@given(mixes(), st.integers(0, 3))
@settings(max_examples=15)
def test_a_mix_is_what_the_rule_says_one_position_after_the_other(mix, epoch):
    lengths, schedule, stop, seed, blend = mix
    want = list(rule(lengths, schedule, stop, seed, epoch))
    assert blend.length == len(want)
    had = Counter()
    for position, pipe in enumerate(want):
        assert blend.pick(epoch, position) == (pipe, had[pipe]), position
        had[pipe] += 1


@given(mixes(), st.integers(0, 3))
def test_every_pipe_comes_in_its_own_order_as_often_as_its_weights_say(mix, epoch):
    lengths, schedule, stop, _, blend = mix
    picks = [blend.pick(epoch, p) for p in range(int(blend.length))]
    taken = [[turn for pipe, turn in picks if pipe == i] for i in range(len(lengths))]
    assert all(turns == list(range(len(turns))) for turns in taken), "no turn is lost, none comes twice or early"
    totals = list(map(len, taken))
    if stop == "first":
        assert all(had <= length for had, length in zip(totals, lengths, strict=True))
    else:
        assert all(had >= length for had, length in zip(totals, lengths, strict=True))
    assert any(had == length for had, length in zip(totals, lengths, strict=True)), "it ends where a pipe does"
    ends = [*sorted(schedule)[1:], len(picks)]
    for start, end in zip(sorted(schedule), ends, strict=True):
        total, shares = sum(map(Fraction, schedule[start])), [Fraction(w) for w in schedule[start]]
        cycle = max(1024, *(math.ceil(2 * total / share) for share in shares if share))
        for at in (*range(start + cycle, min(end, len(picks)) - cycle + 1, cycle), min(end, len(picks))):
            seen = Counter(pipe for pipe, _ in picks[start:at])
            for i, share in enumerate(shares):
                assert abs(seen[i] - (at - start) * share / total) < 1 or at < start


@given(st.lists(st.integers(1, 50), min_size=2, max_size=4), st.data())
def test_no_epoch_of_a_pipe_comes_in_two_epochs_of_a_mix(lengths, data):
    weights = data.draw(st.lists(st.integers(1, 6), min_size=len(lengths), max_size=len(lengths)))
    stop = data.draw(st.sampled_from(["first", "all", "never"]))
    mix = vdata.mix([numbers(n, f"p{i}") for i, n in enumerate(lengths)], weights, stop=stop)
    length = int(min(mix.plan.length, 400))
    turn = turn_of(mix.plan)
    places = [turn(epoch, p) for epoch in range(3) for p in range(length)]
    assert len(set(places)) == len(places), "no sample of a pipe twice at one place"
    of = [{(pipe, e) for pipe, e, _ in places[k * length : (k + 1) * length]} for k in range(3)]
    assert not of[0] & of[1] and not of[1] & of[2] and not of[0] & of[2]


@pytest.mark.parametrize("weights", [[0.3, 0.3, 0.4], [1, 1, 2**-17], {0: [1, 0, 0], 10**6: [1, 1, 1], 10**11: [0, 1, 5]}])
def test_far_out_costs_what_near_costs(weights):
    """A place is looked up, not counted to: in a set of 10**15, in a stretch that began 10**12 positions ago."""
    blend = Blend([10**15] * 3, weights, "never")
    start = time.perf_counter()
    picks = [blend.pick(0, 10**12 + p) for p in range(200)]
    assert time.perf_counter() - start < 5
    by = {i: [turn for pipe, turn in picks if pipe == i] for i in range(3)}
    assert all(turns == list(range(turns[0], turns[0] + len(turns))) for turns in by.values() if turns)
    schedule = weights if isinstance(weights, dict) else {0: weights}
    last = max(schedule)
    share = [w / sum(schedule[last]) for w in schedule[last]]
    assert all(turns[0] == pytest.approx((10**12 - last) * share[i], rel=1e-3, abs=2 * 10**6 + last) for i, turns in by.items() if turns)


def test_turns_are_mixed_and_each_epoch_and_seed_has_its_own():
    blend = Blend([10**6] * 2, [1, 1], "never")
    order = lambda b, epoch: [b.pick(epoch, p)[0] for p in range(4096)]
    one = np.array(order(blend, 0))
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.06
    runs = [len(list(same)) for _, same in itertools.groupby(one)]
    assert 4 < max(runs) < 30
    others = [order(blend, 1), order(Blend([10**6] * 2, [1, 1], "never", 1), 0)]
    assert all(0.4 < np.mean(one == other) < 0.6 for other in others)
    assert one[:1024].sum() == one[1024:2048].sum() == 512


def test_a_blend_that_was_pickled_picks_alike():
    pipe = vdata.mix([numbers(30, "a").shuffle(), numbers(20, "b")], {0: [1, 0], 9: [1, 2]}, stop="all", seed=5)
    want = epoch_of(pipe, 1)
    for again in (pickle.loads(pickle.dumps(pipe)), copy.deepcopy(pipe)):
        assert epoch_of(again, 1) == want


# -- pipes ------------------------------------------------------------------------------------------------------------------------


def mixed(children, weights, stop, seed, epoch):
    """The keys of a mix's epoch, from the whole epochs of its pipes: `children` is functions of an epoch."""
    lengths = [len(child(0)) for child in children]
    turns = list(rule(lengths, weights if isinstance(weights, dict) else {0: weights}, stop, seed, epoch))
    had = Counter(turns)
    passes = [max(1, -(-had[i] // n)) for i, n in enumerate(lengths)]
    feeds = [itertools.chain.from_iterable(map(child, range(epoch * n, epoch * n + n))) for child, n in zip(children, passes, strict=True)]
    return [next(feeds[i]) for i in turns]


CHILDREN = {
    "plain": lambda: numbers(17, "a"),
    "shuffled": lambda: numbers(23, "b").shuffle(seed=3),
    "where": lambda: read(Tabled(30, "c")).filter(where={"third": [1, 2]}).shuffle(seed=1),
    "scanned": lambda: numbers(18, "d").filter(not_third, scan=True),
    "cut": lambda: numbers(40, "e").shuffle().skip(5).take(20),
    "repeated": lambda: numbers(5, "f").shuffle().repeat(3),
    "joined": lambda: vdata.concat(numbers(6, "g").shuffle(), numbers(7, "h")),
    "mixed": lambda: vdata.mix([numbers(9, "i").shuffle(), numbers(4, "j")], [2, 1], stop="all", seed=4),
}


@settings(max_examples=20)
@given(st.lists(st.sampled_from(sorted(CHILDREN)), min_size=1, max_size=3, unique=True), st.sampled_from(["first", "all"]), st.integers(0, 2), st.data())
def test_a_mix_of_any_pipes_is_their_own_epochs_in_turns(names, stop, epoch, data):
    children = [CHILDREN[n]() for n in names]
    weights = data.draw(st.lists(st.integers(1, 4), min_size=len(names), max_size=len(names)))
    pipe = vdata.mix(children, weights, stop=stop, seed=2)
    want = mixed([functools.partial(epoch_of, c) for c in children], weights, stop, 2, epoch)
    assert "elastic · exact resume" in str(pipe).splitlines()[0]
    assert len(pipe) == len(want) and epoch_of(pipe, epoch) == want
    assert epoch_of(pipe.batch(3), epoch) == want
    assert epoch_of(pipe.skip(4).take(9), epoch) == want[4:13]
    assert epoch_of(pipe.repeat(2), epoch) == want + epoch_of(pipe, epoch + 1)
    assert epoch_of(vdata.concat(pipe, pipe), epoch) == want * 2
    pair = vdata.zip(pipe, pipe.select("x").rename(y="x"))
    assert epoch_of(pair, epoch) == want and all(s["x"] == s["y"] for s in pair)
    if epoch == 0:
        assert [pipe[i]["__key__"] for i in range(len(want))] == want
    for world in (2, 3):
        ranks = [epoch_of(pipe, epoch, rank=r, world_size=world, uneven="exact") for r in range(world)]
        assert [ranks[p % world][p // world] for p in range(len(want))] == want


def test_a_schedule_begins_at_its_position_and_an_endless_mix_never_ends():
    a, b = numbers(10, "a"), numbers(10, "b")
    pipe = vdata.mix([a.repeat(), b.repeat()], {0: [1, 0], 50: [0, 1], 80: [1, 1]}, stop="never")
    got = "".join(k[0] for k in keys(pipe.take(2128)))
    assert got[:50] == "a" * 50 and got[50:80] == "b" * 30 and Counter(got[80:1104]) == {"a": 512, "b": 512}
    assert "endless" in str(pipe) and "elastic" in str(pipe)
    with pytest.raises(TypeError, match="endless"):
        len(pipe)
    assert len(pipe.take(7)) == 7
    assert vdata.mix([a, b], stop="never")[10**12]["pipe"] in "ab"
    assert len(vdata.mix([a, b.repeat()])) in (19, 20, 21)


def test_first_counts_what_a_pipe_has_given_under_all_weights_so_far():
    a, b = numbers(10, "a"), numbers(100, "b")
    assert len(vdata.mix([a, b], {0: [1, 1], 20: [0, 1]})) == 20, "used up by the last position of a stretch"
    assert len(vdata.mix([a, b], {0: [1, 1], 10: [0, 1]})) == 105, "five of a, which is not asked again, and all of b"
    assert len(vdata.mix([a, b], {0: [1, 1], 10: [0, 1]} | {30: [1, 0]})) == 35


def jittered(pipe):
    """Each sample with one number that its own draw made."""
    return pipe.map(with_pixel).apply(T.ColorJitter(brightness=0.9)).map(drawn)


def with_pixel(sample):
    return {**sample, "image": Image(torch.full((3, 1, 1), 0.5))}


def drawn(sample):
    return {"__key__": sample["__key__"], "drawn": float(sample["image"].plain().mean())}


MIXES = {
    "an index": lambda: vdata.mix([jittered(numbers(40, "a").shuffle()), jittered(numbers(7, "a"))], [1, 1], stop="all"),
    "endless, cut": lambda: vdata.mix([jittered(numbers(40, "a")), jittered(numbers(7, "a"))], stop="never").take(90),
    "an endless pipe": lambda: vdata.mix([jittered(numbers(40, "a")), jittered(numbers(7, "a")).repeat()]),
    "streams": lambda: vdata.mix([jittered(stream(40, "a")), jittered(stream(7, "a"))], stop="all"),
    "filtered": lambda: vdata.mix([jittered(numbers(40, "a").filter(not_third)), jittered(numbers(7, "a"))], stop="never").take(90),
    "of mixes": lambda: vdata.mix([vdata.mix([jittered(numbers(5, "a"))], stop="never").take(8), jittered(numbers(9, "a"))], stop="never").take(80),
}


@pytest.mark.parametrize("name", MIXES)
def test_no_draw_inside_a_pipe_comes_twice_in_any_pass_or_epoch(name):
    loader = MIXES[name]().loader(mode="inline")
    draws = [s["drawn"] for _ in range(3) for s in loader]
    assert len(draws) > 150 and len(set(draws)) == len(draws)
    again = MIXES[name]().loader(workers=2)
    assert [s["drawn"] for _ in range(3) for s in again] == draws


# -- over streams --------------------------------------------------------------------------------------------------------------------


def test_streams_and_filters_take_the_same_turns_as_pipes_with_an_index():
    weights = {0: [1, 1, 2], 700: [3, 0, 1]}
    dense = vdata.mix([numbers(40, "a"), numbers(30, "b").filter(not_third, scan=True), numbers(9, "c")], weights, stop="never", seed=3)
    streams = vdata.mix([stream(40, "a"), numbers(30, "b").filter(not_third), numbers(9, "c")], weights, stop="never", seed=3)
    for epoch in (0, 2):
        assert epoch_of(dense.take(2500), epoch) == epoch_of(streams.take(2500), epoch)
    assert "not elastic" in str(streams) and "exact resume at the same world size" in str(streams)


@given(st.lists(st.integers(1, 40), min_size=2, max_size=3), st.sampled_from(["first", "all"]), st.data())
def test_a_mix_of_streams_ends_when_a_pipe_is_asked_for_more_than_it_has(lengths, stop, data):
    weights = data.draw(st.lists(st.integers(1, 4), min_size=len(lengths), max_size=len(lengths)))
    pipe = vdata.mix([stream(n, f"p{i}") for i, n in enumerate(lengths)], weights, stop=stop)
    want, had = [], Counter()
    for turn in rule(lengths, {0: weights}, "never", 0, 0):
        asked_anew = {i for i, n in enumerate(lengths) if had[i] + (i == turn) > n}
        if asked_anew if stop == "first" else len(asked_anew) == len(lengths):
            break
        want.append(f"p{turn}{had[turn] % lengths[turn]:04d}")
        had[turn] += 1
    assert keys(pipe) == want
    assert keys(pipe.loader(workers=2)) == want


STREAMS = {
    "streams": lambda: vdata.mix([stream(9), stream(4, "b")], [2, 1], stop="all"),
    "first": lambda: vdata.mix([stream(9), numbers(4, "b").shuffle()], stop="first"),
    "filtered": lambda: vdata.mix([numbers(12).shuffle().filter(not_third), numbers(5, "b").shuffle()], stop="all").batch(3),
    "buffered": lambda: vdata.mix([stream(12).shuffle(buffer_size=4), stream(5, "b")], [1, 2], stop="all"),
    "buffered above": lambda: vdata.mix([stream(12), stream(5, "b")], stop="all").shuffle(buffer_size=5),
    "endless": lambda: vdata.mix([stream(5), stream(3, "b")], {0: [1, 0], 4: [1, 1]}, stop="never").take(20),
    "of mixes": lambda: vdata.mix([vdata.mix([stream(3), stream(4, "b")], stop="all"), numbers(6, "c")], stop="all").batch(2),
    "repeated": lambda: vdata.mix([stream(3), stream(4, "b")]).repeat(2),
    "of batches": lambda: vdata.mix([numbers(6).batch(2), numbers(9, "b").batch(2)], stop="all"),
}


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("name", STREAMS)
def test_mixes_without_an_index_resume_after_every_step(name, world):
    pipe = STREAMS[name]()
    assert "not elastic" in str(pipe)
    for rank in range(world):
        how = {"mode": "inline", "rank": rank, "world_size": world}
        loader = pipe.loader(**how)
        loader.set_epoch(1)
        state, whole, states = loader.state_dict(), [], []
        for item in loader:
            whole.append(keys([item]))
            states.append(json.loads(json.dumps(loader.state_dict())))
        second = [keys([item]) for item in loader]
        assert len(whole) > 2
        for stop in range(len(states)):
            fresh = pipe.loader(**(how if stop % 2 else {**how, "mode": "thread", "workers": 2}))
            fresh.load_state_dict(states[stop])
            assert [keys([item]) for item in fresh] == whole[stop + 1 :]
        assert [keys([item]) for item in fresh] == second
        steps = []
        for _ in whole:  # a fresh loader for every single step
            fresh = pipe.loader(**how)
            fresh.load_state_dict(state)
            steps.append(keys([next(iter(fresh))]))
            state = json.loads(json.dumps(fresh.state_dict()))
        assert steps == whole


def nothing(sample):
    return False


@pytest.mark.parametrize("stop", ["first", "all", "never"])
def test_an_empty_pipe_is_named_when_it_is_written_or_when_it_is_found_empty(stop):
    with pytest.raises(PlanError, match="pipe 1 is empty"):
        vdata.mix([numbers(3), numbers(0)], stop=stop)
    for empty in (numbers(5).filter(nothing), numbers(5).filter(nothing, scan=True), stream(0)):
        with pytest.raises(PlanError, match="pipe 1 is empty"):
            keys(vdata.mix([numbers(3), empty], stop=stop))


# -- what is refused -----------------------------------------------------------------------------------------------------------------


A, B = numbers(10, "a"), numbers(20, "b")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: vdata.mix([A, B], [1]), "2 pipes need 2 weights"),
        (lambda: vdata.mix([A, B], [1, 2, 3]), "2 pipes need 2 weights"),
        (lambda: vdata.mix([A, B], [1, -1]), "none negative"),
        (lambda: vdata.mix([A, B], [0, 0]), "not all 0"),
        (lambda: vdata.mix([A, B], [1, math.nan]), "finite"),
        (lambda: vdata.mix([A, B], [1, math.inf]), "finite"),
        (lambda: vdata.mix([A, B], "12"), "one number a pipe"),
        (lambda: vdata.mix([A, B], 0.5), "one number a pipe"),
        (lambda: vdata.mix([A, B], [10**400, 1]), "one number a pipe"),
        (lambda: vdata.mix([A, B], {5: [1, 1]}), r"\{0: weights, position: weights"),
        (lambda: vdata.mix([A, B], {0: [1, 1], -5: [1, 1]}), r"\{0: weights, position: weights"),
        (lambda: vdata.mix([A, B], {0: [1, 1], 2.5: [1, 1]}), "position"),
        (lambda: vdata.mix([A, B], {}), r"\{0: weights, position: weights"),
        (lambda: vdata.mix([A, B], [0, 1]), "pipe 0 has no weight at any time: leave it out"),
        (lambda: vdata.mix([A, B], {0: [1, 0], 5: [1, 0]}), "pipe 1 has no weight at any time"),
        (lambda: vdata.mix([A, B], [1, 1e-9]), "less than 1 in 524288"),
        (lambda: vdata.mix([A, B], stop="last"), '"first", "all" or "never"'),
        (lambda: vdata.mix([A, B.repeat()], stop="all"), 'pipe 1 is endless: use "first" or "never"'),
        (lambda: vdata.mix([A, B], {0: [1, 1], 5: [1, 0]}, stop="all"), "never drawn from"),
        (lambda: vdata.mix([A, B], {0: [1, 1], 5: [0, 1]}, stop="first").take(3) and vdata.mix([A.repeat(), B], {0: [1, 1], 5: [1, 0]}), "never drawn from"),
        (lambda: vdata.mix([A, B], seed=-1), "seed"),
        (lambda: vdata.mix([A, B], seed=1.5), "seed"),
        (lambda: vdata.mix([]), "got none"),
        (lambda: vdata.mix([A, [1, 2]]), "DataPipes, got list"),
        (lambda: vdata.mix(A, B), r"mix\(\[a, b\], weights="),
        (lambda: vdata.mix([A, B]).shuffle(), r"shuffle each of its pipes, as in vdata.mix\(\[a.shuffle\(\), b.shuffle\(\)\]\)"),
        (lambda: vdata.mix([A, B]).map(dict).take(5).shuffle(), "shuffle each of its pipes"),
        (lambda: vdata.mix([A, B]).filter(not_third, scan=True), r"before .mix\(\)"),
        (lambda: vdata.concat(vdata.mix([A, B], stop="never"), A), "endless"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_words_that_help(make, words):
    with pytest.raises(PlanError, match=words):
        make()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: vdata.mix([A, B], [2, 1]), r"step 2 was mix\(2 pipes, weights=\[1\.0, 1\.0\].*here it is .*\[2\.0, 1\.0\]"),
        (lambda: vdata.mix([A, B], {0: [1, 1], 5: [2, 1]}), "step 2 was mix.*here it is .*5: "),
        (lambda: vdata.mix([A, B], stop="all"), "step 2 was mix.*stop='first'.*stop='all'"),
        (lambda: vdata.mix([A, B], seed=7), "step 2 was mix.*seed=7"),
        (lambda: vdata.mix([B, A]), r"step 0 was read\(a\)"),
        (lambda: vdata.mix([A, B, A]), "step 2 was mix"),
        (lambda: vdata.mix([A.shuffle(), B]), r"step 1 was read\(b\).*here it is shuffle"),
        (lambda: vdata.concat(A, B), "step 2 was mix.*here it is concat"),
        (lambda: vdata.mix([A.seed(3), B]), "seed 0"),
    ],
)  # fmt: skip
def test_a_state_of_another_mix_is_refused_naming_the_step(other, words):
    state = json.loads(json.dumps(vdata.mix([A, B]).state_dict()))
    loader = other().loader(mode="inline")
    with pytest.raises(StateError, match=words):
        loader.load_state_dict(state)


def test_a_weight_is_a_number_however_it_is_written():
    states = [vdata.mix([A, B], w).state_dict() for w in ([1, 2], [1.0, 2.0], (True, 2), np.array([1, 2]), np.array([1, 2], np.float32), {np.int64(0): [1, 2]})]
    assert len({s["digest"] for s in states}) == 1
