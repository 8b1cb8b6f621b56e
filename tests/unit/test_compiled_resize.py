"""The compiled loop that resizes bytes gives what torch's byte kernel gives, bit for bit."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image as pillow
from torch._subclasses import FakeTensorMode
from torch.nn.functional import interpolate

import vdata
from tests.unit.guarded import guarded
from vdata import compiled
from vdata import transforms as T
from vdata.codecs import baseline, image
from vdata.compiled.resize import AT_ONCE, _pairs, fit, resize_planes, resized
from vdata.encoded import Encoded
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Image, Video
from vdata.transforms import functional as F
from vdata.transforms import resize as module
from vdata.transforms.resize import BILINEAR, resize_beginning, resize_each, resize_pixels

pytestmark = [
    pytest.mark.skipif(compiled.numba() is None, reason="needs numba"),
    pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="torch has its byte kernel for other processors alone"),
]


def by_torch(x, new, antialias):
    return interpolate(x[None], size=new, mode="bilinear", antialias=antialias, align_corners=False)[0]


def by_loop(x, new, antialias, shown=None):
    return resized([x], new, shown or new, antialias)[0]


def bytes_of(rng, *shape):
    """Noise, black and white, or what is smooth."""
    x = rng.integers(0, 256, shape, np.uint8)
    kind = rng.integers(3)
    if kind == 1:
        x = np.where(x > 127, 255, 0).astype(np.uint8)
    elif kind == 2:
        x = np.cumsum(x % 5, -1).astype(np.uint8)
    return torch.from_numpy(x)


@pytest.mark.parametrize("seed", range(8))
def test_sizes_of_all_kinds(seed):
    rng, done = np.random.default_rng(seed), 0
    while done < 250:
        old, new = tuple(rng.integers(AT_ONCE, 260, 2).tolist()), (int(rng.integers(1, 260)), int(rng.integers(AT_ONCE, 260)))
        if rng.random() < 0.2:
            new = (old[0], new[1]) if rng.random() < 0.5 else (new[0], old[1])
        shown = new if rng.random() < 0.5 else (int(rng.integers(1, new[0] + 1)), int(rng.integers(AT_ONCE, new[1] + 1)))
        antialias = bool(rng.integers(2))
        if old == new or not fit(old, new, shown, antialias):
            continue
        x = bytes_of(rng, int(rng.integers(1, 6)), *old)
        assert torch.equal(by_loop(x, new, antialias, shown), by_torch(x, new, antialias)[:, : shown[0], : shown[1]]), (old, new, shown, antialias)
        done += 1


@pytest.mark.parametrize("antialias", [False, True])
def test_every_ratio_near_those_where_another_pixel_gets_a_weight(antialias):
    """Weights are rounded from float64: sizes whose pixels' borders fall together are where another order of operations would show."""
    x = bytes_of(np.random.default_rng(0), 1, 64, 512)
    for old in (32, 48, 63, 64, 96, 100, 128, 192, 255, 256, 257, 384, 512):
        part = x[..., :old]
        for new in {*range(32, 72), *range(max(32, old - 3), old + 4), max(32, old // 2), max(32, old // 3), 2 * old, 3 * old, 224}:
            if new != old and fit((64, old), (64, new), (64, new), antialias):
                assert torch.equal(by_loop(part, (64, new), antialias), by_torch(part.contiguous(), (64, new), antialias)), (old, new)
                tall = part.transpose(1, 2).contiguous()
                assert torch.equal(by_loop(tall, (new, 64), antialias), by_torch(tall, (new, 64), antialias)), (old, new)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("old", "new"), [(4100, 4099), (5192, 2393), (7360, 3001), (8000, 2561), (12000, 1601), (1_000_003, 32)])
def test_long_sides(old, new, antialias):
    """Without antialias torch takes the floor of a place in float32."""
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (1, 32, old), np.uint8) * 255)
    assert torch.equal(by_loop(x, (32, new), antialias), by_torch(x, (32, new), antialias))


