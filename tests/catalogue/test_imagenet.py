"""imagenet: archives, trees with flat and sorted validation pictures, and torchvision give the same samples."""

import io
import shutil
import tarfile
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow
from scipy.io import loadmat

import vdata
from vdata import transforms as T
from vdata.datasets import imagenet as module
from vdata.datasets._mat import mat_bytes
from vdata.encoded import Encoded
from vdata.errors import DataError, DataWarning, UnknownDatasetError
from vdata.tensors import BoundingBoxes, Image, Label

_DEVKIT = "ILSVRC2012_devkit_t12"


@pytest.fixture
def archives(fake_root):
    return fake_root("imagenet")[0]


@pytest.fixture
def tree(fake_root):
    """The validation pictures are flat, as in their archive."""
    return fake_root("imagenet")[1]


@pytest.fixture
def mutable(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "imagenet")


@pytest.fixture
def truth(tree):
    """(wnid -> its words, the wnid of every validation picture), as torchvision reads them from the devkit."""
    synsets = loadmat(tree / _DEVKIT / "data/meta.mat", squeeze_me=True)["synsets"]
    leaves = [s for s in synsets if s["num_children"] == 0]
    numbers = {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in leaves}
    listed = (tree / _DEVKIT / "data/ILSVRC2012_validation_ground_truth.txt").read_text().split()
    return {str(s["WNID"]): tuple(s["words"].split(", ")) for s in leaves}, [numbers[int(n)] for n in listed]


@pytest.fixture
def sorted_tree(mutable, truth):
    """As torchvision leaves it: validation pictures in folders, the devkit's content in its meta.bin."""
    torch.save(truth, mutable / "meta.bin")
    for number, wnid in enumerate(truth[1], 1):
        (mutable / "val" / wnid).mkdir(exist_ok=True)
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        (mutable / "val" / name).rename(mutable / "val" / wnid / name)
    return mutable


@pytest.fixture
def thousand(tmp_path):
    """A folder for each of 1,000 classes, one picture in each, no devkit."""
    data = module._fake_picture("", 1)
    for wnid in module._fake_wnids():
        (tmp_path / "train" / wnid).mkdir(parents=True)
        (tmp_path / "train" / wnid / f"{wnid}_1.JPEG").write_bytes(data)
    return tmp_path


def load(split, root):
    with pytest.warns(DataWarning, match="samples here and should have (1,281,167|50,000)"):
        return vdata.load("imagenet", split, root=root, strict=False)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("where", ["archives", "tree", "sorted_tree"])
def test_as_torchvision(request, sorted_tree, where, split):
    """The same pictures in the same order; torchvision's labels are ranks among the folders that are there."""
    theirs = torchvision.datasets.ImageNet(sorted_tree, split)
    ours = load(split, request.getfixturevalue(where))
    assert len(ours) == len(theirs) == {"train": 7, "val": 4}[split]
    for sample, (path, _), (image, label) in zip(ours, theirs.imgs, theirs, strict=True):
        assert sample["__key__"] == "/".join(path.rsplit("/", 2)[1:]).removesuffix(".JPEG")
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
        assert sample["wnid"] == theirs.wnids[label]
        assert tuple(sample["words"].split(", ")) == theirs.classes[label]


@pytest.mark.parametrize("split", ["train", "val"])
def test_labels_are_ranks_among_all_classes(tree, truth, split):
    ranks = {wnid: rank for rank, wnid in enumerate(sorted(truth[0]))}
    labels = {s["wnid"]: int(s["label"]) for s in load(split, tree)}
    assert labels == {wnid: ranks[wnid] for wnid in labels} and len(ranks) == 1000
    if split == "train":
        assert labels == {"n01440764": 0, "n01443537": 1, "n02105855": 2, "n07720875": 999}


def test_a_part_of_the_classes_keeps_its_labels(sorted_tree):
    """torchvision's labels shift when a folder is not there."""
    shutil.rmtree(sorted_tree / "train/n01440764")
    theirs = torchvision.datasets.ImageNet(sorted_tree, "train")
    assert [theirs.wnids[n] for n in sorted(set(theirs.targets))] == ["n01443537", "n02105855", "n07720875"]
    assert set(theirs.targets) == {0, 1, 2}
    assert {int(s["label"]) for s in load("train", sorted_tree)} == {1, 2, 999}


