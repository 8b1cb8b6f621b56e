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
from scipy import stats
from torchvision import tv_tensors

from vdata import Key
from vdata.batch import collate
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import Compose, Info, params_from_json, params_to_json, row
from vdata.transforms._draws import beta, dirichlet, log_gamma
from vdata.transforms._map import pixel_centres
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
    for magnitude in range(31) if GRADED[OPS.index(name)] else (0,):
        for sign in (1, -1) if SIGNED[OPS.index(name)] else (1,):
            for x in (picture(), picture(torch.uint8, 2), picture(torch.float32)):
                kind, other = (Video, tv_tensors.Video) if x.ndim == 4 else (Image, tv_tensors.Image)
                expected = theirs._apply_image_or_video_transform(other(x), name, sign * amounts[magnitude], "nearest", {})
                out = transform.apply(one_op(name, magnitude, sign), {"x": kind(x)})["x"]
                tolerance = 1e-6 if name == "Sharpness" and x.is_floating_point() else 0
                same(out, kind(expected.as_subclass(torch.Tensor)), tolerance)


def on_a_border(name, amount, size):
    """Which new pixels' centres come from the border of two old pixels, where either may be the nearest: bool [H, W]."""
    at = verb_of(name).where(size, **geometry(name, amount)).back(pixel_centres(size, torch.device("cpu")))
    return ((at - at.round()).abs() < 1e-3).any(-1)


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("kind", ["RandAugment", "TrivialAugmentWide"])
def test_geometry_is_torchvisions(kind, mode, name):
    x, fill = smooth(), 7 if mode == "nearest" else None  # torchvision's bilinear counts the share of a fill twice
    transform, theirs = CLASSES[kind](interpolation=mode, fill=fill), getattr(tv, kind)()
    amounts = transform.space.amounts(name, 31, (24, 37))
    for magnitude in range(31):
        for sign in (1, -1):
            amount = sign * amounts[magnitude]
            expected = theirs._apply_image_or_video_transform(tv_tensors.Image(x), name, amount, mode, {tv_tensors.Image: fill})
            out = transform.apply(one_op(name, magnitude, sign), {"x": Image(x)})["x"].plain()
            apart = (out.int() - expected.as_subclass(torch.Tensor).int()).abs().amax(0)
            if name.startswith("Translate"):
                assert not apart.any()
            elif mode == "bilinear":
                assert apart.max() <= 1
            else:
                assert not (apart > 0)[~on_a_border(name, amount, (24, 37))].any()


def test_colour_of_other_dtypes_and_channels():
    for name in PHOTOMETRIC:
        deep, alpha = picture(torch.uint16), torch.cat([picture(), picture(seed=1)[:1]])
        out = TrivialAugmentWide().apply(one_op(name, 12), {"deep": Image(deep), "rgba": Image(alpha), "grey": Image(deep[:1]), "unit": Image(deep / 65535)})
        assert out["deep"].dtype == torch.uint16 and torch.equal(out["rgba"].plain()[3], alpha[3]) and out["grey"].shape == (1, 24, 37)
        if name != "Equalize":  # 65,536 levels there, 256 here
            assert (out["deep"].plain().double() / 65535 - out["unit"].plain()).abs().max() < 2 / 255
    with pytest.raises(ValueError, match="got 2"):
        TrivialAugmentWide().apply(one_op("Color", 12), {"x": Image(picture()[:2])})


# ---- all leaves move together


@pytest.mark.differs(
    "AutoAugment, RandAugment, TrivialAugmentWide with boxes, masks, key points", "raise TypeError",
    "move every leaf by the shared map, flows in both frames; `geometric=False` leaves the moves out",
)  # fmt: skip
@pytest.mark.parametrize("name", [*CLASSES][:3])
def test_torchvision_takes_pictures_only(name):
    sample = {"image": tv_tensors.Image(picture()), "mask": tv_tensors.Mask(picture()[0])}
    with pytest.raises(TypeError, match="Mask are not supported"):
        getattr(tv, name)()(sample)
    ours = {"image": Image(picture()), "mask": Mask(picture()[0])}
    outs = [CLASSES[name]()(ours, key=Key.of(b)) for b in range(30)]
    assert any(not torch.equal(out["mask"].plain(), ours["mask"].plain()) for out in outs)


