"""Law 5: image, mask, boxes, key points and flow agree under every geometric transform.

Two frames are written down as functions, so that the truth is known everywhere: a smooth texture g, a smooth flow f,
image2(y) = g(y) and image1(x) = g(x + f(x)). After any transform of all three, image2 read at x + f'(x) must be image1
again wherever the new flow is known. The textures' waves are 40 pixels long and more, so that reading between pixels
and averaging over them cost little (1.5 % of the texture's range at most, 0.35 % in the mean, over all that follows): the
tolerance is 2 %, and a flow that is a pixel off, unscaled or not mirrored misses it three times over (the last test).
"""

import math

import pytest
import torch

from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask

SIZE, TARGET = (72, 96), (80, 110)
TOLERANCE = 0.02

TRANSFORMS = [
    T.RandomHorizontalFlip(1), T.RandomVerticalFlip(1), T.RandomCrop((40, 56)), T.RandomCrop((90, 100), (5, 9), True), T.CenterCrop((50, 60)), T.CenterCrop((80, 120)),
    T.Pad((7, 3, 0, 11)), T.Resize((60, 120)), T.Resize(50), T.Resize((101, 77)), T.RandomResizedCrop((64, 80), scale=(0.3, 1.0)), T.RandomResizedCrop((48, 48), scale=(0.3, 0.6)),
    T.Compose([T.RandomResizedCrop((70, 90), scale=(0.4, 1.0)), T.RandomHorizontalFlip(1), T.Pad(4), T.RandomCrop((60, 80)), T.RandomVerticalFlip(1)]),
    T.RandomOrder([T.RandomHorizontalFlip(1), T.Resize((66, 88)), T.RandomCrop((50, 60)), T.RandomVerticalFlip()]),
    T.RandomChoice([T.CenterCrop(50), T.Compose([T.Resize((90, 80)), T.RandomHorizontalFlip(1)])]),
]  # fmt: skip


def centres(size):
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).double()


def texture(p):
    """Two channels in [0, 1], of wavelengths between 40 and 60 pixels in several directions."""
    x, y = p.unbind(-1)
    wave = lambda a, b, c: torch.sin(2 * math.pi * (x * a + y * b) + c)
    return torch.stack([0.5 + 0.25 * (wave(1 / 47, 1 / 83, 0.3) + wave(-1 / 91, 1 / 41, 1.1)), 0.5 + 0.25 * (wave(1 / 55, -1 / 61, 2.0) + wave(1 / 71, 1 / 53, 4.0))])


def field(p):
    """A flow of a few pixels that turns, grows and bends."""
    x, y = p.unbind(-1)
    u = 3.0 + 0.05 * (x - 48) + 1.5 * torch.sin(y / 17)
    v = -2.0 + 0.04 * (y - 36) - 0.06 * (x - 48) + torch.cos(x / 19)
    return torch.stack([u, v])


def frames(sparse=False, target=SIZE, dtype=torch.float64):
    p = centres(SIZE)
    flow = field(p)
    valid = torch.ones(SIZE, dtype=torch.bool)
    valid[10:20, 30:50] = False
    image1 = texture(p + flow.movedim(0, -1))
    return {
        "image1": Image(image1.to(dtype)), "image2": Image(texture(centres(target)).to(dtype)),
        "flow": Flow(flow.float(), valid=valid, sparse=sparse, target_size=target),
    }  # fmt: skip


def reading_error(sample):
    """|image2 at x + f'(x) - image1 at x| where the flow is known and ends inside of image2; and at how many pixels."""
    flow, image1, image2 = (sample[n].plain().double() for n in ("flow", "image1", "image2"))
    at = centres(flow.shape[-2:]) + flow.movedim(0, -1)
    h, w = image2.shape[-2:]
    # New pixels are black: where an image was padded, only what was read from real ones counts.
    real = ((at > 2) & (at < torch.tensor([w - 2, h - 2]))).all(-1) & _inside(image1) & _read(_inside(image2).double()[None], at, "bilinear")[0].eq(1)
    error = (_read(image2, at, "bicubic") - image1).abs().amax(0)[real]
    return error, int(real.sum())


def _inside(image):
    """Where an image is neither new nor within two pixels of what is new."""
    new = (image == 0).all(0, keepdim=True).double()
    return torch.nn.functional.max_pool2d(new[None], 5, stride=1, padding=2)[0, 0] == 0


