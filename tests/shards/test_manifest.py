"""Manifests and what they rest on: URLs, fetching, the two files, hostile input."""

from __future__ import annotations

import dataclasses
import glob
import io
import json
import os
import pickle
import tarfile
import traceback

import msgspec
import numpy as np
import pytest
import webdataset
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faultserver import Fault, serve
from vdata.errors import (
    AccessError,
    ChangedError,
    ChecksumError,
    MissingFileError,
    PlanError,
    RemoteError,
    ShardError,
    TruncatedShardError,
    UnknownDatasetError,
    UnsafeFormatError,
)
from vdata.field import Field
from vdata.shards import files
from vdata.shards.fetch import OPEN_SHARDS, Fetcher
from vdata.shards.manifest import Manifest, Place
from vdata.shards.rows import ABSENT, Shard
from vdata.shards.storage import exists, expand, open_file, read_file, remove, write_file
from vdata.shards.write import ShardWriter
from vdata.urls import braces, check_name, common_base, join, local_path, scheme

TEN = [
    (f"d/{i:03d}", {"jpg": b"J" * (i * 300 + 1), "cls": str(i).encode(), **({"seg.png": b"P" * 9} if i % 3 else {})})
    for i in range(10)
]


def webdataset_tars(folder, samples=TEN, count=4) -> list[str]:
    os.makedirs(folder, exist_ok=True)
    with webdataset.ShardWriter(f"{folder}/x-%06d.tar", maxcount=count, verbose=0, encoder=False) as writer:
        for key, parts in samples:
            writer.write({"__key__": key, **parts})
    return sorted(glob.glob(f"{glob.escape(str(folder))}/*.tar"))


def check_reads(manifest: Manifest, samples, fields=None) -> None:
    fetcher = Fetcher(manifest.base)
    assert len(manifest) == len(samples)
    for i, (key, parts) in enumerate(samples):
        places = manifest.members(i)
        assert manifest.key(i) == key
        assert {
            f: bytes(fetcher.read(manifest.shards[p.shard].name, p.byte, p.size)) for f, p in places.items()
        } == parts


# --- Manifest ----------------------------------------------------------------------------------------------------


def test_tars_of_webdataset_are_indexed(tmp_path):
    tars = webdataset_tars(tmp_path)
    for manifest in (
        Manifest.index(tars),
        Manifest.index(tmp_path),
        Manifest.index(f"{tmp_path}/x-{{000000..000002}}.tar"),
    ):
        check_reads(manifest, TEN)
        assert manifest.shards == tuple(
            Shard(os.path.basename(t), n, os.path.getsize(t)) for t, n in zip(tars, (4, 4, 2))
        )
        assert manifest.shard_sizes.tolist() == [4, 4, 2] and manifest.shard_sizes.dtype == np.int64
        assert manifest.fields == {
            "cls": Field(suffix="cls"), "jpg": Field(suffix="jpg"), "seg.png": Field(suffix="seg.png", optional=True),
        }  # fmt: skip
        assert manifest.crc is None and manifest.members(1)["cls"].crc is None
        assert [manifest.locate(i) for i in (0, 3, 4, 9)] == [(0, 0), (0, 3), (1, 0), (2, 1)]
        assert (
            "seg.png" not in manifest.members(0) and manifest.sizes[0, list(manifest.fields).index("seg.png")] == ABSENT
        )
        for wrong in (-1, 10):
            with pytest.raises(IndexError):
                manifest.members(wrong)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["jpg", "png", "cls", "seg.png", "json"]), st.binary(max_size=1200), min_size=1
        ),
        max_size=8,
    ),
    st.sampled_from(["k", "some/folder/of/a/certain/length/", "long" * 40, "ключ"]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_any_order_of_members_and_any_length_of_names(samples, prefix, random):
    named, out = [(f"{prefix}{i}", parts) for i, parts in enumerate(samples)], io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=random.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])) as tar:
        for key, parts in named:
            for extension in random.sample(sorted(parts), len(parts)):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(parts[extension])
                tar.addfile(info, io.BytesIO(parts[extension]))
    write_file("memory://any/x.tar", out.getvalue())
    check_reads(Manifest.index(["memory://any/x.tar"]), named)


