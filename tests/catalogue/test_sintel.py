"""sintel: pairs by number within a scene, what torchvision leaves out, and archives that stand for each other."""

import shutil
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata import transforms as T
from vdata.errors import DataError, DataWarning, DecodeError, NoKernelError, PlanError, ShardError, UnknownDatasetError
from vdata.tensors import Flow, Image, Mask

DEPTH = "MPI-Sintel-depth-training-20150305"
CASES = [(split, name) for split in ("train", "test") for name in ("clean", "final", "both")]


def load(root, split="train", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # five pairs, and not 1,041
        return vdata.load("sintel", split, root=root, strict=False, **options)


def pixels(path):
    with Pillow.open(path) as picture:
        return np.array(picture)


@pytest.fixture
def tree(fake_root, tmp_path):
    """An extracted tree that a test may damage."""
    return shutil.copytree(fake_root("sintel")[1], tmp_path / "tree")


def moved_into(root, name, archives, wanted):
    """A zip of those members of the complete archive that are wanted."""
    root.mkdir(exist_ok=True)
    with zipfile.ZipFile(archives / "MPI-Sintel-complete.zip") as whole, zipfile.ZipFile(root / name, "w") as part:
        for member in whole.namelist():
            if member.startswith(wanted):
                part.writestr(member, whole.read(member))
    return root


@pytest.mark.parametrize("split, name", CASES)
@pytest.mark.parametrize("extracted", [False, True], ids=["archive", "tree"])
def test_as_torchvision(split, name, extracted, fake_root):
    """By key: torchvision takes scenes in the order of os.listdir."""
    ours = load(fake_root("sintel")[extracted], split, pass_name=name)
    theirs = torchvision.datasets.Sintel(fake_root("sintel")[1], split, name)
    where = {
        "/".join(first.rsplit("/", 3)[1:]).removesuffix(".png"): i for i, (first, _) in enumerate(theirs._image_list)
    }
    assert len(ours) == len(theirs) == {"train": 5, "test": 3}[split] * (2 if name == "both" else 1)
    assert {s["__key__"] for s in ours} == set(where)
    for sample in ours:
        image1, image2, flow = theirs[where[sample["__key__"]]]
        assert type(sample["image1"]) is type(sample["image2"]) is Image
        assert np.array_equal(sample["image1"].permute(1, 2, 0), np.array(image1))
        assert np.array_equal(sample["image2"].permute(1, 2, 0), np.array(image2))
        if split == "test":
            assert flow is None and sample.keys() == {"__key__", "image1", "image2", "pass_name", "scene", "frame"}
        else:
            assert type(sample["flow"]) is Flow and np.array_equal(sample["flow"], flow)


def test_trap_scenes_are_sorted_and_clean_comes_first(fake_root):
    for root in fake_root("sintel"):
        keys = [s["__key__"] for s in load(root, pass_name="both")]
        assert (
            keys == sorted(keys) and keys[0] == "clean/alley_1/frame_0001" and keys[-1] == "final/ambush_2/frame_0002"
        )
        sample = load(root, pass_name="both")[-1]
        assert (sample["pass_name"], sample["scene"], sample["frame"]) == ("final", "ambush_2", 2)


def test_trap_the_folder_is_test_whatever_torchvision_says(tree):
    assert "testing" in (torchvision.datasets.Sintel.__doc__ or "") and (tree / "Sintel/test").is_dir()
    assert len(load(tree, "test")) == len(torchvision.datasets.Sintel(tree, "test")) == 3
    (tree / "Sintel/test").rename(tree / "Sintel/testing")
    with pytest.raises((UnknownDatasetError, DataError), match=r"'test'|MPI-Sintel-complete\.zip"):
        load(tree, "test")


def test_masks_are_of_frame_1_and_bool(tree):
    for sample in load(tree):
        for field, folder in (("occlusion", "occlusions"), ("invalid", "invalid")):
            path = tree / f"Sintel/training/{folder}/{sample['__key__'].removeprefix('clean/')}.png"
            stored = pixels(path)
            assert set(np.unique(stored)) == {0, 255}
            mask = sample[field]
            assert type(mask) is Mask and mask.dtype == torch.bool and mask.frame == "image1"
            assert np.array_equal(mask, stored > 0)
            Pillow.fromarray(stored // 255).save(path)  # the README says 1
    assert all(s["occlusion"].any() and not s["occlusion"].all() for s in load(tree))


def test_without_masks_there_are_no_such_fields(tree):
    shutil.rmtree(tree / "Sintel/training/occlusions")
    pipe = load(tree)
    assert "occlusion" not in pipe[0] and "occlusion" not in pipe.plan.source.fields and "invalid" in pipe[0]


def test_albedo_is_of_both_frames(tree):
    samples = list(load(tree, pass_name="albedo"))
    assert len(samples) == 5 and all(s["__key__"].startswith("albedo/") and s["pass_name"] == "albedo" for s in samples)
    for sample, clean in zip(samples, load(tree), strict=True):
        for n in (0, 1):
            path = tree / f"Sintel/training/albedo/{sample['scene']}/frame_{sample['frame'] + n:04d}.png"
            assert np.array_equal(sample[f"image{n + 1}"].permute(1, 2, 0), pixels(path))
        assert torch.equal(sample["flow"].plain(), clean["flow"].plain())
    with pytest.raises(PlanError, match="albedo pass exists for the split 'train' only"):
        load(tree, "test", pass_name="albedo")


@pytest.mark.parametrize("inside", [False, True], ids=["training", "its own folder"])
def test_depth_and_cameras(tree, inside):
    """The archive may have its files below `training`, or below a folder of its own name."""
    stored = {}
    for part in ("depth", "camdata_left"):
        for path in (tree / "Sintel/training" / part).rglob("*.*"):
            stored[f"training/{path.relative_to(tree / 'Sintel/training')}"] = path.read_bytes()
        if inside:
            shutil.rmtree(tree / "Sintel/training" / part)
    if inside:
        with zipfile.ZipFile(tree / f"{DEPTH}.zip", "w") as archive:
            for name, data in stored.items():
                archive.writestr(f"{DEPTH}/{name}", data)
    for sample in load(tree, depth=True):
        for n in (1, 2):
            name = f"{sample['scene']}/frame_{sample['frame'] + n - 1:04d}"
            dpt, cam = stored[f"training/depth/{name}.dpt"], stored[f"training/camdata_left/{name}.cam"]
            tag, width, height = struct.unpack("<fii", dpt[:12])
            depth, inner, outer = (sample[f"{part}{n}"] for part in ("depth", "intrinsics", "extrinsics"))
            assert tag == 202021.25 and depth.shape == (1, height, width) == (1, *sample["image1"].canvas)
            assert np.array_equal(
                depth.reshape(-1), np.array(struct.unpack(f"<{width * height}f", dpt[12:]), np.float32)
            )
            assert inner.shape == (3, 3) and outer.shape == (3, 4)
            assert np.array_equal(torch.cat([inner.reshape(-1), outer.reshape(-1)]), struct.unpack("<21d", cam[4:]))


def test_transforms_refuse_a_bare_depth(tree):
    assert set(load(tree).apply(T.RandomHorizontalFlip(1))[0]) >= {"flow", "occlusion"}
    with pytest.raises(NoKernelError, match="depth1"):
        load(tree, depth=True).apply(T.RandomHorizontalFlip(1))[0]


@pytest.mark.parametrize(
    "path, change, told",
    [
        ("depth/alley_1/frame_0002.dpt", lambda d: d[:-1], "frame_0002.dpt says it is 40 x 22 pixels"),
        ("depth/alley_1/frame_0002.dpt", lambda d: b"PIEX" + d[4:], "frame_0002.dpt is no .dpt"),
        ("depth/alley_1/frame_0002.dpt", lambda d: b"", "frame_0002.dpt is no .dpt"),
        ("camdata_left/alley_1/frame_0002.cam", lambda d: d[:-8], "frame_0002.cam is no .cam: that has 172 bytes"),
    ],
)
def test_broken_depth_and_cameras(tree, path, change, told):
    place = tree / "Sintel/training" / path
    place.write_bytes(change(place.read_bytes()))
    with pytest.raises(DecodeError) as caught:
        load(tree, depth=True)[0]
    assert told in str(caught.value) and caught.value.where["key"] == "clean/alley_1/frame_0001"


def test_a_missing_frame_shifts_torchvisions_pairs(tree):
    """torchvision pairs frames 1 and 3 and gives them the flow from 1 to 2; here the missing frame is named."""
    (tree / "Sintel/training/clean/alley_1/frame_0002.png").unlink()
    theirs = torchvision.datasets.Sintel(tree, "train")
    at = [i for i, (first, _) in enumerate(theirs._image_list) if first.endswith("alley_1/frame_0001.png")][0]
    assert theirs._image_list[at][1].endswith("frame_0003.png") and theirs._flow_list[at].endswith("frame_0001.flo")
    named = r"training/clean/alley_1/frame_0002\.png"
    with pytest.raises(DataError, match=rf"2 of 5 samples lack a file: .*{named}"):
        vdata.load("sintel", root=tree)
    assert [s["__key__"] for s in load(tree)][0] == "clean/alley_1/frame_0003"
    assert len(load(tree, pass_name="final")) == 5


@pytest.mark.parametrize(
    "path",
    [
        "clean/alley_1/frame_0001.png", "clean/alley_1/frame_0004.png", "flow/alley_1/frame_0003.flo", "occlusions/alley_1/frame_0002.png",
        "invalid/alley_1/frame_0001.png", "albedo/ambush_2/frame_0003.png", "depth/ambush_2/frame_0003.dpt",
        "camdata_left/ambush_2/frame_0001.cam",
    ],
)  # fmt: skip
def test_a_missing_file_is_named(tree, path):
    (tree / "Sintel/training" / path).unlink()
    with pytest.raises(DataError, match=rf"of 5 samples lack a file: .*training/{path}"):
        vdata.load("sintel", root=tree, depth=True, pass_name="albedo" if path.startswith("albedo") else "clean")


def test_a_scene_that_one_folder_lacks_is_named(tree):
    shutil.rmtree(tree / "Sintel/training/clean/alley_1")
    with pytest.raises(DataError, match=r"3 of 5 samples lack a file: training/clean/alley_1/frame_0001\.png"):
        vdata.load("sintel", root=tree)


def test_the_two_training_archives_are_the_complete_one(fake_root, tmp_path):
    archives, _ = fake_root("sintel")
    images = tuple(f"training/{p}/" for p in ("clean", "final", "albedo"))
    extras = tuple(f"training/{p}/" for p in ("flow", "flow_viz", "occlusions", "invalid"))
    parts = moved_into(tmp_path / "parts", "MPI-Sintel-training_images.zip", archives, images)
    with pytest.raises(UnknownDatasetError, match=r", or MPI-Sintel-training_extras\.zip"):
        vdata.load("sintel", root=parts)
    moved_into(parts, "MPI-Sintel-training_extras.zip", archives, extras)
    whole, apart = ([*load(root, pass_name="both"), *load(root, pass_name="albedo")] for root in (archives, parts))
    assert len(whole) == len(apart) == 15
    for a, b in zip(whole, apart):
        assert a.keys() == b.keys()
        assert all(
            torch.equal(a[n].plain(), b[n].plain()) if isinstance(a[n], torch.Tensor) else a[n] == b[n] for n in a
        )


def test_how_many_there_should_be(tree):
    for name, times in (("clean", 1), ("both", 2)):
        with pytest.raises(DataError, match=f"should have {1_041 * times:,}"):
            vdata.load("sintel", root=tree, pass_name=name)
    with pytest.warns(DataWarning, match="should have 1,104"):
        vdata.load("sintel", "test", root=tree, pass_name="both")


def test_a_missing_set_and_a_cut_one(fake_root, tmp_path):
    with pytest.raises(
        UnknownDatasetError, match=r"MPI-Sintel-complete\.zip \(http.*, or MPI-Sintel-training_images\.zip"
    ):
        vdata.load("sintel", root=tmp_path)
    data = (fake_root("sintel")[0] / "MPI-Sintel-complete.zip").read_bytes()
    (tmp_path / "MPI-Sintel-complete.zip").write_bytes(data[:5000])
    with pytest.raises(ShardError, match=r"MPI-Sintel-complete\.zip"):
        vdata.load("sintel", root=tmp_path)
    with pytest.raises(UnknownDatasetError, match=DEPTH):
        vdata.load("sintel", root=fake_copy(fake_root, tmp_path / "nodepth"), depth=True)


def fake_copy(fake_root, target):
    target.mkdir()
    shutil.copy(fake_root("sintel")[0] / "MPI-Sintel-complete.zip", target)
    return target
