"""Scripts written for torchvision.transforms.v2, with the import changed."""

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import default_collate
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode as TvMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from vdata import Batch, Key
from vdata import transforms as T
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Image
from vdata.transforms import functional as F

ARRAY = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
PICTURE = torch.from_numpy(ARRAY).movedim(-1, 0).contiguous()


def blends():
    return [T.CutMix(num_classes=3), T.MixUp(num_classes=3)]


def test_a_choice_of_cutmix_and_mixup_stands_in_a_collate_function():
    images, labels = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 2, 1, 0])
    for given in ((images, labels), {"image": Image(images), "labels": labels}):
        out = T.RandomChoice(blends(), p=[0.3, 0.7])(given)
        mixed, shares = (out[0], out[1]) if isinstance(out, tuple) else (out["image"], out["labels"])
        assert mixed.shape == images.shape and shares.shape == (6, 3) and torch.allclose(shares.sum(1), torch.ones(6))
    mixed, shares = T.RandomChoice(blends())(*default_collate([(images[0], 1), (images[1], 2)]))
    assert type(mixed) is torch.Tensor and mixed.shape == (2, 3, 8, 8) and shares.shape == (2, 3)
    with pytest.raises(ValueError, match="a batch of 6 takes as many keys"):
        T.RandomChoice(blends())(images, labels, key=Key.of(0))
    unlike = T.RandomChoice([T.CutMix(num_classes=3), T.MixUp(num_classes=4)])
    with pytest.raises(PlanError, match="the same num_classes"):
        unlike(images, labels, key=Key.of(0, 0, np.arange(6)))


def test_a_choice_by_hand_is_that_of_a_batch():
    images, labels = torch.rand(8, 3, 8, 8), torch.arange(8) % 3
    for seed in range(4):
        key = Key.of(seed, 0, np.arange(8))
        whole = T.RandomChoice(blends())(Batch({"0": Image(images), "label": labels}, 8), key=key)
        mixed, shares = T.RandomChoice(blends())(images, labels, key=key)
        assert torch.equal(mixed, whole["0"].plain()) and torch.equal(shares, whole["label"])


def test_get_image_size_is_width_and_height():
    assert F.get_image_size(PICTURE) == [6, 4] and F.get_size(PICTURE) == [4, 6]
    with pytest.warns(UserWarning, match="deprecated"):
        assert tvf.get_image_size(PICTURE) == [6, 4]


def test_one_shear_in_a_sequence_is_along_both_axes():
    x = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    for shear in ([12.0], 12.0, (12.0, 5.0)):
        assert torch.equal(F.affine(x, 10.0, [1, 2], 1.1, shear), tvf.affine(x, 10.0, [1, 2], 1.1, shear))


def test_normalize_takes_arrays_and_tensors():
    x, mean, std = torch.rand(3, 4, 6), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    for make in (torch.tensor, np.array, list, tuple):
        t = T.Normalize(make(mean), make(std))
        assert torch.allclose(t(x), v2.Normalize(mean, std)(x)) and hash(t) and t == T.Normalize(make(mean), make(std))
    with pytest.raises(ValueError, match="std must not be 0"):
        T.Normalize(torch.zeros(3), torch.zeros(3))


def test_to_image_of_channels_first_says_so():
    with pytest.raises(ValueError, match=r"\[3, 4, 6\] looks like \[C, H, W\]"):
        T.ToImage()({"image": ARRAY.transpose(2, 0, 1)})
    assert torch.equal(T.ToImage()(ARRAY).plain(), PICTURE)


def test_lambda_takes_lambd_and_refuses_types_that_no_leaf_has():
    assert torch.equal(T.Lambda(lambd=lambda x: x + 1)(PICTURE), PICTURE + 1)
    with pytest.raises(ValueError, match=r"write vdata\.tensors\.Image"):
        T.Lambda(lambda x: x + 1, tv_tensors.Image)


def test_a_list_of_transforms_says_what_to_do_with_what_is_none():
    for odd, remedy in (([T.Resize(8)], "a Compose of its own"), (v2.Resize(8), r"interop\.torchvision\.Step"), (torch.relu, r"Lambda\(fn\)")):
        with pytest.raises(ValueError, match=remedy):
            T.Compose([odd, T.Resize(8)])


def test_labels_getter_gets_the_sample_as_it_was_given():
    boxes = BoundingBoxes([[0, 0, 3, 3], [1, 1, 1, 1]], format="XYXY", canvas_size=(4, 6))
    target = {"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": {"labels": torch.tensor([0.5, 0.6])}}
    getter = lambda s: (s[1]["labels"], s[1]["scores"]["labels"])
    out = T.SanitizeBoundingBoxes(labels_getter=getter)(Image(PICTURE), target)[1]
    assert out["labels"].tolist() == [1] and out["scores"]["labels"].tolist() == [0.5]
    named = T.SanitizeBoundingBoxes(labels_getter=lambda s: s["target"]["labels"])({"image": Image(PICTURE), "target": target})
    assert named["target"]["labels"].tolist() == [1]
    with pytest.raises(PlanError, match="labels_getter looks for 'classes'"):
        T.SanitizeBoundingBoxes(labels_getter=lambda s: s[1]["classes"])(Image(PICTURE), target)


def test_sanitize_without_boxes_lists_what_there_is():
    with pytest.raises(PlanError, match=r"no BoundingBoxes among \[''\]"):
        T.SanitizeBoundingBoxes()(Image(PICTURE))


def test_functionals_to_tensor_and_kernels():
    pic = PIL.Image.fromarray(ARRAY)
    for given in (pic, pic.convert("L"), ARRAY, ARRAY.astype(np.float32)):
        with pytest.warns(UserWarning, match="deprecated"):
            theirs = tvf.to_tensor(given)
        with pytest.warns(DeprecationWarning, match="to_tensor") as caught:
            out = F.to_tensor(given)
        assert type(out) is torch.Tensor and torch.allclose(out, theirs, atol=1e-7) and caught[0].filename == __file__
    with pytest.raises(TypeError, match="PIL image or a numpy array, not a Tensor"):
        F.to_tensor(PICTURE)
    with pytest.raises(AttributeError, match="resize finds the kernel"):
        F.resize_bounding_boxes
    with pytest.raises(AttributeError, match="did you mean gaussian_blur"):
        F.gausian_blur


def test_register_kernel_takes_torchvisions_argument_names():
    class Depth(Image):
        pass

    @F.register_kernel(functional=F.invert, tv_tensor_cls=Depth)
    def _(depth):
        return -depth.plain()

    assert F.invert(Depth.make(torch.ones(1, 1, 1), {})).item() == -1


def test_messages_name_what_was_given():
    with pytest.raises(TypeError, match="a PIL image is no clip"):
        F.get_num_frames(PIL.Image.fromarray(ARRAY))
    with pytest.raises(ValueError, match=r"interpolation must be one of nearest, .* got 'cubic'"):
        F.resize(PICTURE, 8, interpolation="cubic")
    assert T.InterpolationMode(TvMode.NEAREST_EXACT) is T.InterpolationMode.NEAREST_EXACT
