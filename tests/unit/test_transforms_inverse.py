"""What was found on the transformed canvas, back on the original one; and pipelines and params as JSON."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from vdata import Key
from vdata import transforms as T
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask

SIZE = (48, 64)


def scene():
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    picture = (0.5 + 0.25 * torch.sin(x / 6) + 0.25 * torch.cos(y / 5)).expand(3, *SIZE)
    return {
        "image1": Image(picture.clone()), "image2": Image(picture.clone()), "flow": Flow(torch.stack([1 + x / 20, 2 - y / 30])),
        "mask": Mask(((x - 30).abs() + (y - 20).abs() < 14).long(), frame="image1"),
        "boxes": BoundingBoxes([[24.0, 16, 36, 26]], format="XYXY", canvas_size=SIZE, frame="image1"),
        "points": KeyPoints(torch.tensor([[[30.0, 20.0], [27.0, 24.0]]]), canvas_size=SIZE, frame="image1", swap=(1, 0)),
    }  # fmt: skip


GEOMETRIC = [
    T.RandomHorizontalFlip(1), T.RandomVerticalFlip(0.5), T.Resize((60, 100)), T.Resize(30), T.Pad((3, 5, 2, 0)), T.CenterCrop((40, 50)), T.RandomCrop((44, 60)),
    T.RandomResizedCrop((40, 56), scale=(0.8, 1)), T.Compose([T.Resize((60, 90)), T.ColorJitter(0.3), T.RandomHorizontalFlip(), T.RandomCrop((50, 80)), T.ToDtype(torch.float32)]),
    T.RandomApply([T.RandomHorizontalFlip(1), T.Pad(2)]), T.RandomChoice([T.Pad(4), T.RandomVerticalFlip(1)]), T.RandomOrder([T.Pad(4), T.RandomHorizontalFlip(1), T.Resize((50, 50))]),
    T.Compose([T.Resize((60, 90)), T.RandomHorizontalFlip(1), T.Pad(3)], fuse=True),
]  # fmt: skip


@pytest.mark.parametrize("t", GEOMETRIC, ids=repr)
def test_there_and_back(t):
    for position in range(4):
        key, info = Key.of(0, 0, position), T.Info.of([scene()])
        params = t.draw(key, info)
        moved = t.apply(T.row(params, 0), scene())
        back = t.inverse(params, moved, info)
        want = scene()
        assert {n: v.canvas for n, v in back.items()} == {n: v.canvas for n, v in want.items()}
        assert torch.allclose(back["boxes"].plain(), want["boxes"].plain(), atol=1e-3)
        assert torch.allclose(back["points"].plain(), want["points"].plain(), atol=1e-3)
        inside = (slice(16, 26), slice(24, 36))  # within every crop
        assert (back["mask"].plain() != want["mask"].plain())[inside].float().mean() < 0.15
        assert torch.allclose(back["flow"].plain()[:, *inside], want["flow"].plain()[:, *inside], atol=2e-2)
        assert back["flow"].target_size == SIZE
        if "ColorJitter" not in repr(t):
            assert (back["image1"].plain() - want["image1"].plain())[:, *inside].abs().max() < 0.05


def test_predictions_alone_find_their_way():
    """A detector's output has no picture beside it: its canvas is the picture's."""
    t = T.Compose([T.Resize((24, 32)), T.RandomHorizontalFlip(1)])
    image = {"image": Image(torch.zeros(3, *SIZE))}
    info = T.Info.of([image])
    params = t.draw(Key.of(0), info)
    found = {"boxes": BoundingBoxes([[0.0, 0, 4, 6]], format="XYXY", canvas_size=(24, 32)), "score": 0.9}
    back = t.inverse(params, found, info)
    assert back["boxes"].tolist() == [[56, 0, 64, 12]] and back["boxes"].canvas_size == SIZE and back["score"] == 0.9
    again = T.params_from_json(T.params_to_json(params))
    assert torch.equal(t.inverse(again, found, info)["boxes"].plain(), back["boxes"].plain())


def test_no_way_back_says_so():
    t, sample = T.FiveCrop(4), {"image": Image(torch.zeros(1, 9, 9))}
    with pytest.raises(NoKernelError, match="has no inverse"):
        t.inverse(t.draw(Key.of(0), T.Info.of([sample])), sample, T.Info.of([sample]))


@T.value
class Mine(T.Transform):
    """One's own."""

    strength: float = 0.5

    def apply(self, params, sample):
        return sample


PIPELINES = [
    *GEOMETRIC, T.ToDtype({Image: torch.float32, Mask: torch.int64, "others": None}, scale=True), T.Normalize((0.5, 0.4, 0.3), (1.0, 2.0, 3.0)),
    T.Pad((1, 2), fill={Image: (1, 2, 3), "others": 255}), T.Resize(224, interpolation="bicubic", max_size=500), T.LinearTransformation(torch.eye(12), torch.zeros(12)),
]  # fmt: skip


@pytest.mark.parametrize("t", PIPELINES, ids=repr)
def test_a_pipeline_comes_back_from_json(t):
    again = T.from_json(T.to_json(t, indent=2))
    assert again == t and hash(again) == hash(t) and repr(again) == repr(t)
    json.loads(T.to_json(t))


def test_what_json_cannot_hold_or_name_says_so():
    with pytest.raises(PlanError, match=r"Compose.transforms\[0\].fn is .*JSON cannot hold"):
        T.to_json(T.Compose([T.Lambda(abs)]))
    with pytest.raises(PlanError, match="no transform is called 'Mine'"):
        T.from_json(T.to_json(Mine(0.25)))
    assert T.from_json(T.to_json(Mine(0.25)), classes=[Mine]) == Mine(0.25)
    with pytest.raises(PlanError, match="RandomCrop has no argument 'sise'"):
        T.from_json('{"transform": "RandomCrop", "sise": 3}')
    with pytest.raises(PlanError, match="no transform is called 'system'"):
        T.from_json('{"transform": "system"}')
    with pytest.raises(PlanError, match="not a transform"):
        T.from_json("[1, 2]")
    with pytest.raises(ValueError, match="size must be"):
        T.from_json('{"transform": "RandomCrop", "size": -3}')


@pytest.mark.parametrize("t", GEOMETRIC, ids=repr)
def test_params_replay_on_another_sample(t):
    params = t.draw(Key.of(4, 0, [1, 2, 3]), T.Info.of([scene()] * 3))
    for b in range(3):
        text = T.params_to_json(T.row(params, b))
        again = T.params_from_json(text)
        other = {"image1": Image(torch.rand(1, *SIZE)), "points": scene()["points"]}
        one, two = t.apply(T.row(params, b), other), t.apply(again, other)
        assert torch.equal(one["image1"].plain(), two["image1"].plain()) and torch.equal(one["points"].plain(), two["points"].plain())
        assert one["image1"].canvas == t.apply(again, scene())["image1"].canvas


def test_params_are_plain_values():
    params = T.Compose([T.RandomVerticalFlip(), T.RandomHorizontalFlip(), *GEOMETRIC[2:5]]).draw(Key.of(0, 0, [1, 2]), T.Info.of([scene()] * 2))
    assert json.loads(T.params_to_json(params)).keys() == {"children"}
    assert all(dataclasses.is_dataclass(t) for t in GEOMETRIC) and isinstance(T.row(params, 1)["children"], list)
    assert np.asarray(params["children"][1]["flip"]).shape == (2,)
