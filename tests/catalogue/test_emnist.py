"""emnist: gzip.zip and the unpacked files give the same samples in six selections; upright, where torchvision's lie on their side."""

import gzip
import shutil
import zipfile

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.catalog import module_of
from vdata.datasets import _idx
from vdata.errors import DataError, TruncatedShardError
from vdata.testing import zip_file

pytestmark = pytest.mark.filterwarnings("ignore:the split:vdata.errors.DataWarning")  # fakes are small
SUBSETS = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")


def load(root, split="train", **options):
    return vdata.load("emnist", split, root=root, strict=False, **options)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("subset", SUBSETS)
def test_as_torchvision_but_for_its_orientation(fake_root, subset, split):
    """EMNIST stores columns where MNIST stores rows; torchvision shows them so, and every user turns them. See `fake`: the
    left edge of each fake picture is dark."""
    theirs = torchvision.datasets.EMNIST(fake_root("emnist")[1], subset, train=split == "train")
    for root in fake_root("emnist"):
        ours, stored = (list(load(root, split, subset=subset, upright=upright)) for upright in (True, False))
        assert len(ours) == len(stored) == len(theirs) > 0
        for sample, as_stored, (image, label) in zip(ours, stored, theirs, strict=True):
            pixels = torch.from_numpy(np.array(image))[None]
            assert torch.equal(as_stored["image"].plain(), pixels)
            assert torch.equal(sample["image"].plain(), pixels.transpose(1, 2)) and sample["image"].is_contiguous()
            assert not sample["image"].plain()[0, :, :3].any() and sample["image"].plain()[0, :3, 3:].any()
            assert int(sample["label"]) == int(as_stored["label"]) == label
            assert sample["label"].categories == tuple(theirs.classes)


def test_names_and_counts():
    module = module_of("emnist")
    assert {n: len(c) for n, c in module.SUBSETS.items()} == {
        "byclass": 62, "bymerge": 47, "balanced": 47, "letters": 27, "digits": 10, "mnist": 10,
    }  # fmt: skip
    assert {module.count(s, "letters", True) for s in ("train", "test")} == {None}  # of two releases
    assert sum(module.count(s, "balanced", True) for s in ("train", "test")) == 47 * 2800
    assert vdata.info("emnist").splits == {s: module.count(s, "balanced", True) for s in ("train", "test")}


def test_fewer_than_published_raise(fake_root):
    for subset, number in (("digits", "240,000"), ("byclass", "697,932")):
        with pytest.raises(DataError, match=f"should have {number}"):
            vdata.load("emnist", root=fake_root("emnist")[1], subset=subset)


def test_letters_begin_at_1(fake_root):
    labels = [s["label"] for s in load(fake_root("emnist")[0], subset="letters")]
    assert min(map(int, labels)) == 1 and labels[0].name == "a"


def repacked(fake_root, root, change):
    """gzip.zip with one member changed: change is {name: function of its bytes, or None to leave it out}."""
    with zipfile.ZipFile(fake_root("emnist")[0] / "gzip.zip") as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist() if not i.is_dir()}
    for name, edit in change.items():
        data = members.pop(f"gzip/{name}")
        if edit is not None:
            members[f"gzip/{name}"] = edit(data)
    zip_file(root / "gzip.zip", members)


IMAGES, LABELS = "emnist-digits-test-images-idx3-ubyte.gz", "emnist-digits-test-labels-idx1-ubyte.gz"


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({IMAGES: None}, DataError, "no emnist-digits-test-images-idx3-ubyte"),
        ({LABELS: None}, DataError, "no emnist-digits-test-labels-idx1-ubyte"),
        ({IMAGES: lambda d: d[:-9]}, TruncatedShardError, r"images-idx3-ubyte\.gz is cut or damaged"),
        (
            {IMAGES: lambda d: d[:-8] + b"\0\0\0\0" + d[-4:]},
            TruncatedShardError,
            r"images-idx3-ubyte\.gz is cut or damaged",
        ),
        ({LABELS: lambda d: b"no gzip"}, TruncatedShardError, r"labels-idx1-ubyte\.gz is cut or damaged"),
        ({LABELS: lambda d: gzip.compress(gzip.decompress(d) + b"\0")}, DataError, "does not fit its head"),
        ({LABELS: lambda d: gzip.compress(_idx.write(np.full(8, 10, np.uint8)))}, DataError, "a label 10"),
        ({LABELS: lambda d: gzip.compress(_idx.write(np.zeros(3, np.uint8)))}, DataError, "should hold 3 pictures"),
    ],
)
def test_broken_members_are_named(fake_root, tmp_path, change, error, message):
    repacked(fake_root, tmp_path, change)
    with pytest.raises(error, match=message):
        load(tmp_path, "test", subset="digits")


def test_any_subset_will_do(fake_root, tmp_path):
    """Files of one subset, without those of balanced; the archive beside them has the others."""
    for path in (fake_root("emnist")[1] / "EMNIST/raw").glob("emnist-digits-test-*"):
        shutil.copy(path, tmp_path)
    assert len(load(tmp_path, "test", subset="digits")) > 0
    with pytest.raises(DataError, match="no emnist-balanced-train-labels-idx1-ubyte"):
        load(tmp_path)
    shutil.copy(fake_root("emnist")[0] / "gzip.zip", tmp_path)
    assert len(load(tmp_path)) == len(load(fake_root("emnist")[1]))


def test_the_number_of_letters_is_not_checked(fake_root):
    assert len(vdata.load("emnist", root=fake_root("emnist")[1], subset="letters")) > 0


def test_a_cut_zip_raises(fake_root, tmp_path):
    data = (fake_root("emnist")[0] / "gzip.zip").read_bytes()
    (tmp_path / "gzip.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"gzip\.zip"):
        load(tmp_path)


def test_where_torchvision_downloads_to(fake_root, tmp_path):
    """The zip in EMNIST/raw, before torchvision has extracted it."""
    (tmp_path / "EMNIST/raw").mkdir(parents=True)
    shutil.copy(fake_root("emnist")[0] / "gzip.zip", tmp_path / "EMNIST/raw")
    assert len(load(tmp_path)) == len(load(fake_root("emnist")[1]))


def test_a_zip_is_unpacked_once_for_two_files(fake_root, monkeypatch):
    """Pictures are read from what was unpacked when they were listed."""
    pipe = load(fake_root("emnist")[0], subset="mnist")
    monkeypatch.setattr(_idx, "_gunzipped", None)
    assert len(list(pipe)) == len(pipe)
