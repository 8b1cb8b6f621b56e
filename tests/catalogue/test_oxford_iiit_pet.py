"""oxford_iiit_pet: archives as a stream, the tree and an unpacked tar with an index, and torchvision give the same samples."""

import gzip
import io
import shutil
import tarfile
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.annotations import voc_objects
from vdata.datasets import oxford_iiit_pet as module
from vdata.errors import DataError, DataWarning, DecodeError, NoIndexError, UnknownDatasetError
from vdata.tensors import BoundingBoxes, Image, Label, Mask

_SPLITS = ("trainval", "test")
_FAKE = {"trainval": 5, "test": 3}


@pytest.fixture
def archives(fake_root):
    return fake_root("oxford_iiit_pet")[0]


@pytest.fixture
def tree(fake_root):
    return fake_root("oxford_iiit_pet")[1]


@pytest.fixture
def plain(archives, tmp_path):
    """images.tar unpacked, but not extracted, in torchvision's folder."""
    folder = tmp_path / "plain/oxford-iiit-pet"
    folder.mkdir(parents=True)
    (folder / "images.tar").write_bytes(gzip.decompress((archives / "images.tar.gz").read_bytes()))
    shutil.copy(archives / "annotations.tar.gz", folder)
    return folder.parent


@pytest.fixture
def mutable(tree, tmp_path):
    return shutil.copytree(tree / "oxford-iiit-pet", tmp_path / "oxford-iiit-pet")


def load(split, root):
    """An indexed set of few samples: it warns when it is opened."""
    with pytest.warns(DataWarning, match="should have 3,6"):
        return vdata.load("oxford_iiit_pet", split, root=root, strict=False)


def by_key(split, root):
    """All samples; a stream warns only when it is read."""
    with pytest.warns(DataWarning, match="should have 3,6"):
        samples = list(vdata.load("oxford_iiit_pet", split, root=root, strict=False))
    keyed = {s["__key__"]: s for s in samples}
    assert len(keyed) == len(samples) == _FAKE[split]
    return keyed


def same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert type(value) is type(b[name])
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.plain(), b[name].plain()) and value.meta() == b[name].meta(), name
        else:
            assert value == b[name]


@pytest.mark.parametrize("split", _SPLITS)
@pytest.mark.parametrize("where", ["archives", "tree", "plain"])
def test_as_torchvision(where, split, tree, request):
    ours = by_key(split, request.getfixturevalue(where))
    targets = ["category", "binary-category", "segmentation"]
    theirs = torchvision.datasets.OxfordIIITPet(tree, split, target_types=targets)
    assert len(ours) == len(theirs)
    for path, (image, (label, species, trimap)) in zip(theirs._images, theirs, strict=True):
        sample = ours[path.stem]
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
        assert (int(sample["label"]), int(sample["species"])) == (label, species)
        assert torch.equal(sample["mask"].plain(), torch.from_numpy(np.array(trimap)))


@pytest.mark.parametrize("split", _SPLITS)
def test_with_an_index_the_order_is_the_lists(tree, plain, split):
    theirs = [p.stem for p in torchvision.datasets.OxfordIIITPet(tree, split)._images]
    for root in (tree, plain):
        pipe = load(split, root)
        assert [pipe[i]["__key__"] for i in range(len(pipe))] == theirs


def test_without_an_index_the_order_is_the_archives(archives):
    stream = vdata.load("oxford_iiit_pet", "trainval", root=archives, strict=False)
    with tarfile.open(archives / "images.tar.gz") as archive:
        names = [n.removeprefix("images/").removesuffix(".jpg") for n in archive.getnames() if n.endswith(".jpg")]
    with pytest.warns(DataWarning):
        keys = [s["__key__"] for s in stream]
    assert keys == [n for n in names if n in keys] and len(keys) == 5
    assert keys != [line.split()[0] for line in module._FAKE["trainval"]]
    with pytest.raises(NoIndexError, match="vdata index oxford_iiit_pet"):
        len(stream)


@pytest.mark.parametrize("split", _SPLITS)
def test_all_three_ways_agree(archives, tree, plain, split):
    ways = [by_key(split, root) for root in (tree, archives, plain)]
    for key, sample in ways[0].items():
        for way in ways[1:]:
            same(sample, way[key])


