"""What a run holds in memory at a time."""

import dataclasses
import gc
import weakref

from harness.runner.resources import sae_provider
from harness.testing.models import random_sae
from tests.helpers.runs import a_run_context, run_into
from tests.helpers.specs import ablation_plan


def test_never_more_than_two_saes_are_resident(tmp_path, monkeypatch):
    read, most = [], []

    def load(path, width, layer, checked):
        made = random_sae(layer, width)
        read.append(weakref.ref(made.w_enc))
        gc.collect()
        most.append(sum(weights() is not None for weights in read))
        return made

    monkeypatch.setattr("harness.runner.resources.load_sae", load)
    for select in ({"by": "attribution", "top": 3}, {"by": "contrast", "top": 3}):
        plan = ablation_plan(select=select, positions="prompt", layers=(0, 1, 2, 3))
        plan = dataclasses.replace(plan, target=dataclasses.replace(plan.target, width=32))
        saes = sae_provider(plan.target, {layer: layer for layer in range(4)}, "cpu")
        run_context = dataclasses.replace(a_run_context(), saes=saes)
        run_into(tmp_path / f"{select['by']}.duckdb", plan, run_context)
    assert len(most) > 20
    assert max(most) == 2
