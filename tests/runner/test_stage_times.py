"""Where a run says that its time went."""

import json

import pytest

from harness.errors import CannotRun
from harness.runner.stage_times import StageTimes
from harness.runner.tasks import Done
from harness.specs.spec_file import load
from tests.helpers.divided import run_it, write_specs


def test_times_add_up_by_stage_and_worker(tmp_path):
    times = StageTimes()
    with times.of("observe"):
        times.add(Done(seconds=2.0, worker="0"))
        times.add(Done(seconds=3.0, worker="1"))
        times.add(Done(seconds=1.0, worker="0"))
        with times.storing():
            pass
    with times.of("ablate top"):
        times.add(Done(seconds=5.0, worker="1"))
    times.write(tmp_path / "p.json", "r", 7.0)
    told = json.loads((tmp_path / "p.json").read_text())
    assert (told["run_id"], told["analyse"]) == ("r", 7.0)
    first, second = told["stages"]
    assert (first["stage"], first["groups"], first["working"], first["longest"]) == (
        "observe",
        3,
        6.0,
        3.0,
    )
    assert first["workers"] == {"0": 3.0, "1": 3.0}
    assert first["wall"] >= first["storing"] >= 0
    assert second["workers"] == {"1": 5.0}


def test_a_run_writes_the_times_of_its_stages_in_their_order(tmp_path):
    (spec,) = write_specs(tmp_path, "few")
    outcome = run_it(load(spec), db=tmp_path / "r.duckdb", profile=tmp_path / "p.json")
    told = json.loads((tmp_path / "p.json").read_text())
    assert told["run_id"] == outcome.run_id
    stages = ["observe", "generate", "survey", "profile top", "ablate top", "trace"]
    assert [one["stage"] for one in told["stages"]] == stages
    for one in told["stages"]:
        assert 0 < one["longest"] <= one["working"] <= one["wall"]
        assert one["storing"] > 0
    assert told["analyse"] > 0


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "p.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotRun, match="name another with --profile"):
        StageTimes().write(tmp_path / "p.json", "r", 0.0)
