"""sun397: the archives, the extracted tree and torchvision give the same samples; partitions; what is named .jpg."""

import shutil
from functools import partial

import pytest
import torch
import torchvision

import vdata
from tests.catalogue.reading import keyed, pixels, same
from vdata import codecs
from vdata.datasets import sun397
from vdata.encoded import Encoded
from vdata.errors import DataError, DataWarning, PlanError, TruncatedShardError, UnknownDatasetError
from vdata.listing import ArchiveStream
from vdata.tensors import Image, Label

COUNTS = {"all": 18, "train": 9, "test": 6}

load = partial(keyed, "sun397")


@pytest.fixture
def mine(fake_root, tmp_path):
    """The extracted files, to change."""
    return shutil.copytree(fake_root("sun397")[1], tmp_path / "mine")


def test_as_torchvision(fake_root):
    tree = fake_root("sun397")[1]
    ours, theirs = load(tree, "all"), torchvision.datasets.SUN397(tree)
    assert vdata.info("sun397").classes == tuple(theirs.classes)
    assert len(ours) == len(theirs) == COUNTS["all"]
    for path, (picture, label) in zip(theirs._image_files, theirs, strict=True):
        sample = ours[str(path.relative_to(tree / "SUN397")).removesuffix(".jpg")]
        assert type(sample["image"]) is Image and torch.equal(sample["image"].plain(), pixels(picture))
        assert type(sample["label"]) is Label and int(sample["label"]) == label


def test_trap_the_order_does_not_hang_on_the_file_system(fake_root, tmp_path):
    """torchvision takes the order in which the file system lists; vdata sorts the paths."""
    tree = fake_root("sun397")[1]
    keys = list(load(tree, "all"))
    assert keys == sorted(keys)
    for key in reversed(keys):  # written in another order
        (tmp_path / f"SUN397/{key}.jpg").parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / f"SUN397/{key}.jpg", tmp_path / f"SUN397/{key}.jpg")
    shutil.copy(tree / "SUN397/ClassName.txt", tmp_path / "SUN397")
    assert list(load(tmp_path, "all")) == keys
    found = [p.relative_to(tmp_path / "SUN397") for p in torchvision.datasets.SUN397(tmp_path)._image_files]
    assert {str(p).removesuffix(".jpg") for p in found} == set(keys)


def test_trap_what_is_named_jpg(fake_root):
    """PNG (grey, and with alpha), GIF and BMP under .jpg names decode by their bytes, in three channels."""
    tree = fake_root("sun397")[1]
    kinds = {}
    for key, sample in load(tree, "all").items():
        data = (tree / f"SUN397/{key}.jpg").read_bytes()
        kinds.setdefault(codecs.kind(data), []).append(key)
        assert sample["image"].shape == (3, *codecs.size(Encoded(data)))
    assert {kind: len(keys) for kind, keys in kinds.items()} == {"jpeg": 14, "png": 2, "gif": 1, "bmp": 1}


def test_classes_of_two_levels(fake_root):
    label = load(fake_root("sun397")[1], "all")["a/apartment_building/outdoor/sun_acqapartmqqqqqqq"]["label"]
    assert (int(label), label.name) == (8, "apartment_building/outdoor")


@pytest.mark.parametrize("partition", [1, 2, 10])
@pytest.mark.parametrize("split", ["train", "test"])
def test_partitions(split, partition, fake_root):
    archives, tree = fake_root("sun397")
    ours = load(tree, split, partition=partition)
    name = {"train": "Training", "test": "Testing"}[split]
    listed = (tree / f"{name}_{partition:02}.txt").read_text().split()
    assert [f"/{key}.jpg" for key in ours] == listed and len(ours) == COUNTS[split]
    for key, sample in load(archives, split, partition=partition).items():
        same(sample, ours[key])
    other = load(tree, "test" if split == "train" else "train", partition=partition)
    assert not ours.keys() & other.keys()


def test_partitions_differ_and_all_is_all(fake_root):
    tree = fake_root("sun397")[1]
    assert set(load(tree, "train", partition=1)) != set(load(tree, "train", partition=2))
    assert set(load(tree, "all", partition=1)) == set(load(tree, "all", partition=2)) > set(load(tree, "train"))
    with pytest.raises(PlanError, match="partition is one of"):
        vdata.load("sun397", root=tree, partition=0)


