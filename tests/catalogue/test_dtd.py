"""dtd: the archive as a stream, the extracted tree and torchvision give the same samples; all attributes; ten partitions."""

import shutil
import tarfile
from functools import partial

import pytest
import torch
import torchvision

import vdata
import vdata.transforms as T
from tests.catalogue.reading import keyed, pixels, same
from vdata.datasets import dtd
from vdata.errors import DataError, PlanError, TruncatedShardError
from vdata.tensors import Image, Label
from vdata.testing import jpeg, photo

COUNTS = {"train": 9, "val": 6, "test": 3}
JOINT = "labels/labels_joint_anno.txt"

load = partial(keyed, "dtd")


@pytest.fixture
def mine(fake_root, tmp_path):
    """(root, the folder of the extracted files), to change."""
    shutil.copytree(fake_root("dtd")[1], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "dtd/dtd"


@pytest.mark.parametrize("partition", [1, 2, 7, 10])
@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, partition, fake_root):
    tree = fake_root("dtd")[1]
    ours, theirs = load(tree, split, partition=partition), torchvision.datasets.DTD(tree, split, partition)
    assert len(ours) == len(theirs) == COUNTS[split]
    for (key, sample), (picture, label), path in zip(ours.items(), theirs, theirs._image_files, strict=True):
        assert key == f"{path.parent.name}/{path.stem}"
        assert type(sample["image"]) is Image and torch.equal(sample["image"].plain(), pixels(picture))
        assert type(sample["label"]) is Label and sample["label"].name == theirs.classes[label] == path.parent.name


def test_labels_are_torchvisions_where_all_classes_are_there(tmp_path):
    """torchvision numbers the classes that the list names: in a part of the set its labels are ranks."""
    folder = tmp_path / "dtd/dtd"
    (folder / "labels").mkdir(parents=True)
    paths = [f"{c}/{c}_0001.jpg" for c in reversed(dtd.CLASSES)]
    (folder / "labels/val3.txt").write_text("\n".join(paths))
    (folder / JOINT).write_text("\n".join(paths))  # the class of the folder is an attribute, listed or not
    for path in paths:
        (folder / "images" / path).parent.mkdir(parents=True)
        (folder / "images" / path).write_bytes(jpeg(photo(8, 8)))
    ours, theirs = load(tmp_path, "val", partition=3), torchvision.datasets.DTD(tmp_path, "val", 3)
    assert [int(s["label"]) for s in ours.values()] == theirs._labels == list(range(46, -1, -1))
    assert [s["attributes"].tolist() for s in ours.values()] == [[n] for n in theirs._labels]

    (folder / "labels/val3.txt").write_text("\n".join(paths[:3]))
    assert torchvision.datasets.DTD(tmp_path, "val", 3)._labels == [2, 1, 0]
    assert [int(s["label"]) for s in load(tmp_path, "val", partition=3).values()] == [46, 45, 44]


def test_trap_the_partition_is_checked(fake_root):
    """torchvision lets any whole number pass and fails when it opens the list; vdata says what there is."""
    tree = fake_root("dtd")[1]
    with pytest.raises(FileNotFoundError, match=r"train11\.txt"):
        torchvision.datasets.DTD(tree, "train", 11)
    with pytest.raises(PlanError, match=r"partition is one of \[1, 2, .*10\], got 11"):
        vdata.load("dtd", root=tree, partition=11)


def test_partitions_differ_and_cover_everything(fake_root):
    tree = fake_root("dtd")[1]
    parts = {p: {s: set(load(tree, s, partition=p)) for s in COUNTS} for p in (1, 2)}
    assert parts[1] != parts[2]
    for splits in parts.values():
        assert len(set.union(*splits.values())) == sum(COUNTS.values())


