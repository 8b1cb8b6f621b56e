"""Boxes and key points cut to the canvas, and objects dropped: against torchvision where it is right, beside it where not."""

import math

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
from vdata.batch import Ragged, collate
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Image, KeyPoints, Label, Mask
from vdata.transforms import Info, functional
from vdata.transforms.clamp import (
    ClampBoundingBoxes,
    ClampKeyPoints,
    SetClampingMode,
    clamp_bounding_boxes,
    clamp_keypoints,
)
from vdata.transforms.sanitize import (
    SanitizeBoundingBoxes,
    SanitizeKeyPoints,
    sanitize_bounding_boxes,
    sanitize_keypoints,
)

SIZE = HEIGHT, WIDTH = 32, 40
UPRIGHT, ROTATED = ("XYXY", "XYWH", "CXCYWH"), ("XYWHR", "CXCYWHR", "XYXYXYXY")
seeds = st.integers(0, 2**32 - 1)


def turned(count, seed, dtype=torch.float64):
    """Rotated boxes around the canvas and beyond it, some of them upright or nearly so."""
    g = torch.Generator().manual_seed(seed)
    place = torch.rand(count, 2, generator=g, dtype=dtype) * torch.tensor([60.0, 52.0]) - 10
    size = 2 + torch.rand(count, 2, generator=g, dtype=dtype) * 30
    angle = torch.rand(count, 1, generator=g, dtype=dtype) * 360 - 180
    angle[::4] = (angle[::4] / 90).round() * 90
    angle[1::8] = (angle[1::8] / 90).round() * 90 + 0.5
    return torch.cat([place, size, angle], 1)


def written(boxes, format):
    return functional.convert_bounding_box_format(boxes, "CXCYWHR", format)


def corners(boxes, format):
    return functional.convert_bounding_box_format(boxes.double(), format, "XYXYXYXY").reshape(-1, 4, 2).numpy()


def axes(angle):
    turn = math.radians(angle)
    return np.array([math.cos(turn), -math.sin(turn)]), np.array([math.sin(turn), math.cos(turn)])


def clipped(polygon):
    """What the canvas leaves of a polygon, side by side (Sutherland and Hodgman); its corners [M, 2]."""
    for a, b, k in ((-1, 0, 0), (1, 0, WIDTH), (0, -1, 0), (0, 1, HEIGHT)):
        out = []
        for i in range(len(polygon)):
            p, q = polygon[i], polygon[(i + 1) % len(polygon)]
            dp, dq = a * p[0] + b * p[1] - k, a * q[0] + b * q[1] - k
            out += [p] if dp <= 0 else []
            out += [p + (q - p) * dp / (dp - dq)] if dp * dq < 0 else []
        polygon = out
    return np.array(polygon).reshape(-1, 2)


def most_area(u, v, steps=41):
    """The greatest u, v rectangle in a convex polygon with corners at steps of u: a lower bound, by trying all."""
    grid = np.linspace(u.min(), u.max(), steps)
    low, high = np.full(steps, np.inf), np.full(steps, -np.inf)
    for i in range(len(u)):
        j = (i + 1) % len(u)
        on = (grid >= min(u[i], u[j]) - 1e-9) & (grid <= max(u[i], u[j]) + 1e-9)
        at = v[i] + (v[j] - v[i]) * (grid - u[i]) / (u[j] - u[i]) if abs(u[j] - u[i]) > 1e-9 else np.full(steps, v[i])
        low[on], high[on] = np.minimum(low[on], at[on]), np.maximum(high[on], at[on])
    room = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    return float((np.maximum(room, 0) * np.maximum(grid - grid[:, None], 0)).max())


# Clamp


@pytest.mark.parametrize("format", UPRIGHT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64], ids=str)
def test_upright_boxes_are_cut_as_torchvision_does(format, dtype):
    boxes = torch.tensor([[1, 2, 8, 9], [-5, -4, 3, 90], [36, 2, 50, 8], [-9, 3, -2, 7], [50, 40, 60, 45]]).double()
    boxes = functional.convert_bounding_box_format(boxes, "XYXY", format).to(dtype)
    theirs = tvf.clamp_bounding_boxes(tv_tensors.BoundingBoxes(boxes.double(), format=format, canvas_size=SIZE))
    for mode in ("soft", "hard"):
        mine = clamp_bounding_boxes(BoundingBoxes(boxes, format=format, canvas_size=SIZE), clamping_mode=mode)
        assert torch.allclose(mine.plain().double(), theirs.as_subclass(torch.Tensor), atol=0.5 if dtype == torch.int64 and format == "CXCYWH" else 1e-5)
        assert mine.dtype == (torch.float32 if dtype == torch.int64 and format == "CXCYWH" else dtype)
        assert torch.equal(mine.plain(), clamp_bounding_boxes(boxes, format, SIZE, mode))
    whole = clamp_bounding_boxes(boxes, format, SIZE, None)
    assert torch.equal(whole, boxes) and whole is not boxes


