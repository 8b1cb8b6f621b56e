"""Annotation files: what they say, and that whatever is broken is a DecodeError that says where."""

import gzip
import io
import os
import struct
import subprocess
import sys
import zlib
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from vdata.annotations import csv_rows, h5_rows, h5_shape, json_of, lines, mat, numbered_lines, voc_objects, xml_texts
from vdata.annotations.boxes import corners, real, whole
from vdata.datasets._mat import mat_bytes
from vdata.errors import ChecksumError, DataError, DecodeError
from vdata.files import Tree, Unpacked

ROWS = [
    {"x": np.array([[5]], np.uint16), "y": np.array([[7]], np.uint8), "name": "00001.jpg"},
    {"x": np.array([[300]], np.uint16), "y": np.array([[0]], np.uint8), "name": "2"},
]
VARIABLES = {
    "labels": np.array([[1, 2, 102]], np.uint8),
    "numbers": np.array([[1, 300], [2, 65535], [3, 4]], np.uint16),
    "halves": np.array([[0.5, -1.25]]),
    "title": "flowers",
    "names": ["a", "bc", "defgh ijkl"],
    "rows": ROWS,
}


def put(folder, name, data):
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return Tree(folder)


def plain_rows(rows):
    return [{n: v if isinstance(v, str) else v.item() for n, v in row.items()} for row in rows]


def check_variables(files, path):
    labels, numbers, halves, title, names, rows = mat(files, path, *VARIABLES)
    for found, name in ((labels, "labels"), (numbers, "numbers"), (halves, "halves")):
        assert found.dtype == VARIABLES[name].dtype and np.array_equal(found, VARIABLES[name])
    assert (title, names, rows) == ("flowers", VARIABLES["names"], plain_rows(ROWS))


# -- MATLAB ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [True, False])
def test_mat_reads_what_scipy_writes(tmp_path, compressed):
    names = np.empty((1, 3), object)
    names[0] = VARIABLES["names"]
    rows = np.empty((1, 2), [(name, object) for name in ROWS[0]])
    for row, values in enumerate(ROWS):
        rows[0, row] = tuple(values.values())
    given = VARIABLES | {"names": names, "rows": rows, "other": scipy.sparse.eye(3).tocsc()}
    scipy.io.savemat(tmp_path / "a.mat", given, do_compression=compressed)
    check_variables(Tree(tmp_path), "a.mat")


def test_the_files_of_fakes_are_those_that_scipy_reads(tmp_path):
    files = put(tmp_path, "a.mat", mat_bytes(VARIABLES))
    check_variables(files, "a.mat")
    found = scipy.io.loadmat(tmp_path / "a.mat")
    for name in ("labels", "numbers", "halves"):
        assert found[name].dtype == VARIABLES[name].dtype and np.array_equal(found[name], VARIABLES[name])
    assert found["title"].tolist() == ["flowers"]
    assert [n.item() for n in found["names"][0]] == VARIABLES["names"]
    assert [{n: r[n].item() for n in ROWS[0]} for r in found["rows"][0]] == plain_rows(ROWS)


@given(
    st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]),
    st.lists(st.integers(0, 3), min_size=2, max_size=4),
    st.booleans(),
)
def test_mat_reads_any_array_of_numbers(tmp_path_factory, dtype, shape, compressed):
    folder = tmp_path_factory.mktemp("mat")
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    scipy.io.savemat(folder / "a.mat", {"a": array}, do_compression=compressed)
    (found,) = mat(Tree(folder), "a.mat", "a")
    assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array)


def test_mat_of_the_other_byte_order(tmp_path):
    """A 1 x 2 array of uint16, big-endian, as a Mac of the nineties wrote it."""

    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    inner = element(6, struct.pack(">II", 11, 0)) + element(5, struct.pack(">ii", 1, 2))
    inner += element(1, b"a") + element(4, struct.pack(">HH", 1, 300))
    files = put(tmp_path, "a.mat", b"MATLAB 5.0".ljust(124) + b"\1\0MI" + element(14, inner))
    assert mat(files, "a.mat", "a")[0].tolist() == [[1, 300]]


