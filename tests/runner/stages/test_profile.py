"""What features do where an ablation edits: each position of each prompt, one at a time, says the same."""

import dataclasses
import math
import re

import numpy as np
import pytest

from harness.models.hooks import capture
from harness.models.padded_batch import positions_of
from harness.models.prompt_rows import PromptRows
from harness.runner import added_stages, checkpoint
from harness.sae import encode
from tests.helpers.added import profile_of_run
from tests.helpers.runs import a_run_context, quiet
from tests.helpers.specs import ablation_plan, family_lines

LAYERS = (1, 2)


def made(file=None, batch_size=5, progress=quiet, families=6, texts=lambda text: text, **fields):
    """The rows of a profile by layer and feature, and what they are of."""
    plan = ablation_plan(family_lines(families), **fields)
    asked = (dataclasses.replace(one, text=texts(one.text)) for one in plan.prompts)
    plan = dataclasses.replace(plan, layers=LAYERS, prompts=tuple(asked))
    (ablation,) = plan.ablations
    units = plan.units("profile", ablation.name)
    ids = [prompt for unit in units for prompt in unit.prompts]
    prompts = [prompt for prompt in plan.prompts if prompt.id in ids]
    table = profile_of_run(plan, a_run_context(batch_size), file, progress)
    rows = {(row["layer"], row["feature"]): row for row in table.rows()}
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
                assert math.isnan(row["mean_value"])
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


def test_a_profile_in_parts_is_that_of_a_whole():
    """Prompts far apart share a text: it is in one part, and counted once."""

    def texts(text):
        return re.sub(r"Thing (\d+)", lambda number: f"Thing {int(number[1]) % 3}", text)

    for kind in ("zero", "mean"):
        of = {"families": 16, "texts": texts, "kind": kind}
        whole, *_ = made(batch_size=50, **of)
        parts, _, _, prompts = made(batch_size=1, **of)
        assert len({prompt.asked for prompt in prompts}) < len(prompts) / 2
        assert parts.keys() == whole.keys()
        for feature, row in parts.items():
            for name in ("firing_rate", "mean_activation", "mean_value"):
                assert row[name] == pytest.approx(whole[feature][name], rel=1e-5, nan_ok=True)


# Heard of are the beginning, three parts of each variant, and two layers.
@pytest.mark.parametrize("stop", [2, 3, 5, 7, 8, 9])
def test_a_profile_that_is_stopped_anywhere_goes_on_with_its_sums(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    told, parts = [], []
    honest = added_stages.profile
    monkeypatch.setattr(added_stages, "profile", lambda *a, **k: parts.append(1) or honest(*a, **k))

    def hear(stage, done, total):
        told.append(done)
        if len(told) == stop:
            raise KeyboardInterrupt

    of = {"kind": "mean", "positions": "prompt", "batch_size": 1, "families": 12}
    file = tmp_path / "r.duckdb"
    with pytest.raises(KeyboardInterrupt):
        made(file, progress=hear, **of)
    again, *_ = made(file, progress=hear, **of)
    assert len(parts) == 6 + (stop <= 7)
    assert told[-1] == 12
    parts.clear()
    whole, *_ = made(**of)
    assert again == whole
    assert len(parts) == 6
