"""`.decode(scale="auto")`: fewer pixels of large JPEGs, in the same place, on request alone."""

from __future__ import annotations

import io

import pytest
import skimage.data
import torch
from PIL import Image as pillow

import vdata
from vdata import transforms as T
from vdata.encoded import Encoded
from vdata.errors import DecodeError, PlanError
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import KeyPoints

PHOTO = pillow.fromarray(skimage.data.astronaut())


def photo(size=(1600, 1200), orientation=1, form="JPEG", cut=None):
    file = io.BytesIO()
    exif = pillow.Exif()
    exif[0x0112] = orientation
    PHOTO.resize(size, pillow.Resampling.BICUBIC).save(file, form, **({"exif": exif} if orientation > 1 else {}))
    return Encoded(file.getvalue()[:cut], "Image", form.lower())


def pipe_of(**how):
    return read(Computed("photos", 8, lambda i: {"image": photo(orientation=i + 1, **how)}))


def difference(pipe, *transforms):
    scaled, whole = (list(p.apply(*transforms)) for p in (pipe.decode(scale="auto"), pipe))
    assert all(a["image"].shape == b["image"].shape for a, b in zip(scaled, whole, strict=True))
    return [(a["image"].float() - b["image"].float()).abs().mean().item() for a, b in zip(scaled, whole, strict=True)]


@pytest.mark.parametrize(
    "transforms",
    [(T.RandomResizedCrop(96, scale=(0.5, 1.0)), T.RandomHorizontalFlip()), (T.Resize(120), T.CenterCrop(100)), (T.Resize((60, 150), interpolation="bicubic"),)],
    ids=["resized crop", "resize", "bicubic"],
)  # fmt: skip
def test_it_shows_the_same_in_every_orientation(transforms):
    found = difference(pipe_of(), *transforms)
    assert all(0 < d < 2.5 for d in found), found  # of 255: another place by one pixel would be several times that


def test_nothing_changes_where_little_would_be_saved_or_nothing_was_asked():
    assert difference(pipe_of(size=(150, 140)), T.RandomResizedCrop(96)) == [0] * 8
    assert difference(pipe_of(), T.RandomResizedCrop(96, antialias=False)) == [0] * 8
    assert difference(pipe_of(), T.RandomHorizontalFlip(), T.Resize(64)) == [0] * 8  # not the first
    png = read(Computed("png", 2, lambda i: {"image": photo((640, 480), form="PNG")}))
    assert difference(png, T.Resize(64)) == [0] * 2
    one = read(Computed("photos", 1, lambda i: {"image": photo()}))
    assert torch.equal(next(iter(one))["image"], next(iter(one.decode(scale="auto")))["image"])


def test_what_lies_on_the_picture_follows_as_ever():
    def sample(index):
        return {"image": photo(), "points": KeyPoints([[400.0, 300.0]], canvas_size=(1200, 1600), frame="image")}

    chain = T.RandomResizedCrop(96, scale=(0.6, 0.9)), T.RandomHorizontalFlip()
    pipe = read(Computed("scenes", 6, sample))
    for a, b in zip(pipe.decode(scale="auto").apply(*chain), pipe.apply(*chain), strict=True):
        assert torch.equal(a["points"], b["points"])


def test_it_is_shown_and_what_makes_no_sense_is_refused():
    pipe = pipe_of()
    assert "scale='auto'; RandomResizedCrop" in pipe.decode(scale="auto").apply(T.RandomResizedCrop(96)).explain()
    with pytest.raises(PlanError, match='scale is None or "auto"'):
        pipe.decode(scale="half")
    with pytest.raises(PlanError, match="on_error"):
        pipe.decode(scale="auto", on_error="skip")
    broken = read(Computed("broken", 1, lambda i: {"__key__": "bad", "image": photo(cut=9000)}))
    with pytest.raises(DecodeError, match="bad"):
        next(iter(broken.decode(scale="auto").apply(T.Resize(64))))


def test_batches_of_it():
    pipe = pipe_of().decode(scale="auto").apply(T.RandomResizedCrop(96), T.ToDtype(torch.float32, scale=True)).batch(4)
    assert [b["image"].shape for b in pipe.loader(workers=2)] == [(4, 3, 96, 96)] * 2
    assert vdata.Batch is type(pipe[0])
