"""Claims by clusters of families: every procedure against loops over clusters, and against families renamed."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from scipy import stats

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.mean_verdicts import side_of
from harness.analysis.pairs import read_pairs
from harness.analysis.run_analysis import Analysis, FeatureResult, analyse
from harness.analysis.units import Units, units_of
from harness.analysis.verdicts import verdicts
from harness.runner.in_process import crew_of
from harness.runner.pipeline import execute
from harness.specs.prompt import pairs_of
from harness.specs.prompt_pairs import complete
from harness.stats import paired_max_t, simultaneous_equivalence
from harness.store.database import Store
from harness.store.prompts import prompt_tables
from harness.store.tables.interventions import SideEffects
from harness.store.tables.results import AblationTests, FeatureTests
from tests.helpers.runs import a_run_context, quiet
from tests.helpers.specs import ablation_plan, behaviour_plan, family_lines, in_clusters

SIZES, THEIRS = (3, 1, 2, 4, 1, 2, 3), (1, 2, 1, 3, 2, 1)
TOP = {"name": "top", "select": {"by": "contrast"}, "doses": (0.0, 0.5), "controls": 20}
TOP |= {"directions": 20}
CLAIMS = {
    "behaviour": {"behaviour": "logit_difference", "contrast": True, "direction": "greater"},
    "behaviour within": {"behaviour": "logit_difference", "contrast": True, "within": 2.5},
    "own": {"ablation": "top", "beyond": "zero", "direction": "toward-correct"},
    "controls": {"ablation": "top", "beyond": "controls", "direction": "toward-correct"},
    "directions": {"ablation": "top", "beyond": "directions", "direction": "toward-correct"},
    "within": {"ablation": "top", "within": 2.5},
    "share": {"share": "top", "than": 0.1},
    "monotone": {"monotone": "top", "direction": "toward-correct"},
    "specific": {"specific": "top", "within": 1.5},
    "collateral": {"collateral": "top", "prompts": "other.jsonl", "within": 1.5},
    "collateral, log p": {"collateral": "top", "prompts": "other.jsonl", "within": 1.5, "metric": "log_p_correct"},
    "features": {"features": "significant", "at_least": 1},
    "features within": {"features": "significant", "at_most": 0, "margin": 4.0},
}  # fmt: skip


def lines_of(sizes, first=0):
    """Families of two pairs each, in clusters of these sizes."""
    lines = [line for line in family_lines(first + sum(sizes)) if int(line["family"][1:]) >= first]
    return in_clusters(lines, sizes)


def renamed(lines):
    """The same where each cluster is one family."""
    return [line | {"family": line["tags"]["principle"], "tags": {}} for line in lines]


def alike(random, lines, spread=1.0):
    """A number of each line's pair, which families of a cluster share in part, in a row a line."""
    of = {}
    for line in lines:
        for name in (line["tags"]["principle"], line["family"], line["pair_id"]):
            of.setdefault(name, random.normal())
    return spread * np.array(
        [of[x["tags"]["principle"]] + (of[x["family"]] + of[x["pair_id"]]) / 2 for x in lines]
    )


