"""Registrations that come in with runs of another results file, and what they are judged by."""

import shutil
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from harness.errors import InputError
from harness.runner.exploratory import reason_exploratory, register
from harness.store.database import Store
from harness.store.export.parquet_runs import (
    export_parquet,
    import_results,
    import_runs,
    read_export,
)
from harness.store.find_run import find_run
from harness.store.registrations import check_registration
from harness.store.tables.runs import Registrations, Runs
from tests.helpers.registered import NOW, changed, seen
from tests.helpers.specs import ablation_plan

PLAN = ablation_plan()
OTHER, THIRD = changed(PLAN, name="other"), changed(PLAN, name="third")
DAY = timedelta(days=1)


@pytest.fixture
def files(tmp_path):
    """Two results files, `here` and `there`."""
    with ExitStack() as held:
        yield tuple(
            held.enter_context(Store.open(tmp_path / f"{name}.duckdb"))
            for name in ("here", "there")
        )


def said(_):
    """What nobody reads."""


def bring(here, there, folder, way):
    """The finished runs of one file into another, one by one or all at once."""
    if way == "whole":
        import_results(here, there, said)
        return
    for run_id in there.read(Runs).run_id:
        folder.mkdir(parents=True)
        export_parquet(there, find_run(there, run_id), folder)
        import_runs(here, [read_export(folder)], print)
        shutil.rmtree(folder)


def rows(store):
    return {row["spec_name"]: row for row in store.read(Registrations).rows()}


def at(store, plan, time):
    """Registered at a time."""
    register(store, plan)
    names = {"spec_hash": plan.spec.hash}
    listed = list(store.read(Registrations).rows())
    store.put_registrations(
        Registrations.of(
            row
            | {"registered_at": time if row["spec_hash"] == names["spec_hash"] else row["registered_at"]}
            for row in listed
        )
    )  # fmt: skip


WAYS = pytest.mark.parametrize("way", ["whole", "parquet"])


@WAYS
def test_a_run_comes_with_its_registration_and_confirms_as_it_did(files, tmp_path, way):
    here, there = files
    for plan in (PLAN, OTHER):  # together, and so both confirm
        at(there, plan, NOW - DAY)
    seen(there, PLAN, "first", units=True)
    seen(there, OTHER, "second", units=True)
    register(there, THIRD)
    seen(there, THIRD, "late", units=True, exploratory=rows(there)["third"]["seen"])
    before = {row["run_id"]: row["exploratory"] for row in there.read(Runs).rows()}
    bring(here, there, tmp_path / "x", way)
    assert {row["run_id"]: row["exploratory"] for row in here.read(Runs).rows()} == before
    assert rows(here) == rows(there)
    assert [reason_exploratory(here, plan, "s") for plan in (PLAN, OTHER)] == [None, None]
    assert "were seen in run first" in reason_exploratory(here, THIRD, "s")
    fourth = changed(PLAN, name="fourth")
    assert "were seen in run first before it was registered" in register(here, fourth)


@WAYS
def test_what_was_registered_here_before_the_imported_results_confirms_and_after_them_does_not(
    files, tmp_path, way
):
    here, there = files
    at(here, OTHER, NOW + DAY)
    at(here, THIRD, NOW - DAY)
    at(there, PLAN, NOW - 2 * DAY)
    seen(there, PLAN, "theirs", units=True)
    assert reason_exploratory(here, OTHER, "s") is None
    bring(here, there, tmp_path / "x", way)
    assert " were seen in run theirs before" in reason_exploratory(here, OTHER, "s")
    assert reason_exploratory(here, THIRD, "s") is None


@WAYS
def test_an_import_judges_no_run_again(files, tmp_path, way):
    """Neither one that confirmed here, nor one that confirmed there of what was known here before."""
    here, there = files
    at(here, OTHER, NOW + DAY)
    seen(here, OTHER, "ours", units=True, done=NOW + 2 * DAY)
    at(there, PLAN, NOW - DAY)
    at(there, THIRD, NOW + 3 * DAY)
    seen(there, THIRD, "theirs", units=True, done=NOW + 4 * DAY)
    seen(there, PLAN, "theirs-too", units=True)
    bring(here, there, tmp_path / "x", way)
    assert {row["exploratory"] for row in here.read(Runs).rows()} == {None}
    # What is registered is: a further run of them knows what was seen.
    assert "run theirs-too" in rows(here)["other"]["seen"]
    assert "in run ours before" in rows(here)["third"]["seen"]
    assert rows(here)["demo"]["seen"] is None


