"""Predicted effects at every site and of every kind of dictionary, against finite differences."""

import dataclasses
from functools import partial

import pytest
import torch

from harness.interventions.edits import Edit, apply
from harness.models.padded_batch import positions_of
from harness.runner.stages.attribute import attribute
from harness.sae import decode, encode
from harness.store.tables.observations import AttributionErrors, Attributions
from tests.helpers.random_dictionaries import dictionary
from tests.helpers.runs import a_run_context
from tests.helpers.specs import ablation_plan

SITES = ("resid_post", "resid_pre", "mlp_out", "attn_out", "attn_z", "transcoder")


def tools_at(site, kind):
    tools, of = a_run_context(), partial(dictionary, site=site, kind=kind)
    return dataclasses.replace(tools, model=tools.model.at(site), saes=of), of


def predicted_by(tools, plan, prompts):
    return {
        (int(layer), int(feature)): value
        for table in attribute(tools, plan, plan.spec.ablations[0], prompts)
        if isinstance(table, Attributions)
        for layer, feature, value in zip(table.layer, table.feature, table.predicted, strict=True)
    }


def difference(tools, prompts, layer, edits):
    """How far the metric is apart under two edits of a layer, summed over prompts."""
    return moved(tools, prompts, layer, [partial(apply, edit) for edit in edits])


def moved(tools, prompts, layer, changes):
    """The same of changes that are given what a site holds, and the positions."""
    total = 0.0
    for prompt in prompts:
        row = tools.model.tokens(prompt.text, prompt.correct, prompt.misconception)
        batch = tools.model.batch([row])
        at = positions_of(batch, "prompt")
        (up,), (down,) = (
            tools.model.forward(batch, {layer: lambda x, change=change: change(x, at)})  # noqa: B023 called at once
            for change in changes
        )
        total += float((up[0].sum() - up[1].sum()) - (down[0].sum() - down[1].sum()))
    return total


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", ["topk of a normed stream", "constant_norm_rescale"])
def test_attribution_is_the_slope_of_the_metric_at_the_site(site, kind):
    tools, of = tools_at(site, kind)
    plan = ablation_plan(by="attribution", positions="prompt")
    prompts = [prompt for prompt in plan.prompts if prompt.family == "f1"]
    predicted = predicted_by(tools, plan, prompts)
    step = 1e-2
    for layer, feature in sorted(predicted, key=lambda key: -abs(predicted[key]))[:3]:
        part = of(layer).only(torch.tensor([feature]))
        edits = Edit(part, -step), Edit(part, step)
        total = difference(tools, prompts, layer, edits) / (2 * step)
        assert abs(total) > 1e-2
        assert predicted[layer, feature] == pytest.approx(total, rel=0.05, abs=1e-3)


@pytest.mark.parametrize("site", SITES)
def test_integrated_gradients_add_up_at_the_site(site):
    """To the effect of removing every feature of the layer there; 40 steps come to within a tenth."""
    tools, of = tools_at(site, "topk of a normed stream")
    select = {"top": 3, "by": "attribution", "method": "integrated-gradients", "steps": 40}
    plan = ablation_plan(select=select, positions="prompt")
    prompts = [prompt for prompt in plan.prompts if prompt.family == "f1"]
    predicted = predicted_by(tools, plan, prompts)
    for layer in (1, 2):
        total = difference(tools, prompts, layer, (Edit(of(layer), -1.0), Edit(of(layer), 0.0)))
        found = sum(value for (of_layer, _), value in predicted.items() if of_layer == layer)
        assert abs(total) > 1e-2
        assert found == pytest.approx(total, rel=0.1, abs=0.05)


def along(share, part_of, held, at):
    """What a site holds, with a share of a part more in what is written at the positions."""
    part = part_of(held)
    width = part.shape[-1]
    added = torch.cat([held[..., :-width], held[..., -width:] + share * part], -1)
    return torch.where(at[..., None], added, held)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", ["topk of a normed stream", "constant_norm_rescale"])
def test_features_error_and_constant_are_what_the_slope_says_of_the_whole_stream(site, kind):
    """All that is written shrunk by a little, and the error by itself, as finite differences."""
    tools, of = tools_at(site, kind)
    plan = ablation_plan(by="attribution", positions="prompt")
    prompts = [prompt for prompt in plan.prompts if prompt.family == "f1"]
    tables = attribute(tools, plan, plan.spec.ablations[0], prompts)
    errors = [row for one in tables if isinstance(one, AttributionErrors) for row in one.rows()]
    predicted = predicted_by(tools, plan, prompts)
    step = 1e-2
    assert [row["layer"] for row in errors] == list(plan.layers)
    for row in errors:
        sae, parts = of(row["layer"]), ("features", "error", "constant")

        def stream(held, sae=sae):
            return held[..., -sae.w_dec.shape[-1] :]

        def error(held, sae=sae, stream=stream):
            return stream(held) - decode(sae, encode(sae, held), held)

        whole, alone = (
            moved(
                tools,
                prompts,
                row["layer"],
                [partial(along, -step, part), partial(along, step, part)],
            )
            / (2 * step)
            for part in (stream, error)
        )
        # Heads whose outputs are normed before they are added have a slope of 0 along them.
        assert site == "attn_z" or abs(whole) > 1e-2
        assert all(abs(row[name]) > 1e-2 for name in ("features", "error"))
        assert sum(row[name] for name in parts) == pytest.approx(whole, rel=0.05, abs=5e-3)
        assert row["error"] == pytest.approx(alone, rel=0.05, abs=5e-3)
        own = sum(value for (layer, _), value in predicted.items() if layer == row["layer"])
        assert row["features"] == pytest.approx(own, rel=1e-4, abs=1e-5)
