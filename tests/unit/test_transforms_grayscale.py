"""Grey, RGB and whitening: pictures and clips, alone and in a batch, against torchvision."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from torchvision import tv_tensors

from vdata import Key
from vdata import transforms as T
from vdata.batch import collate
from vdata.errors import NoKernelError
from vdata.tensors import Image, Mask, Video
from vdata.transforms import Info
from vdata.transforms.color import rgb_to_grayscale
from vdata.transforms.grayscale import RGB, Grayscale, RandomGrayscale, grayscale_to_rgb
from vdata.transforms.whiten import LinearTransformation


def picture(dtype=torch.uint8, *shape):
    levels = torch.randint(0, 256, shape or (3, 6, 8), generator=torch.Generator().manual_seed(5))
    return (levels / 255).to(dtype) if dtype.is_floating_point else (levels * (257 if dtype == torch.uint16 else 1)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_torchvisions(channels, dtype):
    x = picture(dtype, channels, 6, 8)
    assert torch.equal(grayscale_to_rgb(x), tvf.grayscale_to_rgb(x))
    assert torch.equal(RGB()(Image(x)).plain(), tv.RGB()(tv_tensors.Image(x)).as_subclass(torch.Tensor))
    for number in (1, 3):
        assert torch.equal(Grayscale(number)(Image(x)).plain(), tv.Grayscale(number)(tv_tensors.Image(x)).as_subclass(torch.Tensor))
    assert torch.equal(RandomGrayscale(1.0)(Image(x)).plain(), tv.RandomGrayscale(1.0)(tv_tensors.Image(x)).as_subclass(torch.Tensor))
    assert Grayscale().num_output_channels == tv.Grayscale().num_output_channels and RandomGrayscale().p == tv.RandomGrayscale().p


@pytest.mark.parametrize(
    ("mine", "theirs"), [(Grayscale(), tv.Grayscale()), (Grayscale(3), tv.Grayscale(3)), (RandomGrayscale(1.0), tv.RandomGrayscale(1.0)), (RGB(), tv.RGB())], ids=lambda t: type(t).__name__
)
@pytest.mark.differs("Grayscale, RandomGrayscale, RGB on Video", "pass the clip unchanged", "change every frame")
def test_clips_change_frame_by_frame_where_torchvision_passes_them_by(mine, theirs):
    channels, expected = (1, 3) if isinstance(mine, RGB) else (3, 1 if mine == Grayscale() else 3)
    clip = picture(torch.uint8, 2, channels, 6, 8)
    out = mine(Video(clip))
    assert type(out) is Video and torch.equal(out.plain(), torch.stack([mine(Image(frame)).plain() for frame in clip]))
    assert out.shape[1] == expected and (out.plain().diff(dim=1) == 0).all()
    passed = theirs(tv_tensors.Video(clip)).as_subclass(torch.Tensor)
    assert torch.equal(passed, clip) and (out.shape != clip.shape or not torch.equal(passed, out.plain()))


@pytest.mark.differs("RGB of RGBA", "stays at four channels", "three channels, alpha left out as in Pillow")
def test_alpha_and_other_counts():
    rgba = picture(torch.uint8, 4, 6, 8)
    grey = rgb_to_grayscale(rgba[:3])
    assert torch.equal(Grayscale()(Image(rgba)).plain(), grey)
    assert torch.equal(RGB()(Image(rgba)).plain(), rgba[:3]) and tvf.grayscale_to_rgb(rgba).shape[0] == 4  # not RGB
    assert torch.equal(RandomGrayscale(1)(Image(rgba)).plain(), torch.cat([grey.expand(3, -1, -1), rgba[3:]]))
    for transform in (Grayscale(), RandomGrayscale(1), RGB()):
        with pytest.raises(ValueError, match="got 2"):
            transform(Image(rgba[:2]))
        with pytest.raises(TypeError, match=r"torch\.bool"):
            transform(Image(rgba[:3] > 3))
    with pytest.raises(NoKernelError, match="grayscale_to_rgb does not know how to move a Mask"):
        grayscale_to_rgb(Mask(rgba[0]))
    for wrong in (lambda: Grayscale(2), lambda: Grayscale("1"), lambda: RandomGrayscale(-0.1)):
        with pytest.raises(ValueError):
            wrong()
    assert RandomGrayscale(0)(Image(rgba)).data_ptr() == rgba.data_ptr()
    wide = torch.full((3, 2, 2), 2**31 - 1, dtype=torch.int32)
    assert (rgb_to_grayscale(wide) - 2**31 * 0.9999).abs().max() < 2


def test_what_follows_knows_how_many_channels_there_are():
    info = Info.of([{"image": Image(picture()), "clip": Video(picture(torch.uint8, 2, 1, 6, 8)), "mask": Mask(torch.zeros(6, 8), frame="image")}])
    assert Grayscale().after({}, info).channels == {"image": 1, "clip": 1} and RGB().after({}, info).channels == {"image": 3, "clip": 3}
    assert RandomGrayscale().after({}, info).channels == info.channels


@pytest.mark.parametrize("transform", [Grayscale(), Grayscale(3), RandomGrayscale(0.5), RGB()], ids=repr)
def test_a_batch_is_its_samples(transform):
    samples = [{"image": Image(picture(torch.uint8, 3, 4, 5) + b), "clip": Video(picture(torch.uint8, 2, 1, 4, 5) + b), "ragged": Image(picture(torch.uint8, 1 + 2 * (b % 2), 3, 4) + b)} for b in range(5)]
    keys = Key.of(0, np.arange(5))
    out = transform(collate(samples), key=keys)
    for b, sample in enumerate(samples):
        alone = transform(sample, key=keys[b])
        assert all(type(out[n][b]) is type(v) and torch.equal(out[n][b].plain(), v.plain()) for n, v in alone.items())


def whitening(size=24, dtype=torch.float32):
    random = torch.Generator().manual_seed(2)
    return torch.randn(size, size, generator=random, dtype=torch.float64).to(dtype), torch.rand(size, generator=random, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64], ids=str)
def test_linear_transformation_is_torchvisions(dtype):
    mine, theirs = LinearTransformation(*whitening()), tv.LinearTransformation(*whitening())
    for wrap, other, shape in ((Image, tv_tensors.Image, (3, 2, 4)), (Video, tv_tensors.Video, (2, 3, 2, 4))):
        x = picture(dtype, *shape)
        out, expected = mine(wrap(x)), theirs(other(x))
        assert type(out) is wrap and torch.equal(out.plain(), expected.as_subclass(torch.Tensor))
        info = Info.of([{"x": wrap(x), "label": Mask(torch.zeros(2, 4), frame="x")}])
        assert mine.after({}, info).dtypes == {**info.dtypes, "x": str(out.dtype).removeprefix("torch.")}
    assert mine(Image(picture(torch.uint16, 3, 2, 4))).dtype == torch.float32
    batch = Image(picture(torch.float32, 5, 3, 2, 4))
    assert torch.allclose(mine.change({}, batch).plain(), torch.stack([mine(x).plain() for x in batch]), atol=1e-5)


def test_whitening_whitens():
    x = torch.randn(500, 1, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) @ torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 4
    flat = x.flatten(1)
    values, vectors = torch.linalg.eigh(flat.T.cov())
    out = LinearTransformation(vectors / values.sqrt(), flat.mean(0))(collate([{"x": Image(p)} for p in x]))["x"].plain().flatten(1)
    assert torch.allclose(out.T.cov(), torch.eye(6, dtype=torch.float64), atol=1e-8) and out.mean(0).abs().max() < 1e-8


@pytest.mark.differs("LinearTransformation", "cannot be compared or hashed, its device must match", "a value; copied to the picture's device")
def test_linear_transformation_is_a_value():
    matrix, mean = whitening()
    one, same, other = LinearTransformation(matrix, mean), LinearTransformation(matrix.clone(), mean.clone()), LinearTransformation(matrix * 2, mean)
    assert one == same and hash(one) == hash(same) and repr(one) == repr(same)
    assert one != other and repr(one) != repr(other) and repr(one).startswith("LinearTransformation(float32 [24, 24] ")
    for copied in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert copied == one and torch.equal(copied(Image(picture(torch.float32, 3, 2, 4))), one(Image(picture(torch.float32, 3, 2, 4))))
    assert T.Compose([one]) == T.Compose([same])
    for wrong in ((matrix[:3], mean), (matrix, mean[:3]), (matrix[:, :, None], mean), (matrix, mean.double()), (matrix.long(), mean.long()), (matrix, mean.to("meta"))):
        with pytest.raises(ValueError, match="transformation_matrix"):
            LinearTransformation(*wrong)
    with pytest.raises(ValueError, match=r"for 24 numbers.*\[3, 4, 4\] has 48"):
        one(Image(torch.rand(3, 4, 4)))
