"""Claims about decoys: what is supported, refuted and neither, of made-up activations."""

import numpy as np
import pytest
from scipy import sparse

from harness.analysis.decoy_verdicts import SetContrast, judge_decoy
from harness.analysis.pairs import PairedActivations
from harness.analysis.units import Units
from harness.specs.edit_claims import DecoyClaim
from harness.store.tables.interventions import Decoys
from harness.store.tables.observations import FeatureActivity

CLAIM = DecoyClaim(name="c", decoy="top", prompts="d.jsonl", less_than=0.5)
WEIGHTS = {(1, 0): 2.0, (1, 3): -1.0}


def trait(mean=10.0, families=12, spread=1.0, seed=0, prefix="f"):
    units = np.repeat([f"{prefix}{i}" for i in range(families)], 2)
    values = mean + np.random.default_rng(seed).normal(0, spread, len(units))
    return SetContrast(values, Units.by_family(units), WEIGHTS)


def decoys(means, families=12, spread=1.0, file="d.jsonl", prefix="d"):
    """Rows of pairs that the set answers by so much on average, by kind of decoy."""
    rows = []
    for n, (kind, mean) in enumerate(means.items()):
        random = np.random.default_rng(n + 1)
        for family in range(families):
            for pair in range(2):
                want = mean + random.normal(0, spread)
                # Half of it by the one feature, half by the other, which has another direction.
                values = {(1, 0): (1 + want / 4, 1.0), (1, 3): (1.0, 1 + want / 2)}
                rows += [
                    {
                        "run_id": "r",
                        "ablation": "top",
                        "file": file,
                        "decoy": kind,
                        "family": f"{prefix}{family}",
                        "pair_id": f"{kind}{family}-{pair}",
                        "prompt_id": f"{kind}{family}-{pair}-{label}",
                        "label": label,
                        "layer": layer,
                        "feature": feature,
                        "value": both[label == "correct"],
                        "origin": "real",
                    }
                    for (layer, feature), both in values.items()
                    for label in ("correct", "misconception")
                ]
    return Decoys.of(rows)


def judge(means, trait_=None, alpha=0.05, **more):
    return judge_decoy(decoys(means, **more), CLAIM, trait_ or trait(), alpha)


@pytest.mark.parametrize(
    "means, verdict",
    [
        ({"left": 1.0}, "supported"),
        ({"left": 9.0}, "refuted"),
        ({"left": 5.0}, "inconclusive"),
        ({"left": -9.0}, "supported"),
        ({"left": 1.0, "plain": 2.0}, "supported"),
        ({"left": 1.0, "plain": 5.0}, "inconclusive"),
        ({"left": 1.0, "plain": 9.0}, "refuted"),
        ({"left": 5.0, "plain": 9.0}, "refuted"),
    ],
)
def test_each_kind_of_decoy_must_be_answered_by_less(means, verdict):
    found = judge(means)
    assert (found.kind, found.unit, found.verdict) == ("decoy", "share", verdict)
    worst = max(means.values())
    assert found.estimate == pytest.approx(worst / 10, abs=0.05)
    assert found.ci_low < found.estimate < found.ci_high
    assert all(f"{kind} {'+-'[mean < 0]}0." in found.because for kind, mean in means.items())
    assert found.because.endswith("of the trait, against 0.5")
    assert (found.p <= 0.05) == (verdict != "inconclusive")


def test_the_estimate_is_the_weighted_difference_of_the_variants_as_a_share():
    found = judge({"": 2.0}, spread=0.0)
    assert found.estimate == pytest.approx(2.0 / trait().values.mean(), rel=1e-12)
    # Neither rows of another file nor of features that are not in the set count.
    rows = [dict(row) for row in decoys({"": 2.0}, spread=0.0).rows()]
    others = [row | {"file": "e.jsonl", "value": 3 * row["value"]} for row in rows]
    others += [
        row | {"feature": 7, "value": 99.0 if row["label"] == "correct" else 0.0} for row in rows
    ]
    again = judge_decoy(Decoys.of(rows + others), CLAIM, trait(), 0.05)
    assert again == found


def test_several_kinds_refute_at_alpha_divided_by_their_number():
    """One kind alone is shown to lie above; beside two others, its p is too large."""
    alone = judge({"left": 5.8}, spread=3.0)
    assert alone.verdict == "refuted"
    assert 0.05 / 3 < alone.p <= 0.05
    several = judge({"left": 5.8, "pin": 1.0, "red": 1.0}, spread=3.0)
    assert several.verdict == "inconclusive"
    assert several.p == 1.0


def test_no_p_is_smaller_than_flips_of_the_smaller_file_could_give():
    found = judge({"left": 1.0}, families=7)
    assert found.p == found.floor == 2**-6
    assert found.n_units == 7
    few = judge({"left": 1.0}, families=5)
    assert (few.verdict, few.p) == ("untestable", None)
    assert few.because == "5 families can give no p below 0.0625"
    assert judge({"left": 1.0}, trait(families=5)).verdict == "untestable"
    assert judge({}).verdict == "untestable"


