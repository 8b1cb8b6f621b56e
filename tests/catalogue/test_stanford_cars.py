"""stanford_cars: archives, tree and torchvision give the same cars; boxes are read by the names of the fields."""

import io
import shutil
import tarfile
import warnings

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.datasets import stanford_cars
from vdata.datasets._mat import mat_file
from vdata.errors import DataError, DataWarning, DecodeError, TruncatedShardError, UnknownDatasetError
from vdata.tensors import BoundingBoxes, Image, Label
from vdata.testing import tar_file

COUNTS = {"train": 5, "test": 3}
ANNOTATIONS = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}


def load(root, split):
    """The fake samples, fewer than the card says: {key: sample}."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        samples = list(vdata.load("stanford_cars", split, root=root, strict=False))
    keyed = {s["__key__"]: s for s in samples}
    assert len(keyed) == len(samples) > 0
    return keyed


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.plain(), theirs[name].plain()) and value.meta() == theirs[name].meta()
        else:
            assert value == theirs[name]


def rows_of(root, split):
    """The annotations by scipy."""
    return scipy.io.loadmat(root / "stanford_cars" / ANNOTATIONS[split], squeeze_me=True)["annotations"]


@pytest.fixture
def mine(fake_root, tmp_path):
    """(root, the folder of the extracted files), to change."""
    shutil.copytree(fake_root("stanford_cars")[1], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "stanford_cars"


@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, fake_root):
    tree = fake_root("stanford_cars")[1]
    ours, theirs = load(tree, split), torchvision.datasets.StanfordCars(tree, split)
    assert len(ours) == len(theirs) == COUNTS[split]
    assert list(vdata.info("stanford_cars").classes) == theirs.classes
    for (key, sample), (picture, label), (path, _) in zip(ours.items(), theirs, theirs._samples, strict=True):
        assert path.endswith(f"/{key}.jpg")
        assert type(sample["image"]) is Image
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        assert type(sample["label"]) is Label and int(sample["label"]) == label


@pytest.mark.parametrize("split", COUNTS)
def test_boxes_by_scipy(split, fake_root):
    """One less at the upper left: the file counts from 1 and includes both ends."""
    tree = fake_root("stanford_cars")[1]
    for sample, row in zip(load(tree, split).values(), rows_of(tree, split), strict=True):
        boxes, labels = sample["boxes"], sample["labels"]
        x1, y1, x2, y2 = (float(row[f"bbox_{side}"]) for side in ("x1", "y1", "x2", "y2"))
        assert type(boxes) is BoundingBoxes and boxes.dtype == torch.float32
        assert boxes.plain().tolist() == [[x1 - 1, y1 - 1, x2, y2]]
        assert boxes.format == "XYXY" and boxes.canvas_size == tuple(sample["image"].shape[1:])
        assert type(labels) is Label and labels.tolist() == [int(sample["label"])]


@pytest.mark.parametrize("split", COUNTS)
def test_the_compressed_archives_are_a_stream_of_the_same_samples(split, fake_root):
    archives, tree = fake_root("stanford_cars")
    streamed, wanted = load(archives, split), load(tree, split)
    assert list(streamed) != list(wanted) and streamed.keys() == wanted.keys()
    for key, sample in streamed.items():
        same(sample, wanted[key])


# -- traps ----------------------------------------------------------------------------------------------------------------


def test_trap_the_box_is_read_by_name(mine):
    """The README has x1, x2, y1, y2, the struct x1, y1, x2, y2: in whatever order the fields come, the names decide."""
    root, folder = mine
    wanted = load(root, "train")
    rows = [dict(zip(row.dtype.names, row)) for row in rows_of(root, "train")]
    order = ("fname", "bbox_x1", "bbox_x2", "class", "bbox_y2", "bbox_y1")
    shuffled = [{n: row[n] if n == "fname" else np.array([[row[n]]], np.uint16) for n in order} for row in rows]
    mat_file(folder / ANNOTATIONS["train"], {"annotations": shuffled})
    found = load(root, "train")
    assert list(found) == list(wanted)
    for key, sample in found.items():
        same(sample, wanted[key])


def test_trap_the_hashes_are_of_the_files_with_these_sizes():
    """torchvision's prototype exchanged those of the training pictures and of the devkit; the card has the right way round."""
    known = {a.name: (a.bytes, a.sha256[:8]) for a in vdata.info("stanford_cars").archives}
    assert known["cars_train.tgz"] == (979_269_282, "512b227b")
    assert known["car_devkit.tgz"] == (330_960, "b97deb46")


