"""What must hold for every type at once: the group of flips, flow and key points, nothing known where nothing was."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vdata import Key
from vdata import transforms as T
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import Info, row
from vdata.transforms import functional as F

FORMATS = ("XYXY", "XYWH", "CXCYWH", "XYWHR", "CXCYWHR", "XYXYXYXY")
sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
seeds = st.integers(0, 2**32 - 1)


def corners(boxes):
    """[N, 4, 2], float64."""
    return F.convert_bounding_box_format(boxes.plain().double(), boxes.format, "XYXYXYXY").reshape(-1, 4, 2)


def far(a, b):
    """How far the boxes' corners are apart, at most, as sets: where the first one is, is a matter of taste."""
    apart = (corners(a)[:, :, None] - corners(b)[:, None]).abs().amax(-1)
    return float(torch.maximum(apart.amin(1), apart.amin(2)).amax()) if len(apart) else 0.0


def everything(size, seed, format="XYXY", dtype=torch.float32):
    """One value of every spatial type, coordinates in quarters (exact in float32)."""
    g = torch.Generator().manual_seed(seed)
    quarters = lambda *shape: torch.randint(0, 4 * max(size), shape, generator=g) / 4
    upright = torch.cat([c := quarters(3, 2), c + 1 + quarters(3, 2)], 1).to(dtype)
    if format in FORMATS[3:]:
        upright = torch.cat([quarters(3, 2), 1 + quarters(3, 2), torch.tensor([[30.0], [-75.0], [180.0]])], 1).to(dtype)
    values = F.convert_bounding_box_format(upright, "XYXY" if format in FORMATS[:3] else "CXCYWHR", format)
    flow = torch.randint(-64, 64, (2, *size), generator=g) / 8
    return {
        "image": Image(torch.randint(0, 256, (3, *size), generator=g, dtype=torch.uint8)),
        "mask": Mask(torch.randint(0, 2**60, size, generator=g)),
        "boxes": BoundingBoxes(values, format=format, canvas_size=size),
        "points": KeyPoints(quarters(5, 2).to(dtype), canvas_size=size),
        "flow": Flow(flow.to(dtype), valid=torch.rand(size, generator=g) > 0.2, views=("image", "next")),
        "video": Video(torch.rand(2, 3, *size, generator=g)),
    }


def agree(a, b, atol=0.0):
    for name in a:
        assert type(a[name]) is type(b[name]) and a[name].canvas == b[name].canvas and a[name].dtype == b[name].dtype, name
        if isinstance(a[name], BoundingBoxes):
            assert far(a[name], b[name]) <= max(atol, 1e-4 if a[name].format in FORMATS[3:] else 0)
        elif isinstance(a[name], Flow):
            assert torch.allclose(a[name].plain(), b[name].plain(), atol=atol, equal_nan=True) and a[name].target_size == b[name].target_size
        elif a[name].is_floating_point():
            assert torch.allclose(a[name].plain(), b[name].plain(), atol=atol, rtol=0), name
        else:
            assert torch.equal(a[name].plain(), b[name].plain()), name


def moved(sample, *verbs):
    for verb in verbs:
        sample = {n: verb(v) for n, v in sample.items()}
    return sample


def turned(sample):
    """Rotated by 180 degrees, written out without any verb of ours."""
    h, w = sample["image"].canvas
    upside = lambda x: x.like(x.plain().flip(-1, -2))
    boxes = F.convert_bounding_box_format(sample["boxes"], new_format="XYXYXYXY")
    boxes = boxes.like(torch.tensor([w, h] * 4).to(boxes.dtype) - boxes.plain())
    points = sample["points"].like(torch.tensor([w, h]).to(sample["points"].dtype) - sample["points"].plain())
    flow = sample["flow"].like(-sample["flow"].plain().flip(-1, -2))
    back = sample["boxes"].like(F.convert_bounding_box_format(boxes, new_format=sample["boxes"].format).plain())
    return {**{n: upside(sample[n]) for n in ("image", "mask", "video")}, "boxes": back, "points": points, "flow": flow}


