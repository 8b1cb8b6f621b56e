"""rendered_sst2: the archive as a stream, the extracted tree and torchvision give the same samples."""

import shutil
from functools import partial

import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from tests.catalogue.reading import keyed, pixels, same
from vdata.errors import DataError, DecodeError, TruncatedShardError
from vdata.tensors import Image, Label

COUNTS = {"train": [3, 4], "val": [2, 1], "test": [2, 3]}

load = partial(keyed, "rendered_sst2")


@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, fake_root):
    tree = fake_root("rendered_sst2")[1]
    ours, theirs = load(tree, split), torchvision.datasets.RenderedSST2(tree, split)
    assert vdata.info("rendered_sst2").classes == tuple(theirs.classes)
    for (key, sample), (picture, label), (path, _) in zip(ours.items(), theirs, theirs._samples, strict=True):
        assert key == path.partition("rendered-sst2/")[2].removesuffix(".png")
        assert type(sample["image"]) is Image and torch.equal(sample["image"].plain(), pixels(picture))
        assert type(sample["label"]) is Label and int(sample["label"]) == label
    labels = [int(s["label"]) for s in ours.values()]
    assert [labels.count(0), labels.count(1)] == COUNTS[split]


@pytest.mark.parametrize("split", COUNTS)
def test_the_compressed_archive_is_a_stream_of_the_same_samples(split, fake_root):
    archives, tree = fake_root("rendered_sst2")
    streamed, wanted = load(archives, split), load(tree, split)
    assert list(streamed) != list(wanted)
    assert streamed.keys() == wanted.keys()
    for key, sample in streamed.items():
        same(sample, wanted[key])


def test_grey_pictures_have_three_channels(fake_root):
    tree = fake_root("rendered_sst2")[1]
    modes = set()
    for path in (tree / "rendered-sst2/train").rglob("*.png"):
        with Pillow.open(path) as opened:
            modes.add(opened.mode)
    assert modes == {"L", "RGB"}
    assert all(s["image"].shape == (3, 56, 56) for s in load(tree, "train").values())


def test_sentiments_only(fake_root, tmp_path):
    shutil.copytree(fake_root("rendered_sst2")[1], tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "rendered-sst2/valid"
    shutil.copytree(folder / "negative", folder / "neutral")
    with pytest.raises(DataError, match=r"valid/neutral/7\.png lies in a folder that is none of the 2 classes"):
        vdata.load("rendered_sst2", "val", root=tmp_path, strict=False)


def test_a_broken_picture_and_a_cut_archive(fake_root, tmp_path):
    archives, tree = fake_root("rendered_sst2")
    shutil.copytree(tree, tmp_path / "tree")
    (tmp_path / "tree/rendered-sst2/test/negative/10.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DecodeError, match="test/negative/10"):
        load(tmp_path / "tree", "test")
    data = (archives / "rendered-sst2.tgz").read_bytes()
    (tmp_path / "rendered-sst2.tgz").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedShardError, match=r"rendered-sst2\.tgz"):
        list(vdata.load("rendered_sst2", "test", root=tmp_path, strict=False))