@pytest.mark.differs("AutoAugment, RandAugment, TrivialAugmentWide, AugMix of several pictures", "raise TypeError", "the same ops for all of a sample's pictures")
@pytest.mark.parametrize("name", CLASSES)
def test_several_pictures_get_the_same_ops_where_torchvision_raises(name):
    with pytest.raises(TypeError, match="single image"):
        getattr(tv, name)()({"a": tv_tensors.Image(picture()), "b": tv_tensors.Image(picture())})
    for b in range(20):
        out = CLASSES[name]()({"a": Image(picture()), "b": Image(picture())}, key=Key.of(b))
        assert torch.equal(out["a"].plain(), out["b"].plain())


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("transform", [RandAugment(fill=9), TrivialAugmentWide(interpolation="bilinear")], ids=repr)
def test_geometry_moves_every_leaf_by_the_shared_map(transform, name):
    sample = everything()
    out = transform.apply(one_op(name, 11, -1), sample)
    amount = -transform.space.amounts(name, 31, (24, 37))[11]
    how = {"interpolation": transform.interpolation, "fill": {"Image": transform.fill, "Video": transform.fill}}
    for leaf, value in sample.items():
        if leaf == "label":
            assert out[leaf] is value
            continue
        same(out[leaf], verb_of(name)(value, **geometry(name, amount), **how))
        assert not torch.equal(out[leaf].plain().nan_to_num(), value.plain().nan_to_num())
    assert torch.equal(out["image1"].plain(), out["image2"].plain())
    if transform.interpolation == "nearest":  # the mask is the picture's first channel
        inside = out["mask"].plain() != 255
        assert inside.any() and torch.equal(out["mask"].plain()[inside], out["image1"].plain()[0][inside])


def test_geometry_goes_where_the_numbers_say():
    points = lambda name, m, sign: TrivialAugmentWide().apply(one_op(name, m, sign), {"p": KeyPoints([[10.0, 20.0]], canvas_size=(24, 37))})["p"].tolist()[0]
    assert points("TranslateX", 30, 1) == [42.0, 20.0] and points("TranslateY", 10, -1) == [10.0, 10.0]  # cut off to whole pixels
    # Shears push against their sign, as torchvision's and Pillow's do; rotation is counter-clockwise.
    assert points("ShearX", 30, 1) == pytest.approx([10 - 0.99 * 20, 20]) and points("ShearY", 30, -1) == pytest.approx([10, 20 + 0.99 * 10])
    assert points("Rotate", 20, 1) == pytest.approx([18.5 + 8, 12 + 8.5])


def test_a_share_of_the_side_is_that_of_each_frame():
    sample = {"image1": Image(picture(size=(40, 60))), "image2": Image(picture(size=(20, 30))), "flow": Flow(torch.zeros(2, 40, 60), views=("image1", "image2"), target_size=(20, 30))}
    out = RandAugment(1, 30, fill=0).apply(one_op("TranslateX", 30), sample)
    first, second = int(60 * 150 / 331), int(30 * 150 / 331)
    assert (first, second) == (27, 13)
    assert torch.equal(out["image1"].plain()[..., first:], sample["image1"].plain()[..., :-first])
    assert torch.equal(out["image2"].plain()[..., second:], sample["image2"].plain()[..., :-second])
    assert out["flow"].plain()[0, :, first:].unique().tolist() == [second - first] and out["flow"].plain()[0, :, :first].isnan().all()
    assert TrivialAugmentWide().space.amounts("TranslateX", 31, (20, 1000))[-1] == 32
    bins = np.array([[30], [0], [12]])
    rows = RandAugment(1).apply_rows({"op": np.full_like(bins, OPS.index("TranslateX")), "magnitude": bins, "sign": np.ones_like(bins)}, collate([sample] * 3))
    for b in range(3):
        alone = RandAugment(1).apply(one_op("TranslateX", int(bins[b, 0])), sample)
        assert all(torch.equal(rows[n][b].plain().nan_to_num(99), alone[n].plain().nan_to_num(99)) for n in sample)


