"""What claims can be given at best, and what is said where they cannot all be supported."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from harness.analysis.mean_verdicts import Bound, judge_mean
from harness.analysis.over_claims import over_claims
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.specs.plan_checks import unreachable
from harness.specs.reach import dependent, holm, never_together, smallest_p_values
from harness.stats import control_rank_p, paired_max_t, residual_rank_p, simultaneous_equivalence
from harness.stats import holm as holm_of_arrays
from tests.helpers.specs import behaviour_plan

MOVED = {"name": "moved", "behaviour": "logit_difference", "direction": "greater"}
SAME = {"name": "same", "behaviour": "logit_difference", "within": 1.0}
EXIST = {"name": "exist", "features": "significant", "at_least": 1}
ALIKE = {"name": "alike", "features": "significant", "at_most": 0, "margin": 9.0}
MATTERS = {"name": "matters", "ablation": "top", "direction": "toward-correct"}
NOTHING = {"name": "nothing", "ablation": "top", "within": 1.0}
GUARD = {"name": "guard", "features": "significant", "at_most": 0, "guard": True}
KNOWN = {"name": "known", "features": "truth", "at_least": 1}


def design(confirming, *claims, controls=99, directions=0, **fields):
    """A plan with so many families, all of them on the confirming side."""
    top = {"name": "top", "select": {"by": "list", "features": {1: (3,)}}, "controls": controls}
    top |= {"directions": directions, "doses": (0.0, 0.5)}
    return behaviour_plan(
        confirming, claims=claims, ablations=(top,), split={"discovery": 0}, **fields
    )


def named(claim, *names):
    return [claim | {"name": name} for name in names]


@pytest.mark.parametrize("families", [4, 6, 9, 16])
def test_the_smallest_p_are_those_that_the_clearest_data_give(families):
    lowest = smallest_p_values(design(families, MOVED, SAME, EXIST, ALIKE, MATTERS, NOTHING))
    units = np.array([f"f{i}" for i in range(families)])
    spread = 1e-3 * np.arange(1.0, families + 1)
    blank = Verdict("c", "behaviour", "nats")
    own = Units.by_family(units)
    assert judge_mean(blank, 1 + spread, own, Bound(0, None), 1, 0.3).p == lowest["moved"]
    assert judge_mean(blank, 1e-6 * spread, own, Bound(0, 1), 0, 0.3).p == pytest.approx(
        lowest["same"]
    )
    assert lowest["same"] == lowest["nothing"]
    rows = np.column_stack([1 + spread, np.zeros(families)])
    assert paired_max_t(rows, units=units).p_adjusted.min() == lowest["exist"]
    same = simultaneous_equivalence(rows, units=units, margin=1e4)
    assert same.p_inside.min() == pytest.approx(lowest["alike"], rel=1e-12)
    sets = np.random.default_rng(0).normal(size=99)
    ranks = residual_rank_p(100, sets, np.zeros((100, 1))), control_rank_p(100, sets)
    assert set(ranks) == {0.01}
    assert lowest["matters"] == max(0.01, lowest["moved"])


@pytest.mark.parametrize("families", [17, 24])
def test_a_subgroup_of_flips_gives_no_smaller_p(families):
    lowest = smallest_p_values(design(families, MOVED, SAME))
    units = np.array([f"f{i}" for i in range(families)])
    values = 1 + 1e-3 * np.arange(1.0, families + 1)
    for alternative, name in (("two-sided", "moved"), ("greater", "same")):
        test = paired_max_t(values, units=units, statistic="mean", alternative=alternative)
        assert lowest[name] <= test.p_marginal[0] <= 2 * lowest[name]


def test_holm_is_that_of_the_statistics():
    random = np.random.default_rng(0)
    for n in (1, 2, 3, 5, 8, 8, 8):
        p = random.choice([0.0, 0.001, 0.01, 0.02, 0.05, 1.0], n).tolist()
        by_name = holm({str(i): one for i, one in enumerate(p)})
        ordered = [by_name[str(i)] for i in range(n)]
        assert ordered == holm_of_arrays(p).tolist()
        assert ordered == pytest.approx(list(multipletests(p, method="holm")[1]))


DESIGNS = [
    (6, (MOVED,), {}),
    (6, (MOVED, SAME), {}),
    (6, (MOVED, EXIST), {}),
    (7, (MOVED, EXIST, SAME), {}),
    (8, (MOVED, EXIST, MATTERS), {}),
    (12, (MOVED, *named(MATTERS, "a", "b", "c")), {"controls": 59}),
    (12, (MOVED, *named(MATTERS, "a", "b", "c")), {"controls": 60}),
    (12, (*named(MATTERS, "a", "b", "c", "d"),), {"controls": 79}),
    (12, (*named(MATTERS, "a", "b", "c"), MOVED, EXIST), {"controls": 19}),
    (12, (MATTERS, MOVED, EXIST, SAME), {"controls": 19}),
    (12, (MATTERS, MOVED, EXIST, SAME), {"controls": 39}),
]


@pytest.mark.parametrize("families, claims, fields", DESIGNS)
def test_it_is_said_exactly_where_the_clearest_results_would_not_all_be_supported(
    families, claims, fields
):
    plan = design(families, *claims, **fields)
    lowest = smallest_p_values(plan)
    drawn = [Verdict(name, "x", "nats", "supported", p=p) for name, p in lowest.items()]
    lost = [one.claim for one in over_claims(drawn, plan.spec) if one.verdict != "supported"]
    said = never_together(plan)
    assert bool(said) == bool(lost)
    faults = unreachable(plan, lambda *at: "/".join(map(str, at)))
    assert [(one.where, one.what, one.remedy) for one in faults] == [
        ("claims", *one) for one in ([said] if said else [])
    ]
    if said:
        assert re.findall(r"(\w+) has p_holm", said[0]) == lost[:3]


@pytest.mark.parametrize("families, claims, fields", DESIGNS)
def test_on_how_many_others_a_claim_depends_is_that_of_every_set_of_others(
    families, claims, fields
):
    plan = design(families, *claims, **fields)
    lowest = smallest_p_values(plan)
    told = {}
    for note in dependent(plan):
        others = int(re.search(r"only where (\d+) other", note)[1])
        told |= dict.fromkeys(re.findall(r"(\w+) \(smallest p", note), others)
    wanted = {}
    for name in lowest:
        rest = [one for one in lowest if one != name]
        least = next(
            (
                k
                for k in range(len(lowest))
                for some in combinations(rest, k)
                if holm_of_arrays([lowest[one] if one in (name, *some) else 1.0 for one in lowest])[
                    list(lowest).index(name)
                ]
                <= 0.05
            ),
            0,
        )
        wanted |= {name: least} if least else {}
    assert told == wanted


@pytest.mark.parametrize("say", [never_together, dependent])
@pytest.mark.parametrize("families, claims, fields", DESIGNS)
def test_what_is_advised_suffices_and_no_less_does(families, claims, fields, say):
    found = say(design(families, *claims, **fields))
    if not found:
        return
    remedy = found[1] if say is never_together else found[0]
    assert "declare `order: fixed-sequence`, or say why not in `unadjusted:`" in remedy
    asked = re.search(r"needs (\d+) families", remedy)
    more = re.search(r"ask for (\d+) controls", remedy)
    n = int(asked[1]) if asked else families
    sets = int(more[1]) if more else fields.get("controls", 99)
    assert asked or more
    assert not say(design(n, *claims, controls=sets))
    if asked:
        assert say(design(n - 1, *claims, controls=sets))
    if more:
        assert say(design(n, *claims, controls=sets - 1))


@pytest.mark.parametrize("waived", [{"order": "fixed-sequence"}, {"unadjusted": "each is alone"}])
def test_claims_that_are_not_corrected_reach_what_each_does(waived):
    plan = design(6, MOVED, EXIST, MATTERS, **waived)
    assert not never_together(plan)
    assert not dependent(plan)


def test_what_does_not_count_in_the_correction_does_not_count_here():
    assert not never_together(design(6, MOVED, GUARD))
    assert not dependent(design(6, MOVED, GUARD))
    assert never_together(design(6, MOVED, KNOWN))
    known = design(6, MOVED, KNOWN)
    unknown = replace(known, target=replace(known.target, truth=None))
    assert list(smallest_p_values(unknown)) == ["moved"]
    assert not never_together(unknown)


def test_each_kind_of_claim_has_the_smallest_p_of_its_own_test():
    claims = (
        {"name": "beside", "ablation": "top", "direction": "toward-correct", "beyond": "directions"},
        {"name": "share", "share": "top", "than": 0.5},
        {"name": "rises", "monotone": "top", "direction": "toward-correct"},
        {"name": "specific", "specific": "top", "within": 1.0},
        {"name": "kl", "collateral": "top", "prompts": "o", "within": 1.0},
        {"name": "others", "collateral": "top", "prompts": "o", "within": 1.0, "metric": "log_p_correct"},
    )  # fmt: skip
    plan = design(8, *claims, directions=39)
    other = plan.prompts[: len(plan.prompts) * 7 // 8]  # of seven families
    assert smallest_p_values(replace(plan, others={"o": other})) == {
        "beside": 1 / 40,
        "share": 2**-7,
        "rises": 2**-7,
        "specific": 2**-8,
        "kl": 2**-6,
        "others": 2**-7,
    }
    plan = replace(plan, others={"o": plan.prompts})
    assert "ask for 119 directions" in dependent(plan)[0]


def test_a_claim_that_cannot_reach_alpha_alone_is_said_alone():
    few = design(5, MOVED, EXIST)
    faults = unreachable(few, lambda *at: "x")
    assert [one.what.split("'")[1] for one in faults] == ["moved", "exist"]
