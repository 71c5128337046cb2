"""What a stranger wrote into a run's line is read by the rules of specs, and opens no other file."""

import os

import pytest

from tests.helpers.cli import invoke
from tests.helpers.store import changed_copy

SECRET = "canary-of-a-secret-file"


@pytest.mark.parametrize("spec", ["{}", "[", "[]", "null"])
def test_a_spec_that_is_none_is_said_by_whatever_reads_it(few, tmp_path, spec):
    db = changed_copy(few[0], tmp_path, f"UPDATE runs SET spec = '{spec}'")
    for command in ("report", "rerun", "analyse"):
        said = invoke(command, "latest", "--db", db)
        assert said.exit_code == 2, (command, said.output)
        assert said.stderr.startswith("error: run ")


def test_the_path_of_a_stranger_s_spec_shows_nothing_of_another_file(few, tmp_path, monkeypatch):
    secret = tmp_path / "secret.txt"
    secret.write_text(f"{SECRET}\n")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for path in (secret, pipe, "/proc/self/environ", tmp_path / "none"):
        db = changed_copy(few[0], tmp_path, f"UPDATE runs SET spec_path = '{path}'")
        said = invoke("analyse", "latest", "--db", db)
        assert said.exit_code == 2, said.output
        assert f"{path} is not its spec, or not any more" in said.stderr
        assert SECRET not in said.output


def test_a_run_of_any_name_has_its_report_in_the_folder_for_reports(few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "../../up $(touch made)"
    db = changed_copy(
        few[0], tmp_path, f"UPDATE runs SET run_id = '{name}'", "DELETE FROM verdicts"
    )
    said = invoke("report", "latest", "--db", db)
    assert said.exit_code == 0, said.output
    assert [path.parent.name for path in tmp_path.rglob("*.html")] == ["reports"]