def test_a_box_inside_stays_to_the_bit_and_an_inverted_one_inverted():
    g = torch.Generator().manual_seed(3)
    for format in UPRIGHT + ROTATED:
        inside = turned(64, 3, torch.float32)
        inside[:, :2], inside[:, 2:4] = 12 + torch.rand(64, 2, generator=g) * 8, 0.3 + torch.rand(64, 2, generator=g) * 7
        boxes = written(inside, format)
        for mode in ("soft", "hard"):
            assert torch.equal(clamp_bounding_boxes(boxes, format, SIZE, mode), boxes)
    assert clamp_bounding_boxes(torch.tensor([[9.0, 3, 2, 50]]), "XYXY", SIZE, "soft").tolist() == [[9, 3, 2, 32]]


@pytest.mark.parametrize("format", ROTATED)
@given(seed=seeds)
def test_soft_is_the_least_box_around_what_the_canvas_leaves(format, seed):
    original = turned(6, seed)
    boxes = written(original, format)
    out = clamp_bounding_boxes(boxes, format, SIZE, "soft")
    for box, before, after in zip(original, corners(boxes, format), corners(out, format), strict=True):
        rest = clipped(list(before))
        if not len(rest):
            assert np.ptp(after, 0).max() < 1e-9 and (after >= -1e-9).all() and (after <= [WIDTH + 1e-9, HEIGHT + 1e-9]).all()
            continue
        for axis in axes(box[4]):
            assert abs((after @ axis).min() - (rest @ axis).min()) < 1e-6 and abs((after @ axis).max() - (rest @ axis).max()) < 1e-6
    if format != "XYXYXYXY":
        assert torch.equal(out[:, 4], boxes[:, 4])


@pytest.mark.parametrize("format", ROTATED)
@given(seed=seeds)
def test_hard_is_the_box_of_most_area_within_it(format, seed):
    original = turned(4, seed)
    boxes = written(original, format)
    out = clamp_bounding_boxes(boxes, format, SIZE, "hard")
    for box, before, after in zip(original, corners(boxes, format), corners(out, format), strict=True):
        assert (after >= -1e-6).all() and (after <= [WIDTH + 1e-6, HEIGHT + 1e-6]).all()
        rest = clipped(list(before))
        if not len(rest):
            continue
        (u, v), (p, q) = ((points @ axis for axis in axes(box[4])) for points in (rest, after))
        assert p.min() > u.min() - 1e-6 and p.max() < u.max() + 1e-6 and q.min() > v.min() - 1e-6 and q.max() < v.max() + 1e-6
        assert np.ptp(p) * np.ptp(q) >= most_area(u, v) - 1e-6


@pytest.mark.differs("ClampBoundingBoxes of rotated boxes, hard", "a box within, smaller than need be", "the largest one, exactly")
@pytest.mark.differs("ClampBoundingBoxes of rotated boxes, soft", "no width and height where a box is a degree from upright", "the smallest box around what is left, exactly")
def test_torchvisions_hard_is_not_the_largest_and_its_soft_loses_boxes_that_are_all_but_upright():
    boxes = torch.tensor([[17.0, 9.0, 30.0, 26.0, 30.0], [2.8, 0.2, 5.2, 10.1, 88.6]], dtype=torch.float64)
    theirs = tv_tensors.BoundingBoxes(boxes, format="CXCYWHR", canvas_size=SIZE)
    area = lambda b: (b[:, 2] * b[:, 3]).tolist()
    hard = clamp_bounding_boxes(boxes, "CXCYWHR", SIZE, "hard")
    assert area(hard)[0] > 1.1 * area(tvf.clamp_bounding_boxes(theirs, clamping_mode="hard").as_subclass(torch.Tensor))[0]
    assert area(tvf.clamp_bounding_boxes(theirs, clamping_mode="soft").as_subclass(torch.Tensor))[1] == 0
    assert area(clamp_bounding_boxes(boxes, "CXCYWHR", SIZE, "soft"))[1] > 20


