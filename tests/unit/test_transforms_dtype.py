"""Dtypes, normalisation, wrapping and box formats against torchvision."""

import itertools

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from torchvision import tv_tensors

from vdata import transforms as T
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.transforms import functional as F

DTYPES = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64]


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize(("old", "new"), [*itertools.product(DTYPES, DTYPES)], ids=lambda d: str(d).removeprefix("torch."))
def test_to_dtype(old, new, scale):
    x = torch.arange(0, 120).reshape(1, 10, 12)
    x = (x / 119).to(old) if old.is_floating_point else x.to(old)
    if scale and old.is_floating_point and new in (torch.int32, torch.int64) and (old != torch.float64 or new == torch.int64):
        with pytest.raises(TypeError, match="cannot count"):
            F.to_dtype(Image(x), new, scale)
        return
    x32 = x.float() if scale and old == torch.float16 and not new.is_floating_point else x  # torchvision's half overflows at white
    expected = tvf.to_dtype(tv_tensors.Image(x32), new, scale).as_subclass(torch.Tensor)
    if scale and old.is_floating_point and new == torch.uint16:
        expected = expected.int().where(x < 1, 65535).to(new)  # torchvision's white wraps round to 0
    assert torch.equal(F.to_dtype(Image(x), new, scale).plain(), expected)
    assert type(F.to_dtype(Video(x[None]), new, scale)) is Video


def test_to_dtype_by_type():
    sample = {
        "image": Image(torch.full((3, 2, 2), 255, dtype=torch.uint8)), "mask": Mask(torch.ones(2, 2, dtype=torch.uint8)), "label": Label(1),
        "boxes": BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=(2, 2)), "flow": Flow(torch.zeros(2, 2, 2), views=("image", "next")), "id": "a",
    }  # fmt: skip
    dtypes = lambda t: {n: v.dtype for n, v in t(sample).items() if isinstance(v, torch.Tensor)}
    before = {n: v.dtype for n, v in sample.items() if isinstance(v, torch.Tensor)}
    assert dtypes(T.ToDtype(torch.float32, scale=True)) == {**before, "image": torch.float32}
    assert T.ToDtype(torch.float32, scale=True)(sample)["image"].max() == 1
    by_type = T.ToDtype({tv_tensors.Image: torch.float16, Mask: torch.int64, "others": None})
    assert dtypes(by_type) == {**before, "image": torch.float16, "mask": torch.int64}
    assert dtypes(T.ToDtype({"others": torch.float64})) == {n: torch.int64 if n == "label" else torch.float64 for n in before}
    assert dtypes(T.ToDtype({Label: torch.int32, "others": None})) == {**before, "label": torch.int32}
    info = T.Info.of([sample])
    assert by_type.after({}, info).dtypes == {n: str(d).removeprefix("torch.") for n, d in dtypes(by_type).items()}
    assert eval(repr(by_type).replace("'", '"'), {"ToDtype": T.ToDtype, "torch": torch}) == by_type
    with pytest.raises(ValueError, match="says nothing of Mask"):
        T.ToDtype({Image: torch.float32})(sample)
    with pytest.raises(TypeError, match="moves pixels"):
        T.ToDtype({Flow: torch.float16, "others": None})(sample)
    for wrong in ("float32", None, {Image: "float32"}, {"Picture": torch.float32}):
        with pytest.raises(ValueError):
            T.ToDtype(wrong)


def test_normalize():
    x = torch.rand(3, 4, 5)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
    assert torch.equal(F.normalize(Image(x), mean, std).plain(), tvf.normalize(x, mean, std))
    clip = torch.rand(4, 3, 4, 5)
    assert torch.equal(T.Normalize(mean, std)(Video(clip)).plain(), tv.Normalize(mean, std)(tv_tensors.Video(clip)))
    assert torch.equal(F.normalize(x, [0.5], [0.5]), tvf.normalize(x, [0.5] * 3, [0.5] * 3))
    mask = Mask(torch.ones(4, 5, dtype=torch.uint8))
    out = T.Normalize(mean, std)({"image": Image(x), "mask": mask})
    assert out["mask"] is mask
    y = x.clone()
    assert F.normalize(Image(y), mean, std, inplace=True).data_ptr() == y.data_ptr() and torch.equal(y, tvf.normalize(x, mean, std))
    with pytest.raises(TypeError, match="ToDtype"):
        F.normalize(Image(x.to(torch.uint8)), mean, std)
    with pytest.raises(ValueError, match="3 channels"):
        F.normalize(Image(x), [0.5, 0.5], [0.5, 0.5])
    for make in (lambda: T.Normalize(mean, [1, 0, 1]), lambda: F.normalize(x, mean, [1, 0, 1])):
        with pytest.raises(ValueError, match="must not be 0"):
            make()


