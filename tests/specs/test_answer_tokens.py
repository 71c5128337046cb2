"""Answers of which one begins the other, as texts and as tokens."""

import pytest

from harness.specs.answer_tokens import beginning, may_begin_alike
from harness.specs.prompt import Prompt


def prompt(correct, misconception):
    return Prompt("a", "car", "car", "correct", "It is", correct, correct, misconception, 1)


@pytest.mark.parametrize(
    "one, other, alike",
    [
        ("1", "10", True),
        ("9.8", "9", True),
        ("down", "down-left", True),
        ("Zero", "zero.", True),
        ("ﬁne", "finely", True),
        ("down", "up", False),
        ("10", "12", False),
        ("zero", "not zero", False),
    ],
)
def test_texts_that_begin_alike_are_looked_at(one, other, alike):
    assert may_begin_alike(prompt(one, other)) is alike
    assert may_begin_alike(prompt(other, one)) is alike


@pytest.mark.parametrize(
    "correct, misconception, said",
    [
        (
            [5, 1],
            [5, 1, 0],
            "'1' begins '10' in the tokens of toy, and is the likelier by construction",
        ),
        ([5, 1, 0], [5, 1], "'10' begins '1' in"),
        ([5, 1], [5, 1], "'1' and '10' are the same tokens of toy, and equally likely"),
        ([5, 1], [5, 2, 1], None),
        # A beginning that both have, and neither is.
        ([5, 1, 7], [5, 1, 8], None),
        ([5, 1, 7], [5, 1, 8, 9], None),
        ([1], [10], None),
    ],
)
def test_tokens_that_begin_the_other_answers_are_refused(correct, misconception, said):
    found = beginning("p.jsonl:1", prompt("1", "10"), "toy", correct, misconception)
    assert (found is None) == (said is None)
    if found:
        assert str(found).startswith(f"p.jsonl:1: {said}"), found
        assert "(pair 'car'); give the pair answers of which none begins another" in str(found)
