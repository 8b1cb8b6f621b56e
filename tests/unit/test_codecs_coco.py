"""COCO's masks: the same pixels as pycocotools, windows as slices, and errors that say what is wrong."""

import io
import json
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as Pillow

from vdata import codecs
from vdata.codecs import coco
from vdata.encoded import Encoded
from vdata.errors import DecodeError, MissingPackageError
from vdata.tensors import Mask


def told(height, width, *objects):
    return json.dumps({"size": [height, width], "objects": objects}).encode()


def encoded(data, codec="coco", **meta):
    return Encoded(data, "Mask", "json", codec, {"kind": "instance", **meta}, {"key": "007"})


def oracle(polygons, height, width):
    from pycocotools import mask

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is behind numpy 2
        return mask.decode(mask.merge(mask.frPyObjects(polygons, height, width))).astype(bool)


def compressed(pixels):
    from pycocotools import mask

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return mask.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()


PIXELS = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(PIXELS)
def test_run_lengths_are_read_as_pycocotools_writes_them(pixels):
    height, width = pixels.shape
    text = compressed(pixels)
    counts = coco.counts_of(text).tolist()
    for shape in ({"size": [height, width], "counts": text}, {"size": [height, width], "counts": counts}):
        assert np.array_equal(coco.masks(told(height, width, shape))[0].numpy(), pixels)


def test_long_runs():
    pixels = np.zeros((1000, 900), bool)
    pixels[3:997, 400:401] = pixels[7, 7] = True
    counts = {"size": [1000, 900], "counts": compressed(pixels)}
    assert np.array_equal(coco.masks(told(1000, 900, counts))[0].numpy(), pixels)


POLYGON = st.lists(st.tuples(*[st.floats(-20, 80).map(lambda v: round(v, 2))] * 2), min_size=3, max_size=8).map(
    lambda points: [c for point in points for c in point]
)


@given(st.lists(POLYGON, min_size=1, max_size=3), st.integers(1, 60), st.integers(1, 60))
def test_polygons_have_the_pixels_of_pycocotools(polygons, height, width):
    assert np.array_equal(coco.masks(told(height, width, polygons))[0].numpy(), oracle(polygons, height, width))


def test_a_mask_is_typed_and_a_window_is_a_part_of_it():
    square = [[2, 2, 12, 2, 12, 9, 2, 9]]
    enc = encoded(told(10, 20, square, {"size": [10, 20], "counts": [5, 3, 192]}))
    whole = codecs.decode(enc)
    assert isinstance(whole, Mask) and whole.kind == "instance" and whole.dtype == torch.bool
    assert whole.shape == (2, 10, 20) and codecs.size(enc) == (10, 20)
    assert whole[0].sum() == 70 and whole[1].sum() == 3
    part = codecs.decode(enc, window=(1, 3, 5, 12))
    assert torch.equal(part.plain(), whole.plain()[:, 1:6, 3:15])
    with pytest.raises(ValueError, match="leaves the 10 x 20"):
        codecs.decode(enc, window=(1, 3, 5, 18))


def test_no_object_and_objects_without_area():
    assert codecs.decode(encoded(told(4, 5))).shape == (0, 4, 5)
    lines = coco.masks(told(4, 5, [[1, 1, 3, 3]], []))
    assert lines.shape == (2, 4, 5) and not lines.any()


@pytest.mark.parametrize(
    "data, match",
    [
        (b"{", "broken JSON"),
        (b"[]", '"size" and "objects"'),
        (b'{"size": [0, 3], "objects": []}', "size of masks"),
        (b'{"size": [true, 3], "objects": []}', "size of masks"),
        (b'{"size": [100000, 100000], "objects": []}', "above the limit"),
        (told(9000, 9000, *[[]] * 60), "take more than 4 GiB"),
        (told(4, 5, 7), "object 0 of 1: a mask is a list of polygons"),
        (told(4, 5, [], [[1, 2, 3, 4, 5]]), "object 1 of 2: a polygon is x and y"),
        (told(4, 5, [[1, 2, 3, 4, 5, "6"]]), "all finite numbers"),
        (told(4, 5, [[1, 2, 3, 4, 5, float("nan")]]), "all finite numbers"),
        (told(4, 5, [[1, 2, 3, 4, 5, 1e9]]), "far out of the 4 x 5"),
        (told(4, 5, {"size": [5, 4], "counts": [20]}), "run lengths for a size of"),
        (told(4, 5, {"size": [4, 5], "counts": [19]}), "add up to the 4 x 5"),
        (told(4, 5, {"size": [4, 5], "counts": [25, -5]}), "add up to the 4 x 5"),
        (told(4, 5, {"size": [4, 5], "counts": [10.0, 10]}), "whole numbers"),
        (told(4, 5, {"size": [4, 5]}), "whole numbers"),
        (told(4, 5, {"size": [4, 5], "counts": "d"}), "are cut"),
        (told(4, 5, {"size": [4, 5], "counts": "1 2"}), "characters that nobody writes"),
        (told(4, 5, {"size": [4, 5], "counts": "o" * 9 + "1"}), "no picture has"),
        (told(4, 5, {"size": [4, 5], "counts": ""}), "add up to the 4 x 5"),
    ],
)
def test_broken_masks_say_what_is_wrong(data, match):
    with pytest.raises(DecodeError, match=match) as caught:
        codecs.decode(encoded(data))
    assert caught.value.where["key"] == "007"


def test_polygons_need_pycocotools_and_run_lengths_do_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    assert coco.masks(told(1, 3, {"size": [1, 3], "counts": "021"}))[0].tolist() == [[True, True, False]]
    with pytest.raises(MissingPackageError, match=r"vdata-vision\[datasets\]"):
        coco.masks(told(4, 5, [[0, 0, 3, 0, 3, 3]]))


def png(pixels):
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))))
def test_segment_ids_are_colours(pixels):
    data = png(pixels)
    wanted = (pixels.astype(np.int64) * [1, 256, 65536]).sum(-1)
    enc = Encoded(data, "Mask", "png", "coco_panoptic", {"kind": "semantic", "ignore_index": 0})
    mask = codecs.decode(enc)
    assert np.array_equal(mask.numpy(), wanted) and mask.dtype == torch.int32 and mask.ignore_index == 0
    high = max(1, pixels.shape[0] // 2)
    assert np.array_equal(codecs.decode(enc, window=(0, 0, high, 1)).numpy(), wanted[:high, :1])


def test_segment_ids_of_a_grey_picture_are_refused():
    with pytest.raises(DecodeError, match=r"1 channels of torch\.uint8"):
        codecs.decode(encoded(png(np.zeros((2, 2), np.uint8)), "coco_panoptic"))
