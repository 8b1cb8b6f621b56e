"""Random access into compressed archives: what tarfile, gzip and bz2 read is what comes, and no damage goes unseen."""

import bz2
import gzip
import io
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdata import seek
from vdata.errors import ChecksumError, DataError, MissingPackageError, NoIndexError, ShardError, TruncatedShardError
from vdata.seek import SeekFile, SeekTar, build, index, index_of, points

_R = random.Random(5)
_WORDS = [_R.randbytes(_R.randrange(2, 9)) for _ in range(3000)]


def text(size):
    """Bytes that compress to about a half, by blocks of dynamic Huffman codes that refer far back."""
    return b"".join(_R.choices(_WORDS, k=size // 3))[:size]


_CONTENT = {
    **{f"noise/{i:02}.jpg": _R.randbytes(_R.randrange(20_000, 120_000)) for i in range(16)},
    **{f"words/{i:02}.txt": text(_R.randrange(50_000, 250_000)) for i in range(8)},
    "zeros.bin": bytes(300_000),
    "empty": b"",
    "long/" + "x" * 70 + "/" + "y" * 80 + ".txt": b"a name that ustar splits",
    "ö/ü.txt": b"not ASCII",
}


def tar_of(content, form=tarfile.PAX_FORMAT, prefix=""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("noise")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in content.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def pieces(data, count):
    step = len(data) // count + 1
    return [data[i : i + step] for i in range(0, len(data), step)]


def bgzip(data):
    """Members of 64 KiB whose header has an extra field with their size, as genomics tools write them."""
    out = b""
    for piece in [*(data[i : i + 65280] for i in range(0, len(data), 65280)), b""]:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        raw = packer.compress(piece) + packer.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + (len(raw) + 25).to_bytes(2, "little")
        out += head + raw + zlib.crc32(piece).to_bytes(4, "little") + len(piece).to_bytes(4, "little")
    return out


def flushed(data):
    """Deflate with a strategy for each part: fixed codes, stored blocks, and a full flush between them."""
    out = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    for number, piece in enumerate(parts := pieces(data, 9)):
        packer = zlib.compressobj(number, zlib.DEFLATED, -15, 9, zlib.Z_FIXED if number % 2 else zlib.Z_DEFAULT_STRATEGY)
        last = number == len(parts) - 1
        out += packer.compress(piece) + packer.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)
    return out + zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")


_PACKINGS = {
    "gzip": lambda d: gzip.compress(d, 6),
    "fast": lambda d: gzip.compress(d, 1),
    "stored": lambda d: gzip.compress(d, 0),
    "members": lambda d: b"".join(map(gzip.compress, [*pieces(d, 7), b"", b"\0" * 512])),
    "bgzip": bgzip,
    "flushed": flushed,
    "bzip2": bz2.compress,
    "bzip2 small blocks": lambda d: bz2.compress(d, 1),
    "bzip2 streams": lambda d: b"".join(map(bz2.compress, [*pieces(d, 3), b"", b"\0" * 512])),
}
_TAR = tar_of(_CONTENT)
_PACKED = {name: pack(_TAR) for name, pack in _PACKINGS.items()}
_SMALL = {"a/one.txt": b"one" * 400, "a/two.bin": bytes(range(256)) * 5, "b.txt": text(3000)}
_SMALL_TAR = tar_of(_SMALL)
_SMALL_PACKED = {name: pack(_SMALL_TAR) for name, pack in (("gz", gzip.compress), ("bz2", bz2.compress))}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VDATA_HOME", str(tmp_path_factory.mktemp("home")))


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def indexed(folder, packing="gzip", name="x.tar.gz"):
    path = put(folder, name, _PACKED[packing])
    build(path, quiet=True)
    return path


# -- the same as others read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", _PACKINGS)
def test_every_member_in_any_order(packing, tmp_path):
    path = indexed(tmp_path, packing, "misnamed.tar")
    files = SeekTar(path)
    with tarfile.open(path) as archive:
        oracle = {e.name: archive.extractfile(e).read() for e in archive if e.isreg()}
    assert files.names == list(oracle) == list(_CONTENT)
    for name in _R.sample([*oracle], len(oracle)):
        assert files.read(name) == oracle[name]


@pytest.mark.parametrize("packing", _PACKINGS)
def test_every_point_leads_to_the_rest(packing, tmp_path):
    path = put(tmp_path, "x", _PACKED[packing])
    kind = points.kind_of(str(path))
    stream = points.first_pass(str(path), kind)
    while stream.read(1 << 20):
        pass
    found, whole = stream.points(), (gzip if kind == "gz" else bz2).decompress(_PACKED[packing])
    stream.close()
    assert len(found) > 1
    for point in [*_R.sample(found, min(3, len(found))), found[-1]]:
        with open(path, "rb") as file:
            rest = b"".join(points.plain_from(file, kind, point.bit, points.unpacked_window(point.window)))
        assert rest == whole[point.plain :]


def test_a_point_may_be_at_any_bit(tmp_path):
    """Blocks of every length, so that the points lie at all eight places in a byte."""
    places = set()
    data = text(8_000_000)
    path = put(tmp_path, "x.gz", gzip.compress(data, 1))
    stream = points.first_pass(str(path), "gz")
    while stream.read(1 << 20):
        pass
    for point in stream.points():
        with open(path, "rb") as file:
            assert next(points.plain_from(file, "gz", point.bit, points.unpacked_window(point.window)))
        places.add(point.bit % 8)
    stream.close()
    assert len(places) >= 6


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("name", ["gz", "bz2"])
def test_names_of_all_formats(name, form, tmp_path):
    content = {n: d for n, d in _CONTENT.items() if len(d) < 1000}
    if form != tarfile.USTAR_FORMAT:
        content["z" * 300] = b"longer than any ustar name"
    pack = gzip.compress if name == "gz" else bz2.compress
    path = put(tmp_path, f"x.tar.{name}", pack(tar_of(content, form, prefix="./")))
    build(path, quiet=True)
    files = SeekTar(path)
    assert {n: files.read(n) for n in files.names} == content
    assert "noise" not in files and files.glob("ö/*") == ["ö/ü.txt"]
    with pytest.raises(DataError, match="has no ö/none"):
        files.read("ö/none")


@given(start=st.integers(0, 400_000), size=st.integers(0, 200_000))
def test_a_part_of_a_member(big, start, size):
    files, name, data = big
    if start + size > len(data):
        with pytest.raises(TruncatedShardError, match="ends before byte"):
            files.read(name, start, size)
    else:
        assert files.read(name, start, size) == data[start : start + size]


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    data = text(300_000)
    path = put(tmp_path_factory.mktemp("big"), "x.tar.gz", gzip.compress(tar_of({"a": _CONTENT["zeros.bin"], "b": data})))
    build(path, quiet=True)
    return SeekTar(path), "b", data


def test_a_member_as_a_file(tmp_path):
    files = SeekTar(indexed(tmp_path))
    name = "words/03.txt"
    with files.open(name) as file, io.BytesIO(_CONTENT[name]) as oracle:
        assert file.readable() and file.seekable() and not file.writable()
        for _ in range(50):
            whence = _R.choice([os.SEEK_SET, os.SEEK_END])
            at = _R.randrange(50_000) * (1 if whence == os.SEEK_SET else -1)
            assert file.seek(at, whence) == oracle.seek(at, whence)
            count = _R.choice([0, 1, 100, 70_000])
            assert file.read(count) == oracle.read(count) and file.tell() == oracle.tell()
        assert file.read() == oracle.read() and file.read() == b""
        with pytest.raises(ValueError, match="seek to byte -1"):
            file.raw.seek(-1)


@pytest.mark.parametrize("packing", ["gz", "bz2"])
def test_an_hdf5_file_inside(packing, tmp_path):
    plain = tmp_path / "x.h5"
    values = np.arange(600_000, dtype="<i4").reshape(-1, 100)
    with h5py.File(plain, "w") as file:
        file.create_dataset("a/values", data=values, chunks=(500, 100))
        file.attrs["note"] = "x"
    pack = gzip.compress if packing == "gz" else bz2.compress
    path = put(tmp_path, f"x.h5.{packing}", pack(plain.read_bytes()))
    build(path, quiet=True)
    files = seek.opened(path)
    assert isinstance(files, SeekFile) and files.names == ["x.h5"] and files.glob("*.h5") == ["x.h5"]
    with files.open("x.h5") as member, h5py.File(member) as file:
        assert (file["a/values"][3000:3010] == values[3000:3010]).all()
        assert (file["a/values"][()] == values).all() and file.attrs["note"] == "x"
    assert files.read("x.h5") == plain.read_bytes()


@pytest.mark.parametrize("data", [b"", b"x", bytes(1 << 16), bytes(3 << 20), _R.randbytes((1 << 16) + 1)])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_files_of_all_sizes(pack, data, tmp_path):
    path = put(tmp_path, "x", pack(data))
    build(path, quiet=True)
    assert SeekFile(path).read("x") == data
    with pytest.raises(ShardError, match="SeekFile"):
        SeekTar(path)


def test_of_one_name_twice_the_first_counts_as_in_a_plain_tar(tmp_path):
    twice = tar_of({"x": b"1"})[:1536] + tar_of({"x": b"2"})
    path = put(tmp_path, "x.tgz", gzip.compress(twice))
    build(path, quiet=True)
    assert SeekTar(path).read("x") == b"1" and SeekTar(path).names == ["x"]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE])
