"""Colour against torchvision, on the same factors and order."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from torchvision import tv_tensors

from vdata import Key
from vdata import transforms as T
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import Info, row
from vdata.transforms import functional as F

VERBS = {
    "adjust_brightness": (0.0, 0.3, 1.0, 1.7),
    "adjust_contrast": (0.0, 0.3, 1.0, 1.7),
    "adjust_saturation": (0.0, 0.3, 1.0, 1.7),
    "adjust_hue": (-0.5, -0.2, 0.0, 0.13, 0.5),
}
CASES = [(verb, factor) for verb, factors in VERBS.items() for factor in factors]


def picture(dtype, channels=3, *lead):
    """Colours of all kinds, greys, black and white among them."""
    levels = torch.randint(0, 256, (*lead, channels, 16, 24), generator=torch.Generator().manual_seed(3))
    levels[..., :4, :4] = levels[..., :1, :4, :4]
    levels[..., 5, :3], levels[..., 6, :3] = 0, 255
    if dtype == torch.uint16:
        return (levels * 257).to(dtype)
    return (levels / 255).to(dtype) if dtype.is_floating_point else levels.to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("verb", "factor"), CASES)
def test_verbs_are_torchvisions_to_the_bit(verb, factor, channels, dtype):
    mine, theirs = getattr(F, verb), getattr(tvf, verb)
    x = picture(dtype, channels)
    assert torch.equal(mine(x, factor), theirs(x, factor))
    clip = picture(dtype, channels, 4)
    out = mine(Video(clip), factor)
    assert type(out) is Video and torch.equal(out.plain(), theirs(tv_tensors.Video(clip), factor))


@pytest.mark.parametrize(("verb", "factor"), CASES)
def test_alpha_is_kept_and_other_channel_counts_raise(verb, factor):
    mine = getattr(F, verb)
    x = picture(torch.uint8, 4)
    out = mine(x, factor)
    assert torch.equal(out[:3], mine(x[:3], factor)) and torch.equal(out[3], x[3])
    with pytest.raises(ValueError, match="got 2"):
        mine(picture(torch.uint8, 2), factor)


@pytest.mark.parametrize(("verb", "factor"), CASES)
def test_uint16_follows_float(verb, factor):
    x = picture(torch.uint16)
    out = getattr(F, verb)(Image(x), factor)
    exact = getattr(F, verb)(Image(x.double() / 65535), factor)
    assert out.dtype == torch.uint16 and (out.double() / 65535 - exact.plain()).abs().max() < 2.5 / 65535


def test_grayscale():
    for dtype in (torch.uint8, torch.float32):
        for channels in (1, 3):
            for number in (1, 3):
                x = picture(dtype, channels)
                assert torch.equal(F.rgb_to_grayscale(x, number), tvf.rgb_to_grayscale(x, number))
    assert F.rgb_to_grayscale(Video(picture(torch.uint8, 3, 2))).shape == (2, 1, 16, 24)  # torchvision passes clips by
    with pytest.raises(ValueError, match="1 or 3"):
        F.rgb_to_grayscale(picture(torch.uint8), 2)


def test_no_input_is_written_to():
    for dtype in (torch.uint8, torch.float32):
        x = picture(dtype)
        before = x.clone()
        for verb, factor in CASES:
            getattr(F, verb)(x, factor)
        F.rgb_to_grayscale(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_color_jitter_is_torchvisions_on_the_same_factors_and_order(dtype):
    mine, theirs = T.ColorJitter(0.4, 0.4, 0.4, 0.1), tv.ColorJitter(0.4, 0.4, 0.4, 0.1)
    x = picture(dtype)
    info = Info.of([{"image": Image(x)}])
    orders = set()
    for position in range(12):
        params = row(mine.draw(Key.of(0, 0, position), info), 0)
        orders.add(tuple(params["order"]))
        other = {f"{n}_factor": params[n] for n in ("brightness", "contrast", "saturation", "hue")} | {"fn_idx": torch.tensor(params["order"])}
        assert torch.equal(mine.apply(params, {"image": Image(x)})["image"].plain(), theirs.transform(x, other))
    assert len(orders) > 6


def test_color_jitter_draws_within_its_spans_and_leaves_the_rest_alone():
    keys = Key.of(0, 0, np.arange(2000))
    info = Info({"image": np.tile([[4, 4]], (2000, 1))}, count=2000)
    params = T.ColorJitter(brightness=0.5, hue=(-0.1, 0.3)).draw(keys, info)
    assert set(params) == {"order", "brightness", "hue"}
    assert 0.5 <= params["brightness"].min() < 0.51 and 1.49 < params["brightness"].max() < 1.5
    assert -0.1 <= params["hue"].min() < -0.09 and 0.29 < params["hue"].max() < 0.3
    assert set(T.ColorJitter(0, (1, 1), None, 0.0).draw(keys, info)) == {"order"}
    assert T.ColorJitter(2.0).span("brightness") == (0.0, 3.0)


def test_photometric_transforms_leave_other_types_as_they_are():
    sample = {
        "image1": Image(picture(torch.uint8)), "image2": Image(picture(torch.uint8)), "flow": Flow(torch.rand(2, 16, 24)),
        "mask": Mask(torch.ones(16, 24), frame="image1"), "boxes": BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(16, 24), frame="image1"),
        "points": KeyPoints([[1.0, 2.0]], canvas_size=(16, 24), frame="image2"), "label": 3,
    }  # fmt: skip
    out = T.ColorJitter(0.9, 0.9, 0.9, 0.5)(sample, key=Key.of(5))
    assert torch.equal(out["image1"], out["image2"]) and not torch.equal(out["image1"], sample["image1"])
    for name in ("flow", "mask", "boxes", "points", "label"):
        assert out[name] is sample[name]
    with pytest.raises(NoKernelError, match="adjust_hue does not know how to move a Mask"):
        F.adjust_hue(sample["mask"], 0.1)


def test_wrong_factors_say_so():
    for make in (
        lambda: T.ColorJitter(-0.1), lambda: T.ColorJitter(hue=0.6), lambda: T.ColorJitter((2, 1)), lambda: T.ColorJitter((1, 2, 3)),
        lambda: F.adjust_brightness(picture(torch.uint8), -1), lambda: F.adjust_hue(picture(torch.uint8), 0.7),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()
