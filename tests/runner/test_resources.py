"""What a run holds in memory at a time."""

import dataclasses
import gc
import json
import weakref

import numpy as np
import pytest

from harness.errors import CannotRun
from harness.runner.context import How
from harness.runner.resources import acquire, sae_provider
from harness.specs.targets import load_targets
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


def test_what_the_catalogue_says_of_the_l0_is_known_to_the_sae(monkeypatch):
    """Gemma Scope 2's files are called medium; how many features that means is in the list."""
    target = load_targets()["gemma-3-270m"]
    monkeypatch.setattr("harness.runner.resources.load_sae", lambda *_, **__: random_sae(0, 640))
    sae = sae_provider(target, dict.fromkeys(range(18)), "cpu", lambda _: None)(9)
    assert sae.l0 == target.entry(9).l0 > 0


@pytest.mark.parametrize("place", ["known", "folder", "hub"])
def test_an_sae_of_another_width_is_refused_before_the_model_is_fetched_or_loaded(
    tmp_path, monkeypatch, place
):
    """The file of layer 1 is of another model; headers tell, and a few bytes of configuration."""
    for layer, width in ((0, 128), (1, 64)):
        sae = random_sae(layer, width)
        (tmp_path / f"layer_{layer}").mkdir()
        np.savez(
            tmp_path / f"layer_{layer}" / "params.npz",
            W_enc=sae.w_enc, b_enc=sae.b_enc, W_dec=sae.w_dec, b_dec=sae.b_dec, threshold=sae.threshold,
        )  # fmt: skip
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"text_config": {"hidden_size": 128}}))
    target = dataclasses.replace(
        load_targets()["organism"],
        sae=str(tmp_path),
        files="layer_{layer}/params.npz",
        width=128 if place == "known" else None,
        model="a/model" if place == "hub" else str(tmp_path),
    )
    monkeypatch.setattr("harness.models.model_files.hub.cached", lambda *_: config)
    monkeypatch.setattr("harness.runner.resources.model_files", lambda _: pytest.fail("fetched"))
    how = {"device": "cpu", "how": How(), "mock_if_missing": True, "say": print}
    with pytest.raises(CannotRun, match=r"W_enc has shape \(64, 64\), .* model of width 128"):
        acquire(target, (0, 1), **how)
    with pytest.raises(pytest.fail.Exception, match="fetched"):
        acquire(target, (0,), **how)
