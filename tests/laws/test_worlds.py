"""Laws 1 and 2 for the whole matrix: shards on disk, ranks, workers, threads and processes, uneven ends, several resumes, refusals.

What a sample is, its pixels under random transforms with it, is a line of text here; the sequence of one rank in the caller's thread
is what every other way of running must give.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zlib

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vdata
from vdata import transforms as T
from vdata.encoded import Encoded
from vdata.errors import StateError
from vdata.source import Computed
from vdata.start import read

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MANY, FEW = 100, 60  # samples in the larger and the smaller set
BROKEN = ("0007", "0008", "0059", "0031")


def sample_of(salt, index):
    pixels = np.random.default_rng([salt, index]).integers(0, 256, (9, 11, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return {"__key__": f"{salt * 1000 + index:04d}", "image": Encoded(file.getvalue(), "Image", "png"), "label": index * 10 // MANY}


def pictures(count, salt=0):
    return read(Computed("pictures", count, functools.partial(sample_of, salt)))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two packed sets: shards of some 9 samples, and of 34."""
    folder = tmp_path_factory.mktemp("worlds")
    pictures(FEW).pack(folder / "few", samples_per_shard=9, quiet=True)
    pictures(MANY, salt=1).pack(folder / "many", samples_per_shard=34, quiet=True)
    return folder


def both(sets):
    return vdata.concat(vdata.open(sets / "few"), vdata.open(sets / "many"))


def moved(pipe):
    return pipe.apply(T.RandomCrop(6), T.RandomHorizontalFlip())


def not_fourth(sample):
    return sample["label"] % 4 != 3


WINDOW = 24
PIPES = {
    "shards": lambda s: moved(both(s).shuffle(seed=1, window=WINDOW)),
    "where": lambda s: moved(both(s).filter(where={"label": [0, 2, 3, 5, 7, 8]}).shuffle(seed=2, window=WINDOW)),
    "scan": lambda s: moved(both(s).filter(not_fourth, scan=True).shuffle(seed=3, window=WINDOW)),
    "skip and take": lambda s: moved(both(s).shuffle(seed=4, window=WINDOW).skip(17).take(90)),
    "mix": lambda s: moved(vdata.mix([moved(vdata.open(s / "few").shuffle(window=10)), vdata.open(s / "many").shuffle(seed=5)], [2, 1], stop="all").take(90)),
    "repeat": lambda s: moved(both(s).take(40).shuffle(seed=6, window=WINDOW)).repeat(2),
}


@pytest.fixture(scope="module")
def pipes(sets):
    """Each pipe once, so that its scan is done once."""
    return {name: make(sets) for name, make in PIPES.items()}


@pytest.fixture(scope="module")
def sequences(pipes):
    """What one rank in the caller's thread delivers in epochs 1 and 2."""
    out = {}
    for name, pipe in pipes.items():
        assert "elastic · exact resume" in str(pipe).splitlines()[0]
        loader = pipe.loader(mode="inline")
        loader.set_epoch(1)
        out[name] = [list(map(line_of, loader)) for _ in range(2)]
        assert out[name][0] != out[name][1] and len(set(out[name][0])) > 70
    return out


def line_of(sample):
    return f"{sample['__key__']} {sample['image'].canvas} {zlib.crc32(sample['image'].plain().numpy().tobytes()):08x}"


def lines_of(batch):
    return [line_of({"__key__": key, "image": image}) for key, image in zip(batch["__key__"], batch["image"], strict=True)]


def through_json(state):
    return json.loads(json.dumps(state))


def in_turn(steps):
    """The samples of all ranks' step in global order: sample k of rank 0, of rank 1, ..., then k + 1."""
    rows = itertools.zip_longest(*steps)
    return [line for row in rows for line in row if line is not None]


def play(pipe, world, state, steps, size, how):
    """`steps` steps (None: all) of every rank from `state`: the samples in global order, the state after."""
    start = state["position"]
    ranks = sorted(range(world), key=lambda r: (r - start) % world)  # the rank that holds the first position comes first
    loaders = [pipe.batch(size).loader(rank=r, world_size=world, uneven="exact", **how) for r in ranks]
    for loader in loaders:
        loader.load_state_dict(through_json(state))
    running, seen = [iter(loader) for loader in loaders], []
    for _ in itertools.count() if steps is None else range(steps):
        batches = [lines_of(batch) for it in running if (batch := next(it, None)) is not None]
        seen += in_turn(batches)
        if not batches:
            break
    state = loaders[0].state_dict()
    for loader in loaders:
        loader.close()
    return seen, state


def threads(workers):
    return {"workers": workers} if workers else {"mode": "inline"}


def begin(pipe):
    return {**pipe.state_dict(), "epoch": 1}


WORLDS, WORKERS = (1, 2, 3, 4, 8), (0, 1, 2, 4)