@pytest.mark.parametrize("transform", SEQUENTIAL, ids=repr)
def test_without_geometry_only_colours_change_and_by_the_same_ops(transform):
    still = type(transform)(**{**transform.__dict__, "geometric": False})
    params, own = drawn(transform), drawn(still)
    assert GEOMETRIC[params["op"]].any() and np.array_equal(own["op"], np.where(GEOMETRIC[params["op"]], 0, params["op"]))
    assert not own["magnitude"][own["op"] == 0].any() and np.array_equal(transform.chosen(own), (own["op"] != 0).any(1))
    sample = everything()
    for b in range(8):
        out = still(sample, key=Key.of(b))
        assert all(out[n] is sample[n] for n in ("mask", "boxes", "points", "flow", "label"))
        assert torch.equal(out["image1"].plain(), out["image2"].plain())


@pytest.mark.parametrize("transform", [*SEQUENTIAL, AugMix()], ids=repr)
def test_what_has_no_type_raises_and_no_picture_is_written_to(transform):
    with pytest.raises(NoKernelError, match="'depth'"):
        transform({"image": Image(picture()), "depth": torch.zeros(24, 37)})
    x = picture()
    for b in range(20):
        transform(Image(x), key=Key.of(b))
    assert torch.equal(x, picture())


# ---- drawn from keys; a batch is its samples; replayed


