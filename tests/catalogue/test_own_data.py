"""People's own data: folders with masks, CSVs, COCO JSONs. Each as its oracle reads it, and every mistake named."""

import contextlib
import csv
import io
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.errors import DataError, PlanError, UnknownDatasetError
from vdata.tensors import BoundingBoxes, Image, KeyPoints, Label, Mask
from vdata.testing import jpeg, photo, png


def put(root, name, data):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def turned(height, width, *seed):
    """JPEG bytes of a picture stored as height x width, with an EXIF orientation that turns it by 90 degrees."""
    exif = Pillow.Exif()
    exif[274] = 6
    out = io.BytesIO()
    Pillow.fromarray(photo(height, width, *seed).movedim(0, -1).numpy()).save(out, "JPEG", exif=exif)
    return out.getvalue()


def mask_png(height, width, *seed):
    return png(Mask(torch.from_numpy(np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8))))


# -- folders ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "pets"
    for seed, name in enumerate(["cat/1.jpg", "cat/b/2.JPG", "dog/3.jpg", "emu/x.y.jpg"]):
        put(root, name, jpeg(photo(8, 10, seed)))
    return root


def test_classes_are_those_of_imagefolder(pets):
    theirs = torchvision.datasets.ImageFolder(pets)
    pipe = vdata.from_folder(pets)
    names = pipe.plan.fields["label"].meta["categories"]
    assert {name: number for number, name in enumerate(names)} == theirs.class_to_idx and list(names) == theirs.classes
    for sample, (image, label) in zip(pipe, theirs, strict=True):
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).movedim(-1, 0))
        assert int(sample["label"]) == label and sample["label"].categories == names


def test_categories_are_the_same_for_every_split(pets):
    (pets / "cat" / "b" / "2.JPG").unlink()
    (pets / "cat" / "1.jpg").unlink()
    (pets / "cat" / "b").rmdir()
    with pytest.raises(DataError, match=r"class folder 'cat' has no picture.*categories"):
        vdata.from_folder(pets)
    with pytest.raises(FileNotFoundError, match="cat"):
        torchvision.datasets.ImageFolder(pets)
    pipe = vdata.from_folder(pets, categories=["cat", "dog", "emu", "fox"])
    assert [int(s["label"]) for s in pipe] == [1, 2]
    with pytest.raises(DataError, match=r"'emu' is none of the categories \(did you mean 'emus'\?\)"):
        vdata.from_folder(pets, categories=["cat", "dog", "emus"])
    with pytest.raises(DataError, match="'dog' twice"):
        vdata.from_folder(pets, categories=["dog", "dog"])


def test_hidden_folders_are_no_classes(pets):
    put(pets, ".ipynb_checkpoints/1.jpg", b"")
    put(pets, "__MACOSX/cat/2.jpg", b"")
    assert vdata.from_folder(pets).plan.fields["label"].meta["categories"] == ("cat", "dog", "emu")


