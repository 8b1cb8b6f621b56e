"""Laws of turning, warping and bending the canvas: all types are moved by one map, forth and back, alone and in batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.laws import test_together as together
from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import functional as F
from vdata.transforms._bent import Bent
from vdata.transforms._map import push_flow

TOLERANCE, centres, frames, reading_error = together.TOLERANCE, together.centres, together.frames, together.reading_error

BILINEAR = {"interpolation": "bilinear"}
CLASSES = [
    T.RandomRotation(40, **BILINEAR), T.RandomRotation(180, expand=True, **BILINEAR), T.RandomRotation((-20, 70), center=(20, 30), **BILINEAR), T.RandomRotation((90, 90), expand=True),
    T.RandomAffine(25, (0.1, 0.15), (0.8, 1.25), (-10, 10, -5, 5), **BILINEAR), T.RandomAffine(0, (0.2, 0.2), (0.9, 1.1), **BILINEAR), T.RandomPerspective(0.4, 1.0),
    T.ElasticTransform(60.0, 6.0), T.ElasticTransform((400.0, 90.0), (7.0, 12.0)), T.GridDistortion(4, 0.4, 1.0), T.GridDistortion(3, (-0.6, 0.9), 1.0),
    T.RandomTranspose(1), T.RandomRotate90(1), T.RandomDihedral(),
]  # fmt: skip
PAIRS = [
    T.RandomRelativeMotion(10, (0.05, 0.05), (0.9, 1.1)),
    T.Compose([T.RandomAffine(20, (0.1, 0.1), **BILINEAR), T.RandomRelativeMotion(6), T.ElasticTransform(60.0, 6.0), T.GridDistortion(p=1.0)], fuse=True),
]
SIZES = st.tuples(st.integers(1, 13), st.integers(1, 13))


# -- the law of two frames, image2 read along the flow is image1 (the helpers are test_together's) ----------------------------------


def framed(sample):
    """Both pictures with a black frame, which is not looked at: along the border pixels are mixed with the fill by its share."""
    images = {n: sample[n].plain().clone() for n in ("image1", "image2")}
    for image in images.values():
        image[:, [0, -1]] = image[:, :, [0, -1]] = 0
    return {**sample, **{n: Image(v) for n, v in images.items()}}


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("t", CLASSES + PAIRS, ids=repr)
def test_image2_read_along_the_flow_is_image1(t, sparse):
    for position in range(2):
        error, count = reading_error(framed(t(frames(sparse), key=Key.of(0, 0, position))))
        assert count > 300 and error.max() < 1.5 * TOLERANCE and error.mean() < TOLERANCE / 4


@pytest.mark.parametrize("t", [T.RandomRotation(30, **BILINEAR), T.RandomPerspective(0.3, 1.0), T.ElasticTransform(60.0, 6.0), T.GridDistortion(p=1.0), T.RandomDihedral()], ids=repr)
def test_frames_of_unequal_sizes(t):
    for position in range(2):
        error, count = reading_error(framed(t(frames(target=(80, 110)), key=Key.of(0, 0, position))))
        assert count > 300 and error.max() < 1.5 * TOLERANCE


@pytest.mark.parametrize("t", [t for t in CLASSES if type(t) in (T.RandomDihedral, T.RandomRotate90, T.RandomTranspose, T.GridDistortion)], ids=repr)
def test_upright_maps_keep_rectangles(t):
    together.test_masks_boxes_and_key_points_stay_on_their_object(t)


# -- the dihedral group, bit for bit on all types at once ---------------------------------------------------------------------------


@st.composite
def scenes(draw, size=None):
    """Every type, any dtype, 1, 3 or 4 channels, boxes in every format, some of them none, a flow with holes."""
    h, w = draw(SIZES) if size is None else size
    g = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    dtype = draw(st.sampled_from([torch.uint8, torch.uint16, torch.float16, torch.float32, torch.bool]))
    channels, n = draw(st.sampled_from([1, 3, 4])), draw(st.integers(0, 3))
    values = torch.randint(0, 2 if dtype == torch.bool else 256, (channels, h, w), generator=g)
    low = torch.randint(0, 9, (n, 2), generator=g)
    upright = torch.cat([low, low + torch.randint(1, 9, (n, 2), generator=g)], 1)
    flow = torch.randint(-40, 40, (2, h, w), generator=g) / 8
    return {
        "image1": Image(values.to(dtype)), "image2": Image(values.flip(-1).to(dtype)), "video": Video(values[None].expand(2, -1, -1, -1).to(dtype).clone()),
        "mask": Mask(torch.randint(2**24, 2**60, (h, w), generator=g), ignore_index=-1, frame="image1"), "masks": Mask(torch.rand(n, h, w, generator=g) > 0.5, kind="instance", frame="image1"),
        "boxes": BoundingBoxes(upright, format="XYXY", canvas_size=(h, w), frame="image1"), "wide": BoundingBoxes(upright.float(), format="CXCYWH", canvas_size=(h, w), frame="image1", clamping_mode=None),
        "corners": BoundingBoxes(torch.randint(0, 9, (n, 8), generator=g).float(), format="XYXYXYXY", canvas_size=(h, w), frame="image1"),
        "points": KeyPoints(torch.randint(0, 9, (n, 2, 2), generator=g) / 4, canvas_size=(h, w), frame="image1", visibility=torch.full((n, 2), 2), swap=(1, 0)),
        "flow": Flow(flow, valid=torch.rand(h, w, generator=g) > 0.3), "sparse": Flow(flow, valid=torch.rand(h, w, generator=g) > 0.7, sparse=True),
    }  # fmt: skip


def moved(sample, *verbs):
    out = dict(sample)
    for verb, *arguments in verbs:
        out = {n: verb(v, *arguments) for n, v in out.items()}
    return out


def same(one, other, exact=("corners",)):
    """Bit for bit, but for the order in which a mirrored polygon names its corners."""
    for name in one:
        a, b = one[name], other[name]
        assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.canvas == b.canvas, name
        if isinstance(a, Flow):
            assert a.target_size == b.target_size
        if isinstance(a, KeyPoints):
            assert torch.equal(a.visibility, b.visibility)
        a, b = a.plain(), b.plain()
        if name in exact:
            key = lambda t: t.reshape(-1, 4, 2).sum(1)
            assert torch.equal(key(a), key(b)), name
        else:
            wide = a.dtype if a.dtype in (torch.int64, torch.float64) else torch.float64
            assert torch.equal(a.to(wide).nan_to_num(1e9) if wide.is_floating_point else a, b.to(wide).nan_to_num(1e9) if wide.is_floating_point else b), name


H, V, TR = (F.horizontal_flip,), (F.vertical_flip,), (F.transpose,)
R = lambda k: (F.rot90, k)
D = lambda element: (F.dihedral, element)
TABLE = [
    ((H, H), ()), ((V, V), ()), ((TR, TR), ()), ((H, V), (R(2),)), ((V, H), (R(2),)), ((R(1),) * 4, ()), ((R(1), R(2)), (R(3),)), ((R(1), V), (TR,)), ((H, R(1)), (TR,)),
    ((TR, H, TR), (V,)), ((R(-1),), (R(3),)), ((R(1), R(3)), ()), ((D(6),), (V,)), ((D(4),), (H,)), ((D(5),), (TR,)), ((D(7),), (TR, R(2))), ((D(2),), (R(2),)), ((D(7), D(7)), ()),
]  # fmt: skip


@given(scenes(), st.sampled_from(TABLE))
@settings(max_examples=120)
def test_the_dihedral_table_holds_for_all_types_at_once(sample, law):
    one, other = law
    same(moved(sample, *one), moved(sample, *other))


@given(scenes(), st.integers(0, 7), st.integers(0, 7))
def test_two_elements_make_a_third(sample, first, second):
    """(k, mirrored) form a group: a mirror turns the turns before it the other way round."""
    turns = (second + (first if second < 4 else -first)) % 4
    mirrored = (first < 4) != (second < 4)
    same(moved(sample, D(first), D(second)), moved(sample, D(turns + 4 * mirrored)))


@given(scenes(), st.integers(-5, 5))
def test_quarter_turns_by_any_verb_are_one(sample, k):
    sample = {n: v for n, v in sample.items() if n != "boxes"}  # those that may be cut are cut by these verbs alone
    same(moved(sample, R(k)), moved(sample, (F.rotate, 90.0 * k, "bilinear", True)))
    height, width = sample["image1"].canvas
    if height == width:
        same(moved(sample, R(k)), moved(sample, (F.affine, -90.0 * k, (0, 0), 1.0, 0.0, "bicubic")))


@given(scenes(), st.integers(0, 3))
def test_quarter_turns_are_torchs(sample, k):
    for name in ("image1", "mask"):
        x = sample[name].plain()
        bits = x.view(torch.int16) if x.dtype == torch.uint16 else x
        got = F.rot90(sample[name], k).plain()
        assert torch.equal(got.view(torch.int16) if x.dtype == torch.uint16 else got, torch.rot90(bits, k, (-2, -1)))


# -- flow and key points ------------------------------------------------------------------------------------------------------------

ANGLE, SMALL = st.floats(-180, 180), st.floats(-3, 3)
SIZE = (24, 30)


def ripple(seed, strength=0.8, size=SIZE):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 2, 5, 6, generator=g) * 2 - 1
    field = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0] * strength
    return (field / torch.tensor([size[1] / 2, size[0] / 2]).reshape(2, 1, 1)).movedim(0, -1)[None]


VERBS = ["rotate", "affine", "perspective", "elastic", "grid_distortion"]


@st.composite
def moves(draw, verb=None):
    """A verb and its arguments."""
    verb = draw(st.sampled_from(VERBS)) if verb is None else verb
    if verb == "rotate":
        return F.rotate, {"angle": draw(ANGLE), "expand": draw(st.booleans())}
    if verb == "affine":
        shift, shear = (draw(SMALL), draw(SMALL)), (draw(st.floats(-20, 20)), draw(st.floats(-20, 20)))
        return F.affine, {"angle": draw(ANGLE), "translate": shift, "scale": draw(st.floats(0.6, 1.6)), "shear": shear}
    if verb == "perspective":
        corners = [[0, 0], [29, 0], [29, 23], [0, 23]]
        inwards = np.array(draw(st.lists(st.integers(0, 6), min_size=8, max_size=8))).reshape(4, 2) * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        return F.perspective, {"startpoints": corners, "endpoints": (np.array(corners) + inwards).tolist()}
    if verb == "elastic":
        return F.elastic, {"displacement": ripple(draw(st.integers(0, 99)))}
    shares = lambda: (lambda a: (a / a.sum()).tolist())(np.array(draw(st.lists(st.floats(0.2, 1), min_size=4, max_size=4))))
    return F.grid_distortion, {"across": shares(), "down": shares()}


@st.composite
def two_moves(draw):
    """A verb and its arguments for both frames."""
    name = draw(st.sampled_from(VERBS))
    (verb, first), (_, second) = draw(moves(name)), draw(moves(name))
    return verb, first, second


AFFINE = torch.tensor([[0.06, -0.03], [0.02, -0.05]], dtype=torch.float64), torch.tensor([1.25, -0.75], dtype=torch.float64)


def affine_flow(size=SIZE):
    return (centres(size) @ AFFINE[0].T + AFFINE[1]).movedim(-1, 0)


@given(two_moves())
@settings(max_examples=60)
def test_flow_leads_from_a_moved_point_to_its_moved_counterpart(case):
    """f'(T1 p) = T2(p + f(p)) - T1 p, T1 and T2 taken from what the verb does to key points."""
    verb, first, second = case
    flow = verb(Flow(affine_flow(), dtype=torch.float64), **first, target=second)
    move = verb.where(SIZE, **first)
    start = move.back(centres(flow.canvas))
    end = start + start @ AFFINE[0].T + AFFINE[1]
    inside = ((start > 0.5) & (start < torch.tensor([SIZE[1], SIZE[0]]) - 0.5)).all(-1)  # where reading an affine flow is exact
    ones, others = (KeyPoints(p[inside], canvas_size=SIZE) for p in (start, end))
    there, here = verb(others, **second).plain(), verb(ones, **first).plain()
    assert (here - centres(flow.canvas)[inside]).abs().max() < 1e-5 if len(here) else True
    found, known = flow.plain().movedim(0, -1)[inside], there.isfinite().all(-1)
    assert (found - (there - here))[known].abs().max() < 1e-5 if known.any() else True
    assert found[~known].isnan().all()
    assert flow.target_size == verb.where(SIZE, **second).size


