"""a * b + c in one rounding, as torch's `add(x, alpha=)` has it, for loops."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import torch


class Fused:
    """`fma(a, b, c)` of float32 in a loop. Numba asks for its type when it compiles a loop that calls it, and not before."""

    @cached_property
    def _numba_type_(self) -> Any:
        from numba import types, typeof
        from numba.extending import intrinsic

        @intrinsic
        def fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
            return types.float32(types.float32, types.float32, types.float32), lambda context, builder, signature, args: builder.fma(*args)

        return typeof(fused)


fma = Fused()


@lru_cache(None)
def torch_fuses() -> bool:
    """Whether torch adds a multiple in one rounding: not on a processor that has no such instruction."""
    x = torch.full((64,), 1 + 2**-12)
    return bool((torch.add(-(x * x), x, alpha=1 + 2**-12) != 0).all())
