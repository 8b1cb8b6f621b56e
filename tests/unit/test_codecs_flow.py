"""Flow at rest: .flo, PFM and KITTI's PNGs, against OpenCV and arithmetic on the same bytes."""

from __future__ import annotations

import struct
import time

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vdata import codecs
from vdata.codecs import png16
from vdata.encoded import Encoded
from vdata.errors import DecodeError
from vdata.tensors import Flow, Mask

NAN = float("nan")


def field(height: int = 5, width: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 20, (2, height, width)).astype(np.float32)


def flo(flow: np.ndarray) -> bytes:
    height, width = flow.shape[1:]
    return b"PIEH" + struct.pack("<ii", width, height) + flow.transpose(1, 2, 0).astype("<f4").tobytes()


def pfm(rows: np.ndarray, order: str = "<", blank: str = "", magic: str = "PF") -> bytes:
    height, width = rows.shape[:2]
    head = f"{magic}{blank}\n{width} {height}{blank}\n{'-' if order == '<' else ''}1.0{blank}\n"
    return head.encode() + rows[::-1].astype(order + "f4").tobytes()


def encoded(data: bytes, **known: object) -> Encoded:
    return Encoded(data, **{"type": "Flow", "where": {"key": "k"}, **known})


def same(a: torch.Tensor, b: np.ndarray | torch.Tensor) -> bool:
    return np.array_equal(a.numpy(), np.asarray(b), equal_nan=True)


def come_back(flow: Flow, codec: str = "") -> Flow:
    suffix, data = codecs.encode(flow, codec)
    known = codecs.field_of(flow, suffix)
    return codecs.decode(Encoded(data, type=known.type, suffix=suffix, codec=known.codec, meta=known.meta))


def test_flo_is_exact_and_by_suffix(tmp_path):
    flow = field()
    got = codecs.decode(encoded(memoryview(flo(flow)), type="", suffix="flo"))
    assert type(got) is Flow and got.dtype == torch.float32 and got.is_contiguous() and same(got, flow)
    assert not got.sparse and got.target_size == (5, 7)
    assert codecs.size(encoded(flo(flow))) == (5, 7)
    path = str(tmp_path / "a.flo")
    cv2.writeOpticalFlow(path, flow.transpose(1, 2, 0).copy())
    with open(path, "rb") as file:
        assert file.read() == codecs.encode(Flow(torch.from_numpy(flow)))[1]


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    form=st.sampled_from(["flo", "pfm", "kitti", "npy"]),
    draw=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_window_is_a_slice_of_the_whole(height, width, form, draw):
    flow = field(height, width)
    flow[:, flow[0] > 15] = np.nan
    typed = Flow(torch.from_numpy(flow))
    data = {
        "flo": lambda: flo(flow),
        "kitti": lambda: codecs.encode(typed, "kitti_flow")[1],
        "pfm": lambda: pfm(np.concatenate([flow, flow[:1]]).transpose(1, 2, 0)),
        "npy": lambda: codecs.encode(torch.from_numpy(flow))[1],
    }[form]()
    enc = encoded(data, codec="kitti_flow" if form == "kitti" else "")
    full = codecs.decode(enc)
    assert full.canvas == codecs.size(enc) == (height, width)
    assert torch.equal(full.valid.plain(), typed.valid.plain())
    top, left = draw.draw(st.integers(0, height - 1)), draw.draw(st.integers(0, width - 1))
    high, wide = draw.draw(st.integers(1, height - top)), draw.draw(st.integers(1, width - left))
    part = codecs.decode(enc, window=(top, left, high, wide))
    assert same(part, full.plain()[..., top : top + high, left : left + wide]) and part.is_contiguous()
    assert part.target_size == (height, width)  # the second frame was not cropped
    with pytest.raises(ValueError, match="leaves"):
        codecs.decode(enc, window=(0, 0, height + 1, width))


@pytest.mark.parametrize("mark", [NAN, float("inf"), -float("inf"), 1.1e9, -1e10])
def test_an_unknown_component_makes_the_pixel_unknown(mark: float):
    flow = field()
    flow[1, 2, 3] = mark
    want = flow.copy()
    want[:, 2, 3] = np.nan
    third = np.concatenate([flow, flow[:1]]).transpose(1, 2, 0)
    assert same(codecs.decode(encoded(flo(flow))), want)
    assert same(codecs.decode(encoded(pfm(third))), want)


@pytest.mark.parametrize("side", [(0, 5), (5, 0), (-1, 5), (2**31 - 1, 2**31 - 1), (7, 4), (7, 6), (2**15 + 1, 1)])
def test_a_lying_flo_header(side: tuple[int, int]):
    data = b"PIEH" + struct.pack("<ii", *side) + bytes(8 * 35)
    for read in (codecs.decode, codecs.size):
        with pytest.raises(DecodeError, match="flo") as caught:
            read(encoded(data))
        assert "byte" in caught.value.where and caught.value.where["key"] == "k"


