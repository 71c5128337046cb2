"""Claims beyond a baseline: of sets that do more than it, as much, less, or nothing at all."""

import numpy as np
import pytest

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.baseline_tests import baseline_tests
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import AblationClaim

ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
FAMILIES, PAIRS = 12, 2
NAMES = np.repeat([f"f{i:02}" for i in range(FAMILIES)], PAIRS)


def impacts_of(target, baseline, seed=0, **more):
    """Impacts of these means, of families that differ in what both of them do."""
    random = np.random.default_rng(seed)
    shared = np.repeat(random.normal(0, 1.0, FAMILIES), PAIRS)
    own, other = random.normal(0, 0.2, (2, len(NAMES)))
    return AblationImpacts(
        ABLATION, target + shared + own, np.zeros((0, len(NAMES))), Units.by_family(NAMES),
        baselines={"probe": baseline + shared + other, "neurons": np.zeros(len(NAMES))}, **more,
    )  # fmt: skip


def judged(impacts, **changes):
    claim = {"name": "c", "ablation": "a", "direction": "toward-correct", "beyond": "probe"}
    return judge_ablation(impacts, AblationClaim.model_validate(claim | changes), 0.05)


def test_a_set_that_does_more_is_supported_and_both_impacts_are_said():
    impacts = impacts_of(3.0, 2.5)
    found = judged(impacts)
    assert found.verdict == "supported", found.because
    assert found.estimate == pytest.approx(np.mean(impacts.target - impacts.baselines["probe"]))
    assert found.ci_low < found.estimate < found.ci_high
    assert f"by itself {impacts.target.mean():+.3g} nats" in found.because
    assert f"the probe's direction {impacts.baselines['probe'].mean():+.3g} nats" in found.because
    # What families share cancels prompt by prompt: the difference is surer than either.
    assert found.ci_high - found.ci_low < 0.5


def test_a_set_that_does_as_much_is_inconclusive():
    found = judged(impacts_of(3.0, 3.0, seed=3))
    assert found.verdict == "inconclusive"
    assert "not shown: beyond the probe's direction" in found.because


def test_a_set_that_does_less_than_its_baseline_is_refuted_though_it_moves_the_answers():
    found = judged(impacts_of(3.0, 3.5))
    assert found.verdict == "refuted"
    assert "the other way: beyond the probe's direction" in found.because
    assert found.p <= 0.05


def test_a_baseline_that_does_harm_is_not_enough():
    found = judged(impacts_of(0.0, -3.0, seed=2))
    assert found.verdict == "inconclusive"
    assert "not shown: its own impact" in found.because
    harmful = judged(impacts_of(-3.0, -5.0))
    assert harmful.verdict == "refuted"
    assert "the other way: its own impact" in harmful.because


def test_answers_that_were_destroyed_and_noise_are_no_support():
    mass = np.full((3, len(NAMES)), -5.0)
    assert "the answers were destroyed" in judged(impacts_of(3.0, 2.5, mass=mass)).because
    noisy = judged(impacts_of(3.0, 2.5, noise=1.0))
    assert noisy.verdict == "inconclusive"
    assert "noise" in noisy.because


def test_the_other_baseline_and_a_part_of_the_prompts_are_held_apart():
    impacts = impacts_of(3.0, 3.5)
    assert judged(impacts, beyond="neurons").verdict == "supported"
    half = np.arange(len(NAMES)) % 2 == 0
    part = impacts.only(half)
    assert part.baselines["probe"].tolist() == impacts.baselines["probe"][half].tolist()
    of = np.mean((impacts.target - impacts.baselines["probe"])[half])
    assert judged(part).estimate == pytest.approx(of)


def test_the_rows_are_flips_of_the_families_differences():
    impacts = impacts_of(3.0, 2.9, seed=1)
    (rows,) = baseline_tests({"logit_difference": impacts}, "r", "mock")
    row = next(one for one in rows.rows() if one["baseline"] == "probe")
    each = (impacts.target - impacts.baselines["probe"]).reshape(FAMILIES, PAIRS).sum(axis=1)
    flips = [abs(sum(s * d for s, d in zip(signs, each, strict=True))) for signs in every_sign()]
    assert row["p"] == pytest.approx(np.mean(np.array(flips) >= abs(each.sum()) - 1e-9))
    assert row["difference"] == pytest.approx(row["target_impact"] - row["baseline_impact"])
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert not baseline_tests({"kl": impacts_of(np.nan, 0.0)}, "r", "mock")


def every_sign():
    for number in range(2**FAMILIES):
        yield [1 if number >> i & 1 else -1 for i in range(FAMILIES)]
