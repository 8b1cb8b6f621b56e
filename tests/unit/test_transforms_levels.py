"""Levels, histograms, sharpness, gamma and channels against torchvision and Pillow; a batch against its samples."""

import itertools

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from vdata import Key
from vdata.batch import Batch, collate
from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, Mask, Video
from vdata.transforms import Info, params_from_json, params_to_json, row
from vdata.transforms.channels import RandomChannelPermutation, among, permute_channels
from vdata.transforms.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
from vdata.transforms.gamma import adjust_gamma
from vdata.transforms.histogram import RandomAutocontrast, RandomEqualize, autocontrast, equalize
from vdata.transforms.levels import RandomInvert, RandomPosterize, RandomSolarize, invert, posterize, solarize
from vdata.transforms.sharpness import RandomAdjustSharpness, adjust_sharpness

WHITE = {torch.uint8: 255, torch.int16: 2**15 - 1, torch.uint16: 65535, torch.int32: 2**31 - 1, torch.int64: 2**63 - 1}
INTEGERS = [torch.uint8, torch.int16, torch.uint16, torch.int32]
CASES = [
    (invert, ()), *((posterize, (bits,)) for bits in (0, 1, 3, 7, 8)), *((solarize, (part,)) for part in (0.0, 0.3, 0.5, 1.0)),
    (autocontrast, ()), (equalize, ()), *((adjust_sharpness, (factor,)) for factor in (0.0, 0.4, 1.0, 3.0)),
    *((adjust_gamma, args) for args in ((0.0,), (0.5,), (1.0,), (2.2, 1.0), (0.8, 1.7), (2, 0.3))),
]  # fmt: skip
NAMES = [f"{verb.name}{args}" for verb, args in CASES]


def picture(dtype=torch.uint8, channels=3, *lead, size=(16, 24)):
    """Levels of all kinds: few on the left, as pictures have; black in the first channel, white in the last of several."""
    random = torch.Generator().manual_seed(7)
    unit = torch.rand(*lead, channels, *size, generator=random, dtype=torch.float64) * 0.7 + 0.1
    unit[..., : size[1] // 2] = (unit[..., : size[1] // 2] * 40).floor() / 255
    unit[..., 0, 0, 0] = 0
    if channels > 1:
        unit[..., -1, 0, 0] = 1
    if lead:
        unit[1, ..., 0, :, :] = 0.5  # an even channel
    return unit.to(dtype) if dtype.is_floating_point else (unit * WHITE[dtype]).round().clamp(max=WHITE[dtype]).to(dtype)


def scaled(verb, args, dtype):
    """Solarize's threshold is in the picture's own levels."""
    return (args[0] * WHITE.get(dtype, 1),) if verb is solarize else args


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("verb", "args"), CASES, ids=NAMES)
def test_verbs_are_torchvisions(verb, args, channels, dtype):
    args = scaled(verb, args, dtype)
    theirs = getattr(tvf, verb.name)
    tolerance = 1e-6 if verb is adjust_sharpness and dtype.is_floating_point else 0  # the sum of nine in another order
    x, clip = picture(dtype, channels), picture(dtype, channels, 2)
    out, expected = verb(x, *args), theirs(x, *args)
    assert out.dtype == dtype and (out.double() - expected.double()).abs().max() <= tolerance
    out, expected = verb(Video(clip), *args), theirs(tv_tensors.Video(clip), *args).as_subclass(torch.Tensor)
    assert type(out) is Video and (out.plain().double() - expected.double()).abs().max() <= tolerance
    before = x.clone()
    assert torch.equal(verb(Image(x), *args).plain(), verb(x, *args)) and torch.equal(x, before)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize(("verb", "args"), CASES, ids=NAMES)
def test_integers_of_every_width_follow_exact_arithmetic(verb, args, dtype):
    x = picture(dtype)
    out = verb(x, *scaled(verb, args, dtype))
    assert out.dtype == dtype and out.shape == x.shape
    if verb is equalize:
        return  # which depends on the number of levels: tested below
    exact = verb(x.double() / WHITE[dtype], *args)
    away = (out.double() / WHITE[dtype] - exact).abs().max() * min(WHITE[dtype], 2**24)
    # A level more for each rounding on the way; posterize's levels are k / 2**bits of white + 1 here, of white there.
    assert away <= (1.01 if verb in (invert, solarize, posterize) else 2.5)


