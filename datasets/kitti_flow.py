"""KITTI 2015 and 2012 optical flow: real driving, sparse flow from a laser scanner and, in 2015, car models.

Files are joined by their number, never by their place in a sorted list: one that is missing would shift all after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata import codecs
from vdata.annotations import lines
from vdata.card import Archive, Card, Option
from vdata.encoded import read_encoded
from vdata.errors import DecodeError, PlanError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Flow, Image, Mask
from vdata.testing import flow as random_flow
from vdata.testing import photo, png, zip_file

_PICTURE = Field("Image", "uint8", (3, "H", "W"))
_RIGHT = Field("Image", "uint8", (3, "H", "W"), doc="the right camera; with stereo=True", optional=True)
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field("Flow", "float32", (2, "H", "W"), codec="kitti_flow",
                  meta={"views": ("image1", "image2"), "sparse": True},
                  doc="NaN where nothing was measured; train only"),
    "objects": Field("Mask", "uint8", ("H", "W"), meta={"kind": "semantic", "frame": "image1"},
                     doc="0 background, k the k-th moving car; train of 2015, where obj_map is there", optional=True),
    "occlusion": Field("Mask", "bool", ("H", "W"), meta={"kind": "semantic", "frame": "image1"},
                       doc="flow_occ knows the pixel and flow_noc does not; train, with occlusion=True", optional=True),
    "right1": _RIGHT,
    "right2": _RIGHT,
    "disparity": Field("Flow", "float32", (2, "H", "W"), codec="kitti_disparity",
                       meta={"views": ("image1", "right1"), "sparse": True},
                       doc="(-disparity, 0): where image1's pixels are in right1; train, with stereo=True", optional=True),
    "flow_right": Field("Flow", "float32", (2, "H", "W"), meta={"views": ("image1", "right2"), "sparse": True},
                        doc="flow + (-second disparity, 0): where image1's pixels are in right2; NaN unless both are known; "
                        "train of 2015, with scene_flow=True", optional=True),
    "calibration": Field("json", doc="of each calibration file its lines, numbers as lists; with calibration=True",
                         optional=True),
}  # fmt: skip
_DRIVES = {"2015": ("2015",), "2012": ("2012", "2012-grey")}
_S3 = "https://s3.eu-central-1.amazonaws.com/avg-kitti"

card = Card(
    name="kitti_flow",
    title="KITTI 2015 and 2012 flow",
    task="optical flow, stereo",
    home="http://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=flow",
    licence="CC BY-NC-SA 3.0 (not verified)",
    citation="Menze and Geiger, Object Scene Flow for Autonomous Vehicles, CVPR 2015; of 2012: Geiger, Lenz and Urtasun, Are "
    "we ready for Autonomous Driving? The KITTI Vision Benchmark Suite, CVPR 2012",
    splits={"train": 200, "test": 200},
    fields=_FIELDS,
    absent={"test": ("flow", "objects", "occlusion", "disparity", "flow_right")},
    archives=(
        Archive("data_scene_flow.zip", f"{_S3}/data_scene_flow.zip", 1_681_488_619,
                when={"version": _DRIVES["2015"]}, tree={"train": "training/image_2", "test": "testing/image_2"}),
        Archive("data_scene_flow_calib.zip", f"{_S3}/data_scene_flow_calib.zip", 1_631_055,
                when={"version": _DRIVES["2015"], "calibration": (True,)}, tree="training/calib_cam_to_cam"),
        Archive("data_stereo_flow.zip", f"{_S3}/data_stereo_flow.zip",
                when={"version": _DRIVES["2012"]}, tree={"train": "Kitti2012/training/flow_occ", "test": "Kitti2012/testing"}, into="Kitti2012/"),
        Archive("data_stereo_flow_calib.zip", f"{_S3}/data_stereo_flow_calib.zip",
                when={"version": _DRIVES["2012"], "calibration": (True,)}, tree="Kitti2012/training/calib", into="Kitti2012/"),
    ),
    options={
        "version": Option("2015", ("2015", "2012", "2012-grey"), "the year; of 2012 the colour cameras or the grey ones"),
        "flow": Option("occ", ("occ", "noc"), "flow and disparity of every measured pixel, or of those that stay in the picture"),
        "occlusion": Option(False, (False, True), "also a mask of pixels that flow_occ knows and flow_noc does not"),
        "stereo": Option(False, (False, True), "also the right camera's pictures, and the disparity"),
        "scene_flow": Option(False, (False, True), "also the flow from the left picture to the right one of the second moment"),
        "calibration": Option(False, (False, True), "also the numbers of the cameras and the laser scanner, as measured"),
    },
    folder="KittiFlow",
    notes=(
        "the official page asks for an e-mail address; no checksum is published",
        "sizes vary a little from one drive to the next (about 375 x 1242)",
        "2012 has 194 and 195 pairs, as is generally known; its archives, their addresses and their layout were not checked; "
        "extracted it belongs into Kitti2012/, since both years use the same names",
        "of 2012 the truth was measured for the grey cameras and is given with the colour pictures too, as the benchmark does: "
        "how well it fits them was not verified",
        "data_scene_flow_multiview.zip, the frames before and after each pair, is not read",
    ),
)  # fmt: skip


def count(split: str, version: str, **_: Any) -> int:
    return {"train": 200, "test": 200}[split] if version == "2015" else {"train": 194, "test": 195}[split]


def samples(
    files: Files,
    split: str,
    *,
    version: str,
    flow: str,
    occlusion: bool,
    stereo: bool,
    scene_flow: bool,
    calibration: bool,
) -> Iterator[dict[str, Any]]:
    """In the order of the numbers; `__key__` is the number, "000000"."""
    if scene_flow and version != "2015":
        raise PlanError(f"kitti_flow: version={version!r} has no second disparity, so no scene_flow")
    folder = {"train": "training", "test": "testing"}[split]
    folder = folder if version == "2015" else f"Kitti2012/{folder}"
    left, right, first = _CAMERAS[version]
    parts = {"image1": (left, "_10.png"), "image2": (left, "_11.png")}
    if stereo:
        parts |= {"right1": (right, "_10.png"), "right2": (right, "_11.png")}
    if split == "train":
        parts["flow"] = f"flow_{flow}", "_10.png"
        if occlusion:
            parts |= {"occlusion": ("flow_noc", "_10.png"), "occ": ("flow_occ", "_10.png")}
        if stereo:
            parts["disparity"] = f"disp_{flow}{first}", "_10.png"
        if scene_flow:
            parts["flow_right"] = f"disp_{flow}_1", "_10.png"
        if version == "2015" and files.glob(f"{folder}/obj_map/*_10.png"):
            parts["objects"] = "obj_map", "_10.png"
    if calibration:
        parts |= {column: (sub, ".txt") for column, sub in _CALIBRATIONS[version].items()}
    yield from _joined(files, folder, parts)


# version -> the folders of the left and the right camera, and how the first disparity's folder ends
_CAMERAS = {
    "2015": ("image_2", "image_3", "_0"),
    "2012": ("colored_0", "colored_1", ""),
    "2012-grey": ("image_0", "image_1", ""),
}
_CALIBRATIONS = {
    "2015": {"calibration": "calib_cam_to_cam", "velo_to_cam": "calib_velo_to_cam", "imu_to_velo": "calib_imu_to_velo"},
    "2012": {"calibration": "calib"},
    "2012-grey": {"calibration": "calib"},
}


def _joined(files: Files, folder: str, parts: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """One record for each number that any part has, with the path of every part."""
    numbers = set()
    for sub, end in parts.values():
        numbers |= {path.rpartition("/")[2].removesuffix(end) for path in files.glob(f"{folder}/{sub}/*{end}")}
    for number in sorted(numbers):
        yield {"__key__": number} | {part: File(f"{folder}/{sub}/{number}{end}") for part, (sub, end) in parts.items()}


def sample(files: Files, record: Mapping[str, Any], **_: Any) -> Sample:
    at_rest = [n for n in ("image1", "image2", "right1", "right2", "flow", "disparity", "objects") if n in record]
    out: Sample = {name: read_encoded(files, record, name, _FIELDS[name]) for name in at_rest}
    if "occlusion" in record:
        noc, occ = (_decoded(files, record, "flow", column).valid.plain() for column in ("occlusion", "occ"))
        out["occlusion"] = Mask(occ & ~noc, frame="image1")
    if "flow_right" in record:
        later = _decoded(files, record, "disparity", "flow_right").plain()
        both = _decoded(files, record, "flow", "flow").plain() + later
        out["flow_right"] = Flow(both, views=("image1", "right2"), sparse=True)
    if "calibration" in record:
        paths = [record[column] for column in _CALIBRATIONS["2015"] if column in record]
        out["calibration"] = {p.split("/")[-2].removeprefix("calib_"): _calibration(files, p) for p in paths}
    return out


def _decoded(files: Files, record: Mapping[str, Any], name: str, column: str) -> Any:
    return codecs.decode(read_encoded(files, record, name, _FIELDS[name], column))


def _calibration(files: Files, path: str) -> dict[str, Any]:
    """Lines of "name: numbers" as lists; what is no list of numbers (a date) as text."""
    out: dict[str, Any] = {}
    for line in lines(files, path):
        name, colon, text = line.partition(":")
        if not colon:
            raise DecodeError(f'{path} has a line that is not "name: values": {line[:200]!r}', url=files.url)
        try:
            out[name] = [float(word) for word in text.split()]
        except ValueError:
            out[name] = text.strip()
    return out


# -- fake --------------------------------------------------------------------------------------------------------------


def fake(root: Path) -> None:
    """All four archives: 3 and 2 pairs of 2015, 2 and 1 of 2012, of 24 x 40 to 26 x 44 pixels."""
    for archive, cameras, counts in (
        ("data_scene_flow", ("image_2", "image_3"), {"training": 3, "testing": 2}),
        ("data_stereo_flow", ("colored_0", "colored_1", "image_0", "image_1"), {"training": 2, "testing": 1}),
    ):
        members: dict[str, bytes] = {}
        calibrations: dict[str, bytes] = {}
        for folder, pairs in counts.items():
            for number in range(pairs):
                members |= _fake_pictures(folder, number, cameras)
                members |= _fake_truth(number, len(cameras) == 2) if folder == "training" else {}
                calibrations |= _fake_calibration(folder, number, len(cameras) == 2)
        zip_file(root / f"{archive}.zip", members)
        zip_file(root / f"{archive}_calib.zip", calibrations)


def _fake_size(number: int) -> tuple[int, int]:
    return 24 + number, 40 + 2 * number


def _fake_pictures(folder: str, number: int, cameras: tuple[str, ...]) -> dict[str, bytes]:
    out = {}
    for at, camera in enumerate(cameras):
        for time in (10, 11):
            seed = (number, time, at, len(folder), len(cameras))
            channels = 1 if camera in ("image_0", "image_1") else 3
            picture = photo(*_fake_size(number), *seed, channels=channels)
            out[f"{folder}/{camera}/{number:06d}_{time}.png"] = png(picture)
    return out


def _fake_truth(number: int, is_2015: bool) -> dict[str, bytes]:
    height, width = _fake_size(number)
    rng = np.random.default_rng([number, is_2015])
    known = {"occ": rng.random((height, width)) < 0.5}
    known["noc"] = known["occ"] & (rng.random((height, width)) < 0.8)
    vectors = random_flow(height, width, number, is_2015)
    out: dict[str, bytes] = {}
    for kind, valid in known.items():
        flow = Flow(vectors.plain(), valid=torch.from_numpy(valid))
        out[f"training/flow_{kind}/{number:06d}_10.png"] = codecs.encode(flow, "kitti_flow")[1]
        for time in ("_0", "_1") if is_2015 else ("",):
            disparity = rng.integers(1, 20_000, (1, height, width), np.uint16) * (
                valid & (rng.random((height, width)) < 0.9)
            )
            out[f"training/disp_{kind}{time}/{number:06d}_10.png"] = png(
                Image(torch.from_numpy(disparity.astype(np.uint16)))
            )
    if is_2015:
        objects = torch.zeros(height, width, dtype=torch.uint8)
        objects[8:16, 4:12], objects[10:20, 20:30] = 1, 2
        out[f"training/obj_map/{number:06d}_10.png"] = png(Mask(objects))
        out[f"training/viz_flow_occ/{number:06d}_10.png"] = png(photo(height, width, number))
    return out


def _fake_calibration(folder: str, number: int, is_2015: bool) -> dict[str, bytes]:
    projection = f"{7e2 + number:e} 0.0 6.0e+02 4.5e+01 0.0 7.2e+02 1.7e+02 -3.4e-01 0.0 0.0 1.0 4.9e-03"
    if not is_2015:
        return {f"{folder}/calib/{number:06d}.txt": "".join(f"P{i}: {projection}\n" for i in range(4)).encode()}
    rigid = "calib_time: 15-Mar-2012 11:37:16\nR: 1.0 0.0 0.0 0.0 1.0 0.0 0.0 0.0 1.0\nT: -4.0e-03 -7.6e-02 -2.7e-01\n"
    texts = {"cam_to_cam": f"calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.95e-02\nP_rect_02: {projection}\n",
             "velo_to_cam": rigid, "imu_to_velo": rigid}  # fmt: skip
    return {f"{folder}/calib_{name}/{number:06d}.txt": text.encode() for name, text in texts.items()}
