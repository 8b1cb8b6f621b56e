"""Pictures in folders named after their classes, as Country211, EuroSAT and Rendered SST2 have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vdata.errors import DataError
from vdata.files import Files
from vdata.table import File


def class_folders(files: Files, folder: str, classes: Sequence[str], suffix: str) -> Iterator[dict[str, Any]]:
    """A record for each picture in `folder/<class>/`, sorted by path; the label is the class's place in `classes`.

    `__key__` is the path without its first part and without its suffix: "train/AD/1" for "country211/train/AD/1.jpg".
    DataError where a picture lies in a folder that is no class: numbering the folders found would shift all labels.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for path in files.below(folder):
        name, _, picture = path[len(folder) + 1 :].rpartition("/")
        if picture.startswith(".") or not picture.lower().endswith(suffix):
            continue
        if name not in numbers:
            raise DataError(f"{path} lies in a folder that is none of the {len(classes)} classes", url=files.url)
        key = path.partition("/")[2][: -len(suffix)]
        yield {"__key__": key, "image": File(path), "label": numbers[name]}
