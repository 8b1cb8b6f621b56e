"""qmnist: gzip, xz and unpacked files give the same samples as torchvision, with NIST's columns as fields."""

import lzma
import shutil

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.datasets import _idx
from vdata.errors import DataError, TruncatedShardError

pytestmark = pytest.mark.filterwarnings("ignore:the split:vdata.errors.DataWarning")  # fakes are small
COLUMNS = ("label", "series", "writer", "place", "nist_class", "nist_index", "duplicate_of")


def load(root, split="train"):
    return vdata.load("qmnist", split, root=root, strict=False)


@pytest.fixture
def raw(fake_root, tmp_path):
    """torchvision's layout, all unpacked; `tmp_path` is the root."""
    folder = shutil.copytree(fake_root("qmnist")[1] / "QMNIST/raw", tmp_path / "QMNIST/raw")
    for path in folder.glob("*.xz"):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()
    return folder


@pytest.mark.parametrize("split", ["train", "test", "nist"])
def test_as_torchvision_in_its_order(fake_root, raw, tmp_path, split):
    theirs = torchvision.datasets.QMNIST(tmp_path, what=split, compat=False)
    assert tuple(theirs.classes) == vdata.info("qmnist").classes
    for root in (*fake_root("qmnist"), tmp_path):
        ours = list(load(root, split))
        assert len(ours) == len(theirs) == {"train": 9, "test": 7, "nist": 11}[split]
        for sample, (image, row) in zip(ours, theirs, strict=True):
            assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image))[None])
            assert [int(sample[name]) for name in COLUMNS] == row.tolist()[:7]
            assert all(type(sample[name]) is int for name in COLUMNS[1:])


def test_writers_can_be_kept_apart(fake_root):
    pipe = load(fake_root("qmnist")[0])
    pupils = pipe.filter(where=lambda columns: columns["writer"] >= 2100)
    assert {s["series"] for s in pupils} == {4} and 0 < len(pupils) < len(pipe)


def test_test10k_and_test50k_are_parts_of_test(raw, tmp_path):
    rows = np.zeros((10_003, 8), np.int32)
    rows[:, 0], rows[:, 5] = np.arange(10_003) % 10, np.arange(10_003)
    images = np.zeros((10_003, 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(10_003) % 251
    for name, values in (("images-idx3-ubyte", images), ("labels-idx2-int", rows)):
        (raw / f"qmnist-test-{name}").write_bytes(_idx.write(values))
    pipe = load(tmp_path, "test")
    for part, what in ((pipe.take(10_000), "test10k"), (pipe.skip(10_000), "test50k")):
        theirs = torchvision.datasets.QMNIST(tmp_path, what=what, compat=False)
        assert len(part) == len(theirs)
        for number in (0, len(part) - 1):
            image, row = theirs[number]
            assert part[number]["nist_index"] == int(row[5])
            assert int(part[number]["image"][0, 0, 0]) == image.getpixel((0, 0))


def test_cards_have_torchvisions_checksums():
    theirs = {url: md5 for files in torchvision.datasets.QMNIST.resources.values() for url, md5 in files}
    assert {a.url: a.md5 for a in vdata.info("qmnist").archives} == theirs


@pytest.mark.parametrize(
    "values, message",
    [
        (np.zeros((6, 8), np.int32), r"\[7, 28, 28\], and should hold 6 pictures"),
        (np.zeros((7, 7), np.int32), r"int32 \[7, 7\], and should hold eight int32 a picture"),
        (np.zeros((7, 8), np.int16), r"int16 \[7, 8\], and should hold eight int32 a picture"),
        (np.zeros(7, np.int32), r"int32 \[7\], and should hold eight int32 a picture"),
        (np.full((7, 8), 10, np.int32), "a label 10, and there are 10 classes"),
        (np.full((7, 8), -1, np.int32), "a label -1, and there are 10 classes"),
    ],
)
def test_broken_labels_are_named(raw, tmp_path, values, message):
    (raw / "qmnist-test-labels-idx2-int").write_bytes(_idx.write(values))
    with pytest.raises(DataError, match=message):
        load(tmp_path, "test")


def test_a_cut_xz_raises(fake_root, tmp_path):
    for name in ("xnist-images-idx3-ubyte.xz", "xnist-labels-idx2-int.xz"):
        data = (fake_root("qmnist")[0] / name).read_bytes()
        (tmp_path / name).write_bytes(data[:-10] if "images" in name else data)
    with pytest.raises(TruncatedShardError, match="cut or damaged"):
        load(tmp_path, "nist")


def test_fewer_than_published_raise(fake_root):
    for split, number in (("train", "60,000"), ("test", "60,000"), ("nist", "402,953")):
        with pytest.raises(DataError, match=f"should have {number}"):
            vdata.load("qmnist", split, root=fake_root("qmnist")[0])
