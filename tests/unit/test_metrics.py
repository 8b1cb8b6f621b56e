"""End-point error, Fl and outliers against plain numpy and torchvision's reference formula; gradients around NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vdata.metrics import endpoint_error, fl_all, flow_metrics, outliers
from vdata.tensors import Flow, Mask

NAN = float("nan")


def _pair(seed: int, *shape: int, unknown: float = 0.3, scale: float = 4.0) -> tuple[torch.Tensor, Flow]:
    """A prediction and a true flow [*shape[:-2], 2, H, W], of whose pixels a share is unknown."""
    g = torch.Generator().manual_seed(seed)
    full = (*shape[:-2], 2, *shape[-2:])
    target = torch.randn(full, generator=g) * 40
    prediction = target + torch.randn(full, generator=g) * scale
    return prediction, Flow(target, valid=torch.rand(shape, generator=g) >= unknown)


def _numpy(prediction: torch.Tensor, target: Flow) -> tuple[np.ndarray, np.ndarray]:
    """Errors and magnitudes of the known pixels, in double precision."""
    p, t = prediction.double().numpy(), target.plain().double().numpy()
    p, t = np.moveaxis(p, -3, -1).reshape(-1, 2), np.moveaxis(t, -3, -1).reshape(-1, 2)
    known = np.isfinite(t).all(-1)
    return np.sqrt(((p - t)[known] ** 2).sum(-1)), np.sqrt((t[known] ** 2).sum(-1))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), batch=st.sampled_from([(), (1,), (3,), (2, 2)]), unknown=st.floats(0, 0.9))
def test_metrics_are_those_of_numpy_over_all_known_pixels_of_the_batch(seed, batch, unknown):
    prediction, target = _pair(seed, *batch, 5, 7, unknown=unknown)
    error, length = _numpy(prediction, target)
    if not len(error):
        return
    assert endpoint_error(prediction, target).item() == pytest.approx(error.mean(), rel=1e-5)
    assert endpoint_error(prediction, target, reduction="sum").item() == pytest.approx(error.sum(), rel=1e-5)
    assert fl_all(prediction, target).item() == pytest.approx(((error > 3) & (error > 0.05 * length)).mean())
    for threshold in (1, 3, 5):
        assert outliers(prediction, target, threshold).item() == pytest.approx((error > threshold).mean())
        counted = outliers(prediction, target, threshold, reduction="sum")
        assert counted.item() == (error > threshold).sum()


def test_torchvisions_reference_formula_agrees_on_kitti_style_masks():
    prediction, target = _pair(1, 4, 16, 24)
    valid = target.valid.plain()
    dense = target.fill(0)
    # references/optical_flow/utils.py of torchvision, compute_metrics
    epe = ((prediction - dense) ** 2).sum(dim=1).sqrt()[valid]
    relative = epe / (dense**2).sum(dim=1).sqrt()[valid]
    torch.testing.assert_close(endpoint_error(prediction, dense, valid=valid), epe.mean())
    torch.testing.assert_close(fl_all(prediction, dense, valid=valid), ((epe > 3) & (relative > 0.05)).float().mean())
    for n in (1, 3, 5):
        torch.testing.assert_close(1 - outliers(prediction, dense, n, valid=valid), (epe < n).float().mean())
    torch.testing.assert_close(endpoint_error(prediction, target), epe.mean())


def test_none_gives_a_map_with_nan_exactly_where_unknown():
    prediction, target = _pair(2, 3, 6, 5)
    valid = target.valid.plain()
    for metric in (endpoint_error, fl_all, outliers):
        values = metric(prediction, target, reduction="none")
        assert values.shape == (3, 6, 5) and type(values) is torch.Tensor
        assert torch.equal(values.isfinite(), valid)
        torch.testing.assert_close(values[valid].mean(), metric(prediction, target))


def test_valid_narrows_what_the_flow_knows():
    prediction, target = _pair(3, 2, 6, 5)
    keep = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(3)) > 0.5
    expected = endpoint_error(prediction, Flow(target.plain(), valid=keep))
    for valid in (keep, Mask(keep), keep.float()):
        assert torch.equal(endpoint_error(prediction, target, valid=valid), expected)


def test_the_gradient_is_the_unit_vector_over_the_count_and_zero_where_unknown():
    target = Flow(torch.tensor([[0.0, NAN, 0.0, 5.0], [0.0, 1.0, 0.0, 5.0]]).reshape(2, 1, 4))
    prediction = torch.tensor([[3.0, 1.0, 0.0, 5.0], [4.0, 1.0, 2.0, 5.0]]).reshape(2, 1, 4).requires_grad_()
    error = endpoint_error(prediction, target)
    error.backward()
    assert error.item() == pytest.approx((5 + 2 + 0) / 3)
    expected = torch.tensor([[0.6, 0, 0, 0], [0.8, 0, 1, 0]]).reshape(2, 1, 4) / 3  # the last one is exact: no NaN
    torch.testing.assert_close(prediction.grad, expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nothing_unknown_reaches_the_gradient_not_even_a_broken_prediction(reduction):
    values, target = _pair(4, 2, 6, 5)
    values = torch.where(target.valid.plain().unsqueeze(1), values, NAN).requires_grad_()
    result = endpoint_error(values, target, reduction=reduction)
    result.nansum().backward()
    assert values.grad.isfinite().all()
    unknown = ~target.valid.plain().unsqueeze(1).expand_as(values)
    assert (values.grad[unknown] == 0).all() and (values.grad[~unknown] != 0).any()


def test_the_gradient_is_right_by_finite_differences():
    prediction, target = _pair(5, 2, 3, 4)
    prediction = prediction.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: endpoint_error(p, target.double()), prediction)


def test_no_known_pixel_is_zero_and_still_trains():
    prediction = torch.randn(2, 2, 3, 4, requires_grad=True)
    target = Flow(torch.full((2, 2, 3, 4), NAN))
    error = endpoint_error(prediction, target)
    error.backward()
    assert error.item() == 0 and torch.equal(prediction.grad, torch.zeros_like(prediction))
    assert fl_all(prediction, target).item() == 0 and outliers(prediction, target).item() == 0


def test_a_prediction_that_diverged_shows():
    prediction, target = torch.zeros(2, 1, 2), torch.zeros(2, 1, 2)
    prediction[0, 0, 0] = NAN
    assert math.isnan(endpoint_error(prediction, target))
    assert fl_all(prediction, target).item() == 0.5 and outliers(prediction, target).item() == 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_predictions_are_compared_in_float32(dtype):
    prediction, target = _pair(6, 2, 6, 5)
    half = prediction.to(dtype).requires_grad_()
    error = endpoint_error(half, target)
    assert error.dtype == torch.float32
    assert torch.equal(error, endpoint_error(half.float(), target))
    both = endpoint_error(half, target.fill(0).to(dtype))
    assert both.dtype == torch.float32
    torch.testing.assert_close(both, endpoint_error(half.double(), target.fill(0).to(dtype).double()).float())
    error.backward()
    assert half.grad.dtype == dtype and half.grad.isfinite().all()


def test_large_half_errors_do_not_overflow():
    prediction = torch.full((2, 1, 1), 1000.0, dtype=torch.float16)  # its square is beyond float16
    assert endpoint_error(prediction, torch.zeros(2, 1, 1)).item() == pytest.approx(1000 * math.sqrt(2))


def test_autocast_does_not_lower_the_precision():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 2, 3, padding=1)
    _, target = _pair(7, 2, 6, 5)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = layer(target.fill(0))
        assert prediction.dtype == torch.bfloat16
        error = endpoint_error(prediction, target)
    assert error.dtype == torch.float32
    assert torch.equal(error, endpoint_error(prediction.float(), target))
    error.backward()
    assert layer.weight.grad.isfinite().all() and layer.weight.grad.abs().sum() > 0


def test_fl_needs_both_three_pixels_and_five_percent():
    target = torch.tensor([10.0, 10.0, 100.0, 100.0, 0.0]).reshape(1, 1, 5) * torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    across = torch.tensor([0.0, 1.0]).reshape(2, 1, 1)
    prediction = target + torch.tensor([2.9, 3.1, 4.9, 5.1, 3.1]).reshape(1, 1, 5) * across
    assert fl_all(prediction, target, reduction="none").flatten().tolist() == [0, 1, 0, 1, 1]
    assert fl_all(prediction, target, absolute=1, relative=0.5, reduction="none").flatten().tolist() == [0, 0, 0, 0, 1]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"prediction \[2, 3, 4\], target \[2, 3, 5\]"):
        endpoint_error(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match=r"\[3, 3, 4\]"):
        endpoint_error(torch.zeros(3, 3, 4), torch.zeros(3, 3, 4))
    with pytest.raises(ValueError, match=r"valid has one value a pixel, \[3, 4\], got \[1, 3, 4\]"):
        fl_all(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), valid=torch.ones(1, 3, 4))
    with pytest.raises(ValueError, match="'median'"):
        outliers(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), reduction="median")


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), unknown=st.floats(0, 0.9))
def test_flow_metrics_are_the_single_ones(seed, unknown):
    prediction, target = _pair(seed, 2, 5, 7, unknown=unknown)
    keep = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(seed)) > 0.3
    for valid in (None, keep):
        metrics = flow_metrics(prediction.requires_grad_(), target, valid=valid)
        assert list(metrics) == ["epe", "1px", "3px", "5px", "fl_all"]
        assert torch.equal(metrics["epe"], endpoint_error(prediction, target, valid=valid))
        assert torch.equal(metrics["fl_all"], fl_all(prediction, target, valid=valid))
        known = target.valid.plain() & (keep if valid is not None else True)
        for n in (1, 3, 5):
            rest = outliers(prediction, target, n, valid=valid) if known.any() else 1.0
            assert metrics[f"{n}px"].item() == pytest.approx(1 - float(rest), abs=1e-6)
        assert not any(v.requires_grad or v.ndim for v in metrics.values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_flow_metrics_under_autocast_and_of_half_predictions(dtype):
    """Limits of 1, 3 and 5 pixels are finer than bfloat16's steps at 500 pixels: errors are formed in float32."""
    target = Flow(torch.full((2, 1, 3), 500.0))
    prediction = torch.tensor([500.0, 502.0, 504.0]).expand(2, 1, 3).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        metrics = flow_metrics(prediction, target)
    expected = flow_metrics(prediction.double(), target)
    for name, value in metrics.items():
        assert value.dtype == torch.float32 and value.item() == pytest.approx(expected[name].item(), rel=1e-6)
    assert metrics["1px"].item() == pytest.approx(1 / 3 if dtype == torch.float16 else expected["1px"].item())


def test_flow_metrics_without_a_known_pixel_and_of_a_diverged_prediction():
    nothing = flow_metrics(torch.randn(2, 3, 4), Flow(torch.full((2, 3, 4), NAN)))
    assert [v.item() for v in nothing.values()] == [0, 0, 0, 0, 0]
    broken = flow_metrics(torch.full((2, 1, 2), NAN), torch.zeros(2, 1, 2))
    assert math.isnan(broken["epe"]) and broken["1px"].item() == 0 and broken["5px"].item() == 0 and broken["fl_all"].item() == 1
    unknown = Flow(torch.tensor([[[0.0, NAN]], [[0.0, NAN]]]))
    assert flow_metrics(torch.tensor([[[0.5, NAN]], [[0.0, NAN]]]), unknown)["epe"].item() == 0.5
