"""Whether the rest does nothing, and each member is needed: against every sign flip listed, one by one."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.edit_roles import every_edit
from harness.analysis.set_verdicts import judge_complement, judge_needed
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.set_claims import ComplementClaim, NeededClaim

ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
FAMILIES, PAIRS = 8, 2
NAMES = np.repeat([f"f{i}" for i in range(FAMILIES)], PAIRS)


def drawn(mean, seed, spread=1.0):
    random = np.random.default_rng(seed)
    own = np.repeat(random.normal(0, spread, FAMILIES), PAIRS)
    return mean + own + random.normal(0, 0.2 * spread, len(NAMES))


def impacts(target=8.0, rest=0.0, adds=(), **more):
    own = drawn(target, 1)
    return AblationImpacts(
        ABLATION, own, np.zeros((0, len(NAMES))), Units.by_family(NAMES), complement=drawn(rest, 2),
        without={(3, i): own - drawn(mean, 10 + i) for i, mean in enumerate(adds)}, **more,
    )  # fmt: skip


def of_rest(found, gap=None, alpha=0.05, **margin):
    claim = ComplementClaim.model_validate({"name": "c", "complement": "a"} | margin)
    return judge_complement(found, gap, claim, alpha)


def of_members(found, direction="toward-correct", alpha=0.05):
    return judge_needed(found, NeededClaim(name="c", needed="a", direction=direction), alpha)


def p_above(values):
    """The larger p that the mean of families is above 0: of all sign flips, and of t."""
    means = values.reshape(FAMILIES, PAIRS).mean(1)
    flips = [np.dot(signs, means) for signs in product((1, -1), repeat=FAMILIES)]
    by_flips = np.mean([flip >= means.sum() - 1e-12 for flip in flips])
    without = np.array([np.delete(means, i).mean() for i in range(FAMILIES)])
    error = np.sqrt((FAMILIES - 1) / FAMILIES * ((without - means.mean()) ** 2).sum())
    return max(by_flips, stats.t.sf(means.mean() / error, FAMILIES - 1))


@pytest.mark.parametrize("rest", [0.3, 1.6, 2.6, 6.0])
@pytest.mark.parametrize("toward", [1, -1])
def test_the_rest_is_held_against_a_share_from_either_side(rest, toward):
    gap = toward * drawn(10.0, 3)
    found = of_rest(impacts(rest=toward * rest), gap, within_share=0.2)
    values = impacts(rest=toward * rest).complement
    inside = max(p_above(0.2 * toward * gap - values), p_above(0.2 * toward * gap + values))
    outside = 2 * min(p_above(values - 0.2 * toward * gap), p_above(-values - 0.2 * toward * gap))
    assert found.estimate == pytest.approx(values.mean() / gap.mean())
    assert found.unit == "share"
    expected = "supported" if inside <= 0.05 else "refuted" if outside <= 0.05 else "inconclusive"
    assert found.verdict == expected
    assert found.p == pytest.approx(outside if expected == "refuted" else inside)
    assert expected == {0.3: "supported", 6.0: "refuted"}.get(rest, "inconclusive")
    assert "the set itself" in found.because


def test_the_rest_is_held_against_a_margin_in_the_metric_s_unit():
    values = impacts(rest=0.3).complement
    found = of_rest(impacts(rest=0.3), within=2.0)
    assert (found.verdict, found.unit) == ("supported", "nats")
    assert found.estimate == pytest.approx(values.mean())
    assert found.p == pytest.approx(max(p_above(2 - values), p_above(2 + values)))
    assert of_rest(impacts(rest=6.0), within=2.0).verdict == "refuted"
    noisy = of_rest(impacts(rest=0.3, noise=2.0), within=2.0)
    assert noisy.verdict == "inconclusive"
    assert "not clear of the device's noise" in noisy.because


def test_of_a_share_the_noise_is_a_share_too():
    gap = drawn(10.0, 3)
    assert of_rest(impacts(rest=0.3, noise=0.5), gap, within_share=0.2).verdict == "supported"
    assert of_rest(impacts(rest=0.3, noise=5.0), gap, within_share=0.2).verdict == "inconclusive"


def test_of_kl_it_is_asked_whether_it_lies_below():
    found = of_rest(
        impacts(rest=0.3, metric="kl"), within=2.0, metric="kl"
    )  # a mean that only grows
    assert found.verdict == "supported"
    assert of_rest(impacts(rest=6.0, metric="kl"), within=2.0, metric="kl").verdict == "refuted"


def test_where_the_variants_do_not_differ_there_is_no_share():
    found = of_rest(impacts(), drawn(0.0, 4), within_share=0.2)
    assert found.verdict == "untestable"
    assert "the variants do not differ" in found.because


def test_so_few_families_can_show_nothing():
    few = impacts(adds=(2.0, 2.0)).only(np.isin(NAMES, ["f0", "f1"]))
    gap = drawn(10.0, 3)[np.isin(NAMES, ["f0", "f1"])]
    for found in (of_rest(few, gap, within_share=0.2), of_members(few)):
        assert found.verdict == "untestable"
        assert "2 families can give no p below 0.5" in found.because


def test_each_member_must_be_shown_and_the_sentence_names_those_that_are_not():
    found = of_members(impacts(adds=(3.0, 4.0, 5.0)))
    assert found.verdict == "supported"
    weakest = impacts(adds=(3.0,))
    adds = weakest.target - weakest.without[3, 0]
    assert found.estimate == pytest.approx(adds.mean())
    assert (
        "of 3:0, the weakest of 3; the set itself +8.21 nats (p 0.0078); each is shown"
        in found.because
    )
    idle = of_members(impacts(adds=(3.0, 0.0, 5.0)))
    assert idle.verdict == "inconclusive"
    assert "not shown one by one (max-T over 3): 3:1" in idle.because
    assert idle.p > 0.05
    turned = of_members(impacts(adds=(3.0, -4.0, 5.0)))
    assert turned.verdict == "refuted"
    assert "without it the set does more: 3:1" in turned.because
    assert turned.estimate < 0


def test_what_all_members_show_together_needs_no_correction():
    """Each at .04: shown together at .05, and none of them by itself among three."""
    families = np.array([3.0, 2.5, 2.0, 1.5, 1.0, 0.8, -0.4, 0.3])
    own = np.repeat(families + 9, PAIRS)
    less = {(3, i): own - np.repeat(np.roll(families, i), PAIRS) for i in range(3)}
    one = AblationImpacts(
        ABLATION, own, np.zeros((0, len(own))), Units.by_family(NAMES), without=less
    )
    found = of_members(one)
    flips = np.array([np.dot(s, families) for s in product((1, -1), repeat=FAMILIES)])
    assert found.p == pytest.approx(np.mean(np.abs(flips) >= families.sum() - 1e-12))
    assert found.verdict == "supported"


def test_a_set_toward_the_other_answer_is_asked_of_that_way():
    down = impacts(target=-8.0, adds=(-3.0, -4.0))
    assert of_members(down, "toward-misconception").verdict == "supported"
    assert of_members(down).verdict == "refuted"
    assert of_members(impacts(adds=(3.0, 4.0), noise=3.0)).verdict == "inconclusive"


def test_the_set_itself_must_move_the_answers_that_way():
    """Members may each add to it, and all of them together still move the answers the other way."""
    still = of_members(impacts(target=0.0, adds=(3.0, 4.0)))
    assert still.verdict == "inconclusive"
    assert "which is not shown; each is shown one by one" in still.because
    turned = of_members(impacts(target=-8.0, adds=(3.0, 4.0)))
    assert turned.verdict == "refuted"
    assert "the other way" in turned.because


def test_a_set_of_one_is_untestable():
    found = of_members(impacts())
    assert found.verdict == "untestable"
    assert "one feature" in found.because


def test_the_edits_are_the_set_without_each_and_one_that_spares_it():
    features = ((1, 5), (1, 2), (3, 0))
    asked = ABLATION.model_copy(
        update={"kind": "mean", "complement": True, "leave_one_out": True, "controls": 1}
    )
    means = {(1, 5): 0.5, (1, 2): 0.25, (3, 0): 2.0}
    edits = every_edit(asked, features, (3.0, 2.0, 1.0), [((1, 9), (1, 8), (3, 7))], means, 0)
    less = [one for one in edits if one.role == "without"]
    assert [one.features for one in less] == [features[1:], features[::2], features[:2]]
    assert [one.values for one in less] == [(0.25, 2.0), (0.5, 2.0), (0.5, 0.25)]
    assert [one.number for one in less] == [0, 1, 2]
    (rest,) = (one for one in edits if one.role == "complement")
    assert rest.features == features
    assert len({one.id for one in edits}) == len(edits)
    alone = every_edit(asked, features[:1], (3.0,), [((1, 9),)], means, 0)
    assert not [one for one in alone if one.role == "without"]
