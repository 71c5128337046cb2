"""Predicted effects: against finite differences, and against removing everything."""

import pytest
import torch

from harness.interventions.edits import Edit, apply
from harness.models.padded_batch import positions_of
from harness.runner.stages.attribute import attribute
from harness.store.tables.interventions import Interventions
from harness.store.tables.observations import Attributions
from tests.helpers.runs import a_run_context, run_into, sae
from tests.helpers.specs import ablation_plan


def test_attribution_is_the_slope_of_the_metric():
    """Against a finite difference: each feature shrunk by a little, at every edited position."""
    plan, run_context = ablation_plan(by="attribution", positions="prompt"), a_run_context()
    prompts = [prompt for prompt in plan.prompts if prompt.family == "f1"]
    columns = attribute(run_context, plan, plan.spec.ablations[0], prompts)
    predicted = {
        (int(layer), int(feature)): value
        for table in columns
        for layer, feature, value in zip(table.layer, table.feature, table.predicted, strict=True)
    }
    strongest = sorted(predicted, key=lambda key: -abs(predicted[key]))[:4]
    step = 1e-2
    for layer, feature in strongest:
        part = sae(layer).only(torch.tensor([feature]))
        total = 0.0
        for prompt in prompts:
            batch = run_context.model.batch(
                [run_context.model.tokens(prompt.text, prompt.correct, prompt.misconception)]
            )
            positions = positions_of(batch, "prompt")

            def shrink(x, scale, at=positions, part=part):
                return apply(Edit(part, scale - 1.0), x, at)

            (up,), (down,) = (
                run_context.model.forward(batch, {layer: lambda x, s=s: shrink(x, s)})
                for s in (1 - step, 1 + step)
            )
            total += float((up[0].sum() - up[1].sum()) - (down[0].sum() - down[1].sum())) / (
                2 * step
            )
        assert predicted[layer, feature] == pytest.approx(total, rel=0.05, abs=1e-3)


def predicted_by(run_context, plan, prompts):
    tables = attribute(run_context, plan, plan.spec.ablations[0], prompts)
    return {
        (int(layer), int(feature)): value
        for table in tables
        for layer, feature, value in zip(table.layer, table.feature, table.predicted, strict=True)
    }


def test_integrated_gradients_add_up_to_the_effect_of_removing_everything():
    """Completeness (Sundararajan et al. 2017, proposition 1), layer by layer."""
    select = {"top": 3, "by": "attribution", "method": "integrated-gradients", "steps": 200}
    plan, run_context = ablation_plan(select=select, positions="prompt"), a_run_context()
    prompts = [prompt for prompt in plan.prompts if prompt.family == "f1"]
    predicted = predicted_by(run_context, plan, prompts)
    for layer in (1, 2):
        total = 0.0
        for prompt in prompts:
            batch = run_context.model.batch(
                [run_context.model.tokens(prompt.text, prompt.correct, prompt.misconception)]
            )
            tap = {
                layer: lambda x, b=batch, n=layer: apply(
                    Edit(sae(n), -1.0), x, positions_of(b, "prompt")
                )
            }
            (was,), (now,) = run_context.model.forward(batch), run_context.model.forward(batch, tap)
            total += float((now[0].sum() - now[1].sum()) - (was[0].sum() - was[1].sum()))
        found = sum(value for (of, _), value in predicted.items() if of == layer)
        assert abs(total) > 0.1
        assert found == pytest.approx(total, rel=0.02, abs=0.02)


def test_one_step_of_integrated_gradients_is_the_slope_half_way():
    few = {"top": 3, "by": "attribution", "method": "integrated-gradients", "steps": 1}
    plan, run_context = ablation_plan(select=few, positions="prompt"), a_run_context()
    local = predicted_by(
        run_context, ablation_plan(by="attribution", positions="prompt"), plan.prompts
    )
    along = predicted_by(run_context, plan, plan.prompts)
    assert set(along) <= set(local)
    assert any(along[key] != pytest.approx(local[key], rel=0.05) for key in along)


def test_confirming_families_have_predictions_of_the_edited_features_alone(tmp_path):
    select = {"top": 3, "by": "attribution"}
    found = run_into(
        tmp_path / "a.duckdb", ablation_plan(select=select, positions="prompt"), a_run_context()
    )
    plan = ablation_plan(select=select, positions="prompt")
    names = Attributions.names()
    family, layer, feature = (names.index(n) for n in ("family", "layer", "feature"))
    by_side = {"discovery": set(), "confirmation": set()}
    for row in found["attributions"]:
        by_side[plan.sides[row[family]]].add((row[layer], row[feature]))
    edited = {
        (row[Interventions.names().index("layer")], row[Interventions.names().index("feature")])
        for row in found["interventions"]
    }
    assert by_side["confirmation"] <= edited < by_side["discovery"]
