"""What property tests of whole forwards draw from: prompts, small models, SAEs."""

import dataclasses
from functools import cache

import torch
from hypothesis import settings
from hypothesis import strategies as st

from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.runner.context import RunContext
from harness.sae.mock import jumprelu, orthogonal
from harness.specs.plan import make_plan
from harness.specs.prompt import LABELS, Prompt
from harness.specs.spec import Readout
from harness.specs.targets import load_targets
from harness.store.tables.observations import Activations, Answers
from harness.testing.models import random_model
from tests.helpers.specs import ablation_plan

LAYERS = (1, 2)
seeds = st.integers(0, 10**6)
# Of each of seventeen architectures, or of as many other cases: together more than a hundred.
few_examples = settings(max_examples=8, deadline=None)


def a_prompt(family, question, label, text="It is", answers=("zero", "not zero")):
    pair = f"f{family}-{question}"
    said = answers[LABELS.index(label)]
    return Prompt(f"{pair}-{label}", pair, f"f{family:02}", label, text, said, *answers, 1)


def planned(prompts, at="last_prompt_token", reduce="mean", claims=None):
    spec = ablation_plan().spec.model_copy(update={"readout": Readout(at=at, reduce=reduce)})
    if claims is not None:
        spec = spec.model_copy(update={"ablations": (), "claims": claims})
    return make_plan(spec, load_targets()["organism"], prompts)


@cache
def model(architecture, side="left", dtype=torch.float32):
    return random_model(2, side, architecture=architecture, dtype=dtype)


@cache
def overlapping(layer):
    return jumprelu(32, 64, layer)


@cache
def orthonormal(layer):
    return orthogonal(32, layer)


def run_context_of(used, size=5, saes=overlapping):
    return RunContext("r", "mock", used, saes, BatchLimit(size))


CONTEXTS = (
    "",
    "A careful reader says so.",
    "At the top of its flight the ball turns around, and someone there mixes up the two things.",
)


@cache
def prompts():
    """Short and long ones; one text is shared by both variants of its pair."""
    return tuple(
        a_prompt(
            family,
            question,
            label,
            f"{CONTEXTS[(family + LABELS.index(label) * (family > 0)) % 3]} Its {question} is".strip(),
            answers,
        )
        for family in range(4)
        for question, answers in (
            ("velocity", ("zero", "not zero")),
            ("acceleration", ("downward and then upward", "zero")),
        )
        for label in LABELS
    )


readouts = st.tuples(
    st.sampled_from(["last_prompt_token", "prompt", "answer", "all"]),
    st.sampled_from(["mean", "max", "sum"]),
)


def answered(tables):
    (answers,) = (table for table in tables if isinstance(table, Answers))
    keys = zip(answers.prompt_id, answers.candidate, answers.token_index, strict=True)
    return dict(zip(keys, answers.logprob, strict=True))


def activated(tables):
    """Dense features (features,) by prompt and layer, of those that have any."""
    found = {}
    for table in tables:
        if isinstance(table, Activations):
            for prompt, layer, feature, value in zip(
                table.prompt_id, table.layer, table.feature, table.value, strict=True
            ):
                found.setdefault((prompt, int(layer)), torch.zeros(64))[int(feature)] = float(value)
    return found


class Poisoned(LanguageModel):
    """Taps, and what a replay begins from, see NaN at BOS and at padding."""

    def __init__(self, like):
        super().__init__(like.network, like.tokenizer, like.padding_side)

    def forward(self, batch, taps=None, *, gradients=False):
        def poisoned(tap):
            return lambda residual: tap(self.without_bos(batch, residual))

        poisoned_taps = {layer: poisoned(tap) for layer, tap in (taps or {}).items()}
        return super().forward(batch, poisoned_taps, gradients=gradients)

    def cached_forward(self, batch, reads, blocks):
        kept = super().cached_forward(batch, reads, blocks)
        streams = {at: self.without_bos(batch, x) for at, x in kept.held.items()}
        return dataclasses.replace(kept, held=streams)

    @staticmethod
    def without_bos(batch, residual):
        return residual.masked_fill((batch.place == 0)[..., None], torch.nan)