def test_two_pictures_of_one_stem_have_two_keys(tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        put(tmp_path, name, png(photo(2, 2)))
    assert [s["__key__"] for s in vdata.from_folder(tmp_path)] == ["a.jpg", "a.png", "b"]


@pytest.fixture
def roads(tmp_path):
    for n, name in enumerate(["1", "deep/2", "deep/3"]):
        put(tmp_path, f"images/{name}.jpg", jpeg(photo(6 + n, 8, n)))
        put(tmp_path, f"masks/{name}.png", mask_png(6 + n, 8, n))
        put(tmp_path, f"named/{name}_mask.png", mask_png(6 + n, 8, n))
    return tmp_path


@pytest.mark.parametrize("masks", ["masks", "named/*_mask.png"])
def test_masks_beside(roads, masks):
    names = ("road", "car", "sky")
    pipe = vdata.from_folder(roads / "images", masks=f"{roads}/{masks}", ignore_index=255, categories=names)
    assert [s["__key__"] for s in pipe] == ["1", "deep/2", "deep/3"]
    for n, sample in enumerate(pickle.loads(pickle.dumps(pipe))):
        assert set(sample) == {"__key__", "image", "mask"} and isinstance(sample["mask"], Mask)
        raw = np.array(Pillow.open(roads / f"masks/{sample['__key__']}.png"))
        assert np.array_equal(sample["mask"].numpy(), raw) and raw.shape == (6 + n, 8)
        assert sample["mask"].ignore_index == 255 and sample["mask"].categories == names


def test_masks_and_classes(roads):
    (roads / "images/1.jpg").rename(roads / "images/deep/1.jpg")
    (roads / "masks/1.png").rename(roads / "masks/deep/1.png")
    sample = vdata.from_folder(roads / "images", masks=roads / "masks", labels=True)[0]
    assert sample["label"].name == "deep" and sample["mask"].categories is None


def test_mistakes_with_masks_are_named(roads):
    images, masks = roads / "images", roads / "masks"
    with pytest.raises(UnknownDatasetError, match="no folder"):
        vdata.from_folder(images, masks=roads / "mask")
    with pytest.raises(PlanError, match="ignore_index belongs to masks"):
        vdata.from_folder(images, labels=False, ignore_index=255)
    with pytest.raises(PlanError, match="categories names classes"):
        vdata.from_folder(images / "deep", categories=["a"])
    put(masks, "1.bmp", b"")
    with pytest.raises(DataError, match=r"two masks of one name, 1\.(bmp|png)"):
        vdata.from_folder(images, masks=masks)
    (masks / "1.bmp").unlink()
    (masks / "1.png").write_bytes(mask_png(6, 9, 0))
    with pytest.raises(DataError, match="has 8 x 6 pixels, and its mask 9 x 6"):
        vdata.from_folder(images, masks=masks)[0]
    (masks / "deep/2.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 pictures have no mask: there is no .*masks/deep/2\.png"):
        vdata.from_folder(images, masks=masks)
    with pytest.raises(DataError, match=r"3 of 3 pictures have no mask.*named/1_msk\.png"):
        vdata.from_folder(images, masks=f"{roads}/named/*_msk.png")


def test_exif_is_applied_to_pictures_alone_and_not_to_those_with_masks(tmp_path):
    put(tmp_path, "images/1.jpg", turned(6, 8))
    put(tmp_path, "stored/1.png", mask_png(6, 8))
    put(tmp_path, "upright/1.png", mask_png(8, 6))
    images = tmp_path / "images"
    assert vdata.from_folder(images)[0]["image"].shape == (3, 8, 6)
    assert vdata.from_folder(images, orient=False)[0]["image"].shape == (3, 6, 8)
    assert vdata.from_folder(images, masks=tmp_path / "stored")[0]["image"].shape == (3, 6, 8)
    with pytest.raises(DataError, match="say orient=True"):
        vdata.from_folder(images, masks=tmp_path / "upright")[0]
    assert vdata.from_folder(images, masks=tmp_path / "upright", orient=True)[0]["image"].shape == (3, 8, 6)
    with pytest.raises(DataError, match="say orient=False"):
        vdata.from_folder(images, masks=tmp_path / "stored", orient=True)[0]


# -- CSV -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    for n in range(3):
        put(tmp_path, f"img/{n}.png", png(photo(20, 30, n)))
    put(tmp_path, "img/turned.jpg", turned(20, 30))
    return tmp_path


def sheet(root, *rows, name="train.csv", delimiter=","):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return put(root, name, out.getvalue().encode())


def test_words_become_classes_and_numbers_stay(pictures):
    path = sheet(
        pictures,
        ["path", "class", "age", "site"],
        ["img/1.png", "dog", "3", "Köln"],
        ["img/0.png", "cat", "2.5", "a, b"],
    )
    pipe = vdata.from_csv(path, keep=["age", "site"])
    assert [s["label"].name for s in pipe] == ["dog", "cat"] and pipe[0]["label"].categories == ("cat", "dog")
    assert [(s["__key__"], s["age"], s["site"]) for s in pipe] == [("img/1", 3.0, "Köln"), ("img/0", 2.5, "a, b")]
    assert torch.equal(pipe[0]["image"].plain(), photo(20, 30, 1).plain()) and isinstance(pipe[0]["image"], Image)
    assert len(pipe.filter(where={"label": 0})) == 1
    assert vdata.from_csv(path, label="age")[0]["label"] == 3.0
    assert "label" not in vdata.from_csv(path, label=None)[0]
    assert [s["label"].name for s in pickle.loads(pickle.dumps(pipe))] == ["dog", "cat"]


def test_whole_numbers_are_labels_without_names(pictures):
    path = sheet(pictures, ["path", "class"], ["img/1.png", "7"], ["img/0.png", "-1"])
    label = vdata.from_csv(path)[0]["label"]
    assert isinstance(label, Label) and int(label) == 7 and label.categories is None and label.dtype == torch.int64


def test_categories_hold_across_splits(pictures):
    path = sheet(pictures, ["path", "class"], ["img/1.png", "dog"])
    assert int(vdata.from_csv(path)[0]["label"]) == 0
    assert int(vdata.from_csv(path, categories=["cat", "dog"])[0]["label"]) == 1
    with pytest.raises(DataError, match=r"row 1 has the label 'dog'.*did you mean 'dogs'") as caught:
        vdata.from_csv(path, categories=["cat", "dogs"])
    assert caught.value.where == {"url": str(path), "field": "class"}


def test_boxes_are_grouped_by_picture(pictures):
    path = sheet(
        pictures, ["path", "x1", "y1", "x2", "y2", "class", "site"],
        ["img/2.png", 1, 2, 10.5, 12, "dog", "a"], ["img/0.png", "", "", "", "", "", "b"], ["img/2.png", 0, 0, 30, 20, "cat", "a"],
    )  # fmt: skip
    pipe = vdata.from_csv(path, boxes=("x1", "y1", "x2", "y2"), keep=["site"])
    first, empty = pipe
    assert (first["__key__"], empty["__key__"]) == ("img/2", "img/0")
    assert first["boxes"].tolist() == [[1, 2, 10.5, 12], [0, 0, 30, 20]] and first["boxes"].canvas_size == (20, 30)
    assert first["labels"].name == ["dog", "cat"] and first["site"] == "a"
    assert isinstance(empty["boxes"], BoundingBoxes) and empty["boxes"].shape == (0, 4)
    assert empty["labels"].shape == (0,) and empty["labels"].categories == ("cat", "dog") and empty["site"] == "b"
    assert len(pipe.filter(where={"objects": 2})) == 1
    without = vdata.from_csv(path, boxes=("x1", "y1", "x2", "y2"), label=None)
    assert set(without[0]) == {"__key__", "image", "boxes"}
    scores = vdata.from_csv(path, boxes=("x1", "y1", "x2", "y2"), label="x2")
    assert scores[0]["labels"].tolist() == [10.5, 30.0] and scores[1]["labels"].shape == (0,)


@pytest.mark.parametrize("format, box", [("XYWH", (4, 6, 10, 8)), ("CXCYWH", (9, 10, 10, 8))])
def test_boxes_in_other_formats(pictures, format, box):
    path = sheet(pictures, ["path", "a", "b", "c", "d"], ["img/2.png", *box])
    boxes = vdata.from_csv(path, label=None, boxes=list("abcd"), format=format)[0]["boxes"]
    assert boxes.format == format and boxes.tolist() == [list(box)]
    from vdata import transforms as T

    assert T.ConvertBoundingBoxFormat("XYXY")(boxes).tolist() == [[4, 6, 14, 14]]


def test_tabs_marks_and_places(pictures):
    rows = [["path", "class"], ["1.png", "a"]]
    for path in (
        sheet(pictures, *rows, name="x.tsv", delimiter="\t"),
        put(pictures, "bom.csv", b"\xef\xbb\xbf path ,class\r\n1.png, a\r\n"),
    ):
        assert vdata.from_csv(path, root=pictures / "img")[0]["label"].name == "a"
    semicolons = sheet(pictures, *rows, name="de.csv", delimiter=";")
    assert len(vdata.from_csv(semicolons, root=pictures / "img", delimiter=";")) == 1
    with pytest.raises(DataError, match="say delimiter=';'"):
        vdata.from_csv(semicolons, root=pictures / "img")
    for written in (str(pictures / "img/1.png"), "../img/1.png", "..\\img\\1.png", "./../img//1.png"):
        path = sheet(pictures / "lists", ["path", "class"], [written, "a"], ["../img/2.png", "b"])
        assert torch.equal(vdata.from_csv(path)[0]["image"].plain(), photo(20, 30, 1).plain())


@pytest.mark.parametrize(
    "rows, options, match",
    [
        (
            [["path", "klass"], ["img/1.png", "a"]],
            {},
            r"no column 'class' \(did you mean 'klass'\?\); there are path, klass",
        ),
        ([["path", "path"], ["img/1.png", "a"]], {"label": None}, "two columns are called 'path'"),
        (
            [["path", "class"], ["img/9.png", "a"], ["img/1.png", "a"]],
            {},
            r"1 of the 2 pictures that train\.csv names.*img/9\.png",
        ),
        (
            [["path", "class"], ["img/1.png", "a"], ["img/./1.png", "b"]],
            {},
            r"rows 1 and 2 name one picture: img/1\.png",
        ),
        ([["path", "class"], ["img/1.png", "a"], ["", "b"]], {}, "row 2 names no picture"),
        ([["path", "class"], ["img/1.png", ""]], {}, "row 1 has no label"),
        ([["path", "class"], ["img/1.png"]], {}, "line 2 .* has 1 columns"),
        ([["path", "class"]], {}, "has no rows"),
        ([["path", "class"], ["https://x.org/1.png", "a"]], {}, "by a URL"),
    ],
)
def test_mistakes_in_a_csv_are_named(pictures, rows, options, match):
    with pytest.raises(DataError, match=match) as caught:
        vdata.from_csv(sheet(pictures, *rows), **options)
    assert str(pictures) in str(caught.value)


BOXED = ["path", "class", "x1", "y1", "x2", "y2"]


@pytest.mark.parametrize(
    "rows, match",
    [
        ([["img/1.png", "a", 5, 5, 3, 9]], r"row 1 has a negative size: \(5, 5\) to \(3, 9\).*XYWH"),
        ([["img/1.png", "a", 1, 1, 3, 9], ["img/2.png", "a", 1, "nan", 3, 9]], "row 2 has a corner that is not finite"),
        ([["img/1.png", "a", 1, "two", 3, 9]], "row 1 has 'two' for y1, which is no number"),
        ([["img/1.png", "a", 1, "", 3, 9]], "row 1 has a box without y1"),
        ([["img/1.png", "a", 1, 1, 3, 9]] * 2, r"rows 1 and 2 are the same box of img/1\.png"),
        ([["img/1.png", "a", 1, 1, 3, 9], ["img/1.png", "", "", "", "", ""]], r"row 2 says that img/1\.png has no box"),
        ([["img/1.png", "", 1, 1, 3, 9]], "row 1 has no label"),
    ],
)
def test_mistakes_in_boxes_are_named(pictures, rows, match):
    with pytest.raises(DataError, match=match):
        vdata.from_csv(sheet(pictures, BOXED, *rows), boxes=BOXED[2:])


@pytest.mark.parametrize(
    "box, fits", [((-10, -9, 44, 29), True), ((0, 0, 60, 20), False), ((31, 0, 32, 5), False), ((0, 0, 0, 0), True)]
)
def test_boxes_far_outside_are_named(pictures, box, fits):
    pipe = vdata.from_csv(sheet(pictures, BOXED, ["img/1.png", "a", *box]), boxes=BOXED[2:])
    if fits:
        assert pipe[0]["boxes"].tolist() == [list(box)]
    else:
        with pytest.raises(DataError, match="box 0 lies far outside of its picture of 30 x 20"):
            pipe[0]


def test_kept_columns_say_something_of_the_picture(pictures):
    path = sheet(pictures, [*BOXED, "track"], ["img/1.png", "a", 1, 1, 3, 9, 1], ["img/1.png", "a", 1, 2, 3, 9, 2])
    with pytest.raises(DataError, match=r"rows 1 and 2 give img/1\.png different values"):
        vdata.from_csv(path, boxes=BOXED[2:], keep=["track"])
    for wrong in ({"keep": "track"}, {"keep": ["label"]}, {"boxes": "x1"}, {"boxes": ["x1", "y1"]}, {"format": "XXYY"}):
        with pytest.raises(PlanError):
            vdata.from_csv(path, **wrong)


def test_exif_of_a_csv(pictures):
    path = sheet(pictures, BOXED, ["img/turned.jpg", "a", 1, 1, 30, 20])
    assert vdata.from_csv(path)[0]["image"].shape == (3, 30, 20)
    boxed = vdata.from_csv(path, boxes=BOXED[2:])[0]
    assert boxed["image"].shape == (3, 20, 30) and boxed["boxes"].canvas_size == (20, 30)
    assert vdata.from_csv(path, boxes=BOXED[2:], orient=True)[0]["boxes"].canvas_size == (30, 20)


# -- COCO JSON -------------------------------------------------------------------------------------------------------------


def told(**changes):
    """Three pictures not in the order of their ids, and objects with all that COCO knows, on two of them."""
    square = [2, 2, 12, 2, 12, 9, 2, 9]
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 20, "width": 30} for n in (2, 0, 1)],
        "categories": [{"id": 30, "name": "dog"}, {"id": 7, "name": "cat"}],
        "annotations": [
            {"id": 5, "image_id": 2, "category_id": 30, "bbox": [2, 2, 10, 7], "area": 70, "iscrowd": 0, "segmentation": [square]},
            {"id": 4, "image_id": 2, "category_id": 7, "bbox": [0, 0, 1.5, 2], "area": 3, "iscrowd": 1,
             "segmentation": {"size": [20, 30], "counts": [0, 2, 598]}},
            {"id": 9, "image_id": 0, "category_id": 7, "bbox": [1, 1, 2, 2], "area": 4, "iscrowd": 0, "segmentation": [square]},
        ],
    } | changes  # fmt: skip


