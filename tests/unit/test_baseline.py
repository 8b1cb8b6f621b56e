"""JPEGs by compiled loops: Pillow's pixels, bit for bit, of all that they read; and what they do not read is left to a library."""

from __future__ import annotations

import io
import itertools
import os
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image as pillow
from PIL import ImageFile

from tests.unit.guarded import guarded
from vdata import compiled
from vdata.codecs import baseline, header, image, rows
from vdata.compiled.jpeg import read
from vdata.errors import DecodeError

pytestmark = pytest.mark.skipif(compiled.numba() is None, reason="needs numba")


@pytest.fixture
def loops(monkeypatch):
    """Compiled from the first picture on; which of those that were asked for the loops have read."""
    made: list[bool] = []

    def windows(asked):
        found = baseline.read_windows(asked)
        made.extend(pixels is not None for pixels in found)
        return found

    monkeypatch.setattr(baseline, "windows", windows)
    return made


def pictures(rng):
    """Kinds of pictures that fill blocks otherwise: noise, one colour, ramps, black and white, what is smooth."""
    high, wide = (int(n) for n in rng.integers(1, 150, 2))
    yield rng.integers(0, 256, (high, wide, 3), dtype=np.uint8)
    yield np.full((high, wide, 3), rng.integers(0, 256), np.uint8)
    yield (np.indices((high, wide)).sum(0)[..., None] * np.array([1, 2, 3]) % 256).astype(np.uint8)
    yield (rng.integers(0, 2, (high, wide, 3)) * 255).astype(np.uint8)
    small = rng.integers(0, 256, (high // 8 + 1, wide // 8 + 1, 3), dtype=np.uint8)
    yield np.asarray(pillow.fromarray(small).resize((wide, high)))


def written(pixels, **options):
    file = io.BytesIO()
    with_room = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(with_room, 8 * pixels.size + 4096)  # Pillow writes a file of optimised codes at once
    try:
        pillow.fromarray(pixels).save(file, "JPEG", **options)
    finally:
        ImageFile.MAXBLOCK = with_room
    return file.getvalue()


def by_loops(data, head, window):
    """One window; an error where the loops leave it to a library."""
    found = baseline.read_windows([(data, head, window)])[0]
    assert found is not None
    return found


def by_pillow(data):
    return np.asarray(pillow.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def ways(rng):
    """Options of an encoder."""
    out = {"subsampling": int(rng.integers(0, 3)), "optimize": bool(rng.integers(0, 2))}
    if rng.random() < 0.2:
        out["qtables"] = rng.integers(1, 256, (2, 64)).tolist()
    else:
        out["quality"] = int(rng.choice([1, 10, 50, 75, 90, 95, 100]))
    if rng.random() < 0.4:
        out[str(rng.choice(["restart_marker_blocks", "restart_marker_rows"]))] = int(rng.integers(1, 9))
    return out


def cuts(rng, high, wide, count=4):
    yield 0, 0, high, wide
    for _ in range(count):
        top, left = int(rng.integers(high)), int(rng.integers(wide))
        yield top, left, int(rng.integers(1, high - top + 1)), int(rng.integers(1, wide - left + 1))


@pytest.mark.parametrize("seed", range(12))
def test_windows_are_pillows(seed):
    rng, read_by_loops, all_of_them = np.random.default_rng(seed), 0, 0
    for _ in range(12):
        for pixels in pictures(rng):
            data, (high, wide) = written(pixels, **ways(rng)), pixels.shape[:2]
            want, asked = by_pillow(data), [(data, header.read(data), cut) for cut in cuts(rng, high, wide)]
            for (_, _, (top, left, h, w)), got in zip(asked, baseline.read_windows(asked), strict=True):
                all_of_them += 1
                if got is not None:
                    read_by_loops += 1
                    assert np.array_equal(got, want[:, top : top + h, left : left + w]), (seed, (high, wide), (top, left, h, w))
    assert read_by_loops > 0.9 * all_of_them  # but those of two columns of chroma, and numbers beyond what a picture has


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("optimize", [False, True])
def test_photographs_are_pillows(name, subsampling, optimize):
    pixels = getattr(skimage.data, name)()
    data, rng, (high, wide) = written(pixels, quality=92, subsampling=subsampling, optimize=optimize), np.random.default_rng(7), pixels.shape[:2]
    want, asked = by_pillow(data), [(data, header.read(data), cut) for cut in cuts(rng, high, wide, 20)]
    for (_, _, (top, left, h, w)), got in zip(asked, baseline.read_windows(asked), strict=True):
        assert got is not None and np.array_equal(got, want[:, top : top + h, left : left + w]), (top, left, h, w)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_list_of_rows_says_where_to_begin(subsampling, monkeypatch):
    """And is not believed where there is no marker."""
    data = rows.with_rows(written(skimage.data.astronaut()[:301, :237], subsampling=subsampling))
    head, want, rng = header.read(data), by_pillow(data), np.random.default_rng(3)
    assert head.listed
    begin = segment(data, 0xDA) + 14
    starts = struct.unpack_from(">12I", data, head.listed + len(header.ROWS))
    dark = bytearray(data)
    for first, following in itertools.pairwise(starts):  # of the first rows nothing is left
        dark[first : following - 2] = bytes(following - 2 - first)
    dark = bytes(dark)
    moved = data[:begin] + data[begin:].replace(b"\xff\xd3", b"\xff\xd4")
    last = (250, 30, 40, 100)
    assert np.array_equal(by_loops(dark, head, last), want[:, 250:290, 30:130])
    assert baseline.read_windows([(dark, replace(head, listed=0), last)]) == [None]
    for cut in cuts(rng, 301, 237, 30):
        top, left, high, wide = cut
        assert np.array_equal(by_loops(data, head, cut), want[:, top : top + high, left : left + wide])
        got = baseline.read_windows([(moved, head, cut)])[0]
        assert got is None or np.array_equal(got, want[:, top : top + high, left : left + wide])


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 5]))):
        data[int(rng.integers(2, len(data)))] = int(rng.choice([0, 255, rng.integers(256)]))
    return bytes(data[: int(rng.integers(20, len(data)))] if rng.random() < 0.2 else data)


