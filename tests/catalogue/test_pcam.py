"""pcam: compressed files with and without an index, unpacked files and torchvision give the same patches."""

import csv
import gzip
import io
import shutil
import warnings

import h5py
import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata import seek
from vdata.datasets import pcam
from vdata.errors import DataError, DataWarning, DecodeError, NoIndexError, TruncatedShardError, UnknownDatasetError
from vdata.files import Unpacked, unpacked
from vdata.tensors import Image, Label, Mask

COUNTS = {"train": 6, "val": 4, "test": 3}
WORDS = {"train": "train", "val": "valid", "test": "test"}
EXTRA = {"slide", "coord_x", "coord_y", "tumor_patch"}


def load(root, split):
    """The fake samples, fewer than the card says: {key: sample}."""
    samples = list(pipe_of(root, split))
    keyed = {s["__key__"]: s for s in samples}
    assert len(keyed) == len(samples) > 0
    return keyed


def pipe_of(root, split):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return vdata.load("pcam", split, root=root, strict=False)


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert ours[key].keys() == theirs[key].keys()
        for name, value in ours[key].items():
            other = theirs[key][name]
            if isinstance(value, torch.Tensor):
                assert torch.equal(value.plain(), other.plain()) and value.meta() == other.meta()
            else:
                assert value == other


def name_of(split, part):
    return f"camelyonpatch_level_2_split_{WORDS[split]}_{part}"


def write(path, name, values):
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        file[name] = values


def rows_of(path, name):
    with h5py.File(path) as file:
        return file[name][:]


