"""Transforms of torchvision, albumentations and kornia as steps of a pipe: their pixels, our keys, nothing lost in silence."""

import collections
import os
import pickle
import random
import threading

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import kornia.augmentation as K
import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

import vdata
from vdata import transforms as T
from vdata.batch import Batch, Ragged
from vdata.errors import NoKernelError, PlanError
from vdata.interop import albumentations as al
from vdata.interop import kornia as kn
from vdata.interop import torchvision as tv
from vdata.interop._seeded import Seeded
from vdata.key import Key
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video

H, W = 48, 64
KEY = Key.of(0, 1, 2)


def picture(seed=0, channels=3):
    return Image(torch.randint(0, 256, (channels, H, W), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)))


def floating(sample):
    return {n: Image(v.plain().float() / 255) if isinstance(v, Image) else v for n, v in sample.items()}


def scene():
    """Boxes and masks of three objects, which agree, and all else that a sample may carry."""
    rows = [[4.0, 6, 20, 30], [30, 10, 60, 40], [10, 2, 18, 9]]
    masks = torch.zeros(3, H, W, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, rows):
        mask[int(top) : int(bottom), int(left) : int(right)] = True
    return {
        "image": picture(),
        "boxes": BoundingBoxes(rows, format="XYXY", canvas_size=(H, W), frame="image", clamping_mode="hard"),
        "masks": Mask(masks, kind="instance"),
        "mask": Mask((masks * torch.arange(1, 4)[:, None, None]).amax(0), ignore_index=255, categories=("a", "b", "c", "d")),
        "labels": Label([1, 2, 0], categories=("a", "b", "c")),
        "name": "one",
        "__key__": "k",
    }


def eyes():
    """Points with all that they can carry; the third of the first object is not labelled."""
    points = [[[5.0, 7.0], [15.0, 8.0], [0.0, 0.0]], [[40.0, 20.0], [50.0, 22.0], [45.0, 30.0]]]
    return KeyPoints(points, canvas_size=(H, W), visibility=[[2, 2, 0], [2, 1, 2]], swap=(1, 0, 2), frame="image")


def seed_of(step, key=KEY):
    """The seed that a step called by hand with this key gives to its library."""
    return int(step.draw(key.fold("Step#0"), None)["seed"][0])


def boxes_of(masks):
    """The hulls of instance masks, pixels as squares."""
    return torch.tensor([[x.min(), y.min(), x.max() + 1, y.max() + 1] for y, x in (m.nonzero().T for m in masks.plain())]).float()


def same(one, other):
    """Equal leaves: types, numbers and what they carry."""
    assert list(one) == list(other)
    for name, value in one.items():
        assert type(value) is type(other[name]), name
        if isinstance(value, Ragged):
            same(dict(enumerate(value)), dict(enumerate(other[name])))
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value.isnan(), other[name].isnan()), name
            assert torch.equal(value.nan_to_num(), other[name].nan_to_num()), name
            assert str(getattr(value, "meta", dict)()) == str(getattr(other[name], "meta", dict)()), name
        else:
            assert value == other[name], name


# -- tv_tensors in and out --------------------------------------------------------------------------------------------

Pair = collections.namedtuple("Pair", "image points")


def everything():
    return {
        **scene(),
        "keypoints": eyes(),
        "flow": Flow(torch.rand(2, H, W), views=("image", "image2"), sparse=True),
        "clip": Video(torch.rand(2, 3, H, W)),
        "pair": Pair(picture(1), [eyes(), (Label(3),)]),
        "rotated": BoundingBoxes([[9.0, 9, 5, 4, 30]], format="CXCYWHR", canvas_size=(H, W), clamping_mode=None),
        "empty": BoundingBoxes([], format="XYWH", canvas_size=(H, W)),
    }


def tensors_in(value):
    found = []
    vdata.batch.each_tensor(value, lambda t: found.append(t) or t)
    return found


def test_to_tv_and_back_loses_nothing_and_copies_nothing():
    ours = everything()
    theirs = tv.to_tv(ours)
    assert theirs["boxes"].clamping_mode == "hard"
    assert theirs["rotated"].clamping_mode is None
    assert type(theirs["pair"]) is Pair
    assert isinstance(theirs["pair"].image, tv_tensors.Image)
    assert type(theirs["flow"]) is torch.Tensor
    back = tv.from_tv(theirs, like=ours)
    assert repr(back) == repr(ours)
    assert len(tensors_in(back)) == len(tensors_in(ours)) == len(tensors_in(theirs))
    for old, middle, new in zip(tensors_in(ours), tensors_in(theirs), tensors_in(back)):
        assert old.data_ptr() == middle.data_ptr() == new.data_ptr()
        assert type(new) is type(old)
    assert torch.equal(back["keypoints"].visibility, ours["keypoints"].visibility)
    assert back["pair"].points[0].swap == (1, 0, 2)


def test_from_tv_without_like_has_what_tv_tensors_hold():
    back = tv.from_tv(tv.to_tv(everything()))
    assert back["boxes"].clamping_mode == "hard"
    assert back["boxes"].frame is None
    assert back["mask"].ignore_index is None
    assert type(back["labels"]) is torch.Tensor
    assert type(back["pair"]) is Pair
    assert type(back["pair"].points[0]) is KeyPoints


