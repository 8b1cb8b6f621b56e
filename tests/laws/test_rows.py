"""One call with an argument a row is the loop: verbs over arrays, and every picture of a batch under its own window."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vdata import Key
from vdata import transforms as T
from vdata.batch import Ragged, collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.transforms import functional as F
from vdata.transforms._noise import normal, uniform, words

B, SIZE = 5, (31, 43)


def smooth(g, *shape):
    """Pictures as bright as photographs and as smooth: on white noise torch's own byte kernel is off by two levels."""
    small = torch.rand(*shape[:-2], 12, 16, generator=g)
    return torch.nn.functional.interpolate(small.reshape(-1, 1, 12, 16), SIZE, mode="bicubic").clamp(0, 1).reshape(shape)


def rows(seed=0):
    g = torch.Generator().manual_seed(seed)
    flow = torch.randn(B, 2, *SIZE, generator=g)
    flow[:, :, 3:6, 7:9] = torch.nan
    return {
        "image": Image((smooth(g, B, 3, *SIZE) * 255).to(torch.uint8)),
        "wide": Image((smooth(g, B, 1, *SIZE) * 60000).to(torch.uint16)),
        "float": Image(torch.rand(B, 3, *SIZE, generator=g)),
        "video": Video((smooth(g, B, 2, 3, *SIZE) * 255).to(torch.uint8)),
        "mask": Mask(torch.randint(0, 2**60, (B, *SIZE), generator=g)),
        "flow": Flow(flow), "sparse": Flow(flow, sparse=True),
        "points": KeyPoints(torch.rand(B, 4, 2, generator=g) * 30, canvas_size=SIZE, visibility=torch.ones(B, 4)),
        "boxes": BoundingBoxes(torch.rand(B, 4, generator=g) * 15 + torch.tensor([0.0, 0, 15, 15]), format="XYXY", canvas_size=SIZE),
        "turned": BoundingBoxes(torch.rand(B, 5, generator=g) * 15, format="CXCYWHR", canvas_size=SIZE),
    }  # fmt: skip


VERBS = [
    (F.crop, {"top": np.array([0, 3, -2, 9, 1]), "left": np.array([4, 0, 2, -6, 30]), "height": 14, "width": 17}),
    (F.pad, {"padding": np.array([[1, 2, 3, 4], [4, 2, 0, 4], [0, 3, 4, 3], [2, 6, 2, 0], [1, 1, 3, 5]])}),
    (F.pad, {"padding": np.array([[1, 2, 3, 4], [4, 2, 0, 4], [0, 3, 4, 3], [2, 6, 2, 0], [1, 1, 3, 5]]), "padding_mode": "reflect"}),
    (F.resized_crop, {"top": np.arange(5), "left": np.arange(5) + 2, "height": 20 - np.arange(5), "width": 30 - 2 * np.arange(5), "size": (12, 40)}),
    (F.resized_crop, {"top": np.arange(5), "left": np.arange(5) + 2, "height": 20 - np.arange(5), "width": 30 - 2 * np.arange(5), "size": (25, 16), "interpolation": "bicubic"}),
    (F.resized_crop, {"top": np.arange(5), "left": np.arange(5) + 2, "height": 20 - np.arange(5), "width": 30 - 2 * np.arange(5), "size": (25, 16), "interpolation": "nearest"}),
    (F.resized_crop, {"top": np.arange(5), "left": np.arange(5) + 2, "height": 20 - np.arange(5), "width": 30 - 2 * np.arange(5), "size": (9, 9), "antialias": False}),
]  # fmt: skip


def one_row(arguments, b):
    return {n: tuple(v[b].tolist()) if isinstance(v, np.ndarray) and v.ndim > 1 else int(v[b]) if isinstance(v, np.ndarray) else v for n, v in arguments.items()}


