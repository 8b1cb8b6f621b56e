"""The bars of streaming, end to end through `vdata.open`: whatever is cut, flipped, killed or replaced, right samples come, or an error that says where."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import vdata
from tests.faultserver import ALWAYS, Fault, serve
from vdata.errors import (
    AccessError,
    ChangedError,
    ChecksumError,
    DataError,
    RemoteError,
    ShardError,
    TruncatedShardError,
    WorkerError,
)
from vdata.remote import http
from vdata.shards.fetch import Fetcher
from vdata.shards.upkeep import entries

# webdataset leaves its files to the garbage collector.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

ROOT = Path(__file__).parents[2]
SHARD = "shard-000000.tar"
BLOCK = 512


def records(count: int, seed: int = 0, size: int = 300) -> list[dict[str, Any]]:
    """Two fields a sample; their sizes do not depend on the seed."""
    choose = random.Random(seed)
    return [{"__key__": f"s{i:04d}", "label": 100_000 * (seed + 1) + i, "raw": choose.randbytes(size + i % 97)} for i in range(count)]


def packed(folder: Path, samples: list[dict[str, Any]], **options: Any) -> Path:
    vdata.from_torch(samples).pack(str(folder), quiet=True, overwrite=True, **options)
    return folder


def foreign(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The samples as they look without the manifest."""
    return [{"__key__": s["__key__"], "label.json": s["label"], "raw.bin": s["raw"]} for s in samples]


def outcome(url: Path | str, **options: Any) -> list[dict[str, Any]] | Exception:
    """All samples, or the error. In another order than they lie in: what is missing at the end is soon met."""
    try:
        return sorted(vdata.open(str(url), **options).shuffle(seed=3), key=lambda sample: sample["__key__"])
    except (DataError, RemoteError) as error:
        return error


def flip(path: Path, at: int, bit: int) -> None:
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), at)


@contextlib.contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    """A bit is another one, for a while."""
    flip(path, at, bit)
    yield
    flip(path, at, bit)


# -- cuts --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory) -> Path:
    return packed(tmp_path_factory.mktemp("cut") / "set", records(200))


def test_a_shard_cut_anywhere_gives_all_samples_or_an_error(two_hundred, tmp_path):
    whole = (two_hundred / SHARD).read_bytes()
    shutil.copytree(two_hundred, tmp_path / "set")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / SHARD).hardlink_to(tmp_path / "set" / SHARD)
    end = len(whole.rstrip(b"\0")) // BLOCK * BLOCK + 3 * BLOCK  # of the last data, and of the end mark
    anywhere = random.Random(1).sample(range(len(whole)), 500)
    errors = 0
    for cut in sorted({*range(0, len(whole), BLOCK), *anywhere}, reverse=True):
        os.truncate(tmp_path / "set" / SHARD, cut)
        got = outcome(tmp_path / "set")
        if isinstance(got, Exception):
            errors += 1
            assert isinstance(got, TruncatedShardError) and got.where["shard"] == SHARD, (cut, got)
        else:
            assert got == records(200), cut
        if cut >= end:  # zeros behind the end mark say nothing
            assert outcome(tmp_path / "alone") == foreign(records(200))
        else:
            with pytest.raises(ShardError, match=SHARD):
                vdata.open(str(tmp_path / "alone"))
    assert errors > 800


def test_a_cut_shard_far_away_gives_all_samples_or_an_error(two_hundred, tmp_path):
    whole = (two_hundred / SHARD).read_bytes()
    shutil.copytree(two_hundred, tmp_path / "set")
    with serve(tmp_path) as server:
        url, shard = server.url("set"), server.url(f"set/{SHARD}")
        full = {"cache": str(tmp_path / "full")}
        assert outcome(url, **full) == records(200)
        for cut in [0, 1, BLOCK, len(whole) - 1, *random.Random(2).sample(range(len(whole)), 20)]:
            (tmp_path / "set" / SHARD).write_bytes(whole[:cut])
            for cache in (False, str(tmp_path / f"cold{cut}")):
                got = outcome(url, cache=cache)
                assert isinstance(got, ChangedError) and got.where["shard"] == SHARD, (cut, got)
                got = outcome(shard, cache=cache)
                assert isinstance(got, ShardError) or got == foreign(records(200)), (cut, got)
            assert outcome(url, **full) == records(200)


# -- flips -------------------------------------------------------------------------------------------------------------


