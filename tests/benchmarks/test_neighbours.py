"""A slice of the neighbours' benchmark: a light command in an eval's place, beside busy processes."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.neighbours import beside, busy, eval_call, timed
from tests.helpers.cli import invoke
from tests.helpers.specs import write_few
from tests.helpers.store import query

TELL = """
import json, os, pathlib, sys
told = [sum(range(9)), os.environ.get("OMP_WAIT_POLICY")]
pathlib.Path(sys.argv[1]).write_text(json.dumps(told))
"""


def test_the_same_is_found_alone_and_beside_busy_processes(tmp_path, figures):
    files: list[Path] = []

    def work(**environment):
        files.append(tmp_path / f"{len(files)}.json")
        return timed([sys.executable, "-c", TELL, str(files[-1])], **environment)

    beside(work, rounds=1)
    shown = figures()
    assert shown["eval beside busy processes / alone"]["value"] > 0
    assert shown["threads that spin / that sleep, beside busy processes"]["value"] > 0
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    assert found == [[36, None], [36, None], [36, "ACTIVE"]]


def test_what_is_timed_is_an_eval(tmp_path):
    db = tmp_path / "results.duckdb"
    call = eval_call(str(write_few(tmp_path)), "2", db)
    assert call[:3] == [sys.executable, "-m", "harness"]
    assert invoke(*call[3:]).exit_code in (0, 1)
    assert query(db, "SELECT status FROM runs") == [("finished",)]


def test_a_command_that_fails_is_not_timed():
    with pytest.raises(SystemExit, match="status 2"):
        timed([sys.executable, "-c", "raise SystemExit(2)"])


def test_the_neighbours_are_busy_until_the_block_ends():
    with busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert None not in [process.poll() for process in processes]
