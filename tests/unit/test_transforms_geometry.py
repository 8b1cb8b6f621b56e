"""Geometry against torchvision, on the same parameters; and where we differ on purpose, why."""

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from vdata import Key
from vdata import transforms as T
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import Info, row
from vdata.transforms import functional as F

SIZE = (21, 34)
UNROTATED = ("XYXY", "XYWH", "CXCYWH")
ROTATED = ("XYWHR", "CXCYWHR", "XYXYXYXY")


def picture(dtype=torch.uint8, channels=3, size=SIZE, seed=0):
    x = torch.randint(0, 256, (channels, *size), generator=torch.Generator().manual_seed(seed))
    return (x / 255).to(dtype) if dtype.is_floating_point else x.to(dtype)


def boxes(format, dtype=torch.float32):
    """Boxes that lie inside of the canvas, so that torchvision's clamping changes nothing on the way in."""
    upright = torch.tensor([[2.0, 3.0, 10.5, 9.25], [0.0, 0.0, 34.0, 21.0], [20.0, 5.0, 30.0, 20.0]], dtype=torch.float64)
    if format in UNROTATED:
        return F.convert_bounding_box_format(upright, "XYXY", format).to(dtype)
    turned = torch.tensor([[12.0, 10.0, 8.0, 4.0, 30.0], [17.0, 10.0, 3.0, 9.0, -70.0], [15.0, 9.0, 6.0, 5.0, 0.0]], dtype=torch.float64)
    return F.convert_bounding_box_format(turned, "CXCYWHR", format).to(dtype)


def vertices(values, format):
    return F.convert_bounding_box_format(values.double(), format, "XYXYXYXY").reshape(-1, 4, 2)


def same_boxes(mine, theirs, atol):
    """Equal as sets of four corners: where a box's first corner is, is a matter of taste."""
    a, b = vertices(mine.plain(), mine.format), vertices(theirs.as_subclass(torch.Tensor), mine.format)
    turns = torch.stack([(torch.roll(a, k, 1) - b).abs().amax((1, 2)) for k in range(4)])
    assert turns.amin(0).max() < atol
    assert mine.canvas_size == tuple(theirs.canvas_size)


POINTS = torch.tensor([[0.0, 0.0], [4.25, 7.5], [33.0, 20.0], [40.0, -3.0]])

# A verb of torchvision's and of ours with the same arguments.
CALLS = {
    "hflip": ("horizontal_flip", {}),
    "vflip": ("vertical_flip", {}),
    "crop inside": ("crop", {"top": 3, "left": 5, "height": 11, "width": 20}),
    "crop over the edge": ("crop", {"top": -4, "left": 20, "height": 30, "width": 20}),
    "crop outside": ("crop", {"top": 30, "left": 50, "height": 3, "width": 4}),
    "center_crop": ("center_crop", {"output_size": [9, 12]}),
    "center_crop larger, even": ("center_crop", {"output_size": [31, 40]}),
    "center_crop one side larger": ("center_crop", {"output_size": [25, 7]}),
    "pad": ("pad", {"padding": [1, 2, 3, 4]}),
    "pad all": ("pad", {"padding": 3}),
    "resize": ("resize", {"size": [40, 50]}),
    "resize smaller": ("resize", {"size": [9, 13]}),
    "resize short side": ("resize", {"size": 8}),
    "resize max_size": ("resize", {"size": 20, "max_size": 25}),
    "resize None": ("resize", {"size": None, "max_size": 17}),
    "resize alike": ("resize", {"size": [42, 68]}),
    "resized_crop": ("resized_crop", {"top": 2, "left": 3, "height": 12, "width": 18, "size": [24, 36]}),
    "resized_crop over the edge": ("resized_crop", {"top": -2, "left": 25, "height": 20, "width": 20, "size": [10, 10]}),
}


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def call(request):
    name, arguments = request.param
    return getattr(F, name), getattr(tvf, name), arguments


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16], ids=str)
def test_pictures_and_clips_are_torchvisions_to_the_bit(call, dtype):
    mine, theirs, arguments = call
    x = picture(dtype)
    assert torch.equal(mine(x, **arguments), theirs(x, **arguments))
    typed = mine(Image(x), **arguments)
    assert type(typed) is Image and torch.equal(typed.plain(), theirs(x, **arguments))
    clip = torch.stack([picture(dtype, seed=s) for s in range(3)])
    moved = mine(Video(clip), **arguments)
    assert type(moved) is Video and torch.equal(moved.plain(), theirs(tv_tensors.Video(clip), **arguments))


