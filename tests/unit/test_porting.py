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
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Image, KeyPoints, Mask
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


@pytest.mark.differs("Every transform of a PIL image", "a PIL image", "an Image; ToPILImage at the end makes it one again")
def test_a_pil_image_becomes_an_image():
    pic = PIL.Image.new("RGB", (6, 4))
    assert isinstance(v2.RandomHorizontalFlip(1)(pic), PIL.Image.Image) and type(T.RandomHorizontalFlip(1)(pic)) is Image


@pytest.mark.differs("Every transform of plain tensors beside the picture", "pass in silence", "raise NoKernelError, but for labels and what describes objects, by name")
def test_plain_tensors_beside_a_picture_are_declared():
    image, target = torch.zeros(3, 4, 6), {"image_id": torch.tensor([7]), "labels": torch.tensor([1])}
    assert v2.Resize(2)(image, target)[1]["image_id"].tolist() == [7]
    with pytest.raises(NoKernelError, match=r"passthrough=\('image_id',\)"):
        T.Resize(2)(image, target)
    assert T.Compose([T.Resize(2)], passthrough=("image_id",))(image, target)[1]["image_id"].tolist() == [7]


@pytest.mark.differs("Resize, RandomResizedCrop, ScaleJitter ... of masks", "nearest, half a pixel off the picture", "nearest-exact, where the picture is read")
def test_masks_are_resized_about_pixel_centres():
    x = torch.arange(4, dtype=torch.uint8)[None].expand(4, 4).contiguous()
    assert tvf.resize(tv_tensors.Mask(x), [2, 2])[0].tolist() == [0, 2]
    assert F.resize(Mask(x), [2, 2])[0].tolist() == [1, 3]
    assert torch.equal(tvf.resize(tv_tensors.Mask(x), [2, 2], interpolation=v2.InterpolationMode.NEAREST_EXACT), F.resize(Mask(x), [2, 2]).plain())


@pytest.mark.differs("Flips of key points", "to W - 1 - x, where boxes go to W - x", "to W - x, as boxes")
def test_key_points_are_flipped_as_boxes_are():
    assert tvf.hflip(tv_tensors.KeyPoints([[1.0, 0.0]], canvas_size=(4, 6))).tolist() == [[4.0, 0.0]]
    assert F.hflip(KeyPoints([[1.0, 0.0]], canvas_size=(4, 6))).tolist() == [[5.0, 0.0]]


@pytest.mark.differs("Resizes and warps of integer boxes", "cut off to integers", "float32")
def test_integer_boxes_become_floats_where_they_are_scaled():
    boxes = {"format": "XYXY", "canvas_size": (4, 6)}
    assert tvf.resize(tv_tensors.BoundingBoxes([[1, 1, 3, 3]], **boxes), [2, 3]).tolist() == [[0, 0, 1, 1]]
    assert F.resize(BoundingBoxes([[1, 1, 3, 3]], **boxes), [2, 3]).tolist() == [[0.5, 0.5, 1.5, 1.5]]


@pytest.mark.differs("fill=number of Pad, RandomCrop ... for masks", "fills masks too", "fills pictures; masks get ignore_index, or fill={Mask: ...}")
def test_a_number_fills_pictures_alone():
    x = torch.ones(2, 2, dtype=torch.uint8)
    assert v2.Pad(1, fill=5)(tv_tensors.Mask(x))[0].tolist() == [5] * 4
    assert T.Pad(1, fill=5)(Mask(x, ignore_index=255))[0].tolist() == [255] * 4 and T.Pad(1, fill={Mask: 5})(Mask(x))[0].tolist() == [5] * 4


@pytest.mark.differs("pad, Pad by less than 0", "crops tensors and PIL images", "raises ValueError: crop says so")
def test_padding_is_at_least_nothing():
    assert tvf.pad(torch.zeros(3, 4, 6), [-1]).shape == (3, 2, 4)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        F.pad(torch.zeros(3, 4, 6), [-1])


@pytest.mark.differs("to_pil_image of floats", "cut off: 0.999 becomes 254", "equal shares of 256 levels, as ToDtype")
def test_floats_become_bytes_by_equal_shares():
    x = torch.full((1, 1, 1), 0.999)
    assert tvf.to_pil_image(x).getpixel((0, 0)) == 254 and F.to_pil_image(x).getpixel((0, 0)) == 255


@pytest.mark.differs("Every class", "an nn.Module (.eval, .to, nn.Sequential), get_params, make_params, transform", "a frozen value: draw(key, info), apply(params, sample), Compose")
def test_a_transform_is_no_module():
    assert isinstance(v2.Resize(8), torch.nn.Module) and v2.RandomCrop.get_params(torch.zeros(3, 4, 6), (4, 6)) == (0, 0, 4, 6)
    with pytest.raises(TypeError, match="not a Module"):
        torch.nn.Sequential(T.Resize(8))
    assert T.Resize(8) == T.Resize(8) and v2.Resize(8) != v2.Resize(8)


def test_a_batch_of_one_is_mixed_with_itself():
    """As in torchvision: the last batch of an epoch, with one sample, does not end the training."""
    x, y = torch.rand(1, 3, 4, 4), torch.tensor([1])
    for mix in (T.MixUp(num_classes=2), T.CutMix(num_classes=2)):
        images, labels = mix(x, y)
        assert torch.allclose(images, x) and labels.tolist() == [[0.0, 1.0]]
