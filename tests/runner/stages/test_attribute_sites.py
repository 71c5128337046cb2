"""Predicted effects at every site and of every kind of dictionary, against finite differences."""

import dataclasses
from functools import partial

import pytest
import torch

from harness.interventions.edits import Edit, apply
from harness.models.padded_batch import positions_of
from harness.runner.stages.attribute import attribute
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
        for layer, feature, value in zip(table.layer, table.feature, table.predicted, strict=True)
    }


def difference(tools, prompts, layer, edits):
    """How far the metric is apart under two edits of a layer, summed over prompts."""
    total = 0.0
    for prompt in prompts:
        row = tools.model.tokens(prompt.text, prompt.correct, prompt.misconception)
        batch = tools.model.batch([row])
        at = positions_of(batch, "prompt")
        (up,), (down,) = (
            tools.model.forward(batch, {layer: lambda x, edit=edit: apply(edit, x, at)})  # noqa: B023 called at once
            for edit in edits
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
