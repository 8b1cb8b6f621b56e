"""ImageNet (ILSVRC 2012): 1,000 classes of WordNet, 1.28 million pictures; boxes where their archives are there.

A class's label is its rank among the wnids ("n01440764") of all classes, as everywhere; meta.mat counts in another order.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from vdata import codecs
from vdata.annotations import mat, numbered_lines, voc_objects, xml_texts
from vdata.annotations.boxes import real
from vdata.card import Archive, Card
from vdata.datasets._mat import mat_bytes
from vdata.datasets._voc import boxes_of
from vdata.encoded import Encoded, read_encoded
from vdata.errors import DataError, DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import BoundingBoxes, Label
from vdata.testing import jpeg, photo, png, tar_file

CLASS_COUNT = 1000
_DEVKIT = "ILSVRC2012_devkit_t12/data"
_META, _TRUTH = f"{_DEVKIT}/meta.mat", f"{_DEVKIT}/ILSVRC2012_validation_ground_truth.txt"
_PICTURES = (".jpeg", ".jpg", ".png")

_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), doc="the rank of the wnid among the 1,000, from 0"),
    "wnid": Field("str", doc='the class in WordNet, "n01440764"'),
    "words": Field("str", doc='the class in words, "tench, Tinca tinca"; where the devkit is there', optional=True),
    "boxes": Field("BoundingBoxes", "float32", ("N", 4), meta={"format": "XYXY"},
                   doc="where that archive is there; many training pictures have none", optional=True),
    "labels": Field("Label", "int64", ("N",), optional=True,
                    doc="of each box: as `label`, -1 where the file calls it by a word and not by a wnid that is known"),
}  # fmt: skip
_LOGIN = "log in at https://image-net.org/challenges/LSVRC/2012/2012-downloads.php, agree to the terms, and download it"

card = Card(
    name="imagenet",
    title="ImageNet (ILSVRC 2012)",
    task="classification, localization",
    home="https://image-net.org/challenges/LSVRC/2012/",
    licence="for non-commercial research and education, by ImageNet's terms of access; the photographs' copyright stays with "
    "their owners",
    citation="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015",
    splits={"train": 1_281_167, "val": 50_000},
    fields=_FIELDS,
    archives=(
        Archive("ILSVRC2012_img_train.tar", md5="1d675b47d978889d74fa0da5fadfb00e",
                manual=f"{_LOGIN} with ILSVRC2012_devkit_t12.tar.gz",
                when={"split": ("train",)}, tree="train", into="train/", nested=True),
        Archive("ILSVRC2012_img_val.tar", md5="29b22e2961454d5413ddabcf34fc5622",
                manual=f"{_LOGIN} with ILSVRC2012_devkit_t12.tar.gz",
                when={"split": ("val",)}, tree="val", into="val/"),
        Archive("ILSVRC2012_devkit_t12.tar.gz", md5="fa75699e90414af021442c21a62c3abf", manual=_LOGIN,
                tree={"train": _META, "val": _TRUTH}, held=("**",), optional=True),
        Archive("ILSVRC2012_bbox_train_v2.tar.gz", manual=_LOGIN, when={"split": ("train",)},
                tree="Annotations/train", into="Annotations/train/", held=("**",), optional=True),
        Archive("ILSVRC2012_bbox_val_v3.tgz", manual=_LOGIN, when={"split": ("val",)},
                tree="Annotations/val", into="Annotations/val/", held=("**",), optional=True),
    ),
    notes=(
        "classes have no names on this card: `words` gives them, from meta.mat (a few are the same for two classes)",
        "val is read flat, as its archive has it, or in folders of wnids; flat it needs the devkit",
        "without the devkit, labels are ranks of the folders' names, which needs all 1,000 of them",
        "torchvision's meta.bin is not read",
        "a few training pictures are PNG or CMYK under the name .JPEG: they are read as what they are, as RGB",
        "boxes are as the files have them, brought from the size that the file states to that of the picture; whether they "
        "count from 0 or 1 was not checked, nor was the layout of their archives",
        "the archives of boxes are compressed: without an index (`vdata index imagenet`) every process holds them in memory",
    ),
)  # fmt: skip


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """In the order of the wnids and then of the pictures' names, as torchvision has it.

    `__key__` is "n01440764/n01440764_10026", or "n01440764/ILSVRC2012_val_00000293" whether val is flat or not.
    """
    classes = _classes(files) if _META in files else None
    if split == "val" and classes is not None:
        listed = _by_truth(files, classes)
    else:
        listed = [(p.split("/")[1], p) for p in files.glob(f"{split}/*/*") if p.lower().endswith(_PICTURES)]
        classes = classes or _ranks(files, split, {wnid for wnid, _ in listed})
    notes = {
        p.rpartition("/")[2].removesuffix(".xml"): p for p in files.below(f"Annotations/{split}") if p.endswith(".xml")
    }
    for wnid, path in listed:
        if wnid not in classes:
            raise DataError(f"{path} is in the folder of no class: meta.mat has no class {wnid}", url=files.url)
        name = path.rpartition("/")[2].rpartition(".")[0]
        record = {"__key__": f"{wnid}/{name}", "image": File(path), "wnid": wnid}
        record |= {n: v for n, v in classes[wnid].items() if n != "id"}
        if notes:
            record |= {"boxes": name in notes, "labels": name in notes}
            record |= {"xml": File(notes[name])} if name in notes else {}
        yield record


def _classes(files: Files) -> dict[str, dict[str, Any]]:
    """wnid -> label and words, of meta.mat's synsets without children; "id" is what the ground truth calls it."""
    (synsets,) = mat(files, _META, "synsets")
    try:
        leaves = [s for s in synsets if int(s["num_children"]) == 0]
        known = {str(s["WNID"]): {"words": str(s["words"]), "id": int(s["ILSVRC2012_ID"])} for s in leaves}
    except (KeyError, TypeError, ValueError) as error:
        what = f"{_META} has synsets without ILSVRC2012_ID, WNID, words and num_children: {error!r}"
        raise DecodeError(what, url=files.url) from error
    if len(known) != CLASS_COUNT:
        raise DecodeError(f"{_META} has {len(known)} classes and should have {CLASS_COUNT}", url=files.url)
    return {wnid: {"label": n} | known[wnid] for n, wnid in enumerate(sorted(known))}


