"""Baselines as a spec writes them: what contradicts itself, what they cost, and the p that they can give."""

import json

import pytest

from harness.cli.spec_facts import controls_lines
from harness.specs.ablations import Ablation
from harness.specs.contradictions import contradictions
from harness.specs.reach import never_together, ranked_among, smallest_p_values
from harness.specs.workload import replays_of, workload
from tests.helpers.specs import behaviour_plan, behaviour_spec

TOP = {"name": "top", "select": {"by": "list", "features": {0: (1, 2)}}, "controls": 4}
BEYOND = {"name": "c", "ablation": "top", "direction": "toward-correct", "beyond": "probe"}
THREE = ("mean-difference", "probe", "neurons")


def faults(top=None, claim=None, discovery=0.5):
    spec = behaviour_spec(
        ablations=(TOP | (top or {"baselines": ("probe",)}),),
        claims=(BEYOND | (claim or {}),),
        split={"discovery": discovery},
    )
    return contradictions(spec)


def design(baselines=(), families=12, **claim):
    return behaviour_plan(
        families, ablations=(TOP | {"baselines": baselines},), claims=(BEYOND | claim,)
    )


@pytest.mark.parametrize(
    "top, claim, at, says, remedy",
    [
        ({"baselines": ("neurons",)}, {}, ("claims", 0, "beyond"), "held against no probe",
         "give the ablation `baselines: [probe]`"),
        ({"baselines": ("probe", "probe")}, {}, ("ablations", 0, "baselines"), "named twice", "drop one"),
        (None, {"direction": None, "within": 1.0}, ("claims", 0, "within"), "as little as", "direction"),
        (None, {"direction": "toward-misconception"}, ("claims", 0, "direction"),
         "the baseline moves toward-correct", "claim `toward-correct`"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_said_in_one_sentence(top, claim, at, says, remedy):
    (found,) = faults(top, claim)
    assert found[0] == at
    assert says in found[1]
    assert remedy in found[2]
    assert not faults()


def test_random_features_take_no_values_of_other_prompts():
    top = {"baselines": ("random-sae",), "kind": "resample", "source": "pair"}
    (found,) = faults(top, {"beyond": "random-sae"})
    assert found[0] == ("ablations", 0, "baselines")
    assert "no values of other prompts" in found[1]
    assert not faults({"baselines": ("random-sae",)}, {"beyond": "random-sae"})


def test_a_random_dictionary_has_a_stage_and_replays_of_its_own():
    plain, asked = design(beyond="controls"), design(("random-sae",), beyond="random-sae")
    before = {work.name: work for work in workload(plain)}
    after = {work.name: work for work in workload(asked)}
    assert {*after} - {*before} == {"random features top"}
    assert after["ablate top"].replays == before["ablate top"].replays + 1
    more = after["ablate top"].tokens - before["ablate top"].tokens
    assert more > 2 * before["observe"].tokens / before["observe"].rows
    assert asked.ablations[0].directed == ()
    (claim,) = asked.spec.claims
    words = claim.in_words(asked.spec.variants, "logit_difference")
    assert "the same selection in a random SAE, an edit as large on average" in words
    *_, line = controls_lines(asked, asked.ablations)
    assert "baseline random-sae, random-sae as large on average; a p" in line


def test_their_directions_need_families_that_do_not_confirm():
    (found,) = faults(discovery=0.0)
    assert found[0] == ("split", "discovery")
    assert "baselines' directions" in found[1]


def test_a_baseline_that_moves_the_other_way_may_be_selected():
    select = {"by": "contrast", "toward": "misconception"}
    top = {"select": select, "baselines": ("probe",)}
    assert not faults(top, {"direction": "toward-misconception"})
    assert faults(top, {"direction": "toward-correct"})


def test_an_ablation_without_is_hashed_as_before():
    plain, asked = Ablation.model_validate(TOP), Ablation.model_validate(TOP | {"baselines": THREE})
    assert "baselines" not in json.dumps(plain.model_dump(by_alias=True))
    assert asked.model_dump(by_alias=True)["baselines"] == THREE


def test_each_costs_a_replay_and_all_a_forward_of_both_variants():
    without, with_three = design(beyond="controls"), design(THREE)
    (plain,), (three,) = without.ablations, with_three.ablations
    assert replays_of(three) == replays_of(plain) + 3
    before = {work.name: work for work in workload(without)}
    after = {work.name: work for work in workload(with_three)}
    assert {*after} - {*before} == {"baseline directions top"}
    assert after["ablate top"].replays == before["ablate top"].replays + 3
    assert after["ablate top"].tokens > before["ablate top"].tokens
    read, profiled = after["baseline directions top"], before["profile top"]
    assert (read.rows, read.tokens) == (2 * profiled.rows, pytest.approx(2 * profiled.tokens))
    units = with_three.n_units - without.n_units
    assert units == len(with_three.units("baseline directions", "top"))
    side = {
        with_three.sides[unit.family] for unit in with_three.units("baseline directions", "top")
    }
    assert side == {"discovery"}


def test_its_smallest_p_is_that_of_flips_and_no_rank_bounds_it():
    plan = behaviour_plan(
        16, ablations=(TOP | {"baselines": ("probe",), "directions": 3},), claims=(BEYOND,)
    )
    (claim,) = plan.spec.claims
    assert ranked_among(plan, claim) == 0
    assert smallest_p_values(plan) == {"c": 2 / 2**8}
    assert never_together(plan) is None


def test_plan_and_check_say_what_they_can_show():
    *_, line = controls_lines(design(THREE[:2], 16), design(THREE[:2], 16).ablations)
    assert line.startswith("top: baselines mean-difference, probe, as large as the target's edit")
    assert "a p of 0.0078 or more" in line
    assert "found four times in five" in line
    *_, line = controls_lines(design(THREE[:1], 4), design(THREE[:1], 4).ablations)
    assert "baseline mean-difference" in line
    assert "four times" not in line


def test_a_claim_is_said_in_words():
    plan = design(("neurons",), beyond="neurons")
    (claim,) = plan.spec.claims
    words = claim.in_words(plan.spec.variants, "logit_difference")
    assert "beyond the neurons that differ most, an edit as large" in words
