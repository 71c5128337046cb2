"""On what impacts depend: against families' own differences, least squares by hand, and known truths."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binom, t
from statsmodels.genmod.generalized_estimating_equations import GEE

from harness.analysis.moderator_rows import moderator_rows
from harness.analysis.moderators import moderations
from harness.specs.intervention import Intervention
from harness.store.tables.interventions import Impacts
from tests.helpers.activity import rows_of
from tests.helpers.specs import ablation_plan, family_lines

RANDOM = np.random.default_rng(0)


def names(letter, codes):
    return np.array([f"{letter}{code:02}" for code in codes])


def draw(families=10, size=6, shift=0.0, slopes=0.0, random=RANDOM):
    """Impacts of prompts whose families have levels and effects of their own, with their condition."""
    of = np.repeat(np.arange(families), size)
    late = np.tile(np.arange(size) % 2, families)
    y = random.normal(size=families)[of] + random.normal(size=families * size)
    y += (shift + slopes * random.normal(size=families)[of]) * late
    return y, names("f", of), np.where(late, "late", "early")


def test_within_families_it_is_the_mean_of_their_own_differences():
    y, families, condition = draw()
    (found,) = moderations(y, families, {"condition": condition})
    differences = np.array(
        [
            y[(families == one) & (condition == "late")].mean()
            - y[(families == one) & (condition == "early")].mean()
            for one in sorted(set(families))
        ]
    )
    n = len(differences)
    # Each family's difference from what the others say, squared and added up.
    error = (
        np.sqrt(sum((d - np.delete(differences, i).mean()) ** 2 for i, d in enumerate(differences)))
        / n
    )
    half = t.ppf(0.975, n - 1) * error
    assert found.estimate == pytest.approx(differences.mean())
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (found.estimate - half, found.estimate + half)
    )
    assert found.p == pytest.approx(2 * t.sf(abs(found.estimate) / error, n - 1))
    assert (found.level, found.method, found.n_rows, found.n_families) == ("late", "GEE", 60, 10)
    assert found.note == "beside early; clustered by family"


def by_hand(y, design, groups):
    """Estimating equations with one correlation in a cluster, and what leaving each cluster out changes."""
    n, k = design.shape
    members = [np.flatnonzero(groups == one) for one in sorted(set(groups))]
    correlation = 0.0

    def solve(rows):
        left, right = np.zeros((k, k)), np.zeros(k)
        for own in rows:
            v = np.full((len(own), len(own)), correlation)
            np.fill_diagonal(v, 1.0)
            left += design[own].T @ np.linalg.inv(v) @ design[own]
            right += design[own].T @ np.linalg.inv(v) @ y[own]
        return np.linalg.solve(left, right)

    for _ in range(60):
        rest = y - design @ solve(members)
        scale = (rest**2).sum() / (n - k)
        pairs = [rest[i] * rest[j] for own in members for i in own for j in own if i < j]
        correlation = sum(pairs) / (len(pairs) - k) / scale
    whole = solve(members)
    moved = [solve([own for own in members if own is not out]) - whole for out in members]
    return whole, np.sqrt(np.sum(np.square(moved), axis=0))


def test_uneven_families_are_solved_as_by_hand():
    random = np.random.default_rng(5)
    of = np.repeat(np.arange(9), random.integers(2, 9, 9))
    form, tone = random.integers(0, 3, len(of)), random.integers(0, 2, len(of))
    y = random.normal(size=9)[of] + 0.4 * tone + random.normal(size=len(of))
    found = moderations(y, names("f", of), {"form": names("v", form), "tone": names("t", tone)})
    design = np.column_stack([np.ones(len(of)), form == 1, form == 2, tone == 1]).astype(float)
    estimates, errors = by_hand(y, design, of)
    assert [(one.term, one.level) for one in found] == [
        ("form", "v01"), ("form", "v02"), ("tone", "t01")
    ]  # fmt: skip
    assert [one.estimate for one in found] == pytest.approx(estimates[1:], rel=1e-4)
    means = np.array([design[of == one].mean(axis=0) for one in range(9)])
    critical = t.ppf(0.975, 9 - np.linalg.matrix_rank(means))
    widths = [(one.ci_high - one.ci_low) / 2 for one in found]
    assert widths == pytest.approx(critical * errors[1:], rel=1e-4)


def sandwich(y, design, groups):
    """Least squares, and the cluster-robust covariance with its usual factor for few clusters."""
    bread = np.linalg.inv(design.T @ design)
    rest = y - design @ bread @ design.T @ y
    sums = [design[groups == one].T @ rest[groups == one] for one in sorted(set(groups))]
    n, k, g = *design.shape, len(sums)
    factor = g / (g - 1) * (n - 1) / (n - k)
    return bread @ design.T @ y, factor * bread @ sum(np.outer(s, s) for s in sums) @ bread


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_principles_that_cross_families_are_clusters_as_well(spread):
    y, families, condition = draw(12, 16, slopes=spread, random=np.random.default_rng(1))
    of = np.arange(len(y)) // 2 % 8
    principles = names("p", of)
    y = y + spread * np.sin(of) * (condition == "late")
    (found,) = moderations(y, families, {"condition": condition}, principles)
    design = np.column_stack([np.ones(len(y)), condition == "late"]).astype(float)
    both = np.char.add(families, principles)
    parts = [sandwich(y, design, groups) for groups in (families, principles, both)]
    variance = (parts[0][1] + parts[1][1] - parts[2][1])[1, 1]
    larger = max(parts[0][1][1, 1], parts[1][1][1, 1])
    assert (variance > larger) == (spread > 0)
    assert (found.method, found.note) == (
        "OLS", "beside early; clustered by family and principle, which cross"
    )  # fmt: skip
    assert found.estimate == pytest.approx(parts[0][0][1])
    half = t.ppf(0.975, 7) * np.sqrt(max(variance, larger))  # there are eight principles
    assert (found.ci_high - found.ci_low) / 2 == pytest.approx(half)


@pytest.mark.parametrize("failure", ["raises", "does not converge"])
def test_where_equations_do_not_converge_least_squares_has_robust_errors(monkeypatch, failure):
    y, families, condition = draw()
    plain = GEE.fit

    def fit(self, **how):
        if failure == "raises":
            raise np.linalg.LinAlgError
        return plain(self, **how, maxiter=1, ctol=1e-30)

    monkeypatch.setattr(GEE, "fit", fit)
    (found,) = moderations(y, families, {"condition": condition})
    design = np.column_stack([np.ones(len(y)), condition == "late"]).astype(float)
    estimates, covariance = sandwich(y, design, families)
    assert found.method == "OLS"
    assert found.estimate == pytest.approx(estimates[1])
    half = t.ppf(0.975, 9) * np.sqrt(covariance[1, 1])
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (estimates[1] - half, estimates[1] + half)
    )


def test_the_order_of_prompts_and_a_factor_change_nothing():
    y, families, condition = draw(shift=1.0)
    first = moderations(y, families, {"condition": condition})
    order = np.random.default_rng(1).permutation(len(y))
    (again,) = moderations(y[order] * 1e-3, families[order], {"condition": condition[order]})
    assert (again.estimate * 1e3, again.p) == pytest.approx((first[0].estimate, first[0].p))


def test_families_with_effects_of_their_own_reject_no_more_than_they_may():
    """Where prompts were taken for independent, a half would be called."""
    random = np.random.default_rng(2)
    p = [
        moderations(y, families, {"condition": condition})[0].p
        for y, families, condition in (draw(8, 8, slopes=1.5, random=random) for _ in range(150))
    ]
    assert sum(one <= 0.05 for one in p) <= binom.ppf(0.999, 150, 0.05)
    found = [moderations(y, families, {"condition": condition})[0]
             for y, families, condition in (draw(8, 8, 2.0, 0.5, random) for _ in range(40))]  # fmt: skip
    assert sum(one.ci_low <= 2 <= one.ci_high for one in found) >= binom.ppf(0.001, 40, 0.95)
    assert sum(one.p <= 0.05 for one in found) >= 30


def test_what_varies_with_principles_is_clustered_by_them_and_they_by_their_families():
    """Each of seven principles has five families, and an effect of its own."""
    random = np.random.default_rng(3)
    called = {"family": 0, "principle": 0}
    for _ in range(60):
        of = np.repeat(np.arange(35), 4)
        late = np.tile([0, 1, 0, 1], 35)
        y = random.normal(size=7)[of // 5] * late + random.normal(0, 0.3, 140)
        terms = {"condition": names("c", late), "principle": names("p", of // 5)}
        for by, principles in (("family", None), ("principle", terms["principle"])):
            found = moderations(y, names("f", of), terms, principles)
            assert found[0].note == f"beside c00; clustered by {by}"
            assert {one.note for one in found[1:]} == {"beside p00; clustered by family"}
            called[by] += found[0].p <= 0.05
    assert called["principle"] <= binom.ppf(0.999, 60, 0.05)
    assert called["family"] > 20


Y, FAMILIES, CONDITION = draw(8, 4)


@pytest.mark.parametrize(
    "impacts, families, levels, said",
    [
        (Y, FAMILIES, np.full(32, "a"), "one level: a"),
        (Y, np.full(32, "f"), CONDITION, "fewer than 6 families say little of their spread"),
        (np.full(32, 1.5), FAMILIES, CONDITION, "every impact is the same"),
        (np.zeros(32), FAMILIES, CONDITION, "every impact is the same"),
        (np.full(32, np.nan), FAMILIES, CONDITION, "no impact was measured"),
        (Y[:0], FAMILIES[:0], CONDITION[:0], "no impact was measured"),
        (Y, FAMILIES, names("l", range(32)), "32 levels, and more than 12 show nothing"),
        (Y, FAMILIES, FAMILIES, "rests on one family alone"),
        (Y, FAMILIES, np.where(FAMILIES == "f03", "a", "b"), "rests on one family alone"),
    ],
)
def test_what_cannot_be_estimated_is_said(impacts, families, levels, said, recwarn, capfd):
    (found,) = moderations(impacts, families, {"x": levels})
    assert found.note == said
    assert (found.level, found.estimate, found.ci_low, found.p, found.method) == (None,) * 5
    assert not recwarn
    assert capfd.readouterr() == ("", "")


def test_of_terms_that_cannot_be_told_apart_the_first_is_estimated():
    first, second = moderations(Y, FAMILIES, {"x": CONDITION, "z": CONDITION})
    assert first.estimate is not None
    assert second.note == "cannot be told apart from x"


def test_without_spread_there_is_an_estimate_alone():
    (found,) = moderations((CONDITION == "late") * 2.0, FAMILIES, {"x": CONDITION})
    assert found.estimate == pytest.approx(2)
    assert (found.ci_low, found.p) == (None, None)
    assert found.note == "beside early; clustered by family; no spread to judge it by"


def test_levels_that_are_numbers_come_by_size_and_one_prompt_a_family_is_enough():
    doses = np.tile(["10", "2", "-1", "x"], 8)
    found = moderations(Y, names("f", range(32)), {"dose": doses})
    assert [one.level for one in found] == ["2", "10", "x"]
    assert {one.note for one in found} == {"beside -1; clustered by family"}


def test_nothing_is_imported_before_there_is_something_to_fit():
    code = "import sys, harness.runner.outcome; print({'statsmodels', 'pandas'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def rows_for(doses, tagged):
    """Rows of an ablation on twelve families, whose impacts are the dose's and the condition's."""
    lines = family_lines(24)
    for line in lines:
        late = line["pair_id"].endswith("rate")
        line["tags"] = {"condition": "late" if late else "early"} if tagged else {}
    plan = ablation_plan(lines)
    one = plan.spec.ablations[0]

    def edit(role, number, values=()):
        return Intervention("top", role, number, "scale", "all", one.variant, ((1, 3),), (), values)

    edits = [edit("target", 0), edit("control", 0),
             *(edit("dose", i, (dose,)) for i, dose in enumerate(doses))]  # fmt: skip
    random = np.random.default_rng(0)
    own = {edits[0].id: 0.0, edits[1].id: 99.0}
    own |= {some.id: 10 * dose for some, dose in zip(edits[2:], doses, strict=True)}
    impacts = Impacts.of(
        {"run_id": "r", "intervention_id": some.id, "prompt_id": p.id, "metric": metric,
         "baseline": 0.0, "edited": 0.0, "active": True, "origin": "mock", "source_id": None,
         "impact": own[some.id] + (p.tags.get("condition") == "late") + random.normal(0, 0.01)
         + 50 * (metric != "logit_difference")}
        for some in edits for p in plan.prompts for metric in ("logit_difference", "kl")
    )  # fmt: skip
    return list(moderator_rows(plan, one, rows_of(edits, impacts), "r", "mock").rows())


def test_tags_moderate_the_target_and_doses_are_beside_each_other():
    rows = rows_for((0.0, 0.5, 1.0, 2.0), tagged=True)
    found = {(row["term"], row["level"]): row for row in rows}
    assert list(found) == [("dose", "0.5"), ("dose", "2"), ("condition", "late")]
    for key, truth in zip(found, (5, 20, 1), strict=True):
        assert found[key]["estimate"] == pytest.approx(truth, abs=0.02)
        assert found[key]["p"] < 1e-6
    assert found["dose", "2"]["note"] == "beside 0; clustered by family"
    assert [row["n_rows"] for row in rows] == [72, 72, 24]  # three doses, and the target alone
    assert {row["n_families"] for row in rows} == {12}


def test_without_doses_and_tags_that_is_said():
    for doses in ((), (1.0,)):
        said = {row["term"]: row["note"] for row in rows_for(doses, tagged=False)}
        assert said == {
            "dose": "the spec asks for no dose that is an edit",
            "tags": "the prompts have none",
        }
    assert rows_for((0.0,), tagged=False)[0]["note"] == "one level: 0"
