"""Evals side by side: each is run once, and whoever ends is told of."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.parallel import run_evals
from harness.errors import InputError
from harness.runner.context import How
from harness.runner.registration import register_specs
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.store.database import Store
from tests.helpers.runs import quiet
from tests.helpers.specs import SMALL_SPEC


@pytest.fixture
def specs(tmp_path, root):
    """Two specs of one prompt file."""
    lines = (root / "data" / "voices.jsonl").read_text().splitlines()
    some = [line for line in lines if "-named" in line][:32]
    (tmp_path / "few.jsonl").write_text("\n".join(some))
    paths = [tmp_path / "few.yaml", tmp_path / "more.yaml"]
    for path in paths:
        path.write_text(SMALL_SPEC.replace("name: few\n", f"name: {path.stem}\n"))
    return paths


def fingerprints(db):
    with Store.open_to_read(db) as store:
        runs = store.query("SELECT spec_name, run_id FROM runs WHERE status = 'finished'")[1]
        return {name: store.query("FROM fingerprints($run)", {"run": run})[1] for name, run in runs}


def evals(specs, db, **more):
    how = How(device="cpu", batch_size=8)
    options = {"db": db, "wait": 0, "resume": True, "how": how, "say": lambda _: None} | more
    return list(run_evals([load(spec) for spec in specs], "organism", 2, **options))


def test_evals_side_by_side_find_what_they_find_one_after_the_other(tmp_path, specs):
    said = []
    for name in ("both", "turn"):  # of one prompt file: registered together, both can confirm
        register_specs(map(load, specs), "organism", db=tmp_path / f"{name}.duckdb")
    # Named twice, a spec is run once: two cannot take up the same run.
    outcomes = evals([*specs, specs[0]], tmp_path / "both.duckdb", say=said.append)
    assert sorted(outcome.spec for outcome in outcomes) == ["few", "more"]
    assert {line.split("]")[0] for line in said} == {"[few", "[more"}
    for spec in specs:
        run_eval(
            load(spec),
            "organism",
            db=tmp_path / "turn.duckdb",
            how=How(device="cpu", batch_size=8),
            progress=quiet,
        )
    found = fingerprints(tmp_path / "both.duckdb")
    assert len(found) == 2
    assert found == fingerprints(tmp_path / "turn.duckdb")


def test_what_stops_one_eval_stops_no_other(tmp_path, specs):
    specs[0].write_text(specs[0].read_text().replace("few.jsonl", "none.jsonl"))
    with pytest.raises(InputError, match=r"there is no prompt file none\.jsonl"):
        evals(specs, tmp_path / "r.duckdb")
    assert set(fingerprints(tmp_path / "r.duckdb")) == {"more"}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to find the workers in")
@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_killed_and_a_run_that_is_stopped_go_on_later(tmp_path, specs, ending):
    db = tmp_path / "r.duckdb"
    call = [sys.executable, "-m", "harness", "run", *specs, "--jobs", "2", "--device", "cpu"]
    call += ["--target", "organism", "--db", db, "--batch-size", "8"]
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while "observe" not in process.stdout.readline():
            assert process.poll() is None
        if ending != signal.SIGKILL:
            os.killpg(process.pid, ending)  # as a terminal does, and a scheduler
        else:
            os.kill(workers_of(process.pid)[-1], ending)
        _, errors = process.communicate()
    assert "Traceback" not in errors
    if ending != signal.SIGKILL:
        assert process.returncode == 128 + ending
        kept = rf"(finished runs|\d+ units of run .*) are kept in {db}"
        assert re.search(f"stopped; {kept}; the same command goes on from here", errors)
    else:
        assert process.returncode == 3
        assert "a worker was ended from outside" in errors
    evals(specs, db)  # what was finished runs once more, what was not is taken up
    with Store.open_to_read(db) as store:
        ended = store.query("SELECT status, count(DISTINCT spec_name) FROM runs GROUP BY ALL")[1]
    assert ended == [("finished", 2)]


def workers_of(process):
    """The processes that it started to work, and not to watch over resources."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text()
        except OSError:
            continue  # it has ended
        if parent == process and "spawn_main" in command:
            found.append(int(folder.name))
    return found
