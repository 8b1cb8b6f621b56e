"""vdata's typed tensors to torchvision's tv_tensors and back, in any dict, list or tuple.

torchvision has no type for flow or labels: a Flow becomes a plain tensor (NaN where unknown), a Label one of int64.
"""

from __future__ import annotations

from typing import Any

from torchvision import tv_tensors

from vdata import tensors


def to_tv(value: Any) -> Any:
    """`value` with every typed tensor as torchvision's; memory is shared.

    >>> type(to_tv(Image(torch.zeros(3, 2, 2)))).__module__
    'torchvision.tv_tensors._image'
    """
    if isinstance(value, dict):
        return {n: to_tv(v) for n, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_tv(v) for v in value)
    match value:
        case tensors.Image():
            return tv_tensors.Image(value.plain())
        case tensors.Video():
            return tv_tensors.Video(value.plain())
        case tensors.Mask():
            return tv_tensors.Mask(value.plain())
        case tensors.BoundingBoxes():
            box = {"format": value.format, "canvas_size": value.canvas_size}
            return tv_tensors.BoundingBoxes(value.plain(), **box)
        case tensors.KeyPoints():
            return tv_tensors.KeyPoints(value.plain(), canvas_size=value.canvas_size)  # pyright: ignore[reportCallIssue]
        case tensors.TypedTensor():
            return value.plain()
    return value


def from_tv(value: Any) -> Any:
    """`value` with every tv_tensor as vdata's; memory is shared.

    >>> from_tv(tv_tensors.Mask(torch.zeros(2, 2)))
    Mask(float32 [2, 2], kind='semantic', [[0.0, 0.0], [0.0, 0.0]])
    """
    if isinstance(value, dict):
        return {n: from_tv(v) for n, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(from_tv(v) for v in value)
    plain = value.as_subclass(tensors.Tensor) if isinstance(value, tv_tensors.TVTensor) else value
    match value:
        case tv_tensors.Image():
            return tensors.Image(plain)
        case tv_tensors.Video():
            return tensors.Video(plain)
        case tv_tensors.Mask():
            return tensors.Mask(plain)
        case tv_tensors.BoundingBoxes():
            return tensors.BoundingBoxes(plain, format=value.format.value, canvas_size=value.canvas_size)
        case tv_tensors.KeyPoints():
            return tensors.KeyPoints(plain, canvas_size=value.canvas_size)
    return value
