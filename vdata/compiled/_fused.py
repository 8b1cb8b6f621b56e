"""a * b + c in one rounding, as torch's `add(x, alpha=)` has it, for loops."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from vdata.compiled._instructions import Instruction

# of three floats of one kind
fma: Any = Instruction(lambda builder, a, b, c: builder.fma(a, b, c), lambda a, b, c: a)


@lru_cache(None)
def torch_fuses() -> bool:
    """Whether torch adds a multiple in one rounding: not on a processor that has no such instruction."""
    x = torch.full((64,), 1 + 2**-12)
    return bool((torch.add(-(x * x), x, alpha=1 + 2**-12) != 0).all())
