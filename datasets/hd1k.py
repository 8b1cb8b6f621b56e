"""HD1K: real driving with semi-dense flow and its uncertainty. Frames are paired by number, within one sequence only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from vdata import codecs
from vdata.card import Archive, Card, Option
from vdata.datasets._frames import merged, numbers, pairs
from vdata.encoded import read_encoded
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Flow, Image
from vdata.testing import flow, photo, png, zip_file

_INPUT, _FLOW, _UNCERTAINTY = "hd1k_input/image_2", "hd1k_flow_gt/flow_occ", "hd1k_flow_uncertainty/flow_unc"
_CHALLENGE = "hd1k_challenge/image_2"
_PICTURE = Field(
    "Image", "uint8", (3, "H", "W"), doc="1080 x 2560; a grey file becomes RGB, unless decode says otherwise"
)
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field("Flow", "float32", (2, "H", "W"), codec="kitti_flow",
                  meta={"views": ("image1", "image2"), "sparse": True}, doc="NaN where it is not known; train only"),
    "uncertainty": Field("tensor", shape=("C", "H", "W"), optional=True,
                         doc="of the flow, the numbers as they lie in the file; transforms refuse it unless it is passed through: "
                         '.apply(..., passthrough=("uncertainty",)); train, with uncertainty=True'),
    "sequence": Field("int", doc="0 to 35 in train: frames of one sequence belong together"),
    "frame": Field("int", doc="the number of image1"),
}  # fmt: skip
_HOST = "http://hci-benchmark.iwr.uni-heidelberg.de"


def _by_mail(name: str) -> str:
    return f"register at {_HOST}/ and use the link that is mailed to you ({_HOST}/media/downloads/{name} when it was last seen)"


card = Card(
    name="hd1k",
    title="HCI HD1K",
    task="optical flow",
    home=f"{_HOST}/",
    licence="not established: ask its authors",
    citation="Kondermann, Nair, Honauer, Krispin, Andrulis, Brock, Guessefeld, Rahimimoghaddam, Hofmann, Brenner and Jaehne, "
    "The HCI Benchmark Suite: Stereo and Flow Ground Truth With Uncertainties for Urban Autonomous Driving, CVPR Workshops 2016",
    splits={"train": 1_047, "test": None},
    fields=_FIELDS,
    absent={"test": ("flow", "uncertainty")},
    archives=(
        Archive("hd1k_full_package.zip", manual=_by_mail("hd1k_full_package.zip"), group=("pictures", "truth"),
                tree={"train": _FLOW, "test": _CHALLENGE}),
        Archive("hd1k_input.zip", manual=f"{_by_mail('hd1k_input.zip')}, together with hd1k_flow_gt.zip",
                group="pictures", when={"split": ("train",)}, tree=_INPUT),
        Archive("hd1k_flow_gt.zip", manual=_by_mail("hd1k_flow_gt.zip"), group="truth", when={"split": ("train",)}, tree=_FLOW),
        Archive("hd1k_flow_uncertainty.zip", manual=_by_mail("hd1k_flow_uncertainty.zip"), optional=True,
                when={"split": ("train",), "uncertainty": (True,)}, tree=_UNCERTAINTY),
        Archive("hd1k_challenge.zip", manual=_by_mail("hd1k_challenge.zip"), group=("pictures", "truth"),  # of test: no truth is needed
                when={"split": ("test",)}, tree=_CHALLENGE),
    ),
    options={"uncertainty": Option(False, (False, True), "also the uncertainty of the flow")},
    folder="hd1k",
    notes=(
        "download needs a registration: the links come by mail",
        "1,083 frames in 36 sequences, so 1,047 pairs, is what the literature says; the number of test pairs is not known",
        "how the uncertainty is encoded is not established: its numbers are handed out as they are",
        "the full package is taken to hold the folders of the single zips; this was not checked",
    ),
    unsure=("train",),
)  # fmt: skip


def samples(files: Files, split: str, *, uncertainty: bool) -> Iterator[dict[str, Any]]:
    """By sequence and frame; `__key__` is the name of the first picture, "000000_0010"."""
    if split == "test":
        yield from _challenge(files)
        return
    frames = merged(*(numbers(files.glob(f"{part}/*.png"), rf"{part}/(\d+)_(\d+)\.png") for part in (_INPUT, _FLOW)))
    for sequence, seen in frames.items():
        for first, second in pairs(seen):
            name = f"{sequence}_{first:04d}"
            record = _record(_INPUT, name, f"{sequence}_{second:04d}") | {"flow": File(f"{_FLOW}/{name}.png")}
            yield record | ({"uncertainty": File(f"{_UNCERTAINTY}/{name}.png")} if uncertainty else {})


def _challenge(files: Files) -> Iterator[dict[str, Any]]:
    """Pairs of a frame whose number ends in 10 and the next, as KITTI has them; other frames are not part of any."""
    stems = {
        path[len(_CHALLENGE) + 1 : -len("10.png")]
        for end in ("10", "11")
        for path in files.glob(f"{_CHALLENGE}/*_*{end}.png")
    }
    for stem in sorted(stems):
        yield _record(_CHALLENGE, f"{stem}10", f"{stem}11")


def _record(folder: str, first: str, second: str) -> dict[str, Any]:
    sequence, _, frame = first.partition("_")
    pictures = {"image1": File(f"{folder}/{first}.png"), "image2": File(f"{folder}/{second}.png")}
    return {"__key__": first, **pictures, "sequence": int(sequence), "frame": int(frame)}


def sample(files: Files, record: Mapping[str, Any], **_: Any) -> Sample:
    at_rest = [n for n in ("image1", "image2", "flow", "uncertainty") if n in record]
    out: Sample = {name: read_encoded(files, record, name, _FIELDS[name]) for name in at_rest}
    return out | {"sequence": record["sequence"], "frame": record["frame"]}


def fake(root: Path) -> None:
    """The single zips: two sequences, the second grey and not from frame 0 on; three test pairs and a frame beside them."""
    members: dict[str, bytes] = {}
    for sequence, (frames, channels) in enumerate([((0, 1, 2, 3), 3), ((9, 10, 11), 1)]):
        size = 18 + 2 * sequence, 30
        for frame in frames:
            name, seed = f"{sequence:06d}_{frame:04d}.png", (sequence, frame)
            known = photo(*size, *seed, 1, channels=1)[0] > 90
            spread = Image(photo(*size, *seed, 2, channels=1).to(torch.int32) * 257, dtype=torch.uint16)
            members[f"{_INPUT}/{name}"] = png(photo(*size, *seed, channels=channels))
            members[f"{_FLOW}/{name}"] = codecs.encode(Flow(flow(*size, *seed), valid=known), "kitti_flow")[1]
            members[f"{_UNCERTAINTY}/{name}"] = png(spread)
    for sequence, frame in [(0, 10), (0, 11), (0, 12), (1, 10), (1, 11), (7, 10), (7, 11)]:
        members[f"{_CHALLENGE}/{sequence:06d}_{frame:04d}.png"] = png(photo(16, 26 + sequence, sequence, frame, 3))
    for top in ("hd1k_input", "hd1k_flow_gt", "hd1k_flow_uncertainty", "hd1k_challenge"):
        zip_file(root / f"{top}.zip", {name: data for name, data in members.items() if name.startswith(f"{top}/")})
