"""hd1k: pairs within one sequence, true 16-bit flow, uncertainty as it lies in the file."""

import shutil
import warnings
import zipfile

import cv2
import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.errors import DataError, DataWarning, DecodeError, ShardError, UnknownDatasetError
from vdata.tensors import Flow, Image

pytestmark = pytest.mark.filterwarnings(
    "ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning"
)


def load(root, split="train", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # five pairs, and not 1,047
        return vdata.load("hd1k", split, root=root, strict=False, **options)


def raw(path):
    """Channels as they are in the file: OpenCV gives blue first."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


@pytest.fixture
def tree(fake_root, tmp_path):
    """An extracted tree that a test may damage."""
    return shutil.copytree(fake_root("hd1k")[1], tmp_path / "tree")


@pytest.fixture
def archives(fake_root, tmp_path):
    return shutil.copytree(fake_root("hd1k")[0], tmp_path / "archives")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("extracted", [False, True], ids=["archive", "tree"])
def test_as_torchvision(split, extracted, fake_root):
    ours, theirs = load(fake_root("hd1k")[extracted], split), torchvision.datasets.HD1K(fake_root("hd1k")[1], split)
    assert len(ours) == len(theirs) == {"train": 5, "test": 3}[split]
    for sample, (image1, image2, flow, valid) in zip(ours, theirs):
        assert type(sample["image1"]) is type(sample["image2"]) is Image
        assert np.array_equal(sample["image1"].permute(1, 2, 0), np.array(image1))
        assert np.array_equal(sample["image2"].permute(1, 2, 0), np.array(image2))
        if split == "test":
            assert flow is None and "flow" not in sample
            continue
        assert type(sample["flow"]) is Flow and sample["flow"].sparse
        assert 0 < valid.sum() < valid.size
        assert np.array_equal(sample["flow"].valid, valid)
        assert np.array_equal(sample["flow"].fill(0), flow * valid)


def test_flow_is_of_16_bits(tree):
    for sample in load(tree):
        coded = raw(tree / f"hd1k/hd1k_flow_gt/flow_occ/{sample['__key__']}.png")
        assert coded.dtype == np.uint16
        known = coded[..., 2] > 0
        assert np.array_equal(sample["flow"].valid, known)
        expected = (coded[..., :2].astype(np.float32) - 32768) / 64
        assert np.array_equal(sample["flow"].plain().permute(1, 2, 0)[torch.from_numpy(known)], expected[known])


def test_pairs_stay_within_their_sequence(tree):
    found = [(s["sequence"], s["frame"], s["__key__"]) for s in load(tree)]
    assert found == [
        (0, 0, "000000_0000"), (0, 1, "000000_0001"), (0, 2, "000000_0002"), (1, 9, "000001_0009"), (1, 10, "000001_0010"),
    ]  # fmt: skip
    for sample in load(tree):
        second = raw(tree / f"hd1k/hd1k_input/image_2/{sample['sequence']:06d}_{sample['frame'] + 1:04d}.png")
        assert second.ndim == (2 if sample["sequence"] else 3)  # grey becomes RGB
        assert np.array_equal(
            sample["image2"].permute(1, 2, 0), np.atleast_3d(second).repeat(3 // np.atleast_3d(second).shape[2], 2)
        )
    assert len(load(tree).filter(where={"sequence": 1})) == 2


def test_torchvision_knows_only_sequences_below_36(tree):
    """torchvision leaves sequence 36 out without a word; here what is there is there."""
    for folder in ("hd1k_input/image_2", "hd1k_flow_gt/flow_occ"):
        for path in sorted((tree / "hd1k" / folder).glob("000000_*")):
            shutil.copy(path, path.with_name(path.name.replace("000000_", "000036_")))
    assert len(torchvision.datasets.HD1K(tree, "train")) == 5
    assert [s["__key__"] for s in load(tree)][5:] == ["000036_0000", "000036_0001", "000036_0002"]


def test_a_missing_frame_shifts_torchvisions_pairs(tree):
    """torchvision takes frame 2 for frame 1 and pairs it with the flow of frame 1; here the missing frame is named."""
    gone = tree / "hd1k/hd1k_input/image_2/000000_0001.png"
    gone.unlink()
    with pytest.raises(IndexError):  # its last flow finds no picture; with that flow gone, too, it goes on
        torchvision.datasets.HD1K(tree, "train")
    (tree / "hd1k/hd1k_flow_gt/flow_occ/000000_0003.png").unlink()
    image1, _, flow, valid = torchvision.datasets.HD1K(tree, "train")[1]
    assert np.array_equal(np.array(image1), raw(tree / "hd1k/hd1k_input/image_2/000000_0002.png"))
    coded = raw(tree / "hd1k/hd1k_flow_gt/flow_occ/000000_0001.png").astype(np.float32)
    assert np.array_equal(flow, ((coded[..., :2] - 32768) / 64).transpose(2, 0, 1)) and valid.any()
    with pytest.raises(DataError, match=r"2 of 5 samples lack a file: .*hd1k_input/image_2/000000_0001\.png"):
        vdata.load("hd1k", root=tree)
    with pytest.warns(DataWarning) as told:
        left = vdata.load("hd1k", root=tree, strict=False)
    assert "000000_0001.png" in str(told[0].message)
    assert [s["__key__"] for s in left] == ["000000_0002", "000001_0009", "000001_0010"]


@pytest.mark.parametrize("part", ["hd1k_flow_gt/flow_occ", "hd1k_flow_uncertainty/flow_unc"])
def test_a_missing_part_is_named(tree, part):
    (tree / f"hd1k/{part}/000001_0010.png").unlink()
    with pytest.raises(DataError, match=rf"1 of 5 samples lack a file: {part}/000001_0010\.png"):
        vdata.load("hd1k", root=tree, uncertainty=True)


def test_uncertainty_is_the_numbers_of_the_file(tree):
    pipe = load(tree, uncertainty=True)
    assert "uncertainty" not in load(tree)[0] and "uncertainty" not in load(tree, "test", uncertainty=True)[0]
    for sample in pipe:
        stored = raw(tree / f"hd1k/hd1k_flow_uncertainty/flow_unc/{sample['__key__']}.png")
        assert stored.dtype == np.uint16 and stored.max() > 255
        assert type(sample["uncertainty"]) is torch.Tensor and np.array_equal(sample["uncertainty"][0], stored)


def test_the_full_package_is_the_single_archives(archives, tmp_path):
    (tmp_path / "full").mkdir()
    with zipfile.ZipFile(tmp_path / "full/hd1k_full_package.zip", "w") as full:
        for path in archives.iterdir():
            with zipfile.ZipFile(path) as single:
                for name in single.namelist():
                    full.writestr(name, single.read(name))
    for split in ("train", "test"):
        ours, theirs = (load(root, split, uncertainty=True) for root in (archives, tmp_path / "full"))
        assert len(ours) == len(theirs) > 0
        for a, b in zip(ours, theirs):
            assert (
                a.keys() == b.keys()
                and a["__key__"] == b["__key__"]
                and torch.equal(a["image1"].plain(), b["image1"].plain())
            )


def test_pictures_without_flow_are_no_training_set(archives):
    (archives / "hd1k_flow_gt.zip").unlink()
    with pytest.raises(UnknownDatasetError, match=r", or hd1k_flow_gt\.zip \(register"):
        vdata.load("hd1k", root=archives)


def test_a_missing_set_says_where_to_register(tmp_path):
    with pytest.raises(
        UnknownDatasetError,
        match=r"hd1k_full_package\.zip \(register at http.*, or hd1k_input\.zip \(register.*with hd1k_flow_gt",
    ):
        vdata.load("hd1k", root=tmp_path)
    with pytest.raises(UnknownDatasetError, match=r"hd1k_challenge\.zip \(register"):
        vdata.load("hd1k", "test", root=tmp_path)


@pytest.mark.parametrize("end", ["10", "11"])
def test_a_test_frame_without_its_partner_is_named(tree, end):
    (tree / f"hd1k/hd1k_challenge/image_2/000001_00{end}.png").unlink()
    with pytest.raises(DataError, match=rf"1 of 3 samples lack a file: hd1k_challenge/image_2/000001_00{end}\.png"):
        vdata.load("hd1k", "test", root=tree)
    assert [s["__key__"] for s in load(tree, "test")] == ["000000_0010", "000007_0010"]


def test_a_flow_of_8_bits_is_refused(tree):
    """Such a file is what torchvision's own tests have: its numbers mean nothing."""
    path = tree / "hd1k/hd1k_flow_gt/flow_occ/000000_0001.png"
    cv2.imwrite(str(path), np.zeros((18, 30, 3), np.uint8))
    with pytest.raises(DecodeError, match=r"16 bits.*000000_0001"):
        load(tree)[1]


def test_a_cut_archive(archives):
    data = (archives / "hd1k_input.zip").read_bytes()
    (archives / "hd1k_input.zip").write_bytes(data[:-30])
    with pytest.raises(ShardError, match=r"hd1k_input\.zip"):
        vdata.load("hd1k", root=archives)


def test_the_number_of_training_pairs_is_only_said():
    card = vdata.info("hd1k")
    assert card.splits == {"train": 1_047, "test": None} and card.unsure == ("train",)


def test_a_sequence_of_flows_without_pictures_is_named(tree):
    for path in (tree / "hd1k/hd1k_input/image_2").glob("000001_*"):
        path.unlink()
    with pytest.raises(DataError, match=r"2 of 5 samples lack a file: hd1k_input/image_2/000001_0009\.png"):
        vdata.load("hd1k", root=tree)
