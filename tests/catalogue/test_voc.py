"""voc: archives, trees and torchvision give the same samples, of every year and both tasks."""

import os
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow
from torchvision.datasets import wrap_dataset_for_transforms_v2
from torchvision.datasets.voc import DATASET_YEAR_DICT

import vdata
from vdata import transforms as T
from vdata.datasets import voc as module
from vdata.encoded import Encoded
from vdata.errors import DataError, DataWarning, UnknownDatasetError
from vdata.tensors import BoundingBoxes, Image, Label, Mask

YEARS = ("2007", "2008", "2009", "2010", "2011", "2012")
LABELLED = [(y, s) for y in YEARS for s in ("train", "val", "trainval")] + [("2007", "test")]
PER_BOX = ("boxes", "labels", "difficult", "truncated", "occluded", "poses")


@pytest.fixture
def archives(fake_root):
    return fake_root("voc")[0]


@pytest.fixture
def tree(fake_root):
    return fake_root("voc")[1]


@pytest.fixture(params=["archives", "tree"])
def root(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def mutable(tree, tmp_path):
    """A copy of 2007, the year of which everything is there."""
    shutil.copytree(tree / "VOCdevkit/VOC2007", tmp_path / "VOCdevkit/VOC2007")
    return tmp_path / "VOCdevkit/VOC2007"


@pytest.fixture
def load():
    """Few samples warn, where the number of all is known."""

    def load(split, root, **options):
        if module.count(split, **{"year": "2012", "task": "detection"} | options) is None:
            return vdata.load("voc", split, root=root, **options)
        with pytest.warns(DataWarning, match="samples here and should have"):
            return vdata.load("voc", split, root=root, strict=False, **options)

    return load


def entries(tree, key, year):
    base = "TrainVal/VOCdevkit" if year == "2011" else "VOCdevkit"
    return ElementTree.parse(tree / base / f"VOC{year}/Annotations/{key}.xml").getroot().findall("object")


@pytest.mark.parametrize("year, split", LABELLED)
def test_detection_as_torchvision(root, tree, load, year, split):
    """In the order of the list; torchvision leaves the corners 1-based: its upper left one is one more."""
    theirs = torchvision.datasets.VOCDetection(tree, year, split)
    ours = load(split, root, year=year)
    assert len(ours) == len(theirs) > 0
    assert [s["__key__"] for s in ours] == [os.path.basename(p)[:-4] for p in theirs.images]
    for sample, (image, target) in zip(ours, theirs, strict=True):
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
        objects = target["annotation"]["object"]
        assert sample["labels"].name == [o["name"] for o in objects]
        corners = [[float(o["bndbox"][s]) for s in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
        assert torch.equal(sample["boxes"].plain() + torch.tensor([1.0, 1, 0, 0]), torch.tensor(corners))


def test_labels_are_those_of_torchvisions_wrapper(tree, load):
    theirs = wrap_dataset_for_transforms_v2(torchvision.datasets.VOCDetection(tree, "2007", "trainval"))
    for sample, (_, target) in zip(load("trainval", tree, year="2007"), theirs, strict=True):
        assert sample["labels"].tolist() == target["labels"].tolist()
        assert torch.equal(
            sample["boxes"].plain() + torch.tensor([1.0, 1, 0, 0]), target["boxes"].float().as_subclass(torch.Tensor)
        )
        assert sample["boxes"].canvas_size == target["boxes"].canvas_size


@pytest.mark.parametrize("year, split", LABELLED)
def test_segmentation_as_torchvision(root, tree, load, year, split):
    theirs = torchvision.datasets.VOCSegmentation(tree, year, split)
    ours = load(split, root, year=year, task="segmentation")
    assert [s["__key__"] for s in ours] == [os.path.basename(p)[:-4] for p in theirs.images]
    for sample, (image, mask) in zip(ours, theirs, strict=True):
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
        assert mask.mode == "P" and torch.equal(sample["mask"].plain(), torch.from_numpy(np.array(mask)))


def test_fields_are_typed(root, load):
    sample = load("train", root, task="segmentation")[0]
    assert list(sample) == ["__key__", "image", *PER_BOX, "mask", "objects"]
    assert [type(v) for v in list(sample.values())[1:]] == [Image, BoundingBoxes, *[Label] * 5, Mask, Mask]
    assert sample["mask"].ignore_index == sample["objects"].ignore_index == 255
    assert sample["mask"].categories == sample["labels"].categories and len(sample["labels"].categories) == 21
    assert sample["mask"].kind == sample["objects"].kind == "semantic"
    assert "mask" not in load("train", root)[0]


@pytest.mark.parametrize("year", YEARS)
def test_what_is_said_of_each_object(tree, load, year):
    for sample in load("trainval", tree, year=year):
        found = entries(tree, sample["__key__"], year)
        assert {len(sample[n]) for n in PER_BOX} == {len(found)}
        assert sample["poses"].name == [e.find("pose").text for e in found]
        for flag in ("difficult", "truncated", "occluded"):
            assert sample[flag].tolist() == [int(e.findtext(flag, "0")) for e in found], flag
    assert any(s["occluded"].any() for s in load("trainval", tree, year=year)) == (year != "2007")


def test_objects_are_in_the_order_of_the_boxes(tree, load):
    """Each object's pixels lie in its box and have its class."""
    seen = 0
    for sample in load("trainval", tree, task="segmentation"):
        objects, classes = sample["objects"].plain(), sample["mask"].plain()
        assert objects[objects < 255].max() == len(sample["boxes"])
        assert torch.equal(objects == 255, classes == 255) and (objects == 255).any()
        for number, (box, label) in enumerate(zip(sample["boxes"], sample["labels"], strict=True), 1):
            pixels = objects == number
            rows, columns = torch.nonzero(pixels, as_tuple=True)
            x1, y1, x2, y2 = box.tolist()
            assert x1 - 1 < columns.min() and columns.max() < x2 and y1 - 1 < rows.min() and rows.max() < y2
            assert classes[pixels].unique().tolist() == [int(label)]
            seen += 1
    assert seen > 3


@pytest.mark.parametrize("year", YEARS[1:])
@pytest.mark.parametrize("task, keys", [("detection", ["000002", "000004"]), ("segmentation", ["000004"])])
def test_later_test_pictures_have_no_annotations(root, load, year, task, keys):
    samples = list(load("test", root, year=year, task=task))
    assert [s["__key__"] for s in samples] == [f"{year}_{k}" for k in keys]
    assert all(s.keys() == {"__key__", "image"} for s in samples)


def test_objects_that_go_take_all_that_is_said_of_them(tree, load):
    rows = T.Instances(*PER_BOX)
    pipe = load("val", tree).apply(
        T.CenterCrop((12, 12)), T.ClampBoundingBoxes(), T.SanitizeBoundingBoxes(instances=rows)
    )
    sample = pipe[0]
    assert 0 < len(sample["boxes"]) == len(sample["poses"]) == len(sample["difficult"])


def test_before_decoding_it_is_bytes(root, load):
    sample = load("train", root, task="segmentation").plan.source.read(0)
    assert all(isinstance(sample[n], Encoded) and not sample[n].orient for n in ("image", "mask", "objects"))


def test_the_hashes_and_folders_are_torchvisions():
    known = {a.name: a for a in vdata.info("voc").archives}
    for key, about in DATASET_YEAR_DICT.items():
        archive = known[about["url"].rpartition("/")[2]]
        assert (archive.md5, archive.url) == (about["md5"], about["url"])
        assert archive.tree[0].startswith(about["base_dir"] + "/ImageSets") and archive.when["year"] == (key[:4],)


def test_a_lost_list_is_missed_only_where_it_is_needed(fake_root, tmp_path):
    tree = shutil.copytree(fake_root("voc")[1], tmp_path / "tree")
    (tree / "VOCdevkit/VOC2012/ImageSets/Main/trainval.txt").unlink()
    for task in ("detection", "segmentation"):
        with pytest.warns(DataWarning, match="samples here and should have"):
            vdata.load("voc", "val", root=tree, strict=False, task=task)
    with pytest.raises(DataError, match=r"no VOCdevkit/VOC2012/ImageSets/Main/trainval\.txt"):
        vdata.load("voc", "trainval", root=tree, strict=False)


def test_the_archive_of_2008_has_its_own_name():
    """torchvision saves it under the name of 2012's, and one overwrites the other."""
    names = {y: a["filename"] for y, a in DATASET_YEAR_DICT.items()}
    assert names["2008"] == names["2012"]
    assert len({a.name for a in vdata.info("voc").archives}) == 12


def test_counts():
    assert module.count("trainval", "2007", "detection") == 5011 and module.count("test", "2007", "segmentation") == 210
    assert module.count("train", "2008", "detection") is module.count("test", "2012", "detection") is None
    for year, task in module._COUNTS:
        counts = [module.count(s, year, task) for s in ("train", "val", "trainval")]
        assert None in counts or counts[0] + counts[1] == counts[2]


# -- traps ----------------------------------------------------------------------------------------------------------------


def test_trap_masks_with_palettes_are_class_numbers(tree, load):
    """As RGB they would be colours, and as grey their brightness."""
    path = tree / "VOCdevkit/VOC2012/SegmentationClass/2012_000005.png"
    with Pillow.open(path) as picture:
        assert picture.mode == "P" and not np.array_equal(np.array(picture.convert("L")), np.array(picture))
    assert load("train", tree, task="segmentation")[0]["mask"].unique().tolist() == [0, 12, 15, 20, 255]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_trap_small_palettes(mutable, load, tmp_path, bits):
    """A PNG with few colours may have fewer bits a pixel."""
    path = mutable / "SegmentationClass/000005.png"
    with Pillow.open(path) as picture:
        indices = np.array(picture) & (2**bits - 1)
    small = Pillow.fromarray(indices)
    small.putpalette([n % 256 for n in range(3 * 2**bits)])
    small.save(path, bits=bits)
    assert np.array_equal(load("train", tmp_path, year="2007", task="segmentation")[0]["mask"].plain(), indices)


def test_trap_parts_of_persons_are_no_objects(tree, load):
    (sample,) = [s for s in load("trainval", tree) if s["__key__"] == "2012_000005"]
    assert len(sample["boxes"]) == 3
    assert sum(len(e.findall("part")) for e in entries(tree, "2012_000005", "2012")) == 1


def test_trap_corners_come_in_any_order_and_with_fractions(tree, load):
    (sample,) = [s for s in load("trainval", tree) if s["__key__"] == "2012_000005"]
    assert sample["boxes"].tolist() == [[4, 3, 22, 30], [19.5, 9, 39, 31], [0.5, 0, 12, 9]]


# -- what is broken or missing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "JPEGImages/000005.jpg",
        "Annotations/000005.xml",
        "SegmentationClass/000005.png",
        "SegmentationObject/000005.png",
    ],
)
def test_a_missing_file_is_named(mutable, tmp_path, path):
    (mutable / path).unlink()
    with pytest.raises(DataError, match=f"1 of 2 samples lack a file: VOCdevkit/VOC2007/{path} .* of 000005"):
        vdata.load("voc", "trainval", root=tmp_path, year="2007", task="segmentation")
    with pytest.warns(DataWarning) as warned:
        pipe = vdata.load("voc", "trainval", root=tmp_path, year="2007", task="segmentation", strict=False)
    assert path in str(warned[0].message) and [s["__key__"] for s in pipe] == ["000003"]


def test_a_missing_list_is_named(mutable, tmp_path):
    (mutable / "ImageSets/Segmentation/train.txt").unlink()
    with pytest.raises(DataError, match=r"VOCdevkit/VOC2007/ImageSets/Segmentation/train\.txt"):
        vdata.load("voc", "train", root=tmp_path, year="2007", task="segmentation")


@pytest.mark.parametrize(
    "xml, message",
    [
        (b"<annotation><object>", "broken XML"),
        (b"<annotation><object><name>dog</name></object></annotation>", "without a corner"),
        (b"<annotation><object><name>gnu</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>", "'gnu'"),
        (b'<!DOCTYPE a SYSTEM "x"><annotation/>', "document type"),
    ],
)  # fmt: skip
def test_broken_annotations_name_the_sample(mutable, load, tmp_path, xml, message):
    (mutable / "Annotations/000005.xml").write_bytes(xml)
    pipe = load("train", tmp_path, year="2007")
    with pytest.raises(DataError, match=rf"{message}.*key '000005', field 'boxes'"):
        pipe[1]


def test_no_objects_are_empty_fields(mutable, load, tmp_path):
    (mutable / "Annotations/000005.xml").write_bytes(b"<annotation/>")
    sample = load("train", tmp_path, year="2007")[1]
    assert sample["boxes"].shape == (0, 4) and {len(sample[n]) for n in PER_BOX} == {0}


def test_a_cut_archive_raises(archives, tmp_path):
    name = "VOCtrainval_06-Nov-2007.tar"
    (tmp_path / name).write_bytes((archives / name).read_bytes()[:9000])
    with pytest.raises(DataError, match=name):
        vdata.load("voc", "train", root=tmp_path, year="2007", strict=False)


def test_what_is_missing_is_asked_for(tmp_path):
    with pytest.raises(UnknownDatasetError, match=r"VOCtrainval_11-May-2012\.tar \(https"):
        vdata.load("voc", root=tmp_path)
    with pytest.raises(UnknownDatasetError, match=r"VOCtest_06-Nov-2007\.tar \(https"):
        vdata.load("voc", "test", root=tmp_path, year="2007")
    with pytest.raises(UnknownDatasetError, match=r"VOC2010test\.tar \(register at"):
        vdata.load("voc", "test", root=tmp_path, year="2010")
