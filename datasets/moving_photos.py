"""Photographs set in motion: image pairs with exact dense flow, occlusions, boxes and masks, made as they are read.

A background photograph moves by an affine map and a smooth displacement; one to four cut-outs of other photographs,
each with an outline of its own, move over it by affine maps of their own. Both frames are painted from the same
functions of continuous coordinates (`_scene.py`), so the flow is exact, and what hides what is asked of the outlines,
not of pixels. In the manner of FlyingChairs (Dosovitskiy et al., FlowNet, ICCV 2015), with any folder of photographs.

Nothing is read but the photographs. Sample i is a function of (seed, split, i) and of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

import vdata.datasets._scene as _scene
from vdata import codecs
from vdata.card import Card, Option
from vdata.encoded import Encoded
from vdata.errors import DataError, PlanError
from vdata.field import Field
from vdata.files import package_data
from vdata.key import Key
from vdata.source import Sample, Source, digest_of
from vdata.tensors import BoundingBoxes, Flow, Image, Mask

_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")  # the large colour ones
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".ppm", ".bmp"}
_ZOOMS = (1.1, 1.35, 1.6)  # how much larger than the frame a photograph is shown: few, so that a cache of them helps
_MOST_OBJECTS = 16

_PICTURE = Field("Image", "uint8", (3, "H", "W"))
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field("Flow", "float32", (2, "H", "W"), meta={"views": ("image1", "image2"), "sparse": False},
                  doc="known everywhere"),
    "occlusion": Field("Mask", "bool", ("H", "W"), meta={"kind": "semantic", "frame": "image1"},
                       doc="what image1 shows and image2 does not: covered, or out of the frame"),
    "boxes": Field("BoundingBoxes", "float32", ("N", 4), meta={"format": "XYXY", "frame": "image1"},
                   doc="the objects' visible parts"),
    "masks": Field("Mask", "bool", ("N", "H", "W"), meta={"kind": "instance", "frame": "image1"},
                   doc="the objects' visible parts"),
}  # fmt: skip

card = Card(
    name="moving_photos",
    title="Photographs set in motion",
    task="optical flow, detection, segmentation",
    home="part of vdata",
    licence="that of the photographs; scikit-image's are in the public domain or under CC0, the motorcycle is Middlebury's",
    citation="cite the photographs' sources; for the method, Dosovitskiy et al., FlowNet, ICCV 2015",
    splits={"train": None, "val": None},
    fields=_FIELDS,
    options={
        "length": Option(1000, doc="number of samples"),
        "size": Option((256, 320), doc="(height, width)"),
        "seed": Option(0),
        "photos": Option(None, doc="a folder of photographs; None: those of scikit-image"),
        "max_motion": Option(None, doc="no pixel moves further; None: 12 pixels at a height of 256, and in proportion"),
        "objects": Option((1, 4), doc="at least and at most so many"),
    },
    notes=("needs no files: without photos=..., scikit-image's are used (pip install 'vdata-vision[examples]')",),
)


def source(
    split: str, *, length: int = 1000, size: tuple[int, int] = (256, 320), seed: int = 0,
    photos: str | Path | None = None, max_motion: float | None = None, objects: tuple[int, int] = (1, 4),
) -> Source:  # fmt: skip
    """Pairs that do not exist until they are read."""
    height, width = (int(s) for s in size)
    shorter = min(height, width)
    motion = 12 * shorter / 256 if max_motion is None else float(max_motion)
    least, most = (int(n) for n in objects)
    if shorter < 16 or length < 0:
        raise PlanError(f"moving_photos: size is at least 16 x 16 and length not negative, got {size} and {length}")
    if not 0 <= motion <= shorter / 4:  # beyond that the smooth displacement could fold
        raise PlanError(
            f"moving_photos: max_motion is 0 to a quarter of the shorter side ({shorter / 4:g}), got {max_motion}"
        )
    if not 0 <= least <= most <= _MOST_OBJECTS:
        raise PlanError(
            f"moving_photos: objects is (least, most) with 0 <= least <= most <= {_MOST_OBJECTS}, got {objects}"
        )
    return MovingPhotos(split, length, (height, width), seed, _listed(photos), motion, (least, most))


def fake(root: Path) -> None:
    """Writes nothing: the set needs no files."""


def _listed(photos: str | Path | None) -> list[Path]:
    if photos is None:
        folder = package_data("skimage", "data", extra="examples")
        return [folder / name for name in _PHOTOS]
    found = sorted(p for p in Path(photos).resolve().rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not found:
        raise DataError(
            f"there is no photograph in {photos}; known are {', '.join(sorted(_SUFFIXES))}", url=str(photos)
        )
    return found


class MovingPhotos(Source):
    """The samples as a source; see the card for what the arguments mean."""

    def __init__(
        self,
        split: str,
        length: int,
        size: tuple[int, int],
        seed: int,
        photos: Sequence[Path],
        motion: float,
        objects: tuple[int, int],
    ):
        self.name, self.columns = card.name, {}
        self.sizes = np.array([length], np.int64)
        self.fields = _FIELDS
        self.split, self.size, self.seed, self.motion, self.objects = split, size, seed, motion, objects
        self.photos = [str(p) for p in photos]
        contents = [(p.name, p.stat().st_size) for p in photos]
        self.digest = digest_of(card.name, split, length, size, seed, motion, objects, contents)

    def read(self, index: int) -> Sample:
        layers = self._layers(Key.of(self.seed, self.split, index))
        top, picture1 = _scene.painted(layers, self.size, second=False)
        _, picture2 = _scene.painted(layers, self.size, second=True)
        places = _scene.moved(layers, top)
        flow = np.stack([after - before for after, before in zip(places, _scene.grid(self.size))]).astype(np.float32)
        visible = [top == k for k in range(1, len(layers)) if (top == k).any()]
        masks = np.stack(visible) if visible else np.zeros((0, *self.size), bool)
        boxes = torch.tensor([_box(v) for v in visible]).reshape(-1, 4)
        return {
            "__key__": f"{self.split}-{index:06d}",
            "image1": _image(picture1),
            "image2": _image(picture2),
            "flow": Flow(torch.from_numpy(flow)),
            "occlusion": Mask(torch.from_numpy(_scene.hidden(layers, top, places)), frame="image1"),
            "boxes": BoundingBoxes(boxes, format="XYXY", canvas_size=self.size, frame="image1"),
            "masks": Mask(torch.from_numpy(masks), kind="instance", frame="image1"),
        }

    def _layers(self, key: Key) -> list[_scene.Layer]:
        """The layers, from the farthest to the nearest: a background, then cut-outs."""
        least, most = self.objects
        count = int(key.fold("count").integers(least, most + 1)[0])
        layers: list[_scene.Layer] = []
        for k, chosen in enumerate(_chosen(key.fold("photos"), count + 1, len(self.photos))):
            own = key.fold("layer", k)
            zoom = _ZOOMS[int(own.fold("zoom").integers(0, len(_ZOOMS))[0])]
            photo = _photo(self.photos[chosen], zoom, self.size)
            layers.append((_scene.Cutout if k else _scene.Background).drawn(own, photo, self.size, self.motion))
        return layers


def _chosen(key: Key, count: int, total: int) -> list[int]:
    """`count` of `total` photographs; none again before all the others have been used."""
    chosen: list[int] = []
    for k in range(count):
        recent = sorted(chosen[-(total - 1) :]) if total > 1 else []
        number = int(key.fold(k).integers(0, total - len(recent))[0])
        for other in recent:
            number += number >= other
        chosen.append(number)
    return chosen


def _image(picture: _scene.Array) -> Image:
    return Image(torch.from_numpy(np.rint(picture).astype(np.uint8).transpose(2, 0, 1).copy()))


def _box(visible: _scene.Array) -> tuple[float, ...]:
    """The tight box of a mask that is not empty, in continuous coordinates."""
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


@lru_cache(maxsize=32)
def _photo(path: str, zoom: float, size: tuple[int, int]) -> _scene.Array:
    """A photograph at `zoom` times the size at which it just fills the frame: uint8 [h, w, 3].

    So a texel is about a pixel, and reading between texels neither blurs nor aliases. It is smoothed by the kernel
    (1, 6, 1) / 8 in both directions: what is sharper than a pixel cannot move by a part of one.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the photograph: {error.strerror}", url=path) from error
    pixels = codecs.decode(Encoded(data, "Image", where={"url": path})).plain().float()
    scale = zoom * max(want / have for want, have in zip(size, pixels.shape[1:]))
    target = [max(math.ceil(zoom * want), round(have * scale)) for want, have in zip(size, pixels.shape[1:])]
    resized = torch.nn.functional.interpolate(pixels[None], target, mode="bilinear", antialias=True)
    kernel = torch.tensor([1.0, 6.0, 1.0]) / 8
    padded = torch.nn.functional.pad(resized[0][:, None], (1, 1, 1, 1), mode="replicate")
    smooth = torch.nn.functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])[:, 0]
    out = smooth.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    out.setflags(write=False)  # it is shared by all samples
    return out
