"""Whether samples can become one: the same leaves, of one form, on canvases that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vdata.errors import PlanError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, TypedTensor, Video
from vdata.transforms._base import Leaves
from vdata.transforms._info import sizes_of

_FREE = ("canvas_size", "target_size")  # sizes may differ: who mixes decides what to do about that
_REMEDY = "bring all samples to one form first (.map, .select, .rename, ToDtype, ConvertBoundingBoxFormat)"


def aligned(who: Any, samples: Sequence[Leaves]) -> list[Leaves]:
    """The samples, when their typed leaves are of one form: names, types, dtypes, channels, formats, frames.

    A leaf without elements takes the others' dtype, so that "no boxes" may be of any. Raises PlanError naming the leaf and the
    two samples that differ. Leaves without a type are not compared.
    """
    first, *others = samples
    names = _typed(first)
    for other in others:
        odd = sorted(names ^ _typed(other))
        if odd:
            raise PlanError(
                f"{who} makes one sample of {called(first)} and {called(other)}, but only one of them has {odd}: {_REMEDY}"
            )
    out = [dict(s) for s in samples]
    for name in names:
        for sample, leaf in zip(out, _one_dtype([s[name] for s in samples]), strict=True):
            sample[name] = leaf
        for other in out[1:]:
            _compare(who, name, out[0], other)
    return out


def _typed(sample: Mapping[str, Any]) -> set[str]:
    return {n for n, v in sample.items() if isinstance(v, TypedTensor)}


def _one_dtype(leaves: list[Any]) -> list[Any]:
    full = next((v.dtype for v in leaves if v.numel()), None)
    return leaves if full is None else [v.to(full) if v.numel() == 0 and v.dtype != full else v for v in leaves]


def _compare(who: Any, name: str, first: Leaves, other: Leaves) -> None:
    here, there = form(first[name]), form(other[name])
    if here != there:
        differ = {n for n in {*here, *there} if here.get(n) != there.get(n)}
        told = [
            f"{called(s)} has {', '.join(f'{n} {f.get(n)}' for n in sorted(differ))}"
            for s, f in ((first, here), (other, there))
        ]
        raise PlanError(f"{who} cannot mix {name!r}: {told[0]}; {told[1]}: {_REMEDY}")


def form(leaf: TypedTensor) -> dict[str, Any]:
    """What two leaves must have in common to become one."""
    meta = {n: v for n, v in leaf.meta().items() if n not in _FREE and n not in leaf._rows}
    rows = {n: "given" if getattr(leaf, n) is not None else "None" for n in leaf._rows}
    return {
        "type": type(leaf).__name__,
        "dtype": str(leaf.dtype).removeprefix("torch."),
        "shape": _fixed(leaf),
        **meta,
        **rows,
    }


def _fixed(leaf: TypedTensor) -> tuple[int, ...]:
    """The dimensions that are neither a canvas's nor a number of objects."""
    if isinstance(leaf, (Image, Video, Flow)):
        return tuple(leaf.shape[:-2])
    if isinstance(leaf, Mask):
        return tuple(leaf.shape[:-2]) if leaf.kind == "semantic" else ()
    return tuple(leaf.shape[1:]) if isinstance(leaf, (BoundingBoxes, KeyPoints)) else ()


def one_canvas(who: Any, sample: Leaves) -> tuple[int, int]:
    """The (height, width) of all frames of a sample; PlanError where it has none, or two that differ."""
    sizes = sizes_of(sample)
    if not sizes:
        raise PlanError(f"{who} needs a spatial leaf: {called(sample)} has no image, mask, box, point or flow")
    (first, size), *others = sizes.items()
    for frame, other in others:
        if other != size:
            raise PlanError(
                f"{who} does one thing to all frames, but {first!r} is {size} and {frame!r} is {other} (height, width)"
            )
    return size


def called(sample: Mapping[str, Any]) -> str:
    """A sample's name in a message."""
    return f"sample {sample['__key__']!r}" if "__key__" in sample else "a sample"
