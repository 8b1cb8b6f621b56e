"""Samples made of several: MixUp, CutMix, Mosaic, SimpleCopyPaste; with labels, objects, masks and flow."""

import pickle

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes

import vdata
from vdata import Key
from vdata.batch import Batch, Ragged, collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.transforms import Compose, Info, Instances, from_json, params_from_json, params_to_json, row, to_json
from vdata.transforms import functional as F
from vdata.transforms._cover import Pixels, Window, covered, left_of, mask_hulls
from vdata.transforms.copy_paste import SimpleCopyPaste
from vdata.transforms.cutmix import CutMix
from vdata.transforms.iou_crop import RandomIoUCrop
from vdata.transforms.mixup import MixUp
from vdata.transforms.mosaic import Mosaic, fitted, tiles

B, SIZE = 6, (12, 16)
BLENDING = [MixUp(num_classes=5), CutMix(num_classes=5)]
ALL = [MixUp(), CutMix(), Mosaic(), SimpleCopyPaste()]
seeds = st.integers(0, 2**32 - 1)
blending = pytest.mark.parametrize("t", BLENDING, ids=lambda t: type(t).__name__)


def keys(count, seed=0):
    return Key.of(seed, 0, np.arange(count))


def params_of(t, samples, seed=0):
    return t.draw(keys(len(samples), seed), Info.of(samples))


def mixed_by(t, sample, *others, seed=0, **given):
    """A sample mixed with others, its params drawn and then replaced by what is given."""
    return t.mix({**row(params_of(t, [sample], seed), 0), **given}, sample, list(others))


def pictures(count=B, seed=0, dtype=torch.float32, channels=3, size=SIZE):
    levels = torch.randint(0, 256, (count, channels, *size), generator=torch.Generator().manual_seed(seed))
    return (levels / 255).to(dtype) if dtype.is_floating_point else levels.to(dtype)


def classified(count=B, **how):
    return [{"image": Image(x), "label": Label(b % 5), "__key__": str(b)} for b, x in enumerate(pictures(count, **how))]


def boxes(*rows, format="XYXY", size=SIZE, **how):
    return BoundingBoxes(torch.tensor(rows, dtype=torch.float32).reshape(-1, len(rows[0]) if rows else 4), format=format, canvas_size=size, **how)


def rectangles(*rows, size=SIZE):
    masks = torch.zeros(len(rows), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, rows, strict=True):
        mask[top:bottom, left:right] = True
    return Mask(masks, kind="instance")


def scene(*rows, level=1.0, size=SIZE, first=0, masks=True):
    """A picture of one level with rectangular objects, numbered from `first`."""
    centres = torch.tensor([[[(r[0] + r[2]) / 2, (r[1] + r[3]) / 2]] for r in rows]).reshape(-1, 1, 2)
    out = {
        "image": Image(torch.full((3, *size), level)),
        "boxes": boxes(*rows, size=size),
        "labels": Label(torch.arange(first, first + len(rows))),
        "keypoints": KeyPoints(centres, canvas_size=size, visibility=torch.full((len(rows), 1), 2)),
        "__key__": f"scene {first}",
    }
    return {**out, "masks": rectangles(*rows, size=size)} if masks else out


def apart(a, b):
    return float((a.plain().double() - b.plain().double()).abs().max()) if a.numel() else 0.0


# ---- shares


@pytest.mark.parametrize("alpha, cdf", [
    (1.0, lambda x: x), (0.5, lambda x: 2 / np.pi * np.arcsin(np.sqrt(x))), (2.0, lambda x: 3 * x**2 - 2 * x**3),
    (3.0, lambda x: x**3 * (10 - 15 * x + 6 * x**2)),
])  # fmt: skip
def test_shares_have_the_beta_distribution(alpha, cdf):
    """Kolmogorov and Smirnov's distance of 20,000 draws; its 99.9 % point is 1.95 / sqrt(n)."""
    count = 20_000
    lam = np.sort(MixUp(alpha=alpha).draw(keys(count), Info({}, count=count))["lam"])
    steps = np.arange(count + 1) / count
    assert max(np.abs(cdf(lam) - steps[1:]).max(), np.abs(cdf(lam) - steps[:-1]).max()) < 1.95 / count**0.5


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 1.5, 32, 1e4])
def test_shares_have_the_moments_of_any_alpha(alpha):
    lam = MixUp(alpha=alpha).draw(keys(20_000), Info({}, count=20_000))["lam"]
    assert np.isfinite(lam).all() and lam.min() >= 0 and lam.max() <= 1
    assert abs(lam.mean() - 0.5) < 0.01 and abs(lam.var() * 4 * (2 * alpha + 1) - 1) < 0.04


def test_a_share_is_the_samples_own_whoever_stands_beside_it():
    t, samples = CutMix(alpha=0.3, p=0.7), classified(40)
    together = params_of(t, samples)
    for b in (0, 7, 39):
        assert row(together, b) == row(t.draw(keys(40)[b : b + 1], Info.of([samples[b]])), 0)
    assert len(set(together["lam"].tolist())) > 10 and 5 < (together["lam"] == 1).sum() < 25


# ---- classification


@blending
@pytest.mark.parametrize("soft", [False, True])
def test_pixels_and_labels_are_torchvisions_on_the_same_params_and_partner(t, soft):
    """torchvision rolls by one: of two samples the first is mixed with the second."""
    theirs = getattr(tv, type(t).__name__)(num_classes=5)
    x = pictures(2)
    y = torch.rand(2, 5) if soft else torch.tensor([1, 4])
    for seed in range(8):
        params = row(params_of(t, [{"image": Image(x[0]), "label": y[0]}], seed), 0)
        given = {"labels": y, "batch_size": 2, "lam": params["lam"], "lam_adjusted": params["lam"], "box": params.get("box")}
        own, other = ({"image": Image(x[b]), "label": y[b]} for b in (0, 1))
        out = t.mix(params, own, [other])
        want = theirs.transform(x, given)[0]
        assert torch.equal(out["image"].plain(), want) if type(t) is CutMix else torch.allclose(out["image"].plain(), want, rtol=0, atol=2e-7)
        assert torch.allclose(out["label"], theirs.transform(y, given)[0], atol=1e-7) and type(out["label"]) is torch.Tensor


def test_the_rectangle_is_torchvisions_law():
    """Centre even, half-sides cut off to pixels, the share corrected for what falls outside."""
    t, count = CutMix(), 4000
    info = Info({"image": np.tile([[20, 30]], (count, 1))}, count=count)
    params = t.draw(keys(count), info)
    left, top, right, bottom = params["box"].T
    assert (left >= 0).all() and (left <= right).all() and (right <= 30).all() and (top >= 0).all() and (bottom <= 20).all()
    assert np.allclose(params["lam"], 1 - (right - left) * (bottom - top) / 600)
    rng = torch.Generator().manual_seed(0)
    lam = []
    for _ in range(count):  # the formula of torchvision's make_params, with its own draws
        r, cx, cy = 0.5 * (1 - float(torch.rand((), generator=rng))) ** 0.5, int(torch.randint(30, (), generator=rng)), int(torch.randint(20, (), generator=rng))
        w, h = int(r * 30), int(r * 20)
        lam.append(1 - (min(cx + w, 30) - max(cx - w, 0)) * (min(cy + h, 20) - max(cy - h, 0)) / 600)
    assert np.abs(np.quantile(params["lam"], [0.1, 0.5, 0.9]) - np.quantile(lam, [0.1, 0.5, 0.9])).max() < 0.03


