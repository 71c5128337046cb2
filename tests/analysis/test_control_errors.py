"""What a claim would be called of its controls, beside verdicts that are worked out by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.control_errors import ControlErrors, control_errors, with_control_errors
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import AblationClaim

ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
TOWARD = {"name": "c", "ablation": "a", "direction": "toward-correct", "beyond": "controls"}
FAMILIES = 8


def claimed(**changes):
    return AblationClaim.model_validate(TOWARD | changes)


def impacts(seed, sets=30, target=0.0, spread=1.0, **more):
    """A target and control sets, of one prompt a family; every set has a mean of its own."""
    random = np.random.default_rng(seed)
    means = random.normal(0.3, spread, sets)
    return AblationImpacts(
        ABLATION,
        target + random.normal(0, 0.3, FAMILIES),
        means[:, None] + random.normal(0, 0.3, (sets, FAMILIES)),
        Units.by_family([f"family-{i}" for i in range(FAMILIES)]),
        **more,
    )


def shown_side(values, alpha):
    """1 or -1 where the mean is shown to lie there, else 0: all flips, and t intervals, one left out or none."""
    flipped = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=len(values))]
    if np.mean([one >= abs(sum(values)) - 1e-9 for one in flipped]) > alpha:
        return 0
    sides = set()
    for rest in [values, *(np.delete(values, i) for i in range(len(values)))]:
        half = stats.t.ppf(1 - alpha / 2, len(rest) - 1) * np.std(rest, ddof=1) / len(rest) ** 0.5
        sides.add(0 if abs(np.mean(rest)) <= half else int(np.sign(np.mean(rest))))
    return sides.pop() if len(sides) == 1 else 0


def verdict_of(own, others, alpha=0.05):
    """The claim's three parts, as docs/statistics.md has them."""
    difference = [a - np.mean([one[i] for one in others]) for i, a in enumerate(own)]
    means = [np.mean(one) for one in others]
    above = (1 + sum(one >= np.mean(own) for one in means)) / (len(others) + 1)
    below = (1 + sum(one <= np.mean(own) for one in means)) / (len(others) + 1)
    if shown_side(own, alpha / 3) == -1 or below <= alpha / 3:
        return "refuted"
    shown = shown_side(own, alpha) == shown_side(np.array(difference), alpha) == 1
    return "supported" if shown and above <= alpha else "inconclusive"


@pytest.mark.parametrize("seed", range(4))
def test_each_control_is_judged_among_the_others_and_the_target_is_not_there(seed):
    of = impacts(seed, target=50.0)  # among them it would outrank every control
    sets = of.controls.tolist()
    expected = [
        verdict_of(np.array(own), [one for j, one in enumerate(sets) if j != i])
        for i, own in enumerate(sets)
    ]
    found = control_errors(of, claimed(), 0.05)
    assert found == ControlErrors(30, expected.count("supported"), expected.count("refuted"))
    assert found.supported
    assert found.refuted


def test_what_a_set_is_like_goes_with_it_into_the_target_s_place():
    """Two sets do more than others of their size, and less than most: beside their size they rank first.

    So none is supported, where two would be whose size alone moves the answers.
    """
    random = np.random.default_rng(3)
    size = np.sort(random.normal(0, 1, 41))
    size = np.array([size[20], *size[:20], *size[21:]])
    moved = 10 + 2 * size[1:] + np.where(np.arange(40) < 2, 0.5, 0.0)
    values = moved[:, None] + random.normal(0, 0.1, (40, FAMILIES))
    of = impacts(3)
    plain = AblationImpacts(ABLATION, of.target, values, of.units)
    assert control_errors(plain, claimed(), 0.05) == ControlErrors(40, 2, 0)
    profiles = np.column_stack([size, np.zeros(41), np.zeros(41)])
    beside = AblationImpacts(ABLATION, of.target, values, of.units, profiles=profiles)
    assert control_errors(beside, claimed(), 0.05) == ControlErrors(40, 0, 0)


def test_answers_that_a_control_destroys_are_its_own():
    of = impacts(0)
    supported = control_errors(of, claimed(), 0.05).supported
    assert supported == 1
    best = int(of.controls.mean(axis=1).argmax())
    mass = np.zeros((31, FAMILIES))
    mass[1 + best] = -5.0
    destroyed = impacts(0, mass=mass)
    assert control_errors(destroyed, claimed(), 0.05).supported == 0
    assert control_errors(destroyed, claimed(keeps=6.0), 0.05).supported == 1


def test_a_verdict_says_what_it_would_be_of_its_controls():
    of = impacts(1, balance={"edit size": 0.4})
    verdict = judge_ablation(of, claimed(), 0.05)
    errors = control_errors(of, claimed(), 0.05)
    found = with_control_errors(verdict, of, claimed(), 0.05)
    assert found.because == (
        f"{verdict.because}; of its 30 controls, each in its place, {errors.supported} would be "
        f"supported and {errors.refuted} refuted"
    )
    assert found.verdict == verdict.verdict


@pytest.mark.parametrize(
    "changes, sets, balance",
    [
        ({"beyond": "zero"}, 30, {}),
        ({"direction": None, "within": 0.5}, 30, {}),
        ({}, 19, {}),  # one has 18 others, whose rank cannot reach .05
        ({}, 30, {"edit size": 0.9}),
    ],
)
def test_it_says_nothing_where_there_is_nothing_to_say(changes, sets, balance):
    of = impacts(2, sets=sets, balance=balance)
    claim = claimed(**changes)
    verdict = judge_ablation(of, claim, 0.05)
    assert with_control_errors(verdict, of, claim, 0.05) == verdict
    twenty = impacts(2, sets=20)
    assert control_errors(twenty, claimed(), 0.05).sets == 20
