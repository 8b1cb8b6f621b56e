"""Transforms that follow each other, leaf by leaf: what each gives by itself, one after the other, to the bit."""

import numpy as np
import pytest
import torch

from vdata import Key
from vdata import transforms as T
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms import functional as F
from vdata.transforms._corners import UPRIGHT, corners, from_corners, move_boxes
from vdata.transforms._map import Map
from vdata.transforms._planes import at_index, by_bits
from vdata.transforms._run import InTurn
from vdata.transforms.resize import BILINEAR, resize_beginning, resize_pixels

SIZE = (60, 80)
CHAINS = [
    [T.ScaleJitter(SIZE, (0.5, 2.0), antialias=False), T.RandomCrop(48, pad_if_needed=True), T.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), (-5, 5), interpolation="bilinear"), T.RandomHorizontalFlip()],
    [T.ScaleJitter(SIZE, (0.5, 2.0)), T.RandomCrop(48, pad_if_needed=True, fill=7), T.RandomVerticalFlip()],
    [T.RandomAffine(30), T.RandomRotation(20), T.RandomTranspose(), T.Resize((70, 91))],
    [T.RandomRotation(20, expand=True), T.Pad(3), T.RandomHorizontalFlip(), T.RandomAffine(9, fill={Mask: 1}), T.CenterCrop(40)],
    [T.Pad(3, padding_mode="reflect"), T.RandomRotation(20)],
    [T.Resize(90), T.CenterCrop((40, 200)), T.RandomPerspective(0.3, 1.0), T.RandomDihedral()],
    [T.RandomHorizontalFlip(), T.RandomCrop(30), T.RandomResizedCrop(20), T.Resize(50), T.RandomCrop(40)],
]  # fmt: skip


def sample():
    rng = torch.Generator().manual_seed(0)
    whole = lambda most, *shape: torch.randint(0, most, shape, generator=rng)
    return {
        "image": Image(whole(256, 3, *SIZE).to(torch.uint8)), "flow": Flow(torch.randn(2, *SIZE, generator=rng), views=("image", "second")),
        "second": Image(torch.rand(1, *SIZE, generator=rng)), "clip": Video(whole(256, 2, 3, *SIZE).to(torch.uint8)),
        "masks": Mask(whole(2, 10, *SIZE) > 0, kind="instance", frame="image"), "one": Mask(whole(2, *SIZE) > 0, frame="image"),
        "sixteen": Mask(whole(60000, *SIZE).to(torch.uint16), ignore_index=65535, frame="image"), "classes": Mask(whole(20, *SIZE), ignore_index=255, frame="image"),
        "boxes": BoundingBoxes(torch.rand(5, 4, generator=rng) * 30 + torch.tensor([0, 0, 20, 20]), format="XYXY", canvas_size=SIZE, frame="image"),
        "points": KeyPoints(torch.rand(4, 2, generator=rng) * 50, canvas_size=SIZE, frame="image"),
    }  # fmt: skip


@pytest.mark.parametrize("ts", CHAINS, ids=repr)
def test_a_chain_is_its_steps(ts):
    chain = T.Compose(ts)
    for position in range(8):
        params = T.row(chain.draw(Key.of(0, 0, position), T.Info.of([sample()])), 0)
        steps = sample()
        for child, own in zip(ts, params["children"], strict=True):
            steps = child.apply(own, steps)
        for name, got in chain.apply(params, sample()).items():
            want = steps[name]
            assert type(got) is type(want) and got.dtype == want.dtype and str(got.meta()) == str(want.meta()), name
            assert torch.equal(got.plain().double().nan_to_num(-7e9), want.plain().double().nan_to_num(-7e9)), name