@pytest.mark.parametrize("name", PIPES)
def test_all_worlds_and_workers_see_one_sequence(pipes, sequences, name):
    matrix = list(itertools.product(WORLDS, WORKERS))
    for world, workers in matrix if name == "shards" else zip(WORLDS, (4, 1, 0, 2, 1), strict=True):
        seen, state = play(pipes[name], world, begin(pipes[name]), None, 3, threads(workers))
        assert seen == sequences[name][0], (world, workers)
        assert (state["epoch"], state["position"]) == (2, 0)


@pytest.mark.parametrize(
    ("name", "world", "rank", "workers"),
    [("shards", 1, 0, 2), ("mix", 2, 1, 1), ("where", 3, 2, 1)],
)  # fmt: skip
def test_worker_processes_see_their_ranks_part_of_the_same_sequence_and_go_on_where_others_stopped(pipes, sequences, name, world, rank, workers):
    pipe, sequence = pipes[name], sequences[name][0]
    state = play(pipe, 2, begin(pipe), 5, 4, threads(2))[1]
    assert state["position"] == 40
    loader = pipe.batch(4).loader(workers=workers, mode="process", rank=rank, world_size=world, uneven="exact", timeout=120)
    loader.load_state_dict(through_json(state))
    rest = [line for batch in loader for line in lines_of(batch)]
    assert rest == [line for p, line in enumerate(sequence) if p >= 40 and p % world == rank]
    assert loader.epoch == 2


WAYS = [(2, 3, threads(0)), (3, 4, threads(2)), (1, 7, threads(4)), (4, 2, threads(1)), (8, 1, threads(0))]  # (world, batch size, how)


@pytest.mark.parametrize("name", PIPES)
def test_after_every_step_any_other_world_goes_on_and_again_and_again(pipes, sequences, name):
    """A state after each step of two ranks; then three more legs, each elsewhere."""
    pipe, sequence = pipes[name], sequences[name][0]
    loaders = [pipe.batch(5).loader(mode="inline", rank=r, world_size=2, uneven="exact") for r in range(2)]
    for loader in loaders:
        loader.set_epoch(1)
    states = []
    for _ in zip(*loaders, strict=False):
        states.append(through_json(loaders[0].state_dict()))
    assert [s["position"] for s in states[:-1]] == list(range(10, 10 * len(states), 10)) and len(states) >= 8
    for stop, state in enumerate(states):
        legs = [WAYS[(stop + k) % len(WAYS)] for k in range(3)]
        seen, at = [], state["position"]
        for (world, size, how), steps in zip(legs, (2, 1, None), strict=True):
            if state["epoch"] == 1:
                part, state = play(pipe, world, state, steps, size, how)
                seen += part
        assert seen == sequence[at:], (stop, legs)
        assert (state["epoch"], state["position"]) == (2, 0)
    fresh = pipe.loader(mode="inline")
    fresh.load_state_dict(state)
    assert list(map(line_of, fresh)) == sequences[name][1]


# -- pipes without an index -------------------------------------------------------------------------------------------------------


def test_an_unscanned_filter_over_shards_resumes_in_its_world_with_any_workers(sets):
    pipe = moved(both(sets).shuffle(seed=1, window=WINDOW).filter(not_fourth)).batch(6)
    assert "exact resume at the same world size" in str(pipe)
    for rank in range(2):
        loader = pipe.loader(mode="inline", rank=rank, world_size=2)
        whole, states = [], []
        for batch in loader:
            whole.append(lines_of(batch))
            states.append(through_json(loader.state_dict()))
        assert len(whole) > 6
        for stop in range(0, len(states), 2):
            fresh = pipe.loader(**threads(stop % 3), rank=rank, world_size=2)
            fresh.load_state_dict(states[stop])
            assert list(map(lines_of, fresh)) == whole[stop + 1 :]
        with pytest.raises(StateError, match="resumes only where it was saved"):
            pipe.loader(mode="inline").load_state_dict(states[0])


class Counted:
    """Samples whose reads are counted."""

    def __init__(self, count):
        self.count, self.reads = count, 0

    def __call__(self):
        for index in range(self.count):
            self.reads += 1
            yield {"__key__": f"{index:04d}", "x": index}


@pytest.mark.parametrize("buffer", [1, 8, 100])
def test_a_buffered_shuffle_resumes_exactly_and_reads_each_sample_once_more_at_most(buffer):
    source = Counted(60)
    pipe = vdata.from_iterable(source, name="counted").shuffle(seed=2, buffer_size=buffer)
    assert "resume replays the epoch" in str(pipe)
    loader = pipe.loader(mode="inline")
    whole, states = [], []
    for sample in loader:
        whole.append(sample["x"])
        states.append(loader.state_dict())
    assert sorted(whole) == list(range(60)) and whole != sorted(whole)
    for stop, state in enumerate(states):
        fresh = pipe.loader(mode="inline")
        fresh.load_state_dict(through_json(state))
        source.reads, items = 0, iter(fresh)
        rest = [s["x"] for s in itertools.islice(items, 1)]
        assert source.reads <= min(60, stop + 2 + buffer), "up to the sample that it goes on with, and the buffer"
        rest += [s["x"] for s in items]
        assert rest == whole[stop + 1 :] and source.reads <= 60