def _read(image, at, mode):
    grid = torch.nan_to_num(2 * at / torch.tensor([image.shape[-1], image.shape[-2]]) - 1, nan=-9)
    return torch.nn.functional.grid_sample(image[None], grid[None], mode=mode, padding_mode="border", align_corners=False)[0]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("t", TRANSFORMS, ids=repr)
def test_image2_read_along_the_flow_is_image1(t, sparse):
    for position in range(4):
        error, count = reading_error(t(frames(sparse), key=Key.of(0, 0, position)))
        assert count > 500 and error.max() < TOLERANCE and error.mean() < TOLERANCE / 4


@pytest.mark.parametrize("t", [t for t in TRANSFORMS if "Random" not in repr(t)] + [T.Compose([T.CenterCrop((60, 70)), T.Resize((64, 90)), T.Pad(3)])], ids=repr)
def test_frames_of_unequal_sizes(t):
    error, count = reading_error(t(frames(target=TARGET)))
    assert count > 500 and error.max() < TOLERANCE and error.mean() < TOLERANCE / 4


@pytest.mark.parametrize("t", TRANSFORMS, ids=repr)
def test_bytes_in_a_batch(t):
    """As training has it: uint8 pictures, stacked; each sample its own draw."""
    samples = [{**(s := frames()), "image1": Image((s["image1"].plain() * 255).round().byte()), "image2": Image((s["image2"].plain() * 255).round().byte())} for _ in range(4)]
    for out in t(collate(samples), key=Key.of(0, 0, [5, 6, 7, 8])).samples():
        error, count = reading_error({**out, "image1": out["image1"].like(out["image1"].plain() / 255), "image2": out["image2"].like(out["image2"].plain() / 255)})
        assert count > 500 and error.max() < TOLERANCE + 2 / 255


@pytest.mark.parametrize("t", TRANSFORMS, ids=repr)
def test_masks_boxes_and_key_points_stay_on_their_object(t):
    """A rectangle as a mask, as a box, as its corners and as a patch of the picture: their extents stay one, to a pixel's width."""
    for position in range(6):
        top, left, bottom, right = 20 + position, 25, 55, 70 - position
        mask = torch.zeros(1, *SIZE, dtype=torch.uint8)
        mask[0, top:bottom, left:right] = 1
        sample = {
            "image": Image(mask.double()), "mask": Mask(mask, kind="instance"), "boxes": BoundingBoxes([[left, top, right, bottom]], format="XYXY", canvas_size=SIZE),
            "points": KeyPoints([[[float(left), top], [right, top], [right, bottom], [left, bottom]]], canvas_size=SIZE),
        }  # fmt: skip
        out = t(sample, key=Key.of(1, 0, position))
        h, w = out["image"].canvas
        assert {v.canvas for v in out.values()} == {(h, w)}
        points = torch.stack([out["points"].plain()[0, :, 0].clamp(0, w), out["points"].plain()[0, :, 1].clamp(0, h)], -1)
        box = out["boxes"].plain()[0].double()
        assert torch.allclose(torch.cat([points.amin(0), points.amax(0)]).double(), box, atol=1e-4)
        for raster in (out["mask"].plain()[0] > 0, out["image"].plain()[0] >= 0.5):
            rows, columns = raster.any(1).nonzero().flatten(), raster.any(0).nonzero().flatten()
            extent = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).double()
            # A pixel belongs to the object if its centre does: the extent is within half a pixel of the box.
            assert (extent - box).abs().max() <= 0.5 + 1e-6


@pytest.mark.parametrize("wrong", ["not scaled", "not mirrored", "a pixel off", "not moved"])
def test_a_wrong_flow_would_be_seen(wrong):
    resize, flip, crop = T.Resize((101, 77)), T.RandomHorizontalFlip(1), T.CenterCrop((50, 60))
    out = {"not scaled": resize, "not mirrored": flip, "a pixel off": crop, "not moved": crop}[wrong](frames())
    flow = out["flow"].plain()
    if wrong == "not scaled":
        flow = flow * torch.tensor([96 / 77, 72 / 101]).reshape(2, 1, 1)
    elif wrong == "not mirrored":
        flow = flow * torch.tensor([-1.0, 1.0]).reshape(2, 1, 1)
    elif wrong == "a pixel off":
        flow = flow + 1
    else:
        flow = frames()["flow"].plain()[:, :50, :60]
    error, _ = reading_error({**out, "flow": out["flow"].like(flow)})
    assert error.max() > 3 * TOLERANCE and error.mean() > 3 * TOLERANCE / 4