@pytest.mark.parametrize("seed", range(12))
def test_of_damaged_files_nothing_is_made_that_pillow_would_not_make(seed):
    rng, same, left = np.random.default_rng(100 + seed), 0, 0
    for _ in range(10):
        for pixels in pictures(rng):
            data = written(pixels, **ways(rng))
            for bad in (damaged(rng, data) for _ in range(8)):
                try:
                    head = header.read(bad)
                except DecodeError:
                    continue
                if head.height * head.width > 1 << 20 or not head.usual or not image._ends(bad):
                    continue
                got = baseline.read_windows([(bad, head, (0, 0, head.height, head.width))])[0]
                left += got is None
                if got is not None:
                    same += 1
                    assert np.array_equal(got, by_pillow(bad)), seed
    assert same > 50 and left > 50


NOT_READ = {
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "four colours": {"mode": "CMYK"},
    "red, green and blue as they are": {"keep_rgb": True},
}


@pytest.mark.parametrize("kind", NOT_READ)
def test_other_kinds_are_left_to_a_library(kind, loops):
    options = dict(NOT_READ[kind])
    file = io.BytesIO()
    pillow.fromarray(skimage.data.astronaut()[:90, :70]).convert(options.pop("mode", "RGB")).save(file, "JPEG", **options)
    assert np.array_equal(image.decode(file.getvalue(), mode="RGB").numpy(), by_pillow(file.getvalue()))
    assert not any(loops)


def segment(data, marker):
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return at


def other_sampling(data, sampling):
    at = segment(data, 0xC0)
    return data[: at + 11] + bytes([sampling]) + data[at + 12 :]


@pytest.mark.parametrize("sampling", [0x12, 0x41, 0x14])
def test_other_samplings_are_left_to_a_library(sampling, loops):
    """As a frame says them over codes of another: noise, but of the frame's sampling."""
    data = other_sampling(written(skimage.data.astronaut()[:90, :70], subsampling=0), sampling)
    assert np.array_equal(image.decode(data).numpy(), by_pillow(data))
    assert not any(loops)


def changed(data, marker, at, value):
    begin = segment(data, marker) + at
    return data[:begin] + bytes([value]) + data[begin + 1 :]


