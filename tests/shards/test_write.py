"""Writing shards: equal input gives equal bytes, webdataset reads them, and nothing half-written is ever visible."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
import webdataset
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from vdata.errors import ChecksumError, PlanError, ShardError
from vdata.field import Field
from vdata.shards import write as write_module
from vdata.shards.fetch import Fetcher
from vdata.shards.manifest import Manifest
from vdata.shards.storage import exists, read_file, tars_in, write_file
from vdata.shards.tar import members, samples
from vdata.shards.write import ShardWriter, quote_key

SAMPLES = {f"d/{i:03d}": {"image": ("png", bytes([i]) * (i * 200)), "label": ("cls", b"%d" % i)} for i in range(10)}


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path) -> str:
    return str(tmp_path / "set") if request.param == "local" else f"memory://{tmp_path.name}/set"


def write_all(url, given=SAMPLES, **options) -> Manifest:
    with ShardWriter(url, **options) as writer:
        for number, (key, parts) in enumerate(given.items()):
            writer.write(key, parts, {"label": number})
    return writer.manifest


def read_all(manifest: Manifest) -> dict:
    fetcher, found = Fetcher(manifest.base), {}
    for i in range(len(manifest)):
        parts = {}
        for field, place in manifest.members(i).items():
            data = bytes(fetcher.read(manifest.shards[place.shard].name, place.byte, place.size))
            assert crc32c(data) == place.crc
            parts[field] = (place.suffix, data)
        found[manifest.key(i)] = parts
    return found


def names_in(url: str) -> list[str]:
    if not url.startswith("memory://"):
        return sorted(os.listdir(url)) if os.path.isdir(url) else []
    import fsspec

    return sorted(p.rpartition("/")[2] for p in fsspec.filesystem("memory").find(url))


def test_what_is_written_is_read(url):
    manifest = write_all(url, samples_per_shard=4)
    assert read_all(manifest) == read_all(Manifest.load(url)) == SAMPLES
    assert names_in(url) == ["manifest.bin", "manifest.json", *(f"shard-00000{i}.tar" for i in range(3))]
    assert manifest.shard_sizes.tolist() == [4, 4, 2] and manifest.columns["label"].tolist() == list(range(10))
    assert manifest.fields == {"image": Field(suffix="png"), "label": Field(suffix="cls")}
    assert [s.bytes for s in manifest.shards] == [len(read_file(u)) for u in tars_in(url)]


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=160).filter(
            lambda key: not key.startswith("/") and not key.endswith("/")
        ),
        st.dictionaries(
            st.sampled_from(["image", "flow", "a1_b"]),
            st.tuples(st.sampled_from(["png", "jpg", "tar.gz"]), st.binary(max_size=1200)),
            min_size=1,
        ),
        max_size=6,
    ),
    st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_any_keys_any_fields_mixed_suffixes(given, count):
    manifest = write_all("memory://any/set", given, samples_per_shard=count, overwrite=True)
    assert read_all(manifest) == given and list(read_all(manifest)) == list(given)
    indexed = Manifest.index("memory://any/set") if given else Manifest.index([])
    assert len(indexed) == len(given)
    assert [indexed.key(i) for i in range(len(given))] == [quote_key(key) for key in given]


def test_equal_samples_give_equal_bytes(tmp_path, monkeypatch):
    write_all(tmp_path / "a", samples_per_shard=4)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    write_all(tmp_path / "b", samples_per_shard=4)
    for name in os.listdir(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_remote_and_local_bytes_are_equal(tmp_path):
    assert write_all(tmp_path).digest == write_all("memory://equal").digest
    assert read_file("memory://equal/shard-000000.tar") == (tmp_path / "shard-000000.tar").read_bytes()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its files open
def test_webdataset_reads_what_is_written(tmp_path):
    given = {
        "a/1": SAMPLES["d/001"],
        "50%.x": {"image": ("png", b"i"), "seg": ("png", b"s")},
        "..": {"x": ("json", b"{}")},
        "__a__/b": {"x": ("json", b"1")},
    }
    write_all(tmp_path, given)
    read = list(webdataset.WebDataset(str(tmp_path / "shard-000000.tar"), shardshuffle=False))
    assert [s["__key__"] for s in read] == ["a/1", "50%25%2Ex", "%2E%2E", "%5F_a__/b"]
    for sample, parts in zip(read, given.values()):
        assert {k: v for k, v in sample.items() if not k.startswith("__")} == {
            f"{f}.{s}": data for f, (s, data) in parts.items()
        }


def test_shards_end_at_either_limit(tmp_path):
    big = {f"{i}": {"x": ("bin", bytes(3000))} for i in range(9)}
    assert write_all(tmp_path / "bytes", big, bytes_per_shard=10_000).shard_sizes.tolist() == [2, 2, 2, 2, 1]
    assert write_all(tmp_path / "count", big, samples_per_shard=5).shard_sizes.tolist() == [5, 4]
    assert write_all(tmp_path / "huge", big, bytes_per_shard=1).shard_sizes.tolist() == [1] * 9
    for wrong in (
        {"samples_per_shard": 0},
        {"bytes_per_shard": 0},
        {"prefix": "../x"},
        {"prefix": "a/b"},
        {"prefix": ".x"},
        {"prefix": ""},
    ):
        with pytest.raises((PlanError, ShardError)):
            ShardWriter(tmp_path, **wrong)


def test_the_schema_is_kept_and_kept_to(tmp_path):
    fields = {
        "image": Field("Image", doc="x"),
        "mask": Field("Mask", optional=True),
        "never": Field("Flow", optional=True),
    }
    with ShardWriter(tmp_path, fields) as writer:
        writer.write("1", {"mask": ("png", b"m"), "image": ("jpg", b"i")})
        with pytest.raises(ShardError, match="lacks a field") as caught:
            writer.write("2", {"mask": ("png", b"m")})
        assert caught.value.where["key"] == "2" and caught.value.where["field"] == "image"
        with pytest.raises(PlanError, match="does not name"):
            writer.write("2", {"image": ("jpg", b""), "other": ("png", b"m")})
        writer.write("2", {"image": ("jpg", b"2")})
    assert list(writer.manifest.fields) == ["image", "mask", "never"]
    assert writer.manifest.fields["image"] == Field("Image", doc="x", suffix="jpg")
    assert writer.manifest.fields["never"] == Field("Flow", optional=True)
    assert read_all(writer.manifest) == {
        "1": {"image": ("jpg", b"i"), "mask": ("png", b"m")},
        "2": {"image": ("jpg", b"2")},
    }


@pytest.mark.parametrize("key", ["", "/a", "a/", "a\0b", "\ud800"])
def test_keys_that_cannot_be(tmp_path, key):
    with ShardWriter(tmp_path) as writer, pytest.raises(ShardError, match="cannot be a key"):
        writer.write(key, {"x": ("bin", b"")})
    assert len(writer.manifest) == 0


def test_what_no_sample_may_have(tmp_path):
    good = {"x": ("bin", b"1")}
    with ShardWriter(tmp_path) as writer:
        writer.write("a", good, {"n": 1})
        with pytest.raises(ShardError, match="second sample"):
            writer.write("a", good, {"n": 1})
        with pytest.raises(ShardError, match="without fields"):
            writer.write("b", {}, {"n": 1})
        for field in ("X", "a.b", "_x", "1a", "", "a-b", "__key__"):
            with pytest.raises(PlanError, match="cannot name a field"):
                writer.write("b", {field: ("bin", b"")}, {"n": 1})
        for suffix in ("", "PNG", ".png", "a/b", "a..b", "p ng"):
            with pytest.raises(PlanError, match="suffix"):
                writer.write("b", {"x": (suffix, b"")}, {"n": 1})
        for columns in ({}, {"m": 1}, {"n": 1, "m": 1}, {"n": "1"}, {"n": 2**63}, {"n": None}):
            with pytest.raises(PlanError, match="column"):
                writer.write("b", good, columns)
        writer.write("b", {"x": ("bin", memoryview(b"__2__")[2:3])}, {"n": -(2**63)})
    assert read_all(writer.manifest) == {"a": {"x": ("bin", b"1")}, "b": {"x": ("bin", b"2")}}
    assert writer.manifest.columns["n"].tolist() == [1, -(2**63)]
    with pytest.raises(PlanError, match="with"):
        writer.write("c", good)


# --- all or nothing ----------------------------------------------------------------------------------------------


def test_an_exception_leaves_nothing(url):
    with pytest.raises(RuntimeError, match="mine"), ShardWriter(url, samples_per_shard=2) as writer:
        for key, parts in list(SAMPLES.items())[:5]:
            writer.write(key, parts)
        assert len(tars_in(url)) == 2 and not exists(f"{url}/manifest.json")
        raise RuntimeError("mine")
    assert writer.manifest is None and names_in(url) == []
    assert read_all(write_all(url)) == SAMPLES


def test_a_data_set_is_not_overwritten_unasked(url):
    old = write_all(url, samples_per_shard=1)
    before = names_in(url)
    with pytest.raises(ShardError, match=r"a data set already.*overwrite=True"), ShardWriter(url):
        pass
    assert names_in(url) == before and read_all(Manifest.load(url)) == SAMPLES
    new = write_all(url, {"a": {"x": ("bin", b"1")}}, overwrite=True)
    assert names_in(url) == ["manifest.bin", "manifest.json", "shard-000000.tar"]  # no shard of the old one is left
    assert new.digest != old.digest and read_all(Manifest.load(url)) == {"a": {"x": ("bin", b"1")}}


def test_shards_without_a_manifest_are_somebodys(url):
    write_file(f"{url}/shard-000007.tar", b"theirs")
    write_file(f"{url}/other-000000.tar", b"theirs")
    with pytest.raises(ShardError, match=r"no manifest.*overwrite=True"), ShardWriter(url):
        pass
    assert read_file(f"{url}/shard-000007.tar") == b"theirs"
    write_all(url, overwrite=True)
    assert names_in(url) == ["manifest.bin", "manifest.json", "other-000000.tar", "shard-000000.tar"]


def test_a_disk_that_lies_is_found_out(url, monkeypatch):
    def lying(path):
        data = bytearray(read_file(path))
        data[data.index(b"\x03" * 600) + 5] ^= 1
        return memoryview(bytes(data))

    monkeypatch.setattr(write_module, "open_file", lying)
    with pytest.raises(ChecksumError, match="not what was written") as caught:
        write_all(url)
    assert caught.value.where["key"] == "d/003" and caught.value.where["shard"] == "shard-000000.tar"
    assert names_in(url) == []


def failing_at(nth: int, real):
    calls = itertools.count(1)

    def step(*args):
        if next(calls) == nth:
            raise OSError(28, "No space left on device")
        return real(*args)

    return step


# Two syncs and one rename for each of three shards, the mark and the two files of the manifest.
@pytest.mark.parametrize(("step", "times"), [("fsync", 12), ("replace", 6)])
def test_a_failure_at_any_step_leaves_nothing(tmp_path, monkeypatch, step, times):
    for nth in range(1, times + 1):
        with monkeypatch.context() as patch, pytest.raises(ShardError, match="No space left"):
            patch.setattr(os, step, failing_at(nth, getattr(os, step)))
            write_all(tmp_path, samples_per_shard=4)
        assert os.listdir(tmp_path) == []
    monkeypatch.setattr(os, step, failing_at(times + 1, getattr(os, step)))
    assert read_all(write_all(tmp_path, samples_per_shard=4)) == SAMPLES


KILLED = """
import sys
from vdata.shards.write import ShardWriter
print("ready", flush=True)
with ShardWriter(sys.argv[1], samples_per_shard=3) as writer:
    for i in range(10**6):
        writer.write(f"{i}", {"x": ("bin", bytes([i % 256]) * 5000)})
        if i % 30 == 0:
            print(i, flush=True)
