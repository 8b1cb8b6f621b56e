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
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
from torch import Tensor

from vdata.errors import NoKernelError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, TypedTensor, Video
from vdata.transforms._corners import move_boxes
from vdata.transforms._follow import new_pixels, pushed_points
from vdata.transforms._lift import has_rows, is_rows
from vdata.transforms._map import Map, Move, push_flow
from vdata.transforms._warp import How, permutes, read_flow, sources, warped

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
            package = kind.__module__.partition(".")[0]
            what = kind.__name__ if package in ("vdata", "builtins") else f"{package} {kind.__name__}"
            remedy = "Wrap the value in one of vdata.tensors"
            if package == "torchvision":
                remedy = "Turn it into vdata's with vdata.interop.torchvision.from_tv"
            raise NoKernelError(
                f"{self.name} does not know how to move a {what}. It knows {known} of vdata.tensors. {remedy}, "
                f"or register a kernel: @{self.name}.on({kind.__name__})"
            )
        return self.kernels[kind]

    def arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The verb's arguments by name, defaults included."""
        names = self._names
        given = {**self._defaults, **dict(zip(names, args)), **kwargs}
        if len(given) == len(names) and len(args) <= len(names) and kwargs.keys().isdisjoint(names[: len(args)]):
            return given
        try:
            bound = self.signature.bind(None, *args, **kwargs)  # slower, and says which argument is wrong
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        raise TypeError(f"{self.name} cannot take {bound}")

    def __call__(self, inpt: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = self.arguments(*args, **kwargs)
        if type(inpt) is Tensor:  # torchvision's rule for functionals: a plain tensor is an image
            return _untyped(self.kernel(Image)(Image(inpt), **arguments))
        if isinstance(inpt, PIL.Image.Image):  # as transforms do
            inpt = Image(inpt)
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
    [..., H, W] raster of any dtype by index, new pixels getting `fill`. A verb that resamples either says how with
    `reads(**arguments) -> How`, and all rasters follow from its map; or registers kernels for Image, Video and Mask and a
    `flow` raster of its own.

    Called with a Flow, a verb takes one more argument, `target`: its arguments for the flow's second frame, where they
    differ from the first's. An argument given as a numpy array or tensor has one entry for each row of the input: B
    pictures rotated by B angles in one call. What `map` computes from its arguments must then be arithmetic.
    """

    def __init__(self, fn: Callable[..., Any]):
        super().__init__(fn)
        self._map: Callable[..., Move] | None = None
        self._how: Callable[..., How] | None = None
        self._flow: Callable[..., Tensor] | None = None
        self._rows: Callable[..., Tensor] | None = None
        self._by_index: Kernel | None = None
        self._clamps = False
        self.kernels[KeyPoints] = self._move_points
        self.kernels[BoundingBoxes] = self._move_boxes
        self.kernels[Flow] = self._move_flow
        target = inspect.Parameter("target", inspect.Parameter.KEYWORD_ONLY, default=None)
        self.__signature__ = self.signature.replace(parameters=[*self.signature.parameters.values(), target])

    def map(self, fn: Callable[..., Move]) -> Callable[..., Move]:
        """Register where points go: fn(size, **arguments) -> Map."""
        self._map = fn
        return fn

    def pixels(self, fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Register how any raster follows by index: fn(x, fill, **arguments). Gives Image, Video, Mask and Flow."""

        def follow(x: TypedTensor, /, fill: Any = None, **arguments: Any) -> Tensor:
            return fn(x.plain(), new_pixels(x, fill), **arguments)

        self.kernels.update({Image: follow, Video: follow, Mask: follow})
        self._flow = self._by_index = follow
        return fn

    def reads(self, fn: Callable[..., How]) -> Callable[..., How]:
        """Register how pictures are read under the map: fn(**arguments) -> How. All rasters then follow from the map."""
        self._how = fn
        for kind in (Image, Video, Mask):
            self.kernels.setdefault(kind, self._follow_map)
        if self._flow is None:
            self._flow = self._flow_by_map
        return fn

    def rows(self, fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Register a faster way for rasters under one argument a row: fn(x, fill, **arguments), x [R, ..., H, W]."""
        self._rows = fn
        return fn

    def flow(self, fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Register how a flow's raster follows (vectors come after, from the maps): fn(flow, **arguments)."""
        self._flow = fn
        return fn

    def clamps(self) -> SpatialOp:
        """Say that boxes are cut to the new canvas, as the pixels are."""
        self._clamps = True
        return self

    def where(self, size: tuple[int, int], /, *args: Any, **kwargs: Any) -> Move:
        """The map of points for a canvas of this size and these arguments."""
        return self._place(size, self.arguments(*args, **kwargs))

    @property
    def cuts(self) -> bool:
        """Whether boxes are cut to the new canvas."""
        return self._clamps

    @property
    def masks_follow(self) -> bool:
        """Whether masks have no kernel of their own: they are read where the map says, by nearest pixel."""
        return self.kernels.get(Mask) in (self._follow_map, self._by_index)

    @property
    def by_index(self) -> bool:
        """Whether pictures only move by whole pixels."""
        return self._by_index is not None and self.kernels.get(Image) == self._by_index

    @property
    def boxes_follow(self) -> bool:
        """Whether boxes have no kernel of their own: the map moves them."""
        return self.kernels[BoundingBoxes] == self._move_boxes

    def how(self, *args: Any, **kwargs: Any) -> How:
        """How pictures are read under these arguments."""
        return self._reading(self.arguments(*args, **kwargs))

    def sizes(self, size: tuple[int, int], rows: int, arguments: Mapping[str, Any]) -> np.ndarray:
        """The canvases int64 [rows, 2] that a canvas of `size` becomes, under one argument a row."""
        height, width = self._raw(size, dict(arguments)).size
        return np.stack([np.broadcast_to(np.asarray(v, np.int64), rows) for v in (height, width)], 1)

    def _raw(self, size: tuple[int, int], arguments: dict[str, Any]) -> Move:
        if self._map is None:
            raise NoKernelError(f"{self.name} has no map of points: register one with @{self.name}.map")
        return self._map(size, **arguments)

    def _place(self, size: tuple[int, int], arguments: dict[str, Any]) -> Move:
        move = self._raw(size, arguments)
        if type(move.size[0]) is int and type(move.size[1]) is int:
            return move
        return replace(move, size=(_one(move.size[0]), _one(move.size[1])))  # type: ignore[type-var]

    def _reading(self, arguments: dict[str, Any]) -> How:
        return How(border=arguments.get("padding_mode", "constant")) if self._how is None else self._how(**arguments)

    def __call__(self, inpt: Any, *args: Any, target: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        arguments = self.arguments(*args, **kwargs)
        if target is not None:
            if not isinstance(inpt, Flow):
                raise TypeError(
                    f"{self.name}: target says how a Flow's second frame moves, and {type(inpt).__name__} has none"
                )
            target = self.arguments(**target)
        if has_rows(arguments) or (target is not None and has_rows(target)):
            return self._by_rows(inpt, arguments, target)
        if target is None:
            return super().__call__(inpt, **arguments)
        return self._move_flow(inpt, target, **arguments)

    def _by_rows(self, inpt: Any, arguments: dict[str, Any], target: dict[str, Any] | None) -> Any:
        """One argument a row: all rows in one call."""
        if type(inpt) is Tensor:
            return self._by_rows(Image(inpt), arguments, target).plain()
        count = len(inpt)
        arguments = {n: _checked_rows(n, v, count) for n, v in arguments.items()}
        if isinstance(inpt, (BoundingBoxes, KeyPoints)):
            return self.kernel(type(inpt))(inpt, **arguments)
        if isinstance(inpt, Flow):
            first, second = self._place(inpt.canvas, arguments), self._target(inpt, arguments, target)
            return inpt.like(push_flow(self._flow_by_map(inpt, **arguments), first, second), target_size=second.size)
        self.kernel(type(inpt))  # raises for what it does not know
        fill = new_pixels(inpt, arguments.get("fill"))
        if self._rows is not None:
            others = {n: v for n, v in arguments.items() if n != "fill"}
            return inpt.like(self._rows(inpt.plain(), fill, **others))
        return inpt.like(self._follow_map(inpt, **arguments))

    def _follow_map(self, x: TypedTensor, /, **arguments: Any) -> Tensor:
        how = self._reading(arguments)
        how = how if not isinstance(x, Mask) else replace(how, mode=How.mode, antialias=False, corner=False)
        canvas = x.canvas
        assert canvas is not None  # rasters have one
        return warped(x.plain(), self._place(canvas, arguments), how, new_pixels(x, arguments.get("fill")))

    def _flow_by_map(self, x: Flow, /, **arguments: Any) -> Tensor:
        move = self._place(x.canvas, arguments)
        if isinstance(move, Map) and permutes(move):
            return warped(x.plain(), move, How(), new_pixels(x))
        at = sources(move, x)
        return read_flow(x.plain(), at, x.sparse, self._reading(arguments).window)

    def _move_points(self, x: KeyPoints, /, **arguments: Any) -> KeyPoints:
        return pushed_points(x, self._place(x.canvas_size, arguments))

    def _move_boxes(self, x: BoundingBoxes, /, **arguments: Any) -> BoundingBoxes:
        return self.pushed_boxes(x, self._place(x.canvas_size, arguments))

    def pushed_boxes(self, x: BoundingBoxes, move: Move) -> BoundingBoxes:
        """Boxes moved, and cut to the new canvas where this verb does that."""
        clamp = self._clamps and x.clamping_mode is not None
        return x.like(move_boxes(x.plain(), x.format, move, clamp=clamp), canvas_size=move.size)

    def _move_flow(self, x: Flow, target: dict[str, Any] | None = None, /, **arguments: Any) -> Flow:
        if self._flow is None:
            raise NoKernelError(
                f"{self.name} does not know how a Flow's raster follows: register it with @{self.name}.flow"
            )
        first, second = self._place(x.canvas, arguments), self._target(x, arguments, target)
        return x.like(push_flow(self._flow(x, **arguments), first, second), target_size=second.size)

    def _target(self, x: Flow, arguments: dict[str, Any], target: dict[str, Any] | None) -> Move:
        return self._place(x.target_size, arguments if target is None else target)


def _one(side: Any) -> int:
    """The one number that all rows agree on."""
    if is_rows(side):
        if (side != side[0]).any():
            raise ValueError(f"rows of one call must have canvases of one size afterwards, got {sorted(set(side.tolist()))}")
        side = side[0]
    return int(side)


def _checked_rows(name: str, value: Any, count: int) -> Any:
    if not is_rows(value):
        return value
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} entries, but the input has {count} rows")
    return value.cpu().numpy() if isinstance(value, Tensor) else value


def op(fn: Callable[..., Any]) -> Op:
    """Declare a verb; its kernels follow with `.on(...)`."""
    return Op(fn)


def spatial(fn: Callable[..., Any]) -> SpatialOp:
    """Declare a verb that moves the canvas; `.map` and `.pixels` follow."""
    return SpatialOp(fn)
