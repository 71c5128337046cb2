"""Claims of several splits in a run on the organism: each split is what an eval of its own would be."""

import json

import pytest

from harness.errors import InputError
from harness.runner.reanalysis import analyse_again
from harness.runner.rerun import rerun
from harness.specs.spec_file import load
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import made_once, quiet, run_on_organism
from tests.helpers.specs import write_few
from tests.helpers.store import changed_copy, query

EDIT = "{{name: {name}, select: {{top: 2, by: contrast}}, kind: zero, controls: 6{more}}}"
CLAIMS = """\
unadjusted: three families confirm
claims:
  - {name: here, ablation: top, direction: toward-correct, beyond: zero}
  - {name: often, crossfit: top, direction: toward-correct, beyond: zero}
  - {name: beyond, crossfit: top, direction: toward-correct}
"""


def write(folder, alpha, *args, **more):
    path = write_few(folder, *args, **more)
    path.write_text(path.read_text().replace("alpha: 0.3", f"alpha: {alpha}"))
    return path


def edits(name="top", more=", splits: 3"):
    return f"ablations: [{EDIT.format(name=name, more=more)}]\n"


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """A results file with a run of these claims, and then one run for each further split, as an eval of its own."""

    def make(folder, db):
        path = write(folder, 0.6, edits(), CLAIMS, name="crossed")
        run_on_organism(path, db)
        for number, refit in enumerate(load(path).plan("organism").refits, start=2):
            name = f"top.split-{number}"
            own = f"""\
unadjusted: three families confirm
split: {{seed: {refit.spec.split.seed}}}
claims:
  - {{name: often, ablation: {name}, direction: toward-correct, beyond: zero}}
  - {{name: beyond, ablation: {name}, direction: toward-correct}}
"""
            alone = write(folder, 0.3, edits(name, ""), own, name=f"alone-{number}")
            run_on_organism(alone, db)

    return made_once(tmp_path_factory, "crossed.duckdb", make)


def run_of(db, spec="crossed"):
    ((run_id,),) = query(db, "SELECT run_id FROM runs WHERE spec_name = $s", s=spec)
    return run_id


@pytest.mark.parametrize("number", [2, 3])
def test_each_split_is_what_an_eval_of_its_own_would_be(crossed, number):
    here, alone = run_of(crossed), run_of(crossed, f"alone-{number}")
    name = f"top.split-{number}"
    edited = "SELECT intervention_id, role, layer, feature, rank, score FROM interventions WHERE run_id = $r AND ablation = $a ORDER BY ALL"
    did = (
        "SELECT intervention_id, prompt_id, metric, round(impact, 4) FROM impacts WHERE run_id = $r AND "
        "intervention_id IN (SELECT intervention_id FROM interventions WHERE run_id = $r AND ablation = $a) ORDER BY ALL"
    )
    for sql in (edited, did):
        rows = query(crossed, sql, r=here, a=name)
        assert rows
        assert rows == query(crossed, sql, r=alone, a=name)
    said = {
        row[0]: row[1:]
        for row in query(
            crossed,
            "SELECT claim, verdict, estimate, ci_low, ci_high, p FROM crossfit_splits WHERE run_id = $r AND split = $n",
            r=here,
            n=number,
        )
    }
    for claim, verdict, *figures in query(
        crossed,
        "SELECT claim, verdict, estimate, ci_low, ci_high, p FROM verdicts WHERE run_id = $r",
        r=alone,
    ):
        assert said[claim][0] == verdict
        assert said[claim][1:] == pytest.approx(figures, rel=1e-4)


def test_the_first_split_is_the_spec_s_own(crossed):
    first = query(
        crossed,
        "SELECT s.estimate = v.estimate, s.p = v.p, s.n_shared = s.n_features, s.seed = r.seed FROM crossfit_splits s "
        "JOIN runs r USING (run_id) JOIN verdicts v ON v.run_id = s.run_id AND v.claim = 'here' "
        "WHERE s.claim = 'often' AND s.split = 1",
    )
    assert first == [(True, True, True, True)]


