"""Rows of a CSV or TSV as a `Source`: a column of paths, a column of labels, and columns of boxes or of anything else."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from vdata import codecs
from vdata.annotations import csv_rows
from vdata.errors import DataError, PlanError
from vdata.field import Field
from vdata.files import Tree
from vdata.own.checks import IMAGE, keys_of, near, numbered, objection, picture, pictures_in
from vdata.source import Listed, Sample, digest_of
from vdata.table import File, Table
from vdata.tensors import BoundingBoxes, Label

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FORMATS = ("XYXY", "XYWH", "CXCYWH")
_TAKEN = ("image", "label", "labels", "boxes")


def csv_source(
    path: str | os.PathLike[str], *, image: str = "path", label: str | None = "class",
    boxes: Sequence[str] | None = None, format: str = "XYXY", keep: Sequence[str] = (),
    root: str | os.PathLike[str] | None = None, categories: Sequence[str] | None = None,
    delimiter: str | None = None, orient: bool | None = None,
) -> Listed:  # fmt: skip
    """The pictures of a CSV's rows; see `vdata.from_csv`."""
    full = os.path.abspath(os.fspath(path))
    _check_arguments(boxes, format, keep)
    wanted = [image, *([label] if label is not None else []), *(boxes or ()), *keep]
    sheet = _Sheet(full, wanted, delimiter)
    home = os.fspath(root) if root is not None else os.path.dirname(full)
    tree, files = pictures_in(home, sheet[image], os.path.basename(full))
    kept = {name: _plain(sheet[name]) for name in keep}
    labels, names = sheet.labels(label, categories, needed=None if boxes is None else sheet.with_box(boxes))
    fields = {"image": IMAGE}
    if boxes is None:
        table = Table.of(_pictures(sheet, files, labels, kept))
        if label is not None:
            fields["label"] = _label_field(labels, names, ())
    else:
        table = Table.of(_grouped(sheet, files, labels, kept, sheet.corners(boxes, format), boxes))
        fields["boxes"] = Field("BoundingBoxes", "float32", ("N", 4), meta={"format": format})
        if label is not None:
            fields["labels"] = _label_field([v for v in labels if v is not None], names, ("N",))
    fields |= {name: Field(type(values[0]).__name__) for name, values in kept.items()}
    reader = CsvPictures(tree, fields, boxes is None if orient is None else orient)
    return Listed(
        os.path.basename(full),
        table,
        reader,
        fields=fields,
        digest=digest_of("csv", table.digest, sorted(fields.items(), key=str)),
    )


@dataclass(frozen=True)
class CsvPictures:
    """A record to a sample."""

    files: Tree
    fields: Mapping[str, Field]
    orient: bool

    def __call__(self, record: Mapping[str, Any]) -> Sample:
        path, key = record["image"], record["__key__"]
        url = f"{self.files.url}/{path}"
        sample: Sample = {"__key__": key, "image": picture(partial(self.files.read, path), url, key, self.orient)}
        for name, field in self.fields.items():
            if name == "image":
                continue
            if field.type == "BoundingBoxes":
                sample[name] = self._boxes(record[name], field, codecs.size(sample["image"]), url, key)
            elif field.type == "Label":
                sample[name] = Label(torch.tensor(record[name], dtype=torch.int64), **field.meta)
            elif field.type == "tensor":
                sample[name] = torch.tensor(record[name], dtype=torch.float32)
            else:
                sample[name] = record[name]
        return sample

    def _boxes(
        self, values: list[list[float]], field: Field, canvas: tuple[int, int], url: str, key: str
    ) -> BoundingBoxes:
        array = np.array(values, np.float64).reshape(-1, 4)
        if bad := objection(_corners(array, field.meta["format"]), canvas):
            raise DataError(f"its box {bad[0]} {bad[1]}", url=url, key=key, field="boxes")
        return BoundingBoxes(torch.from_numpy(array).float(), canvas_size=canvas, format=field.meta["format"])


