"""Edits are deltas: exact where they should change nothing, and no more than they should."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.interventions.edits import Edit, apply, coefficients, directions, gain_and_shift
from harness.sae.encoding import decode, encode
from harness.testing.models import random_sae
from harness.testing.strategies import cases, dtypes, masks, residuals, saes


def everywhere(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


def edited(sae, x, positions, kind="zero", value=None):
    return apply(Edit(sae, *gain_and_shift(kind, value)), x, positions)


zero = edited


@given(cases(), dtypes())
def test_a_no_op_is_bit_exact_in_every_dtype(case, dtype):
    sae, x, features = case
    x = x.to(dtype)
    moved = edited(sae.only(features), x, everywhere(x), "no-op")
    assert moved.dtype == dtype
    assert torch.equal(moved, x)


@given(cases())
def test_zeroing_removes_each_features_own_contribution(case):
    sae, x, features = case
    part = sae.only(features)
    expected = x.double() - encode(part, x).double() @ part.w_dec.double()
    assert torch.allclose(zero(part, x, everywhere(x)).double(), expected, atol=1e-4)


@given(cases())
def test_what_the_sae_does_not_reconstruct_stays(case):
    """The same as replacing the reconstruction and keeping the error, computed the long way."""
    sae, x, features = case
    values = encode(sae, x)
    error = x - decode(sae, values)
    values[..., features] = 0
    assert torch.allclose(
        zero(sae.only(features), x, everywhere(x)), decode(sae, values) + error, atol=1e-3
    )


@given(cases(), dtypes(), st.data())
def test_nothing_moves_outside_the_positions(case, dtype, data):
    sae, x, features = case
    x, positions = x.to(dtype), data.draw(masks(*x.shape[:2]))
    moved = zero(sae.only(features), x, positions)
    assert torch.equal(moved[~positions], x[~positions])
    assert torch.equal(moved[positions], zero(sae.only(features), x, everywhere(x))[positions])


@given(cases())
def test_an_inactive_row_is_left_as_it_is(case):
    sae, x, features = case
    part = sae.only(features)
    active = (encode(part, x) > 0).any(-1).any(-1)
    moved = zero(part, x, everywhere(x))
    assert torch.equal(moved[~active], x[~active])
    assert all((moved[i] != x[i]).any() for i in active.nonzero()[:, 0])


@given(cases(), st.sampled_from([("scale", 1.0), ("steer", 0.0)]), dtypes())
def test_scaling_by_one_and_steering_by_nothing_are_no_ops(case, kind, dtype):
    sae, x, features = case
    x = x.to(dtype)
    assert torch.equal(edited(sae.only(features), x, everywhere(x), *kind), x)


@given(cases(), st.floats(-4, 4))
def test_each_kind_puts_its_value_in_the_place_of_the_features(case, value):
    """Against float64: x + (v - f) @ W_dec, with v written out."""
    sae, x, features = case
    part = sae.only(features)
    f = encode(part, x).double()
    for kind, v in {
        "zero": 0 * f,
        "mean": 0 * f + value,
        "clamp": 0 * f + value,
        "scale": value * f,
        "steer": f + value,
    }.items():
        wanted = x.double() + (v - f) @ part.w_dec.double()
        assert torch.allclose(
            edited(part, x, everywhere(x), kind, value).double(), wanted, atol=1e-3
        )


@given(cases())
def test_direction_ablation_projects_the_span_out_and_nothing_else(case):
    sae, x, features = case
    decoder = sae.w_dec[features].double()
    projector = torch.linalg.pinv(decoder) @ decoder
    found = zero(directions(sae.only(features)), x, everywhere(x)).double()
    assert torch.allclose(found, x.double() - x.double() @ projector, atol=1e-4)
    assert torch.allclose(found @ decoder.T, torch.zeros(1, dtype=torch.double), atol=1e-3)


def test_directions_that_depend_on_each_other_count_once():
    twice = torch.tensor([5, 9, 5])
    assert directions(random_sae(3).only(twice)).features == 2


@given(saes(), residuals(), st.integers(0, 10**6))
def test_rows_with_features_of_their_own_are_edited_each_by_themselves(sae, x, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randint(64, (len(x), 3), generator=generator)
    gain = torch.randn(len(x), 1, 3, generator=generator)
    shift = torch.randn(*x.shape[:2], 3, generator=generator)
    together = apply(Edit(sae.only(features), gain, shift), x, everywhere(x))
    for i in range(len(x)):
        alone = Edit(sae.only(features[i]), gain[i, 0], shift[i : i + 1])
        assert torch.allclose(
            together[i], apply(alone, x[i : i + 1], everywhere(x[i : i + 1]))[0], atol=1e-5
        )
        assert coefficients(alone, x[i : i + 1]).shape == (1, x.shape[1], 3)


@given(cases(), st.sampled_from([torch.bfloat16, torch.float16]))
def test_in_half_precision_the_edit_is_rounded_once(case, dtype):
    """What float64 gives, within one rounding: not the sum of several."""
    sae, x, features = case
    x = (10 * x).to(dtype)
    part = sae.only(features)
    wanted = x.double() - encode(part, x).double() @ part.w_dec.double()
    # Where a feature is all that there was, what is left is float32's own rounding.
    near = torch.finfo(dtype).eps * (wanted.abs() + 1e-2) + 1e-6 * x.double().abs().amax()
    assert ((zero(part, x, everywhere(x)).double() - wanted).abs() <= 0.51 * near).all()


def test_an_unknown_kind_is_an_error():
    with pytest.raises(KeyError):
        gain_and_shift("erase", None)
