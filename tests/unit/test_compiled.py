"""Compiled loops give what the plain way gives, bit for bit; and are compiled only where it pays."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import vdata
from tests.unit.guarded import guarded
from vdata import compiled
from vdata import transforms as T
from vdata.batch import Batch
from vdata.compiled.floats import normalised
from vdata.compiled.whole import moved_whole
from vdata.errors import PlanError
from vdata.key import Key
from vdata.meter import Meter, spent
from vdata.tensors import BoundingBoxes, Image, Label, Mask, Video
from vdata.transforms import _floats, _whole

pytestmark = pytest.mark.skipif(compiled.numba() is None, reason="needs numba")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Compiled from the first number on."""
    monkeypatch.setattr(compiled, "FEW", 0)


@pytest.fixture
def plainly(monkeypatch):
    """A function done as if numba were not installed."""

    def run(work):
        with monkeypatch.context() as m:
            m.setattr(compiled, "numba", lambda: None)
            return work()

    return run


class _Calls:
    """How often a function of a module was called."""

    def __init__(self, monkeypatch, module, name):
        self.count, inner = 0, getattr(module, name)

        def counted(*arguments):
            self.count += 1
            return inner(*arguments)

        monkeypatch.setattr(module, name, counted)


_steps = st.one_of(
    st.builds(
        lambda size, padding, fill, mode: T.RandomCrop(size, padding=padding, pad_if_needed=True, fill=fill, padding_mode=mode),
        st.sampled_from([5, (7, 6)]), st.sampled_from([None, 2, (1, 2, 3, 4)]), st.sampled_from([0, 7]), st.sampled_from(["constant", "constant", "reflect"]),
    ),
    st.sampled_from([
        T.RandomHorizontalFlip(), T.RandomHorizontalFlip(1), T.RandomVerticalFlip(), T.RandomVerticalFlip(0), T.CenterCrop(6), T.CenterCrop((9, 12)),
        T.Pad(1, fill=7), T.Pad((2, 0), fill=(1, 2, 3)), T.Pad(2), T.RandomDihedral(),
    ]),
)  # fmt: skip


@given(
    st.lists(_steps, min_size=1, max_size=4), st.integers(1, 5), st.integers(5, 12), st.integers(5, 12), st.integers(0, 2**32),
    st.sampled_from([torch.uint8, torch.int8, torch.bool, torch.int16, torch.uint16, torch.float16, torch.float32, torch.int64, torch.float64]),
    st.sampled_from(["image", "image and mask", "video", "boxes too", "not contiguous"]),
)  # fmt: skip
@example([T.RandomCrop((5, 5), padding=(1, 2, 3, 4), pad_if_needed=True, fill=7)], 1, 7, 6, 9, torch.bool, "image")
@settings(max_examples=150, deadline=None)
def test_whole_pixel_moves_of_a_batch(steps, count, height, width, seed, dtype, leaves):
    numbers = torch.from_numpy(np.random.default_rng(seed).integers(0, 2 if dtype == torch.bool else 100, (count, 2, 3, height, width))).to(dtype)
    picture = Image(numbers[:, 0].contiguous())
    batch = {"image": picture, "label": Label(torch.arange(count)), "__key__": [str(i) for i in range(count)]}
    if leaves == "image and mask":
        batch["mask"] = Mask(numbers[:, 1, 0].long(), kind="semantic", ignore_index=99)
    elif leaves == "video":
        batch["image"] = Video(numbers)
    elif leaves == "boxes too":
        batch["boxes"] = vdata.batch.Ragged.of([BoundingBoxes(torch.tensor([[1.0, 1, 3, 4]] * i).reshape(-1, 4), format="XYXY", canvas_size=(height, width)) for i in range(count)])
    elif leaves == "not contiguous":
        batch["image"] = Image(numbers[:, 0].flip(1))
    transform, key = T.Compose(steps), Key(np.arange(count, dtype=np.uint64) + np.uint64(seed))
    found = _outcome(lambda: transform.on_batch(Batch(batch, count), key))
    numba = compiled.numba
    compiled.numba = lambda: None
    try:
        expected = _outcome(lambda: transform.on_batch(Batch(batch, count), key))
    finally:
        compiled.numba = numba
    if isinstance(expected, str):
        assert found == expected
        return
    for name in {"image", "mask", "boxes"} & set(batch):
        assert type(found[name]) is type(expected[name])
        for ours, theirs in zip(found[name], expected[name], strict=True):
            assert ours.dtype == theirs.dtype and ours.meta() == theirs.meta() and torch.equal(ours.plain(), theirs.plain()), (transform, name)


