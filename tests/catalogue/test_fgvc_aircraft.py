"""fgvc_aircraft: archive, tree and torchvision give the same samples; three levels, boxes, and the banner at the bottom."""

import gzip
import shutil

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.datasets import fgvc_aircraft
from vdata.errors import DataError, DataWarning, PlanError, TruncatedShardError
from vdata.tensors import BoundingBoxes, Image, Label

pytestmark = pytest.mark.filterwarnings("ignore:.*the split:vdata.errors.DataWarning")  # fakes are small
SPLITS = ("train", "val", "trainval", "test")
LEVELS = ("variant", "family", "manufacturer")
DATA = "fgvc-aircraft-2013b/data"


def load(root, split, **options):
    return vdata.load("fgvc_aircraft", split, root=root, strict=False, **options)


def by_key(pipe):
    samples = list(pipe)
    keyed = {s["__key__"]: s for s in samples}
    assert len(keyed) == len(samples)
    return keyed


@pytest.fixture
def tree(fake_root, tmp_path):
    return shutil.copytree(fake_root("fgvc_aircraft")[1], tmp_path / "tree")


@pytest.fixture(scope="module")
def plain(fake_root, tmp_path_factory):
    """The tar unpacked, but not extracted: it has an index."""
    root = tmp_path_factory.mktemp("plain")
    packed = fake_root("fgvc_aircraft")[0] / "fgvc-aircraft-2013b.tar.gz"
    (root / "fgvc-aircraft-2013b.tar").write_bytes(gzip.decompress(packed.read_bytes()))
    return root


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", SPLITS)
def test_as_torchvision_in_its_order(fake_root, plain, split, level):
    theirs = torchvision.datasets.FGVCAircraft(fake_root("fgvc_aircraft")[1], split, level)
    for root in (fake_root("fgvc_aircraft")[1], plain):
        ours = list(load(root, split, annotation_level=level))
        assert len(ours) == len(theirs) > 0
        for sample, (image, label) in zip(ours, theirs, strict=True):
            assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
            assert type(sample["label"]) is Label and int(sample["label"]) == label
            assert sample["label"].name == sample[level].name == theirs.classes[label]


@pytest.mark.parametrize("split", SPLITS)
def test_the_compressed_archive_streams_the_same(fake_root, split):
    streamed, extracted = (by_key(load(root, split)) for root in fake_root("fgvc_aircraft"))
    assert streamed.keys() == extracted.keys()
    for key, sample in streamed.items():
        for name, value in extracted[key].items():
            if name != "__key__":
                assert torch.equal(sample[name].plain(), value.plain()) and sample[name].meta() == value.meta()


def test_all_three_levels_are_in_every_sample(fake_root):
    (hornet,) = [s for s in load(fake_root("fgvc_aircraft")[1], "train") if s["variant"].name == "F/A-18"]
    assert (hornet["family"].name, hornet["manufacturer"].name) == ("F/A-18", "McDonnell Douglas")
    names = {s["variant"].name for s in load(fake_root("fgvc_aircraft")[1], "val")}
    assert names == {"DHC-1", "BAE 146-200"}  # names with blanks


def test_trap_11_boxes_are_counted_from_1(fake_root):
    root = fake_root("fgvc_aircraft")[1]
    listed = {
        k: [int(n) for n in rest]
        for k, *rest in map(str.split, (root / DATA / "images_box.txt").read_text().splitlines())
    }
    seen = 0
    for split in ("trainval", "test"):
        for key, sample in by_key(load(root, split)).items():
            x1, y1, x2, y2 = listed[key]
            with Pillow.open(root / DATA / f"images/{key}.jpg") as image:
                assert sample["boxes"].canvas_size == (image.height, image.width)
            assert type(sample["boxes"]) is BoundingBoxes and sample["boxes"].tolist() == [[x1 - 1, y1 - 1, x2, y2]]
            seen += 1
    assert seen == len(listed)


def test_trap_7_the_readme_counts_wrongly(fake_root):
    info = vdata.info("fgvc_aircraft")
    assert [len(info.fields[level].meta["categories"]) for level in LEVELS] == [100, 70, 30]
    assert info.splits["trainval"] + info.splits["test"] == 10_000
    assert any("102 variants" in note for note in info.notes)
    for level, plural in (("variant", "variants"), ("family", "families"), ("manufacturer", "manufacturers")):
        lines = (fake_root("fgvc_aircraft")[1] / DATA / f"{plural}.txt").read_text().splitlines()
        assert tuple(lines) == fgvc_aircraft.LEVELS[level] == tuple(sorted(lines))


