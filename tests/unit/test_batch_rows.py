"""Pictures that go into a batch are written where it will be: the same batch as of samples put together afterwards."""

from __future__ import annotations

import io

import pytest
import skimage.data
import torch
from PIL import Image as pillow

from vdata import batch as batch_module
from vdata import transforms as T
from vdata.encoded import Encoded
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import Image, Label


@pytest.fixture
def rows_used(monkeypatch):
    """How many batches were where their pictures had been written, and how many were copied together."""
    seen = {True: 0, False: 0}
    inner = batch_module._are_rows

    def counted(values, room):
        seen[found := inner(values, room)] += 1
        return found

    monkeypatch.setattr(batch_module, "_are_rows", counted)
    return seen


def several(count, **named):
    """Samples of photographs of several sizes, each with what is named made of its number."""
    def make(index):
        pixels = skimage.data.astronaut()[: 150 + 3 * index, : 200 - 2 * index]
        if index % 5 == 3:
            pixels = pixels[..., 0]
        file = io.BytesIO()
        pillow.fromarray(pixels).save(file, "JPEG" if index % 4 else "PNG")
        return {"image": Encoded(file.getvalue(), "Image"), "at": index, **{n: of(index) for n, of in named.items()}}

    return read(Computed("several", count, make))


def all_of(pipe, **how):
    return list(pipe.loader(mode="inline", **how))


def same(some, others):
    for a, b in zip(some, others, strict=True):
        assert set(a) == set(b)
        for name in a:
            if isinstance(a[name], torch.Tensor):
                assert torch.equal(a[name], b[name]) and type(a[name]) is type(b[name])


@pytest.mark.parametrize("antialias", [True, False])
def test_pictures_of_one_size_are_written_where_their_batch_will_be(rows_used, antialias):
    pipe = several(22).apply(T.RandomResizedCrop((40, 48), antialias=antialias), T.RandomHorizontalFlip()).batch(8)
    quick = all_of(pipe)
    assert rows_used == {True: 3, False: 0} and [len(b["image"]) for b in quick] == [8, 8, 6]  # all, the last and smaller one too
    same(quick, all_of(pipe, optimize=False))  # kept until the end: nobody wrote into them again
    assert all(b["image"].is_contiguous() and "_room" not in vars(b["image"]) for b in quick)


def test_the_memory_of_a_batch_is_used_again_once_nobody_has_it(rows_used):
    pipe = several(20).apply(T.RandomResizedCrop((224, 224))).batch(4)
    places = []
    for batch in pipe.loader(mode="inline"):
        places.append(batch["image"].data_ptr())
        del batch
    assert rows_used[True] == 5 and len(set(places)) < 5


@pytest.mark.parametrize(
    ("steps", "rows"),
    [
        ([T.RandomResizedCrop(32), T.RandomVerticalFlip(p=1.0)], False), ([T.RandomResizedCrop(32), T.CenterCrop(32)], None), ([T.RandomResizedCrop(32), T.CenterCrop(20)], False),
        ([T.RandomCrop(32)], None), ([T.CenterCrop(32)], None), ([T.RandomResizedCrop(32), T.ColorJitter(0.4)], None), ([T.RandomResizedCrop(32), T.ToDtype(torch.float32, scale=True)], True),
    ],
)  # fmt: skip
def test_what_comes_after_moves_them_as_before(rows_used, steps, rows):
    pipe = several(12).apply(*steps).batch(6)
    same(all_of(pipe), all_of(pipe, optimize=False))
    assert rows is None or rows_used == {rows: 2, not rows: 0}


def test_of_two_pictures_each_has_its_batch(rows_used):
    pipe = several(9, second=lambda index: photo(3 * index)).apply(T.RandomResizedCrop((36, 44))).batch(3)
    same(all_of(pipe), all_of(pipe, optimize=False))
    assert rows_used == {True: 6, False: 0}


def photo(index):
    file = io.BytesIO()
    pillow.fromarray(skimage.data.astronaut()[: 150 + index, : 200 - 2 * (index // 3)]).save(file, "JPEG")
    return Encoded(file.getvalue(), "Image")


def test_what_is_missing_broken_or_of_another_kind_is_copied_together(rows_used):
    whole = several(12)
    odd = whole.map(lambda s: {n: v for n, v in s.items() if n != "image" or s["at"] != 5} | ({"image": Image(torch.ones(3, 90, 80, dtype=torch.uint8))} if s["at"] == 5 else {}))
    bad = several(12, image=lambda index: Encoded(b"\xff\xd8\xff broken" if index == 5 else photo(index).data, "Image"))
    for pipe in (odd.apply(T.RandomResizedCrop(32)).batch(4), bad.decode(on_error="skip").apply(T.RandomResizedCrop(32)).batch(4), whole.decode(mode="unchanged").filter(lambda s: len(s["image"]) == 3).apply(T.RandomResizedCrop(32)).batch(4)):
        same(all_of(pipe), all_of(pipe, optimize=False))


def test_rows_of_a_users_own_tensor_are_still_copied(rows_used):
    own = Image(torch.arange(6 * 3 * 32 * 32).reshape(6, 3, 32, 32).to(torch.uint8))
    pipe = several(6, own=lambda index: Label(own.plain()[index, 0, 0])).apply(T.RandomResizedCrop(32)).batch(6)
    batch = all_of(pipe)[0]
    batch["own"].plain().zero_() if isinstance(batch["own"], torch.Tensor) else batch["own"].values.zero_()
    assert own.plain().any() and rows_used[True] == 1
    again = batch_module.collate([{"image": Image(x)} for x in own.plain()])
    again["image"].plain().zero_()
    assert own.plain().any()


def test_what_a_users_transform_keeps_is_no_part_of_the_batch(rows_used):
    kept = []

    class Tap(T.Identity):
        def apply(self, params, sample):
            kept.append(sample["image"])
            return sample

    class Signed(T.Identity):
        def apply(self, params, sample):
            return {**sample, "image": Image(sample["image"].plain().view(torch.int8))}

    batch = all_of(several(6).apply(T.RandomResizedCrop(32), Tap()).batch(6))[0]
    before = [picture.clone() for picture in kept]
    batch["image"].plain().zero_()
    assert len(kept) == 6 and all(torch.equal(a, b) for a, b in zip(kept, before, strict=True))
    signed = several(6).apply(T.RandomResizedCrop(32), Signed()).batch(6)
    same(all_of(signed), all_of(signed, optimize=False))
    assert all_of(signed)[0]["image"].dtype == torch.int8


class Negative(T.RandomResizedCrop):
    def moved(self, value, placed, frame):
        out = super().moved(value, placed, frame)
        return out.like(255 - out.plain()) if isinstance(out, Image) else out


class Sometimes(T.RandomResizedCrop):
    def chosen(self, params):
        return False


class Named(T.RandomResizedCrop):
    def apply(self, params, sample):
        return {**super().apply(params, sample), "extra": 1}


@pytest.mark.parametrize("kind", [Negative, Sometimes, Named])
def test_a_users_way_of_moving_pictures_is_not_passed_over(kind):
    pipe = several(5).apply(kind((40, 48)))
    fast, plain = all_of(pipe), all_of(pipe, optimize=False)
    same(fast, plain)
    assert not torch.equal(fast[1]["image"], all_of(several(5).apply(T.RandomResizedCrop((40, 48))))[1]["image"]) or "extra" in fast[1]
