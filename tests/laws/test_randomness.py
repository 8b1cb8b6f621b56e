"""Law 3: what a position draws depends on the seed, the epoch, the position and the place in the plan: on nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vdata
from vdata import transforms as T
from vdata.key import Key
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Image, Mask


@T.value
class Stamp(T.Transform):
    """Writes what it drew into a field of the sample."""

    name: str = "drawn"
    stacks = False

    def draw(self, key, info):
        return {"u": key.uniform()}

    def apply(self, params, sample):
        return {**sample, self.name: params["u"]}


@T.value
class Mark(Stamp):
    """Another transform of that kind."""

    name: str = "marked"


def sample_of(index):
    grid = (torch.arange(3 * 16 * 20).reshape(3, 16, 20) * 7 + index * 31) % 251
    fields = dict.fromkeys(("drawn", "marked", "first", "second", "a", "b", "c", "d"), 0.0)
    return {"__key__": f"{index:04d}", "image": Image(grid.to(torch.uint8)), "x": index, **fields}


def pipe_of(count=24):
    return read(Computed("grids", count, sample_of))


def not_third(sample):
    return sample["x"] % 3 != 0


def drawn(items, name="drawn"):
    """position in the list -> draw, of samples or batches."""
    out = []
    for item in items:
        out += item[name].tolist() if isinstance(item[name], torch.Tensor) else [item[name]]
    return out


def of_epoch(pipe, epoch, **how):
    loader = pipe.loader(**({"mode": "inline"} | how))
    loader.set_epoch(epoch)
    return list(loader)


AUGMENT = (T.RandomCrop((9, 11)), T.RandomHorizontalFlip(), T.RandomResizedCrop((8, 8)), T.ColorJitter(0.4, 0.4, 0.4, 0.2))


# -- whoever computes it ----------------------------------------------------------------------------------------------------


def test_a_position_has_one_draw_alone_in_any_worker_on_any_rank_and_after_a_resume():
    pipe = pipe_of().shuffle(seed=4).apply(*AUGMENT, Stamp())
    whole = of_epoch(pipe, 0)
    alone = [pipe[i] for i in range(len(pipe))]
    threads = of_epoch(pipe, 0, mode="thread", workers=3)
    ranks = [of_epoch(pipe, 0, rank=r, world_size=3) for r in range(3)]
    dealt = [ranks[p % 3][p // 3] for p in range(24)]
    fresh = pipe.loader(mode="inline")
    fresh.load_state_dict({**fresh.state_dict(), "position": 10})
    resumed = whole[:10] + list(fresh)
    for other in (alone, threads, dealt, resumed):
        for a, b in zip(whole, other, strict=True):
            assert a["x"] == b["x"] and a["drawn"] == b["drawn"] and torch.equal(a["image"].plain(), b["image"].plain())
    assert len(set(drawn(whole))) == 24


def test_processes_draw_what_inline_draws():
    pipe = pipe_of().shuffle(seed=4).apply(*AUGMENT).batch(5)
    one, two = of_epoch(pipe, 2), of_epoch(pipe, 2, mode="process", workers=2)
    assert [b.at for b in one] == [b.at for b in two]
    assert all(torch.equal(a["image"].plain(), b["image"].plain()) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("augment", [AUGMENT, AUGMENT[:1], AUGMENT[1:2], AUGMENT[2:3], AUGMENT[3:], (T.RandomApply([T.ColorJitter(0.5)], p=0.5),)])
def test_after_batch_each_sample_draws_what_it_draws_before_it(augment, size):
    before = of_epoch(pipe_of().shuffle().apply(*augment).batch(size), 1)
    after = of_epoch(pipe_of().shuffle().batch(size).apply(*augment), 1)
    for a, b in zip(before, after, strict=True):
        assert a.at == b.at and type(a["image"]) is type(b["image"]) is Image
        # Many windows in one call are resampled by other arithmetic than one: to a grey level (law 3), which colours stretch.
        levels = (6 if "ColorJitter" in repr(augment) else 1) if "RandomResizedCrop" in repr(augment) else 0
        assert (a["image"].plain().int() - b["image"].plain().int()).abs().max() <= levels


def test_stamps_are_the_same_before_and_after_batch_in_every_world():
    pipe = pipe_of().shuffle()
    want = drawn(of_epoch(pipe.apply(Stamp()), 0))
    for world in (1, 2, 4):
        ranks = [drawn(of_epoch(pipe.batch(3).apply(Stamp()), 0, rank=r, world_size=world)) for r in range(world)]
        assert [ranks[p % world][p // world] for p in range(24)] == want


def test_no_global_generator_is_read_or_moved():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = of_epoch(pipe_of(6).apply(*AUGMENT), 0)
    assert torch.equal(torch.get_rng_state(), before[0]) and (np.random.get_state()[1] == before[1]).all()
    torch.manual_seed(123)
    again = of_epoch(pipe_of(6).apply(*AUGMENT), 0)
    assert all(torch.equal(a["image"].plain(), b["image"].plain()) for a, b in zip(first, again, strict=True))


# -- what makes draws differ ------------------------------------------------------------------------------------------------


def test_epochs_positions_stages_and_transforms_draw_apart():
    pipe = pipe_of().apply(Stamp("a"), Stamp("b"), Mark("c")).apply(Stamp("d"))
    draws = [drawn(of_epoch(pipe, epoch), name) for epoch in range(3) for name in "abcd"]
    flat = [u for part in draws for u in part]
    assert len(set(flat)) == len(flat) == 3 * 4 * 24


def test_the_seed_of_the_pipe_changes_every_draw_and_its_place_does_not_matter():
    seeds = [drawn(of_epoch(pipe_of().apply(Stamp()).seed(n), 0)) for n in (0, 1, 2**63, 2**64 - 1)]
    assert len({u for part in seeds for u in part}) == 4 * 24
    assert drawn(of_epoch(pipe_of().seed(1).apply(Stamp()), 0)) == seeds[1]
    assert drawn(of_epoch(pipe_of().seed(5).apply(Stamp()).seed(1), 0)) == seeds[1], "the last call wins"
    assert drawn(of_epoch(pipe_of().apply(Stamp()), 0)) == seeds[0], "0 is the default"


def test_the_seed_of_the_shuffle_changes_the_order_only():
    one, two = (of_epoch(pipe_of().shuffle(seed=n).apply(Stamp()), 0) for n in (1, 2))
    assert drawn(one) == drawn(two)
    assert [s["x"] for s in one] != [s["x"] for s in two]


def test_another_transform_beside_it_does_not_change_what_a_transform_draws():
    jitter, flip = T.ColorJitter(0.4), T.RandomHorizontalFlip()
    want = drawn(of_epoch(pipe_of().apply(Stamp()), 0))
    for beside in ((jitter, Stamp()), (Stamp(), jitter), (jitter, flip, Stamp(), flip), (Mark(), Stamp())):
        assert drawn(of_epoch(pipe_of().apply(*beside), 0)) == want
    # The first of two equal names keeps its draws, wherever the second one comes.
    assert drawn(of_epoch(pipe_of().apply(Stamp(), Stamp("second")), 0)) == want
    assert drawn(of_epoch(pipe_of().apply(Stamp("first"), Stamp()), 0)) != want


def test_stages_beside_it_do_not_change_what_a_transform_draws():
    want = drawn(of_epoch(pipe_of().apply(Stamp()), 0))
    beside = [
        pipe_of().map(dict).apply(Stamp()), pipe_of().apply(Stamp()).apply(T.ColorJitter(0.4)), pipe_of().select("image", "x", "drawn").apply(Stamp()),
        pipe_of().rename(y="x").apply(Stamp()), pipe_of().decode().apply(Stamp()), pipe_of().apply(Stamp()).batch(5), pipe_of().cache().apply(Stamp()),
    ]  # fmt: skip
    for pipe in beside:
        assert drawn(of_epoch(pipe, 0)) == want, pipe
    # A second apply in front is another place.
    assert drawn(of_epoch(pipe_of().apply(T.ColorJitter(0.4)).apply(Stamp()), 0)) != want


def test_the_same_child_in_two_pipes_of_one_plan_draws_twice():
    child = pipe_of().apply(Stamp())
    both = vdata.concat(child, child)
    first, second = drawn(of_epoch(both, 0))[:24], drawn(of_epoch(both, 0))[24:]
    assert not set(first) & set(second)
    beside = vdata.zip(child, child.select("drawn").rename(other="drawn"))
    assert all(s["drawn"] != s["other"] for s in of_epoch(beside, 0))
    assert not set(drawn(of_epoch(child, 0))) & set(first)


def test_children_take_the_seed_of_the_pipe_around_them_unless_they_have_their_own():
    child = pipe_of(4).apply(Stamp())
    outer = lambda pipe: drawn(of_epoch(vdata.concat(pipe, pipe_of(1).apply(Stamp())).seed(3), 0))
    assert outer(child) == outer(child.seed(3))
    assert outer(child)[:4] != outer(child.seed(0))[:4]
    assert outer(child)[4:] == outer(child.seed(0))[4:]


# -- which place a stage gives ------------------------------------------------------------------------------------------------


def test_beneath_a_shuffle_a_row_keeps_its_draw_and_above_it_a_position_does():
    straight = drawn(of_epoch(pipe_of().apply(Stamp()), 0))
    beneath = of_epoch(pipe_of().apply(Stamp()).shuffle(seed=2), 0)
    assert [s["drawn"] for s in beneath] == [straight[s["x"]] for s in beneath]
    above = of_epoch(pipe_of().shuffle(seed=2).apply(Stamp()), 0)
    assert drawn(above) == straight


def test_pass_k_of_a_repeat_is_epoch_k_beneath_it():
    child = pipe_of().shuffle().apply(Stamp())
    epochs = [u for epoch in range(1, 4) for u in drawn(of_epoch(child, epoch))]
    assert drawn(of_epoch(child.repeat(3), 1)) == epochs
    assert drawn(itertools.islice(child.repeat().loader(mode="inline"), 60)) == (drawn(of_epoch(child, 0)) + epochs)[:60]
    assert len(set(drawn(of_epoch(pipe_of().repeat(3).apply(Stamp()), 0)))) == 72


@pytest.mark.parametrize("scan", [False, True])
def test_a_filter_keeps_the_positions_before_it(scan):
    straight = drawn(of_epoch(pipe_of().apply(Stamp()), 0))
    kept = of_epoch(pipe_of().filter(not_third, scan=scan).apply(Stamp()), 0)
    assert [s["drawn"] for s in kept] == [straight[s["x"]] for s in kept]
    batched = of_epoch(pipe_of().filter(not_third, scan=scan).batch(5).apply(Stamp()), 0)
    assert drawn(batched) == drawn(kept)


def test_samples_made_of_one_sample_draw_apart():
    many = drawn(of_epoch(pipe_of(6).flat_map(three_times).apply(Stamp()), 0))
    assert len(set(many)) == 18
    opened = drawn(of_epoch(pipe_of(6).batch(3).unbatch().apply(Stamp()), 0))
    assert len(set(opened)) == 6


def three_times(sample):
    return [dict(sample) for _ in range(3)]


def test_boxes_and_masks_follow_the_draw_of_the_picture_in_batches_too():
    def with_boxes(s):
        boxes = BoundingBoxes([[2.0, 3.0, 9.0, 11.0]] * (1 + s["x"] % 2), format="XYXY", canvas_size=(16, 20))
        return {**s, "boxes": boxes, "mask": Mask(s["image"].plain()[0].long())}

    pipe = pipe_of(9).map(with_boxes)
    augment = (T.RandomCrop((9, 11)), T.RandomHorizontalFlip())
    before, after = of_epoch(pipe.apply(*augment).batch(4), 0), of_epoch(pipe.batch(4).apply(*augment), 0)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a["image"].plain(), b["image"].plain()) and torch.equal(a["mask"].plain(), b["mask"].plain())
        assert torch.equal(a["image"].plain()[:, 0].long(), a["mask"].plain())
        assert [x.tolist() for x in a["boxes"]] == [x.tolist() for x in b["boxes"]]


# -- the generator ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=8), st.integers(-(2**31), 2**64 - 1), st.integers(0, 100))
def test_many_keys_at_once_draw_what_each_draws_alone(positions, seed, epoch):
    many = Key.of(seed, epoch, positions).fold("crop", 3)
    ones = [Key.of(seed, epoch, p).fold("crop", 3) for p in positions]
    assert Key.concat(ones) == many
    draws = {
        "uniform": lambda k: k.uniform(-1, 3, 2, 3), "integers": lambda k: k.integers(2, 9, 4), "bernoulli": lambda k: k.bernoulli(0.3, 5),
        "normal": lambda k: k.normal(3), "permutation": lambda k: k.permutation(7), "scalar": lambda k: k.uniform(),
    }  # fmt: skip
    for name, draw in draws.items():
        together = draw(many)
        assert together.shape[0] == len(positions), name
        assert np.array_equal(together, np.concatenate([draw(k) for k in ones])), name


def correlation(a, b):
    return abs(float(np.corrcoef(a, b)[0, 1]))


POSITIONS = np.arange(40_000)


@pytest.mark.parametrize("key", [Key.of(0, 0, POSITIONS, "apply#0"), Key.of(7, POSITIONS, 3, "apply#0"), Key.of(POSITIONS, 0, 0), Key.of(0, 0, POSITIONS << 32)])
def test_uniform_draws_look_uniform_and_independent_over_the_keys(key):
    u = key.fold("RandomCrop#0").fold("top").uniform()
    assert ((u >= 0) & (u < 1)).all()
    assert abs(u.mean() - 1 / 2) < 0.01 and abs(u.var() - 1 / 12) < 0.003
    counts = np.histogram(u, bins=64, range=(0, 1))[0]
    chi2 = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert 25 < chi2 < 130, "64 bins: 63 degrees of freedom"
    for lag in (1, 2, 64, 1000):
        assert correlation(u[:-lag], u[lag:]) < 0.025
    assert correlation(u, POSITIONS) < 0.025
    # The low bits are as good as the high ones.
    words = key.words()
    for bit in (0, 1, 31, 32, 62, 63):
        ones = (words >> np.uint64(bit)) & np.uint64(1)
        assert abs(ones.mean() - 0.5) < 0.015
    assert len(np.unique(words)) == len(POSITIONS)


def test_draws_of_neighbouring_names_epochs_and_elements_are_independent():
    base = Key.of(0, 0, POSITIONS)
    draws = [
        base.uniform(), base.fold("a").uniform(), base.fold("b").uniform(), base.fold(0).uniform(), base.fold(1).uniform(), base.fold(2).uniform(),
        Key.of(0, 1, POSITIONS).uniform(), Key.of(1, 0, POSITIONS).uniform(), Key.of(1, 1, POSITIONS).uniform(), base.uniform(0, 1, 3)[:, 1],
    ]  # fmt: skip
    for a, b in itertools.combinations(draws, 2):
        assert correlation(a, b) < 0.03


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.5, 0.9, 1.0])
def test_bernoulli_rates(p):
    rate = Key.of(3, 1, POSITIONS).bernoulli(p).mean()
    assert abs(rate - p) < 5 * (p * (1 - p) / len(POSITIONS)) ** 0.5 + 1e-12


def test_integers_normals_and_permutations_have_the_right_frequencies():
    key = Key.of(5, 0, POSITIONS)
    counts = np.bincount(key.integers(0, 7), minlength=7)
    assert (np.abs(counts - len(POSITIONS) / 7) < 400).all()
    normal = key.fold("n").normal()
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.02
    assert abs((normal**4).mean() - 3) < 0.3
    orders = key.fold("p").permutation(3)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6 and (np.abs(counts - len(POSITIONS) / 6) < 450).all()


def test_flips_of_a_pipe_are_fair():
    pipe = read(Computed("ramps", 2000, ramp)).apply(T.RandomHorizontalFlip())
    flipped = np.array([float(s["image"].plain()[0, 0, 0]) for s in pipe])
    assert 0.45 < flipped.mean() < 0.55
    assert correlation(flipped[:-1], flipped[1:]) < 0.08


def ramp(index):
    return {"image": Image(torch.tensor([[[0.0, 1.0]]]))}
