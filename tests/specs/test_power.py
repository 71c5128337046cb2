"""What a design can show, known before anything is run."""

import pytest

from harness.specs.design import families_needed, needed_in_all, smallest_effect, smallest_p
from harness.stats.power import minimum_detectable
from harness.stats.sign_flips import sign_flips


@pytest.mark.parametrize("units", [2, 5, 9, 16])
def test_the_smallest_p_is_what_the_flips_can_give(units):
    assert smallest_p(units) == sign_flips(units).floor


def test_no_design_is_promised_a_smaller_p_than_its_flips_give():
    for units in (17, 20, 40, 200, 300, 600):
        assert smallest_p(units) <= sign_flips(units).floor


def test_the_families_needed_are_the_fewest_whose_flips_reach_alpha():
    assert families_needed(0.05) == 6
    assert smallest_p(5) == 0.0625
    assert needed_in_all(6, 0.5) == 12
    assert needed_in_all(6, 0.0) == 6


@pytest.mark.parametrize("families", [5, 6, 12, 20, 100])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6144])
def test_plan_finds_the_detectable_effect_as_the_statistics_do(families, alpha):
    expected = minimum_detectable(families, alpha=alpha)
    assert smallest_effect(families, alpha) == pytest.approx(expected, rel=1e-3)