def test_into_typed_tensors_and_out():
    pil = PIL.Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    for given in (pil, np.array(pil), torch.from_numpy(np.array(pil)).permute(2, 0, 1)):
        assert torch.equal(T.ToImage()({"x": given})["x"].plain(), tvf.to_image(given).as_subclass(torch.Tensor))
    assert T.ToImage()(np.zeros((2, 4), np.uint8)).shape == (1, 2, 4)
    # first in a list, it wraps for those that follow; a PIL image needs no wrapping at all
    for given in (np.array(pil), pil):
        assert T.Compose([T.ToImage(), T.RandomCrop(2)])({"x": given, "id": 7})["x"].canvas == (2, 2)
    assert type(T.RandomCrop(2)(pil)) is Image
    with pytest.raises(NoKernelError, match="plain numpy ndarray of shape"):
        T.RandomCrop(2)({"x": np.array(pil)})
    boxes = BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=(2, 2))
    out = T.ToPureTensor()({"image": Image(torch.zeros(3, 2, 2)), "boxes": boxes, "id": 7})
    assert [type(v) for v in out.values()] == [torch.Tensor, torch.Tensor, int]


def test_a_bare_tensor_comes_back_bare():
    """torchvision's habits: t(tensor), and t(tensor, target)."""
    x = torch.rand(3, 8, 8)
    assert type(T.CenterCrop(4)(x)) is torch.Tensor
    image, target = T.CenterCrop(4)(x, {"boxes": BoundingBoxes([[0, 0, 8, 8]], format="XYXY", canvas_size=(8, 8)), "label": 3})
    assert type(image) is torch.Tensor and image.shape == (3, 4, 4) and target["boxes"].tolist() == [[0, 0, 4, 4]]
    assert all(type(v) is torch.Tensor for v in T.FiveCrop(4)(x))
    for wrong in ({"x": x}, {"": x}, {"0": x}, (Image(x), x)):
        with pytest.raises(NoKernelError, match="plain torch Tensor of shape"):
            T.CenterCrop(4)(wrong)


FORMATS = ("XYXY", "XYWH", "CXCYWH"), ("XYWHR", "CXCYWHR", "XYXYXYXY")
PAIRS = [pair for kind in FORMATS for pair in itertools.permutations(kind, 2)]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_box_formats(old, new):
    values = torch.tensor([[2.0, 3.0, 10.5, 9.25], [0.0, 0.0, 34.0, 21.0]])
    if old in FORMATS[1]:
        turned = torch.tensor([[12.0, 10.0, 8.0, 4.0, 30.0], [17.0, 10.0, 3.0, 9.0, -70.0]])
        values = tvf.convert_bounding_box_format(turned, tv_tensors.BoundingBoxFormat.CXCYWHR, tv_tensors.BoundingBoxFormat[old])
    theirs = tvf.convert_bounding_box_format(values, tv_tensors.BoundingBoxFormat[old], tv_tensors.BoundingBoxFormat[new])
    assert torch.allclose(F.convert_bounding_box_format(values, old, new), theirs, atol=1e-5)
    typed = BoundingBoxes(values, format=old, canvas_size=(21, 34))
    out = T.ConvertBoundingBoxFormat(tv_tensors.BoundingBoxFormat[new])({"boxes": typed, "id": 3})["boxes"]
    assert out.format == new and out.canvas_size == (21, 34) and torch.allclose(out.plain(), theirs, atol=1e-5)
    assert torch.allclose(F.convert_bounding_box_format(out, new_format=old.lower()).plain(), values, atol=1e-5)
    empty = F.convert_bounding_box_format(BoundingBoxes([], format=old, canvas_size=(5, 6)), new_format=new)
    assert empty.shape == (0, typed.like(theirs, format=new).shape[-1]) and empty.canvas_size == (5, 6)


def test_box_formats_between_upright_and_turned_integers_and_in_place():
    upright = BoundingBoxes([[1.0, 2.0, 4.0, 6.0]], format="XYXY", canvas_size=(9, 9))
    turned = F.convert_bounding_box_format(upright, new_format="CXCYWHR")
    assert turned.tolist() == [[2.5, 4.0, 3.0, 4.0, 0.0]]
    assert F.convert_bounding_box_format(turned.like(torch.tensor([[4.0, 4.0, 2.0, 2.0, 45.0]])), new_format="XYXY").plain().sub(4).abs().allclose(torch.tensor(2.0).sqrt())
    whole = BoundingBoxes([[1, 2, 4, 6]], format="XYXY", canvas_size=(9, 9))
    assert F.convert_bounding_box_format(whole, new_format="XYWH").dtype == torch.int64
    assert F.convert_bounding_box_format(whole, new_format="CXCYWH").tolist() == [[2.5, 4.0, 3.0, 4.0]]
    assert F.convert_bounding_box_format(whole, new_format="XYWH", inplace=True).data_ptr() == whole.data_ptr() and whole.tolist() == [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match="in place"):
        F.convert_bounding_box_format(whole.like(whole.plain(), format="XYXY"), new_format="CXCYWH", inplace=True)
    for wrong in (lambda: F.convert_bounding_box_format(upright, "XYXY", "XYWH"), lambda: F.convert_bounding_box_format(upright.plain(), new_format="XYWH"), lambda: T.ConvertBoundingBoxFormat("XY")):
        with pytest.raises(ValueError):
            wrong()


def test_points_keep_their_visibility():
    points = KeyPoints([[1.0, 2.0]], canvas_size=(4, 4), visibility=[2])
    assert F.to_dtype(points, torch.float64).visibility.tolist() == [2]
