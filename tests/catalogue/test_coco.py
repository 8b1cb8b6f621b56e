"""COCO: as torchvision and pycocotools read it, and everything they leave in the JSON."""

import contextlib
import io
import json
import shutil
import sys
import warnings
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.datasets import coco
from vdata.datasets._coco_classes import KEYPOINTS
from vdata.encoded import Encoded
from vdata.errors import DataError, DataWarning, PlanError
from vdata.tensors import BoundingBoxes, KeyPoints, Label, Mask


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VDATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def tree(fake_root):
    return fake_root("coco")[1]


@pytest.fixture
def copy(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "coco")


def load(root, split="train", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the fakes have fewer samples
        return vdata.load("coco", split, root=root, strict=False, **options)


def edit(root, path, change):
    """Change a JSON file by a function of its content."""
    told = json.loads((root / path).read_text())
    change(told)
    (root / path).write_text(json.dumps(told))


def theirs_of(tree, split, year, kind="instances", cls=torchvision.datasets.CocoDetection):
    with contextlib.redirect_stdout(io.StringIO()):
        return cls(tree / f"{split}{year}", tree / f"annotations/{kind}_{split}{year}.json")


def pixels(picture):
    return torch.from_numpy(np.array(picture)).movedim(-1, 0)


@pytest.mark.parametrize("year", [2017, 2014])
@pytest.mark.parametrize("split", ["train", "val"])
def test_as_torchvision(tree, split, year):
    ours, theirs = load(tree, split, year=year), theirs_of(tree, split, year)
    assert [s["image_id"] for s in ours] == theirs.ids == sorted(theirs.ids) and len(ours) > 1
    for sample, (image, target) in zip(ours, theirs, strict=True):
        assert torch.equal(sample["image"].plain(), pixels(image))
        assert isinstance(sample["boxes"], BoundingBoxes) and sample["boxes"].canvas_size == image.size[::-1]
        corners = [[x, y, x + w, y + h] for x, y, w, h in (t["bbox"] for t in target)]
        assert torch.equal(sample["boxes"].plain(), torch.tensor(corners).reshape(-1, 4))
        assert sample["category_ids"].tolist() == [t["category_id"] for t in target]
        names = [theirs.coco.cats[t["category_id"]]["name"] for t in target]
        assert sample["labels"].name == names and sample["labels"].dtype == torch.int64
        for name, theirs_name in (("area", "area"), ("iscrowd", "iscrowd"), ("ids", "id")):
            assert sample[name].tolist() == pytest.approx([t[theirs_name] for t in target])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools is behind numpy 2
            masks = [theirs.coco.annToMask(t) for t in target]
        assert isinstance(sample["masks"], Mask) and sample["masks"].kind == "instance"
        assert np.array_equal(sample["masks"].numpy(), np.array(masks, bool).reshape(-1, *image.size[::-1]))


def test_captions_as_torchvision(tree):
    ours, theirs = (
        load(tree, task="captions"),
        theirs_of(tree, "train", 2017, "captions", torchvision.datasets.CocoCaptions),
    )
    assert [s["captions"] for s in ours] == [target for _, target in theirs]
    assert all(len(s["captions"]) == 5 for s in ours)


def test_key_points(tree):
    ours, theirs = load(tree, task="keypoints"), theirs_of(tree, "train", 2017, "person_keypoints")
    for sample, (image, target) in zip(ours, theirs, strict=True):
        points = sample["keypoints"]
        assert isinstance(points, KeyPoints) and points.canvas_size == image.size[::-1]
        raw = np.array([t["keypoints"] for t in target], float).reshape(-1, 17, 3)
        assert np.array_equal(points.visibility.numpy(), raw[..., 2])
        known = raw[..., 2] > 0
        assert np.array_equal(points.numpy()[known], raw[..., :2][known] + 0.5)
        assert not points.numpy()[~known].any()
        names = [KEYPOINTS[i] for i in points.swap]
        assert names[:3] == ["nose", "right_eye", "left_eye"] and names[15:] == ["right_ankle", "left_ankle"]
    assert len(ours[2]["keypoints"]) == 2 and set(ours[2]["labels"].name) == {"person"}


def test_panoptic_segments(tree):
    told = json.loads((tree / "annotations/panoptic_val2017.json").read_text())
    told = {a["image_id"]: a for a in told["annotations"]}
    archives = zipfile.ZipFile(tree / "annotations/panoptic_val2017.zip")
    pipe = load(tree, "val", task="panoptic")
    for sample in pipe:
        about = told[sample["image_id"]]
        colours = np.array(Pillow.open(archives.open(f"panoptic_val2017/{about['file_name']}"))).astype(int)
        assert np.array_equal(sample["mask"].numpy(), colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2])
        assert sample["mask"].ignore_index == 0 and sample["mask"].shape == sample["image"].shape[1:]
        assert sample["segments"] == about["segments_info"]
        assert sample["segment_ids"].tolist() == [s["id"] for s in about["segments_info"]]
        assert set(sample["segment_ids"].tolist()) == set(sample["mask"].unique().tolist()) - {0}
        assert sample["segment_labels"].name == ["dog", "banner", "rug-merged"]
        assert "boxes" not in sample and "captions" not in sample
    assert len(pipe.plan.fields["segment_labels"].meta["categories"]) == 133