def test_all_needs_no_partitions(fake_root, tmp_path):
    archives, tree = fake_root("sun397")
    shutil.copy(archives / "SUN397.tar.gz", tmp_path)
    streamed, wanted = load(tmp_path, "all"), load(tree, "all")
    assert list(streamed) != list(wanted)
    assert streamed.keys() == wanted.keys()
    for key, sample in streamed.items():
        same(sample, wanted[key])
    with pytest.raises(UnknownDatasetError, match=r"Partitions\.zip \(https"):
        vdata.load("sun397", "train", root=tmp_path)


def test_all_streams_from_the_archive_alone(fake_root, tmp_path):
    """The list of classes is held in memory, so that the pictures can be read as they come."""
    shutil.copy(fake_root("sun397")[0] / "SUN397.tar.gz", tmp_path)
    pipe = vdata.load("sun397", root=tmp_path, strict=False)
    assert isinstance(pipe.plan.source, ArchiveStream)
    with pytest.warns(DataWarning):
        assert sum(1 for _ in pipe) == COUNTS["all"]


@pytest.mark.parametrize("name", ["SUN397/ClassName.txt", "Training_01.txt", "SUN397/a"])
def test_a_lost_file_is_missed_only_where_it_is_needed(mine, name):
    wanted = load(mine, "test")
    shutil.rmtree(mine / name) if (mine / name).is_dir() else (mine / name).unlink()
    assert load(mine, "test").keys() == {key for key in wanted if not f"SUN397/{key}".startswith(name)}


def test_classes_in_another_order_are_refused(mine):
    path = mine / "SUN397/ClassName.txt"
    path.write_text("\n".join(sorted(path.read_text().split(), reverse=True)))
    with pytest.raises(DataError, match=r"class 0 of SUN397/ClassName\.txt is '/y/.*another release"):
        vdata.load("sun397", "all", root=mine, strict=False)


def test_a_dead_server_is_said_to_be_dead(tmp_path):
    with pytest.raises(UnknownDatasetError, match=r"SUN397\.tar\.gz \(39,077,296,924 bytes, which .* no longer gives"):
        vdata.load("sun397", "all", root=tmp_path)


def test_only_pictures_are_samples(mine):
    (mine / "SUN397/a/abbey/Thumbs.db").write_bytes(b"")
    (mine / "SUN397/a/abbey/._sun_acqabbeyqqqqqqqq.jpg").write_bytes(b"")
    assert len(load(mine, "all")) == COUNTS["all"]


def test_a_listed_picture_that_is_missing(mine):
    row = (mine / "Training_01.txt").read_text().split()[0]
    (mine / f"SUN397{row}").unlink()
    with pytest.raises(DataError, match=f"1 of 9 samples lack a file: SUN397{row}"):
        vdata.load("sun397", "train", root=mine)
    assert len(load(mine, "train")) == 8


def test_pictures_and_lists_of_no_class(mine):
    (mine / "Testing_01.txt").write_text("/a/abbot/sun_aaaaaaaaaaaaaaaa.jpg\n")
    with pytest.raises(DataError, match=r"a/abbot/sun_a+\.jpg is in none of the 397 classes"):
        vdata.load("sun397", "test", root=mine, strict=False)
    (mine / "Testing_02.txt").unlink()
    with pytest.raises(DataError, match=r"Testing_02\.txt"):
        vdata.load("sun397", "test", root=mine, strict=False, partition=2)
    (mine / "SUN397/a/abbot").mkdir()
    (mine / "SUN397/a/abbot/sun_aaaaaaaaaaaaaaaa.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"a/abbot/sun_a+\.jpg is in none of the 397 classes"):
        vdata.load("sun397", "all", root=mine, strict=False)


def test_the_class_list_is_that_of_the_archive(fake_root):
    """Class numbers are lines of ClassName.txt, which is sorted."""
    rows = (fake_root("sun397")[1] / "SUN397/ClassName.txt").read_text().split()
    assert tuple(row[3:] for row in rows) == sun397.CLASSES == tuple(sorted(sun397.CLASSES)) and len(rows) == 397


def test_a_cut_archive(fake_root, tmp_path):
    data = (fake_root("sun397")[0] / "SUN397.tar.gz").read_bytes()
    (tmp_path / "SUN397.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedShardError, match=r"SUN397\.tar\.gz"):
        list(vdata.load("sun397", "all", root=tmp_path, strict=False))
