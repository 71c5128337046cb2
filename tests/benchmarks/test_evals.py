"""A slice of the evals' benchmark: what is timed against each other scores the same."""

import pytest
import torch

from benchmarks import evals
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.specs.prompt_file import load_prompts


@pytest.fixture(scope="module")
def model():
    return load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))


@pytest.fixture(scope="module")
def prompts():
    return load_prompts(bundled("data", "voices.jsonl"))[:8]


def test_candidates_side_by_side_score_as_in_rows_of_their_own(model, prompts, figures):
    evals.side_by_side(model, prompts, rounds=1)
    shown = figures()
    assert shown["candidates side by side: difference from one row each"]["holds"]
    assert shown["candidates side by side / one row each"]["value"] > 0


def test_a_replay_scores_as_a_hooked_forward(model, prompts, figures):
    evals.replay(model, prompts, rounds=1)
    shown = figures()
    assert shown["replay: difference from a hooked forward"]["holds"]
    assert shown["replay / hooked forward, last prompt token"]["value"] > 0


def test_a_replay_of_another_edit_is_seen(model, prompts, figures, monkeypatch):
    nudges = iter(range(9))
    monkeypatch.setattr(
        evals, "_nudge", lambda batch: torch.full((*batch.ids.shape, 1), float(next(nudges)))
    )
    evals.replay(model, prompts, rounds=1)
    assert not figures()["replay: difference from a hooked forward"]["holds"]


def test_the_check_of_every_spec_is_timed(figures):
    evals.check(rounds=1)
    assert figures()["harness check evals/*.yaml"]["value"] > 0