def test_hard_of_a_square_that_stands_on_its_corner():
    """A square turned by 45 degrees about a corner of the canvas: a right triangle is left, and half of it is the answer."""
    side = math.sqrt(200)
    box = torch.tensor([[0.0, 0.0, side, side, 45.0]], dtype=torch.float64)
    out = clamp_bounding_boxes(box, "CXCYWHR", SIZE, "hard")
    assert float(out[0, 2] * out[0, 3]) == pytest.approx(25)
    soft = clamp_bounding_boxes(box, "CXCYWHR", SIZE, "soft")
    assert sorted(soft[0, 2:4].tolist()) == pytest.approx([side / 2, side])


def test_clamp_arguments_and_modes():
    boxes = BoundingBoxes([[-2.0, 3, 5, 30]], format="XYXY", canvas_size=(20, 20), clamping_mode=None)
    assert torch.equal(clamp_bounding_boxes(boxes), boxes) and torch.equal(ClampBoundingBoxes()(boxes).plain(), boxes.plain())
    assert ClampBoundingBoxes("hard")(boxes).tolist() == [[0, 3, 5, 20]] and ClampBoundingBoxes(None)(boxes).tolist() == boxes.tolist()
    soft = SetClampingMode("soft")(boxes)
    assert soft.clamping_mode == "soft" and boxes.clamping_mode is None and ClampBoundingBoxes()(soft).tolist() == [[0, 3, 5, 20]]
    assert T.CenterCrop(10)(SetClampingMode(None)(soft)).tolist() == [[-7, -2, 0, 25]]
    for format in UPRIGHT + ROTATED:
        empty = BoundingBoxes([], format=format, canvas_size=SIZE)
        assert clamp_bounding_boxes(empty, clamping_mode="hard").shape == empty.shape
    nan = torch.tensor([[float("nan"), 3, 5, 9, 20], [1, 3, 500, 9, 20]])
    assert clamp_bounding_boxes(nan, "CXCYWHR", SIZE, "soft")[0].isnan().any() and clamp_bounding_boxes(nan, "CXCYWHR", SIZE, "soft")[1].isfinite().all()
    stacked = clamp_bounding_boxes(torch.stack([turned(3, 0), turned(3, 1)]), "CXCYWHR", SIZE, "hard")
    assert torch.equal(stacked[1], clamp_bounding_boxes(turned(3, 1), "CXCYWHR", SIZE, "hard"))
    for wrong in (lambda: SetClampingMode("auto"), lambda: ClampBoundingBoxes("loose"), lambda: clamp_bounding_boxes(boxes, "XYXY"), lambda: clamp_bounding_boxes(boxes.plain()),
                  lambda: clamp_bounding_boxes(boxes, clamping_mode="x"), lambda: clamp_keypoints(torch.zeros(1, 2)), lambda: clamp_keypoints(KeyPoints([[1.0, 2]], canvas_size=SIZE), SIZE)):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()


@pytest.mark.differs("ClampKeyPoints", "to [0, W - 1], its boxes to [0, W]", "to [0, W], as boxes; points that are not labelled stay")
def test_points_are_moved_to_the_canvas_which_ends_where_that_of_boxes_does():
    points = KeyPoints([[-2.0, 5], [99, 50], [40, 32], [3, 4]], canvas_size=SIZE)
    assert clamp_keypoints(points).tolist() == [[0, 5], [40, 32], [40, 32], [3, 4]]
    theirs = tvf.clamp_keypoints(tv_tensors.KeyPoints(points.plain(), canvas_size=SIZE))
    assert theirs.tolist() == [[0, 5], [39, 31], [39, 31], [3, 4]]  # a point on a box's corner leaves it
    unlabelled = ClampKeyPoints()(KeyPoints([[[-9.0, -9], [99, 9]]], canvas_size=SIZE, visibility=[[0, 1]]))
    assert unlabelled.tolist() == [[[-9, -9], [40, 9]]] and unlabelled.visibility.tolist() == [[0, 1]]
    assert clamp_keypoints(torch.tensor([[250, 7]], dtype=torch.uint8), (900, 900)).tolist() == [[250, 7]]


