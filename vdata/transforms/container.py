"""Several transforms as one: all of them, some of them, one of them, in any order; nothing; and one's own function.

A child's key is the container's, folded by the child's name and how many of that name stand before it
("RandomCrop#0"), so that adding another transform to a list does not change what the others draw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from vdata.batch import Batch
from vdata.errors import NoKernelError
from vdata.key import Key
from vdata.tensors import TypedTensor
from vdata.transforms._base import Leaves, Params, Transform, ordinal_path, value
from vdata.transforms._check import put
from vdata.transforms._fold import Fold
from vdata.transforms._geometric import Geometric, window_says_all
from vdata.transforms._info import Info
from vdata.transforms._run import in_turn
from vdata.transforms._whole import in_rows


class Container(Transform):
    """What all containers share: their children, and what these need."""

    transforms: tuple[Transform, ...]

    def __post_init__(self) -> None:
        given = self.transforms
        if isinstance(given, Transform) or not isinstance(given, Sequence) or not given:
            raise ValueError(f"{type(self).__name__} takes a list of at least one transform, got {given!r}")
        odd = [t for t in given if not isinstance(t, Transform)]
        if odd:
            raise ValueError(f"{type(self).__name__} takes vdata's transforms, got {odd[0]!r}: {_remedy(odd[0])}")
        put(self, transforms=tuple(given))

    @property
    def random(self) -> bool:
        return any(child.random for child in self.transforms)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(need for child in self.transforms for need in child.needs))

    @property
    def stacks(self) -> bool:
        return all(child.stacks for child in self.transforms)

    @property
    def exact(self) -> bool:
        return all(child.exact for child in self.transforms)

    def steps(self, params: Params) -> Iterator[tuple[Transform, Params]]:
        """The children that one row of params runs, in turn, each with its own."""
        return zip(self.transforms, params["children"], strict=True)

    def apply(self, params: Params, sample: Leaves) -> Any:
        return self.apply_all(self.steps(params), sample)

    def keys(self, key: Key) -> list[Key]:
        """Each child's own key."""
        seen: dict[str, int] = {}
        keys = []
        for child in self.transforms:
            ordinal = seen.setdefault(type(child).__name__, 0)
            seen[type(child).__name__] += 1
            keys.append(key.fold(ordinal_path(child, ordinal)))
        return keys

    def draw_all(self, key: Key, info: Info) -> list[Params]:
        """Every child's params, one after the other."""
        children: list[Params] = []
        for i, (child, own) in enumerate(zip(self.transforms, self.keys(key), strict=True)):
            if i:
                info = self.transforms[i - 1].after(children[-1], info)
            if info.boxes and not any("boxes" in c.needs for c in self.transforms[i:]):
                info = dataclasses.replace(info, boxes={})  # nobody asks where they are any more
            children.append(child.draw(own, info))
        return children

    def apply_all(self, steps: Iterator[tuple[Transform, Params]], sample: Leaves) -> Any:
        """The sample through children in turn; once one makes several samples, the rest moves each of them."""
        samples: Any = [sample]
        several = False
        for child, params in in_turn(steps):
            outs = [child.apply(params, s) for s in samples]
            several = several or isinstance(outs[0], tuple)
            samples = [s for out in outs for s in (out if isinstance(out, tuple) else (out,))]
        return tuple(samples) if several else samples[0]

    def rows_through(self, steps: Iterator[tuple[Any, Any]], batch: Batch) -> Any:
        """A batch through all children in turn; once one makes several batches, the rest moves each of them."""
        batches: Any = [batch]
        several = False
        for child, own in in_rows(steps):
            outs = [child.apply_rows(own, b) for b in batches]
            several = several or isinstance(outs[0], tuple)
            batches = [b for out in outs for b in (out if isinstance(out, tuple) else (out,))]
        return tuple(batches) if several else batches[0]


def _remedy(given: Any) -> str:
    """How what is no transform of vdata can stand in a list of them."""
    if isinstance(given, (list, tuple)):
        return "make a list in it a Compose of its own, or write its transforms in line"
    if type(given).__module__.startswith("torchvision."):
        return "write it with the same name of vdata.transforms, or wrap it in vdata.interop.torchvision.Step"
    return "wrap a function of a leaf in Lambda(fn)"