def test_the_test_split_has_pictures_alone(tree):
    told = json.loads((tree / "annotations/image_info_test2017.json").read_text())
    for task in ("instances", "panoptic"):
        pipe = load(tree, "test", task=task)
        assert [s["image_id"] for s in pipe] == sorted(i["id"] for i in told["images"])
        assert set(pipe[0]) == {"__key__", "image", "image_id"}


def test_counts_are_those_of_the_task():
    assert coco.count("train", task="instances", year=2017, masks=True) == 118_287
    assert coco.count("val", task="captions", year=2014, masks=True) == 40_504
    assert coco.count("train", task="keypoints", year=2014, masks=True) is None
    assert coco.count("test", task="keypoints", year=2014, masks=True) == 40_775
    assert len(coco.CLASSES) == 80 and coco.CLASSES[17] == "horse" and coco.CLASSES[79] == "toothbrush"


def test_masks_are_decoded_only_when_needed(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    source = load(tree).plan.source
    masks = source.read(2)["masks"]
    assert isinstance(masks, Encoded) and masks.codec == "coco" and vdata.codecs.size(masks) == (48, 64)
    assert load(tree).select("image", "boxes")[2]["boxes"].shape == (2, 4)
    with pytest.raises(vdata.errors.MissingPackageError, match="pycocotools"):
        load(tree)[2]
    without = load(tree, masks=False)
    assert "masks" not in without.plan.fields and "masks" not in without[2]


def test_objects_move_together(tree):
    from vdata import transforms as T

    pipe = load(tree).apply(T.RandomHorizontalFlip(p=1.0), T.Resize((24, 32)))
    flipped = pipe[2]
    assert flipped["masks"].shape == (2, 24, 32) and flipped["boxes"].canvas_size == (24, 32)
    assert flipped["boxes"].plain()[1].tolist() == [(64 - 18) / 2, 1.0, (64 - 8) / 2, 5.0]
    ys, xs = torch.nonzero(flipped["masks"][1].plain(), as_tuple=True)
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == flipped["boxes"].plain()[1].tolist()


def test_trap_pictures_without_objects_stay(tree):
    samples = list(load(tree, masks=True))
    assert [len(s["boxes"]) for s in samples] == [1, 0, 2]
    empty = samples[1]
    assert empty["boxes"].shape == (0, 4) and empty["masks"].shape == (0, 64, 48) and empty["area"].shape == (0,)
    assert isinstance(empty["labels"], Label) and empty["labels"].dtype == torch.int64
    assert len(load(tree).filter(where={"objects": range(1, 1000)})) == 2


def test_trap_annotations_lie_on_pixels_as_stored(tree):
    sample = load(tree)[1]
    with Pillow.open(tree / "train2017/000000000070.jpg") as picture:
        assert picture.getexif()[274] == 6
        assert torch.equal(sample["image"].plain(), pixels(picture))


def test_trap_category_ids_have_gaps(tree):
    labels = [(s["labels"].tolist(), s["category_ids"].tolist()) for s in load(tree)]
    assert labels == [([79], [90]), ([], []), ([16, 0], [18, 1])]


def test_trap_a_crowd_is_run_lengths(tree):
    sample = load(tree)[2]
    assert sample["iscrowd"].tolist() == [False, True]
    assert sample["masks"][1].plain()[2:10, 8:18].all() and sample["masks"][1].sum() == 80


def test_panoptic_pngs_are_found_wherever_people_put_them(fake_root, tree, copy):
    packed = load(fake_root("coco")[0], "val", task="panoptic")
    wanted = [s["mask"] for s in packed]
    source = packed.plan.source.records[0]["mask"]
    assert source == "annotations/panoptic_val2017/panoptic_val2017/000000000170.png"
    inner = copy / "annotations/panoptic_val2017.zip"
    for place in (copy, copy / "annotations"):
        with zipfile.ZipFile(inner if inner.exists() else copy / "kept.zip") as archive:
            archive.extractall(place)
        if inner.exists():
            inner.rename(copy / "kept.zip")
        found = [s["mask"] for s in load(copy, "val", task="panoptic")]
        assert all(torch.equal(a.plain(), b.plain()) for a, b in zip(found, wanted, strict=True))
        shutil.rmtree(place / "panoptic_val2017")
    with pytest.raises(DataError, match=r"panoptic_val2017/000000000170\.png \(mask of"):
        vdata.load("coco", "val", root=copy, task="panoptic")


def test_a_zip_compressed_inside_a_zip_says_what_to_do(fake_root, tmp_path):
    archives = shutil.copytree(fake_root("coco")[0], tmp_path / "archives")
    name = "panoptic_annotations_trainval2017.zip"
    with zipfile.ZipFile(fake_root("coco")[0] / name) as old, zipfile.ZipFile(archives / name, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info), zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=r"compressed inside another zip.*extract panoptic_annotations"):
        load(archives, "val", task="panoptic")


