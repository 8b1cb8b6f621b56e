"""How far a predicted flow is from the true one: end-point error, KITTI's Fl, outliers beyond n pixels.

Ground truth is often unknown somewhere (NaN in a `Flow`), and a NaN that is masked too late still poisons the
gradient of every weight. Here unknown pixels leave before any arithmetic that could not take them back, so values
and gradients are finite wherever the prediction is. All is computed in float32 at least, also under autocast and
for half predictions: flows of hundreds of pixels have no sub-pixel digits in half precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vdata.tensors import TypedTensor


def endpoint_error(
    prediction: Tensor, target: Tensor, *, valid: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The Euclidean distance in pixels between two flows, over the pixels where `target` is known.

    prediction  [..., 2, H, W], any floating dtype; may hold anything where the target is unknown
    target      `Flow` or tensor of the same shape; a pixel with a non-finite component is unknown
    valid       [..., H, W], bool or 0/1: further pixels to leave out (KITTI's mask, occlusions)
    reduction   "mean" over the known pixels of the whole batch, "sum" of them, or "none": [..., H, W] with NaN where
                unknown

    Returns float32 (float64 if either flow is). It is a loss as it stands: the gradient is the unit vector away from
    the target, divided by the number of known pixels under "mean"; exactly zero where the error is zero and where the
    pixel is unknown. Without a single known pixel "mean" is 0.0, still tied to the prediction: backward gives zeros.
    A prediction that is not finite at a known pixel gives a result that is not: divergence is not hidden.

    Raises ValueError for shapes that differ.

    >>> target = torch.tensor([3.0, float("nan")]).expand(2, 1, 2)  # one known pixel, (3, 3), and one unknown
    >>> endpoint_error(torch.tensor([[[0.0, 7.0]], [[7.0, 7.0]]]), target)
    tensor(5.)
    """
    prediction, target, known = _known(prediction, target, valid)
    return _reduced(_distance(prediction, target), known, reduction)


def fl_all(
    prediction: Tensor, target: Tensor, *, valid: Tensor | None = None, reduction: str = "mean",
    absolute: float = 3.0, relative: float = 0.05,
) -> Tensor:  # fmt: skip
    """KITTI 2015's Fl-all: the fraction, 0 to 1, of known pixels that are off by more than 3 px and 5 % of the truth.

    Menze and Geiger, "Object Scene Flow for Autonomous Vehicles", CVPR 2015. The benchmark prints percent: multiply by
    100. For a set over all pixels of all images, add up `reduction="sum"` and divide by the number of known pixels.

    Arguments as `endpoint_error`; `absolute` in pixels and `relative` to the true magnitude are KITTI's limits. An
    error that is NaN counts as an outlier. Under "none" the map holds 1.0 for an outlier, 0.0 for an inlier, NaN for
    unknown. Without a known pixel "mean" is 0.0. No gradient.

    >>> target = torch.tensor([10.0, 100.0]).expand(2, 1, 2)
    >>> fl_all(target + 4, target)  # off by 5.7 px: more than 5 % of 14 px, less than 5 % of 141 px
    tensor(0.5000)
    """
    with torch.no_grad():
        prediction, target, known = _known(prediction, target, valid)
        return _reduced(_beyond(_distance(prediction, target), _fl_bound(target, absolute, relative)), known, reduction)


def outliers(
    prediction: Tensor, target: Tensor, threshold: float = 3.0, *, valid: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The fraction, 0 to 1, of known pixels with an end-point error of more than `threshold` pixels (often 1, 3 or 5).

    Arguments, unknown pixels and NaN as in `fl_all`.

    >>> outliers(torch.tensor([0.5, 2.0, 4.0, 6.0]).expand(2, 1, 4), torch.zeros(2, 1, 4), 5)  # sqrt(2) times as much
    tensor(0.5000)
    """
    with torch.no_grad():
        prediction, target, known = _known(prediction, target, valid)
        error = _distance(prediction, target)
        return _reduced(_beyond(error, torch.full_like(error, threshold)), known, reduction)


def flow_metrics(prediction: Tensor, target: Tensor, *, valid: Tensor | None = None) -> dict[str, Tensor]:
    """What is printed of a flow network in training and validation, over the pixels where `target` is known.

    "epe"                the mean end-point error in pixels
    "1px", "3px", "5px"  the fractions, 0 to 1, of pixels within 1, 3 and 5 pixels of the truth (as RAFT prints them:
                         higher is better; `outliers` is the rest)
    "fl_all"             KITTI's fraction of outliers (lower is better)

    Arguments, unknown pixels and NaN as in `endpoint_error` and `fl_all`; numbers on the prediction's device, which nothing
    waits for; no gradient. Of several batches weigh each by its number of known pixels.

    >>> metrics = flow_metrics(torch.tensor([0.0, 2.0, 4.0, 8.0]).expand(2, 1, 4) * 0.5**0.5, torch.zeros(2, 1, 4))
    >>> {name: round(value.item(), 4) for name, value in metrics.items()}
    {'epe': 3.5, '1px': 0.25, '3px': 0.5, '5px': 0.75, 'fl_all': 0.5}
    """
    with torch.no_grad():
        prediction, target, known = _known(prediction, target, valid)
        error = _distance(prediction, target)
        within = {f"{n}px": _reduced((error <= n).to(error.dtype), known, "mean") for n in (1, 3, 5)}
        beyond = _reduced(_beyond(error, _fl_bound(target, 3.0, 0.05)), known, "mean")
        return {"epe": _reduced(error, known, "mean"), **within, "fl_all": beyond}


def _fl_bound(target: Tensor, absolute: float, relative: float) -> Tensor:
    return (relative * _distance(target, torch.zeros_like(target))).clamp(min=absolute)


def _known(prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Both flows in one wide dtype, zero where the target is unknown; and bool [..., H, W], where it is known."""
    prediction, target = _plain(prediction), _plain(target)
    if prediction.shape != target.shape or target.ndim < 3 or target.shape[-3] != 2:
        shapes = f"prediction {list(prediction.shape)}, target {list(target.shape)}"
        raise ValueError(f"two flows of one shape [..., 2, H, W] are compared, got {shapes}")
    known = target.isfinite().all(-3)
    if valid is not None:
        if valid.shape != known.shape:
            raise ValueError(f"valid has one value a pixel, {list(known.shape)}, got {list(valid.shape)}")
        known = known & _plain(valid).bool()
    dtype = torch.promote_types(torch.promote_types(prediction.dtype, target.dtype), torch.float32)
    inside = known.unsqueeze(-3)
    return torch.where(inside, prediction.to(dtype), 0), torch.where(inside, target.to(dtype), 0), known


def _plain(value: Tensor) -> Tensor:
    return value.plain() if isinstance(value, TypedTensor) else value


def _distance(a: Tensor, b: Tensor) -> Tensor:
    # vector_norm and not sqrt(sum of squares): its gradient at zero is zero, that of sqrt is NaN.
    return torch.linalg.vector_norm(a - b, dim=-3)


def _beyond(error: Tensor, bound: Tensor) -> Tensor:
    # Written with <= so that a NaN, for which every comparison is false, is an outlier.
    return (~(error <= bound)).to(error.dtype)


def _reduced(values: Tensor, known: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return torch.where(known, values, torch.nan)
    total = torch.where(known, values, 0).sum()
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / known.sum().clamp(min=1)
    raise ValueError(f'reduction is "mean", "sum" or "none", got {reduction!r}')
