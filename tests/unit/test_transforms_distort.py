"""RandomPhotometricDistort against torchvision; it and the older colour transforms in a batch, a draw a sample."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
from torchvision import tv_tensors

from vdata import Key
from vdata import transforms as T
from vdata.batch import Batch, Ragged, collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.transforms import Info, params_from_json, params_to_json, row
from vdata.transforms.distort import RandomPhotometricDistort

COUNT = 24


def picture(dtype, *shape, seed=0):
    levels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed))
    if dtype == torch.uint16:
        return (levels * 257).to(dtype)
    return (levels / 255).to(dtype) if dtype.is_floating_point else levels.to(dtype)


def drawn(transform, count=COUNT):
    info = Info({"image": np.tile([[6, 8]], (count, 1))}, channels={"image": 3}, count=count)
    return transform.draw(Key.of(0, 0, np.arange(count)), info)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64], ids=str)
def test_distort_is_torchvisions_on_the_same_params(dtype):
    mine, theirs = RandomPhotometricDistort(p=0.6), tv.RandomPhotometricDistort(p=0.6)
    x, clip = picture(dtype, 3, 6, 8), picture(dtype, 2, 3, 6, 8)
    params, seen = drawn(mine), set()
    for b in range(COUNT):
        one = row(params, b)
        assert params_from_json(params_to_json(one)) == one
        on = one["apply"]
        seen.add((one["contrast_first"], *on.values()))
        other = {f"{n}_factor": one[n] if on[n] else None for n in ("brightness", "contrast", "saturation", "hue")}
        other |= {"contrast_before": one["contrast_first"], "channel_permutation": torch.tensor(one["permutation"]) if on["permutation"] else None}
        assert torch.equal(mine.apply(one, {"x": Image(x)})["x"].plain(), theirs.transform(x, other))
        moved = theirs.transform(tv_tensors.Video(clip), other).as_subclass(torch.Tensor)
        assert torch.equal(mine.apply(one, {"x": Video(clip)})["x"].plain(), moved)
        assert mine.chosen(one) == any(on.values()) == mine.chosen(params)[b]
    assert len(seen) > 15


def test_distort_draws_within_its_spans():
    transform = RandomPhotometricDistort()
    params = drawn(transform, 3000)
    for name, (low, high) in {"brightness": (0.875, 1.125), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-0.05, 0.05)}.items():
        assert getattr(transform, name) == getattr(tv.RandomPhotometricDistort(), name) == (low, high)
        edge = (high - low) * 0.01
        assert low <= params[name].min() < low + edge and high - edge < params[name].max() <= high
    coins = np.stack([*params["apply"].values(), params["contrast_first"]])
    assert (np.abs(coins.mean(1) - 0.5) < 0.04).all() and (np.abs(np.corrcoef(coins) - np.eye(6)) < 0.08).all()
    assert len(np.unique(params["permutation"], axis=0)) == 6
    x = {"x": Image(picture(torch.uint8, 3, 6, 8))}
    assert RandomPhotometricDistort(p=0)(x)["x"] is x["x"] and not torch.equal(RandomPhotometricDistort(p=1)(x)["x"].plain(), x["x"].plain())
    for wrong in ({"brightness": (-1, 1)}, {"contrast": 0.5}, {"saturation": (2, 1)}, {"hue": (-0.6, 0)}, {"p": 2}):
        with pytest.raises(ValueError):
            RandomPhotometricDistort(**wrong)


def test_distort_of_grey_and_alpha():
    rgba, grey = picture(torch.uint8, 4, 6, 8), picture(torch.uint8, 1, 6, 8)
    transform = RandomPhotometricDistort(p=1.0)
    for b in range(6):
        out = transform({"rgba": Image(rgba), "rgb": Image(rgba[:3]), "grey": Image(grey)}, key=Key.of(b))
        assert torch.equal(out["rgba"].plain()[:3], out["rgb"].plain()) and torch.equal(out["rgba"].plain()[3], rgba[3])
        assert out["grey"].shape == grey.shape


TRANSFORMS = [RandomPhotometricDistort(), RandomPhotometricDistort(p=1.0), T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.ColorJitter(0.5), T.ColorJitter(contrast=0.5, hue=0.2), T.ColorJitter()]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_stacked_pictures_change_each_by_its_own_factors_and_order(transform, dtype):
    params = drawn(transform)
    for kind, shape in ((Image, (3, 6, 8)), (Image, (4, 6, 8)), (Image, (1, 6, 8)), (Video, (2, 3, 6, 8))):
        x = kind(picture(dtype, COUNT, *shape))
        before = x.clone()
        out = transform.change(params, x)
        assert type(out) is kind and out.dtype == dtype and torch.equal(x.plain(), before.plain())
        for b in range(COUNT):
            alone = transform.change(row(params, b), x[b]) if transform.chosen(row(params, b)) else x[b]
            away = (out[b].plain().double() - alone.plain().double()).abs().max()
            assert away <= (1e-5 if dtype.is_floating_point else 1)
    if "order" in params:
        assert len({tuple(o) for o in params["order"].tolist()}) > 10


@pytest.mark.parametrize("transform", [*TRANSFORMS, T.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), T.ToDtype(torch.float16, scale=True)], ids=repr)
def test_a_batch_is_its_samples(transform):
    dtype = torch.float32 if isinstance(transform, T.Normalize) else torch.uint8
    samples = [{"image": Image(picture(dtype, 3, 6, 8, seed=b)), "clip": Video(picture(dtype, 2, 3, 4, 4, seed=b)), "ragged": Image(picture(dtype, 3, 2 + b % 2, 5, seed=b)),
                "boxes": BoundingBoxes(torch.ones(b, 4), format="XYXY", canvas_size=(6, 8), frame="image"), "id": str(b)} for b in range(6)]  # fmt: skip
    keys = Key.of(0, 5, np.arange(6))
    batch = collate(samples)
    out = transform(batch, key=keys)
    assert isinstance(out, Batch) and isinstance(out["ragged"], Ragged) and out["boxes"] is batch["boxes"]
    for b, sample in enumerate(samples):
        alone = transform(sample, key=keys[b])
        for name in ("image", "clip", "ragged"):
            assert type(out[name][b]) is type(alone[name]) and out[name][b].dtype == alone[name].dtype
            away = (out[name][b].plain().double() - alone[name].plain().double()).abs().max()
            assert away <= (1e-5 if alone[name].is_floating_point() else 1)
        assert out["id"][b] == sample["id"]


def test_to_dtype_of_a_batch_casts_all_numbers_of_unequal_shapes_at_once():
    samples = [{"image": Image(picture(torch.uint8, 3, 3 + b, 4)), "points": KeyPoints(torch.ones(b, 2), canvas_size=(3 + b, 4), visibility=torch.ones(b), frame="image"),
                "masks": Mask(torch.ones(b, 3 + b, 4, dtype=torch.bool), kind="instance", frame="image"), "labels": Label(torch.arange(b)),
                "flow": Flow(torch.rand(2, 3 + b, 4), views=("image", "next"))} for b in range(4)]  # fmt: skip
    by_type = T.ToDtype({Image: torch.float32, KeyPoints: torch.float64, Mask: torch.uint8, "others": None}, scale=True)
    whole, one_by_one = by_type(collate(samples)), collate([by_type(s) for s in samples])
    for name in samples[0]:
        assert isinstance(whole[name], Ragged) and whole[name].metas[2].keys() == one_by_one[name].metas[2].keys()
        for mine, alone in zip(whole[name], one_by_one[name], strict=True):
            assert type(mine) is type(alone) and mine.dtype == alone.dtype and torch.equal(mine.plain(), alone.plain())
    assert whole["image"][1].max() <= 1 and whole["points"].metas[2]["visibility"].tolist() == [1, 1]
    with pytest.raises(TypeError, match="moves pixels"):
        T.ToDtype({Flow: torch.float16, "others": None})(collate(samples))
    with pytest.raises(ValueError, match="says nothing of"):
        T.ToDtype({Image: torch.float16})(collate(samples))


@pytest.mark.differs("ToDtype of bool, scaled", "raises for integers", "black and white")
def test_bool_scales_to_black_and_white_and_what_cannot_scale_says_so():
    x = torch.tensor([[[True, False]]])
    for dtype, white in ((torch.uint8, 255), (torch.int8, 127), (torch.uint16, 65535), (torch.int32, 2**31 - 1), (torch.float16, 1), (torch.float32, 1)):
        assert T.functional.to_dtype(Image(x), dtype, scale=True).flatten().tolist() == [white, 0]
    for old in (torch.uint8, torch.float32):
        with pytest.raises(TypeError, match="threshold"):
            T.functional.to_dtype(Image(x.to(old)), torch.bool, scale=True)
        with pytest.raises(TypeError, match=r"torch\.uint32 have no levels.*int64"):
            T.functional.to_dtype(Image(x.to(old)), torch.uint32, scale=True)
    with pytest.raises(TypeError, match=r"torch\.uint32"):
        T.functional.to_dtype(Image(x.to(torch.uint32)), torch.uint8, scale=True)
    assert T.functional.to_dtype(Image(x), torch.int64).flatten().tolist() == [1, 0]
    with pytest.raises(TypeError, match=r"ToDtype\(torch\.uint8, scale=True\)"):
        T.ColorJitter(0.4)(Image(x))