def from_coco(root, content, **options):
    path = put(root, "train.json", json.dumps(content).encode())
    return vdata.from_coco(path, root / "img", **options)


def test_as_torchvisions_cocodetection(pictures):
    pipe = from_coco(pictures, told())
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = torchvision.datasets.CocoDetection(pictures / "img", pictures / "train.json")
    assert [s["image_id"] for s in pipe] == theirs.ids == [0, 1, 2]
    for sample, (image, target) in zip(pickle.loads(pickle.dumps(pipe)), theirs, strict=True):
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).movedim(-1, 0))
        corners = [[x, y, x + w, y + h] for x, y, w, h in (t["bbox"] for t in target)]
        assert torch.equal(sample["boxes"].plain(), torch.tensor(corners, dtype=torch.float32).reshape(-1, 4))
        assert sample["labels"].name == [theirs.coco.cats[t["category_id"]]["name"] for t in target]
        assert sample["category_ids"].tolist() == [t["category_id"] for t in target]
        assert sample["ids"].tolist() == [t["id"] for t in target]
        assert sample["iscrowd"].tolist() == [t["iscrowd"] for t in target]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            masks = [theirs.coco.annToMask(t) for t in target]
        assert np.array_equal(sample["masks"].numpy(), np.array(masks, bool).reshape(-1, 20, 30))
    assert pipe[0]["labels"].categories == ("cat", "dog")
    assert len(pipe.filter(where={"objects": 0})) == 1


