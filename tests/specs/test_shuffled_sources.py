"""Whose values a family has in each shuffled edit, and among how many arrangements the true one ranks."""

import itertools
import json
from dataclasses import replace

import pytest

from harness.specs.ablations import ARRANGEMENTS, Ablation
from harness.specs.contradictions import contradictions
from harness.specs.plan_checks import unreachable
from harness.specs.reach import never_together, smallest_p_values
from harness.specs.shuffled_sources import arrangements, lenders, shuffles_of
from harness.specs.workload import workload
from tests.helpers.specs import behaviour_plan, behaviour_spec

SWAP = {
    "name": "top", "select": {"by": "list", "features": {0: (1,)}}, "kind": "resample", "source": "pair",
}  # fmt: skip
BEYOND = {"name": "c", "ablation": "top", "direction": "toward-correct", "beyond": "shuffled"}


def design(families=9, shuffled=99, seed=0, **claim):
    """A plan in which all of so many families confirm."""
    return behaviour_plan(
        families,
        split={"discovery": 0, "seed": seed},
        ablations=(SWAP | {"shuffled": shuffled},),
        claims=(BEYOND | claim,),
    )


def dealt(plan):
    (ablation,) = plan.ablations
    return [lenders(plan, ablation, i) for i in range(shuffles_of(plan, ablation))]


@pytest.mark.parametrize("families", [2, 3, 8, 9])
def test_no_family_has_its_own_source_or_another_one_twice(families):
    plan = design(families)
    found = dealt(plan)
    names = {*plan.families("confirmation")}
    assert len(found) == families - 1
    for one in found:
        assert {*one} == {*one.values()} == names
    for family in names:
        assert sorted(one[family] for one in found) == sorted(names - {family})


def test_fewer_are_the_first_of_all_and_another_seed_or_name_deals_others():
    every = dealt(design())
    assert dealt(design()) == every
    assert dealt(design(shuffled=3)) == every[:3]
    assert dealt(replace(design(), sides=dict(reversed(design().sides.items())))) == every
    assert dealt(design(seed=1)) != every
    plan = design()
    (ablation,) = plan.ablations
    other = ablation.model_copy(update={"name": "other"})
    assert lenders(plan, other, 0) != every[0]


def test_only_confirming_families_lend():
    plan = behaviour_plan(12, split={"discovery": 0.5}, ablations=(SWAP | {"shuffled": 99},))
    found = dealt(plan)
    assert len(found) == len(plan.families("confirmation")) - 1 < 10
    assert {*found[0]} == {*plan.families("confirmation")}


@pytest.mark.parametrize("families, asked", [(2, 2), (4, 4), (5, 3), (6, 2), (9, 9)])
def test_arrangements_are_counted_by_listing_them(families, asked):
    listed = sum(1 for _ in itertools.permutations(range(families), asked)) - 1
    assert arrangements(99, families, asked) == min(listed, ARRANGEMENTS)
    assert arrangements(families - 1, families, asked) == min(listed, ARRANGEMENTS)
    if families > 2:
        assert arrangements(families - 2, families, asked) == families - 2


def test_the_smallest_p_is_that_of_flips_or_of_the_rank():
    assert smallest_p_values(design(7))["c"] == 2 / 2**7
    assert smallest_p_values(design(16))["c"] == 1 / (ARRANGEMENTS + 1)
    assert smallest_p_values(design(9, shuffled=4))["c"] == 1 / 5
    (fault,) = unreachable(design(9, shuffled=4), lambda *at: "x")
    assert "its rank among 4 shuffled can give no p below 0.2" in fault.what
    assert fault.remedy == "ask for 8 shuffled"
    assert not unreachable(design(9, shuffled=8), lambda *at: "x")
    part = design(9, where={"quantity": "none"})
    assert smallest_p_values(part)["c"] == 1.0


def test_claims_that_a_rank_keeps_apart_are_told_how_many_there_are():
    four = tuple({**BEYOND, "name": f"c{i}"} for i in range(4))
    plan = behaviour_plan(
        30, split={"discovery": 0}, ablations=(SWAP | {"shuffled": 25},), claims=four
    )
    found = never_together(plan)
    assert found is not None
    assert "ask for 29 shuffled" in found[1]
    assert never_together(design(30)) is None


def test_each_costs_a_forward_of_its_own_and_of_its_sources():
    def tokens(shuffled):
        (work,) = (one for one in workload(design(9, shuffled)) if one.stage == "ablate")
        return work.tokens, work.replays

    (none, replays), (some, more), (most, all_of_them) = tokens(0), tokens(4), tokens(99)
    assert (more - replays, all_of_them - replays) == (4, 8)
    assert most - none == pytest.approx(2 * (some - none))
    assert some > none


def test_an_ablation_without_is_hashed_as_before():
    plain, asked = Ablation.model_validate(SWAP), Ablation.model_validate(SWAP | {"shuffled": 3})
    assert "shuffled" not in json.dumps(plain.model_dump(by_alias=True))
    assert asked.model_dump(by_alias=True)["shuffled"] == 3
    assert (
        behaviour_spec(ablations=(SWAP,)).hash
        != behaviour_spec(ablations=(SWAP | {"shuffled": 3},)).hash
    )


@pytest.mark.parametrize(
    "changes",
    [{"kind": "zero", "source": None}, {"source": "random"}, {"kind": "mean", "source": None}],
)
def test_only_values_of_the_own_pair_are_shuffled(changes):
    top = {key: value for key, value in (SWAP | changes).items() if value is not None}
    spec = behaviour_spec(ablations=(top | {"shuffled": 3},))
    assert [path[-1] for path, *_ in contradictions(spec)] == ["shuffled"]
    assert not contradictions(behaviour_spec(ablations=(SWAP | {"shuffled": 3},)))


def test_a_claim_beyond_what_there_is_not_is_refused():
    spec = behaviour_spec(ablations=(SWAP,), claims=(BEYOND,))
    ((path, what, remedy),) = contradictions(spec)
    assert path == ("claims", 0, "beyond")
    assert "no sources of other families" in what
    assert "shuffled: 99" in remedy
