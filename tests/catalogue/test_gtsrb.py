"""gtsrb: the four zips and the tree give the same samples; torchvision's pictures; boxes, tracks and the class numbers."""

import csv
import shutil
import zipfile

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.catalog import module_of
from vdata.errors import DataError, DataWarning, ShardError, UnknownDatasetError
from vdata.tensors import BoundingBoxes, Label

pytestmark = pytest.mark.filterwarnings("ignore:the split:vdata.errors.DataWarning")  # fakes are small
CASES = [("train", "online"), ("train", "final"), ("test", "online")]


def load(root, split, train_set="online", **options):
    return vdata.load("gtsrb", split, root=root, strict=False, train_set=train_set, **options)


@pytest.fixture
def tree(fake_root, tmp_path):
    return shutil.copytree(fake_root("gtsrb")[1], tmp_path / "tree")


def folder_of(root, split, train_set="online"):
    train = {"online": "GTSRB/Training", "final": "GTSRB/Final_Training/Images"}[train_set]
    return root / "gtsrb" / (train if split == "train" else "GTSRB/Final_Test/Images")


def rows_of(root, split, train_set="online"):
    """Key -> row of the CSV, read by csv itself."""
    if split == "test":
        paths = {"": root / "gtsrb/GT-final_test.csv"}
    else:
        paths = {p.name + "/": p / f"GT-{p.name}.csv" for p in folder_of(root, split, train_set).iterdir()}
    out = {}
    for prefix, path in paths.items():
        with open(path) as file:
            out |= {prefix + row["Filename"].removesuffix(".ppm"): row for row in csv.DictReader(file, delimiter=";")}
    return out


@pytest.mark.parametrize("split", ["train", "test"])
def test_pictures_are_torchvisions_in_its_order(fake_root, split):
    for root in fake_root("gtsrb"):
        ours = list(load(root, split))
        theirs = torchvision.datasets.GTSRB(fake_root("gtsrb")[1], split)
        assert len(ours) == len(theirs) > 0
        for sample, (image, label) in zip(ours, theirs, strict=True):
            assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
            assert split == "train" or int(sample["label"]) == label


def test_trap_5_torchvisions_label_is_the_rank_of_the_folder(fake_root):
    """Folders 00000, 00012 and 00042: torchvision counts them, and takes the sign of class 12 for one of class 1."""
    root = fake_root("gtsrb")[1]
    theirs = [label for _, label in torchvision.datasets.GTSRB(root, "train")]
    ours = [int(s["label"]) for s in load(root, "train")]
    assert sorted(set(theirs)) == [0, 1, 2] and sorted(set(ours)) == [0, 12, 42]
    assert [{0: 0, 1: 12, 2: 42}[n] for n in theirs] == ours


@pytest.mark.parametrize("split, train_set", CASES)
def test_labels_boxes_tracks_and_frames_are_the_files(fake_root, split, train_set):
    rows = rows_of(fake_root("gtsrb")[1], split, train_set)
    for root in fake_root("gtsrb"):
        samples = {s["__key__"]: s for s in load(root, split, train_set)}
        assert samples.keys() == rows.keys()
        for key, row in rows.items():
            sample = samples[key]
            assert type(sample["label"]) is Label and int(sample["label"]) == int(row["ClassId"])
            boxes = sample["boxes"]
            assert type(boxes) is BoundingBoxes and boxes.dtype == torch.float32
            assert type(sample["labels"]) is Label and sample["labels"].tolist() == [int(sample["label"])]
            assert sample["labels"].categories == sample["label"].categories
            assert boxes.tolist() == [[float(row[f"Roi.{side}"]) for side in ("X1", "Y1", "X2", "Y2")]]
            assert boxes.canvas_size == (int(row["Height"]), int(row["Width"])) == sample["image"].canvas
            if split == "train":
                assert [sample["track"], sample["frame"]] == [int(n) for n in key.partition("/")[2].split("_")]
            else:
                assert "track" not in sample and "frame" not in sample


def test_tracks_and_frames_can_be_asked_without_reading(fake_root):
    pipe = load(fake_root("gtsrb")[0], "train")
    assert {s["track"] for s in pipe.filter(where={"track": 1})} == {1}
    near = [s["__key__"] for s in pipe.filter(where=lambda columns: columns["frame"] > 0)]
    assert near == [s["__key__"] for s in pipe if s["frame"] > 0] != [s["__key__"] for s in pipe]


def test_trap_4_the_number_of_pictures_hangs_on_the_training_set(fake_root):
    count = module_of("gtsrb").count
    assert (count("train", "online"), count("train", "final"), count("test", "final")) == (26_640, 39_209, 12_630)
    for train_set, number in (("online", "26,640"), ("final", "39,209")):
        with pytest.raises(DataError, match=f"should have {number}"):
            vdata.load("gtsrb", root=fake_root("gtsrb")[1], train_set=train_set)
    assert len(load(fake_root("gtsrb")[0], "train", "online")) != len(load(fake_root("gtsrb")[0], "train", "final"))


