"""Ray: actors deliver what one process would, whatever happens to them; a pipe as a Ray dataset has the pipe's samples."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import pickle
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import vdata
from vdata import transforms as T
from vdata.errors import DecodeError, MissingPackageError, NoIndexError, PlanError, StateError, WorkerError
from vdata.executors import named
from vdata.interop.ray import to_ray_dataset
from vdata.run.actors import _Actor as Actor
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, TypedTensor

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
COUNT = 23
CATEGORIES = ("a", "b", "c")


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)
    yield ray
    ray.shutdown()


def typed(index):
    """A sample of every kind of field; pictures of several sizes, a number of boxes that changes."""
    noise = torch.Generator().manual_seed(index)
    size = (8, 9 + index % 3)
    return {
        "__key__": f"{index:03d}",
        "x": index,
        "image": Image(torch.randint(0, 256, (3, *size), generator=noise, dtype=torch.uint8)),
        "image2": Image(torch.randint(0, 256, (3, *size), generator=noise, dtype=torch.uint8)),
        "flow": Flow(torch.randn(2, *size, generator=noise), views=("image", "image2")),
        "boxes": BoundingBoxes(torch.tensor([[1.0, 1.0, 4.0, 5.0]] * (index % 3)).reshape(-1, 4), format="XYXY", canvas_size=size, frame="image"),
        "points": KeyPoints(torch.tensor([[2.0, 3.0]]), canvas_size=size, frame="image"),
        "label": Label(index % 3, categories=CATEGORIES),
        "array": np.arange(index % 4, dtype=np.float32),
        "text": f"number {index}",
    }


def samples():
    return read(Computed("typed", COUNT, typed))


def augmented():
    return samples().shuffle(seed=3).apply(T.RandomAffine(20), T.RandomHorizontalFlip(), T.RandomCrop((6, 7)), passthrough=("array",))


def same(a, b):
    """Of one type, with the same metadata and the same content."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            same(a[name], b[name])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b):
            same(one, other)
    elif isinstance(a, torch.Tensor):
        if isinstance(a, TypedTensor):
            assert a.meta().keys() == b.meta().keys()
            same(dict(a.meta()), dict(b.meta()))
        torch.testing.assert_close(a.as_subclass(torch.Tensor), b.as_subclass(torch.Tensor), rtol=0, atol=0, equal_nan=True)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.flags.writeable == b.flags.writeable
        np.testing.assert_array_equal(a, b)
    elif hasattr(a, "values") and hasattr(a, "offsets"):
        same(list(a), list(b))
    else:
        assert a == b


def xs(items):
    return [x for item in items for x in (item["x"].tolist() if isinstance(item["x"], torch.Tensor) else [item["x"]])]


class Dies:
    """Kills its own process at a sample: as often as `times` says, counted in a file."""

    def __init__(self, at, mark, times):
        self.at, self.mark, self.times = at, mark, times

    def __call__(self, sample):
        if sample["x"] == self.at and os.path.getsize(self.mark) < self.times:
            with open(self.mark, "a") as mark:
                mark.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return sample


class Odd(Exception):
    """Cannot be unpickled: its arguments are not those that it was made of."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


ERRORS = {
    "plan": lambda: PlanError("written wrongly"),
    "data": lambda: DecodeError("broken", url="u", shard="s", byte=12, do="mend it"),
    "own": lambda: KeyError("mine"),
    "odd": lambda: Odd("this", "that"),
}


class Raises:
    """Raises one of the errors at a sample."""

    def __init__(self, at, error):
        self.at, self.error = at, error

    def __call__(self, sample):
        if sample["x"] == self.at:
            raise ERRORS[self.error]()
        return sample


def of_process(sample):
    return {**sample, "process": os.getpid()}


def gone(process):
    """Whether a process has ended; it has ten seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


# -- actors ---------------------------------------------------------------------------------------------------------------


def test_actors_deliver_what_one_process_does_and_go_on_where_another_stopped(cluster):
    pipe = augmented().batch(3)
    inline = pipe.loader(mode="inline")
    first, second = list(inline), list(inline)

    actors = pipe.loader(workers=2, executor="ray")
    head = list(itertools.islice(actors, 3))
    state = json.loads(json.dumps(actors.state_dict()))
    actors.close()
    for workers in (0, 2):
        other = pipe.loader(workers)
        other.load_state_dict(state)
        same(head + list(other), first)

    head = list(itertools.islice(other, 5))
    actors = pipe.loader(workers=1, executor="ray")
    actors.load_state_dict(other.state_dict())
    same(head + list(actors), second)
    assert actors.state_dict() == inline.state_dict() and actors.epoch == 2


