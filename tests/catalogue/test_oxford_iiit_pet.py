"""oxford_iiit_pet: the archives as a stream, the tree and plain tars with an index, and torchvision give the same samples."""

import gzip
import io
import json
import pickle
import shutil
import tarfile
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.datasets import oxford_iiit_pet
from vdata.errors import DataError, DecodeError, NoIndexError, PlanError, UnknownDatasetError
from vdata.tensors import BoundingBoxes, Image, Label, Mask

_SPLITS = ("trainval", "test")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    root = tmp_path_factory.mktemp("archives")
    oxford_iiit_pet.fake(root)
    return root


@pytest.fixture(scope="module")
def tree(archives, tmp_path_factory):
    """The same files in torchvision's layout."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("images", "annotations"):
        with tarfile.open(archives / f"{name}.tar.gz") as archive:
            archive.extractall(root / "oxford-iiit-pet", filter="data")
    return root


@pytest.fixture(scope="module")
def plain(archives, tmp_path_factory):
    """images.tar unpacked, but not extracted, in torchvision's folder."""
    root = tmp_path_factory.mktemp("plain")
    (root / "oxford-iiit-pet").mkdir()
    (root / "oxford-iiit-pet/images.tar").write_bytes(gzip.decompress((archives / "images.tar.gz").read_bytes()))
    shutil.copy(archives / "annotations.tar.gz", root / "oxford-iiit-pet")
    return root


@pytest.fixture
def mutable(tree, tmp_path):
    return shutil.copytree(tree / "oxford-iiit-pet", tmp_path / "oxford-iiit-pet")


def by_key(pipe):
    samples = list(pipe)
    keyed = {s["__key__"]: s for s in samples}
    assert len(keyed) == len(samples)
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
    ours = by_key(vdata.load("oxford_iiit_pet", split, root=request.getfixturevalue(where)))
    theirs = torchvision.datasets.OxfordIIITPet(
        tree, split, target_types=["category", "binary-category", "segmentation"]
    )
    assert len(ours) == len(theirs) > 0
    for path, (image, (label, species, trimap)) in zip(theirs._images, theirs):
        sample = ours[path.stem]
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
        assert (int(sample["label"]), int(sample["species"])) == (label, species)
        assert torch.equal(sample["mask"].plain(), torch.from_numpy(np.array(trimap)))


@pytest.mark.parametrize("split", _SPLITS)
def test_with_an_index_the_order_is_the_lists(tree, plain, split):
    theirs = [p.stem for p in torchvision.datasets.OxfordIIITPet(tree, split)._images]
    for root in (tree, plain):
        pipe = vdata.load("oxford_iiit_pet", split, root=root)
        assert [pipe[i]["__key__"] for i in range(len(pipe))] == theirs


def test_without_an_index_the_order_is_the_archives(archives, tree):
    stream = vdata.load("oxford_iiit_pet", "trainval", root=archives)
    with tarfile.open(archives / "images.tar.gz") as archive:
        names = [n.removeprefix("images/").removesuffix(".jpg") for n in archive.getnames() if n.endswith(".jpg")]
    wanted = by_key(vdata.load("oxford_iiit_pet", "trainval", root=tree))
    assert [s["__key__"] for s in stream] == [n for n in names if n in wanted] != list(wanted)
    with pytest.raises(NoIndexError):
        len(stream)
    assert ".pack(" in str(stream) and "gunzip" in str(stream)


@pytest.mark.parametrize("split", _SPLITS)
def test_all_three_ways_agree(archives, tree, plain, split):
    ways = [by_key(vdata.load("oxford_iiit_pet", split, root=root)) for root in (tree, archives, plain)]
    for key, sample in ways[0].items():
        same(sample, ways[1][key])
        same(sample, ways[2][key])


@pytest.mark.parametrize("where", ["archives", "tree", "plain"])
def test_boxes(where, tree, request):
    for split in _SPLITS:
        for key, sample in by_key(vdata.load("oxford_iiit_pet", split, root=request.getfixturevalue(where))).items():
            boxes, labels, image = sample["boxes"], sample["labels"], sample["image"]
            xml = tree / f"oxford-iiit-pet/annotations/xmls/{key}.xml"
            assert type(boxes) is BoundingBoxes and boxes.format == "XYXY" and boxes.canvas == image.canvas
            assert boxes.dtype == torch.float32 and labels.dtype == torch.int64 and type(labels) is Label
            if not xml.exists():
                assert boxes.shape == (0, 4) and labels.shape == (0,)
                continue
            x1, y1, x2, y2 = (
                float(ElementTree.parse(xml).find(f"object/bndbox/{s}").text) for s in ("xmin", "ymin", "xmax", "ymax")
            )
            assert boxes.plain().tolist() == [[x1 - 1, y1 - 1, x2, y2]]
            assert labels.tolist() == [int(sample["label"])]