def draw(folder: Path, choose: random.Random, count: int) -> list[tuple[Path, int, int]]:
    """Bits of all bytes of the files, and as many of each file alone: the manifest is small."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    sizes = [p.stat().st_size for p in files]
    chosen = choose.choices(files, sizes, k=count // 2) + [files[i % len(files)] for i in range(count - count // 2)]
    return [(p, choose.randrange(p.stat().st_size), choose.randrange(8)) for p in chosen]


def errors_of(url: Path | str, samples: list[dict[str, Any]], hit: Path, at: int, **options: Any) -> int:
    """How many reads fail when the byte `at` of the file `hit` may be wrong: all others give what was written, and those say where."""
    try:
        pipe = vdata.open(str(url), **options)
    except ShardError as error:
        assert hit.name.startswith("manifest") and f"/{hit.name}" in error.where["url"], error
        return len(samples)
    errors = 0
    for number, expected in enumerate(samples):
        try:
            assert pipe[number] == expected
        except ChecksumError as error:
            errors += 1
            assert (hit.name, expected["__key__"]) == (error.where["shard"], error.where["key"])
            size = len(expected["raw"]) if error.where["field"] == "raw" else len(str(expected["label"]))
            assert 0 <= at - error.where["byte"] < size and all(str(v) in str(error) for v in error.where.values())
    return errors


def test_no_flipped_bit_gives_a_wrong_sample(tmp_path):
    samples = records(40)
    folder = packed(tmp_path / "set", samples)
    seen = 0
    for path, at, bit in draw(folder, random.Random(3), 2000):
        with flipped(path, at, bit):
            found = errors_of(folder, samples, path, at)
        assert found in ((0, 1) if path.name == SHARD else (40,)), (path, at, bit)
        seen += found > 0
    assert seen > 700
    assert outcome(folder) == samples


def test_no_flipped_bit_far_away_or_in_the_cache_gives_a_wrong_sample(tmp_path):
    samples = records(30)
    folder = packed(tmp_path / "set", samples)
    choose, seen = random.Random(4), 0
    with serve(tmp_path) as server:
        url = server.url("set")
        for number, (path, at, bit) in enumerate(draw(folder, choose, 100)):
            cache = tmp_path / f"cache{number // 10}"
            if number % 10 == 5:
                assert vdata.open(url, cache=str(cache))[7] == samples[7]
            with flipped(path, at, bit):
                seen += errors_of(url, samples, path, at, cache=str(cache)) > 0
            assert outcome(url, cache=str(cache)) == samples, "what the cache had of it heals"
        assert seen > 15
        shutil.rmtree(cache)
        for number in range(200):
            sent = server.sent(f"set/{SHARD}")
            assert outcome(url, cache=str(cache)) == samples
            if number % 2:  # it was found whole
                assert sent == server.sent(f"set/{SHARD}")
                file = choose.choice([p for p in cache.rglob("*") if p.is_file()])
                flip(file, choose.randrange(file.stat().st_size), choose.randrange(8))


def test_what_can_be_promised_of_tars_without_checksums(tmp_path):
    """A flip in a header is an error, or changes nothing. One in the data nobody can see: it is in that field of that sample, and nowhere else."""
    samples = foreign(records(30, size=1200))
    folder = packed(tmp_path / "set", records(30, size=1200))
    (tmp_path / "alone").mkdir()
    shard = Path(shutil.move(folder / SHARD, tmp_path / "alone"))
    source: Any = vdata.open(str(shard)).plan
    places = [(i, field, p) for i in range(30) for field, p in source.source.manifest.members(i).items()]
    choose, refused, unseen = random.Random(5), 0, 0
    for _ in range(300):
        at = choose.randrange(shard.stat().st_size)
        hit = next(((i, field) for i, field, p in places if p.byte <= at < p.byte + p.size and field == "raw.bin"), None)
        if any(p.byte <= at < p.byte + p.size and field == "label.json" for _, field, p in places):
            continue  # it may be no JSON any more
        with flipped(shard, at, choose.randrange(8)):
            got = outcome(shard)
        if isinstance(got, Exception):
            refused += 1
            assert isinstance(got, ShardError) and got.where["url"] == str(shard) and not hit
        elif hit:
            number, field = hit
            unseen += 1
            assert [i for i in range(30) if got[i] != samples[i]] == [number]
            assert sum(a != b for a, b in zip(got[number][field], samples[number][field], strict=True)) == 1
        else:
            assert got == samples
    assert refused > 50 and unseen > 50


# -- processes ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Iterator[Callable[..., Any]]:
    """Calls a function of this file in another process, which has no threads and may be forked."""
    errors = tmp_path_factory.mktemp("elsewhere") / "errors"
    command = [sys.executable, "-m", "tests.shards.test_bars"]
    with open(errors, "w") as file, subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, stderr=file, text=True) as process:
        timer = threading.Timer(120, process.kill)
        timer.start()

        def call(name: str, *given: object) -> Any:
            print(json.dumps([name, *map(str, given)]), file=process.stdin, flush=True)
            assert process.stdout is not None
            answer = process.stdout.readline()
            assert answer, errors.read_text()
            return json.loads(answer)

        try:
            yield call
        finally:
            timer.cancel()
            process.kill()


def child(act: Callable[[], None]) -> int:
    """A forked process: it ends with 0, or with 1 and what it raised on stderr."""
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def together(url: str, cache: str, count: str, doomed: str) -> list[int]:
    """Four processes read all of one data set at once, each in its own order; one of them may be killed in the middle."""
    expected = {s["__key__"]: s for s in records(int(count), size=7000)}
    gate, opens = os.pipe()

    def read(number: int) -> None:
        os.close(opens)
        os.read(gate, 1)
        for done, sample in enumerate(vdata.open(url, cache=cache).shuffle(seed=number).loader(workers=2)):
            assert sample == expected[sample["__key__"]]
            if number == int(doomed) and done == 20:
                os.kill(os.getpid(), signal.SIGKILL)

    children = [child(partial(read, number)) for number in range(4)]
    os.close(opens)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    os.close(gate)
    return ends


@pytest.mark.parametrize("doomed", [-1, 0])
def test_four_processes_and_one_cold_cache_are_one_download(tmp_path, elsewhere, doomed):
    folder = packed(tmp_path / "set", records(400, size=7000), samples_per_shard=100)
    shards = {p.name: p.stat().st_size for p in folder.glob("*.tar")}
    with serve(tmp_path, rate=30e6) as server:
        ends = elsewhere("together", server.url("set"), tmp_path / "cache", 400, doomed)
        sent = {name: server.sent(f"set/{name}") for name in shards}
    assert ends == [-signal.SIGKILL if number == doomed else 0 for number in range(4)]
    if doomed < 0:
        assert sent == shards
    else:  # what it had under way is fetched once more
        assert sum(shards.values()) <= sum(sent.values()) < 2 * sum(shards.values())
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def lives(url: str, cache: str, folder: str, count: str) -> int:
    """A training that is killed at random moments, `count` times, and goes on each time; then it finishes its epoch."""
    choose, state, killed = random.Random(6), Path(folder, "state"), 0
    expected = {s["__key__"]: s for s in records(200, size=3000)}

    def train(to_the_end: bool) -> None:
        loader = vdata.open(url, cache=cache).shuffle(seed=1).batch(4).loader(workers=2)
        if state.exists():
            loader.load_state_dict(json.loads(state.read_text()))
        with open(Path(folder, "log"), "a") as log:
            while True:
                for batch in loader:
                    for number, key in enumerate(batch["__key__"]):
                        assert (batch["label"][number], batch["raw"][number]) == (expected[key]["label"], expected[key]["raw"])
                    after = loader.state_dict()
                    log.write(f"{after['epoch']} {after['position']} {' '.join(batch['__key__'])}\n")
                    log.flush()
                    Path(folder, "next").write_text(json.dumps(after))
                    os.replace(Path(folder, "next"), state)
                if to_the_end:
                    return

    for _ in range(int(count)):
        pid = child(partial(train, False))
        time.sleep(0.02 + choose.random() * 0.2)
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        killed += 1
    assert os.waitstatus_to_exitcode(os.waitpid(child(partial(train, True)), 0)[1]) == 0
    return killed


def test_a_training_that_is_killed_again_and_again(tmp_path, elsewhere):
    folder = packed(tmp_path / "set", records(200, size=3000), samples_per_shard=25)
    with serve(tmp_path, latency=0.01) as server:
        assert elsewhere("lives", server.url("set"), tmp_path / "cache", tmp_path, 20) == 20
    batches: dict[tuple[int, int], list[str]] = {}
    for line in (tmp_path / "log").read_text().splitlines():
        epoch, position, *keys = line.split()
        assert batches.setdefault((int(epoch), int(position)), keys) == keys  # delivered again, where it was killed before it had saved
    last = max(epoch for epoch, _ in batches)
    for epoch in range(last + 1):
        loader = vdata.open(str(folder)).shuffle(seed=1).batch(4).loader(mode="inline")
        loader.set_epoch(epoch)
        assert [batches[epoch, 4 * n + 4] for n in range(50)] == [batch["__key__"] for batch in loader]
    content = sum(p.stat().st_size for p in folder.glob("*"))
    found = entries(str(tmp_path / "cache"))
    assert 0 < sum(entry.bytes for entry in found) <= content + len(found) * 16384


def deadly(folder: str, sample: dict[str, Any]) -> dict[str, Any]:
    """Ends its process at the samples that have a note in the folder: "once", or always."""
    note = Path(folder, sample["__key__"])
    if note.exists():
        if note.read_text() == "once":
            note.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return sample


def traces() -> set[str]:
    """Child processes, threads of vdata's, and shared memory of processes that are gone."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = {pid for pid in file.read().split() if not _is_pythons_own(pid)}
    threads = {t.name for t in threading.enumerate() if t.name.startswith("vdata")}
    owners = {name: re.search(r"_(\d+)_", name) for name in os.listdir("/dev/shm")}
    return children | threads | {name for name, owner in owners.items() if owner and not os.path.exists(f"/proc/{owner[1]}")}


