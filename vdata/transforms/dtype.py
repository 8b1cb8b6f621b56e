"""Dtypes, ranges and normalisation; into typed tensors and out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from vdata.batch import Batch, Ragged
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.transforms._base import Params, Transform, value
from vdata.transforms._check import ByType, put
from vdata.transforms._info import Info
from vdata.transforms._op import op
from vdata.transforms._photometric import Photometric

_VALUE_BITS = {torch.uint8: 8, torch.int8: 7, torch.int16: 15, torch.uint16: 16, torch.int32: 31, torch.int64: 63}


@op
def to_dtype(inpt: Any, dtype: torch.dtype = torch.float32, scale: bool = False) -> Any:
    """Cast to `dtype`. With `scale`, a picture's values go from the old dtype's range to the new one's (float is 0..1).

    A Flow below float32 raises TypeError: it would move pixels.

    >>> to_dtype(Image(torch.full((1, 1, 1), 255, dtype=torch.uint8)), torch.float32, scale=True).tolist()
    [[[1.0]]]
    """


@to_dtype.on(Image, Video)
def _(x: Image | Video, dtype: torch.dtype, scale: bool) -> Tensor:
    return rescaled(x.plain(), dtype) if scale else x.plain().to(dtype)


@to_dtype.on(Mask, BoundingBoxes, KeyPoints, Flow, Label)
def _(x: TypedTensor, dtype: torch.dtype, scale: bool) -> TypedTensor:
    return x.to(dtype)


def greatest(dtype: torch.dtype) -> int:
    """White: 1 for floats and bool, the greatest value for integers."""
    return 1 if dtype.is_floating_point or dtype == torch.bool else torch.iinfo(dtype).max


def value_bits(dtype: torch.dtype) -> int:
    """How many bits the levels of an integer dtype have, its sign left out."""
    if dtype not in _VALUE_BITS:
        remedy = "ToDtype(torch.uint8, scale=True)" if dtype == torch.bool else "ToDtype(torch.int64)"
        raise TypeError(f"pictures of {dtype} have no levels that torch can compute with: make some with {remedy}")
    return _VALUE_BITS[dtype]


def rescaled(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Values from their dtype's range to that of `dtype`; source: torchvision's to_dtype_image, whose results these are."""
    if x.dtype == dtype:
        return x
    if dtype == torch.bool:
        raise TypeError("a picture has no one scale to bool: compare it with a threshold of your own, as in x > 0.5")
    if x.is_floating_point():
        return x.to(dtype) if dtype.is_floating_point else _to_integers(x, dtype)
    if dtype.is_floating_point:
        return x.to(dtype).mul_(1.0 / greatest(x.dtype))
    if x.dtype == torch.bool:
        return (x.to(torch.int64) * (2 ** value_bits(dtype) - 1)).to(dtype)
    shift = value_bits(dtype) - value_bits(x.dtype)
    wide = x.to(torch.int64)  # uint16 has no shift of its own
    return (wide << shift if shift > 0 else wide >> -shift).to(dtype)


def _to_integers(x: Tensor, dtype: torch.dtype) -> Tensor:
    bits = value_bits(dtype)
    if bits > 53 or (x.dtype != torch.float64 and bits > 24):
        raise TypeError(f"{x.dtype} cannot count to the end of {dtype}: convert to a smaller integer, or from float64")
    # Just below (greatest + 1): every level gets an equal share of [0, 1], and 1 still gets the greatest. Where the float
    # cannot hold that product (float32 to uint16) it rounds up to greatest + 1, which torchvision lets wrap round to 0.
    x = x if x.dtype == torch.float64 else x.float()
    return x.mul(greatest(dtype) + 1.0 - 1e-3).clamp_(0, greatest(dtype)).to(dtype)


