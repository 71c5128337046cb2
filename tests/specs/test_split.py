"""Families on two sides."""

import random

from hypothesis import given
from hypothesis import strategies as st

from harness.specs.split import split
from tests.helpers.specs import behaviour_spec

names = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=30, unique=True)


@given(names, st.integers(0, 99), st.sampled_from([0, 0.3, 0.5, 0.9]))
def test_every_family_is_on_one_side_whatever_the_order(families, seed, share):
    spec = behaviour_spec(split={"discovery": share, "seed": seed})
    sides = split(families, spec)
    assert set(sides) == set(families)
    shuffled = random.Random(seed).sample(families, len(families))
    assert split(shuffled, spec) == sides
    discovering = sum(side == "discovery" for side in sides.values())
    assert discovering == (0 if not share else -int(-share * len(families) // 1))


def test_another_seed_splits_another_way():
    families = [f"f{i}" for i in range(20)]
    assert split(families, behaviour_spec(split={"seed": 1})) != split(
        families, behaviour_spec(split={"seed": 2})
    )
