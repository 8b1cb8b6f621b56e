"""food101: the archive as a stream, the extracted tree and torchvision give the same samples; two orders of the classes."""

import json
import shutil
from functools import partial

import pytest
import torch
import torchvision

import vdata
from tests.catalogue.reading import keyed, pixels, same
from vdata.datasets import food101
from vdata.errors import DataError, DecodeError, TruncatedShardError
from vdata.tensors import Image, Label
from vdata.testing import jpeg, photo

COUNTS = {"train": 12, "test": 8}

load = partial(keyed, "food101")


@pytest.fixture
def mine(fake_root, tmp_path):
    """(root, the folder of the extracted files), to change."""
    shutil.copytree(fake_root("food101")[1], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "food-101"


@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, fake_root):
    """Pictures and order; the labels by name: torchvision numbers the classes that the list names."""
    tree = fake_root("food101")[1]
    ours, theirs = load(tree, split), torchvision.datasets.Food101(tree, split)
    assert len(ours) == len(theirs) == COUNTS[split]
    for (key, sample), (picture, label), path in zip(ours.items(), theirs, theirs._image_files, strict=True):
        assert key == f"{path.parent.name}/{path.stem}"
        assert type(sample["image"]) is Image and torch.equal(sample["image"].plain(), pixels(picture))
        assert type(sample["label"]) is Label and sample["label"].name == theirs.classes[label] == path.parent.name
        assert sample["listed_label"].name == path.parent.name


def test_trap_the_two_orders_of_the_classes(tmp_path):
    """`label` is torchvision's number for all 101 classes, `listed_label` the line in meta/classes.txt; two differ."""
    folder = tmp_path / "food-101"
    (folder / "meta").mkdir(parents=True)
    keys = {name: [f"{name}/{number}"] for number, name in enumerate(food101.LISTED)}
    (folder / "meta/test.json").write_text(json.dumps(keys))
    for (key,) in keys.values():
        (folder / f"images/{key}.jpg").parent.mkdir(parents=True)
        (folder / f"images/{key}.jpg").write_bytes(jpeg(photo(8, 8)))
    ours, theirs = load(tmp_path, "test"), torchvision.datasets.Food101(tmp_path, "test")
    assert list(vdata.info("food101").classes) == theirs.classes
    assert [int(s["label"]) for s in ours.values()] == theirs._labels
    assert [int(s["listed_label"]) for s in ours.values()] == list(range(101))
    differ = {
        s["label"].name: (int(s["label"]), int(s["listed_label"]))
        for s in ours.values()
        if s["label"] != s["listed_label"]
    }
    assert differ == {"cheesecake": (17, 16), "cheese_plate": (16, 17)}


def test_the_fake_list_is_the_classes_as_published(fake_root):
    meta = fake_root("food101")[1] / "food-101/meta"
    assert (meta / "classes.txt").read_text().split() == list(food101.LISTED)
    for split in COUNTS:
        assert (meta / f"{split}.txt").read_text().split() == list(load(fake_root("food101")[1], split))


@pytest.mark.parametrize("split", COUNTS)
def test_the_compressed_archive_is_a_stream_of_the_same_samples(split, fake_root):
    archives, tree = fake_root("food101")
    streamed, wanted = load(archives, split), load(tree, split)
    assert list(streamed) != list(wanted)
    assert streamed.keys() == wanted.keys()
    for key, sample in streamed.items():
        same(sample, wanted[key])


def test_a_listed_picture_that_is_missing(mine):
    root, folder = mine
    (folder / "images/waffles/3.jpg").unlink()
    with pytest.raises(
        DataError, match=r"1 of 12 samples lack a file: food-101/images/waffles/3\.jpg \(image of waffles/3\)"
    ):
        vdata.load("food101", root=root)
    assert len(load(root, "train")) == 11


def test_a_picture_that_no_list_names_is_no_sample(mine):
    root, folder = mine
    shutil.copy(folder / "images/waffles/3.jpg", folder / "images/waffles/4.jpg")
    assert "waffles/4" not in {*load(root, "train"), *load(root, "test")}


def test_lists_that_do_not_fit(mine):
    root, folder = mine
    path = folder / "meta/train.json"
    text = path.read_text()
    for wrong, match in (
        (text[:-10], r"meta/train\.json is not the JSON it should be"),
        ("[1]", r"meta/train\.json is not the JSON it should be"),
        (text.replace('"waffles":', '"wafers":'), "class 'wafers', which is none of the 101"),
        (text.replace("waffles/1", "waffles/3"), "two samples of one name.*waffles/3"),
    ):
        path.write_text(wrong)
        with pytest.raises(DataError, match=match):
            vdata.load("food101", root=root, strict=False)
    path.unlink()
    with pytest.raises(DataError, match=r"meta/train\.json"):
        vdata.load("food101", root=root, strict=False)


def test_broken_json_is_a_decode_error(mine):
    root, folder = mine
    (folder / "meta/test.json").write_text("{")
    with pytest.raises(DecodeError):
        vdata.load("food101", "test", root=root)


def test_a_cut_archive(fake_root, tmp_path):
    data = (fake_root("food101")[0] / "food-101.tar.gz").read_bytes()
    (tmp_path / "food-101.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedShardError, match=r"food-101\.tar\.gz"):
        list(vdata.load("food101", root=tmp_path, strict=False))
