"""Turned boxes cut to the canvas: rectangles of the same angle around, or within, what the canvas leaves of a box.

In the box's own coordinates, u along its first side and v along its second, what is left is a convex region given by eight
inequalities a u + b v <= k: four sides of the box, four of the canvas. Everything follows from two ways to eliminate variables
from them, exactly, for N boxes at once.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

_UPRIGHT = 1e-9  # radians: a millionth of a pixel at the far end of a box, but divided by it would cost digits
_STEPS = 60  # halvings: to the last bit of a float64


def left_of(size: Tensor, origin: Tensor, turn: Tensor, canvas: tuple[int, int]) -> Tensor:
    """The inequalities (a, b, k), float64 [N, 8, 3], of boxes [N] with sides `size` [N, 2] and first corner `origin` [N, 2]."""
    cos, sin = (torch.where(v.abs() < _UPRIGHT, 0.0, v) for v in (turn.cos(), turn.sin()))
    zero, one = torch.zeros_like(turn), torch.ones_like(turn)
    (width, height), (x, y) = size.unbind(-1), origin.unbind(-1)
    rows = [
        (-one, zero, zero), (one, zero, width), (zero, -one, zero), (zero, one, height),
        (-cos, -sin, x), (cos, sin, canvas[1] - x), (sin, -cos, y), (-sin, cos, canvas[0] - y),
    ]  # fmt: skip
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def around(region: Tensor) -> tuple[Tensor, Tensor]:
    """The least rectangle that encloses each region: low and high (u, v), [N, 2] each; low above high where it is empty."""
    across, down = _shadow(region, 0), _shadow(region, 1)
    return torch.stack([across[0], down[0]], -1), torch.stack([across[1], down[1]], -1)


def within(region: Tensor) -> tuple[Tensor, Tensor]:
    """The rectangle of most area inside of each region, which must not be empty: low and high (u, v), [N, 2] each.

    A rectangle of sides (U, V) at (u, v) lies inside where a u + b v <= k - max(a, 0) U - max(b, 0) V. With u and v eliminated
    that says which (U, V) fit at all, and the greatest U V among those is found by halving, for it is concave along U.
    """
    a, b, k = region.unbind(-1)
    grown = torch.stack([k, a.clamp(min=0), b.clamp(min=0)], -1)
    limit, across, down = _balanced(a, b, grown).unbind(-1)  # across U + down V <= limit
    side = _largest(across, down, limit)
    other = _height(side, across, down, limit)
    rest = k - a.clamp(min=0) * side[:, None] - b.clamp(min=0) * other[:, None]
    u = torch.stack(_shadow(torch.stack([a, b, rest], -1), 0)).mean(0)  # where it may lie, the middle
    v = torch.stack(_interval(b, rest - a * u[:, None])).mean(0)
    low = torch.stack([u, v], -1)
    return low, low + torch.stack([side, other], -1)


def _shadow(region: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The interval of one coordinate, the other eliminated (Fourier and Motzkin): every pair that pulls it both ways."""
    kept, gone, k = region[..., axis], region[..., 1 - axis], region[..., 2]
    pulls = gone[:, :, None].clamp(min=0) * -gone[:, None, :].clamp(max=0)  # above 0 for pairs (i up, j down) alone
    up, down = gone[:, :, None], -gone[:, None, :]
    slope, limit = down * kept[:, :, None] + up * kept[:, None, :], down * k[:, :, None] + up * k[:, None, :]
    slope, limit = torch.where(pulls > 0, slope, 0).flatten(1), torch.where(pulls > 0, limit, torch.inf).flatten(1)
    alone = gone == 0
    slope = torch.cat([slope, torch.where(alone, kept, 0)], 1)
    return _interval(slope, torch.cat([limit, torch.where(alone, k, torch.inf)], 1))


def _interval(slope: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The x with slope x <= limit in every column: low and high, [N]; empty where a column without slope says no."""
    flat = slope.abs() < 1e-12
    bound = limit / torch.where(flat, 1.0, slope)
    low = torch.where(~flat & (slope < 0), bound, -torch.inf).amax(1)
    high = torch.where(~flat & (slope > 0), bound, torch.inf).amin(1)
    never = (flat & (limit < -1e-9)).any(1)
    return torch.where(never, torch.inf, low), torch.where(never, -torch.inf, high)


def _balanced(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    """The sums of `values` [N, 8, 3] in which u and v cancel: of every three inequalities that pull around, [N, 56, 3]."""
    triples = torch.tensor(list(combinations(range(a.shape[1]), 3)), device=a.device)
    one, two, three = triples.unbind(1)
    cross = lambda p, q: a[:, p] * b[:, q] - b[:, p] * a[:, q]
    weight = torch.stack([cross(two, three), cross(three, one), cross(one, two)], -1)
    weight = torch.where(weight.abs() < 1e-12, 0.0, weight)
    weight = weight * torch.where((weight < 0).any(-1, keepdim=True), -1.0, 1.0)
    cancels = (weight >= 0).all(-1) & (weight > 0).any(-1)
    total = (weight[..., None] * values[:, triples]).sum(-2)
    nothing = torch.tensor([torch.inf, 0.0, 0.0], dtype=total.dtype, device=total.device)
    return torch.where(cancels[..., None], total, nothing)


def _height(side: Tensor, across: Tensor, down: Tensor, limit: Tensor) -> Tensor:
    """The greatest V for each U: [N]."""
    room = (limit - across * side[:, None]) / torch.where(down > 0, down, 1.0)
    return torch.where(down > 0, room, torch.inf).amin(1).clamp(min=0)


def _largest(across: Tensor, down: Tensor, limit: Tensor) -> Tensor:
    """The U at which U V is greatest: [N]. Below it the sharpest of the parabolas U (limit - across U) / down still rises."""
    low = torch.zeros_like(limit[:, 0])
    high = torch.where(across > 0, limit / torch.where(across > 0, across, 1.0), torch.inf).amin(1).clamp(min=0)
    for _ in range(_STEPS):
        side = (low + high) / 2
        room = torch.where(down > 0, (limit - across * side[:, None]) / torch.where(down > 0, down, 1.0), torch.inf)
        sharpest = room.argmin(1, keepdim=True)
        rises = (limit - 2 * across * side[:, None]).gather(1, sharpest)[:, 0] > 0
        low, high = torch.where(rises, side, low), torch.where(rises, high, side)
    return (low + high) / 2
