"""`from_weights` against `weights.transforms()` of every multi-weight entry of torchvision; no weight is downloaded."""

import functools
import pickle

import PIL.Image
import pytest
import skimage.data
import torch
from torchvision import models
from torchvision.transforms import functional as tvf

import vdata
from vdata import transforms as T
from vdata.batch import Batch, collate
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, Label, Mask, Video
from vdata.transforms import ToChannelsFirst

ENTRIES = [entry for name in models.list_models() for entry in models.get_model_weights(name)]
# Photographs and odd windows of them: wide, high, smaller than any crop (so enlarged), a square, odd sides.
WINDOWS = [("astronaut", (512, 512)), ("coffee", (397, 211)), ("chelsea", (73, 131)), ("rocket", (99, 99)), ("coffee", (200, 599))]


def settings(entry):
    preset = entry.transforms()
    return type(preset).__name__, {n: str(v) for n, v in vars(preset).items() if not n.startswith("_") and n != "training"}


DISTINCT = list({str(settings(entry)): entry for entry in ENTRIES}.values())
STILLS = [e for e in DISTINCT if settings(e)[0] in ("ImageClassification", "SemanticSegmentation", "ObjectDetection")]
CLIPS = [e for e in DISTINCT if settings(e)[0] == "VideoClassification"]
FLOWS = [e for e in DISTINCT if settings(e)[0] == "OpticalFlow"]


@functools.cache
def photos():
    found = []
    for name, (height, width) in WINDOWS:
        pixels = getattr(skimage.data, name)()
        found.append(torch.from_numpy(pixels[-height:, -width:].copy()).movedim(-1, 0).contiguous())
    return found


def pil(x):
    return PIL.Image.fromarray(x.movedim(0, -1).numpy())


def levels(entry, a, b):
    """The differences of two results in grey levels of 255."""
    assert a.shape == b.shape and a.dtype == b.dtype == torch.float32
    std = torch.tensor(getattr(entry.transforms(), "std", [1.0])).reshape(-1, 1, 1)
    return (a - b).abs() * std * 255


def test_all_presets_of_torchvision_are_known():
    assert len(ENTRIES) > 150 and len(DISTINCT) > 25
    kinds = {settings(e)[0] for e in ENTRIES}
    assert kinds == {"ImageClassification", "VideoClassification", "SemanticSegmentation", "ObjectDetection", "OpticalFlow"}
    for entry in ENTRIES:
        made = T.from_weights(entry)
        assert made == T.from_weights(str(entry)) == T.from_json(T.to_json(made)) == pickle.loads(pickle.dumps(made))
        assert isinstance(made, T.Compose) and not made.random
    assert len({repr(T.from_weights(e)) for e in ENTRIES}) == len(DISTINCT)  # no setting of a preset is lost


@pytest.mark.parametrize("entry", STILLS, ids=str)
def test_a_floating_picture_comes_out_as_torchvisions(entry):
    theirs, ours = entry.transforms(), T.from_weights(entry)
    for x in photos():
        x = x.float() / 255
        assert levels(entry, ours(x), theirs(x)).max() < 1e-3
    several = torch.stack([x, x.flip(-1)])  # [B, C, H, W], which torchvision takes too
    assert levels(entry, ours(several), theirs(several)).max() < 1e-3


@pytest.mark.parametrize("entry", STILLS, ids=str)
def test_bytes_come_out_as_torchvisions_pil_image(entry):
    theirs, ours = entry.transforms(), T.from_weights(entry)
    for x in photos():
        want = theirs(pil(x))
        got = ours(x)
        assert type(got) is torch.Tensor
        error = levels(entry, got, want)
        assert error.max() < 2.01 and error.mean() < 0.02  # weights of 16 and 22 bits round to different levels at times
        for same in (ours(pil(x)), ours({"image": Image(x)})["image"], ours((pil(x), 3))[0]):
            assert isinstance(same, Image) and torch.equal(same.plain(), got)


@pytest.mark.differs(
    "from_weights of uint8 pictures (weights.transforms())", "tensors and PIL images by different kernels, up to a dozen levels apart under bicubic",
    "all as PIL images, to a level or two"
)  # fmt: skip
def test_torchvision_makes_other_pixels_of_a_tensor_than_of_a_pil_image():
    entry, x = models.EfficientNet_V2_L_Weights.IMAGENET1K_V1, photos()[0]
    theirs, ours = entry.transforms(), T.from_weights(entry)
    assert levels(entry, theirs(x), theirs(pil(x))).max() > 4
    assert torch.equal(ours(x), ours(pil(x)).plain()) and levels(entry, ours(x), theirs(pil(x))).max() < 2.01
    plain = models.ResNet50_Weights.IMAGENET1K_V2  # bilinear: the two are a level apart, and ours is between
    assert levels(plain, T.from_weights(plain)(x), plain.transforms()(x)).max() < 1.01


