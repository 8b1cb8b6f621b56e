"""Which old pixel each new one is, as whole numbers: the readings of several moves, put together, look at each pixel once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from vdata.transforms._lift import SIGNED
from vdata.transforms._map import Map
from vdata.transforms._pixels import cut, gather, holder
from vdata.transforms._planes import at_index, by_bits, has_bits
from vdata.transforms._warp import AHEAD, FAR, axes


@dataclass(frozen=True, eq=False)
class Reading:
    """Row and column of the old pixel that each new one takes, counted from 1; int32 [h, 1] and [1, w], or both [h, w].

    0, and one more than the old canvas of `size` has, lie outside of it: such a pixel is new.
    """

    rows: Tensor
    columns: Tensor
    size: tuple[int, int]

    @classmethod
    def resized(cls, old: tuple[int, int], new: tuple[int, int]) -> Reading:
        """As `nearest` reads."""
        rows, columns = (holder(o, n, torch.device("cpu")).int() + 1 for o, n in zip(old, new, strict=True))
        return cls(rows[:, None], columns[None], old)

    @classmethod
    def under(cls, move: Map, old: tuple[int, int]) -> Reading:
        """As `warped` reads by nearest pixel, new ones beyond the border; `move` is one map for all rows."""
        (across, along), (down, aside) = axes(move, torch.device("cpu"))
        if move.upright:
            return cls(_counted(down[:1] + AHEAD + aside, old[0])[:, None], _counted(across + AHEAD + along[:1], old[1])[None], old)
        x, y = (one + AHEAD + other[:, None] for one, other in ((across, along), (down, aside)))
        return cls(_counted(y, old[0]), _counted(x, old[1]), old)

    @property
    def lines(self) -> bool:
        """Whether whole rows and columns are chosen."""
        return self.rows.shape[1] == 1 and self.columns.shape[0] == 1

    def then(self, after: Reading) -> Reading:
        """First this, which chooses whole rows and columns, then `after`."""
        rows, columns = (
            pad(line.reshape(-1), (1, 1)).index_select(0, at.reshape(-1)).reshape(at.shape)
            for line, at in ((self.rows, after.rows), (self.columns, after.columns))
        )
        return Reading(rows, columns, self.size)

    def of(self, x: Tensor, fill: float) -> Tensor:
        """The new raster of plain [..., H, W], on a CPU."""
        height, width = self.size
        if self.lines and self._inside():
            return gather(x, self.rows.reshape(-1).long() - 1, self.columns.reshape(-1).long() - 1)
        bordered = cut(x, -1, -1, height + 2, width + 2, fill)
        out = at_index(bordered.view(SIGNED.get(x.dtype, x.dtype)), self.rows * (width + 2) + self.columns)
        return out.view(x.dtype)

    def _inside(self) -> bool:
        return all(int(v.min()) > 0 and int(v.max()) <= most for v, most in zip((self.rows, self.columns), self.size, strict=True))


def read_in_turn(x: Tensor, readings: Iterable[Reading], fill: float) -> Tensor:
    """Plain [..., H, W] on a CPU read again and again: at once as long as whole rows and columns are chosen."""
    if has_bits(x):
        return by_bits(x, lambda bits: read_in_turn(bits, readings, 255 * bool(fill)))
    left = list(readings)
    while left:
        reading = left.pop(0)
        while left and reading.lines:
            reading = reading.then(left.pop(0))
        x = reading.of(x, fill)
    return x


def _counted(places: Tensor, old: int) -> Tensor:
    """Settled places on a line of `old` pixels as the numbers of these, from 1."""
    return places.add_(1).clamp_(FAR, FAR + old + 1).int().sub_(FAR)