@pytest.mark.parametrize("verb, arguments", VERBS, ids=lambda v: getattr(v, "name", None))
@pytest.mark.parametrize("leaf", list(rows()))
def test_a_verb_with_an_argument_a_row_is_the_loop(verb, arguments, leaf):
    x = rows()[leaf]
    together = verb(x, **arguments)
    for b in range(B):
        alone = verb(x[b], **one_row(arguments, b))
        got, want = together[b], alone
        assert type(got) is type(want) and got.dtype == want.dtype and got.shape == want.shape and got.canvas == want.canvas
        got, want = got.plain().double().nan_to_num(1e6), want.plain().double().nan_to_num(1e6)
        if leaf == "mask" or verb in (F.crop, F.pad):
            assert torch.allclose(got, want, atol=1e-5, rtol=0)
        elif x.dtype in (torch.uint8, torch.uint16):  # bicubic in bytes rounds twice, in torch by fixed point: two levels, rarely
            assert (got - want).abs().max() <= 2 and ((got - want).abs() > 1).double().mean() < 1e-3
        else:
            assert (got - want).abs().max() <= 2e-5


def test_arguments_that_do_not_fit_the_rows_say_so():
    x = rows()["image"]
    with pytest.raises(ValueError, match="top has 3 entries, but the input has 5 rows"):
        F.crop(x, np.zeros(3, int), 0, 4, 4)
    with pytest.raises(ValueError, match="canvases of one size"):
        F.pad(x, np.arange(20).reshape(5, 4))


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
def test_noise_is_a_hash_of_key_and_element(key, keys):
    assert torch.equal(words(key, (3, 5)), words(np.array([key, *keys], np.uint64), (3, 5))[0])
    assert np.array_equal(words(np.array(keys, np.uint64), (7,)).numpy().view(np.uint64), Key(np.array(keys, np.uint64)).words(7))
    both = normal(np.array(keys, np.uint64), (3, 3))
    assert torch.equal(both[-1], normal(keys[-1], (3, 3)))


def test_noise_has_its_distribution():
    u, n = uniform(3, (200_000,)), normal(4, (200_000,))
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 3e-3 and abs(u.var() - 1 / 12) < 1e-3
    assert abs(n.mean()) < 1e-2 and abs(n.std() - 1) < 1e-2 and abs((n**3).mean()) < 3e-2 and abs((n**4).mean() - 3) < 0.1
    assert abs((n[:-1] * n[1:]).mean()) < 1e-2


def ragged(sizes=((31, 43), (31, 43), (24, 60), (31, 43))):
    """Samples of two sizes, with lists of objects of unequal lengths, some of them empty."""
    g = torch.Generator().manual_seed(1)
    for b, size in enumerate(sizes):
        n = (2, 0, 3, 1)[b]
        yield {
            "image": Image(torch.randint(0, 256, (3, *size), generator=g, dtype=torch.uint8)), "label": Label(b),
            "boxes": BoundingBoxes(torch.rand(n, 4, generator=g) * 12 + torch.tensor([0.0, 0, 12, 12]), format="XYXY", canvas_size=size),
            "labels": Label(torch.arange(n)), "masks": Mask(torch.rand(n, *size, generator=g) > 0.5, kind="instance"),
            "keypoints": KeyPoints(torch.rand(n, 2, 2, generator=g) * 20, canvas_size=size, visibility=torch.tensor([[2, 0]]).expand(n, 2).clone(), swap=(1, 0)),
        }  # fmt: skip


