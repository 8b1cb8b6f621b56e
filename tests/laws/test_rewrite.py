"""Law 4: an optimised plan gives what the plain plan gives, bit for bit."""

from __future__ import annotations

import io
import os

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vdata
from vdata import transforms as T
from vdata.batch import Ragged
from vdata.encoded import Encoded
from vdata.errors import PlanError
from vdata.plan import Apply, Decode, Pick, chain
from vdata.rewrite import DecodeApply, optimise
from vdata.run.make import compile
from vdata.run.walk import scan
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask

KINDS = ("jpeg", "jpeg 420", "jpeg grey", "png", "png grey", "png alpha", "png palette", "png 16", "ppm", "exif 6", "exif 3")


def picture(kind, seed, size=(45, 61)):
    """An encoded picture of smooth and rough parts, of odd sizes."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 3 % 256, y * 4 % 256, (x * y) % 256], -1).astype(np.uint8)
    pixels[height // 3 :, width // 2 :] = rng.integers(0, 256, pixels[height // 3 :, width // 2 :].shape, np.uint8)
    image = PIL.Image.fromarray(pixels)
    file = io.BytesIO()
    if kind.startswith(("jpeg", "exif")):
        options = {"quality": 91, "subsampling": 2 if "420" in kind else 0}
        if kind.startswith("exif"):
            exif = PIL.Image.Exif()
            exif[0x0112] = int(kind[-1])
            options["exif"] = exif
        (image.convert("L") if "grey" in kind else image).save(file, "JPEG", **options)
    elif kind == "ppm":
        image.save(file, "PPM")
    elif kind == "png 16":
        PIL.Image.fromarray((pixels[..., 0].astype(np.uint16) << 8) + pixels[..., 1]).save(file, "PNG")
    else:
        mode = {"png": "RGB", "png grey": "L", "png alpha": "RGBA", "png palette": "P"}[kind]
        image.convert(mode).save(file, "PNG")
    suffix = "jpg" if kind.startswith(("jpeg", "exif")) else kind[:3]
    return Encoded(file.getvalue(), "Image", suffix)


def scene(index):
    """Two frames, their flow, a mask, boxes and points; frames encoded in every kind in turn."""
    kind = KINDS[index % 9]  # without a turned picture: its canvas is another
    rng = np.random.default_rng(index)
    flow = rng.normal(0, 3, (2, 45, 61)).astype(np.float32)
    flow[:, rng.random((45, 61)) < 0.1] = np.nan
    return {
        "__key__": f"{index:03d}",
        "image1": picture(kind, index),
        "image2": picture(kind, 1000 + index),
        "flow": Flow(torch.from_numpy(flow)),
        "mask": Mask(torch.from_numpy(rng.integers(0, 9, (45, 61))), frame="image1"),
        "boxes": BoundingBoxes([[3.0, 4.0, 30.0, 40.0], [20, 2, 60, 44]], format="XYXY", canvas_size=(45, 61), frame="image1"),
        "points": KeyPoints([[3.5, 4.0], [60.0, 44.0]], canvas_size=(45, 61), frame="image1"),
    }


def single(index):
    kind = KINDS[index % len(KINDS)]
    return {"__key__": f"{index:03d}", "kind": kind, "image": picture(kind, index, (33 + index % 5, 40 + index % 3))}


def scenes(count=9):
    return read(Computed("scenes", count, scene))


def singles(count=22):
    return read(Computed("singles", count, single))


def items(pipe, epoch=0, fuse=True):
    node = compile(optimise(pipe.plan, scan, fuse=fuse))
    return [item.value for p in range(int(node.length)) if (item := node.one(epoch, p)) is not None]


def equal(a, b):
    """Bit for bit, with types and what they carry."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[n], b[n]) for n in a)
    if isinstance(a, (list, tuple, Ragged)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        metas = getattr(a, "meta", dict)(), getattr(b, "meta", dict)()
        same = torch.equal(torch.as_tensor(a).nan_to_num(nan=-1e9) if a.is_floating_point() else a, b.nan_to_num(nan=-1e9) if b.is_floating_point() else b)
        return same and a.dtype == b.dtype and set(metas[0]) == set(metas[1]) and all(equal(metas[0][n], metas[1][n]) for n in metas[0])
    return a == b


def is_fused(pipe):
    return any(isinstance(s, DecodeApply) for s in chain(optimise(pipe.plan, scan)))


FIRST = {
    "random crop": T.RandomCrop((20, 24)),
    "random crop, padded": T.RandomCrop((40, 48), padding=9),
    "random crop, if needed": T.RandomCrop((50, 40), pad_if_needed=True, fill=3),
    "centre crop": T.CenterCrop((21, 30)),
    "centre crop, larger": T.CenterCrop((64, 30)),
    "resized crop": T.RandomResizedCrop((16, 24)),
    "resized crop, small": T.RandomResizedCrop((32, 32), scale=(0.01, 0.05)),
    "resized crop, linear": T.RandomResizedCrop((16, 24), antialias=False),
    "resized crop, nearest": T.RandomResizedCrop((16, 24), interpolation=T.InterpolationMode.NEAREST),
    "resize": T.Resize((50, 40)),
    "resize, shorter side": T.Resize(20, max_size=24),
    "resized crop, bicubic": T.RandomResizedCrop((24, 16), interpolation=T.InterpolationMode.BICUBIC, antialias=False),
}
THEN = {
    "alone": (),
    "flip": (T.RandomHorizontalFlip(), T.RandomVerticalFlip()),
    "crop, flip": (T.CenterCrop(16), T.RandomHorizontalFlip(p=1.0)),
    "resize": (T.Resize((10, 12)), T.RandomCrop(8)),
}


@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("first", FIRST)
def test_a_fused_plan_gives_what_the_plain_plan_gives(first, then):
    pipe = scenes().apply(FIRST[first], *THEN[then])
    assert is_fused(pipe)
    for epoch in (0, 1):
        fused, plain = items(pipe, epoch), items(pipe, epoch, fuse=False)
        assert len(fused) == 9
        assert all(equal(a, b) for a, b in zip(fused, plain, strict=True))
    assert not all(equal(a, b) for a, b in zip(items(pipe, 0), items(pipe, 1), strict=True)) or "centre" in first or first.startswith("resize,") or first == "resize"


@pytest.mark.parametrize("mode", ["RGB", "unchanged"])
@pytest.mark.parametrize("first", FIRST)
def test_every_kind_of_picture_decoded_by_windows(first, mode):
    pipe = singles().decode(mode=mode).apply(FIRST[first], T.RandomHorizontalFlip())
    if first == "random crop, if needed":
        pipe = singles().decode(mode=mode).apply(T.RandomCrop((50, 60), pad_if_needed=True), T.RandomHorizontalFlip())
    if first == "random crop, padded":
        pipe = singles().decode(mode=mode).apply(T.RandomCrop((33, 40), padding=4))
    assert is_fused(pipe)
    for a, b in zip(items(pipe), items(pipe, fuse=False), strict=True):
        assert equal(a, b), a["kind"]


@settings(max_examples=25)
@given(st.integers(0, 10), st.integers(1, 40), st.integers(1, 33), st.integers(0, 10**6))
def test_windows_of_any_size_and_place(kind, width, height, seed):
    pipe = read(Computed("one", 1, lambda _: {"image": picture(KINDS[kind], kind, (33, 40))})).apply(T.RandomCrop((height, min(width, 33)))).seed(seed)
    assert equal(items(pipe), items(pipe, fuse=False))


def test_what_does_not_look_through_a_window_is_not_fused():
    for first in (T.RandomHorizontalFlip(), T.Pad(8), T.ColorJitter(0.4), T.RandomApply([T.RandomCrop(8)])):
        pipe = singles().apply(first, T.CenterCrop(8))
        assert not is_fused(pipe)
        assert len(items(pipe)) == 22
    mapped = singles().map(dict).apply(T.CenterCrop(8))
    assert not is_fused(mapped) and items(mapped)[0]["image"].shape == (3, 8, 8)


def test_a_fused_plan_raises_what_the_plain_plan_raises():
    def odd(index):
        return {**single(index), "heat": torch.zeros(33, 40)}

    pipe = read(Computed("odd", 1, odd)).apply(T.CenterCrop(8))
    for fuse in (True, False):
        with pytest.raises(TypeError, match="heat"):
            items(pipe, fuse=fuse)
    small = singles(1).apply(T.RandomCrop(200))
    for fuse in (True, False):
        with pytest.raises(PlanError, match="does not fit"):
            items(small, fuse=fuse)
    other = read(Computed("other", 1, lambda i: {**scene(i), "mask": Mask(torch.zeros(44, 61), frame="image1")})).apply(T.CenterCrop(8))
    for fuse in (True, False):
        with pytest.raises(PlanError, match="canvas"):
            items(other, fuse=fuse)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.shuffle().apply(T.RandomCrop(16)).batch(4), lambda p: p.batch(4).map(dict), lambda p: p.select("image").shuffle(),
        lambda p: p.rename(picture="image").apply(T.RandomResizedCrop(9)), lambda p: p.repeat(2).apply(T.RandomCrop(16)).to_tuple("image", "kind"),
        lambda p: vdata.concat(p.decode(mode="unchanged").take(1), p).apply(T.CenterCrop(5)),
        lambda p: vdata.zip(p, p.rename(b="image", k="kind")).apply(T.CenterCrop(5)),
        lambda p: vdata.zip(p.decode(), p.decode(mode="unchanged").rename(b="image", k="kind")),
        lambda p: p.apply(T.CenterCrop(20)).cache().apply(T.RandomCrop(8)), lambda p: p.shard(2, 1).skip(1).take(3).enumerate(),
    ],
)  # fmt: skip
def test_pictures_are_decoded_once_wherever_the_plan_first_needs_them(make):
    pipe = make(singles(6))
    for fuse in (True, False):
        for item in items(pipe, fuse=fuse):
            flat = [item] if not isinstance(item, tuple) else list(item)
            values = [v for part in flat for v in (part.values() if isinstance(part, dict) else [part])]
            assert not any(isinstance(v, Encoded) or (isinstance(v, list) and any(isinstance(x, Encoded) for x in v)) for v in values)
    assert equal(items(pipe), items(pipe, fuse=False))