def test_from_tv_takes_what_the_tv_tensor_says_and_the_rest_from_like():
    boxes = scene()["boxes"]
    moved = v2.ConvertBoundingBoxFormat("CXCYWH")(v2.Resize((24, 32))(tv.to_tv({"image": picture(), "boxes": boxes})))["boxes"]
    back = tv.from_tv(moved, like=boxes)
    assert (back.format, back.canvas_size, back.frame, back.clamping_mode) == ("CXCYWH", (24, 32), "image", "hard")
    with pytest.raises(ValueError, match="visibility cannot follow"):
        tv.from_tv(tv_tensors.KeyPoints(torch.rand(1, 3, 2), canvas_size=(H, W)), like=eyes())


def test_stacked_leaves_of_a_batch_are_converted_and_ragged_ones_stay():
    batch = vdata.batch.collate([scene(), scene()])
    theirs = tv.to_tv(batch)
    assert isinstance(theirs, Batch)
    assert theirs.at == batch.at
    assert isinstance(theirs["image"], tv_tensors.Image)
    assert theirs["boxes"] is batch["boxes"]
    back = tv.from_tv(theirs, like=batch)
    assert isinstance(back, Batch)
    assert back["image"].data_ptr() == batch["image"].data_ptr()
    same(back, batch)


# -- drawing from generators of one's own -----------------------------------------------------------------------------


def many_draws():
    halves = torch.full((4,), 0.5)
    return [
        torch.rand(3), torch.randn(3), torch.randint(0, 9, (3,)), torch.randint(9, (3,)), torch.randperm(5), torch.empty(2).uniform_(),
        torch.empty(2).normal_(), torch.bernoulli(halves), torch.multinomial(halves, 2), torch.normal(0.0, 1.0, (2,)), torch.normal(halves, halves),
        torch.empty(3).exponential_(), torch.empty(3).random_(), torch._sample_dirichlet(halves), torch.poisson(halves), torch.empty(2).bernoulli_(0.5),
        torch.distributions.Beta(halves, halves).sample((2,)), torch.nn.functional.dropout(torch.ones(9)), torch.rand(2, dtype=torch.float64),
    ]  # fmt: skip


def test_seeded_draws_what_manual_seed_would_and_leaves_the_state():
    torch.manual_seed(7)
    wanted = many_draws()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with Seeded(7):
        got = many_draws()
        other = torch.rand(3, generator=torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(other, torch.rand(3, generator=torch.Generator().manual_seed(3)))


# -- their pixels, our keys -------------------------------------------------------------------------------------------

TORCHVISION = [
    v2.RandomRotation(30),
    v2.RandomAffine(30, translate=(0.1, 0.1), scale=(0.8, 1.2)),
    v2.RandomResizedCrop((20, 28)),
    v2.Compose([v2.RandomHorizontalFlip(), v2.RandomPerspective(p=1.0), v2.ColorJitter(0.4, 0.4, 0.4, 0.2)]),
    v2.RandomApply([v2.ElasticTransform()], p=0.7),
    v2.ScaleJitter((40, 40)),
]
ALBUMENTATIONS = [
    A.Affine(rotate=(-30, 30), scale=(0.8, 1.2), p=0.8),
    A.RandomResizedCrop(size=(20, 28)),
    A.Compose([A.HorizontalFlip(), A.OneOf([A.GaussNoise(p=1), A.RandomBrightnessContrast(p=1)], p=0.7), A.RandomCrop(height=30, width=40)]),
    A.Sequential([A.Perspective(p=1), A.CoarseDropout(p=1)]),
]
KORNIA = [
    K.RandomAffine(30.0, translate=(0.1, 0.1), scale=(0.8, 1.2)),
    K.RandomResizedCrop((20, 28)),
    K.ImageSequential(K.RandomHorizontalFlip(), K.ColorJiggle(0.2, 0.2, 0.2, 0.2, p=0.8), K.RandomRotation(20.0, p=1.0), random_apply=2),
    K.AugmentationSequential(K.RandomPerspective(p=1.0), K.RandomGaussianNoise(std=0.1, p=1.0)),
]


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("transform", TORCHVISION, ids=lambda t: type(t).__name__)
def test_torchvision_by_hand_with_the_same_seed(transform, position):
    step, key, sample = tv.Step(transform), Key.of(0, position), scene()
    out = step(sample, key=key)
    torch.manual_seed(seed_of(step, key))
    by_hand = tv.from_tv(transform(tv.to_tv(sample)), like=sample)
    same(out, by_hand)


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("transform", ALBUMENTATIONS, ids=lambda t: type(t).__name__)
def test_albumentations_by_hand_with_the_same_seed(transform, position):
    step, key, sample = al.Step(transform), Key.of(0, position), scene()
    out = step(sample, key=key)
    seed = seed_of(step, key)
    whole = A.Compose([transform], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    hwc = sample["image"].plain().permute(1, 2, 0).numpy()
    ids = {"masks": sample["masks"].byte().plain().numpy(), "mask": sample["mask"].byte().plain().numpy()}
    by_hand = whole(image=hwc, bboxes=sample["boxes"].plain().numpy(), labels=sample["labels"].tolist(), **ids)
    assert np.array_equal(out["image"].plain().permute(1, 2, 0).numpy(), by_hand["image"])
    assert np.array_equal(out["mask"].plain().numpy(), by_hand["mask"])
    assert torch.allclose(out["boxes"].plain(), torch.as_tensor(by_hand["bboxes"], dtype=torch.float32).reshape(-1, 4))
    assert out["labels"].tolist() == [int(v) for v in by_hand["labels"]]
    assert len(out["masks"]) == len(out["boxes"])
    assert out["masks"].dtype == torch.bool
    assert (out["boxes"].frame, out["mask"].ignore_index, out["mask"].dtype) == ("image", 255, torch.int64)


def test_parts_of_a_composition_draw_independently():
    """albumentations' own `set_random_seed` gives all parts one seed each of the same value: they would come together or not at all."""
    flips = al.Step(A.Compose([A.HorizontalFlip(), A.VerticalFlip()]))
    assert len({flips(scene(), key=Key.of(i))["image"].plain()[0, :2, :2].sum().item() for i in range(20)}) == 4
    theirs = A.Compose([A.HorizontalFlip(), A.VerticalFlip()])
    outs = set()
    for seed in range(20):
        theirs.set_random_seed(seed)
        outs.add(theirs(image=picture().plain().permute(1, 2, 0).numpy())["image"][:2, :2, 0].sum())
    assert len(outs) == 2


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("transform", KORNIA, ids=lambda t: type(t).__name__)
def test_kornia_by_hand_with_the_same_seed(transform, position):
    step, key, sample = kn.Step(transform), Key.of(0, position), floating(scene())
    out = step(sample, key=key)
    torch.manual_seed(seed_of(step, key))
    by_hand = transform(sample["image"].plain()[None])
    assert torch.equal(out["image"].plain(), by_hand[0])
    assert out["masks"].dtype == torch.bool
    assert (out["mask"].dtype, out["mask"].ignore_index, out["boxes"].clamping_mode) == (torch.int64, 255, "hard")


STEPS = {
    "torchvision": tv.Step(v2.Compose([v2.RandomAffine(20), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4)]), size="same"),
    "albumentations": al.Step(A.Compose([A.Affine(rotate=(-20, 20)), A.HorizontalFlip(), A.RandomBrightnessContrast()]), size="same"),
    "kornia": kn.Step(K.AugmentationSequential(K.RandomAffine(20.0), K.RandomHorizontalFlip(), K.ColorJiggle(0.2)), size="same"),
}
steps = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())