@pytest.mark.parametrize(("verb", "args"), CASES, ids=NAMES)
@pytest.mark.differs("Colour transforms of RGBA", "many refuse four channels", "change RGB, keep alpha")
@pytest.mark.differs("Colour transforms of bool and uint32", "some compute nonsense, some fail unclearly", "raise TypeError with the remedy")
def test_alpha_is_kept_and_what_has_no_meaning_raises(verb, args):
    args = scaled(verb, args, torch.uint8)
    x = picture(torch.uint8, 4)
    out = verb(x, *args)
    assert torch.equal(out[:3], verb(x[:3], *args)) and torch.equal(out[3], x[3])
    for channels in (2, 5):
        with pytest.raises(ValueError, match=f"got {channels}"):
            verb(picture(torch.uint8, channels), *args)
    with pytest.raises(TypeError, match=r"torch.bool.*ToDtype\(torch.uint8, scale=True\)"):
        verb(x[:3] > 9, *args)
    with pytest.raises(TypeError, match=r"torch\.uint32"):
        verb(x[:3].to(torch.uint32), *args)
    with pytest.raises(NoKernelError, match="does not know how to move a Mask"):
        verb(Mask(x[0]), *args)


@pytest.mark.differs("RandomInvert, RandomSolarize with alpha", "invert the alpha too", "keep it")
@pytest.mark.differs("adjust_brightness, adjust_contrast, adjust_sharpness of int32", "white wraps round to -2^31", "computed in float64, white stays white")
def test_torchvision_inverts_alpha_and_its_integers_overflow():
    rgba = torch.full((4, 1, 1), 100, dtype=torch.uint8)
    assert tvf.invert(rgba).flatten().tolist() == [155] * 4 and invert(rgba).flatten().tolist() == [155, 155, 155, 100]
    assert tvf.solarize(rgba, 100)[3] == 155 and solarize(rgba, 100)[3] == 100
    with pytest.raises(NotImplementedError):
        tvf.solarize(picture(torch.uint16), 100)
    white = torch.full((1, 4, 4), 2**31 - 1, dtype=torch.int32)
    for verb in (adjust_brightness, adjust_sharpness, adjust_contrast):
        assert (getattr(tvf, verb.name)(white, 1.0) == -(2**31)).all() and torch.equal(verb(white, 1.0), white)
    assert (adjust_brightness(white.long() * 2**32, 3.0) > 2**62).all()
    assert adjust_hue(picture(torch.int32), 0.1).dtype == torch.int32  # torchvision: RuntimeError
    with pytest.raises(TypeError, match="smaller integer"):
        adjust_hue(picture(torch.int64), 0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("verb", "args"), CASES, ids=NAMES)
@pytest.mark.differs("RandomAdjustSharpness, adjust_gamma, RandomPosterize in half precision", "computed in half", "computed in float32, rounded once")
def test_half_precision_is_float32_rounded(verb, args, dtype):
    x = picture(dtype)
    out, exact = verb(x, *args), verb(x.float(), *args)
    assert out.dtype == dtype
    if verb is not solarize:  # whose threshold halves round too
        assert (out.float() - exact).abs().max() <= 4 * torch.finfo(dtype).eps
    assert verb(torch.ones(3, 4, 4, dtype=dtype), *args).isfinite().all()


@pytest.mark.differs("RandomPosterize of uint16", "0 to 8 bits", "0 to 16 bits")
def test_posterize_of_sixteen_bits():
    x = picture(torch.uint16)
    for bits in range(17):
        assert torch.equal(posterize(x, bits).int(), x.int() >> (16 - bits) << (16 - bits))
    assert posterize(torch.ones(1, 2, 2, dtype=torch.float16), 16).max() == 1


