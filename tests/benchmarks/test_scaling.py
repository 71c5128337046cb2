"""A slice of the benchmark of scaling: workers that remember find what was found, and time passes as is said."""

import pickle
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("distributed")

from benchmarks import scaling_workers
from benchmarks.recorded_tasks import record
from benchmarks.remembering import Clock, Memory, Remembering
from benchmarks.scaling_cost import _ablations, _layers, _slope
from benchmarks.scaling_driver import measure, write
from harness.runner.in_process import InProcess
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from tests.helpers.divided import ON, tables_of, write_specs
from tests.helpers.runs import quiet

FAMILIES = 8


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with a spec, its results, and what its tasks returned."""
    folder = tmp_path_factory.mktemp("recorded")
    spec = write(folder / "few", 4 * FAMILIES)
    recording = record(spec, folder / "few.duckdb", InProcess(), ON, "organism")
    (folder / "memory.pickle").write_bytes(pickle.dumps(Memory(recording)))
    return folder, spec, recording


def remembered(recording, spec, db, **imagined):
    """The clock and the workers of a run from memory."""
    clock = Clock()
    engine = Remembering(Memory(recording), clock, **imagined)
    run_eval(load(spec), "organism", db=db, how=ON, engine=engine, progress=quiet)
    return clock, engine


def test_who_remembers_finds_what_was_found(recorded, tmp_path):
    folder, spec, recording = recorded
    _, engine = remembered(recording, spec, tmp_path / "again.duckdb")
    assert tables_of(tmp_path / "again.duckdb") == tables_of(folder / "few.duckdb")
    assert engine.tasks == len(recording.done)


def test_time_passes_as_if_so_many_worked(recorded, tmp_path):
    _, spec, recording = recorded
    began = time.process_time()
    clock, engine = remembered(recording, spec, tmp_path / "2.duckdb", workers=2, seconds=50.0)
    assert engine.worked == 50 * engine.tasks
    assert engine.worked / 2 <= clock.now < engine.worked
    # Of this process's time what the workers would have computed is none of the driver's.
    assert clock.busy < time.process_time() - began < clock.now / 10


def test_more_prompts_are_remembered_as_few(recorded):
    folder, _, recording = recorded
    told = measure(str(folder), prompts=8 * FAMILIES, batch=2)
    assert told["rows"] > sum(
        len(t) for *_, d in recording.done if isinstance(d.value, list) for t in d.value
    )
    assert 0 < sum(told["by"].values()) == pytest.approx(told["busy"])


def test_workers_are_measured_on_tasks_of_an_eval(tmp_path, figures, monkeypatch):
    """One after the other: that workers do them beside each other is tested with the cluster."""
    (spec,) = write_specs(tmp_path, "few")
    asked = []

    @contextmanager
    def alone(workers, *_):
        asked.append(workers)
        yield InProcess()

    monkeypatch.setattr(scaling_workers, "local_workers", alone)
    scaling_workers.two_against_one(2, 1, spec)
    scaling_workers.overhead(20, spec)
    assert asked == [1, 2, 2]
    shown = figures()
    assert len(shown) == 4
    assert all(figure["value"] > 0 for figure in shown.values())


def test_an_exponent_is_that_of_a_power(tmp_path):
    assert _slope((1, 2, 4), [3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert _slope((10, 20, 40), [1.0, 4.0, 16.0]) == pytest.approx(2.0)
    assert len(load(_ablations(FAMILIES, tmp_path / "three", 3)).spec.ablations) == 3
    assert load(_layers(FAMILIES, tmp_path / "two", 2)).plan().layers == (0, 1)