def test_what_a_file_lacks_is_no_field(pictures):
    bare = told(annotations=[{"image_id": 0, "category_id": 7, "bbox": [1, 1, 2, 2], "segmentation": []}])
    for entry in bare["images"]:
        del entry["height"], entry["width"]
    sample = from_coco(pictures, bare)[0]
    assert set(sample) == {"__key__", "image", "image_id", "boxes", "labels", "category_ids", "iscrowd"}
    assert sample["boxes"].canvas_size == (20, 30) and sample["iscrowd"].tolist() == [False]
    unlabelled = told()
    del unlabelled["annotations"]
    assert set(from_coco(pictures, unlabelled)[0]) == {"__key__", "image", "image_id"}
    assert from_coco(pictures, told(annotations=[]))[0]["boxes"].shape == (0, 4)
    assert "masks" not in from_coco(pictures, told(), masks=False)[2]


def test_ids_may_be_words(pictures):
    content = told(images=[{"id": "b", "file_name": "1.png"}, {"id": "a", "file_name": "0.png"}], annotations=[])
    assert [(s["image_id"], s["__key__"]) for s in from_coco(pictures, content)] == [("a", "0"), ("b", "1")]


def test_own_key_points(pictures):
    content = told()
    content["categories"][0]["keypoints"] = ["beak", "Left eye", "Right eye"]
    content["annotations"][0]["keypoints"] = [3, 4, 2, 5, 6, 1, 0, 0, 0]
    points = from_coco(pictures, content)[2]["keypoints"]
    assert isinstance(points, KeyPoints) and points.swap == (0, 2, 1) and points.shape == (2, 3, 2)
    assert points.tolist() == [[[3.5, 4.5], [5.5, 6.5], [0, 0]], [[0, 0]] * 3]
    assert points.visibility.tolist() == [[2, 1, 0], [0, 0, 0]]


