"""Features that another eval froze: found, edited unchanged, and a run's own ever after."""

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import CannotRun, InputError
from harness.reports.text import value_text
from harness.runner.rerun import rerun
from harness.store.database import Store
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import made_once, quiet, run_on_organism
from tests.helpers.specs import some_voices, write_few
from tests.helpers.store import changed_copy, query

CLAIMS = """\
unadjusted: few families confirm
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: matters, ablation: again, direction: toward-correct}
"""
TAKES = "few/top"
TARGETS = (
    "SELECT layer, feature, rank FROM interventions WHERE role = 'target' AND run_id = $r "
    "AND ablation = $a ORDER BY rank"
)


def write_taker(
    folder: Path,
    takes=TAKES,
    split="{discovery: 0}",
    *,
    same=False,
    more="",
    layers="[1, 3]",
    kind="zero",
) -> Path:
    """A spec `taker` of the voices' next six families, or of the `same`, beside `few`."""
    edit = f"{{name: again, select: {{from: {takes}{more}}}, kind: {kind}, controls: 2}}"
    path = write_few(folder, f"split: {split}\nablations: [{edit}]\n", CLAIMS, layers, "taker")
    if not same:
        (folder / "taken.jsonl").write_text(some_voices(12, after=6))
        path.write_text(path.read_text().replace("few.jsonl", "taken.jsonl"))
    return path


@pytest.fixture(scope="module")
def taken(few, tmp_path_factory):
    """A results file with the run of `few`, and then that of `taker`."""

    def make(folder, db):
        shutil.copy(few[0], db)
        run_on_organism(write_taker(folder), db)

    return made_once(tmp_path_factory, "taken.duckdb", make)


def run_of(db, spec="taker"):
    return query(db, "SELECT run_id FROM runs WHERE spec_name = $s ORDER BY created_at", s=spec)[
        -1
    ][0]


def test_the_set_is_the_other_eval_s_and_the_run_says_whose(taken, few):
    frozen = query(few[0], TARGETS, r=few[1], a="top")
    assert len(frozen) == 2
    assert query(taken, TARGETS, r=run_of(taken), a="again") == frozen
    ((said, why),) = query(
        taken, "SELECT feature_sources, exploratory FROM runs WHERE spec_name = 'taker'"
    )
    ((digest,),) = query(few[0], "SELECT spec_hash FROM runs")
    assert json.loads(said) == {
        "again": {
            "spec": "few",
            "ablation": "top",
            "spec_hash": digest,
            "run_id": few[1],
            "features": [[layer, feature] for layer, feature, _ in frozen],
        }
    }
    assert why is None
    assert query(few[0], "SELECT feature_sources FROM runs") == [(None,)]


def test_with_no_discovery_every_family_confirms_and_controls_are_as_where_the_edit_acts(taken):
    run = run_of(taken)
    sides = "SELECT split, count(DISTINCT family) FROM prompts WHERE run_id = $r GROUP BY ALL"
    assert query(taken, sides, r=run) == [("confirmation", 6)]
    ((controls,),) = query(
        taken,
        "SELECT count(DISTINCT number) FROM interventions WHERE run_id = $r AND role = 'control'",
        r=run,
    )
    assert controls == 2
    # What controls are alike in is of these prompts, of which all confirm: each active feature of a token
    # that is edited has its row.
    active = (
        "SELECT DISTINCT layer, feature FROM token_activations JOIN prompts USING (run_id, prompt_id) "
        "WHERE run_id = $r AND label = 'misconception' AND value > 0 AND position > 0"
    )
    there = query(taken, "SELECT layer, feature FROM edit_activity WHERE run_id = $r", r=run)
    assert query(taken, active, r=run)
    assert {*query(taken, active, r=run)} <= {*there}


def test_the_latest_complete_run_on_the_target_is_taken(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    folder = tmp_path / "specs"
    folder.mkdir()
    spec = write_few(folder)
    later = run_on_organism(spec, db)
    run_on_organism(spec, db, limit=2)
    run_on_organism(spec, db, mock="orthogonal")
    run_on_organism(write_taker(folder), db)
    ((said,),) = query(db, "SELECT feature_sources FROM runs WHERE spec_name = 'taker'")
    assert json.loads(said)["again"]["run_id"] == later
    # A trial with random SAEs has what such a trial froze: numbers are of other features there.
    run_on_organism(write_taker(folder), db, mock="orthogonal")
    mocked = "SELECT run_id, feature_sources FROM runs WHERE origin = 'mock' ORDER BY created_at"
    (source, _), (_, said) = query(db, mocked)
    assert json.loads(said)["again"]["run_id"] == source


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM runs", "no finished run of it is in"),
        ("UPDATE runs SET status = 'unfinished'", "no finished run of it is in"),
        ("UPDATE runs SET origin = 'mock'", "no finished run of it is in"),
        ("UPDATE runs SET model_hash = 'other'", "no finished run of it is in"),
        ("UPDATE runs SET model_hash = NULL, target = 'other'", "no finished run of it is in"),
        ("UPDATE runs SET exploratory = 'limited to 2 families'", "only trials of it are in"),
        ("UPDATE runs SET sae_hashes = ['a', 'b']", "has other SAEs of layer"),
    ],
)
def test_without_a_run_that_froze_it_there_is_none(few, tmp_path, change, words):
    db = changed_copy(few[0], tmp_path, change)
    before = query(db, "SELECT run_id FROM runs")
    found = invoke(
        "run", write_taker(tmp_path), "--target", "organism", "--device", "cpu", "--db", db
    )
    assert found.exit_code == 3
    assert words in found.stderr
    assert "taker, ablation again: " in found.stderr
    assert "first: `harness run few --target organism`" in found.stderr
    assert query(db, "SELECT run_id FROM runs") == before