def test_what_would_be_lost_is_refused(kind, tmp_path):
    other = tarfile.TarInfo("train/2.jpg")
    other.type, other.linkname = kind, "train/1.jpg"
    path = put(tmp_path, "x.tar.gz", gzip.compress(tar_of({"train/1.jpg": b"1"})[:1536] + other.tobuf() + bytes(1024)))
    with pytest.raises(ShardError, match=r"'train/2.jpg' is a .*extract the archive and give its folder") as caught:
        build(path, quiet=True)
    assert caught.value.where == {"url": str(path), "byte": 1536}
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar.gz"]


@pytest.mark.parametrize("records", [{"GNU.sparse.map": "x,y"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, {"size": "-5"}])
def test_a_broken_pax_header(records, tmp_path):
    entry = tarfile.TarInfo("x")
    entry.pax_headers = records
    with pytest.raises(ShardError, match=r"broken extended header|sparse|says it has -5|not a readable tar"):
        build(put(tmp_path, "x.tar.gz", gzip.compress(entry.tobuf(tarfile.PAX_FORMAT) + bytes(1024))), quiet=True)


def test_what_a_mac_leaves_is_not_listed(tmp_path):
    content = {"a/1.jpg": b"1", "a/._1.jpg": b"x", "__MACOSX/a/._1.jpg": b"x", "a/2.jpg": b"22"}
    path = put(tmp_path, "x.tar.gz", gzip.compress(tar_of(content)))
    build(path, quiet=True)
    files = SeekTar(path)
    assert files.names == ["a/1.jpg", "a/2.jpg"] == files.below("") and files.read("a/2.jpg") == b"22"
    with pytest.raises(DataError, match=r"has no a/\._1"):
        files.read("a/._1.jpg")


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    path = put(tmp_path, "x.tar.gz", gzip.compress(tar_of({name: b"1"}, tarfile.GNU_FORMAT)))
    build(path, quiet=True)
    assert SeekTar(path).names == [name] and SeekTar(path).read(name) == b"1"


# -- threads and processes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["gzip", "bzip2 small blocks"])
def test_threads_read_at_once(packing, tmp_path):
    files = SeekTar(indexed(tmp_path, packing))
    wanted = _R.choices([*_CONTENT], k=40)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(files.read, wanted)) == [_CONTENT[n] for n in wanted]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_at_once(method, tmp_path):
    files = SeekTar(indexed(tmp_path))
    wanted = _R.choices([*_CONTENT], k=60)
    assert files.read(wanted[0]) == _CONTENT[wanted[0]]  # what is remembered here is not in the child's way
    with multiprocessing.get_context(method).Pool(2) as pool:
        reading = pool.map_async(files.read, wanted)
        assert [files.read(n) for n in wanted] == [_CONTENT[n] for n in wanted]
        assert reading.get(60) == [_CONTENT[n] for n in wanted]


