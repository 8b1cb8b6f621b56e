"""kitti_flow: the archives, the trees and torchvision give the same samples, of 2015 and of 2012."""

import shutil
import zipfile

import cv2
import numpy as np
import pytest
import torch
import torchvision

import vdata
from vdata.datasets import kitti_flow as module
from vdata.encoded import Encoded
from vdata.errors import DataError, DataWarning, DecodeError, PlanError, UnknownDatasetError
from vdata.tensors import Flow, Image, Mask

_ALL = {"occlusion": True, "stereo": True, "scene_flow": True, "calibration": True}


@pytest.fixture
def archives(fake_root):
    return fake_root("kitti_flow")[0]


@pytest.fixture
def tree(fake_root):
    return fake_root("kitti_flow")[1]


@pytest.fixture(params=["archives", "tree"])
def root(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def without(tree, tmp_path):
    """A function that copies the tree without one file."""

    def copied(path):
        shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
        (tmp_path / "KittiFlow" / path).unlink()
        return tmp_path

    return copied


def load(split="train", *, root, **options):
    with pytest.warns(DataWarning, match="samples here and should have (200|194|195)"):
        return vdata.load("kitti_flow", split, root=root, strict=False, **options)


def raw(tree, path):
    """The file's numbers by OpenCV, channels as they lie in the file."""
    found = cv2.imread(str(tree / "KittiFlow" / path), cv2.IMREAD_UNCHANGED)
    assert found is not None, path
    return found[..., ::-1].astype(np.float32) if found.ndim == 3 else found.astype(np.float32)


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
@pytest.mark.parametrize("split", ["train", "test"])
def test_as_torchvision(root, tree, split):
    ours, theirs = load(split, root=root), torchvision.datasets.KittiFlow(tree, split)
    assert len(ours) == len(theirs) == {"train": 3, "test": 2}[split]
    for sample, (image1, image2, flow, valid) in zip(ours, theirs, strict=True):
        assert torch.equal(sample["image1"].plain(), torch.from_numpy(np.array(image1)).permute(2, 0, 1))
        assert torch.equal(sample["image2"].plain(), torch.from_numpy(np.array(image2)).permute(2, 0, 1))
        if split == "test":
            assert flow is None and sample.keys() == {"__key__", "image1", "image2"}
            continue
        assert torch.equal(sample["flow"].valid.plain(), torch.from_numpy(valid))
        assert torch.equal(sample["flow"].fill(0), torch.from_numpy(flow * valid))


def test_stereo_of_2012_as_torchvision(root, tree, tmp_path):
    """Its disparity is positive, and that of disp_noc."""
    (tmp_path / "Kitti2012").symlink_to((tree / "KittiFlow/Kitti2012").resolve())
    theirs = torchvision.datasets.Kitti2012Stereo(tmp_path, "train")
    ours = load(root=root, version="2012", flow="noc", stereo=True)
    for sample, (left, right, disparity, _) in zip(ours, theirs, strict=True):
        stereo_agrees(sample, left, right, disparity)


def test_stereo_of_2015_where_torchvision_is_wrong(tree, tmp_path):
    """It lists the pictures of both moments but one disparity a pair, and joins them by place: number 000001_10 is its third
    picture and gets the disparity of 000002."""
    (tmp_path / "Kitti2015").symlink_to((tree / "KittiFlow").resolve())
    theirs = torchvision.datasets.Kitti2015Stereo(tmp_path, "train")
    pictures, disparities = ([str(left)[-13:] for left, _ in pairs] for pairs in (theirs._images, theirs._disparities))
    assert pictures[2] == "000001_10.png" and disparities[2] == "000002_10.png"
    assert len(theirs._images) == 2 * len(theirs._disparities)
    ours = load(root=tree, stereo=True)
    stereo_agrees(ours[0], *theirs[0][:3])  # the first of all is right
    left, right, *_ = theirs[2]
    disparity = raw(tree, "training/disp_occ_0/000001_10.png")[None] / 256
    stereo_agrees(ours[1], left, right, disparity)


def stereo_agrees(sample, left, right, disparity):
    assert torch.equal(sample["image1"].plain(), torch.from_numpy(np.array(left)).permute(2, 0, 1))
    assert torch.equal(sample["right1"].plain(), torch.from_numpy(np.array(right)).permute(2, 0, 1))
    assert np.array_equal(sample["disparity"].valid.plain(), disparity[0] > 0)
    assert np.array_equal(-sample["disparity"].fill(0).numpy()[0], disparity[0])


def test_fields_are_typed(root):
    pipe = load(root=root, **_ALL)
    kinds = {
        "image1": Image, "image2": Image, "flow": Flow, "objects": Mask, "occlusion": Mask, "right1": Image, "right2": Image,
        "disparity": Flow, "flow_right": Flow, "calibration": dict,
    }  # fmt: skip
    assert pipe.plan.fields.keys() == kinds.keys()
    sample = pipe[1]
    assert {n: type(v) for n, v in sample.items() if n != "__key__"} == kinds
    assert sample["__key__"] == "000001"
    assert [sample[n].views[1] for n in ("flow", "disparity", "flow_right")] == ["image2", "right1", "right2"]
    for name in ("flow", "disparity", "flow_right"):
        assert sample[name].views[0] == "image1" and sample[name].sparse
        assert sample[name].isnan().any() and sample[name].isfinite().any()
    assert sample["objects"].frame == sample["occlusion"].frame == "image1"
    assert set(sample["objects"].plain().unique().tolist()) == {0, 1, 2}
    assert [s["__key__"] for s in pipe] == ["000000", "000001", "000002"]
    assert len({s["image1"].shape for s in pipe}) == 3


def test_by_default_there_is_what_there_was(root):
    assert load(root=root)[0].keys() == {"__key__", "image1", "image2", "flow", "objects"}


def test_occ_noc_and_occlusion(root, tree):
    occ, noc = (load(root=root, flow=f, occlusion=True)[2] for f in ("occ", "noc"))
    assert torch.equal(occ["occlusion"].plain(), noc["occlusion"].plain()) and occ["occlusion"].any()
    coded = {kind: raw(tree, f"training/flow_{kind}/000002_10.png") for kind in ("occ", "noc")}
    assert np.array_equal(occ["occlusion"].plain(), (coded["occ"][..., 2] > 0) & ~(coded["noc"][..., 2] > 0))
    known = coded["noc"][..., 2] > 0
    assert np.array_equal(noc["flow"].valid.numpy(), known)
    pixels = (coded["noc"][..., :2] - 32768) / 64 * known[..., None]
    assert np.array_equal(noc["flow"].fill(0).numpy(), pixels.transpose(2, 0, 1))
    assert occ["flow"].valid.sum() > noc["flow"].valid.sum()


@pytest.mark.parametrize("kind", ["occ", "noc"])
def test_right_views_and_both_disparities(root, tree, kind):
    for sample in load(root=root, flow=kind, stereo=True, scene_flow=True):
        number = sample["__key__"]
        for name, time in (("right1", 10), ("right2", 11)):
            assert np.array_equal(sample[name].permute(1, 2, 0), raw(tree, f"training/image_3/{number}_{time}.png"))
        first, second = (raw(tree, f"training/disp_{kind}_{t}/{number}_10.png") for t in (0, 1))
        assert np.array_equal(sample["disparity"].valid.plain(), first > 0)
        assert np.array_equal(sample["disparity"].fill(0)[0], -first / 256)
        assert not sample["disparity"].fill(0)[1].any()
        vectors = sample["flow"].fill(0).numpy()
        both = (second > 0) & sample["flow"].valid.numpy()
        assert both.any() and not both.all() and np.array_equal(sample["flow_right"].valid.plain(), both)
        assert np.array_equal(sample["flow_right"].fill(0)[0], np.where(both, vectors[0] - second / 256, 0))
        assert np.array_equal(sample["flow_right"].fill(0)[1], np.where(both, vectors[1], 0))


def test_test_pairs_have_right_views_and_nothing_measured(root):
    assert load("test", root=root, **_ALL)[1].keys() == {
        "__key__",
        "image1",
        "image2",
        "right1",
        "right2",
        "calibration",
    }


def test_calibration(root, tree):
    calibration = load(root=root, calibration=True)[2]["calibration"]
    assert calibration.keys() == {"cam_to_cam", "velo_to_cam", "imu_to_velo"}
    text = (tree / "KittiFlow/training/calib_cam_to_cam/000002.txt").read_text()
    (line,) = [row for row in text.splitlines() if row.startswith("P_rect_02: ")]
    assert calibration["cam_to_cam"]["P_rect_02"] == [float(word) for word in line.split()[1:]]
    assert calibration["cam_to_cam"]["calib_time"] == "09-Jan-2012 13:57:47"
    later = load("test", root=root, calibration=True, version="2012")[0]["calibration"]
    assert later.keys() == {"calib"} and later["calib"].keys() == {"P0", "P1", "P2", "P3"}


@pytest.mark.parametrize(
    "version, cameras", [("2012", ("colored_0", "colored_1")), ("2012-grey", ("image_0", "image_1"))]
)
def test_2012(root, tree, version, cameras):
    pipe = load(root=root, version=version, stereo=True, occlusion=True)
    assert [s["__key__"] for s in pipe] == ["000000", "000001"]
    for sample in pipe:
        assert sample.keys() == {"__key__", "image1", "image2", "flow", "right1", "right2", "disparity", "occlusion"}
        for name, camera, time in (("image1", 0, 10), ("image2", 0, 11), ("right1", 1, 10), ("right2", 1, 11)):
            pixels = raw(tree, f"Kitti2012/training/{cameras[camera]}/{sample['__key__']}_{time}.png")
            pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
            assert np.array_equal(sample[name].permute(1, 2, 0), pixels)
        coded = raw(tree, f"Kitti2012/training/flow_occ/{sample['__key__']}_10.png")
        assert np.array_equal(sample["flow"].valid.plain(), coded[..., 2] > 0)
        assert np.array_equal(sample["flow"].fill(0)[0], (coded[..., 0] - 32768) / 64 * (coded[..., 2] > 0))
        disparity = raw(tree, f"Kitti2012/training/disp_occ/{sample['__key__']}_10.png")
        assert np.array_equal(sample["disparity"].fill(0)[0], -disparity / 256)
    assert len(load("test", root=root, version=version)) == 1


def test_the_years_do_not_mix(root):
    pictures = [load(root=root, version=v)[0]["image1"] for v in ("2015", "2012")]
    assert not torch.equal(pictures[0], pictures[1])
    digests = {
        load(root=root, **o).plan.source.digest for o in ({}, {"version": "2012"}, {"flow": "noc"}, {"stereo": True})
    }
    assert len(digests) == 4


def test_counts():
    assert [module.count(s, v) for v in ("2015", "2012", "2012-grey") for s in ("train", "test")] == [
        200,
        200,
        194,
        195,
        194,
        195,
    ]


def test_before_decoding_it_is_bytes(root):
    sample = load(root=root, stereo=True).plan.source.read(0)
    names = ("image1", "image2", "right1", "right2", "flow", "disparity", "objects")
    assert all(isinstance(sample[n], Encoded) and not sample[n].orient for n in names)
    assert sample["flow"].where["key"] == "000000"


# -- what is broken or missing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, options",
    [
        ("training/image_2/000001_11.png", {}),
        ("training/image_2/000001_10.png", {}),
        ("training/flow_occ/000001_10.png", {}),
        ("training/obj_map/000001_10.png", {}),
        ("training/flow_noc/000001_10.png", {"occlusion": True}),
        ("training/image_3/000001_11.png", {"stereo": True}),
        ("training/disp_occ_0/000001_10.png", {"stereo": True}),
        ("training/disp_occ_1/000001_10.png", {"scene_flow": True}),
        ("training/calib_velo_to_cam/000001.txt", {"calibration": True}),
        ("Kitti2012/training/colored_0/000001_11.png", {"version": "2012"}),
    ],
)
def test_a_missing_file_is_named(without, path, options):
    """And no pair after it is shifted."""
    root = without(path)
    with pytest.raises(DataError, match=rf"lack a file: {path} .* of 000001\)"):
        vdata.load("kitti_flow", root=root, **options)
    with pytest.warns(DataWarning):
        pipe = vdata.load("kitti_flow", root=root, strict=False, **options)
    assert "000001" not in [s["__key__"] for s in pipe]


