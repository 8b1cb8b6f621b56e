"""cifar10 and cifar100: pickles read without unpickling, records of fixed length, and torchvision give the same samples."""

import gzip
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

import vdata
from vdata.catalog import module_of
from vdata.datasets import _cifar, _pickled
from vdata.errors import DataError, DataWarning, DecodeError, TruncatedShardError, UnknownDatasetError
from vdata.files import Tree
from vdata.tensors import Image, Label

pytestmark = pytest.mark.filterwarnings("ignore:the split:vdata.errors.DataWarning")  # fakes are small
NAMES = ("cifar10", "cifar100")
PYTHON = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
BINARY = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}


def load(name, root, split="train"):
    return vdata.load(name, split, root=root, strict=False)


@pytest.fixture
def forms(fake_root, tmp_path):
    """name -> {form: a root that has this form only}"""

    def of(name):
        archives, tree = fake_root(name)
        roots = {}
        for form, folder in (("python", PYTHON[name]), ("binary", BINARY[name])):
            for kind in ("archive", "tree"):
                root = roots[f"{form} {kind}"] = tmp_path / name / f"{form} {kind}"
                root.mkdir(parents=True)
                if kind == "archive":
                    shutil.copy(archives / f"{name.replace('r1', 'r-1')}-{form}.tar.gz", root)
                else:
                    shutil.copytree(tree / folder, root / folder)
        return roots

    return of


def torchvisions(name, root, split):
    """torchvision's dataset, which knows the real files' checksums and takes no others."""
    cls = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]

    class Unchecked(cls):
        meta = cls.meta | {"md5": None}

        def _check_integrity(self):
            return True

    return Unchecked(str(root), split == "train")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", NAMES)
def test_both_forms_as_torchvision_in_its_order(fake_root, forms, name, split):
    theirs = torchvisions(name, fake_root(name)[1], split)
    assert tuple(theirs.classes) == vdata.info(name).classes
    for form, root in forms(name).items():
        ours = list(load(name, root, split))
        assert len(ours) == len(theirs) > 0
        for sample, (image, label) in zip(ours, theirs, strict=True):
            assert type(sample["image"]) is Image and sample["image"].dtype == torch.uint8
            assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(image)).permute(2, 0, 1))
            assert type(sample["label"]) is Label and int(sample["label"]) == label
            assert ("filename" in sample) == form.startswith("python")


@pytest.mark.parametrize("name", NAMES)
def test_keys_do_not_hang_on_the_form(forms, name):
    keys = {form: [s["__key__"] for s in load(name, root)] for form, root in forms(name).items()}
    assert len(set(map(tuple, keys.values()))) == 1
    first = "data_batch_1/00000" if name == "cifar10" else "train/00000"
    assert keys["python tree"][0] == first


def test_what_torchvision_leaves_out(fake_root):
    for split in ("train", "test"):
        with open(fake_root("cifar100")[1] / f"cifar-100-python/{split}", "rb") as file:
            raw = pickle.load(file, encoding="latin1")
        samples = list(load("cifar100", fake_root("cifar100")[0], split))
        assert [int(s["superclass"]) for s in samples] == raw["coarse_labels"]
        assert [int(s["label"]) for s in samples] == raw["fine_labels"]
        assert [s["filename"] for s in samples] == raw["filenames"]
        assert all(type(s["filename"]) is str and s["superclass"].categories[0] == "aquatic_mammals" for s in samples)


def test_with_both_forms_the_one_with_file_names_is_read(fake_root):
    assert all("filename" in s for s in load("cifar10", fake_root("cifar10")[0]))


@pytest.mark.parametrize("name", NAMES)
def test_either_form_will_do_and_none_is_an_error(name, tmp_path):
    with pytest.raises(UnknownDatasetError, match=r"-python\.tar\.gz .*, or .*-binary\.tar\.gz"):
        load(name, tmp_path)


