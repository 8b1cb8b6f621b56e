"""What is not pixels: text, numbers, JSON, and the typed tensors that are small enough for it (boxes, points, labels).

JSON, because people can read it and nothing in it can run. Python writes a float's shortest exact form, so float32
(and float64) come back bit for bit, NaN included (as `NaN`, which JSON proper lacks and Python reads).
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.errors import DecodeError
from vdata.tensors import BoundingBoxes, KeyPoints, Label, TypedTensor

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
        "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
    )
}  # fmt: skip

_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,4000})\s*")  # above 4,300 digits Python itself refuses


def dtype_name(dtype: torch.dtype | np.dtype) -> str:
    """The name of torch's dtype or numpy's, which agree: "float32"."""
    return dtype.name if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")


def dtype(name: Any) -> torch.dtype:
    """The dtype of a name that a file or a manifest gives. DecodeError where there is none."""
    if not isinstance(name, str) or name not in DTYPES:
        raise DecodeError(f"no tensor has the dtype {name!r}")
    return DTYPES[name]


def text(data: bytes | memoryview) -> str:
    """UTF-8, as it lies: no stripping."""
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as err:
        raise DecodeError(f"the text is not UTF-8 ({err.reason})", byte=err.start) from err


def integer(data: bytes | memoryview) -> int:
    """An integer written in decimal digits; blanks around it do no harm.

    >>> integer(b"17\\n")
    17
    """
    match = _INTEGER.fullmatch(text(data))
    if match is None:
        raise DecodeError(f"not an integer: {bytes(data[:32])!r}", byte=0)
    return int(match[1])


def floating(data: bytes | memoryview) -> float:
    """A float as JSON writes it."""
    value = parse(data)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DecodeError(f"not a number: {bytes(data[:32])!r}", byte=0)
    try:
        return float(value)
    except OverflowError as err:
        raise DecodeError("the integer is too large for a float", byte=0) from err


def parse(data: bytes | memoryview) -> Any:
    """JSON in UTF-8 (or UTF-16, UTF-32, as the standard allows) to plain Python values."""
    try:
        return json.loads(bytes(data))
    except json.JSONDecodeError as err:
        byte = len(err.doc[: err.pos].encode("utf-8", "surrogatepass"))
        raise DecodeError(f"broken JSON: {err.msg}", byte=byte) from err
    except RecursionError as err:
        raise DecodeError("the JSON is nested too deeply", byte=0) from err
    except ValueError as err:  # not Unicode, or an integer of more digits than Python reads
        raise DecodeError(f"broken JSON: {err}", byte=0) from err


def dump(value: Any) -> bytes:
    """JSON of plain values that come back equal. TypeError for what would come back as something else (a tuple)."""
    _check_plain(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _check_plain(value: Any) -> None:
    if type(value) is dict:
        for name, part in value.items():
            if type(name) is not str:
                raise TypeError(f"a JSON object has names that are str, not {type(name).__name__} ({name!r})")
            _check_plain(part)
    elif type(value) is list:
        for part in value:
            _check_plain(part)
    elif value is not None and type(value) not in (str, int, float, bool):
        raise TypeError(f"JSON cannot hold a {type(value).__name__}: it would not come back as it was")


def boxes(data: bytes | memoryview, meta: dict[str, Any]) -> BoundingBoxes:
    """BoundingBoxes from `encode_boxes`."""
    found = _record(data, "format", "canvas_size")
    lie = {"format": found["format"], "canvas_size": found["canvas_size"]}
    return _built(BoundingBoxes, _numbers(found), {**meta, **lie})


def keypoints(data: bytes | memoryview, meta: dict[str, Any]) -> KeyPoints:
    """KeyPoints from `encode_keypoints`."""
    found = _record(data, "canvas_size", "visibility")
    told = found["visibility"]
    visibility = None if told is None else _numbers(_fields(told))
    lie = {"canvas_size": found["canvas_size"], "visibility": visibility}
    return _built(KeyPoints, _numbers(found), {**meta, **lie})


def labels(data: bytes | memoryview, meta: dict[str, Any]) -> Label:
    """A Label from `encode_labels`, or a single one from decimal digits (int64 unless `meta` has a "dtype")."""
    meta = dict(meta)
    name = meta.pop("dtype", "int64")
    single = bytes(data[:1]) != b"{"
    return _built(Label, _tensor([integer(data)], [], name) if single else _numbers(_record(data)), meta)


def encode_boxes(value: BoundingBoxes) -> bytes:
    return dump({"format": value.format, "canvas_size": list(value.canvas_size), **_written(value.plain())})


def encode_keypoints(value: KeyPoints) -> bytes:
    visibility = None if value.visibility is None else _written(value.visibility)
    return dump({"canvas_size": list(value.canvas_size), **_written(value.plain()), "visibility": visibility})


def encode_labels(value: Label) -> bytes:
    return dump(_written(value.plain()))


def _written(values: Tensor) -> dict[str, Any]:
    # The shape is written because no nested list can say [0, 17, 2].
    return {"dtype": dtype_name(values.dtype), "shape": list(values.shape), "values": values.tolist()}


def _record(data: bytes | memoryview, *names: str) -> dict[str, Any]:
    return _fields(parse(data), *names)


def _fields(found: Any, *names: str) -> dict[str, Any]:
    missing = {"dtype", "shape", "values", *names} - (found.keys() if isinstance(found, dict) else set())
    if missing:
        raise DecodeError(f"the JSON object has no {', '.join(sorted(missing))}", byte=0)
    return found


def _numbers(found: dict[str, Any]) -> Tensor:
    return _tensor(found["values"], found["shape"], found["dtype"])


def _tensor(values: Any, shape: Any, name: Any) -> Tensor:
    """A tensor of exactly these values; DecodeError where they are no numbers or do not fit dtype and shape."""
    wanted = dtype(name)
    try:
        array = np.array(values)
        if array.size and array.dtype.kind not in "biuf":
            raise DecodeError("the JSON has values that are not numbers", byte=0)
        out = torch.from_numpy(array.astype(np.float64) if array.dtype.kind not in "biuf" else array)
        cast = out.to(wanted).reshape(shape)
    except (TypeError, ValueError, OverflowError, RuntimeError) as err:
        raise DecodeError(f"the JSON's values do not make a tensor of shape {shape} ({err})", byte=0) from err
    if not cast.dtype.is_floating_point and not np.array_equal(cast.numpy().reshape(array.shape), array):
        raise DecodeError(f"the JSON has values that {name} cannot hold", byte=0)
    return cast


def _built(cls: type[TypedTensor], data: Tensor, meta: dict[str, Any]) -> Any:
    try:
        return cls(data, **meta)
    except (TypeError, ValueError, AttributeError, OverflowError) as err:
        raise DecodeError(f"the JSON does not make {cls.__name__}: {err}", byte=0) from err