def test_fields_are_what_the_annotations_say(tree):
    for key, sample in by_key("trainval", tree).items():
        types = [type(sample[n]) for n in ("image", "label", "mask", "boxes", "labels")]
        assert types == [Image, Label, Mask, BoundingBoxes, Label]
        height, width = sample["image"].shape[1:]
        assert sample["boxes"].canvas_size == sample["mask"].canvas == (height, width)
        path = tree / f"oxford-iiit-pet/annotations/xmls/{key}.xml"
        found = list(ElementTree.parse(path).getroot().iter("object")) if path.exists() else []
        assert len(sample["boxes"]) == len(sample["labels"]) == len(sample["poses"]) == len(found)
        for row, entry in enumerate(found):
            x1, y1, x2, y2 = (float(entry.find("bndbox").find(s).text) for s in ("xmin", "ymin", "xmax", "ymax"))
            assert sample["boxes"][row].tolist() == [x1 - 1, y1 - 1, x2, y2]
            assert sample["poses"].name[row] == entry.find("pose").text
            for flag in ("truncated", "occluded", "difficult"):
                assert sample[flag][row].item() == int(entry.find(flag).text)
            assert int(sample["labels"][row]) == int(sample["label"])
        assert set(sample["mask"].plain().unique().tolist()) == {1, 2, 3}
        listed = (tree / "oxford-iiit-pet/annotations/trainval.txt").read_text()
        (row,) = [line.split() for line in listed.splitlines() if line.split()[0] == key]
        assert [int(sample["label"]) + 1, int(sample["species"]) + 1, sample["breed_id"]] == [int(n) for n in row[1:]]


def test_an_image_without_a_box_has_empty_ones(tree):
    samples = by_key("trainval", tree)
    assert samples["american_bulldog_10"]["boxes"].shape == (0, 4)
    assert sorted(len(s["boxes"]) for s in samples.values()) == [0, 1, 1, 1, 1]
    assert all(len(s["boxes"]) == 0 for s in by_key("test", tree).values())


def test_filter_by_column(tree):
    pipe = load("trainval", tree)
    dogs = pipe.filter(where={"species": 1})
    assert [s["__key__"] for s in dogs] == [s["__key__"] for s in pipe if s["species"].name == "dog"] != []


# -- traps ----------------------------------------------------------------------------------------------------------------


def test_trap_breeds_are_in_numeric_order(tree):
    """Sorted as text, 10 would come before 2."""
    assert len(module.BREEDS) == 37 and list(module.BREEDS) == sorted(module.BREEDS, key=str.lower)
    for key, sample in (by_key("trainval", tree) | by_key("test", tree)).items():
        assert sample["label"].name == key.rpartition("_")[0].replace("_", " ").title()
    assert tuple(torchvision.datasets.OxfordIIITPet(tree, "trainval").classes) == tuple(
        b for b in module.BREEDS if b in {"Abyssinian", "American Bulldog", "British Shorthair", "Yorkshire Terrier"}
    )


def test_trap_a_png_under_the_name_jpg(tree, archives):
    data = (tree / "oxford-iiit-pet/images/Abyssinian_34.jpg").read_bytes()
    assert data.startswith(b"\x89PNG") and Pillow.open(io.BytesIO(data)).mode == "RGBA"
    for root in (tree, archives):
        assert by_key("trainval", root)["Abyssinian_34"]["image"].shape[0] == 3


def test_trap_stray_files(archives):
    """They are in the archives and in no sample."""
    with tarfile.open(archives / "images.tar.gz") as images, tarfile.open(archives / "annotations.tar.gz") as notes:
        assert any(n.endswith(".mat") for n in images.getnames())
        assert "annotations/trimaps/._Abyssinian_1.png" in notes.getnames()
    assert not [k for k in by_key("trainval", archives) if k.startswith(".") or k.endswith("mat")]


# -- what is broken or missing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["images/american_bulldog_10.jpg", "annotations/trimaps/american_bulldog_10.png"])
def test_a_missing_file_is_named(mutable, tmp_path, path):
    (mutable / path).unlink()
    with pytest.raises(DataError, match=f"1 of 5 samples lack a file: {path}"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)
    with pytest.warns(DataWarning) as warned:
        pipe = vdata.load("oxford_iiit_pet", "trainval", root=tmp_path, strict=False)
    assert path in str(warned[0].message) and len(pipe) == 4


def test_an_image_that_the_archive_lacks_is_named(archives, tmp_path):
    shutil.copy(archives / "annotations.tar.gz", tmp_path)
    with tarfile.open(archives / "images.tar.gz") as old, tarfile.open(tmp_path / "images.tar.gz", "w:gz") as new:
        for member in old:
            if "bulldog" not in member.name:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    with pytest.raises(DataError, match=r"images/american_bulldog_10\.jpg"):
        list(vdata.load("oxford_iiit_pet", "trainval", root=tmp_path))
    with pytest.warns(DataWarning) as warned:
        assert len(list(vdata.load("oxford_iiit_pet", "trainval", root=tmp_path, strict=False))) == 4
    assert "images/american_bulldog_10.jpg" in str(warned[0].message)