def test_a_trial_on_some_families_takes_a_trial_s_where_there_is_no_other(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "UPDATE runs SET exploratory = 'limited to 2 families'")
    run = run_on_organism(write_taker(tmp_path), db, limit=2)
    assert query(db, TARGETS, r=run, a="again") == query(db, TARGETS, r=few[1], a="top")


@pytest.mark.parametrize(
    ("takes", "layers", "words"),
    [
        ("few/topp", "[1, 3]", "froze no features of an ablation 'topp'; did you mean 'top'?"),
        ("few/one", "[1]", "has features of layers that are not read on organism: 3:0; add 3 to"),
    ],
)
def test_a_set_that_cannot_be_edited_here(few, tmp_path, takes, layers, words):
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    with pytest.raises(InputError) as error:
        run_on_organism(write_taker(tmp_path, takes, layers=layers), db)
    assert words in str(error.value)


def test_a_set_is_taken_from_where_it_was_frozen(taken, tmp_path):
    db = changed_copy(taken, tmp_path, "SELECT 1")
    third = write_taker(tmp_path, "taker/again")
    third.write_text(third.read_text().replace("name: taker", "name: third"))
    with pytest.raises(InputError, match="from few itself; write `from: few/top`"):
        run_on_organism(third, db)


def test_a_run_is_exploratory_where_its_source_is(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "UPDATE runs SET exploratory = 'the SAEs changed'")
    run_on_organism(write_taker(tmp_path), db)
    ((why,),) = query(db, "SELECT exploratory FROM runs WHERE spec_name = 'taker'")
    assert (
        why == f"the features of again are of run {few[1]}, which is exploratory: the SAEs changed"
    )


@pytest.mark.parametrize(("takes", "seen"), [("few/top", True), ("few/one", False)])
def test_what_chose_a_set_does_not_confirm_it(tmp_path, takes, seen):
    """Registered together nothing was seen before; but half of the families have selected."""
    db = tmp_path / "results.duckdb"
    specs = write_few(tmp_path), write_taker(tmp_path, takes, same=True)
    assert invoke("register", *specs, "--target", "organism", "--db", db).exit_code == 0
    for spec in specs:
        run_on_organism(spec, db)
    ((why,),) = query(db, "SELECT exploratory FROM runs WHERE spec_name = 'taker'")
    both = (
        "SELECT count(DISTINCT p.prompt) FROM prompts p JOIN prompts q ON p.prompt = q.prompt "
        "WHERE p.run_id LIKE '%taker%' AND q.run_id LIKE '%few%' AND q.split = 'discovery'"
    )
    ((n,),) = query(db, both)
    ((of,),) = query(db, "SELECT count(DISTINCT prompt) FROM prompts WHERE run_id LIKE '%taker%'")
    assert 0 < n < of
    words = f"{n} of the {of} prompts that it confirms on chose the features of again in run "
    assert why is None if not seen else why.startswith(words)


def test_what_becomes_of_the_source_since_changes_nothing(taken, few, tmp_path):
    gone = [f"DELETE FROM {table} WHERE run_id = '{few[1]}'" for table in ("runs", "interventions")]
    db = changed_copy(taken, tmp_path, *gone)
    run = run_of(db)
    frozen = query(db, TARGETS, r=run, a="again")
    verdicts = "SELECT * FROM verdicts WHERE run_id = $r ORDER BY ALL"
    before = query(db, verdicts, r=run)
    found = invoke("analyse", run, "--db", db)
    assert found.exit_code == 1, found.output
    assert query(db, verdicts, r=run) == before
    again = rerun(run, db=db, device="cpu", progress=quiet, say=lambda _: None)
    assert again.agrees
    assert not again.facts
    assert query(db, TARGETS, r=again.outcome.run_id, a="again") == frozen


