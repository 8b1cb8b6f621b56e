"""The seven types: Image, Video, BoundingBoxes, KeyPoints, Mask, Flow, Label.

Each is a `torch.Tensor` that knows what it is. Moving, casting, copying, indexing rows, stacking,
pickling and `torch.save` keep the type and what it carries; ordinary arithmetic gives a plain tensor.
The one hook, `__torch_function__`, decides that by the function called (docs/design/0003-typed-tensors.md).

Coordinates are continuous: pixel (i, j) is the square [j, j+1] x [i, i+1], its centre at (j + 1/2, i + 1/2),
and the canvas is [0, W] x [0, H]. All seven types share this one convention.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

__all__ = ["TYPES", "BoundingBoxFormat", "BoundingBoxes", "Flow", "Image", "KeyPoints", "Label", "Mask", "TypedTensor", "Video"]

T = TypeVar("T", bound="TypedTensor")

# The functions whose result is still the same thing: elsewhere, copied, or in another dtype.
_SAME = {
    Tensor.to, Tensor.cpu, Tensor.cuda, Tensor.clone, Tensor.detach, Tensor.contiguous, Tensor.pin_memory,
    Tensor.type, Tensor.float, Tensor.double, Tensor.half, Tensor.bfloat16, Tensor.bool, Tensor.byte, Tensor.char,
    Tensor.short, Tensor.int, Tensor.long, torch.clone, torch.detach,
}  # fmt: skip
_JOIN = {torch.stack, torch.cat, torch.concat, torch.concatenate}


class TypedTensor(Tensor):
    """A tensor with a meaning and, for some types, metadata. Use one of the seven subclasses."""

    _core: ClassVar[int]  # how many trailing dimensions make one thing; those before them are rows
    _meta: ClassVar[tuple[str, ...]] = ()  # the metadata's names
    _rows: ClassVar[tuple[str, ...]] = ()  # those among them that are tensors with one entry a row

    if TYPE_CHECKING:  # torch's stubs say Tensor; these keep the type, as __torch_function__ does
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def __getitem__(self: T, index: Any, /) -> T: ...
        def clone(self: T, *args: Any, **kwargs: Any) -> T: ...
        def detach(self: T) -> T: ...
        def to(self: T, *args: Any, **kwargs: Any) -> T: ...
        def cpu(self: T) -> T: ...
        def float(self: T) -> T: ...
        def contiguous(self: T, *args: Any, **kwargs: Any) -> T: ...
        def pin_memory(self: T, *args: Any, **kwargs: Any) -> T: ...

    def plain(self) -> Tensor:
        """The same memory as an ordinary tensor."""
        with torch._C.DisableTorchFunctionSubclass():
            return self.as_subclass(Tensor)

    def meta(self) -> dict[str, Any]:
        """What this tensor carries beside its numbers, as plain values."""
        return {name: getattr(self, name) for name in self._meta}

    @classmethod
    def make(cls: type[T], data: Tensor, meta: dict[str, Any]) -> T:
        """A tensor of this type over `data`'s memory with the given metadata, unchecked."""
        with torch._C.DisableTorchFunctionSubclass():
            out = data.as_subclass(cls)
        vars(out).update(meta)
        return out

    def like(self: T, data: Tensor, **changed: Any) -> T:
        """`data` as this type with this metadata, except what `changed` names."""
        return self.make(data, {**self.meta(), **changed})

    @property
    def canvas(self) -> tuple[int, int] | None:
        """(height, width) of the canvas that this lies on; None for types without one."""
        return None

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is Tensor.__getitem__ and isinstance(args[0], TypedTensor):  # else a plain tensor is indexed by a typed one
            return args[0]._index(args[1])
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **kwargs)
        if func in _SAME and isinstance(args[0], cls) and isinstance(out, Tensor):
            return args[0]._moved(out)
        if func in _JOIN:
            return _joined(func, args, kwargs, out)
        return out

    def _moved(self: T, out: Tensor) -> T:
        rows = {n: None if (v := getattr(self, n)) is None else v.to(out.device).clone() for n in self._rows}
        return self.make(out, {**self.meta(), **rows})

    def _index(self, index: Any) -> Tensor:
        with torch._C.DisableTorchFunctionSubclass():
            out = self.as_subclass(Tensor)[index]
        if _depth(index) > self.ndim - self._core:
            return out
        rows = {n: None if (v := getattr(self, n)) is None else v[index] for n in self._rows}
        return self.make(out, {**self.meta(), **rows})

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))  # rows keep their type

    def __deepcopy__(self: T, memo: dict[int, Any]) -> T:
        out = self.clone().detach()
        out.requires_grad_(self.requires_grad)
        memo[id(self)] = out
        return out

    def __copy__(self: T) -> T:
        return self.make(self.plain(), self.meta())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.plain(), self.meta())

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        meta = "".join(f", {n}={_short(v)}" for n, v in self.meta().items() if v is not None and n not in self._rows)
        head = f"{type(self).__name__}({str(self.dtype).removeprefix('torch.')} {list(self.shape)}{meta}"
        where = "" if self.device.type == "cpu" else f", device={str(self.device)!r}"
        values = f", {self.plain().tolist()}" if self.numel() <= 16 and self.device.type != "meta" else ""
        return head + where + values + ")"


