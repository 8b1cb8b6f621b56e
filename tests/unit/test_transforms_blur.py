"""Blur, motion blur, noise and JPEG against torchvision and exact arithmetic; a batch against its samples."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from vdata import Key
from vdata.batch import Ragged, collate
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, Mask, Video
from vdata.transforms import Compose, Info, params_from_json, params_to_json, row
from vdata.transforms.blur import GaussianBlur, gaussian_blur
from vdata.transforms.jpeg import JPEG, jpeg
from vdata.transforms.motion_blur import MotionBlur, motion_blur
from vdata.transforms.noise import GaussianNoise, gaussian_noise

WHITE = {torch.uint8: 255, torch.int16: 2**15 - 1, torch.uint16: 65535, torch.int32: 2**31 - 1, torch.int64: 2**63 - 1}
KERNELS = [(1, None), (3, None), (5, 0.3), ((3, 7), (1.5, 0.6)), ((9, 1), 3.0), (23, [2.0])]
TRANSFORMS = [GaussianBlur(5), GaussianBlur((3, 7), (0.5, 4.0)), MotionBlur(p=0.7), GaussianNoise(0.02, 0.1), JPEG((10, 90))]
TV = lambda size: list(size) if isinstance(size, tuple) else size  # torchvision's kernels want lists


def picture(dtype=torch.uint8, channels=3, *lead, size=(18, 25)):
    unit = torch.rand(*lead, channels, *size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    unit[..., :2, :2] = 1
    return unit.to(dtype) if dtype.is_floating_point else (unit * WHITE[dtype]).round().clamp(max=WHITE[dtype]).to(dtype)


def gap(a, b):
    """The greatest difference; typed tensors too."""
    a, b = (t.as_subclass(torch.Tensor).double() for t in (a, b))
    return (a - b).abs().max().item()


# ---- Gaussian blur


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("kernel_size", "sigma"), KERNELS)
def test_gaussian_blur_is_torchvisions(kernel_size, sigma, dtype):
    size = (60, 70)  # torchvision needs more than half a kernel
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-13}.get(dtype, 1)
    for x in (picture(dtype, 3, size=size), picture(dtype, 1, size=size), picture(dtype, 2, 4, size=size)):
        out, theirs = gaussian_blur(x, kernel_size, sigma), tvf.gaussian_blur(x, TV(kernel_size), TV(sigma))
        assert out.dtype == dtype and gap(out, theirs) <= tolerance
        if dtype == torch.uint8:  # sums in another order, so a tie may be rounded the other way
            assert (out != theirs).double().mean() < 1e-3
    clip = picture(dtype, 2, 3, size=size)
    out = gaussian_blur(Video(clip), kernel_size, sigma)
    assert type(out) is Video and gap(out, tvf.gaussian_blur(tv_tensors.Video(clip), TV(kernel_size), TV(sigma))) <= tolerance


@pytest.mark.differs("GaussianBlur of pictures no larger than half the kernel", "fails", "reflects back and forth (a single pixel: repeats it)")
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([(5, 5), (13, 3), (1, 11)]))
def test_small_pictures_are_reflected_back_and_forth(height, width, kernel_size):
    x = torch.rand(2, height, width, dtype=torch.float64)
    across, down = kernel_size[0] // 2, kernel_size[1] // 2
    around = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (down, down), (across, across)), "reflect"))
    weights = [np.exp(-((np.arange(size) - size // 2) ** 2) / 8) for size in kernel_size]
    kernel = torch.from_numpy(np.outer(weights[1] / weights[1].sum(), weights[0] / weights[0].sum()))
    out = gaussian_blur(x, kernel_size, 2.0)
    assert gap(out, torch.nn.functional.conv2d(around[:, None], kernel[None, None])[:, 0]) < 1e-13
    assert out.shape == x.shape and x.min() - 1e-12 <= out.min() and out.max() <= x.max() + 1e-12
    if across >= width or down >= height:
        with pytest.raises(RuntimeError):
            tvf.gaussian_blur(x, list(kernel_size), 2.0)


def test_a_blur_of_an_even_picture_and_of_none_is_that_picture():
    for dtype, white in WHITE.items():
        white = white if dtype != torch.int64 else 2**40
        even = torch.full((1, 4, 5), white, dtype=dtype)
        assert torch.equal(gaussian_blur(even, 5), even) and torch.equal(motion_blur(even, 5, 30.0), even)
    assert gaussian_blur(torch.zeros(3, 0, 5), 3).shape == (3, 0, 5)
    whitest = torch.full((1, 4, 5), 2**63 - 1)  # float64 has no such number, and the next one would wrap round
    assert gaussian_blur(whitest, 3).min() > 2**62
    negative = torch.full((1, 4, 5), -7, dtype=torch.int16)
    assert torch.equal(gaussian_blur(negative, 3), negative)
    assert gap(gaussian_blur(picture(torch.float32), 3, 1e-200), picture(torch.float32)) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_float32_rounded(dtype):
    x = picture(dtype)
    assert torch.equal(gaussian_blur(x, 5, 1.0), gaussian_blur(x.float(), 5, 1.0).to(dtype))
    noisy = gaussian_noise(x.float(), noise=3).to(dtype)
    assert torch.equal(gaussian_noise(x, noise=3), noisy)


def test_uint16_is_blurred_in_its_own_levels():
    x = picture(torch.uint16)
    assert gap(gaussian_blur(x, 5, 1.0), gaussian_blur(x.double(), 5, 1.0)) <= 0.51


@pytest.mark.parametrize("arguments", [(4,), (0,), ((3, 5, 7),), (3, 0.0), (3, (1.0, -1.0)), (3, (1.0, 2.0, 3.0)), (3, np.ones(3)), (2.5,)])
def test_wrong_blurs_say_so(arguments):
    with pytest.raises(ValueError, match=r"kernel_size|sigma"):
        gaussian_blur(picture(), *arguments)
    with pytest.raises(TypeError, match="bool"):
        gaussian_blur(picture() > 9, 3)
    if len(arguments) == 1 or not isinstance(arguments[1], np.ndarray):
        with pytest.raises(ValueError):
            GaussianBlur(*arguments)


def test_gaussian_blur_draws_one_sigma_for_all_pictures_of_a_sample():
    sigma = GaussianBlur(3, (0.5, 1.5)).draw(Key.of(0, 0, np.arange(500)), Info({}))["sigma"]
    assert sigma.shape == (500,) and 0.5 <= sigma.min() < 0.55 and 1.45 < sigma.max() <= 1.5
    assert GaussianBlur(3, 2.0).sigma == GaussianBlur(3, [2.0]).sigma == tuple(tv.GaussianBlur(3, 2.0).sigma)
    sample = {"image1": Image(picture(torch.float32)), "image2": Image(picture(torch.float32))}
    out = GaussianBlur(5)(sample, key=Key.of(3))
    assert torch.equal(out["image1"].plain(), out["image2"].plain())


# ---- motion blur


def centroid(x):
    y, x_ = (torch.arange(s, dtype=torch.float64) for s in x.shape[-2:])
    return (x.sum(-1) * y).sum().item() / x.sum().item(), (x.sum(-2) * x_).sum().item() / x.sum().item()


@given(st.sampled_from([1, 3, 5, 7, 15]), st.floats(-400, 400))
def test_motion_blur_moves_nothing(kernel_size, angle):
    dot = torch.zeros(1, 21, 31, dtype=torch.float64)
    dot[0, 10, 15] = 1
    out = motion_blur(dot, kernel_size, angle)
    assert out.sum().item() == pytest.approx(1) and (out >= 0).all()
    assert centroid(out[0]) == pytest.approx((10, 15), abs=1e-9)
    assert gap(out, out.flip(-1, -2)) < 1e-12  # the same both ways from the middle
    half = kernel_size // 2
    assert out[0, 10 - half : 11 + half, 15 - half : 16 + half].sum().item() == pytest.approx(1)


@pytest.mark.parametrize(("angle", "down", "right"), [(0, 0, 1), (90, 1, 0), (45, -1, 1), (135, 1, 1), (180, 0, 1), (30, -1, 3**0.5)])
def test_motion_blur_lies_along_its_angle(angle, down, right):
    dot = torch.zeros(1, 31, 31, dtype=torch.float64)
    dot[0, 15, 15] = 1
    out = motion_blur(dot, 13, angle)[0]
    y, x = torch.meshgrid(torch.arange(-15.0, 16), torch.arange(-15.0, 16), indexing="ij")
    along, across = (x * right + y * down) / (right**2 + down**2) ** 0.5, (x * down - y * right) / (right**2 + down**2) ** 0.5
    assert (out * along**2).sum() > 10 * (out * across**2).sum()
    if angle % 90 == 0:  # an even mean of 13 pixels
        assert out[out > 0].tolist() == pytest.approx([1 / 13] * 13)


def test_motion_blur_draws_odd_lengths_and_all_angles():
    params = MotionBlur((3, 9), (0, 90)).draw(Key.of(0, 0, np.arange(1000)), Info({}))
    assert set(params["kernel_size"].tolist()) == {3, 5, 7, 9} and 0 <= params["angle"].min() < params["angle"].max() < 90
    assert abs(params["apply"].mean() - 0.5) < 0.06
    assert MotionBlur(5, 45).kernel_size == (5, 5) and MotionBlur(5, 45).angle == (45, 45)
    for wrong in ((4,), ((3, 8),), ((7, 3),), (3, "x"), (3, (2, 1)), (3, 0, 2)):
        with pytest.raises(ValueError):
            MotionBlur(*wrong)
    for wrong in ((4, 0.0), (3, float("nan")), (3, np.zeros(2))):
        with pytest.raises(ValueError):
            motion_blur(picture(), *wrong)


# ---- noise


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.int32, torch.float32, torch.float64], ids=str)
@pytest.mark.differs("GaussianNoise of uint16 and other integers", "raises", "the same share of white for every dtype")
def test_noise_has_its_mean_and_deviation_in_every_dtype(dtype):
    white = WHITE.get(dtype, 1)
    x = torch.full((3, 100, 120), 0.5, dtype=torch.float64).mul(white).to(dtype)
    share = (gaussian_noise(x, 0.1, 0.05, noise=11).double() - x.double()) / white
    assert share.mean().item() == pytest.approx(0.1, abs=1e-3) and share.std().item() == pytest.approx(0.05, rel=0.02)
    if dtype not in (torch.uint8, torch.float32, torch.float64):
        with pytest.raises(ValueError, match="uint8 or float"):
            tvf.gaussian_noise(x, 0.1, 0.05)


@pytest.mark.differs("GaussianNoise of uint8", "the noise is cut off towards 0: half a level of it lost", "the sum is rounded")
def test_small_noise_on_bytes_is_not_lost():
    x, sigma = torch.full((1, 200, 200), 100, dtype=torch.uint8), 0.7 / 255
    torch.manual_seed(0)
    ours, theirs = gaussian_noise(x, sigma=sigma).double().std(), tvf.gaussian_noise(x, sigma=sigma).double().std()
    exact = (0.7**2 + 1 / 12) ** 0.5  # of the sum and its rounding
    assert abs(ours - exact) < 0.03 and theirs < 0.6 * exact


@pytest.mark.differs("GaussianNoise(clip=False) of integers", "wraps round: black becomes white", "stays within the dtype's range")
def test_without_clipping_integers_do_not_wrap_round():
    x = torch.tensor([0, 255], dtype=torch.uint8).repeat(1, 50, 50)
    out = gaussian_noise(x, sigma=0.05, clip=False, noise=1)
    assert gap(out, x) < 60 and gap(tvf.gaussian_noise(x, sigma=0.05, clip=False), x) > 200
    floats = gaussian_noise(x / 255, sigma=0.05, clip=False, noise=1)
    assert floats.min() < 0 and floats.max() > 1
    clipped = gaussian_noise(x / 255, sigma=0.05, noise=1)
    assert torch.equal(clipped, floats.clamp(0, 1))
    signed = gaussian_noise(torch.zeros(1, 20, 20, dtype=torch.int16), sigma=0.05, clip=False, noise=1)
    assert signed.min() < 0


def test_every_picture_and_frame_has_its_own_noise_and_params_hold_its_key():
    grey = torch.full((1, 40, 50), 0.5)
    noise = GaussianNoise()
    sample = {"image1": Image(grey), "image2": Image(grey), "clip": Video(grey.repeat(2, 1, 1, 1)), "flow": Flow(torch.zeros(2, 40, 50))}
    params = noise.draw(Key.of(7), Info.of([sample]))
    out = noise.apply(row(params, 0), sample)
    patterns = torch.stack([out["image1"].plain(), out["image2"].plain(), *out["clip"].plain()]).flatten(1)
    assert (torch.corrcoef(patterns) - torch.eye(4)).abs().max() < 0.1
    assert out["flow"] is sample["flow"]
    again = noise.apply(params_from_json(params_to_json(row(params, 0))), sample)
    assert all(torch.equal(out[n].plain(), again[n].plain()) for n in out)
    assert params["noise"].dtype == np.uint64


def test_noise_by_hand_follows_torchs_generator_and_keeps_alpha():
    x = picture(torch.uint8, 4)
    torch.manual_seed(3)
    first = gaussian_noise(x)
    torch.manual_seed(3)
    assert torch.equal(first, gaussian_noise(x)) and not torch.equal(first, gaussian_noise(x))
    assert torch.equal(first[3], x[3]) and not torch.equal(first[:3], x[:3])
    for wrong in ({"sigma": -1.0}, {"noise": np.ones(4, np.uint64)}):
        with pytest.raises(ValueError):
            gaussian_noise(picture(torch.uint8, 3, 2), **wrong)
    for wrong in ((0.0, -1.0), ("x",)):
        with pytest.raises(ValueError):
            GaussianNoise(*wrong)


# ---- JPEG


QUIET = "ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning"


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize("quality", [1, 30, 75, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_torchvisions(quality, channels):
    for lead in ((), (2,)):
        x = picture(torch.uint8, channels, *lead)
        assert gap(jpeg(x, quality), tvf.jpeg(x, quality)) <= 1  # their two libjpegs may round differently
    clip = picture(torch.uint8, channels, 2)
    out = jpeg(Video(clip), quality)
    assert type(out) is Video and out.is_contiguous() and gap(out, tvf.jpeg(clip, quality)) <= 1


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.differs("JPEG of RGBA", "fails", "compresses RGB, keeps alpha")
def test_jpeg_says_what_it_cannot_do():
    x = picture(torch.uint8, 4)
    assert torch.equal(jpeg(x, 50)[3], x[3]) and torch.equal(jpeg(x, 50)[:3], jpeg(x[:3], 50))
    with pytest.raises(RuntimeError):
        tvf.jpeg(x, 50)
    with pytest.raises(TypeError, match=r"float32.*ToDtype\(torch.uint8, scale=True\)"):
        jpeg(picture(torch.float32), 50)
    for wrong in (0, 101, 50.5):
        with pytest.raises(ValueError, match="quality"):
            jpeg(picture(), wrong)
    for wrong in (0, 101, (50, 40), (1, 2, 3), 50.5, True):
        with pytest.raises(ValueError, match="quality"):
            JPEG(wrong)
    assert jpeg(picture()[:, :0], 50).shape == (3, 0, 25)
    drawn = JPEG((20, 22)).draw(Key.of(0, 0, np.arange(100)), Info({}))["quality"]
    assert set(drawn.tolist()) == {20, 21, 22} and JPEG(30).quality == (30, 30)


# ---- all of them


def samples(dtype, ragged=False, count=5):
    sizes = [(18, 25), (14, 31)] if ragged else [(18, 25)]
    pick = lambda b: sizes[b % len(sizes)]
    return [
        {
            "image1": Image(picture(dtype, 3, size=pick(b)).roll(b, -1)), "image2": Image(picture(dtype, 3, size=pick(b)).roll(2 * b, -2)),
            "clip": Video(picture(dtype, 1, 2, size=(9, 12)).roll(b, -1)),
            "flow": Flow(torch.full((2, *pick(b)), float(b))), "mask": Mask(torch.full(pick(b), b), frame="image1"),
            "boxes": BoundingBoxes(torch.full((b, 4), 3.0), format="XYXY", canvas_size=pick(b), frame="image1"),
        }
        for b in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("ragged", [False, True], ids=["stacked", "ragged"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_a_batch_is_its_samples_and_labels_stay(transform, dtype, ragged):
    if isinstance(transform, JPEG) and dtype != torch.uint8:
        return
    alone, keys = samples(dtype, ragged), Key.of(0, 1, [3, 5, 8, 13, 21])
    outs = [transform(sample, key=keys[b]) for b, sample in enumerate(alone)]
    batch = collate(alone)
    before = {n: v if isinstance(v, Ragged) else v.clone() for n, v in batch.items()}
    together = transform(batch, key=keys)
    for b, out in enumerate(outs):
        for name, leaf in out.items():
            got = together[name][b]
            assert type(got) is type(leaf) and got.dtype == leaf.dtype
            if isinstance(leaf, (Image, Video)):
                assert torch.equal(got.plain(), leaf.plain()), name
            else:
                assert torch.equal(got.plain(), alone[b][name].plain())
    assert all(torch.equal(batch[n], v) for n, v in before.items() if isinstance(v, torch.Tensor))
    changed = sum(not torch.equal(out["image1"].plain(), s["image1"].plain()) for out, s in zip(outs, alone, strict=True))
    assert changed > 0


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_params_are_replayed_and_unknown_leaves_raise(transform):
    sample = samples(torch.uint8, count=2)[1]
    params = transform.draw(Key.of(4), Info.of([sample]))
    again = params_from_json(params_to_json(params))
    for name, leaf in transform.apply(row(params, 0), sample).items():
        assert torch.equal(transform.apply(row(again, 0), sample)[name].plain(), leaf.plain())
    with pytest.raises(NoKernelError):
        Compose([transform])({**sample, "heat": torch.zeros(18, 25)})


def test_rows_of_arguments_are_the_loop():
    x = picture(torch.float32, 3, 4)
    sigma, size, angle = np.array([0.4, 1.0, 1.7, 3.0]), np.array([3, 7, 1, 5]), np.array([0.0, 33.0, 90.0, 200.0])
    pairs, keys, quality = np.stack([sigma, sigma[::-1]], 1), np.arange(4, dtype=np.uint64), np.array([5, 20, 60, 100])
    whole = (x * 255).to(torch.uint8)
    for b in range(4):
        assert torch.equal(gaussian_blur(x, 7, sigma)[b], gaussian_blur(x[b], 7, sigma[b].item()))
        assert torch.equal(gaussian_blur(x, 7, pairs)[b], gaussian_blur(x[b], 7, pairs[b].tolist()))
        assert torch.equal(gaussian_blur(x, 7, torch.from_numpy(sigma))[b], gaussian_blur(x[b], 7, sigma[b].item()))
        assert torch.equal(motion_blur(x, size, angle)[b], motion_blur(x[b], int(size[b]), angle[b].item()))
        assert torch.equal(motion_blur(x, 5, angle)[b], motion_blur(x[b], 5, angle[b].item()))
        assert torch.equal(gaussian_noise(x, 0.0, sigma, noise=keys)[b], gaussian_noise(x[b], 0.0, sigma[b].item(), noise=b))
        assert torch.equal(jpeg(whole, quality)[b], jpeg(whole[b], int(quality[b])))