def test_few_pixels_and_few_of_many_are_left_to_torch():
    assert not fit((31, 100), (64, 64), (64, 64), True) and not fit((100, 31), (64, 64), (64, 64), True)
    assert not fit((100, 100), (64, 31), (64, 31), True) and not fit((100, 100), (64, 64), (64, 31), True)
    assert fit((32, 32), (1, 32), (1, 32), False) and not fit((33, 32), (1, 32), (1, 32), True)
    for old in range(32, 200):
        for new in range(1, 200):  # as many weights as there may be, but for one at a border that is 0
            taps = max(min(int(old / new * (i + 0.5) + max(old / new, 1) + 0.5), old) - max(int(old / new * (i + 0.5) - max(old / new, 1) + 0.5), 0) for i in range(new))
            assert taps <= 2 * _pairs(old, new, True) + 1


def test_nothing_beyond_pixels_is_touched():
    rng = np.random.default_rng(1)
    for _ in range(150):
        old, new = tuple(rng.integers(AT_ONCE, 90, 2).tolist()), (int(rng.integers(1, 90)), int(rng.integers(AT_ONCE, 90)))
        shown, antialias = (int(rng.integers(1, new[0] + 1)), int(rng.integers(AT_ONCE, new[1] + 1))), bool(rng.integers(2))
        if old == new or not fit(old, new, shown, antialias):
            continue
        x = rng.integers(0, 256, (2, *old), np.uint8)
        source, out = guarded(x.tobytes()), guarded(bytes(2 * shown[0] * shown[1]))
        pairs = [_pairs(o, n, antialias) for o, n in zip(old, new, strict=True)]
        mirrored = bool(old[1] != new[1] and rng.integers(2))
        about = [source.ctypes.data, old[0] * old[1], old[1], 2, *old, *pairs, out.ctypes.data, mirrored]
        resize_planes(np.array([about], np.int64), *new, *shown, antialias)
        want = by_torch(torch.from_numpy(x), new, antialias)[:, : shown[0], : shown[1]]
        assert np.array_equal(out.reshape(want.shape), (want.flip(-1) if mirrored else want).numpy())


@pytest.fixture
def used(monkeypatch):
    """Done by the loop from the first picture on; how many pictures each of its calls had."""
    calls: list[int] = []
    inner = module.compiled.resized

    def counted(pictures, *how):
        calls.append(len(pictures))
        return inner(pictures, *how)

    monkeypatch.setattr(module._loop, "ready", lambda numbers, given: True)
    monkeypatch.setattr(module.compiled, "resized", counted)
    return calls


@pytest.mark.parametrize("antialias", [False, True])
def test_pictures_however_they_lie(used, antialias):
    base = bytes_of(np.random.default_rng(2), 4, 3, 130, 150)
    views = {
        "batch": base, "video": base[:, None], "one": base[0], "grey": base[0, :1], "no channels": base[0, 0][None], "five": base.flatten(0, 1)[:5], "cut": base[..., 3:121, 7:140],
        "cut of one": base[1, :, 3:121, 7:140], "expanded": base[0, :1].expand(3, 130, 150), "every second": base[::2, :, ::2], "some planes": base[:, :2],
    }  # fmt: skip
    for name, x in views.items():
        before = len(used)
        got = resize_pixels(x, (90, 64), BILINEAR, antialias)
        assert len(used) == before + 1, name
        want = torch.stack([by_torch(one.contiguous(), (90, 64), antialias) for one in x.reshape(-1, *x.shape[-3:])]).reshape(got.shape)
        assert torch.equal(got, want), name
    for other in (base[0].permute(1, 2, 0).contiguous().permute(2, 0, 1), base[0].transpose(1, 2), base[0].float(), base[0].short()):
        before = len(used)
        resize_pixels(other, (90, 64), BILINEAR, antialias)
        assert len(used) == before
    for other in (T.InterpolationMode.BICUBIC, T.InterpolationMode.NEAREST):
        resize_pixels(base[0], (90, 64), other, antialias)
        assert len(used) == before