@blending
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.uint16, torch.float16], ids=str)
def test_a_stacked_batch_is_the_loop(t, dtype):
    samples = classified(dtype=dtype)
    batch = collate(samples)
    params = params_of(t, samples)
    others = t.within(Key(params["partners"]), batch)
    together = t.apply_rows(params, batch)
    assert isinstance(together["image"], Image) and together["label"].shape == (B, 5) and together["__key__"] == batch["__key__"]
    for b in range(B):
        alone = t.mix(row(params, b), samples[b], [samples[int(others[b, 0])]])
        assert alone["image"].dtype == dtype and torch.equal(together["image"][b].plain(), alone["image"].plain())
        assert torch.equal(together["label"][b], alone["label"]) and abs(float(alone["label"].sum()) - 1) < 1e-6


@blending
def test_clips_and_several_frames_mix_alike(t):
    samples = [{"clip": Video(x.expand(4, 3, *SIZE)), "image2": Image(x), "label": b} for b, x in enumerate(pictures(4))]
    out = t(collate(samples), key=keys(4))
    assert type(out["clip"]) is Video and out["clip"].shape == (4, 4, 3, *SIZE)
    assert all(torch.equal(out["clip"].plain()[:, i], out["image2"].plain()) for i in range(4))
    assert not torch.equal(out["image2"], collate(samples)["image2"])


@pytest.mark.differs("MixUp of uint8", "RuntimeError", "blended and rounded")
def test_integer_pictures_are_rounded_where_torchvision_raises():
    x, y = torch.tensor([10, 255], dtype=torch.uint8).reshape(2, 1, 1, 1), torch.tensor([0, 1])
    with pytest.raises(RuntimeError):
        tv.MixUp(num_classes=2)(x, y)
    out = mixed_by(MixUp(num_classes=2), {"image": Image(x[0]), "label": 0}, {"image": Image(x[1]), "label": 1}, lam=0.3)
    assert out["image"].dtype == torch.uint8 and out["image"].tolist() == [[[round(0.3 * 10 + 0.7 * 255)]]]
    assert np.allclose(out["label"], [0.3, 0.7])


@pytest.mark.differs("MixUp, CutMix of a batch", "one share (one rectangle) for all, the neighbour in the batch as partner", "each sample's own, by its key")
def test_every_sample_has_its_own_share_and_partner():
    x = torch.arange(8.0).reshape(8, 1, 1, 1).expand(8, 3, *SIZE)
    theirs = tv.MixUp(num_classes=8)(x, torch.arange(8))[1]
    assert len({round(float(v.max()), 4) for v in theirs}) == 1
    mine = MixUp(num_classes=8)(x, torch.arange(8), key=keys(8))[1]
    assert len({round(float(v.max()), 4) for v in mine}) == 8
    partner = lambda labels, b: next((int(i) for i in labels[b].nonzero() if int(i) != b), None)
    steps = set()
    for seed in range(12):
        labels = MixUp(num_classes=8)(x, torch.arange(8), key=keys(8, seed))[1]
        steps |= {(partner(labels, b) - b) % 8 for b in range(8)}
    assert steps == set(range(1, 8))


def same_forms(t):
    x, y = pictures(4), torch.tensor([0, 1, 2, 1])
    want = t(Batch({"image": Image(x), "label": y}, 4), key=keys(4))
    return x, y, want["image"].plain(), want["label"]


@blending
def test_by_hand_it_takes_what_torchvision_takes(t):
    x, y, image, label = same_forms(t)
    out = t(x, y, key=keys(4))
    assert type(out) is tuple and type(out[0]) is torch.Tensor and torch.equal(out[0], image) and torch.equal(out[1], label)
    for first in (Image(x), Video(x[:, None])):
        out = t((first, Label(y)), key=keys(4))
        assert type(out[0]) is type(first) and torch.equal(out[0].plain().reshape(image.shape), image) and torch.equal(out[1], label)
    plain = t(x[:, None].expand(4, 2, 3, *SIZE), y, key=keys(4))  # [B, T, C, H, W]
    assert type(plain[0]) is torch.Tensor and torch.equal(plain[0][:, 1], image)
    out = t({"picture": Image(x), "target": Label(y), "epoch": 3, "paths": list("abcd")}, key=keys(4))
    assert torch.equal(out["picture"].plain(), image) and torch.equal(out["target"], label) and out["epoch"] == 3 and out["paths"] == list("abcd")
    out = t([x, {"labels": y}], key=keys(4))
    assert type(out) is list and torch.equal(out[1]["labels"], label)
    torch.manual_seed(0)
    drawn = t(x, y)[1]
    torch.manual_seed(0)
    assert torch.equal(drawn, t(x, y)[1]) and not torch.equal(drawn, t(x, y)[1])