def drawn(claim, made=lambda lines: lines, seed=0, mean=1.2, **spec):
    """The verdict on made-up results, which are the same however families are named."""
    random = np.random.default_rng(seed)
    lines, others = lines_of(SIZES), lines_of(THEIRS, first=sum(SIZES))
    prompts, faults = complete("-", list(enumerate(made(others), 1)), balanced=True)
    assert not faults
    fields = {"split": {"discovery": 0}, "ablations": (TOP,), "contrast": {"statistic": "mean"}}
    plan = behaviour_plan(objects=made(lines), claims=({"name": "c", **claim},), **fields, **spec)
    plan = dataclasses.replace(plan, others={"other.jsonl": prompts})
    pairs = pairs_of(plan.of("confirmation"))
    confused = sorted((x for x in lines if x["label"] == "misconception"), key=lambda x: x["id"])
    by_pair = sorted(confused, key=lambda x: x["pair_id"])
    moved = dict(zip([x["pair_id"] for x in by_pair], alike(random, by_pair), strict=True))
    behaviour = {}
    for pair in pairs:
        behaviour[pair.correct.id] = {"logit_difference": 2 + mean + moved[pair.correct.pair_id]}
        behaviour[pair.misconception.id] = {"logit_difference": 2.0}
    families = {prompt.id: prompt.family for prompt in plan.prompts}
    units = units_of(plan, [families[x["id"]] for x in confused], plan.spec.cluster)
    impacts = AblationImpacts(
        plan.spec.ablations[0],
        mean + alike(random, confused),
        random.normal(0, 0.3, (20, 1))
        + np.array([alike(random, confused, 0.2) for _ in range(20)]),
        units,
        planned=20,
        doses={0.0: mean + alike(random, confused), 0.5: mean / 2 + alike(random, confused, 0.5)},
        rotated=np.array([alike(random, confused, 0.2) for _ in range(20)]),
    )
    x = np.column_stack([mean + alike(random, by_pair), *(alike(random, by_pair) for _ in "abc")])
    of_pairs = units_of(
        plan, [pair.family for pair in pairs], plan.spec.cluster_of(plan.spec.claims[0])
    )
    features = FeatureResult(
        tuple((0, i) for i in range(4)),
        paired_max_t(x, units=of_pairs.of, statistic="mean"),
        of_pairs,
        {4.0: simultaneous_equivalence(x, units=of_pairs.of, margin=4.0)},
    )
    beside = []
    for file, some in (
        ("", confused),
        ("other.jsonl", [x for x in others if x["label"] == "correct"]),
    ):
        named = {x["id"]: y["family"] for x, y in zip(some, made(some), strict=True)}
        for metric in ("logit_difference", "kl", "log_p_correct"):
            values = dict(zip(named, 0.3 + alike(random, some, 0.4), strict=True))
            beside += [(file, metric, one, named[one], values[one]) for one in named]
    analysis = Analysis(
        plan,
        pairs,
        behaviour,
        {of_pairs.tag: features},
        {"top": impacts},
        (),
        {"top": side_rows(beside)},
    )
    (found,) = verdicts(analysis, None, "r")
    return found, analysis


def side_rows(beside):
    return SideEffects.of(
        {"run_id": "r", "ablation": "top", "file": file, "intervention_id": "t", "role": "target",
         "family": family, "prompt_id": name, "metric": metric, "baseline": 0.0, "edited": value,
         "impact": value, "active": True, "origin": "mock"}
        for file, metric, name, family, value in beside
    )  # fmt: skip


WORDS = ("because", "query")


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_by_clusters_is_that_of_families_that_are_the_clusters(claim):
    for seed in range(4):
        found, _ = drawn(claim, seed=seed, cluster="principle")
        theirs, _ = drawn(claim, renamed, seed=seed)
        own, _ = drawn({**claim, "cluster": "principle"}, seed=seed)
        plain, _ = drawn(claim, seed=seed)
        numbers = [
            {name: one for name, one in vars(each).items() if name not in WORDS}
            for each in (found, theirs, own, plain)
        ]
        assert numbers[0] == numbers[1] == numbers[2]
        n = THEIRS if "prompts" in claim else SIZES
        assert (found.n_units, plain.n_units) == (len(n), sum(n))
        assert numbers[0] != numbers[3]
        if "no gap to close" in found.because:
            continue
        assert f"{len(n)} principles" in found.because
        assert f", {sum(n)} families" in found.because
        assert f"{sum(n)} families" in plain.because
        assert "principle" not in plain.because


def test_a_claim_may_leave_the_spec_s_clusters():
    claim = CLAIMS["own"]
    apart, _ = drawn({**claim, "cluster": "family"}, cluster="principle")
    assert apart == drawn(claim)[0]


# Slow and obvious: plain loops over clusters, which share nothing with what is tested.


def together(values, clusters):
    found = {}
    for value, cluster in zip(values, clusters, strict=True):
        found.setdefault(cluster, []).append(float(value))
    return found


def flips_p(values, clusters, than=0.0, side=0):
    sums = [sum(v - than for v in some) for some in together(values, clusters).values()]
    reached = total = 0
    for signs in product((1, -1), repeat=len(sums)):
        flipped = sum(sign * one for sign, one in zip(signs, sums, strict=True))
        if side == 0:
            reached += abs(flipped) >= abs(sum(sums)) - 1e-9
        else:
            reached += side * flipped >= side * sum(sums) - 1e-9
        total += 1
    return reached / total


def jackknife(values, clusters, level, statistic=lambda rows: sum(rows) / len(rows)):
    """The statistic of all rows, and its interval from leaving each cluster out."""
    found = together_rows(values, clusters)
    centre = statistic([row for some in found.values() for row in some])
    squares = 0.0
    for left_out in found:
        rest = [row for name, some in found.items() for row in some if name != left_out]
        squares += (statistic(rest) - centre) ** 2
    k = len(found)
    reach = stats.t.ppf((1 + level) / 2, k - 1) * ((k - 1) / k * squares) ** 0.5
    return centre, centre - reach, centre + reach


