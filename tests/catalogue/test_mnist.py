"""mnist, fashion_mnist and kmnist: gzipped files and unpacked ones give the same samples as torchvision; idx is read strictly."""

import gzip
import shutil
import struct

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

import vdata
from vdata.datasets import _idx
from vdata.errors import DataError, DecodeError, ShardError, TruncatedShardError, UnknownDatasetError
from vdata.files import Tree
from vdata.tensors import Image, Label

pytestmark = pytest.mark.filterwarnings("ignore:the split:vdata.errors.DataWarning")  # fakes are small
TORCHVISION = {
    "mnist": torchvision.datasets.MNIST,
    "fashion_mnist": torchvision.datasets.FashionMNIST,
    "kmnist": torchvision.datasets.KMNIST,
}


def load(name, root, split="train"):
    return vdata.load(name, split, root=root, strict=False)


@pytest.fixture
def raw(fake_root, tmp_path):
    """Where torchvision has MNIST's files, unpacked; `tmp_path` is the root."""
    return shutil.copytree(fake_root("mnist")[1] / "MNIST/raw", tmp_path / "MNIST/raw")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", TORCHVISION)
def test_as_torchvision_in_its_order(fake_root, name, split):
    theirs = TORCHVISION[name](fake_root(name)[1], split == "train")
    assert tuple(theirs.classes) == vdata.info(name).classes
    for root in fake_root(name):
        ours = list(load(name, root, split))
        assert len(ours) == len(theirs) == {"train": 12, "test": 7}[split]
        for number, (sample, (image, label)) in enumerate(zip(ours, theirs, strict=True)):
            assert sample["__key__"] == f"{split}/{number:06d}"
            assert type(sample["image"]) is Image and sample["image"].dtype == torch.uint8
            assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image))[None])
            assert type(sample["label"]) is Label and int(sample["label"]) == label


def test_cards_have_torchvisions_checksums():
    for name, cls in TORCHVISION.items():
        assert [(a.name, a.md5) for a in vdata.info(name).archives] == cls.resources
        assert vdata.info(name).splits == {"train": 60_000, "test": 10_000}


def test_only_the_files_of_the_split_are_needed(fake_root, tmp_path):
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        shutil.copy(fake_root("mnist")[0] / name, tmp_path)
    assert len(load("mnist", tmp_path, "test")) == 7
    with pytest.raises(UnknownDatasetError, match=r"train-images-idx3-ubyte\.gz"):
        load("mnist", tmp_path)


def test_some_unpacked_and_some_not(fake_root, raw, tmp_path):
    (raw / "train-labels-idx1-ubyte").unlink()
    shutil.copy(fake_root("mnist")[0] / "train-labels-idx1-ubyte.gz", tmp_path)
    assert [int(s["label"]) for s in load("mnist", tmp_path)] == [n * 7 % 10 for n in range(12)]


def test_fewer_than_published_raise(raw, tmp_path):
    with pytest.raises(DataError, match="has 12 samples here and should have 60,000"):
        vdata.load("mnist", root=tmp_path)


@pytest.mark.parametrize(
    "name, values, message",
    [
        ("labels-idx1", np.zeros(11, np.uint8), r"\[12, 28, 28\], and should hold 11 pictures"),
        ("labels-idx1", np.full(12, 10, np.uint8), "a label 10, and there are 10 classes"),
        ("labels-idx1", np.zeros((12, 1), np.uint8), r"uint8 \[12, 1\], and should hold one byte a picture"),
        ("labels-idx1", np.zeros(12, np.int32), r"int32 \[12\], and should hold one byte a picture"),
        ("images-idx3", np.zeros((12, 27, 28), np.uint8), r"\[12, 27, 28\], and should hold 12 pictures"),
        ("images-idx3", np.zeros((12, 28, 28), np.int16), r"int16 \[12, 28, 28\], and should hold"),
    ],
)
def test_files_that_do_not_fit_each_other(raw, tmp_path, name, values, message):
    (raw / f"train-{name}-ubyte").write_bytes(_idx.write(values))
    with pytest.raises(DataError, match=message):
        load("mnist", tmp_path)


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[:9], lambda d: d[:5]])
def test_a_file_must_be_as_long_as_its_head_says(raw, tmp_path, change):
    """torchvision reads a file that is too long, and says `assert` or `shape is invalid` of others."""
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DecodeError, match=r"train-images-idx3-ubyte has \d+ bytes, which does not fit its head"):
        load("mnist", tmp_path)


@pytest.mark.parametrize(
    "head", [b"", b"\0\0\x08", b"\0\1\x08\3", b"\0\0\x07\3", b"\0\0\x0a\3", b"\0\0\x08\0", b"\0\0\x08\4", b"PK\3\4"]
)
def test_other_files_are_refused(raw, tmp_path, head):
    (raw / "train-images-idx3-ubyte").write_bytes(head)
    with pytest.raises(DataError, match=r"is no idx file: it begins with|not a readable zip.*train-images"):
        load("mnist", tmp_path)


def test_a_cut_or_damaged_gzip_raises(fake_root, tmp_path):
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        shutil.copy(fake_root("mnist")[0] / name, tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(TruncatedShardError, match="cut or damaged"):
        load("mnist", tmp_path)
    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])  # another checksum
    with pytest.raises(ShardError, match="not a readable compressed file"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_of_every_type(tmp_path, dtype, packed):
    values = np.arange(-3, 21).reshape(2, 3, 4).astype(dtype)
    for array in (values, values[0], values[0, 0], values[:0]):
        data = _idx.write(array)
        name = f"{array.ndim} {len(array)}" + (".gz" if packed else "")
        (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)
        back = _idx.array(Tree(tmp_path), name)
        assert back.dtype == array.dtype and np.array_equal(back, array)
        assert data[:4] == bytes([0, 0, {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[dtype], array.ndim])
        if not packed and len(array):
            theirs = torchvision.datasets.mnist.read_sn3_pascalvincent_tensor(str(tmp_path / name))
            assert np.array_equal(theirs.numpy(), back)


@given(st.binary(max_size=40), st.integers(0, 3))
def test_any_bytes_are_an_array_or_an_error(tmp_path_factory, data, dims):
    root = tmp_path_factory.mktemp("any")
    for content in (data, b"\0\0\x08" + bytes([dims]) + data, b"\0\0\x08\1" + struct.pack(">I", len(data)) + data):
        (root / "x").write_bytes(content)
        try:
            array = _idx.array(Tree(root), "x")
        except DataError:
            continue
        assert content.endswith(array.tobytes())
