"""Samples of the sites of a model, and what a dictionary is said to be that was loaded for another one."""

from dataclasses import replace

import pytest
import torch

from harness.models.adaptive_batching import BatchLimit
from harness.models.hooks import capture
from harness.models.padded_batch import positions_of
from harness.runner import site_samples
from harness.runner.context import RunContext
from harness.runner.site_samples import SiteSamples
from harness.sae.encoding import with_gain
from harness.testing.models import random_model
from tests.helpers.added import surveyed
from tests.helpers.trained_dictionaries import LAYER, SITES, dictionary, small_model, texts, train

TEXTS = ("A ball is thrown straight up. At the top its velocity is", "It is", "Its slope is zero")


def samples_of(model, texts=TEXTS, sae=None):
    context = RunContext("r", "stand-in", model, lambda _: sae, BatchLimit(2))
    return SiteSamples(context, [model.tokens(text) for text in texts])


@pytest.mark.parametrize("most", [5, 1000])
def test_they_are_spread_over_all_positions_but_bos(monkeypatch, most):
    monkeypatch.setattr(site_samples, "TRIED", most)
    model = small_model()
    for site, found in samples_of(model).beside(LAYER).items():
        whole = []
        for text in sorted(TEXTS, key=len, reverse=True):
            batch, seen = model.batch([model.tokens(text)]), {}
            model.at(site).forward(batch, capture([LAYER], seen, positions_of(batch, "prompt")))
            whole.append(seen[LAYER])
        whole = torch.cat(whole)
        step = max(1, len(whole) // most)
        assert len(found) == min(most, len(whole[::step]))
        # Rows are taken by length, in an order of their own.
        near = torch.cdist(found.double(), whole.double()).min(1)
        assert float(near.values.max()) < 1e-4
        assert len({*near.indices.tolist()}) == len(found)


def test_a_site_is_captured_once_for_all_blocks(monkeypatch):
    samples, calls = samples_of(small_model()), []
    captured = site_samples.captured

    def counted(context, *rest):
        calls.append(context.model.site)
        return captured(context, *rest)

    monkeypatch.setattr(site_samples, "captured", counted)
    samples.beside(1), samples.beside(2), samples.beside(1)
    assert {*calls} == {*SITES}
    assert len(calls) == 2 * len(SITES)  # of two batches


def test_sites_that_a_model_has_not_are_left_out():
    model = random_model(3, architecture="llama")
    for block in model.blocks:
        block.multilayer = block._modules.pop("mlp")
    model.forward = None
    with pytest.raises(TypeError):
        samples_of(model).beside(1)
    assert {"mlp_out", "transcoder"}.isdisjoint(there(model))


def there(model):
    """The sites that are tried before a forward is asked for."""
    tried = samples_of(model)
    tried._of = lambda site: model.at(site) and dict.fromkeys(range(model.depth), torch.zeros(1, 1))
    return tried.beside(1)


def warning(model, sae):
    context = RunContext("r", "stand-in", model, lambda _: sae, BatchLimit(16))
    rows, _ = surveyed(context, [LAYER], texts())
    return rows.warning[0]


def test_a_survey_names_the_place_and_the_gain():
    model = small_model()
    mlp = dictionary("mlp")
    wrong = replace(mlp, site="resid_post")
    assert "wrong place: it fits mlp_out, not resid_post" in warning(model, wrong)
    assert "wrong place" not in (warning(model.at("mlp_out"), mlp) or "")
    transcoder = model.at("transcoder")
    assert "gain" not in (warning(transcoder, dictionary("transcoder")) or "")
    weight = 1 + model.parts(LAYER).module("pre_feedforward_layernorm").weight
    twice = with_gain(replace(dictionary("transcoder"), without_gain=True), weight)
    assert "gain: it expects what the norm's weights" in warning(transcoder, twice)


def test_where_no_norm_is_before_the_mlp_there_is_no_gain():
    model = random_model(3, architecture="olmo2").at("transcoder")
    samples = samples_of(model)
    held = samples._of("transcoder")[1]
    sae = train(held[:, :32], held[:, 32:], top_k=4, steps=3, site="transcoder")
    assert samples.misfit(sae, 1, float("nan")) is None or "gain" not in samples.misfit(sae, 1, 0.0)
