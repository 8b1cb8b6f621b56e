"""Transforms that choose a canvas: their sizes against torchvision's and exact arithmetic, and what they do to every type."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from vdata import Key
from vdata import transforms as T
from vdata.batch import Batch, Ragged, collate
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.transforms import Info, functional, params_from_json, params_to_json, row
from vdata.transforms.fixed_size_crop import FixedSizeCrop
from vdata.transforms.letterbox import Letterbox, letterbox
from vdata.transforms.longest import ResizeLongest
from vdata.transforms.pad_to_multiple import PadToMultiple
from vdata.transforms.random_resize import RandomResize, RandomShortestSize, ScaleJitter
from vdata.transforms.zoom_out import RandomZoomOut

SIZE = (21, 34)
sides = st.integers(1, 700)
CLASSES = [FixedSizeCrop, Letterbox, PadToMultiple, RandomResize, RandomShortestSize, RandomZoomOut, ResizeLongest, ScaleJitter]


def everything(size=SIZE, seed=0, objects=3):
    """A sample with every spatial type, and objects."""
    g = torch.Generator().manual_seed(seed)
    height, width = size
    low = (torch.rand(objects, 2, generator=g) * torch.tensor([width, height]) * 2.4).floor() / 4
    flow = torch.randn(2, *size, generator=g)
    flow[:, 2:4, 3:5] = torch.nan
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 5, 7, generator=g), size, mode="bilinear")[0]
    return {
        "image": Image((smooth * 255).to(torch.uint8)),
        "clip": Video((torch.stack([smooth, 1 - smooth]) * 255).to(torch.uint8)),
        "mask": Mask(torch.randint(0, 2**60, size, generator=g), frame="image"),
        "flow": Flow(flow, views=("image", "image2")),
        "boxes": BoundingBoxes(torch.cat([low, low + 5], 1), format="XYXY", canvas_size=size, frame="image"),
        "labels": Label(torch.arange(objects)),
        "masks": Mask(torch.rand(objects, *size, generator=g) > 0.5, kind="instance", frame="image"),
        "keypoints": KeyPoints(torch.randint(0, 80, (objects, 4, 2), generator=g) / 4, canvas_size=size, frame="image"),
    }


def close(got, want, name=""):
    if isinstance(want, TypedTensor):
        assert type(got) is type(want) and got.dtype == want.dtype and got.shape == want.shape and got.canvas == want.canvas, name
        level = 1 if not want.is_floating_point() and not isinstance(want, (Mask, Label)) else 2e-5
        a, b = (v.plain().double().nan_to_num(1e6) for v in (got, want))
        assert not a.numel() or (a - b).abs().max() <= level, (name, float((a - b).abs().max()))
        if isinstance(want, Flow):
            assert got.target_size == want.target_size
    else:
        assert got == want, name


def batch_is_the_loop(transform, samples):
    count = len(samples)
    together = transform(collate(samples), key=Key.of(5, np.arange(count)))
    assert isinstance(together, Batch)
    for b, got in enumerate(together.samples()):
        alone = transform(samples[b], key=Key.of(5, b))
        assert set(got) == set(alone)
        for name in alone:
            close(got[name], alone[name], f"{name} of sample {b}")


def drawn(transform, size=SIZE, count=2000, **known):
    return transform.draw(Key.of(0, 0, np.arange(count)), Info({"image": np.tile([size], (count, 1))}, count=count, **known))


# Sizes


@pytest.mark.differs("RandomResize(n, n)", "raises RuntimeError", "resizes to n")
def test_random_resize_draws_below_max_size_and_where_both_are_equal_that():
    sizes = drawn(RandomResize(5, 9))["size"]
    assert set(sizes.tolist()) == {5, 6, 7, 8} and (np.bincount(sizes)[5:] > 400).all()
    with pytest.raises(RuntimeError):
        tv.RandomResize(7, 7)(torch.zeros(3, 8, 8))
    assert RandomResize(7, 7)(Image(torch.zeros(3, 8, 16))).shape == (3, 7, 14)
    for wrong in ((0, 4), (5, 4), (1.5, 4)):
        with pytest.raises(ValueError):
            RandomResize(*wrong)


def test_random_resize_is_torchvisions_on_the_same_params():
    sample, transform = everything(), RandomResize(4, 60, antialias=True)
    for b in range(8):
        params = row(drawn(transform), b)
        ours = transform.apply(params, sample)["image"].plain()
        assert torch.equal(ours, tvf.resize(sample["image"].plain(), [params["size"]]))


def shortest(size, least, most):
    """What RandomShortestSize promises, in fractions."""
    ratio = Fraction(least, min(size))
    ratio = ratio if most is None else min(ratio, Fraction(most, max(size)))
    return tuple(max(1, int(side * ratio)) for side in size)


@given(sides, sides, sides, st.one_of(st.none(), sides))
def test_shortest_size_is_exact_and_torchvisions_but_for_the_pixel_that_it_loses(height, width, least, most):
    transform = RandomShortestSize(least, most)
    ours = tuple(transform.canvas({"min_size": np.array([least])}, np.array([[height, width]]))[0].tolist())
    assert ours == shortest((height, width), least, most)
    theirs = tv.RandomShortestSize(least, most).make_params([torch.empty(3, height, width, device="meta")])["size"]
    exact = [side * Fraction(ours[i], side) == ours[i] for i, side in enumerate((height, width))]
    for mine, other, may in zip(ours, theirs, exact, strict=True):
        assert mine - other in ((0, 1) if may else (0,))


@pytest.mark.differs("RandomShortestSize", "rounding takes a pixel from the side asked for at some sizes", "the side comes out as asked")
def test_torchvision_loses_a_pixel_of_the_side_that_was_asked_for():
    assert tv.RandomShortestSize(15)(torch.zeros(3, 11, 22)).shape == (3, 14, 29)
    assert RandomShortestSize(15)(Image(torch.zeros(3, 11, 22))).shape == (3, 15, 30)


def test_shortest_size_draws_evenly_and_checks_its_arguments():
    counts = np.unique(drawn(RandomShortestSize([480, 512, 544]))["min_size"], return_counts=True)
    assert counts[0].tolist() == [480, 512, 544] and (counts[1] > 580).all()
    assert RandomShortestSize(1)(Image(torch.zeros(3, 90, 2))).shape == (3, 45, 1)
    assert RandomShortestSize([4], max_size=6)(Image(torch.zeros(3, 900, 2))).shape == (3, 6, 1)
    for wrong in ({"min_size": []}, {"min_size": "12"}, {"min_size": 0}, {"min_size": 4, "max_size": 0}):
        with pytest.raises(ValueError):
            RandomShortestSize(**wrong)


@pytest.mark.parametrize("target", [(64, 64), (48, 90)])
def test_scale_jitter_is_torchvisions_with_the_target_the_other_way_round(monkeypatch, target):
    transform, theirs = ScaleJitter(target), tv.ScaleJitter((target[1], target[0]))
    params, agreed = drawn(transform), 0
    sizes = transform.canvas(params, np.tile([SIZE], (2000, 1)))
    unit = (params["scale"] - 0.1) / 1.9
    for b in range(300):
        monkeypatch.setattr(torch, "rand", lambda *_, b=b: torch.tensor([unit[b]], dtype=torch.float32))
        size = theirs.make_params([torch.empty(3, *SIZE, device="meta")])["size"]
        exact = np.array(SIZE) * (min(target[0] / SIZE[0], target[1] / SIZE[1]) * params["scale"][b])
        whole = np.abs(exact - np.rint(exact)).min() < 1e-4  # torchvision multiplies in float32
        agreed += sizes[b].tolist() == list(size)
        assert whole or sizes[b].tolist() == list(size)
    assert agreed > 290 and 0.1 <= params["scale"].min() < 0.12 and 1.98 < params["scale"].max() <= 2


@pytest.mark.differs("ScaleJitter(target_size)", "(width, height), unlike every other size", "(height, width); the same for squares")
def test_scale_jitter_takes_height_and_width_and_fits_exactly_at_scale_one():
    image = Image(torch.zeros(3, 30, 30))
    assert ScaleJitter((10, 40), (1, 1))(image).shape == (3, 10, 10)
    assert ScaleJitter((40, 10), (1, 1))(image).shape == (3, 10, 10)
    assert ScaleJitter((20, 60), (1, 1))(Image(torch.zeros(3, 10, 30))).shape == (3, 20, 60)
    tall = torch.zeros(3, 30, 10)
    assert ScaleJitter((60, 20), (1, 1))(Image(tall)).shape == (3, 60, 20) == tv.ScaleJitter((20, 60), (1, 1))(tall).shape
    for size in (49, 161, 487):  # 1024 / side * side is a hair less than 1024 for some
        assert ScaleJitter(1024, (1, 1)).canvas({"scale": np.ones(1)}, np.array([[size, size]])).tolist() == [[1024, 1024]]


@pytest.mark.differs("ScaleJitter of small canvases", "raises where a side rounds to 0", "sides of at least 1")
def test_scale_jitter_never_makes_a_side_of_nothing():
    with pytest.raises(RuntimeError):
        tv.ScaleJitter((4, 4), (0.1, 0.1))(torch.zeros(3, 8, 8))
    assert ScaleJitter((4, 4), (0.1, 0.1))(Image(torch.zeros(3, 8, 8))).shape == (3, 1, 1)
    for wrong in ({"target_size": 0}, {"target_size": 4, "scale_range": (2, 1)}, {"target_size": 4, "interpolation": "box"}):
        with pytest.raises(ValueError):
            ScaleJitter(**wrong)


def test_zoom_out_is_torchvisions_on_the_same_draws(monkeypatch):
    transform, theirs, agreed = RandomZoomOut(fill=9, p=1.0), tv.RandomZoomOut(fill=9, p=1.0), 0
    sample, params = everything(), drawn(transform)
    boxes = tv_tensors.BoundingBoxes(sample["boxes"].plain(), format="XYXY", canvas_size=SIZE)
    for b in range(60):
        one = row(params, b)
        draws = iter([torch.tensor([(one["scale"] - 1) / 3], dtype=torch.float32), torch.tensor([one["left"], one["top"]], dtype=torch.float32)])
        monkeypatch.setattr(torch, "rand", lambda *_, draws=draws: next(draws))
        padding = theirs.make_params([sample["image"].plain()])["padding"]
        agreed += (same := list(transform.place(one, SIZE)["padding"]) == padding)
        if same:
            out = transform.apply(one, sample)
            assert torch.equal(out["image"].plain(), theirs.transform(sample["image"].plain(), {"padding": padding}))
            assert torch.equal(out["boxes"].plain(), theirs.transform(boxes, {"padding": padding}).as_subclass(torch.Tensor))
    assert agreed > 55  # torchvision multiplies in float32


def test_zoom_out_draws_and_leaves_the_rest_alone():
    params = drawn(RandomZoomOut(side_range=(1, 3), p=0.25))
    assert abs(params["apply"].mean() - 0.25) < 0.03 and 1 <= params["scale"].min() < 1.01 and 2.97 < params["scale"].max() < 3
    assert abs(np.corrcoef(params["top"], params["left"])[0, 1]) < 0.07
    sample = everything()
    assert RandomZoomOut(p=0)(sample)["image"] is sample["image"]
    out = RandomZoomOut(fill={"Image": 200, "Mask": 1}, side_range=(3, 3), p=1.0)(sample, key=Key.of(3))
    assert out["image"].canvas == out["boxes"].canvas == out["flow"].target_size == (63, 102)
    assert int((out["image"].plain() == 200).all(0).sum()) >= 8 * 21 * 34 and int((out["mask"].plain() == 1).sum()) == 8 * 21 * 34
    assert int(out["flow"].valid.sum()) == int(sample["flow"].valid.sum())
    for wrong in ({"side_range": (0.5, 2)}, {"side_range": (3, 2)}, {"p": 1.5}, {"fill": "red"}):
        with pytest.raises(ValueError):
            RandomZoomOut(**wrong)


def test_longest_is_resize_without_a_shorter_side():
    sample = everything()
    for length in (5, 34, 90):
        ours, same = ResizeLongest(length)(sample), T.Resize(None, max_size=length)(sample)
        assert max(ours["image"].canvas) == length
        for name in sample:
            close(ours[name], same[name], name)
        assert torch.equal(ours["image"].plain(), tvf.resize(sample["image"].plain(), None, max_size=length))
    with pytest.raises(ValueError):
        ResizeLongest(0)


# Letterbox and padding


def yolo(image, size):
    """YOLOv5's letterbox: what it resizes to and the border that it adds, (left, top, right, bottom)."""
    ratio = min(size[0] / image.shape[-2], size[1] / image.shape[-1])
    new = round(image.shape[-2] * ratio), round(image.shape[-1] * ratio)
    dw, dh = (size[1] - new[1]) / 2, (size[0] - new[0]) / 2
    return new, (round(dw - 0.1), round(dh - 0.1), round(dw + 0.1), round(dh + 0.1))


