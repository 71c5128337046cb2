"""The commands that write a page: where, and in whose place."""

import shutil
from pathlib import Path

import pytest

import harness
from tests.helpers.cli import invoke


def test_the_commands_write_the_file_and_say_where(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = invoke("report", "pilot", "--db", finished)
    assert said.exit_code == 0
    file = tmp_path / said.stdout.strip()
    assert file.parent.name == "reports"
    assert file.read_text().startswith("<!doctype html>")
    wrong = invoke("report", "pilott", "--db", finished)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    too_long = tmp_path / ("x" * 300)
    barred = invoke("report", "pilot", "--db", finished, "--output", too_long)
    assert barred.exit_code == 3
    assert "cannot be written" in barred.stderr


def test_a_report_takes_the_place_of_a_report_and_of_nothing_else(finished, undrawn, tmp_path):
    """Not of the results file, a spec, or whatever else a name may mean."""
    db = Path(shutil.copy(finished, tmp_path / "r.duckdb"))
    before = db.read_bytes()
    spec, page = tmp_path / "mine.yaml", tmp_path / "mine.html"
    spec.write_text("name: mine")
    for there in (db, spec, tmp_path):
        for call in (["report", "pilot"], ["compare", "pilot", "voices", "--report"]):
            output = ["--output"] if call[0] == "report" else []
            refused = invoke(*call, *output, there, "--db", db)
            assert refused.exit_code == 2, call
    with pytest.raises(harness.InputError, match="something else than a report is there"):
        harness.report("pilot", db=db, output=spec)
    assert db.read_bytes() == before
    assert spec.read_text() == "name: mine"
    for _ in range(2):
        assert harness.report("pilot", db=db, output=page) == page
    assert page.read_text().endswith("</html>")
