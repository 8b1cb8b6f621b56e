"""Law 1: the global sequence is the same for every world size, number of workers and mode."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import vdata
from vdata.errors import PlanError
from vdata.order import Bijection, Order, lanes_of, substitutes
from vdata.source import Computed, Source
from vdata.start import read


def sample_of(index):
    return {"__key__": f"{index:06d}", "x": index}


def not_third(sample):
    return sample["x"] % 3 != 0


def with_square(sample):
    return {**sample, "square": sample["x"] ** 2}


def numbers(count):
    return read(Computed("numbers", count, sample_of))


def xs(items):
    return [sample["x"] for sample in items]


class Shards(Source):
    """Blocks of given sizes whose reads are recorded."""

    name, fields, columns = "shards", {}, {}

    def __init__(self, sizes):
        self.sizes = np.array(sizes, np.int64)
        self.digest = repr(list(sizes))
        self.reads = []

    def read(self, index):
        self.reads.append(index)
        return sample_of(index)


# -- arithmetic ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_a_bijection_is_a_permutation_for_every_n_and_its_array_form_equals_its_scalar_form(key):
    for n in range(1, 300):
        permute = Bijection(n, key)
        values = [permute(i) for i in range(n)]
        assert sorted(values) == list(range(n))
        assert permute(np.arange(n)).tolist() == values


@given(st.integers(1, 10**15), st.integers(0, 2**64 - 1), st.data())
def test_a_bijection_of_a_huge_set_stays_inside_it_and_agrees_in_both_forms(n, key, data):
    places = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20, unique=True))
    permute = Bijection(n, key)
    values = [permute(i) for i in places]
    assert all(0 <= v < n for v in values) and len(set(values)) == len(places)
    assert permute(np.array(places)).tolist() == values
    assert permute(np.array([places])).tolist() == [values]


def test_a_bijection_scatters():
    """A place goes anywhere: neighbours do not stay neighbours, and the first place takes every value."""
    n = 1000
    values = np.array([Bijection(n, 5)(i) for i in range(n)])
    assert abs(np.corrcoef(np.arange(n), values)[0, 1]) < 0.15
    assert (np.diff(values) == 1).mean() < 0.01
    firsts = {Bijection(10, key)(0) for key in range(100)}
    assert firsts == set(range(10))


def test_all_orders_of_three_are_about_equally_likely():
    counts = {}
    for key in range(3000):
        permute = Bijection(3, key)
        order = tuple(permute(i) for i in range(3))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert all(400 < c < 600 for c in counts.values()), counts


shard_sizes = st.lists(st.integers(0, 60), min_size=1, max_size=30).filter(lambda sizes: sum(sizes) > 0)
windows = st.one_of(st.none(), st.just("all"), st.integers(1, 500))


@given(shard_sizes, st.integers(0, 5), st.integers(0, 3), windows)
def test_an_order_covers_every_row_once(sizes, seed, epoch, window):
    order = Order(np.array(sizes), seed, window)
    rows = [order.row(epoch, i) for i in range(order.count)]
    assert sorted(rows) == list(range(sum(sizes)))


@given(shard_sizes, st.integers(1, 200), st.integers(0, 3))
def test_lanes_are_equal_spans_of_the_line_and_windows_are_whole_shards_in_them(sizes, window, epoch):
    order = Order(np.array(sizes), 0, window)
    if order.whole:
        return
    line = order._epoch(epoch)
    place_of = {}
    for k, block in enumerate(line.blocks):
        for j in range(sizes[block]):
            place_of[int(order.starts[block]) + j] = int(line.line[k]) + j
    boundaries = {int(edge) for edge in line.line}
    lengths, spans = [], []
    for lane in range(order.lanes):
        places = [place_of[order.row(epoch, i)] for i in range(lane, order.count, order.lanes)]
        lengths.append(len(places))
        start, stop = min(places), max(places) + 1
        spans.append((start, stop))
        assert sorted(places) == list(range(start, stop)), "a lane is one span of the line"
        cuts = line.cuts(lane).tolist()
        assert cuts[0] == start and cuts[-1] == stop
        assert all(cut in boundaries for cut in cuts[1:-1]), "a window ends where a shard ends"
        if lane % 2:
            places.reverse()  # every second lane is walked backwards
        for a, b in pairwise(cuts):
            assert sorted(places[a - start : b - start]) == list(range(a, b)), "a window is walked whole before the next"
            assert b - a >= order.per_lane or b == stop
    assert max(lengths) - min(lengths) <= 1
    assert sorted(spans) == spans and all(a[1] == b[0] for a, b in pairwise(spans))


def test_order_refuses_an_index_outside_the_epoch():
    order = Order(np.array([3]), 0)
    for index in (-1, 3):
        with pytest.raises(IndexError):
            order.row(0, index)


@pytest.mark.parametrize("window", [None, "all", 1, 64, 127, 128])
def test_a_pickled_order_is_the_same_order(window):
    order = Order(np.ones(128, np.int64), 0, window)
    again = pickle.loads(pickle.dumps(order))
    assert [order.row(1, i) for i in range(128)] == [again.row(1, i) for i in range(128)]


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(Order(np.array([50]), seed, "all").row(epoch, i) for i in range(50)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


@pytest.mark.parametrize("count", [1, 5, 64, 200, 1000])
def test_substitutes_are_all_others_of_the_lane(count):
    lanes = lanes_of(count)
    for index in range(0, count, 7):
        assert sorted([index, *substitutes(index, count)]) == list(range(index % lanes, count, lanes))


# -- pipelines ------------------------------------------------------------------------------------------------------------


@st.composite
def pipelines(draw):
    """A pipe with an index, and its samples as plain Python has them (sorted where it was shuffled)."""
    count = draw(st.integers(1, 40))
    pipe, model, shuffled = numbers(count), list(range(count)), False
    for _ in range(draw(st.integers(0, 4))):
        verb = draw(st.sampled_from(["shuffle", "take", "skip", "shard", "repeat", "concat", "zip", "filter", "map"]))
        n = len(model)
        if verb == "shuffle":
            pipe, shuffled = pipe.shuffle(seed=draw(st.integers(0, 3)), window=draw(st.sampled_from([None, "all", 8, 200]))), True
        elif verb in ("take", "skip"):
            k = draw(st.integers(0, n + 2))
            pipe, model = (pipe.take(k), model[:k]) if verb == "take" else (pipe.skip(k), model[k:])
        elif verb == "shard":
            of = draw(st.integers(1, 4))
            index = draw(st.integers(0, of - 1))
            pipe, model = pipe.shard(of, index), model[index::of]
        elif verb == "repeat" and n < 100:
            k = draw(st.integers(1, 3))
            pipe, model = pipe.repeat(k), model * k
        elif verb == "concat" and n < 100:
            other = draw(st.integers(1, 20))
            pipe, model = vdata.concat(pipe.select("x"), numbers(other).select("x")), model + list(range(other))
        elif verb == "zip":
            pipe = vdata.zip(pipe.select("x"), pipe.select("x").rename(y="x"))
            pipe = pipe.select("x")
        elif verb == "map":
            pipe = pipe.map(with_square)
        elif verb == "filter" and not shuffled and n < 100:
            try:
                pipe, model = pipe.filter(not_third, scan=True), [x for x in model if x % 3]
            except PlanError as error:  # an indexed filter stands at the source
                assert "filter" in str(error)
        if shuffled and verb in ("take", "skip", "shard"):
            model = []  # which samples remain is for the shuffle to say
            shuffled = "partly"
        if shuffled == "partly":
            model = None
        if model is None:
            break
    return pipe, model, shuffled


def expected_of_rank(sequence, rank, world, uneven):
    n = len(sequence)
    if uneven == "exact":
        return sequence[rank::world]
    count = n // world if uneven == "drop" else math.ceil(n / world)
    return [sequence[(rank + k * world) % n] for k in range(count)]


def cut_into(items, size, drop_last):
    batches = [items[i : i + size] for i in range(0, len(items), size)]
    return [b for b in batches if len(b) == size or not drop_last]


@given(pipelines(), st.integers(0, 2))
def test_one_rank_delivers_what_the_plan_says(made, epoch):
    pipe, model, shuffled = made
    loader = pipe.loader(mode="inline")
    loader.set_epoch(epoch)
    sequence = xs(loader)
    assert len(sequence) == len(pipe)
    if model is not None:
        assert (sorted(sequence) == sorted(model)) if shuffled else (sequence == model)
    if epoch == 0:
        assert [pipe[i]["x"] for i in range(len(pipe))] == sequence
        assert [pipe[-1 - i]["x"] for i in range(len(pipe))] == sequence[::-1]


@given(
    pipelines(), st.integers(1, 8), st.integers(1, 5), st.booleans(), st.sampled_from(["drop", "pad", "exact"]), st.integers(0, 2)
)  # fmt: skip
def test_ranks_together_see_the_sequence_of_one(made, world, size, drop_last, uneven, epoch):
    pipe = made[0]
    assert "elastic" in str(pipe).splitlines()[0]
    one = pipe.loader(mode="inline")
    one.set_epoch(epoch)
    sequence = xs(one)
    batched = pipe.batch(size, drop_last=drop_last)
    assume(len(sequence) >= world)
    steps = []
    for rank in range(world):
        loader = batched.loader(mode="inline", rank=rank, world_size=world, uneven=uneven)
        loader.set_epoch(epoch)
        batches = [batch["x"].tolist() for batch in loader]
        assert batches == cut_into(expected_of_rank(sequence, rank, world, uneven), size, drop_last)
        assert len(loader) == len(batches)
        steps.append(batches)
    if uneven == "drop":
        together = [
            steps[rank][s][k] for s in range(len(steps[0])) for k in range(len(steps[0][s])) for rank in range(world)
        ]  # fmt: skip
        assert together == sequence[: len(together)]
        lost = len(sequence) - len(together)
        assert lost < world * (size if drop_last else 1)


@given(pipelines(), st.integers(1, 6), st.integers(1, 4))
def test_threads_deliver_what_inline_does(made, workers, size):
    pipe = made[0]
    assert xs(pipe.loader(workers=workers)) == xs(pipe.loader(mode="inline"))
    batched = pipe.batch(size)
    assert [b["x"].tolist() for b in batched.loader(workers=workers)] == [b["x"].tolist() for b in batched.loader(mode="inline")]


def test_processes_deliver_what_inline_does():
    pipe = numbers(75).filter(not_third, scan=True).shuffle(seed=3, window=16).map(with_square)
    inline = list(pipe.loader(mode="inline"))
    processes = pipe.loader(workers=2, mode="process")
    assert list(processes) == inline
    batched = pipe.batch(4)
    inline = [(b["x"].tolist(), b["square"].tolist(), b.at) for b in batched.loader(mode="inline")]
    for rank in range(2):
        loader = batched.loader(workers=2, mode="process", rank=rank, world_size=2)
        want = [(b["x"].tolist(), b["square"].tolist(), b.at) for b in batched.loader(mode="inline", rank=rank, world_size=2)]
        assert [(b["x"].tolist(), b["square"].tolist(), b.at) for b in loader] == want


@pytest.mark.parametrize("pipe", [numbers(3), numbers(4).filter(not_third, scan=True), numbers(3).batch(2), numbers(3).shuffle()])
def test_fewer_samples_than_ranks_raise_on_every_rank(pipe):
    for rank in range(4):
        with pytest.raises(PlanError, match="ranks"):
            list(pipe.loader(mode="inline", rank=rank, world_size=4))


def test_a_scan_looks_at_the_data_and_the_function_that_it_was_given():
    """Two functions of one name, two sets of one length, two maps beneath: each has a bitmap of its own."""
    ten = vdata.from_torch([{"x": i} for i in range(10)])
    low = ten.filter(lambda s: s["x"] < 3, scan=True)
    high = ten.filter(lambda s: s["x"] > 6, scan=True)
    assert (xs(low), xs(high)) == ([0, 1, 2], [7, 8, 9])
    others = vdata.from_torch([{"x": 3 * i} for i in range(10)])
    assert xs(ten.filter(not_third, scan=True)) == [1, 2, 4, 5, 7, 8]
    assert xs(others.filter(not_third, scan=True)) == []
    moved = ten.map(lambda s: {"x": s["x"] + 1}).filter(not_third, scan=True)
    assert xs(moved) == [1, 2, 4, 5, 7, 8, 10]


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_a_rank_touches_only_the_shards_of_its_own_lanes(world):
    source = Shards([20] * 26)
    order = Order(source.sizes, 0, 64)
    assert order.lanes == 8
    edges = np.cumsum(source.sizes)
    touched = []
    for rank in range(world):
        source.reads.clear()
        loader = read(source).shuffle(seed=0, window=64).loader(mode="inline", rank=rank, world_size=world)
        assert len(list(loader)) == 520 // world
        touched.append({int(np.searchsorted(edges, row, side="right")) for row in source.reads})
        own = [order.row(0, i) for lane in range(rank, 8, world) for i in range(lane, 520, 8)]
        assert touched[-1] == {int(np.searchsorted(edges, row, side="right")) for row in own}
    # A lane is 65 rows: at most five shards of 20.
    assert max(len(shards) for shards in touched) <= 5 * 8 // world
