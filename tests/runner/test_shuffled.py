"""Sources of other families in a run on the organism: stored, told, analysed again and taken up again."""

import json
import shutil

import pytest

from harness.runner.reanalysis import analyse_again
from harness.runner.rerun import rerun
from tests.helpers.cli import invoke
from tests.helpers.runs import made_once, quiet, run_on_organism
from tests.helpers.specs import write_few
from tests.helpers.store import query

SWAP = """\
ablations:
  - {name: swap, select: {top: 2, by: contrast}, kind: resample, source: pair, controls: 22, shuffled: 99}
"""
CLAIMS = """\
unadjusted: three families confirm
claims:
  - {name: this-scenario, ablation: swap, direction: toward-correct, beyond: shuffled}
"""


@pytest.fixture(scope="module")
def swapped(tmp_path_factory):
    """A results file with a run of this claim on three families: two other ones lend to each."""

    def make(folder, db):
        run_on_organism(write_few(folder, SWAP, CLAIMS, name="swapped"), db)

    return made_once(tmp_path_factory, "swapped.duckdb", make)


def test_each_source_is_stored_and_none_is_of_the_own_family_or_comes_twice(swapped):
    found = query(
        swapped,
        "SELECT i.role, i.number, p.family, s.family, count(DISTINCT s.label), count(*) FROM impacts m "
        "JOIN (SELECT DISTINCT intervention_id, role, number FROM interventions) i USING (intervention_id) "
        "JOIN prompts p USING (prompt_id) JOIN prompts s ON s.prompt_id = m.source_id "
        "WHERE m.metric = 'kl' AND i.role IN ('target', 'shuffled') GROUP BY ALL",
    )
    families = {row[2] for row in found}
    assert len(families) == 3
    assert {(row[2], row[3]) for row in found if row[0] == "target"} == {(f, f) for f in families}
    lent = [(row[2], row[3]) for row in found if row[0] == "shuffled"]
    assert sorted(lent) == sorted((a, b) for a in families for b in families if a != b)
    assert len({row[1] for row in found if row[0] == "shuffled"}) == 2
    edits = query(
        swapped,
        "SELECT role, list(DISTINCT (layer, feature)), list(DISTINCT kind), list(DISTINCT source) "
        "FROM interventions WHERE role IN ('target', 'shuffled') GROUP BY role ORDER BY role",
    )
    assert [row[2:] for row in edits] == [(["resample"], ["pair"])] * 2
    assert sorted(map(str, edits[0][1])) == sorted(map(str, edits[1][1]))


def test_the_estimate_is_what_the_evidence_says(swapped):
    ((run, estimate, because),) = query(swapped, "SELECT run_id, estimate, because FROM verdicts")
    ((beyond, rows),) = query(
        swapped, f"SELECT avg(value - beside), count(*) FROM evidence('{run}', 'this-scenario')"
    )
    assert rows > 5
    assert estimate == pytest.approx(beyond)
    assert "of 5 arrangements of sources of other families" in because
    ((others,),) = query(
        swapped, "SELECT avg(mean_impact) FROM ablation_summary WHERE role = 'shuffled'"
    )
    ((own,),) = query(swapped, "SELECT mean_impact FROM ablation_summary WHERE role = 'target'")
    assert estimate == pytest.approx(own - others)


def test_every_surface_tells_them(swapped, tmp_path):
    found = invoke("sql", "ablations", "--run", "swapped", "--format", "json", "--db", swapped)
    assert [row["role"] for row in json.loads(found.stdout)].count("shuffled") == 2
    assert "sources of other families" in " ".join(
        invoke("show", "swapped", "--db", swapped).output.split()
    )
    page = tmp_path / "page.html"
    invoke("report", "swapped", "--db", swapped, "--output", page)
    text = page.read_text(encoding="utf-8")
    assert "minus the mean of the same edit with sources of other families" in text
    spec = write_few(tmp_path, SWAP, CLAIMS, name="swapped")
    assert "2 shuffled" in invoke("plan", spec, "--target", "organism").output


def test_it_is_repeated_from_the_store_alone_and_analysed_again(swapped, tmp_path):
    db = shutil.copy(swapped, tmp_path / "r.duckdb")
    before = query(db, "SELECT claim, verdict, p, estimate, because FROM verdicts")
    ((run,),) = query(db, "SELECT run_id FROM runs")
    analyse_again(run, db=db)
    assert query(db, "SELECT claim, verdict, p, estimate, because FROM verdicts") == before
    assert rerun(run, db=db, device="cpu", progress=quiet, say=lambda _: None).agrees
