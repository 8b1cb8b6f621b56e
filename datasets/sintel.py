"""MPI Sintel: an animated film rendered with its flow, masks of what is hidden, depth and cameras.

Frames are paired by number within a scene. The test pictures lie in `test`, not in `testing`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata import codecs
from vdata.card import Archive, Card, Option
from vdata.datasets._frames import merged, numbers, pairs
from vdata.encoded import read_encoded
from vdata.errors import DecodeError, PlanError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Mask
from vdata.testing import flow, photo, png, zip_file

_FOLDERS = {"train": "training", "test": "test"}
_PASSES = {"clean": ("clean",), "final": ("final",), "both": ("clean", "final"), "albedo": ("albedo",)}
_MASKS = {"occlusion": "occlusions", "invalid": "invalid"}
_DEPTH = "MPI-Sintel-depth-training-20150305"
_TAG = b"PIEH"  # what .flo, .dpt and .cam begin with: 202021.25 as float32

_PICTURE = Field("Image", "uint8", (3, "H", "W"), doc="436 x 1024")
_FLAGS = {"kind": "semantic", "frame": "image1"}
_DEEP = Field(
    "tensor",
    "float32",
    (1, "H", "W"),
    optional=True,
    doc='transforms refuse it unless it is passed through: .apply(..., passthrough=("depth1", "depth2")); train, with depth=True',
)
_INTRINSICS = Field(
    "tensor", "float64", (3, 3), optional=True, doc="camera coordinates to pixels; train, with depth=True"
)
_EXTRINSICS = Field(
    "tensor", "float64", (3, 4), optional=True, doc="world to camera coordinates; train, with depth=True"
)
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field(
        "Flow", "float32", (2, "H", "W"), meta={"views": ("image1", "image2")}, doc="known everywhere; train only"
    ),
    "occlusion": Field(
        "Mask", "bool", ("H", "W"), meta=_FLAGS, optional=True, doc="of image1, hidden in image2; train only"
    ),
    "invalid": Field(
        "Mask", "bool", ("H", "W"), meta=_FLAGS, optional=True, doc="flow of image1 not to be trusted; train only"
    ),
    "depth1": _DEEP,
    "depth2": _DEEP,
    "intrinsics1": _INTRINSICS,
    "intrinsics2": _INTRINSICS,
    "extrinsics1": _EXTRINSICS,
    "extrinsics2": _EXTRINSICS,
    "pass_name": Field("str", doc="clean, final or albedo"),
    "scene": Field("str", doc="frames of one scene belong together"),
    "frame": Field("int", doc="the number of image1"),
}
_HOST = "http://files.is.tue.mpg.de"

card = Card(
    name="sintel",
    title="MPI Sintel",
    task="optical flow",
    home="http://sintel.is.tue.mpg.de/",
    licence="free for research (not verified); the film is CC BY 3.0 of the Blender Foundation",
    citation="Butler, Wulff, Stanley and Black, A naturalistic open source movie for optical flow evaluation, ECCV 2012",
    splits={"train": 1_041, "test": 552},
    fields=_FIELDS,
    absent={"test": tuple(n for n in _FIELDS if n not in ("image1", "image2", "pass_name", "scene", "frame"))},
    archives=(
        Archive("MPI-Sintel-complete.zip", f"{_HOST}/sintel/MPI-Sintel-complete.zip",
                sha256="bdc80abbe6ae13f96f6aa02e04d98a251c017c025408066a00204cd2c7104c5f",
                mirrors=("http://sintel.cs.washington.edu/MPI-Sintel-complete.zip",), group=("pictures", "truth"),
                tree={"train": "training/flow", "test": "test/clean"}),
        Archive("MPI-Sintel-training_images.zip", f"{_HOST}/sintel/MPI-Sintel-training_images.zip",
                group="pictures", when={"split": ("train",)}, tree="training/clean"),
        Archive("MPI-Sintel-training_extras.zip", f"{_HOST}/sintel/MPI-Sintel-training_extras.zip",
                group="truth", when={"split": ("train",)}, tree="training/flow"),
        Archive(f"{_DEPTH}.zip", f"{_HOST}/jwulff/sintel/{_DEPTH}.zip",
                when={"split": ("train",), "depth": (True,)}, tree=("training/depth", f"{_DEPTH}/training/depth")),
    ),
    options={
        "pass_name": Option("clean", ("clean", "final", "both", "albedo"),
                            "with fog, blur and depth of field (final), or without; both: clean first; albedo: no light and shade, train only"),
        "depth": Option(False, (False, True), "also the depth, and the cameras"),
    },
    folder="Sintel",
    notes=(
        "the complete archive brings all but depth; for train, the two archives of training images and extras together do as well",
        "the number of training pairs was confirmed; that of test, 564 frames in 12 scenes, was not",
        "torchvision takes scenes in the order in which the file system lists them; here they are sorted",
        "the archive's sha256 is from an unmerged proposal to torchvision; depth and camera files were not checked against real ones",
    ),
    unsure=("test",),
)  # fmt: skip


def count(split: str, pass_name: str, **_: Any) -> int:
    return {"train": 1_041, "test": 552}[split] * len(_PASSES[pass_name])


def samples(files: Files, split: str, *, pass_name: str, depth: bool) -> Iterator[dict[str, Any]]:
    """By pass, scene and frame; `__key__` is "clean/alley_1/frame_0001"."""
    if pass_name == "albedo" and split != "train":
        raise PlanError("sintel: the albedo pass exists for the split 'train' only")
    folder, train = _FOLDERS[split], split == "train"
    parts: dict[str, tuple[str, int, str]] = {}  # field -> where its file is, of frame 1 or 2, its suffix
    flows = numbers(files.glob("training/flow/*/frame_*.flo"), r".*/(.+)/frame_(\d+)\.flo") if train else {}
    if train:
        parts["flow"] = "training/flow", 1, "flo"
        parts |= {n: (f"training/{sub}", 1, "png") for n, sub in _MASKS.items() if files.below(f"training/{sub}")}
        if depth:
            parts |= _depth_parts(files)
    for name in _PASSES[pass_name]:
        own = {f"image{n}": (f"{folder}/{name}", n, "png") for n in (1, 2)}
        shown = numbers(files.glob(f"{folder}/{name}/*/frame_*.png"), r".*/(.+)/frame_(\d+)\.png")
        after = {scene: {k + 1 for k in seen} for scene, seen in flows.items()}
        for scene, seen in merged(shown, flows, after).items():
            for pair in pairs(seen):
                key = f"{scene}/frame_{pair[0]:04d}"
                record = {"__key__": f"{name}/{key}", "pass_name": name, "scene": scene, "frame": pair[0]}
                for field, (place, which, suffix) in (own | parts).items():
                    record[field] = File(f"{place}/{scene}/frame_{pair[which - 1]:04d}.{suffix}")
                yield record


def _depth_parts(files: Files) -> dict[str, tuple[str, int, str]]:
    """Below `training`, or below a folder of the archive's name: both are told of."""
    top = f"{_DEPTH}/training" if files.below(f"{_DEPTH}/training/depth") else "training"
    of_frame = {"depth": (f"{top}/depth", "dpt")} | dict.fromkeys(
        ("intrinsics", "extrinsics"), (f"{top}/camdata_left", "cam")
    )
    return {f"{name}{n}": (place, n, suffix) for name, (place, suffix) in of_frame.items() for n in (1, 2)}