@pytest.mark.parametrize("layout", ["planar", "interleaved", "cropped"])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_resize_in_every_mode_and_layout(mode, antialias, dtype, layout):
    if mode == "lanczos" and not antialias:
        with pytest.raises(ValueError, match="antialias"):
            F.resize(picture(dtype), [9, 9], mode, antialias=False)
        return
    x = picture(dtype)
    x = x.permute(1, 2, 0).contiguous().permute(2, 0, 1) if layout == "interleaved" else x
    x = x[..., 2:19, 3:30] if layout == "cropped" else x
    for size in ([9, 13], [40, 50], [17, 20]):
        assert torch.equal(F.resize(x, size, mode, antialias=antialias), tvf.resize(x, size, tv.InterpolationMode(mode), antialias=antialias))


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_padding_modes(mode, dtype):
    x = picture(dtype)
    for padding in (3, [5, 2], [20, 7, 33, 0]):
        assert torch.equal(F.pad(x, padding, padding_mode=mode), tvf.pad(x, padding, padding_mode=mode))
    mask = torch.randint(0, 2**62, SIZE)
    ours = F.pad(Mask(mask), [1, 2], padding_mode=mode)
    assert np.array_equal(ours.numpy(), np.pad(mask.numpy(), ((2, 2), (1, 1)), mode))
    assert F.pad(KeyPoints(POINTS, canvas_size=SIZE), [1, 2], padding_mode=mode)[1].tolist() == [5.25, 9.5]
    flow = F.pad(Flow(torch.ones(2, *SIZE)), [1, 2], padding_mode=mode)
    assert int(flow.valid.sum()) == SIZE[0] * SIZE[1] and flow.target_size == (25, 36)


def test_fill_is_a_number_one_a_channel_or_by_type():
    x = picture()
    assert torch.equal(F.pad(x, 2, fill=[1, 2, 3]), tvf.pad(x, 2, fill=[1, 2, 3]))
    assert torch.equal(F.pad(x, 2, fill=7.9), tvf.pad(x, 2, fill=7.9))
    mask = Mask(torch.ones(4, 4, dtype=torch.uint8), ignore_index=255)
    assert F.pad(mask, 1)[0, 0] == 255 and F.pad(mask, 1, fill=9)[0, 0] == 9
    sample = {"image": Image(x[..., :4, :4]), "mask": mask}
    out = T.Pad(1, fill=127)(sample)
    assert out["image"][0, 0, 0] == 127 and out["mask"][0, 0] == 255
    out = T.Pad(1, fill={tv_tensors.Mask: 3, "others": 5})(sample)
    assert out["image"][0, 0, 0] == 5 and out["mask"][0, 0] == 3
    with pytest.raises(ValueError, match="3 numbers"):
        F.pad(picture(channels=1), 1, fill=[1, 2, 3])
    with pytest.raises(ValueError, match="cannot hold"):
        F.pad(Mask(torch.ones(2, 2, dtype=torch.uint8), ignore_index=-100), 1)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.int64], ids=str)
def test_masks_of_any_width_move_exactly(call, dtype):
    mine, theirs, arguments = call
    top = 2 if dtype == torch.bool else torch.iinfo(dtype).max
    values = torch.randint(0, top, (5, *SIZE), generator=torch.Generator().manual_seed(1)).to(dtype)
    moved = mine(Mask(values, kind="instance"), **arguments)
    assert type(moved) is Mask and moved.kind == "instance" and moved.dtype == dtype
    # torchvision takes float32 on the way; the same choice of pixels on small numbers is its to say.
    where = torch.arange(SIZE[0] * SIZE[1], dtype=torch.int32).reshape(1, *SIZE) + 1
    how = {} if "resize" not in mine.name else {"interpolation": tv.InterpolationMode.NEAREST_EXACT}
    if mine.name == "resized_crop":  # torchvision's mask kernel knows no nearest-exact here: its two halves do
        window = tvf.crop(where, *(arguments[n] for n in ("top", "left", "height", "width")))
        chosen = tvf.resize(window, arguments["size"], **how)
    else:
        chosen = theirs(where, **arguments, **how)
    flat = torch.cat([torch.zeros(5, 1, dtype=torch.int64), values.long().flatten(1)], 1)
    assert torch.equal(moved.plain().long(), flat[:, chosen.flatten().long()].reshape(5, *chosen.shape[-2:]))