@pytest.mark.parametrize("form", ["python", "binary"])
def test_a_missing_batch_is_named(forms, form):
    root = forms("cifar10")[f"{form} tree"]
    folder, suffix = (PYTHON["cifar10"], "") if form == "python" else (BINARY["cifar10"], ".bin")
    (root / folder / f"data_batch_3{suffix}").unlink()
    with pytest.raises(DataError, match=rf"1 of 21 samples lack a file: {folder}/data_batch_3"):
        vdata.load("cifar10", root=root)
    with pytest.warns(DataWarning, match=f"{folder}/data_batch_3"):
        pipe = load("cifar10", root)
    assert {s["__key__"].partition("/")[0] for s in pipe} == {f"data_batch_{n}" for n in (1, 2, 4, 5)}
    assert len(list(pipe.filter(where={"label": 0}))) == sum(int(s["label"]) == 0 for s in pipe)


@pytest.mark.parametrize("form", ["python", "binary"])
def test_other_names_of_the_classes_are_refused(forms, form):
    for name, file in (("cifar10", "batches.meta"), ("cifar100", "meta")):
        root = forms(name)[f"{form} tree"]
        path = root / (f"{PYTHON[name]}/{file}" if form == "python" else f"{BINARY[name]}/{_txt(name)}")
        data = path.read_bytes()
        old, new = (b"truck", b"trick") if name == "cifar10" else (b"streetcar", b"streetcat")
        assert old in data
        path.write_bytes(data.replace(old, new))
        with pytest.raises(DataError, match=f"{path.name} names other classes"):
            load(name, root)


def _txt(name):
    return "batches.meta.txt" if name == "cifar10" else "fine_label_names.txt"


def test_the_names_of_the_classes_are_not_needed(forms):
    root = forms("cifar10")["python tree"]
    (root / PYTHON["cifar10"] / "batches.meta").unlink()
    assert len(load("cifar10", root)) == 25


def test_broken_records(forms):
    root = forms("cifar100")["binary tree"]
    path = root / BINARY["cifar100"] / "train.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DecodeError, match=r"train\.bin has 15369 bytes, not a multiple of 3074"):
        load("cifar100", root)
    path.write_bytes(b"\x14" + data[1:])
    with pytest.raises(DecodeError, match="a label 20 that is no number below 20"):
        load("cifar100", root)


@pytest.mark.parametrize("form", ["python", "binary"])
def test_a_cut_archive_raises(forms, form):
    (path,) = forms("cifar10")[f"{form} archive"].iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TruncatedShardError, match="cut or damaged"):
        load("cifar10", path.parent)


def test_a_plain_tar_will_do(forms):
    root = forms("cifar10")["python archive"]
    (path,) = root.iterdir()
    (root / "cifar-10-python.tar").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    assert len(load("cifar10", root, "test")) == 4


# -- pickles ---------------------------------------------------------------------------------------------------------------


def batch(count=3, **changes):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3072), np.uint8)
    return {
        "batch_label": "one",
        "labels": list(range(count)),
        "data": pixels,
        "filenames": ["a.png"] * count,
    } | changes


def written(root, data):
    folder = root / PYTHON["cifar10"]
    folder.mkdir(exist_ok=True)
    (folder / "test_batch").write_bytes(data)
    (folder / "data_batch_1").touch()  # it stands for an extracted tree
    return root


def test_the_fake_is_what_python_2_wrote(fake_root):
    """It unpickles to what it says, and has the opcodes of the real files: byte strings, and no text."""
    data = (fake_root("cifar10")[1] / "cifar-10-batches-py/test_batch").read_bytes()
    raw = pickle.loads(data, encoding="latin1")
    assert raw["data"].shape == (4, 3072) and raw["data"].dtype == np.uint8 and raw["batch_label"] == "test_batch of 1"
    assert (
        data.startswith(b"\x80\x02}q\x01(U") and b"cnumpy.core.multiarray\n_reconstruct\n" in data and b"\x89T" in data
    )


