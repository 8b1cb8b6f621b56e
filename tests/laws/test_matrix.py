"""Every transform x every type x {sample, batch} x device: it moves the leaf with its picture, or leaves it by declaration, or
raises with the remedy. Nothing passes in silence.

The scene ties the types together: a bright disc, whose mask, box, centre and (zero) flow say where it is. After any transform
the picture's bright pixels must lie where the moved mask, box and point say.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from vdata import Key
from vdata import transforms as T
from vdata.batch import Ragged, collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video

spec = importlib.util.spec_from_file_location("gallery", Path(__file__).parents[2] / "examples" / "gallery.py")
gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gallery)

SIZE, CENTRE, RADIUS = (72, 96), (52.0, 33.0), 15.0
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SHOWN = [t for family in gallery.FAMILIES.values() for t in family]


def scaled(t):
    """A gallery transform for the scene's smaller canvas."""
    changes = {
        "Resize": T.Resize((60, 100)), "CenterCrop": T.CenterCrop((60, 80)), "RandomCrop": T.RandomCrop((64, 84)), "FiveCrop": T.FiveCrop((60, 80)), "TenCrop": T.TenCrop((60, 80)),
        "RandomResizedCrop": T.RandomResizedCrop((50, 70), scale=(0.6, 1)), "RandomResize": T.RandomResize(60, 90), "RandomShortestSize": T.RandomShortestSize([50, 70]),
        "ScaleJitter": T.ScaleJitter((80, 90), (0.6, 1.4)), "Letterbox": T.Letterbox((80, 80)), "ResizeLongest": T.ResizeLongest(80), "PadToMultiple": T.PadToMultiple(32),
        "FixedSizeCrop": T.FixedSizeCrop((80, 90)), "RAFTAugment": T.RAFTAugment((48, 64), -0.1, 0.3), "GaussianBlur": T.GaussianBlur(5), "MotionBlur": T.MotionBlur(5, p=1.0),
        "ElasticTransform": T.ElasticTransform(60.0, 6.0), "Pad": T.Pad(5), "Mosaic": T.Mosaic(64),
    }  # fmt: skip
    return changes.get(type(t).__name__, t)


def unique(transforms):
    seen = {}
    for t in map(scaled, transforms):
        seen.setdefault(repr(t), t)
    return [t for t in seen.values() if not isinstance(t, T.Mixing)]


ALL = unique(SHOWN)


