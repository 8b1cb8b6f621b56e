"""pack in jobs: whoever makes the shards, and however often they are killed, the bytes are those of an undisturbed pack."""

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import vdata
from tests.shards.pack_functions import COUNT, Once, ValueErrorAt, annotated, pictures
from vdata.encoded import Encoded
from vdata.errors import MissingPackageError, PlanError, ShardError, VdataError
from vdata.executors import Processes
from vdata.shards.job import cut
from vdata.shards.manifest import Manifest
from vdata.shards.storage import tars_in, write_file
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import Image

ROOT = Path(__file__).parents[2]
LIMITS = [
    {"samples_per_shard": 7},
    {"bytes_per_shard": 60_000},
    {"samples_per_shard": 20, "bytes_per_shard": 81_920},
    {"bytes_per_shard": 1},
]


def content(folder):
    """Every file beneath a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def content_in_memory(url):
    import fsspec

    system = fsspec.filesystem("memory")
    root = url.removeprefix("memory:/")
    return {path.removeprefix(root + "/"): system.cat_file(path) for path in system.find(root)}


def same_pack(a, b):
    """The same files with the same bytes, and no other file."""
    assert a.keys() == b.keys()
    assert [name for name in a if a[name] != b[name]] == []


# -- how samples become shards ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_shards_keep_both_limits_and_are_of_nearly_equal_size(tmp_path, limits):
    packed = pictures().pack(tmp_path, **limits)
    manifest = packed.plan.source.manifest
    assert [s["number"] for s in packed] == list(range(COUNT)), "the manifest has the pipe's order"
    names = sorted(shard.name for shard in manifest.shards)
    assert names == [f"shard-{n:06d}.tar" for n in range(len(names))] == sorted(p.name for p in tmp_path.glob("*.tar"))
    for shard in manifest.shards:
        assert (tmp_path / shard.name).stat().st_size == shard.bytes
        assert shard.samples <= limits.get("samples_per_shard", COUNT)
        assert shard.samples == 1 or shard.bytes <= limits.get("bytes_per_shard", 2**60)
    assert manifest.shard_sizes.min() >= manifest.shard_sizes.max() - 1 or "bytes_per_shard" in limits
    assert set(content(tmp_path)) == {"manifest.json", "manifest.bin", *names}


def test_a_thousand_samples_at_most_300_a_shard_are_4_of_250():
    packed = vdata.from_torch([{"x": i} for i in range(1000)]).pack("memory://scale/thousand", samples_per_shard=300)
    assert packed.plan.source.manifest.shard_sizes.tolist() == [250] * 4


@given(st.lists(st.sampled_from([0, 512, 1024, 5000, 100_000]), min_size=1, max_size=60), st.sampled_from([600, 4096, 50_000, 300_000]))
def test_a_cut_keeps_the_limit_and_leaves_no_crumbs(sizes, room):
    edges = [0, *cut(sizes, room), len(sizes)]
    sums = [sum(sizes[a:b]) for a, b in pairwise(edges)]
    assert all(a < b for a, b in pairwise(edges))
    assert all(total <= room or sum(size > 0 for size in sizes[a:b]) == 1 for total, (a, b) in zip(sums, pairwise(edges), strict=True))
    greedy, begun = 1, 0
    for size in sizes:
        greedy, begun = (greedy + 1, size) if begun and begun + size > room else (greedy, begun + size)
    assert len(sums) <= 2 * greedy
    if len(set(sizes)) == 1 and 0 < sizes[0] <= room:
        assert max(sums) - min(sums) <= sizes[0]


# -- whoever makes them ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Packs by one thread, one for each of the limits, and one of a data set with flow."""
    packs = []
    for number, limits in enumerate(LIMITS):
        folder = tmp_path_factory.mktemp(f"limits{number}")
        pictures().pack(folder, **limits)
        packs.append(content(folder))
    kitti = tmp_path_factory.mktemp("kitti")
    vdata.load("kitti_flow", fake=True).pack(kitti, samples_per_shard=1, longest=100, format="jpeg")
    return packs, content(kitti)