def test_a_masks_new_pixels_are_unknown_and_never_background_by_chance():
    semantic = F.crop(Mask(torch.zeros(4, 4, dtype=torch.uint8), ignore_index=255), -1, -1, 6, 6)
    assert semantic[0, 0] == 255 and semantic[1, 1] == 0
    assert F.crop(Mask(torch.ones(1, 4, 4, dtype=torch.uint8), kind="instance", ignore_index=255), -1, 0, 4, 4)[0, 0, 0] == 0


# torchvision cuts turned boxes to a window in its own way: test_turned_boxes_are_moved_not_cut says ours.
BOX_CASES = [(c, f) for c, (verb, _) in CALLS.items() for f in UNROTATED + (() if "crop" in verb else ROTATED)]


@pytest.mark.parametrize(("case", "format"), BOX_CASES)
def test_boxes(case, format):
    name, arguments = CALLS[case]
    mine, theirs = getattr(F, name), getattr(tvf, name)
    values = boxes(format)
    there = theirs(tv_tensors.BoundingBoxes(values, format=format, canvas_size=SIZE, clamping_mode=None if format in ROTATED else "soft"), **arguments)
    here = mine(BoundingBoxes(values, format=format, canvas_size=SIZE), **arguments)
    assert here.format == format and here.dtype == torch.float32
    if format == "XYXYXYXY":  # ours keeps the parallelogram that uneven scaling makes; torchvision fits a rectangle at once
        fitted = F.convert_bounding_box_format(F.convert_bounding_box_format(here, new_format="CXCYWHR"), new_format=format)
        exact = mine.where(SIZE, **arguments).of(vertices(values, format))
        exact = exact[:, [1, 0, 3, 2]] if "flip" in name else exact  # corners stay clockwise
        assert torch.allclose(here.plain().double(), exact.flatten(1), atol=1e-4)
        here = fitted
    same_boxes(here, there, 1e-4)


@pytest.mark.parametrize("format", ROTATED)
def test_turned_boxes_are_moved_not_cut(format):
    values = boxes(format)
    here = F.crop(BoundingBoxes(values, format=format, canvas_size=SIZE), 3, 5, 9, 9)
    moved = vertices(values, format) - torch.tensor([5.0, 3.0], dtype=torch.float64)
    assert torch.allclose(vertices(here.plain(), format), moved, atol=1e-4) and here.canvas_size == (9, 9)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_whole_boxes_stay_whole_where_they_can(dtype):
    values = torch.tensor([[2, 3, 11, 9], [20, 5, 30, 20]], dtype=dtype)
    for format in ("XYXY", "XYWH"):
        here = BoundingBoxes(values, format=format, canvas_size=(40, 50))
        there = tv_tensors.BoundingBoxes(values, format=format, canvas_size=(40, 50))
        for name, args in (("crop", (3, 5, 30, 30)), ("pad", ([1, 2],)), ("horizontal_flip", ()), ("vertical_flip", ())):
            mine = getattr(F, name)(here, *args)
            assert mine.dtype == dtype and torch.equal(mine.plain(), getattr(tvf, name)(there, *args).as_subclass(torch.Tensor))
    assert F.resize(here, (20, 25)).dtype == torch.float32  # torchvision cuts the fractions off
    odd = BoundingBoxes(torch.tensor([[5, 5, 3, 3]]), format="CXCYWH", canvas_size=(9, 9))
    assert F.horizontal_flip(odd).tolist() == [[4, 5, 3, 3]] and F.crop(odd, 0, 0, 9, 6).tolist() == [[4.75, 5.0, 2.5, 3.0]]