@pytest.mark.parametrize("transform", [ClampBoundingBoxes(), ClampBoundingBoxes("hard"), ClampKeyPoints(), SetClampingMode(None)], ids=repr)
def test_clamping_a_batch_is_the_loop_and_leaves_the_rest(transform):
    for sizes in ([SIZE] * 4, [SIZE, (9, 50), (70, 8), SIZE]):
        samples = []
        for b, size in enumerate(sizes):
            boxes = BoundingBoxes(turned(b, b, torch.float32), format="CXCYWHR", canvas_size=size)
            samples.append({"image": Image(torch.zeros(1, *size)), "boxes": boxes, "points": KeyPoints(torch.randn(5, 2) * 40, canvas_size=size)})
        batch = collate(samples)
        out = transform(batch, key=Key.of(0, np.arange(4)))
        assert out["image"] is batch["image"] and isinstance(out["boxes"], Ragged)
        for b, sample in enumerate(samples):
            alone = transform(sample)
            for name in ("boxes", "points"):
                assert torch.allclose(out[name][b].plain(), alone[name].plain(), atol=1e-5) and out[name][b].meta() == alone[name].meta()
    assert T.from_json(T.to_json(transform), classes=[ClampBoundingBoxes, ClampKeyPoints, SetClampingMode]) == transform and not transform.random
    assert transform.inverse({}, samples[1], Info.of(samples[1:2])) is samples[1]


# Sanitize boxes


@pytest.mark.parametrize("format", UPRIGHT)
@given(seed=seeds, least=st.sampled_from([1.0, 2.5]), area=st.sampled_from([1.0, 12.0]))
def test_upright_boxes_stay_as_in_torchvision(format, seed, least, area):
    g = torch.Generator().manual_seed(seed)
    low = torch.randint(-8, 160, (40, 2), generator=g) / 4
    boxes = torch.cat([low, low + torch.randint(-8, 60, (40, 2), generator=g) / 4], 1)
    boxes[0] = torch.nan
    if format != "XYXY":
        boxes = torch.cat([low if format == "XYWH" else low + (boxes[:, 2:] - low) / 2, boxes[:, 2:] - low], 1)
    theirs = tv_tensors.BoundingBoxes(boxes, format=format, canvas_size=SIZE)
    _, want = tvf.sanitize_bounding_boxes(theirs, min_size=least, min_area=area)
    out, stay = sanitize_bounding_boxes(BoundingBoxes(boxes, format=format, canvas_size=SIZE), min_size=least, min_area=area)
    assert torch.equal(stay, want) and torch.equal(out.plain(), boxes[stay]) and out.format == format
    assert torch.equal(sanitize_bounding_boxes(boxes, format, SIZE, least, area)[1], want)


@pytest.mark.differs("SanitizeBoundingBoxes of rotated boxes", "takes a height from two different axes, so boxes without height stay", "their own sides")
def test_torchvision_keeps_turned_boxes_without_height():
    """Its height is made of the y of one corner and the x of another (facts of 0.29)."""
    flat = torch.tensor([[20.0, 15.0, 10.0, 0.001, 30.0], [20.0, 15.0, 10.0, 3.0, 30.0]])
    assert tvf.sanitize_bounding_boxes(tv_tensors.BoundingBoxes(flat, format="CXCYWHR", canvas_size=SIZE))[1].tolist() == [True, True]
    for format in ROTATED:
        boxes = BoundingBoxes(written(flat, format), format=format, canvas_size=SIZE)
        assert sanitize_bounding_boxes(boxes)[1].tolist() == [False, True]
    thin = torch.tensor([[20.0, 15.0, 1.5, 9.0, 77.0]])
    for least, stays in ((1.4, True), (1.6, False)):
        assert sanitize_bounding_boxes(thin, "CXCYWHR", SIZE, least)[1].tolist() == [stays]
        assert sanitize_bounding_boxes(thin, "CXCYWHR", SIZE, 1.0, least * 9)[1].tolist() == [stays]


def test_turned_boxes_go_when_a_corner_is_out_so_clamp_them_hard():
    boxes = BoundingBoxes(turned(200, 5, torch.float32), format="CXCYWHR", canvas_size=SIZE)
    inside = (corners(boxes.plain(), "CXCYWHR") >= 0).all((1, 2)) & (corners(boxes.plain(), "CXCYWHR") <= [WIDTH, HEIGHT]).all((1, 2))
    assert sanitize_bounding_boxes(boxes)[1].tolist() == inside.tolist()
    hard = clamp_bounding_boxes(boxes, clamping_mode="hard")
    assert torch.equal(sanitize_bounding_boxes(hard)[1], (hard.plain()[:, 2:4] >= 1).all(1))  # float32 alone drops none