def together_rows(rows, clusters):
    found = {}
    for row, cluster in zip(rows, clusters, strict=True):
        found.setdefault(cluster, []).append(row)
    return found


def shown(values, clusters, alpha=0.05):
    """On which side of 0 the mean is shown to lie, by flips, interval, and interval without each cluster."""
    if flips_p(values, clusters) > alpha:
        return 0
    sides = set()
    for left_out in ["", *set(clusters)]:
        kept = [i for i, one in enumerate(clusters) if one != left_out]
        mean, low, high = jackknife(
            [values[i] for i in kept], [clusters[i] for i in kept], 1 - alpha
        )
        sides.add(0 if low <= 0 <= high else int(np.sign(mean)))
    return sides.pop() if len(sides) == 1 else 0


def clusters_of(analysis, families):
    tags = {prompt.family: prompt.tags["principle"] for prompt in analysis.plan.prompts}
    return [tags[str(family)] for family in families]


@pytest.mark.parametrize("name", ["own", "monotone", "behaviour"])
def test_a_mean_is_judged_by_flips_and_a_jackknife_of_clusters(name):
    seen = set()
    for seed in range(8):
        mean = (0.0, 0.8, 3.0)[seed % 3]
        found, analysis = drawn(CLAIMS[name], seed=seed, mean=mean, cluster="principle")
        impacts = analysis.ablations["top"]
        clusters = clusters_of(analysis, impacts.units.families)
        values = list(impacts.target)
        if name == "monotone":
            # The slope over what is taken away, 0, a half and all of it: the middle one weighs nothing.
            values = list(impacts.doses[0.0])
        if name == "behaviour":
            pairs = analysis.pairs
            clusters = clusters_of(analysis, [pair.family for pair in pairs])
            metric = {key: one["logit_difference"] for key, one in analysis.behaviour.items()}
            values = [metric[pair.correct.id] - metric[pair.misconception.id] for pair in pairs]
        assert found.p == pytest.approx(flips_p(values, clusters))
        centre, low, high = jackknife(values, clusters, 0.95)
        assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx((centre, low, high))
        means = [sum(some) / len(some) for some in together(values, clusters).values()]
        assert found.n_toward == sum(one > 0 for one in means)
        exact = stats.binomtest(found.n_toward, len(means)).proportion_ci(0.95)
        assert (found.share_low, found.share_high) == pytest.approx((exact.low, exact.high))
        if name != "monotone":  # whose steps may turn round
            verdict = {1: "supported", 0: "inconclusive", -1: "refuted"}[shown(values, clusters)]
            assert found.verdict == verdict
            seen.add(verdict)
        assert found.floor == 2.0 ** (1 - len(SIZES))
    assert len(seen) == (0 if name == "monotone" else 2)


def test_an_equivalence_is_judged_by_both_sides_of_clusters():
    for seed in range(4):
        found, analysis = drawn(CLAIMS["within"], seed=seed, mean=0.2, cluster="principle")
        impacts = analysis.ablations["top"]
        clusters = clusters_of(analysis, impacts.units.families)
        worst = []
        for values in (impacts.target, impacts.beyond):
            mean, low, high = jackknife(values, clusters, 0.9)
            error = (high - low) / 2 / stats.t.ppf(0.95, len(SIZES) - 1)
            worst.append(stats.t.sf((2.5 - abs(mean)) / error, len(SIZES) - 1))
            worst.append(flips_p(values, clusters, 2.5, -1))
            worst.append(flips_p(values, clusters, -2.5, 1))
        assert found.verdict != "refuted"
        assert found.p == pytest.approx(max(worst))
        assert (found.ci_low, found.ci_high) == pytest.approx((low, high))


def test_beyond_controls_three_parts_are_asked_two_of_them_of_clusters():
    seen = set()
    for seed in range(6):
        found, analysis = drawn(CLAIMS["controls"], seed=seed, mean=1.6, cluster="principle")
        impacts = analysis.ablations["top"]
        clusters = clusters_of(analysis, impacts.units.families)
        own, beyond = list(impacts.target), list(impacts.target - impacts.controls.mean(axis=0))
        # Over sets, as ever: of 20 controls none is as strong.
        rank = (1 + sum(one.mean() >= impacts.target.mean() for one in impacts.controls)) / 21
        sides = [shown(values, clusters) for values in (own, beyond)]
        supported = sides == [1, 1] and rank <= 0.05
        assert (found.verdict == "supported") == supported
        seen.add(supported)
        if supported:
            p = max(rank, flips_p(own, clusters), flips_p(beyond, clusters))
            assert found.p == pytest.approx(p)
    assert seen == {True, False}


