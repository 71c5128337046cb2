"""The log-probability of a set of answers, token by token, beside slow and obvious code."""

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.pairs import behaviours
from harness.store.tables.observations import Answers


def rows_of(lines):
    """Rows of `answers`: prompt, candidate, member, log-probability of a token."""
    filled = Answers(**{name: [None] * len(lines) for name in Answers.names()})
    names = ("prompt_id", "candidate", "member", "logprob")
    return replace(filled, **{name: [line[i] for line in lines] for i, name in enumerate(names)})


def drawn(seed):
    random = np.random.default_rng(seed)
    return [
        (f"p{prompt}", candidate, member, float(-random.exponential()))
        for prompt in random.permutation(6)
        for candidate in ("misconception", "correct")
        for member in range(random.integers(1, 4))
        for _ in range(random.integers(1, 4))
    ]


def slow(lines, prompt, label):
    members = {}
    for one, candidate, member, logprob in lines:
        if (one, candidate) == (prompt, label):
            members.setdefault(member, []).append(logprob)
    return math.log(sum(math.exp(sum(tokens)) for tokens in members.values()))


@pytest.mark.parametrize("seed", range(5))
def test_members_are_added_up_as_probabilities(seed):
    lines = drawn(seed)
    found = behaviours(rows_of(lines))
    assert list(found) == list(dict.fromkeys(line[0] for line in lines))
    for prompt, metrics in found.items():
        expected = slow(lines, prompt, "correct") - slow(lines, prompt, "misconception")
        assert metrics["logit_difference"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("member", [None, 0, float("nan")])
def test_an_answer_alone_is_its_only_member(member):
    lines = [("p", "correct", member, -1.0), ("p", "correct", member, -0.5)]
    lines.append(("p", "misconception", member, -2.0))
    assert behaviours(rows_of(lines))["p"]["logit_difference"] == pytest.approx(0.5)


def test_a_candidate_without_tokens_is_0_and_one_that_cannot_be_said_is_not():
    alone = behaviours(rows_of([("p", "correct", 0, -1.5)]))
    assert alone["p"]["logit_difference"] == -1.5
    lines = [("p", "correct", 0, -math.inf), ("p", "misconception", 0, -1.0)]
    assert behaviours(rows_of(lines))["p"]["logit_difference"] == -math.inf
    assert behaviours(rows_of([])) == {}
