"""A trial on some of the families is marked, is evidence of nothing, and is no version of the run."""

import pytest

from harness.errors import Fault, InputError
from harness.reports.text import verdict_with_trial
from harness.runner.context import How
from harness.runner.reanalysis import analyse_again
from harness.runner.rerun import rerun
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.specs.trials import limited, trial_of
from harness.store.database import Store
from harness.store.find_run import find_run
from tests.helpers.runs import quiet
from tests.helpers.specs import some_voices

SPEC = """\
name: few
question: Does it run?
targets: {organism: {layers: [3]}}
prompts: few.jsonl
new_tokens: 0
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """Twelve families, six on each side, with four prompts each."""
    folder = tmp_path_factory.mktemp("limit")
    (folder / "few.jsonl").write_text(some_voices(12, lambda line: "-named" in line["id"]))
    (folder / "few.yaml").write_text(SPEC)
    return folder / "few.yaml"


@pytest.fixture(scope="module")
def stored(spec, tmp_path_factory):
    """A trial, then the whole, then another trial, in one results file."""
    db = tmp_path_factory.mktemp("limited") / "r.duckdb"
    return [
        run_eval(load(spec), "organism", db=db, how=How(device="cpu", limit=limit), progress=quiet)
        for limit in (2, 0, 3)
    ]


def test_families_stay_on_their_sides(spec):
    plan = load(spec).plan("organism")
    some = limited(plan, 2)
    for side in ("discovery", "confirmation"):
        assert some.families(side) == plan.families(side)[:2]
    assert {prompt.family for prompt in some.prompts} == set(some.sides)
    assert some.limited == "limited to 2 families of each side"
    assert some.prompts_hash != plan.prompts_hash


def test_a_limit_that_leaves_nothing_out_makes_no_trial(spec):
    plan = load(spec).plan("organism")
    assert limited(plan, 6) == limited(plan, 1000) == plan
    assert plan.limited is None


def test_one_family_is_refused(spec):
    with pytest.raises(InputError) as caught:
        limited(load(spec).plan("organism"), 1)
    assert caught.value.faults == (
        Fault("limit", "1 family has no spread to estimate", "take 2 or more"),
    )


def test_a_trial_is_known_by_its_prompts(spec):
    plan = load(spec).plan("organism")
    for limit in (2, 3, 5):
        trial = limited(plan, limit)
        assert trial_of(plan, trial.prompts_hash, len(trial.sides)) == trial
        assert trial_of(plan, trial.prompts_hash, len(trial.sides) + 1) is None
        assert trial_of(plan, "another", len(trial.sides)) is None


def test_a_trial_is_evidence_of_nothing(stored):
    trial, whole, _ = stored
    assert trial.trial == "limited"
    assert not trial.is_evidence
    assert trial.exploratory == "limited to 2 families of each side"
    assert whole.is_evidence
    with Store.open_to_read(whole.db) as store:
        told = store.query("SELECT run_id, exploratory FROM verdicts ORDER BY run_id")[1]
    assert told == [(one.run_id, one is not whole) for one in stored]


def test_what_was_seen_in_a_trial_of_the_same_spec_makes_no_run_exploratory(stored):
    assert stored[1].exploratory is None
    assert stored[1].all_supported


def test_a_spec_that_changed_since_a_trial_is_exploratory(spec, tmp_path):
    """The confirming families' answers were seen; the trial stays one in the new spec's light too."""
    copy, db = tmp_path / "few.yaml", tmp_path / "r.duckdb"
    (tmp_path / "few.jsonl").write_text(spec.with_name("few.jsonl").read_text())
    copy.write_text(SPEC)
    trial = run_eval(load(copy), "organism", db=db, how=How(device="cpu", limit=2), progress=quiet)
    copy.write_text(SPEC.replace("direction: greater", "direction: less"))
    changed = run_eval(load(copy), "organism", db=db, how=How(device="cpu"), progress=quiet)
    assert changed.exploratory == f"the spec changed since run {trial.run_id}"
    again = analyse_again(trial.run_id, db=db)
    assert (again.trial, again.exploratory) == ("limited", trial.exploratory)


def test_a_trial_is_never_taken_for_the_run(stored):
    """Neither by name nor among the latest verdicts, though it is the last that finished."""
    _, whole, _ = stored
    with Store.open_to_read(whole.db) as store:
        assert find_run(store, "few")["run_id"] == whole.run_id
        assert store.query("SELECT run_id FROM latest_verdicts")[1] == [(whole.run_id,)]


def test_a_trial_that_is_analysed_again_or_repeated_stays_one(stored, tmp_path):
    db = tmp_path / "copy.duckdb"
    db.write_bytes(stored[0].db.read_bytes())
    again = analyse_again(stored[0].run_id, db=db)
    assert again.verdicts == stored[0].verdicts
    assert (again.limited, again.exploratory) == (True, stored[0].exploratory)
    repeated = rerun(stored[0].run_id, db=db, progress=quiet, say=lambda _: None)
    assert repeated.agrees
    assert repeated.outcome.trial == "limited"


def test_a_stored_trial_is_told_as_one(stored):
    with Store.open_to_read(stored[0].db) as store:
        lines = [find_run(store, one.run_id) for one in stored]
    assert [verdict_with_trial("supported", line) for line in lines] == [
        "limited: supported",
        "supported",
        "limited: supported",
    ]