def test_a_missing_variable_is_named(tmp_path):
    files = put(tmp_path, "a.mat", mat_bytes({"labels": VARIABLES["labels"]}))
    with pytest.raises(DecodeError, match=r"a\.mat has no variable setid, trnid"):
        mat(files, "a.mat", "labels", "setid", "trnid")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0", b"MATLAB 5.0 MAT-file".ljust(128), b"<!DOCTYPE html>".ljust(500)],
)
def test_what_is_no_mat(tmp_path, data):
    with pytest.raises(DecodeError, match=r"a\.mat is no readable MATLAB file: it does not begin"):
        mat(put(tmp_path, "a.mat", data), "a.mat", "a")


def test_a_mat_of_version_7_3_says_what_to_do(tmp_path):
    with pytest.raises(DecodeError, match=r"version 7\.3.*-v7"):
        mat(put(tmp_path, "a.mat", b"MATLAB 7.3 MAT-file".ljust(600)), "a.mat", "a")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_cut_mat_is_never_read_as_a_whole_one(tmp_path, compressed):
    scipy.io.savemat(tmp_path / "a.mat", {"a": VARIABLES["numbers"], "rows": ROWS}, do_compression=compressed)
    data = (tmp_path / "a.mat").read_bytes()
    for end in range(0, len(data) - 8, 3):  # the last bytes may be padding
        with pytest.raises(DecodeError, match=r"c\.mat"):
            mat(put(tmp_path, "c.mat", data[:end]), "c.mat", "a", "rows")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_mat_gives_values_or_a_decode_error(tmp_path_factory, changes):
    data = bytearray(damageable(tmp_path_factory))
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        mat(put(tmp_path_factory.mktemp("mat"), "a.mat", bytes(data)), "a.mat", "labels", "rows")
    except DecodeError as error:
        assert "a.mat" in str(error)


def damageable(tmp_path_factory):
    out = io.BytesIO()
    scipy.io.savemat(out, {"labels": VARIABLES["labels"], "title": "x", "rows": ROWS})
    return out.getvalue()


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def array(kind, sizes, *parts, name=b"a", flags=0):
    head = element(6, struct.pack("<II", kind | flags, 0)) + element(5, struct.pack(f"<{len(sizes)}i", *sizes))
    return element(14, head + element(1, name) + b"".join(parts))


HEAD = b"MATLAB 5.0".ljust(124) + b"\0\1IM"
BYTES = element(2, b"123")


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (array(9, (1, 2_000_000_000), BYTES), "with 3 numbers"),
        (array(9, (2_000_000_000, 2_000_000_000), BYTES), "with 3 numbers"),
        (array(9, (-1, -3), BYTES), "sizes"),
        (array(9, (3,), BYTES), "sizes"),
        (array(9, (1, 3)), "0 lists of values"),
        (array(9, (1, 3), BYTES, BYTES), "2 lists of values"),
        (array(9, (1, 3), element(99, b"123")), "unknown type 99"),
        (array(11, (1, 1), element(4, b"123")), "no whole number of uint16"),
        (array(9, (1, 3), BYTES, flags=0x0800), "complex"),
        (array(5, (1, 3), BYTES), "class 5"),
        (array(3, (1, 1), BYTES), "class 3"),
        (array(4, (2, 2), element(4, b"a\0b\0c\0d\0")), "text of the sizes"),
        (array(4, (1, 2), element(16, b"\xff\xfe")), "not utf-8"),
        (array(1, (1, 2_000_000_000), array(9, (1, 3), BYTES)), "2000000000 parts that holds 1"),
        (array(1, (1, 1), BYTES), "holds an element of type 2"),
        (array(2, (1, 1)), "names of its fields"),
        (array(2, (1, 1), element(5, struct.pack("<i", 0)), element(1, b"")), "names of its fields"),
        (array(2, (1, 1), element(5, struct.pack("<i", 4)), element(1, b"abcde")), "names of its fields"),
        (array(2, (1, 1), element(5, struct.pack("<i", 4)), element(1, b"abcd")), "1 parts that holds 0"),
        (element(2, b"123"), "unknown type 2"),
        (element(14, b"123"), "within a tag"),
        (element(14, element(6, b"1234")), "without flags"),
        (element(15, b"no zlib"), "damaged variable"),
        (element(15, zlib.compress(array(9, (1, 3), BYTES))[:-6]), "cut"),
        (struct.pack("<HHI", 2, 7, 0), "small element of 7"),
    ],
)
def test_a_hostile_mat(tmp_path, variable, message):
    with pytest.raises(DecodeError, match=message):
        mat(put(tmp_path, "a.mat", HEAD + variable), "a.mat", "a")


