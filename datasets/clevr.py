"""CLEVR: rendered scenes of three to ten objects; how many are there, what is each, and where?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from vdata import codecs
from vdata.annotations import json_of
from vdata.card import Archive, Card, Option
from vdata.encoded import read_encoded
from vdata.errors import DataError, DecodeError
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.table import File
from vdata.tensors import KeyPoints, Label
from vdata.testing import photo, png, zip_file

SHAPES = ("cube", "cylinder", "sphere")
COLOURS = ("blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow")
MATERIALS = ("metal", "rubber")
SIZES = ("large", "small")

_ROOT = "CLEVR_v1.0"
_KINDS = {"shapes": SHAPES, "colours": COLOURS, "materials": MATERIALS, "sizes": SIZES}


def _kinds(names: tuple[str, ...], what: str) -> Field:
    return Field("Label", "int64", ("N",), meta={"categories": names}, doc=f"the {what} of each object")


_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W"), doc="the alpha channel is dropped"),
    "label": Field("Label", "int64", (), doc="how many objects there are: the number itself, not a class counted from 0"),
    "keypoints": Field("KeyPoints", "float32", ("N", 2), doc="where the centre of each object is seen, to the pixel"),
    "shapes": _kinds(SHAPES, "shape"),
    "colours": _kinds(COLOURS, "colour"),
    "materials": _kinds(MATERIALS, "material"),
    "sizes": _kinds(SIZES, "size"),
    "depths": Field("json", doc="of each object, as the camera sees it"),
    "rotations": Field("json", doc="of each object about its vertical axis, in degrees"),
    "positions": Field("json", doc="[x, y, z] of each object in the scene"),
    "relations": Field("json", doc='["left"][i]: the objects to the left of object i; so "right", "front", "behind"'),
    "directions": Field("json", doc='what "left", "right", "front", "behind", "above", "below" are in the scene: [x, y, z]'),
    "questions": Field("json", optional=True, doc="the file's questions on the picture; answers and programs not for test"),
}  # fmt: skip

card = Card(
    name="clevr",
    title="CLEVR (v1.0)",
    task="classification, key points, visual questions",
    home="https://cs.stanford.edu/people/jcjohns/clevr/",
    licence="CC BY 4.0 (not verified)",
    citation="Johnson, Hariharan, van der Maaten, Fei-Fei, Zitnick and Girshick, CLEVR: A Diagnostic Dataset for Compositional "
    "Language and Elementary Visual Reasoning, CVPR 2017",
    splits={"train": 70_000, "val": 15_000, "test": 15_000},
    fields=_FIELDS,
    archives=(
        Archive(
            "CLEVR_v1.0.zip",
            "https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip",
            bytes=19_021_600_724,
            md5="b11922020e72d0cd9154779b2d3d07d2",
            sha256="5cd61cf1096ed20944df93c9adb31e74d189b8459a94f54ba00090e5c59936d1",
            tree=_ROOT,
        ),
    ),
    options={
        "questions": Option(
            False,
            (False, True),
            "read the questions too: for the train split that takes a few gigabytes of memory for a while",
        )
    },
    folder="clevr",
    absent={"test": tuple(n for n in _FIELDS if n not in ("image", "questions"))},
    notes=(
        "the scenes of the test split were never published: it has pictures and questions only",
        "there are no boxes and no masks",
        "transforms that drop key points, as SanitizeKeyPoints, drop the points alone; for what goes with them say instances="
        'T.Instances("keypoints", "shapes", "colours", "materials", "sizes"); the JSON fields and label keep all objects',
        "the numbers of shapes, colours, materials and sizes follow the alphabet: the files have names only",
    ),
)


# -- what the files say --------------------------------------------------------------------------------------------------


class _Object(msgspec.Struct):
    shape: str
    color: str
    material: str
    size: str
    rotation: float
    position: tuple[float, float, float] = msgspec.field(name="3d_coords")
    pixel: tuple[float, float, float] = msgspec.field(name="pixel_coords")


class _Scene(msgspec.Struct):
    """The README calls the relations "relations"; the program that wrote the files, "relationships"."""

    image_filename: str
    objects: list[_Object]
    directions: msgspec.Raw
    relationships: msgspec.Raw = msgspec.Raw()
    relations: msgspec.Raw = msgspec.Raw()


class _Scenes(msgspec.Struct):
    scenes: list[_Scene]


class _Questions(msgspec.Struct):
    questions: list[msgspec.Raw]


class _Asked(msgspec.Struct):
    image_filename: str


def samples(files: Files, split: str, questions: bool) -> Iterator[dict[str, Any]]:
    """`__key__` is "CLEVR_train_000000"; the order is that of the names."""
    pictures = {path.rpartition("/")[2] for path in files.glob(f"{_ROOT}/images/{split}/CLEVR_{split}_*.png")}
    scenes = {} if split == "test" else _scenes(files, split)
    asked = _asked(files, split) if questions else {}
    known = pictures | set(asked) if split == "test" else set(scenes)
    for name in sorted(pictures | known | set(asked)):
        if name not in known:
            raise DataError(
                f"{name} has no scene in CLEVR_{split}_scenes.json", url=files.url, key=name.removesuffix(".png")
            )
        record = {"__key__": name.removesuffix(".png"), "image": File(f"{_ROOT}/images/{split}/{name}")}
        if name in scenes:
            record |= _described(scenes.pop(name), record["__key__"], files.url)
        yield record | ({"questions": f"[{','.join(asked.get(name, ()))}]"} if questions else {})


def _scenes(files: Files, split: str) -> dict[str, _Scene]:
    scenes = json_of(files, f"{_ROOT}/scenes/CLEVR_{split}_scenes.json", _Scenes).scenes
    found = {scene.image_filename: scene for scene in scenes}
    if len(found) < len(scenes):
        raise DataError(f"CLEVR_{split}_scenes.json describes a picture twice", url=files.url)
    return found


def _described(scene: _Scene, key: str, url: str) -> dict[str, Any]:
    objects = scene.objects
    names = {
        "shapes": [o.shape for o in objects],
        "colours": [o.color for o in objects],
        "materials": [o.material for o in objects],
        "sizes": [o.size for o in objects],
    }
    for field, values in names.items():
        unknown = [value for value in values if value not in _KINDS[field]]
        if unknown:
            raise DataError(
                f"an object is {unknown[0]!r}, not {' or '.join(_KINDS[field])}", url=url, key=key, field=field
            )
    relations = bytes(scene.relationships) or bytes(scene.relations)
    if not relations:
        raise DataError("the scene has no relationships", url=url, key=key, field="relations")
    return {
        "label": len(objects),
        "keypoints": [o.pixel[:2] for o in objects],
        **{field: [_KINDS[field].index(value) for value in values] for field, values in names.items()},
        "depths": [o.pixel[2] for o in objects],
        "rotations": [o.rotation for o in objects],
        "positions": [o.position for o in objects],
        "relations": _text(relations, url, key, "relations"),
        "directions": _text(bytes(scene.directions), url, key, "directions"),
    }


def _text(raw: bytes, url: str, key: str, field: str) -> str:
    """JSON as the text that it is; DecodeError unless a sample can read it."""
    try:
        msgspec.json.decode(raw)
        return raw.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"it is not the JSON it should be: {error}", url=url, key=key, field=field) from error


def _asked(files: Files, split: str) -> dict[str, list[str]]:
    """Picture -> its questions, as they stand in the file: 700,000 of them as objects would fill the memory."""
    path = f"{_ROOT}/questions/CLEVR_{split}_questions.json"
    found: dict[str, list[str]] = {}
    for number, raw in enumerate(json_of(files, path, _Questions).questions):
        text = _text(bytes(raw), f"{files.url}/{path}", f"question {number}, counted from 0", "questions")
        try:
            about = msgspec.json.decode(raw, type=_Asked)
        except msgspec.ValidationError as error:
            what = f"question {number} (counted from 0) of {path} is of no picture: {error}"
            raise DecodeError(what, url=files.url) from error
        found.setdefault(about.image_filename, []).append(text)
    return found


# -- one sample ----------------------------------------------------------------------------------------------------------


def sample(files: Files, record: Mapping[str, Any], questions: bool) -> Sample:
    """The files give points in pixels from the picture's corner, rounded: they are continuous coordinates already."""
    image = read_encoded(files, record, "image", _FIELDS["image"])
    out: Sample = {"image": image}
    if "label" in record:
        points = torch.tensor(record["keypoints"], dtype=torch.float32).reshape(-1, 2)
        out["label"] = Label(record["label"])
        out["keypoints"] = KeyPoints(points, canvas_size=codecs.size(image))
        out |= {n: Label(torch.tensor(record[n], dtype=torch.int64), categories=c) for n, c in _KINDS.items()}
        out |= {n: record[n] for n in ("depths", "rotations", "positions")}
        out |= {n: msgspec.json.decode(record[n]) for n in ("relations", "directions")}
    if questions:
        out["questions"] = msgspec.json.decode(record["questions"])
    return out


