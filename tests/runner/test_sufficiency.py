"""The rest of a set, and the set without each member, in a run on the organism: stored, told and repeated."""

import json
import shutil

import pytest

from harness.runner.reanalysis import analyse_again
from harness.runner.rerun import rerun
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import made_once, quiet, run_on_organism
from tests.helpers.specs import write_few
from tests.helpers.store import query

SWAP = """\
ablations:
  - {name: swap, select: {top: 3, by: contrast}, kind: resample, source: pair, controls: 2, complement: true, leave_one_out: true}
"""
CLAIMS = """\
unadjusted: three families confirm
claims:
  - {name: enough, share: swap, than: 0.5}
  - {name: rest, complement: swap, within_share: 0.5}
  - {name: each, needed: swap, direction: toward-correct}
"""


@pytest.fixture(scope="module")
def swapped(tmp_path_factory):
    """A results file with a run of these claims on three families."""

    def make(folder, db):
        run_on_organism(write_few(folder, SWAP, CLAIMS, name="swapped"), db)

    return made_once(tmp_path_factory, "sufficiency.duckdb", make)


def test_the_rest_is_stored_as_what_it_spares_and_each_set_without_its_member(swapped):
    edits = query(
        swapped,
        "SELECT role, number, list((layer, feature) ORDER BY rank), any_value(kind) FROM interventions "
        "GROUP BY role, number ORDER BY role, number",
    )
    by_role = {role: [row[2] for row in edits if row[0] == role] for role, *_ in edits}
    (target,) = by_role["target"]
    assert by_role["complement"] == [target]
    assert by_role["without"] == [[one for one in target if one != left] for left in target]
    assert {row[3] for row in edits} == {"resample"}
    ((prompts, moved),) = query(
        swapped,
        "SELECT count(*), count(*) FILTER (impact <> 0) FROM impacts m JOIN (SELECT DISTINCT "
        "intervention_id, role FROM interventions) i USING (intervention_id) "
        "WHERE role = 'complement' AND metric = 'logit_difference' AND source_id IS NOT NULL",
    )
    assert prompts == moved > 5


def test_the_estimates_are_what_the_evidence_says(swapped):
    found = {
        row[0]: row[1:] for row in query(swapped, "SELECT claim, estimate, run_id FROM verdicts")
    }
    run = found["rest"][1]
    ((rest, own),) = query(
        swapped, f"SELECT avg(value), avg(beside) FROM evidence('{run}', 'rest')"
    )
    ((gap,),) = query(
        swapped,
        "SELECT avg(difference) FROM family_contrasts WHERE split = 'confirmation'",
    )
    assert found["rest"][0] == pytest.approx(rest / gap)
    assert found["enough"][0] == pytest.approx(own / gap)
    adds = query(
        swapped,
        "SELECT layer || ':' || feature, avg(beside - value) FROM "
        f"evidence('{run}', 'each') GROUP BY ALL ORDER BY 2",
    )
    assert len(adds) == 3
    assert found["each"][0] == pytest.approx(adds[0][1])
    told = query(swapped, "SELECT because FROM verdicts WHERE claim = 'each'")[0][0]
    assert f"of {adds[0][0]}, the weakest of 3" in told
    rows = json.loads(invoke("sql", "sufficiency", "--format", "json", "--db", swapped).stdout)
    assert [row["role"] for row in rows] == ["target", "complement", *["without"] * 3]
    assert [row["share"] for row in rows[:2]] == pytest.approx([own / gap, rest / gap])
    assert {row["left_out"] for row in rows[2:]} == {name for name, _ in adds}


def test_every_surface_tells_them(swapped, tmp_path):
    said = " ".join(invoke("show", "swapped", "--db", swapped).output.split())
    assert "swap: the set moves the answers by" in said
    assert "all other features of its layers by" in said
    assert "which it misses least" in said
    shown = json.loads(invoke("show", "swapped", "--json", "--db", swapped).stdout)
    assert [row["role"] for row in shown["sufficiency"]][:2] == ["target", "complement"]
    page = Page(page_of(swapped, "swapped"))
    rows = page.table("Sufficiency of swap, table")
    assert [row["edited"] for row in rows][:2] == [
        "the selected set", "all other features of its layers",
    ]  # fmt: skip
    spec = write_few(tmp_path, SWAP, CLAIMS, name="swapped")
    planned = " ".join(invoke("plan", spec, "--target", "organism").output.split())
    assert "1 complement, of all features of its layers but the selected ones" in planned
    assert "its set without each of its features" in planned
    assert invoke("check", spec).exit_code == 0


def test_it_is_repeated_from_the_store_alone_and_analysed_again(swapped, tmp_path):
    db = shutil.copy(swapped, tmp_path / "r.duckdb")
    before = query(db, "SELECT claim, verdict, p, estimate, because FROM verdicts")
    ((run,),) = query(db, "SELECT run_id FROM runs")
    analyse_again(run, db=db)
    assert query(db, "SELECT claim, verdict, p, estimate, because FROM verdicts") == before
    assert rerun(run, db=db, device="cpu", progress=quiet, say=lambda _: None).agrees