def test_an_actor_that_dies_loses_nothing_and_one_that_always_dies_is_an_error_not_a_wait(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("vdata.run.actors.DEATHS", 1)
    once, always = tmp_path / "once", tmp_path / "always"
    once.touch()
    always.touch()
    pipe = samples().apply(T.RandomHorizontalFlip(), passthrough=("array",))
    loader = pipe.map(Dies(7, once, times=1)).map(Dies(17, always, times=1000)).loader(workers=1, executor="ray", timeout=120)
    delivered = []
    with pytest.raises(WorkerError, match="actors died 2 times at positions from 15 on"):
        for sample in loader:
            delivered.append(sample)
    same(delivered, list(pipe.take(15)))
    assert (once.stat().st_size, always.stat().st_size) == (1, 2)
    assert loader.state_dict()["position"] == 15


def test_loaders_side_by_side_and_an_error_comes_back_as_itself_after_what_came_before_it(cluster):
    pipe, delivered = samples().map(of_process), []
    first = iter(pipe.loader(workers=2, executor="ray"))  # as many as the cluster has CPUs
    processes = {next(first)["process"]}
    with pytest.raises(DecodeError) as caught:
        for sample in pipe.map(Raises(12, "data")).loader(workers=1, executor="ray", timeout=120):
            processes.add(sample["process"])
            delivered.append(sample["x"])
    assert caught.value.where == {"url": "u", "shard": "s", "byte": 12, "key": "012"} and caught.value.do == "mend it"
    assert delivered == list(range(10))  # chunks of five
    del first
    assert len(processes) == 2 and os.getpid() not in processes
    assert all(gone(process) for process in processes), "who leaves early leaves no actor"
    assert cluster.is_initialized(), "a cluster that was there stays"


@pytest.mark.parametrize(("error", "kind"), [("plan", PlanError), ("own", KeyError), ("odd", RuntimeError)])
def test_errors_travel_with_where_they_were_raised(error, kind):
    found = pickle.loads(pickle.dumps(Actor(samples().map(Raises(12, error)).plan).part(0, 10, 15)))
    assert type(found) is kind
    if kind is not RuntimeError:
        assert str(found) == str(ERRORS[error]())
        assert any("sample '012'" in note for note in found.__notes__)
    if kind is not PlanError:
        assert any("raise ERRORS[self.error]()" in note for note in found.__notes__), "the line of the user's function"


def test_what_the_cluster_cannot_import_is_an_error_not_a_wait(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def same(sample):\n    return sample\n")
    monkeypatch.syspath_prepend(tmp_path)
    only_here = importlib.import_module("only_here")
    with pytest.raises(WorkerError, match=r"actors cannot start: .*No module named 'only_here'"):
        list(samples().map(only_here.same).loader(workers=1, executor="ray"))


def test_what_actors_cannot_do_is_refused_at_once():
    stream = vdata.from_iterable([{"x": 1}])
    with pytest.raises(PlanError, match='a stream, which one process reads: use mode="thread"'):
        stream.loader(executor="ray")
    with pytest.raises(PlanError, match='cache keeps nothing in executor="ray"'):
        samples().cache().loader(executor="ray")
    with pytest.raises(PlanError, match="give one of them"):
        samples().loader(executor="ray", mode="process")
    with pytest.raises(PlanError, match='or "ray", got \'rya\''):
        samples().loader(executor="rya")
    with pytest.raises(PlanError, match="instead of a lambda"):
        list(samples().map(lambda sample: sample).loader(executor="ray"))
    with pytest.raises(StateError):
        samples().loader(executor="ray").load_state_dict(samples().shuffle().loader().state_dict())


# -- Ray Data ---------------------------------------------------------------------------------------------------------------


def test_a_ray_dataset_has_every_sample_once_as_the_pipe_has_it(cluster):
    pipe = augmented()
    rows = sorted(to_ray_dataset(pipe).take_all(), key=lambda row: row["__position__"])
    assert [row.pop("__position__") for row in rows] == list(range(COUNT))
    for position, row in enumerate(rows):
        expected = {n: v.numpy() if isinstance(v, torch.Tensor) else v for n, v in pipe[position].items()}
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(row[name], value, err_msg=name)
            assert np.asarray(row[name]).dtype == np.asarray(value).dtype


def test_a_ray_dataset_is_of_one_epoch_and_goes_back_into_a_pipe(cluster):
    pipe = samples().select("x", "label").shuffle(seed=5)
    epochs = pipe.loader(mode="inline")
    for epoch in range(2):
        back = vdata.from_iterable(to_ray_dataset(pipe, epoch).iter_rows)
        assert [s["x"] for s in sorted(back, key=lambda s: s["__position__"])] == xs(epochs)


def test_what_is_no_row_is_refused_with_what_to_do(cluster):
    with pytest.raises(NoIndexError, match=r"\.pack\(url\) it first"):
        to_ray_dataset(vdata.from_iterable([{"x": 1}]))
    with pytest.raises(NoIndexError, match=r"\.take\(n\)"):
        to_ray_dataset(samples().repeat())
    with pytest.raises(PlanError, match=r"before \.to_tuple"):
        to_ray_dataset(samples().to_tuple("x")).take_all()
    with pytest.raises(PlanError, match=r"field 'extra' is dict: .*leave it out with \.select"):
        to_ray_dataset(vdata.from_torch([{"x": 1, "extra": {"a": 1}}])).take_all()


def test_who_lets_go_after_a_shutdown_does_not_start_ray_again(cluster):
    actors = iter(samples().loader(workers=1, executor="ray"))
    tasks = named("ray", 1).map_unordered(abs, range(5))
    assert next(actors)["x"] == 0 and next(tasks)[1] in range(5)
    cluster.shutdown()
    del actors, tasks
    assert not cluster.is_initialized()


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'vdata-vision\[ray\]'"):
        list(samples().loader(executor="ray"))
    with pytest.raises(MissingPackageError, match=r"pip install 'ray\[data\]'"):
        to_ray_dataset(samples())