def _outcome(work):
    try:
        return work()
    except (ValueError, TypeError, PlanError) as error:
        return f"{type(error).__name__}: {error}"


def test_a_run_of_moves_is_one_pass(monkeypatch):
    calls = _Calls(monkeypatch, _whole, "_read")
    batch = Batch({"image": Image(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))}, 4)
    T.Compose([T.RandomCrop(8, padding=2), T.RandomHorizontalFlip(), T.Pad(1)])(batch)
    assert calls.count == 1
    T.Compose([T.RandomCrop(8, padding=2), T.ColorJitter(0.1), T.RandomHorizontalFlip()])(batch)
    assert calls.count == 3  # colours in between end a run


def test_a_batch_that_somebody_keeps_does_not_change():
    pixels = torch.randint(0, 255, (64, 3, 64, 64), dtype=torch.uint8)
    transform, batch = T.Compose([T.RandomHorizontalFlip()]), Batch({"image": Image(pixels)}, 64)
    kept = [transform(batch)["image"].plain() for _ in range(4)]
    copies = [k.clone() for k in kept]
    for _ in range(6):
        transform(Batch({"image": Image(torch.zeros_like(pixels))}, 64))
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
    assert len({k.data_ptr() for k in kept}) == 4


@pytest.mark.parametrize("normalize", [None, T.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]), T.Normalize(0.5, 0.25), T.Normalize([1e-30], [1e30])])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 16, 16), (3, 2, 3, 5, 7)])
def test_floats_of_all_bytes(plainly, normalize, scale, shape):
    pixels = (torch.arange(int(np.prod(shape))) % 256).to(torch.uint8).reshape(shape)
    batch = Batch({"image": (Video if len(shape) == 5 else Image)(pixels), "__key__": ["k"] * shape[0]}, shape[0])
    floats = _floats.Floats(T.ToDtype(torch.float32, scale=scale), normalize)
    found = floats(batch)
    expected = plainly(lambda: floats(batch))["image"].plain().clone()
    by_hand = T.ToDtype(torch.float32, scale=scale)(batch)
    by_hand = by_hand if normalize is None else normalize(by_hand)
    assert torch.equal(found["image"].plain(), expected) and torch.equal(expected, by_hand["image"].plain())
    assert type(found["image"]) is type(batch["image"]) and found["image"].is_contiguous()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_floats_of_other_channels(plainly, channels):
    batch = Batch({"image": Image(torch.randint(0, 256, (4, channels, 3, 5), dtype=torch.uint8))}, 4)
    each = [0.1 * (c + 1) for c in range(channels)]
    for normalize in (None, T.Normalize([0.5], [0.25]), T.Normalize(each, each)):
        floats = _floats.Floats(T.ToDtype(torch.float32, scale=True), normalize)
        assert torch.equal(floats(batch)["image"].plain(), plainly(lambda floats=floats: floats(batch))["image"].plain())
    with pytest.raises(ValueError, match="mean has 7 numbers"):
        _floats.Floats(T.ToDtype(torch.float32, scale=True), T.Normalize([0.5] * 7, [0.5] * 7))(batch)


def test_a_pipe_delivers_the_same(plainly):
    pictures = Image(torch.randint(0, 255, (70, 3, 33, 31), dtype=torch.uint8))
    steps = T.RandomCrop((30, 32), padding=4), T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True), T.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1])
    pipe = vdata.from_torch(torch.utils.data.TensorDataset(pictures), keys=("image",)).shuffle().batch(16).apply(*steps)
    found = [b["image"].plain().clone() for b in pipe.loader(workers=2)]
    expected = plainly(lambda: [b["image"].plain().clone() for b in pipe.loader(workers=2, optimize=False)])
    assert len(found) == len(expected) == 5 and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_what_is_few_is_not_compiled(monkeypatch):
    monkeypatch.setattr(compiled, "FEW", 100)
    loop = compiled.loop(lambda x, out: None)
    assert not loop.pays(60) and not loop.pays(40) and loop.pays(1)