def test_a_share_has_the_jackknife_of_clusters():
    found, analysis = drawn(CLAIMS["share"], mean=2.0, cluster="principle")
    impacts = analysis.ablations["top"]
    clusters = clusters_of(analysis, impacts.units.families)
    metric = {key: one["logit_difference"] for key, one in analysis.behaviour.items()}
    gaps = [metric[x.correct.id] - metric[x.misconception.id] for x in analysis.pairs]
    rows = list(zip(impacts.target, gaps, strict=True))

    def ratio(some):
        return sum(above for above, _ in some) / sum(below for _, below in some)

    assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx(
        jackknife(rows, clusters, 0.95, ratio)
    )
    excess = [above - 0.1 * below for above, below in rows]
    assert found.p == pytest.approx(flips_p(excess, clusters))


@pytest.mark.parametrize("name, file", [("specific", ""), ("collateral, log p", "other.jsonl")])
def test_side_effects_are_judged_by_the_clusters_of_their_own_file(name, file):
    found, analysis = drawn(CLAIMS[name], cluster="principle")
    metric = CLAIMS[name].get("metric", "logit_difference")
    rows = [
        row
        for row in analysis.side_effects["top"].rows()
        if (row["file"], row["metric"]) == (file, metric)
    ]
    tags = {p.family: p.tags["principle"] for p in analysis.plan.prompts_of(file)}
    values, clusters = [row["impact"] for row in rows], [tags[row["family"]] for row in rows]
    mean, low, high = jackknife(values, clusters, 0.9)
    assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx((mean, low, high))
    k = len(set(clusters))
    error = (high - low) / 2 / stats.t.ppf(0.95, k - 1)
    flipped = (flips_p(values, clusters, end, side) for end, side in ((1.5, -1), (-1.5, 1)))
    p = max(stats.t.sf((1.5 - abs(mean)) / error, k - 1), *flipped)
    assert found.p == pytest.approx(p)


def test_what_one_cluster_carries_is_not_shown_though_no_family_does():
    """Over many draws, one of which the clusters' gate alone decides."""
    names = np.repeat([f"p{i}" for i in range(8)], (5, 1, 1, 1, 1, 1, 1, 1))
    families = [f"f{i}" for i in range(len(names))]
    units = Units.by(families, dict(zip(families, names, strict=True)), "principle")
    carried = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        values = random.normal(0.45, 0.45, len(names)) + 0.4 * (names == "p0")
        found = side_of(values, units, 0.0, 0.05)
        side = shown(list(values), list(names))
        assert (found.sign if found.rejects else 0) == side
        if "one principle carries it: " in found.why:
            carried += 1
            assert side == 0
            unit = found.why.rpartition(" ")[2]
            _, low, high = jackknife(list(values[names != unit]), list(names[names != unit]), 0.95)
            assert low <= 0 <= high
    assert carried > 3


def test_families_of_a_cluster_are_told_how_alike_they_are():
    found, analysis = drawn(CLAIMS["own"], cluster="principle")
    impacts = analysis.ablations["top"]
    means = together(impacts.target, impacts.units.families)
    clusters = clusters_of(analysis, means)
    values = [sum(some) / len(some) for some in means.values()]
    groups = together(values, clusters)
    n, k = len(values), len(groups)
    grand = sum(values) / n
    between = sum(len(g) * (sum(g) / len(g) - grand) ** 2 for g in groups.values()) / (k - 1)
    within = sum((v - sum(g) / len(g)) ** 2 for g in groups.values() for v in g) / (n - k)
    size = (n - sum(len(g) ** 2 for g in groups.values()) / n) / (k - 1)
    rho = (between - within) / (between + (size - 1) * within)
    assert f", correlation within principles {rho:.2g}" in found.because
    assert "correlation" not in drawn(CLAIMS["own"])[0].because


