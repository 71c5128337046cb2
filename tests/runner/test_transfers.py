"""Whether a set does in new prompts what it did where it was frozen: whole runs, and every surface."""

import json
import shutil

import pytest

from harness.errors import InputError
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import run_on_organism
from tests.helpers.specs import some_voices, write_few
from tests.helpers.store import changed_copy, query

CLAIMS = """\
unadjusted: few families confirm
claims:
  - {name: matters, ablation: again, direction: toward-correct}
  - {name: holds-up, transfers: again, than: 0.5}
"""
HALF = "{discovery: 0.5}"
NONE = "{discovery: 0}"


def taker(folder, *, same=False, kind="zero", split=NONE, claims=CLAIMS):
    """A spec `taker` that takes `few/top` to the next six families of voices, or to the `same`."""
    edit = f"{{name: again, select: {{from: few/top}}, kind: {kind}, controls: 2}}"
    more = f"split: {split}\nablations: [{edit}]\n"
    path = write_few(folder, more, claims, "[1, 3]", "taker")
    if not same:
        (folder / "taken.jsonl").write_text(some_voices(12, after=6))
        path.write_text(path.read_text().replace("few.jsonl", "taken.jsonl"))
    return path


@pytest.fixture(scope="module")
def moved(few, tmp_path_factory):
    """A results file with `few` and `taker`, the run of the latter, and its folder."""
    folder = tmp_path_factory.mktemp("moved")
    db = folder / "r.duckdb"
    shutil.copy(few[0], db)
    return db, run_on_organism(taker(folder), db), folder


IMPACTS = (
    "SELECT avg(impact), count(DISTINCT family) FROM impacts JOIN (SELECT DISTINCT run_id, "
    "intervention_id FROM interventions WHERE role = 'target' AND ablation = $a) "
    "USING (run_id, intervention_id) JOIN prompts USING (run_id, prompt_id) "
    "WHERE run_id = $r AND metric = 'logit_difference'"
)


def test_the_ratio_is_that_of_the_mean_impacts_of_both_runs(moved, few):
    db, run, _ = moved
    ((here, mine),) = query(db, IMPACTS, r=run, a="again")
    ((there, theirs),) = query(db, IMPACTS, r=few[1], a="top")
    ((estimate, units, kind, unit, because),) = query(
        db,
        "SELECT estimate, n_units, kind, unit, because FROM verdicts WHERE run_id = $r "
        "AND claim = 'holds-up'",
        r=run,
    )
    assert estimate == pytest.approx(here / there)
    assert (units, kind, unit) == (min(mine, theirs), "transfers", "share")
    assert f"{mine} families here and {theirs} families there" in because
    ((share, one, other),) = query(
        db,
        "SELECT share, families_here, families_there FROM transfer_summary WHERE run_id = $r "
        "AND metric = 'logit_difference'",
        r=run,
    )
    assert share == pytest.approx(estimate)
    assert (one, other) == (mine, theirs)
    evidence = "SELECT source, avg(value) FROM evidence($r, 'holds-up') GROUP BY ALL ORDER BY ALL"
    assert query(db, evidence, r=run) == [
        ("impacts", pytest.approx(here)),
        ("impacts there", pytest.approx(there)),
    ]
    ((sql,),) = query(
        db, "SELECT query FROM verdicts WHERE run_id = $r AND claim = 'holds-up'", r=run
    )
    assert query(db, sql)


def test_every_surface_has_both_impacts(moved):
    db, run, _ = moved
    rows = json.loads(
        invoke("sql", "transfers", "--run", "taker", "--db", db, "--format", "json").stdout
    )
    row = next(one for one in rows if one["metric"] == "logit_difference")
    assert row["share"] == pytest.approx(row["here"] / row["there"])
    said = f"{row['here']:+.3g} nats here over {row['families_here']} families, {row['there']:+.3g} over"
    assert f"again: {said}" in " ".join(invoke("show", run, "--db", db).output.split())
    shown = json.loads(invoke("show", run, "--db", db, "--json").stdout)["transfers"]
    assert row in shown
    page = Page(page_of(db, "taker"))
    assert said in page.text
    table = page.table("Transfer of again, table")
    assert len(table) == len(rows)
    known = invoke("show", "few/top", "--db", db).output
    assert "holds-up" in known


def test_an_analysis_without_the_other_run_says_so(moved, few, tmp_path, monkeypatch):
    db, run, folder = moved
    monkeypatch.setenv("HARNESS_FOLDERS", str(folder))
    gone = [f"DELETE FROM {table} WHERE run_id = '{few[1]}'" for table in ("runs", "interventions")]
    copy = changed_copy(db, tmp_path, *gone)
    verdict = "SELECT verdict, because FROM verdicts WHERE run_id = $r AND claim = 'holds-up'"
    assert invoke("analyse", run, "--db", db).exit_code == 1
    assert query(db, verdict, r=run)[0][0] != "untestable"
    assert invoke("analyse", run, "--db", copy).exit_code == 1
    because = f"run {few[1]}, which froze it, is not in this results file any more"
    assert query(copy, verdict, r=run) == [("untestable", because)]


def test_families_of_both_files_are_left_out(few, tmp_path):
    """The same file: whoever confirms there confirms nothing here."""
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    run = run_on_organism(taker(tmp_path, same=True, split=HALF), db)
    ((word, because),) = query(
        db, "SELECT verdict, because FROM verdicts WHERE run_id = $r AND claim = 'holds-up'", r=run
    )
    assert word == "untestable"
    assert "0 families here and 0 families there, without 3 families that are in both" in because
    assert query(
        db,
        "SELECT DISTINCT families_here, families_there, families_in_both FROM transfer_summary "
        "WHERE run_id = $r",
        r=run,
    ) == [(0, 0, 3)]


def test_another_edit_is_refused_before_a_run_begins(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    words = (
        "claim 'holds-up' needs the same edit in both evals: .*: `kind` is zero, and here direction"
    )
    with pytest.raises(InputError, match=words):
        run_on_organism(taker(tmp_path, kind="direction"), db)
    call = ("plan", tmp_path / "taker.yaml", "--target", "organism", "--device", "cpu", "--db", db)
    (line,) = json.loads(invoke(*call, "--json").stdout)["sources"]
    assert "needs the same edit in both evals" in line
