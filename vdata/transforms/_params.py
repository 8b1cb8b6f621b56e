"""Params are a plain value: dicts, lists and numpy arrays with one row a sample. Printed, saved, replayed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

Params = dict[str, Any]


def row(params: Any, b: int) -> Any:
    """Row b of parameters: arrays lose their first dimension and become plain Python values."""
    if isinstance(params, Mapping):
        return {n: row(v, b) for n, v in params.items()}
    if isinstance(params, list):
        return [row(v, b) for v in params]
    return params[b].tolist() if isinstance(params, np.ndarray) else params


def varies(params: Any) -> bool:
    """Whether anything in the parameters may differ from row to row."""
    if isinstance(params, (Mapping, list)):
        return any(varies(v) for v in (params.values() if isinstance(params, Mapping) else params))
    return isinstance(params, np.ndarray)


def scatter(into: Any, params: Any, rows: np.ndarray, count: int) -> Any:
    """Parameters drawn for some of `count` rows, written into those for all; `into` is None at first."""
    if isinstance(params, Mapping):
        return {n: scatter(None if into is None else into[n], v, rows, count) for n, v in params.items()}
    if isinstance(params, list):
        return [scatter(None if into is None else into[i], v, rows, count) for i, v in enumerate(params)]
    if not isinstance(params, np.ndarray):
        return params
    into = np.zeros((count, *params.shape[1:]), params.dtype) if into is None else into
    into[rows] = params
    return into


def params_to_json(params: Any) -> str:
    """Parameters, or one row of them, as JSON: exact, floats to the last bit.

    >>> params_to_json({"top": 3, "flip": True})
    '{"top": 3, "flip": true}'
    """
    return json.dumps(params, default=_array_to_json)


def _array_to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "shape": value.shape, "values": value.ravel().tolist()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"params hold numbers, strings, lists, dicts and numpy arrays, not {type(value).__name__}")


def params_from_json(text: str) -> Any:
    """The inverse of `params_to_json`.

    >>> params_from_json('{"top": 3, "flip": true}')
    {'top': 3, 'flip': True}
    """
    return json.loads(text, object_hook=_array_from_json)


def _array_from_json(value: dict[str, Any]) -> Any:
    if set(value) != {"dtype", "shape", "values"}:
        return value
    return np.array(value["values"], value["dtype"]).reshape(value["shape"])