@value
class ToDtype(Transform):
    """Cast pictures and clips to `dtype`, or every type to its own.

    dtype  a torch.dtype for pictures and clips alone; or a dict by type, `{Image: torch.float32, Mask: torch.int64,
           "others": None}`: None leaves a type alone, a type that is present and not named (nor "others") raises. Labels
           change only if they are named.
    scale  as in `functional.to_dtype`, for pictures and clips

    >>> ToDtype(torch.float32, scale=True)(Image(torch.zeros(3, 2, 2, dtype=torch.uint8))).dtype
    torch.float32
    """

    dtype: Any
    scale: bool = False
    exact = rowwise = True

    def __post_init__(self) -> None:
        given = ByType(self.dtype) if isinstance(self.dtype, Mapping) else ByType({"Image": self.dtype or ""})
        if not all(d is None or isinstance(d, torch.dtype) for d in given.values()):
            raise ValueError(f"dtype must be a torch.dtype, or a dict from types to dtypes or None, got {self.dtype!r}")
        put(self, dtype=given if isinstance(self.dtype, Mapping) else self.dtype)

    def of(self, kind: type) -> torch.dtype | None:
        """The dtype that a type is cast to; None where it is left alone."""
        if not isinstance(self.dtype, ByType):
            return self.dtype if kind in (Image, Video) else None
        if kind.__name__ in self.dtype or kind is Label:
            return self.dtype.get(kind.__name__)
        if "others" not in self.dtype:
            raise ValueError(f'{self} says nothing of {kind.__name__}: name it, or "others" for all that is not named')
        return self.dtype["others"]

    def inverse(self, params: Params, sample: dict[str, Any], info: Info) -> dict[str, Any]:
        return sample  # nothing has moved

    def after(self, params: Params, info: Info) -> Info:
        kinds = {c.__name__: c for c in (Image, Video, Mask, BoundingBoxes, KeyPoints, Flow, Label)}
        cast = {n: self.of(kinds[t]) for n, t in info.types.items() if t in kinds}
        return replace(info, dtypes={**info.dtypes, **{n: str(d).removeprefix("torch.") for n, d in cast.items() if d}})

    def apply(self, params: Params, sample: dict[str, Any]) -> dict[str, Any]:
        return {n: self._cast(v) if isinstance(v, TypedTensor) else v for n, v in sample.items()}

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        return batch.replace({n: self._cast_rows(v) for n, v in batch.items()})

    def _cast_rows(self, leaf: Any) -> Any:
        """A leaf of a batch; of leaves of unequal shapes all numbers at once."""
        if not isinstance(leaf, Ragged):
            return self._cast(leaf) if isinstance(leaf, TypedTensor) else leaf
        dtype = self.of(leaf.type) if issubclass(leaf.type, TypedTensor) else None
        if dtype is None:
            return leaf
        if not (self.scale and issubclass(leaf.type, (Image, Video))):
            return leaf.to(dtype)
        return Ragged(rescaled(leaf.values, dtype), leaf.offsets, leaf.shapes, leaf.type, leaf.metas)

    def _cast(self, leaf: TypedTensor) -> TypedTensor:
        dtype = self.of(type(leaf))
        return leaf if dtype is None else to_dtype(leaf, dtype, self.scale)