def test_pictures_of_many_sizes_at_once(used):
    rng = np.random.default_rng(3)
    pictures = [bytes_of(rng, int(rng.integers(1, 5)), *rng.integers(1, 200, 2).tolist()) for _ in range(60)] + [bytes_of(rng, 3, 48, 56)]
    for antialias in (False, True):
        for picture, got in zip(pictures, resize_each(pictures, (48, 56), BILINEAR, antialias), strict=True):
            want = picture if picture.shape[1:] == (48, 56) else by_torch(picture, (48, 56), antialias)
            assert torch.equal(got, want)
        files = [torch.zeros(2, 3, 70, 80, dtype=torch.uint8), bytes_of(rng, 2, 70, 80), bytes_of(rng, 40, 3, 48, 60)]  # as many leading, not as many planes
        assert [x.shape for x in resize_each(files, (48, 56), BILINEAR, antialias)] == [(2, 3, 48, 56), (2, 48, 56), (40, 3, 48, 56)]
    assert sum(used) > 60 and max(used) > 5
    assert resize_each([], (48, 56), BILINEAR, True) == []


def test_a_picture_is_mirrored_in_passing(used):
    rng = np.random.default_rng(6)
    pictures = [bytes_of(rng, int(rng.integers(1, 5)), int(rng.integers(1, 120)), int(rng.choice([7, 40, 56, 90]))) for _ in range(80)]
    for antialias in (False, True):
        turned = (rng.random(len(pictures)) < 0.5).tolist()
        plain = resize_each(pictures, (48, 56), BILINEAR, antialias)
        for turn, want, got in zip(turned, plain, resize_each(pictures, (48, 56), BILINEAR, antialias, turned), strict=True):
            assert torch.equal(got, want.flip(-1) if turn else want)
    kinds = {(x.shape[-1] == 56, fit((x.shape[-2], x.shape[-1]), (48, 56), (48, 56), False)) for x in pictures}
    assert len(kinds) == 4 and sum(used) > 100  # of the same width too, and those that are torch's


@pytest.mark.parametrize(
    "steps",
    [
        (T.RandomResizedCrop((56, 64)), T.RandomHorizontalFlip()),
        (T.RandomResizedCrop((56, 64), antialias=False), T.RandomHorizontalFlip(p=1.0), T.RandomVerticalFlip(), T.RandomHorizontalFlip(p=1.0)),
        (T.RandomResizedCrop((64, 56)), T.RandomHorizontalFlip(p=0.0), T.ColorJitter(0.3)),
        (T.RandomCrop((50, 60)), T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True)),
        (T.CenterCrop((90, 60)), T.RandomHorizontalFlip(), T.RandomResizedCrop((40, 48)), T.RandomHorizontalFlip()),
    ],
)
@pytest.mark.parametrize("boxes", [False, True])
def test_a_crop_and_a_flip_are_those_that_were_done_apart(used, monkeypatch, steps, boxes):
    monkeypatch.setattr(baseline, "windows", baseline.read_windows)

    def boxed(index):
        corners = torch.tensor([[5.0, 6.0, 50.0 + index, 90.0]])
        return photograph(index) | ({"boxes": BoundingBoxes(corners, format="XYXY", canvas_size=image.size(photograph(index)["image"].data))} if boxes else {})

    for sizes in (1, 5):
        pipe = read(Computed("both", 20, boxed)).apply(T.Compose(list(steps))).batch(sizes)
        quick, plain = (list(pipe.loader(mode="inline", optimize=optimize)) for optimize in (True, False))
        for a, b in zip(quick, plain, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a["image"], b["image"], strict=True))
            assert not boxes or all(torch.equal(x, y) for x, y in zip(a["boxes"], b["boxes"], strict=True))


def test_a_picture_does_not_hold_the_memory_of_those_beside_it(used):
    for one in resize_each([bytes_of(np.random.default_rng(0), 3, 60, 70)] * 8, (48, 56), BILINEAR, True):
        assert one.untyped_storage().nbytes() == one.numel()


def test_what_is_no_plain_memory_is_torchs(used):
    x = bytes_of(np.random.default_rng(7), 3, 60, 70)
    with FakeTensorMode() as mode:
        assert resize_pixels(mode.from_tensor(x), (40, 48)).shape == (3, 40, 48)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it traces, and that who traces should do otherwise
        traced = torch.jit.trace(lambda x: resize_pixels(x, (40, 48)), x)
    other = bytes_of(np.random.default_rng(8), 3, 60, 70)
    before = len(used)
    assert torch.equal(traced(other), resize_pixels(other, (40, 48)))
    assert resize_pixels(x.to("meta"), (40, 48)).device.type == "meta"
    assert resize_pixels(x[:0], (40, 48)).shape == (0, 40, 48) and resize_pixels(x, (60, 70)) is x
    assert len(used) == before + 1


