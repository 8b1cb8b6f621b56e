"""An index of tars without their data: over a network, by index files of others, kept elsewhere, and at a million samples."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faultserver import ALWAYS, Fault, serve
from vdata.__main__ import main
from vdata.errors import ChecksumError, RemoteError, ShardError, TruncatedShardError, UnsafeFormatError
from vdata.field import Field
from vdata.sharded import Sharded
from vdata.shards import files, foreign
from vdata.shards.hop import WASTE, Ranged, hop, in_order
from vdata.shards.manifest import Manifest
from vdata.shards.rows import Shard
from vdata.shards.storage import write_file
from vdata.shards.tar import BLOCK, members
from vdata.shards.write import ShardWriter


def tar_of(files: list[tuple[str, int]], format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for number, (name, size) in enumerate(files):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes([number % 255 + 1]) * size))
    return out.getvalue()


def samples_of(count: int, first: int = 0, **sizes: int) -> list[tuple[str, int]]:
    return [(f"train/{i:04d}.{extension}", size + i) for i in range(first, first + count) for extension, size in sizes.items()]


class Counting(Ranged):
    """A view of bytes that counts what is read and what is looked at."""

    def __init__(self, data: bytes):
        self.reads: list[tuple[int, int]] = []
        self.looks = self.looked = 0

        def read(start, length):
            assert 0 <= start < start + length <= len(data)
            self.reads.append((start, length))
            return data[start : start + length]

        super().__init__(read, len(data))

    def __getitem__(self, part):
        view = super().__getitem__(part)
        self.looks, self.looked = self.looks + 1, self.looked + len(view)
        return view

    @property
    def bytes(self):
        return sum(length for _, length in self.reads)


def outcome(data):
    try:
        return list(members(data, url="x.tar"))
    except ShardError as error:
        return type(error), str(error)


# --- hopping -----------------------------------------------------------------------------------------------------


SIZES = st.sampled_from([0, 1, 511, 512, 513, 5_000, 20_000, 65_000, 66_000, 200_000])
TARS = st.tuples(st.lists(SIZES, max_size=25), st.sampled_from([5, 130]), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))


@given(TARS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_view_gives_what_the_bytes_give_and_wastes_little(tar, draw):
    sizes, length, format = tar
    data = tar_of([("n" * length + f"{i}.x", size) for i, size in enumerate(sizes)], format)
    view = Counting(data)
    assert list(members(view)) == list(members(data)) and len(list(members(data))) == len(sizes)
    assert view.bytes <= view.looked + WASTE * view.looks
    broken = bytearray(data)
    for kind in ("cut", "flip", "append"):
        at = draw.draw(st.integers(0, len(data) - 1), kind)
        broken = bytearray(data[:at] if kind == "cut" else data + data if kind == "append" else data)
        if kind == "flip":
            broken[at] ^= 1
        assert outcome(Counting(bytes(broken))) == outcome(bytes(broken))


@pytest.mark.parametrize(
    "sizes, a_read, of_the_bytes",
    [
        ({"a": 10, "b": 10, "c": 10}, 100, 1.01),  # tiny files: many headers a read
        ({"jpg": 20_000, "cls": 1}, 30, 1.01),
        ({"cls": 1, "jpg": 200_000, "json": 300}, 2.9, 0.02),  # one read a sample
        ({"mp4": 1 << 20}, 0.95, 0.001),
    ],
)
def test_what_an_index_costs(sizes, a_read, of_the_bytes):
    names = samples_of(60 if "mp4" in sizes else 300, **sizes)
    view = Counting(tar_of(names))
    assert len(list(members(view))) == len(names)
    assert len(names) / len(view.reads) >= a_read
    assert view.bytes <= of_the_bytes * len(view)


def test_what_is_read_in_vain_is_bounded_where_a_run_ends():
    view = Counting(tar_of([(f"{i}.x", 60_000 if i < 40 else 3 << 20) for i in range(43)]))
    assert len(list(members(view))) == 43
    assert view.bytes <= view.looked + WASTE * view.looks


def test_a_part_must_end_where_the_next_begins():
    data = tar_of(samples_of(9, jpg=3000, cls=3))
    whole = list(members(data))
    heads = [member.header for member in whole]
    assert hop(lambda start, length: data[start : start + length], len(data), cuts=heads[3:12:2]) == whole
    assert list(members(data, start=heads[4], stop=heads[6])) == whole[4:6]
    for wrong in (heads[4] + BLOCK, heads[4] - BLOCK, len(data) - BLOCK):
        with pytest.raises(ShardError, match=r"no header begins at byte|checksum"):
            hop(lambda start, length: data[start : start + length], len(data), cuts=[wrong])


def test_work_in_order_ends_when_nobody_waits():
    def work(item, go_on):
        for _ in range(1000 if item > 2 else 1):
            go_on()
            time.sleep(0.01)
        if item == 2:
            raise ValueError("of item 2")
        return item

    seen, began = [], time.monotonic()
    with pytest.raises(ValueError, match="of item 2"):
        for result in in_order(work, range(50), 4):
            seen.append(result)
    assert seen == [0, 1] and time.monotonic() - began < 5
    assert list(in_order(lambda item, go_on: item * item, range(40), 3)) == [i * i for i in range(40)]


# --- over a network ----------------------------------------------------------------------------------------------


def same(left: Manifest, right: Manifest) -> bool:
    """All that they say, but for where the shards lie."""
    return left.digest == right.digest and left.shards == right.shards and all(
        left.key(i) == right.key(i) and left.members(i) == right.members(i) for i in range(len(left))
    )  # fmt: skip


@pytest.fixture
def shards(tmp_path):
    """Five shards of six samples, with a file that a folder of tars may well hold."""
    (tmp_path / "set").mkdir()
    for number in range(5):
        (tmp_path / f"set/{number}.tar").write_bytes(tar_of(samples_of(6, 6 * number, cls=1, jpg=100_000)))
    return tmp_path / "set"


def test_remote_tars_are_walked_several_at_a_time_without_their_data(shards):
    local = Manifest.index(shards)
    with serve(shards, latency=0.03) as server:
        remote = Manifest.index(server.url("{0..4}.tar"))
        assert same(remote, local) and remote.base == server.url("")
        assert sum(server.sent(f"{i}.tar") for i in range(5)) < 0.03 * sum(shard.bytes for shard in local.shards)
        assert server.connections >= 5
    for path in shards.iterdir():
        write_file(f"memory://index/{path.name}", path.read_bytes())
    assert same(Manifest.index("memory://index"), local)


def test_the_first_broken_shard_is_named_whatever_comes_first(shards):
    whole = (shards / "1.tar").read_bytes()
    (shards / "1.tar").write_bytes(whole[: len(whole) // 2])
    (shards / "3.tar").write_bytes(b"<html>" * 1000)
    with serve(shards, {"1.tar": Fault(wait=0.3, times=ALWAYS)}) as server, pytest.raises(TruncatedShardError) as caught:
        Manifest.index(server.url("{0..4}.tar?sig=hush"))
    with pytest.raises(TruncatedShardError) as local:
        Manifest.index(shards)
    assert caught.value.what == local.value.what
    assert caught.value.where["shard"] == "1.tar" and caught.value.where["byte"] == local.value.where["byte"]
    assert caught.value.where["url"].endswith("/1.tar?sig=***")


def test_a_shard_that_changes_under_way_is_an_error(shards):
    with serve(shards, {"2.tar": [Fault(times=3), Fault(headers={"ETag": '"other"'}, times=ALWAYS)]}) as server, pytest.raises(RemoteError) as caught:
        Manifest.index(server.url("{0..4}.tar"))
    assert caught.value.where["shard"] == "2.tar"


def test_control_c_ends_an_index(tmp_path):
    (tmp_path / "big.tar").write_bytes(tar_of(samples_of(60, jpg=70_000)))
    with serve(tmp_path, latency=0.2) as server:
        code = f"from vdata.shards.manifest import Manifest; Manifest.index({server.url('big.tar')!r})"
        child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        try:
            until = time.monotonic() + 60
            while len(server.of("big.tar")) < 5 and time.monotonic() < until:
                time.sleep(0.02)
            child.send_signal(signal.SIGINT)
            asked, began = len(server.of("big.tar")), time.monotonic()
            assert "KeyboardInterrupt" in child.communicate(timeout=10)[1]
            assert child.returncode != 0 and time.monotonic() - began < 5
            assert 5 <= asked <= len(server.of("big.tar")) <= asked + 3
        finally:
            child.kill()
            child.wait()


# --- index files of others ---------------------------------------------------------------------------------------


def dali(tar: bytes, version: str = "v1.2") -> bytes:
    """What wds2idx makes of a tar: adjacent files of one basename are a line."""
    lines: dict[str, list[str]] = {}
    for member in members(tar):
        folder, slash, base = member.name.rpartition("/")
        key, _, extension = base.partition(".")
        words = [extension, str(member.offset), str(member.size), member.name]
        lines.setdefault(folder + slash + key, []).append(" ".join(words[: 4 if version == "v1.2" else 3]))
    return "\n".join([f"{version} {len(lines)}", *map(" ".join, lines.values()), ""]).encode()


def energon(tar: bytes) -> bytes:
    """What `energon prepare` makes of a tar: first headers of samples, then the end mark, as uint64."""
    heads = {}
    for member in members(tar):
        heads.setdefault(member.name.partition(".")[0], member.header)
    end = member.offset + -(-member.size // BLOCK) * BLOCK
    return np.array([*heads.values(), end], "<u8").tobytes()


PLAIN = [(f"d/{i:03d}.{e}", z) for i in range(4) for e, z in (("jpg", 700 + 100 * i), ("cls", 1), ("seg.png", 0 if i == 2 else 513))]


def test_the_index_files_are_those_that_the_tools_make():
    """Of PLAIN, by wds2idx (with GNU tar 1.34) and by Energon 7.4.1."""
    tar = tar_of(PLAIN)
    assert energon(tar) == base64.b64decode("AAAAAAAAAAAAEAAAAAAAAAAgAAAAAAAAACwAAAAAAAAAPAAAAAAAAA==")
    assert dali(tar) == b"""v1.2 4
