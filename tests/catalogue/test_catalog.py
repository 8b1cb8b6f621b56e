"""load, info and list; folders; every dataset of the catalogue, alike."""

import gzip
import io
import os
import shutil

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.catalog import build_index
from vdata.errors import DataError, DataWarning, PlanError, UnknownDatasetError
from vdata.testing import fake_files

NAMES = vdata.list_datasets()
WITH_FILES = [n for n in NAMES if vdata.info(n).archives]


def test_list_and_info():
    assert {"kitti_flow", "oxford_iiit_pet", "motorcycle", "moving_photos"} <= set(NAMES)
    assert "oxford_iiit_pet" not in vdata.list_datasets(task="optical flow")
    with pytest.raises(UnknownDatasetError, match="did you mean 'kitti_flow'"):
        vdata.info("kiti_flow")


def test_wrong_arguments_say_what_is_right(tmp_path):
    with pytest.raises(UnknownDatasetError, match=r"no dataset 'imagnet'"):
        vdata.load("imagnet")
    with pytest.raises(UnknownDatasetError, match=r"write vdata\.from_folder\(path\)"):
        vdata.load("ImageFolder")
    with pytest.raises(PlanError, match=r"no split 'trian' \(did you mean 'train'\?\)"):
        vdata.load("kitti_flow", "trian", fake=True)
    with pytest.raises(PlanError, match="splits trainval, test"):
        vdata.load("oxford_iiit_pet", fake=True)
    with pytest.raises(PlanError, match="no option 'flw'"):
        vdata.load("kitti_flow", fake=True, flw="occ")
    with pytest.raises(PlanError, match="one of"):
        vdata.load("kitti_flow", fake=True, flow="both")
    with pytest.raises(UnknownDatasetError, match=r"(?s)data_scene_flow\.zip \(https.*vdata download kitti_flow"):
        vdata.load("kitti_flow", root=tmp_path)
    with pytest.raises(UnknownDatasetError, match=r"cars_train\.tgz \("):
        vdata.load("stanford_cars", root=tmp_path)
    with pytest.raises(UnknownDatasetError, match=r"no \.tar at"):
        vdata.load(str(tmp_path / "no" / "where"))


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("OxfordIIITPet", {}, "did you mean 'oxford_iiit_pet'"),
        ("MNIST", {}, "did you mean 'mnist'"),
        ("VOCDetection", {}, "did you mean 'voc'"),
        ("mnist", {"train": True}, 'say split="train"'),
        ("mnist", {"transform": None}, r"\.apply\("),
        ("voc", {"image_set": "train"}, "that is split="),
        ("voc", {"task": "segmentaton"}, "did you mean 'segmentation'"),
        ("dtd", {"partition": True}, "one of"),
        ("mnist", {"split": "TRAIN"}, "did you mean 'train'"),
        ("mnist", {"split": 1}, "split is a name"),
        ("mnist", {"split": ["train", "test"]}, r"vdata\.concat"),
    ],
)
def test_what_people_write_first_is_answered(name, options, said):
    with pytest.raises((UnknownDatasetError, PlanError), match=said):
        vdata.load(name, fake=True, **options)


def test_values_of_options_may_be_spelled_otherwise():
    assert len(vdata.load("dtd", fake=True, partition="2").plan.source.digest) == 16
    assert vdata.load("voc", fake=True, year=2012).plan.source.digest == vdata.load("voc", fake=True, year="2012").plan.source.digest