def test_a_mat_of_cells_within_cells(tmp_path):
    """Half a megabyte of this crashes a process that reads it with scipy."""
    head = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"a")
    sizes = range(len(head) * 10_001 + 8 * 10_000, 0, -len(head) - 8)
    deep = b"".join(struct.pack("<II", 14, size) + head for size in sizes)
    with pytest.raises(DecodeError, match="nested more than 8 deep"):
        mat(put(tmp_path, "a.mat", HEAD + deep), "a.mat", "a")


def test_a_mat_that_unpacks_to_gigabytes(tmp_path):
    pack = zlib.compressobj(9)
    bomb = b"".join(pack.compress(bytes(1 << 20)) for _ in range(70)) + pack.flush()
    assert len(bomb) < 100_000
    with pytest.raises(DecodeError, match="unpacks to more than 64 MiB"):
        mat(put(tmp_path, "a.mat", HEAD + struct.pack("<II", 15, len(bomb)) + bomb), "a.mat", "a")


# -- HDF5 -----------------------------------------------------------------------------------------------------------------


def hdf5(**arrays):
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return out.getvalue()


PATCHES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)


def test_h5_rows_and_shape(tmp_path):
    files = put(tmp_path, "a.h5", hdf5(x=PATCHES))
    assert h5_shape(files, "a.h5", "x") == ((5, 4, 4, 3), "uint8")
    assert np.array_equal(h5_rows(files, "a.h5", "x", 3), PATCHES[3])
    assert np.array_equal(h5_rows(files, "a.h5", "x", slice(1, 4)), PATCHES[1:4])
    assert np.array_equal(h5_rows(files, "a.h5", "x", slice(None)), PATCHES)


def test_h5_reads_only_the_rows_that_are_asked_for(tmp_path):
    read = []

    class Watched(Tree):
        def open(self, path):
            class File(io.FileIO):
                def readinto(self, buffer):
                    count = super().readinto(buffer)
                    read.append(count)
                    return count

            return File(f"{self.root}/{path}")

    put(tmp_path, "a.h5", hdf5(x=np.zeros((1000, 10_000), np.uint8)))
    h5_rows(Watched(tmp_path), "a.h5", "x", 500)
    assert 10_000 <= sum(read) < 100_000


def test_a_file_that_was_replaced_is_opened_anew(tmp_path):
    files = put(tmp_path, "a.h5", hdf5(x=PATCHES))
    assert h5_rows(files, "a.h5", "x", 0).shape == (4, 4, 3)
    (tmp_path / "a.h5").unlink()
    put(tmp_path, "a.h5", hdf5(x=PATCHES[:2] + 1))
    assert h5_shape(files, "a.h5", "x") == ((2, 4, 4, 3), "uint8")
    assert np.array_equal(h5_rows(files, "a.h5", "x", 0), PATCHES[0] + 1)


def test_more_h5_files_than_are_kept_open(tmp_path):
    for number in range(20):
        put(tmp_path, f"{number}.h5", hdf5(x=np.array([number])))
    for number in [*range(20), *range(20)]:
        assert h5_rows(Tree(tmp_path), f"{number}.h5", "x", 0) == number


def test_a_missing_h5_dataset_is_named(tmp_path):
    files = put(tmp_path, "a.h5", hdf5(y=PATCHES))
    for ask in (lambda: h5_shape(files, "a.h5", "x"), lambda: h5_rows(files, "a.h5", "x", 0)):
        with pytest.raises(DecodeError, match=r"a\.h5 has no dataset 'x'; it has y"):
            ask()


def test_a_missing_h5_file_and_a_missing_row(tmp_path):
    files = put(tmp_path, "a.h5", hdf5(x=PATCHES))
    with pytest.raises(DecodeError, match=r"a\.h5 is no readable HDF5 file: .*5"):
        h5_rows(files, "a.h5", "x", 5)
    assert h5_rows(files, "a.h5", "x", 4).shape == (4, 4, 3)
    with pytest.raises(DataError, match=r"b\.h5"):
        h5_rows(files, "b.h5", "x", 0)