def _is_pythons_own(pid: str) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as file:
        command = file.read()
        return "forkserver" in command or "resource_tracker" in command
    return True


def left_since(before: set[str], seconds: float = 10.0) -> set[str]:
    end = time.monotonic() + seconds
    while (found := traces() - before) and time.monotonic() < end:
        time.sleep(0.02)
    return found


KILLED = {"first": ["s0000"], "last": ["s0119"], "far apart": ["s0010", "s0060", "s0110"]}


@pytest.mark.parametrize("where", KILLED)
def test_a_killed_worker_loses_nothing(tmp_path, where):
    folder, before = packed(tmp_path / "set", records(120), samples_per_shard=50), traces()
    pipe = vdata.open(str(folder)).map(partial(deadly, str(tmp_path))).batch(5)
    expected = [batch["raw"] for batch in pipe.loader(mode="inline")]
    for key in KILLED[where]:
        (tmp_path / key).write_text("once")
    loader = pipe.loader(mode="process", workers=2, multiprocessing_context="fork")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [batch["raw"] for batch in loader] == expected
    said = [str(w.message) for w in caught if "new workers" in str(w.message)]
    assert len(said) == len(KILLED[where])
    assert not left_since(before)


def test_a_place_that_kills_every_worker_is_an_error(tmp_path):
    folder, before = packed(tmp_path / "set", records(120)), traces()
    (tmp_path / "s0060").write_text("always")
    loader = vdata.open(str(folder)).map(partial(deadly, str(tmp_path))).batch(5).loader(mode="process", workers=2, multiprocessing_context="fork")
    got = []
    with pytest.warns(RuntimeWarning, match="new workers") as caught, pytest.raises(WorkerError, match="died 3 times at positions from"):
        got.extend(key for batch in loader for key in batch["__key__"])
    assert got == [f"s{i:04d}" for i in range(60)][: len(got)] and len(caught) >= 2
    assert not left_since(before)


