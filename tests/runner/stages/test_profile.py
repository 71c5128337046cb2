"""What features do where an ablation edits: each position of each prompt, one at a time, says the same."""

import dataclasses

import numpy as np
import pytest

from harness.models.hooks import capture
from harness.models.padded_batch import positions_of
from harness.models.prompt_rows import PromptRows
from harness.runner import checkpoint
from harness.runner.checkpoint import Checkpoint
from harness.runner.stages.profile import profile
from harness.sae import encode
from tests.helpers.runs import a_run_context
from tests.helpers.specs import ablation_plan

LAYERS = (1, 2)


def made(checkpoint=None, batch_size=5, together=64, **fields):
    """The rows of a profile by layer and feature, and what they are of."""
    plan = ablation_plan(**fields)
    plan = dataclasses.replace(plan, layers=LAYERS)
    (ablation,) = plan.ablations
    units = plan.units("profile", ablation.name)
    ids = [prompt for unit in units for prompt in unit.prompts]
    prompts = [prompt for prompt in plan.prompts if prompt.id in ids]
    context = a_run_context(batch_size)
    more = {} if checkpoint is None else {"checkpoint": checkpoint}
    tables = profile(context, plan, ablation, prompts, together=together, **more)
    rows = {(row["layer"], row["feature"]): row for table in tables for row in table.rows()}
    return rows, plan, ablation, prompts


def values_at(prompts, positions, layer):
    """Every feature's values at every edited position of these prompts, (n_positions, features)."""
    context = a_run_context()
    found = []
    for row in PromptRows(context.model, prompts).tokens:
        batch = context.model.batch([row])
        streams = {}
        context.model.forward(batch, capture([layer], streams, positions_of(batch, positions)))
        found.append(encode(context.saes(layer), streams[layer]).numpy())
    return np.concatenate(found)


@pytest.mark.parametrize("positions", ["all", "prompt", "last_prompt_token", (1, -1)])
def test_rates_and_means_are_of_the_edited_positions_of_the_edited_variant(positions):
    rows, plan, _, prompts = made(positions=positions, variant="misconception")
    assert {prompt.label for prompt in prompts} == {"misconception"}
    assert {plan.sides[prompt.family] for prompt in prompts} == {"discovery"}
    for layer in LAYERS:
        values = values_at(prompts, positions, layer)
        fires = values > 0
        assert {f for at, f in rows if at == layer} == set(np.flatnonzero(fires.any(0)).tolist())
        for (at, feature), row in rows.items():
            if at == layer:
                own = values[:, feature]
                assert row["firing_rate"] == pytest.approx(fires[:, feature].mean())
                assert row["mean_activation"] == pytest.approx(own[own > 0].mean(), rel=1e-5)
                assert row["mean_value"] is None
                norm = a_run_context().saes(layer).w_dec[feature].norm()
                assert row["decoder_norm"] == pytest.approx(float(norm))


def test_a_mean_is_that_of_both_variants_at_the_edited_positions():
    at = "last_prompt_token"
    rows, plan, _, prompts = made(kind="mean", positions=at)
    both = plan.of("discovery")
    assert len(both) == 2 * len(prompts)
    for layer in LAYERS:
        values, edited = values_at(both, at, layer), values_at(prompts, at, layer)
        assert {f for of, f in rows if of == layer} == set(
            np.flatnonzero((values > 0).any(0)).tolist()
        )
        for (of, feature), row in rows.items():
            if of == layer:
                assert row["mean_value"] == pytest.approx(values[:, feature].mean(), rel=1e-5)
                assert row["firing_rate"] == pytest.approx((edited[:, feature] > 0).mean())


def test_a_profile_that_was_interrupted_goes_on_with_its_sums(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    whole, *_ = made(together=1, kind="mean", positions="prompt")
    kept = Checkpoint(tmp_path / "sums.npz")

    class Stopped(Checkpoint):
        saves = 0

        def save(self, arrays):
            super().save(arrays)
            Stopped.saves += 1
            if Stopped.saves == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(Stopped(tmp_path / "sums.npz"), together=1, kind="mean", positions="prompt")
    assert int(kept.load()["groups"]) == 3
    again, *_ = made(kept, together=1, kind="mean", positions="prompt")
    assert again == whole