def test_sanitize_arguments():
    for wrong in ({"min_size": 0.5}, {"min_area": 0}, {"labels_getter": 3}, {"instances": "boxes"}):
        with pytest.raises(ValueError):
            SanitizeBoundingBoxes(**wrong)
        if wrong.get("min_size") or "min_area" in wrong:
            with pytest.raises(ValueError):
                tv.SanitizeBoundingBoxes(**wrong)
    boxes = BoundingBoxes([[1.0, 1, 5, 5]], format="XYXY", canvas_size=SIZE)
    for call in (lambda: sanitize_bounding_boxes(boxes, "XYXY"), lambda: sanitize_bounding_boxes(boxes.plain()), lambda: sanitize_bounding_boxes(boxes[0]),
                 lambda: sanitize_keypoints(torch.zeros(3, 2)), lambda: sanitize_keypoints(KeyPoints([[1.0, 2]], canvas_size=SIZE), SIZE), lambda: sanitize_keypoints(torch.zeros(2), SIZE)):  # fmt: skip
        with pytest.raises(ValueError):
            call()
    with pytest.raises(PlanError, match="found no BoundingBoxes"):
        SanitizeBoundingBoxes()({"labels": Label([1])})
    with pytest.raises(PlanError, match="found no KeyPoints"):
        SanitizeKeyPoints()(collate([{"labels": Label([1])}]))


BAD = torch.tensor([[1.0, 1, 9, 9], [3, 3, 3, 20], [5, 5, 39, 30], [10, 10, 60, 20]])  # the second and the fourth


def objects(**extra):
    return {
        "image": Image(torch.zeros(3, *SIZE)),
        "boxes": BoundingBoxes(BAD, format="XYXY", canvas_size=SIZE),
        "labels": Label([1, 2, 3, 4], categories=tuple("abcde")),
        "masks": Mask(torch.arange(4)[:, None, None].expand(4, *SIZE), kind="instance"),
        "keypoints": KeyPoints(torch.arange(4.0)[:, None, None].expand(4, 3, 2), canvas_size=SIZE, visibility=torch.arange(4)[:, None].expand(4, 3)),
        **extra,
    }


def test_all_that_describes_a_box_goes_with_it():
    sample = objects(ids=Label([5, 6, 7, 8]), weights=Label([0, 1, 2, 3]), classes=Label([1, 1, 1, 1]), points=KeyPoints(torch.zeros(4, 2), canvas_size=SIZE))
    out = SanitizeBoundingBoxes()(sample)
    assert out["labels"].tolist() == [1, 3] and out["labels"].name == ["b", "d"] and out["ids"].tolist() == [5, 7] and out["weights"].tolist() == [0, 2]
    assert out["masks"][:, 0, 0].tolist() == [0, 2] and out["keypoints"][:, 0, 0].tolist() == [0, 2]
    assert out["keypoints"].visibility.tolist() == [[0] * 3, [2] * 3] and out["boxes"].tolist() == BAD[::2].tolist()
    assert len(out["classes"]) == len(out["points"]) == 4 and out["image"] is sample["image"]
    assert len(SanitizeBoundingBoxes(labels_getter="classes")(sample)["classes"]) == 2
    both = SanitizeBoundingBoxes(instances=T.Instances("boxes", "classes", "points"), labels_getter=None)(sample)
    assert len(both["classes"]) == len(both["points"]) == 2 and len(both["labels"]) == len(both["masks"]) == 4
    alone = SanitizeBoundingBoxes(labels_getter=None, instances=("boxes",))(sample)
    assert len(alone["boxes"]) == 2 and len(alone["labels"]) == 4