def photo(i):
    return {"image": Image(picture(i).plain().float() / 255), "mask": Mask(picture(i, 1).plain()[0] // 64), "x": i}


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_workers_give_what_inline_gives(mode):
    def pipe():
        photos = vdata.from_torch([photo(i) for i in range(8)]).shuffle(seed=3)
        return photos.apply(*STEPS.values(), T.RandomHorizontalFlip(), T.RandomCrop((32, 40))).batch(2)

    inline = list(pipe().loader(mode="inline"))
    with pipe().loader(workers=2, mode=mode) as loader:
        for got, wanted in zip(loader, inline, strict=True):
            same(got, wanted)
    assert len({b["image"].sum().item() for b in inline}) == len(inline)


@steps
def test_other_threads_neither_disturb_a_step_nor_are_disturbed(step):
    """A training loop may draw from torch's generator while steps run in threads."""
    alone = [step(photo(i), key=Key.of(i)) for i in range(6)]
    torch.manual_seed(5)
    undisturbed = torch.rand(2000)
    torch.manual_seed(5)
    got, drawn, errors = {}, [], []

    def work(part):
        try:
            for i in part:
                got[i] = step(photo(i), key=Key.of(i))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in (range(3), range(3, 6))]
    for thread in threads:
        thread.start()
    drawn = [torch.rand(1) for _ in range(2000)]
    for thread in threads:
        thread.join()
    assert not errors
    assert torch.equal(torch.cat(drawn), undisturbed)
    for i in range(6):
        same(got[i], alone[i])


@steps
def test_a_step_touches_no_global_generator_and_not_its_transform(step):
    torch.manual_seed(3)
    np.random.seed(4)
    random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, second = (step(photo(0), key=KEY) for _ in range(2))
    same(first, second)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]
    assert len({step(photo(0), key=Key.of(i))["image"].sum().item() for i in range(8)}) > 4


@steps
def test_a_batch_is_its_samples_alone(step):
    samples = [photo(i) for i in range(3)]
    batch = vdata.batch.collate(samples)
    key = Key.of(0, [1, 2, 3])
    moved = step(batch, key=key)
    for b, sample in enumerate(samples):
        alone = step(sample, key=key[b])
        assert torch.equal(moved["image"][b], alone["image"])
        assert torch.equal(moved["mask"][b], alone["mask"])


@steps
def test_a_step_is_a_value(step):
    again = pickle.loads(pickle.dumps(step))
    assert repr(again) == repr(step)
    assert "\n" not in repr(step)
    assert " at 0x" not in repr(step)
    assert hash(step) == hash(step)
    same(again(photo(0), key=KEY), step(photo(0), key=KEY))
    assert step.random
    assert T.params_from_json(T.params_to_json(T.row(step.draw(KEY, None), 0))) == {"seed": int(step.draw(KEY, None)["seed"][0])}
    with pytest.raises(PlanError, match="JSON cannot hold"):
        T.to_json(step)
    with pytest.raises(NoKernelError, match="no inverse"):
        step.inverse({"seed": 1}, photo(0), T.Info.of([photo(0)]))


def test_each_step_says_whose_it_is():
    assert repr(tv.Step(v2.RandomHorizontalFlip())) == "torchvision.Step(RandomHorizontalFlip(p=0.5))"
    assert repr(al.Step(A.HorizontalFlip(), size=(2, 3))) == "albumentations.Step(HorizontalFlip(p=0.5), size=(2, 3))"
    assert repr(kn.Step(K.RandomHorizontalFlip())).startswith("kornia.Step(RandomHorizontalFlip(p=0.5")
    printed = str(vdata.from_torch([photo(0)]).apply(tv.Step(v2.Lambda(lambda x: x))))
    assert "torchvision.Step(Lambda(" in printed
    assert " at 0x" not in printed