def test_panoptic_is_of_2017(tree):
    with pytest.raises(PlanError, match="year=2017 alone"):
        load(tree, task="panoptic", year=2014)
    with pytest.raises(PlanError, match="is one of"):
        load(tree, year=2015)


@pytest.mark.filterwarnings("ignore:the split 'train' of coco has 2 samples:vdata.errors.DataWarning")
def test_a_missing_picture_is_named(copy):
    (copy / "train2017/000000000070.jpg").unlink()
    with pytest.raises(DataError, match=r"train2017/000000000070\.jpg \(image of 000000000070\)"):
        vdata.load("coco", root=copy)
    with pytest.warns(DataWarning, match="1 of 3 samples"):
        assert len(vdata.load("coco", root=copy, strict=False)) == 2


def test_a_missing_or_broken_list_is_named(copy):
    path = copy / "annotations/instances_train2017.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match=r"instances_train2017\.json is not the JSON"):
        load(copy)
    path.unlink()
    with pytest.raises(DataError, match=r"no annotations/instances_train2017\.json"):
        load(copy)


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda t: t["annotations"][0].update(image_id=77), "annotation of id 9001 is of picture 77"),
        (lambda t: t["annotations"][0].update(category_id=12), "9001 is of category 12"),
        (lambda t: t["categories"][0].update(name="human"), "category 1 is 'human' here.*from_coco"),
        (lambda t: t["images"].append(t["images"][0]), "two pictures have the id or name 100"),
        (lambda t: t["annotations"].append(t["annotations"][0]), "two annotations have the id or name 9001"),
        (lambda t: t["annotations"][0].update(bbox=[1, 2, 3]), r"length 4.*annotations\[0\]\.bbox"),
        (lambda t: t["annotations"][0].pop("category_id"), "category_id"),
        (lambda t: t.pop("images"), "images"),
        (lambda t: t["annotations"][0].update(id=2**63), r"annotations\[0\]\.id"),
        (lambda t: t["annotations"][0].update(id=None), "the annotation .*of id 9001|annotation 0 .* has no id"),
        (lambda t: t["annotations"][0].update(area=None), "annotation of id 9001 has no area.*instances_train2017"),
        (lambda t: t["annotations"][0].update(area=1e300), r"annotations\[0\]\.area"),
        (lambda t: t["images"][0].update(id=2**63), r"images\[0\]\.id"),
    ],
)
def test_broken_annotations_are_named(copy, change, match):
    edit(copy, "annotations/instances_train2017.json", change)
    with pytest.raises(DataError, match=match):
        load(copy)