def test_a_killed_worker_far_from_its_data(tmp_path):
    """With the loader's own way to start workers, over HTTP, with a cache."""
    packed(tmp_path / "set", records(120), samples_per_shard=50)
    before = traces()
    with serve(tmp_path) as server:
        (tmp_path / "s0077").write_text("once")
        pipe = vdata.open(server.url("set"), cache=str(tmp_path / "cache")).map(partial(deadly, str(tmp_path))).batch(5)
        with pytest.warns(RuntimeWarning, match="new workers") as caught:
            assert [raw for batch in pipe.loader(mode="process", workers=1) for raw in batch["raw"]] == [s["raw"] for s in records(120)]
    assert len(caught) == 1 and not left_since(before)


# -- a source that changes, or ends ------------------------------------------------------------------------------------

MANY = 900  # more than are brought ahead


def delivered(pipe: Any, at: int, then: Callable[[], Any], error: Any, samples: list[dict[str, Any]]) -> Any:
    """The error that comes, some time after `then` was called at sample `at`; all that is delivered before it is right."""
    got = 0
    with pytest.raises(error) as caught:
        for sample in pipe.loader(workers=2):
            assert sample == samples[got]
            got += 1
            if got == at:
                then()
    assert at <= got < len(samples)
    return caught.value


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("size", [300, 290])
def test_a_source_that_is_replaced_in_an_epoch_is_an_error(tmp_path, size, cached):
    """By one of the same length, too. Its manifest is replaced with it, and fits the new one, not the one that was read."""
    samples = records(MANY)
    folder, other = packed(tmp_path / "set", samples, samples_per_shard=450), packed(tmp_path / "other", records(MANY, 1, size), samples_per_shard=450)
    with serve(tmp_path) as server:
        pipe = vdata.open(server.url("set"), cache=str(tmp_path / "cache") if cached else False)
        error = delivered(pipe, 50, lambda: shutil.copytree(other, folder, dirs_exist_ok=True), (ChangedError, ChecksumError), samples)
        assert isinstance(error, ChangedError) or size == 300
        assert "shard" in error.where and "key" in error.where