def test_trap_the_first_pixel_is_0(fake_root):
    assert load(fake_root("stanford_cars")[1], "train")["cars_train/00001"]["boxes"].tolist() == [[0, 0, 31, 21]]


def test_trap_grey_pictures_come_as_rgb(fake_root):
    archives, tree = fake_root("stanford_cars")
    grey = {
        f"{path.parent.name}/{path.stem}"
        for path in (tree / "stanford_cars").glob("cars_*/*.jpg")
        if Pillow.open(io.BytesIO(path.read_bytes())).mode == "L"
    }
    assert grey == {"cars_train/00004", "cars_test/00002"}
    for root in (archives, tree):
        for key, sample in {**load(root, "train"), **load(root, "test")}.items():
            assert sample["image"].shape[0] == 3
            assert torch.equal(sample["image"][0], sample["image"][2]) == (key in grey)


def test_trap_classes_begin_with_1_in_the_file(fake_root):
    tree = fake_root("stanford_cars")[1]
    names = scipy.io.loadmat(tree / "stanford_cars/devkit/cars_meta.mat", squeeze_me=True)["class_names"].tolist()
    for split in COUNTS:
        for sample, row in zip(load(tree, split).values(), rows_of(tree, split), strict=True):
            assert sample["label"].name == names[row["class"] - 1]
    assert len(set(stanford_cars.CLASSES)) == 196
    assert load(tree, "train")["cars_train/00002"]["label"].name == "smart fortwo Convertible 2012"


def test_trap_the_devkits_test_annotations_have_no_class(mine):
    """They lack the class, so they will not do for the test set, not even under the other file's name."""
    root, folder = mine
    (folder / ANNOTATIONS["test"]).unlink()
    with pytest.raises(UnknownDatasetError, match=r"cars_test_annos_withlabels\.mat \(the authors' site is gone"):
        load(root, "test")
    shutil.copy(folder / "devkit/cars_test_annos.mat", folder / ANNOTATIONS["test"])
    with pytest.raises(
        DecodeError, match=r"annotation 1 of cars_test_annos_withlabels\.mat is broken: it has no class"
    ):
        load(root, "test")


# -- what is needed, and what is broken -----------------------------------------------------------------------------------


def test_the_dead_host_is_told_and_what_to_put_where(tmp_path):
    with pytest.raises(UnknownDatasetError) as caught:
        load(tmp_path, "train")
    for text in (
        "cars_train.tgz", "car_devkit.tgz", "404", "stanford_cars/cars_train/00001.jpg to 08144.jpg",
        "stanford_cars/devkit/cars_train_annos.mat", "jessicali9530/stanford-cars-dataset",
    ):  # fmt: skip
        assert text in str(caught.value)
    assert "cars_test" not in str(caught.value)


def test_the_files_that_the_message_names_are_enough(fake_root, tmp_path):
    tree = fake_root("stanford_cars")[1] / "stanford_cars"
    shutil.copytree(tree / "cars_train", tmp_path / "a/stanford_cars/cars_train")
    (tmp_path / "a/stanford_cars/devkit").mkdir()
    shutil.copy(tree / ANNOTATIONS["train"], tmp_path / "a/stanford_cars/devkit")
    assert len(load(tmp_path / "a", "train")) == 5
    shutil.copytree(tree / "cars_test", tmp_path / "b/stanford_cars/cars_test")
    shutil.copy(tree / ANNOTATIONS["test"], tmp_path / "b/stanford_cars")
    assert len(load(tmp_path / "b", "test")) == 3


def test_a_missing_picture_is_named(mine):
    root, folder = mine
    (folder / "cars_train/00003.jpg").unlink()
    with pytest.raises(
        DataError, match=r"1 of 5 samples lack a file: cars_train/00003\.jpg \(image of cars_train/00003\)"
    ):
        vdata.load("stanford_cars", root=root)
    assert list(load(root, "train")) == [f"cars_train/0000{n}" for n in (5, 4, 2, 1)]


