"""KITTI 2015 optical flow: real driving, sparse flow from a laser scanner and car models.

Read from `data_scene_flow.zip` as downloaded, or from the extracted tree. Files are joined by their number, never by
their place in a sorted list: one file that is missing would shift all pairs after it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata import codecs
from vdata.catalog import Archive, Card, Option, files_of
from vdata.encoded import Encoded
from vdata.errors import DataError, PlanError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Listed, Sample, Source
from vdata.tensors import Flow, Image, Mask

_PICTURE = Field("Image", "uint8", (3, "H", "W"))
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field("Flow", "float32", (2, "H", "W"), codec="kitti_flow",
                  meta={"views": ("image1", "image2"), "sparse": True},
                  doc="NaN where nothing was measured; train only", optional=True),
    "objects": Field("Mask", "uint8", ("H", "W"), meta={"kind": "semantic", "frame": "image1"},
                     doc="0 background, k the k-th moving car; train only, where obj_map was extracted", optional=True),
    "occlusion": Field("Mask", "bool", ("H", "W"), meta={"kind": "semantic", "frame": "image1"},
                       doc="the content leaves the picture or is covered; with occlusion=True", optional=True),
}  # fmt: skip

card = Card(
    name="kitti_flow",
    title="KITTI 2015 flow",
    task="optical flow",
    home="http://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=flow",
    licence="CC BY-NC-SA 3.0 (not verified)",
    citation="Menze and Geiger, Object Scene Flow for Autonomous Vehicles, CVPR 2015",
    splits={"train": 200, "test": 200},
    fields=_FIELDS,
    archives=(
        Archive(
            "data_scene_flow.zip", "https://s3.eu-central-1.amazonaws.com/avg-kitti/data_scene_flow.zip", 1_681_488_619
        ),
    ),
    options={
        "flow": Option("occ", ("occ", "noc"), "every measured pixel, or only those that stay inside the picture"),
        "occlusion": Option(False, (False, True), "also a mask of pixels that flow_occ knows and flow_noc does not"),
    },
    folder="KittiFlow",
    notes=(
        "the official page asks for an e-mail address; no checksum is published",
        "sizes vary a little from one drive to the next (about 375 x 1242)",
    ),
)


def source(root: Path, split: str, *, flow: str = "occ", occlusion: bool = False) -> Source:
    """Samples in the order of their numbers; `__key__` is the number, "000000"."""
    if occlusion and split != "train":
        raise PlanError(f"kitti_flow: {split} has no flow, so no occlusion")
    folder = {"train": "training", "test": "testing"}[split]
    files = files_of(card, Path(root), zips=("data_scene_flow.zip",), tree=folder)
    parts = {"image1": ("image_2", "_10"), "image2": ("image_2", "_11")}
    if split == "train":
        parts["flow"] = (f"flow_{flow}", "_10")
        if files.glob(f"{folder}/obj_map/*_10.png"):
            parts["objects"] = ("obj_map", "_10")
        if occlusion:
            parts |= {"occ": ("flow_occ", "_10"), "noc": ("flow_noc", "_10")}
    records = _joined(files, folder, parts)
    given = {
        n: replace(f, optional=False) for n, f in _FIELDS.items() if n in parts or (n == "occlusion" and occlusion)
    }
    return Listed("kitti_flow", records, _Reader(files), fields=given)


def _joined(files: Files, folder: str, parts: Mapping[str, tuple[str, str]]) -> list[dict[str, str]]:
    """One record a number, with the path of each part; DataError names the first file that a number lacks."""
    found = {part: _by_number(files, f"{folder}/{sub}", time) for part, (sub, time) in parts.items()}
    numbers = sorted(set().union(*found.values()))
    if not numbers:
        raise DataError(f"no pictures {folder}/image_2/*_10.png", url=files.url)
    for number in numbers:
        for part, (sub, time) in parts.items():
            if number not in found[part]:
                raise DataError(f"{folder}/{sub}/{number}{time}.png is missing", url=files.url, key=number, field=part,
                                do="extract or download the archive again")  # fmt: skip
    return [{"__key__": n} | {part: paths[n] for part, paths in found.items()} for n in numbers]


def _by_number(files: Files, folder: str, time: str) -> dict[str, str]:
    """Number ("000000") to path, of the files of one folder and one moment ("_10" or "_11")."""
    return {p.rpartition("/")[2].removesuffix(f"{time}.png"): p for p in files.glob(f"{folder}/*{time}.png")}


@dataclass(frozen=True)
class _Reader:
    """A record to a sample: bytes, not yet decoded, except for the occlusion, which takes two files."""

    files: Files

    def __call__(self, record: Mapping[str, Any]) -> Sample:
        sample: Sample = {"__key__": record["__key__"]}
        sample |= {
            name: self._encoded(name, record) for name in ("image1", "image2", "flow", "objects") if name in record
        }
        if "occ" in record:
            occ, noc = (codecs.decode(self._encoded(name, record)).valid.plain() for name in ("occ", "noc"))
            sample["occlusion"] = Mask(occ & ~noc, frame="image1")
        return sample

    def _encoded(self, name: str, record: Mapping[str, Any]) -> Encoded:
        field = _FIELDS["flow" if name in ("occ", "noc") else name]
        where = {"url": self.files.url, "key": record["__key__"], "field": name}
        data = self.files.read(record[name])
        return Encoded(data, field.type, "png", field.codec, field.meta, where, orient=False)


# -- fake --------------------------------------------------------------------------------------------------------------


def fake(root: Path) -> None:
    """`data_scene_flow.zip` with three training pairs and two test pairs of 24 x 40 to 26 x 44 pixels."""
    with zipfile.ZipFile(Path(root) / "data_scene_flow.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, count in (("training", 3), ("testing", 2)):
            for number in range(count):
                for path, value, codec in _fake_files(folder, number):
                    archive.writestr(path, codecs.encode(value, codec)[1])


def _fake_files(folder: str, number: int) -> list[tuple[str, Any, str]]:
    rng = np.random.default_rng([number, folder == "training"])
    height, width = 24 + number, 40 + 2 * number
    picture = lambda: Image(torch.from_numpy(rng.integers(0, 256, (3, height, width), np.uint8)))
    out: list[tuple[str, Any, str]] = [
        (f"{folder}/{camera}/{number:06d}_{time}.png", picture(), "")
        for camera in ("image_2", "image_3")
        for time in (10, 11)
    ]
    if folder == "testing":
        return out
    occ = torch.from_numpy(rng.random((height, width)) < 0.5)
    noc = occ & torch.from_numpy(rng.random((height, width)) < 0.8)
    vectors = torch.from_numpy(rng.integers(-640, 641, (2, height, width)).astype(np.float32) / 64)
    objects = torch.zeros(height, width, dtype=torch.uint8)
    objects[8:16, 4:12], objects[10:20, 20:30] = 1, 2
    disparity = Image(torch.from_numpy(rng.integers(1, 20_000, (1, height, width), np.uint16) * occ.numpy()))
    out += [
        (f"training/flow_{n}/{number:06d}_10.png", Flow(vectors, valid=v), "kitti_flow")
        for n, v in (("occ", occ), ("noc", noc))
    ]
    out += [(f"training/disp_{n}_{t}/{number:06d}_10.png", disparity, "") for n in ("occ", "noc") for t in (0, 1)]
    return [*out, (f"training/obj_map/{number:06d}_10.png", Mask(objects), "")]
