"""How new pixels are made from old ones."""

from __future__ import annotations

import enum
from typing import Any

# Pillow's constants (PIL.Image.Resampling) in their order.
_PILLOW = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


class InterpolationMode(enum.StrEnum):
    """torchvision's names. Made from a name, a torchvision or Pillow member, or Pillow's number.

    >>> InterpolationMode("bilinear") is InterpolationMode("BILINEAR") is InterpolationMode(2)
    True
    """

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"

    @classmethod
    def _missing_(cls, value: Any) -> InterpolationMode | None:
        if isinstance(value, enum.Enum):
            value = value.name
        if isinstance(value, int) and 0 <= value < len(_PILLOW):
            value = _PILLOW[value]
        if isinstance(value, str):
            wanted = value.lower().replace("_", "-")
            if (found := next((m for m in cls if m.value == wanted), None)) is not None:
                return found
        raise ValueError(f"interpolation must be one of {', '.join(m.value for m in cls)}, got {value!r}")

    def __repr__(self) -> str:
        return repr(self.value)


def tensor_mode(interpolation: Any, antialias: bool | None = True) -> InterpolationMode:
    """The mode, if tensors can be resized by it; else ValueError."""
    mode = InterpolationMode(interpolation)
    if mode in (InterpolationMode.BOX, InterpolationMode.HAMMING):
        raise ValueError(
            f"{mode.value!r} exists for Pillow's images alone; take 'bilinear', 'bicubic', 'lanczos' or 'nearest-exact'"
        )
    if mode is InterpolationMode.LANCZOS and not antialias:
        raise ValueError("'lanczos' needs antialias=True")
    return mode
