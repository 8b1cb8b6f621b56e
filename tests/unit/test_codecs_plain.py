"""Text, numbers, JSON, arrays, boxes, points, labels; suffixes of foreign tars; formats that carry code."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vdata import codecs
from vdata.codecs import npy
from vdata.encoded import Encoded
from vdata.errors import DataError, DecodeError, UnsafeFormatError
from vdata.tensors import BoundingBoxes, KeyPoints, Label, Mask, TypedTensor, Video

NAN = float("nan")


def come_back(value: object) -> object:
    suffix, data = codecs.encode(value)
    assert codecs.encode(value) == (suffix, data)
    known = codecs.field_of(value, suffix)
    return codecs.decode(Encoded(data, type=known.type, suffix=suffix, codec=known.codec, meta=known.meta))


def assert_identical(a: torch.Tensor, b: torch.Tensor) -> None:
    assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
    plain = [t.plain() if isinstance(t, TypedTensor) else t for t in (a, b)]
    assert all(
        torch.equal(x, y)
        for x, y in [[torch.nan_to_num(t.double() if t.is_floating_point() else t, 7e7) for t in plain]]
    )
    if isinstance(a, TypedTensor):
        meta, other = a.meta(), b.meta()
        for name in a._rows:
            x, y = meta.pop(name), other.pop(name)
            assert (x is None and y is None) or (x.dtype == y.dtype and torch.equal(x, y))
        assert meta == other


MASKS = [
    Mask(torch.randint(0, 256, (4, 5), dtype=torch.uint8), ignore_index=255, categories=("a", "b"), frame="image1"),
    Mask(torch.rand(4, 5) > 0.5),
    Mask(torch.randint(0, 65536, (4, 5)).to(torch.uint16)),
    *(Mask(torch.randint(-9, 9, (4, 5)).to(dtype)) for dtype in (torch.int8, torch.int16, torch.int32, torch.int64)),
    Mask(torch.rand(3, 4, 5) > 0.5, kind="instance"),
    Mask(torch.zeros(0, 4, 5, dtype=torch.bool), kind="instance"),
    Mask(torch.randint(0, 9, (2, 4, 5), dtype=torch.uint8)),
]
BOXES = [
    BoundingBoxes(torch.rand(3, 4), format="XYXY", canvas_size=(10, 20), frame="image2"),
    BoundingBoxes([[1.0, NAN, 3.0, float("inf")]], format="XYWH", canvas_size=(10, 20)),
    BoundingBoxes([[1, 2, 3, 4]], format="CXCYWH", canvas_size=(10, 20), dtype=torch.int32),
    BoundingBoxes(torch.rand(2, 5, dtype=torch.float64), format="CXCYWHR", canvas_size=(10, 20)),
    BoundingBoxes([], format="XYXY", canvas_size=(10, 20)),
    BoundingBoxes(torch.rand(2, 8).half(), format="XYXYXYXY", canvas_size=(10, 20)),
]
POINTS = [
    KeyPoints(torch.rand(3, 17, 2), canvas_size=(10, 20), visibility=torch.randint(0, 3, (3, 17))),
    KeyPoints(torch.rand(3, 2), canvas_size=(10, 20), frame="image1"),
    KeyPoints(torch.zeros(0, 17, 2), canvas_size=(10, 20), visibility=torch.zeros(0, 17, dtype=torch.uint8)),
    KeyPoints([[NAN, 1e-40], [3.4e38, -0.0]], canvas_size=(10, 20)),
]
LABELS = [
    Label(3, categories=("a", "b", "c", "d")),
    Label(7, dtype=torch.uint8),
    Label([1, 2, 3]),
    Label([]),
    Label(torch.zeros(0, 3, dtype=torch.int16)),
    Label(-(2**63)),
]
TENSORS = [
    torch.randn(2, 3),
    torch.tensor(5),
    torch.randn(3).bfloat16(),
    torch.zeros(0, 3),
    torch.randn(2, 2, dtype=torch.complex64),
    torch.tensor([True, False]),
    torch.tensor([2**63], dtype=torch.uint64),
    Video(torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)),
]


@pytest.mark.parametrize(
    "value", [*MASKS, *BOXES, *POINTS, *LABELS, *TENSORS], ids=lambda v: f"{type(v).__name__}-{str(v.dtype)[6:]}"
)
def test_tensors_come_back(value: torch.Tensor):
    assert_identical(come_back(value), value)


def test_suffixes_follow_the_type_and_not_the_numbers():
    assert [codecs.encode(m)[0] for m in MASKS] == [
        "png",
        "png",
        "png",
        "npy",
        "npy",
        "npy",
        "npy",
        "npy",
        "npy",
        "npy",
    ]
    assert [codecs.encode(x)[0] for x in LABELS] == ["cls", "cls", "json", "json", "json", "cls"]
    assert codecs.encode(Label(3)) == ("cls", b"3")
    data = json.loads(codecs.encode(BOXES[0])[1])
    assert data["format"] == "XYXY" and data["canvas_size"] == [10, 20] and data["dtype"] == "float32"


@given(st.lists(st.floats(width=32), min_size=2, max_size=8).filter(lambda v: len(v) % 2 == 0))
def test_float32_survives_json_bit_for_bit(values):
    points = KeyPoints(torch.tensor(values).reshape(-1, 2), canvas_size=(1, 1))
    back = come_back(points)
    same = np.array_equal(back.numpy(), points.numpy(), equal_nan=True)
    assert (same and np.array_equal(np.signbit(back.numpy()), np.signbit(points.numpy()))) or np.isnan(
        points.numpy()
    ).any()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), part, max_size=3),
)


@given(JSON | st.binary(max_size=20))
@settings(deadline=None)
def test_plain_values_come_back(value):
    back = come_back(value)
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {"a": (1,)},
        {1: 2},
        {"a": torch.zeros(1)},
        {1, 2},
        object(),
        1j,
        np.int64(3),
        np.float64(1),
        [b"x"],
        np.array(["a"]),
        np.array([None]),
        np.zeros(2, [("a", "f4")]),
    ],
)
def test_what_would_not_come_back_is_refused_by_type(value: object):
    with pytest.raises(TypeError, match=r"tuple|int|Tensor|set|object|complex|float64|bytes|array"):
        codecs.encode(value)


def test_encoded_passes():
    enc = Encoded(memoryview(b"abc"), type="Image", suffix="seg.png", meta={"a": 1}, codec="c")
    assert codecs.encode(enc) == ("seg.png", b"abc")
    known = codecs.field_of(enc, "seg.png")
    assert (known.type, known.codec, known.meta, known.suffix) == ("Image", "c", {"a": 1}, "seg.png")


@given(
    arrays.arrays(
        st.sampled_from([np.dtype(t) for t in ("?", "i1", "u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "<c8")]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    st.booleans(),
)
@settings(deadline=None)
def test_npy_equals_numpy(array: np.ndarray, fortran: bool):
    out = io.BytesIO()
    np.save(out, np.asarray(array, order="F" if fortran else "C"))
    got = codecs.decode(Encoded(out.getvalue(), suffix="npy"))
    assert np.array_equal(got.numpy(), array, equal_nan=array.dtype.kind in "fc")
    if array.ndim >= 2:
        assert codecs.size(Encoded(out.getvalue())) == array.shape[-2:]
        if min(array.shape[-2:]) > 1:
            part = codecs.decode(Encoded(memoryview(out.getvalue()), suffix="npy"), window=(1, 0, 1, 2))
            assert np.array_equal(part.numpy(), array[..., 1:2, 0:2], equal_nan=array.dtype.kind in "fc")


@pytest.mark.parametrize(
    "shape",
    [
        "(10**9,)",
        "(-1,)",
        "(999999999999999999, 999999999999999999)",
        "(2, 3), 'x': __import__('os').system('id')",
        "()" * 99,
    ],
)
def test_a_lying_npy_header(shape: str):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with pytest.raises(DecodeError):
        codecs.decode(Encoded(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(24), suffix="npy"))


class Bomb:
    ran = False

    def __reduce__(self):
        return setattr, (Bomb, "ran", True)


@pytest.mark.parametrize("suffix", ["pyd", "pkl", "pickle", "pth", "pt", "PKL", "seg.Pickle"])
def test_a_pickle_is_never_loaded(suffix: str):
    with pytest.raises(UnsafeFormatError, match="npy, json or safetensors") as caught:
        codecs.decode(Encoded(pickle.dumps(Bomb()), suffix=suffix, where={"key": "k"}))
    assert caught.value.where["key"] == "k"
    assert not Bomb.ran


@pytest.mark.parametrize("name", ["npy", "npz", "json", "cls", "jpg", "flo", "txt"])
def test_code_under_another_name_does_not_run(name: str):
    objects = io.BytesIO()
    np.save(objects, np.array([Bomb()], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    np.savez(archive, a=np.array([Bomb()], dtype=object))
    for data in (objects.getvalue(), archive.getvalue(), pickle.dumps(Bomb())):
        with pytest.raises(DataError):
            codecs.decode(Encoded(data, suffix=name))
    assert not Bomb.ran
    with pytest.raises(UnsafeFormatError):
        codecs.decode(Encoded(objects.getvalue(), suffix="npy"))


def test_npz():
    out = io.BytesIO()
    np.savez_compressed(out, a=np.arange(3), b=np.zeros((2, 2)))
    got = codecs.decode(Encoded(out.getvalue(), suffix="npz"))
    assert list(got) == ["a", "b"] and torch.equal(got["a"], torch.arange(3))


def test_an_npz_bomb_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(npy, "MAX_NPZ_BYTES", 1000)
    out = io.BytesIO()
    np.savez_compressed(out, a=np.zeros(1000))
    with pytest.raises(DecodeError, match="above the limit"):
        codecs.decode(Encoded(out.getvalue(), suffix="npz"))
    data = out.getvalue().replace((8128).to_bytes(4, "little"), (500).to_bytes(4, "little"))  # a directory that lies
    assert data != out.getvalue()
    with pytest.raises(DecodeError):
        codecs.decode(Encoded(data, suffix="npz"))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", b"x")
    with pytest.raises(DecodeError, match="numpy never packs"):
        codecs.decode(Encoded(other.getvalue(), suffix="npz"))


@pytest.mark.parametrize(
    ("suffix", "data", "value"),
    [
        ("cls", b"12\n", 12),
        ("a.index", b"-3", -3),
        ("ID", b"+7", 7),
        ("txt", b"caf\xc3\xa9 ", "caf\xe9 "),
        ("text", b"", ""),
        ("json", b'{"a": [1, NaN]}', None),
        ("jsn", b"[]", []),
        ("bin", b"\x80\x04", b"\x80\x04"),
        ("xyz", b"q", b"q"),
        ("", b"?", b"?"),
    ],
)
def test_foreign_suffixes(suffix: str, data: bytes, value: object):
    got = codecs.decode(Encoded(memoryview(data), suffix=suffix))
    assert got["a"][1] != got["a"][1] if value is None else got == value and type(got) is type(value)


def test_gz_is_not_passed_as_bytes():
    with pytest.raises(DecodeError, match="decompress"):
        codecs.decode(Encoded(gzip.compress(b"1"), suffix="cls.gz"))


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        ("cls", b""),
        ("cls", b"1.5"),
        ("cls", b"0x10"),
        ("cls", b"1_000"),
        ("cls", b"9" * 5000),
        ("txt", b"\xff"),
        ("json", b""),
        ("json", b"{"),
        ("json", b"[" * 100_000),
        ("json", b"9" * 5000),
        ("json", b"\xff\xfe\xff"),
        ("json", "\u00e9 x".encode()),
    ],
)
def test_broken_text(suffix: str, data: bytes):
    with pytest.raises(DecodeError) as caught:
        codecs.decode(Encoded(data, suffix=suffix))
    assert "byte" in caught.value.where


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "object"},
        {"dtype": None},
        {"dtype": []},
        {"shape": [3, 4]},
        {"shape": "x"},
        {"values": "abc"},
        {"values": [[1, 2], [3]]},
        {"values": [[1, 2, 3, None]]},
        {"values": {}},
        {"format": "ABC"},
        {"format": 3},
        {"canvas_size": [0, 1]},
        {"canvas_size": 7},
        {"canvas_size": ["a", "b"]},
        {"canvas_size": [1e999, 1]},
        {"dtype": "uint8", "values": [[300, 0, 0, 0]]},
        {"dtype": "int64", "values": [[1.5, 0, 0, 0]]},
        {"shape": [10**30]},
    ],
)
def test_hostile_boxes(change: dict[str, object]):
    found = {
        "format": "XYXY",
        "canvas_size": [5, 6],
        "dtype": "float32",
        "shape": [1, 4],
        "values": [[1, 2, 3, 4]],
        **change,
    }
    with pytest.raises(DecodeError):
        codecs.decode(Encoded(json.dumps(found).encode(), type="BoundingBoxes"))
    for name in ("format", "canvas_size", "dtype", "values"):
        with pytest.raises(DecodeError, match=name):
            codecs.decode(
                Encoded(json.dumps({k: v for k, v in found.items() if k != name}).encode(), type="BoundingBoxes")
            )


def test_what_has_no_window_or_size():
    for enc in (Encoded(b"1", type="int"), Encoded(codecs.encode(BOXES[0])[1], type="BoundingBoxes")):
        with pytest.raises(ValueError, match="has no window"):
            codecs.decode(enc, window=(0, 0, 1, 1))
        with pytest.raises(DecodeError):
            codecs.size(enc)
    with pytest.raises(ValueError, match="no window"):
        codecs.decode(Encoded(codecs.encode(torch.zeros(3))[1]), window=(0, 0, 1, 1))


def test_unknown_types_and_codecs():
    with pytest.raises(DecodeError, match="no codec gives a 'Cloud'"):
        codecs.decode(Encoded(b"", type="Cloud"))
    with pytest.raises(ValueError, match="no codec 'jpeg'"):
        codecs.encode(torch.zeros(1), "jpeg")
    with pytest.raises(DecodeError, match="no tensor has the dtype 'object'"):
        codecs.decode(Encoded(codecs.encode(torch.zeros(1))[1], type="tensor", meta={"dtype": "object"}))


SEEDS = [
    ("BoundingBoxes", codecs.encode(BOXES[0])[1]),
    ("KeyPoints", codecs.encode(POINTS[0])[1]),
    ("Label", codecs.encode(LABELS[2])[1]),
    ("Label", b"12"),
    ("tensor", codecs.encode(TENSORS[0])[1]),
    ("Mask", codecs.encode(MASKS[3])[1]),
    ("float", b"1.5"),
]
ARCHIVE = io.BytesIO()
np.savez_compressed(ARCHIVE, a=np.arange(9), b=np.ones((2, 2)))
SEEDS.append(("tensors", ARCHIVE.getvalue()))


@given(draw=st.data())
@settings(max_examples=400, deadline=None)
def test_hostile_bytes_give_a_value_or_a_decode_error(draw):
    name, seed = draw.draw(st.sampled_from(SEEDS))
    data = bytearray(seed)
    for at, value in draw.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        data[at] = value
    data = bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))])
    try:
        codecs.decode(Encoded(data, type=name, where={"key": "k"}))
    except DataError as err:
        assert err.where["key"] == "k"
