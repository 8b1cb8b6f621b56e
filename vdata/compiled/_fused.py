"""a * b + c in one rounding, as torch's `add(x, alpha=)` has it, for loops."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import torch

from vdata.compiled import numba


class Fused:
    """`fma(a, b, c)` of three floats of one kind, in a loop."""

    @property
    def _numba_type_(self) -> Any:  # numba asks when it compiles a loop that calls it: nobody who has no such loop loads numba
        return numba().typeof(self._compiled)

    @cached_property
    def _compiled(self) -> Any:
        from numba.extending import intrinsic

        def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
            return a(a, b, c), lambda context, builder, signature, numbers: builder.fma(*numbers)

        known: Any = intrinsic(fused)
        return numba().njit(lambda a, b, c: known(a, b, c))


fma: Any = Fused()


@lru_cache(None)
def torch_fuses() -> bool:
    """Whether torch adds a multiple in one rounding: not on a processor that has no such instruction."""
    x = torch.full((64,), 1 + 2**-12)
    return bool((torch.add(-(x * x), x, alpha=1 + 2**-12) != 0).all())
