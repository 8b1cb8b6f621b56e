"""The engine in its places: torch's loaders, process groups, worker processes; and how it ends."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.nodes import Loader as NodeLoader
from torchdata.nodes import ParallelMapper, Prefetcher
from torchdata.stateful_dataloader import StatefulDataLoader

import vdata
from vdata.errors import DecodeError, NoIndexError, PlanError
from vdata.interop.torchdata import from_node, to_node
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import Image, Label

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def sample_of(index):
    return {"__key__": f"{index:05d}", "x": index}


def numbers(count):
    return read(Computed("numbers", count, sample_of))


def not_third(sample):
    return sample["x"] % 3 != 0


def fails_at_seven(sample):
    if sample["x"] == 7:
        raise KeyError("mine")
    return sample


def undecodable_at_seven(sample):
    if sample["x"] == 7:
        raise DecodeError("broken", url="u", shard="s", field="f", byte=12, do="mend it")
    return sample


def sleeps(sample):
    time.sleep(4)
    return sample


def xs(items):
    return [x for item in items for x in (item["x"].tolist() if isinstance(item["x"], torch.Tensor) else [item["x"]])]


MODES = [{"mode": "inline"}, {"workers": 3}, {"workers": 2, "mode": "process"}]


# -- torch's own loaders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataloader_keeps_the_order_of_batches_and_advances_epochs(workers):
    pipe = numbers(22).shuffle().batch(3)
    loader = DataLoader(pipe, batch_size=None, num_workers=workers)
    own = pipe.loader(mode="inline")
    for _ in range(3):
        batches = list(loader)
        assert all(type(b) is vdata.Batch for b in batches)
        assert [b["x"].tolist() for b in batches] == [b["x"].tolist() for b in own]
    assert len(loader) == 8


def test_persistent_workers_advance_epochs_too():
    loader = DataLoader(numbers(22).shuffle().batch(3), batch_size=None, num_workers=2, persistent_workers=True)
    own = numbers(22).shuffle().batch(3).loader(mode="inline")
    for _ in range(3):
        assert xs(loader) == xs(own)


def late(worker):
    time.sleep(1.5 * worker)


def test_a_worker_that_starts_late_reads_the_same_epoch_as_the_others():
    pipe = numbers(12).shuffle().batch(2)
    loader = DataLoader(pipe, batch_size=None, num_workers=2, prefetch_factor=8, worker_init_fn=late)
    assert xs(loader) == xs(pipe.loader(mode="inline"))


def test_a_pass_that_was_left_begins_again_in_a_dataloader():
    pipe = numbers(40).shuffle().batch(2)
    loader = DataLoader(pipe, batch_size=None, num_workers=2)
    want = xs(pipe.loader(mode="inline"))
    for batch in loader:
        assert batch["x"].tolist() == want[:2]
        break
    assert xs(loader) == want


def counted(loader):
    """An epoch of a loop that counts to `len` and never asks for the end, as Lightning's does."""
    items = iter(loader)
    return [next(items)["x"].tolist() for _ in range(len(loader))]


@pytest.mark.parametrize("uneven", ["drop", "pad", "exact"])
def test_an_epoch_is_over_with_its_last_item(uneven):
    pipe = numbers(41).shuffle().batch(4)
    for rank in range(2):
        how = {"rank": rank, "world_size": 2, "uneven": uneven}
        asked, loader = pipe.loader(mode="inline", **how), pipe.loader(workers=2, **how)
        for _ in range(3):
            assert counted(loader) == [b["x"].tolist() for b in asked]
        state = loader.state_dict()
        assert state["epoch"] == 2
        counted(loader)
        loader.load_state_dict(state)
        assert list(loader) == []  # of a state that was saved behind the last item nothing is left


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_over_with_its_last_item_in_a_dataloader(workers):
    own = numbers(24).shuffle().batch(2).loader(mode="inline")
    loader = DataLoader(numbers(24).shuffle().batch(2), batch_size=None, num_workers=workers)
    for _ in range(3):
        assert counted(loader) == [b["x"].tolist() for b in own]


def test_a_loaded_state_holds_until_something_came_of_it():
    """Lightning makes an iterator to see whether it can, and another to iterate."""
    loader = numbers(12).shuffle().batch(2).loader(workers=2)
    want = counted(loader)
    fresh = numbers(12).shuffle().batch(2).loader(workers=2)
    fresh.set_epoch(0)
    state = {**fresh.state_dict(), "position": 4}
    fresh.load_state_dict(state)
    iter(fresh)
    assert [b["x"].tolist() for b in fresh] == want[2:]


