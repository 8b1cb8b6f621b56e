"""Pictures: against Pillow, OpenCV and torchvision on the same bytes; windows; sizes; hostile bytes."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import PIL
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from PIL import ImageOps

from vdata import codecs
from vdata.codecs import header, png16
from vdata.encoded import Encoded
from vdata.errors import DecodeError
from vdata.tensors import Image, Mask

FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "GIF", "BMP", "TIFF")
MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("L", "RGB"),
    "GIF": ("L", "P", "RGB"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA"),
}


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def picture(mode: str, height: int = 13, width: int = 17) -> pillow.Image:
    if mode == "I;16":
        return pillow.fromarray(noise(height, width, dtype=np.uint16))
    base = pillow.fromarray(noise(height, width, 4 if mode in ("RGBA", "LA") else 3))
    return base.quantize(16) if mode == "P" else base.convert(mode)


def saved(image: pillow.Image, form: str, orientation: int = 1, **options: object) -> bytes:
    out = io.BytesIO()
    if orientation != 1:
        exif = pillow.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(out, form, **options)
    return out.getvalue()


def upright(data: bytes) -> pillow.Image:
    return ImageOps.exif_transpose(pillow.open(io.BytesIO(data)))


def chw(image: pillow.Image) -> torch.Tensor:
    array = np.array(image)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def encoded(data: bytes, **known: object) -> Encoded:
    return Encoded(data, **{"type": "Image", "where": {"key": "k", "url": "mem:"}, **known})


CASES = [(form, mode) for form in FORMATS for mode in MODES[form]]


@pytest.mark.parametrize(("form", "mode"), CASES)
def test_equals_pillow(form: str, mode: str):
    data = saved(picture(mode), form)
    got = codecs.decode(encoded(data, suffix="jpg"))  # a name that lies, as in Oxford Pets and SUN397
    if mode == "I;16":
        want = chw(picture(mode)).numpy() >> 8
        want = torch.from_numpy(want.astype(np.uint8)).expand(3, -1, -1)
    else:
        want = chw(pillow.open(io.BytesIO(data)).convert("RGB"))
    assert isinstance(got, Image) and got.dtype == torch.uint8 and got.is_contiguous()
    assert torch.equal(got.plain(), want)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_unchanged_keeps_channels_and_depth(mode: str):
    image = picture(mode)
    got = codecs.decode(encoded(saved(image, "PNG")), mode="unchanged")
    assert torch.equal(got.plain(), chw(image))


@given(
    form=st.sampled_from(FORMATS),
    orientation=st.integers(1, 8),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    orient=st.booleans(),
    draw=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_size_orientation_and_window(form, orientation, height, width, orient, draw):
    turned = orientation if form in ("JPEG", "PNG", "WEBP", "TIFF") else 1
    mode = draw.draw(st.sampled_from(MODES[form]))
    data = saved(picture(mode, height, width), form, turned)
    enc = encoded(memoryview(data), orient=orient)
    full = codecs.decode(enc, mode="unchanged").plain()
    assert codecs.size(enc) == full.shape[-2:]
    if orient:
        assert codecs.size(enc) == upright(data).size[::-1]
        assert torch.equal(
            codecs.decode(enc).plain(), codecs.decode(encoded(saved_upright(data), orient=False)).plain()
        )
    else:
        assert codecs.size(enc) == (height, width)
    top, left = (draw.draw(st.integers(0, n - 1)) for n in full.shape[-2:])
    high, wide = (draw.draw(st.integers(1, n - at)) for n, at in zip(full.shape[-2:], (top, left), strict=True))
    part = codecs.decode(enc, mode="unchanged", window=(top, left, high, wide))
    assert torch.equal(part.plain(), full[..., top : top + high, left : left + wide])
    assert part.is_contiguous()


def saved_upright(data: bytes) -> bytes:
    image = upright(data)
    plain = pillow.fromarray(np.array(image)) if image.mode == "I;16" else image.convert("RGB")
    return saved(plain, "PNG")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_unoriented_is_as_stored(orientation: int):
    image = picture("RGB")
    for form in ("PNG", "TIFF"):
        data = saved(image, form, orientation)
        assert torch.equal(codecs.decode(encoded(data, orient=False)).plain(), chw(image))
        assert torch.equal(codecs.decode(encoded(data)).plain(), chw(upright(data)))


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 14, 2), (0, 16, 1, 2), (0, 0, 0, 3), (12, 0, 2, 1)])
@pytest.mark.parametrize("form", FORMATS)
def test_a_window_that_leaves_the_picture(form: str, window: tuple[int, int, int, int]):
    with pytest.raises(ValueError, match="leaves the 13 x 17 picture"):
        codecs.decode(encoded(saved(picture("RGB"), form)), window=window)


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("smooth", [False, True])
def test_png16_equals_torchvision_and_opencv(channels: int, smooth: bool):
    array = noise(31, 41, channels, dtype=np.uint16)
    array = cv2.GaussianBlur(array, (0, 0), 4).reshape(array.shape) if smooth else array
    bgr = array if channels == 1 else array[..., [2, 1, 0, 3][:channels]]
    for flag in (
        cv2.IMWRITE_PNG_FILTER_NONE,
        cv2.IMWRITE_PNG_FILTER_SUB,
        cv2.IMWRITE_PNG_FILTER_UP,
        cv2.IMWRITE_PNG_FILTER_AVG,
        cv2.IMWRITE_PNG_FILTER_PAETH,
        cv2.IMWRITE_PNG_ALL_FILTERS,
    ):
        data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_FILTER, flag])[1].tobytes()
        got = codecs.decode(encoded(data), mode="unchanged")
        assert got.dtype == torch.uint16
        assert np.array_equal(got.numpy(), array.transpose(2, 0, 1))
        buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        oracle = torchvision.io.decode_png(buffer, torchvision.io.ImageReadMode.UNCHANGED)
        assert np.array_equal(got.numpy(), oracle.numpy())
        part = codecs.decode(encoded(data), mode="unchanged", window=(3, 5, 7, 11))
        assert np.array_equal(part.numpy(), got.numpy()[:, 3:10, 5:16])
        high = (array >> 8).astype(np.uint8).transpose(2, 0, 1)[:3]
        assert np.array_equal(codecs.decode(encoded(data)).numpy(), np.broadcast_to(high, (3, 31, 41)))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_png16_grey_with_alpha_and_interlaced():
    array = noise(2, 3, 2, dtype=np.uint16)
    head = struct.pack(">IIBBBBB", 3, 2, 16, 4, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    data = header.PNG_SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(codecs.decode(encoded(data), mode="unchanged").numpy(), array.transpose(2, 0, 1))
    # Adam7 of a 2 x 2 RGB picture: pass 1 has (0, 0), pass 6 (0, 1), pass 7 the second row.
    array = noise(2, 2, 3, dtype=np.uint16)
    parts = (array[:1, :1], array[:1, 1:], array[1:])
    rows = b"".join(b"\0" + part.astype(">u2").tobytes() for part in parts)
    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 1)
    data = header.PNG_SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(codecs.decode(encoded(data), mode="unchanged").numpy(), array.transpose(2, 0, 1))


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    colour=st.booleans(),
    wide=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_written_pngs_are_read_by_opencv(height, width, colour, wide, seed):
    array = noise(3 if colour else 1, height, width, dtype=np.uint16 if wide else np.uint8, seed=seed)
    suffix, data = codecs.encode(Image(torch.from_numpy(array)))
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert suffix == "png" and np.array_equal(read[..., ::-1].transpose(2, 0, 1) if colour else read[None], array)
    assert codecs.encode(Image(torch.from_numpy(array.copy()))) == (suffix, data)


@pytest.mark.parametrize(
    "image",
    [
        *(torch.from_numpy(noise(c, 5, 7)) for c in (1, 2, 3, 4)),
        *(torch.from_numpy(noise(c, 5, 7, dtype=np.uint16)) for c in (1, 3, 4)),
        torch.rand(3, 5, 7),
        torch.rand(3, 5, 7).bfloat16(),
        torch.rand(3, 5, 7).half(),
        torch.rand(2, 3, 5, 7).double(),
        torch.zeros(3, 0, 7, dtype=torch.uint8),
        torch.zeros(1, 5, 7, dtype=torch.bool),
    ],
    ids=lambda t: f"{str(t.dtype)[6:]}-{'x'.join(map(str, t.shape))}",
)
def test_images_come_back(image: torch.Tensor):
    suffix, data = codecs.encode(Image(image))
    field = codecs.field_of(Image(image), suffix)
    back = codecs.decode(Encoded(data, type=field.type, suffix=suffix, codec=field.codec, meta=field.meta))
    assert type(back) is Image and back.dtype == image.dtype and torch.equal(back.plain(), image)
    assert field.dtype == str(image.dtype).removeprefix("torch.")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_mask_is_its_numbers_not_brightness(bits: int):
    ids = noise(4, 8) >> (8 - bits)
    each = 8 // bits
    shifts = [bits * (each - 1 - i) for i in range(each)]
    packed = sum(ids.reshape(4, -1, each)[..., i].astype(np.int64) << shifts[i] for i in range(each)).astype(np.uint8)
    head = struct.pack(">IIBBBBB", 8, 4, bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    data = header.PNG_SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    got = codecs.decode(encoded(data, type="Mask", meta={"ignore_index": 255}))
    assert type(got) is Mask and got.ignore_index == 255 and np.array_equal(got.numpy(), ids)


def test_a_palette_mask_gives_indices_and_colours_are_refused():
    image = picture("P")
    got = codecs.decode(encoded(saved(image, "PNG"), type="Mask"), window=(1, 2, 3, 4))
    assert np.array_equal(got.numpy(), np.array(image)[1:4, 2:6])
    with pytest.raises(DecodeError, match="a mask has one channel, and this picture is RGB"):
        codecs.decode(encoded(saved(picture("RGB"), "PNG"), type="Mask"))


def test_palette_with_transparency_drops_alpha_without_a_warning():
    data = saved(picture("P"), "PNG", transparency=bytes([0, 128]))
    want = chw(pillow.open(io.BytesIO(data)).convert("RGBA"))
    assert torch.equal(codecs.decode(encoded(data)).plain(), want[:3])
    assert torch.equal(codecs.decode(encoded(data), mode="unchanged").plain(), want)


@pytest.mark.parametrize("top", [1, 6, 100, 255, 1023, 65535])
def test_ppm_maxima_and_comments(top: int):
    array = (noise(3, 4, dtype=np.uint32) % (top + 1)).astype(">u2" if top > 255 else np.uint8)
    data = b"P5 # grey\n# and\n4\t3\n" + str(top).encode() + b"\n" + array.tobytes()
    got = codecs.decode(encoded(data), mode="unchanged").numpy()
    oracle = np.array(pillow.open(io.BytesIO(data)))
    assert np.array_equal(got[0], oracle) and got.dtype == (np.uint16 if top > 255 else np.uint8)
    assert np.array_equal(codecs.decode(encoded(data, type="Mask")).numpy(), array)


def test_orientation_behind_the_pixels_and_broken_exif():
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    plain = saved(picture("RGB"), "PNG")
    data = plain[:-12] + chunk(b"eXIf", exif) + plain[-12:]
    assert codecs.size(encoded(data)) == (17, 13) == upright(data).size[::-1]
    for broken in (
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"",
        b"XX" + exif[2:],
        exif[:12],
        exif.replace(b"\x06", b"\x09"),
    ):
        assert codecs.size(encoded(plain[:-12] + chunk(b"eXIf", broken) + plain[-12:])) == (13, 17)


def test_a_deep_tiff_is_not_read_as_8_bits_in_silence():
    deep = cv2.imencode(".tiff", noise(5, 7, 3, dtype=np.uint16))[1].tobytes()
    assert codecs.decode(encoded(deep)).shape == (3, 5, 7)
    with pytest.raises(DecodeError, match="16 bits a sample only as 8"):
        codecs.decode(encoded(deep), mode="unchanged")
    grey = noise(5, 7, dtype=np.uint16)
    data = cv2.imencode(".tiff", grey)[1].tobytes()
    assert np.array_equal(codecs.decode(encoded(data), mode="unchanged").numpy()[0], grey)


def test_stray_and_fill_bytes_between_jpeg_segments():
    plain = saved(picture("RGB"), "JPEG", 6)
    at = plain.index(b"\xff\xdb")
    data = plain[:at] + b"\x07\x00junk" + b"\xff" * 5 + plain[at:]
    assert codecs.size(encoded(data)) == (17, 13)
    assert torch.equal(codecs.decode(encoded(data)).plain(), codecs.decode(encoded(plain)).plain())


@pytest.mark.parametrize("form", FORMATS)
def test_cut_short(form: str):
    data = saved(picture("RGB"), form)
    for end in (0, 1, 3, 10, 20, len(data) // 2, len(data) - 40):
        with pytest.raises(DecodeError) as caught:
            codecs.decode(encoded(data[:end]))
        assert caught.value.where["key"] == "k"


def test_a_flipped_bit_in_a_png_is_named():
    data = bytearray(saved(picture("RGB"), "PNG"))
    at = data.index(b"IDAT") + 40
    data[at] ^= 4
    with pytest.raises(DecodeError, match="IDAT has a wrong checksum") as caught:
        codecs.decode(encoded(bytes(data)))
    assert caught.value.where["byte"] == data.index(b"IDAT") - 4
    with pytest.raises(DecodeError, match="before its IEND"):
        codecs.decode(encoded(saved(picture("RGB"), "PNG")[:-12]))


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "GIF"])
def test_a_bomb_is_refused_by_its_header(form: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(header, "MAX_PIXELS", 13 * 17 - 1)
    with pytest.raises(DecodeError, match="17 x 13 pixels is above the limit"):
        codecs.decode(encoded(saved(picture("RGB"), form)))


def test_a_huge_png_never_reaches_pillow():
    head = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    data = header.PNG_SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(DecodeError, match="above the limit"):
        codecs.decode(encoded(data))


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 40, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"SIMPLE  =  T", b"<svg/>", b"8BPS\0\x01"]
)
def test_other_formats_are_refused(data: bytes):
    assert codecs.kind(data) == ""
    with pytest.raises(DecodeError, match="not a picture"):
        codecs.decode(encoded(data))


def test_kinds():
    for form in FORMATS:
        assert codecs.kind(saved(picture("RGB"), form)) == form.lower()


SEEDS = [saved(picture(mode), form, 6 if form in ("JPEG", "PNG", "WEBP", "TIFF") else 1) for form, mode in CASES]
SEEDS += [saved(picture("RGB"), "JPEG", progressive=True), saved(picture("RGB"), "WEBP", lossless=True)]
SEEDS += [png16.write(noise(5, 7, 3, dtype=np.uint16))]


@given(draw=st.data())
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_give_a_picture_or_a_decode_error(draw):
    data = bytearray(draw.draw(st.sampled_from(SEEDS)))
    for at, value in draw.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        data[at] = value
    data = bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))])
    enc = encoded(data, type=draw.draw(st.sampled_from(["Image", "Mask", "tensor"])), orient=draw.draw(st.booleans()))
    try:
        size = codecs.size(enc)
        if size[0] * size[1] < 10**6:
            assert codecs.decode(enc, mode=draw.draw(st.sampled_from(["RGB", "unchanged"]))).shape[-2:] == size
    except DecodeError as err:
        assert err.where["key"] == "k"


def test_wrong_arguments():
    with pytest.raises(ValueError, match="not 'BGR'"):
        codecs.decode(encoded(saved(picture("RGB"), "PNG")), mode="BGR")
    with pytest.raises(DecodeError, match="no codec 'kitti_flow'"):
        codecs.decode(encoded(saved(picture("RGB"), "PNG"), codec="kitti_flow"))
    assert codecs.names().startswith(f"pillow {PIL.__version__}")
