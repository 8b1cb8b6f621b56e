"""motorcycle: the pair in scikit-image, against scikit-image itself."""

import importlib.util

import numpy as np
import pytest
import skimage.data
import torch

import vdata
from vdata.errors import MissingPackageError
from vdata.viz import warp


def test_as_scikit_image():
    left, right, disparity = skimage.data.stereo_motorcycle()
    pipe = vdata.load("motorcycle")
    assert len(pipe) == 1
    sample = pipe[0]
    assert np.array_equal(sample["image1"].permute(1, 2, 0).numpy(), left)
    assert np.array_equal(sample["image2"].permute(1, 2, 0).numpy(), right)
    known = np.isfinite(disparity)
    assert np.array_equal(sample["flow"].valid.numpy(), known)
    assert np.array_equal(sample["flow"].plain()[0].numpy()[known], -disparity[known])
    assert (sample["flow"].plain()[1].numpy()[known] == 0).all()


def test_unknown_is_nan_in_both_channels():
    flow = vdata.load("motorcycle")[0]["flow"]
    assert flow.plain().isnan().all(0).sum() == flow.plain().isnan().any(0).sum() == 27_226
    assert flow.views == ("image1", "image2") and not flow.sparse


def test_the_flow_explains_the_pair():
    sample = vdata.load("motorcycle")[0]

    def error(flow):
        warped = warp(sample["image2"].float(), flow).plain()
        seen = sample["flow"].valid.plain() & (warped.sum(0) > 0)
        return (warped - sample["image1"].float().plain()).abs()[:, seen].median()

    assert error(sample["flow"]) < 4
    assert error(sample["flow"].like(torch.zeros_like(sample["flow"].plain()))) > 15


def test_without_scikit_image(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "skimage" else find(name, *a))
    with pytest.raises(MissingPackageError, match=r"vdata-vision\[examples\]"):
        vdata.load("motorcycle")[0]


def test_it_needs_no_files(tmp_path):
    assert len(vdata.load("motorcycle", root=tmp_path / "nowhere")) == 1
    assert vdata.load("motorcycle", fake=True)[0]["__key__"] == "motorcycle"
    assert "GCPR 2014" in str(vdata.info("motorcycle"))