def test_an_index_of_a_broken_tar_names_it(tmp_path):
    tars = webdataset_tars(tmp_path)
    with open(tars[1], "r+b") as file:
        file.truncate(1024)
    with pytest.raises(TruncatedShardError) as caught:
        Manifest.index(tars)
    assert caught.value.where["url"] == tars[1] and caught.value.where["shard"] == "x-000001.tar"


def test_dots_in_keys_do_not_make_a_million_fields(tmp_path):
    tars = webdataset_tars(tmp_path, [(f"img.{i}", {"jpg": b""}) for i in range(300)], count=300)
    with pytest.raises(ShardError, match=r"256 different extensions.*take the dots out"):
        Manifest.index(tars)


@pytest.fixture
def written(tmp_path) -> Manifest:
    """Ten samples with two mixed suffixes, one optional field, two columns, in three shards."""
    fields = {
        "image": Field("Image", "uint8", (3, "H", "W"), doc="a picture"),
        "flow": Field("Flow", meta={"views": ("a", "b"), "n": [1, 2.5, None]}, optional=True),
    }
    with ShardWriter(tmp_path / "set", fields, samples_per_shard=4) as writer:
        for i in range(10):
            parts = {"image": (("png", "jpg")[i % 2], b"i" * (100 * i))}
            if i % 3:
                parts["flow"] = ("flo", b"f" * i)
            writer.write(f"key.{i}", parts, {"label": i, "weight": i / 4})
    return writer.manifest


def test_a_saved_manifest_loads_as_it_was(written, tmp_path):
    loaded = Manifest.load(tmp_path / "set")
    assert loaded.digest == written.digest and loaded.fields == written.fields and loaded.shards == written.shards
    assert loaded.fields["flow"].meta == {"views": ("a", "b"), "n": (1, 2.5, None)}
    assert loaded.fields["flow"].optional and loaded.fields["flow"].suffix == "flo"
    assert loaded.fields["image"].suffix == "" and loaded.suffixes["image"] == ("png", "jpg")
    assert [loaded.members(i)["image"].suffix for i in range(4)] == ["png", "jpg", "png", "jpg"]
    assert loaded.columns["label"].dtype == np.int64 and loaded.columns["label"].tolist() == list(range(10))
    assert loaded.columns["weight"].dtype == np.float64 and loaded.columns["weight"].tolist() == [
        i / 4 for i in range(10)
    ]
    assert [loaded.key(i) for i in range(10)] == [f"key.{i}" for i in range(10)]
    assert isinstance(loaded.members(2)["image"], Place) and loaded.members(2)["flow"].size == 2
    assert Manifest.load(f"{tmp_path}/set/manifest.json").digest == loaded.digest
    assert json.loads((tmp_path / "set/manifest.json").read_text())["samples"] == 10
    assert not loaded.sizes.flags.writeable  # mapped


def test_remote_and_empty_manifests(written, tmp_path):
    for path in (tmp_path / "set").iterdir():
        write_file(f"memory://copy/{path.name}", path.read_bytes())
    copy = Manifest.load("memory://copy")
    assert copy.digest == written.digest and copy.base == "memory://copy"
    place = copy.members(5)["flow"]
    assert Fetcher(copy.base).read(copy.shards[place.shard].name, place.byte, place.size) == b"fffff"
    with ShardWriter(tmp_path / "none") as writer:
        pass
    assert len(Manifest.load(tmp_path / "none")) == len(writer.manifest) == 0
    assert writer.manifest.shard_sizes.tolist() == []
    with pytest.raises(IndexError):
        writer.manifest.key(0)


def test_a_foreign_index_can_be_kept_elsewhere(tmp_path):
    tars = webdataset_tars(tmp_path / "data")
    made = Manifest.index(tars)
    kept = made.save(tmp_path / "index")
    check_reads(kept, TEN)
    check_reads(Manifest.load(tmp_path / "index", base=str(tmp_path / "data")), TEN)
    assert kept.digest == made.digest and kept.crc is None


