"""load, info and list; folders; every dataset of the catalogue, alike."""

import io
import os

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.errors import DataError, DataWarning, PlanError, UnknownDatasetError

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