@pytest.mark.parametrize("step, wrong", [(tv.Step, torch.nn.ReLU()), (al.Step, v2.RandomCrop(3)), (kn.Step, K.RandomMixUpV2()), (kn.Step, A.NoOp())])
def test_a_step_takes_transforms_of_its_library(step, wrong):
    with pytest.raises(ValueError, match=r"Step takes|a step moves"):
        step(wrong)


def test_volumes_are_refused():
    with pytest.raises(ValueError, match="volumes"):
        al.Step(A.Compose([A.CubicSymmetry()]))
    with pytest.raises(ValueError, match=r"Step takes|volumes"):
        kn.Step(K.ImageSequential(K.RandomHorizontalFlip3D()))


# -- all that lies on a picture moves with it -------------------------------------------------------------------------

FLIPS = {
    "torchvision": tv.Step(v2.RandomHorizontalFlip(1.0)),
    "albumentations": al.Step(A.HorizontalFlip(p=1.0)),
    "kornia": kn.Step(K.RandomHorizontalFlip(p=1.0)),
}


@pytest.mark.parametrize("step", FLIPS.values(), ids=FLIPS.keys())
def test_a_flip_is_our_flip(step):
    sample = floating(scene())
    ours = T.RandomHorizontalFlip(1.0)(sample)
    theirs = step(sample)
    for name in ("image", "masks", "mask", "labels", "name"):
        same({"": theirs[name]}, {"": ours[name]})
    assert torch.allclose(theirs["boxes"].plain(), ours["boxes"].plain(), atol=1e-5)
    assert theirs["boxes"].meta() == ours["boxes"].meta()
    assert torch.allclose(theirs["boxes"].plain(), boxes_of(theirs["masks"]), atol=1e-4)


@pytest.mark.parametrize("step", [FLIPS["albumentations"], FLIPS["kornia"]], ids=lambda s: s.package)
@pytest.mark.parametrize("grouped", [True, False])
def test_key_points_flip_as_ours_do(step, grouped):
    points = eyes() if grouped else KeyPoints([[5.0, 7.0], [0.5, 47.5]], canvas_size=(H, W), visibility=[2, 0])
    sample = {"image": Image(picture().plain().float() / 255), "keypoints": points}
    ours, theirs = T.RandomHorizontalFlip(1.0)(sample), step(sample)
    assert torch.allclose(ours["keypoints"].plain(), theirs["keypoints"].plain(), atol=1e-4)
    assert str(ours["keypoints"].meta()) == str(theirs["keypoints"].meta())


@pytest.mark.parametrize("step", [al.Step(A.Affine(rotate=(20, 20), p=1)), kn.Step(K.RandomRotation((20.0, 20.0), p=1.0))], ids=lambda s: s.package)
def test_left_and_right_stay_where_nothing_is_mirrored(step):
    points = step({"image": Image(picture().plain().float() / 255), "keypoints": eyes()})["keypoints"]
    assert torch.equal(points.visibility, eyes().visibility)
    assert points[0, 0, 0] < points[0, 1, 0]
    assert points[0, 2].tolist() == [0, 0]


def test_torchvision_key_points_need_a_word():
    sample = {"image": picture(), "keypoints": eyes()}
    with pytest.raises(NoKernelError, match=r"'keypoints' \(KeyPoints\).*W - 1 - x.*approximate=True"):
        tv.Step(v2.RandomHorizontalFlip(1.0))(sample)
    theirs = tv.Step(v2.RandomHorizontalFlip(1.0), approximate=True)(sample)["keypoints"]
    ours = T.RandomHorizontalFlip(1.0)(sample)["keypoints"]
    seen = ours.visibility > 0
    assert torch.equal(theirs.visibility, ours.visibility)  # left and right have changed places
    assert torch.equal(theirs.plain()[seen], ours.plain()[seen] - torch.tensor([1.0, 0.0]))


def coordinates():
    """A picture whose colours say where each pixel's centre was; the third says whether it was there."""
    y, x = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    return Image(torch.stack([x / 100, y / 100, torch.ones_like(x)]))


def read(image, points):
    """What a picture of coordinates shows at points, between pixels; NaN where it shows something new."""
    grid = points / torch.tensor([image.shape[-1], image.shape[-2]]) * 2 - 1
    shown = torch.nn.functional.grid_sample(image.plain()[None], grid[None, None], align_corners=False)[0, :, 0].T
    return torch.where((shown[:, 2:] > 0.9999), shown[:, :2] * 100, torch.nan)


