"""The loop that reads ordinary PNGs gives what Pillow gives, bit for bit, and leaves to it what is not ordinary or not sound."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as pillow

from tests.unit.guarded import guarded
from vdata import compiled, optional
from vdata.codecs import header, image, png
from vdata.codecs.header import PNG_SIGNATURE
from vdata.compiled.png import nearest, read_rows
from vdata.errors import DecodeError

pytestmark = pytest.mark.skipif(compiled.numba() is None, reason="needs numba")

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [(0, 8), (2, 8), (3, 8), (4, 8), (6, 8), (0, 16), (2, 16), (4, 16), (6, 16)]
INFLATERS = [zlib] + ([optional.inflater()] if optional.inflater() is not zlib else [])


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(compiled, "FEW", 0)


@pytest.fixture
def both(monkeypatch):
    """What a file is by the loop, after it was made sure that this is what Pillow makes of it: pixels, or None where it is refused."""

    def outcome(work, file, **how):
        try:
            return work(file, **how)
        except DecodeError:
            return None

    def run(work, file, **how):
        quick = outcome(work, file, **how)
        with monkeypatch.context() as m:
            m.setattr(png, "pixels", lambda *_: None)
            plain = outcome(work, file, **how)
        assert (quick is None) == (plain is None)
        if quick is not None:
            assert quick.dtype == plain.dtype and quick.is_contiguous() and torch.equal(quick, plain)
        return quick

    return run


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def filtered(rows: np.ndarray, step: int, kinds: np.ndarray) -> bytes:
    """Rows of bytes behind their filters, written after the specification."""
    whole = rows.astype(np.int64)
    left, up, corner = (np.zeros_like(whole) for _ in range(3))
    left[:, step:], up[1:], corner[1:, step:] = whole[:, :-step], whole[:-1], whole[:-1, :-step]
    apart = [abs(left + up - corner - one) for one in (left, up, corner)]
    paeth = np.where((apart[0] <= apart[1]) & (apart[0] <= apart[2]), left, np.where(apart[1] <= apart[2], up, corner))
    guesses = np.stack([np.zeros_like(whole), left, up, (left + up) // 2, paeth])
    content = (whole - guesses[kinds, np.arange(len(rows))]) & 255
    return np.concatenate([kinds[:, None], content], 1).astype(np.uint8).tobytes()


def stream_of(samples: np.ndarray, kinds: np.ndarray) -> bytes:
    """[H, W, channels] as a PNG's stream holds it."""
    size = samples.dtype.itemsize
    rows = samples.astype(f">u{size}").view(np.uint8).reshape(len(samples), -1)
    return filtered(rows, size * samples.shape[2], kinds)


def file_of(shape: tuple[int, int], colour: int, depth: int, stream: bytes, *, level: int = 6, parts: int = 1, before: bytes = b"", behind: bytes = b"", ends: tuple[int, int, int] = (0, 0, 0), packed: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], depth, colour, *ends))
    if colour == 3:
        before = chunk(b"PLTE", np.random.default_rng(0).integers(0, 256, 3 * 256, np.uint8).tobytes()) + before
    packed = packed or zlib.compress(stream, level)
    cuts = np.linspace(0, len(packed), parts + 1).astype(int)
    pieces = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in pairwise(cuts))
    return PNG_SIGNATURE + head + before + pieces + behind + chunk(b"IEND", b"")


def oriented(n: int) -> bytes:
    return chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([n]) + b"\0\0\0\0\0\0\0")


def made(rng: np.random.Generator, colour: int, depth: int, shape: tuple[int, int]) -> np.ndarray:
    smooth = np.cumsum(rng.integers(-3, 4, (*shape, CHANNELS[colour])), 1) if rng.random() < 0.5 else rng.integers(0, 2**depth, (*shape, CHANNELS[colour]))
    return (smooth % 2**depth).astype(f"u{depth // 8}")


def test_paeth_is_that_of_the_specification():
    rng = np.random.default_rng(0)
    for a, b, c in [*rng.integers(0, 256, (3000, 3)).tolist(), *rng.integers(0, 5, (500, 3)).tolist()]:
        apart = [abs(a + b - c - one) for one in (a, b, c)]
        want = a if apart[0] <= apart[1] and apart[0] <= apart[2] else b if apart[1] <= apart[2] else c
        assert nearest._fn(a, b, c) == want


