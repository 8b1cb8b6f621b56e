"""FlyingThings3D: things that fly through rendered scenes, seen by two cameras; dense flow forward and backward in time.

Frames and flows are joined by scene and by the number in their names. A list of folders beside another would shift all
that comes after a scene that one of them lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata.annotations import lines
from vdata.annotations.boxes import real, whole
from vdata.card import Archive, Card, Option
from vdata.datasets._frames import merged, numbers, pairs
from vdata.encoded import read_encoded
from vdata.errors import DecodeError, PlanError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.testing import flow as random_flow
from vdata.testing import pfm, photo, png, tar_file

_PASSES = {"clean": ("clean",), "final": ("final",), "both": ("clean", "final")}
_CAMERAS = {"left": ("left",), "right": ("right",), "both": ("left", "right")}
_DIRECTIONS = {"both": ("into_future", "into_past"), "into_future": ("into_future",), "into_past": ("into_past",)}
_UNUSED = "all_unused_files.txt"

_PICTURE = Field("Image", "uint8", (3, "H", "W"), doc="540 x 960")
_RIGHT = Field("Image", "uint8", (3, "H", "W"), optional=True, doc="the right camera; with stereo=True")
_CAMERA = Field(
    "tensor",
    "float64",
    (4, 4),
    optional=True,
    doc="as the file has it, NaN where it lacks the frame; transforms refuse it unless it is passed through: "
    '.apply(..., passthrough=("camera1", "camera2")); with cameras=True',
)
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field("Flow", "float32", (2, "H", "W"), meta={"views": ("image1", "image2")}, doc="known everywhere"),
    "flow_backward": Field("Flow", "float32", (2, "H", "W"), meta={"views": ("image2", "image1")}, doc="known everywhere"),
    "right1": _RIGHT,
    "right2": _RIGHT,
    "disparity": Field("Flow", "float32", (2, "H", "W"), codec="pfm_disparity", meta={"views": ("image1", "right1")},
                       doc="(-disparity, 0): where image1's pixels are in right1; with stereo=True", optional=True),
    "disparity_change": Field("tensor", "float32", (1, "H", "W"), optional=True,
                              doc="from image1's moment to image2's; transforms refuse it unless it is passed through: "
                              '.apply(..., passthrough=("disparity_change",)); with disparity_change=True'),
    "objects": Field("Mask", "int32", ("H", "W"), meta={"kind": "semantic", "frame": "image1"}, optional=True,
                     doc="which object a pixel of image1 shows; with objects=True"),
    "camera1": _CAMERA,
    "camera2": _CAMERA,
    "pass_name": Field("str", doc="clean or final"),
    "camera": Field("str", doc="left or right"),
    "direction": Field("str", doc="into_future: image2 is the next frame; into_past: the one before"),
    "scene": Field("str", doc="letter and number, A/0000: frames of one scene belong together"),
    "frame": Field("int", doc="the number of image1"),
}  # fmt: skip
_HOST = "https://lmb.informatik.uni-freiburg.de"
_RAW = f"{_HOST}/data/SceneFlowDatasets_CVPR16/Release_april16/data/FlyingThings3D/raw_data"
_DERIVED = f"{_HOST}/data/SceneFlowDatasets_CVPR16/Release_april16/data/FlyingThings3D/derived_data"
_AUGUST = f"{_HOST}/data/SceneFlowDatasets_CVPR16/CameraData_august16/data/FlyingThings3D/raw_data"


def _archive(part: str, host: str, suffix: str = ".tar.bz2", **rest: Any) -> Archive:
    name = f"flyingthings3d__{part}{suffix}"
    return Archive(name, f"{host}/{name}", tree=part, **rest)


def _switch(doc: str) -> Option:
    return Option(False, (False, True), doc)


card = Card(
    name="flying_things3d",
    title="FlyingThings3D",
    task="optical flow, stereo",
    home=f"{_HOST}/resources/datasets/SceneFlowDatasets.en.html",
    licence="research only, no commercial use",
    citation="Mayer, Ilg, Haeusser, Fischer, Cremers, Dosovitskiy and Brox, A Large Dataset to Train Convolutional Networks for "
    "Disparity, Optical Flow, and Scene Flow Estimation, CVPR 2016, arXiv:1512.02134",
    splits={"train": 40_302, "test": 7_866},
    fields=_FIELDS,
    archives=(
        _archive("frames_cleanpass", _RAW, ".tar", when={"pass_name": ("clean", "both")}),
        _archive("frames_finalpass", _RAW, ".tar", when={"pass_name": ("final", "both")}),
        _archive("optical_flow", _DERIVED),
        _archive("disparity", _DERIVED, when={"stereo": (True,)}),
        _archive("disparity_change", _DERIVED, when={"disparity_change": (True,)}),
        _archive("object_index", _DERIVED, when={"objects": (True,)}),
        _archive("camera_data", _AUGUST, ".tar", when={"cameras": (True,)}),
        Archive(_UNUSED, f"{_HOST}/resources/datasets/SceneFlow/assets/{_UNUSED}", when={"skip_unused": (True,)}),
    ),
    options={
        "pass_name": Option("clean", tuple(_PASSES), "with blur and depth of field (final), or without; clean comes first"),
        "camera": Option("left", tuple(_CAMERAS), "the camera of image1 and image2; left comes first"),
        "direction": Option("both", tuple(_DIRECTIONS), "in time, from image1 to image2; both: every pair of frames is two samples"),
        "stereo": _switch("also the right camera's pictures, and the disparity; needs camera='left'"),
        "disparity_change": _switch("also how the disparity changes"),
        "objects": _switch("also which object each pixel shows"),
        "cameras": _switch("also where the camera was"),
        "skip_unused": _switch(f"without the pairs of which {_UNUSED} names a frame: its authors left them out"),
    },
    folder="FlyingThings3D",
    notes=(
        "hundreds of gigabytes, and no checksum is published; torrents are offered on the page",
        "the frames are plain tars, with any member at once; the flow is one .tar.bz2 of some 311 GB: without an index it is read in "
        "its own order, and two such archives cannot be read side by side",
        "the numbers are 2,239 and 437 scenes of ten frames, from the literature",
        "names and formats of disparity, disparity change, objects and cameras are as others' programs read them; the addresses of "
        "the objects' archive and of the list of unused files are likely ones: none was checked",
        "WebP versions of the frames exist and are not read, nor are material_index and motion_boundaries",
    ),
    unsure=("train", "test"),
)  # fmt: skip


def count(split: str, pass_name: str, camera: str, direction: str, skip_unused: bool, **_: Any) -> int | None:
    scenes = {"train": 2_239, "test": 437}[split]
    times = len(_PASSES[pass_name]) * len(_CAMERAS[camera]) * len(_DIRECTIONS[direction])
    return None if skip_unused else scenes * 9 * times


def samples(
    files: Files, split: str, *, pass_name: str, camera: str, direction: str, skip_unused: bool, **extras: bool
) -> Iterator[dict[str, Any]]:
    """By pass, camera, direction, scene and frame; `__key__` is "clean/A/0000/left/into_future/0006"."""
    if extras["stereo"] and camera != "left":
        raise PlanError(
            f"flying_things3d: the disparity leads from the left picture to the right one, and camera={camera!r}"
        )
    part = split.upper()
    unused = _unused(files) if skip_unused else set()
    poses: dict[str, _Poses] = {}
    for name, side in product(_PASSES[pass_name], _CAMERAS[camera]):
        frames = _frames(files, part, name, side)
        for course, (scene, seen) in product(_DIRECTIONS[direction], frames.items()):
            for pair in pairs(seen):
                if not unused.isdisjoint((part, scene, frame) for frame in pair):
                    continue
                first, second = pair if course == "into_future" else pair[::-1]
                record = {"__key__": f"{name}/{scene}/{side}/{course}/{first:04d}", "pass_name": name, "camera": side,
                          "direction": course, "scene": scene, "frame": first}  # fmt: skip
                record |= _paths(part, record, second, extras)
                if extras["cameras"]:
                    path = record["camera_data"] = File(f"camera_data/{part}/{scene}/camera_data.txt")
                    if scene not in poses:
                        poses[scene] = _poses(files, path) if path in files else {}
                    record["camera1"], record["camera2"] = (poses[scene].get((n, side), []) for n in (first, second))
                yield record


def _frames(files: Files, part: str, name: str, side: str) -> dict[str, set[int]]:
    """Scene -> the numbers of frames that a picture or a flow is there of: what one of them lacks will be named."""
    shown = numbers(files.glob(f"frames_{name}pass/{part}/*/*/{side}/*.png"), r".*/([^/]+/[^/]+)/[^/]+/(\d+)\.png")
    flow_name = r".*/([^/]+/[^/]+)/[^/]+/[^/]+/OpticalFlow\w+_(\d+)_[LR]\.pfm"
    flows = [
        numbers(files.glob(f"optical_flow/{part}/*/*/{course}/{side}/*.pfm"), flow_name)
        for course in _DIRECTIONS["both"]
    ]
    return merged(shown, *flows)


def _paths(part: str, about: Mapping[str, Any], second: int, extras: Mapping[str, bool]) -> dict[str, File]:
    """Field -> file."""
    scene, side, course, first = f"{part}/{about['scene']}", about["camera"], about["direction"], about["frame"]
    back = "into_past" if course == "into_future" else "into_future"
    pictures = f"frames_{about['pass_name']}pass/{scene}"
    paths = {
        "image1": f"{pictures}/{side}/{first:04d}.png",
        "image2": f"{pictures}/{side}/{second:04d}.png",
        "flow": _flow_path(scene, course, side, first),
        "flow_backward": _flow_path(scene, back, side, second),
    }
    if extras["stereo"]:
        paths |= {f"right{n}": f"{pictures}/right/{frame:04d}.png" for n, frame in enumerate((first, second), 1)}
        paths["disparity"] = f"disparity/{scene}/{side}/{first:04d}.pfm"
    if extras["disparity_change"]:
        paths["disparity_change"] = f"disparity_change/{scene}/{course}/{side}/{first:04d}.pfm"
    if extras["objects"]:
        paths["objects"] = f"object_index/{scene}/{side}/{first:04d}.pfm"
    return {field: File(path) for field, path in paths.items()}


def _flow_path(scene: str, course: str, side: str, frame: int) -> str:
    name = f"OpticalFlow{'IntoFuture' if course == 'into_future' else 'IntoPast'}_{frame:04d}_{side[0].upper()}.pfm"
    return f"optical_flow/{scene}/{course}/{side}/{name}"


def _unused(files: Files) -> set[tuple[str, str, int]]:
    """(TRAIN or TEST, scene, frame) of the lines such as TRAIN/A/0024/left/0008.png; one camera's frame stands for both."""
    found = set()
    for place, line in enumerate(lines(files, _UNUSED), 1):
        match = re.search(r"(TRAIN|TEST)/([^/]+/[^/]+)/(?:left|right)/([0-9]{1,9})\.\w+$", line)
        if match is None:
            raise DecodeError(f"line {place} of {_UNUSED} is {line[:200]!r}, and names no frame", url=files.url)
        found.add((match[1], match[2], int(match[3])))
    return found


