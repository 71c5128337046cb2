"""What makes a run exploratory: results on its confirming prompts before its spec was registered."""

import dataclasses
import json
from datetime import timedelta

import duckdb
import pytest

from harness.runner import exploratory
from harness.runner.exploratory import reason_exploratory, register
from harness.runner.provenance import model_here
from harness.specs.spec import Split
from harness.store.database import Store
from harness.store.tables.runs import Registrations
from tests.helpers.cli import invoke
from tests.helpers.registered import NOW, changed, seen
from tests.helpers.specs import ablation_plan


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "a.duckdb") as opened:
        yield opened


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


@pytest.mark.parametrize(
    "fields, is_same",
    [
        ({"origin": "mock"}, False),
        ({"target": "other"}, True),
        ({"model_hash": "h"}, False),
        ({"target": "other", "model_hash": "h"}, False),
        # Of a repository its commit says which files; what only one of the two says, it says nothing about.
        ({"model_hash": None, "model_revision": "c"}, True),
        ({"target": "other", "model_hash": None, "model_revision": "c"}, False),
    ],
)
def test_a_target_is_its_models_files_and_where_they_are_not_known_its_name(store, fields, is_same):
    plan = ablation_plan()
    seen(store, plan, **fields)
    assert (register(store, changed(plan, name="another")) is not None) is is_same


@pytest.mark.parametrize("commit, is_same", [("c" * 40, True), ("d" * 40, False)])
def test_a_commit_tells_the_model_of_a_repository_under_any_name(store, commit, is_same):
    plan = ablation_plan()
    hub = dataclasses.replace(plan.target, name="g", model="some/model", revision="c" * 40)
    plan = dataclasses.replace(plan, target=hub)
    assert model_here(hub) == ("c" * 40, None)
    assert model_here(dataclasses.replace(hub, revision="main")) == (None, None)
    seen(store, plan, model_revision=commit, target="renamed")
    assert (register(store, changed(plan, name="another")) is not None) is is_same


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
    assert "voices on organism: registered; 9 claims can be confirmed" in first.output
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