@pytest.mark.parametrize("data", [b"", b"MATLAB 5.0", b"<!DOCTYPE html>".ljust(500), b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_h5(tmp_path, data):
    files = put(tmp_path, "a.h5", data)
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"a\.h5 is no readable HDF5 file"):
            h5_rows(files, "a.h5", "x", 0)


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 4, 4, 3), "compression": "gzip"}])
def test_a_cut_h5_is_never_read_as_a_whole_one(tmp_path, options):
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("x", data=PATCHES, **options)
    data = out.getvalue()
    for number, end in enumerate(range(0, len(data), 37)):
        with pytest.raises(DecodeError, match=r"\.h5"):
            h5_rows(put(tmp_path, f"{number}.h5", data[:end]), f"{number}.h5", "x", slice(None))


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_h5_gives_values_or_a_decode_error(tmp_path_factory, changes):
    data = bytearray(hdf5(x=PATCHES))
    for place, byte in changes:
        data[place % len(data)] = byte
    files = put(tmp_path_factory.mktemp("h5"), "a.h5", bytes(data))
    try:
        h5_shape(files, "a.h5", "x")
        h5_rows(files, "a.h5", "x", slice(None))
    except DecodeError as error:
        assert "a.h5" in str(error)


def test_an_h5_names_no_other_files(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(8)))
    put(tmp_path, "other.h5", hdf5(x=PATCHES))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("other.h5", "x")
        file["soft"] = h5py.SoftLink("/linked")
        file.create_dataset("external", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
        layout = h5py.VirtualLayout((5, 4, 4, 3), "u1")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (5, 4, 4, 3))
        file.create_virtual_dataset("virtual", layout)
        file.create_group("group")
        file["text"] = ["a", "b"]
        file["single"] = 5
    for name, why in (
        ("linked", "a link"), ("soft", "a link"), ("external", "other files"), ("virtual", "other files"),
        ("group", "no array"), ("text", "no array"), ("single", "no array"),
    ):  # fmt: skip
        with pytest.raises(DecodeError, match=why):
            h5_rows(Tree(tmp_path), "a.h5", name, 0)


def test_an_h5_of_a_few_bytes_that_says_it_is_huge(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (1 << 40, 96), "u1", chunks=(1, 96))
        file.create_dataset("chunk", (1 << 40, 96), "u1", chunks=(1 << 24, 96))
    assert h5_rows(Tree(tmp_path), "a.h5", "x", 5).tolist() == [0] * 96
    with pytest.raises(DecodeError, match=r"x of a\.h5 says that 1099511627776 rows of it have"):
        h5_rows(Tree(tmp_path), "a.h5", "x", slice(None))
    with pytest.raises(DecodeError, match=r"chunk of a\.h5"):
        h5_rows(Tree(tmp_path), "a.h5", "chunk", 5)


def test_what_the_files_below_say_comes_through_h5(tmp_path):
    """A damaged compressed file is reported as such, and not as an unreadable HDF5 file."""

    class Damaged(io.BytesIO):
        def readinto(self, buffer):
            raise ChecksumError("a page is damaged")

    class Files(Tree):
        def open(self, path):
            return Damaged(bytes(4096))

    with pytest.raises(ChecksumError, match="a page is damaged"):
        h5_rows(Files(tmp_path), "a.h5", "x", 0)


def test_a_process_that_read_an_h5_from_memory_ends_well(tmp_path):
    """HDF5 closes its files when the process ends, and crashes if their file objects are gone by then."""
    (tmp_path / "a.h5.gz").write_bytes(gzip.compress(hdf5(x=PATCHES)))
    assert h5_shape(Unpacked(tmp_path / "a.h5.gz", ("**",)), "a.h5", "x") == ((5, 4, 4, 3), "uint8")
    code = (
        "import sys; from vdata.annotations import h5_rows; from vdata.files import Unpacked; "
        "print(h5_rows(Unpacked(sys.argv[1], ('**',)), 'a.h5', 'x', 0).shape)"
    )
    arguments = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "a.h5.gz")]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, env=os.environ)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "(4, 4, 3)", "")


# -- text -----------------------------------------------------------------------------------------------------------------


def test_lines(tmp_path):
    files = put(tmp_path, "a.txt", b"\xef\xbb\xbfone \r\n\n  two\n\n")
    assert lines(files, "a.txt") == ["one", "two"]
    with pytest.raises(DecodeError, match=r"a\.txt is not UTF-8 text .*byte 3"):
        lines(put(tmp_path, "a.txt", b"one\xff"), "a.txt")