@pytest.mark.parametrize("inflater", INFLATERS, ids=lambda module: module.__name__)
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_pictures_of_all_kinds_and_filters_and_windows(both, monkeypatch, colour, depth, inflater):
    rng = np.random.default_rng(10 * depth + colour)
    monkeypatch.setattr(png, "inflater", lambda: inflater)
    for turn in range(40):
        shape = int(rng.integers(1, 40)), int(rng.integers(1, 60))
        samples = made(rng, colour, depth, shape)
        kinds = rng.integers(0, 5, shape[0]) if turn else np.full(shape[0], 4)
        orientation = int(rng.integers(1, 9))
        file = file_of(shape, colour, depth, stream_of(samples, kinds), level=int(rng.integers(0, 10)), parts=int(rng.integers(1, 5)), before=oriented(orientation))
        orient = bool(rng.integers(2))
        size = image.size(file, orient=orient)
        top, left = int(rng.integers(size[0])), int(rng.integers(size[1]))
        window = None if turn % 3 == 0 else (top, left, int(rng.integers(1, size[0] - top + 1)), int(rng.integers(1, size[1] - left + 1)))
        if colour == 3:
            got = both(image.decode_mask, file, window=window, orient=orient)
        else:
            assert both(image.decode, file, window=window, orient=orient) is not None
            got = both(image.decode, file, window=window, orient=orient, mode="unchanged")
        if window is None and not orient:
            assert np.array_equal(got.numpy().reshape(CHANNELS[colour], *shape), samples.transpose(2, 0, 1))
        found = png.pixels(file, header.read(file), (0, 0, *shape))
        assert found is not None and np.array_equal(found, samples.transpose(2, 0, 1)), "the loop read it"


def test_files_that_libraries_write(both):
    rng = np.random.default_rng(5)
    noise, smooth = rng.integers(0, 256, (50, 70, 3), np.uint8), np.add.outer(np.arange(50), np.arange(70))[..., None].astype(np.uint8).repeat(3, 2)
    for pixels in (noise, smooth):
        by_pillow = io.BytesIO()
        pillow.fromarray(pixels).save(by_pillow, "PNG", optimize=True)
        for file in (by_pillow.getvalue(), cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(), cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_STRATEGY, 1])[1].tobytes()):
            assert both(image.decode, file) is not None
            assert png.pixels(file, header.read(file), (0, 0, 50, 70)) is not None


