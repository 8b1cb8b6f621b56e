"""AutoAugment, RandAugment, TrivialAugmentWide and AugMix against torchvision; with all leaves, in batches, replayed."""

import inspect
import pickle
from unittest import mock

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from vdata import Key
from vdata.batch import collate
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import Compose, Info, params_from_json, params_to_json, row
from vdata.transforms._draws import beta, dirichlet, log_gamma
from vdata.transforms._policy import FACTORS, GEOMETRIC, GRADED, MIX, MOVES, OPS, RAND, SIGNED, WIDE
from vdata.transforms._policy_steps import geometry, verb_of
from vdata.transforms.augmix import AugMix
from vdata.transforms.auto_augment import _POLICIES, AutoAugment, AutoAugmentPolicy
from vdata.transforms.rand_augment import RandAugment
from vdata.transforms.trivial_augment import TrivialAugmentWide

CLASSES = {"AutoAugment": AutoAugment, "RandAugment": RandAugment, "TrivialAugmentWide": TrivialAugmentWide, "AugMix": AugMix}
SPACES = {"AutoAugment": RAND, "RandAugment": RAND, "TrivialAugmentWide": WIDE, "AugMix": MIX}
SEQUENTIAL = [AutoAugment("imagenet"), AutoAugment("cifar10"), AutoAugment("svhn"), RandAugment(), RandAugment(3, 20), TrivialAugmentWide()]
PHOTOMETRIC = [n for n in OPS if n not in MOVES]
COUNT = 48


def picture(dtype=torch.uint8, *lead, size=(24, 37), seed=0):
    levels = torch.randint(0, 256, (*lead, 3, *size), generator=torch.Generator().manual_seed(seed))
    if dtype == torch.uint16:
        return (levels * 257).to(dtype)
    return (levels / 255).to(dtype) if dtype.is_floating_point else levels.to(dtype)