def test_a_manifest_that_fits_no_more_is_an_error_from_the_first_sample_on(tmp_path):
    folder, other = packed(tmp_path / "set", records(20)), packed(tmp_path / "other", records(20, 1))
    shutil.copy(other / SHARD, folder / SHARD)
    with serve(tmp_path) as server:
        for cache in (False, str(tmp_path / "cache")):
            pipe = vdata.open(server.url("set"), cache=cache)
            for number in range(20):
                with pytest.raises(ChecksumError, match=SHARD):
                    pipe[number]


@pytest.mark.parametrize("cached", [False, True])
def test_a_foreign_tar_that_is_replaced_after_it_was_indexed_is_an_error(tmp_path, cached):
    folder, other = packed(tmp_path / "set", records(20)), packed(tmp_path / "other", records(20, 1))
    with serve(tmp_path) as server:
        pipe = vdata.open(server.url(f"set/{SHARD}"), cache=str(tmp_path / "cache") if cached else False)
        shutil.copy(other / SHARD, folder / SHARD)
        with pytest.raises(ChangedError, match=SHARD):
            list(pipe)


def hurried(monkeypatch, **limits: Any) -> None:
    monkeypatch.setattr(http, "PATIENCE", replace(http.PATIENCE, **limits))


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_server_that_dies_for_good_is_an_error_and_is_not_skipped(tmp_path, monkeypatch, on_error):
    hurried(monkeypatch, seconds=1.0, quiet=1.0)
    samples = records(MANY)
    packed(tmp_path / "set", samples)
    with contextlib.ExitStack() as life:
        server = life.enter_context(serve(tmp_path))
        pipe = vdata.open(server.url("set"), cache=False).decode(on_error=on_error)
        began: list[float] = []

        def die() -> None:
            began.append(time.monotonic())
            life.close()

        error = delivered(pipe, 50, die, RemoteError, samples)
        assert time.monotonic() - began[0] < 6 and error.where["shard"] == SHARD and "attempts" in str(error)


def test_a_server_that_comes_back_costs_nothing(tmp_path, monkeypatch):
    hurried(monkeypatch, attempts=200, sleep=lambda seconds: time.sleep(min(seconds, 0.01)))
    samples = records(MANY)
    packed(tmp_path / "set", samples, samples_per_shard=300)
    with serve(tmp_path) as server:
        got = []
        for sample in vdata.open(server.url("set"), cache=str(tmp_path / "cache")).loader(workers=2):
            got.append(sample)
            if len(got) == 20:
                down, cut = Fault(raw=(b"", b""), times=30), Fault(cut=10_000, reset=True)
                for number in range(3):
                    server.fault(f"set/shard-{number:06d}.tar", cut, down, Fault(status=503, times=5), cut)
        assert got == samples
        assert sum(request.status == 503 for request in server.log) >= 5


# -- broken records ----------------------------------------------------------------------------------------------------