def test_equalize_of_eight_bits_is_pillows():
    for channels, mode in ((1, "L"), (3, "RGB")):
        x = picture(torch.uint8, channels, size=(40, 50))
        pil = PIL.Image.fromarray(x.permute(1, 2, 0).numpy().squeeze(), mode=None)
        assert pil.mode == mode
        assert torch.equal(equalize(x), torch.from_numpy(np.array(PIL.ImageOps.equalize(pil)).reshape(40, 50, channels)).permute(2, 0, 1))
        assert torch.equal(equalize(torch.stack([x, x.flip(-1)])), torch.stack([equalize(x), equalize(x).flip(-1)]))
    assert torch.equal(equalize(torch.full((3, 20, 20), 9, dtype=torch.uint8)), torch.full((3, 20, 20), 9, dtype=torch.uint8))
    assert equalize(torch.zeros(3, 0, 5)).shape == autocontrast(torch.zeros(3, 0, 5)).shape == (3, 0, 5)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int16], ids=str)
@pytest.mark.differs("RandomEqualize of more than 8 bits", "256 levels at most, white is not white", "65,536 levels, ranks kept")
def test_equalize_of_sixteen_bits_keeps_the_levels_that_torchvision_throws_away(dtype):
    x = (picture(torch.uint16, 1, size=(40, 50)).int() // 3 + 5000) // (1 if dtype == torch.uint16 else 2)
    out, theirs = (f(x.to(dtype)).int() for f in (equalize, tvf.equalize))
    white = WHITE[dtype]
    values = np.unique(x.numpy())
    darker = np.array([(x < int(v)).sum() for v in values], np.int64)
    exact = darker * white / darker[-1]
    assert all(abs(int(out[x == int(v)][0]) - e) <= 1 for v, e in zip(values, exact))
    assert (out.flatten()[x.flatten().argsort()].diff() >= 0).all()  # ranks stay
    assert int(out.max()) == white and int(out.min()) == 0 and int(theirs.max()) < white
    assert len(out.unique()) == len(values) > 900 > 256 >= len(theirs.unique())
    even = torch.full((1, 4, 4), 77, dtype=dtype)
    assert torch.equal(equalize(even), even)


ROWS = 5
REAL = st.floats(0, 3, width=32)
FACTORS = {adjust_brightness: REAL, adjust_contrast: REAL, adjust_saturation: REAL, adjust_hue: st.floats(-0.5, 0.5),
           adjust_sharpness: REAL, adjust_gamma: REAL, posterize: st.integers(0, 16), solarize: st.floats(0, 1)}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32, torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("verb", FACTORS, ids=lambda v: v.name)
@given(data=st.data())
def test_an_array_has_one_factor_a_row(verb, dtype, data):
    factors = np.array(data.draw(st.lists(FACTORS[verb], min_size=ROWS, max_size=ROWS)))
    factors = factors * WHITE.get(dtype, 1) if verb is solarize else factors
    wrap, lead = (Image, (ROWS,)) if data.draw(st.booleans()) else (Video, (ROWS, 2))
    x = wrap(picture(dtype, data.draw(st.sampled_from([1, 3, 4])), *lead, size=(6, 8)))
    rows = torch.from_numpy(factors) if data.draw(st.booleans()) else factors
    out = verb(x, rows)
    alone = torch.stack([verb(x[b], factors[b].item()).plain() for b in range(ROWS)])
    assert type(out) is wrap and out.dtype == dtype
    level = 2 * torch.finfo(dtype).eps if dtype == torch.float16 else 1e-5 if dtype.is_floating_point else 1
    if verb is adjust_hue and dtype == torch.int32:
        level = 4  # float64 of 31 bits, through a hue
    away = (out.plain().double() - alone.double()).abs()
    if verb is solarize and dtype == torch.float16:
        return
    assert away.max() <= level * (2 if dtype == torch.float16 else 1)
    if verb in (posterize, solarize, adjust_sharpness, adjust_brightness, adjust_saturation) and dtype != torch.float16:
        assert torch.equal(out.plain(), alone)


def test_gain_has_rows_too():
    x = Image(picture(torch.float32, 3, ROWS) * 1.2)
    gamma, gain = np.array([1.0, 0.5, 2.0, 1.0, 3.0]), np.array([1.0, 1.0, 1.5, 0.0, 0.7])
    out = adjust_gamma(x, gamma, gain)
    assert torch.allclose(out.plain(), torch.stack([adjust_gamma(x[b], gamma[b].item(), gain[b].item()).plain() for b in range(ROWS)]), atol=1e-6)
    assert torch.equal(adjust_gamma(x, 0.5, gain)[1].plain(), adjust_gamma(x[1], 0.5).plain())


def test_rows_that_do_not_fit_say_so():
    one, batch = Image(picture()), Image(picture(torch.uint8, 3, 2))
    for verb in FACTORS:
        with pytest.raises(ValueError, match="one a row of a batch, but this is one Image"):
            verb(one, np.zeros(3, int))
        with pytest.raises(ValueError, match="3 entries, but the batch has 2 rows"):
            verb(batch, np.zeros(3, int))
        with pytest.raises(ValueError, match=r"at least 0|in \["):
            verb(batch, np.array([0, -1]))
    for wrong in (
        lambda: posterize(one, 17), lambda: posterize(one, 2.5), lambda: posterize(one, True), lambda: solarize(one, 256), lambda: solarize(one, -1),
        lambda: solarize(Image(torch.rand(3, 4, 4)), 128), lambda: adjust_gamma(one, -1), lambda: adjust_gamma(one, 1, -1),
        lambda: adjust_sharpness(one, -0.1), lambda: adjust_sharpness(one, float("nan")),
        lambda: RandomPosterize(17), lambda: RandomPosterize(-1), lambda: RandomPosterize(2.5), lambda: RandomSolarize(-1), lambda: RandomSolarize("1"),
        lambda: RandomAdjustSharpness(-1), lambda: RandomAdjustSharpness(None), lambda: RandomInvert(1.5), lambda: RandomEqualize(-0.1), lambda: RandomAutocontrast(p="x"),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2), (3, 3)])
