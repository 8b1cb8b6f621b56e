"""Oxford-IIIT Pet: cats and dogs of 37 breeds, with trimaps and, for most training images, a box around the head.

Read from `images.tar.gz` and `annotations.tar.gz` as downloaded. A compressed tar has no cheap random member, so that
is a stream in the archive's order; from the extracted tree, or with `images.tar` unpacked but not extracted, any
sample can be read at once, in the order of the split's list. Only what the list names is read: the archives also hold
MATLAB files and leavings of a Mac.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import torch
from PIL import Image as pillow

from vdata import codecs
from vdata.catalog import Archive, Card, how_to_get
from vdata.encoded import Encoded
from vdata.errors import DataError, DecodeError, ShardError, UnknownDatasetError
from vdata.field import Field
from vdata.files import Files, Held, Tars, Tree, tar_members
from vdata.source import Listed, Sample, Source, Stream, digest_of
from vdata.tensors import BoundingBoxes, Image, Label, Mask

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
_LINE = re.compile(r"(\S+)\s+([0-9]{1,2})\s+([12])\s+\S+")
_BOX = "annotation/object/bndbox"
_MAX_XML, _MAX_DEPTH = 1 << 20, 16

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), meta={"categories": BREEDS}, doc="the breed"),
    "species": Field("Label", "int64", (), meta={"categories": SPECIES}),
    "mask": Field("Mask", "uint8", ("H", "W"), meta={"kind": "semantic"}, doc="trimap: 1 pet, 2 background, 3 border"),
    "boxes": Field("BoundingBoxes", "float32", ("N", 4), meta={"format": "XYXY"}, doc="the head; none for test images"),
    "labels": Field("Label", "int64", ("N",), meta={"categories": BREEDS}, doc="the breed, for each box"),
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
                md5="5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        Archive("annotations.tar.gz", "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz", 19_173_078,
                sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                md5="95a8c909bbe2e81eed6a22bccdf3f68f"),
    ),
    folder="oxford-iiit-pet",
    notes=(
        "a few images are PNG or GIF under the name .jpg, some with alpha: they are read as what they are",
        "boxes are in continuous coordinates: the file's 1-based inclusive corners, the upper left one less 1",
    ),
)  # fmt: skip


def source(root: Path, split: str) -> Source | Stream:
    """Samples of a split; `__key__` is the image's name, "Abyssinian_1"."""
    root = Path(root)
    places = [root / card.folder, root]
    annotations, images = _annotations(places), _images(places)
    if annotations is None or images is None:
        raise UnknownDatasetError(f"{card.name} is not in {root}. {how_to_get(card)}")
    records = _listed(annotations, split)
    reader = _Reader(annotations, images if isinstance(images, Path) else images.url)
    if isinstance(images, Path):
        return PetStream(split, records, reader, images)
    _all_there(images, (f"images/{r['__key__']}.jpg" for r in records), "image")
    return Listed(card.name, records, _Joined(reader, images), fields=_FIELDS)


def _annotations(places: list[Path]) -> Files | None:
    for place in places:
        if (place / "annotations").is_dir():
            return Tree(place)
    archives = [place / name for place in places for name in ("annotations.tar", "annotations.tar.gz")]
    return next((Held(a, _is_annotation) for a in archives if a.is_file()), None)


def _images(places: list[Path]) -> Files | Path | None:
    """The images; the path of the compressed archive where there is nothing better."""
    for place in places:
        if (place / "images").is_dir():
            return Tree(place)
    for place in places:
        if (place / "images.tar").is_file():
            return Tars([place / "images.tar"])
    return next((place / "images.tar.gz" for place in places if (place / "images.tar.gz").is_file()), None)