class _Sheet:
    """The columns of a CSV that were asked for, as text. Rows are counted from 1, without the header."""

    def __init__(self, path: str, wanted: Sequence[str], delimiter: str | None):
        self.path = path
        files, name = Tree(os.path.dirname(path)), os.path.basename(path)
        if delimiter is None:
            delimiter = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
        names = list(dict.fromkeys(wanted))
        self._check_header(files, name, names, delimiter)
        rows = list(csv_rows(files, name, names, delimiter))
        if not rows:
            raise DataError("the file has no rows", url=path)
        self.columns = {column: list(values) for column, values in zip(names, zip(*rows), strict=True)}
        empty = next((n for n, text in enumerate(self[wanted[0]], 1) if not text), None)
        if empty is not None:
            raise DataError(f"row {empty} names no picture", url=path, field=wanted[0])

    def __getitem__(self, column: str) -> list[str]:
        return self.columns[column]

    def _check_header(self, files: Tree, name: str, wanted: Sequence[str], delimiter: str) -> None:
        with files.open(name) as file:
            first = file.readline().decode("utf-8-sig", "replace")
        header = [column.strip() for column in next(csv.reader([first], delimiter=delimiter), [])]
        for column in wanted:
            if column not in header:
                other = next((d for d in ",;\t|" if d != delimiter and d in first), None) if len(header) == 1 else None
                do = (
                    f"say delimiter={other!r}"
                    if other
                    else "name the columns, as in from_csv(path, image=..., label=...)"
                )
                raise DataError(
                    f"there is no column {column!r}{near(column, header)}; there are {', '.join(header)}",
                    url=self.path,
                    do=do,
                )
            if header.count(column) > 1:
                raise DataError(f"two columns are called {column!r}", url=self.path)

    def with_box(self, boxes: Sequence[str]) -> list[bool]:
        """For each row whether it has a box; a picture without one has a row whose box columns are empty."""
        return [bool(any(texts)) for texts in zip(*(self[c] for c in boxes))]

    def corners(self, boxes: Sequence[str], format: str) -> list[list[float] | None]:
        """The box of each row in the file's format, None where it has none."""
        out: list[list[float] | None] = []
        for number, texts in enumerate(zip(*(self[c] for c in boxes)), 1):
            out.append([self._number(text, number, c) for text, c in zip(texts, boxes)] if any(texts) else None)
        places = [n for n, box in enumerate(out) if box is not None]
        found = np.array([out[n] for n in places], np.float64).reshape(-1, 4)
        if bad := objection(_corners(found, format), None):
            raise DataError(
                f"the box of row {places[bad[0]] + 1} {bad[1]}",
                url=self.path,
                do="say format='XYWH' if it is a corner and sides",
            )
        return out

    def labels(
        self, label: str | None, categories: Sequence[str] | None, needed: Sequence[bool] | None
    ) -> tuple[list[Any], tuple[str, ...]]:
        """(the label of each row, the classes' names); without classes labels are the numbers that the file has."""
        if label is None:
            return [None] * len(next(iter(self.columns.values()))), ()
        texts = [text if needed is None or needed[n] else None for n, text in enumerate(self[label])]
        empty = next((n for n, text in enumerate(texts, 1) if text == ""), None)
        if empty is not None:
            raise DataError(f"row {empty} has no label", url=self.path, field=label)
        given = [text for text in texts if text is not None]
        numeric = _plain(given) if given else []
        if categories is None and given and not isinstance(numeric[0], str):
            values = iter(numeric)
            return [None if text is None else next(values) for text in texts], ()
        numbers = numbered(given, categories)
        strange = next(((n, t) for n, t in enumerate(texts, 1) if t is not None and t not in numbers), None)
        if strange is not None:
            raise DataError(f"row {strange[0]} has the label {strange[1]!r}, which is none of the categories{near(strange[1], numbers)}",
                            url=self.path, field=label)  # fmt: skip
        return [None if text is None else numbers[text] for text in texts], tuple(numbers)

    def _number(self, text: str, row: int, column: str) -> float:
        try:
            return float(text)
        except ValueError:
            said = f"has {text!r} for {column}, which is no number" if text else f"has a box without {column}"
            raise DataError(f"row {row} {said}", url=self.path, field=column) from None


