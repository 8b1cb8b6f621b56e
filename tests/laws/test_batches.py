"""Law 4 for what is done to batches instead of to samples: floats last, small pictures together, columns. All bit for bit."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from torch.utils.data import TensorDataset

import vdata
from vdata import transforms as T
from vdata.batch import Ragged, collate
from vdata.encoded import Encoded
from vdata.errors import DecodeError
from vdata.key import Key
from vdata.plan import chain
from vdata.rewrite import BatchApply, ToFloats, optimise
from vdata.run.walk import scan
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Flow, Image, Label, Mask
from vdata.transforms._base import Transform

FLOATS = T.ToDtype(torch.float32, scale=True), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
AUGMENT = T.RandomCrop(20, padding=3), T.RandomHorizontalFlip(), T.RandomVerticalFlip(0.3)


def pixels(index, height=24, width=24):
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)


def encoded(index, form="PNG", **size):
    file = io.BytesIO()
    pillow.fromarray(pixels(index, **size)).save(file, form)
    return Encoded(file.getvalue(), "Image", form.lower().replace("jpeg", "jpg"))


def tensor(index, **size):
    return Image(torch.from_numpy(pixels(index, **size)).permute(2, 0, 1).contiguous())


def grey(index):
    return Image(tensor(index).plain()[:1].clone())


def uneven(index):
    return tensor(index, height=24 + index % 3)


def scene(index):
    mask = Mask(torch.from_numpy(pixels(index)[..., 0].astype(np.int64)))
    flow = Flow(torch.from_numpy(np.random.default_rng(index).normal(0, 2, (2, 24, 24)).astype(np.float32)))
    return {"image1": tensor(index), "image2": tensor(index + 999), "flow": flow, "mask": Mask(mask, frame="image1"), "label": Label(index % 5), "weight": index / 3, "name": f"n{index}"}


def boxed(index):
    boxes = BoundingBoxes([[2.0, 3, 9, 12]] * (index % 3), format="XYXY", canvas_size=(24, 24)) if index % 3 else BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(24, 24))
    return {"image": tensor(index), "boxes": boxes}


SAMPLES = {
    "png": lambda i: {"__key__": f"{i:03d}", "image": encoded(i), "label": i},
    "jpeg": lambda i: {"image": encoded(i, "JPEG"), "cls": Encoded(str(i).encode(), "", "cls")},
    "tensors": lambda i: {"image": tensor(i), "label": i % 7},
    "uneven": lambda i: {"image": uneven(i)},
    "scene": scene,
    "boxes": boxed,
    "large": lambda i: {"image": tensor(i, height=200, width=150)},
    "one uneven": lambda i: {"image": tensor(i, height=25 if i == 30 else 24)},
    "grey among colours": lambda i: {"image": tensor(i) if i != 21 else grey(i)},
}


def pipe_of(name, count=40):
    return read(Computed(name, count, SAMPLES[name]))


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b) and getattr(a, "at", 0) == getattr(b, "at", 0)
        for name in a:
            same(a[name], b[name])
    elif isinstance(a, (list, tuple, Ragged)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, torch.Tensor):
        plain = [t.plain() if hasattr(t, "plain") else t for t in (a, b)]
        assert plain[0].dtype == plain[1].dtype and plain[0].shape == plain[1].shape
        assert np.array_equal(*(t.numpy() for t in plain), equal_nan=plain[0].is_floating_point())
    else:
        assert a == b


def alike(pipe, **how):
    fast = list(pipe.loader(**(how or {"mode": "inline"})))
    plain = list(pipe.loader(mode="inline", optimize=False))
    assert len(fast) == len(plain)
    for a, b in zip(fast, plain, strict=True):
        same(a, b)
    return fast


def stages(pipe):
    return [type(s) for s in chain(optimise(pipe.plan, scan))]


ORDERS = ("apply, batch", "batch, apply", "two applies")
# Pictures of one and of three channels are no batch that could be normalised.
CASES = [(name, order) for name in SAMPLES for order in ORDERS if (name, order) != ("grey among colours", "batch, apply")]


@pytest.mark.parametrize(("name", "order"), CASES)
def test_optimised_and_plain_pipes_deliver_the_same(name, order):
    floats = FLOATS[:1] if name == "grey among colours" else FLOATS
    pipe = pipe_of(name).shuffle(3)
    if order == "apply, batch":
        pipe = pipe.apply(*AUGMENT, *floats).batch(16)
    elif order == "batch, apply":
        pipe = pipe.batch(16).apply(*AUGMENT, *floats)
    else:
        pipe = pipe.apply(*AUGMENT).apply(T.RandomHorizontalFlip(), *floats).batch(16)
    assert ToFloats in stages(pipe)
    alike(pipe)


STREAMS = {
    "filtered": lambda pipe: pipe.filter(is_even),
    "flat": lambda pipe: pipe.flat_map(lambda sample: [sample, sample]),
    "unbatched": lambda pipe: pipe.filter(is_even).batch(3).unbatch(),
    "generated": lambda pipe: vdata.from_iterable(Generated(list(pipe))),
    "shuffled": lambda pipe: pipe.flat_map(lambda sample: [sample, sample]).shuffle(buffer_size=5),
}


class Generated:
    """Samples that come one after the other, as often as they are asked for."""

    def __init__(self, samples):
        self.samples = samples

    def __iter__(self):
        yield from self.samples


def is_even(sample):
    return int(sample["number"]) % 2 == 0


@pytest.mark.parametrize("how", [{"mode": "inline"}, {"workers": 2}])
@pytest.mark.parametrize("steps", [AUGMENT, (T.CenterCrop(18),), (*AUGMENT, *FLOATS), (T.RandomResizedCrop(20), T.RandomHorizontalFlip()), (T.RandomResizedCrop(20), *FLOATS)], ids=repr)
@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("order", ORDERS)
def test_streams_are_transformed_too(name, steps, how, order):
    """A pipe without an index is made sample by sample: what is only for plans with one must leave it alone."""
    pipe = STREAMS[name](read(Computed("numbered", 24, lambda i: {"image": encoded(i) if i % 3 else encoded(i, "JPEG"), "number": i})))
    ordered = {
        "apply, batch": lambda: pipe.apply(*steps).batch(4), "batch, apply": lambda: pipe.batch(4).apply(*steps), "two applies": lambda: pipe.apply(steps[0]).apply(*steps[1:] or steps).batch(4),
    }[order]()  # fmt: skip
    assert ordered.plan.access == "stream"
    fast = alike(ordered, **how)
    assert fast and all(batch["image"].shape[-1] == batch["image"].shape[-2] < 24 for batch in fast)


@pytest.mark.parametrize("name", ["png", "tensors", "scene"])
def test_over_threads_ranks_and_epochs(name):
    pipe = pipe_of(name).shuffle(1).apply(*AUGMENT, *FLOATS).batch(6)
    assert BatchApply in stages(pipe)
    alike(pipe, workers=2)
    for rank in (0, 1):
        fast, plain = (pipe.loader(workers=0, rank=rank, world_size=2, optimize=o) for o in (True, False))
        for loader in (fast, plain):
            loader.set_epoch(2)
        for a, b in zip(list(fast), list(plain), strict=True):
            same(a, b)


def test_floats_of_every_kind_of_list():
    for floats in (FLOATS[:1], (T.ToDtype(torch.float32),), (T.ToDtype(torch.float32), T.Normalize([7.0], [0.3])), (T.ToDtype(torch.float64, scale=True), FLOATS[1])):
        pipe = pipe_of("scene").apply(*AUGMENT, *floats).batch(16)
        alike(pipe)
    for floats in ((T.ToDtype({Image: torch.float32, "others": None}, scale=True),), (FLOATS[0], T.Normalize([0.5], [0.5], inplace=True)), (FLOATS[1],)):
        assert ToFloats not in stages(pipe_of("scene").apply(*AUGMENT, *floats).batch(16))


def test_a_list_that_is_floats_alone_stays():
    alike(pipe_of("png").apply(*FLOATS).batch(16))


def test_what_is_wrong_is_said_of_the_sample_that_it_is_of():
    def broken(index):
        return {"__key__": f"k{index}", "image": Encoded(encoded(index).data[:60], "Image", "png") if index == 7 else encoded(index)}

    pipe = read(Computed("broken", 20, broken)).apply(*AUGMENT, *FLOATS).batch(10)
    with pytest.raises(DecodeError, match="k7"):
        list(pipe.loader(mode="inline"))
    pipe = read(Computed("broken", 20, broken)).decode(on_error="skip").apply(*AUGMENT, *FLOATS).batch(10)
    loader = pipe.loader(mode="inline")
    assert sum(batch.size for batch in loader) == 20
    assert [s["position"] for s in loader.stats()["substituted"]] == [7]
    with pytest.raises(ValueError, match="3 numbers, but the picture has 1 channels"):
        list(read(Computed("grey", 20, lambda i: {"image": grey(i)})).apply(*AUGMENT, *FLOATS).batch(10).loader(mode="inline"))


def exact_transforms():
    one_of = {
        T.RandomCrop: T.RandomCrop((9, 11), padding=[1, 2, 3, 4], padding_mode="reflect"), T.CenterCrop: T.CenterCrop((30, 7)), T.Pad: T.Pad(3, fill=9), T.ToDtype: FLOATS[0],
        T.Normalize: T.Normalize([1.0], [2.0]), T.RandomHorizontalFlip: T.RandomHorizontalFlip(), T.RandomVerticalFlip: T.RandomVerticalFlip(), T.Identity: T.Identity(),
    }  # fmt: skip
    classes = [c for c in vars(T).values() if isinstance(c, type) and issubclass(c, Transform) and c.exact is True and c is not T.ConvertImageDtype]  # an old name of ToDtype
    assert set(classes) == set(one_of), "a transform that says it is exact is tested here"
    return list(one_of.values())


@pytest.mark.parametrize("transform", exact_transforms(), ids=repr)
def test_what_says_it_is_exact_gives_a_sample_in_a_batch_what_it_gives_it_alone(transform):
    floating = isinstance(transform, T.Normalize)
    samples = [{**scene(i), **({"image1": scene(i)["image1"].float(), "image2": scene(i)["image2"].float()} if floating else {})} for i in range(70)]
    key = Key.of(5, np.arange(70))
    alone = [transform(sample, key=key[i]) for i, sample in enumerate(samples)]
    for size in (70, 13, 2):
        for start in range(0, 70, size):
            rows = slice(start, min(start + size, 70))
            same(dict(transform(collate(samples[rows]), key=key[rows])), dict(collate(alone[rows])))


def test_columns_of_a_tensor_dataset_are_its_samples():
    images = torch.stack([tensor(i).plain() for i in range(50)])
    labels = torch.arange(50) % 7
    for make in (lambda p: p.shuffle(0), lambda p: p.repeat(3).skip(5), lambda p: p.shuffle(2).take(31).repeat(), lambda p: p.shard(3, 1), lambda p: p.filter(keep, scan=True), lambda p: p):
        held = make(vdata.from_torch(TensorDataset(Image(images), labels))).take(60)
        listed = make(vdata.from_torch([{"image": Image(x), "label": y} for x, y in zip(images, labels, strict=True)])).take(60)
        for build in (lambda p: p.apply(*AUGMENT, *FLOATS).batch(16), lambda p: p.batch(16), lambda p: p.batch(16).apply(*AUGMENT)):
            for rank in (0, 1):
                a, b = (list(build(p).loader(mode="inline", rank=rank, world_size=2)) for p in (held, listed))
                assert len(a) == len(b) and a
                for x, y in zip(a, b, strict=True):
                    same(x, y)


def keep(sample):
    return int(sample["label"]) != 3


def test_few_flows_are_decoded_before_the_first_is_cut(monkeypatch):
    """Of pictures only windows are held; what has no window is decoded whole, so of few samples at a time."""
    from vdata import codecs
    from vdata.run import window

    flow = Encoded(codecs.encode(Flow(torch.zeros(2, 24, 24)))[1], "Flow", "flo")
    order = []
    decode, finish = codecs.decode, window._Job.finish
    monkeypatch.setattr(codecs, "decode", lambda enc, **how: order.append(enc.type) or decode(enc, **how))
    monkeypatch.setattr(window._Job, "finish", lambda job, *parts: order.append("done") or finish(job, *parts))
    pipe = read(Computed("flows", 64, lambda i: {"image1": encoded(i), "image2": encoded(i + 99), "flow": flow}))
    batch = pipe.apply(T.RandomCrop(20), T.RandomRotation(5)).batch(64)[0]
    assert batch["flow"].shape == (64, 2, 20, 20)
    held = [order[:n].count("Flow") - order[:n].count("done") for n in range(len(order))]
    assert order.count("Flow") == 64 and max(held) == window.FEW


def test_what_fails_only_together_is_said_and_done_alone():
    class Alone(T.Identity):
        def draw(self, key, info):
            if len(key) > 1:
                raise ZeroDivisionError("one at a time")
            return {}

    pipe = pipe_of("large").apply(Alone()).batch(4)
    with pytest.warns(RuntimeWarning, match="one at a time.*not for each alone"):
        assert pipe[0].size == 4
