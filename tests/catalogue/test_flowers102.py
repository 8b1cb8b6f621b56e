"""flowers102: archives, tree and torchvision give the same flowers; masks are what is not blue."""

import io
import shutil
import tarfile
import warnings

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata.datasets import flowers102
from vdata.datasets._mat import mat_file
from vdata.errors import DataError, DataWarning, DecodeError, TruncatedShardError, UnknownDatasetError
from vdata.tensors import Image, Label, Mask
from vdata.testing import jpeg, photo, tar_file

COUNTS = {"train": 3, "val": 4, "test": 5}
SETS = {"train": [7, 2, 10], "val": [1, 12, 4, 3], "test": [5, 11, 6, 9, 8]}
LABELS = [77, 1, 102, 1, 2, 3, 77, 4, 50, 102, 1, 9]  # of the images 1 to 12, as in the file


def load(root, split, **options):
    """The fake samples, fewer than the card says: {key: sample}."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        samples = list(vdata.load("flowers102", split, root=root, strict=False, **options))
    keyed = {s["__key__"]: s for s in samples}
    assert len(keyed) == len(samples) > 0
    return keyed


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.plain(), theirs[name].plain()) and value.meta() == theirs[name].meta()
        else:
            assert value == theirs[name]


@pytest.fixture
def mine(fake_root, tmp_path):
    """(root, the folder of the extracted files), to change."""
    shutil.copytree(fake_root("flowers102")[1], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "flowers-102"


@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, fake_root, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.flowers102, "check_integrity", lambda path, md5: True)
    tree = fake_root("flowers102")[1]
    ours, theirs = load(tree, split), torchvision.datasets.Flowers102(tree, split)
    assert len(ours) == len(theirs) == COUNTS[split]
    assert list(vdata.info("flowers102").classes) == theirs.classes
    for (key, sample), (picture, label), path in zip(ours.items(), theirs, theirs._image_files, strict=True):
        assert key == path.stem and set(sample) == {"__key__", "image", "label"}
        assert type(sample["image"]) is Image
        assert torch.equal(sample["image"].plain(), torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        assert type(sample["label"]) is Label and int(sample["label"]) == label


@pytest.mark.parametrize("split", COUNTS)
def test_trap_labels_and_numbers_begin_with_1_in_the_files(split, fake_root):
    samples = load(fake_root("flowers102")[1], split)
    assert list(samples) == [f"image_{n:05d}" for n in SETS[split]]
    labels = {key: int(s["label"]) for key, s in samples.items()}
    assert labels == {f"image_{n:05d}": LABELS[n - 1] - 1 for n in SETS[split]}
    assert {0, 101} <= {n - 1 for n in LABELS}
    for sample in samples.values():
        assert sample["label"].name == flowers102.CLASSES[int(sample["label"])]


@pytest.mark.parametrize("segmentation", [False, True])
@pytest.mark.parametrize("split", COUNTS)
def test_the_compressed_archives_are_a_stream_of_the_same_samples(split, segmentation, fake_root):
    archives, tree = fake_root("flowers102")
    streamed = load(archives, split, segmentation=segmentation)
    wanted = load(tree, split, segmentation=segmentation)
    assert list(streamed) != list(wanted) and streamed.keys() == wanted.keys()
    for key, sample in streamed.items():
        same(sample, wanted[key])


# -- masks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", COUNTS)
def test_masks_by_pillow(split, fake_root):
    tree = fake_root("flowers102")[1]
    for key, sample in load(tree, split, segmentation=True).items():
        path = tree / f"flowers-102/segmim/{key.replace('image', 'segmim')}.jpg"
        pixels = np.asarray(Pillow.open(io.BytesIO(path.read_bytes())).convert("RGB")).astype(int)
        blue = (pixels[..., 0] <= 64) & (pixels[..., 1] <= 64) & (pixels[..., 2] >= 190)
        mask = sample["mask"]
        assert type(mask) is Mask and mask.dtype == torch.uint8 and mask.canvas == sample["image"].canvas
        assert (mask.kind, mask.categories) == ("semantic", ("background", "flower"))
        assert np.array_equal(mask.numpy() == 0, blue)


@pytest.mark.parametrize("quality", [60, 75, 90, 98])
@pytest.mark.parametrize("colour", [(250, 250, 240), (230, 40, 60), (250, 220, 20), (120, 60, 180), (20, 90, 30)])
def test_a_mask_is_the_flower_but_for_its_edge(mine, quality, colour):
    """A disc on the authors' blue: everything that is four pixels from the edge is told apart, JPEG or not."""
    root, folder = mine
    y, x = np.ogrid[:120, :160]
    distance = np.hypot(y - 60, x - 80)
    cut_out = np.where((distance < 40)[..., None], np.array(colour), np.array((0, 0, 254))).astype(np.uint8)
    (folder / "segmim/segmim_00007.jpg").write_bytes(jpeg(torch.from_numpy(cut_out).permute(2, 0, 1), quality))
    (folder / "jpg/image_00007.jpg").write_bytes(jpeg(photo(120, 160, 1)))
    mask = load(root, "train", segmentation=True)["image_00007"]["mask"].numpy()
    assert (mask[distance < 36] == 1).all() and (mask[distance > 44] == 0).all()


def test_a_mask_of_another_size_is_refused(mine):
    root, folder = mine
    (folder / "segmim/segmim_00007.jpg").write_bytes(jpeg(photo(20, 30, 1)))
    assert len(load(root, "train")) == 3
    with pytest.raises(DecodeError, match=r"size \(20, 30\), its picture \(54, 57\).*image_00007.*field 'mask'"):
        load(root, "train", segmentation=True)


