"""Changes of colour that are done to a sample or not: a coin each."""

from __future__ import annotations

from typing import Any

from vdata.key import Key
from vdata.transforms._check import probability
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric


def strength(value: Any, name: str) -> float:
    """A number of at least 0, kept as it was written."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    return value


class Sometimes(Photometric):
    """Done with probability `p`, which each class declares as its last argument; else a sample stays as it is."""

    p: float
    rowwise = True

    def __post_init__(self) -> None:
        probability(self.p)

    def draw(self, key: Key, info: Info) -> Params:
        return {"apply": key.fold("apply").bernoulli(self.p)}

    def chosen(self, params: Params) -> Any:
        return params["apply"]