@pytest.mark.differs("SanitizeBoundingBoxes and semantic masks", "drops rows of a mask that has as many as there are boxes", "only instance masks, by name")
def test_semantic_masks_are_never_touched_as_torchvision_touches_them():
    """torchvision 0.29: a semantic [1, H, W] loses its only row, a semantic [H, W] with H boxes loses lines of pixels."""
    box = torch.tensor([[3.0, 3, 3, 9]])
    theirs = {"boxes": tv_tensors.BoundingBoxes(box, format="XYXY", canvas_size=SIZE), "mask": tv_tensors.Mask(torch.zeros(1, *SIZE)), "labels": torch.zeros(1)}
    assert tv.SanitizeBoundingBoxes()(theirs)["mask"].shape == (0, *SIZE)
    mine = {"boxes": BoundingBoxes(box, format="XYXY", canvas_size=SIZE), "masks": Mask(torch.zeros(1, *SIZE, dtype=torch.uint8)), "labels": Label([0])}
    out = SanitizeBoundingBoxes()(mine)
    assert out["masks"].shape == (1, *SIZE) and len(out["boxes"]) == len(out["labels"]) == 0
    theirs = {"boxes": tv_tensors.BoundingBoxes(BAD, format="XYXY", canvas_size=(4, 40)), "mask": tv_tensors.Mask(torch.zeros(4, 40)), "labels": torch.zeros(4)}
    assert tv.SanitizeBoundingBoxes()(theirs)["mask"].shape != (4, 40)
    mine = {"boxes": BoundingBoxes(BAD, format="XYXY", canvas_size=(4, 40)), "masks": Mask(torch.zeros(4, 40, dtype=torch.uint8)), "labels": Label([1, 2, 3, 4])}
    assert SanitizeBoundingBoxes()(mine)["masks"].shape == (4, 40)


def test_labels_are_found_by_name():
    boxes = BoundingBoxes(BAD, format="XYXY", canvas_size=SIZE)
    for name in ("labels", "LABELS", "gt_label"):
        assert SanitizeBoundingBoxes()({"bbox": boxes, name: Label([1, 2, 3, 4])})[name].tolist() == [1, 3]
    nested = {"image": Image(torch.zeros(3, *SIZE)), "target": {"boxes": boxes, "labels": Label([1, 2, 3, 4])}, "labels": Label([9] * 4)}
    out = SanitizeBoundingBoxes()(nested)
    assert out["target"]["labels"].tolist() == [1, 3] and out["labels"].tolist() == [9] * 4
    pair = SanitizeBoundingBoxes()((nested["image"], nested["target"]))
    assert pair[1]["labels"].tolist() == [1, 3]
    by_hand = SanitizeBoundingBoxes(labels_getter=lambda leaves: (leaves["target.scores"], leaves["labels"]), instances=("boxes",))
    out = by_hand({**nested, "target": {"boxes": boxes, "scores": Label([1, 2, 3, 4])}})
    assert out["target"]["scores"].tolist() == [1, 3] and out["labels"].tolist() == [9, 9]
    with pytest.raises(PlanError, match="'classes' is a Label with rows beside 'boxes'"):
        SanitizeBoundingBoxes()({"boxes": boxes, "classes": Label([1, 2, 3, 4])})
    assert len(SanitizeBoundingBoxes(labels_getter=None)({"boxes": boxes, "classes": Label([1, 2, 3, 4])})["classes"]) == 4
    assert len(SanitizeBoundingBoxes()({"boxes": boxes, "label": Label(3)})["boxes"]) == 2
    with pytest.raises(PlanError, match="no 'kinds' beside 'boxes'"):
        SanitizeBoundingBoxes(labels_getter="kinds")({"boxes": boxes})
    with pytest.raises(PlanError, match="must return leaves"):
        SanitizeBoundingBoxes(labels_getter=lambda leaves: torch.zeros(4))({"boxes": boxes})
    with pytest.raises(PlanError, match="'boxes': 4, 'labels': 3"):
        SanitizeBoundingBoxes()({"boxes": boxes, "labels": Label([1, 2, 3])})
    with pytest.raises(PlanError, match="a list or an array"):
        SanitizeBoundingBoxes()({"boxes": boxes, "labels": ["a", "b", "c", "d"]})
    with pytest.raises(PlanError, match="'gt_labels' is a list"):
        SanitizeBoundingBoxes()({"boxes": boxes, "gt_labels": ["a", "b", "c", "d"]})
    assert len(SanitizeBoundingBoxes()(boxes)) == len(SanitizeBoundingBoxes()({"boxes": boxes, "file": "a", "n": [1, 2]})["boxes"]) == 2
    with pytest.raises(PlanError, match="a list or an array"):
        T.Compose([SanitizeBoundingBoxes()], passthrough=("area",))({"boxes": boxes, "area": np.zeros(4)})