@pytest.mark.parametrize("size", [(64, 64), (40, 100), (17, 13), (21, 34), (96, 33)])
def test_letterbox_is_resize_then_pad_as_yolo_has_it(size):
    sample = everything()
    out = Letterbox(size)(sample)
    new, border = yolo(sample["image"], size)
    want = tvf.pad(tvf.resize(sample["image"].plain(), list(new)), list(border), fill=114)
    assert torch.equal(out["image"].plain(), want) and out["image"].canvas == size
    two = T.Compose([T.Resize(new), T.Pad(border)])(sample)
    for name in sample:
        if name not in ("image", "clip"):
            close(out[name], two[name], name)
    corner = Letterbox(size, fill=0, center=False)(sample)
    for name, want in T.Compose([T.Resize(new), T.Pad((0, 0, size[1] - new[1], size[0] - new[0]))])(sample).items():
        close(corner[name], want, name)


def test_letterbox_does_not_make_larger_where_it_must_not():
    out = Letterbox((50, 61), upscale=False, fill=7)(everything())
    assert torch.equal(out["image"].plain()[:, 14:35, 13:47], everything()["image"].plain())
    assert (out["image"].plain()[:, :14] == 7).all() and (out["image"].plain()[..., 47:] == 7).all()
    assert torch.equal(letterbox(everything()["image"], 21, upscale=True), letterbox(everything()["image"], 21, upscale=False))
    assert Letterbox((1, 900))(Image(torch.zeros(3, 400, 3, dtype=torch.uint8))).shape == (3, 1, 900)


