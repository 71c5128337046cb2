"""What a plan says of the smallest p, without arrays, is what the flips give, in every size of design."""

import pytest

from harness.specs import design as plain
from harness.stats import sign_flips as flips


def test_a_plan_and_the_flips_change_at_the_same_numbers_of_units():
    assert plain.FULL_GROUP_UNITS == flips.FULL_GROUP_UNITS
    sizes = {2**bits - 1: 2 * bits for bits in flips.FIELDS}
    assert sizes == plain.SUBGROUP_BITS
    assert 2**plain.RANDOM_BITS == flips.DRAWS + 1


@pytest.mark.parametrize(
    "units", [1, 2, 5, 15, 16, 17, 18, 100, 254, 255, 256, 257, 510, 511, 512, 600]
)
def test_the_smallest_p_is_that_of_the_flips_that_are_taken(units):
    """A full group always holds the opposite of a flip; of the others, one flip is promised."""
    group = flips.sign_flips(units)
    assert plain.smallest_p(units) * (group.count + (not group.exact)) == (2 if units <= 16 else 1)
