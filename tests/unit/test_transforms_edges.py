"""Corners of the base of transforms: params drawn in pieces, canvases forgotten or kept, leaves that only some samples have."""

import numpy as np
import pytest
import torch

from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints

B, SIZE = 6, (20, 26)
IOU = T.RandomIoUCrop(min_scale=0.4, max_scale=0.6, sampler_options=[0.0])


def boxes(*rows, **how):
    return BoundingBoxes(
        torch.tensor(rows, dtype=torch.float32).reshape(-1, 4), format="XYXY", **{"canvas_size": SIZE, **how}
    )


def picture(size=SIZE, seed=0):
    return Image(torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8))


def samples(count=B):
    points = KeyPoints(torch.tensor([[6.0, 7.0], [15.0, 12.0]]), canvas_size=SIZE)
    return [{"image": picture(seed=b), "keypoints": points} for b in range(count)]


NESTED = [
    T.RandomOrder([T.RandomApply([T.RandomAffine(20)]), T.RandomVerticalFlip()]),
    T.RandomOrder([T.RandomChoice([T.RandomCrop((12, 14)), T.RandomResize(10, 30), T.Pad(3)]), T.RandomRotation(20)]),
    T.RandomOrder([T.RandomApply([T.RandomChoice([T.RandomHorizontalFlip(), T.RandomApply([T.RandomCrop(9)])])]), T.Resize(30)]),
    T.RandomOrder([T.RandomOrder([T.RandomApply([T.RandomAffine(9)]), T.Pad(2)]), T.RandomApply([T.RandomOrder([T.Pad(1)])])]),
    T.RandomApply([T.RandomOrder([T.RandomApply([T.RandomCrop(12)]), T.RandomChoice([T.Pad(1), T.RandomResize(8, 20)])])], p=0.8),
]  # fmt: skip


@pytest.mark.parametrize("t", NESTED, ids=range(len(NESTED)))
def test_choices_inside_of_a_random_order_draw_and_move_a_batch_as_each_sample_alone(t):
    key, given = Key.of(3, 0, np.arange(B)), samples()
    params = t.draw(key, T.Info.of(given))
    for b, sample in enumerate(given):
        assert T.row(params, b) == T.row(t.draw(key[[b]], T.Info.of([sample])), 0)
    moved = t(collate(given), key=key).samples()
    for b, sample in enumerate(given):
        alone = t(sample, key=key[[b]])
        assert moved[b]["image"].shape == alone["image"].shape
        assert (moved[b]["image"].int() - alone["image"].int()).abs().max() <= 1
        torch.testing.assert_close(moved[b]["keypoints"].plain(), alone["keypoints"].plain())


@pytest.mark.parametrize("t", NESTED, ids=range(len(NESTED)))
def test_choices_inside_of_a_random_order_have_a_way_back(t):
    for seed in range(8):
        (sample,) = samples(1)
        info = T.Info.of([sample])
        params = t.draw(Key.of(seed), info)
        back = t.inverse(params, t.apply(T.row(params, 0), sample), info)
        torch.testing.assert_close(back["keypoints"].plain(), sample["keypoints"].plain(), atol=1e-3, rtol=0)


def test_a_leaf_that_only_some_samples_of_a_batch_get_raises_and_is_not_lost():
    flow = Flow(torch.ones(2, *SIZE), views=("image", "other"))
    batch = collate([{"image": picture(seed=b), "other": picture(seed=b + 9), "flow": flow} for b in range(B)])
    for t in (T.RandomApply([T.MarkOcclusion()]), T.RandomChoice([T.Identity(), T.MarkOcclusion()])):
        with pytest.raises(PlanError, match=r"some samples of a batch have \['occlusion'\] and others do not"):
            t(batch, key=Key.of(0, 0, np.arange(B)))


def test_a_leaf_whose_samples_no_longer_join_is_named():
    batch = collate([{"image": picture(seed=b)} for b in range(B)])
    with pytest.raises(TypeError, match="field 'image' does not make a batch"):
        T.RandomApply([T.ToDtype(torch.float32, scale=True)])(batch, key=Key.of(0, 0, np.arange(B)))