def test_types_and_names(tree):
    samples = by_key(vdata.load("oxford_iiit_pet", "trainval", root=tree))
    assert samples.keys() == {
        "Abyssinian_1",
        "american_bulldog_10",
        "British_Shorthair_2",
        "yorkshire_terrier_3",
        "Abyssinian_34",
    }
    for key, sample in samples.items():
        assert sample["label"].name == key.rpartition("_")[0].replace("_", " ").title()
        assert sample["species"].name == ("cat" if key[0].isupper() else "dog")
        assert type(sample["image"]) is Image and sample["image"].shape[0] == 3
        assert (
            type(sample["mask"]) is Mask and sample["mask"].kind == "semantic" and sample["mask"].ignore_index is None
        )
        assert set(sample["mask"].plain().unique().tolist()) == {1, 2, 3}
    assert (
        samples["yorkshire_terrier_3"]["label"].item() == 36
        and samples["british_shorthair_2".title()]["label"].item() == 9
    )
    assert samples["american_bulldog_10"]["boxes"].shape == (0, 4)


def test_breeds_are_in_the_order_of_their_numbers():
    assert len(oxford_iiit_pet.BREEDS) == 37 and sorted(oxford_iiit_pet.BREEDS, key=str.lower) == list(
        oxford_iiit_pet.BREEDS
    )
    assert oxford_iiit_pet.SPECIES == ("cat", "dog")


def test_filter_by_column(tree):
    pipe = vdata.load("oxford_iiit_pet", "trainval", root=tree)
    source = oxford_iiit_pet.source(tree, "trainval")
    assert source.columns["species"].tolist() == [int(s["species"]) for s in pipe]
    assert source.columns["label"].tolist() == [int(s["label"]) for s in pipe]


def test_sources_pickle_and_streams_resume(archives, plain):
    for root in (archives, plain):
        source = oxford_iiit_pet.source(root, "trainval")
        again = pickle.loads(pickle.dumps(source))
        assert again.digest == source.digest
    stream = oxford_iiit_pet.source(archives, "trainval")
    keys = [s["__key__"] for s in stream.read_from(0)]
    for start in range(len(keys) + 1):
        assert [s["__key__"] for s in pickle.loads(pickle.dumps(stream)).read_from(start)] == keys[start:]
    pipe = vdata.load("oxford_iiit_pet", "trainval", root=archives)
    loader = pipe.loader(mode="inline")
    first = [next(it)["__key__"] for it in [iter(loader)] for _ in range(2)]
    state = json.loads(json.dumps(loader.state_dict()))
    other = pipe.loader(mode="inline")
    other.load_state_dict(state)
    assert first + [s["__key__"] for s in other] == keys


def test_a_split_must_be_said(archives):
    with pytest.raises(PlanError, match="trainval, test: say which"):
        vdata.load("oxford_iiit_pet", root=archives)
    with pytest.raises(PlanError, match="no split 'train'"):
        vdata.load("oxford_iiit_pet", "train", root=archives)


def test_a_missing_image_is_named(archives, mutable, tmp_path):
    (mutable / "images/american_bulldog_10.jpg").unlink()
    with pytest.raises(DataError, match=r"images/american_bulldog_10\.jpg"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)
    cut = tmp_path / "cut"
    cut.mkdir()
    shutil.copy(archives / "annotations.tar.gz", cut)
    with tarfile.open(archives / "images.tar.gz") as old, tarfile.open(cut / "images.tar.gz", "w:gz") as new:
        for member in old:
            if "bulldog" not in member.name:
                new.addfile(member, old.extractfile(member))
    arrived = []
    with pytest.raises(DataError, match=r"images/american_bulldog_10\.jpg"):
        for sample in vdata.load("oxford_iiit_pet", "trainval", root=cut):
            arrived.append(sample["__key__"])
    assert len(arrived) == 4