@pytest.mark.parametrize("t", [
    T.RandomHorizontalFlip(0.5), T.RandomCrop((20, 24)), T.RandomResizedCrop((16, 20)), T.Resize(20), T.Pad(3), T.RandomInvert(0.5), T.ColorJitter(0.3),
    T.Compose([T.RandomHorizontalFlip(), T.RandomApply([T.RandomCrop((20, 24))]), T.RandomPosterize(3)]), T.RandomChoice([T.Resize((9, 9)), T.RandomVerticalFlip(1)]),
], ids=repr)  # fmt: skip
def test_ragged_batches_run_by_canvas_and_are_the_loop(t):
    samples = list(ragged())
    keys = Key.of(7, 0, np.arange(4))
    together = t(collate(samples), key=keys)
    alone = collate([t(s, key=keys[b]) for b, s in enumerate(samples)])
    for name in together:
        assert type(together[name]) is type(alone[name])
        for got, want in zip(together[name], alone[name], strict=True):
            assert got.shape == want.shape and got.dtype == want.dtype
            if name != "label":
                assert getattr(got, "canvas", None) == getattr(want, "canvas", None)
            assert (got.plain().double() - want.plain().double()).abs().max().item() <= 1 if got.numel() else True
            if name in ("boxes", "keypoints"):
                assert torch.allclose(got.plain(), want.plain(), atol=1e-4)
    if isinstance(together["keypoints"], Ragged):
        assert all(torch.equal(a.visibility, b.visibility) for a, b in zip(together["keypoints"], alone["keypoints"]))


def test_a_child_that_is_not_chosen_is_not_drawn_for():
    """A crop that does not fit harms nobody who does not take it, alone and in a batch."""
    small, large = {"image": Image(torch.zeros(3, 8, 8))}, {"image": Image(torch.zeros(3, 40, 40))}
    assert T.RandomApply([T.RandomCrop(20)], p=0.0)(small)["image"].canvas == (8, 8)
    assert T.RandomChoice([T.RandomCrop(20), T.Identity()], p=[0, 1])(small)["image"].canvas == (8, 8)
    t = T.RandomApply([T.RandomCrop(20)], p=0.5)
    keys = Key.of(0, 0, np.arange(64))
    chosen = [int(b) for b in np.flatnonzero(t.draw(keys.fold("RandomApply#0"), T.Info.of([large] * 64))["apply"])]
    assert 10 < len(chosen) < 54
    samples = [large if b in chosen else small for b in range(64)]
    out = t(collate(samples), key=keys)["image"]
    assert all(out[b].canvas == ((20, 20) if b in chosen else (8, 8)) for b in range(64))
    params = t.draw(keys.fold("RandomApply#0"), T.Info.of(samples))
    for b in (0, chosen[0]):
        assert T.row(params, b) == T.row(t.draw(keys[b : b + 1].fold("RandomApply#0"), T.Info.of([samples[b]])), 0)


def test_left_and_right_change_names_in_a_mirror():
    eyes = KeyPoints([[[1.0, 2.0], [5.0, 2.0], [0.0, 0.0]]], canvas_size=(4, 10), visibility=[[2, 1, 0]], swap=(1, 0, 2))
    flipped = F.horizontal_flip(eyes)
    assert flipped.tolist() == [[[5.0, 2.0], [9.0, 2.0], [0.0, 0.0]]] and flipped.visibility.tolist() == [[1, 2, 0]]
    assert torch.equal(F.horizontal_flip(flipped).plain(), eyes.plain())
    assert F.vertical_flip(F.horizontal_flip(eyes)).visibility.tolist() == [[2, 1, 0]]  # turned by half: no mirror
    for odd in ((1, 0), (1, 2, 0), (0, 0, 1)):
        with pytest.raises(ValueError, match="swap says"):
            KeyPoints(eyes.plain(), canvas_size=(4, 10), swap=odd)


def test_boxes_without_clamping_are_not_cut():
    box = BoundingBoxes([[0.0, 0, 8, 8]], format="XYXY", canvas_size=(9, 9), clamping_mode=None)
    assert F.crop(box, 2, 2, 4, 4).tolist() == [[-2, -2, 6, 6]]
    assert F.crop(BoundingBoxes(box.plain(), format="XYXY", canvas_size=(9, 9)), 2, 2, 4, 4).tolist() == [[0, 0, 4, 4]]
    with pytest.raises(ValueError, match="clamping_mode"):
        BoundingBoxes([[0.0, 0, 8, 8]], format="XYXY", canvas_size=(9, 9), clamping_mode="firm")
