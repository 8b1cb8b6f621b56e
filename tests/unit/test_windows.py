"""Windows of JPEGs: every decoder gives what Pillow gives of the whole file, bit for bit; a broken file is as broken."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image as pillow

from vdata import codecs
from vdata import transforms as T
from vdata.codecs import baseline, header, image, turbo
from vdata.encoded import Encoded
from vdata.errors import DecodeError
from vdata.source import Computed
from vdata.start import read

PHOTO = pillow.fromarray(skimage.data.astronaut())
SIZES = ((211, 173), (64, 64), (17, 3), (3, 17), (1, 1), (300, 16), (129, 257))  # width, height


@pytest.fixture(params=["loops", "turbo", "pillow"])
def decoder(request, monkeypatch):
    """With compiled loops, with nvImageCodec, and as if neither were installed."""
    monkeypatch.setattr(baseline, "windows", baseline.read_windows if request.param == "loops" else lambda asked: [None] * len(asked))
    if request.param == "pillow":
        monkeypatch.setattr(turbo, "nvimgcodec", lambda: None)
    else:
        assert turbo.nvimgcodec() is not None
    return request.param


def decode_windows(data, asked, orient=True):
    return image.decode_windows([image.Jpeg(data, header.read(data), window, orient) for window in asked])


def jpeg(size=(211, 173), mode="RGB", orientation=1, **options):
    file = io.BytesIO()
    if orientation != 1:
        exif = pillow.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    PHOTO.resize(size).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def windows(rng, height, width, count=12):
    yield None
    yield 0, 0, 1, 1
    yield height - 1, width - 1, 1, 1
    yield 0, 0, height, width
    yield height - 1, 0, 1, width
    for _ in range(count):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        yield top, left, int(rng.integers(1, height - top + 1)), int(rng.integers(1, width - left + 1))


def check(data, seed=0, orient=True):
    whole = image.decode(data, orient=orient)
    want = np.asarray(pillow.open(io.BytesIO(data)).convert("RGB"))
    if not orient:
        assert np.array_equal(whole.permute(1, 2, 0).numpy(), want)
    asked = list(windows(np.random.default_rng(seed), *whole.shape[1:]))
    together = decode_windows(data, asked, orient)
    for window, pixels in zip(asked, together, strict=True):
        top, left, height, width = window or (0, 0, *whole.shape[1:])
        part = whole[:, top : top + height, left : left + width]
        assert torch.equal(pixels, part), window
        assert torch.equal(image.decode(data, window=window, orient=orient), part), window


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
def test_every_subsampling_size_and_order_of_scans(decoder, subsampling):
    for size, quality, progressive in itertools.product(SIZES, (40, 95), (False, True)):
        check(jpeg(size, quality=quality, subsampling=subsampling, progressive=progressive), seed=quality)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_than_usual_are_pillows(decoder, mode):
    data = jpeg(mode=mode)
    assert not header.read(data).usual
    check(data)


def test_ycck_and_rgb_in_an_adobe_file_are_not_taken_for_ycbcr(decoder):
    ycck = bytearray(jpeg(mode="CMYK"))
    at = ycck.index(b"Adobe")
    ycck[at + 11] = 2
    check(bytes(ycck))
    said = jpeg(subsampling=0)
    start = said.index(b"\xff\xdb")
    for transform, usual in ((0, False), (1, True)):  # 0: the three components are red, green and blue
        data = said[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform]) + said[start:]
        assert header.read(data).usual is usual
        check(data)


@pytest.mark.parametrize("options", [{"restart_marker_rows": 1}, {"restart_marker_rows": 3}, {"restart_marker_blocks": 5}])
def test_restart_markers(decoder, options):
    check(jpeg(**options))


def test_every_exif_orientation_followed_and_ignored(decoder):
    for orientation in range(1, 9):
        data = jpeg(orientation=orientation)
        check(data, seed=orientation)
        check(data, seed=orientation, orient=False)


def test_narrow_windows_everywhere(decoder):
    """nvImageCodec gives other pixels for some windows of one column: these are not asked of it."""
    data = jpeg((40, 24), quality=75, subsampling="4:2:0")
    whole = image.decode(data)
    asked = [(top, left, 3, width) for top in (0, 5, 21) for left in range(32) for width in range(1, 9)]
    for window, pixels in zip(asked, decode_windows(data, asked), strict=True):
        top, left, height, width = window
        assert torch.equal(pixels, whole[:, top : top + height, left : left + width]), window


def test_a_file_that_was_cut_short_is_broken_for_a_window_above_the_cut_too(decoder):
    data = jpeg(quality=95)
    for cut in (len(data) // 3, len(data) // 2, len(data) - 2):
        for window in ((0, 0, 8, 32), None):
            with pytest.raises(DecodeError):
                image.decode(data[:cut], window=window)
            with pytest.raises(DecodeError):
                decode_windows(data[:cut], [window])


def test_garbage_behind_the_end_and_damage_inside(decoder):
    data = jpeg(quality=95)
    check(data + b"\0" * 40)
    check(data + b"trailing" * 100)  # its end is not seen: decoded whole
    damaged = bytearray(data)
    damaged[len(data) * 3 // 4 : len(data) * 3 // 4 + 9] = bytes(9)
    whole = image.decode(bytes(damaged))  # libjpeg goes on with what it can make of it, and so do windows
    assert torch.equal(decode_windows(bytes(damaged), [(0, 0, 64, 64)])[0], whole[:, :64, :64])


def test_one_broken_file_among_many_is_named_and_costs_the_others_nothing(decoder):
    good, bad = jpeg(), jpeg()[:900]
    encs = [Encoded(data, "Image", "jpg", where={"key": f"k{i}"}) for i, data in enumerate((good, bad, good))]
    with pytest.raises(DecodeError, match="k1"):
        codecs.decode_all([(enc, (0, 0, 32, 32)) for enc in encs])
    assert len(codecs.decode_all([(encs[0], (0, 0, 32, 32)), (encs[2], None)])) == 2


def test_a_declined_picture_is_pillows(monkeypatch):
    """It has returned nothing for sound files."""
    monkeypatch.setattr(turbo, "windows", lambda asked: [None] * len(asked))
    check(jpeg())


def test_threads_and_a_forked_child_have_decoders_of_their_own():
    import os
    import threading

    data, want = jpeg(), image.decode(jpeg(), window=(5, 6, 70, 80))
    wrong: list[int] = []

    def work():
        for _ in range(20):
            if not torch.equal(decode_windows(data, [(5, 6, 70, 80)] * 3)[2], want):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(decode_windows(data, [(5, 6, 70, 80)])[0], want) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("broken", ["header", "middle"])
@pytest.mark.parametrize("field", ["left", "right"])
def test_a_broken_picture_is_named_with_its_field_among_many(field, broken):
    file = io.BytesIO()
    pillow.fromarray(skimage.data.astronaut()[:200, :180]).save(file, "JPEG")
    good, bad = file.getvalue(), file.getvalue()[: 30 if broken == "header" else 4000]

    def sample(index):
        data = {name: bad if (index, name) == (13, field) else good for name in ("left", "right")}
        return {"__key__": f"k{index}", **{name: Encoded(data[name], "Image") for name in data}}

    for optimize in (True, False):
        pipe = read(Computed("pairs", 32, sample)).apply(T.RandomCrop(40)).batch(32)
        with pytest.raises(DecodeError) as said:
            list(pipe.loader(mode="inline", optimize=optimize))
        assert said.value.where["field"] == field and said.value.where["key"] == "k13"