@pytest.mark.parametrize(
    ("marker", "at", "value"),
    [
        (0xDB, 4, 0x10),  # steps of 16 bits
        (0xDB, 4, 7),  # a table that there cannot be
        (0xC4, 4, 0x20),
        (0xC4, 5, 9),  # more codes of one bit than one bit has
        (0xC0, 3, 16),  # a shorter segment
        (0xC0, 4, 12),  # bits
        (0xC0, 9, 1),  # components
        (0xC0, 12, 3),  # steps that are nowhere
        (0xDA, 4, 1),
        (0xDA, 5, 9),  # a component that there is not
        (0xDA, 6, 0x33),  # codes that are nowhere
        (0xDA, 12, 5),  # only some numbers
        (0xDA, 2, 1),  # a longer segment
        (0xC4, 1, 0xDE),  # markers that an image of this kind has not
        (0xDB, 1, 0xF1),
    ],
)
def test_a_header_that_is_not_sound_is_left_to_a_library(marker, at, value):
    data = changed(written(skimage.data.astronaut()[:90, :70]), marker, at, value)
    head = replace(header.read(written(skimage.data.astronaut()[:90, :70])), usual=True)
    assert baseline.read_windows([(data, head, (0, 0, 90, 70))]) == [None]


def test_no_byte_beyond_a_file_is_needed():
    """Every shorter file, before memory that would change the picture: it is not sound, or has all that the window needs."""
    data = written(skimage.data.astronaut()[100:132, 200:240], quality=40)
    want, accepted, head = by_pillow(data), 0, header.read(data)
    memory = np.full(len(data) + 64, 0x55, np.uint8)
    for length in range(1, len(data)):
        memory[:length] = np.frombuffer(data, np.uint8)[:length]
        memory[length:] = 0x55
        got = baseline.read_windows([(memoryview(memory.data)[:length], head, (0, 0, 10, 40))])[0]
        if got is not None:
            accepted += 1
            assert np.array_equal(got, want[:, :10])
    assert 10 < accepted < len(data) // 2 + 200


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_nothing_beyond_files_and_pixels_is_touched(subsampling):
    pixels = skimage.data.astronaut()[100:157, 200:261]
    data, rng = written(pixels, quality=60, subsampling=subsampling), np.random.default_rng(5)
    ends = [len(data), *rng.integers(segment(data, 0xDA), len(data), 20).tolist()]
    for bad in (data[:end] for end in ends):
        source = guarded(bad)
        for window in cuts(rng, 57, 61, 6):
            out = guarded(bytes(3 * window[2] * window[3]))
            state = read(np.array([[source.ctypes.data, source.size, out.ctypes.data]]), np.array([[*window, 57, 61, 0, 0]]), 3 * 200 * 200)
            assert bad != data or not state[0]


def test_too_few_planes_are_an_answer():
    data = written(skimage.data.astronaut())
    source, out = np.frombuffer(data, np.uint8), np.empty(3 * 512 * 512, np.uint8)
    files, asked = np.array([[source.ctypes.data, source.size, out.ctypes.data]]), np.array([[0, 0, 512, 512, 512, 512, 0, 0]])
    assert read(files, asked, 1000).tolist() == [1] and read(files, asked, 3 * 512 * 512).tolist() == [0]


def test_a_window_of_many_pixels_is_left_to_a_library(monkeypatch):
    data = written(skimage.data.astronaut())
    assert baseline.read_windows([(data, header.read(data), (0, 0, 512, 512))])[0] is not None
    monkeypatch.setattr(baseline, "_MOST", 1000)
    assert baseline.read_windows([(data, header.read(data), (0, 0, 512, 512))]) == [None]


def with_codes(data, kind, counts, symbols):
    """The file with another table."""
    content = bytes([kind, *counts, *symbols])
    at = segment(data, 0xDA)
    return data[:at] + b"\xff\xc4" + struct.pack(">H", 2 + len(content)) + content + data[at:]


@pytest.mark.parametrize(
    ("counts", "symbols"),
    [
        ([255] + [0] * 15, [3] * 255),
        ([2] + [0] * 15, [0, 1]),  # a code of ones alone
        ([0, 4] + [0] * 14, [0, 1, 2, 3]),
        ([1, 1, 3] + [0] * 13, [0, 1, 2, 3, 4]),
        ([0, 1] + [0] * 14, [16]),  # a DC of more than 15 bits
    ],
)
@pytest.mark.parametrize("kind", [0x00, 0x10])
def test_codes_that_there_cannot_be_are_refused_in_every_file_of_a_call(counts, symbols, kind):
    good = written(skimage.data.astronaut()[:90, :70])
    bad = with_codes(good, kind, counts, symbols)
    if not (kind == 0x10 and symbols == [16]):
        with pytest.raises(OSError, match="broken"):
            by_pillow(bad)
    head, window = header.read(good), (60, 0, 30, 70)
    found = baseline.read_windows([(data, head, window) for data in (bad, bad, good, bad, bad)])
    assert [pixels is not None for pixels in found] == [False, False, True, False, False]


