"""Views and macros on a real run, against brute force."""

import json
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from harness.store.database import Store
from harness.store.tables.results import Verdicts
from tests.helpers.registered import seen
from tests.helpers.specs import ablation_plan
from tests.helpers.store import TABLE_NAMES, dictionaries, query, rows_of, rows_with


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def preferences(tables, run_id):
    """Each prompt's line, with log p of both answers."""
    found = {row["prompt_id"]: row | {"c": 0.0, "m": 0.0} for row in rows_with(tables["prompts"], run_id=run_id)}  # fmt: skip
    for row in rows_with(tables["answers"], run_id=run_id):
        found[row["prompt_id"]][row["candidate"][0]] += row["logprob"]
    return found


@pytest.mark.parametrize("which", ["few", "odd"])
def test_family_contrasts_are_the_means_of_each_familys_variants(three_runs, tables, which):
    db, run_id, families = three_runs
    run_id = run_id if which == "few" else which
    known = preferences(tables, run_id)
    by_family = defaultdict(lambda: defaultdict(list))
    for row in known.values():
        by_family[row["family"], row["split"]][row["label"]].append(row["c"] - row["m"])
    gaps = {key: mean(v["correct"]) - mean(v["misconception"]) for key, v in by_family.items()}
    overall = mean(gaps.values())
    found = dictionaries(db, "FROM family_contrasts WHERE run_id = $r", r=run_id)
    assert {(row["family"], row["split"]) for row in found} == set(gaps)
    assert len(found) == len(families)
    for row in found:
        key = (row["family"], row["split"])
        sides = by_family[key]
        assert row["n_pairs"] == len(sides["correct"]) == len(sides["misconception"])
        assert row["after_correct"] == pytest.approx(mean(sides["correct"]))
        assert row["after_misconception"] == pytest.approx(mean(sides["misconception"]))
        assert row["difference"] == pytest.approx(gaps[key], abs=1e-9)
        still = which == "odd" and row["family"] == families[0]
        assert row["agrees"] == (None if still else gaps[key] * overall > 0)
    if which == "odd":
        assert Counter(row["agrees"] for row in found) == {True: len(families) - 2, False: 1, None: 1}  # fmt: skip


def test_claims_stand_beside_their_verdicts(three_runs, tables):
    db, run_id, _ = three_runs
    (run,) = rows_with(tables["runs"], run_id=run_id)
    claims = {one["name"]: one for one in json.loads(run["spec"])["claims"]}
    found = dictionaries(db, "FROM claims WHERE run_id = $r", r=run_id)
    assert {row["claim"] for row in found} == set(claims)
    assert len(found) == len(claims) == 3
    told = ("verdict", "estimate", "ci_low", "ci_high", "unit", "p", "because", "kind", "origin")
    for row in found:
        claim = claims[row["claim"]]
        (verdict,) = rows_with(tables["verdicts"], run_id=run_id, claim=row["claim"])
        assert [row[name] for name in told] == [verdict[name] for name in told]
        assert row["about"] == (claim.get("behaviour") or claim.get("features") or claim.get("ablation"))  # fmt: skip
        for name in ("direction", "beyond", "than", "within", "at_least", "at_most"):
            assert row[name] == claim.get(name), name
        assert row["contrast"] == bool(claim.get("contrast"))
        assert (row["spec_name"], row["target"]) == ("few", "organism")
    assert {row["contrast"] for row in found} == {True, False}
    assert {row["about"] for row in found} == {"logit_difference", "significant", "top"}


def test_what_a_claim_allows_stands_beside_its_verdict(tmp_path):
    claims = [
        {"name": "a", "features": "significant", "at_most": 2, "margin": 0.5},
        {"name": "b", "features": "significant", "at_most": 0, "guard": True},
        {"name": "c", "ablation": "top", "direction": "toward-correct", "keeps": 2.0},
        {"name": "d", "ablation": "top", "direction": "toward-correct", "cluster": "family"},
    ]
    plan = ablation_plan()
    spec = plan.spec.model_validate(
        plan.spec.model_dump() | {"claims": tuple(claims), "cluster": "principle"}
    )
    with Store.open(tmp_path / "r.duckdb") as store:
        seen(store, replace(plan, spec=spec), analysed_spec=None)
        blank = dict.fromkeys(Verdicts.names(), "x") | dict.fromkeys(
            ("p", "p_holm", "estimate", "ci_low", "ci_high", "n_toward", "share_low", "share_high")
        )
        blank |= {"alpha": 0.05, "n_units": 6, "n_pairs": 6, "floor": 0.1, "exploratory": False}
        store.commit(
            Verdicts.of(blank | {"run_id": "early", "claim": claim["name"]} for claim in claims)
        )
        found = store.query(
            "SELECT claim, margin, guard, keeps, cluster FROM claims ORDER BY claim"
        )[1]
    assert found == [
        ("a", 0.5, False, None, "principle"),
        ("b", None, True, None, "principle"),
        ("c", None, False, 2.0, "principle"),
        ("d", None, False, None, "family"),
    ]