def _is_annotation(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder in ("annotations", "annotations/trimaps", "annotations/xmls") and not file.startswith(".")


def _listed(annotations: Files, split: str) -> list[dict[str, Any]]:
    """The split's list, one record a line, every trimap present."""
    path = f"annotations/{split}.txt"
    records = []
    for number, line in enumerate(annotations.read(path).decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None or not 1 <= int(parts[2]) <= len(BREEDS):
            what = f"line {number} of {path} is not a name, a breed of 1 to 37, a species of 1 or 2 and a number"
            raise DataError(f"{what}: {line[:200]!r}", url=annotations.url)
        records.append({"__key__": parts[1], "label": int(parts[2]) - 1, "species": int(parts[3]) - 1})
    if len({r["__key__"] for r in records}) != len(records):
        raise DataError(f"{path} names an image twice", url=annotations.url)
    _all_there(annotations, (f"annotations/trimaps/{r['__key__']}.png" for r in records), "mask")
    return records


def _all_there(files: Files, wanted: Iterator[str], field: str) -> None:
    wanted_names = list(wanted)
    present = {name for folder in {n.rpartition("/")[0] for n in wanted_names} for name in files.glob(f"{folder}/*")}
    missing = [n for n in wanted_names if n not in present]
    if missing:
        raise _absent(missing, files.url, field)


def _absent(missing: list[str], url: str, field: str) -> DataError:
    some = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return DataError(
        f"the split's list names what is not there: {some}",
        url=url,
        field=field,
        do="extract or download the archive again",
    )


@dataclass(frozen=True)
class _Reader:
    """An image's bytes and its record to a sample."""

    annotations: Files
    images_url: Any

    def sample(self, record: Mapping[str, Any], image: bytes) -> Sample:
        key = record["__key__"]
        picture = Encoded(
            image, "Image", "jpg", where={"url": str(self.images_url), "key": key, "field": "image"}, orient=False
        )
        path = f"annotations/trimaps/{key}.png"
        trimap = Encoded(
            self.annotations.read(path), "Mask", "png", meta={"kind": "semantic"},
            where={"url": self.annotations.url, "key": key, "field": "mask"}, orient=False,
        )  # fmt: skip
        heads = self._heads(key)
        return {
            "__key__": key,
            "image": picture,
            "label": Label(record["label"], categories=BREEDS),
            "species": Label(record["species"], categories=SPECIES),
            "mask": trimap,
            "boxes": BoundingBoxes(torch.tensor(heads).reshape(-1, 4), format="XYXY", canvas_size=codecs.size(picture)),
            "labels": Label([record["label"]] * len(heads), categories=BREEDS, dtype=torch.int64),
        }

    def _heads(self, key: str) -> list[tuple[float, ...]]:
        path = f"annotations/xmls/{key}.xml"
        if path not in self.annotations:
            return []
        try:
            return voc_boxes(self.annotations.read(path))
        except DataError as error:
            raise error.at(url=self.annotations.url, key=key, field="boxes") from None


@dataclass(frozen=True)
class _Joined:
    """A record to a sample, where any image can be read."""

    reader: _Reader
    images: Files

    def __call__(self, record: Mapping[str, Any]) -> Sample:
        return self.reader.sample(record, self.images.read(f"images/{record['__key__']}.jpg"))


class PetStream(Stream):
    """The images of a split in the order of `images.tar.gz`; at the end, DataError for those that were not in it."""

    name = card.name
    fields = _FIELDS
    why = "images.tar.gz is compressed as a whole: pack the pipe once with .pack(url), or gunzip it to images.tar"

    def __init__(self, split: str, records: list[dict[str, Any]], reader: _Reader, path: Path):
        self.path, self.reader = path, reader
        self.records = {f"images/{r['__key__']}.jpg": r for r in records}
        self.digest = digest_of(card.name, split, list(self.records.values()), path.stat().st_size)

    def read_from(self, start: int) -> Iterator[Sample]:
        left = dict(self.records)
        for number, (name, data) in enumerate(tar_members(self.path, self.records.__contains__)):
            if name not in left:
                raise ShardError(f"{name} is in the archive twice", url=str(self.path))
            record = left.pop(name)
            if number >= start:
                yield self.reader.sample(record, data)
        if left:
            raise _absent(list(left), str(self.path), "image")


def voc_boxes(xml: bytes) -> list[tuple[float, ...]]:
    """Corners (x1, y1, x2, y2) of the objects of a PASCAL VOC file, in continuous coordinates.

    The file counts pixels from 1 and includes both corners, so the upper left corner moves by one.

    >>> sides = "<xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>8</ymax>"
    >>> voc_boxes(f"<annotation><object><bndbox>{sides}</bndbox></object></annotation>".encode())
    [(0.0, 1.0, 4.0, 8.0)]
    """
    found: list[dict[str, str]] = []
    sides: dict[str, str] = {}
    for path, text in _xml_texts(xml):
        if path == _BOX:
            found.append(sides)
            sides = {}
        elif path.startswith(_BOX + "/"):
            sides[path.removeprefix(_BOX + "/")] = text
    try:
        corners = [tuple(float(box[side]) for side in ("xmin", "ymin", "xmax", "ymax")) for box in found]
    except (KeyError, ValueError) as error:
        raise DecodeError(f"a box without a corner, or one that is no number: {error}") from None
    if not np.isfinite(corners).all():
        raise DecodeError("a box with a corner that is not finite")
    return [(x1 - 1, y1 - 1, x2, y2) for x1, y1, x2, y2 in corners]


def _xml_texts(xml: bytes) -> list[tuple[str, str]]:
    """(path, text) of every element, where it ends: its parts come before it.

    A document type, which could make a small file large or name other files, is refused.
    """
    if len(xml) > _MAX_XML:
        raise DecodeError(f"an XML file of {len(xml)} bytes, more than {_MAX_XML}")
    out: list[tuple[str, str]] = []
    stack: list[str] = []
    text: list[str] = []
    parser = expat.ParserCreate()

    def begin(tag: str, _: dict[str, str]) -> None:
        stack.append(tag)
        text.clear()
        if len(stack) > _MAX_DEPTH:
            raise DecodeError(f"XML nested more than {_MAX_DEPTH} deep", byte=parser.CurrentByteIndex)

    def end(_: str) -> None:
        out.append(("/".join(stack), "".join(text).strip()))
        stack.pop()
        text.clear()

    def refuse(*_: Any) -> None:
        raise DecodeError("an XML file with a document type is not read", byte=parser.CurrentByteIndex)

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text.append, refuse
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an encoding that nobody knows
        raise DecodeError(f"broken XML: {error}", byte=parser.CurrentByteIndex) from error
    return out


# -- fake --------------------------------------------------------------------------------------------------------------

_FAKE = {
    "trainval": ("Abyssinian_1 1 1 1", "american_bulldog_10 2 2 1", "British_Shorthair_2 10 1 5",
                 "yorkshire_terrier_3 37 2 25", "Abyssinian_34 1 1 1"),
    "test": ("Abyssinian_201 1 1 1", "yorkshire_terrier_100 37 2 25", "american_bulldog_100 2 2 1"),
}  # fmt: skip


def fake(root: Path) -> None:
    """Both archives, with strays: 5 and 3 images of 36 x 44 pixels or more, one a PNG with alpha, one without a box."""
    rows = [row for split in _FAKE.values() for row in split]
    images: dict[str, bytes] = {"images/Abyssinian_100.mat": b"MATLAB 5.0"}
    notes: dict[str, bytes] = {"annotations/README": b"fake", "annotations/trimaps/._Abyssinian_1.png": b"\0\5\x16\7"}
    for split, lines in _FAKE.items():
        notes[f"annotations/{split}.txt"] = "".join(f"{line}\n" for line in lines).encode()
    notes["annotations/list.txt"] = "\n".join(["#Image CLASS-ID SPECIES BREED ID", *rows]).encode()
    for number, row in enumerate(rows):
        name = row.split()[0]
        height, width = 36 + 2 * number, 44 + number
        rng = np.random.default_rng(number)
        trimap = torch.full((height, width), 2, dtype=torch.uint8)
        trimap[6:30, 8:34], trimap[9:27, 11:31] = 3, 1
        images[f"images/{name}.jpg"] = _fake_photo(rng, height, width, as_png=name == "Abyssinian_34")
        notes[f"annotations/trimaps/{name}.png"] = codecs.encode(Mask(trimap))[1]
        if row in _FAKE["trainval"] and name != "american_bulldog_10":
            notes[f"annotations/xmls/{name}.xml"] = _fake_xml(
                name, height, width, "cat" if row.split()[2] == "1" else "dog"
            )
    _fake_tar(Path(root) / "images.tar.gz", images)
    _fake_tar(Path(root) / "annotations.tar.gz", notes)


def _fake_photo(rng: np.random.Generator, height: int, width: int, *, as_png: bool) -> bytes:
    coarse = torch.from_numpy(rng.integers(0, 256, (1, 4 if as_png else 3, 6, 6)).astype(np.float32))
    pixels = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0].to(torch.uint8)
    if as_png:
        return codecs.encode(Image(pixels))[1]
    out = BytesIO()
    pillow.fromarray(pixels.permute(1, 2, 0).numpy()).save(out, "JPEG")
    return out.getvalue()


def _fake_xml(name: str, height: int, width: int, species: str) -> bytes:
    return (
        f"<annotation><folder>OXIIIT</folder><filename>{name}.jpg</filename>"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size><segmented>0</segmented>"
        f"<object><name>{species}</name><pose>Frontal</pose><truncated>0</truncated><occluded>0</occluded>"
        "<bndbox><xmin>12</xmin><ymin>10</ymin><xmax>24</xmax><ymax>20</ymax></bndbox><difficult>0</difficult>"
        "</object></annotation>"
    ).encode()


def _fake_tar(path: Path, members: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in sorted(members.items(), reverse=True):  # not the order of the lists
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, BytesIO(data))