class Backwards:
    """An executor of one's own: the last shard first, and twice."""

    def map_unordered(self, fn, items):
        for number, item in reversed(list(enumerate(items))):
            fn(item)
            yield number, fn(item)


@pytest.mark.parametrize("number", range(len(LIMITS)))
def test_any_executor_writes_the_same_bytes(reference, tmp_path, number):
    pictures().pack(tmp_path, executor=Backwards(), **LIMITS[number])
    same_pack(content(tmp_path), reference[0][number])


def test_processes_write_the_same_bytes(reference, tmp_path):
    pictures().pack(tmp_path / "a", executor="process", workers=2, **LIMITS[2])
    same_pack(content(tmp_path / "a"), reference[0][2])
    vdata.load("kitti_flow", fake=True).pack(tmp_path / "b", executor="process", workers=2, samples_per_shard=1, longest=100, format="jpeg")
    same_pack(content(tmp_path / "b"), reference[1])


def test_a_killed_worker_costs_its_shard_once_more(reference, tmp_path):
    """The pipe is another one (it has a map), so only the digest differs, which a finished pack does not hold."""
    killing = pictures().map(Once(18, str(tmp_path / "mark")))
    killing.pack(tmp_path / "set", executor="process", workers=2, **LIMITS[0])
    assert (tmp_path / "mark").exists()
    same_pack(content(tmp_path / "set"), reference[0][0])


def test_a_worker_that_is_always_killed_is_an_error_that_names_the_shard(tmp_path):
    with pytest.raises(VdataError, match=r"shard 2 \(positions 14 to 20\).*SIGKILL each of 4 times"):
        pictures().map(Once(18)).pack(tmp_path, executor="process", workers=2, **LIMITS[0])
    assert multiprocessing.active_children() == []
    assert not (tmp_path / "manifest.json").exists()


def test_a_mistake_in_a_worker_comes_back_as_itself_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="mine") as caught:
        pictures().map(ValueErrorAt(18)).pack(tmp_path, executor="process", workers=2, **LIMITS[0])
    assert any("in a worker process" in note and "pack_functions.py" in note for note in caught.value.__notes__)
    assert multiprocessing.active_children() == [] and content(tmp_path) == {}


def test_what_cannot_be_shared_out_says_why(tmp_path):
    stream = vdata.from_iterable([{"x": 1}], "mine")
    with pytest.raises(PlanError, match=r'only executor="serial".*no index'):
        stream.pack(tmp_path, executor="process")
    assert len(stream.pack(tmp_path / "serial")) == 1
    with pytest.raises(PlanError, match="memory"):
        pictures().pack("memory://scale/shared", executor="process")
    with pytest.raises(PlanError, match="lambda"):
        pictures().map(lambda s: s).pack(tmp_path, executor="process")
    with pytest.raises(PlanError, match="endless"):
        pictures().repeat().pack(tmp_path)
    with pytest.raises(PlanError, match="no result for"):
        pictures().pack(tmp_path, executor=type("Lazy", (), {"map_unordered": lambda *_: iter(())})())
    for wrong in ({"executor": "threads"}, {"workers": 2}, {"executor": "process", "workers": 0}):
        with pytest.raises(PlanError):
            pictures().pack(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == [tmp_path / "serial"]


# -- after a crash -----------------------------------------------------------------------------------------------------------------


def killed_at(step, folder, count=COUNT, **options):
    """Pack in a forked child that is killed just before (even steps) or after (odd) a file gets its name; whether it was."""
    child = os.fork()
    if child == 0:
        calls, real = iter(range(10**6)), os.replace

        def replace(*names):
            call = next(calls)
            if 2 * call == step:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*names)
            if 2 * call + 1 == step:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace
        try:
            pictures(count).pack(folder, **options)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads, from Python 3.12 on
