"""Edits as large as a target's in random directions: their length, their angles, and where they point."""

import numpy as np
import torch

from harness.interventions.edits import Edit, apply, rotated
from harness.interventions.layer_edits import make_layer_edits
from harness.specs.intervention import Intervention
from harness.testing.models import random_sae


def some(features=(3, 5, 8)):
    return random_sae(0).only(torch.tensor(features))


def test_whatever_is_added_is_as_long_at_every_token_and_points_elsewhere():
    sae = some()
    stream = torch.randn(2, 6, sae.w_dec.shape[1], generator=torch.Generator().manual_seed(1)) * 3
    everywhere = torch.ones(2, 6, dtype=torch.bool)
    moved = apply(Edit(sae, -1.0), stream, everywhere) - stream
    turned = apply(Edit(rotated(sae, 7), -1.0), stream, everywhere) - stream
    size = moved.norm(dim=-1)
    assert (size > 0).any()
    np.testing.assert_allclose(turned.norm(dim=-1), size, atol=1e-4)
    active = size > 0
    cosine = torch.nn.functional.cosine_similarity(moved[active], turned[active], dim=-1)
    assert cosine.abs().max() < 0.9


def test_it_fires_as_before_and_keeps_the_angles():
    sae, turned = some(), rotated(some(), 7)
    assert torch.equal(turned.w_enc, sae.w_enc)
    assert torch.equal(turned.threshold, sae.threshold)
    np.testing.assert_allclose(turned.w_dec @ turned.w_dec.T, sae.w_dec @ sae.w_dec.T, atol=1e-5)


def test_a_seed_is_a_direction_and_another_seed_another():
    assert torch.equal(rotated(some(), 7).w_dec, rotated(some(), 7).w_dec)
    assert not torch.allclose(rotated(some(), 7).w_dec, rotated(some(), 8).w_dec, atol=0.1)


def test_every_direction_is_as_likely():
    """Of uniform directions in n dimensions each coordinate has mean 0 and mean square 1 / n."""
    sae = some((3,))
    length = sae.w_dec.norm()
    drawn = np.array([(rotated(sae, seed).w_dec[0] / length).numpy() for seed in range(2000)])
    n = drawn.shape[1]
    assert np.abs(drawn.mean(axis=0)).max() < 5 / np.sqrt(n * 2000)
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / n, rtol=0.25)


def test_rows_that_depend_on_each_other_keep_their_lengths():
    twice = some((3, 3))
    np.testing.assert_allclose(
        rotated(twice, 2).w_dec.norm(dim=1), twice.w_dec.norm(dim=1), rtol=1e-5
    )


def test_a_layer_has_each_rotated_set_beside_the_features_themselves():
    sae = random_sae(0)
    target = Intervention("a", "target", 0, "zero", "all", "correct", ((0, 3), (0, 5)))
    others = [
        Intervention("a", "rotated", i, "zero", "all", "correct", target.features) for i in (0, 1)
    ]
    made = make_layer_edits(sae, 0, [target, *others])
    own, first, second = (made.sae.w_dec[made.members[i]] for i in range(3))
    assert torch.equal(own, sae.w_dec[[3, 5]])
    assert not torch.allclose(first, own, atol=0.01)
    assert not torch.allclose(first, second, atol=0.01)
    assert torch.equal(made.gain, torch.full((3, 2), -1.0))