def test_trap_14_the_list_without_classes_is_not_read(tree):
    rogue = folder_of(tree, "test") / "GT-final_test.test.csv"
    assert rogue.exists() and "ClassId" not in rogue.read_text()
    keys = [s["__key__"] for s in load(tree, "test")]
    rogue.write_text("nonsense")
    assert [s["__key__"] for s in load(tree, "test")] == keys
    (tree / "gtsrb/GT-final_test.csv").unlink()
    with pytest.raises(UnknownDatasetError, match=r"GTSRB_Final_Test_GT\.zip"):
        load(tree, "test")


def test_only_the_archives_of_the_split_are_needed(fake_root, tmp_path):
    for archive, split, train_set in (
        ("GTSRB-Training_fixed.zip", "train", "online"),
        ("GTSRB_Final_Training_Images.zip", "train", "final"),
    ):
        alone = tmp_path / train_set
        alone.mkdir()
        shutil.copy(fake_root("gtsrb")[0] / archive, alone)
        assert len(load(alone, split, train_set)) > 0
        with pytest.raises(UnknownDatasetError, match="GTSRB_Final_Test_Images"):
            load(alone, "test", train_set)


@pytest.mark.parametrize("split, name", [("train", "00012/00001_00000"), ("test", "00003")])
def test_a_missing_picture_is_named(tree, split, name):
    (folder_of(tree, split) / f"{name}.ppm").unlink()
    with pytest.raises(DataError, match=rf"1 of \d+ samples lack a file: .*{name}\.ppm"):
        vdata.load("gtsrb", split, root=tree)
    with pytest.warns(DataWarning, match=rf"lack a file: .*{name}\.ppm"):
        pipe = load(tree, split)
    keys = [s["__key__"] for s in pipe]
    assert keys == [k for k in sorted(rows_of(tree, split)) if k != name]


def test_a_picture_that_the_csv_lacks_is_named(tree):
    folder = folder_of(tree, "train") / "00012"
    shutil.copy(folder / "00000_00000.ppm", folder / "00009_00000.ppm")
    with pytest.raises(DataError, match=r"GT-00012\.csv does not list .*00012/00009_00000\.ppm"):
        load(tree, "train")


def test_a_missing_csv_is_named(tree):
    (folder_of(tree, "train") / "00012/GT-00012.csv").unlink()
    with pytest.raises(DataError, match=r"no GTSRB/Training/00012/GT-00012\.csv"):
        load(tree, "train")


@pytest.mark.parametrize(
    "old, new, message",
    [
        (";12\n", ";13\n", r"GT-00012\.csv gives 00000_00000\.ppm the class 13"),
        (";12\n", ";43\n", r"no class below 43, for 00000_00000\.ppm"),
        (";12\n", ";-1\n", r"no class below 43, for 00000_00000\.ppm"),
        (";12\n", "\n", r"line 2 of GTSRB/Training/00012/GT-00012\.csv has 7 columns"),
        ("Roi.X1", "Roi.X", r"has no column Roi\.X1"),
        (";5;", ";five;", r"no whole numbers.*00000_00000\.ppm"),
        (";5;", ";\N{ARABIC-INDIC DIGIT FIVE};", r"no whole numbers.*00000_00000\.ppm"),
        (";5;", f";{'9' * 5000};", r"no whole numbers.*00000_00000\.ppm"),
        (";5;", ";99;", r"negative size: \(99, 6\).*GT-00012\.csv', key '00012/00000_00000', field 'boxes'"),
        (";5;", ";1000000;", "a million pixels away"),
        ("00000_00000.ppm", f"{'9' * 5000}_0.ppm", "whose name has no track and frame"),
        ("00000_00000.ppm", "\N{ARABIC-INDIC DIGIT FIVE}_0.ppm", "whose name has no track and frame"),
        ("00000_00000.ppm", "first.ppm", r"first\.ppm, whose name has no track and frame"),
        ("00000_00001.ppm", "00000_00000.ppm", r"two samples of one name.*00012/00000_00000"),
        ("00000_00000.ppm", "../../../../secret_1.ppm", "secret_1"),
    ],
)
def test_a_broken_csv_is_named(tree, old, new, message):
    path = folder_of(tree, "train") / "00012/GT-00012.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load(tree, "train")


def test_a_cut_archive_raises(fake_root, tmp_path):
    data = (fake_root("gtsrb")[0] / "GTSRB-Training_fixed.zip").read_bytes()
    (tmp_path / "GTSRB-Training_fixed.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(ShardError, match=r"GTSRB-Training_fixed\.zip"):
        load(tmp_path, "train")


def test_the_fake_has_what_the_real_one_has(fake_root):
    with zipfile.ZipFile(fake_root("gtsrb")[0] / "GTSRB_Final_Test_Images.zip") as archive:
        names = archive.namelist()
        assert archive.read("GTSRB/Final_Test/Images/00000.ppm").startswith(b"P6\n")
    assert {"GTSRB/Final_Test/Images/GT-final_test.test.csv", "GTSRB/Readme-Images-Final-test.txt"} <= set(names)
    assert len(vdata.info("gtsrb").classes) == 43