def _by_truth(files: Files, classes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(wnid, path) of every validation picture: line n of the ground truth is about picture n."""
    wnids = {str(c["id"]): wnid for wnid, c in classes.items()}
    truth = numbered_lines(files, _TRUTH)
    _check_length(files, len(truth))
    found = []
    for place, line in enumerate(truth, 1):
        if line not in wnids:
            raise DataError(f"line {place} of {_TRUTH} is no class of meta.mat: {line[:200]!r}", url=files.url)
        name = f"ILSVRC2012_val_{place:08d}.JPEG"
        flat, sorted_in = f"val/{name}", f"val/{wnids[line]}/{name}"
        found.append((wnids[line], sorted_in if sorted_in in files else flat))
    return sorted(found, key=lambda f: (f[0], f[1].rpartition("/")[2]))


def _check_length(files: Files, count: int) -> None:
    """DataError unless the last line of the ground truth is about the last picture: with a line too many or too few
    somewhere all labels after it would be of other pictures."""
    names = sorted(
        p.rpartition("/")[2] for pattern in ("val/", "val/*/") for p in files.glob(f"{pattern}ILSVRC2012_val_*.JPEG")
    )
    last = names[-1] if names else ""
    wanted = f"ILSVRC2012_val_{count:08d}.JPEG"
    if last > wanted:
        first = next(name for name in names if name > wanted)
        raise DataError(f"{_TRUTH} has {count} lines, and none for {first}", url=files.url, do="get the devkit again")
    if last < wanted:
        what = f"line {count} of {_TRUTH}, its last, is about {wanted}, and the last picture is {last or 'none'}"
        raise DataError(what, url=files.url, do="get what is incomplete again: labels may be shifted against pictures")


def _ranks(files: Files, split: str, wnids: set[str]) -> dict[str, dict[str, Any]]:
    """wnid -> label where there is no devkit."""
    if len(wnids) != CLASS_COUNT:
        some = f"{split}/ has {len(wnids)} folders of pictures, not {CLASS_COUNT}, so that their names do not tell the labels"
        raise DataError(
            some,
            url=files.url,
            do=f"Put ILSVRC2012_devkit_t12.tar.gz beside it: {_LOGIN}. Of other folders: vdata.from_folder",
        )
    return {wnid: {"label": n} for n, wnid in enumerate(sorted(wnids))}


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    image = read_encoded(files, record, "image", _FIELDS["image"])
    out: Sample = {"image": image, "label": Label(record["label"]), "wnid": record["wnid"]}
    if "words" in record:
        out["words"] = record["words"]
    if "boxes" in record:
        try:
            out["boxes"], out["labels"] = _boxes(files, record, image)
        except DataError as error:
            raise error.at(url=files.url, key=record["__key__"], field="boxes") from None
    return out


def _boxes(files: Files, record: Mapping[str, Any], image: Encoded) -> tuple[BoundingBoxes, Label]:
    height, width = codecs.size(image)
    if "xml" not in record:
        return boxes_of([], (height, width)), Label([], dtype=torch.int64)
    xml = files.read(record["xml"])
    texts = dict(xml_texts(xml))
    try:
        stated = [real(texts[f"annotation/size/{side}"]) for side in ("width", "height")]
    except (KeyError, ValueError) as error:
        raise DecodeError(f"the file of boxes states no size: {error}") from None
    if not all(1 <= side < float("inf") for side in stated):
        raise DecodeError(f"the file of boxes states the size {stated[0]} x {stated[1]}")
    across, down = width / stated[0], height / stated[1]
    found = voc_objects(xml, one_based=False, odd=True)
    corners = [(x1 * across, y1 * down, x2 * across, y2 * down) for x1, y1, x2, y2 in (o.box for o in found)]
    labels = [record["label"] if o.name == record["wnid"] else _label(files, o.name) for o in found]
    return boxes_of(corners, (height, width)), Label(labels, dtype=torch.int64)


def _label(files: Files, name: str) -> int:
    """Of a box that is not of its picture's class: -1 where no devkit tells, or where it is no wnid."""
    return _labels(files).get(name, -1) if name.startswith("n") and _META in files else -1


@lru_cache(4)
def _labels(files: Files) -> dict[str, int]:
    return {wnid: about["label"] for wnid, about in _classes(files).items()}


# -- fake --------------------------------------------------------------------------------------------------------------

_FAKE_TRAIN = {"n01440764": (10026, 9999), "n01443537": (2, 16, 22), "n02105855": (2933,), "n07720875": (4,)}
_FAKE_VAL = ("n02105855", "n01440764", "n01443537", "n01440764")


def fake(root: Path) -> None:
    """All five archives: seven training pictures of four classes, four validation pictures; two classes' boxes."""
    tars, notes = {}, {}
    for at, (wnid, numbers) in enumerate(_FAKE_TRAIN.items()):
        pictures = {f"{wnid}_{n}.JPEG": _fake_picture(wnid, n) for n in numbers}
        tars[f"{wnid}.tar"] = _tar(pictures)
        notes |= {f"{wnid}/{wnid}_{n}.xml": _fake_xml(wnid, wnid, 40, 52) for n in numbers[:1] if at < 2}
    tar_file(root / "ILSVRC2012_img_train.tar", tars)
    tar_file(root / "ILSVRC2012_bbox_train_v2.tar.gz", notes)
    names = [f"ILSVRC2012_val_{n:08d}" for n in range(1, len(_FAKE_VAL) + 1)]
    tar_file(root / "ILSVRC2012_img_val.tar", {f"{n}.JPEG": jpeg(photo(40 + i, 52, i)) for i, n in enumerate(names)})
    xmls = {f"val/{n}.xml": _fake_xml(w, "tench" if w == "n01440764" else w, 80, 104) for n, w in zip(names, _FAKE_VAL)}
    tar_file(root / "ILSVRC2012_bbox_val_v3.tgz", xmls)
    wnids = _fake_wnids()
    truth = "".join(f"{CLASS_COUNT - wnids.index(w)}\n" for w in _FAKE_VAL)
    kit = {_META: _fake_meta(wnids), _TRUTH: truth.encode(), f"{_DEVKIT.rpartition('/')[0]}/readme.txt": b"fake"}
    tar_file(root / "ILSVRC2012_devkit_t12.tar.gz", kit)


def _fake_picture(wnid: str, number: int) -> bytes:
    picture = photo(40 + number % 7, 52, number)
    if number == 2933:  # as in the real archive: a PNG
        return png(picture)
    if number == 22:
        out = io.BytesIO()
        Pillow.fromarray(picture.movedim(0, -1).numpy()).convert("CMYK").save(out, "JPEG")
        return out.getvalue()
    return jpeg(picture)


def _fake_xml(wnid: str, name: str, height: int, width: int) -> bytes:
    box = "<bndbox><xmin>4</xmin><ymin>6</ymin><xmax>24</xmax><ymax>30</ymax></bndbox>"
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><folder>{wnid}</folder>{size}<object><name>{name}</name>{box}</object></annotation>".encode()


def _fake_wnids() -> list[str]:
    """1,000 of them, sorted: those of the pictures and made-up ones."""
    return sorted([*_FAKE_TRAIN, *(f"n{3_000_000 + 17 * n:08d}" for n in range(CLASS_COUNT - len(_FAKE_TRAIN)))])


def _fake_meta(wnids: list[str]) -> bytes:
    """Synsets numbered against the order of their wnids, and two with children."""
    words = {"n01440764": "tench, Tinca tinca", "n01443537": "goldfish, Carassius auratus"}
    leaves = [(n + 1, w, words.get(w, f"thing {n}"), 0, []) for n, w in enumerate(reversed(wnids))]
    inner = [(CLASS_COUNT + n, f"n0000174{n}", "entity", 2, [1, 2]) for n in (1, 2)]
    synsets = [
        {
            "ILSVRC2012_ID": _number(n),
            "WNID": wnid,
            "words": text,
            "gloss": "fake",
            "num_children": _number(count),
            "children": _number(*below),
        }
        for n, wnid, text, count, below in [*leaves, *inner]
    ]
    return mat_bytes({"synsets": synsets})


def _number(*values: int) -> np.ndarray:
    return np.array([values], np.float64)


def _tar(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
