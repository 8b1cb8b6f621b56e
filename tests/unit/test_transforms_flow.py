"""The optical flow family: RAFT's rules by their statistics, its parts against OpenCV, brute force and plain chains."""

import pickle

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tvF
from hypothesis import given
from hypothesis import strategies as st

from vdata import Key
from vdata import transforms as T
from vdata.batch import Ragged, collate
from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.transforms import functional as F
from vdata.transforms.asymmetric import AsymmetricColorJitter
from vdata.transforms.eraser import RandomFlowErasing, rectangles
from vdata.transforms.occlusion import MarkOcclusion, forward_backward_occlusion, out_of_frame
from vdata.transforms.raft import RAFTAugment
from vdata.transforms.resize_and_crop import RandomResizeAndCrop, resize_and_crop
from vdata.transforms.stereo import RandomStereoFlip, disparity_to_flow, flow_to_disparity
from vdata.transforms.swap_frames import RandomSwapFrames

SIZE, CROP = (46, 62), (32, 40)


def smooth(seed, *shape):
    """Pictures of photographs' smoothness in 0..1."""
    g = torch.Generator().manual_seed(seed)
    small = torch.rand(*shape[:-2], max(2, shape[-2] // 4), max(2, shape[-1] // 4), generator=g)
    return torch.nn.functional.interpolate(small.reshape(1, -1, *small.shape[-2:]), shape[-2:], mode="bicubic").clamp(0, 1).reshape(shape)


def sample(seed=0, size=SIZE, backward=True):
    g = torch.Generator().manual_seed(seed)
    valid = torch.rand(*size, generator=g) > 0.2
    byte = lambda s: Image((smooth(s, 3, *size) * 255).to(torch.uint8))
    flow = 20 * smooth(seed + 2, 2, *size) - 10
    out = {
        "__key__": str(seed), "image1": byte(seed), "image2": byte(seed + 1), "flow": Flow(flow, valid=valid),
        "backward": Flow(-flow, views=("image2", "image1")), "occlusion": Mask(torch.rand(*size, generator=g) > 0.8, frame="image1"),
        "boxes": BoundingBoxes(torch.rand(seed % 3, 4, generator=g) * 20 + torch.tensor([0.0, 0, 20, 20]), format="XYXY", canvas_size=size, frame="image2"),
        "points": KeyPoints(torch.rand(5, 2, generator=g) * 40, canvas_size=size, frame="image1"), "label": 3,
        "clip": Video((smooth(seed + 3, 2, 3, *size) * 255).to(torch.uint8)), "masks": Mask(torch.rand(seed % 3, *size, generator=g) > 0.5, kind="instance", frame="image1"),
    }  # fmt: skip
    return out if backward else {n: v for n, v in out.items() if n != "backward"}


def same(a, b, atol=0.0):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.shape == b.shape and a.dtype == b.dtype and getattr(a, "meta", dict)() == getattr(b, "meta", dict)()
        a, b = (t.plain() if hasattr(t, "plain") else t for t in (a, b))
        torch.testing.assert_close(a, b, atol=atol, rtol=0, equal_nan=True)
    else:
        assert a == b


def tolerance(leaf):
    return 1 if leaf.dtype == torch.uint8 else 1e-3 if isinstance(leaf, Flow) else 1e-4


EVERY = [
    RAFTAugment(CROP), RAFTAugment(CROP, -0.5, 0.3, sparse=True), RAFTAugment(CROP, do_flip=False, asymmetric=1.0, erase=1.0), AsymmetricColorJitter(0.4, 0.4, 0.4, 0.16, p=0.5),
    RandomFlowErasing(sides=(5, 20)), RandomFlowErasing(p=0.7, count=(0 + 1, 4), sides=(5, 9), frame="image1", occlusion=None), RandomSwapFrames(), RandomSwapFrames(p=1.0),
    RandomStereoFlip(), MarkOcclusion(), MarkOcclusion("hidden", consistency=True), MarkOcclusion("behind", flow="backward"), RandomResizeAndCrop(CROP, h_flip_prob=0.5, v_flip_prob=0.5),
]  # fmt: skip


@pytest.mark.parametrize("t", EVERY, ids=repr)
def test_a_batch_is_the_loop(t):
    samples = [sample(k) for k in range(6)]
    keys = Key.of(5, np.arange(6))
    together = t(collate(samples), key=keys).samples()
    for k in range(6):
        alone = t(samples[k], key=keys[k : k + 1])
        assert set(together[k]) == set(alone)
        for name, leaf in alone.items():
            if isinstance(leaf, torch.Tensor):
                same(together[k][name], leaf, tolerance(leaf))


@pytest.mark.parametrize("t", EVERY, ids=repr)
def test_a_batch_of_unequal_sizes_is_the_loop(t):
    samples = [sample(k, size=(46 + 4 * (k % 2), 62)) for k in range(4)]
    keys = Key.of(6, np.arange(4))
    together = t(collate(samples), key=keys).samples()
    for k in range(4):
        for name, leaf in t(samples[k], key=keys[k : k + 1]).items():
            if isinstance(leaf, torch.Tensor):
                same(together[k][name], leaf, tolerance(leaf))


@pytest.mark.parametrize("t", [RandomFlowErasing(p=1.0, sides=(5, 20)), MarkOcclusion()], ids=repr)
def test_a_mask_on_this_frame_here_and_on_that_one_there(t):
    """After a swap of some samples a mask without a counterpart lies on one frame here, on the other there."""
    given = [{n: v for n, v in sample(k).items() if n not in ("clip", "masks", "__key__")} for k in range(6)]
    swapped = RandomSwapFrames(p=0.5)(collate(given), key=Key.of(3, np.arange(6)))
    frames = {m["frame"] for m in swapped["occlusion"].metas}
    assert frames == {"image1", "image2"}
    for k, alone in enumerate(swapped.samples()):
        if alone["occlusion"].frame == "image1":
            same(t(collate([alone]), key=Key.of(k))["occlusion"][0], t(alone, key=Key.of(k))["occlusion"])
        else:
            with pytest.raises(PlanError, match="image2"):
                t(alone, key=Key.of(k))
    with pytest.raises(PlanError, match="image2"):
        t(swapped, key=Key.of(1, np.arange(6)))


@pytest.mark.parametrize("t", EVERY, ids=repr)
def test_they_are_values_and_their_params_replay(t):
    assert pickle.loads(pickle.dumps(t)) == t and hash(t) == hash(pickle.loads(pickle.dumps(t)))
    assert T.from_json(T.to_json(t), classes=[type(t)]) == t
    assert eval(repr(t), {type(t).__name__: type(t)}) == t
    info = T.Info.of([sample()])
    params = t.draw(Key.of(1, 2), info)
    replayed = T.params_from_json(T.params_to_json(T.row(params, 0)))
    assert replayed == T.row(params, 0)
    for name, leaf in t.apply(replayed, sample()).items():
        if isinstance(leaf, torch.Tensor):
            same(leaf, t.apply(T.row(params, 0), sample())[name])
    out = t.apply(replayed, {**sample(1), "__key__": "0"})  # params fit a second sample
    after = t.after(params, info)
    assert {f: tuple(s[0].tolist()) for f, s in after.sizes.items()} == {f: out[f].canvas for f in ("image1", "image2", "clip")}
    assert set(after.types) == {n for n, v in out.items() if isinstance(v, torch.Tensor)}


# ---- scale, mirror, crop ------------------------------------------------------------------------------------------


def chain(leaf, height, width, top, left, size, horizontal, vertical):
    leaf = F.resize(leaf, (height, width), antialias=False)
    leaf = F.horizontal_flip(leaf) if horizontal else leaf
    leaf = F.vertical_flip(leaf) if vertical else leaf
    return F.crop(leaf, top, left, *size)


WINDOWS = [
    {"height": 60, "width": 55, "top": 3, "left": 7, "size": CROP, "horizontal": False, "vertical": False},
    {"height": 92, "width": 124, "top": 60, "left": 84, "size": CROP, "horizontal": True, "vertical": False},
    {"height": 32, "width": 40, "top": 0, "left": 0, "size": CROP, "horizontal": True, "vertical": True},
    {"height": 46, "width": 62, "top": 5, "left": 9, "size": CROP, "horizontal": False, "vertical": True},
]  # fmt: skip


def leaves():
    g = torch.Generator().manual_seed(0)
    raw = sample()
    return {
        "byte": raw["image1"], "wide": Image((smooth(3, 1, *SIZE) * 60000).to(torch.uint16)), "float": Image(smooth(4, 4, *SIZE)), "half": Image(smooth(4, 3, *SIZE).half()),
        "video": Video((smooth(5, 2, 3, *SIZE) * 255).to(torch.uint8)), "ids": Mask(torch.randint(0, 2**60, SIZE, generator=g)), "masks": Mask(torch.rand(3, *SIZE, generator=g) > 0.5, kind="instance"),
        "wide_mask": Mask(torch.randint(0, 60000, SIZE, generator=g).to(torch.uint16)), "flow": raw["flow"], "sparse": Flow(raw["flow"].plain(), sparse=True),
        "boxes": sample(2)["boxes"], "points": raw["points"],
    }  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: f"{w['height']}x{w['width']}")
@pytest.mark.parametrize("name", list(leaves()))
def test_resize_and_crop_is_the_chain(name, window):
    leaf = leaves()[name]
    one, many = resize_and_crop(leaf, **window), chain(leaf, **window)
    atol = {"byte": 1, "video": 1, "wide": 1, "half": 1e-3}.get(name, 2e-5)
    same(one, many, 0 if isinstance(leaf, Mask) or name == "sparse" else atol)


@pytest.mark.parametrize("name", list(leaves()))
def test_resize_and_crop_with_an_argument_a_row_is_the_loop(name):
    leaf = leaves()[name]
    arguments = {n: np.array([w[n] for w in WINDOWS]) for n in WINDOWS[0] if n != "size"}
    if isinstance(leaf, (BoundingBoxes, KeyPoints)):
        stacked = leaf.like(torch.stack([leaf.plain()[0]] * len(WINDOWS)))
        rows = resize_and_crop(stacked, size=CROP, **arguments).plain()
    else:
        rows = resize_and_crop(torch.stack([leaf] * len(WINDOWS)), size=CROP, **arguments).plain()
    for row, window in zip(rows, WINDOWS, strict=True):
        alone = resize_and_crop(leaf[:1] if isinstance(leaf, (BoundingBoxes, KeyPoints)) else leaf, **window).plain()
        alone = alone[0] if isinstance(leaf, (BoundingBoxes, KeyPoints)) else alone
        atol = {"byte": 1, "video": 1, "wide": 1, "half": 2e-3}.get(name, 1e-4)
        same(row, alone, 0 if isinstance(leaf, Mask) or name == "sparse" else atol)


def test_pictures_are_those_of_opencv():
    """INTER_LINEAR to a given size: centres at + 1/2, no antialias, the border continued; within one grey level."""
    x = sample()["image1"]
    for height, width in ((60, 55), (92, 124), (46, 90), (33, 41)):
        theirs = cv2.resize(x.permute(1, 2, 0).numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
        mine = resize_and_crop(x, height, width, 1, 1, (height - 1, width - 1)).plain()
        assert (mine.int() - torch.from_numpy(theirs).permute(2, 0, 1)[:, 1:, 1:].int()).abs().max() <= 1


def test_a_window_that_leaves_the_canvas_is_refused():
    x = sample()["image1"]
    for wrong in ({"top": -1}, {"top": 29}, {"left": 16}, {"left": np.array([0, 16])}):
        given = {**WINDOWS[0], **wrong}
        with pytest.raises(ValueError, match="leaves the canvas"):
            resize_and_crop(torch.stack([x, x]) if isinstance(given["left"], np.ndarray) else x, **given)


# ---- RAFT's rules ---------------------------------------------------------------------------------------------------


def by_rule(rng, frame, crop, low, high, flip, sparse):
    """One draw by the published rules: sizes, mirrors and the window's place."""
    scale = 2 ** rng.uniform(low, high)
    sx = sy = scale
    if not sparse and rng.uniform() < 0.8:
        sx, sy = sx * 2 ** rng.uniform(-0.2, 0.2), sy * 2 ** rng.uniform(-0.2, 0.2)
    least = max((c + (1 if sparse else 8)) / n for c, n in zip(crop, frame))
    sx, sy = max(sx, least), max(sy, least)
    height, width = (round(frame[0] * sy), round(frame[1] * sx)) if rng.uniform() < 0.8 else frame
    across, down = flip and rng.uniform() < 0.5, flip and not sparse and rng.uniform() < 0.1
    if sparse:
        top, left = rng.integers(0, height - crop[0] + 20), rng.integers(-50, width - crop[1] + 50)
        top, left = np.clip(top, 0, height - crop[0]), np.clip(left, 0, width - crop[1])
    else:
        top, left = rng.integers(0, height - crop[0]), rng.integers(0, width - crop[1])
    return height, width, top, left, across, down


def steepest(a, b):
    """Kolmogorov's distance of two samples."""
    at = np.sort(np.concatenate([a, b]))
    return np.abs(np.searchsorted(np.sort(a), at, side="right") / len(a) - np.searchsorted(np.sort(b), at, side="right") / len(b)).max()


FRAMES = {"chairs": (384, 512), "things": (540, 960), "sintel": (436, 1024), "kitti": (375, 1242), "sintel/kitti": (375, 1242), "sintel/hd1k": (1080, 2560)}
RULES = {
    "chairs": ((368, 496), -0.1, 1.0, True, False), "things": ((400, 720), -0.4, 0.8, True, False), "sintel": ((368, 768), -0.2, 0.6, True, False),
    "kitti": ((288, 960), -0.2, 0.4, False, True), "sintel/kitti": ((368, 768), -0.3, 0.5, True, True), "sintel/hd1k": ((368, 768), -0.5, 0.2, True, True),
}  # fmt: skip


@pytest.mark.parametrize("stage", list(RULES))
def test_draws_follow_rafts_rules(stage):
    frame, rules, count = FRAMES[stage], RULES[stage], 2000
    t = RAFTAugment.preset(stage)
    assert (t.crop_size, t.min_scale, t.max_scale, t.do_flip, t.sparse) == rules
    info = T.Info({"image1": np.tile([frame], (count, 1)), "image2": np.tile([frame], (count, 1))}, count=count)
    colours, eraser, spatial = t.draw(Key.of(0, np.arange(count)), info)["children"]
    rng = np.random.default_rng(0)
    expected = np.array([by_rule(rng, frame, *rules) for _ in range(20 * count)], float).T
    drawn = [spatial[n].astype(float) for n in ("height", "width", "top", "left", "horizontal", "vertical")]
    for mine, theirs in zip(drawn, expected, strict=True):
        assert steepest(mine, theirs) < 0.045  # 2,000 draws of one distribution are within 0.036 in 99 of 100 cases
    assert steepest(drawn[0] / drawn[1], expected[0] / expected[1]) < 0.045  # how sides belong together
    assert (drawn[0] >= rules[0][0]).all() and (drawn[1] >= rules[0][1]).all()
    kept = ((drawn[0] == frame[0]) & (drawn[1] == frame[1])).mean()
    assert abs(kept - ((expected[0] == frame[0]) & (expected[1] == frame[1])).mean()) < 0.03
    assert abs(colours["asymmetric"].mean() - (0 if rules[4] else 0.2)) < 0.03
    assert abs(eraser["apply"].mean() - 0.5) < 0.04 and abs((eraser["count"] == 2).mean() - 0.5) < 0.04
    assert eraser["sides"].min() == 50 and eraser["sides"].max() == 100 and 0.49 < eraser["corner"].mean() < 0.51
    spans = (0.7, 1.3, 0.3 / 3.14) if rules[4] else (0.6, 1.4, 0.5 / 3.14)
    own = colours["frames"]["image2"]
    for name in ("brightness", "contrast", "saturation"):
        assert spans[0] <= own[name].min() < spans[0] + 0.01 and spans[1] - 0.01 < own[name].max() <= spans[1]
    assert spans[2] - 0.01 < own["hue"].max() <= spans[2]


def test_presets():
    assert RAFTAugment.preset("hd1k") == RAFTAugment.preset("sintel/hd1k") != RAFTAugment.preset("sintel/kitti")
    assert RAFTAugment.preset("kitti", (320, 896)).crop_size == (320, 896) and not RAFTAugment.preset("kitti").do_flip
    with pytest.raises(ValueError, match="'chairs', 'things'"):
        RAFTAugment.preset("spring")


@pytest.mark.parametrize("size", [(32, 40), (20, 90), (9, 9), (300, 41), (33, 41)], ids=str)
def test_no_frame_is_too_small(size):
    """RAFT's crop fails below the crop's size, and at it; here the frame is enlarged by the least that holds the crop."""
    t = RandomResizeAndCrop(CROP, -3.0, 0.0, resize_prob=0.5)
    given = {n: v for n, v in sample(size=size).items() if n != "points"}
    for k in range(12):
        params = t.draw(Key.of(k), T.Info.of([given]))
        out = t.apply(T.row(params, 0), given)
        assert {v.canvas for v in out.values() if isinstance(v, torch.Tensor)} == {CROP}
        assert out["backward"].valid.all()
        unresized = T.row(RandomResizeAndCrop(CROP, resize_prob=0.0).draw(Key.of(k), T.Info.of([given])), 0)
        least = max(1, CROP[0] / size[0], CROP[1] / size[1])
        assert (unresized["height"], unresized["width"]) == tuple(max(round(n * least), c) for n, c in zip(size, CROP))


def test_the_scale_is_that_of_the_whole_pixels():
    """Vectors, points and pixels scale by new / old size, not by the drawn factor (torchvision's references use that)."""
    t = RandomResizeAndCrop(CROP, 0.2, 0.4, max_stretch=0.3)
    flow = torch.tensor([3.0, -2.0]).reshape(2, 1, 1).expand(2, *SIZE)
    for k in range(10):
        params = T.row(t.draw(Key.of(k), T.Info.of([{"flow": Flow(flow)}])), 0)
        out = t.apply(params, {"flow": Flow(flow)})["flow"].plain()
        expected = torch.tensor([3 * params["width"] / SIZE[1], -2 * params["height"] / SIZE[0]])
        torch.testing.assert_close(out, expected.reshape(2, 1, 1).expand(2, *CROP), rtol=1e-6, atol=1e-6)


def test_sparse_marks_flows_and_keeps_row_and_column_zero():
    flow = torch.full((2, *SIZE), torch.nan)
    flow[:, 0, :], flow[:, :, 0] = 0.0, 0.0
    t = RAFTAugment(SIZE, 0.0, 0.0, do_flip=False, sparse=True, erase=0, jitter=(0, 0, 0, 0))
    one, two = t({"flow": Flow(flow)})["flow"], t(collate([{"flow": Flow(flow)}] * 2))["flow"]
    assert one.sparse and two.sparse and two.shape == (2, *one.shape)
    assert t(sample(), key=Key.of(3))["backward"].sparse
    doubled = resize_and_crop(Flow(flow, sparse=True), 2 * SIZE[0], 2 * SIZE[1], 0, 0, (6, 6)).plain()
    assert doubled[0].isfinite().tolist() == [[i < 2 or j < 2 for j in range(6)] for i in range(6)]  # RAFT's resize loses them


def test_a_sparse_flow_stays_sparse_under_dense_rules():
    out = RAFTAugment(CROP, jitter=(0, 0, 0, 0), erase=0)({**sample(), "flow": Flow(sample()["flow"].plain(), sparse=True)}, key=Key.of(1))
    assert out["flow"].sparse and not out["backward"].sparse
    assert out["flow"].valid.plain().float().mean() > 0.7  # between pixels, where one of four is unknown, few would be left


def test_what_colours_and_eraser_do_does_not_change_the_geometry():
    a, b = RAFTAugment(CROP), RAFTAugment(CROP, jitter=(0, 0.1, 0, 0), asymmetric=1.0, erase=0.9)
    info = T.Info.of([sample()])
    assert T.row(a.draw(Key.of(4), info), 0)["children"][2] == T.row(b.draw(Key.of(4), info), 0)["children"][2]
    same(a(sample(), key=Key.of(4))["flow"], b(sample(), key=Key.of(4))["flow"])


def test_nothing_is_changed_in_place():
    given = sample()
    copies = {n: v.clone() for n, v in given.items() if isinstance(v, torch.Tensor)}
    for t in EVERY:
        for k in range(4):
            t(given, key=Key.of(k))
    for name, copy in copies.items():
        same(given[name], copy)


def test_the_way_back_from_raft():
    """Points on the augmented canvas return to the original one."""
    t, given = RAFTAugment(CROP), sample()
    info = T.Info.of([given])
    params = t.draw(Key.of(9), info)
    out = t.apply(T.row(params, 0), given)
    back = t.inverse(params, {"points": out["points"], "flow": out["flow"]}, info)
    torch.testing.assert_close(back["points"].plain(), given["points"].plain())
    known = back["flow"].plain().isfinite().all(0)
    assert back["flow"].canvas == SIZE and known.any()


@pytest.mark.parametrize("wrong", [{"crop_size": 0}, {"min_scale": 1.0}, {"jitter": (1, 2)}, {"jitter": (0, 0, 0, 2)}, {"asymmetric": 1.5}, {"erase": -1}], ids=str)
def test_wrong_arguments_fail_where_they_are_written(wrong):
    with pytest.raises(ValueError):
        RAFTAugment(**{"crop_size": CROP, **wrong})


def test_other_wrong_arguments():
    for make in (
        lambda: RandomResizeAndCrop(CROP, room=-1), lambda: RandomResizeAndCrop(CROP, stretch_prob=2), lambda: RandomResizeAndCrop(CROP, max_stretch=-0.1),
        lambda: RandomResizeAndCrop(CROP, overhang=(1, 2, 3)), lambda: RandomFlowErasing(count=(0, 2)), lambda: RandomFlowErasing(sides=(10, 5)), lambda: RandomFlowErasing(sides=(1.5, 5)),
        lambda: RandomSwapFrames(frames=("a", "a")), lambda: RandomSwapFrames(pairs=(("a",),)), lambda: MarkOcclusion(out_of_frame=False), lambda: MarkOcclusion(alpha2=-1),
        lambda: AsymmetricColorJitter(p=2),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()
    with pytest.raises(PlanError, match="bring them to one size"):
        RandomResizeAndCrop(CROP)({"image1": Image(torch.zeros(3, 40, 50)), "image2": Image(torch.zeros(3, 50, 50))})


# ---- colours --------------------------------------------------------------------------------------------------------


def jitter_by_torchvision(x, params):
    """torchvision's ColorJitter with these factors and order."""
    verbs = [("brightness", tvF.adjust_brightness), ("contrast", tvF.adjust_contrast), ("saturation", tvF.adjust_saturation), ("hue", tvF.adjust_hue)]
    for i in params["order"]:
        x = verbs[i][1](x, params[verbs[i][0]])
    return x


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_alike_is_torchvisions_jitter_of_the_joined_frames(dtype):
    """As RAFT: frames joined along their height, so that contrast knows one mean. Asymmetric: each alone."""
    t = AsymmetricColorJitter(0.4, 0.4, 0.4, 0.16, p=0.5)
    pictures = {n: Image((smooth(i, 3, *SIZE) * 255).to(dtype) if dtype == torch.uint8 else smooth(i, 3, *SIZE)) for i, n in enumerate(("image1", "image2"))}
    kinds = set()
    for k in range(12):
        params = T.row(t.draw(Key.of(k), T.Info.of([pictures])), 0)
        out = t.apply(params, {**pictures, "label": 1})
        one, two = (params["frames"][n] for n in pictures)
        kinds.add(params["asymmetric"])
        assert (one != two) == params["asymmetric"]
        joined = torch.cat([pictures["image1"].plain(), pictures["image2"].plain()], -2)
        expected = jitter_by_torchvision(joined, one).split(SIZE[0], -2)
        if params["asymmetric"]:
            expected = [jitter_by_torchvision(pictures[n].plain(), p) for n, p in zip(pictures, (one, two))]
        for name, want in zip(pictures, expected):
            same(out[name].plain(), want, 1 if dtype == torch.uint8 else 1e-5)
    assert kinds == {False, True}


def test_pictures_of_other_kinds_have_their_own_mean_and_none_is_none():
    t = AsymmetricColorJitter(0.4, 0.4, 0.4, 0.1, p=0.0)
    given = {"image1": Image(smooth(0, 3, 8, 9)), "image2": Image(smooth(1, 3, 20, 7)), "grey": Image(smooth(2, 1, 8, 9)), "clip": Video(smooth(3, 2, 3, 8, 9))}
    params = T.row(t.draw(Key.of(0), T.Info.of([given])), 0)
    out = t.apply(params, given)
    assert {n: v.shape for n, v in out.items()} == {n: v.shape for n, v in given.items()}
    torch.testing.assert_close(out["grey"].plain(), t.change(params["frames"]["grey"], given["grey"]).plain())
    torch.testing.assert_close(out["clip"].plain(), t.change(params["frames"]["clip"], given["clip"]).plain())
    assert t(collate([{"label": 1}] * 2), key=Key.of(0, np.arange(2)))["label"].tolist() == [1, 1]
    with pytest.raises(PlanError, match="image3"):
        t.apply(params, {"image3": given["image1"]})


# ---- erasing --------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), dtype=st.sampled_from([torch.uint8, torch.uint16, torch.float32, torch.float16]), channels=st.sampled_from([1, 3, 4]))
def test_erasing_is_brute_force(seed, dtype, channels):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(channels, 23, 31, generator=g)
    x = x.to(dtype) if dtype.is_floating_point else (x * 255).to(dtype)
    flow, valid = torch.randn(2, 23, 31, generator=g) * 12, torch.rand(23, 31, generator=g) > 0.2
    old = torch.rand(23, 31, generator=g) > 0.9
    given = {"image1": Image(x), "image2": Image(x), "flow": Flow(flow, valid=valid), "occlusion": Mask(old)}
    t = RandomFlowErasing(p=1.0, count=(1, 3), sides=(3, 11))
    params = T.row(t.draw(Key.of(seed), T.Info.of([given])), 0)
    out = t.apply(params, given)
    hit = np.zeros((23, 31), bool)
    for (down, across), (high, wide), _ in zip(params["corner"], params["sides"], range(params["count"]), strict=False):
        top, left = int(down * 23), int(across * 31)
        hit[top : top + high, left : left + wide] = True
    assert hit.any() and out["image1"] is given["image1"] and out["flow"] is given["flow"]
    wide = x.double().numpy()
    changed = out["image2"].plain().double().numpy()
    assert np.array_equal(changed[:, ~hit], wide[:, ~hit])
    for c in range(channels):
        if c == 3:
            assert np.array_equal(changed[3], wide[3])
        else:
            assert np.abs(changed[c][hit] - wide[c].mean()).max() < (2e-3 if dtype.is_floating_point else 0.51)
    hidden = old.numpy().copy()
    for i in range(23):
        for j in range(31):
            if valid[i, j]:
                at = np.floor([i + 0.5 + float(flow[1, i, j]), j + 0.5 + float(flow[0, i, j])]).astype(int)
                hidden[i, j] |= bool((at >= 0).all() and at[0] < 23 and at[1] < 31 and hit[tuple(at)])
    assert np.array_equal(out["occlusion"].plain().numpy(), hidden)


def test_erasing_says_what_it_lacks():
    picture, flow = Image(torch.rand(3, 20, 20)), Flow(torch.zeros(2, 20, 20))
    t = RandomFlowErasing(p=1.0, sides=(5, 8))
    with pytest.raises(PlanError, match="frame="):
        t({"image1": picture, "image2": picture})
    with pytest.raises(PlanError, match="'image2'"):
        t({"image1": picture, "flow": flow})
    with pytest.raises(PlanError, match="no flow leads from 'image2' to 'image2'"):
        t({"image1": picture, "image2": picture, "flow": flow, "occlusion": Mask(torch.zeros(20, 20, dtype=torch.bool), frame="image2")})
    with pytest.raises(PlanError, match="semantic Mask"):
        t({"image1": picture, "image2": picture, "flow": flow, "occlusion": Label(1)})
    out = RandomFlowErasing(p=1.0, sides=(5, 8), frame="b")({"a": picture, "b": picture})
    assert torch.equal(out["a"], picture) and not torch.equal(out["b"], picture)
    assert rectangles({"corner": [[0.5, 0.9], [0.0, 0.0]], "sides": [[5, 5], [5, 5]], "count": 1}, (8, 8)).tolist() == [[4, 7, 8, 8], [0, 0, 0, 0]]
    marked = t({"image1": picture, "image2": picture, "flow": flow, "occlusion": Mask(torch.full((20, 20), 255, dtype=torch.uint8), ignore_index=255)})["occlusion"]
    assert set(marked.unique().tolist()) == {1, 255}


# ---- occlusion ------------------------------------------------------------------------------------------------------


def by_formula(flow, back, alpha1=0.01, alpha2=0.5):
    """UnFlow's test in plain loops, in double precision."""
    f, b = flow.plain().double().numpy(), back.plain().double().numpy()
    height, width = f.shape[1:]
    hidden = np.zeros((height, width), bool)
    for i in range(height):
        for j in range(width):
            u, v = f[:, i, j]
            if not np.isfinite(u + v):
                continue
            x, y = j + 0.5 + u, i + 0.5 + v
            if not (0 <= x <= b.shape[2] and 0 <= y <= b.shape[1]):
                hidden[i, j] = True
                continue
            px, py = np.clip(x - 0.5, 0, b.shape[2] - 1), np.clip(y - 0.5, 0, b.shape[1] - 1)
            l, t = int(px), int(py)
            r, d = min(l + 1, b.shape[2] - 1), min(t + 1, b.shape[1] - 1)
            wx, wy = px - l, py - t
            taps = [(1 - wx) * (1 - wy) * b[:, t, l], wx * (1 - wy) * b[:, t, r], (1 - wx) * wy * b[:, d, l], wx * wy * b[:, d, r]]
            w = sum(tap for tap, weight in zip(taps, ((1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy)) if weight > 0)
            if np.isfinite(w).all():
                hidden[i, j] = ((f[:, i, j] + w) ** 2).sum() >= alpha1 * ((f[:, i, j] ** 2).sum() + (w**2).sum()) + alpha2
    return hidden


@given(seed=st.integers(0, 10_000))
def test_forward_backward_is_the_formula(seed):
    g = torch.Generator().manual_seed(seed)
    near = torch.randn(2, 12, 15, generator=g) * 3
    flow = Flow(near, valid=torch.rand(12, 15, generator=g) > 0.1, target_size=(14, 13))
    back = Flow(torch.randn(2, 14, 13, generator=g) * 2 - near.mean(), valid=torch.rand(14, 13, generator=g) > 0.1, views=("image2", "image1"), target_size=(12, 15))
    out = forward_backward_occlusion(flow, back)
    assert out.frame == "image1" and out.dtype == torch.bool
    assert np.array_equal(out.plain().numpy(), by_formula(flow, back))
    twice = forward_backward_occlusion(torch.stack([flow, flow]), torch.stack([back, back]))
    assert torch.equal(twice.plain()[1], out.plain())
    assert np.array_equal(forward_backward_occlusion(flow, back, 0.5, 9.0).plain().numpy(), by_formula(flow, back, 0.5, 9.0))


def test_forward_backward_finds_what_a_square_covers():
    """A square moves 6 pixels to the right over a still background: what it covers is hidden, and what leaves the frame."""
    flow, back = torch.zeros(2, 30, 40), torch.zeros(2, 30, 40)
    flow[0, 10:20, 5:15], back[0, 10:20, 11:21] = 6, -6
    hidden = forward_backward_occlusion(Flow(flow), Flow(back, views=("image2", "image1"))).plain()
    expected = torch.zeros(30, 40, dtype=torch.bool)
    expected[10:20, 15:21] = True
    assert torch.equal(hidden, expected)
    away = forward_backward_occlusion(Flow(flow + 30), Flow(back - 30, views=("image2", "image1"))).plain()
    assert away[:, 10:].all() and not out_of_frame(Flow(flow)).any()


def test_alpha2_does_not_scale():
    """The caveat: a disagreement of half a pixel is none at full size and a hidden pixel at twice the size, unless alpha2 follows."""
    flow, back = Flow(torch.zeros(2, 8, 8)), Flow(torch.full((2, 8, 8), 0.4), views=("image2", "image1"))
    assert not forward_backward_occlusion(flow, back).any()
    large, wide = F.resize(flow, (16, 16)), F.resize(back, (16, 16))
    assert forward_backward_occlusion(large, wide).all() and not forward_backward_occlusion(large, wide, alpha2=0.5 * 4).any()


def test_mismatched_flows_are_refused():
    flow, back = Flow(torch.zeros(2, 4, 5)), Flow(torch.zeros(2, 4, 5), views=("image2", "image1"))
    for one, other, said in ((flow, flow, "views"), (flow, Flow(torch.zeros(2, 4, 6), views=back.views), "each other's frames"), (torch.stack([flow, flow]), back, "each other's frames")):
        with pytest.raises(ValueError, match=said):
            forward_backward_occlusion(one, other)
    with pytest.raises(TypeError):
        forward_backward_occlusion(flow, torch.zeros(2, 4, 5))


def test_out_of_frame_counts_the_border_as_inside_in_every_mirror():
    flow = Flow(torch.tensor([[[0.5, 0.6, -1.5, torch.nan]], [[0.0, 0.0, 0.0, 0.0]]]), target_size=(1, 1))
    assert out_of_frame(flow).tolist() == [[False, True, False, False]]
    given = {"flow": Flow(torch.randint(-4, 5, (2, 9, 11), generator=torch.Generator().manual_seed(0)) / 2)}
    for t in (T.RandomHorizontalFlip(1), T.RandomVerticalFlip(1)):
        assert torch.equal(out_of_frame(t(given)["flow"]).plain(), t({"m": Mask(out_of_frame(given["flow"]).plain())})["m"].plain())


def test_mark_occlusion_adds_and_updates():
    flow = torch.zeros(2, 10, 12)
    flow[0, :, 8:] = 3
    given = {"flow": Flow(flow), "image1": Image(torch.zeros(1, 10, 12)), "image2": Image(torch.zeros(1, 10, 12))}
    out = MarkOcclusion()(given)["occlusion"]
    assert out.frame == "image1" and torch.equal(out.plain(), out_of_frame(given["flow"]).plain()) and out.any()
    old = torch.zeros(10, 12, dtype=torch.uint8)
    old[2, 3], old[5] = 1, 9
    crop = T.Compose([T.CenterCrop((8, 8)), MarkOcclusion()])({**given, "occlusion": Mask(old, ignore_index=9)})
    assert crop["occlusion"].dtype == torch.uint8 and crop["occlusion"].ignore_index == 9
    assert crop["occlusion"].plain()[1, 1] == 1 and (crop["occlusion"].plain()[:, 6:] == 1).all() and crop["occlusion"].plain()[4, 0] == 9
    back = Flow(torch.zeros(2, 10, 12), views=("image2", "image1"))
    both = MarkOcclusion(out_of_frame=False, consistency=True)({**given, "back": back})["occlusion"].plain()
    assert torch.equal(both, forward_backward_occlusion(given["flow"], back).plain())
    assert MarkOcclusion("behind", flow="back")({**given, "back": back})["behind"].frame == "image2"
    assert not MarkOcclusion().random


def test_mark_occlusion_says_what_it_lacks():
    flow = Flow(torch.zeros(2, 10, 12))
    for t, odd, said in (
        (MarkOcclusion(), {"image": Image(torch.zeros(1, 4, 4))}, "needs a flow"),
        (MarkOcclusion(flow="back"), {"flow": flow}, "needs a flow 'back'"),
        (MarkOcclusion(consistency=True), {"flow": flow}, "consistency=False"),
        (MarkOcclusion(), {"flow": flow, "occlusion": Mask(torch.zeros(10, 12, dtype=torch.bool), frame="image2")}, "lies on 'image2'"),
        (MarkOcclusion(), {"flow": flow, "occlusion": Mask(torch.zeros(1, 10, 12, dtype=torch.bool), kind="instance")}, "semantic"),
        (MarkOcclusion(), {"flow": flow, "occlusion": Mask(torch.zeros(9, 12, dtype=torch.bool))}, "canvas"),
    ):  # fmt: skip
        with pytest.raises(PlanError, match=said):
            t(odd)


# ---- swapping -------------------------------------------------------------------------------------------------------


def test_swapping_without_a_backward_flow_says_what_to_do():
    t = RandomSwapFrames(p=1.0)
    with pytest.raises(PlanError, match=r"views=\('image2', 'image1'\)\), or leave RandomSwapFrames out"):
        t(sample(backward=False))
    with pytest.raises(PlanError, match=r"disparity_to_flow\(d_right, right=True\)"):
        RandomStereoFlip(p=1.0)(sample(backward=False))
    with pytest.raises(PlanError, match="has 'image1' alone"):
        t({"image1": sample()["image1"]})
    assert RandomSwapFrames(p=0.0)(sample(backward=False))["flow"] is not None
    alone = sample()
    assert torch.equal(t({n: alone[n] for n in ("flow", "backward")})["flow"].plain(), alone["backward"].plain())


def test_swapping_tells_who_belongs_to_whom():
    mask = lambda value, frame: Mask(torch.full(SIZE, value, dtype=torch.uint8), frame=frame)
    base = {n: sample()[n] for n in ("image1", "image2", "flow", "backward")}
    two = {**base, "m1": mask(1, "image1"), "m2": mask(2, "image2")}
    out = RandomSwapFrames(p=1.0)(two)
    assert out["m1"].plain()[0, 0] == 2 and out["m1"].frame == "image1"
    three = {**two, "m3": mask(3, "image2")}
    with pytest.raises(PlanError, match=r"which of \['m1'\] on 'image1' belong to which of \['m2', 'm3'\]"):
        RandomSwapFrames(p=1.0)(three)
    out = RandomSwapFrames(p=1.0, pairs=(("m1", "m3"),))(three)
    assert out["m1"].plain()[0, 0] == 3 and out["m2"].frame == "image1" and out["m2"].plain()[0, 0] == 2
    with pytest.raises(PlanError, match="should lie one on each"):
        RandomSwapFrames(p=1.0, pairs=(("m2", "m3"),))(three)
    ids = Mask(torch.zeros(SIZE, dtype=torch.int64), frame="image2")  # another dtype: not a counterpart
    out = RandomSwapFrames(p=1.0)({**base, "m1": mask(1, "image1"), "ids": ids, "label": 4, "elsewhere": mask(5, "image3")})
    assert out["m1"].frame == "image2" and out["ids"].frame == "image1" and out["label"] == 4 and out["elsewhere"].frame == "image3"


def test_flows_to_a_third_frame_follow_their_content():
    base = {n: sample()[n] for n in ("image1", "image2", "flow", "backward")}
    far = {"image3": base["image1"], "next": Flow(torch.zeros(2, *SIZE), views=("image2", "image3"))}
    out = RandomSwapFrames(p=1.0)({**base, **far})
    assert out["next"].views == ("image1", "image3") and out["image3"] is far["image3"]


def test_frames_of_unequal_sizes_and_other_names_swap_too():
    given = {
        "a": Image(torch.zeros(1, 4, 5)), "b": Image(torch.ones(1, 6, 7)), "flow": Flow(torch.zeros(2, 4, 5), views=("a", "b"), target_size=(6, 7)),
        "back": Flow(torch.ones(2, 6, 7), views=("b", "a"), target_size=(4, 5)), "points": KeyPoints([[1.0, 2.0]], canvas_size=(4, 5)),
    }  # fmt: skip
    t = RandomSwapFrames(p=1.0, frames=("a", "b"))
    out = t(given)
    assert out["a"].canvas == (6, 7) and out["flow"].canvas == (6, 7) and out["flow"].target_size == (4, 5) and out["points"].frame == "b"
    params = {"swap": np.array([True, False])}
    after = t.after(params, T.Info.of([given, given]))
    assert after.sizes["a"].tolist() == [[6, 7], [4, 5]] and after.sizes["b"].tolist() == [[4, 5], [6, 7]]
    keys = Key.of(0, np.arange(6))
    mixed = RandomSwapFrames(p=0.5, frames=("a", "b"))(collate([given] * 6), key=keys)
    assert isinstance(mixed["a"], Ragged) and {m["frame"] for m in mixed["points"].metas} == {None, "b"}
    again = t(mixed, key=keys).samples()
    for row, before in zip(again, mixed.samples(), strict=True):
        assert row["a"].canvas == before["b"].canvas and row["points"].frame != before["points"].frame and row["points"].frame is not None


@pytest.mark.parametrize("t", [RandomSwapFrames(p=1.0), RandomStereoFlip(p=1.0)], ids=repr)
def test_the_way_back_from_a_swap(t):
    """Predictions on a swapped sample, with or without their counterparts, return to the frames of the original."""
    given = {n: v for n, v in sample().items() if n != "label"}
    info = T.Info.of([given])
    params = {"swap": np.array([True])}
    back = t.inverse(params, t(given), info)
    for name, leaf in given.items():
        if isinstance(leaf, torch.Tensor):
            same(back[name].plain(), leaf.plain(), 1e-4)
    alone = t.inverse(params, {"flow": t(given)["flow"]}, info)["flow"]
    assert alone.views == ("image2", "image1")
    same(alone.plain(), given["backward"].plain(), 1e-4)
    assert torch.equal(t.inverse({"swap": np.array([False])}, given, info)["image1"], given["image1"])
    assert set(t.inverse(params, {"image1": given["image1"]}, info)) == {"image2"}


# ---- stereo ---------------------------------------------------------------------------------------------------------


def test_disparity_is_a_flow():
    d = torch.tensor([[0.0, 2.5, torch.nan], [torch.inf, 7.0, 1.0]])
    flow = disparity_to_flow(d, valid=torch.tensor([[1, 1, 1], [1, 0, 1]]))
    assert flow.valid.tolist() == [[True, True, False], [False, False, True]] and flow.views == ("image1", "image2") and not flow.sparse
    assert flow.plain()[0, 0, :2].tolist() == [0.0, -2.5] and not torch.signbit(flow.plain()[0, 0, 0])
    assert flow_to_disparity(flow)[0, :2].tolist() == [0.0, 2.5] and flow_to_disparity(flow).isnan().sum() == 3
    right = disparity_to_flow(np.array([[3, 4]]), right=True, sparse=True)
    assert right.views == ("image2", "image1") and right.plain()[0].tolist() == [[3.0, 4.0]] and right.sparse
    assert flow_to_disparity(right, right=True).tolist() == [[3.0, 4.0]]
    assert disparity_to_flow(torch.zeros(2, 4, 5, dtype=torch.float64), views=("l", "r")).views == ("l", "r")
    assert disparity_to_flow(Mask(torch.ones(4, 5, dtype=torch.uint8)), valid=Mask(torch.ones(4, 5, dtype=torch.bool))).shape == (2, 4, 5)


def test_what_is_no_disparity_is_refused():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        disparity_to_flow(torch.tensor([[-1.0]]))
    assert disparity_to_flow(torch.tensor([[-1.0]]), valid=torch.tensor([[False]])).isnan().all()
    with pytest.raises(ValueError, match="not rectified"):
        flow_to_disparity(Flow(torch.tensor([-1.0, 0.5]).reshape(2, 1, 1)))
    with pytest.raises(ValueError, match="right=True"):
        flow_to_disparity(disparity_to_flow(torch.ones(2, 2), right=True))


def test_disparity_scales_with_the_width_alone():
    pair = {"flow": disparity_to_flow(torch.full((10, 20), 4.0))}
    out = T.Compose([T.Resize((30, 30)), T.RandomVerticalFlip(1)])(pair)["flow"]
    torch.testing.assert_close(flow_to_disparity(out), torch.full((30, 30), 6.0))