def test_an_image_twice_in_the_archive(archives, tmp_path):
    shutil.copy(archives / "annotations.tar.gz", tmp_path)
    with tarfile.open(archives / "images.tar.gz") as old, tarfile.open(tmp_path / "images.tar.gz", "w:gz") as new:
        for member in [*old] * 2:
            new.addfile(member, old.extractfile(member))
    with pytest.raises(DataError, match="twice"):
        list(vdata.load("oxford_iiit_pet", "trainval", root=tmp_path))


def test_a_missing_trimap_is_named(mutable, tmp_path):
    (mutable / "annotations/trimaps/Abyssinian_1.png").unlink()
    with pytest.raises(DataError, match=r"annotations/trimaps/Abyssinian_1\.png"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)


@pytest.mark.parametrize(
    "line",
    ["Abyssinian_1 38 1 1", "Abyssinian_1 0 1 1", "Abyssinian_1 1 3 1", "Abyssinian_1 1 1", "Abyssinian_1 one 1 1"],
)
def test_a_broken_list_is_named(mutable, tmp_path, line):
    (mutable / "annotations/trainval.txt").write_text(f"# comment\n\n{line}\n")
    with pytest.raises(DataError, match=r"line 3 of annotations/trainval\.txt"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)


def test_a_list_cannot_lead_out(mutable, tmp_path):
    (tmp_path / "oxford-iiit-pet/secret.jpg").write_bytes(b"x")
    (mutable / "annotations/trainval.txt").write_text("../secret 1 1 1\n")
    with pytest.raises(DataError, match="secret"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)


def test_a_cut_archive_raises(archives, tmp_path):
    shutil.copy(archives / "annotations.tar.gz", tmp_path)
    data = (archives / "images.tar.gz").read_bytes()
    (tmp_path / "images.tar.gz").write_bytes(data[:-20])
    with pytest.raises(DataError, match="cut or damaged"):
        list(vdata.load("oxford_iiit_pet", "trainval", root=tmp_path))


def test_nothing_there(tmp_path):
    with pytest.raises(UnknownDatasetError, match=r"images\.tar\.gz from https.*annotations\.tar\.gz from https"):
        vdata.load("oxford_iiit_pet", "test", root=tmp_path)


def test_a_broken_box_names_the_sample(mutable, tmp_path):
    (mutable / "annotations/xmls/Abyssinian_1.xml").write_bytes(b"<annotation><object>")
    with pytest.raises(DataError, match="Abyssinian_1"):
        vdata.load("oxford_iiit_pet", "trainval", root=tmp_path)[0]


# -- the XML of boxes -----------------------------------------------------------------------------------------------------


def voc(*boxes, head=""):
    objects = "".join(
        f"<object><name>cat</name><bndbox>{''.join(f'<{k}> {v} </{k}>' for k, v in b.items())}</bndbox></object>"
        for b in boxes
    )
    return f"{head}<annotation><size><width>9</width></size>{objects}</annotation>".encode()


def test_boxes_of_voc():
    assert oxford_iiit_pet.voc_boxes(voc()) == []
    two = voc({"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}, {"ymax": 8, "xmax": 7.5, "ymin": 6, "xmin": 5})
    assert oxford_iiit_pet.voc_boxes(two) == [(0, 1, 3, 4), (4, 5, 7.5, 8)]


_FULL = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (voc({"xmin": 1, "ymin": 2, "xmax": 3}), "without a corner"),
        (voc(_FULL | {"xmin": "one"}), "no number"),
        (voc(_FULL | {"xmin": "nan"}), "not finite"),
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
        oxford_iiit_pet.voc_boxes(xml)


def test_fake_archives_have_what_the_real_ones_have(archives):
    with tarfile.open(archives / "images.tar.gz") as images, tarfile.open(archives / "annotations.tar.gz") as notes:
        assert any(n.endswith(".mat") for n in images.getnames())
        assert "annotations/trimaps/._Abyssinian_1.png" in notes.getnames()
        odd = images.extractfile("images/Abyssinian_34.jpg").read()
    assert odd.startswith(b"\x89PNG") and io.BytesIO(odd)
    labels = {int(s["label"]) + 1 for s in vdata.load("oxford_iiit_pet", "trainval", root=archives)}
    assert labels == {1, 2, 10, 37}
