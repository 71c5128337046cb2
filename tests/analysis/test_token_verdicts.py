"""Claims about tokens on drawn values: what is supported, refuted, and neither."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.token_injection import Injected, TokenInjection
from harness.analysis.token_verdicts import judge_tokens
from harness.analysis.units import Units
from harness.specs.edit_claims import TokensClaim
from harness.stats.transfers import transferred_share

CLAIM = TokensClaim(name="c", tokens="top", less_than=0.5)


def parts_of(values, gram=1, has=(True, True)):
    """Of sequences of so many tokens, by the place."""
    return tuple(Injected(gram, place, one, np.array(has)) for place, one in values.items())


def drawn(shares, own=10.0, families=8, texts=24, silent=0):
    """Two features of one share at each place; the second counts twice."""
    random = np.random.default_rng(3)

    def values(mean, n):
        return mean + random.normal(0, 0.5, (n, 2))

    return TokenInjection(
        ((0, 1), (2, 3)),
        np.array([1.0, 2.0]),
        values(1.0, texts),
        parts_of({p: values(1.0 + share * (own - 1.0), texts) for p, share in shares.items()}),
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
    at = {part.placement: part.values for part in found.injected}
    alone = transferred_share(
        at[worst] @ found.weights, found.base @ found.weights, found.texts,
        found.own @ found.weights, found.units.of, against=0.5,
    )  # fmt: skip
    assert judged.estimate == pytest.approx(alone.share)
    assert (judged.ci_low, judged.ci_high) == pytest.approx((alone.low, alone.high))
    times = len(shares) if verdict == "refuted" else 1
    assert judged.p == pytest.approx(1.0 if judged.estimate > 0.5 and times == 1 else max(alone.p, judged.floor) * times)  # fmt: skip
    assert judged.because.startswith("8 families and 24 neutral texts, start ")
    assert (judged.n_units, judged.n_pairs, judged.unit) == (8, 24, "share")


@pytest.mark.parametrize(
    "single, pairs, verdict, worst",
    [
        ({"start": 0.1, "end": 0.2}, {"start": 0.1, "end": 0.3}, "supported", "end of 2-grams"),
        ({"start": 0.1, "end": 0.2}, {"start": 0.9, "end": 0.3}, "refuted", "start of 2-grams"),
        ({"start": 0.9, "end": 0.2}, {"start": 0.1, "end": 0.3}, "refuted", "start"),
        (
            {"start": 0.1, "end": 0.2},
            {"start": 0.5, "end": 0.3},
            "inconclusive",
            "start of 2-grams",
        ),
    ],
)
def test_each_length_is_as_many_parts_as_places(single, pairs, verdict, worst):
    """Of the features that have such sequences alone: here the second, whatever stands for the first."""
    found = drawn(single)
    more = parts_of({p: v.values for p, v in zip(pairs, drawn(pairs).injected, strict=True)}, 2, (False, True))  # fmt: skip
    for part in more:
        part.values[:, 0] = 1e6
    both = replace(found, injected=(*found.injected, *more))
    judged = judge_tokens(both, CLAIM, 0.05)
    assert judged.verdict == verdict, judged
    (part,) = (one for one in both.injected if one.name == worst)
    weights = found.weights * part.has
    alone = transferred_share(
        part.values @ weights, found.base @ weights, found.texts, found.own @ weights,
        found.units.of, against=0.5,
    )  # fmt: skip
    assert judged.estimate == pytest.approx(alone.share)
    if verdict == "refuted":
        assert judged.p == pytest.approx(4 * max(alone.p, judged.floor))
    assert "1 of 2 features have 2-grams, start " in judged.because
    assert f"{worst} {alone.share:+.2f}" in judged.because


def test_sequences_that_no_feature_has_are_told_and_are_no_part():
    found = drawn({"start": 0.1, "end": 0.9})
    none = tuple(replace(one, gram=2, has=np.array([False, False])) for one in found.injected)
    judged = judge_tokens(replace(found, injected=(*found.injected, *none)), CLAIM, 0.05)
    alone = judge_tokens(found, CLAIM, 0.05)
    assert "0 of 2 features have 2-grams, start " in judged.because
    assert replace(judged, because="") == replace(alone, because="")


def test_those_with_sequences_must_be_active_in_their_own_prompts_too():
    """A set is not supported by features that show nothing; another length refutes it all the same."""
    found = drawn({"end": 0.1})
    found.own[:, 1] = found.base[:, 1].mean()
    for share, verdict in ((0.1, "inconclusive"), (0.9, "refuted")):
        single = replace(drawn({"end": share}).injected[0], has=np.array([True, False]))
        pairs = replace(found.injected[0], gram=2, has=np.array([False, True]))
        judged = judge_tokens(replace(found, injected=(single, pairs)), CLAIM, 0.05)
        assert judged.verdict == verdict, judged
        if verdict == "inconclusive":
            assert "the features that have 2-grams are not shown to be more" in judged.because
        else:
            assert judged.p == pytest.approx(2 * judged.floor)  # of both parts, shown or not


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