@given(sizes, seeds, st.sampled_from(FORMATS))
def test_flips_are_the_group_of_flips_on_all_types_at_once(size, seed, format):
    """Invariant 4: h h = v v = 1, h v = v h = half a turn; bit for bit (turned boxes to 1e-4 of a pixel)."""
    s = everything(size, seed, format)
    h, v = F.horizontal_flip, F.vertical_flip
    agree(moved(s, h, h), s)
    agree(moved(s, v, v), s)
    agree(moved(s, h, v), moved(s, v, h))
    agree(moved(s, h, v), turned(s), 1e-4)


@given(sizes, seeds, st.sampled_from(FORMATS), st.tuples(*[st.integers(0, 5)] * 4), st.sampled_from(["constant", "edge", "reflect", "symmetric"]))
def test_a_crop_undoes_a_pad(size, seed, format, padding, mode):
    """Invariant 12."""
    s = {n: v for n, v in everything(size, seed, format).items() if n != "boxes"}
    left, top, _, _ = padding
    agree(moved(s, lambda x: F.pad(x, padding, padding_mode=mode), lambda x: F.crop(x, top, left, *size)), s)
    boxes = everything(size, seed, format)["boxes"]
    there = F.pad(boxes, padding)
    assert torch.allclose(F.crop(there.like(there.plain()), top, left, *size).plain(), F.crop(boxes, 0, 0, *size).plain(), atol=1e-4)


@given(sizes, sizes, seeds, st.sampled_from(["XYXY", "XYWH", "CXCYWH", "XYXYXYXY"]))
def test_a_flip_commutes_with_resize_crop_and_pad(size, new, seed, format):
    """Invariant 11: windows mirrored, sides swapped. Pictures to one level (resampling adds in another order)."""
    s = everything(size, seed, format)
    del s["mask"]  # nearest: a tie (a centre on a pixel's border) goes to the right before and to the left after
    h, v = F.horizontal_flip, F.vertical_flip
    for flip in (h, v):
        a, b = moved(s, flip, lambda x: F.resize(x, new)), moved(s, lambda x: F.resize(x, new), flip)
        image_a, image_b = a.pop("image"), b.pop("image")
        assert (image_a.int() - image_b.int()).abs().max() <= 1
        agree(a, b, 2e-4)
    s = everything(size, seed, format)
    top, left, height, width = seed % 5 - 2, seed // 5 % 5 - 2, new[0], new[1]
    mirrored = size[1] - left - width
    agree(moved(s, h, lambda x: F.crop(x, top, mirrored, height, width)), moved(s, lambda x: F.crop(x, top, left, height, width), h), 1e-4)
    agree(moved(s, v, lambda x: F.pad(x, (1, 2, 3, 4))), moved(s, lambda x: F.pad(x, (1, 4, 3, 2)), v), 1e-4)


# Geometric transforms that fit a 24 x 32 canvas; what follows binds all of them, and chains of them.
GEOMETRIC = [
    T.RandomHorizontalFlip(1), T.RandomVerticalFlip(1), T.RandomCrop((15, 19)), T.RandomCrop(40, (3, 4), True), T.RandomCrop(28, 8, padding_mode="reflect"),
    T.CenterCrop((30, 15)), T.CenterCrop(15), T.Pad((1, 2, 3, 4)), T.Resize((19, 40)), T.Resize(31), T.RandomResizedCrop((22, 26), scale=(0.3, 1)),
    T.Compose([T.RandomResizedCrop((30, 28), scale=(0.5, 1)), T.RandomHorizontalFlip(1), T.Pad((3, 0)), T.RandomCrop(26)]),
    T.Compose([T.RandomVerticalFlip(1), T.Resize((18, 41)), T.RandomHorizontalFlip(1), T.CenterCrop(30)]),
]  # fmt: skip
each_geometric = pytest.mark.parametrize("t", GEOMETRIC, ids=repr)
SIZE = (24, 32)


def pair(flow, size=SIZE, **more):
    blank = lambda: Image(torch.zeros(1, *size))
    return {"image1": blank(), "image2": blank(), "flow": flow, **more}


def centres(size):
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).double()