def test_the_digest_is_of_content_only(written):
    def but(**changes):
        return dataclasses.replace(written, **changes).digest

    def bumped(array):
        copy = array.copy()
        copy.flat[1] ^= 1
        return copy

    renamed = tuple(s._replace(name="other-" + s.name) for s in written.shards)
    documented = {n: dataclasses.replace(f, doc="other") for n, f in written.fields.items()}
    same = but(shards=renamed, base="s3://u:secret@host/x", url="s3://y", fields=documented)
    assert same == written.digest and len(same) == 32
    keys = written.key_blob.copy()
    keys[0] ^= 1
    others = [
        but(crc=bumped(written.crc)), but(crc=None), but(which=bumped(written.which)), but(key_blob=keys),
        but(columns={**written.columns, "label": bumped(written.columns["label"])}), but(columns={}),
        but(fields={n: dataclasses.replace(f, type="Mask") for n, f in written.fields.items()}),
        but(fields=dict(reversed(written.fields.items()))),
        but(shards=(written.shards[0], written.shards[1]._replace(samples=6, bytes=10**6), written.shards[2]._replace(samples=0))),
    ]  # fmt: skip
    assert len({written.digest, *others}) == 1 + len(others)


def test_pickling_maps_the_same_files_again_and_notices_others(written, tmp_path):
    small = pickle.dumps(written)
    assert len(small) < 1000 and pickle.loads(small).digest == written.digest
    unsaved = dataclasses.replace(written, url="")
    assert pickle.loads(pickle.dumps(unsaved)).digest == written.digest
    with ShardWriter(tmp_path / "set", overwrite=True) as writer:
        writer.write("other", {"image": ("png", b"")})
    with pytest.raises(ShardError, match="replaced"):
        pickle.loads(small)
    assert writer.manifest.digest != written.digest


def test_below_100_bytes_a_sample_with_five_fields(tmp_path):
    with ShardWriter(tmp_path) as writer:
        for i in range(500):
            writer.write(f"train/{i:06d}", dict.fromkeys("abcde", (("png", "jpg")[i % 2], b"")))
    for size in (writer.manifest, Manifest.load(tmp_path)):
        assert len(size) == 500
    per_sample = os.path.getsize(tmp_path / "manifest.bin") / 500
    assert 12 + 12 * 5 + 12 + 5 == 89 <= per_sample < 90  # as the docstring says, with mixed suffixes


def test_a_repr_has_no_secret():
    write_file("memory://r/x.tar", bytes(1024))
    manifest = dataclasses.replace(
        Manifest.index("memory://r/x.tar"), base="s3://me:pw@host/x", url="https://h/x?token=hush"
    )
    assert "pw" not in repr(manifest) and "hush" not in repr(manifest)


# --- broken and hostile manifests --------------------------------------------------------------------------------


def test_any_flipped_bit_is_seen(written, tmp_path):
    random = np.random.default_rng(0)
    for name in ("manifest.json", "manifest.bin"):
        path = tmp_path / "set" / name
        good = path.read_bytes()
        bits = {0, 8 * len(good) - 1, *range(8 * 60), *random.integers(0, 8 * len(good), 400).tolist()}
        for bit in bits:
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bad)
            with pytest.raises(ShardError) as caught:
                Manifest.load(tmp_path / "set")
            assert (
                isinstance(caught.value, ChecksumError) and caught.value.where["url"] == str(path) and caught.value.do
            )
        for cut in (0, 1, 44, len(good) - 1):
            path.write_bytes(good[:cut])
            with pytest.raises(ChecksumError):
                Manifest.load(tmp_path / "set")
        path.write_bytes(good)
    assert Manifest.load(tmp_path / "set").digest == written.digest


