"""The colour distortion of SSD (Liu et al., "SSD: Single Shot MultiBox Detector", 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._check import interval, probability, put
from vdata.transforms._colour import redo
from vdata.transforms._info import Info
from vdata.transforms._op import Op
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric
from vdata.transforms.channels import among, colours, permute_channels
from vdata.transforms.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation

_SPANS = ("brightness", "contrast", "saturation", "hue")


@value
class RandomPhotometricDistort(Photometric):
    """Brightness, contrast, saturation, hue and the order of the channels changed, each with probability `p`.

    Contrast comes before saturation and hue or after them, by a coin. An alpha stays as it is.

    >>> RandomPhotometricDistort()(Image(torch.rand(3, 4, 4))).shape
    torch.Size([3, 4, 4])
    """

    brightness: tuple[float, float] = (0.875, 1.125)
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: tuple[float, float] = (-0.05, 0.05)
    p: float = 0.5
    rowwise = True

    def __post_init__(self) -> None:
        for name in _SPANS:
            bounds = (-0.5, 0.5) if name == "hue" else (0.0,)
            put(self, **{name: interval(getattr(self, name), name, *bounds)})
        probability(self.p)

    def draw(self, key: Key, info: Info) -> Params:
        drawn: Params = {name: key.fold(name).uniform(*getattr(self, name)) for name in _SPANS}
        drawn["permutation"] = key.fold("permutation").permutation(3)
        coins = {name: key.fold("apply", name).bernoulli(self.p) for name in drawn}
        return {**drawn, "apply": coins, "contrast_first": key.fold("contrast_first").bernoulli(0.5)}

    def chosen(self, params: Params) -> Any:
        return np.any(list(params["apply"].values()), 0)

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        params = {**params, "permutation": among(params["permutation"], colours(image))}
        if isinstance(params["contrast_first"], np.ndarray):
            image = image.clone()
            for verb, name, chosen in _steps(params):
                redo(image, chosen, verb, params[name])
            return image
        for verb, name, chosen in _steps(params):
            if chosen:
                image = verb(image, params[name])
        return image


def _steps(params: Params) -> Iterator[tuple[Op, str, Any]]:
    """The verbs in their order, what each takes, and who gets it: bool, or bool [B]."""
    who, first = params["apply"], params["contrast_first"]
    yield adjust_brightness, "brightness", who["brightness"]
    yield adjust_contrast, "contrast", np.logical_and(who["contrast"], first)
    yield adjust_saturation, "saturation", who["saturation"]
    yield adjust_hue, "hue", who["hue"]
    yield adjust_contrast, "contrast", np.logical_and(who["contrast"], np.logical_not(first))
    yield permute_channels, "permutation", who["permutation"]
