"""Draws that have no formula in uniform numbers: gamma, beta and Dirichlet, a row a key.

A row is drawn by its own key until it is accepted, so what it gets does not depend on who is drawn beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vdata.key import Key


def log_gamma(key: Key, alpha: Sequence[float]) -> np.ndarray:
    """Logarithms of Gamma(alpha, 1) numbers, float64 [B, len(alpha)]; logarithms, since small alphas leave float64's range.

    Source: Marsaglia and Tsang, "A simple method for generating gamma variables" (2000): for alpha + 1, then made smaller by
    a uniform number to the power of 1 / alpha.
    """
    shape = np.asarray(alpha, np.float64)
    out = np.full((len(key), len(shape)), np.nan)
    attempt, rows = 0, np.arange(len(key))
    while len(rows):
        drawn = _attempt(key[rows].fold("attempt", attempt), shape + 1)
        out[rows] = np.where(np.isnan(out[rows]), drawn, out[rows])
        rows = rows[np.isnan(out[rows]).any(1)]
        attempt += 1
    return out + np.log1p(-key.fold("smaller").uniform(0, 1, len(shape))) / shape


def _attempt(key: Key, shape: np.ndarray) -> np.ndarray:
    """Logarithms of Gamma(shape) for shapes of at least 1; NaN where the attempt is not accepted."""
    x, u = key.fold("normal").normal(len(shape)), key.fold("uniform").uniform(0, 1, len(shape))
    d = shape - 1 / 3
    root = 1 + x / np.sqrt(9 * d)
    v = np.where(root > 0, root, 1) ** 3
    accepted = (root > 0) & (np.log1p(-u) < x * x / 2 + d - d * v + d * np.log(v))
    return np.where(accepted, np.log(d * v), np.nan)


def dirichlet(key: Key, alpha: Sequence[float]) -> np.ndarray:
    """Shares that add up to 1, float64 [B, len(alpha)], with density in proportion to the product of share ** (alpha - 1).

    >>> dirichlet(Key.of(0), (1.0, 1.0, 1.0)).sum().round(12)
    np.float64(1.0)
    """
    logs = log_gamma(key, alpha)
    parts = np.exp(logs - logs.max(1, keepdims=True))
    return parts / parts.sum(1, keepdims=True)


def beta(key: Key, a: float, b: float) -> np.ndarray:
    """Beta(a, b) numbers, float64 [B]: the first of two shares."""
    return dirichlet(key, (a, b))[:, 0]