@op
def normalize(inpt: Any, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Any:
    """(value - mean) / std, a mean and a std for each channel (or one for all); floating pictures and clips.

    >>> normalize(Image(torch.ones(1, 1, 2)), [0.5], [0.25]).tolist()
    [[[2.0, 2.0]]]
    """


@normalize.on(Image, Video)
def _(x: Image | Video, mean: Sequence[float], std: Sequence[float], inplace: bool) -> Tensor:
    if not x.is_floating_point():
        raise TypeError(
            f"normalize needs a floating picture, got {x.dtype}: put ToDtype(torch.float32, scale=True) before it"
        )
    middle, spread = normalisers(x.plain(), mean, std)
    moved = x.plain().sub_(middle) if inplace else x.plain().sub(middle)
    return moved.div_(spread)


def normalisers(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> list[Tensor]:
    """What is subtracted from floating pictures [..., C, H, W], and what they are then divided by: [C, 1, 1] or [1, 1, 1] each."""
    return [_per_channel(mean, x, "mean"), _per_channel(std, x, "std")]


def _per_channel(numbers: Any, x: Tensor, name: str) -> Tensor:
    out = torch.as_tensor(numbers, dtype=x.dtype).reshape(-1, 1, 1)
    if len(out) not in (1, x.shape[-3]):
        raise ValueError(f"{name} has {len(out)} numbers, but the picture has {x.shape[-3]} channels")
    if name == "std" and not out.all():  # seen before the copy to the device, which need not be waited for
        raise ValueError(f"std must not be 0, got {numbers}")
    return out.to(x.device, non_blocking=True)


@value
class Normalize(Photometric):
    """(value - mean) / std by channel, for floating pictures and clips; masks, boxes, points and flows stay as they are.

    >>> Normalize([0.5], [0.5])(Image(torch.ones(3, 1, 1))).flatten().tolist()
    [1.0, 1.0, 1.0]
    """

    mean: Sequence[float]
    std: Sequence[float]
    inplace: bool = False
    exact = rowwise = True

    def __post_init__(self) -> None:
        mean, std = (_numbers(v) for v in (self.mean, self.std))
        if not all(std):
            raise ValueError(f"std must not be 0, got {self.std!r}")
        put(self, mean=mean, std=std)

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        return normalize(image, self.mean, self.std, self.inplace)


def _numbers(given: Any) -> tuple[Any, ...]:
    """One number, or several in a sequence, an array or a tensor, as plain values: a transform compares and hashes."""
    if isinstance(given, (Tensor, np.ndarray)):
        given = given.tolist()
    return tuple(given) if isinstance(given, Sequence) else (given,)


@value
class ToImage(Transform):
    """Plain tensors, numpy arrays ([H, W, C] or [H, W]) and PIL images of at least two dimensions become Images.

    It stands first: what it wraps is then moved by all that follows.

    >>> ToImage()({"image": torch.zeros(3, 2, 2)})["image"].canvas
    (2, 2)
    """

    def enter(self, leaves: dict[str, Any]) -> dict[str, Any]:
        wrapped = {n: _image(v) for n, v in leaves.items()}
        return super().enter(wrapped if any(wrapped[n] is not v for n, v in leaves.items()) else leaves)

    def apply(self, params: Params, sample: dict[str, Any]) -> dict[str, Any]:
        return {n: _image(v) for n, v in sample.items()}


def channels_last(array: np.ndarray) -> None:
    """Raise for an array that looks as if its channels came first."""
    if array.ndim > 2 and array.shape[-1] > 4 >= array.shape[-3]:
        raise ValueError(
            f"an array has its channels last, [H, W, C], but shape {list(array.shape)} looks like [C, H, W]: "
            "make it a tensor with torch.from_numpy"
        )


def _image(leaf: Any) -> Any:
    if isinstance(leaf, PIL.Image.Image) or (type(leaf) is Tensor and leaf.ndim >= 2):
        return Image(leaf)
    if isinstance(leaf, np.ndarray) and leaf.ndim >= 2:
        channels_last(leaf)
        return Image(torch.tensor(leaf).movedim(-1, -3) if leaf.ndim > 2 else torch.tensor(leaf))
    return leaf


@value
class ToPureTensor(Transform):
    """Typed tensors become plain ones, over the same memory: last in a list, for code that knows no types.

    >>> type(ToPureTensor()(Image(torch.zeros(3, 2, 2)))).__name__
    'Tensor'
    """

    def after(self, params: Params, info: Info) -> Info:
        return replace(info, types={}, dtypes={}, channels={}, counts={})

    def inverse(self, params: Params, sample: dict[str, Any], info: Info) -> dict[str, Any]:
        return sample  # nothing has moved

    def apply(self, params: Params, sample: dict[str, Any]) -> dict[str, Any]:
        return {n: v.plain() if isinstance(v, TypedTensor) else v for n, v in sample.items()}
