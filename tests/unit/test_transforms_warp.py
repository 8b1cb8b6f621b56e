"""rotate, affine, perspective, elastic, grid_distortion and quarter turns: against torchvision pixel by pixel, and at their edges."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import functional as F
from vdata.transforms._field import Ripples

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CORNERS = [[0, 0], [36, 0], [36, 28], [0, 28]]


def picture(seed=0, size=(29, 37), channels=3):
    return torch.randint(0, 256, (channels, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@st.composite
def calls(draw):
    """A verb with its positional arguments, as both libraries take them."""
    angle, shift = draw(st.floats(-360, 360)), st.integers(-9, 9)
    kind = draw(st.sampled_from(["rotate", "affine", "perspective", "elastic"]))
    if kind == "rotate":
        return kind, (angle,)
    if kind == "affine":
        return kind, (angle, [draw(shift), draw(shift)], draw(st.floats(0.5, 2)), [draw(st.floats(-30, 30)), draw(st.floats(-30, 30))])
    if kind == "perspective":
        inwards = np.array(draw(st.lists(st.integers(0, 7), min_size=8, max_size=8))).reshape(4, 2) * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        return kind, (CORNERS, (np.array(CORNERS) + inwards).tolist())
    coarse = torch.rand(1, 2, 4, 5, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))) * 0.1 - 0.05
    return kind, (torch.nn.functional.interpolate(coarse, (29, 37), mode="bilinear").movedim(1, -1).contiguous(),)


def origins(kind, arguments):
    return getattr(F, kind).where((29, 37), *arguments).origins(None, torch.device("cpu"))


@given(calls(), st.integers(0, 99))
@settings(max_examples=60)
def test_nearest_pixels_are_torchvisions_but_for_ties(call, seed):
    """Equal wherever the place that is read is a thousandth of a pixel away from any border of pixels: the rest is float32's."""
    kind, arguments = call
    mine = getattr(F, kind)(Image(picture(seed)), *arguments, interpolation="nearest").plain()
    theirs = getattr(tvf, kind)(picture(seed), *arguments, interpolation=tvf.InterpolationMode.NEAREST)
    at = origins(kind, arguments)
    clear = ((at - at.round()).abs() > 1e-3).all(-1)
    assume(clear.any())  # a map may lay all of its places on borders: y' = y / 2 does
    assert torch.equal(mine[:, clear], theirs[:, clear])


@given(calls(), st.integers(0, 99))
@settings(max_examples=60)
def test_between_pixels_the_interior_is_torchvisions_to_a_level(call, seed):
    """Wherever all four pixels lie on the canvas; at its border torchvision mixes with the fill twice (test_warp_oracles)."""
    kind, arguments = call
    mine = getattr(F, kind)(Image(picture(seed)), *arguments, interpolation="bilinear", fill=90).plain()
    theirs = getattr(tvf, kind)(picture(seed), *arguments, interpolation=tvf.InterpolationMode.BILINEAR, fill=[90.0])
    at = origins(kind, arguments)
    inside = ((at > 0.501) & (at < torch.tensor([37, 29]) - 0.501)).all(-1)
    assume(inside.any())
    assert (mine.int() - theirs.int())[:, inside].abs().max() <= 1
    beyond = ((at < -0.501) | (at > torch.tensor([37, 29]) + 0.501)).any(-1) | at.isnan().any(-1)
    assert (mine[:, beyond] == 90).all()


def test_new_pixels_mix_at_the_border_by_their_share_under_every_map():
    """A shift by half a pixel is the limit of a shift by half a pixel and a turn by next to nothing."""
    x = Image(torch.full((1, 6, 6), 200, dtype=torch.uint8))
    for angle in (0.0, 1e-7):
        out = F.affine(x, angle, (1.5, 0), 1.0, 0.0, "bilinear", fill=100).plain()[0]
        assert out[2].tolist() == [100, 150, 200, 200, 200, 200]
    assert F.affine(x, 0.0, (1, 0), 1.0, 0.0, "bilinear", fill=100).plain()[0, 2].tolist() == [100, 200, 200, 200, 200, 200]