@pytest.mark.parametrize("protocol", [3, 4])
def test_what_python_3_pickled(tmp_path, protocol):
    content = batch()
    samples = list(load("cifar10", written(tmp_path, pickle.dumps(content, protocol)), "test"))
    assert [s["image"].flatten().tolist() for s in samples] == content["data"].tolist()
    assert [s["filename"] for s in samples] == content["filenames"]
    assert list(load("cifar10", written(tmp_path, pickle.dumps({**content, b"unused": None}, protocol)), "test"))


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_ever_called(tmp_path, monkeypatch, protocol):
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    for content in (
        Bomb(),
        batch(labels=Bomb()),
        batch(data=Bomb()),
        batch(filenames=[Bomb()] * 3),
        batch(other=Bomb()),
    ):
        root = written(tmp_path, pickle.dumps(content, protocol))
        try:
            list(load("cifar10", root, "test"))
        except DataError as error:
            assert "test_batch" in str(error)
        assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (batch(data=[1, 2, 3]), "the pictures are no NumPy array"),
        (batch(data=np.zeros((3, 3072), np.int16)), "no bytes, row by row"),
        (batch(data=np.asfortranarray(np.zeros((3, 3072), np.uint8))), "no bytes, row by row"),
        (batch(data=np.zeros((3, 3071), np.uint8)), r"no array of shape \[N, 3072\]"),
        (batch(data=np.zeros((3, 3, 1024), np.uint8)), r"no array of shape \[N, 3072\]"),
        (batch(labels=[1, 2]), r"3 pictures, and lists of \[2, 3\]"),
        (batch(labels=[1, 2, 10]), "a label 10 that is no number below 10"),
        (batch(labels=[1, 2, "three"]), "a label 'three'"),
        (batch(labels=None), "is no batch of CIFAR"),
        ({"data": batch()["data"]}, "is no batch of CIFAR: 'labels'"),
        ([batch()], "is no batch of CIFAR"),
        (batch(other={1, 2}), "no pickle of numbers, texts and arrays: its opcode EMPTY_SET"),
    ],
)
def test_other_pickles_are_refused(tmp_path, content, message):
    with pytest.raises(DecodeError, match=message):
        load("cifar10", written(tmp_path, pickle.dumps(content, 4)), "test")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "no pickle of numbers"),
        (b"\x80\x02}", "no pickle of numbers"),
        (b"\x80\x02.", "no pickle of numbers"),
        (b"\x80\x02}}.", "no pickle of numbers"),
        (b"\x80\x02e.", "no pickle of numbers"),
        (b"\x80\x02h\x07.", "no pickle of numbers"),
        (b"\x80\x02}b.", "no pickle of numbers"),
        (b"\x80\x02]}K\x01K\x02s.", "no pickle of numbers"),
        (b"\x80\x02}]K\x01s.", "no pickle of numbers"),
        (b"\x80\x02\x85.", "no pickle of numbers"),
        (b"\x80\x02K\x01K\x02R.", "no pickle of numbers"),
        (b"\x80\x02T\xff\xff\xff\x7fabc.", "no pickle of numbers"),
        (b"\x80\x02\xff.", "no pickle of numbers"),
        (pickle.dumps(batch(), 2), "bytes lie in the file"),  # Python 3 writes bytes as text then
    ],
)
def test_broken_pickles_say_where(tmp_path, data, message):
    with pytest.raises(DecodeError, match=message) as caught:
        load("cifar10", written(tmp_path, data), "test")
    assert "test_batch" in str(caught.value) and str(tmp_path) in str(caught.value)


@given(place=st.integers(0, 500), value=st.integers(0, 255), end=st.integers(-500, -1))
def test_damage_is_an_error_or_another_value(tmp_path_factory, place, value, end):
    root = tmp_path_factory.mktemp("damage")
    whole = bytearray(_cifar._as_python_2({"labels": [1], "data": bytes(3072), "filenames": ["a.png"]}))
    damaged = bytearray(whole)
    damaged[place % len(whole)] = value
    for data in (damaged, whole[:end], whole[:end] + damaged[end:]):
        (root / "x").write_bytes(data)
        try:
            _pickled.pickled(Tree(root), "x")
        except DataError:
            continue


def test_cards():
    for name, batches in (("cifar10", 6), ("cifar100", 2)):
        info, module = vdata.info(name), module_of(name)
        assert sum(map(len, module._LAYOUT.batches.values())) == batches
        assert [a.group for a in info.archives] == [name.replace("r1", "r-1")] * 2
    assert (
        len(vdata.info("cifar100").classes),
        len(vdata.info("cifar100").fields["superclass"].meta["categories"]),
    ) == (100, 20)
    assert {a.md5 for n in NAMES for a in vdata.info(n).archives if "python" in a.name} == {
        torchvision.datasets.CIFAR10.tgz_md5,
        torchvision.datasets.CIFAR100.tgz_md5,
    }