def test_a_missing_manifest_or_sidecar_is_named(written, tmp_path):
    with pytest.raises(ShardError, match=r"no such file.*nowhere/manifest.json"):
        Manifest.load(tmp_path / "nowhere")
    os.unlink(tmp_path / "set/manifest.bin")
    with pytest.raises(ShardError, match=r"no such file.*manifest.bin"):
        Manifest.load(tmp_path / "set")


def forged(folder, change) -> None:
    """Rewrite manifest.json with a right seal: what an enemy can do."""
    body = json.loads((folder / "manifest.json").read_text())
    del body["xxh3"]
    change(body)
    (folder / "manifest.json").write_bytes(files._seal(msgspec.json.encode(body)))


def set_in(*path, value):
    def change(body):
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_in("version", value=2),
        set_in("samples", value=11),
        set_in("samples", value=-1),
        set_in("samples", value=2**60),
        set_in("samples", value="10"),
        set_in("key_bytes", value=2**62),
        set_in("key_bytes", value=-8),
        set_in("checksums", value=False),
        set_in("sidecar", 0, value="../manifest.bin"),
        set_in("sidecar", 0, value="/etc/passwd"),
        set_in("sidecar", 0, value="file:///etc/passwd"),
        set_in("sidecar", 1, value=7),
        set_in("sidecar", 2, value="0" * 32),
        set_in("columns", "label", value="|O"),
        set_in("columns", "label", value="<f2"),
        set_in("suffixes", value={}),
        set_in("suffixes", "flow", value=[]),
        set_in("suffixes", "image", value=["png"]),
        set_in("fields", value={}),
        set_in("fields", "image", value={"type": 3}),
        set_in("shards", value=[]),
        set_in("shards", 0, 1, value=3),
        set_in("shards", 0, 1, value=-4),
        set_in("shards", 0, 2, value=512),
        set_in("shards", 0, 2, value=-1),
        set_in("shards", 1, 0, value="shard-000000.tar"),
        *(
            set_in("shards", 0, 0, value=name)
            for name in (
                "../x.tar",
                "/x.tar",
                "a/../../x.tar",
                "s3://b/x.tar",
                "",
                "a//b",
                "~/x.tar",
                "a::b",
                "pipe:x\0",
                "..\\x",
            )
        ),
        set_in("new", value=1),
        lambda body: body.pop("shards"),
    ],
)
def test_hostile_heads_are_refused(written, tmp_path, change):
    forged(tmp_path / "set", change)
    with pytest.raises(ShardError) as caught:
        Manifest.load(tmp_path / "set")
    assert "url" in caught.value.where and caught.value.do


@pytest.mark.parametrize("body", [b"{}", b"[]", b"{" + b'"version":' + b"[" * 10**5, b'{"version": 1e99}', b"{\xff}"])
def test_json_that_is_no_manifest_is_refused(tmp_path, body):
    rest = body[1:]
    (tmp_path / "manifest.json").write_bytes(b'{"xxh3": "' + xxhash.xxh3_128_hexdigest(rest).encode() + b'",' + rest)
    with pytest.raises(ShardError):
        Manifest.load(tmp_path)


def changed(name, at, value):
    def change(parts):
        parts[name] = parts[name].copy()
        parts[name][at] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("offset", 3, 2**64 - 512),
        changed("offset", 3, 2**40),
        changed("start", (3, 0), 2**32 - 1),
        changed("sizes", (3, 0), 2**32 - 2),
        changed("which", (3, 0), 2),
        changed("key_offset", 0, 1),
        changed("key_offset", 5, 0),
        changed("key_offset", 5, 2**32 - 1),
        changed("key_offset", 10, 59),
    ],
)
def test_hostile_arrays_are_refused(written, tmp_path, change):
    parts = files.read(str(tmp_path / "set"))
    files.write(str(tmp_path / "set"), parts)
    Manifest.load(tmp_path / "set")
    change(parts)
    files.write(str(tmp_path / "set"), parts)
    with pytest.raises(ShardError) as caught:
        Manifest.load(tmp_path / "set")
    assert "url" in caught.value.where and caught.value.do