def test_colours_named_behind_the_frame_are_seen(loops):
    data = written(skimage.data.astronaut()[:90, :70])
    data, at = data[:2] + data[segment(data, 0xDB) :], 0
    at = segment(data, 0xDA)
    data = data[:at] + b"\xff\xee" + struct.pack(">H5sHHHB", 14, b"Adobe", 100, 0, 0, 0) + data[at:]
    assert np.array_equal(image.decode(data).numpy(), by_pillow(data)) and loops == [False]


def test_a_list_of_rows_that_is_not_in_order_is_not_believed():
    data = rows.with_rows(written(skimage.data.astronaut()[:201, :173], subsampling=0))
    head, want = header.read(data), by_pillow(data)
    at = head.listed + len(header.ROWS)
    swapped = bytearray(data)
    swapped[at + 4 * 3 : at + 4 * 4], swapped[at + 4 * 11 : at + 4 * 12] = data[at + 4 * 11 : at + 4 * 12], data[at + 4 * 3 : at + 4 * 4]
    for top in range(0, 190, 9):
        assert np.array_equal(by_loops(bytes(swapped), head, (top, 5, 10, 100)), want[:, top : top + 10, 5:105])


def test_sides_that_libjpeg_refuses_are_left_to_it():
    data = written(np.zeros((8, 8, 3), np.uint8))
    for at, value in ((5, 65501), (7, 65535)):
        begin = segment(data, 0xC0) + at
        wide = data[:begin] + struct.pack(">H", value) + data[begin + 2 :]
        assert baseline.read_windows([(wide, header.read(wide), (0, 0, 8, 8))]) == [None]


def test_files_after_one_that_is_not_sound_are_read():
    good, other = written(skimage.data.astronaut()), written(skimage.data.coffee(), optimize=True)
    bad = good[: segment(good, 0xDA) + 200] + good[-2:]
    found = baseline.read_windows([(d, header.read(d), (5, 6, 70, 80)) for d in (good, bad, other, good, bad, other)])
    assert found[1] is None and found[4] is None
    for i, data in ((0, good), (2, other), (3, good), (5, other)):
        got = found[i]
        assert got is not None and np.array_equal(got, by_pillow(data)[:, 5:75, 6:86])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", [0, 2])
def test_decoding_by_them_turns_and_slices(orientation, subsampling, loops):
    exif = pillow.Exif()
    exif[0x0112] = orientation
    data = written(skimage.data.astronaut()[:201, :173], exif=exif, subsampling=subsampling)
    upright = np.asarray(pillow.open(io.BytesIO(data)).convert("RGB"))
    picture = pillow.fromarray(upright)
    upright = np.asarray(picture if orientation == 1 else picture.transpose(image._UPRIGHT[orientation]))
    for made in (data, rows.with_rows(data)):
        head = header.read(made)
        for window in (None, (17, 30, 101, 64), (150, 100, 20, 60)):
            top, left, high, wide = window or (0, 0, *upright.shape[:2])
            want = upright[top : top + high, left : left + wide]
            assert np.array_equal(image.decode(made, window=window).permute(1, 2, 0).numpy(), want)
            assert np.array_equal(image.decode_windows([image.Jpeg(made, head, window, True)])[0].permute(1, 2, 0).numpy(), want)
    assert all(loops) and len(loops) == 12


def test_a_whole_picture_is_contiguous_and_a_cut_file_is_still_an_error(loops):
    data = written(skimage.data.astronaut())
    assert image.decode(data).is_contiguous() and loops == [True]
    with pytest.raises(DecodeError, match="truncated"):
        image.decode(data[:5000])
    middle = data[:8000] + b"\xff\xd9"  # ends, but too soon: what Pillow makes of it
    assert torch.equal(image.decode(middle), torch.from_numpy(by_pillow(middle).copy())) and not loops[-1]


