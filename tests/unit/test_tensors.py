"""The seven types keep what they are where torch lets them, and torchvision's do not."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision.tv_tensors as tv
from torch.utils.data import DataLoader, default_collate

from vdata.tensors import TYPES, BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video

MAKE = {
    "Image": lambda: Image(torch.arange(24, dtype=torch.float32).reshape(3, 2, 4)),
    "Video": lambda: Video(torch.arange(48, dtype=torch.float32).reshape(2, 3, 2, 4)),
    "BoundingBoxes": lambda: BoundingBoxes([[0.0, 1, 2, 3], [1, 1, 3, 2]], format="XYWH", canvas_size=(4, 5), frame="image1"),
    "KeyPoints": lambda: KeyPoints(torch.arange(12.0).reshape(2, 3, 2), canvas_size=(4, 5), visibility=torch.tensor([[0, 1, 2], [2, 1, 0]])),
    "Mask": lambda: Mask(torch.arange(8).reshape(2, 4), ignore_index=255, categories=("a", "b"), frame="image2"),
    "Flow": lambda: Flow(torch.arange(16.0).reshape(2, 2, 4), views=("left", "right"), target_size=(3, 5), sparse=True),
    "Label": lambda: Label([0, 1], categories=("cat", "dog")),
}  # fmt: skip


def same_meta(a, b):
    one, two = a.meta(), b.meta()
    return one.keys() == two.keys() and all(torch.equal(v, two[n]) if isinstance(v, torch.Tensor) else v == two[n] for n, v in one.items())


def identical(a, b):
    return type(a) is type(b) and torch.equal(a.plain(), b.plain()) and same_meta(a, b) and a.dtype == b.dtype


KEEPS = {
    "to device": lambda t: t.to("cpu", copy=True), "cpu": lambda t: t.cpu(), "clone": lambda t: t.clone(), "detach": lambda t: t.detach(),
    "contiguous": lambda t: t.contiguous(), "deepcopy": copy.deepcopy, "copy": copy.copy, "pickle": lambda t: pickle.loads(pickle.dumps(t)),
    "torch.clone": torch.clone, "to dtype": lambda t: t.to(t.dtype), "saved": lambda t: saved(t), "all rows": lambda t: t[:],
}  # fmt: skip


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_there_are_seven_types():
    assert list(MAKE) and set(MAKE) == set(TYPES)


@pytest.mark.parametrize("how", KEEPS)
@pytest.mark.parametrize("name", MAKE)
def test_what_only_moves_or_copies_keeps_type_and_metadata(name, how):
    value = MAKE[name]()
    out = KEEPS[how](value)
    if how == "all rows" and value.ndim == value._core:
        assert type(out) is torch.Tensor
    else:
        assert identical(out, value)


@pytest.mark.parametrize("name", MAKE)
def test_casts_keep_type_and_metadata(name):
    value = MAKE[name]()
    assert type(value.double()) is type(value) and value.double().dtype == torch.float64 and same_meta(value, value.double())
    if name != "Flow":
        for cast, dtype in ((value.half(), torch.float16), (value.int(), torch.int32), (value.to(torch.bfloat16), torch.bfloat16), (value.type(torch.int64), torch.int64)):
            assert type(cast) is type(value) and cast.dtype == dtype and same_meta(value, cast)


ARITHMETIC = {
    "add": lambda t: t + 1, "mul": lambda t: 2 * t, "compare": lambda t: t > 1, "sum": lambda t: t.sum(), "mean": lambda t: t.double().mean(),
    "unsqueeze": lambda t: t.unsqueeze(0), "reshape": lambda t: t.reshape(-1), "ellipsis": lambda t: t[..., 0] if t.ndim else t + 0, "where": lambda t: torch.where(t > 1, t, 0),
    "flip": lambda t: t.flip(0), "zeros_like": torch.zeros_like, "max": lambda t: torch.maximum(t, t), "permute": lambda t: t.movedim(0, -1),
}  # fmt: skip


@pytest.mark.parametrize("how", ARITHMETIC)
@pytest.mark.parametrize("name", MAKE)
def test_arithmetic_gives_a_plain_tensor(name, how):
    assert type(ARITHMETIC[how](MAKE[name]())) is torch.Tensor


@pytest.mark.parametrize("name", MAKE)
def test_torchs_default_collate_and_its_workers_keep_the_type(name):
    value = MAKE[name]()
    batch = default_collate([{"x": value}, {"x": value.clone()}])["x"]
    assert type(batch) is type(value) and batch.shape == (2, *value.shape)
    assert {n: v for n, v in batch.meta().items() if n != "visibility"} == {n: v for n, v in value.meta().items() if n != "visibility"}
    through = next(iter(DataLoader([{"x": value}] * 4, batch_size=2, num_workers=1)))["x"]
    assert identical(through, batch)
    alone = next(iter(DataLoader([{"x": value}] * 2, batch_size=None, num_workers=1)))["x"]
    assert identical(alone, value)


def test_torchvisions_types_lose_what_ours_keep():
    """The contrast that made us write our own: if torchvision mends these, this test says so."""
    boxes = tv.BoundingBoxes([[0.0, 1, 2, 3]], format="XYWH", canvas_size=(4, 5))
    assert type(default_collate([boxes, boxes])) is torch.Tensor
    assert type(torch.stack([boxes, boxes])) is torch.Tensor
    assert type(boxes[:1]) is torch.Tensor
    with pytest.raises(Exception, match=r"weights_only|WeightsUnpickler|Unsupported"):
        saved(boxes)
    ours = MAKE["BoundingBoxes"]()
    for out in (default_collate([ours, ours]), torch.stack([ours, ours]), ours[:1], saved(ours)):
        assert type(out) is BoundingBoxes and out.format == "XYWH" and out.canvas_size == (4, 5) and out.frame == "image1"


def test_unequal_shapes_in_default_collate_say_what_to_do():
    with pytest.raises(ValueError, match=r"Image.*Ragged"):
        default_collate([Image(torch.zeros(3, 2, 2)), Image(torch.zeros(3, 2, 3))])


def test_rows_are_chosen_with_their_metadata():
    points = MAKE["KeyPoints"]()
    for index in (slice(1, 2), [1], torch.tensor([1]), torch.tensor([False, True]), np.array([False, True])):
        chosen = points[index]
        assert type(chosen) is KeyPoints and chosen.shape == (1, 3, 2) and chosen.visibility.tolist() == [[2, 1, 0]]
    one = points[1]
    assert type(one) is KeyPoints and one.visibility.tolist() == [2, 1, 0] and points[1, 2].visibility.item() == 0
    assert type(points[..., 0]) is torch.Tensor and type(points[:, :, 0]) is torch.Tensor and type(points[None]) is torch.Tensor
    boxes = MAKE["BoundingBoxes"]()
    assert type(boxes[boxes[:, 0] > 0]) is BoundingBoxes and len(boxes[boxes[:, 0] > 5]) == 0
    assert type(boxes[boxes > 1]) is torch.Tensor and type(boxes[:, 2]) is torch.Tensor and type(boxes[0, 2]) is torch.Tensor
    assert type(Image(torch.zeros(4, 3, 2, 2))[1]) is Image and type(Image(torch.zeros(3, 2, 2))[1]) is torch.Tensor
    labels = MAKE["Label"]()
    assert labels[1].name == "dog" and labels[[1, 0]].name == ["dog", "cat"] and labels.name == ["cat", "dog"]


def test_joins():
    points = MAKE["KeyPoints"]()
    joined = torch.cat([points, points])
    assert type(joined) is KeyPoints and joined.shape == (4, 3, 2) and joined.visibility.shape == (4, 3)
    assert torch.stack([points, points]).visibility.shape == (2, 2, 3)
    assert type(torch.cat([points, points], dim=-1)) is torch.Tensor and type(torch.cat([points, points], dim=2)) is torch.Tensor
    other = KeyPoints(points.plain(), canvas_size=(9, 9), visibility=points.visibility)
    assert type(torch.cat([points, other])) is torch.Tensor, "canvases differ"
    bare = KeyPoints(points.plain(), canvas_size=(4, 5))
    assert type(torch.cat([points, bare])) is torch.Tensor, "one has visibility, the other has none"
    assert type(torch.cat([bare, bare])) is KeyPoints
    assert type(torch.stack([MAKE["Image"](), torch.zeros(3, 2, 4)])) is torch.Tensor
    images = torch.stack([MAKE["Image"]()] * 2)
    assert type(images) is Image and images.canvas == (2, 4) and type(torch.stack(tensors=[MAKE["Flow"]()] * 2)) is Flow


def test_visibility_moves_with_its_points():
    points = MAKE["KeyPoints"]()
    assert points.to("meta").visibility.device.type == "meta"
    clone = points.clone()
    clone.visibility.zero_()
    assert points.visibility.sum() > 0


def test_flow_is_not_cast_below_float32():
    flow = MAKE["Flow"]()
    for cast in (lambda: flow.half(), lambda: flow.to(torch.bfloat16), lambda: flow.int(), lambda: flow.type(torch.float16)):
        with pytest.raises(TypeError, match="force=True"):
            cast()
    forced = flow.to(torch.float16, force=True)
    assert type(forced) is Flow and forced.dtype == torch.float16 and forced.views == ("left", "right")
    assert type(forced.clone()) is Flow and forced.clone().dtype == torch.float16
    with pytest.raises(TypeError, match="float32"):
        Flow(torch.zeros(2, 2, 2, dtype=torch.int64), dtype=None)


def test_unknown_flow():
    flow = Flow(torch.ones(2, 2, 3), valid=[[1, 0, 1], [1, 1, 0]])
    assert flow.valid.tolist() == [[True, False, True], [True, True, False]] and type(flow.valid) is Mask
    assert flow.isnan().sum() == 4 and flow.fill(0).sum() == 8 and type(flow.fill(0)) is torch.Tensor
    assert flow.target_size == (2, 3) and MAKE["Flow"]().target_size == (3, 5)
    half = Flow([[[torch.nan, 1.0]], [[1.0, 1.0]]])
    assert half.valid.tolist() == [[False, True]] and half.fill(7).tolist() == [[[7, 1]], [[7, 1]]]


WRONG = {
    "image": lambda: Image(torch.zeros(3)), "video": lambda: Video(torch.zeros(3, 2, 2)), "boxes": lambda: BoundingBoxes(torch.zeros(2, 5), format="XYXY", canvas_size=(2, 2)),
    "canvas": lambda: BoundingBoxes(torch.zeros(2, 4), format="XYXY", canvas_size=(0, 2)), "format": lambda: BoundingBoxes(torch.zeros(2, 4), format="LTRB", canvas_size=(2, 2)),
    "points": lambda: KeyPoints(torch.zeros(2, 3), canvas_size=(2, 2)), "visibility": lambda: KeyPoints(torch.zeros(2, 2), canvas_size=(2, 2), visibility=[1]),
    "kind": lambda: Mask(torch.zeros(2, 2), kind="panoptic"), "instance": lambda: Mask(torch.zeros(2, 2), kind="instance"),
    "flow": lambda: Flow(torch.zeros(3, 2, 2)), "rotated": lambda: BoundingBoxes(torch.zeros(2, 5, dtype=torch.int64), format="XYWHR", canvas_size=(2, 2)),
    "no categories": lambda: Label(1).name,
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_raises(name):
    with pytest.raises((ValueError, AttributeError)):
        WRONG[name]()


def test_empty_annotations_have_a_type():
    assert BoundingBoxes([], format="xywh", canvas_size=(2, 2)).shape == (0, 4) and BoundingBoxes([], format="XYXYXYXY", canvas_size=(2, 2)).shape == (0, 8)
    assert KeyPoints([], canvas_size=(2, 2)).shape == (0, 2) and Label([]).dtype == torch.int64
    for value in (BoundingBoxes([], format="XYXY", canvas_size=(2, 2)), KeyPoints([], canvas_size=(2, 2)), Label([])):
        assert identical(pickle.loads(pickle.dumps(value)), value) and identical(saved(value), value)


def test_pictures_of_pil():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert torch.equal(Image(PIL.Image.fromarray(pixels)).plain(), torch.from_numpy(pixels).permute(2, 0, 1))
    assert Image(PIL.Image.fromarray(pixels[..., 0])).shape == (1, 4, 5) and Mask(PIL.Image.fromarray(pixels[..., 0])).shape == (4, 5)


@pytest.mark.parametrize("name", MAKE)
def test_a_type_of_a_type_shares_memory_and_prints(name):
    value = MAKE[name]()
    assert isinstance(value, TypedTensor) and type(value.plain()) is torch.Tensor and value.plain().data_ptr() == value.data_ptr()
    assert repr(value).startswith(f"{name}(") and str(list(value.shape)) in repr(value)
    assert "\n" not in repr(value)
    again = type(value).make(value.plain(), value.meta())
    assert identical(again, value)


def test_gradients_pass():
    image = Image(torch.ones(3, 2, 2, requires_grad=True))
    (image.clone() * 2).sum().backward()
    leaf = torch.ones(3, 2, 2, requires_grad=True)
    Image(leaf).double().plain().sum().backward()
    assert torch.equal(leaf.grad, torch.ones(3, 2, 2))
    assert copy.deepcopy(Image(torch.ones(3, 2, 2)).requires_grad_()).requires_grad


def test_in_place_arithmetic_keeps_the_object():
    boxes = MAKE["BoundingBoxes"]()
    boxes += 1
    boxes[:, 0] = 7
    assert type(boxes) is BoundingBoxes and boxes.format == "XYWH" and boxes[0, 0] == 7


@pytest.mark.parametrize("index", [Label([0, 2]), Mask([[True, False, True], [False, False, True], [True, True, True]])])
def test_a_plain_tensor_is_indexed_by_a_typed_one(index):
    weights = torch.arange(9.0).reshape(3, 3)
    found = weights[index]
    assert type(found) is torch.Tensor and torch.equal(found, weights[index.plain()])