def test_a_pair_without_its_pictures_is_named(without):
    """Neither picture is there, but the flow is."""
    root = without("training/image_2/000001_11.png")
    (root / "KittiFlow/training/image_2/000001_10.png").unlink()
    with pytest.raises(DataError, match="1 of 3 samples lack a file: training/image_2/000001_10"):
        vdata.load("kitti_flow", root=root)


def test_without_object_maps_there_is_no_such_field(without):
    root = without("training/obj_map/000000_10.png")
    for left in (root / "KittiFlow/training/obj_map").iterdir():
        left.unlink()
    pipe = load(root=root)
    assert "objects" not in pipe[0] and "objects" not in pipe.plan.fields


def test_trap_an_eight_bit_flow_is_refused(tree, without):
    """torchvision's own made-up flow is of 8 bits: such numbers mean nothing."""
    root = without("training/flow_occ/000001_10.png")
    wrong = (root / "KittiFlow/training/image_2/000001_10.png").read_bytes()
    (root / "KittiFlow/training/flow_occ/000001_10.png").write_bytes(wrong)
    with pytest.raises(DecodeError, match=r"16 bits and 3 channels.*key '000001'"):
        load(root=root)[1]


def test_damage_in_the_archive_names_the_sample(archives, tmp_path):
    data = bytearray((archives / "data_scene_flow.zip").read_bytes())
    with zipfile.ZipFile(archives / "data_scene_flow.zip") as file:
        data[file.getinfo("training/image_2/000001_11.png").header_offset + 200] ^= 255
    (tmp_path / "data_scene_flow.zip").write_bytes(data)
    pipe = load(root=tmp_path)
    assert pipe[0]["__key__"] == "000000"
    with pytest.raises(DataError, match="000001"):
        pipe[1]