def test_several_boxes_in_a_sample_are_each_their_own_group_unless_named_together():
    proposals = BoundingBoxes([[1.0, 1, 2, 1], [1, 1, 8, 8]], format="XYXY", canvas_size=SIZE)
    out = SanitizeBoundingBoxes(labels_getter=None)(objects(proposals=proposals))
    assert len(out["proposals"]) == 1 and len(out["boxes"]) == len(out["labels"]) == 2
    second = BoundingBoxes(BAD[[0, 0, 1, 0]], format="XYXY", canvas_size=SIZE)
    out = SanitizeBoundingBoxes(instances=("boxes", "later", "labels"))(objects(later=second))
    assert out["labels"].tolist() == [1] and len(out["boxes"]) == len(out["later"]) == 1


def test_sanitize_is_torchvisions_on_a_whole_sample():
    theirs = tv.SanitizeBoundingBoxes()({"boxes": tv_tensors.BoundingBoxes(BAD, format="XYXY", canvas_size=SIZE), "labels": torch.arange(4), "masks": tv_tensors.Mask(torch.arange(4)[:, None, None].expand(4, *SIZE))})
    ours = SanitizeBoundingBoxes()(objects())
    assert torch.equal(ours["boxes"].plain(), theirs["boxes"].as_subclass(torch.Tensor)) and (ours["labels"] - 1).tolist() == theirs["labels"].tolist()
    assert torch.equal(ours["masks"].plain(), theirs["masks"].as_subclass(torch.Tensor))


# Sanitize points


@pytest.mark.differs("SanitizeKeyPoints at the far border", "points at W or H are outside", "inside: the canvas is [0, W] x [0, H]")
def test_loose_points_stay_as_in_torchvision_but_the_canvas_is_closed():
    points = torch.tensor([[1.0, 2], [-0.5, 2], [40, 32], [39.5, 31.5], [3, 33], [float("nan"), 1], [0, 0]])
    _, theirs = tvf.sanitize_keypoints(tv_tensors.KeyPoints(points, canvas_size=SIZE))
    out, ours = sanitize_keypoints(KeyPoints(points, canvas_size=SIZE))
    differ = torch.tensor([False, False, True, False, False, False, False])  # (W, H), where a box may end and a flip leads from (0, 0)
    assert torch.equal(ours ^ theirs, differ) and len(out) == 4 and torch.equal(sanitize_keypoints(points, SIZE)[1], ours)
    sample = {"keypoints": KeyPoints(points, canvas_size=SIZE), "labels": Label(range(7)), "boxes": BoundingBoxes([[1.0, 1, 5, 5]], format="XYXY", canvas_size=SIZE)}
    out = SanitizeKeyPoints()(sample)
    assert len(out["keypoints"]) == 4 and len(out["labels"]) == 7 and len(out["boxes"]) == 1
    assert SanitizeKeyPoints(labels_getter="default", instances=("keypoints",))(sample)["labels"].tolist() == [0, 2, 3, 6]
    hidden = KeyPoints([[-9.0, 1], [-9, 1]], canvas_size=SIZE, visibility=[0, 2])
    assert sanitize_keypoints(hidden)[1].tolist() == [True, False]


PEOPLE = torch.tensor([
    [[2.0, 2], [5, 5]],      # in
    [[2, 2], [99, 5]],       # half in
    [[-3, 2], [99, 5]],      # out
    [[0, 0], [99, 5]],       # its only labelled point is out
    [[0, 0], [0, 0]],        # nothing labelled
])  # fmt: skip
SEEN = torch.tensor([[2, 1], [2, 2], [1, 2], [0, 2], [0, 0]])


@pytest.mark.differs("SanitizeKeyPoints of objects", "drops an object if any of its points is outside", "drops it if no labelled point is left inside; those outside lose their label")
def test_an_object_goes_when_none_of_its_labelled_points_is_left():
    people = KeyPoints(PEOPLE, canvas_size=SIZE, visibility=SEEN)
    out, stay = sanitize_keypoints(people)
    assert stay.tolist() == [True, True, False, False, True]
    assert out.visibility.tolist() == [[2, 1], [2, 0], [0, 0]] and out.tolist() == [[[2, 2], [5, 5]], [[2, 2], [0, 0]], [[0, 0], [0, 0]]]
    again, twice = sanitize_keypoints(out)
    assert twice.all() and torch.equal(again.plain(), out.plain())
    plain, stay = sanitize_keypoints(KeyPoints(PEOPLE, canvas_size=SIZE))
    assert stay.tolist() == [True, True, False, True, True] and torch.equal(plain.plain(), PEOPLE[stay])
    _, theirs = tvf.sanitize_keypoints(tv_tensors.KeyPoints(PEOPLE, canvas_size=SIZE))
    assert theirs.tolist() == [True, False, False, False, True]  # the person half in the picture is lost