def sample(files: Files, record: Mapping[str, Any], **_: Any) -> Sample:
    at_rest = [n for n in ("image1", "image2", "flow", "occlusion", "invalid") if n in record]
    out: Sample = {name: read_encoded(files, record, name, _FIELDS[name]) for name in at_rest}
    for n in (1, 2):
        if f"depth{n}" in record:
            out[f"depth{n}"] = _depth(files, record[f"depth{n}"])
            out[f"intrinsics{n}"], out[f"extrinsics{n}"] = _camera(files, record[f"extrinsics{n}"])
    return out | {name: record[name] for name in ("pass_name", "scene", "frame")}


def _depth(files: Files, path: str) -> torch.Tensor:
    """A .dpt: the tag, width and height as int32, and float32 row by row."""
    data = files.read(path)
    if len(data) < 12 or data[:4] != _TAG:
        raise DecodeError(f"{path} is no .dpt: it begins with {data[:4]!r}, not {_TAG!r}", url=files.url, byte=0)
    width, height = struct.unpack_from("<ii", data, 4)
    if width < 1 or height < 1 or len(data) != 12 + 4 * width * height:
        raise DecodeError(
            f"{path} says it is {width} x {height} pixels, and has {len(data)} bytes", url=files.url, byte=4
        )
    return torch.from_numpy(np.frombuffer(data, "<f4", offset=12).reshape(1, height, width).astype(np.float32))