def affine_flow(seed, size=SIZE):
    """f(x) = M x + c with a moderate M, float64; and the function itself."""
    g = torch.Generator().manual_seed(seed)
    m, c = (torch.rand(2, 2, generator=g).double() - 0.5) / 4, torch.randn(2, generator=g).double() * 3
    field = lambda p: p @ m.T + c
    return Flow(field(centres(size)).movedim(-1, 0), dtype=torch.float64), field


def read(flow, points, margin=3):
    """Bilinear values of a flow at points, and where all pixels within `margin` are known."""
    known = torch.nn.functional.pad(flow.valid.plain().double(), [margin] * 4)
    solid = -torch.nn.functional.max_pool2d(-known[None], 2 * margin + 1, stride=1)[0] > 0.5
    h, w = flow.canvas
    at = points - 0.5
    low = at.floor().long()
    inside = ((low >= 0) & (low < torch.tensor([w - 1, h - 1]))).all(-1)
    j, i = (low.clamp(min=0).minimum(torch.tensor([w - 2, h - 2]))).unbind(-1)
    fx, fy = (at - low).unbind(-1)
    f = flow.plain()
    values = (f[:, i, j] * (1 - fx) + f[:, i, j + 1] * fx) * (1 - fy) + (f[:, i + 1, j] * (1 - fx) + f[:, i + 1, j + 1] * fx) * fy
    return values.movedim(0, -1), inside & solid[i, j]


@each_geometric
def test_flow_and_key_points_tell_the_same_story(t):
    """Invariant 5: points p1 of frame 1 and p2 = p1 + f(p1) of frame 2 stay joined by the flow, also through chains."""
    checked = 0
    for position in range(8):
        flow, field = affine_flow(position)
        p1 = torch.rand(200, 2, generator=torch.Generator().manual_seed(position)).double() * torch.tensor([SIZE[1], SIZE[0]])
        points = {"p1": KeyPoints(p1, canvas_size=SIZE, frame="image1"), "p2": KeyPoints(p1 + field(p1), canvas_size=SIZE, frame="image2")}
        out = t(pair(flow, **points), key=Key.of(0, 0, position))
        values, solid = read(out["flow"], out["p1"].plain())
        assert torch.allclose(values[solid], (out["p2"].plain() - out["p1"].plain())[solid], atol=1e-9)
        checked += int(solid.sum())
    assert checked > 50