def test_runs_are_taken_together(monkeypatch):
    """Or the law above would compare steps with steps."""
    seen = []
    monkeypatch.setattr(InTurn, "apply", lambda self, params, leaves: seen.append(len(self.children)) or leaves)
    T.Compose([*CHAINS[0], T.RandomInvert(0), T.Resize(40), T.RandomResizeAndCrop(30), T.Pad(2), T.Pad(2)])(sample(), key=Key.of(0))
    assert seen == [4, 2]


@pytest.mark.parametrize("count", [3, 8, 9, 17])
def test_bits_are_read_as_bools(count):
    marks = torch.rand(count, 13, 17) > 0.5
    index = torch.randint(0, 13 * 17, (5, 6))
    assert torch.equal(by_bits(marks, lambda bits: at_index(bits, index)), marks.reshape(count, -1)[:, index])
    assert torch.equal(by_bits(marks.transpose(1, 2), lambda bits: bits.flip(-1)), marks.transpose(1, 2).flip(-1))


def test_the_beginning_of_a_larger_picture_is_that_of_the_whole():
    rng, saved = np.random.default_rng(0), 0
    for number in range(300):
        old = rng.integers(2, 90, 2)
        new = tuple(int(v) for v in np.maximum(old, (old * rng.uniform(0.9, 3, 2)).astype(int)))
        shown = tuple(int(rng.integers(1, n + 1)) for n in new)
        x = torch.from_numpy(rng.integers(0, 256, (3 if number % 4 else 5, *old), np.uint8))
        x = x.permute(1, 2, 0).contiguous().permute(2, 0, 1) if number % 3 == 0 else x
        begun, whole = resize_beginning(x, new, shown, BILINEAR, bool(number % 2)), resize_pixels(x, new, BILINEAR, bool(number % 2))
        assert begun.shape[1] >= shown[0] and begun.shape[2] >= shown[1]
        assert torch.equal(begun, whole[:, : begun.shape[1], : begun.shape[2]])
        saved += begun.shape != whole.shape
    assert saved > 200
    x = torch.from_numpy(rng.integers(0, 256, (5, 45, 47), np.uint8))  # a single column of many channels
    begun = resize_beginning(x, (466, 459), (146, 1), BILINEAR, True)
    assert torch.equal(begun, resize_pixels(x, (466, 459), BILINEAR, True)[:, : begun.shape[1], : begun.shape[2]])


@pytest.mark.parametrize("fill", [0, 200, (10, 0, 255)], ids=str)
def test_bytes_between_pixels_are_the_floats_to_a_level(fill):
    """That is: where float32 leaves a half open."""
    x = torch.randint(0, 256, (3, 70, 90), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for turn in (7.0, 33.0, 160.0):
        how = {"angle": turn, "translate": (3, -9), "scale": 0.8, "shear": (4.0, 2.0), "interpolation": "bilinear", "fill": fill}
        exact = F.affine(Image(x.double()), **how).plain()
        got = F.affine(Image(x), **how).plain()
        assert (got - exact).abs().max() < 0.51 and (got == exact.round()).float().mean() > 0.99


def test_boxes_are_moved_as_their_four_corners():
    rng = np.random.default_rng(0)
    for number in range(100):
        a, b, c, d, e, f = rng.uniform(-1, 1, 6).tolist()
        move = Map((1 + a, 0 if number % 3 == 0 else b, 9 * c, 0 if number % 3 == 0 else d, (e + 2) * (-1) ** number, 9 * f), (40, 50))
        for format in UPRIGHT:
            boxes = torch.from_numpy(rng.uniform(0, 30, (6, 4))).float()
            hull = from_corners(move.of(corners(boxes, format)), "XYXY")
            for clamp in (False, True):
                want = torch.minimum(hull.clamp(min=0), torch.tensor([50.0, 40, 50, 40]).double()) if clamp else hull
                want = torch.cat([want[:, :2], want[:, 2:]], 1)
                want = from_corners(corners(want, "XYXY"), format).float() if format != "XYXY" else want.float()
                assert torch.allclose(move_boxes(boxes, format, move, clamp=clamp), want, atol=1e-4)