def test_it_pickles_as_its_path_and_holds_no_file_open(tmp_path):
    files = SeekTar(indexed(tmp_path))
    files.read("words/00.txt")
    packed = pickle.dumps(files)
    assert len(packed) < 400
    assert pickle.loads(packed).read("words/01.txt") == _CONTENT["words/01.txt"]
    shutil.move(files.path, tmp_path / "moved")
    with pytest.raises(ShardError, match=r"cannot read words/02.txt"):
        files.read("words/02.txt")


def test_a_read_needs_a_small_part_of_the_archive(tmp_path):
    """All but a mebibyte of the archive is overwritten, and the member is still read."""
    content = {f"{i:03}": _R.randbytes(100_000) for i in range(120)}
    path = put(tmp_path, "x.tar.gz", gzip.compress(tar_of(content), 1))
    build(path, quiet=True)
    whole, stat = path.read_bytes(), path.stat()
    at = whole.index(content["060"][40_000:40_064])  # stored blocks: it stands there as it is
    files = SeekTar(path)
    path.write_bytes(bytes(at - 720_000) + whole[at - 720_000 : at + 330_000] + bytes(len(whole) - at - 330_000))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files.read("060") == content["060"]
    with pytest.raises(ShardError):
        files.read("100")


# -- damage ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["gzip", "stored", "members", "bgzip", "bzip2 small blocks", "bzip2 streams"])
def test_a_cut_archive_gets_no_index(packing, tmp_path):
    whole = _PACKED[packing]
    cuts = [*range(len(whole) - 9, len(whole)), 1, 5, 20, *_R.sample(range(len(whole)), 4)]
    cuts = cuts[:: 3 if packing.startswith("bzip2") else 1]
    for cut in cuts:
        path = put(tmp_path, "x.tar.gz", whole[:cut])
        with pytest.raises(ShardError) as caught:
            build(path, quiet=True)
        assert caught.value.where["url"] == str(path)
        assert index_of(path) is None and [p.name for p in tmp_path.iterdir()] == ["x.tar.gz"]


