"""The invariants of flow and of the dihedral group, for every warp: laws 3 and 5 beyond flips, crops and resizes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vdata
from vdata import Key, metrics
from vdata import transforms as T
from vdata.batch import collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import functional as F


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).parent
together, flow_laws = loaded(HERE / "test_together.py"), loaded(HERE.parent / "unit" / "test_transforms_laws.py")

WARPS = [
    T.RandomRotation(40, interpolation="bilinear"), T.RandomRotation(40, interpolation="bilinear", expand=True), T.RandomRotation((90, 90)), T.RandomAffine(30, (0.1, 0.1), (0.7, 1.3), 15, interpolation="bilinear"),
    T.RandomPerspective(0.4, 1.0), T.ElasticTransform(150.0, 7.0), T.GridDistortion(4, 0.25, p=1.0), T.RandomDihedral(), T.RandomTranspose(1), T.RandomRotate90(1.0),
    T.RandomZoomOut(side_range=(1.0, 1.6), p=1.0), T.ScaleJitter((60, 90), (0.7, 1.3)), T.RandomResize(60, 90), T.RandomShortestSize([60, 80]), T.Letterbox((80, 80), fill=0), T.ResizeLongest(80), T.PadToMultiple(32, padding_mode="constant"),
    T.FixedSizeCrop((64, 88)), T.RandomResizeAndCrop((48, 64)), T.Compose([T.RandomAffine(20, interpolation="bilinear"), T.RandomPerspective(0.2, 1.0), T.RandomHorizontalFlip(1)]),
    T.Compose([T.RandomAffine(20, interpolation="bilinear"), T.RandomResizedCrop((60, 70), scale=(0.5, 1)), T.RandomHorizontalFlip(1)], fuse=True),
    T.Compose([T.RandomPerspective(0.3, 1.0), T.RandomRotation(20, interpolation="bilinear"), T.Resize((70, 90), antialias=False)], fuse=True),
    T.Compose([T.ElasticTransform(120.0, 7.0), T.RandomAffine(15, interpolation="bilinear"), T.RandomVerticalFlip(1)], fuse=True),
]  # fmt: skip
each_warp = pytest.mark.parametrize("t", WARPS, ids=lambda t: repr(t)[:90])


@each_warp
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_image2_read_along_the_flow_is_image1(t, sparse):
    """Invariant 1, on frames written down as functions."""
    for position in range(3):
        error, count = together.reading_error(t(together.frames(sparse), key=Key.of(0, 0, position)))
        assert count > 300 and error.quantile(0.99) < together.TOLERANCE and error.mean() < together.TOLERANCE / 4


@each_warp
def test_flow_and_key_points_tell_the_same_story(t):
    """Invariant 5: what joins p1 to p2 = p1 + f(p1) still joins them, whatever map each frame goes by."""
    checked = 0
    for position in range(4):
        flow, field = flow_laws.affine_flow(position, (72, 96))
        p1 = torch.rand(300, 2, generator=torch.Generator().manual_seed(position)).double() * torch.tensor([96, 72])
        points = {"p1": KeyPoints(p1, canvas_size=(72, 96), frame="image1"), "p2": KeyPoints(p1 + field(p1), canvas_size=(72, 96), frame="image2")}
        out = t(flow_laws.pair(flow, (72, 96), **points), key=Key.of(0, 0, position))
        values, solid = flow_laws.read(out["flow"], out["p1"].plain())
        error = (values - (out["p2"].plain() - out["p1"].plain()))[solid].norm(dim=-1)
        # Straight maps keep an affine flow affine, so reading between pixels costs nothing; bent ones make it bend.
        bent = any(w in repr(t) for w in ("Perspective", "Elastic", "Grid"))
        assert error.numel() > 20 and error.max() < (0.2 if bent else 1e-4)
        checked += error.numel()
    assert checked > 300


@each_warp
@pytest.mark.parametrize("sparse", [False, True])
def test_zero_flow_stays_zero_and_nothing_becomes_known(t, sparse):
    """Invariants 6 and 14."""
    for position in range(3):
        valid = torch.rand((72, 96), generator=torch.Generator().manual_seed(position)) > 0.2
        known = Mask(valid.to(torch.int16), ignore_index=-1, frame="image1")
        out = t(flow_laws.pair(Flow(torch.zeros(2, 72, 96), valid=valid, sparse=sparse), (72, 96), mask=known), key=Key.of(2, 0, position))
        assert out["flow"].valid.any() and out["flow"].fill(0).abs().max() < 1e-3
        if sparse and "fuse" not in repr(t):
            assert not (out["flow"].valid.plain() & (out["mask"].plain() != 1)).any()


@each_warp
def test_functoriality_a_batch_and_its_samples(t):
    """Invariant 19: many under many maps in one call, and each alone."""
    samples = [together.frames(dtype=torch.float32) for _ in range(4)]
    keys = Key.of(5, 0, np.arange(4))
    moved, alone = t(collate(samples), key=keys), collate([t(s, key=keys[b]) for b, s in enumerate(samples)])
    for name in moved:
        for got, want in zip(moved[name], alone[name], strict=True):
            error = (got.plain().nan_to_num(77) - want.plain().nan_to_num(77)).abs()
            assert got.shape == want.shape and (error > (2e-3 if name == "flow" else 5e-3)).double().mean() < 2e-3


H, V, R, TR = (F.horizontal_flip, F.vertical_flip, F.rot90, F.transpose)
TABLE = [
    ([H, H], []), ([V, V], []), ([TR, TR], []), ([H, V], [V, H]), ([H, V], [R, R]), ([R] * 4, []), ([R, R, R], [lambda x: F.rot90(x, 3)]), ([R, V], [TR]), ([H, R], [TR]),
    ([R, H], [lambda x: F.dihedral(x, 7)]), ([TR, H, TR], [V]), ([lambda x: F.dihedral(x, 5)], [TR]), ([lambda x: F.dihedral(x, 6)], [V]), ([lambda x: F.dihedral(x, 4)], [H]),
]  # fmt: skip
TURNS = [([lambda x: F.rotate(x, 90.0, expand=True)], [R]), ([lambda x: F.rotate(x, -90.0, expand=True)], [R, R, R]), ([lambda x: F.rotate(x, 180.0)], [R, R])]


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.integers(0, 2**20), st.sampled_from(flow_laws.FORMATS), st.sampled_from([torch.uint8, torch.uint16, torch.float16, torch.float32, torch.bool]), st.sampled_from([1, 3, 4]))
def test_the_dihedral_group_on_all_types_at_once(size, seed, format, dtype, channels):
    """Invariant 4, to the bit (turned boxes to 1e-4 of a pixel)."""
    s = flow_laws.everything(size, seed, format)
    s["image"] = Image((torch.rand(channels, *size, generator=torch.Generator().manual_seed(seed)) * 200).to(dtype))
    for one, other in TABLE:
        flow_laws.agree(flow_laws.moved(s, *one), flow_laws.moved(s, *other), 1e-4)
    del s["boxes"]  # which rotate cuts to the canvas
    for one, other in TURNS:
        flow_laws.agree(flow_laws.moved(s, *one), flow_laws.moved(s, *other), 1e-4)


def test_a_quarter_turn_is_torchs():
    x = torch.arange(24).reshape(2, 3, 4)
    for k in range(-3, 6):
        assert torch.equal(F.rot90(Image(x), k).plain(), torch.rot90(x, k, (-2, -1)))
    assert torch.equal(F.transpose(Video(x[None])).plain(), x[None].transpose(-1, -2))


def test_isometries_keep_lengths_and_a_resize_scales_them():
    """Invariant 9."""
    flow = Flow(torch.randn(2, 40, 60, generator=torch.Generator().manual_seed(0)), sparse=True)
    for verb in (lambda x: F.rotate(x, 33.0), H, TR, R):
        out = verb(flow)
        lengths, before = out.plain().norm(dim=0), flow.plain().norm(dim=0)
        known = lengths[lengths.isfinite()]
        assert ((known[:200, None] - before.reshape(1, -1)).abs().amin(1) < 1e-4).all()
    half = F.resize(Flow(torch.full((2, 40, 60), 3.0)), (20, 30))
    assert torch.allclose(half.plain(), torch.full((2, 20, 30), 1.5))


@given(st.floats(-180, 180), st.floats(-180, 180), st.integers(0, 100))
def test_maps_compose_and_have_inverses(first, second, seed):
    """Invariants 2 and 3, on points: rotations about the middle add, and the way back is exact."""
    points = KeyPoints(torch.rand(20, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 50, canvas_size=(50, 50))
    assert torch.allclose(F.rotate(F.rotate(points, first), second).plain(), F.rotate(points, first + second).plain(), atol=1e-9)
    assert torch.allclose(F.rotate(F.rotate(points, first), -first).plain(), points.plain(), atol=1e-9)


def test_mask_extents_lie_within_the_moved_box():
    """Invariant 16: the box of the moved mask lies in the moved box of the mask; for rectangles under affine maps it is it."""
    mask = torch.zeros(80, 100, dtype=torch.bool)
    mask[20:50, 30:70] = True
    box = BoundingBoxes([[30.0, 20, 70, 50]], format="XYXY", canvas_size=(80, 100))
    for t in WARPS[:10]:
        for position in range(5):
            out = t({"mask": Mask(mask[None], kind="instance"), "box": box}, key=Key.of(3, 0, position))
            i, j = out["mask"].plain()[0].nonzero().unbind(-1)
            x1, y1, x2, y2 = out["box"].plain()[0].tolist()
            assert x1 <= j.min() + 1 and y1 <= i.min() + 1 and x2 >= j.max() and y2 >= i.max()
            if "Perspective" not in repr(t) and "Elastic" not in repr(t):
                assert max(abs(x1 - j.min()), abs(y1 - i.min()), abs(x2 - j.max() - 1), abs(y2 - i.max() - 1)) < 1.6


def test_real_photographs_with_known_motion_stay_consistent():
    """The second photograph read along the flow is the first, as closely after a warp as before it."""
    pairs = vdata.load("moving_photos")
    warps = [T.RandomAffine(15, (0.05, 0.05), (0.9, 1.2), 5, interpolation="bilinear"), T.RandomPerspective(0.2, 1.0), T.ElasticTransform(100.0, 8.0), T.RandomRotation(20, interpolation="bilinear", expand=True)]
    for index in (3, 8):
        sample = pairs[index]
        before = warp_error(sample)
        for t in warps:
            assert warp_error(t(sample, key=Key.of(index))) < 1.6 * before + 1.0


def warp_error(sample):
    """Mean grey levels between frame 1 and frame 2 read along the flow, where nothing is hidden or leaves the frame."""
    flow = sample["flow"].plain()
    h, w = flow.shape[-2:]
    at = torch.stack(torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")[::-1], -1) + flow.movedim(0, -1)
    hidden = sample["occlusion"].plain().bool()
    seen = at.isfinite().all(-1) & (at > 2).all(-1) & (at[..., 0] < w - 2) & (at[..., 1] < h - 2) & ~hidden
    grid = torch.nan_to_num(2 * at / torch.tensor([w, h]) - 1, nan=-9.0)
    read = torch.nn.functional.grid_sample(sample["image2"].plain()[None].float(), grid[None].float(), align_corners=False)[0]
    new = (sample["image1"].plain() == 0).all(0) | (read.round() == 0).all(0)
    return float((read - sample["image1"].plain().float()).abs().mean(0)[seen & ~new].median())


def test_forward_and_backward_stay_inverse():
    """Invariant 15: two flows that undo each other still do after any warp of both frames."""
    c = torch.tensor([4.0, -3.0]).reshape(2, 1, 1)
    pair = {
        "image1": Image(torch.zeros(1, 60, 80)), "image2": Image(torch.zeros(1, 60, 80)), "flow": Flow(c.expand(2, 60, 80).clone()),
        "back": Flow(-c.expand(2, 60, 80).clone(), views=("image2", "image1")),
    }  # fmt: skip
    for t in [*WARPS[:6], T.RandomRelativeMotion(5)]:
        out = t(pair, key=Key.of(6))
        hidden = F.forward_backward_occlusion(out["flow"], out["back"], alpha1=0.0, alpha2=0.02).plain()
        inside = ~F.out_of_frame(out["flow"]).plain() & out["flow"].valid.plain()
        core = -torch.nn.functional.max_pool2d(-inside.float()[None], 9, stride=1, padding=4)[0] > 0.5
        assert core.sum() > 300 and hidden[core].float().mean() < 0.02, t
    assert metrics.endpoint_error(pair["flow"].plain(), pair["flow"]) == 0