@given(moves())
def test_nothing_that_rests_moves(case):
    verb, how = case
    for sparse in (False, True):
        flow = verb(Flow(torch.zeros(2, *SIZE, dtype=torch.float64), dtype=torch.float64, sparse=sparse), **how).plain()
        assert flow.nan_to_num(0).abs().max() < 1e-5 and flow.isfinite().any()


@given(st.floats(-180, 180), st.floats(0.5, 2), SMALL, SMALL, st.booleans())
def test_a_constant_flow_gets_the_linear_part(angle, scale, u, v, sparse):
    flow = Flow(torch.tensor([u, v]).reshape(2, 1, 1).expand(2, *SIZE).clone(), sparse=sparse)
    how = {"angle": angle, "translate": (3, -2), "scale": scale, "shear": (8.0, 3.0)}
    a, b, _, d, e, _ = F.affine.where(SIZE, **how).matrix
    found = F.affine(flow, **how).plain()
    known = found.isfinite().all(0)
    assert known.any() and torch.allclose(found[:, known].T, torch.tensor([a * u + b * v, d * u + e * v], dtype=torch.float32).expand(int(known.sum()), 2), atol=1e-4)


@given(st.floats(-180, 180), st.floats(0.5, 2))
def test_divergence_and_determinant_of_an_affine_flow_stay(angle, scale):
    """f(x) = M x + c becomes A M A^-1 x + ...: trace and determinant are those of M."""
    moved_ = F.affine(Flow(affine_flow(), dtype=torch.float64), angle, (0, 0), scale, 0.0).plain()
    known = moved_.isfinite().all(0) & _inside_of(angle, scale)
    cells = known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:]
    across, down = (moved_[:, :-1, 1:] - moved_[:, :-1, :-1])[:, cells], (moved_[:, 1:, :-1] - moved_[:, :-1, :-1])[:, cells]
    assert cells.any()
    assert (across[0] + down[1] - AFFINE[0].trace()).abs().max() < 1e-6
    assert (across[0] * down[1] - across[1] * down[0] - torch.linalg.det(AFFINE[0])).abs().max() < 1e-6