@pytest.mark.parametrize(
    "bbox, match",
    [([5, 5, -1, 2], r"negative size: \(5, 5\) to \(4, 7\)"), ([0, 1e6, 1, 1], "a million pixels away")],
)
def test_boxes_that_cannot_be_name_their_picture(copy, bbox, match):
    edit(copy, "annotations/instances_train2017.json", lambda t: t["annotations"][0].update(bbox=bbox))
    with pytest.raises(DataError, match=f"{match}.*key '000000000100', field 'boxes'"):
        load(copy)[2]


def test_boxes_outside_of_their_picture_stay(copy):
    edit(copy, "annotations/instances_train2017.json", lambda t: t["annotations"][0].update(bbox=[900, -3, 0, 2]))
    assert load(copy)[2]["boxes"].plain()[0].tolist() == [900, -3, 900, -1]


def test_key_points_of_another_number_are_named(copy):
    edit(copy, "annotations/person_keypoints_train2017.json", lambda t: t["annotations"][0]["keypoints"].pop())
    with pytest.raises(DataError, match="9002 has 50 numbers as key points, not 51"):
        load(copy, task="keypoints")


def test_a_segment_of_no_category_is_named(copy):
    path = "annotations/panoptic_val2017.json"
    edit(copy, path, lambda t: t["annotations"][0]["segments_info"][0].update(category_id=12))
    with pytest.raises(DataError, match=r"the segment 3226956 of .* is of category 12, which is none of COCO's"):
        load(copy, "val", task="panoptic")


@pytest.mark.parametrize(
    "task, kind", [("instances", "instances"), ("keypoints", "person_keypoints"), ("captions", "captions")]
)
def test_one_list_is_enough_for_its_task(copy, fake_root, task, kind):
    for path in (copy / "annotations").glob("*.json"):
        if path.name != f"{kind}_train2017.json":
            path.unlink()
    assert len(load(copy, task=task)) == 3
    other = "captions" if task != "captions" else "instances"
    with pytest.raises(DataError, match="no annotations/"):
        load(copy, task=other)
    shutil.copy(fake_root("coco")[0] / "annotations_trainval2017.zip", copy)
    assert len(load(copy, task=other)) == len(load(copy, task=task)) == 3


def test_a_picture_without_segments_is_named(copy):
    edit(copy, "annotations/panoptic_val2017.json", lambda t: t["annotations"].pop())
    with pytest.raises(DataError, match=r"000000000170\.jpg has 0 lists of segments"):
        load(copy, "val", task="panoptic")


def test_a_picture_of_another_size_is_named(copy):
    edit(copy, "annotations/instances_train2017.json", lambda t: t["images"][0].update(width=65))
    with pytest.raises(DataError, match="has 64 x 48 pixels, and its annotation says 65 x 48") as caught:
        load(copy)[2]
    assert caught.value.where["key"] == "000000000100"


def test_a_cut_archive_is_named(fake_root, tmp_path):
    archives = shutil.copytree(fake_root("coco")[0], tmp_path / "archives")
    data = (archives / "train2017.zip").read_bytes()
    (archives / "train2017.zip").write_bytes(data[:-60])
    with pytest.raises(DataError, match="zip"):
        load(archives)