@pytest.mark.parametrize("name", ["gz", "bz2"])
def test_a_small_archive_cut_anywhere(name, tmp_path):
    whole = _SMALL_PACKED[name]
    for cut in range(0, len(whole), 41):
        with pytest.raises(ShardError):
            build(put(tmp_path, "x.tar.gz", whole[:cut]), quiet=True)


@pytest.mark.parametrize("name", ["gz", "bz2"])
def test_a_single_file_cut_anywhere(name, tmp_path):
    """Nothing but the compressor's own format tells here."""
    pack = gzip.compress if name == "gz" else bz2.compress
    whole = pack(text(400_000) + _R.randbytes(700_000))
    for cut in [*range(len(whole) - 10, len(whole)), *_R.sample(range(10, len(whole)), 5)]:
        with pytest.raises(ShardError):
            build(put(tmp_path, "x.bin", whole[:cut]), quiet=True)


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), packing=st.sampled_from(["gzip", "members", "bzip2 small blocks"]))
def test_no_bit_flips_unseen(tmp_path_factory, position, bit, packing):
    data = bytearray(_PACKED[packing])
    data[int(position * len(data))] ^= 1 << bit
    path = put(tmp_path_factory.mktemp("flip"), "x.tar.gz", bytes(data))
    with suppress(ShardError):
        build(path, quiet=True)
        files = SeekTar(path)
        assert {n: files.read(n) for n in files.names} == _CONTENT


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), name=st.sampled_from(["gz", "bz2"]))
def test_no_bit_of_a_small_one_flips_unseen(tmp_path_factory, position, bit, name):
    data = bytearray(_SMALL_PACKED[name])
    data[int(position * len(data))] ^= 1 << bit
    path = put(tmp_path_factory.mktemp("flip"), "x.tar.gz", bytes(data))
    with suppress(ShardError):
        build(path, quiet=True)
        files = SeekTar(path)
        assert {n: files.read(n) for n in files.names} == _SMALL


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_tar_damaged_before_it_was_compressed(pack, tmp_path):
    damaged = bytearray(_SMALL_TAR)
    damaged[damaged.index(b"a/two.bin")] ^= 1
    with pytest.raises(TruncatedShardError, match="middle"):
        build(put(tmp_path, "x.tar.gz", pack(bytes(damaged))), quiet=True)
    damaged = bytearray(_SMALL_TAR)
    damaged[0] ^= 1
    with pytest.raises(ShardError):
        build(put(tmp_path, "x.tar.gz", pack(bytes(damaged))), quiet=True)
    content = len(_SMALL_TAR.rstrip(b"\0"))
    for cut in range(512, content, 512):
        with pytest.raises(TruncatedShardError):
            build(put(tmp_path, "x.tar.gz", pack(_SMALL_TAR[:cut])), quiet=True)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_bytes_after_the_end_are_no_part_of_an_archive(pack, tmp_path):
    with pytest.raises(ShardError):
        build(put(tmp_path, "x.tar.gz", pack(_SMALL_TAR) + b"an error page"), quiet=True)