def test_categories_of_a_coco_json_hold_across_splits(pictures):
    pipe = from_coco(pictures, told(), categories=["dog", "emu", "cat"])
    assert pipe[2]["labels"].tolist() == [0, 2] and pipe[2]["labels"].categories == ("dog", "emu", "cat")
    with pytest.raises(DataError, match=r"annotation of id 4 is of 'cat'.*did you mean 'cats'"):
        from_coco(pictures, told(), categories=["dog", "cats"])
    less = told()
    less["annotations"] = less["annotations"][:1]
    assert from_coco(pictures, less, categories=["dog"])[2]["labels"].tolist() == [0]


def changed(place, number, **new):
    content = told()
    content[place][number].update(new)
    return content


@pytest.mark.parametrize(
    "content, match",
    [
        (changed("images", 1, file_name="9.png"), r"1 of the 3 pictures that train\.json names are not there: 9\.png"),
        (changed("images", 1, file_name="2.png"), "two pictures have the id or name '2.png'"),
        (changed("images", 1, id=2), "two pictures have the id or name 2"),
        (changed("annotations", 1, id=5), "two annotations have the id or name 5"),
        (changed("annotations", 1, image_id=8), "annotation of id 4 is of picture 8"),
        (changed("annotations", 1, category_id=8), "annotation of id 4 is of category 8"),
        (
            changed("annotations", 1, bbox=[5, 5, -3, 2]),
            r"annotation of id 4 has a negative size: \(5, 5\) to \(2, 7\)",
        ),
        (
            changed("annotations", 1, bbox=[5, 5, 60, 2]),
            "annotation of id 4 lies far outside of its picture of 30 x 20",
        ),
        (changed("annotations", 1, bbox=[5, 5, 60]), r"annotations\[1\]\.bbox"),
        (
            changed("annotations", 1, segmentation=[]),
            "1 of 3 annotations have no mask: the annotation of id 4.*masks=False",
        ),
        (changed("annotations", 1, id=None, segmentation=[]), r"no mask: annotation 1 \(counted from 0\)"),
        (changed("categories", 1, name="dog"), "'dog' twice"),
        (changed("categories", 1, id=30), "two categories have the id or name 30"),
        (changed("categories", 1, keypoints=["a"]) | {"annotations": told()["annotations"][:1]}, None),
        (told(images=[], annotations=[]), "lists no pictures"),
        ({}, "images"),
    ],
)
def test_mistakes_in_a_coco_json_are_named(pictures, content, match):
    if match is None:
        assert from_coco(pictures, content)[2]["keypoints"].shape == (1, 1, 2)
        return
    with pytest.raises(DataError, match=match) as caught:
        from_coco(pictures, content)
    assert str(pictures) in str(caught.value)


