"""Pipelines as JSON: a transform is its class's name and its arguments, so a file says what training did.

Names are looked up in `vdata.transforms` and among the classes that the reader is given; nothing in a file can run.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.errors import PlanError
from vdata.transforms._base import Transform
from vdata.transforms._check import ByType
from vdata.transforms._instances import Instances


def to_json(transform: Transform, *, indent: int | None = None) -> str:
    """A transform, with all of its arguments and children, as JSON.

    Raises PlanError for arguments that are functions (Lambda): code is not saved.

    >>> T.to_json(T.Compose([T.Resize(64), T.RandomHorizontalFlip()]))[:38]
    '{"transform": "Compose", "transforms":'
    """
    return json.dumps(_written(transform, type(transform).__name__), indent=indent)


def from_json(text: str | bytes, *, classes: Iterable[type[Transform]] = ()) -> Transform:
    """The inverse of `to_json`: an equal transform. `classes` are one's own that the text may name.

    Raises PlanError for unknown names and arguments, and whatever the transform's own checks raise.

    >>> T.from_json(T.to_json(T.RandomCrop((32, 48), padding=4)))
    RandomCrop((32, 48), padding=4)
    """
    from vdata import transforms  # the names are all there once this is called

    public = {n: c for n in transforms.__all__ if isinstance(c := getattr(transforms, n), type) and issubclass(c, Transform)}
    made = _read(json.loads(text), {**public, **{c.__name__: c for c in classes}})
    if not isinstance(made, Transform):
        raise PlanError(f"the JSON holds a {type(made).__name__}, not a transform: it should be an object with a name under \"transform\"")
    return made


def _written(value: Any, where: str) -> Any:
    if isinstance(value, Transform):
        if not dataclasses.is_dataclass(value):
            raise PlanError(f"{type(value).__name__} is not a dataclass, so its arguments are not known: decorate it with @T.value")
        fields = {f.name: _written(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value) if f.init}
        return {"transform": type(value).__name__, **fields}
    if isinstance(value, ByType):
        return {"by_type": {n: _written(v, where) for n, v in value.items()}}
    if isinstance(value, Instances):
        return {"instances": list(value)}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        kind = "tensor" if isinstance(value, Tensor) else "array"
        return {kind: array.ravel().tolist(), "of": str(array.dtype), "shape": list(array.shape)}
    if isinstance(value, enum.Enum):
        return _written(value.value, where)
    if isinstance(value, (list, tuple)):
        return [_written(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(n, str) for n in value):
        return {"dict": {n: _written(v, f"{where}[{n!r}]") for n, v in value.items()}}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise PlanError(f"{where} is {value!r}, which JSON cannot hold: code and objects are not saved, only plain arguments")


def _read(value: Any, classes: Mapping[str, type[Transform]]) -> Any:
    if isinstance(value, list):
        return tuple(_read(v, classes) for v in value)
    if not isinstance(value, dict):
        return value
    if "transform" in value:
        return _made(value, classes)
    if set(value) == {"by_type"}:
        return ByType({n: _read(v, classes) for n, v in value["by_type"].items()})
    if set(value) == {"instances"}:
        return Instances(*value["instances"])
    if set(value) == {"dtype"}:
        found = getattr(torch, str(value["dtype"]), None)
        if not isinstance(found, torch.dtype):
            raise PlanError(f"torch has no dtype {value['dtype']!r}")
        return found
    if set(value) == {"dict"}:
        return {n: _read(v, classes) for n, v in value["dict"].items()}
    if set(value) in ({"tensor", "of", "shape"}, {"array", "of", "shape"}):
        array = np.array(value.get("tensor", value.get("array")), np.dtype(value["of"])).reshape(value["shape"])
        return torch.from_numpy(array) if "tensor" in value else array
    raise PlanError(f"no argument is written as an object with {sorted(value)}")


def _made(value: dict[str, Any], classes: Mapping[str, type[Transform]]) -> Transform:
    name = value["transform"]
    if name not in classes:
        raise PlanError(f"no transform is called {name!r}: for one's own, from_json(text, classes=[{name}])")
    made = classes[name]
    known = {f.name for f in dataclasses.fields(made)} if dataclasses.is_dataclass(made) else set()
    odd = sorted(set(value) - known - {"transform"})
    if odd:
        raise PlanError(f"{name} has no argument {odd[0]!r}; it has {', '.join(sorted(known))}")
    return made(**{n: _read(v, classes) for n, v in value.items() if n != "transform"})
