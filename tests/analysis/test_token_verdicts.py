"""Claims about tokens on drawn values: what is supported, refuted, and neither."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.token_injection import TokenInjection
from harness.analysis.token_verdicts import judge_tokens
from harness.analysis.units import Units
from harness.specs.edit_claims import TokensClaim
from harness.stats.transfers import transferred_share

CLAIM = TokensClaim(name="c", tokens="top", less_than=0.5)


def drawn(shares, own=10.0, families=8, texts=24, silent=0):
    """Two features of one share at each place; the second counts twice."""
    random = np.random.default_rng(3)

    def values(mean, n):
        return mean + random.normal(0, 0.5, (n, 2))

    return TokenInjection(
        ((0, 1), (2, 3)),
        np.array([1.0, 2.0]),
        values(1.0, texts),
        {place: values(1.0 + share * (own - 1.0), texts) for place, share in shares.items()},
        values(own, 3 * families),
        np.array([f"t{i}" for i in range(texts)]),
        Units.by_family([f"f{i // 3}" for i in range(3 * families)]),
        silent,
    )


@pytest.mark.parametrize(
    "shares, verdict, worst",
    [
        ({"start": 0.1, "end": 0.3}, "supported", "end"),
        ({"start": 0.1, "end": 0.9}, "refuted", "end"),
        ({"start": 0.9, "end": 0.3}, "refuted", "start"),
        ({"start": 0.5, "end": 0.3}, "inconclusive", "start"),
    ],
)
def test_every_place_must_hold_and_one_that_does_not_refutes(shares, verdict, worst):
    found = drawn(shares)
    judged = judge_tokens(found, CLAIM, 0.05)
    assert judged.verdict == verdict, judged
    alone = transferred_share(
        found.injected[worst] @ found.weights, found.base @ found.weights, found.texts,
        found.own @ found.weights, found.units.of, against=0.5,
    )  # fmt: skip
    assert judged.estimate == pytest.approx(alone.share)
    assert (judged.ci_low, judged.ci_high) == pytest.approx((alone.low, alone.high))
    times = len(shares) if verdict == "refuted" else 1
    assert judged.p == pytest.approx(1.0 if judged.estimate > 0.5 and times == 1 else max(alone.p, judged.floor) * times)  # fmt: skip
    assert judged.because.startswith("8 families and 24 neutral texts, start ")
    assert (judged.n_units, judged.n_pairs, judged.unit) == (8, 24, "share")


def test_what_is_no_stronger_in_its_own_prompts_is_inconclusive():
    judged = judge_tokens(drawn({"start": 0.1}, own=1.0), CLAIM, 0.05)
    assert judged.verdict == "inconclusive"
    assert (
        "not shown to be more active in their own prompts than in neutral texts" in judged.because
    )


def test_too_few_families_or_texts_are_untestable():
    for few in (drawn({"end": 0.1}, families=3), drawn({"end": 0.1}, texts=3)):
        judged = judge_tokens(few, CLAIM, 0.05)
        assert (judged.verdict, judged.floor) == ("untestable", 0.25)
        assert "can give no p below 0.25" in judged.because


def test_features_without_tokens_are_counted_and_a_set_without_any_is_untestable():
    judged = judge_tokens(drawn({"end": 0.1}, silent=3), CLAIM, 0.05)
    assert "2 of 5 features have tokens" in judged.because
    none = replace(drawn({"end": 0.1}), features=(), weights=np.zeros(0))
    judged = judge_tokens(none, CLAIM, 0.05)
    assert judged.verdict == "untestable"
    assert "no feature has a token" in judged.because


def test_clusters_are_the_units_where_a_claim_names_them():
    found = drawn({"end": 0.1})
    clusters = {f"f{i}": f"p{i // 2}" for i in range(8)}
    units = Units.by(found.units.families, clusters, "principle")
    judged = judge_tokens(replace(found, units=units), CLAIM, 0.2)
    assert judged.n_units == 4
    assert judged.because.startswith("4 principles, 8 families and 24 neutral texts")