@pytest.mark.parametrize("mean, spread", [(0.0, 1.0), (-10.0, 1.0)])
def test_without_an_answer_to_the_trait_there_is_no_share(mean, spread):
    found = judge({"left": 1.0}, trait(mean, spread=spread, seed=3))
    assert (found.verdict, found.p, found.estimate) == ("inconclusive", None, None)
    assert found.because.startswith("the features do not answer the trait itself (p ")


def test_families_of_one_name_are_paired():
    """Families that answer everything alike, more or less: their shares are alike."""
    size = np.repeat(np.random.default_rng(5).normal(0, 3, 12), 2)
    base = trait()
    own = SetContrast(base.values + size, base.units, WEIGHTS)
    rows = [dict(row) for row in decoys({"": 4.0}, spread=0.1, prefix="f").rows()]
    for row in rows:
        if row["feature"] == 0 and row["label"] == "misconception":
            row["value"] += 0.4 * size[2 * int(row["family"][1:])] / 2
    paired = judge_decoy(Decoys.of(rows), CLAIM, own, 0.05)
    apart = judge_decoy(
        Decoys.of(row | {"family": "d" + row["family"]} for row in rows), CLAIM, own, 0.05
    )
    assert paired.ci_high - paired.ci_low < 0.5 * (apart.ci_high - apart.ci_low)
    assert (paired.verdict, apart.verdict) == ("supported", "inconclusive")


def test_the_sets_contrast_is_in_units_of_the_stream_with_the_signs_of_the_discovering_families():
    def side(correct, misconception, units):
        return PairedActivations(
            ((1, 0), (1, 3), (2, 5)),
            sparse.csc_array(correct),
            sparse.csc_array(misconception),
            Units.by_family(units),
        )

    discovery = side([[0.0, 4.0, 1.0]] * 2, [[1.0, 2.0, 1.0]] * 2, ["a", "b"])
    confirmation = side(
        [[0.0, 3.0, 9.0], [1.0, 0.0, 9.0]], [[2.0, 1.0, 0.0], [1.0, 5.0, 0.0]], ["c", "d"]
    )
    activity = FeatureActivity.of(
        {"layer": layer, "feature": feature, "decoder_norm": norm}
        for layer, feature, norm in ((1, 0, 2.0), (1, 3, 0.5), (2, 5, 7.0))
    )
    found = SetContrast.of([(1, 0), (1, 3), (2, 5), (2, 8)], discovery, confirmation, activity)
    assert found.weights == {(1, 0): 2.0, (1, 3): -0.5, (2, 5): 0.0, (2, 8): 0.0}
    assert found.values.tolist() == [2 * 2 + 0.5 * 2, 0 - 0.5 * 5]
    assert found.units.families.tolist() == ["c", "d"]


def test_by_clusters_it_is_that_of_families_that_are_the_clusters():
    """Three families of a principle on either side: as if each principle were one family."""

    def principle(family):
        return f"p{int(family[1:]) // 3}"

    def clustered(families):
        return Units.by(families, {one: principle(one) for one in families}, "principle")

    own = trait(families=24)
    by_principle = SetContrast(own.values, clustered(own.units.families.tolist()), WEIGHTS)
    rows = decoys({"left": 1.0, "hats": 3.0}, families=24, spread=6.0)
    found = judge_decoy(rows, CLAIM, by_principle, 0.05, lambda names: clustered(names.tolist()))
    renamed = Decoys.of(row | {"family": principle(row["family"])} for row in rows.rows())
    units = Units.by_family([principle(one) for one in own.units.families.tolist()])
    theirs = judge_decoy(renamed, CLAIM, SetContrast(own.values, units, WEIGHTS), 0.05)
    assert found.n_units == theirs.n_units == 8
    assert (found.estimate, found.ci_low, found.ci_high, found.p, found.verdict) == (
        theirs.estimate, theirs.ci_low, theirs.ci_high, theirs.p, theirs.verdict,
    )  # fmt: skip
    assert found.because.startswith(
        "8 principles, 24 families of the trait and 8 principles, 24 families of each decoy, hats +0."
    )
    plain = judge_decoy(rows, CLAIM, own, 0.05)
    assert plain.n_units == 24
    assert plain.p != found.p


def test_it_says_how_many_units_the_trait_and_each_decoy_rest_on():
    assert judge({"left": 1.0}, families=9).because.startswith(
        "12 families of the trait and 9 families of the decoy, left +0."
    )
    rows = [*decoys({"left": 1.0, "hats": 1.0}, families=9).rows()]
    rows += decoys({"tense": 1.0}, families=11).rows()
    found = judge_decoy(Decoys.of(rows), CLAIM, trait(), 0.05)
    assert found.n_units == 9
    assert found.because.startswith(
        "12 families of the trait, 9 families of hats and left, 11 families of tense, hats +0."
    )