def test_sharpness_leaves_borders(size):
    x = picture(torch.uint8, 3, size=size)
    out = adjust_sharpness(x, 0.0)
    assert torch.equal(out, tvf.adjust_sharpness(x, 0.0))
    inside = torch.zeros(size, dtype=torch.bool)
    inside[1:-1, 1:-1] = True
    assert torch.equal(out[:, ~inside], x[:, ~inside])


@pytest.mark.differs("permute_channels", "[0, 0, 1] loses a channel silently", "raises")
def test_permute_channels():
    for channels in (1, 2, 3, 5):
        x, clip = picture(torch.uint8, channels), picture(torch.uint16, channels, 2)
        for order in itertools.islice(itertools.permutations(range(channels)), 0, None, 7):
            assert torch.equal(permute_channels(x, list(order)), tvf.permute_channels(x, list(order)))
            assert torch.equal(permute_channels(Video(clip), torch.tensor(order)).plain(), tvf.permute_channels(clip, list(order)))
    rgba = picture(torch.uint8, 4)
    assert torch.equal(permute_channels(rgba, (2, 0, 1)), rgba[[2, 0, 1, 3]])
    assert torch.equal(permute_channels(rgba, [3, 0, 1, 2]), rgba[[3, 0, 1, 2]])
    orders = Key.of(0, np.arange(4)).permutation(3)
    for x in (Image(picture(torch.uint8, 3, 4)), Image(picture(torch.uint8, 4, 4)), Video(picture(torch.float32, 3, 4, 2))):
        out = permute_channels(x, orders)
        assert all(torch.equal(out[b].plain(), permute_channels(x[b], orders[b].tolist()).plain()) for b in range(4))
    for wrong in ([0, 1], [0, 0, 1], [1, 2, 3], 3, orders, [[0, 1, 2]] * 3):
        with pytest.raises(ValueError, match="permutation"):
            permute_channels(Image(picture()), wrong)
    assert tvf.permute_channels(picture(), [0, 0, 1]).shape == (3, 16, 24)  # torchvision loses a channel in silence


@given(seed=st.integers(0, 2**32), count=st.integers(1, 9), fewer=st.integers(1, 9))
def test_a_permutation_among_the_first_is_the_one_drawn_for_them_alone(seed, count, fewer):
    key = Key.of(seed, [0, 1, 2])
    assert np.array_equal(among(key.permutation(max(count, fewer)), fewer), key.permutation(fewer))