def test_no_local_run_is_put_in_order_by_time(files):
    """A clock that went back between a registration and a run is held against neither file."""
    here, there = files
    for store, name, origin in ((here, "ours", "mock"), (there, "theirs", "real")):
        plan = replace(changed(PLAN, name=name), target=replace(PLAN.target, origin=origin))
        at(store, changed(plan, name=f"{name}-other"), NOW)
        at(store, plan, NOW)
        seen(store, plan, name, units=True, done=NOW - DAY)
    import_results(here, there, said)
    assert [row["seen"] for row in rows(here).values()] == [None] * 4


@pytest.mark.parametrize("earlier", ["here", "there"])
def test_what_is_registered_twice_stays_and_in_a_copy_the_earlier_counts(tmp_path, earlier):
    days = {"here": 2, "there": 3} if earlier == "here" else {"here": 3, "there": 2}
    with Store.open(tmp_path / "here.duckdb") as here:
        at(here, OTHER, NOW)
    for name, kin in (("copy", True), ("stranger", False)):
        if kin:
            shutil.copy(tmp_path / "here.duckdb", tmp_path / f"{name}.duckdb")
        with Store.open(tmp_path / f"{name}.duckdb") as there:
            at(there, PLAN, NOW + days["there"] * DAY)
        shutil.copy(tmp_path / "here.duckdb", tmp_path / "into.duckdb")
        with (
            Store.open(tmp_path / "into.duckdb") as into,
            Store.open(tmp_path / f"{name}.duckdb") as there,
        ):
            at(into, PLAN, NOW + days["here"] * DAY)
            import_results(into, there, said)
            day = min(days.values()) if kin else days["here"]
            found = rows(into)["demo"]["registered_at"]
            assert found == (NOW + day * DAY).replace(tzinfo=None)
            assert len(rows(into)) == len(into.read(Registrations)) == 2
            once = into.query("FROM registrations ORDER BY ALL")
            import_results(into, there, said)
            assert into.query("FROM registrations ORDER BY ALL") == once


def test_the_same_spec_run_elsewhere_is_no_reason_and_other_prompts_are(files):
    here, there = files
    at(here, PLAN, NOW + DAY)
    seen(there, PLAN, "same", units=True)
    seen(there, PLAN, "trial", units=True, exploratory="limited to 2", prompts_hash="t")
    import_results(here, there, said)
    assert rows(here)["demo"]["seen"] is None
    seen(there, PLAN, "prompts", units=True, prompts_hash="p")
    import_results(here, there, said)
    assert "in run prompts" in rows(here)["demo"]["seen"]


@pytest.mark.parametrize(
    "fields",
    [
        {"claims": "{"},
        {"claims": "{}"},
        {"spec_name": "../up"},
        {"spec_name": None},
        {"target": "a b"},
        {"origin": "true"},
        {"registered_at": None},
        {"spec_hash": None},
        {"seen": "limited to 2 families of each side"},
    ],
)
def test_what_no_harness_wrote_is_refused(files, fields):
    register(files[0], PLAN)
    (row,) = files[0].read(Registrations).rows()
    check_registration(row)
    with pytest.raises(InputError, match="it is not one that a harness wrote"):
        check_registration(row | fields)


@pytest.mark.parametrize("change", ["spec_hash", "column", "type"])
def test_an_export_with_another_registration_is_refused_and_nothing_comes_in(
    files, tmp_path, change, monkeypatch
):
    here, there = files
    register(there, PLAN)
    seen(there, PLAN, units=True)
    folder = tmp_path / "x"
    folder.mkdir()
    export_parquet(there, find_run(there, "early"), folder)
    export = read_export(folder)
    tables = dict(export.pieces())
    table = tables[Registrations.table]
    changed_table = {
        "spec_hash": table.set_column(0, "spec_hash", [["x"]]),
        "column": table.drop_columns("seen"),
        "type": table.drop_columns("registered_at").append_column("registered_at", [["soon"]]),
    }[change]
    tables[Registrations.table] = changed_table
    if change == "spec_hash":
        monkeypatch.setattr("harness.store.export.parquet.read", lambda path: tables[path.stem])
        with pytest.raises(InputError, match="holds others than those of run early"):
            read_export(folder)
        return
    with pytest.raises(InputError, match="registrations"):
        import_runs(here, [replace(export, pieces=tables.items)], print)
    assert len(here.read(Runs)) == len(here.read(Registrations)) == 0
