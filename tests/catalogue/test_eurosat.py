"""eurosat: the zip, the tree and torchvision give the same samples in the same order; strange folders are refused."""

import shutil

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.errors import DataError, DataWarning
from vdata.tensors import Image, Label

pytestmark = pytest.mark.filterwarnings("ignore:the split:vdata.errors.DataWarning")  # fakes are small


def load(root):
    return vdata.load("eurosat", root=root, strict=False)


@pytest.fixture
def tree(fake_root, tmp_path):
    return shutil.copytree(fake_root("eurosat")[1], tmp_path / "tree")


@pytest.mark.parametrize("where", [0, 1], ids=["archive", "tree"])
def test_as_torchvision_in_its_order(fake_root, where):
    ours, theirs = load(fake_root("eurosat")[where]), torchvision.datasets.EuroSAT(fake_root("eurosat")[1])
    assert len(ours) == len(theirs) == 30 and vdata.info("eurosat").classes == tuple(theirs.classes)
    for sample, (path, _), (image, label) in zip(ours, theirs.samples, theirs, strict=True):
        assert sample["__key__"] == "/".join(path.rsplit("/", 2)[1:]).removesuffix(".jpg")
        assert type(sample["image"]) is Image and sample["image"].shape == (3, 64, 64)
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
        assert type(sample["label"]) is Label and int(sample["label"]) == label


def test_a_folder_of_no_class_raises(tree):
    top = tree / "eurosat/2750"
    (top / "Lake").mkdir()
    shutil.copy(top / "River/River_1.jpg", top / "Lake/Lake_1.jpg")
    with pytest.raises(DataError, match=r"2750/Lake/Lake_1\.jpg lies in a folder that is none of the 10 classes"):
        load(tree)


def test_a_class_that_is_not_there_shifts_no_labels(tree):
    """torchvision numbers the folders that it finds."""
    shutil.rmtree(tree / "eurosat/2750/AnnualCrop")
    assert min(torchvision.datasets.EuroSAT(tree).targets) == 0
    assert sorted({int(s["label"]) for s in load(tree)}) == list(range(1, 10))


def test_fewer_pictures_than_published(tree):
    with pytest.raises(DataError, match="has 30 samples here and should have 27,000"):
        vdata.load("eurosat", root=tree)
    with pytest.warns(DataWarning, match="27,000"):
        load(tree)