def test_what_is_not_ordinary_or_not_sound_is_left_to_pillow(both):
    rng = np.random.default_rng(1)
    shape = 20, 30
    samples = made(rng, 2, 8, shape)
    stream = stream_of(samples, rng.integers(0, 5, 20))
    packed = zlib.compress(stream)
    row = 1 + 90
    bad_kind = bytearray(stream)
    bad_kind[19 * row] = 5
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 255
    one, two = chunk(b"IDAT", packed[:99]), chunk(b"IDAT", packed[99:])
    apart = file_of(shape, 2, 8, stream).split(chunk(b"IDAT", packed))
    files = {
        "short": file_of(shape, 2, 8, stream[:-row]),
        "of a row and a half": file_of(shape, 2, 8, stream[: row + row // 2]),
        "empty": file_of(shape, 2, 8, b""),
        "long": file_of(shape, 2, 8, stream + bytes(5)),
        "checksum": file_of(shape, 2, 8, stream, packed=packed[:-1] + bytes([packed[-1] ^ 1])),
        "no checksum": file_of(shape, 2, 8, stream, packed=packed[:-4]),
        "damaged": file_of(shape, 2, 8, stream, packed=bytes(damaged)),
        "no stream": file_of(shape, 2, 8, stream, packed=b"\0" * 50),
        "filter": file_of(shape, 2, 8, bytes(bad_kind)),
        "interlaced": file_of(shape, 2, 8, stream, ends=(0, 0, 1)),
        "method": file_of(shape, 2, 8, stream, ends=(0, 1, 0)),
        "parts apart": apart[0] + one + chunk(b"tIME", bytes([7, 230, 1, 1, 0, 0, 0])) + two + apart[1],
        "moving": file_of(shape, 2, 8, stream, before=chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 30, 20, 0, 0, 1, 1, 0, 0))),
        "name": file_of(shape, 2, 8, stream, before=chunk(b"eX\xc8f", b"")),
        "palette of 16 bits": file_of(shape, 3, 16, stream),
        "a window that there is none of": file_of(shape, 2, 8, stream, packed=checked(b"\x88", packed)),
        "a dictionary": file_of(shape, 2, 8, stream, packed=checked(b"\x78", packed, 32)),
        "a second header": file_of(shape, 2, 8, stream, before=chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 1))),
        "checksum of a text": file_of(shape, 2, 8, stream, before=chunk(b"tEXt", b"a\0b")[:-1] + b"?"),
        "profile of another method": file_of(shape, 2, 8, stream, before=chunk(b"iCCP", b"a\0\1xx")),
        "profile that is a bomb": file_of(shape, 2, 8, stream, before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2_000_000)))),
        "text that is a bomb": file_of(shape, 2, 8, stream, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000)))),
        "nobody's": file_of(shape, 2, 8, stream, before=chunk(b"vdAT", b"abc")),
    }
    for short, content in {b"pHYs": bytes(8), b"gAMA": bytes(3), b"cHRM": bytes(31), b"sRGB": b"", b"tRNS": bytes(5), b"PLTE": b"ab", b"iCCP": b"a\0"}.items():
        files |= {f"short {short} {place}": file_of(shape, 2, 8, stream, **{place: chunk(short, content)}) for place in ("before", "behind")}
    for name, file in files.items():
        head = header.read(file)
        assert png.pixels(file, head, (0, 0, *shape)) is None, name
        both(image.decode, file)
        both(image.decode_mask, file)
        if name not in ("interlaced", "method", "parts apart", "moving"):
            both(image.decode, file, window=(0, 0, 20, 5))
    for depth in (8, 16):
        one_colour = file_of(shape, 2, depth, bytes(20 * (1 + 90 * depth // 8)), before=chunk(b"tRNS", bytes(6)))
        assert len(both(image.decode, one_colour, mode="unchanged")) == 3
    ended = file_of(shape, 2, 8, stream, packed=packed + b"more")  # behind the stream's end: nobody reads it
    assert both(image.decode, ended) is not None


def checked(first: bytes, packed: bytes, flags: int = 0) -> bytes:
    """A stream with another first byte, or other flags in its second, and the check of both."""
    second = (packed[1] | flags) & 0xE0
    return first + bytes([second + 31 - (first[0] * 256 + second) % 31]) + packed[2:]


def test_what_else_lies_in_a_sound_file_is_passed_over(both):
    rng, shape = np.random.default_rng(2), (20, 30)
    sound = {
        b"gAMA": bytes(4), b"cHRM": bytes(32), b"sRGB": b"\0", b"pHYs": bytes(9), b"tEXt": b"Author\0someone", b"tIME": bytes([7, 230, 1, 1, 0, 0, 0]), b"bKGD": bytes(6),
        b"sBIT": b"\x08\x08\x08", b"iDOT": bytes(28), b"PLTE": bytes(6), b"iCCP": b"sRGB\0\0" + zlib.compress(rng.bytes(3000)),
    }  # fmt: skip
    samples = made(rng, 2, 8, shape)
    for place in ("before", "behind"):
        for content in [*([one] for one in sound.items()), sound.items()]:
            file = file_of(shape, 2, 8, stream_of(samples, rng.integers(0, 5, 20)), **{place: b"".join(chunk(*one) for one in content)})
            assert both(image.decode, file) is not None and png.pixels(file, header.read(file), (0, 0, *shape)) is not None
    for entries, read in ((256, True), (257, False)):
        extra = chunk(b"PLTE", bytes(3 * entries))
        file = file_of(shape, 3, 8, stream_of(made(rng, 3, 8, shape), rng.integers(0, 5, 20)), before=extra)
        both(image.decode_mask, file)
        assert (png.pixels(file, header.read(file), (0, 0, *shape)) is not None) == read


def test_windows_are_whole_numbers_of_any_kind(both):
    samples = made(np.random.default_rng(9), 2, 8, (200, 300))
    file = file_of((200, 300), 2, 8, stream_of(samples, np.full(200, 4)))
    kept = len(read_rows._known)
    for kind in (np.uint8, np.int16, np.uint16, np.int32, np.int64, torch.tensor, int):
        window = tuple(kind(n) for n in (100, 20, 90, 101))
        assert np.array_equal(both(image.decode, file, window=window).numpy(), samples[100:190, 20:121].transpose(2, 0, 1))
    assert len(read_rows._known) <= kept + 1
    for window in ((1.0, 2.0, 3.0, 4.0), ("1", 2, 3, 4), (1, 2, 3), 5):
        with pytest.raises(TypeError, match="a window is four whole numbers"):
            image.decode(file, window=window)


def test_damaged_files_are_refused_or_read_as_pillow_does(both):
    """Their chunks' checksums are right, else they were refused before."""
    rng, read = np.random.default_rng(7), 0
    for _ in range(600):
        colour, depth = KINDS[rng.integers(len(KINDS))]
        shape = int(rng.integers(1, 20)), int(rng.integers(1, 20))
        stream = stream_of(made(rng, colour, depth, shape), rng.integers(0, 5, shape[0]))
        file = bytearray(file_of(shape, colour, depth, stream, level=int(rng.integers(0, 10)), parts=int(rng.integers(1, 5))))
        for at in rng.integers(16, len(file), rng.integers(1, 3)).tolist():
            file[at] ^= 1 << int(rng.integers(8))
        data = summed(bytes(file))
        try:
            height, width = image.size(data)
        except DecodeError:
            continue
        if height * width < 10**6:
            both(image.decode_mask, data)
            read += both(image.decode, data, mode="unchanged") is not None
    assert read > 20


def summed(data: bytes) -> bytes:
    """With the right checksums."""
    out, at = data[:8], 8
    while at + 12 <= len(data) and at + 12 + (length := int.from_bytes(data[at : at + 4], "big")) <= len(data):
        out += chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return out + data[at:]


def test_few_bits_and_palettes_are_pillows(both):
    for mode, bits in (("1", 1), ("P", 2), ("P", 4), ("P", 8)):
        file, raster = io.BytesIO(), pillow.fromarray(np.random.default_rng(bits).integers(0, 256, (9, 13, 3), np.uint8))
        (raster.quantize(2**bits) if mode == "P" else raster.convert("1")).save(file, "PNG", bits=bits)
        data = file.getvalue()
        assert len(both(image.decode, data)) == 3
        assert both(image.decode_mask, data).ndim == 2


@pytest.mark.parametrize("inflater", INFLATERS, ids=lambda module: module.__name__)
def test_a_stream_is_inflated_no_further_than_its_picture_needs(monkeypatch, inflater):
    monkeypatch.setattr(png, "inflater", lambda: inflater)
    bomb = file_of((2, 3), 2, 8, bytes(1 << 28), level=1)
    sizes = []

    class Stream:
        def __init__(self):
            self.inner = inflater.decompressobj()

        def decompress(self, data, most):
            out = self.inner.decompress(data, most)
            sizes.append((most, len(out)))
            return out

        eof = property(lambda self: self.inner.eof)

    class Watched:
        crc32, error, decompressobj = inflater.crc32, inflater.error, Stream

    monkeypatch.setattr(png, "inflater", lambda: Watched)
    assert png.pixels(bomb, header.read(bomb), (0, 0, 2, 3)) is None and sizes == [(21, 21)]
    rows = made(np.random.default_rng(2), 2, 8, (100, 40))
    tall = file_of((100, 40), 2, 8, stream_of(rows, np.full(100, 4)))
    sizes.clear()
    assert np.array_equal(png.pixels(tall, header.read(tall), (3, 4, 5, 6)), rows[3:8, 4:10].transpose(2, 0, 1))
    assert sizes == [(8 * 121, 8 * 121)]


def test_nothing_beyond_its_arrays_is_touched():
    rng = np.random.default_rng(3)
    for colour, depth in KINDS:
        step, size = CHANNELS[colour] * depth // 8, depth // 8
        for shape in ((1, 1), (2, 1), (1, 7), (9, 16), (7, 33)):
            samples = made(rng, colour, depth, shape)
            top, left = int(rng.integers(shape[0])), int(rng.integers(shape[1]))
            high, wide = shape[0] - top, shape[1] - left
            raw = guarded(stream_of(samples, rng.integers(0, 5, shape[0])))
            lines, out = guarded(bytes(2 * step * shape[1])), guarded(bytes(step * high * wide))
            read_rows(raw, lines, out, shape[1], step, size, top, left, high, wide)
            assert np.array_equal(out.view(f"u{size}").reshape(-1, high, wide), samples[top:, left:].transpose(2, 0, 1))


def test_a_wrong_checksum_is_said_by_either_inflater(monkeypatch):
    samples = made(np.random.default_rng(4), 2, 8, (9, 9))
    file = bytearray(file_of((9, 9), 2, 8, stream_of(samples, np.zeros(9, int))))
    file[60] ^= 1
    for inflater in INFLATERS:
        monkeypatch.setattr(png, "inflater", lambda inflater=inflater: inflater)
        with pytest.raises(DecodeError, match="chunk IDAT has a wrong checksum"):
            image.decode(bytes(file))
