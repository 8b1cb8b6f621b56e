"""CIFAR's two forms: batches that Python 2 pickled, and records of fixed length. A picture is 3072 bytes of either."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vdata.datasets._pickled as _pickled
from vdata.annotations import lines
from vdata.card import Archive
from vdata.errors import DataError, DecodeError
from vdata.files import Files
from vdata.table import File
from vdata.tensors import Image
from vdata.testing import photo, tar_file

SHAPE = (3, 32, 32)
PICTURE = 3 * 32 * 32
SERVERS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")


@dataclass(frozen=True)
class Labels:
    """One kind of label: its field, its name in the pickles, the file and key of its names there, and the names."""

    field: str
    pickled: str
    names_key: str
    names_txt: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Where the files of a set are. `labels` are in the order in which the binary form has them."""

    folder: str  # of the pickles
    binary: str  # of the records
    meta: str  # the pickle with the names
    batches: Mapping[str, tuple[str, ...]]  # split -> files
    labels: tuple[Labels, ...]


def samples_of(files: Files, layout: Layout, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is the batch and the number in it, "data_batch_1/00042", in both forms; pickles have file names too."""
    names = layout.batches[split]
    binary = [f"{layout.binary}/{name}.bin" for name in names]
    python = [f"{layout.folder}/{name}" for name in names]
    records = any(p in files for p in binary) and not any(p in files for p in python)
    _check_names(files, layout)
    for name, path in zip(names, binary if records else python, strict=True):
        if path not in files:  # a record of a file that is not there: it will be named
            columns = {label.field: 0 for label in layout.labels} | ({} if records else {"filename": ""})
            yield {"__key__": name, "image": File(path), "byte": 0, **columns}
            continue
        batch = (_of_records if records else _of_pickle)(files, path, layout.labels)
        for number, row in enumerate(zip(*batch.columns.values(), strict=True)):
            byte = batch.start + number * batch.stride
            yield {
                "__key__": f"{name}/{number:05d}",
                "image": File(path),
                "byte": byte,
                **dict(zip(batch.columns, row)),
            }


def picture(files: Files, record: Mapping[str, Any]) -> Image:
    """Red, green and blue, each 32 rows of 32 bytes."""
    data = files.read(record["image"], record["byte"], PICTURE)
    return Image(torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(SHAPE))


@dataclass(frozen=True)
class _Batch:
    """Where the pictures of a file are, and what else it says of each."""

    start: int
    stride: int
    columns: dict[str, Sequence[Any]]


def _of_pickle(files: Files, path: str, labels: tuple[Labels, ...]) -> _Batch:
    found = _pickled.pickled(files, path)
    try:
        raw, count = _pickled.bytes_of_array(found["data"], PICTURE)
        columns: dict[str, Sequence[Any]] = {
            label.field: _checked(found[label.pickled], len(label.names)) for label in labels
        }
        if "filenames" in found:
            columns["filename"] = [str(name) for name in found["filenames"]]
        if any(len(column) != count for column in columns.values()):
            raise ValueError(f"{count} pictures, and lists of {[len(c) for c in columns.values()]}")
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"{path} is no batch of CIFAR: {error}", url=files.url) from error
    return _Batch(raw.start, PICTURE, columns)


def _of_records(files: Files, path: str, labels: tuple[Labels, ...]) -> _Batch:
    """Each record is a byte for each label, then the picture."""
    data = np.frombuffer(files.read(path), np.uint8)
    stride = len(labels) + PICTURE
    if len(data) % stride:
        raise DecodeError(f"{path} has {len(data)} bytes, not a multiple of {stride}: it is cut", url=files.url)
    rows = data.reshape(-1, stride)
    try:
        columns: dict[str, Sequence[Any]] = {
            label.field: _checked(rows[:, i].tolist(), len(label.names)) for i, label in enumerate(labels)
        }
    except ValueError as error:
        raise DecodeError(f"{path} is no file of CIFAR's records: {error}", url=files.url) from error
    return _Batch(len(labels), stride, columns)


def _checked(numbers: list[int], most: int) -> list[int]:
    wrong = [n for n in numbers if type(n) is not int or not 0 <= n < most]
    if wrong:
        raise ValueError(f"a label {wrong[0]!r} that is no number below {most}")
    return numbers


def _check_names(files: Files, layout: Layout) -> None:
    """The names that the files give to the classes, where they are there, must be those of the card."""
    meta = f"{layout.folder}/{layout.meta}"
    found = _pickled.pickled(files, meta) if meta in files else None
    for label in layout.labels:
        text = f"{layout.binary}/{label.names_txt}"
        named = [(meta, found.get(label.names_key) if isinstance(found, dict) else None)] if found is not None else []
        named += [(text, lines(files, text))] if text in files else []
        for path, names in named:
            if names != list(label.names):
                raise DataError(
                    f"{path} names other classes than the {len(label.names)} of this dataset", url=files.url
                )


def archives_of(name: str, layout: Layout, python: Mapping[str, Any], binary: Mapping[str, Any]) -> tuple[Archive, ...]:
    """Both forms: either will do. Compressed, they are held in memory as a whole, 180 MB."""
    first = layout.batches["train"][0]
    forms = (("python", f"{layout.folder}/{first}", python), ("binary", f"{layout.binary}/{first}.bin", binary))
    out = []
    for form, tree, known in forms:
        file = f"{name}-{form}.tar.gz"
        url, mirror = (server + file for server in SERVERS)
        out.append(Archive(file, url, mirrors=(mirror,), group=name, held=("**",), tree=tree, **known))
    return tuple(out)


# -- made-up data ------------------------------------------------------------------------------------------------------


def fake(root: Path, name: str, layout: Layout) -> None:
    """Both archives with the same pictures: five in each batch for training, four for testing."""
    python, binary = {}, {}
    for split, batches in layout.batches.items():
        for number, batch in enumerate(batches):
            pictures = [
                photo(32, 32, len(split), number, n).plain().numpy().tobytes()
                for n in range(5 if split == "train" else 4)
            ]
            labels = [
                [(7 * n + 3 * number + i) % len(label.names) for n in range(len(pictures))]
                for i, label in enumerate(layout.labels)
            ]
            names = [f"{layout.labels[-1].names[c]}_s_{n:06d}.png" for n, c in enumerate(labels[-1])]
            about: dict[str, Any] = {"batch_label": f"{batch} of {len(batches)}"}
            about |= {label.pickled: column for label, column in zip(layout.labels, labels)}
            about |= {"data": b"".join(pictures), "filenames": names}
            python[f"{layout.folder}/{batch}"] = _as_python_2(about)
            rows = (bytes(row) + pixels for *row, pixels in zip(*labels, pictures))
            binary[f"{layout.binary}/{batch}.bin"] = b"".join(rows)
    python[f"{layout.folder}/{layout.meta}"] = _as_python_2(
        {label.names_key: list(label.names) for label in layout.labels}
    )
    for label in layout.labels:
        binary[f"{layout.binary}/{label.names_txt}"] = ("\n".join(label.names) + "\n\n").encode()
    tar_file(root / f"{name}-python.tar.gz", python | {f"{layout.folder}/readme.html": b"<html></html>"})
    tar_file(root / f"{name}-binary.tar.gz", binary | {f"{layout.binary}/readme.html": b"<html></html>"})


def _as_python_2(about: dict[str, Any]) -> bytes:
    """The bytes that Python 2 pickled a dict of texts, lists and one uint8 array to, by protocol 2."""
    items = b"".join(_value(key) + _value(value) for key, value in about.items())
    return b"\x80\x02}q\x01(" + items + b"u."


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode()
    if isinstance(value, int):
        return b"K" + bytes([value])
    if isinstance(value, list):
        return b"](" + b"".join(map(_value, value)) + b"e"
    shape = b"M" + struct.pack("<H", len(value) // PICTURE) + b"M" + struct.pack("<H", PICTURE) + b"\x86"
    dtype = b"cnumpy\ndtype\nq\x02U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
    return empty + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", len(value)) + value + b"tb"