SIZED = {
    "RandomCrop": {"height": 30, "width": 40}, "CenterCrop": {"height": 30, "width": 40}, "Crop": {"x_max": 50, "y_max": 40, "x_min": 3, "y_min": 5},
    "Pad": {"padding": (3, 4, 5, 6)}, "PadIfNeeded": {"min_height": 60, "min_width": 71}, "AtLeastOneBBoxRandomCrop": {"height": 30, "width": 40},
    "CropNonEmptyMaskIfExists": {"height": 30, "width": 40}, "XYMasking": {"mask_x_length": 9, "mask_y_length": 9, "num_masks_x": 1, "num_masks_y": 1},
    "Affine": {"rotate": (20, 40), "scale": (0.7, 0.9), "shear": (-5, 5)}, "Rotate": {"limit": (20, 40)}, "SafeRotate": {"limit": (20, 40)},
    "ShiftScaleRotate": {"shift_limit": 0.1}, "ConstrainedCoarseDropout": {"bbox_labels": [0]},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:ShiftScaleRotate is a special case", "ignore:TimeReverse is an alias")
@pytest.mark.parametrize("kind", al.EXACT, ids=lambda k: k.__name__)
def test_key_points_of_albumentations_lie_where_their_pixels_do(kind):
    step = al.Step(kind(p=1, **SIZED.get(kind.__name__, {})))
    points = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([W - 10.0, H - 10]) + 5
    sample = {"image": coordinates(), "keypoints": KeyPoints(points, canvas_size=(H, W)), "boxes": scene()["boxes"], "mask": scene()["mask"]}
    out = step(sample, key=KEY)
    shown = read(out["image"], out["keypoints"].plain())
    known = ~shown.isnan().any(1)
    assert known.sum() > 20
    assert (shown - points)[known].abs().max() < 0.01


def test_key_points_of_albumentations_that_are_not_exact_need_a_word():
    sample = {"image": coordinates(), "keypoints": KeyPoints([[32.0, 24.0], [1.0, 1.0]], canvas_size=(H, W))}
    for transform in (A.Resize(100, 200), A.Compose([A.HorizontalFlip(), A.OneOf([A.ElasticTransform(), A.NoOp()])])):
        with pytest.raises(NoKernelError, match=r"'keypoints' \(KeyPoints\).*approximate=True"):
            al.Step(transform)(sample)
    moved = al.Step(A.Resize(96, 128, p=1), approximate=True)(sample)["keypoints"]
    assert moved.canvas_size == (96, 128)
    assert torch.equal(moved.plain(), torch.tensor([[63.5, 47.5], [1.5, 1.5]]))  # (64, 48) and (2, 2) are right
    al.Step(A.RandomGamma(p=1))(sample)  # colours move nothing


POINTS_OF_KORNIA = [
    K.RandomAffine(30.0, (0.1, 0.1), (0.7, 0.9), 5.0, p=1.0), K.RandomRotation(30.0, p=1.0), K.RandomPerspective(p=1.0), K.RandomVerticalFlip(p=1.0),
    K.RandomCrop((30, 40), padding=4), K.CenterCrop((30, 40)), K.RandomResizedCrop((50, 90)), K.Resize((41, 133)), K.PadTo((60, 71)),
    K.LongestMaxSize(100), K.SmallestMaxSize(100), K.RandomShear(9.0, p=1.0), K.RandomTranslate((0.1, 0.2), (0.1, 0.2), p=1.0), K.RandomRotation90((1, 3), p=1.0),
]  # fmt: skip


@pytest.mark.parametrize("transform", POINTS_OF_KORNIA, ids=lambda t: type(t).__name__)
def test_points_and_boxes_of_kornia_lie_where_their_pixels_do(transform):
    points = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([W - 10.0, H - 10]) + 5
    corners = torch.tensor([[10.0, 10, 30, 20], [20, 15, 40, 30]])
    boxes = BoundingBoxes(corners, format="XYXY", canvas_size=(H, W))
    ends = KeyPoints(corners[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(2, 4, 2), canvas_size=(H, W))
    sample = {"image": coordinates(), "keypoints": KeyPoints(points, canvas_size=(H, W)), "boxes": boxes, "ends": ends}
    out = kn.Step(transform)(sample, key=KEY)
    shown = read(out["image"], out["keypoints"].plain())
    known = ~shown.isnan().any(1)
    assert known.sum() > 20
    assert (shown - points)[known].abs().max() < 0.02
    hull = torch.cat([out["ends"].plain().amin(1), out["ends"].plain().amax(1)], 1)
    assert torch.allclose(out["boxes"].plain(), hull, atol=1e-4)
    assert out["boxes"].canvas_size == out["image"].canvas


@pytest.mark.parametrize("format", ["XYWH", "CXCYWH", "XYWHR", "CXCYWHR", "XYXYXYXY"])
def test_boxes_of_all_formats_under_kornia(format):
    boxes = T.functional.convert_bounding_box_format(scene()["boxes"], new_format=format)
    sample = {"image": Image(picture().plain().float() / 255), "boxes": boxes}
    assert torch.allclose(FLIPS["kornia"](sample)["boxes"].plain(), T.RandomHorizontalFlip(1.0)(sample)["boxes"].plain(), atol=1e-4)


@pytest.mark.parametrize("format", ["XYWH", "CXCYWH"])
def test_boxes_of_upright_formats_under_albumentations(format):
    boxes = T.functional.convert_bounding_box_format(scene()["boxes"], new_format=format)
    sample = {"image": picture(), "boxes": boxes}
    assert torch.allclose(FLIPS["albumentations"](sample)["boxes"].plain(), T.RandomHorizontalFlip(1.0)(sample)["boxes"].plain(), atol=1e-4)


@pytest.mark.parametrize("step", FLIPS.values(), ids=FLIPS.keys())
def test_no_objects_stay_no_objects(step):
    sample = {
        "image": Image(picture().plain().float() / 255),
        "boxes": BoundingBoxes([], format="XYXY", canvas_size=(H, W)),
        "masks": Mask(torch.zeros(0, H, W, dtype=torch.bool), kind="instance"),
        "labels": Label([]),
    }
    same(step(sample), T.RandomHorizontalFlip(1.0)(sample))


def test_no_boxes_follow_the_canvas_that_torchvision_forgets_to_tell_them():
    boxes = BoundingBoxes([], format="XYXY", canvas_size=(H, W))
    out = tv.Step(v2.RandomRotation((90, 90), expand=True))({"image": picture(), "boxes": boxes})
    assert out["boxes"].canvas_size == out["image"].canvas == (W, H)


@pytest.mark.parametrize("step", [tv.Step(v2.Resize((24, 32))), al.Step(A.Resize(24, 32)), kn.Step(K.Resize((24, 32), align_corners=False))], ids=lambda s: s.package)
def test_integer_boxes_are_not_cut_off(step):
    sample = {"image": Image(picture().plain().float() / 255), "boxes": BoundingBoxes([[3, 5, 10, 13]], format="XYXY", canvas_size=(H, W))}
    boxes = step(sample)["boxes"]
    assert torch.allclose(boxes.plain(), torch.tensor([[1.5, 2.5, 5.0, 6.5]]), atol=1e-4)


VIEWS = {
    "torchvision": tv.Step(v2.RandomAffine(30)),
    "albumentations": al.Step(A.Affine(rotate=(-30, 30), p=1)),
    "kornia": kn.Step(K.RandomAffine(30.0, p=1.0)),
}


@pytest.mark.parametrize("step", VIEWS.values(), ids=VIEWS.keys())
def test_frames_and_clips_get_one_draw(step):
    image = picture().plain().float() / 255
    ids = Mask(torch.arange(H * W).reshape(H, W) % 7, frame="image1")
    sample = {"image1": Image(image), "image2": Image(image), "clip": Video(torch.stack([image, image])), "mask": ids, "again": ids}
    out = step(sample, key=KEY)
    assert not torch.equal(out["image1"].plain(), image)
    for other in (out["image2"].plain(), *out["clip"].plain()):
        assert torch.equal(out["image1"].plain(), other)
    assert torch.equal(out["mask"], out["again"])
    assert (type(out["clip"]), out["mask"].frame, out["mask"].dtype) == (Video, "image1", torch.int64)


@pytest.mark.parametrize("step", [v for n, v in VIEWS.items() if n != "torchvision"], ids=lambda s: s.package)
def test_frames_of_two_sizes_are_refused_where_one_draw_needs_one_size(step):
    with pytest.raises(PlanError, match=r"'image1' is \(48, 64\).*'image2' is \(24, 32\)"):
        step({"image1": Image(torch.rand(3, H, W)), "image2": Image(torch.rand(3, 24, 32))})


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64, torch.float32])
@pytest.mark.parametrize("step", [FLIPS["albumentations"], al.Step(A.Affine(rotate=(30, 30), p=1))], ids=["flip", "turn"])
def test_masks_of_every_dtype_come_back_in_it(step, dtype):
    ids = (torch.arange(H * W).reshape(H, W) % (2 if dtype == torch.bool else 100)).to(dtype)
    mask = Mask(ids)
    large = dtype in (torch.int32, torch.int64)
    mask = Mask(ids + 2**30) if large else mask
    out = step({"image": picture(), "mask": mask, "stack": Mask(mask.plain()[None, None])})
    assert out["mask"].dtype == dtype
    assert set(out["mask"].unique().tolist()) <= {*mask.unique().tolist(), 0}
    assert torch.equal(out["stack"][0, 0], out["mask"])
    if step is FLIPS["albumentations"]:
        assert torch.equal(out["mask"].plain(), mask.plain().flip(-1))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int64, torch.float32])