def _inside_of(angle, scale):
    start = F.affine.where(SIZE, angle, (0, 0), scale, 0.0).back(centres(SIZE))
    return ((start > 0.5) & (start < torch.tensor([SIZE[1], SIZE[0]]) - 0.5)).all(-1)


@given(two_moves(), two_moves())
@settings(max_examples=30)
def test_moving_twice_is_moving_by_the_product(one, other):
    """Push by (S1, S2), then by (T1, T2), is push by (T1 S1, T2 S2); the flow known everywhere as a formula."""
    s1, s2 = (one[0].where(SIZE, **how) for how in one[1:])
    t1, t2 = (_onto(other[0], size.size, how) for size, how in ((s1, other[1]), (s2, other[2])))
    analytic = lambda at: (at @ AFFINE[0].T + AFFINE[1]).movedim(-1, 0)
    once = lambda at, first, second: second.of((q := first.back(at)) + analytic(q).movedim(0, -1)) - at
    here = centres(t1.size)
    at_once = push_flow(analytic(s1.then(t1).back(here)), s1.then(t1), s2.then(t2))
    between = once(t1.back(here), s1, s2).movedim(-1, 0)  # the flow after the first move, at the places that the second reads
    step_by_step = push_flow(between, t1, t2)
    known = at_once.isfinite().all(0) & step_by_step.isfinite().all(0)
    assert (at_once - step_by_step)[:, known].abs().max() < 1e-3 if known.any() else True


