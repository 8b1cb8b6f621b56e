"""Pictures from PIL and numpy and back, clips made shorter, and questions to samples; against torchvision and Pillow."""

import pickle

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from torchvision import tv_tensors

from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.errors import NoKernelError, PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.transforms import Compose, Info
from vdata.transforms.convert import (
    ConvertImageDtype,
    PILToTensor,
    ToPILImage,
    ToTensor,
    pil_to_tensor,
    to_image,
    to_pil_image,
)
from vdata.transforms.query import (
    check_type,
    get_bounding_boxes,
    get_dimensions,
    get_keypoints,
    get_num_channels,
    get_num_frames,
    get_size,
    has_all,
    has_any,
    query_chw,
    query_size,
)
from vdata.transforms.temporal import UniformTemporalSubsample, frames_at, uniform_temporal_subsample

ARRAY = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
PILS = {
    "L": PIL.Image.fromarray(ARRAY[..., 0]), "RGB": PIL.Image.fromarray(ARRAY), "RGBA": PIL.Image.fromarray(ARRAY).convert("RGBA"),
    "LA": PIL.Image.fromarray(ARRAY).convert("LA"), "1": PIL.Image.fromarray(ARRAY[..., 0] > 40), "P": PIL.Image.fromarray(ARRAY).quantize(9),
    "I": PIL.Image.fromarray(ARRAY[..., 0].astype(np.int32) * 99999), "F": PIL.Image.fromarray(ARRAY[..., 0].astype(np.float32) / 7),
    "I;16": PIL.Image.fromarray(ARRAY[..., 0].astype(np.uint16) * 600), "CMYK": PIL.Image.fromarray(ARRAY).convert("CMYK"), "HSV": PIL.Image.fromarray(ARRAY).convert("HSV"),
}  # fmt: skip


def equal(a, b):
    return a.dtype == b.dtype and torch.equal(a.as_subclass(torch.Tensor), b.as_subclass(torch.Tensor))


# ---- in


@pytest.mark.parametrize("mode", PILS)
def test_pil_images_come_in_as_in_torchvision(mode):
    pic = PILS[mode]
    assert type(pil_to_tensor(pic)) is torch.Tensor and equal(pil_to_tensor(pic), tvf.pil_to_tensor(pic))
    assert type(to_image(pic)) is Image and equal(to_image(pic), tvf.to_image(pic))
    assert equal(PILToTensor()(pic), tvf.pil_to_tensor(pic)) and type(PILToTensor()(pic)) is Image
    with pytest.raises(TypeError, match="ndarray"):
        pil_to_tensor(ARRAY)


@pytest.mark.differs("to_image of an array [C, H, W]", "takes it as [H, W, C]", "raises ValueError where it cannot be that")
def test_arrays_and_tensors_become_images():
    for array in (ARRAY, ARRAY[..., 0], ARRAY[:, ::-1], ARRAY.astype(">u2"), np.asfortranarray(ARRAY)):
        out = to_image(array)
        assert type(out) is Image and out.is_contiguous() and out.canvas == (5, 7)
        assert np.array_equal(out.plain().numpy(), np.atleast_3d(array).transpose(2, 0, 1))
    copied = ARRAY.copy()
    out = to_image(copied)
    copied[:] = 0
    assert out.max() > 0 and to_image(out) is out and equal(to_image(torch.zeros(4, 6)), torch.zeros(1, 4, 6))
    assert to_image(np.zeros((2, 5, 7, 3))).shape == (2, 3, 5, 7)
    with pytest.raises(ValueError, match=r"looks like \[C, H, W\]"):
        to_image(np.zeros((3, 50, 70)))
    assert tvf.to_image(np.zeros((3, 50, 70))).shape == (70, 3, 50)
    for wrong in ([1, 2], Mask(torch.zeros(4, 6)), Flow(torch.zeros(2, 4, 6)), "x"):
        with pytest.raises(TypeError, match="picture"):
            to_image(wrong)


