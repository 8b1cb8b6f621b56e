"""country211: the archive as a stream, the extracted tree and torchvision give the same samples."""

import shutil
from functools import partial

import pytest
import torch
import torchvision

import vdata
from tests.catalogue.reading import keyed, pixels, same
from vdata.datasets import country211
from vdata.errors import DataError, PlanError, TruncatedShardError
from vdata.tensors import Image, Label
from vdata.testing import jpeg, photo

COUNTS = {"train": 9, "val": 12, "test": 6}
THEIR_SPLIT = {"train": "train", "val": "valid", "test": "test"}

load = partial(keyed, "country211")


@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, fake_root):
    """Pictures, order and countries; their numbers are theirs only where all countries are there (next test)."""
    tree = fake_root("country211")[1]
    ours, theirs = load(tree, split), torchvision.datasets.Country211(tree, THEIR_SPLIT[split])
    assert len(ours) == len(theirs) == COUNTS[split]
    for (key, sample), (picture, label), (path, _) in zip(ours.items(), theirs, theirs.samples, strict=True):
        assert key == path.partition("country211/")[2].removesuffix(".jpg")
        assert type(sample["image"]) is Image and torch.equal(sample["image"].plain(), pixels(picture))
        assert type(sample["label"]) is Label and sample["label"].name == theirs.classes[label]


def test_trap_torchvision_numbers_the_folders_that_it_finds(fake_root, tmp_path):
    """With all 211 folders the numbers agree; in a part of the set torchvision's are ranks, ours stay what they are."""
    data = jpeg(photo(8, 8))
    for country in country211.CLASSES:
        (tmp_path / "country211/test" / country).mkdir(parents=True)
        (tmp_path / "country211/test" / country / "1.jpg").write_bytes(data)
    ours, theirs = load(tmp_path, "test"), torchvision.datasets.Country211(tmp_path, "test")
    assert theirs.classes == list(country211.CLASSES) == sorted(country211.CLASSES)
    assert [int(s["label"]) for s in ours.values()] == [label for _, label in theirs.samples] == list(range(211))

    part = fake_root("country211")[1]
    assert sorted({label for _, label in torchvision.datasets.Country211(part, "test").samples}) == [0, 1, 2]
    assert sorted({int(s["label"]) for s in load(part, "test").values()}) == [0, 28, 75]
    assert (country211.CLASSES[28], country211.CLASSES[75]) == ("BS", "GR")


@pytest.mark.parametrize("split", COUNTS)
def test_the_compressed_archive_is_a_stream_of_the_same_samples(split, fake_root):
    archives, tree = fake_root("country211")
    streamed, wanted = load(archives, split), load(tree, split)
    assert list(streamed) != list(wanted)  # the archive's own order
    assert streamed.keys() == wanted.keys()
    for key, sample in streamed.items():
        same(sample, wanted[key])


def test_valid_is_called_val():
    with pytest.raises(PlanError, match="did you mean 'val'"):
        vdata.load("country211", "valid", fake=True)


def test_pictures_only_and_known_countries_only(fake_root, tmp_path):
    shutil.copytree(fake_root("country211")[1], tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "country211/test"
    (folder / "AD/6.jpg").rename(folder / "AD/6.JPG")
    (folder / "AD/._7.jpg").write_bytes(b"what macOS leaves behind")
    (folder / "AD/notes.txt").write_text("no picture")
    assert [k for k in load(tmp_path, "test") if "/AD/" in k] == ["test/AD/6", "test/AD/7"]
    shutil.copytree(folder / "AD", folder / "QQ")
    with pytest.raises(DataError, match=r"country211/test/QQ/6\.JPG lies in a folder that is none of the 211 classes"):
        vdata.load("country211", "test", root=tmp_path, strict=False)


def test_a_cut_archive(fake_root, tmp_path):
    data = (fake_root("country211")[0] / "country211.tgz").read_bytes()
    (tmp_path / "country211.tgz").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedShardError, match=r"country211\.tgz"):
        list(vdata.load("country211", "test", root=tmp_path, strict=False))