def test_without_the_compiler(monkeypatch):
    monkeypatch.setattr(compiled, "numba", lambda: None)
    assert not compiled.loop(lambda x: None).pays(1 << 40)


def test_a_transform_by_hand_does_not_load_the_compiler():
    code = """
import sys, torch
from vdata import transforms as T
from vdata.batch import Batch
from vdata.tensors import Image
T.Compose([T.RandomHorizontalFlip(1), T.RandomCrop(8, padding=1)])(Batch({"image": Image(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))}, 4))
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_loop_travels():
    assert pickle.loads(pickle.dumps(normalised)) is normalised


@pytest.mark.parametrize("keeping", ["no folder", "no room"])
def test_what_cannot_be_kept_is_compiled_anew(tmp_path, keeping):
    code = """
import errno, sys, numpy as np
from numba.core import caching
if sys.argv[1] == "no room":
    def full(self, name):
        raise OSError(errno.ENOSPC, "No space left on device", name)
    caching.IndexDataCacheFile._open_for_write = full
from vdata.compiled.floats import scaled
out = np.empty(3, np.float32)
scaled(np.array([0, 1, 255], np.uint8), out, np.float32(2))
assert out.tolist() == [0.0, 2.0, 510.0]
"""
    where = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    where |= {"NUMBA_CACHE_DIR": str(tmp_path)} if keeping == "no room" else {}
    subprocess.run([sys.executable, "-c", code, keeping], check=True, timeout=120, env={**os.environ, **where})


def test_gradients_pass_through_moves():
    pixels = torch.rand(4, 3, 8, 8, requires_grad=True)
    out = T.Compose([T.RandomCrop(8, padding=2), T.RandomHorizontalFlip(1)])(Batch({"image": Image(pixels)}, 4))["image"]
    out.sum().backward()
    assert pixels.grad is not None and pixels.grad.max() == 1


def test_a_transform_that_does_something_else_to_batches_still_does(at_once):
    class Watched(T.RandomHorizontalFlip):
        def apply_rows(self, params, batch):
            return batch

    class Kept(T.RandomHorizontalFlip):
        def apply_chosen(self, params, batch):
            return batch

    pixels = torch.randint(0, 255, (3, 3, 5, 5), dtype=torch.uint8)
    for own in (Watched(1.0), Kept(1.0)):
        out = T.Compose([own, T.RandomVerticalFlip(1.0)])(Batch({"image": Image(pixels)}, 3))
        assert torch.equal(out["image"].plain(), pixels.flip(-2))


def test_numbers_that_no_loop_knows_go_the_plain_way():
    pixels = torch.rand(2, 3, 4, 4, dtype=torch.complex64)
    assert torch.equal(T.Compose([T.RandomHorizontalFlip(1.0)])(Batch({"image": Image(pixels)}, 2))["image"].plain(), pixels.flip(-1))


@pytest.mark.parametrize("damage", [b"", b"\x80\x05", bytes(range(256)) * 9])
def test_damaged_code_is_compiled_anew(tmp_path, damage):
    code = """