_Poses = dict[tuple[int, str], list[float]]


def _poses(files: Files, path: str) -> _Poses:
    """(frame, camera) -> its 16 numbers. "Frame 6" is followed by a line of L and one of R, each with a matrix row by row."""
    poses: _Poses = {}
    frames = [-1]
    for place, line in enumerate(lines(files, path), 1):
        head, *words = line.split()
        try:
            if head == "Frame" and len(words) == 1:
                frames.append(whole(words[0]))
            elif head in ("L", "R") and len(words) == 16 and frames[-1] >= 0:
                camera = frames[-1], {"L": "left", "R": "right"}[head]
                if camera in poses:
                    raise ValueError(f"frame {frames[-1]} has a line of {head} already")
                poses[camera] = [real(word) for word in words]
            else:
                raise ValueError(f"it has {len(words)} words after {head!r}")
        except ValueError as error:
            what = f"line {place} of {path} is neither a frame's number nor a camera's 16 numbers: {error}"
            raise DecodeError(what, url=files.url) from error
    for frame, camera in product(frames[1:], _CAMERAS["both"]):
        if (frame, camera) not in poses:
            raise DecodeError(f"frame {frame} of {path} has no {camera} camera", url=files.url)
    return poses


def sample(files: Files, record: Mapping[str, Any], **_: Any) -> Sample:
    at_rest = [n for n in _FIELDS if isinstance(record.get(n), File)]
    out: Sample = {name: read_encoded(files, record, name, _FIELDS[name]) for name in at_rest}
    for name in ("camera1", "camera2"):
        if name in record:
            out[name] = torch.tensor(record[name] or [torch.nan] * 16, dtype=torch.float64).reshape(4, 4)
    return out | {name: record[name] for name in ("pass_name", "camera", "direction", "scene", "frame")}


