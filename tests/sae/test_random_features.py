"""Random dictionaries: their thresholds beside slow code, and that parts of them are the whole's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.sae import encode
from harness.sae.random_features import BLOCK, random_blocks, random_features, thresholds_of
from harness.testing.models import random_sae


def wide():
    """More features than are drawn together, of lengths of their own."""
    one = random_sae(0)
    times = -(-(BLOCK + 3) // one.features)
    lengths = torch.linspace(0.5, 2.0, times * one.features)
    return replace(
        one,
        w_enc=one.w_enc.repeat(1, times) * lengths,
        w_dec=one.w_dec.repeat(times, 1) * lengths[:, None],
        b_enc=one.b_enc.repeat(times),
        threshold=one.threshold.repeat(times),
    )


def test_features_that_are_drawn_again_are_those_of_the_whole():
    sae = wide()
    parts = list(random_blocks(sae, 7))
    assert len(parts) == 2
    columns = torch.cat([block.w_enc for _, block in parts], 1)
    rows = torch.cat([block.w_dec for _, block in parts])
    torch.testing.assert_close(columns.norm(dim=0), sae.w_enc.norm(dim=0))
    torch.testing.assert_close(rows.norm(dim=1), sae.w_dec.norm(dim=1))
    chosen = [BLOCK + 1, 4, BLOCK - 1]
    some = random_features(sae, 7, chosen, torch.tensor([0.0, 1.0, torch.inf]))
    assert torch.equal(some.w_enc, columns[:, chosen])
    assert torch.equal(some.w_dec, rows[chosen])
    other = random_features(sae, 8, chosen, torch.zeros(3))
    assert not torch.allclose(other.w_enc, some.w_enc, atol=0.1)


@pytest.mark.parametrize("top_k", [None, 3])
def test_a_value_is_what_is_read_beyond_the_threshold_and_a_top_k_takes_none_away(top_k):
    sae = replace(random_sae(0), top_k=top_k)
    thresholds = torch.tensor([-0.5, 0.2, torch.inf, 1.0, 0.0])
    some = random_features(sae, 1, range(5), thresholds)
    held = torch.randn(20, sae.width, generator=torch.Generator().manual_seed(2))
    found = encode(some, held).double().numpy()
    read = held.double().numpy() @ some.w_enc.double().numpy()
    np.testing.assert_allclose(found, np.maximum(read - thresholds.numpy(), 0), atol=1e-5)
    assert (found[:, 0] > 0).any()
    assert not found[:, 2].any()


def test_what_is_read_of_a_transcoder_is_drawn_apart_from_what_is_written():
    sae = replace(random_sae(0), site="transcoder")
    (_, block), *_ = random_blocks(sae, 3)
    along = torch.nn.functional.cosine_similarity(block.w_enc.T, block.w_dec)
    assert along.abs().mean() < 0.5
    (_, same), *_ = random_blocks(random_sae(0), 3)
    assert torch.nn.functional.cosine_similarity(same.w_enc.T, same.w_dec).min() > 0.999


def nearest(values, active):
    """How many may be above a threshold: of the gaps between groups of alike values the nearest, by hand."""
    ordered = sorted(values, reverse=True)
    spread = ordered[0] - ordered[-1]
    gaps = [i for i in range(1, len(ordered)) if ordered[i - 1] - ordered[i] > 1e-5 * spread]
    return min([*gaps, len(ordered)], key=lambda i: (abs(i - active), i))


@pytest.mark.parametrize("seed", range(3))
def test_a_threshold_lets_through_as_many_as_the_nearest_gap_does(seed):
    random = np.random.default_rng(seed)
    values = random.integers(-4, 5, (30, 12)) + random.normal(0, 1e-8, (30, 12))
    values[:, :4] = random.normal(0, 1, (30, 4))
    active = np.r_[0, 7, 30, 1, random.integers(1, 31, 8)]
    found = thresholds_of(torch.from_numpy(values), torch.from_numpy(active))
    assert torch.isinf(found[0])
    for j in range(1, 12):
        wanted = nearest(values[:, j].tolist(), active[j])
        assert (values[:, j] > float(found[j])).sum() == wanted
    assert [(values[:, j] > float(found[j])).sum() for j in (1, 2, 3)] == [7, 30, 1]


def test_a_feature_that_reads_the_same_everywhere_is_never_active():
    assert torch.isinf(thresholds_of(torch.ones(5, 1), torch.tensor([3]))).all()


@pytest.mark.parametrize("active", [50_000, 150_000, 299_000])
def test_of_dense_values_as_many_are_let_through(active):
    read = torch.randn(300_000, 1, generator=torch.Generator().manual_seed(1))
    found = thresholds_of(read, torch.tensor([active]))
    assert abs(int((read > found).sum()) - active) < 30
