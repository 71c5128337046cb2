"""Edits of features that a test chooses, and what they do to the answers of a small random model."""

from functools import cache

import torch

from harness.models.adaptive_batching import BatchLimit
from harness.runner.context import RunContext
from harness.runner.prompt_replays import prepare_edits
from harness.runner.stages.ablate import ablate
from harness.specs.ablations import Ablation
from harness.specs.intervention import Intervention
from harness.testing.models import random_model
from tests.helpers.runs import sae

FEATURES = ((1, 3), (1, 9), (2, 5))
METRICS = (
    "log_p_correct",
    "log_p_misconception",
    "logit_difference",
    "log_mass",
    "kl",
    "top1_flips",
)


@cache
def run_context(architecture="gemma2", dtype=torch.float32, size=5):
    model = random_model(3, architecture=architecture, dtype=dtype)
    return RunContext("r", "mock", model, sae, BatchLimit(size))


def an_edit(kind="zero", values=None, *, at="all", role="target", features=FEATURES, number=0):
    values = values[: len(features)] if values else ()
    source = "pair" if kind == "resample" else None
    return Intervention(
        "top", role, number, kind, at, "misconception", features, (), values, source
    )


def an_ablation(**fields):
    return Ablation.model_validate(
        {"name": "top", "select": {"by": "contrast"}, "variant": "misconception"} | fields
    )


def impacts_of(run_context, edits, prompts, sources=None, directions=None):
    """Both tables as dictionaries, by (intervention number, prompt, ...)."""

    def prepared(context):
        return prepare_edits(context, edits, directions or {})

    impacts, tokens, _ = ablate(run_context, edits, prepared, sources or {}, prompts)
    number = {one.id: i for i, one in enumerate(edits)}
    summed = {
        (number[one], prompt, metric): (baseline, edited, impact, active)
        for one, prompt, metric, baseline, edited, impact, active in zip(
            impacts.intervention_id, impacts.prompt_id, impacts.metric, impacts.baseline,
            impacts.edited, impacts.impact, impacts.active, strict=True,
        )
    }  # fmt: skip
    apart = {
        (number[one], prompt, candidate, index): (baseline, edited, kl, flipped)
        for one, prompt, candidate, index, baseline, edited, kl, flipped in zip(
            tokens.intervention_id, tokens.prompt_id, tokens.candidate, tokens.token_index,
            tokens.baseline, tokens.edited, tokens.kl, tokens.flipped, strict=True,
        )
    }  # fmt: skip
    return summed, apart