def _onto(verb, size, how):
    how = {**how, "displacement": ripple(3, size=size)} if "displacement" in how else how
    return verb.where(size, **how)


@given(moves())
@settings(max_examples=60)
def test_the_way_back_is_the_way_forth_the_other_way(case):
    verb, how = case
    move = verb.where(SIZE, **how)
    points = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * torch.tensor([SIZE[1], SIZE[0]])
    assert (move.back(move.of(points)) - points).abs().max() < 1e-5
    assert (move.of(move.back(move.of(points))) - move.of(points)).abs().max() < 1e-5


@given(two_moves(), st.integers(0, 10**6))
@settings(max_examples=40)
def test_validity_is_never_made(case, seed):
    """A pixel is known only where all that it is read from was; a sparse one has the very pixel's vector."""
    verb, first, second = case
    valid = torch.rand(*SIZE, generator=torch.Generator().manual_seed(seed)) > 0.4
    start = verb.where(SIZE, **first).back(centres(verb.where(SIZE, **first).size))
    x, y = start.nan_to_num(-9.0).unbind(-1)
    canvas = (x >= -1e-5) & (x <= SIZE[1] + 1e-5) & (y >= -1e-5) & (y <= SIZE[0] + 1e-5)
    read = lambda j, i: valid[i.long().clamp(0, SIZE[0] - 1), j.long().clamp(0, SIZE[1] - 1)]
    j, i = (x - 0.5).clamp(0, SIZE[1] - 1), (y - 0.5).clamp(0, SIZE[0] - 1)
    near = lambda v: (v - v.round()).abs() < 1e-4
    taps = torch.stack([read(a, b) for a in (j.floor(), j.ceil()) for b in (i.floor(), i.ceil())])
    dense = verb(Flow(torch.ones(2, *SIZE), valid=valid), **first, target=second).valid.plain()
    assert not (dense & ~canvas).any() and not (dense & ~taps.all(0) & ~near(j) & ~near(i)).any()
    sparse = verb(Flow(torch.ones(2, *SIZE), valid=valid, sparse=True), **first, target=second).valid.plain()
    assert not (sparse & ~canvas).any() and not (sparse & ~read(x.floor(), y.floor()) & ~near(x) & ~near(y)).any()
    assert not (sparse & ~taps.any(0)).any()