def test_csv_by_name(tmp_path):
    files = put(tmp_path, "a.csv", 'b, a ,c\r\n1,2,3\n\n"x,y", 5 ,"6 ""7"""\n')
    assert list(csv_rows(files, "a.csv", ("a", "b"))) == [("2", "1"), ("5", "x,y")]
    assert list(csv_rows(files, "a.csv", ("c",))) == [("3",), ('6 "7"',)]
    assert list(csv_rows(put(tmp_path, "b.csv", "a;b\n1;2\n"), "b.csv", ("b",), ";")) == [("2",)]
    assert list(csv_rows(put(tmp_path, "c.csv", "a,x,x\n1,2,3\n"), "c.csv", ("a",))) == [("1",)]  # nobody asks for x


def test_numbered_lines(tmp_path):
    assert numbered_lines(put(tmp_path, "a.txt", " 1\r\n2 \n"), "a.txt") == ["1", "2"]
    assert numbered_lines(put(tmp_path, "a.txt", ""), "a.txt") == []
    for text, place in (("1\n\n2\n", 2), ("\n1\n", 1), ("1\n \n", 2)):
        with pytest.raises(DecodeError, match=rf"line {place} of a\.txt is empty"):
            numbered_lines(put(tmp_path, "a.txt", text), "a.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has no column a, b; it has none"),
        ("a,c\n1,2\n", r"a\.csv has no column b; it has a, c"),
        ("a,b\n1,2\n3\n", r"line 3 of a\.csv has 1 columns, its header has 2"),
        ("a,b\n1,2\n3,4,5\n", r"line 3 of a\.csv has 3 columns, its header has 2"),
        ("c,a,b\n1,2,3\n3,4\n", r"line 3 of a\.csv has 2 columns, its header has 3"),
        ("a,b,a\n1,2,3\n", r"a\.csv has two columns 'a'"),
        ('a,b\n1,2\n3,"4\n5,6\n', r"line \d of a\.csv is no CSV: unexpected end of data"),
        ('a,b\n1,"2"3\n', r"line 2 of a\.csv is no CSV"),
        ('a,"b\n', r"line 1 of a\.csv is no CSV"),
        ("a,b\n1," + "9" * 200_000 + "\n", r"line 2 of a\.csv is no CSV: field larger"),
        ("a,b" + "9" * 200_000 + "\n", r"line 1 of a\.csv is no CSV: field larger"),
    ],
)
def test_a_broken_csv(tmp_path, text, message):
    with pytest.raises(DecodeError, match=message):
        list(csv_rows(put(tmp_path, "a.csv", text), "a.csv", ("a", "b")))


def test_json(tmp_path):
    files = put(tmp_path, "a.json", '{"train": ["a", "b"]}')
    assert json_of(files, "a.json") == json_of(files, "a.json", dict[str, list[str]]) == {"train": ["a", "b"]}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{'a': 1}", b"[1]", b'{"train": [1]}', b'{"train": ["\xff"]}', b"[" * 100_000, b'{"a":' * 100_000,
     b"\x89PNG", b"1" * 10_000, b'{"train": ["a"]} x'],
)  # fmt: skip
def test_what_is_no_such_json(tmp_path, data):
    with pytest.raises(DecodeError, match=r"a\.json is not the JSON it should be"):
        json_of(put(tmp_path, "a.json", data), "a.json", dict[str, list[str]])


def test_a_json_nested_too_deeply_for_any_type(tmp_path):
    with pytest.raises(DecodeError, match="is not the JSON it should be"):
        json_of(put(tmp_path, "a.json", b"[" * 100_000), "a.json")


# -- XML ------------------------------------------------------------------------------------------------------------------


def voc(*boxes, head=""):
    objects = "".join(
        f"<object><name>cat</name><bndbox>{''.join(f'<{k}> {v} </{k}>' for k, v in b.items())}</bndbox>"
        f"<truncated>1</truncated><part><name>head</name><bndbox><xmin>9</xmin></bndbox></part></object>"
        for b in boxes
    )
    return f"{head}<annotation><size><width>9</width></size>{objects}</annotation>".encode()


FULL = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}