@pytest.mark.parametrize("size", [(3, 4), (4, 3), (5, 5), (1, 6), (6, 2)])
@pytest.mark.parametrize("k", range(-1, 4))
def test_quarter_turns_with_expand_only_move_pixels(size, k):
    """On rectangles of any parity: the turned canvas is no wider than the turned picture."""
    x = picture(1, size)
    for interpolation in ("nearest", "bilinear", "bicubic"):
        assert torch.equal(F.rotate(Image(x), 90.0 * k, interpolation, expand=True).plain(), torch.rot90(x, k, (-2, -1)))
    assert torch.equal(F.rotate(Mask(x[0]), 90.0 * k, expand=True).plain(), torch.rot90(x[0], k))


def test_each_row_has_the_canvas_of_its_angle():
    t = T.RandomRotation(180, expand=True, interpolation="bilinear")
    samples = [{"image": Image(picture(b, (20, 31))), "boxes": BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(20, 31))} for b in range(5)]
    out = t(collate(samples), key=Key.of(0, 0, np.arange(5)))
    assert len({tuple(i.canvas) for i in out["image"]}) > 2
    for image, boxes, sample, b in zip(out["image"], out["boxes"], samples, range(5), strict=True):
        assert image.canvas == boxes.canvas_size == t(sample, key=Key.of(0, 0, b))["image"].canvas


def test_what_is_drawn():
    """torchvision's ranges: angles and scales even, shifts and corners in whole pixels."""
    size, keys = (41, 60), Key.of(0, 0, np.arange(4000))
    info = T.Info.of([{"image": Image(torch.zeros(1, *size))}]).take([0] * 4000)
    t = T.RandomAffine((-10, 30), (0.1, 0.2), (0.5, 1.5), (-5, 5, 1, 2))
    drawn = t.place(t.draw(keys, info), size)
    for name, low, high in (("angle", -10, 30), ("scale", 0.5, 1.5)):
        assert low <= drawn[name].min() < low + 0.1 and high - 0.1 < drawn[name].max() < high
    assert sorted(set(drawn["translate"][:, 0])) == list(range(-6, 7)) and sorted(set(drawn["translate"][:, 1])) == list(range(-8, 9))
    assert abs(drawn["shear"][:, 0]).max() < 5 and 1 <= drawn["shear"][:, 1].min() < drawn["shear"][:, 1].max() < 2
    p = T.RandomPerspective(0.5, 1.0)
    end = p.place(p.draw(keys, info), size)["endpoints"]
    inwards = np.abs(end - np.array([[0, 0], [59, 0], [59, 40], [0, 40]]))
    assert sorted(set(inwards[..., 0].ravel())) == list(range(16)) and sorted(set(inwards[..., 1].ravel())) == list(range(11))  # [0, int(d * side // 2)]
    assert abs(T.RandomPerspective(p=0.3).draw(keys, info)["apply"].mean() - 0.3) < 0.03
    assert set(T.RandomRotate90(1).draw(keys, info)["k"]) == {0, 1, 2, 3} and set(T.RandomDihedral().draw(keys, info)["element"]) == set(range(8))


def test_any_scale_of_perspective_on_any_canvas_keeps_the_canvas_before_the_camera():
    """A strong draw may dent the quadrangle, or lay three corners on a line; torchvision then reads through the horizon."""
    for scale in (0.5, 0.8, 1.0):
        for size in ((1, 1), (1, 9), (2, 2), (9, 3), (40, 30)):
            points = KeyPoints(torch.rand(30, 2, dtype=torch.float64) * torch.tensor([max(size[1] - 1, 1), max(size[0] - 1, 1)]), canvas_size=size)
            sample = {"image": Image(torch.full((1, *size), 7, dtype=torch.uint8)), "points": points}
            out = T.RandomPerspective(scale, 1.0, fill=3)(collate([sample] * 40), key=Key.of(1, 0, np.arange(40)))
            assert all(p.plain().isfinite().all() for p in out["points"])
            assert ((out["image"].plain() >= 3) & (out["image"].plain() <= 7)).all()


