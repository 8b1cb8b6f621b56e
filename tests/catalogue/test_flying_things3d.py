"""flying_things3d: frames and flows joined by scene and number, forward and backward, and the other camera."""

import io
import random
import re
import shutil
import tarfile
import warnings

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata import transforms as T
from vdata.errors import (
    DataError,
    DataWarning,
    DecodeError,
    NoIndexError,
    NoKernelError,
    PlanError,
    TruncatedShardError,
    UnknownDatasetError,
)
from vdata.listing import ArchiveStream
from vdata.tensors import Flow, Image, Mask

FLOWS = "flyingthings3d__optical_flow.tar.bz2"
SETTINGS = [(s, p, c) for s in ("train", "test") for p in ("clean", "final", "both") for c in ("left", "right", "both")]


def load(root, split="train", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # eight pairs, and not 40,302
        return vdata.load("flying_things3d", split, root=root, strict=False, **options)


def read(pipe):
    """All samples of a stream, which counts when it is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return list(pipe)


def keys(pipe):
    return [s["__key__"] for s in pipe]


def picture(path):
    with Pillow.open(path) as image:
        return np.array(image)


def pfm(path):
    """Rows from the top, by hand."""
    kind, size, scale, rest = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert float(scale) < 0
    return np.frombuffer(rest, "<f4").reshape(height, width, {b"PF": 3, b"Pf": 1}[kind])[::-1]


@pytest.fixture
def tree(fake_root, tmp_path):
    """An extracted tree that a test may damage."""
    return shutil.copytree(fake_root("flying_things3d")[1], tmp_path / "tree")


@pytest.fixture
def archives(fake_root, tmp_path):
    return shutil.copytree(fake_root("flying_things3d")[0], tmp_path / "archives")


def pack(archives, members):
    """The archive of flows with other members, or in another order."""
    with tarfile.open(archives / FLOWS, "w:bz2") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def unpack(archives):
    with tarfile.open(archives / FLOWS) as archive:
        return [(entry.name, archive.extractfile(entry).read()) for entry in archive if entry.isreg()]


@pytest.mark.parametrize("split, name, camera", SETTINGS)
def test_as_torchvision(split, name, camera, fake_root):
    """Sample by sample: pass, then camera, then direction, then scene."""
    _, tree = fake_root("flying_things3d")
    ours, theirs = (
        load(tree, split, pass_name=name, camera=camera),
        torchvision.datasets.FlyingThings3D(tree, split, name, camera),
    )
    assert (
        len(ours) == len(theirs) == {"train": 8, "test": 4}[split] * (1 + (name == "both")) * (1 + (camera == "both"))
    )
    for sample, (image1, image2, flow) in zip(ours, theirs):
        assert type(sample["image1"]) is type(sample["image2"]) is Image and type(sample["flow"]) is Flow
        assert np.array_equal(sample["image1"].permute(1, 2, 0), np.array(image1))
        assert np.array_equal(sample["image2"].permute(1, 2, 0), np.array(image2))
        assert np.array_equal(sample["flow"], flow)


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_compressed_flows_are_a_stream_of_the_same_samples(archives, tree, shuffled):
    """All four of its pictures' tars are read at random, the flows in whatever order they lie."""
    if shuffled:
        members = unpack(archives)
        random.Random(0).shuffle(members)
        pack(archives, members)
    options = {"pass_name": "both", "camera": "both"}
    stream = load(archives, **options)
    assert isinstance(stream.plan.source, ArchiveStream)
    expected = {s["__key__"]: s for s in load(tree, **options)}
    for sample in read(stream):
        wanted = expected.pop(sample["__key__"])
        assert sample.keys() == wanted.keys()
        for field, value in wanted.items():
            assert (
                torch.equal(sample[field].plain(), value.plain())
                if isinstance(value, torch.Tensor)
                else sample[field] == value
            )
    assert not expected


def test_unpacked_flows_are_read_at_random(archives, fake_root):
    """`bunzip2` alone gives every sample an index."""
    with tarfile.open(archives / FLOWS.removesuffix(".bz2"), "w") as plain:
        for name, data in unpack(archives):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            plain.addfile(entry, io.BytesIO(data))
    (archives / FLOWS).unlink()
    assert keys(load(archives)) == keys(load(fake_root("flying_things3d")[1]))
    assert load(archives)[3]["flow"].isfinite().all()


def test_backward_is_the_flow_of_the_other_direction(tree):
    for sample in load(tree, camera="both"):
        first = sample["frame"]
        second = first + 1 if sample["direction"] == "into_future" else first - 1
        names = {"into_future": "OpticalFlowIntoFuture", "into_past": "OpticalFlowIntoPast"}
        back = "into_past" if sample["direction"] == "into_future" else "into_future"
        for field, direction, frame in (("flow", sample["direction"], first), ("flow_backward", back, second)):
            folder = tree / f"FlyingThings3D/optical_flow/TRAIN/{sample['scene']}/{direction}/{sample['camera']}"
            rows = pfm(folder / f"{names[direction]}_{frame:04d}_{sample['camera'][0].upper()}.pfm")
            assert not rows[..., 2].any()  # the third channel is not part of the flow
            assert np.array_equal(sample[field].permute(1, 2, 0), rows[..., :2])
        assert sample["flow"].views == ("image1", "image2") and sample["flow_backward"].views == ("image2", "image1")
        shown = tree / f"FlyingThings3D/frames_cleanpass/TRAIN/{sample['scene']}/{sample['camera']}"
        assert np.array_equal(sample["image1"].permute(1, 2, 0), picture(shown / f"{first:04d}.png"))
        assert np.array_equal(sample["image2"].permute(1, 2, 0), picture(shown / f"{second:04d}.png"))


def test_directions_and_the_flows_without_partner(tree):
    """Frames 6 to 8: the flow of 8 into the future and that of 6 into the past lead out of the scene."""
    assert (
        tree / "FlyingThings3D/optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0008_L.pfm"
    ).exists()
    future, past = (keys(load(tree, direction=d)) for d in ("into_future", "into_past"))
    assert future == [f"clean/{s}/left/into_future/{n:04d}" for s in ("A/0000", "C/0003") for n in (6, 7)]
    assert past == [f"clean/{s}/left/into_past/{n:04d}" for s in ("A/0000", "C/0003") for n in (7, 8)]
    assert keys(load(tree)) == future + past


def test_trap_a_missing_scene_shifts_torchvisions_pairs(tree):
    """torchvision gives the frames of scene C/0003 the flow of A/0000, of another size; here the missing frames are named."""
    shutil.rmtree(tree / "FlyingThings3D/frames_cleanpass/TRAIN/A/0000")
    image1, _, flow = torchvision.datasets.FlyingThings3D(tree, "train")[0]
    assert image1.size[::-1] == (14, 20) and flow.shape[1:] == (12, 20)
    with pytest.raises(
        DataError, match=r"4 of 8 samples lack a file: frames_cleanpass/TRAIN/A/0000/left/0006\.png \(image1 of "
    ):
        vdata.load("flying_things3d", root=tree)
    for sample in load(tree):
        assert sample["scene"] == "C/0003" and sample["flow"].canvas == sample["image1"].canvas == (14, 20)


@pytest.mark.parametrize(
    "path, lacking",
    [
        ("frames_cleanpass/TRAIN/A/0000/left/0007.png", 4),
        ("frames_cleanpass/TRAIN/A/0000/left/0008.png", 2),
        ("frames_cleanpass/TRAIN/A/0000/right/0006.png", 2),
        ("optical_flow/TRAIN/C/0003/into_future/left/OpticalFlowIntoFuture_0007_L.pfm", 2),
        ("optical_flow/TRAIN/C/0003/into_past/left/OpticalFlowIntoPast_0007_L.pfm", 2),
        ("disparity/TRAIN/A/0000/left/0007.pfm", 2),
        ("disparity_change/TRAIN/A/0000/into_past/left/0007.pfm", 1),
        ("object_index/TRAIN/A/0000/left/0006.pfm", 1),
        ("camera_data/TRAIN/A/0000/camera_data.txt", 4),
    ],
)
def test_a_missing_file_is_named(tree, path, lacking):
    (tree / "FlyingThings3D" / path).unlink()
    with pytest.raises(DataError, match=f"{lacking} of 8 samples lack a file: .*{path}"):
        vdata.load("flying_things3d", root=tree, stereo=True, disparity_change=True, objects=True, cameras=True)


def test_a_flow_that_the_archive_lacks_is_named(archives):
    pack(
        archives,
        [
            (n, d)
            for n, d in unpack(archives)
            if not n.endswith("TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm")
        ],
    )
    with pytest.raises(DataError, match=r"2 of 8 samples lack a file: .*OpticalFlowIntoFuture_0006_L\.pfm"):
        list(vdata.load("flying_things3d", root=archives))


def test_stereo(tree):
    for sample in load(tree, stereo=True):
        scene = f"FlyingThings3D/{{}}/TRAIN/{sample['scene']}"
        second = sample["frame"] + (1 if sample["direction"] == "into_future" else -1)
        for n, frame in ((1, sample["frame"]), (2, second)):
            shown = picture(tree / scene.format("frames_cleanpass") / f"right/{frame:04d}.png")
            assert np.array_equal(sample[f"right{n}"].permute(1, 2, 0), shown)
        stored = pfm(tree / scene.format("disparity") / f"left/{sample['frame']:04d}.pfm")[..., 0]
        disparity = sample["disparity"]
        assert type(disparity) is Flow and disparity.views == ("image1", "right1") and not disparity.sparse
        assert stored.min() >= 0 and np.array_equal(disparity[0], -stored) and not disparity[1].any()
    with pytest.raises(PlanError, match="camera='right'"):
        load(tree, stereo=True, camera="right")


def test_disparity_change_and_objects(tree):
    for sample in load(tree, disparity_change=True, objects=True, camera="both"):
        path = f"{sample['scene']}/{sample['direction']}/{sample['camera']}/{sample['frame']:04d}.pfm"
        stored = pfm(tree / f"FlyingThings3D/disparity_change/TRAIN/{path}")
        assert sample["disparity_change"].dtype == torch.float32 and np.array_equal(
            sample["disparity_change"][0], stored[..., 0]
        )
        ids = pfm(tree / f"FlyingThings3D/object_index/TRAIN/{path.replace(sample['direction'] + '/', '')}")[..., 0]
        objects = sample["objects"]
        assert type(objects) is Mask and objects.dtype == torch.int32 and objects.frame == "image1"
        assert np.array_equal(objects, ids.astype(int)) and len(np.unique(ids)) > 2


def test_transforms_move_flow_both_ways_and_refuse_a_bare_map(tree):
    flip = T.RandomVerticalFlip(1)
    plain, flipped = load(tree, stereo=True)[0], load(tree, stereo=True).apply(flip)[0]
    for field in ("flow", "flow_backward", "disparity"):
        moved = torch.stack([plain[field][0].flip(0), -plain[field][1].flip(0)])
        assert torch.equal(flipped[field].plain(), moved)
    with pytest.raises(NoKernelError, match="disparity_change"):
        load(tree, disparity_change=True).apply(flip)[0]
    passed = load(tree, disparity_change=True).apply(flip, passthrough=("disparity_change",))[0]
    assert torch.equal(passed["disparity_change"], load(tree, disparity_change=True)[0]["disparity_change"])


def test_cameras(tree):
    for sample in load(tree, cameras=True, camera="both"):
        text = (tree / f"FlyingThings3D/camera_data/TRAIN/{sample['scene']}/camera_data.txt").read_text()
        second = sample["frame"] + (1 if sample["direction"] == "into_future" else -1)
        for n, frame in ((1, sample["frame"]), (2, second)):
            block = re.search(rf"Frame {frame}\nL (.+)\nR (.+)\n", text)
            wanted = np.array(block[1 if sample["camera"] == "left" else 2].split(), float).reshape(4, 4)
            assert sample[f"camera{n}"].dtype == torch.float64 and np.array_equal(sample[f"camera{n}"], wanted)


def test_a_frame_without_camera_is_nan(tree):
    path = tree / "FlyingThings3D/camera_data/TRAIN/A/0000/camera_data.txt"
    path.write_text("\n".join(path.read_text().splitlines()[4:]))  # without frame 6
    first, second = load(tree, cameras=True)[0], load(tree, cameras=True)[1]
    assert first["frame"] == 6 and first["camera1"].isnan().all() and first["camera2"].isfinite().all()
    assert second["camera1"].isfinite().all()


@pytest.mark.parametrize("line", ["L 1 2 3", "Frame six", "R " + "x " * 16, "Q 1"])
def test_a_broken_camera_file_names_its_line(tree, line):
    path = tree / "FlyingThings3D/camera_data/TRAIN/C/0003/camera_data.txt"
    path.write_text(f"Frame 6\n{line}\n")
    with pytest.raises(DecodeError, match=r"line 2 of camera_data/TRAIN/C/0003/camera_data\.txt"):
        load(tree, cameras=True)


@pytest.mark.parametrize(
    "line, message",
    [
        ("Frame 7", r"line 4 of .*camera_data\.txt .*frame 6 has a line of L already"),
        ("L", r"frame 7 of camera_data/TRAIN/C/0003/camera_data\.txt has no left camera"),
        ("R", r"frame 7 of camera_data/TRAIN/C/0003/camera_data\.txt has no right camera"),
    ],
)
def test_trap_a_lost_line_gives_no_frame_the_pose_of_another(tree, line, message):
    """That of "Frame 7" would make its two cameras those of frame 6."""
    path = tree / "FlyingThings3D/camera_data/TRAIN/C/0003/camera_data.txt"
    rows = [row for row in path.read_text().splitlines() if row]
    after = rows.index("Frame 7")
    lost = next(n for n in range(after, len(rows)) if rows[n].startswith(line))
    path.write_text("\n".join(rows[:lost] + rows[lost + 1 :]))
    with pytest.raises(DecodeError, match=message):
        load(tree, cameras=True)
    path.write_text("\n".join([*rows, "Frame 6", *rows[1:3]]))  # a frame given twice
    with pytest.raises(DecodeError, match="frame 6 has a line of L already"):
        load(tree, cameras=True)


def test_unused_files_are_left_out_when_asked(tree):
    """The list names frame 8 of A/0000: its pairs go, in all directions and cameras."""
    everything, used = (keys(load(tree, camera="both", skip_unused=skip)) for skip in (False, True))
    assert [k for k in everything if k not in used] == [
        f"clean/A/0000/{side}/{direction}"
        for side in ("left", "right")
        for direction in ("into_future/0007", "into_past/0008")
    ]
    path = tree / "FlyingThings3D/all_unused_files.txt"
    path.write_text("TRAIN/A/0000/right/0006.png\n")  # one camera's frame stands for both
    assert "clean/A/0000/left/into_future/0006" not in keys(load(tree, skip_unused=True))
    path.write_text("TRAIN/A/0000/left/0008.png\nTRAIN/A\n")
    with pytest.raises(DecodeError, match=r"line 2 of all_unused_files\.txt is 'TRAIN/A'"):
        load(tree, skip_unused=True)
    path.unlink()
    with pytest.raises(UnknownDatasetError, match=r"all_unused_files\.txt \(https://"):
        load(tree, skip_unused=True)
    assert len(load(tree)) == 8


def test_only_the_archives_of_the_pass_are_needed(archives):
    (archives / "flyingthings3d__frames_finalpass.tar").unlink()
    assert len(read(load(archives))) == 8
    with pytest.raises(UnknownDatasetError, match=r"flyingthings3d__frames_finalpass\.tar \(https://"):
        load(archives, pass_name="both")


def test_two_compressed_archives_need_an_index(archives):
    plain = archives / "flyingthings3d__disparity.tar"
    with (
        tarfile.open(archives / "flyingthings3d__disparity.tar.bz2", "w:bz2") as packed,
        tarfile.open(plain) as members,
    ):
        for entry in members:
            packed.addfile(entry, members.extractfile(entry) if entry.isreg() else None)
    plain.unlink()
    assert len(read(load(archives))) == 8  # who does not ask for stereo does not open the disparity
    with pytest.raises(NoIndexError, match=r"side by side: `vdata index flying_things3d`"):
        read(load(archives, stereo=True))


def test_a_cut_archive(archives):
    data = (archives / FLOWS).read_bytes()
    (archives / FLOWS).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(TruncatedShardError, match=r"optical_flow\.tar\.bz2"):
        list(vdata.load("flying_things3d", root=archives))


def test_a_cut_flow_names_the_sample(tree):
    path = tree / "FlyingThings3D/optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DecodeError, match="clean/A/0000/left/into_future/0006"):
        load(tree)[0]


def test_how_many_there_should_be(tree):
    for options, count in (
        ({}, 40_302),
        ({"pass_name": "both", "camera": "both"}, 161_208),
        ({"direction": "into_past"}, 20_151),
    ):
        with pytest.warns(DataWarning, match=f"should have {count:,}"):
            vdata.load("flying_things3d", root=tree, **options)
    vdata.load("flying_things3d", root=tree, skip_unused=True)  # how many the list leaves is not known