def test_where_a_set_is_when_it_is_not_in_the_root(fake_root, tmp_path):
    _, tree = fake_root("food101")
    with pytest.raises(UnknownDatasetError, match=f"but it is in {tree}: say root="):
        vdata.load("food101", root=tree / "food-101")
    with pytest.raises(UnknownDatasetError, match="there is no such folder"):
        vdata.load("food101", root=tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(UnknownDatasetError, match="is a file: root is the folder"):
        vdata.load("food101", root=tmp_path / "file")
    with pytest.raises(UnknownDatasetError, match=f"Or extract, so that there is {tmp_path}/food-101/images"):
        vdata.load("food101", root=tmp_path)


def test_an_archive_counts_where_its_folder_is_half_there(tmp_path):
    archive = fake_files("eurosat", tmp_path) / "EuroSAT.zip"
    (tmp_path / "2750" / "Forest").mkdir(parents=True)
    (tmp_path / "2750" / "Forest" / "._Forest_1.jpg").write_bytes(b"what a Mac leaves")
    with pytest.warns(DataWarning, match="has 30 samples"):
        assert len(vdata.load("eurosat", root=tmp_path, strict=False)) == 30
    archive.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(DataError, match=r"EuroSAT\.zip is no zip file: it is a web page"):
        vdata.load("eurosat", root=tmp_path, strict=False)


def test_a_tar_that_a_browser_unpacked_keeps_its_name(tmp_path):
    path = fake_files("country211", tmp_path) / "country211.tgz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.warns(DataWarning, match="should have"):
        assert len(vdata.load("country211", root=tmp_path, strict=False)) > 0


def test_roots_that_are_relative_or_of_the_home(tmp_path, monkeypatch):
    fake_files("eurosat", tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.warns(DataWarning):
        pipe, same = (vdata.load("eurosat", root=root, strict=False) for root in ("data", "~/data"))
    monkeypatch.chdir("/")
    assert len(pipe[0]) == len(same[0]) == 3


def test_text_can_be_asked_for_and_mistakes_are_named():
    pipe = vdata.load("sintel", fake=True, pass_name="both")
    assert {s["scene"] for s in pipe.filter(where={"scene": "alley_1"})} == {"alley_1"}
    assert len(pipe.filter(where=lambda c: c["pass_name"] == "final")) == len(pipe) // 2
    with pytest.raises(PlanError, match="no column 'scen'; the index has"):
        list(pipe.filter(where=lambda c: c["scen"] == "x"))
    with pytest.raises(PlanError, match="holds numbers"):
        list(vdata.load("gtsrb", fake=True).filter(where={"label": "speed limit 20"}))


def test_an_error_names_the_picture(fake_root, tmp_path):
    shutil.copytree(fake_root("eurosat")[1], tmp_path / "tree")
    broken = tmp_path / "tree" / "eurosat" / "2750" / "AnnualCrop" / "AnnualCrop_1.jpg"
    broken.write_bytes(b"")
    with pytest.warns(DataWarning), pytest.raises(DataError, match=f"{broken}"):
        list(vdata.load("eurosat", root=tmp_path / "tree", strict=False))


def test_all_that_is_missing_is_listed(fake_root, tmp_path):
    shutil.copytree(fake_root("food101")[1], tmp_path / "tree")
    lost = sorted((tmp_path / "tree" / "food-101" / "images").glob("*/*.jpg"))
    for path in lost[1:]:
        path.unlink()
    with pytest.raises(DataError, match="samples lack a file"):
        vdata.load("food101", root=tmp_path / "tree")
    with pytest.warns(DataWarning) as caught:
        vdata.load("food101", root=tmp_path / "tree", strict=False)
    (listed,) = [w.message.missing for w in caught if w.message.missing]
    assert len(listed) > 5 and all(field == "image" for _, field, _ in listed)


def test_vdata_home_is_the_default_root(tmp_path, monkeypatch):
    monkeypatch.setenv("VDATA_HOME", str(tmp_path))
    with pytest.raises(UnknownDatasetError, match=str(tmp_path / "kitti_flow")):
        vdata.load("kitti_flow")
    (tmp_path / "kitti_flow").mkdir()
    vdata.catalog.module_of("kitti_flow").fake(tmp_path / "kitti_flow")
    with pytest.warns(DataWarning, match="has 3 samples here and should have 200"):
        assert len(vdata.load("kitti_flow", strict=False)) == 3


@pytest.fixture
def pets(tmp_path):
    for name, value in (("cat/1.jpg", 10), ("cat/2.JPEG", 20), ("dog/deep/3.png", 30), ("emu/x.y.png", 40)):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        Pillow.fromarray(np.full((4, 6, 3), value, np.uint8)).save(out, "PNG" if name.endswith("png") else "JPEG")
        path.write_bytes(out.getvalue())
    (tmp_path / "pets" / "notes.txt").write_text("not a picture")
    return tmp_path / "pets"


def test_a_folder_equals_torchvisions_imagefolder(pets):
    theirs = torchvision.datasets.ImageFolder(str(pets))
    for pipe in (vdata.from_folder(str(pets)), vdata.load(str(pets))):
        assert len(pipe) == len(theirs)
        for ours, (picture, label) in zip(pipe, theirs, strict=True):
            assert torch.equal(ours["image"].plain(), torch.as_tensor(np.array(picture)).permute(2, 0, 1))
            assert int(ours["label"]) == label
            assert ours["label"].name == theirs.classes[label]
    assert len(vdata.from_folder(str(pets)).filter(where={"label": [0, 2]})) == 3


def test_a_folder_of_loose_pictures(pets):
    assert "label" not in vdata.from_folder(str(pets / "cat"))[0]
    assert "label" not in vdata.from_folder(str(pets), labels=False)[0]
    os.rename(pets / "cat" / "1.jpg", pets / "1.jpg")
    with pytest.raises(DataError, match="beside the class folders"):
        vdata.from_folder(str(pets))
    with pytest.raises(UnknownDatasetError, match="no picture"):
        (pets / "empty").mkdir()
        vdata.from_folder(str(pets / "empty"))


def test_keys_with_dots_survive_packing(pets, tmp_path):
    packed = vdata.from_folder(str(pets)).pack(str(tmp_path / "packed"))
    assert sorted(s["__key__"] for s in packed) == ["cat/1", "cat/2", "dog/deep/3", "emu/x.y"]


def test_a_broken_picture_says_where(pets):
    (pets / "cat" / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(DataError) as caught:
        list(vdata.from_folder(str(pets)))
    assert "cat/1" in str(caught.value)
    assert str(pets / "cat" / "1.jpg") in str(caught.value)


def test_a_half_extracted_tree_beside_a_compressed_archive(fake_root, tmp_path):
    """The tree is read; what it lacks is named, and so is the command after which the archive is read."""
    archives, tree = fake_root("food101")
    shutil.copytree(tree, tmp_path / "root")
    shutil.copy(archives / "food-101.tar.gz", tmp_path / "root")
    next((tmp_path / "root" / "food-101" / "images").glob("*/*.jpg")).unlink()
    with pytest.raises(DataError, match=r"food-101\.tar\.gz beside it is not read: `vdata index food101`"):
        [vdata.load("food101", split, root=tmp_path / "root") for split in ("train", "test")]
    build_index("food101", tmp_path / "root")
    with pytest.warns(DataWarning):
        both = [len(vdata.load("food101", split, root=tmp_path / "root", strict=False)) for split in ("train", "test")]
        assert both == [len(vdata.load("food101", split, root=tree, strict=False)) for split in ("train", "test")]