def test_a_key_that_is_not_unicode_is_refused(written, tmp_path):
    parts = files.read(str(tmp_path / "set"))
    changed("key_blob", 0, 0xFF)(parts)
    files.write(str(tmp_path / "set"), parts)
    with pytest.raises(ShardError, match="UTF-8"):
        Manifest.load(tmp_path / "set").key(0)


@pytest.mark.parametrize(
    "meta", [{"x": object()}, {"x": float("nan")}, {"x": {1: "a"}}, {"x": b"bytes"}, {"x": {1, 2}}]
)
def test_what_json_cannot_hold_is_refused(written, meta):
    with pytest.raises(ShardError, match="declaration"):
        dataclasses.replace(written, fields={**written.fields, "flow": Field(meta=meta)})


# --- URLs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "pipe:cat /etc/passwd",
        "pipe://x",
        "simplecache::s3://b/x",
        "s3://b/x::file://y",
        "ftp://h/x",
        "jupyter://x",
        "reference://",
        "data:,x",
        "file:x",
        "a:b",
        "HTTPX://h",
    ],
)
def test_only_plain_storage_is_opened(url):
    for attempt in (
        scheme,
        Fetcher,
        expand,
        read_file,
        open_file,
        exists,
        Manifest.load,
        lambda u: Manifest.index([u]),
        lambda u: write_file(u, b""),
    ):
        with pytest.raises(UnsafeFormatError):
            attempt(url)


def test_schemes_and_local_paths():
    assert [scheme(u) for u in ("a/b", "/a:b", "./a:b", "S3://b", "hf://x", "https://h")] == [
        "",
        "",
        "",
        "s3",
        "hf",
        "https",
    ]
    assert local_path("file:///a b") == "/a b" and local_path("a") == "a" and local_path("s3://b") is None
    assert local_path("~/x") == os.path.expanduser("~/x")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/..", "../a", "/a", "a//b", "a/", "s3://b", "a::b", "a\\b", "a\0b", "~a", "./a"]
)
def test_names_stay_in_their_folder(name):
    with pytest.raises(ShardError, match="inside the folder"):
        join("s3://b", name)