@pytest.mark.parametrize(
    "change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[:11], lambda d: b"PIEF" + d[4:], lambda d: b""]
)
def test_a_flo_of_wrong_length_or_magic(change):
    with pytest.raises(DecodeError):
        codecs.decode(encoded(change(flo(field()))))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("blank", ["", " ", " \t", "\r"])
def test_pfm(order: str, blank: str):
    rows = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    data = pfm(rows, order, blank)
    got = codecs.decode(encoded(data, type="", suffix="pfm"))
    assert type(got) is Flow and same(got, rows[..., :2].transpose(2, 0, 1))
    assert codecs.size(encoded(data)) == (4, 6)
    grey = pfm(rows[..., :1], order, blank, "Pf")
    got = codecs.decode(encoded(grey, type="", suffix="disp.pfm"))
    assert type(got) is torch.Tensor and same(got, rows[..., :1].transpose(2, 0, 1))
    with pytest.raises(DecodeError, match="no flow"):
        codecs.decode(encoded(grey))


def test_pfm_equals_opencv(tmp_path):
    rows = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    path = tmp_path / "a.pfm"
    cv2.imwrite(str(path), rows[..., ::-1])
    got = codecs.decode(encoded(path.read_bytes(), type="tensor"))
    assert same(got, rows.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "head",
    [b"PF\n4 6\n0\n", b"PF\n4 6\nnan\n", b"PF\n0 6\n-1\n", b"PF\n4\n", b"PF\n4 6\n1.2.3\n", b"PF\n999999 999999\n-1\n"],
)
def test_a_lying_pfm_header(head: bytes):
    with pytest.raises(DecodeError):
        codecs.decode(encoded(head + bytes(4 * 6 * 12)))


