"""Records as columns give back the records."""

import os
import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdata.table import File, Table

_TEXT = st.text(st.characters(exclude_categories=()) | st.characters(categories=["Cs"]), max_size=8)
_VALUE = st.one_of(
    st.booleans(), st.integers(-(2**40), 2**40), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), _TEXT,
    st.none(), _TEXT.map(File), st.lists(st.integers(0, 9) | _TEXT, max_size=3),
)  # fmt: skip
_ROWS = st.lists(st.dictionaries(st.sampled_from(["__key__", "a.b", "x"]), _VALUE), max_size=8)


def stored(table, folder):
    np.savez(folder / "table.npz", **table.arrays())
    with np.load(folder / "table.npz", allow_pickle=False) as arrays:
        return Table.from_arrays(dict(arrays))


@given(rows=_ROWS)
def test_rows_come_back(rows, tmp_path_factory):
    table = Table.of(rows)
    for same in (table, pickle.loads(pickle.dumps(table)), stored(table, tmp_path_factory.mktemp("table"))):
        assert list(same) == rows and len(same) == len(rows) and same.digest == table.digest
    order = np.arange(len(rows))[::-1]
    assert list(table.take(order)) == rows[::-1]
    assert list(table.take(order[:0])) == []


def test_numbers_and_files():
    table = Table.of([{"n": 1, "f": File("a"), "t": "x", "some": 1.5}, {"n": 2, "t": "y", "g": File("b")}])
    assert table.scalars == ["n", "t"] and table.column("n").tolist() == [1, 2] and table.column("t").tolist() == ["x", "y"]
    with pytest.raises(KeyError):
        table.column("some")
    assert list(table.files()) == [(0, "f", "a"), (1, "g", "b")]
    assert isinstance(table[0]["f"], File) and not isinstance(table[0]["t"], File)
    assert table.texts("t") == ["x", "y"] and table[-1]["n"] == 2 and table[0:1][0]["n"] == 1
    with pytest.raises(IndexError):
        table[2]


def test_the_digest_tells_tables_apart():
    digests = {Table.of(rows).digest for rows in ([], [{}], [{"a": 1}], [{"a": 2}], [{"a": True}], [{"a": "1"}], [{"b": 1}], [{"a": File("1")}])}
    assert len(digests) == 8


def test_a_million_rows_are_small():
    table = Table.of({"__key__": f"{i % 1000:04}/{i:08}", "image": File(f"train/{i % 1000:04}/{i:08}.jpg"), "label": i % 1000} for i in range(50_000))
    assert sum(a.nbytes for a in table.arrays().values()) / len(table) < 100


def test_integers_of_any_size_come_back():
    rows = [{"id": 2**63}, {"id": -1}]
    table = Table.of(rows)
    assert list(table) == rows and table.scalars == [] and Table.of([{"id": 2**63 - 1}]).scalars == ["id"]


@pytest.mark.parametrize("text", ["\ud800", "\udce9", "\udcc3\udca9", "\ud83d\ude00", "\0", "é😀"])
def test_any_text_comes_back(text, tmp_path):
    rows = [{"t": text, "f": File(text), "j": [text]}, {"t": "", "f": File("b"), "j": None}]
    assert list(stored(Table.of(rows), tmp_path)) == rows


def test_names_of_files_that_are_not_utf8_come_back(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    names = os.listdir(tmp_path / "files")
    table = stored(Table.of({"f": File(name)} for name in names), tmp_path)
    assert (tmp_path / "files" / table[0]["f"]).read_bytes() == b"x"


# -- arrays that no table has given ------------------------------------------------------------------------------------


def sound():
    return Table.of([{"n": 1, "t": "é", "f": File("a"), "some": 1.5}, {"n": 2, "t": "yy", "f": File("b")}]).arrays()


_OTHERS = {
    "no length": {"length": None},
    "no table of such a length": {"length": np.array([10**12])},
    "a negative length": {"length": np.array([-1])},
    "two lengths": {"length": np.array([2, 2])},
    "a length that is none": {"length": np.array([2.0])},
    "fewer rows than values": {"length": np.array([1])},
    "fewer ends": {"text.ends.t": np.array([2])},
    "ends before the last byte": {"text.ends.t": np.array([2, 3])},
    "ends beyond the last byte": {"text.ends.t": np.array([2, 5])},
    "ends that go back": {"text.ends.t": np.array([5, 4])},
    "ends below zero": {"text.ends.t": np.array([-1, 4])},
    "ends that wrap": {"text.ends.t": np.array([-(2**63), 4])},
    "ends inside a character": {"text.ends.t": np.array([1, 4])},
    "ends that are no integers": {"text.ends.t": np.array([2.0, 4.0])},
    "ends in a square": {"text.ends.t": np.array([[2], [4]])},
    "no ends": {"text.ends.t": None},
    "ends of numbers": {"number.ends.n": np.array([1, 2])},
    "values that are no bytes": {"text.values.t": np.array([1, 2, 3, 4])},
    "values that are no UTF-8": {"text.values.t": np.frombuffer(b"\xff\xff\xff\xff", "|u1")},
    "no values": {"number.values.n": None, "number.given.n": np.array([True, True])},
    "too many values": {"number.values.n": np.array([1, 2, 3])},
    "values in a square": {"number.values.n": np.array([[1, 2], [3, 4]])},
    "objects": {"number.values.n": np.array([1, "x"], object)},
    "given for fewer rows": {"number.given.some": np.array([True])},
    "given more often": {"number.given.some": np.array([True, True])},
    "given as numbers": {"number.given.some": np.array([1, 0])},
    "given twice as true": {"number.given.some": np.array([2, 0], "|u1").view("|b1")},
    "a kind that is none": {"pickle.values.x": np.zeros(2, "|u1"), "pickle.ends.x": np.array([1, 2])},
    "a part that is none": {"number.more.n": np.array([1, 2])},
    "of two kinds": {"json.values.n": np.frombuffer(b"12", "|u1"), "json.ends.n": np.array([1, 2])},
    "a name that is none": {"x": np.array([1, 2])},
}


@pytest.mark.parametrize("other", _OTHERS)
def test_arrays_that_no_table_has_given_are_refused(other):
    assert len(Table.from_arrays(sound())) == 2
    arrays = {name: array for name, array in (sound() | _OTHERS[other]).items() if array is not None}
    with pytest.raises(ValueError):
        Table.from_arrays(arrays)


def test_json_is_not_parsed_before_it_is_asked_for():
    arrays = Table.of([{"j": [1]}, {"j": None}]).arrays()
    arrays["json.values.j"] = np.frombuffer(b"[1x" + b"null", "|u1")
    table = Table.from_arrays(arrays)
    assert table[1] == {"j": None}
    with pytest.raises(ValueError, match="delimiter"):
        table[0]


def test_a_million_rows_are_loaded_at_once():
    count = 1_000_000
    name = np.frombuffer(b"train/0001/00000001.jpg" * count, "|u1")
    ends = np.arange(1, count + 1) * 23
    arrays = {"length": np.array([count]), "text.values.t": name, "text.ends.t": ends, "number.values.n": ends}
    start = time.perf_counter()
    table = Table.from_arrays(arrays)
    assert time.perf_counter() - start < 0.5 and len(table) == count