def test_objects_go_with_all_that_describes_them_by_their_points():
    sample = {
        "image": Image(torch.zeros(3, *SIZE)), "keypoints": KeyPoints(PEOPLE, canvas_size=SIZE, visibility=SEEN), "labels": Label(range(5)),
        "boxes": BoundingBoxes(torch.ones(5, 4), format="XYWH", canvas_size=SIZE), "masks": Mask(torch.zeros(5, *SIZE, dtype=torch.bool), kind="instance"),
    }  # fmt: skip
    out = SanitizeKeyPoints()(sample)
    assert out["labels"].tolist() == [0, 1, 4] and len(out["boxes"]) == len(out["masks"]) == 3
    assert len(SanitizeKeyPoints(instances=("keypoints",))(sample)["labels"]) == 5


# Batches


@pytest.mark.parametrize("transform", [SanitizeBoundingBoxes(), SanitizeBoundingBoxes(4, 30), SanitizeKeyPoints(), SanitizeKeyPoints("default"), T.Compose([ClampBoundingBoxes(), SanitizeBoundingBoxes(), SanitizeKeyPoints()])], ids=repr)
@pytest.mark.parametrize("sizes", [[SIZE] * 5, [SIZE, (9, 50), (70, 8), SIZE, (20, 20)]], ids=["alike", "unequal"])
@pytest.mark.parametrize("format", ["XYXY", "CXCYWHR"])
def test_a_batch_is_the_loop(transform, sizes, format):
    samples = []
    for b, size in enumerate(sizes):
        g = torch.Generator().manual_seed(b)
        samples.append({
            "image": Image(torch.zeros(1, *size)), "boxes": BoundingBoxes(written(turned(b, b, torch.float32), format), format=format, canvas_size=size),
            "labels": Label(torch.arange(b)), "masks": Mask(torch.rand(b, *size, generator=g) > 0.5, kind="instance"),
            "keypoints": KeyPoints(torch.randn(b, 2, 2, generator=g) * 30, canvas_size=size, visibility=torch.randint(0, 3, (b, 2), generator=g)),
            "area": torch.rand(b, generator=g),
        })  # fmt: skip
    transform = T.Compose([transform], passthrough=("area",))
    batch = collate(samples)
    out = transform(batch, key=Key.of(0, np.arange(5)))
    assert out["image"] is batch["image"]
    for b, sample in enumerate(samples):
        alone, got = transform(sample), out.samples()[b]
        for name in sample:
            assert type(got[name]) is type(alone[name]) and got[name].shape == alone[name].shape
            assert torch.equal(torch.as_tensor(got[name]), torch.as_tensor(alone[name])), name
            if name == "keypoints":
                assert torch.equal(got[name].visibility, alone[name].visibility)
    assert sum(len(s["labels"]) for s in out.samples()) < 10


def test_a_batch_of_equal_counts_may_hold_a_stacked_tensor():
    samples = [{"boxes": BoundingBoxes(BAD[rows], format="XYXY", canvas_size=SIZE), "area": torch.arange(2.0)} for rows in ([0, 1], [1, 3])]
    batch = collate(samples)
    assert type(batch["area"]) is torch.Tensor
    out = T.Compose([SanitizeBoundingBoxes()], passthrough=("area",))(batch)
    assert [a.tolist() for a in out["area"]] == [[0.0], []]


def test_values_and_what_is_known_after():
    info = Info.of([objects()])
    assert "boxes" in info.counts and "boxes" in info.boxes
    for transform in (SanitizeBoundingBoxes(2, labels_getter="classes"), SanitizeKeyPoints(instances=T.Instances("keypoints", "labels"))):
        assert T.from_json(T.to_json(transform), classes=[SanitizeBoundingBoxes, SanitizeKeyPoints]) == transform and not transform.random
        after = transform.after({}, info)
        assert set(after.counts) == {"image"} and not after.boxes and after.sizes is info.sizes
        assert transform.inverse({}, (sample := objects()), info) is sample
    with pytest.raises(PlanError, match="code"):
        T.to_json(SanitizeBoundingBoxes(labels_getter=lambda leaves: None))
