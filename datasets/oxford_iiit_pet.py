"""Oxford-IIIT Pet: cats and dogs of 37 breeds, with trimaps and, for most training images, a box around the head.

Only what the split's list names is read: the archives also hold MATLAB files and leavings of a Mac.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from vdata import codecs
from vdata.annotations import VocObject, lines, voc_objects
from vdata.card import Archive, Card
from vdata.datasets._voc import boxes_of, flag_fields, flags_of
from vdata.encoded import read_encoded
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import Label, Mask
from vdata.testing import jpeg, photo, png, tar_file

# In the numeric order of the list's second column, which is alphabetical without regard to case.
BREEDS = (
    "Abyssinian", "American Bulldog", "American Pit Bull Terrier", "Basset Hound", "Beagle", "Bengal", "Birman",
    "Bombay", "Boxer", "British Shorthair", "Chihuahua", "Egyptian Mau", "English Cocker Spaniel", "English Setter",
    "German Shorthaired", "Great Pyrenees", "Havanese", "Japanese Chin", "Keeshond", "Leonberger", "Maine Coon",
    "Miniature Pinscher", "Newfoundland", "Persian", "Pomeranian", "Pug", "Ragdoll", "Russian Blue", "Saint Bernard",
    "Samoyed", "Scottish Terrier", "Shiba Inu", "Siamese", "Sphynx", "Staffordshire Bull Terrier", "Wheaten Terrier",
    "Yorkshire Terrier",
)  # fmt: skip
SPECIES = ("cat", "dog")
_LINE = re.compile(r"(\S+)\s+([0-9]{1,2})\s+([12])\s+([0-9]{1,2})")

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), meta={"categories": BREEDS}, doc="the breed"),
    "species": Field("Label", "int64", (), meta={"categories": SPECIES}),
    "breed_id": Field("int", doc="the breed's number among those of its species, from 1, as the list has it"),
    "mask": Field("Mask", "uint8", ("H", "W"), meta={"kind": "semantic"}, doc="trimap: 1 pet, 2 background, 3 border"),
    "boxes": Field("BoundingBoxes", "float32", ("N", 4), meta={"format": "XYXY"}, doc="the head; none for test images"),
    "labels": Field("Label", "int64", ("N",), meta={"categories": BREEDS}, doc="the breed, for each box"),
    **flag_fields(),
}

card = Card(
    name="oxford_iiit_pet",
    title="Oxford-IIIT Pet",
    task="classification, segmentation, detection",
    home="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    licence="CC BY-SA 4.0; the photographs' copyright stays with their owners",
    citation="Parkhi, Vedaldi, Zisserman and Jawahar, Cats and Dogs, CVPR 2012",
    splits={"trainval": 3680, "test": 3669},
    fields=_FIELDS,
    archives=(
        Archive("images.tar.gz", "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz", 791_918_971,
                sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
                mirrors=("https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",), tree="images"),
        Archive("annotations.tar.gz", "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz", 19_173_078,
                sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                md5="95a8c909bbe2e81eed6a22bccdf3f68f",
                mirrors=("https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz",),
                tree="annotations", held=("**",)),
    ),
    folder="oxford-iiit-pet",
    notes=(
        'torchvision\'s target_types are fields: "category" is label, "binary-category" species, "segmentation" mask',
        "a few images are PNG or GIF under the name .jpg, some with alpha: they are read as what they are",
        "boxes are in continuous coordinates: the file's corners, taken to be 1-based and inclusive as in PASCAL VOC "
        "(not verified), the upper left one less 1",
    ),
)  # fmt: skip


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """In the order of the split's list; `__key__` is the image's name, "Abyssinian_1"."""
    path = f"annotations/{split}.txt"
    for line in lines(files, path):
        if line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None or not 1 <= int(parts[2]) <= len(BREEDS):
            raise DataError(f"{path} has a line that is not a name, a breed of 1 to 37, a species of 1 or 2 and a number: {line[:200]!r}",
                            url=files.url)  # fmt: skip
        name = parts[1]
        record = {
            "__key__": name, "image": File(f"images/{name}.jpg"), "mask": File(f"annotations/trimaps/{name}.png"),
            "label": int(parts[2]) - 1, "species": int(parts[3]) - 1, "breed_id": int(parts[4]),
        }  # fmt: skip
        xml = f"annotations/xmls/{name}.xml"
        yield record | ({"xml": File(xml)} if xml in files else {})


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    image = read_encoded(files, record, "image", _FIELDS["image"])
    heads = _heads(files, record)
    return {
        "image": image,
        "label": Label(record["label"], categories=BREEDS),
        "species": Label(record["species"], categories=SPECIES),
        "breed_id": record["breed_id"],
        "mask": read_encoded(files, record, "mask", _FIELDS["mask"]),
        "boxes": boxes_of((h.box for h in heads), codecs.size(image)),
        "labels": Label([record["label"]] * len(heads), categories=BREEDS, dtype=torch.int64),
        **flags_of(heads),
    }


def _heads(files: Files, record: Mapping[str, Any]) -> list[VocObject]:
    try:
        return voc_objects(files.read(record["xml"])) if "xml" in record else []
    except DataError as error:
        raise error.at(url=files.url, key=record["__key__"], field="boxes") from None


# -- fake --------------------------------------------------------------------------------------------------------------

_FAKE = {
    "trainval": ("Abyssinian_1 1 1 1", "american_bulldog_10 2 2 1", "British_Shorthair_2 10 1 5",
                 "yorkshire_terrier_3 37 2 25", "Abyssinian_34 1 1 1"),
    "test": ("Abyssinian_201 1 1 1", "yorkshire_terrier_100 37 2 25", "american_bulldog_100 2 2 1"),
}  # fmt: skip
_NO_BOX = "american_bulldog_10"
_PNG = "Abyssinian_34"


def fake(root: Path) -> None:
    """Both archives, with strays: 5 and 3 images of 36 x 44 pixels or more, one a PNG with alpha, one without a box."""
    rows = [row for split in _FAKE.values() for row in split]
    images: dict[str, bytes] = {"images/Abyssinian_100.mat": b"MATLAB 5.0"}
    notes: dict[str, bytes] = {"annotations/README": b"fake", "annotations/trimaps/._Abyssinian_1.png": b"\0\5\x16\7"}
    for split, listed in _FAKE.items():
        notes[f"annotations/{split}.txt"] = "".join(f"{line}\n" for line in listed).encode()
    notes["annotations/list.txt"] = "\n".join(["#Image CLASS-ID SPECIES BREED ID", *rows]).encode()
    for number, row in enumerate(rows):
        name, _, species, _ = row.split()
        height, width = 36 + 2 * number, 44 + number
        trimap = torch.full((height, width), 2, dtype=torch.uint8)
        trimap[6:30, 8:34], trimap[9:27, 11:31] = 3, 1
        picture = photo(height, width, number, channels=4 if name == _PNG else 3)
        images[f"images/{name}.jpg"] = png(picture) if name == _PNG else jpeg(picture)
        notes[f"annotations/trimaps/{name}.png"] = png(Mask(trimap))
        if row in _FAKE["trainval"] and name != _NO_BOX:
            notes[f"annotations/xmls/{name}.xml"] = _fake_xml(
                name, height, width, SPECIES[int(species) - 1], number % 2
            )
    tar_file(root / "images.tar.gz", images)
    tar_file(root / "annotations.tar.gz", notes)


def _fake_xml(name: str, height: int, width: int, species: str, odd: int) -> bytes:
    return (
        f"<annotation><folder>OXIIIT</folder><filename>{name}.jpg</filename>"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size><segmented>0</segmented>"
        f"<object><name>{species}</name><pose>{'Left' if odd else 'Frontal'}</pose><truncated>{odd}</truncated>"
        "<occluded>0</occluded><bndbox><xmin>12</xmin><ymin>10</ymin><xmax>24</xmax><ymax>20</ymax></bndbox>"
        "<difficult>0</difficult></object></annotation>"
    ).encode()
