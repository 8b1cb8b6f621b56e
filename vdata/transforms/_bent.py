"""A map given by where each new pixel comes from: a displacement, and its true inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vdata.transforms._map import Move, Size, pixel_centres


@dataclass(frozen=True, eq=False)
class Bent(Move):
    """Given by where each new pixel comes from: back(y) = y + d(y), d read between pixel centres, the border continued.

    field  d in pixels, (right, down): float [2, H, W], or [F, 2, H, W] for rows; or what makes it on a given device
    rows   the number of the field that each row of the points takes; None where row r takes field r

    The way forth solves x + d(x) = y by Newton's steps, kept where they come closer, and every third time by a step of the
    fixed-point iteration, which always does where d bends by less than 1 a pixel (`bend`). Source of the latter: Chen et al.,
    "A simple fixed-point approach to invert a deformation field", Medical Physics 2008.
    """

    field: Tensor | Callable[[torch.device], Tensor]
    size: Size
    rows: Any = None
    steps = 400

    @property
    def rowed(self) -> bool:
        return self.rows is not None or (isinstance(self.field, Tensor) and self.field.ndim == 4)

    def on(self, device: torch.device) -> Tensor:
        """The field, on a device."""
        return self.field.to(device) if isinstance(self.field, Tensor) else self.field(device)

    def back(self, points: Tensor) -> Tensor:
        return points + self.shift(points).to(points.dtype)

    def origins(self, rows: int | None, device: torch.device) -> Tensor:
        field = self.on(device)  # at pixel centres there is nothing to be read between
        own = field if self.rows is None else field[torch.as_tensor(self.rows, device=device)]
        return pixel_centres(self.size, device) + own.movedim(-3, -1)

    def of(self, points: Tensor) -> Tensor:
        """Where points [..., 2] go. Raises ValueError where the field bends by 1 or more, so that it may not be said."""
        if isinstance(self.field, Tensor) and float(bend := self.bend.max()) >= 1:  # who makes one on demand takes care of that
            raise ValueError(
                f"the displacement bends by {float(bend):.2f} pixels a pixel: from 1 on the canvas folds over, and boxes, points and flow have no "
                "one place to go. Make it smoother or smaller"
            )
        out = points.double().reshape(-1, 2).clone()
        pixels, row = self._pixels(points.device), self._row(points).reshape(-1)
        todo = out.isfinite().all(-1).nonzero()[:, 0]  # the points that are still to be found
        target, row = out[todo], row[todo]
        at = best = target
        newton = rest = torch.zeros_like(target)
        least = torch.full_like(target[:, 0], torch.inf)
        for step in range(self.steps):
            shift, across, down = self._read(pixels, at, row)
            missed = at + shift - target
            better = (by := missed.abs().amax(-1)) < least
            best, rest, newton = (
                torch.where(better[:, None], new, old)
                for new, old in ((at, best), (missed, rest), (_solved(across, down, missed), newton))
            )
            least = torch.minimum(by, least)
            out[todo] = best
            far = (least > 1e-6).nonzero()[:, 0]
            if not len(far):
                return out.reshape(points.shape).to(points.dtype)
            todo, target, row, best, rest, newton, least = (t[far] for t in (todo, target, row, best, rest, newton, least))
            at = best - (rest if step % 3 == 2 else newton)
        raise ValueError(f"{len(todo)} points were not found in {self.steps} steps, so the displacement folds over: make it smoother or smaller")

    def shift(self, points: Tensor) -> Tensor:
        """d at points, float64."""
        return self._read(self._pixels(points.device), points.double(), self._row(points))[0]

    def _row(self, points: Tensor) -> Tensor:
        """The number of the field of each point [..., 2]."""
        if not self.rowed:
            return torch.zeros(points.shape[:-1], dtype=torch.int64, device=points.device)
        own = torch.arange(points.shape[0]) if self.rows is None else torch.as_tensor(self.rows)
        return own.to(points.device).reshape(-1, *[1] * (points.ndim - 2)).expand(points.shape[:-1])

    def _pixels(self, device: torch.device) -> Tensor:
        """d at every pixel of every field, [F H W, 2]."""
        return self.on(device).movedim(-3, -1).reshape(-1, 2)

    def _read(self, pixels: Tensor, points: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """d at points [..., 2], and how it changes to the right and down; float64 [..., 2] each."""
        height, width = self.size
        place = points - 0.5
        x, y = place[..., 0].clamp(0, width - 1), place[..., 1].clamp(0, height - 1)
        left, top = x.nan_to_num().floor(), y.nan_to_num().floor()
        fx, fy = (x - left).unsqueeze(-1), (y - top).unsqueeze(-1)
        j, i = left.long(), top.long()
        first = (row * height + i) * width + j
        right, low = (j < width - 1).long(), (i < height - 1).long() * width
        a, b, c, d = (pixels[at].double() for at in (first, first + right, first + low, first + low + right))
        across = (b - a).lerp(d - c, fy) * (x == place[..., 0]).unsqueeze(-1)  # beyond the border d does not change
        down = (c - a).lerp(d - b, fx) * (y == place[..., 1]).unsqueeze(-1)
        return a.lerp(b, fx).lerp(c.lerp(d, fx), fy), across, down

    @property
    def bend(self) -> Tensor:
        """The steepest change of d a pixel, [] or [F]: below 1 the map has an inverse everywhere."""
        return steepest(self.field if isinstance(self.field, Tensor) else self.field(torch.device("cpu")))


def steepest(field: Tensor) -> Tensor:
    """How far apart d may take two points that are 1 apart (in the larger of the two coordinates): [], or [F]."""
    field = torch.cat([field, field[..., -1:]], -1)
    field = torch.cat([field, field[..., -1:, :]], -2)  # so that there are cells between pixels, if there is but one of them
    across, down = field.diff(dim=-1).abs(), field.diff(dim=-2).abs()
    # Between four pixels d changes to the right by what lies between the changes of both rows, and so downwards.
    cells = torch.maximum(across[..., :-1, :], across[..., 1:, :]) + torch.maximum(down[..., :-1], down[..., 1:])
    return cells.flatten(-3).amax(-1)


def _solved(across: Tensor, down: Tensor, missed: Tensor) -> Tensor:
    """The step s with s + s_x across + s_y down = missed."""
    a, d, b, e = 1 + across[..., 0], across[..., 1], down[..., 0], 1 + down[..., 1]
    x, y = missed.unbind(-1)
    det = a * e - b * d
    return torch.stack([(e * x - b * y) / det, (a * y - d * x) / det], -1)
