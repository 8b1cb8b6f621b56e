"""RandomIoUCrop: the rules that its windows obey, torchvision's law, and everything moved and dropped together."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.ops import box_iou

from vdata import Key
from vdata import transforms as T
from vdata.batch import Batch, collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.transforms import Info, functional, params_from_json, params_to_json, row
from vdata.transforms.iou_crop import OPTIONS, RandomIoUCrop
from vdata.transforms.random_resize import ScaleJitter
from vdata.transforms.zoom_out import RandomZoomOut

SIZE = (40, 60)
FORMATS = ("XYXY", "XYWH", "CXCYWH", "XYWHR", "CXCYWHR", "XYXYXYXY")
seeds = st.integers(0, 2**32 - 1)


def some_boxes(seed, count=4, size=SIZE):
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=g) * torch.tensor([size[1], size[0]]) * 0.7
    return torch.cat([low, low + 2 + torch.rand(count, 2, generator=g) * 0.3 * min(size)], 1)


def scene(seed=0, count=4, size=SIZE, format="XYXY"):
    g = torch.Generator().manual_seed(seed)
    boxes = functional.convert_bounding_box_format(some_boxes(seed, count, size), "XYXY", format)
    return {
        "image": Image(torch.randint(0, 256, (3, *size), generator=g, dtype=torch.uint8)),
        "clip": Video(torch.rand(2, 3, *size, generator=g)),
        "flow": Flow(torch.randn(2, *size, generator=g), views=("image", "image2")),
        "mask": Mask(torch.randint(0, 2**60, size, generator=g), frame="image"),
        "boxes": BoundingBoxes(boxes, format=format, canvas_size=size, frame="image"),
        "labels": Label(torch.arange(count)),
        "masks": Mask(torch.arange(count)[:, None, None].expand(count, *size), kind="instance", frame="image"),
        "keypoints": KeyPoints(torch.rand(count, 3, 2, generator=g) * 40, canvas_size=size, frame="image"),
    }


def windows(transform, boxes, count, seed=0):
    params = transform.draw(Key.of(seed, np.arange(count)), Info({"image": np.tile([boxes.canvas_size], (count, 1))}, count=count))
    return [transform.window(row(params, b), boxes) for b in range(count)]


@given(seed=seeds, option=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7]), format=st.sampled_from(FORMATS))
def test_a_window_obeys_all_rules(seed, option, format):
    sample, transform = scene(seed, format=format), RandomIoUCrop(sampler_options=[option])
    params = transform.draw(Key.of(seed), Info.of([sample]))
    window = transform.window(row(params, 0), sample["boxes"])
    if window is None:  # no window found in 50 times 40 trials: it must be hard
        assert option >= 0.3 and transform(sample, key=Key.of(seed))["image"] is not None
        return
    top, left, height, width = window
    assert 0 <= top <= 40 - height and 0 <= left <= 60 - width and 12 <= height <= 40 and 18 <= width <= 60 and 0.5 <= width / height <= 2
    upright = functional.convert_bounding_box_format(sample["boxes"].plain().double(), format, "XYXY")
    centre = (upright[:, :2] + upright[:, 2:]) / 2
    inside = (centre > torch.tensor([left, top])).all(1) & (centre < torch.tensor([left + width, top + height])).all(1)
    iou = box_iou(upright, torch.tensor([[left, top, left + width, top + height]], dtype=torch.float64))[:, 0]
    assert inside.any() and iou[inside].max() >= option - 1e-9
    out = transform.apply(row(params, 0), sample)
    assert out["labels"].tolist() == inside.nonzero()[:, 0].tolist()


def test_the_first_window_that_fits_is_taken():
    transform, boxes = RandomIoUCrop(sampler_options=[0.4, 0.6], trials=7), BoundingBoxes(some_boxes(3), format="XYXY", canvas_size=SIZE)
    for seed in range(10):
        params = {"trials": seed}
        key = Key(np.array([seed], np.uint64))
        options = key.fold("options").integers(0, 2, 50)[0]
        expected = None
        for number in range(50):
            for top, left, height, width in transform._windows(key.fold(number), SIZE).tolist():
                centre = (boxes.plain()[:, :2] + boxes.plain()[:, 2:]).double() / 2
                inside = (centre > torch.tensor([left, top])).all(1) & (centre < torch.tensor([left + width, top + height])).all(1)
                iou = box_iou(boxes.plain().double(), torch.tensor([[left, top, left + width, top + height]]).double())[:, 0]
                if inside.any() and iou[inside].max() >= [0.4, 0.6][options[number]] and expected is None:
                    expected = (top, left, height, width)
            if expected:
                break
        assert transform.window(params, boxes) == expected


def test_windows_have_torchvisions_law():
    sample = scene(7, count=2)
    boxes, count = sample["boxes"], 300
    ours = windows(RandomIoUCrop(), boxes, 2000)
    theirs_boxes = tv_tensors.BoundingBoxes(boxes.plain(), format="XYXY", canvas_size=SIZE)
    torch.manual_seed(0)
    theirs = [tv.RandomIoUCrop().make_params([sample["image"].plain(), theirs_boxes]) for _ in range(count)]
    kept = sum(w is None for w in ours) / len(ours)
    assert abs(kept - sum(not p for p in theirs) / count) < 0.1
    a = np.array([w for w in ours if w is not None], float)
    b = np.array([[p["top"], p["left"], p["height"], p["width"]] for p in theirs if p], float)
    error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    assert (np.abs(a.mean(0) - b.mean(0)) < 4.5 * error).all()
    assert (np.abs(np.quantile(a, [0.2, 0.5, 0.8], 0) - np.quantile(b, [0.2, 0.5, 0.8], 0)) <= 4).all()


def test_pixels_and_boxes_are_torchvisions_under_the_same_window():
    transform = RandomIoUCrop(sampler_options=[0.0, 0.2])
    for seed in range(12):
        sample = scene(seed)
        params = row(transform.draw(Key.of(seed), Info.of([sample])), 0)
        window = transform.window(params, sample["boxes"])
        assert window is not None
        top, left, height, width = window
        out = transform.apply(params, sample)
        stay = out["labels"].plain()
        inside = torch.zeros(4, dtype=torch.bool).index_fill(0, stay, True)
        theirs = {"top": top, "left": left, "height": height, "width": width, "is_within_crop_area": inside}
        boxes = tv.RandomIoUCrop().transform(tv_tensors.BoundingBoxes(sample["boxes"].plain(), format="XYXY", canvas_size=SIZE), theirs)
        assert torch.equal(out["image"].plain(), tv.RandomIoUCrop().transform(tv_tensors.Image(sample["image"].plain()), theirs).as_subclass(torch.Tensor))
        assert torch.allclose(out["boxes"].plain(), boxes.as_subclass(torch.Tensor)[inside], atol=1e-5)
        assert torch.equal(out["clip"].plain(), tvf.crop(sample["clip"].plain(), top, left, height, width))
        assert torch.equal(out["mask"].plain(), sample["mask"].plain()[top : top + height, left : left + width])
        assert torch.equal(out["flow"].plain(), sample["flow"].plain()[:, top : top + height, left : left + width]) and out["flow"].target_size == (height, width)


@pytest.mark.differs("RandomIoUCrop, what is cut off", "boxes become 0; labels, masks and key points stay", "dropped, all that describes an object together")
@pytest.mark.differs("RandomIoUCrop of Video", "raises TypeError", "moved, as flows are")
def test_torchvision_zeroes_boxes_and_leaves_the_rest_and_knows_no_clips():
    sample = scene(4)
    theirs = {"image": tv_tensors.Image(sample["image"].plain()), "boxes": tv_tensors.BoundingBoxes(sample["boxes"].plain(), format="XYXY", canvas_size=SIZE), "masks": tv_tensors.Mask(sample["masks"].plain()), "labels": torch.arange(4)}
    torch.manual_seed(3)
    outs = [tv.RandomIoUCrop(sampler_options=[0.0])(theirs) for _ in range(10)]
    assert any((out["boxes"] == 0).all(1).any() for out in outs) and all(len(out["masks"]) == len(out["labels"]) == 4 for out in outs)
    with pytest.raises(TypeError):
        tv.RandomIoUCrop()({"clip": tv_tensors.Video(sample["clip"].plain()), "boxes": theirs["boxes"]})
    dropped = 0
    for seed in range(10):
        out = RandomIoUCrop(sampler_options=[0.0])(sample, key=Key.of(seed))
        rows = out["labels"].tolist()
        assert len(out["boxes"]) == len(rows) and out["masks"][:, 0, 0].tolist() == rows and len(out["keypoints"]) == len(rows)
        assert (out["boxes"].plain()[:, 2:] > out["boxes"].plain()[:, :2]).all() and out["clip"].canvas == out["image"].canvas
        dropped += 4 - len(rows)
    assert dropped


@pytest.mark.parametrize("format", FORMATS[3:])
@pytest.mark.differs("RandomIoUCrop of rotated boxes", "raises ValueError", "overlap by their hull, stay by their centre")
def test_turned_boxes_are_chosen_by_their_hull_and_kept_by_their_centre(format):
    raised = 0
    for seed in range(6):
        boxes = torch.tensor([[20.0, 20, 20, 6, 40], [50, 10, 5, 9, -20]])
        values = functional.convert_bounding_box_format(boxes, "CXCYWHR", format)
        torch.manual_seed(seed)
        try:
            tv.RandomIoUCrop()({"image": tv_tensors.Image(torch.zeros(3, *SIZE)), "boxes": tv_tensors.BoundingBoxes(values, format=format, canvas_size=SIZE)})
        except ValueError:
            raised += 1
        turned = BoundingBoxes(values, format=format, canvas_size=SIZE)
        hull = BoundingBoxes(functional.convert_bounding_box_format(values.double(), format, "XYXY"), format="XYXY", canvas_size=SIZE)
        assert windows(RandomIoUCrop(), turned, 20, seed) == windows(RandomIoUCrop(), hull, 20, seed)
        out = RandomIoUCrop(sampler_options=[0.0])({"boxes": turned, "labels": Label([0, 1])}, key=Key.of(seed))
        assert len(out["boxes"]) == len(out["labels"]) >= 1 and out["boxes"].format == format
    assert raised


@pytest.mark.differs("RandomIoUCrop without boxes", "goes on for ever where no option is 1", "leaves the sample as it is")
def test_without_boxes_or_a_window_the_sample_stays():
    """torchvision goes on for ever where no option is 1 and there is no box."""
    sample, empty = scene(1), scene(1, count=0)
    transform = RandomIoUCrop(sampler_options=[0.3])
    assert transform(empty, key=Key.of(0))["image"] is empty["image"]
    impossible = RandomIoUCrop(sampler_options=[0.99], trials=3)
    assert impossible(sample, key=Key.of(0))["image"] is sample["image"]
    assert RandomIoUCrop(sampler_options=[1.0, 2])(sample, key=Key.of(0))["image"] is sample["image"]
    nan = BoundingBoxes([[float("nan")] * 4], format="XYXY", canvas_size=SIZE)
    assert RandomIoUCrop(sampler_options=[0.0])({"boxes": nan}, key=Key.of(0))["boxes"] is nan
    with pytest.raises(PlanError, match="needs boxes"):
        transform({"image": sample["image"]})


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 3), (1, 7)])
@pytest.mark.differs("RandomIoUCrop of tiny pictures", "raises ZeroDivisionError at times", "windows of at least a pixel")
def test_tiny_canvases_keep_a_pixel(size):
    boxes = BoundingBoxes([[0.0, 0, size[1], size[0]]], format="XYXY", canvas_size=size)
    shapes = {w[2:] for w in windows(RandomIoUCrop(sampler_options=[0.0]), boxes, 60) if w is not None}
    assert all(h >= 1 and w >= 1 for h, w in shapes) and (size != (3, 3) or len(shapes) > 1)
    if size == (3, 3):
        failed = 0
        for seed in range(30):
            torch.manual_seed(seed)
            try:
                tv.RandomIoUCrop()({"image": tv_tensors.Image(torch.zeros(3, 3, 3)), "boxes": tv_tensors.BoundingBoxes(boxes.plain(), format="XYXY", canvas_size=size)})
            except ZeroDivisionError:
                failed += 1
        assert failed


def test_a_batch_is_the_loop_and_params_are_replayed():
    transform = RandomIoUCrop()
    for sizes in ([SIZE] * 6, [SIZE, (30, 31), (50, 20), SIZE, (33, 44), (12, 90)]):
        samples = [scene(b, b % 4, size) for b, size in enumerate(sizes)]
        together = transform(collate(samples), key=Key.of(2, np.arange(6)))
        assert isinstance(together, Batch)
        changed = 0
        for b, got in enumerate(together.samples()):
            alone = transform(samples[b], key=Key.of(2, b))
            params = row(transform.draw(Key.of(2, b).fold("RandomIoUCrop#0"), Info.of([samples[b]])), 0)
            again = transform.apply(params_from_json(params_to_json(params)), samples[b])
            changed += got["image"].canvas != samples[b]["image"].canvas
            for name in alone:
                assert type(got[name]) is type(alone[name]) and torch.equal(got[name].plain(), alone[name].plain()) and torch.equal(again[name].plain(), alone[name].plain())
                assert got[name].canvas == alone[name].canvas
        assert changed


def test_what_follows_knows_the_canvas():
    samples = [scene(b, 3) for b in range(8)]
    transform, info = RandomIoUCrop(), Info.of(samples)
    assert len(info.take([1, 5]).boxes["boxes"]) == 2 and torch.equal(info.take([5]).boxes["boxes"][0], samples[5]["boxes"])
    params = transform.draw(Key.of(3, np.arange(8)), info)
    after = transform.after(params, info)
    for b, sample in enumerate(samples):
        out = transform.apply(row(params, b), sample)
        assert out["image"].canvas == tuple(after.sizes["image"][b].tolist()) and out["flow"].target_size == tuple(after.sizes["image2"][b].tolist())
    assert not after.boxes and "boxes" not in after.counts
    chain = T.Compose([T.ColorJitter(0.5), transform, T.RandomCrop(10, pad_if_needed=True)])
    for one in (samples[0], collate(samples)):
        out = chain(one, key=Key.of(0, np.arange(8) if isinstance(one, Batch) else 0))
        assert (out["image"] if isinstance(one, Batch) else out["image"][None]).shape[1:] == (3, 10, 10)
    sizes = Info.of_batch(collate(samples)).boxes["boxes"]
    assert all(torch.equal(sizes[b], samples[b]["boxes"]) for b in range(8))


def test_boxes_that_have_moved_are_known_and_where_they_are_not_no_wrong_canvas_is_foretold():
    sample = scene(2)
    preset = T.Compose([T.ColorJitter(0.5), RandomZoomOut(p=1.0), RandomIoUCrop(), RandomIoUCrop(), T.RandomHorizontalFlip(), T.Resize((30, 30))])
    for seed in range(5):
        assert preset(sample, key=Key.of(seed))["image"].shape == (3, 30, 30)
    assert preset(collate([sample, sample]), key=Key.of(0, np.arange(2)))["image"].shape == (2, 3, 30, 30)
    jitter = T.Compose([RandomZoomOut(p=1.0), RandomIoUCrop(), ScaleJitter(20, (1, 1))])  # draws by no size
    assert max(jitter(sample, key=Key.of(1))["image"].canvas) == 20
    cropped = T.Compose([RandomZoomOut(p=1.0), RandomIoUCrop(), T.RandomCrop(10, pad_if_needed=True)])
    for seed in range(5):  # the window that is chosen by the moved boxes is known before anything is moved
        assert cropped(sample, key=Key.of(seed))["image"].shape == (3, 10, 10)
    with pytest.raises(PlanError):
        T.Compose([RandomIoUCrop(), T.RandomResizedCrop(20), RandomIoUCrop(), T.RandomCrop(10, pad_if_needed=True)])(sample, key=Key.of(0))
    maybe = T.Compose([RandomZoomOut(p=1.0), T.RandomApply([RandomIoUCrop()]), T.RandomHorizontalFlip()])
    assert maybe(collate([sample] * 6), key=Key.of(0, np.arange(6))).size == 6
    with pytest.raises(PlanError, match="by boxes that others had moved"):
        RandomIoUCrop().after({}, Info.of([sample]).resized({})).size


def test_the_way_back():
    sample, transform = scene(9), RandomIoUCrop(sampler_options=[0.0])
    info = Info.of([sample])
    params = transform.draw(Key.of(5), info)
    out = transform.apply(row(params, 0), sample)
    back = transform.inverse(params, {"boxes": out["boxes"], "image": out["image"]}, info)
    assert back["boxes"].canvas == SIZE == back["image"].canvas
    rows = out["labels"].plain()
    window = transform.window(row(params, 0), sample["boxes"])
    assert window is not None
    cut = functional.crop(sample["boxes"], *window).plain() + torch.tensor([window[1], window[0]] * 2)
    assert torch.allclose(back["boxes"].plain(), cut[rows], atol=1e-4)
    with pytest.raises(NoKernelError, match="knows the boxes"):
        transform.inverse(params, out, info.resized(info.sizes))
    empty = scene(0, count=0)
    assert transform.inverse(params, empty, Info.of([empty])) is empty


def test_several_boxes_and_frames():
    sample = scene(3)
    more = {**sample, "proposals": BoundingBoxes(some_boxes(8, 7), format="XYXY", canvas_size=SIZE, frame="image")}
    out = RandomIoUCrop(sampler_options=[0.0])(more, key=Key.of(0))
    assert len(out["proposals"]) == 7 and out["proposals"].canvas == out["image"].canvas
    by_proposals = RandomIoUCrop(sampler_options=[0.0], instances=("proposals",))(more, key=Key.of(0))
    assert len(by_proposals["labels"]) == 4 and 1 <= len(by_proposals["proposals"]) <= 7
    two = {"a": sample["boxes"], "b": sample["boxes"], "image": sample["image"]}
    with pytest.raises(PlanError, match="found a, b: say which"):
        RandomIoUCrop()(two)
    with pytest.raises(PlanError, match="one size"):
        RandomIoUCrop()({**sample, "image2": Image(torch.zeros(3, 8, 8)), "flow": Flow(torch.zeros(2, *SIZE), views=("image", "image2"), target_size=(8, 8))})
    with pytest.raises(PlanError, match="'boxes': 4, 'labels': 2"):
        RandomIoUCrop()({**sample, "labels": Label([1, 2])})


def test_arguments_and_values():
    assert RandomIoUCrop().sampler_options == OPTIONS == tuple(tv.RandomIoUCrop().options) and RandomIoUCrop().trials == tv.RandomIoUCrop().trials
    for name in ("min_scale", "max_scale", "min_aspect_ratio", "max_aspect_ratio"):
        assert getattr(RandomIoUCrop(), name) == getattr(tv.RandomIoUCrop(), name)
    for wrong in ({"min_scale": 0}, {"min_scale": 0.9, "max_scale": 0.5}, {"max_scale": 1.5}, {"min_aspect_ratio": 3}, {"sampler_options": []}, {"trials": 0}, {"instances": "boxes"}):
        with pytest.raises(ValueError):
            RandomIoUCrop(**wrong)
    transform = RandomIoUCrop(0.5, sampler_options=[0.2, 1], instances=("boxes", "labels"))
    assert T.from_json(T.to_json(transform), classes=[RandomIoUCrop]) == transform and hash(transform) == hash(RandomIoUCrop(0.5, sampler_options=[0.2, 1], instances=["boxes", "labels"]))
    assert transform.random and "boxes" in T.Compose([transform]).needs