# -- fake data -----------------------------------------------------------------------------------------------------------

_AXES = {"right": (0.65, 0.75), "left": (-0.65, -0.75), "behind": (-0.75, 0.65), "front": (0.75, -0.65)}


def fake(root: Path) -> None:
    """`CLEVR_v1.0.zip` with a few RGBA pictures; the scenes and questions stand in another order than the pictures."""
    members: dict[str, bytes] = {"CLEVR_v1.0/README.txt": b"fake\n"}
    for split, count in (("train", 4), ("val", 3), ("test", 2)):
        names = [f"CLEVR_{split}_{index:06}.png" for index in range(count)]
        for index, name in enumerate(names):
            members[f"{_ROOT}/images/{split}/{name}"] = png(photo(32, 48, count, index, channels=4))
        if split != "test":
            scenes = [_fake_scene(split, index, name) for index, name in enumerate(names)]
            members[f"{_ROOT}/scenes/CLEVR_{split}_scenes.json"] = _file(split, "scenes", scenes[::-1])
        some = [_fake_question(split, index, name, n) for index, name in enumerate(names) for n in range(3 - index % 4)]
        members[f"{_ROOT}/questions/CLEVR_{split}_questions.json"] = _file(split, "questions", some[::-1])
    zip_file(root / "CLEVR_v1.0.zip", members)