def test_flat_and_sorted_validation_pictures_are_one_dataset(tree, sorted_tree):
    for sample, other in zip(load("val", tree), load("val", sorted_tree), strict=True):
        assert sample["__key__"] == other["__key__"] and int(sample["label"]) == int(other["label"])
        assert torch.equal(sample["image"].plain(), other["image"].plain())


@pytest.mark.parametrize("where", ["archives", "tree"])
def test_fields_are_typed(request, where):
    sample = load("train", request.getfixturevalue(where))[0]
    assert list(sample) == ["__key__", "image", "label", "wnid", "words", "boxes", "labels"]
    assert [type(v) for v in list(sample.values())[1:]] == [Image, Label, str, str, BoundingBoxes, Label]
    assert sample["label"].dtype == torch.int64 and sample["label"].shape == ()


def test_any_picture_of_the_tar_of_tars_at_once(archives):
    pipe = load("train", archives)
    with tarfile.open(archives / "ILSVRC2012_img_train.tar") as outer:
        packed = io.BytesIO(outer.extractfile("n01443537.tar").read())
    with tarfile.open(fileobj=packed) as inner:
        data = inner.extractfile("n01443537_16.JPEG").read()
    raw = pipe.plan.source.read(2)
    assert raw["__key__"] == "n01443537/n01443537_16"
    assert isinstance(raw["image"], Encoded) and bytes(raw["image"].data) == data and not raw["image"].orient


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_are_brought_to_the_pictures_size(tree, split):
    found = 0
    for sample in load(split, tree):
        name = sample["__key__"].partition("/")[2]
        paths = list((tree / "Annotations" / split).rglob(f"{name}.xml"))
        entries = [e for p in paths for e in ElementTree.parse(p).getroot().findall("object")]
        known = {sample["wnid"]: int(sample["label"])}
        assert sample["labels"].tolist() == [known.get(e.findtext("name"), -1) for e in entries]
        assert sample["labels"].dtype == torch.int64
        assert sample["boxes"].shape == (len(entries), 4)
        height, width = sample["image"].shape[1:]
        assert sample["boxes"].canvas_size == (height, width)
        for box, entry in zip(sample["boxes"], entries, strict=True):
            size = ElementTree.parse(paths[0]).getroot().find("size")
            scale = [width / float(size.findtext("width")), height / float(size.findtext("height"))] * 2
            corners = [float(entry.find("bndbox").findtext(s)) for s in ("xmin", "ymin", "xmax", "ymax")]
            assert torch.allclose(box.as_subclass(torch.Tensor), torch.tensor(corners) * torch.tensor(scale))
            found += 1
    assert found == {"train": 2, "val": 4}[split]


def test_which_pictures_have_boxes_can_be_asked(tree):
    assert len(load("train", tree).filter(where={"boxes": True})) == 2


def test_without_their_archives_there_are_no_boxes(archives, tmp_path):
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        shutil.copy(archives / name, tmp_path)
    pipe = load("train", tmp_path)
    assert pipe[0].keys() == {"__key__", "image", "label", "wnid", "words"} == {"__key__", *pipe.plan.source.fields}


# -- without the devkit -----------------------------------------------------------------------------------------------------


def test_a_thousand_folders_tell_the_labels(thousand):
    pipe = load("train", thousand)
    wnids = module._fake_wnids()
    assert len(pipe) == 1000 and pipe[0].keys() == {"__key__", "image", "label", "wnid"}
    assert [int(pipe[i]["label"]) for i in (0, 1, 500, 999)] == [0, 1, 500, 999]
    assert [pipe[i]["wnid"] for i in (0, 999)] == [wnids[0], wnids[999]]


def test_fewer_folders_do_not(thousand):
    shutil.rmtree(thousand / "train" / module._fake_wnids()[7])
    with pytest.raises(DataError, match=r"train/ has 999 folders.*ILSVRC2012_devkit_t12\.tar\.gz"):
        vdata.load("imagenet", "train", root=thousand, strict=False)


def test_flat_validation_pictures_need_the_devkit(mutable):
    shutil.rmtree(mutable / _DEVKIT)
    with pytest.raises(DataError, match=r"val/ has 0 folders.*Put ILSVRC2012_devkit_t12\.tar\.gz beside it: log in"):
        vdata.load("imagenet", "val", root=mutable, strict=False)


# -- traps ----------------------------------------------------------------------------------------------------------------


