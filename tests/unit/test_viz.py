"""The wheel against torchvision, warping against exact shifts, drawing by where colours land, sheets by shape."""

from __future__ import annotations

import os

import numpy as np
import PIL.Image
import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tvf
from torchvision.tv_tensors import BoundingBoxes as TVBoxes
from torchvision.utils import flow_to_image as tv_flow_to_image

from vdata import viz
from vdata.encoded import Encoded
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.viz.draw import corners
from vdata.viz.picture import PAPER, UNKNOWN, fitted, font

NAN = float("nan")
DATA = os.path.join(os.path.dirname(skimage.__file__), "data")


def _grey(height: int = 60, width: int = 80) -> Image:
    return Image(torch.full((3, height, width), 128, dtype=torch.uint8))


def _at(image: torch.Tensor, x: float, y: float) -> tuple[int, ...]:
    """The colour of the pixel that holds the point (x, y)."""
    return tuple(image[:, int(y), int(x)].tolist())


def _is_picture(image: torch.Tensor) -> bool:
    return type(image) is Image and image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] == 3


@pytest.fixture(scope="module")
def motorcycle() -> dict:
    paths = (os.path.join(DATA, f"motorcycle_{side}.png") for side in ("left", "right"))
    left, right = (Image(PIL.Image.open(path).convert("RGB")) for path in paths)
    with np.load(os.path.join(DATA, "motorcycle_disp.npz")) as archive:
        disparity = torch.from_numpy(archive[archive.files[0]].astype(np.float32))
    flow = Flow(torch.stack([-disparity, torch.zeros_like(disparity)]), valid=disparity.isfinite())
    return {"__key__": "motorcycle", "image1": left, "image2": right, "flow": flow}


# flow


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), batch=st.sampled_from([(), (3,)]), scale=st.sampled_from([1e-3, 1.0, 300.0]))
def test_the_wheel_is_torchvisions(seed, batch, scale):
    flow = torch.randn(*batch, 2, 9, 11, generator=torch.Generator().manual_seed(seed)) * scale
    ours = viz.flow_to_image(flow)
    theirs = tv_flow_to_image(flow)
    assert ours.shape == theirs.shape and ours.dtype == torch.uint8
    # Rounding takes torchvision's longest vector to -1e-8 at times, which wraps to 255: that one is the next test's.
    length = flow.norm(dim=-3, keepdim=True)
    difference = (ours.int() - theirs.int()).abs()
    assert torch.where(length < length.max(), difference, 0).max() <= 1


# Each of the last three, divided by its own length, is longer than 1 by a rounding.
@pytest.mark.parametrize("vector", [(3.0, 4.0), (6419.34619140625, 6859.4990234375), (2293.890625, 1904.3026123046875),
                                    (4368.26953125, 4954.36328125)])  # fmt: skip
def test_the_longest_vector_has_the_full_colour(vector):
    colour = viz.flow_to_image(torch.tensor(vector).reshape(2, 1, 1)).flatten().tolist()
    assert max(colour) == 255 and min(colour) == 0


def test_unknown_flow_is_dark_grey_and_leaves_the_scale_alone():
    flow = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    flow[:, 1, 2] = 0  # not the longest
    holed = flow.clone()
    holed[0, 1, 2] = NAN
    before, after = viz.flow_to_image(flow), viz.flow_to_image(Flow(holed))
    assert _at(after, 2, 1) == UNKNOWN
    changed = (before.plain() != after.plain()).any(0)
    assert changed.nonzero().tolist() == [[1, 2]]
    assert _at(viz.flow_to_image(Flow(torch.full((2, 1, 1), NAN))), 0, 0) == UNKNOWN


def test_a_given_scale_is_kept_and_longer_vectors_are_darkened():
    flow = torch.tensor([[0.0, 5.0, 10.0, 20.0], [0.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 4)
    pixels = viz.flow_to_image(flow, max_magnitude=10.0)
    assert [_at(pixels, x, 0) for x in range(4)] == [(255, 255, 255), (255, 127, 127), (255, 0, 0), (191, 0, 0)]


def test_the_legend_is_the_wheel_over_its_magnitude():
    legend = viz.flow_legend(120, 12.3)
    assert _is_picture(legend) and legend.shape[2] == 120 and legend.shape[1] > 120
    assert _at(legend, 0, 0) == PAPER
    right, below = _at(legend, 117, 60), _at(legend, 60, 117)
    assert right[0] > 240 and right[1] < 20 and right[2] < 20  # right is red
    assert below[0] > 200 and below[1] > 200 and below[2] < 20  # down is yellow
    assert legend[:, 122:].float().min() < 60  # there is text
    assert not torch.equal(legend[:, 120:], viz.flow_legend(120, 45.6)[:, 120:])
    assert torch.equal(legend[:, :120], viz.flow_legend(120, 45.6)[:, :120])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.int32])