def test_key_points(call):
    mine, theirs, arguments = call
    seen = torch.tensor([2, 1, 0, 2])
    here = mine(KeyPoints(POINTS, canvas_size=SIZE, visibility=seen), **arguments)
    there = theirs(tv_tensors.KeyPoints(POINTS, canvas_size=SIZE), **arguments)
    assert here.canvas_size == tuple(there.canvas_size) and torch.equal(here.visibility, seen)
    if mine.name.endswith("flip"):
        return  # test_flips_form_a_group_where_torchvisions_do_not
    expected = there.as_subclass(torch.Tensor)
    assert torch.allclose(here.plain()[seen > 0], expected[seen > 0], atol=1e-5)
    assert torch.equal(here.plain()[seen == 0], POINTS[seen == 0])  # a point that is not labelled has no place to move from


def test_flips_form_a_group_where_torchvisions_do_not():
    """On an 8 x 10 canvas the point (1, 3) turned by 180 degrees is (9, 5): by both flips and by rotation alike."""
    point, size = torch.tensor([[1.0, 3.0]]), (8, 10)
    theirs = tv_tensors.KeyPoints(point, canvas_size=size)
    turned = tvf.rotate(theirs, 180)
    assert torch.allclose(turned.as_subclass(torch.Tensor), torch.tensor([[9.0, 5.0]]), atol=1e-5)
    assert tvf.vertical_flip(tvf.horizontal_flip(theirs)).tolist() == [[8.0, 4.0]]  # W - 1 - x: not its own rotation
    assert F.vertical_flip(F.horizontal_flip(KeyPoints(point, canvas_size=size))).tolist() == [[9.0, 5.0]]


def test_center_crop_moves_points_as_it_moves_pixels():
    """torchvision's points are off by one where an odd border is added: its picture kernel and ours agree."""
    x = torch.zeros(1, 5, 5)
    x[0, 2, 2] = 1
    i, j = (F.center_crop(x, 8)[0] == 1).nonzero()[0].tolist()
    point = F.center_crop(KeyPoints([[2.5, 2.5]], canvas_size=(5, 5)), 8)
    assert point.tolist() == [[j + 0.5, i + 0.5]]
    assert tvf.center_crop(tv_tensors.KeyPoints([[2.5, 2.5]], canvas_size=(5, 5)), [8, 8]).tolist() != point.tolist()


@pytest.mark.parametrize("vertical", [False, True])
def test_five_and_ten_crops(vertical):
    x = picture()
    for mine, theirs in ((F.five_crop(x, (8, 9)), tvf.five_crop(x, (8, 9))), (F.ten_crop(x, 8, vertical), tvf.ten_crop(x, [8, 8], vertical))):
        assert len(mine) == len(theirs) and all(torch.equal(a, b) and type(a) is torch.Tensor for a, b in zip(mine, theirs))
    sample = {
        "image": Image(x), "boxes": BoundingBoxes(boxes("XYXY"), format="XYXY", canvas_size=SIZE),
        "mask": Mask(x[0].long()), "points": KeyPoints(POINTS, canvas_size=SIZE), "flow": Flow(torch.rand(2, *SIZE), views=("image", "other")), "id": "a",
    }  # fmt: skip
    ten = T.TenCrop(8, vertical)(sample)
    assert isinstance(ten, tuple) and len(ten) == 10 and all(s["id"] == "a" for s in ten)
    for s in ten:
        assert {s[n].canvas for n in ("image", "boxes", "mask", "points", "flow")} == {(8, 8)}
        assert torch.equal(s["image"][0].long(), s["mask"].plain())
    five = T.Compose([T.FiveCrop((8, 9)), T.Resize((4, 4))])(sample)
    assert len(five) == 5 and five[4]["boxes"].canvas_size == (4, 4)
    with pytest.raises(PlanError, match="do not fit"):
        T.FiveCrop(100)(sample)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int16], ids=str)
def test_wide_integers_round_and_stay_in_range(dtype):
    top = torch.iinfo(dtype).max
    x = torch.tensor([[0, top] * 8] * 8).reshape(1, 8, 16).to(dtype)
    up = F.resize(Image(x), (16, 40), "bicubic")
    exact = torch.nn.functional.interpolate(x[None].double(), (16, 40), mode="bicubic", align_corners=False, antialias=True)[0]
    assert up.dtype == dtype and (up.double() - exact.round().clamp(torch.iinfo(dtype).min, top)).abs().max() <= 1


