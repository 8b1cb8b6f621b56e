"""usps: packed and unpacked text give the same samples as torchvision; float32 keeps the file's numbers."""

import bz2
import shutil

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.errors import DataError, DecodeError, TruncatedShardError

pytestmark = pytest.mark.filterwarnings("ignore:the split:vdata.errors.DataWarning")  # fakes are small


def load(root, split="train", **options):
    return vdata.load("usps", split, root=root, strict=False, **options)


@pytest.mark.parametrize("split", ["train", "test"])
def test_as_torchvision_in_its_order(fake_root, split):
    archives, tree = fake_root("usps")
    theirs = torchvision.datasets.USPS(archives, split == "train")
    for root in (archives, tree):
        ours = list(load(root, split))
        assert len(ours) == len(theirs) == {"train": 10, "test": 6}[split]
        for sample, (image, label) in zip(ours, theirs, strict=True):
            assert sample["image"].dtype == torch.uint8
            assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image))[None])
            assert int(sample["label"]) == label and sample["label"].name == str(label)


def test_float32_keeps_what_the_file_says(fake_root):
    lines = bz2.decompress((fake_root("usps")[0] / "usps.bz2").read_bytes()).decode().splitlines()
    for sample, line in zip(load(fake_root("usps")[1], dtype="float32"), lines, strict=True):
        label, *pairs = line.split()
        values = torch.tensor([float(pair.split(":")[1]) for pair in pairs])
        image = sample["image"].plain()
        assert image.dtype == torch.float32 and image.min() >= 0 and image.max() <= 1
        assert torch.allclose(image.flatten() * 2 - 1, values, atol=1e-6)
        assert int(sample["label"]) == int(label) - 1


@pytest.fixture
def text(fake_root, tmp_path):
    """usps.t as text in `tmp_path`."""
    return shutil.copy(fake_root("usps")[1] / "usps.t", tmp_path / "usps.t")


@pytest.mark.parametrize(
    "old, new",
    [
        (" 7:", " 8:"),
        (" 256:", " 257:"),
        (" 7:", " 7:x"),
        (" 7:", " 7:9"),
        (" 7:", " 7:nan"),
        (" 7:", " "),
        (" 7:", " 7 "),
    ],
)
def test_a_broken_line_is_named(text, old, new):
    with open(text) as file:
        lines = file.readlines()
    lines[2] = lines[2].replace(old, new, 1)
    with open(text, "w") as file:
        file.writelines(lines)
    pipe = load(text.parent, "test")
    assert len(list(pipe.take(2))) == 2
    with pytest.raises(DecodeError, match=r"no class and 256 numbers.*key 'test/00002'.*byte \d+"):
        pipe[2]


@pytest.mark.parametrize("line", [b"0 1:1\n", b"11 1:1\n", b"x 1:1\n", b"-1 1:1\n", b"\n", b"\xff\n"])
def test_a_line_without_a_class_is_named(text, line):
    with open(text, "ab") as file:
        file.write(line)
    with pytest.raises(DecodeError, match=r"line 7 of usps\.t begins with no class"):
        load(text.parent, "test")


def test_a_cut_archive_raises(fake_root, tmp_path):
    data = (fake_root("usps")[0] / "usps.bz2").read_bytes()
    (tmp_path / "usps.bz2").write_bytes(data[:-20])
    with pytest.raises(TruncatedShardError, match="cut or damaged"):
        load(tmp_path)


def test_the_card(fake_root):
    info = vdata.info("usps")
    theirs = torchvision.datasets.USPS.split_list
    assert [(a.url, a.name, a.md5) for a in info.archives] == [tuple(theirs[s]) for s in ("train", "test")]
    for split, number in (("train", "7,291"), ("test", "2,007")):
        with pytest.raises(DataError, match=f"should have {number}"):
            vdata.load("usps", split, root=fake_root("usps")[0])