def disc():
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    return ((x - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2 < RADIUS**2).to(torch.uint8)


def leaves(frame="image1"):
    d, (x, y), r = disc(), CENTRE, RADIUS
    return {
        "video": Video((d * 200 + 30).expand(2, 3, *SIZE).clone()), "mask": Mask(d.long(), ignore_index=255, frame=frame), "masks": Mask(d[None].bool(), kind="instance", frame=frame),
        "boxes": BoundingBoxes([[x - r, y - r, x + r, y + r]], format="XYXY", canvas_size=SIZE, frame=frame), "turned": BoundingBoxes([[x, y, 2 * r, 2 * r, 0.0]], format="CXCYWHR", canvas_size=SIZE, frame=frame),
        "points": KeyPoints([[x, y]], canvas_size=SIZE, frame=frame), "keypoints": KeyPoints([[[x, y]]], canvas_size=SIZE, frame=frame, visibility=[[2]]),
        "flow": Flow(torch.zeros(2, *SIZE)), "sparse": Flow(torch.zeros(2, *SIZE), sparse=True),
    }  # fmt: skip


def scene(*names, device="cpu"):
    picture = Image((disc() * 200 + 30).expand(3, *SIZE).clone())
    chosen = {n: leaves()[n] for n in names}
    frames = {"image1": picture, "image2": picture.clone()} if needs_pair(names) else {"image1": picture}
    return {n: v.to(device) for n, v in {**frames, **chosen, "labels": Label(torch.tensor([1]))}.items()}


def needs_pair(names):
    return bool({"flow", "sparse"} & set(names))


# What must raise, and for which types it then does: (transform, leaf). Everything else must work.
FLOWS, BOXES, POINTS = ("flow", "sparse"), ("boxes", "turned"), ("points", "keypoints")
RAISES = {
    (name, leaf): reason
    for name, kinds, reason in [
        ("RandomRelativeMotion", FLOWS, "flow"), ("RandomFlowErasing", FLOWS, "flow"), ("RAFTAugment", FLOWS, "flow"), ("MarkOcclusion", FLOWS, "flow|Flow"), ("RandomIoUCrop", BOXES, "boxes|Boxes"),
        ("SanitizeBoundingBoxes", BOXES, "BoundingBoxes"), ("SanitizeKeyPoints", POINTS, "KeyPoints"),
    ]
    for leaf in leaves() if leaf not in kinds
}  # fmt: skip
# Colours that turn bright into dark: what moved is tested where these are (test_transforms_autoaugment.py).
RECOLOUR = ("AutoAugment", "RandAugment", "TrivialAugmentWide", "RandomChoice")


def brightness(image):
    plain = image.plain().double()
    return plain.mean(-3) / (plain.max() if plain.max() > 0 else 1)


def geometric(t):
    if isinstance(t, (T.Compose, T.RandomApply, T.RandomChoice, T.RandomOrder)):
        return any(geometric(c) for c in t.transforms)
    return (not isinstance(t, T.Photometric) and getattr(t, "moves", False)) or type(t).__name__ in ("FiveCrop", "TenCrop")


def check_together(t, before, after):
    """The moved leaf says where the picture's disc is."""
    picture = brightness(after["image1"])
    for name, leaf in after.items():
        if not isinstance(leaf, TypedTensor) or isinstance(leaf, (Label, Image)):
            continue
        assert leaf.canvas == after["image1"].canvas, name
        if isinstance(t, T.Photometric) and not isinstance(leaf, (Video, Flow)):
            assert torch.equal(leaf.plain(), before[name].plain()), f"{t} changed {name}"
            continue
        if not geometric(t) or type(t).__name__ in RECOLOUR:
            continue
        bright = picture > 0.5
        if isinstance(leaf, Mask) and len(leaf):
            inside = leaf.plain().reshape(-1, *leaf.canvas)[0]
            known = inside != 255
            assert ((inside == 1) == bright)[known].float().mean() > 0.93, name
        elif isinstance(leaf, BoundingBoxes) and bright.sum() > 40 and len(leaf):
            box = T.functional.convert_bounding_box_format(leaf, new_format="XYXY").plain()[0].double()
            i, j = bright.nonzero().unbind(-1)
            assert box[0] <= j.min() + 2.5 and box[1] <= i.min() + 2.5 and box[2] >= j.max() - 1.5 and box[3] >= i.max() - 1.5, name
        elif isinstance(leaf, KeyPoints) and bright.sum() > 400 and len(leaf):
            x, y = leaf.plain().reshape(-1, 2)[0].tolist()
            if 2 < x < leaf.canvas[1] - 2 and 2 < y < leaf.canvas[0] - 2:
                assert bright[int(y), int(x)], name
        elif isinstance(leaf, Flow) and not isinstance(t, (T.RandomRelativeMotion, T.RAFTAugment)):
            known = leaf.plain()[:, leaf.valid.plain()]
            assert known.numel() and known.abs().max() < 1e-3, name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", list(leaves()))
@pytest.mark.parametrize("t", ALL, ids=lambda t: repr(t)[:60])
def test_every_transform_moves_every_type_or_says_why_not(t, name, device):
    reason = RAISES.get((type(t).__name__, name))
    sample = scene(name, device=device)
    keys = Key.of(0, 0, np.arange(4))
    if reason is not None:
        with pytest.raises((PlanError, NoKernelError), match=reason):
            t(sample, key=keys[0])
        return
    alone = []
    for b in range(4):
        out = t(scene(name, device=device), key=keys[b])
        alone.append(out)
        for one in out if isinstance(out, tuple) else (out,):
            check_together(t, sample, {n: v.cpu() if isinstance(v, torch.Tensor) else v for n, v in one.items()})
    together = t(collate([scene(name, device=device) for _ in range(4)]), key=keys)
    if isinstance(together, tuple):
        together, alone = together[0], [a[0] for a in alone]
    check_batch(t, together, collate(alone), levels=2)


def check_batch(t, together, alone, levels):
    """A batch is the loop: types, shapes, metadata; index moves exactly, pictures to a level or two."""
    for name in alone:
        for got, want in zip(together[name], alone[name], strict=True):
            assert type(got) is type(want) and got.dtype == want.dtype and got.shape == want.shape, name
            if isinstance(together[name], Ragged) and isinstance(got, TypedTensor):
                assert got.canvas == want.canvas
            if not isinstance(got, TypedTensor) or not got.numel():
                continue
            a, b = got.plain().double().nan_to_num(1e6), want.plain().double().nan_to_num(1e6)
            error = (a - b).abs()
            if isinstance(got, (Image, Video)):
                bound = levels if got.dtype == torch.uint8 else 0.02
                assert (error > bound).double().mean() < 2e-3, f"{t}: {name} differs by up to {error.max()}"
            elif isinstance(got, Mask):
                assert (error > 0).double().mean() < 2e-3
            else:
                assert (error > 2e-3).double().mean() < 2e-3, name


@pytest.mark.parametrize("t", ALL, ids=lambda t: repr(t)[:60])
def test_a_plain_tensor_or_array_is_not_passed_in_silence(t):
    if isinstance(t, T.Compose) and isinstance(t.transforms[0], T.ToImage):
        return
    for odd in (torch.zeros(4, 4), np.zeros((8, 8, 3))):
        with pytest.raises(NoKernelError, match="it may be spatial"):
            t({**scene("flow", "boxes"), "depth": odd})


def test_every_public_transform_is_in_the_gallery_or_named_beside_it():
    public = {n for n in T.__all__ if isinstance(c := getattr(T, n), type) and issubclass(c, T.Transform)} - {"Transform", "Geometric", "Photometric", "Mixing"}
    shown = set()
    for t in SHOWN:
        shown |= {type(t).__name__} | {type(c).__name__ for c in getattr(t, "transforms", ())}
    assert public == shown | set(gallery.OTHERS), public ^ (shown | set(gallery.OTHERS))
