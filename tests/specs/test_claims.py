"""Claims in words."""

import pytest
from pydantic import TypeAdapter

from harness.specs.claims import Claim, in_words


@pytest.mark.parametrize(
    "claim,words",
    [
        (
            {"behaviour": "logit_difference", "direction": "greater"},
            "on average over families, log p(right answer) - log p(misconception) is greater than 0 nats",
        ),
        (
            {"behaviour": "log_p_correct", "contrast": True, "direction": "less", "than": -1.5},
            "on average over families, the difference between the variants in log p(right answer) is less "
            "than -1.5 nats",
        ),
        (
            {"behaviour": "logit_difference", "beyond": "baseline", "direction": "greater"},
            "on average over families, log p(right answer) - log p(misconception), beyond what the same sentences "
            "without their scenes give, is greater than 0 nats",
        ),
        (
            {"behaviour": "log_p_misconception", "within": 0.5},
            "on average over families, log p(misconception) lies within 0.5 nats of 0",
        ),
        ({"features": "significant", "at_least": 1}, "at least 1 feature is found to differ between the variants"),
        ({"features": "significant", "at_most": 0}, "at most 0 features are found to differ between the variants"),
        (
            {"features": "truth", "at_least": 3},
            "at least 3 of the known features are found to differ between the variants",
        ),
        (
            {"ablation": "top", "direction": "toward-correct"},
            "ablation top moves the answers toward the right answer beyond its matched controls",
        ),
        (
            {"ablation": "top", "direction": "toward-misconception", "beyond": "zero"},
            "ablation top moves the answers toward the misconception",
        ),
        (
            {"ablation": "top", "within": 1.0},
            "ablation top moves the answers beyond its matched controls by at most 1 nats",
        ),
    ],
)  # fmt: skip
def test_a_claim_is_one_sentence(claim, words):
    made = TypeAdapter(Claim).validate_python({"name": "it"} | claim)
    assert in_words(made) == words
