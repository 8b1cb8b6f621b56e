"""Samples made of several, in a pipe: partners by position, so that nobody's rank, worker or timing is seen in them."""

import numpy as np
import pytest
import torch

import vdata
from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.errors import PlanError
from vdata.tensors import Image


@T.value
class Pair(T.Mixing):
    """Adds a note of whom it was mixed with, as they were then."""

    p: float = 1.0
    name: str = "with"

    def draw_own(self, key, info):
        return {"apply": key.fold("apply").bernoulli(self.p)}

    def chosen(self, params):
        return params["apply"]

    def mix(self, params, sample, others):
        return {**sample, "image": Image(sample["image"].plain() + others[0]["image"].plain() * 100), self.name: int(others[0]["id"])}


class Numbers:
    def __len__(self):
        return 23

    def __getitem__(self, i):
        return {"id": i, "image": Image(torch.full((1, 2, 2), float(i + 1)))}


def pipe():
    return vdata.from_torch(Numbers())


def seen(loader):
    return [(int(s["id"]), int(s["with"]), float(s["image"].plain()[0, 0, 0])) for s in loader]


def test_partners_are_other_samples_of_the_epoch_by_key():
    out = seen(pipe().shuffle(seed=1).apply(Pair()))
    assert [i for i, _, _ in out] != list(range(23)) and sorted(i for i, _, _ in out) == list(range(23))
    assert all(i != w and value == (i + 1) + 100 * (w + 1) for i, w, value in out)
    assert len({w for _, w, _ in out}) > 10
    other = pipe().shuffle(seed=1).apply(Pair())
    other.set_epoch(1)
    assert seen(other) != out and seen(pipe().seed(5).shuffle(seed=1).apply(Pair())) != out


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("mode, workers", [("inline", 0), ("thread", 3)])
def test_they_are_the_same_for_every_world_and_worker(world, mode, workers):
    plan = pipe().shuffle(seed=1).apply(Pair())
    want = seen(plan)
    ranks = [seen(plan.loader(workers=workers, mode=mode, rank=r, world_size=world, uneven="exact")) for r in range(world)]
    assert [ranks[p % world][p // world] for p in range(23)] == want
    assert "elastic" in str(plan) and "not elastic" not in str(plan)


def test_a_partner_is_what_it_is_at_that_point_of_the_pipe():
    """What stands before has happened to the partner too, by the partner's own draw; what comes after has not."""
    before = [T.Lambda(lambda x: x * 2, Image)]
    out = next(iter(pipe().apply(*before, Pair(), T.Lambda(lambda x: x + 0.5, Image))))
    assert out["image"].plain()[0, 0, 0] == 2 * (out["id"] + 1) + 100 * 2 * (out["with"] + 1) + 0.5
    first, second = Pair(name="first"), Pair(name="with")
    chained = {s["id"]: s for s in pipe().apply(first, second)}
    alone = {s["id"]: s for s in pipe().apply(first)}
    for s in chained.values():  # the second's partner is a pair itself
        partner = alone[s["with"]]
        assert s["first"] == alone[s["id"]]["first"]
        assert torch.equal(s["image"].plain(), alone[s["id"]]["image"].plain() + 100 * partner["image"].plain())


def test_resume_finds_the_same_partners():
    plan = pipe().shuffle(seed=2).apply(Pair()).batch(4)
    loader = plan.loader(workers=2)
    whole = [b["with"].tolist() for b in loader]
    first = plan.loader(workers=2)
    steps = iter(first)
    head = [next(steps)["with"].tolist() for _ in range(3)]
    state = first.state_dict()
    first.close()
    second = plan.loader(workers=0)
    second.load_state_dict(state)
    assert head + [b["with"].tolist() for b in second] == whole


def test_some_of_them_and_inside_other_lists():
    half = list(pipe().apply(T.RandomApply([Pair()], 0.5)))
    mixed = [s for s in half if "with" in s]
    assert 4 < len(mixed) < 19
    either = list(pipe().apply(T.RandomChoice([Pair(name="a"), Pair(name="b")])))
    assert all(("a" in s) != ("b" in s) for s in either) and 3 < sum("a" in s for s in either) < 20


def test_in_a_batch_partners_are_chosen_by_position_not_by_place():
    batch = pipe().batch(8)[0]
    keys = Key.of(0, 0, np.arange(8))
    out = Pair()(batch, key=keys)
    assert out["with"].tolist() != out["id"].tolist() and all(w in range(8) and w != i for i, w in zip(out["id"].tolist(), out["with"].tolist()))
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    turned = collate([batch.samples()[b] for b in order], at=[batch.at[b] for b in order])
    again = Pair()(turned, key=keys[np.array(order)])
    assert dict(zip(again["id"].tolist(), again["with"].tolist())) == dict(zip(out["id"].tolist(), out["with"].tolist()))


def test_after_batch_it_says_that_the_world_is_seen():
    assert "it mixes the samples of the rank's own batches" in str(pipe().batch(4).apply(Pair()))
    assert len(list(pipe().batch(4, drop_last=True).apply(Pair()))) == 5


def test_where_there_is_no_partner_it_says_why():
    with pytest.raises(PlanError, match="use it in a pipe"):
        Pair()(Numbers()[0])
    with pytest.raises(PlanError, match="has no partners"):
        list(pipe().take(1).apply(Pair()))
    assert Pair()(pipe().batch(1)[0])["with"].tolist() == [0]  # a last batch of one is its own partner
    with pytest.raises(PlanError, match=r"put it after \.batch"):
        list(vdata.from_iterable([Numbers()[0], Numbers()[1]]).apply(Pair()))
    with pytest.raises(PlanError, match=r"before .repeat"):
        next(iter(pipe().repeat().apply(Pair())))


def test_in_a_batch_that_chooses_between_them_partners_come_from_the_whole():
    """torchvision's recipe, RandomChoice([CutMix, MixUp]) after the batch: also where one sample alone has chosen one."""
    batch = pipe().batch(4)[0]
    for seed in range(20):
        out = T.RandomChoice([Pair(name="a"), Pair(name="a")])(batch, key=Key.of(seed, 0, np.arange(4)))
        assert all(a != i for a, i in zip(out["a"].tolist(), out["id"].tolist(), strict=True))
        images = {"image": Image(torch.rand(4, 3, 4, 4)), "label": torch.arange(4)}
        mixed = T.RandomChoice([T.CutMix(num_classes=4), T.MixUp(num_classes=4)])(vdata.Batch(images, 4), key=Key.of(seed, 0, np.arange(4)))
        assert mixed["label"].shape == (4, 4) and torch.allclose(mixed["label"].sum(1), torch.ones(4))
        some = T.RandomApply([T.MixUp(labels_getter=None)], 0.5)(vdata.Batch({"image": images["image"]}, 4), key=Key.of(seed, 0, np.arange(4)))
        assert some["image"].shape == (4, 3, 4, 4)
