"""A verb with one kernel per tensor type. A missing kernel is an error, never a silent pass.

    @op
    def invert(inpt): "docstring"          # the signature is torchvision's

    @invert.on(Image, Video)
    def _(x): return 255 - x.plain()       # gets the typed tensor, may return a plain one

`@spatial` is a verb that moves the canvas. It is given by two functions: `map`, where a point goes, and
`pixels`, how a raster follows; boxes, key points and flow vectors are then derived from the map, so that
all types move together by construction (docs/design/0004-transforms.md).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, TypedTensor, Video
from vdata.transforms._check import ByType
from vdata.transforms._map import Map, move_boxes, move_points, push_flow

Kernel = Callable[..., Any]


class Op:
    """A verb: call it with a typed tensor (or a plain one, taken as an image) and the verb's arguments."""

    def __init__(self, fn: Callable[..., Any]):
        self.name = fn.__name__
        self.__name__, self.__qualname__, self.__module__, self.__doc__ = (
            fn.__name__,
            fn.__qualname__,
            fn.__module__,
            fn.__doc__,
        )
        self.__wrapped__ = fn  # where help, doctest and editors look for a callable's own text
        self.signature = inspect.signature(fn)
        self.__signature__ = self.signature
        parameters = list(self.signature.parameters.values())[1:]
        self._names = tuple(p.name for p in parameters)
        self._defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
        self.kernels: dict[type, Kernel] = {}

    def on(self, *types: type) -> Callable[[Kernel], Kernel]:
        """Register a kernel for these types: `@verb.on(Image, Video)`."""

        def register(kernel: Kernel) -> Kernel:
            self.kernels.update(dict.fromkeys(types, kernel))
            return kernel

        return register

    def knows(self, kind: type) -> bool:
        """Whether there is a kernel for this type."""
        return kind in self.kernels

    def kernel(self, kind: type) -> Kernel:
        """The kernel for a type, or NoKernelError naming the types that have one."""
        if kind not in self.kernels:
            known = ", ".join(t.__name__ for t in self.kernels)
            raise NoKernelError(
                f"{self.name} does not know how to move a {kind.__name__}. It knows {known}. "
                f"Wrap the value in one of vdata.tensors, or register a kernel: @{self.name}.on({kind.__name__})"
            )
        return self.kernels[kind]

    def arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The verb's arguments by name, defaults included."""
        names = self._names
        given = {**self._defaults, **dict(zip(names, args)), **kwargs}
        if len(given) == len(names) and len(args) <= len(names) and kwargs.keys().isdisjoint(names[: len(args)]):
            return given
        bound = self.signature.bind(None, *args, **kwargs)  # slower, and says which argument is wrong
        raise TypeError(f"{self.name} cannot take {bound}")

    def __call__(self, inpt: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = self.arguments(*args, **kwargs)
        if type(inpt) is Tensor:  # torchvision's rule for functionals: a plain tensor is an image
            return _untyped(self.kernel(Image)(Image(inpt), **arguments))
        out = self.kernel(type(inpt))(inpt, **arguments)
        return inpt.like(out) if type(out) is Tensor and isinstance(inpt, TypedTensor) else out

    def __repr__(self) -> str:
        return f"<op {self.name}{self.signature}>"

    def __reduce__(self) -> str:
        return self.__qualname__


def _untyped(out: Any) -> Any:
    if isinstance(out, tuple):
        return tuple(_untyped(o) for o in out)
    return out.plain() if isinstance(out, TypedTensor) else out


class SpatialOp(Op):
    """A verb that moves the canvas: `map` says where points go, `pixels` how a raster follows.

    `map(size, **arguments) -> Map` for a canvas of (height, width). `pixels(x, fill, **arguments)` moves a plain
    [..., H, W] raster of any dtype by index, new pixels getting `fill`. A verb that resamples registers kernels for
    Image, Video and Mask and a `flow` raster of its own instead.

    Called with a Flow, a verb takes one more argument, `target`: its arguments for the flow's second frame, where they
    differ from the first's.
    """

    def __init__(self, fn: Callable[..., Any]):
        super().__init__(fn)
        self._map: Callable[..., Map] | None = None
        self._flow: Callable[..., Tensor] | None = None
        self._clamps = False
        self.kernels[KeyPoints] = self._move_points
        self.kernels[BoundingBoxes] = self._move_boxes
        self.kernels[Flow] = self._move_flow
        target = inspect.Parameter("target", inspect.Parameter.KEYWORD_ONLY, default=None)
        self.__signature__ = self.signature.replace(parameters=[*self.signature.parameters.values(), target])

    def map(self, fn: Callable[..., Map]) -> Callable[..., Map]:
        """Register where points go: fn(size, **arguments) -> Map."""
        self._map = fn
        return fn

    def pixels(self, fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Register how any raster follows by index: fn(x, fill, **arguments). Gives Image, Video, Mask and Flow."""

        def follow(x: TypedTensor, /, fill: Any = None, **arguments: Any) -> Tensor:
            return fn(x.plain(), new_pixels(x, fill), **arguments)

        self.kernels.update({Image: follow, Video: follow, Mask: follow})
        self._flow = follow
        return fn

    def flow(self, fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Register how a flow's raster follows (vectors come after, from the maps): fn(flow, **arguments)."""
        self._flow = fn
        return fn

    def clamps(self) -> SpatialOp:
        """Say that boxes are cut to the new canvas, as the pixels are."""
        self._clamps = True
        return self

    def where(self, size: tuple[int, int], /, *args: Any, **kwargs: Any) -> Map:
        """The map of points for a canvas of this size and these arguments."""
        return self._place(size, self.arguments(*args, **kwargs))

    def _place(self, size: tuple[int, int], arguments: dict[str, Any]) -> Map:
        if self._map is None:
            raise NoKernelError(f"{self.name} has no map of points: register one with @{self.name}.map")
        return self._map(size, **arguments)

    def __call__(self, inpt: Any, *args: Any, target: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        if target is None:
            return super().__call__(inpt, *args, **kwargs)
        if not isinstance(inpt, Flow):
            raise TypeError(
                f"{self.name}: target says how a Flow's second frame moves, and {type(inpt).__name__} has none"
            )
        return self._move_flow(inpt, self.arguments(**target), **self.arguments(*args, **kwargs))

    def _move_points(self, x: KeyPoints, /, **arguments: Any) -> KeyPoints:
        move = self._place(x.canvas_size, arguments)
        return x.like(move_points(x.plain(), move), canvas_size=move.size)

    def _move_boxes(self, x: BoundingBoxes, /, **arguments: Any) -> BoundingBoxes:
        move = self._place(x.canvas_size, arguments)
        return x.like(move_boxes(x.plain(), x.format, move, clamp=self._clamps), canvas_size=move.size)

    def _move_flow(self, x: Flow, target: dict[str, Any] | None = None, /, **arguments: Any) -> Flow:
        if self._flow is None:
            raise NoKernelError(
                f"{self.name} does not know how a Flow's raster follows: register it with @{self.name}.flow"
            )
        first = self._place(x.canvas, arguments)
        second = self._place(x.target_size, arguments if target is None else target)
        return x.like(push_flow(self._flow(x, **arguments), first, second), target_size=second.size)


def new_pixels(x: TypedTensor, fill: Any = None) -> Any:
    """What new pixels are: NaN in a flow; else `fill` (by type, where it is a mapping); else 0, or a mask's own.

    A mask's own is its ignore_index, or 0 (background; no object) where it has none.
    """
    if isinstance(x, Flow):
        return torch.nan
    if isinstance(fill, Mapping):
        fill = ByType(fill).find(type(x))
    if not isinstance(x, Mask):
        return 0 if fill is None else fill
    if fill is None:
        fill = 0 if x.ignore_index is None or x.kind == "instance" else x.ignore_index
    if not isinstance(fill, (int, float)):
        raise TypeError(f"a Mask is filled with one number, got {fill!r}")
    return fill


def op(fn: Callable[..., Any]) -> Op:
    """Declare a verb; its kernels follow with `.on(...)`."""
    return Op(fn)


def spatial(fn: Callable[..., Any]) -> SpatialOp:
    """Declare a verb that moves the canvas; `.map` and `.pixels` follow."""
    return SpatialOp(fn)