def test_draws_follow_the_policies():
    for policy in AutoAugmentPolicy:
        op, probability, magnitude = _POLICIES[policy]
        params = drawn(AutoAugment(policy), 20000)
        for i in range(len(OPS)):
            expected = (probability * (op == i)).sum(0) / 25
            assert i == 0 or np.abs((params["op"] == i).mean(0) - expected).max() < 0.015
        pairs = {(a, m) for a, m in zip(op.ravel(), magnitude.ravel(), strict=True)} | {(0, 0)}
        assert {*zip(params["op"].ravel().tolist(), params["magnitude"].ravel().tolist(), strict=True)} <= pairs
    params = drawn(TrivialAugmentWide(), 20000)
    graded, signed = GRADED[params["op"]], SIGNED[params["op"]]
    assert {*params["magnitude"][graded]} == {*range(31)} and not params["magnitude"][~graded].any()
    assert abs((params["sign"][signed] < 0).mean() - 0.5) < 0.02 and (params["sign"][~signed] == 1).all()
    assert set(drawn(RandAugment(2, 7))["magnitude"].ravel()) == {0, 7} and drawn(RandAugment(5))["op"].shape == (COUNT, 5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
@pytest.mark.parametrize("transform", [*SEQUENTIAL, AugMix(), AugMix(geometric=False, chain_depth=2)], ids=repr)
def test_a_batch_is_its_samples(transform, dtype):
    keys = Key.of(0, 0, np.arange(COUNT))
    for sizes in ([(12, 17)], [(12, 17), (9, 20)]):
        samples = [{"image": Image(picture(dtype, size=sizes[b % len(sizes)], seed=b)), "label": b} for b in range(COUNT)]
        out = transform(collate(samples), key=keys)
        for b in range(COUNT):
            alone = transform(samples[b], key=keys[[b]])["image"]
            apart = (out["image"][b].plain().double() - alone.plain().double()).abs().max()
            assert out["image"][b].shape == alone.shape and apart <= (1e-5 if dtype.is_floating_point else 1)
        changed = sum(not torch.equal(out["image"][b].plain(), samples[b]["image"].plain()) for b in range(COUNT))
        assert changed > COUNT / 3


@pytest.mark.parametrize("transform", [*SEQUENTIAL, AugMix()], ids=repr)
def test_a_batch_of_all_leaves_is_its_samples(transform):
    keys = Key.of(0, 1, np.arange(COUNT))
    samples = [everything((12, 17), seed=b, boxes=b % 3) for b in range(COUNT)]
    out = transform(collate(samples), key=keys)
    for b in range(COUNT):
        alone = transform(samples[b], key=keys[[b]])
        for name in samples[0]:
            if name != "label":
                same(out[name][b], alone[name], 1.0 if alone[name].dtype == torch.uint8 and name != "mask" else 1e-4)
        assert int(out["label"][b]) == b


@pytest.mark.parametrize("transform", [*SEQUENTIAL, AugMix()], ids=repr)
def test_a_key_says_all_and_params_are_replayed(transform):
    keys = Key.of(3, 1, np.arange(COUNT))
    info = Info({"image": np.tile([[24, 37]], (COUNT, 1))}, types={"image": "Image"}, count=COUNT)
    params = transform.draw(keys, info)
    first, other = Image(picture()), Image(picture(torch.float32, size=(31, 19), seed=5))
    assert len({params_to_json(row(params, b)) for b in range(COUNT)}) > 10
    for b in range(COUNT):
        one = row(params, b)
        assert row(transform.draw(keys[[b]], info.take([b])), 0) == one
        again = params_from_json(params_to_json(one))
        assert again == one
        for x in (first, other):
            same(transform.apply(one, {"x": x})["x"], transform.apply(again, {"x": x})["x"])
    assert params_to_json(params_from_json(params_to_json(params))) == params_to_json(params)


@pytest.mark.parametrize("transform", SEQUENTIAL, ids=repr)
def test_the_way_back(transform):
    points = {"points": KeyPoints([[3.0, 4.0], [20.0, 11.0]], canvas_size=(24, 37))}
    info, moved = Info.of([points]), 0
    for b in range(60):
        params = transform.draw(Key.of(b), info)
        there = transform.apply(row(params, 0), points)
        moved += not torch.equal(there["points"].plain(), points["points"].plain())
        assert torch.allclose(transform.inverse(params, there, info)["points"].plain(), points["points"].plain(), atol=1e-4)
    assert moved


@pytest.mark.differs("RandAugment(magnitude=31)", "made, then IndexError by chance of the op", "ValueError when it is made")
def test_a_magnitude_without_a_bin_fails_where_it_is_written():
    theirs = tv.RandAugment(magnitude=31)
    with pytest.raises(IndexError):
        for _ in range(50):
            theirs(picture())
    with pytest.raises(ValueError, match="below num_magnitude_bins, 31"):
        RandAugment(magnitude=31)


def test_transforms_are_values():
    for transform in (*SEQUENTIAL, AugMix(5, alpha=0.5, fill={Image: 3, "others": 0})):
        assert pickle.loads(pickle.dumps(transform)) == transform and hash(transform) == hash(pickle.loads(pickle.dumps(transform)))
    assert repr(AutoAugment(tv.AutoAugmentPolicy.SVHN, fill=[1, 2, 3])) == "AutoAugment(policy='svhn', fill=(1, 2, 3))"
    assert AutoAugment() == AutoAugment("IMAGENET") and repr(RandAugment(3)) == "RandAugment(num_ops=3)"
    x = Image(picture())
    assert RandAugment.ops is AugMix.ops is OPS and AugMix().needs == ("size", "meta") and AugMix(geometric=False).needs == ("size",)
    assert RandAugment(0)(x) is x and Compose([TrivialAugmentWide(), RandAugment()])(x).shape == x.shape
    for make in (
        lambda: AutoAugment("mnist"), lambda: RandAugment(-1), lambda: RandAugment(2, 31), lambda: RandAugment(2, -1), lambda: RandAugment(2.5),
        lambda: TrivialAugmentWide(0), lambda: TrivialAugmentWide(interpolation="lanczos"), lambda: AugMix(0), lambda: AugMix(11),
        lambda: AugMix(mixture_width=0), lambda: AugMix(alpha=0), lambda: RandAugment(fill="red"),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()


# ---- AugMix


def mixture(params, x, mode="bilinear"):
    """One row of params by torchvision's own ops, in float64."""
    theirs, out = tv.AugMix(), params["weights"][0] * x.double()
    for weight, ops, bins, signs in zip(params["weights"][1:], params["op"], params["magnitude"], params["sign"], strict=True):
        chain = tv_tensors.Image(x)
        for op, magnitude, sign in zip(ops, bins, signs, strict=True):
            amount = sign * MIX.amounts(OPS[op], 10, x.shape[-2:])[magnitude]
            chain = theirs._apply_image_or_video_transform(chain, OPS[op], amount, mode, {})
        out += weight * chain.as_subclass(torch.Tensor).double()
    return out


@pytest.mark.parametrize("geometric", [None, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_augmix_is_the_mixture_of_torchvisions_ops(dtype, geometric):
    transform = AugMix(severity=10, geometric=geometric)
    params, x = drawn(transform), smooth() if dtype == torch.uint8 else smooth() / 255
    lengths = set()
    for b in range(COUNT):
        one = row(params, b)
        out, expected = transform.apply(one, {"x": Image(x)})["x"].plain(), mixture(one, x)
        assert out.dtype == dtype
        close = 0.501 if geometric is False else 2.0  # each reading between pixels rounds
        assert (out.double() - expected).abs().max() <= (close if dtype == torch.uint8 else 1e-4)
        lengths |= {sum(o > 0 for o in ops) for ops in one["op"]}
    assert lengths == {1, 2, 3} and (drawn(AugMix(chain_depth=5))["op"] > 0).all() and drawn(AugMix(chain_depth=5))["op"].shape == (COUNT, 3, 5)
    assert np.array_equal(np.unique(drawn(AugMix(2), 2000)["magnitude"]), [0, 1])


@pytest.mark.differs("AugMix of integers", "cuts the mixture off: an even 200 becomes 199", "rounds")
def test_augmix_rounds_where_torchvision_cuts_off():
    x = torch.full((3, 8, 8), 200, dtype=torch.uint8)
    space = {"AutoContrast": (lambda *_: None, False)}  # which leaves an even picture alone, so that 200 is right
    torch.manual_seed(0)
    with mock.patch.object(tv.AugMix, "_AUGMENTATION_SPACE", space):
        theirs = {int(v) for _ in range(60) for v in tv.AugMix()(tv_tensors.Image(x)).unique()}
    assert theirs == {199, 200}
    params = drawn(AugMix())
    params["op"] = np.where(params["op"] > 0, OPS.index("AutoContrast"), 0)
    assert all(torch.equal(AugMix().apply(row(params, b), {"x": Image(x)})["x"].plain(), x) for b in range(COUNT))


@pytest.mark.differs("AugMix of a batch", "one choice of ops for all pictures", "chains and shares of each sample's own")
def test_augmix_chooses_for_each_sample_where_torchvision_chooses_for_a_batch():
    x = picture(size=(8, 8))
    even = lambda self, alpha: torch.full_like(alpha, 1 / alpha.shape[-1])
    torch.manual_seed(0)
    with mock.patch.object(tv.AugMix, "_sample_dirichlet", even):
        theirs = tv.AugMix()(torch.stack([x] * 8))
    assert (theirs == theirs[:1]).all()
    params = drawn(AugMix(), 8)
    ours = AugMix().apply_rows({**params, "weights": np.full((8, 4), 0.25)}, collate([{"x": Image(x)}] * 8))["x"].plain()
    assert len({bytes(v.numpy().tobytes()) for v in ours}) == 8


@pytest.mark.differs(
    "AugMix with boxes, masks, key points", "raises TypeError", "changes colours only there; `geometric=True` raises NoKernelError"
)
def test_augmix_beside_leaves_that_cannot_be_in_several_places():
    with pytest.raises(TypeError, match="Mask are not supported"):
        tv.AugMix()({"image": tv_tensors.Image(picture()), "mask": tv_tensors.Mask(picture()[0])})
    sample, keys = everything(), Key.of(0, 0, np.arange(40))
    ops = np.concatenate([AugMix().draw(keys[[b]], Info.of([sample]))["op"].ravel() for b in range(40)])
    assert not GEOMETRIC[ops].any() and {OPS[i] for i in ops} == {"Identity", *FACTORS, *PHOTOMETRIC} - {"Invert"}
    out = AugMix()(sample, key=Key.of(1))
    assert all(out[n] is sample[n] for n in ("mask", "boxes", "points", "flow"))
    assert torch.equal(out["image1"].plain(), out["image2"].plain()) and not torch.equal(out["image1"].plain(), sample["image1"].plain())
    bare = {"image1": sample["image1"], "label": 3}
    moving = AugMix().draw(keys, Info.of([bare] * 40))
    assert GEOMETRIC[moving["op"]].any() and not GEOMETRIC[AugMix(geometric=False).draw(keys, Info.of([bare] * 40))["op"]].any()
    b = int(np.flatnonzero(GEOMETRIC[moving["op"]].any((1, 2)))[0])
    for name in ("mask", "boxes", "points", "flow"):
        beside = {"image1": sample["image1"], "image2": sample["image2"], name: sample[name]}
        with pytest.raises(NoKernelError, match=f"{name!r}, a .*geometric=None"):
            AugMix(geometric=True)(beside)
        with pytest.raises(NoKernelError, match=f"{name!r}, a "):
            AugMix().apply(row(moving, b), beside)
        with pytest.raises(NoKernelError, match=f"{name!r}, a "):
            AugMix().apply_rows(moving, collate([beside] * 40))
    assert AugMix(geometric=True)(bare)["image1"].shape == (3, 24, 37)


def test_augmix_of_a_clip_and_of_several_pictures_is_one_draw():
    x = picture()
    params = drawn(AugMix(3, geometric=False), 6)
    for b in range(6):
        one = row(params, b)
        out = AugMix().apply(one, {"a": Image(x), "b": Image(x), "clip": Video(torch.stack([x, x.flip(0)]))})
        assert torch.equal(out["a"].plain(), out["b"].plain()) and torch.equal(out["clip"].plain()[0], out["a"].plain())


# ---- gamma, beta and Dirichlet


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 3.5, 40.0])
def test_gamma_and_beta_numbers_are_distributed_as_they_say(alpha):
    keys = Key.of(5, np.arange(20000))
    assert stats.kstest(log_gamma(keys, (1.0, alpha))[:, 1], lambda v: stats.gamma(alpha).cdf(np.exp(v))).pvalue > 1e-3
    assert stats.kstest(beta(keys, alpha, 2 * alpha), stats.beta(alpha, 2 * alpha).cdf).pvalue > 1e-3
    shares = dirichlet(keys, (alpha,) * 4)
    assert np.allclose(shares.sum(1), 1) and np.abs(shares.mean(0) - 0.25).max() < 0.02 and abs(np.corrcoef(shares.T)[0, 1] + 1 / 3) < 0.03


@given(seed=st.integers(0, 2**32), alpha=st.floats(1e-4, 1e4), count=st.integers(1, 6))
def test_shares_are_each_keys_own(seed, alpha, count):
    keys = Key.of(seed, np.arange(5))
    shares = dirichlet(keys, (alpha,) * count)
    assert np.isfinite(shares).all() and (shares >= 0).all() and np.allclose(shares.sum(1), 1)
    for b in range(5):
        assert np.array_equal(dirichlet(keys[[b]], (alpha,) * count)[0], shares[b])
    weights = AugMix(alpha=alpha, mixture_width=count)._weights(keys)
    assert weights.shape == (5, 1 + count) and np.allclose(weights.sum(1), 1)
