"""Records as columns give back the records."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdata.table import File, Table

_VALUE = st.one_of(
    st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=8), st.none(),
    st.text(max_size=8).map(File), st.lists(st.integers(0, 9), max_size=3),
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
    assert table.numbers.keys() == {"n"} and table.numbers["n"].tolist() == [1, 2]
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
