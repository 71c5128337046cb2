"""The SAE's mathematics and its health."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.sae.encoding import Sae, decode, encode
from harness.sae.health import Health
from harness.sae.mock import jumprelu, orthogonal
from harness.testing.models import random_sae
from harness.testing.strategies import (
    cases,
    mock_saes,
)


@given(cases())
def test_encode_is_the_published_formula(case):
    sae, x, _ = case
    reference = x.double() @ sae.w_enc.double() + sae.b_enc.double()
    clear = (reference - sae.threshold).abs() > 1e-4
    reference = reference * (reference > sae.threshold)
    assert torch.allclose(encode(sae, x)[clear].double(), reference[clear], atol=1e-4)


def test_at_the_threshold_itself_a_feature_is_off():
    one = torch.ones(1)
    sae = Sae(torch.eye(1), torch.zeros(1), torch.eye(1), torch.zeros(1), one)
    assert encode(sae, one[None]).item() == 0
    above = torch.nextafter(one, 2 * one)
    assert encode(sae, above[None]).item() == above.item()


def test_the_decoder_bias_is_not_subtracted_from_the_input():
    sae = random_sae(1)
    x = torch.randn(5, 32)
    other = Sae(sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec + 100, sae.threshold)
    assert torch.equal(encode(sae, x), encode(other, x))


@given(cases())
def test_a_subset_encodes_like_the_whole(case):
    sae, x, features = case
    assert torch.allclose(encode(sae.only(features), x), encode(sae, x)[..., features], atol=1e-5)


@pytest.mark.parametrize("most", [7, 1000])
@pytest.mark.parametrize("sae", [random_sae(2), orthogonal(32, 2), jumprelu(32, 64, 2)])
def test_health_adds_up_over_batches(sae, most):
    x = torch.randn(100, 32) * torch.linspace(0.1, 10, 32)
    health = Health(sae)
    for part in x.split(13):
        health.add(sae, part, most)
    values = encode(sae, x)
    error = x - decode(sae, values)
    variance = ((x - x.mean(0)) ** 2).sum(0)
    assert health.positions == 100
    assert health.l0 == pytest.approx(float((values > 0).sum(1).float().mean()))
    assert health.fvu == pytest.approx(float((error**2).sum() / variance.sum()), rel=1e-5)
    assert health.fvu_median == pytest.approx(
        float(((error**2).sum(0) / variance).median()), rel=1e-5
    )
    assert health.dead == pytest.approx(float(((values > 0).sum(0) == 0).float().mean()))
    rate = (values > 0).float().mean(0)
    assert torch.allclose(health.firing_rate.float(), rate)


@given(st.lists(st.floats(2.0**-10, 2.0**10, width=32), min_size=1, max_size=6))
def test_a_feature_is_on_strictly_above_its_threshold(thresholds):
    threshold = torch.tensor(thresholds)
    n, zeros = len(threshold), torch.zeros(len(threshold))
    sae = Sae(torch.eye(n), zeros, torch.eye(n), zeros, threshold)
    above = torch.nextafter(threshold, torch.tensor(torch.inf))
    below = torch.nextafter(threshold, torch.tensor(-torch.inf))
    assert torch.equal(encode(sae, threshold), zeros)
    assert torch.equal(encode(sae, below), zeros)
    assert torch.equal(encode(sae, above), above)


@given(cases(mock_saes()))
def test_a_threshold_moved_by_one_float_decides(case):
    """Thresholds put exactly at what the encoder computes, and one float below it."""
    sae, x, _ = case
    x = x[0, 0]
    before = encode(dataclasses.replace(sae, threshold=torch.full_like(sae.b_enc, -torch.inf)), x)
    at = dataclasses.replace(sae, threshold=before)
    under = dataclasses.replace(sae, threshold=torch.nextafter(before, before - 1))
    assert torch.equal(encode(at, x), torch.zeros_like(before))
    assert torch.equal(encode(under, x), before)