def test_letterbox_of_float_pictures_asks_for_a_fill_that_they_can_show():
    image = Image(torch.zeros(3, 4, 8))
    with pytest.raises(PlanError, match=r"would fill 'x', a Image of float32 in 0..1, with 114"):
        Letterbox(8, fill=114)({"x": image})
    assert Letterbox(8)({"x": image})["x"].amax() == pytest.approx(114 / 255)
    assert Letterbox(8)({"x": Image(torch.zeros(1, 4, 8, dtype=torch.uint8))})["x"].amax() == 114
    assert Letterbox(8, fill=114 / 255)({"x": image})["x"].amax() == pytest.approx(114 / 255)
    assert Letterbox(8, fill={"Mask": 255})({"x": image})["x"].amax() == 0
    both = T.Compose([Letterbox(8), T.ToDtype(torch.float32, scale=True)])({"x": Image(image.plain().byte())})
    assert both["x"].amax() == pytest.approx(114 / 255)
    assert not Letterbox(8).random and RandomResize(3, 5).random
    for wrong in ({"size": 0}, {"size": 4, "interpolation": "box"}, {"size": 4, "fill": "pink"}):
        with pytest.raises(ValueError):
            Letterbox(**wrong)


def test_letterbox_in_a_fused_chain_is_close_to_the_chain():
    sample = everything()
    sample = {n: sample[n] for n in ("image", "boxes", "keypoints")}
    chain = [Letterbox((60, 50)), T.CenterCrop((40, 44)), T.RandomHorizontalFlip(1.0)]
    fused, plain = T.Compose(chain, fuse=True)(sample, key=Key.of(1)), T.Compose(chain)(sample, key=Key.of(1))
    for name in sample:
        close(fused[name], plain[name], name)