def test_a_loader_that_was_made_too_early_says_so(tmp_path):
    loader = numbers(4).loader(mode="inline")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        assert len(list(loader)) == 4
        loader.walk = numbers(4).loader(mode="inline", rank=1, world_size=2).walk
        with pytest.raises(PlanError, match=r"was made for rank 1 of 2, and torch\.distributed says that this is rank 0 of 1"):
            iter(loader)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("make", [lambda p: p, lambda p: p.filter(not_third)])
def test_a_dataloader_that_batches_itself_sees_every_sample_once(make):
    pipe = make(numbers(23).shuffle())
    loader = DataLoader(pipe, batch_size=4, num_workers=2)
    assert sorted(xs(loader)) == sorted(xs(pipe.loader(mode="inline")))


def typed(index):
    return {"image": Image(torch.full((3, 4, 5), index, dtype=torch.uint8)), "label": Label(index % 3, categories=("a", "b", "c")), "name": str(index)}


def test_typed_tensors_survive_torchs_collate_and_its_workers():
    loader = DataLoader(read(Computed("typed", 8, typed)), batch_size=4, num_workers=2)
    batches = list(loader)
    assert [type(b["image"]) for b in batches] == [Image, Image] and batches[0]["image"].shape == (4, 3, 4, 5)
    assert all(isinstance(b["label"], Label) and b["label"].categories == ("a", "b", "c") for b in batches)
    batched = list(DataLoader(read(Computed("typed", 8, typed)).batch(4), batch_size=None, num_workers=2))
    assert [type(b["image"]) for b in batched] == [Image, Image] and batched[1]["label"].name == ["b", "c", "a", "b"]


def test_set_epoch_reaches_the_workers():
    pipe = numbers(12).shuffle()
    loader = DataLoader(pipe, batch_size=None, num_workers=2)
    own = pipe.loader(mode="inline")
    own.set_epoch(5)
    pipe.set_epoch(5)
    assert sorted(xs(loader)) == list(range(12))
    pipe.set_epoch(5)
    first = xs(DataLoader(pipe.batch(3), batch_size=None, num_workers=2))  # another pipe counts for itself
    assert first == xs(numbers(12).shuffle().batch(3).loader(mode="inline"))


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
def test_a_stateful_dataloader_delivers_what_the_loader_does():
    pipe = numbers(22).shuffle().batch(3)
    for workers in (0, 2):
        loader = StatefulDataLoader(numbers(22).shuffle().batch(3), batch_size=None, num_workers=workers)
        own = pipe.loader(mode="inline")
        for _ in range(2):
            assert xs(loader) == xs(own)


def first_number(sample):
    return sample["x"]


def test_a_pipe_is_a_node_and_a_node_a_pipe():
    pipe = numbers(20).shuffle()
    own = pipe.loader(mode="inline")
    loader = NodeLoader(Prefetcher(ParallelMapper(to_node(pipe), first_number, num_workers=2, in_order=True), prefetch_factor=2))
    for _ in range(2):
        assert list(loader) == xs(own)
    back = from_node(to_node(numbers(6))).map(dict).batch(4)
    assert [b["x"].tolist() for b in back] == [[0, 1, 2, 3], [4, 5]]


def test_a_node_that_was_left_begins_its_pass_again():
    pipe = numbers(9).shuffle()
    want = xs(pipe.loader(mode="inline"))
    loader = NodeLoader(to_node(pipe))
    for k, _ in enumerate(loader):
        if k == 3:
            break
    assert xs(loader) == want


# -- a process group ----------------------------------------------------------------------------------------------------------


RANK = """
import json, sys, torch.distributed as dist
sys.path.insert(0, {root!r})
from tests.unit.test_engine import numbers, xs
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
pipe = numbers(27).shuffle(seed=3).batch(4)
loader = pipe.loader(workers=2)
out = []
for epoch in range(2):
    mine = xs(loader)
    every = [None, None]
    dist.all_gather_object(every, mine)
    states = [None, None]
    dist.all_gather_object(states, loader.state_dict())
    out.append([every, states, repr(loader)])
dist.destroy_process_group()
print(json.dumps(out))
"""


