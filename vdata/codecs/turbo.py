"""Windows of JPEGs through nvImageCodec, where it is installed (`pip install "vdata-vision[turbo]"`).

It decodes on the CPU with libjpeg-turbo, as Pillow does, and passes over the rows and columns outside a window. It may
decline any picture; then Pillow decodes it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from vdata.codecs.header import Window

_CPU = -99999  # nvImageCodec's name for "no device"
_NARROW = 8  # pixels: windows of one column were seen to differ from the whole picture's, at its edges


@lru_cache(None)
def nvimgcodec() -> Any:
    """The module; None where it is not installed, or cannot run here."""
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # what it declines is no news: Pillow says what is wrong with it
    try:
        from nvidia import nvimgcodec as module
    except Exception:  # not installed, or without what it needs of the system
        return None
    return module


class _Decoders(threading.local):
    """A decoder for each thread: one alone would do one call after the other."""

    def __init__(self) -> None:
        nv = nvimgcodec()
        self.process = os.getpid()
        self.decoder = nv.Decoder(device_id=_CPU, max_num_cpu_threads=1, backends=[nv.Backend(nv.BackendKind.CPU_ONLY)])
        self.params = nv.DecodeParams(color_spec=nv.ColorSpec.SRGB, apply_exif_orientation=False)


_decoders: _Decoders | None = None


def windows(asked: Sequence[tuple[bytes | memoryview, Window]]) -> list[np.ndarray | None]:
    """uint8 [h, w, 3] of each window (top, left, height, width) of a JPEG in its stored frame; None for those it declines."""
    global _decoders
    nv = nvimgcodec()
    if nv is None or not asked:
        return [None] * len(asked)
    if _decoders is None or _decoders.process != os.getpid():  # a forked child has no use for its parent's
        _decoders = _Decoders()
    fit = [i for i, (_, window) in enumerate(asked) if window[3] >= _NARROW]
    streams = []
    for data, (top, left, height, width) in (asked[i] for i in fit):
        region = nv.Region((top, left), (top + height, left + width))
        streams.append(nv.CodeStream(np.frombuffer(data, np.uint8)).get_sub_code_stream(region=region))
    found = dict(zip(fit, _decoders.decoder.decode(streams, params=_decoders.params), strict=True))
    return [_array(found.get(i), window) for i, (_, window) in enumerate(asked)]


def _array(picture: Any, window: Window) -> np.ndarray | None:
    array = None if picture is None else np.asarray(picture)
    return array if array is not None and array.dtype == np.uint8 and array.shape == (*window[2:], 3) else None
