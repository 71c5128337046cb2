"""What makes a run exploratory: results on its confirming prompts before its spec was registered."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from harness.runner import exploratory
from harness.runner.exploratory import reason_exploratory, register
from harness.specs.spec import Split
from harness.store.database import Store
from harness.store.prompts import prompt_tables
from harness.store.tables.runs import Registrations, Runs, Units
from tests.helpers.cli import invoke
from tests.helpers.specs import ablation_plan

NOW = datetime.now(UTC)


def changed(plan, **fields):
    """The plan of the same prompts under a changed spec."""
    return dataclasses.replace(plan, spec=plan.spec.model_copy(update=fields))


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "a.duckdb") as opened:
        yield opened


def seen(store, plan, run_id="early", status="finished", units=False, **fields):
    """A run of a plan whose results are in the store."""
    row = dict.fromkeys(Runs.names(), "1")
    row |= {
        "run_id": run_id, "status": status, "spec_name": plan.spec.name, "target": plan.target.name,
        "origin": plan.target.origin, "spec_hash": plan.spec.hash, "prompts_hash": plan.prompts_hash,
        "sae_hash": "s", "created_at": NOW, "finished_at": None, "layers": [1],
        "neuronpedia": [None], "sae_files": ["f"], "sae_hashes": ["s"],
        "git_dirty": False, "exploratory": None,
    } | fields  # fmt: skip
    store.commit(Runs.of([row]), *prompt_tables(plan.prompts, plan.sides, run_id))
    if units:
        unit = dict.fromkeys(Units.names(), "") | {
            "run_id": run_id,
            "finished_at": NOW,
            "seconds": 0.1,
        }
        store.commit(Units.of([unit]))


@pytest.mark.parametrize("units", [True, False])
def test_an_unfinished_run_counts_as_soon_as_rows_of_it_could_be_seen(store, units):
    plan = ablation_plan()
    register(store, plan)
    seen(store, plan, status="unfinished", units=units)
    later = changed(plan, split=Split(seed=1))
    assert (reason_exploratory(store, later, "s") == "the spec changed since run early") is units
    assert reason_exploratory(store, plan, "s") is None


def test_another_name_hides_nothing(store):
    plan = ablation_plan()
    register(store, plan)
    seen(store, plan)
    renamed = changed(plan, name="another")
    n = len(plan.of("confirmation")) and len({p.text for p in plan.of("confirmation")})
    assert reason_exploratory(store, renamed, "s") == (
        f"{n} of the {n} prompts that it confirms on were seen in run early before it was registered"
    )


def test_specs_that_share_prompts_confirm_where_they_were_registered_together(store):
    first = ablation_plan()
    second = changed(first, name="another")
    assert register(store, first) is register(store, second) is None
    seen(store, first)
    assert reason_exploratory(store, second, "s") is None
    third = changed(first, name="third")
    assert "were seen in run early" in reason_exploratory(store, third, "s")


def test_some_of_the_prompts_are_enough_and_none_is_nothing(store):
    whole = ablation_plan()
    confirming = sorted(whole.families("confirmation"))
    only = {family: side for family, side in whole.sides.items() if family == confirming[0]}
    part = dataclasses.replace(
        whole, sides=only, prompts=tuple(p for p in whole.prompts if p.family in only)
    )
    seen(store, part)
    assert " prompts that it confirms on were seen" in register(store, changed(whole, name="b"))
    others = {family: side for family, side in whole.sides.items() if family not in only}
    rest = dataclasses.replace(
        whole, sides=others, prompts=tuple(p for p in whole.prompts if p.family in others)
    )
    assert register(store, changed(rest, name="c")) is None
    # What only discovers may have been seen.
    turned = dict.fromkeys(whole.sides, "confirmation") | dict.fromkeys(only, "discovery")
    assert register(store, dataclasses.replace(changed(whole, name="d"), sides=turned)) is None


@pytest.mark.parametrize("field", ["target", "origin"])
def test_another_target_or_origin_is_other_data(store, field):
    plan = ablation_plan()
    seen(store, plan, **{field: "other"})
    assert register(store, changed(plan, name="another")) is None


def test_other_saes_are_told(store):
    plan = ablation_plan()
    register(store, plan)
    seen(store, plan)
    assert reason_exploratory(store, plan, "other") == "the SAEs changed since run early"


def test_no_clock_makes_it_confirm(store, monkeypatch):
    """A registration that comes after results, on a machine whose clock went back."""
    plan = ablation_plan()
    seen(store, plan)

    class Earlier:
        @staticmethod
        def now(zone):
            return NOW - timedelta(days=9)

    monkeypatch.setattr(exploratory, "datetime", Earlier)
    assert register(store, changed(plan, name="another")) is not None
    assert register(store, changed(plan, name="another")) is not None
    assert len(store.read(Registrations)) == 1


def test_a_registration_says_what_is_claimed_and_stays(store):
    plan = ablation_plan()
    register(store, plan)
    seen(store, plan)
    assert register(store, plan) is None
    (row,) = store.read(Registrations).rows()
    assert [claim["name"] for claim in json.loads(row["claims"])] == [
        claim.name for claim in plan.spec.claims_on("organism")
    ]


def test_the_command_registers_specs_together_and_once(tmp_path):
    db = tmp_path / "r.duckdb"
    call = ("register", "pilot", "voices", "--target", "organism", "--db", db)
    first = invoke(*call)
    assert first.exit_code == 0, first.output
    assert "voices on organism: registered; 4 claims can be confirmed" in first.output
    assert "pilot on organism: registered; 1 claims" in first.output
    before = invoke("sql", "registrations", "--db", db, "--format", "csv").output
    told = json.loads(invoke(*call, "--json").output)["registered"]
    assert [one["seen"] for one in told] == [None, None]
    assert invoke("sql", "registrations", "--db", db, "--format", "csv").output == before


def test_a_file_of_before_has_its_specs_registered_by_their_runs(tmp_path, root):
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute((root / "tests" / "schemas" / "v8.sql").read_text())
        for name, reason in (
            ("a", None),
            ("b", "the spec changed since run a"),
            ("c", "limited to 2"),
        ):
            columns = connection.execute("DESCRIBE runs").fetchall()
            values = {"run_id": f"'{name}'", "spec_hash": f"'{name}'", "spec": "'{\"claims\": []}'",
                      "exploratory": "NULL" if reason is None else f"'{reason}'"}  # fmt: skip
            kinds = {"VARCHAR": "'x'", "TIMESTAMP WITH TIME ZONE": "now()", "BOOLEAN": "true"}
            row = ", ".join(
                values.get(column, kinds.get(kind, f"[]::{kind}" if "[]" in kind else "3"))
                for column, kind, *_ in columns
            )
            connection.execute(f"INSERT INTO runs SELECT {row}")
    with Store.open(path) as opened:
        rows = {row["spec_hash"]: row["seen"] for row in opened.read(Registrations).rows()}
    assert rows == {"a": None, "b": "the spec changed since run a"}