def kitti_png(height: int = 6, width: int = 8) -> tuple[np.ndarray, bytes]:
    """An RGB array of KITTI's kind and its PNG, written by OpenCV."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 65536, (height, width, 3)).astype(np.uint16)
    rgb[..., 2] = rng.integers(0, 2, (height, width))
    rgb[rgb[..., 2] == 0] = 0
    return rgb, cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()


def test_kitti_flow_as_its_development_kit_reads_it():
    rgb, data = kitti_png()
    want = (rgb[..., :2].astype(np.float64) - 2**15) / 64
    want[rgb[..., 2] == 0] = np.nan
    got = codecs.decode(encoded(data, codec="kitti_flow"))
    assert got.sparse and got.dtype == torch.float32 and same(got, want.transpose(2, 0, 1).astype(np.float32))
    suffix, again = codecs.encode(got, "kitti_flow")
    assert suffix == "png" and np.array_equal(cv2.imdecode(np.frombuffer(again, np.uint8), -1)[..., ::-1], rgb)


def test_kitti_flow_rounds_to_a_64th_and_refuses_what_it_cannot_hold():
    flow = field()
    flow[:, 1, 1] = np.nan
    back = come_back(Flow(torch.from_numpy(flow), sparse=True), "kitti_flow")
    assert np.nanmax(np.abs(back.numpy() - flow)) <= 1 / 128 and np.isnan(back.numpy()[:, 1, 1]).all()
    for value in (-512.1, 512.0):
        flow[0, 0, 0] = value
        with pytest.raises(ValueError, match="512"):
            codecs.encode(Flow(torch.from_numpy(flow)), "kitti_flow")
    flow[0, 0, 0] = -512.0
    assert come_back(Flow(torch.from_numpy(flow)), "kitti_flow")[0, 0, 0] == -512


def test_kitti_disparity_is_a_flow_to_the_left():
    raw = np.array([[0, 256, 300], [65535, 1, 0]], np.uint16)
    data = cv2.imencode(".png", raw)[1].tobytes()
    got = codecs.decode(encoded(data, codec="kitti_disparity", meta={"views": ("left", "right")}))
    assert got.sparse and got.views == ("left", "right")
    assert same(
        got, np.array([[[NAN, -1, -300 / 256], [-65535 / 256, -1 / 256, NAN]], [[NAN, 0, 0], [0, 0, NAN]]], np.float32)
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm_disparity_is_a_flow_to_the_left(order: str):
    rows = np.random.default_rng(0).uniform(0, 90, (4, 6, 1)).astype(np.float32)
    rows[1, 2] = np.inf  # the mark of an unknown pixel in some disparity files
    known: dict[str, object] = {"codec": "pfm_disparity", "meta": {"views": ("image1", "right1")}}
    data = pfm(rows, order, magic="Pf")
    got = codecs.decode(encoded(data, **known))
    want = np.concatenate([-rows, np.zeros_like(rows)], -1).transpose(2, 0, 1)
    want[:, 1, 2] = np.nan
    assert type(got) is Flow and got.dtype == torch.float32 and not got.sparse and got.views == ("image1", "right1")
    assert same(got, want)
    part = codecs.decode(encoded(data, **known), window=(1, 2, 2, 3))
    assert same(part, want[:, 1:3, 2:5]) and part.target_size == (4, 6)
    assert same(come_back(got), want)
    with pytest.raises(DecodeError, match="three channels"):
        codecs.decode(encoded(pfm(rows.repeat(3, 2)), **known))
    with pytest.raises(DecodeError, match="PFM"):
        codecs.decode(encoded(flo(field()), **known))


@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_numbers_in_a_pfm_are_a_mask(order: str):
    rows = np.random.default_rng(0).integers(0, 2**24, (4, 6, 1)).astype(np.float32)
    data = pfm(rows, order, magic="Pf")
    got = codecs.decode(encoded(data, type="Mask", meta={"frame": "image1"}))
    assert type(got) is Mask and got.dtype == torch.int32 and got.frame == "image1" and same(got, rows[..., 0])
    assert same(codecs.decode(encoded(data, type="Mask"), window=(1, 2, 2, 3)), rows[1:3, 2:5, 0])
    for wrong in (0.5, np.nan, np.inf, 2.0**40):
        rows[0, 0] = wrong
        with pytest.raises(DecodeError, match="whole numbers"):
            codecs.decode(encoded(pfm(rows, order, magic="Pf"), type="Mask"))


def test_a_png_that_is_not_kittis():
    eight = cv2.imencode(".png", np.zeros((3, 4, 3), np.uint8))[1].tobytes()
    for codec in ("kitti_flow", "kitti_disparity"):
        with pytest.raises(DecodeError, match=f"{codec} is a PNG of 16 bits"):
            codecs.decode(encoded(eight, codec=codec))
        with pytest.raises(DecodeError, match=codec):
            codecs.decode(encoded(flo(field()), codec=codec))
    with pytest.raises(DecodeError, match="kitti_flow"):
        codecs.decode(encoded(eight))
    with pytest.raises(DecodeError, match="no codec 'mine'"):
        codecs.decode(encoded(eight, codec="mine"))


@pytest.mark.parametrize(
    "flow",
    [
        Flow(torch.randn(2, 4, 5)),
        Flow(torch.randn(2, 4, 5), sparse=True, views=("a", "b"), target_size=(8, 9)),
        Flow(torch.randn(2, 4, 5), valid=torch.rand(4, 5) > 0.5),
        Flow(torch.randn(2, 4, 5, dtype=torch.float64), dtype=None),
        Flow(torch.randn(3, 2, 4, 5)),
        Flow(torch.zeros(2, 0, 5)),
    ],
    ids=["dense", "meta", "nan", "float64", "stack", "empty"],
)
def test_flows_come_back(flow: Flow):
    back = come_back(flow)
    assert type(back) is Flow and back.dtype == flow.dtype and back.meta() == flow.meta() and same(back, flow.plain())


def test_a_huge_but_finite_flow_is_not_written_as_unknown():
    flow = field()
    flow[0, 0, 0] = 2e9
    with pytest.raises(ValueError, match="set it to NaN"):
        codecs.encode(Flow(torch.from_numpy(flow)))


def test_kitti_is_read_in_well_under_a_second():
    rgb, _ = kitti_png(375, 1242)
    data = png16.write(rgb)
    start = time.perf_counter()
    codecs.decode(encoded(data, codec="kitti_flow"))
    assert time.perf_counter() - start < 1


SEEDS = [
    (flo(field()), ""),
    (pfm(field(5, 6).reshape(5, 4, 3)), ""),
    (kitti_png()[1], "kitti_flow"),
    (codecs.encode(torch.from_numpy(field()))[1], ""),
    (cv2.imencode(".png", kitti_png()[0][..., 0])[1].tobytes(), "kitti_disparity"),
]


@given(draw=st.data())
@settings(max_examples=200, deadline=None)
def test_hostile_bytes_give_a_flow_or_a_decode_error(draw):
    seed, codec = draw.draw(st.sampled_from(SEEDS))
    data = bytearray(seed)
    for at, value in draw.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        data[at] = value
    enc = encoded(bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))]), codec=codec)
    try:
        got = codecs.decode(enc)
        assert got.canvas == codecs.size(enc)
        assert torch.equal(got.plain().isnan().any(0), got.plain().isnan().all(0)) or codecs.kind(enc.data) == "npy"
    except DecodeError as err:
        assert err.where["key"] == "k"