@given(
    st.sampled_from(
        [
            "",
            "/",
            "/a",
            "rel/x",
            "memory://",
            "memory://m",
            "s3://b",
            "s3://b/c",
            "https://h/d?sig=a%20b",
            "https://h",
            "gs://b/x/",
        ]
    ),
    st.lists(
        st.text(st.characters(exclude_characters="\\\0:~", exclude_categories=["Cs"]), min_size=1, max_size=9),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=300, deadline=None)
def test_join_and_common_base_are_inverse(base, names):
    good = [name for name in names if {"", ".", ".."}.isdisjoint(name.split("/"))]
    urls = [join(base, name) for name in good]
    if urls:
        found, relative = common_base(urls)
        assert [join(found, check_name(name)) for name in relative] == urls


def test_shards_of_two_places_have_no_common_base():
    for pair in (
        ["s3://a/1.tar", "s3://b/1.tar"],
        ["https://h/1.tar?sig=a", "https://h/2.tar?sig=b"],
        ["/a/1.tar", "s3://a/1.tar"],
    ):
        with pytest.raises(PlanError, match="one bucket or host") as caught:
            common_base(pair)
        assert "sig=a" not in str(caught.value)


def test_braces_are_those_of_braceexpand():
    from braceexpand import braceexpand

    for pattern in (
        "x",
        "{000..012}",
        "a{9..11}b",
        "{08..10}",
        "{a,b}-{0..2}.tar",
        "{0..0}",
        "{a,}",
        "s3://b/{x,y}/{01..02}",
    ):
        assert braces(pattern) == list(braceexpand(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        "{0..1000000}",
        "{0..999}{0..999}{0,1}",
        "{0..999999999999999999}",
        "{2..1}",
        "{a}",
        "{",
        "a}",
        "{{0..1}}",
        "{0..2..1}",
        "{}",
    ],
)
def test_braces_are_bounded_and_mean_something(pattern):
    with pytest.raises(PlanError):
        expand(f"s3://bucket/{pattern}.tar")


def test_expand_lists_files_globs_and_folders(tmp_path):
    tars = webdataset_tars(tmp_path / "a[b]{c}")
    (tmp_path / "a[b]{c}" / "notes.txt").write_text("")
    assert expand(tmp_path / "a[b]{c}") == tars == expand(f"file://{tmp_path}/a[b]{{c}}")
    assert expand(tars[0]) == [tars[0]]
    assert expand(f"{tmp_path}/a*/x-00000[12].tar") == tars[1:]
    for i in (1, 0):
        write_file(f"memory://ex/{i}.tar", b"")
    write_file("memory://ex/x.txt", b"")
    for url in ("memory://ex", "memory://ex/", "memory://ex/*.tar", "memory://e?/{0,1}.tar"):
        assert [u.replace(":///", "://") for u in expand(url)] == ["memory://ex/0.tar", "memory://ex/1.tar"]
    assert expand("https://h/a.tar?sig=x") == ["https://h/a.tar?sig=x"]
    for url in (
        tmp_path / "nothing.tar",
        tmp_path / "nothing",
        f"{tmp_path}/*.tar",
        "memory://nothing",
        "memory://nothing/*.tar",
    ):
        with pytest.raises(UnknownDatasetError, match=r"no .tar at"):
            expand(url)


# --- fetching ----------------------------------------------------------------------------------------------------


def test_a_manifest_that_may_be_missing_is_asked_for_once(written, tmp_path):
    with serve(tmp_path) as server:
        assert Manifest.load_if_there(server.url("set")).digest == written.digest
        assert Manifest.load_if_there(server.url("nothing")) is None
        assert [(r.method, r.path) for r in server.log] == [("GET", "set/manifest.json"), ("GET", "set/manifest.bin"), ("GET", "nothing/manifest.json")]
        server.fault("set/manifest.json", Fault(status=403))
        assert Manifest.load_if_there(server.url("set")) is None
        os.remove(tmp_path / "set" / files.SIDECAR)
        for load in (Manifest.load, Manifest.load_if_there):
            with pytest.raises(MissingFileError, match=r"manifest\.bin"):
                load(server.url("set"))
    assert Manifest.load_if_there(str(tmp_path / "nothing")) is None
    with pytest.raises(ShardError, match="no such file"):
        Manifest.load_if_there(str(tmp_path / "set"))


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"


def test_ranges_are_exact_or_an_error(folder):
    data = bytes(range(256))
    write_file(join(folder, "a.tar"), data)
    fetcher = Fetcher(folder)
    for start, length in ((0, 256), (0, 0), (255, 1), (np.uint64(17), np.uint32(100))):
        part = fetcher.read("a.tar", start, length)
        assert isinstance(part, memoryview) and part == data[int(start) : int(start) + int(length)]
    assert fetcher.read_all("a.tar") == data and read_file(join(folder, "a.tar")) == data == open_file(
        join(folder, "a.tar")
    )
    for start, length in ((0, 257), (256, 1), (10**6, 1), (200, 100)):
        with pytest.raises(TruncatedShardError, match=f"expected {length} bytes from byte {start}") as caught:
            fetcher.read("a.tar", start, length)
        assert caught.value.where["shard"] == "a.tar" and caught.value.where["byte"] == start
    for start, length in ((-1, 1), (0, -1)):
        with pytest.raises(ShardError, match="no such range"):
            fetcher.read("a.tar", start, length)


def test_ranges_over_http(tmp_path):
    body = bytes(range(200))
    for folder in ("good", "whole"):
        write_file(str(tmp_path / folder / "a.tar"), body)
    with serve(tmp_path, {"whole/a.tar": Fault(ranges=False, times=9)}) as server:
        url = server.url("")
        assert Fetcher(f"{url}good?sig=1").read("a.tar", 10, 20) == body[10:30]
        assert Fetcher(f"{url}good?sig=1").size("a.tar") == 200
        with pytest.raises(TruncatedShardError, match="expected 20 bytes from byte 190, got 10"):
            Fetcher(f"{url}good?sig=1").read("a.tar", 190, 20)
        with pytest.raises(RemoteError, match="does not serve ranges"):
            Fetcher(f"{url}whole?sig=1").read("a.tar", 10, 20)
        with pytest.raises(MissingFileError) as caught:
            Fetcher(f"{url}none?sig=1").read("a.tar", 10, 20)
        assert "sig=1" not in str(caught.value)
        with pytest.raises(ChangedError, match="has 200 bytes, and should have 300"):
            Fetcher(f"{url}good", sizes={"a.tar": 300}).read("a.tar", 0, 1)


def test_missing_files_and_names_outside(folder):
    fetcher, missing = Fetcher(folder), (ShardError, MissingFileError)
    with pytest.raises(missing):
        fetcher.read("missing.tar", 0, 1)
    with pytest.raises(ShardError, match="inside the folder"):
        fetcher.read("../a.tar", 0, 1)
    with pytest.raises(missing):
        read_file(join(folder, "missing"))
    assert not exists(join(folder, "missing"))
    write_file(join(folder, "x/here"), b"12")
    assert exists(join(folder, "x/here"))
    with pytest.raises((ShardError, RemoteError), match="larger than 1 bytes"):
        read_file(join(folder, "x/here"), limit=1)
    assert read_file(join(folder, "x/here"), limit=2) == b"12"
    remove(join(folder, "x/here"))
    remove(join(folder, "x/here"))
    assert not exists(join(folder, "x/here"))


def test_maps_are_bounded_and_views_outlive_them(tmp_path):
    for i in range(OPEN_SHARDS + 9):
        write_file(str(tmp_path / f"{i}.tar"), b"%03d" % i)
    fetcher = Fetcher(tmp_path)
    views = [fetcher.read(f"{i}.tar", 0, 3) for i in range(5)]
    for i in range(5, OPEN_SHARDS + 9):
        fetcher.read(f"{i}.tar", 0, 3)
    assert [bytes(v) for v in views] == [b"%03d" % i for i in range(5)]
    del views
    with open("/proc/self/maps") as maps:
        assert sum(str(tmp_path) in line for line in maps) == OPEN_SHARDS


def test_fetchers_pickle_small_and_reopen_after_a_fork(tmp_path):
    write_file(str(tmp_path / "a.tar"), b"abc")
    fetcher = Fetcher(tmp_path)
    fetcher.read("a.tar", 0, 3)
    copy = pickle.loads(pickle.dumps(fetcher))
    assert copy.read("a.tar", 1, 1) == b"b" and len(pickle.dumps(fetcher)) < 300
    before = fetcher._mapped
    fetcher._process -= 1  # as a child process finds it
    assert fetcher.read("a.tar", 2, 1) == b"c" and fetcher._mapped is not before


def test_a_fifo_under_a_shard_name_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(ShardError):
        Fetcher(tmp_path).read("a.tar", 0, 1)
    with pytest.raises(ShardError):
        Manifest.index(tmp_path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "a.bin"
    write_file(str(path), b"old")
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(ShardError, match=r"cannot write.*No space left"):
                write_file(str(path), b"new")
        assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["a.bin"]
    write_file(str(path), b"new")
    assert path.read_bytes() == b"new" and os.listdir(path.parent) == ["a.bin"]


def test_errors_show_no_secret(monkeypatch):
    import fsspec.implementations.memory

    def fail(self, path, **kwargs):
        raise PermissionError(f"403 for https://me:pw@h{path}?X-Amz-Signature=hush")

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "cat_file", fail)
    write_file("memory://x/a.tar", b"0")
    with pytest.raises(AccessError) as caught:
        Fetcher("memory://x").read("a.tar", 0, 1)
    assert "pw" not in str(caught.value) and "hush" not in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hush" not in shown and "pw@" not in shown