def test_warping_by_whole_pixels_moves_values_exactly(dtype):
    image = torch.arange(3 * 7 * 9).reshape(3, 7, 9).to(dtype)
    flow = Flow(torch.tensor([2.0, -1.0]).reshape(2, 1, 1).expand(2, 7, 9))
    warped = viz.warp(image, flow)
    assert type(warped) is Image and warped.dtype == dtype
    expected = torch.zeros_like(image)
    expected[:, 1:, :7] = image[:, :6, 2:]
    assert torch.equal(warped.plain(), expected)


def test_warping_is_bilinear_at_pixel_centres_and_reaches_to_the_edge_of_the_canvas():
    image = torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])
    half = viz.warp(image, torch.tensor([0.5, 0.0]).reshape(2, 1, 1).expand(2, 1, 4))
    torch.testing.assert_close(half.plain(), torch.tensor([[[0.5, 1.5, 2.5, 3.0]]]))  # the last: on the border itself
    beyond = viz.warp(image, torch.tensor([0.6, 0.0]).reshape(2, 1, 1).expand(2, 1, 4))
    assert beyond[0, 0, 3] == 0
    assert viz.warp(torch.tensor([[[10, 21]]], dtype=torch.uint8), torch.full((2, 1, 2), 0.0)).tolist() == [[[10, 21]]]


def test_warping_leaves_unknown_at_zero_and_takes_batches_and_other_sizes():
    image = torch.rand(2, 3, 8, 10) + 1
    flow = torch.rand(2, 2, 5, 6)
    flow[0, 0, 2, 3] = NAN
    warped = viz.warp(image, Flow(flow, target_size=(8, 10)))
    assert warped.shape == (2, 3, 5, 6)
    assert (warped[0, :, 2, 3] == 0).all() and (warped != 0).sum() == warped.numel() - 3
    for i in range(2):
        torch.testing.assert_close(viz.warp(image[i], flow[i]).plain(), warped[i].plain())


def test_warping_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(8, 10\), image2 has \(8, 12\)"):
        viz.warp(torch.zeros(3, 8, 12), Flow(torch.zeros(2, 8, 10)))
    with pytest.raises(ValueError, match=r"image2 \[3, 8, 10\] and flow \[1, 2, 8, 10\]"):
        viz.warp(torch.zeros(3, 8, 10), torch.zeros(1, 2, 8, 10))


def test_a_real_disparity_warps_the_right_view_onto_the_left(motorcycle):
    warped = viz.warp(motorcycle["image2"], motorcycle["flow"]).plain()
    seen = viz.warp(torch.ones(1, 500, 741), motorcycle["flow"]).plain()[0] > 0
    left, right = motorcycle["image1"].plain().float(), motorcycle["image2"].plain().float()
    after = (warped.float() - left).abs()[:, seen].mean()
    before = (right - left).abs()[:, seen].mean()
    assert seen.float().mean() > 0.8 and after < before / 4


# pictures


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (torch.tensor([[[0, 7, 255]]], dtype=torch.uint8), [0, 7, 255]),
        (torch.tensor([[[0, 257, 65535]]], dtype=torch.int32).to(torch.uint16), [0, 1, 255]),
        (torch.tensor([[[0.0, 0.5, 1.001]]]), [0, 128, 255]),
        (torch.tensor([[[-2.0, 0.0, 2.0]]]), [0, 128, 255]),
        (torch.tensor([[[5.0, 5.0, 5.0]]]), [0, 0, 0]),
        (torch.tensor([[[NAN, 0.0, 1.0]]]), [0, 0, 255]),
        (torch.tensor([[[False, True, True]]]), [0, 255, 255]),
        (torch.tensor([[0.0, 0.2, 1.0]], dtype=torch.bfloat16), [0, 51, 255]),
    ],
)
def test_any_image_becomes_eight_bit_rgb(image, expected):
    shown = viz.picture(image)
    assert _is_picture(shown)
    assert all(channel == [expected] for channel in shown.tolist())


def test_what_is_no_picture_raises():
    with pytest.raises(ValueError, match=r"\[2, 3, 4, 5\]"):
        viz.picture(torch.zeros(2, 3, 4, 5))
    with pytest.raises(ValueError, match="draw_masks"):
        viz.picture(torch.zeros(1, 4, 5, dtype=torch.int64))


