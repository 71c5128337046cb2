"""Side effects, doses and random directions of real edits on the organism, against other runs of them."""

import json
import shutil

import numpy as np
import pytest

from harness.runner.ablation_replays import beside_of
from harness.runner.reanalysis import analyse_again
from harness.runner.rerun import rerun
from harness.specs.ablations import Ablation
from harness.specs.intervention import Intervention
from tests.helpers import ROOT
from tests.helpers.cli import invoke
from tests.helpers.runs import made_once, quiet, run_on_organism
from tests.helpers.specs import some_voices, write_few
from tests.helpers.store import query

CLAIMS = """\
unadjusted: three families confirm
claims:
  - {name: spares, specific: top, within: 5}
  - {name: spares-others, collateral: top, prompts: plain.jsonl, within: 5}
  - {name: closes, share: top, than: 0.1}
  - {name: in-order, monotone: top, direction: toward-correct}
  - {name: no-mere-size, ablation: top, direction: toward-correct, beyond: directions}
  - {name: again, stable: top, than: 0.6}
"""


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A results file with a run of all these claims, one of the other variant, and one of the other file."""

    def make(folder, db):
        (folder / "plain.jsonl").write_text((ROOT / "data" / "prompts_physics.jsonl").read_text())
        top = "{name: top, select: {top: 2, by: contrast}, kind: zero, doses: [0, 0.5, 2], controls: 22"
        more = f"ablations:\n  - {top}, directions: 5}}\n"
        both = ("named", "shown")
        run_on_organism(write_few(folder, more, CLAIMS, name="beside", conditions=both), db)
        features = query(
            db, "SELECT layer, feature FROM interventions WHERE role = 'target' ORDER BY rank"
        )
        listed = {layer: [f for at, f in features if at == layer] for layer, _ in features}
        same = f"{{name: top, select: {{by: list, features: {listed}}}, kind: zero, controls: 2, variant: correct}}"
        claims = "unadjusted: few\nclaims: [{name: m, ablation: top, direction: toward-correct}]\n"
        more = f"ablations:\n  - {same}\n"
        run_on_organism(write_few(folder, more, claims, name="other", conditions=both), db)

    return made_once(tmp_path_factory, "beside.duckdb", make)


def test_a_claim_about_a_selection_rests_on_the_halves_of_its_features(beside):
    ((kind, estimate, p, rests_on),) = query(
        beside, "SELECT kind, estimate, p, query FROM verdicts WHERE claim = 'again'"
    )
    ((least,),) = query(
        beside,
        "SELECT min(half_share) FROM selection_stability WHERE selected AND run_id LIKE '%beside%'",
    )
    ((candidates,),) = query(
        beside, "SELECT candidates FROM selection_overlap WHERE run_id LIKE '%beside%'"
    )
    assert (kind, estimate) == ("stable", least)
    top = len(query(beside, f"SELECT * FROM ({rests_on}) WHERE selected"))
    assert p == pytest.approx(min(1, top**2 / candidates / (2 * least - 1)) if least > 0.5 else 1)


def test_the_other_variant_is_moved_as_by_an_ablation_of_it(beside):
    """The same features, edited where the other variant is what an ablation is about."""
    theirs = query(
        beside,
        "SELECT prompt_id, metric, round(impact, 4) FROM impacts JOIN (SELECT DISTINCT run_id, "
        "intervention_id FROM interventions WHERE role = 'target') USING (run_id, intervention_id) "
        "WHERE run_id LIKE '%other%' ORDER BY ALL",
    )
    mine = query(
        beside,
        "SELECT prompt_id, metric, round(impact, 4) FROM side_effects WHERE file = '' ORDER BY ALL",
    )
    assert len(mine) == len(theirs) > 30
    assert [row[:2] for row in mine] == [row[:2] for row in theirs]
    values = np.array([[a[2], b[2]] for a, b in zip(mine, theirs, strict=True)])
    np.testing.assert_allclose(values[:, 0], values[:, 1], atol=2e-3)
    assert np.abs(values).max() > 0.1
    assert query(beside, "SELECT DISTINCT role FROM side_effects WHERE file = ''") == [("target",)]


def test_another_file_is_asked_once_a_text_with_the_first_controls(beside):
    ((texts,),) = query(beside, "SELECT count(DISTINCT prompt) FROM other_prompts")
    ((sets,),) = query(
        beside,
        "SELECT count(DISTINCT intervention_id) FROM interventions WHERE role = 'control' "
        "AND run_id LIKE '%beside%'",
    )
    found = query(
        beside,
        "SELECT role, count(DISTINCT intervention_id), count(DISTINCT prompt_id) FROM side_effects "
        "WHERE file = 'plain.jsonl' GROUP BY role ORDER BY role",
    )
    assert found == [("control", sets, texts), ("target", 1, texts)]
    assert 11 <= texts < 22 <= 2 * sets
    ((low, high),) = query(
        beside, "SELECT min(impact), max(impact) FROM side_effects WHERE metric = 'kl'"
    )
    assert -1e-6 < low < high


def test_the_saved_query_tells_them_by_file_metric_and_role(beside):
    found = invoke("sql", "side_effects", "--run", "beside", "--format", "json", "--db", beside)
    rows = json.loads(found.stdout)
    assert {(row["file"], row["role"]) for row in rows} == {
        ("", "target"), ("plain.jsonl", "target"), ("plain.jsonl", "control")
    }  # fmt: skip
    (row,) = (row for row in rows if not row["file"] and row["metric"] == "logit_difference")
    ((mean,),) = query(beside, "SELECT estimate FROM verdicts WHERE claim = 'spares'")
    assert row["mean_impact"] == pytest.approx(mean)


def test_of_many_controls_the_first_are_asked_about_another_file():
    ablation = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
    roles = [("target", 0), ("no-op", 0), ("dose", 0), *(("control", i) for i in range(99))]
    edits = [Intervention("a", role, i, "zero", "all", "correct", ((0, i),)) for role, i in roles]
    assert [one.number for one in beside_of(ablation, edits, "x")] == [0, *range(19)]
    assert [one.role for one in beside_of(ablation, edits, "")] == ["target"]


def test_every_verdict_is_there_with_the_rows_that_it_rests_on(beside):
    kinds = dict(query(beside, "SELECT claim, kind FROM verdicts WHERE run_id LIKE '%beside%'"))
    assert kinds == {
        "spares": "specific",
        "spares-others": "collateral",
        "closes": "share",
        "in-order": "monotone",
        "no-mere-size": "ablation",
        "again": "stable",
    }
    ((run,),) = query(beside, "SELECT run_id FROM runs WHERE spec_name = 'beside'")
    for claim, estimate in query(
        beside, "SELECT claim, estimate FROM claims WHERE kind IN ('specific', 'collateral')"
    ):
        ((mean, rows),) = query(
            beside, f"SELECT avg(value), count(*) FROM evidence('{run}', '{claim}')"
        )
        assert rows > 10
        assert mean == pytest.approx(estimate)
    doses = query(beside, f"SELECT DISTINCT beside FROM evidence('{run}', 'in-order') ORDER BY ALL")
    assert doses == [(0.0,), (0.5,), (2.0,)]
    for (sql,) in query(beside, "SELECT query FROM verdicts WHERE run_id LIKE '%beside%'"):
        assert query(beside, sql)


def test_a_share_is_the_impact_over_what_the_variants_differ_by(beside):
    ((estimate,),) = query(beside, "SELECT estimate FROM claims WHERE kind = 'share'")
    ((impact,),) = query(
        beside,
        "SELECT mean_impact FROM ablation_summary WHERE role = 'target' AND run_id LIKE '%beside%'",
    )
    ((gap,),) = query(
        beside,
        "SELECT avg(logit_difference) FILTER (label = 'correct') "
        "- avg(logit_difference) FILTER (label = 'misconception') FROM behaviour "
        "WHERE split = 'confirmation' AND run_id LIKE '%beside%'",
    )
    assert estimate == pytest.approx(impact / gap)


def test_controls_are_scaled_by_each_dose_that_is_no_edit_of_them_already(beside):
    found = query(
        beside,
        "SELECT value, count(DISTINCT intervention_id) FROM interventions "
        "WHERE role = 'dose-control' GROUP BY value ORDER BY value",
    )
    assert found == [(0.5, 9), (2.0, 9)]
    sets = query(
        beside,
        "SELECT role, number, string_agg(layer || ':' || feature ORDER BY rank) FROM interventions "
        "WHERE role IN ('control', 'dose-control') AND run_id LIKE '%beside%' "
        "GROUP BY role, number ORDER BY ALL",
    )
    controls = [features for role, n, features in sets if role == "control" and n < 9]
    scaled = [features for role, _, features in sets if role == "dose-control"]
    assert sorted(scaled) == sorted(2 * controls)
    halves = query(
        beside,
        "SELECT avg(mean_impact) FROM ablation_tests JOIN (SELECT DISTINCT run_id, intervention_id, "
        "value FROM interventions WHERE role = 'dose-control') USING (run_id, intervention_id) "
        "WHERE metric = 'kl' AND value = 2",
    )
    assert halves[0][0] > 0


def test_random_directions_are_edits_of_the_targets_own_features(beside):
    found = query(
        beside,
        "SELECT role, count(DISTINCT intervention_id), count(DISTINCT (layer, feature)) "
        "FROM interventions WHERE role IN ('target', 'rotated') AND run_id LIKE '%beside%' "
        "GROUP BY role ORDER BY role",
    )
    (rotated, target) = found
    assert (rotated[0], rotated[1], rotated[2]) == ("rotated", 5, target[2])
    impacts = query(
        beside,
        "SELECT round(mean_impact, 6) FROM ablation_summary WHERE role IN ('target', 'rotated') "
        "AND run_id LIKE '%beside%'",
    )
    assert len(set(impacts)) == 6
    ((because,),) = query(beside, "SELECT because FROM verdicts WHERE claim = 'no-mere-size'")
    assert "random directions" in because


def test_it_is_repeated_from_the_store_alone_and_analysed_again(beside, tmp_path):
    db = shutil.copy(beside, tmp_path / "r.duckdb")
    ((run,),) = query(db, "SELECT run_id FROM runs WHERE spec_name = 'beside'")
    again = analyse_again(run, db=db)
    assert {one.claim for one in again.verdicts} >= {"spares", "spares-others"}
    repeated = rerun(run, db=db, device="cpu", progress=quiet, say=lambda _: None)
    assert repeated.agrees


def test_a_run_that_stopped_among_side_effects_goes_on(tmp_path):
    some = tmp_path / "plain.jsonl"
    some.write_text(some_voices(2))
    more = "ablations:\n  - {name: top, select: {top: 2, by: contrast}, controls: 2}\n"
    claims = (
        "unadjusted: few\nclaims:\n  - {name: a, specific: top, within: 1}\n"
        "  - {name: b, collateral: top, prompts: plain.jsonl, within: 1}\n"
    )
    spec, db = write_few(tmp_path, more, claims), tmp_path / "r.duckdb"

    def stop(stage, done, total):
        if stage == "side effects top" and done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_organism(spec, db, progress=stop)
    ((before,),) = query(db, "SELECT count(*) FROM side_effects")
    run_on_organism(spec, db)
    run_on_organism(spec, tmp_path / "whole.duckdb")
    columns = "SELECT * EXCLUDE (run_id) FROM side_effects ORDER BY ALL"
    assert 0 < before <= len(query(db, columns))
    assert query(db, columns) == query(tmp_path / "whole.duckdb", columns)