def test_masks_of_kornia_come_back_in_their_dtype(dtype):
    mask = Mask((torch.arange(H * W).reshape(H, W) % (2 if dtype == torch.bool else 100)).to(dtype), ignore_index=9)
    out = FLIPS["kornia"]({"image": Image(torch.rand(3, H, W)), "mask": mask, "stack": Mask(mask.plain()[None, None])})
    assert torch.equal(out["mask"].plain(), mask.plain().flip(-1))
    assert torch.equal(out["stack"].plain()[0, 0], out["mask"].plain())
    assert (out["mask"].dtype, out["mask"].ignore_index) == (dtype, 9)


def test_numbers_of_a_mask_that_kornia_would_round_raise():
    with pytest.raises(RuntimeError, match="represent"):
        FLIPS["kornia"]({"image": Image(torch.rand(3, H, W)), "mask": Mask(torch.full((H, W), 2**24 + 1))})


@pytest.mark.parametrize("step", [al.Step(A.RandomGamma(p=1)), kn.Step(K.RandomGamma((2.0, 2.0), p=1.0))], ids=lambda s: s.package)
def test_colours_move_nothing(step):
    sample = {**floating(scene()), "flow": Flow(torch.rand(2, H, W), views=("image", "image2"))}
    out = step(sample, key=KEY)
    assert not torch.equal(out["image"], sample["image"])
    same({**out, "image": 0}, {**sample, "image": 0})


def test_a_step_needs_no_picture_where_the_library_needs_none():
    sample = {n: v for n, v in scene().items() if n != "image"}
    sample["boxes"] = sample["boxes"].like(sample["boxes"].plain(), frame=None)
    ours = T.RandomHorizontalFlip(1.0)(sample)
    for step in (FLIPS["torchvision"], FLIPS["albumentations"]):
        out = step(sample)
        assert torch.equal(out["masks"], ours["masks"])
        assert torch.equal(out["labels"], sample["labels"])  # torchvision by hand takes them for the picture
        assert torch.allclose(out["boxes"].plain(), ours["boxes"].plain(), atol=1e-4)
    with pytest.raises(NoKernelError, match="kornia draws by a picture"):
        FLIPS["kornia"](sample)