def test_substitutes_of_broken_records_are_the_same_in_every_world(tmp_path):
    samples = records(120)
    folder = packed(tmp_path / "set", samples, samples_per_shard=30)
    pipe: Any = vdata.open(str(folder)).plan
    manifest, rotten = pipe.source.manifest, (3, 4, 29, 30, 77, 119)
    for number in rotten:
        place = manifest.members(number)["raw"]
        flip(folder / manifest.shards[place.shard].name, place.byte + 9, 2)
    with serve(tmp_path) as server:
        seen = []
        for world, cache in ((1, False), (2, str(tmp_path / "a")), (3, str(tmp_path / "a")), (4, False)):
            url = server.url("set")
            pipes = [vdata.open(url, cache=cache).decode(on_error="skip").shuffle(seed=2) for _ in range(world)]
            loaders = [pipe.loader(workers=2, rank=rank, world_size=world) for rank, pipe in enumerate(pipes)]
            ranks = [list(loader) for loader in loaders]
            assert all(sample in samples for rank in ranks for sample in rank)
            assert [len(rank) for rank in ranks] == [120 // world] * world == [loader.stats()["delivered"] for loader in loaders]
            said = [entry for loader in loaders for entry in loader.stats()["substituted"]]
            assert sorted(entry["key"] for entry in said) == [f"s{i:04d}" for i in rotten]
            assert all(entry["field"] == "raw" and entry["url"].startswith(url) for entry in said)
            keys = [ranks[p % world][p // world]["__key__"] for p in range(120)]
            seen.append((keys, sorted((entry["key"], entry["position"], entry["by"]) for entry in said)))
        assert all(one == seen[0] for one in seen)


# -- what is brought ahead ---------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    (tmp_path / "a.tar").write_bytes(bytes(range(250)))
    with serve(tmp_path) as server:
        yield server


def test_who_asked_for_a_part_of_what_failed_is_named_himself(server, tmp_path):
    packed(tmp_path / "set", records(5))
    source: Any = vdata.open(server.url("set"), cache=False).plan
    server.fault(f"set/{SHARD}", Fault(status=403, times=ALWAYS))
    source.source.prepare(range(5))
    for number in range(5):
        with pytest.raises(AccessError) as caught:
            source.source.read(number)
        assert caught.value.where["key"] == f"s{number:04d}"
    assert len(server.of(f"set/{SHARD}")) == 1


def test_a_broken_range_does_not_take_its_neighbours_along(server):
    fetcher = Fetcher(server.url(""))
    fetcher.prepare([("a.tar", 0, 100), ("a.tar", 100, 100), ("a.tar", 200, 100)])
    assert fetcher.read("a.tar", 100, 100) == bytes(range(100, 200))
    with pytest.raises(TruncatedShardError, match="expected 100 bytes from byte 200, got 50"):
        fetcher.read("a.tar", 200, 100)
    assert fetcher.read("a.tar", 0, 100) == bytes(range(100))


def test_an_etag_that_comes_with_the_bytes_alone_counts_from_then_on(server, tmp_path):
    server.fault("a.tar", Fault(headers={"ETag": None}))
    fetcher = Fetcher(server.url(""))
    assert fetcher.size("a.tar") == 250  # of a HEAD without one
    assert fetcher.read("a.tar", 0, 5) == bytes(range(5))
    (tmp_path / "a.tar").write_bytes(bytes(250))
    with pytest.raises(ChangedError):
        fetcher.read("a.tar", 0, 5)


def test_the_first_version_seen_is_the_only_one_in_other_processes_too(server, tmp_path):
    fetcher = Fetcher(server.url(""))
    fetcher.read("a.tar", 0, 5)
    copied = pickle.dumps(fetcher)
    (tmp_path / "a.tar").write_bytes(bytes(250))
    with pytest.raises(ChangedError):
        pickle.loads(copied).read("a.tar", 0, 5)

    def changed() -> None:
        with contextlib.suppress(ChangedError):
            fetcher.read("a.tar", 0, 5)
            raise AssertionError("another version")

    assert os.waitstatus_to_exitcode(os.waitpid(child(changed), 0)[1]) == 0


def test_all_that_is_held_is_counted_and_let_go_of(server, tmp_path):
    (tmp_path / "b.tar").write_bytes(bytes(300_000))
    fetcher = Fetcher(server.url(""))
    ranges = [("b.tar", start, 10) for start in range(0, 240_000, 60_000)]
    fetcher.prepare(ranges)
    assert fetcher._ahead._bytes == 180_010  # with what lies between
    for shard, start, length in ranges:
        assert fetcher.read(shard, start, length) == bytes(10)
    assert fetcher._ahead._bytes == 0 and not fetcher._ahead._held


def test_a_signed_url_of_the_manifest(server, tmp_path):
    packed(tmp_path / "set", records(5))
    for name in ("set", "set/", "set/manifest.json"):
        pipe = vdata.open(f"{server.url(name)}?X-Amz-Signature=canary", cache=str(tmp_path / "cache"))
        assert list(pipe) == records(5)
        assert "canary" not in repr(pipe)
    assert b"canary" not in b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())


if __name__ == "__main__":
    list(vdata.from_torch(records(4)).batch(2).loader(mode="inline"))  # what is imported now need not be in every child
    for line in sys.stdin:
        name, *given = json.loads(line)
        print(json.dumps({"together": together, "lives": lives}[name](*given)), flush=True)
