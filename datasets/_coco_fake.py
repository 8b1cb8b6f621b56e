"""Made-up COCO: all of its archives, tiny, in the real format."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from vdata.datasets._coco_classes import KEYPOINTS, STUFF, THINGS
from vdata.tensors import Image
from vdata.testing import jpeg, photo, png, zip_file

_SPLITS = {"train": 3, "val": 2, "test": 2}
_SIZES = ((48, 64), (64, 48), (40, 40))


def archives(root: Path) -> None:
    for year in (2017, 2014):
        for split, count in _SPLITS.items():
            listed = [_picture(year, split, number) for number in range(count)]
            zip_file(root / f"{split}{year}.zip", {f"{split}{year}/{p['file_name']}": _jpeg(p) for p in listed})
        files = {}
        for split in ("train", "val"):
            files |= _annotations(split, year)
        zip_file(root / f"annotations_trainval{year}.zip", files)
        told = {"info": {}, "images": _pictures("test", year), "licenses": [], "categories": _categories(THINGS)}
        zip_file(root / f"image_info_test{year}.zip", {f"annotations/image_info_test{year}.json": _json(told)})
    panoptic = {name: data for split in ("train", "val") for name, data in _panoptic(split).items()}
    zip_file(root / "panoptic_annotations_trainval2017.zip", panoptic)


def _picture(year: int, split: str, number: int) -> dict[str, Any]:
    """Ids fall while numbers rise: files do not list pictures by id."""
    identity = 100 * (1 + list(_SPLITS).index(split)) - 30 * number
    height, width = _SIZES[number]
    name = f"{identity:012d}.jpg" if year == 2017 else f"COCO_{split}2014_{identity:012d}.jpg"
    return {"license": 3, "file_name": name, "coco_url": f"http://images.cocodataset.org/{split}{year}/{name}",
            "height": height, "width": width, "date_captured": "2013-11-14 17:02:52", "id": identity}  # fmt: skip


def _pictures(split: str, year: int) -> list[dict[str, Any]]:
    return [_picture(year, split, number) for number in range(_SPLITS[split])]


def _jpeg(about: dict[str, Any]) -> bytes:
    """The second picture of a split says in its EXIF that it should be turned: annotations lie on it as it is stored."""
    height, width = about["height"], about["width"]
    if (height, width) == _SIZES[1]:
        exif = Pillow.Exif()
        exif[274] = 6
        out = io.BytesIO()
        pixels = photo(height, width, about["id"]).movedim(0, -1).numpy()
        Pillow.fromarray(pixels).save(out, "JPEG", exif=exif)
        return out.getvalue()
    grey = (height, width) == _SIZES[2]
    return jpeg(photo(height, width, about["id"], channels=1 if grey else 3))


def _annotations(split: str, year: int) -> dict[str, bytes]:
    """The picture in the middle has no objects, the first one a crowd; a person has key points, and a car has none."""
    pictures = _pictures(split, year)
    first, last = pictures[0], pictures[-1]
    square = [4.5, 6.0, 20.5, 6.0, 20.5, 30.25, 4.5, 30.25]
    triangle = [30.0, 5.0, 44.0, 20.0, 31.5, 28.0]
    objects = [
        {"segmentation": [square, triangle], "area": 500.5, "iscrowd": 0, "image_id": first["id"],
         "bbox": [4.5, 5.0, 39.5, 25.25], "category_id": 18, "id": 9001},
        {"segmentation": {"counts": _runs(first), "size": [first["height"], first["width"]]}, "area": 80,
         "iscrowd": 1, "image_id": first["id"], "bbox": [8, 2, 10, 8], "category_id": 1, "id": 900100018},
        {"segmentation": [[1.0, 1.0, 12.3, 2.0, 9.9, 17.7]], "area": 88.1, "iscrowd": 0, "image_id": last["id"],
         "bbox": [1.0, 1.0, 11.3, 16.7], "category_id": 90, "id": 12},
    ]  # fmt: skip
    people = [o | {"num_keypoints": 0, "keypoints": [0] * 51} for o in objects if o["category_id"] == 1]
    points = [v for n in range(17) for v in ((5 + n, 8 + n % 3, n % 3) if n % 3 else (0, 0, 0))]
    people.insert(0, objects[0] | {"category_id": 1, "id": 9002, "num_keypoints": 11, "keypoints": points})
    person = {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": KEYPOINTS,
        "skeleton": [[16, 14], [14, 12]],
    }
    sentences = [{"image_id": p["id"], "id": 10 * p["id"] + n, "caption": f"Sentence {n} of {p['id']}. "}
                 for n in range(5) for p in pictures]  # fmt: skip
    head = {"info": {"year": year}, "licenses": [{"id": 3}], "images": pictures}
    return {
        f"annotations/instances_{split}{year}.json": _json(
            head | {"annotations": objects, "categories": _categories(THINGS)}
        ),
        f"annotations/person_keypoints_{split}{year}.json": _json(
            head | {"annotations": people, "categories": [person]}
        ),
        f"annotations/captions_{split}{year}.json": _json(head | {"annotations": sentences}),
    }


def _runs(about: dict[str, Any]) -> list[int]:
    """Uncompressed run lengths, down the columns, of the pixels of the box 8, 2, 10, 8."""
    mask = np.zeros((about["height"], about["width"]), bool)
    mask[2:10, 8:18] = True
    edges = np.flatnonzero(np.diff(mask.T.ravel())) + 1
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def _panoptic(split: str) -> dict[str, bytes]:
    """The JSON, and a zip of PNGs in which macOS has left its traces."""
    pngs, told = {}, []
    for about in _pictures(split, 2017):
        ids = [3_226_956, 65_792 + about["id"], 255]
        mask = torch.zeros(about["height"], about["width"], dtype=torch.int64)
        mask[2:20], mask[20:35, 5:], mask[35:, :9] = ids[0], ids[1], ids[2]
        name = about["file_name"].replace(".jpg", ".png")
        pngs[f"panoptic_{split}2017/{name}"] = png(
            Image(torch.stack([mask >> s & 255 for s in (0, 8, 16)]).to(torch.uint8))
        )
        segments = [{"id": i, "category_id": c, "iscrowd": 0, "bbox": [0, 2, about["width"], 18], "area": int((mask == i).sum())}
                    for i, c in zip(ids, (18, 92, 200), strict=True)]  # fmt: skip
        told.append({"segments_info": segments, "file_name": name, "image_id": about["id"]})
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**pngs, f"__MACOSX/panoptic_{split}2017/._x.png": b"\0\5\x16\7"}.items():
            archive.writestr(name, data)
    whole = {"info": {}, "licenses": [], "images": _pictures(split, 2017), "annotations": told,
             "categories": _categories(THINGS | STUFF)}  # fmt: skip
    return {
        f"annotations/panoptic_{split}2017.json": _json(whole),
        f"annotations/panoptic_{split}2017.zip": inner.getvalue(),
    }


def _categories(names: dict[int, str]) -> list[dict[str, Any]]:
    return [{"supercategory": "any", "id": number, "name": name} for number, name in names.items()]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
