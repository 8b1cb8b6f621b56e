"""Restart markers put into JPEGs without loss, and files cut out of them that hold only a window's rows."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image as pillow

from vdata.codecs import baseline, header, image, rows, turbo

PHOTO = pillow.fromarray(skimage.data.astronaut())


@pytest.fixture(params=["loops", "turbo", "pillow"])
def decoder(request, monkeypatch):
    monkeypatch.setattr(baseline, "windows", baseline.read_windows if request.param == "loops" else lambda asked: [None] * len(asked))
    if request.param == "pillow":
        monkeypatch.setattr(turbo, "nvimgcodec", lambda: None)
    return request.param


def jpeg(size=(211, 173), mode="RGB", **options):
    file = io.BytesIO()
    PHOTO.resize(size).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def pixels(data):
    return np.asarray(pillow.open(io.BytesIO(data)))


def check(data, seed=0):
    """The same picture, and every window of it."""
    made = rows.with_rows(data)
    head = header.read(made)
    assert head.listed and np.array_equal(pixels(made), pixels(data))
    rng, whole = np.random.default_rng(seed), image.decode(data)
    height, width = whole.shape[1:]
    for _ in range(25):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        window = top, left, int(rng.integers(1, height - top + 1)), int(rng.integers(1, width - left + 1))
        part = whole[:, top : top + window[2], left : left + window[3]]
        assert torch.equal(image.decode_windows([image.Jpeg(made, head, window, True)])[0], part), window
        assert torch.equal(image.decode(made, window=window), part), window
    return made


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
def test_every_subsampling_and_size(decoder, subsampling):
    for size, quality, optimize in itertools.product(((211, 173), (64, 64), (33, 200), (300, 17)), (30, 92), (False, True)):
        data = jpeg(size, quality=quality, subsampling=subsampling, optimize=optimize)
        if optimize and not header.read(rows.with_rows(data)).listed:
            continue  # its own Huffman code has no word for a DC that a row begins with
        check(data, seed=quality)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_numbers_of_components(decoder, mode):
    check(jpeg(mode=mode))


def test_exif_orientations(decoder):
    for orientation in range(1, 9):
        exif = pillow.Exif()
        exif[0x0112] = orientation
        check(jpeg(exif=exif), seed=orientation)


def test_a_slice_holds_only_the_rows_of_its_window():
    made = rows.with_rows(jpeg((400, 640), subsampling="4:2:0"))
    head = header.read(made)
    data, small, window = rows.sliced(made, head, (320, 10, 16, 50))
    assert small.height == 3 * 16 and window == (16, 10, 16, 50) and not small.listed
    assert len(data) < len(made) / 6
    assert pixels(data).shape[:2] == (48, 400)
    data, small, window = rows.sliced(made, head, (0, 0, 640, 400))
    assert data is made and small is head


def test_few_bytes_more():
    data = jpeg((500, 400), quality=92)
    assert len(data) < len(rows.with_rows(data)) < 1.01 * len(data)


def test_what_it_cannot_be_made_of_keeps_its_bytes():
    plain = jpeg()
    for data in (
        jpeg(progressive=True), jpeg(restart_marker_rows=1), jpeg(restart_marker_blocks=4), rows.with_rows(plain), plain[: len(plain) // 2], plain[:-2], plain[:40],
        b"\xff\xd8\xff\xd9", plain.replace(b"\xff\xc0", b"\xff\xc9", 1), plain[:-60] + b"\xff\xd9",
    ):  # fmt: skip
        assert rows.with_rows(data) == data


def test_damage_never_changes_what_is_seen():
    """Whatever is flipped: the bytes stay, or the picture does."""
    data, rng = jpeg((90, 70), quality=80), np.random.default_rng(0)
    begin, kept = data.index(b"\xff\xda"), 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[int(rng.integers(begin + 14, len(data) - 2))] ^= 1 << int(rng.integers(8))
        made = rows.with_rows(bytes(damaged))
        kept += made == damaged
        if made != damaged:
            assert np.array_equal(pixels(made), pixels(bytes(damaged)))
    assert kept > 10


def test_a_list_that_lies_is_not_believed(decoder):
    data = jpeg((200, 300))
    made, whole = rows.with_rows(data), image.decode(data)
    at, count = header.read(made).listed + len(header.ROWS), -(-300 // 16)
    lies = [made.replace(made[at : at + 4 * count], struct.pack(f">{count}I", *numbers)) for numbers in (range(count), [2**32 - 1] * count, [10**6 + i for i in range(count)])]
    starts = list(struct.unpack_from(f">{count}I", made, at))
    lies.append(made.replace(made[at : at + 4 * count], struct.pack(f">{count}I", starts[0], *[s + 1 for s in starts[1:]])))
    lies.append(made[: at - len(header.ROWS) - 4] + made[at + 4 * count :])  # taken out, as tools do
    lies.append(made[:2] + b"\xff\xfe\x00\x08hello!" + made[2:])  # a comment put in front of all
    for lie in lies:
        window = (170, 20, 60, 90)
        found = image.decode_windows([image.Jpeg(lie, header.read(lie), window, True)])[0]
        assert torch.equal(found, whole[:, 170:230, 20:110])