def test_trap_png_and_cmyk_under_the_name_jpeg(tree, archives):
    names = ("n02105855/n02105855_2933", "n01443537/n01443537_22")
    files = [(tree / f"train/{n}.JPEG").read_bytes() for n in names]
    assert files[0].startswith(b"\x89PNG") and Pillow.open(io.BytesIO(files[1])).mode == "CMYK"
    for root in (tree, archives):
        samples = {s["__key__"]: s for s in load("train", root)}
        assert all(samples[n]["image"].shape[0] == 3 for n in names)


def test_trap_ids_are_not_labels(tree, truth):
    """meta.mat and the ground truth count in another order than the wnids, and inner synsets are no classes."""
    synsets = loadmat(tree / _DEVKIT / "data/meta.mat", squeeze_me=True)["synsets"]
    ids = {str(s["WNID"]): int(s["ILSVRC2012_ID"]) for s in synsets}
    assert len(ids) == 1002
    assert all(int(s["label"]) != ids[s["wnid"]] - 1 for s in load("val", tree))


def test_trap_pictures_are_joined_to_the_truth_by_number(mutable, truth):
    """One that is missing does not shift those after it."""
    (mutable / "val/ILSVRC2012_val_00000002.JPEG").unlink()
    with pytest.raises(DataError, match=r"1 of 4 samples lack a file: val/ILSVRC2012_val_00000002\.JPEG"):
        vdata.load("imagenet", "val", root=mutable)
    with pytest.warns(DataWarning):
        pipe = vdata.load("imagenet", "val", root=mutable, strict=False)
    numbers = {int(s["__key__"][-8:]): s["wnid"] for s in pipe}
    assert numbers == {n: truth[1][n - 1] for n in (1, 3, 4)}


def test_trap_strays_in_the_folders(mutable):
    for path in ("train/.DS_Store", "train/n01440764/notes.txt", "val/readme.txt"):
        (mutable / path).write_bytes(b"x")
    assert len(load("train", mutable)) == 7 and len(load("val", mutable)) == 4


# -- what is broken or missing ----------------------------------------------------------------------------------------------


def test_too_few_pictures(tree):
    with pytest.raises(DataError, match="has 7 samples here and should have 1,281,167"):
        vdata.load("imagenet", "train", root=tree)


def test_a_folder_of_no_class(mutable):
    (mutable / "train/n00000001").mkdir()
    shutil.copy(mutable / "train/n01440764/n01440764_9999.JPEG", mutable / "train/n00000001/n00000001_1.JPEG")
    with pytest.raises(DataError, match=r"train/n00000001/n00000001_1\.JPEG.*no class n00000001"):
        vdata.load("imagenet", "train", root=mutable, strict=False)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"not a mat", "no readable MATLAB file"),
        (mat_bytes({"other": "x"}), "no variable synsets"),
        (mat_bytes({"synsets": [{"WNID": "n01440764"}]}), "without ILSVRC2012_ID"),
        (mat_bytes({"synsets": "text"}), "without ILSVRC2012_ID"),
        (module._fake_meta(module._fake_wnids()[:999]), "has 999 classes and should have 1000"),
        (module._fake_meta(module._fake_wnids())[:-100], "no readable MATLAB file"),
    ],
)
def test_a_broken_meta_mat(mutable, data, message):
    (mutable / _DEVKIT / "data/meta.mat").write_bytes(data)
    with pytest.raises(DataError, match=f"data/meta.mat.*{message}"):
        vdata.load("imagenet", "train", root=mutable, strict=False)


@pytest.mark.parametrize("line", ["0", "1001", "-1", "one", "1 2"])
def test_a_broken_ground_truth(mutable, line):
    (mutable / _DEVKIT / "data/ILSVRC2012_validation_ground_truth.txt").write_text(f"1\n{line}\n3\n4\n")
    with pytest.raises(DataError, match=f"line 2 of .*ground_truth.txt is no class of meta.mat: '{line}'"):
        vdata.load("imagenet", "val", root=mutable, strict=False)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: [t[0], "", *t[2:]], r"line 2 of .*ground_truth\.txt is empty"),
        (lambda t: [*t[:3], ""], r"line 4 of .*ground_truth\.txt is empty"),
        (lambda t: [t[0], *t[2:]], r"ground_truth\.txt has 3 lines, and none for ILSVRC2012_val_00000004\.JPEG"),
        (
            lambda t: [t[0], *t],
            r"line 5 of .*, is about ILSVRC2012_val_00000005\.JPEG, and the last picture is .*004\.JPEG",
        ),
    ],
)
def test_trap_a_line_too_many_or_too_few_shifts_no_labels(mutable, change, message, strict):
    path = mutable / _DEVKIT / "data/ILSVRC2012_validation_ground_truth.txt"
    path.write_text("\n".join(change(path.read_text().split())) + "\n")
    with pytest.raises(DataError, match=message):
        vdata.load("imagenet", "val", root=mutable, strict=strict)