jpg 512 700 d/000.jpg cls 2048 1 d/000.cls seg.png 3072 513 d/000.seg.png
jpg 4608 800 d/001.jpg cls 6144 1 d/001.cls seg.png 7168 513 d/001.seg.png
jpg 8704 900 d/002.jpg cls 10240 1 d/002.cls seg.png 11264 0 d/002.seg.png
jpg 11776 1000 d/003.jpg cls 13312 1 d/003.cls seg.png 14336 513 d/003.seg.png
"""


MAKERS = {"dali": (".idx", dali), "dali v1.1": (".idx", lambda tar: dali(tar, "v1.1")), "energon": (".tar.idx", energon)}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_an_index_file_gives_the_manifest_that_the_headers_give(tmp_path, maker, format):
    suffix, make = MAKERS[maker]
    long = "" if format == tarfile.USTAR_FORMAT else "n" * 120
    for number in range(3):
        tar = tar_of([(f"{long}{name.replace('jpg', 'JPG')}", size) for name, size in samples_of(30, 30 * number, cls=1, jpg=70_000)], format)
        (tmp_path / f"{number}.tar").write_bytes(tar)
        if number != 1:  # which is walked
            (tmp_path / f"{number}{suffix}").write_bytes(make(tar))
    local = Manifest.index(tmp_path)
    with serve(tmp_path) as server:
        url = server.url("{0..2}.tar")
        assert same(Manifest.index(url), local)
        asked = [len(server.of(f"{i}.tar")) for i in range(3)]
        assert server.of(f"0{suffix}") and same(Manifest.index(url, use_index_files=False), local)
        walked = [len(server.of(f"{i}.tar")) - asked[i] for i in range(3)]
    if maker == "dali":
        assert asked[0] < walked[0] / 2 and asked[1] == walked[1]


def test_the_names_that_gnu_tar_escapes_come_from_the_headers(tmp_path):
    tar = tar_of([(f"ключ{i}.txt", 3) for i in range(9)], tarfile.GNU_FORMAT)
    escaped = dali(tar).replace("ключ".encode(), b"\\320\\272\\320\\273\\321\\216\\321\\207")
    (tmp_path / "0.tar").write_bytes(tar)
    (tmp_path / "0.idx").write_bytes(escaped)
    with serve(tmp_path) as server:
        assert Manifest.index(server.url("0.tar")).key(8) == "ключ8"
        assert server.of("0.idx")


def test_what_is_called_idx_but_is_not_dalis_counts_for_nothing(tmp_path):
    (tmp_path / "0.tar").write_bytes(tar_of(PLAIN))
    (tmp_path / "0.idx").write_bytes(b"0\t0\n1\t512\n")
    with serve(tmp_path) as server:
        assert same(Manifest.index(server.url("0.tar")), Manifest.index(tmp_path))


def test_a_bucket_that_may_not_be_listed_refuses_what_is_not_there(shards):
    refusals = {name: Fault(status=403, times=ALWAYS) for name in ("0.idx", "0.tar.idx", "UNFINISHED", "manifest.json")}
    with serve(shards, refusals) as server:
        assert same(Manifest.index(server.url("{0..4}.tar")), Manifest.index(shards))


GOOD = tar_of(samples_of(20, cls=1, jpg=1000))
MORE = tar_of(samples_of(21, cls=1, jpg=1000))
OTHER = tar_of(samples_of(20, cls=1, jpg=3000))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("tar", {"other": OTHER, "cut": GOOD[:30_000], "cut at the end": GOOD[: 20 * 5 * BLOCK], "doubled": GOOD + GOOD}.items(), ids=lambda t: t[0])
def test_a_stale_index_file_or_a_broken_shard_is_an_error_that_says_how_to_go_on(tmp_path, maker, tar):
    suffix, make = MAKERS[maker]
    (tmp_path / "0.tar").write_bytes(tar[1])
    (tmp_path / f"0{suffix}").write_bytes(make(GOOD))
    with serve(tmp_path) as server, pytest.raises(ShardError, match=rf"not what the index file.* 0{suffix}: .*use_index_files=False") as caught:
        Manifest.index(server.url("0.tar?token=hush"))
    assert caught.value.where["shard"] == "0.tar" and "hush" not in str(caught.value)


@pytest.mark.parametrize("maker", MAKERS)
def test_what_was_appended_since_is_not_missed(tmp_path, maker):
    suffix, make = MAKERS[maker]
    (tmp_path / "0.tar").write_bytes(MORE)
    (tmp_path / f"0{suffix}").write_bytes(make(GOOD))
    with serve(tmp_path) as server:
        if maker == "dali":
            with pytest.raises(ShardError, match=r"expected 'train/0019.jpg'.*found .*'train/0020.cls'"):
                Manifest.index(server.url("0.tar"))
        else:  # all headers are read
            assert len(Manifest.index(server.url("0.tar"))) == 21


LINES = dali(GOOD)


@pytest.mark.parametrize(
    "raw",
    [
        b"v1.2", b"v1.2 20", b"v1.2 0\n", b"v1.2 -1\n", b"v1.2 " + b"9" * 5000 + b"\n", b"v1.2 1\n\n",
        LINES.replace(b"v1.2 20", b"v1.2 21"), LINES.replace(b"v1.2", b"v1.1"), LINES.replace(b"cls 512 1 ", b"cls 513 1 "),
        LINES.replace(b"cls 512 1 ", b"cls 0 1 "), LINES.replace(b"cls 512 1 ", b"cls -512 1 "), LINES.replace(b"cls 512 1 ", b"cls 512 9999999 "),
        LINES.replace(b"cls 512 1 ", b"cls 512 1e3 "), LINES.replace(b"cls 512 1 ", b"cls 512 " + b"9" * 5000 + b" "),
        LINES.replace(b"train/0000.cls", b"../0000.cls"), LINES.replace(b"train/0000.cls", b"/etc/0000.cls"), LINES.replace(b"train/0000.cls", b"\xff.cls"),
        LINES.replace(b"cls 512", b"txt 512"), LINES.replace(b"train/0003.jpg", b"train/00 03.jpg"), LINES[:-30], LINES + LINES, LINES.replace(b"0000", b"0009"),
    ],
)  # fmt: skip
def test_hostile_dali_indexes_are_refused(tmp_path, raw):
    (tmp_path / "0.tar").write_bytes(GOOD)
    (tmp_path / "0.idx").write_bytes(raw)
    with serve(tmp_path) as server, pytest.raises(ShardError):
        Manifest.index(server.url("0.tar"))


@pytest.mark.parametrize("starts", [[], [0, 0, 1024], [0, 2048, 1024], [0, 513], [0, 1024, len(GOOD)], [0, 2**64 - 512]])
def test_hostile_energon_indexes_are_refused(starts):
    for raw in (np.array(starts, "<u8").tobytes(), energon(GOOD)[:-1]):
        with pytest.raises(ShardError):
            foreign.energon_starts(raw, len(GOOD))


@given(st.binary(max_size=200), st.integers(0, 4000), st.sampled_from([0, 1024, 10_240]))
@settings(max_examples=200, deadline=None)
def test_garbage_raises_shard_errors_only_and_all_that_is_taken_lies_inside(garbage, at, size):
    for raw in (garbage, LINES[:at] + garbage, b"v1.2 1\n" + garbage):
        if raw[:4] in (b"v1.1", b"v1.2"):
            with suppress(ShardError):
                assert all(0 <= m.header < m.offset <= m.offset + m.size <= size for m in foreign.dali_files(raw, size)[0] or [])
        with suppress(ShardError):
            assert all(0 <= start < size for start in foreign.energon_starts(raw, size))


def test_an_index_file_larger_than_its_tar_can_need_is_not_read(tmp_path):
    (tmp_path / "0.tar").write_bytes(GOOD)
    (tmp_path / "0.idx").write_bytes(LINES + b" " * 5 * len(GOOD))
    with serve(tmp_path) as server, pytest.raises(RemoteError, match=r"larger than .*0\.idx"):
        Manifest.index(server.url("0.tar"))


# --- kept elsewhere ----------------------------------------------------------------------------------------------


def run(*arguments: object):
    return CliRunner().invoke(main, list(map(str, arguments)))


def keys(url: object) -> list[str]:
    source = Sharded.open(str(url), cache=False)
    return [sample["__key__"] for i in range(len(source)) for sample in [source.read(i)] if len(sample["jpg"].data) > 99_999]


def test_an_index_beside_the_tars_or_in_another_folder(shards, tmp_path, monkeypatch):
    expected = keys(shards)
    assert run("index", shards, tmp_path / "kept").output == (
        f"Manifest(30 samples of cls, jpg in 5 shards at '{tmp_path}/kept')\n  cls               30 files, 465 bytes\n  jpg               30 files, 3,000,435 bytes\n"
    )  # fmt: skip
    assert keys(tmp_path / "kept") == expected and not (shards / "manifest.json").exists()
    monkeypatch.chdir(tmp_path)
    assert run("index", "set", "here").exit_code == 0  # a relative path, and then from another folder
    monkeypatch.chdir("/")
    assert keys(tmp_path / "here") == expected
    assert run("index", shards).exit_code == 0 == run("index", shards).exit_code
    assert json.loads((shards / "manifest.json").read_text()).get("base") is None
    assert keys(shards) == expected and Manifest.load(shards).digest == Manifest.load(tmp_path / "kept").digest
    shards.rename(tmp_path / "moved")
    assert keys(tmp_path / "moved") == expected


def test_nothing_is_hidden_or_lost_beside_the_tars(shards, tmp_path):
    part = run("index", f"{shards}/{{0..2}}.tar")
    assert part.exit_code == 2 and "hide the other tars" in part.output
    with ShardWriter(tmp_path / "packed") as writer:
        writer.write("a", {"image": ("png", b"1")})
    assert "has checksums" in run("index", tmp_path / "packed").output
    with serve(shards) as server:
        assert "name a FOLDER" in run("index", server.url("{0..4}.tar")).output
        assert not server.of("0.tar")
    for nothing in ("kiti_flow", tmp_path / "nothing.tar"):
        out = run("index", nothing)
        assert out.exit_code == 2 and "no dataset of the catalogue" in out.output and "no .tar at" in out.output


def test_an_index_of_remote_tars_knows_where_they_are_but_no_secret(shards, tmp_path):
    with serve(shards) as server:
        url = server.url("{0..4}.tar?X-Amz-Signature=hush", user="me:hush")
        out = run("index", url, tmp_path / "kept")
        assert out.exit_code == 0 and "hush" not in out.output
        assert json.loads((tmp_path / "kept/manifest.json").read_text())["base"] == server.url("").rstrip("/")
        assert not any(b"hush" in path.read_bytes() for path in (tmp_path / "kept").iterdir())
        assert keys(tmp_path / "kept") == keys(shards)


@pytest.mark.parametrize(
    "url, kept",
    [
        ("s3://me:se/cret@bucket/a", "s3://bucket/a"),
        ("https://me@host:8000/a/?sig=1", "https://host:8000/a"),
        ("abfs://box@account.dfs.core.windows.net/a?sig=1", "abfs://box@account.dfs.core.windows.net/a"),
        ("abfs://box:key@account/a", "abfs://account/a"),
        ("az://box/a", "az://box/a"),
        ("file:///a/../b", "/b"),
        ("/a/b/", "/a/b"),
    ],
)
def test_what_is_kept_of_a_url(url, kept):
    assert files.plain(url) == kept == files.plain(kept)


def forged(folder, base: str) -> dict[str, bytes]:
    """The manifest's files with another base, rightly sealed."""
    body = json.loads((folder / "manifest.json").read_text())
    del body["xxh3"]
    head = files._seal(msgspec.json.encode({**body, "base": base}))
    return {"manifest.json": head, "manifest.bin": (folder / "manifest.bin").read_bytes()}