def test_masks_and_boxes_move_along_and_labels_stay():
    x = photos()[3]
    mask = Mask((x[0] > 100).long())
    out = T.from_weights(models.segmentation.FCN_ResNet50_Weights.DEFAULT)({"image": Image(x), "mask": mask})
    assert out["mask"].shape == out["image"].shape[-2:] == (520, 520) and torch.equal(out["mask"], T.functional.resize(mask, 520))
    boxes = BoundingBoxes([[10, 20, 30, 50]], format="XYXY", canvas_size=(99, 99))
    out = T.from_weights(models.detection.FCOS_ResNet50_FPN_Weights.DEFAULT)({"image": Image(x), "boxes": boxes, "labels": Label([3])})
    assert torch.equal(out["boxes"], boxes) and out["labels"].tolist() == [3]
    assert torch.allclose(out["image"].plain(), tvf.convert_image_dtype(x), atol=1e-7)


@pytest.mark.parametrize("entry", CLIPS, ids=str)
def test_a_clip_comes_out_as_torchvisions(entry):
    theirs, ours = entry.transforms(), T.from_weights(entry)
    for x in photos()[1:4]:
        clip = torch.stack([x.roll(7 * i, -1) for i in range(3)])
        for dtype, most in ((torch.float32, 1e-3), (torch.uint8, 1.01)):
            x = clip if dtype == torch.uint8 else clip / 255
            want = theirs(x)
            got = ours(x)
            assert type(got) is torch.Tensor and got.shape[:2] == (3, 3)
            assert levels(entry, got.movedim(1, 0), want.movedim(1, 0)).max() < most
            assert torch.equal(ours({"video": Video(x), "label": Label(4)})["video"], got)
            assert torch.equal(ours(x[None]), got[None]) and theirs(x[None]).shape == ours(x[None]).shape


def test_a_batch_of_clips_is_the_loop():
    preset = T.from_weights("R3D_18_Weights.KINETICS400_V1")
    samples = [{"video": Video(torch.stack([x, x.flip(-1)])), "still": Image(x)} for x in photos()[1:4]]
    alone = [preset(s) for s in samples]
    for batch in (preset(collate(samples)), next(iter(vdata.from_torch(samples).batch(3).apply(preset)))):  # Ragged, sizes differ
        assert isinstance(batch, Batch) and batch["video"].shape == (3, 3, 2, 112, 112) and batch["still"].shape == (3, 3, 112, 112)
        assert all(torch.equal(batch["video"][b], a["video"]) and torch.equal(batch["still"][b], a["still"]) for b, a in enumerate(alone))
    even = collate([{"video": Video(torch.rand(4, 3, 5, 6)), "still": Image(torch.rand(3, 5, 6))} for _ in range(2)])
    out = ToChannelsFirst()(even)
    assert torch.equal(out["video"], even["video"].plain().movedim(2, 1)) and torch.equal(out["still"], even["still"])
    clip = Video(torch.rand(1, 2, 3, 5, 6))
    assert ToChannelsFirst()(clip).shape == (1, 3, 2, 5, 6)  # several clips as one leaf


def test_both_frames_of_a_pair_come_out_as_torchvisions_and_the_flow_stays():
    (entry,) = FLOWS
    theirs, ours = entry.transforms(), T.from_weights(entry)
    a, b = photos()[3], photos()[3].flip(-1)
    want = theirs(a, b)
    flow = Flow(torch.full((2, 99, 99), 1.5))
    out = ours({"image1": Image(a), "image2": Image(b), "flow": flow})
    pair = ours(pil(a), pil(b))
    for got in ((out["image1"], out["image2"]), pair):
        assert all(torch.allclose(g.plain(), w, atol=3e-7) for g, w in zip(got, want, strict=True))
    assert torch.equal(out["flow"], flow) and out["flow"].views == flow.views
    with pytest.raises(NoKernelError, match="Wrap it"):  # a second plain tensor may be anything
        ours(a, b)


def test_in_a_pipe_pictures_are_the_same_and_batched(tmp_path):
    for i, x in enumerate(photos()):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        pil(x).save(folder / f"{i}.jpg", quality=95)
    preset = T.from_weights(models.ViT_B_16_Weights.IMAGENET1K_SWAG_LINEAR_V1)
    pipe = vdata.from_folder(tmp_path)
    (batch,) = pipe.apply(preset).batch(5).loader(workers=0)
    assert batch["image"].shape == (5, 3, 224, 224)
    for got, sample in zip(batch["image"], pipe, strict=True):
        assert torch.allclose(got.plain(), preset(sample)["image"].plain(), atol=1e-6)


def test_what_is_no_entry_says_so():
    for odd in (models.ResNet50_Weights, models.resnet50, None, 50, T.Resize(4)):
        with pytest.raises(TypeError, match="entry of torchvision's weights"):
            T.from_weights(odd)
    with pytest.raises(ValueError):
        T.from_weights("ResNet51_Weights.DEFAULT")

    class ImageClassification(torch.nn.Module):  # of that name, and not torchvision's
        pass

    with pytest.raises(ValueError, match="not known here"):
        T.from_weights(models._api.Weights("https://nowhere", ImageClassification, {}))


def test_stills_cover_all():
    assert len(STILLS) + len(CLIPS) + len(FLOWS) == len(DISTINCT)