"""


def test_a_killed_writer_leaves_whole_shards_and_no_manifest(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / str(n))], env=environment, stdout=subprocess.PIPE
        )
        for n in range(3)
    ]
    for n, writer in enumerate(writers):
        for _ in range(1 + n):  # "ready", then after some samples
            writer.stdout.readline()
        time.sleep(0.02 + 0.017 * n)
        writer.kill()
        assert writer.wait(30) == -signal.SIGKILL
        writer.stdout.close()
    whole = 0
    for n in range(3):
        folder = tmp_path / str(n)
        assert not exists(str(folder / "manifest.json"))
        for tar in tars_in(str(folder)):
            data = read_file(tar)
            assert len(list(samples(members(data, url=tar), tar))) == 3
            whole += 1
        assert read_all(write_all(folder, overwrite=True)) == SAMPLES
    assert whole > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads, from Python 3.12 on
def test_a_crash_before_the_manifest_leaves_none(tmp_path):
    child = os.fork()
    if child == 0:
        write_module.Manifest.save = lambda *args: os._exit(7)
        try:
            write_all(tmp_path, samples_per_shard=4)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert names_in(str(tmp_path)) == ["UNFINISHED", *(f"shard-00000{i}.tar" for i in range(3))]
    with pytest.raises(ShardError, match="no such file"):
        Manifest.load(tmp_path)
    with pytest.raises(ShardError, match="at work here, or was killed"):
        Manifest.index(tmp_path)