def test_masks_may_be_extracted_and_pictures_not_and_the_other_way_round(fake_root, tmp_path):
    archives, tree = fake_root("flowers102")
    wanted = load(tree, "val", segmentation=True)
    for packed, extracted in (("102flowers.tgz", "segmim"), ("102segmentations.tgz", "jpg")):
        root = tmp_path / packed
        shutil.copytree(tree / "flowers-102" / extracted, root / "flowers-102" / extracted)
        for name in (packed, "imagelabels.mat", "setid.mat"):
            shutil.copy(archives / name, root)
        found = load(root, "val", segmentation=True)
        assert found.keys() == wanted.keys()
        for key, sample in found.items():
            same(sample, wanted[key])


def test_masks_need_their_archive_only_if_asked_for(fake_root, tmp_path):
    archives = fake_root("flowers102")[0]
    for name in ("102flowers.tgz", "imagelabels.mat", "setid.mat"):
        shutil.copy(archives / name, tmp_path)
    assert len(load(tmp_path, "train")) == 3
    with pytest.raises(UnknownDatasetError, match=r"102segmentations\.tgz"):
        load(tmp_path, "train", segmentation=True)


# -- what is broken -------------------------------------------------------------------------------------------------------


def test_a_missing_picture_or_mask_is_named(mine):
    root, folder = mine
    (folder / "segmim/segmim_00002.jpg").unlink()
    with pytest.raises(
        DataError, match=r"1 of 3 samples lack a file: segmim/segmim_00002\.jpg \(mask of image_00002\)"
    ):
        vdata.load("flowers102", root=root, segmentation=True)
    assert list(load(root, "train", segmentation=True)) == ["image_00007", "image_00010"]
    (folder / "jpg/image_00010.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 3 samples lack a file: jpg/image_00010\.jpg \(image of image_00010\)"):
        vdata.load("flowers102", root=root)
    assert list(load(root, "train")) == ["image_00007", "image_00002"]


def test_a_picture_that_the_archive_lacks_is_named(fake_root, tmp_path):
    for path in fake_root("flowers102")[0].iterdir():
        shutil.copy(path, tmp_path)
    with tarfile.open(tmp_path / "102flowers.tgz") as archive:
        kept = {m.name: archive.extractfile(m).read() for m in archive if m.isreg() and "00002" not in m.name}
    tar_file(tmp_path / "102flowers.tgz", kept)
    with pytest.raises(DataError, match=r"jpg/image_00002\.jpg"):
        list(vdata.load("flowers102", root=tmp_path))
    assert set(load(tmp_path, "train")) == {"image_00007", "image_00010"}


def test_fewer_than_published(fake_root):
    with pytest.raises(DataError, match="3 samples here and should have 1,020"):
        vdata.load("flowers102", root=fake_root("flowers102")[1])


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9, 0.999])
def test_a_cut_archive_raises(fake_root, tmp_path, cut):
    for path in fake_root("flowers102")[0].iterdir():
        shutil.copy(path, tmp_path)
    data = (tmp_path / "102flowers.tgz").read_bytes()
    (tmp_path / "102flowers.tgz").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(TruncatedShardError, match="cut or damaged"):
        load(tmp_path, "train")


def number_file(dtype=np.uint16, **sets):
    return {name: np.array([numbers], dtype) for name, numbers in sets.items()}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("setid.mat", number_file(valid=[1]), r"setid\.mat has no variable trnid"),
        ("setid.mat", number_file(trnid=[7, 2, 7]), "two samples of one name.*image_00007"),
        ("setid.mat", number_file(trnid=[7, 13]), r"imagelabels\.mat has no class from 1 to 102 for image 13"),
        ("setid.mat", number_file(trnid=[0, 1]), "for image 0"),
        ("setid.mat", number_file(np.float64, trnid=[1, 2.5]), r"setid\.mat has something else than whole numbers"),
        ("setid.mat", number_file(np.float64, trnid=[1, np.nan]), r"setid\.mat has something else than whole numbers"),
        ("setid.mat", {"trnid": "1 2 3"}, r"setid\.mat has something else than whole numbers"),
        ("setid.mat", {"trnid": ["1", "2"]}, r"setid\.mat has something else than whole numbers"),
        ("imagelabels.mat", {"label": np.array([LABELS], np.uint8)}, r"imagelabels\.mat has no variable labels"),
        ("imagelabels.mat", {"labels": np.array([[0] * 12], np.uint8)}, "no class from 1 to 102 for image 7"),
        ("imagelabels.mat", {"labels": np.array([[103] * 12], np.uint8)}, "no class from 1 to 102 for image 7"),
        ("imagelabels.mat", b"<html>", r"imagelabels\.mat is no readable MATLAB file"),
        ("setid.mat", b"", r"setid\.mat is no readable MATLAB file"),
    ],
)
def test_broken_lists(mine, name, content, message):
    root, folder = mine
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        mat_file(folder / name, content)
    with pytest.raises(DataError, match=message):
        load(root, "train")


def test_numbers_may_be_doubles(mine):
    """As MATLAB has them unless it is told otherwise."""
    root, folder = mine
    mat_file(folder / "setid.mat", number_file(np.float64, trnid=[7, 2]))
    mat_file(folder / "imagelabels.mat", number_file(np.float64, labels=LABELS))
    assert [int(s["label"]) for s in load(root, "train").values()] == [76, 0]


def test_a_missing_list_is_named(mine):
    root, folder = mine
    (folder / "setid.mat").unlink()
    with pytest.raises(UnknownDatasetError, match=r"setid\.mat \(https://www\.robots"):
        load(root, "train")


def test_a_broken_picture_names_the_sample(mine):
    root, folder = mine
    (folder / "jpg/image_00002.jpg").write_bytes(b"<html>")
    with pytest.raises(DecodeError, match=r"image_00002.*field 'image'"):
        load(root, "train")