@pytest.mark.parametrize("name", ["RandomCrop", "RandomCrop padded", "CenterCrop", "RandomResizedCrop", "Resize", "Pad", "FiveCrop"])
def test_classes_do_what_torchvisions_do_with_the_same_params(name):
    x, mask = picture(), torch.randint(0, 9, SIZE)
    sample = {"image": Image(x), "mask": Mask(mask), "boxes": BoundingBoxes(boxes("XYXY"), format="XYXY", canvas_size=SIZE)}
    theirs = {"image": tv_tensors.Image(x), "mask": tv_tensors.Mask(mask), "boxes": tv_tensors.BoundingBoxes(boxes("XYXY"), format="XYXY", canvas_size=SIZE)}
    pairs = {
        "RandomCrop": (T.RandomCrop((9, 14)), tv.RandomCrop((9, 14))),
        "RandomCrop padded": (T.RandomCrop(40, [1, 2, 3, 4], True, 9), tv.RandomCrop(40, [1, 2, 3, 4], True, {tv_tensors.Mask: 0, "others": 9})),
        "CenterCrop": (T.CenterCrop(8), tv.CenterCrop(8)),
        "RandomResizedCrop": (T.RandomResizedCrop((8, 12), antialias=True), tv.RandomResizedCrop((8, 12))),
        "Resize": (T.Resize(11), tv.Resize(11, interpolation=tv.InterpolationMode.BILINEAR)),
        "Pad": (T.Pad((1, 2)), tv.Pad((1, 2))),
        "FiveCrop": (T.FiveCrop(8), tv.FiveCrop(8)),
    }
    mine, other = pairs[name]
    for position in range(5):
        key = Key.of(0, 0, position)
        out = mine(sample, key=key)
        params = row(mine.draw(key.fold(f"{type(mine).__name__}#0"), Info.of([sample])), 0)
        if name == "RandomCrop padded":
            params = {**params, "needs_crop": True, "needs_pad": True, "height": 40, "width": 40}
        elif name == "RandomCrop":
            params = {**params, "needs_crop": True, "needs_pad": False, "height": 9, "width": 14}
        if name == "FiveCrop":
            assert all(torch.equal(a["image"], b) for a, b in zip(out, other(theirs["image"])))
            continue
        expected = {n: other.transform(v, params) for n, v in theirs.items()}
        assert torch.equal(out["image"].plain(), expected["image"].as_subclass(torch.Tensor))
        assert torch.allclose(out["boxes"].plain(), expected["boxes"].as_subclass(torch.Tensor), atol=1e-4)
        assert out["boxes"].canvas_size == expected["boxes"].canvas_size == out["image"].canvas == out["mask"].canvas
        if name in ("RandomCrop", "RandomCrop padded", "CenterCrop", "Pad"):
            assert torch.equal(out["mask"].plain(), expected["mask"].as_subclass(torch.Tensor))


def test_random_resized_crop_draws_from_torchvisions_distribution():
    """Mean and spread of area and ratio over 4,000 draws, and the fallback where no try fits."""
    t, theirs, count = T.RandomResizedCrop(8), tv.RandomResizedCrop(8), 4000
    drawn = t.draw(Key.of(0, 0, np.arange(count)), Info({"image": np.tile([[60, 100]], (count, 1))}, count=count))
    torch.manual_seed(0)
    other = [theirs.make_params([torch.empty(3, 60, 100)]) for _ in range(count)]
    for name in ("top", "left", "height", "width"):
        a, b = drawn[name], np.array([p[name] for p in other])
        assert abs(a.mean() - b.mean()) < 4 * b.std() * (2 / count) ** 0.5 and abs(a.std() - b.std()) < 0.05 * b.std() + 0.5
    assert (drawn["top"] + drawn["height"] <= 60).all() and (drawn["left"] + drawn["width"] <= 100).all() and (drawn["top"] >= 0).all()
    for size in ((10, 1000), (1000, 10)):
        mine = T.RandomResizedCrop(8, scale=(1, 1)).draw(Key.of(0), Info({"image": np.array([size])}))
        expected = tv.RandomResizedCrop(8, scale=(1, 1)).make_params([torch.empty(3, *size)])
        assert {n: int(v[0]) for n, v in mine.items()} == expected