def test_the_banner_is_cut_off_and_boxes_with_it(fake_root, plain):
    for root in (*fake_root("fgvc_aircraft"), plain):
        whole = by_key(load(root, "test"))
        for key, sample in by_key(load(root, "test", remove_banner=True)).items():
            full, image = whole[key]["image"], sample["image"]
            assert type(image) is Image and torch.equal(image.plain(), full.plain()[:, :-20])
            assert sample["boxes"].canvas_size == image.canvas
            assert type(sample["labels"]) is Label and sample["labels"].tolist() == [int(sample["label"])]
            assert sample["labels"].categories == sample["label"].categories
            (x1, y1, x2, y2), cut = whole[key]["boxes"][0].tolist(), sample["boxes"][0].tolist()
            assert y2 > image.canvas[0] and cut == [x1, y1, x2, image.canvas[0]]


def test_an_unknown_level_is_a_plan_error(tree):
    with pytest.raises(PlanError, match="annotation_level is one of"):
        load(tree, "test", annotation_level="model")


def test_a_missing_picture_is_named(tree):
    key = (tree / DATA / "images_test.txt").read_text().split()[1]
    (tree / DATA / f"images/{key}.jpg").unlink()
    with pytest.raises(DataError, match=rf"1 of 4 samples lack a file: .*{key}\.jpg"):
        vdata.load("fgvc_aircraft", "test", root=tree)
    with pytest.warns(DataWarning, match=rf"lack a file: .*{key}\.jpg"):
        pipe = load(tree, "test")
    assert len(by_key(pipe)) == 3 and key not in by_key(pipe)


def test_fewer_pictures_raise_but_for_the_splits_that_nobody_confirmed(tree):
    with pytest.raises(DataError, match="should have 6,667"):
        vdata.load("fgvc_aircraft", "trainval", root=tree)
    with pytest.warns(DataWarning, match="should have 3,334"):
        vdata.load("fgvc_aircraft", "train", root=tree)


@pytest.mark.parametrize("name", ["images_family_test.txt", "images_variant_test.txt", "images_box.txt"])
def test_a_missing_list_is_named(tree, name):
    (tree / DATA / name).unlink()
    with pytest.raises(DataError, match=name):
        load(tree, "test")


def change(tree, name, edit):
    path = tree / DATA / name
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")


@pytest.mark.parametrize(
    "name, edit, message",
    [
        (
            "images_family_test.txt",
            lambda ls: ls[1:],
            "images_family_test.txt and images_variant_test.txt do not list the same",
        ),
        ("images_family_test.txt", lambda ls: [*ls, "0000001 A380"], "do not list the same pictures.*0000001"),
        ("images_variant_test.txt", lambda ls: [*ls, ls[0]], "lists the picture twice"),
        (
            "images_variant_test.txt",
            lambda ls: [ls[0] + "0", *ls[1:]],
            "speaks of the variant 'A3800', which is none of 100",
        ),
        ("images_variant_test.txt", lambda ls: ["A380", *ls], "a line 'A380'"),
        ("images_variant_test.txt", lambda ls: [ls[0].split()[0], *ls[1:]], "a line '[0-9]+' that is not"),
        ("images_variant_test.txt", lambda ls: ["../secret A380", *ls], "a line '../secret A380'"),
        ("images_box.txt", lambda ls: ls[1:], "no box of this picture"),
        ("images_box.txt", lambda ls: [*ls, ls[0].replace(" ", " 9")], "two boxes of the picture.*key '[0-9]+'"),
        ("images_box.txt", lambda ls: [ln.replace(" ", " 9", 1) for ln in ls], r"negative size.*images_box\.txt', key"),
        ("images_box.txt", lambda ls: [ln.replace(" ", " 1_", 1) for ln in ls], "where four whole numbers should be"),
        ("images_box.txt", lambda ls: ["\N{ARABIC-INDIC DIGIT ONE} 1 1 2 2", *ls], "that is not a picture's number"),
        (
            "variants.txt",
            lambda ls: ls[::-1],
            r"class 0 of .*variants\.txt is 'Yak-42', and vdata knows it as '707-320'",
        ),
        ("families.txt", lambda ls: ls[:-1], r"class 69 of .*families\.txt is None"),
        ("images_box.txt", lambda ls: [line.rsplit(" ", 1)[0] for line in ls], "where four whole numbers should be"),
        (
            "images_box.txt",
            lambda ls: [line.replace(" ", " x", 1) for line in ls],
            "where four whole numbers should be",
        ),
    ],
)
def test_a_broken_list_is_named(tree, name, edit, message):
    change(tree, name, edit)
    with pytest.raises(DataError, match=message):
        load(tree, "test")


def test_a_cut_archive_raises(fake_root, tmp_path):
    data = (fake_root("fgvc_aircraft")[0] / "fgvc-aircraft-2013b.tar.gz").read_bytes()
    (tmp_path / "fgvc-aircraft-2013b.tar.gz").write_bytes(data[:-30])
    with pytest.raises(TruncatedShardError, match="cut or damaged"):
        list(load(tmp_path, "test"))