# -- boxes and masks ----------------------------------------------------------------------------------------------------------------


@given(moves(), st.integers(0, 10), st.integers(0, 10), st.integers(3, 13), st.integers(3, 19))
@settings(max_examples=60)
def test_a_mask_stays_within_its_moved_box(case, top, left, high, wide):
    verb, how = case
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top : top + high, left : left + wide] = 1
    box = BoundingBoxes([[float(left), top, left + wide, top + high]], format="XYXY", canvas_size=SIZE)
    out, hull = verb(Mask(mask), **how).plain(), verb(box, **how).plain()[0].double()
    rows, columns = out.any(1).nonzero().flatten(), out.any(0).nonzero().flatten()
    if len(rows):
        slack = 0.15 if verb is F.elastic else 1e-3  # a bent edge is followed by points, the hull of which lies within it by a little
        centre = torch.tensor([columns[0], rows[0], columns[-1], rows[-1]]) + 0.5  # a pixel belongs to an object if its centre does
        assert (centre[:2] >= hull[:2] - slack).all() and (centre[2:] <= hull[2:] + slack).all()


# -- a batch is the loop ------------------------------------------------------------------------------------------------------------


def training_samples(sizes):
    for b, (h, w) in enumerate(sizes):
        g = torch.Generator().manual_seed(b)
        smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 5, 6, generator=g), (h, w), mode="bicubic").clamp(0, 1)
        n = (2, 0, 1, 3)[b % 4]
        flow = torch.nn.functional.interpolate(torch.randn(1, 2, 4, 4, generator=g), (h, w), mode="bicubic")[0] * 3
        yield {
            "image1": Image((smooth[0] * 255).byte()), "image2": Image(smooth[1]), "mask": Mask(torch.randint(0, 2**50, (h, w), generator=g), ignore_index=-1, frame="image1"),
            "flow": Flow(flow, valid=torch.rand(h, w, generator=g) > 0.1), "sparse": Flow(flow, valid=torch.rand(h, w, generator=g) > 0.5, sparse=True),
            "boxes": BoundingBoxes(torch.rand(n, 4, generator=g) * 9 + torch.tensor([0.0, 0, 10, 10]), format="XYXY", canvas_size=(h, w), frame="image1"),
            "turned": BoundingBoxes(torch.rand(n, 5, generator=g) * 9 + 4, format="CXCYWHR", canvas_size=(h, w), frame="image2"),
            "keypoints": KeyPoints(torch.rand(n, 3, 2, generator=g) * 18, canvas_size=(h, w), frame="image1", visibility=torch.tensor([2, 1, 0]).expand(n, 3).clone(), swap=(1, 0, 2)),
            "masks": Mask(torch.rand(n, h, w, generator=g) > 0.5, kind="instance", frame="image2"),
        }  # fmt: skip