def test_a_run_that_is_taken_up_has_the_set_that_it_began_with(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    folder = tmp_path / "specs"
    folder.mkdir()
    spec = write_taker(folder)

    def stop(stage, done, total):
        if stage == "profile again":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_organism(spec, db, progress=stop)
    begun = run_of(db)
    assert not query(db, TARGETS, r=begun, a="again")
    with Store.open(db) as store:
        store.set_run(few[1], spec_name="gone")  # as if it were no run of `few` any more
    assert run_on_organism(spec, db) == begun
    assert query(db, TARGETS, r=begun, a="again") == query(db, TARGETS, r=few[1], a="top")
    with pytest.raises(CannotRun):
        run_on_organism(spec, db)  # a new one begins anew


def test_a_feature_that_fires_nowhere_here_is_edited_beside_the_others(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    folder = tmp_path / "specs"
    folder.mkdir()
    run = run_on_organism(write_taker(folder), db)
    silent = query(
        db,
        "SELECT f.feature FROM range(1024) f(feature) WHERE feature NOT IN "
        "(SELECT feature FROM feature_activity WHERE run_id = $r AND layer = 3) LIMIT 1",
        r=run,
    )
    other = changed_copy(
        few[0],
        folder,
        f"UPDATE interventions SET layer = 3, feature = {silent[0][0]} WHERE role = 'target' "
        "AND ablation = 'top' AND rank = 1",
    )
    run = run_on_organism(write_taker(folder), other)
    assert query(other, TARGETS, r=run, a="again")[1] == (3, silent[0][0], 1)
    ((rate, norm),) = query(
        other,
        "SELECT firing_rate, decoder_norm FROM edit_activity WHERE run_id = $r AND layer = 3 "
        "AND feature = $f",
        r=run,
        f=silent[0][0],
    )
    assert rate == 0
    assert norm > 0


def test_the_report_says_whose_features_they_are(taken, few):
    said = f"None of them was selected here: they are those of top of few, run {few[1]}, unchanged."
    assert said in Page(page_of(taken, "taker")).text
    assert "None of them was selected here" not in Page(page_of(taken, "few")).text


def planned(spec, db, *more):
    call = ("plan", spec, "--target", "organism", "--device", "cpu", "--db", db, *more)
    found = invoke(*call)
    assert found.exit_code == 0, found.output
    return found.output


def test_a_plan_names_the_run_that_it_would_take_features_from(few, tmp_path):
    taker = write_taker(tmp_path)
    frozen = " ".join(f"{a}:{b}" for a, b, _ in query(few[0], TARGETS, r=few[1], a="top"))
    line = f"again: the 2 features of top of few, run {few[1]}: {frozen}"
    assert json.loads(planned(taker, few[0], "--json"))["sources"] == [line]
    assert f" sources {line}" in " ".join(planned(taker, few[0]).split())
    assert "sources" not in planned(write_few(tmp_path), few[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM runs", "no finished run of it is in"),
        ("UPDATE runs SET model_hash = 'other'", "no finished run of it is in"),
        ("UPDATE runs SET exploratory = 'limited to 2 families'", "only trials of it are in"),
        (None, "no finished run of it is in"),
    ],
)
def test_a_plan_says_which_run_is_missing_and_how_it_is_made(few, tmp_path, change, words):
    db = changed_copy(few[0], tmp_path, change) if change else tmp_path / "none.duckdb"
    (line,) = json.loads(planned(write_taker(tmp_path), db, "--json"))["sources"]
    assert line.startswith(
        f"taker, ablation again: it takes its features from few/top, and {words} {db}"
    )
    assert line.endswith(" on organism; first: `harness run few --target organism`")
    assert change or not db.exists()


def test_a_plan_says_what_keeps_a_set_from_being_edited(few, tmp_path):
    (line,) = json.loads(planned(write_taker(tmp_path, "few/topp"), few[0], "--json"))["sources"]
    assert "froze no features of an ablation 'topp'; did you mean 'top'?" in line
    broken = tmp_path / "broken.duckdb"
    broken.write_text("no results")
    (line,) = json.loads(planned(write_taker(tmp_path), broken, "--json"))["sources"]
    assert line.startswith(f"{broken}: ")


def test_a_shown_run_names_the_run_that_its_features_are_of(taken, few):
    shown = " ".join(invoke("show", "taker", "--db", taken).output.split())
    frozen = " ".join(f"{a}:{b}" for a, b, _ in query(few[0], TARGETS, r=few[1], a="top"))
    assert (
        f"feature sources again edits the 2 features of top of few, run {few[1]}: {frozen}" in shown
    )
    assert value_text("feature_sources", "{") == "{"  # a stranger's line


def test_a_source_that_is_named_later_runs_first(tmp_path):
    specs = write_taker(tmp_path), write_few(tmp_path)
    db = tmp_path / "results.duckdb"
    found = invoke("run", *specs, "--target", "organism", "--device", "cpu", "--db", db)
    assert found.exit_code in (0, 1), found.output
    order = "SELECT spec_name, exploratory FROM runs ORDER BY created_at"
    assert query(db, order) == [("few", None), ("taker", None)]
    assert invoke(
        "run", "--jobs", "2", *specs, "--db", db, "--device", "cpu", "--target", "organism"
    ).exit_code in (0, 1)
    assert [name for name, _ in query(db, order)] == ["few", "taker"] * 2
