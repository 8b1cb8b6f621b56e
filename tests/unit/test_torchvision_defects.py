"""Known defects of torchvision 0.29 beside what vdata does on the same input; those of a family stand with its tests."""

import pytest
import torch
from torch.utils.data import default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from vdata import transforms as T
from vdata.batch import collate
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Image, KeyPoints, Label, Mask
from vdata.transforms import functional as F


@pytest.mark.differs("CenterCrop larger than the picture by an odd number", "boxes lie a pixel off the picture", "the same offset for all types")
def test_a_centre_crop_that_pads_moves_boxes_with_the_picture():
    image, box = torch.zeros(1, 5, 5), [[1.0, 1, 3, 3]]
    image[:, 1:3, 1:3] = 1
    theirs = tvf.center_crop(image, [8, 8])[0].nonzero().amin(0)
    off = tvf.center_crop(tv_tensors.BoundingBoxes(box, format="XYXY", canvas_size=(5, 5)), [8, 8])[0, :2]
    assert off.tolist() != theirs.flip(0).tolist()
    ours = F.center_crop(Image(image), [8, 8]).plain()[0].nonzero().amin(0)
    assert F.center_crop(BoundingBoxes(box, format="XYXY", canvas_size=(5, 5)), [8, 8])[0, :2].tolist() == ours.flip(0).tolist()


@pytest.mark.differs("A sample of boxes and labels without a picture", "labels are flipped as if they were a picture; Resize fails", "labels are left alone; what may be spatial and is not declared raises")
def test_labels_are_never_taken_for_a_picture():
    boxes = {"format": "XYXY", "canvas_size": (8, 10)}
    theirs = v2.RandomHorizontalFlip(1)({"boxes": tv_tensors.BoundingBoxes([[1, 2, 3, 4], [1, 1, 2, 2]], **boxes), "labels": torch.tensor([[5, 6]])})
    assert theirs["labels"].tolist() == [[6, 5]]
    ours = T.RandomHorizontalFlip(1)({"boxes": BoundingBoxes([[1, 2, 3, 4]], **boxes), "labels": torch.tensor([[5, 6]])})
    assert ours["labels"].tolist() == [[5, 6]] and ours["boxes"].tolist() == [[7, 2, 9, 4]]
    with pytest.raises(NoKernelError, match="'depth'"):
        T.RandomHorizontalFlip(1)({"boxes": BoundingBoxes([[1, 2, 3, 4]], **boxes), "depth": torch.zeros(8, 10)})


@pytest.mark.differs("Resize of uint16 by bicubic", "overshoots wrap round: white becomes black", "cut at the range, rounded")
def test_uint16_does_not_wrap_round():
    x = torch.zeros(1, 1, 8, dtype=torch.int32)
    x[..., 4:] = 65535
    x = x.to(torch.uint16)
    theirs = tvf.resize(x, [1, 24], tvf.InterpolationMode.BICUBIC).int().flatten()
    ours = F.resize(Image(x), [1, 24], "bicubic").plain().int().flatten()
    assert (theirs.diff() < -20000).any() and ours.diff().min() > -6000 and ours.max() == 65535 and ours.min() == 0


@pytest.mark.differs("BoundingBoxes of an empty list", "have shape [1, 0]", "have shape [0, 4]")
def test_no_boxes_are_no_rows():
    assert tuple(tv_tensors.BoundingBoxes([], format="XYXY", canvas_size=(4, 4)).shape) == (1, 0)
    assert tuple(BoundingBoxes([], format="XYXY", canvas_size=(4, 4)).shape) == (0, 4)


@pytest.mark.differs("Pad by reflection, edge or symmetry of boxes and key points", "raises ValueError", "translates them: mirrored pixels bring no copies")
@pytest.mark.parametrize("mode", ["reflect", "edge", "symmetric"])
def test_boxes_follow_every_padding(mode):
    with pytest.raises(ValueError):
        tvf.pad(tv_tensors.BoundingBoxes([[1, 1, 3, 3]], format="XYXY", canvas_size=(8, 8)), [2], padding_mode=mode)
    assert F.pad(BoundingBoxes([[1, 1, 3, 3]], format="XYXY", canvas_size=(8, 8)), [2], padding_mode=mode).tolist() == [[3, 3, 5, 5]]
    assert F.pad(KeyPoints([[1.0, 1.0]], canvas_size=(8, 8)), [2], padding_mode=mode).tolist() == [[3, 3]]


