"""Small pictures of one size: transformed as the batch that they become, where that gives each exactly what it gets alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vdata import codecs
from vdata.batch import collate
from vdata.encoded import Encoded
from vdata.errors import DataError
from vdata.rewrite import BatchApply, DecodeApply
from vdata.run.each import Item, opened, stage_key
from vdata.run.window import is_picture
from vdata.slabs import Slabs
from vdata.tensors import Flow, Image, Label, Mask, TypedTensor

SMALL = 128 * 128  # pixels of a picture: larger ones gain nothing, and a batch of them decoded whole is much memory
_PLAIN = ("int", "float", "str", "Label")


def fits(items: Sequence[Item | None]) -> bool:
    """Whether samples are flat, small, and alike in the types and shapes of all that they hold."""
    kinds = [None if i is None or i.count != 1 else _kind(i.value) for i in items]
    return bool(kinds) and kinds[0] is not None and all(k == kinds[0] for k in kinds)


def _kind(sample: Any) -> dict[str, Any] | None:
    """What must agree between samples; None for one that is not transformed in a batch."""
    if type(sample) is not dict:
        return None
    found: dict[str, Any] = {}
    for name, value in sample.items():
        if isinstance(value, Encoded):
            kind = _encoded(value)
        elif isinstance(value, torch.Tensor):
            kind = _tensor(value)
        else:
            kind = type(value) if isinstance(value, int | float | str | bytes | None) else None
        if kind is None:
            return None
        found[name] = kind
    return found


def _encoded(value: Encoded) -> Any:
    if is_picture(value):
        try:
            height, width = codecs.size(value)
        except DataError:  # who decodes it alone says which it is
            return None
        return ("picture", height, width, value.codec, value.orient) if height * width <= SMALL else None
    known = value.type or codecs.type_of(value)
    return known if known in _PLAIN else None


def _tensor(value: torch.Tensor) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        shape, dtype = value.shape, value.dtype
    if type(value) is Image or type(value) is Flow or (type(value) is Mask and value.kind == "semantic"):
        small = len(shape) <= 3 and shape[-1] * shape[-2] <= SMALL
        return (type(value), shape, dtype, value.meta()) if small else None
    return (type(value), dtype) if not shape and (type(value) is Label or not isinstance(value, TypedTensor)) else None


def transformed(stage: BatchApply, items: Sequence[Item], slabs: Slabs) -> Item:
    """The batch of samples that fit, transformed."""
    apply = stage.apply
    values = [opened(apply.decode, i) for i in items] if isinstance(apply, DecodeApply) else [i.value for i in items]
    batch = collate(values, [i.at for i in items], slabs)
    whole = Item(items[0].at, batch, len(items), sum((i.broken for i in items), ()))
    return whole.to(apply.transform.on_batch(batch, stage_key(apply, whole)))