def test_a_picture_that_the_archive_lacks_is_named(fake_root, tmp_path):
    for path in fake_root("stanford_cars")[0].iterdir():
        shutil.copy(path, tmp_path)
    with tarfile.open(tmp_path / "cars_test.tgz") as archive:
        kept = {m.name: archive.extractfile(m).read() for m in archive if m.isreg() and "00002" not in m.name}
    tar_file(tmp_path / "cars_test.tgz", kept)
    with pytest.raises(DataError, match=r"cars_test/00002\.jpg"):
        list(vdata.load("stanford_cars", "test", root=tmp_path))
    assert set(load(tmp_path, "test")) == {"cars_test/00001", "cars_test/00003"}


def test_a_picture_without_annotation_is_no_sample(mine):
    root, folder = mine
    shutil.copy(folder / "cars_train/00003.jpg", folder / "cars_train/00006.jpg")
    assert len(load(root, "train")) == 5


@pytest.mark.parametrize("name", ["cars_train.tgz", "car_devkit.tgz"])
@pytest.mark.parametrize("cut", [0.3, 0.999])
def test_a_cut_archive_raises(fake_root, tmp_path, name, cut):
    for path in fake_root("stanford_cars")[0].iterdir():
        shutil.copy(path, tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(TruncatedShardError, match=f"cut or damaged.*{name}"):
        load(tmp_path, "train")


def car(**changed):
    row = {"bbox_x1": 1, "bbox_y1": 2, "bbox_x2": 30, "bbox_y2": 20, "class": 5, "fname": "00001.jpg"} | changed
    return {n: np.array([[v]], np.float64) if isinstance(v, (int, float)) else v for n, v in row.items() if v != ""}


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([car(bbox_y1=""), car(bbox_y1="")], "annotation 1 of .* is broken: it has no bbox_y1"),
        ([car(), car(fname="00002.jpg", bbox_y1="two")], "annotation 2 of .* is broken: .*two"),
        ([car(fname="")], "annotation 1 of .* is broken: it has no fname"),
        ([car(**{"class": 0})], "its class 0.0 is none of 1 to 196"),
        ([car(**{"class": 197})], "its class 197.0 is none of 1 to 196"),
        ([car(**{"class": 1.5})], "its class 1.5 is none of 1 to 196"),
        ([car(**{"class": "five"})], "annotation 1 of .* is broken"),
        ([car(bbox_x1=np.nan)], "a corner that is not finite"),
        ([car(bbox_x1=31)], r"annotation 1 of .* is broken: a box of negative size: \(31, 2\) to \(30, 20\)"),
        ([car(bbox_x2=1e6)], "a million pixels away"),
        ([car(bbox_x1="one")], "annotation 1 of .* is broken: .*one"),
        ([car(), car()], "two samples of one name.*cars_train/00001"),
        ([car(fname="../cars_test/00001.jpg")], "leads out of the folder"),
        (["text"], "annotation 1 of .* is broken: it has no bbox_x1"),
        ("text", "annotation 1 of .* is broken"),
        (np.array([[1, 2]], np.uint8), "annotation 1 of .* is broken"),
    ],
)
def test_broken_annotations(mine, annotations, message):
    root, folder = mine
    mat_file(folder / ANNOTATIONS["train"], {"annotations": annotations})
    with pytest.raises(DataError, match=message):
        load(root, "train")


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"MATLAB 5.0"])
def test_what_is_no_mat_file(mine, data):
    root, folder = mine
    (folder / ANNOTATIONS["train"]).write_bytes(data)
    with pytest.raises(DecodeError, match=r"devkit/cars_train_annos\.mat is no readable MATLAB file"):
        load(root, "train")
    mat_file(folder / ANNOTATIONS["train"], {"annos": [car()]})
    with pytest.raises(DecodeError, match=r"cars_train_annos\.mat has no variable annotations"):
        load(root, "train")


def test_a_single_annotation(mine):
    root, folder = mine
    mat_file(folder / ANNOTATIONS["train"], {"annotations": [car()]})
    assert load(root, "train")["cars_train/00001"]["boxes"].tolist() == [[0, 1, 30, 20]]
