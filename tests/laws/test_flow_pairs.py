"""Laws of two frames and their flow under the transforms that train flow networks: nothing comes loose, nothing is made up."""

import cv2
import pytest
import torch

import vdata
from tests.laws.test_together import SIZE, TOLERANCE, centres, field, frames, reading_error
from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask
from vdata.transforms.asymmetric import AsymmetricColorJitter
from vdata.transforms.eraser import RandomFlowErasing
from vdata.transforms.occlusion import MarkOcclusion, forward_backward_occlusion
from vdata.transforms.raft import RAFTAugment
from vdata.transforms.resize_and_crop import RandomResizeAndCrop, resize_and_crop
from vdata.transforms.stereo import RandomStereoFlip, disparity_to_flow, flow_to_disparity
from vdata.transforms.swap_frames import RandomSwapFrames

KEYS = range(40)
QUIET = {"jitter": (0, 0, 0, 0), "erase": 0.0}
CROP = (56, 72)
SPATIAL = RandomResizeAndCrop(CROP, -0.5, 0.8, h_flip_prob=0.5, v_flip_prob=0.5, room=0)


def affine_pair(valid=None, sparse=False):
    """f(x) = M x + c on the first frame, its exact inverse on the second, and points that correspond."""
    m, c = torch.tensor([[0.04, -0.03], [0.02, -0.05]]).double(), torch.tensor([2.0, -1.5]).double()
    there = centres(SIZE) @ m.T + c
    whole = torch.eye(2).double() + m
    back = (centres(SIZE) - c) @ torch.linalg.inv(whole).T - centres(SIZE)
    points = torch.rand(30, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([SIZE[1], SIZE[0]])
    other = points @ whole.T + c
    return {
        "image1": Image(torch.rand(3, *SIZE)), "image2": Image(torch.rand(3, *SIZE)),
        "flow": Flow(there.movedim(-1, 0).float(), valid=valid, sparse=sparse),
        "backward": Flow(back.movedim(-1, 0).float(), views=("image2", "image1"), sparse=sparse),
        "points1": KeyPoints(points, canvas_size=SIZE, frame="image1"), "points2": KeyPoints(other, canvas_size=SIZE, frame="image2"),
    }  # fmt: skip


def read(raster, at, mode="bilinear"):
    grid = 2 * at / torch.tensor([raster.shape[-1], raster.shape[-2]]) - 1
    return torch.nn.functional.grid_sample(raster[None].double(), grid[None, None], mode=mode, align_corners=False)[0, :, 0].T


def well_inside(at, margin=1.0):
    return ((at > margin) & (at < torch.tensor([CROP[1], CROP[0]]) - margin)).all(-1)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_points_that_correspond_still_do(sparse):
    """f'(T p1) = T p2 - T p1: the flow of an affine motion read at a moved point leads to its moved counterpart."""
    t, seen = RAFTAugment(CROP, -0.4, 0.7, sparse=sparse, **QUIET), 0
    for k in KEYS:
        out = t(affine_pair(sparse=sparse), key=Key.of(k))
        for flow, one, other in (("flow", "points1", "points2"), ("backward", "points2", "points1")):
            start, end = out[one].plain(), out[other].plain()
            inside = well_inside(start)
            found = read(out[flow].plain(), start[inside], "nearest" if sparse else "bilinear")
            apart = (found - (end - start)[inside]).abs().max() if inside.any() else 0.0
            # Read by nearest, the pixel is up to half a new and half an old one away, and the flow bends by 0.08 a pixel.
            assert apart < (0.2 if sparse else 1e-4)
            assert out[flow].sparse is sparse
            seen += int(inside.sum())
    assert seen > 500


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_image2_read_along_the_flow_is_image1(sparse):
    t = RAFTAugment(CROP, -0.4, 0.7, sparse=sparse, **QUIET)
    for k in range(12):
        error, count = reading_error(t(frames(sparse), key=Key.of(k)))
        assert count > 500 and error.max() < TOLERANCE and error.mean() < TOLERANCE / 4


def test_image2_read_along_the_flow_is_image1_in_batches():
    samples = [frames() for _ in range(4)]
    for out in RAFTAugment(CROP, -0.4, 0.7, **QUIET)(collate(samples), key=Key.of([3, 4, 5, 6])).samples():
        error, count = reading_error(out)
        assert count > 500 and error.max() < TOLERANCE


def test_the_way_there_and_back_stays_one():
    """b'(x + f'(x)) = -f'(x), and no pixel that lands inside is called hidden."""
    for k in KEYS:
        out = SPATIAL(affine_pair(), key=Key.of(k))
        flow, back = out["flow"], out["backward"]
        at = centres(CROP) + flow.plain().double().movedim(0, -1)
        inside = well_inside(at) & well_inside(centres(CROP))
        assert (read(back.plain(), at[inside]) + flow.plain().double().movedim(0, -1)[inside]).abs().max() < 1e-3
        assert not forward_backward_occlusion(flow, back).plain()[inside].any()


def pair(seed=0):
    """Everything that may lie on two frames."""
    g = torch.Generator().manual_seed(seed)
    valid = torch.rand(*SIZE, generator=g) > 0.2
    sample = affine_pair(valid)
    noise = lambda: (torch.rand(3, *SIZE, generator=g) * 255).to(torch.uint8)
    mask = lambda frame: Mask(torch.rand(*SIZE, generator=g) > 0.7, frame=frame)
    boxes = lambda frame: BoundingBoxes([[5.0, 6, 30, 40], [20, 20, 90, 60]], format="XYXY", canvas_size=SIZE, frame=frame)
    return {
        "__key__": f"pair-{seed}", **sample, "image1": Image(noise()), "image2": Image(noise()), "occlusion": mask("image1"),
        "boxes1": boxes("image1"), "boxes2": boxes("image2"),
    }  # fmt: skip


@pytest.mark.parametrize("t", [AsymmetricColorJitter(0.4, 0.4, 0.4, 0.16, p=0.5), RandomFlowErasing(sides=(10, 30)), RandomFlowErasing(sides=(10, 30), occlusion=None)], ids=repr)
def test_photometric_parts_leave_flows_to_the_bit(t):
    changed = 0
    for k in range(10):
        sample = pair(k)
        before = {n: sample[n].clone() for n in ("flow", "backward", "boxes1", "points2")}
        out = t(sample, key=Key.of(k))
        assert list(out) == list(sample)
        for name, old in before.items():
            assert torch.equal(out[name].plain().nan_to_num(1e9), old.plain().nan_to_num(1e9)) and type(out[name]) is type(old)
        assert isinstance(t, AsymmetricColorJitter) or torch.equal(out["image1"], sample["image1"])
        changed += not torch.equal(out["image2"], sample["image2"])
    assert changed > 2


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_validity_is_never_made(sparse):
    """Where the new flow is known, a known pixel is what was read; the share of known ones stays about what it was."""
    valid = torch.rand(*SIZE, generator=torch.Generator().manual_seed(1)) > 0.4
    for k in KEYS:
        sample = affine_pair(valid, sparse)
        seen = {**sample, "known": Mask(valid, frame="image1")}
        out = RAFTAugment(CROP, -0.4, 0.7, sparse=sparse, **QUIET)(seen, key=Key.of(k))
        known, nearest = out["flow"].valid.plain(), out["known"].plain()
        assert not (known & ~nearest).any()
        assert known.any()
        if sparse:  # by gathering neither rows nor density are lost, at any scale
            assert torch.equal(known, nearest) and 0.5 < known.float().mean() < 0.7


def test_swapped_twice_is_as_before():
    t, sample = RandomSwapFrames(p=1.0), pair()
    sample["lonely"] = Mask(torch.ones(*SIZE, dtype=torch.int32), frame="image2")
    once = t(sample, key=Key.of(0))
    assert torch.equal(once["image1"], sample["image2"]) and torch.equal(once["flow"].plain(), sample["backward"].plain())
    assert once["flow"].views == ("image1", "image2") and once["backward"].views == ("image2", "image1")
    assert torch.equal(once["points1"], sample["points2"]) and once["points1"].frame == "image1" and once["lonely"].frame == "image1"
    same(t(once, key=Key.of(1)), sample)


def same(out, sample):
    assert list(out) == list(sample)
    for name, value in sample.items():
        if isinstance(value, torch.Tensor):
            assert out[name].meta() == value.meta() and torch.equal(out[name].plain().nan_to_num(7e7), value.plain().nan_to_num(7e7))
        else:
            assert out[name] == value


def test_a_swap_between_two_moves_commutes_with_them():
    """Crop, swap, crop back in time is swap, then both crops: frames, flows and all on them know where they are."""
    for k in range(6):
        first, second = SPATIAL, RandomSwapFrames(p=1.0)
        one = T.Compose([first, second])(pair(k), key=Key.of(k))
        moved = first.apply(T.row(first.draw(Key.of(k).fold("Compose#0", "RandomResizeAndCrop#0"), T.Info.of([pair(k)])), 0), second(pair(k)))
        same(one, moved)


def test_read_as_one_with_other_moves_it_is_the_chain():
    moves = [SPATIAL, T.RandomHorizontalFlip(1), T.RandomCrop((40, 50))]
    for k in range(6):
        one, chain = (T.Compose(moves, fuse=fuse)(affine_pair(), key=Key.of(k)) for fuse in (True, False))
        for name in ("flow", "backward", "points1", "points2"):
            torch.testing.assert_close(one[name].plain(), chain[name].plain(), atol=1e-4, rtol=0)
        error, count = reading_error(T.Compose(moves, fuse=True)(frames(), key=Key.of(k)))
        assert count > 300 and error.max() < TOLERANCE


def scene(seed):
    """A left and a right disparity that agree: the same plane seen from both eyes."""
    x, y = centres(SIZE).unbind(-1)
    slope, base = 0.02 + 0.01 * (seed % 3), 6.0 + 0.02 * y
    left = base + slope * x  # d_l(x) = d_r(x - d_l(x))
    right = (base + slope * x) / (1 - slope)
    texture = lambda at: 0.5 + 0.4 * torch.sin(at / 9 + y / 13)
    return {
        "image1": Image(texture(x)[None].float()), "image2": Image(texture((x + base) / (1 - slope))[None].float()),
        "flow": disparity_to_flow(left.float()), "right": disparity_to_flow(right.float(), right=True),
    }  # fmt: skip


@pytest.mark.parametrize("t", [RandomStereoFlip(p=1.0), T.Compose([T.RandomCrop((50, 60)), RandomStereoFlip(p=1.0), T.Resize((70, 90)), T.RandomVerticalFlip(1)])], ids=repr)
def test_a_stereo_flip_leaves_a_stereo_pair(t):
    for k in range(6):
        before = scene(k)
        out = t(before, key=Key.of(k))
        disparity, other = flow_to_disparity(out["flow"]), flow_to_disparity(out["right"], right=True)  # raise if signs are wrong
        assert (disparity >= 0).all() and (other >= 0).all() and disparity.min() > 1
        assert not out["flow"].plain()[1].any()
        at = centres(disparity.shape) - torch.stack([disparity, torch.zeros_like(disparity)], -1).double()
        inside = ((at > 2) & (at < torch.tensor([disparity.shape[1] - 2, disparity.shape[0] - 2]))).all(-1)
        assert (read(out["image2"].plain(), at[inside])[:, 0] - out["image1"].plain().double()[0][inside]).abs().max() < 0.02
        assert (read(other[None], at[inside])[:, 0] - disparity.double()[inside]).abs().max() < 0.02
        wrong = T.RandomHorizontalFlip(1)(before)
        with pytest.raises(ValueError, match="RandomStereoFlip"):
            flow_to_disparity(wrong["flow"])


def test_an_erased_point_is_marked_wherever_the_crop_takes_it():
    """Erase and mark, then move: marked pixels end in a rectangle and others do not, to what nearest pixels cost."""
    pool = lambda m, by: torch.nn.functional.max_pool2d(m[None].float(), 2 * by + 1, 1, by)[0] > 0
    marked = 0
    for k in range(10):
        distinct = torch.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(1, *SIZE)  # no value comes twice: what changed was erased
        sample = {**pair(k), "image2": Image(distinct), "occlusion": Mask(torch.zeros(*SIZE, dtype=torch.bool), frame="image1")}
        out = RandomFlowErasing(p=1.0, sides=(15, 30))(sample, key=Key.of(k))
        out = SPATIAL({**out, "hidden": Mask((out["image2"].plain() != distinct)[0], frame="image2")}, key=Key.of(k))
        at = centres(CROP) + out["flow"].plain().double().movedim(0, -1)
        inside = well_inside(at, 0)
        hidden, occluded = out["hidden"].plain(), out["occlusion"].plain()[inside]
        near = read(pool(hidden, 2)[None], at[inside], "nearest")[:, 0]
        deep = read(~pool(~hidden, 2)[None], at[inside], "nearest")[:, 0]
        assert near[occluded].all() and not deep[~occluded].any()
        marked += int(occluded.sum())
    assert marked > 500


def test_colours_that_are_one_in_both_frames_stay_one():
    """Unless frames get colours of their own, both go through one function of colour, contrast included, though their means differ."""
    colours = torch.randint(0, 256, (3, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    dark = colours.long().sum(0).argsort()
    one = {"image1": Image(colours[:, dark[:30]].reshape(3, 5, 6)), "image2": Image(colours[:, dark[10:]].reshape(3, 3, 10))}
    own = AsymmetricColorJitter(0.4, 0.4, 0.4, 0.16, p=1.0)
    apart = 0
    for k in range(10):
        out = AsymmetricColorJitter(0.4, 0.9, 0.4, 0.16, p=0.0)(one, key=Key.of(k))
        assert torch.equal(out["image1"].plain().flatten(1)[:, 10:], out["image2"].plain().flatten(1)[:, :20])
        out = own(one, key=Key.of(k))
        apart += not torch.equal(out["image1"].plain().flatten(1)[:, 10:], out["image2"].plain().flatten(1)[:, :20])
        singly = T.ColorJitter(contrast=(1.9, 1.9))(one, key=Key.of(k))  # each frame about its own mean
        assert not torch.equal(singly["image1"].plain().flatten(1)[:, 10:], singly["image2"].plain().flatten(1)[:, :20])
    assert apart == 10


def warp_error(sample):
    """|image2 along the flow - image1|, mean over what is visible in both, a pixel away from what is not; and its share."""
    image1, image2 = (sample[n].plain().float() for n in ("image1", "image2"))
    flow = sample["flow"].plain().double()
    at = centres(flow.shape[-2:]) + flow.movedim(0, -1)
    hidden = torch.from_numpy(cv2.dilate(sample["occlusion"].plain().byte().numpy(), cv2.getStructuringElement(cv2.MORPH_RECT, (5, 5)))).bool()
    good = at.isfinite().all(-1) & ~hidden
    warped = read(image2, at[good])
    return (warped - image1.movedim(0, -1)[good]).abs().mean().item(), good.float().mean().item()


def test_real_photographs_still_match_after_raft():
    pipe = vdata.load("moving_photos", size=(128, 160), length=8)
    t = T.Compose([RAFTAugment((96, 128), -0.2, 0.5, **QUIET), MarkOcclusion()])
    before, after = [], []
    for k, sample in enumerate(pipe):
        before.append(warp_error(sample)[0])
        error, share = warp_error(t(sample, key=Key.of(k)))
        after.append(error)
        assert share > 0.5
    assert sum(after) < 1.25 * sum(before)
    still = [warp_error({**t(s, key=Key.of(k)), "flow": Flow(torch.zeros(2, 96, 128))})[0] for k, s in enumerate(pipe)]
    assert sum(still) > 2 * sum(after)


def test_a_flow_that_is_wrong_would_be_seen():
    sample = frames()
    out = resize_and_crop.where(SIZE, 100, 130, 5, 7, CROP, horizontal=True)
    move = {"height": 100, "width": 130, "top": 5, "left": 7, "size": CROP, "horizontal": True}
    moved = {n: resize_and_crop(v, **move) for n, v in sample.items()}
    assert out.size == CROP and reading_error(moved)[0].max() < TOLERANCE
    for wrong in (torch.tensor([-1.0, 1.0]), torch.tensor([96 / 130, 72 / 100])):
        flow = moved["flow"].like(moved["flow"].plain() * wrong.reshape(2, 1, 1))
        assert reading_error({**moved, "flow": flow})[0].max() > 3 * TOLERANCE
    assert field(centres(SIZE)).shape == (2, *SIZE)
