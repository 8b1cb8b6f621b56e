"""Containers, params and replay: a draw is a function of the key, whoever makes it."""

import json
import pickle

import numpy as np
import pytest
import torch

from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask
from vdata.transforms import Info, params_from_json, params_to_json, row

H, W = 24, 32


def sample(seed=0, size=(H, W), **more):
    g = torch.Generator().manual_seed(seed)
    return {
        "__key__": f"sample{seed}",
        "image1": Image(torch.randint(0, 256, (3, *size), generator=g, dtype=torch.uint8)),
        "image2": Image(torch.randint(0, 256, (3, *size), generator=g, dtype=torch.uint8)),
        "flow": Flow(torch.randn(2, *size, generator=g)),
        "mask": Mask(torch.randint(0, 9, size, generator=g), ignore_index=255, frame="image2"),
        "label": Label(seed % 7),
        "weight": 0.5 * seed,
        **more,
    }


def objects(seed=0, size=(H, W)):
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(seed % 3, 2, generator=g) * 10
    return {
        "boxes": BoundingBoxes(torch.cat([corner, corner + 5], 1), format="XYXY", canvas_size=size, frame="image1"),
        "points": KeyPoints(torch.rand(seed % 3, 4, 2, generator=g) * 20, canvas_size=size, frame="image2"),
        "masks": Mask(torch.rand(seed % 3, *size, generator=g) > 0.5, kind="instance", frame="image1"),
        "labels": Label(torch.arange(seed % 3)),
    }


