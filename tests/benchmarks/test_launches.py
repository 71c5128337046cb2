"""A slice of the benchmark that counts launches: an edit asks a device for a fraction of a forward."""

import pytest

from benchmarks.launches import launches
from harness.paths import bundled


@pytest.mark.slow
def test_an_edit_asks_for_a_fraction_of_what_a_forward_of_its_own_does(figures):
    held = launches(bundled("evals", "voices.yaml"), 2)
    shown = figures()
    assert len(shown) == len(held) == 4
    assert all(held), shown