def _camera(files: Files, path: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A .cam: the tag, and float64 of the 3 x 3 intrinsic and the 3 x 4 extrinsic matrix, row by row."""
    data = files.read(path)
    if len(data) != 4 + 8 * 21 or data[:4] != _TAG:
        raise DecodeError(
            f"{path} is no .cam: that has 172 bytes from {_TAG!r} on, and this has {len(data)}", url=files.url, byte=0
        )
    values = torch.from_numpy(np.frombuffer(data, "<f8", offset=4).astype(np.float64))
    return values[:9].reshape(3, 3), values[9:].reshape(3, 4)


def fake(root: Path) -> None:
    """The complete archive, of two scenes each for train and test, with its other files; and the depth archive."""
    members = {"README.txt": b"made up\n", "flow_code/C/flowIO.h": b"// made up\n", "bundler/README.txt": b"made up\n"}
    depth: dict[str, bytes] = {}
    for number, (scene, last, size) in enumerate([("ambush_2", 3, (20, 36)), ("alley_1", 4, (22, 40))]):
        for frame in range(1, last + 1):
            name, seed = f"{scene}/frame_{frame:04d}", (number, frame)
            for kind, part in enumerate(("clean", "final", "albedo")):
                members[f"training/{part}/{name}.png"] = png(photo(*size, *seed, kind))
            members[f"training/invalid/{name}.png"] = _flags(*size, *seed, 3)
            if frame < last:
                members[f"training/flow/{name}.flo"] = codecs.encode(flow(*size, *seed))[1]
                members[f"training/flow_viz/{name}.png"] = png(photo(*size, *seed, 4))
                members[f"training/occlusions/{name}.png"] = _flags(*size, *seed, 5)
            deep = photo(*size, *seed, 6, channels=1).numpy().astype("<f4") / 16
            depth[f"training/depth/{name}.dpt"] = _TAG + struct.pack("<ii", *size[::-1]) + deep.tobytes()
            matrices = np.random.default_rng(seed).normal(size=21)
            depth[f"training/camdata_left/{name}.cam"] = _TAG + matrices.astype("<f8").tobytes()
    members["training/clean/alley_1/Thumbs.db"] = b"not a frame"
    for number, (scene, last) in enumerate([("wall", 2), ("ambush_1", 3)]):
        for frame in range(1, last + 1):
            for kind, part in enumerate(("clean", "final")):
                members[f"test/{part}/{scene}/frame_{frame:04d}.png"] = png(photo(18, 34, 9, number, frame, kind))
    zip_file(root / "MPI-Sintel-complete.zip", members)
    zip_file(root / f"{_DEPTH}.zip", depth)


def _flags(height: int, width: int, *seed: int) -> bytes:
    """Flags as the files have them: 255 where they are set."""
    return png(Mask((photo(height, width, *seed, channels=1)[0] > 128).to(torch.uint8) * 255))