@pytest.mark.parametrize(
    "line", ["Abyssinian_1 38 1 1", "Abyssinian_1 0 1 1", "Abyssinian_1 1 3 1", "Abyssinian_1 1 1", "A one 1 1"]
)
def test_a_broken_list_is_named(mutable, tmp_path, line):
    (mutable / "annotations/trainval.txt").write_text(f"# comment\n\n{line}\n")
    with pytest.raises(DataError, match=f"annotations/trainval.txt has a line.*{line}"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)


def test_a_list_that_names_an_image_twice(mutable, tmp_path):
    (mutable / "annotations/trainval.txt").write_text("Abyssinian_1 1 1 1\nAbyssinian_1 1 1 1\n")
    with pytest.raises(DataError, match=r"two samples of one name.*Abyssinian_1"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)


def test_a_missing_list_is_named(mutable, tmp_path):
    (mutable / "annotations/test.txt").unlink()
    with pytest.raises(DataError, match=r"annotations/test\.txt"):
        vdata.load("oxford_iiit_pet", "test", root=tmp_path)


def test_a_list_cannot_lead_out(mutable, tmp_path):
    (tmp_path / "oxford-iiit-pet/secret.jpg").write_bytes(b"x")
    (mutable / "annotations/trainval.txt").write_text("../secret 1 1 1\n")
    with pytest.raises(DataError, match="secret"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)


@pytest.mark.parametrize("name", ["images.tar.gz", "annotations.tar.gz"])
def test_a_cut_archive_raises(archives, tmp_path, name):
    for archive in archives.iterdir():
        shutil.copy(archive, tmp_path)
    (tmp_path / name).write_bytes((archives / name).read_bytes()[:-20])
    with pytest.raises(DataError, match="cut or damaged"):
        list(vdata.load("oxford_iiit_pet", "trainval", root=tmp_path, strict=False))


def test_nothing_there(tmp_path):
    with pytest.raises(UnknownDatasetError, match=r"(?s)images\.tar\.gz \(https.*annotations\.tar\.gz \(https"):
        vdata.load("oxford_iiit_pet", "test", root=tmp_path)


@pytest.mark.parametrize(
    "xml", [b"<annotation><object>", b"<a/>" * 2, b"<annotation><object><pose>Up</pose></object></annotation>"]
)
def test_a_broken_box_names_the_sample(mutable, tmp_path, xml):
    (mutable / "annotations/xmls/Abyssinian_1.xml").write_bytes(xml)
    pipe = load("trainval", tmp_path)
    with pytest.raises(DataError, match=r"key 'Abyssinian_1', field 'boxes'"):
        pipe[0]


# -- the XML of boxes -----------------------------------------------------------------------------------------------------


def voc(*boxes, head=""):
    objects = "".join(
        f"<object><name>cat</name><bndbox>{''.join(f'<{k}> {v} </{k}>' for k, v in b.items())}</bndbox></object>"
        for b in boxes
    )
    return f"{head}<annotation><size><width>9</width></size>{objects}</annotation>".encode()


def test_boxes_of_voc():
    assert voc_objects(voc()) == []
    two = voc({"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}, {"ymax": 8, "xmax": 7.5, "ymin": 6, "xmin": 5})
    assert [o.box for o in voc_objects(two)] == [(0, 1, 3, 4), (4, 5, 7.5, 8)]


_FULL = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (voc({"xmin": 1, "ymin": 2, "xmax": 3}), "without a corner"),
        (voc(_FULL | {"xmin": "one"}), "no number"),
        (voc(_FULL | {"xmin": "nan"}), "no number"),
        (voc(_FULL | {"ymax": "1e999"}), "not finite"),
        (voc(_FULL)[:-5], "broken XML"),
        (b"", "broken XML"),
        (voc(_FULL, head='<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]>'), "document type"),
        (voc(_FULL, head='<!DOCTYPE a SYSTEM "file:///etc/hostname">'), "document type"),
        (voc(_FULL) + b" " * (1 << 20), "more than 1048576"),
        (b"<a>" * 300_000, "nested"),
    ],
)
def test_broken_xml(xml, message):
    with pytest.raises(DecodeError, match=message):
        voc_objects(xml)