def _sides(x: Tensor) -> tuple[int, int]:
    """(height, width) of a raster; past the types' hook, which takes longer than the answer."""
    with torch._C.DisableTorchFunctionSubclass():
        return x.shape[-2], x.shape[-1]


def _short(value: Any) -> str:
    """As `repr`, but of many class names the first few."""
    if isinstance(value, tuple) and len(value) > 8:
        return f"({', '.join(map(repr, value[:3]))}, ... {len(value)} in all)"
    return repr(value)


def _depth(index: Any) -> int:
    """How many leading dimensions an index touches; 1,000 where it is not a plain choice of rows."""
    deep = 0
    for part in index if isinstance(index, tuple) else (index,):
        if part is None or part is Ellipsis:
            return 1000
        deep += part.ndim if isinstance(part, (Tensor, np.ndarray)) and part.dtype in (torch.bool, np.dtype(bool)) else 1
    return deep


def _joined(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Tensor:
    """The result of stack or cat along a row dimension: typed where all are of one type and agree in metadata."""
    parts = args[0] if args else kwargs["tensors"]
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    first = parts[0]
    if not isinstance(first, TypedTensor) or any(type(p) is not type(first) for p in parts):
        return out
    rows = first._rows
    metas = [{n: v for n, v in p.meta().items() if n not in rows} for p in parts]
    lead = out.ndim - first._core
    if any(m != metas[0] for m in metas) or not 0 <= (dim + out.ndim if dim < 0 else dim) < max(lead, 1):
        return out
    joined = {}
    for name in rows:
        values = [getattr(p, name) for p in parts]
        if any(v is None for v in values) and any(v is not None for v in values):
            return out
        joined[name] = None if values[0] is None else func(values, dim)
    return first.make(out, {**metas[0], **joined})


def _rebuild(cls: type[TypedTensor], data: Tensor, meta: dict[str, Any]) -> TypedTensor:
    return cls.make(data, meta)


def _tensor(data: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    if isinstance(data, TypedTensor):
        data = data.plain()
    if hasattr(data, "mode") and hasattr(data, "getbands"):  # a PIL image
        data = np.asarray(data)
        data = torch.from_numpy(data.copy())
        data = data.permute(2, 0, 1).contiguous() if data.ndim == 3 else data
    return torch.as_tensor(data, dtype=dtype, device=device)


def _at_least(name: str, data: Tensor, ndim: int, shape: str) -> Tensor:
    if data.ndim < ndim:
        raise ValueError(f"{name} needs {shape}, got shape {list(data.shape)}")
    return data


class Image(TypedTensor):
    """A picture, [..., C, H, W] (a 2-D tensor becomes [1, H, W]). uint8 in 0..255, uint16, or float in 0..1.

    A PIL image is taken as its pixels lie (an EXIF orientation is not applied here).

    >>> Image(torch.zeros(3, 4, 6, dtype=torch.uint8)).canvas
    (4, 6)
    """

    _core = 3

    def __new__(cls, data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Image:
        data = _tensor(data, dtype, device)
        return cls.make(_at_least("Image", data[None] if data.ndim == 2 else data, 3, "[..., C, H, W]"), {})

    @property
    def canvas(self) -> tuple[int, int]:
        return _sides(self)


class Video(TypedTensor):
    """A clip, [..., T, C, H, W]: one draw of a transform moves all of its frames alike."""

    _core = 4

    def __new__(cls, data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Video:
        return cls.make(_at_least("Video", _tensor(data, dtype, device), 4, "[..., T, C, H, W]"), {})

    @property
    def canvas(self) -> tuple[int, int]:
        return _sides(self)


class BoundingBoxFormat(enum.StrEnum):
    """How a box is written. The R formats end in an angle in degrees, counter-clockwise."""

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"
    XYWHR = "XYWHR"
    CXCYWHR = "CXCYWHR"
    XYXYXYXY = "XYXYXYXY"

    @property
    def width(self) -> int:
        """How many numbers a box has."""
        return {"XYXYXYXY": 8}.get(self.value, 5 if self.value.endswith("R") else 4)

    def __repr__(self) -> str:
        return repr(self.value)


class BoundingBoxes(TypedTensor):
    """Boxes, [..., N, 4] (5 or 8 numbers in the rotated formats), on a canvas of (height, width).

    frame          the picture that they lie on, where a sample has several
    clamping_mode  how `clamp_bounding_boxes` cuts rotated boxes, "soft" or "hard"; with None no transform cuts any box

    No boxes is [0, 4], never a missing key.

    >>> BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(10, 20)).canvas
    (10, 20)
    """

    _core = 1
    _meta = ("format", "canvas_size", "frame", "clamping_mode")
    format: str
    canvas_size: tuple[int, int]
    frame: str | None
    clamping_mode: str | None

    def __new__(
        cls, data: Any, *, format: BoundingBoxFormat | str, canvas_size: tuple[int, int], frame: str | None = None,
        clamping_mode: str | None = "soft", dtype: torch.dtype | None = None, device: Any = None,
    ) -> BoundingBoxes:  # fmt: skip
        if clamping_mode not in ("soft", "hard", None):
            raise ValueError(f'clamping_mode is "soft", "hard" or None, got {clamping_mode!r}')
        kind = BoundingBoxFormat(format.value if isinstance(format, enum.Enum) else format.upper())
        data = _tensor(data, dtype, device)
        if data.numel() == 0 and data.ndim < 2:
            data = data.reshape(0, kind.width)
        data = data[None] if data.ndim == 1 else data
        if data.shape[-1] != kind.width:
            raise ValueError(f"{kind.value} boxes have {kind.width} numbers each, got shape {list(data.shape)}")
        if kind.width != 4 and not data.is_floating_point():
            raise ValueError(f"{kind.value} boxes are rotated and need a floating dtype, got {data.dtype}")
        height, width = (int(s) for s in canvas_size)
        if height < 1 or width < 1:
            raise ValueError(f"canvas_size is (height, width), both at least 1, got {tuple(canvas_size)}")
        meta = {"format": kind.value, "canvas_size": (height, width), "frame": frame, "clamping_mode": clamping_mode}
        return cls.make(data, meta)

    @property
    def canvas(self) -> tuple[int, int]:
        return self.canvas_size


class KeyPoints(TypedTensor):
    """Points (x, y): [N, K, 2] are the K points of N objects, [N, 2] loose points; on a canvas of (height, width).

    visibility  the points' shape without the 2: 0 not labelled (such points do not move), 1 labelled but hidden, 2 visible
    swap        for K points an object: which point each becomes in a mirror, as (0, 2, 1) where 1 and 2 are the left
                and the right eye; transforms that mirror let points take each other's places by it

    >>> eyes = KeyPoints([[[1.0, 2.0], [5.0, 2.0]]], canvas_size=(4, 10), swap=(1, 0))
    >>> T.functional.horizontal_flip(eyes).tolist()
    [[[5.0, 2.0], [9.0, 2.0]]]
    """

    _core = 1
    _meta = ("canvas_size", "visibility", "frame", "swap")
    _rows = ("visibility",)
    canvas_size: tuple[int, int]
    visibility: Tensor | None
    frame: str | None
    swap: tuple[int, ...] | None

    def __new__(
        cls, data: Any, *, canvas_size: tuple[int, int], visibility: Any = None, frame: str | None = None,
        swap: Any = None, dtype: torch.dtype | None = None, device: Any = None,
    ) -> KeyPoints:  # fmt: skip
        data = _tensor(data, dtype, device)
        data = data.reshape(0, 2) if data.numel() == 0 and data.ndim < 2 else data
        if data.ndim < 1 or data.shape[-1] != 2:
            raise ValueError(f"KeyPoints need [..., 2], got shape {list(data.shape)}")
        if visibility is not None:
            visibility = torch.as_tensor(visibility, device=data.device)
            if visibility.shape != data.shape[:-1]:
                raise ValueError(f"visibility needs shape {list(data.shape[:-1])}, got {list(visibility.shape)}")
        if swap is not None:
            swap = tuple(int(i) for i in swap)
            if data.ndim < 3 or sorted(swap) != list(range(data.shape[-2])) or any(swap[swap[i]] != i for i in swap):
                raise ValueError(
                    f"swap says for each of K points ([..., N, K, 2]) which one it becomes in a mirror, and back again; got {swap} for "
                    f"shape {list(data.shape)}"
                )
        height, width = (int(s) for s in canvas_size)
        return cls.make(data, {"canvas_size": (height, width), "visibility": visibility, "frame": frame, "swap": swap})

    @property
    def canvas(self) -> tuple[int, int]:
        return self.canvas_size


class Mask(TypedTensor):
    """Pixels' labels, [..., H, W], of any integer dtype or bool.

    kind          "semantic": each pixel's class; "instance": [N, H, W], one mask an object
    ignore_index  the value that means "unknown": new pixels of a transform get it (0 where it is None)
    """

    _core = 2
    _meta = ("kind", "ignore_index", "categories", "frame")
    kind: str
    ignore_index: int | None
    categories: tuple[str, ...] | None
    frame: str | None

    def __new__(
        cls, data: Any, *, kind: str = "semantic", ignore_index: int | None = None,
        categories: tuple[str, ...] | None = None, frame: str | None = None,
        dtype: torch.dtype | None = None, device: Any = None,
    ) -> Mask:  # fmt: skip
        if kind not in ("semantic", "instance"):
            raise ValueError(f'a Mask is "semantic" or "instance", got {kind!r}')
        data = _at_least("Mask", _tensor(data, dtype, device), 3 if kind == "instance" else 2,
                         "[N, H, W]" if kind == "instance" else "[..., H, W]")  # fmt: skip
        categories = None if categories is None else tuple(categories)
        return cls.make(data, {"kind": kind, "ignore_index": ignore_index, "categories": categories, "frame": frame})

    @property
    def canvas(self) -> tuple[int, int]:
        return _sides(self)


class Flow(TypedTensor):
    """Optical flow, float32 [..., 2, H, W]: (u right, v down) in pixels of the second frame; NaN where unknown.

    The content at x of the first frame is at x + f(x) in the second.

    views        the names of the two frames
    target_size  (height, width) of the second frame; the flow's own where not given
    sparse       the known pixels are scattered (KITTI): resampled by nearest pixel, never blended
    valid        bool [..., H, W], optional: where it is False the flow becomes NaN

    A cast below float32 would move pixels and raises, unless `.to(dtype, force=True)`.
    """

    _core = 3
    _meta = ("views", "target_size", "sparse")
    views: tuple[str, str]
    target_size: tuple[int, int]
    sparse: bool

    def __new__(
        cls, data: Any, *, valid: Any = None, views: tuple[str, str] = ("image1", "image2"),
        target_size: tuple[int, int] | None = None, sparse: bool = False,
        dtype: torch.dtype | None = torch.float32, device: Any = None,
    ) -> Flow:  # fmt: skip
        data = _at_least("Flow", _tensor(data, dtype, device), 3, "[..., 2, H, W]")
        if data.shape[-3] != 2:
            raise ValueError(f"Flow needs [..., 2, H, W], got shape {list(data.shape)}")
        if data.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"Flow is float32 (or float64), not {data.dtype}: less would move pixels")
        if valid is not None:
            data = torch.where(_tensor(valid, device=data.device).bool().unsqueeze(-3), data, torch.nan)
        size = tuple(data.shape[-2:]) if target_size is None else (int(target_size[0]), int(target_size[1]))
        return cls.make(data, {"views": (str(views[0]), str(views[1])), "target_size": size, "sparse": bool(sparse)})

    @property
    def canvas(self) -> tuple[int, int]:
        return _sides(self)

    @property
    def valid(self) -> Mask:
        """Where the flow is known: bool [..., H, W]."""
        return Mask(self.plain().isfinite().all(-3), frame=self.views[0])

    def fill(self, value: float = 0.0) -> Tensor:
        """The dense plain tensor, with `value` where the flow is unknown."""
        return torch.where(self.plain().isfinite().all(-3, keepdim=True), self.plain(), value)

    def to(self, *args: Any, force: bool = False, **kwargs: Any) -> Flow:
        """As `Tensor.to`; `force=True` allows a dtype below float32."""
        return self.make(self.plain().to(*args, **kwargs), self.meta()) if force else super().to(*args, **kwargs)

    def _moved(self, out: Tensor) -> Flow:
        if out.dtype not in (torch.float32, torch.float64) and out.dtype != self.dtype:
            raise TypeError(
                f"a Flow cast to {str(out.dtype).removeprefix('torch.')} moves pixels: keep float32, or say "
                f".to(dtype, force=True), or take the plain tensor with .plain()"
            )
        return super()._moved(out)


class Label(TypedTensor):
    """Class indices, integer, any shape: [] for a sample, [N] for its objects. `categories` are their names.

    >>> Label(1, categories=("cat", "dog")).name
    'dog'
    """

    _core = 0
    _meta = ("categories",)
    categories: tuple[str, ...] | None

    def __new__(
        cls, data: Any, *, categories: tuple[str, ...] | None = None, dtype: torch.dtype | None = None, device: Any = None
    ) -> Label:
        data = _tensor(data, dtype, device)
        data = data.long() if data.numel() == 0 and data.is_floating_point() else data
        return cls.make(data, {"categories": None if categories is None else tuple(categories)})

    @property
    def name(self) -> str | list[Any]:  # type: ignore[override]
        """The category of a single label, or a list of them."""
        names = self.categories
        if names is None:
            raise AttributeError("this Label has no categories")

        def pick(value: Any) -> Any:
            return [pick(v) for v in value] if isinstance(value, list) else names[value]

        return pick(self.plain().tolist())


TYPES: dict[str, type[TypedTensor]] = {c.__name__: c for c in (Image, Video, BoundingBoxes, KeyPoints, Mask, Flow, Label)}

# `torch.load(weights_only=True)` and torch's own `default_collate` know the types from here on.
torch.serialization.add_safe_globals([*TYPES.values(), _rebuild])


def _collate(batch: list[TypedTensor], *, collate_fn_map: Any = None) -> Tensor:
    shapes = {tuple(t.shape) for t in batch}
    if len(shapes) > 1:
        raise ValueError(
            f"{type(batch[0]).__name__}s of shapes {sorted(shapes)} do not stack: bring them to one shape, "
            "or let the pipe batch them (.batch(n) makes them Ragged) and give DataLoader batch_size=None"
        )
    return torch.stack([*batch])


def _register_collate() -> None:
    from torch.utils.data._utils.collate import default_collate_fn_map

    default_collate_fn_map.update(dict.fromkeys(TYPES.values(), _collate))


_register_collate()
