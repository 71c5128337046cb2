"""Edits as large as a target's along one direction: their length at every token, and where they point."""

import dataclasses

import numpy as np
import pytest
import torch

from harness.interventions.edits import apply
from harness.interventions.layer_edits import make_layer_edits
from harness.specs.intervention import Intervention
from harness.testing.models import random_sae

FEATURES = ((0, 3), (0, 5), (0, 8), (1, 2))
KINDS = [("zero", ()), ("mean", (0.7, 0.1, 2.0, 1.0)), ("scale", (3.0,) * 4), ("steer", (-2.0,) * 4),
         ("direction", ())]  # fmt: skip


def the_three(kind="zero", values=()):
    """A target, its baseline, and a no-op."""
    target = Intervention("a", "target", 0, kind, "all", "correct", FEATURES, (), values)
    baseline = dataclasses.replace(target, role="baseline", baseline="mean-difference")
    return [target, baseline, dataclasses.replace(target, role="no-op")]


def edited(interventions, sae, along, layer=0):
    """Each row's stream, one with each intervention: before, after."""
    stream = torch.randn(1, 7, sae.width, generator=torch.Generator().manual_seed(1)) * 3
    before = stream.expand(len(interventions), -1, -1)
    made = make_layer_edits(sae, layer, interventions, {"mean-difference": {layer: along}})
    identity = torch.tensor([one.role == "no-op" for one in interventions])
    edit = made.edit(torch.arange(len(interventions)), identity=identity)
    inside = torch.ones(before.shape[:2], dtype=torch.bool)
    inside[:, 2] = False
    return before, apply(edit, before, inside)


@pytest.mark.parametrize("kind, values", KINDS)
def test_it_is_as_long_as_the_target_at_every_token_and_points_its_way(kind, values):
    sae = random_sae(0)
    along = torch.nn.functional.normalize(torch.arange(1.0, sae.width + 1), dim=0)
    before, after = edited(the_three(kind, values), sae, along)
    moved = (after - before).double().numpy()
    target, baseline, none = np.sqrt((moved**2).sum(-1))
    assert (target > 0.1).any()
    np.testing.assert_allclose(baseline, target, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(moved[1] @ along.numpy(), target, rtol=1e-5, atol=1e-5)
    assert target[2] == baseline[2] == 0
    assert not none.any()


def test_what_is_no_baseline_is_edited_as_without_one_to_the_bit():
    sae = random_sae(0)
    along = torch.nn.functional.normalize(torch.ones(sae.width), dim=0)
    target, _, none = the_three()
    _, beside = edited(the_three(), sae, along)
    _, alone = edited([target, none], sae, along)
    assert torch.equal(beside[[0, 2]], alone)
    made = make_layer_edits(sae, 0, [target, none])
    assert made.along is None


def test_each_layer_has_its_own_direction_and_none_where_nothing_is_edited():
    _, baseline, _ = the_three()
    one, other = torch.eye(random_sae(0).width)[:2]
    directions = {"mean-difference": {0: one, 1: other}}
    made = [make_layer_edits(random_sae(n), n, [baseline], directions).along for n in (0, 1, 2)]
    assert torch.equal(made[0], one[None])
    assert torch.equal(made[1], other[None])
    assert made[2] is None


def test_a_baseline_has_an_id_of_its_own_and_others_have_theirs_still():
    target, baseline, _ = the_three()
    probe = dataclasses.replace(baseline, baseline="probe")
    assert len({target.id, baseline.id, probe.id}) == 3
    assert (
        Intervention("a", "target", 0, "zero", "all", "correct", ((0, 3),)).id == "e390d685792da418"
    )
