"""vdata.files: the same bytes from a folder, zips and tars; damage never passes in silence."""

import bz2
import gzip
import io
import lzma
import pickle
import random
import struct
import tarfile
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdata.errors import ChecksumError, DataError, MissingPackageError, NoIndexError, ShardError, TruncatedShardError
from vdata.files import Layers, Moved, Scanned, Tars, Tree, Unpacked, Zips, kept, package_data, stamp, tar_members
from vdata.table import Table

_CONTENT = {
    "a/one.txt": b"one",
    "a/two.bin": random.Random(0).randbytes(3000),
    "a/deep/three.bin": b"\0" * 4000,
    "b/empty": b"",
    "b/ö.txt": b"not ASCII",
}
_COMPRESSIONS = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def everything(name):
    return True


def in_a(name):
    return name.startswith("a/")


def tar_of(content, form=tarfile.PAX_FORMAT, prefix=""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        folder = tarfile.TarInfo(prefix + "a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in content.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zip_of(content, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.mkdir("a")
        for name, data in content.items():
            archive.writestr(name, data)
    return out.getvalue()


def put(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def opened(kind, folder):
    if kind == "tree":
        for name, data in _CONTENT.items():
            put(folder, name, data)
        return Tree(folder)
    if kind == "stored":
        return Zips([put(folder, "x.zip", zip_of(_CONTENT, zipfile.ZIP_STORED))])
    if kind == "deflated":
        return Zips([put(folder, "x.zip", zip_of(_CONTENT))])
    if kind == "tar":
        return Tars([put(folder, "x.tar", tar_of(_CONTENT, prefix="./"))])
    return Scanned(put(folder, "x.tar.gz", gzip.compress(tar_of(_CONTENT))), ["**"])


@pytest.mark.parametrize("kind", ["tree", "stored", "deflated", "tar", "held"])
def test_the_same_files_from_everywhere(kind, tmp_path):
    for files in (made := opened(kind, tmp_path), pickle.loads(pickle.dumps(made))):
        assert {name: files.read(name) for name in _CONTENT} == _CONTENT
        assert all(name in files for name in _CONTENT)
        assert "a" not in files and "a/none" not in files
        assert files.glob("a/*") == ["a/one.txt", "a/two.bin"]
        assert files.glob("*/*.txt") == ["a/one.txt", "b/ö.txt"]
        assert files.glob("a/*/*") == ["a/deep/three.bin"]
        assert files.glob("a/t?o.*") == ["a/two.bin"] and files.glob("none/*") == []
        assert files.below("a") == ["a/deep/three.bin", "a/one.txt", "a/two.bin"]
        assert files.below("") == sorted(_CONTENT)
        assert files.read("a/two.bin", 100, 7) == _CONTENT["a/two.bin"][100:107]
        assert files.read("a/two.bin", 2990) == _CONTENT["a/two.bin"][2990:]
        with files.open("a/two.bin") as file:
            file.seek(5)
            assert file.read(3) == _CONTENT["a/two.bin"][5:8]
        with pytest.raises(DataError, match="ends before byte 3001"):
            files.read("a/two.bin", 2999, 2)
        with pytest.raises(DataError, match="a/none"):
            files.read("a/none")


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/hostname", "..\\secret"])
def test_a_tree_is_not_left(path, tmp_path):
    put(tmp_path, "secret", b"x")
    tree = Tree(tmp_path / "inner")
    for use in (tree.read, tree.__contains__):
        with pytest.raises(DataError, match="leads out"):
            use(path)


def test_the_first_of_several_archives_counts(tmp_path):
    first, second = put(tmp_path, "1.zip", zip_of({"x": b"1"})), put(tmp_path, "2.zip", zip_of({"x": b"2", "y": b"3"}))
    files = Zips([first, second])
    assert (files.read("x"), files.read("y")) == (b"1", b"3")


def test_threads_share_an_archive(tmp_path):
    content = {f"{i:03}": random.Random(i).randbytes(20_000) for i in range(40)}
    files = Zips([put(tmp_path, "x.zip", zip_of(content))])
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(files.read, [*content] * 5)) == [*content.values()] * 5


# -- damaged zips ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_member_is_found(method, tmp_path):
    data = bytearray(zip_of({"x": random.Random(1).randbytes(2000)}, method))
    data[1000] ^= 1
    files = Zips([put(tmp_path, "x.zip", bytes(data))])
    with pytest.raises(ShardError) as caught:
        files.read("x")
    assert caught.value.where["url"].endswith("x.zip") and "download" in str(caught.value)


def test_a_cut_zip_is_no_zip(tmp_path):
    with pytest.raises(ShardError, match="not a readable zip"):
        Zips([put(tmp_path, "x.zip", zip_of(_CONTENT)[:-30])])
    with pytest.raises(ShardError, match="not a readable zip"):
        Zips([tmp_path / "none.zip"])


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_bit_of_a_zip_flips_unseen(tmp_path_factory, position, bit):
    data = bytearray(zip_of({"x": b"content " * 50, "y": bytes(range(256))}))
    data[int(position * len(data))] ^= 1 << bit
    path = put(tmp_path_factory.mktemp("zip"), "x.zip", bytes(data))
    with suppress(DataError):
        files = Zips([path])
        # A name in the directory has no checksum of its own: then the old one is missing, which raises as well.
        assert (files.read("x"), files.read("y")) == (b"content " * 50, bytes(range(256)))


def _directory_says(data, offset, form, value):
    """The zip with a field of the last entry of its directory changed."""
    at = data.rindex(b"PK\1\2") + offset
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]


def test_sizes_are_not_believed(tmp_path):
    bomb = zip_of({"x": bytes(50_000_000)})
    lying = Zips([put(tmp_path, "lying.zip", _directory_says(bomb, 24, "<I", 10))])
    tracemalloc.start()
    with pytest.raises(ChecksumError):
        lying.read("x")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    with pytest.raises(ShardError, match="says it has"):
        Zips([put(tmp_path, "huge.zip", _directory_says(bomb, 24, "<I", 0xFFFFFFF0))]).read("x")
    with pytest.raises(TruncatedShardError, match="beyond the end"):
        Zips([put(tmp_path, "long.zip", _directory_says(bomb, 20, "<I", 0xFFFFFF0))])


def test_what_is_not_read_says_so(tmp_path):
    plain = zip_of({"x": b"x" * 100})
    with pytest.raises(ShardError, match="encrypted"):
        Zips([put(tmp_path, "locked.zip", _directory_says(plain, 8, "<H", 1))])
    with pytest.raises(ShardError, match=r"method 12 is not read.*unpack"):
        Zips([put(tmp_path, "bzip2.zip", zip_of({"x": b"x" * 100}, zipfile.ZIP_BZIP2))]).read("x")


# -- tars -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _COMPRESSIONS)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_in_one_pass(name, form, tmp_path):
    path = put(tmp_path, "misnamed.bin", _COMPRESSIONS[name](tar_of(_CONTENT, form, prefix="./")))
    assert list(tar_members(path, everything)) == list(_CONTENT.items())
    assert [n for n, _ in tar_members(path, in_a)] == [n for n in _CONTENT if n.startswith("a/")]


@pytest.mark.parametrize("name", _COMPRESSIONS)
@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"Q"])
def test_what_would_be_lost_is_refused(kind, name, tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        other = tarfile.TarInfo("train/2.jpg")
        other.type, other.linkname = kind, "train/1.jpg"
        archive.addfile(other)
    path = put(tmp_path, "x.tar", _COMPRESSIONS[name](out.getvalue()))
    with pytest.raises(ShardError, match=r"'train/2.jpg' is a .*extract the archive and give its folder") as caught:
        list(tar_members(path, everything))
    assert caught.value.where == {"url": str(path), "byte": 0}
    with pytest.raises(ShardError, match="train/2"):
        Scanned(path, ["**.txt"]).below("")


@pytest.mark.parametrize("name", _COMPRESSIONS)
def test_a_cut_tar_raises_wherever_it_is_cut(name, tmp_path):
    tar = tar_of(_CONTENT)
    whole = _COMPRESSIONS[name](tar)
    content = len(tar.rstrip(b"\0"))
    cuts = range(0, len(whole), 97) if name else range(0, content, 256)
    for cut in cuts:
        path = put(tmp_path, "x.tar", whole[:cut])
        with pytest.raises(ShardError):
            list(tar_members(path, everything))
        if not name:
            with pytest.raises(ShardError):
                Tars([path])


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), name=st.sampled_from(["gz", "bz2", "xz"]))
def test_no_bit_of_a_compressed_tar_flips_unseen(tmp_path_factory, position, bit, name):
    data = bytearray(_COMPRESSIONS[name](tar_of(_CONTENT)))
    data[int(position * len(data))] ^= 1 << bit
    path = put(tmp_path_factory.mktemp("tar"), "x.tar", bytes(data))
    with suppress(DataError):
        assert list(tar_members(path, everything)) == list(_CONTENT.items())