# -- what is refused ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(sets, tmp_path_factory):
    """The smaller set with one sample more, and with another picture."""
    folder = tmp_path_factory.mktemp("others")
    pictures(FEW + 1).pack(folder / "longer", samples_per_shard=9, quiet=True)
    read(Computed("pictures", FEW, with_another_first)).pack(folder / "other", samples_per_shard=9, quiet=True)
    return folder


def with_another_first(index):
    return sample_of(0, index) if index else {**sample_of(0, 0), "image": sample_of(2, 0)["image"]}


@pytest.mark.parametrize("other", ["longer", "other"])
def test_a_state_of_other_data_is_refused_naming_it(sets, others, other, tmp_path):
    """Under the very name that the data had."""
    place = tmp_path / "set"
    shutil.copytree(sets / "few", place)
    loader = vdata.open(place).shuffle().batch(4).loader(mode="inline")
    next(iter(loader))
    state = through_json(loader.state_dict())
    shutil.rmtree(place)
    shutil.copytree(others / other, place)
    with pytest.raises(StateError, match=r"step 0 was read\(.*, here it is read\("):
        vdata.open(place).shuffle().batch(4).loader(mode="inline").load_state_dict(state)


@pytest.mark.parametrize(
    ("here", "words"),
    [
        (lambda p: p.filter(where={"label": [1, 2]}).shuffle(seed=1, window=WINDOW).seed(4), "step 1 was filter.*0, 2.*here it is filter.*1, 2"),
        (lambda p: p.filter(not_fourth, scan=True).shuffle(seed=1, window=WINDOW).seed(4), "step 1 was filter.*not_fourth, scan=True"),
        (lambda p: p.filter(where={"label": [0, 2]}).shuffle(seed=2, window=WINDOW).seed(4), "step 2 was shuffle.*seed=1.*seed=2"),
        (lambda p: p.filter(where={"label": [0, 2]}).shuffle(seed=1, window=25).seed(4), "step 2 was shuffle.*window=24.*window=25"),
        (lambda p: p.filter(where={"label": [0, 2]}).shuffle(seed=1).seed(4), "step 2 was shuffle.*window=24"),
        (lambda p: p.filter(where={"label": [0, 2]}).shuffle(seed=1, window=WINDOW).seed(5), "seed 4, this pipe has 5"),
        (lambda p: p.filter(where={"label": [0, 2]}).shuffle(seed=1, window=WINDOW).seed(4).take(3), "did not have take"),
    ],
)  # fmt: skip
def test_a_state_of_another_order_is_refused_naming_the_first_difference(sets, here, words):
    pipe = vdata.open(sets / "many")
    state = through_json(pipe.filter(where={"label": [0, 2]}).shuffle(seed=1, window=WINDOW).seed(4).state_dict())
    with pytest.raises(StateError, match=words):
        here(pipe).batch(2).loader(mode="inline").load_state_dict(state)


# -- uneven ends -----------------------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(1, 90), st.integers(1, 9), st.integers(1, 7), st.booleans(), st.integers(0, 90))
def test_all_ranks_have_equally_many_batches_and_know_it_before(count, world, size, drop_last, start):
    """Also in the rest of an epoch, as from a state that another world saved."""
    pipe = read(Computed("numbers", count, lambda i: {"__key__": str(i), "x": i})).shuffle().batch(size, drop_last=drop_last)
    for uneven in ("drop", "pad", "exact"):
        if uneven != "pad" and count < world:
            continue  # refused: tests/laws/test_order.py
        loaders = [pipe.loader(mode="inline", rank=r, world_size=world, uneven=uneven) for r in range(world)]
        known = [len(loader) for loader in loaders]
        rest = []
        for loader in loaders:
            state = loader.state_dict()
            assert len(list(loader)) == known[loader.walk.rank]
            loader.load_state_dict({**state, "position": min(start, count)})
            rest.append(len(list(loader)))
        apart = 1 if uneven == "exact" else 0
        assert max(known) - min(known) <= apart and max(rest) - min(rest) <= apart