def test_colours_are_far_apart():
    palette = torch.tensor([viz.colour(i) for i in range(20)]).float()
    apart = torch.cdist(palette, palette) + 1000 * torch.eye(20)
    assert apart.min() > 30
    assert torch.cdist(palette[:8], palette[:8]).add(1000 * torch.eye(8)).min() > 60


def test_text_is_cut_to_its_width():
    assert fitted("short", 12, 200) == "short"
    cut = fitted("a very long name of a very small picture", 12, 80)
    assert cut.endswith("…") and font(12).getlength(cut) <= 80


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_saving_writes_the_format_of_the_suffix_and_nothing_else(tmp_path, suffix):
    image = _grey()
    image[0, 20:40] = 255
    viz.save(image, tmp_path / f"picture{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"picture{suffix}"]
    with PIL.Image.open(tmp_path / f"picture{suffix}") as read:
        assert read.format == ("PNG" if suffix == ".png" else "JPEG")
        back = torch.from_numpy(np.array(read)).permute(2, 0, 1)
    assert (back.int() - image.plain().int()).abs().float().mean() < (1e-9 if suffix == ".png" else 4)
    (tmp_path / "plain").touch()
    assert (tmp_path / f"picture{suffix}").stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(ValueError, match="gif"):
        viz.save(image, tmp_path / "picture.gif")


# boxes, masks, key points


@settings(deadline=None, max_examples=30)
@given(
    values=st.tuples(*[st.floats(-50, 50)] * 2, *[st.floats(1, 50)] * 2, st.floats(-180, 180)),
    kind=st.sampled_from(["XYXY", "XYWH", "CXCYWH", "XYWHR", "CXCYWHR"]),
)
def test_corners_are_torchvisions_for_every_format(values, kind):
    data = torch.tensor([values if kind.endswith("R") else values[:4]], dtype=torch.float64)
    theirs = TVBoxes(data, format=kind, canvas_size=(100, 100))
    theirs = tvf.convert_bounding_box_format(theirs, new_format="XYXYXYXY") if kind.endswith("R") else theirs
    if not kind.endswith("R"):
        x1, y1, x2, y2 = tvf.convert_bounding_box_format(theirs, new_format="XYXY").as_subclass(torch.Tensor)[0]
        theirs = torch.stack([x1, y1, x2, y1, x2, y2, x1, y2])
    ours = corners(BoundingBoxes(data, format=kind, canvas_size=(100, 100)))
    torch.testing.assert_close(ours.flatten(), theirs.as_subclass(torch.Tensor).flatten(), atol=1e-9, rtol=0)


def test_a_box_is_drawn_on_its_edges_in_its_colour_and_nowhere_else():
    image = _grey()
    boxes = BoundingBoxes([[20, 15, 30, 20]], format="XYWH", canvas_size=(60, 80))
    drawn = viz.draw_boxes(image, boxes, colors=[(255, 0, 0)])
    assert _is_picture(drawn)
    for x, y in ((35, 15), (35, 34.9), (20, 25), (49.9, 25)):
        red, green, blue = _at(drawn, x, y)
        assert red > green + 60 and green == blue
    assert _at(drawn, 35, 25) == (128, 128, 128) and _at(drawn, 70, 50) == (128, 128, 128)
    assert torch.equal(image.plain(), _grey().plain())  # the image given is not drawn on
    same = viz.draw_boxes(image, torch.tensor([[20, 15, 50, 35]]), colors=[(255, 0, 0)])
    assert torch.equal(drawn.plain(), same.plain())


def test_labels_are_written_by_name():
    image, boxes = _grey(120, 160), torch.tensor([[20.0, 50, 90, 100]])
    plain = viz.draw_boxes(image, boxes)
    cat = viz.draw_boxes(image, boxes, Label([1], categories=("dog", "cat")))
    assert torch.equal(cat.plain(), viz.draw_boxes(image, boxes, ["cat"]).plain())
    assert not torch.equal(cat.plain(), viz.draw_boxes(image, boxes, ["dog"]).plain())
    changed = (cat.plain() != plain.plain()).any(0).nonzero()
    assert changed[:, 0].min() >= 30 and changed[:, 0].max() <= 51  # above the box
    high = viz.draw_boxes(image, boxes - torch.tensor([0, 48, 0, 48]), ["cat"])
    assert (high[:, 0:16, 20:40] != image[:, 0:16, 20:40]).any()  # or inside, where there is no room


def test_boxes_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(10, 20\) do not fit an image of \(60, 80\)"):
        viz.draw_boxes(_grey(), BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(10, 20)))
    with pytest.raises(ValueError, match="1 boxes need as many labels and colors, got 2 and 1"):
        viz.draw_boxes(_grey(), torch.tensor([[1, 2, 3, 4]]), ["a", "b"])
    with pytest.raises(ValueError, match=r"\[1, 1, 4\]"):
        viz.draw_boxes(_grey(), torch.zeros(1, 1, 4))