def test_a_rerun_finishes_what_a_kill_at_any_step_left(tmp_path):
    """Steps: the mark, the plan, a tar and a result for each task, the two files of the manifest."""
    limits = {"samples_per_shard": 12, "bytes_per_shard": 61_440}
    pictures(24).pack(tmp_path / "whole", **limits)
    whole = content(tmp_path / "whole")
    for step in range(100):
        folder = tmp_path / str(step)
        if not killed_at(step, folder, 24, **limits):
            break
        results = {path.name.partition("-")[0] for path in (folder / ".unfinished").glob("*-*") if not path.name.startswith(".")}
        kept = {path: path.stat().st_ino for path in folder.glob("*.tar")}
        pictures(24).pack(folder, **limits)
        same_pack(content(folder), whole)
        assert sum(path.stat().st_ino == inode for path, inode in kept.items()) >= min(len(kept), len(results)) - 1, "finished shards are not made again"
    assert step > 2 * len(whole), "every file was killed at"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_pack_does_not_take_over_what_was_left(reference, tmp_path):
    assert killed_at(9, tmp_path, **LIMITS[0])
    left = content(tmp_path)
    assert {"UNFINISHED", ".unfinished/plan.json", "shard-000000.tar"} <= left.keys()
    assert json.loads(left[".unfinished/plan.json"])["count"] == COUNT
    with pytest.raises(ShardError, match=r"other options \(samples_per_shard\).*overwrite=True"):
        pictures().pack(tmp_path, samples_per_shard=8)
    with pytest.raises(ShardError, match=r"other options \(quality\)"):
        pictures().pack(tmp_path, quality=91, **LIMITS[0])
    with pytest.raises(ShardError, match="another pipe"):
        pictures().map(ValueErrorAt(-1)).pack(tmp_path, **LIMITS[0])
    with pytest.raises(ShardError, match="samples have changed"):  # the same class and length: only the samples tell
        read(Computed("pictures", COUNT, annotated, digest=pictures().plan.source.digest)).pack(tmp_path, **LIMITS[0])
    assert content(tmp_path) == left
    pictures().pack(tmp_path, samples_per_shard=8, overwrite=True)
    assert set(content(tmp_path)) == {"manifest.json", "manifest.bin", *(f"shard-{n:06d}.tar" for n in range(6))}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_shard_that_was_damaged_meanwhile_is_made_again(reference, tmp_path):
    assert killed_at(16, tmp_path, **LIMITS[0])
    for name, damage in (("shard-000000.tar", lambda d: d[:700] + bytes([d[700] ^ 1]) + d[701:]), ("shard-000001.tar", lambda d: d[:-512]), ("shard-000002.tar", lambda d: d + b"x")):
        (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    pictures().pack(tmp_path, **LIMITS[0])
    same_pack(content(tmp_path), reference[0][0])


class FailingAfter:
    """An executor whose storage breaks down after some shards."""

    def __init__(self, shards):
        self.shards = shards

    def map_unordered(self, fn, items):
        for number, item in enumerate(items):
            if number == self.shards:
                raise OSError(5, "the network is down")
            yield number, fn(item)


@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_failure_of_storage_keeps_what_is_finished(reference, tmp_path, where):
    url, look = (f"memory://{tmp_path.name}", content_in_memory) if where == "memory" else (str(tmp_path), content)
    for shards in (1, 3):
        with pytest.raises(OSError, match="network is down") as caught:
            pictures().pack(url, executor=FailingAfter(shards), **LIMITS[2])
        assert "the same pack again makes only the others" in caught.value.__notes__[0]
    assert len(tars_in(url)) == 2 and "manifest.json" not in look(url)  # the third is too large, and says where to cut it
    pictures().pack(url, **LIMITS[2])
    same_pack(look(url), reference[0][2])
    with pytest.raises(ShardError, match="a data set already"):
        pictures().pack(url, **LIMITS[2])
    with pytest.raises(OSError, match="network is down"):
        pictures().pack(url, executor=FailingAfter(3), overwrite=True, **LIMITS[2])
    write_file(f"{url}/other.txt", b"theirs")
    pictures().pack(url, overwrite=True, **LIMITS[0])
    same_pack(look(url), reference[0][0] | {"other.txt": b"theirs"})


DRIVER = """
import multiprocessing, os, signal, sys, time
from tests.shards.pack_functions import pictures

def killing(sample):
    if sample["number"] == 31 and multiprocessing.parent_process() is not None:
        with open(os.environ["WORKER"], "w") as file:
            file.write(str(os.getpid()))
        os.kill(multiprocessing.parent_process().pid, signal.SIGKILL)
        time.sleep(60)
    return sample

if __name__ == "__main__":
    pictures().map(killing).pack(sys.argv[1], executor="process", workers=2, samples_per_shard=7)
"""


def test_workers_do_not_outlive_a_driver_that_was_killed(tmp_path):
    script, worker = tmp_path / "driver.py", tmp_path / "worker"
    script.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORKER": str(worker)}
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path / "set")], env=environment)
    assert driver.wait(60) == -signal.SIGKILL
    gone(int(worker.read_text()))
    assert tars_in(str(tmp_path / "set")) and not (tmp_path / "set" / "manifest.json").exists()
    assert not [name for name in content(tmp_path / "set") if name.endswith(".tmp")], "the worker removed what it was writing"


