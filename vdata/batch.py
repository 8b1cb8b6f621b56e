"""Many samples as one: `Batch`, `Ragged`, and `collate`, which makes them.

Leaves of equal type, shape and metadata are stacked. Lists of objects (boxes, key points, instance masks,
labels per box) are always `Ragged`, so that a leaf's type never depends on the luck of the batch; so are
pictures of unequal sizes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.planes import interleaved, planes
from vdata.slabs import Slabs
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video

At = tuple[int, ...]  # a sample's place: (epoch, position, sub-index, ...)


def each_tensor(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every tensor and Ragged in it changed; dicts, lists and tuples keep their type."""
    if isinstance(value, (Tensor, Ragged)):
        return change(value)
    if isinstance(value, Batch):
        return value.replace({n: each_tensor(v, change) for n, v in value.items()})
    if isinstance(value, dict):
        return {n: each_tensor(v, change) for n, v in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [each_tensor(v, change) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def pinned(value: Any) -> Any:
    """A tensor or Ragged in page-locked memory; one on a device stays there."""
    return value.pin_memory() if isinstance(value, Ragged) or value.device.type == "cpu" else value


def rows_of(value: Tensor, rows: np.ndarray) -> Tensor:
    """value[rows] for int64 [n] on the CPU, in new memory: row by row, where torch's own indexing goes number by number."""
    if value.device.type != "cpu" or value.requires_grad or value.ndim < 2 or value.dtype not in _NUMPY or (isinstance(value, TypedTensor) and value._rows):
        return value[torch.from_numpy(rows).to(value.device)]
    plain = value.plain() if isinstance(value, TypedTensor) else value
    out = torch.from_numpy(plain.numpy()[rows])
    return value.like(out) if isinstance(value, TypedTensor) else out


_NUMPY = {torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64, torch.bool}


class Ragged:
    """B tensors of one type and unequal shapes: values in one buffer, offsets, and a list's face.

    values   where the shapes agree but for their first dimension, the rows end to end; else all elements, flat
    offsets  int64 [B + 1] into the first dimension of `values`

    >>> boxes = Ragged.of([torch.zeros(2, 4), torch.zeros(0, 4)])
    >>> len(boxes), boxes[1].shape, boxes.offsets.tolist()
    (2, torch.Size([0, 4]), [0, 2, 2])
    """

    __slots__ = ("_starts", "metas", "offsets", "shapes", "type", "values")

    def __init__(self, values: Tensor, offsets: Tensor, shapes: list[tuple[int, ...]], type: type, metas: list[dict[str, Any]]):
        self.values, self.offsets, self.shapes, self.type, self.metas = values, offsets, shapes, type, metas
        # The same on the host: indexing must not wait for a device.
        rows = [s[0] if values.ndim == len(s) else math.prod(s) for s in shapes]
        self._starts = [0, *itertools.accumulate(rows)]

    @classmethod
    def of(cls, items: Sequence[Tensor]) -> Ragged:
        """From tensors of one type and dtype."""
        kinds = {(type(t), t.dtype) for t in items}
        if len(kinds) != 1:
            raise TypeError(f"a Ragged holds one type and dtype, got {sorted(str(k) for k in kinds)}")
        plain = [t.plain() if isinstance(t, TypedTensor) else t for t in items]
        metas = [t.meta() if isinstance(t, TypedTensor) else {} for t in items]
        shapes = [tuple(t.shape) for t in plain]
        rows = all(s for s in shapes) and len({s[1:] for s in shapes}) == 1
        parts = plain if rows else [t.reshape(-1) for t in plain]
        offsets = torch.tensor(np.cumsum([0, *(len(p) for p in parts)]), dtype=torch.int64, device=plain[0].device)
        return cls(torch.cat(parts), offsets, shapes, type(items[0]), metas)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> Tensor:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} items")
        index %= len(self)
        plain = self.values[self._starts[index] : self._starts[index + 1]].reshape(self.shapes[index])
        return self.type.make(plain, self.metas[index]) if issubclass(self.type, TypedTensor) else plain

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def _with(self, values: Tensor, follow: Callable[[Tensor], Tensor]) -> Ragged:
        metas = [{n: follow(v) if isinstance(v, Tensor) else v for n, v in m.items()} for m in self.metas]
        return Ragged(values, follow(self.offsets), self.shapes, self.type, metas)

    def to(self, *args: Any, force: bool = False, **kwargs: Any) -> Ragged:
        """Moved to a device (arguments as `Tensor.to`); a dtype changes the values alone. Flow as `Flow.to`."""
        if issubclass(self.type, Flow) and len(self) and not force:
            self.type.make(self.values[:0], self.metas[0]).to(*args, **kwargs)  # refuses a dtype that would move pixels
        values = self.values.to(*args, **kwargs)
        return self._with(values, lambda t: t.to(values.device))

    def pin_memory(self) -> Ragged:
        """In page-locked memory."""
        return self._with(pinned(self.values), pinned)

    def __repr__(self) -> str:
        return f"Ragged({len(self)} x {self.type.__name__}, {str(self.values.dtype).removeprefix('torch.')}, {len(self.values)} rows)"

    def __reduce__(self):
        return Ragged, (self.values, self.offsets, self.shapes, self.type, self.metas)


class Batch(dict[str, Any]):
    """A dict of stacked or `Ragged` leaves, one entry a sample in each. `.size` is how many.

    `at` are the places of its samples, from which transforms after `.batch` take their keys.
    """

    size: int

    def __init__(self, leaves: Mapping[str, Any], size: int | None = None, at: Sequence[At] | np.ndarray | None = None):
        super().__init__(leaves)
        self.size = _size(leaves) if size is None else size
        self._at = at if isinstance(at, np.ndarray | tuple) else tuple((0, i) for i in range(self.size)) if at is None else tuple(at)

    @property
    def at(self) -> tuple[At, ...]:
        """The places of its samples."""
        return tuple(map(tuple, self._at.tolist())) if isinstance(self._at, np.ndarray) else self._at

    def places(self) -> np.ndarray | None:
        """The same as int64 [B, n], a row a sample; None where one is written with more numbers than another."""
        if isinstance(self._at, np.ndarray):
            return self._at
        lengths = set(map(len, self._at))
        return np.array(self._at, np.int64) if len(lengths) == 1 else None

    def samples(self, *names: str, plain: bool = False) -> list[dict[str, Any]]:
        """The samples again, each a dict of these fields, or of all (tensors are views of the batch's).

        plain  as ordinary tensors: what torchvision's detectors take as targets

        >>> Batch({"x": torch.zeros(2, 3), "y": torch.ones(2)}, 2).samples("y")
        [{'y': tensor(1.)}, {'y': tensor(1.)}]
        """
        out = [{name: self[name][i] for name in names or self} for i in range(self.size)]
        return [{n: v.plain() if isinstance(v, TypedTensor) else v for n, v in sample.items()} for sample in out] if plain else out

    def to(self, *args: Any, **kwargs: Any) -> Batch:
        """Every tensor moved, arguments as `Tensor.to`."""
        return self.replace({n: each_tensor(v, lambda t: t.to(*args, **kwargs)) for n, v in self.items()})

    def pin_memory(self) -> Batch:
        """Every tensor in page-locked memory."""
        return self.replace({n: each_tensor(v, pinned) for n, v in self.items()})

    def copy(self) -> Batch:
        """The same leaves in another Batch."""
        return self.replace(self)

    def __or__(self, other: Mapping[str, Any]) -> Batch:
        return self.replace({**self, **other})

    def replace(self, leaves: Mapping[str, Any]) -> Batch:
        """The same samples with other leaves."""
        return Batch(leaves, self.size, self._at)

    def __repr__(self) -> str:
        shown = []
        for name, value in self.items():
            kind = type(value).__name__
            if isinstance(value, Tensor):
                kind += f" {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
            shown.append(f"{name}: {repr(value) if isinstance(value, Ragged) else kind}")
        return f"Batch({self.size}; {', '.join(shown)})"

    def _repr_html_(self) -> str:
        from vdata.notebook import batch_html  # floors up: only a notebook needs what draws

        return batch_html(self)

    def __reduce__(self):
        return Batch, (dict(self), self.size, self.at)


def collate(samples: Sequence[Mapping[str, Any]], at: Sequence[At] | None = None, slabs: Slabs | None = None) -> Batch:
    """A `Batch` of samples with the same keys, in new memory (or that of `slabs`).

    Typed tensors and plain ones stack or become Ragged; bool, int and float become tensors (int64, float64 as
    torch's default collate does); everything else becomes a list. Samples with different keys raise, naming both.
    """
    if not samples:
        raise ValueError("a batch needs at least one sample")
    names = list(samples[0])
    for i, sample in enumerate(samples):
        if list(sample) != names and set(sample) != set(names):
            odd = sorted(set(sample) ^ set(names))
            raise ValueError(
                f"samples of one batch must have the same fields, but {odd} is not in both {samples[0].get('__key__', 'sample 0')!r} and "
                f"{sample.get('__key__', f'sample {i}')!r}: .select() the common fields, or give every sample an empty tensor"
            )
    return Batch({name: _column(name, [s[name] for s in samples], slabs) for name in names}, len(samples), at)


def _column(name: str, values: list[Any], slabs: Slabs | None) -> Any:
    try:
        return _joined(values, slabs)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise type(error)(f"field {name!r} does not make a batch: {error}") from error


def _joined(values: list[Any], slabs: Slabs | None) -> Any:
    """Tensors as one, numbers as one tensor, anything else as a list; decided by all of them, never by the first."""
    if all(isinstance(v, np.ndarray) and v.dtype.kind in "biufc" for v in values):
        values = [torch.from_numpy(np.ascontiguousarray(v)) for v in values]
    first = values[0]
    if all(isinstance(v, Tensor) for v in values):
        if isinstance(first, (BoundingBoxes, KeyPoints)) and all(type(v) is type(first) for v in values):
            values = _of_one_dtype(values)
            first = values[0]
        with torch._C.DisableTorchFunctionSubclass():  # a dtype takes ten times as long through the types' hook
            several = any(type(v) is not type(first) or v.dtype != first.dtype for v in values)
        if several:
            kinds = sorted({f"{type(v).__name__} {str(getattr(v, 'dtype', '')).removeprefix('torch.')}".strip() for v in values})
            raise TypeError(f"one field of a batch has several types: {', '.join(kinds)}")
        return _stack(values, slabs)
    if all(isinstance(v, (bool, int, float, np.number, np.bool_)) for v in values):
        numbers = np.asarray(values)
        # Integers that no 64 bits hold together stay a list: as floats they would lose digits.
        lossy = numbers.dtype == object or (numbers.dtype.kind == "f" and all(isinstance(v, (int, np.integer)) for v in values))
        return values if lossy else torch.as_tensor(numbers)
    if any(isinstance(v, (Tensor, np.ndarray)) for v in values):
        raise TypeError(f"tensors and arrays of numbers join only their like, got {', '.join(sorted({_kind(v) for v in values}))}: cast them in a .map(fn), or .select() it away")
    return values


def _of_one_dtype(values: list[Any]) -> list[Any]:
    """Boxes or points, some of which were moved off the whole numbers: all in the wider dtype."""
    dtype = values[0].dtype
    for value in values:
        dtype = torch.promote_types(dtype, value.dtype)
    return [v if v.dtype == dtype else v.to(dtype) for v in values]


def _size(leaves: Mapping[str, Any]) -> int:
    """How many samples there are: other libraries make a mapping anew as type(batch)({...})."""
    return next((len(v) for v in leaves.values() if isinstance(v, (list, Ragged)) or (isinstance(v, Tensor) and v.ndim)), 0)


def _kind(value: Any) -> str:
    return f"{type(value).__name__} of {value.dtype}" if isinstance(value, (Tensor, np.ndarray)) else type(value).__name__


def holds_objects(value: Tensor) -> bool:
    """Whether a leaf is a list of objects, of which the next sample may have another number."""
    if isinstance(value, Mask):
        return value.kind == "instance"
    return isinstance(value, (BoundingBoxes, KeyPoints)) or (isinstance(value, Label) and value.ndim > 0)


def _stack(values: list[Tensor], slabs: Slabs | None) -> Tensor | Ragged:
    first = values[0]
    metas = [_fixed(v) for v in values]
    with torch._C.DisableTorchFunctionSubclass():
        shapes = {v.shape for v in values}
    if holds_objects(first) or len(shapes) > 1 or any(m != metas[0] for m in metas):
        return Ragged.of(values)
    if not isinstance(first, Image | Video | Mask | Flow) or first.device.type != "cpu":
        return torch.stack(values)
    with torch._C.DisableTorchFunctionSubclass():
        if (room := vars(first).pop("_room", None)) is not None and _are_rows(values, room):
            return first.like(room)
        shape = (len(values), *first.shape)
        out = torch.empty(shape, dtype=first.dtype) if slabs is None else slabs.take(shape, first.dtype)
        if interleaved(first):
            for value, place in zip(values, out, strict=True):
                planes(value, place)
        else:
            torch.stack(values, out=out)
    return first.like(out)


def lies_in(first: TypedTensor, room: Tensor) -> None:
    """Say of a leaf that it is the first row of `room`, which is nobody else's: collated with the other rows, that is the batch."""
    vars(first)["_room"] = room


def _are_rows(values: list[Tensor], room: Tensor) -> bool:
    """Whether these are all rows of a contiguous tensor, in order. It is alive, so what lies in its memory is a part of it."""
    began, apart = room.data_ptr(), room.stride(0) * room.itemsize
    alike = len(values) == len(room) and values[0].shape == room.shape[1:] and values[0].dtype == room.dtype
    return alike and all(v.data_ptr() == began + i * apart and v.is_contiguous() for i, v in enumerate(values))


def _fixed(value: Tensor) -> dict[str, Any]:
    return {n: v for n, v in value.meta().items() if n not in value._rows} if isinstance(value, TypedTensor) else {}


# `torch.load(weights_only=True)` knows batches from here on.
torch.serialization.add_safe_globals([Batch, Ragged])