def _pictures(
    sheet: _Sheet, files: Sequence[str], labels: Sequence[Any], kept: Mapping[str, list[Any]]
) -> Iterator[dict[str, Any]]:
    """One record a row."""
    seen: dict[str, int] = {}
    for number, file in enumerate(files, 1):
        if file in seen:
            raise DataError(f"rows {seen[file]} and {number} name one picture: {file}", url=sheet.path,
                            do="take one out, or name the columns of boxes if a picture has several rows")  # fmt: skip
        seen[file] = number
    for number, (file, key) in enumerate(zip(files, keys_of(files), strict=True)):
        label = {"label": labels[number]} if labels[number] is not None else {}
        yield {"__key__": key, "image": File(file)} | label | {name: values[number] for name, values in kept.items()}


def _grouped(
    sheet: _Sheet, files: Sequence[str], labels: Sequence[Any], kept: Mapping[str, list[Any]],
    boxes: Sequence[list[float] | None], columns: Sequence[str],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """One record a picture, in the order in which the file names them first."""
    rows: dict[str, list[int]] = {}
    for number, file in enumerate(files):
        rows.setdefault(file, []).append(number)
    for (file, numbers), key in zip(rows.items(), keys_of(list(rows)), strict=True):
        seen: dict[Any, int] = {}
        for n in numbers:
            box = boxes[n]
            if box is None and len(numbers) > 1:
                raise DataError(
                    f"row {n + 1} says that {file} has no box, and other rows give it one",
                    url=sheet.path,
                    field=columns[0],
                )
            if (was := seen.setdefault((labels[n], *(box or ())), n)) != n:
                raise DataError(
                    f"rows {was + 1} and {n + 1} are the same box of {file}", url=sheet.path, do="take one out"
                )
            for name, values in kept.items():
                if values[n] != values[numbers[0]]:
                    raise DataError(f"rows {numbers[0] + 1} and {n + 1} give {file} different values", url=sheet.path, field=name,
                                    do="keep only columns that say something of the picture")  # fmt: skip
        found = [n for n in numbers if boxes[n] is not None]
        record = {"__key__": key, "image": File(file), "boxes": [boxes[n] for n in found], "objects": len(found)}
        yield (
            record
            | {"labels": [labels[n] for n in found]}
            | {name: values[numbers[0]] for name, values in kept.items()}
        )


def _corners(boxes: np.ndarray, format: str) -> np.ndarray:
    first, second = boxes[:, :2], boxes[:, 2:]
    if format == "XYWH":
        return np.concatenate([first, first + second], 1)
    return boxes if format == "XYXY" else np.concatenate([first - second / 2, first + second / 2], 1)


def _plain(texts: Sequence[str]) -> list[Any]:
    """The column as whole numbers, else as numbers, else as the text that it is."""
    if all(map(_INTEGER.fullmatch, texts)):
        return [int(text) for text in texts]
    try:
        return [float(text) for text in texts]
    except ValueError:
        return list(texts)


def _label_field(labels: Sequence[Any], names: tuple[str, ...], shape: tuple[str, ...]) -> Field:
    if labels and isinstance(labels[0], float):
        return Field("tensor" if shape else "float", "float32" if shape else "", shape)
    return Field("Label", "int64", shape, meta={"categories": names} if names else {})


def _check_arguments(boxes: Sequence[str] | None, format: str, keep: Sequence[str]) -> None:
    if boxes is not None and (isinstance(boxes, str) or len(boxes) != 4):
        raise PlanError(f"boxes names four columns, as in boxes=('x1', 'y1', 'x2', 'y2'), got {boxes!r}")
    if format not in _FORMATS:
        raise PlanError(f"format is one of {', '.join(_FORMATS)}, got {format!r}")
    if isinstance(keep, str):
        raise PlanError(f"keep is a list of columns, as in keep=[{keep!r}]")
    taken = [name for name in keep if name in _TAKEN or name.startswith("__")]
    if taken:
        raise PlanError(f"keep cannot have {taken[0]!r}: samples have a field of that name")