def test_they_are_compiled_beside_other_work():
    begun, go = threading.Event(), threading.Event()

    def work(number):
        begun.set()
        assert go.wait(60) and number == 5

    beside = compiled.Beside(work)
    assert not beside.ready(compiled.MANY, lambda: 5) and not begun.is_set()
    assert not beside.ready(1, lambda: 5) and begun.wait(60)
    started = time.monotonic()
    assert not any(beside.ready(1 << 30, lambda: 5) for _ in range(1000)) and time.monotonic() - started < 5  # nobody waits for it
    go.set()
    deadline = time.monotonic() + 60
    while not beside.ready(1, lambda: 5) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert beside.ready(0, lambda: 5)


def test_without_numba_they_are_never_ready(monkeypatch):
    monkeypatch.setattr(compiled, "numba", lambda: None)
    ran: list[int] = []
    beside = compiled.Beside(ran.append)
    assert not any(beside.ready(1 << 30, lambda: 1) for _ in range(3))
    for thread in threading.enumerate():
        if thread.name == "vdata-compile":
            thread.join(60)
    assert not beside.ready(1, lambda: 1) and not ran


def test_a_thread_that_cannot_be_started_is_no_error(monkeypatch):
    def refuses(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuses)
    assert not compiled.Beside(print).ready(compiled.MANY + 1, lambda: 0)


def test_a_child_forked_while_they_are_compiled_begins_anew():
    go = threading.Event()
    beside = compiled.Beside(lambda given: go.wait(60))
    beside.ready(compiled.MANY + 1, lambda: 0)
    while not compiled._busy:
        time.sleep(0.001)
    child = os.fork()
    if not child:
        os._exit(int(beside.ready(1, lambda: 0) or not compiled._shut))  # numba's lock is shut in it: never ready
    assert os.waitpid(child, 0)[1] == 0
    go.set()


def test_a_loader_reads_by_them_once_they_are_compiled(tmp_path):
    """In a fresh process: the first pictures by a library, later ones by the loops, all the same."""
    code = """
import sys, skimage.data, vdata
from PIL import Image
from vdata import compiled, transforms as T
from vdata.codecs import baseline
compiled.MANY = 1 << 12
for i in range(64): Image.fromarray(skimage.data.astronaut()).save(f"{sys.argv[1]}/{i:02}.jpg", "JPEG")
pipe = vdata.from_folder(sys.argv[1]).apply(T.RandomCrop(200)).batch(16)
want = [b["image"].clone() for b in pipe.loader(workers=0)]
import time
deadline = time.time() + 240
while not baseline._loops._done and time.time() < deadline: time.sleep(0.05)
assert baseline._loops._done
counted = []
inner = baseline.read_windows
baseline.read_windows = lambda asked: counted.append(len(asked)) or inner(asked)
for workers in (0, 2):
    got = [b["image"].clone() for b in pipe.loader(workers=workers)]
    assert all((a == b).all() for a, b in zip(want, got, strict=True))
assert sum(counted) == 128, counted
print("good")
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=400)
    assert done.stdout.strip() == "good", done.stderr


@pytest.mark.parametrize("kinds", [".nbc", ".nbi"])
def test_damaged_caches_of_loops_within_one_cost_a_warning(kinds, tmp_path):
    (tmp_path / "nested.py").write_text("""
import sys, warnings, numpy as np
from vdata.compiled import loop
@loop
def inner(x):
    for i in range(x.size): x[i] += 1
@loop
def outer(x):
    inner(x)
    inner(x)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    x = np.zeros(3)
    outer(x)
    inner(x)
assert x.tolist() == [3, 3, 3]
print(sum("compiles it anew" in str(w.message) for w in told))
""")

    def run():
        done = subprocess.run([sys.executable, tmp_path / "nested.py"], capture_output=True, text=True, timeout=300, env=environment)
        assert not done.returncode, done.stderr
        return int(done.stdout)

    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    assert run() == 0
    kept = [file for file in tmp_path.rglob("*") if file.suffix == kinds]
    assert len(kept) == 2
    for file in kept:
        file.write_bytes(file.read_bytes()[:20])
    assert run() == 1


def test_what_is_kept_of_a_loop_is_no_more_when_any_of_its_files_changes():
    from vdata.compiled.jpeg import read_windows

    kept = compiled._compiled(read_windows._fn)._cache._cache_file
    names = {name for name, _, _ in kept._source_stamp}
    assert kept._source_stamp == compiled._stamp() and {"huffman.py", "cosines.py", "jpeg.py", "_instructions.py"} <= names