@pytest.mark.parametrize("where", [0, 1], ids=["archives", "tree"])
def test_attributes(where, fake_root):
    with tarfile.open(fake_root("dtd")[0] / "dtd-r1.0.1.tar.gz") as archive:
        rows = archive.extractfile(f"dtd/{JOINT}").read().decode().split("\n")
    wanted = {words[0].removesuffix(".jpg"): words[1:] for row in rows if (words := row.split())}
    assert any(row.endswith(" ") for row in rows) and any(len(words) > 1 for words in wanted.values())
    for key, sample in load(fake_root("dtd")[where], "train").items():
        attributes = sample["attributes"]
        assert type(attributes) is Label and attributes.dtype == torch.int64 and attributes.categories == dtd.CLASSES
        assert attributes.name == sorted(wanted[key]) and sample["label"].name in attributes.name
        hot = torch.nn.functional.one_hot(attributes.plain(), 47).sum(0)
        assert [dtd.CLASSES[n] for n in torch.nonzero(hot == 1).flatten()] == attributes.name


@pytest.mark.parametrize("split", COUNTS)
def test_the_compressed_archive_is_a_stream_of_the_same_samples(split, fake_root):
    archives, tree = fake_root("dtd")
    streamed, wanted = load(archives, split, partition=4), load(tree, split, partition=4)
    assert list(streamed) != list(wanted)
    assert streamed.keys() == wanted.keys()
    for key, sample in streamed.items():
        same(sample, wanted[key])


def test_the_archive_in_torchvisions_folder(fake_root, tmp_path):
    """torchvision keeps the archive in "dtd", the name of the folder that is in it."""
    (tmp_path / "dtd").mkdir()
    shutil.copy(fake_root("dtd")[0] / "dtd-r1.0.1.tar.gz", tmp_path / "dtd")
    assert load(tmp_path, "train").keys() == load(fake_root("dtd")[1], "train").keys()


def test_a_listed_picture_that_is_missing(mine):
    root, folder = mine
    (folder / "images/banded/banded_0004.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 9 samples lack a file: dtd/images/banded/banded_0004\.jpg"):
        vdata.load("dtd", root=root)
    assert len(load(root, "train")) == 8


def test_lists_that_do_not_fit(mine):
    root, folder = mine

    def refused(match):
        with pytest.raises(DataError, match=match):
            vdata.load("dtd", root=root, strict=False)

    joint, split = (folder / JOINT).read_text(), (folder / "labels/train1.txt").read_text()
    (folder / JOINT).write_text("\n".join(row for row in joint.splitlines() if "banded_0004" not in row))
    refused(r"labels_joint_anno\.txt does not say which attributes banded/banded_0004\.jpg has")
    (folder / JOINT).write_text(joint.replace("_0004.jpg banded", "_0004.jpg bandit"))
    refused(r"gives banded/banded_0004\.jpg the attribute bandit")
    (folder / JOINT).write_text(joint)
    (folder / "labels/train1.txt").write_text(split + "knotty/knotty_0001.jpg\n")
    refused(r"train1\.txt lists knotty/knotty_0001\.jpg, which is of none of the 47 classes")
    (folder / "labels/train1.txt").write_text(split + "banded/banded_0004.jpg\n")
    refused("two samples of one name.*banded/banded_0004")
    (folder / "labels/train1.txt").unlink()
    refused(r"labels/train1\.txt")


def test_a_cut_archive(fake_root, tmp_path):
    data = (fake_root("dtd")[0] / "dtd-r1.0.1.tar.gz").read_bytes()
    (tmp_path / "dtd-r1.0.1.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedShardError, match=r"dtd-r1\.0\.1\.tar\.gz"):
        list(vdata.load("dtd", root=tmp_path, strict=False))


def test_transforms_let_the_attributes_pass(fake_root):
    sample = next(iter(load(fake_root("dtd")[1], "train").values()))
    flipped = T.RandomHorizontalFlip(1.0)(sample)
    assert torch.equal(flipped["image"].plain(), sample["image"].plain().flip(-1))
    assert flipped["attributes"].name == sample["attributes"].name