@pytest.mark.parametrize("base", ["/etc", "file:///etc", "s3://other/x", "memory://other/x", "..", "http://127.0.0.1:9/x", "memory://b/x?sig=1", "memory://me:pw@b/x"])
def test_a_manifest_from_elsewhere_may_not_point_elsewhere(shards, tmp_path, base):
    Manifest.index(shards).save(tmp_path / "kept")
    for name, data in forged(tmp_path / "kept", base).items():
        write_file(f"memory://b/kept/{name}", data)
    with pytest.raises((ShardError, UnsafeFormatError), match="base=") as caught:
        Manifest.load("memory://b/kept")
    assert caught.value.where["url"] == "memory://b/kept/manifest.json" and "pw" not in str(caught.value)
    assert Manifest.load("memory://b/kept", base=str(shards)).base == str(shards)


def test_a_manifest_in_a_bucket_may_point_into_it(shards):
    for path in shards.iterdir():
        write_file(f"memory://c/tars/{path.name}", path.read_bytes())
    assert Manifest.index("memory://c/tars").save("memory://c/kept").base == "memory://c/tars"
    assert keys("memory://c/kept") == keys("memory://c/tars")


def test_a_manifest_of_this_machine_points_to_what_vdata_opens(shards, tmp_path):
    Manifest.index(shards).save(tmp_path / "kept")
    for base in ("pipe:cat", "relative", "s3://me:pw@b/x", "http://[x"):
        for name, data in forged(tmp_path / "kept", base).items():
            (tmp_path / "kept" / name).write_bytes(data)
        with pytest.raises((ShardError, UnsafeFormatError)) as caught:
            Manifest.load(tmp_path / "kept")
        assert not isinstance(caught.value, ChecksumError) and "pw" not in str(caught.value)


