"""What is read at a readout."""

import dataclasses
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.models.language_model import LanguageModel
from harness.models.padded_batch import positions_of
from harness.runner.grouping import group_units
from harness.runner.stages.observe import observe
from harness.sae.encoding import encode
from harness.specs.prompt import LABELS
from harness.store.tables.observations import Activations
from harness.testing.models import ARCHITECTURES
from harness.testing.strategies import (
    padding_sides,
)
from tests.helpers.drawn import (
    LAYERS,
    Poisoned,
    activated,
    answered,
    few_examples,
    model,
    overlapping,
    planned,
    prompts,
    readouts,
    run_context_of,
)
from tests.helpers.runs import a_run_context, sae
from tests.helpers.specs import ablation_plan, family_lines


def test_readouts_at_the_answer_read_the_own_answer_alone():
    same = [line | {"prompt": line["prompt"].split(". ")[1]} for line in family_lines()]
    plan, run_context = ablation_plan(same, at="answer", by="attribution"), a_run_context()
    columns = observe(run_context, plan, plan.prompts)
    found = {
        (p, int(layer), int(f)): v
        for table in columns
        if isinstance(table, Activations)
        for p, layer, f, v in zip(table.prompt_id, table.layer, table.feature, table.value, strict=True)
    }  # fmt: skip
    for prompt in plan.prompts[:6]:
        batch = run_context.model.batch([run_context.model.tokens(prompt.text, prompt.answer)])
        seen = {}
        run_context.model.forward(batch, {1: lambda x, seen=seen: seen.update(x=x)})
        values = encode(sae(1), seen["x"][positions_of(batch, "answer")]).mean(0)
        for feature in values.nonzero()[:, 0].tolist():
            assert found[prompt.id, 1, feature] == pytest.approx(float(values[feature]), abs=1e-4)


@dataclasses.dataclass(frozen=True)
class Alone:
    """One prompt by a plain forward of its own: nothing padded, nothing beside it."""

    logprobs: dict
    values: dict
    close: dict


@cache
def alone(architecture, at, reduce):
    """Each prompt's log-probabilities, its pooled features and which of them are near a threshold."""
    found = {}
    network, used = model(architecture).network, model(architecture)
    for prompt in prompts():
        logprobs, values, close = {}, {}, {}
        for label in LABELS:
            tokens = used.tokens(prompt.text, prompt.candidate(label))
            start, ids = len(tokens.prompt), torch.tensor([tokens.prompt + tokens.answers[0]])
            output = network(ids, output_hidden_states=True)
            scores = output.logits[0].float().log_softmax(-1)
            for i, token in enumerate(tokens.answers[0]):
                logprobs[label, i] = float(scores[start + i - 1, token])
            if prompt.label != label:
                continue
            read = {
                "last_prompt_token": slice(start - 1, start), "prompt": slice(1, start),
                "answer": slice(start, None), "all": slice(1, None),
            }[at]  # fmt: skip
            for layer in LAYERS:
                sae = overlapping(layer)
                before = output.hidden_states[layer + 1][0, read] @ sae.w_enc + sae.b_enc
                active = before * (before > sae.threshold)
                pooled = {"mean": active.mean(0), "sum": active.sum(0), "max": active.amax(0)}
                values[layer] = pooled[reduce]
                close[layer] = ((before - sae.threshold).abs() < 1e-3).any(0)
        found[prompt.id] = Alone(logprobs, values, close)
    return found


def assert_alone(tables, chosen, reference):
    """What was stored of `chosen` prompts is each one's own, whatever stood beside it."""
    answers, activations = answered(tables), activated(tables)
    wanted = {
        (prompt.id, *key): value
        for prompt in chosen
        for key, value in reference[prompt.id].logprobs.items()
    }
    assert answers == pytest.approx(wanted, abs=1e-5)
    for prompt in chosen:
        for layer, values in reference[prompt.id].values.items():
            clear = ~reference[prompt.id].close[layer]
            found = activations[prompt.id, layer]
            assert torch.allclose(found[clear], values[clear], rtol=1e-5, atol=2e-5)
            assert clear.float().mean() > 0.9


class Small(LanguageModel):
    """A model whose memory runs out above so many rows."""

    def __init__(self, like, most):
        super().__init__(like.network, like.tokenizer, like.padding_side)
        self.most = most

    def forward(self, batch, taps=None, *, gradients=False):
        if len(batch) > self.most:
            raise torch.OutOfMemoryError
        return super().forward(batch, taps, gradients=gradients)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few_examples
@given(
    st.permutations(prompts()),
    st.integers(1, 16),
    padding_sides(),
    st.integers(1, 8),
    st.integers(1, 16),
    readouts,
)
def test_order_batches_padding_and_memory_change_nothing_observed(
    architecture, order, left, side, size, fits, readout
):
    chosen, plan = order[:left], planned(order, *readout)
    used = Small(model(architecture, side), fits)
    found = observe(run_context_of(used, size), plan, chosen)
    assert_alone(found, chosen, alone(architecture, *readout))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few_examples
@given(st.integers(1, 20), st.integers(1, 8))
def test_units_are_observed_once_each_in_whatever_groups(architecture, together, size):
    plan = planned(prompts())
    units = plan.units("observe")
    parts = list(group_units(units, together))
    assert [unit for part in parts for unit in part] == list(units)
    by_id = {prompt.id: prompt for prompt in prompts()}
    for part in parts:
        own = [by_id[prompt] for unit in part for prompt in unit.prompts]
        found = observe(run_context_of(model(architecture), size), plan, own)
        assert_alone(found, own, alone(architecture, "last_prompt_token", "mean"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few_examples
@given(st.permutations(prompts()), st.integers(1, 8), padding_sides(), readouts)
def test_bos_is_never_read(architecture, order, size, side, readout):
    plan, used = planned(order, *readout), model(architecture, side)
    found = observe(run_context_of(Poisoned(used), size), plan, order)
    whole = observe(run_context_of(used, size), plan, order)
    assert answered(found) == answered(whole)
    values, wanted = activated(found), activated(whole)
    assert values.keys() == wanted.keys()
    assert all(torch.equal(values[key], wanted[key]) for key in wanted)
