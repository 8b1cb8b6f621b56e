"""The motorcycle of Middlebury 2014: one real stereo pair with dense, sub-pixel ground truth, without any download.

It comes with scikit-image, at a quarter of its full resolution. The right picture is the left one moved by the
disparity, so the pair serves as optical flow with u = -disparity and v = 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vdata.card import Card
from vdata.encoded import Encoded
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import package_data
from vdata.source import Computed, Sample, Source, digest_of
from vdata.tensors import Flow

_PICTURE = Field("Image", "uint8", (3, 500, 741))
_FIELDS = {
    "image1": _PICTURE,
    "image2": _PICTURE,
    "flow": Field("Flow", "float32", (2, 500, 741), meta={"views": ("image1", "image2"), "sparse": False},
                  doc="(-disparity, 0); NaN at the 27,226 pixels without ground truth"),
}  # fmt: skip

card = Card(
    name="motorcycle",
    title="Middlebury 2014 stereo: the motorcycle",
    task="optical flow, stereo",
    home="https://vision.middlebury.edu/stereo/data/scenes2014/",
    licence="none stated by Middlebury; the scikit-image project distributes the reduced pair",
    citation="Scharstein, Hirschmueller, Kitajima, Krathwohl, Nesic, Wang and Westling, High-resolution stereo datasets with "
    "subpixel-accurate ground truth, GCPR 2014",
    splits={"all": 1},
    fields=_FIELDS,
    notes=("needs no files: the pair is part of scikit-image (pip install 'vdata-vision[examples]')",),
)


def source(split: str) -> Source:
    """One sample, "motorcycle"."""
    return Computed(card.name, 1, _read, fields=_FIELDS, digest=digest_of(card.name, split))


def _read(index: int) -> Sample:
    folder = package_data("skimage", "data", extra="examples")
    return {
        "__key__": "motorcycle",
        "image1": _picture(folder / "motorcycle_left.png", "image1"),
        "image2": _picture(folder / "motorcycle_right.png", "image2"),
        "flow": _flow(folder / "motorcycle_disp.npz"),
    }


def _picture(path: Path, field: str) -> Encoded:
    where = {"url": str(path), "key": "motorcycle", "field": field}
    return Encoded(_bytes(path), "Image", "png", where=where, orient=False)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path.name}: {error.strerror}", url=str(path), do="install scikit-image again"
        ) from error


def _flow(path: Path) -> Flow:
    with np.load(path, allow_pickle=False) as arrays:
        disparity = torch.from_numpy(arrays["arr_0"])
    return Flow(torch.stack([-disparity, torch.zeros_like(disparity)]), valid=disparity.isfinite())


def fake(root: Path) -> None:
    """Writes nothing: the set needs no files."""
