"""`DataPipe` as a value: it chains, prints, compares, pickles, and says what is wrong before anything runs."""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest
import torch

import vdata
from vdata import transforms as T
from vdata.errors import NoIndexError, PlanError, UnknownDatasetError
from vdata.field import Field
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import Image

FIELDS = {"image": Field("Image", "uint8", (3, 8, 8)), "label": Field("Label"), "x": Field("int")}


def sample_of(index):
    return {"__key__": f"{index:03d}", "image": Image(torch.full((3, 8, 8), index, dtype=torch.uint8)), "label": index % 2, "x": index}


def numbers(count=10):
    return read(Computed("numbers", count, sample_of, fields=FIELDS))


def stream(count=6):
    return vdata.from_iterable(functools.partial(some, count), name="some")


def some(count):
    return [{"x": i} for i in range(count)]


def even(sample):
    return sample["x"] % 2 == 0


def halve(sample):
    return {**sample, "x": sample["x"] // 2}


def twice(sample):
    return [sample, sample]


def xs(items):
    return [s["x"] for s in items]


CHAINS = {
    "map": lambda: numbers().map(halve),
    "apply": lambda: numbers().apply(T.RandomCrop(4), T.RandomHorizontalFlip()),
    "decode": lambda: numbers().decode(mode="unchanged", on_error="skip"),
    "select": lambda: numbers().select("x"),
    "rename": lambda: numbers().rename(y="x"),
    "to_tuple": lambda: numbers().to_tuple("image label"),
    "enumerate": lambda: numbers().enumerate(3),
    "cache": lambda: numbers().cache(limit=1000),
    "seed": lambda: numbers().seed(3),
    "shuffle": lambda: numbers().shuffle(seed=2, window=64),
    "repeat": lambda: numbers().repeat(2),
    "take": lambda: numbers().take(3),
    "skip": lambda: numbers().skip(3),
    "shard": lambda: numbers().shard(3, 1),
    "filter": lambda: numbers().filter(even),
    "filter, scan": lambda: numbers().filter(even, scan=True),
    "batch": lambda: numbers().batch(3, drop_last=True),
    "unbatch": lambda: numbers().batch(3).unbatch(),
    "flat_map": lambda: numbers().flat_map(twice),
    "concat": lambda: vdata.concat(numbers(), numbers(3)),
    "zip": lambda: vdata.zip(numbers().select("image"), numbers().select("x")),
    "stream": lambda: stream().shuffle(buffer_size=3).batch(2),
}


def as_plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {n: as_plain(v) for n, v in value.items()}
    return [as_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", CHAINS)
def test_every_stage_chains_prints_pickles_compares_and_hashes(name):
    make = CHAINS[name]
    pipe, same = make(), make()
    assert isinstance(pipe, vdata.DataPipe)
    assert pipe == same and hash(pipe) == hash(same) and pipe is not same
    others = [other() for key, other in CHAINS.items() if key != name]
    assert all(pipe != other for other in others)
    again = pickle.loads(pickle.dumps(pipe))
    assert again == pipe and str(again) == str(pipe) and hash(again) == hash(pipe)
    assert copy.deepcopy(pipe) == pipe
    items = list(pipe)
    assert items
    assert as_plain(list(again)) == as_plain(items) == as_plain(list(same.loader(workers=2)))
    text = str(pipe)
    assert (text.startswith("DataPipe · ") and name.split(",")[0] in text) or name in ("stream",)
    assert pipe.explain().startswith("Runs as · ")
    if "len" in text.splitlines()[0].split(" · ") or "scan" in name:
        assert len(pipe) == len(items)
        assert as_plain([pipe[i] for i in range(len(pipe))]) == as_plain(items)
    else:
        with pytest.raises(NoIndexError):
            len(pipe)
        with pytest.raises(NoIndexError):
            pipe[0]


def test_a_method_returns_a_new_pipe_and_leaves_the_old_one():
    pipe = numbers()
    before = str(pipe)
    assert pipe.shuffle() is not pipe and pipe != pipe.shuffle()
    assert str(pipe) == before
    branches = pipe.take(2), pipe.skip(8)
    assert [xs(b) for b in branches] == [[0, 1], [8, 9]]


PRINTED = {
    "elastic": (
        lambda: numbers(2000).shuffle(seed=1).apply(T.CenterCrop(4)).batch(8, drop_last=True),
        """\
DataPipe · 250 batches of 8 · elastic · exact resume · len · seed 0
  read      numbers                             image: Image uint8 [3, 8, 8]  label: Label  x: int
  shuffle   seed=1
  apply     CenterCrop((4, 4))                  image: Image
  batch     8, drop_last""",
    ),
    "filtered": (
        lambda: numbers().filter(even).seed(7),
        """\
DataPipe · length not known · exact resume at the same world size · seed 7
  read      numbers                             image: Image uint8 [3, 8, 8]  label: Label  x: int
  filter    test_pipe.even
  seed      7
  not elastic: filter(test_pipe.even) keeps an unknown number of samples: .filter(fn, scan=True) looks once and keeps an index
  no len, no pipe[i]: how many samples pass the filter is not known""",
    ),
    "several": (
        lambda: vdata.concat(numbers().take(2), numbers(3)).repeat(),
        """\
DataPipe · endless samples · elastic · exact resume · seed 0
    read      numbers                           image: Image uint8 [3, 8, 8]  label: Label  x: int
    take      2
    read      numbers                           image: Image uint8 [3, 8, 8]  label: Label  x: int
  concat    2 pipes                             image: Image uint8 [3, 8, 8]  label: Label  x: int
  repeat""",
    ),
    "buffered": (
        lambda: stream().shuffle(seed=2, buffer_size=100),
        """\
DataPipe · length not known · resume replays the epoch · seed 0
  read      some                                fields: whatever the function returns
  shuffle   seed=2, buffer_size=100
  not elastic: some is a stream (from_iterable has no index: write the samples to shards once with .pack(url) and open those)
  no len, no pipe[i]: there is no index here""",
    ),
    "after batch": (
        lambda: numbers().batch(2).take(3),
        """\
DataPipe · 3 batches of 2 · exact resume at the same world size · len · seed 0
  read      numbers                             image: Image uint8 [3, 8, 8]  label: Label  x: int
  batch     2                                   image: Image uint8 [2, 3, 8, 8]
  take      3
  not elastic: take stands after batch: what it does depends on the rank's own batches""",
    ),
}


def words(text):
    """Lines of words: how columns are aligned is not what is tested."""
    return [line.split() for line in text.replace(f"{__name__}.", "test_pipe.").splitlines()]


@pytest.mark.parametrize("name", PRINTED)
def test_printed_plans(name):
    make, expected = PRINTED[name]
    assert words(str(make())) == words(expected)


def test_a_scan_is_known_by_its_print():
    assert "length known after its scan · elastic" in str(numbers().filter(even, scan=True))
    assert "decode" in numbers().explain() and "decode" not in str(numbers())


# -- names ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("prefetch", r"loader\(prefetch="), ("shufle", r"\.shuffle\?"), ("mapp", r"\.map\?"), ("fork", "twice"), ("demux", "filter"), ("mux", "concat"),
        ("pin_memory", "pin_memory=True"), ("to", "device"), ("with_epoch", r"repeat\(\)\.take"), ("resampled", "repeat"), ("split_by_node", "shard"),
        ("qqqqq", "it has apply"),
    ],
)  # fmt: skip
def test_an_unknown_name_says_in_one_line_what_to_write(name, advice):
    with pytest.raises(AttributeError, match=advice) as caught:
        getattr(numbers(), name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_names_of_other_libraries_work():
    pipe = numbers()
    assert pipe.sharding_filter() == pipe
    assert pipe.batched(4) == pipe.batch(4) and pipe.batched(4, partial=False) == pipe.batch(4, drop_last=True)
    assert pipe.batch(4).unbatched() == pipe.batch(4).unbatch()
    assert list(pipe.batch(4).collate(len)) == [4, 4, 2]
    assert list(pipe.to_tuple("x label"))[1] == (1, 1)
    with pytest.raises(PlanError, match="right after"):
        pipe.collate(len)
    assert pipe.pipe(lambda p, n: p.take(n), 3) == pipe.take(3)
    assert pipe + pipe.take(2) == vdata.concat(pipe, pipe.take(2))


def test_register_verb():
    @vdata.register_verb
    def only_even(pipe, scan=False):
        return pipe.filter(even, scan=scan)

    assert xs(numbers().only_even(scan=True).take(2)) == [0, 2]

    def again(pipe):  # a notebook's cell run again
        return pipe.filter(even)

    again.__name__ = "only_even"
    vdata.register_verb(again)
    assert xs(numbers().only_even()) == [0, 2, 4, 6, 8]
    for name in ("map", "batch", "plan", "loader", "state_dict"):
        verb = lambda pipe: pipe
        verb.__name__ = name
        with pytest.raises(PlanError, match="already"):
            vdata.register_verb(verb)
    with pytest.raises(PlanError, match="plain name"):
        vdata.register_verb(lambda pipe: pipe)


# -- errors before anything runs -----------------------------------------------------------------------------------------------


WRONG = {
    "select": (lambda: numbers().select("imag"), r"select.*'imag'.*image"),
    "select a function": (lambda: numbers().select(even), "filter"),
    "to_tuple": (lambda: numbers().to_tuple("imag"), r"to_tuple.*'imag'.*image"),
    "rename": (lambda: numbers().rename(y="z"), r"rename.*'z'.*image"),
    "rename one twice": (lambda: numbers().rename(a="x", b="x"), "x"),
    "rename onto another": (lambda: numbers().rename(label="x"), "label"),
    "map": (lambda: numbers().map(3), "function"),
    "map a transform": (lambda: numbers().map(T.CenterCrop(4)), r"\.apply"),
    "apply a function": (lambda: numbers().apply(halve), r"\.map"),
    "apply nothing": (lambda: numbers().apply(), "transforms"),
    "filter both": (lambda: numbers().filter(even, where={"x": 1}), "one of them"),
    "filter neither": (lambda: numbers().filter(), "one of them"),
    "filter after shuffle": (lambda: numbers().shuffle().filter(even, scan=True), "shuffle"),
    "filter after a draw": (lambda: numbers().apply(T.RandomCrop(4)).filter(even, scan=True), "random"),
    "scan a stream": (lambda: stream().filter(even, scan=True), "index"),
    "where on a stream": (lambda: stream().filter(where={"x": 1}), "index"),
    "zip": (lambda: vdata.zip(numbers(3), numbers(4)), r"\[3, 4\].*take"),
    "zip of holes": (lambda: vdata.zip(numbers().filter(even), numbers(5)), "scan=True"),
    "zip of nothing": (lambda: vdata.zip(), "none"),
    "concat of lists": (lambda: vdata.concat(numbers(), [1]), "list"),
    "shuffle a stream": (lambda: stream().shuffle(seed=3), r"buffer_size=1000"),
    "shuffle a filter after take": (lambda: numbers().filter(even).take(2).shuffle(), "buffer"),
    "buffer over an index": (lambda: numbers().shuffle(buffer_size=10), r"\.shuffle\(seed=0\)"),
    "shuffle for ever": (lambda: numbers().repeat().shuffle(), r"\.repeat\(\)"),
    "window": (lambda: numbers().shuffle(window=0), "window"),
    "shuffle seed": (lambda: numbers().shuffle(seed=None), "seed"),
    "take": (lambda: numbers().take(-1), "-1"),
    "take a half": (lambda: numbers().take(2.5), r"2\.5"),
    "skip": (lambda: numbers().skip(-1), "-1"),
    "repeat": (lambda: numbers().repeat(0), "0"),
    "repeat a half": (lambda: numbers().repeat(1.5), r"1\.5"),
    "shard": (lambda: numbers().shard(3, 3), r"0\.\.2"),
    "shard negative": (lambda: numbers().shard(3, -1), r"0\.\.2"),
    "shard none": (lambda: numbers().shard(0, 0), "shard"),
    "batch": (lambda: numbers().batch(0), "positive"),
    "batch a half": (lambda: numbers().batch(2.0), "whole number"),
    "decode mode": (lambda: numbers().decode(mode="L"), "RGB"),
    "decode errors": (lambda: numbers().decode(on_error="ignore"), "skip"),
    "decode late": (lambda: numbers().map(halve).decode(), "before"),
    "cache after shuffle": (lambda: numbers().shuffle().cache(), "before"),
    "cache after a draw": (lambda: numbers().apply(T.RandomCrop(4)).cache(), "random"),
    "seed": (lambda: numbers().seed(1.5), "seed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_raises_where_it_is_written(name):
    make, said = WRONG[name]
    with pytest.raises(PlanError, match=said):
        make()


def test_mistakes_that_only_show_when_it_runs():
    with pytest.raises(PlanError, match="field 'image'"):
        list(vdata.zip(numbers(), numbers()))
    with pytest.raises(PlanError, match="ended before"):
        list(vdata.zip(stream(3), stream(4).rename(y="x")))
    with pytest.raises(PlanError, match="no field 'y'"):
        list(stream().select("y"))
    with pytest.raises(PlanError, match="unbatch"):
        list(numbers().batch(2, collate_fn=len).unbatch())
    with pytest.raises(PlanError, match="name its parts"):
        list(vdata.from_torch([(1, 2, 3)]))
    with pytest.raises(UnknownDatasetError):
        vdata.from_folder("/nowhere")
    with pytest.raises(PlanError, match="already read"):
        spent = vdata.from_iterable(iter([{"x": 1}]))
        list(spent), list(spent)


# -- looking in --------------------------------------------------------------------------------------------------------------------


def test_indexing():
    pipe = numbers(5).shuffle(seed=3)
    items = xs(pipe)
    assert [pipe[i]["x"] for i in range(-5, 5)] == items + items
    assert pipe[np.int64(2)]["x"] == items[2]
    for outside in (5, -6):
        with pytest.raises(IndexError, match=str(outside)):
            pipe[outside]
    with pytest.raises(TypeError, match=r"skip\(a\)\.take\(n\)"):
        pipe[1:3]
    with pytest.raises(TypeError):
        pipe["x"]
    endless = numbers(5).repeat()
    assert endless[10**9]["x"] == 0
    with pytest.raises(IndexError):
        endless[-1]
    assert numbers(5).batch(2)[2]["x"].tolist() == [4]


def test_counting_stages():
    assert xs(numbers().take(100)) == list(range(10)) and xs(numbers().skip(100)) == []
    assert xs(numbers().take(0)) == [] and len(numbers().take(0)) == 0
    assert xs(numbers().skip(2).take(3).skip(1)) == [3, 4]
    assert xs(numbers().take(4).repeat(2).shard(3, 2)) == [2, 1]
    assert [n for n, _ in numbers(3).enumerate(5)] == [5, 6, 7]
    assert sorted(xs(numbers(3).repeat().take(7).shuffle())) == [0, 0, 0, 1, 1, 2, 2]
    assert sorted(xs(numbers(5).repeat(2).shuffle(window=3))) == sorted(2 * list(range(5)))


@pytest.mark.parametrize("make", [numbers, stream])
def test_enumerate_numbers_the_samples_that_come(make):
    """As the built-in: 0, 1, 2, whatever was filtered out before."""
    pairs = list(make(6).filter(even).enumerate())
    assert [(n, s["x"]) for n, s in pairs] == [(0, 0), (1, 2), (2, 4)]
    assert [n for n, _ in make(6).filter(even).enumerate().loader(mode="inline", rank=1, world_size=2)] == [1]


@pytest.mark.parametrize("empty", [lambda: numbers(0), lambda: numbers().take(0), lambda: stream(0), lambda: vdata.from_torch([]), lambda: vdata.concat(numbers(0))])
def test_empty_pipes_are_empty_everywhere(empty):
    for tail in (lambda p: p, lambda p: p.batch(2), lambda p: p.map(halve), lambda p: p.enumerate(), lambda p: p.take(3), lambda p: p.filter(even)):
        assert list(tail(empty())) == []
        assert list(tail(empty()).loader(workers=2)) == []
    assert list(empty().repeat(2)) == []
    with pytest.raises(PlanError, match="empty"):
        next(iter(empty().repeat()))


def test_truth_and_containment():
    assert bool(numbers(0)) and bool(stream(0)), "a pipe is never false: no length is asked for"


def test_where_pipes_come_from():
    assert list(vdata.from_iterable([1, 2]))[1] == {"__key__": "00000001", "value": 2}
    assert vdata.from_torch([(1, 2, 3)], keys=("a", "b", "c"))[0] == {"__key__": "00000000", "a": 1, "b": 2, "c": 3}
    assert list(vdata.from_torch([7]))[0]["image"] == 7
    assert vdata.concat([numbers(1), numbers(2)]) == vdata.concat(numbers(1), numbers(2))


def test_rename_swaps_and_follows():
    assert numbers(1).rename(x="label", label="x")[0]["label"] == 0
    swapped = numbers(3).rename(x="label", label="x")[2]
    assert (swapped["label"], swapped["x"]) == (2, 0)


def test_two_seeds_are_never_one():
    """2**64 and 0 differ by every one of their bits but the lowest 64: another order, or an error."""
    for seed in (2**64, -1):
        with pytest.raises(PlanError, match="seed is in"):
            numbers().shuffle(seed=seed)
    assert xs(numbers().shuffle(seed=2**64 - 1)) != xs(numbers().shuffle(seed=1))