def test_no_annotation_leaves_the_image_as_it_is():
    image = _grey()
    for drawn in (
        viz.draw_boxes(image, BoundingBoxes([], format="XYXY", canvas_size=(60, 80)), Label([])),
        viz.draw_masks(image, Mask(torch.zeros(0, 60, 80, dtype=torch.bool), kind="instance")),
        viz.draw_keypoints(image, KeyPoints(torch.zeros(0, 17, 2), canvas_size=(60, 80))),
    ):
        assert torch.equal(drawn.plain(), image.plain())


def test_classes_are_tinted_in_their_colour_and_the_ignored_hatched():
    mask = torch.zeros(60, 80, dtype=torch.uint8)
    mask[:, 40:] = 3
    mask[40:] = 255
    drawn = viz.draw_masks(_grey(), Mask(mask, ignore_index=255), alpha=0.25)
    for x, index in ((10, 0), (50, 3)):
        expected = [round(128 + 0.25 * (c - 128)) for c in viz.colour(index)]
        assert torch.tensor(_at(drawn, x, 10)).sub(torch.tensor(expected)).abs().max() <= 1
    stripes = drawn[:, 40:]
    assert (stripes == stripes[:1]).all() and len(stripes.unique()) == 2  # two greys


def test_a_background_stays_clear():
    mask = torch.zeros(60, 80, dtype=torch.uint8)
    mask[:, 40:] = 1
    clear = viz.draw_masks(_grey(), Mask(mask, categories=("__background__", "cat")))
    assert torch.equal(clear[:, :, :40], _grey()[:, :, :40]) and _at(clear, 50, 10) != (128,) * 3
    binary = viz.draw_masks(_grey(), mask.bool())
    assert torch.equal(binary.plain(), clear.plain())
    assert _at(viz.draw_masks(_grey(), mask), 10, 10) != (128,) * 3  # class 0 of a mask that names none is a class


def test_instances_have_the_colours_of_their_rows_and_an_outline():
    masks = torch.zeros(2, 60, 80, dtype=torch.bool)
    masks[0, 10:30, 10:30] = True
    masks[1, 35:55, 40:70] = True
    drawn = viz.draw_masks(_grey(), masks)
    assert _at(drawn, 5, 5) == (128, 128, 128)
    for i, (x, y, edge) in enumerate(((20, 20, 10), (50, 45, 40))):
        inner = torch.tensor(_at(drawn, x, y)) - 64 - torch.tensor(viz.colour(i)) / 2
        assert inner.abs().max() <= 1
        assert _at(drawn, edge, y) == viz.colour(i)
    assert torch.equal(drawn.plain(), viz.draw_masks(_grey(), Mask(masks, kind="instance")).plain())


def test_points_are_filled_hollow_or_left_out_by_visibility():
    points = KeyPoints([[[20.5, 20.5], [40.5, 20.5], [60.5, 20.5]]], canvas_size=(60, 80), visibility=[[2, 1, 0]])
    drawn = viz.draw_keypoints(_grey(), points, radius=5)
    assert _at(drawn, 20, 20) == viz.colour(0)
    assert _at(drawn, 40, 20) == (128, 128, 128) and _at(drawn, 45, 20) != (128, 128, 128)
    assert torch.equal(drawn[:, :, 52:], _grey()[:, :, 52:])
    loose = viz.draw_keypoints(_grey(), torch.tensor([[20.5, 20.5], [40.5, 20.5], [NAN, NAN]]), radius=5)
    assert _at(loose, 20, 20) == viz.colour(0) and _at(loose, 40, 20) == viz.colour(1)


# samples and sheets


def test_a_flow_sample_has_its_frames_the_wheel_the_warped_frame_and_the_difference(motorcycle):
    shown = viz.render(motorcycle)
    assert [name for name, _ in shown] == ["image1", "image2", "flow", "image2 warped", "|image1 - warped|"]
    assert all(_is_picture(image) and image.canvas == (500, 741) for _, image in shown)
    pictures = dict(shown)
    assert torch.equal(pictures["image1"].plain(), motorcycle["image1"].plain())
    unknown = ~motorcycle["flow"].valid.plain()
    for name in ("flow", "image2 warped", "|image1 - warped|"):
        assert (torch.tensor(UNKNOWN) == pictures[name].plain()[:, unknown].T).all()