def max_t(rows, clusters):
    """Step-down max-T of means over the full group of flips, by loops; rows are (n_features, n_pairs)."""
    sums = np.array([[sum(some) for some in together(row, clusters).values()] for row in rows])
    scaled = sums / np.sqrt((sums**2).sum(axis=1, keepdims=True))
    observed = np.abs(scaled.sum(axis=1))
    order = sorted(range(len(rows)), key=lambda i: -observed[i])
    adjusted, largest = {}, 0.0
    for place, i in enumerate(order):
        reached = 0
        for signs in product((1, -1), repeat=sums.shape[1]):
            best = max(abs(float(scaled[j] @ signs)) for j in order[place:])
            reached += best >= observed[i] - 1e-9
        largest = max(largest, reached / 2 ** sums.shape[1])
        adjusted[i] = largest
    return [adjusted[i] for i in range(len(rows))]


def test_a_run_tests_its_features_and_ablations_by_the_clusters_of_its_spec(tmp_path):
    """The whole way, with a claim that goes by families beside one that goes by clusters."""
    lines = in_clusters(family_lines(12), (3, 2, 1, 1, 2, 1, 2))
    plan = ablation_plan(lines)
    claims = [
        {"name": "by-principle", "features": "significant", "at_least": 1},
        {"name": "by-family", "features": "significant", "at_least": 1, "cluster": "family"},
        {"name": "alike", "features": "significant", "at_most": 0, "margin": 4.0},
    ]
    spec = plan.spec.model_validate(
        plan.spec.model_dump(exclude={"claims"})
        | {"claims": tuple(claims), "cluster": "principle", "contrast": {"statistic": "mean"}}
        | {"split": {"strata": "principle"}}
    )
    plan = dataclasses.replace(plan, spec=spec)
    with Store.open(tmp_path / "a.duckdb") as store:
        store.commit(*prompt_tables(plan.prompts, plan.sides, "r"))
        execute(crew_of(a_run_context(), plan), plan, store, quiet)
        analysis = analyse(store, plan, "r", "mock")
        store.replace("r", *analysis.rows)
        found = verdicts(analysis, None, "r")
        tests = [
            row for row in store.read(FeatureTests, "r").rows() if row["split"] == "confirmation"
        ]
        effects = list(store.read(AblationTests, "r").rows())
        data = read_pairs(store, plan, "confirmation", "r")
    confirming = plan.families("confirmation")
    n = len({plan.clusters("principle")[family] for family in confirming})
    assert n < len(confirming)
    assert [one.n_units for one in found] == [n, len(confirming), n]
    assert {row["n_units"] for row in tests} | {row["n_units"] for row in effects} == {n}
    result = analysis.features["principle"]
    assert [row["p_adjusted"] for row in tests] == pytest.approx(list(result.test.p_adjusted))
    assert not np.array_equal(result.test.p_adjusted, analysis.features["family"].test.p_adjusted)
    of = clusters_of(analysis, [pair.family for pair in analysis.pairs])
    for i, row in enumerate((data.correct - data.misconception).toarray().T[:8]):
        if row.any():
            assert result.test.p_marginal[i] == pytest.approx(flips_p(row, of))
            _, low, high = jackknife(list(row), of, 0.95)
            assert (tests[i]["ci_low"], tests[i]["ci_high"]) == pytest.approx((low, high))
            means = [sum(some) / len(some) for some in together(row, of).values()]
            assert result.within[4.0].d_z[i] == pytest.approx(
                np.mean(means) / np.std(means, ddof=1)
            )
    target = next(r for r in effects if (r["role"], r["metric"]) == ("target", "logit_difference"))
    impacts = analysis.ablations["top"]
    clusters = clusters_of(analysis, impacts.units.families)
    assert target["p"] == pytest.approx(flips_p(impacts.target, clusters))
    _, low, high = jackknife(list(impacts.target), clusters, 0.95)
    assert (target["ci_low"], target["ci_high"]) == pytest.approx((low, high))


def test_features_are_called_by_flips_of_clusters():
    found, analysis = drawn(CLAIMS["features"], mean=3.0, cluster="principle")
    random = np.random.default_rng(7)
    clusters = list(np.repeat(["a", "b", "c", "d", "e"], (4, 1, 3, 2, 2)))
    rows = random.normal(size=(5, 12)) + np.array([2.0, 0, 1, 0, 0.5])[:, None]
    test = paired_max_t(rows.T, units=clusters, statistic="mean")
    assert list(test.p_adjusted) == pytest.approx(max_t(rows, clusters))
    assert found.p == analysis.features["principle"].test.p_adjusted.min()
