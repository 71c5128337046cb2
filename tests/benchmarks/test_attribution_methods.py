"""Predicted effects against true ones on a slice, and the rules of Relevance Patching against what they keep."""

import numpy as np
import pytest
import torch

from benchmarks import relevance_rules as rules
from benchmarks.attribution_methods import agreement, measured
from benchmarks.cause_splits import ORGANISM
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles

TEXT = "The cart slows as it rolls up the ramp. Its velocity is"


@pytest.fixture(scope="module")
def model():
    return load_model(ModelFiles(ORGANISM, "organism"))


def relevance(model, token=5):
    """A logit of the last token, and by block the sum of its stream times what flows back to it."""
    ids = torch.tensor([model.tokens(TEXT).prompt])
    streams = []

    def keep(_module, _inputs, out):
        stream = out[0] if isinstance(out, tuple) else out
        watched = stream.requires_grad_() if stream.is_leaf else stream
        watched.retain_grad()
        streams.append(watched)

    hooks = [block.register_forward_hook(keep) for block in model.blocks]
    try:
        with torch.enable_grad():
            logit = model.network(ids).logits[0, -1, token]
        logit.backward()
    finally:
        for hook in hooks:
            hook.remove()
    return float(logit.detach()), [float((one.detach() * one.grad).sum()) for one in streams]


def test_relevance_is_kept_from_block_to_block_and_forwards_are_as_they_were(model):
    """All of a logit arrives at every block's stream: the rules leave nothing that multiplies it away."""
    plain, slopes = relevance(model)
    with rules.relevance_rules(model.network):
        ruled, kept = relevance(model)
    assert abs(plain) > 0.1
    assert ruled == pytest.approx(plain, rel=1e-4)
    assert kept == pytest.approx([plain] * model.depth, rel=1e-3)
    # Without them it is not, and afterwards they are gone.
    assert max(abs(one - plain) for one in slopes) > 0.1 * abs(plain)
    assert relevance(model)[1] == slopes
    assert model.network.config.final_logit_softcapping == 30.0


@pytest.mark.parametrize("rule", ["half", "as_factor"])
def test_without_a_rule_it_is_not_kept(model, monkeypatch, rule):
    plain, _ = relevance(model)
    monkeypatch.setattr(rules, rule, lambda *values: values[-1])
    with rules.relevance_rules(model.network):
        _, kept = relevance(model)
    assert max(abs(one - plain) for one in kept) > 0.1 * abs(plain)


def test_agreement_is_that_of_ranks_and_of_the_strongest():
    true = np.arange(100.0) - 30
    assert agreement(true, true**3) == pytest.approx((1, 1))
    assert agreement(true, -true) == pytest.approx((-1, 1))
    assert agreement(true, np.roll(true, 50))[1] < 0.5


def test_the_gradient_orders_single_features_best():
    found = {(layer, method): one for layer, method, _, *one in measured(3, layers=(3,))}
    correlation = {method: one[0] for (_, method), one in found.items()}
    assert correlation["gradient"] > 0.8
    assert correlation["gradient"] > correlation["relp"] + 0.2
    assert correlation["gradient"] > correlation["integrated-gradients"] + 0.2
