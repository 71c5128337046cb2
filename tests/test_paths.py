"""Files that are written: whole or not at all, and nothing left of those that could not be."""

import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from harness.errors import CannotRun, InputError
from harness.paths import whole_file
from harness.pytest_plugin import shared_runs
from harness.reports.markdown import append_summary, summary
from harness.specs.scaffold import write_spec
from harness.store import migrations
from harness.store.export import files, parquet
from tests.helpers.cli import invoke
from tests.helpers.outcomes import an_outcome

PAGE = f'<!doctype html>{files.PAGE} 0.1">'
LARGE = "x" * 100_000


@contextmanager
def little_room(most=1000):
    """The system refuses to write more than so many bytes to any file, as where the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def report(file):
    return files.write_page(file, PAGE + LARGE)


def table(file):
    return parquet.write(pa.table({"a": [str(i) for i in range(9999)]}), file)


def outcome_of_a_worker(file):
    return shared_runs._write(file, LARGE)


def lines(file):
    return files.write_text(file, iter([LARGE[:500], LARGE]))


@pytest.mark.parametrize("write", [report, table, outcome_of_a_worker, lines])
def test_where_there_is_no_room_the_old_file_stays_and_nothing_else_is_left(tmp_path, write):
    file = tmp_path / "there.html"
    file.write_text(PAGE + "old")
    with little_room(), pytest.raises((CannotRun, OSError), match=r"(?i)file too large"):
        write(file)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == PAGE + "old"
    write(file)
    assert file.stat().st_size > 1000
    file.unlink()
    with little_room(), pytest.raises((CannotRun, OSError), match=r"(?i)file too large"):
        write(file)
    assert list(tmp_path.iterdir()) == []


def test_a_new_spec_a_backup_and_an_export_leave_nothing_behind(tmp_path, root, few, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prompts = root / "data" / "voices.jsonl"
    spec = tmp_path / "evals" / "new.yaml"
    with little_room(), pytest.raises(CannotRun, match="file too large"):
        write_spec("Is it new?", ["organism"], prompts, output=spec)
    assert list(spec.parent.iterdir()) == []
    spec.touch()  # as an older version left it
    assert spec in write_spec("Is it new?", ["organism"], prompts, output=spec)
    with pytest.raises(InputError, match="it is there already"):
        write_spec("Is it new?", ["organism"], prompts, output=spec)
    old = tmp_path / "old.duckdb"
    old.write_text(LARGE)
    with little_room(), pytest.raises(OSError, match="File too large"):
        migrations.back_up(old, 1)
    assert set(tmp_path.iterdir()) == {old, spec.parent}
    for shape in ("poc", "parquet"):
        with little_room():
            found = invoke("export", few[1], "--db", few[0], "--format", shape)
        assert found.exit_code == 3, found.output
        assert "file too large" in found.stderr
        assert list((tmp_path / "runs").iterdir()) == []


def test_a_summary_that_does_not_fit_leaves_the_page_as_it_was(tmp_path):
    file, said = tmp_path / "summary.md", []
    file.write_text("before\n")
    with little_room(200):
        append_summary([an_outcome()], said.append, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == "before\n"
    assert "the summary cannot be written: no space left on device" in said[0]
    append_summary([an_outcome()], said.append, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == "before\n" + summary([an_outcome()])


def test_an_empty_file_is_no_reason_to_refuse_a_report_and_another_file_is(tmp_path):
    file = tmp_path / "r.html"
    file.touch()
    assert files.write_page(file, PAGE).read_text() == PAGE
    file.write_text("mine")
    with pytest.raises(InputError, match="something else than a report is there"):
        files.write_page(file, PAGE)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_through_a_link(tmp_path, few, undrawn, monkeypatch, there):
    """In a stranger's folder it leads to a file of one's own, or to one that is to be."""
    target = tmp_path / "home" / "profile"
    target.parent.mkdir()
    if there:
        target.touch()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    db, run_id = few
    (work / "evals").mkdir()
    named = [work / "evals" / name for name in ("report.html", "rows.csv", "spec.yaml")]
    made = work / "reports" / f"{run_id}.html"
    made.parent.mkdir()
    for link in (*named, made):
        link.symlink_to(target)
    calls = [
        ("report", run_id, "--db", db), ("report", run_id, "--db", db, "--output", named[0]),
        ("sql", "SELECT 1", "--db", db, "--format", "csv", "--output", named[1]),
    ]  # fmt: skip
    for call in calls:
        refused = invoke(*call)
        assert refused.exit_code == 3, refused.output
        assert "it is a link to" in refused.output
    with pytest.raises(OSError, match="link"), whole_file(named[2]) as part:
        part.write_text("x")
    # Nor where the folder that nobody named is one.
    made.unlink()
    made.parent.rmdir()
    for name in ("reports", "runs"):
        (work / name).symlink_to(target.parent)
    assert "reports is a link to" in invoke("report", run_id, "--db", db).output
    assert "runs is a link to" in invoke("export", run_id, "--db", db).output
    assert [path.name for path in target.parent.iterdir()] == ["profile"] * there
    assert not there or target.stat().st_size == 0
    # But where it is named.
    assert (
        invoke("report", run_id, "--db", db, "--output", work / "reports" / "r.html").exit_code == 0
    )


def test_a_results_file_is_not_made_where_a_link_leads(tmp_path, few):
    link = tmp_path / "results.duckdb"
    link.symlink_to(tmp_path / "elsewhere.duckdb")
    assert invoke("import", few[0], "--db", link).exit_code == 2
    assert not (tmp_path / "elsewhere.duckdb").exists()
    # One that is there is the file itself, on a larger disk.
    shutil.copyfile(few[0], tmp_path / "elsewhere.duckdb")
    assert invoke("sql", "runs", "--db", link).exit_code == 0


def test_modes_and_devices_are_kept(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o640)
    with whole_file(file) as part:
        part.write_text("new")
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640
    with whole_file(tmp_path / "fresh") as part:
        part.write_text("new")
    (tmp_path / "plain").touch()
    assert (tmp_path / "fresh").stat().st_mode == (tmp_path / "plain").stat().st_mode
    files.write_text(Path("/dev/null"), ["x"])
    assert Path("/dev/null").is_char_device()
    if Path("/dev/full").exists():
        with pytest.raises(CannotRun, match="no space left on device; make room"):
            files.write_text(Path("/dev/full"), ["x"])


@pytest.mark.parametrize("place", ["s3://bucket/x", "https://host/x", "gs://b/x"])
def test_an_address_is_no_place_to_write_to_and_leaves_no_folder(
    tmp_path, few, undrawn, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    for call in (("report", few[1], "--output", place), ("export", few[1], "--output_dir", place),
                 ("sql", "FROM runs", "--format", "csv", "--output", place)):  # fmt: skip
        found = invoke(*call, "--db", few[0])
        assert found.exit_code == 3
        assert "cannot be written: it is an address" in found.stderr
    assert list(tmp_path.iterdir()) == []
