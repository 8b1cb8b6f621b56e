"""Libraries that are used where they are installed, for what they do sooner than the plain way (extra `turbo`).

Their results are the plain way's to the bit.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any


@lru_cache(None)
def opencv() -> Any:
    """The module cv2; None where it is not installed or cannot be loaded."""
    try:
        import cv2
    except Exception:  # a wheel that lacks a system library raises what it likes
        return None
    return cv2


@lru_cache(None)
def inflater() -> Any:
    """The module isal.isal_zlib, which is zlib by Intel's ISA-L and has its names; zlib itself where that is not installed or cannot be loaded."""
    try:
        from isal import isal_zlib
    except Exception:
        return zlib
    return isal_zlib