def _file(split: str, name: str, rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"info": {"split": split, "version": "1.0", "license": "CC BY 4.0"}, name: rows}).encode()


def _fake_scene(split: str, index: int, name: str) -> dict[str, Any]:
    count = (3, 10, 6, 4)[index]
    places = [((7 * i + 3 * index) % 11 / 2 - 2.75, (4 * i + index) % 13 / 2 - 3.0) for i in range(count)]
    objects = [
        {
            "shape": SHAPES[(i + index) % 3],
            "color": COLOURS[(3 * i + index) % 8],
            "material": MATERIALS[i % 2],
            "size": SIZES[i // 2 % 2],
            "rotation": 36.5 * i,
            "3d_coords": [x, y, 0.7 - 0.35 * (i // 2 % 2)],
            "pixel_coords": [round(24 + 7 * x), round(16 - 4 * y), 9.0 + y / 4],
        }
        for i, (x, y) in enumerate(places)
    ]
    beside = {
        side: [[j for j, (u, v) in enumerate(places) if (u - x) * a + (v - y) * b > 0.2] for x, y in places]
        for side, (a, b) in _AXES.items()
    }
    directions = {side: [*axis, 0.0] for side, axis in _AXES.items()} | {
        "above": [0.0, 0.0, 1.0],
        "below": [0.0, 0.0, -1.0],
    }
    return {
        "split": split, "image_index": index, "image_filename": name, "objects": objects, "relationships": beside,
        "directions": directions,
    }  # fmt: skip


def _fake_question(split: str, index: int, name: str, number: int) -> dict[str, Any]:
    asked = {
        "split": split,
        "image_index": index,
        "image_filename": name,
        "question": f"How many things are there? {number}",
    }
    if split == "test":
        return asked
    program = [
        {"inputs": [], "function": "scene", "value_inputs": []},
        {"inputs": [0], "function": "count", "value_inputs": []},
    ]
    return asked | {"answer": str((3, 10, 6, 4)[index]), "program": program, "question_family_index": number}