# --- size --------------------------------------------------------------------------------------------------------


def test_a_large_manifest_is_opened_without_a_look_at_each_sample(tmp_path):
    count, fields, a_shard = 300_000, ("jpg", "json", "cls"), 10_000
    rows = np.arange(count)
    made = Manifest(
        shards=tuple(Shard(f"{i:06d}.tar", a_shard, 4096 * a_shard + 1024) for i in range(count // a_shard)),
        fields={name: Field(suffix=name) for name in fields}, suffixes={name: (name,) for name in fields},
        offset=(rows % a_shard * 4096).astype("<u8"), key_offset=(np.arange(count + 1) * 12).astype("<u4"),
        start=np.tile(np.array([1, 3, 5], "<u4"), (count, 1)), sizes=np.full((count, 3), 500, "<u4"), crc=None, which=None,
        key_blob=np.frombuffer(b"".join(b"train/%06d" % i for i in rows), np.uint8), columns={}, base=str(tmp_path),
    )  # fmt: skip
    made.save(tmp_path)
    assert os.path.getsize(tmp_path / "manifest.bin") / count < 100
    assert os.path.getsize(tmp_path / "manifest.json") < 10_000

    def seconds():
        began = time.process_time()
        assert Manifest.load(tmp_path).key(count - 1) == f"train/{count - 1}"
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 0.25  # 0.02; a look at each takes more, in Python
    with pytest.raises(ShardError, match="outside its shard"):
        dataclasses.replace(made, shards=(*made.shards[:-1], made.shards[-1]._replace(bytes=4096)))