def test_wrong_key_points_are_named(pictures):
    content = told()
    content["categories"][0]["keypoints"] = ["a", "b"]
    content["annotations"][0]["keypoints"] = [1, 2, 3]
    with pytest.raises(DataError, match="id 5 has 3 numbers as key points, not 6"):
        from_coco(pictures, content)
    content["categories"][1]["keypoints"] = ["c"]
    with pytest.raises(DataError, match="different key points"):
        from_coco(pictures, content)


def test_far_boxes_are_named_where_the_file_has_no_sizes(pictures):
    content = changed("annotations", 2, bbox=[5, 5, 60, 2])
    for entry in content["images"]:
        del entry["height"], entry["width"]
    with pytest.raises(DataError, match="its box 0 lies far outside"):
        from_coco(pictures, content)[0]


def test_sizes_show_what_exif_does_to_annotations(pictures):
    picture = {"id": 1, "file_name": "turned.jpg", "height": 20, "width": 30}
    stored = told(images=[picture], annotations=[])
    assert from_coco(pictures, stored)[0]["image"].shape == (3, 20, 30)
    upright = told(images=[picture | {"height": 30, "width": 20}], annotations=[])
    with pytest.raises(DataError, match=r"has 30 x 20 pixels, and its annotation says 20 x 30.*say orient=True"):
        from_coco(pictures, upright)[0]
    turned = from_coco(pictures, upright, orient=True)[0]
    assert turned["image"].shape == (3, 30, 20) and turned["boxes"].canvas_size == (30, 20)


def test_own_data_is_packed_as_any(pictures, tmp_path):
    for pipe in (from_coco(pictures, told()), vdata.from_csv(sheet(pictures, ["path", "class"], ["img/1.png", "a"]))):
        packed = pipe.pack(str(tmp_path / f"packed{len(pipe)}"))
        for ours, again in zip(pipe, packed, strict=True):
            assert set(ours) == set(again)
            for name, value in ours.items():
                if isinstance(value, torch.Tensor):
                    assert type(value) is type(again[name]) and value.tolist() == again[name].tolist()
                else:
                    assert value == again[name]