CLASSES = [RandomInvert(), RandomPosterize(3), RandomSolarize(100), RandomAutocontrast(), RandomEqualize(), RandomAdjustSharpness(2.5), RandomChannelPermutation()]


@pytest.mark.parametrize("transform", CLASSES, ids=lambda t: type(t).__name__)
def test_classes_have_torchvisions_arguments_and_results(transform):
    theirs = getattr(tv, type(transform).__name__)
    arguments = [v for n, v in vars(transform).items() if n != "p"]
    other = theirs(*arguments)
    assert not hasattr(transform, "p") or transform.p == other.p == 0.5
    x = picture()
    params = row(transform.draw(Key.of(3), Info.of([{"image": Image(x)}])), 0)
    assert params_from_json(params_to_json(params)) == params
    if isinstance(transform, RandomChannelPermutation):
        expected = other.transform(x, {"permutation": torch.tensor(params["permutation"])})
    else:
        expected = other.transform(x, {})
    assert torch.equal(transform.change(params, Image(x)).plain(), expected)


@pytest.mark.parametrize("transform", CLASSES[:-1], ids=lambda t: type(t).__name__)
def test_a_coin_a_sample(transform):
    kind = type(transform)
    arguments = [v for n, v in vars(transform).items() if n != "p"]
    x = picture()
    sample = {"image": Image(x), "clip": Video(picture(torch.uint8, 1, 2)), "flow": Flow(torch.rand(2, 16, 24), views=("image", "next")), "mask": Mask(x[0], frame="image"),
              "boxes": BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(16, 24), frame="image"), "label": 3}  # fmt: skip
    never, always = kind(*arguments, p=0.0)(sample), kind(*arguments, p=1)(sample)
    assert all(never[n] is v for n, v in sample.items())
    for name in ("image", "clip"):
        assert torch.equal(always[name].plain(), transform.change({}, sample[name]).plain()) and type(always[name]) is type(sample[name])
        assert not torch.equal(always[name].plain(), sample[name].plain())
    assert all(always[n] is sample[n] for n in ("flow", "mask", "boxes", "label"))
    drawn = kind(*arguments, p=0.3).draw(Key.of(0, np.arange(2000)), Info({}, count=2000))["apply"]
    assert 0.27 < drawn.mean() < 0.33
    assert eval(repr(transform), {kind.__name__: kind}) == transform and hash(transform) == hash(kind(*arguments))


@pytest.mark.parametrize("transform", CLASSES, ids=lambda t: type(t).__name__)
def test_a_batch_is_its_samples(transform):
    pictures = picture(torch.uint8, 3, 6)
    samples = [{"image": Image(pictures[b]), "clip": Video(pictures[b][None]), "ragged": Image(picture(torch.uint8, 3 if b % 2 else 1, size=(3 + b % 3, 5)))} for b in range(6)]
    keys = Key.of(0, 0, np.arange(6))
    batch = collate(samples)
    out = transform(batch, key=keys)
    assert isinstance(out, Batch)
    for b, sample in enumerate(samples):
        alone = transform(sample, key=keys[b])
        for name in sample:
            assert torch.equal(out[name][b].plain(), alone[name].plain()) and type(out[name][b]) is type(sample[name])


@pytest.mark.differs("RandomChannelPermutation of RGBA", "moves the alpha", "keeps it, each picture by its own count")
def test_a_channel_permutation_keeps_alpha_and_knows_many_channels():
    seen = set()
    for b in range(40):
        sample = {"rgba": Image(torch.arange(4.0).reshape(4, 1, 1)), "bands": Image(torch.arange(7.0).reshape(7, 1, 1)), "grey": Image(torch.ones(1, 1, 1))}
        out = {n: v.flatten().tolist() for n, v in RandomChannelPermutation()(sample, key=Key.of(b)).items()}
        assert out["rgba"][3] == 3 and sorted(out["bands"]) == list(range(7)) and out["grey"] == [1]
        assert out["rgba"][:3] == [v for v in out["bands"] if v < 3]
        seen.add(tuple(out["rgba"]))
    assert len(seen) == 6