@pytest.mark.differs("PILToTensor, ToTensor", "a plain tensor", "an Image, so that what follows can move it; ToPureTensor makes it plain")
def test_pil_to_tensor_takes_what_is_a_picture_without_doubt():
    sample = {"image": PILS["RGB"], "label": 3, "box": BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=(5, 7))}
    out = Compose([PILToTensor(), T.RandomHorizontalFlip(1)])(sample)
    assert out["box"].tolist() == [[6, 0, 7, 1]] and equal(out["image"], tvf.pil_to_tensor(PILS["RGB"]).flip(-1))
    assert PILToTensor()((ARRAY, 1))[0].shape == (3, 5, 7) and PILToTensor()(ARRAY[..., 0]).shape == (1, 5, 7)
    for name, odd in {"boxes": np.zeros((6, 4)), "scores": np.zeros(6), "video": np.zeros((2, 5, 7, 3))}.items():
        with pytest.raises(NoKernelError, match=name):
            PILToTensor()({"image": PILS["RGB"], name: odd})
    assert pickle.loads(pickle.dumps(PILToTensor())) == PILToTensor() and not PILToTensor().random


# ---- out


@pytest.mark.parametrize("mode", PILS)
@pytest.mark.differs("to_pil_image of uint16 and bool", "raises", "modes I;16 and 1")
def test_pil_images_survive_both_ways(mode):
    pic = PILS[mode]
    given = mode if mode in ("CMYK", "HSV", "F") else None
    out = to_pil_image(pil_to_tensor(pic), given)
    assert out.mode == ("L" if mode == "P" else mode) and out.size == pic.size
    assert np.array_equal(np.asarray(out), np.asarray(pic))
    if mode in ("1", "I;16"):
        with pytest.raises(TypeError):
            tvf.to_pil_image(pil_to_tensor(pic))
    else:
        theirs = tvf.to_pil_image(pil_to_tensor(pic), given)
        assert theirs.mode == out.mode and np.array_equal(np.asarray(theirs), np.asarray(out))


@pytest.mark.differs("to_pil_image of floats beyond 0..1", "wrap round: 1.1 becomes 24", "become black and white")
def test_floats_become_bytes_as_to_dtype_makes_them():
    x = torch.rand(3, 50, 60, generator=torch.Generator().manual_seed(0))
    ours, theirs = (np.asarray(f(x)).astype(int) for f in (to_pil_image, tvf.to_pil_image))
    assert np.abs(ours - theirs).max() <= 1
    assert equal(pil_to_tensor(to_pil_image(x)), tvf.to_dtype(x, torch.uint8, scale=True))
    levels = torch.arange(256).reshape(1, 16, 16) / 255
    assert torch.equal(pil_to_tensor(to_pil_image(levels)).flatten(), torch.arange(256))
    beyond = torch.tensor([[1.1, -0.1]])
    assert np.asarray(to_pil_image(beyond)).tolist() == [[255, 0]] and np.asarray(tvf.to_pil_image(beyond)).tolist() == [[24, 231]]
    assert np.asarray(to_pil_image(beyond, "F")).tolist() == beyond.tolist()
    assert to_pil_image(ARRAY).tobytes() == ARRAY.tobytes()
    assert np.array_equal(np.asarray(to_pil_image(Mask(torch.from_numpy(ARRAY[..., 0])))), ARRAY[..., 0])


