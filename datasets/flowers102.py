"""Oxford 102 Flowers: photographs of 102 kinds of flowers, on demand with the mask of the flower."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdata import codecs
from vdata.annotations import mat
from vdata.card import Archive, Card, Option
from vdata.datasets._mat import mat_file
from vdata.encoded import Encoded, read_encoded
from vdata.errors import DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Image, Label, Mask
from vdata.testing import jpeg, photo, tar_file

CLASSES = (
    "pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea", "english marigold", "tiger lily",
    "moon orchid", "bird of paradise", "monkshood", "globe thistle", "snapdragon", "colt's foot", "king protea",
    "spear thistle", "yellow iris", "globe-flower", "purple coneflower", "peruvian lily", "balloon flower",
    "giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger", "grape hyacinth",
    "corn poppy", "prince of wales feathers", "stemless gentian", "artichoke", "sweet william", "carnation",
    "garden phlox", "love in the mist", "mexican aster", "alpine sea holly", "ruby-lipped cattleya", "cape flower",
    "great masterwort", "siam tulip", "lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia",
    "bolero deep blue", "wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia",
    "wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia",
    "pink-yellow dahlia?", "cautleya spicata", "japanese anemone", "black-eyed susan", "silverbush",
    "californian poppy", "osteospermum", "spring crocus", "bearded iris", "windflower", "tree poppy", "gazania",
    "azalea", "water lily", "rose", "thorn apple", "morning glory", "passion flower", "lotus", "toad lily",
    "anthurium", "frangipani", "clematis", "hibiscus", "columbine", "desert-rose", "tree mallow", "magnolia",
    "cyclamen", "watercress", "canna lily", "hippeastrum", "bee balm", "ball moss", "foxglove", "bougainvillea",
    "camellia", "mallow", "mexican petunia", "bromelia", "blanket flower", "trumpet creeper", "blackberry lily",
)  # fmt: skip

_SETS = {"train": "trnid", "val": "valid", "test": "tstid"}
_BACKGROUND = (0, 0, 254)  # what the authors put behind a flower that they cut out
_NEAR = 64  # JPEG moves a flat colour by a few levels, and more along the flower's edge
_PARTS = ("background", "flower")

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}),
    "mask": Field(
        "Mask", "uint8", ("H", "W"), meta={"kind": "semantic", "categories": _PARTS}, optional=True,
        doc="1 is the flower; with segmentation=True",
    ),
}  # fmt: skip
_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"

card = Card(
    name="flowers102",
    title="Oxford 102 Flowers",
    task="classification, segmentation",
    home=_URL,
    licence="none is stated",
    citation="Nilsback and Zisserman, Automated Flower Classification over a Large Number of Classes, ICVGIP 2008",
    splits={"train": 1_020, "val": 1_020, "test": 6_149},
    fields=_FIELDS,
    archives=(
        Archive(
            "102flowers.tgz", f"{_URL}102flowers.tgz", bytes=344_862_509, tree="jpg",
            sha256="2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246", md5="52808999861908f626f3c1f4e79d11fa",
        ),
        Archive(
            "imagelabels.mat", f"{_URL}imagelabels.mat", bytes=502,
            sha256="4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d", md5="e0620be6f572b9609742df49c70aed4d",
        ),
        Archive(
            "setid.mat", f"{_URL}setid.mat", bytes=14_989,
            sha256="46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd", md5="a5357ecc9cb78c4bef273ce3793fc85c",
        ),
        Archive(
            "102segmentations.tgz", f"{_URL}102segmentations.tgz", tree="segmim", when={"segmentation": (True,)}, held=("**",),
        ),
    ),
    options={"segmentation": Option(False, (False, True), "the mask of the flower too, from 102segmentations.tgz (194 MB)")},
    folder="flowers-102",
    notes=(
        "the official training set is the small one, ten pictures of each class",
        "the class names are in no file of the set: nobody has an official list",
        "masks are not published as such: they are what is not blue in segmim/*.jpg, so their edge is about a pixel wide",
        "an md5 of 102segmentations.tgz that is told of was not confirmed, and is left out",
        "without an index or the extracted folder, segmentation=True keeps all of 102segmentations.tgz in memory",
    ),
)  # fmt: skip


def samples(files: Files, split: str, segmentation: bool) -> Iterator[dict[str, Any]]:
    """`__key__` is "image_00001", in the order of setid.mat. Numbers of pictures and classes begin with 1 there."""
    (labels,) = mat(files, "imagelabels.mat", "labels")
    (numbers,) = mat(files, "setid.mat", _SETS[split])
    classes = dict(enumerate(_integers(labels, "imagelabels.mat", files.url), 1))
    for number in _integers(numbers, "setid.mat", files.url):
        label = classes.get(number, 0) - 1
        if not 0 <= label < len(CLASSES):
            raise DecodeError(
                f"imagelabels.mat has no class from 1 to {len(CLASSES)} for image {number}", url=files.url
            )
        record = {"__key__": f"image_{number:05d}", "image": File(f"jpg/image_{number:05d}.jpg"), "label": label}
        yield record | ({"mask": File(f"segmim/segmim_{number:05d}.jpg")} if segmentation else {})


def _integers(values: Any, path: str, url: str) -> list[int]:
    numbers = values.flatten().tolist() if isinstance(values, np.ndarray) else [math.nan]
    if not all(float(number).is_integer() for number in numbers):
        raise DecodeError(f"{path} has something else than whole numbers", url=url)
    return [int(number) for number in numbers]


def sample(files: Files, record: Mapping[str, Any], segmentation: bool) -> Sample:
    image = read_encoded(files, record, "image", _FIELDS["image"])
    made: Sample = {"image": image, "label": Label(record["label"], categories=CLASSES)}
    if segmentation:
        cut_out = read_encoded(files, record, "mask", _FIELDS["image"])
        if codecs.size(cut_out) != codecs.size(image):
            what = f"the cut-out flower has the size {codecs.size(cut_out)}, its picture {codecs.size(image)}"
            raise DecodeError(what, url=files.url, field="mask")
        made["mask"] = _flower(cut_out)
    return made


def _flower(cut_out: Encoded) -> Mask:
    """Where a picture of a flower before a blue wall is not the wall."""
    colour = torch.tensor(_BACKGROUND, dtype=torch.int16)[:, None, None]
    far = (codecs.decode(cut_out).plain().to(torch.int16) - colour).abs().amax(0)
    return Mask((far > _NEAR).to(torch.uint8), **_FIELDS["mask"].meta)


def fake(root: Path) -> None:
    """Twelve pictures: three to train with, four to validate, five to test; no set is in the order of numbers."""
    labels = [77, 1, 102, 1, 2, 3, 77, 4, 50, 102, 1, 9]
    sets = {"trnid": [7, 2, 10], "valid": [1, 12, 4, 3], "tstid": [5, 11, 6, 9, 8]}
    mat_file(root / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    mat_file(root / "setid.mat", {name: np.array([numbers], np.uint16) for name, numbers in sets.items()})
    sizes = {n: (40 + 2 * n, 64 - n) for n in range(1, 13)}
    tar_file(root / "102flowers.tgz", {f"jpg/image_{n:05d}.jpg": jpeg(photo(*sizes[n], n)) for n in sizes})
    tar_file(root / "102segmentations.tgz", {f"segmim/segmim_{n:05d}.jpg": jpeg(_cut_out(n, *sizes[n])) for n in sizes})


def _cut_out(number: int, height: int, width: int) -> Image:
    """The photograph in a disc, blue around it."""
    y, x = np.ogrid[:height, :width]
    inside = torch.from_numpy((y - height / 2) ** 2 + (x - width / 2) ** 2 < 15**2)
    blue = torch.tensor(_BACKGROUND, dtype=torch.uint8)[:, None, None]
    return Image(torch.where(inside, photo(height, width, number).plain() // 2 + 64, blue))