@pytest.mark.parametrize("name, label", [("n02105855", 2), ("n00001740", -1), ("n00001741", -1), ("tench", -1)])
def test_a_box_of_another_class(mutable, name, label):
    """Any of the 1,000 classes has its number; synsets with children are none."""
    (path,) = (mutable / "Annotations/train").rglob("n01440764_10026.xml")
    path.write_text(path.read_text().replace("<name>n01440764", f"<name>{name}"))
    sample = next(s for s in load("train", mutable) if s["__key__"] == "n01440764/n01440764_10026")
    assert sample["labels"].tolist() == [label] and int(sample["label"]) == 0


def test_labels_go_with_their_boxes(mutable):
    (path,) = (mutable / "Annotations/train").rglob("n01440764_10026.xml")
    text = path.read_text()
    flat = (
        text[text.index("<object>") : text.index("</annotation>")]
        .replace("<ymax>30", "<ymax>6")
        .replace("n01440764", "dog")
    )
    path.write_text(text.replace("<object>", flat + "<object>"))
    sample = next(s for s in load("train", mutable) if s["__key__"] == "n01440764/n01440764_10026")
    assert sample["labels"].tolist() == [-1, 0]
    left = T.SanitizeBoundingBoxes()(sample)
    assert left["labels"].tolist() == [0] and len(left["boxes"]) == 1


def test_odd_boxes_are_left_as_they_are(mutable):
    (path,) = (mutable / "Annotations/train").rglob("n01440764_10026.xml")
    path.write_text(path.read_text().replace("<xmin>4", "<xmin>40"))
    sample = next(s for s in load("train", mutable) if s["__key__"] == "n01440764/n01440764_10026")
    assert sample["boxes"].plain()[0, 0] > sample["boxes"].plain()[0, 2]


def test_no_ground_truth(mutable):
    (mutable / _DEVKIT / "data/ILSVRC2012_validation_ground_truth.txt").unlink()
    with pytest.raises(DataError, match=r"ILSVRC2012_validation_ground_truth\.txt"):
        vdata.load("imagenet", "val", root=mutable, strict=False)


@pytest.mark.parametrize(
    "xml, message",
    [
        (b"<annotation>", "broken XML"),
        (b"<annotation/>", "states no size"),
        (b"<annotation><size><width>0</width><height>9</height></size></annotation>", "states the size 0.0 x 9.0"),
        (
            b"<annotation><size><width>nan</width><height>9</height></size></annotation>",
            "states no size: .nan. is no number",
        ),
        (b"<annotation><size><width>9</width><height>9</height></size><object/></annotation>", "without a corner"),
    ],
)
def test_broken_boxes_name_the_sample(mutable, xml, message):
    (path,) = (mutable / "Annotations/train").rglob("n01440764_10026.xml")
    path.write_bytes(xml)
    with pytest.raises(DataError, match=rf"{message}.*key 'n01440764/n01440764_10026', field 'boxes'"):
        load("train", mutable)[0]


@pytest.mark.parametrize(
    "name, split",
    [("ILSVRC2012_img_train.tar", "train"), ("ILSVRC2012_img_val.tar", "val"), ("ILSVRC2012_devkit_t12.tar.gz", "val")],
)
def test_a_cut_archive_raises(archives, tmp_path, name, split):
    for archive in archives.iterdir():
        shutil.copy(archive, tmp_path)
    data = (archives / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DataError, match=name):
        vdata.load("imagenet", split, root=tmp_path, strict=False)


def test_what_is_missing_is_asked_for(tmp_path):
    with pytest.raises(
        UnknownDatasetError, match=r"ILSVRC2012_img_train\.tar \(log in at .* with ILSVRC2012_devkit_t12"
    ):
        vdata.load("imagenet", root=tmp_path)
    assert not any(a.urls for a in vdata.info("imagenet").archives)


def test_the_hashes_are_torchvisions():
    ours = {a.name: a.md5 for a in vdata.info("imagenet").archives if a.md5}
    assert ours == dict(torchvision.datasets.imagenet.ARCHIVE_META.values())