def raft_padding(size, mode):
    """RAFT's InputPadder, for a multiple of 8: (left, right, top, bottom) as torch's pad takes them."""
    height, width = size
    down, across = (((height // 8) + 1) * 8 - height) % 8, (((width // 8) + 1) * 8 - width) % 8
    if mode == "sintel":
        return [across // 2, across - across // 2, down // 2, down - down // 2]
    return [across // 2, across - across // 2, 0, down]


@given(st.integers(1, 40), st.integers(1, 40))
def test_pad_to_multiple_is_rafts_input_padder(height, width):
    image = torch.rand(3, height, width)
    for mode in ("sintel", "kitti"):
        want = torch.nn.functional.pad(image[None], raft_padding((height, width), mode), mode="replicate")[0]
        assert torch.equal(PadToMultiple(8, mode)(Image(image)).plain(), want)
    corner = PadToMultiple(8, "right_bottom")(Image(image)).plain()
    assert torch.equal(corner[:, :height, :width], image) and corner.shape[1] % 8 == corner.shape[2] % 8 == 0


def test_pad_to_multiple_knows_two_sides_and_what_is_new():
    out = PadToMultiple((16, 5), padding_mode="constant", fill=3)(everything())
    assert out["image"].canvas == out["boxes"].canvas == out["flow"].target_size == (32, 35)
    assert (out["image"].plain()[:, :5] == 3).all() and int(out["flow"].valid.sum()) == int(everything()["flow"].valid.sum())
    assert torch.equal(PadToMultiple(1)(everything())["image"], everything()["image"])
    for wrong in ({"multiple": 0}, {"multiple": 8, "mode": "left"}, {"multiple": 8, "padding_mode": "wrap"}, {"multiple": 8, "fill": "x"}):
        with pytest.raises(ValueError):
            PadToMultiple(**wrong)


@pytest.mark.parametrize("mode", ["sintel", "kitti", "right_bottom"])
def test_predictions_on_the_padded_canvas_come_back_exactly(mode):
    sample, transform = everything(), PadToMultiple(8, mode)
    sample = {n: sample[n] for n in ("image", "flow", "mask", "boxes", "keypoints")}
    params, info = transform.draw(Key.of(0), Info.of([sample])), Info.of([sample])
    back = transform.inverse(params, transform(sample), info)
    for name in sample:
        assert torch.equal(back[name].plain().nan_to_num(9e9), sample[name].plain().nan_to_num(9e9)), name
        assert back[name].canvas == SIZE
    assert back["flow"].target_size == SIZE


# FixedSizeCrop


def test_fixed_size_crop_cuts_what_is_too_large_and_pads_the_rest():
    sample = everything()
    for size in ((10, 12), (10, 50), (40, 12), (30, 50)):
        transform = FixedSizeCrop(size, fill=5, instances=("boxes",))
        params = row(transform.draw(Key.of(4), Info.of([sample])), 0)
        out = transform.apply(params, sample)
        right, below = max(size[1] - SIZE[1], 0), max(size[0] - SIZE[0], 0)
        window = tvf.crop(sample["image"].plain(), params["top"], params["left"], min(size[0], SIZE[0]), min(size[1], SIZE[1]))
        assert torch.equal(out["image"].plain(), tvf.pad(window, [0, 0, right, below], fill=5))
        assert all(v.canvas == size for v in out.values() if not isinstance(v, Label)) and out["flow"].target_size == size
        assert torch.allclose(out["keypoints"].plain(), sample["keypoints"].plain() - torch.tensor([params["left"], params["top"]]), atol=1e-5)
    edge = FixedSizeCrop((30, 50), padding_mode="edge")(sample)["image"].plain()
    assert torch.equal(edge, tvf.pad(sample["image"].plain(), [0, 0, 16, 9], padding_mode="edge"))


def test_fixed_size_crop_draws_both_offsets():
    """The references of torchvision and detectron2 draw one number for both: a correlation of one."""
    params = drawn(FixedSizeCrop(10), (60, 110))
    assert params["top"].min() == 0 and params["top"].max() == 50 and params["left"].min() == 0 and params["left"].max() == 100
    assert abs(np.corrcoef(params["top"], params["left"])[0, 1]) < 0.07
    with pytest.raises(PlanError, match="one size"):
        FixedSizeCrop(4)({"a": Image(torch.zeros(3, 8, 8)), "b": Image(torch.zeros(3, 8, 9))})


@pytest.mark.parametrize("format", ["XYXY", "XYWH", "CXCYWH", "XYWHR", "CXCYWHR", "XYXYXYXY"])
def test_fixed_size_crop_drops_the_objects_that_are_gone_with_all_that_describes_them(format):
    upright = torch.tensor([[1.0, 1, 6, 6], [12, 12, 18, 19], [9, 9, 12, 12], [3, 3, 3, 5], [10, 0, 14, 4]])
    boxes = functional.convert_bounding_box_format(upright, "XYXY", format)
    gone = [True, False, True, False, False]  # of a canvas that ends at 10; the fourth had no area before
    sample = {
        "image": Image(torch.zeros(3, 20, 20)),
        "boxes": BoundingBoxes(boxes, format=format, canvas_size=(20, 20)),
        "labels": Label(torch.arange(5), categories=tuple("abcde")),
        "masks": Mask(torch.arange(5)[:, None, None].expand(5, 20, 20), kind="instance"),
        "mask": Mask(torch.zeros(20, 20, dtype=torch.uint8)),
        "keypoints": KeyPoints(torch.arange(5.0)[:, None, None].expand(5, 3, 2), canvas_size=(20, 20), visibility=torch.ones(5, 3)),
        "points": KeyPoints(torch.zeros(5, 2), canvas_size=(20, 20)),
    }
    transform = FixedSizeCrop(10)
    out = transform.apply({"top": 0, "left": 0}, sample)
    kept = torch.tensor(gone).nonzero()[:, 0]
    assert out["labels"].tolist() == kept.tolist() and out["labels"].categories == tuple("abcde")
    assert out["masks"][:, 0, 0].tolist() == kept.tolist() and out["keypoints"].visibility.shape == (2, 3)
    assert out["keypoints"][:, 0, 0].tolist() == kept.tolist() and len(out["boxes"]) == 2 and len(out["points"]) == 5
    uncut = {**sample, "boxes": sample["boxes"].like(boxes, clamping_mode=None)}
    assert transform.apply({"top": 0, "left": 0}, uncut)["labels"].tolist() == kept.tolist()
    none = {n: v[:0] if n in ("boxes", "labels", "masks", "keypoints") else v for n, v in sample.items()}
    assert len(transform(none)["boxes"]) == 0


def test_a_turned_box_is_gone_when_it_is_though_its_hull_is_not():
    turned = BoundingBoxes([[14.0, 14.0, 12.0, 2.0, 45.0]], format="CXCYWHR", canvas_size=(20, 20))
    sample = {"boxes": turned, "labels": Label([3])}
    assert FixedSizeCrop(11)(sample | {"image": Image(torch.zeros(1, 20, 20))}, key=Key.of(0))["image"].canvas == (11, 11)
    assert len(FixedSizeCrop(11).apply({"top": 0, "left": 0}, sample)["labels"]) == 0  # the hull reaches to 9
    assert len(FixedSizeCrop(15).apply({"top": 0, "left": 0}, sample)["labels"]) == 1


def test_large_scale_jitter():
    transform = T.Compose([ScaleJitter((32, 40)), FixedSizeCrop((32, 40), fill=127), T.RandomHorizontalFlip()])
    sample = everything(objects=6)
    for seed in range(20):
        out = transform(sample, key=Key.of(seed))
        assert all(v.canvas == (32, 40) for v in out.values() if not isinstance(v, Label))
        assert len(out["boxes"]) == len(out["labels"]) == len(out["masks"]) == len(out["keypoints"])
        size = out["boxes"].plain()[:, 2:] - out["boxes"].plain()[:, :2]
        assert (size > 0).all()
    batch_is_the_loop(transform, [everything((20 + b, 41 - b), b, objects=b) for b in range(6)])
    fused = T.Compose(transform.transforms, fuse=True)
    for seed in range(4):
        for name, want in transform(sample, key=Key.of(seed)).items():
            close(fused(sample, key=Key.of(seed))[name], want, name)


def test_what_is_not_one_row_an_object_is_said():
    sample = {"image": Image(torch.zeros(3, 8, 8)), "boxes": BoundingBoxes(torch.zeros(2, 4), format="XYXY", canvas_size=(8, 8))}
    with pytest.raises(PlanError, match="'boxes': 2, 'labels': 3"):
        FixedSizeCrop(4)({**sample, "labels": Label([1, 2, 3])})
    with pytest.raises(PlanError, match="'boxes': 2, 'labels': 3"):
        FixedSizeCrop(4)(collate([{**sample, "labels": Label([1, 2])}, {**sample, "labels": Label([1, 2, 3])}]))
    with pytest.raises(PlanError, match="'labels' is a list"):
        FixedSizeCrop(4)({**sample, "labels": ["cat", "dog"]})
    assert len(FixedSizeCrop(4, instances=("boxes",))({**sample, "labels": Label([1, 2, 3])})["labels"]) == 3
    with pytest.raises(ValueError):
        FixedSizeCrop(4, instances="boxes")
    with pytest.raises(ValueError):
        FixedSizeCrop(0)


# All of them


TRANSFORMS = [
    RandomResize(8, 30), RandomShortestSize([6, 11, 20], 40), ScaleJitter((24, 40), (0.3, 1.5)), RandomZoomOut(3, (1, 2), 0.7),
    FixedSizeCrop((16, 30)), FixedSizeCrop((30, 24), 9, "edge"), Letterbox((24, 40), {"others": 1}), Letterbox(19, 0, False, False),
    ResizeLongest(20), PadToMultiple(8), PadToMultiple((4, 16), "kitti", "constant", 3),
]  # fmt: skip


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_a_batch_is_the_loop(transform):
    batch_is_the_loop(transform, [everything(seed=b, objects=b % 3) for b in range(6)])
    batch_is_the_loop(transform, [everything((17 + b // 2, 20 + 5 * (b % 2)), b, objects=2) for b in range(6)])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_canvases_are_foretold_and_params_and_transforms_are_values(transform):
    samples = [everything((17 + b, 30 - 2 * b), b) for b in range(5)]
    info = Info.of(samples)
    params = transform.draw(Key.of(1, np.arange(5)), info)
    after = transform.after(params, info)
    for b, sample in enumerate(samples):
        one = params_from_json(params_to_json(row(params, b)))
        out = transform.apply(one, sample)
        assert out["image"].canvas == tuple(after.sizes["image"][b].tolist()) and out["flow"].target_size == tuple(after.sizes["image2"][b].tolist())
        for leaf in sample:
            close(transform(sample, key=Key(Key.of(1, b).bits))[leaf], transform(sample, key=Key.of(1, b))[leaf], leaf)
    assert T.from_json(T.to_json(transform), classes=CLASSES) == transform
    assert hash(transform) == hash(type(transform)(**{f: getattr(transform, f) for f in transform.__dataclass_fields__}))


@pytest.mark.parametrize("transform", [RandomResize(8, 30), RandomShortestSize([6, 11], 40), ScaleJitter(24), ResizeLongest(50), Letterbox((33, 40), 0)], ids=repr)
def test_flow_takes_the_exact_ratio_of_each_axis(transform):
    """A flow of (3, 2) everywhere: after the move (3 W'/W, 2 H'/H) of the sides that came out, not of the ratio drawn."""
    flow = torch.tensor([3.0, 2.0])[:, None, None].expand(2, *SIZE)
    out = transform({"flow": Flow(flow), "p": KeyPoints([[0.0, 0.0], [34.0, 21.0]], canvas_size=SIZE)}, key=Key.of(2))
    across, down = (out["p"][1] - out["p"][0]).tolist()
    known = out["flow"].plain()[:, out["flow"].valid.plain()]
    assert torch.allclose(known, torch.tensor([3 * across / 34, 2 * down / 21])[:, None], atol=1e-5)
    assert known.numel() and across == int(across) and down == int(down)


@pytest.mark.parametrize("transform", [RandomResize(8, 30), RandomShortestSize(11), ScaleJitter(24), RandomZoomOut(p=1.0), Letterbox(30, 0), ResizeLongest(9), PadToMultiple(8)], ids=repr)
def test_frames_of_unequal_sizes_each_move_by_their_own(transform):
    sample = {"image": Image(torch.zeros(3, 20, 30)), "image2": Image(torch.zeros(3, 10, 15)), "flow": Flow(torch.zeros(2, 20, 30), views=("image", "image2"), target_size=(10, 15))}
    out = transform(sample, key=Key.of(1))
    assert out["flow"].canvas == out["image"].canvas and out["flow"].target_size == out["image2"].canvas
    batch = transform(collate([sample, sample]), key=Key.of(1, np.arange(2)))
    assert isinstance(batch["image2"], (Image, Ragged))