def test_the_verdict_is_made_of_the_splits(crossed):
    rows = query(
        crossed,
        "SELECT v.claim, v.p, v.estimate, list(s.p ORDER BY s.p), list(s.estimate ORDER BY s.estimate), "
        "count(*) FILTER (s.verdict = 'supported') FROM verdicts v JOIN crossfit_splits s USING (run_id, claim) "
        "GROUP BY ALL",
    )
    assert {row[0] for row in rows} == {"often", "beyond"}
    for _, p, estimate, splits, estimates, supported in rows:
        assert len(splits) == 3
        assert estimate == pytest.approx(estimates[1])
        if supported >= 2:
            assert p == pytest.approx(2 * splits[1])
    (shared,) = query(crossed, "SELECT max(n_features), min(n_shared) FROM crossfit_splits")
    assert shared[0] == 2
    assert 0 <= shared[1] <= 2


def test_evidence_queries_and_pages_show_every_split(crossed):
    run = run_of(crossed)
    rows = query(
        crossed, "SELECT quantity, value FROM evidence($r, 'often') ORDER BY quantity", r=run
    )
    assert [row[0] for row in rows] == ["split 1", "split 2", "split 3"]
    found = invoke("sql", "crossfit", "--run", run, "--format", "json", "--db", crossed)
    asked = json.loads(found.stdout)
    assert [(row["claim"], row["split"]) for row in asked] == [
        (c, n) for c in ("beyond", "often") for n in (1, 2, 3)
    ]
    shown = json.loads(invoke("show", run, "--json", "--db", crossed).stdout)["crossfit"]
    assert len(shown) == 6
    known = invoke("show", "crossed/top", "--db", crossed).stdout
    assert "other splits" in known
    table = Page(page_of(crossed, "crossed")).table("Splits of top, table")
    assert [row["split"] for row in table] == ["1", "2", "3"] * 2
    summed = query(
        crossed, "SELECT DISTINCT ablation FROM ablation_summary WHERE run_id = $r", r=run
    )
    assert summed == [("top",)]


def test_it_is_analysed_and_run_again_alike(crossed, tmp_path):
    copy = changed_copy(crossed, tmp_path, "UPDATE crossfit_splits SET estimate = 7")
    run = run_of(copy)
    sql = "SELECT * EXCLUDE (run_id) FROM crossfit_splits WHERE run_id = $r ORDER BY ALL"
    before = query(crossed, sql, r=run)
    analyse_again(run, db=copy)
    assert query(copy, sql, r=run) == before
    again = rerun(run, db=copy, device="cpu", progress=quiet, say=lambda _: None)
    assert again.agrees


TAKING = """\
unadjusted: three families confirm
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
"""


def taker(folder, ablation):
    """A spec that takes the set of one of the ablations of `crossed`."""
    edit = f"ablations: [{{name: again, select: {{from: crossed/{ablation}}}, controls: 2}}]\n"
    return write(folder, 0.6, edit, TAKING, name="taker")


def test_another_eval_takes_the_set_of_the_spec_s_own_split_and_no_other(crossed, tmp_path):
    db = changed_copy(crossed, tmp_path, "DELETE FROM verdicts WHERE claim = 'nothing'")
    run = run_on_organism(taker(tmp_path, "top"), db)
    taken = (
        "SELECT layer, feature FROM interventions WHERE run_id = $r AND role = 'target' AND ablation = $a "
        "ORDER BY rank"
    )
    assert query(db, taken, r=run, a="again") == query(db, taken, r=run_of(db), a="top")
    with pytest.raises(InputError, match=r"froze no features of an ablation 'top\.split-2'"):
        run_on_organism(taker(tmp_path, "top.split-2"), db)