def test_decode_stands_where_pixels_are_first_read():
    names = [s.name for s in chain(optimise(singles().decode(mode="unchanged").shuffle().select("image").apply(T.RandomInvert()).batch(2).plan, scan))]
    assert names.index("decode") == names.index("apply") - 1
    assert sum(n == "decode" for n in names) == 1
    options = [s for s in chain(optimise(singles().decode(mode="unchanged").shuffle().plan, scan)) if isinstance(s, Decode)]
    assert [s.mode for s in options] == ["unchanged"]
    assert [type(s) for s in chain(optimise(singles().apply(T.CenterCrop(4)).plan, scan, fuse=False))][-1] is Apply


def test_the_plan_as_written_is_not_touched():
    pipe = singles().filter(is_png, scan=True).apply(T.CenterCrop(4)).batch(2)
    before = str(pipe)
    optimise(pipe.plan, scan)
    list(pipe)
    assert str(pipe) == before and "decode" not in before


# -- filters ---------------------------------------------------------------------------------------------------------------------


def is_png(sample):
    return sample["kind"].startswith("png")


def is_wide(sample):
    return sample["image"].shape[-1] >= 41


@pytest.mark.parametrize("keep", [is_png, is_wide])
def test_a_scanned_filter_keeps_what_an_unscanned_one_keeps(keep):
    scanned, holed = singles().filter(keep, scan=True), singles().filter(keep)
    assert any(isinstance(s, Pick) for s in chain(optimise(scanned.plan, scan)))
    want = list(holed)
    assert 0 < len(want) < 22 and len(scanned) == len(want)
    assert all(equal(a, b) for a, b in zip(scanned, want, strict=True))
    augmented = scanned.apply(T.RandomCrop(9), T.ColorJitter(0.4)), holed.apply(T.RandomCrop(9), T.ColorJitter(0.4))
    assert all(equal(a, b) for a, b in zip(*augmented, strict=True))