def test_what_lies_beyond_the_horizon_is_new():
    end = [[14, 12], [22, 12], [36, 28], [0, 28]]
    coefficients = tvf._geometry._get_perspective_coeffs(CORNERS, end)
    out = F.perspective(Image(torch.full((1, 29, 37), 9, dtype=torch.uint8)), None, None, coefficients=coefficients, fill=1)
    move = F.perspective.where((29, 37), None, None, coefficients=coefficients)
    assert torch.allclose(move.of(torch.tensor(CORNERS, dtype=torch.float64)), torch.tensor(end, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(F.perspective.where((29, 37), CORNERS, end).of(torch.tensor([[5.0, 6.0]])), move.of(torch.tensor([[5.0, 6.0]])), atol=1e-4)
    horizon = move.origins(None, torch.device("cpu")).isnan().any(-1)
    assert horizon.any() and out.plain()[0][horizon].eq(1).all()


# -- elastic ------------------------------------------------------------------------------------------------------------------------


def everything(size=(33, 40)):
    g = torch.Generator().manual_seed(0)
    return {
        "image": Image(picture(0, size)), "video": Video(picture(1, size)[None].expand(2, -1, -1, -1).clone()), "mask": Mask(torch.randint(2**40, 2**50, size, generator=g), frame="image"),
        "boxes": BoundingBoxes([[3, 4, 20, 30], [0, 0, 40, 33]], format="XYXY", canvas_size=size, frame="image"), "none": BoundingBoxes([], format="XYWH", canvas_size=size, frame="image"),
        "turned": BoundingBoxes([[20.0, 15, 9, 4, 30]], format="CXCYWHR", canvas_size=size, frame="image"), "points": KeyPoints(torch.rand(5, 2, generator=g) * 30, canvas_size=size, frame="image"),
        "flow": Flow(torch.randn(2, *size, generator=g), views=("image", "image")),
    }  # fmt: skip


def test_no_displacement_changes_nothing():
    for name, leaf in everything().items():
        out = F.elastic(leaf, torch.zeros(1, 33, 40, 2))
        assert torch.allclose(out.plain().double(), leaf.plain().double(), atol=1e-5), name
    out = T.ElasticTransform(0.0)(everything())
    assert all(torch.allclose(out[n].plain().double(), v.plain().double(), atol=1e-5) for n, v in everything().items())


def test_several_displacements_are_the_loop():
    fields = torch.stack([torch.nn.functional.interpolate(torch.rand(1, 2, 4, 5, generator=torch.Generator().manual_seed(i)) * 0.1, (29, 37), mode="bilinear")[0] for i in range(3)]).movedim(1, -1)
    images, points = Image(torch.stack([picture(i) for i in range(3)])), KeyPoints(torch.rand(3, 6, 2) * 25, canvas_size=(29, 37))
    together, moved = F.elastic(images, fields), F.elastic(points, fields)
    for i in range(3):
        assert torch.equal(together.plain()[i], F.elastic(images[i], fields[i : i + 1]).plain())
        assert torch.allclose(moved.plain()[i], F.elastic(points[i], fields[i : i + 1]).plain(), atol=1e-5)
    assert torch.allclose(F.elastic(points[[0, 0]], fields, row=np.array([2, 1])).plain()[0], F.elastic(points[0], fields[2:]).plain(), atol=1e-5)


def test_a_field_is_as_strong_and_as_smooth_as_torchvisions():
    theirs = torch.cat([v2.ElasticTransform().make_params([torch.zeros(3, 96, 128)])["displacement"] * torch.tensor([64, 48]) for _ in range(6)])[:, 20:-20, 20:-20]
    ours = Ripples(np.arange(12), (50.0, 50.0), (5.0, 5.0)).on((96, 128), torch.device("cpu")).movedim(1, -1)
    assert abs(ours.std() / theirs.std() - 1) < 0.15
    slope = lambda d: d.diff(dim=2).std()
    assert abs(slope(ours) / slope(theirs) - 1) < 0.15
    border = torch.cat([ours[:, 0].flatten(), ours[:, -1].flatten(), ours[:, :, 0].flatten(), ours[:, :, -1].flatten()])
    assert abs(border.std() / ours.std() - 1) < 0.15  # no stronger and no weaker at the border


def test_sigma_is_a_number_for_each_axis():
    field = Ripples(np.arange(8), (50.0, 50.0), (2.0, 9.0)).on((80, 80), torch.device("cpu"))
    for component in (0, 1):  # both components are smoother downwards, as in torchvision
        assert field[:, component].diff(dim=-1).std() > 3 * field[:, component].diff(dim=-2).std()


@pytest.mark.differs("ElasticTransform that folds the canvas over", "pictures fold, points go anywhere", "the field is weakened until it has an inverse")
def test_fields_that_would_fold_are_weakened_and_others_are_not():
    loud, quiet = (Ripples(np.arange(20), (a, a), (5.0, 5.0)).on((64, 80), torch.device("cpu")) for a in (500.0, 5.0))
    usual = Ripples(np.arange(20), (50.0, 50.0), (5.0, 5.0)).on((64, 80), torch.device("cpu"))
    assert torch.allclose(usual, quiet * 10, rtol=1e-4, atol=1e-5)  # torchvision's own strength stays as it is
    ratio = (loud / quiet).flatten(1)
    assert (ratio.amax(1) < 50).all() and torch.allclose(ratio.amax(1), ratio.amin(1), rtol=1e-2)  # as a whole, each field by its own number
    given_ = (loud * 3 / torch.tensor([40.0, 32.0]).reshape(2, 1, 1)).movedim(1, -1)[:1]
    with pytest.raises(ValueError, match="folds over"):
        F.elastic(KeyPoints([[3.0, 4.0]], canvas_size=(64, 80)), given_)
    assert F.elastic(Image(torch.zeros(1, 64, 80)), given_).shape == (1, 64, 80)  # a picture can be read


@pytest.mark.parametrize("device", DEVICES)
def test_a_field_is_made_once_for_all_leaves_where_they_are(device, monkeypatch):
    """And holds no copy for each box: 40 boxes a sample cost no more than one."""
    made = []
    make = Ripples._make
    monkeypatch.setattr(Ripples, "_make", lambda self, size, where: made.append((len(self.keys), size, where.type)) or make(self, size, where))
    boxes = lambda n: BoundingBoxes(torch.rand(n, 4) * 9 + torch.tensor([0, 0, 9.0, 9]), format="XYXY", canvas_size=(33, 40), frame="image")
    samples = [{n: v.to(device) for n, v in {**everything(), "boxes": boxes(40 * b)}.items()} for b in range(3)]
    out = T.ElasticTransform()(collate(samples), key=Key.of(0, 0, [4, 5, 6]))
    assert made == [(3, (33, 40), device)]
    assert out["boxes"][2].shape == (80, 4) and out["boxes"][0].canvas_size == (33, 40) and out["image"].device.type == device
    alone = T.ElasticTransform()(samples[2], key=Key.of(0, 0, 6))
    assert torch.allclose(out["boxes"][2].plain(), alone["boxes"].plain(), atol=1e-4)


# -- grid distortion and the rest ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(0, 0.99), st.integers(1, 40))
@settings(max_examples=60)
def test_a_grid_goes_forth_and_back_exactly_at_any_limit(seed, steps, limit, width):
    t, size = T.GridDistortion(steps, limit, 1.0), (17, width)
    info = T.Info.of([{"image": Image(torch.zeros(1, *size))}] * 3)
    move = t.op.where(size, **t.place(t.draw(Key.of(seed, 0, [0, 1, 2]), info), size))
    points = torch.rand(3, 50, 2, dtype=torch.float64) * torch.tensor([width * 1.4, 24]) - 3
    assert (move.back(move.of(points)) - points).abs().max() < 1e-8
    frame = torch.tensor([[0.0, 0.0], [width, 17.0]], dtype=torch.float64).expand(3, 2, 2)
    assert torch.allclose(move.of(frame), frame, atol=1e-9)  # borders stay
    white = t({"image": Image(torch.full((1, *size), 255, dtype=torch.uint8))}, key=Key.of(seed))["image"]
    assert white.plain().eq(255).all()  # and nothing is new


def test_shares_of_a_grid_are_checked():
    image = Image(torch.zeros(1, 8, 8))
    for across in ((0.5, 0.4), (1.2, -0.2), (0.0, 1.0)):
        with pytest.raises(ValueError, match="add up to 1"):
            F.grid_distortion(image, across, (0.5, 0.5))


@pytest.mark.parametrize("make", [T.RandomRotation, T.RandomAffine, T.ElasticTransform])
def test_ways_of_reading_that_warps_do_not_have_are_refused_where_they_are_written(make):
    for interpolation in ("lanczos", "hamming", "box"):
        with pytest.raises(ValueError, match="take 'nearest', 'bilinear' or 'bicubic'"):
            make(10, interpolation=interpolation)
    with pytest.raises(ValueError, match="take 'nearest', 'bilinear' or 'bicubic'"):
        F.rotate(Image(torch.zeros(1, 4, 4)), 10.0, "lanczos")
    assert make(10, interpolation="bicubic")(Image(torch.zeros(1, 9, 9))).shape == (1, 9, 9)


def test_arguments_of_affine_are_checked():
    image = Image(torch.zeros(1, 8, 8))
    for wrong, match in (((0.0, (1,), 1.0, 0.0), "translate has two numbers"), ((0.0, (1, 2), 0.0, 0.0), "scale must be above 0"), ((0.0, (1, 2), 1.0, (1, 2, 3)), "shear has two numbers")):
        with pytest.raises(ValueError, match=match):
            F.affine(image, *wrong)


def test_relative_motion_needs_a_flow_and_leaves_the_first_frame_to_the_bit():
    sample = {"image1": Image(picture()), "image2": Image(picture(1)), "mask": Mask(picture()[0].long(), frame="image1"), "points": KeyPoints([[5.0, 6.0]], canvas_size=(29, 37), frame="image2")}
    t = T.RandomRelativeMotion((5, 5), (0, 0), (1, 1))
    with pytest.raises(PlanError, match=r"the sample has no flow: give it one, or use RandomAffine"):
        t(sample)
    out = t({**sample, "flow": Flow(torch.zeros(2, 29, 37))}, key=Key.of(0))
    assert torch.equal(out["image1"].plain(), picture()) and torch.equal(out["mask"].plain(), picture()[0].long())
    want = F.affine.where((29, 37), 5.0, (0, 0), 1.0, 0.0)
    assert torch.allclose(out["points"].plain(), want.of(torch.tensor([[5.0, 6.0]])), atol=1e-4)
    at = torch.tensor([[20.5, 10.5]], dtype=torch.float64)
    assert torch.allclose(out["flow"].plain()[:, 10, 20].double(), (want.of(at) - at)[0], atol=1e-5)  # what was at rest moves by it
    none = T.RandomTranspose(0.0)(sample)
    assert torch.equal(none["image1"].plain(), picture()) and T.RandomTranspose(1.0)(sample)["image1"].canvas == (37, 29)
