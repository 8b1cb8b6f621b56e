"""Params are a plain value: dicts, lists and numpy arrays with one row a sample. Printed, saved, replayed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

Params = dict[str, Any]

_SPARSE = {"drawn_at", "drawn"}


def sparse(params: Any, rows: np.ndarray, count: int) -> Params:
    """Parameters drawn for some of `count` samples: which row of them each sample has, -1 for none."""
    at = np.full(count, -1, np.int64)
    at[rows] = np.arange(len(rows))
    return {"drawn_at": at, "drawn": params}


def rows_of(params: Any, rows: np.ndarray) -> Any:
    """The parameters of some samples; of sparse ones, which must have been drawn for all of these, as dense ones.

    >>> rows_of({"top": np.array([4, 5, 6])}, np.array([2, 0]))
    {'top': array([6, 4])}
    """
    if isinstance(params, Mapping):
        if set(params) == _SPARSE:
            at = params["drawn_at"][rows]
            return rows_of(params["drawn"], at) if (at >= 0).all() else {"drawn_at": at, "drawn": params["drawn"]}
        return {n: rows_of(v, rows) for n, v in params.items()}
    if isinstance(params, list):
        return [rows_of(v, rows) for v in params]
    return params[rows] if isinstance(params, np.ndarray) else params


def collapsed(arguments: Params) -> Params:
    """A verb's arguments, those that are equal in all rows as one plain value."""
    return {n: _collapsed(v) for n, v in arguments.items()}


def _collapsed(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or not value.ndim or not len(value) or (value != value[:1]).any():
        return value
    one = value[0].tolist()
    return tuple(one) if isinstance(one, list) else one


def row(params: Any, b: int) -> Any:
    """Row b of parameters: arrays lose their first dimension and become plain Python values.

    Of parameters drawn for some samples only (`sparse`) it is None for the others.
    """
    if isinstance(params, Mapping):
        if set(params) == _SPARSE:
            at = int(params["drawn_at"][b])
            return None if at < 0 else row(params["drawn"], at)
        return {n: row(v, b) for n, v in params.items()}
    if isinstance(params, list):
        return [row(v, b) for v in params]
    return params[b].tolist() if isinstance(params, np.ndarray) else params


def unstacked(params: Any, count: int) -> list[Any]:
    """Every row of parameters, as `row` gives it.

    >>> unstacked({"top": np.array([4, 5])}, 2)
    [{'top': 4}, {'top': 5}]
    """
    if isinstance(params, np.ndarray):
        return params.tolist()
    if isinstance(params, Mapping):
        if set(params) == _SPARSE:
            return [row(params, b) for b in range(count)]
        columns = {n: unstacked(v, count) for n, v in params.items()}
        return [{n: c[b] for n, c in columns.items()} for b in range(count)]
    if isinstance(params, list):
        parts = [unstacked(v, count) for v in params]
        return [[p[b] for p in parts] for b in range(count)]
    return [params] * count


def varies(params: Any) -> bool:
    """Whether anything in the parameters may differ from row to row."""
    if isinstance(params, (Mapping, list)):
        return any(varies(v) for v in (params.values() if isinstance(params, Mapping) else params))
    return isinstance(params, np.ndarray)


def scatter(into: Any, params: Any, rows: np.ndarray, count: int) -> Any:
    """Parameters drawn for some of `count` rows, written into those for all; `into` is None at first."""
    if isinstance(params, Mapping):
        if set(params) == _SPARSE:
            return _scattered(into, dict(params), rows, count)
        return {n: scatter(None if into is None else into[n], v, rows, count) for n, v in params.items()}
    if isinstance(params, list):
        return [scatter(None if into is None else into[i], v, rows, count) for i, v in enumerate(params)]
    if not isinstance(params, np.ndarray):
        return params
    into = np.zeros((count, *params.shape[1:]), params.dtype) if into is None else into
    into[rows] = params
    return into


def _scattered(into: Any, params: Params, rows: np.ndarray, count: int) -> Params:
    """`scatter` of sparse parameters: what is drawn goes behind what was drawn before."""
    into = sparse(None, rows[:0], count) if into is None else into
    before, at = int(into["drawn_at"].max(initial=-1)) + 1, into["drawn_at"].copy()
    at[rows] = np.where(params["drawn_at"] < 0, -1, params["drawn_at"] + before)
    return {"drawn_at": at, "drawn": _after_one_another(into["drawn"], params["drawn"])}


def _after_one_another(first: Any, second: Any) -> Any:
    """Two parameters' rows, one after the other; None has no rows."""
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, Mapping):
        if set(first) == _SPARSE:
            before, count = len(first["drawn_at"]), len(first["drawn_at"]) + len(second["drawn_at"])
            whole = scatter(None, first, np.arange(before), count)
            return scatter(whole, second, np.arange(before, count), count)
        return {n: _after_one_another(v, second[n]) for n, v in first.items()}
    if isinstance(first, list):
        return [_after_one_another(a, b) for a, b in zip(first, second, strict=True)]
    return np.concatenate([first, second]) if isinstance(first, np.ndarray) else second


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