def gone(pid, patience=15):
    """Wait until no process has this number."""
    import time

    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail(f"process {pid} still runs")


# -- pictures -----------------------------------------------------------------------------------------------------------------------


def test_all_that_lies_on_a_picture_becomes_smaller_with_it(tmp_path):
    pipe = vdata.from_torch([annotated(i) for i in range(6)])
    for before, after in zip(pipe, pipe.pack(tmp_path, longest=30), strict=True):
        ratio = min(1, 30 / max(before["image"].shape))
        size = tuple(round(side * ratio) for side in before["image"].shape[-2:])
        assert size in ((20, 30), (12, 10))
        assert all(after[name].shape[-2:] == size for name in ("image", "image2", "mask", "flow"))
        assert after["boxes"].canvas_size == after["points"].canvas_size == size
        assert torch.allclose(after["boxes"].plain(), before["boxes"].plain() * ratio)
        assert torch.allclose(after["points"].plain(), before["points"].plain() * ratio)
        assert torch.allclose(after["flow"].plain(), torch.full((2, *size), 3.0 * ratio), atol=1e-5)
        if ratio == 1:
            assert all(torch.equal(after[n].plain(), before[n].plain()) for n in ("image", "mask"))


def jpeg(size, mode="RGB", format="JPEG", **options):
    file = io.BytesIO()
    Pillow.effect_mandelbrot(size, (-2, -1, 1, 1), 90).convert(mode).save(file, format, **options)
    return file.getvalue()


def stored(pipe, index):
    return pipe.plan.source.read(index)["image"]


def test_pictures_change_their_format_only_where_they_must(tmp_path):
    given = [jpeg((40, 20)), jpeg((40, 20), "L"), jpeg((40, 20), format="PNG"), jpeg((90, 60)), jpeg((90, 60), format="PNG")]
    pipe = vdata.from_torch([{"image": Encoded(data, "Image", "jpg", orient=False)} for data in given])
    kept = pipe.pack(tmp_path / "kept")
    assert [bytes(stored(kept, i).data) for i in range(5)] == given
    small = pipe.pack(tmp_path / "small", longest=45, format="jpeg", quality=80)
    found = [stored(small, i) for i in range(5)]
    assert [bytes(e.data) == data for e, data in zip(found, given, strict=True)] == [True, True, False, False, False]
    opened = [Pillow.open(io.BytesIO(e.data)) for e in found]
    assert [(p.format, p.mode, p.size) for p in opened] == [("JPEG", m, s) for m, s in [("RGB", (40, 20)), ("L", (40, 20)), *[("RGB", (40, 20)), ("RGB", (45, 30)), ("RGB", (45, 30))]]]
    assert {e.suffix for e in found} == {"jpg"} and all(not e.orient for e in found)
    same = pipe.pack(tmp_path / "same", longest=45)
    assert [Pillow.open(io.BytesIO(stored(same, i).data)).format for i in range(5)] == ["JPEG", "JPEG", "PNG", "JPEG", "PNG"]
    webp = pipe.pack(tmp_path / "webp", format="webp", quality=100)
    assert all(torch.equal(webp[i]["image"].plain(), pipe[i]["image"].plain()) for i in range(5)), "100 is lossless"
    png = pipe.pack(tmp_path / "png", format="png")
    assert [Pillow.open(io.BytesIO(stored(png, i).data)).mode for i in range(5)] == ["RGB", "L", "RGB", "RGB", "RGB"]