@pytest.fixture
def mine(fake_root, tmp_path):
    """(root, the folder of the unpacked files), to change."""
    shutil.copytree(fake_root("pcam")[1], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "pcam"


@pytest.fixture
def packed(fake_root, tmp_path):
    """The files as downloaded, to change."""
    shutil.copytree(fake_root("pcam")[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, fake_root):
    tree = fake_root("pcam")[1]
    ours, theirs = load(tree, split), torchvision.datasets.PCAM(tree, split)
    assert len(ours) == len(theirs) == COUNTS[split]
    assert list(ours) == [f"{split}/{n:06d}" for n in range(COUNTS[split])]
    for sample, (picture, label) in zip(ours.values(), theirs, strict=True):
        assert type(sample["image"]) is Image and sample["image"].shape == (3, 96, 96)
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        assert type(sample["label"]) is Label and int(sample["label"]) == label
        assert sample["label"].name == ("no tumour", "tumour")[label]


@pytest.mark.parametrize("split", COUNTS)
def test_archives_give_what_the_unpacked_files_give(split, fake_root):
    archives, tree = fake_root("pcam")
    same(load(archives, split), load(tree, split))


@pytest.mark.parametrize("split", COUNTS)
def test_archives_with_an_index_give_what_the_unpacked_files_give(split, packed, fake_root, monkeypatch):
    for path in packed.glob("*.gz"):
        seek.build(path)
    monkeypatch.setattr(Unpacked, "_unpacked", lambda self: pytest.fail("it was read as a whole"))
    same(load(packed, split), load(fake_root("pcam")[1], split))


def test_some_files_unpacked_and_some_not(mine, fake_root):
    root, folder = mine
    (folder / name_of("val", "y.h5")).unlink()
    shutil.copy(fake_root("pcam")[0] / name_of("val", "y.h5.gz"), root)
    same(load(root, "val"), load(fake_root("pcam")[1], "val"))


def test_a_large_file_without_an_index_says_what_to_do(packed, monkeypatch):
    """It is not unpacked into memory first to find that out."""
    monkeypatch.setattr(unpacked, "MAX_HELD", 20_000)
    assert (packed / name_of("test", "x.h5.gz")).stat().st_size > 20_000
    monkeypatch.setattr(unpacked, "decompressed", lambda raw: pytest.fail("it was unpacked"))
    with pytest.raises(NoIndexError, match=r"test_x\.h5\.gz is compressed as a whole: `vdata index pcam` makes any"):
        Unpacked(packed / name_of("test", "x.h5.gz"), ("**",), "`vdata index pcam` makes any").read(
            name_of("test", "x.h5")
        )
    monkeypatch.undo()
    monkeypatch.setattr(unpacked, "MAX_HELD", 20_000)
    with pytest.raises(NoIndexError, match="`vdata index pcam` makes any of its samples readable at once"):
        load(packed, "test")


# -- the optional files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", COUNTS)
def test_slides_and_places(split, fake_root):
    tree = fake_root("pcam")[1]
    with open(tree / "pcam" / name_of(split, "meta.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    for sample, row in zip(load(tree, split).values(), rows, strict=True):
        assert sample["slide"] == row["wsi"]
        assert (sample["coord_x"], sample["coord_y"]) == (int(row["coord_x"]), int(row["coord_y"]))
        assert sample["tumor_patch"] == (row["tumor_patch"] == "True") and type(sample["tumor_patch"]) is int


def test_the_patches_of_a_slide_can_be_kept_together(fake_root):
    slides = [s["slide"] for s in load(fake_root("pcam")[1], "train").values()]
    assert slides == [f"camelyon16_train_{n // 2:03d}" for n in range(6)]
    found = pipe_of(fake_root("pcam")[1], "train").filter(where={"coord_x": 14})
    assert [s["__key__"] for s in found] == ["train/000002"]


def test_masks_by_h5py(fake_root):
    tree = fake_root("pcam")[1]
    masks = rows_of(tree / "pcam" / name_of("train", "mask.h5"), "mask")
    for number, sample in enumerate(load(tree, "train").values()):
        mask = sample["mask"]
        assert type(mask) is Mask and (mask.kind, mask.categories) == ("semantic", pcam.CLASSES)
        assert np.array_equal(mask.numpy(), masks[number, :, :, 0]) and 0 < mask.float().mean() < 1
    assert all("mask" not in s for s in load(tree, "test").values())


def test_masks_may_lack_their_last_axis_and_be_255(mine):
    root, folder = mine
    wanted = load(root, "train")
    path = folder / name_of("train", "mask.h5")
    write(path, "mask", rows_of(path, "mask")[..., 0] * np.uint8(255))
    same(load(root, "train"), wanted)


def test_without_the_optional_files(mine):
    root, folder = mine
    wanted = load(root, "train")
    for path in [*folder.glob("*meta.csv"), *folder.glob("*mask*")]:
        path.unlink()
    pipe = pipe_of(root, "train")
    assert set(pipe.plan.source.fields) == {"image", "label"}
    same(
        {s["__key__"]: s for s in pipe},
        {k: {n: v for n, v in s.items() if n not in EXTRA | {"mask"}} for k, s in wanted.items()},
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("wsi", "slide"), r"valid_meta\.csv has no column wsi; it has , coord_y"),
        (lambda t: t.rsplit("\n", 2)[0] + "\n", r"valid_x\.h5 has 4 rows and .*valid_meta\.csv has 3"),
        (lambda t: t + "4" + t.rsplit("\n", 2)[1][1:], r"valid_x\.h5 has 4 rows and .*valid_meta\.csv has 5"),
        (lambda t: t.replace("\n2,", "\n3,"), r"row 2 of .*valid_meta\.csv calls itself '3'"),
        (lambda t: "index" + t.replace("\n0,", "\n,"), r"row 0 of .*valid_meta\.csv calls itself ''"),
        (lambda t: t.replace("200", "2x0"), r"row 2 of .*valid_meta\.csv is broken: .*2x0"),
        (lambda t: t.replace("True", "maybe"), r"row 1 of .*valid_meta\.csv is broken: 'maybe'"),
        (lambda t: t[:-23], r"valid_meta\.csv has 5 columns, its header has 6"),
        (lambda t: "", r"valid_meta\.csv has no column"),
    ],
)
def test_broken_slides_and_places(mine, change, message):
    root, folder = mine
    path = folder / name_of("val", "meta.csv")
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        load(root, "val")


# -- traps ----------------------------------------------------------------------------------------------------------------


def test_trap_md5_of_valid_and_test_are_not_exchanged():
    """The README exchanges them; these are torchvision's, which fit the sizes."""
    known = {a.name: a for a in vdata.info("pcam").archives}
    for split, files in torchvision.datasets.PCAM._FILES.items():
        for part, (_, _, md5) in zip("xy", (files["images"], files["targets"]), strict=True):
            archive = known[name_of(split, f"{part}.h5.gz")]
            assert archive.md5 == md5 and archive.when == {"split": (split,)}
            assert archive.url.startswith("https://zenodo.org/") and len(archive.sha256) == 64


def test_trap_the_word_on_disk_is_valid(fake_root):
    with pytest.raises(vdata.errors.PlanError, match="no split 'valid'"):
        load(fake_root("pcam")[1], "valid")
    assert load(fake_root("pcam")[1], "val")["val/000000"]["slide"] == "camelyon16_valid_000"


def test_only_the_splits_own_files_are_needed(mine):
    root, folder = mine
    for path in folder.glob("*_train_*"):
        path.unlink()
    assert len(load(root, "test")) == 3
    with pytest.raises(UnknownDatasetError, match=r"train_x\.h5\.gz \(https://zenodo\.org"):
        load(root, "train")


# -- what is broken -------------------------------------------------------------------------------------------------------

X, Y = np.zeros((3, 96, 96, 3), np.uint8), np.ones((3, 1, 1, 1), np.uint8)


@pytest.mark.parametrize(
    ("part", "name", "values", "message"),
    [
        ("x", "images", X, r"test_x\.h5 has no dataset 'x'; it has images"),
        ("x", "x", X[:2], r"test_x\.h5 has 2 rows and .*test_y\.h5 has 3"),
        (
            "x",
            "x",
            X[:, :10, :10],
            r"x of .*test_x\.h5 is uint8 \[3, 10, 10, 3\] and should be uint8 \['N', 96, 96, 3\]",
        ),
        ("x", "x", X.astype(np.float32), r"x of .*test_x\.h5 is float32"),
        ("y", "labels", Y, r"test_y\.h5 has no dataset 'y'"),
        ("y", "y", Y[:, 0, 0, 0], r"y of .*test_y\.h5 is uint8 \[3\]"),
        ("y", "y", Y * np.uint8(2), r"row 0 of .*test_y\.h5 has the label 2"),
        ("y", "y", np.ones((4, 1, 1, 1), np.uint8), r"test_x\.h5 has 3 rows and .*test_y\.h5 has 4"),
    ],
)
def test_arrays_that_are_not_what_they_should_be(mine, part, name, values, message):
    root, folder = mine
    write(folder / name_of("test", f"{part}.h5"), name, values)
    with pytest.raises(DataError, match=message):
        load(root, "test")


@pytest.mark.parametrize("part", ["x", "y"])
@pytest.mark.parametrize("keep", [0, 8, 700, 0.5, 0.99])
def test_a_cut_hdf5_file_raises(mine, part, keep):
    root, folder = mine
    path = folder / name_of("test", f"{part}.h5")
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(DecodeError, match=rf"test_{part}\.h5 is no readable HDF5 file"):
        load(root, "test")


@pytest.mark.parametrize("part", ["x", "y"])
def test_a_web_page_in_the_place_of_the_file(packed, part):
    """What Google Drive sends instead of a large file."""
    path = packed / name_of("test", f"{part}.h5.gz")
    path.write_bytes(gzip.compress(b"<!DOCTYPE html>" * 100))
    with pytest.raises(DecodeError, match=rf"test_{part}\.h5 is no readable HDF5 file"):
        load(packed, "test")


@pytest.mark.parametrize("part", ["x", "y"])
def test_a_cut_archive_raises(packed, part):
    path = packed / name_of("test", f"{part}.h5.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TruncatedShardError, match=rf"cut or damaged.*test_{part}\.h5\.gz"):
        load(packed, "test")


def test_compressed_chunks_inside_the_file(mine):
    """Nobody promises that the arrays are stored in one piece."""
    root, folder = mine
    wanted = load(root, "test")
    path = folder / name_of("test", "x.h5")
    values = rows_of(path, "x")
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("x", data=values, chunks=(2, 96, 96, 3), compression="gzip", shuffle=True)
    path.unlink()
    path.write_bytes(out.getvalue())
    same(load(root, "test"), wanted)
