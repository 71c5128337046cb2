"""Edits of sets of features: again, in parts, in any order."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.interventions.edits import Edit, apply, directions, gain_and_shift
from harness.interventions.layer_edits import make_layer_edits
from harness.sae.encoding import encode
from harness.sae.mock import jumprelu
from harness.specs.intervention import Intervention
from harness.testing.strategies import (
    cases,
    mock_saes,
)
from tests.helpers.drawn import seeds

ORTHONORMAL = mock_saes(["orthogonal"])
OVERLAPPING = mock_saes(["jumprelu"])
KINDS = ("zero", "clamp", "scale", "steer")


def everywhere(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


def edited(sae, x, kind="zero", value=None):
    return apply(Edit(sae, *gain_and_shift(kind, value)), x, everywhere(x))


@given(seeds.map(lambda seed: jumprelu(8, 16, seed)), seeds)
def test_the_overlapping_mock_is_its_definition_in_float64(sae, seed):
    """Feature by feature: f, the reconstruction's error that stays, and every kind of edit."""
    x = 3 * torch.randn(8, generator=torch.Generator().manual_seed(seed))
    value = 1.5
    moved = {kind: x.double() for kind in KINDS}
    for i in range(16):
        before = x.double() @ sae.w_enc[:, i].double() + sae.b_enc[i].double()
        threshold = sae.threshold[i].double()
        assume(abs(before - threshold) > 1e-4)
        f = before if before > threshold else 0.0 * before
        assert encode(sae, x)[i].double() == pytest.approx(float(f), abs=1e-4)
        wanted = {"zero": 0.0, "clamp": value, "scale": value * f, "steer": f + value}
        for kind, v in wanted.items():
            moved[kind] = moved[kind] + (v - f) * sae.w_dec[i].double()
    for kind, wanted in moved.items():
        found = edited(sae, x[None, None], kind, value)[0, 0]
        assert torch.allclose(found.double(), wanted, atol=1e-4)


@given(cases(ORTHONORMAL))
def test_removing_orthonormal_features_moves_the_stream_by_their_values(case):
    sae, x, features = case
    assert torch.allclose(sae.w_dec @ sae.w_dec.T, torch.eye(sae.features), atol=1e-5)
    moved = x - edited(sae.only(features), x)
    values = encode(sae, x)[..., features]
    assert torch.allclose(moved.norm(dim=-1), values.norm(dim=-1), atol=1e-4)
    assert torch.allclose(moved @ sae.w_enc[:, features], values, atol=1e-4)


@given(cases(ORTHONORMAL))
def test_zeroing_orthonormal_features_twice_is_zeroing_once(case):
    """Nothing is left of them but float32's rounding, and the other features keep their values."""
    sae, x, features = case
    part = sae.only(features)
    once = edited(part, x)
    others = torch.ones(sae.features, dtype=torch.bool)
    others[features] = False
    assert encode(part, once).max() < 1e-5
    assert torch.allclose(encode(sae, once)[..., others], encode(sae, x)[..., others], atol=1e-5)
    assert torch.allclose(edited(part, once), once, atol=1e-5)


@given(cases(OVERLAPPING))
def test_zeroing_overlapping_features_leaves_what_they_read_of_each_other(case):
    """Zeroing is not idempotent in general, as `test_zeroing_twice_may_be_more` shows.

    Read again, a feature is JumpReLU(pre - f W_dec W_enc); where all of a set are then silent, zeroing
    once more changes no bit.
    """
    sae, x, features = case
    part = sae.only(features)
    once = edited(part, x)
    w_enc, w_dec = part.w_enc.double(), part.w_dec.double()
    left = x.double() @ w_enc + part.b_enc.double() - encode(part, x).double() @ w_dec @ w_enc
    found = encode(part, once)
    clear = (left - part.threshold).abs() > 1e-3
    wanted = left.where(left > part.threshold, 0)
    assert torch.allclose(found[clear].double(), wanted[clear], atol=1e-3)
    silent = (found == 0).all(-1)
    assert torch.equal(edited(part, once)[silent], once[silent])


def test_zeroing_twice_may_be_more():
    sae = jumprelu(8, 32, 0)
    x = 3 * torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    once = edited(sae, x)
    assert (edited(sae, once) - once).abs().max() > 1


@given(cases(mock_saes()))
def test_projecting_directions_out_twice_is_projecting_them_out_once(case):
    sae, x, features = case
    span = directions(sae.only(features))
    once = edited(span, x, "direction")
    assert encode(span, once).abs().max() < 1e-4
    assert torch.allclose(edited(span, once, "direction"), once, atol=1e-4)


@given(cases(mock_saes()), st.sampled_from(KINDS), st.data())
def test_a_sets_delta_is_the_sum_of_its_parts_in_any_order(case, kind, data):
    sae, x, features = case

    def delta(some):
        return edited(sae.only(some), x, kind, 2.5) - x if len(some) else torch.zeros_like(x)

    whole = delta(features)
    cut = data.draw(st.integers(0, len(features)))
    shuffled = torch.tensor(data.draw(st.permutations(features.tolist())))
    assert torch.allclose(delta(features[:cut]) + delta(features[cut:]), whole, atol=1e-4)
    assert torch.allclose(delta(shuffled), whole, atol=1e-4)
    assert torch.allclose(sum(delta(one) for one in features[:, None]), whole, atol=1e-4)


@given(cases(ORTHONORMAL), st.data())
def test_orthonormal_sets_that_are_disjoint_may_be_edited_one_after_the_other(case, data):
    sae, x, features = case
    cut = data.draw(st.integers(0, len(features)))
    first, second = sae.only(features[:cut]), sae.only(features[cut:])
    together = edited(sae.only(features), x)
    assert torch.allclose(edited(second, edited(first, x)), together, atol=1e-5)
    assert torch.allclose(edited(first, edited(second, x)), together, atol=1e-5)


@given(cases(ORTHONORMAL), st.floats(-4, 4), seeds)
def test_what_a_linear_readout_of_the_orthonormal_mock_loses_is_known(case, value, seed):
    """Of r.x, by removing S: sum over S of relu(x.d_i) (r.d_i). Through the edits that runs use."""
    sae, x, features = case
    r = torch.randn(sae.width, generator=torch.Generator().manual_seed(seed)).double()
    kinds = (*KINDS, "no-op")
    edits = [
        Intervention(
            "top", "target", n, kind, "all", "correct", tuple((0, int(f)) for f in features), (),
            () if kind in ("zero", "no-op") else (value,) * len(features),
        )
        for n, kind in enumerate(kinds)
    ]  # fmt: skip
    which = torch.arange(len(kinds))
    edit = make_layer_edits(sae, 0, edits).edit(
        which, identity=torch.zeros(len(kinds), dtype=torch.bool)
    )
    each = x[:1].expand(len(kinds), -1, -1)
    moved = apply(edit, each, everywhere(each))
    d = sae.w_dec[features].double()
    f = (x[0].double() @ d.T).relu()
    change = {
        "zero": -f,
        "clamp": value - f,
        "scale": (value - 1) * f,
        "steer": value + 0 * f,
        "no-op": 0 * f,
    }
    for n, kind in enumerate(kinds):
        found = (moved[n].double() - x[0].double()) @ r
        assert torch.allclose(found, change[kind] @ (d @ r), atol=2e-4)
    assert torch.equal(moved[kinds.index("no-op")], x[0])