def features(tables, run_id):
    found = defaultdict(dict)
    for row in rows_with(tables["activations"], run_id=run_id):
        found[row["layer"], row["feature"]][row["prompt_id"]] = row["value"]
    return found


def test_pairs_of_a_feature_have_its_value_on_both_variants(three_runs, tables):
    db, run_id, _ = three_runs
    known = features(tables, run_id)
    prompts = rows_with(tables["prompts"], run_id=run_id)
    sizes = sorted(known, key=lambda key: (len(known[key]), key))
    for key in (sizes[0], sizes[len(sizes) // 2], sizes[-1], (1, 10**6)):
        values = known.get(key, {})
        expected = defaultdict(dict)
        for row in prompts:
            pair = (row["pair_id"], row["family"], row["split"])
            expected[pair][row["label"]] = values.get(row["prompt_id"], 0.0)
        found = dictionaries(db, "FROM pairs_of_feature($r, $l, $f)", r=run_id, l=key[0], f=key[1])
        assert {
            (row["pair_id"], row["family"], row["split"]): (row["after_correct"], row["after_misconception"])
            for row in found
        } == {pair: (sides["correct"], sides["misconception"]) for pair, sides in expected.items()}  # fmt: skip
        assert len(found) == len(expected)
        gaps = [row["difference"] for row in found]
        assert gaps == pytest.approx(
            [row["after_correct"] - row["after_misconception"] for row in found], abs=1e-4
        )  # stored in single precision
        assert gaps == sorted(gaps, reverse=True)
        assert {row["origin"] for row in found} == {"stand-in"}
    assert (
        dictionaries(db, "FROM pairs_of_feature($r, 2, 0)", r=run_id) == []
    )  # a layer that was not read


def test_the_evidence_of_a_behaviour_claim_is_each_confirming_prompts_value(three_runs, tables):
    db, run_id, _ = three_runs
    known = preferences(tables, run_id)
    concluding = {p for p, row in known.items() if row["split"] == "confirmation"}
    found = dictionaries(db, "FROM evidence($r, 'moved')", r=run_id)
    assert {row["prompt_id"]: row["value"] for row in found} == {
        p: pytest.approx(known[p]["c"] - known[p]["m"]) for p in concluding
    }
    assert len(found) == len(concluding)
    assert {(row["source"], row["quantity"], row["beside"]) for row in found} == {
        ("behaviour", "logit_difference", None)
    }
    (verdict,) = rows_with(tables["verdicts"], run_id=run_id, claim="moved")
    after = [
        mean(row["value"] for row in found if known[row["prompt_id"]]["label"] == label)
        for label in ("correct", "misconception")
    ]
    assert verdict["estimate"] == pytest.approx(after[0] - after[1])


def test_the_evidence_of_a_claim_about_features_is_each_confirming_test(three_runs, tables):
    db, run_id, _ = three_runs
    found = dictionaries(db, "FROM evidence($r, 'any')", r=run_id)
    tests = rows_with(tables["feature_tests"], run_id=run_id, split="confirmation")
    assert Counter((r["layer"], r["feature"], r["value"], r["beside"]) for r in found) == Counter(
        (t["layer"], t["feature"], t["mean_difference"], t["p_adjusted"]) for t in tests
    )
    (verdict,) = rows_with(tables["verdicts"], run_id=run_id, claim="any")
    assert verdict["estimate"] == sum(row["beside"] <= verdict["alpha"] for row in found)


def test_the_evidence_of_a_claim_about_an_ablation_is_each_impact_beside_its_controls(
    three_runs, tables
):
    db, run_id, _ = three_runs
    known = preferences(tables, run_id)
    found = dictionaries(db, "FROM evidence($r, 'matters')", r=run_id)
    (run,) = rows_with(tables["runs"], run_id=run_id)
    roles = {
        row["intervention_id"]: row["role"]
        for row in rows_with(tables["interventions"], run_id=run_id, ablation="top")
    }
    target, controls = {}, defaultdict(list)
    for row in rows_with(tables["impacts"], run_id=run_id, metric=run["metric"]):
        role = roles.get(row["intervention_id"])
        if role == "target":
            target[row["prompt_id"]] = row["impact"]
        elif role == "control":
            controls[row["prompt_id"]].append(row["impact"])
    assert len(found) == len(target) > 0
    for row in found:
        assert row["value"] == target[row["prompt_id"]]
        assert len(controls[row["prompt_id"]]) == 2
        assert row["beside"] == pytest.approx(mean(controls[row["prompt_id"]]), abs=1e-12)
        assert row["family"] == known[row["prompt_id"]]["family"]
    same = {"ablation": "top", "role": "target", "metric": run["metric"]}
    (test,) = rows_with(tables["ablation_tests"], run_id=run_id, **same)
    assert test["beyond_controls"] == pytest.approx(mean(r["value"] - r["beside"] for r in found))


def test_a_claim_that_is_not_there_has_no_evidence(three_runs):
    db, run_id, _ = three_runs
    assert dictionaries(db, "FROM evidence($r, 'nothing')", r=run_id) == []


def test_calibration_counts_the_tests_below_each_level(three_runs, tables):
    db, run_id, _ = three_runs
    tests = rows_with(tables["feature_tests"], run_id=run_id, split="confirmation")
    ps = [row["p_marginal"] for row in tests if row["p_marginal"] is not None]
    assert len(set(ps)) > 1
    found = dictionaries(db, "FROM calibration($r)", r=run_id)
    assert [row["level"] for row in found] == [0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1]
    for row in found:
        assert row["features"] == len(ps)
        assert row["below"] == sum(p <= row["level"] for p in ps)
        assert row["share"] == pytest.approx(row["below"] / len(ps))
        assert row["smallest_adjusted"] == min(row["p_adjusted"] for row in tests)
    assert found[-1]["share"] == 1


def test_a_features_history_is_every_run_that_tested_it_the_newest_first(three_runs, tables):
    db, run_id, _ = three_runs
    test = max(rows_with(tables["feature_tests"], run_id=run_id, split="confirmation"), key=lambda row: row["mean_difference"])  # fmt: skip
    key = {"layer": test["layer"], "feature": test["feature"]}
    found = dictionaries(db, "FROM feature_history($layer, $feature)", **key)
    assert [row["run_id"] for row in found] == ["odd", "twin", run_id]
    for row in found:
        for name in ("mean_difference", "ci_low", "ci_high", "d_z", "p_adjusted", "origin"):
            assert row[name] == test[name]
        (run,) = rows_with(tables["runs"], run_id=row["run_id"])
        assert (row["created_at"], row["dtype"]) == (run["created_at"], run["dtype"])
        assert row["sae_hash"] == run["sae_hash"][:12]
        assert row["exploratory"] == (row["run_id"] == "odd")
        assert row["spec_name"] == run["spec_name"]
        (activity,) = rows_with(tables["feature_activity"], run_id=row["run_id"], **key)
        assert row["firing_rate"] == activity["firing_rate"]
    assert dictionaries(db, "FROM feature_history(1, 1000000)") == []


def bags(tables, run_id):
    """Every row of a run without its id and times, table by table."""
    found = {}
    for name in TABLE_NAMES:
        if name != "runs" and (rows := rows_with(tables[name], run_id=run_id)):
            found[name] = Counter(
                repr([
                    value.replace(run_id, "") if key == "query" else value
                    for key, value in row.items()
                    if key not in ("run_id", "finished_at", "seconds")
                ])
                for row in rows
            )  # fmt: skip
    return found


def test_fingerprints_are_equal_where_the_rows_are_in_whatever_order(three_runs, tables):
    db, run_id, _ = three_runs
    found = {
        run: {row["source"]: (row["row_count"], row["digest"]) for row in dictionaries(db, "FROM fingerprints($r)", r=run)}
        for run in (run_id, "twin", "odd")
    }  # fmt: skip
    known = {run: bags(tables, run) for run in found}
    assert found[run_id] == found["twin"]
    for run, tables_ in known.items():
        assert {name: count for name, (count, _) in found[run].items()} == {
            name: rows.total() for name, rows in tables_.items()
        }
    differ = {name for name in known[run_id] if known[run_id][name] != known["odd"][name]}
    assert differ == {"answers", "prompt_tags"}
    assert {name for name in found[run_id] if found[run_id][name] != found["odd"][name]} == differ


def test_differences_count_the_rows_that_the_other_run_has_not(three_runs, tables):
    db, run_id, _ = three_runs
    for a, b in ((run_id, "twin"), (run_id, "odd"), ("odd", "twin")):
        first, second = bags(tables, a), bags(tables, b)
        found = dictionaries(db, "FROM differences($a, $b)", a=a, b=b)
        assert {row["source"]: tuple(row.values())[1:] for row in found} == {
            name: (
                first[name].total(), second[name].total(),
                (first[name] - second[name]).total(), (second[name] - first[name]).total(),
            )
            for name in first
        }  # fmt: skip
        changed = {row["source"] for row in found if row["only_a"] or row["only_b"]}
        assert changed == (set() if "odd" not in (a, b) else {"answers", "prompt_tags"})


def test_a_run_compared_with_one_that_is_not_there_has_all_rows_alone(three_runs, tables):
    db, run_id, _ = three_runs
    found = dictionaries(db, "FROM differences($a, 'none')", a=run_id)
    assert {row["source"]: (row["only_a"], row["rows_b"]) for row in found} == {
        name: (rows.total(), 0) for name, rows in bags(tables, run_id).items()
    }


def test_the_latest_verdicts_are_of_each_specs_last_finished_run(three_runs):
    db, run_id, _ = three_runs
    found = query(db, "SELECT DISTINCT spec_name, run_id FROM latest_verdicts ORDER BY ALL")
    assert found == [("few", run_id), ("odd", "odd"), ("twin", "twin")]
    assert len(rows_of(db, run_id)["verdicts"]) == 3