EXACT = (T.RandomTranspose, T.RandomRotate90, T.RandomDihedral)


@pytest.mark.parametrize("sizes", [((24, 30),) * 4, ((24, 30), (20, 20), (24, 30), (31, 22))], ids=["one size", "several"])
@pytest.mark.parametrize("t", [*CLASSES, *PAIRS, T.RandomPerspective(0.5, 0.5), T.Compose([T.RandomRotation(30, **BILINEAR), T.ElasticTransform(60.0, 6.0)], fuse=True)], ids=repr)
def test_a_batch_is_the_loop(t, sizes):
    keys, samples = Key.of(5, 0, np.arange(4)), list(training_samples(sizes))
    together, alone = t(collate(samples), key=keys), collate([t(s, key=keys[b]) for b, s in enumerate(samples)])
    exact = isinstance(t, EXACT) or t == CLASSES[3]
    for name in alone:
        assert type(together[name]) is type(alone[name])
        for got, want in zip(together[name], alone[name], strict=True):
            assert type(got) is type(want) and got.dtype == want.dtype and got.shape == want.shape and got.canvas == want.canvas
            if isinstance(got, KeyPoints):
                assert torch.equal(got.visibility, want.visibility)
            error = (got.plain().double().nan_to_num(1e6) - want.plain().double().nan_to_num(1e6)).abs()
            if not error.numel():
                continue
            if exact:
                assert error.max() == 0, name
            elif name in ("mask", "masks", "sparse", "flow"):  # a centre within a millionth of a border may go either way
                assert (error > 2e-4).double().mean() < 4e-3, name
            else:
                assert error.max() <= (1 if got.dtype == torch.uint8 else 1e-4), name


@pytest.mark.parametrize("t", CLASSES, ids=repr)
def test_params_come_back_from_json_and_move_alike(t):
    samples = list(training_samples(((24, 30),) * 2))
    params = t.draw(Key.of(2, 0, [1, 2]), T.Info.of(samples))
    again = T.params_from_json(T.params_to_json(params))
    for b, sample in enumerate(samples):
        one, two = t.apply(T.row(params, b), sample), t.apply(T.row(again, b), sample)
        assert all(torch.equal(one[n].plain().nan_to_num(9), two[n].plain().nan_to_num(9)) for n in one if one[n].is_floating_point())


@pytest.mark.parametrize("seed", range(3))
def test_a_field_with_an_inverse_is_inverted(seed):
    """However rough, as long as it bends by less than 1 a pixel; for points far outside of the canvas too."""
    g = torch.Generator().manual_seed(seed)
    field = torch.rand(3, 2, 19, 23, generator=g) * 2 - 1
    move = Bent(field, (19, 23))
    move = Bent(field * (0.9 / move.bend).reshape(-1, 1, 1, 1), (19, 23))
    points = torch.rand(3, 3000, 2, generator=g, dtype=torch.float64) * 60 - 20
    points[:, ::50] = torch.nan
    found = move.of(points)
    known = ~points.isnan()
    assert (move.back(found) - points)[known].abs().max() < 1e-5 and found[~known].isnan().all()
    assert torch.allclose(found[1], Bent(move.field[1], (19, 23)).of(points[1]), atol=1e-5, equal_nan=True)
    with pytest.raises(ValueError, match="folds over"):
        Bent(field[0] * 40, (19, 23)).of(points[0])