@pytest.mark.differs("Chains of rotations of boxes", "the hull of a hull: eight turns by 45 degrees make a small box the whole canvas", "Compose(..., fuse=True): the hull once")
def test_hulls_do_not_grow():
    box = [[40.0, 40, 60, 60]]
    theirs = tv_tensors.BoundingBoxes(box, format="XYXY", canvas_size=(100, 100))
    for _ in range(8):
        theirs = tvf.rotate(theirs, 45)
    turns = T.Compose([T.RandomRotation((45, 45))] * 8, fuse=True)
    ours = turns({"boxes": BoundingBoxes(box, format="XYXY", canvas_size=(100, 100))})["boxes"]
    assert theirs.tolist() == [[0, 0, 100, 100]] and torch.allclose(ours.plain(), torch.tensor(box), atol=1e-3)


@pytest.mark.differs("Typed tensors under .float(), x[i], stack, default_collate", "become plain tensors", "stay what they are")
def test_types_survive():
    theirs, ours = tv_tensors.Image(torch.zeros(3, 4, 4)), Image(torch.zeros(3, 4, 4))
    lost = [theirs.double(), torch.stack([theirs, theirs]), default_collate([theirs, theirs])]
    kept = [ours.double(), torch.stack([ours, ours]), default_collate([ours, ours]), collate([{"x": ours}] * 2)["x"]]
    assert not any(isinstance(t, tv_tensors.TVTensor) for t in lost) and all(isinstance(t, Image) for t in kept)
    boxes = BoundingBoxes([[1, 2, 3, 4], [0, 0, 1, 1]], format="XYXY", canvas_size=(4, 4))[torch.tensor([True, False])]
    assert isinstance(boxes, BoundingBoxes) and boxes.canvas_size == (4, 4)
    row = tv_tensors.BoundingBoxes([[1, 2, 3, 4], [0, 0, 1, 1]], format="XYXY", canvas_size=(4, 4))[torch.tensor([True, False])]
    assert not isinstance(row, tv_tensors.TVTensor)


@pytest.mark.differs("torch.load(weights_only=True) of typed tensors", "UnpicklingError", "works")
def test_typed_tensors_are_saved_safely(tmp_path):
    torch.save(tv_tensors.Image(torch.zeros(3, 4, 4)), tmp_path / "theirs.pt")
    with pytest.raises(Exception, match=r"weights_only|WeightsUnpickler|Unsupported"):
        torch.load(tmp_path / "theirs.pt", weights_only=True)
    torch.save({"mask": Mask(torch.zeros(4, 4, dtype=torch.int64), ignore_index=255), "label": Label(1, categories=("a", "b"))}, tmp_path / "ours.pt")
    again = torch.load(tmp_path / "ours.pt", weights_only=True)
    assert again["mask"].ignore_index == 255 and again["label"].name == "b"


@pytest.mark.differs("Where randomness comes from", "torch's global generator: results change with workers and with other draws", "a key; by hand from torch's default generator, so torch.manual_seed governs scripts")
def test_a_draw_is_a_function_of_its_key():
    photo = {"image": Image(torch.rand(3, 16, 16))}
    t = T.Compose([T.RandomResizedCrop(8), T.ColorJitter(0.4)])
    key = T.Key.of(0, 1, 7)
    first = t(photo, key=key)["image"].plain()
    torch.rand(100)
    assert torch.equal(t(photo, key=key)["image"].plain(), first)
    torch.manual_seed(3)
    one = t(photo)["image"].plain()
    torch.manual_seed(3)
    assert torch.equal(t(photo)["image"].plain(), one)