import numpy as np
from vdata.compiled.floats import scaled
out = np.empty(3, np.float32)
scaled(np.array([0, 1, 255], np.uint8), out, np.float32(2))
assert out.tolist() == [0.0, 2.0, 510.0]
"""
    where = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = lambda: subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=where, capture_output=True, text=True).stderr
    assert run() == ""
    kept = [*tmp_path.rglob("*.nbi"), *tmp_path.rglob("*.nbc")]
    assert len(kept) == 2
    for kind in (".nbc", ".nbi"):
        for path in kept:
            if path.suffix == kind:
                path.write_bytes(damage)
        assert "compiles it anew" in run()


@pytest.mark.parametrize("after", [0.2, 1.0, 2.0])
def test_a_fork_while_another_thread_compiles(tmp_path, after):
    """The child goes the plain way, where numba's lock would never open again; both end."""
    code = """
import os, threading, time, sys
import numpy as np
from vdata.compiled.floats import normalised, scaled
def compile_it():
    normalised.pays(1 << 30)
    normalised(np.zeros(3, np.uint8), np.empty(3, np.float32), 1, 1, 3, np.float32(1), np.zeros(1, np.float32), np.ones(1, np.float32))
thread = threading.Thread(target=compile_it)
thread.start()
time.sleep(float(sys.argv[1]))
if (child := os.fork()) == 0:
    out = np.full(1, 6, np.float32)
    if scaled.pays(1 << 30):
        scaled(np.array([3], np.uint8), out, np.float32(2))
    os._exit(0 if out[0] == 6 else 1)
thread.join()
until = time.monotonic() + 30
while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
    time.sleep(0.05)
if ended == (0, 0):
    os.kill(child, 9)
sys.exit(ended[1] != 0 or ended == (0, 0))
"""
    subprocess.run([sys.executable, "-c", code, str(after)], check=True, timeout=60, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})


def test_compiling_counts_as_compiling_and_not_as_the_stage_that_waited_for_it(monkeypatch):
    monkeypatch.setattr(compiled, "_keeps", False)
    monkeypatch.setattr(compiled, "_all", [])

    @compiled.loop
    def doubled(numbers):
        for i in range(len(numbers)):
            numbers[i] *= 2

    def stage():
        with spent("stage"):
            doubled(numbers)

    numbers, meter = np.ones(3), Meter()
    meter.watch(stage)()
    assert numbers.tolist() == [2, 2, 2] and meter.seconds["compile"] > 10 * meter.seconds["stage"]
    meter.seconds.clear()
    meter.watch(stage)()
    assert set(meter.seconds) == {"stage"}


def test_a_call_that_it_is_not_for_raises_and_leaves_the_others_as_they_are(monkeypatch):
    monkeypatch.setattr(compiled, "_keeps", False)
    others = list(compiled._all)
    monkeypatch.setattr(compiled, "_all", others)

    @compiled.loop
    def doubled(numbers):
        for i in range(len(numbers)):
            numbers[i] *= 2

    doubled(np.ones(3))
    kept = [(other, other._compiled) for other in others]
    with pytest.raises(compiled.numba().core.errors.NumbaError):
        doubled("no numbers")
    assert all(other._compiled is was for other, was in kept)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64])
def test_whole_pixels_are_moved_within_their_arrays_alone(kind):
    rng = np.random.default_rng(kind().itemsize)
    for _ in range(150):
        (high, wide), (tall, across) = rng.integers(1, 40, 2).tolist(), rng.integers(1, 40, 2).tolist()
        x, fill = rng.integers(-100, 100, (2, 3, high, wide)).astype(kind), rng.integers(-100, 100, 3).astype(kind)
        signs, shifts = rng.choice([-1, 1], (2, 2)), rng.integers(-10, 30, (2, 2))
        source, out = guarded(x.tobytes()).view(kind), guarded(bytes(2 * 3 * tall * across * kind().itemsize)).view(kind)
        down, right = (np.stack([signs[axis], shifts[axis]])[None].astype(np.int64) for axis in (0, 1))
        moved_whole(source, out, fill, 2, 3, high, wide, down, np.array([tall]), right, np.array([across]))
        want = np.broadcast_to(fill[:, None, None], (2, 3, tall, across)).copy()
        for r in range(2):
            for i in range(high):
                for j in range(wide):
                    # continuous coordinates: a pixel of a mirrored axis ends where the place before it begins
                    to = [n + shift if sign > 0 else shift - 1 - n for n, sign, shift in zip((i, j), signs[:, r], shifts[:, r], strict=True)]
                    if 0 <= to[0] < tall and 0 <= to[1] < across:
                        want[r, :, to[0], to[1]] = x[r, :, i, j]
        assert np.array_equal(out.reshape(want.shape), want)
