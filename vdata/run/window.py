"""Decode only what the first transform looks at: its parameters come from the canvas size, which is in the header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vdata import codecs
from vdata.encoded import Encoded
from vdata.key import Key
from vdata.tensors import Image
from vdata.transforms import Compose, Geometric, Info
from vdata.transforms._base import ordinal_path, row
from vdata.transforms._info import second_frame, sizes_of


def decode_and_apply(transform: Compose, sample: Mapping[str, Any], key: Key, mode: str) -> Any:
    """The sample decoded and transformed; of each picture only the first transform's window is decoded.

    Equal, bit for bit, to decoding everything first (law 4 tests it).
    """
    pictures = {n: codecs.size(v) for n, v in sample.items() if isinstance(v, Encoded) and _is_picture(v)}
    # A ghost stands for each picture until its window is known: a size and a type, no memory.
    seen = {n: _ghost(pictures[n]) if n in pictures else _whole(v, mode) for n, v in sample.items()}
    seen = transform.enter(seen)
    params = transform.draw(key.fold(ordinal_path(transform, 0)), Info.of([seen]))["children"]
    first, own = transform.transforms[0], row(params[0], 0)
    assert isinstance(first, Geometric)
    placed = first.placements(own, sizes_of(seen), second_frame(seen))
    out: dict[str, Any] = {}
    for name, value in seen.items():
        if name not in pictures:
            out[name] = first.move(value, name, placed, seen)
        elif (window := first.window(own, pictures[name])) is None:
            out[name] = first.move(codecs.decode(sample[name], mode=mode), name, placed, seen)
        else:
            out[name] = first.after_window(codecs.decode(sample[name], window=window, mode=mode), own)
    return transform.apply_all(zip(transform.transforms[1:], row(params[1:], 0), strict=True), out)


def _whole(value: Any, mode: str) -> Any:
    return codecs.decode(value, mode=mode) if isinstance(value, Encoded) else value


def _ghost(size: tuple[int, int]) -> Image:
    return Image(torch.empty((3, *size), dtype=torch.uint8, device="meta"))


def _is_picture(value: Encoded) -> bool:
    return value.type == "Image" or (value.type == "" and codecs.kind(value.data) in ("jpeg", "png", "webp", "ppm"))