def test_leaves_are_drawn_on_their_own_frame_at_any_height():
    boxes = BoundingBoxes([[10, 10, 30, 30]], format="XYXY", canvas_size=(60, 80), frame="right")
    points = KeyPoints([[50.5, 30.5]], canvas_size=(60, 80))
    sample = {"left": _grey(), "right": _grey(), "boxes": boxes, "labels": Label([0]), "points": points, "n": 3}
    shown = dict(viz.render(sample))
    assert list(shown) == ["left", "right"]
    assert _at(shown["left"], 50, 30) == viz.colour(0) and _at(shown["left"], 10, 20) == (128,) * 3
    assert _at(shown["right"], 50, 30) == (128,) * 3 and _at(shown["right"], 10, 20) != (128,) * 3
    large = dict(viz.render(sample, height=120))
    assert large["left"].canvas == (120, 160)
    assert _at(large["left"], 101, 61) == viz.colour(0) and _at(large["right"], 20, 40) != (128,) * 3


def test_leaves_without_their_image_and_clips_are_shown_too():
    mask = Mask(torch.ones(60, 80, dtype=torch.int64))
    video = Video(torch.zeros(10, 3, 60, 80, dtype=torch.uint8))
    plain = torch.zeros(1, 60, 80, dtype=torch.uint8)
    shown = viz.render({"mask": mask})
    assert [(name, image.canvas) for name, image in shown] == [("mask", (60, 80))]
    names = [name for name, _ in viz.render({"clip": video, "depth": plain, "camera": torch.eye(3)})]
    assert names == ["depth", "clip 0", "clip 3", "clip 6", "clip 9"]


def test_render_refuses_what_is_not_decoded_or_does_not_fit():
    with pytest.raises(TypeError, match="'image' is not decoded"):
        viz.render({"image": Encoded(b"", type="Image")})
    with pytest.raises(ValueError, match=r"'mask' lies on a canvas .* \(5, 5\), its image has \(60, 80\)"):
        viz.render({"image": _grey(), "mask": Mask(torch.zeros(5, 5, dtype=torch.uint8))})
    with pytest.raises(ValueError, match="'boxes' has 1 boxes, 'labels' has 2"):
        boxes = BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(60, 80))
        viz.render({"image": _grey(), "boxes": boxes, "labels": Label([1, 2])})


def test_a_sheet_has_a_line_a_sample_and_one_legend(motorcycle):
    one = viz.sheet([motorcycle], height=100)
    two = viz.sheet([motorcycle, motorcycle], height=100)
    bare = viz.sheet([motorcycle, motorcycle], height=100, legend=False)
    assert all(_is_picture(s) for s in (one, two, bare))
    assert one.shape[2] == two.shape[2] == bare.shape[2] > 5 * 148
    line = two.shape[1] - one.shape[1]
    assert 100 < line < 200 and bare.shape[1] < two.shape[1]
    uncaptioned = viz.sheet([motorcycle, motorcycle], height=100, legend=False, captions=False)
    assert uncaptioned.shape[1] == 2 * 24 + 2 * 100 + 12
    assert all(_at(s, 0, 0) == PAPER for s in (one, two, bare, uncaptioned))


def test_flows_of_one_sheet_share_one_scale():
    def red(length: float) -> dict:
        return {"flow": Flow(torch.tensor([length, 0.0]).reshape(2, 1, 1).expand(2, 40, 40))}

    page = viz.sheet([red(10.0), red(5.0)], height=40, captions=False, legend=False)
    assert _at(page, 44, 44) == (255, 0, 0)
    assert _at(page, 24 + 40 + 24 + 20, 44) == (255, 127, 127)


def test_single_pictures_fill_a_block_or_as_many_columns_as_asked():
    samples = [{"__key__": str(i), "image": _grey(40, 40), "label": Label(0, categories=("cat",))} for i in range(6)]
    block, strip = viz.sheet(samples, height=40), viz.sheet(iter(samples), height=40, columns=6)
    assert block.shape[2] == 2 * 24 + 3 * 40 + 2 * 24 and strip.shape[2] == 2 * 24 + 6 * 40 + 5 * 24
    assert block.shape[1] > strip.shape[1]
    other = viz.sheet([{**s, "label": 7} for s in samples], height=40)
    assert not torch.equal(other.plain(), block.plain())  # the label is written
    with pytest.raises(ValueError, match="columns"):
        viz.sheet(samples, columns=0)


def test_a_sheet_of_nothing_raises():
    for samples in ([], [{"__key__": "a", "label": 1}]):
        with pytest.raises(ValueError, match="picture"):
            viz.sheet(samples)