def test_restart_markers_stand_after_every_row_of_blocks(tmp_path):
    pipe = vdata.from_torch([{"image": Encoded(jpeg((64, 96)), "Image", "jpg")}, {"image": Encoded(jpeg((64, 96), "L"), "Image", "jpg")}])
    packed = pipe.pack(tmp_path, restart_markers=True)
    for index, rows in ((0, 96 // 16), (1, 96 // 8)):  # 4:2:0 has blocks of 16 pixels, grey of 8
        data = bytes(stored(packed, index).data)
        assert sum(data.count(bytes([0xFF, 0xD0 + n])) for n in range(8)) == rows - 1
    assert all(torch.equal(packed[i]["image"].plain(), pipe[i]["image"].plain()) for i in (0, 1))
    written = vdata.from_torch([{"image": Image(torch.zeros(3, 40, 40, dtype=torch.uint8))}]).pack(tmp_path / "new", format="jpeg", restart_markers=True)
    assert bytes(stored(written, 0).data).count(b"\xff\xd1") == 1  # three rows of blocks of 16


def test_pictures_that_a_format_cannot_hold_are_named(tmp_path):
    deep = {"__key__": "deep", "image": Image(torch.zeros(3, 4, 4, dtype=torch.uint16))}
    with pytest.raises(PlanError, match=r"'image' of sample 'deep'.*uint8 pictures of 1 or 3 channels.*ToDtype"):
        vdata.from_torch([deep]).pack(tmp_path, format="jpeg")
    for wrong in ({"longest": 0}, {"longest": 1.5}, {"format": "gif"}, {"quality": 101}, {"quality": True}):
        with pytest.raises(PlanError):
            vdata.from_torch([deep]).pack(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []
    vdata.from_torch([deep]).pack(tmp_path, longest=2)
    assert vdata.open(str(tmp_path))[0]["image"].dtype == torch.uint16


def test_the_command_line(tmp_path):
    from click.testing import CliRunner

    from vdata.__main__ import main

    options = ["--longest", "30", "--format", "jpeg", "--quality", "80", "--restart-markers", "--bytes-per-shard", "1MB", "--samples-per-shard", "1"]
    done = CliRunner().invoke(main, ["pack", "kitti_flow", "--fake", str(tmp_path), "--executor", "serial", *options])
    assert done.exit_code == 0, done.output
    manifest = Manifest.load(tmp_path)
    assert len(manifest.shards) == len(manifest) > 1


# -- Ray, last: nothing is forked once its threads run --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_writes_the_same_bytes(cluster, reference, tmp_path):
    pictures().pack(tmp_path / "a", executor="ray", **LIMITS[2])
    same_pack(content(tmp_path / "a"), reference[0][2])
    vdata.load("kitti_flow", fake=True).pack(tmp_path / "b", executor="ray", samples_per_shard=1, longest=100, format="jpeg")
    same_pack(content(tmp_path / "b"), reference[1])
    assert cluster.is_initialized(), "a cluster that was there stays"


@pytest.mark.filterwarnings("ignore")
def test_a_killed_ray_worker_costs_its_shard_once_more(cluster, reference, tmp_path):
    pictures().map(Once(18, str(tmp_path / "mark"))).pack(tmp_path / "set", executor="ray", **LIMITS[0])
    assert (tmp_path / "mark").exists()
    same_pack(content(tmp_path / "set"), reference[0][0])
    with pytest.raises(ValueError, match="mine"):
        pictures().map(ValueErrorAt(18)).pack(tmp_path / "mistake", executor="ray", **LIMITS[0])
    assert content(tmp_path / "mistake") == {}


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'vdata-vision\[ray\]'"):
        pictures().pack(tmp_path, executor="ray")


def test_processes_end_with_their_iterator():
    results = Processes(2).map_unordered(abs, range(100))
    next(results)
    results.close()
    assert multiprocessing.active_children() == []