def test_what_pillow_has_no_picture_for_says_so():
    for wrong, error in (
        (torch.zeros(5, 4, 4), ValueError), (torch.zeros(2, 3, 4, 4), ValueError), (torch.zeros(4), ValueError), ([[1]], TypeError),
        (torch.zeros(1, 4, 4, dtype=torch.int64), TypeError), (torch.zeros(3, 4, 4, dtype=torch.uint16), TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            to_pil_image(wrong)
    for x, mode in ((torch.zeros(3, 4, 4), "L"), (torch.zeros(1, 4, 4), "RGB"), (torch.zeros(4, 4, 4), "LA"), (torch.zeros(2, 4, 4), "RGB")):
        with pytest.raises(ValueError, match=mode):
            to_pil_image(x, mode)


@pytest.mark.differs("ToPILImage of a Video", "passes it unchanged", "raises NoKernelError")
def test_to_pil_image_stands_last_and_leaves_labels():
    sample = {"image": Image(torch.rand(3, 5, 7)), "mask": Mask(torch.zeros(5, 7)), "label": 3}
    out = Compose([T.RandomHorizontalFlip(1), ToPILImage()])(sample)
    assert out["image"].size == (7, 5) and type(out["mask"]) is Mask and out["label"] == 3
    assert ToPILImage()(torch.zeros(3, 5, 7)).mode == "RGB" and ToPILImage("HSV")(ARRAY).mode == "HSV" and ToPILImage()(PILS["L"]).mode == "L"
    batch = ToPILImage()(collate([sample, sample]))
    assert [p.size for p in batch["image"]] == [(7, 5), (7, 5)] and batch["mask"].shape == (2, 5, 7)
    clip = torch.zeros(2, 3, 5, 7)
    with pytest.raises(NoKernelError, match="Video"):
        ToPILImage()({"clip": Video(clip)})
    assert isinstance(tv.ToPILImage()(tv_tensors.Video(clip)), tv_tensors.Video)
    info = ToPILImage().after({}, Info.of([sample]))
    assert "image" not in info.types and "mask" in info.types
    assert ToPILImage().inverse({}, sample, info) is sample


def test_the_deprecated_names_work_and_say_what_to_write():
    with pytest.warns(DeprecationWarning, match=r"ToImage\(\), ToDtype\(torch.float32, scale=True\)") as caught:
        to_tensor = ToTensor()
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"ToDtype\(dtype, scale=True\)"):
        convert = ConvertImageDtype()
    with pytest.warns(UserWarning):
        theirs = tv.ToTensor()
    for mode in ("L", "RGB", "RGBA", "LA", "1", "I", "F"):
        out, expected = to_tensor(PILS[mode]), theirs(PILS[mode])
        assert out.dtype == expected.dtype and out.shape == expected.shape and (out - expected).abs().max() <= 6e-8
    assert to_tensor(PILS["I;16"]).dtype == torch.uint16 and equal(to_tensor(PILS["I;16"]), pil_to_tensor(PILS["I;16"]))
    assert equal(to_tensor(ARRAY), convert(to_image(ARRAY))) and equal(convert(torch.zeros(3, 4, 4, dtype=torch.uint8)), torch.zeros(3, 4, 4))
    image = Image(torch.ones(3, 4, 4, dtype=torch.uint8))
    assert to_tensor(image) is image
    out = Compose([to_tensor, T.Normalize([0.5], [0.5])])((PILS["RGB"], 3))
    assert out[1] == 3 and (out[0] - (theirs(PILS["RGB"]) - 0.5) / 0.5).abs().max() < 1e-6
    assert convert == pickle.loads(pickle.dumps(convert)) and repr(convert) == "ConvertImageDtype()" and convert.scale is True
    batch = convert(collate([{"image": image, "mask": Mask(torch.zeros(4, 4, dtype=torch.uint8))}] * 2))
    assert batch["image"].dtype == torch.float32 and batch["image"].max() < 0.004 and batch["mask"].dtype == torch.uint8


# ---- fewer frames


def clip(frames, *lead):
    return Video(torch.arange(frames, dtype=torch.float32).reshape(frames, 1, 1, 1).expand(*lead, frames, 3, 5, 7).clone())


@pytest.mark.differs("UniformTemporalSubsample, which frames", "by a float32 linspace: 1 too early where it rounds down", "in whole numbers")
def test_frames_are_those_of_torchvision_but_for_its_rounding():
    early = 0
    for count in range(1, 90):
        for samples in range(1, 60):
            ours = frames_at(count, samples)
            theirs = torch.linspace(0, count - 1, samples).long()
            exact = torch.tensor([(k * (count - 1)) // max(samples - 1, 1) for k in range(samples)])
            assert torch.equal(ours, exact)
            early += int((ours - theirs).sum())
            assert ((ours - theirs) >= 0).all() and (ours - theirs).max() <= 1
    assert early > 0
    video = clip(9)
    out = uniform_temporal_subsample(video, 5)
    assert type(out) is Video and equal(out, tvf.uniform_temporal_subsample(video.plain(), 5))
    assert equal(uniform_temporal_subsample(video.plain(), 20), tvf.uniform_temporal_subsample(video.plain(), 20))
    assert uniform_temporal_subsample(clip(9, 2), 4).shape == (2, 4, 3, 5, 7)
    for wrong in (0, -1, 2.5):
        with pytest.raises(ValueError):
            uniform_temporal_subsample(video, wrong)
        with pytest.raises(ValueError):
            UniformTemporalSubsample(wrong)
    with pytest.raises(ValueError, match="without frames"):
        uniform_temporal_subsample(Video(torch.zeros(0, 3, 4, 4)), 2)
    with pytest.raises(NoKernelError, match="Mask"):
        uniform_temporal_subsample(Mask(torch.zeros(9, 4, 4)), 2)


def scene(frames=9):
    steps = torch.arange(frames, dtype=torch.float32)
    return {
        "video": clip(frames), "mask": Mask(steps.long()[:, None, None].expand(frames, 5, 7).clone(), frame="video"),
        "boxes": BoundingBoxes(steps[:, None, None].expand(frames, 2, 4).clone(), format="XYXY", canvas_size=(5, 7), frame="video"),
        "points": KeyPoints(steps[:, None, None].expand(frames, 3, 2).clone(), canvas_size=(5, 7), frame="video", visibility=steps[:, None].expand(frames, 3).clone()),
        "times": steps.clone(), "label": Label(3), "poster": Image(torch.zeros(3, 5, 7)), "__key__": "a",
    }  # fmt: skip


ALONG = ("mask", "boxes", "points", "times")


@pytest.mark.differs("UniformTemporalSubsample beside masks, boxes and points", "leaves them out of step", "along=(names), still=(names), else raises")
def test_what_lies_on_the_frames_is_subsampled_with_them_or_raises():
    sample = scene()
    out = UniformTemporalSubsample(4, along=ALONG)(sample)
    for name in ("video", *ALONG):
        assert type(out[name]) is type(sample[name]) and len(out[name]) == 4
        assert out[name].reshape(4, -1)[:, 0].tolist() == [0, 2, 5, 8]
    assert out["points"].visibility[:, 0].tolist() == [0, 2, 5, 8] and out["boxes"].canvas_size == (5, 7)
    assert all(out[n] is sample[n] for n in ("label", "poster", "__key__"))
    theirs = tv.UniformTemporalSubsample(4)({"video": tv_tensors.Video(sample["video"].plain()), "mask": tv_tensors.Mask(sample["mask"].plain())})
    assert len(theirs["video"]) == 4 and len(theirs["mask"]) == 9
    for name in ("mask", "boxes", "points"):
        with pytest.raises(NoKernelError, match=rf"along=\('{name}',\)"):
            UniformTemporalSubsample(4, along=[n for n in ALONG if n != name])(sample)
    with pytest.raises(NoKernelError, match="times"):
        UniformTemporalSubsample(4, along=ALONG[:3])(sample)
    still = UniformTemporalSubsample(4, along=ALONG[1:], still=("mask",))(sample)
    assert still["mask"] is sample["mask"]
    nested = UniformTemporalSubsample(4, along=ALONG)({"a": sample, "b": 1})
    assert len(nested["a"]["mask"]) == 4


def test_subsampling_needs_a_clip_and_leaves_as_long_as_it():
    with pytest.raises(PlanError, match="needs a Video"):
        UniformTemporalSubsample(4)({"image": Image(torch.zeros(3, 5, 7))})
    with pytest.raises(ValueError, match=r"'mask' should be a tensor with an entry a frame, \[9\]"):
        UniformTemporalSubsample(4, along=("mask",))({"video": clip(9), "mask": Mask(torch.zeros(8, 5, 7))})
    with pytest.raises(ValueError, match="sequences of names"):
        UniformTemporalSubsample(4, along="mask")
    assert UniformTemporalSubsample(4)(clip(9).plain()).shape == (4, 3, 5, 7) and not UniformTemporalSubsample(4).random
    two = UniformTemporalSubsample(3, along=("mask",))({"a": clip(9), "b": clip(5), "mask": Mask(torch.arange(5)[:, None, None].expand(5, 5, 7), frame="b")})
    assert two["a"][:, 0, 0, 0].tolist() == [0, 4, 8] and two["b"][:, 0, 0, 0].tolist() == two["mask"][:, 0, 0].tolist() == [0, 2, 4]


@pytest.mark.parametrize("lengths", [(9, 9, 9), (9, 6, 11)], ids=["stacked", "ragged"])
def test_a_batch_of_clips_is_its_samples(lengths):
    alone = [scene(n) for n in lengths]
    for along in (("mask", "times"), ALONG):
        t = UniformTemporalSubsample(4, along=along)
        keep = {"video", "label", "poster", "__key__", *along}
        parts = [{n: v for n, v in s.items() if n in keep} for s in alone]
        together = t(collate(parts), key=Key.of(0, 0, [1, 2, 3]))
        for b, sample in enumerate(parts):
            for name, leaf in t(sample).items():
                got = together[name][b]
                assert got == leaf if name == "__key__" else type(got) is type(leaf) and torch.equal(got.as_subclass(torch.Tensor), leaf.as_subclass(torch.Tensor))
    with pytest.raises(NoKernelError, match="boxes"):
        UniformTemporalSubsample(4, along=("mask", "points", "times"))(collate(alone))


def test_what_is_known_after_subsampling_is_the_new_count():
    t = UniformTemporalSubsample(4, along=ALONG)
    info = t.after({}, Info.of([scene()]))
    assert info.counts["video"].tolist() == info.counts["mask"].tolist() == [4] and info.sizes["video"].tolist() == [[5, 7]]
    with pytest.raises(NoKernelError, match="no inverse"):
        t.inverse({}, {}, info)


# ---- questions


def test_sizes_channels_and_frames_are_torchvisions():
    x, c = torch.zeros(3, 5, 7), torch.zeros(2, 3, 5, 7)
    pairs = [(Image(x), tv_tensors.Image(x)), (Video(c), tv_tensors.Video(c)), (x, x), (x[0], x[0]), (PILS["LA"], PILS["LA"])]
    for ours, theirs in pairs:
        assert get_size(ours) == tvf.get_size(theirs) and get_dimensions(ours) == tvf.get_dimensions(theirs)
        assert get_num_channels(ours) == tvf.get_num_channels(theirs)
    for leaf in (Mask(x), Flow(torch.zeros(2, 5, 7)), BoundingBoxes([], format="XYXY", canvas_size=(5, 7)), KeyPoints([], canvas_size=(5, 7))):
        assert get_size(leaf) == [5, 7]
        with pytest.raises(TypeError, match=type(leaf).__name__):
            get_num_channels(leaf)
    assert get_num_frames(Video(c)) == tvf.get_num_frames(tv_tensors.Video(c)) == get_num_frames(c) == 2
    for wrong in (Label(1), torch.zeros(3), "x"):
        for question in (get_size, get_dimensions, get_num_channels, get_num_frames):
            with pytest.raises(TypeError, match="so it has no"):
                question(wrong)


@pytest.mark.differs("get_bounding_boxes, get_keypoints of several", "take the first", "raise ValueError")
def test_questions_to_a_samples_leaves():
    image, boxes, points = Image(torch.zeros(3, 5, 7)), BoundingBoxes([], format="XYXY", canvas_size=(5, 7)), KeyPoints([], canvas_size=(5, 7))
    leaves = [Label(1), image, boxes, points, torch.zeros(6), "x"]
    assert query_size(leaves) == (5, 7) and query_chw(leaves) == (3, 5, 7)
    assert get_bounding_boxes(leaves) is boxes and get_keypoints(leaves) is points
    two = [tv_tensors.BoundingBoxes(torch.zeros(n, 4), format="XYXY", canvas_size=(5, 7)) for n in (1, 2)]
    assert tv._utils.get_bounding_boxes(two) is two[0]
    for wrong in ([boxes, boxes], [image]):
        with pytest.raises(ValueError, match="one BoundingBoxes"):
            get_bounding_boxes(wrong)
        with pytest.raises(ValueError, match="one KeyPoints"):
            get_keypoints([points] * 2 if wrong[0] is boxes else wrong)
    assert has_any(leaves, Video, KeyPoints) and not has_any(leaves, Video, Mask) and has_any(iter(leaves), lambda v: v == "x" if isinstance(v, str) else False)
    assert has_all(iter(leaves), Image, KeyPoints, str) and not has_all(leaves, Image, Video)
    assert check_type(image, (Video, Image)) and check_type(image, (lambda v: v.ndim == 3,)) and not check_type(image, (Mask,))
    with pytest.raises(ValueError, match="several"):
        query_size([image, Mask(torch.zeros(4, 4))])
    with pytest.raises(ValueError, match="several"):
        query_chw([image, Image(torch.zeros(1, 5, 7))])
    assert query_size([image, Image(torch.zeros(1, 5, 7))]) == (5, 7) == query_size([PILS["L"]])
    for question in (query_size, query_chw):
        with pytest.raises(TypeError, match="has no"):
            question([Label(1), torch.zeros(3)])