@pytest.mark.parametrize(
    "turn", [T.RandomTranspose(1), T.RandomRotation((90, 90), expand=True), T.RandomRotation((30, 30))]
)
def test_fused_steps_may_turn_the_picture_there_and_back_before_a_resize(turn):
    back = (
        turn if isinstance(turn, T.RandomTranspose) else T.RandomRotation((-turn.degrees[0],) * 2, expand=turn.expand)
    )
    smooth = Image(torch.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(1, *SIZE))
    steps = [turn, back, T.Resize((10, 13))]
    sample = {"image": smooth, "boxes": boxes([2, 3, 9, 11], [5, 5, 20, 15])}
    chain, fused = T.Compose(steps)(sample), T.Compose(steps, fuse=True)(sample)
    middle = (slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(fused["image"].plain()[middle], chain["image"].plain()[middle], atol=0.05, rtol=0)
    batched = T.Compose(steps, fuse=True)(collate([sample] * 3))
    torch.testing.assert_close(batched["image"][1].plain(), fused["image"].plain())


def test_what_moves_boxes_does_not_leave_them_where_they_were_for_those_who_ask_later():
    """RandomIoUCrop chooses its window by them, and what follows draws for the canvas that it leaves."""
    t = T.Compose([T.TrivialAugmentWide(), IOU, T.RandomCrop(4, pad_if_needed=True)])
    for seed in range(12):
        sample = {"image": picture(seed=seed), "boxes": boxes([4, 5, 12, 13], [14, 3, 22, 10])}
        info = T.Info.of([sample])
        params = t.draw(Key.of(seed), info)
        original, known = sample, info
        for child, own in zip(t.transforms[:2], params["children"], strict=False):
            sample, known = child.apply(T.row(own, 0), sample), child.after(own, known)
        assert tuple(known.size[0]) == sample["image"].canvas
        assert t(original, key=Key.of(seed))["image"].canvas == (4, 4)


class Nudge(T.Transform):
    """A transform of one's own that moves boxes, and does not say how `info` changes."""

    moves = True

    def apply(self, params, sample):
        return sample


def test_a_move_that_does_not_say_where_boxes_went_makes_them_unknown():
    info = T.Info.of([{"image": picture(), "boxes": boxes([1, 1, 5, 5])}])
    assert Nudge().after({}, info).boxes == {} and tuple(Nudge().after({}, info).size[0]) == SIZE
    assert T.RandomInvert(1).after({}, info).boxes == info.boxes


def test_boxes_of_a_second_frame_are_foreseen_where_they_go():
    t = T.RandomRelativeMotion(10, (0.1, 0.1), (0.8, 1.2))
    flow = Flow(torch.ones(2, *SIZE), views=("image1", "image2"))
    sample = {
        "image1": picture(),
        "image2": picture(seed=1),
        "flow": flow,
        "boxes": boxes([4, 5, 12, 13], frame="image2"),
    }
    info = T.Info.of([sample])
    params = t.draw(Key.of(1), info)
    seen, real = t.after(params, info).boxes["boxes"][0], t.apply(T.row(params, 0), sample)["boxes"]
    torch.testing.assert_close(seen.plain(), real.plain())
    assert not torch.equal(seen.plain(), sample["boxes"].plain())


def test_a_way_back_past_a_canvas_that_is_not_known_says_so():
    t = T.Compose([T.RandomCrop((18, 22)), IOU, IOU, T.RandomHorizontalFlip(1)])
    sample = {"image": picture(), "boxes": boxes([6, 6, 16, 14])}
    info = T.Info.of([sample])
    params = t.draw(Key.of(0), info)
    with pytest.raises(NoKernelError, match=r"RandomHorizontalFlip.*knows the canvas before it"):
        t.inverse(params, t.apply(T.row(params, 0), sample), info)


def test_a_batch_without_any_objects_has_the_dtype_of_its_samples_alone():
    empty = BoundingBoxes(torch.zeros(0, 4, dtype=torch.int64), format="XYXY", canvas_size=SIZE)
    given = [{"image": picture(seed=b), "boxes": empty} for b in range(B)]
    t = T.RandomResizeAndCrop((12, 14), resize_prob=0.5)
    for seed in range(4):
        key = Key.of(seed, 0, np.arange(B))
        alone = collate([t(s, key=key[[b]]) for b, s in enumerate(given)])
        assert t(collate(given), key=key)["boxes"].values.dtype == alone["boxes"].values.dtype


def test_bytes_that_grow_twofold_round_halves_in_a_batch_as_alone():
    """Half of all values between two bytes are halves there, twice: two roundings the other way were two grey levels."""
    t, worst = T.RandomResizedCrop((20, 22)), 0
    for seed in range(6):
        given = [{"image": picture((13, 12), seed=seed * B + b)} for b in range(B)]
        params = {"top": np.zeros(B, int), "left": np.arange(B) % 2, "height": np.full(B, 13), "width": np.full(B, 11)}
        moved = t.apply_rows(params, collate(given))["image"]
        alone = [t.apply(T.row(params, b), s)["image"] for b, s in enumerate(given)]
        differ = torch.stack([(m.plain().int() - a.plain().int()).abs() for m, a in zip(moved, alone, strict=True)])
        worst = max(worst, int(differ.max()))
        assert (differ > 0).double().mean() < 0.03
    assert worst <= 1


@pytest.mark.parametrize("before", [T.SetClampingMode(None), T.RandomStereoFlip(1), T.RandomSwapFrames(1)], ids=repr)
def test_no_window_is_foretold_by_boxes_as_they_were(before):
    """What changes boxes without moving the canvas tells RandomIoUCrop so: it foresees the window that it takes, or none."""
    flow = Flow(torch.zeros(2, 30, 36))
    for seed in range(25):
        box = torch.tensor([[-4.0 + seed % 5, 2, 12, 20], [18, 9, 40, 28], [3, 14, 30, 33]])
        sample = {
            "image1": Image(torch.zeros(3, 30, 36)), "image2": Image(torch.zeros(3, 30, 36)), "flow": flow, "back": Flow(torch.zeros(2, 30, 36), views=("image2", "image1")),
            "boxes": BoundingBoxes(box, format="XYXY", canvas_size=(30, 36), frame="image1"),
        }  # fmt: skip
        t = T.Compose([before, T.RandomCrop(24), T.RandomIoUCrop()])
        params = t.draw(Key.of(seed), T.Info.of([sample]))
        told = t.after(params, T.Info.of([sample])).sizes
        got = t.apply(T.row(params, 0), sample)
        for frame, sizes in told.items():
            assert tuple(sizes[0].tolist()) == got[frame].canvas
