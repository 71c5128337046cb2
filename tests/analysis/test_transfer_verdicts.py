"""Claims that a set does as much here as where it was frozen: held against slow, obvious arithmetic."""

import numpy as np
import pytest
from scipy import stats

from harness.analysis.source_impacts import Sample, in_both
from harness.analysis.transfer_verdicts import judge_transfers
from harness.analysis.units import Units
from harness.specs.edit_claims import TransfersClaim

CLAIM = TransfersClaim(name="c", transfers="a", than=0.5)


def sample(values, name="h", pairs=2):
    """Families of so many pairs, each with its own prompts."""
    families = [f"{name}{i // pairs}" for i in range(len(values))]
    texts = {family: frozenset({f"prompt of {family}"}) for family in families}
    return Sample(np.asarray(values, float), Units.by_family(families), texts)


def drawn(seed, mean, families, name, spread=1.0):
    random = np.random.default_rng(seed)
    own = np.repeat(random.normal(0, spread, families), 2)
    return sample(mean + own + 0.1 * random.normal(size=2 * families), name)


def slow(here, there, share):
    """p, ratio and interval by leaving out each family in a loop."""

    def jackknife(one, other, statistic):
        total = 0.0
        for which, changed in enumerate((one, other)):
            names = sorted(set(changed.units.of))
            squares = 0.0
            for name in names:
                left = [
                    v for v, u in zip(changed.values, changed.units.of, strict=True) if u != name
                ]
                pair = (left, other.values) if which == 0 else (one.values, left)
                squares += (statistic(*pair) - statistic(one.values, other.values)) ** 2
            total += (len(names) - 1) / len(names) * squares
        return total**0.5

    def difference(a, b):
        return sum(a) / len(a) - share * sum(b) / len(b)

    def ratio(a, b):
        return (sum(a) / len(a)) / (sum(b) / len(b))

    freedom = min(here.units.n, there.units.n) - 1
    t = difference(here.values, there.values) / jackknife(here, there, difference)
    reach = stats.t.ppf(0.975, freedom) * jackknife(here, there, ratio)
    middle = ratio(here.values, there.values)
    return 2 * stats.t.sf(abs(t), freedom), middle, middle - reach, middle + reach


@pytest.mark.parametrize(
    ("here", "there", "word"),
    [
        (drawn(1, 8, 12, "h"), drawn(2, 9, 10, "t"), "supported"),
        (drawn(3, 1, 9, "h"), drawn(4, 9, 14, "t"), "refuted"),
        (drawn(5, 4.6, 9, "h"), drawn(6, 9, 9, "t"), "inconclusive"),
        (drawn(7, -8, 12, "h"), drawn(8, -9, 10, "t"), "supported"),
        (drawn(9, 8, 12, "h"), drawn(10, -9, 10, "t"), "refuted"),
    ],
)
def test_the_figures_are_those_of_a_slow_jackknife(here, there, word):
    found = judge_transfers(here, there, CLAIM, 0.05)
    p, ratio, low, high = slow(here, there, 0.5)
    assert found.verdict == word
    assert found.p == pytest.approx(max(p, 2.0 ** (1 - found.n_units)))
    assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx((ratio, low, high))
    assert found.n_units == min(here.units.n, there.units.n)
    assert (found.kind, found.unit) == ("transfers", "share")
    assert found.because.startswith(
        f"{here.units.n} families here and {there.units.n} families there"
    )


def test_without_an_effect_there_is_nothing_to_be_found_again():
    found = judge_transfers(drawn(1, 8, 12, "h"), drawn(2, 0, 12, "t"), CLAIM, 0.05)
    assert (found.verdict, found.p) == ("inconclusive", None)
    assert "no impact is shown there that could be found again" in found.because


def test_so_few_families_can_show_nothing():
    found = judge_transfers(drawn(1, 8, 12, "h"), drawn(2, 9, 5, "t"), CLAIM, 0.05)
    assert (found.verdict, found.floor) == ("untestable", 0.0625)
    assert (
        "12 families here and 5 families there, which can give no p below 0.0625" in found.because
    )


def test_families_that_are_in_both_are_left_out_of_both():
    here, there = drawn(1, 8, 12, "h"), drawn(2, 9, 12, "t")
    alone = judge_transfers(here, there, CLAIM, 0.05)
    # The same name, and in another one a prompt of another name.
    again = {"same": frozenset({"x"}), "mine": frozenset({"y", "z"})}
    more_here = Sample(
        np.r_[here.values, 90.0, 90.0],
        Units.by_family([*here.units.of, "same", "mine"]),
        {**here.texts, **again},
    )
    again = {"same": frozenset({"another"}), "theirs": frozenset({"z"})}
    more_there = Sample(
        np.r_[there.values, -90.0, -90.0],
        Units.by_family([*there.units.of, "same", "theirs"]),
        {**there.texts, **again},
    )
    assert in_both(more_here, more_there) == ({"same", "mine"}, {"same", "theirs"})
    found = judge_transfers(more_here, more_there, CLAIM, 0.05)
    assert (found.estimate, found.p, found.n_units) == (alone.estimate, alone.p, alone.n_units)
    assert "without 2 families that are in both" in found.because
    assert "in both" not in alone.because


@pytest.mark.parametrize("which", ["here", "there"])
def test_a_verdict_that_one_family_carries_does_not_stand(which):
    here = drawn(1, 5.8, 8, "h", 0.5)
    there = drawn(2, 9, 8, "t", 0.5)
    if which == "here":
        here.values[:2] += 6
    else:
        there.values[:2] -= 8
    found = judge_transfers(here, there, CLAIM, 0.05)
    assert found.verdict == "inconclusive"
    assert found.p <= 0.05
    assert found.ci_low > 0.5
    assert f"but one family {which} carries it: {which[0]}" in found.because


def test_noise_of_the_device_is_no_effect():
    here, there = drawn(1, 8, 12, "h"), drawn(2, 9, 12, "t")
    found = judge_transfers(here, there, CLAIM, 0.05, noise=3.0)
    assert found.verdict == "inconclusive"
    assert found.because.endswith(
        "but an edit that changes nothing seems to move a prompt by 3 nats"
    )
    nothing = judge_transfers(here, there, CLAIM, 0.05, noise=20.0)
    assert "no impact is shown there" in nothing.because


def test_what_cannot_be_had_is_said():
    found = judge_transfers(drawn(1, 8, 12, "h"), "it is gone", CLAIM, 0.05)
    assert (found.verdict, found.because, found.p) == ("untestable", "it is gone", None)