def test_a_damaged_header_does_not_end_the_archive(tmp_path):
    data = bytearray(tar_of({f"{i}": b"x" * 600 for i in range(5)}))
    data[data.index(b"3\0\0\0\0")] ^= 1
    path = put(tmp_path, "x.tar", bytes(data))
    with tarfile.open(path) as archive:
        assert len(archive.getnames()) < 6  # Python's own reader stops without a word
    with pytest.raises(TruncatedShardError, match="middle"):
        list(tar_members(path, everything))


def test_an_absurd_extended_header_is_not_read(tmp_path):
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 1 << 33
    path = put(tmp_path, "x.tar.gz", gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    with pytest.raises(ShardError, match="extended header of 8589934592 bytes"):
        list(tar_members(path, everything))


def test_an_absurd_member_is_not_read(tmp_path):
    entry = tarfile.TarInfo("x")
    entry.size = 1 << 40
    path = put(tmp_path, "x.tar", entry.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(ShardError, match="says it has 1099511627776 bytes"):
        list(tar_members(path, everything))


def test_a_tar_that_shrinks_after_it_was_opened(tmp_path):
    path = put(tmp_path, "x.tar", tar_of(_CONTENT))
    files = Tars([path])
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(TruncatedShardError, match="has changed"):
        files.read("a/two.bin")


def test_a_compressed_tar_is_no_plain_one(tmp_path):
    with pytest.raises(ShardError, match="uncompressed"):
        Tars([put(tmp_path, "x.tar", gzip.compress(tar_of(_CONTENT)))])


# -- the same files under other names, of several places, without an index ------------------------------------------------


def test_a_tar_of_tars(tmp_path):
    inner = {"n1.tar": tar_of({"a/x.jpg": b"1", "y.jpg": b"22"}), "n2.tar": tar_of({"z.jpg": b"333"}), "readme": b"r"}
    path = put(tmp_path, "x.tar", tar_of(inner))
    files = Tars([path], nested=True)
    assert {n: files.read(n) for n in files.below("")} == {"n1/a/x.jpg": b"1", "n1/y.jpg": b"22", "n2/z.jpg": b"333", "readme": b"r"}
    with pytest.raises(ShardError, match=r"n1\.tar"):
        Tars([put(tmp_path, "y.tar", tar_of({"n1.tar": inner["n1.tar"][:700]}))], nested=True)


def test_files_under_other_names(tmp_path):
    archive = Zips([put(tmp_path, "x.zip", zip_of({"release/data/1.png": b"1", "release/data/2.png": b"2", "readme": b"r"}))])
    moved = Moved(archive, strip="release/", into="train/")
    for files in (moved, pickle.loads(pickle.dumps(moved))):
        assert files.read("train/data/2.png") == b"2" and "data/1.png" not in files and "train/data/1.png" in files
        assert files.glob("train/data/*") == files.glob("*/data/*") == files.below("train") == files.below("")
        assert files.glob("train/*/1.png") == ["train/data/1.png"] and files.glob("val/*") == files.below("val") == []


def test_layers_are_one_roof(tmp_path):
    put(tmp_path, "tree/x", b"tree"), put(tmp_path, "tree/y", b"y")
    files = Layers([Zips([put(tmp_path, "x.zip", zip_of({"x": b"zip", "z": b"z"}))]), Tree(tmp_path / "tree")])
    assert [files.read(n) for n in files.glob("*")] == [b"zip", b"y", b"z"]
    with pytest.raises(DataError, match="there is no w"):
        files.read("w")


def test_a_compressed_tar_without_an_index(tmp_path):
    scanned = Scanned(put(tmp_path, "x.tar.gz", gzip.compress(tar_of(_CONTENT))), ["**.txt"], "`vdata index x` helps")
    for files in (scanned, pickle.loads(pickle.dumps(scanned))):
        assert files.below("") == sorted(_CONTENT)
        assert files.read("b/ö.txt") == b"not ASCII" and files.is_loose("a/two.bin")
        with pytest.raises(NoIndexError, match="`vdata index x` helps"):
            files.read("a/two.bin")


def test_one_compressed_file(tmp_path):
    path = put(tmp_path, "x.csv.gz", gzip.compress(b"0123456789"))
    files = Unpacked(path, ["**"])
    assert files.glob("*") == ["x.csv"] and files.read("x.csv", 3, 2) == b"34"
    with pytest.raises(NoIndexError, match="do this"):
        Unpacked(path, [], "do this").read("x.csv")
    with pytest.raises(TruncatedShardError, match="cut"):
        Unpacked(put(tmp_path, "cut.gz", path.read_bytes()[:-5]), ["**"]).read("cut")


def test_a_tree_lists_each_folder_once(tmp_path):
    put(tmp_path, "a/1", b"1")
    tree = Tree(tmp_path)
    assert tree.glob("a/*") == ["a/1"] and set(tree.stamps()) == {str(tmp_path / "a")}
    put(tmp_path, "a/2", b"2")
    assert tree.glob("a/*") == ["a/1"] and Tree(tmp_path).glob("a/*") == ["a/1", "a/2"]
    assert Tree(tmp_path).glob("*/1") == ["a/1"] and Tree(tmp_path).glob("none/*/x") == []


# -- tables on disk -------------------------------------------------------------------------------------------------------


def test_a_kept_table_is_made_again_when_its_files_change(tmp_path, monkeypatch):
    monkeypatch.setenv("VDATA_HOME", str(tmp_path / "home"))
    source, made = put(tmp_path, "list", b"1"), []

    def make():
        made.append(source.read_bytes())
        return Table.of([{"n": int(made[-1])}]), {str(source): stamp(source)}

    assert kept("x", make, least=1)[0][0] == kept("x", make, least=1)[0][0] == {"n": 1} and len(made) == 1
    source.write_bytes(b"22")
    assert kept("x", make, least=1)[0][0] == {"n": 22} and len(made) == 2
    (cache,) = (tmp_path / "home" / ".tables").iterdir()
    cache.write_bytes(cache.read_bytes()[:200])
    assert kept("x", make, least=1)[0][0] == {"n": 22} and len(made) == 3
    kept("y", make, least=2)
    assert len(list((tmp_path / "home" / ".tables").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("VDATA_HOME", str(put(tmp_path, "file", b"") / "below"))
    assert kept("x", lambda: (Table.of([{"n": 1}]), {}), least=1)[0][0] == {"n": 1}


def test_data_of_a_package():
    assert (package_data("numpy", "linalg", extra="test") / "__init__.py").is_file()
    with pytest.raises(MissingPackageError, match=r"vdata-vision\[examples\]"):
        package_data("no_such_package_at_all", "data", extra="examples")


# -- sparse files in tars -------------------------------------------------------------------------------------------------


def sparse_tar(records, data=b"", kind=tarfile.REGTYPE):
    entry = tarfile.TarInfo("hole.bin")
    entry.size, entry.type, entry.pax_headers = len(data), kind, records
    return entry.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512) + bytes(1024)


_SPARSE = {
    "old": sparse_tar({}, kind=tarfile.GNUTYPE_SPARSE),
    "0.0": sparse_tar({"GNU.sparse.size": "900000000", "GNU.sparse.numblocks": "0"}),
    "0.1": sparse_tar({"GNU.sparse.map": "0,3,900000000,0", "GNU.sparse.size": "900000000"}, b"abc"),
    "1.0": sparse_tar({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole.bin"}, b"1\n0\n0\n" + bytes(506)),
}
_BROKEN_SPARSE = {
    "map": sparse_tar({"GNU.sparse.map": "x,y"}),
    "no map": sparse_tar({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, b"not a number"),
    "endless map": sparse_tar({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, b"9" * 600),
    "size": sparse_tar({"size": "-5"}),
}


@pytest.mark.parametrize("name", _SPARSE)
def test_a_sparse_file_is_refused(name, tmp_path):
    with pytest.raises(ShardError, match=r"'hole.bin' is a sparse file.*extract the archive"):
        list(tar_members(put(tmp_path, "x.tar.gz", gzip.compress(_SPARSE[name])), everything))


@pytest.mark.parametrize("name", _BROKEN_SPARSE)
def test_a_broken_pax_header_is_a_shard_error(name, tmp_path):
    with pytest.raises(ShardError, match=r"sparse file|broken extended header|says it has -5|not a readable tar"):
        list(tar_members(put(tmp_path, "x.tar.gz", gzip.compress(_BROKEN_SPARSE[name])), everything))