def test_a_transform_with_a_way_of_its_own_after_the_window_is_asked(used, monkeypatch):
    class Inverted(T.RandomResizedCrop):
        def moved(self, value, placed, frame):
            out = super().moved(value, placed, frame)
            return out.like(255 - out.plain())

        def after_window(self, leaf, params):
            out = super().after_window(leaf, params)
            return out.like(255 - out.plain())

    def all_of(optimize):
        return list(read(Computed("inverted", 6, photograph)).select("image").apply(Inverted((40, 48))).loader(mode="inline", optimize=optimize))

    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(all_of(True), all_of(False), strict=True))


def test_one_call_after_the_first_waits_for_no_compiler():
    """Of one picture and of several: numba tells arrays apart by how they lie, and one row lies in two ways."""
    by_loop(bytes_of(np.random.default_rng(0), 1, 64, 64), (48, 48), True)
    known = set(resize_planes._known)
    resized([torch.zeros(3, 64, 64, dtype=torch.uint8)] * 3, (48, 48), (48, 48), False)
    assert resize_planes._known == known


def test_the_beginning_of_a_picture_is_that_of_the_whole(used):
    rng = np.random.default_rng(4)
    for number in range(200):
        old, new = tuple(rng.integers(32, 120, 2).tolist()), tuple(rng.integers(32, 200, 2).tolist())
        shown, x = tuple(int(rng.integers(1, n + 1)) for n in new), bytes_of(rng, 3, *old)
        begun, antialias = resize_beginning(x, new, shown, BILINEAR, bool(number % 2)), bool(number % 2)
        assert begun.shape[1] >= shown[0] and begun.shape[2] >= shown[1]
        want = x if old == new else by_torch(x, new, antialias)
        assert torch.equal(begun, want[:, : begun.shape[1], : begun.shape[2]]), (old, new, shown)
    assert len(used) > 100


def test_transforms_are_those_without_it(used, monkeypatch):
    picture, video = Image(bytes_of(np.random.default_rng(5), 3, 120, 140)), Video(bytes_of(np.random.default_rng(6), 2, 3, 90, 80))
    steps = [
        lambda x: F.resize(x, 50), lambda x: F.resize(x, (64, 100), antialias=False), lambda x: F.resized_crop(x, 5, 6, 60, 50, (48, 40)), lambda x: T.Letterbox((80, 96))(x),
        lambda x: T.Compose([T.Resize(100), T.CenterCrop((60, 70))])(x), lambda x: T.RandomResizedCrop(40)(x, key=vdata.Key.of(3)),
    ]  # fmt: skip
    for step in steps:
        for leaf in (picture, video):
            before = len(used)
            quick = step(leaf)
            assert len(used) > before
            with monkeypatch.context() as m:
                m.setattr(module._loop, "ready", lambda numbers, given: False)
                plain = step(leaf)
            assert torch.equal(quick, plain) and type(quick) is type(plain)


def test_windows_of_files_are_resized_together_and_are_those_without_it(used, monkeypatch):
    monkeypatch.setattr(baseline, "windows", baseline.read_windows)

    def all_of(**how):
        pipe = read(Computed("turned", 24, photograph)).apply(T.RandomResizedCrop((56, 64)), T.RandomHorizontalFlip()).batch(8)
        return list(pipe.loader(mode="inline", **how))

    quick = all_of()
    assert max(used) >= 8
    plain = all_of(optimize=False)
    assert len(quick) == 3 and all(torch.equal(a["image"], b["image"]) for a, b in zip(quick, plain, strict=True))


def photograph(index):
    """A file of its own size and EXIF orientation."""
    file, exif = io.BytesIO(), pillow.Exif()
    exif[0x0112] = 1 + index % 8
    pillow.fromarray(skimage.data.astronaut()[: 200 + index, : 300 - index]).save(file, "JPEG", exif=exif)
    return {"image": Encoded(file.getvalue(), "Image"), "at": index}
