"""Edits are deltas: exact where they should change nothing, and no more than they should."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.edits import move, zero
from harness.sae.jumprelu import Sae, decode, encode
from tests.random_models import dtypes, residuals, saes

subsets = st.lists(st.integers(0, 63), min_size=1, max_size=8, unique=True).map(torch.tensor)


def everywhere(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


@given(saes, residuals, subsets, dtypes)
def test_a_no_op_is_bit_exact_in_every_dtype(sae, x, features, dtype):
    x = x.to(dtype)
    moved = move(sae.only(features), x, everywhere(x), None)
    assert moved.dtype == dtype
    assert torch.equal(moved, x)


@given(saes, residuals, subsets)
def test_zeroing_removes_each_features_own_contribution(sae, x, features):
    part = sae.only(features)
    expected = x.double() - encode(part, x).double() @ part.w_dec.double()
    assert torch.allclose(zero(part, x, everywhere(x)).double(), expected, atol=1e-4)


@given(saes, residuals, subsets)
def test_what_the_sae_does_not_reconstruct_stays(sae, x, features):
    """The same as replacing the reconstruction and keeping the error, computed the long way."""
    values = encode(sae, x)
    error = x - decode(sae, values)
    values[..., features] = 0
    assert torch.allclose(
        zero(sae.only(features), x, everywhere(x)), decode(sae, values) + error, atol=1e-3
    )


@given(saes, residuals, st.integers(1, 32))
def test_disjoint_sets_add_up(sae, x, cut):
    first, second = torch.arange(cut), torch.arange(cut, 64)
    both = zero(sae, x, everywhere(x)) - x
    apart = sum(zero(sae.only(part), x, everywhere(x)) - x for part in (first, second))
    assert torch.allclose(both, apart, atol=1e-3)


@given(residuals)
def test_zeroing_orthonormal_directions_twice_is_zeroing_once(x):
    basis = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)))[0]
    sae = Sae(basis[:, :8], torch.zeros(8), basis[:, :8].T, torch.zeros(32), torch.full((8,), 0.01))
    once = zero(sae, x, everywhere(x))
    assert torch.allclose(zero(sae, once, everywhere(x)), once, atol=1e-5)


@given(saes, residuals, subsets, dtypes)
def test_nothing_moves_outside_the_positions(sae, x, features, dtype):
    x = x.to(dtype)
    positions = torch.zeros(x.shape[:2], dtype=torch.bool)
    positions[:, 0] = True
    moved = zero(sae.only(features), x, positions)
    assert torch.equal(moved[:, 1:], x[:, 1:])


@given(saes, residuals, subsets)
def test_an_inactive_row_is_left_as_it_is(sae, x, features):
    part = sae.only(features)
    active = (encode(part, x) > 0).any(-1).any(-1)
    moved = zero(part, x, everywhere(x))
    assert torch.equal(moved[~active], x[~active])
    assert all((moved[i] != x[i]).any() for i in active.nonzero()[:, 0])
