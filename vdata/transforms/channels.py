"""The channels in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.key import Key
from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._info import Info
from vdata.transforms._op import op
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric


@op
def permute_channels(inpt: Any, permutation: Any) -> Any:
    """Channel i becomes what channel `permutation[i]` was. (torchvision's text says the inverse, its code does this.)

    permutation  as many numbers as there are channels, each once; 3 for four channels, whose alpha then stays.
                 An array [B, n] has one permutation a row of a stacked batch.

    >>> permute_channels(Image(torch.tensor([1, 2, 3]).reshape(3, 1, 1)), [2, 0, 1]).flatten().tolist()
    [3, 1, 2]
    """


@permute_channels.on(Image, Video)
def _(x: Image | Video, permutation: Sequence[int] | np.ndarray | Tensor) -> Tensor:
    order = np.asarray(permutation)
    channels, count = x.shape[-3], order.shape[-1] if order.ndim else 0
    if count != channels and (count, channels) != (3, 4):
        raise ValueError(f"permutation has {count} numbers, but the picture has {channels} channels")
    if not (np.sort(order, -1) == np.arange(count)).all():
        raise ValueError(f"permutation must have each of 0 to {count - 1} once, got {order.tolist()}")
    if count < channels:
        order = np.concatenate([order, np.full((*order.shape[:-1], 1), 3)], -1)
    at = torch.from_numpy(order).to(x.device)
    return x.plain().index_select(-3, at) if order.ndim == 1 else _permuted_rows(x, at)


def _permuted_rows(x: Image | Video, order: Tensor) -> Tensor:
    if x.ndim == x._core or len(order) != len(x):
        raise ValueError(
            f"permutation has {len(order)} rows: a batch of as many is needed, got a {type(x).__name__} of shape {list(x.shape)}"
        )
    rows = torch.arange(len(order), device=order.device).unsqueeze(1)
    return x.plain().movedim(-3, 1)[rows, order].movedim(1, -3)


def among(permutation: Any, channels: int) -> np.ndarray:
    """A permutation, or one a row, of the first `channels` things alone: those numbers in the order in which they stand.

    Of a random permutation it is a random permutation, and the one that the same key draws for fewer things.
    """
    order = np.asarray(permutation)
    return order[order < channels].reshape(*order.shape[:-1], -1)


def colours(image: Image | Video) -> int:
    """How many channels a picture has beside an alpha."""
    return 3 if image.shape[-3] == 4 else image.shape[-3]


@value
class RandomChannelPermutation(Photometric):
    """The channels in random order; of four channels the last (alpha) stays in its place.

    >>> RandomChannelPermutation()(Image(torch.arange(3.0).reshape(3, 1, 1))).flatten().sort().values.tolist()
    [0.0, 1.0, 2.0]
    """

    needs = ("meta",)
    rowwise = True

    def draw(self, key: Key, info: Info) -> Params:
        return {"permutation": key.fold("permutation").permutation(max([3, *info.channels.values()]))}

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return permute_channels(image, among(params["permutation"], colours(image)))