@pytest.fixture(scope="module")
def broken(sets, tmp_path_factory):
    """The smaller set with one bit of four of its pictures turned."""
    folder = tmp_path_factory.mktemp("broken") / "set"
    shutil.copytree(sets / "few", folder)
    turned = 0
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            places = [m.offset_data + m.size // 2 for m in tar if m.name.split(".")[0] in BROKEN and ".image." in m.name]
        data = bytearray(path.read_bytes())
        for place in places:
            data[place] ^= 0x10
            turned += 1
        path.write_bytes(data)
    assert turned == len(BROKEN)
    return folder


@pytest.mark.parametrize("uneven", ["drop", "pad"])
def test_broken_samples_leave_all_ranks_equally_many_batches_and_one_set_of_substitutes(broken, uneven):
    pipe = moved(vdata.open(broken).decode(on_error="skip").skip(1).shuffle(seed=1))  # 59 samples: nothing divides them
    whole = pipe.loader(mode="inline")
    sequence = list(map(line_of, whole))
    said = {(e["position"], e["key"], e["by"]) for e in whole.stats()["substituted"]}
    assert {key for _, key, _ in said} == set(BROKEN)
    for world, workers in ((2, 2), (3, 0), (4, 1), (8, 2)):
        loaders = [pipe.batch(3).loader(rank=r, world_size=world, uneven=uneven, **threads(workers)) for r in range(world)]
        known = [len(loader) for loader in loaders]
        steps = [[lines_of(batch) for batch in loader] for loader in loaders]
        assert len(set(known)) == 1 and list(map(len, steps)) == known
        together = [line for step in zip(*steps, strict=True) for line in in_turn(step)]
        count = 59 // world * world if uneven == "drop" else -(-59 // world) * world
        assert together == (sequence * 2)[:count]
        delivered = {(e["position"], e["key"], e["by"]) for loader in loaders for e in loader.stats()["substituted"]}
        assert delivered == said if uneven == "pad" else delivered <= said


JOB = """
import json, sys, datetime
import torch, torch.distributed as dist
sys.path.insert(0, {root!r})
import vdata
from tests.laws.test_worlds import line_of, moved, lines_of
dist.init_process_group("gloo", init_method="file://{meet}", rank=int(sys.argv[1]), world_size=2, timeout=datetime.timedelta(seconds=60))
pipe = moved(vdata.concat(vdata.open({few!r}).skip(1), vdata.open({many!r})).shuffle(seed=1, window=24))
out = {{}}
for uneven in ("drop", "pad"):
    loader = pipe.batch(7).loader(workers=2, uneven=uneven)
    assert (loader.walk.rank, loader.walk.world) == (dist.get_rank(), 2)
    steps = []
    for _ in range(2):
        for batch in loader:
            met = torch.tensor([1, batch.size])
            dist.all_reduce(met)
            assert met[0] == 2
            steps.append([lines_of(batch), int(met[1])])
        steps.append(None)
    out[uneven] = steps
dist.destroy_process_group()
print(json.dumps(out))
"""


def test_two_processes_of_one_job_meet_at_every_step_and_end_together(sets, tmp_path):
    """torch.distributed itself: a rank with a batch more would wait for the other until the deadline."""
    code = JOB.format(root=ROOT, meet=tmp_path / "meet", few=os.fspath(sets / "few"), many=os.fspath(sets / "many"))
    environment = {n: v for n, v in os.environ.items() if n not in ("RANK", "WORLD_SIZE")} | {"OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", code, str(r)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        for r in range(2)
    ]
    try:
        said = [process.communicate(timeout=150) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
            process.wait(timeout=30)
    assert [p.returncode for p in ranks] == [0, 0], said[0][1][-2000:] + said[1][1][-2000:]
    first, second = (json.loads(out) for out, _ in said)
    one = moved(vdata.concat(vdata.open(sets / "few").skip(1), vdata.open(sets / "many")).shuffle(seed=1, window=24)).loader(mode="inline")
    epochs = [list(map(line_of, one)) for _ in range(2)]
    for uneven, count in (("drop", 158), ("pad", 160)):
        assert len(first[uneven]) == len(second[uneven])
        got: list[list[str]] = [[]]
        for mine, other in zip(first[uneven], second[uneven], strict=True):
            if mine is None or other is None:
                assert mine is other
                got.append([])
                continue
            assert mine[1] == other[1] == len(mine[0]) + len(other[0])
            got[-1] += in_turn([mine[0], other[0]])
        assert got[:2] == [(epoch * 2)[:count] for epoch in epochs] and got[2] == []


def test_data_that_was_moved_is_the_same_data(sets, tmp_path):
    """A digest knows content, never where it lies: a checkpoint is good for a copy elsewhere."""
    shutil.copytree(sets / "few", tmp_path / "b")
    pipe = vdata.open(sets / "few").shuffle(seed=1).loader(workers=0)
    next(iter(pipe))
    again = vdata.open(tmp_path / "b").shuffle(seed=1).loader(workers=0)
    again.load_state_dict(pipe.state_dict())
    assert again.state_dict()["position"] == 1