def test_scanned_filters_one_after_the_other():
    both = singles().filter(is_png, scan=True).filter(is_wide, scan=True)
    want = [s["__key__"] for s in singles().filter(is_png).filter(is_wide)]
    assert [s["__key__"] for s in both] == want and len(want) > 0
    assert [s["__key__"] for s in singles().filter(is_wide, scan=True)] == [s["__key__"] for s in singles().filter(is_wide)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A packed data set with columns."""
    folder = os.fspath(tmp_path_factory.mktemp("packed") / "set")
    records = [{"__key__": f"{i:02d}", "label": i % 5, "score": i / 7, "image": picture("png", i, (8, 9))} for i in range(30)]
    return vdata.from_torch(records).pack(folder, samples_per_shard=7, quiet=True)


WHERE = {
    "one value": ({"label": 3}, lambda s: s["label"] == 3),
    "several values": ({"label": [1, 4]}, lambda s: s["label"] in (1, 4)),
    "two columns": ({"label": {0, 2}, "score": [0.0, 10 / 7]}, lambda s: s["label"] in (0, 2) and s["score"] in (0.0, 10 / 7)),
    "a function": (lambda c: (c["score"] > 1.5) & (c["label"] != 2), lambda s: s["score"] > 1.5 and s["label"] != 2),
    "none": ({"label": 99}, lambda s: False),
}


@pytest.mark.parametrize("name", WHERE)
def test_a_filter_by_columns_keeps_what_a_function_keeps(shards, name):
    where, fn = WHERE[name]
    want = [s["__key__"] for s in shards.filter(fn)]
    chosen = shards.filter(where=where)
    assert [s["__key__"] for s in chosen] == want and len(chosen) == len(want)
    assert (len(want) > 0) == (name != "none")
    # Over the stages that keep the columns in step, and under the ones that reorder.
    cut = shards.skip(3).shard(2, 1).take(9)
    assert [s["__key__"] for s in cut.filter(where=where)] == [s["__key__"] for s in cut.filter(fn)]
    assert sorted(s["__key__"] for s in chosen.shuffle(seed=1)) == want
    again = shards.filter(where=lambda c: c["label"] != 1).filter(where=where)
    assert [s["__key__"] for s in again] == [s["__key__"] for s in shards.filter(lambda s: s["label"] != 1).filter(fn)]


def test_a_filter_by_columns_reads_no_sample(shards, monkeypatch):
    source = shards.plan.source
    monkeypatch.setattr(source, "read", lambda index: pytest.fail("a sample was read"))
    assert len(shards.filter(where={"label": 3})) == 6
    assert len(shards.rename(kind="label").filter(where={"kind": [3]}).shuffle()) == 6


def test_a_filter_by_columns_says_what_is_wrong(shards):
    with pytest.raises(PlanError, match=r"no column \['labl'\]"):
        len(shards.filter(where={"labl": 3}))
    with pytest.raises(PlanError, match="30 booleans"):
        len(shards.filter(where=lambda c: c["label"]))
    with pytest.raises(PlanError, match="30 booleans"):
        len(shards.filter(where=lambda c: np.ones(3, bool)))
    with pytest.raises(PlanError, match=r"dict of column values|function of the columns"):
        len(shards.filter(where=3))


def test_columns_follow_their_samples_through_a_concat(shards):
    both = vdata.concat(shards.take(10), shards.skip(20))
    assert [s["label"] for s in both.filter(where={"label": 2})] == [2, 2, 2, 2]


def test_packing_gives_each_stage_what_it_needs(tmp_path):
    """Bytes pass as they came; what a stage reads is decoded for it."""
    cropped = singles(4).apply(T.CenterCrop(8))
    packed = cropped.pack(os.fspath(tmp_path / "cropped"), quiet=True)
    assert all(torch.equal(a["image"].plain(), b["image"].plain()) for a, b in zip(packed, cropped, strict=True))
    counted = singles(4).map(with_mean).pack(os.fspath(tmp_path / "mapped"), quiet=True)
    assert [s["mean"] for s in counted] == [s["mean"] for s in singles(4).map(with_mean)]
    plain = singles(4).pack(os.fspath(tmp_path / "plain"), quiet=True)
    assert [bytes(plain.plan.source.read(i)["image"].data) for i in range(4)] == [bytes(single(i)["image"].data) for i in range(4)]
    options = singles(4).decode(mode="unchanged").pack(os.fspath(tmp_path / "options"), quiet=True)
    assert [bytes(options.plan.source.read(i)["image"].data) for i in range(4)] == [bytes(single(i)["image"].data) for i in range(4)]


def with_mean(sample):
    return {**sample, "mean": float(sample["image"].float().mean())}


def test_images_come_as_images():
    assert all(isinstance(s["image"], Image) for s in singles(11))
