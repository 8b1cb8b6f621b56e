"""flying_chairs: files joined by number, splits by the line of that number."""

import shutil
import warnings

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.errors import DataError, DataWarning, DecodeError, ShardError, UnknownDatasetError
from vdata.tensors import Flow, Image

LIST = "FlyingChairs_train_val.txt"


def load(root, split="train"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # eight samples, and not 22,872
        return vdata.load("flying_chairs", split, root=root, strict=False)


@pytest.fixture
def tree(fake_root, tmp_path):
    """An extracted tree that a test may damage."""
    return shutil.copytree(fake_root("flying_chairs")[1], tmp_path / "tree")


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("extracted", [False, True], ids=["archive", "tree"])
def test_as_torchvision(split, extracted, fake_root):
    ours = load(fake_root("flying_chairs")[extracted], split)
    theirs = torchvision.datasets.FlyingChairs(fake_root("flying_chairs")[1], split)
    assert len(ours) == len(theirs) == {"train": 5, "val": 3}[split]
    for sample, (image1, image2, flow) in zip(ours, theirs):
        assert [type(sample[n]) for n in ("image1", "image2", "flow")] == [Image, Image, Flow]
        assert np.array_equal(sample["image1"].permute(1, 2, 0), np.array(image1))
        assert np.array_equal(sample["image2"].permute(1, 2, 0), np.array(image2))
        assert np.array_equal(sample["flow"], flow)
        assert sample["flow"].views == ("image1", "image2") and not sample["flow"].sparse


def test_line_n_is_of_number_n(tree):
    codes = np.loadtxt(tree / "FlyingChairs" / LIST, dtype=int)
    for split, code in (("train", 1), ("val", 2)):
        assert [int(s["__key__"]) for s in load(tree, split)] == (np.flatnonzero(codes == code) + 1).tolist()


def test_trap_a_missing_flow_shifts_torchvisions_pairs(tree):
    """torchvision takes the flow of 00003 for the pictures of 00001, of another size; here the missing file is named."""
    (tree / "FlyingChairs/data/00002_flow.flo").unlink()
    (tree / "FlyingChairs/data/00001_flow.flo").unlink()
    image1, _, flow = torchvision.datasets.FlyingChairs(tree, "train")[0]
    assert image1.size[::-1] == (13, 20) and flow.shape[1:] == (15, 20)
    with pytest.raises(DataError, match=r"1 of 5 samples lack a file: data/00001_flow\.flo \(flow of 00001\)"):
        vdata.load("flying_chairs", root=tree)
    with pytest.warns(DataWarning) as told:
        left = vdata.load("flying_chairs", root=tree, strict=False)
    assert "00001_flow.flo" in str(told[0].message)
    assert [s["__key__"] for s in left] == ["00003", "00004", "00006", "00007"]
    assert all(s["flow"].canvas == s["image1"].canvas for s in left)


@pytest.mark.parametrize("part", ["img1.ppm", "img2.ppm"])
def test_a_missing_picture_is_named(tree, part):
    (tree / f"FlyingChairs/data/00004_{part}").unlink()
    with pytest.raises(DataError, match=f"data/00004_{part}"):
        vdata.load("flying_chairs", root=tree)


def test_a_sample_that_the_list_does_not_know_is_named(tree):
    shutil.copy(tree / "FlyingChairs/data/00008_img1.ppm", tree / "FlyingChairs/data/00009_img1.ppm")
    with pytest.raises(DataError, match=r"00009.*8 lines"):
        vdata.load("flying_chairs", root=tree)


def test_other_files_are_no_samples(tree):
    (tree / "FlyingChairs/data/Thumbs.db").write_bytes(b"")
    assert len(load(tree)) == 5


def test_a_list_that_says_something_else(tree):
    (tree / "FlyingChairs" / LIST).write_text("1\n3\n")
    for name in (tree / "FlyingChairs/data").glob("0000[3-8]*"):
        name.unlink()
    with pytest.raises(DecodeError, match=r"line 2 of FlyingChairs_train_val\.txt is '3'"):
        vdata.load("flying_chairs", root=tree)
    (tree / "FlyingChairs" / LIST).unlink()
    with pytest.raises(UnknownDatasetError, match=rf"{LIST} \(https://"):
        vdata.load("flying_chairs", root=tree)


def test_a_cut_archive(fake_root, tmp_path):
    for name in ("FlyingChairs.zip", LIST):
        shutil.copy(fake_root("flying_chairs")[0] / name, tmp_path)
    data = (tmp_path / "FlyingChairs.zip").read_bytes()
    (tmp_path / "FlyingChairs.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(ShardError, match=r"FlyingChairs\.zip"):
        vdata.load("flying_chairs", root=tmp_path)


def test_a_cut_flow_names_the_sample(tree):
    path = tree / "FlyingChairs/data/00003_flow.flo"
    path.write_bytes(path.read_bytes()[:-1])
    pipe = load(tree)
    assert torch.isfinite(pipe[0]["flow"].plain()).all()
    with pytest.raises(DecodeError, match="00003"):
        pipe[1]


def test_the_release_folder_is_not_part_of_the_names(fake_root):
    archives, _ = fake_root("flying_chairs")
    (zip_,) = [a for a in vdata.info("flying_chairs").archives if a.name.endswith(".zip")]
    assert zip_.strip == "FlyingChairs_release/" and zip_.bytes == 32_892_488_308 and len(zip_.sha256) == 64
    assert load(archives)[0]["__key__"] == "00001"