@value
class Compose(Container):
    """Transforms one after the other, as one.

    passthrough  names of leaves that pass untouched though no type says what they are
    fuse         geometric transforms that follow each other are done as one resample: pixels are read once instead of
                 rounded at every step, boxes' hull is taken once, what falls out of a canvas in between stays lost. Any
                 other transform between them ends the run, as does another interpolation or a padding_mode that is not
                 "constant". Results differ from the chain by what reading pixels several times costs

    >>> from vdata.transforms import RandomHorizontalFlip, Resize
    >>> Compose([Resize(4), RandomHorizontalFlip()])(Image(torch.zeros(3, 8, 8))).shape
    torch.Size([3, 4, 4])
    """

    transforms: Any
    passthrough: Any = ()
    fuse: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.passthrough, str):
            raise ValueError(f"passthrough is a sequence of names, got {self.passthrough!r}")
        put(self, passthrough=tuple(self.passthrough))

    def enter(self, leaves: Leaves) -> Leaves:
        extras = {n: v for n, v in leaves.items() if n.rsplit(".", 1)[-1] in self.passthrough}
        entered = self.transforms[0].enter({n: v for n, v in leaves.items() if n not in extras})
        if all(entered[n] is leaves[n] for n in entered):
            return leaves
        return {n: extras.get(n, entered.get(n)) for n in leaves}

    @property
    def windowed(self) -> bool:
        first = self.transforms[0]
        return not self.fuse and isinstance(first, Geometric) and first.windowed and set(self.needs) <= {"size"}

    @property
    def reduced(self) -> bool:
        """Whether the first transform says what it makes smaller, from sizes alone."""
        first = self.transforms[0]
        return not self.fuse and isinstance(first, Geometric) and type(first).reduction is not Geometric.reduction and window_says_all(type(first)) and set(self.needs) <= {"size"}

    def draw(self, key: Key, info: Info) -> Params:
        return {"children": self.draw_all(key, info)}

    def after(self, params: Params, info: Info) -> Info:
        for child, own in zip(self.transforms, params["children"], strict=True):
            info = child.after(own, info)
        return info

    def steps(self, params: Params) -> Iterator[tuple[Any, Any]]:
        pairs = list(super().steps(params))
        return iter(pairs) if not self.fuse else _runs(pairs)

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        infos = [info]
        for child, own in zip(self.transforms, params["children"], strict=True):
            infos.append(child.after(own, infos[-1]))
        for child, own, before in reversed(list(zip(self.transforms, params["children"], infos, strict=False))):
            sample = child.inverse(own, sample, before)
        return sample

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        return self.rows_through(self.steps(params), batch)


def _runs(pairs: list[tuple[Transform, Params]]) -> Iterator[tuple[Any, Any]]:
    """Transforms with their params, those runs of geometric ones that are done as one taken together."""
    run: list[tuple[Geometric, Params]] = []
    for child, own in pairs:
        if isinstance(child, Geometric):
            run.append((child, own))
            continue
        yield from _run(run)
        run = []
        yield child, own
    yield from _run(run)


def _run(run: list[tuple[Geometric, Params]]) -> list[tuple[Any, Any]]:
    if len(run) < 2:
        return list(run)
    return [(Fold(tuple(child for child, _ in run)), [own for _, own in run])]


@value
class Identity(Transform):
    """Changes nothing.

    >>> Identity()(Image(torch.zeros(1, 1, 1))).tolist()
    [[[0.0]]]
    """

    exact = True

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return sample


@dataclasses.dataclass(frozen=True, repr=False, init=False)
class Lambda(Transform):
    """`fn(leaf)` for every leaf of one of `types` (all leaves if none is named).

    A plain tensor of the leaf's shape gets its type back; of another shape it raises NoKernelError, for what follows
    could not move it.

    It has no params. A transform that draws, or moves the canvas, is a class: see `vdata.transforms.Geometric`.

    >>> Lambda(lambda x: x + 1, Image)(Image(torch.zeros(1, 1, 1))).tolist()
    [[[1.0]]]
    """

    fn: Callable[[Any], Any]
    types: tuple[type, ...] = (object,)
    stacks = False

    def __init__(self, lambd: Callable[[Any], Any], *types: type):
        if not callable(lambd) or not all(isinstance(t, type) for t in types):
            raise ValueError(f"Lambda takes a function and types, got {(lambd, *types)!r}")
        foreign = [t.__name__ for t in types if t.__module__.startswith("torchvision.")]
        if foreign:  # no leaf is of it, so fn would never run
            raise ValueError(f"Lambda takes vdata's types, not torchvision's: write vdata.tensors.{foreign[0]}")
        put(self, fn=lambd, types=types or (object,))

    def after(self, params: Params, info: Info) -> Info:
        return info.resized(info.sizes)  # boxes may have moved

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return {n: self._typed(n, v, self.fn(v)) if isinstance(v, self.types) else v for n, v in sample.items()}

    def _typed(self, name: str, leaf: Any, out: Any) -> Any:
        if type(out) is not Tensor or out.ndim == 0 or not isinstance(leaf, TypedTensor):
            return out
        if out.shape != leaf.shape:
            raise NoKernelError(
                f"{self} made a plain tensor of shape {list(out.shape)} of {name or 'the input'!r}, a {type(leaf).__name__} of "
                f"shape {list(leaf.shape)}: return it as one of vdata.tensors"
            )
        return leaf.like(out)

    def __repr__(self) -> str:
        shown = [getattr(self.fn, "__qualname__", repr(self.fn)), *(t.__name__ for t in self.types if t is not object)]
        return f"Lambda({', '.join(shown)})"
