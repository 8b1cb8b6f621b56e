"""What is known of one field of a sample before any sample is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Field:
    """One field's declaration: on a card, in a manifest, and under `print(pipe)`.

    type      a tensor type ("Image", "Video", "BoundingBoxes", "KeyPoints", "Mask", "Flow", "Label"), a plain
              kind ("int", "float", "str", "json", "bytes", "tensor"), or "" where it is not known
    dtype     "uint8", "float32", ...; "" where it varies
    shape     sizes, with letters for those that vary: (3, "H", "W"); () where it is not known
    codec     the named encoding at rest, where bytes and type do not tell enough ("kitti_flow")
    meta      what every value carries (views, ignore_index, kind, categories, ...)
    doc       one line for people
    optional  some samples lack it; on a card: it hangs on an option or on an optional file, and is then in every sample
    suffix    in shards: the member's suffix ("png"); "" elsewhere
    """

    type: str = ""
    dtype: str = ""
    shape: tuple[int | str, ...] = ()
    codec: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    doc: str = ""
    optional: bool = False
    suffix: str = ""

    def __str__(self) -> str:
        shape = f"[{', '.join(str(s) for s in self.shape)}]" if self.shape else ""
        return " ".join(p for p in (self.type or "?", self.dtype, shape) if p) + ("?" if self.optional else "")
