"""What a picture or a sample's leaves are like: sizes, channels, frames and types.

Leaves come as a sequence (torchvision's `flat_inputs`), as the values of a flat sample are. A plain tensor of two
dimensions or more counts as a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import PIL.Image
from torch import Tensor

from vdata.tensors import BoundingBoxes, Image, KeyPoints, Label, TypedTensor, Video

Check = type | Callable[[Any], bool]  # a type to be an instance of, or a question to say yes to


def get_size(inpt: Any) -> list[int]:
    """[height, width] of the canvas of a picture, clip, mask, flow, boxes or points.

    >>> get_size(BoundingBoxes([], format="XYXY", canvas_size=(4, 6)))
    [4, 6]
    """
    if isinstance(inpt, PIL.Image.Image):
        return [inpt.height, inpt.width]
    canvas = inpt.canvas if isinstance(inpt, TypedTensor) else _canvas(inpt)
    if canvas is None:
        raise TypeError(f"{_what(inpt)} lies on no canvas, so it has no size")
    return list(canvas)


def get_dimensions(inpt: Any) -> list[int]:
    """[channels, height, width] of a picture or clip.

    >>> get_dimensions(Image(torch.zeros(3, 4, 6)))
    [3, 4, 6]
    """
    return [get_num_channels(inpt), *get_size(inpt)]


def get_num_channels(inpt: Any) -> int:
    """How many channels a picture or clip has; a plain tensor [H, W] has one.

    >>> get_num_channels(Image(torch.zeros(3, 4, 6)))
    3
    """
    if isinstance(inpt, PIL.Image.Image):
        return len(inpt.getbands())
    if not isinstance(inpt, (Image, Video)) and _canvas(inpt) is None:
        raise TypeError(f"{_what(inpt)} is no picture, so it has no channels")
    return inpt.shape[-3] if inpt.ndim > 2 else 1


def get_num_frames(inpt: Any) -> int:
    """How many frames a clip has, a Video or a plain tensor [..., T, C, H, W].

    >>> get_num_frames(Video(torch.zeros(8, 3, 4, 6)))
    8
    """
    if isinstance(inpt, Video) or (type(inpt) is Tensor and inpt.ndim >= 4):
        return inpt.shape[-4]
    raise TypeError(f"{_what(inpt)} is no clip, so it has no frames")


def _canvas(inpt: Any) -> tuple[int, int] | None:
    return (inpt.shape[-2], inpt.shape[-1]) if type(inpt) is Tensor and inpt.ndim >= 2 else None


def _what(inpt: Any) -> str:
    if isinstance(inpt, PIL.Image.Image):
        return "a PIL image"
    shape = f" of shape {list(inpt.shape)}" if isinstance(inpt, Tensor) else ""
    return f"a {type(inpt).__name__}{shape}"


def check_type(obj: Any, types_or_checks: Iterable[Check]) -> bool:
    """Whether obj is of one of the types, or passes one of the checks.

    >>> check_type(Label(1), (Image, lambda leaf: leaf.ndim == 0))
    True
    """
    return any(isinstance(obj, c) if isinstance(c, type) else c(obj) for c in types_or_checks)


def has_any(flat_inputs: Iterable[Any], *types_or_checks: Check) -> bool:
    """Whether some leaf is of one of the types, or passes one of the checks.

    >>> has_any([Label(1)], Image, Video)
    False
    """
    return any(check_type(leaf, types_or_checks) for leaf in flat_inputs)


def has_all(flat_inputs: Iterable[Any], *types_or_checks: Check) -> bool:
    """Whether there is a leaf for each of the types and checks.

    >>> has_all([Label(1), Image(torch.zeros(3, 4, 6))], Image, Label)
    True
    """
    leaves = list(flat_inputs)
    return all(has_any(leaves, check) for check in types_or_checks)


def get_bounding_boxes(flat_inputs: Iterable[Any]) -> BoundingBoxes:
    """The one leaf of boxes; ValueError where there is none, or several.

    >>> get_bounding_boxes([Label(1), BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=(4, 6))]).shape
    torch.Size([1, 4])
    """
    return _the_one(flat_inputs, BoundingBoxes)


def get_keypoints(flat_inputs: Iterable[Any]) -> KeyPoints:
    """The one leaf of key points; ValueError where there is none, or several.

    >>> get_keypoints([Label(1), KeyPoints([[0, 0]], canvas_size=(4, 6))]).shape
    torch.Size([1, 2])
    """
    return _the_one(flat_inputs, KeyPoints)


def _the_one(leaves: Iterable[Any], kind: type) -> Any:
    found = [leaf for leaf in leaves if isinstance(leaf, kind)]
    if len(found) != 1:
        raise ValueError(f"the sample should have one {kind.__name__}, and has {len(found)}")
    return found[0]


def query_chw(flat_inputs: Iterable[Any]) -> tuple[int, int, int]:
    """(channels, height, width) of all pictures and clips; TypeError where there are none, ValueError where they differ.

    >>> query_chw([Label(1), Image(torch.zeros(3, 4, 6))])
    (3, 4, 6)
    """
    pictures = [leaf for leaf in flat_inputs if isinstance(leaf, (Image, Video, PIL.Image.Image)) or _canvas(leaf)]
    return _agreed([tuple(get_dimensions(leaf)) for leaf in pictures], "picture or clip", "(channels, height, width)")


def query_size(flat_inputs: Iterable[Any]) -> tuple[int, int]:
    """(height, width) of all leaves that lie on a canvas; TypeError where there are none, ValueError where they differ.

    >>> query_size([KeyPoints([], canvas_size=(4, 6)), Image(torch.zeros(3, 4, 6))])
    (4, 6)
    """
    spatial = [leaf for leaf in flat_inputs if _is_spatial(leaf)]
    return _agreed([tuple(get_size(leaf)) for leaf in spatial], "leaf that lies on a canvas", "(height, width)")


def _is_spatial(leaf: Any) -> bool:
    typed = isinstance(leaf, TypedTensor) and not isinstance(leaf, Label)
    return typed or isinstance(leaf, PIL.Image.Image) or _canvas(leaf) is not None


def _agreed(found: list[Any], what: str, numbers: str) -> Any:
    if not found:
        raise TypeError(f"the sample has no {what}")
    if len(set(found)) > 1:
        raise ValueError(f"the sample has several {numbers}: {sorted(set(found))}")
    return found[0]