def test_two_ranks_of_a_process_group_share_the_epoch(tmp_path):
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RANK.format(root=ROOT), str(r), os.fspath(tmp_path / "meet")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )
        for r in range(2)
    ]  # fmt: skip
    outs = [process.communicate(timeout=120) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], outs
    results = [json.loads(out.splitlines()[-1]) for out, _ in outs]
    one = numbers(27).shuffle(seed=3).loader(mode="inline")
    for epoch in range(2):
        sequence = xs(one)
        for rank in range(2):
            every, states, shown = results[rank][epoch]
            assert every == [sequence[0:26:2], sequence[1:26:2]]
            assert states[0] == states[1] and states[0]["epoch"] == epoch + 1
            assert f"rank {rank} of 2" in shown


def test_rank_and_world_come_from_the_launcher_unless_given(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert xs(numbers(6).loader(mode="inline")) == [1, 4]
    assert xs(numbers(6).loader(mode="inline", rank=0, world_size=2)) == [0, 2, 4]
    with pytest.raises(PlanError, match="together"):
        numbers(6).loader(rank=1)
    with pytest.raises(PlanError, match="world of 2"):
        numbers(6).loader(rank=2, world_size=2)


# -- how it ends --------------------------------------------------------------------------------------------------------------


def descendants(pid):
    """Live processes below a process, but for Python's own helpers (the fork server and the resource tracker stay)."""
    parents, commands = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                with open(f"/proc/{name}/cmdline") as file:
                    commands[int(name)] = file.read()
                if fields[0] != "Z":
                    parents[int(name)] = int(fields[1])
    found, front = [], [pid]
    while front:
        front = [child for child, parent in parents.items() if parent in front]
        found += front
    direct = {child for child, parent in parents.items() if parent == pid}
    helpers = {p for p in direct if "forkserver" in commands[p] or "resource_tracker" in commands[p]}
    return [p for p in found if p not in helpers]


def shared_memory():
    return {name for name in os.listdir("/dev/shm") if f"_{os.getpid()}_" in name}


def settled(check, seconds=10.0):
    """The first value of check() that is empty, or the last one after some seconds."""
    end = time.monotonic() + seconds
    while (value := check()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


OTHERS: set[int] = set()  # what was there before: of other tests


@pytest.fixture(autouse=True)
def what_others_left():
    OTHERS.clear()
    OTHERS.update(descendants(os.getpid()))


def left_behind():
    threads = [t.name for t in threading.enumerate() if t.name.startswith("vdata")]
    return threads + [p for p in descendants(os.getpid()) if p not in OTHERS] + sorted(shared_memory())


class Stop(Exception):
    pass


@pytest.mark.parametrize("how", MODES[1:])
def test_nothing_is_left_after_a_break_an_exception_or_the_end(how):
    pipe = numbers(400).shuffle().map(with_tensor).batch(4)
    loader = pipe.loader(**how)
    for _ in loader:
        break
    loader.close()
    assert settled(left_behind) == []
    with contextlib.suppress(Stop), loader:
        for _ in loader:
            raise Stop
    assert settled(left_behind) == []
    assert len(list(numbers(8).batch(4).loader(**how))) == 2
    assert settled(left_behind) == []


def test_a_loader_that_nobody_holds_ends_its_workers_at_once():
    gc.disable()  # not when the collector happens to come by
    try:
        for _ in numbers(400).batch(4).loader(workers=2):
            break
        assert settled(left_behind, seconds=2) == []
    finally:
        gc.enable()
        gc.collect()


def with_tensor(sample):
    return {**sample, "image": torch.zeros(3, 64, 64)}


FOREVER = """
import sys, time
sys.path.insert(0, {root!r})
from tests.unit.test_engine import numbers, with_tensor

def main():
    for number, batch in enumerate(numbers(50).shuffle().repeat().map(with_tensor).batch(4).loader(**{how!r})):
        if number == 3:
            print("ready", flush=True)
        time.sleep(0.01)

if __name__ == "__main__":
    main()
"""


def in_session(session):
    """Live processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(name))
    return found


@pytest.mark.parametrize("how", MODES)
def test_ctrl_c_ends_everything(tmp_path, how):
    script = tmp_path / "forever.py"
    script.write_text(FOREVER.format(root=ROOT, how=how))
    room = tmp_path / "tmp"
    room.mkdir()
    process = subprocess.Popen(
        [sys.executable, os.fspath(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        start_new_session=True, env={**os.environ, "TMPDIR": os.fspath(room)},
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (130, 1, -signal.SIGINT) and "KeyboardInterrupt" in errors
    assert settled(lambda: in_session(process.pid)) == []
    assert settled(lambda: os.listdir(room)) == []
    assert settled(lambda: [n for n in os.listdir("/dev/shm") if f"_{process.pid}_" in n]) == []


HANGS = """
import sys, time
sys.path.insert(0, {root!r})
from vdata.errors import VdataError
import warnings; warnings.simplefilter("ignore")
from tests.unit.test_engine import numbers

def hangs(sample):
    time.sleep(300)

try:
    list(numbers(4).map(hangs).loader(workers=2, timeout=0.5))
except VdataError as error:
    print(type(error).__name__, flush=True)
"""


def test_a_stage_that_hangs_for_ever_does_not_keep_the_program_from_ending(tmp_path):
    script = tmp_path / "hangs.py"
    script.write_text(HANGS.format(root=ROOT))
    process = subprocess.Popen([sys.executable, os.fspath(script)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout.readline() == "StageTimeoutError\n"
        assert process.wait(timeout=8) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", MODES[1:])
def test_a_hanging_stage_raises_instead_of_waiting(how):
    loader = numbers(4).map(sleeps).loader(**how, timeout=0.5)
    started = time.monotonic()
    with pytest.raises(TimeoutError), pytest.warns(RuntimeWarning) if "mode" not in how else contextlib.nullcontext():
        list(loader)
    assert time.monotonic() - started < 12
    assert settled(left_behind) == []


# -- errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", MODES)
def test_an_error_in_a_function_says_in_which_stage_and_on_which_sample(how):
    loader = numbers(20).shuffle(seed=1).map(fails_at_seven).loader(**how)
    loader.set_epoch(2)
    with pytest.raises(KeyError) as caught:
        list(loader)
    told = "".join(traceback.format_exception(caught.value))
    order = numbers(20).shuffle(seed=1).loader(mode="inline")
    order.set_epoch(2)
    for part in (".map(", "fails_at_seven", "'00007'", "epoch 2", f"position {xs(order).index(7)}", "mine"):
        assert part in told, part
    # The same loader goes on with the next iteration.
    loader.set_epoch(0)
    assert next(iter(loader))["x"] == xs(numbers(20).shuffle(seed=1))[0]
    loader.close()


@pytest.mark.parametrize("how", MODES)
def test_an_error_about_data_keeps_its_place_across_workers(how):
    with pytest.raises(DecodeError) as caught:
        list(numbers(20).map(undecodable_at_seven).loader(**how))
    assert caught.value.where == {"url": "u", "shard": "s", "key": "00007", "field": "f", "byte": 12}
    assert caught.value.do == "mend it"


@pytest.mark.parametrize("make", [lambda p, f: p.filter(f), lambda p, f: p.flat_map(f), lambda p, f: p.batch(2).map(f), lambda p, f: p.batch(4, collate_fn=f),
                                  lambda p, f: p.filter(f).batch(2), lambda p, f: p.filter(f, scan=True)])  # fmt: skip
def test_errors_of_every_kind_of_function_are_noted(make):
    def boom(value):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        list(make(numbers(9), boom))
    assert any("boom" in note and "'00000'" in note for note in caught.value.__notes__)


def test_a_lambda_in_process_mode_names_its_stage():
    loader = numbers(4).map(lambda s: s).batch(2).loader(workers=2, mode="process")
    with pytest.raises(PlanError, match=r"\.map\(.*<lambda>.*worker processes"):
        list(loader)
    held = numbers(4).filter(not_third).map(Unpicklable()).loader(workers=2, mode="process")
    with pytest.raises(PlanError, match=r"\.map\(.*Unpicklable"):
        list(held)


class Unpicklable:
    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, sample):
        return sample


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "threads"}, {"prefetch": 0}, {"timeout": 0}, {"workers": -1}, {"mode": "inline", "workers": 2}, {"uneven": "x"}, {"rank": 0}],
)
def test_a_loader_says_what_is_wrong_with_its_arguments(wrong):
    with pytest.raises(PlanError):
        numbers(4).loader(**wrong)


def test_zero_workers_work_inline():
    for how in ({"workers": 0}, {"workers": 0, "mode": "process"}, {"mode": "inline", "workers": 0}):
        assert xs(numbers(4).map(lambda s: s).loader(**how)) == [0, 1, 2, 3]


# -- use --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", MODES)
def test_a_loader_is_used_epoch_after_epoch(how):
    pipe = numbers(20).shuffle().batch(6, drop_last=True)
    loader, own = pipe.loader(**how), pipe.loader(mode="inline")
    assert len(loader) == 3
    for epoch in range(3):
        assert loader.epoch == epoch
        assert xs(loader) == xs(own)
    assert loader.stats()["delivered"] == 54


def test_loaders_of_one_pipe_live_side_by_side():
    pipe = numbers(30).shuffle()
    want = xs(pipe.loader(mode="inline"))
    one, two = iter(pipe.loader(workers=2)), iter(pipe.loader(workers=1))
    pairs = [(next(one)["x"], next(two)["x"]) for _ in range(30)]
    assert pairs == [(x, x) for x in want]
    # Iterators of the pipe itself are independent too.
    a, b = iter(pipe), iter(pipe)
    assert [next(a)["x"] for _ in range(5)] == want[:5]
    assert [next(b)["x"] for _ in range(3)] == want[:3]
    assert xs(a) == want[5:]


def test_a_second_iteration_of_one_loader_ends_the_first_and_says_so():
    loader = numbers(30).loader(workers=2)
    first = iter(loader)
    assert next(first)["x"] == 0
    assert next(iter(loader))["x"] == 0
    with pytest.raises(PlanError, match="iterated again"):
        next(first)
    assert xs(loader) == list(range(30))


@pytest.mark.parametrize("how", [{"mode": "inline"}, {"workers": 2}])
@pytest.mark.parametrize("end", ["iter", "close", "set_epoch", "load_state_dict"])
def test_a_pass_that_was_ended_disturbs_none_after_it(how, end):
    loader = numbers(500).loader(**how)
    old = iter(loader)
    assert [next(old)["x"] for _ in range(5)] == [0, 1, 2, 3, 4]
    state = loader.state_dict()
    if end == "close":
        loader.close()
    elif end != "iter":
        getattr(loader, end)(state if end == "load_state_dict" else 0)
    new = iter(loader)
    first = 5 if end == "load_state_dict" else 0
    assert [next(new)["x"] for _ in range(40)] == list(range(first, first + 40))
    with pytest.raises(PlanError, match="was ended"):
        next(old)
    del old
    gc.collect()
    assert loader.state_dict()["position"] == first + 40
    assert [sample["x"] for sample in new] == list(range(first + 40, 500))
    assert loader.stats()["delivered"] == 5 + 500 - first


@pytest.mark.parametrize("make", [lambda: numbers(100), lambda: numbers(100).flat_map(lambda sample: [sample] * 2)])
def test_a_state_is_exact_within_a_chunk(make):
    loader = make().loader(workers=2)
    for count, _ in zip(range(1, 60), loader, strict=False):
        other = make().loader(workers=2)
        state = json.loads(json.dumps(loader.state_dict()))
        assert state["position"] == count
        if count in (1, 15, 16, 17, 33, 59):
            other.load_state_dict(state)
            assert [s["x"] for s in other] == [s["x"] for s in make()][count:]


def test_a_loop_that_stops_early_is_measured_too():
    loader = numbers(1000).loader(workers=1)
    for count, _ in enumerate(loader):
        time.sleep(0.001)
        if count == 40:
            break
    assert loader.stats()["used_s"] > 0.02 and loader.stats()["rate"] > 0


def test_what_happens_after_the_last_item_that_was_asked_for_is_not_measured():
    loader = numbers(1000).loader(mode="inline")
    items = iter(loader)
    for _ in range(40):
        next(items)
    time.sleep(0.5)
    del items
    gc.collect()
    assert loader.stats()["used_s"] < 0.4


@pytest.mark.parametrize("ask", [lambda loader: loader.close(), lambda loader: loader.set_epoch(7), lambda loader: iter(loader), lambda loader: loader.load_state_dict(loader.state_dict())])
def test_a_loader_that_is_at_work_is_not_moved_and_loses_nothing(ask):
    said = []

    def asking(sample):
        if sample["x"] == 20:
            with pytest.raises(PlanError, match="at work on its next item"):
                ask(loader)
            said.append(1)
        return sample

    loader = numbers(60).map(asking).loader(mode="inline")
    assert xs(loader) == list(range(60)) and said
    assert loader.epoch == 1 or loader.state_dict()["position"] in (0, 60)
    begun, over = threading.Event(), threading.Event()

    def waiting(sample):
        begun.set()
        over.wait(10)
        return sample

    loader = numbers(20).map(waiting).loader(workers=1)
    got = []
    thread = threading.Thread(target=lambda: got.extend(xs(loader)))
    thread.start()
    begun.wait(10)
    time.sleep(0.05)
    with pytest.raises(PlanError, match="at work on its next item"):
        ask(loader)
    over.set()
    thread.join(20)
    assert got == list(range(20))


@pytest.mark.parametrize("how", [{"mode": "inline"}, {"workers": 1}])
@pytest.mark.parametrize("at", [0, 3, 15, 16, 29])
def test_a_pass_that_is_ended_while_its_batch_is_moved_leaves_the_loader_where_it_was_put(how, at):
    loader = numbers(120).batch(4).loader(device="cpu", **how)
    inner, seen = loader._moved, []

    def moved(item):
        seen.append(item)
        if len(seen) == at + 1:
            loader.set_epoch(7)
        return inner(item)

    loader._moved = moved
    with pytest.raises(PlanError, match="was ended"):
        list(loader)
    assert (loader.state_dict()["epoch"], loader.state_dict()["position"]) == (7, 0)
    assert loader.stats()["delivered"] == 4 * at
    assert len(list(loader)) == 30


def test_work_ahead_is_bounded():
    seen = []
    pipe = numbers(10_000).map(lambda s: seen.append(s["x"]) or s).batch(10)
    loader = pipe.loader(workers=2, prefetch=2)
    next(iter(loader))
    time.sleep(0.2)
    assert 10 <= len(seen) <= (1 + 2 * 2 + 1) * 10
    loader.close()


def test_an_endless_pipe_starts_at_once_and_has_no_length():
    loader = numbers(3).shuffle().repeat().batch(2).loader(workers=2)
    items = iter(loader)
    assert len([next(items) for _ in range(50)]) == 50
    with pytest.raises(NoIndexError):
        len(loader)
    with pytest.raises(TypeError):
        len(numbers(3).repeat())
    loader.close()


def test_the_length_of_a_loader_is_what_it_delivers():
    for world in (1, 2, 3):
        for uneven in ("drop", "pad", "exact"):
            for pipe in (numbers(17), numbers(17).batch(3), numbers(17).batch(3, drop_last=True), numbers(30).filter(not_third, scan=True).batch(4)):
                loader = pipe.loader(mode="inline", rank=world - 1, world_size=world, uneven=uneven)
                assert len(loader) == len(list(loader))
    with pytest.raises(TypeError, match="scan=True"):
        len(numbers(9).filter(not_third).loader(mode="inline"))


def test_stats_and_repr():
    loader = numbers(10).batch(4).loader(mode="inline")
    items = iter(loader)
    next(items)
    said = {"delivered": 4, "substituted": [], "epoch": 0, "position": 4, "samples": 10, "bottleneck": "not known before the second batch, or the second chunk of tiny samples"}
    assert said.items() <= loader.stats().items()
    assert repr(loader) == "Loader(inline, epoch 0, position 4)"
    assert repr(numbers(4).loader(workers=3, rank=1, world_size=2)) == "Loader(3 thread workers, rank 1 of 2, epoch 0, position 0)"


def test_tensors_go_to_the_device():
    loader = read(Computed("typed", 4, typed)).batch(2).loader(mode="inline", device="meta")
    batch = next(iter(loader))
    assert batch["image"].device.type == "meta" and type(batch["image"]) is Image and batch.size == 2
    pair = next(iter(read(Computed("typed", 4, typed)).to_tuple("image", "name").loader(mode="inline", device="meta")))
    assert pair[0].device.type == "meta" and pair[1] == "0"


def test_many_pipes_cost_no_file_descriptors():
    before = len(os.listdir("/proc/self/fd"))
    kept = [numbers(2).map(dict) for _ in range(100)]
    assert len(os.listdir("/proc/self/fd")) - before < 20
    assert len(kept) == 100


def test_a_generator_is_run_in_the_callers_thread():
    threads = []

    def samples():
        threads.append(threading.current_thread())
        yield from ({"x": i} for i in range(5))

    assert xs(vdata.from_iterable(samples).batch(2).loader(workers=2)) == [0, 1, 2, 3, 4]
    assert threads == [threading.main_thread()]


def test_an_exception_inside_an_iterable_is_its_own():
    def samples():
        yield {"x": 0}
        raise ConnectionError("gone")

    items = iter(vdata.from_iterable(samples).loader(workers=2))
    assert next(items)["x"] == 0
    with pytest.raises(ConnectionError, match="gone"):
        next(items)