# -- objects that are gone --------------------------------------------------------------------------------------------


def test_what_describes_a_dropped_box_is_dropped_with_it():
    sample = {**scene(), "keypoints": KeyPoints(torch.rand(3, 2, 2) * 8, canvas_size=(H, W)), "weights": torch.tensor([1.0, 2.0, 3.0])}
    step = al.Step(A.Crop(x_min=25, y_min=5, x_max=64, y_max=48, p=1), instances=("boxes", "labels", "masks", "keypoints", "weights"))
    out = T.Compose([step], passthrough=("weights",))(sample)
    assert out["boxes"].tolist() == [[5.0, 5.0, 35.0, 35.0]]
    assert (out["labels"].tolist(), out["labels"].categories) == ([2], ("a", "b", "c"))
    assert torch.allclose(boxes_of(out["masks"]), out["boxes"].plain())
    assert (out["keypoints"].shape, out["weights"].tolist()) == ((1, 2, 2), [2.0])


def test_the_filters_of_a_compose_hold():
    crop = A.Crop(x_min=10, y_min=0, x_max=64, y_max=48, p=1)
    loose, strict = (al.Step(A.Compose([crop], bbox_params=A.BboxParams("coco", min_visibility=v, label_fields=["labels"]))) for v in (0.0, 0.7))
    assert loose(scene())["labels"].tolist() == [1, 2, 0]
    assert strict(scene())["labels"].tolist() == [2, 0]


def test_torchvision_dropping_boxes_alone_raises():
    step = tv.Step(v2.Compose([v2.RandomCrop((20, 20)), v2.SanitizeBoundingBoxes()]), approximate=True)
    sample = {n: v for n, v in scene().items() if n in ("image", "boxes", "labels")}
    out = step(sample, key=KEY)
    assert len(out["boxes"]) == len(out["labels"]) < 3
    assert out["labels"].categories == ("a", "b", "c")
    with pytest.raises(PlanError, match=r"one row an object.*'keypoints': 3"):
        step({**sample, "keypoints": KeyPoints(torch.rand(3, 2, 2), canvas_size=(H, W))}, key=KEY)


def test_points_that_a_library_drops_raise_or_go():
    step = tv.Step(v2.Compose([v2.CenterCrop((20, 20)), v2.SanitizeKeyPoints(labels_getter=None)]), approximate=True)
    loose = KeyPoints([[1.0, 1.0], [32.0, 24.0]], canvas_size=(H, W))
    assert len(step({"image": picture(), "keypoints": loose})["keypoints"]) == 1
    with pytest.raises(NoKernelError, match="keeps 1 of 2 points"):
        step({"image": picture(), "keypoints": loose.like(loose.plain(), visibility=torch.tensor([2, 2]))})
    far = KeyPoints([[[32.0, 24.0], [63.5, 47.5]]], canvas_size=(H, W), visibility=[[2, 2]])
    lost = al.Step(A.GridDistortion(distort_limit=(0.5, 0.5), p=1), approximate=True)({"image": picture(), "keypoints": far}, key=KEY)["keypoints"]
    assert lost.visibility.tolist() == [[2, 2 if lost[0, 1].isfinite().all() else 0]]


# -- what cannot be moved raises, and says what to do -----------------------------------------------------------------

REFUSED = [
    (FLIPS["torchvision"], {"flow": Flow(torch.zeros(2, H, W), views=("image", "b"))}, r"'flow' \(Flow\).*vdata.transforms"),
    (FLIPS["albumentations"], {"flow": Flow(torch.zeros(2, H, W), views=("image", "b"))}, r"'flow' \(Flow\).*vdata.transforms"),
    (FLIPS["kornia"], {"flow": Flow(torch.zeros(2, H, W), views=("image", "b"))}, r"'flow' \(Flow\).*vdata.transforms"),
    (
        FLIPS["albumentations"],
        {"boxes": BoundingBoxes([[9.0, 9, 5, 4, 30]], format="XYWHR", canvas_size=(H, W))},
        r"'boxes' \(BoundingBoxes\).*not XYWHR.*vdata.transforms",
    ),
    (FLIPS["albumentations"], {"boxes": BoundingBoxes([[9.0, 9, 70, 20]], format="XYXY", canvas_size=(H, W))}, "leaves the canvas.*ClampBoundingBoxes"),
    (FLIPS["albumentations"], {"boxes": BoundingBoxes([[9.0, 9, 9, 20]], format="XYXY", canvas_size=(H, W))}, "is empty.*SanitizeBoundingBoxes"),
    (FLIPS["albumentations"], {"image": Image(torch.zeros(3, H, W, dtype=torch.float64))}, r"'image' \(Image\).*ToDtype"),
    (FLIPS["albumentations"], {"image": Image(torch.zeros(2, 3, H, W))}, r"'image' \(Image\).*\[2, 3, 48, 64\]"),
    (FLIPS["albumentations"], {"mask": Mask(torch.full((H, W), 2**60 + 1))}, r"'mask' \(Mask\).*2\*\*53"),
    (FLIPS["albumentations"], {"image": Image(torch.zeros(3, H, W, device="meta"))}, "lies on meta"),
    (al.Step(A.OverlayElements()), {"boxes": scene()["boxes"]}, r"'boxes' \(BoundingBoxes\).*OverlayElements has no target"),
    (FLIPS["kornia"], {"image": picture()}, r"'image' \(Image\).*uint8.*ToDtype"),
    (kn.Step(K.RandomElasticTransform(p=1.0)), {"boxes": scene()["boxes"]}, r"'boxes' \(BoundingBoxes\).*RandomElasticTransform"),
    (kn.Step(K.ImageSequential(K.RandomFisheye(*[torch.tensor([0.1, 0.2])] * 3))), {"mask": scene()["mask"]}, r"'mask' \(Mask\).*RandomFisheye"),
    (kn.Step(K.ImageSequential(torch.nn.Identity())), {"mask": scene()["mask"]}, r"'mask' \(Mask\).*Identity"),
    (tv.Step(v2.FiveCrop(8)), {}, r"'image' \(Image\).*came back as tuple"),
]  # fmt: skip