@pytest.mark.parametrize("packing", ["gzip", "stored", "bzip2 small blocks"])
def test_an_archive_damaged_after_it_was_indexed(packing, tmp_path):
    path = indexed(tmp_path, packing)
    stat, whole = path.stat(), path.read_bytes()
    middle = len(whole) // 2
    damaged = bytearray(whole)
    damaged[middle] ^= 16
    path.write_bytes(damaged)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    files, caught = SeekTar(path), []
    for name, data in _CONTENT.items():
        try:
            assert files.read(name) == data
        except ShardError as error:
            caught.append((name, error))
    name, error = caught[0]
    assert error.where["url"] == str(path) and error.where["key"] == name and abs(error.where["byte"] - middle) < 1 << 21
    assert "index it again" in str(error) or "download it again" in str(error)
    assert len(caught) < len(_CONTENT)
    later = SeekTar(path)
    path.write_bytes(whole[:middle])  # cut while it is open
    with pytest.raises(ShardError):
        later.read("ö/ü.txt")


def test_an_archive_that_is_still_being_written(tmp_path):
    """It grows while it is read; every byte that was there is sound."""
    path = put(tmp_path, "x.bin", bz2.compress(_R.randbytes(1 << 20)) * 10)
    code = "import sys; from vdata.seek import build; build(sys.argv[1])"
    running = subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".*.seek.*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    with open(path, "ab") as file:
        file.write(bz2.compress(b"more"))
    assert b"the archive changed while it was read" in running.communicate(timeout=60)[1]
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_a_stretch_without_a_point_is_refused(tmp_path):
    """One block of fixed codes for all of it: a byte, then copies of 258 bytes at distance 1."""
    size = 1 + 258 * (seek.index.MAX_STRETCH // 258 + 1)
    copy, start = "11000101" + "00000", "110" + "00110000"  # first bits first: last block, fixed; the byte 0; a copy
    bits = start + copy * ((size - 1) // 258) + "0000000"
    bits += "0" * (-len(bits) % 8)
    raw = int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")
    crc = zlib.crc32(bytes(size))
    path = put(tmp_path, "x.gz", gzip.compress(b"")[:10] + raw + crc.to_bytes(4, "little") + size.to_bytes(4, "little"))
    with pytest.raises(ShardError, match=r"no place to enter it.*unpack"):
        build(path, quiet=True)


def test_what_is_no_archive(tmp_path):
    for data in (b"", b"<html>", _SMALL_TAR):
        with pytest.raises(ShardError, match="neither gzip nor bzip2"):
            build(put(tmp_path, "x.tar.gz", data))
    with pytest.raises(ShardError, match="cannot open"):
        build(tmp_path / "none.tar.gz")


# -- whose index ------------------------------------------------------------------------------------------------------------


def test_without_an_index_it_says_what_to_do(tmp_path):
    path = put(tmp_path, "x.tar.gz", _SMALL_PACKED["gz"])
    assert index_of(path) is None
    for use in (SeekTar, SeekFile, seek.opened):
        with pytest.raises(NoIndexError, match=r"vdata\.seek\.build"):
            use(path)


def test_an_index_moves_with_its_archive(tmp_path):
    path = indexed(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(path, other / "y.tar.gz")  # another time, another name
    shutil.copyfile(f"{path}.seek", other / "y.tar.gz.seek")
    assert index_of(other / "y.tar.gz") == other / "y.tar.gz.seek"
    assert SeekTar(other / "y.tar.gz").read("words/02.txt") == _CONTENT["words/02.txt"]


def test_an_index_of_another_archive_is_none(tmp_path):
    first, second = indexed(tmp_path), put(tmp_path, "y.tar.gz", _PACKED["bzip2"])
    shutil.copyfile(f"{first}.seek", f"{second}.seek")
    assert index_of(second) is None
    same_size = bytearray(_PACKED["gzip"])
    same_size[-6] ^= 1
    shutil.copyfile(f"{first}.seek", f"{second}.seek")
    second.write_bytes(same_size)
    assert index_of(second) is None


def test_a_changed_archive_has_no_index_until_it_is_built_again(tmp_path):
    path = indexed(tmp_path)
    path.write_bytes(_PACKED["bzip2"])
    assert index_of(path) is None
    assert build(path, quiet=True) == index_of(path)
    assert SeekTar(path).read("words/02.txt") == _CONTENT["words/02.txt"]


def test_a_damaged_index_is_none_or_raises(tmp_path):
    path = indexed(tmp_path)
    place = index_of(path)
    whole = place.read_bytes()
    for cut in (0, 5, 100, len(whole) - 1):
        place.write_bytes(whole[:cut])
        assert index_of(path) is None
    place.write_bytes(whole + b"x")
    assert index_of(path) is None
    head = whole.index(b"\n", 20)
    for at in [*_R.sample(range(head), 60), *_R.sample(range(head, len(whole)), 60)]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << _R.randrange(8)
        place.write_bytes(damaged)
        with suppress(DataError, NoIndexError):
            files = SeekTar(path)
            assert {n: files.read(n) for n in files.names} == _CONTENT
    place.write_bytes(whole)
    assert SeekTar(path).read("empty") == b""


def test_a_new_index_does_not_disturb_who_reads_with_the_old_one(tmp_path):
    path = indexed(tmp_path)
    files = SeekTar(path)
    build(path, quiet=True)
    Path(f"{path}.seek").unlink()
    assert {n: files.read(n) for n in files.names} == _CONTENT


def test_two_may_build_at_once(tmp_path):
    path = put(tmp_path, "x.tar.gz", _PACKED["bzip2"])
    code = "import sys; from vdata.seek import build; build(sys.argv[1])"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]
    assert [p.wait(60) for p in running] == [0, 0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.tar.gz", "x.tar.gz.seek"]
    assert SeekTar(path).read("words/02.txt") == _CONTENT["words/02.txt"]


def test_a_killed_build_leaves_no_index(tmp_path):
    path = put(tmp_path, "x.bin", bz2.compress(_R.randbytes(1 << 20)) * 20)
    code = "import sys; from vdata.seek import build; build(sys.argv[1])"
    running = subprocess.Popen([sys.executable, "-c", code, str(path)])
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".*.seek.*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait(30) == -signal.SIGKILL
    assert index_of(path) is None and not Path(f"{path}.seek").exists()


def test_where_nothing_may_be_written_beside_it(tmp_path_factory, monkeypatch):
    place = Path("/tmp") / f"vdata-seek-{os.getpid()}"
    place.mkdir()
    try:
        path = put(place, "x.tar.gz", _SMALL_PACKED["gz"])
        home = place / "home"
        home.mkdir()
        home.chmod(0o777)
        monkeypatch.setenv("VDATA_HOME", str(home))
        place.chmod(0o555)
        as_root = os.geteuid() == 0
        if as_root:  # to whom no folder is closed
            os.seteuid(65534)
        try:
            place_of_index = build(path, quiet=True)
        finally:
            if as_root:
                os.seteuid(0)
        assert place_of_index.parent == home / ".seek" and index_of(path) == place_of_index
        assert SeekTar(path).read("b.txt") == _SMALL["b.txt"]
    finally:
        place.chmod(0o755)
        shutil.rmtree(place)


def test_a_name_too_long_for_an_index_beside_it(tmp_path):
    path = put(tmp_path, "x" * 245 + ".tar.gz", _SMALL_PACKED["gz"])
    assert build(path, quiet=True).parent == Path(os.environ["VDATA_HOME"]) / ".seek"
    assert SeekTar(path).read("b.txt") == _SMALL["b.txt"]


def test_no_place_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("VDATA_HOME", str(put(tmp_path, "file", b"")))
    with pytest.raises(ShardError, match=r"no place for its index.*VDATA_HOME"):
        build(put(tmp_path, "x" * 245 + ".tar.gz", _SMALL_PACKED["gz"]), quiet=True)


# -- what it takes ----------------------------------------------------------------------------------------------------------


def test_without_the_package(tmp_path, monkeypatch):
    """Only the first pass over a gzip needs it: not bzip2, and no reading."""
    path = indexed(tmp_path)
    monkeypatch.setitem(sys.modules, "rapidgzip", None)
    assert SeekTar(path).read("words/02.txt") == _CONTENT["words/02.txt"]
    build(put(tmp_path, "y.tar.bz2", _SMALL_PACKED["bz2"]), quiet=True)
    with pytest.raises(MissingPackageError, match=r"vdata-vision\[datasets\]"):
        build(path, quiet=True)


def test_an_index_is_small(tmp_path):
    header = bytearray(tarfile.TarInfo("train/class/000000.jpg").tobuf())
    tar = bytearray()
    for number in range(5000):
        header[12:18] = b"%06d" % number
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        tar += header
    path = put(tmp_path, "x.tar.bz2", bz2.compress(tar + bytes(1024)))
    assert build(path, quiet=True).stat().st_size < 5000 * 60
    assert len(SeekTar(path).names) == 5000
    noise = put(tmp_path, "noise.bin", gzip.compress(_R.randbytes(8 << 20), 1))
    assert build(noise, quiet=True).stat().st_size < 8000 + 2000


def test_the_checksum_is_compared(tmp_path):
    """One page's checksum in the index is changed, and the index's own made to fit: then reading it raises."""
    path = indexed(tmp_path)
    honest = index.Index(index_of(path))
    arrays = {**honest.arrays, "checksum": honest.checksums.copy()}
    arrays["checksum"][0] ^= 1
    windows = np.concatenate([np.frombuffer(honest.point(row).window, "|u1") for row in range(len(honest.first_pages))])
    index.write(tmp_path / "new", index_of(path), honest.header, arrays, windows)
    files = SeekTar(path)
    with pytest.raises(ChecksumError, match="damaged, or has changed"):
        files.read("noise/00.jpg")
    assert files.read("words/07.txt") == _CONTENT["words/07.txt"]


# -- an index that lies, and places where none can be -----------------------------------------------------------------------


def rewritten(path, **changes):
    """The index with some of its arrays or its header's fields changed, and a checksum that fits."""
    honest = index.Index(index_of(path))
    fields = {n: v for n, v in changes.items() if n in ("plain", "tar") and not isinstance(v, np.ndarray)}
    arrays = {n: a for n, a in {**honest.arrays, **{n: v for n, v in changes.items() if n not in fields}}.items() if a is not None}
    windows = np.concatenate([np.frombuffer(honest.point(row).window, "|u1") for row in range(len(honest.first_pages))])
    header = msgspec.structs.replace(honest.header, **fields)
    index.write(path.with_name("new"), index_of(path), header, arrays, windows)


_COUNT = len(_SMALL)
_LIES = {
    "no names": {"members/text.values.name": None, "members/text.ends.name": None},
    "no offsets": {"members/number.values.offset": None},
    "no sizes": {"members/number.values.size": None},
    "no length": {"members/length": None},
    "a length below zero": {"members/length": np.array([-3])},
    "a long length": {"members/length": np.array([10**12])},
    "no members but columns": {"members/length": np.array([0])},
    "booleans": {"members/number.values.offset": np.zeros(_COUNT, "|b1")},
    "other numbers": {"members/number.values.size": np.zeros(_COUNT, "<u4")},
    "another column": {"members/number.values.more": np.zeros(_COUNT, "<i8")},
    "a column that some lack": {"members/number.given.size": np.ones(_COUNT, "|b1")},
    "names that are JSON": {"members/text.values.name": None, "members/text.ends.name": None,
                            "members/json.values.name": np.frombuffer(b"123", "|u1"), "members/json.ends.name": np.arange(1, _COUNT + 1)},
    "names that are no text": {"members/text.values.name": np.full(3, 255, "|u1"), "members/text.ends.name": np.arange(1, _COUNT + 1)},
    "a place beyond the end": {"members/number.values.offset": np.full(_COUNT, 2**62)},
    "a place below zero": {"members/number.values.offset": np.full(_COUNT, -1)},
    "a size below zero": {"members/number.values.size": np.full(_COUNT, -(2**63))},
    "a size that wraps": {"members/number.values.size": np.full(_COUNT, 2**63 - 1)},
    "no points": {"bit": None},
    "points of bytes": {"plain": np.zeros(1, "|u1")},
    "pages of bytes": {"first_page": np.zeros(1, "|u1")},
    "a page far off": {"first_page": np.array([2**63 - 1])},
    "less than nothing": {"plain": -3, "checksum": np.zeros(0, "<u4"), "tar": False},
}  # fmt: skip


@pytest.mark.parametrize("lie", _LIES)
def test_an_index_that_lies_is_a_shard_error(lie, tmp_path):
    path = put(tmp_path, "x.tar.gz", _SMALL_PACKED["gz"])
    build(path, quiet=True)
    assert len(index.Index(index_of(path)).first_pages) == 1
    rewritten(path, **_LIES[lie])
    assert index_of(path) is not None
    with pytest.raises(ShardError, match=r"damaged index.*make it again"):
        seek.opened(path)


def test_a_pipe_or_a_folder_is_no_index(tmp_path):
    """In another process, which would wait for ever."""
    pipe, folder = put(tmp_path, "x.tar.bz2", _SMALL_PACKED["bz2"]), put(tmp_path, "y.tar.bz2", _SMALL_PACKED["bz2"])
    os.mkfifo(f"{pipe}.seek")
    os.mkdir(f"{folder}.seek")
    code = "import sys; from vdata.seek import index_of; print([index_of(p) for p in sys.argv[1:]])"
    done = subprocess.run([sys.executable, "-c", code, str(pipe), str(folder)], capture_output=True, timeout=60)
    assert done.stdout == b"[None, None]\n"
    with pytest.raises(ShardError, match=r"cannot write its index of \d+ bytes to .*y.tar.bz2.seek: Is a directory"):
        build(folder, quiet=True)


def test_a_disk_that_takes_no_more(tmp_path):
    """The limit of a process stands for that of a disk."""
    path = put(tmp_path, "x.tar.bz2", _PACKED["bzip2 small blocks"])
    code = "import resource, sys; from vdata.seek import build; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); build(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, timeout=60, text=True)
    told = done.stderr.splitlines()[-1]
    assert told.startswith("vdata.errors.ShardError: cannot write its index of ") and f"bytes to {path}.seek: File too large" in told
    assert "make room" in told and [p.name for p in tmp_path.iterdir()] == ["x.tar.bz2"]
