"""Counts of values between fixed edges."""

from __future__ import annotations

import numpy as np


def octaves(low: int, high: int, steps: int) -> np.ndarray:
    """Edges from 2^low to 2^high, so many a doubling.

    >>> octaves(0, 2, 2).round(2).tolist()
    [1.0, 1.41, 2.0, 2.83, 4.0]
    """
    return 2.0 ** (np.arange((high - low) * steps + 1) / steps + low)


class Histogram:
    """Values beyond the edges are counted in the first and the last bin; NaN is not counted.

    >>> counts = Histogram(np.array([0.0, 1.0, 2.0]))
    >>> counts.add(np.array([-5.0, 0.5, 1.0, 7.0]))
    >>> counts.counts.tolist()
    [2.0, 2.0]
    """

    def __init__(self, edges: np.ndarray):
        self.edges = edges
        self.counts = np.zeros(len(edges) - 1)

    def add(self, values: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Count values; each so often as its weight says."""
        there = ~np.isnan(values)
        bins = np.searchsorted(self.edges[1:-1], values[there], side="right")
        self.counts += np.bincount(bins, None if weights is None else weights[there], minlength=len(self.counts))

    @property
    def total(self) -> float:
        return float(self.counts.sum())

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """(edges, counts) without the empty bins at both ends, but for one at each."""
        there = np.flatnonzero(self.counts)
        first, last = (max(0, there[0] - 1), there[-1] + 2) if len(there) else (0, 1)
        return self.edges[first : last + 1], self.counts[first:last]