def same(a, b, levels=0):
    """Whether two samples or batches are identical, types and metadata included; numbers to so many levels."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[n], b[n], levels) for n in a)
    if isinstance(a, torch.Tensor):
        meta = lambda t: {n: v.tolist() if isinstance(v, torch.Tensor) else v for n, v in t.meta().items()} if isinstance(t, tuple(T_TYPES)) else {}
        return a.dtype == b.dtype and a.shape == b.shape and meta(a) == meta(b) and near(a, b, levels)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, levels) for x, y in zip(a, b))
    if hasattr(a, "offsets"):
        return a.type is b.type and a.shapes == b.shapes and all(same(x, y, levels) for x, y in zip(a, b))
    return a == b


def near(a, b, levels):
    """Bit for bit; where resampling is allowed to differ, pictures to so many levels and real numbers to 1e-4."""
    a, b = a.as_subclass(torch.Tensor).nan_to_num(1e9), b.as_subclass(torch.Tensor).nan_to_num(1e9)
    if not levels or a.dtype in (torch.int64, torch.bool):
        return torch.equal(a, b)
    return bool(((a.double() - b.double()).abs() <= (1e-4 if a.is_floating_point() else levels)).all())


T_TYPES = (Image, BoundingBoxes, Flow, KeyPoints, Mask, Label)

ALL = [
    T.RandomHorizontalFlip(), T.RandomVerticalFlip(0.3), T.RandomCrop((9, 14)), T.RandomCrop(40, (1, 2), True, 7, "reflect"), T.CenterCrop(11), T.Pad((1, 2, 3, 4), 9),
    T.Resize(13), T.Resize((30, 20)), T.RandomResizedCrop((10, 16)), T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.ToDtype(torch.float32, scale=True), T.Identity(),
    T.Compose([T.ToDtype(torch.float32, scale=True), T.Normalize((0.5,), (0.5,))]), T.ConvertBoundingBoxFormat("CXCYWH"), T.Lambda(torch.abs, Flow),
    T.Compose([T.RandomResizedCrop((12, 20)), T.RandomHorizontalFlip(), T.RandomHorizontalFlip(), T.ColorJitter(0.4), T.RandomCrop(8)]),
    T.RandomApply([T.Resize(12), T.RandomCrop(7)], 0.5), T.RandomChoice([T.Resize(9), T.RandomCrop(7), T.RandomHorizontalFlip(1)], (1, 2, 1)),
    T.RandomOrder([T.RandomCrop((11, 15)), T.Resize((20, 23)), T.RandomHorizontalFlip()]), T.RandomApply([T.RandomVerticalFlip(1)], 0.5),
    T.Compose([T.RandomApply([T.RandomOrder([T.RandomCrop((11, 15)), T.Resize((20, 23))])]), T.RandomCrop(9), T.ToPureTensor()]),
]  # fmt: skip


@pytest.mark.parametrize("t", ALL, ids=repr)
def test_every_transform_is_a_value(t):
    again = pickle.loads(pickle.dumps(t))
    assert again == t and hash(again) == hash(t) and repr(again) == repr(t)
    if not isinstance(t, T.Lambda):
        assert eval(repr(t), {**vars(T), "torch": torch}) == t
    with pytest.raises(AttributeError):
        t.p = 0.1


@pytest.mark.parametrize("extra", [False, True], ids=["stacked", "ragged"])
@pytest.mark.parametrize("t", ALL, ids=repr)
def test_batch_is_the_loop_and_alone_is_in_company(t, extra):
    """The same key gives the same params and pixels alone, in a batch, after pickling, and from another instance."""
    count = 8
    samples = [sample(b, **(objects(b) if extra else {})) for b in range(count)]
    keys = Key.of(0, 3, np.arange(count))
    batch = collate(samples, at=[(3, b) for b in range(count)])
    moved = t(batch, key=keys)
    alone = [pickle.loads(pickle.dumps(t))(s, key=keys[b]) for b, s in enumerate(samples)]
    levels = 2 if "RandomResizedCrop" in repr(t) else 0  # B windows in one call: resampled by other arithmetic
    assert same(dict(moved), dict(collate(alone)), levels) and moved.at == batch.at
    assert same(dict(batch), dict(collate(samples)))  # nothing was written to
    path = f"{type(t).__name__}#0"
    together = t.draw(keys.fold(path), Info.of(samples))
    for b in range(count):
        assert row(together, b) == row(t.draw(keys[b].fold(path), Info.of(samples[b : b + 1])), 0)


@pytest.mark.parametrize("t", ALL, ids=repr)
def test_params_are_saved_and_replayed(t):
    samples = [sample(b, **objects(b)) for b in range(4)]
    params = t.draw(Key.of(1, 0, np.arange(4)), Info.of(samples))
    restored = params_from_json(params_to_json(params))
    for b, s in enumerate(samples):
        one = row(params, b)
        assert row(restored, b) == one == params_from_json(json.dumps(one))
        assert same(t.apply(row(restored, b), s), t.apply(one, s))


@pytest.mark.parametrize("t", ALL, ids=repr)
def test_info_after_is_the_info_of_what_comes_out(t):
    if isinstance(t, T.Compose) and isinstance(t.transforms[-1], T.ToPureTensor):
        return  # plain tensors have no canvas to compare
    samples = [sample(b, **objects(1)) for b in range(6)]
    info = Info.of(samples)
    params = t.draw(Key.of(2, 0, np.arange(6)), info)
    after = t.after(params, info)
    for b, s in enumerate(samples):
        real = Info.of([t.apply(row(params, b), s)])
        assert {f: v[b].tolist() for f, v in after.sizes.items()} == {f: v[0].tolist() for f, v in real.sizes.items()}
        assert all(real.dtypes[n] == d for n, d in after.dtypes.items())


def test_a_childs_draws_do_not_depend_on_its_neighbours():
    """Keys fold by name and ordinal among equal names: another transform in the list changes nothing for the others."""
    info, key = Info.of([sample()]), Key.of(7)

    def crops(*more):
        chain = T.Compose([*more, T.RandomCrop(5), T.RandomCrop(3)])
        return [p for t, p in zip(chain.transforms, chain.draw(key, info)["children"]) if isinstance(t, T.RandomCrop)]

    assert crops() == crops(T.ColorJitter(0.5)) == crops(T.RandomHorizontalFlip(), T.Identity())
    first, second = crops()
    flips = [int(p["flip"][0]) for p in T.Compose([T.RandomHorizontalFlip()] * 40).draw(key, info)["children"]]
    assert 5 < sum(flips) < 35 and first != second


def test_torch_manual_seed_governs_calls_by_hand():
    t = T.Compose([T.RandomCrop(5), T.ColorJitter(0.5)])
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append([t(sample()), t(sample()), t(collate([sample(), sample(1)]))])
    assert same(outs[0], outs[1]) and not same(outs[0][0], outs[2][0]) and not same(outs[0][0], outs[0][1])
    torch.manual_seed(3)
    before = torch.get_rng_state()
    t(sample(), key=Key.of(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_random_containers_decide_for_each_sample():
    count = 3000
    keys, info = Key.of(0, 0, np.arange(count)), Info({"image": np.tile([[8, 8]], (count, 1))}, count=count)
    share = lambda hits, p: abs(hits.mean() - p) < 4 * (p * (1 - p) / count) ** 0.5
    assert share(T.RandomApply([T.Identity()], 0.3).draw(keys, info)["apply"], 0.3)
    choice = T.RandomChoice([T.Identity()] * 3, [1, 2, 1]).draw(keys, info)["choice"]
    assert all(share(choice == i, p) for i, p in enumerate((0.25, 0.5, 0.25)))
    order = T.RandomOrder([T.Identity()] * 3).draw(keys, info)["order"]
    assert all(share((order == o).all(1), 1 / 6) for o in ([0, 1, 2], [2, 1, 0], [1, 0, 2]))
    assert T.RandomApply([T.Identity()], 0.0).draw(keys, info)["apply"].sum() == 0
    assert set(T.RandomChoice([T.Identity()] * 3, [0, 1, 0]).draw(keys, info)["choice"]) == {1}


def test_nested_samples_lists_and_extras():
    nested = {"left": {"image": Image(torch.rand(3, 8, 8)), "meta": {"name": "a", "ids": [1, 2]}}, "views": [Image(torch.rand(3, 8, 8))], "n": None}
    out = T.CenterCrop(4)(nested)
    assert out["left"]["image"].canvas == out["views"][0].canvas == (4, 4) and out["left"]["meta"] == nested["left"]["meta"] and out["n"] is None
    depth = {"image": Image(torch.rand(3, 8, 8)), "depth": torch.rand(8, 8)}
    with pytest.raises(NoKernelError, match=r"met 'depth', a plain torch Tensor of shape \[8, 8\]"):
        T.CenterCrop(4)(depth)
    with pytest.raises(NoKernelError, match="depth"):
        T.CenterCrop(4)(collate([depth, depth]))
    kept = T.Compose([T.CenterCrop(4)], passthrough=("depth",))
    assert kept(depth)["depth"] is depth["depth"] and kept(depth)["image"].canvas == (4, 4)
    assert kept(collate([depth, depth]))["depth"].shape == (2, 8, 8)
    with pytest.raises(NoKernelError, match="ndarray"):
        T.ColorJitter(0.1)({"image": nested["left"]["image"], "x": np.zeros(3)})
    assert T.CenterCrop(4)({"image": nested["left"]["image"], "labels": torch.arange(3), "__id__": torch.arange(3)})["labels"].tolist() == [0, 1, 2]


def test_frames_must_agree_where_one_window_is_drawn_and_each_has_its_own_place_elsewhere():
    pair = {"image1": Image(torch.rand(3, 8, 8)), "image2": Image(torch.rand(3, 10, 12)), "flow": Flow(torch.rand(2, 8, 8), target_size=(10, 12))}
    for t in (T.RandomCrop(4), T.RandomResizedCrop(4)):
        with pytest.raises(PlanError, match="'image1' is \\(8, 8\\) and 'image2' is \\(10, 12\\)"):
            t(pair)
    out = T.CenterCrop(6)(pair)
    assert torch.allclose(out["flow"].plain(), pair["flow"].plain()[:, 1:7, 1:7] - torch.tensor([2.0, 1.0]).reshape(2, 1, 1)) and out["flow"].target_size == (6, 6)
    with pytest.raises(PlanError, match="canvas"):
        T.CenterCrop(6)({**pair, "mask": Mask(torch.zeros(5, 5), frame="image1")})


def test_lambda_gives_types_back_and_refuses_to_lose_them():
    t = T.Lambda(lambda x: x + 1, Image)
    assert type(t(Image(torch.zeros(1, 2, 2)))) is Image and repr(t).startswith("Lambda(") and repr(t).endswith(", Image)")
    assert T.Lambda(len, str)({"a": "abc", "b": 3}) == {"a": 3, "b": 3}
    with pytest.raises(NoKernelError, match="return it as one of vdata"):
        T.Lambda(lambda x: x[0] + 1, Image)(Image(torch.zeros(1, 2, 2)))


def test_wrong_containers_say_so():
    for make in (
        lambda: T.Compose([]), lambda: T.Compose(T.Identity()), lambda: T.Compose([len]), lambda: T.RandomApply([T.Identity()], 2), lambda: T.Compose([T.Identity()], "depth"),
        lambda: T.RandomChoice([T.Identity()], [1, 2]), lambda: T.RandomChoice([T.Identity()], [0]), lambda: T.Lambda(3), lambda: T.Identity()(sample(), key=Key.of([1, 2])),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()


def test_params_json_is_exact():
    params = {"a": np.array([0.1, 2**-40, np.inf]), "b": [np.array([[1, 2]], np.uint64), {"c": None, "d": "x"}], "e": np.zeros((0, 3))}
    again = params_from_json(params_to_json(params))
    assert again["a"].tobytes() == params["a"].tobytes() and again["b"][0].dtype == np.uint64 and again["b"][1] == params["b"][1] and again["e"].shape == (0, 3)
    with pytest.raises(TypeError, match="not Tensor"):
        params_to_json({"a": torch.zeros(2)})


def test_a_transform_of_ones_own():
    """As written in the package's docstring."""

    @T.spatial
    def shift(inpt, by):
        """Move right by whole pixels."""

    @shift.map
    def _(size, by):
        return T.Map((1, 0, by, 0, 1, 0), size)

    @shift.pixels
    def _(x, fill, by):
        return T.cut(x, 0, -by, *x.shape[-2:], fill)

    @T.value
    class RandomShift(T.Geometric):
        most: int
        op = shift

        def draw(self, key, info):
            return {"by": key.integers(-self.most, self.most + 1)}

        def place(self, params, size):
            return params

    s = sample(1, **objects(1))
    out = T.Compose([RandomShift(3), T.RandomHorizontalFlip()])(s, key=Key.of(11))
    assert set(out) == set(s) and out["mask"].canvas == (H, W)
    moved = shift(s["points"], 3)
    assert torch.allclose(moved.plain() - s["points"].plain(), torch.tensor([3.0, 0.0]).expand_as(moved))
    incomplete = T.spatial(lambda inpt: None)
    with pytest.raises(NoKernelError, match="no map"):
        incomplete(s["points"])
    with pytest.raises(NoKernelError, match="has no apply"):
        T.Transform()(s)