def test_a_broken_calibration_names_the_file(without):
    root = without("training/obj_map/000000_10.png")
    shutil.rmtree(root / "KittiFlow/training/obj_map")
    (root / "KittiFlow/training/calib_imu_to_velo/000001.txt").write_text("R 1 0 0\n")
    with pytest.raises(DataError, match=r"calib_imu_to_velo/000001\.txt has a line"):
        load(root=root, calibration=True)[1]


def test_mistakes_are_explained(tmp_path, archives):
    with pytest.raises(UnknownDatasetError, match=r"data_scene_flow\.zip \(https"):
        vdata.load("kitti_flow", root=tmp_path)
    with pytest.raises(UnknownDatasetError, match=r"data_stereo_flow\.zip \(https"):
        vdata.load("kitti_flow", root=tmp_path, version="2012")
    with pytest.raises(UnknownDatasetError, match=r"data_scene_flow_calib\.zip \(https"):
        vdata.load("kitti_flow", root=tmp_path, calibration=True)
    with pytest.raises(PlanError, match="no option 'flows'"):
        vdata.load("kitti_flow", root=archives, flows="occ")
    with pytest.raises(PlanError, match="is one of"):
        vdata.load("kitti_flow", root=archives, flow="all")
    with pytest.raises(PlanError, match="no second disparity"):
        vdata.load("kitti_flow", root=archives, version="2012", scene_flow=True)


def test_fake_through_load():
    pipe = vdata.load("kitti_flow", fake=True)
    assert len(pipe) == 3 and "200" in str(vdata.info("kitti_flow"))