def test_random_crop_reaches_every_place_and_names_what_does_not_fit():
    info = Info({"image": np.tile([[5, 7]], (500, 1))}, count=500)
    drawn = T.RandomCrop((4, 5)).draw(Key.of(0, 0, np.arange(500)), info)
    assert {*zip(drawn["top"].tolist(), drawn["left"].tolist())} == {(i, j) for i in range(2) for j in range(3)}
    with pytest.raises(PlanError, match=r"RandomCrop\(\(9, 9\)\) does not fit a canvas of \(5, 7\)"):
        T.RandomCrop(9).draw(Key.of(0, 0, np.arange(500)), info)


def test_sizes_are_int_list_or_tuple_and_wrong_arguments_say_so():
    assert T.Resize(256) == T.Resize([256]) != T.Resize((256, 256))
    assert T.RandomCrop(8) == T.RandomCrop([8]) == T.RandomCrop((8, 8))
    assert T.Resize(8, tv.InterpolationMode.NEAREST) == T.Resize(8, "NEAREST") == T.Resize(8, 0)
    assert repr(T.RandomResizedCrop((320, 896))) == "RandomResizedCrop((320, 896))"
    assert repr(T.RandomResizedCrop(8, (0.5, 1), interpolation="bicubic")) == "RandomResizedCrop((8, 8), scale=(0.5, 1.0), interpolation='bicubic')"
    for make in (
        lambda: T.RandomCrop(0), lambda: T.RandomCrop((1, 2, 3)), lambda: T.RandomCrop(8.5), lambda: T.CenterCrop("8"),
        lambda: T.RandomCrop(8, padding=(1, 2, 3)), lambda: T.RandomCrop(8, padding=-1), lambda: T.Pad(1, padding_mode="wrap"),
        lambda: T.Pad(1, fill="red"), lambda: T.Pad(1, fill={"Picture": 0}), lambda: T.Resize(8, "cubic"), lambda: T.Resize(8, "box"),
        lambda: T.Resize((8, 8), max_size=9), lambda: T.Resize(8, max_size=8), lambda: T.Resize(None), lambda: T.RandomHorizontalFlip(1.5),
        lambda: T.RandomResizedCrop(8, scale=(1, 0.5)), lambda: T.RandomResizedCrop(8, ratio=(0, 1)), lambda: T.RandomResizedCrop(8, scale=0.5),
        lambda: F.pad(picture(), 1, padding_mode="wrap"), lambda: F.resize(picture(), 0),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.sampled_from(["BILINEAR", "BICUBIC"]))
def test_a_width_of_one_is_resized_as_pillow_does(height, width, new, mode):
    """There torch's float kernel reads the first row alone, and its byte kernel raises for one pixel; torchvision with them."""
    x = picture(channels=1, size=(height, width))
    expected = np.asarray(PIL.Image.fromarray(x[0].numpy().astype(np.float32)).resize((1, new), PIL.Image.Resampling[mode]))
    assert np.allclose(F.resize(x.float(), (new, 1), mode)[0].numpy(), expected, atol=1e-3)
    assert np.abs(F.resize(x, (new, 1), mode)[0].numpy() - expected.round().clip(0, 255)).max() <= (1 if mode == "BILINEAR" else 12)  # bytes between passes
    assert F.resize(x.expand(3, height, width), (1, 1), mode).shape == (3, 1, 1)


def test_a_side_never_falls_to_nothing():
    assert F.resize(Image(torch.zeros(1, 1, 1000)), None, max_size=10).canvas == (1, 10)
    assert T.Resize(None, max_size=10).canvas({}, np.array([[1, 1000], [1000, 1]])).tolist() == [[1, 10], [10, 1]]


@pytest.mark.parametrize("size", [5, [7], (6, 9), None])
def test_a_transform_knows_the_canvas_that_its_op_makes(size):
    canvases = np.array([[5, 9], [9, 5], [7, 7], [100, 3]])
    t = T.Resize(size, max_size=None if size is not None else 12)
    assert t.canvas({}, canvases).tolist() == [list(t(Image(torch.zeros(1, *c))).canvas) for c in canvases.tolist()]
