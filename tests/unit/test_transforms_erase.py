"""Erased rectangles against torchvision; flows become unknown where their first frame is erased; a batch is its samples."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from vdata import Key
from vdata.batch import Ragged, collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import Compose, Info, params_from_json, params_to_json, row
from vdata.transforms.dropout import CoarseDropout
from vdata.transforms.erase import RandomErasing, erase

SIZE = (24, 36)
EVERY = [
    RandomErasing(1), RandomErasing(0.6, value=(0.1, 0.2, 0.3)), RandomErasing(0.7, value="random"), RandomErasing(0.7, frames=("image2",)),
    CoarseDropout(p=1), CoarseDropout((2, 3), 0.3, fill="random", p=0.7), CoarseDropout(4, (0.1, 0.6), frames=("image1",)),
]  # fmt: skip


def pair(dtype=torch.float32, size=SIZE, seed=0):
    """Two frames and all that may lie on them; no pixel is 0."""
    g = torch.Generator().manual_seed(seed)
    raster = lambda *shape: (torch.rand(*shape, *size, generator=g) * 0.5 + 0.4) if dtype.is_floating_point else torch.randint(90, 110, (*shape, *size), generator=g).to(dtype)
    return {
        "image1": Image(raster(3)), "image2": Image(raster(3)), "flow": Flow(torch.randn(2, *size, generator=g)),
        "backward": Flow(torch.randn(2, *size, generator=g), views=("image2", "image1")),
        "mask": Mask(torch.randint(0, 9, size, generator=g), frame="image1"),
        "boxes": BoundingBoxes(torch.ones(seed % 3, 4), format="XYXY", canvas_size=size, frame="image1"),
        "points": KeyPoints(torch.ones(2, 2), canvas_size=size, frame="image2"),
    }  # fmt: skip


def same(a, b):
    return type(a) is type(b) and a.dtype == b.dtype and torch.equal(a.plain().nan_to_num(7e6), b.plain().nan_to_num(7e6))


# ---- the verb


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
def test_erase_is_torchvisions(dtype):
    x = pair(dtype)["image1"].plain()
    for v in (torch.full((3, 5, 4), 9).to(dtype), torch.tensor([1.0, 2.0, 3.0])[:, None, None], torch.tensor(0.0)[None, None, None]):
        assert torch.equal(erase(x, 3, 6, 5, 4, v), tvf.erase(x, 3, 6, 5, 4, v.to(dtype)))
    assert torch.equal(erase(x, 3, 6, 5, 4, (1, 2, 3)), erase(x, 3, 6, 5, 4, torch.tensor([1.0, 2.0, 3.0])[:, None, None]))
    clip = Video(x[None].repeat(2, 1, 1, 1))
    out = erase(clip, 0, 0, *SIZE, 7)
    assert type(out) is Video and (out == 7).all() and not (clip == 7).any()


def test_erase_in_place_writes_and_otherwise_does_not():
    for x in (torch.rand(3, *SIZE), Image(torch.rand(3, *SIZE)), Flow(torch.ones(2, *SIZE))):
        before = x.clone()
        out = erase(x, 1, 2, 3, 4, 5.0)
        assert same(Image(x), Image(before)) if type(x) is torch.Tensor else same(x, before)
        assert type(out) is type(x) and out.data_ptr() != x.data_ptr()
        out = erase(x, 1, 2, 3, 4, 5.0, inplace=True)
        assert out.data_ptr() == x.data_ptr() and not torch.equal(x[..., 1:4, 2:6], before[..., 1:4, 2:6])


@pytest.mark.differs("erase beyond the border", "wraps round or is cut silently", "raises ValueError")
@pytest.mark.differs("erase with a value that the dtype cannot hold", "wraps round: 300 becomes 44", "raises ValueError")
def test_wrong_erasures_say_so():
    x = torch.zeros(3, *SIZE, dtype=torch.uint8)
    assert tvf.erase(x, 0, 0, 2, 2, torch.tensor(300))[0, 0, 0] == 44
    assert (tvf.erase(x, -2, 0, 2, 2, torch.tensor(3)) == 0).all()  # nothing erased at all
    for where in ((-2, 0, 2, 2), (0, 35, 2, 2), (23, 0, 2, 2), (0.5, 0, 2, 2)):
        with pytest.raises(ValueError, match="rectangle"):
            erase(x, *where, 3)
    for v in (300, -1, (1, 2, 300), torch.tensor(300), torch.tensor([-1.0])):
        with pytest.raises(ValueError, match="cannot hold"):
            erase(x, 0, 0, 2, 2, v)
    with pytest.raises(ValueError, match="2 numbers"):
        erase(x, 0, 0, 2, 2, (1, 2))
    with pytest.raises(ValueError, match="3 rectangles"):
        erase(x[None], np.zeros(3, int), 0, 2, 2, 0)
    with pytest.raises(NoKernelError, match="Mask"):
        erase(Mask(torch.zeros(SIZE)), 0, 0, 2, 2, 0)


@given(st.integers(0, 2**32))
def test_a_rectangle_a_row_is_the_loop(seed):
    key = Key.of(seed)
    i, j = key.fold("i").integers(0, 20, 4)[0], key.fold("j").integers(0, 30, 4)[0]
    h, w = key.fold("h").integers(0, 5, 4)[0], key.fold("w").integers(0, 7, 4)[0]
    for x in (Image(torch.rand(4, 3, *SIZE)), Video(torch.rand(4, 2, 3, *SIZE)), Flow(torch.rand(4, 2, *SIZE))):
        out = erase(x, i, j, h, w, (5, 6, 7))
        inplace = x.clone()
        erase(inplace, i, torch.from_numpy(j), h, w, (5, 6, 7), inplace=True)
        for b in range(4):
            assert same(out[b], erase(x[b], int(i[b]), int(j[b]), int(h[b]), int(w[b]), (5, 6, 7)))
            assert same(inplace[b], out[b])


# ---- what is erased, and what follows


@pytest.mark.differs("RandomErasing of optical flow", "has no flow: a target stays where nothing shows it any more", "unknown (NaN) where its first frame is erased")
def test_a_flow_is_unknown_where_its_first_frame_is_erased_and_labels_stay():
    sample = pair()
    for t in (RandomErasing(1, (0.2, 0.3)), CoarseDropout(3, 0.4, p=1)):
        out = t(sample, key=Key.of(5))
        hole = (out["image1"].plain() == 0).all(0)
        assert 0.02 < hole.float().mean() < 0.6 and torch.equal(hole, (out["image2"].plain() == 0).all(0))
        for name in ("flow", "backward"):  # both frames are erased, so both flows lose it
            assert torch.equal(out[name].valid.plain(), ~hole)
            assert torch.equal(out[name].plain()[:, ~hole], sample[name].plain()[:, ~hole])
        assert all(out[n] is sample[n] for n in ("mask", "boxes", "points"))


@pytest.mark.parametrize("make", [lambda frames: RandomErasing(1, frames=frames), lambda frames: CoarseDropout(3, 0.3, p=1, frames=frames)], ids=["erasing", "dropout"])
@pytest.mark.differs("RandomErasing of one of several pictures", "always all of them", "frames=(names)")
def test_erasing_the_second_frame_leaves_the_flow(make):
    sample = pair()
    out = make(("image2",))(sample, key=Key.of(5))
    assert out["image1"] is sample["image1"] and out["flow"] is sample["flow"]
    hole = (out["image2"].plain() == 0).all(0)
    assert hole.any() and torch.equal(out["backward"].valid.plain(), ~hole)
    out = make(["image1"])(sample, key=Key.of(5))
    assert out["image2"] is sample["image2"] and out["backward"] is sample["backward"] and not out["flow"].valid.all()


def test_frames_of_other_sizes_and_names_that_are_not_there_raise():
    sample = {**pair(), "image2": Image(torch.rand(3, 30, 40))}
    del sample["flow"], sample["backward"], sample["points"]
    for t in (RandomErasing(1), CoarseDropout(p=1)):
        with pytest.raises(PlanError, match="bring them to one size"):
            t(sample)
    out = RandomErasing(1, frames=("image2",))(sample, key=Key.of(1))
    assert out["image1"] is sample["image1"] and (out["image2"] == 0).any()
    with pytest.raises(PlanError, match="'image3'"):
        RandomErasing(1, frames=("image3",))(sample)
    with pytest.raises(NoKernelError, match="heat"):
        Compose([RandomErasing(1)])({**sample, "heat": torch.zeros(SIZE)})
    sample["image3"] = sample["image1"]
    del sample["boxes"], sample["mask"]
    out = CoarseDropout(p=1, frames=("image1", "image3"))(sample, key=Key.of(2))
    assert torch.equal(out["image1"].plain(), out["image3"].plain()) and out["image2"] is sample["image2"]


@pytest.mark.differs("RandomErasing(inplace=True)", "as asked", "as asked; a batch, which others may hold, is copied")
def test_only_inplace_writes_to_the_users_picture():
    for inplace in (False, True):
        sample = pair()
        before = {n: v.clone() for n, v in sample.items()}
        out = RandomErasing(1, inplace=inplace)(sample, key=Key.of(3))
        assert same(sample["image1"], before["image1"]) is not inplace
        assert (out["image1"] is sample["image1"]) is inplace and same(sample["flow"], before["flow"])
        batch = collate([pair(), pair(seed=1)])
        held = batch["image1"].clone()
        out = RandomErasing(0.5, inplace=inplace)(batch, key=Key.of(0, 0, [1, 3]))
        assert same(batch["image1"], held) and not same(out["image1"], held)
    x, y = torch.rand(3, *SIZE), tv_tensors.Image(torch.rand(3, *SIZE))
    assert RandomErasing(1, inplace=True)(x).data_ptr() == x.data_ptr() and tv.RandomErasing(1, inplace=True)(y).data_ptr() == y.data_ptr()


# ---- what is drawn


def drawn(t, size=SIZE, count=4000):
    return t.draw(Key.of(0, 0, np.arange(count)), Info.of([{"image": Image(torch.zeros(3, *size))}]).take([0] * count))


def test_random_erasing_draws_as_torchvision_does():
    params = drawn(RandomErasing(1), (64, 96))
    theirs = tv.RandomErasing(1)
    torch.manual_seed(0)
    made = [theirs.make_params([torch.zeros(3, 64, 96)]) for _ in range(1500)]
    for name, mine in {"h": "height", "w": "width", "i": "top", "j": "left"}.items():
        a, b = params[mine], np.array([m[name] for m in made])
        for q in (0.1, 0.25, 0.5, 0.75, 0.9):
            assert abs(np.quantile(a, q) - np.quantile(b, q)) <= 3.5, (name, q)
    area = params["height"] * params["width"] / (64 * 96)
    assert 0.015 < area.min() < 0.025 and 0.32 < area.max() < 0.345
    assert (params["height"] < 64).all() and (params["width"] < 96).all()
    assert (params["top"] + params["height"] <= 64).all() and (params["left"] + params["width"] <= 96).all()
    image, one = torch.rand(3, 64, 96), row(params, 7)
    v = torch.tensor([0.25])[:, None, None]
    expected = tvf.erase(image, one["top"], one["left"], one["height"], one["width"], v)
    assert torch.equal(RandomErasing(1, value=0.25).apply(one, {"x": Image(image)})["x"].plain(), expected)


def test_what_does_not_fit_is_not_erased_and_p_is_how_often():
    wide = drawn(RandomErasing(1, (0.9, 1.0), (0.2, 0.3)))  # flat rectangles are wider than the canvas
    assert not wide["apply"].any()
    narrow = drawn(RandomErasing(1, (0.4, 0.8), (0.3, 3.3)), (10, 10))
    assert 0.98 < narrow["apply"].mean() < 1  # in ten draws one fits, but for a few
    assert abs(drawn(RandomErasing())["apply"].mean() - 0.5) < 0.03 and abs(drawn(CoarseDropout(p=0.2))["apply"].mean() - 0.2) < 0.03
    sample = {"image": Image(torch.ones(3, *SIZE))}
    assert RandomErasing(0)(sample)["image"] is sample["image"]


def test_holes_are_of_the_size_and_number_asked_for_and_cover_corners_as_often():
    t = CoarseDropout((2, 5), (0.2, 0.4), p=1)
    holes = drawn(t, (50, 100))["holes"]
    used = holes[..., 2] > 0
    assert set(used.sum(1).tolist()) == {2, 3, 4, 5} and holes.shape == (4000, 5, 4)
    top, left, height, width = np.moveaxis(holes[used], -1, 0)
    assert height.max() == 20 and width.max() == 40 and (top >= 0).all() and (top + height <= 50).all() and (left + width <= 100).all()
    inner = (top > 0) & (top + height < 50) & (left > 0) & (left + width < 100)
    assert height[inner].min() == 10 and width[inner].min() == 20
    single = drawn(CoarseDropout(1, 0.5, p=1), (32, 32))["holes"][:, 0]
    top, left, height, width = single.T
    assert {16} == set(height[(top > 0) & (top + height < 32)].tolist())
    corner, middle = ((top <= y) & (y < top + height) & (left <= x) & (x < left + width) for y, x in ((0, 0), (16, 16)))
    assert abs(middle.mean() - 0.25) < 0.03 and abs(corner.mean() - 0.0625) < 0.015  # as half a hole's sides fit
    assert (drawn(CoarseDropout(1, 0.001, p=1))["holes"][..., 2:] == 1).all()


@pytest.mark.differs("RandomErasing(value='random') of integers", "normal numbers cast: 0 or wrapped round", "any level, equally often")
def test_random_contents_are_normal_or_any_level_and_each_pictures_own():
    sample = pair()
    out = RandomErasing(1, (0.3, 0.33), value="random")(sample, key=Key.of(2))
    hole = ~out["flow"].valid.plain()
    numbers = torch.stack([out["image1"].plain()[:, hole], out["image2"].plain()[:, hole]])
    assert abs(numbers.mean()) < 0.1 and abs(numbers.std() - 1) < 0.1
    assert abs(torch.corrcoef(numbers.flatten(1))[0, 1]) < 0.1
    for dtype, white in {torch.uint8: 255, torch.uint16: 65535, torch.int32: 2**31 - 1}.items():
        image = torch.zeros(3, 60, 60, dtype=dtype)
        levels = CoarseDropout(1, 0.9, fill="random", p=1)(image, key=Key.of(2)).double()
        levels = levels[levels != 0] / white
        assert levels.max() > 0.99 and levels.max() <= 1 and abs(levels.mean() - 0.5) < 0.03
    theirs = tv.RandomErasing(1, value="random")(torch.full((3, 60, 60), 100, dtype=torch.uint8))
    assert set(theirs.unique().tolist()) <= {0, 1, 2, 3, 4, 100, 252, 253, 254, 255}


@pytest.mark.parametrize("make", [lambda: RandomErasing(2), lambda: RandomErasing(1, (0.5, 0.2)), lambda: RandomErasing(1, (0, 1.5)), lambda: RandomErasing(1, ratio=(0, 1)),
                                  lambda: RandomErasing(1, value="mean"), lambda: RandomErasing(1, value=()), lambda: RandomErasing(1, value=None), lambda: RandomErasing(1, frames="image2"),
                                  lambda: CoarseDropout(0), lambda: CoarseDropout((3, 2)), lambda: CoarseDropout(1, 1.5), lambda: CoarseDropout(fill="x"), lambda: CoarseDropout(p=-1)])  # fmt: skip
def test_wrong_arguments_fail_where_they_are_written(make):
    with pytest.raises(ValueError):
        make()


def test_a_value_that_does_not_fit_the_picture_raises():
    with pytest.raises(ValueError, match="3 numbers to erase with, but the picture has 1"):
        RandomErasing(1, value=(1, 2, 3))(torch.zeros(1, *SIZE))
    with pytest.raises(ValueError, match="cannot hold"):
        CoarseDropout(fill=300, p=1)(torch.zeros(3, *SIZE, dtype=torch.uint8))


# ---- batches


@pytest.mark.parametrize("ragged", [False, True], ids=["stacked", "ragged"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
@pytest.mark.parametrize("t", EVERY, ids=repr)
def test_a_batch_is_its_samples(t, dtype, ragged):
    if not dtype.is_floating_point and isinstance(t, RandomErasing) and isinstance(t.value, tuple):
        return
    sizes = [SIZE, (20, 31)] if ragged else [SIZE]
    alone = [pair(dtype, sizes[b % len(sizes)], b) for b in range(6)]
    keys = Key.of(0, 1, [3, 5, 8, 13, 21, 34])
    outs = [t(sample, key=keys[b]) for b, sample in enumerate(alone)]
    batch = collate(alone)
    held = {n: v.clone() for n, v in batch.items() if not isinstance(v, Ragged)}
    together = t(batch, key=keys)
    for b, out in enumerate(outs):
        assert all(same(together[name][b], leaf) for name, leaf in out.items())
    assert all(same(batch[n], v) for n, v in held.items())
    erased = sum(not same(out["image2"], s["image2"]) or not same(out["image1"], s["image1"]) for out, s in zip(outs, alone, strict=True))
    assert erased > 0 and (t.p == 1 or erased < 6)


def test_flows_from_different_frames_in_one_batch_are_told_apart():
    flow = torch.ones(2, *SIZE)
    alone = [{**pair(), "flow": Flow(flow, views=("image1", "image2") if b else ("image2", "image1"))} for b in range(2)]
    out = RandomErasing(1, frames=("image2",))(collate(alone), key=Key.of(0, 0, [1, 2]))
    assert not out["flow"][0].valid.all() and out["flow"][1].valid.all()


@pytest.mark.parametrize("t", EVERY, ids=repr)
def test_params_are_printed_saved_and_replayed(t):
    sample = pair()
    params = t.draw(Key.of(9), Info.of([sample]))
    again = row(params_from_json(params_to_json(params)), 0)
    a, b = t.apply(row(params, 0), sample), t.apply(again, sample)
    assert all(same(a[n], b[n]) for n in a) and eval(repr(t)) == t