@pytest.mark.parametrize("t", [t for t in GEOMETRIC if "Random" not in repr(t)] + [T.Compose([T.CenterCrop(20), T.Resize((25, 31)), T.Pad(3)])], ids=repr)
def test_frames_of_unequal_sizes(t):
    """Each frame is moved by its own map; the flow follows both, and knows its new target's size."""
    flow, field = affine_flow(3)
    flow = flow.like(flow.plain(), target_size=(20, 45))
    p1 = torch.rand(300, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([SIZE[1], SIZE[0]])
    sample = {
        "image1": Image(torch.zeros(1, *SIZE)), "image2": Image(torch.zeros(1, 20, 45)), "flow": flow,
        "p1": KeyPoints(p1, canvas_size=SIZE, frame="image1"), "p2": KeyPoints(p1 + field(p1), canvas_size=(20, 45), frame="image2"),
    }  # fmt: skip
    out = t(sample)
    assert out["flow"].target_size == out["image2"].canvas == out["p2"].canvas and out["flow"].canvas == out["image1"].canvas
    values, solid = read(out["flow"], out["p1"].plain())
    assert solid.sum() > 10 and torch.allclose(values[solid], (out["p2"].plain() - out["p1"].plain())[solid], atol=1e-9)


@each_geometric
@pytest.mark.parametrize("sparse", [False, True])
def test_zero_constant_and_affine_flows(t, sparse):
    """Invariants 6, 7, 8 and 9: zero stays zero; a constant c becomes A c, also read sparsely; trace and determinant stay."""
    for position in range(4):
        key = Key.of(0, 0, position)
        valid = torch.rand(SIZE, generator=torch.Generator().manual_seed(position)) > 0.2
        zero = t(pair(Flow(torch.zeros(2, *SIZE), valid=valid, sparse=sparse)), key=key)["flow"]
        assert zero.valid.any() and (zero.fill(0) == 0).all()
        c = torch.tensor([3.0, -2.0])
        ends = KeyPoints(torch.stack([torch.tensor([5.0, 5.0]), torch.tensor([5.0, 5.0]) + c]).double(), canvas_size=SIZE, frame="image1")
        constant = t(pair(Flow(c.reshape(2, 1, 1).expand(2, *SIZE), valid=valid, sparse=sparse), ends=ends), key=key)
        expected = (constant["ends"].plain()[1] - constant["ends"].plain()[0]).float()
        known = constant["flow"].plain()[:, constant["flow"].valid.plain()]
        assert torch.allclose(known, expected[:, None].expand_as(known), rtol=1e-6, atol=1e-5)
        if sparse:
            continue
        flow, _ = affine_flow(position)
        jacobian = lambda f, i, j: torch.stack([f[:, i, j + 1] - f[:, i, j], f[:, i + 1, j] - f[:, i, j]], 1)
        before, out = jacobian(flow.plain(), 3, 3), t(pair(flow), key=key)["flow"]
        _, solid = read(out, centres(out.canvas).reshape(-1, 2))
        i, j = divmod(int(solid.nonzero()[0]), out.canvas[1])
        after = jacobian(out.plain(), i, j)
        assert torch.allclose(torch.linalg.det(after), torch.linalg.det(before)) and torch.allclose(after.trace(), before.trace())


@each_geometric
@pytest.mark.parametrize("sparse", [False, True])
def test_nothing_becomes_known(t, sparse):
    """Invariant 14: a pixel is known only where the old pixel under its centre was; new pixels never are."""
    for position in range(6):
        key = Key.of(1, 0, position)
        valid = torch.rand(SIZE, generator=torch.Generator().manual_seed(position)) > 0.3
        flow = Flow(torch.randn(2, *SIZE, generator=torch.Generator().manual_seed(position)), valid=valid, sparse=sparse)
        out = t(pair(flow, mask=Mask(valid.to(torch.int16), ignore_index=-1, frame="image1")), key=key)
        assert not (out["flow"].valid.plain() & (out["mask"].plain() != 1)).any() or not sparse
        if "Resize" not in repr(t):
            assert torch.equal(out["flow"].valid.plain(), out["mask"].plain() == 1) or "reflect" in repr(t)
        all_known = t(pair(Flow(flow.fill(0), sparse=sparse), canvas=Mask(torch.ones(SIZE, dtype=torch.int16), frame="image1")), key=key)
        if "reflect" not in repr(t):
            assert torch.equal(all_known["flow"].valid.plain(), all_known["canvas"].plain() == 1)


def test_dense_flow_is_read_between_known_pixels_only():
    flow = Flow(torch.tensor([[[0.0, 4.0, float("nan"), 8.0]]]).expand(2, 1, 4).contiguous())
    out = F.resize(flow, (1, 8)).plain()[0, 0] / 2  # vectors grow with the canvas
    nan = float("nan")
    assert torch.allclose(out, torch.tensor([0.0, 1.0, 3.0, nan, nan, nan, nan, 8.0]), equal_nan=True)
    sparse = F.resize(Flow(flow.plain(), sparse=True), (1, 8)).plain()[0, 0] / 2
    assert torch.allclose(sparse, torch.tensor([0.0, 0.0, 4.0, 4.0, nan, nan, 8.0, 8.0]), equal_nan=True)
    thirds = F.resize(flow, (1, 12)).plain()[0, 0] / 3  # every third centre lies on an old one: its neighbours weigh nothing
    assert torch.allclose(thirds[1::3], torch.tensor([0.0, 4.0, nan, 8.0]), equal_nan=True)


@given(sizes, sizes, seeds)
def test_dense_flow_is_torchs_bilinear_where_all_is_known(size, new, seed):
    flow = torch.randn(2, *size, generator=torch.Generator().manual_seed(seed))
    expected = torch.nn.functional.interpolate(flow[None].double(), new, mode="bilinear", align_corners=False)[0]
    ratio = torch.tensor([new[1] / size[1], new[0] / size[0]]).reshape(2, 1, 1)
    assert torch.allclose(F.resize(Flow(flow), new).plain().double(), expected * ratio, atol=1e-4)


@each_geometric
@pytest.mark.parametrize("format", FORMATS)
def test_empty_annotations_keep_their_canvas(t, format):
    """Invariant 20."""
    empty = {
        "boxes": BoundingBoxes([], format=format, canvas_size=SIZE, frame="image1"), "points": KeyPoints(torch.zeros(0, 4, 2), canvas_size=SIZE, frame="image2", visibility=torch.zeros(0, 4)),
        "masks": Mask(torch.zeros(0, *SIZE, dtype=torch.bool), kind="instance", frame="image1"),
    }  # fmt: skip
    out = t(pair(Flow(torch.zeros(2, *SIZE)), **empty))
    assert out["boxes"].canvas_size == out["points"].canvas_size == out["image1"].canvas == out["masks"].canvas
    assert out["boxes"].shape == empty["boxes"].shape and out["points"].shape == (0, 4, 2) and out["masks"].shape[0] == 0 and out["points"].visibility.shape == (0, 4)


WINDOWED = [T.RandomCrop((9, 14)), T.CenterCrop((10, 31)), T.CenterCrop(11), T.RandomResizedCrop((10, 16)), T.RandomResizedCrop((40, 50), interpolation="bicubic"), T.RandomCrop(20, pad_if_needed=True)]


@pytest.mark.parametrize("t", WINDOWED, ids=repr)
def test_a_decoder_need_only_deliver_the_window(t):
    """op(leaf) == after_window(leaf[window]), bit for bit, for every raster."""
    raster = {n: v for n, v in everything(SIZE, 5).items() if n in ("image", "mask", "video", "flow")}
    raster["float"] = Image(torch.rand(3, *SIZE))
    raster["interleaved"] = Image(raster["image"].plain().permute(1, 2, 0).contiguous().permute(2, 0, 1))
    raster["masks"] = Mask(torch.rand(4, *SIZE) > 0.5, kind="instance")
    raster["sparse"] = Flow(raster["flow"].plain(), sparse=True)
    info = Info({"image": np.tile([SIZE], (10, 1))}, count=10)
    params = t.draw(Key.of(0, 0, np.arange(10)), info)
    for b in range(10):
        one = row(params, b)
        window = t.window(one, SIZE)
        top, left, height, width = window
        for name, leaf in raster.items():
            whole = t.op(leaf, **t.place(one, SIZE))
            decoded = leaf.like(leaf.plain()[..., top : top + height, left : left + width].clone())
            if isinstance(leaf, Flow):
                decoded = decoded.like(decoded.plain(), target_size=(height, width))
            part = t.after_window(decoded, one)
            assert part.canvas == whole.canvas and part.meta() == whole.meta(), name
            if name == "interleaved" and isinstance(t, T.RandomResizedCrop):  # OpenCV resizes it
                assert int((part.plain().int() - whole.plain().int()).abs().max()) <= 1
                continue
            assert torch.equal(part.plain().nan_to_num(77) if part.is_floating_point() else part.plain(), whole.plain().nan_to_num(77) if part.is_floating_point() else whole.plain()), name


def test_no_window_where_more_than_the_canvas_is_read():
    assert T.CenterCrop((10, 33)).window({}, SIZE) is None and T.Resize(3).window({}, SIZE) is None
    padded = T.RandomCrop(20, 1)
    assert padded.window(row(padded.draw(Key.of(1), Info({"image": np.array([SIZE])})), 0), SIZE) is None


@each_geometric
def test_colour_draws_leave_geometry_alone_and_geometry_is_the_same_for_any_picture(t):
    """Invariants 13 and 17: params are a function of key and sizes, not of pixels, types or neighbours."""
    key = Key.of(4, 0, 9)
    alone = T.Compose([t]).draw(key, Info.of([pair(affine_flow(0)[0])]))["children"][0]
    after = T.Compose([T.ColorJitter(0.5, 0.5, 0.5, 0.5), t]).draw(key, Info({"x": np.array([SIZE])}))["children"][1]
    assert row(alone, 0) == row(after, 0)
