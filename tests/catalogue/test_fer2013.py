"""fer2013: six ways to have the files give the same faces as torchvision; a sample reads its own bytes only."""

import csv
import shutil
import warnings

import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.datasets import fer2013
from vdata.errors import DataError, DataWarning, DecodeError, UnknownDatasetError
from vdata.files import Tree, Zips
from vdata.tensors import Image, Label

COUNTS = {"train": 7, "test": 5, "public_test": 3, "private_test": 2}
WHOLE = ("fer2013.csv", "icml_face_data.csv")


def load(root, split):
    """The fake samples, fewer than the card says: {key: sample}."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        samples = list(vdata.load("fer2013", split, root=root, strict=False))
    keyed = {s["__key__"]: s for s in samples}
    assert len(keyed) == len(samples) > 0
    return keyed


def same(ours, theirs, *but):
    assert ours.keys() - set(but) == theirs.keys() - set(but)
    for name in ours.keys() - set(but):
        if isinstance(ours[name], torch.Tensor):
            assert torch.equal(ours[name].plain(), theirs[name].plain()) and ours[name].meta() == theirs[name].meta()
        else:
            assert ours[name] == theirs[name]


@pytest.fixture
def only(fake_root, tmp_path):
    """A function: a root with some of the files only, in torchvision's folder or beside it."""

    def with_files(*names, folder="fer2013"):
        root = tmp_path / "-".join([*names, folder])
        (root / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(fake_root("fer2013")[0] / name, root / folder)
        return root

    return with_files


def rows_of(path):
    """The file by Python's own reader, names without blanks."""
    with open(path, newline="") as file:
        return [{n.strip(): v for n, v in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("names", [("fer2013.csv",), ("icml_face_data.csv",), ("train.csv", "test.csv")])
def test_as_torchvision(names, split, only, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.fer2013, "check_integrity", lambda path, md5: True)
    root = only(*names)
    ours, theirs = load(root, split), torchvision.datasets.FER2013(root, split)
    assert len(ours) == len(theirs) == COUNTS[split]
    for sample, (picture, label) in zip(ours.values(), theirs, strict=True):
        assert type(sample["image"]) is Image and sample["image"].shape == (1, 48, 48)
        assert torch.equal(sample["image"].plain()[0], torch.from_numpy(np.array(picture)))
        assert (int(sample["label"]) if "label" in sample else None) == label


@pytest.mark.parametrize("split", COUNTS)
def test_keys_labels_and_usage(split, only):
    for name in WHOLE:
        root = only(name)
        rows = rows_of(root / "fer2013" / name)
        usages = {"train": ["Training"], "test": ["PublicTest", "PrivateTest"]}.get(split)
        usages = usages or [split.replace("_test", "Test").capitalize().replace("test", "Test")]
        wanted = [row for row in rows if row["Usage"] in usages]
        found = load(root, split)
        for sample, row in zip(found.values(), wanted, strict=True):
            assert sample["usage"] == row["Usage"]
            assert type(sample["label"]) is Label and int(sample["label"]) == int(row["emotion"])
            assert sample["label"].name == fer2013.CLASSES[int(row["emotion"])]
            assert sample["image"].flatten().tolist() == list(map(int, row["pixels"].split()))
    first = {"train": 0, "test": 0, "public_test": 0, "private_test": 3}[split]
    side = "train" if split == "train" else "test"
    assert list(found) == [f"{side}/{first + n:05d}" for n in range(COUNTS[split])]


def test_every_way_gives_the_same_samples(only):
    whole = load(only("fer2013.csv"), "train")
    for names, but in ((("icml_face_data.csv",), ()), (("train.csv",), ("usage",)), (("train.csv.zip",), ("usage",))):
        other = load(only(*names), "train")
        assert list(other) == list(whole)
        for key, sample in other.items():
            same(sample, whole[key], *but)
    whole = load(only("fer2013.csv", folder="."), "test")
    for name in ("test.csv", "test.csv.zip"):
        other = load(only(name), "test")
        assert list(other) == list(whole)
        for key, sample in other.items():
            same(sample, whole[key], "usage", "label")


def test_torchvisions_own_fake_csv_with_everything_quoted(tmp_path):
    (tmp_path / "fer2013").mkdir()
    with open(tmp_path / "fer2013/fer2013.csv", "w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, quotechar='"')
        writer.writerow(("emotion", "pixels", "Usage"))
        writer.writerows((n, " ".join([str(n)] * 2304), "Training") for n in range(3))
    for number, sample in enumerate(load(tmp_path, "train").values()):
        assert int(sample["label"]) == number and set(sample["image"].flatten().tolist()) == {number}


def test_the_whole_file_comes_before_the_others(only):
    root = only("fer2013.csv", "icml_face_data.csv", "train.csv", "test.csv")
    (root / "fer2013/icml_face_data.csv").write_text("broken")
    (root / "fer2013/train.csv").write_text("broken")
    assert load(root, "train")["train/00000"]["usage"] == "Training"
    (root / "fer2013/fer2013.csv").unlink()
    with pytest.raises(DecodeError, match=r"line 1 of icml_face_data\.csv"):
        load(root, "train")


def test_trap_blanks_in_the_header_of_icml_face_data(fake_root):
    path = fake_root("fer2013")[0] / "icml_face_data.csv"
    assert path.read_bytes().startswith(b"emotion, Usage, pixels\n")


def test_trap_test_csv_has_no_labels(only):
    root = only("test.csv")
    with pytest.warns(DataWarning):
        pipe = vdata.load("fer2013", "test", root=root, strict=False)
    assert set(pipe[0]) == {"__key__", "image"}
    assert set(pipe.plan.source.fields) == {"image"}


@pytest.mark.parametrize("split", ["public_test", "private_test"])
def test_test_csv_does_not_say_which_half_is_public(only, split):
    with pytest.raises(UnknownDatasetError, match=r"(?s)fer2013\.csv.*icml_face_data\.csv"):
        load(only("train.csv", "test.csv"), split)


def test_the_other_splits_file_will_not_do(only):
    with pytest.raises(UnknownDatasetError, match=r"(?s)kaggle\.com.*test\.csv"):
        load(only("train.csv"), "test")


def test_fewer_rows_of_the_test_set_warn(only):
    """Whether test.csv has 7,178 rows, nobody has confirmed."""
    with pytest.warns(DataWarning, match="5 samples here and should have 7,178"):
        vdata.load("fer2013", "test", root=only("test.csv"))
    with pytest.raises(DataError, match="7 samples here and should have 28,709"):
        vdata.load("fer2013", "train", root=only("train.csv"))


def test_a_sample_reads_its_own_pixels_only(only, monkeypatch):
    with pytest.warns(DataWarning):
        pipe = vdata.load("fer2013", root=only("fer2013.csv"), strict=False)
    read = []
    inner = Tree.read

    def watched(self, path, start=0, size=None):
        data = inner(self, path, start, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(Tree, "read", watched)
    text = " ".join(map(str, pipe[4]["image"].flatten().tolist()))
    assert read == [len(text)]


def test_a_label_can_be_asked_for(only):
    with pytest.warns(DataWarning):
        pipe = vdata.load("fer2013", root=only("fer2013.csv"), strict=False)
    assert [s["__key__"] for s in pipe.filter(where={"label": 3})] == ["train/00003"]


FACE = " ".join(["7"] * 2304)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "should have at least one|no samples|has 0 samples"),
        ("emotion,Usage\n0,Training\n", r"line 1 of fer2013\.csv: there is no column pixels, but emotion, Usage"),
        (f"emotion,pixels,Usage\n0,{FACE}\n", r"line 2 of fer2013\.csv"),
        (f"emotion,pixels,Usage\n0,{FACE},Training,1\n", r"line 2 of fer2013\.csv"),
        (f"emotion,pixels,Usage\n7,{FACE},Training\n", r"line 2 of fer2013\.csv: the emotion 7 is none of 0 to 6"),
        (f"emotion,pixels,Usage\n-1,{FACE},Training\n", "the emotion -1 is none"),
        (f"emotion,pixels,Usage\nsad,{FACE},Training\n", r"line 2 of fer2013\.csv: .*'sad'"),
        (f"emotion,pixels,Usage\n0,{FACE},training\n", "the usage 'training' is none of"),
        (f'emotion,pixels,Usage\n0,"{FACE},Training\n', r"line 2 of fer2013\.csv"),
        (f"emotion,pixels,Usage\n0,{FACE * 20},Training\n", r"line 2 of fer2013\.csv"),
        ("emotion,pixels,Usage\n0,\xff,Training\n".encode("latin-1"), r"line 2 of fer2013\.csv: .*utf-8"),
    ],
)
def test_a_broken_csv_names_the_line(tmp_path, text, message):
    (tmp_path / "fer2013.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=message):
        vdata.load("fer2013", root=tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (FACE[:-2], "2303 pixels, and not 2304"),
        (FACE + " 7", "2305 pixels, and not 2304"),
        (" ", "0 pixels, and not 2304"),
        (FACE[:-1] + "256", "not numbers from 0 to 255"),
        (FACE[:-1] + "-1", "not numbers from 0 to 255"),
        (FACE[:-1] + "x", "not numbers from 0 to 255"),
        (FACE[:-1] + "0.5", "not numbers from 0 to 255"),
    ],
)
def test_broken_pixels_name_the_sample_and_the_byte(tmp_path, pixels, message):
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{FACE},Training\n1,{pixels},Training\n")
    with pytest.warns(DataWarning):
        pipe = vdata.load("fer2013", root=tmp_path, strict=False)
    assert pipe[0]["image"].shape == (1, 48, 48)
    with pytest.raises(DecodeError, match=rf"{message}.*train/00001.*byte 4642"):
        pipe[1]


def test_a_cut_file_never_gives_a_cut_face(only):
    """Wherever it is cut: an error when it is listed, or when the last face is read, or only whole faces."""
    for name in ("fer2013.csv", "icml_face_data.csv", "train.csv"):
        root = only(name)
        data = (root / "fer2013" / name).read_bytes()
        whole = list(load(root, "train").values())
        for end in range(len(data) // 2, len(data), 997):
            (root / "fer2013" / name).write_bytes(data[:end])
            try:
                got = list(load(root, "train").values())
            except DecodeError:
                continue
            for sample, wanted in zip(got, whole):
                assert torch.equal(sample["image"].plain(), wanted["image"].plain())


def test_a_cut_zip_raises(only):
    root = only("train.csv.zip")
    path = root / "fer2013/train.csv.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"train\.csv\.zip"):
        vdata.load("fer2013", root=root)


def test_a_row_in_a_zip_is_read_by_its_place(only):
    root = only("train.csv.zip")
    files = Zips([root / "fer2013/train.csv.zip"])
    with files.open("train.csv") as file:
        (row, *_) = fer2013._rows(file, "train.csv", "")
    assert files.read("train.csv", row["offset"], row["size"]).count(b" ") == 2303
