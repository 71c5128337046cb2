"""Predicted effects: against finite differences, and against removing everything."""

from collections import defaultdict

import pytest
import torch

from harness.interventions.edits import Edit, apply
from harness.models.padded_batch import positions_of
from harness.runner.predicted_effects import Slopes
from harness.runner.stages.attribute import attribute
from harness.store.database import Store
from harness.store.queries import saved_queries
from harness.store.tables.interventions import Interventions
from harness.store.tables.observations import AttributionErrors, Attributions
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
        if isinstance(table, Attributions)
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
        if isinstance(table, Attributions)
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


def test_confirming_families_have_the_sum_of_every_feature(tmp_path):
    """The error's share of a family is of all that the layer does there, and not of the edited features."""
    plan = ablation_plan(select={"top": 3, "by": "attribution"}, positions="prompt")
    tables = run_into(tmp_path / "a.duckdb", plan, a_run_context())
    names = AttributionErrors.names()
    found = [dict(zip(names, row, strict=True)) for row in tables["attribution_errors"]]
    families = {prompt.family for prompt in plan.prompts}
    assert {(row["family"], row["layer"]) for row in found} == {
        (family, layer) for family in families for layer in plan.layers
    }
    assert len(found) == len(families) * len(plan.layers)
    confirming = [row for row in found if plan.sides[row["family"]] == "confirmation"]
    edited = [p for p in plan.prompts if p.label == "misconception"]
    prompts = [p for p in edited if p.family == confirming[0]["family"]]
    tables = attribute(a_run_context(), plan, plan.spec.ablations[0], prompts)
    alone = [row for one in tables if isinstance(one, AttributionErrors) for row in one.rows()]
    own = [row for row in confirming if row["family"] == prompts[0].family]
    for row, same in zip(own, alone, strict=True):
        assert row["layer"] == same["layer"]
        assert row["features"] == pytest.approx(same["features"], rel=1e-4, abs=1e-5)


def slow_parts(sae, held, slope):
    """The slope times each part of one position's stream, number by number in float64."""
    held, slope = held.double().tolist(), slope.double().tolist()
    w_enc, w_dec = sae.w_enc.double().tolist(), sae.w_dec.double().tolist()
    left, constant, features = list(held), 0.0, 0.0
    for i, bias in enumerate(sae.b_dec.double().tolist()):
        constant += slope[i] * bias
        left[i] -= bias
    for f, row in enumerate(w_dec):
        before = float(sae.b_enc[f]) + sum(x * w_enc[i][f] for i, x in enumerate(held))
        if before > float(sae.threshold[f]):
            for i, weight in enumerate(row):
                features += slope[i] * before * weight
                left[i] -= before * weight
    return features, sum(s * x for s, x in zip(slope, left, strict=True)), constant


def test_what_no_feature_accounts_for_is_the_slope_times_what_the_sae_leaves():
    """Position by position, against sums of single numbers."""
    random = torch.Generator().manual_seed(3)
    slopes = Slopes(
        3 * torch.randn(6, 32, generator=random),
        torch.randn(6, 32, generator=random),
        torch.arange(6),
    )
    by_feature, others = slopes.effects(sae(1), torch.arange(6))
    for at in range(6):
        features, error, constant = slow_parts(sae(1), slopes.held[at], slopes.slope[at])
        assert abs(features) > 1e-3
        assert abs(error) > 1e-3
        assert float(by_feature[at].sum()) == pytest.approx(features, rel=1e-3, abs=1e-3)
        assert others[at].tolist() == pytest.approx([error, constant], rel=1e-3, abs=1e-3)
        whole = float(slopes.held[at].double() @ slopes.slope[at].double())
        assert features + error + constant == pytest.approx(whole)


def test_the_query_shares_by_the_sizes_of_each_family(tmp_path):
    """Against plain sums over the stored rows, side by side."""
    path = tmp_path / "a.duckdb"
    plan = ablation_plan(select={"top": 3, "by": "attribution"}, positions="prompt")
    tables = run_into(path, plan, a_run_context())
    names = AttributionErrors.names()
    by_side = defaultdict(list)
    for row in tables["attribution_errors"]:
        one = dict(zip(names, row, strict=True))
        by_side[one["layer"], plan.sides[one["family"]]].append(one)
    query = saved_queries()["attribution_errors"]
    with Store.open(path) as store:
        columns, rows = store.query(query.sql, {"run": "r"})
    assert len(rows) == len(by_side) == 2 * len(plan.layers)
    for row in (dict(zip(columns, values, strict=True)) for values in rows):
        own = by_side[row["layer"], row["split"]]
        error, features = (sum(abs(one[name]) for one in own) for name in ("error", "features"))
        assert row["error_share"] == pytest.approx(error / (error + features))
        assert row["families"] == len(own) > 1
        assert row["error"] == pytest.approx(sum(one["error"] for one in own) / len(own))