@pytest.mark.parametrize("step, leaves, words", REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_moved_raises_naming_the_leaf_and_the_remedy(step, leaves, words):
    with pytest.raises(NoKernelError, match=words):
        step({"image": Image(torch.zeros(3, H, W)), **leaves})


def test_clip_in_bbox_params_lets_boxes_leave_the_canvas():
    step = al.Step(A.Compose([A.NoOp()], bbox_params=A.BboxParams("pascal_voc", clip=True)))
    boxes = BoundingBoxes([[9.0, 9, 70, 20]], format="XYXY", canvas_size=(H, W))
    assert step({"image": picture(), "boxes": boxes})["boxes"].tolist() == [[9.0, 9.0, 64.0, 20.0]]


class Narrower(v2.Transform):
    """A transform of somebody's that knows pictures only, as torchvision passes what it has no kernel for."""

    _transformed_types = (tv_tensors.Image,)

    def transform(self, inpt, params):
        return tv_tensors.wrap(inpt[..., : W // 2], like=inpt)


def test_a_leaf_left_behind_when_the_canvas_changed_raises():
    with pytest.raises(PlanError, match=r"torchvision.Step\(Narrower.*'boxes' has a canvas of \(48, 64\).*\(48, 32\)"):
        tv.Step(Narrower())(scene())


def test_the_canvas_is_what_the_step_says():
    crop = v2.RandomCrop((20, 24))
    with pytest.raises(PlanError, match=r"canvas of 'image' \(20, 24\).*drawn for \(48, 64\): say size="):
        tv.Step(crop, size="same")(scene())
    with pytest.raises(PlanError, match=r"\(20, 24\).*drawn for \(20, 20\)"):
        tv.Step(crop, size=20)(scene())
    assert T.Compose([tv.Step(crop, size=(20, 24)), T.RandomCrop((9, 24))])(scene())["image"].canvas == (9, 24)
    assert T.Compose([tv.Step(crop), T.RandomHorizontalFlip()])(scene())["image"].canvas == (20, 24)
    with pytest.raises(PlanError):
        T.Compose([tv.Step(crop), T.RandomCrop((9, 24))])(scene())
    pipe = vdata.from_torch([scene()]).apply(tv.Step(crop)).apply(T.RandomCrop((9, 24)))
    assert pipe[0]["image"].canvas == (9, 24)


# -- PIL and numpy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", FLIPS.values(), ids=FLIPS.keys())
def test_pictures_of_pil_and_numpy_are_taken(step):
    pixels = picture().plain().permute(1, 2, 0).contiguous().numpy()
    before = T.ToDtype(torch.float32, scale=True) if step.package == "kornia" else T.Identity()
    wanted = before(Image(picture().plain().flip(-1)))
    out = step(before({"image": PIL.Image.fromarray(pixels)}))["image"]
    assert torch.equal(out, wanted)
    array = pixels.astype(np.float32) / np.float32(255) if step.package == "kornia" else pixels
    assert torch.allclose(step({"image": array})["image"].plain(), wanted.plain())
    with pytest.raises(NoKernelError, match="plain numpy ndarray of shape"):
        step({"image": pixels.transpose(2, 0, 1)})


@pytest.mark.parametrize("array", [np.zeros((H, W, 3), np.uint8)[:, ::-1], np.asarray(PIL.Image.new("RGB", (W, H)))], ids=["turned", "read-only"])
def test_numpy_pictures_may_lie_in_any_way(array):
    assert FLIPS["torchvision"]({"image": array})["image"].shape == (3, H, W)


def test_albumentations_gets_views_and_gives_views_where_it_can():
    image = Image(torch.randint(0, 256, (H, W, 3), dtype=torch.uint8).permute(2, 0, 1))  # channels last in memory
    sample = {"image": image, "mask": Mask(torch.zeros(H, W, dtype=torch.uint8), frame="image"), "grey": Image(torch.rand(1, H, W))}
    out = al.Step(A.NoOp(p=1))(sample)
    for name, value in sample.items():
        assert out[name].data_ptr() == value.data_ptr(), name


def test_pictures_that_torchvision_hands_back_as_something_else_are_images_again():
    for transform in (v2.ToPILImage(), v2.ToPureTensor()):
        out = tv.Step(transform)({"image": picture(), "label": Label(1)})
        assert torch.equal(out["image"], picture())
        assert (type(out["image"]), type(out["label"])) == (Image, Label)
    assert al.Step(A.ToTensorV2())({"image": picture()})["image"].tolist() == picture().tolist()