def smooth(size=(24, 37)):
    """A picture in which one pixel's error of place is a few levels."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return torch.stack([x * 3, y * 5, (x + y) * 2 + 40]).to(torch.uint8)


def everything(size=(24, 37), seed=0, boxes=2):
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(boxes, 2, generator=g) * 10
    return {
        "image1": Image(picture(size=size, seed=seed)),
        "image2": Image(picture(size=size, seed=seed)),
        "video": Video(picture(torch.uint8, 2, size=size, seed=seed)),
        "mask": Mask(picture(size=size, seed=seed)[0], frame="image1", ignore_index=255),
        "boxes": BoundingBoxes(torch.cat([corner, corner + 4], 1), format="XYXY", canvas_size=size, frame="image1"),
        "points": KeyPoints(torch.rand(3, 2, generator=g) * 10, canvas_size=size, frame="image2"),
        "flow": Flow(torch.rand(2, *size, generator=g) * 4 - 2, views=("image1", "image2")),
        "label": seed,
    }


def drawn(transform, count=COUNT, types=None):
    info = Info({"image": np.tile([[24, 37]], (count, 1))}, types=types or {"image": "Image"}, count=count)
    return transform.draw(Key.of(0, 0, np.arange(count)), info)


def one_op(name, magnitude, sign=1):
    return {"op": [OPS.index(name)], "magnitude": [magnitude], "sign": [sign]}


def same(a, b, atol=0.0):
    assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
    assert torch.allclose(a.plain().double(), b.plain().double(), rtol=0, atol=atol, equal_nan=True)


# ---- torchvision's names, arguments, policies and spaces


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_and_defaults_are_torchvisions(name):
    theirs = list(inspect.signature(getattr(tv, name)).parameters.values())
    mine = list(inspect.signature(CLASSES[name]).parameters.values())
    assert [p.name for p in mine] == [*(p.name for p in theirs), "geometric"]
    for a, b in zip(mine, theirs, strict=False):
        assert a.default == b.default or AutoAugmentPolicy(b.default) is a.default


@pytest.mark.parametrize("policy", AutoAugmentPolicy)
def test_policies_are_torchvisions(policy):
    op, probability, magnitude = _POLICIES[policy]
    theirs = tv.AutoAugment(tv.AutoAugmentPolicy[policy.name])._policies
    mine = [[(OPS[o], p, m if GRADED[o] else None) for o, p, m in zip(*line, strict=True)] for line in zip(op, probability, magnitude, strict=True)]
    assert mine == [[*line] for line in theirs] and len(mine) == 25


@pytest.mark.parametrize("name", CLASSES)
def test_spaces_are_torchvisions(name):
    theirs = getattr(tv, name)._AUGMENTATION_SPACE
    for op, (magnitudes, signed) in theirs.items():
        assert bool(SIGNED[OPS.index(op)]) == signed
        for bins in (5, 10, 31):
            for side in (1, 7, 32, 224, 331, 500, 1080):
                amounts, expected = SPACES[name].amounts(op, bins, (side + 1, side)), magnitudes(bins, side + 1, side)
                assert bool(GRADED[OPS.index(op)]) == (expected is not None)
                if expected is not None:
                    whole = op.startswith("Translate")
                    assert amounts.tolist() == [int(v) if whole else float(v) for v in expected]


def test_what_is_drawn_from_is_torchvisions():
    for name in ("RandAugment", "TrivialAugmentWide"):
        ops = drawn(CLASSES[name](), 4000)["op"]
        assert {OPS[i] for i in np.unique(ops)} == set(getattr(tv, name)._AUGMENTATION_SPACE)
        assert np.bincount(ops.ravel(), minlength=14).min() > 0.8 * ops.size / 14
    for all_ops, space in ((True, tv.AugMix._AUGMENTATION_SPACE), (False, tv.AugMix._PARTIAL_AUGMENTATION_SPACE)):
        assert {OPS[i] for i in np.unique(drawn(AugMix(all_ops=all_ops), 2000)["op"])} == {"Identity", *space}


# ---- every op, in every bin, against torchvision's own


@pytest.mark.parametrize("name", PHOTOMETRIC)
@pytest.mark.parametrize("transform", [RandAugment(1), TrivialAugmentWide()], ids=repr)
def test_colour_is_torchvisions_to_the_bit(transform, name):
    theirs = getattr(tv, type(transform).__name__)()
    amounts = transform.space.amounts(name, 31)
    for magnitude in (0, 1, 9, 17, 30) if GRADED[OPS.index(name)] else (0,):
        for sign in (1, -1) if SIGNED[OPS.index(name)] else (1,):
            for x in (picture(), picture(torch.uint8, 2), picture(torch.float32)):
                kind, other = (Video, tv_tensors.Video) if x.ndim == 4 else (Image, tv_tensors.Image)
                expected = theirs._apply_image_or_video_transform(other(x), name, sign * amounts[magnitude], "nearest", {})
                out = transform.apply(one_op(name, magnitude, sign), {"x": kind(x)})["x"]
                tolerance = 1e-6 if name == "Sharpness" and x.is_floating_point() else 0
                same(out, kind(expected.as_subclass(torch.Tensor)), tolerance)


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("kind", ["RandAugment", "TrivialAugmentWide"])
def test_geometry_is_torchvisions(kind, mode, name):
    transform, theirs = CLASSES[kind](interpolation=mode, fill=7), getattr(tv, kind)()
    amounts = transform.space.amounts(name, 31, (24, 37))
    for magnitude in (0, 1, 9, 17, 30):
        for sign in (1, -1):
            x = smooth()
            expected = theirs._apply_image_or_video_transform(tv_tensors.Image(x), name, sign * amounts[magnitude], mode, {tv_tensors.Image: 7})
            out = transform.apply(one_op(name, magnitude, sign), {"x": Image(x)})["x"].plain()
            apart = (out.int() - expected.as_subclass(torch.Tensor).int()).abs()
            if name.startswith("Translate") or magnitude == 0:
                assert not apart.any()
            elif mode == "bilinear":
                assert apart.max() <= 1
            else:  # a centre on the border of two pixels may fall to either
                assert (apart > 0).float().mean() < 0.02 and out.float().std() > 10
