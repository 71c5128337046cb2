"""What the shell completes."""

import os
import subprocess
import sys

import duckdb
from click.testing import CliRunner

from harness.cli import main
from harness.store.run_names import stored_runs
from tests.helpers.store import changed_copy


def completed(*words, **environment):
    """What bash is told for the last of the words."""
    asked = {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("harness", *words)),
             "COMP_CWORD": str(len(words)), **environment}  # fmt: skip
    found = CliRunner().invoke(main, prog_name="harness", env=asked)
    return [line.removeprefix("plain,") for line in found.output.splitlines() if line]


def test_the_shell_completes_specs_targets_queries_and_words():
    assert completed("ch") == ["check"]
    assert completed("run", "v") == ["velocity_vs_acceleration", "voices"]
    assert completed("check", "data/x") == ["file,data/x"]
    assert completed("run", "voices", "--target", "g") == ["gemma-2-2b", "gemma-3-270m"]
    assert "mock" not in completed("plan", "voices", "--target", "")
    assert "mock" in completed("run", "--target", "")
    assert completed("validate", "org") == ["organism"]
    assert completed("validate", "--spec", "voices", "g") == ["gemma-2-2b", "gemma-3-270m"]
    assert completed("validate", "./m") == ["file,./m"]
    assert "top_features" in completed("sql", "top")
    assert completed("sql", "evidence", "--set", "c") == ["claim="]
    assert completed("sql", "--format", "m") == ["markdown"]


def test_the_shell_completes_the_specs_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "two.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert completed("run", "t") == ["transfer", "two"]
    assert completed("check", "v") == ["velocity_vs_acceleration", "voices"]


def test_the_shell_completes_runs_and_is_silent_where_they_cannot_be_read(tmp_path, few):
    assert completed("show", "--db", str(tmp_path / "none.duckdb"), "") == []
    assert not (tmp_path / "none.duckdb").exists()
    # What is no word of a shell's is no word to complete.
    another = "INSERT INTO runs SELECT * REPLACE ({} AS run_id, {} AS spec_name, {} AS target) FROM runs LIMIT 1"
    file = changed_copy(
        few[0], tmp_path,
        "UPDATE runs SET run_id = '20260101-voices', spec_name = 'voices'",
        another.format("'x $(touch made)'", "'a;b'", "'organism'"),
        another.format("'y' || chr(10) || 'plain,z'", "'`id`'", "chr(10) || 'plain,$(id)'"),
    )  # fmt: skip
    with duckdb.connect(str(file)):
        call = [sys.executable, "-m", "harness"]
        asked = {"_HARNESS_COMPLETE": "bash_complete", "COMP_CWORD": "4",
                 "COMP_WORDS": f"harness show --db {file} "}  # fmt: skip
        writing = subprocess.run(call, capture_output=True, text=True, env=os.environ | asked)
        assert (writing.stdout.strip(), writing.stderr) == ("", "")
    assert completed("show", "--db", str(file), "") == ["latest", "voices", "20260101-voices"]
    assert completed("sql", "--db", str(file), "top_features", "--run", "voi") == ["voices"]
    file.write_bytes(b"no database")
    assert stored_runs(file) == []
    assert completed("show", "--db", str(file), "") == []
