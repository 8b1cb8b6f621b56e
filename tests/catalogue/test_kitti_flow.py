"""kitti_flow: the archive, the tree and torchvision give the same samples."""

import pickle
import zipfile

import cv2
import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.datasets import kitti_flow
from vdata.encoded import Encoded
from vdata.errors import DataError, PlanError, UnknownDatasetError
from vdata.tensors import Flow, Image, Mask


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    kitti_flow.fake(root)
    return root


@pytest.fixture(scope="module")
def tree(archive, tmp_path_factory):
    """The same files in torchvision's layout."""
    root = tmp_path_factory.mktemp("tree")
    with zipfile.ZipFile(archive / "data_scene_flow.zip") as file:
        file.extractall(root / "KittiFlow")
    return root


@pytest.fixture(params=["archive", "tree"])
def root(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def broken(archive, tmp_path):
    """A function that extracts the tree without one file."""

    def without(path):
        with zipfile.ZipFile(archive / "data_scene_flow.zip") as file:
            file.extractall(tmp_path)
        (tmp_path / path).unlink()
        return tmp_path

    return without


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
@pytest.mark.parametrize("split", ["train", "test"])
def test_as_torchvision(root, tree, split):
    ours, theirs = vdata.load("kitti_flow", split, root=root), torchvision.datasets.KittiFlow(tree, split)
    assert len(ours) == len(theirs) > 0
    for sample, (image1, image2, flow, valid) in zip(ours, theirs):
        assert torch.equal(sample["image1"].plain(), torch.from_numpy(np.array(image1)).permute(2, 0, 1))
        assert torch.equal(sample["image2"].plain(), torch.from_numpy(np.array(image2)).permute(2, 0, 1))
        if split == "test":
            assert flow is None and "flow" not in sample
            continue
        assert torch.equal(sample["flow"].valid.plain(), torch.from_numpy(valid))
        assert torch.equal(sample["flow"].fill(0), torch.from_numpy(flow * valid))


def test_fields_are_typed(root):
    pipe = vdata.load("kitti_flow", root=root, occlusion=True)
    assert pipe.plan.fields.keys() == {"image1", "image2", "flow", "objects", "occlusion"}
    sample = pipe[1]
    assert [type(sample[n]) for n in ("image1", "image2", "flow", "objects", "occlusion")] == [
        Image,
        Image,
        Flow,
        Mask,
        Mask,
    ]
    assert sample["__key__"] == "000001"
    assert sample["flow"].views == ("image1", "image2") and sample["flow"].sparse
    assert sample["flow"].isnan().any() and sample["flow"].isfinite().any()
    assert sample["objects"].frame == sample["occlusion"].frame == "image1"
    assert set(sample["objects"].plain().unique().tolist()) == {0, 1, 2}
    assert [s["__key__"] for s in pipe] == ["000000", "000001", "000002"]


def test_sizes_vary(root):
    assert len({s["image1"].shape for s in vdata.load("kitti_flow", root=root)}) > 1


def test_occ_noc_and_occlusion(root, tree):
    occ, noc = (vdata.load("kitti_flow", root=root, flow=f, occlusion=True)[2] for f in ("occ", "noc"))
    assert torch.equal(occ["occlusion"].plain(), occ["flow"].valid.plain() & ~noc["flow"].valid.plain())
    assert occ["occlusion"].any()
    raw = cv2.imread(str(tree / "KittiFlow/training/flow_noc/000002_10.png"), cv2.IMREAD_UNCHANGED)[..., ::-1].astype(
        np.float32
    )
    known = raw[..., 2] > 0
    assert np.array_equal(noc["flow"].valid.numpy(), known)
    assert np.array_equal(
        noc["flow"].fill(0).numpy(), ((raw[..., :2] - 32768) / 64 * known[..., None]).transpose(2, 0, 1)
    )


def test_before_decoding_it_is_bytes(root):
    source = kitti_flow.source(root, "train")
    sample = pickle.loads(pickle.dumps(source)).read(0)
    assert all(isinstance(sample[n], Encoded) and not sample[n].orient for n in ("image1", "image2", "flow", "objects"))
    assert sample["flow"].where["key"] == "000000"


def test_archive_and_tree_are_one_dataset(archive, tree):
    sources = [kitti_flow.source(r, "train") for r in (archive, tree)]
    assert sources[0].digest == sources[1].digest
    assert kitti_flow.source(archive, "train", flow="noc").digest != sources[0].digest
    assert kitti_flow.source(archive, "test").digest != sources[0].digest


@pytest.mark.parametrize(
    "path", ["image_2/000001_11.png", "image_2/000001_10.png", "flow_occ/000001_10.png", "obj_map/000001_10.png"]
)
def test_a_missing_file_is_named(broken, path):
    with pytest.raises(DataError, match=f"training/{path} is missing") as caught:
        vdata.load("kitti_flow", root=broken(f"training/{path}"))
    assert caught.value.where["key"] == "000001"


def test_without_object_maps_there_is_no_such_field(broken):
    root = broken("training/obj_map/000000_10.png")
    for left in (root / "training/obj_map").iterdir():
        left.unlink()
    pipe = vdata.load("kitti_flow", root=root)
    assert "objects" not in pipe[0] and "objects" not in pipe.plan.fields


def test_damage_in_the_archive_names_the_sample(archive, tmp_path):
    data = bytearray((archive / "data_scene_flow.zip").read_bytes())
    with zipfile.ZipFile(archive / "data_scene_flow.zip") as file:
        data[file.getinfo("training/image_2/000001_11.png").header_offset + 200] ^= 255
    (tmp_path / "data_scene_flow.zip").write_bytes(data)
    pipe = vdata.load("kitti_flow", root=tmp_path)
    assert pipe[0]["__key__"] == "000000"
    with pytest.raises(DataError, match="000001"):
        pipe[1]


def test_mistakes_are_explained(tmp_path, archive):
    with pytest.raises(UnknownDatasetError, match=r"data_scene_flow\.zip from https"):
        vdata.load("kitti_flow", root=tmp_path)
    with pytest.raises(PlanError, match="no option 'flows'"):
        vdata.load("kitti_flow", root=archive, flows="occ")
    with pytest.raises(PlanError, match="is one of"):
        vdata.load("kitti_flow", root=archive, flow="all")
    with pytest.raises(PlanError, match="no flow"):
        vdata.load("kitti_flow", "test", root=archive, occlusion=True)


def test_fake_through_load():
    pipe = vdata.load("kitti_flow", fake=True)
    assert len(pipe) == 3 and "200" in str(vdata.info("kitti_flow"))