def fake(root: Path) -> None:
    """Frames 0006 to 0008 of two scenes, with a gap in the scenes' numbers, for train, and of one for test.

    Only the flow is compressed; the others are as bunzip2 leaves them, since two compressed tars need an index to be
    read side by side.
    """
    parts: dict[str, dict[str, bytes]] = {}

    def put(path: str, data: bytes) -> None:
        parts.setdefault(path.partition("/")[0], {})[path] = data

    for place, scene in enumerate(("TRAIN/A/0000", "TRAIN/C/0003", "TEST/B/0001")):
        size = 12 + 2 * place, 20
        poses = ""
        for frame, (shift, side) in product((6, 7, 8), enumerate(("left", "right"))):
            seed = place, frame, shift
            for kind, name in enumerate(("clean", "final")):
                put(f"frames_{name}pass/{scene}/{side}/{frame:04d}.png", png(photo(*size, *seed, kind)))
            for kind, course in enumerate(_DIRECTIONS["both"]):
                third = np.zeros((1, *size), np.float32)
                rows = np.concatenate([random_flow(*size, *seed, kind).numpy(), third]).transpose(1, 2, 0)
                put(_flow_path(scene, course, side, frame), pfm(rows))
                change = random_flow(*size, *seed, kind, 2, most=1).numpy()[0]
                put(f"disparity_change/{scene}/{course}/{side}/{frame:04d}.pfm", pfm(change))
            put(f"disparity/{scene}/{side}/{frame:04d}.pfm", pfm(random_flow(*size, *seed, 3).abs().numpy()[0]))
            put(
                f"object_index/{scene}/{side}/{frame:04d}.pfm", pfm(photo(*size, *seed, 4).numpy()[0] // np.float32(64))
            )
            pose = np.random.default_rng(seed).normal(size=16).round(6)
            head = f"Frame {frame}\nL" if side == "left" else "R"
            poses += f"{head} {' '.join(map(str, pose))}\n" + ("\n" if side == "right" else "")
        put(f"camera_data/{scene}/camera_data.txt", poses.encode())
    for part, members in parts.items():
        name = f"flyingthings3d__{part}.tar"
        tar_file(root / (f"{name}.bz2" if part == "optical_flow" else name), members)
    (root / _UNUSED).write_text("TRAIN/A/0000/left/0008.png\nTRAIN/A/0000/right/0008.png\nTRAIN/B/0009/left/0006.png\n")
