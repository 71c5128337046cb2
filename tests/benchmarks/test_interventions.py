"""A slice of the interventions' benchmark: every way that is installed finds what ours finds."""

from importlib.util import find_spec

import pytest
import torch

from benchmarks.intervention_jobs import (
    MARGIN,
    Size,
    active_share,
    between,
    firing,
    gemma_2_2b,
    memory,
    raw_values,
)
from benchmarks.interventions import (
    FAMILIES,
    a_third_active,
    capture,
    families,
    in_bfloat16,
    organism,
    others,
    small,
)
from harness.testing.models import random_sae

TINY = Size(layers=5, width=64, sae=256, prompts=8, ablated=4)
HERE = ["a batched hooked forward a feature"]
HERE += ["nnsight"] if find_spec("nnsight") else []
HERE += ["SAELens"] if find_spec("sae_lens") else []

pytestmark = pytest.mark.filterwarnings("ignore") if len(HERE) > 1 else []  # the peers' own


def test_every_way_to_ablate_agrees_with_ours(figures):
    small(True, TINY)
    shown = figures()
    for name in HERE:
        assert shown[f"small: difference from {name}"]["holds"]
        assert shown[f"small: {name} / ours"]["value"] > 0
    assert shown["small: a forward a cell / ours"]["value"] > 0


def test_other_families_agree_with_their_hooks_and_their_gain_is_shown(figures):
    families(True, TINY)
    shown = figures()
    for family in ("gemma2", *FAMILIES):
        assert shown[f"small: difference from {family}'s hooks"]["holds"]
    for family in FAMILIES:
        assert shown[f"families: gain on {family} / on gemma2"]["value"] > 0


def test_a_way_that_ablates_something_else_is_seen(figures, monkeypatch):
    plain = others

    def off(*arguments):
        ways = plain(*arguments)
        ablations = ways[HERE[0]].tool.ablations
        ways[HERE[0]].tool.ablations = lambda *of: ablations(*of) + 1e-3
        return ways

    monkeypatch.setattr("benchmarks.interventions.others", off)
    small(True, TINY)
    assert not figures()[f"small: difference from {HERE[0]}"]["holds"]


def test_every_way_to_capture_agrees_with_ours(figures):
    capture(True, TINY)
    shown = figures()
    for name in HERE:
        assert shown[f"capture: difference from {name}"]["holds"]
        assert shown[f"capture: fires here or in {name} alone"]["holds"]


def test_sets_of_features_of_the_organism_do_what_a_forward_a_cell_shows(figures):
    organism(True, sets=4)
    shown = figures()
    assert shown["organism: difference from a forward a cell"]["holds"]
    assert shown["organism: a forward a cell / ours"]["value"] > 0


def test_what_is_done_at_full_size_can_be_done_to_a_small_model(figures):
    shape = {"vocab_size": 512, "hidden_size": 256, "intermediate_size": 512, "head_dim": 32}
    network = gemma_2_2b(**shape, num_hidden_layers=6, query_pre_attn_scalar=32)
    in_bfloat16(network, 2, 256, quick=True)
    shown = figures()
    assert shown["large: peak memory beyond model + 2 SAEs"]["value"] > 0
    assert len([name for name in shown if name.startswith("large: a forward a cell / ours")]) == 2
    assert shown["large: our rounding / a hooked forward's"]["holds"]


def test_what_a_model_and_two_saes_weigh_is_counted():
    sae = random_sae()
    network = torch.nn.Linear(3, 2)
    floats = 2 * sae.width * sae.features + 2 * sae.features + sae.width
    assert memory(network, sae) == 4 * (3 * 2 + 2 + 2 * floats)


def test_no_value_is_near_its_threshold_and_a_third_of_the_cells_fire():
    job = a_third_active(Size(layers=5, width=64, sae=256))
    sae = job.run_context.saes(job.layer).only(torch.tensor(job.features))
    assert float((raw_values(job, sae) - sae.threshold).abs().min()) >= MARGIN
    assert active_share(job) == pytest.approx(1 / 3, abs=0.05)


def test_a_threshold_is_in_the_widest_gap_where_about_so_many_fire():
    values = torch.arange(60.0)[:, None]  # a prompt each, of one token
    values[42:] += 5
    assert between(values, 1 / 3) == pytest.approx((41 + 47) / 2)


def test_values_too_close_for_a_threshold_are_refused():
    values = 3 + 1e-4 * torch.arange(60.0)[:, None, None]
    with pytest.raises(AssertionError, match="from its threshold"):
        firing(random_sae(), values, torch.tensor([0]), 1 / 3)