@blending
def test_labels_getter_is_torchvisions(t):
    x, y, image, label = same_forms(t)
    kind = type(t)
    out = kind(num_classes=5, labels_getter=lambda s: s[1]["classes"]["fine"])((x, {"classes": {"fine": y, "coarse": y // 2}, "n": 1}), key=keys(4))
    assert torch.equal(out[1]["classes"]["fine"], label) and torch.equal(out[1]["classes"]["coarse"], y // 2)
    batch = Batch({"image": Image(x), "fine": y, "label": y // 2}, 4)
    for getter in ("fine", lambda s: s["fine"]):
        out = kind(num_classes=5, labels_getter=getter)(batch, key=keys(4))
        assert torch.equal(out["fine"], label) and torch.equal(out["label"], y // 2)
    out = kind(labels_getter=None)({"image": Image(x), "label": y}, key=keys(4))
    assert torch.equal(out["image"].plain(), image) and torch.equal(out["label"], y)


@blending
def test_soft_labels_and_categories_need_no_num_classes(t):
    kind = type(t)
    shares = torch.rand(4, 3, dtype=torch.float64)
    out = kind()(pictures(4), shares, key=keys(4))[1]
    assert out.dtype == torch.float64 and out.shape == (4, 3) and torch.allclose(out.sum(0).sum(), shares.sum(), rtol=0.9)
    hot = kind()(pictures(4), torch.eye(4, dtype=torch.int64), key=keys(4))[1]
    assert hot.dtype == torch.float32 and torch.allclose(hot.sum(1), torch.ones(4))
    named = kind()(Image(pictures(4)), Label([0, 1, 2, 0], categories=("a", "b", "c")), key=keys(4))[1]
    assert named.shape == (4, 3)
    again = kind()(collate([{"image": Image(x), "label": v} for x, v in zip(pictures(4), named)]), key=keys(4, 1))["label"]
    assert again.shape == (4, 3) and torch.allclose(again.sum(1), torch.ones(4))


@blending
def test_what_cannot_be_a_label_says_so(t):
    kind, x, y = type(t), pictures(4), torch.tensor([0, 1, 2, 1])
    cases = [
        (kind(), (x, y), PlanError, "give num_classes, or categories"),
        (kind(num_classes=2), (x, y), ValueError, "from 0 to 2, but there are 2 classes"),
        (kind(num_classes=3), (x, y - 1), ValueError, "from -1 to 1"),
        (kind(num_classes=3), (x, torch.rand(4, 5)), ValueError, "shares of 5 classes, but num_classes is 3"),
        (kind(num_classes=3), (x, torch.rand(4)), ValueError, "a class's number or its shares"),
        (kind(num_classes=3), (x, y[:3]), ValueError, "one row a sample"),
        (kind(num_classes=3), (x, 2), ValueError, "must be a tensor with one row"),
        (kind(num_classes=3), ({"image": Image(x)},), PlanError, "found no label among"),
        (kind(labels_getter="klass"), ({"image": Image(x), "label": y},), PlanError, "names 'klass'"),
        (kind(labels_getter=lambda s: torch.zeros(4)), (x, y), PlanError, "returned no leaf"),
        (kind(num_classes=3), ({"image": Image(x), "one": Label(y), "two": Label(y)},), PlanError, "any of .'one', 'two'. may be the label"),
        (kind(num_classes=3), ({"image": Image(x), "label": y, "depth": torch.zeros(4, *SIZE)},), NoKernelError, "met 'depth'"),
    ]  # fmt: skip
    for transform, inputs, error, words in cases:
        with pytest.raises(error, match=words):
            transform(*inputs, key=keys(4))
    with pytest.raises(PlanError, match="makes one sample of 2"):
        kind(num_classes=3)(x[0], y[0])
    with pytest.raises(PlanError, match="has no share of classes"):
        mixed_by(kind(num_classes=3), {"image": Image(x[0]), "label": "cat"}, {"image": Image(x[1]), "label": "dog"})


def test_arguments_are_checked_where_they_are_written():
    for make, words in [
        (lambda: MixUp(alpha=0), "alpha"), (lambda: CutMix(alpha=-1), "alpha"), (lambda: MixUp(num_classes=0), "num_classes"), (lambda: MixUp(p=2), "p must"),
        (lambda: CutMix(labels_getter=3), "labels_getter"), (lambda: CutMix(min_visible=2), "min_visible"), (lambda: Mosaic(0), "size"),
        (lambda: Mosaic(center_ratio_range=(0.5, 3)), "center_ratio_range"), (lambda: Mosaic(min_size=-1), "min_size"), (lambda: Mosaic(fill="red"), "fill"),
        (lambda: SimpleCopyPaste(p=-1), "p must"), (lambda: SimpleCopyPaste(resize_interpolation="cubist"), "cubist"), (lambda: MixUp(instances="boxes"), "instances"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=words):
            make()
    with pytest.raises(TypeError):
        MixUp(0.5)  # keywords only, as in torchvision


@pytest.mark.parametrize("t", ALL, ids=lambda t: type(t).__name__)
def test_they_are_values(t):
    again = pickle.loads(pickle.dumps(t))
    assert again == t and hash(again) == hash(t) and repr(t) == f"{type(t).__name__}()"
    named = type(t)(instances=("boxes", "labels"))
    assert from_json(to_json(named), classes=[type(t)]) == named and named.instances == Instances("boxes", "labels") and named != t
    params = row(params_of(t, [scene((1, 1, 5, 5))] * 3), 1)
    assert params_from_json(params_to_json(params)) == params


@pytest.mark.parametrize("t", [MixUp(num_classes=5), CutMix(num_classes=5), Mosaic(), SimpleCopyPaste(blending=False)], ids=lambda t: type(t).__name__)
def test_the_order_of_a_batch_does_not_matter_and_two_are_enough(t):
    samples = [{**scene((b, 1, b + 6, 8), (3, 2, 9, 11), level=b / 10, first=2 * b), "label": b % 5} for b in range(5)]
    batch = collate(samples)
    out = t(batch, key=keys(5))
    order = np.array([3, 0, 4, 2, 1])
    turned = t(collate([samples[b] for b in order], at=[batch.at[b] for b in order]), key=keys(5)[order])
    for place, b in enumerate(order):
        assert torch.equal(turned["image"][place].plain(), out["image"][b].plain()) and torch.equal(turned["labels"][place].plain(), out["labels"][b].plain())
        assert torch.equal(turned["boxes"][place].plain(), out["boxes"][b].plain()) and turned["__key__"][place] == out["__key__"][b] == samples[b]["__key__"]
    two = t(collate(samples[:2]), key=keys(2))
    assert len(two["boxes"]) == 2 and two["__key__"] == ["scene 0", "scene 2"]


# ---- masks and flow


def flowing(level, vector, size=SIZE, **more):
    return {
        "image1": Image(torch.full((3, *size), level)),
        "image2": Image(torch.full((3, *size), level + 0.5)),
        "flow": Flow(torch.tensor(vector, dtype=torch.float32)[:, None, None].expand(2, *size).clone()),
        "occlusion": Mask(torch.zeros(size, dtype=torch.bool)),
        "mask": Mask(torch.full(size, int(10 * level)), ignore_index=255),
        **more,
    }


@pytest.mark.differs("CutMix of masks", "ValueError", "the rectangle of the other's mask, and flow with both of its frames")
def test_cutmix_pastes_the_same_rectangle_of_all_rasters():
    with pytest.raises(ValueError, match="does not support"):
        tv.CutMix(num_classes=5)(pictures(2), torch.tensor([0, 1]), tv_tensors.Mask(torch.zeros(2, *SIZE)))
    box = [2, 3, 9, 8]
    out = mixed_by(CutMix(), flowing(0.1, (1, 0)), flowing(0.3, (0, -2)), box=box, lam=0.5)
    region = torch.zeros(SIZE, dtype=torch.bool)
    region[3:8, 2:9] = True
    assert torch.equal(out["image1"].plain()[0], torch.where(region, 0.3, 0.1)) and torch.equal(out["image2"].plain()[1], torch.where(region, 0.8, 0.6))
    assert torch.equal(out["mask"].plain(), torch.where(region, 3, 1)) and out["mask"].ignore_index == 255
    assert torch.equal(out["flow"].plain()[0], torch.where(region, 0.0, 1.0)) and torch.equal(out["flow"].plain()[1], torch.where(region, -2.0, 0.0))


def test_vectors_that_end_on_the_other_samples_content_are_occluded():
    own, other = flowing(0.1, (1, 0)), flowing(0.3, (0, -2))
    own["flow"].plain()[:, 5, 1] = torch.nan
    own["occlusion"].plain()[0, 0] = True
    out = mixed_by(CutMix(), own, other, box=[2, 3, 9, 8], lam=0.5)["occlusion"]
    want = torch.zeros(SIZE, dtype=torch.bool)
    want[0, 0] = True
    want[3:8, 1] = True  # to the right, into the rectangle
    want[5, 1] = False  # unknown is not occluded
    want[3:5, 2:9] = True  # up by two, out of the rectangle
    assert torch.equal(out.plain(), want)
    numbered = Mask(torch.zeros(SIZE, dtype=torch.uint8))
    out = mixed_by(CutMix(occlusion="hidden"), {**own, "hidden": numbered}, {**other, "hidden": numbered}, box=[2, 3, 9, 8], lam=0.5)
    assert out["hidden"].dtype == torch.uint8 and out["hidden"].plain().sum() == want.sum() - 1 and not out["occlusion"].plain()[4, 4]


def test_a_batch_of_flows_is_the_loop():
    samples = [flowing(b / 10, (b - 2, 1), label=b) for b in range(5)]
    t = CutMix(num_classes=5)
    params, batch = params_of(t, samples), collate(samples)
    others, out = t.within(Key(params["partners"]), batch), t.apply_rows(params_of(t, samples), batch)
    for b in range(5):
        alone = t.mix(row(params, b), samples[b], [samples[int(others[b, 0])]])
        for name in samples[0]:
            got, want = out[name][b], alone[name]
            assert type(got) is type(want) and torch.equal(*(torch.as_tensor(v).as_subclass(torch.Tensor).double().nan_to_num(-99.0) for v in (got, want))), name
    assert out["occlusion"].plain().any()


@pytest.mark.parametrize("leaf", ["mask", "flow"])
def test_mixup_has_no_mean_of_masks_and_flows(leaf):
    sample = {n: v for n, v in flowing(0.1, (1, 0)).items() if n in ("image1", leaf)}
    with pytest.raises(NoKernelError, match=f"cannot mix '{leaf}'.*Use CutMix or Mosaic"):
        mixed_by(MixUp(), sample, sample)
    with pytest.raises(NoKernelError, match=f"cannot mix '{leaf}'"):
        MixUp()(collate([sample, sample]))


def test_cutmix_wants_one_size():
    small = {"image": Image(torch.zeros(3, 8, 8)), "label": Label(1)}
    with pytest.raises(PlanError, match=r"samples of one size, got \(12, 16\) and \(8, 8\)"):
        mixed_by(CutMix(num_classes=5), classified(1)[0], small)
    with pytest.raises(PlanError, match="one window for all frames"):
        CutMix(num_classes=2)(collate([{"image1": Image(torch.zeros(3, 8, 8)), "image2": Image(torch.zeros(3, 9, 8)), "label": 0}] * 2))


# ---- MixUp of objects


@pytest.mark.differs("MixUp, CutMix of boxes, instance masks, key points", "ValueError", "the objects of both; MixUp weighs them")
def test_mixup_is_the_union_of_objects_with_weights():
    with pytest.raises(ValueError, match="does not support"):
        tv.MixUp(num_classes=5)(pictures(2), torch.tensor([0, 1]), tv_tensors.BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=SIZE))
    own, other = scene((1, 1, 5, 5), (2, 3, 8, 9), level=0.2), scene((4, 4, 10, 10), level=0.6, first=7)
    out = mixed_by(MixUp(), own, other, lam=0.75)
    assert torch.allclose(out["image"].plain(), torch.tensor(0.3)) and out["labels"].tolist() == [0, 1, 7]
    assert out["boxes"].tolist() == [[1, 1, 5, 5], [2, 3, 8, 9], [4, 4, 10, 10]] and out["masks"].shape == (3, *SIZE)
    assert out["weights"].tolist() == [0.75, 0.75, 0.25] and out["weights"].dtype == torch.float32
    assert out["keypoints"].visibility.tolist() == [[2]] * 3 and out["__key__"] == "scene 0"
    again = mixed_by(MixUp(), out, {**scene((0, 0, 3, 3), first=9), "weights": torch.ones(1)}, lam=0.5)
    assert again["weights"].tolist() == [0.375, 0.375, 0.125, 0.5] and again["labels"].tolist() == [0, 1, 7, 9]


def test_mixup_of_unequal_canvases_meets_at_the_top_left():
    own, other = scene((1, 1, 5, 5), level=0.4, size=(12, 8)), scene((2, 3, 14, 9), level=0.8, size=(10, 16), first=3)
    out = mixed_by(MixUp(), own, other, lam=0.5)
    want = torch.zeros(12, 16)
    want[:12, :8] += 0.2
    want[:10, :16] += 0.4
    assert torch.allclose(out["image"].plain(), want.expand(3, 12, 16))
    assert out["boxes"].canvas_size == (12, 16) and out["boxes"].tolist() == [[1, 1, 5, 5], [2, 3, 14, 9]] and out["keypoints"].canvas_size == (12, 16)
    assert out["masks"].shape == (2, 12, 16) and torch.equal(mask_hulls(out["masks"].plain()), out["boxes"].plain().double())
    with pytest.raises(PlanError, match="pictures of one size"):
        mixed_by(MixUp(num_classes=2), {"image": own["image"], "label": 0}, {"image": other["image"], "label": 1})


def test_who_is_not_mixed_has_labels_and_weights_all_the_same():
    samples = [{**scene((1, 1, 5, 5), level=b / 10, first=b), "label": b} for b in range(4)]
    for t in (MixUp(num_classes=4, p=0), CutMix(num_classes=4, p=0)):
        out = t(collate(samples), key=keys(4))
        assert torch.equal(out["label"], torch.eye(4)) and torch.equal(out["image"], collate(samples)["image"])
        assert all(torch.equal(out[n][b].plain(), samples[b][n].plain()) for n in ("boxes", "labels", "masks") for b in range(4))
    assert all(w.tolist() == [1.0] for w in MixUp(num_classes=4, p=0)(collate(samples), key=keys(4))["weights"])
    flat = MixUp(num_classes=4, p=0)({"image": Image(pictures(4)), "label": torch.arange(4)}, key=keys(4))
    assert torch.equal(flat["image"].plain(), pictures(4)) and torch.equal(flat["label"], torch.eye(4))


@pytest.mark.parametrize("t", ALL, ids=lambda t: type(t).__name__)
def test_no_objects_are_objects_too(t):
    none, some = scene(), scene((3, 3, 9, 9), level=0.0, first=4)
    integers = {**none, "boxes": BoundingBoxes(torch.zeros(0, 4, dtype=torch.int64), format="XYXY", canvas_size=SIZE)}
    for own, others in ((none, [some] * 3), (some, [none] * 3), (none, [none] * 3), (integers, [some] * 3)):
        out = mixed_by(t, own, *others[: t.partners])
        count = len(out["boxes"])
        assert out["boxes"].shape == (count, 4) and out["boxes"].dtype == torch.float32 and type(out["boxes"]) is BoundingBoxes
        assert out["masks"].shape == (count, *out["image"].canvas) and out["keypoints"].shape == (count, 1, 2) and len(out["labels"]) == count
        assert out["keypoints"].visibility.shape == (count, 1)


def test_groups_of_nested_samples_and_of_other_names():
    nest = lambda s: {"image": s["image"], **{f"target.{n}": s[n] for n in ("boxes", "labels", "masks")}}
    own, other = nest(scene((1, 1, 5, 5))), nest(scene((4, 4, 10, 10), first=7))
    out = mixed_by(MixUp(), own, other, lam=0.5)
    assert out["target.labels"].tolist() == [0, 7] and out["target.weights"].tolist() == [0.5, 0.5]
    batch = collate([{"image": scene()["image"], "target": {n: s[n] for n in ("boxes", "labels")}} for s in (scene((1, 1, 5, 5)), scene((2, 2, 9, 9), first=3))])
    mixed = MixUp()(batch, key=keys(2))
    assert all(len(t["boxes"]) == len(t["labels"]) == 2 for t in mixed["target"])
    named = {"image": own["image"], "things": boxes((1, 1, 5, 5)), "kinds": Label([3]), "labels": Label([1, 2, 3])}
    out = mixed_by(MixUp(instances=("things", "kinds"), labels_getter=None), named, named)
    assert len(out["things"]) == 2 and out["kinds"].tolist() == [3, 3] and out["labels"].tolist() == [1, 2, 3]
    with pytest.raises(PlanError, match=r"instances=T.Instances\('things', ...\)"):
        mixed_by(MixUp(), {"image": own["image"], "things": boxes((1, 1, 5, 5))}, {"image": own["image"], "things": boxes((1, 1, 5, 5))})


def test_partners_of_another_form_are_refused_by_name():
    own = scene((1, 1, 5, 5))
    change = lambda **new: {**scene((2, 2, 6, 6)), "__key__": "odd", **new}
    cases = [
        ({n: v for n, v in change().items() if n != "masks"}, "only one of them has .'masks'."),
        (change(boxes=boxes((1, 1, 5, 5), format="XYWH")), "cannot mix 'boxes'.*format XYXY.*sample 'odd' has format XYWH"),
        (change(image=Image(torch.zeros(3, *SIZE, dtype=torch.uint8))), "cannot mix 'image'.*dtype float32.*dtype uint8"),
        (change(image=Image(torch.zeros(1, *SIZE))), r"cannot mix 'image'.*shape \(3,\).*shape \(1,\)"),
        (change(image=Mask(torch.zeros(SIZE))), "cannot mix 'image'.*type Image.*type Mask"),
        (change(keypoints=KeyPoints([[[1.0, 2.0]]], canvas_size=SIZE)), "cannot mix 'keypoints'.*visibility given.*visibility None"),
        (change(area=torch.ones(1)), "of sample 'odd' .'area', 'boxes'"),
    ]  # fmt: skip
    for t in ALL:
        for other, words in cases:
            with pytest.raises(PlanError, match=words):
                mixed_by(t, own, *[other] * t.partners)
    with pytest.raises(PlanError, match="one row an object, but have"):
        mixed_by(MixUp(), own, change(labels=Label([1, 2])))
    with pytest.raises(PlanError, match="'ids' has one entry an object, but as a list"):
        mixed_by(MixUp(), {**own, "ids.0": "a"}, {**own, "ids.0": "b"})


# ---- objects under a cover


quarters = st.tuples(*[st.integers(0, 12)] * 4).map(lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])))


@given(st.lists(quarters, max_size=5), quarters, st.booleans())
def test_what_a_window_leaves_of_boxes_is_what_it_leaves_of_their_pixels(rows, box, outside):
    """Area and hull of boxes by formula, against the same boxes drawn as masks."""
    window = Window(box, (12, 12), torch.device("cpu"), outside=outside)
    plain, drawn = {"boxes": boxes(*rows, size=(12, 12))}, {"masks": rectangles(*rows, size=(12, 12))}
    left, whole = left_of(plain, ("boxes",), window)
    left_drawn, whole_drawn = left_of(drawn, ("masks",), window)
    assert torch.equal(left, left_drawn) and torch.equal(whole, whole_drawn)
    hulls = window.rest(plain["boxes"].plain().double())[0]
    seen = drawn["masks"].plain() & ~window.raster
    assert torch.equal(hulls[left > 0], mask_hulls(seen)[left > 0])


def test_mask_hulls_are_torchvisions_and_one_pixel_more():
    masks = torch.rand(30, 9, 11, generator=torch.Generator().manual_seed(0)) > 0.93
    masks = masks[masks.flatten(1).any(1)]
    assert torch.equal(mask_hulls(masks), masks_to_boxes(masks).double() + torch.tensor([0, 0, 1, 1]))
    assert mask_hulls(torch.zeros(2, 3, 4, dtype=torch.bool)).tolist() == [[0, 0, 0, 0]] * 2 and mask_hulls(masks[:0]).shape == (0, 4)


@pytest.mark.parametrize("format", ["XYXY", "XYWH", "CXCYWH"])
def test_cutmix_cuts_boxes_and_drops_what_vanishes(format):
    own = scene((0, 0, 6, 6), (4, 2, 12, 9), (5, 4, 8, 7), (12, 9, 16, 12), level=0.2, masks=False)
    other = scene((6, 5, 14, 12), (10, 0, 16, 3), (9, 6, 30, 12), level=0.8, first=10, masks=False)
    write = lambda s: {**s, "boxes": F.convert_bounding_box_format(s["boxes"], new_format=format)}
    out = mixed_by(CutMix(min_visible=0.2), write(own), write(other), box=[4, 3, 10, 8], lam=0.5)
    # The second loses its left side but for a strip on top and below, so its hull stays; the third is hidden, of the
    # other's, one lies outside and one has a twentieth in the rectangle.
    assert out["labels"].tolist() == [0, 1, 3, 10]
    assert F.convert_bounding_box_format(out["boxes"], new_format="XYXY").tolist() == [[0, 0, 6, 6], [4, 2, 12, 9], [12, 9, 16, 12], [6, 5, 10, 8]]
    assert out["keypoints"].visibility.tolist() == [[2], [1], [2], [1]]
    assert out["keypoints"].tolist() == [[[3, 3]], [[8, 5.5]], [[14, 10.5]], [[10, 8.5]]]


def test_cutmix_with_masks_takes_their_hulls():
    own = scene((4, 2, 12, 9), (12, 9, 16, 12), level=0.2)
    own["boxes"] = boxes((3.5, 2, 12, 9.5), (11.5, 9, 16, 12))  # as people draw them
    other = scene((6, 5, 14, 12), level=0.8, first=10)
    out = mixed_by(CutMix(), own, other, box=[0, 0, 10, 12], lam=0.5)
    assert out["boxes"].tolist() == [[10, 2, 12, 9], [11.5, 9, 16, 12], [6, 5, 10, 12]]  # the untouched one stays as it was
    region = torch.zeros(SIZE, dtype=torch.bool)
    region[:, :10] = True
    assert not (out["masks"].plain()[:2] & region).any() and not (out["masks"].plain()[2] & ~region).any()
    left = covered({"masks": own["masks"]}, ("masks",), Pixels(region), 0.0)
    assert torch.equal(left["masks"].plain(), out["masks"].plain()[:2])


def test_turned_boxes_and_unclamped_ones_are_never_cut():
    turned = BoundingBoxes([[6.0, 6, 8, 4, 30]], format="CXCYWHR", canvas_size=SIZE)
    free = boxes((4, 2, 12, 9), clamping_mode=None)
    for leaf in (turned, free):
        sample = {"image": Image(torch.zeros(3, *SIZE)), "boxes": leaf}
        out = mixed_by(CutMix(), sample, sample, box=[0, 0, 7, 12], lam=0.5)["boxes"]
        assert torch.equal(out.plain(), torch.cat([leaf.plain()] * 2)) and out.format == leaf.format


def test_loose_points_and_integer_boxes():
    sample = {
        "image": Image(torch.zeros(3, *SIZE)), "points": KeyPoints([[1, 1], [5, 5]], canvas_size=SIZE),
        "boxes": BoundingBoxes([[1, 1, 4, 4]], format="CXCYWH", canvas_size=SIZE),
    }  # fmt: skip
    out = mixed_by(CutMix(), sample, sample, box=[0, 0, 3, 12], lam=0.5)
    assert out["points"].tolist() == [[5, 5], [1, 1]] and out["points"].dtype == out["boxes"].dtype == torch.float32
    assert out["boxes"].tolist() == [[1, 1, 4, 4]]  # of the sample's own nothing is left; the other's is cut by its canvas alone
    both = mixed_by(MixUp(), sample, sample)
    assert both["points"].tolist() == [[1, 1], [5, 5]] * 2 and both["boxes"].dtype == torch.int64 and len(both["weights"]) == 2


# ---- Mosaic


def test_tiles_touch_the_centre_and_keep_their_ratio():
    """YOLOX's and mmdet's coordinates, written out from their description: (left, top, right, bottom) on the canvas and in the tile."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sizes = [tuple(rng.integers(5, 90, 2).tolist()) for _ in range(4)]
        s, (cy, cx) = (40, 60), (int(rng.integers(20, 60)), int(rng.integers(30, 90)))
        for i, (tile, (h0, w0)) in enumerate(zip(tiles(sizes, (cy, cx), s), sizes)):
            r = min(s[0] / h0, s[1] / w0)
            h, w = tile.size
            assert abs(h - h0 * r) < 1 and abs(w - w0 * r) < 1 and (h == 40 or w == 60) and h <= 40 and w <= 60
            x1, y1, x2, y2 = [
                (max(cx - w, 0), max(cy - h, 0), cx, cy), (cx, max(cy - h, 0), min(cx + w, 120), cy),
                (max(cx - w, 0), cy, cx, min(cy + h, 80)), (cx, cy, min(cx + w, 120), min(cy + h, 80)),
            ][i]  # fmt: skip
            a1, b1 = [(w - (x2 - x1), h - (y2 - y1)), (0, h - (y2 - y1)), (w - (x2 - x1), 0), (0, 0)][i]
            assert tile.place == (x1, y1, x2, y2) and tile.window == (b1, a1, y2 - y1, x2 - x1)
    assert fitted((3, 3000), (10, 10)) == (1, 10) and fitted((7, 7), (5, 9)) == (5, 5)


def test_mosaic_places_four_samples_exactly():
    parts = [scene((2, 2, 10, 8), level=0.1 * (i + 1), first=10 * i) for i in range(4)]
    t = Mosaic()
    out = mixed_by(t, *parts, center=[9, 20])
    canvas = torch.full((24, 32), 114 / 255)
    canvas[0:9, 4:20], canvas[0:9, 20:32], canvas[9:21, 4:20], canvas[9:21, 20:32] = 0.1, 0.2, 0.3, 0.4
    assert torch.allclose(out["image"].plain(), canvas.expand(3, 24, 32))
    assert out["labels"].tolist() == [0, 10, 20, 30] and out["boxes"].canvas_size == (24, 32) and out["__key__"] == "scene 0"
    assert out["boxes"].tolist() == [[6, 0, 14, 5], [22, 0, 30, 5], [6, 11, 14, 17], [22, 11, 30, 17]]
    assert torch.equal(mask_hulls(out["masks"].plain()), out["boxes"].plain().double())
    assert out["keypoints"].tolist() == [[[10, 2]], [[26, 2]], [[10, 14]], [[26, 14]]]


@pytest.mark.parametrize("min_size, min_visible, labels", [
    (2, 0.2, [0, 0, 0, 0, 1]), (0, 0.3, [0, 0, 2, 3, 0, 1, 2, 3]), (0, 0.4, [0, 0, 2, 0, 1, 2, 3]), (0, 0, [0, 0, 0, 2, 3, 0, 1, 2, 3]), (20, 0, []),
])  # fmt: skip
def test_mosaic_drops_by_size_and_share(min_size, min_visible, labels):
    """The tiles show a quarter, the lower half, the right half and all of four equal samples."""
    part = scene((0, 0, 16, 12), (0, 0, 3, 3), (8, 0, 12, 1), (0, 0, 12, 1), masks=False)
    out = mixed_by(Mosaic(min_size=min_size, min_visible=min_visible), part, part, part, part, center=[6, 8])
    assert out["labels"].tolist() == labels and len(out["boxes"]) == len(out["keypoints"]) == len(labels)


def dot(size, at, vector=(0.0, 0.0)):
    """A dark picture with one bright square of 3 x 3, its box, its middle, its mask, and a flow of the square's motion."""
    x, y = at
    image = torch.zeros(3, *size)
    image[:, y - 1 : y + 2, x - 1 : x + 2] = 1
    return {
        "image1": Image(image), "image2": Image(image), "flow": Flow(torch.tensor(vector)[:, None, None].expand(2, *size).clone()),
        "mask": Mask((image[0] * 3).long(), ignore_index=255, frame="image1"), "occlusion": Mask(torch.zeros(size, dtype=torch.bool), frame="image1"),
        "boxes": boxes((x - 1.0, y - 1, x + 2, y + 2), size=size, frame="image1"), "labels": Label([1]),
        "masks": Mask((image[:1] > 0), kind="instance", frame="image1"),
        "keypoints": KeyPoints([[[x + 0.5, y + 0.5]]], canvas_size=size, frame="image1"),
    }  # fmt: skip


def test_mosaic_moves_all_types_together():
    """Four samples of unequal sizes: under each key point lie the middle of its box, of its mask and of the bright square."""
    sizes = ((20, 30), (40, 30), (15, 50), (33, 33))
    parts = [dot(size, (size[1] // 2, size[0] // 2), (1.0 + i, -2.0)) for i, size in enumerate(sizes)]
    out = mixed_by(Mosaic((40, 48)), *parts, center=[41, 44])
    assert out["image1"].canvas == out["mask"].canvas == out["flow"].canvas == out["flow"].target_size == (80, 96)
    assert torch.equal(out["image1"], out["image2"]) and len(out["boxes"]) == 4
    placed = tiles(sizes, (41, 44), (40, 48))
    bright = (out["image1"].plain()[0] > 0.5) & (out["mask"].plain() != 255)
    for i, (tile, (height, width)) in enumerate(zip(placed, sizes)):
        across, down = tile.size[1] / width, tile.size[0] / height
        x, y = out["keypoints"].plain()[i, 0].tolist()
        assert abs(x - (tile.at[1] - tile.window[1] + (width // 2 + 0.5) * across)) < 1e-3
        left, top, right, bottom = tile.place
        ys, xs = torch.nonzero(bright[top:bottom, left:right]).double().T
        assert abs(float(xs.mean()) + 0.5 + left - x) < 0.51 and abs(float(ys.mean()) + 0.5 + top - y) < 0.51
        box, mask = out["boxes"].plain()[i], mask_hulls(out["masks"].plain())[i]
        assert torch.allclose((box[:2] + box[2:]) / 2, torch.tensor([x, y]), atol=1e-3) and (box - mask).abs().max() <= 1
        assert torch.allclose(out["flow"].plain()[:, top:bottom, left:right], torch.tensor([(1 + i) * across, -2 * down])[:, None, None], atol=1e-5)
    inside = torch.zeros(80, 96, dtype=torch.bool)
    for tile in placed:
        left, top, right, bottom = tile.place
        inside[top:bottom, left:right] = True
    assert torch.equal(out["flow"].valid.plain(), inside) and torch.equal(out["mask"].plain() == 255, ~inside)
    assert torch.allclose(out["image1"].plain()[:, ~inside], torch.tensor(114 / 255)) and not out["occlusion"].plain()[~inside].any()
    y, x = torch.meshgrid(torch.arange(80) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    for tile in placed:  # a vector that ends outside of its tile
        left, top, right, bottom = tile.place
        end_x, end_y = (x + out["flow"].plain()[0])[top:bottom, left:right], (y + out["flow"].plain()[1])[top:bottom, left:right]
        leaves = (end_x < left) | (end_x >= right) | (end_y < top) | (end_y >= bottom)
        assert leaves.any() and torch.equal(out["occlusion"].plain()[top:bottom, left:right], leaves)


def test_mosaic_of_sparse_flow_keeps_known_pixels():
    part = dot((20, 30), (7, 9), (2.0, 1.0))
    known = torch.rand(20, 30, generator=torch.Generator().manual_seed(0)) > 0.7
    part["flow"] = Flow(part["flow"].plain(), valid=known, sparse=True)
    flow = mixed_by(Mosaic((10, 15)), part, part, part, part, center=[10, 15])["flow"]
    assert flow.sparse and flow.target_size == (20, 30)
    assert torch.equal(flow.plain()[:, flow.valid.plain()].unique(dim=1), torch.tensor([[1.0], [0.5]])) and 0.2 < flow.valid.plain().double().mean() < 0.4


@pytest.mark.parametrize("dtype, grey", [(torch.uint8, 114), (torch.uint16, 29298), (torch.float32, 114 / 255)], ids=str)
def test_mosaic_fills(dtype, grey):
    part = {"image": Image(torch.zeros(3, 4, 8, dtype=dtype)), "mask": Mask(torch.ones(4, 8, dtype=torch.int64), frame="image"), "clip": Video(torch.zeros(2, 3, 4, 8, dtype=dtype))}
    out = mixed_by(Mosaic(8), part, part, part, part, center=[8, 8])
    assert out["image"].dtype == dtype and abs(float(out["image"].plain()[0, 0, 0]) - grey) < 1e-6 and out["mask"].plain()[0, 0] == 0
    assert out["clip"].shape == (2, 3, 16, 16) and abs(float(out["clip"].plain()[1, 2, 0, 0]) - grey) < 1e-6
    assert mixed_by(Mosaic(8, fill=1), part, part, part, part, center=[8, 8])["image"].plain()[0, 0, 0] == 1
    out = mixed_by(Mosaic(8, fill={Image: (0, 1, 0), Mask: 7}), part, part, part, part, center=[8, 8])
    assert out["image"].plain()[:, 0, 0].tolist() == [0, 1, 0] and out["mask"].plain()[0, 0] == 7 and abs(float(out["clip"].plain()[0, 0, 0, 0]) - grey) < 1e-6


def test_mosaic_draws_its_centre_and_says_what_the_canvas_becomes():
    t, count = Mosaic((40, 60), p=0.5), 4000
    info = Info({"image": np.tile([[30, 30]], (count, 1))}, count=count)
    params = t.draw(keys(count), info)
    y, x = params["center"].T
    assert (20, 30) <= (y.min(), x.min()) <= (21, 31) and (58, 87) <= (y.max(), x.max()) < (60, 90) and abs(np.corrcoef(x, y)[0, 1]) < 0.05
    assert abs(params["apply"].mean() - 0.5) < 0.03
    assert np.array_equal(t.after(params, info).size, np.where(params["apply"][:, None], [[80, 120]], [[30, 30]]))
    assert np.array_equal(Mosaic().after({"apply": np.ones(count, bool)}, info).size, np.full((count, 2), 60))
    edge = Mosaic(center_ratio_range=(0, 2)).draw(keys(200), info.take(np.arange(200)))["center"]
    assert edge.min() >= 1 and edge.max() <= 59
    part = scene((1, 1, 9, 9))
    assert mixed_by(Mosaic(), part, part, part, part, center=[1, 31])["image"].canvas == (24, 32)


def test_mosaic_of_a_batch_and_in_a_chain():
    samples = [{**scene((2, 2, 10, 8), level=b / 10, first=b), "label": b} for b in range(5)]
    batch, t = collate(samples), Mosaic(10)
    params = params_of(t, samples)
    others, out = t.within(Key(params["partners"]), batch), t.apply_rows(params, batch)
    assert others.shape == (5, 3) and (others != np.arange(5)[:, None]).all() and out["image"].shape == (5, 3, 20, 20) and isinstance(out["boxes"], Ragged)
    for b in range(5):
        alone = t.mix(row(params, b), samples[b], [samples[int(o)] for o in others[b]])
        assert all(torch.equal(out[n][b].plain(), alone[n].plain()) for n in ("image", "boxes", "labels", "masks", "keypoints"))
    assert out["label"].tolist() == [0, 1, 2, 3, 4]
    chain = Compose([Mosaic(10), MixUp(labels_getter=None), RandomIoUCrop(sampler_options=[0.0])])
    for name in ("image", "boxes", "masks"):
        assert len(chain(batch.replace({n: v for n, v in batch.items() if n != "label"}), key=keys(5))[name]) == 5


# ---- SimpleCopyPaste


def prototype(own, other, selection):
    """What torchvision's prototype does to masks and labels, from its description; boxes as its masks_to_boxes + 1."""
    pasted = other["masks"].plain()[selection]
    masks = torch.cat([own["masks"].plain() & ~pasted.any(0), pasted])
    labels = torch.cat([own["labels"].plain(), other["labels"].plain()[selection]])
    stay = masks.flatten(1).any(1)
    return masks[stay], labels[stay], masks_to_boxes(masks[stay]) + torch.tensor([0, 0, 1, 1]), pasted.any(0)


def test_objects_are_pasted_as_in_the_prototype():
    own = scene((0, 0, 6, 6), (4, 2, 12, 9), (12, 9, 16, 12), level=0.2)
    other = scene((5, 4, 9, 8), (3, 1, 13, 10), (14, 0, 16, 2), level=0.8, first=10)
    seen = set()
    for seed in range(150):
        out = mixed_by(SimpleCopyPaste(blending=False, min_visible=0), own, other, seed=seed)
        selection = [i for i in range(3) if 10 + i in out["labels"].tolist()]
        masks, labels, hulls, alpha = prototype(own, other, selection)
        assert torch.equal(out["masks"].plain(), masks) and torch.equal(out["labels"].plain(), labels) and torch.equal(out["boxes"].plain(), hulls)
        assert torch.equal(out["image"].plain()[1], torch.where(alpha, 0.8, 0.2))
        seen.add(tuple(selection))
    assert len(seen) == 7  # every choice of at least one
    counts = [len(mixed_by(SimpleCopyPaste(), scene(), scene(*[(i, 0, i + 1, 1) for i in range(16)]), seed=s)["labels"]) for s in range(200)]
    assert min(counts) >= 1 and abs(np.mean(counts) / 16 - (1 - (1 - 1 / 16) ** 16)) < 0.02


def paste_all(own, other, t=None):
    """`other` has one object, which is always chosen."""
    return mixed_by(t or SimpleCopyPaste(blending=False), own, other)


def test_what_is_pasted_over_is_cut_hidden_or_dropped():
    own, other = scene((0, 0, 6, 6), (4, 2, 12, 9), (12, 9, 16, 12), level=0.2), scene((4, 2, 12, 8), level=0.8, first=10)
    own["boxes"] = boxes((0, 0, 6.5, 6), (4, 2, 12, 9), (12, 8.5, 16, 12))
    own["points"] = KeyPoints([[1.0, 1], [8, 5]], canvas_size=SIZE)
    other["points"] = KeyPoints([[3.0, 3]], canvas_size=SIZE)
    own["mask"], other["mask"] = Mask(torch.zeros(SIZE)), Mask(torch.full(SIZE, 3.0))
    out = paste_all(own, other, SimpleCopyPaste(blending=False, min_visible=0.1))
    assert out["labels"].tolist() == [0, 1, 2, 10] and out["points"].tolist() == [[1, 1]]
    assert out["boxes"].tolist() == [[0, 0, 6, 6], [4, 8, 12, 9], [12, 8.5, 16, 12], [4, 2, 12, 8]]  # the untouched one stays as it was
    assert out["keypoints"].visibility.tolist() == [[2], [1], [2], [2]] and out["mask"].plain().sum() == 3 * 8 * 6
    assert paste_all(own, other, SimpleCopyPaste(min_visible=0.2))["labels"].tolist() == [0, 2, 10]  # a seventh of the second was left
    turned = BoundingBoxes([[3.0, 3, 6, 6, 0], [8, 5.5, 8, 7, 10], [14, 10.5, 4, 3, 0]], format="CXCYWHR", canvas_size=SIZE)
    out = paste_all({**own, "boxes": turned}, {**other, "boxes": turned[:1]})
    assert torch.equal(out["boxes"].plain(), torch.cat([turned.plain(), turned.plain()[:1]]))


@pytest.mark.differs("SimpleCopyPaste(blending=True) of the prototype", "blurs a bool mask, which stays hard", "soft seams: the mask blurred as floats")
def test_seams_are_soft():
    own, other = scene((0, 0, 3, 3), level=0.0), scene((5, 4, 11, 9), level=1.0, first=10)
    alpha = other["masks"].plain()
    assert tvf.gaussian_blur(alpha, [5, 5], [2.0, 2.0]).dtype == torch.bool
    out = paste_all(own, other, SimpleCopyPaste())
    want = tvf.gaussian_blur(alpha.float(), [5, 5], [2.0, 2.0])
    assert torch.allclose(out["image"].plain(), want.expand(3, *SIZE), atol=1e-6) and len(want.unique()) > 5
    assert torch.equal(out["masks"].plain()[1], alpha[0])  # masks are not soft
    levels = lambda s: {**s, "image": Image((s["image"].plain() * 255).to(torch.uint8))}
    out = paste_all(levels(own), levels(other), SimpleCopyPaste())
    assert out["image"].dtype == torch.uint8 and (out["image"].plain() - want * 255).abs().max() <= 0.5001


def test_another_size_is_resized_to_the_samples():
    own, other = scene((0, 0, 6, 6), level=0.2), scene((8, 4, 24, 16), level=0.8, size=(24, 32), first=10)
    out = paste_all(own, other)
    assert out["image"].canvas == SIZE and out["boxes"].tolist()[1] == [4, 2, 12, 8]
    assert torch.equal(mask_hulls(out["masks"].plain())[1], out["boxes"].plain()[1].double()) and out["keypoints"].tolist()[1] == [[8, 5]]
    assert torch.allclose(out["image"].plain()[0, 2:8, 4:12], torch.tensor(0.8))


def test_copy_and_paste_wants_masks_and_one_frame():
    for sample in (scene((1, 1, 5, 5), masks=False), {"image": Image(torch.zeros(3, *SIZE))}):
        with pytest.raises(PlanError, match=r'pastes objects by their masks.*Mask.kind="instance"'):
            paste_all(sample, sample)
    for name, leaf in (("flow", Flow(torch.zeros(2, *SIZE), views=("image", "image"))), ("clip", Video(torch.zeros(2, 3, *SIZE))), ("next", Image(torch.zeros(3, *SIZE)))):
        sample = {**scene((1, 1, 5, 5)), name: leaf}
        sample = {n: v.like(v.plain(), frame="image") if isinstance(v, (Mask, BoundingBoxes, KeyPoints)) else v for n, v in sample.items()}
        with pytest.raises(NoKernelError, match=f"cannot paste into '{name}'"):
            paste_all(sample, sample)


@pytest.mark.parametrize("t", [Mosaic(8, p=0), SimpleCopyPaste(p=0)], ids=lambda t: type(t).__name__)
def test_what_is_not_chosen_stays_as_it_is(t):
    samples = [{**scene((1, 1, 5, 5), first=b), "label": b} for b in range(3)]
    out = t(collate(samples), key=keys(3))
    for b, sample in enumerate(samples):
        assert all(torch.equal(torch.as_tensor(out[n][b]).as_subclass(torch.Tensor), torch.as_tensor(v).as_subclass(torch.Tensor)) for n, v in sample.items() if n != "__key__")
    assert t(samples[0], key=Key.of(0)) is not None and torch.equal(t(samples[0], key=Key.of(0))["image"], samples[0]["image"])
    params = params_of(t, samples[:1])
    assert t.inverse(params, samples[0], Info.of(samples[:1])) is samples[0]


def test_the_way_back():
    """MixUp, CutMix and SimpleCopyPaste leave the canvas as it is; Mosaic has no way back."""
    sample = scene((1, 1, 5, 5))
    found = {"boxes": sample["boxes"]}
    for t in (MixUp(), CutMix(), SimpleCopyPaste()):
        assert t.inverse(params_of(t, [sample]), found, Info.of([sample])) is found
    with pytest.raises(NoKernelError, match="has no inverse"):
        Mosaic().inverse(params_of(Mosaic(), [sample]), found, Info.of([sample]))


# ---- in a pipe


class Scenes:
    def __len__(self):
        return 11

    def __getitem__(self, i):
        return {**scene((i % 5, 1, i % 5 + 6, 8), (3, 2, 9, 11), level=i / 10, first=2 * i), "label": i}


@pytest.mark.parametrize("t, shape", [
    (MixUp(num_classes=11), SIZE), (CutMix(num_classes=11), SIZE), (Mosaic(10), (20, 20)), (SimpleCopyPaste(), SIZE),
    (Compose([Mosaic(10, p=1.0), MixUp(num_classes=11)]), (20, 20)),
], ids=repr)  # fmt: skip
def test_in_a_pipe_before_batch_partners_come_from_the_epoch(t, shape):
    pipe = vdata.from_torch(Scenes()).shuffle(seed=1).apply(t)
    out = list(pipe)
    assert len(out) == 11 and all(s["image"].canvas == shape for s in out)
    own = {2 * i for i in range(11)} | {2 * i + 1 for i in range(11)}
    assert all(set(s["labels"].tolist()) <= own for s in out) and sum(len(s["labels"]) > 2 for s in out) > 3
    again = [pipe[p] for p in (4, 0, 9)]
    assert all(torch.equal(a["image"].plain(), out[p]["image"].plain()) and torch.equal(a["boxes"].plain(), out[p]["boxes"].plain()) for a, p in zip(again, (4, 0, 9)))
    batches = list(vdata.from_torch(Scenes()).shuffle(seed=1).apply(t).batch(5))
    assert [b.size for b in batches] == [5, 5, 1] and torch.equal(batches[0]["image"][2].plain(), out[2]["image"].plain())