def test_voc_objects():
    assert voc_objects(voc()) == []
    first, second = voc_objects(voc(FULL, {"ymax": 8, "xmax": 7.5, "ymin": 6, "xmin": 5}))
    assert (first.box, second.box) == ((0, 1, 3, 4), (4, 5, 7.5, 8))
    assert first.name == "cat" and first.flag("truncated") and not first.flag("difficult")


def test_odd_boxes_are_read_where_they_are_known_to_be():
    xml = voc(FULL | {"xmin": 9, "ymax": 2e6})
    assert [o.box for o in voc_objects(xml, one_based=False, odd=True)] == [(9, 2, 3, 2e6)]
    with pytest.raises(DecodeError, match="not finite"):
        voc_objects(voc(FULL | {"ymax": "-1e999"}), odd=True)


CORNER = st.floats(-9e5, 9e5)


@given(CORNER, CORNER, CORNER, CORNER, st.booleans())
def test_corners_are_left_as_they_are(a, b, c, d, one_based):
    """But for the shift; wherever they lie."""
    (x1, x2), (y1, y2) = sorted((a, c)), sorted((b, d))
    assert corners(x1, y1, x2, y2, one_based) == (x1 - one_based, y1 - one_based, x2, y2)
    if x1 < x2:
        with pytest.raises(DecodeError, match="negative size"):
            corners(x2, y1, x1, y2, one_based)


@pytest.mark.parametrize("text", ["1_0", "", " 1", "nan", "inf", "0x10", "1e", ".", "٣", "--1", "1" + "0" * 5000 + "_"])
def test_what_is_no_number(text):
    for read in (real, whole):
        with pytest.raises(ValueError, match="is no"):
            read(text)


def test_numbers():
    assert [real(t) for t in ("1", "-2.5", "+.5e1", "3.")] == [1, -2.5, 5, 3]
    assert [whole(t) for t in ("007", "-12", "+3")] == [7, -12, 3]
    for text in ("1.0", "9" * 19, "9" * 5000):
        with pytest.raises(ValueError, match="no whole number"):
            whole(text)


def test_xml_texts_are_those_of_the_standard_library():
    data = b"<a x='1'>0<b>1</b>2<c><b> 3 </b></c><d/></a>"
    found = dict(xml_texts(data))
    tree = ElementTree.fromstring(data)
    for path in ("b", "c/b", "d"):
        assert found[f"a/{path}"] == (tree.findtext(path) or "").strip()


BOMB = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (voc({"xmin": 1, "ymin": 2, "xmax": 3}), "without a corner"),
        (voc(FULL | {"xmin": "one"}), "no number"),
        (voc(FULL | {"xmin": "nan"}), "no number"),
        (voc(FULL | {"ymax": "1e999"}), "not finite"),
        (voc(FULL | {"xmin": "1_0"}), "no number"),
        (voc(FULL | {"xmin": "\N{ARABIC-INDIC DIGIT ONE}"}), "no number"),
        (voc(FULL | {"xmax": "1e6"}), "a million pixels away"),
        (voc(FULL | {"xmin": 4}), r"negative size: \(4, 2\) to \(3, 4\)"),
        (voc(FULL).replace(b"</xmin>", b"</xmin><xmin>1</xmin>"), "an object with two xmin"),
        (voc(FULL).replace(b"<truncated>", b"<bndbox/><truncated>"), "an object with two bndbox"),
        (b"", "broken XML"),
        (b"\x89PNG", "broken XML"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "broken XML"),
        (voc(FULL, head=f'<!DOCTYPE a [<!ENTITY l0 "ha">{BOMB}]>').replace(b"cat", b"&l9;"), "document type"),
        (voc(FULL, head='<!DOCTYPE a SYSTEM "file:///etc/hostname">'), "document type"),
        (voc(FULL).replace(b"cat", b"&secret;"), "broken XML"),
        (voc(FULL) + b" " * (1 << 20), "more than 1048576"),
        (b"<a>" * 300_000, "nested more than 16 deep"),
    ],
)
def test_hostile_xml(xml, message):
    with pytest.raises(DecodeError, match=message):
        voc_objects(xml)


def test_cut_xml():
    whole = voc(FULL, FULL)
    for end in range(len(whole)):
        with pytest.raises(DecodeError, match="broken XML"):
            voc_objects(whole[:end])
